"""Inputs that are nearly right: refused by name, or taken as what they are."""

from __future__ import annotations

import gzip
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import numpy as onp
import pytest

from nnbook import (
    data,
    ensemble,
    layers,
    losses,
    monitors,
    optim,
    population,
    runtime,
    schedules,
    search,
    training,
)
from nnbook.explore import explore
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx, np
from nnbook.tape import Variable
from nnbook.training.checkpoint import load_tree, save_tree

nn, gluon = mx.gluon.nn, mx.gluon
X, Y = data.moons(40, rng=0)
IMAGES = onp.random.default_rng(0).normal(size=(8, 6, 4)).astype("float32")
PLACES = onp.random.default_rng(0).integers(0, 3, size=(8, 6)).astype("int32")
NAN, INF = float("nan"), float("inf")
softmax, RULE = losses.softmax_cross_entropy, optim.sgd(0.1)


def fit(net, train=(X, Y), validation=None, **settings):
    defaults = {"loss": softmax, "optimizer": optim.sgd(0.1), "epochs": 2, "progress": False}
    return training.fit(net, train, validation, **{**defaults, **settings})


def mlp(outputs=2):
    return layers.mlp(2, [4], outputs, "tanh", seed=0)


def made(*blocks):
    net = nn.HybridSequential()
    net.add(*blocks)
    net.initialize()
    return net


def with_value(array, value, *place):
    copy = array.copy()
    copy[place] = value
    return copy


# ------------------------------------------------------------------ targets that do not fit


@pytest.mark.parametrize("label", [255, -1, 3])
@pytest.mark.parametrize("where", ["train", "validation", "evaluate"])
@pytest.mark.parametrize("transposed", [False, True])
def test_labels_of_any_rank(label, where, transposed):
    """A class at each place of an example: MXNet would clip what is out of range."""
    axis = 1 if transposed else -1
    loss = gluon.loss.SoftmaxCrossEntropyLoss(axis=axis)
    net = made(nn.Conv1D(3, 1, in_channels=6) if transposed else nn.Dense(3, flatten=False))
    good = PLACES[:, :4] if transposed else PLACES
    bad = with_value(good, label, 2, 1)
    message = rf"y has 1 labels out of range, the first, {label}, at \[2, 1\]; expected .* 0 … 2"
    work = {
        "evaluate": lambda: training.evaluate(net, (IMAGES, bad), loss),
        "train": lambda: fit(net, (IMAGES, bad), loss=loss),
        "validation": lambda: fit(net, (IMAGES, good), (IMAGES, bad), loss=loss),
    }
    with pytest.raises(ValueError, match=message):
        work[where]()
    history = fit(net, (IMAGES, good), (IMAGES, good), loss=loss)
    outputs = training.example_outputs(net, IMAGES)
    right = (outputs.argmax(axis=axis) == good).mean()
    assert history[-1]["val_accuracy"] == pytest.approx(right)


def test_what_a_loss_of_ones_own_takes():
    def picked(outputs, y):
        return -np.log(1 + outputs[:, 0] ** 2) * y

    with pytest.raises(ValueError, match=r"out of range.*loss\.targets = 'real'"):
        fit(mlp(), (X, Y + 7), loss=picked)
    picked.targets = "real"
    assert len(fit(mlp(), (X, Y + 7), loss=picked, optimizer=optim.sgd(1e-6))) == 2
    assert len(fit(mlp(), (X, (Y + 7.0)), loss=lambda o, y: picked(o, y), epochs=1,
                   optimizer=optim.sgd(1e-6))) == 1  # fmt: skip


@pytest.mark.parametrize("dtype", ["int64", "uint32", "uint64", "float64"])
def test_targets_beyond_int32(dtype):
    y = onp.full(40, 3_000_000_000).astype(dtype)
    net = layers.mlp(2, [], 1, seed=0)
    found = training.evaluate(net, (X, y), losses.squared_error)
    assert found["loss"] == pytest.approx(4.5e18, rel=1e-6)
    fit(net, (X, y), loss=losses.squared_error, optimizer=optim.sgd(0.3), epochs=60, batch_size=40)
    assert training.example_outputs(net, X).mean() == pytest.approx(3e9, rel=5e-3)


@pytest.mark.parametrize("labels", [2**32 + 1, -(2**31) - 1, 2**31])
def test_labels_beyond_int32(labels):
    with pytest.raises(ValueError, match=rf"labels out of range, the first, {labels}"):
        fit(mlp(3), (X, onp.full(40, labels)))


@pytest.mark.parametrize("what", ["x", "y"])
@pytest.mark.parametrize("mxnet", [False, True])
def test_numbers_beyond_float32(what, mxnet):
    x, y = X.astype(float), Y.astype(float)
    x, y = (x * 1e39, y) if what == "x" else (x, y * 1e39)
    pair = tuple(np.array(a, dtype="float64") for a in (x, y)) if mxnet else (x, y)
    with pytest.raises(ValueError, match=rf"train {what} reaches .*e\+39, beyond .* float32"):
        fit(layers.mlp(2, [], 1, seed=0), pair, loss=losses.squared_error)
    net = layers.mlp(2, [], 1, seed=0, dtype="float64")
    assert training.evaluate(net, pair, losses.squared_error)["loss"] > 1e60


def of_signs(outputs, y):
    return np.log(1 + np.exp(-outputs[:, 0] * y))


of_signs.targets, of_signs.threshold = "signs", 0.0

NOT_THE_LOSS_S = {
    "±1 for the sigmoid": (
        losses.sigmoid_cross_entropy, 1, 2 * Y - 1, "y is -1; .*0, 1.* recode"
    ),
    "±1.0 for the sigmoid": (
        losses.sigmoid_cross_entropy, 1, 2.0 * Y - 1, "y is -1; expected all in"
    ),
    "1 and 2 for the sigmoid": (losses.sigmoid_cross_entropy, 1, Y + 1, "y is 2; .* by y - 1"),
    "±1 for Gluon's sigmoid": (
        gluon.loss.SigmoidBinaryCrossEntropyLoss(), 1, 2 * Y - 1, "y is -1; expected all in"
    ),
    "0 and 1 for signs": (of_signs, 1, Y, "value 0; the loss expects −1 or 1"),
    "rows of sum 2": (softmax, 2, onp.ones((40, 2)), "a row of .* y sums to 2; expected prob"),
    "rows of sum 0": (softmax, 2, onp.zeros((40, 2)), "a row of .* y sums to 0"),
    "negative rows": (softmax, 2, -onp.eye(2)[Y], "y is -1; expected all in"),
    "Gluon's rows": (
        gluon.loss.SoftmaxCrossEntropyLoss(sparse_label=False), 2, 2 * onp.eye(2)[Y], "y is 2"
    ),
    "labels of a hinge": (losses.hinge, 2, Y + 1, "labels out of range, the first, 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_THE_LOSS_S)
@pytest.mark.parametrize("mxnet", [False, True])
def test_targets_that_are_not_the_losss(name, mxnet):
    loss, outputs, y, message = NOT_THE_LOSS_S[name]
    net = mlp(outputs)
    before = ParameterVector(net).theta.asnumpy()
    pair = (np.array(X), np.array(y, dtype=y.dtype)) if mxnet else (X, y)
    for work in (lambda: fit(net, pair, loss=loss), lambda: training.evaluate(net, pair, loss)):
        with pytest.raises(ValueError, match=message.replace("train y", "y")):
            work()
    assert (ParameterVector(net).theta.asnumpy() == before).all()


def test_losses_say_what_they_take():
    said = {
        name: (getattr(losses, name).targets, getattr(losses, name).threshold)
        for name in ("squared_error", "softmax_cross_entropy", "sigmoid_cross_entropy", "hinge",
                     "binary_cross_entropy")
    }  # fmt: skip
    assert said == {
        "squared_error": ("real", None),
        "softmax_cross_entropy": ("labels", None),
        "sigmoid_cross_entropy": ("probabilities", 0.0),
        "binary_cross_entropy": ("probabilities", 0.5),
        "hinge": ("labels", None),
    }
    z = np.zeros((1, 5))
    for loss, y in [(softmax, np.array([0])), (losses.hinge, np.array([0])),
                    (losses.sigmoid_cross_entropy, np.ones((1, 5)))]:  # fmt: skip
        assert float(loss(z, y)) == pytest.approx(loss.chance_value(5), rel=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_a_single_output_that_decides_has_an_accuracy(dtype):
    net, y = mlp(1), Y.astype(dtype)
    for loss, middle in [(losses.sigmoid_cross_entropy, 0.0),
                         (gluon.loss.SigmoidBinaryCrossEntropyLoss(), 0.0)]:  # fmt: skip
        history = fit(net, (X, y), (X, y), loss=loss, optimizer=optim.sgd(1.0), epochs=5)
        outputs = training.example_outputs(net, X)
        assert history[-1]["val_accuracy"] == ((outputs[:, 0] > middle) == y).mean()
    signs = (2 * Y - 1).astype("int32")
    found = training.evaluate(net, (X, signs), of_signs)
    assert found["accuracy"] == ((outputs[:, 0] > 0) == (signs > 0)).mean()
    # Real targets, or a loss that does not say where it decides, have none.
    assert set(training.evaluate(net, (X, y), losses.squared_error)) == {"loss"}
    assert set(training.evaluate(net, (X, Y * 0.5), losses.sigmoid_cross_entropy)) == {"loss"}


def test_a_population_has_that_accuracy_too():
    nets = [layers.mlp(2, [4], 1, "tanh", seed=seed) for seed in range(2)]
    alone = [layers.mlp(2, [4], 1, "tanh", seed=seed) for seed in range(2)]
    settings = {"loss": losses.sigmoid_cross_entropy, "optimizer": optim.sgd(0.5), "epochs": 2,
                "batch_size": 10, "progress": False}  # fmt: skip
    found = population.fit_population(nets, (X, Y), (X, Y), seeds=[3, 3], **settings)
    for net, history in zip(alone, found, strict=True):
        wanted = training.fit(net, (X, Y), (X, Y), seed=3, **settings)
        assert history["val_accuracy"].tolist() == wanted["val_accuracy"].tolist()


def backwards(g, buffers, theta, rate, t, *, share=1.0):
    return share * rate * g, ()


@pytest.mark.parametrize("name", ["sgd", "mine"])
@pytest.mark.parametrize("share", [None, 0.5, onp.array([0.5, 1.0])], ids=["none", "one", "each"])
def test_a_population_follows_a_rule_of_ones_own(name, share):
    numbers = {} if share is None else {"share": share}
    rule = optim.Optimizer(name, onp.array([0.1, 0.2]), numbers, 0, partial(backwards, **numbers))
    settings = {"loss": softmax, "epochs": 2, "batch_size": 10, "progress": False}
    nets = [layers.mlp(2, [4], 2, "tanh", seed=seed) for seed in range(2)]
    found = population.fit_population(nets, (X, Y), optimizer=rule, seeds=[3, 3], **settings)
    for k, history in enumerate(found):
        net = layers.mlp(2, [4], 2, "tanh", seed=k)
        mine = {} if share is None else {"share": float(onp.broadcast_to(share, 2)[k])}
        alone = optim.Optimizer(name, 0.1 * (k + 1), mine, 0, partial(backwards, **mine))
        wanted = training.fit(net, (X, Y), optimizer=alone, seed=3, **settings)
        assert history[-1]["train_loss"] > history[0]["train_loss"]
        onp.testing.assert_allclose(history["train_loss"], wanted["train_loss"], rtol=1e-4)


# ------------------------------------------------------------------ arrays of other kinds

MASKED = onp.ma.masked_array(X, mask=onp.arange(80).reshape(40, 2) == 3)
CSR = mx.nd.sparse.csr_matrix(X)
TAKERS = {
    "fit": lambda x: fit(mlp(), (x, Y)),
    "evaluate": lambda x: training.evaluate(mlp(), (x, Y), softmax),
    "outputs": lambda x: training.example_outputs(mlp(), x),
    "a function's outputs": lambda x: training.example_outputs(lambda a: a, x),
    "Standardize": lambda x: data.Standardize().fit(x),
    "PCAWhiten": lambda x: data.PCAWhiten().fit_transform(x),
    "split": lambda x: data.train_test_split(x, Y),
    "minibatches": lambda x: next(data.minibatches((x, Y), 5, rng=0)),
    "check_examples": lambda x: data.check_examples(x, Y),
    "population": lambda x: population.fit_population(
        [mlp(), mlp()], (x, Y), loss=softmax, optimizer=optim.sgd(0.1), epochs=1
    ),
    "an ensemble": lambda x: ensemble.Ensemble([mlp()])(x),
    "soft targets": lambda x: ensemble.soft_targets(mlp(), x),
    "statistics": lambda x: ensemble.refresh_statistics(mlp(), x),
}


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize(
    ("array", "way"),
    [(MASKED, r"\.filled\(value\)"), (CSR, r"\.tostype\('default'\)")],
    ids=["masked", "sparse"],
)
def test_masked_and_sparse_arrays_are_refused_by_name(taker, array, way):
    with pytest.raises(TypeError, match=way):
        TAKERS[taker](array)


def test_scipys_sparse_arrays():
    from scipy import sparse

    for taker in ("fit", "evaluate", "Standardize", "split", "minibatches", "outputs"):
        with pytest.raises(TypeError, match=r"csr_matrix, expected .* x\.toarray\(\)"):
            TAKERS[taker](sparse.csr_matrix(X))


@pytest.mark.parametrize("function", [losses.squared_error, losses.sigmoid_cross_entropy])
def test_losses_refuse_masked_arrays(function):
    masked = onp.ma.masked_array(onp.ones((2, 1), "float32"), mask=[[True], [False]])
    with pytest.raises(TypeError, match="masked array"):
        function(masked, onp.ones((2, 1), "float32"))


@pytest.mark.parametrize("value", [7, -1, 2.5])
def test_ids_that_no_embedding_has(value):
    net = made(nn.Embedding(7, 3), nn.Flatten(), nn.Dense(2))
    ids = onp.random.default_rng(0).integers(0, 7, size=(10, 2)).astype("float32")
    with pytest.raises(ValueError, match=rf"train x has 1 values .* the first {value}; .* 0 … 6"):
        fit(net, (with_value(ids, value, 3, 1), Y[:10]))
    assert len(fit(net, (ids, Y[:10]))) == 2


# ------------------------------------------------------------------ the loop


class Stop(training.Callback):
    def __init__(self, reason):
        self.reason = reason

    def on_epoch_end(self, run, row):
        run.stop(self.reason)


class Adds(training.Callback):
    def __init__(self, value):
        self.value = value

    def on_validation(self, run, row):
        row["mine"] = self.value


class Keeps(training.Callback):
    def __init__(self, kept):
        self.kept = kept

    def state(self):
        return {"kept": self.kept}


SETTINGS = {
    "a size that is a fraction": ({"batch_size": 1.5}, TypeError, "batch_size is 1.5; expected a"),
    "epochs in words": ({"epochs": "two"}, TypeError, "epochs is 'two'; expected a whole number"),
    "a seed that is a fraction": ({"seed": 0.5}, TypeError, "seed is 0.5; expected a whole numb"),
    "a shuffle in words": ({"shuffle": "no"}, TypeError, "shuffle is 'no'; expected True or"),
    "an unknown loss": ({"loss": "softmax"}, ValueError, "loss is 'softmax'; expected one of"),
    "no reason to stop": ({"callbacks": [Stop("")]}, ValueError, "reason is ''; expected a text"),
    "None as a reason": ({"callbacks": [Stop(None)]}, TypeError, "reason is None; expected a te"),
    "callbacks that are a number": ({"callbacks": 3}, TypeError, "callbacks is 3; expected a list"),
    "a callback twice": (
        {"callbacks": [Adds(1)] * 2}, ValueError, "callbacks has one twice in"
    ),
    "two averages of one name": (
        {"callbacks": [ensemble.EMA(0.1, validation=(X, Y)), ensemble.EMA(validation=(X, Y))]},
        ValueError,
        "2 averages are called 'ema' .* give each a name",
    ),
    "a watched text": (
        {"callbacks": [Adds("much"), training.EarlyStopping("mine", smaller_is_better=True)]},
        TypeError,
        "EarlyStopping watches 'mine', which is 'much'; expected a number",
    ),
    "a schedule of nothing": (
        {"optimizer": optim.sgd(lambda step: None)}, TypeError, "rate at step 0 is None; expected"
    ),
    "a schedule of NaN": (
        {"optimizer": optim.sgd(lambda step: NAN)}, ValueError, "rate at step 0 is nan; expected"
    ),
    "a negative schedule": (
        {"optimizer": optim.sgd(lambda step: -0.1)}, ValueError, r"step 0 is -0\.1; expected a fi"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_are_refused(name):
    settings, error, message = SETTINGS[name]
    with pytest.raises(error, match=message):
        fit(mlp(), **settings)


def test_a_rate_that_turns_negative():
    with pytest.raises(ValueError, match=r"rate at step 2 is -1; expected a finite number ≥ 0"):
        fit(mlp(), optimizer=optim.sgd(lambda step: 1 - step), batch_size=10)


@pytest.mark.parametrize("rate", [0.1, onp.float64(0.1), onp.array(0.1), np.array(0.1)])
def test_a_rate_of_any_kind_trains_alike(rate):
    wanted = fit(mlp(), optimizer=optim.sgd(float(rate)))[-1]["train_loss"]
    for optimizer in (optim.sgd(rate), optim.sgd(lambda step: rate)):
        assert fit(mlp(), optimizer=optimizer)[-1]["train_loss"] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("number", [float, onp.float64, onp.float32])
def test_scalars_of_numpy_do_not_make_float64_of_float32(number):
    theta = onp.ones(3, "float32")
    rules = [
        optim.adamw(number(0.5), beta1=number(0.5), eps=number(0.25), weight_decay=number(0.5)),
        optim.momentum(lambda step: number(0.5), momentum=number(0.5)),
        optim.Optimizer("mine", number(0.5), {}, 0, lambda g, b, theta, rate, t: (-rate * g, ())),
    ]
    for rule in rules:
        step, _ = rule.update(theta, rule.init(theta), theta)
        assert step.dtype == "float32"
    for penalty in (losses.l2_penalty(number(0.5)), losses.l1_penalty(number(0.5))):
        assert penalty.gradient(theta).dtype == "float32"
    assert losses.l1_prox(theta, number(0.5)).dtype == "float32"


def test_none_is_no_callback():
    assert len(fit(mlp(), callbacks=None)) == 2


@pytest.mark.parametrize("value", [np.array(0.5), onp.float32(0.5), onp.array(0.5), 0.5])
def test_scalars_in_a_row_become_numbers(tmp_path, value):
    path = tmp_path / "run"
    history = fit(mlp(), callbacks=[Adds(value), training.Checkpoint(path)])
    assert [type(row["mine"]) for row in history] == [float, float]
    again = fit(mlp(), epochs=3, callbacks=[Adds(value), training.Checkpoint(path)])
    assert again["mine"].tolist() == [0.5] * 3


def test_a_network_of_two_outputs():
    class Two(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Dense(2, in_units=2), nn.Dense(1, in_units=2)

        def hybrid_forward(self, F, x):
            return self.a(x), self.b(x)

    net = Two()
    net.initialize()
    history = fit(net, loss=lambda outputs, y: softmax(outputs[0], y))
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    with pytest.raises(ValueError, match=r"does not take outputs of shape \(2, 2\), \(2, 1\) with"):
        fit(net)


def test_one_number_is_no_loss_for_each_example():
    mean = lambda outputs, y: softmax(outputs, y).mean()  # noqa: E731
    with pytest.raises(ValueError, match=r"returned shape \(\) for 40 examples; expected one val"):
        training.example_losses(mlp(), (X, Y), mean)
    assert training.evaluate(mlp(), (X, Y), mean)["loss"] > 0


def test_measurements_within_record_and_train_mode():
    """Dropout is off, statistics stay, and nothing is recorded, whatever the caller does."""
    net = made(nn.Dense(8, in_units=2), nn.BatchNorm(in_channels=8), nn.Dropout(0.5), nn.Dense(2))
    measures = [
        lambda: training.evaluate(net, (X, Y), softmax),
        lambda: training.example_losses(net, (X, Y), softmax).tolist(),
        lambda: training.example_outputs(net, X).tolist(),
    ]
    for measure in measures:
        wanted, before = measure(), ParameterVector(net).snapshot()
        for mode in (mx.autograd.train_mode, mx.autograd.record):
            with mode():
                assert measure() == wanted
        after = ParameterVector(net).snapshot()
        assert all((after["state"][k] == v).all() for k, v in before["state"].items())


def test_a_device_is_left_where_the_data_are_bad():
    net = mlp()
    for settings in ({"train": (X, Y + 7)}, {"optimizer": "adaam"}, {"penalty": 3}):
        with pytest.raises((ValueError, TypeError)):
            fit(net, **{"device": "cpu(1)", **settings})
        assert runtime.device_of(net) == mx.cpu(0)
    fit(net, device="cpu(1)")
    assert runtime.device_of(net) == mx.cpu(1)


@pytest.mark.parametrize(
    "rule",
    [
        "momentum",
        optim.chain(optim.clip(1e6), optim.momentum(0.3)),
        optim.mask(optim.momentum(0.3), 1.0),
        optim.decoupled_decay(optim.momentum(0.3), 0.0),
    ],
    ids=["by name", "chain", "mask", "decay"],
)
def test_the_range_test_takes_every_rule_with_a_rate(rule):
    alone, composed = (
        training.range_test(mlp(), (X, Y), loss=softmax, optimizer=o, steps=12)
        for o in (optim.momentum(0.1), rule)
    )
    onp.testing.assert_allclose(composed.losses, alone.losses, rtol=1e-5)


def test_the_range_test_refuses_what_has_no_rate():
    with pytest.raises(TypeError, match="with a learning rate"):
        training.range_test(mlp(), (X, Y), loss=softmax, optimizer=optim.clip(1.0))


def test_the_range_test_of_a_negative_loss():
    def shifted(outputs, y):
        return losses.squared_error(outputs, y) - 5

    y = X[:, :1] + 1
    found = training.range_test(
        layers.mlp(2, [], 1, seed=0), (X, y), loss=shifted, optimizer=optim.sgd(1), batch_size=10
    )
    assert 60 < len(found.losses) < 100
    assert 0.01 < found.suggestion < 1


def test_the_best_epoch_is_no_nan():
    history = training.History([{"a": NAN}, {"a": 2.0}, {"a": 1.0}])
    assert history.best("a") == {"a": 1.0}
    with pytest.raises(ValueError, match="a is NaN in all 1 epochs"):
        history[:1].best("a")
    trainer = search.TrainPopulation(
        build=lambda c, seed: mlp(), optimizer=lambda c: optim.sgd(0.1), train=(X, Y),
        validation=(X, Y), loss=softmax,
    )  # fmt: skip
    row = {"train_loss": 1.0, "seconds": 0.0}
    rows = [{"epoch": k + 1, "val_loss": v, **row} for k, v in enumerate([NAN, 2.0, 1.0])]
    assert trainer._result(training.History(rows))["epoch"] == 3
    assert isinstance(trainer._result(training.History(rows[:1])), FloatingPointError)


# ------------------------------------------------------------------ files

UNLIKE = {
    "a key that is a number": {0: 1.0},
    "a tuple with names": schedules.PlateauState(0.1, 1.0, 2),
    "a set": {1},
    "bytes": b"ab",
    "a complex number": 1j,
    "an array of objects": onp.array([None, 1], dtype=object),
    "a masked array": onp.ma.masked_array([1.0], mask=[True]),
    "a date": onp.datetime64("2020-01-01"),
    "an MXNet array": np.zeros(2),
    "the key of arrays": {"$array": "array0"},
    "the key of tuples": {"$tuple": []},
    "deep down": [{"a": [({1},)]}],
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_would_not_load_unchanged_is_not_saved(tmp_path, name):
    with pytest.raises((TypeError, ValueError), match=r"(?s)^\['v'\].*a checkpoint holds"):
        save_tree(tmp_path / "tree", {"v": UNLIKE[name]})
    net = mlp()
    before = ParameterVector(net).theta.asnumpy()
    with pytest.raises((TypeError, ValueError), match=r"\['callbacks'\]\[0\]\['kept'\]"):
        fit(net, callbacks=[Keeps(UNLIKE[name]), training.Checkpoint(tmp_path / "run")])
    assert (ParameterVector(net).theta.asnumpy() == before).all()  # before any work
    assert not list(tmp_path.iterdir())


LIKE = [
    {},
    None,
    True,
    onp.bool_(True),
    NAN,
    INF,
    2**70,
    0.1,
    onp.float64(0.1),
    "ü",
    [{"a": ()}],
    (1, [()]),
]
LIKE += [onp.arange(3), onp.array(["a", "bc"]), onp.array(3.0), onp.ones(2, "longdouble")]
LIKE += [onp.array(["2020-01-01"], dtype="datetime64[D]"), onp.eye(2).view(onp.recarray).view(
    onp.ndarray)]  # fmt: skip


@pytest.mark.parametrize("value", LIKE, ids=repr)
def test_what_is_saved_loads_unchanged(tmp_path, value):
    save_tree(tmp_path / "tree", {"v": value})
    again = load_tree(tmp_path / "tree")["v"]
    assert repr(again) == repr(value) or again == value
    assert getattr(again, "dtype", None) == getattr(value, "dtype", None) or onp.isscalar(value)


def test_an_interrupt_leaves_no_half_file(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    save_tree(tmp_path / "tree", {"v": 1})
    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_tree(tmp_path / "tree", {"v": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]
    assert load_tree(tmp_path / "tree") == {"v": 1}


def savers(path):
    space = search.Space(a=search.linear(0, 1))
    grid = search.GridSearch(space, 2)
    return {
        "an ensemble": lambda: ensemble.Ensemble([mlp()]).save(path),
        "a checkpoint": lambda: fit(mlp(), callbacks=[training.Checkpoint(path)]),
        "a new checkpoint": lambda: fit(mlp(), callbacks=[training.Checkpoint(path, resume=False)]),
        "a search": lambda: grid.run(lambda c, seed: 1.0, path=path, progress=False),
    }


@pytest.mark.parametrize("name", savers(""))
def test_paths(tmp_path, monkeypatch, name):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "precious.txt").write_text("years of work")
    wrong = (training.CheckpointError, OSError)
    with pytest.raises(wrong, match="is a folder; expected the name of a file, such as"):
        savers(folder)[name]()
    with pytest.raises(wrong, match=r"the folder '.*nowhere' of the .* does not exist; create it"):
        savers(tmp_path / "nowhere" / "file")[name]()
    with pytest.raises(wrong, match=r"'.*precious.txt' is a file; expected the folder"):
        savers(folder / "precious.txt" / "file")[name]()
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
    assert (folder / "precious.txt").read_text() == "years of work"
    monkeypatch.setenv("HOME", str(tmp_path))
    savers("~/mine")[name]()
    assert (tmp_path / "mine").is_file()


def test_a_home_folder_is_expanded_on_loading(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    net = mlp()
    ensemble.Ensemble([net]).save("~/mine")
    again = ensemble.Ensemble.load("~/mine", lambda k: mlp())
    assert (again(X) == ensemble.Ensemble([net])(X)).all()


# ------------------------------------------------------------------ threads


def test_nnbook_in_a_new_thread():
    net = mlp()
    wanted = training.example_outputs(net, X), training.evaluate(net, (X, Y), softmax)
    trained = fit(mlp())[-1]["train_loss"]

    def work():
        assert not mx.util.is_np_array()
        found = training.example_outputs(net, X), training.evaluate(net, (X, Y), softmax)
        history = fit(fresh)
        assert not mx.util.is_np_array()  # the thread is left as it was
        return found, history[-1]["train_loss"]

    fresh = mlp()
    with ThreadPoolExecutor(1) as pool:
        found, loss = pool.submit(work).result()
    assert (found[0] == wanted[0]).all()
    assert found[1] == wanted[1]
    assert loss == trained


def test_a_network_made_in_a_thread_without_the_numpy_interface():
    seen = []

    def work():
        try:
            fit(made(nn.Dense(2, in_units=2)))
        except ValueError as error:
            seen.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "call nnbook.runtime.use_numpy_mode() there before you make it" in seen[0]


# ------------------------------------------------------------------ the rest of the package

REFUSED = {
    "a rate that is a text": (lambda: optim.sgd("0.1"), TypeError, "learning_rate is '0.1'; exp"),
    "a rate that is True": (lambda: optim.sgd(True), TypeError, "learning_rate is True; expected"),
    "a momentum that is True": (lambda: optim.momentum(0.1, True), TypeError, "momentum is True"),
    "rates in a masked array": (lambda: optim.sgd(MASKED), TypeError, "masked array"),
    "steps that are a fraction": (
        lambda: optim.trajectory(optim.sgd(0.1), lambda t: t, [1.0], 1.5), TypeError, "steps is 1.5"
    ),
    "unit tests of half a seed": (
        lambda: optim.unit_tests(optim.sgd(0.1), seeds=0.5), TypeError, "seeds is 0.5; expected"
    ),
    "another number of a rule": (
        lambda: optim.sgd(0.1).with_numbers(0.2, momentum=0.9), TypeError, "sgd has no momentum"
    ),
    "a patience that is a fraction": (
        lambda: training.EarlyStopping(patience=2.5), TypeError, r"patience is 2\.5; expected a w"
    ),
    "an improvement NaN": (
        lambda: training.EarlyStopping(smallest_improvement=NAN), ValueError, "improvement is nan"
    ),
    "a penalty NaN": (lambda: losses.l2_penalty(NAN), ValueError, "strength is nan; expected a f"),
    "a penalty that is a text": (lambda: losses.l1_penalty("1"), TypeError, "strength is '1'; exp"),
    "a checkpoint every half epoch": (
        lambda: training.Checkpoint("x", every=0.5), TypeError, "every is 0.5; expected a whole"
    ),
    "a checkpoint on a number": (lambda: training.Checkpoint(3), TypeError, "path is 3; expected"),
    "a monitor every True": (lambda: monitors.GradientNorm(True), TypeError, "every is True; expe"),
    "turns in words": (lambda: data.spirals(9, turns="2"), TypeError, "turns is '2'; expected a f"),
    "a range test of True steps": (
        lambda: training.range_test(mlp(), (X, Y), loss=softmax, optimizer=RULE, steps=True),
        TypeError, "steps is True; expected a whole number of at least 10",
    ),
    "a monitor every half step": (
        lambda: monitors.UpdateRatio(every=0.5), TypeError, "every is 0.5; expected a whole numb"
    ),
    "a probe of True": (lambda: monitors.DeadUnits(True), TypeError, "probe is True; expected"),
    "a probe of one example": (
        lambda: monitors.DeadUnits(X[:1]), ValueError, "number of examples in probe is 1; expected"
    ),
    "an average every half step": (lambda: ensemble.EMA(every=0.5), TypeError, "every is 0.5; exp"),
    "an average without a name": (lambda: ensemble.EMA(name=""), ValueError, "name is ''; expect"),
    "a decay of 1": (lambda: ensemble.EMA(1), ValueError, r"decay is 1; expected .* \[0, 1\)"),
    "snapshots of half an epoch": (lambda: ensemble.Snapshots(0.5), TypeError, "every is 0.5; exp"),
    "half a bin": (
        lambda: ensemble.reliability([[0.5, 0.5]], [0], bins=0.5), TypeError, "bins is 0.5; expect"
    ),
    "a temperature of 0": (
        lambda: ensemble.apply_temperature([[1.0, 2.0]], 0), ValueError, "temperature is 0; expect"
    ),
    "masked logits": (
        lambda: ensemble.apply_temperature(MASKED, 1), TypeError, "logits is a masked array"
    ),
    "a way to combine": (
        lambda: ensemble.Ensemble([mlp()], "mean"), ValueError, "combine is 'mean'; expected one of"
    ),
    "half a batch": (lambda: data.minibatches(5, 0.5, rng=0), TypeError, "batch_size is 0.5; exp"),
    "a shuffle that is a text": (
        lambda: data.minibatches(5, 2, rng=0, shuffle="no"), TypeError, "shuffle is 'no'; expected"
    ),
    "half of a point": (
        lambda: search.GridSearch(search.Space(a=search.linear(0, 1)), {"a": 0.5}), TypeError, "0.5"
    ),
    "half of a trial": (
        lambda: search.RandomSearch(search.Space(a=search.linear(0, 1)), 0.5), TypeError, "trials"
    ),
    "a population of half epochs": (
        lambda: population.fit_population([mlp()], (X, Y), loss=softmax, optimizer=optim.sgd(0.1),
                                          epochs=1.5),
        TypeError, "epochs is 1.5; expected",
    ),
    "a population of seeds in words": (
        lambda: population.fit_population([mlp()], (X, Y), loss=softmax, optimizer=optim.sgd(0.1),
                                          seeds=["a"]),
        TypeError, r"seeds\[0\] is 'a'; expected",
    ),
    "half a step of warm-up": (lambda: schedules.warmup(0.1, 0.5), TypeError, "steps is 0.5; expe"),
    "compressed IDX": (
        lambda: data.parse_idx(gzip.compress(b"\0\0\x08\x01\0\0\0\x01\x05")),
        ValueError, r"is compressed; .* gzip\.decompress",
    ),
    "IDX that is a text": (lambda: data.parse_idx("0"), TypeError, "IDX content is a str; expe"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name):
    work, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        work()


def test_shares_of_any_dtype():
    for share in (0.1, onp.float32(0.1), onp.float16(0.1), onp.float64(0.1)):
        assert [len(part) for part in data.train_test_split(onp.arange(30), test_size=share)] == [
            27, 3,
        ]  # fmt: skip


def test_labels_that_are_names():
    names = onp.where(Y, "dog", "cat")
    train, test = data.train_test_split(names, stratify=names, test_size=0.5)
    assert (train == "dog").sum() == (test == "dog").sum() == 10
    order = data.class_balanced(names)(40, 1, onp.random.default_rng(0))
    assert all(names[a] != names[b] for a, b in pairwise(order))
    with pytest.raises(TypeError, match=r"train y has the dtype <U3, .* numpy\.unique\(y, return"):
        fit(mlp(), (X, names))


def test_a_list_of_arrays_is_as_good_as_a_tuple():
    batches = list(data.minibatches([X, Y], 15, shuffle=False))
    assert [len(y) for _, y in batches] == [15, 15, 10]
    assert (onp.concatenate([x for x, _ in batches]) == X).all()


def test_numbers_of_numpy_in_a_space():
    dimension = search.categorical(onp.array([16, 32]))
    assert dimension.choices == search.categorical([onp.int64(16), 32]).choices == (16, 32)
    assert [type(choice) for choice in dimension.choices] == [int, int]
    assert search.categorical([(onp.int64(1), 2), [3]]).choices == ((1, 2), (3,))
    assert onp.int64(3) in search.integer(1, 5)
    assert onp.float32(0.5) in search.linear(0, 1)


def test_targets_of_one_axis_for_a_regression_ensemble():
    net = layers.mlp(2, [], 1, seed=0)
    wanted = training.evaluate(net, (X, Y.astype(float)), losses.squared_error)["loss"]
    for y in (Y.astype(float), Y.astype(float).reshape(-1, 1)):
        found = ensemble.Ensemble([net], "outputs").evaluate((X, y))
        assert found["loss"] == pytest.approx(wanted, rel=1e-6)


def test_members_of_weight_0():
    both = ensemble.Ensemble([mlp(), mlp()], weights=[0, 1])
    assert [len(one) for one in both] == [1, 1]
    assert both[:1].weights.tolist() == [1]


def test_formats_in_the_alt_text_of_a_figure():
    import matplotlib.pyplot as plt

    def draw(rate):
        return plt.subplots(figsize=(1, 1))[0]

    made_by = {alt: explore(draw, rate=[0.125, 0.25], alt=alt).frames[0].alt
               for alt in ("rate {rate:.2f}", "rate {rate}")}  # fmt: skip
    assert list(made_by.values()) == ["rate 0.12", "rate 0.125"]


def test_a_gap_to_a_training_loss_of_0():
    gap = monitors.Gap()
    for epoch in (1, 2, 3):
        gap._keep(gap.record_type(epoch, epoch, 0.0, 0.5, NAN))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "the validation loss is above 0, which is the training loss" in str(gap.findings())


def test_what_the_unit_tests_keep_cannot_be_changed():
    found = optim.unit_tests(optim.sgd(0.1), steps=20, seeds=1)
    with pytest.raises(ValueError, match="read-only"):
        found.reference_rates[...] = 0


def test_the_power_0():
    x = Variable(0.0)
    y = x**0
    y.backward()
    assert (y.value, x.gradient) == (1.0, 0.0)
