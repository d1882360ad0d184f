"""Follow an update rule through every unit test at once."""

from __future__ import annotations

import functools
from typing import Any

import numpy as onp

from nnbook.optim.base import Optimizer
from nnbook.optim.rules import sgd
from nnbook.optim.shapes import CHANGES, NOISES, SHAPES

__all__ = ["REFERENCE_RATES", "is_elementwise", "losses_of", "reference_of", "start_loss"]

Array = onp.ndarray

REFERENCE_RATES = tuple(float(f"{10 ** (k / 4 - 3):.4g}") for k in range(13))  # 0.001 to 1
BLOCK = 10  # steps between changes
LARGEST = 1e9  # stands for every loss beyond it
_ONE_DIMENSION = onp.array([shape.dimensions == 1 for shape in SHAPES])


def start_loss() -> Array:
    """Return the loss at the start of every shape."""
    return onp.array([float(shape.value(onp.array(shape.start))) for shape in SHAPES])


def _draws(steps: int, seeds: int, seed: int) -> tuple[Array, Array]:
    """Return what gradients are multiplied by and what is added: (steps, noise, 1, seed, 1, 2)."""
    factors, terms = [], []
    for number, draw in enumerate(NOISES.values()):
        rng = onp.random.default_rng([seed, number])
        factor, term = draw(rng, (steps, seeds, 2))
        # Rounded, so that processors whose exp differs in the last bit draw the same noise.
        factors.append(onp.broadcast_to(onp.round(factor, 9), (steps, seeds, 2)))
        terms.append(onp.broadcast_to(onp.round(term, 9), (steps, seeds, 2)))
    together = onp.stack(factors, 1), onp.stack(terms, 1)
    return tuple(a[:, :, None, :, None, :] for a in together)  # type: ignore[return-value]


def losses_of(rule: Optimizer, steps: int, seeds: int, seed: int, together: bool) -> Array:
    """Return the expected loss at every step: (steps + 1, …, noise, change, seed, shape).

    Where … are the axes of the rule's rate, if it has some beside these and the coordinates'.
    """
    rates = onp.shape(rule.learning_rate)[:-5]
    factors, terms = _draws(steps, seeds, seed)
    theta = onp.empty((*rates, len(NOISES), len(CHANGES), seeds, len(SHAPES), 2))
    theta[:] = [shape.start for shape in SHAPES]
    losses = onp.empty((steps + 1, *theta.shape[:-1]))
    stepper = (_Together if together else _OneByOne)(rule, theta)
    with onp.errstate(all="ignore"):
        for k in range(steps + 1):
            slope, noise, offset = _changes_at(k)
            # A block for every shape: on a view with gaps NumPy's power and exp take one of two
            # ways, and two last bits, by what happens to lie behind it in memory.
            here = onp.ascontiguousarray(onp.moveaxis(theta - offset, -2, 0))
            for number, shape in enumerate(SHAPES):
                value = shape.value(here[number])
                losses[k, ..., number] = onp.maximum(value, shape.floor)
            if k == steps:
                break
            gradient = onp.empty_like(theta)
            for number, shape in enumerate(SHAPES):
                gradient[..., number, :] = shape.gradient(here[number])
            gradient *= slope
            gradient *= factors[k] ** noise
            gradient += terms[k] * noise
            gradient[..., _ONE_DIMENSION, 1] = 0.0
            theta = theta + stepper(gradient, theta)
    return onp.nan_to_num(losses, nan=LARGEST, posinf=LARGEST).clip(max=LARGEST)


def _changes_at(step: int) -> tuple[Array, Array, Array]:
    """Return slope, noise and offset of every change, shape (change, 1, 1, 1)."""
    block = step // BLOCK
    numbers = [(c.slope(block), c.noise(block), c.offset(block)) for c in CHANGES]
    slope, noise, offset = onp.array(numbers).T[:, :, None, None, None]
    return slope, noise, offset * onp.array([1.0, 0.0])


class _Together:
    """One step of every run at once."""

    def __init__(self, rule: Optimizer, theta: Array):
        self.rule, self.state = rule, rule.init(theta)

    def __call__(self, gradient: Array, theta: Array) -> Array:
        step, self.state = self.rule.update(gradient, self.state, theta)
        return step


class _OneByOne:
    """One step of every run, each on a θ of its own."""

    def __init__(self, rule: Optimizer, theta: Array):
        self.rule = rule
        dimensions = [shape.dimensions for shape in SHAPES]
        cells = onp.ndindex(*theta.shape[:-1])
        self.parts: list[Any] = [(*cell, slice(dimensions[cell[-1]])) for cell in cells]
        self.states = [rule.init(theta[part].copy()) for part in self.parts]

    def __call__(self, gradient: Array, theta: Array) -> Array:
        steps = onp.zeros_like(theta)
        for n, part in enumerate(self.parts):
            steps[part], self.states[n] = self.rule.update(
                gradient[part].copy(), self.states[n], theta[part].copy()
            )
        return steps


def is_elementwise(rule: Optimizer) -> bool:
    """Try whether three steps on four weights are three steps on each of them."""
    rng = onp.random.default_rng(0)
    start, gradients = rng.normal(size=4), rng.normal(size=(3, 4)) * [0.1, 1, 3, 10]

    def after(theta: Array, columns: slice) -> Array:
        state = rule.init(theta)
        for g in gradients[:, columns]:
            step, state = rule.update(g, state, theta)
            theta = theta + step
        return theta

    alone = onp.concatenate([after(start[k : k + 1], slice(k, k + 1)) for k in range(4)])
    return bool(onp.allclose(after(start, slice(None)), alone, rtol=1e-9, atol=1e-12))


@functools.lru_cache(maxsize=4)
def reference_of(steps: int, seeds: int, seed: int) -> tuple[Array, Array, Array]:
    """Return progress, gain and rate of the best gradient descent.

    The progress has shape (steps + 1, noise, change, shape), the loss that it gains and the rate
    (noise, change, shape).
    """
    rates = onp.array(REFERENCE_RATES)
    rule = sgd(rates.reshape(-1, 1, 1, 1, 1, 1))
    losses = losses_of(rule, steps, seeds, seed, True)
    final = onp.median(losses[-(steps // 5) :].mean(axis=0), axis=-2)
    best = final.argmin(axis=0)
    start = start_loss()
    available = start - onp.array([shape.floor for shape in SHAPES])
    gain = onp.maximum(start - final.min(axis=0), available / 10)
    curves = onp.median(losses, axis=-2)
    chosen = onp.take_along_axis(curves, best[None, None], axis=1)[:, 0]
    found = (start - chosen) / gain, gain, rates[best]
    for array in found:  # they are kept, and whoever gets a part of them must not change it
        array.flags.writeable = False
    return found
