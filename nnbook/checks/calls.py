"""How checks are called: ``check(net, (x, y), loss=…)``, as `nnbook.training.fit` is."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as onp

from nnbook.data.inputs import as_pair
from nnbook.gluon.loss_names import named as named_loss
from nnbook.optim.names import named as named_rule

__all__ = ["Pair", "batch_for", "either_order", "judged_here", "refuse_beside_an_objective"]

Pair = tuple[Any, Any]

Result = TypeVar("Result")


def either_order(check: Callable[..., Result]) -> Callable[..., Result]:
    """Let a check be called in the first edition's order too: ``check(net, loss, x, y, …)``.

    There the loss came before the data, and most checks took x and y apart. An argument without a
    name that is a function can only be a loss, and two arrays one after the other only x and y. A
    loss may be the name of one, and data tables or lists, as for `fit`. A network whose shapes are
    deferred learns them here, from the data, before it is copied: every copy would draw initial
    weights of its own.
    """

    @functools.wraps(check)
    def called(net: Any, *rest: Any, **options: Any) -> Result:
        rest = _in_order(rest, options)
        if hasattr(net, "collect_params"):
            rest = tuple(_arrays(part) for part in rest)
            options = {name: _known(name, value) for name, value in options.items()}
            given: Any = rest[0] if rest else options.get("data")
            if _is_pair(given):
                from nnbook.gluon.deferred import complete  # it needs MXNet

                complete(net, given[0])
        return check(net, *rest, **options)

    return called


def _in_order(rest: tuple[Any, ...], options: dict[str, Any]) -> tuple[Any, ...]:
    """Bring what follows the network into today's order: data first, the loss by name."""
    if "x" in options and "y" in options:
        options["data"] = options.pop("x"), options.pop("y")
    if len(rest) > 1 and all(getattr(part, "shape", ()) for part in rest[:2]):
        rest = ((rest[0], rest[1]), *rest[2:])
    place = next((k for k, part in enumerate(rest[:2]) if _is_loss(part)), None)
    if place is None:
        return rest
    if "loss" in options:
        raise TypeError(
            f"a loss is given twice, {rest[place]!r} and {options['loss']!r}; expected "
            "check(net, (x, y), loss=…)"
        )
    options["loss"] = rest[place]
    remaining = [*rest[:place], *rest[place + 1 :]]
    if "data" in options:
        return (options.pop("data"), *remaining)
    if remaining and not _is_pair(remaining[0]):
        x, *remaining = remaining
        y = remaining.pop(0) if remaining else options.pop("y", None)
        return ((x, y), *remaining)
    return tuple(remaining)


def _is_loss(thing: Any) -> bool:
    """Tell whether an argument is a loss, and neither data nor a penalty."""
    return isinstance(thing, str) or (callable(thing) and not hasattr(thing, "gradient"))


def _arrays(thing: Any) -> Any:
    """Return data as arrays, anything else as it is."""
    return as_pair(thing, "data") if _is_pair(thing) else thing


def _known(name: str, value: Any) -> Any:
    """Return what an argument by name stands for."""
    if name == "loss":
        return named_loss(value)
    if name == "optimizer":
        return named_rule(value)
    return _arrays(value) if name in ("data", "validation") else value


def _is_pair(thing: Any) -> bool:
    return isinstance(thing, (tuple, list)) and len(thing) == 2


def batch_for(data: Any, size: int, seed: int) -> Pair:
    """Draw some examples, without repetition, as NumPy arrays."""
    if not _is_pair(data):
        raise TypeError(f"data is a {type(data).__name__}; expected a pair (x, y) of arrays")
    x, y = (_numpy(part) for part in data)
    if len(x) <= size:
        return x, y
    rows = onp.random.default_rng(seed).choice(len(x), size=size, replace=False)
    return x[rows], y[rows]


def _numpy(array: Any) -> onp.ndarray:
    return array.asnumpy() if hasattr(array, "asnumpy") else onp.asarray(array)


def refuse_beside_an_objective(*, dtype: str, **given: Any) -> None:
    """Raise TypeError if an objective comes with what it has inside."""
    names = [name for name, value in given.items() if value is not None]
    names += ["dtype"] if dtype != "float64" else []
    if names:
        raise TypeError(
            f"{', '.join(names)} given beside an objective, which has its data, its loss and its "
            "dtype inside; expected the objective and other arguments by name"
        )


@contextmanager
def judged_here() -> Iterator[None]:
    """Train without the warning of a loss that grew: the check has findings about that."""
    from nnbook.training import GrowthWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GrowthWarning)
        yield
