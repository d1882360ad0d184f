"""An update rule without a network: does it do what every rule does?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as onp

from nnbook import optim
from nnbook.checks.outcomes import CheckResult
from nnbook.findings import Finding
from nnbook.optim import Optimizer

__all__ = ["check_optimizer"]

CHECK = "check_optimizer"
_LONG = 1000


def check_optimizer(optimizer: Any, *, steps: int | None = None) -> CheckResult:
    """Try an update rule on gradients whose answer is known, and look at its schedule.

    The first step must lead downhill. Under a constant gradient the steps must neither grow without
    end nor swing to and fro. A small gradient must move a weight of 1 a little. The rate should not
    be used up long before the run ends.

    Parameters
    ----------
    optimizer : Optimizer or mxnet.optimizer.Optimizer
        The rule. It is not changed. Of MXNet's own only the first step is tried.
    steps : int, optional
        How many the run will take; without, the schedule is not looked at.

    Returns
    -------
    CheckResult
        Measured: ``growth`` (of the steps under a constant gradient, from 1000 to 2000),
        ``swing`` (how much each differs from the one before, in parts of their size) and, of a
        schedule, ``useful`` (the part of the run with a rate above a hundredth of the largest).

    Raises
    ------
    TypeError
        It is no optimizer.

    Examples
    --------
    >>> from nnbook import checks, optim, schedules
    >>> checks.check_optimizer(optim.nesterov(0.1)).passed
    True
    >>> halved_every_step = schedules.step_decay(0.1, every=1, factor=0.5)
    >>> checks.check_optimizer(optim.sgd(halved_every_step), steps=100).passed
    False
    """
    if not isinstance(optimizer, Optimizer):
        rule = optim.from_mxnet(optimizer)  # refuses what is no optimizer
        return CheckResult(CHECK, tuple(_first_step(rule)), {})
    findings = _first_step(_with_rate(optimizer, _largest_rate(optimizer, steps)))
    measured: dict[str, Any] = {}
    if not findings:
        found, numbers = _constant_gradient(optimizer)
        findings, measured = found + _small_gradient(optimizer, steps), numbers
    if steps is not None and callable(optimizer.learning_rate):
        useful = _useful(optimizer.learning_rate, steps)
        measured["useful"] = useful
        if useful < 0.25:
            findings.append(_used_up(useful, steps))
    return CheckResult(CHECK, tuple(findings), measured)


def _with_rate(optimizer: Optimizer, rate: float) -> Optimizer:
    return replace(optimizer, learning_rate=rate)


def _largest_rate(optimizer: Optimizer, steps: int | None) -> float:
    rate = optimizer.learning_rate
    if callable(rate):
        return max(float(onp.max(rate(t))) for t in range(min(steps or 100, 1000)))
    return float(onp.max(rate.asnumpy() if hasattr(rate, "asnumpy") else rate))


def _first_step(rule: Optimizer) -> list[Finding]:
    """Try one step from 0, where nothing decays."""
    theta = onp.zeros(4)
    gradient = onp.array([1.0, -2.0, 0.5, -0.1])
    step, _ = rule.update(gradient, rule.init(theta), theta)
    along = float(onp.asarray(step) @ gradient)
    if along < 0:
        return []
    if along > 0:
        message = "the first step leads uphill, along the gradient"
        return [Finding(CHECK, "error", message, "subtract the rate times the gradient")]
    message = "the first gradient is not used: the step is 0"
    advice = "take the step after the backward pass of the same minibatch, and use its gradient"
    return [Finding(CHECK, "error", message, advice)]


def _sizes(optimizer: Optimizer, steps: int) -> onp.ndarray:
    """Return the steps under the gradient 1, per unit of rate, without decay."""
    rule, theta = _with_rate(optimizer, 1.0), onp.zeros(1)
    state, sizes = rule.init(theta), []
    for _ in range(steps):
        step, state = rule.update(onp.ones(1), state, theta)
        sizes.append(-float(onp.asarray(step)[0]))
    return onp.array(sizes)


def _constant_gradient(optimizer: Optimizer) -> tuple[list[Finding], dict[str, float]]:
    """Judge the steps that a constant gradient makes."""
    sizes = _sizes(optimizer, 2 * _LONG)
    early = abs(sizes[:6])
    swings = onp.diff(sizes[:6])
    alternates = bool((swings[1:] * swings[:-1] < 0).all())
    swing = float(abs(swings).max()) / max(float(early.max()), 1e-300) if alternates else 0.0
    growth = float(sizes[-1] / sizes[_LONG - 1]) if sizes[_LONG - 1] else float("inf")
    findings = []
    if swing > 0.1:
        message = "under a constant gradient the steps swing to and fro instead of adding up"
        advice = "look at the sign with which the velocity is kept: v ← μ v − η g"
        findings.append(Finding(CHECK, "error", message, advice))
    if growth > 1.8:
        message = (
            f"under a constant gradient the steps grow without end ({growth:.3g}× from step 1000 "
            "to 2000)"
        )
        advice = "set gradients to 0 before each backward pass; momentum must be below 1"
        findings.append(Finding(CHECK, "error", message, advice))
    return findings, {"growth": growth, "swing": swing}


def _small_gradient(optimizer: Optimizer, steps: int | None) -> list[Finding]:
    """Try a gradient that asks a weight of 1 to move by 1e-4."""
    rate = _largest_rate(optimizer, steps)
    rule, theta = _with_rate(optimizer, rate), onp.ones(1, dtype="float32")
    moved: Callable[[float], float] = lambda g: float(  # noqa: E731
        onp.asarray(rule.update(onp.full(1, g, "float32"), rule.init(theta), theta)[0])[0]
    )
    if rate <= 0 or moved(1e-4 / rate) != moved(0.0):
        return []
    message = "a weight of 1 does not move when the gradient asks for 1e-4: steps are rounded away"
    advice = "keep the weights in float32, also where the network computes in half precision"
    return [Finding(CHECK, "error", message, advice)]


def _useful(rate: Callable[[int], Any], steps: int) -> float:
    """Return the part of a run in which the rate is above a hundredth of its largest."""
    times = onp.unique(onp.linspace(0, steps - 1, min(steps, 1000)).astype(int))
    rates = onp.array([float(onp.max(rate(int(t)))) for t in times])
    return float((rates > 0.01 * rates.max()).mean())


def _used_up(useful: float, steps: int) -> Finding:
    message = (
        f"the rate is below a hundredth of its largest for {1 - useful:.0%} of the {steps} steps"
    )
    advice = "schedules count steps, not epochs: give them the number of steps in an epoch"
    return Finding(CHECK, "warning", message, advice)
