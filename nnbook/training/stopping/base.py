"""What a stopping rule is, and what it says of a curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arrays import as_numpy

__all__ = ["Curve", "Rule", "Stopped"]

Curve = Any  # a sequence of numbers, one an epoch


@dataclass(frozen=True)
class Stopped:
    """Where a rule ends training, and what it keeps.

    Attributes
    ----------
    stopped_at : int or None
        The epoch in which training ends, counted from 1; None if the curve ends first.
    best_at : int
        The epoch whose parameters are kept: the first of the best so far.
    kept : float
        The value of the curve there.
    seen : int
        How many epochs were trained: `stopped_at`, or the length of the curve.
    """

    stopped_at: int | None
    best_at: int
    kept: float
    seen: int

    def value_of(self, curve: Curve) -> float:
        """Return the value of another curve at the epoch that is kept.

        Parameters
        ----------
        curve : sequence of float
            Such as the accuracy, where the rule has looked at the cost.

        Raises
        ------
        ValueError
            The curve ends before that epoch.
        """
        values = _values(curve, "curve")
        if len(values) < self.best_at:
            raise ValueError(
                f"the curve has {len(values)} epochs, but epoch {self.best_at} is kept; expected "
                "another curve of the same run"
            )
        return float(values[self.best_at - 1])


class Rule:
    """What the rules share: they are called on a curve, and change nothing.

    A rule of your own derives from this and says where it stops, by ``_stop(values, training)``:
    the number of the epoch, or None. What it says of the beginning of a curve must not change when
    the curve goes on.
    """

    smaller_is_better: bool = True
    needs_training: bool = False

    def __call__(self, curve: Curve, training: Curve | None = None) -> Stopped:
        """Say where training ends.

        Parameters
        ----------
        curve : sequence of float
            The quantity watched, one value an epoch: a validation loss, error or accuracy.
        training : sequence of float, optional
            The training loss of the same epochs, for a rule that looks at it.

        Returns
        -------
        Stopped

        Raises
        ------
        ValueError, TypeError
            An empty curve, a value that is not finite, or no training curve where one is needed.
        """
        values = _values(curve, "curve")
        losses = None
        if self.needs_training:
            if training is None:
                raise TypeError(
                    f"{type(self).__name__} looks at the progress of training; expected "
                    "rule(curve, training) with the training loss of the same epochs"
                )
            losses = _values(training, "training")
            if len(losses) < len(values):
                raise ValueError(
                    f"training has {len(losses)} epochs, the curve {len(values)}; expected as many"
                )
        # Every rule is written for something that should fall.
        signed = values if self.smaller_is_better else -values
        stopped_at = self._stop(signed, losses)
        seen = len(values) if stopped_at is None else stopped_at
        best = self._best(signed[:seen])
        return Stopped(stopped_at, best + 1, float(values[best]), seen)

    def _stop(self, values: onp.ndarray, training: onp.ndarray | None) -> int | None:
        """Return the epoch in which training ends, or None."""
        raise NotImplementedError

    def _best(self, values: onp.ndarray) -> int:
        """Return the index of the epoch that is kept."""
        return int(values.argmin())


def _values(curve: Curve, name: str) -> onp.ndarray:
    """Return a curve as float64, shape (epochs,)."""
    if not isinstance(curve, (Sequence, onp.ndarray)) and not hasattr(curve, "shape"):
        raise TypeError(f"{name} is {curve!r}; expected one number an epoch")
    values = as_numpy(curve, name).astype("float64")
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name} has shape {values.shape}; expected one number an epoch, (n,)")
    if not onp.isfinite(values).all():
        bad = int(onp.flatnonzero(~onp.isfinite(values))[0])
        raise ValueError(f"{name} is {values[bad]} at epoch {bad + 1}; expected finite numbers")
    return values
