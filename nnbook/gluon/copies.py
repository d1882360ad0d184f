"""Copies of networks."""

from __future__ import annotations

import copy
from typing import Any

from nnbook.gluon.parameters import blocks_of, named_parameters
from nnbook.gluon.runtime import mx

__all__ = ["clone"]

# What a hybridised block holds of its compiled graph: not copyable, and rebuilt on the next call.
_COMPILED = ("_cached_graph", "_cached_op", "_cached_op_args")


def clone(net: mx.gluon.Block, dtype: str | None = None) -> mx.gluon.Block:
    """Copy a network: hybridised, fitted or viewed by a `ParameterVector`, it may be any.

    Parameters
    ----------
    net : mxnet.gluon.Block
        The network; nothing of it is changed. A plain ``copy.deepcopy`` raises once a hybridised
        network has run.
    dtype : str, optional
        Cast the copy, for example to ``"float64"``.

    Returns
    -------
    mxnet.gluon.Block
        A network of its own memory with the same values, hooks and hybridisation.
    """
    memo: dict[int, Any] = {}
    for parameter in named_parameters(net).values():
        memo[id(parameter)] = _copy_parameter(parameter)
    compiled = []
    for block in blocks_of(net):
        held = {name: vars(block)[name] for name in _COMPILED if name in vars(block)}
        compiled.append((block, held))
        for name in held:
            setattr(block, name, () if name == "_cached_graph" else None)
        if "_cached_op_args" in held:
            block._cached_op_args = []
    try:
        twin = copy.deepcopy(net, memo)
    finally:
        for block, held in compiled:
            block.__dict__.update(held)
    if dtype is not None:
        twin.cast(dtype)
    return twin


def _copy_parameter(parameter: mx.gluon.Parameter) -> mx.gluon.Parameter:
    twin = copy.copy(parameter)
    twin._trainer = None
    twin._var = None
    if parameter._data is not None:
        with mx.autograd.pause():
            twin._data = [array.copy() for array in parameter._data]
            twin._init_grad()
    return twin
