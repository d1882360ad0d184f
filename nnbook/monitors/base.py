"""What all monitors share: when they look, what they keep, and how they say what they found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as onp

from nnbook.findings import Finding
from nnbook.gluon.parameters import host_view
from nnbook.training import Callback, Run

__all__ = [
    "EpochMonitor",
    "Monitor",
    "Record",
    "Step",
    "StepMonitor",
    "examples_of",
    "listed",
    "norm",
    "plural",
    "watched",
]

_SETTLE_EVERY = 100  # losses that may not be computed yet hold memory


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
    ValueError
        `every` below 1, `limit` below 2, or no whole numbers.
    """

    cost: ClassVar[str] = "free"
    record_type: ClassVar[type[Record]] = Record

    def __init__(self, every: int = 1, limit: int = 512):
        for name, value, least in (("every", every, 1), ("limit", limit, 2)):
            whole = isinstance(value, (int, onp.integer)) and not isinstance(value, bool)
            if not whole or value < least:
                raise ValueError(
                    f"{name} is {value!r}; expected a whole number of at least {least}"
                )
        self._first_every, self.limit = int(every), int(limit)
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
            self.every *= 2

    def state(self) -> dict[str, Any]:
        """Return the records, so that a resumed run has those from before it was stopped."""
        kept = {field.name: self[field.name] for field in fields(self.record_type)}
        return {"every": self.every, "names": list(self.names), "records": kept}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.every, self.names = state["every"], tuple(state["names"])
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
        watched(run).watchers.append(self)

    def before_step(self, theta: onp.ndarray) -> None:
        """Look at θ before a step that is due."""

    def after_step(self, seen: Step) -> None:
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


@dataclass(frozen=True)
class Step:
    """A step as monitors see it: `theta` and `grad` are the run's own memory on the CPU."""

    epoch: int
    step: int
    loss: float
    theta: onp.ndarray
    grad: onp.ndarray


class WatchedStep:
    """The step of a run, with monitors looking at every n-th.

    `Callback.on_step_end` would make `fit` synchronise and check θ at every step. Here a step that
    nobody looks at costs what it cost before.
    """

    def __init__(self, run: Run):
        self._run, self._step = run, run.stepper
        self.learning_rate = run.stepper.learning_rate  # asked for at every step
        self._next = 0
        self._arrays: tuple[Any, ...] = ()
        self._losses: list[Any] = []
        self.watchers: list[StepMonitor] = []
        self.listeners: list[Callable[[onp.ndarray], None]] = []
        self.shared: dict[str, Any] = {}  # what one monitor has computed and another can use

    def __call__(self, rows: Any) -> Any:
        """Take the step; return the minibatch's mean loss before it."""
        step = self._run.step
        due = self._due(step) if step >= self._next else []
        if due:
            self._before(due)
        loss = self._step(rows)
        if self.listeners:
            self._losses.append(loss)
            if len(self._losses) >= _SETTLE_EVERY:
                self.tell()
        if due:
            self._after(due, step + 1, loss)
        return loss

    def _due(self, step: int) -> list[StepMonitor]:
        """Return who looks at the step after `step` others, and note when to ask again."""
        waits = [(-step % watcher.every, watcher) for watcher in self.watchers]
        self._next = step + min(((wait or w.every) for wait, w in waits), default=1)
        return [watcher for wait, watcher in waits if not wait]

    def tell(self) -> None:
        """Hand the losses of the steps since the last time to those who listen."""
        losses = onp.array([float(loss) for loss in self._losses])
        self._losses.clear()
        for listener in self.listeners if losses.size else ():
            listener(losses)

    def _before(self, due: list[StepMonitor]) -> None:
        theta, _ = self._memory()
        with onp.errstate(all="ignore"):  # a number that overflows is what they look for
            for watcher in due:
                watcher.before_step(theta)

    def _after(self, due: list[StepMonitor], step: int, loss: Any) -> None:
        seen = Step(self._run.epoch, step, float(loss), *self._memory())
        with onp.errstate(all="ignore"):
            for watcher in due:
                watcher.after_step(seen)

    def _memory(self) -> tuple[onp.ndarray, onp.ndarray]:
        """Return the values of θ and ∇L: their own memory on the CPU, copies elsewhere."""
        theta, grad = self._run.vector.theta, self._run.vector.grad
        theta.wait_to_read()
        grad.wait_to_read()
        if theta.ctx.device_type != "cpu":
            return theta.asnumpy(), grad.asnumpy()
        if not self._arrays or self._arrays[0] is not theta:
            self._arrays = theta, host_view(theta), host_view(grad)
        return self._arrays[1:]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._step, name)


def watched(run: Run) -> WatchedStep:
    """Return the step of a run, made so that it can be looked at."""
    if not isinstance(run.stepper, WatchedStep):
        run.stepper = WatchedStep(run)
    return run.stepper


def examples_of(run: Run) -> Any:
    """Return the training examples, `nnbook.gluon.examples.Examples`."""
    return watched(run).gradient.examples


def norm(values: onp.ndarray) -> float:
    """Return ‖values‖, also where its square overflows or underflows in float32."""
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
