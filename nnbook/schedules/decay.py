"""Schedules with a formula of their own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_number, check_positive, check_whole
from nnbook.schedules.base import Schedule

__all__ = [
    "bengio_decay",
    "constant",
    "cosine",
    "exponential_decay",
    "inverse_time_decay",
    "one_cycle",
    "step_decay",
]


@dataclass(frozen=True)
class constant(Schedule):
    """The same rate at every step: η(t) = η₀.

    Parameters
    ----------
    initial : float
        η₀ > 0.

    Raises
    ------
    ValueError, TypeError
        `initial` is not a positive number.
    """

    initial: float

    def __post_init__(self) -> None:
        check_positive(self.initial, "initial")

    def _rates(self, steps):
        return onp.full_like(steps, self.initial)


@dataclass(frozen=True)
class step_decay(Schedule):
    """Multiply the rate by a factor at regular intervals: η(t) = η₀ · factor^⌊t / every⌋.

    Parameters
    ----------
    initial : float
        η₀ > 0.
    factor : float
        In (0, 1].
    every : int
        Steps between two cuts.

    Raises
    ------
    ValueError, TypeError
        A rate that is not positive, a factor outside (0, 1], `every` below 1.

    Examples
    --------
    >>> from nnbook import schedules
    >>> rate = schedules.step_decay(0.1, factor=0.5, every=1000)
    >>> rate(999), rate(1000), rate(2000)
    (0.1, 0.05, 0.025)
    """

    initial: float
    factor: float = 0.5
    every: int = 1000

    def __post_init__(self) -> None:
        check_positive(self.initial, "initial")
        check_number(self.factor, "factor", above=0, most=1)
        check_whole(self.every, "every")

    def _rates(self, steps):
        return self.initial * self.factor ** (steps // self.every)


@dataclass(frozen=True)
class exponential_decay(Schedule):
    """Decay exponentially: η(t) = η₀ e^(−kt).

    Parameters
    ----------
    initial : float
        η₀ > 0.
    rate : float
        k ≥ 0, per step; the rate halves every ln 2 / k steps.

    Raises
    ------
    ValueError, TypeError
        `initial` is not positive, or `rate` is negative.
    """

    initial: float
    rate: float

    def __post_init__(self) -> None:
        check_positive(self.initial, "initial")
        check_number(self.rate, "rate", least=0)

    def _rates(self, steps):
        return self.initial * onp.exp(-self.rate * steps)


@dataclass(frozen=True)
class inverse_time_decay(Schedule):
    """Decay with the inverse of time: η(t) = η₀ / (1 + kt).

    Parameters
    ----------
    initial : float
        η₀ > 0.
    rate : float
        k ≥ 0, per step; the rate has halved after 1/k steps.

    Raises
    ------
    ValueError, TypeError
        `initial` is not positive, or `rate` is negative.
    """

    initial: float
    rate: float

    def __post_init__(self) -> None:
        check_positive(self.initial, "initial")
        check_number(self.rate, "rate", least=0)

    def _rates(self, steps):
        return self.initial / (1 + self.rate * steps)


@dataclass(frozen=True)
class bengio_decay(Schedule):
    """Keep the rate for τ steps, then decay as 1/t: η(t) = η₀ τ / max(t, τ).

    Parameters
    ----------
    initial : float
        η₀ > 0.
    constant_steps : int
        τ ≥ 1; at step 2τ the rate has halved.

    Raises
    ------
    ValueError, TypeError
        `initial` is not positive, or `constant_steps` is below 1.

    References
    ----------
    Bengio (2012), Practical recommendations for gradient-based training of deep architectures.
    """

    initial: float
    constant_steps: int

    def __post_init__(self) -> None:
        check_positive(self.initial, "initial")
        check_whole(self.constant_steps, "constant_steps")

    def _rates(self, steps):
        return self.initial * self.constant_steps / onp.maximum(steps, self.constant_steps)


@dataclass(frozen=True)
class cosine(Schedule):
    """Follow half a cosine down: η(t) = η₁ + ½(η₀ − η₁)(1 + cos(π t/T)), and stay at η₁ after T.

    Parameters
    ----------
    initial : float
        η₀ > 0.
    steps : int
        T ≥ 1.
    final : float
        η₁, from 0 to η₀.

    Raises
    ------
    ValueError, TypeError
        `initial` is not positive, `steps` is below 1, or `final` is negative or above `initial`.

    References
    ----------
    Loshchilov and Hutter (2017), SGDR: stochastic gradient descent with warm restarts.
    """

    initial: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        check_positive(self.initial, "initial")
        check_whole(self.steps, "steps")
        check_number(self.final, "final", least=0)
        if self.final > self.initial:
            raise ValueError(
                f"final is {self.final!r}, above the initial rate {self.initial!r}; expected at "
                "most that (warmup() raises a rate)"
            )

    def _rates(self, steps):
        return _half_cosine(self.initial, self.final, steps / self.steps)


def _half_cosine(start: float, end: float, share: Any) -> Any:
    """Go from start to end while share goes from 0 to 1, flat at both ends."""
    return end + (start - end) * 0.5 * (1 + onp.cos(math.pi * onp.clip(share, 0, 1)))


@dataclass(frozen=True)
class one_cycle(Schedule):
    """Rise to a peak and fall far below the start, each along half a cosine, in one run.

    Parameters
    ----------
    peak : float
        The largest rate, > 0, reached after ``rise · steps`` steps.
    steps : int
        Length of the cycle, at least 1; the rate stays at its last value afterwards.
    rise : float
        Share of the cycle that rises, in (0, 1).
    initial_ratio, final_ratio : float
        First and last rate as shares of the peak, in (0, 1].

    Raises
    ------
    ValueError, TypeError
        A value outside its range.

    Notes
    -----
    Smith's cycle is made of straight lines; the cosine is the form now in common use.

    References
    ----------
    Smith (2018), A disciplined approach to neural network hyper-parameters.
    """

    peak: float
    steps: int
    rise: float = 0.3
    initial_ratio: float = 0.04
    final_ratio: float = 1e-4

    def __post_init__(self) -> None:
        check_positive(self.peak, "peak")
        check_whole(self.steps, "steps")
        for name in ("rise", "initial_ratio", "final_ratio"):
            check_number(getattr(self, name), name, above=0, most=1)
        if self.rise == 1:
            raise ValueError("rise is 1; expected less, or nothing is left of the cycle to fall")

    def _rates(self, steps):
        top = self.rise * self.steps
        up = _half_cosine(self.peak * self.initial_ratio, self.peak, steps / top)
        fall = (steps - top) / (self.steps - top)
        return onp.where(
            steps < top, up, _half_cosine(self.peak, self.peak * self.final_ratio, fall)
        )
