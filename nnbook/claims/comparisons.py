"""Compare: one number per arm and seed, and decisions about two of the arms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook.claims.decisions import Decision, decide, smallest
from nnbook.claims.intervals import finite, interval

__all__ = ["Comparison", "compare"]


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
    quantity : str
        What the numbers are: ``"validation error"``.
    covers : str
        What the intervals cover.
    """

    arms: dict[str, onp.ndarray]
    smaller_is_better: bool
    smallest_effect: float
    ratio: bool = False
    unit: str = ""
    quantity: str = ""
    covers: str = ""

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
        values = self._quantity(arm, than)
        values = onp.log(values) if self.ratio else values
        return -values if self.smaller_is_better else values

    def better(self, arm: str, *, than: str, statement: str = "", quantity: str = "") -> Decision:
        """Decide whether one arm beats another by more than the smallest effect.

        Parameters
        ----------
        arm, than : str
            Names of arms.
        statement : str, optional
            What this decides, in words.
        quantity : str, optional
            The name of the number printed; by default ``"<quantity>, <arm> − <than>"``, with / for
            a ratio.

        Returns
        -------
        Decision
            Of the difference arm − than, or the quotient arm / than.
        """
        direction = "smaller" if self.smaller_is_better else "greater"
        return self._decide(
            arm, than, direction, statement or f"{arm} better than {than}", quantity
        )

    def equal(self, arm: str, to: str, *, statement: str = "", quantity: str = "") -> Decision:
        """Decide whether two arms differ by less than the smallest effect.

        Parameters
        ----------
        arm, to : str
            Names of arms.
        statement : str, optional
            What this decides, in words.
        quantity : str, optional
            The name of the number printed; by default ``"<quantity>, <arm> − <to>"``, with / for a
            ratio.

        Returns
        -------
        Decision
            Of the difference arm − to, or the quotient arm / to.
        """
        return self._decide(arm, to, "equal", statement or f"{arm} equal to {to}", quantity)

    def _quantity(self, arm: str, than: str) -> onp.ndarray:
        for name in (arm, than):
            if name not in self.arms:
                raise KeyError(f"there is no arm {name!r}; there are {', '.join(self.arms)}")
        first, second = self.arms[arm], self.arms[than]
        return first / second if self.ratio else first - second

    def _decide(self, arm: str, than: str, direction: str, statement: str, name: str) -> Decision:
        pair = f"{arm} / {than}" if self.ratio else f"{arm} − {than}"
        return decide(
            self._quantity(arm, than),
            quantity=name or (f"{self.quantity}, {pair}" if self.quantity else pair),
            smallest_effect=self.smallest_effect,
            direction=direction,
            ratio=self.ratio,
            unit=self.unit,
            statement=statement,
            covers=self.covers,
            arms={arm: self.arms[arm], than: self.arms[than]},
        )

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
    quantity: str = "",
    covers: str = "",
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
    quantity : str
        What the numbers are, for the verdict: ``"epochs to a loss of 0.1"``.
    covers : str
        What differs between the seeds, and so what the intervals cover.
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
    ...                  smallest_effect=1.0, unit="epochs", quantity="time to 5 % error")
    >>> found = result.better("centred", than="raw")
    >>> found.outcome, found.quantity, round(found.effect, 2)
    ('confirmed', 'time to 5 % error, centred − raw', -7.33)
    """
    if len(arms) < 2:
        raise ValueError(f"got the arms {list(arms)}; expected at least two to compare")
    values = {name: finite(value, f"arm {name!r}") for name, value in arms.items()}
    lengths = {name: len(value) for name, value in values.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the arms have {lengths} values; expected the same seeds in each")
    if min(lengths.values()) < 2:
        raise ValueError("got 1 seed; expected at least 2, and 8 for a verdict")
    smallest_effect = smallest(smallest_effect, ratio, "")
    if ratio and any((value <= 0).any() for value in values.values()):
        raise ValueError("a ratio needs positive numbers; an arm has one that is not")
    return Comparison(values, smaller_is_better, smallest_effect, ratio, unit, quantity, covers)
