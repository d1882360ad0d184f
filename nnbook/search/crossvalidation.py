"""Nested cross-validation: what a search is worth, where there is too little data to put some away.

The best of many validation errors is too good to be true: it was chosen for being small. Nested
cross-validation repeats the whole search without the examples that judge its winner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as onp

from nnbook._arguments import check_seed, check_whole
from nnbook.search.results import Results
from nnbook.search.searches import Search

__all__ = ["Nested", "folds", "nested"]

Evaluate = Callable[[dict[str, Any], onp.ndarray, onp.ndarray], Any]


@dataclass(frozen=True, eq=False)
class Nested:
    """What nested cross-validation found.

    Attributes
    ----------
    values : numpy.ndarray, shape (outer,)
        What the winner of each search is worth on the examples that its search never saw.
    inner : numpy.ndarray, shape (outer,)
        What the search itself said of its winner: the mean over the inner folds.
    configurations : tuple of dict
        The winners.
    results : tuple of Results
        The searches.
    """

    values: onp.ndarray
    inner: onp.ndarray
    configurations: tuple[dict[str, Any], ...]
    results: tuple[Results, ...]

    @property
    def value(self) -> float:
        """What the search is worth: the mean over the outer folds."""
        return float(self.values.mean())

    @property
    def optimism(self) -> float:
        """How much better the searches say that their winners are than these turn out."""
        sign = 1.0 if self.results[0].smaller_is_better else -1.0
        return sign * float((self.values - self.inner).mean())

    def __repr__(self) -> str:
        return (
            f"Nested(value {self.value:.4g} over {len(self.values)} outer folds; the searches said "
            f"{self.inner.mean():.4g})"
        )


def folds(n: int, k: int, seed: int = 0) -> list[tuple[onp.ndarray, onp.ndarray]]:
    """Split examples into k parts, each once the validation set of the others.

    Parameters
    ----------
    n : int
        How many examples.
    k : int
        How many folds, from 2 to n.
    seed : int
        Decides who is where.

    Returns
    -------
    list of (train, validation)
        Rows, as arrays of int.

    Raises
    ------
    TypeError, ValueError
        No such number of folds.

    Examples
    --------
    >>> from nnbook import search
    >>> [(len(train), len(validation)) for train, validation in search.folds(10, 3)]
    [(6, 4), (7, 3), (7, 3)]
    """
    n = check_whole(n, "n", least=2)
    k = check_whole(k, "k", least=2, most=n)
    parts = onp.array_split(onp.random.default_rng(check_seed(seed)).permutation(n), k)
    return [(onp.concatenate(parts[:j] + parts[j + 1 :]), parts[j]) for j in range(k)]


def nested(
    search: Search,
    evaluate: Evaluate,
    n: int,
    *,
    outer: int = 5,
    inner: int = 5,
    seed: int = 0,
    **options: Any,
) -> Nested:
    """Estimate without optimism what the winner of a search is worth.

    Parameters
    ----------
    search : Search
        What to search; its `seeds` give way to the inner folds.
    evaluate : callable
        ``evaluate(configuration, train, validation)`` trains on some rows and returns the value on
        others, as for `Search.run`.
    n : int
        How many examples there are.
    outer : int
        How many folds judge winners.
    inner : int
        How many folds choose a winner, among the other examples.
    seed : int
        Decides the folds.
    **options
        Further options of `Search.run`; no path.

    Returns
    -------
    Nested

    Raises
    ------
    TypeError, ValueError
        Too few examples for so many folds.

    References
    ----------
    Varma and Simon (2006), Bias in error estimation when using cross-validation for model
    selection.

    Examples
    --------
    Labels without meaning: the best of 50 rules seems to know something, and knows nothing.

    >>> import numpy as np
    >>> from nnbook import search
    >>> x, y = np.random.default_rng(0).integers(2, size=(2, 60, 50))
    >>> def error(configuration, train, validation):
    ...     rule, y_ = x[:, configuration["column"]], y[:, 0]
    ...     flip = (rule[train] != y_[train]).mean() > 0.5
    ...     return ((rule[validation] != y_[validation]) != flip).mean()
    >>> space = search.Space(column=search.integer(0, 49))
    >>> found = search.nested(search.GridSearch(space, points=50), error, 60)
    >>> bool(found.inner.mean() < 0.4 < found.value)
    True
    """
    if "path" in options:
        raise TypeError("nested takes no path: it runs several searches; give none")
    outer_folds = folds(n, outer, seed)
    search = replace(search, seeds=check_whole(inner, "inner", least=2))  # type: ignore[type-var]
    values, said, winners, tables = [], [], [], []
    for number, (rows, judges) in enumerate(outer_folds):
        parts = [(rows[a], rows[b]) for a, b in folds(len(rows), inner, seed + number + 1)]
        found = search.run(partial(_on_fold, evaluate, parts), **options)
        best = found.best
        winner = found._configuration(best)
        value = evaluate(dict(winner), rows, judges)
        values.append(float(value["value"] if isinstance(value, Mapping) else value))
        said.append(float(best["value"]))
        winners.append(winner)
        tables.append(found)
    return Nested(onp.array(values), onp.array(said), tuple(winners), tuple(tables))


def _on_fold(evaluate: Evaluate, parts: Any, configuration: dict[str, Any], seed: int) -> Any:
    return evaluate(configuration, *parts[seed])
