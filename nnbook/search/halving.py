"""Successive halving and Hyperband: try many configurations a little, and few of them for long.

Synchronous, so that what is kept does not depend on who was faster: a step is judged when every
trial has taken it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_seed, check_whole
from nnbook.search.journal import Log
from nnbook.search.searches import _check
from nnbook.search.space import Space
from nnbook.search.steps import Stepped, value_at
from nnbook.search.trials import Trial, scores

__all__ = ["Bracket", "Hyperband", "SuccessiveHalving"]


@dataclass(frozen=True)
class Bracket:
    """Configurations that compete: how many take each step, and how long it is.

    Attributes
    ----------
    first : int
        The number of its first trial.
    sizes : tuple of int
        How many trials take each step.
    steps : tuple of int
        How much of the budget they have used up after it.
    """

    first: int
    sizes: tuple[int, ...]
    steps: tuple[int, ...]


class _Halving(Stepped):
    """What both have in common: brackets of random configurations."""

    brackets: tuple[Bracket, ...]
    seed: int

    @property
    def size(self) -> int:
        """How many configurations there are."""
        return sum(bracket.sizes[0] for bracket in self.brackets)

    def configuration(self, trial: int) -> dict[str, Any]:
        """Return one configuration: those of a `RandomSearch` with this seed."""
        return self.space.sample(onp.random.default_rng([self.seed, trial]))

    def steps_of(self, trial: int) -> tuple[int, ...]:
        """Return the steps of a trial's bracket."""
        return next(b for b in reversed(self.brackets) if trial >= b.first).steps

    def identity(self) -> dict[str, Any]:
        """Return what makes this the same search when it is resumed."""
        brackets = [[list(b.sizes), list(b.steps)] for b in self.brackets]
        own = {"seed": self.seed, "budget": self.budget, "brackets": brackets}
        return {**super().identity(), **own}

    def further(self, log: Log, out: set[tuple[int, int]]) -> tuple[list[Trial], list[Trial]]:
        """Return the paused trials that go on now, and those that end here."""
        longer: list[Trial] = []
        stopped: list[Trial] = []
        for bracket in self.brackets:
            numbers = range(bracket.first, bracket.first + bracket.sizes[0])
            rows = [one for one in log.trials if one.trial in numbers]
            if len(rows) == len(numbers) * len(self.seeds):
                self._judge(bracket, rows, out, longer, stopped)
        return longer, stopped

    def _judge(
        self,
        bracket: Bracket,
        rows: list[Trial],
        out: set[tuple[int, int]],
        longer: list[Trial],
        stopped: list[Trial],
    ) -> None:
        """Follow a bracket step by step, up to the one that is not over."""
        for step, size in zip(bracket.steps, bracket.sizes[1:], strict=False):
            value = scores(rows, self.smaller_is_better, value_at(step))
            kept = set(sorted(value, key=lambda trial: (value[trial], trial))[:size])
            paused = [one for one in rows if self._paused_at(one, step)]
            stopped += [self.ended_early(one) for one in paused if one.trial not in kept]
            rows = [one for one in rows if one.trial in kept]
            waiting = [one for one in rows if self._paused_at(one, step)]
            if waiting:
                longer += [self.longer(one) for one in waiting if (one.trial, one.seed) not in out]
                return

    def _paused_at(self, trial: Trial, step: int) -> bool:
        return trial.state == "paused" and trial.measures[self.budget] == step


@dataclass(frozen=True)
class SuccessiveHalving(_Halving):
    """Random configurations, of which the best part goes on after each step.

    After every step the best 1/`factor` of the trials go on, with `factor` times the budget, so
    that each step costs about the same. The evaluation finds the budget in its configuration, under
    its name: ``configuration["epochs"]``, all epochs from the first. One that keeps checkpoints
    (`this_job`) pays for the further epochs only.

    Parameters
    ----------
    space : Space
        What is varied.
    trials : int
        How many configurations take the first step.
    most : int
        The budget of the last step.
    least : int
        The smallest budget of a first step.
    factor : int
        The part that goes on, and how much longer the next step is, at least 2.
    budget : str
        What the budget is called.
    seed : int
        Decides the configurations.
    seeds : int or sequence of int
        How many (0, 1, …), or which. The mean over them decides what goes on.
    smaller_is_better : bool
        Whether the best value is the smallest.

    Raises
    ------
    TypeError, ValueError
        No space, a number out of range, or a name for the budget that the table has already.

    References
    ----------
    Jamieson and Talwalkar (2016), Non-stochastic best arm identification and hyperparameter
    optimization.

    Examples
    --------
    >>> from nnbook import search
    >>> def evaluate(configuration, seed):  # noise that fades with the epochs
    ...     return abs(configuration["x"] - 0.3) + 0.1 / configuration["epochs"]
    >>> space = search.Space(x=search.linear(0, 1))
    >>> halving = search.SuccessiveHalving(space, trials=9, most=9)
    >>> halving.brackets
    (Bracket(first=0, sizes=(9, 3, 1), steps=(1, 3, 9)),)
    >>> found = halving.run(evaluate)
    >>> sorted(found["epochs"].tolist()), len(found.complete), round(found.best["x"], 2)
    ([1, 1, 1, 1, 1, 1, 3, 3, 9], 1, 0.38)
    """

    space: Space
    trials: int
    most: int
    least: int = 1
    factor: int = 3
    budget: str = "epochs"
    seed: int = 0
    seeds: int | Sequence[int] = 1  # type: ignore[assignment]
    smaller_is_better: bool = True

    def __post_init__(self) -> None:
        _check(self)
        self._check_budget()
        check_seed(self.seed)
        trials, factor = check_whole(self.trials, "trials"), check_whole(self.factor, "factor", 2)
        steps = _steps(self.most, self.least, factor)
        sizes = tuple(max(1, trials // factor**k) for k in range(len(steps)))
        object.__setattr__(self, "brackets", (Bracket(0, sizes, steps),))


@dataclass(frozen=True)
class Hyperband(_Halving):
    """Successive halving, several times: from many short trials to few that are never stopped.

    Where short trials tell little about long ones, halving that begins with the shortest throws
    the best away. Hyperband spends about the same on brackets that begin with longer and longer
    steps; the last is a random search.

    Parameters
    ----------
    space : Space
        What is varied.
    most : int
        The budget of the last step.
    least : int
        The smallest budget of a first step.
    factor : int
        The part that goes on, and how much longer the next step is, at least 2.
    budget : str
        What the budget is called.
    seed : int
        Decides the configurations.
    seeds : int or sequence of int
        How many (0, 1, …), or which. The mean over them decides what goes on.
    smaller_is_better : bool
        Whether the best value is the smallest.

    Raises
    ------
    TypeError, ValueError
        No space, a number out of range, or a name for the budget that the table has already.

    References
    ----------
    Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar (2018), Hyperband: a novel bandit-based
    approach to hyperparameter optimization.

    Examples
    --------
    >>> from nnbook import search
    >>> for bracket in search.Hyperband(search.Space(x=search.linear(0, 1)), most=9).brackets:
    ...     print(bracket)
    Bracket(first=0, sizes=(9, 3, 1), steps=(1, 3, 9))
    Bracket(first=9, sizes=(5, 1), steps=(3, 9))
    Bracket(first=14, sizes=(3,), steps=(9,))
    """

    space: Space
    most: int
    least: int = 1
    factor: int = 3
    budget: str = "epochs"
    seed: int = 0
    seeds: int | Sequence[int] = 1  # type: ignore[assignment]
    smaller_is_better: bool = True

    def __post_init__(self) -> None:
        _check(self)
        self._check_budget()
        check_seed(self.seed)
        factor = check_whole(self.factor, "factor", 2)
        steps = _steps(self.most, self.least, factor)
        brackets: list[Bracket] = []
        first = 0
        for begin in range(len(steps)):
            left = len(steps) - begin  # steps of this bracket
            trials = math.ceil(len(steps) * factor ** (left - 1) / left)
            sizes = tuple(trials // factor**k for k in range(left))
            brackets.append(Bracket(first, sizes, steps[begin:]))
            first += trials
        object.__setattr__(self, "brackets", tuple(brackets))


def _steps(most: Any, least: Any, factor: int) -> tuple[int, ...]:
    """Return budgets that grow by a factor and end with `most`."""
    least, most = check_whole(least, "least"), check_whole(most, "most")
    if least > most:
        raise ValueError(f"least is {least}; expected at most {most}, the budget of the last step")
    steps = [most]
    while steps[-1] // factor >= least:
        steps.append(steps[-1] // factor)
    return tuple(reversed(steps))
