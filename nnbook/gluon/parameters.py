"""A network's parameters as one vector θ, and its gradient as one vector ∇L(θ).

The mathematics of training is written for a vector. `ParameterVector` makes that literal for any
Gluon network: `theta` and `grad` are flat arrays that *share memory* with the network's parameters,
so an in-place change of θ changes the network and `backward()` fills the gradient.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as onp

from nnbook.gluon.convolutions import keep_weights, refuse_transposed
from nnbook.gluon.runtime import mx, np

__all__ = ["LostViewError", "ParameterVector", "host_view", "mxnet_view"]

# The flat arrays that a network's parameters are views of: a second vector of the same network
# shares them instead of taking them away from the first.
_SHARED: WeakKeyDictionary[mx.gluon.Block, tuple[Any, Any, dict[str, tuple[Any, Any]]]] = (
    WeakKeyDictionary()
)


class LostViewError(RuntimeError):
    """The network's parameters no longer live in the vector that was made of them."""


def blocks_of(net: mx.gluon.Block) -> list[mx.gluon.Block]:
    """Every block of a network, itself first, each once."""
    found: dict[int, mx.gluon.Block] = {}

    def visit(block: mx.gluon.Block) -> None:
        if id(block) not in found:
            found[id(block)] = block
            for child in block._children.values():
                visit(child)

    visit(net)
    return list(found.values())


def named_parameters(net: mx.gluon.Block) -> dict[str, mx.gluon.Parameter]:
    """Return the parameters by their place in the network (`"0.weight"`), tied ones once."""
    if not isinstance(net, mx.gluon.Block):
        raise TypeError(f"net is a {type(net).__name__}; expected a Gluon Block")
    seen: set[int] = set()
    unique = {}
    for name, parameter in net._collect_params_with_prefix().items():
        if id(parameter) not in seen:
            seen.add(id(parameter))
            unique[name] = parameter
    return unique


def host_view(array: np.ndarray) -> onp.ndarray:
    """Return a NumPy array that shares the memory of an MXNet array on the CPU.

    Parameters
    ----------
    array : mxnet.numpy.ndarray or mxnet.ndarray.NDArray
        On a CPU device. It must outlive the view. MXNet does not know of what is written through
        the view, and may itself still be writing: wait (``array.wait_to_read()``) before use.

    Returns
    -------
    numpy.ndarray
        Of the same shape and dtype.

    Raises
    ------
    ValueError
        The array is not on the CPU.
    """
    if array.ctx.device_type != "cpu":
        raise ValueError(f"the array is on {array.ctx}; only memory of the CPU can be shared")
    array.wait_to_read()
    pointer = ctypes.c_void_p()
    mx.base.check_call(mx.base._LIB.MXNDArrayGetData(array.handle, ctypes.byref(pointer)))
    dtype = onp.dtype(array.dtype)
    count = int(onp.prod(array.shape, dtype=int))
    memory: Any = (ctypes.c_char * (count * dtype.itemsize)).from_address(pointer.value or 0)
    return onp.frombuffer(memory, dtype=dtype, count=count).reshape(array.shape)


def mxnet_view(array: onp.ndarray, dtype: Any) -> np.ndarray:
    """Return an MXNet array that shares the memory of a NumPy array, without a copy if it can.

    Parameters
    ----------
    array : numpy.ndarray
        It is copied if it has another dtype, or does not lie in one aligned piece. MXNet keeps the
        memory alive; what is written to it meanwhile, MXNet's array has too.
    dtype : str or dtype
        Of the result.

    Returns
    -------
    mxnet.numpy.ndarray
        On the CPU, of the same shape.
    """
    # MXNet makes what it shares read-only: a view, so that the caller's array stays as it is.
    shared = onp.require(array, dtype, ["C", "A", "E"]).view()
    return mx.nd.from_numpy(shared, array_cls=np.ndarray)


class ParameterVector:
    """The trainable parameters of a network as one vector θ that shares their memory.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialised network with every shape known, on one device, its trainable parameters of
        one dtype. Tied parameters count once. Parameters with ``grad_req="null"`` (running
        statistics, frozen weights) are kept apart in `state`.

    Attributes
    ----------
    theta, grad : mxnet.numpy.ndarray
        θ and ∇L(θ), shape (P,). Every access checks that the network still reads and writes them.
    slices : dict of str to slice
        The part of θ that belongs to each parameter, by its place in the network.
    shapes : dict of str to tuple of int
        The shape of each parameter.

    Raises
    ------
    TypeError
        `net` is no Gluon Block, or the dtypes differ.
    ValueError
        A parameter is not initialised, or its shape is deferred, or nothing is trainable.
    LostViewError
        On access, once `cast`, `initialize(force_reinit=True)`, `reset_ctx` or a change of
        `grad_req` has given the network other arrays. `rebind()` takes them over.

    Notes
    -----
    The views survive `hybridize`, `save_parameters`, `load_parameters`, `set_data`, a
    `gluon.Trainer` and batch normalisation.

    Examples
    --------
    >>> from nnbook import layers
    >>> from nnbook.parameters import ParameterVector
    >>> vector = ParameterVector(layers.mlp(3, [4], 2))
    >>> vector.theta.shape, list(vector.slices)
    ((26,), ['0.weight', '0.bias', '2.weight', '2.bias'])
    """

    def __init__(self, net: mx.gluon.Block):
        self.net = net
        self.rebind()

    def rebind(self) -> ParameterVector:
        """Take over the arrays that the network has now, keeping their values.

        Returns
        -------
        ParameterVector
            Itself, with a new `theta` and `grad`.
        """
        every = named_parameters(self.net)
        check_ready(every)
        keep_weights()
        refuse_transposed(blocks_of(self.net))
        self.parameters = {n: p for n, p in every.items() if p.grad_req != "null"}
        self.fixed = {n: p for n, p in every.items() if p.grad_req == "null"}
        if not self.parameters:
            raise ValueError("the network has no trainable parameter: every grad_req is 'null'")
        dtypes = {str(p.data().dtype) for p in self.parameters.values()}
        if len(dtypes) > 1:
            raise TypeError(
                f"the trainable parameters have dtypes {sorted(dtypes)}; expected one. "
                "Cast the network: net.cast('float32')"
            )
        self.shapes = {n: tuple(p.shape) for n, p in self.parameters.items()}
        self.slices: dict[str, slice] = {}
        start = 0
        for name, shape in self.shapes.items():
            stop = start + int(onp.prod(shape, dtype=int))
            self.slices[name] = slice(start, stop)
            start = stop
        self._theta, self._grad, self._views = _SHARED.get(self.net, (None, None, {}))
        if self._views.keys() != self.slices.keys() or self._lost():
            self._share(start, dtypes.pop())
            _SHARED[self.net] = (self._theta, self._grad, self._views)
        return self

    def _share(self, size: int, dtype: str) -> None:
        """Copy the values into two flat arrays and make the parameters views of them."""
        device = next(iter(self.parameters.values())).data().ctx
        self._theta = np.zeros(size, dtype=dtype, ctx=device)
        self._grad = np.zeros(size, dtype=dtype, ctx=device)
        self._views = {}
        with mx.autograd.pause():
            for name, parameter in self.parameters.items():
                value, slope = self.view(self._theta, name), self.view(self._grad, name)
                value[...] = parameter.data()
                slope[...] = parameter.grad()
                parameter._data, parameter._grad = [value], [slope]
                mx.autograd.mark_variables([value], [slope], parameter.grad_req)
                self._views[name] = (value, slope)
        for block in blocks_of(self.net):  # a compiled graph may hold the old arrays
            if getattr(block, "_cached_op", None) is not None:
                block._clear_cached_op()

    def view(self, flat: np.ndarray, name: str) -> np.ndarray:
        """Return parameter `name`'s part of a flat array, in its own shape, sharing memory.

        Parameters
        ----------
        flat : mxnet.numpy.ndarray, shape (P,)
            θ, ∇L or any array laid out like them.
        name : str
            A key of `slices`.

        Returns
        -------
        mxnet.numpy.ndarray
            A view: writing to it writes to `flat`.
        """
        part = self.slices[name]
        # Only legacy slices and reshapes share memory; np's copy.
        legacy = flat.as_nd_ndarray()[part.start : part.stop]
        return legacy.reshape(self.shapes[name]).as_np_ndarray()

    def _lost(self) -> str | None:
        """Name the first parameter whose arrays are not the views made here, if any."""
        for name, (value, slope) in self._views.items():
            data, grad = self.parameters[name]._data, self.parameters[name]._grad
            if not (data and grad and data[0] is value and grad[0] is slope and len(data) == 1):
                return name
        return None

    def check(self) -> None:
        """Raise `LostViewError` unless the network's arrays are still those of this vector."""
        name = self._lost()
        if name is not None:
            raise LostViewError(
                f"parameter {name!r} no longer lives in this vector: "
                f"{_what_happened(self.parameters[name])}. "
                "Call rebind() to make a vector of the arrays that the network has now"
            )

    @property
    def theta(self) -> np.ndarray:
        """θ, shape (P,). Assigning to it copies the values into the network."""
        self.check()
        return self._theta

    @theta.setter
    def theta(self, values: Any) -> None:
        self.check()
        if not hasattr(values, "shape"):
            raise TypeError(
                f"theta is set to a {type(values).__name__}; expected a NumPy or MXNet array"
            )
        if tuple(values.shape) != self._theta.shape:
            raise ValueError(f"theta has shape {tuple(values.shape)}; expected {self._theta.shape}")
        if values is not self._theta:
            self._theta[...] = _onto(values, self._theta)

    @property
    def grad(self) -> np.ndarray:
        """∇L(θ), shape (P,), as the last backward pass left it."""
        self.check()
        return self._grad

    def wait(self) -> None:
        """Wait until every pending operation on θ and ∇L is done."""
        for value, slope in self._views.values():
            slope.wait_to_read()
            value.wait_to_read()

    @property
    def state(self) -> dict[str, np.ndarray]:
        """What the network keeps besides θ (running statistics, frozen weights), by name."""
        return {name: parameter.data() for name, parameter in self.fixed.items()}

    @property
    def weight_mask(self) -> onp.ndarray:
        """Which entries of θ are weights, shape (P,): those of parameters with two axes or more.

        Biases and the scales of normalisation layers have one axis; penalties leave them alone.
        """
        mask = onp.zeros(self._theta.shape[0], dtype=bool)
        for name, part in self.slices.items():
            mask[part] = len(self.shapes[name]) >= 2
        return mask

    def __len__(self) -> int:
        return int(self._theta.shape[0])

    def __repr__(self) -> str:
        return f"ParameterVector({len(self)} parameters in {len(self.slices)} arrays)"

    def memory(self) -> tuple[onp.ndarray, onp.ndarray]:
        """Return θ and ∇L as NumPy arrays: their own memory on the CPU, copies elsewhere."""
        self.wait()
        if self._theta.ctx.device_type != "cpu":
            return self._theta.asnumpy(), self._grad.asnumpy()
        return host_view(self._theta), host_view(self._grad)

    def snapshot(self) -> dict[str, Any]:
        """Copy θ and `state` to NumPy arrays.

        Returns
        -------
        dict
            ``{"theta": (P,) array, "state": {name: array}}``; `restore` takes it.
        """
        return {
            "theta": self.theta.asnumpy().copy(),
            "state": {name: array.asnumpy().copy() for name, array in self.state.items()},
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Put back what `snapshot` copied."""
        self.theta = snapshot["theta"]
        for name, array in self.state.items():
            array[...] = _onto(snapshot["state"][name], array)

    @contextmanager
    def preserved(self) -> Iterator[ParameterVector]:
        """Put θ and `state` back on leaving the block, also after an exception."""
        before = self.snapshot()
        try:
            yield self
        finally:
            self.restore(before)

    def fingerprint(self) -> str:
        """Return a hash of the layout (names, shapes, dtype): does another θ fit this network?"""
        layout = [(n, s) for n, s in self.shapes.items()], str(self._theta.dtype)
        return hashlib.sha256(repr(layout).encode()).hexdigest()[:16]


def _onto(values: Any, like: np.ndarray) -> np.ndarray:
    """Bring NumPy or MXNet values to the dtype and device of `like`."""
    if isinstance(values, onp.ndarray):
        return np.array(values, dtype=like.dtype, ctx=like.ctx)
    return values.astype(like.dtype, copy=False).as_in_ctx(like.ctx)


def check_ready(parameters: dict[str, mx.gluon.Parameter]) -> None:
    """Raise ValueError unless every parameter has its values, on one device."""
    for name, parameter in parameters.items():
        if parameter._data is None:
            if parameter._deferred_init:
                raise ValueError(
                    f"parameter {name!r} has the deferred shape {parameter.shape}; expected known "
                    "shapes. Run one batch through the network first, or give in_units"
                )
            raise ValueError(f"parameter {name!r} is not initialised; call net.initialize() first")
        if len(parameter._data) > 1:
            raise ValueError(
                f"parameter {name!r} lives on {parameter.list_ctx()}; expected one device. "
                "Call net.reset_ctx(device) first"
            )


def _what_happened(parameter: mx.gluon.Parameter) -> str:
    if parameter._data is None:
        return "the network was re-initialised with deferred shapes"
    if parameter.grad_req == "null" or parameter._grad is None:
        return "its grad_req was changed to 'null'"
    return (
        "cast, initialize(force_reinit=True), reset_ctx, a change of grad_req, or a "
        "ParameterVector of a part of the network gave it other arrays (now "
        f"{parameter.data().dtype} on {parameter.data().ctx})"
    )
