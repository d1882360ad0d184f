"""What healthy problems are made of: the lists `healthy_first` and `healthy_second` use it.

A problem is healthy if its data are what they claim to be, and the network is of a usual kind and
size, with a rate that somebody who knows the field would take. Nothing is wrong with it, so
whatever a check or a monitor finds is a false alarm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnbook import layers, losses, optim
from nnbook.data import Standardize
from nnbook.runtime import mx
from nnbook.zoo.cases import Case
from nnbook.zoo.cases import chain as chained
from nnbook.zoo.correct_layers import LastStep

nn, rnn = mx.gluon.nn, mx.gluon.rnn
CE, SQUARES, SIGMOIDS = (
    losses.softmax_cross_entropy,
    losses.squared_error,
    losses.sigmoid_cross_entropy,
)

__all__ = ["CE", "SIGMOIDS", "SQUARES", "Problem", "Problems", "chain", "mlp", "nn", "outputs_of"]
__all__ += ["probabilities", "read", "rnn", "split", "tokens"]

Net = Callable[[Any, int], Case]  # of (training set, validation set) and a seed


@dataclass(frozen=True)
class Problem:
    """A healthy problem: its kind and name, what draws its data of a seed, and its network."""

    kind: str
    name: str
    draw: Callable[[int], Any]
    net: Net
    scale: bool

    def build(self, seed: int) -> Case:
        """Return the case of a seed."""
        sets = self.draw(seed)
        if not isinstance(sets[0], tuple):
            sets = split(*sets, seed, self.scale)
        return self.net(sets, seed)


class Problems(list[Problem]):
    """A list of problems; `of` enters the function below it, under its own name."""

    def add(
        self, kind: str, name: str, draw: Callable[[int], Any], net: Net, *, scale: bool = True
    ) -> None:
        """Enter a problem, whose inputs are to be standardised or not."""
        self.append(Problem(kind, name, draw, net, scale))

    def of(self, kind: str, net: Net, *, scale: bool = True) -> Callable[..., Any]:
        """Return a decorator that enters what draws the data."""
        return lambda draw: self.add(kind, draw.__name__, draw, net, scale=scale) or draw


def split(x: Any, y: Any, seed: int, scale: bool = False, part: float = 0.25) -> Any:
    """Shuffle, and hold a part out; floats as float32, labels as int32.

    Where asked for, standardise the inputs by what is known of the training set.
    """
    order = np.random.default_rng([seed, 77]).permutation(len(x))
    x, y = np.asarray(x, float if scale else None)[order], np.asarray(y)[order]
    x = x.astype("int32" if np.issubdtype(x.dtype, np.integer) else "float32")
    y = y.astype("int32" if np.issubdtype(y.dtype, np.integer) else "float32")
    if y.ndim == 1 and y.dtype == np.float32:
        y = y[:, None]
    n = int(len(x) * (1 - part))
    seen, unseen = x[:n], x[n:]
    if scale:
        rule = Standardize().fit(seen)
        seen, unseen = (rule.transform(a).astype("float32") for a in (seen, unseen))
    return (seen, y[:n]), (unseen, y[n:])


def outputs_of(sets: Any) -> int:
    """Return how many outputs targets ask for: one for each column, or for each class."""
    y, held_out = sets[0][1], sets[1][1]
    return y.shape[1] if y.ndim > 1 else int(max(y.max(), held_out.max())) + 1


def probabilities(outputs: Any, rows: Any) -> Any:
    """Return the cross-entropy where every target is a row of probabilities."""
    return CE(outputs, rows, probabilities=True)


def _case(sets: Any, net: Any, seed: int, options: Any) -> Case:
    """Put a case together; the rule, the batch size and the epochs are usual ones."""
    usual = {"loss": CE, "optimizer": optim.adam(0.003), "batch_size": 32, "epochs": 8}
    options = {**usual, "seed": seed, **options}
    return Case(net, options.pop("loss"), *sets, options)


def mlp(
    *widths: int, act: str = "relu", dropout: float = 0.0, initializer: Any = None, **options: Any
) -> Net:
    """Return what makes a multilayer perceptron; options are those of `fit`, and ``loss``."""

    def net(sets: Any, seed: int) -> Case:
        inputs = int(np.prod(sets[0][0].shape[1:]))
        own = {"dropout": dropout} if dropout else {}
        own |= {"initializer": initializer} if initializer else {}
        made = layers.mlp(inputs, widths, outputs_of(sets), act, seed=seed, **own)
        return _case(sets, made, seed, options)

    return net


def chain(blocks: Callable[[Any], list[Any]], *, initializer: Any = None, **options: Any) -> Net:
    """Return what makes a network of blocks, which may depend on the data; no output layer yet."""

    def net(sets: Any, seed: int) -> Case:
        own = {"initializer": initializer} if initializer else {}
        made = *blocks(sets), nn.Dense(outputs_of(sets))
        return _case(sets, chained(*made, example=sets[0][0], seed=seed, **own), seed, options)

    return net


def read(layer: Callable[..., Any], width: int, *, layers: int = 1, **options: Any) -> Net:
    """Return what makes a recurrent layer whose last output is looked at."""

    def blocks(sets: Any) -> list[Any]:
        inputs = sets[0][0].shape[2]
        return [LastStep(layer(width, num_layers=layers, layout="NTC", input_size=inputs))]

    return chain(blocks, **{"optimizer": optim.adam(0.01), **options})


class MeanOfTokens(mx.gluon.HybridBlock):
    """The mean of the vectors of a sequence's tokens."""

    def __init__(self, vocabulary: int, width: int):
        super().__init__()
        with self.name_scope():
            self.table = nn.Embedding(vocabulary, width)

    def hybrid_forward(self, F, x):
        """Map (n, steps) to (n, width)."""
        return self.table(x).mean(axis=1)


def tokens(vocabulary: int, layer: Any = None, width: int = 16, **options: Any) -> Net:
    """Return what makes the mean of tokens' vectors and a layer, or a recurrent layer of them."""

    def blocks(_: Any) -> list[Any]:
        if layer is None:
            return [MeanOfTokens(vocabulary, 16), nn.Dense(width, activation="relu")]
        reader = layer(width, layout="NTC", input_size=16)
        return [nn.Embedding(vocabulary, 16), LastStep(reader)]

    return chain(blocks, **{"optimizer": optim.adam(0.01), **options})
