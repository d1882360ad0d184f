"""A study of Optuna that is told what came out and says what to try; only the master has one.

Only imported when somebody asks for it, since it imports Optuna.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as onp
import optuna
from optuna.trial import TrialState, create_trial

from nnbook.search.journal import Log
from nnbook.search.steps import value_at
from nnbook.search.trials import Trial
from nnbook.search.with_optuna import labelled

if TYPE_CHECKING:
    from nnbook.search.adaptive import AdaptiveSearch

__all__ = ["Advisor"]


class Advisor:
    """What stands between a search and Optuna.

    Parameters
    ----------
    search : AdaptiveSearch
        What is searched.
    """

    def __init__(self, search: AdaptiveSearch):
        self.search, self._many = search, len(tuple(search.seeds))  # type: ignore[arg-type]
        direction: Any = "minimize" if search.smaller_is_better else "maximize"
        pruner = _pruner(search.pruner, search.steps)
        with _quiet():
            # Hyperband draws its brackets by this name.
            self.study = optuna.create_study(
                study_name="nnbook", direction=direction, pruner=pruner, sampler=self._sampler(0)
            )
        self._live: dict[int, Any] = {}  # what Optuna has not been told the end of
        self._rows: dict[int, dict[int, Trial]] = {}
        self._fresh: set[int] = set()  # trials of which there is something to tell
        self._read, self._worst = 0, -math.inf
        self._pruned: dict[int, dict[int, bool]] = {}  # what the pruner said after each step

    def _sampler(self, number: int) -> Any:
        """Return the sampler for a trial, made anew, so that a resumed search draws the same."""
        given = self.search.sampler
        if not isinstance(given, str) and not callable(given):
            return given
        seed = int(onp.random.default_rng([self.search.seed, number]).integers(2**31))
        if not isinstance(given, str):
            return given(seed=seed)
        if given == "gp":
            return optuna.samplers.GPSampler(seed=seed)
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)

    def ask(self, number: int) -> dict[str, Any]:
        """Return the configuration of a new trial."""
        for earlier in range(self.search.waits_for(number), number):
            if self.search.at_once and earlier not in self._live:  # it has ended in an earlier run
                self._enqueue(earlier, next(iter(self._rows[earlier].values())).configuration)
        with _quiet():
            self.study.sampler = self._sampler(number)
            self._live[number] = self.study.ask()
            return self.search.space.suggest(self._live[number])

    def prunes(self, number: int) -> bool:
        """Tell whether the pruner ends a trial that is paused."""
        return list(self._pruned[number].values())[-1]

    def learn(self, log: Log, before: int | None = None) -> None:
        """Tell the study what has come out since the last time.

        Parameters
        ----------
        log : Log
            What has come out.
        before : int, optional
            Keep what came of this trial and later ones for another time.
        """
        for one in log.records[self._read :]:
            self._rows.setdefault(one.trial, {})[one.seed] = one
            self._fresh.add(one.trial)
        self._read = len(log.records)
        for number in sorted(self._fresh):
            if before is not None and number >= before:
                break
            self._fresh.remove(number)
            rows = list(self._rows[number].values())
            if len(rows) < self._many:
                continue
            if self.search.steps:
                self._report(number, rows)
            if all(one.state != "paused" for one in rows):
                self._tell(number, rows)

    def _report(self, number: int, rows: list[Trial]) -> None:
        """Report the values after each step that all seeds have taken, and ask the pruner."""
        if number not in self._live:
            self._enqueue(number, rows[0].configuration)
        trial, known = self._live[number], self._pruned.setdefault(number, {})
        for step in self.search.steps:
            values: list[Any] = [one.measures.get(value_at(step)) for one in rows]
            if None in values:
                break
            if step not in known:
                trial.report(math.fsum(values) / len(values), step)
                known[step] = trial.should_prune()

    def _enqueue(self, number: int, configuration: dict[str, Any]) -> None:
        """Give Optuna a trial that it has not chosen itself: that of an earlier run."""
        with _quiet():
            self.study.enqueue_trial(labelled(self.search.space, configuration))
            self._live[number] = self.study.ask()
            self.search.space.suggest(self._live[number])

    def _tell(self, number: int, rows: list[Trial]) -> None:
        state, value = TrialState.COMPLETE, math.nan
        if any(one.state == "stopped" for one in rows):
            state = TrialState.PRUNED
        elif all(one.state == "complete" for one in rows):
            value = math.fsum(one.value for one in rows) / len(rows)
            sign = 1 if self.search.smaller_is_better else -1
            self._worst = max(self._worst, sign * value)
        elif math.isfinite(self._worst):
            value = self._worst if self.search.smaller_is_better else -self._worst
        else:
            state = TrialState.FAIL
        told = None if state != TrialState.COMPLETE else value
        if number in self._live:
            with _quiet():
                self.study.tell(self._live.pop(number), told, state)
            return
        every = self.search.space.to_optuna()
        params = labelled(self.search.space, rows[0].configuration)
        self.study.add_trial(
            create_trial(
                state=state,
                value=told,
                params=params,
                distributions={name: every[name] for name in params},
            )
        )


def _pruner(pruner: Any, steps: Any) -> Any:
    if not steps:
        return optuna.pruners.NopPruner()
    if not isinstance(pruner, str):
        return pruner
    if pruner == "median":
        return optuna.pruners.MedianPruner()
    factor = max(2, round(steps[1] / steps[0])) if len(steps) > 1 else 2
    if pruner == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=steps[0], reduction_factor=factor
        )
    return optuna.pruners.HyperbandPruner(
        min_resource=steps[0], max_resource=steps[-1], reduction_factor=factor
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's announcements, and its warnings that something may change one day."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)
