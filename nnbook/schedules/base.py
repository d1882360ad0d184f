"""What a schedule is, and the checks of its numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as onp

__all__ = ["Schedule"]


def check_positive(name: str, value: float, *, zero: bool = False) -> None:
    """Refuse what is not a finite number above zero (or at zero, where that is allowed)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, onp.number)):
        raise TypeError(f"{name} is {value!r}; expected a number")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        bound = ">= 0" if zero else "> 0"
        raise ValueError(f"{name} is {value!r}; expected a finite number {bound}")


def check_count(name: str, value: int) -> None:
    """Refuse what is not a whole number of at least one."""
    if isinstance(value, bool) or not isinstance(value, (int, onp.integer)):
        raise TypeError(f"{name} is {value!r}; expected a whole number of steps")
    if value < 1:
        raise ValueError(f"{name} is {value}; expected at least 1")


def check_fraction(name: str, value: float) -> None:
    """Refuse what does not lie in (0, 1]."""
    check_positive(name, value)
    if value > 1:
        raise ValueError(f"{name} is {value!r}; expected a number in (0, 1]")


class Schedule:
    """A function from the step to the rate; the base of the schedules here.

    A subclass defines `_rates`, which maps a float array of steps to the array of rates.
    """

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step.

        Parameters
        ----------
        step : int, float or array
            Steps done so far, at least 0.

        Returns
        -------
        float or numpy.ndarray
            One rate for each step, shaped like `step`.

        Raises
        ------
        ValueError
            A negative step.
        """
        steps = onp.asarray(step, dtype=float)
        if steps.size and steps.min() < 0:
            raise ValueError(f"step is {steps.min():g}; expected at least 0, the first step")
        rates = self._rates(steps)
        return float(rates) if steps.ndim == 0 else rates

    def _rates(self, steps: onp.ndarray) -> Any:
        raise NotImplementedError
