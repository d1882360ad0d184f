"""Intervals: of a mean by Student's t, of a share exactly; and which findings survive together."""

from __future__ import annotations

from typing import Any

import numpy as onp

__all__ = ["CONFIDENCE", "false_discoveries", "finite", "interval", "share_interval"]

CONFIDENCE = 0.95


def interval(values: Any, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Return the mean of independent values and its confidence interval, by Student's t.

    Parameters
    ----------
    values : array-like of float, shape (n,)
        One value per seed, n ≥ 2.
    confidence : float
        In (0, 1).

    Returns
    -------
    mean, low, high : float

    Raises
    ------
    ValueError
        Fewer than two values, one that is not finite, or a confidence outside (0, 1).
    """
    from scipy import stats

    _check_confidence(confidence)
    values = finite(values, "values")
    if len(values) < 2:
        raise ValueError(f"got {len(values)} value; expected at least 2 for an interval")
    mean = float(values.mean())
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * float(
        values.std(ddof=1) / onp.sqrt(len(values))
    )
    return mean, mean - half, mean + half


def share_interval(found: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact binomial interval of a share of independent cases.

    Parameters
    ----------
    found, of : int
        How many cases did, and how many there were, of > 0.
    confidence : float
        In (0, 1): the least that the interval covers.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        `found` is not between 0 and `of`, `of` is not positive, or a confidence outside (0, 1).

    References
    ----------
    Clopper and Pearson (1934), The use of confidence or fiducial limits illustrated in the case of
    the binomial.

    Examples
    --------
    >>> low, high = share_interval(12, 12)  # all of twelve kinds of bug
    >>> round(low, 3), high
    (0.735, 1.0)
    """
    from scipy import stats

    _check_confidence(confidence)
    if of < 1 or not 0 <= found <= of:
        raise ValueError(f"found is {found} of {of}; expected 0 to {of}, of at least one")
    alpha = (1 - confidence) / 2
    low = float(stats.beta.ppf(alpha, found, of - found + 1)) if found else 0.0
    high = float(stats.beta.ppf(1 - alpha, found + 1, of - found)) if found < of else 1.0
    return low, high


def false_discoveries(p_values: Any, rate: float = 0.05) -> onp.ndarray:
    """Return which of many findings survive at a false-discovery rate.

    Sort the p-values; the largest k with p₍ₖ₎ ≤ k·rate/m and all below it survive.

    Parameters
    ----------
    p_values : array-like of float, shape (m,)
        Of the primary decisions, in [0, 1]; 1 where a decision is open.
    rate : float
        The share of the survivors that may be wrong, in (0, 1).

    Returns
    -------
    numpy.ndarray of bool, shape (m,)

    Raises
    ------
    ValueError
        A p-value outside [0, 1], or a rate outside (0, 1).

    References
    ----------
    Benjamini and Hochberg (1995), Controlling the false discovery rate.

    Examples
    --------
    >>> false_discoveries([0.001, 0.03, 0.8, 0.02]).tolist()
    [True, True, False, True]
    """
    if not 0 < rate < 1:
        raise ValueError(f"rate is {rate}; expected it in (0, 1), such as 0.05")
    p = finite(p_values, "p_values")
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"p_values is {p}; expected numbers in [0, 1]")
    order = p.argsort()
    passed = p[order] <= rate * onp.arange(1, len(p) + 1) / max(len(p), 1)
    last = onp.flatnonzero(passed).max(initial=-1)
    survives = onp.zeros(len(p), dtype=bool)
    survives[order[: last + 1]] = True
    return survives


def finite(values: Any, name: str) -> onp.ndarray:
    """Return one finite number per seed, or say what is wrong."""
    array = onp.asarray(values, dtype=float)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; expected one value per seed")
    if not onp.isfinite(array).all():
        raise ValueError(
            f"{name} has a value that is not finite: {array}. A run that diverged needs a number "
            "that says how bad it is, such as the largest budget"
        )
    return array


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected it in (0, 1), such as 0.95")
