"""From a minibatch to its loss and gradient, the fastest way that the network allows.

Two ways give the same numbers. `AutogradGradient` records the network's Python code, as any MXNet
program does, and works for every network, loss and device. `BoundGradient` traces network and loss
once into a graph, binds its arguments to the memory of θ, ∇L and one input buffer, and then only
runs it: no Python between the layers, no copies. It needs hybrid blocks and a CPU.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import threading
from contextlib import nullcontext
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as onp

from nnbook.gluon.examples import Examples, Rows, draw_rows, number_of
from nnbook.gluon.parameters import ParameterVector, host_view
from nnbook.gluon.randomness import preserved_generator
from nnbook.gluon.runtime import mx, np, thread_count, use_numpy_mode
from nnbook.gluon.tracing import (
    NotTraceable,
    draws,
    operators_of,
    recorded,
    trace,
    without_dropout,
)

__all__ = ["AutogradGradient", "BoundGradient", "GradientSource", "make_gradient"]

# How far slopes of the graph may be from the recorded ones, relative to their length.
_SAME = {"float64": 1e-6, "float32": 1e-2, "float16": 0.1}
# Executors are bound to a batch size: the full one, and that of an epoch's last minibatch.
_MOST_SIZES = 4
# Examples on which graph and code are compared.
_FEW = 3
_LIBRARY = mx.base._LIB


# Operators that can treat every example by itself. Some of them need not (a sum along axis 0), so
# that numbers decide in the end; others, such as batch normalisation, never do.
_ONE_BY_ONE = {
    *("fullyconnected", "convolution", "pooling", "activation", "leakyrelu", "embedding"),
    *("flatten", "reshape_like", "_npx_reshape", "softmax", "log_softmax", "pick", "layernorm"),
    *("slice_axis", "sum", "cast"),
    *("_np_sum", "_npi_mean", "_npx_relu", "_npx_sigmoid", "_npi_tanh", "_npi_exp", "_npi_log"),
    *("_npi_square", "_npi_sqrt", "_npi_absolute", "_npi_log1p", "_maximum_scalar"),
    *("_npi_add", "_npi_subtract", "_npi_multiply", "_npi_true_divide", "_npi_maximum"),
    *("_npi_add_scalar", "_npi_subtract_scalar", "_npi_rsubtract_scalar", "_npi_multiply_scalar"),
    *("_npi_true_divide_scalar", "_npi_power_scalar", "_npi_minimum", "_minimum_scalar"),
}


class GradientSource(Protocol):
    """Fills `vector.grad` with the gradient of the mean loss of some examples.

    Attributes
    ----------
    path, reason : str
        Which way this is, and why not the fastest.
    random : bool
        Whether the network may draw random numbers: then the generator is seeded every epoch,
        which costs as much as several small steps.
    """

    random: bool
    path: str
    reason: str

    def __call__(self, rows: Rows) -> Any:
        """Return the mean loss before the step: a float, or an array not yet computed."""
        ...

    def close(self) -> None:
        """Give back what was taken: training has ended."""
        ...


class AutogradGradient:
    """The gradient by recording the network's code: for every network, loss and device."""

    random = True  # who knows what the code does
    path = "recorded"

    def __init__(
        self, net: Any, vector: ParameterVector, loss: Any, examples: Examples, reason: str
    ):
        self.net, self.vector, self.loss, self.examples = net, vector, loss, examples
        self.reason = reason

    def __call__(self, rows: Rows) -> Any:
        """Fill the gradient; return the mean loss, perhaps not yet computed."""
        return recorded(self.net, self.vector, self.loss, *self.examples.batch(rows))

    def close(self) -> None:
        """Nothing is kept."""


class BoundGradient:
    """The gradient by a graph bound to θ and ∇L.

    A large minibatch is shared out over threads, if its loss is a sum over examples that nothing
    couples: each thread gathers and computes a part of the rows with executors of its own. They
    wait on queues, not in a loop, so that another program on the machine costs them what it takes
    and no more.

    Raises
    ------
    NotTraceable
        The network or the loss cannot be traced; `make_gradient` then records instead.
    """

    path, reason = "graph", ""

    def __init__(self, net: Any, vector: ParameterVector, loss: Any, examples: Examples):
        self.vector, self.loss, self.examples = vector, loss, examples
        self._graph = trace(net, loss)
        operators, self.random = operators_of(self._graph), draws(self._graph)
        self._part = _Part(self._graph, vector, examples, vector.grad)
        self._part.bind(min(_FEW, len(examples)))  # a graph that cannot be bound must show now
        self._separable: bool | None = None if operators <= _ONE_BY_ONE else False
        self._helpers: list[_Helper] = []
        self._threads: dict[int, int] = {}

    def __call__(self, rows: Rows) -> float:
        """Fill the gradient; return the mean loss."""
        size = number_of(rows)
        count = self._threads.get(size) or self._threads_for(size)
        if count == 1:
            return self._part.run(rows, size) / size
        while len(self._helpers) < count - 1:
            self._helpers.append(_Helper(self._graph, self.vector, self.examples))
        mine, *others = _shares(rows, count)
        for helper, share in zip(self._helpers, others, strict=False):
            helper.start(share, size)
        total = self._part.run(mine, size)
        for helper in self._helpers[: count - 1]:
            total += helper.wait()
            self._part.gradient += helper.gradient
        return total / size

    def _threads_for(self, size: int) -> int:
        """Decide, once for each batch size, over how many threads a minibatch is shared out."""
        count = thread_count(size * len(self.vector))
        self._threads[size] = count = count if count > 1 and self._can_be_shared() else 1
        return count

    def _can_be_shared(self) -> bool:
        """Find out, once, whether the loss and slopes of some rows depend on the others."""
        if self._separable is None:
            half = min(4, len(self.examples) // 2)
            first, second, both = (
                self._seen(slice(*ends)) for ends in ((0, half), (half, 2 * half), (0, 2 * half))
            )
            scale = float(abs(both).max()) or 1.0
            self._separable = bool(abs(first + second - both).max() < 1e-3 * scale)
        return self._separable

    def _seen(self, rows: slice) -> onp.ndarray:
        """Return the sum of the losses of some rows and its slopes."""
        total = self._part.run(rows, 1)
        return onp.append(self._part.gradient, total)

    def close(self) -> None:
        """End the threads."""
        for helper in self._helpers:
            helper.close()
        self._helpers.clear()


def make_gradient(
    net: Any, vector: ParameterVector, loss: Any, examples: Examples
) -> GradientSource:
    """Choose the fastest source of gradients that works here.

    Parameters
    ----------
    net : mxnet.gluon.Block
        The network.
    vector : ParameterVector
        Its parameters.
    loss : callable
        ``loss(outputs, targets)``.
    examples : Examples
        The training data.

    Returns
    -------
    GradientSource
        Bound to memory on the CPU where it can be; otherwise recorded.
    """
    if vector.theta.ctx.device_type != "cpu":
        return AutogradGradient(net, vector, loss, examples, "a graph is bound on the CPU only")
    try:
        gradient = BoundGradient(net, vector, loss, examples)
        _check_the_same(gradient, net)
    except NotTraceable as error:
        return AutogradGradient(net, vector, loss, examples, str(error))
    return gradient


def _check_the_same(gradient: BoundGradient, net: Any) -> None:
    """Raise `NotTraceable` where the graph gives another loss or other slopes than the code.

    Python code may see on a symbol what it does not see on an array, and some of MXNet's operators
    have a wrong gradient in a graph. Both show on a few examples. Dropout is off, in a copy: its
    masks would differ.
    """
    if not gradient.random:
        _compare(net, gradient.vector, gradient.loss, gradient._part)
        return
    twin = without_dropout(net)
    vector = ParameterVector(twin)
    with preserved_generator():
        graph = trace(twin, gradient.loss)
        part = _Part(graph, vector, gradient.examples, vector.grad)
        _compare(twin, vector, gradient.loss, part)


def _compare(net: Any, vector: ParameterVector, loss: Any, part: _Part) -> None:
    """Compare a network's graph with its code; parameters and gradient stay as they are."""
    rows, kept = slice(0, min(_FEW, len(part.examples))), part.gradient.copy()
    with vector.preserved() if vector.fixed else nullcontext(), mx.autograd.pause():
        value = float(recorded(net, vector, loss, *part.examples.batch(rows)))
        slopes = vector.grad.asnumpy().astype("float64")
        traced = part.run(rows, number_of(rows)) / number_of(rows)
    found = part.gradient.astype("float64")
    part.gradient[...] = kept
    if not (onp.isfinite(slopes).all() and onp.isfinite(value)):
        return  # training will say so
    tolerance = _SAME[onp.dtype(vector.theta.dtype).name]
    if abs(traced - value) > tolerance * max(abs(value), 1.0):
        raise NotTraceable(f"traced, the loss is {traced:.6g} where the code gives {value:.6g}")
    length = float(onp.linalg.norm(slopes))
    for name, where in vector.slices.items():
        apart = float(onp.linalg.norm(found[where] - slopes[where]))
        if apart > tolerance * max(float(onp.linalg.norm(slopes[where])), 1e-3 * length):
            raise NotTraceable(f"traced, the gradient of {name} is not that of the code")


class _Part:
    """The graph bound to θ and to a vector of slopes, for the batch sizes that come.

    Executors belong to the thread that binds and runs them.
    """

    def __init__(self, graph: Any, vector: ParameterVector, examples: Examples, slope: Any):
        self.graph, self.device, self.examples = graph, vector.theta.ctx, examples
        self.gradient = host_view(slope)
        self.arguments, self.slopes = {}, {}
        for name, parameter in vector.parameters.items():
            self.arguments[parameter.name] = parameter.data().as_nd_ndarray()
            self.slopes[parameter.name] = vector.view(slope, name).as_nd_ndarray()
        unused = self.slopes.keys() - set(graph.list_arguments())
        self._unused = [host_view(self.slopes[name]) for name in unused]
        self.fixed = {p.name: p.data().as_nd_ndarray() for p in vector.fixed.values()}
        self._bound: dict[tuple[int, int], _Bound] = {}
        self._host = host_view(examples.x), host_view(examples.y)

    def run(self, rows: Rows, total: int) -> float:
        """Fill the slopes of the sum of the rows' losses over `total`; return that sum."""
        size = number_of(rows)
        bound = self._bound.get((size, total)) or self.bind(size, total)
        for source, target in zip(self._host, bound.inputs, strict=True):
            draw_rows(source, rows, target)
        for gradient in self._unused:
            gradient[...] = 0  # a penalty may have been added to it
        bound.run()
        # ndarray.sum does the same in Python, at a tenth of the speed. A loss may be one number.
        return float(onp.add.reduce(bound.losses, axis=None)) * size / bound.losses.size

    def bind(self, size: int, total: int | None = None) -> _Bound:
        """Bind the graph for a number of rows out of a total."""
        total = total or size
        if len(self._bound) >= _MOST_SIZES:
            del self._bound[next(iter(self._bound))]
        self._bound[size, total] = bound = _Bound(self, size, total)
        return bound


class _Helper:
    """A thread that computes the gradient of a share of each minibatch."""

    def __init__(self, graph: Any, vector: ParameterVector, examples: Examples):
        slope = np.zeros(len(vector), dtype=vector.theta.dtype, ctx=vector.theta.ctx)
        self.gradient = host_view(slope)
        self._keep = slope
        self._asked: SimpleQueue[Any] = SimpleQueue()
        self._done: SimpleQueue[Any] = SimpleQueue()
        make_part = functools.partial(_Part, graph, vector, examples, slope)
        arguments = (make_part, self._asked, self._done)
        threading.Thread(target=_help, args=arguments, name="nnbook", daemon=True).start()

    def start(self, rows: Rows, total: int) -> None:
        """Begin with a share of a minibatch."""
        self._asked.put((rows, total))

    def wait(self) -> float:
        """Return the sum of the share's losses, once its gradient is there."""
        found = self._done.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def close(self) -> None:
        """End the thread."""
        self._asked.put(None)


def _help(make_part: Any, asked: SimpleQueue[Any], done: SimpleQueue[Any]) -> None:
    """Compute shares until there are no more; an exception is handed over."""
    use_numpy_mode()
    part = None
    while (share := asked.get()) is not None:
        try:
            part = part or make_part()
            done.put(part.run(*share))
        except BaseException as error:  # it belongs to the thread that waits
            done.put(error)


def _shares(rows: Rows, count: int) -> list[Rows]:
    """Divide the rows of a minibatch into parts of about one size."""
    size = number_of(rows)
    edges = [size * k // count for k in range(count + 1)]
    if isinstance(rows, slice):
        return [slice(rows.start + a, rows.start + b) for a, b in itertools.pairwise(edges)]
    return [rows[a:b] for a, b in itertools.pairwise(edges)]


class _Bound:
    """A graph bound for one batch size, with NumPy views of its input and output memory."""

    def __init__(self, owner: _Part, size: int, total: int):
        x, y, device = owner.examples.x, owner.examples.y, owner.device
        data = np.zeros((size, *x.shape[1:]), dtype=x.dtype, ctx=device)
        label = np.zeros((size, *y.shape[1:]), dtype=y.dtype, ctx=device)
        arguments = {"data": data.as_nd_ndarray(), "label": label.as_nd_ndarray()}
        arguments |= owner.arguments | owner.fixed
        needed = owner.graph.list_arguments()
        try:
            executor = owner.graph.bind(
                device,
                args={name: arguments[name] for name in needed},
                args_grad={n: owner.slopes[n] for n in needed if n in owner.slopes},
                grad_req={n: "write" if n in owner.slopes else "null" for n in needed},
                aux_states={n: owner.fixed[n] for n in owner.graph.list_auxiliary_states()},
            )
            executor.forward(is_train=False)
            output = executor.outputs[0]
            output.wait_to_read()
        except (mx.base.MXNetError, KeyError, ValueError, TypeError) as error:
            if "rnn" in operators_of(owner.graph):
                raise NotTraceable("MXNet does not trace Gluon's recurrent layers") from error
            raise NotTraceable(str(error)) from error
        self._executor = executor  # keeps the graph's memory alive
        self._keep = (data, label, output, owner.arguments, owner.slopes, owner.fixed)
        self.inputs = host_view(data), host_view(label)
        self.losses = host_view(output)
        weight = size / max(1, self.losses.size) / total
        head = mx.nd.full(output.shape, weight, device, output.dtype)
        head.wait_to_read()
        self._head = head
        self._heads = (ctypes.c_void_p * 1)(head.handle)
        # The engine without threads has done its work when it returns.
        at_once = os.environ.get("MXNET_ENGINE_TYPE") == "NaiveEngine"
        self._pending = [] if at_once else [slope.handle for slope in owner.slopes.values()]

    def run(self) -> None:
        """Run the graph forward and backward, and wait until the gradient is written."""
        # Straight calls of the C interface: Executor.forward and backward spend as long in Python
        # as a small network takes.
        handle = self._executor.handle
        mx.base.check_call(_LIBRARY.MXExecutorForward(handle, 1))
        mx.base.check_call(_LIBRARY.MXExecutorBackwardEx(handle, 1, self._heads, 1))
        for gradient in self._pending:
            mx.base.check_call(_LIBRARY.MXNDArrayWaitToRead(gradient))
