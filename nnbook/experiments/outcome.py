"""What came out of an experiment: numbers by arm and seed, what was chosen, what it covers."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as onp

from nnbook._tables import html_table, text_table
from nnbook.experiments.runs import Cost, Run
from nnbook.experiments.tuning import Choice

if TYPE_CHECKING:
    from nnbook.claims import Comparison

__all__ = ["Outcome", "Table"]


@dataclass(frozen=True)
class Table:
    """A table that prints as text, and in a notebook as HTML, with notes below it."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([text_table(self.head, self.rows, (0, 1)), *self.notes])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return html_table(self.head, self.rows, heads=True) + notes


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an experiment found, paired by seed.

    Attributes
    ----------
    metric : str
        The measure that is compared.
    smaller_is_better : bool
        Its direction.
    seeds : tuple of int
        Those that decided.
    choices : dict of str to tuple of Choice
        What was chosen for each arm: once, or if it was tuned anew, for every seed.
    runs : dict of str to tuple of Run
        The deciding runs of each arm, one a seed.
    worst : dict of str to float
        What a run that diverged counts as, at least.
    repeated : str
        What a seed decides, in words.
    tuning_seeds : tuple of int
        Those on which the arms were tuned; () if each repetition had its own.
    """

    metric: str
    smaller_is_better: bool
    seeds: tuple[int, ...]
    choices: Mapping[str, tuple[Choice, ...]]
    runs: Mapping[str, tuple[Run, ...]]
    worst: Mapping[str, float]
    repeated: str = ""
    tuning_seeds: tuple[int, ...] = ()

    # ------------------------------------------------------------------ numbers

    def values(self, measure: str | None = None) -> dict[str, onp.ndarray]:
        """Return a measure by arm, one number a seed: what `nnbook.claims.compare` takes.

        Parameters
        ----------
        measure : str, optional
            By default the metric.

        Returns
        -------
        dict of str to numpy.ndarray, shape (n,)
            A run that diverged counts as the worst that any arm gave, or `Outcome.worst` where
            that is worse; one that was cut off counts as its budget.

        Raises
        ------
        KeyError
            No run has such a measure.
        FloatingPointError
            Every run diverged, and nothing says what that counts as.
        """
        name = self.metric if measure is None else measure
        known = sorted({key for runs in self.runs.values() for run in runs for key in run.measures})
        if name not in known and name != self.metric:
            raise KeyError(f"{name!r} was not measured; there are {', '.join(known)}")
        found = {
            arm: onp.array([run.value(name) for run in runs]) for arm, runs in self.runs.items()
        }
        worst = self._worst(name, onp.concatenate(list(found.values())))
        lost = {arm: onp.array([run.diverged for run in runs]) for arm, runs in self.runs.items()}
        return {arm: onp.where(lost[arm], worst, found[arm]) for arm in found}

    def _worst(self, name: str, values: onp.ndarray) -> float:
        finite = values[onp.isfinite(values)].tolist()
        finite += [self.worst[name]] if name in self.worst else []
        if not finite:
            raise FloatingPointError(
                f"every run diverged; say what that counts as: worst={{{name!r}: …}}"
            )
        return max(finite) if self.smaller_is_better else min(finite)

    def compare(
        self,
        *,
        smallest_effect: float,
        ratio: bool = False,
        unit: str = "",
        measure: str | None = None,
        **more: Any,
    ) -> Comparison:
        """Return the arms as a comparison of `nnbook.claims`, which decides.

        Parameters
        ----------
        smallest_effect : float
            δ, fixed before the run.
        ratio, unit : bool, str
            As for `nnbook.claims.compare`.
        measure : str, optional
            By default the metric; it has the metric's direction.
        **more
            Further settings of `nnbook.claims.compare`; its quantity is otherwise the measure's
            name.

        Returns
        -------
        nnbook.claims.Comparison
        """
        from nnbook.claims import compare

        settings: dict[str, Any] = {"quantity": measure or self.metric, "covers": self.covered}
        settings |= {"smallest_effect": smallest_effect, "ratio": ratio, "unit": unit, **more}
        arms: dict[str, Any] = self.values(measure)
        return compare(smaller_is_better=self.smaller_is_better, **settings, **arms)

    def setting(self, arm: str) -> dict[str, Any]:
        """Return the knobs of an arm that was tuned once.

        Parameters
        ----------
        arm : str
            Its name.

        Returns
        -------
        dict

        Raises
        ------
        KeyError, ValueError
            No such arm; one that was tuned anew for every seed.
        """
        if arm not in self.choices:
            raise KeyError(f"there is no arm {arm!r}; there are {', '.join(self.choices)}")
        if len(self.choices[arm]) > 1:
            raise ValueError(f"{arm!r} was tuned anew for every seed; see choices[{arm!r}]")
        return dict(self.choices[arm][0].setting)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every deciding run: its arm, its seed, whether it diverged, and what was measured."""
        return [
            {"arm": arm, "seed": seed, "diverged": run.diverged, **run.measures}
            for arm, runs in self.runs.items()
            for seed, run in zip(self.seeds, runs, strict=True)
        ]

    @property
    def diverged(self) -> dict[str, int]:
        """How many deciding runs of each arm diverged."""
        return {arm: sum(run.diverged for run in runs) for arm, runs in self.runs.items()}

    @property
    def censored(self) -> dict[str, int]:
        """How many deciding runs of each arm were cut off before they reached the target."""
        return {
            arm: sum(run.censored(self.metric) for run in runs) for arm, runs in self.runs.items()
        }

    @property
    def cost(self) -> dict[str, Cost]:
        """What each arm took, its tuning included."""
        return {
            arm: sum((one.cost for one in self.choices[arm]), Cost.of(r.measures for r in runs))
            for arm, runs in self.runs.items()
        }

    # ------------------------------------------------------------------ what they are worth

    @cached_property
    def reservations(self) -> tuple[str, ...]:
        """What is not as it should be, in words; () if nothing is."""
        choices = [one for every in self.choices.values() for one in every]
        found = [text for one in choices for text in one.reservations]
        untuned = [arm for arm, every in self.choices.items() if every[0].trials is None]
        if 0 < len(untuned) < len(self.choices):
            found.append(f"not tuned beside arms that are: {', '.join(untuned)}")
        return tuple(dict.fromkeys(found))

    @property
    def covered(self) -> str:
        """What an interval over the seeds covers, as a verdict says it behind those words."""
        if all(every[0].trials is None for every in self.choices.values()):
            return self.repeated
        if self.tuning_seeds:
            return f"{self.repeated}; the tuning was done once, and its luck is in no interval"
        return f"{self.repeated}, and the tuning"

    @property
    def covers(self) -> str:
        """What an interval over the seeds covers, and what it does not, in sentences."""
        text = f"Each of the {len(self.seeds)} seeds is a repetition; it decides {self.repeated}"
        if all(every[0].trials is None for every in self.choices.values()):
            return f"{text}."
        if not self.tuning_seeds:
            return f"{text}, and the tuning."
        return (
            f"{text}. The tuning was done once, on {len(self.tuning_seeds)} other seeds: its luck "
            "is in no interval."
        )

    def _notes(self) -> tuple[str, ...]:
        n, notes = len(self.seeds), []
        for arm in self.runs:
            if lost := self.diverged[arm]:
                notes.append(f"{arm}: {lost} of {n} runs diverged; they count as the worst.")
            if cut := self.censored[arm]:
                notes.append(
                    f"{arm}: {cut} of {n} runs did not get there; they count as the budget, and "
                    "the mean is a lower bound."
                )
        return (*notes, *(f"Reservation: {text}." for text in self.reservations), self.covers)

    # ------------------------------------------------------------------ what is shown

    def _table(self) -> Table:
        head = "arm", "setting", self.metric, "95 % interval", "trials", "runs", "steps"
        cost, rows = self.cost, []
        for arm, values in self.values().items():
            every = self.choices[arm]
            trials = _spread([one.settings for one in every])
            took = str(cost[arm].runs), f"{cost[arm].steps:,.0f}"
            rows.append((arm, _shown_setting(every), *_interval(values), trials, *took))
        known = len(head) if any(one.steps for one in cost.values()) else -1
        return Table(head[:known], tuple(row[:known] for row in rows), self._notes())

    def __repr__(self) -> str:
        return repr(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    @property
    def tuning(self) -> Table:
        """How each best value stands between its neighbours: value, and mean over tuning seeds."""
        rows = [
            (
                arm + (f", seed {seed}" if len(every) > 1 else ""),
                knob,
                _tried(below),
                _tried((one.setting.get(knob), one.score)),
                _tried(above),
                "; ".join(text for text in one.widened if text.startswith(f"{knob} ")) or "no",
            )
            for arm, every in self.choices.items()
            for seed, one in zip(self.seeds, every, strict=False)
            for knob, (below, above) in (one.neighbours or {}).items()
        ]
        return Table(("arm", "knob", "below", "best", "above", "widened"), tuple(rows))


def _interval(values: onp.ndarray) -> tuple[str, str]:
    """The mean and its interval as texts; of one seed there is none."""
    if len(values) < 2:
        return f"{values[0]:.4g}", "one seed"
    from nnbook.claims import interval

    mean, low, high = interval(values)
    return f"{mean:.4g}", f"[{low:.4g}, {high:.4g}]"


def _shown_setting(every: tuple[Choice, ...]) -> str:
    """The tuned knobs of an arm, or their range over the seeds."""
    knobs = dict.fromkeys(knob for one in every for knob in one.tuned)
    parts = [f"{knob}={_spread([one.tuned.get(knob) for one in every])}" for knob in knobs]
    return ", ".join(parts) or "not tuned"


def _spread(values: list[Any]) -> str:
    shown = list(dict.fromkeys(_shown(value) for value in values))
    if len(shown) == 1:
        return shown[0]
    if all(isinstance(value, (int, float)) for value in values):
        return f"{_shown(min(values))} … {_shown(max(values))}"
    return " or ".join(shown)


def _tried(one: tuple[Any, float] | None) -> str:
    if one is None or one[0] is None:
        return "–"
    score = "diverged" if math.isnan(one[1]) else f"{one[1]:.4g}"
    return f"{_shown(one[0])} ({score})"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
