"""How local filters are."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbook.pretraining.base import as_inputs

__all__ = ["participation_ratio"]


def participation_ratio(weights: Any) -> np.ndarray:
    """Return by how many inputs each filter looks: (Σ_i w_i²)² / Σ_i w_i⁴, from 1 to all.

    m entries of one size and zeros elsewhere give m, Gaussian noise a third of all. A local filter
    has a small one; so has a single noisy pixel, which is why one looks at the filters too.

    Parameters
    ----------
    weights : array, shape (units, inputs)
        A filter a row.

    Returns
    -------
    numpy.ndarray, shape (units,)
        NaN for a filter that is 0.

    References
    ----------
    Bell and Dean (1970), Atomic vibrations in vitreous silica, for the localisation of vibrations.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import pretraining
    >>> pretraining.participation_ratio(np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]))
    array([2., 1.])
    """
    filters = as_inputs(weights, "weights").astype("float64")
    largest = abs(filters).max(axis=1, keepdims=True)
    squares = (filters / np.where(largest > 0, largest, np.nan)) ** 2  # none underflows
    return squares.sum(axis=1) ** 2 / (squares**2).sum(axis=1)
