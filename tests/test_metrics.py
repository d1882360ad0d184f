"""Metrics beside the loss, by name or any function; accuracy of one output."""

from __future__ import annotations

import numpy as onp
import pytest

from nnbook import layers, losses, optim, training
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx
from nnbook.training import EarlyStopping

RNG = onp.random.default_rng(5)
N = 80
X = RNG.normal(size=(N, 4)).astype("float32")
TWO = (X[:, 0] + RNG.normal(size=N) > 0.8).astype("int32")
THREE = TWO + (X[:, 1] > 1).astype("int32")
REAL = X[:, :2] @ onp.array([[1.0, 0.5], [2.0, -1.0]]) + RNG.normal(size=(N, 2))
sigmoid, softmax = losses.sigmoid_cross_entropy, losses.softmax_cross_entropy


def of_signs(outputs, y):
    """The squared error to −1 and 1, which decides at 0."""
    return losses.squared_error(outputs, y)


of_signs.targets, of_signs.threshold = "signs", 0.0


def make(outputs, seed=1):
    return layers.mlp(4, [6], outputs, activation="tanh", seed=seed)


def fit(net, y, loss, **settings):
    defaults = {"optimizer": optim.sgd(0.3), "batch_size": 8, "epochs": 2}
    return training.fit(net, (X, y), (X, y), loss=loss, **{**defaults, **settings})


def test_the_named_metrics_are_those_of_scikit_learn():
    known = pytest.importorskip("sklearn.metrics")
    for y, loss, outputs in [
        (TWO, sigmoid, 1), (TWO.reshape(-1, 1).astype("float32"), sigmoid, 1), (TWO, softmax, 2)
    ]:  # fmt: skip
        net = make(outputs)
        names = ["accuracy", "balanced_accuracy", "f1", "auc"]
        row = fit(net, y, loss, metrics=names)[-1]
        z = training.example_outputs(net, X)
        classes = z.argmax(axis=1) if outputs == 2 else (z[:, 0] > 0).astype(int)
        score = z[:, 1] - z[:, 0] if outputs == 2 else z[:, 0]
        assert 0 < classes.sum() < N
        expected = [
            known.accuracy_score(TWO, classes),
            known.balanced_accuracy_score(TWO, classes),
            known.f1_score(TWO, classes),
            known.roc_auc_score(TWO, score),
        ]
        assert [row[f"val_{name}"] for name in names] == pytest.approx(expected, rel=1e-12)
    net = make(3)
    row = fit(net, THREE, softmax, metrics="balanced_accuracy")[-1]
    classes = training.example_outputs(net, X).argmax(axis=1)
    expected = known.balanced_accuracy_score(THREE, classes)
    assert row["val_balanced_accuracy"] == pytest.approx(expected, rel=1e-12)
    net = make(2)
    row = fit(net, REAL, losses.squared_error, metrics=["rmse", "mae", "r2"])[-1]
    a = training.example_outputs(net, X)
    expected = [known.mean_squared_error(REAL, a) ** 0.5, known.mean_absolute_error(REAL, a)]
    assert [row["val_rmse"], row["val_mae"]] == pytest.approx(expected, rel=1e-6)
    assert row["val_r2"] == pytest.approx(known.r2_score(REAL, a), rel=1e-5)


def test_ties_count_half_in_the_area_under_the_curve():
    found = training.evaluate(
        lambda_net(), (onp.zeros((4, 1), "float32"), onp.array([0, 1, 1, 0])), sigmoid,
        metrics="auc")  # fmt: skip
    assert found["auc"] == 0.5


def lambda_net():
    return layers.mlp(1, [], 1, seed=0)


def test_any_function_is_a_metric_of_targets_and_outputs():
    seen = []

    def spread(y, outputs):
        seen.append((y, outputs))
        return onp.float32(outputs.std())

    net = make(1)
    history = fit(net, TWO, sigmoid, metrics={"spread": spread, "area": "auc"})
    assert history.columns[-2:] == ["val_spread", "val_area"]
    assert isinstance(history[-1]["val_spread"], float)
    y, outputs = seen[-1]
    assert y.tolist() == TWO.tolist()
    assert (outputs == training.example_outputs(net, X)).all()
    assert history[-1]["val_spread"] == pytest.approx(float(outputs.std()))
    assert len(seen) == 3  # tried before training, then after each epoch
    assert "val_spread" in fit(make(1), TWO, sigmoid, metrics=spread).columns


def test_metrics_change_nothing_and_can_be_watched():
    plain, measured = make(1), make(1)
    kept = fit(plain, TWO, sigmoid, epochs=4)
    history = fit(measured, TWO, sigmoid, epochs=4, metrics=["auc"], sample_weight=onp.ones(N),
                  callbacks=[EarlyStopping("val_auc", patience=9)])  # fmt: skip
    assert kept["val_loss"].tolist() == history["val_loss"].tolist()
    best = history.best("val_auc", smaller_is_better=False)
    again = training.evaluate(measured, (X, TWO), "sigmoid_cross_entropy", metrics=["auc", "f1"])
    assert again["auc"] == best["val_auc"]
    assert list(again) == ["loss", "accuracy", "auc", "f1"]


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (sigmoid, TWO),
        (sigmoid, TWO.astype("float32").reshape(-1, 1)),
        (mx.gluon.loss.SigmoidBinaryCrossEntropyLoss(), TWO.astype("float64")),
        (of_signs, (2.0 * TWO - 1).reshape(-1, 1)),
        (of_signs, 2 * TWO - 1),
    ],
)
def test_one_output_has_an_accuracy_by_itself(loss, y):
    net = make(1)
    row = fit(net, y, loss)[-1]
    right = (training.example_outputs(net, X)[:, 0] > 0) == (TWO == 1)
    assert row["val_accuracy"] == pytest.approx(right.mean())


def test_probabilities_and_real_targets_have_none():
    soft = onp.clip(TWO * 0.8 + 0.1, 0, 1).astype("float32")
    assert "val_accuracy" not in fit(make(1), soft, sigmoid).columns
    assert "val_accuracy" not in fit(make(2), REAL, losses.squared_error).columns
    with pytest.raises(ValueError, match="expects −1 or 1"):
        fit(make(1), TWO, of_signs)


BAD = {
    "an unknown name": ({"metrics": "recall"}, ValueError, "'recall'; expected one of 'accuracy'"),
    "a number": ({"metrics": [3]}, TypeError, "metrics has 3; expected names, or functions"),
    "one twice": ({"metrics": ["auc", "auc"]}, ValueError, "'auc' twice"),
    "the loss": ({"metrics": {"loss": "auc"}}, ValueError, "no 'loss'"),
    "text": ({"metrics": {"own": lambda y, z: "good"}}, TypeError, "own returned 'good'; expected"),
    "an array": ({"metrics": {"own": lambda y, z: z}}, TypeError, "own returned .*a number"),
    "nothing to measure": (
        {"metrics": "auc", "validation": None}, ValueError, "no validation data.*validation="
    ),
    "classes of real targets": (
        {"metrics": "accuracy", "y": X[:, 0], "loss": losses.squared_error, "outputs": 1},
        ValueError, "the targets are no classes",
    ),
    "an area of three": ({"metrics": "auc", "y": THREE, "outputs": 3}, ValueError, "auc needs two"),
    "an area of one class": (
        {"metrics": "auc", "y": 0 * TWO}, ValueError, "auc has 2 outputs and 0 of 80"
    ),
    "f1 of three": ({"metrics": "f1", "y": THREE, "outputs": 3}, ValueError, "f1 needs two"),
    "errors of classes": ({"metrics": "rmse"}, ValueError, r"y has shape \(80,\), the outputs"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_measured_is_said_before_any_work(name):
    settings, error, message = BAD[name]
    settings = {"y": TWO, "loss": softmax, "outputs": 2, "validation": ..., **settings}
    y, net = settings.pop("y"), make(settings.pop("outputs"))
    if settings["validation"] is ...:
        settings["validation"] = (X, y)
    before = ParameterVector(net).theta.asnumpy()
    with pytest.raises(error, match=f"(?s){message}"):
        training.fit(net, (X, y), optimizer=optim.sgd(0.1), epochs=1, **settings)
    assert (ParameterVector(net).theta.asnumpy() == before).all()


def test_larger_is_better_by_the_names_of_scikit_learn():
    for name in ("average_precision_score", "recall", "precision", "f1", "balanced_accuracy"):
        assert training.EarlyStopping(f"val_{name}").smaller_is_better is False, name
    for name in ("loss", "brier_score_loss", "rmse", "mean_squared_error"):
        assert training.EarlyStopping(f"val_{name}").smaller_is_better is True, name
