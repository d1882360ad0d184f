"""Evaluate trials, wherever that is: in this process, or on a worker that a cluster has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from nnbook.search.jobs import Job, working_on
from nnbook.search.trials import Stopped, Trial

__all__ = ["evaluate"]


class Recorder(Protocol):
    """What takes trials that have ended: a log, or what has one."""

    def add(self, trials: Iterable[Trial]) -> None:
        """Record trials."""


def evaluate(
    trials: list[Trial],
    many: Callable[[list[dict[str, Any]], list[int]], Sequence[Any]],
    catch: tuple[type[Exception], ...],
    hyperparameters: Iterable[str],
    folder: Path | None,
    log: Recorder,
) -> None:
    """Evaluate trials together and record them; if that raises, one by one, to find which.

    Parameters
    ----------
    trials : list of Trial
        Which.
    many : callable
        Returns a result for each of a list of configurations and one of their seeds.
    catch : tuple of exceptions
        What a trial may fail with.
    hyperparameters : iterable of str
        Names that no measure may have.
    folder : Path, optional
        Where a trial that is evaluated alone may keep its checkpoints.
    log : Log
        What takes those that have ended.

    Raises
    ------
    Exception
        Any other than those to catch, once what has ended is recorded.
    """
    catch = (*catch, Stopped)
    started = time.perf_counter()
    job = Job.of(trials[0], folder) if len(trials) == 1 and folder is not None else None
    try:
        with working_on(job):
            found = list(many([dict(t.configuration) for t in trials], [t.seed for t in trials]))
    except catch as error:
        if len(trials) > 1:
            for one in trials:
                evaluate([one], many, catch, hyperparameters, folder, log)
            return
        found = [error]
    if len(found) != len(trials):
        raise ValueError(
            f"evaluate_many returned {len(found)} results for {len(trials)} configurations"
        )
    each, ended, wrong = (time.perf_counter() - started) / len(trials), [], []
    for one, returned in zip(trials, found, strict=True):
        try:
            if isinstance(returned, Exception) and not isinstance(returned, catch):
                raise returned
            ended.append(one.ended(returned, each, hyperparameters))
        except Exception as error:
            wrong.append(error)
    log.add(ended)  # first, so that a mistake in one loses none of the others
    if wrong:
        raise wrong[0]
