"""One hyperparameter: its range or its choices, its scale, its condition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as onp

from nnbook._arguments import as_scalar, check_number, check_whole

__all__ = ["Dimension", "categorical", "integer", "linear", "log"]

When = Mapping[str, Any] | None
Limits = tuple[float, float] | None
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter. Made by `log`, `linear`, `integer` and `categorical`.

    Attributes
    ----------
    low, high : float
        The ends of the range, both included; NaN for choices.
    log : bool
        Whether the logarithm is uniform, and not the number.
    integer : bool
        Whether only whole numbers count.
    choices : tuple
        What can be chosen; empty for a range.
    when : dict of str to list
        The values that other dimensions must have for this one to mean something.
    limits : tuple of float
        How far the range may ever be widened.
    """

    low: float = math.nan
    high: float = math.nan
    log: bool = False
    integer: bool = False
    choices: tuple[Any, ...] = ()
    when: dict[str, list[Any]] = field(default_factory=dict)
    limits: tuple[float, float] = (-math.inf, math.inf)

    def __repr__(self) -> str:
        if self.choices:
            text = f"categorical({list(self.choices)}"
        else:
            kind = "integer" if self.integer else "log" if self.log else "linear"
            text = f"{kind}({self.low!r}, {self.high!r}"
            text += ", log=True" if self.integer and self.log else ""
        natural = (0 if self.log else -math.inf, math.inf)
        text += f", limits={self.limits}" if self.limits != natural else ""
        text += f", when={self.when}" if self.when else ""
        return text + ")"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dimension) and repr(self) == repr(other)

    __hash__ = None  # type: ignore[assignment]

    def __contains__(self, value: Any) -> bool:
        if self.choices:
            return any(same_value(value, choice) for choice in self.choices)
        value = as_scalar(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return self.low <= value <= self.high and (not self.integer or value == int(value))

    def at(self, u: float) -> Any:
        """Return the value at a part of the range.

        Parameters
        ----------
        u : float
            In [0, 1]. Uniform numbers give values uniform on the dimension's scale.

        Returns
        -------
        float, int or a choice
        """
        if self.choices:
            return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]
        # Every integer gets an interval of width 1 around it.
        low, high = self.low - 0.5 * self.integer, self.high + 0.5 * self.integer
        value = low * (high / low) ** u if self.log else low + (high - low) * u
        if self.integer:
            return int(min(max(math.floor(value + 0.5), self.low), self.high))
        return float(min(max(value, self.low), self.high))

    def points(self, count: int) -> list[Any]:
        """Return values from end to end, evenly spaced on the scale.

        Parameters
        ----------
        count : int
            How many; an only one lies in the middle.

        Returns
        -------
        list
            Without repetitions: a range may have fewer integers. All choices, if it has no order.

        Raises
        ------
        ValueError
            `count` is below 1.
        """
        count = check_whole(count, "the number of points")
        if self.choices:
            return list(self.choices)
        if count == 1:
            middle = onp.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
            return [round(middle) if self.integer else float(middle)]
        spaced = (onp.geomspace if self.log else onp.linspace)(self.low, self.high, count)
        if self.integer:
            return sorted({self.low, *(round(float(value)) for value in spaced[1:-1]), self.high})
        inner = [float(f"{value:.12g}") for value in spaced[1:-1]]  # 0.1, not 0.0999…
        return [self.low, *(min(max(value, self.low), self.high) for value in inner), self.high]

    def restored(self, value: Any) -> Any:
        """Return a value as `at` and `points` give it, after a file or an array has held it.

        Parameters
        ----------
        value : float, int or a choice
            Of the dimension, as a number of another kind perhaps: 16.0 for 16.

        Returns
        -------
        float, int or a choice
        """
        if self.choices:
            return next((choice for choice in self.choices if same_value(choice, value)), value)
        return int(value) if self.integer else float(value)

    def widened(self, lower: bool, by: float) -> Dimension:
        """Return the dimension with one end moved outwards.

        Parameters
        ----------
        lower : bool
            Which end: the lower, or the upper one.
        by : float
            How far, as a part of the range on its scale: 0.5 makes 0.01 … 1 to 0.01 … 10.

        Returns
        -------
        Dimension
            Its range stays within its `limits`.
        """
        old = self.low if lower else self.high
        if self.log:
            factor = (self.high / self.low) ** by
            end = old / factor if lower else old * factor
        else:
            step = by * (self.high - self.low)
            end = old - step if lower else old + step
        short = float(f"{end:.6g}")  # 10, and not 9.999999999999998
        end = short if (short < old if lower else short > old) else end
        if self.integer:
            end = math.floor(end) if lower else math.ceil(end)
            end = max(end, 1) if self.log else end
        end = max(end, self.limits[0]) if lower else min(end, self.limits[1])
        end = int(end) if self.integer else float(end)
        return replace(self, low=end) if lower else replace(self, high=end)


def log(low: float, high: float, *, when: When = None, limits: Limits = None) -> Dimension:
    """Return a positive number whose logarithm is uniform: for rates and penalties.

    Parameters
    ----------
    low, high : float
        The range, 0 < low < high.
    when : mapping of str to value or list of values, optional
        The dimension means something only where each of these other dimensions has this value, or
        one of these.
    limits : tuple of float, optional
        How far the range may ever be widened.

    Returns
    -------
    Dimension

    Raises
    ------
    TypeError, ValueError
        No numbers, not finite, not positive, or not in order.
    """
    return _range(low, high, when, limits, log=True)


def linear(low: float, high: float, *, when: When = None, limits: Limits = None) -> Dimension:
    """Return a number that is uniform itself: for a dropout probability, a momentum.

    Parameters
    ----------
    low, high : float
        The range, low < high.
    when : mapping of str to value or list of values, optional
        As for `log`.
    limits : tuple of float, optional
        How far the range may ever be widened, such as ``(0, 1)``.

    Returns
    -------
    Dimension

    Raises
    ------
    TypeError, ValueError
        No numbers, not finite, or not in order.
    """
    return _range(low, high, when, limits)


def integer(
    low: int, high: int, *, log: bool = False, when: When = None, limits: Limits = None
) -> Dimension:
    """Return a whole number: for units, layers, examples in a batch.

    Parameters
    ----------
    low, high : int
        The range, low < high, both included.
    log : bool
        Whether the logarithm is uniform; then low is at least 1.
    when : mapping of str to value or list of values, optional
        As for `log`.
    limits : tuple of float, optional
        How far the range may ever be widened.

    Returns
    -------
    Dimension

    Raises
    ------
    TypeError, ValueError
        No whole numbers, or not in order.
    """
    return _range(low, high, when, limits, log=bool(log), integer=True)


def categorical(choices: Sequence[Any], *, when: When = None) -> Dimension:
    """Return a choice among things without order.

    Parameters
    ----------
    choices : sequence
        Strings, numbers, booleans, None, or tuples of these (the widths of the layers).
    when : mapping of str to value or list of values, optional
        As for `log`.

    Returns
    -------
    Dimension

    Raises
    ------
    TypeError, ValueError
        A choice of another kind, one that occurs twice, or none.
    """
    if isinstance(choices, onp.ndarray):
        choices = choices.tolist()
    if isinstance(choices, str) or not isinstance(choices, Sequence):
        raise TypeError(f"choices is {choices!r}; expected a list")
    found = tuple(_plain(choice) for choice in choices)
    if not found:
        raise ValueError("choices is empty; expected at least one")
    for k, choice in enumerate(found):
        inner = choice if isinstance(choice, tuple) else (choice,)
        if not all(isinstance(part, _PLAIN) for part in inner):
            raise TypeError(
                f"a choice is {choice!r}; expected a string, a number, a boolean, None or a tuple "
                "of these (choose by name, and look the object up where you use it)"
            )
        if any(part != part for part in inner):
            raise ValueError(f"a choice is {choice!r}; NaN stands for a value that is left out")
        if any(same_value(choice, other) for other in found[:k]):
            raise ValueError(f"choices has {choice!r} twice")
    return Dimension(choices=found, when=_condition(when))


def _plain(choice: Any) -> Any:
    """Return a choice with Python's numbers and tuples in it."""
    if isinstance(choice, (list, tuple, onp.ndarray)) and getattr(choice, "shape", True):
        return tuple(_plain(part) for part in choice)
    return as_scalar(choice)


def same_value(a: Any, b: Any) -> bool:
    """Tell whether two values are the same; to Python, True == 1, and to us it is not."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _range(
    low: Any, high: Any, when: Any, limits: Any, *, log: bool = False, integer: bool = False
) -> Dimension:
    if not check_number(low, "the range's low end") < check_number(high, "the range's high end"):
        raise ValueError(f"the range is {low!r} to {high!r}; expected low < high")
    if integer and not all(isinstance(as_scalar(end), int) for end in (low, high)):
        raise TypeError(f"the range is {low!r} to {high!r}; expected whole numbers")
    if log and low < 1 and integer:
        raise ValueError(f"low is {low}; a logarithmic range of integers starts at 1 or above")
    if log and low <= 0:
        raise ValueError(f"low is {low!r}; a logarithmic range starts above 0")
    least, most = (0 if log else -math.inf, math.inf)
    if limits is not None:
        if not limits[0] <= low < high <= limits[1]:
            raise ValueError(f"the range is {low!r} to {high!r}, beyond its limits {limits}")
        least, most = max(least, as_scalar(limits[0])), as_scalar(limits[1])
    kind = int if integer else float
    return Dimension(
        kind(low), kind(high), log, integer, when=_condition(when), limits=(least, most)
    )


def _condition(when: When) -> dict[str, list[Any]]:
    if when is None:
        return {}
    if not isinstance(when, Mapping):
        raise TypeError(
            f"when is {when!r}; expected a dict such as {{'optimizer': 'momentum'}} or "
            "{'optimizer': ['momentum', 'nesterov']}"
        )
    return {
        name: [_plain(value) for value in (values if isinstance(values, list) else [values])]
        for name, values in when.items()
    }
