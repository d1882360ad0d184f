"""Trials that are evaluated in steps, each with more of a budget: epochs, examples, folds.

Between two steps a trial is paused, and the search decides whether it goes on. What it was worth
after each step stays in the table, as ``value_at_3``; only one that has come to its last step has a
``value``.
"""

from __future__ import annotations

import math
from dataclasses import replace

from nnbook._arguments import check_text
from nnbook.search.searches import Search
from nnbook.search.space import RESERVED
from nnbook.search.trials import Trial

__all__ = ["Stepped", "value_at"]


def value_at(step: int) -> str:
    """Return the measure that holds a trial's value after a step."""
    return f"value_at_{step}"


class Stepped(Search):
    """A search in steps. A subclass says which, and `further` what goes on."""

    budget: str

    def steps_of(self, trial: int) -> tuple[int, ...]:
        """Return how much of the budget a trial may use up, step by step; none if it has no steps.

        Parameters
        ----------
        trial : int
            Its number.

        Returns
        -------
        tuple of int
        """
        raise NotImplementedError

    def _check_budget(self) -> None:
        if check_text(self.budget, "budget") in (*self.space, *RESERVED):
            raise ValueError(
                f"budget is {self.budget!r}, which the table has already; choose another name"
            )

    def first_step(self, trial: Trial) -> Trial:
        """Return a new trial as it is to be evaluated: with the first step in its configuration."""
        steps = self.steps_of(trial.trial)
        return self._at(trial, steps[0]) if steps else trial

    def settled(self, trial: Trial) -> Trial:
        """Return an evaluated trial as it is to be recorded: paused before its last step."""
        configuration = dict(trial.configuration)
        step = configuration.pop(self.budget, None)
        if step is None:
            return trial
        trial = replace(
            trial, configuration=configuration, measures={**trial.measures, self.budget: step}
        )
        if trial.state != "complete":
            return trial
        trial.measures[value_at(step)] = trial.value
        if step == self.steps_of(trial.trial)[-1]:
            return trial
        return replace(trial, state="paused", value=math.nan)

    def longer(self, trial: Trial) -> Trial:
        """Return a paused trial as it is to be evaluated next."""
        steps = self.steps_of(trial.trial)
        step = steps[steps.index(trial.measures[self.budget]) + 1]
        return self._at(replace(trial, state=""), step)

    def ended_early(self, trial: Trial) -> Trial:
        """Return a paused trial that does not go on, as it is to be recorded."""
        reason = f"stopped after {self.budget}={trial.measures[self.budget]}"
        return replace(trial, state="stopped", error=reason)

    def _at(self, trial: Trial, step: int) -> Trial:
        return replace(trial, configuration={**trial.configuration, self.budget: step})
