"""The update rules of `nnbook.optim`, in place on NumPy memory.

The pure rules allocate an array for every operation. These do the same arithmetic without, for the
inner loop of `fit`; each belongs to a rule, as its ``kernel``, and the tests hold it to that rule.
A rule without one runs as it is.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as onp

__all__ = ["adagrad", "adam", "momentum", "nesterov", "rmsprop", "sgd"]

Array = onp.ndarray


def sgd(theta: Array, g: Array, buffers: tuple, s: Array, rate: Any, t: int) -> None:
    """θ ← θ − η g."""
    _add_scaled(theta, -rate, g, s)


def momentum(
    theta: Array, g: Array, buffers: tuple, s: Array, rate: Any, t: int, momentum: float
) -> None:
    """v ← μ v − η g, θ ← θ + v."""
    (v,) = buffers
    v *= momentum
    _add_scaled(v, -rate, g, s)
    theta += v


def nesterov(
    theta: Array, g: Array, buffers: tuple, s: Array, rate: Any, t: int, momentum: float
) -> None:
    """θ ← θ − μ v + (1 + μ) v′, with v′ = μ v − η g."""
    (v,) = buffers
    v *= momentum
    theta -= v
    _add_scaled(v, -rate, g, s)
    _add_scaled(theta, 1 + momentum, v, s)


def adagrad(
    theta: Array, g: Array, buffers: tuple, s: Array, rate: Any, t: int, eps: float
) -> None:
    """s ← s + g², θ ← θ − η g / (√s + eps)."""
    (squares,) = buffers
    onp.multiply(g, g, out=s)
    squares += s
    _subtract_scaled(theta, g, squares, s, rate, 1.0, eps)


def rmsprop(
    theta: Array, g: Array, buffers: tuple, s: Array, rate: Any, t: int, decay: float, eps: float
) -> None:
    """s ← ρ s + (1 − ρ) g², θ ← θ − η g / (√s + eps)."""
    (squares,) = buffers
    _average(squares, onp.multiply(g, g, out=s), decay, s)
    _subtract_scaled(theta, g, squares, s, rate, 1.0, eps)


def adam(
    theta: Array,
    g: Array,
    buffers: tuple,
    s: Array,
    rate: Any,
    t: int,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float | None = None,
) -> None:
    """Averages of g and g², corrected; then, if it is asked for, decay apart from the gradient."""
    mean, squares = buffers
    _average(mean, g, beta1, s)
    _average(squares, onp.multiply(g, g, out=s), beta2, s)
    if weight_decay is not None:
        theta *= 1 - rate * weight_decay
    correction = 1 - beta1 ** (t + 1)
    _subtract_scaled(theta, mean, squares, s, rate / correction, 1 - beta2 ** (t + 1), eps)


def _add_scaled(target: Array, factor: Any, x: Array, s: Array) -> None:
    """Do target ← target + factor · x, in one pass by BLAS where it can."""
    axpy = _axpy(target.dtype.char)
    if axpy is None or target.ndim != 1 or not isinstance(factor, float):
        onp.multiply(x, factor, out=s)
        target += s
    else:
        axpy(x, target, a=factor)


def _average(average: Array, new: Array, keep: float, s: Array) -> None:
    """Do average ← keep · average + (1 − keep) · new."""
    average *= keep
    onp.multiply(new, 1 - keep, out=s)
    average += s


def _subtract_scaled(
    theta: Array, direction: Array, squares: Array, s: Array, rate: Any, scale: float, eps: float
) -> None:
    """Do θ ← θ − rate · direction / (√(squares / scale) + eps)."""
    onp.sqrt(squares, out=s)
    s *= scale**-0.5
    s += eps
    onp.divide(direction, s, out=s)
    s *= rate
    theta -= s


@functools.cache
def _axpy(kind: str) -> Any:
    """Return BLAS's axpy for a dtype, or None.

    SciPy's BLAS starts threads of its own unless it is told to use one, and they get into the way
    of MXNet's; so this is asked when the first step is taken, once MXNet has been imported.
    """
    from scipy.linalg.blas import daxpy, saxpy  # a tenth of a second

    alone = os.environ.get("OMP_NUM_THREADS") == "1"
    return {"f": saxpy, "d": daxpy}.get(kind) if alone else None
