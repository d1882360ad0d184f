"""Are inputs and labels related at all? Shuffled labels tell how related chance alone looks."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook.checks.views import views_of

__all__ = ["LEVEL", "can_be_judged", "chance_of_relation"]

#: Labels whose relation to the inputs chance alone would exceed more often than this are spoken of.
LEVEL = 0.01
_MOST = 600  # examples that are compared
_FEW, _FEWEST_OTHERS = 100, 20
_SHUFFLES, _QUICK = 399, 40
# So many standard deviations beyond the first shuffles, and there is no need for more of them.
_BEYOND_DOUBT = 8.0
_MOST_COLUMNS = 16


def can_be_judged(labels: onp.ndarray) -> bool:
    """Tell whether there are examples enough for a relation to show: 100, 20 of rarer classes."""
    counts = onp.unique(labels, return_counts=True)[1]
    return len(labels) >= _FEW and len(labels) - int(counts.max()) >= _FEWEST_OTHERS


def chance_of_relation(x: onp.ndarray, labels: onp.ndarray, seed: int) -> float:
    """Return how often shuffled labels look as related to the inputs as these do.

    What is looked at: whether examples with the same label are alike, in several ways
    (`nnbook.checks.views`): near neighbours, a linear map, squares and products, single features;
    of whole numbers also which of them occur, where, and in what order. Of each the sum

    .. math:: T = \\sum_{i \\ne j} K_{ij} \\sum_c \\frac{(y_{ic} - \\pi_c)(y_{jc} - \\pi_c)}{\\pi_c}

    is compared with what it is for shuffled labels. Rare classes weigh as much as others, through
    π, and as many of them as there are take part. The largest of all standardised sums decides, and
    the shuffled labels go through the same choice of the largest, so the answer is exact: of labels
    that have nothing to do with the inputs a share of `LEVEL` at most is taken for related.

    Parameters
    ----------
    x : numpy.ndarray, shape (n, …)
        The inputs.
    labels : numpy.ndarray of int, shape (n,)
        The labels.
    seed : int
        Decides which examples of large sets are taken, and the shuffles.

    Returns
    -------
    float
        In (0, 1]: the p-value of a permutation test.

    References
    ----------
    Gretton et al. (2008), A kernel statistical test of independence.
    """
    rng = onp.random.default_rng(seed)
    rows = balanced_rows(labels, rng)
    y = _indicators(labels[rows], rng)
    orders = [onp.arange(len(y)), *(rng.permutation(len(y)) for _ in range(_SHUFFLES))]
    quick, views, sums = _in_order(y, orders[: _QUICK + 1]), [], []
    for view in views_of(x[rows], rng):
        views.append(view)
        sums.append(view.relation(quick, _QUICK + 1))
        if _standardised(sums[-1])[0] > _BEYOND_DOUBT:
            return 1 / len(orders)
    rest = _in_order(y, orders[_QUICK + 1 :])
    later = [view.relation(rest, _SHUFFLES - _QUICK) for view in views]
    both = [onp.concatenate(pair) for pair in zip(sums, later, strict=True)]
    largest = onp.max([_standardised(sums) for sums in both], axis=0)
    return float((largest >= largest[0]).mean())


def balanced_rows(labels: onp.ndarray, rng: Any) -> onp.ndarray:
    """Draw examples, the same number of each class as far as there are so many."""
    order = rng.permutation(len(labels))
    of_class = onp.argsort(labels[order], kind="stable")
    first = onp.searchsorted(labels[order][of_class], labels[order][of_class])
    turn = onp.empty(len(labels), dtype=int)  # the how-manieth of its class each one is
    turn[of_class] = onp.arange(len(labels)) - first
    return order[onp.argsort(turn, kind="stable")[:_MOST]]


def _indicators(labels: onp.ndarray, rng: Any) -> onp.ndarray:
    """Return (y − π)/√π for each class, or random mixtures of them where there are many."""
    codes = onp.unique(labels, return_inverse=True)[1]
    shares = onp.bincount(codes) / len(codes)
    y = (onp.eye(len(shares))[codes] - shares) / onp.sqrt(shares)
    if len(shares) == 2:
        y = y[:, :1]  # the other class says the same
    elif len(shares) > _MOST_COLUMNS:
        y = y @ rng.normal(size=(len(shares), _MOST_COLUMNS))
    return y.astype("float32")


def _in_order(y: onp.ndarray, orders: list[onp.ndarray]) -> onp.ndarray:
    """Return y in several orders, side by side."""
    return onp.concatenate([y[order] for order in orders], axis=1)


def _standardised(sums: onp.ndarray) -> onp.ndarray:
    """Return the sums in units of the shuffles' deviation."""
    spread = sums[1:].std()
    return (sums - onp.median(sums[1:])) / (spread if spread > 0 else 1.0)
