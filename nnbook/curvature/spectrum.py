"""The trace and the whole spectrum of an operator from random vectors, with error bars."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from nnbook._arguments import check_choice, check_number, check_positive, check_whole
from nnbook._arrays import as_generator
from nnbook.curvature.eigen import Tridiagonal
from nnbook.curvature.operators import as_operator

__all__ = ["Density", "Estimate", "Trace", "spectral_density", "trace"]


@dataclass(frozen=True, eq=False)
class Trace:
    """An estimate of a trace.

    Attributes
    ----------
    estimate : float
        The mean of zᵀA z over the probes.
    stderr : float
        Its standard error, and the rounding of a sum.
    samples : int
        How many probes, each one product.
    values : numpy.ndarray, shape (samples,)
        zᵀA z of each.
    """

    estimate: float
    stderr: float
    samples: int
    values: np.ndarray = field(repr=False)

    def interval(self, level: float = 0.99) -> tuple[float, float]:
        """Return a confidence interval by Student's t: it holds the trace in such a share of runs.

        Parameters
        ----------
        level : float
            In (0, 1).

        Returns
        -------
        tuple of float
        """
        half = self.stderr * _student(level, self.samples)
        return self.estimate - half, self.estimate + half


def trace(operator: Any, samples: int = 100, *, probes: str = "signs", rng: Any = 0) -> Trace:
    """Estimate the trace of an operator by Hutchinson's method: E[zᵀA z] = tr A.

    With random signs the variance of one probe is 2 (‖A‖²_F − Σ aᵢᵢ²), with normal numbers
    2 ‖A‖²_F. The products tell both: ‖A‖²_F is the mean of ‖A z‖², and Σ_{j≠i} aᵢⱼ² the variance
    of zᵢ (A z)ᵢ. This knows more than the scatter of zᵀA z does: where one large eigenvalue makes
    that skew, few probes give an estimate and a scatter that are both too small.

    Parameters
    ----------
    operator : operator
        Whatever `as_operator` takes.
    samples : int
        How many probes, ≥ 2. They are fixed beforehand: who stops when the mean no longer moves
        stops where it happens to look right.
    probes : str
        "signs" (Rademacher) or "normal".
    rng : int or numpy.random.Generator
        Of the probes.

    Returns
    -------
    Trace

    References
    ----------
    Hutchinson (1990), A stochastic estimator of the trace of the influence matrix.

    Examples
    --------
    >>> from nnbook import curvature
    >>> found = curvature.trace(curvature.Matrix([[2.0, 1.0], [1.0, 3.0]]), samples=400, rng=0)
    >>> low, high = found.interval()
    >>> low < 5 < high
    True
    """
    operator, rng = as_operator(operator), as_generator(rng)
    samples = check_whole(samples, "samples", least=2)
    values, squares, sizes = np.zeros(samples), np.zeros(samples), np.zeros(samples)
    middle, scatter = np.zeros(operator.size), np.zeros(operator.size)
    for k in range(samples):
        z = _probe(probes, operator.size, rng)
        product = np.asarray(operator.matvec(z), dtype=float)
        terms = z * product
        values[k], sizes[k], squares[k] = terms.sum(), abs(terms).sum(), product @ product
        apart = terms - middle  # Welford's running mean and sum of squares
        middle += apart / (k + 1)
        scatter += apart * (terms - middle)
    norm = scatter.sum() / (samples - 1) if probes == "signs" else squares.mean()
    rounding = 4 * float(np.finfo(float).eps) * float(sizes.mean())
    stderr = float(np.hypot(np.sqrt(2 * norm / samples), rounding))
    return Trace(float(values.mean()), stderr, samples, values)


@dataclass(frozen=True, eq=False)
class Estimate:
    """Numbers with what they may be off.

    Attributes
    ----------
    value : numpy.ndarray
        The estimates.
    stderr : numpy.ndarray
        What the choice of the probes may put them off.
    low, high : numpy.ndarray
        The ends of the error bars: a confidence interval, widened by what the quadrature may be
        off.
    """

    value: np.ndarray
    stderr: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, eq=False)
class Density:
    """A spectrum: for each probe a few nodes on the axis of eigenvalues, with weights.

    Attributes
    ----------
    size : int
        P.
    nodes, weights : tuple of numpy.ndarray
        Of each probe, (m,): Ritz values, and shares that add up to 1.
    coarse : tuple of (numpy.ndarray, numpy.ndarray)
        The same of fewer steps: where both agree, there were enough.
    products : int
        How many products it cost.
    """

    size: int
    nodes: tuple[np.ndarray, ...] = field(repr=False)
    weights: tuple[np.ndarray, ...] = field(repr=False)
    coarse: tuple[tuple[np.ndarray, np.ndarray], ...] = field(repr=False)
    products: int = 0

    def cumulative(self, x: Any, level: float = 0.99) -> Estimate:
        """Return which share of the eigenvalues is at most x.

        The nodes of a Gauss quadrature bound the share of every probe from below and above
        (Chebyshev, Markov, Stieltjes), whatever lies between them: the bars hold both these bounds
        and the scatter of the probes.

        Parameters
        ----------
        x : float or array
            Where.
        level : float
            Of the confidence interval.

        Returns
        -------
        Estimate
            Shaped like x.
        """
        x = np.asarray(x, dtype=float)
        every = [_shares(n, w, x) for n, w in zip(self.nodes, self.weights, strict=True)]
        below, at, above = (np.array(part) for part in zip(*every, strict=True))
        low = self._score(below.mean(axis=0), level)[0]
        high = self._score(above.mean(axis=0), level)[1]
        value = at.mean(axis=0)
        return Estimate(value, self._stderr(value, value), low, high)

    def smoothed(self, x: Any, width: float, level: float = 0.99) -> Estimate:
        """Return the density of the eigenvalues, each spread out by a Gaussian.

        Parameters
        ----------
        x : float or array
            Where.
        width : float
            The standard deviation of the Gaussian. A width far below the span of the spectrum over
            m asks for more than m steps can tell: the bars grow.
        level : float
            Of the confidence interval.

        Returns
        -------
        Estimate
            Shaped like x; the integral is 1.
        """
        x, width = np.asarray(x, dtype=float), check_positive(width, "width")

        def kernel(nodes: np.ndarray) -> np.ndarray:
            return stats.norm.pdf(x[..., None], nodes, width)

        peak = float(stats.norm.pdf(0.0, 0.0, width))
        mean, square, apart = self._means(kernel)
        low, high = self._score(mean / peak, level)
        stderr = self._stderr(mean, square)
        return Estimate(mean, stderr, np.maximum(peak * low - apart, 0.0), peak * high + apart)

    def moment(self, power: int, level: float = 0.99) -> Estimate:
        """Return the mean of λᵏ over the eigenvalues, tr(Aᵏ)/P; exact quadrature for k < 2m.

        Parameters
        ----------
        power : int
            k ≥ 0.
        level : float
            Of the confidence interval.

        Returns
        -------
        Estimate
        """
        k = check_whole(power, "power", least=0)
        mean, square, apart = self._means(lambda nodes: (nodes**k)[None])
        stderr = self._stderr(mean, square)[0]
        half = stderr * _student(level, len(self.nodes)) + apart[0] + 1e-12 * abs(mean[0])
        return Estimate(mean[0], stderr, mean[0] - half, mean[0] + half)

    def _means(self, function: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the means of f(λ) and f(λ)² and what more steps changed in the first.

        `function` gives shape (..., m) on m nodes.
        """
        pairs = list(zip(self.nodes, self.weights, strict=True))
        fine = [(function(nodes), weights) for nodes, weights in pairs]
        mean = np.mean([(f * w).sum(axis=-1) for f, w in fine], axis=0)
        square = np.mean([(f * f * w).sum(axis=-1) for f, w in fine], axis=0)
        coarse = [(function(nodes) * weights).sum(axis=-1) for nodes, weights in self.coarse]
        apart = [abs((f * w).sum(axis=-1) - c) for (f, w), c in zip(fine, coarse, strict=True)]
        return mean, square, np.mean(apart, axis=0)

    def _stderr(self, mean: np.ndarray, square: np.ndarray) -> np.ndarray:
        """Return the standard error of the mean of f over n probes.

        The variance of zᵀf(A)z / P is 2/(P + 2) (⟨f²⟩ − ⟨f⟩²) for normal numbers, and at most
        2/P (⟨f²⟩ − ⟨f⟩²) for signs: the quadrature knows ⟨f²⟩ far better than the scatter of a
        few probes does.
        """
        excess = np.maximum(square - mean**2, 0.0)
        return np.sqrt(2 * excess / (self.size * len(self.nodes)))

    def _score(self, share: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Return Wilson's interval of a mean of numbers in [0, 1], as of n P / 2 independent ones.

        A few large eigenvalues are a small share, and its estimate is skew: an interval of the
        estimate's own standard error would miss it too often.
        """
        z = float(stats.norm.ppf((1 + check_number(level, "level", above=0, below=1)) / 2))
        n = self.size * len(self.nodes) / 2
        middle = (share + z * z / (2 * n)) / (1 + z * z / n)
        inside = np.maximum(share * (1 - share), 0.0) / n + (z / (2 * n)) ** 2
        half = z * np.sqrt(inside) / (1 + z * z / n)
        return np.clip(middle - half, 0.0, 1.0), np.clip(middle + half, 0.0, 1.0)


def spectral_density(
    operator: Any,
    *,
    steps: int = 50,
    probes: int = 10,
    kind: str = "normal",
    rng: Any = 0,
) -> Density:
    """Estimate the whole spectrum of an operator by stochastic Lanczos quadrature.

    m steps of Lanczos from a random z give nodes θ_k, the eigenvalues of T, and weights τ_k, the
    squares of the *first* entries of its eigenvectors. Σ τ_k f(θ_k) is zᵀf(A) z / ‖z‖², exact for
    polynomials of degree < 2m; over the probes its mean is tr f(A) / P.

    Parameters
    ----------
    operator : operator
        Whatever `as_operator` takes.
    steps : int
        m, at least 2; steps × P numbers are kept during a run.
    probes : int
        How many starts, ≥ 2.
    kind : str
        Of the starts: "normal" or "signs".
    rng : int or numpy.random.Generator
        Of the starts.

    Returns
    -------
    Density

    References
    ----------
    Golub and Welsch (1969), Calculation of Gauss quadrature rules; Ubaru, Chen and Saad (2017),
    Fast estimation of tr(f(A)) via stochastic Lanczos quadrature.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import curvature
    >>> A = curvature.Diagonal(np.linspace(0, 1, 1000))
    >>> share = curvature.spectral_density(A, steps=30, probes=10).cumulative(0.5)
    >>> bool(share.low <= 0.5 <= share.high)
    True
    """
    operator, rng = as_operator(operator), as_generator(rng)
    steps, probes = check_whole(steps, "steps", least=2), check_whole(probes, "probes", least=2)
    nodes, weights, coarse, products = [], [], [], 0
    for _ in range(probes):
        run = Tridiagonal(operator, _probe(kind, operator.size, rng)).extend(steps)
        few = len(run.alpha) if run.ended else max(1, (3 * len(run.alpha)) // 4)
        values, inside = run.ritz()
        fewer, within = run.ritz(few)
        nodes.append(values)
        weights.append(inside[0] ** 2)
        coarse.append((fewer, within[0] ** 2))
        products += len(run.alpha)
    return Density(operator.size, tuple(nodes), tuple(weights), tuple(coarse), products)


def _shares(
    nodes: np.ndarray, weights: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bounds of a probe's share of eigenvalues up to x, and the middle between them."""
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    left = np.searchsorted(nodes, x, side="right")  # how many nodes are at or below x
    low, high = sums[np.maximum(left - 1, 0)], sums[np.minimum(left + 1, len(nodes))]
    return low, (low + high) / 2, high


def _probe(kind: str, size: int, rng: np.random.Generator) -> np.ndarray:
    check_choice(kind, "probes", ("signs", "normal"))
    if kind == "normal":
        return rng.normal(size=size)
    return rng.integers(0, 2, size=size) * 2.0 - 1.0


def _student(level: float, samples: int) -> float:
    level = check_number(level, "level", above=0, below=1)
    return float(stats.t.ppf((1 + level) / 2, samples - 1))
