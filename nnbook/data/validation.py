"""Checks of data before any work: each error says what was found, expected, and to be done."""

from __future__ import annotations

import numpy as onp

from nnbook._arguments import check_whole
from nnbook._arrays import Array, check_finite, to_numpy

__all__ = ["check_classes", "check_examples", "check_labels"]

_EXPECTED = "expected class labels, the whole numbers 0 … {}"


def check_examples(
    x: Array, y: Array | None = None, n_classes: int | None = None, name: str = "train"
) -> None:
    """Check a set of examples, and its labels or targets.

    Takes one pass over `x` (about 10 ms for 50,000 MNIST images); changes nothing.

    Parameters
    ----------
    x : NumPy or MXNet array, shape (n, ...)
        The inputs, at least one axis besides that of the examples.
    y : NumPy or MXNet array, optional
        Class labels, shape (n,), if `n_classes` is given; else targets, shape (n, ...).
    n_classes : int, optional
        The number of classes; labels are 0 … n_classes − 1.
    name : str
        What the messages call the set, such as "train" or "validation".

    Raises
    ------
    TypeError
        If `x` or `y` is no array, or does not hold real numbers.
    ValueError
        If `x` or `y` is empty, of a wrong shape, or holds NaN or infinities; if their lengths
        differ; if a label is not an integer in range.
    """
    inputs = to_numpy(x, f"{name} x")
    if inputs.ndim < 2:
        raise ValueError(
            f"{name} x has the shape {inputs.shape}, expected (n, features) or more axes. For one "
            "feature use x.reshape(-1, 1), for one example x.reshape(1, -1)."
        )
    if inputs.size == 0:
        raise ValueError(
            f"{name} x is empty: its shape is {inputs.shape}. At least one example with at least "
            "one feature is needed; check how the data were split or filtered."
        )
    targets = None
    if y is not None:
        targets = to_numpy(y, f"{name} y")
        if targets.shape[:1] != inputs.shape[:1]:
            raise ValueError(
                f"{name} x has {len(inputs):,} examples but {name} y has the shape "
                f"{targets.shape}; expected {len(inputs):,} labels or targets, one for each "
                "example. Check that both were split and shuffled alike."
            )
        if n_classes is not None:
            check_labels(targets, n_classes, name)
        elif targets.size == 0:
            raise ValueError(
                f"{name} y is empty: its shape is {targets.shape}. Each example needs a target."
            )
        else:
            check_finite(targets, f"{name} y")
    check_finite(inputs, f"{name} x")


def check_labels(y: Array, n_classes: int, name: str = "train") -> None:
    """Check class labels: whole numbers 0 … n_classes − 1, shape (n,).

    MXNet would clip labels out of range silently, and train on wrong ones.

    Parameters
    ----------
    y : NumPy or MXNet array, shape (n,)
        Integers, or floating-point numbers without a fraction.
    n_classes : int
        The number of classes.
    name : str
        What the messages call the set, such as "train" or "validation".

    Raises
    ------
    TypeError
        If `y` is no array, or does not hold real numbers.
    ValueError
        If `y` is empty, of a wrong shape, or a label is not an integer in range.
    """
    n_classes = check_whole(n_classes, "n_classes")
    labels = to_numpy(y, f"{name} y")
    if labels.ndim != 1:
        expected = _EXPECTED.format(n_classes - 1)
        way_out = (
            "One-hot rows become labels with y.argmax(axis=1)."
            if labels.ndim == 2 and labels.shape[1] == n_classes > 1
            else "Flatten a column with y.reshape(-1)."
        )
        raise ValueError(
            f"{name} y has the shape {labels.shape}, {expected}, of the shape (n,). {way_out}"
        )
    check_classes(labels, n_classes, name)


def check_classes(labels: onp.ndarray, n_classes: int, name: str, hint: str = "") -> None:
    """Check class labels of any shape, as `check_labels` does those of examples.

    Parameters
    ----------
    labels : numpy.ndarray
        One for each example, or for each place of it.
    n_classes : int
        The number of classes.
    name : str
        What the messages call the set.
    hint : str
        A further way out.
    """
    expected = _EXPECTED.format(n_classes - 1)
    if labels.size == 0:
        raise ValueError(f"{name} y is empty; {expected}. Check how the data were split.")
    check_finite(labels, f"{name} y")
    if labels.dtype.kind == "f" and (fractions := labels != onp.floor(labels)).any():
        at = _first(fractions)
        raise ValueError(
            f"{name} y has the value {labels[at]} at {list(at)}; {expected}. Round them if they "
            "are meant as labels; to fit real-valued targets use a regression loss such as "
            "squared_error."
        )
    wrong = (labels < 0) | (labels >= n_classes)
    if wrong.any():
        at, count = _first(wrong), int(wrong.sum())
        value = labels[at]
        if value == -1:
            way_out = "Where −1 marks unlabelled examples, remove them; recode −1/+1 as 0/1."
        elif value == n_classes and labels.min() >= 1:
            way_out = f"The labels seem to count from 1: use y - 1, or {n_classes + 1} classes."
        else:
            way_out = "Remove or recode these examples, or give the net more outputs."
        raise ValueError(
            f"{name} y has {count:,} labels out of range, the first, {value}, at {list(at)}; "
            f"{expected}. {way_out}{hint}"
        )


def _first(where: onp.ndarray) -> tuple[int, ...]:
    """Return the place of the first True."""
    return tuple(int(i) for i in onp.unravel_index(int(where.argmax()), where.shape))
