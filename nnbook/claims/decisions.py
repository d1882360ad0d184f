"""Decide: compare arms seed by seed, check identities, count cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as onp

__all__ = ["Comparison", "Decision", "compare", "count", "holds", "interval"]

CONFIDENCE = 0.95
_INF = float("inf")
CONFIRMED, REFUTED, INCONCLUSIVE = "confirmed", "refuted", "inconclusive"


def interval(values: Any, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Return the mean of independent values and its confidence interval, by Student's t.

    Parameters
    ----------
    values : array-like of float, shape (n,)
        One value per seed, n ≥ 2.
    confidence : float
        In (0, 1).

    Returns
    -------
    mean, low, high : float

    Raises
    ------
    ValueError
        Fewer than two values, one that is not finite, or a confidence outside (0, 1).
    """
    from scipy import stats

    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; expected it in (0, 1), such as 0.95")
    values = _finite(values, "values")
    if len(values) < 2:
        raise ValueError(f"got {len(values)} value; expected at least 2 for an interval")
    mean = float(values.mean())
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * float(
        values.std(ddof=1) / onp.sqrt(len(values))
    )
    return mean, mean - half, mean + half


@dataclass(frozen=True)
class Decision:
    """The outcome of one comparison or identity.

    Attributes
    ----------
    statement : str
        What was decided, in words.
    outcome : str
        ``"confirmed"``, ``"refuted"`` or ``"inconclusive"``.
    effect, low, high : float
        The advantage and its interval; for an identity the error (at most the tolerance, if it
        holds), zero and the tolerance.
    threshold : float
        The smallest effect worth having, or the tolerance.
    n : int
        Seeds, or cases counted; 0 for an identity.
    unit : str
        Of the effect; ``"×"`` for a ratio.
    kind : str
        ``"interval"``, ``"tolerance"`` or ``"count"``: what decided.
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

    @property
    def evidence(self) -> str:
        """The numbers, in one phrase."""
        unit = f" {self.unit}" if self.unit and self.unit not in "×%" else self.unit
        if self.kind == "count":
            return f"{self.effect:.0f} of {self.n}, expected {self.threshold:.0f}"
        if self.kind == "tolerance":
            within = "within" if self.outcome == CONFIRMED else f"error {self.effect:.1e}, beyond"
            return f"{within} the tolerance of {self.threshold:.0e}"
        return (
            f"{self.effect:.3g}{unit} (95 % interval {self.low:.3g} to {self.high:.3g}{unit}; "
            f"{self.n} seeds)"
        )


@dataclass(frozen=True)
class Comparison:
    """One number per arm and seed, paired by seed.

    Parameters
    ----------
    arms : dict of str to array, shape (n,)
        What was measured; position k is seed k in every arm.
    smaller_is_better : bool
        Whether a smaller number is the better one.
    smallest_effect : float
        δ, the smallest advantage worth having: in the unit of the numbers, or for ratios the
        factor (1.2: at least 20 % better).
    ratio : bool
        Compare by quotients (geometric mean) instead of differences.
    unit : str
        Of the numbers.
    """

    arms: dict[str, onp.ndarray]
    smaller_is_better: bool
    smallest_effect: float
    ratio: bool = False
    unit: str = ""

    def advantage(self, arm: str, than: str) -> onp.ndarray:
        """Return how much better `arm` is for each seed: a difference, or the log of a quotient.

        Parameters
        ----------
        arm, than : str
            Names of arms.

        Returns
        -------
        numpy.ndarray, shape (n,)
            Positive where `arm` is better.
        """
        for name in (arm, than):
            if name not in self.arms:
                raise KeyError(f"there is no arm {name!r}; there are {', '.join(self.arms)}")
        first, second = self.arms[arm], self.arms[than]
        if self.ratio:
            first, second = onp.log(first), onp.log(second)
        return second - first if self.smaller_is_better else first - second

    def better(self, arm: str, *, than: str, statement: str = "") -> Decision:
        """Decide whether one arm beats another by more than the smallest effect.

        Parameters
        ----------
        arm, than : str
            Names of arms.
        statement : str, optional
            What this decides, in words.

        Returns
        -------
        Decision
            Confirmed if the whole interval lies beyond the smallest effect, refuted if it lies
            beyond no effect on the other side.
        """
        effect, low, high = interval(self.advantage(arm, than))
        threshold = onp.log(self.smallest_effect) if self.ratio else self.smallest_effect
        outcome = CONFIRMED if low > threshold else REFUTED if high < 0 else INCONCLUSIVE
        return self._decision(statement or f"{arm} better than {than}", outcome, effect, low, high)

    def equal(self, arm: str, to: str, *, statement: str = "") -> Decision:
        """Decide whether two arms differ by less than the smallest effect.

        Parameters
        ----------
        arm, to : str
            Names of arms.
        statement : str, optional
            What this decides, in words.

        Returns
        -------
        Decision
            Confirmed if the whole interval lies within the smallest effect of no difference,
            refuted if it lies wholly beyond it on one side.
        """
        effect, low, high = interval(self.advantage(arm, to))
        threshold = onp.log(self.smallest_effect) if self.ratio else self.smallest_effect
        inside = -threshold < low and high < threshold
        outside = low > threshold or high < -threshold
        outcome = CONFIRMED if inside else REFUTED if outside else INCONCLUSIVE
        return self._decision(statement or f"{arm} equal to {to}", outcome, effect, low, high)

    def _decision(self, statement, outcome, effect, low, high) -> Decision:
        n = len(next(iter(self.arms.values())))
        if self.ratio:
            effect, low, high = (float(onp.exp(v)) for v in (effect, low, high))
        unit = "×" if self.ratio else self.unit
        return Decision(statement, outcome, effect, low, high, self.smallest_effect, n, unit)

    def __str__(self) -> str:
        lines = []
        for name, values in self.arms.items():
            mean, low, high = interval(values)
            unit = f" {self.unit}" if self.unit else ""
            lines.append(f"{name:<16} {mean:.4g}{unit}  [{low:.4g}, {high:.4g}]  n={len(values)}")
        return "\n".join(lines)


def compare(
    *,
    smaller_is_better: bool,
    smallest_effect: float,
    ratio: bool = False,
    unit: str = "",
    **arms: Any,
) -> Comparison:
    """Compare arms that were run with the same seeds.

    Parameters
    ----------
    smaller_is_better : bool
        Whether a smaller number is the better one.
    smallest_effect : float
        The smallest advantage worth having, fixed before the run: ≥ 0, or for ratios ≥ 1.
    ratio : bool
        Compare by quotients instead of differences; every number must be positive.
    unit : str
        Of the numbers.
    **arms : array-like of float, shape (n,)
        At least two arms, one number per seed, position k being the same seed in each.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Fewer than two arms or seeds, arms of different lengths, a number that is not finite or
        (for ratios) not positive, or a smallest effect out of range.

    Examples
    --------
    >>> from nnbook.claims import compare
    >>> result = compare(raw=[12, 15, 11], centred=[5, 6, 5], smaller_is_better=True,
    ...                  smallest_effect=1.0, unit="epochs")
    >>> result.better("centred", than="raw").outcome
    'confirmed'
    """
    if len(arms) < 2:
        raise ValueError(f"got the arms {list(arms)}; expected at least two to compare")
    values = {name: _finite(value, f"arm {name!r}") for name, value in arms.items()}
    lengths = {name: len(value) for name, value in values.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the arms have {lengths} values; expected the same seeds in each")
    if min(lengths.values()) < 2:
        raise ValueError("got 1 seed; expected at least 2, and 8 for a verdict")
    least = 1 if ratio else 0
    if not least <= smallest_effect < _INF:
        raise ValueError(f"smallest_effect is {smallest_effect}; expected at least {least}")
    if ratio and any((value <= 0).any() for value in values.values()):
        raise ValueError("a ratio needs positive numbers; an arm has one that is not")
    return Comparison(values, smaller_is_better, float(smallest_effect), ratio, unit)


def holds(statement: str, error: float, *, tolerance: float) -> Decision:
    """Decide an identity, a closed form or a guarantee by a tolerance stated beforehand.

    Parameters
    ----------
    statement : str
        What holds.
    error : float
        The largest deviation found, ≥ 0 (NaN counts as a violation).
    tolerance : float
        The largest deviation allowed.

    Returns
    -------
    Decision
        Confirmed or refuted; nothing between.
    """
    if not 0 < tolerance < _INF:
        raise ValueError(f"tolerance is {tolerance}; expected a positive and finite number")
    # An error at the level of rounding differs between processors: a success records its bound.
    if abs(error) <= tolerance:
        outcome, error = CONFIRMED, tolerance
    else:
        outcome = REFUTED
    return Decision(
        statement, outcome, float(error), 0.0, tolerance, tolerance, 0, kind="tolerance"
    )


def count(statement: str, found: int, *, of: int, expected: int = 0) -> Decision:
    """Decide a guarantee by counting: how many cases do what, and how many should.

    Parameters
    ----------
    statement : str
        What is counted.
    found : int
        How many cases there were.
    of : int
        How many there could have been.
    expected : int
        How many there should be, by default none.

    Returns
    -------
    Decision
        Confirmed if exactly the expected number was found, else refuted.

    Raises
    ------
    ValueError
        `found` or `expected` is not between 0 and `of`.
    """
    for name, value in (("found", found), ("expected", expected)):
        if not 0 <= value <= of:
            raise ValueError(f"{name} is {value}; expected 0 to {of}")
    outcome = CONFIRMED if found == expected else REFUTED
    return Decision(statement, outcome, float(found), 0.0, of, expected, of, kind="count")


def _finite(values: Any, name: str) -> onp.ndarray:
    array = onp.asarray(values, dtype=float)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; expected one value per seed")
    if not onp.isfinite(array).all():
        raise ValueError(
            f"{name} has a value that is not finite: {array}. A run that diverged needs a number "
            "that says how bad it is, such as the largest budget"
        )
    return array
