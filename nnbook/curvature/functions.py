"""Activations and losses with their first and second derivatives, in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_softmax, softmax

from nnbook._arguments import check_choice

__all__ = ["ACTIVATIONS", "LOSSES", "Activation", "Loss", "as_activation", "scaled_tanh"]

Array = np.ndarray


@dataclass(frozen=True)
class Activation:
    """f, f′ and f″, elementwise.

    Attributes
    ----------
    name : str
        As in `nnbook.layers.activation`.
    values : callable
        ``values(z) -> (f, f′, f″)``, shaped like z.
    """

    name: str
    values: Callable[[Array], tuple[Array, Array, Array]]


def _identity(z: Array) -> tuple[Array, Array, Array]:
    return z, np.ones_like(z), np.zeros_like(z)


def _sigmoid(z: Array) -> tuple[Array, Array, Array]:
    a = expit(z)
    slope = a * (1 - a)
    return a, slope, slope * (1 - 2 * a)


def _tanh(z: Array) -> tuple[Array, Array, Array]:
    a = np.tanh(z)
    slope = 1 - a * a
    return a, slope, -2 * a * slope


def _relu(z: Array) -> tuple[Array, Array, Array]:
    on = (z > 0).astype(z.dtype)
    return z * on, on, np.zeros_like(z)


def _softplus(z: Array) -> tuple[Array, Array, Array]:
    a = expit(z)
    return np.logaddexp(0.0, z), a, a * (1 - a)


def _softsign(z: Array) -> tuple[Array, Array, Array]:
    size = 1 + abs(z)
    return z / size, size**-2.0, -2 * np.sign(z) * size**-3.0


def scaled_tanh(a: float = 1.7159, b: float = 2 / 3, twist: float = 0.0) -> Activation:
    """Return a tanh(bx) + twist · x with its derivatives."""

    def values(z: Array) -> tuple[Array, Array, Array]:
        value, slope, bend = _tanh(b * z)
        return a * value + twist * z, a * b * slope + twist, a * b * b * bend

    return Activation("scaled_tanh", values)


_FUNCTIONS = {
    "identity": _identity,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "relu": _relu,
    "softplus": _softplus,
    "softsign": _softsign,
}
#: By name; those of `nnbook.layers.activation`, and softsign.
ACTIVATIONS = {name: Activation(name, values) for name, values in _FUNCTIONS.items()}
ACTIVATIONS["scaled_tanh"] = scaled_tanh()


def as_activation(choice: str | Activation) -> Activation:
    """Return an activation, by its name or as it is."""
    if isinstance(choice, Activation):
        return choice
    return ACTIVATIONS[check_choice(choice, "activation", tuple(ACTIVATIONS))]


@dataclass(frozen=True)
class Loss:
    """A loss of an example's outputs u, with its derivatives in u.

    Attributes
    ----------
    name : str
        As in `nnbook.losses`.
    value : callable
        ``value(u, y) -> (n,)``.
    gradient : callable
        ``gradient(u, y) -> (n, k)``.
    curve : callable
        ``curve(u, y, r) -> (n, k)``: the Hessian in u, a k × k matrix for each example, times r.
    diagonal : callable
        ``diagonal(u, y) -> (n, k)``, its diagonal.
    elementwise : bool
        Whether it is a sum over outputs, so that the Hessian in u is diagonal.
    labels : bool
        Whether y may be class numbers; they are given as rows 0 … 0 1 0 … 0.
    """

    name: str
    value: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], Array]
    curve: Callable[[Array, Array, Array], Array]
    diagonal: Callable[[Array, Array], Array]
    elementwise: bool = True
    labels: bool = False


def _softmax_curve(u: Array, y: Array, r: Array) -> Array:
    weighted = softmax(u, axis=1) * r
    return weighted - softmax(u, axis=1) * weighted.sum(axis=1, keepdims=True)


def _softmax_diagonal(u: Array, y: Array) -> Array:
    p = softmax(u, axis=1)
    return p * (1 - p)


def _hinge_gradient(u: Array, y: Array) -> Array:
    right = (u * y).sum(axis=1, keepdims=True)
    over = ((1 + u - right > 0) & (y == 0)).astype(u.dtype)
    return over - y * over.sum(axis=1, keepdims=True)


def _hinge(u: Array, y: Array) -> Array:
    right = (u * y).sum(axis=1, keepdims=True)
    return np.maximum(1 + u - right, 0).sum(axis=1) - 1


def _sigmoid_diagonal(u: Array, y: Array) -> Array:
    return expit(u) * expit(-u)


def _probability_diagonal(a: Array, y: Array) -> Array:
    return y / a**2 + (1 - y) / (1 - a) ** 2


#: By the names of `nnbook.losses`.
LOSSES = {
    "squared_error": Loss(
        "squared_error",
        lambda u, y: 0.5 * ((u - y) ** 2).sum(axis=1),
        lambda u, y: u - y,
        lambda u, y, r: r,
        lambda u, y: np.ones_like(u),
    ),
    "softmax_cross_entropy": Loss(
        "softmax_cross_entropy",
        lambda u, y: -(y * log_softmax(u, axis=1)).sum(axis=1),
        lambda u, y: softmax(u, axis=1) * y.sum(axis=1, keepdims=True) - y,
        _softmax_curve,
        _softmax_diagonal,
        elementwise=False,
        labels=True,
    ),
    "sigmoid_cross_entropy": Loss(
        "sigmoid_cross_entropy",
        lambda u, y: (y * np.logaddexp(0, -u) + (1 - y) * np.logaddexp(0, u)).sum(axis=1),
        lambda u, y: expit(u) - y,
        lambda u, y, r: _sigmoid_diagonal(u, y) * r,
        _sigmoid_diagonal,
    ),
    "binary_cross_entropy": Loss(
        "binary_cross_entropy",
        lambda a, y: -(y * np.log(a) + (1 - y) * np.log1p(-a)).sum(axis=1),
        lambda a, y: (1 - y) / (1 - a) - y / a,
        lambda a, y, r: _probability_diagonal(a, y) * r,
        _probability_diagonal,
    ),
    "hinge": Loss(
        "hinge",
        _hinge,
        _hinge_gradient,
        lambda u, y, r: np.zeros_like(r),
        lambda u, y: np.zeros_like(u),
        elementwise=False,
        labels=True,
    ),
}
