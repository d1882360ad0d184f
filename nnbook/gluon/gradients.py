"""From a minibatch to its loss and gradient, the fastest way that the network allows.

Two ways give the same numbers. `AutogradGradient` records the network's Python code, as any MXNet
program does, and works for every network, loss and device. `BoundGradient` traces network and loss
once into a graph, binds its arguments to the memory of θ, ∇L and one input buffer, and then only
runs it: no Python between the layers, no copies. It needs hybrid blocks and a CPU.
"""

from __future__ import annotations

import ctypes
import json
from typing import Any, Protocol

import numpy as onp

from nnbook.gluon.examples import Examples, Rows, draw_rows, number_of
from nnbook.gluon.parameters import ParameterVector, blocks_of, host_view
from nnbook.gluon.runtime import mx, np

__all__ = ["AutogradGradient", "BoundGradient", "GradientSource", "make_gradient"]

# Executors are bound to a batch size: the full one, and that of an epoch's last minibatch.
_MOST_SIZES = 4
_LIBRARY = mx.base._LIB


# Parts of the names of operators that draw random numbers.
_RANDOM = ("dropout", "rnn", "random", "uniform", "normal", "sample", "bernoulli", "shuffle")


class GradientSource(Protocol):
    """Fills `vector.grad` with the gradient of the mean loss of some examples.

    Attributes
    ----------
    random : bool
        Whether the network may draw random numbers: then the generator is seeded every epoch,
        which costs as much as several small steps.
    """

    random: bool

    def __call__(self, rows: Rows) -> Any:
        """Return the mean loss before the step: a float, or an array not yet computed."""
        ...


class AutogradGradient:
    """The gradient by recording the network's code: for every network, loss and device."""

    random = True  # who knows what the code does

    def __init__(self, net: Any, vector: ParameterVector, loss: Any, examples: Examples):
        self.net, self.vector, self.loss, self.examples = net, vector, loss, examples

    def __call__(self, rows: Rows) -> Any:
        """Fill the gradient; return the mean loss, perhaps not yet computed."""
        x, y = self.examples.batch(rows)
        # The backward pass adds to gradients with grad_req "add", and does not touch those of
        # parameters that the loss does not use.
        self.vector.grad[...] = 0
        with mx.autograd.record():
            objective = self.loss(self.net(x), y).mean()
        objective.backward()
        return objective


class BoundGradient:
    """The gradient by a graph bound to θ and ∇L.

    Raises
    ------
    NotTraceable
        The network or the loss cannot be traced; `make_gradient` then records instead.
    """

    def __init__(self, net: Any, vector: ParameterVector, loss: Any, examples: Examples):
        self.vector, self.examples = vector, examples
        self._graph = _trace(net, loss)
        operators = [node["op"].lower() for node in json.loads(self._graph.tojson())["nodes"]]
        self.random = any(part in name for name in operators for part in _RANDOM)
        self._arguments = {}
        self._gradients = {}
        for parameter in vector.parameters.values():
            self._arguments[parameter.name] = parameter.data().as_nd_ndarray()
            self._gradients[parameter.name] = parameter.grad().as_nd_ndarray()
        unused = self._gradients.keys() - set(self._graph.list_arguments())
        self._unused = [host_view(self._gradients[name]) for name in unused]
        self._fixed = {p.name: p.data().as_nd_ndarray() for p in vector.fixed.values()}
        self._bound: dict[int, _Bound] = {}
        self._host = host_view(examples.x), host_view(examples.y)
        self._bind(min(2, len(examples)))  # a graph that cannot be bound must show now

    def __call__(self, rows: Rows) -> float:
        """Fill the gradient; return the mean loss."""
        size = number_of(rows)
        bound = self._bound.get(size) or self._bind(size)
        for source, target in zip(self._host, bound.inputs, strict=True):
            draw_rows(source, rows, target)
        for gradient in self._unused:
            gradient[...] = 0  # a penalty may have been added to it
        bound.run()
        # ndarray.mean does the same in Python, at a tenth of the speed.
        return float(onp.add.reduce(bound.losses, axis=None)) / bound.losses.size

    def _bind(self, size: int) -> _Bound:
        if len(self._bound) >= _MOST_SIZES:
            del self._bound[next(iter(self._bound))]
        self._bound[size] = bound = _Bound(self, size)
        return bound


class NotTraceable(Exception):
    """The network or the loss cannot be made a graph."""


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
    if vector.theta.ctx.device_type == "cpu":
        try:
            return BoundGradient(net, vector, loss, examples)
        except NotTraceable:
            pass
    return AutogradGradient(net, vector, loss, examples)


class _Bound:
    """A graph bound for one batch size, with NumPy views of its input and output memory."""

    def __init__(self, owner: BoundGradient, size: int):
        x, y = owner.examples.x, owner.examples.y
        device = owner.vector.theta.ctx
        data = np.zeros((size, *x.shape[1:]), dtype=x.dtype, ctx=device)
        label = np.zeros((size, *y.shape[1:]), dtype=y.dtype, ctx=device)
        arguments = {"data": data.as_nd_ndarray(), "label": label.as_nd_ndarray()}
        arguments |= owner._arguments | owner._fixed
        needed = owner._graph.list_arguments()
        try:
            executor = owner._graph.bind(
                device,
                args={name: arguments[name] for name in needed},
                args_grad={n: owner._gradients[n] for n in needed if n in owner._gradients},
                grad_req={n: "write" if n in owner._gradients else "null" for n in needed},
                aux_states={n: owner._fixed[n] for n in owner._graph.list_auxiliary_states()},
            )
            executor.forward(is_train=False)
            output = executor.outputs[0]
            output.wait_to_read()
        except (mx.base.MXNetError, KeyError, ValueError, TypeError) as error:
            raise NotTraceable(str(error)) from error
        self._executor = executor  # keeps the graph's memory alive
        self._keep = (data, label, output, owner._arguments, owner._gradients, owner._fixed)
        self.inputs = host_view(data), host_view(label)
        self.losses = host_view(output)
        head = mx.nd.full(output.shape, 1.0 / max(1, self.losses.size), device, output.dtype)
        head.wait_to_read()
        self._head = head
        self._heads = (ctypes.c_void_p * 1)(head.handle)
        self._every_gradient = list(owner._gradients.values())

    def run(self) -> None:
        """Run the graph forward and backward, and wait until the gradient is written."""
        # Straight calls of the C interface: Executor.forward and backward spend as long in Python
        # as a small network takes.
        handle = self._executor.handle
        mx.base.check_call(_LIBRARY.MXExecutorForward(handle, 1))
        mx.base.check_call(_LIBRARY.MXExecutorBackwardEx(handle, 1, self._heads, 1))
        for gradient in self._every_gradient:
            mx.base.check_call(_LIBRARY.MXNDArrayWaitToRead(gradient.handle))


def _trace(net: Any, loss: Any) -> Any:
    """Return the graph of the loss, or raise `NotTraceable`."""
    for block in blocks_of(net):
        if not isinstance(block, mx.gluon.HybridBlock):
            raise NotTraceable(f"{type(block).__name__} is not a HybridBlock")
        if block._forward_hooks or block._forward_pre_hooks:
            raise NotTraceable("a forward hook must see every step")
    data, label = (mx.sym.var(name).as_np_ndarray() for name in ("data", "label"))
    try:
        with mx.autograd.train_mode():
            graph = loss(net(data), label)
        names = graph.list_arguments()
    except Exception as error:  # whatever the network's or the loss's Python code raises
        raise NotTraceable(str(error)) from error
    if "data" not in names or len(set(names)) != len(names):
        raise NotTraceable("the loss does not depend on the data")
    return graph
