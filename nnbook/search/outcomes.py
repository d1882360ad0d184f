"""What an evaluation returned, in one form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nnbook.search.space import RESERVED

__all__ = ["Outcome", "outcome_of"]


@dataclass(frozen=True)
class Outcome:
    """The result of one trial: what is stored, and nothing but JSON."""

    value: float
    state: str
    error: str
    seconds: float
    measures: dict[str, Any]


def outcome_of(returned: Any, seconds: float, hyperparameters: Iterable[str]) -> Outcome:
    """Make an outcome of what an evaluation returned, or of the exception that ended it.

    Parameters
    ----------
    returned : float, mapping or Exception
        The value, or a mapping with a "value" and further measures.
    seconds : float
        How long it took, if it does not say so itself.
    hyperparameters : iterable of str
        Names that no measure may have.

    Returns
    -------
    Outcome

    Raises
    ------
    TypeError, ValueError
        Something else was returned: a mistake that every trial would share.
    """
    if isinstance(returned, Exception):
        text = f"{type(returned).__name__}: {returned}"
        return Outcome(math.nan, "failed", text[:500], seconds, {})
    found = dict(returned) if isinstance(returned, Mapping) else {"value": returned}
    if "value" not in found:
        raise ValueError(
            f"the evaluation returned {', '.join(map(repr, found)) or 'an empty dict'}; expected "
            "'value' among them"
        )
    value = _number("value", found.pop("value"))
    seconds = _number("seconds", found.pop("seconds", seconds))
    measures = {str(name): _plain(name, measure) for name, measure in found.items()}
    if taken := set(measures) & {*RESERVED, *hyperparameters}:
        raise ValueError(
            f"the evaluation measured {sorted(taken)}, which the table has already; rename it"
        )
    if not math.isfinite(value):
        return Outcome(math.nan, "nan", f"the value is {value}", seconds, measures)
    return Outcome(value, "complete", "", seconds, measures)


def _number(name: str, value: Any) -> float:
    found = _plain(name, value)
    if isinstance(found, (bool, str)) or found is None:
        raise TypeError(f"the evaluation returned {value!r} as its {name}; expected a number")
    return float(found)


def _plain(name: str, value: Any) -> Any:
    """Return a number, string, boolean or None of Python for one of NumPy or MXNet."""
    if hasattr(value, "shape") and hasattr(value, "item"):
        if value.size != 1:
            raise TypeError(f"the evaluation returned an array as {name}; expected one number")
        value = value.item()
    if not isinstance(value, (int, float, str, bool, type(None))):
        raise TypeError(
            f"the evaluation returned {value!r} as {name}; expected a number, a string or a boolean"
        )
    return value
