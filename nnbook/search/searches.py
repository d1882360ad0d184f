"""Grid and random search: which configurations, and running them."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_seed, check_whole
from nnbook._optional import require
from nnbook.search.outcomes import Outcome, outcome_of
from nnbook.search.results import Results
from nnbook.search.space import Space
from nnbook.training import Progress

__all__ = ["GridSearch", "RandomSearch", "Search"]

Evaluate = Callable[[dict[str, Any], int], Any]
EvaluateMany = Callable[[list[dict[str, Any]], list[int]], Sequence[Any]]


class Search:
    """What all searches share. A subclass says which configurations there are."""

    space: Space
    seeds: tuple[int, ...]
    smaller_is_better: bool

    @property
    def configurations(self) -> list[dict[str, Any]]:
        """Every configuration, in the order of its evaluation."""
        return [self.configuration(trial) for trial in range(self.size)]

    @property
    def size(self) -> int:
        """How many configurations there are."""
        raise NotImplementedError

    def configuration(self, trial: int) -> dict[str, Any]:
        """Return one configuration.

        Parameters
        ----------
        trial : int
            Its number, from 0 on.

        Returns
        -------
        dict
        """
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """Return what makes this the same search when it is resumed, in JSON's terms.

        Returns
        -------
        dict
        """
        return {
            "search": type(self).__name__,
            "space": [[name, repr(dimension)] for name, dimension in self.space.items()],
            "seeds": list(self.seeds),
            "smaller_is_better": self.smaller_is_better,
        }

    def run(
        self,
        evaluate: Evaluate | None = None,
        *,
        evaluate_many: EvaluateMany | None = None,
        batch: int = 64,
        path: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> Results:
        """Evaluate every configuration with every seed, one at a time or many at once.

        With a path every result is on disk before the next evaluation starts. A search that was
        interrupted or killed is resumed by running it again: what has a result is not evaluated a
        second time, what was being evaluated starts anew. (The file knows the search, not the
        function: another function needs another path.)

        Parameters
        ----------
        evaluate : callable, optional
            ``evaluate(configuration, seed)`` returns the value, or a dict with a "value" and
            further measures (numbers, strings, booleans).
        evaluate_many : callable, optional
            Instead: ``evaluate_many(configurations, seeds)`` returns such results for a list of
            configurations and the list of their seeds, in this order; an exception as one of the
            results says that this one failed. `TrainPopulation` is one.
        batch : int
            How many rows `evaluate_many` gets at once.
        path : str or Path, optional
            The file of the search, a journal that Optuna can read too.
        progress : bool
            Show a progress bar where somebody is there to look.

        Returns
        -------
        Results
            A row for each configuration and seed. An exception and a value that is not finite are
            recorded, and the search goes on.

        Raises
        ------
        ValueError
            The file belongs to another search, or is damaged; the evaluation returned nothing that
            a table can hold.
        RuntimeError
            Another process runs the search of this file.
        KeyboardInterrupt
            Its attribute ``results`` has the rows so far.

        Warns
        -----
        RuntimeWarning
            No trial is complete.

        Examples
        --------
        >>> from nnbook import search
        >>> space = search.Space(rate=search.log(1e-4, 1), width=search.integer(1, 100, log=True))
        >>> def evaluate(configuration, seed):
        ...     return {"value": abs(configuration["rate"] - 0.01), "width_used": 2}
        >>> results = search.RandomSearch(space, trials=60, seed=3).run(evaluate)
        >>> len(results), results.best["value"] < 0.01
        (60, True)
        """
        if (evaluate is None) == (evaluate_many is None):
            raise TypeError("expected either evaluate or evaluate_many")
        batch = check_whole(batch, "batch")
        require("optuna", extra="search")
        from nnbook.search.study import Planned, open_study

        total = self.size * len(self.seeds)
        sampler = Planned(lambda number: self.configuration(number // len(self.seeds)), self.space)
        with open_study(path, sampler, self.space, self.identity()) as study:
            pending = study.pending(total)
            size = 1 if evaluate_many is None else batch
            try:
                for numbers in _shown_progress(pending, size, total, progress):
                    asked = study.ask(numbers)
                    configurations = [one.configuration for one in asked]
                    seeds = [self.seeds[one.number % len(self.seeds)] for one in asked]
                    if evaluate is not None:
                        outcomes = [_outcome(evaluate, configurations[0], seeds[0], self.space)]
                    else:
                        outcomes = _outcomes(evaluate_many, configurations, seeds, self.space)
                    study.tell(asked, outcomes)
            except KeyboardInterrupt as stop:
                study.flush()
                stop.results = self._table(study.finished(), total)  # type: ignore[attr-defined]
                raise
            results = self._table(study.finished(), total)
        if not len(results.complete):
            again = "" if path is None else f"; delete {path} before you try again"
            warnings.warn(
                f"none of the {len(results)} trials is complete{results._first_error()}{again}",
                RuntimeWarning,
                stacklevel=2,
            )
        return results

    def _table(
        self, finished: Sequence[tuple[int, dict[str, Any], Outcome]], total: int
    ) -> Results:
        rows = []
        for number, configuration, outcome in finished:
            trial, k = divmod(number, len(self.seeds))
            row = {"trial": trial, "seed": self.seeds[k], **configuration, "value": outcome.value}
            row |= {"state": outcome.state, "error": outcome.error, "seconds": outcome.seconds}
            rows.append(row | outcome.measures)
        return Results.from_rows(
            rows, self.space, smaller_is_better=self.smaller_is_better, planned=total
        )


@dataclass(frozen=True)
class GridSearch(Search):
    """Every combination of some values of each dimension.

    Parameters
    ----------
    space : Space
        What is varied.
    points : int or mapping of names to int or sequence, optional
        How many values of each dimension, from end to end; or the values themselves. Choices are
        all taken.
    seeds : int or sequence of int
        How many (0, 1, …), or which. Every configuration is evaluated with each.
    smaller_is_better : bool
        Whether the best value is the smallest.

    Raises
    ------
    TypeError, ValueError
        See `Space.grid`; seeds that are no different integers ≥ 0.

    Examples
    --------
    >>> from nnbook import search
    >>> space = search.Space(learning_rate=search.log(0.01, 1), width=search.integer(10, 30))
    >>> grid = search.GridSearch(space, points={"learning_rate": 3, "width": [10, 20]})
    >>> grid.size, grid.configuration(2)
    (6, {'learning_rate': 0.1, 'width': 10})
    """

    space: Space
    points: int | Mapping[str, int | Sequence[Any]] | None = None
    seeds: int | Sequence[int] = 1  # type: ignore[assignment]
    smaller_is_better: bool = True

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "_grid", self.space.grid(self.points))

    @property
    def size(self) -> int:
        """How many configurations there are."""
        return len(self._grid)  # type: ignore[attr-defined]

    def configuration(self, trial: int) -> dict[str, Any]:
        """Return one configuration; the last dimension changes fastest."""
        return dict(self._grid[trial])  # type: ignore[attr-defined]

    def identity(self) -> dict[str, Any]:
        """Return what makes this the same search when it is resumed."""
        points = {name: self.space._values(name, self.points) for name in self.space}
        return {**super().identity(), "points": repr(points)}


@dataclass(frozen=True)
class RandomSearch(Search):
    """Independent configurations, each dimension uniform on its scale.

    The chance that none of n trials falls into the best part p of the space is (1 − p)ⁿ, whatever
    the number of dimensions: 59 trials hit the best 5 % with a probability of 95 %.

    Parameters
    ----------
    space : Space
        What is varied.
    trials : int
        How many configurations. A search with more trials goes on where one with fewer ended.
    seed : int
        Decides the configurations: number k depends on `seed` and k alone.
    seeds : int or sequence of int
        How many (0, 1, …), or which. Every configuration is evaluated with each.
    smaller_is_better : bool
        Whether the best value is the smallest.

    Raises
    ------
    TypeError, ValueError
        No space, fewer than one trial, or seeds that are no different integers ≥ 0.

    References
    ----------
    Bergstra and Bengio (2012), Random search for hyper-parameter optimization.

    Examples
    --------
    >>> from nnbook import search
    >>> space = search.Space(learning_rate=search.log(1e-4, 1))
    >>> short = search.RandomSearch(space, trials=3, seed=1)
    >>> longer = search.RandomSearch(space, trials=9, seed=1)
    >>> longer.configurations[:3] == short.configurations
    True
    """

    space: Space
    trials: int
    seed: int = 0
    seeds: int | Sequence[int] = 1  # type: ignore[assignment]
    smaller_is_better: bool = True

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "trials", check_whole(self.trials, "trials"))
        object.__setattr__(self, "seed", check_seed(self.seed, "seed"))

    @property
    def size(self) -> int:
        """How many configurations there are."""
        return self.trials

    def configuration(self, trial: int) -> dict[str, Any]:
        """Return one configuration, which depends on the seed and its number alone."""
        return self.space.sample(onp.random.default_rng([self.seed, trial]))

    def identity(self) -> dict[str, Any]:
        """Return what makes this the same search when it is resumed."""
        return {**super().identity(), "seed": self.seed, "trials": self.trials}


def _check(search: Any) -> None:
    if not isinstance(search.space, Space):
        raise TypeError(f"space is {search.space!r}; expected a nnbook.search.Space")
    given = search.seeds
    if not isinstance(given, Iterable):
        given = range(check_whole(given, "seeds"))
    seeds = tuple(check_seed(seed, "a seed") for seed in given)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds is {given!r}; expected at least one, and none twice")
    object.__setattr__(search, "seeds", seeds)


def _shown_progress(pending: list[int], size: int, total: int, wanted: bool) -> Iterator[list[int]]:
    """Yield the pending trials in batches, and show how far the search is."""
    bar = None
    if wanted and Progress.wanted():
        from tqdm.auto import tqdm

        bar = tqdm(total=total, initial=total - len(pending), unit="trial", leave=False)
    try:
        for start in range(0, len(pending), size):
            numbers = pending[start : start + size]
            yield numbers
            if bar is not None:
                bar.update(len(numbers))
    finally:
        if bar is not None:
            bar.close()


def _outcome(evaluate: Evaluate, configuration: dict[str, Any], seed: int, space: Space) -> Outcome:
    """Evaluate one trial; an exception is a result."""
    started = time.perf_counter()
    try:
        returned = evaluate(dict(configuration), seed)
    except Exception as error:  # whatever the training raises, the search goes on
        returned = error
    return outcome_of(returned, time.perf_counter() - started, space)


def _outcomes(
    evaluate_many: Any, configurations: list[dict[str, Any]], seeds: list[int], space: Space
) -> list[Outcome]:
    """Evaluate trials together; if that raises, one by one, to find which of them does."""
    started = time.perf_counter()
    try:
        returned = list(evaluate_many([dict(c) for c in configurations], list(seeds)))
    except Exception as error:
        if len(seeds) > 1:
            return [
                _outcomes(evaluate_many, [configuration], [seed], space)[0]
                for configuration, seed in zip(configurations, seeds, strict=True)
            ]
        returned = [error]
    if len(returned) != len(seeds):
        raise ValueError(
            f"evaluate_many returned {len(returned)} results for {len(seeds)} configurations"
        )
    each = (time.perf_counter() - started) / len(seeds)
    return [outcome_of(one, each, space) for one in returned]
