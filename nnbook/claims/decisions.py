"""Decide by an interval: one quantity, once per seed, against the smallest effect worth having."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as onp

from nnbook.claims.intervals import finite, interval
from nnbook.claims.power import detectable, seeds_needed, tail

__all__ = [
    "CONFIRMED",
    "DERIVED",
    "OPEN",
    "REVERSED",
    "TOO_SMALL",
    "Decision",
    "decide",
    "smallest",
]

_INF = float("inf")
CONFIRMED, TOO_SMALL, REVERSED = "confirmed", "too small to matter", "reversed"
OPEN, DERIVED = "open", "derived"
DIRECTIONS = ("greater", "smaller", "equal")
# Outcomes that say that a claim is wrong; the page prints "refuted: " before them.
REFUTATIONS = (TOO_SMALL, REVERSED)


@dataclass(frozen=True)
class Decision:
    """What became of one question: the quantity asked for, its interval, and the outcome.

    Attributes
    ----------
    statement : str
        What was decided, in words.
    outcome : str
        ``"confirmed"``, ``"too small to matter"``, ``"reversed"``, ``"open"`` or ``"derived"``.
    quantity : str
        The name of the number printed.
    effect, low, high : float
        The quantity with its own sign, and its 95 % interval. For an identity the error found, 0
        and the tolerance; for a count the number found, 0 and what there is.
    threshold : float
        δ, the smallest effect worth having (a factor, if `ratio`); for a share the border, for an
        identity the tolerance, for a count the number expected.
    n : int
        Seeds, independent cases or tasks; 0 for an identity.
    unit : str
        Of the quantity; ``"×"`` for a quotient.
    kind : str
        ``"interval"``, ``"share"``, ``"panel"``, ``"identity"`` or ``"count"``: what decided.
    direction : str
        ``"greater"``, ``"smaller"`` or ``"equal"``: what is claimed of the quantity.
    null : float
        The quantity where there is no effect: 0, or 1 for a quotient.
    ratio : bool
        Whether seeds were averaged as logarithms.
    p_value : float
        The two-sided p-value of what the outcome excludes; 1 where it is open.
    detectable : float
        The smallest true effect in the direction claimed that as many seeds would confirm in four
        of five repetitions, in the unit of the quantity; 0 where there is none.
    seeds_needed : int
        The seeds that would probably settle an open question; 0 where it is settled.
    covers : str
        What the interval covers, and so what it does not.
    arms : dict of str to tuple of float
        The numbers behind the quantity, one per seed.
    """

    statement: str
    outcome: str
    effect: float
    low: float
    high: float
    threshold: float
    n: int
    unit: str = ""
    kind: str = "interval"
    quantity: str = ""
    direction: str = "greater"
    null: float = 0.0
    ratio: bool = False
    p_value: float = 1.0
    detectable: float = 0.0
    seeds_needed: int = 0
    covers: str = ""
    arms: Mapping[str, tuple[float, ...]] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        """The outcome as a page shows it: refutations say that they are."""
        return f"refuted: {self.outcome}" if self.outcome in REFUTATIONS else self.outcome

    @property
    def number(self) -> str:
        """The quantity alone, as a badge shows it."""
        if self.kind in ("share", "panel", "count"):
            return f"{self.effect:.0f} of {self.n}"
        if self.kind == "identity":
            return f"error {self.effect:.0e}" if self.effect else "error 0"
        return f"{self.effect:.3g}{_spaced(self.unit)}"

    @property
    def evidence(self) -> str:
        """The numbers, in one phrase."""
        if self.kind == "count":
            return f"{self.number}, expected {self.threshold:.0f}"
        if self.kind == "identity":
            return f"{self.number}, tolerance {self.threshold:.0e}"
        if self.kind in ("share", "panel"):
            side = {"greater": "at least", "smaller": "at most"}[self.direction]
            ends = f"95 % interval {self.low:.3g} to {self.high:.3g}"
            words = f"a share of {self.effect / self.n:.3g}, {ends}; {side} {self.threshold:g}"
            return f"{self.number} ({words})"
        unit = _spaced(self.unit)
        words = f"{self.effect:.3g}{unit} (95 % interval {self.low:.3g} to {self.high:.3g}{unit}; "
        return f"{words}{self.n} seeds; δ {self.threshold:g}{unit})"

    @property
    def advantage(self) -> tuple[float, float, float]:
        """Effect and interval in units of δ, positive in the direction claimed.

        On this scale 0 is no effect and 1 the smallest worth having; where δ is zero, the unit is
        half the width of the interval. An equality is shown with its own sign.
        """
        numbers = onp.array([self.effect, self.low, self.high], dtype=float)
        null, threshold = self.null, self.threshold
        if self.kind in ("share", "panel"):
            numbers[0] /= self.n
            numbers, null, threshold = numbers - threshold, 0.0, 0.0
        elif self.ratio:
            with onp.errstate(divide="ignore"):
                numbers = onp.log(numbers)
            null, threshold = float(onp.log(null)), float(onp.log(threshold))
        numbers = numbers - null
        if self.direction == "smaller":
            numbers = -numbers[[0, 2, 1]]
        unit = threshold or (numbers[2] - numbers[1]) / 2 or 1.0
        effect, low, high = (float(v) for v in numbers / unit)
        return effect, low, high


def decide(
    values: Any,
    *,
    quantity: str,
    smallest_effect: float,
    direction: str = "greater",
    null: float | None = None,
    ratio: bool = False,
    unit: str = "",
    statement: str = "",
    covers: str = "",
    arms: Mapping[str, Any] | None = None,
) -> Decision:
    """Decide what one quantity, measured once per seed, says of a claim.

    Let d be the mean distance of the quantity from `null` in the direction claimed, with its 95 %
    interval by Student's t, and δ the smallest effect worth having. The claim is **confirmed** if
    the whole interval lies beyond δ, **too small to matter** if it lies below δ and reaches zero or
    above, **reversed** if it lies below zero, and **open** otherwise. A claim of equality is
    confirmed inside ±δ, reversed wholly outside, and open otherwise.

    Parameters
    ----------
    values : array-like of float, shape (n,)
        The quantity, one number per seed, n ≥ 2.
    quantity : str
        Its name, which the verdict prints.
    smallest_effect : float
        δ, in the unit of the quantity: ≥ 0, and > 0 for an equality; a factor > 1 for a quotient
        (1 where any advantage counts).
    direction : {"greater", "smaller", "equal"}
        What is claimed of the quantity, compared with `null`.
    null : float, optional
        The quantity where there is no effect; by default 0, and 1 for a quotient.
    ratio : bool
        Whether the quantity is a quotient: every value is positive, seeds are averaged as
        logarithms.
    unit : str
        Of the quantity; a quotient's is ``"×"``.
    statement : str, optional
        What this decides, in words; by default the quantity and the direction.
    covers : str, optional
        What the interval covers: "initial weights and order; one split".
    arms : mapping of str to array-like, shape (n,), optional
        The numbers behind the quantity, for the record; by default the values.

    Returns
    -------
    Decision

    Raises
    ------
    ValueError
        Another direction, fewer than two seeds, a value that is not finite (or not positive, for a
        quotient), or a δ out of range.

    References
    ----------
    Lakens (2017), Equivalence tests; Wellek (2010), Testing statistical hypotheses of equivalence.

    Examples
    --------
    >>> from nnbook.claims import decide
    >>> slopes = [-1.01, -0.98, -1.02, -0.99, -1.0, -1.01, -0.99, -1.0]
    >>> print(decide(slopes, quantity="slope of log variance on log n", null=-1,
    ...              direction="equal", smallest_effect=0.05).evidence)
    -1 (95 % interval -1.01 to -0.989; 8 seeds; δ 0.05)
    """
    if direction not in DIRECTIONS:
        raise ValueError(f"direction is {direction!r}; expected one of {', '.join(DIRECTIONS)}")
    smallest_effect = smallest(smallest_effect, ratio, direction)
    values = finite(values, quantity)
    null = (1.0 if ratio else 0.0) if null is None else float(null)
    if len(values) < 2:
        raise ValueError("got 1 seed; expected at least 2, and 8 for a verdict")
    if ratio and (not (values > 0).all() or null <= 0):
        raise ValueError(f"{quantity} is a ratio and needs positive numbers; got {values}")
    scale = onp.log if ratio else onp.asarray
    back = onp.exp if ratio else onp.asarray
    sign = -1.0 if direction == "smaller" else 1.0
    advantages = sign * (scale(values) - scale(null))
    delta = float(scale(smallest_effect))
    outcome = _outcome(*interval(advantages)[1:], delta, direction)
    deviation = float(advantages.std(ddof=1))
    effect, low, high = (float(back(v)) for v in interval(scale(values)))
    least = scale(null) + sign * detectable(deviation, len(values), delta, direction)
    needed = 0
    if outcome == OPEN:
        needed = seeds_needed(float(advantages.mean()), deviation, delta, direction)
    return Decision(
        statement or f"{quantity}: {direction}",
        outcome,
        effect,
        low,
        high,
        smallest_effect,
        len(values),
        "×" if ratio else unit,
        quantity=quantity,
        direction=direction,
        null=null,
        ratio=ratio,
        p_value=_p_value(advantages, outcome, delta, direction),
        detectable=float(back(least)),
        seeds_needed=needed,
        covers=covers,
        arms={name: _short(v) for name, v in (arms or {quantity: values}).items()},
    )


def _outcome(low: float, high: float, delta: float, direction: str) -> str:
    if direction == "equal":
        if -delta < low and high < delta:
            return CONFIRMED
        return REVERSED if low > delta or high < -delta else OPEN
    if low > delta:
        return CONFIRMED
    if high < 0:
        return REVERSED
    return TOO_SMALL if high < delta else OPEN


def _p_value(advantages: onp.ndarray, outcome: str, delta: float, direction: str) -> float:
    """Return the p-value of the border that the outcome lies beyond."""
    if outcome == OPEN:
        return 1.0
    if direction == "equal":
        if outcome == CONFIRMED:
            return max(tail(advantages, -delta), tail(-advantages, -delta))
        return min(tail(advantages, delta), tail(-advantages, delta))
    if outcome == CONFIRMED:
        return tail(advantages, delta)
    return tail(-advantages, -delta if outcome == TOO_SMALL else 0.0)


def smallest(value: float, ratio: bool, direction: str) -> float:
    """Return δ, or say why it cannot be one."""
    least = 1.0 if ratio else 0.0
    if not least <= value < _INF:
        raise ValueError(f"smallest_effect is {value}; expected at least {least:g}")
    if direction == "equal" and value == least:
        raise ValueError(
            f"smallest_effect is {value} for an equality, which no interval lies within; "
            f"expected more than {least:g}: the largest difference that nobody minds"
        )
    return float(value)


def _short(values: Any) -> tuple[float, ...]:
    return tuple(float(f"{v:.6g}") for v in onp.asarray(values, dtype=float))


def _spaced(unit: str) -> str:
    return f" {unit}" if unit and unit not in "×%" else unit
