"""A part of a population as bytes: networks, plans and callbacks there, what became of them back.

Gluon's networks pickle but for what belongs to a process: compiled graphs, trainers, symbols.
"""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as onp

from nnbook.gluon.parameters import named_parameters
from nnbook.gluon.runtime import mx, np, use_numpy_mode
from nnbook.population.members import Member
from nnbook.training import History

__all__ = ["NotPortable", "Parcel", "packed", "packed_error", "run_parcel", "unpacked"]

_OF_PROCESS: dict[type, dict[str, Any]] = {
    mx.gluon.Block: {"_cached_graph": (), "_cached_op": None, "_cached_op_args": []},
    mx.gluon.Parameter: {"_trainer": None, "_var": None, "_grad": None},
}


_KNOWN = {"nnbook", "mxnet", "numpy", *sys.stdlib_module_names}


class NotPortable(TypeError):
    """Something of a member cannot be sent to another process."""


@dataclasses.dataclass(frozen=True)
class Parcel:
    """Some members as bytes.

    Attributes
    ----------
    members : list of int
        Which they are.
    content : bytes
        For `run_parcel`.
    foreign : list of str
        Modules of the caller's whose functions and classes are used.
    """

    members: list[int]
    content: bytes
    foreign: list[str]

    @property
    def newest(self) -> float:
        """When the last of those modules was changed, in seconds since the epoch."""
        files = [getattr(sys.modules.get(name), "__file__", None) for name in self.foreign]
        return max((os.path.getmtime(f) for f in files if f and os.path.exists(f)), default=0.0)

    def with_data(self, names: Sequence[str]) -> Parcel:
        """Write the names of the data on it."""
        content = pickle.dumps((list(names), self.content))
        return dataclasses.replace(self, content=content)


class _Packer(pickle.Pickler):
    """Pickles networks without what belongs to a process, and nothing of ``__main__``."""

    def __init__(self, buffer: io.BytesIO):
        super().__init__(buffer, protocol=5)
        self.foreign: set[str] = set()

    def reducer_override(self, thing: Any) -> Any:
        if hasattr(thing, "__qualname__"):  # a class or a function goes by its name
            module = getattr(thing, "__module__", None) or "builtins"
            if module == "__main__":
                raise NotPortable(f"{thing.__qualname__} is not in a module that can be imported")
            if module.partition(".")[0] not in _KNOWN:
                self.foreign.add(module)
        if isinstance(thing, mx.gluon.Block) and (thing._forward_hooks or thing._forward_pre_hooks):
            raise NotPortable("what a forward hook does would be done in another process")
        for kind, reset in _OF_PROCESS.items():
            if isinstance(thing, kind):
                reduced: Any = thing.__reduce_ex__(4)
                make, arguments, state = reduced[:3]
                kept = {name: value for name, value in reset.items() if name in state}
                return make, arguments, state | kept
        return NotImplemented


def packed(
    members: Sequence[Member], train_part: Callable[..., Any], with_validation: bool
) -> Parcel:
    """Pack some members, and the function that trains them.

    Raises
    ------
    NotPortable
        Something of them is bound to this process; the message says what.
    """
    buffer = io.BytesIO()
    packer = _Packer(buffer)
    try:
        packer.dump((train_part, with_validation, list(members)))
    except NotPortable:
        raise
    except Exception as error:  # whatever a thing's own code raises when it is pickled
        raise NotPortable(f"{type(error).__name__}: {error}") from error
    indices = [member.index for member in members]
    return Parcel(indices, buffer.getvalue(), sorted(packer.foreign))


def run_parcel(content: bytes, data: Mapping[str, onp.ndarray]) -> bytes:
    """Train the members of a parcel; return what became of them."""
    use_numpy_mode()
    names, inner = pickle.loads(content)
    train_part, with_validation, members = pickle.loads(inner)
    for member in members:
        _give_gradients(member.net)
    x, y, *held_out = (data[name] for name in names)
    histories = train_part(members, (x, y), tuple(held_out) if with_validation else None, None)
    return _result(members, histories)


def _give_gradients(net: Any) -> None:
    with mx.autograd.pause():
        for parameter in named_parameters(net).values():
            if parameter._data is not None and parameter._grad is None:
                parameter._init_grad()


class _ResultPacker(_Packer):
    """Leaves out the networks: their values come back, and they stay the caller's."""

    def __init__(self, buffer: io.BytesIO, nets: dict[int, int]):
        super().__init__(buffer)
        self._nets = nets

    def persistent_id(self, thing: Any) -> Any:
        return self._nets.get(id(thing))


class _ResultUnpacker(pickle.Unpickler):
    def __init__(self, content: bytes, nets: dict[int, Any]):
        super().__init__(io.BytesIO(content))
        self._nets = nets

    def persistent_load(self, key: Any) -> Any:
        return self._nets[key]


def _result(members: Sequence[Member], histories: Sequence[History]) -> bytes:
    found = []
    for member, history in zip(members, histories, strict=True):
        values = [
            None if parameter._data is None else parameter.data().asnumpy()
            for parameter in named_parameters(member.net).values()
        ]
        states = [callback.__getstate__() for callback in member.callbacks]
        found.append((history, values, states))
    buffer = io.BytesIO()
    try:
        _ResultPacker(buffer, {id(m.net): m.index for m in members}).dump(found)
    except Exception as error:
        raise NotPortable(
            f"what a callback holds after training cannot be sent back ({error}); name it in its "
            '`of_run`, or train with Workers(kind="threads")'
        ) from error
    return buffer.getvalue()


def unpacked(content: bytes, members: Sequence[Member]) -> list[History]:
    """Put what came back into the caller's networks and callbacks; return the histories."""
    nets = {member.index: member.net for member in members}
    histories = []
    found = _ResultUnpacker(content, nets).load()
    for member, (history, values, states) in zip(members, found, strict=True):
        for parameter, value in zip(named_parameters(member.net).values(), values, strict=True):
            if value is not None:
                device = parameter.list_ctx()[0]
                parameter.set_data(np.array(value, dtype=value.dtype, ctx=device))
        for callback, state in zip(member.callbacks, states, strict=True):
            restore = getattr(callback, "__setstate__", vars(callback).update)
            restore(state)
        histories.append(history)
    return histories


class _There(Exception):
    """Where in a worker an exception was raised."""

    def __str__(self) -> str:
        return f"in a worker:\n\n{self.args[0]}"


def packed_error(error: BaseException) -> bytes:
    """Pack an exception, or if it cannot be pickled, what it says."""
    text = "".join(traceback.format_exception(error))
    try:
        content = pickle.dumps((error, text))
        pickle.loads(content)  # some can be written and not be read
        return content
    except Exception:
        return pickle.dumps((RuntimeError(f"{type(error).__name__}: {error}"), text))


def unpacked_error(content: bytes) -> BaseException:
    """Return an exception of a worker; its cause says where it was raised."""
    error, text = pickle.loads(content)
    error.__cause__ = _There(text)
    return error
