"""What travels to a worker process, or into a cache, arrives as it was."""

from __future__ import annotations

import copy
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, is_dataclass

import numpy as onp
import pytest

import nnbook
from nnbook import (
    checks,
    claims,
    data,
    ensemble,
    layers,
    losses,
    monitors,
    optim,
    population,
    schedules,
    search,
    training,
)
from nnbook.runtime import mx, np

X, Y = data.moons(40, rng=0)
SETTINGS = {"loss": losses.softmax_cross_entropy, "progress": False}


def round_trip(thing):
    return pickle.loads(pickle.dumps(thing))


# ------------------------------------------------------------------ exceptions


def exceptions():
    """Every exception and warning class that the package defines."""
    found = set()
    for module in pkgutil.walk_packages(nnbook.__path__, "nnbook."):
        if module.name.endswith("__main__"):
            continue
        for thing in vars(importlib.import_module(module.name)).values():
            if isinstance(thing, type) and issubclass(thing, BaseException):
                found.add(thing)
    return sorted((e for e in found if e.__module__.startswith("nnbook")), key=lambda e: e.__name__)


ARGUMENTS = {
    "DivergedError": (2, 7, 0.5, training.History([{"epoch": 1, "train_loss": 3.0}])),
    "MemberError": ("member 1 has died", 1),
}


def test_the_exceptions_are_found():
    names = {error.__name__ for error in exceptions()}
    assert {"DivergedError", "CheckpointError", "CheckpointWarning", "LostViewError"} <= names


@pytest.mark.parametrize("kind", exceptions(), ids=lambda kind: kind.__name__)
def test_exceptions(kind):
    error = kind(*ARGUMENTS.get(kind.__name__, ("what happened",)))
    error.__dict__["note"] = "mine"
    for again in (round_trip(error), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is kind
        assert str(again) == str(error)
        assert repr(vars(again)) == repr(vars(error))


def diverge(rate):
    x, y = data.two_gaussians(20, rng=0)
    net = layers.mlp(2, [], 1, seed=0)
    history = training.fit(
        net, (x, y), loss=losses.squared_error, optimizer=optim.sgd(rate), epochs=9, progress=False
    )
    return history[-1]["train_loss"]


def test_diverged_error_out_of_a_worker():
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        error = pool.submit(diverge, 1e9).exception(timeout=120)
        assert isinstance(error, training.DivergedError)
        assert error.learning_rate == 1e9
        assert error.epoch >= 1
        assert len(error.history) == error.epoch - 1
        # The pool goes on, with what it gives in this process.
        assert pool.submit(diverge, 0.1).result(timeout=120) == diverge(0.1)


# ------------------------------------------------------------------ rules, schedules, orders

RATES = [0.1, onp.float32(0.1), onp.array([0.1, 0.2]), schedules.cosine(0.1, 10)]
RULES = [optim.sgd, optim.momentum, optim.nesterov, optim.adagrad, optim.rmsprop, optim.adam]
RULES += [optim.adamw]


@pytest.mark.parametrize("make", RULES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("rate", RATES, ids=repr)
def test_rules(make, rate):
    rule = make(rate)
    again = round_trip(rule)
    assert again == rule
    assert hash(again) == hash(rule)
    assert repr(again) == repr(rule)
    assert "def _" in inspect.getsource(again.rule)  # pages show it
    theta = onp.array([1.0, -2.0])
    state, other = rule.init(theta), again.init(theta)
    for _ in range(3):
        step, state = rule.update(theta, state, theta)
        same, other = again.update(theta, other, theta)
        assert (step == same).all()


def test_rules_of_mxnet():
    rule = optim.from_mxnet(mx.optimizer.Adam(learning_rate=0.1))
    found = [optim.trajectory(one, lambda t: t, [1.0], 3) for one in (rule, round_trip(rule))]
    assert (found[0] == found[1]).all()
    assert hash(rule) == hash(copy.copy(rule))


def test_rules_are_equal_by_their_numbers():
    assert optim.sgd(0.1) == optim.sgd(0.1)
    assert optim.sgd(0.1) != optim.sgd(0.2)
    assert optim.sgd([0.1, 0.2]) == optim.sgd([0.1, 0.2])
    assert optim.sgd([0.1, 0.2]) != optim.sgd([0.1, 0.3])
    assert optim.momentum(0.1, 0.5) != optim.momentum(0.1, 0.6)
    assert optim.adam(0.1) != optim.adamw(0.1)
    assert optim.sgd(0.1) != "sgd(0.1)"
    assert len({optim.sgd(0.1), optim.sgd(0.1), optim.sgd(0.2)}) == 2


SCHEDULES = [
    schedules.constant(0.1),
    schedules.step_decay(0.1),
    schedules.exponential_decay(0.1, 0.01),
    schedules.inverse_time_decay(0.1, 0.01),
    schedules.bengio_decay(0.1, 5),
    schedules.cosine(0.1, 10),
    schedules.one_cycle(0.1, 10),
    schedules.cosine_restarts(0.1, 3),
    schedules.warmup(schedules.cosine(0.1, 10), 3),
    schedules.joined([0.1, 0.2], [5]),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_schedules(schedule):
    steps = onp.arange(20)
    again = round_trip(schedule)
    assert again == schedule
    assert (again(steps) == schedule(steps)).all()


def test_every_schedule_is_tried():
    plateau = schedules.on_plateau(0.1)
    assert round_trip(plateau) == plateau
    tried = {type(schedule).__name__ for schedule in SCHEDULES} | {"on_plateau"}
    assert {n for n in schedules.__all__ if n.islower()} == tried


def errors():
    return onp.arange(1.0, 7)


@pytest.mark.parametrize(
    "order",
    [data.shuffled(), data.class_balanced(onp.arange(6) % 2), data.error_weighted(errors, 2, 0.1)],
    ids=lambda order: type(order).__name__,
)
def test_orders(order):
    first, second = (o(6, 1, onp.random.default_rng(0)) for o in (order, round_trip(order)))
    assert first.tolist() == second.tolist()


PENALTIES = [losses.l1_penalty(0.1), losses.l2_penalty(1), ensemble.distillation_loss(2, 0.5)]


@pytest.mark.parametrize("thing", PENALTIES, ids=repr)
def test_penalties_and_losses(thing):
    assert round_trip(thing) == thing


@pytest.mark.parametrize("name", ["squared_error", "softmax_cross_entropy", "hinge"])
def test_losses_are_functions_of_their_module(name):
    assert round_trip(getattr(losses, name)) is getattr(losses, name)


# ------------------------------------------------------------------ callbacks, results


def callbacks():
    return [
        training.EarlyStopping("train_loss"),
        training.ReduceOnPlateau("train_loss"),
        training.Progress(),
        ensemble.EMA(0.9, validation=(X, Y)),
        ensemble.PolyakAverage(),
        ensemble.Snapshots(1),
        ensemble.LabelledValidation((X, Y)),
        *monitors.watch(),
    ]


def with_batch_norm():
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(4, in_units=2), mx.gluon.nn.BatchNorm(in_channels=4))
    net.add(mx.gluon.nn.Dense(2, in_units=4))
    net.initialize()
    return net


def same(a, b):
    """Tell whether two things are the same, through and through."""
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if is_dataclass(a) and not isinstance(a, type):
        return type(a) is type(b) and all(
            same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a)
        )
    if isinstance(a, onp.ndarray):
        equal = onp.array_equal(a, b) if a.dtype.hasobject else onp.array_equal(a, b, True)
        return a.dtype == b.dtype and equal
    return a == b or repr(a) == repr(b)


def after_training(kind, given):
    training.fit(
        with_batch_norm(), (X, Y), (X, Y), optimizer=optim.sgd(0.1), epochs=2, callbacks=given,
        **SETTINGS,
    )  # fmt: skip
    return next(callback for callback in given if type(callback).__name__ == kind)


@pytest.mark.parametrize("kind", [type(callback).__name__ for callback in callbacks()])
def test_callbacks(kind):
    fresh = next(callback for callback in callbacks() if type(callback).__name__ == kind)
    assert type(round_trip(fresh)) is type(fresh)
    used = after_training(kind, callbacks())
    again = round_trip(used)
    assert same(again.state(), used.state())
    # It serves another run, and the copy has nothing of the network or its data.
    after_training(kind, [again])
    assert len(pickle.dumps(used)) < 200_000


def test_callbacks_of_a_run_that_diverged():
    watching = monitors.watch()
    with pytest.raises(training.DivergedError):
        training.fit(
            layers.mlp(2, [4], 2, "relu", seed=0), (X, Y), optimizer=optim.sgd(1e30),
            callbacks=watching, **SETTINGS,
        )  # fmt: skip
    again = round_trip(watching)
    assert repr(monitors.report(again)) == repr(monitors.report(watching))


def fold(configuration, train, test):
    return configuration["a"] * len(test)


def results():
    net = layers.mlp(2, [4], 2, "tanh", seed=0)
    history = training.fit(net, (X, Y), (X, Y), optimizer=optim.sgd(0.1), epochs=2, **SETTINGS)
    space = search.Space(a=search.log(1e-3, 1), b=search.categorical([None, "x"]))
    found = search.GridSearch(space, points=2).run(lambda c, seed: c["a"], progress=False)
    outputs = onp.log([[[0.8, 0.2]], [[0.2, 0.8]]])
    return {
        "History": history,
        "Results": found,
        "Space": space,
        "GridSearch": search.GridSearch(space, points=2),
        "RandomSearch": search.RandomSearch(space, 3),
        "SobolSearch": search.SobolSearch(space, 3),
        "CoordinateSearch": search.CoordinateSearch(space, points=3),
        "CoarseToFine": search.CoarseToFine(space, trials=3),
        "SuccessiveHalving": search.SuccessiveHalving(space, trials=9, most=9),
        "Hyperband": search.Hyperband(space, most=9),
        "AdaptiveSearch": search.AdaptiveSearch(space, trials=3),
        "Nested": search.nested(
            search.RandomSearch(search.Space(a=search.linear(0, 1)), 2), fold, 20, outer=2, inner=2
        ),
        "BestOf": search.best_of(found),
        "Border": search.borders(found),
        "RangeTest": training.RangeTest(onp.ones(1), onp.ones(1), onp.ones(1)),
        "GradientCheck": checks.check_gradients(net, losses.softmax_cross_entropy, X, Y),
        "Reliability": ensemble.reliability(onp.array([[0.7, 0.3], [0.3, 0.7]]), [0, 1]),
        "Ambiguity": ensemble.ambiguity([[1.0, 2.0], [3.0, 0.0]], [2.0, 2.0]),
        "weights": ensemble.mixture_weights(onp.exp(outputs), [0]),
        "UnitTests": optim.unit_tests(optim.sgd(0.1), steps=20, seeds=1),
        "Comparison": claims.compare(a=[1.0, 2], b=[2.0, 4], smaller_is_better=True,
                                     smallest_effect=0.1),
        "Transformer": data.PCAWhiten().fit(X),
        "population": population.fit_population([layers.mlp(2, [3], 2, seed=0)], (X, Y),
                                                optimizer=optim.sgd(0.1), epochs=1, **SETTINGS),
    }  # fmt: skip


RESULTS = results()


@pytest.mark.parametrize("name", RESULTS)
def test_results(name):
    thing = RESULTS[name]
    again = round_trip(thing)
    assert type(again) is type(thing)
    assert repr(again) == repr(thing) or "object at" in repr(thing)
    if is_dataclass(thing):
        assert same(again, thing)


def test_networks_and_ensembles():
    net = layers.mlp(2, [4], 2, seed=0)
    both = round_trip(ensemble.Ensemble([net, with_batch_norm()], weights=[1, 3]))
    assert both.weights.tolist() == [0.25, 0.75]
    assert (both.members[0](np.array(X)) == net(np.array(X))).all()
