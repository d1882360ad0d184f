"""In what ways examples can be alike: as points, by their features, by the tokens they hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as onp

__all__ = ["View", "views_of"]

_NEIGHBOURS = 5
_CLIPPED = 3.0  # standard deviations: what stands out further counts no more
_MOST_FEATURES, _MOST_TOKENS, _MOST_STEPS = 2000, 10_000, 64
_OFTEN = 0.05  # a pair of tokens in a smaller share of the examples is passed over


@dataclass(frozen=True)
class View:
    """One way of being alike.

    Attributes
    ----------
    values : numpy.ndarray, float32
        Similarities, (n, n), of which the diagonal is 0; or features, (n, d).
    single : bool
        Whether they are features, of which the most telling one counts.
    """

    values: onp.ndarray
    single: bool = False

    def relation(self, y: onp.ndarray, sets: int) -> onp.ndarray:
        """Return how much examples of one class are alike, for each set of columns of y."""
        if self.single:
            squares = (self.values.T @ y) ** 2
            each = squares.reshape(len(squares), sets, y.shape[1] // sets).sum(axis=2)
            return each.max(axis=0, initial=0)
        return ((self.values @ y) * y).sum(axis=0).reshape(sets, -1).sum(axis=1)


def views_of(x: onp.ndarray, rng: Any) -> Iterator[View]:
    """Yield the ways in which these examples may be alike, the quick ones first.

    Whole numbers may be measured or counted, or they may be names, of tokens or categories, with no
    distance between them. Nothing in an array says which, so both are looked at.

    Parameters
    ----------
    x : numpy.ndarray, shape (n, …)
        Examples.
    rng : numpy.random.Generator
        Decides which of very many features are taken.
    """
    flat = x.reshape(len(x), -1).astype("float32")
    if flat.shape[1] > _MOST_FEATURES:
        flat = flat[:, onp.sort(rng.choice(flat.shape[1], _MOST_FEATURES, replace=False))]
    z = _standardised(flat)
    yield View(onp.hstack([z, _standardised(summaries(x))]), single=True)
    inner = z @ z.T / max(z.shape[1], 1)
    yield View(_off_diagonal(inner))
    yield View(_neighbours(flat))
    if _are_names(x):
        for marks in (occurrences(x), ordered_pairs(x)):
            counted = _standardised(marks)
            if counted.shape[1]:
                yield View(counted, single=True)
                yield View(_off_diagonal(counted @ counted.T / counted.shape[1]))
    yield View(_neighbours(z))
    yield View(_standardised(z**2), single=True)
    yield View(_off_diagonal(inner**2))
    yield View(_whitened(inner))


def _standardised(values: onp.ndarray) -> onp.ndarray:
    """Return the features that vary, each with mean 0 and deviation 1, without far outliers."""
    spread = values.std(axis=0)
    varied = spread > 1e-6 * onp.abs(values).max(axis=0, initial=0)
    z = (values[:, varied] - values[:, varied].mean(axis=0)) / spread[varied]
    return onp.clip(z, -_CLIPPED, _CLIPPED).astype("float32")


def _off_diagonal(similarities: onp.ndarray) -> onp.ndarray:
    similarities = similarities.astype("float32")
    onp.fill_diagonal(similarities, 0)
    return similarities


def _neighbours(x: onp.ndarray) -> onp.ndarray:
    """Return 1 where an example is one of the five nearest of another."""
    squares = (x**2).sum(axis=1)
    distances = squares - 2 * x @ x.T
    onp.fill_diagonal(distances, onp.inf)
    count = min(_NEIGHBOURS, len(x) - 1)
    nearest = onp.argpartition(distances, count - 1, axis=1)[:, :count]
    found = onp.zeros((len(x), len(x)), dtype="float32")
    onp.put_along_axis(found, nearest, 1, axis=1)
    return found


def _whitened(inner: onp.ndarray) -> onp.ndarray:
    """Return what a linear map with a small penalty makes of one example's label elsewhere."""
    penalty = 0.1 * max(float(onp.trace(inner)) / len(inner), 1e-12)
    hat = onp.linalg.solve(inner + penalty * onp.eye(len(inner)), inner)
    return _off_diagonal(hat)


def summaries(x: onp.ndarray) -> onp.ndarray:
    """Return what does not depend on the place in a sequence or image.

    Of each channel (a last axis beside one of time, or a second beside two of space): its mean, its
    deviation, its largest and smallest value, and how alike neighbours are along each axis.
    """
    if x.ndim < 3:
        return onp.zeros((len(x), 0), dtype="float32")
    x = x.astype("float32")
    axes = (1,) if x.ndim == 3 else tuple(range(2, x.ndim))
    measured = [x.mean(axis=axes), x.std(axis=axes), x.max(axis=axes), x.min(axis=axes)]
    centred = x - x.mean(axis=axes, keepdims=True)
    for axis in axes:
        length = x.shape[axis]
        if length > 1:
            first, second = (
                centred.take(range(*ends), axis) for ends in ((length - 1,), (1, length))
            )
            measured.append((first * second).mean(axis=axes))
    return onp.hstack([m.reshape(len(x), -1)[:, :_MOST_FEATURES] for m in measured])


# -------------------------------------------------------------------------------------- tokens


def _are_names(x: onp.ndarray) -> bool:
    """Tell whether examples are rows of whole numbers from 0 that may be names."""
    if x.ndim != 2 or x.shape[1] > _MOST_STEPS or x.size == 0:
        return False
    if not (x.min() >= 0 and 1 < x.max() < _MOST_TOKENS):  # of 0 and 1 the features say all
        return False
    return bool(onp.issubdtype(x.dtype, onp.integer) or (x == onp.floor(x)).all())


def occurrences(x: onp.ndarray) -> onp.ndarray:
    """Count each token in each example, and mark where it stands: (n, features)."""
    codes, count = _codes(x)
    rows = onp.arange(len(x))[:, None]
    bag = onp.zeros((len(x), count), dtype="float32")
    onp.add.at(bag, (rows, codes), 1)
    places = _marked(codes + count * onp.arange(x.shape[1]), len(x))
    return onp.hstack([bag[:, (bag > 0).sum(axis=0) > 1], places])


def ordered_pairs(x: onp.ndarray) -> onp.ndarray:
    """Mark which token stands before which other, of pairs that are common."""
    codes, count = _codes(x)
    earlier, later = onp.triu_indices(x.shape[1], 1)
    near = onp.arange(x.shape[1] - 1)
    before = codes[:, earlier].astype("int64") * count + codes[:, later]
    beside = codes[:, near].astype("int64") * count + codes[:, near + 1] + count**2
    return _marked(onp.hstack([before, beside]), len(x), max(2, int(_OFTEN * len(x))))


def _codes(x: onp.ndarray) -> tuple[onp.ndarray, int]:
    values, codes = onp.unique(x, return_inverse=True)
    return codes.reshape(x.shape), len(values)


def _marked(names: onp.ndarray, n: int, least: int = 2) -> onp.ndarray:
    """Return 1 where an example has a name, of names that some, and not all, examples have."""
    rows = onp.repeat(onp.arange(n), names.shape[1])
    pairs = onp.unique(names.ravel().astype("int64") * n + rows)
    rows = pairs % n
    values, codes, counts = onp.unique(pairs // n, return_inverse=True, return_counts=True)
    kept = onp.flatnonzero((counts >= least) & (counts < n))
    kept = kept[onp.argsort(-counts[kept], kind="stable")[:_MOST_FEATURES]]
    place = onp.full(len(values), -1)
    place[kept] = onp.arange(len(kept))
    columns = place[codes.ravel()]
    marks = onp.zeros((n, len(kept)), dtype="float32")
    marks[rows[columns >= 0], columns[columns >= 0]] = 1
    return marks
