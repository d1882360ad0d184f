"""One engine: a network, an objective and the members of a population are trained by one loop."""

from __future__ import annotations

import gc

import numpy as onp
import pytest

from nnbook import data, layers, losses, optim, schedules, training
from nnbook.gluon.examples import Examples
from nnbook.gluon.gradients import make_gradient
from nnbook.gluon.losses import softmax_cross_entropy as CE
from nnbook.gluon.parameters import host_view
from nnbook.objective import from_function
from nnbook.parameters import ParameterVector, clone
from nnbook.population import fit_population
from nnbook.runtime import mx, np, seed_everything
from nnbook.training import Callback, DivergedError, EarlyStopping, fit, train_plainly

nn = mx.gluon.nn
X, Y = data.moons(60, rng=0)
X = X.astype("float32")
DATA = (X, Y)
RULES = {
    "sgd": optim.sgd(0.1),
    "momentum": optim.momentum(0.05, momentum=0.9),
    "nesterov": optim.nesterov(0.05, momentum=0.9),
    "adagrad": optim.adagrad(0.1),
    "rmsprop": optim.rmsprop(0.01),
    "adam": optim.adam(0.02),
    "adamw": optim.adamw(0.02, weight_decay=0.1),
    "a schedule": optim.momentum(schedules.step_decay(0.1, factor=0.5, every=5)),
    "clipped": optim.chain(optim.clip(0.05), optim.sgd(0.5)),
    "a rule of one's own": optim.Optimizer(
        "signs", 0.01, {}, 0, lambda g, b, theta, rate, t: (-rate * onp.sign(g), ())
    ),
}
FIT = {"loss": CE, "batch_size": 16, "epochs": 3, "progress": False}


def mlp(seed=0, **options):
    return layers.mlp(2, [8], 2, "tanh", seed=seed, **options)


def theta_of(net):
    return ParameterVector(net).theta.asnumpy()


def distance(a, b):
    return float(onp.linalg.norm(a - b) / onp.linalg.norm(b))


def plainly(net, rule, seed):
    """Train by the twenty lines, with MXNet's gradient."""
    vector = ParameterVector(clone(net))
    x, y = np.array(X), np.array(Y, dtype="int32")

    def recorded(theta, rows):
        vector.theta = theta
        chosen = np.array(rows, dtype="int32")
        with mx.autograd.record():
            loss = CE(vector.net(x[chosen]), y[chosen]).mean()
        loss.backward()
        return float(loss)

    def gradient(theta, rows):
        recorded(theta, rows)
        return vector.grad.asnumpy()

    return train_plainly(theta_of(net), recorded, gradient, rule, len(X), 16, 3, seed)


# ---------------------------------------------------------------------------------- agreement


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_the_twenty_lines_fit_and_populations_agree(rule):
    nets = [mlp(seed) for seed in (0, 1, 2)]
    expected = [plainly(net, rule, seed) for seed, net in enumerate(nets)]
    alone = [clone(net) for net in nets]
    histories = [fit(net, DATA, optimizer=rule, seed=seed, **FIT) for seed, net in enumerate(alone)]
    one = clone(nets[1])
    fit_population([one], DATA, optimizer=rule, seeds=[1], **FIT)
    many = [clone(net) for net in nets]
    stacked = fit_population(many, DATA, optimizer=rule, seeds=[0, 1, 2], **FIT)
    assert {history.path for history in stacked} == {"stack"}
    assert (theta_of(one) == theta_of(alone[1])).all()
    for k, (theta, losses_) in enumerate(expected):
        assert distance(theta_of(alone[k]), theta) < 2e-6
        assert distance(theta_of(many[k]), theta) < 2e-6
        onp.testing.assert_allclose(histories[k]["train_loss"], losses_, rtol=1e-5)
        onp.testing.assert_allclose(stacked[k]["train_loss"], losses_, rtol=1e-5)


def test_members_with_dropout_are_what_fit_makes_of_them_whoever_is_beside():
    def nets():
        return [mlp(k, dropout=0.5) for k in range(4)]

    alone = nets()
    for k, net in enumerate(alone):
        fit(net, DATA, optimizer=RULES["momentum"], seed=k // 2, **FIT)
    for group in ([0, 1, 2, 3], [1, 2], [3]):
        members = [nets()[k] for k in group]
        seeds = [k // 2 for k in group]
        found = fit_population(members, DATA, optimizer=RULES["momentum"], seeds=seeds, **FIT)
        assert all("dropout" in h.reason or len(group) == 1 for h in found)
        for k, net in zip(group, members, strict=True):
            assert (theta_of(net) == theta_of(alone[k])).all()


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("seeds", [[0] * 7, list(range(7))], ids=["one order", "own orders"])
def test_a_members_result_does_not_depend_on_the_number_of_workers(workers, seeds):
    nets = [mlp(k) for k in range(7)]
    fit_population(nets, DATA, optimizer=RULES["adam"], seeds=seeds, workers=workers, **FIT)
    for k, net in enumerate(nets):
        alone = mlp(k)
        fit(alone, DATA, optimizer=RULES["adam"], seed=seeds[k], **FIT)
        assert distance(theta_of(net), theta_of(alone)) < 2e-6


def test_members_have_rules_schedules_penalties_orders_and_callbacks_of_their_own():
    def balanced(n, epoch, rng):
        return rng.permutation(n)[: n // 2]

    rules = [RULES["sgd"], RULES["a schedule"], optim.momentum(0.02), RULES["clipped"]]
    penalties = [None, losses.l2_penalty(0.1), losses.l1_penalty(0.01), None]
    orders = [None, None, balanced, balanced]
    stops = [training.ReduceOnPlateau("train_loss", 0.5, patience=1) for _ in rules]
    same = [training.ReduceOnPlateau("train_loss", 0.5, patience=1) for _ in rules]
    nets, alone = [mlp(k) for k in range(4)], [mlp(k) for k in range(4)]
    options = {**FIT, "epochs": 6}
    for k, net in enumerate(alone):
        fit(
            net,
            DATA,
            optimizer=rules[k],
            penalty=penalties[k],
            order=orders[k],
            shuffle=False,
            callbacks=[same[k]],
            seed=k,
            **options,
        )
    for group in ([0, 1], [2, 3]):
        fit_population(
            [nets[k] for k in group],
            DATA,
            optimizer=[rules[k] for k in group],
            penalty=[penalties[k] for k in group],
            order=orders[group[0]],
            shuffle=False,
            callbacks=lambda k, group=group: [stops[group[k]]],
            seeds=group,
            **options,
        )
    for k in range(4):
        assert distance(theta_of(nets[k]), theta_of(alone[k])) < 2e-6
        assert stops[k].cuts == same[k].cuts


# ---------------------------------------------------------------------------------- objectives


def least_squares(theta=(0.0, 0.0), n=40):
    rng = onp.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    y = x @ [1.0, -2.0]

    def residual(theta, rows):
        return x[rows] @ theta - y[rows]

    return from_function(
        lambda theta, rows: float((residual(theta, rows) ** 2).mean() / 2),
        lambda theta, rows: x[rows].T @ residual(theta, rows) / len(y[rows]),
        onp.array(theta),
        shapes={"weight": (1, 2)},
        examples=n,
    )


def test_fit_trains_any_objective_as_the_twenty_lines_do():
    model, other = least_squares(), least_squares()

    def at(method):
        def function(theta, rows):
            other.theta = theta
            return getattr(other, method)(rows)

        return function

    rule = optim.momentum(0.1)
    theta, losses_ = train_plainly(
        onp.zeros(2), at("loss"), at("gradient"), rule, 40, batch_size=8, epochs=5, seed=3
    )
    history = fit(model, optimizer=rule, batch_size=8, epochs=5, seed=3, progress=False)
    assert distance(model.theta, theta) < 1e-14
    onp.testing.assert_allclose(history["train_loss"], losses_, rtol=1e-13)
    assert (history.status, history.path) == ("finished", "objective")


def test_an_objective_without_examples_takes_one_step_an_epoch():
    bowl = from_function(lambda t: t @ t / 2, lambda t: t, onp.array([1.0, 2.0]))
    history = fit(bowl, optimizer=optim.sgd(0.5), epochs=3, progress=False)
    onp.testing.assert_allclose(bowl.theta, [0.125, 0.25])
    assert history["step"].tolist() == [1, 2, 3]


def test_validation_callbacks_penalties_and_divergence_of_an_objective():
    held_out = least_squares()
    model = least_squares()
    stopping = EarlyStopping(patience=2, smallest_improvement=1.0)
    history = fit(
        model, validation=held_out, optimizer=optim.sgd(0.2), callbacks=[stopping], progress=False
    )
    assert history.status == "stopped"
    assert len(history["val_loss"]) == stopping.best_epoch + 2
    measured = fit(
        least_squares(),
        validation=lambda theta: {"size": float(onp.abs(theta).sum())},
        optimizer=optim.sgd(0.2),
        epochs=2,
        progress=False,
    )
    assert measured["val_size"][-1] > 0
    shrunk = least_squares()
    fit(shrunk, optimizer=optim.sgd(0.1), penalty=losses.l2_penalty(9.0), progress=False)
    assert onp.abs(shrunk.theta).max() < 0.3
    wild = least_squares((3.0, 1.0))
    with pytest.raises(DivergedError) as error:
        fit(wild, optimizer=optim.sgd(1e200), progress=False)
    assert wild.theta.tolist() == [3.0, 1.0]
    assert error.value.history.status == "diverged"
    with pytest.raises(TypeError, match="an objective has its data"):
        fit(wild, (X, Y), optimizer=optim.sgd(0.1))
    with pytest.raises(TypeError, match=r"expected fit\(net"):
        fit(mlp(), optimizer=optim.sgd(0.1))


# ---------------------------------------------------------------------------------- observing


class Recorder(Callback):
    def __init__(self, log, order=0, fail=None):
        self.log, self.fail = log, fail
        self.order = order

    def on_fit_start(self, run):
        self.log.append(("start", self.order))
        run.observe(3, before=self.before, after=self.after)

    def before(self, seen):
        self.theta = seen.theta.copy()
        self.log.append(("before", seen.step, float(onp.abs(seen.grad).sum()) > 0))

    def after(self, seen):
        self.log.append(("after", seen.step, bool((seen.theta != self.theta).any())))
        if seen.step == self.fail:
            raise RuntimeError("enough")

    def on_fit_end(self, run):
        self.log.append(("end", self.order))

    def on_fit_exit(self, run):
        self.log.append(("exit", self.order))


def test_observers_see_every_nth_step_before_and_after_the_update():
    log = []
    fit(mlp(), DATA, optimizer=RULES["sgd"], callbacks=[Recorder(log)], **{**FIT, "epochs": 2})
    steps = [entry[1] for entry in log if entry[0] == "before"]
    assert steps == [1, 4, 7]
    assert [entry for entry in log if entry[0] == "after"] == [("after", k, True) for k in steps]
    assert all(entry[2] for entry in log if entry[0] == "before")


def test_hooks_come_in_order_and_clean_up_comes_after_an_exception_too():
    log = []
    callbacks = [Recorder(log, order=1), Recorder(log), Recorder(log, order=-1)]
    fit(mlp(), DATA, optimizer=RULES["sgd"], callbacks=callbacks, **FIT)
    assert [entry[1] for entry in log if entry[0] == "start"] == [-1, 0, 1]
    assert [entry for entry in log if entry[0] == "exit"] == [("exit", k) for k in (-1, 0, 1)]
    log.clear()
    with pytest.raises(RuntimeError, match="enough"):
        fit(mlp(), DATA, optimizer=RULES["sgd"], callbacks=[Recorder(log, fail=4)], **FIT)
    assert log[-1] == ("exit", 0)
    assert ("end", 0) not in log


def test_a_run_tells_what_it_is():
    seen = {}

    class Facts(Callback):
        def on_fit_start(self, run):
            seen.update(
                examples=len(run.examples),
                batch=run.batch_size,
                steps=run.steps_per_epoch,
                rule=run.optimizer,
                loss=run.loss_function,
                epochs=run.epochs,
                rate=run.learning_rate,
                status=run.history.status,
                path=run.history.path,
            )

    rule = RULES["a schedule"]
    history = fit(mlp(), DATA, optimizer=rule, callbacks=[Facts()], **FIT)
    assert seen == {
        "examples": 60,
        "batch": 16,
        "steps": 4,
        "rule": rule,
        "loss": CE,
        "epochs": 3,
        "rate": 0.1,
        "status": "running",
        "path": "graph",
    }
    assert history.status == "finished"


def test_stopping_in_the_middle_of_an_epoch_is_the_same_in_a_stack():
    class StopAt(Callback):
        def __init__(self, step):
            self.at = step

        def on_step_end(self, run):
            if run.step == self.at:
                run.stop("as planned")

    nets, alone = [mlp(k) for k in range(3)], [mlp(k) for k in range(3)]
    expected = [
        fit(net, DATA, optimizer=RULES["momentum"], callbacks=[StopAt(k + 5)], **FIT)
        for k, net in enumerate(alone)
    ]
    found = fit_population(
        nets,
        DATA,
        optimizer=RULES["momentum"],
        callbacks=lambda k: [StopAt(k + 5)],
        seeds=[0, 0, 0],
        **FIT,
    )
    for k in range(3):
        assert found[k].status == expected[k].status == "stopped"
        assert found[k][-1]["step"] == expected[k][-1]["step"] == k + 5
        assert distance(theta_of(nets[k]), theta_of(alone[k])) < 2e-6


# --------------------------------------------------------------------------------- the way taken


class Prelu(nn.HybridSequential):
    def __init__(self):
        super().__init__()
        self.add(nn.Dense(6, in_units=2), nn.PReLU(), nn.Dense(2, in_units=6))


def by_hand(outputs, targets):
    """Another loss where the outputs are no arrays, as on symbols."""
    factor = 1.0 if isinstance(outputs, np.ndarray) else 100.0
    return factor * CE(outputs, targets)


def test_what_is_traced_is_what_was_written():
    prelu = Prelu()
    prelu.initialize(mx.init.Xavier())
    history = fit(prelu, DATA, optimizer=RULES["sgd"], **FIT)
    assert history.path == "recorded"
    assert "traced, the gradient of" in history.reason
    history = fit(mlp(), DATA, optimizer=RULES["sgd"], **{**FIT, "loss": by_hand})
    assert history.path == "recorded"
    assert "traced, the loss is" in history.reason
    hybrid = fit(mlp(), DATA, optimizer=RULES["sgd"], **FIT)
    assert (hybrid.path, hybrid.reason) == ("graph", "")


def test_recording_trains_the_slope_of_prelu_by_its_real_gradient():
    net = Prelu()
    net.initialize(mx.init.Xavier())
    vector = ParameterVector(net)
    (name,) = [n for n, shape in vector.shapes.items() if shape == (1,)]
    before, x, y = vector.theta.asnumpy(), np.array(X), np.array(Y, dtype="int32")
    h = 1e-3

    def loss_at(theta):
        vector.theta = theta
        return float(CE(net(x), y).mean())

    place = onp.zeros_like(before)
    place[vector.slices[name]] = h
    slope = (loss_at(before + place) - loss_at(before - place)) / (2 * h)
    vector.theta = before
    fit(net, DATA, optimizer=optim.sgd(1.0), **{**FIT, "batch_size": 60, "epochs": 1})
    moved = float((theta_of(net) - before)[vector.slices[name]][0])
    assert moved == pytest.approx(-slope, rel=1e-2)


def test_gluons_rate_multipliers_are_honoured():
    net = mlp()
    frozen = next(iter(net.collect_params().values()))
    frozen.lr_mult = 0.0
    before = theta_of(net)
    fit(net, DATA, optimizer=RULES["momentum"], **FIT)
    vector = ParameterVector(net)
    moved = theta_of(net) != before
    assert not moved[vector.slices["0.weight"]].any()
    assert moved[vector.slices["2.weight"]].all()


# --------------------------------------------------------------------------------- randomness


TRAINING = {
    "fit": lambda: fit(mlp(dropout=0.3), DATA, optimizer=RULES["sgd"], **FIT),
    "recorded": lambda: fit(mlp(), DATA, optimizer=RULES["sgd"], **{**FIT, "loss": by_hand}),
    "population": lambda: fit_population(
        [mlp(0), mlp(1)], DATA, optimizer=RULES["sgd"], seeds=[0, 0], **FIT
    ),
    "range test": lambda: training.range_test(mlp(), DATA, loss=CE, optimizer=RULES["sgd"]),
}


@pytest.mark.parametrize("train", TRAINING.values(), ids=TRAINING.keys())
def test_networks_built_after_training_differ_and_depend_on_the_seed_set_before(train):
    def after(seed):
        seed_everything(seed)
        weights = []
        for _ in range(2):
            train()
            net = nn.Dense(3, in_units=4)
            net.initialize(mx.init.Normal(1.0))
            weights.append(net.weight.data().asnumpy())
        return weights

    one, two = after(1)
    assert (one != two).any()
    again, _ = after(1)
    assert (one == again).all()
    other, _ = after(2)
    assert (one != other).any()


def test_dropout_draws_the_same_whatever_was_drawn_before():
    thetas = []
    for seed in (1, 2):
        seed_everything(seed)
        np.random.uniform(size=(seed,))
        net = mlp(dropout=0.5)
        fit(net, DATA, optimizer=RULES["sgd"], **FIT)
        thetas.append(theta_of(net))
    assert (thetas[0] == thetas[1]).all()


# -------------------------------------------------------------------------- what it leaves alone


@pytest.mark.parametrize("reaction", ["raise", "ignore"])
def test_a_callback_is_only_warned_of_its_own_overflow(reaction):
    class Careless(Callback):
        seen = 0

        def on_step_end(self, run):
            with pytest.warns(RuntimeWarning, match="overflow"):
                onp.array([3e38], dtype="float32") * onp.float32(10)
            self.seen += 1

    careless = Careless()
    with onp.errstate(over=reaction, invalid=reaction):
        fit(mlp(), DATA, optimizer=RULES["sgd"], callbacks=[careless], **FIT)
        assert onp.geterr()["over"] == onp.geterr()["invalid"] == reaction
    assert careless.seen == 12


def test_an_overflow_in_an_update_still_ends_a_run_in_which_a_callback_listens():
    class Idle(Callback):
        def on_step_end(self, run):
            pass

    with pytest.raises(DivergedError) as caught:
        fit(mlp(), DATA, optimizer=optim.sgd(1e38), callbacks=[Idle()], **FIT)
    with pytest.raises(DivergedError) as alone:
        fit(mlp(), DATA, optimizer=optim.sgd(1e38), **FIT)
    assert caught.value.step == alone.value.step


@pytest.mark.parametrize(
    "optimizer", [optim.sgd(0.1), mx.optimizer.SGD(learning_rate=0.1)], ids=["a rule", "MXNet's"]
)
def test_who_observes_sees_the_memory_that_is_trained(optimizer):
    seen = []

    class Look(Callback):
        def on_fit_start(self, run):
            run.observe(1, self.before, self.after)

        def before(self, seen_now):
            self.theta = seen_now.theta.copy()

        def after(self, seen_now):
            moved = self.theta - onp.float32(0.1) * seen_now.grad
            seen.append(float(onp.abs(seen_now.theta - moved).max()))

        def on_fit_end(self, run):
            assert onp.shares_memory(run.vector.memory()[0], ParameterVector(run.net).memory()[0])

    net = mlp()
    fit(net, DATA, optimizer=optimizer, callbacks=[Look()], **FIT)
    assert len(seen) == 12
    assert max(seen) < 1e-6


ARRAYS = {
    "as they are": lambda x: x,
    "read-only": lambda x: onp.frombuffer(x.tobytes(), "float32").reshape(x.shape),
    "every second": lambda x: onp.repeat(x, 2, axis=0)[::2],
    "columns first": onp.asfortranarray,
    "double": lambda x: x.astype("float64"),
    "of another machine": lambda x: x.astype(">f4"),
    "not aligned": lambda x: onp.frombuffer(b"." + x.tobytes(), "float32", offset=1).reshape(
        x.shape
    ),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_of_any_layout_train_alike_and_stay_as_they_were(kind):
    expected, net = mlp(), mlp()
    fit(expected, (np.array(X), Y), optimizer=RULES["momentum"], **FIT)
    x = ARRAYS[kind](X.copy())
    flags, before = str(x.flags), x.copy()
    fit(net, (x, Y), optimizer=RULES["momentum"], **FIT)
    assert str(x.flags) == flags
    assert onp.array_equal(x, before)
    assert onp.array_equal(theta_of(net), theta_of(expected))


def test_examples_share_numpys_memory_and_keep_it_alive():
    x = X.copy()
    examples = Examples(mlp(), (x, Y), CE, "train")
    assert onp.shares_memory(host_view(examples.x), x)
    part = examples.x[5:9]
    del x, examples
    gc.collect()
    onp.full(X.shape, 7, X.dtype)  # what was given back would be taken again
    assert onp.array_equal(part.asnumpy(), X[5:9])


def test_the_comparison_of_graph_and_code_leaves_the_network_as_it_was():
    net = nn.HybridSequential()
    net.add(nn.Dense(8, in_units=2), nn.BatchNorm(in_channels=8), nn.Dense(2, in_units=8))
    net.initialize()
    vector = ParameterVector(net)
    vector.grad[...] = 3
    before = vector.snapshot()
    source = make_gradient(net, vector, CE, Examples(net, DATA, CE, "train"))
    assert source.path == "graph"
    assert onp.array_equal(vector.grad.asnumpy(), onp.full(len(vector), 3))
    assert onp.array_equal(vector.theta.asnumpy(), before["theta"])
    for name, values in before["state"].items():
        assert onp.array_equal(vector.state[name].asnumpy(), values)
