"""How much each example counts: by its class, by itself, or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as onp

from nnbook._arrays import Array, check_finite, to_numpy
from nnbook.data.inputs import as_array

__all__ = ["example_weights"]


def example_weights(
    y: Array,
    class_weight: str | Mapping[Any, float] | None = None,
    sample_weight: Any = None,
    name: str = "train",
    whole: bool = True,
) -> onp.ndarray | None:
    """Return one weight for each example: that of its class times its own.

    Parameters
    ----------
    y : array, shape (n,) or (n, 1)
        Class labels, where there are class weights.
    class_weight : "balanced" or dict, optional
        ``{label: weight}``; a class that is not in it has the weight 1. "balanced" gives class c
        of C the weight n / (C n_c), so that every class weighs n / C together and the mean of all
        weights is 1, as in scikit-learn.
    sample_weight : array, shape (n,), optional
        Numbers of at least 0, not all 0.
    name : str
        What messages call the data.
    whole : bool
        Whether y is a whole data set; in a minibatch a class may be missing, or all weights be 0.

    Returns
    -------
    numpy.ndarray of float64, shape (n,), or None
        None where neither is given.

    Raises
    ------
    TypeError, ValueError
        Weights that are not of this kind; class weights for targets that are no labels; a dict with
        a label that no example has while a class is not in it.

    References
    ----------
    King and Zeng (2001), Logistic regression in rare events data.

    Examples
    --------
    >>> example_weights(numpy.array([0, 0, 0, 1]), "balanced")
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    """
    if class_weight is None and sample_weight is None:
        return None
    n = y.shape[0]
    weights = onp.ones(n)
    if sample_weight is not None:
        own = to_numpy(as_array(sample_weight, "sample_weight"), "sample_weight")
        if own.shape != (n,):
            raise ValueError(
                f"sample_weight has shape {own.shape} for the {n} examples of {name}; expected one "
                f"weight for each, ({n},)"
            )
        weights = weights * own
    if class_weight is not None:
        weights = weights * _of_classes(_labels(y, name), class_weight, whole)
    check_finite(weights, "sample_weight")
    if weights.min() < 0 or (whole and not weights.any()):
        raise ValueError(
            f"the weights of {name} are from {weights.min():g} to {weights.max():g}; expected "
            "numbers of at least 0, not all 0"
        )
    return weights


def _labels(y: Array, name: str) -> onp.ndarray:
    labels = to_numpy(y, f"{name} y")
    if labels.size != labels.shape[0] or (labels != onp.floor(labels)).any():
        way = "give sample_weight instead"
        if labels.ndim == 2 and labels.size != labels.shape[0]:
            way = "one-hot rows become labels with y.argmax(axis=1); else " + way
        raise ValueError(
            f"class_weight needs class labels, and {name} y has shape {labels.shape} and dtype "
            f"{labels.dtype}; expected a whole number for each example, shape (n,): {way}"
        )
    return labels.reshape(-1)


def _of_classes(labels: onp.ndarray, given: Any, whole: bool) -> onp.ndarray:
    classes, which, counts = onp.unique(labels, return_inverse=True, return_counts=True)
    which = which.reshape(-1)  # NumPy 2.0 gave it the shape of the labels
    if isinstance(given, str) and given == "balanced":
        return (len(labels) / (len(classes) * counts))[which]
    if not isinstance(given, Mapping):
        expected = 'expected "balanced", or a dict such as {0: 1, 1: 30}'
        raise (ValueError if isinstance(given, str) else TypeError)(
            f"class_weight is {given!r}; {expected}"
        )
    known = {float(c) for c in classes}
    unknown = [key for key in given if not _is_one_of(key, known)]
    if whole and unknown and len(given) - len(unknown) < len(classes):
        raise ValueError(
            f"class_weight has {unknown[0]!r}, which is no class of y; there are "
            f"{', '.join(f'{c:g}' for c in classes[:10])}"
        )
    by_class = {float(key): weight for key, weight in given.items() if key not in unknown}
    found = [by_class.get(float(c), 1.0) for c in classes]
    wrong = [w for w in found if isinstance(w, (str, bool)) or not hasattr(w, "__float__")]
    if wrong:
        raise TypeError(f"class_weight has the weight {wrong[0]!r}; expected numbers")
    return onp.array(found, dtype="float64")[which]


def _is_one_of(key: Any, known: set[float]) -> bool:
    return not isinstance(key, str) and hasattr(key, "__float__") and float(key) in known
