"""A run is the same run only if all that changes its result is the same."""

from __future__ import annotations

import functools

import numpy as onp
import pytest

from nnbook import data, ensemble, layers, losses, optim, schedules
from nnbook.gluon.losses import softmax_cross_entropy as CE
from nnbook.objective import from_function
from nnbook.runtime import mx
from nnbook.training import (
    Callback,
    Checkpoint,
    CheckpointError,
    EarlyStopping,
    ReduceOnPlateau,
    fit,
)
from nnbook.training.identity import IdentityError, describe

nn = mx.gluon.nn
X, Y = data.moons(40, rng=0)
X = X.astype("float32")
VALIDATION = (X[:10], Y[:10])


def net(dropout=0.2, activation="tanh"):
    return layers.mlp(2, [4], 2, activation, dropout=dropout, seed=0)


def normalised(momentum=0.9):
    chain = nn.HybridSequential()
    chain.add(nn.Dense(4, in_units=2), nn.BatchNorm(in_channels=4, momentum=momentum))
    chain.add(nn.Dense(2, in_units=4))
    chain.initialize()
    return chain


def scaled(factor):
    def loss(outputs, targets):
        return factor * CE(outputs, targets)

    return loss


class Weighted:
    def __init__(self, weight):
        self.weight = weight

    def __call__(self, outputs, targets):
        return self.weight * CE(outputs, targets)


def train(path, model=None, data_=(X, Y), callbacks=(), **changed):
    settings = {"loss": CE, "optimizer": optim.sgd(0.1), "epochs": 2, "batch_size": 8}
    settings |= {"validation": VALIDATION, "progress": False, **changed}
    callbacks = [*callbacks, Checkpoint(path)]
    return fit(net() if model is None else model, data_, callbacks=callbacks, **settings)


def factor_scheduler(factor):
    scheduler = mx.lr_scheduler.FactorScheduler(step=3, factor=factor, base_lr=0.1)
    return mx.optimizer.SGD(learning_rate=0.1, lr_scheduler=scheduler)


CHANGES = {
    "dropout": ({"model": lambda: net(0.2)}, {"model": lambda: net(0.5)}, "network"),
    "activation": ({}, {"model": lambda: net(activation="relu")}, "network"),
    "momentum of a normalisation": (
        {"model": lambda: normalised(0.9)}, {"model": lambda: normalised(0.5)}, "network",
    ),
    "what a loss has closed over": ({"loss": scaled(1.0)}, {"loss": scaled(2.0)}, "loss"),
    "a loss's parameter": ({"loss": Weighted(1.0)}, {"loss": Weighted(2.0)}, "loss"),
    "a loss's partial": (
        {"loss": functools.partial(CE)}, {"loss": functools.partial(losses.hinge)}, "loss",
    ),
    "a Gluon loss's weight": (
        {"loss": mx.gluon.loss.SoftmaxCrossEntropyLoss(weight=1.0)},
        {"loss": mx.gluon.loss.SoftmaxCrossEntropyLoss(weight=2.0)}, "loss",
    ),
    "a schedule": (
        {"optimizer": optim.sgd(schedules.cosine(0.1, 10))},
        {"optimizer": optim.sgd(schedules.cosine(0.1, 20))}, "optimizer",
    ),
    "a schedule without a name": (
        {"optimizer": optim.sgd(lambda step: 0.1)}, {"optimizer": optim.sgd(lambda step: 0.2)},
        "optimizer",
    ),
    "MXNet's scheduler": (
        {"optimizer": factor_scheduler(0.9)}, {"optimizer": factor_scheduler(0.5)}, "optimizer",
    ),
    "a chain": (
        {"optimizer": optim.chain(optim.clip(1.0), optim.sgd(0.1))},
        {"optimizer": optim.chain(optim.clip(2.0), optim.sgd(0.1))}, "optimizer",
    ),
    "rates for every parameter": (
        {"optimizer": optim.sgd(onp.full(22, 0.1))}, {"optimizer": optim.sgd(onp.full(22, 0.2))},
        "optimizer",
    ),
    "a penalty": (
        {"penalty": losses.l2_penalty(0.1)}, {"penalty": losses.l2_penalty(0.2)}, "penalty",
    ),
    "validation data": ({}, {"validation": (X[10:20], Y[10:20])}, "validation"),
    "an order": (
        {"order": data.class_balanced(Y)}, {"order": data.class_balanced(1 - Y)}, "order",
    ),
    "an average": (
        {"callbacks": [ensemble.EMA(0.9)]}, {"callbacks": [ensemble.EMA(0.5)]}, "callbacks",
    ),
    "when to stop": (
        {"callbacks": [EarlyStopping(patience=5)]}, {"callbacks": [EarlyStopping(patience=1)]},
        "callbacks",
    ),
    "when to cut the rate": (
        {"callbacks": [ReduceOnPlateau(patience=5)]}, {"callbacks": [ReduceOnPlateau(patience=4)]},
        "callbacks",
    ),
}  # fmt: skip


def made(settings):
    return {k: v() if k == "model" else v for k, v in settings.items()}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_noticed_and_named(name, tmp_path):
    first, second, part = CHANGES[name]
    train(tmp_path / "run", **made(first))
    with pytest.raises(CheckpointError, match=rf"another run \({part} was "):
        train(tmp_path / "run", **made(second))


@pytest.mark.parametrize("name", CHANGES)
def test_the_same_is_the_same(name, tmp_path):
    first, _, _ = CHANGES[name]
    one = train(tmp_path / "run", **made(first))
    again = train(tmp_path / "run", **made(first), epochs=3)
    assert again["train_loss"][:2].tolist() == one["train_loss"].tolist()


def test_callbacks_without_a_memory_may_come_and_go(tmp_path):
    class Quiet(Callback):
        """Look on."""

    train(tmp_path / "run")
    assert len(train(tmp_path / "run", callbacks=[Quiet()], epochs=3)) == 3


def test_what_cannot_be_described_is_refused_before_any_work(tmp_path):
    class Opaque:
        __slots__ = ()

        def __call__(self, outputs, targets):
            return CE(outputs, targets)

    model = net()
    before = [p.data().asnumpy() for p in model.collect_params().values()]
    with pytest.raises(CheckpointError, match=r"the run's loss cannot be described.*identity\(\)"):
        train(tmp_path / "run", model=model, loss=Opaque())
    for parameter, value in zip(model.collect_params().values(), before, strict=True):
        assert (parameter.data().asnumpy() == value).all()

    class Told(Opaque):
        def identity(self):
            return "cross-entropy, as usual"

    assert len(train(tmp_path / "run", loss=Told())) == 2


def test_an_objective_is_told_apart_by_its_functions(tmp_path):
    def bowl(depth):
        return from_function(
            lambda t: depth * float(t @ t), lambda t: 2 * depth * t, onp.array([1.0, 2.0])
        )

    def run(objective, epochs=3):
        options = {"optimizer": optim.sgd(0.1), "progress": False, "epochs": epochs}
        return fit(objective, callbacks=[Checkpoint(tmp_path / "run")], **options)

    run(bowl(1.0))
    resumed = bowl(1.0)
    assert len(run(resumed, epochs=5)) == 5
    alone = bowl(1.0)
    fit(alone, optimizer=optim.sgd(0.1), epochs=5, progress=False)
    onp.testing.assert_array_equal(resumed.theta, alone.theta)
    with pytest.raises(CheckpointError, match="network was"):
        run(bowl(2.0))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2), (1, True), ("a", "b"), ([1, 2], [2, 1]), ({"a": 1}, {"a": 2}), (0.1, 0.2),
        (onp.zeros(2), onp.zeros(3)), (onp.zeros(2), onp.zeros(2, "float32")),
        (onp.sin, onp.cos), (len, sum), (dict, list), (X.sum, Y.sum),
    ],
)  # fmt: skip
def test_descriptions_tell_things_apart(one, other):
    assert describe(one) == describe(one)
    assert describe(one) != describe(other)


def test_a_thing_that_holds_itself_is_described():
    class Ring:
        def __init__(self):
            self.other = self

    assert describe(Ring()) == describe(Ring())


def test_arrays_of_objects_cannot_be_described():
    with pytest.raises(IdentityError, match="has no bytes of its own"):
        describe(onp.array([object()]))
