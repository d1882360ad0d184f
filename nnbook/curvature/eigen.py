"""Eigenvalues of what is known by its products: power iteration and Lanczos."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.linalg import eigh_tridiagonal

from nnbook._arguments import check_choice, check_positive, check_whole
from nnbook._arrays import as_generator
from nnbook.curvature.operators import Operator, as_operator

__all__ = ["Eigenpairs", "Tridiagonal", "lanczos", "power_iteration"]


@dataclass(frozen=True, eq=False)
class Eigenpairs:
    """Eigenvalues and eigenvectors, and how good they are.

    Attributes
    ----------
    values : numpy.ndarray, shape (k,)
        λ, the most wanted first.
    vectors : numpy.ndarray, shape (P, k)
        Of length 1, one a column.
    residuals : numpy.ndarray, shape (k,)
        ‖A v − λ v‖. Some eigenvalue of A is no further from λ than this.
    iterations : int
        How many steps were taken.
    products : int
        How many products A v were computed, those for the residuals included.
    converged : bool
        Whether every residual is within the tolerance.
    """

    values: np.ndarray
    vectors: np.ndarray = field(repr=False)
    residuals: np.ndarray
    iterations: int
    products: int
    converged: bool


def power_iteration(
    operator: Any,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
    start: Any = None,
    rng: Any = 0,
) -> Eigenpairs:
    """Find the eigenvalue that is largest in absolute value: v ← A v / ‖A v‖.

    The error of v shrinks by abs(λ₂ / λ₁) a step. λ is the Rayleigh quotient vᵀA v, with its sign;
    where λ and −λ are both eigenvalues nothing converges, and the result says so.

    Parameters
    ----------
    operator : operator
        Whatever `as_operator` takes.
    tolerance : float
        Of ‖A v − λ v‖, relative to abs(λ).
    max_iterations : int
        How many products at most.
    start : array, shape (P,), optional
        Where to begin; by default a random vector.
    rng : int or numpy.random.Generator
        Of the start.

    Returns
    -------
    Eigenpairs
        One pair; the vector is the one whose residual is given.

    Examples
    --------
    >>> from nnbook import curvature
    >>> found = curvature.power_iteration(curvature.Diagonal([1.0, -5.0, 2.0]))
    >>> round(float(found.values[0]), 6), found.converged
    (-5.0, True)
    """
    operator = as_operator(operator)
    check_positive(tolerance, "tolerance")
    most = check_whole(max_iterations, "max_iterations")
    v = _start(start, operator.size, rng)
    for step in range(1, most + 1):
        product = np.asarray(operator.matvec(v), dtype=float)
        value = float(v @ product)
        residual = float(np.linalg.norm(product - value * v))
        length = float(np.linalg.norm(product))
        done = residual <= tolerance * abs(value) or length == 0
        if done or step == most or not np.isfinite(length):
            break
        v = product / length
    pair = np.array([value]), v[:, None], np.array([residual])
    return Eigenpairs(*pair, iterations=step, products=step, converged=bool(done))


class Tridiagonal:
    """Lanczos steps from one start: A Q ≈ Q T with T tridiagonal and Q orthonormal.

    Each new vector is made orthogonal to all before, twice: that is enough (Parlett), and without
    it rounding brings eigenvalues that were found back as ghosts.

    Parameters
    ----------
    operator : operator
        A.
    start : array, shape (P,)
        Of any length but 0.

    Attributes
    ----------
    alpha, beta : list of float
        The diagonal of T, and what is beside it; the last β is that of the next step.
    basis : numpy.ndarray, shape (m, P)
        Qᵀ.
    ended : bool
        Whether nothing new can come: the start is a sum of m eigenvectors.
    """

    def __init__(self, operator: Any, start: np.ndarray):
        self.operator = as_operator(operator)
        self.alpha: list[float] = []
        self.beta: list[float] = []
        self.ended = False
        self._next = np.array(start, dtype=float) / np.linalg.norm(start)
        self._rows = np.zeros((0, self.operator.size))
        self._scale = 0.0

    @property
    def basis(self) -> np.ndarray:
        """Qᵀ, shape (m, P)."""
        return self._rows[: len(self.alpha)]

    def extend(self, steps: int) -> Tridiagonal:
        """Take steps until there are so many, or none is left; return itself."""
        steps = min(steps, self.operator.size)
        grown = np.zeros((max(steps, len(self.alpha)), self.operator.size))
        grown[: len(self.alpha)] = self.basis
        self._rows = grown
        while len(self.alpha) < steps and not self.ended:
            j = len(self.alpha)
            self._rows[j] = self._next
            w = np.array(self.operator.matvec(self._next), dtype=float)
            self.alpha.append(float(self._next @ w))
            before = self._rows[: j + 1]
            for _ in range(2):
                w -= before.T @ (before @ w)
            self.beta.append(float(np.linalg.norm(w)))
            self._scale = max(self._scale, abs(self.alpha[j]) + self.beta[j])
            self.ended = j + 1 == self.operator.size or self.beta[j] <= 1e-13 * self._scale
            if not self.ended:
                self._next = w / self.beta[j]
        return self

    def ritz(self, steps: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the eigenvalues of T, ascending, and its eigenvectors, by default of all of T."""
        m = len(self.alpha) if steps is None else min(steps, len(self.alpha))
        return eigh_tridiagonal(np.array(self.alpha[:m]), np.array(self.beta[: m - 1]))


def lanczos(
    operator: Any,
    count: int = 1,
    *,
    which: str = "largest",
    tolerance: float = 1e-8,
    max_iterations: int | None = None,
    start: Any = None,
    rng: Any = 0,
) -> Eigenpairs:
    """Find several eigenvalues at an end of the spectrum, with their multiplicities.

    A run of Lanczos sees one vector of each eigenspace. So when a run has converged, another one
    starts outside what was found, until a run finds nothing that belongs to the wanted ones.

    Parameters
    ----------
    operator : operator
        Whatever `as_operator` takes.
    count : int
        k, how many.
    which : str
        "largest" or "smallest", as signed numbers, or "magnitude".
    tolerance : float
        Of the residuals, relative to the largest absolute eigenvalue seen.
    max_iterations : int, optional
        Steps of a run, at most; by default max(20 k, 200), or P where that is less. P × steps
        numbers are kept.
    start : array, shape (P,), optional
        Where the first run begins; by default random.
    rng : int or numpy.random.Generator
        Of the starts.

    Returns
    -------
    Eigenpairs

    References
    ----------
    Lanczos (1950); Parlett (1980), The Symmetric Eigenvalue Problem.

    Examples
    --------
    >>> from nnbook import curvature
    >>> found = curvature.lanczos(curvature.Diagonal([1.0, 7.0, 7.0, 3.0]), 3)
    >>> found.values.round(6)
    array([7., 7., 3.])
    """
    operator, rng = as_operator(operator), as_generator(rng)
    count = check_whole(count, "count", most=operator.size)
    check_choice(which, "which", ("largest", "smallest", "magnitude"))
    check_positive(tolerance, "tolerance")
    most = check_whole(max_iterations or max(20 * count, 200), "max_iterations")
    values, vectors = np.zeros(0), np.zeros((operator.size, 0))
    scale, steps = 0.0, 0
    v = _start(start, operator.size, rng)
    while vectors.shape[1] < operator.size:
        run = _until_converged(operator, vectors, v, count, which, tolerance, most)
        steps += len(run.alpha)
        found, inside = run.ritz()
        scale = max(scale, float(abs(found).max()))
        new = _order(found, which)[:count]
        good = run.beta[-1] * abs(inside[-1, new]) <= tolerance * scale
        if len(values) >= count:  # only what is wanted more than the last of what there is
            edge = np.sort(_keys(values, which))[count - 1]
            good &= _keys(found[new], which) < edge - tolerance * scale
        elif not good.any():  # not converged: say what there is, and how good it is
            good[: count - len(values)] = True
            most = 0
        if not good.any():
            break
        values = np.append(values, found[new[good]])
        vectors = np.linalg.qr(np.hstack([vectors, run.basis.T @ inside[:, new[good]]]))[0]
        if most == 0:
            break
        v = rng.normal(size=operator.size)
    best = _order(values, which)[:count]
    return _pairs(operator, vectors[:, best], which, steps, count, 2 * tolerance * scale)


def _pairs(
    operator: Operator, vectors: np.ndarray, which: str, steps: int, count: int, allowed: float
) -> Eigenpairs:
    """Measure what was found by products of its own."""
    products = operator @ vectors
    values = np.einsum("ik,ik->k", vectors, products)
    residuals = np.linalg.norm(products - vectors * values, axis=0)
    order = _order(values, which)
    converged = len(values) == count and bool((residuals <= allowed).all())
    return Eigenpairs(
        values[order], vectors[:, order], residuals[order], steps, steps + len(values), converged
    )


def _until_converged(
    operator: Operator,
    vectors: np.ndarray,
    v: np.ndarray,
    count: int,
    which: str,
    tolerance: float,
    most: int,
) -> Tridiagonal:
    """Take as many steps outside some vectors as the wanted Ritz values need."""
    size = operator.size
    if vectors.shape[1]:
        operator, v = operator.deflated(vectors), v - vectors @ (vectors.T @ v)
    most = min(most, size - vectors.shape[1])
    steps, run = min(most, count + 8), Tridiagonal(operator, v)
    while True:
        run.extend(steps)
        found, inside = run.ritz()
        wanted = _order(found, which)[:count]
        errors = run.beta[-1] * abs(inside[-1, wanted])
        settled = len(wanted) == count and (errors <= tolerance * abs(found).max()).all()
        if run.ended or steps >= most or settled:
            return run
        steps = min(most, steps + max(8, steps // 4))


def _keys(values: np.ndarray, which: str) -> np.ndarray:
    """Return numbers that are small where a value is wanted."""
    return {"largest": -values, "smallest": values, "magnitude": -abs(values)}[which]


def _order(values: np.ndarray, which: str) -> np.ndarray:
    """Return the indices of some values, the most wanted first."""
    return np.argsort(_keys(values, which), kind="stable")


def _start(start: Any, size: int, rng: Any) -> np.ndarray:
    if start is None:
        v = as_generator(rng).normal(size=size)
    else:
        v = np.array(start, dtype=float)
        if v.shape != (size,) or not np.isfinite(v).all() or not v.any():
            raise ValueError(
                f"start has shape {v.shape}; expected a finite vector of shape ({size},), not 0"
            )
    return v / np.linalg.norm(v)
