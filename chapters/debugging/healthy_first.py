"""The first list of healthy problems: what the thresholds were looked at on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from healthy import SIGMOIDS, SQUARES, Problems, chain, mlp, nn, probabilities, read, rnn, tokens
from healthy import split as split_of
from sklearn import datasets

from nnbook import data, layers, optim
from nnbook.zoo.correct_layers import Attention, Residual

__all__ = ["FIRST"]

FIRST = Problems()
of, add = FIRST.of, FIRST.add
drawn = np.random.default_rng


def made(n: int = 1000, features: int = 20, **options: Any) -> Callable[[int], Any]:
    """Return what draws a problem of scikit-learn's `make_classification`."""
    options = {"n_informative": 5, "flip_y": 0.01, **options}
    return lambda seed: datasets.make_classification(n, features, random_state=seed, **options)


def loaded(load: Callable[..., Any]) -> Callable[[int], Any]:
    """Return what gives a data set of scikit-learn, the same for all seeds."""
    return lambda seed: load(return_X_y=True)


def in_units(x: Any, y: Any) -> Any:
    """Standardise targets."""
    return x, (y - y.mean()) / y.std()


# -------------------------------------------------------------------------------- rare classes

RARE = "rare classes"
add(RARE, "rare_97_to_3", made(3000, weights=[0.97]), mlp(32))
add(RARE, "rare_99_to_1", made(3000, weights=[0.99], flip_y=0), mlp(32))
add(RARE, "rare_and_noisy", made(2000, weights=[0.95], flip_y=0.04), mlp(32))
add(RARE, "rare_in_three", made(2000, weights=[0.9, 0.07, 0.03], n_classes=3), mlp(32))


@of(RARE, mlp(32))
def rare_in_the_middle(seed: int) -> Any:
    x = drawn(seed).normal(size=(2000, 4))
    return x, ((x**2).sum(axis=1) < 0.75).astype(int)


# -------------------------------------------------------------------------------------- tables

TABLES = "tables"
add(TABLES, "many_features", made(3000, 120, n_informative=10), mlp(32, epochs=4))
add(TABLES, "noisy_labels", made(1500, flip_y=0.4), mlp(16))
add(
    TABLES,
    "several_clusters",
    made(2000, 12, n_informative=6, n_classes=4, n_clusters_per_class=3),
    mlp(64, epochs=12),
)


@of(TABLES, mlp(64, epochs=12))
def hastie(seed: int) -> Any:
    x, y = datasets.make_hastie_10_2(2000, random_state=seed)
    return x, (y > 0).astype(int)


@of(TABLES, mlp(32, act="tanh", optimizer=optim.adam(0.01), epochs=15))
def circles(seed: int) -> Any:
    return datasets.make_circles(800, noise=0.1, factor=0.5, random_state=seed)


@of(TABLES, mlp(64, epochs=12))
def quantiles(seed: int) -> Any:
    size = {"n_samples": 1500, "n_features": 6, "n_classes": 3}
    return datasets.make_gaussian_quantiles(**size, random_state=seed)


@of(TABLES, mlp(32))
def groups(seed: int) -> Any:
    return datasets.make_blobs(800, 8, centers=6, cluster_std=3.0, random_state=seed)


TANH = {"act": "tanh", "optimizer": optim.adam(0.01)}
add(TABLES, "iris", loaded(datasets.load_iris), mlp(16, epochs=15, **TANH))
wine_net = mlp(16, optimizer=optim.momentum(0.05), epochs=10)
add(TABLES, "wine", loaded(datasets.load_wine), wine_net)
add(TABLES, "tumours", loaded(datasets.load_breast_cancer), mlp(32, optimizer=optim.momentum(0.02)))


@of(TABLES, mlp(8, act="tanh", epochs=6))
def weak_signal(seed: int) -> Any:
    rng = drawn(seed)
    x = rng.normal(size=(3000, 10))
    return x, (x[:, :3].sum(axis=1) + rng.logistic(0, 2.5, len(x)) > 0).astype(int)


@of(TABLES, mlp(32, optimizer=optim.adam(0.01), epochs=20))
def exclusive_or(seed: int) -> Any:
    x = drawn(seed).uniform(-1, 1, size=(1200, 6))
    return x, (x[:, 0] * x[:, 1] > 0).astype(int)


few = made(40, 4, n_informative=3, n_redundant=0, class_sep=2.0)
add(TABLES, "few_examples", few, mlp(8, batch_size=10, epochs=20, **TANH))


# ---------------------------------------------------------------------------------- regression

REGRESSION = "regression"


@of(REGRESSION, mlp(32, loss=SQUARES))
def friedman_1(seed: int) -> Any:
    return in_units(*datasets.make_friedman1(1000, noise=1.0, random_state=seed))


@of(REGRESSION, mlp(32, loss=SQUARES, optimizer=optim.adam(0.01), epochs=10))
def friedman_2(seed: int) -> Any:
    return in_units(*datasets.make_friedman2(1000, noise=50.0, random_state=seed))


@of(REGRESSION, mlp(8, act="tanh", loss=SQUARES))
def diabetes(seed: int) -> Any:
    return in_units(*datasets.load_diabetes(return_X_y=True))


@of(REGRESSION, mlp(loss=SQUARES, optimizer=optim.sgd(0.01)))
def wide_and_linear(seed: int) -> Any:
    x, y = datasets.make_regression(1500, 60, n_informative=10, noise=20, random_state=seed)
    return x, y / y.std()


@of(REGRESSION, mlp(32, act="tanh", loss=SQUARES, epochs=30), scale=False)
def sines(seed: int) -> Any:
    x, y = data.sines(400, noise=0.1, rng=seed)
    return 4 * x - 2, y


@of(REGRESSION, mlp(32, loss=SQUARES, epochs=10))
def uneven_noise(seed: int) -> Any:
    rng = drawn(seed)
    x = rng.uniform(-1, 1, size=(1000, 3))
    noise = 0.5 * np.abs(x[:, 2]) * rng.normal(size=len(x))
    return x, np.sin(3 * x[:, 0]) + x[:, 1] + noise


# -------------------------------------------------------------------------------------- tokens

TOKENS = "tokens"


def worth_of_words(seed: int, n: int = 1500, share: float = 0.5) -> Any:
    """Draw sequences of 12 of 200 tokens; the sum of their worth is the label."""
    rng = drawn(seed)
    x = rng.integers(0, 200, size=(n, 12))
    total = rng.normal(size=200)[x].sum(axis=1)
    return x, (total > np.quantile(total, 1 - share)).astype(int)


rare_words = lambda seed: worth_of_words(seed, 2500, 0.05)  # noqa: E731
add(TOKENS, "bag_of_words", worth_of_words, tokens(200, epochs=10), scale=False)
add(TOKENS, "rare_spam", rare_words, tokens(200, epochs=10), scale=False)


@of(TOKENS, tokens(300, epochs=8), scale=False)
def topics(seed: int) -> Any:
    rng = drawn(seed)
    words = rng.dirichlet(np.full(300, 0.1), size=4)
    y = rng.integers(0, 4, size=1200)
    return np.array([rng.choice(300, size=15, p=0.5 * words[k] + 0.5 / 300) for k in y]), y


@of(TOKENS, tokens(201, epochs=10), scale=False)
def padded(seed: int) -> Any:
    x, _ = worth_of_words(seed)
    length = drawn(seed).integers(4, 13, size=len(x))
    worth = drawn([seed, 1]).normal(size=201)
    x = np.where(np.arange(12) < length[:, None], x + 1, 0)
    worth[0] = 0
    return x, (worth[x].sum(axis=1) > 0).astype(int)


@of(TOKENS, tokens(20, rnn.LSTM, epochs=10), scale=False)
def which_came_first(seed: int) -> Any:
    rng = drawn(seed)
    x = rng.integers(2, 20, size=(1200, 10))
    places = rng.permuted(np.tile(np.arange(10), (len(x), 1)), axis=1)[:, :2]
    x[np.arange(len(x)), places[:, 0]], x[np.arange(len(x)), places[:, 1]] = 0, 1
    return x, (places[:, 0] < places[:, 1]).astype(int)


def columns_of_names(sets: Any) -> list[Any]:
    return [nn.Embedding(60, 6), nn.Dense(16, in_units=30, activation="relu")]


@of(TOKENS, chain(columns_of_names, optimizer=optim.adam(0.01)), scale=False)
def categories(seed: int) -> Any:
    rng = drawn(seed)
    x = rng.integers(0, 12, size=(1500, 5)) + 12 * np.arange(5)
    total = rng.normal(size=60)[x].sum(axis=1) + rng.logistic(0, 0.5, len(x))
    return x, (total > 0).astype(int)


# ----------------------------------------------------------------------------------- sequences

SEQUENCES = "sequences"


@of(SEQUENCES, read(rnn.LSTM, 16, epochs=12), scale=False)
def sign_of_a_sum(seed: int) -> Any:
    x = drawn(seed).normal(size=(1200, 15, 2))
    return x, (x[:, :, 0].sum(axis=1) > 0).astype(int)


@of(SEQUENCES, read(rnn.GRU, 24, epochs=15), scale=False)
def frequencies(seed: int) -> Any:
    rng = drawn(seed)
    y = rng.integers(0, 3, size=900)
    angle = np.arange(20) * (0.4 + 0.4 * y[:, None]) + rng.uniform(0, 6.28, size=(900, 1))
    return (np.sin(angle) + 0.2 * rng.normal(size=angle.shape))[:, :, None], y


@of(SEQUENCES, read(rnn.LSTM, 24, loss=SQUARES, epochs=12), scale=False)
def forecast(seed: int) -> Any:
    rng = drawn(seed)
    t = rng.uniform(0, 50, size=(800, 1)) + 0.3 * np.arange(21)
    series = np.sin(t) * np.cos(0.3 * t) + 0.05 * rng.normal(size=t.shape)
    return series[:, :20, None], series[:, 20]


@of(SEQUENCES, read(rnn.LSTM, 24, epochs=15), scale=False)
def first_symbol(seed: int) -> Any:
    rng = drawn(seed)
    y = rng.integers(0, 4, size=800)
    x = 0.3 * rng.normal(size=(800, 12, 4))
    x[np.arange(800), 0, y] += 1
    return x, y


def of_digits(*shape: int) -> Callable[[int], Any]:
    """Return what gives 1,200 digits, the same for all seeds, the examples in some shape."""
    x, y = data.load_digits_8x8()
    return lambda seed: (x[:1200].reshape(-1, *shape), y[:1200])


add(SEQUENCES, "lines_of_digits", of_digits(8, 8), read(rnn.LSTM, 32, epochs=12), scale=False)


# -------------------------------------------------------------------------------------- images

IMAGES = "images"


def convolutional(norm: bool = False) -> Any:
    """Return what makes a case of two convolutions."""

    def blocks(sets: Any) -> list[Any]:
        first = nn.Conv2D(8, 3, padding=1, in_channels=sets[0][0].shape[1])
        between = [nn.BatchNorm(in_channels=8)] if norm else []
        second = nn.Conv2D(16, 3, padding=1, in_channels=8, activation="relu")
        return [first, *between, nn.Activation("relu"), nn.MaxPool2D(2), second, nn.MaxPool2D(2)]

    return chain(blocks, initializer=layers.HeNormal())


add(IMAGES, "images_of_digits", of_digits(1, 8, 8), convolutional(), scale=False)
add(IMAGES, "normalised_digits", of_digits(1, 8, 8), convolutional(norm=True), scale=False)


@of(IMAGES, convolutional(), scale=False)
def where_is_the_spot(seed: int) -> Any:
    rng = drawn(seed)
    x, y = 0.3 * rng.normal(size=(800, 1, 12, 12)), rng.integers(0, 4, size=800)
    for image, k in zip(x, y, strict=True):
        row, column = rng.integers(0, 4, size=2) + np.array([k // 2, k % 2]) * 5
        image[0, row : row + 3, column : column + 3] += 1
    return x, y


@of(IMAGES, convolutional(), scale=False)
def colours(seed: int) -> Any:
    rng = drawn(seed)
    y = rng.integers(0, 3, size=600)
    x = rng.uniform(0, 0.6, size=(600, 3, 8, 8))
    x[np.arange(600), y] += 0.15
    return x, y


# ---------------------------------------------------------------------------------- odd inputs

INPUTS = "odd inputs"


@of(INPUTS, mlp(32))
def heavy_tails(seed: int) -> Any:
    x = drawn(seed).standard_t(2, size=(1500, 8))
    return x, (x[:, 0] + x[:, 1] > 0).astype(int)


@of(INPUTS, mlp(32, epochs=12))
def lognormal(seed: int) -> Any:
    x = drawn(seed).lognormal(0, 1.5, size=(1500, 6))
    return x, (x[:, 0] > x[:, 1]).astype(int)


@of(INPUTS, mlp(16), scale=False)
def one_hot(seed: int) -> Any:
    rng = drawn(seed)
    codes = rng.integers(0, 10, size=(1200, 4))
    y = (rng.normal(size=(4, 10))[np.arange(4), codes].sum(axis=1) > 0).astype(int)
    return np.eye(10)[codes].reshape(len(codes), -1), y


@of(INPUTS, mlp(16))
def constant_columns(seed: int) -> Any:
    x, y = datasets.make_classification(1000, 10, random_state=seed)
    return np.hstack([x, np.ones((1000, 3)), np.zeros((1000, 3))]), y


@of(INPUTS, mlp(16), scale=False)
def words_present(seed: int) -> Any:
    rng = drawn(seed)
    x = (rng.random((1200, 400)) < 0.03).astype(float)
    return x, (x @ rng.normal(size=400) > 0).astype(int)


# --------------------------------------------------------------------------------- odd targets

TARGETS = "odd targets"


@of(TARGETS, mlp(32, loss=SIGMOIDS))
def many_labels(seed: int) -> Any:
    x, y = datasets.make_multilabel_classification(1000, 20, n_classes=5, random_state=seed)
    return x, y.astype(float)


@of(TARGETS, mlp(16, loss=SIGMOIDS))
def ordered_classes(seed: int) -> Any:
    rng = drawn(seed)
    x = rng.normal(size=(1200, 8))
    level = np.digitize(x[:, :3].sum(axis=1) + rng.normal(size=len(x)), [-2, 0, 2])
    return x, (level[:, None] > np.arange(3)).astype(float)


@of(TARGETS, mlp(32, loss=SIGMOIDS, optimizer=optim.adam(0.01), epochs=12))
def one_output(seed: int) -> Any:
    x, y = datasets.make_moons(800, noise=0.2, random_state=seed)
    return x, y.astype(float)


@of(TARGETS, mlp(16, act="tanh", loss=SQUARES, epochs=10))
def itself(seed: int) -> Any:
    (x, _), (x_val, _) = split_of(*data.load_digits_8x8(), seed)
    return (x[:800], x[:800]), (x_val, x_val)


@of(TARGETS, mlp(16, loss=probabilities))
def half_noise(seed: int) -> Any:
    x, y = datasets.make_blobs(800, 6, centers=3, cluster_std=4.0, random_state=seed)
    return x, 0.9 * np.eye(3)[y] + 0.1 / 3


# ---------------------------------------------------------------------------------- other nets

NETS = {
    "eight_layers": mlp(
        *[48] * 8, initializer=layers.HeNormal(), optimizer=optim.adam(0.001), epochs=10
    ),
    "five_of_tanh": mlp(*[40] * 5, act="tanh", optimizer=optim.momentum(0.02)),
    "dropout": mlp(64, dropout=0.4, optimizer=optim.momentum(0.05)),
    "residuals": chain(lambda _: [nn.Dense(32, in_units=64), Residual(32), Residual(32)], epochs=6),
    "attention": chain(lambda _: [Attention(16, 8)], optimizer=optim.adam(0.01)),
    "normalised_layers": chain(
        lambda _: [
            nn.Dense(32, in_units=64),
            nn.LayerNorm(in_channels=32),
            nn.Activation("relu"),
        ],
        optimizer=optim.momentum(0.05),
    ),
}
for name, net in NETS.items():
    shape = (8, 8) if name == "attention" else (64,)
    add("other nets", name, of_digits(*shape), net, scale=False)
