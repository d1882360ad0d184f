"""Decide without a mean: shares of cases, panels of tasks, mathematics, finite enumerations."""

from __future__ import annotations

from collections.abc import Mapping

from nnbook.claims.decisions import CONFIRMED, DERIVED, OPEN, REVERSED, Decision
from nnbook.claims.intervals import share_interval

__all__ = ["count", "holds", "panel", "share"]

_INF = float("inf")


def share(
    statement: str,
    found: int,
    *,
    of: int,
    quantity: str,
    at_least: float | None = None,
    at_most: float | None = None,
    covers: str = "",
) -> Decision:
    """Decide by the share of independent cases, with its exact binomial interval.

    Parameters
    ----------
    statement : str
        What was decided, in words.
    found, of : int
        How many cases did, of how many independent ones: kinds of bug, tasks, searches; not seeds
        of the same case.
    quantity : str
        What is counted.
    at_least, at_most : float
        The border in [0, 1], one of the two: the claim is confirmed if the whole interval lies on
        its side, reversed if it lies on the other, open otherwise.
    covers : str, optional
        What the cases are a sample of.

    Returns
    -------
    Decision

    Raises
    ------
    ValueError
        Both borders or none, one outside [0, 1], or `found` not between 0 and `of`.

    Examples
    --------
    >>> from nnbook.claims import share
    >>> found = share("most bugs are caught", 12, of=12, quantity="kinds caught", at_least=0.5)
    >>> found.outcome, found.evidence
    ('confirmed', '12 of 12 (a share of 1, 95 % interval 0.735 to 1; at least 0.5)')
    """
    return _share(statement, found, of, quantity, at_least, at_most, covers, "share", {})


def panel(
    decisions: Mapping[str, Decision],
    *,
    statement: str,
    quantity: str = "tasks on which it holds",
    at_least: float = 0.5,
    covers: str = "",
) -> Decision:
    """Decide a general claim ("usually") by the number of tasks that confirm it.

    Parameters
    ----------
    decisions : mapping of str to Decision
        What each task decided, by its name.
    statement : str
        What was decided, in words.
    quantity : str
        What is counted.
    at_least : float
        The share of tasks that "usually" asks for.
    covers : str, optional
        What the tasks are a sample of.

    Returns
    -------
    Decision
        Of k of n tasks; its arms are the effects, their lower and their upper ends by task.

    Raises
    ------
    ValueError
        Fewer than two tasks, or a border outside [0, 1].
    """
    if len(decisions) < 2:
        raise ValueError(f"a panel needs at least two tasks; got {list(decisions)}")
    found = sum(decision.outcome == CONFIRMED for decision in decisions.values())
    parts = {name: (d.effect, d.low, d.high) for name, d in decisions.items()}
    return _share(
        statement, found, len(decisions), quantity, at_least, None, covers, "panel", parts
    )


def _share(statement, found, of, quantity, at_least, at_most, covers, kind, parts) -> Decision:
    if (at_least is None) == (at_most is None):
        raise ValueError("give one of at_least and at_most: the border of the share")
    direction = "greater" if at_most is None else "smaller"
    border = at_least if at_most is None else at_most
    if not 0 <= border <= 1:
        raise ValueError(f"the border is {border}; expected a share in [0, 1]")
    low, high = share_interval(found, of)
    above, below = low > border, high < border
    good, bad = (above, below) if direction == "greater" else (below, above)
    outcome = CONFIRMED if good else REVERSED if bad else OPEN
    return Decision(
        statement,
        outcome,
        float(found),
        low,
        high,
        float(border),
        int(of),
        kind=kind,
        quantity=quantity,
        direction=direction,
        null=float(border),
        p_value=1.0 if outcome == OPEN else _binomial(found, of, border, above),
        covers=covers,
        arms={name: tuple(values) for name, values in parts.items()},
    )


def _binomial(found: int, of: int, border: float, above: bool) -> float:
    """Return twice the one-sided p-value, as the interval has 2.5 % on each side."""
    from scipy import stats

    side = "greater" if above else "less"
    return float(min(1.0, 2 * stats.binomtest(int(found), int(of), border, side).pvalue))


def holds(statement: str, error: float, *, tolerance: float, quantity: str = "") -> Decision:
    """Check mathematics: an identity, a closed form or a guarantee, within a tolerance.

    Parameters
    ----------
    statement : str
        What holds.
    error : float
        The largest deviation found, ≥ 0 (NaN counts as a violation).
    tolerance : float
        The largest deviation allowed, stated beforehand.
    quantity : str, optional
        Of what the deviation is; by default the statement.

    Returns
    -------
    Decision
        Derived, or reversed; nothing between. Prints the error found, to one digit.
    """
    if not 0 < tolerance < _INF:
        raise ValueError(f"tolerance is {tolerance}; expected a positive and finite number")
    outcome = DERIVED if abs(error) <= tolerance else REVERSED
    return Decision(
        statement,
        outcome,
        float(abs(error)),
        0.0,
        tolerance,
        tolerance,
        0,
        kind="identity",
        quantity=quantity or statement,
        direction="smaller",
        p_value=0.0,
    )


def count(
    statement: str,
    found: int,
    *,
    of: int,
    expected: int = 0,
    exhaustive: bool = False,
    quantity: str = "",
) -> Decision:
    """Count what does something among given cases, and compare with what should.

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
    exhaustive : bool
        Whether these are all cases there are, as in the enumeration of a finite set: mathematics,
        and then "derived". Cases drawn from more are a sample and have an interval: see `share`.
    quantity : str, optional
        What is counted; by default the statement.

    Returns
    -------
    Decision
        Derived (or, for a sample, confirmed) if exactly the expected number was found, else
        reversed.

    Raises
    ------
    ValueError
        `found` or `expected` is not between 0 and `of`.
    """
    for name, value in (("found", found), ("expected", expected)):
        if not 0 <= value <= of:
            raise ValueError(f"{name} is {value}; expected 0 to {of}")
    good = DERIVED if exhaustive else CONFIRMED
    return Decision(
        statement,
        good if found == expected else REVERSED,
        float(found),
        0.0,
        float(of),
        float(expected),
        int(of),
        kind="count",
        quantity=quantity or statement,
        direction="equal",
        p_value=0.0,
    )
