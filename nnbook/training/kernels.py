"""The update rules of `nnbook.optim`, in place on NumPy memory.

The pure rules allocate an array for every operation. These do the same arithmetic without, for the
inner loop of `fit`; the tests hold each to its pure rule. A rule that is not here runs as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as onp
from scipy.linalg.blas import daxpy, saxpy

from nnbook.optim import Optimizer, State

__all__ = ["update_in_place"]

Array = onp.ndarray


def update_in_place(
    rule: Optimizer, theta: Array, gradient: Array, state: State, scratch: Array
) -> State:
    """Take one step of a rule, changing θ and the rule's buffers in place.

    Parameters
    ----------
    rule : Optimizer
        The rule.
    theta, gradient : numpy.ndarray, shape (P,)
        θ, changed; ∇L(θ), not changed.
    state : State
        The rule's state; its buffers are changed.
    scratch : numpy.ndarray, shape (P,)
        Overwritten.

    Returns
    -------
    State
        With the same buffers and the next step number.
    """
    kernel = _KERNELS.get(rule.name)
    if kernel is None or rule.rule.__module__ != "nnbook.optim.rules":
        step, state = rule.update(gradient, state, theta)
        theta += step
        return state
    rate = rule.rate(state.step)
    kernel(theta, gradient, state.buffers, scratch, rate, state.step, **rule.hyperparameters)
    return State(state.step + 1, state.buffers)


def _sgd(theta: Array, g: Array, buffers: tuple, s: Array, rate: Any, t: int) -> None:
    _add_scaled(theta, -rate, g, s)


def _momentum(
    theta: Array, g: Array, buffers: tuple, s: Array, rate: Any, t: int, momentum: float
) -> None:
    (v,) = buffers
    v *= momentum
    _add_scaled(v, -rate, g, s)
    theta += v


def _nesterov(
    theta: Array, g: Array, buffers: tuple, s: Array, rate: Any, t: int, momentum: float
) -> None:
    (v,) = buffers
    v *= momentum
    theta -= v
    _add_scaled(v, -rate, g, s)
    _add_scaled(theta, 1 + momentum, v, s)


def _adagrad(
    theta: Array, g: Array, buffers: tuple, s: Array, rate: Any, t: int, eps: float
) -> None:
    (squares,) = buffers
    onp.multiply(g, g, out=s)
    squares += s
    _subtract_scaled(theta, g, squares, s, rate, 1.0, eps)


def _rmsprop(
    theta: Array, g: Array, buffers: tuple, s: Array, rate: Any, t: int, decay: float, eps: float
) -> None:
    (squares,) = buffers
    _average(squares, onp.multiply(g, g, out=s), decay, s)
    _subtract_scaled(theta, g, squares, s, rate, 1.0, eps)


def _adam(
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
    mean, squares = buffers
    _average(mean, g, beta1, s)
    _average(squares, onp.multiply(g, g, out=s), beta2, s)
    if weight_decay is not None:
        theta *= 1 - rate * weight_decay
    correction = 1 - beta1 ** (t + 1)
    _subtract_scaled(theta, mean, squares, s, rate / correction, 1 - beta2 ** (t + 1), eps)


def _add_scaled(target: Array, factor: Any, x: Array, s: Array) -> None:
    """Do target ← target + factor · x, in one pass by BLAS where it can."""
    axpy = _AXPY.get(target.dtype.char)
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


# SciPy's BLAS starts threads of its own unless it is told to use one, and they get into the way of
# MXNet's.
_AXPY = {"f": saxpy, "d": daxpy} if os.environ.get("OMP_NUM_THREADS") == "1" else {}

_KERNELS: dict[str, Callable[..., None]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adam,
}
