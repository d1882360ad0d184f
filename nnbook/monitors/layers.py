"""The outputs of a network's layers for a few examples, hybridised or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook.gluon.parameters import blocks_of, named_parameters
from nnbook.gluon.runtime import mx, np
from nnbook.layers import ScaledTanh

nn = mx.gluon.nn

__all__ = ["LayerOutput", "is_affine", "layer_outputs"]

# Where the slope of tanh is a twentieth of its largest: 1 − h² = 0.05. The same share of the way
# to its asymptotes for every sigmoid.
_FLAT = 0.95**0.5
# Of the outputs' deviation. Rounding in float32 leaves 1e-6, the mildest activation of the zoo 0.1.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class LayerOutput:
    """What one layer gave.

    Attributes
    ----------
    name : str
        Its place in the network, as in the names of its parameters; "(use 2)" when it is used
        again.
    kind : str
        "tanh", "sigmoid", "relu" … for an activation or a layer that ends with one; else the name
        of the layer's class.
    values : numpy.ndarray, shape (examples, units)
        Its outputs. A convolution's units are its channels, and every pixel is an example; a
        recurrent layer's time steps are examples too.
    middle, half : float
        The middle of its range, and how far its asymptotes are from there: infinite where there
        are none.
    """

    name: str
    kind: str
    values: onp.ndarray
    middle: float = 0.0
    half: float = float("inf")

    @property
    def flat(self) -> onp.ndarray:
        """Where the unit is saturated: its slope is under a twentieth of its largest."""
        return onp.abs(self.values - self.middle) > _FLAT * self.half


def layer_outputs(net: mx.gluon.Block, x: Any) -> list[LayerOutput]:
    """Run examples through a network and return what every layer gave, in the order of their use.

    Nothing of the network changes: no parameter, no running statistic, no compiled graph. Layers of
    a hybridised network cannot be seen, since its graph runs as one; for this one call its Python
    code runs instead, with the same parameters.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialised network. What a block computes outside of child blocks cannot be seen, nor
        the inside of a `SymbolBlock`: the output of the whole block can.
    x : array, shape (n, …)
        Examples, NumPy or MXNet.

    Returns
    -------
    list of LayerOutput
        Of blocks without children, and of layers with an activation as one; dropout and flattening
        are left out.

    Raises
    ------
    TypeError
        `net` is no Gluon Block.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import layers, monitors
    >>> net = layers.mlp(3, [4], 2, "tanh")
    >>> [(layer.name, layer.kind) for layer in monitors.layer_outputs(net, np.zeros((5, 3)))]
    [('0', 'Dense'), ('1', 'tanh'), ('2', 'Dense')]
    """
    parameter = next(iter(named_parameters(net).values()))
    if not isinstance(x, mx.nd.NDArray):
        x = np.array(x, dtype=parameter.dtype, ctx=parameter.list_ctx()[0])
    found: list[LayerOutput] = []
    uses: dict[str, int] = {}

    def hook_of(name: str) -> Any:
        def hook(block: mx.gluon.Block, _: Any, output: Any) -> None:
            while isinstance(output, (tuple, list)):  # a recurrent layer gives its states too
                output = output[0]
            uses[name] = uses.get(name, 0) + 1
            use = f" (use {uses[name]})" if uses[name] > 1 else ""
            kind, middle, half = _kind(block)
            values = _units_last(output.asnumpy(), block)
            found.append(LayerOutput(name + use, kind, values, middle, half))

        return hook

    with ExitStack() as stack:
        for name, block in _layers_of(net):
            stack.enter_context(block.register_forward_hook(hook_of(name)))
        stack.enter_context(_not_hybridised(net))
        net(x)
    return found


def is_affine(net: mx.gluon.Block, x: Any) -> bool:
    """Tell whether a network maps examples by one affine map: halfway between two stays halfway.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialised network; nothing of it changes.
    x : mxnet.np.ndarray, shape (n, …)
        Examples.

    Returns
    -------
    bool
        False as well for whole numbers, between which there is no halfway, for outputs that are the
        same for all examples, and where rounding hides the answer.
    """
    ends = x.asnumpy()
    if not onp.issubdtype(ends.dtype, onp.floating):
        return False
    both = onp.concatenate([ends, (ends + ends[::-1]) / 2])
    with _not_hybridised(net):
        output = net(np.array(both, dtype=x.dtype, ctx=x.ctx))
    while isinstance(output, (tuple, list)):
        output = output[0]
    ends, halfway = output.asnumpy().astype("float64").reshape(2, len(ends), -1)
    deviation = ends.std(axis=0).mean()
    away = onp.abs(halfway - (ends + ends[::-1]) / 2).max()
    return bool(deviation > 0 and away < _ROUNDING * deviation)


@contextmanager
def _not_hybridised(net: mx.gluon.Block) -> Iterator[None]:
    """Let a network's Python code run, and keep its compiled graph for afterwards."""
    active = [b for b in blocks_of(net) if isinstance(b, mx.gluon.HybridBlock) and b._active]
    for block in active:
        block._active = False
    try:
        yield
    finally:
        for block in active:
            block._active = True


def _layers_of(net: mx.gluon.Block) -> list[tuple[str, mx.gluon.Block]]:
    """Return the layers of a network by their place in it, each once."""
    found: dict[int, tuple[str, mx.gluon.Block]] = {}

    def visit(block: mx.gluon.Block, path: tuple[str, ...]) -> None:
        if block._children and not _ends_with_activation(block):
            for key, child in block._children.items():
                visit(child, (*path, key))
        elif not isinstance(block, (nn.Dropout, nn.Flatten)):
            found.setdefault(id(block), (".".join(path) or "net", block))

    visit(net, ())
    return list(found.values())


def _ends_with_activation(block: mx.gluon.Block) -> bool:
    return isinstance(getattr(block, "act", None), nn.Activation)


def _kind(block: mx.gluon.Block) -> tuple[str, float, float]:
    """Return what a layer computes, and the middle and half of its range."""
    if _ends_with_activation(block):
        block = block.act
    if isinstance(block, ScaledTanh) and not block.twist:
        return "tanh", 0.0, block.a
    if isinstance(block, nn.Activation):
        ranges = {"tanh": (0.0, 1.0), "sigmoid": (0.5, 0.5)}
        return (block._act_type, *ranges.get(block._act_type, (0.0, float("inf"))))
    return type(block).__name__, 0.0, float("inf")


def _units_last(values: onp.ndarray, block: mx.gluon.Block) -> onp.ndarray:
    if values.ndim >= 4 or isinstance(block, nn.Conv1D):
        values = onp.moveaxis(values, 1, -1)
    return values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
