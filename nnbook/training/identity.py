"""What makes a run the same run: a description of everything that changes its result."""

from __future__ import annotations

import functools
import hashlib
import re
import types
import zlib
from typing import Any

import numpy as onp

from nnbook.training.callbacks import Callback
from nnbook.training.run import Run

__all__ = ["IdentityError", "describe", "differences", "identity_of"]


_DEEPEST = 40


class IdentityError(TypeError):
    """Something cannot be told apart from others of its kind."""


def identity_of(run: Run) -> dict[str, Any]:
    """Describe a run by what decides its result, in JSON's terms.

    Parameters
    ----------
    run : Run
        The run.

    Returns
    -------
    dict
        Of network or objective, data, validation data, loss, rule, penalty, order, batch size, seed
        and callbacks: ``{"shown": text, "exact": hash}``. The number of epochs is left out: a run
        may go on.

    Raises
    ------
    IdentityError
        Something cannot be described; the message has the way out.
    """
    plan = run.plan
    parts = {
        "seed": plan.seed,
        "batch_size": plan.batch_size,
        "network": run.net,
        "data": run.examples,
        "validation": run.held_out,
        "loss": plan.loss,
        "optimizer": plan.optimizer,
        "penalty": plan.penalty,
        "order": plan.order,
        "callbacks": run.stateful(),
    }
    found = {}
    for name, thing in parts.items():
        try:
            exact = hashlib.sha256(repr(describe(thing)).encode()).hexdigest()[:16]
            found[name] = {"shown": _shown(thing), "exact": exact}
        except IdentityError as error:
            raise IdentityError(
                f"the run's {name} cannot be described, so that a resumed run would not notice a "
                f"change: {error}. Give it a method identity() that returns text or numbers"
            ) from None
    found["network"]["shown"] = run.vector.fingerprint()
    return found


def differences(mine: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Say in what two runs' identities differ; "" if they do not."""
    found = []
    for name, own in mine.items():
        other = theirs.get(name) or {"shown": "unknown", "exact": ""}
        if own["exact"] != other["exact"] or own["shown"] != other["shown"]:
            same = own["shown"] == other["shown"]
            what = "is another one of the same description" if same else f"is {own['shown']}"
            found.append(f"{name} was {other['shown']}, {what}")
    return "; ".join(found)


def _shown(thing: Any) -> str:
    """Describe a thing for a message, alike in every process."""
    if isinstance(thing, list):
        return str([type(part).__name__ for part in thing])
    if isinstance(thing, types.FunctionType):
        return thing.__name__
    named = callable(getattr(thing, "identity", None))
    text = str(thing.identity()) if named else repr(thing)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def describe(thing: Any, seen: tuple[int, ...] = ()) -> Any:
    """Describe a thing by its values, alike in every process, in JSON's terms.

    Parameters
    ----------
    thing : object
        Numbers, text, arrays, functions, networks, and objects made of them. One with a method
        ``identity()`` is described by what it returns.

    Returns
    -------
    object
        Text, numbers, lists and dicts.

    Raises
    ------
    IdentityError
        It has values that cannot be described.
    """
    if isinstance(thing, (bool, float)):
        return repr(thing)
    if thing is None or isinstance(thing, (int, str)):
        return thing
    if isinstance(thing, types.ModuleType):
        return thing.__name__
    if len(seen) > _DEEPEST:
        raise IdentityError(f"a {type(thing).__name__} lies deeper than {_DEEPEST} levels in it")
    if callable(getattr(thing, "identity", None)) and not isinstance(thing, type):
        return [_name(type(thing)), describe(thing.identity(), seen)]
    if hasattr(thing, "asnumpy") or hasattr(thing, "__array__"):
        return _array(thing)
    if id(thing) in seen:
        return "itself"
    seen = (*seen, id(thing))
    if isinstance(thing, (list, tuple, set, frozenset)):
        return [describe(part, seen) for part in thing]
    if isinstance(thing, dict):
        return {str(key): describe(value, seen) for key, value in thing.items()}
    if isinstance(thing, type):
        return _name(thing)
    if isinstance(thing, functools.partial):
        return ["partial", *(describe(p, seen) for p in (thing.func, thing.args, thing.keywords))]
    owner = getattr(thing, "__self__", None)
    if isinstance(thing, (types.MethodType, types.BuiltinMethodType)) and owner is not None:
        return [describe(owner, seen), thing.__name__]
    if isinstance(thing, types.FunctionType):
        return _function(thing, seen)
    if isinstance(thing, (types.BuiltinFunctionType, onp.ufunc)):
        return _name(thing)
    if hasattr(thing, "collect_params") and hasattr(thing, "_children"):
        return _block(thing, seen)
    return _object(thing, seen)


def _name(thing: Any) -> str:
    module = getattr(thing, "__module__", None) or ""
    return f"{module}.{getattr(thing, '__qualname__', getattr(thing, '__name__', thing))}"


def _array(array: Any) -> str:
    # PyTorch gives the memory of a tensor only where nobody waits for its gradient.
    array = array.detach() if hasattr(array, "detach") and not hasattr(array, "asnumpy") else array
    values = onp.ascontiguousarray(array.asnumpy() if hasattr(array, "asnumpy") else array)
    if values.dtype.hasobject:
        raise IdentityError(f"an array of {values.dtype} has no bytes of its own")
    return f"{values.dtype.name} {values.shape} {zlib.crc32(values.tobytes()):08x}"


def _function(function: Any, seen: tuple[int, ...]) -> list[Any]:
    """Describe a function by its name, its code, its defaults and what it has closed over."""
    try:
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
    except ValueError:  # a name that is not bound yet
        cells = []
    kept = [function.__defaults__, function.__kwdefaults__, cells]
    return [_name(function), _code(function.__code__), describe(kept, seen)]


def _code(code: types.CodeType) -> str:
    digest = hashlib.sha256(code.co_code + repr(code.co_names).encode())
    for constant in code.co_consts:
        inner = isinstance(constant, types.CodeType)
        digest.update((_code(constant) if inner else repr(constant)).encode())
    return digest.hexdigest()[:16]


# What a Gluon block holds that does not change what it computes, or that is told apart elsewhere.
_OF_BLOCKS = {
    *("_children", "_params", "_reg_params", "_scope", "_prefix", "_name", "_empty_prefix"),
    *("_forward_hooks", "_forward_pre_hooks", "_active", "_flags", "_monitor_all"),
    *("_backend", "_backend_opts", "_in_format", "_out_format", "_called_infer_shape_already"),
    *("_partition_if_dynamic", "_first_forward", "_callback", "_input_names"),
}


def _block(block: Any, seen: tuple[int, ...]) -> list[Any]:
    own = {
        name: value
        for name, value in vars(block).items()
        if name not in _OF_BLOCKS
        and not name.startswith("_cached")
        and not hasattr(value, "collect_params")
        and not hasattr(value, "list_ctx")  # a parameter
    }
    children = [describe(child, seen) for child in block._children.values()]
    return [_name(type(block)), describe(own, seen), children]


def _object(thing: Any, seen: tuple[int, ...]) -> list[Any]:
    """Describe an object by its class and its attributes."""
    settings = getattr(thing, "__dict__", None)
    if settings is None:
        slots = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
        if not slots:
            raise IdentityError(f"a {type(thing).__name__} has no attributes to go by")
        settings = {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
    if isinstance(thing, Callback):
        settings = thing.settings()
    return [_name(type(thing)), describe(settings, seen)]
