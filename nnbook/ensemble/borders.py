"""Checks of outputs, probabilities and weights, before any work."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook._arrays import as_numpy
from nnbook.data import check_labels

__all__ = [
    "as_classes",
    "checked_labels",
    "checked_logits",
    "checked_probabilities",
    "checked_weights",
    "finite",
    "stacked",
]

# Rows of float32 probabilities do not sum to 1 exactly.
_ROUNDING = 1e-4


def _check_finite(values: onp.ndarray, name: str) -> None:
    if not onp.isfinite(values).all():
        raise ValueError(
            f"{name} are not all finite; expected finite numbers. Leave out members whose training "
            "diverged, and keep probabilities away from 0 before their logarithm is taken"
        )


def finite(values: Any, name: str) -> onp.ndarray:
    """Return values of any shape as float64; refuse what is not finite."""
    values = as_numpy(values, name).astype(float)
    _check_finite(values, name)
    return values


def stacked(values: Any, name: str = "outputs") -> onp.ndarray:
    """Return the outputs of all members as float64; refuse what is not finite, naming the member.

    Parameters
    ----------
    values : array, shape (M, n, …)
        A row of outputs for each member and example.
    name : str
        What messages call them.

    Returns
    -------
    numpy.ndarray
        Of the same shape.
    """
    values = as_numpy(values, name).astype(float)
    if values.ndim < 2 or values.size == 0:
        raise ValueError(
            f"{name} have the shape {values.shape}; expected (members, examples, …), at least one "
            "of each"
        )
    for k, member in enumerate(values):
        _check_finite(member, f"{name} of member {k}")
    return values


def as_classes(outputs: onp.ndarray) -> onp.ndarray:
    """Return the logits of single sigmoids, shape (M, n, 1), as those of two classes, (0, z)."""
    if outputs.ndim != 3 or outputs.shape[2] != 1:
        return outputs
    return onp.concatenate([onp.zeros_like(outputs), outputs], axis=2)


def checked_logits(values: Any, name: str = "logits", dimensions: int = 2) -> onp.ndarray:
    """Return logits as float64, shape (…, n, C) with at least two classes; refuse others."""
    expected = "(members, examples, classes)" if dimensions == 3 else "(examples, classes)"
    values = as_numpy(values, name).astype(float)
    if values.ndim != dimensions or values.size == 0 or values.shape[-1] < 2:
        raise ValueError(
            f"{name} have the shape {values.shape}; expected {expected} with at least two classes"
        )
    return stacked(values, name) if dimensions == 3 else finite(values, name)


def checked_probabilities(values: Any, dimensions: int = 2) -> onp.ndarray:
    """Return probabilities as float64, shape (…, n, C); refuse rows that are none."""
    values = checked_logits(values, "probabilities", dimensions)
    if values.min() < 0 or values.max() > 1 + _ROUNDING:
        worst = values.min() if values.min() < 0 else values.max()
        raise ValueError(
            f"probabilities reach {worst:g}; expected values in [0, 1]. Logits become "
            "probabilities with nnbook.ensemble.apply_temperature(logits, 1)"
        )
    sums = values.sum(axis=-1)
    worst = sums.flat[onp.abs(sums - 1).argmax()]
    if abs(worst - 1) > _ROUNDING:
        raise ValueError(f"a row of probabilities sums to {worst:g}; expected 1")
    return values


def checked_labels(labels: Any, shape: tuple[int, ...]) -> onp.ndarray:
    """Return class numbers as integers that fit outputs of shape (…, n, C)."""
    labels = as_numpy(labels, "labels")
    n, classes = shape[-2:]
    check_labels(labels, classes, name="labels,")
    if len(labels) != n:
        raise ValueError(f"there are {len(labels)} labels for {n} examples; expected one for each")
    return labels.astype(int)


def checked_weights(weights: Any, members: int) -> onp.ndarray:
    """Return one weight for each member, float64 of sum 1; None gives all the same."""
    if weights is None:
        return onp.full(members, 1 / members)
    weights = as_numpy(weights, "weights").astype(float)
    if weights.shape != (members,):
        raise ValueError(
            f"weights have the shape {weights.shape}; expected {(members,)}, one for each member"
        )
    if not onp.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        raise ValueError(
            f"weights are {weights.tolist()}; expected finite numbers of at least 0, not all 0"
        )
    return weights / weights.sum()
