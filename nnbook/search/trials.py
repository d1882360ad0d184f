"""One trial: a configuration, a seed, and what came out, in one form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nnbook.search.space import RESERVED

__all__ = ["Stopped", "Trial", "scores"]


class Stopped(Exception):
    """Somebody has asked that a trial end."""


@dataclass(frozen=True)
class Trial:
    """A configuration and a seed, and what came out: what a log stores, and nothing but JSON.

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
        "complete", "nan" (no finite value), "failed" (an exception), "stopped" (before its last
        step, or by hand), "paused" (between two steps), or "" before its end.
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
    state: str = ""
    error: str = ""
    seconds: float = 0.0
    measures: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return the row of a table."""
        row = dict(vars(self))
        return {**row.pop("configuration"), **row.pop("measures"), **row}

    def ended(self, returned: Any, seconds: float, hyperparameters: Iterable[str]) -> Trial:
        """Return the trial with what its evaluation returned, or the exception that ended it.

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
        Trial

        Raises
        ------
        TypeError, ValueError
            Something else was returned: a mistake that every trial would share.
        """
        before = self.seconds  # those of the steps that it has behind it
        if isinstance(returned, Stopped):
            return replace(self, state="stopped", error=str(returned), seconds=before + seconds)
        if isinstance(returned, Exception):
            error = f"{type(returned).__name__}: {returned}"[:500]
            return replace(self, state="failed", error=error, seconds=before + seconds)
        found = returned if isinstance(returned, Mapping) else {"value": returned}
        measures = {"seconds": seconds, **{str(n): _plain(n, one) for n, one in found.items()}}
        if "value" not in measures:
            raise ValueError(
                f"the evaluation returned {', '.join(map(repr, found)) or 'an empty dict'}; "
                "expected 'value' among them"
            )
        for name in ("value", "seconds"):
            if isinstance(measures[name], (bool, str, type(None))):
                raise TypeError(
                    f"the evaluation returned {measures[name]!r} as its {name}; expected a number"
                )
        value, seconds = float(measures.pop("value")), float(measures.pop("seconds"))
        if taken := set(measures) & {*RESERVED, *hyperparameters}:
            raise ValueError(
                f"the evaluation measured {sorted(taken)}, which the table has already; rename it"
            )
        ended = replace(self, seconds=before + seconds, measures={**self.measures, **measures})
        if not math.isfinite(value):
            return replace(ended, state="nan", error=f"the value is {value}")
        return replace(ended, state="complete", value=value)


def _plain(name: Any, value: Any) -> Any:
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


def scores(trials: Iterable[Trial], smaller_is_better: bool, measure: str = "") -> dict[int, float]:
    """Return the mean over the seeds of each trial; smaller is better in it, and no value is inf.

    Parameters
    ----------
    trials : iterable of Trial
        Of some or all configurations.
    smaller_is_better : bool
        Of the value.
    measure : str
        A measure to take in the place of the value.

    Returns
    -------
    dict of int to float
        By the number of the configuration.
    """
    found: dict[int, list[float]] = {}
    for one in trials:
        value = one.measures.get(measure, math.nan) if measure else one.value
        value = value if smaller_is_better else -value
        found.setdefault(one.trial, []).append(value if math.isfinite(value) else math.inf)
    return {trial: math.fsum(values) / len(values) for trial, values in found.items()}
