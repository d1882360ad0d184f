"""A rate that answers to the validation set."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as onp

from nnbook._arguments import check_number, check_positive, check_whole

__all__ = ["PlateauState", "on_plateau"]


class PlateauState(NamedTuple):
    """What `on_plateau` remembers between two validations.

    Attributes
    ----------
    rate : float
        The present rate.
    best : float
        The best value so far.
    bad : int
        Validations since then, or since the last cut.
    """

    rate: float
    best: float
    bad: int


@dataclass(frozen=True)
class on_plateau:
    """Cut the rate when a validation value has stopped improving.

    The rate depends on what was measured, not on the step alone, so this is not a `Schedule` but,
    like an update rule, a pair of pure functions: ``state = rule.init()`` and, after each
    validation, ``state = rule.update(state, value)``; ``state.rate`` is the rate to use.

    Parameters
    ----------
    initial : float
        The first rate, > 0.
    factor : float
        What the rate is multiplied by, in (0, 1).
    patience : int
        Validations without an improvement that bring a cut, at least 1.
    smallest_change : float
        An improvement is a value below the best by more than this, ≥ 0.
    minimum : float
        The rate does not fall below this, ≥ 0.
    smaller_is_better : bool
        True for a loss, False for an accuracy.

    Raises
    ------
    ValueError, TypeError
        A value outside its range.

    Notes
    -----
    A value that is NaN is no improvement.

    Examples
    --------
    >>> from nnbook import schedules
    >>> schedules.on_plateau(0.1, factor=0.5, patience=2).rates([3.0, 2.0, 2.5, 2.1, 1.9])
    array([0.1 , 0.1 , 0.1 , 0.05, 0.05])
    """

    initial: float
    factor: float = 0.1
    patience: int = 10
    smallest_change: float = 0.0
    minimum: float = 0.0
    smaller_is_better: bool = True

    def __post_init__(self) -> None:
        check_positive(self.initial, "initial")
        check_number(self.factor, "factor", above=0, below=1)
        check_whole(self.patience, "patience")
        check_number(self.smallest_change, "smallest_change", least=0)
        check_number(self.minimum, "minimum", least=0)
        if self.minimum > self.initial:
            raise ValueError(
                f"minimum is {self.minimum!r}, above the initial rate {self.initial!r}"
            )

    def init(self) -> PlateauState:
        """Return the state before the first validation."""
        return PlateauState(self.initial, math.inf if self.smaller_is_better else -math.inf, 0)

    def update(self, state: PlateauState, value: float) -> PlateauState:
        """Take one validation value into account.

        Parameters
        ----------
        state : PlateauState
            From `init` or the previous `update`; it is not changed.
        value : float
            The loss or accuracy just measured.

        Returns
        -------
        PlateauState
            With the rate to use until the next validation.
        """
        gain = state.best - value if self.smaller_is_better else value - state.best
        if gain > self.smallest_change:
            return PlateauState(state.rate, value, 0)
        if state.bad + 1 < self.patience:
            return PlateauState(state.rate, state.best, state.bad + 1)
        return PlateauState(max(state.rate * self.factor, self.minimum), state.best, 0)

    def rates(self, values: Iterable[float]) -> onp.ndarray:
        """Return the rate after each value of a validation history, shape (n,)."""
        state, rates = self.init(), []
        for value in values:
            state = self.update(state, value)
            rates.append(state.rate)
        return onp.array(rates)
