"""A network and its loss as a graph, and whether the graph computes what the code computes."""

from __future__ import annotations

import json
from typing import Any

from nnbook.gluon.copies import clone
from nnbook.gluon.parameters import ParameterVector, blocks_of
from nnbook.gluon.runtime import mx

__all__ = ["NotTraceable", "draws", "operators_of", "recorded", "trace", "without_dropout"]

# abs(symbol) calls a method that MXNet has forgotten.
mx.sym.numpy._Symbol.abs = mx.sym.np.abs

# Parts of the names of operators that draw random numbers.
_RANDOM = ("dropout", "rnn", "random", "uniform", "normal", "sample", "bernoulli", "shuffle")


class NotTraceable(Exception):
    """The network or the loss cannot be made a graph."""


def operators_of(graph: Any) -> set[str]:
    """Return the names of the operators of a graph, in small letters."""
    nodes = json.loads(graph.tojson())["nodes"]
    return {node["op"].lower() for node in nodes if node["op"] != "null"}


def draws(graph: Any) -> bool:
    """Tell whether a graph may draw random numbers."""
    return any(part in name for name in operators_of(graph) for part in _RANDOM)


def without_dropout(net: Any) -> Any:
    """Return a copy of a network whose dropout layers let everything through."""
    twin = clone(net)
    for block in blocks_of(twin):
        block._forward_hooks.clear()
        if isinstance(block, mx.gluon.nn.Dropout):
            block._rate = 0.0
        elif isinstance(block, mx.gluon.rnn.rnn_layer._RNNLayer):
            block._dropout = 0.0
    return twin


def recorded(net: Any, vector: ParameterVector, loss: Any, x: Any, y: Any) -> Any:
    """Fill the gradient of the mean loss by recording; return the mean loss."""
    # The backward pass adds to gradients with grad_req "add", and does not touch those of
    # parameters that the loss does not use.
    vector.grad[...] = 0
    with mx.autograd.record():
        objective = loss(net(x), y).mean()
    objective.backward()
    return objective


def trace(net: Any, loss: Any) -> Any:
    """Return the graph of the loss, or raise `NotTraceable`."""
    for block in blocks_of(net):
        if not isinstance(block, mx.gluon.HybridBlock):
            raise NotTraceable(f"{type(block).__name__} is not a HybridBlock")
        if block._forward_hooks or block._forward_pre_hooks:
            raise NotTraceable("a forward hook must see every step")
    data, label = (mx.sym.var(name).as_np_ndarray() for name in ("data", "label"))
    whose = "network"
    try:
        with mx.autograd.train_mode():
            outputs, whose = net(data), "loss"
            graph = loss(outputs, label)
        names = graph.list_arguments()
    except Exception as error:  # whatever the network's or the loss's Python code raises
        raise NotTraceable(f"the {whose}'s code does not work on symbols: {error}") from error
    if "data" not in names or len(set(names)) != len(names):
        raise NotTraceable("the loss does not depend on the data")
    return graph
