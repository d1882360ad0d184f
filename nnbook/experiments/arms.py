"""What an experiment compares: arms, each with its knobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nnbook._arguments import check_list, check_text
from nnbook.search.dimensions import Dimension
from nnbook.search.space import Space

__all__ = ["Arm", "check_arms"]


@dataclass(frozen=True, init=False, eq=False)
class Arm:
    """One of the alternatives that an experiment compares.

    Parameters
    ----------
    name : str
        What tables and comparisons call it.
    **knobs : Dimension or anything
        A range or choice of `nnbook.search` (``log(0.01, 1)``) is tuned; any other value is fixed.

    Attributes
    ----------
    space : Space or None
        What is tuned; None if nothing is.
    fixed : dict
        The other knobs.

    Raises
    ------
    TypeError, ValueError
        No name; see also `nnbook.search.Space`.

    Examples
    --------
    >>> from nnbook import search
    >>> from nnbook.experiments import Arm
    >>> arm = Arm("tanh", activation="tanh", learning_rate=search.log(0.01, 1))
    >>> arm
    Arm('tanh', activation='tanh', learning_rate=log(0.01, 1.0))
    >>> arm.fixed, list(arm.space)
    ({'activation': 'tanh'}, ['learning_rate'])
    """

    name: str
    space: Space | None
    fixed: dict[str, Any]

    def __init__(self, name: str, /, **knobs: Any):
        tuned = {knob: value for knob, value in knobs.items() if isinstance(value, Dimension)}
        fixed = {knob: value for knob, value in knobs.items() if knob not in tuned}
        object.__setattr__(self, "name", check_text(name, "the arm's name"))
        object.__setattr__(self, "space", Space(**tuned) if tuned else None)
        object.__setattr__(self, "fixed", fixed)

    def __repr__(self) -> str:
        knobs = {**self.fixed, **(self.space or {})}
        return f"Arm({', '.join([repr(self.name), *(f'{k}={v!r}' for k, v in knobs.items())])})"


def check_arms(arms: Sequence[Arm]) -> tuple[Arm, ...]:
    """Return the arms of an experiment: at least one, each with a name of its own."""
    found = check_list(arms, "arms", Arm)
    names = [arm.name for arm in found]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"arms are called {names}; expected at least one, and no name twice")
    return tuple(found)
