"""A search in progress: Optuna asks for trials and is told what came out.

Only imported when a search starts, since it imports Optuna.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from nnbook.search.journal import Journal
from nnbook.search.outcomes import Outcome
from nnbook.search.space import Space

__all__ = ["Asked", "Planned", "Study", "open_study", "rebuild"]

_NAME = "nnbook.search"
_IDENTITY, _OUTCOME = "search", "outcome"


class Planned(optuna.samplers.BaseSampler):
    """Gives trial number k the configuration that was planned for it.

    Parameters
    ----------
    configuration : callable
        ``configuration(k)``, a dict.
    space : Space
        Its dimensions.
    """

    def __init__(self, configuration: Any, space: Space):
        self._configuration, self._space = configuration, space

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """Say that no dimensions are chosen together."""
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """Choose nothing."""
        return {}

    def sample_independent(
        self, study: Any, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """Return the planned value of a dimension."""
        value = self._configuration(trial.number)[param_name]
        return self._space[param_name].to_optuna(value)


@dataclass(frozen=True)
class Asked:
    """A trial that is to be evaluated."""

    number: int
    configuration: dict[str, Any]
    trial: optuna.trial.Trial


class Study:
    """An Optuna study, and the file behind it if there is one."""

    def __init__(self, study: optuna.Study, space: Space, journal: Journal | None):
        self._study, self._space, self._journal = study, space, journal

    def identify(self, identity: dict[str, Any]) -> None:
        """Refuse to go on with another search; otherwise record this one."""
        before = self._study.user_attrs.get(_IDENTITY)
        if before is not None:
            # None only where a kill came right after the study was made.
            _check_same(before, identity, self._journal)
        if before != identity:
            self._study.set_user_attr(_IDENTITY, identity)
        self._settle_leftovers()
        self.flush()

    def _settle_leftovers(self) -> None:
        # Killed between a result and the end of its trial: the result counts.
        for trial in self._trials(TrialState.RUNNING):
            if _OUTCOME in trial.user_attrs:
                self._finish(trial.number, Outcome(**trial.user_attrs[_OUTCOME]))

    def pending(self, total: int) -> list[int]:
        """Return the numbers of the trials that have no result yet."""
        finished = {trial.number for trial in self._trials() if trial.state.is_finished()}
        return [number for number in range(total) if number not in finished]

    def ask(self, numbers: Sequence[int]) -> list[Asked]:
        """Start trials, or start those again that were being evaluated at a kill."""
        begun = {trial.number: trial for trial in self._trials(TrialState.RUNNING)}
        asked = []
        for number in numbers:
            if number in begun:
                # Optuna hands out the id of a stored trial under this name only.
                trial = optuna.trial.Trial(self._study, begun[number]._trial_id)
            else:
                trial = self._study.ask()
            asked.append(Asked(trial.number, self._space.suggest(trial), trial))
        self.flush()
        return asked

    def tell(self, asked: Sequence[Asked], outcomes: Sequence[Outcome]) -> None:
        """Record results; all of them, or (killed in between) the first ones."""
        for one, outcome in zip(asked, outcomes, strict=True):
            one.trial.set_user_attr(_OUTCOME, vars(outcome))
            self._finish(one.number, outcome)
        self.flush()

    def _finish(self, number: int, outcome: Outcome) -> None:
        if outcome.state == "complete":
            self._study.tell(number, outcome.value)
        else:
            self._study.tell(number, state=TrialState.FAIL)

    def finished(self) -> list[tuple[int, dict[str, Any], Outcome]]:
        """Return number, configuration and outcome of every trial that has ended."""
        found = []
        for trial in self._trials():
            if trial.state.is_finished():
                configuration = {
                    name: self._space[name].from_optuna(trial.params[name])
                    for name in self._space
                    if name in trial.params
                }
                outcome = Outcome(**trial.user_attrs[_OUTCOME])
                found.append((trial.number, configuration, outcome))
        return found

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def flush(self) -> None:
        """Write to disk what is not there yet."""
        if self._journal is not None:
            self._journal.flush()


@contextlib.contextmanager
def open_study(
    path: str | os.PathLike[str] | None, sampler: Any, space: Space, identity: dict[str, Any]
) -> Iterator[Study]:
    """Open a study in memory or, with a path, on disk; go on where it was left."""
    journal = None if path is None else Journal(path)
    try:
        with _quiet():
            inner = optuna.create_study(
                storage=None if journal is None else JournalStorage(journal),
                study_name=_NAME,
                sampler=sampler,
                load_if_exists=True,
                direction="minimize" if identity["smaller_is_better"] else "maximize",
            )
        study = Study(inner, space, journal)
        study.identify(identity)
        yield study
    finally:
        if journal is not None:
            journal.close()


def rebuild(results: Any) -> optuna.Study:
    """Make an Optuna study of a table of results."""
    space, distributions = results.space, results.space.distributions()
    with _quiet():
        study = optuna.create_study(
            direction="minimize" if results.smaller_is_better else "maximize"
        )
    for k, row in enumerate(results):
        configuration = results.configuration(k)
        complete = row["state"] == "complete"
        attributes = {n: v for n, v in row.items() if n not in space and n != "value"}
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if complete else TrialState.FAIL,
                value=row["value"] if complete else None,
                params={n: space[n].to_optuna(v) for n, v in configuration.items()},
                distributions={n: distributions[n] for n in configuration},
                user_attrs=attributes,
            )
        )
    return study


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from announcing a new study."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _check_same(before: dict[str, Any], identity: dict[str, Any], journal: Journal | None) -> None:
    """Compare two searches; more trials are welcome."""
    name = "this study" if journal is None else str(journal.path)
    wrong = []
    for key in identity:
        old, new = before.get(key, []), identity[key]
        if key == "space":
            wrong += _differences(dict(old), dict(new), list(old) == list(new))
        elif key == "trials":
            if new < old:
                wrong.append(f"trials was {old}, is {new}, and only more can be added")
        elif old != new:
            wrong.append(f"{key} was {old}, is {new}")
    if wrong:
        raise ValueError(
            f"{name} holds another search: {'; '.join(wrong)}. Give another path, or search as "
            "before"
        )


def _differences(old: dict[str, str], new: dict[str, str], same_order: bool) -> list[str]:
    found = [
        f"{name} was {old.get(name, 'not there')}, is {new.get(name, 'not there')}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
    return found or ([] if same_order else [f"the dimensions were {list(old)}, are {list(new)}"])
