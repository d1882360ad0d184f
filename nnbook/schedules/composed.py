"""Schedules made of other schedules."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_positive, check_whole
from nnbook.schedules.base import Schedule
from nnbook.schedules.decay import constant

__all__ = ["joined", "warmup"]

Rate = Callable[[Any], Any]  # step -> rate


@dataclass(frozen=True)
class warmup(Schedule):
    """Raise another schedule linearly over its first steps: η(t) = s(t) · min(1, (t + 1)/W).

    The first step has the rate s(0)/W, not 0, and step W − 1 the full one. The schedule keeps its
    own clock, so the length of a run does not change.

    Parameters
    ----------
    schedule : callable or float
        s, any function ``step -> rate``, or a number for a constant rate.
    steps : int
        W ≥ 1.

    Raises
    ------
    ValueError, TypeError
        `steps` is below 1, or `schedule` is neither callable nor a positive number.

    References
    ----------
    Goyal et al. (2017), Accurate, large minibatch SGD.
    """

    schedule: Rate | float
    steps: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", _as_schedule("schedule", self.schedule))
        check_whole(self.steps, "steps")

    def _rates(self, steps):
        return _evaluate(self.schedule, steps) * onp.minimum(1, (steps + 1) / self.steps)


@dataclass(frozen=True)
class joined(Schedule):
    """Follow one schedule after another; each starts its own clock at 0.

    ``joined([cosine(0.1, 500)] * 4, [500, 1000, 1500])`` is a cosine with restarts.

    Parameters
    ----------
    schedules : sequence of callable or float
        At least one; a number stands for a constant rate.
    boundaries : sequence of int
        The step at which the second, third, ... schedule begins: rising, one fewer than schedules.

    Raises
    ------
    ValueError, TypeError
        No schedule, a wrong number of boundaries, or boundaries that do not rise from above 0.
    """

    schedules: Sequence[Rate | float]
    boundaries: Sequence[int]

    def __post_init__(self) -> None:
        parts = tuple(_as_schedule("schedules", part) for part in self.schedules)
        edges = tuple(operator.index(edge) for edge in self.boundaries)
        if not parts or len(edges) != len(parts) - 1:
            raise ValueError(
                f"{len(parts)} schedules and {len(edges)} boundaries; expected at least one "
                "schedule and a boundary between each two"
            )
        if any(later <= earlier for earlier, later in itertools.pairwise((0, *edges))):
            raise ValueError(f"boundaries are {list(edges)}; expected rising steps above 0")
        object.__setattr__(self, "schedules", parts)
        object.__setattr__(self, "boundaries", edges)

    def _rates(self, steps):
        rates = onp.empty_like(steps)
        which = onp.searchsorted(self.boundaries, steps, side="right")
        for index, (part, start) in enumerate(
            zip(self.schedules, (0, *self.boundaries), strict=True)
        ):
            inside = which == index
            if inside.any():
                rates[inside] = _evaluate(part, steps[inside] - start)
        return rates


def _as_schedule(name: str, value: Any) -> Rate:
    """Let a number stand for a constant rate."""
    if callable(value):
        return value
    check_positive(value, name)
    return constant(value)


def _evaluate(schedule: Any, steps: onp.ndarray) -> Any:
    """Evaluate ours on the whole array, a foreign ``step -> rate`` one step at a time."""
    if isinstance(schedule, Schedule):
        return schedule(steps)
    rates = [float(schedule(int(step))) for step in steps.ravel()]
    return onp.array(rates).reshape(steps.shape)
