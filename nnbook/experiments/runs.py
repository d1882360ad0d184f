"""One run of an arm on a seed: called, caught when it diverges, and brought into one form."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as onp

from nnbook._arguments import as_scalar, check_positive, check_whole

__all__ = ["AtLeast", "Cost", "Run", "first_below", "one_by_one", "run_all"]

Knobs = dict[str, Any]
RunOne = Callable[..., Any]
RunMany = Callable[[list[Knobs], list[int]], Sequence[Any]]


class AtLeast(float):
    """A measurement that was cut off: the budget ended before the target was reached.

    It is the number that the budget allows, and counts as that; tables say how many there were.

    Examples
    --------
    >>> from nnbook.experiments import AtLeast
    >>> AtLeast(60), AtLeast(60) == 60
    (≥ 60, True)
    """

    def __repr__(self) -> str:
        return f"≥ {float(self):g}"

    __str__ = __repr__


def first_below(curve: Any, target: float, *, budget: int | None = None) -> float:
    """Tell when a curve of losses first falls below a target, between its points too.

    Interpolated on a logarithmic scale. The unit is the curve's: epochs, if it has one value an
    epoch, the first after epoch 1.

    Parameters
    ----------
    curve : array-like of float, shape (n,)
        Positive losses; NaN is above every target.
    target : float
        What is to be reached, > 0.
    budget : int, optional
        How many values there would have been; by default as many as there are.

    Returns
    -------
    float
        At least 1; or an `AtLeast` the budget, if the curve never falls below the target.

    Raises
    ------
    TypeError, ValueError
        A target that is no positive number, a curve with more than one axis.

    Examples
    --------
    >>> from nnbook.experiments import first_below
    >>> first_below([1.0, 0.1, 0.01], 0.0316227766), first_below([1.0, 0.1], 0.05)
    (2.5, ≥ 2)
    """
    losses, target = onp.asarray(curve, dtype=float), check_positive(target, "target")
    if losses.ndim != 1:
        raise ValueError(f"the curve has shape {losses.shape}; expected one loss after the other")
    length = len(losses) if budget is None else check_whole(budget, "budget")
    below = onp.flatnonzero(losses < target)
    if not len(below):
        return AtLeast(length)
    k = int(below[0])
    if k == 0 or not math.isfinite(losses[k - 1]):
        return float(k + 1)
    with onp.errstate(divide="ignore"):
        before, after = onp.log(losses[k - 1 : k + 1])
    return round(float(k + (before - math.log(target)) / (before - after)), 9)


@dataclass(frozen=True)
class Cost:
    """What runs took, added up.

    Attributes
    ----------
    runs : int
        How many.
    steps, gradient_evaluations : float
        Of all of them, where they say so: updates of θ, and examples whose gradient was computed.
    seconds : float
        Of all of them; of what runs in a population, its share.
    """

    runs: int = 0
    steps: float = 0
    gradient_evaluations: float = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> Cost:
        """Add up the rows of a table.

        Parameters
        ----------
        rows : iterable of mapping
            One a run.

        Returns
        -------
        Cost
        """
        every = list(rows)

        def total(name: str) -> float:
            return sum(one for row in every if (one := row.get(name) or 0) == one)

        names = "steps", "gradient_evaluations", "seconds"
        return cls(len(every), *(total(name) for name in names))

    def __add__(self, other: Cost) -> Cost:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Cost(*(mine + theirs for mine, theirs in pairs))


@dataclass(frozen=True)
class Run:
    """What came of one run.

    Attributes
    ----------
    measures : dict of str to number
        What was measured; of a run that diverged perhaps nothing.
    diverged : bool
        Whether it has no result that counts.
    """

    measures: dict[str, Any] = field(default_factory=dict)
    diverged: bool = False

    @classmethod
    def of(cls, returned: Any, needed: Iterable[str]) -> Run:
        """Bring what a run returned, or raised, into one form.

        Parameters
        ----------
        returned : float, mapping or Exception
            What came of it.
        needed : iterable of str
            Measures that it must have, unless it diverged.

        Returns
        -------
        Run

        Raises
        ------
        TypeError, ValueError
            Something else, or a measure that is missing.
        Exception
            The exception, if it is not a FloatingPointError.
        """
        if isinstance(returned, FloatingPointError):
            return cls(diverged=True)
        if isinstance(returned, Exception):
            raise returned
        given = returned if isinstance(returned, Mapping) else {"value": returned}
        measures = {str(name): _number(name, value) for name, value in given.items()}
        diverged = bool(measures.pop("diverged", False))
        if not diverged and (missing := [name for name in needed if name not in measures]):
            raise ValueError(
                f"a run measured {', '.join(measures) or 'nothing'}; expected {missing[0]!r} "
                "among them"
            )
        lost = diverged or not all(math.isfinite(measures[name]) for name in needed)
        return cls(measures, lost)

    def value(self, name: str) -> float:
        """Return a measure as a number; NaN if there is none.

        Parameters
        ----------
        name : str
            The measure.

        Returns
        -------
        float
        """
        found = float(self.measures.get(name, math.nan))
        return found if math.isfinite(found) else math.nan

    def censored(self, name: str) -> bool:
        """Tell whether a measure was cut off.

        Parameters
        ----------
        name : str
            The measure.

        Returns
        -------
        bool
        """
        return not self.diverged and isinstance(self.measures.get(name), AtLeast)


def _number(name: Any, value: Any) -> Any:
    found = as_scalar(value)
    if not isinstance(found, (int, float)):
        raise TypeError(f"a run returned {value!r} as {name!r}; expected a number")
    return found


def one_by_one(run: RunOne) -> RunMany:
    """Return the function that calls ``run(seed, **knobs)`` for each of many.

    Parameters
    ----------
    run : callable
        Of one seed.

    Returns
    -------
    callable
    """

    def many(configurations: list[Knobs], seeds: list[int]) -> list[Any]:
        found: list[Any] = []
        for knobs, seed in zip(configurations, seeds, strict=True):
            started = time.perf_counter()
            try:
                returned = run(seed, **knobs)
            except FloatingPointError as error:
                found.append(error)
                continue
            given = returned if isinstance(returned, Mapping) else {"value": returned}
            found.append({"seconds": time.perf_counter() - started, **given})
        return found

    return many


def run_all(
    many: RunMany, configurations: list[Knobs], seeds: list[int], needed: Iterable[str]
) -> list[Run]:
    """Run configurations on seeds; one by one where together they diverge.

    Parameters
    ----------
    many : callable
        ``many(configurations, seeds)`` returns a result for each.
    configurations : list of dict
        The knobs of each run.
    seeds : list of int
        The seed of each run.
    needed : iterable of str
        Measures that each must have.

    Returns
    -------
    list of Run

    Raises
    ------
    ValueError
        Not as many results as configurations; see also `Run.of`.
    """
    names = tuple(needed)
    try:
        found = list(many([dict(knobs) for knobs in configurations], list(seeds)))
    except FloatingPointError:
        if len(seeds) == 1:
            return [Run(diverged=True)]
        pairs = zip(configurations, seeds, strict=True)
        return [run_all(many, [knobs], [seed], names)[0] for knobs, seed in pairs]
    if len(found) != len(seeds):
        raise ValueError(f"run_many returned {len(found)} results for {len(seeds)} configurations")
    return [Run.of(returned, names) for returned in found]
