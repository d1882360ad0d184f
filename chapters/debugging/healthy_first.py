"""The first list of healthy problems: what the thresholds were looked at on."""

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
from sklearn import datasets

from nnbook import data, layers, losses, optim
from nnbook.zoo.cases import Case
from nnbook.zoo.correct_layers import Attention, Residual

__all__ = ["FIRST"]

FIRST: list[Problem] = []
of = problems_of(FIRST)
SQUARES, SIGMOIDS = losses.squared_error, losses.sigmoid_cross_entropy


def made(seed: int, n: int = 1000, features: int = 20, **options: Any) -> Any:
    """Draw a problem of scikit-learn's `make_classification`, standardised."""
    options = {"n_informative": 5, "flip_y": 0.01, **options}
    return scaled(*datasets.make_classification(n, features, random_state=seed, **options), seed)


# -------------------------------------------------------------------------------- rare classes


@of("rare classes")
def rare_97_to_3(seed: int) -> Case:
    return mlp(made(seed, 3000, weights=[0.97]), [32], 2, seed)


@of("rare classes")
def rare_99_to_1(seed: int) -> Case:
    return mlp(made(seed, 3000, weights=[0.99], flip_y=0), [32], 2, seed)


@of("rare classes")
def rare_and_noisy(seed: int) -> Case:
    return mlp(made(seed, 2000, weights=[0.95], flip_y=0.04), [32], 2, seed)


@of("rare classes")
def rare_in_three(seed: int) -> Case:
    return mlp(made(seed, 2000, weights=[0.9, 0.07, 0.03], n_classes=3), [32], 3, seed)


@of("rare classes")
def rare_in_the_middle(seed: int) -> Case:
    x = np.random.default_rng(seed).normal(size=(2000, 4))
    return mlp(scaled(x, ((x**2).sum(axis=1) < 0.75).astype(int), seed), [32], 2, seed)


# -------------------------------------------------------------------------------------- tables


@of("tables")
def many_features(seed: int) -> Case:
    return mlp(made(seed, 3000, 120, n_informative=10), [32], 2, seed, epochs=4)


@of("tables")
def noisy_labels(seed: int) -> Case:
    return mlp(made(seed, 1500, flip_y=0.4), [16], 2, seed)


@of("tables")
def several_clusters(seed: int) -> Case:
    sets = made(seed, 2000, 12, n_informative=6, n_classes=4, n_clusters_per_class=3)
    return mlp(sets, [64], 4, seed, epochs=12)


@of("tables")
def hastie(seed: int) -> Case:
    x, y = datasets.make_hastie_10_2(2000, random_state=seed)
    return mlp(scaled(x, (y > 0).astype(int), seed), [64], 2, seed, epochs=12)


@of("tables")
def circles(seed: int) -> Case:
    sets = scaled(*datasets.make_circles(800, noise=0.1, factor=0.5, random_state=seed), seed)
    return mlp(sets, [32], 2, seed, act="tanh", optimizer=optim.adam(0.01), epochs=15)


@of("tables")
def quantiles(seed: int) -> Case:
    sets = datasets.make_gaussian_quantiles(
        n_samples=1500, n_features=6, n_classes=3, random_state=seed
    )
    return mlp(scaled(*sets, seed), [64], 3, seed, epochs=12)


@of("tables")
def groups(seed: int) -> Case:
    sets = datasets.make_blobs(800, 8, centers=6, cluster_std=3.0, random_state=seed)
    return mlp(scaled(*sets, seed), [32], 6, seed)


@of("tables")
def iris(seed: int) -> Case:
    sets = scaled(*datasets.load_iris(return_X_y=True), seed)
    return mlp(sets, [16], 3, seed, act="tanh", optimizer=optim.adam(0.01), epochs=15)


@of("tables")
def wine(seed: int) -> Case:
    sets = scaled(*datasets.load_wine(return_X_y=True), seed)
    return mlp(sets, [16], 3, seed, optimizer=optim.momentum(0.05), epochs=10)


@of("tables")
def tumours(seed: int) -> Case:
    sets = scaled(*datasets.load_breast_cancer(return_X_y=True), seed)
    return mlp(sets, [32], 2, seed, optimizer=optim.momentum(0.02), epochs=8)


@of("tables")
def weak_signal(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3000, 10))
    y = (x[:, :3].sum(axis=1) + rng.logistic(0, 2.5, len(x)) > 0).astype(int)
    return mlp(scaled(x, y, seed), [8], 2, seed, act="tanh", epochs=6)


@of("tables")
def exclusive_or(seed: int) -> Case:
    x = np.random.default_rng(seed).uniform(-1, 1, size=(1200, 6))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    return mlp(scaled(x, y, seed), [32], 2, seed, optimizer=optim.adam(0.01), epochs=20)


@of("tables")
def few_examples(seed: int) -> Case:
    sets = made(seed, 40, 4, n_informative=3, n_redundant=0, class_sep=2.0)
    rule = optim.adam(0.01)
    return mlp(sets, [8], 2, seed, act="tanh", optimizer=rule, batch_size=10, epochs=20)


# ---------------------------------------------------------------------------------- regression


@of("regression")
def friedman_1(seed: int) -> Case:
    x, y = datasets.make_friedman1(1000, noise=1.0, random_state=seed)
    return mlp(scaled(x, (y - y.mean()) / y.std(), seed), [32], 1, seed, loss=SQUARES)


@of("regression")
def friedman_2(seed: int) -> Case:
    x, y = datasets.make_friedman2(1000, noise=50.0, random_state=seed)
    sets = scaled(x, (y - y.mean()) / y.std(), seed)
    return mlp(sets, [32], 1, seed, loss=SQUARES, optimizer=optim.adam(0.01), epochs=10)


@of("regression")
def diabetes(seed: int) -> Case:
    x, y = datasets.load_diabetes(return_X_y=True)
    return mlp(scaled(x, (y - y.mean()) / y.std(), seed), [8], 1, seed, act="tanh", loss=SQUARES)


@of("regression")
def wide_and_linear(seed: int) -> Case:
    x, y = datasets.make_regression(1500, 60, n_informative=10, noise=20, random_state=seed)
    return mlp(scaled(x, y / y.std(), seed), [], 1, seed, loss=SQUARES, optimizer=optim.sgd(0.01))


@of("regression")
def sines(seed: int) -> Case:
    x, y = data.sines(400, noise=0.1, rng=seed)
    sets = split(4 * x - 2, y, seed)
    return mlp(sets, [32], 1, seed, act="tanh", loss=SQUARES, epochs=30)


@of("regression")
def uneven_noise(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, size=(1000, 3))
    y = np.sin(3 * x[:, 0]) + x[:, 1] + 0.5 * np.abs(x[:, 2]) * rng.normal(size=len(x))
    return mlp(scaled(x, y, seed), [32], 1, seed, loss=SQUARES, epochs=10)


# -------------------------------------------------------------------------------------- tokens


def worth_of_words(seed: int, n: int = 1500, share: float = 0.5) -> Any:
    """Draw sequences of 12 of 200 tokens; the sum of their worth is the label."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 200, size=(n, 12))
    total = rng.normal(size=200)[x].sum(axis=1)
    return x, (total > np.quantile(total, 1 - share)).astype(int)


@of("tokens")
def bag_of_words(seed: int) -> Case:
    return embedded(split(*worth_of_words(seed), seed), 200, 2, seed, epochs=10)


@of("tokens")
def rare_spam(seed: int) -> Case:
    return embedded(split(*worth_of_words(seed, 2500, 0.05), seed), 200, 2, seed, epochs=10)


@of("tokens")
def topics(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    words = rng.dirichlet(np.full(300, 0.1), size=4)
    y = rng.integers(0, 4, size=1200)
    x = np.array([rng.choice(300, size=15, p=0.5 * words[k] + 0.5 / 300) for k in y])
    return embedded(split(x, y, seed), 300, 4, seed, epochs=8)


@of("tokens")
def padded(seed: int) -> Case:
    x, _ = worth_of_words(seed)
    length = np.random.default_rng(seed).integers(4, 13, size=len(x))
    worth = np.random.default_rng([seed, 1]).normal(size=201)
    x = np.where(np.arange(12) < length[:, None], x + 1, 0)
    worth[0] = 0
    return embedded(split(x, (worth[x].sum(axis=1) > 0).astype(int), seed), 201, 2, seed, epochs=10)


@of("tokens")
def which_came_first(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    x = rng.integers(2, 20, size=(1200, 10))
    places = rng.permuted(np.tile(np.arange(10), (len(x), 1)), axis=1)[:, :2]
    x[np.arange(len(x)), places[:, 0]], x[np.arange(len(x)), places[:, 1]] = 0, 1
    sets = split(x, (places[:, 0] < places[:, 1]).astype(int), seed)
    layer = rnn.LSTM(16, layout="NTC", input_size=16)
    return embedded(sets, 20, 2, seed, layer=layer, epochs=10)


@of("tokens")
def categories(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 12, size=(1500, 5)) + 12 * np.arange(5)
    y = (rng.normal(size=60)[x].sum(axis=1) + rng.logistic(0, 0.5, len(x)) > 0).astype(int)
    blocks = nn.Embedding(60, 6), nn.Dense(16, in_units=30, activation="relu"), nn.Dense(2)
    sets = split(x, y, seed)
    return case(sets, chain(*blocks, example=x, seed=seed), seed, optimizer=optim.adam(0.01))


# ----------------------------------------------------------------------------------- sequences


@of("sequences")
def sign_of_a_sum(seed: int) -> Case:
    x = np.random.default_rng(seed).normal(size=(1200, 15, 2))
    sets = split(x, (x[:, :, 0].sum(axis=1) > 0).astype(int), seed)
    return read(sets, rnn.LSTM(16, layout="NTC", input_size=2), 2, seed, epochs=12)


@of("sequences")
def frequencies(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, size=900)
    angle = np.arange(20) * (0.4 + 0.4 * y[:, None]) + rng.uniform(0, 6.28, size=(900, 1))
    x = (np.sin(angle) + 0.2 * rng.normal(size=angle.shape))[:, :, None]
    sets = split(x, y, seed)
    return read(sets, rnn.GRU(24, layout="NTC", input_size=1), 3, seed, epochs=15)


@of("sequences")
def forecast(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    t = rng.uniform(0, 50, size=(800, 1)) + 0.3 * np.arange(21)
    series = np.sin(t) * np.cos(0.3 * t) + 0.05 * rng.normal(size=t.shape)
    sets = split(series[:, :20, None], series[:, 20], seed)
    layer = rnn.LSTM(24, layout="NTC", input_size=1)
    return read(sets, layer, 1, seed, loss=SQUARES, epochs=12)


@of("sequences")
def first_symbol(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, size=800)
    x = 0.3 * rng.normal(size=(800, 12, 4))
    x[np.arange(800), 0, y] += 1
    layer = rnn.LSTM(24, layout="NTC", input_size=4)
    return read(split(x, y, seed), layer, 4, seed, epochs=15)


@of("sequences")
def lines_of_digits(seed: int) -> Case:
    x, y = data.load_digits_8x8()
    sets = split(x[:1200].reshape(-1, 8, 8), y[:1200], seed)
    return read(sets, rnn.LSTM(32, layout="NTC", input_size=8), 10, seed, epochs=12)


# -------------------------------------------------------------------------------------- images


def convolutional(sets: Any, outputs: int, seed: int, *, norm: bool = False, **options: Any) -> Any:
    """Put a case of two convolutions together."""
    channels = sets[0][0].shape[1]
    blocks = [nn.Conv2D(8, 3, padding=1, in_channels=channels)]
    blocks += [nn.BatchNorm(in_channels=8)] if norm else []
    blocks += [nn.Activation("relu"), nn.MaxPool2D(2)]
    blocks += [nn.Conv2D(16, 3, padding=1, in_channels=8, activation="relu"), nn.MaxPool2D(2)]
    rule = layers.HeNormal()
    net = chain(*blocks, nn.Dense(outputs), example=sets[0][0], seed=seed, initializer=rule)
    return case(sets, net, seed, **options)


@of("images")
def images_of_digits(seed: int) -> Case:
    x, y = data.load_digits_8x8()
    return convolutional(split(x[:1200].reshape(-1, 1, 8, 8), y[:1200], seed), 10, seed)


@of("images")
def normalised_digits(seed: int) -> Case:
    x, y = data.load_digits_8x8()
    sets = split(x[:1200].reshape(-1, 1, 8, 8), y[:1200], seed)
    return convolutional(sets, 10, seed, norm=True)


@of("images")
def where_is_the_spot(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    x, y = 0.3 * rng.normal(size=(800, 1, 12, 12)), rng.integers(0, 4, size=800)
    for image, k in zip(x, y, strict=True):
        row, column = rng.integers(0, 4, size=2) + np.array([k // 2, k % 2]) * 5
        image[0, row : row + 3, column : column + 3] += 1
    return convolutional(split(x, y, seed), 4, seed)


@of("images")
def colours(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, size=600)
    x = rng.uniform(0, 0.6, size=(600, 3, 8, 8))
    x[np.arange(600), y] += 0.15
    return convolutional(split(x, y, seed), 3, seed)


# ---------------------------------------------------------------------------------- odd inputs


@of("odd inputs")
def heavy_tails(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    x = rng.standard_t(2, size=(1500, 8))
    return mlp(scaled(x, (x[:, 0] + x[:, 1] > 0).astype(int), seed), [32], 2, seed)


@of("odd inputs")
def lognormal(seed: int) -> Case:
    x = np.random.default_rng(seed).lognormal(0, 1.5, size=(1500, 6))
    return mlp(scaled(x, (x[:, 0] > x[:, 1]).astype(int), seed), [32], 2, seed, epochs=12)


@of("odd inputs")
def one_hot(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 10, size=(1200, 4))
    y = (rng.normal(size=(4, 10))[np.arange(4), codes].sum(axis=1) > 0).astype(int)
    x = np.eye(10)[codes].reshape(len(codes), -1)
    return mlp(split(x, y, seed), [16], 2, seed)


@of("odd inputs")
def constant_columns(seed: int) -> Case:
    x, y = datasets.make_classification(1000, 10, random_state=seed)
    x = np.hstack([x, np.ones((1000, 3)), np.zeros((1000, 3))])
    return mlp(scaled(x, y, seed), [16], 2, seed)


@of("odd inputs")
def words_present(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    x = (rng.random((1200, 400)) < 0.03).astype(float)
    y = (x @ rng.normal(size=400) > 0).astype(int)
    return mlp(split(x, y, seed), [16], 2, seed)


# --------------------------------------------------------------------------------- odd targets


@of("odd targets")
def many_labels(seed: int) -> Case:
    x, y = datasets.make_multilabel_classification(1000, 20, n_classes=5, random_state=seed)
    return mlp(scaled(x, y.astype(float), seed), [32], 5, seed, loss=SIGMOIDS)


@of("odd targets")
def ordered_classes(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(1200, 8))
    level = np.digitize(x[:, :3].sum(axis=1) + rng.normal(size=len(x)), [-2, 0, 2])
    above = (level[:, None] > np.arange(3)).astype(float)
    return mlp(scaled(x, above, seed), [16], 3, seed, loss=SIGMOIDS)


@of("odd targets")
def one_output(seed: int) -> Case:
    x, y = datasets.make_moons(800, noise=0.2, random_state=seed)
    sets = scaled(x, y.astype(float), seed)
    return mlp(sets, [32], 1, seed, loss=SIGMOIDS, optimizer=optim.adam(0.01), epochs=12)


@of("odd targets")
def itself(seed: int) -> Case:
    (x, _), (x_val, _) = split(*data.load_digits_8x8(), seed)
    sets = (x[:800], x[:800]), (x_val, x_val)
    return mlp(sets, [16], 64, seed, act="tanh", loss=SQUARES, epochs=10)


@of("odd targets")
def half_noise(seed: int) -> Case:
    x, y = datasets.make_blobs(800, 6, centers=3, cluster_std=4.0, random_state=seed)
    sets = scaled(x, 0.9 * np.eye(3)[y] + 0.1 / 3, seed)
    loss = lambda outputs, rows: CE(outputs, rows, probabilities=True)  # noqa: E731
    return mlp(sets, [16], 3, seed, loss=loss)


# ---------------------------------------------------------------------------------- other nets


def of_digits(seed: int, shape: tuple[int, ...] = (64,)) -> Any:
    """Draw digits, the examples in some shape."""
    x, y = data.load_digits_8x8()
    return split(x[:1200].reshape(-1, *shape), y[:1200], seed)


@of("other nets")
def eight_layers(seed: int) -> Case:
    net = layers.mlp(64, [48] * 8, 10, "relu", seed=seed, initializer=layers.HeNormal())
    return case(of_digits(seed), net, seed, optimizer=optim.adam(0.001), epochs=10)


@of("other nets")
def five_of_tanh(seed: int) -> Case:
    return mlp(of_digits(seed), [40] * 5, 10, seed, act="tanh", optimizer=optim.momentum(0.02))


@of("other nets")
def dropout(seed: int) -> Case:
    return mlp(of_digits(seed), [64], 10, seed, dropout=0.4, optimizer=optim.momentum(0.05))


@of("other nets")
def residuals(seed: int) -> Case:
    sets = of_digits(seed)
    blocks = nn.Dense(32, in_units=64), Residual(32), Residual(32), nn.Dense(10, in_units=32)
    return case(sets, chain(*blocks, example=sets[0][0], seed=seed), seed, epochs=6)


@of("other nets")
def attention(seed: int) -> Case:
    sets = of_digits(seed, (8, 8))
    net = chain(Attention(16, 8), nn.Dense(10), example=sets[0][0], seed=seed)
    return case(sets, net, seed, optimizer=optim.adam(0.01))


@of("other nets")
def normalised_layers(seed: int) -> Case:
    sets = of_digits(seed)
    blocks = [nn.Dense(32, in_units=64), nn.LayerNorm(in_channels=32), nn.Activation("relu")]
    net = chain(*blocks, nn.Dense(10, in_units=32), example=sets[0][0], seed=seed)
    return case(sets, net, seed, optimizer=optim.momentum(0.05))
