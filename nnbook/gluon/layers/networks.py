"""Whole networks, initialised when they are returned."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from nnbook._arguments import check_whole
from nnbook.gluon import runtime
from nnbook.gluon.layers import initializers
from nnbook.gluon.layers.units import activation as make_activation
from nnbook.gluon.layers.units import nn
from nnbook.gluon.runtime import mx

__all__ = ["mlp"]

_INITIALIZERS = {
    "lecun_normal": initializers.LeCunNormal,
    "lecun_uniform": initializers.LeCunUniform,
    "glorot_normal": initializers.GlorotNormal,
    "glorot_uniform": initializers.GlorotUniform,
    "he_normal": initializers.HeNormal,
}


def mlp(
    n_in: int,
    hidden: Sequence[int],
    n_out: int,
    activation: str | None = "sigmoid",
    *,
    initializer: Any = None,
    dropout: float = 0.0,
    dtype: str = "float32",
    device: Any = None,
    seed: Any = None,
) -> Any:
    """Build a multilayer perceptron with linear outputs, initialised.

    Every hidden layer is a Dense block, an activation block and, if asked for, a Dropout block, in
    this order in one HybridSequential. The outputs are linear: the losses of `nnbook.losses` apply
    softmax or sigmoid themselves.

    Parameters
    ----------
    n_in : int
        Inputs; the net maps (n, n_in) to (n, n_out) and flattens what has more dimensions.
    hidden : sequence of int
        Units of each hidden layer; empty for a linear model.
    n_out : int
        Outputs.
    activation : str or None
        Of the hidden layers, as in `activation`.
    initializer : str or mxnet.init.Initializer, optional
        Of all the weights; "lecun_normal", "lecun_uniform", "glorot_normal", "glorot_uniform",
        "he_normal", or an object. By default He's for ReLU and LeCun's, normal, for the others.
        Biases are 0.
    dropout : float
        Probability in [0, 1) that a hidden unit is left out in training.
    dtype : str
        "float32" or "float64"; both get the same weights, up to rounding.
    device : mxnet.Context or str, optional
        Where the parameters live; by default MXNet's current device, as a rule the CPU.
    seed : int or numpy.random.Generator, optional
        Of the initial weights, which then depend on nothing else; by default MXNet's global
        generator gives it.

    Returns
    -------
    mxnet.gluon.nn.HybridSequential
        Runs eagerly, hybridised and on symbols.

    Raises
    ------
    ValueError, TypeError
        A size below 1, an unknown activation, initialiser, dtype or device, dropout outside
        [0, 1), or a seed together with an initialiser that cannot take one.

    Examples
    --------
    >>> from nnbook import layers
    >>> net = layers.mlp(784, [100], 10, activation="tanh", seed=0)
    """
    if isinstance(hidden, int) or not hasattr(hidden, "__iter__"):
        raise TypeError(f"hidden is {hidden!r}; expected a list of sizes, such as [{hidden}]")
    n_in, n_out = check_whole(n_in, "n_in"), check_whole(n_out, "n_out")
    sizes = [check_whole(units, "a hidden layer's size") for units in hidden]
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is {dropout!r}; expected a probability in [0, 1)")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype is {dtype!r}; expected 'float32' or 'float64'")
    make_activation(activation)  # an unknown name must fail before anything is built
    rule = _initializer(initializer, activation, seed)
    context = mx.current_context() if device is None else runtime.as_device(device)

    # MXNet's own initialisers cannot fill float64 arrays, so those nets are cast afterwards.
    own = isinstance(rule, initializers.WeightInitializer)
    net = _stack([n_in, *sizes, n_out], activation, float(dropout), dtype if own else "float32")
    net.initialize(rule, ctx=context)
    if not own:
        net.cast(dtype)
    return net


def _stack(sizes: list[int], activation: str | None, dropout: float, dtype: str) -> Any:
    """Chain dense layers, with an activation and dropout after each but the last."""
    net = nn.HybridSequential()
    with net.name_scope():
        for before, units in itertools.pairwise(sizes[:-1]):
            net.add(nn.Dense(units, in_units=before, dtype=dtype), make_activation(activation))
            if dropout:
                net.add(nn.Dropout(dropout))
        net.add(nn.Dense(sizes[-1], in_units=sizes[-2], dtype=dtype))
    return net


def _initializer(choice: Any, activation: str | None, seed: Any) -> Any:
    """Return the initialiser for a name, an object or None, with its own seed if one is given."""
    if choice is None:
        choice = "he_normal" if activation == "relu" else "lecun_normal"
    if isinstance(choice, str):
        if choice not in _INITIALIZERS:
            known = ", ".join(_INITIALIZERS)
            raise ValueError(f"initializer is {choice!r}; expected one of {known}, or an object")
        choice = _INITIALIZERS[choice]()
    if not isinstance(choice, mx.init.Initializer):
        raise TypeError(
            f"initializer is {choice!r}; expected a name, or an object such as LeCunNormal()"
        )
    if seed is None:
        return choice
    if not isinstance(choice, initializers.WeightInitializer):
        raise ValueError(
            f"seed is {seed!r}, but {type(choice).__name__} draws from MXNet's global generator; "
            "call seed_everything instead, or use an initialiser of nnbook.layers"
        )
    return choice.seeded(seed)
