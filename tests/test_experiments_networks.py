"""Experiments with networks: trained on a task of the panel, those that are alike together."""

from __future__ import annotations

import pytest

from nnbook import data, experiments, layers, losses, optim, search, training
from nnbook.experiments import Arm, Experiment, TrainOnTask

WINE = experiments.task("wine")


def perceptron(seed, task, hidden=8):
    return layers.mlp(task.features, [hidden], task.outputs, "tanh", seed=seed)


def test_networks_on_a_task():
    trainer = TrainOnTask(WINE, perceptron, optim.sgd, batch_size=15, epochs=6, target=0.3)
    given = [Arm("narrow", hidden=2, learning_rate=search.log(0.03, 3)),
             Arm("wide", hidden=16, learning_rate=search.log(0.03, 3))]  # fmt: skip
    settings = {"metric": "test_error", "choose_by": "val_loss", "trials": 4, "tuning_seeds": 2}
    outcome = Experiment(given, run_many=trainer, **settings).run([5, 6])
    assert outcome.values()["wide"].mean() < 0.15 < WINE.chance_error
    assert "initial weights and order" in outcome.covers
    row = outcome.rows[-1]
    assert row["steps"] == 36
    assert row["gradient_evaluations"] == 540
    assert row["steps_to_target"] == 6 * row["epochs_to_target"]
    again = Experiment(given, run_many=trainer, **settings).run([5, 6])
    assert again.values()["wide"].tolist() == outcome.values()["wide"].tolist()


def test_a_member_is_the_network_trained_alone():
    trainer = TrainOnTask(WINE, perceptron, optim.sgd, batch_size=15, epochs=3, epoch="last")
    together = trainer([{"learning_rate": 0.1}, {"learning_rate": 0.5}], [4, 4])
    x, y, x_val, y_val, x_test, y_test = WINE.draw(4)
    net = perceptron(4, WINE)
    history = training.fit(
        net, (x, y), (x_val, y_val), loss=losses.softmax_cross_entropy, optimizer=optim.sgd(0.5),
        batch_size=15, epochs=3, seed=4, progress=False,
    )  # fmt: skip
    assert together[1]["val_loss"] == pytest.approx(history[-1]["val_loss"], rel=1e-4)
    right = training.evaluate(net, (x_test, y_test), losses.softmax_cross_entropy)
    assert together[1]["test_error"] == pytest.approx(1 - right["accuracy"])
    assert together[0]["test_loss"] != together[1]["test_loss"]


def test_regression_and_divergence():
    trainer = TrainOnTask(experiments.task("diabetes"), perceptron, optim.sgd, epochs=3)
    good, bad = trainer([{"learning_rate": 0.01}, {"learning_rate": 1e9}], [1, 1])
    assert good["test_error"] < 0.9
    assert bad["diverged"]
    assert (bad["test_error"], bad["val_loss"]) == (1.0, 0.5)


def test_functions_get_the_knobs_that_they_name():
    seen = {}

    def rule(learning_rate, steps):
        seen["steps"] = steps
        return optim.sgd(learning_rate)

    def prepare(sets, inputs):
        return [part + inputs if part.ndim == 2 else part for part in sets]

    def measure(history, net, sets):
        return {"level": float(sets.x_train.mean()), "layers": len(net)}

    trainer = TrainOnTask(WINE, perceptron, rule, epochs=2, prepare=prepare, measure=measure)
    raw, shifted = trainer(
        [{"inputs": 0.0, "learning_rate": 0.1, "batch_size": 30},
         {"inputs": 5.0, "learning_rate": 0.1, "epochs": 1}], [1, 1],
    )  # fmt: skip
    assert shifted["level"] == pytest.approx(raw["level"] + 5, abs=1e-3)
    assert (raw["steps"], shifted["steps"]) == (6, 5)
    assert seen["steps"] == 5
    with pytest.raises(TypeError, match="no function names the knob 'momentum'"):
        Experiment([Arm("a", inputs=0.0, learning_rate=0.1, momentum=0.9)], run_many=trainer)
    with pytest.raises(TypeError, match="no function names the knob 'momentum'"):
        trainer([{"inputs": 0.0, "learning_rate": 0.1, "momentum": 0.9}], [1])
    with pytest.raises(TypeError, match="task is 'wine'"):
        TrainOnTask("wine", perceptron, rule)


def test_arms_may_differ_in_order_and_loss():
    def prepare(sets, loss):
        squares = loss is losses.squared_error
        encode = data.encode_targets
        return [encode(part, 3) if squares and part.ndim == 1 else part for part in sets]

    def order(sets, balanced):
        return data.class_balanced(sets.y_train) if balanced else None

    trainer = TrainOnTask(WINE, perceptron, optim.sgd, epochs=5, order=order, prepare=prepare)
    entropy = losses.softmax_cross_entropy
    given = [
        Arm("entropy", loss=entropy, balanced=False, learning_rate=0.3),
        Arm("balanced", loss=entropy, balanced=True, learning_rate=0.3),
        Arm("squares", loss=losses.squared_error, balanced=False, learning_rate=0.1),
    ]
    outcome = Experiment(given, run_many=trainer, metric="test_error").run([0, 1])
    assert all(errors.max() < 0.3 for errors in outcome.values().values())
    values = outcome.values("val_loss")
    assert (values["entropy"] != values["balanced"]).all()
    assert "tuning" not in outcome.covers
