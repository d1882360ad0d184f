"""The second list of healthy problems: not looked at before the thresholds were fixed.

Other generators throughout: teachers, trees, chains of Markov, textures, processes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from healthy import SIGMOIDS, SQUARES, Problems, chain, mlp, nn, probabilities, read, rnn, tokens

from nnbook import data, layers, optim
from nnbook.zoo.correct_layers import Attention

__all__ = ["SECOND"]

SECOND = Problems()
of = SECOND.of
RARE, TABLES, REGRESSION, TOKENS = "rare classes", "tables", "regression", "tokens"
SEQUENCES, IMAGES, INPUTS, TARGETS = "sequences", "images", "odd inputs", "odd targets"
QUICK = optim.adam(0.01)


def drawn(seed: int, *shape: int) -> tuple[Any, Any]:
    """Return a generator of its own for each seed, and normal numbers of a shape."""
    rng = np.random.default_rng([seed, 2024])
    return rng, rng.normal(size=shape)


def teacher(rng: Any, x: Any, outputs: int) -> Any:
    """Return what a random network of twelve units makes of x."""
    hidden = np.tanh(x @ rng.normal(size=(x.shape[1], 12)) * 1.5 / x.shape[1] ** 0.5)
    return hidden @ rng.normal(size=(12, outputs))


# -------------------------------------------------------------------------------- rare classes


@of(RARE, mlp(16))
def rare_event(seed: int) -> Any:
    rng, x = drawn(seed, 3000, 8)
    score = x @ np.array([2, -1.5, 1, 0, 0, 0, 0, 0]) - 6.5
    return x, (score + rng.logistic(0, 1, 3000) > 0).astype(int)


@of(RARE, mlp(32, optimizer=QUICK, epochs=12))
def rare_moon(seed: int) -> Any:
    x, y = data.moons(3000, noise=0.15, rng=seed)
    keep = (y == 0) | (np.arange(len(y)) % 25 == 0)
    return x[keep], y[keep]


@of(RARE, mlp(32))
def rare_mixture(seed: int) -> Any:
    rng, x = drawn(seed, 2500, 15)
    y = (rng.random(2500) < 0.02).astype(int)
    x[y == 1, :4] += 1.8
    return x, y


@of(RARE, mlp(32, optimizer=optim.momentum(0.05)))
def rare_among_five(seed: int) -> Any:
    rng, x = drawn(seed, 2000, 10)
    y = rng.choice(5, size=2000, p=[0.6, 0.2, 0.1, 0.06, 0.04])
    return x + 1.5 * rng.normal(size=(5, 10))[y], y


# -------------------------------------------------------------------------------------- tables


@of(TABLES, mlp(64, 32, optimizer=QUICK, epochs=15))
def spirals(seed: int) -> Any:
    rng, noise = drawn(seed, 1200, 2)
    y, t = rng.integers(0, 2, size=1200), rng.uniform(0.3, 2, size=1200)
    angle = 3 * t + np.pi * y
    return t[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) + 0.05 * noise, y


@of(TABLES, mlp(64, 64, optimizer=QUICK, epochs=20))
def chequerboard(seed: int) -> Any:
    rng, _ = drawn(seed, 1)
    x = rng.uniform(0, 3, size=(2000, 2))
    return x, (np.floor(x).sum(axis=1) % 2).astype(int)


@of(TABLES, mlp(16))
def correlated_features(seed: int) -> Any:
    rng, z = drawn(seed, 1500, 6)
    x = z @ rng.normal(size=(6, 50)) + 0.3 * rng.normal(size=(1500, 50))
    return x, (z[:, 0] + 0.5 * rng.logistic(0, 1, 1500) > 0).astype(int)


@of(TABLES, mlp(64, epochs=12))
def of_a_tree(seed: int) -> Any:
    rng, x = drawn(seed, 1500, 10)
    places, cuts = rng.integers(0, 10, size=7), rng.normal(0, 0.5, size=7)
    node = np.zeros(1500, int)
    for _ in range(3):
        node = 2 * node + 1 + (x[np.arange(1500), places[node]] > cuts[node])
    return x, (node - 7) % 3


@of(TABLES, mlp(48, epochs=10))
def of_a_teacher(seed: int) -> Any:
    rng, x = drawn(seed, 1500, 20)
    return x, teacher(rng, x, 4).argmax(axis=1)


@of(TABLES, mlp(16, epochs=5))
def three_of_one_hundred(seed: int) -> Any:
    rng, x = drawn(seed, 2000, 100)
    return x, (x[:, [3, 30, 60]].sum(axis=1) + rng.normal(size=2000) > 0).astype(int)


@of(TABLES, mlp(8, act="tanh", batch_size=10, epochs=15))
def eighty_examples(seed: int) -> Any:
    rng, x = drawn(seed, 80, 5)
    return x, (x[:, 0] - x[:, 1] + 0.3 * rng.normal(size=80) > 0).astype(int)


# ---------------------------------------------------------------------------------- regression


@of(REGRESSION, mlp(48, loss=SQUARES, epochs=10))
def numbers_of_a_teacher(seed: int) -> Any:
    rng, x = drawn(seed, 1500, 10)
    y = teacher(rng, x, 3)
    return x, y / y.std(axis=0) + 0.1 * rng.normal(size=y.shape)


@of(REGRESSION, mlp(48, loss=SQUARES, optimizer=QUICK))
def products(seed: int) -> Any:
    rng, x = drawn(seed, 1500, 6)
    return x, x[:, 0] * x[:, 1] + 0.5 * x[:, 2] + 0.2 * rng.normal(size=1500)


@of(REGRESSION, mlp(8, act="tanh", loss=SQUARES, optimizer=optim.sgd(0.02), epochs=5))
def mostly_noise(seed: int) -> Any:
    rng, x = drawn(seed, 2000, 8)
    return x, 0.5 * x[:, 0] + rng.normal(size=2000)


@of(REGRESSION, mlp(24, loss=SQUARES, epochs=10))
def logarithms_of_prices(seed: int) -> Any:
    rng, x = drawn(seed, 1200, 5)
    y = x @ np.array([0.6, 0.4, -0.3, 0, 0]) + 0.3 * rng.standard_t(4, size=1200)
    return np.exp(x), y


# -------------------------------------------------------------------------------------- tokens


@of(TOKENS, tokens(400, epochs=10), scale=False)
def key_words(seed: int) -> Any:
    rng, _ = drawn(seed, 1)
    x = rng.integers(10, 400, size=(1500, 20))
    y = rng.integers(0, 2, size=1500)
    x[y == 1, 0] = rng.integers(0, 10, size=int(y.sum()))
    return rng.permuted(x, axis=1), y


@of(TOKENS, tokens(500, epochs=8), scale=False)
def as_zipf_has_it(seed: int) -> Any:
    rng, _ = drawn(seed, 1)
    common = 1 / np.arange(1, 501)
    shares = common * np.exp(rng.normal(size=(3, 500)))
    y = rng.integers(0, 3, size=1500)
    return np.array([rng.choice(500, size=16, p=shares[k] / shares[k].sum()) for k in y]), y


@of(TOKENS, tokens(8, rnn.GRU, 24, epochs=8), scale=False)
def two_languages(seed: int) -> Any:
    rng, _ = drawn(seed, 1)
    moves = rng.dirichlet(np.full(8, 0.5), size=(2, 8)).cumsum(axis=-1)
    y = rng.integers(0, 2, size=1000)
    x = np.empty((1000, 15), int)
    x[:, 0] = rng.integers(0, 8, size=1000)
    for t in range(1, 15):
        x[:, t] = (moves[y, x[:, t - 1]] < rng.random((1000, 1))).sum(axis=1).clip(max=7)
    return x, y


@of(TOKENS, tokens(3, rnn.LSTM), scale=False)
def majority(seed: int) -> Any:
    rng, _ = drawn(seed, 1)
    x = rng.integers(0, 3, size=(1200, 11))
    return x, ((x == 0).sum(axis=1) > (x == 1).sum(axis=1)).astype(int)


@of(TOKENS, tokens(300, epochs=10), scale=False)
def rare_words_and_class(seed: int) -> Any:
    rng, _ = drawn(seed, 1)
    x = rng.integers(20, 300, size=(2500, 14))
    y = (rng.random(2500) < 0.04).astype(int)
    for place in (2, 5, 9):
        x[y == 1, place] = rng.integers(0, 20, size=int(y.sum()))
    return x, y


# ----------------------------------------------------------------------------------- sequences


@of(SEQUENCES, read(rnn.LSTM, 24, epochs=12), scale=False)
def memory_of_a_process(seed: int) -> Any:
    rng, noise = drawn(seed, 900, 24)
    y = rng.integers(0, 2, size=900)
    x = noise.copy()
    for t in range(1, 24):
        x[:, t] = np.where(y == 1, 0.8, -0.3) * x[:, t - 1] + 0.6 * noise[:, t]
    return x[:, :, None], y


@of(SEQUENCES, read(rnn.GRU, 16, epochs=8), scale=False)
def up_or_down(seed: int) -> Any:
    rng, noise = drawn(seed, 900, 20)
    y = rng.integers(0, 2, size=900)
    return (0.1 * (2 * y[:, None] - 1) * np.arange(-10, 10) + noise)[:, :, None], y


@of(SEQUENCES, read(rnn.LSTM, 24, loss=SQUARES, epochs=12), scale=False)
def largest_so_far(seed: int) -> Any:
    _, x = drawn(seed, 1000, 12, 1)
    return x, x.max(axis=1)


@of(SEQUENCES, read(rnn.LSTM, 20, layers=2, epochs=12), scale=False)
def two_layers_of_memory(seed: int) -> Any:
    rng, x = drawn(seed, 800, 15, 3)
    y = rng.integers(0, 3, size=800)
    x[np.arange(800), rng.integers(0, 15, size=800), y] += 5
    return x, y


# -------------------------------------------------------------------------------------- images


def wide_filter(_: Any) -> list[Any]:
    """Return a convolution with a wide filter and a hidden layer."""
    first = nn.Conv2D(8, 5, in_channels=1, activation="relu")
    return [first, nn.MaxPool2D(2), nn.Dense(24, activation="relu")]


CONVOLUTIONAL = chain(wide_filter, initializer=layers.HeNormal())


def of_clothes(count: int, *shape: int) -> Callable[[int], Any]:
    """Return what draws small images of clothes, every second pixel, the examples in some shape."""

    def draw(seed: int) -> Any:
        images = data.load_small_fashion_mnist()
        rows = drawn(seed, 1)[0].permutation(len(images.x_train))[:count]
        x = np.asarray(images.x_train)[rows].reshape(-1, 28, 28)[:, ::2, ::2]
        return x.reshape(-1, *shape), np.asarray(images.y_train)[rows]

    return draw


SECOND.add(IMAGES, "clothes", of_clothes(800, 1, 14, 14), CONVOLUTIONAL, scale=False)


@of(IMAGES, CONVOLUTIONAL, scale=False)
def stripes(seed: int) -> Any:
    rng, x = drawn(seed, 700, 1, 12, 12)
    y = rng.integers(0, 2, size=700)
    waves = np.sign(np.sin(1.6 * np.arange(12) + rng.uniform(0, 6.28, size=(700, 1))))
    grown = np.where(y[:, None, None], waves[:, :, None], waves[:, None, :])
    return 0.5 * x + 0.7 * grown[:, None], y


@of(IMAGES, CONVOLUTIONAL, scale=False)
def rough_or_smooth(seed: int) -> Any:
    rng, x = drawn(seed, 700, 1, 12, 12)
    y = rng.integers(0, 2, size=700)
    soft = (x + np.roll(x, 1, 2) + np.roll(x, 1, 3) + np.roll(x, (1, 1), (2, 3))) / 2
    return np.where(y[:, None, None, None], soft, x), y


# ---------------------------------------------------------------------------------- odd inputs


@of(INPUTS, mlp(24))
def mixed_columns(seed: int) -> Any:
    rng, x = drawn(seed, 1500, 6)
    kinds = rng.integers(0, 8, size=1500)
    y = (x[:, 0] + rng.normal(size=8)[kinds] > 0).astype(int)
    return np.hstack([x, np.eye(8)[kinds]]), y


@of(INPUTS, mlp(16), scale=False)
def answers_from_one_to_five(seed: int) -> Any:
    rng, _ = drawn(seed, 1)
    x = rng.integers(1, 6, size=(1200, 10)).astype(float)
    y = (x[:, :4].sum(axis=1) + rng.normal(0, 2, size=1200) > 12).astype(int)
    return (x - 3) / 2, y


@of(INPUTS, mlp(32, epochs=10))
def mostly_zero(seed: int) -> Any:
    rng, x = drawn(seed, 1500, 60)
    x = np.exp(x) * (rng.random(x.shape) < 0.1)
    return x, (x[:, :10].sum(axis=1) > x[:, 10:20].sum(axis=1)).astype(int)


# --------------------------------------------------------------------------------- odd targets


@of(TARGETS, mlp(48, loss=SIGMOIDS, epochs=10))
def several_answers(seed: int) -> Any:
    rng, x = drawn(seed, 1500, 12)
    return x, (teacher(rng, x, 6) > 1).astype(float)


@of(TARGETS, mlp(32, loss=probabilities, epochs=10))
def shares(seed: int) -> Any:
    rng, x = drawn(seed, 1200, 8)
    scores = np.exp(teacher(rng, x, 4))
    return x, scores / scores.sum(axis=1, keepdims=True)


def absolute_error(outputs: Any, targets: Any) -> Any:
    """Return the mean distance of each example."""
    return abs(outputs - targets).mean(axis=1)


@of(TARGETS, mlp(32, loss=absolute_error, epochs=10))
def distances(seed: int) -> Any:
    rng, x = drawn(seed, 1200, 4)
    return x, np.linalg.norm(x, axis=1) + 0.1 * rng.standard_t(2, size=1200)


# ---------------------------------------------------------------------------------- other nets

SIGMOID = {"act": "sigmoid", "initializer": layers.LeCunNormal(gain="sigmoid")}
SLOW = {"optimizer": optim.adam(0.001), "epochs": 10}
NETS = {
    "ten_layers": mlp(*[40] * 10, initializer=layers.HeNormal(), **SLOW),
    "half_dropped": mlp(96, 48, dropout=0.5, **SLOW),
    "sigmoids": mlp(48, **SIGMOID, optimizer=optim.momentum(0.1), epochs=10),
    "attentive": chain(lambda _: [Attention(24, 14)]),
}
for name, net in NETS.items():
    shape = (14, 14) if name == "attentive" else (196,)
    SECOND.add("other nets", name, of_clothes(1000, *shape), net, scale=False)
