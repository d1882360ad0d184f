"""The second list of healthy problems: not looked at before the thresholds were fixed.

Other generators throughout: teachers, trees, chains of Markov, textures, processes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from healthy import (
    CE,
    Problem,
    case,
    chain,
    embedded,
    mlp,
    nn,
    problems_of,
    read,
    rnn,
    scaled,
    split,
)

from nnbook import data, layers, losses, optim
from nnbook.zoo.cases import Case
from nnbook.zoo.correct_layers import Attention

__all__ = ["SECOND"]

SECOND: list[Problem] = []
of = problems_of(SECOND)
SQUARES, SIGMOIDS = losses.squared_error, losses.sigmoid_cross_entropy


def drawn(seed: int, *shape: int) -> tuple[Any, Any]:
    """Return a generator of its own for each seed, and normal numbers of a shape."""
    rng = np.random.default_rng([seed, 2024])
    return rng, rng.normal(size=shape)


def teacher(rng: Any, x: Any, outputs: int) -> Any:
    """Return what a random network of twelve units makes of x."""
    hidden = np.tanh(x @ rng.normal(size=(x.shape[1], 12)) * 1.5 / x.shape[1] ** 0.5)
    return hidden @ rng.normal(size=(12, outputs))


# -------------------------------------------------------------------------------- rare classes


@of("rare classes")
def rare_event(seed: int) -> Case:
    rng, x = drawn(seed, 3000, 8)
    y = (x @ np.array([2, -1.5, 1, 0, 0, 0, 0, 0]) - 6.5 + rng.logistic(0, 1, 3000) > 0).astype(int)
    return mlp(scaled(x, y, seed), [16], 2, seed)


@of("rare classes")
def rare_moon(seed: int) -> Case:
    x, y = data.moons(3000, noise=0.15, rng=seed)
    keep = (y == 0) | (np.arange(len(y)) % 25 == 0)
    return mlp(scaled(x[keep], y[keep], seed), [32], 2, seed, optimizer=optim.adam(0.01), epochs=12)


@of("rare classes")
def rare_mixture(seed: int) -> Case:
    rng, x = drawn(seed, 2500, 15)
    y = (rng.random(2500) < 0.02).astype(int)
    x[y == 1, :4] += 1.8
    return mlp(scaled(x, y, seed), [32], 2, seed)


@of("rare classes")
def rare_among_five(seed: int) -> Case:
    rng, x = drawn(seed, 2000, 10)
    y = rng.choice(5, size=2000, p=[0.6, 0.2, 0.1, 0.06, 0.04])
    x += 1.5 * rng.normal(size=(5, 10))[y]
    return mlp(scaled(x, y, seed), [32], 5, seed, optimizer=optim.momentum(0.05))


# -------------------------------------------------------------------------------------- tables


@of("tables")
def spirals(seed: int) -> Case:
    rng, noise = drawn(seed, 1200, 2)
    y, t = rng.integers(0, 2, size=1200), rng.uniform(0.3, 2, size=1200)
    angle = 3 * t + np.pi * y
    x = t[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]) + 0.05 * noise
    return mlp(scaled(x, y, seed), [64, 32], 2, seed, optimizer=optim.adam(0.01), epochs=15)


@of("tables")
def chequerboard(seed: int) -> Case:
    rng, _ = drawn(seed, 1)
    x = rng.uniform(0, 3, size=(2000, 2))
    y = (np.floor(x).sum(axis=1) % 2).astype(int)
    return mlp(scaled(x, y, seed), [64, 64], 2, seed, optimizer=optim.adam(0.01), epochs=20)


@of("tables")
def correlated_features(seed: int) -> Case:
    rng, z = drawn(seed, 1500, 6)
    x = z @ rng.normal(size=(6, 50)) + 0.3 * rng.normal(size=(1500, 50))
    y = (z[:, 0] + 0.5 * rng.logistic(0, 1, 1500) > 0).astype(int)
    return mlp(scaled(x, y, seed), [16], 2, seed)


@of("tables")
def of_a_tree(seed: int) -> Case:
    rng, x = drawn(seed, 1500, 10)
    places, cuts = rng.integers(0, 10, size=7), rng.normal(0, 0.5, size=7)
    node = np.zeros(1500, int)
    for _ in range(3):
        node = 2 * node + 1 + (x[np.arange(1500), places[node]] > cuts[node])
    return mlp(scaled(x, (node - 7) % 3, seed), [64], 3, seed, epochs=12)


@of("tables")
def of_a_teacher(seed: int) -> Case:
    rng, x = drawn(seed, 1500, 20)
    return mlp(scaled(x, teacher(rng, x, 4).argmax(axis=1), seed), [48], 4, seed, epochs=10)


@of("tables")
def three_of_one_hundred(seed: int) -> Case:
    rng, x = drawn(seed, 2000, 100)
    y = (x[:, [3, 30, 60]].sum(axis=1) + rng.normal(size=2000) > 0).astype(int)
    return mlp(scaled(x, y, seed), [16], 2, seed, epochs=5)


@of("tables")
def eighty_examples(seed: int) -> Case:
    rng, x = drawn(seed, 80, 5)
    y = (x[:, 0] - x[:, 1] + 0.3 * rng.normal(size=80) > 0).astype(int)
    return mlp(scaled(x, y, seed), [8], 2, seed, act="tanh", batch_size=10, epochs=15)


# ---------------------------------------------------------------------------------- regression


@of("regression")
def numbers_of_a_teacher(seed: int) -> Case:
    rng, x = drawn(seed, 1500, 10)
    y = teacher(rng, x, 3)
    sets = scaled(x, y / y.std(axis=0) + 0.1 * rng.normal(size=y.shape), seed)
    return mlp(sets, [48], 3, seed, loss=SQUARES, epochs=10)


@of("regression")
def products(seed: int) -> Case:
    rng, x = drawn(seed, 1500, 6)
    y = x[:, 0] * x[:, 1] + 0.5 * x[:, 2] + 0.2 * rng.normal(size=1500)
    return mlp(scaled(x, y, seed), [48], 1, seed, loss=SQUARES, optimizer=optim.adam(0.01))


@of("regression")
def mostly_noise(seed: int) -> Case:
    rng, x = drawn(seed, 2000, 8)
    sets = scaled(x, 0.5 * x[:, 0] + rng.normal(size=2000), seed)
    return mlp(sets, [8], 1, seed, act="tanh", loss=SQUARES, optimizer=optim.sgd(0.02), epochs=5)


@of("regression")
def logarithms_of_prices(seed: int) -> Case:
    rng, x = drawn(seed, 1200, 5)
    y = x @ np.array([0.6, 0.4, -0.3, 0, 0]) + 0.3 * rng.standard_t(4, size=1200)
    return mlp(scaled(np.exp(x), y, seed), [24], 1, seed, loss=SQUARES, epochs=10)


# -------------------------------------------------------------------------------------- tokens


@of("tokens")
def key_words(seed: int) -> Case:
    rng, _ = drawn(seed, 1)
    x = rng.integers(10, 400, size=(1500, 20))
    y = rng.integers(0, 2, size=1500)
    x[y == 1, 0] = rng.integers(0, 10, size=int(y.sum()))
    return embedded(split(rng.permuted(x, axis=1), y, seed), 400, 2, seed, epochs=10)


@of("tokens")
def as_zipf_has_it(seed: int) -> Case:
    rng, _ = drawn(seed, 1)
    common = 1 / np.arange(1, 501)
    shares = common * np.exp(rng.normal(size=(3, 500)))
    y = rng.integers(0, 3, size=1500)
    x = np.array([rng.choice(500, size=16, p=shares[k] / shares[k].sum()) for k in y])
    return embedded(split(x, y, seed), 500, 3, seed, epochs=8)


@of("tokens")
def two_languages(seed: int) -> Case:
    rng, _ = drawn(seed, 1)
    moves = rng.dirichlet(np.full(8, 0.5), size=(2, 8)).cumsum(axis=-1)
    y = rng.integers(0, 2, size=1000)
    x = np.empty((1000, 15), int)
    x[:, 0] = rng.integers(0, 8, size=1000)
    for t in range(1, 15):
        x[:, t] = (moves[y, x[:, t - 1]] < rng.random((1000, 1))).sum(axis=1).clip(max=7)
    layer = rnn.GRU(24, layout="NTC", input_size=16)
    return embedded(split(x, y, seed), 8, 2, seed, layer=layer, epochs=8)


@of("tokens")
def majority(seed: int) -> Case:
    rng, _ = drawn(seed, 1)
    x = rng.integers(0, 3, size=(1200, 11))
    y = ((x == 0).sum(axis=1) > (x == 1).sum(axis=1)).astype(int)
    layer = rnn.LSTM(16, layout="NTC", input_size=16)
    return embedded(split(x, y, seed), 3, 2, seed, layer=layer)


@of("tokens")
def rare_words_and_class(seed: int) -> Case:
    rng, _ = drawn(seed, 1)
    x = rng.integers(20, 300, size=(2500, 14))
    y = (rng.random(2500) < 0.04).astype(int)
    for place in (2, 5, 9):
        x[y == 1, place] = rng.integers(0, 20, size=int(y.sum()))
    return embedded(split(x, y, seed), 300, 2, seed, epochs=10)


# ----------------------------------------------------------------------------------- sequences


@of("sequences")
def memory_of_a_process(seed: int) -> Case:
    rng, noise = drawn(seed, 900, 24)
    y = rng.integers(0, 2, size=900)
    x = noise.copy()
    for t in range(1, 24):
        x[:, t] = np.where(y == 1, 0.8, -0.3) * x[:, t - 1] + 0.6 * noise[:, t]
    sets = split(x[:, :, None], y, seed)
    return read(sets, rnn.LSTM(24, layout="NTC", input_size=1), 2, seed, epochs=12)


@of("sequences")
def up_or_down(seed: int) -> Case:
    rng, noise = drawn(seed, 900, 20)
    y = rng.integers(0, 2, size=900)
    x = 0.1 * (2 * y[:, None] - 1) * np.arange(-10, 10) + noise
    sets = split(x[:, :, None], y, seed)
    return read(sets, rnn.GRU(16, layout="NTC", input_size=1), 2, seed, epochs=8)


@of("sequences")
def largest_so_far(seed: int) -> Case:
    _, x = drawn(seed, 1000, 12, 1)
    sets = split(x, x.max(axis=1), seed)
    layer = rnn.LSTM(24, layout="NTC", input_size=1)
    return read(sets, layer, 1, seed, loss=SQUARES, epochs=12)


@of("sequences")
def two_layers_of_memory(seed: int) -> Case:
    rng, x = drawn(seed, 800, 15, 3)
    y = rng.integers(0, 3, size=800)
    x[np.arange(800), rng.integers(0, 15, size=800), y] += 5
    layer = rnn.LSTM(20, num_layers=2, layout="NTC", input_size=3)
    return read(split(x, y, seed), layer, 3, seed, epochs=12)


# -------------------------------------------------------------------------------------- images


def convolutional(sets: Any, outputs: int, seed: int, **options: Any) -> Case:
    """Put a case of a convolution with a wide filter and a hidden layer together."""
    blocks = nn.Conv2D(8, 5, in_channels=1, activation="relu"), nn.MaxPool2D(2)
    blocks += nn.Dense(24, activation="relu"), nn.Dense(outputs)
    net = chain(*blocks, example=sets[0][0], seed=seed, initializer=layers.HeNormal())
    return case(sets, net, seed, **options)


@of("images")
def clothes(seed: int) -> Case:
    images = data.load_small_fashion_mnist()
    rows = drawn(seed, 1)[0].permutation(len(images.x_train))[:800]
    x = np.asarray(images.x_train)[rows].reshape(-1, 1, 28, 28)[:, :, ::2, ::2]
    return convolutional(split(x, np.asarray(images.y_train)[rows], seed), 10, seed)


@of("images")
def stripes(seed: int) -> Case:
    rng, x = drawn(seed, 700, 1, 12, 12)
    y = rng.integers(0, 2, size=700)
    waves = np.sign(np.sin(1.6 * np.arange(12) + rng.uniform(0, 6.28, size=(700, 1))))
    grown = np.where(y[:, None, None], waves[:, :, None], waves[:, None, :])
    return convolutional(split(0.5 * x + 0.7 * grown[:, None], y, seed), 2, seed)


@of("images")
def rough_or_smooth(seed: int) -> Case:
    rng, x = drawn(seed, 700, 1, 12, 12)
    y = rng.integers(0, 2, size=700)
    soft = (x + np.roll(x, 1, 2) + np.roll(x, 1, 3) + np.roll(x, (1, 1), (2, 3))) / 2
    return convolutional(split(np.where(y[:, None, None, None], soft, x), y, seed), 2, seed)


# ---------------------------------------------------------------------------------- odd inputs


@of("odd inputs")
def mixed_columns(seed: int) -> Case:
    rng, x = drawn(seed, 1500, 6)
    kinds = rng.integers(0, 8, size=1500)
    y = (x[:, 0] + rng.normal(size=8)[kinds] > 0).astype(int)
    return mlp(scaled(np.hstack([x, np.eye(8)[kinds]]), y, seed), [24], 2, seed)


@of("odd inputs")
def answers_from_one_to_five(seed: int) -> Case:
    rng, _ = drawn(seed, 1)
    x = rng.integers(1, 6, size=(1200, 10)).astype(float)
    y = (x[:, :4].sum(axis=1) + rng.normal(0, 2, size=1200) > 12).astype(int)
    return mlp(split((x - 3) / 2, y, seed), [16], 2, seed)


@of("odd inputs")
def mostly_zero(seed: int) -> Case:
    rng, x = drawn(seed, 1500, 60)
    x = np.exp(x) * (rng.random(x.shape) < 0.1)
    y = (x[:, :10].sum(axis=1) > x[:, 10:20].sum(axis=1)).astype(int)
    return mlp(scaled(x, y, seed), [32], 2, seed, epochs=10)


# --------------------------------------------------------------------------------- odd targets


@of("odd targets")
def several_answers(seed: int) -> Case:
    rng, x = drawn(seed, 1500, 12)
    answers = (teacher(rng, x, 6) > 1).astype(float)
    return mlp(scaled(x, answers, seed), [48], 6, seed, loss=SIGMOIDS, epochs=10)


@of("odd targets")
def shares(seed: int) -> Case:
    rng, x = drawn(seed, 1200, 8)
    scores = np.exp(teacher(rng, x, 4))
    loss = lambda outputs, rows: CE(outputs, rows, probabilities=True)  # noqa: E731
    sets = scaled(x, scores / scores.sum(axis=1, keepdims=True), seed)
    return mlp(sets, [32], 4, seed, loss=loss, epochs=10)


@of("odd targets")
def distances(seed: int) -> Case:
    rng, x = drawn(seed, 1200, 4)
    y = np.linalg.norm(x, axis=1) + 0.1 * rng.standard_t(2, size=1200)
    loss = lambda outputs, targets: abs(outputs - targets).mean(axis=1)  # noqa: E731
    return mlp(scaled(x, y, seed), [32], 1, seed, loss=loss, epochs=10)


# ---------------------------------------------------------------------------------- other nets


def of_clothes(seed: int, shape: tuple[int, ...] = (196,)) -> Any:
    """Draw small images of clothes, every second pixel, the examples in some shape."""
    images = data.load_small_fashion_mnist()
    rows = drawn(seed, 1)[0].permutation(len(images.x_train))[:1000]
    x = np.asarray(images.x_train)[rows].reshape(-1, 28, 28)[:, ::2, ::2]
    return split(x.reshape(-1, *shape), np.asarray(images.y_train)[rows], seed)


@of("other nets")
def ten_layers(seed: int) -> Case:
    net = layers.mlp(196, [40] * 10, 10, "relu", seed=seed, initializer=layers.HeNormal())
    return case(of_clothes(seed), net, seed, optimizer=optim.adam(0.001), epochs=10)


@of("other nets")
def half_dropped(seed: int) -> Case:
    sets = of_clothes(seed)
    return mlp(sets, [96, 48], 10, seed, dropout=0.5, optimizer=optim.adam(0.001), epochs=10)


@of("other nets")
def sigmoids(seed: int) -> Case:
    rule = layers.LeCunNormal(gain="sigmoid")
    net = layers.mlp(196, [48], 10, "sigmoid", seed=seed, initializer=rule)
    return case(of_clothes(seed), net, seed, optimizer=optim.momentum(0.1), epochs=10)


@of("other nets")
def attentive(seed: int) -> Case:
    sets = of_clothes(seed, (14, 14))
    net = chain(Attention(24, 14), nn.Dense(10), example=sets[0][0], seed=seed)
    return case(sets, net, seed, optimizer=optim.adam(0.003))
