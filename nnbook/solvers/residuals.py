"""Residuals with their Jacobian, counted, and the linear model that they make."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nnbook.solvers.functions import Counts

__all__ = ["Model", "Place", "Residuals", "square"]

Array = np.ndarray


class Place(NamedTuple):
    """A point of a fit; `gradient_norm` is the relative offset."""

    x: Array
    r: Array
    J: Array
    value: float
    gradient_norm: float

    @property
    def finite(self) -> bool:
        """Whether value and Jacobian are finite."""
        return bool(np.isfinite(self.value) and np.isfinite(self.J).all())


class Residuals:
    """The residuals and their Jacobian, counted."""

    def __init__(self, residuals: Any, jacobian: Any, counts: Counts):
        self._residuals, self._jacobian, self.counts = residuals, jacobian, counts

    def __call__(self, x: Array) -> Array:
        """Return r(x), shape (m,)."""
        self.counts.check()
        self.counts.evaluations += 1
        with np.errstate(all="ignore"):
            found = np.array(self._residuals(x.copy()), dtype=float)
        if found.ndim != 1:
            raise ValueError(f"residuals have shape {found.shape}; expected one vector, (m,)")
        return found

    def jacobian(self, x: Array, r: Array) -> Array:
        """Return ∂r/∂x, shape (m, P)."""
        self.counts.check()
        if self._jacobian is None:
            return self._differences(x)
        self.counts.gradients += 1
        with np.errstate(all="ignore"):
            found = np.array(self._jacobian(x.copy()), dtype=float)
        if found.shape != (len(r), len(x)):
            raise ValueError(f"jacobian has shape {found.shape}; expected {(len(r), len(x))}")
        return found

    def _differences(self, x: Array) -> Array:
        columns = []
        for k in range(len(x)):
            h = 6e-6 * (abs(x[k]) or 1.0)
            ahead, behind = x.copy(), x.copy()
            ahead[k] += h
            behind[k] -= h
            columns.append((self(ahead) - self(behind)) / (ahead[k] - behind[k]))
        return np.stack(columns, axis=1)

    def place(self, x: Array, r: Array) -> Place:
        """Return a point with everything that a step needs."""
        return place_of(x, r, self.jacobian(x, r))


def place_of(x: Array, r: Array, J: Array) -> Place:
    return Place(x, r, J, square(r), _offset(r, J))


def square(r: Array) -> float:
    """Return ‖r‖²; infinity where it is no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(r @ r)
    return value if not np.isnan(value) else np.inf


def _offset(r: Array, J: Array) -> float:
    """Return ‖Q Qᵀ r‖ / ‖r‖ with Q an orthonormal basis of the span of J."""
    length = float(np.linalg.norm(r))
    if length == 0:
        return 0.0
    if not np.isfinite(J).all():
        return np.inf
    sizes = np.linalg.norm(J, axis=0)
    U, s, _ = np.linalg.svd(J / np.where(sizes > 0, sizes, 1.0), full_matrices=False)
    inside = U[:, s > 1e-15 * max(s[0], 1e-300)].T @ r
    return float(np.linalg.norm(inside)) / length


class Model:
    """‖J s + r‖² in the coordinates D s, by the singular values of J D⁻¹."""

    def __init__(self, place: Place, scale: Array):
        self.scale = scale
        # Columns of one length first, so that the small singular values are accurate.
        self.U, self.s, self.Vt = np.linalg.svd(place.J / scale, full_matrices=False)
        self.c = self.U.T @ place.r
        self.kept = self.s > 1e-15 * max(float(self.s[0]), 1e-300)

    def _coefficients(self, c: Array, mu: float) -> Array:
        s = np.where(self.kept, self.s, 1.0)
        return np.where(self.kept, s * c / (s * s + mu), 0.0)

    def step(self, mu: float, c: Array | None = None) -> Array:
        """Return the step for a μ; of other residuals, given by their c = Uᵀr."""
        parts = self._coefficients(self.c if c is None else c, mu)
        return -(self.Vt.T @ parts) / self.scale

    def length(self, mu: float) -> float:
        """Return ‖D s‖."""
        return float(np.linalg.norm(self._coefficients(self.c, mu)))

    def fall(self, mu: float) -> float:
        """Return by how much the model of the sum of squares falls."""
        s = np.where(self.kept, self.s, 0.0)
        share = s * s / (s * s + mu) if mu > 0 else self.kept.astype(float)
        return float(np.sum(self.c**2 * (1 - (1 - share) ** 2)))

    def within(self, radius: float) -> float:
        """Return the least μ ≥ 0 with ‖D s‖ ≤ Δ."""
        if self.length(0.0) <= radius:
            return 0.0
        low, high = 0.0, float(np.linalg.norm(self.s * self.c)) / radius
        for _ in range(100):
            mu = 0.5 * (low + high) if low else 1e-3 * high
            low, high = (mu, high) if self.length(mu) > radius else (low, mu)
            if self.length(high) >= 0.95 * radius or high < 1e-300:
                break
        return high
