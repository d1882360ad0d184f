"""Gradients by automatic differentiation against differences of the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as onp

from nnbook import optim
from nnbook.checks.measuring import make_twin, penalty_slopes, slopes_of, unsteady
from nnbook.checks.results import Coordinate, GradientCheck, ParameterCheck, by_parameter
from nnbook.findings import Finding
from nnbook.gluon.parameters import named_parameters
from nnbook.gluon.runtime import mx
from nnbook.gluon.twins import Twin, batch_for, copy_of, preserved_luck
from nnbook.training import DivergedError, fit
from nnbook.training.loop import check_sizes

__all__ = ["check_gradients"]

CHECK = "check_gradients"
# How far the network's own gradient may be from the one in float64, relative to its length.
_OWN_PRECISION = 0.02


def check_gradients(
    net: Any,
    loss: Any,
    x: Any,
    y: Any,
    *,
    penalty: Any = None,
    h: float | None = None,
    per_parameter: int = 8,
    examples: int = 6,
    burn_in: int = 0,
    seed: int = 0,
    dtype: str = "float64",
) -> GradientCheck:
    """Compare the gradient of the mean loss with centred differences, on a copy in float64.

    Some entries of every parameter are checked, half of them drawn among those whose gradient is
    not zero. What is random in training (dropout, augmentation inside the network) is drawn alike
    every time. Before, other examples go through the network, so that values kept from them show.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialised network, hybridised or not. It is not changed, even if the check raises.
    loss : callable
        ``loss(outputs, targets)``, as for `nnbook.training.fit`.
    x, y : array
        Examples, shape (n, ...), and labels or targets.
    penalty : object, optional
        With ``value`` and ``gradient``, such as `nnbook.losses.l2_penalty(0.001)`. It is checked
        apart, as "penalty": added to the loss it could hide errors there.
    h : float, optional
        The step; by default the cube root of three times the measured rounding error of the loss,
        relative to the loss: about 1e-5.
    per_parameter : int
        How many entries of each parameter.
    examples : int
        How many of the examples: few, since each brings kinks of its own.
    burn_in : int
        Steps of training of the copy beforehand: some mistakes do not show at the first weights.
    seed : int
        Decides which examples and entries, the burn-in and the luck of every evaluation.
    dtype : str
        "float64", or "float32" to see why not.

    Returns
    -------
    GradientCheck
        ``.passed``, ``.worst_relative_error``, ``.kinks``, ``.parameters``, ``.verdict``.

    Raises
    ------
    ValueError, TypeError
        Bad data, as for `nnbook.training.fit`, a network without trainable parameters, or numbers
        out of range.

    Notes
    -----
    An alarm is a relative error above 1e-4 together with a difference above 1e-8 and above what
    rounding explains. A kink (of ReLU, hinge or max) within h makes the difference quotient wrong,
    not the gradient. It shows in the slopes to the left and to the right, which remain apart as h
    shrinks; then a smaller h decides, or the entry is left out and counted in ``kinks``.

    A loss or layer that works in float32 only is checked in float32, where rounding hides errors
    below about 1e-3.

    References
    ----------
    Stanford CS231n, Neural Networks 3: gradient checks.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import checks, layers, losses
    >>> x, y = np.random.default_rng(0).normal(size=(6, 4)), np.array([0, 1, 2, 0, 1, 2])
    >>> net = layers.mlp(4, [5], 3, "tanh", seed=0)
    >>> result = checks.check_gradients(net, losses.softmax_cross_entropy, x, y)
    >>> result.passed, result.verdict
    (True, 'happy')
    """
    _check_arguments(h, per_parameter, examples, burn_in, dtype)
    with preserved_luck():
        twin, findings = _prepared(net, loss, x, y, examples, burn_in, dtype, seed)
        findings = _frozen_findings(net) + findings + unsteady(twin, CHECK)
        own, lost = _own_precision(net, loss, x, y, twin, examples, burn_in, seed)
        coordinates: tuple[Coordinate, ...] = ()
        value = twin.loss()
        if not onp.isfinite(value) or twin.loss() != value:
            findings = [*findings, *lost, _not_repeatable(value)]
            h = noise = float("nan")
        else:
            coordinates, h, noise = slopes_of(twin, h, per_parameter, seed)
    shapes = dict(twin.vector.shapes)
    if penalty is not None:
        coordinates += penalty_slopes(penalty, twin.vector, per_parameter, seed)[0]
        shapes["penalty"] = (len(twin.vector),)
    parameters = by_parameter(coordinates, shapes)
    wrong = _wrong(coordinates, parameters, len(twin.x)) or _too_small(coordinates)
    findings = [*findings, *(wrong or lost)]
    return GradientCheck(
        coordinates,
        parameters,
        tuple(dict.fromkeys(findings)),
        h,
        noise,
        twin.dtype,
        _frozen(net),
        own,
        twin.why_not,
    )


def _prepared(
    net: Any, loss: Any, x: Any, y: Any, examples: int, burn_in: int, dtype: str, seed: int
) -> tuple[Twin, list[Finding]]:
    """Return the copy to work on, after its burn-in, with other examples run through it."""
    findings: list[Finding] = []
    if burn_in:
        net, findings = _burnt_in(net, loss, x, y, burn_in, seed)
    chosen = batch_for(x, y, examples, seed)
    others = batch_for(x, y, len(chosen[0]), seed + 1)[0][::-1]
    return make_twin(net, loss, *chosen, dtype=dtype, seed=seed, before=others), findings


def _burnt_in(
    net: Any, loss: Any, x: Any, y: Any, steps: int, seed: int
) -> tuple[Any, list[Finding]]:
    """Train a copy for some steps; keep it as it was if that fails."""
    twin, size = copy_of(net), min(32, len(x))

    def order(n: int, epoch: int, rng: onp.random.Generator) -> onp.ndarray:
        return rng.integers(0, n, size=steps * size)

    options: dict[str, Any] = {"optimizer": optim.adam(0.01), "batch_size": size, "epochs": 1}
    try:
        fit(twin, (x, y), loss=loss, order=order, seed=seed, progress=False, **options)
    except DivergedError:
        message = f"{steps} steps of Adam at the rate 0.01 make the loss infinite"
        advice = "look at the gradients before the burn-in, and at the scale of inputs and weights"
        return copy_of(net), [Finding(CHECK, "error", message, advice)]
    return twin, []


def _wrong(
    coordinates: Sequence[Coordinate], parameters: Sequence[ParameterCheck], n: int
) -> list[Finding]:
    wrong = [p for p in parameters if p.alarms]
    if not wrong:
        return []
    names = ", ".join(p.name for p in wrong)
    worst = max((p.worst for p in wrong if p.worst), key=lambda c: c.relative_error)
    message = (
        f"the gradient is wrong in {names}: at {worst.parameter}{list(worst.index)} it is "
        f"{worst.analytic:.6g}, by differences {worst.numeric:.6g}"
    )
    severity = "error" if worst.relative_error > 1e-2 else "warning"
    return [Finding(CHECK, severity, message, _hint(coordinates, n, wrong))]


def _too_small(coordinates: Sequence[Coordinate]) -> list[Finding]:
    """Say so where slopes disagree that are too small for an alarm."""
    unsure = [c for c in coordinates if c.too_small]
    if not unsure:
        return []
    worst = max(unsure, key=lambda c: c.relative_error)
    message = (
        f"{len(unsure)} of {len(coordinates)} slopes disagree, but by less than 1e-8: at "
        f"{worst.parameter}{list(worst.index)} it is {worst.analytic:.3g}, by differences "
        f"{worst.numeric:.3g}"
    )
    advice = "multiply the loss by a constant that brings its gradients near 1, and check again"
    return [Finding(CHECK, "warning", message, advice)]


def _hint(coordinates: Sequence[Coordinate], n: int, wrong: Sequence[ParameterCheck]) -> str:
    """Guess from the pattern of the errors where they come from."""
    alarms = [c for c in coordinates if c.alarm]
    if all(c.analytic == 0 for c in alarms):
        return (
            "nothing arrives there: look for a computation outside autograd (NumPy, np.var, "
            "detach) and for a backward pass that returns zeros"
        )
    ratios = onp.array([c.analytic / c.numeric for c in alarms if c.numeric])
    if len(ratios) > 1 and onp.ptp(ratios) < 1e-3 * abs(ratios).max():
        ratio = float(ratios.mean())
        if abs(ratio + 1) < 1e-3:
            return "every wrong slope has the opposite sign: look for a sign in a backward pass"
        what = f", the number of examples: 1/{n} is missing" if abs(ratio / n - 1) < 1e-3 else ""
        return f"every wrong slope is {ratio:.4g} times what it should be{what}"
    return (
        f"compare the backward passes at and above {wrong[0].name}: the error is in the layers "
        "between the lowest wrong parameter and the lowest right one above it"
    )


def _frozen(net: Any) -> tuple[str, ...]:
    every = named_parameters(net).items()
    return tuple(
        name
        for name, p in every
        if p.grad_req == "null" and p._differentiable and not _is_constant(p)
    )


def _is_constant(parameter: Any) -> bool:
    return isinstance(parameter, mx.gluon.Constant)


def _frozen_findings(net: Any) -> list[Finding]:
    names = _frozen(net)
    if not names:
        return []
    message = f"the gradient is turned off for {', '.join(names)}"
    advice = "if these should learn: net.collect_params().setattr('grad_req', 'write')"
    return [Finding(CHECK, "warning", message, advice)]


def _own_precision(
    net: Any, loss: Any, x: Any, y: Any, exact: Twin, examples: int, burn_in: int, seed: int
) -> tuple[float, list[Finding]]:
    """Compare the gradient in the network's own dtype with that in float64."""
    if burn_in or exact.random or exact.dtype != "float64":  # random masks would be others
        return float("nan"), []
    own = Twin(net, loss, *batch_for(x, y, examples, seed), seed=seed)
    if own.dtype == "float64":
        return float("nan"), []
    first, second = own.gradient(), exact.gradient()
    if not onp.isfinite(second).all():
        return float("nan"), []
    length = float(onp.linalg.norm(second))
    apart = float(onp.linalg.norm(first - second)) / length if length else 0.0
    if apart <= _OWN_PRECISION:
        return apart, []
    message = f"the gradient in {own.dtype} is off by {apart:.1%} of the one in float64"
    advice = (
        "look for products of many small numbers, exp of large ones and differences of nearly "
        "equal ones; work with logarithms, or scale the loss"
    )
    return apart, [Finding(CHECK, "error", message, advice)]


def _not_repeatable(value: float) -> Finding:
    if not onp.isfinite(value):
        message = f"the loss is {value}"
        advice = "look for logarithms of 0, overflow, and NaN in the data"
    else:
        message = "two evaluations from the same seed differ, so slopes cannot be measured"
        advice = (
            "let everything random draw from MXNet's or NumPy's global generator, or turn it off"
        )
    return Finding(CHECK, "error", message, advice)


def _check_arguments(
    h: float | None, per_parameter: int, examples: int, burn_in: int, dtype: str
) -> None:
    check_sizes(per_parameter=per_parameter, examples=examples)
    if isinstance(burn_in, bool) or not isinstance(burn_in, (int, onp.integer)) or burn_in < 0:
        raise ValueError(f"burn_in is {burn_in!r}; expected a number of steps, 0 or more")
    if h is not None and not (onp.isfinite(h) and h > 0):
        raise ValueError(f"h is {h!r}; expected a positive number, such as 1e-5, or None")
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype is {dtype!r}; expected 'float64' or 'float32'")
