"""A schedule that starts over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_whole
from nnbook.schedules.base import Schedule
from nnbook.schedules.decay import cosine

__all__ = ["cosine_restarts"]


@dataclass(frozen=True)
class cosine_restarts(Schedule):
    """Follow half a cosine down again and again: η(t) = η₁ + ½(η₀ − η₁)(1 + cos(π s/Tᵢ)).

    s counts the steps since the last restart, from 0 to Tᵢ − 1; the i-th cycle, counted from 0, has
    Tᵢ = cycle · growthⁱ steps. At a restart the rate jumps back to η₀.

    Parameters
    ----------
    initial : float
        η₀ > 0.
    cycle : int
        Steps of the first cycle, at least 1.
    final : float
        η₁, from 0 to η₀, to which each cycle falls.
    growth : int
        How many times as long as the one before each cycle is, at least 1.

    Raises
    ------
    ValueError, TypeError
        `initial` is not positive, `cycle` or `growth` is below 1, or `final` is negative or above
        `initial`.

    References
    ----------
    Loshchilov and Hutter (2017), SGDR: stochastic gradient descent with warm restarts; Huang et al.
    (2017), Snapshot ensembles: train 1, get M for free.

    Examples
    --------
    >>> from nnbook import schedules
    >>> rate = schedules.cosine_restarts(0.1, cycle=100, growth=2)
    >>> rate(0), round(rate(50), 3), rate(100), round(rate(200), 3), rate(300)
    (0.1, 0.05, 0.1, 0.05, 0.1)
    """

    initial: float
    cycle: int
    final: float = 0.0
    growth: int = 1

    def __post_init__(self) -> None:
        check_whole(self.cycle, "cycle")
        check_whole(self.growth, "growth")
        cosine(self.initial, self.cycle, self.final)  # checks what is left: the ends of the fall

    def _rates(self, steps):
        return cosine(self.initial, 1, self.final)._rates(self._share(steps))

    def _share(self, steps: onp.ndarray) -> Any:
        """Return how much of its cycle is over at each step, in [0, 1)."""
        if self.growth == 1:
            return steps % self.cycle / self.cycle
        # Whole numbers: a logarithm would miss some of the restarts by rounding.
        starts, length = [0], self.cycle
        while starts[-1] + length <= steps.max(initial=0):
            starts.append(starts[-1] + length)
            length *= self.growth
        which = onp.searchsorted(starts, steps, side="right") - 1
        return (steps - onp.array(starts)[which]) / (self.cycle * self.growth**which)
