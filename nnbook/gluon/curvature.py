"""Gluon networks as objectives in float64, for derivatives of second order.

MXNet's own second derivatives are silently wrong for every dense layer. So a network of dense
layers is read into `nnbook.curvature.DenseObjective`, which has exact ones, and any other gives
gradients in float64, whose differences are good to eight digits.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as onp

from nnbook._arguments import check_sizes
from nnbook.curvature.dense import DenseObjective
from nnbook.curvature.functions import ACTIVATIONS, LOSSES, Activation, scaled_tanh
from nnbook.gluon import losses
from nnbook.gluon.examples import Examples, in_numpy_mode
from nnbook.gluon.layers.units import Identity, ScaledTanh
from nnbook.gluon.parameters import ParameterVector, blocks_of, named_parameters
from nnbook.gluon.runtime import mx
from nnbook.gluon.twins import copy_of

nn = mx.gluon.nn

__all__ = ["NetworkObjective", "NotDense", "dense_objective", "objective_of"]

_LOSSES = {getattr(losses, name): name for name in losses.__all__}
_ACTIVATIONS = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu", "softrelu": "softplus"}
_ACTIVATIONS |= {"softsign": "softsign"}


class NotDense(ValueError):
    """The network is more than dense layers with elementwise activations; the message says why."""


class NetworkObjective:
    """A copy of a network in float64, as it is in use, with a loss on data: an `Objective`.

    Parameters
    ----------
    net : mxnet.gluon.Block
        The network; nothing of it is changed, and later changes do not reach the copy.
    loss : callable
        ``loss(outputs, targets)``, one value per example.
    data : tuple of array
        ``(x, y)``.
    batch_size : int
        How many examples at once.

    Attributes
    ----------
    size, slices, shapes, examples, theta
        As `nnbook.objective.Objective` says.
    """

    @in_numpy_mode
    def __init__(self, net: Any, loss: Any, data: Any, batch_size: int = 1000):
        check_sizes(batch_size=batch_size)
        self._net, self._loss, self._batch_size = copy_of(net), loss, batch_size
        Examples(self._net, data, loss, name="data")  # says what does not fit, and makes shapes
        self._net.cast("float64")
        self._training = _settled(self._net)
        self._data = Examples(self._net, data, loss, name="data")
        self._vector = ParameterVector(self._net)
        self.slices, self.shapes = self._vector.slices, self._vector.shapes

    @property
    def size(self) -> int:
        """P, the number of entries of θ."""
        return len(self._vector)

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(self._data)

    @property
    def theta(self) -> onp.ndarray:
        """θ, shape (P,), a copy. Assigning changes the copy of the network."""
        return self._vector.theta.asnumpy()

    @theta.setter
    def theta(self, values: Any) -> None:
        self._vector.theta = onp.asarray(values, dtype="float64")

    @in_numpy_mode
    def loss(self, rows: Any = None) -> float:
        """Return the mean loss of some rows, by default of all."""
        total, count = 0.0, 0
        with mx.autograd.pause(train_mode=False):
            for x, y in self._batches(rows):
                total += float(self._loss(self._net(x), y).mean()) * len(x)
                count += len(x)
        return total / count

    @in_numpy_mode
    def gradient(self, rows: Any = None) -> onp.ndarray:
        """Return its gradient, shape (P,)."""
        total, count = onp.zeros(self.size), 0
        for x, y in self._batches(rows):
            self._vector.grad[...] = 0
            with mx.autograd.record(train_mode=self._training):
                mean = self._loss(self._net(x), y).mean()
            mean.backward()
            total += self._vector.grad.asnumpy() * len(x)
            count += len(x)
        return total / count

    def _batches(self, rows: Any) -> Any:
        chosen = onp.arange(self.examples)[slice(None) if rows is None else rows]
        for start in range(0, len(chosen), self._batch_size):
            yield self._data.batch(chosen[start : start + self._batch_size])


def _settled(net: Any) -> bool:
    """Let batch normalisation use its running statistics; return the mode to record gradients in.

    Outside training, MXNet's batch normalisation passes a wrong gradient back to what is before it
    (64 % off in a small network). In training, told to use its running statistics, a right one; so
    networks that have it are recorded as in training, without dropout.
    """
    found = [block for block in blocks_of(net) if "use_global_stats" in _options(block)]
    for block in found:
        block._kwargs["use_global_stats"] = True
    if found:
        for block in blocks_of(net):
            if isinstance(block, nn.Dropout):
                block._rate = 0.0
            if hasattr(block, "_clear_cached_op"):
                block._clear_cached_op()
    return bool(found)


def _options(block: Any) -> Any:
    options = getattr(block, "_kwargs", {})
    return options if isinstance(options, dict) else {}


def objective_of(net: Any, loss: Any, data: Any, dense: bool = True) -> tuple[Any, str]:
    """Return an objective of a network, dense if it can be, and else why it is not.

    Parameters
    ----------
    net, loss, data
        As for `NetworkObjective`.
    dense : bool
        Whether to try.

    Returns
    -------
    objective : DenseObjective or NetworkObjective
    reason : str
        "" for a dense one.
    """
    if loss is None or data is None:
        raise TypeError("a network needs a loss and data=(x, y): they decide the curvature")
    if not dense:
        return NetworkObjective(net, loss, data), "it was not asked for"
    try:
        return dense_objective(net, loss, data), ""
    except NotDense as error:
        return NetworkObjective(net, loss, data), str(error)


@in_numpy_mode
def dense_objective(net: Any, loss: Any, data: Any) -> DenseObjective:
    """Read a network of dense layers, and a loss of this book, into NumPy.

    Parameters
    ----------
    net, loss, data
        As for `NetworkObjective`. Dropout counts as it does in use: not at all.

    Returns
    -------
    DenseObjective
        Its θ is laid out as the network's.

    Raises
    ------
    NotDense
        Something else is in the network, the loss is another one, weights are tied or frozen.
    """
    if loss not in _LOSSES:
        raise NotDense(f"the loss {getattr(loss, '__name__', loss)} is none of nnbook.losses")
    Examples(net, data, loss, name="data")  # says what does not fit
    functions = _read(net)
    vector = ParameterVector(net)
    if vector.fixed:
        raise NotDense(f"{', '.join(vector.fixed)} cannot learn (grad_req is 'null')")
    shapes = vector.shapes
    weights = [shape for shape in shapes.values() if len(shape) == 2]
    fits = all(before[0] == after[1] for before, after in itertools.pairwise(weights))
    if len(weights) != len(functions) or not fits:
        raise NotDense("its layers share weights")
    x, y = (part.asnumpy() if isinstance(part, mx.nd.NDArray) else part for part in data)
    theta = vector.theta.asnumpy().astype("float64")
    return DenseObjective.of_parts(shapes, functions, LOSSES[_LOSSES[loss]].name, (x, y), theta)


def _read(net: Any) -> list[Activation]:
    """Return the activation of every dense layer, in order."""
    functions: list[Activation | None] = []
    for block in _chain(net):
        if isinstance(block, nn.Dense):
            _check_dense(block, first=not functions)
            functions.append(None if block.act is None else _function(block.act))
        elif isinstance(block, (nn.Dropout, Identity)) or (
            isinstance(block, nn.Flatten) and not functions
        ):
            continue
        elif functions and functions[-1] is None:
            functions[-1] = _function(block)
        else:
            raise NotDense(f"{type(block).__name__} follows no dense layer directly")
    if not functions:
        raise NotDense("it has no dense layer")
    return [ACTIVATIONS["identity"] if one is None else one for one in functions]


def _check_dense(block: Any, first: bool) -> None:
    if not block._flatten and not first:
        raise NotDense("a dense layer does not flatten its inputs")
    for child in (block.weight, block.bias):
        if child is not None and named_parameters(block) and child.shape and 0 in child.shape:
            raise NotDense("the shape of a layer is not known")


def _chain(block: Any) -> list[Any]:
    """Return the blocks of nested Sequentials, in order."""
    if isinstance(block, (nn.HybridSequential, nn.Sequential)):
        return [inner for child in block._children.values() for inner in _chain(child)]
    return [block]


def _function(block: Any) -> Activation:
    if isinstance(block, ScaledTanh):
        return scaled_tanh(block.a, block.b, block.twist)
    if isinstance(block, nn.Activation) and block._act_type in _ACTIVATIONS:
        return ACTIVATIONS[_ACTIVATIONS[block._act_type]]
    raise NotDense(f"{type(block).__name__} is no elementwise activation that is known")
