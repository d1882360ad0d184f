"""Searches: which configurations to evaluate, and running them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_positive, check_seed, check_whole
from nnbook.search.agenda import Agenda, bar
from nnbook.search.evaluation import evaluate as evaluate_trials
from nnbook.search.jobs import home
from nnbook.search.journal import FileLog, Log
from nnbook.search.results import Results
from nnbook.search.space import Space
from nnbook.search.trials import Trial

__all__ = ["GridSearch", "RandomSearch", "Search"]

Evaluate = Callable[[dict[str, Any], int], Any]
EvaluateMany = Callable[[list[dict[str, Any]], list[int]], Sequence[Any]]
Errors = type[Exception] | tuple[type[Exception], ...]


class Search:
    """What all searches share. A subclass says how many configurations there are, and which."""

    space: Space
    seeds: tuple[int, ...]
    smaller_is_better: bool

    @property
    def size(self) -> int:
        """How many configurations there are."""
        raise NotImplementedError

    @property
    def configurations(self) -> list[dict[str, Any]]:
        """Every configuration, in the order of its evaluation."""
        return [self.configuration(trial) for trial in range(self.size)]

    def configuration(self, trial: int) -> dict[str, Any]:
        """Return one configuration.

        Parameters
        ----------
        trial : int
            Its number, from 0 on.

        Returns
        -------
        dict

        Raises
        ------
        TypeError
            The search learns: what it tries depends on what came out.
        """
        name = type(self).__name__
        raise TypeError(f"what {name} tries depends on what came out; run it")

    def ask(self, trial: int, log: Log) -> dict[str, Any]:
        """Choose a configuration, just before its evaluation; a search that learns overrides this.

        Parameters
        ----------
        trial : int
            Its number, from 0 on.
        log : nnbook.search.journal.Log
            What came out so far: ``log.trials``.

        Returns
        -------
        dict
        """
        return self.configuration(trial)

    def waits_for(self, trial: int) -> int:
        """Return how many trials, from the first on, must have ended before this one is asked for.

        Parameters
        ----------
        trial : int
            Its number.

        Returns
        -------
        int
            By default 0: `ask` sees what has come out by then.
        """
        return 0

    # What a search in steps (`nnbook.search.steps`) does, and others do not.

    def first_step(self, trial: Trial) -> Trial:
        """Return a new trial as it is to be evaluated."""
        return trial

    def settled(self, trial: Trial) -> Trial:
        """Return an evaluated trial as it is to be recorded."""
        return trial

    def further(self, log: Log, out: set[tuple[int, int]]) -> tuple[list[Trial], list[Trial]]:
        """Return the paused trials that go on now, and those that have been stopped."""
        return [], []

    def identity(self) -> dict[str, Any]:
        """Return what makes this the same search when it is resumed, in JSON's terms.

        Returns
        -------
        dict
        """
        return {
            "search": type(self).__name__,
            "dimensions": list(self.space),
            **{f"dimension {name}": repr(dimension) for name, dimension in self.space.items()},
            "seeds": list(self.seeds),
            "smaller_is_better": self.smaller_is_better,
        }

    def run(
        self,
        evaluate: Evaluate | None = None,
        *,
        evaluate_many: EvaluateMany | None = None,
        catch: Errors = FloatingPointError,
        batch: int = 64,
        path: str | os.PathLike[str] | None = None,
        progress: bool = True,
        workers: Any = None,
        time_limit: float | None = None,
    ) -> Results:
        """Evaluate every configuration with every seed, one at a time or many at once.

        With a path every result is on disk before the next evaluation starts. A search that was
        interrupted or killed is resumed by running it again: what has a result is not evaluated a
        second time, what was being evaluated starts anew. (The file knows the search, not the
        function: another function needs another path.) An evaluation may keep checkpoints and go on
        from the last one (`this_job`). ``python -m nnbook search FILE`` shows how it stands.

        Parameters
        ----------
        evaluate : callable
            ``evaluate(configuration, seed)`` returns the value, or a dict with a "value" and
            further measures (numbers, strings, booleans). A `TrainPopulation` may stand here too.
        evaluate_many : callable
            Instead: ``evaluate_many(configurations, seeds)`` returns such results for a list of
            configurations and the list of their seeds, in this order; an exception as one of the
            results says that this one failed. `TrainPopulation` is one.
        catch : exception or tuple of exceptions
            What a trial may fail with: it is recorded, and the search goes on. By default
            divergence. Any other exception ends the search; what raised it leaves no trace in the
            file and is evaluated again when the search is.
        batch : int
            How many rows `evaluate_many` gets at once.
        path : str or Path, optional
            The file of the search.
        progress : bool
            Show a progress bar where somebody is there to look.
        workers : int, str or distributed.Client, optional
            Who evaluates: so many processes of this machine, with one thread each; a cluster of
            Dask at an address, such as ``"tls://host:8786"``; or the client of one (`cluster`). By
            default this process does.
        time_limit : float, optional
            Seconds after which a worker that evaluates one trial is ended, and the trial has
            failed. It needs workers.

        Returns
        -------
        Results
            A row for each configuration and seed. A value that is not finite is recorded, too.

        Raises
        ------
        TypeError, ValueError
            The file belongs to another search, or is damaged; the evaluation returned nothing that
            a table can hold.
        RuntimeError
            Another process runs the search of this file; the cluster is gone.
        Exception
            What the evaluation raised, and KeyboardInterrupt: its attribute ``results`` has the
            rows so far.

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
        if getattr(evaluate, "evaluates_many", False) and evaluate_many is None:
            evaluate, evaluate_many = None, evaluate  # type: ignore[assignment]
        if (evaluate is None) == (evaluate_many is None):
            raise TypeError("expected either evaluate or evaluate_many")
        catch, batch = _check_catch(catch), check_whole(batch, "batch")
        if workers is None and time_limit is not None:
            raise ValueError(f"time_limit is {time_limit!r}; it needs workers, such as workers=1")
        limit = None if time_limit is None else check_positive(time_limit, "time_limit")
        many: Any = evaluate_many
        if evaluate is not None:
            one, batch = evaluate, 1
            many = lambda cs, seeds: [one(cs[0], seeds[0])]  # noqa: E731
        with (
            Log() if path is None else FileLog(path, self.identity()) as log,
            home(path) as folder,
        ):
            agenda = Agenda(self, log)
            try:
                with bar(agenda, progress) as shown:
                    if workers is not None:
                        from nnbook.search.farm import run_on

                        run_on(workers, agenda, many, catch, batch, folder, limit, shown)
                    while trials := agenda.take(batch):
                        evaluate_trials(trials, many, catch, self.space, folder, agenda)
                        shown()
            except BaseException as stop:
                stop.results = self._table(log)  # type: ignore[attr-defined]
                raise
        results = self._table(log)
        if not len(results.complete):
            again = "" if path is None else f"; delete {path} before you try again"
            warnings.warn(
                f"none of the {len(results)} trials is complete{results._first_error()}{again}",
                RuntimeWarning,
                stacklevel=2,
            )
        return results

    def _table(self, log: Log) -> Results:
        order = {seed: k for k, seed in enumerate(self.seeds)}
        trials = sorted(log.trials, key=lambda one: (one.trial, order[one.seed]))
        wanted: dict[str, Any] = {"smaller_is_better": self.smaller_is_better}
        wanted["planned"] = self.size * len(self.seeds)
        return Results.from_rows([one.row() for one in trials], self.space, **wanted)


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
class DrawnSearch(Search):
    """What searches share that draw a given number of configurations by a seed."""

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

    def identity(self) -> dict[str, Any]:
        """Return what makes this the same search when it is resumed."""
        return {**super().identity(), "seed": self.seed, "trials": self.trials}


@dataclass(frozen=True)
class RandomSearch(DrawnSearch):
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

    def configuration(self, trial: int) -> dict[str, Any]:
        """Return one configuration, which depends on the seed and its number alone."""
        return self.space.sample(onp.random.default_rng([self.seed, trial]))


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


def _check_catch(catch: Any) -> tuple[type[Exception], ...]:
    kinds = catch if isinstance(catch, tuple) else (catch,)
    if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        raise TypeError(f"catch is {catch!r}; expected exceptions, such as (FloatingPointError,)")
    return kinds
