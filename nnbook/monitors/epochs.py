"""Monitors that only use what an epoch has anyway: the losses."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as onp

from nnbook.findings import Finding
from nnbook.monitors.base import EpochMonitor, Record
from nnbook.training.run import Run

__all__ = ["Gap", "Gaps", "LossWiggle", "Wiggles"]

_ENDS = 5  # minibatches at the start and at the end of an epoch
# A loss that fell by a twentieth, and in its last two epochs by a seventh of that at most, has
# learnt what there is: noise does not go away.
_FELL, _LEVEL = 0.05, 0.15
# Accuracy whose upper bound is so far from chance to 1 shows that nothing carries over.
_ABOVE_CHANCE = 0.15
# What a validation loss must rise by: in parts of its first value, and of what had been gained.
_RISEN, _LOST_AGAIN = 0.02, 0.1


@dataclass(frozen=True)
class Wiggles(Record):
    """What `LossWiggle` saw in one epoch.

    Attributes
    ----------
    mean, spread : float
        Mean and standard deviation of the minibatch losses.
    wiggle : float
        √(½ mean of squared differences between successive losses): their standard deviation but
        for the trend.
    first, last : float
        The means of the first and of the last five.
    """

    mean: float
    spread: float
    wiggle: float
    first: float
    last: float


class LossWiggle(EpochMonitor):
    """How the minibatch losses go down in an epoch, and how much they scatter.

    Cost: "free".

    Parameters
    ----------
    every : int
        Epochs between two records.
    limit : int
        Most records kept.

    Notes
    -----
    Thresholds of `findings`:

    - error: a loss that is no finite number; a mean in the last epoch above twice the first losses
      of all; every epoch begins as high as the first did, after ending below two thirds of that;
    - warning: a mean in the last epoch above twice the lowest; above 90 % of the first epoch's, in
      three epochs or more, unless it has fallen by 5 % and levelled off (the last two epochs gave
      at most a seventh of the fall): targets with much noise can be learnt no further.

    References
    ----------
    von Neumann, Kent, Bellinson and Hart (1941), The mean square successive difference.
    """

    cost: ClassVar[str] = "free"
    record_type: ClassVar[type[Record]] = Wiggles

    def forget(self) -> None:
        """Drop everything that was seen."""
        super().forget()
        self._infinite_at = 0
        self._new_epoch()

    def _new_epoch(self) -> None:
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=_ENDS)
        self._count, self._sums, self._before = 0, onp.zeros(3), float("nan")

    def on_fit_start(self, run: Run) -> None:
        """Listen to the losses from now on."""
        super().on_fit_start(run)
        run.listen(self._hear)

    def on_epoch_start(self, run: Run) -> None:
        """Begin anew."""
        self._new_epoch()
        self._steps_before = run.step

    def _hear(self, losses: onp.ndarray) -> None:
        if not onp.isfinite(losses).all() and not self._infinite_at:
            bad = int(onp.argmin(onp.isfinite(losses)))
            self._infinite_at = self._steps_before + self._count + bad + 1
        with onp.errstate(all="ignore"):
            steps = onp.diff(losses, prepend=self._before if self._count else losses[0])
            self._sums += losses.sum(), (losses**2).sum(), (steps**2).sum()
        self._count += len(losses)
        self._before = losses[-1]
        self._first += losses[: _ENDS - len(self._first)].tolist()
        self._last.extend(losses)

    def look(self, run: Run, row: dict[str, Any]) -> None:
        """Sum the epoch up."""
        total, squares, steps = self._sums / self._count
        spread = max(squares - total**2, 0.0) ** 0.5
        wiggle = (0.5 * steps * self._count / max(self._count - 1, 1)) ** 0.5
        first, last = float(onp.mean(self._first)), float(onp.mean(self._last))
        self._keep(Wiggles(run.epoch, run.step, float(total), float(spread), wiggle, first, last))

    def findings(self) -> tuple[Finding, ...]:
        """Return what is conspicuous; the thresholds are in the class's notes."""
        if self._infinite_at:
            message = f"the loss is not finite at step {self._infinite_at}"
            advice = "a smaller rate; look at the inputs, and for ln 0 or 0/0 in the loss"
            return (self._find("error", message, advice),)
        if not self._records:
            return ()
        mean, first, last = self["mean"], self["first"], self["last"]
        found = []
        if mean[-1] > 2 * first[0]:
            message = f"the training loss has risen from {first[0]:.3g} to {mean[-1]:.3g}"
            advice = "a smaller rate; check the gradient and the sign of the step"
            found.append(self._find("error", message, advice))
        elif mean[-1] > 2 * mean.min():
            message = f"the training loss has risen from {mean.min():.3g} to {mean[-1]:.3g}"
            found.append(self._find("warning", message, "a smaller rate, or let it decay"))
        elif len(mean) >= 3 and mean[-1] > 0.9 * mean[0] and not _levelled(mean):
            message = f"the training loss has hardly fallen: {mean[0]:.3g}, then {mean[-1]:.3g}"
            advice = "see whether 20 examples can be learnt by heart; try other rates"
            found.append(self._find("warning", message, advice))
        again = len(mean) >= 3 and (first[1:] > 0.8 * first[0]).all()
        if again and (last[:-1] < 0.67 * first[1:]).all():
            message = f"every epoch begins again at {first[1:].mean():.3g}, whatever was learnt"
            advice = "what puts θ back, or in what order do the examples come?"
            found.append(self._find("error", message, advice))
        return tuple(found)


def _levelled(mean: onp.ndarray) -> bool:
    """Tell whether a loss fell, and then stayed where it was."""
    fall = mean[0] - mean[-1]
    return bool(len(mean) >= 4 and fall > _FELL * mean[0] and mean[-3] - mean[-1] < _LEVEL * fall)


@dataclass(frozen=True)
class Gaps(Record):
    """What `Gap` saw after one epoch.

    Attributes
    ----------
    train, validation : float
        The training loss (the mean over the epoch's minibatches, each before its step) and the
        validation loss.
    accuracy : float
        Of the validation examples; NaN where there are no classes.
    """

    train: float
    validation: float
    accuracy: float


class Gap(EpochMonitor):
    """The gap between the training and the validation loss.

    Cost: "free". It needs the validation data that `fit` was given.

    Parameters
    ----------
    every : int
        Epochs between two records.
    limit : int
        Most records kept.

    Notes
    -----
    Thresholds of `findings`:

    - error: accuracy below half of what chance gives while the training loss has fallen, and by
      more than two standard errors; a validation loss typically (in the median) above 100 times
      the training loss, in the first three epochs;
    - warning: the same above twice the training loss; at the end above five times, with more than
      half of what the training loss fell by not to be seen in validation; a validation loss that
      ends 2 % above its first value while the training loss falls or, smoothed over three of eight
      epochs or more, that loses a tenth of what had been gained; accuracy whose upper bound (two
      standard errors) is less than 15 % of the way from chance to 1 while the training loss has
      fallen by 5 %; a run that was stopped at its best epoch;
    - note: a validation loss below half the training loss, as dropout and penalties bring about;
      no validation data.
    """

    cost: ClassVar[str] = "free"
    record_type: ClassVar[type[Record]] = Gaps

    def forget(self) -> None:
        """Drop everything that was seen."""
        super().forget()
        self.chance, self._stopped, self._epochs = float("nan"), "", 0
        self._examples = 0  # of validation

    def on_fit_start(self, run: Run) -> None:
        """Count the classes."""
        super().on_fit_start(run)
        examples = run.examples
        if examples.classifies:
            self.chance = 1 / len(onp.unique(examples.labels()))
        self._examples = 0 if run.held_out is None else len(run.held_out)

    def look(self, run: Run, row: dict[str, Any]) -> None:
        """Take the epoch's row."""
        self._stopped, self._epochs = run.history.stopped, run.epoch
        if "val_loss" in row:
            accuracy = row.get("val_accuracy", float("nan"))
            self._keep(Gaps(run.epoch, run.step, row["train_loss"], row["val_loss"], accuracy))

    def on_fit_end(self, run: Run) -> None:
        """See whether the run was stopped."""
        self._stopped = run.history.stopped

    def findings(self) -> tuple[Finding, ...]:
        """Return what is conspicuous; the thresholds are in the class's notes."""
        if not self._records:
            advice = "give fit validation=(x, y): overfitting cannot be seen without"
            seen = (self._find("note", "there is no validation loss", advice),)
            return seen if self._epochs else ()
        train, validation = self["train"], self["validation"]
        found = [*self._of_the_start(train, validation), *self._of_accuracy(train)]
        found += self._of_the_end(train, validation)
        if self._stopped and len(validation) >= 2 and validation.argmin() == len(validation) - 1:
            message = "training was stopped although the last validation loss is the lowest"
            advice = f"look at why it stopped: {self._stopped}"
            found.append(self._find("warning", message, advice))
        return tuple(found)

    def _of_the_start(self, train: onp.ndarray, validation: onp.ndarray) -> list[Finding]:
        if not (train[:3] > 0).all():  # of what may be negative, no ratio says anything
            return []
        with onp.errstate(all="ignore"):
            ratio = float(onp.median(validation[:3] / train[:3]))
        if not ratio > 2:
            return []
        message = f"the validation loss is {ratio:.2g} times the training loss from the start"
        advice = "are the two prepared and labelled alike? Does a layer differ in use?"
        return [self._find("error" if ratio > 100 else "warning", message, advice)]

    def _of_accuracy(self, train: onp.ndarray) -> list[Finding]:
        accuracy, chance = self._records[-1].accuracy, self.chance
        learned = train[-1] < 0.95 * train[0]
        error = (chance * (1 - chance) / max(self._examples, 1)) ** 0.5
        if not (learned and accuracy + 2 * error < chance + _ABOVE_CHANCE * (1 - chance)):
            return []
        message = f"accuracy is {accuracy:.1%}, chance {self.chance:.1%}, and the training loss"
        advice = "compare the labels of the two sets, and the sign of the loss"
        severity = "error" if accuracy < min(0.5 * chance, chance - 2 * error) else "warning"
        return [self._find(severity, f"{message} falls", advice)]

    def _of_the_end(self, train: onp.ndarray, validation: onp.ndarray) -> list[Finding]:
        found = []
        smooth = onp.convolve(validation, onp.ones(3) / 3, "valid") if len(train) >= 8 else [1.0]
        start, fell = validation[0], train[0] - train[-1]
        rising = train[-1] < train[0] and validation[-1] - start > _RISEN * abs(start)
        lost = smooth[-1] - min(smooth)
        if rising or lost > max(_LOST_AGAIN * (start - min(smooth)), _RISEN * abs(start)):
            best = self._records[int(validation.argmin())].epoch
            message = f"the validation loss has risen since epoch {best}"
            advice = "stop early, regularise, or find more data; look for wrong labels"
            found.append(self._find("warning", message, advice))
        elif 0 <= 5 * train[-1] < validation[-1] and train[0] - validation[-1] < 0.5 * fell:
            times = f"{validation[-1] / train[-1]:.2g} times" if train[-1] else "above 0, which is"
            message = f"the validation loss is {times} the training loss"
            advice = "regularise, or find more data; see that the two are prepared alike"
            found.append(self._find("warning", message, advice))
        elif len(train) >= 3 and train[-1] > 0 and validation[-1] < 0.5 * train[-1]:
            message = f"the validation loss is {validation[-1] / train[-1]:.2g} of the training"
            advice = "natural with dropout; else see that no example is in both sets"
            found.append(self._find("note", f"{message} loss", advice))
        return found
