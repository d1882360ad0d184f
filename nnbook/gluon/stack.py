"""Networks of one architecture side by side in one graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as onp

from nnbook.gluon.parameters import host_view
from nnbook.gluon.runtime import mx, np

nn = mx.gluon.nn

__all__ = ["NotStackable", "Stack"]

# Blocks without parameters that treat every number alone may be applied to a whole stack.
_ELEMENTWISE = {"Activation", "Identity", "LeakyReLU", "ScaledTanh", "Swish", "GELU"}


class NotStackable(ValueError):
    """The networks differ, or are not chains of dense and elementwise layers."""


class Stack:
    """K multilayer perceptrons of one architecture, their parameters in one vector.

    Layer by layer, the weights of all members lie one after the other, shape (K, outputs, inputs),
    then their biases, shape (K, outputs). So a learning rate of shape (K, 1) reaches each member,
    and the first layers of members that see the same examples are *one* matrix.

    Parameters
    ----------
    nets : sequence of mxnet.gluon.nn.HybridSequential
        Initialised networks as `nnbook.layers.mlp` makes them: Dense layers with known inputs,
        activations and dropout, on one CPU device, of one dtype.

    Attributes
    ----------
    theta, grad : numpy.ndarray, shape (K·P,)
        All parameters and their gradients, as NumPy views of the graph's memory.

    Raises
    ------
    NotStackable
        The networks differ in architecture, or have other layers.
    """

    def __init__(self, nets: Sequence[Any]):
        if not nets:
            raise NotStackable("there is no network")
        self.nets = list(nets)
        self.layers = [_describe(block) for block in _chain(nets[0])]
        for k, net in enumerate(nets):
            if [_describe(block) for block in _chain(net)] != self.layers:
                raise NotStackable(f"network {k} differs in its layers from network 0")
        self._blocks = _chain(nets[0])
        first = next(b for b in self._blocks if isinstance(b, nn.Dense)).weight.data()
        self.device, self.dtype = first.ctx, first.dtype
        if self.device.device_type != "cpu":
            raise NotStackable(f"the networks are on {self.device}; a stack needs the CPU")
        self._allocate()
        self.pull()

    def _allocate(self) -> None:
        k = len(self.nets)
        self.slices: list[tuple[slice, tuple[int, ...]]] = []
        start = 0
        for block in self._blocks:
            if isinstance(block, nn.Dense):
                for shape in (block.weight.shape, block.bias.shape):
                    size = k * int(onp.prod(shape))
                    self.slices.append((slice(start, start + size), (k, *shape)))
                    start += size
        self._theta = np.zeros(start, dtype=self.dtype, ctx=self.device)
        self._grad = np.zeros(start, dtype=self.dtype, ctx=self.device)
        self.theta, self.grad = host_view(self._theta), host_view(self._grad)

    def __len__(self) -> int:
        return len(self.nets)

    def per_member(self, flat: onp.ndarray) -> list[onp.ndarray]:
        """Return the arrays of a flat vector, one per parameter, as views of shape (K, size)."""
        return [flat[part].reshape(shape[0], -1) for part, shape in self.slices]

    def is_weight(self) -> list[bool]:
        """Tell for each of those arrays whether it is a weight (and not a bias)."""
        return [len(shape) > 2 for _, shape in self.slices]

    def _parameters(self, member: int) -> list[Any]:
        dense = [b for b in _chain(self.nets[member]) if isinstance(b, nn.Dense)]
        return [p for block in dense for p in (block.weight, block.bias)]

    def pull(self) -> None:
        """Copy the parameters of the networks into θ."""
        for k in range(len(self)):
            for array, parameter in zip(
                self.per_member(self.theta), self._parameters(k), strict=True
            ):
                array[k] = parameter.data().asnumpy().ravel()

    def push(self, member: int, theta: list[onp.ndarray] | None = None) -> None:
        """Copy one member's parameters back into its network.

        Parameters
        ----------
        member : int
            Which.
        theta : list of numpy.ndarray, optional
            Its parameters as `member_theta` returned them; by default those it has now.
        """
        values = self.member_theta(member) if theta is None else theta
        for value, parameter in zip(values, self._parameters(member), strict=True):
            shaped = value.reshape(parameter.shape)
            parameter.set_data(np.array(shaped, dtype=self.dtype, ctx=self.device))

    def member_theta(self, member: int) -> list[onp.ndarray]:
        """Copy one member's parameters, one flat array each."""
        return [array[member].copy() for array in self.per_member(self.theta)]

    def graph(self, groups: Sequence[int], loss: Any) -> Any:
        """Return the graph of outputs and losses of all members.

        Parameters
        ----------
        groups : sequence of int
            How many neighbouring members share each minibatch; their sum is K. Group g reads the
            input ``data{g}``, shape (B, n_in); all read ``label``, the targets member by member.
        loss : callable
            ``loss(outputs, targets)``, on symbols.

        Returns
        -------
        symbol
            Of the losses, member by member, shape (K·B,), and the outputs, shape (K·B, n_out).
        """
        x: Any = None
        dense = 0
        for block in self._blocks:
            if not isinstance(block, nn.Dense):
                x = block(x.as_np_ndarray()).as_nd_ndarray()
                continue
            units = block.weight.shape[0]
            if x is None:
                x = mx.sym.concat(
                    *(_first_layer(g, size, units) for g, size in enumerate(groups)), dim=0
                )
            else:
                weight, bias = mx.sym.var(f"weight{dense}"), mx.sym.var(f"bias{dense}")
                bias = mx.sym.reshape(bias, shape=(-1, 1, units))
                x = mx.sym.broadcast_add(mx.sym.batch_dot(x, weight, transpose_b=True), bias)
            dense += 1
        outputs = mx.sym.reshape(x, shape=(-1, units)).as_np_ndarray()
        losses = loss(outputs, mx.sym.var("label").as_np_ndarray())
        return mx.sym.Group([losses.as_nd_ndarray(), outputs.as_nd_ndarray()])

    def arguments(self, flat: np.ndarray, groups: Sequence[int]) -> dict[str, Any]:
        """Return the views of θ or ∇L that the graph's arguments are bound to, by name."""
        views: dict[str, Any] = {}
        legacy = flat.as_nd_ndarray()
        for index, (part, (k, *shape)) in enumerate(self.slices):
            array, layer = legacy[part.start : part.stop], index // 2
            kind = "bias" if index % 2 else "weight"
            if layer:
                views[f"{kind}{layer}"] = array.reshape((k, *shape))
                continue
            rows = array.reshape((k * shape[0], *shape[1:]))
            start = 0
            for g, size in enumerate(groups):
                views[f"{kind}0_{g}"] = rows[start * shape[0] : (start + size) * shape[0]]
                start += size
        return views


def _first_layer(group: int, members: int, units: int) -> Any:
    """One product for all members that see the same examples: (B, A·h), then (A, B, h)."""
    wide = mx.sym.FullyConnected(
        mx.sym.var(f"data{group}"),
        mx.sym.var(f"weight0_{group}"),
        mx.sym.var(f"bias0_{group}"),
        num_hidden=members * units,
    )
    return mx.sym.transpose(mx.sym.reshape(wide, shape=(0, members, units)), axes=(1, 0, 2))


def _chain(net: Any) -> list[Any]:
    """The layers of a sequential network, nested ones unrolled."""
    if not isinstance(net, nn.HybridSequential):
        raise NotStackable(f"a {type(net).__name__} is not a HybridSequential of dense layers")
    _check_unhooked(net)
    chain: list[Any] = []
    for block in net._children.values():
        chain += _chain(block) if isinstance(block, nn.HybridSequential) else [block]
    if not chain or not isinstance(chain[0], nn.Dense):
        raise NotStackable("the first layer is not Dense")
    return chain


def _describe(block: Any) -> str:
    """Say what a layer is, so that two can be compared."""
    _check_unhooked(block)
    if isinstance(block, nn.Dense):
        if block.weight._data is None or block.bias is None or block.weight.grad_req == "null":
            raise NotStackable("a Dense layer has deferred shapes, no bias or frozen weights")
        activation = f", {block.act!r}" if block.act is not None else ""
        if activation:
            raise NotStackable("a Dense layer has an activation inside; use a block of its own")
        return f"Dense {block.weight.shape} {block.weight.dtype}"
    if isinstance(block, nn.Dropout):
        raise NotStackable("dropout's masks would depend on who shares the stack")
    if type(block).__name__ not in _ELEMENTWISE or list(block.collect_params()):
        raise NotStackable(f"a {type(block).__name__} cannot be stacked")
    return repr(block)


def _check_unhooked(block: Any) -> None:
    if block._forward_hooks or block._forward_pre_hooks:
        raise NotStackable("a forward hook must see every step")
