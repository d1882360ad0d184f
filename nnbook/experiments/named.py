"""Call functions with the arguments that they name, and see that every knob is named by one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["call", "check_knobs", "names_of"]

_NAMED = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY


def names_of(function: Callable[..., Any]) -> tuple[set[str], bool]:
    """Return the arguments that a function names, and whether it takes any others too.

    Parameters
    ----------
    function : callable
        Which.

    Returns
    -------
    tuple of set of str and bool
    """
    every = inspect.signature(function).parameters.values()
    named = {one.name for one in every if one.kind in _NAMED}
    return named, any(one.kind is inspect.Parameter.VAR_KEYWORD for one in every)


def call(function: Callable[..., Any], available: Mapping[str, Any]) -> Any:
    """Call a function with those of the available arguments that it names.

    Parameters
    ----------
    function : callable
        A function with ``**others`` gets all of them.
    available : mapping of str to anything
        What there is.

    Returns
    -------
    anything

    Raises
    ------
    TypeError
        It asks for something else.

    Examples
    --------
    >>> call(lambda width, depth=1: width * depth, {"width": 3, "learning_rate": 0.1})
    3
    """
    named, open_ended = names_of(function)
    given = dict(available) if open_ended else {k: available[k] for k in named & set(available)}
    try:
        inspect.signature(function).bind(**given)
    except TypeError as error:
        name = getattr(function, "__name__", repr(function))
        raise TypeError(f"{name}: {error}; there are {', '.join(sorted(available))}") from None
    return function(**given)


def check_knobs(knobs: Iterable[str], functions: Iterable[Callable[..., Any] | None]) -> None:
    """Refuse a knob that no function names: turning it would do nothing.

    Parameters
    ----------
    knobs : iterable of str
        Those of an arm.
    functions : iterable of callable or None
        Those that are called.

    Raises
    ------
    TypeError
        There is such a knob.
    """
    found = [names_of(function) for function in functions if function is not None]
    if any(open_ended for _, open_ended in found):
        return
    named = set().union(*(names for names, _ in found))
    if idle := sorted(set(knobs) - named):
        raise TypeError(
            f"no function names the knob {idle[0]!r}, so turning it would do nothing; they name "
            f"{', '.join(sorted(named))}"
        )
