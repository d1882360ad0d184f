"""When to stop, and what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from nnbook._arguments import check_number, check_whole

__all__ = ["History", "Progress", "Solution", "Stop"]

REASONS = {
    "gradient": "the gradient is within its tolerance",
    "step": "the step is within its tolerance",
    "value": "the value falls by no more than its tolerance",
    "target": "the value has reached the target",
    "iterations": "the iterations are used up",
    "evaluations": "the evaluations are used up",
    "time": "the time is used up",
    "callback": "the callback asked to stop",
    "search": "no step was found along which the value falls",
    "diverged": "the value is no longer finite, or falls without end",
}
CONVERGED = {"gradient", "step", "value", "target"}


@dataclass(frozen=True)
class Stop:
    """When to stop: whichever comes first. None asks for nothing.

    Parameters
    ----------
    gradient : float
        Tolerance: for `minimize` of the largest absolute entry of ∇f; for `least_squares` of the
        relative offset, the share of the residuals' length that lies in the span of the Jacobian.
        It does not depend on the units of parameters or data.
    step : float
        Of ‖Δx‖ / ‖x‖.
    value : float
        Of the relative fall of the value in an iteration.
    target : float, optional
        A value that is good enough.
    iterations : int
        At most.
    evaluations : int, optional
        Of the value, at most.
    seconds : float, optional
        At most; the running evaluation is not interrupted.

    References
    ----------
    Bates and Watts (1981), A relative offset orthogonality convergence criterion for nonlinear
    least squares.
    """

    gradient: float = 1e-8
    step: float = 0.0
    value: float = 0.0
    target: float | None = None
    iterations: int = 1000
    evaluations: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("gradient", "step", "value"):
            check_number(getattr(self, name), name, least=0)
        check_whole(self.iterations, "iterations", least=0)
        if self.evaluations is not None:
            check_whole(self.evaluations, "evaluations")
        if self.seconds is not None:
            check_number(self.seconds, "seconds", above=0)
        if self.target is not None:
            check_number(self.target, "target")


class Progress(NamedTuple):
    """What a callback is told after every iteration.

    Attributes
    ----------
    iteration : int
        From 0, the start.
    x : numpy.ndarray, shape (P,)
        Where it is.
    value, gradient_norm : float
        f, and what `Stop.gradient` looks at.
    step : float
        The step's length along its direction, the damping μ, or the radius: what the search chose.
    evaluations, gradients, products : int
        So far.
    seconds : float
        Since the start.
    """

    iteration: int
    x: np.ndarray
    value: float
    gradient_norm: float
    step: float
    evaluations: int
    gradients: int
    products: int
    seconds: float


@dataclass(frozen=True, eq=False)
class History:
    """Every iteration, the start first: arrays of the same length.

    Attributes
    ----------
    value, gradient_norm, step, seconds : numpy.ndarray of float
        As in `Progress`.
    evaluations, gradients, products : numpy.ndarray of int
        Totals so far: what to draw a curve over.
    """

    value: np.ndarray
    gradient_norm: np.ndarray
    step: np.ndarray
    evaluations: np.ndarray
    gradients: np.ndarray
    products: np.ndarray
    seconds: np.ndarray

    @classmethod
    def of(cls, steps: list[Progress]) -> History:
        """Collect what callbacks were told."""
        names = cls.__dataclass_fields__
        return cls(**{name: np.array([getattr(one, name) for one in steps]) for name in names})


@dataclass(frozen=True, eq=False)
class Solution:
    """What a solver found.

    Attributes
    ----------
    x : numpy.ndarray, shape (P,)
        Where a tolerance was met; else the best point that was seen.
    value : float
        f there; for `least_squares` the sum of the squared residuals.
    gradient_norm : float
        What `Stop.gradient` looks at, there.
    converged : bool
        Whether a tolerance or the target was met.
    reason : str
        What ended it: "gradient", "step", "value", "target", "iterations", "evaluations", "time",
        "callback", "search" or "diverged".
    iterations : int
        Steps taken.
    evaluations, gradients, products, hessians : int
        How many values, gradients (or Jacobians), products with a Hessian, and whole Hessians were
        computed. What differences cost is counted as what they are made of.
    seconds : float
        Of wall-clock time.
    history : History
        Iteration by iteration.
    path : numpy.ndarray, shape (iterations + 1, P), or None
        Every x, if it was asked for.
    notes : tuple of str
        What else is worth knowing.
    """

    x: np.ndarray
    value: float
    gradient_norm: float
    converged: bool
    reason: str
    iterations: int
    evaluations: int
    gradients: int
    products: int
    hessians: int
    seconds: float
    history: History = field(repr=False)
    path: np.ndarray | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """The reason, in a sentence."""
        return "; ".join([REASONS[self.reason], *self.notes])


class Ended(Exception):
    """A limit was reached in the midst of an iteration."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


def solution_of(
    best: Any, reason: str, counts: Any, steps: list[Progress], path: Any, notes: Any = ()
) -> Solution:
    """Put a solution together; `best` has x, value and gradient_norm."""
    return Solution(
        np.array(best.x),
        float(best.value),
        float(best.gradient_norm),
        reason in CONVERGED,
        reason,
        len(steps) - 1,
        counts.evaluations,
        counts.gradients,
        counts.products,
        counts.hessians,
        counts.seconds(),
        History.of(steps),
        None if path is None else np.array(path),
        tuple(notes),
    )
