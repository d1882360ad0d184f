"""Slopes of a loss and of a penalty, by automatic differentiation and by differences."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook.checks.differences import best_step, noise_of, slope_beside
from nnbook.checks.results import Coordinate
from nnbook.findings import Finding
from nnbook.gluon.parameters import ParameterVector
from nnbook.gluon.twins import Twin

__all__ = ["chosen_entries", "make_twin", "penalty_slopes", "slopes_of", "unsteady"]

Slopes = tuple[tuple[Coordinate, ...], float, float]


def make_twin(
    net: Any, loss: Any, x: Any, y: Any, *, dtype: str = "float64", **options: Any
) -> Twin:
    """Return a copy in float64, or in the network's own dtype where float64 does not work."""
    try:
        return Twin(net, loss, x, y, dtype=dtype, **options)
    except Exception as error:
        if dtype != "float64":
            raise
        # Whatever it was, either float64 is at fault, or the next line raises it again.
        twin = Twin(net, loss, x, y, **options)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        twin.why_not = lines[-1] if lines else type(error).__name__
        return twin


def slopes_of(twin: Twin, h: float | None, per_parameter: int, seed: int) -> Slopes:
    """Return the slopes at some entries of every parameter, the step and the noise."""
    gradient, rng = twin.gradient(), onp.random.default_rng(seed)
    noise, middle = _noise(twin, rng), twin.loss()
    h = best_step(noise, abs(middle)) if h is None else h
    found = []
    for name, part in twin.vector.slices.items():
        for k in chosen_entries(gradient[part], per_parameter, rng):
            place = part.start + k
            pair = (
                float(gradient[place]),
                slope_beside(twin.along(place), middle, float(gradient[place]), h, noise),
            )
            index = onp.unravel_index(k, twin.vector.shapes[name])
            found.append(_coordinate(name, index, *pair, precision_of(twin.dtype)))
    return tuple(found), h, noise


def _noise(twin: Twin, rng: onp.random.Generator) -> float:
    """Measure the rounding error of the loss, in steps that move what is in float32 inside too.

    Each entry of θ moves in proportion to its size, so that zeros, often at a kink, stay.
    """
    resolution, estimates = float(onp.finfo(twin.dtype).eps), []
    sizes = abs(twin.vector.theta.asnumpy().astype("float64"))
    for _ in range(2):  # the lesser, since a kink on the way looks like noise
        direction = sizes * rng.choice([-1.0, 1.0], size=len(sizes))
        estimates.append(noise_of(twin.along_direction(direction), max(1e-7, 4 * resolution)))
    return max(min(estimates), resolution * abs(twin.loss()))


def penalty_slopes(penalty: Any, vector: ParameterVector, count: int, seed: int) -> Slopes:
    """Return the slopes of a penalty at some weights, the step and the noise."""
    theta = (vector.theta.asnumpy() * vector.weight_mask).astype("float64")
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


def precision_of(dtype: str) -> float:
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


def unsteady(twin: Twin, check: str) -> list[Finding]:
    """Find out whether the network is random in use."""
    if not twin.varies(training=False):
        return []
    message = "two evaluations of the same examples differ, outside training too"
    advice = "look for dropout or noise that does not ask autograd.is_training()"
    return [Finding(check, "error", message, advice)]
