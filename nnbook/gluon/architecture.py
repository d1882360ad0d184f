"""A network's architecture as data, and the network again: what a file can hold without code.

Described are Gluon's usual layers and those of `nnbook.layers`, in a Sequential or HybridSequential
of any depth, `nnbook.layers.mlp` among them. A block of a class of one's own is code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as onp

from nnbook.gluon.layers.sequences import LastStep, MeanOfSteps
from nnbook.gluon.layers.units import RBF, Identity, Maxout, ScaledTanh
from nnbook.gluon.parameters import named_parameters
from nnbook.gluon.runtime import as_device, mx, np

nn, rnn = mx.gluon.nn, mx.gluon.rnn

__all__ = ["NoDescriptionError", "build", "check_values", "describe", "put_values", "values_of"]


class NoDescriptionError(ValueError):
    """A network has a part that is code."""


def _nothing(block: Any) -> dict[str, Any]:
    return {}


def _activation_of(block: Any) -> str | None:
    return None if block.act is None else block.act._act_type


def _dense(block: Any) -> dict[str, Any]:
    return {
        "units": block._units,
        "in_units": block._in_units,
        "flatten": block._flatten,
        "use_bias": block.bias is not None,
        "activation": _activation_of(block),
    }


def _convolution(block: Any) -> dict[str, Any]:
    own = block._kwargs
    return {
        "channels": block._channels,
        "in_channels": block._in_channels,
        "kernel_size": own["kernel"],
        "strides": own["stride"],
        "padding": own["pad"],
        "dilation": own["dilate"],
        "groups": own["num_group"],
        "layout": own["layout"],
        "use_bias": not own["no_bias"],
        "activation": _activation_of(block),
    }


def _pooling(block: Any) -> dict[str, Any]:
    own = block._kwargs
    found = {
        "pool_size": own["kernel"],
        "strides": own["stride"],
        "padding": own["pad"],
        "layout": own["layout"],
        "ceil_mode": own["pooling_convention"] == "full",
    }
    return found | {k: own[k] for k in ("count_include_pad",) if k in own}


def _global_pooling(block: Any) -> dict[str, Any]:
    return {"layout": block._kwargs["layout"]}


def _batch_norm(block: Any) -> dict[str, Any]:
    own = block._kwargs
    return {
        "axis": own["axis"],
        "epsilon": own["eps"],
        "momentum": own["momentum"],
        "scale": not own["fix_gamma"],
        "center": block.beta._differentiable,
        "use_global_stats": own["use_global_stats"],
    }


def _layer_norm(block: Any) -> dict[str, Any]:
    names = {"axis": "_axis", "epsilon": "_epsilon", "center": "_center", "scale": "_scale"}
    return {argument: getattr(block, name) for argument, name in names.items()}


def _recurrent(block: Any) -> dict[str, Any]:
    if block._projection_size or block._use_sequence_length or block._lstm_state_clip_min:
        raise NoDescriptionError(f"{block.name} projects, clips or takes lengths")
    found = {
        "hidden_size": block._hidden_size,
        "num_layers": block._num_layers,
        "layout": block._layout,
        "dropout": block._dropout,
        "bidirectional": block._dir == 2,
        "input_size": block._input_size,
    }
    if block._mode.startswith("rnn_"):
        found["activation"] = block._mode.removeprefix("rnn_")
    return found


def _embedding(block: Any) -> dict[str, Any]:
    return {name: block._kwargs[name] for name in ("input_dim", "output_dim", "sparse_grad")}


def _maxout(block: Any) -> dict[str, Any]:
    first, *others = block._children.values()
    return {"units": first._units, "in_units": first._in_units, "pieces": 1 + len(others)}


#: How the arguments that make a layer are read from it; classes by their names in a file.
_LAYERS: dict[type, Callable[[Any], dict[str, Any]]] = {
    nn.Dense: _dense,
    nn.Activation: lambda block: {"activation": block._act_type},
    nn.LeakyReLU: lambda block: {"alpha": block._alpha},
    nn.PReLU: lambda block: {"in_channels": block.alpha.shape[0]},
    nn.ELU: lambda block: {"alpha": block._alpha},
    nn.SELU: _nothing,
    nn.GELU: _nothing,
    nn.Swish: lambda block: {"beta": block._beta},
    nn.Dropout: lambda block: {"rate": block._rate, "axes": block._axes},
    nn.Flatten: _nothing,
    nn.Embedding: _embedding,
    nn.BatchNorm: _batch_norm,
    nn.LayerNorm: _layer_norm,
    **dict.fromkeys((nn.Conv1D, nn.Conv2D, nn.Conv3D), _convolution),
    **dict.fromkeys((nn.MaxPool1D, nn.MaxPool2D, nn.MaxPool3D), _pooling),
    **dict.fromkeys((nn.AvgPool1D, nn.AvgPool2D, nn.AvgPool3D), _pooling),
    **dict.fromkeys((nn.GlobalMaxPool1D, nn.GlobalMaxPool2D, nn.GlobalMaxPool3D), _global_pooling),
    **dict.fromkeys((nn.GlobalAvgPool1D, nn.GlobalAvgPool2D, nn.GlobalAvgPool3D), _global_pooling),
    **dict.fromkeys((rnn.RNN, rnn.LSTM, rnn.GRU), _recurrent),
    Identity: _nothing,
    LastStep: _nothing,
    MeanOfSteps: _nothing,
    ScaledTanh: lambda block: {"a": block.a, "b": block.b, "twist": block.twist},
    Maxout: _maxout,
    RBF: lambda block: dict(zip(("units", "in_units"), block.centres.shape, strict=True)),
}
_CONTAINERS = {"Sequential": nn.Sequential, "HybridSequential": nn.HybridSequential}
_BY_NAME = {kind.__name__: kind for kind in _LAYERS}


def describe(net: Any) -> dict[str, Any]:
    """Return what a network is made of, in JSON's terms and tuples; without its values.

    Parameters
    ----------
    net : mxnet.gluon.Block
        It is not changed.

    Returns
    -------
    dict
        For `build`.

    Raises
    ------
    NoDescriptionError
        A part is of a class that is not known here, or shares its parameters with another; the
        message names it.
    """
    every = Counter(map(id, net._collect_params_with_prefix().values()))
    if every and max(every.values()) > 1:
        raise NoDescriptionError("two of its layers share a parameter")
    return _describe(net)


def _describe(block: Any) -> dict[str, Any]:
    name = type(block).__name__
    if type(block) is _CONTAINERS.get(name):
        parts = [_describe(child) for child in block._children.values()]
        return {"layer": name, "parts": parts}
    if type(block) not in _LAYERS:
        raise NoDescriptionError(f"its block {block.name!r} is of the class {name}")
    return {"layer": name, "arguments": _LAYERS[type(block)](block)}


def build(description: dict[str, Any]) -> Any:
    """Make a network of its description; it is not initialised.

    Parameters
    ----------
    description : dict
        What `describe` returned.

    Returns
    -------
    mxnet.gluon.Block

    Raises
    ------
    ValueError
        The description has a layer that this edition does not know.
    """
    name = description["layer"]
    if name in _CONTAINERS:
        net = _CONTAINERS[name]()
        with net.name_scope():
            for part in description["parts"]:
                net.add(build(part))
        return net
    if name not in _BY_NAME:
        raise ValueError(f"the description has a layer {name!r}, which this nnbook does not know")
    return _BY_NAME[name](**description["arguments"])


def values_of(net: Any) -> dict[str, onp.ndarray]:
    """Return copies of all parameters and running statistics by their place in the network.

    Raises
    ------
    ValueError
        One has no value yet.
    """
    found = {}
    for name, parameter in named_parameters(net).items():
        if parameter._data is None:
            raise ValueError(
                f"parameter {name!r} has no values yet; initialise the network, and run one batch "
                "through it if its shapes are deferred"
            )
        found[name] = parameter.data().asnumpy()
    return found


def check_values(net: Any, values: dict[str, onp.ndarray]) -> None:
    """Refuse a network whose parameters are not those of some values.

    Parameters
    ----------
    net : mxnet.gluon.Block
        Its shapes known or deferred.
    values : dict of str to numpy.ndarray
        As `values_of` returns them.

    Raises
    ------
    TypeError, ValueError
        No Gluon network, or another architecture or dtype.
    """
    parameters = named_parameters(net)
    if differing := sorted(parameters.keys() ^ values.keys()):
        where = "file" if differing[0] in values else "network"
        raise ValueError(
            f"parameter {differing[0]!r} is only in the {where}; expected a network of the "
            "architecture that was saved"
        )
    for name, parameter in parameters.items():
        mine, theirs = tuple(parameter.shape or ()), values[name].shape
        fits = len(mine) == len(theirs) and all(
            size in (-1, 0, other) for size, other in zip(mine, theirs, strict=True)
        )
        if not fits or onp.dtype(parameter.dtype) != values[name].dtype:
            raise ValueError(
                f"parameter {name!r} is {onp.dtype(parameter.dtype).name} of shape {mine}, the "
                f"file has {values[name].dtype.name} of shape {theirs}; expected a network of the "
                "architecture and dtype that were saved"
            )


def put_values(net: Any, values: dict[str, onp.ndarray], device: Any = None) -> None:
    """Give a network parameters and running statistics, which are checked before any is changed.

    Parameters
    ----------
    net, values
        As for `check_values`; a network that is not initialised becomes so.
    device : mxnet.Context or str, optional
        Where a network that is not initialised is to live.

    Raises
    ------
    TypeError, ValueError
        As for `check_values`; the network is where it was.
    """
    check_values(net, values)
    for name, parameter in named_parameters(net).items():
        new = parameter._data is None and not parameter._deferred_init
        value = np.array(values[name], dtype=values[name].dtype)
        parameter._load_init(value, as_device(device) if new else None)
