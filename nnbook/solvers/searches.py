"""How far to go along a direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nnbook._arguments import check_number, check_positive, check_whole
from nnbook.solvers.functions import Point, Scalar

__all__ = ["Armijo", "Fixed", "Line", "Wolfe"]

# Values that differ by less than this are equal but for rounding; then slopes decide.
_ROUNDING = 1e-14


class _Trial(NamedTuple):
    step: float
    value: float
    slope: float


class Line:
    """A function along a direction: φ(t) = f(x + t d), each point computed once.

    Parameters
    ----------
    function : Scalar
        f.
    start : Point
        x.
    direction : numpy.ndarray, shape (P,)
        d.

    Attributes
    ----------
    slope : float
        φ′(0).
    """

    def __init__(self, function: Scalar, start: Point, direction: np.ndarray):
        self.function, self.start, self.direction = function, start, direction
        self.slope = float(start.gradient @ direction)
        self._value: dict[float, float] = {0.0: start.value}
        self._gradient: dict[float, np.ndarray] = {0.0: start.gradient}

    def at(self, t: float) -> np.ndarray:
        """Return x + t d."""
        return self.start.x + t * self.direction

    def value(self, t: float) -> float:
        """Return φ(t)."""
        if t not in self._value:
            self._value[t] = self.function.value(self.at(t))
        return self._value[t]

    def trial(self, t: float) -> _Trial:
        """Return t with φ(t) and φ′(t); the slope is NaN where the value is infinite."""
        value = self.value(t)
        if not np.isfinite(value):
            return _Trial(t, np.inf, np.nan)
        if t not in self._gradient:
            self._gradient = {0.0: self.start.gradient, **self._last(), t: self._slope_at(t)}
        return _Trial(t, value, float(self._gradient[t] @ self.direction))

    def _last(self) -> dict[float, np.ndarray]:
        # The last gradient and the best: more would hold P numbers for each trial.
        best = min(self._gradient, key=lambda t: self._value[t])
        return {best: self._gradient[best]}

    def _slope_at(self, t: float) -> np.ndarray:
        return self.function.gradient(self.at(t))

    def point(self, t: float) -> Point:
        """Return x + t d with its value and gradient."""
        value = self.value(t)
        if t not in self._gradient:
            self._gradient[t] = self._slope_at(t)
        return Point(self.at(t), value, self._gradient[t])


@dataclass(frozen=True)
class Fixed:
    """Always the same step: t, without asking whether the value falls.

    Parameters
    ----------
    step : float
        t > 0; 1 is the whole step of Newton and his relatives, and the learning rate of gradient
        descent.
    """

    step: float = 1.0

    def __post_init__(self) -> None:
        check_positive(self.step, "step")

    def __call__(self, line: Line, first: float) -> float | None:
        """Return the step."""
        return self.step


@dataclass(frozen=True)
class Armijo:
    """Go back until the value falls enough: φ(t) ≤ φ(0) + c₁ t φ′(0).

    The next trial is the minimum of the parabola through φ(0), φ′(0) and φ(t), between a tenth and
    a half of t. It needs no gradient but the last.

    Parameters
    ----------
    decrease : float
        c₁ in (0, 1).
    trials : int
        At most.

    References
    ----------
    Armijo (1966), Minimization of functions having Lipschitz continuous first partial derivatives.
    """

    decrease: float = 1e-4
    trials: int = 60

    def __post_init__(self) -> None:
        check_number(self.decrease, "decrease", above=0, below=1)
        check_whole(self.trials, "trials")

    def __call__(self, line: Line, first: float) -> float | None:
        """Return a step, or None if none was found."""
        t, start = first, line.value(0.0)
        for _ in range(self.trials):
            value = line.value(t)
            if value <= start + self.decrease * t * line.slope:
                return t
            rise = value - start - t * line.slope
            best = -line.slope * t * t / (2 * rise) if np.isfinite(rise) and rise > 0 else 0.0
            t = min(max(best, 0.1 * t), 0.5 * t)
        return None


@dataclass(frozen=True)
class Wolfe:
    """A step after which the value has fallen and the slope is flatter: strong Wolfe conditions.

    φ(t) ≤ φ(0) + c₁ t φ′(0) and abs(φ′(t)) ≤ c₂ abs(φ′(0)). A bracket is opened by extrapolation
    and closed by cubic interpolation with safeguards. Where values agree to rounding, slopes alone
    decide (the approximate Wolfe conditions): otherwise no search could go below √1e-16 ≈ 1e-8.

    Parameters
    ----------
    decrease : float
        c₁.
    curvature : float
        c₂ in (c₁, 1): 0.9 for quasi-Newton methods, 0.1 for conjugate gradients, 1e-9 for a
        search that is as good as exact.
    trials : int
        At most; each is a value and a gradient.

    References
    ----------
    Moré and Thuente (1994), Line search algorithms with guaranteed sufficient decrease; Nocedal
    and Wright (2006), Numerical Optimization, section 3.5; Hager and Zhang (2005), A new conjugate
    gradient method with guaranteed descent and an efficient line search.
    """

    decrease: float = 1e-4
    curvature: float = 0.9
    trials: int = 40

    def __post_init__(self) -> None:
        check_number(self.decrease, "decrease", above=0, below=1)
        check_number(self.curvature, "curvature", above=0, below=1)
        check_whole(self.trials, "trials")

    def __call__(self, line: Line, first: float) -> float | None:
        """Return a step, or None if none was found that lowers the value."""
        start = _Trial(0.0, line.value(0.0), line.slope)
        low, high = start, None
        widths: list[float] = []
        t = first
        for _ in range(self.trials):
            now = line.trial(t)
            if self._good(start, now):
                return t
            if self._too_high(start, low, now):
                high = now
            else:
                if high is None:
                    if now.slope >= 0:
                        low, high = now, low
                    else:
                        t, low = _farther(low, now), now
                        continue
                else:
                    high = low if now.slope * (high.step - low.step) >= 0 else high
                    low = now
            widths.append(abs(high.step - low.step))
            if widths[-1] <= 1e-15 * max(low.step, high.step):
                break
            slow = len(widths) > 2 and widths[-1] > 0.66 * widths[-3]
            t = _between(low, high, slow)
        # Nothing meets both; what lowers the value most will do.
        fell = low.step > 0 and low.value < start.value
        return low.step if fell else None

    def _noise(self, start: _Trial) -> float:
        return _ROUNDING * abs(start.value)

    def _good(self, start: _Trial, now: _Trial) -> bool:
        if abs(now.slope) <= -self.curvature * start.slope:  # False for NaN
            if now.value <= start.value + self.decrease * now.step * start.slope:
                return True
            level = now.value <= start.value + self._noise(start)
            return level and now.slope <= (2 * self.decrease - 1) * start.slope
        return False

    def _too_high(self, start: _Trial, low: _Trial, now: _Trial) -> bool:
        if not np.isfinite(now.value):
            return True
        if abs(now.value - start.value) <= self._noise(start):
            return now.slope >= 0 and low.step == 0.0
        limit = start.value + self.decrease * now.step * start.slope
        return now.value > limit or now.value >= low.value + self._noise(start)


def _cubic(a: _Trial, b: _Trial) -> float:
    """Return the minimum of the cubic through two trials; NaN if it has none."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
        inside = d1 * d1 - a.slope * b.slope
        if not inside >= 0:
            return np.nan
        d2 = np.copysign(np.sqrt(inside), b.step - a.step)
        share = (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)
        return float(b.step - (b.step - a.step) * share)


def _farther(before: _Trial, now: _Trial) -> float:
    """Return a step beyond two that both still fall."""
    gap = now.step - before.step
    guess = _cubic(before, now)
    flatter = now.slope - before.slope
    if not guess > now.step and flatter > 0:  # NaN, or behind: the secant of the slopes
        guess = now.step - now.slope * gap / flatter
    if not guess > now.step:
        guess = now.step + 4 * gap
    return float(np.clip(guess, now.step + 1.1 * gap, now.step + 4 * gap))


def _between(low: _Trial, high: _Trial, slow: bool) -> float:
    """Return a step inside a bracket."""
    width = high.step - low.step
    if not np.isfinite(high.value):
        return low.step + 0.2 * width
    guess = np.nan if slow else _cubic(low, high)
    if not np.isfinite(guess):
        guess = low.step + 0.5 * width
    share = (guess - low.step) / width
    return low.step + float(np.clip(share, 0.02, 0.98)) * width


def first_step(descent: Any, iteration: int, line: Line, before: Any) -> float:
    """Return where a search begins.

    That is 1 where the direction has a length of its own. Elsewhere, as far as would lower the
    value by what the last step did, were φ a parabola.
    """
    length = float(np.linalg.norm(line.direction))
    if iteration == 0 and not descent.natural:
        return min(1.0, 1.0 / length) if length else 1.0
    if before is None or (descent.natural and not descent.cautious):
        return 1.0
    fell = max(before - line.start.value, 10 * _ROUNDING * abs(line.start.value))
    guess = 2.02 * fell / -line.slope
    if not (np.isfinite(guess) and guess > 0):
        return 1.0
    return min(guess, 1.0) if descent.natural else guess
