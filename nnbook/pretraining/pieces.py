"""Depth as expressive power: the linear pieces of a network of rectifiers along a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import comb, prod
from typing import Any

import numpy as np

from nnbook._arguments import check_positive, check_whole
from nnbook._arrays import as_numpy

__all__ = ["Pieces", "linear_pieces", "montufar_bound", "most_regions", "tent_network"]

Array = np.ndarray
Layers = Sequence[tuple[Any, Any]]


@dataclass(frozen=True, eq=False)
class Pieces:
    """The linear pieces of a function along a line.

    Attributes
    ----------
    count : int
        How many.
    ends : numpy.ndarray, shape (count + 1,)
        Where they begin and end, as t in [0, 1] from the line's start to its end.
    slopes : numpy.ndarray, shape (count, outputs)
        The derivative of the outputs in t on each.
    """

    count: int
    ends: Array = field(repr=False)
    slopes: Array = field(repr=False)


def linear_pieces(layers: Layers, start: Any, stop: Any, *, tolerance: float = 1e-9) -> Pieces:
    """Return the pieces on which a network of rectifiers is linear, along a line of inputs.

    Nothing is sampled: a layer adds knots where one of its sums crosses 0 between two knots, and is
    linear between the new ones. What counts are the pieces of the *function*: neighbours with equal
    slopes are one, however many units change between them.

    Parameters
    ----------
    layers : sequence of tuple of array
        ``(weight, bias)`` of each layer, shapes (units, inputs) and (units,), max(0, ·) after each
        but the last.
    start, stop : array or float, shape (inputs,)
        The line's ends.
    tolerance : float
        Slopes that differ by less, relative to the largest, are equal; so are places closer than
        this.

    Returns
    -------
    Pieces

    Raises
    ------
    TypeError, ValueError
        No layers, or shapes that do not fit.

    References
    ----------
    Hanin and Rolnick (2019), Complexity of linear regions in deep networks, who count so.

    Examples
    --------
    >>> from nnbook import pretraining
    >>> [pretraining.linear_pieces(pretraining.tent_network(d), 0.0, 1.0).count for d in (1, 3, 6)]
    [2, 8, 64]
    """
    layers = _checked(layers)
    tolerance = check_positive(tolerance, "tolerance")
    ends = [np.atleast_1d(as_numpy(one, "an end")).astype("float64") for one in (start, stop)]
    for one in ends:
        if one.shape != (layers[0][0].shape[1],):
            raise ValueError(
                f"an end of the line has shape {one.shape}; expected ({layers[0][0].shape[1]},)"
            )
    t, values = np.array([0.0, 1.0]), np.stack(ends)
    for weight, bias in layers[:-1]:
        t, sums = _with_crossings(t, values @ weight.T + bias)
        values = np.maximum(sums, 0)
    weight, bias = layers[-1]
    return _merged(t, values @ weight.T + bias, tolerance)


def _checked(layers: Layers) -> list[tuple[Array, Array]]:
    found, inputs = [], None
    for k, layer in enumerate(layers):
        if not isinstance(layer, (tuple, list)) or len(layer) != 2:
            raise TypeError(f"layers[{k}] is {layer!r}; expected a pair (weight, bias)")
        weight, bias = (as_numpy(p, f"layers[{k}]").astype("float64") for p in layer)
        fits = weight.ndim == 2 and bias.shape == weight.shape[:1]
        if not fits or inputs not in (None, weight.shape[1]):
            raise ValueError(
                f"layers[{k}] has the shapes {weight.shape} and {bias.shape}; expected (units, "
                f"{inputs or 'inputs'}) and (units,)"
            )
        inputs = len(weight)
        found.append((weight, bias))
    if not found:
        raise ValueError("layers is empty; expected at least one pair (weight, bias)")
    return found


def _with_crossings(t: Array, sums: Array) -> tuple[Array, Array]:
    """Add knots where a sum crosses 0 between two knots; return knots and sums at them."""
    before, after = sums[:-1], sums[1:]
    at, unit = np.nonzero(before * after < 0)
    share = before[at, unit] / (before[at, unit] - after[at, unit])
    new = np.unique(np.concatenate([t, t[at] + share * (t[at + 1] - t[at])]))
    return new, np.stack([np.interp(new, t, column) for column in sums.T], axis=1)


def _merged(t: Array, values: Array, tolerance: float) -> Pieces:
    """Leave out knots that are no distance apart, then those where the slope stays as it is."""
    kept = [0]
    for k in range(1, len(t) - 1):
        if t[k] - t[kept[-1]] > tolerance and t[-1] - t[k] > tolerance:
            kept.append(k)
    t, values = t[[*kept, -1]], values[[*kept, -1]]
    slopes = np.diff(values, axis=0) / np.diff(t)[:, None]
    size = float(abs(slopes).max())
    new = (abs(np.diff(slopes, axis=0)) > tolerance * size).any(axis=1)
    first = np.concatenate([[True], new])
    ends = np.concatenate([t[:-1][first], t[-1:]])
    return Pieces(int(first.sum()), ends, slopes[first])


def tent_network(depth: int) -> list[tuple[Array, Array]]:
    """Return the layers of a tent map composed with itself: two units a layer, 2^depth pieces.

    The tent map of [0, 1] is 2x up to ½ and 2 − 2x from there: 2 max(0, x) − 4 max(0, x − ½). A
    network with one hidden layer needs 2^depth − 1 units for as many pieces.

    Parameters
    ----------
    depth : int
        Hidden layers, from 1 to 30.

    Returns
    -------
    list of tuple of numpy.ndarray
        For `linear_pieces`.

    References
    ----------
    Telgarsky (2016), Benefits of depth in neural networks.
    """
    depth = check_whole(depth, "depth", most=30)
    fold, bias = np.array([[2.0, -4.0]]), np.array([0.0, -0.5])
    first, middle = (np.ones((2, 1)), bias), (np.repeat(fold, 2, axis=0), bias)
    return [first, *[middle] * (depth - 1), (fold, np.zeros(1))]


def most_regions(inputs: int, units: int) -> int:
    """Return the most linear regions of one layer of rectifiers: Σ_{j ≤ inputs} C(units, j).

    They are the regions into which so many hyperplanes in general position cut the space (Zaslavsky
    1975).

    Parameters
    ----------
    inputs, units : int
        Sizes.

    Examples
    --------
    >>> from nnbook import pretraining
    >>> [pretraining.most_regions(2, units) for units in (16, 24, 32)]
    [137, 301, 529]
    """
    inputs, units = check_whole(inputs, "inputs"), check_whole(units, "units")
    return sum(comb(units, j) for j in range(inputs + 1))


def montufar_bound(inputs: int, widths: Sequence[int]) -> int:
    """Return how many regions a deep network of rectifiers can have, at least.

    (Π_{l < L} ⌊n_l / n₀⌋^{n₀}) · Σ_{j ≤ n₀} C(n_L, j), with n₀ inputs and n_l units in layer l.
    There is a network with so many; one drawn at random has about as many as units.

    Parameters
    ----------
    inputs : int
        n₀.
    widths : sequence of int
        n_1 … n_L, each at least n₀.

    Returns
    -------
    int

    References
    ----------
    Montúfar, Pascanu, Cho and Bengio (2014), On the number of linear regions of deep neural
    networks.

    Examples
    --------
    >>> from nnbook import pretraining
    >>> [pretraining.montufar_bound(2, [8] * depth) for depth in (1, 2, 3, 4)]
    [37, 592, 9472, 151552]
    """
    inputs = check_whole(inputs, "inputs")
    widths = [check_whole(width, "a width", least=inputs) for width in widths]
    if not widths:
        raise ValueError("widths is empty; expected at least one hidden layer")
    folds = prod((width // inputs) ** inputs for width in widths[:-1])
    return folds * most_regions(inputs, widths[-1])
