"""Weights of examples: what is minimised with them, on every path, and what is refused."""

from __future__ import annotations

from functools import partial

import numpy as onp
import pytest

from nnbook import checks, data, layers, losses, optim, population, training
from nnbook.data import example_weights
from nnbook.gluon.weighting import Weighted
from nnbook.parameters import ParameterVector, clone
from nnbook.population import Workers
from nnbook.runtime import mx, np
from nnbook.training import Checkpoint, CheckpointError

RNG = onp.random.default_rng(5)
N = 60
X = RNG.normal(size=(N, 4))
LABELS = onp.digitize(X[:, 0] + RNG.normal(size=N), [0.5, 1.5]).astype("int32")
REAL = X @ onp.array([[1.0], [-2.0], [0.5], [0.0]]) + 0.3 * RNG.normal(size=(N, 1))
WEIGHTS = RNG.integers(0, 4, N)
softmax = losses.softmax_cross_entropy


def net_of(outputs, hidden=(5,), seed=1):
    net = layers.mlp(4, list(hidden), outputs, activation="tanh", seed=seed)
    net.cast("float64")
    return net


def theta_of(net):
    return ParameterVector(net).theta.asnumpy()


def untraceable(outputs, y):
    """A loss that must be recorded."""
    assert y.shape[0] == outputs.shape[0]
    return softmax(outputs, y)


def fit(net, train=(X, LABELS), **settings):
    defaults = {"loss": softmax, "optimizer": optim.sgd(0.3), "batch_size": N, "epochs": 5}
    return training.fit(net, train, **{**defaults, **settings})


# What is minimised.


def test_a_linear_network_ends_at_the_weighted_least_squares_solution():
    net = net_of(1, hidden=())
    fit(net, (X, REAL), loss=losses.squared_error, optimizer=optim.sgd(0.15), epochs=1500,
        sample_weight=WEIGHTS)  # fmt: skip
    design, root = onp.column_stack([X, onp.ones(N)]), onp.sqrt(WEIGHTS)[:, None]
    expected = onp.linalg.lstsq(design * root, REAL * root, rcond=None)[0]
    plain = onp.linalg.lstsq(design, REAL, rcond=None)[0]
    onp.testing.assert_allclose(theta_of(net), expected.ravel(), atol=1e-8)
    assert abs(expected - plain).max() > 0.01  # the weights do matter


@pytest.mark.parametrize("loss", [softmax, untraceable])
def test_whole_weights_are_as_examples_repeated(loss):
    """The mean of w l over n is that over the Σ w repeated examples, times Σ w / n."""
    weighted, repeated = net_of(3), net_of(3)
    rows = onp.repeat(onp.arange(N), WEIGHTS)
    history = fit(weighted, loss=loss, sample_weight=WEIGHTS)
    fit(repeated, (X[rows], LABELS[rows]), optimizer=optim.sgd(0.3 * len(rows) / N),
        batch_size=len(rows))  # fmt: skip
    assert history.path == ("graph" if loss is softmax else "recorded")
    onp.testing.assert_allclose(theta_of(weighted), theta_of(repeated), rtol=1e-9)


@pytest.mark.parametrize("loss", [softmax, untraceable])
def test_minibatches_are_weighted_example_by_example(loss):
    net = net_of(3)
    twin = clone(net)
    history = fit(net, loss=loss, sample_weight=WEIGHTS, batch_size=7, epochs=2, seed=3)
    theirs, means = ParameterVector(twin), []
    for epoch in (1, 2):
        order, total = onp.random.default_rng([3, epoch]).permutation(N), 0.0
        for start in range(0, N, 7):
            rows = order[start : start + 7]
            with mx.autograd.record():
                each = softmax(twin(np.array(X[rows], dtype="float64")), np.array(LABELS[rows]))
                mean = (each * np.array(WEIGHTS[rows], dtype="float64")).mean()
            mean.backward()
            total += len(rows) * float(mean)
            theirs.theta[...] -= 0.3 * theirs.grad
        means.append(total / N)
    onp.testing.assert_allclose(theta_of(net), theirs.theta.asnumpy(), rtol=1e-9)
    onp.testing.assert_allclose(history["train_loss"], means, rtol=1e-9)


@pytest.mark.parametrize("workers", [1, Workers(2, kind="processes")])
def test_a_population_is_weighted_as_a_network_alone(workers):
    alone, together = [net_of(3, seed=k) for k in range(3)], [net_of(3, seed=k) for k in range(3)]
    settings = {"loss": softmax, "batch_size": 7, "epochs": 3, "sample_weight": WEIGHTS}
    settings |= {"class_weight": "balanced", "validation": (X, LABELS)}
    histories = population.fit_population(
        together, (X, LABELS), optimizer=optim.sgd(0.1), seeds=[0, 0, 1], workers=workers,
        memory=1 if workers == 1 else None, **settings)  # fmt: skip
    for k, seed in enumerate([0, 0, 1]):
        mine = training.fit(alone[k], (X, LABELS), optimizer=optim.sgd(0.1), seed=seed, **settings)
        onp.testing.assert_allclose(theta_of(together[k]), theta_of(alone[k]), rtol=1e-9)
        for column in ("train_loss", "val_loss", "val_accuracy"):
            onp.testing.assert_allclose(histories[k][column], mine[column], rtol=1e-9)


def test_a_stack_is_weighted_in_its_graph():
    nets = [net_of(3, seed=k) for k in range(3)]
    histories = population.fit_population(
        nets, (X, LABELS), loss="softmax_cross_entropy", optimizer=("sgd", 0.1), batch_size=7,
        epochs=2, seeds=[0, 0, 0], class_weight={1: 5.0}, workers=1)  # fmt: skip
    assert {h.path for h in histories} == {"stack"}
    one = net_of(3, seed=2)
    fit(one, optimizer=optim.sgd(0.1), batch_size=7, epochs=2, class_weight={1: 5.0})
    onp.testing.assert_allclose(theta_of(nets[2]), theta_of(one), rtol=1e-9)


def test_weights_of_one_change_nothing():
    plain, weighted = net_of(3), net_of(3)
    kept = fit(plain, batch_size=7, validation=(X, LABELS))
    ones = fit(weighted, batch_size=7, validation=(X, LABELS), sample_weight=onp.ones(N))
    assert (theta_of(plain) == theta_of(weighted)).all()
    for column in ("train_loss", "val_loss", "val_accuracy"):
        assert kept[column].tolist() == ones[column].tolist()


@pytest.mark.parametrize(
    ("loss", "y", "outputs"),
    [
        (losses.sigmoid_cross_entropy, (LABELS > 0).astype("float32").reshape(-1, 1), 1),
        (losses.sigmoid_cross_entropy, (LABELS > 0).astype("int64"), 1),
        (partial(softmax, probabilities=True), onp.eye(3)[LABELS], 3),
        (losses.hinge, LABELS.astype("float64"), 3),
        (mx.gluon.loss.SoftmaxCrossEntropyLoss(), LABELS, 3),
        (mx.gluon.loss.L2Loss(), REAL, 1),
    ],
)
def test_every_kind_of_targets_takes_weights_on_the_fast_path(loss, y, outputs):
    net, twin = net_of(outputs), net_of(outputs)
    history = fit(net, (X, y), loss=loss, sample_weight=WEIGHTS, epochs=1)
    assert (history.path, history.reason) == ("graph", "")
    with mx.autograd.record():
        each = loss(twin(np.array(X, dtype="float64")), np.array(y, dtype=y.dtype))
        mean = (each * np.array(WEIGHTS, dtype="float64")).mean()
    mean.backward()
    vector = ParameterVector(twin)
    expected = vector.theta.asnumpy() - 0.3 * vector.grad.asnumpy()
    onp.testing.assert_allclose(theta_of(net), expected, rtol=1e-9, atol=1e-12)


def test_weights_reach_sequences_of_labels():
    """One label for each place of an example, whose losses are added up."""
    y = onp.stack([LABELS, LABELS[::-1]], axis=1)

    def loss(outputs, y):
        z = outputs.reshape((-1, 2, 3))
        return -mx_pick(z, y).sum(axis=1)

    def mx_pick(z, y):
        F = mx.sym if isinstance(z, mx.sym.Symbol) else mx
        return F.npx.pick(F.npx.log_softmax(z, axis=-1), y, axis=-1)

    weighted, repeated = net_of(6), net_of(6)
    rows = onp.repeat(onp.arange(N), WEIGHTS)
    fit(weighted, (X, y), loss=loss, sample_weight=WEIGHTS, epochs=2)
    fit(repeated, (X[rows], y[rows]), loss=loss, optimizer=optim.sgd(0.3 * len(rows) / N),
        batch_size=len(rows), epochs=2)  # fmt: skip
    onp.testing.assert_allclose(theta_of(weighted), theta_of(repeated), rtol=1e-9)


# Evaluation.


def test_evaluation_with_weights_is_that_of_examples_repeated():
    net = net_of(3)
    rows = onp.repeat(onp.arange(N), WEIGHTS)
    weighted = training.evaluate(net, (X, LABELS), softmax, 7, sample_weight=WEIGHTS)
    repeated = training.evaluate(net, (X[rows], LABELS[rows]), softmax)
    assert weighted == pytest.approx(repeated, rel=1e-9)
    assert weighted != pytest.approx(training.evaluate(net, (X, LABELS), softmax), rel=1e-3)


def test_validation_is_unweighted_unless_it_has_weights_of_its_own():
    rows = onp.repeat(onp.arange(N), WEIGHTS)
    for given, same in [
        ((X, LABELS), (X, LABELS)), ((X, LABELS, WEIGHTS), (X[rows], LABELS[rows])),
    ]:  # fmt: skip
        for weights in (None, WEIGHTS):
            net = net_of(3)
            row = fit(net, validation=given, sample_weight=weights)[-1]
            found = training.evaluate(net, same, softmax)
            assert row["val_loss"] == pytest.approx(found["loss"], rel=1e-9)
            assert row["val_accuracy"] == pytest.approx(found["accuracy"], rel=1e-9)


# Classes.


def test_balanced_weights_are_those_of_scikit_learn():
    utils = pytest.importorskip("sklearn.utils.class_weight")
    for y in (LABELS, LABELS * 2 - 1, (LABELS > 0).reshape(-1, 1), LABELS.astype("float32")):
        expected = utils.compute_sample_weight("balanced", y.ravel())
        found = example_weights(y, "balanced")
        onp.testing.assert_allclose(found, expected, rtol=1e-12)
        assert found.mean() == pytest.approx(1)
    both = example_weights(LABELS, {1: 30, 2: 0.5}, WEIGHTS)
    expected = onp.choose(LABELS, [1, 30, 0.5]) * WEIGHTS
    assert both.tolist() == expected.tolist()
    assert example_weights(LABELS) is None


def test_class_weights_are_sample_weights():
    one, two = net_of(3), net_of(3)
    fit(one, class_weight={0: 1, 1: 30, 2: 2})
    fit(two, sample_weight=onp.choose(LABELS, [1, 30, 2]))
    assert (theta_of(one) == theta_of(two)).all()


def test_balanced_weights_find_the_rare_class():
    rng = onp.random.default_rng(0)
    x = rng.normal(size=(600, 2))
    y = (rng.random(600) < 0.05).astype("int32")
    x += 1.2 * y[:, None]
    found = {}
    for weight in (None, "balanced"):
        net = layers.mlp(2, [], 2, seed=0)
        row = training.fit(net, (x, y), (x, y), loss=softmax, optimizer=optim.sgd(0.5), epochs=30,
                           class_weight=weight, metrics="balanced_accuracy")[-1]  # fmt: skip
        found[weight] = row["val_balanced_accuracy"]
    assert found["balanced"] > found[None] + 0.15


# Who else sees them.


def test_a_checkpoint_knows_the_weights(tmp_path):
    path = tmp_path / "run"
    fit(net_of(3), epochs=2, sample_weight=WEIGHTS, callbacks=[Checkpoint(path)])
    with pytest.raises(CheckpointError, match="saved by another run"):
        fit(net_of(3), epochs=4, sample_weight=WEIGHTS[::-1], callbacks=[Checkpoint(path)])
    with pytest.raises(CheckpointError, match="saved by another run"):
        fit(net_of(3), epochs=4, callbacks=[Checkpoint(path)])
    resumed, whole = net_of(3), net_of(3)
    fit(resumed, epochs=4, sample_weight=WEIGHTS, callbacks=[Checkpoint(path)])
    fit(whole, epochs=4, sample_weight=WEIGHTS)
    assert (theta_of(resumed) == theta_of(whole)).all()


def test_callbacks_see_labels_and_preflight_takes_weights():
    seen = []

    class Look(training.Callback):
        def on_fit_start(self, run):
            seen.append((run.examples.labels(), run.examples.classifies, len(run.examples)))

    fit(net_of(3), sample_weight=WEIGHTS, callbacks=[Look()])
    assert seen[0][0].tolist() == LABELS.tolist()
    assert seen[0][1:] == (True, N)
    x, y = data.moons(300, rng=0)
    report = checks.preflight(
        layers.mlp(2, [20], 2, "tanh", seed=0), (x, y), loss=softmax, verbose=False,
        optimizer=optim.momentum(0.1), class_weight="balanced", sample_weight=onp.ones(300),
        metrics=["f1"])  # fmt: skip
    assert report.passed


def test_packed_targets_come_back_as_they_were():
    for y in (LABELS, REAL, onp.arange(24).reshape(4, 2, 3), onp.eye(3)[LABELS]):
        loss = Weighted(losses.squared_error, y)
        packed = loss.pack(y, onp.arange(len(y)))
        targets, weights = loss.split(packed)
        assert (targets == y).all()
        assert targets.shape == y.shape
        assert weights.tolist() == list(range(len(y)))
        assert loss.pack(packed) is packed


BAD = {
    "too few": ({"sample_weight": onp.ones(3)}, ValueError, r"shape \(3,\) for the 60 examples"),
    "a column": ({"sample_weight": onp.ones((N, 1))}, ValueError, r"shape \(60, 1\).*\(60,\)"),
    "negative": ({"sample_weight": -onp.ones(N)}, ValueError, "from -1 to -1; expected .*least"),
    "all zero": ({"sample_weight": onp.zeros(N)}, ValueError, "from 0 to 0; .*not all 0"),
    "NaN": ({"sample_weight": onp.full(N, onp.nan)}, ValueError, "60 values that are NaN"),
    "a number": ({"sample_weight": 3.0}, TypeError, "sample_weight is a float"),
    "another word": ({"class_weight": "equal"}, ValueError, 'is .equal.; expected "balanced"'),
    "a list of weights": ({"class_weight": [1, 30]}, TypeError, r"is \[1, 30\]; expected"),
    "a class by name": ({"class_weight": {"0": 1}}, ValueError, "has '0', which is no class"),
    "a class too far": ({"class_weight": {0: 1, 3: 9}}, ValueError, "has 3, .*there are 0, 1, 2"),
    "a weight by name": ({"class_weight": {0: "much"}}, TypeError, "the weight 'much'; expected"),
    "weights of one-hot rows": (
        {"train": (X, onp.eye(3)[LABELS]), "class_weight": "balanced"}, ValueError,
        r"needs class labels.*\(60, 3\).*y\.argmax\(axis=1\)",
    ),
    "weights of real targets": (
        {"train": (X, REAL), "loss": losses.squared_error, "class_weight": "balanced"},
        ValueError, "class_weight needs class labels.*sample_weight",
    ),
    "a loss of one value": (
        {"loss": lambda outputs, y: softmax(outputs, y).mean(), "sample_weight": WEIGHTS},
        ValueError, r"returned shape \(\); weights need one value for each of the 2 examples",
    ),
    "a loss that is none": ({"loss": 3, "sample_weight": WEIGHTS}, TypeError, "loss is 3; exp"),
    "labels out of range": (
        {"train": (X, LABELS + 1), "sample_weight": WEIGHTS}, ValueError, "out of range, the fi",
    ),
    "weights of the validation": (
        {"validation": (X, LABELS, onp.ones(4))}, ValueError, "the 60 examples of validation",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_weight_is_refused_before_any_work(name):
    settings, error, message = BAD[name]
    net = net_of(1 if name == "weights of real targets" else 3)
    before = theta_of(net)
    with pytest.raises(error, match=f"(?s){message}"):
        fit(net, **settings)
    assert (theta_of(net) == before).all()


def test_an_objective_has_its_weights_inside():
    from nnbook import objective

    one = objective.from_function(lambda t: t @ t, lambda t: 2 * t, onp.ones(2))
    for given in ("class_weight", "sample_weight", "augment", "metrics"):
        with pytest.raises(TypeError, match=f"objective has its data.*{given}"):
            training.fit(one, optimizer=optim.sgd(0.1), **{given: "accuracy"})
