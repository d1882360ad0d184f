"""Splitting a set of examples into two."""

from __future__ import annotations

import math

import numpy as onp

from nnbook._arguments import check_whole
from nnbook._arrays import (
    Array,
    Rng,
    as_generator,
    common_length,
    label_array,
    take_rows,
)
from nnbook.data.inputs import as_array

__all__ = ["train_test_split"]


def train_test_split(
    *arrays: Array,
    test_size: float | int = 0.25,
    stratify: Array | None = None,
    rng: Rng = 0,
) -> list[Array]:
    """Split arrays at random into a training and a test part.

    Parameters
    ----------
    *arrays : arrays, tables or lists
        Of one length n, such as the inputs and the labels.
    test_size : float or int
        The test part: a fraction between 0 and 1 (rounded up to whole examples), or the number of
        examples.
    stratify : array, shape (n,), optional
        Class labels, numbers or names: each class gets the same share of both parts, to within one
        example.
    rng : int or numpy.random.Generator
        The seed, or the generator to draw from.

    Returns
    -------
    list of arrays
        Training and test part of the first array, of the second, and so on (scikit-learn's order:
        ``x_train, x_test, y_train, y_test``); copies of the same kind, on their device, shuffled.
        Tables and lists become NumPy arrays.

    Raises
    ------
    TypeError, ValueError
        If the arrays are empty or their lengths differ, if a part would be empty, or, stratified,
        a class has fewer than two examples or a part fewer examples than there are classes.
    """
    arrays = tuple(as_array(array, f"array {k}") for k, array in enumerate(arrays))
    n = common_length(arrays)
    n_test = _test_count(test_size, n)
    generator = as_generator(rng)
    if stratify is None:
        order = generator.permutation(n)
        test, train = order[:n_test], order[n_test:]
    else:
        test, train = _stratified(stratify, n, n_test, generator)
    return [take_rows(array, rows) for array in arrays for rows in (train, test)]


def _test_count(test_size: float | int, n: int) -> int:
    if isinstance(test_size, (float, onp.floating)):
        share = float(str(test_size))  # that of float32 is 0.1, and not 0.10000000149011612
        if not 0 < share < 1:
            raise ValueError(
                f"test_size is {test_size}, expected a fraction between 0 and 1, or a whole number."
            )
        n_test = math.ceil(round(share * n, 9))  # 0.1 · 30 is 3, not 3.0000000000000004
    else:
        n_test = check_whole(test_size, "test_size")
    if n_test >= n:
        raise ValueError(
            f"test_size {test_size} takes {n_test} of {n} examples and leaves none for training. "
            "Choose a smaller one, or get more examples."
        )
    return n_test


def _stratified(
    stratify: Array, n: int, n_test: int, generator: onp.random.Generator
) -> tuple[onp.ndarray, onp.ndarray]:
    labels = label_array(stratify, "stratify")
    if labels.shape != (n,):
        raise ValueError(
            f"stratify has the shape {labels.shape}, expected {(n,)}: one class label for each "
            "example."
        )
    classes, members = onp.unique(labels, return_counts=True)
    if members.min() < 2:
        raise ValueError(
            f"The class {classes[members.argmin()]} has 1 example, expected at least 2 in each "
            "class to split it. Remove it, merge it with another, or split without stratify."
        )
    if min(n_test, n - n_test) < len(classes):
        raise ValueError(
            f"A part of {min(n_test, n - n_test)} examples cannot hold {len(classes)} classes. "
            "Choose another test_size, or split without stratify."
        )
    # Whole shares first; those with the largest remainders get the examples still to be given.
    share = members * (n_test / n)
    counts = onp.floor(share).astype(int)
    largest = onp.argsort(counts - share, kind="stable")
    counts[largest[: n_test - counts.sum()]] += 1
    test, train = [], []
    for label, count in zip(classes, counts, strict=True):
        rows = generator.permutation(onp.flatnonzero(labels == label))
        test.append(rows[:count])
        train.append(rows[count:])
    return generator.permutation(onp.concatenate(test)), generator.permutation(
        onp.concatenate(train)
    )
