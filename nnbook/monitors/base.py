"""What all monitors share: when they look, what they keep, and how they say what they found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as onp

from nnbook._arguments import check_whole
from nnbook.findings import Finding
from nnbook.training.callbacks import Callback
from nnbook.training.run import Observation, Run, Seen

__all__ = [
    "EpochMonitor",
    "Monitor",
    "Record",
    "StepMonitor",
    "listed",
    "norm",
    "plural",
]


@dataclass(frozen=True)
class Record:
    """What a monitor saw at one time; its arrays cannot be written to.

    Attributes
    ----------
    epoch, step : int
        When: after so many steps, in that epoch; both 0 before the first step.
    """

    epoch: int
    step: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, onp.ndarray):
                value.flags.writeable = False


class Monitor(Callback):
    """A callback of `fit` that measures, remembers and draws conclusions; it changes nothing.

    Parameters
    ----------
    every : int
        Steps (or epochs) between two looks; the first is at the first.
    limit : int
        How many records are kept, at least 2. When there are more, every second one is dropped and
        `every` is doubled, so memory is bounded however long the run.

    Attributes
    ----------
    cost : str
        ``"free"``: uses what the epoch has anyway. ``"cheap"``: reads θ or ∇L now and then.
        ``"forward"``: runs a few examples through the network now and then.
    names : tuple of str
        What the last axis of the records' arrays counts: parameters, weights or layers.
    records : tuple of Record
        What was seen, oldest first; frozen.

    Raises
    ------
    ValueError, TypeError
        `every` below 1, `limit` below 2, or no whole numbers.
    """

    cost: ClassVar[str] = "free"
    record_type: ClassVar[type[Record]] = Record
    of_run: ClassVar[tuple[str, ...]] = ("_observation",)
    _observation: Observation | None = None

    def __init__(self, every: int = 1, limit: int = 512):
        self._first_every = check_whole(every, "every")
        self.limit = check_whole(limit, "limit", least=2)
        self.forget()

    def forget(self) -> None:
        """Drop everything that was seen; `fit` does so when it starts."""
        self.every = self._first_every
        self.names: tuple[str, ...] = ()
        self._records: list[Any] = []

    def on_fit_start(self, run: Run) -> None:
        """Forget an earlier run."""
        self.forget()

    @property
    def records(self) -> tuple[Any, ...]:
        """What was seen, oldest first."""
        return tuple(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, column: str) -> onp.ndarray:
        """Return one field of all records, stacked: shape (records,) or (records, names, …)."""
        known = [field.name for field in fields(self.record_type)]
        if column not in known:
            raise KeyError(f"{column!r} was not recorded; there are {', '.join(known)}")
        return onp.array([getattr(record, column) for record in self._records])

    def table(self) -> dict[str, onp.ndarray]:
        """Return the records as columns of equal length, such as `pandas.DataFrame` takes.

        Returns
        -------
        dict of str to numpy.ndarray
            A row for each record or, where the records have a value for each name, for each record
            and name; histograms are left out.
        """
        columns = {field.name: self[field.name] for field in fields(self.record_type)}
        if not any(values.ndim == 2 for values in columns.values()):
            return columns
        names = onp.array(self.names)
        long = {}
        for key, values in columns.items():
            if values.ndim == 1:
                long[key] = onp.repeat(values, len(names))
            elif values.ndim == 2:
                long[key] = values.reshape(-1)
        return {"name": onp.tile(names, len(self)), **long}

    def findings(self) -> tuple[Finding, ...]:
        """Return what is conspicuous in the records, by this monitor's thresholds."""
        return ()

    def _find(self, severity: str, message: str, advice: str) -> Finding:
        return Finding(type(self).__name__, severity, message, advice)

    def _keep(self, record: Record) -> None:
        self._records.append(record)
        if len(self._records) > self.limit:
            self._records = self._records[::2]
            self._look_every(2 * self.every)

    def _look_every(self, every: int) -> None:
        """Look at every n-th step or epoch from now on."""
        self.every = every
        if self._observation is not None:
            self._observation.every = every

    def state(self) -> dict[str, Any]:
        """Return the records, so that a resumed run has those from before it was stopped."""
        kept = {field.name: self[field.name] for field in fields(self.record_type)}
        return {"every": self.every, "names": list(self.names), "records": kept}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self._look_every(state["every"])
        self.names = tuple(state["names"])
        stacks = state["records"].items()
        self._records = [
            self.record_type(**{name: _row(stack, i) for name, stack in stacks})
            for i in range(len(state["records"]["step"]))
        ]

    def __repr__(self) -> str:
        what = f"{type(self).__name__}: {plural(len(self), 'record')}"
        return f"{what}, {plural(len(self.findings()), 'finding')}"


class StepMonitor(Monitor):
    """A monitor that looks at single steps: the first, and every n-th from there."""

    def on_fit_start(self, run: Run) -> None:
        """Forget an earlier run, and look at steps from now on."""
        super().on_fit_start(run)
        self._observation = run.observe(self.every, self.before_step, self.after_step)

    def before_step(self, seen: Seen) -> None:
        """Look at θ before a step that is due."""

    def after_step(self, seen: Seen) -> None:
        """Look at θ and ∇L after a step that is due."""


class EpochMonitor(Monitor):
    """A monitor that looks after every n-th epoch, and after the last."""

    first_epoch: ClassVar[int] = 1

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        """Look, if it is time."""
        due = (run.epoch - self.first_epoch) % self.every == 0
        if due or run.epoch == run.epochs or run.history.stopped:
            self.look(run, row)

    def look(self, run: Run, row: dict[str, Any]) -> None:
        """Measure now."""
        raise NotImplementedError


def norm(values: onp.ndarray) -> float:
    """Return ‖values‖, also where its square overflows or underflows in float32."""
    with onp.errstate(over="ignore"):
        square = float(onp.dot(values, values))
    if 1e-30 < square < float("inf"):
        return square**0.5
    return float(onp.linalg.norm(values.astype("float64")))


def plural(count: int, thing: str) -> str:
    """Return ``"1 thing"`` or ``"2 things"``."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """Return names separated by commas, the first few of many."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _row(stack: Any, i: int) -> Any:
    row = onp.asarray(stack)[i]
    return row.copy() if row.ndim else row.item()
