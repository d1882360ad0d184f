"""Where a task's examples come from: sets that are finite, and generators that never end."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as onp

from nnbook._optional import require
from nnbook.data import load_digits_8x8, load_mnist, load_small_fashion_mnist, moons, sines

__all__ = [
    "MOONS_BEST",
    "SINE_BEST",
    "TEACHER_BEST",
    "cancer_pool",
    "diabetes_pool",
    "digits_pool",
    "draw_moons",
    "draw_signals",
    "draw_sine",
    "draw_teacher",
    "fashion_pool",
    "mnist_pool",
    "wine_pool",
]

Pair = tuple[onp.ndarray, onp.ndarray]
Generator = onp.random.Generator

# The least error that there can be: of the moons the integral of the smaller of two densities, of
# the sine the noise's part of the variance, of the teacher the wrong labels.
_MOONS_NOISE, MOONS_BEST = 0.3, 0.0854
_SINE_NOISE, SINE_BEST = 0.3, 0.3**2 / (0.5 + 0.3**2)
TEACHER_BEST = 0.1
_POINTS = 40  # of a signal


@lru_cache(maxsize=1)
def mnist_pool() -> Pair:
    """All 70,000 digits of MNIST as bytes, and their labels."""
    return _images(load_mnist())


@lru_cache(maxsize=1)
def fashion_pool() -> Pair:
    """The 22,000 images of Fashion-MNIST that ship with the package, and their labels."""
    return _images(load_small_fashion_mnist())


def _images(parts: Any) -> Pair:
    pixels = [(255 * x + 0.5).astype("uint8") for x in parts[::2]]  # a quarter of the memory
    return onp.concatenate(pixels), onp.concatenate(parts[1::2])


@lru_cache(maxsize=1)
def digits_pool() -> Pair:
    """The 1,797 digits of 8 × 8 pixels."""
    return load_digits_8x8()


@lru_cache(maxsize=1)
def cancer_pool() -> Pair:
    """569 tumours by 30 measurements: malignant (0) or benign (1)."""
    return _of_sklearn("load_breast_cancer")


@lru_cache(maxsize=1)
def wine_pool() -> Pair:
    """178 wines by 13 measurements: one of three growers."""
    return _of_sklearn("load_wine")


@lru_cache(maxsize=1)
def diabetes_pool() -> Pair:
    """442 patients by 10 measurements: how far the disease has gone a year later, a number."""
    x, y = _of_sklearn("load_diabetes")
    return x, y.astype("float32").reshape(-1, 1)


def _of_sklearn(name: str) -> Pair:
    found = getattr(require("sklearn.datasets", extra="all"), name)()
    return found.data, found.target.astype("int32")


def draw_moons(count: int, rng: Generator) -> Pair:
    """Draw two half circles that reach into each other."""
    return moons(count, noise=_MOONS_NOISE, rng=rng)


def draw_sine(count: int, rng: Generator) -> Pair:
    """Draw a noisy sine."""
    return sines(count, noise=_SINE_NOISE, rng=rng)


def draw_teacher(count: int, rng: Generator) -> Pair:
    """Draw normal inputs, labelled by one fixed network; a share of the labels is wrong.

    Wrong labels are uniform over the other classes, so the teacher itself is the best that there
    can be, and its error is that share.
    """
    fixed = onp.random.default_rng(20)
    first, second = fixed.normal(size=(10, 8)), fixed.normal(size=(8, 3))
    x = rng.normal(size=(count, 10))
    y = (onp.tanh(x @ first) @ second).argmax(axis=1)
    wrong = rng.random(count) < TEACHER_BEST
    y = onp.where(wrong, (y + rng.integers(1, 3, count)) % 3, y)
    return x.astype("float32"), y.astype("int32")


def draw_signals(count: int, rng: Generator) -> Pair:
    """Draw signals of 40 points: one of ten patterns, stretched, shifted, tilted, and noise.

    References
    ----------
    Greydanus and Kobak (2024), Scaling down deep learning with MNIST-1D: the idea. The patterns
    and their numbers are our own.
    """
    from scipy.interpolate import CubicSpline
    from scipy.ndimage import gaussian_filter1d

    y = rng.integers(0, 10, count)
    width = rng.uniform(0.35, 0.55, (count, 1))  # of the pattern, as a part of the signal
    start = rng.uniform(0, 1, (count, 1)) * (1 - width)
    place = (onp.linspace(0, 1, _POINTS) - start) / width  # 0 … 1 inside the pattern
    knots = onp.linspace(0, 1, 12)
    x = onp.empty((count, _POINTS))
    for label, heights in enumerate(_patterns()):
        mine = y == label
        values = CubicSpline(knots, heights)(onp.clip(place[mine], 0, 1))
        x[mine] = onp.where((place[mine] >= 0) & (place[mine] <= 1), values, 0)
    x *= rng.uniform(0.7, 1.3, (count, 1))
    x += rng.uniform(-0.75, 0.75, (count, 1)) * onp.linspace(-0.5, 0.5, _POINTS)
    x += 0.5 * gaussian_filter1d(rng.normal(size=x.shape), 2, axis=1)
    x += 0.02 * rng.normal(size=x.shape)
    return x.astype("float32"), y.astype("int32")


def _patterns() -> onp.ndarray:
    """Ten fixed curves by their heights at twelve places, the ends at 0."""
    heights = onp.random.default_rng(1).normal(size=(10, 12))
    heights[:, [0, -1]] = 0
    return heights
