"""One hyperparameter: its range or its choices, its scale, its condition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as onp

from nnbook._arguments import as_scalar, check_number, check_whole

__all__ = ["Dimension", "categorical", "integer", "linear", "log"]

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
            return sorted({round(float(value)) for value in spaced})
        return [float(f"{value:.12g}") for value in spaced[:-1]] + [self.high]  # 0.1, not 0.0999…

    @property
    def labels(self) -> list[Any]:
        """The choices as Optuna stores them: a tuple goes by its text."""
        return [str(choice) if isinstance(choice, tuple) else choice for choice in self.choices]

    def suggest(self, name: str, trial: Any) -> Any:
        """Let a trial of Optuna choose a value.

        Parameters
        ----------
        name : str
            The dimension's name.
        trial : optuna.trial.Trial
            Who chooses.

        Returns
        -------
        float, int or a choice
        """
        if self.choices:
            return self.from_optuna(trial.suggest_categorical(name, self.labels))
        if self.integer:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def to_optuna(self, value: Any) -> Any:
        """Return the value as Optuna stores it."""
        return str(value) if isinstance(value, tuple) else value

    def from_optuna(self, stored: Any) -> Any:
        """Return the value that Optuna stored."""
        for label, choice in zip(self.labels, self.choices, strict=True):
            if same_value(label, stored):
                return choice
        return stored

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
        low, high = self.low, self.high
        if self.log:
            factor = (high / low) ** by
            low, high = (low / factor, high) if lower else (low, high * factor)
        else:
            step = by * (high - low)
            low, high = (low - step, high) if lower else (low, high + step)
        low, high = float(f"{low:.6g}"), float(f"{high:.6g}")  # 10, and not 9.999999999999998
        if self.integer:
            low, high = math.floor(low), math.ceil(high)
            low = max(1, low) if self.log else low
        low, high = max(low, self.limits[0]), min(high, self.limits[1])
        low, high = (int(low), int(high)) if self.integer else (float(low), float(high))
        return replace(self, low=low, high=high) if lower else replace(self, high=high)


def log(
    low: float,
    high: float,
    *,
    when: Mapping[str, Any] | None = None,
    limits: tuple[float, float] | None = None,
) -> Dimension:
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
    _check_range(low, high, limits)
    if low <= 0:
        raise ValueError(f"low is {low!r}; a logarithmic range starts above 0")
    limits = (max(0.0, limits[0]), limits[1]) if limits else (0, math.inf)
    return Dimension(float(low), float(high), True, when=_condition(when), limits=limits)


def linear(
    low: float,
    high: float,
    *,
    when: Mapping[str, Any] | None = None,
    limits: tuple[float, float] | None = None,
) -> Dimension:
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
    _check_range(low, high, limits)
    return Dimension(
        float(low), float(high), when=_condition(when), limits=limits or (-math.inf, math.inf)
    )


def integer(
    low: int,
    high: int,
    *,
    log: bool = False,
    when: Mapping[str, Any] | None = None,
    limits: tuple[float, float] | None = None,
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
    _check_range(low, high, limits)
    if not all(isinstance(as_scalar(end), int) for end in (low, high)):
        raise TypeError(f"the range is {low!r} to {high!r}; expected whole numbers")
    if log and low < 1:
        raise ValueError(f"low is {low}; a logarithmic range of integers starts at 1 or above")
    if limits is None:
        limits = (0 if log else -math.inf, math.inf)
    return Dimension(
        int(low), int(high), bool(log), integer=True, when=_condition(when), limits=limits
    )


def categorical(choices: Sequence[Any], *, when: Mapping[str, Any] | None = None) -> Dimension:
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


def _check_range(low: Any, high: Any, limits: Any) -> None:
    if not check_number(low, "the range's low end") < check_number(high, "the range's high end"):
        raise ValueError(f"the range is {low!r} to {high!r}; expected low < high")
    if limits is not None and not limits[0] <= low < high <= limits[1]:
        raise ValueError(f"the range is {low!r} to {high!r}, beyond its limits {limits}")


def _condition(when: Mapping[str, Any] | None) -> dict[str, list[Any]]:
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
