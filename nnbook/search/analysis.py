"""What a search says: the best of k trials, and which hyperparameters matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_number, check_seed, check_whole
from nnbook._arrays import as_numpy
from nnbook.search.results import Results

__all__ = ["BestOf", "Importance", "best_of", "importance"]


@dataclass(frozen=True, eq=False)
class BestOf:
    """The best value that k trials of a random search find, for k = 1 … n.

    Attributes
    ----------
    trials : numpy.ndarray of int, shape (n,)
        k.
    expected : numpy.ndarray, shape (n,)
        The expected best value.
    low, high : numpy.ndarray, shape (n,)
        Between which it lies for the given part of all searches of k trials.
    """

    trials: onp.ndarray
    expected: onp.ndarray
    low: onp.ndarray
    high: onp.ndarray


def best_of(values: Any, *, smaller_is_better: bool = True, confidence: float = 0.95) -> BestOf:
    r"""Estimate what the best of k independent trials is, for every k, from n of them.

    The expectation is exact and without bias: the mean of the best over all subsets of k trials.
    With the values sorted from the best, :math:`v_1` to :math:`v_n`,

    .. math::
        E_k = \sum_i v_i \binom{n-i}{k-1} \Big/ \binom{n}{k}.

    The band is the bootstrap's, in closed form: k trials drawn with replacement do no better than
    :math:`v_i` with probability :math:`(1 - i/n)^k`. Near k = n it rests on few trials.

    Parameters
    ----------
    values : Results, or array of float, shape (n,)
        The values of independent trials (a random search). NaN, a trial that failed, counts as the
        worst value of all.
    smaller_is_better : bool
        For an array; a table knows it.
    confidence : float
        How much of all searches the band holds, in (0, 1).

    Returns
    -------
    BestOf

    Raises
    ------
    ValueError
        No value is finite, or a confidence outside (0, 1).

    References
    ----------
    Dodge et al. (2019), Show your work: improved reporting of experimental results.
    Tang et al. (2020), Showing your work doesn't always work.

    Examples
    --------
    >>> from nnbook import search
    >>> search.best_of([3.0, 1.0, 2.0]).expected.round(6).tolist()
    [2.0, 1.333333, 1.0]
    """
    from scipy.special import gammaln

    if isinstance(values, Results):
        values, smaller_is_better = values["value"], values.smaller_is_better
    confidence = check_number(confidence, "confidence", above=0, below=1)
    sign = 1.0 if smaller_is_better else -1.0
    found = _with_failures_as_worst(sign * as_numpy(values, "values").astype(float))
    ordered = onp.sort(found)
    n = len(ordered)
    k, i = onp.arange(1, n + 1)[:, None], onp.arange(1, n + 1)[None, :]

    def log_binomial(a: Any, b: Any) -> Any:
        return gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1)

    possible = i <= n - k + 1
    weight = onp.where(
        possible,
        onp.exp(log_binomial(onp.where(possible, n - i, k), k - 1) - log_binomial(n, k)),
        0,
    )
    reached = 1 - (1 - i / n) ** k  # P(best ≤ v_i)
    tail = (1 - confidence) / 2
    low, high = (ordered[(reached < q).sum(axis=1)] for q in (tail, 1 - tail))
    if sign < 0:
        low, high = high, low
    return BestOf(k[:, 0], sign * (weight @ ordered), sign * low, sign * high)


def _with_failures_as_worst(values: onp.ndarray) -> onp.ndarray:
    """Smaller is better here."""
    finite = values[onp.isfinite(values)]
    if values.ndim != 1 or not len(finite):
        raise ValueError(
            f"values has shape {values.shape} and {len(finite)} finite numbers; expected one row "
            "with at least one"
        )
    return onp.where(onp.isfinite(values), values, finite.max())


@dataclass(frozen=True, eq=False)
class Importance:
    """How much of the variance of a search each hyperparameter explains by itself.

    Attributes
    ----------
    names : list of str
        From the most to the least important.
    share : numpy.ndarray, shape (n,)
        Of the variance; below zero, by chance, where there is nothing to explain.
    low, high : numpy.ndarray, shape (n,)
        The interval.
    """

    names: list[str]
    share: onp.ndarray
    low: onp.ndarray
    high: onp.ndarray

    def __repr__(self) -> str:
        width = max(map(len, self.names))
        return "\n".join(
            f"{name:{width}}  {share:4.0%}  ({low:.0%} to {high:.0%})"
            for name, share, low, high in zip(
                self.names, self.share, self.low, self.high, strict=True
            )
        )


def importance(
    results: Results,
    *,
    ranks: bool = True,
    bins: int | None = None,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Importance:
    r"""Decompose the variance of a random search: what each hyperparameter explains alone.

    The trials are put into bins of one hyperparameter, as many in each, or one for each choice. The
    share is that of the variance between the bins, corrected for what chance puts there (Kelley's
    ε²): with n trials in b bins and sums of squares SS,

    .. math::
        ε^2 = \frac{SS_{between} - (b - 1)\, SS_{within} / (n - b)}{SS_{total}}.

    It is without the interactions and the seeds: what all shares together leave of 1. A conditional
    hyperparameter is judged among the trials that have it. The interval is the bootstrap's over the
    trials, centred at the estimate, since repeated trials make shares too large.

    For what matters in reaching the *best* trials, ask Optuna:
    ``optuna.importance.get_param_importances(results.to_study())`` with its PED-ANOVA evaluator.

    Parameters
    ----------
    results : Results
        Of a random search.
    ranks : bool
        Decompose the ranks of the values, in which a failed trial counts as the worst. Otherwise
        the values of the complete ones, which a few very bad trials may rule.
    bins : int, optional
        For a range; by default a tenth of the trials, at least 3 and at most 12.
    confidence : float
        Of the interval, in (0, 1).
    resamples : int
        Of the bootstrap.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Importance

    Raises
    ------
    ValueError
        Fewer than 10 trials, all values equal, or a number out of range.

    References
    ----------
    Kelley (1935), An unbiased correlation ratio measure.
    """
    from scipy import stats

    confidence = check_number(confidence, "confidence", above=0, below=1)
    resamples, seed = check_whole(resamples, "resamples"), check_seed(seed)
    part = results if ranks else results.complete
    if len(part) < 10:
        raise ValueError(f"there are {len(part)} trials; expected at least 10")
    y = part["value"]
    if ranks:
        sign = 1.0 if part.smaller_is_better else -1.0
        y = stats.rankdata(_with_failures_as_worst(sign * y))
    if onp.ptp(y) == 0:
        raise ValueError("all values are equal; there is no variance to explain")
    bins = min(12, max(3, len(part) // 10)) if bins is None else bins
    bins = check_whole(bins, "bins", least=2)
    rng = onp.random.default_rng(seed)
    tail = (1 - confidence) / 2
    found = []
    for name, dimension in part.space.items():
        there = onp.array([name in part.configuration(k) for k in range(len(part))])
        groups = _groups(part[name][there], bins, ordered=not dimension.choices)
        share, again = _share(y[there], groups, rng, resamples)
        found.append((share, name, *share + onp.quantile(again - again.mean(), [tail, 1 - tail])))
    found.sort(key=lambda row: -row[0])
    shares, names, low, high = zip(*found, strict=True)
    return Importance(list(names), onp.array(shares), onp.array(low), onp.array(high))


def _groups(values: onp.ndarray, bins: int, *, ordered: bool) -> onp.ndarray:
    """Number the bin of every value; equal values share one."""
    if not ordered:
        labels = [repr(value) for value in values]
        return onp.unique(labels, return_inverse=True)[1]
    edges = onp.unique(onp.quantile(values.astype(float), onp.linspace(0, 1, bins + 1)[1:-1]))
    return onp.unique(onp.searchsorted(edges, values, side="left"), return_inverse=True)[1]


def _share(
    y: onp.ndarray, groups: onp.ndarray, rng: onp.random.Generator, resamples: int
) -> tuple[float, onp.ndarray]:
    """Return ε² and its bootstrap replications."""
    if len(y) < 3 or groups.max(initial=0) == 0:
        return 0.0, onp.zeros(1)
    rows = rng.integers(len(y), size=(resamples, len(y)))
    share = _epsilon_squared(y[None], groups[None])[0]
    return float(share), _epsilon_squared(y[rows], groups[rows])


def _epsilon_squared(y: onp.ndarray, groups: onp.ndarray) -> onp.ndarray:
    """Return ε² of every row."""
    many, n = y.shape
    y = y - y.mean(axis=1, keepdims=True)
    width = groups.max() + 1
    cells = (groups + width * onp.arange(many)[:, None]).ravel()
    counts = onp.bincount(cells, minlength=many * width).reshape(many, width)
    sums = onp.bincount(cells, weights=y.ravel(), minlength=many * width).reshape(many, width)
    total = (y * y).sum(axis=1)
    between = (sums**2 / onp.maximum(counts, 1)).sum(axis=1)
    b = onp.count_nonzero(counts, axis=1)
    corrected = between - (b - 1) * (total - between) / onp.maximum(n - b, 1)
    return onp.where((total > 0) & (n > b), corrected / onp.where(total > 0, total, 1), 0.0)
