"""Spaces and results in Optuna's terms, for its samplers, importances and pictures.

Only imported when somebody asks for it, since it imports Optuna.
"""

from __future__ import annotations

import re
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from nnbook.search.dimensions import Dimension
from nnbook.search.results import Results
from nnbook.search.space import Space

_STATES = {"complete": TrialState.COMPLETE, "stopped": TrialState.PRUNED}
_STEP = re.compile(r"value_at_(\d+)$")

__all__ = ["distributions", "labelled", "study_of", "suggest"]


def _labels(dimension: Dimension) -> list[Any]:
    """Return the choices as Optuna can hold them and tell them apart: tuples go by their text."""
    labels = [str(one) if isinstance(one, tuple) else one for one in dimension.choices]
    alike = len(set(labels)) < len(labels)  # True and 1
    return [repr(one) for one in dimension.choices] if alike else labels


def _label(dimension: Dimension, value: Any) -> Any:
    if not dimension.choices:
        return value
    return dict(zip(map(repr, dimension.choices), _labels(dimension), strict=True))[repr(value)]


def labelled(space: Space, configuration: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration as Optuna holds it."""
    return {name: _label(space[name], value) for name, value in configuration.items()}


def distributions(space: Space) -> dict[str, Any]:
    """Return the distribution of every dimension; see `Space.to_optuna`."""

    def of(one: Dimension) -> Any:
        if one.choices:
            return CategoricalDistribution(_labels(one))
        if one.integer:
            return IntDistribution(int(one.low), int(one.high), log=one.log)
        return FloatDistribution(one.low, one.high, log=one.log)

    return {name: of(one) for name, one in space.items()}


def suggest(space: Space, trial: Any) -> dict[str, Any]:
    """Let a trial choose a configuration; see `Space.suggest`."""
    configuration: dict[str, Any] = {}
    for name, one in space.items():
        if not space.is_active(name, configuration):
            continue
        if one.choices:
            labels = _labels(one)
            value = one.choices[labels.index(trial.suggest_categorical(name, labels))]
        elif one.integer:
            value = trial.suggest_int(name, int(one.low), int(one.high), log=one.log)
        else:
            value = trial.suggest_float(name, one.low, one.high, log=one.log)
        configuration[name] = value
    return configuration


def study_of(results: Results) -> optuna.Study:
    """Make a study of a table; see `Results.to_study`."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))  # it announces new studies
    try:
        study = optuna.create_study(
            direction="minimize" if results.smaller_is_better else "maximize"
        )
    finally:
        optuna.logging.set_verbosity(before)
    space, every = results.space, distributions(results.space)
    for k, row in enumerate(results):
        configuration = results.configuration(k)
        state = _STATES.get(row["state"], TrialState.FAIL)
        steps = {int(m[1]): v for n, v in row.items() if (m := _STEP.match(n)) and v is not None}
        study.add_trial(
            create_trial(
                state=state,
                value=row["value"] if state == TrialState.COMPLETE else None,
                intermediate_values=steps,
                params=labelled(space, configuration),
                distributions={n: every[n] for n in configuration},
                user_attrs={n: v for n, v in row.items() if n not in space and n != "value"},
            )
        )
    return study
