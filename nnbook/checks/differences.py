"""Derivatives by differences: formulas, errors, rounding, and how far away a kink is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as onp

__all__ = ["difference", "relative_error"]

# Twice the typical error of a difference of two values that are each off by the noise, and some.
_MARGIN = 8.0
# A difference quotient this close to the analytic slope is not looked at again.
_CLOSE = 1e-6
# The quotients at h/10 and h/100 of a smooth function agree to this. If they do not, kinks lie at
# every distance, and none of the quotients can be trusted.
_SETTLED = 1e-4


def difference(
    function: Callable[[Any], Any], x: Any, h: float = 1e-5, centred: bool = True
) -> Any:
    """Return the slope of a function of one variable by a difference quotient.

    The centred quotient (f(x + h) − f(x − h)) / 2h is wrong by O(h²), the forward one,
    (f(x + h) − f(x)) / h, by O(h); rounding adds about 1e-16 f/h to each.

    Parameters
    ----------
    function : callable
        f, of a number or elementwise.
    x : float or numpy.ndarray
        Where.
    h : float
        How far apart, > 0.
    centred : bool
        Which of the two.

    Returns
    -------
    float or numpy.ndarray

    Raises
    ------
    ValueError
        h is not positive and finite.

    Examples
    --------
    >>> from nnbook import checks
    >>> checks.difference(lambda x: x**2, 3.0, h=0.5, centred=False)
    6.5
    >>> checks.difference(lambda x: x**2, 3.0, h=0.5)
    6.0
    """
    if not (math.isfinite(h) and h > 0):
        raise ValueError(f"h is {h!r}; expected a positive number, such as 1e-5")
    if centred:
        return (function(x + h) - function(x - h)) / (2 * h)
    return (function(x + h) - function(x)) / h


def relative_error(analytic: Any, numeric: Any) -> Any:
    """Return abs(a − n) / max(abs(a), abs(n)), and 0 where both are 0.

    Parameters
    ----------
    analytic, numeric : float or array-like
        a and n, of shapes that broadcast.

    Returns
    -------
    float or numpy.ndarray
        In [0, 2]; 2 for the wrong sign. NaN where a or n is not finite.

    References
    ----------
    Stanford CS231n, Neural Networks 3: gradient checks.

    Examples
    --------
    >>> from nnbook import checks
    >>> checks.relative_error(1e-4 + 1.0, 1.0) < 1e-3 < checks.relative_error(1.1e-4, 1e-5)
    True
    >>> checks.relative_error(0.0, 0.0)
    0.0
    """
    a, n = onp.asarray(analytic, dtype=float), onp.asarray(numeric, dtype=float)
    scale = onp.maximum(abs(a), abs(n))
    with onp.errstate(invalid="ignore"):
        error = onp.where(scale == 0, 0.0, abs(a - n) / onp.where(scale == 0, 1.0, scale))
    return float(error) if error.ndim == 0 else error


def noise_of(function: Callable[[float], float], spacing: float) -> float:
    """Estimate the rounding error of a function from its values on a short line.

    Differences of third order of equally spaced values leave nothing of a smooth function, and the
    noise times √(C(6, 3)).

    References
    ----------
    Moré and Wild (2011), Estimating computational noise.
    """
    values = onp.array([function(k * spacing) for k in range(8)])
    third = onp.diff(values, n=3)
    estimate = math.sqrt(float(onp.mean(third**2)) / math.comb(6, 3))
    resolution = float(onp.finfo(float).eps) * float(abs(values).max())
    return max(estimate, resolution)


def best_step(noise: float, size: float) -> float:
    """Return the h at which rounding, noise/h, and the neglected term, h² f‴/6, are in balance.

    It takes f‴ for as large as the size of f, so that the unit of a loss does not matter; the
    balance is flat, and the power of ten is what counts.
    """
    relative = noise / size if size > 0 else 0.0
    return float(onp.clip((3 * relative) ** (1 / 3), 1e-6, 1e-2))


class Slope(NamedTuple):
    """A slope by differences at one coordinate, and what it is worth.

    Attributes
    ----------
    value : float
        The slope.
    rounding : float
        How far rounding alone may put it off.
    kink : bool
        Whether a kink spoilt the quotient: the slope, if it could be had, comes from nearer.
    exact : bool
        Whether there is a slope at all: not if a kink is nearer than the smallest step.
    """

    value: float
    rounding: float
    kink: bool = False
    exact: bool = True


def slope_beside(
    function: Callable[[float], float], middle: float, analytic: float, h: float, noise: float
) -> Slope:
    """Return the slope of a function at 0, to be held beside an analytic one.

    Where the centred quotient of width h disagrees, the reason may be a kink within h. Then the
    slopes to the left and to the right are taken at h/10 and h/100 too. Of a smooth function they
    differ by f″ h, ten times less at each; a kink within reach of h but not of h/10 shows in the
    first pair alone. Where one is nearer, left and right stay apart, and there is no judgement.

    Parameters
    ----------
    function : callable
        The loss as a function of the distance along a coordinate.
    middle : float
        Its value at 0.
    analytic : float
        The slope to be checked. It decides whether to look more closely, not what is found.
    h, noise : float
        The step, and the rounding error of the function.
    """
    wide = _quotients(function, middle, h, noise)
    gap = abs(wide.centred - analytic)
    if gap <= max(wide.rounding, _CLOSE * max(abs(wide.centred), abs(analytic))):
        return Slope(wide.centred, wide.rounding)
    near, nearest = (_quotients(function, middle, h / s, noise) for s in (10, 100))
    if math.isfinite(wide.jump) and _stays(near, nearest):
        return Slope(nearest.centred, nearest.rounding, kink=True, exact=False)
    shrank = abs(near.jump) <= 0.3 * abs(wide.jump) + 2 * near.rounding
    if not shrank:  # a kink nearer than h/10: at h/100 rounding may hide what is left of it
        return Slope(nearest.centred, nearest.rounding, kink=True, exact=False)
    apart = abs(near.centred - nearest.centred)
    best = near if apart <= nearest.rounding else nearest
    if apart > _SETTLED * abs(nearest.centred) + near.rounding + nearest.rounding:
        return Slope(best.centred, best.rounding, kink=True, exact=False)
    moved = abs(best.centred - wide.centred) > best.rounding + wide.rounding
    smooth = abs(near.jump) >= 0.03 * abs(wide.jump)
    return Slope(best.centred, best.rounding, kink=moved and not smooth)


class _Quotients(NamedTuple):
    centred: float
    jump: float  # from the slope on the left to that on the right
    rounding: float


def _quotients(
    function: Callable[[float], float], middle: float, h: float, noise: float
) -> _Quotients:
    right, left = function(h), function(-h)
    return _Quotients(
        (right - left) / (2 * h), (right - 2 * middle + left) / h, _MARGIN * noise / h
    )


def _stays(wider: _Quotients, narrower: _Quotients) -> bool:
    """Tell whether left and right remain apart as the step shrinks."""
    apart = abs(narrower.jump) > max(4 * narrower.rounding, _CLOSE * abs(narrower.centred))
    return apart and abs(narrower.jump) > 0.5 * abs(wider.jump)
