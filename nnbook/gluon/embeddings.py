"""Token ids that an embedding would clip in silence."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook._arrays import to_numpy
from nnbook.gluon.copies import clone
from nnbook.gluon.parameters import blocks_of
from nnbook.gluon.runtime import mx, np

__all__ = ["check_ids", "check_values", "entrance_of"]

_CHUNK = 1000


class _Done(Exception):
    """Every embedding has been reached: the rest of the network need not be run."""


def check_ids(net: Any, x: Any, name: str) -> None:
    """Refuse examples with ids that are no rows of an embedding: MXNet would clip them.

    An embedding at the entrance of a chain gets the examples themselves. For others the network's
    code is run, in a copy, as far as the last of them.

    Parameters
    ----------
    net : mxnet.gluon.Block
        The network.
    x : array
        Examples.
    name : str
        What messages call them.

    Raises
    ------
    ValueError
        With the first id that is none.
    """
    embeddings = [b for b in blocks_of(net) if isinstance(b, mx.gluon.nn.Embedding)]
    if embeddings and embeddings == [entrance_of(net)]:
        check_values(to_numpy(x), embeddings[0], name)
    elif embeddings:
        _check_by_running(net, to_numpy(x), name)


def entrance_of(net: Any) -> Any:
    """Return the block of a chain, or of chains in it, that gets the examples themselves."""
    chains = (mx.gluon.nn.Sequential, mx.gluon.nn.HybridSequential)
    while isinstance(net, chains) and len(net):
        net = net[0]
    return net


def check_values(ids: onp.ndarray, embedding: Any, name: str) -> None:
    """Refuse values that are no rows of an embedding."""
    most = embedding._kwargs["input_dim"] - 1
    wrong = ids[~((ids >= 0) & (ids <= most) & (ids == onp.floor(ids)))]
    if wrong.size:
        raise ValueError(
            f"{name} has {wrong.size:,} values that are no rows of the embedding, the first "
            f"{wrong.flat[0]:g}; expected the whole numbers 0 … {most}"
        )


def _check_by_running(net: Any, x: onp.ndarray, name: str) -> None:
    """Look at what reaches each embedding; two examples show how often that is."""
    twin = clone(net)
    twin.hybridize(False)  # compiled, inner blocks are not called
    parameter = next(iter(twin.collect_params().values()))
    device, dtype = parameter.list_ctx()[0], parameter.dtype
    wrong: list[ValueError] = []
    calls, most = 0, len(x) + 1

    def look(embedding: Any, inputs: Any) -> None:
        nonlocal calls
        calls += 1
        try:
            check_values(to_numpy(inputs[0]), embedding, name)
        except ValueError as error:
            wrong.append(error)
        if wrong or calls == most:
            raise _Done

    for block in blocks_of(twin):
        if isinstance(block, mx.gluon.nn.Embedding):
            block.register_forward_pre_hook(look)
    for rows in (slice(0, 2), *(slice(k, k + _CHUNK) for k in range(0, len(x), _CHUNK))):
        calls = 0
        try:
            with mx.autograd.pause(train_mode=False):
                twin(np.array(x[rows], dtype=dtype, ctx=device))
            most = calls
        except _Done:
            pass
        if wrong:
            raise wrong[0]
