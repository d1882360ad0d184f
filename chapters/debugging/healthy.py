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
from nnbook.zoo.cases import Case, chain
from nnbook.zoo.correct_layers import LastStep

nn, rnn = mx.gluon.nn, mx.gluon.rnn
CE = losses.softmax_cross_entropy

__all__ = ["CE", "Problem", "case", "chain", "embedded", "mlp", "nn", "problems_of", "read", "rnn"]
__all__ += ["scaled", "split"]


@dataclass(frozen=True)
class Problem:
    """A healthy problem: its kind, its name, and what makes a case of a seed."""

    kind: str
    name: str
    build: Callable[[int], Case]


def problems_of(found: list[Problem]) -> Callable[[str], Callable[..., Any]]:
    """Return a decorator that enters functions into a list, each under a kind."""

    def of(kind: str) -> Callable[..., Any]:
        def enter(build: Callable[[int], Case]) -> Callable[[int], Case]:
            found.append(Problem(kind, build.__name__, build))
            return build

        return enter

    return of


def split(x: Any, y: Any, seed: int, part: float = 0.25) -> tuple[Any, Any]:
    """Shuffle, and hold a part out; floats as float32, labels as int32."""
    order = np.random.default_rng([seed, 77]).permutation(len(x))
    x, y = (np.asarray(a)[order] for a in (x, y))
    x = x.astype("int32" if np.issubdtype(x.dtype, np.integer) else "float32")
    y = y.astype("int32" if np.issubdtype(y.dtype, np.integer) else "float32")
    if y.ndim == 1 and y.dtype == np.float32:
        y = y[:, None]
    n = int(len(x) * (1 - part))
    return (x[:n], y[:n]), (x[n:], y[n:])


def scaled(x: Any, y: Any, seed: int) -> tuple[Any, Any]:
    """Split, and standardise by what is known of the training set."""
    (x, y), (x_val, y_val) = split(np.asarray(x, float), y, seed)
    rule = Standardize().fit(x)
    x, x_val = (rule.transform(a).astype("float32") for a in (x, x_val))
    return (x, y), (x_val, y_val)


def case(sets: Any, net: Any, seed: int, *, loss: Any = CE, **options: Any) -> Case:
    """Put a case together; the rule, the batch size and the epochs are usual ones."""
    usual = {"optimizer": optim.adam(0.003), "batch_size": 32, "epochs": 8, "seed": seed}
    return Case(net, loss, *sets, {**usual, **options})


def mlp(
    sets: Any, widths: Any, outputs: int, seed: int, *, act: str = "relu", **options: Any
) -> Case:
    """Put a case of a multilayer perceptron together."""
    inputs = int(np.prod(sets[0][0].shape[1:]))
    net_options = {k: options.pop(k) for k in ("dropout",) if k in options}
    net = layers.mlp(inputs, widths, outputs, act, seed=seed, **net_options)
    return case(sets, net, seed, **options)


def read(sets: Any, layer: Any, outputs: int, seed: int, **options: Any) -> Case:
    """Put a case of a recurrent layer and its last output together."""
    width = layer._hidden_size * (2 if layer._dir == 2 else 1)
    blocks = LastStep(layer), nn.Dense(outputs, in_units=width)
    net = chain(*blocks, example=sets[0][0], seed=seed)
    return case(sets, net, seed, **{"optimizer": optim.adam(0.01), **options})


class MeanOfTokens(mx.gluon.HybridBlock):
    """The mean of the vectors of a sequence's tokens."""

    def __init__(self, vocabulary: int, width: int):
        super().__init__()
        with self.name_scope():
            self.table = nn.Embedding(vocabulary, width)

    def hybrid_forward(self, F, x):
        """Map (n, steps) to (n, width)."""
        return self.table(x).mean(axis=1)


def embedded(
    sets: Any, vocabulary: int, outputs: int, seed: int, *, layer: Any = None, **options: Any
) -> Case:
    """Put a case of token ids together: the mean of their vectors, or a layer that reads them."""
    width = 16
    if layer is None:
        blocks = [MeanOfTokens(vocabulary, width), nn.Dense(16, in_units=width, activation="relu")]
    else:
        blocks = [nn.Embedding(vocabulary, width), LastStep(layer)]
    blocks.append(nn.Dense(outputs, in_units=16 if layer is None else layer._hidden_size))
    net = chain(*blocks, example=sets[0][0], seed=seed)
    return case(sets, net, seed, **{"optimizer": optim.adam(0.01), **options})
