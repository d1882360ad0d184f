"""The training loop: of a network, of any objective, or of many models in lockstep.

There is one. `nnbook.training.fit` gives it one run and `nnbook.population.fit_population` one for
each member of a stack; what differs between networks, objectives and stacks is a `Source`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any, Protocol

import numpy as onp

from nnbook.training.callbacks import overrides
from nnbook.training.history import History
from nnbook.training.run import Observation, Rows, Run, Seen

__all__ = ["Source", "train"]

# MXNet's engine takes work without limit; waiting now and then keeps memory flat, and is when a
# loss that is no longer finite is noticed.
SYNCHRONISE_EVERY = 100


class Source(Protocol):
    """One model, or several in lockstep: where gradients come from and updates go to.

    Attributes
    ----------
    overflow : str
        "raise" or "ignore": what NumPy does when a number of an update overflows.
    """

    overflow: str

    def begin_epoch(self, epoch: int) -> None:
        """Seed what is drawn in this epoch."""

    def batches(self, epoch: int) -> Iterator[tuple[Rows, ...]]:
        """Yield the rows of each step, one entry for each group of models that share them."""

    def gradient(self, rows: tuple[Rows, ...]) -> Any:
        """Fill ∇L; return the mean loss, or that of each model, perhaps not yet computed."""

    def update(self) -> None:
        """Change θ."""

    def memory(self, k: int) -> tuple[onp.ndarray, onp.ndarray]:
        """Return θ and ∇L of model k: their own memory where that can be, and not to be kept."""

    def finite(self) -> Any:
        """Tell for each model whether its parameters are finite."""

    def evaluate(self) -> Sequence[dict[str, float]]:
        """Return the measurements on held-out data, a dict for each model."""

    def finish(self, k: int) -> None:
        """Model k has ended: leave its parameters where the caller looks for them."""

    def close(self) -> None:
        """Give back threads and memory."""


def train(runs: Sequence[Run], source: Source) -> list[History]:
    """Train models in lockstep, each by its own run, until all have ended.

    Parameters
    ----------
    runs : sequence of Run
        One for each model of the source, all at the same epoch.
    source : Source
        The models.

    Returns
    -------
    list of History
        A model whose loss or θ is no longer finite has the status "diverged" and its parameters of
        before that epoch.
    """
    try:
        for run in runs:
            run.history.status = "running"
            run.call("on_fit_start")
        live = list(range(len(runs)))
        while live := _still_live(runs, live, source):
            _one_epoch(runs, live, source)
    except BaseException:
        for run in runs:
            if run.history.status == "running":
                run.history.status = "interrupted"
        raise
    finally:
        source.close()
        _clean_up(runs)
    return [run.history for run in runs]


def _still_live(runs: Sequence[Run], live: Sequence[int], source: Source) -> list[int]:
    """End the runs that have no further epoch; return the others."""
    for k in live:
        run = runs[k]
        if run.goes_on:
            continue
        if run.history.status == "running":
            run.history.status = "finished"
        if run.history.status != "diverged":
            run.call("on_fit_end")
        source.finish(k)
    return [k for k in live if runs[k].goes_on]


def _clean_up(runs: Sequence[Run]) -> None:
    """Call every clean-up hook, also those after one that raises."""
    failures = []
    for run in runs:
        for callback in run.callbacks:
            try:
                callback.on_fit_exit(run)
            except Exception as error:
                failures.append(error)
    if failures:
        raise failures[0]


def _one_epoch(runs: Sequence[Run], live: Sequence[int], source: Source) -> None:
    for k in live:
        runs[k].epoch += 1
        runs[k].call("on_epoch_start")
    before = {k: runs[k].vector.snapshot() for k in live}
    losses = _Epoch(runs, live, source).steps()
    for k in live:
        if runs[k].history.status == "diverged":
            runs[k].vector.restore(before[k])
    measured = source.evaluate()
    for k in live:
        run = runs[k]
        if run.history.status == "diverged":
            continue
        row = {"epoch": run.epoch, "step": run.step, "seconds": run.seconds}
        row["train_loss"] = float(losses[k])
        row |= {f"val_{name}": value for name, value in measured[k].items()}
        run.call("on_validation", row)
        run.history.append(row)
        run.call("on_epoch_end", row)


class _Epoch:
    """The steps of one epoch: losses added up, checked now and then, and observed."""

    def __init__(self, runs: Sequence[Run], live: Sequence[int], source: Source):
        self.runs, self.source, self.live = runs, source, list(live)
        self.step = runs[live[0]].step
        self.total, self.examples = onp.zeros(len(runs)), onp.zeros(len(runs))
        self.pending: list[tuple[Any, int]] = []
        self.frozen: dict[int, Any] = {}  # θ of those that stopped before the epoch's end
        self.hooks = [
            (k, callback)
            for k in live
            for callback in runs[k].callbacks
            if overrides(callback, "on_step_end")
        ]
        self.arithmetic: dict[str, Any] = {"over": source.overflow, "invalid": "ignore"}
        self.usually = _Usually({"over": "warn", "invalid": "warn"}, self.arithmetic)
        observed = any(runs[k].observations for k in live)
        self.next_look = self.step if observed else float("inf")

    def steps(self) -> onp.ndarray:
        """Take the steps; return the mean loss of every model over its examples."""
        source, started, elsewhere = self.source, perf_counter(), 0.0
        epoch = self.runs[self.live[0]].epoch
        source.begin_epoch(epoch)
        with onp.errstate(**self.arithmetic):
            for rows in source.batches(epoch):
                # NaN is noticed in the loss. An average of g² that overflows is not.
                try:
                    loss = source.gradient(rows)
                except FloatingPointError:
                    self._lost()
                    break
                looks = self.step >= self.next_look
                if looks:
                    left, due = perf_counter(), self._due()
                    self._tell("before", due, loss)
                    elsewhere += perf_counter() - left
                try:
                    source.update()
                except FloatingPointError:
                    self._lost()
                    break
                self.step += 1
                self.pending.append((loss, number_of(rows[0])))
                if len(self.pending) >= SYNCHRONISE_EVERY:
                    self._settle()
                if looks or self.hooks:
                    left = perf_counter()
                    if looks:
                        self._tell("after", due, loss)
                    self._arrive(loss)
                    self._freeze_stopped()
                    elsewhere += perf_counter() - left
                if not self.live:
                    break
            self._settle()
        self._leave(perf_counter() - started - elsewhere)
        return self.total / onp.maximum(self.examples, 1)

    def _lost(self) -> None:
        """A number has overflowed: nobody knows what came of the step."""
        self._settle()
        for k in list(self.live):
            self._diverged(k, self.step + 1)

    def _leave(self, seconds: float) -> None:
        """Write down where the epoch ended."""
        for k in (*self.live, *self.frozen):
            self.runs[k].seconds += seconds / len(self.runs)
        for k in self.live:
            self.runs[k].step = self.step
        for k, snapshot in self.frozen.items():
            self.runs[k].vector.restore(snapshot)

    def _settle(self) -> None:
        """Wait for the pending steps, check that they are finite, and add up their losses."""
        if not self.pending:
            return
        sizes = onp.array([size for _, size in self.pending])
        losses = onp.array([_values(loss) for loss, _ in self.pending])
        first = self.step - len(self.pending)
        self.pending.clear()
        with onp.errstate(all="ignore"):
            self._add_up(losses, sizes, first)

    def _add_up(self, losses: onp.ndarray, sizes: onp.ndarray, first: int) -> None:
        # float32 relu turns NaN into 0, so a finite loss does not prove a finite θ.
        finite = onp.broadcast_to(self.source.finite(), len(self.runs))
        for k in list(self.live):
            mine = losses[:, k % losses.shape[1]]
            for listener in self.runs[k].listeners:
                listener(mine)
            bad = onp.flatnonzero(~onp.isfinite(mine))
            if bad.size or not finite[k]:
                self._diverged(k, first + 1 + int(bad[0]) if bad.size else self.step)
                continue
            self.total[k] += mine @ sizes
            self.examples[k] += sizes.sum()

    def _diverged(self, k: int, step: int) -> None:
        run = self.runs[k]
        run.step, run.history.status = step, "diverged"
        run.history.stopped = f"the loss is not finite in epoch {run.epoch}"
        self.live.remove(k)
        self.pending = self.pending if self.live else []

    def _arrive(self, loss: Any) -> None:
        """Tell the callbacks that a step has been taken, unless it led nowhere."""
        # A float needs no array: this is done after every step that somebody listens to.
        losses = (loss,) if isinstance(loss, float) else _values(loss)
        for k in self.live:
            run = self.runs[k]
            run.step, run.loss = self.step, float(losses[k % len(losses)])
        if not all(map(math.isfinite, losses)):
            self._settle()
        with self.usually:
            for k, callback in self.hooks:
                if k in self.live:
                    callback.on_step_end(self.runs[k])

    def _due(self) -> list[tuple[int, Observation]]:
        """Return who looks at this step, and note when to ask again."""
        due, waits = [], []
        for k in self.live:
            for observation in self.runs[k].observations:
                wait = -self.step % observation.every
                waits.append(wait or observation.every)
                if not wait:
                    due.append((k, observation))
        self.next_look = self.step + min(waits, default=1)
        return due

    def _tell(self, when: str, due: list[tuple[int, Observation]], loss: Any) -> None:
        """Show a step to those who observe it."""
        losses, seen = _values(loss), dict[int, Seen]()
        step = self.step + (when == "before")
        with onp.errstate(all="ignore"):  # a number that overflows is what they look for
            for k, observation in due:
                look = getattr(observation, when)
                if look is None or k not in self.live:
                    continue
                if k not in seen:
                    run = self.runs[k]
                    mine = float(losses[k % len(losses)])
                    seen[k] = Seen(run.epoch, step, mine, *self.source.memory(k))
                look(seen[k])

    def _freeze_stopped(self) -> None:
        for k in list(self.live):
            if self.runs[k].history.status == "stopped":
                self._settle()
                if k in self.live:  # and has not diverged
                    self.frozen[k] = self.runs[k].vector.snapshot()
                    self.live.remove(k)


class _Usually:
    """A block in which NumPy reacts to errors in arithmetic as outside of the loop.

    Before NumPy 2, `numpy.errstate` costs as much as all else that is done for a callback at every
    step: Python code that has left the cache since the step before.
    """

    def __init__(self, usual: dict[str, Any], within: dict[str, Any]):
        self._usual = usual
        get: Any = getattr(onp, "geterrobj", None)
        self._put: Any = getattr(onp, "seterrobj", None)
        self._states = []
        for kinds in (usual, within) if self._put is not None else ():
            with onp.errstate(**kinds):
                # A copy, here and below: errstate writes into the very list that is set.
                self._states.append([*get()])

    def __enter__(self) -> None:
        if self._put is not None:
            self._put([*self._states[0]])
        else:
            self._now = onp.errstate(**self._usual)
            self._now.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self._put is not None:
            self._put([*self._states[1]])
        else:
            self._now.__exit__(*error)


def number_of(rows: Rows) -> int:
    """Return how many examples some rows are; 1 for a loss that has none."""
    if rows is None:
        return 1
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def _values(loss: Any) -> onp.ndarray:
    """Return one loss for all models, or one each, as an array, once it is computed."""
    return onp.asarray(loss.asnumpy() if hasattr(loss, "asnumpy") else loss).reshape(-1)
