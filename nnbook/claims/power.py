"""Power: what a number of seeds could have seen, and how many would settle a question."""

from __future__ import annotations

from typing import Any

import numpy as onp

__all__ = ["POWER", "detectable", "seeds_needed", "tail"]

POWER = 0.8
MOST_SEEDS = 100_000


def detectable(
    deviation: float, n: int, smallest_effect: float = 0.0, direction: str = "greater"
) -> float:
    """Return the smallest true effect that n seeds would confirm four times in five.

    δ + (t₀.₉₇₅ + t₀.₈)·s/√n, with n − 1 degrees of freedom. For an equality, which a true effect
    of zero satisfies best, it is the smallest δ that could have been confirmed.

    Parameters
    ----------
    deviation : float
        s, the standard deviation between seeds.
    n : int
        Seeds, at least 2.
    smallest_effect : float
        δ, on the scale of the deviation.
    direction : str
        ``"equal"`` for an equality.

    Returns
    -------
    float

    Examples
    --------
    >>> round(detectable(1.0, 8), 2), round(detectable(1.0, 32), 2)
    (1.15, 0.51)
    """
    half = (_t(0.975, n) + _t(0.9 if direction == "equal" else POWER, n)) * deviation / n**0.5
    return half if direction == "equal" else smallest_effect + half


def seeds_needed(
    effect: float, deviation: float, smallest_effect: float, direction: str = "greater"
) -> int:
    """Return the seeds after which an interval would probably lie on one side of each border.

    If the effect and the deviation are what they seem: the smallest n ≥ 2 for which
    (t₀.₉₇₅ + t₀.₈)·s/√n is less than the distance of the effect from the nearest border.

    Parameters
    ----------
    effect : float
        In the direction claimed.
    deviation : float
        Between seeds.
    smallest_effect : float
        δ.
    direction : str
        ``"equal"`` for an equality.

    Returns
    -------
    int
        At most 100,000.

    Examples
    --------
    >>> seeds_needed(0.5, 1.0, smallest_effect=0.0), seeds_needed(1.2, 1.0, smallest_effect=1.0)
    (34, 199)
    """
    size = abs(effect) if direction == "equal" else effect
    distance = abs(size - smallest_effect)
    low, high = 1, 2
    while high < MOST_SEEDS and not _settles(high, deviation, distance):
        low, high = high, min(MOST_SEEDS, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _settles(middle, deviation, distance) else (middle, high)
    return high


def _settles(n: int, deviation: float, distance: float) -> bool:
    return (_t(0.975, n) + _t(POWER, n)) * deviation < distance * n**0.5


def tail(advantages: Any, border: float) -> float:
    """Return the two-sided p-value of a mean that lies beyond a border, by Student's t.

    Parameters
    ----------
    advantages : array-like of float, shape (n,)
        One per seed.
    border : float
        The mean is tested to be greater.

    Returns
    -------
    float
        Twice the one-sided p-value, at most 1: below 0.05 exactly where the 95 % interval lies
        beyond the border.
    """
    from scipy import stats

    values = onp.asarray(advantages, dtype=float) - border
    error = values.std(ddof=1) / len(values) ** 0.5
    if error == 0:
        return 0.0 if values.mean() > 0 else 1.0
    return float(min(1.0, 2 * stats.t.sf(values.mean() / error, len(values) - 1)))


def _t(probability: float, n: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(probability, n - 1))
