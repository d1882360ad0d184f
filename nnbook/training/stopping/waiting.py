"""Rules that wait for a new best: a number of epochs, or a patience that grows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as onp

from nnbook._arguments import check_flag, check_number, check_whole
from nnbook.training.stopping.base import Rule

__all__ = ["growing_patience", "patience"]


@dataclass(frozen=True)
class patience(Rule):
    """Stop when there has been no new best for some epochs.

    Parameters
    ----------
    epochs : int
        Epochs without a new best that end training: ten is a common choice.
    smallest_improvement : float
        How much better than the best counts as a new best.
    smaller_is_better : bool
        False for an accuracy.
    ties_count : bool
        Whether an epoch as good as the best, and not better, is one without an improvement. If not,
        training ends only where *all* of the last `epochs` values are worse than the best.

    Raises
    ------
    ValueError, TypeError
        A number that is out of its range, or none.

    References
    ----------
    Nielsen (2015), Neural networks and deep learning, chapter 3: no improvement in ten epochs.

    Examples
    --------
    >>> from nnbook.training import stopping
    >>> stopping.patience(2, smaller_is_better=False)([0.5, 0.7, 0.7, 0.7, 0.9]).stopped_at
    4
    """

    epochs: int = 10
    smallest_improvement: float = 0.0
    smaller_is_better: bool = True
    ties_count: bool = True

    def __post_init__(self) -> None:
        check_whole(self.epochs, "epochs")
        check_number(self.smallest_improvement, "smallest_improvement", least=0)
        check_flag(self.smaller_is_better, "smaller_is_better")
        check_flag(self.ties_count, "ties_count")

    def _bests(self, values: onp.ndarray) -> list[int]:
        """Return for each epoch the index of the best until then."""
        found, best = [], 0
        for epoch, value in enumerate(values):
            if values[best] - value > self.smallest_improvement:
                best = epoch
            found.append(best)
        return found

    def _stop(self, values: onp.ndarray, training: onp.ndarray | None) -> int | None:
        waited = 0
        for epoch, best in enumerate(self._bests(values)):
            better = best == epoch or (not self.ties_count and values[epoch] <= values[best])
            waited = 0 if better else waited + 1
            if waited >= self.epochs:
                return epoch + 1
        return None

    def _best(self, values: onp.ndarray) -> int:
        return self._bests(values)[-1]


@dataclass(frozen=True)
class growing_patience(Rule):
    """Stop when the patience has run out that every clear improvement stretches.

    Patience counts *minibatches*. It begins with `iterations`; where a value is below `threshold`
    times the best, it becomes at least `increase` times the minibatches so far. It is looked at
    after every minibatch, so training may end within an epoch, whose value is then not measured.

    Parameters
    ----------
    steps_per_epoch : int
        Minibatches in an epoch.
    iterations : int
        The first patience, in minibatches: at least one epoch of them.
    increase : float
        At least 1; 2 is usual.
    threshold : float
        In (0, 1]; .995 asks for half a percent. It is relative to the best, so the curve must be
        positive and should fall: an error, not an accuracy.

    Raises
    ------
    ValueError, TypeError
        A number that is out of its range, or none; on a curve, a value that is negative.

    References
    ----------
    LISA lab, Deep learning tutorials (2015), whose comment says that patience counts examples.

    Examples
    --------
    >>> from nnbook.training import stopping
    >>> rule = stopping.growing_patience(steps_per_epoch=100, iterations=300)
    >>> rule([0.5, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3]).stopped_at
    6
    """

    steps_per_epoch: int
    iterations: int = 5000
    increase: float = 2.0
    threshold: float = 0.995

    def __post_init__(self) -> None:
        # With less patience than one epoch takes, training ends before anything is measured.
        check_whole(self.steps_per_epoch, "steps_per_epoch")
        check_whole(self.iterations, "iterations", least=self.steps_per_epoch)
        check_number(self.increase, "increase", least=1)
        check_number(self.threshold, "threshold", above=0, most=1)

    def _stop(self, values: onp.ndarray, training: onp.ndarray | None) -> int | None:
        return self._walk(values)[0]

    def _best(self, values: onp.ndarray) -> int:
        return self._walk(values)[1]

    def _walk(self, values: onp.ndarray) -> tuple[int | None, int]:
        """Return the epoch in which training ends, or None, and the index of the best measured."""
        if (values < 0).any():
            raise ValueError(
                f"the curve has the value {values[values < 0][0]:g}; expected none below 0, since "
                "an improvement is a share of the best: watch an error or a loss"
            )
        best, allowed = 0, float(self.iterations)
        for epoch, value in enumerate(values):
            last = (epoch + 1) * self.steps_per_epoch - 1  # minibatches count from 0
            if last - 1 >= allowed:  # it ends before the last minibatch: nothing is measured
                return epoch + 1, best
            if epoch == 0 or value < values[best] * self.threshold:
                allowed = max(allowed, last * self.increase)
            best = epoch if value < values[best] else best
            if last >= allowed:
                return epoch + 1, best
        return None, best
