"""Whether an objective's gradient is right: slopes compared, and what a pattern of errors says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as onp

from nnbook.checks.measuring import penalty_slopes, slopes_of
from nnbook.checks.results import Coordinate, GradientCheck, ParameterCheck, by_parameter
from nnbook.findings import Finding
from nnbook.objective import Objective

__all__ = ["check_objective"]

CHECK = "check_gradients"


def check_objective(
    objective: Objective, rows: Any, penalty: Any, h: float | None, per_parameter: int, seed: int
) -> GradientCheck:
    """Hold an objective's gradient against differences of its loss."""
    coordinates: tuple[Coordinate, ...] = ()
    findings: list[Finding] = []
    value, noise = float(objective.loss(rows)), float("nan")
    if not onp.isfinite(value) or objective.loss(rows) != value:
        findings, h = [_not_repeatable("evaluations", value)], float("nan")
    elif not onp.array_equal(objective.gradient(rows), objective.gradient(rows), equal_nan=True):
        findings, h = [_not_repeatable("gradients", value)], float("nan")
    else:
        coordinates, h, noise = slopes_of(objective, h, per_parameter, seed, rows)
    shapes = dict(objective.shapes)
    if penalty is not None:
        coordinates += penalty_slopes(penalty, objective, per_parameter, seed)[0]
        shapes["penalty"] = (objective.size,)
    parameters = by_parameter(coordinates, shapes)
    used = objective.examples if rows is None else len(rows)
    findings += _wrong(coordinates, parameters, used) or _too_small(coordinates)
    dtype = onp.dtype(objective.theta.dtype).name
    return GradientCheck(coordinates, parameters, tuple(findings), h, noise, dtype, ())


def _wrong(
    coordinates: Sequence[Coordinate], parameters: Sequence[ParameterCheck], n: int | None
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
    severity = "warning" if worst.relative_error <= 1e-2 else "error"  # NaN too
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


def _hint(coordinates: Sequence[Coordinate], n: int | None, wrong: Sequence[ParameterCheck]) -> str:
    """Guess from the pattern of the errors where they come from."""
    alarms = [c for c in coordinates if c.alarm]
    if all(c.analytic == 0 for c in alarms):
        return (
            "nothing arrives there: look for a computation outside autograd (NumPy, np.var, "
            "detach) and for a backward pass that returns zeros"
        )
    if any(not onp.isfinite(c.analytic) for c in alarms):
        return "look for 0/0, 0 · ∞, and slopes of square roots and logarithms at 0"
    if all(c.numeric == 0 for c in alarms):
        return (
            "the loss does not change at all: see that it uses the theta it is given, and that "
            "nothing computes in float16 or bfloat16, whose steps are wider than h"
        )
    ratios = onp.array([c.analytic / c.numeric for c in alarms if c.numeric])
    if len(ratios) > 1 and onp.ptp(ratios) < 1e-3 * abs(ratios).max():
        ratio = float(ratios.mean())
        if abs(ratio + 1) < 1e-3:
            return "every wrong slope has the opposite sign: look for a sign in a backward pass"
        counted = n is not None and n > 1 and abs(ratio / n - 1) < 1e-3
        what = f", the number of examples: 1/{n} is missing" if counted else ""
        if n is not None and n > 1 and abs(ratio * n - 1) < 1e-3:
            what = f", 1/{n}: a mean over the examples where a sum belongs"
        return f"every wrong slope is {ratio:.4g} times what it should be{what}"
    return (
        f"compare the backward passes at and above {wrong[0].name}: the error is in the layers "
        "between the lowest wrong parameter and the lowest right one above it"
    )


def _not_repeatable(what: str, value: float) -> Finding:
    if not onp.isfinite(value):
        message = f"the loss is {value}"
        advice = "look for logarithms of 0, overflow, and NaN in the data"
    else:
        message = f"two {what} from the same seed differ, so slopes cannot be measured"
        advice = (
            "let what is random start from the same seed at every call (in a Gluon network: draw "
            "from MXNet's or NumPy's global generator), or turn it off (in PyTorch: model.eval())"
        )
    return Finding(CHECK, "error", message, advice)
