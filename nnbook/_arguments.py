"""Checks of arguments, in one place: what is refused, how, and in which words.

A wrong kind is a TypeError: a string, a boolean, None, or a fraction where a whole number is asked
for. A wrong value is a ValueError: too small, too large, NaN. What passes comes back as a number of
Python, since a NumPy scalar would turn float32 arrays into float64 ones (NEP 50).
"""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar

__all__ = [
    "as_scalar",
    "check_choice",
    "check_file",
    "check_flag",
    "check_list",
    "check_number",
    "check_pair",
    "check_positive",
    "check_seed",
    "check_sizes",
    "check_text",
    "check_whole",
]

_Thing = TypeVar("_Thing")


def as_scalar(value: Any) -> Any:
    """Return the number in an array without axes, NumPy's or MXNet's; anything else as it is."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def check_whole(value: Any, name: str, least: int = 1, most: int | None = None) -> int:
    """Return a whole number of at least `least`, and at most `most`, as an int.

    Raises
    ------
    TypeError
        No whole number: 1.5, 2.0, True, "3", None.
    ValueError
        One that is too small or too large.
    """
    found = as_scalar(value)
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"
    message = f"{name} is {found!r}; expected a whole number {limits}"
    if not _is_number(found, numbers.Integral):
        raise TypeError(message)
    if found < least or (most is not None and found > most):
        raise ValueError(message)
    return int(found)


def check_sizes(**sizes: Any) -> None:
    """Refuse what is no whole number of at least 1; each keyword is the name in the message."""
    for name, value in sizes.items():
        check_whole(value, name)


def check_seed(value: Any, name: str = "seed") -> int:
    """Return a seed, a whole number of at least 0, as an int."""
    return check_whole(value, name, least=0)


def check_number(
    value: Any,
    name: str,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """Return a finite number within some bounds as a float.

    Raises
    ------
    TypeError
        No real number: True, "0.1", None, an array with axes.
    ValueError
        NaN, an infinity, or a number out of bounds.
    """
    found = as_scalar(value)
    message = f"{name} is {found!r}; expected {_bounded(above, least, below, most)}"
    if not _is_number(found, numbers.Real):
        raise TypeError(message)
    inside = (
        math.isfinite(found)
        and (above is None or found > above)
        and (least is None or found >= least)
        and (below is None or found < below)
        and (most is None or found <= most)
    )
    if not inside:
        raise ValueError(message)
    return float(found)


def _bounded(
    above: float | None, least: float | None, below: float | None, most: float | None
) -> str:
    """Say what a number must be: "a number in [0, 1)"."""
    low, high = (least if above is None else above), (most if below is None else below)
    if low is not None and high is not None:
        ends = "[" if above is None else "(", "]" if below is None else ")"
        return f"a number in {ends[0]}{low:g}, {high:g}{ends[1]}"
    bounds = [(">", above), ("≥", least), ("<", below), ("≤", most)]
    return " ".join(["a finite number", *(f"{sign} {b:g}" for sign, b in bounds if b is not None)])


def check_positive(value: Any, name: str) -> float:
    """Return a finite number above 0 as a float."""
    return check_number(value, name, above=0)


def check_choice(value: _Thing, name: str, choices: Collection[_Thing]) -> _Thing:
    """Return `value` if it is one of the choices, else raise ValueError."""
    # A list cannot be looked up in a dict; it is no choice either.
    if not any(value is choice or value == choice for choice in choices):
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(map(repr, choices))}")
    return value


def check_flag(value: Any, name: str) -> bool:
    """Return True or False, NumPy's too, as a bool; the string "no" would count as true."""
    found = as_scalar(value)
    if not isinstance(found, bool):
        raise TypeError(f"{name} is {value!r}; expected True or False")
    return found


def check_text(value: Any, name: str) -> str:
    """Return a text that says something."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}; expected a text")
    if not value.strip():
        raise ValueError(f"{name} is {value!r}; expected a text that says something")
    return value


def check_pair(value: Any, name: str) -> tuple[Any, Any]:
    """Return the two of a pair ``(x, y)``."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        kind = type(value).__name__
        many = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
        raise TypeError(f"{name} is a {kind}{many}; expected a pair (x, y) of arrays")
    return value[0], value[1]


def check_list(value: Any, name: str, kind: type[_Thing]) -> list[_Thing]:
    """Return several things of one kind as a list; None is none of them."""
    if isinstance(value, kind):
        raise TypeError(f"{name} is one {type(value).__name__}; expected a list of them")
    if value is not None and not isinstance(value, Iterable):
        raise TypeError(f"{name} is {value!r}; expected a list of {kind.__name__}")
    found = [] if value is None else list(value)
    for one in found:
        if not isinstance(one, kind):
            raise TypeError(f"{name} has {one!r}; expected each to be a {kind.__name__}")
    return found


def check_file(path: str | os.PathLike[str], what: str) -> Path:
    """Return where a file is, or can be written; ``~`` is the home folder.

    Raises
    ------
    TypeError
        No path.
    IsADirectoryError, FileNotFoundError, NotADirectoryError
        A folder has that name; the folder that is to hold the file is missing, or is a file.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path is {path!r}; expected a path")
    found = Path(path).expanduser()
    if found.is_dir():
        raise IsADirectoryError(
            f"{found} is a folder; expected the name of a file, such as {found / what}"
        )
    if not found.parent.exists():
        raise FileNotFoundError(
            f"the folder {str(found.parent)!r} of the {what} does not exist; create it"
        )
    if not found.parent.is_dir():
        raise NotADirectoryError(
            f"{str(found.parent)!r} is a file; expected the folder that is to hold the {what}"
        )
    return found
