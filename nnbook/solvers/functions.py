"""What is minimised, with everything counted that it computes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from nnbook.curvature.hessians import gradient_difference
from nnbook.curvature.operators import Function as FunctionOperator
from nnbook.curvature.operators import Operator
from nnbook.solvers.results import Ended, Stop

__all__ = ["Counts", "Point", "Scalar", "checked_start", "mover"]

Array = np.ndarray


class Point(NamedTuple):
    """A place with what is known of it.

    Attributes
    ----------
    x : numpy.ndarray, shape (P,)
    value : float
    gradient : numpy.ndarray, shape (P,)
    """

    x: Array
    value: float
    gradient: Array

    @property
    def gradient_norm(self) -> float:
        """The largest absolute entry of the gradient."""
        return float(abs(self.gradient).max())

    @property
    def finite(self) -> bool:
        """Whether value and gradient are finite."""
        return bool(np.isfinite(self.value) and np.isfinite(self.gradient).all())


class Counts:
    """How often what was computed, and the limits of it."""

    def __init__(self, stop: Stop):
        self.stop, self._start = stop, time.perf_counter()
        self.evaluations = self.gradients = self.products = self.hessians = 0

    def seconds(self) -> float:
        """Return the time since the start."""
        return time.perf_counter() - self._start

    def check(self) -> None:
        """Raise `Ended` where the time, or the evaluations, are used up."""
        if self.stop.seconds is not None and self.seconds() > self.stop.seconds:
            raise Ended("time")
        if self.stop.evaluations is not None and self.evaluations >= self.stop.evaluations:
            raise Ended("evaluations")


class Scalar:
    """A function of a vector with its derivatives.

    Parameters
    ----------
    value, gradient : callable
        f and ∇f.
    hessian : callable or None
        ``hessian(x)``: an array or an operator.
    counts : Counts
        What is counted on.
    """

    def __init__(
        self,
        value: Callable[[Array], Any],
        gradient: Callable[[Array], Any],
        hessian: Callable[[Array], Any] | None,
        counts: Counts,
    ):
        self._value, self._gradient, self._hessian = value, gradient, hessian
        self.counts = counts

    def value(self, x: Array) -> float:
        """Return f(x); infinity where it is no number, so that searches turn back."""
        self.counts.check()
        self.counts.evaluations += 1
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = float(np.asarray(self._value(x.copy()), dtype=float).reshape(()))
        return found if not np.isnan(found) else np.inf

    def gradient(self, x: Array) -> Array:
        """Return ∇f(x), shape (P,)."""
        self.counts.check()
        self.counts.gradients += 1
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = np.array(self._gradient(x.copy()), dtype=float)
        if found.shape != x.shape:
            raise ValueError(f"gradient has shape {found.shape}; expected {x.shape}, as x")
        return found

    def point(self, x: Array) -> Point:
        """Return x with its value and gradient."""
        return Point(x, self.value(x), self.gradient(x))

    def operator(self, point: Point) -> Operator:
        """Return the Hessian as an operator whose products are counted."""
        if self._hessian is None:
            inner: Any = gradient_difference(self.gradient, point.x)
        else:
            inner = self._hessian(point.x.copy())

        def product(v: Array) -> Array:
            self.counts.check()
            self.counts.products += 1
            return inner @ v

        return FunctionOperator(product, len(point.x))

    def hessian(self, point: Point) -> Array:
        """Return the Hessian as a symmetric array."""
        self.counts.hessians += 1
        if self._hessian is None:
            inner: Any = gradient_difference(self.gradient, point.x)
        else:
            inner = self._hessian(point.x.copy())
        found = inner.dense() if isinstance(inner, Operator) else np.array(inner, dtype=float)
        if found.shape != (len(point.x),) * 2:
            raise ValueError(f"hessian has shape {found.shape}; expected {(len(point.x),) * 2}")
        return (found + found.T) / 2


def checked_start(start: Any) -> Array:
    """Return a start as a vector in float64."""
    try:
        x = np.array(start, dtype=float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"start is {start!r}; expected a vector of numbers") from error
    if x.ndim != 1 or not x.size:
        raise ValueError(f"start has shape {x.shape}; expected one vector, (P,)")
    if not np.isfinite(x).all():
        raise ValueError(f"start is {x}; expected finite numbers")
    return x


def mover(objective: Any) -> Callable[[Array | None], None]:
    """Return a function that moves an objective's θ, or given None puts back what it was."""
    before = np.array(objective.theta)

    def move(x: Array | None) -> None:
        objective.theta = before if x is None else x.astype(before.dtype)

    return move
