"""Configurations that are evaluated by training populations of networks."""

import numpy as np
import pytest

from nnbook import data, layers, losses, optim, schedules, search
from nnbook.population import fit_population
from nnbook.runtime import mx
from nnbook.search import categorical, integer, log
from nnbook.training import EarlyStopping, History, fit

TRAIN, VALIDATION = data.moons(120, rng=0), data.moons(60, rng=1)
SPACE = search.Space(learning_rate=log(0.01, 1), hidden=integer(2, 8))


def trainer(**settings):
    defaults = {
        "build": lambda c, seed: layers.mlp(2, [c["hidden"]], 2, activation="tanh", seed=seed),
        "optimizer": lambda c: optim.momentum(c["learning_rate"], momentum=0.9),
        "train": TRAIN,
        "validation": VALIDATION,
        "loss": losses.softmax_cross_entropy,
        "batch_size": 20,
        "epochs": 3,
    }
    return search.TrainPopulation(**{**defaults, **settings})


@pytest.fixture
def stacks(monkeypatch):
    """The sizes of the populations that are trained."""
    sizes = []

    def counted(nets, *args, **kwargs):
        sizes.append(len(nets))
        return fit_population(nets, *args, **kwargs)

    monkeypatch.setattr("nnbook.search.training.fit_population", counted)
    return sizes


def test_every_row_is_the_network_trained_alone(stacks):
    grid = search.GridSearch(SPACE, points={"learning_rate": 3, "hidden": [3, 6]}, seeds=[0, 4])
    found = grid.run(evaluate_many=trainer())
    assert sorted(stacks) == [6, 6]  # all rates and seeds of a width in one population
    for row in found:
        net = layers.mlp(2, [row["hidden"]], 2, activation="tanh", seed=row["seed"])
        history = fit(
            net, TRAIN, VALIDATION, loss=losses.softmax_cross_entropy, batch_size=20, epochs=3,
            optimizer=optim.momentum(row["learning_rate"], momentum=0.9), seed=row["seed"],
            progress=False,
        )  # fmt: skip
        best = history.best("val_loss")
        assert row["value"] == row["val_loss"]
        assert row["value"] == pytest.approx(best["val_loss"], rel=1e-4)
        assert row["val_accuracy"] == pytest.approx(best["val_accuracy"], abs=1 / 60 + 1e-9)
        assert row["epoch"] == best["epoch"]
        assert row["seconds"] > 0


def test_what_is_not_alike_is_not_stacked(stacks):
    space = search.Space(
        rule=categorical(["sgd", "adam"]),
        batch_size=categorical([10, 20]),
        weight_decay=log(1e-4, 1e-2),
        hidden=categorical([(3,), (3, 3)]),
    )
    found = search.GridSearch(space, points=2).run(
        evaluate_many=trainer(
            build=lambda c, seed: layers.mlp(2, c["hidden"], 2, seed=seed),
            optimizer=lambda c: {"sgd": optim.sgd, "adam": optim.adam}[c["rule"]](0.01),
            batch_size=lambda c: c["batch_size"],
            epochs=lambda c: 1,
            penalty=lambda c: losses.l2_penalty(c["weight_decay"]),
        )
    )
    assert len(found.complete) == 16
    assert stacks == 4 * [4]  # rules and penalties may differ, networks and batches may not


def own_rule(g, buffers, theta, rate, t):
    return -rate * np.sign(g), ()


def test_rules_of_one_population_may_be_of_any_kind(stacks):
    rules = {
        "sgd": optim.sgd(0.3),
        "schedule": optim.sgd(schedules.step_decay(0.5, 0.5, 4)),
        "adam": optim.adam(0.01),
        "own": optim.Optimizer("sgd", 0.01, {}, 0, own_rule),
        "composed": optim.chain(optim.clip(0.1), optim.momentum(0.3)),
    }
    space = search.Space(rule=categorical(list(rules)), hidden=categorical([4]))
    found = search.GridSearch(space).run(trainer(optimizer=lambda c: rules[c["rule"]]))
    assert stacks == [5]
    for row in found:
        net = layers.mlp(2, [4], 2, activation="tanh", seed=0)
        history = fit(
            net, TRAIN, VALIDATION, loss=losses.softmax_cross_entropy, batch_size=20, epochs=3,
            optimizer=rules[row["rule"]], seed=0, progress=False,
        )  # fmt: skip
        assert row["value"] == pytest.approx(history.best("val_loss")["val_loss"], rel=1e-4)
    assert len({round(value, 6) for value in found["value"]}) == 5


def test_a_trainer_may_stand_where_a_function_does():
    grid = search.GridSearch(SPACE, points=2)
    np.testing.assert_array_equal(
        grid.run(trainer())["value"], grid.run(evaluate_many=trainer())["value"]
    )


def test_the_best_epoch_is_none_without_a_loss(monkeypatch):
    rows = [
        {"val_loss": loss, "val_accuracy": accuracy, "train_loss": 1.0, "epoch": k, "seconds": 1.0}
        for k, (loss, accuracy) in enumerate([(np.nan, 0.9), (2.0, 0.5), (np.inf, 1.0), (3.0, 0.6)])
    ]
    monkeypatch.setattr("nnbook.search.training.fit_population", lambda *a, **k: [History(rows)])
    one = [{"learning_rate": 0.1, "hidden": 2}], [0]
    assert [(r["value"], r["epoch"]) for r in trainer()(*one)] == [(2.0, 1)]
    assert [(r["value"], r["epoch"]) for r in trainer(value="val_error")(*one)] == [(0.4, 3)]
    del rows[1], rows[2]
    (lost,) = trainer()(*one)
    assert isinstance(lost, FloatingPointError)
    assert "not finite after any epoch" in str(lost)


def test_schedules_of_one_population(stacks):
    rates = {0.1: 0.1, 1.0: 0.1}
    space = search.Space(learning_rate=categorical([0.1, 1.0, 0.5]), hidden=categorical([4]))

    def optimizer(c):
        rate = rates.get(c["learning_rate"], c["learning_rate"])
        return optim.sgd(schedules.step_decay(rate, 0.5, 3))

    found = search.GridSearch(space).run(evaluate_many=trainer(optimizer=optimizer))
    assert stacks == [3]
    assert found["value"][0] == pytest.approx(found["value"][1], rel=1e-5)
    assert found["value"][0] != pytest.approx(found["value"][2], rel=1e-5)


def test_value_and_epoch():
    grid = search.GridSearch(SPACE, points={"learning_rate": 2, "hidden": [4]})
    best = grid.run(evaluate_many=trainer(epochs=6))
    last = grid.run(evaluate_many=trainer(epochs=6, epoch="last"))
    error = grid.run(evaluate_many=trainer(epochs=6, value="val_error"))
    assert (best["value"] <= last["value"]).all()
    assert set(last["epoch"]) == {6}
    np.testing.assert_allclose(error["value"], 1 - error["val_accuracy"])
    assert (error["value"] <= 1 - best["val_accuracy"] + 1e-12).all()


def test_early_stopping():
    stopped = search.GridSearch(SPACE, points={"learning_rate": [1.0], "hidden": [4]}).run(
        evaluate_many=trainer(epochs=60, early_stopping=EarlyStopping("val_loss", patience=2))
    )
    assert stopped["epoch"][0] < 58


@pytest.mark.filterwarnings("ignore:.*overflow.*")
def test_divergence_and_bad_configurations_are_recorded(stacks):
    def build(c, seed):
        if c["hidden"] == 7:
            raise ValueError("unlucky")
        return layers.mlp(2, [c["hidden"]], 2, activation="relu", seed=seed)

    space = search.Space(learning_rate=categorical([0.1, 1e30]), hidden=integer(6, 7))
    found = search.GridSearch(space, points=2).run(
        evaluate_many=trainer(build=build, optimizer=lambda c: optim.sgd(c["learning_rate"])),
        catch=(FloatingPointError, ValueError),
    )
    assert found["state"].tolist() == ["complete", "failed", "failed", "failed"]
    assert found["error"].tolist()[1] == "ValueError: unlucky"
    assert found["error"].tolist()[2].startswith("FloatingPointError: the loss is not finite in")
    assert stacks == [2]


def only_forwards(g, buffers, theta, rate, t):
    if np.any(np.asarray(rate) < 0):
        raise ValueError("a negative learning_rate")
    return -rate * g, ()


def test_a_stack_that_raises_is_trained_one_by_one():
    space = search.Space(learning_rate=categorical([0.1, -1.0, 0.2]), hidden=integer(3, 4))
    found = search.GridSearch(space, points={"hidden": [3]}).run(
        evaluate_many=trainer(
            optimizer=lambda c: optim.Optimizer("sgd", c["learning_rate"], {}, 0, only_forwards)
        ),
        catch=ValueError,
    )
    assert found["state"].tolist() == ["complete", "failed", "complete"]
    assert "learning_rate" in found["error"][1]


def test_on_another_device_and_hybridised():
    def build(c, seed):
        net = layers.mlp(2, [c["hidden"]], 2, activation="tanh", seed=seed, device="cpu(1)")
        net.hybridize()
        return net

    grid = search.GridSearch(SPACE, points=2, seeds=2)
    there = grid.run(evaluate_many=trainer(build=build))
    assert build({"hidden": 3}, 0)[0].weight.data().ctx == mx.cpu(1)
    np.testing.assert_allclose(
        there["value"], grid.run(evaluate_many=trainer())["value"], rtol=1e-4
    )


def test_networks_that_no_stack_can_hold():
    def build(c, seed):
        net = layers.mlp(2, [c["hidden"]], 2, activation="tanh", seed=seed)
        net[0].register_forward_hook(lambda *args: None)
        return net

    grid = search.GridSearch(SPACE, points={"learning_rate": 2, "hidden": [4]})
    np.testing.assert_allclose(
        grid.run(evaluate_many=trainer(build=build))["value"],
        grid.run(evaluate_many=trainer())["value"],
        rtol=1e-4,
    )


def test_it_resumes(tmp_path):
    grid = search.GridSearch(SPACE, points=2, seeds=2)
    first = grid.run(evaluate_many=trainer(), batch=3, path=tmp_path / "study")
    again = grid.run(evaluate_many=lambda *args: pytest.fail("it ran"), path=tmp_path / "study")
    assert again["value"].tolist() == first["value"].tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"value": "loss"}, "value is 'loss'"), ({"epoch": "first"}, "epoch is 'first'")],
)
def test_wrong_settings(change, message):
    with pytest.raises(ValueError, match=message):
        trainer(**change)
