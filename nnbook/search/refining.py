"""Searches that need no model: low-discrepancy points, one dimension at a time, coarse to fine."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as onp

from nnbook._arguments import check_number, check_seed, check_whole
from nnbook.search.dimensions import Dimension, same_value
from nnbook.search.journal import Log
from nnbook.search.searches import DrawnSearch, Search, _check
from nnbook.search.space import Space
from nnbook.search.steps import Stepped, value_at
from nnbook.search.trials import Trial, scores

__all__ = ["CoarseToFine", "CoordinateSearch", "SobolSearch"]


@dataclass(frozen=True)
class SobolSearch(DrawnSearch):
    """Configurations spread evenly: Sobol's sequence, scrambled, in place of random points.

    Random points clump and leave holes. Those of a low-discrepancy sequence keep apart, in each
    dimension by itself too, and any number of them will do (a power of two is best).

    Parameters
    ----------
    space : Space
        What is varied.
    trials : int
        How many configurations. A search with more trials goes on where one with fewer ended.
    seed : int
        Decides how the sequence is scrambled.
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
    Matoušek (1998), On the L2-discrepancy for anchored boxes: the scrambling that
    `scipy.stats.qmc.Sobol` does. Owen (1998), Scrambling Sobol' and Niederreiter–Xing points.

    Examples
    --------
    >>> from nnbook import search
    >>> space = search.Space(x=search.linear(0, 1), y=search.linear(0, 1))
    >>> points = search.SobolSearch(space, trials=8).configurations
    >>> sorted(int(8 * c["x"]) for c in points), sorted(int(8 * c["y"]) for c in points)
    ([0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7])
    """

    def __post_init__(self) -> None:
        from scipy.stats import qmc

        super().__post_init__()
        rng = onp.random.default_rng(self.seed)
        # SciPy 1.15 renamed the argument.
        name = "rng" if "rng" in inspect.signature(qmc.Sobol).parameters else "seed"
        points = qmc.Sobol(len(self.space), scramble=True, **{name: rng})
        object.__setattr__(self, "_points", points.random_base2(math.ceil(math.log2(self.trials))))

    def configuration(self, trial: int) -> dict[str, Any]:
        """Return one configuration, which depends on the seed and its number alone."""
        return self.space.at(self._points[trial])  # type: ignore[attr-defined]


@dataclass(frozen=True)
class CoordinateSearch(Search):
    """Vary one hyperparameter at a time, always from the best configuration so far.

    Every round goes once through the dimensions, and tries some values of each. After a round the
    range in which they lie shrinks around the best. Cheap, and easy to follow; but where two
    hyperparameters depend on each other, the best value of one changes with the other, and the
    search stops short in the valley (Bengio, 2012).

    Parameters
    ----------
    space : Space
        What is varied; none of its dimensions has a condition.
    points : int
        How many values of each dimension in a round, at least 2. Choices are all taken.
    rounds : int
        How often to go through the dimensions.
    start : dict, optional
        Where to begin; by default the middle of every range, and the first of the choices.
    shrink : float
        What part of the range is left after a round, in (0, 1]; 1 leaves it as it is.
    seeds : int or sequence of int
        How many (0, 1, …), or which. The mean over them decides.
    smaller_is_better : bool
        Whether the best value is the smallest.

    Raises
    ------
    TypeError, ValueError
        No space, one with conditions, a start outside it, or a number out of range.

    References
    ----------
    Bengio (2012), Practical recommendations for gradient-based training of deep architectures.

    Examples
    --------
    >>> from nnbook import search
    >>> space = search.Space(x=search.linear(0, 1), y=search.linear(0, 1))
    >>> along = search.CoordinateSearch(space, points=5, rounds=2)
    >>> found = along.run(lambda c, seed: (c["x"] - 0.25) ** 2 + (c["y"] - 0.875) ** 2)
    >>> len(found), found.best["x"], found.best["y"]
    (21, 0.25, 0.875)
    """

    space: Space
    points: int = 5
    rounds: int = 2
    start: Mapping[str, Any] | None = None
    shrink: float = 0.5
    seeds: int | Sequence[int] = 1  # type: ignore[assignment]
    smaller_is_better: bool = True

    def __post_init__(self) -> None:
        _check(self)
        check_whole(self.points, "points", least=2)
        check_whole(self.rounds, "rounds")
        check_number(self.shrink, "shrink", above=0, most=1)
        if depends := [name for name, one in self.space.items() if one.when]:
            raise ValueError(
                f"{depends[0]} has a condition; a search along the coordinates needs dimensions "
                "that always mean something: search each case by itself, or take AdaptiveSearch"
            )
        middle = {name: (one.choices or one.points(1))[0] for name, one in self.space.items()}
        start = middle if self.start is None else dict(self.start)
        if set(start) != set(self.space) or any(start[n] not in self.space[n] for n in self.space):
            raise ValueError(f"start is {start}; expected a value in the range of each dimension")
        # The lines: round, dimension, number of the first trial.
        lines, first = [], 1
        for round_ in range(self.rounds):
            for name in self.space:
                lines.append((round_, name, first))
                first += self._many(name)
        object.__setattr__(self, "_start", start)
        object.__setattr__(self, "_lines", lines)
        object.__setattr__(self, "_size", first)

    def _many(self, name: str) -> int:
        one = self.space[name]
        whole = int(one.high - one.low) + 1 if one.integer else self.points
        return len(one.choices) or min(self.points, whole)

    @property
    def size(self) -> int:
        """How many configurations there are."""
        return self._size  # type: ignore[attr-defined]

    def waits_for(self, trial: int) -> int:
        """Return where the line of a trial begins."""
        return self._line(trial)[2] if trial else 0

    def ask(self, trial: int, log: Log) -> dict[str, Any]:
        """Choose the next value on a line through the best configuration before it."""
        if trial == 0:
            return dict(self._start)  # type: ignore[attr-defined]
        round_, name, first = self._line(trial)
        before = [one for one in log.trials if one.trial < first]
        value = scores(before, self.smaller_is_better)
        best = min(value, key=lambda number: (value[number], number))
        centre = next(one.configuration for one in before if one.trial == best)
        width = self.shrink**round_
        return {**centre, name: self._values(name, centre[name], width)[trial - first]}

    def _line(self, trial: int) -> tuple[int, str, int]:
        return max((line for line in self._lines if line[2] <= trial), key=lambda line: line[2])  # type: ignore[attr-defined]

    def _values(self, name: str, centre: Any, width: float) -> list[Any]:
        """Return the values of a line: from end to end of a part of the range around a value."""
        one = self.space[name]
        if one.choices:
            return list(one.choices)
        middle = float(self.space.units(name, [centre])[0])
        low = min(max(middle - width / 2, 0.0), 1 - width)
        return [one.at(u) for u in onp.linspace(low, low + width, self._many(name))]

    def identity(self) -> dict[str, Any]:
        """Return what makes this the same search when it is resumed."""
        start = repr(self._start)  # type: ignore[attr-defined]
        own = {"points": self.points, "rounds": self.rounds, "start": start, "shrink": self.shrink}
        return {**super().identity(), **own}


@dataclass(frozen=True)
class CoarseToFine(Stepped):
    """Random search in rounds, each in the part of the space in which the last one's best lie.

    Parameters
    ----------
    space : Space
        What is varied.
    trials : int
        How many configurations in each round.
    rounds : int
        How many rounds.
    keep : float
        The best part of a round that spans the next one's ranges, in (0, 1); at least two trials.
    steps : sequence of int, optional
        A budget for each round, such as 1, 5 and 20 epochs; those of the last round alone have a
        ``value`` then, the others a ``value_at_1``.
    budget : str
        What the budget is called: ``configuration["epochs"]``.
    seed : int
        Decides the configurations, together with what came out.
    seeds : int or sequence of int
        How many (0, 1, …), or which. The mean over them decides.
    smaller_is_better : bool
        Whether the best value is the smallest.

    Raises
    ------
    TypeError, ValueError
        No space, a number out of range, not a step for each round.

    References
    ----------
    Bengio (2012), Practical recommendations for gradient-based training of deep architectures.

    Examples
    --------
    >>> from nnbook import search
    >>> space = search.Space(rate=search.log(1e-6, 1))
    >>> rounds = search.CoarseToFine(space, trials=10, rounds=3)
    >>> found = rounds.run(lambda c, seed: abs(c["rate"] - 0.01))
    >>> first, last = found["rate"][:10], found["rate"][20:]
    >>> print(f"{first.min():.0e} to {first.max():.0e}, {last.min():.0e} to {last.max():.0e}")
    2e-06 to 2e-01, 6e-03 to 2e-02
    """

    space: Space
    trials: int
    rounds: int = 3
    keep: float = 0.25
    steps: Sequence[int] | None = None
    budget: str = "epochs"
    seed: int = 0
    seeds: int | Sequence[int] = 1  # type: ignore[assignment]
    smaller_is_better: bool = True

    def __post_init__(self) -> None:
        _check(self)
        self._check_budget()
        check_whole(self.trials, "trials", least=2)
        check_whole(self.rounds, "rounds")
        check_number(self.keep, "keep", above=0, below=1)
        check_seed(self.seed)
        if self.steps is not None:
            steps = tuple(check_whole(step, "a step") for step in self.steps)
            if len(steps) != self.rounds or list(steps) != sorted(steps):
                raise ValueError(
                    f"steps is {self.steps!r}; expected {self.rounds} numbers that do not fall, "
                    "one a round"
                )
            object.__setattr__(self, "steps", steps)

    @property
    def size(self) -> int:
        """How many configurations there are."""
        return self.trials * self.rounds

    def steps_of(self, trial: int) -> tuple[int, ...]:
        """Return the one step of a trial, that of its round."""
        return () if self.steps is None else (self.steps[trial // self.trials],)

    def settled(self, trial: Trial) -> Trial:
        """Return an evaluated trial as it is to be recorded: it has a value in the last round."""
        trial = super().settled(trial)
        last = self.steps is None or trial.measures.get(self.budget) == self.steps[-1]
        if last or trial.state != "complete":
            return trial
        return replace(self.ended_early(trial), value=math.nan)

    def waits_for(self, trial: int) -> int:
        """Return where the round of a trial begins."""
        return trial // self.trials * self.trials

    def ask(self, trial: int, log: Log) -> dict[str, Any]:
        """Choose a configuration in the ranges that the best of the last round span."""
        units = onp.random.default_rng([self.seed, trial]).random(len(self.space))
        begin = self.waits_for(trial)
        if begin:
            last = [one for one in log.trials if begin - self.trials <= one.trial < begin]
            best = self._best(last)
            if best:
                units = [
                    _within(self.space, name, best, u)
                    for name, u in zip(self.space, units, strict=True)
                ]  # type: ignore[assignment]
        return self.space.at(units)

    def _best(self, last: list[Trial]) -> list[dict[str, Any]]:
        """Return the best configurations of a round, at least two of those with a value."""
        steps = self.steps_of(last[0].trial)
        value = scores(last, self.smaller_is_better, value_at(steps[0]) if steps else "")
        found = {one.trial: one.configuration for one in last if math.isfinite(value[one.trial])}
        many = max(2, round(self.keep * self.trials))
        return [found[number] for number in sorted(found, key=lambda n: (value[n], n))[:many]]

    def identity(self) -> dict[str, Any]:
        """Return what makes this the same search when it is resumed."""
        own = {"a round": self.trials, "rounds": self.rounds, "keep": self.keep, "seed": self.seed}
        steps = None if self.steps is None else [self.budget, *self.steps]
        return {**super().identity(), **own, "steps": steps}


def _within(space: Space, name: str, best: Iterable[Mapping[str, Any]], u: float) -> float:
    """Return the point of a dimension at part `u` of what the best configurations span."""
    dimension, values = space[name], [one[name] for one in best if name in one]
    if not values:
        return u
    if dimension.choices:
        return _choice(dimension, values, u)
    units = space.units(name, values)
    low, high = float(units.min()), float(units.max())
    # The ends of m random points lie that far inside the range that they are drawn from.
    margin = (high - low) / max(1, len(values) - 1)
    low, high = max(0.0, low - margin), min(1.0, high + margin)
    return low + (high - low) * u


def _choice(dimension: Dimension, values: list[Any], u: float) -> float:
    kept = [
        k
        for k, choice in enumerate(dimension.choices)
        if any(same_value(choice, value) for value in values)
    ]
    return (kept[min(int(u * len(kept)), len(kept) - 1)] + 0.5) / len(dimension.choices)
