"""Where a run is, what callbacks are told of it, and why it should end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnbook.solvers.functions import Counts
from nnbook.solvers.results import Progress, Stop

__all__ = ["Walk"]


class Walk:
    """The points of a run.

    Parameters
    ----------
    first : Point or alike
        Where it begins: x, value, gradient_norm, finite.
    counts : Counts
        What was computed.
    stop : Stop
        When it should end.
    callback : callable or None
        It is given a `Progress`, and ends the run by returning True.
    keep_path : bool
        Whether every x is to be kept.
    at_rest : str, optional
        The reason where a new point is where the last one was; by default that is none.
    """

    def __init__(
        self,
        first: Any,
        counts: Counts,
        stop: Stop,
        callback: Callable[[Progress], Any] | None,
        keep_path: bool = False,
        at_rest: str | None = None,
    ):
        self.counts, self.stop, self.callback, self.at_rest = counts, stop, callback, at_rest
        self.point = self.best = first
        self.steps: list[Progress] = []
        self.path: list[np.ndarray] | None = [] if keep_path else None

    def note(self, point: Any, step: float) -> str | None:
        """Go to a point, the first one to begin with; return a reason to stop."""
        before = self.point
        asked = self.tell(point, step)
        return "callback" if asked else self._reason(before, point)

    def tell(self, point: Any, step: float) -> bool:
        """Go to a point; return whether the callback asks to stop."""
        self.point, counts = point, self.counts
        if point.value <= self.best.value:
            self.best = point
        numbers = counts.evaluations, counts.gradients, counts.products, counts.seconds()
        told = Progress(
            len(self.steps), point.x.copy(), point.value, point.gradient_norm, step, *numbers
        )
        self.steps.append(told._replace(x=np.zeros(0)))
        if self.path is not None:
            self.path.append(told.x)
        return self.callback is not None and self.callback(told) is True

    def _reason(self, before: Any, point: Any) -> str | None:
        stop = self.stop
        if not point.finite:
            return "diverged"
        if stop.target is not None and point.value <= stop.target:
            return "target"
        if point.gradient_norm <= stop.gradient:
            return "gradient"
        if point is not before:
            moved = float(np.linalg.norm(point.x - before.x))
            if not moved and self.at_rest:
                return self.at_rest
            if moved and moved <= stop.step * float(np.linalg.norm(point.x)):
                return "step"
            fell = before.value - point.value
            allowed = stop.value * max(abs(before.value), abs(point.value))
            if stop.value and moved and 0 <= fell <= allowed:
                return "value"
        return "iterations" if len(self.steps) > stop.iterations else None
