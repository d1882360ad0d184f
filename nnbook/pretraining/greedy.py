"""One layer after the other, without labels: stacks, and networks that training continues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nnbook._arguments import check_choice, check_flag, check_seed, check_whole
from nnbook._types import Network, Rule
from nnbook.pretraining.base import LayerObjective, Recipe, Start, as_inputs
from nnbook.training.fitting import fit
from nnbook.training.history import History

if TYPE_CHECKING:
    from nnbook.curvature.dense import DenseObjective

__all__ = ["Pretrained", "Stack", "pretrain", "train_stack"]

Array = np.ndarray
Recipes = Recipe | Sequence[Recipe]


@dataclass(frozen=True, eq=False)
class Stack:
    """Layers that were learned one after the other.

    Attributes
    ----------
    layers : tuple of LayerObjective
        In order; each has the codes of the layer below as its inputs.
    histories : tuple of nnbook.training.History
        How each was trained.
    """

    layers: tuple[LayerObjective, ...] = field(repr=False)
    histories: tuple[History, ...]

    def encode(self, x: Any) -> Array:
        """Return the codes of examples at the top, shape (n, units)."""
        codes = as_inputs(x)
        for layer in self.layers:
            codes = layer.encode(codes)
        return codes


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A network whose hidden layers have been learned without labels.

    Attributes
    ----------
    net : mxnet.gluon.Block
        For `nnbook.training.fit` to go on with.
    stack : Stack
        The layers and how they were trained.
    """

    net: Any
    stack: Stack = field(repr=False)


def train_stack(
    x: Any,
    units: Sequence[int],
    recipes: Recipes,
    *,
    optimizer: Rule | str | tuple[str, Any],
    activation: Any = "sigmoid",
    batch_size: int = 20,
    epochs: int = 15,
    penalty: Any = None,
    starts: Sequence[Start] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Stack:
    """Train layers one after the other, each on the stored codes of the one below.

    Codes are computed once, from uncorrupted inputs: the layers below stay as they are.

    Parameters
    ----------
    x : array, shape (n, features)
        Examples; no labels.
    units : sequence of int
        Units of each layer.
    recipes : recipe or sequence of recipes
        `AutoEncoder`, `CD`, `PCD`, `Exact`, `SparseCoding` or an object with such a method
        ``objective``: one for all layers, or one for each.
    optimizer, batch_size, epochs, penalty, progress
        As for `nnbook.training.fit`, for every layer.
    activation : str, Activation or sequence of them
        Of the layers; "sigmoid" is that of a Boltzmann machine, None that of sparse coding.
    starts : sequence of tuple of array, optional
        Initial ``(weight, bias)`` of each layer; by default the recipe's own.
    seed : int
        Of everything that is drawn, different for each layer.

    Returns
    -------
    Stack

    Raises
    ------
    TypeError, ValueError
        No examples, no layers, or as many recipes as there are not layers.
    DivergedError
        A layer's loss is no longer finite.

    References
    ----------
    Hinton, Osindero and Teh (2006), A fast learning algorithm for deep belief nets; Bengio,
    Lamblin, Popovici and Larochelle (2007), Greedy layer-wise training of deep networks.

    Examples
    --------
    >>> from nnbook import data, optim, pretraining
    >>> x, _ = data.load_digits_8x8()
    >>> stack = pretraining.train_stack(x[:200], [32, 16], pretraining.AutoEncoder(corruption=0.2),
    ...                                 optimizer=optim.sgd(0.1), epochs=2)
    >>> stack.encode(x).shape
    (1797, 16)
    """
    codes, seed = as_inputs(x), check_seed(seed)
    sizes = [check_whole(one, "units") for one in units]
    many = _each(recipes, "recipes", len(sizes))
    for recipe in many:
        if not hasattr(recipe, "objective"):
            raise TypeError(
                f"recipes has {recipe!r}; expected what has a method objective, such as "
                "AutoEncoder(corruption=0.3) or CD()"
            )
    functions = _each(activation, "activation", len(sizes))
    begun = [None] * len(sizes) if starts is None else _each(list(starts), "starts", len(sizes))
    layers, histories = [], []
    for k, (size, recipe, function) in enumerate(zip(sizes, many, functions, strict=True)):
        rng = np.random.default_rng([seed, k])
        layer = recipe.objective(codes, size, activation=function, start=begun[k], rng=rng)
        history = fit(
            layer,
            optimizer=optimizer,
            batch_size=batch_size,
            epochs=epochs,
            penalty=penalty,
            seed=int(rng.integers(2**31)),
            progress=progress,
        )
        layers.append(layer)
        histories.append(history)
        codes = layer.encode()
    return Stack(tuple(layers), tuple(histories))


def _each(given: Any, name: str, count: int) -> list[Any]:
    """Return one for each layer: what was given, or that as often as there are layers."""
    if not count:
        raise ValueError("there is no layer to train; expected at least one hidden layer")
    many = list(given) if isinstance(given, (list, tuple)) else [given] * count
    if len(many) != count:
        raise ValueError(f"{name} has {len(many)} entries for {count} layers; expected one each")
    return many


def pretrain(
    net: Network,
    x: Any,
    layers: Recipes,
    *,
    optimizer: Rule | str | tuple[str, Any],
    batch_size: int = 20,
    epochs: int = 15,
    penalty: Any = None,
    output: str = "zero",
    seed: int = 0,
    progress: bool = False,
) -> Pretrained:
    """Pretrain a network's hidden layers without labels, one by one; `fit` goes on from there.

    Every layer begins with the weights that the network has, in the network's dtype, and learns
    from the stored codes of the layer below, with the network's own activations.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialised network of dense layers with biases and elementwise activations, dropout
        between them allowed, as `nnbook.layers.mlp` makes one. It is not changed, but that deferred
        shapes become known.
    x : array, shape (n, features)
        Examples without labels; preprocessed as the network will get them.
    layers : recipe or sequence of recipes
        One for all hidden layers, or one for each from the bottom: ``[AutoEncoder(corruption=c) for
        c in (0.1, 0.2, 0.3)]``. Fewer than there are hidden layers leave the upper ones as they
        are.
    optimizer, batch_size, epochs, penalty, progress
        As for `nnbook.training.fit`, for every layer.
    output : str
        "zero" makes the last layer 0, so that all classes begin alike; "keep" leaves it as it is.
    seed : int
        Of everything that is drawn.

    Returns
    -------
    Pretrained

    Raises
    ------
    TypeError, ValueError
        A network with other layers; recipes whose codes are not those of a dense layer; more
        recipes than hidden layers.
    DivergedError
        A layer's loss is no longer finite.

    References
    ----------
    Bengio, Lamblin, Popovici and Larochelle (2007), Greedy layer-wise training of deep networks;
    Vincent et al. (2010), Stacked denoising autoencoders.

    Examples
    --------
    >>> from nnbook import data, layers, losses, optim, pretraining, training
    >>> x, y = data.load_digits_8x8()
    >>> net = layers.mlp(64, [32, 32], 10, "sigmoid", seed=0)
    >>> found = pretraining.pretrain(net, x, pretraining.AutoEncoder(corruption=0.2),
    ...                              optimizer=optim.sgd(0.1), epochs=2)
    >>> history = training.fit(found.net, (x[:100], y[:100]), loss=losses.softmax_cross_entropy,
    ...                        optimizer=optim.sgd(0.1), epochs=1)
    >>> history.status
    'finished'
    """
    from nnbook.gluon.copies import clone
    from nnbook.gluon.parameters import ParameterVector

    check_choice(output, "output", ("zero", "keep"))
    check_flag(progress, "progress")
    values = as_inputs(x)
    dense = _read(net, values)
    hidden = dense.layers[:-1]
    many: list[Any] = list(layers) if isinstance(layers, (list, tuple)) else [layers] * len(hidden)
    if not 0 < len(many) <= len(hidden):
        raise ValueError(
            f"there are {len(many)} recipes and {len(hidden)} hidden layers; expected at least one "
            "recipe, and no more than hidden layers"
        )
    trained = hidden[: len(many)]
    twin = clone(net)
    vector = ParameterVector(twin)
    theta = vector.theta.asnumpy()
    stack = train_stack(
        values.astype(theta.dtype, copy=False),
        [layer.units for layer in trained],
        many,
        optimizer=optimizer,
        activation=[layer.activation for layer in trained],
        batch_size=batch_size,
        epochs=epochs,
        penalty=penalty,
        starts=[
            (theta[layer.weight].reshape(layer.units, layer.inputs), theta[layer.bias])
            for layer in trained
        ],
        seed=seed,
        progress=progress,
    )
    for layer, learned in zip(trained, stack.layers, strict=True):
        weight, bias = learned.encoder()
        theta[layer.weight], theta[layer.bias] = weight.ravel(), bias
    if output == "zero":
        theta[dense.layers[-1].weight] = theta[dense.layers[-1].bias] = 0
    vector.theta = theta
    return Pretrained(twin, stack)


def _read(net: Any, x: Array) -> DenseObjective:
    """Return where a network's dense layers are in θ, and their activations."""
    from nnbook.gluon.curvature import NotDense, dense_objective
    from nnbook.gluon.deferred import complete
    from nnbook.gluon.losses import squared_error
    from nnbook.gluon.parameters import named_parameters

    complete(net, x)
    shapes = [p.shape for p in named_parameters(net).values() if len(p.shape) == 2]
    outputs = shapes[-1][0] if shapes else 1
    try:
        found = dense_objective(net, squared_error, (x[:1], np.zeros((1, outputs), x.dtype)))
    except NotDense as error:
        raise ValueError(
            f"net is not a chain of dense layers: {error}; expected one such as nnbook.layers.mlp "
            "makes. A stack for another network is trained by train_stack"
        ) from error
    if any(layer.bias is None for layer in found.layers):
        raise ValueError("net has a dense layer without a bias; expected biases, use_bias=True")
    return found
