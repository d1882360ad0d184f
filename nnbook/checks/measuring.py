"""Slopes of an objective and of a penalty, by the gradient and by differences of the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as onp

from nnbook.checks.differences import best_step, noise_of, slope_beside
from nnbook.checks.results import Coordinate
from nnbook.objective import Objective, weight_mask

__all__ = [
    "Line",
    "chosen_entries",
    "lines_through",
    "penalty_slopes",
    "slopes_of",
    "some_rows",
]

Slopes = tuple[tuple[Coordinate, ...], float, float]


class Line:
    """The loss of an objective on straight lines through its θ."""

    def __init__(self, objective: Objective, rows: Any):
        self._objective, self._rows = objective, rows
        self.start = onp.array(objective.theta)

    def loss(self) -> float:
        """Return the loss at θ itself."""
        return float(self._objective.loss(self._rows))

    def along(self, coordinate: int) -> Callable[[float], float]:
        """Return the loss as a function of the distance along a coordinate of θ."""

        def function(distance: float) -> float:
            # A new vector each time: an objective may keep the one that it is given.
            moved = self.start.copy()
            moved[coordinate] += distance
            self._objective.theta = moved
            return self.loss()

        return function

    def along_direction(self, direction: onp.ndarray) -> Callable[[float], float]:
        """Return the loss as a function of the distance along a direction, shape (P,)."""
        direction = direction.astype(self.start.dtype)

        def function(distance: float) -> float:
            # A Python number: a NumPy one would turn float32 into float64.
            self._objective.theta = self.start + float(distance) * direction
            return self.loss()

        return function


@contextmanager
def lines_through(objective: Objective, rows: Any = None) -> Iterator[Line]:
    """Give the loss on lines through θ, and put θ back afterwards."""
    line = Line(objective, rows)
    try:
        yield line
    finally:
        objective.theta = line.start


def slopes_of(
    objective: Objective, h: float | None, per_parameter: int, seed: int, rows: Any = None
) -> Slopes:
    """Return the slopes at some entries of every parameter, the step and the noise."""
    gradient, rng = onp.asarray(objective.gradient(rows), dtype=float), onp.random.default_rng(seed)
    found = []
    with lines_through(objective, rows) as line:
        middle = line.loss()
        noise = _noise(line, middle, rng)
        objective.theta = line.start
        h = best_step(noise, abs(middle)) if h is None else h
        precision = precision_of(line.start.dtype)
        for name, part in objective.slices.items():
            for k in chosen_entries(gradient[part], per_parameter, rng):
                analytic = float(gradient[part.start + k])
                slope = slope_beside(line.along(part.start + k), middle, analytic, h, noise)
                index = onp.unravel_index(k, objective.shapes[name])
                found.append(_coordinate(name, index, analytic, slope, precision))
    return tuple(found), h, noise


def _noise(line: Line, middle: float, rng: onp.random.Generator) -> float:
    """Measure the rounding error of the loss, in steps that move what is in float32 inside too.

    Each entry of θ moves in proportion to its size, so that zeros, often at a kink, stay.
    """
    resolution, estimates = float(onp.finfo(line.start.dtype).eps), []
    sizes = abs(line.start.astype("float64"))
    for _ in range(2):  # the lesser, since a kink on the way looks like noise
        direction = sizes * rng.choice([-1.0, 1.0], size=len(sizes))
        estimates.append(noise_of(line.along_direction(direction), max(1e-7, 4 * resolution)))
    return max(min(estimates), resolution * abs(middle))


def penalty_slopes(penalty: Any, objective: Objective, count: int, seed: int) -> Slopes:
    """Return the slopes of a penalty at some weights, the step and the noise."""
    theta = (objective.theta * weight_mask(objective.shapes)).astype("float64")
    gradient = onp.asarray(penalty.gradient(theta), dtype=float)
    rng, middle = onp.random.default_rng(seed), float(penalty.value(theta))
    noise = float(onp.finfo(float).eps) * max(abs(middle), 1e-300) * 4
    h, found = best_step(noise, abs(middle)), []
    for k in rng.permutation(onp.flatnonzero(theta))[:count]:

        def function(distance: float, k: int = k) -> float:
            moved = theta.copy()
            moved[k] += distance
            return float(penalty.value(moved))

        slope = slope_beside(function, middle, float(gradient[k]), h, noise)
        found.append(
            _coordinate("penalty", (k,), float(gradient[k]), slope, precision_of("float64"))
        )
    return tuple(found), h, noise


def precision_of(dtype: Any) -> float:
    """Return how exact a slope by differences can be, relative: 1e-7 in float64."""
    return 7 * float(onp.finfo(dtype).eps) ** 0.5


def _coordinate(name: str, index: Any, analytic: float, slope: Any, precision: float) -> Coordinate:
    place = tuple(int(i) for i in index)
    faint = slope.rounding / precision
    return Coordinate(
        name, place, analytic, slope.value, slope.rounding, faint, slope.kink, slope.exact
    )


def chosen_entries(gradient: onp.ndarray, count: int, rng: onp.random.Generator) -> list[int]:
    """Choose entries of a parameter: half of them anywhere, half where the gradient is not 0."""
    size = len(gradient)
    anywhere = rng.permutation(size)[:count]
    if size <= count:
        return [int(k) for k in anywhere]
    alive = rng.permutation(onp.flatnonzero(gradient))[: count // 2]
    mixed = [*alive, *anywhere]
    return [int(k) for k in list(dict.fromkeys(mixed))[:count]]


def some_rows(objective: Objective, count: int, seed: int) -> onp.ndarray | None:
    """Choose some of an objective's examples; None for all of them."""
    if objective.examples is None or objective.examples <= count:
        return None
    rng = onp.random.default_rng(seed)
    return onp.sort(rng.choice(objective.examples, size=count, replace=False))
