"""What `fit` takes as data: tables, lists, tensors, streams of minibatches; augmentation."""

from __future__ import annotations

import sys
import types

import numpy as onp
import pytest

from nnbook import data, layers, losses, optim, training
from nnbook.data import as_array
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx, np
from nnbook.training import Checkpoint, CheckpointError, EarlyStopping

gluon, nn = mx.gluon, mx.gluon.nn
RNG = onp.random.default_rng(5)
N = 50
X = RNG.normal(size=(N, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32") + (X[:, 2] > 1).astype("int32")
HELD_OUT = (RNG.normal(size=(23, 4)).astype("float32"), RNG.integers(0, 3, 23).astype("int32"))
softmax = losses.softmax_cross_entropy


def make(seed=1):
    return layers.mlp(4, [6], 3, activation="tanh", seed=seed)


def theta_of(net):
    return ParameterVector(net).theta.asnumpy()


def fit(net, train=(X, Y), validation=None, **settings):
    defaults = {"loss": softmax, "optimizer": optim.momentum(0.05), "batch_size": 8, "epochs": 3}
    return training.fit(net, train, validation, **{**defaults, **settings})


def pieces(size=8):
    return [(X[k : k + size], Y[k : k + size]) for k in range(0, N, size)]


def in_order(**settings):
    """Train on the data in their order: what a stream of pieces should do."""
    net = make()
    history = fit(net, shuffle=False, **settings)
    return theta_of(net), history


# Tables and lists.


class Tensor:
    """What PyTorch's tensors have, as far as we ask them."""

    def __init__(self, values):
        self.values, self.shape = values, values.shape

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self.values


def test_tables_lists_and_tensors_are_as_arrays():
    pandas = pytest.importorskip("pandas")
    expected = make()
    fit(expected, validation=HELD_OUT)
    frame, series = pandas.DataFrame(X, columns=list("abcd")), pandas.Series(Y, index=range(9, 59))
    given = [(frame, series), (X.tolist(), Y.tolist()), (Tensor(X), Tensor(Y)), [frame, Y]]
    for pair in given:
        net = make()
        history = fit(net, pair, [pandas.DataFrame(HELD_OUT[0]), HELD_OUT[1].tolist()])
        assert (theta_of(net) == theta_of(expected)).all()
        found = training.evaluate(net, pair, "softmax_cross_entropy")
        assert found == training.evaluate(net, (X, Y), softmax)
        assert "val_accuracy" in history.columns
        outputs = training.example_outputs(net, pair[0])
        assert (outputs == training.example_outputs(net, X)).all()


def test_a_table_becomes_numbers():
    pandas = pytest.importorskip("pandas")
    whole = pandas.DataFrame({"a": [1, 2], "b": [True, False]})
    assert as_array(whole).dtype == "int64"
    mixed = pandas.DataFrame({"a": [1.5, 2], "b": [True, False], "c": pandas.array([1, None])})
    assert as_array(mixed).dtype == "float64"
    assert onp.isnan(as_array(mixed)[1, 2])
    assert as_array(pandas.Series([1, 0], dtype="Int64")).dtype == "int64"
    with pytest.raises(TypeError, match=r"x has the columns 'city', which are no numbers.*dummies"):
        as_array(pandas.DataFrame({"a": [1], "city": ["Rome"]}))


def test_names_of_classes_are_refused_with_the_way_out():
    pandas = pytest.importorskip("pandas")
    names = onp.array(["no", "yes", "maybe"])[Y]
    for y in (names, names.tolist(), pandas.Series(names), pandas.Series(names, dtype="category")):
        with pytest.raises(
            TypeError, match=r"train y has the dtype .*numpy\.unique\(y, return_inv"
        ):
            fit(make(), (X, y))
    net = make()
    fit(net, (X, onp.unique(names, return_inverse=True)[1]))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1.0, 2.0], [3.0]], ValueError, "train x is a list whose rows differ in length"),
        ({1, 2}, TypeError, "train x is a set, expected a NumPy or MXNet array"),
        ([["a", "b"]] * N, TypeError, "train x has the dtype <U1"),
        ("text", TypeError, "train x is a str"),
    ],
)
def test_what_is_no_array_is_refused(x, error, message):
    with pytest.raises(error, match=message):
        fit(make(), (x, Y))


# Streams.


def gluon_loader():
    dataset = gluon.data.ArrayDataset(X, Y)
    return gluon.data.DataLoader(dataset, batch_size=8, shuffle=False)


class Loader:
    """As PyTorch's DataLoader: iterable again and again, lists of tensors."""

    def __iter__(self):
        return iter([[Tensor(x), Tensor(y)] for x, y in pieces()])

    def __len__(self):
        return len(pieces())


@pytest.mark.parametrize("kind", ["list", "function", "gluon", "torch", "mxnet arrays"])
def test_a_stream_is_trained_on_as_the_data_in_their_order(kind):
    stream = {
        "list": pieces(),
        "function": lambda: (batch for batch in pieces()),
        "gluon": gluon_loader(),
        "torch": Loader(),
        "mxnet arrays": [(np.array(x), np.array(y)) for x, y in pieces()],
    }[kind]
    expected, history = in_order(validation=HELD_OUT)
    net = make()
    found = fit(net, stream, HELD_OUT, batch_size=999)
    assert (theta_of(net) == expected).all()
    for column in ("step", "train_loss", "val_loss", "val_accuracy"):
        assert found[column].tolist() == history[column].tolist()
    assert (found.path, found.reason) == ("graph", "")


def test_a_stream_on_the_recorded_path_and_of_one_epoch():
    def own(outputs, y):
        assert y.shape
        return softmax(outputs, y)

    expected, _ = in_order(epochs=1)
    recorded, once = make(), make()
    assert fit(recorded, iter(pieces()), loss=own, epochs=1).path == "recorded"
    fit(once, (batch for batch in pieces()), epochs=1)
    onp.testing.assert_allclose(theta_of(recorded), expected, rtol=1e-5, atol=1e-7)
    assert (theta_of(once) == expected).all()


def test_a_stream_may_have_weights_and_be_validated_on_a_stream():
    weights = onp.arange(N) % 3
    weighted = [(x, y, weights[8 * k : 8 * k + 8]) for k, (x, y) in enumerate(pieces())]
    net, other = make(), make()
    found = fit(net, weighted, pieces(10), class_weight={1: 4.0})
    expected = fit(other, (X, Y), (X, Y), shuffle=False, class_weight={1: 4.0},
                   sample_weight=weights)  # fmt: skip
    assert (theta_of(net) == theta_of(other)).all()
    assert found["val_loss"].tolist() == expected["val_loss"].tolist()


def test_callbacks_see_a_stream_as_its_first_minibatch():
    seen = []

    class Look(training.Callback):
        def on_fit_start(self, run):
            seen.append((run.steps_per_epoch, len(run.examples), run.examples.labels().tolist()))

        def on_step_end(self, run):
            seen.append(run.step)

    history = fit(
        make(), pieces(), HELD_OUT, callbacks=[Look(), EarlyStopping(patience=1)], epochs=9
    )
    assert seen[0] == (None, 8, Y[:8].tolist())
    assert seen[1:] == list(range(1, int(history["step"][-1]) + 1))


def test_the_callers_arrays_stay_as_they_are():
    batches = pieces()
    copies = [(x.copy(), y.copy()) for x, y in batches]
    fit(make(), batches, augment=lambda x, rng: rng.normal(size=x.shape))
    fit(make(), (X, Y), shuffle=False, augment=lambda x, rng: _zero(x))
    for (x, y), (old_x, old_y) in zip(batches, copies, strict=True):
        assert (x == old_x).all()
        assert (y == old_y).all()


def _zero(x):
    x[...] = 0
    return x


def test_a_resumed_stream_ends_as_one_that_was_never_stopped(tmp_path):
    whole, resumed = make(), make()
    fit(whole, pieces(), epochs=4)
    fit(resumed, pieces(), epochs=2, callbacks=[Checkpoint(tmp_path / "run")])
    resumed = make()
    fit(resumed, pieces(), epochs=4, callbacks=[Checkpoint(tmp_path / "run")])
    assert (theta_of(whole) == theta_of(resumed)).all()


def wrong(place, batch):
    batches = pieces()
    batches[place] = batch
    return batches


STREAMS = {
    "a generator for many epochs": (
        lambda: iter(pieces()), {}, ValueError,
        r"is a list_iterator, which can be passed through once, and epochs is 3.*make_batches",
    ),
    "none": (lambda: (lambda: iter(())), {}, ValueError, "train gave no minibatch"),
    "no pairs": (lambda: lambda: iter([X]), {}, TypeError, "minibatch 1 is a ndarray; expected"),
    "a dict": (lambda: lambda: iter([{"x": X}]), {}, TypeError, "minibatch 1 is a dict"),
    "labels out of range": (
        lambda: wrong(0, (X[:8], Y[:8] + 5)), {}, ValueError, "labels out of range, the first"
    ),
    "an order": (lambda: pieces(), {"order": data.shuffled()}, ValueError, "order is given, and"),
    "weights of all": (lambda: pieces(), {"sample_weight": onp.ones(N)}, ValueError, "is a stream"),
    "balanced": (lambda: pieces(), {"class_weight": "balanced"}, ValueError, "class_weight as a"),
    "nothing to validate on": (
        lambda: pieces(), {"validation": []}, (TypeError, ValueError), "validation"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_that_is_none_is_refused_before_any_work(name):
    stream, settings, error, message = STREAMS[name]
    net = make()
    before = theta_of(net)
    with pytest.raises(error, match=message):
        fit(net, stream(), **settings)
    assert (theta_of(net) == before).all()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((X[:9], Y[:9]), r"has x of shape \(9, 4\); the first had \(8, 4\).*largest first"),
        ((X[:8, :3], Y[:8]), r"has x of shape \(8, 3\)"),
        ((X[:8], Y[:8] + 5), "minibatch 3 of epoch 1 y has .* labels out of range"),
        ((X[:8], Y[:7]), "minibatch 3 of epoch 1 x has 8 examples but"),
        ((onp.full((8, 4), onp.nan), Y[:8]), "minibatch 3 of epoch 1 x has 32 values that are NaN"),
        ((X[:8], Y[:8], onp.ones(8)), "has weights, the first had none"),
    ],
)
def test_a_later_minibatch_that_does_not_fit_is_named(batch, message):
    with pytest.raises(ValueError, match=message):
        fit(make(), wrong(2, batch))


def test_whole_numbers_first_and_fractions_later_are_refused():
    real = [(x, onp.round(x[:, :1])) for x, _ in pieces()]
    as_int = [(x, y.astype("int32")) for x, y in real]
    net = layers.mlp(4, [], 1, seed=0)
    fit(net, as_int, loss="squared_error")
    as_int[3] = (as_int[3][0], as_int[3][1] + 0.5)
    with pytest.raises(ValueError, match="y with fractions, and the first had whole numbers"):
        fit(net, as_int, loss="squared_error")


# Augmentation.


def noise(x, rng):
    return x + rng.normal(size=x.shape, scale=0.1)


def test_augmentation_is_drawn_anew_at_every_step_and_in_training_alone():
    seen = []

    def look(x, rng):
        seen.append((x.copy(), rng.random()))
        return x

    net, plain = make(), make()
    history = fit(net, validation=HELD_OUT, augment=look, epochs=2)
    expected = fit(plain, validation=HELD_OUT, epochs=2)
    assert (theta_of(net) == theta_of(plain)).all()
    assert history["val_loss"].tolist() == expected["val_loss"].tolist()
    seen = seen[-14:]  # of 7 steps in each of two epochs; before them it is tried
    assert len({luck for _, luck in seen}) == 14
    for epoch in (0, 1):
        order = onp.random.default_rng([0, epoch + 1]).permutation(N)
        together = onp.concatenate([x for x, _ in seen[7 * epoch : 7 * epoch + 7]])
        assert (together == X[order]).all()
        luck = onp.random.default_rng([0, epoch + 1, 3]).random()
        assert seen[7 * epoch + 2][1] == luck
    assert seen[0][0].dtype == onp.float32


def test_augmentation_is_reproducible_and_resumed(tmp_path):
    first, second, other, resumed = (make() for _ in range(4))
    history = fit(first, augment=noise, epochs=4)
    fit(second, augment=noise, epochs=4)
    fit(other, augment=noise, epochs=4, seed=1)
    assert (theta_of(first) == theta_of(second)).all()
    assert (theta_of(first) != theta_of(other)).any()
    assert history.path == "graph"
    path = tmp_path / "run"
    fit(make(), augment=noise, epochs=2, callbacks=[Checkpoint(path)])
    fit(resumed, augment=noise, epochs=4, callbacks=[Checkpoint(path)])
    assert (theta_of(first) == theta_of(resumed)).all()
    with pytest.raises(CheckpointError, match="saved by another run"):
        fit(make(), epochs=5, callbacks=[Checkpoint(path)])


def test_augmentation_of_streams_with_weights_and_full_batches():
    stream, whole = make(), make()
    fit(stream, pieces(), augment=noise, class_weight={0: 3.0})
    fit(whole, (X, Y), shuffle=False, augment=noise, class_weight={0: 3.0})
    assert (theta_of(stream) == theta_of(whole)).all()
    assert fit(make(), augment=noise, batch_size=999)["step"].tolist() == [1, 2, 3]


def test_augmentation_may_crop():
    net = layers.mlp(3, [6], 3, seed=0)
    history = fit(net, validation=(HELD_OUT[0][:, :3], HELD_OUT[1]),
                  augment=lambda x, rng: x[:, rng.integers(2) :][:, :3])  # fmt: skip
    assert len(history) == 3


@pytest.mark.parametrize(
    ("augment", "error", "message"),
    [
        (3, TypeError, "augment is 3; expected a function"),
        (lambda x, rng: x[:1], ValueError, r"augment returned shape \(1, 4\) for inputs of shape"),
        (lambda x, rng: None, TypeError, "what augment returned is a NoneType"),
        (lambda x, rng: x[:, :2], ValueError, "the network does not take"),
        (lambda x: x, TypeError, "takes 1 positional argument"),
    ],
)
def test_an_augmentation_that_is_none_is_refused(augment, error, message):
    net = make()
    before = theta_of(net)
    with pytest.raises(error, match=message):
        fit(net, augment=augment)
    assert (theta_of(net) == before).all()


# Surprises.


class Words(nn.HybridBlock):
    """An embedding that is not at the entrance of a chain."""

    def __init__(self, twice=False):
        super().__init__()
        self.words, self.out, self.twice = nn.Embedding(5, 3), nn.Dense(2), twice

    def hybrid_forward(self, F, x):
        found = self.words(F.npx.slice(x, (None, 0), (None, 3)) if self.twice else x).sum(axis=1)
        if self.twice:
            found = found + self.words(F.npx.slice(x, (None, 3), (None, 4))).sum(axis=1)
        return self.out(found)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("hybrid", [False, True])
def test_token_ids_that_are_none_are_refused(twice, hybrid):
    net = Words(twice)
    net.initialize()
    if hybrid:
        net.hybridize()
    ids = RNG.integers(0, 5, (1500, 4))
    y = (ids == 4).any(axis=1).astype("int32")
    ids[1400, 3] = 7
    for wrong_ids in (ids, ids - 1):
        with pytest.raises(ValueError, match=r"train x has .* no rows of the embedding.*0 … 4"):
            fit(net, (wrong_ids, y))
    ids[1400, 3] = 4
    assert len(fit(net, (ids, y), epochs=1)) == 1


def test_token_ids_of_a_stream_are_refused_too():
    net = nn.HybridSequential()
    net.add(nn.Embedding(5, 3), nn.Flatten(), nn.Dense(2))
    net.initialize()
    ids = RNG.integers(0, 5, (40, 4))
    batches = [(ids[k : k + 8], onp.zeros(8, "int32")) for k in range(0, 40, 8)]
    batches[3] = (batches[3][0] + 3, batches[3][1])
    with pytest.raises(ValueError, match=r"minibatch 4 of epoch 1 x has .* no rows of the embed"):
        fit(net, batches)


def test_an_order_that_was_not_made_is_refused():
    with pytest.raises(TypeError, match=r"the class class_balanced itself.*class_balanced\(labels"):
        fit(make(), order=data.class_balanced)
    with pytest.raises(TypeError, match="order is 3; expected a function"):
        fit(make(), order=3)


def test_a_loss_beyond_all_use_is_said():
    x, y = X * 1e3, X[:, :1]
    with pytest.warns(training.GrowthWarning, match="has grown from .* training has diverged"):
        fit(layers.mlp(4, [], 1, seed=0), (x, y), loss="squared_error", optimizer=optim.sgd(1e-4),
            batch_size=25, epochs=2)  # fmt: skip


def test_a_loss_that_is_recorded_says_so():
    def weighted(outputs, y):
        return softmax(outputs, y) * np.where(y == 1, 10.0, 1.0)

    history = fit(make(), loss=weighted)
    assert history.path == "recorded"
    assert "the loss's code does not work on symbols" in history.reason
    assert "recorded, not a graph: the loss's code" in repr(history)


def test_nothing_of_pandas_is_imported():
    table = types.SimpleNamespace(dtype=onp.dtype("float64"), to_numpy=lambda **_: X)
    loaded = "pandas" in sys.modules
    assert as_array(table) is X
    assert ("pandas" in sys.modules) == loaded
