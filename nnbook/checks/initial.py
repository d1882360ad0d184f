"""The loss before learning: what chance gives, and what the outputs look like."""

from __future__ import annotations

import math
from typing import Any

import numpy as onp

from nnbook import losses
from nnbook.checks.calls import batch_for, either_order
from nnbook.checks.outcomes import CheckResult
from nnbook.findings import Finding
from nnbook.gluon.runtime import mx
from nnbook.gluon.twins import Twin, preserved_luck, unsteady

gluon_losses = mx.gluon.loss

__all__ = ["check_initial_loss"]

CHECK = "check_initial_loss"
# How far the loss of equal outputs may be from its formula, and that of the first outputs above it.
_FORMULA, _HIGH = 1e-3, 2.0
# Outputs of sound initial weights spread by 1 to 2, more where features are correlated; where
# nearly all labels are the same, such outputs may double the loss.
_WIDE = 3.0


@either_order
def check_initial_loss(
    net: Any,
    data: Any,
    *,
    loss: Any,
    expected: float | None = None,
    examples: int = 64,
    seed: int = 0,
) -> CheckResult:
    """Compare the loss before learning with what chance gives, and look at the outputs.

    Equal outputs for all classes must give ln C with softmax, C ln 2 with C sigmoids, C − 1 with
    the hinge loss of Weston and Watkins; the first outputs should not be much worse. Every output
    should count, one at least, and every example whose loss is above chance should have a
    gradient. Evaluating twice must give the same.

    Parameters
    ----------
    net, data, loss
        As for `check_gradients`; nothing is changed.
    expected : float, optional
        The loss of an example at chance; by default it follows from the loss function, where that
        is known, and the targets. For other losses only what looks like a forgotten or a double
        mean is reported.
    examples : int
        How many of the examples, as one minibatch.
    seed : int
        Decides which.

    Returns
    -------
    CheckResult
        Measured: ``loss`` (before learning), ``equal_outputs`` (its value when all outputs are 0),
        ``expected`` (NaN where unknown), ``spread`` (the standard deviation of the outputs).

    Raises
    ------
    ValueError, TypeError
        Bad data, as for `nnbook.training.fit`.

    References
    ----------
    Stanford CS231n, Neural Networks 3: sanity checks.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import checks, layers, losses
    >>> x, y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30, dtype="int32") % 10
    >>> net = layers.mlp(4, [5], 10, "tanh", seed=0)
    >>> result = checks.check_initial_loss(net, (x, y), loss=losses.softmax_cross_entropy)
    >>> result.passed, round(result.measured["equal_outputs"], 3)
    (True, 2.303)
    """
    with preserved_luck():
        x, y = batch_for(data, examples, seed)
        twin = Twin(net, loss, x, y, seed=seed)
        outputs, terms, slopes = twin.output_slopes()
        equal = float(loss(0 * twin.outputs(), twin.y).mean())
        findings = unsteady(twin, CHECK)
    first = float(terms.mean())
    known = _known(loss, outputs, y) if expected is None else expected
    chance = equal if math.isfinite(equal) else float("nan")
    if not math.isfinite(first):
        findings.append(_not_finite(first, len(x)))
    else:
        findings += _at_chance(equal, known, expected is not None, outputs, y)
        if _of_classes(outputs, y) and first > _HIGH * chance and outputs.std() > _WIDE:
            findings.append(_too_high(first, chance, outputs))
        findings += _without_influence(slopes, outputs)
        findings += _without_slope(terms, slopes, chance)
    findings += _stuck_outputs(outputs)
    measured = {
        "loss": first,
        "equal_outputs": equal,
        "expected": known if known is not None else float("nan"),
        "spread": float(outputs.std()),
    }
    return CheckResult(CHECK, tuple(findings), measured)


def _is_labels(y: onp.ndarray) -> bool:
    return y.ndim == 1 and onp.issubdtype(y.dtype, onp.integer)


def _is_zeros_and_ones(y: onp.ndarray) -> bool:
    return bool(onp.isin(y, (0, 1)).all())


def _of_classes(outputs: onp.ndarray, y: onp.ndarray) -> bool:
    """Tell whether targets are classes, as labels, or as rows of probabilities or of 0 and 1."""
    if outputs.ndim == 2 and outputs.shape[1] > 1 and _is_labels(y):
        return True
    if y.size != outputs.size or not ((y >= 0) & (y <= 1)).all():
        return False
    rows = y.ndim == 2 and y.shape[1] > 1 and bool((abs(y.sum(axis=1) - 1) < 1e-3).all())
    return rows or _is_zeros_and_ones(y)


def _known(loss: Any, outputs: onp.ndarray, y: onp.ndarray) -> float | None:
    """Return the loss of an example when all outputs are equal, of the losses that we know."""
    count = int(onp.prod(outputs.shape[1:])) if outputs.ndim > 1 else 1
    if loss is losses.softmax_cross_entropy or isinstance(
        loss, gluon_losses.SoftmaxCrossEntropyLoss
    ):
        return math.log(count)
    if loss is losses.sigmoid_cross_entropy:
        return count * math.log(2)
    if loss is losses.hinge:
        return count - 1.0
    return None


def _at_chance(
    equal: float, known: float | None, given: bool, outputs: onp.ndarray, y: onp.ndarray
) -> list[Finding]:
    """Compare the loss of equal outputs with its formula, or with what is easily confused."""
    if known is not None:
        if abs(equal - known) <= _FORMULA * max(1.0, abs(known)):
            return []
        what = "expected is" if given else "the formula gives"
        message = f"equal outputs give a loss of {equal:.4g}; {what} {known:.4g}"
        return [Finding(CHECK, "error", message, "check the reduction: a mean over examples alone")]
    if outputs.ndim != 2 or outputs.shape[1] < 2 or not _is_labels(y):
        return []
    classes, n = outputs.shape[1], len(y)
    right = {"ln C": math.log(classes), "C − 1": classes - 1.0}
    if any(abs(equal - value) <= _FORMULA * value for value in right.values()):
        return []
    for name, value in right.items():
        for factor, reason in (
            (n, f"summed over the {n} examples of the minibatch"),
            (1 / classes, f"averaged over the {classes} classes too"),
        ):
            if abs(equal - factor * value) <= _FORMULA * factor * value:
                message = (
                    f"equal outputs give {equal:.4g}, not {name} = {value:.4g}: it is {reason}"
                )
                advice = "give one value for each example; training takes their mean"
                return [Finding(CHECK, "error", message, advice)]
    if n != classes and abs(equal - math.log(n)) <= _FORMULA * math.log(n):
        message = (
            f"equal outputs give ln {n} = {equal:.4g}, not ln {classes}: the softmax runs over "
            f"the {n} examples"
        )
        return [Finding(CHECK, "error", message, "normalise over the classes: axis=-1")]
    return []


def _not_finite(first: float, n: int) -> Finding:
    message = f"the loss of a minibatch of {n} is {first} before the first step"
    advice = "look for logarithms of 0, overflow, products of many probabilities; use logarithms"
    return Finding(CHECK, "error", message, advice)


def _too_high(first: float, chance: float, outputs: onp.ndarray) -> Finding:
    message = (
        f"the loss starts at {first:.4g}, chance gives {chance:.4g}; the outputs spread by "
        f"{outputs.std():.3g}, and about 1 or less is usual"
    )
    advice = "make the initial weights smaller (LeCun's, Glorot's or He's rule) or scale the inputs"
    return Finding(CHECK, "warning", message, advice)


def _without_influence(slopes: onp.ndarray, outputs: onp.ndarray) -> list[Finding]:
    """Find outputs that no example's loss depends on."""
    if len(slopes) > 1 and not slopes.any():
        message = f"the loss of {len(slopes)} examples depends on no output: its gradient is 0"
        advice = (
            "print the loss of a few examples; in MXNet a condition (boolean) times a fraction is "
            "0: convert it first, (a > b).astype('float32') * 0.5, or use np.where"
        )
        return [Finding(CHECK, "error", message, advice)]
    if slopes.ndim != 2 or slopes.shape[1] < 2 or len(slopes) < 2:
        return []
    idle = onp.flatnonzero((slopes == 0).all(axis=0))
    if not len(idle) or len(idle) == slopes.shape[1]:
        return []
    message = f"the loss does not depend on outputs {_listed(idle)} of {slopes.shape[1]}"
    advice = "look for a slice or an index in the loss that leaves outputs out"
    return [Finding(CHECK, "error", message, advice)]


def _without_slope(terms: onp.ndarray, slopes: onp.ndarray, chance: float) -> list[Finding]:
    """Find examples that are worse than chance, and whose loss is flat all the same."""
    if terms.shape != slopes.shape[:1] or not chance > 0:
        return []
    flat = (slopes.reshape(len(slopes), -1) == 0).all(axis=1) & (terms > chance)
    if not flat.any():
        return []
    message = (
        f"{int(flat.sum())} of {len(flat)} examples have a loss above chance (up to "
        f"{terms[flat].max():.4g}) and a gradient of exactly 0: they cannot be learnt"
    )
    advice = "look for clip, round and saturated functions in the loss; use log_softmax"
    return [Finding(CHECK, "error", message, advice)]


def _stuck_outputs(outputs: onp.ndarray) -> list[Finding]:
    """Find outputs that are 0 for every example, while others are not."""
    if outputs.ndim != 2 or len(outputs) < 10:
        return []
    zero = (outputs == 0).all(axis=0)
    if not zero.any() or zero.all():
        return []
    message = f"outputs {_listed(onp.flatnonzero(zero))} are exactly 0 for every example"
    advice = "leave out the activation function after the last layer; the loss applies its own"
    return [Finding(CHECK, "error", message, advice)]


def _listed(numbers: onp.ndarray) -> str:
    shown = ", ".join(str(int(number)) for number in numbers[:6])
    return shown + (", …" if len(numbers) > 6 else "")
