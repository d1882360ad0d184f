"""Tune arms alike: the same number of trials for each, and the best one inside its range."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as onp

from nnbook.experiments.arms import Arm
from nnbook.experiments.runs import Cost, Run, RunMany, run_all
from nnbook.search.dimensions import Dimension
from nnbook.search.edges import Border, borders, widen
from nnbook.search.results import Results
from nnbook.search.searches import GridSearch, RandomSearch, Search
from nnbook.search.space import RESERVED, Space

__all__ = ["Choice", "Plan", "tune"]

Tried = tuple[Any, float]  # a value of a knob, and the mean over the tuning seeds


@dataclass(frozen=True)
class Plan:
    """How arms are tuned, and by what.

    Attributes
    ----------
    choose_by : str
        The measure that decides.
    needed : tuple of str
        Measures that each run must have.
    smaller_is_better : bool
        The direction.
    trials : int
        Settings of each arm.
    widenings : int
        How often a range may be widened.
    """

    choose_by: str
    needed: tuple[str, ...]
    smaller_is_better: bool
    trials: int
    widenings: int


@dataclass(frozen=True, eq=False)
class Choice:
    """What tuning an arm has chosen, and how sure one can be of it.

    Attributes
    ----------
    arm : Arm
        The arm.
    setting : dict
        All its knobs: those chosen and those fixed.
    score : float
        The mean over the tuning seeds; NaN where nothing was tuned.
    trials : Results or None
        Every run, a row for each setting and seed. A run that diverged has no value.
    neighbours : dict of str to pair
        For each range, the next values tried below and above the chosen one, all else being equal,
        with their means; None where there is none.
    widened : tuple of str
        Which ends were moved, and how far, in words.
    reservations : tuple of str
        What is not as it should be, in words.
    """

    arm: Arm
    setting: dict[str, Any]
    score: float = math.nan
    trials: Results | None = None
    neighbours: Mapping[str, tuple[Tried | None, Tried | None]] | None = None
    widened: tuple[str, ...] = ()
    reservations: tuple[str, ...] = ()

    @property
    def tuned(self) -> dict[str, Any]:
        """The knobs that were chosen."""
        return {name: self.setting[name] for name in self.arm.space or () if name in self.setting}

    @property
    def settings(self) -> int:
        """How many settings were tried."""
        return 0 if self.trials is None else len(set(self.trials["trial"].tolist()))

    @property
    def cost(self) -> Cost:
        """What the tuning took."""
        return Cost.of(() if self.trials is None else self.trials.rows)

    def __repr__(self) -> str:
        chosen = ", ".join(f"{name}={value!r}" for name, value in self.tuned.items())
        return f"Choice({self.arm.name!r}: {chosen or 'nothing tuned'})"


def tune(arms: Iterable[Arm], many: RunMany, plan: Plan, seeds: Sequence[int]) -> dict[str, Choice]:
    """Tune every arm with as many trials as every other.

    Where the best value of an arm lies on the border of its range, a third as many trials are made
    beyond it, and as many more by the other arms within their own ranges.

    Parameters
    ----------
    arms : iterable of Arm
        What is compared.
    many : callable
        ``many(configurations, seeds)``.
    plan : Plan
        How.
    seeds : sequence of int
        On which seeds.

    Returns
    -------
    dict of str to Choice

    Raises
    ------
    FloatingPointError
        Every run of an arm diverged.
    """
    every = list(arms)
    found = {a.name: _Tuning(a, a.space, many, plan, tuple(seeds)) for a in every if a.space}
    tuned = found.values()
    for one in tuned:
        one.start()
    for left in reversed(range(plan.widenings + 1)):
        most = max((one.count for one in tuned), default=0)
        for one in tuned:
            one.fill_up(most)
        if not left or not sum(one.widen() for one in tuned):  # all of them, not up to the first
            break
    return {a.name: found[a.name].choice() if a.space else Choice(a, a.fixed) for a in every}


class _Tuning:
    """One arm, as long as it is tuned."""

    def __init__(self, arm: Arm, space: Space, many: RunMany, plan: Plan, seeds: tuple[int, ...]):
        self.arm, self.space, self.many, self.plan, self.seeds = arm, space, many, plan, seeds
        self.rows: list[dict[str, Any]] = []
        self.widened: list[str] = []
        self.count = 0

    # ------------------------------------------------------------------ trials

    def start(self) -> None:
        """Make the first trials: a grid of one range, or of choices; else random draws."""
        ranges = [name for name, one in self.space.items() if not one.choices]
        if len(self.space) == 1 or not ranges:
            grid = GridSearch(self.space, self.plan.trials, seeds=self.seeds)
            if grid.size <= self.plan.trials:
                return self._run(grid)
        self._run(self._random(self.space, self.plan.trials))

    def fill_up(self, most: int) -> None:
        """Draw what is missing to as many trials as another arm has."""
        size = _size(self.space)
        if (missing := min(most, size) - self.count) > 0:
            self._run(self._random(self.space, int(missing)))

    def widen(self) -> bool:
        """Try values beyond the border on which the best one lies; tell whether there is one."""
        found = self._borders()
        extra = max(1, math.ceil(self.plan.trials / 3))
        for border in found:
            wider = widen(self.space, [border], by=extra / max(1, self.plan.trials - 1))
            strip = _beyond(self.space[border.name], wider[border.name], border.lower)
            end = strip.low if border.lower else strip.high
            self.widened.append(f"{border.name} to {end:.4g}")
            beyond = wider.replace(**{border.name: strip})
            if len(self.space) > 1:
                self._run(self._random(beyond, extra))
            else:
                points = [value for value in strip.points(extra + 1) if value != border.end]
                self._run(GridSearch(beyond, {border.name: points}, seeds=self.seeds))
            self.space = wider
        return bool(found)

    def _random(self, space: Space, trials: int) -> Search:
        """Random settings: the same for arms with one space, and others at each call."""
        words = [*self.seeds, self.count]
        seed = int(onp.random.SeedSequence(words).generate_state(1)[0])
        return RandomSearch(space, trials, seed=seed, seeds=self.seeds)

    def _run(self, search: Search) -> None:
        with warnings.catch_warnings():  # that none is complete: `_best` sees to it
            warnings.filterwarnings("ignore", "none of the .* trials is complete", RuntimeWarning)
            found = search.run(evaluate_many=self._evaluate, batch=10**9, progress=False)
        for row in found.rows:
            self.rows.append({**row, "trial": row["trial"] + self.count})
        self.count += search.size

    def _evaluate(self, configurations: list[dict[str, Any]], seeds: list[int]) -> list[Any]:
        every = [{**self.arm.fixed, **tuned} for tuned in configurations]
        runs = run_all(self.many, every, seeds, self.plan.needed)
        return [self._measured(run) for run in runs]

    def _measured(self, run: Run) -> dict[str, Any]:
        name = self.plan.choose_by
        others = {k: v for k, v in run.measures.items() if k not in {*RESERVED, *self.space}}
        seconds = {"seconds": run.measures["seconds"]} if "seconds" in run.measures else {}
        value = math.nan if run.diverged else run.value(name)
        flags = {"diverged": run.diverged, "censored": run.censored(name)}
        return {**others, **seconds, **flags, "value": value}

    # ------------------------------------------------------------------ what they say

    def _table(self) -> Results:
        options: dict[str, Any] = {"smaller_is_better": self.plan.smaller_is_better}
        return Results.from_rows(self.rows, self.space, planned=len(self.rows), **options)

    def _ranked(self) -> list[tuple[tuple[float, ...], int, list[dict[str, Any]]]]:
        """The settings from the best on: fewest diverged runs, best mean, nearest to the middle."""
        groups: dict[int, list[dict[str, Any]]] = {}
        for row in self.rows:
            groups.setdefault(row["trial"], []).append(row)
        ranked = []
        for trial, rows in groups.items():
            mean = _mean(rows)
            signed = mean if self.plan.smaller_is_better else -mean
            lost = sum(row["state"] != "complete" for row in rows)
            worst = math.inf if math.isnan(mean) else signed
            ranked.append(((lost, worst, self._distance(rows[0])), trial, rows))
        return sorted(ranked, key=lambda one: one[0])

    def _distance(self, row: Mapping[str, Any]) -> float:
        """How far a setting is from the middle of its ranges, as a part of them."""
        places = [
            abs(float(self.space.units(name, [row[name]])[0]) - 0.5)
            for name, one in self.space.items()
            if not one.choices and row.get(name) is not None
        ]
        return max((p for p in places if p == p), default=0.0)

    def _best(self) -> list[dict[str, Any]]:
        _, _, rows = self._ranked()[0]
        if math.isnan(_mean(rows)):
            raise FloatingPointError(
                f"all {len(self.rows)} runs of the arm {self.arm.name!r} diverged, over all of "
                f"{dict(self.space)}; expected a range in which some do not. Lower its rates"
            )
        return rows

    def _borders(self) -> list[Border]:
        """The ends at which the best setting lies."""
        best = [{**row, "value": 0.0, "state": "complete"} for row in self._best()[:1]]
        table = Results.from_rows(best, self.space, smaller_is_better=True, planned=1)
        return borders(table, share=min(0.05, 0.5 / self.plan.trials))

    def choice(self) -> Choice:
        """Return what was chosen."""
        rows = self._best()
        table = self._table()
        tuned = replace(table, rows=tuple(rows)).configuration(0)
        ranges = [name for name, one in self.space.items() if not one.choices]
        return Choice(
            self.arm,
            {**self.arm.fixed, **tuned},
            _mean(rows),
            table,
            {name: self._neighbours(name, tuned) for name in ranges},
            tuple(self.widened),
            tuple(self._reservations(rows)),
        )

    def _neighbours(self, name: str, tuned: Mapping[str, Any]) -> tuple[Tried | None, Tried | None]:
        if name not in tuned:
            return None, None
        others = [knob for knob in self.space if knob != name]
        alike = [
            (rows[0][name], _mean(rows))
            for _, _, rows in self._ranked()
            if all(rows[0].get(knob) == tuned.get(knob) for knob in others)
        ]
        below = [one for one in alike if one[0] < tuned[name]]
        above = [one for one in alike if one[0] > tuned[name]]
        first = max(below, key=lambda one: one[0], default=None)
        return first, min(above, key=lambda one: one[0], default=None)

    def _reservations(self, rows: Sequence[Mapping[str, Any]]) -> Iterable[str]:
        name = self.arm.name
        for border in self._borders():
            yield f"{name}: {border} (widened {len(self.widened)} times)"
        if lost := sum(row["state"] != "complete" for row in rows):
            yield f"{name}: of the {len(rows)} tuning runs of the best setting, {lost} diverged"
        means = {_mean(group) for _, _, group in self._ranked()}
        if len(means - {math.nan}) == 1 and self.count > 1:
            yield f"{name}: all settings score the same; nothing was tuned"
        if any(row.get("censored") for row in rows):
            yield f"{name}: tuned on values that were cut off at the budget; allow more"


def _mean(rows: Iterable[Mapping[str, Any]]) -> float:
    values = [row["value"] for row in rows if row["state"] == "complete"]
    return float(onp.mean(values)) if values else math.nan


def _beyond(old: Dimension, new: Dimension, lower: bool) -> Dimension:
    """What has been added to a range at one end."""
    if lower:
        return replace(new, high=old.low)
    return replace(new, low=old.high)


def _size(space: Space) -> float:
    """How many settings there are, at most; infinite where a range has fractions."""
    return math.prod(
        len(one.choices) or (one.high - one.low + 1 if one.integer else math.inf)
        for one in space.values()
    )
