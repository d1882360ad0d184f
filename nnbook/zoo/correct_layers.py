"""Nets without a mistake, of other layers than dense ones with an activation."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook import layers, losses, optim
from nnbook.gluon.runtime import mx
from nnbook.zoo.cases import Case, CorrectNet, Pair, chain, digits, digits_case, sound

nn = mx.gluon.nn
rnn = mx.gluon.rnn

__all__ = ["LAYER_NETS"]


def _digits_in(shape: tuple[int, ...], seed: int) -> tuple[Pair, Pair]:
    """Draw digits, the examples in some shape."""
    (x, y), (x_val, y_val) = digits(seed)
    return (x.reshape(-1, *shape), y), (x_val.reshape(-1, *shape), y_val)


def _case(
    seed: int, device: Any, *blocks: mx.gluon.Block, shape: tuple[int, ...] = (64,), **options: Any
) -> Case:
    """Put a case of a chain of blocks on the digits together."""
    train, validation = _digits_in(shape, seed)
    net = chain(
        *blocks,
        example=train[0],
        seed=seed,
        device=device,
        initializer=options.pop("initializer", None),
    )
    return digits_case(seed, device, net=net, train=train, validation=validation, **options)


@sound("A convolution")
def convolution(seed: int, device: Any) -> Case:
    filters = nn.Conv2D(6, 3, in_channels=1, activation="tanh")
    return _case(seed, device, filters, nn.Dense(10), shape=(1, 8, 8))


@sound("Convolutions of rectified units and max-pooling")
def convolution_and_pooling(seed: int, device: Any) -> Case:
    blocks = (
        nn.Conv2D(6, 3, padding=1, in_channels=1, activation="relu"),
        nn.MaxPool2D(2),
        nn.Conv2D(12, 3, padding=1, in_channels=6, activation="relu"),
        nn.MaxPool2D(2),
        nn.Dense(10),
    )
    rule = layers.HeNormal()
    options: dict[str, Any] = {"initializer": rule, "optimizer": optim.momentum(0.05), "epochs": 8}
    return _case(seed, device, *blocks, shape=(1, 8, 8), **options)


@sound("Convolutions and global average pooling")
def average_pooling(seed: int, device: Any) -> Case:
    blocks = (
        nn.Conv2D(12, 3, in_channels=1, activation="relu"),
        nn.Conv2D(28, 3, in_channels=12, activation="relu"),
        nn.GlobalAvgPool2D(),
        nn.Dense(10),
    )
    rule = layers.HeNormal()
    options: dict[str, Any] = {"initializer": rule, "optimizer": optim.adam(0.01), "epochs": 8}
    return _case(seed, device, *blocks, shape=(1, 8, 8), **options)


@sound("Batch normalisation")
def batch_normalisation(seed: int, device: Any) -> Case:
    normalised = nn.BatchNorm(in_channels=32)
    hidden, outputs = nn.Dense(32, in_units=64), nn.Dense(10, in_units=32)
    return _case(seed, device, hidden, normalised, nn.Activation("relu"), outputs, epochs=10)


@sound("Layer normalisation")
def layer_normalisation(seed: int, device: Any) -> Case:
    normalised = nn.LayerNorm(in_channels=32)
    hidden, outputs = nn.Dense(32, in_units=64), nn.Dense(10, in_units=32)
    return _case(seed, device, hidden, normalised, nn.Activation("relu"), outputs)


class LastStep(mx.gluon.Block):
    """A recurrent layer that reads a sequence and gives its last output."""

    def __init__(self, layer: Any):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        """Map (n, steps, features) to (n, units)."""
        states = self.layer.begin_state(len(x), ctx=x.ctx, dtype=x.dtype)
        outputs, _ = self.layer(x, states)
        return outputs[:, -1]


def _recurrent(seed: int, device: Any, layer: Any) -> Case:
    """Read the digits line by line."""
    outputs = nn.Dense(10, in_units=24)
    options: dict[str, Any] = {"optimizer": optim.adam(0.01), "epochs": 8}
    return _case(seed, device, LastStep(layer), outputs, shape=(8, 8), **options)


@sound("A simple recurrent layer")
def recurrent(seed: int, device: Any) -> Case:
    return _recurrent(seed, device, rnn.RNN(24, activation="tanh", layout="NTC", input_size=8))


@sound("Long short-term memory")
def long_short_term_memory(seed: int, device: Any) -> Case:
    return _recurrent(seed, device, rnn.LSTM(24, layout="NTC", input_size=8))


@sound("Gated recurrent units")
def gated_recurrent_units(seed: int, device: Any) -> Case:
    return _recurrent(seed, device, rnn.GRU(24, layout="NTC", input_size=8))


@sound("An embedding of whole numbers")
def embedding(seed: int, device: Any) -> Case:
    rng = onp.random.default_rng(seed)
    worth = onp.array([-3, -2, -1, 1, 2, 3])
    x = rng.integers(0, 6, size=(500, 5)).astype("int32")
    y = (worth[x].sum(axis=1) > 0).astype("int32")
    blocks = nn.Embedding(6, 4), nn.Dense(16, in_units=20, activation="tanh"), nn.Dense(2)
    net = chain(*blocks, example=x, seed=seed, device=device)
    options = {"optimizer": optim.momentum(0.1), "batch_size": 20, "epochs": 15, "seed": seed}
    loss = losses.softmax_cross_entropy
    return Case(net, loss, (x[:400], y[:400]), (x[400:], y[400:]), options)


@sound("Maxout units")
def maxout(seed: int, device: Any) -> Case:
    return _case(seed, device, layers.Maxout(24, 3, in_units=64), nn.Dense(10, in_units=24))


@sound("Radial basis functions")
def radial_basis_functions(seed: int, device: Any) -> Case:
    centres = layers.RBF.from_examples(digits(seed)[0][0], 48, seed=seed)
    options: dict[str, Any] = {"optimizer": optim.adam(0.03), "epochs": 10}
    return _case(seed, device, centres, nn.Dense(10, in_units=48), **options)


class Residual(mx.gluon.HybridBlock):
    """Two layers and a connection past them: x + f(x)."""

    def __init__(self, units: int):
        super().__init__()
        with self.name_scope():
            self.inner = nn.Dense(units, in_units=units, activation="relu")
            self.outer = nn.Dense(units, in_units=units)

    def hybrid_forward(self, F, x):
        """Map (n, units) to (n, units)."""
        return x + self.outer(self.inner(x))


@sound("Residual blocks")
def residual(seed: int, device: Any) -> Case:
    first, last = nn.Dense(32, in_units=64), nn.Dense(10, in_units=32)
    rule = optim.momentum(0.03)
    return _case(seed, device, first, Residual(32), Residual(32), last, optimizer=rule)


class TiedAutoencoder(mx.gluon.HybridBlock):
    """An auto-encoder whose decoder has the encoder's weights, transposed."""

    def __init__(self, inputs: int, units: int):
        super().__init__()
        self.units = units
        with self.name_scope():
            self.weight = self.params.get("weight", shape=(units, inputs))
            self.encoder_bias = self.params.get("encoder_bias", shape=(units,), init="zeros")
            self.decoder_bias = self.params.get("decoder_bias", shape=(inputs,), init="zeros")

    def hybrid_forward(self, F, x, weight, encoder_bias, decoder_bias):
        """Map (n, inputs) to (n, inputs)."""
        sums = F.npx.fully_connected(x, weight, encoder_bias, num_hidden=self.units)
        code = F.npx.activation(sums, act_type="tanh")
        return F.np.dot(code, weight) + decoder_bias


@sound("Tied weights in an auto-encoder")
def tied_weights(seed: int, device: Any) -> Case:
    (x, _), (x_val, _) = digits(seed)
    net = chain(TiedAutoencoder(64, 16), example=x, seed=seed, device=device)
    return digits_case(
        seed,
        device,
        net=net,
        loss=losses.squared_error,
        train=(x, x),
        validation=(x_val, x_val),
        optimizer=optim.momentum(0.02),
    )


@sound("One layer used twice on purpose")
def shared_layer(seed: int, device: Any) -> Case:
    first, last = nn.Dense(32, in_units=64, activation="tanh"), nn.Dense(10, in_units=32)
    middle = nn.Dense(32, in_units=32, activation="tanh")
    rule = optim.momentum(0.05)
    return _case(seed, device, first, middle, middle, last, optimizer=rule)


class Attention(mx.gluon.HybridBlock):
    """Every line of an image looks at the others: softmax(QKᵀ/√d) V, one head."""

    def __init__(self, units: int, in_units: int):
        super().__init__()
        self.scale = units**-0.5
        with self.name_scope():
            self.query = nn.Dense(units, in_units=in_units, flatten=False)
            self.key = nn.Dense(units, in_units=in_units, flatten=False)
            self.value = nn.Dense(units, in_units=in_units, flatten=False)

    def hybrid_forward(self, F, x):
        """Map (n, steps, in_units) to (n, steps, units)."""
        scores = F.npx.batch_dot(self.query(x), self.key(x), transpose_b=True)
        weights = F.npx.softmax(self.scale * scores, axis=-1)
        return F.npx.batch_dot(weights, self.value(x))


@sound("Attention")
def attention(seed: int, device: Any) -> Case:
    options: dict[str, Any] = {"optimizer": optim.adam(0.02), "epochs": 10}
    return _case(seed, device, Attention(16, 8), nn.Dense(10), shape=(8, 8), **options)


LAYER_NETS: tuple[CorrectNet, ...] = (
    convolution,
    convolution_and_pooling,
    average_pooling,
    batch_normalisation,
    layer_normalisation,
    recurrent,
    long_short_term_memory,
    gated_recurrent_units,
    embedding,
    maxout,
    radial_basis_functions,
    residual,
    tied_weights,
    shared_layer,
    attention,
)
