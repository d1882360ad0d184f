"""Small landscapes, noises and changes over time, on which one difficulty is tried at a time.

All shapes live on the same two coordinates, so that one array of points can follow every shape,
noise, change and seed at once; a shape in one dimension leaves the second coordinate alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as onp

__all__ = ["CHANGES", "NOISES", "SHAPES", "Change", "Shape"]

Array = onp.ndarray
# No ordinary rate makes a whole number of steps of this, so that nothing lands on a kink exactly.
START = -1.03


@dataclass(frozen=True)
class Shape:
    """A landscape in one or two dimensions.

    Parameters
    ----------
    name : str
        What it is called in the grid.
    words : str
        What makes it hard.
    dimensions : int
        1 or 2.
    start : tuple of float
        Where a run begins.
    floor : float
        The loss that counts as having arrived: the minimum, or on an open slope a depth.
    value : callable
        f of points, shape (..., 2) to (...).
    gradient : callable
        ∇f of points, shape (..., 2) to (..., 2).
    """

    name: str
    words: str
    dimensions: int
    start: tuple[float, float]
    floor: float
    value: Callable[[Array], Array]
    gradient: Callable[[Array], Array]


@dataclass(frozen=True)
class Change:
    """How a landscape changes with the step; the defaults change nothing.

    Parameters
    ----------
    name : str
        What it is called in the grid.
    words : str
        What happens.
    slope, noise, offset : callable
        Of the number of the block of ten steps, from 0: what the gradient and what the noise are
        multiplied by, and how far the landscape is moved.
    """

    name: str
    words: str
    slope: Callable[[int], float] = lambda block: 1.0
    noise: Callable[[int], float] = lambda block: 1.0
    offset: Callable[[int], float] = lambda block: 0.0


def _in_one(
    name: str,
    words: str,
    value: Callable[[Array], Array],
    slope: Callable[[Array], Array],
    floor: float = 0.0,
) -> Shape:
    def gradient(theta: Array) -> Array:
        g = onp.zeros_like(theta)
        g[..., 0] = slope(theta[..., 0])
        return g

    return Shape(name, words, 1, (START, 0.0), floor, lambda theta: value(theta[..., 0]), gradient)


def _turned(shape: Shape, degrees: float) -> Shape:
    """Turn a landscape about the origin."""
    cos, sin = onp.cos(onp.deg2rad(degrees)), onp.sin(onp.deg2rad(degrees))
    turn = onp.array([[cos, -sin], [sin, cos]])
    start = turn @ onp.array(shape.start)
    return Shape(
        shape.name,
        shape.words,
        2,
        (float(start[0]), float(start[1])),
        shape.floor,
        lambda theta: shape.value(theta @ turn),
        lambda theta: shape.gradient(theta @ turn) @ turn.T,
    )


def _pair(first: Array, second: Array) -> Array:
    return onp.stack([first, second], axis=-1)


_WIDTH = 0.4  # of the Gaussian
_CURVATURES = onp.array([0.3, 15.0])

_VALLEY = Shape(
    "valley",
    "a quadratic bowl fifty times as steep across as along, turned by 30°",
    2,
    (-1.5, 0.2),
    0.0,
    lambda theta: 0.5 * (theta**2 @ _CURVATURES),
    lambda theta: theta * _CURVATURES,
)
_GUTTER = Shape(
    "gutter",
    "a long slope between two steep walls that meet in a kink, turned by 30°",
    2,
    (0.0, 0.1),
    -2.0,
    lambda theta: 5 * onp.abs(theta[..., 1]) - theta[..., 0],
    lambda theta: _pair(onp.full(theta.shape[:-1], -1.0), 5 * onp.sign(theta[..., 1])),
)
_SADDLE = Shape(
    "saddle",
    "a pass between two wells, entered almost along its ridge",
    2,
    (-0.1, 0.01),
    0.0,
    lambda theta: theta[..., 0] ** 2 / 2 + (theta[..., 1] ** 2 - 1) ** 2 / 4,
    lambda theta: _pair(theta[..., 0], (theta[..., 1] ** 2 - 1) * theta[..., 1]),
)

SHAPES = (
    _in_one("line", "a slope without an end", lambda x: -x, lambda x: onp.full(x.shape, -1.0), -4),
    _in_one(
        "ReLU",
        "a slope that becomes flat",
        lambda x: onp.maximum(-x, 0),
        lambda x: onp.where(x < 0, -1.0, 0.0),
    ),
    _in_one("abs", "a kink at the minimum", onp.abs, onp.sign),
    _in_one(
        "bend",
        "a slope of 0.1 that becomes one of 1",
        lambda x: onp.where(x < 0, -0.1, -1.0) * x,
        lambda x: onp.where(x < 0, -0.1, -1.0),
        -1.0,
    ),
    _in_one(
        "cliff",
        "a slope that ends at a wall ten times as steep",
        lambda x: onp.where(x < 0, -1.0, 10.0) * x,
        lambda x: onp.where(x < 0, -1.0, 10.0),
    ),
    _in_one(
        "ridge",
        "a slope that falls off ten times as steeply",
        lambda x: onp.where(x < 0, -1.0, -10.0) * x,
        lambda x: onp.where(x < 0, -1.0, -10.0),
        -10.0,
    ),
    _in_one(
        "exponential",
        "a slope that dies away, and explodes on the other side",
        lambda x: onp.exp(START - x),
        lambda x: -onp.exp(START - x),
    ),
    _in_one("quadratic", "a bowl", lambda x: x**2 / 2, lambda x: x),
    _in_one(
        "Gaussian",
        "a well in a plain: little slope far from it",
        lambda x: -onp.exp(-((x / _WIDTH) ** 2) / 2),
        lambda x: x / _WIDTH**2 * onp.exp(-((x / _WIDTH) ** 2) / 2),
        -1.0,
    ),
    _turned(_VALLEY, 30),
    _turned(_GUTTER, 30),
    _SADDLE,
)


def _none(rng: onp.random.Generator, shape: tuple[int, ...]) -> tuple[Any, Any]:
    return 1.0, 0.0


def _additive(rng: onp.random.Generator, shape: tuple[int, ...]) -> tuple[Any, Any]:
    return 1.0, rng.normal(size=shape)


def _multiplicative(rng: onp.random.Generator, shape: tuple[int, ...]) -> tuple[Any, Any]:
    return onp.exp(rng.normal(size=shape)), 0.0


def _mask_out(rng: onp.random.Generator, shape: tuple[int, ...]) -> tuple[Any, Any]:
    return (rng.random(shape) < 0.1).astype(float), 0.0


def _cauchy(rng: onp.random.Generator, shape: tuple[int, ...]) -> tuple[Any, Any]:
    return 1.0, 0.3 * rng.standard_cauchy(shape)


# Each draws what a gradient is multiplied by, and what is added to it.
NOISES: dict[str, Callable[[onp.random.Generator, tuple[int, ...]], tuple[Any, Any]]] = {
    "none": _none,
    "additive": _additive,
    "multiplicative": _multiplicative,
    "mask-out": _mask_out,
    "Cauchy": _cauchy,
}

CHANGES = (
    Change("stationary", "nothing changes"),
    Change(
        "scale",
        "slopes are ten times as steep in every other block of ten steps",
        slope=lambda block: 10.0 if block % 2 else 1.0,
    ),
    Change(
        "noise",
        "the noise is twice as strong in every other block of ten steps",
        noise=lambda block: 2.0 if block % 2 else 1.0,
    ),
    Change(
        "offset",
        "the landscape stands 0.3 further on in every other block of ten steps",
        offset=lambda block: 0.3 if block % 2 else 0.0,
    ),
    Change(
        "sign",
        "gradients point the wrong way in one of every four blocks of ten steps",
        slope=lambda block: -1.0 if block % 4 == 2 else 1.0,
    ),
)
