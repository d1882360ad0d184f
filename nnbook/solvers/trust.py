"""The best step of a quadratic model within a radius."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnbook._arguments import check_number, check_positive
from nnbook.curvature.operators import Operator

__all__ = ["TrustRegion", "conjugate_step", "exact_step"]

Array = np.ndarray


@dataclass(frozen=True)
class TrustRegion:
    """Trust a quadratic model of the function within a radius, and adapt the radius.

    The step minimises the model, gᵀs + ½ sᵀBs with ‖s‖ ≤ Δ. ρ, the fall of the value over that of
    the model, decides: below ¼ the radius becomes a quarter of the step, above ¾ at the border it
    doubles; the step is taken if ρ > `accept`. An indefinite B is no trouble.

    Parameters
    ----------
    radius : float
        The first Δ. For `least_squares` a multiple of ‖D x‖, as MINPACK's factor.
    largest : float
        Δ at most.
    accept : float
        In [0, ¼).

    References
    ----------
    Moré and Sorensen (1983), Computing a trust region step; Steihaug (1983); Nocedal and Wright
    (2006), chapter 4.
    """

    radius: float = 1.0
    largest: float = 1e10
    accept: float = 1e-4

    def __post_init__(self) -> None:
        check_positive(self.radius, "radius")
        check_positive(self.largest, "largest")
        check_number(self.accept, "accept", least=0, below=0.25)

    def adapted(self, radius: float, length: float, gain: float) -> float:
        """Return the radius after a step of some length with a gain ρ."""
        if not gain >= 0.25:
            return 0.25 * length
        at_border = length >= 0.99 * radius
        return min(2 * radius, self.largest) if gain > 0.75 and at_border else radius


def exact_step(g: Array, B: Array, radius: float) -> Array:
    """Return the minimiser of gᵀs + ½ sᵀBs with ‖s‖ ≤ Δ, by the eigenvalues of B.

    s(μ) = −(B + μI)⁻¹ g with the smallest μ ≥ 0 for which B + μI is positive semi-definite and
    ‖s‖ ≤ Δ; in the hard case, where g has no part along the lowest eigenvector, a part of that one
    is added.
    """
    values, vectors = np.linalg.eigh(B)
    c = vectors.T @ g
    scale = max(1.0, float(abs(values).max()))

    def length(mu: float) -> float:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            parts = np.where(c == 0, 0.0, c / (values + mu))
        return float(np.linalg.norm(parts))

    least = max(0.0, -float(values[0]))
    if values[0] > 1e-14 * scale and length(0.0) <= radius:
        return -(vectors @ (c / values))
    low = least + 1e-13 * scale
    if length(low) < radius:  # the hard case
        above = values + least > 1e-12 * scale
        s = np.zeros(len(g))
        s[above] = -c[above] / (values[above] + least)
        rest = radius**2 - float(s @ s)
        if values[0] < 0 and rest > 0:
            s[0] += np.sqrt(rest) * (-1.0 if c[0] > 0 else 1.0)
        return vectors @ s
    high = least + float(np.linalg.norm(g)) / radius + scale * 1e-12
    for _ in range(200):
        mu = 0.5 * (low + high)
        low, high = (mu, high) if length(mu) > radius else (low, mu)
        if high - low <= 1e-12 * high:
            break
    return -(vectors @ (c / (values + high)))


def conjugate_step(
    g: Array, B: Operator, radius: float | None, tolerance: float, most: int
) -> tuple[Array, bool]:
    """Minimise gᵀs + ½ sᵀBs by conjugate gradients, until ‖B s + g‖ ≤ tolerance.

    Along a direction of negative curvature, pᵀBp ≤ 0, it goes to the border of the radius; without
    a radius it stops and returns what it has, in the first step −g.

    Returns
    -------
    s : numpy.ndarray, shape (P,)
    curved : bool
        Whether negative curvature was met.
    """
    s, r = np.zeros_like(g), g.copy()
    p, rr = -r, float(g @ g)
    for k in range(most):
        Bp = B.matvec(p)
        curve = float(p @ Bp)
        if curve <= 1e-14 * float(p @ p):
            if radius is None:
                return (-g if k == 0 else s), True
            return s + _to_border(s, p, radius) * p, True
        t = rr / curve
        if radius is not None and np.linalg.norm(s + t * p) >= radius:
            return s + _to_border(s, p, radius) * p, False
        s = s + t * p
        r = r + t * Bp
        new = float(r @ r)
        if new <= tolerance**2:
            break
        p, rr = -r + (new / rr) * p, new
    return s, False


def _to_border(s: Array, p: Array, radius: float) -> float:
    """Return t > 0 with ‖s + t p‖ = Δ."""
    a, b, c = float(p @ p), float(s @ p), float(s @ s) - radius**2
    root = np.sqrt(max(b * b - a * c, 0.0))
    return float((-b + root) / a) if b <= 0 else float(-c / (b + root))


def model_fall(g: Array, B: Any, s: Array) -> float:
    """Return how far the model falls: −gᵀs − ½ sᵀBs."""
    return -float(g @ s) - 0.5 * float(s @ (B @ s))
