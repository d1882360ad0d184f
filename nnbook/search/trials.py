"""One trial: a configuration, a seed, and what came out, in one form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nnbook.search.space import RESERVED

__all__ = ["Trial", "trial_of"]


@dataclass(frozen=True)
class Trial:
    """A configuration evaluated with a seed: what a log stores, and nothing but JSON.

    Attributes
    ----------
    trial : int
        The configuration's number.
    seed : int
        The seed.
    configuration : dict
        The configuration.
    value : float
        What came out; NaN if nothing did.
    state : str
        "complete", "nan" (no finite value) or "failed" (an exception).
    error : str
        Why it is not complete.
    seconds : float
        How long it took.
    measures : dict
        What else was measured: numbers, strings, booleans.
    """

    trial: int
    seed: int
    configuration: dict[str, Any]
    value: float = math.nan
    state: str = "complete"
    error: str = ""
    seconds: float = 0.0
    measures: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return the row of a table."""
        row = dict(vars(self))
        return {**row.pop("configuration"), **row.pop("measures"), **row}


def trial_of(
    trial: int,
    seed: int,
    configuration: dict[str, Any],
    returned: Any,
    seconds: float,
    hyperparameters: Iterable[str],
) -> Trial:
    """Make a trial of what its evaluation returned, or of the exception that ended it.

    Parameters
    ----------
    trial, seed : int
        The configuration's number, and the seed.
    configuration : dict
        What was evaluated.
    returned : float, mapping or Exception
        The value, or a mapping with a "value" and further measures.
    seconds : float
        How long it took, if it does not say so itself.
    hyperparameters : iterable of str
        Names that no measure may have.

    Returns
    -------
    Trial

    Raises
    ------
    TypeError, ValueError
        Something else was returned: a mistake that every trial would share.
    """
    if isinstance(returned, Exception):
        text = f"{type(returned).__name__}: {returned}"[:500]
        return Trial(trial, seed, configuration, math.nan, "failed", text, seconds)
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
    if math.isfinite(value):
        return Trial(trial, seed, configuration, value, "complete", "", seconds, measures)
    text = f"the value is {value}"
    return Trial(trial, seed, configuration, math.nan, "nan", text, seconds, measures)


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
