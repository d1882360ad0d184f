"""Monitors of single steps: how far θ moves, and the size of the gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as onp

from nnbook.findings import Finding
from nnbook.monitors.base import Record, StepMonitor, listed, norm
from nnbook.training.run import Run, Seen

__all__ = ["GRADIENT_EDGES", "Gradients", "Sizes", "Updates"]
__all__ += ["GradientHistogram", "GradientNorm", "UpdateRatio"]

#: Edges of the bins of `GradientHistogram`, in units of |∂L/∂θ|: four to a power of ten.
GRADIENT_EDGES = onp.logspace(-12, 4, 65)
# Entries of a parameter that go into a histogram; norms are of all of them.
_SAMPLE = 2048

_TOO_LARGE, _TOO_SMALL = 0.1, 1e-4
_LOST, _MOVED, _SHRUNK = 0.1, 0.5, 0.1
_LEARNED = 0.5
_GROWN, _EXPLODED, _WORSE = 30.0, 1e4, 2.0
_VANISHED = 1e-3


@dataclass(frozen=True)
class Updates(Record):
    """What `UpdateRatio` saw of one step.

    Attributes
    ----------
    loss : float
        The minibatch's loss before the step.
    weights, updates, ratio : numpy.ndarray, shape (parameters,)
        ‖w‖ before the step, ‖Δw‖, and the second over the first: 0 where nothing moved, infinite
        where the weights were 0.
    lost : numpy.ndarray, shape (parameters,)
        Share of the entries that did not move although their gradient is not 0.
    """

    loss: float
    weights: onp.ndarray
    updates: onp.ndarray
    ratio: onp.ndarray
    lost: onp.ndarray


class UpdateRatio(StepMonitor):
    """How far each parameter moves in a step, relative to its size: ‖Δw‖ / ‖w‖.

    Cost: "cheap"; a copy of θ and a difference at the steps it looks at.

    Parameters
    ----------
    every : int
        Steps between two looks.
    limit : int
        Most records kept.

    Attributes
    ----------
    names : tuple of str
        The parameters, by their place in the network.
    matrices : tuple of str
        Those with two axes or more. Only they are judged by their ratio: biases start at 0.
    frozen : tuple of str
        Parameters that could be trained, but whose ``grad_req`` is "null".

    Notes
    -----
    The rule of thumb is 1e-3. With momentum, and in small networks, good runs have been seen
    between 1e-3 and 5e-2, so these are the thresholds of `findings`; "late" is the median over the
    second half of the records.

    - error: a parameter never moved; a typical (median) ratio above 1;
    - warning: late ratio above 0.1; every late ratio below 1e-4 while the loss has not halved;
      more than a tenth of the entries lose their step to rounding, late; half of a matrix never
      moved; a matrix shrank to a tenth; a parameter is frozen.

    References
    ----------
    Karpathy et al., CS231n, Neural networks part 3: ratio of weights and updates.
    """

    of_run = ("_buffer", "_flags", "_weights")
    cost: ClassVar[str] = "cheap"
    record_type: ClassVar[type[Record]] = Updates

    def __init__(self, every: int = 25, limit: int = 512):
        super().__init__(every, limit)

    def forget(self) -> None:
        """Drop everything that was seen."""
        super().forget()
        self.frozen: tuple[str, ...] = ()
        self.matrices: tuple[str, ...] = ()
        self._unmoved = onp.ones(0, dtype=bool)
        self._parts: list[slice] = []

    def on_fit_start(self, run: Run) -> None:
        """Learn the parameters' names and places."""
        super().on_fit_start(run)
        vector = run.vector
        self.names, self._parts = tuple(vector.slices), list(vector.slices.values())
        self.matrices = tuple(n for n, shape in vector.shapes.items() if len(shape) >= 2)
        # Running statistics are not trained either, but nobody could.
        self.frozen = tuple(n for n, p in vector.fixed.items() if p._differentiable)
        # Arrays of this size are slow to get and to give back, so they are kept.
        self._buffer = onp.empty(len(vector), dtype=vector.theta.dtype)
        self._flags = onp.empty((2, len(vector)), dtype=bool)
        self._unmoved = onp.ones(len(vector), dtype=bool)

    def before_step(self, seen: Seen) -> None:
        """Copy θ, and measure it."""
        onp.copyto(self._buffer, seen.theta)
        self._weights = onp.array([norm(seen.theta[part]) for part in self._parts])

    def after_step(self, seen: Seen) -> None:
        """Compare θ with the copy."""
        parts, change, weights = self._parts, self._buffer, self._weights
        onp.subtract(seen.theta, change, out=change)
        still, lost = self._flags
        onp.equal(change, 0, out=still)
        self._unmoved &= still
        onp.logical_and(onp.not_equal(seen.grad, 0, out=lost), still, out=lost)
        updates = onp.array([norm(change[part]) for part in parts])
        ratio = onp.where(updates == 0, 0.0, updates / weights)
        shares = onp.array([onp.count_nonzero(lost[p]) / (p.stop - p.start) for p in parts])
        self._keep(Updates(seen.epoch, seen.step, seen.loss, weights, updates, ratio, shares))

    def findings(self) -> tuple[Finding, ...]:
        """Return what is conspicuous; the thresholds are in the class's notes."""
        found = []
        if self.frozen:
            message = f"{listed(self.frozen)} cannot move: grad_req is 'null'"
            found.append(self._find("warning", message, "set grad_req to 'write', or leave it out"))
        if len(self) >= 2:
            found += self._of_still()
            found += self._of_ratios()
            found += self._of_rounding()
        return tuple(found)

    def _of_still(self) -> list[Finding]:
        still = (self["updates"] == 0).all(axis=0)
        never = [name for name, none in zip(self.names, still, strict=True) if none]
        found = []
        if never:
            message = f"{listed(never)} never moved in {len(self)} steps"
            advice = "look for what stops its gradient: a unit that is dead, NumPy in a layer"
            found.append(self._find("error", message, advice))
        for name, part in zip(self.names, self._parts, strict=True):
            share = 1 - float(onp.mean(self._unmoved[part]))
            if name in self.matrices and name not in never and share < _MOVED:
                message = f"only {share:.0%} of {name} ever moved"
                advice = "see which inputs are always 0, which units dead, which outputs unused"
                found.append(self._find("warning", message, advice))
        return found

    def _of_ratios(self) -> list[Finding]:
        columns = [i for i, name in enumerate(self.names) if name in self.matrices]
        if not columns:
            return []
        names = [self.names[i] for i in columns]
        ratio, weights = self["ratio"][:, columns], self["weights"][:, columns]
        typical, late = onp.median(ratio, axis=0), onp.median(ratio[len(ratio) // 2 :], axis=0)
        found = []
        worst = int(onp.argmax(typical))
        if typical[worst] > 1:
            message = f"a step is {typical[worst]:.2g} times as long as {names[worst]} itself"
            found.append(self._find("error", message, "divide the learning rate by 100"))
        elif late.max() > _TOO_LARGE:
            message = f"a step changes {names[int(late.argmax())]} by {late.max():.0%}"
            advice = "the learning rate is too high; 0.1 % is the rule of thumb"
            found.append(self._find("warning", message, advice))
        if late.max() < _TOO_SMALL and not self._learned():
            message = f"steps are at most {late.max():.1g} of the weights, and the loss is high"
            advice = "raise the learning rate; look at its schedule and at clipping"
            found.append(self._find("warning", message, advice))
        with onp.errstate(all="ignore"):
            kept = weights[-1] / weights[0]
        if (kept < _SHRUNK).any():
            message = f"{names[int(onp.nanargmin(kept))]} has shrunk to {onp.nanmin(kept):.1g}"
            found.append(self._find("warning", message, "the penalty is stronger than the data"))
        return found

    def _learned(self) -> bool:
        loss = self["loss"]
        return bool(onp.median(loss[len(loss) // 2 :]) < _LEARNED * loss[0])

    def _of_rounding(self) -> list[Finding]:
        lost = self["lost"][len(self) // 2 :].mean(axis=0)
        if not lost.max() > _LOST:
            return []
        message = f"{lost.max():.0%} of the entries of {self.names[int(lost.argmax())]} stand still"
        advice = "their steps are lost to rounding: keep the weights in float32 or float64"
        return [self._find("warning", f"{message} in spite of a gradient", advice)]

    def state(self) -> dict[str, Any]:
        """Return the records, and which entries have not moved yet."""
        return {**super().state(), "unmoved": self._unmoved}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        super().load_state(state)
        self._unmoved = onp.array(state["unmoved"])


@dataclass(frozen=True)
class Sizes(Record):
    """What `GradientNorm` saw of one step.

    Attributes
    ----------
    loss, gradient, theta : float
        The minibatch's loss before the step; ‖∇L‖, with the penalty's gradient; ‖θ‖ after it.
    """

    loss: float
    gradient: float
    theta: float


class GradientNorm(StepMonitor):
    """The length of the gradient, ‖∇L‖, and of θ.

    Cost: "cheap"; two norms at the steps it looks at.

    Parameters
    ----------
    every : int
        Steps between two looks.
    limit : int
        Most records kept.

    Notes
    -----
    Thresholds of `findings`:

    - error: a loss, gradient or θ that is no finite number; a gradient of exactly 0 at the first
      step; one that grew to 10,000 times its first length;
    - warning: a gradient that grew to 30 times while the loss was above twice its first value;
      one that became exactly 0. Growth alone says little: where the outputs hardly depend on θ at
      first, as in recurrent networks, the gradient grows as they learn.
    """

    cost: ClassVar[str] = "cheap"
    record_type: ClassVar[type[Record]] = Sizes

    def __init__(self, every: int = 25, limit: int = 512):
        super().__init__(every, limit)

    def after_step(self, seen: Seen) -> None:
        """Measure."""
        self._keep(Sizes(seen.epoch, seen.step, seen.loss, norm(seen.grad), norm(seen.theta)))

    def findings(self) -> tuple[Finding, ...]:
        """Return what is conspicuous; the thresholds are in the class's notes."""
        for record in self._records:
            for what in ("loss", "gradient", "theta"):
                if not onp.isfinite(getattr(record, what)):
                    message = f"{what} is {getattr(record, what)} at step {record.step}"
                    advice = "a smaller rate; look at the inputs, and for ln 0 or 0/0 in the loss"
                    return (self._find("error", message, advice),)
        length = self["gradient"]
        if not len(length):
            return ()
        if length[0] == 0:
            advice = "the loss does not depend on θ: look for a cut between them"
            return (self._find("error", "the gradient is exactly 0 at the first step", advice),)
        found = []
        growth = length.max() / length[0]
        worse = self["loss"][length > _GROWN * length[0]] > _WORSE * abs(self["loss"][0])
        if growth > _EXPLODED or worse.any():
            severity = "error" if growth > _EXPLODED else "warning"
            message = f"the gradient has grown to {growth:.2g} times its first length"
            found.append(self._find(severity, message, "a smaller rate; check the gradient"))
        if (length == 0).any():
            message = f"the gradient is exactly 0 at step {self._records[length.argmin()].step}"
            found.append(self._find("warning", message, "nothing is left to learn, or all is dead"))
        return tuple(found)


@dataclass(frozen=True)
class Gradients(Record):
    """What `GradientHistogram` saw of one step.

    Attributes
    ----------
    counts : numpy.ndarray of int, shape (weights, 64)
        How many of the entries fall between two of `GRADIENT_EDGES`; those beyond count in the
        outermost bins, and zeros not at all.
    rms : numpy.ndarray, shape (weights,)
        The root of the mean square of all the entries.
    zeros : numpy.ndarray, shape (weights,)
        Share of the entries that are exactly 0.
    """

    counts: onp.ndarray
    rms: onp.ndarray
    zeros: onp.ndarray


class GradientHistogram(StepMonitor):
    """The distribution of the gradient's size, entry by entry, in each weight matrix.

    Cost: "cheap"; logarithms of at most 2,048 entries of each matrix, always the same, at the steps
    it looks at.

    Parameters
    ----------
    every : int
        Steps between two looks.
    limit : int
        Most records kept.

    Attributes
    ----------
    names : tuple of str
        The parameters with two axes or more, by their place in the network.

    Notes
    -----
    Thresholds of `findings`, on the root mean square relative to the matrix with the largest:

    - error: a gradient that is no finite number; one that is exactly 0 every time;
    - warning: typically (in the median) below a thousandth.
    """

    cost: ClassVar[str] = "cheap"
    record_type: ClassVar[type[Record]] = Gradients

    def __init__(self, every: int = 50, limit: int = 512):
        super().__init__(every, limit)

    def on_fit_start(self, run: Run) -> None:
        """Draw the entries that are looked at."""
        super().on_fit_start(run)
        shapes = run.vector.shapes
        self.names = tuple(n for n, shape in shapes.items() if len(shape) >= 2) or tuple(shapes)
        rng = onp.random.default_rng(0)
        self._parts = []
        for part in (run.vector.slices[name] for name in self.names):
            size = part.stop - part.start
            rows = onp.arange(size)
            if size > _SAMPLE:
                rows = onp.sort(rng.choice(size, _SAMPLE, replace=False))
            self._parts.append((part, part.start + rows))

    def after_step(self, seen: Seen) -> None:
        """Count."""
        slope = seen.grad
        bins = len(GRADIENT_EDGES) - 1
        counts, rms, zeros = [], [], []
        for part, rows in self._parts:
            size = onp.abs(slope.take(rows))
            place = 4 * (onp.log10(size[(size > 0) & onp.isfinite(size)]) + 12)
            place = onp.clip(place, 0, bins - 1).astype(int)
            counts.append(onp.bincount(place, minlength=bins))
            rms.append(norm(slope[part]) / (part.stop - part.start) ** 0.5)
            zeros.append(onp.mean(size == 0))
        columns = (onp.array(values) for values in (counts, rms, zeros))
        self._keep(Gradients(seen.epoch, seen.step, *columns))

    def findings(self) -> tuple[Finding, ...]:
        """Return what is conspicuous; the thresholds are in the class's notes."""
        rms = self["rms"]
        found: list[Finding] = []
        if not len(rms):
            return ()
        if not onp.isfinite(rms).all():
            record = self._records[int(onp.argmax(~onp.isfinite(rms).all(axis=1)))]
            message = f"a gradient is not finite at step {record.step}"
            return (self._find("error", message, "a smaller rate; look at the loss"),)
        with onp.errstate(all="ignore"):
            relative = onp.median(rms / rms.max(axis=1, keepdims=True), axis=0)
        none = (rms == 0).all(axis=0) if len(rms) >= 2 else onp.zeros(len(self.names), bool)
        for name, share, zero in zip(self.names, relative, none, strict=True):
            if zero:
                message, advice = f"the gradient of {name} is exactly 0", "look for what cuts it"
                found.append(self._find("error", message, advice))
            elif share < _VANISHED:
                message = f"the gradient of {name} is {share:.1g} of the largest"
                advice = "other initial weights or activations; normalisation; fewer layers"
                found.append(self._find("warning", message, advice))
        return tuple(found)
