"""Small functions to descend on: their values, gradients and minima are known exactly.

Every function takes points of shape (d,) or (n, d), float64, so that many runs can be followed at
once; values have the shape without the last axis, gradients the shape of the points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as onp

__all__ = ["Problem", "double_well", "quadratic", "rosenbrock"]

Function = Callable[[onp.ndarray], onp.ndarray]


@dataclass(frozen=True)
class Problem:
    """A function, its gradient and its minimum.

    Attributes
    ----------
    name : str
        For titles.
    value, gradient : callable
        Of points, shape (d,) or (n, d).
    start : numpy.ndarray, shape (d,)
        The customary start.
    minimum : numpy.ndarray, shape (d,)
        Where the global minimum is.
    eigenvalues : numpy.ndarray
        Of the Hessian at the minimum, ascending.
    """

    name: str
    value: Function = field(repr=False)
    gradient: Function = field(repr=False)
    start: onp.ndarray = field(repr=False)
    minimum: onp.ndarray = field(repr=False)
    eigenvalues: onp.ndarray

    @property
    def condition_number(self) -> float:
        """κ = λmax / λmin at the minimum."""
        return float(self.eigenvalues[-1] / self.eigenvalues[0])


def quadratic(eigenvalues: Sequence[float], angle: float = 0.0) -> Problem:
    """½ θᵀ H θ with given eigenvalues: the shape of every smooth minimum, seen close enough.

    Parameters
    ----------
    eigenvalues : sequence of float, length d
        λ₁ … λ_d, all positive.
    angle : float
        For d = 2, how far the valley is turned against the axes, in radians.

    Returns
    -------
    Problem
        Its start is the one from which gradient descent is slowest: θᵢ ∝ 1/λᵢ, turned.

    Raises
    ------
    ValueError
        An eigenvalue is not positive, or `angle` without d = 2.
    """
    values = onp.asarray(eigenvalues, dtype=float)
    if values.ndim != 1 or not values.size or not ((values > 0) & (values < onp.inf)).all():
        raise ValueError(f"eigenvalues are {eigenvalues}; expected positive and finite numbers")
    if angle and values.size != 2:
        raise ValueError(f"angle needs two eigenvalues; got {values.size}")
    cos, sin = onp.cos(angle), onp.sin(angle)
    turn = onp.array([[cos, -sin], [sin, cos]]) if values.size == 2 else onp.eye(values.size)
    hessian = turn @ onp.diag(values) @ turn.T
    return Problem(
        f"quadratic, κ = {values.max() / values.min():g}",
        lambda theta: 0.5 * onp.einsum("...i,ij,...j->...", theta, hessian, theta),
        lambda theta: theta @ hessian,
        turn @ (values.max() / values),
        onp.zeros(values.size),
        onp.sort(values),
    )


def double_well(tilt: float = 0.2) -> Problem:
    """θ⁴/4 − θ²/2 + c θ: a shallow basin on the right, a deep one on the left.

    Parameters
    ----------
    tilt : float
        c in (0, 0.38): how much deeper the left basin is.

    Returns
    -------
    Problem
        It starts in the shallow minimum; gradients at shape (..., 1).

    Raises
    ------
    ValueError
        With such a tilt there are not two basins.
    """
    if not 0 < tilt < 2 / 3**1.5:
        raise ValueError(f"tilt is {tilt}; expected it in (0, {2 / 3**1.5:.3f})")
    roots = onp.sort(onp.roots([1, 0, -1, tilt]))
    deep, shallow = float(roots[0].real), float(roots[2].real)
    return Problem(
        "double well",
        lambda theta: (theta**4 / 4 - theta**2 / 2 + tilt * theta)[..., 0],
        lambda theta: theta**3 - theta + tilt,
        onp.array([shallow]),
        onp.array([deep]),
        onp.array([3 * deep**2 - 1]),
    )


def rosenbrock() -> Problem:
    """100 (y − x²)² + (1 − x)²: a curved valley whose floor hardly falls.

    Returns
    -------
    Problem
        It starts at (−1.2, 1), where f = 24.2.

    References
    ----------
    Rosenbrock (1960), An automatic method for finding the greatest or least value of a function.
    """

    def value(theta):
        x, y = theta[..., 0], theta[..., 1]
        return 100 * (y - x**2) ** 2 + (1 - x) ** 2

    def gradient(theta):
        x, y = theta[..., 0], theta[..., 1]
        return onp.stack([-400 * x * (y - x**2) - 2 * (1 - x), 200 * (y - x**2)], axis=-1)

    hessian = onp.array([[802.0, -400.0], [-400.0, 200.0]])
    return Problem(
        "Rosenbrock",
        value,
        gradient,
        onp.array([-1.2, 1.0]),
        onp.ones(2),
        onp.linalg.eigvalsh(hessian),
    )
