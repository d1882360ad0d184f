"""What a schedule is."""

from __future__ import annotations

from typing import Any

import numpy as onp

__all__ = ["Schedule"]


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
