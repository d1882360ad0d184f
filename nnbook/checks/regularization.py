"""The penalty alone: its gradient, its size, and what it acts on."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as onp

from nnbook.checks.calls import batch_for, either_order
from nnbook.checks.measuring import penalty_slopes
from nnbook.checks.outcomes import CheckResult
from nnbook.findings import Finding
from nnbook.gluon.twins import Twin, preserved_luck
from nnbook.gluon.updates import make_update
from nnbook.objective import Objective, weight_mask

__all__ = ["check_regularization"]

CHECK = "check_regularization"


@either_order
def check_regularization(
    net: Any,
    data: Any,
    penalty: Any = None,
    *,
    loss: Any,
    optimizer: Any = None,
    examples: int = 64,
    seed: int = 0,
) -> CheckResult:
    """Check a penalty apart from the data, and whether biases are left alone.

    The penalty's gradient is held against centred differences of its value, in float64; stronger
    regularisation must mean a higher loss; a penalty above the data loss leaves little to the data.
    With an optimizer, one step without any gradient shows what the rule lets decay by itself.

    Parameters
    ----------
    net, data, loss
        As for `check_gradients`; nothing is changed.
    penalty : object, optional
        With ``value(theta)`` and ``gradient(theta)``, such as `nnbook.losses.l2_penalty(0.001)`.
    optimizer : Optimizer or mxnet.optimizer.Optimizer, optional
        What `nnbook.training.fit` will be given.
    examples : int
        How many of the examples, for the size of the data loss.
    seed : int
        Decides which examples and which entries.

    Returns
    -------
    CheckResult
        Measured: ``data_loss``, ``penalty``, ``worst_relative_error`` (of the penalty's gradient),
        ``decaying_biases`` (how many parameters with one axis shrink by themselves).

    Raises
    ------
    TypeError, ValueError
        A penalty without `value` or `gradient`, or bad data, as for `nnbook.training.fit`.

    References
    ----------
    Stanford CS231n, Neural Networks 3: sanity checks.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import checks, layers, losses
    >>> x, y = np.random.default_rng(0).normal(size=(9, 4)), np.arange(9) % 3
    >>> net = layers.mlp(4, [5], 3, "tanh", seed=0)
    >>> penalty = losses.l2_penalty(0.001)
    >>> checks.check_regularization(net, (x, y), penalty,
    ...                             loss=losses.softmax_cross_entropy).passed
    True
    """
    if penalty is not None and not (hasattr(penalty, "value") and hasattr(penalty, "gradient")):
        raise TypeError(
            f"penalty is {penalty!r}; expected an object with value(theta) and gradient(theta), "
            "such as nnbook.losses.l2_penalty(0.001)"
        )
    with preserved_luck():
        twin = Twin(net, loss, *batch_for(data, examples, seed), seed=seed)
        data_loss = twin.loss(training=False)
        findings: list[Finding] = []
        measured: dict[str, Any] = {"data_loss": data_loss}
        if penalty is not None:
            findings, numbers = _of_penalty(penalty, twin, data_loss, seed)
            measured |= numbers
        decaying = _decaying(twin, optimizer)  # changes the copy
    measured["decaying_biases"] = len(decaying)
    findings += [_biases_decay(decaying)] if decaying else []
    return CheckResult(CHECK, tuple(findings), measured)


def _of_penalty(
    penalty: Any, objective: Objective, data_loss: float, seed: int
) -> tuple[list[Finding], dict[str, float]]:
    """Check the penalty as a function of θ."""
    theta = (objective.theta * weight_mask(objective.shapes)).astype("float64")
    value, slopes = float(penalty.value(theta)), penalty_slopes(penalty, objective, 8, seed)[0]
    findings = []
    for slope in [slope for slope in slopes if slope.alarm][:1]:
        ratio = slope.analytic / slope.numeric if slope.numeric else float("inf")
        message = (
            f"the penalty's gradient at θ = {theta[slope.index]:.3g} is {slope.analytic:.4g}, by "
            f"differences {slope.numeric:.4g}: {ratio:.4g} times as much"
        )
        advice = "derive gradient() from value() again; of ½ λ θ² it is λ θ"
        findings.append(Finding(CHECK, "error", message, advice))
    stronger = _stronger(penalty, theta)
    if theta.any() and not (value > 0 and (stronger is None or stronger > value)):
        message = f"more regularisation does not raise the loss: the penalty is {value:.4g}"
        findings.append(Finding(CHECK, "warning", message, "look at its sign and its strength"))
    if value > abs(data_loss):
        message = f"the penalty is {value:.4g}, the data loss {data_loss:.4g}: it dominates"
        advice = (
            "lower its strength; it stands beside the mean loss, so a strength meant for a sum "
            "over n examples must be divided by n"
        )
        findings.append(Finding(CHECK, "warning", message, advice))
    worst = max((slope.relative_error for slope in slopes if slope.judged), default=0.0)
    return findings, {"penalty": value, "worst_relative_error": worst}


def _stronger(penalty: Any, theta: onp.ndarray) -> float | None:
    """Return the value at twice the strength, of a penalty that has one above 0."""
    strength = getattr(penalty, "strength", None)
    if not dataclasses.is_dataclass(penalty) or not isinstance(strength, (int, float)):
        return None
    if strength <= 0:
        return None
    twice: Any = dataclasses.replace(penalty, strength=2 * strength)  # type: ignore[type-var]
    return float(twice.value(theta))


def _decaying(twin: Twin, optimizer: Any) -> list[str]:
    """Return the parameters with one axis that move without any gradient."""
    if optimizer is None:
        return []
    vector = twin.vector
    vector.theta[...] = 1  # biases start at 0, where decay does not show
    before = vector.theta.asnumpy()
    update = make_update(vector, optimizer, None)
    for _ in range(2):
        vector.grad[...] = 0
        update()
    moved = vector.theta.asnumpy() != before
    return [
        n for n, part in vector.slices.items() if len(vector.shapes[n]) == 1 and moved[part].any()
    ]


def _biases_decay(names: list[str]) -> Finding:
    message = f"the update rule lets {', '.join(names)} decay, whatever the data say"
    advice = (
        "biases set levels and are not regularised as a rule: give fit a penalty instead, which "
        "acts on weights only; a small decay does no harm"
    )
    return Finding(CHECK, "warning", message, advice)
