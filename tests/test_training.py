"""`fit` and `evaluate`: what is minimised, in what order, what is recorded, and how it ends."""

from __future__ import annotations

import io
import sys
import types
from itertools import chain

import numpy as onp
import pytest

from nnbook import layers, losses, optim, schedules, training
from nnbook.parameters import ParameterVector, clone
from nnbook.runtime import mx, np
from nnbook.training import Callback, DivergedError, EarlyStopping, History, Progress

gluon, nn, autograd = mx.gluon, mx.gluon.nn, mx.autograd
N = 50
RNG = onp.random.default_rng(11)
X = RNG.normal(size=(N, 4)).astype("float32")
Y = (X[:, 0] + 0.3 * X[:, 1] > 0).astype("int32") + (X[:, 2] > 1).astype("int32")
HELD_OUT = (RNG.normal(size=(23, 4)).astype("float32"), RNG.integers(0, 3, 23).astype("int32"))
softmax = gluon.loss.SoftmaxCrossEntropyLoss()


def make(dropout=0.0, **settings):
    settings = {"activation": "tanh", "seed": 1, **settings}
    return layers.mlp(4, [6], 3, dropout=dropout, **settings)


def normalisation():
    block = nn.BatchNorm(in_channels=3)
    block.initialize()
    return block


def theta_of(net):
    return ParameterVector(net).theta.asnumpy()


def fit(net, data=(X, Y), **settings):
    defaults = {"loss": softmax, "optimizer": optim.momentum(0.05), "batch_size": 8, "epochs": 3}
    return training.fit(net, data, **{**defaults, **settings})


class Recorder(Callback):
    """Notes every hook, and θ after every step."""

    def __init__(self):
        self.hooks, self.thetas, self.losses = [], [], []

    def on_fit_start(self, run):
        self.hooks.append(("fit_start", run.epoch, run.step))

    def on_epoch_start(self, run):
        self.hooks.append(("epoch_start", run.epoch, run.step))

    def on_step_end(self, run):
        self.hooks.append(("step_end", run.epoch, run.step))
        self.thetas.append(run.vector.theta.asnumpy())
        self.losses.append(run.loss)

    def on_validation(self, run, row):
        self.hooks.append(("validation", run.epoch, run.step))
        row["extra"] = 10 * run.epoch

    def on_epoch_end(self, run, row):
        self.hooks.append(("epoch_end", run.epoch, run.step))
        assert run.history[-1] == row

    def on_fit_end(self, run):
        self.hooks.append(("fit_end", run.epoch, run.step))


# What is computed.


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_twice_the_same_is_the_same_to_the_bit_whoever_looks_on(dropout, monkeypatch):
    thetas, tables = [], []
    patient = EarlyStopping(patience=9, restore_best=False)
    for callbacks, progress in [([], False), ([], True), ([Recorder()], False), ([patient], True)]:
        net = make(dropout)
        history = fit(net, validation=HELD_OUT, callbacks=callbacks, progress=progress)
        thetas.append(theta_of(net))
        tables.append([history[c].tolist() for c in ("train_loss", "val_loss", "val_accuracy")])
        mx.random.seed(5 + len(thetas))  # nor does anybody's random state matter
        onp.random.seed(5 + len(thetas))  # noqa: NPY002
    for theta, table in zip(thetas[1:], tables[1:], strict=True):
        assert (theta == thetas[0]).all()
        assert table == tables[0]


def test_the_progress_bar_changes_nothing_and_is_closed(monkeypatch, capsys):
    plain, shown = make(), make()
    fit(plain, progress=False)
    monkeypatch.setenv("NNBOOK_PROGRESS", "1")
    monkeypatch.setattr(Progress, "wanted", staticmethod(lambda: True))
    monkeypatch.setattr(Progress, "delay", 0.0)
    monkeypatch.setattr(Progress, "interval", 0.0)
    bar = Progress()
    fit(shown, callbacks=[bar])
    assert (theta_of(plain) == theta_of(shown)).all()
    shown_text = capsys.readouterr().err
    assert "0/3" in shown_text
    assert "train_loss=" in shown_text
    assert bar._bar is None


def test_the_progress_bar_is_closed_after_an_error(monkeypatch):
    monkeypatch.setattr(Progress, "wanted", staticmethod(lambda: True))

    class Fails(Callback):
        def on_epoch_end(self, run, row):
            raise RuntimeError("no")

    bar = Progress()
    with pytest.raises(RuntimeError, match="no"):
        fit(make(), callbacks=[bar, Fails()])
    assert bar._bar is None


def test_no_bar_for_what_takes_less_than_a_second(monkeypatch, capsys):
    monkeypatch.setattr(Progress, "wanted", staticmethod(lambda: True))
    bar = Progress.bar(300, "epoch")
    for _ in range(300):
        bar.update()
    bar.close()
    assert capsys.readouterr().err.strip() == ""


def test_a_bar_in_a_notebook_only_where_a_person_watches(monkeypatch):
    class Stream:
        def isatty(self):
            return False

    Stream.__module__ = "ipykernel.iostream"
    kernel = types.SimpleNamespace(_allow_stdin=True)
    shell = types.SimpleNamespace(kernel=kernel)
    monkeypatch.delenv("NNBOOK_PROGRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    fake = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setattr(sys, "stderr", Stream())
    assert Progress.wanted()
    kernel._allow_stdin = False  # as nbclient and nbval ask
    assert not Progress.wanted()
    kernel._allow_stdin = True
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # as %%capture does
    assert not Progress.wanted()


def test_no_bar_where_nobody_looks(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    fit(make())
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_every_step_is_the_rules_on_the_gradient_of_the_minibatches_mean_loss():
    net = make()
    twin = clone(net)
    recorder = Recorder()
    history = fit(net, callbacks=[recorder], seed=3, epochs=2)
    theirs, rule = ParameterVector(twin), optim.momentum(0.05)
    state, expected, measured = rule.init(theirs.theta), [], []
    for epoch in (1, 2):
        order = onp.random.default_rng([3, epoch]).permutation(N)
        for start in range(0, N, 8):
            rows = order[start : start + 8]
            with autograd.record():
                objective = softmax(twin(np.array(X[rows])), np.array(Y[rows], dtype="int32"))
                objective = objective.mean()
            objective.backward()
            step, state = rule.update(theirs.grad, state, theirs.theta)
            theirs.theta += step
            expected.append(theirs.theta.asnumpy())
            measured.append((float(objective), len(rows)))
    assert len(recorder.thetas) == 14  # six minibatches of 8 and one of 2, twice
    onp.testing.assert_allclose(recorder.thetas, expected, rtol=1e-4, atol=1e-6)
    onp.testing.assert_allclose(recorder.losses, [loss for loss, _ in measured], rtol=1e-5)
    for epoch in (0, 1):
        part = measured[7 * epoch : 7 * epoch + 7]
        mean = sum(loss * size for loss, size in part) / N
        assert history[epoch]["train_loss"] == pytest.approx(mean, rel=1e-5)


def orders(n=10, epochs=2, **settings):
    """Return the examples of every minibatch, sorted: example k alone moves weight k."""
    net = nn.Dense(1, in_units=n, use_bias=False)
    net.initialize(mx.init.Zero())
    x, y = onp.eye(n, dtype="float32"), onp.ones((n, 1), "float32")

    class See(Callback):
        def __init__(self):
            self.batches = []

        def on_step_end(self, run):
            self.batches.append(onp.flatnonzero(run.vector.grad.asnumpy()).tolist())

    see = See()
    settings = {"batch_size": 4, **settings}
    training.fit(
        net, (x, y), loss=losses.squared_error, optimizer=optim.sgd(1e-3), epochs=epochs,
        callbacks=[see], **settings,
    )  # fmt: skip
    return see.batches


def test_an_epoch_uses_every_example_once_in_an_order_of_its_own():
    batches = orders()
    assert [len(b) for b in batches] == [4, 4, 2, 4, 4, 2]
    assert sorted(chain(*batches[:3])) == sorted(chain(*batches[3:])) == list(range(10))
    assert batches[:3] != batches[3:]


def test_the_seed_decides_the_order():
    assert orders(seed=0) == orders(seed=0)
    assert orders(seed=0) != orders(seed=1)


def test_without_shuffling_the_order_is_that_of_the_data():
    assert orders(shuffle=False, epochs=1) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("batch_size", [10, 11, 1000])
def test_full_batches(batch_size):
    assert orders(batch_size=batch_size) == [list(range(10))] * 2


def test_online():
    batches = orders(batch_size=1, epochs=1)
    assert sorted(chain(*batches)) == list(range(10))
    assert all(len(b) == 1 for b in batches)


def test_an_order_of_ones_own():
    asked = []

    def only_some(n, epoch, rng):
        asked.append((n, epoch, float(rng.uniform())))
        return [7, 7, 2, 3, 1]

    assert orders(order=only_some) == [[2, 3, 7], [1]] * 2
    assert [a[:2] for a in asked] == [(10, 1), (10, 2)]
    assert asked[0][2] == onp.random.default_rng([0, 1]).uniform()
    assert asked[0][2] != asked[1][2]


def test_a_full_batch_is_gradient_descent_whatever_the_seed():
    nets = [make(), make()]
    for seed, net in enumerate(nets):
        fit(net, batch_size=N, seed=seed)
    assert (theta_of(nets[0]) == theta_of(nets[1])).all()


def test_the_hooks_in_their_order():
    recorder = Recorder()
    fit(make(), batch_size=25, epochs=2, callbacks=[recorder])
    assert recorder.hooks == [
        ("fit_start", 0, 0),
        ("epoch_start", 1, 0), ("step_end", 1, 1), ("step_end", 1, 2),
        ("validation", 1, 2), ("epoch_end", 1, 2),
        ("epoch_start", 2, 2), ("step_end", 2, 3), ("step_end", 2, 4),
        ("validation", 2, 4), ("epoch_end", 2, 4),
        ("fit_end", 2, 4),
    ]  # fmt: skip


# What is recorded.


def test_the_history_has_a_row_an_epoch():
    net = make()
    history = fit(net, validation=HELD_OUT, epochs=4, callbacks=[Recorder()])
    assert isinstance(history, History)
    assert history.columns == [
        "epoch", "step", "seconds", "train_loss", "val_loss", "val_accuracy", "extra",
    ]  # fmt: skip
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    assert history["step"].tolist() == [7, 14, 21, 28]
    assert history["extra"].tolist() == [10, 20, 30, 40]
    assert (onp.diff(history["seconds"]) > 0).all()
    assert (history[-1]["val_loss"], history[-1]["val_accuracy"]) == tuple(
        training.evaluate(net, HELD_OUT, softmax).values()
    )
    assert history.stopped == ""
    assert history["train_loss"][-1] < history["train_loss"][0]


def test_without_validation_nothing_is_said_about_it():
    assert fit(make()).columns == ["epoch", "step", "seconds", "train_loss"]


def test_a_history_is_a_sequence_and_a_table():
    history = History([{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 1.0, "new": 5}])
    history.append({"epoch": 3, "loss": 2.0})
    assert len(history) == 3
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[-1]["loss"] == 2.0
    assert history["loss"].tolist() == [3, 1, 2]
    onp.testing.assert_array_equal(history["new"], [onp.nan, 5, onp.nan])
    assert isinstance(history[:2], History)
    assert history[1:]["epoch"].tolist() == [2, 3]
    assert history.best("loss")["epoch"] == 2
    assert history.best("loss", smaller_is_better=False)["epoch"] == 1
    assert repr(history) == "History(3 epochs; last: epoch 3, loss 2)"
    assert repr(History()) == "History(no epochs)"
    with pytest.raises(KeyError, match="'accuracy' was not recorded; there are epoch, loss, new"):
        history["accuracy"]
    with pytest.raises(ValueError, match="the history is empty"):
        History().best("loss")
    row = {"epoch": 4}
    history.append(row)
    row["epoch"] = 5
    assert history[-1]["epoch"] == 4


@pytest.mark.parametrize("batch_size", [1, 7, 23, 1000])
def test_evaluate_is_the_mean_over_the_examples_and_changes_nothing(batch_size):
    net = nn.HybridSequential()
    net.add(nn.Dense(6, in_units=4), nn.BatchNorm(in_channels=6), nn.Dropout(0.5), nn.Dense(3))
    net.initialize(mx.init.Xavier())
    net(np.array(X))
    vector = ParameterVector(net)
    before = vector.snapshot()
    result = training.evaluate(net, HELD_OUT, softmax, batch_size=batch_size)
    x, y = HELD_OUT
    outputs = net(np.array(x)).asnumpy().astype("float64")
    logs = outputs - onp.log(onp.exp(outputs).sum(axis=1, keepdims=True))
    assert result["loss"] == pytest.approx(-logs[onp.arange(23), y].mean(), rel=1e-5)
    assert result["accuracy"] == pytest.approx((outputs.argmax(axis=1) == y).mean(), abs=1e-12)
    after = vector.snapshot()
    assert (before["theta"] == after["theta"]).all()
    assert all((before["state"][k] == after["state"][k]).all() for k in before["state"])
    assert type(result["loss"]) is type(result["accuracy"]) is float


def test_no_accuracy_where_there_are_no_classes():
    net = layers.mlp(4, [3], 1)
    targets = X[:, :1] * 2
    assert set(training.evaluate(net, (X, targets), losses.squared_error)) == {"loss"}
    history = fit(net, (X, targets), validation=(X, targets), loss=losses.squared_error, epochs=30)
    assert "val_accuracy" not in history.columns
    assert history[-1]["val_loss"] < 0.1 * history[0]["val_loss"]


# What it takes.


@pytest.mark.parametrize("kind", ["mxnet", "legacy", "float64", "uint8 labels", "float labels"])
def test_data_of_every_kind_give_the_same(kind):
    x, y = X, Y
    if kind == "mxnet":
        x, y = np.array(X), np.array(Y, dtype="int32")
    elif kind == "legacy":
        x, y = mx.nd.array(X), mx.nd.array(Y, dtype="int32")
    elif kind == "float64":
        x = X.astype("float64")
    elif kind == "uint8 labels":
        y = Y.astype("uint8")
    elif kind == "float labels":
        y = Y.astype("float32")  # as Gluon's own data sets have them
    mine, theirs = make(), make()
    fit(mine, (x, y))
    fit(theirs)
    onp.testing.assert_allclose(theta_of(mine), theta_of(theirs), rtol=1e-6)


def test_the_callers_data_are_not_changed():
    x, y = X.copy(), Y.copy()
    mine, labels = np.array(X), np.array(Y, dtype="int32")
    x.flags.writeable = y.flags.writeable = False
    fit(make(), (x, y), validation=(x, y))
    fit(make(), (mine, labels))
    assert (mine.asnumpy() == X).all()
    assert (labels.asnumpy() == Y).all()


NETS = {
    "float64": lambda: make(dtype="float64"),
    "hybridised": lambda: hybridised(make()),
    "deferred shapes": lambda: deferred(),
    "fitted before": lambda: fitted(make()),
    "plain sequential": lambda: sequential(),
}


def hybridised(net):
    net.hybridize()
    net(np.array(X))
    return net


def fitted(net):
    fit(net, epochs=1, optimizer=optim.sgd(1e-6))
    return net


def deferred():
    net = nn.HybridSequential()
    net.add(nn.Dense(6, activation="tanh"), nn.Dense(3))
    net.initialize(mx.init.Xavier())
    return net


def sequential():
    net = nn.Sequential()
    net.add(nn.Dense(6, activation="tanh", in_units=4), nn.Dense(3, in_units=6))
    net.initialize(mx.init.Xavier())
    return net


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("loss", [softmax, losses.softmax_cross_entropy], ids=["gluon", "nnbook"])
def test_nets_of_every_kind_learn(name, loss):
    net = NETS[name]()
    history = fit(net, validation=(X, Y), loss=loss, epochs=40, optimizer=optim.momentum(0.1))
    assert history[-1]["train_loss"] < 0.3
    assert history[-1]["val_accuracy"] > 0.85
    if name == "hybridised":
        assert net._active
    if name == "float64":
        assert net[0].weight.data().dtype == onp.float64


def test_images():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, activation="relu"), nn.GlobalAvgPool2D(), nn.Dense(2))
    net.initialize(mx.init.Xavier())
    rng = onp.random.default_rng(0)
    y = rng.integers(0, 2, 40).astype("int32")
    x = rng.normal(size=(40, 1, 8, 8)).astype("float32")
    x[y == 1, :, ::2] += 1.5
    history = fit(net, (x, y), validation=(x, y), epochs=30, optimizer=optim.momentum(0.1))
    assert history[-1]["val_accuracy"] > 0.9


@pytest.mark.parametrize("kind", ["real", "whole numbers"])
@pytest.mark.parametrize("loss", [losses.squared_error, gluon.loss.L2Loss()])
def test_several_targets_of_regression(kind, loss):
    targets = X @ X[:4] / 4
    if kind == "whole numbers":
        targets = (3 * targets).round().astype("int32")
    net = layers.mlp(4, [], 4, seed=0)
    history = fit(net, (X, targets), validation=(X, targets), loss=loss, epochs=60)
    assert history[-1]["val_loss"] < 0.6 * history[0]["val_loss"]
    assert "val_accuracy" not in history.columns


def test_a_mean_loss_may_be_given_instead_of_one_value_per_example():
    def mean(outputs, labels):
        return softmax(outputs, labels).mean()

    mine, theirs = make(), make()
    a = fit(mine, loss=mean, validation=HELD_OUT)
    b = fit(theirs, validation=HELD_OUT)
    onp.testing.assert_allclose(theta_of(mine), theta_of(theirs), rtol=1e-4, atol=1e-6)
    onp.testing.assert_allclose(a["val_loss"], b["val_loss"], rtol=1e-5)


@pytest.mark.parametrize("name", ["float32", "batch normalisation", "dropout", "hybridised"])
def test_another_device(name):
    net = make(0.3 if name == "dropout" else 0.0)
    if name == "batch normalisation":
        net.add(normalisation())
    if name == "hybridised":
        net = hybridised(net)
    history = fit(net, validation=HELD_OUT, device="cpu(1)")
    arrays = [p.data() for p in net.collect_params().values()]
    arrays += [p.grad() for p in net.collect_params().values() if p.grad_req != "null"]
    assert {array.ctx for array in arrays} == {mx.cpu(1)}
    assert onp.isfinite(history["val_loss"]).all()
    assert training.evaluate(net, HELD_OUT, softmax)["loss"] == history[-1]["val_loss"]
    assert net(np.array(X, ctx=mx.cpu(1))).ctx == mx.cpu(1)


def test_the_device_changes_no_number():
    nets = [make(), make()]
    fit(nets[0])
    fit(nets[1], device=mx.cpu(1))
    assert (theta_of(nets[0]) == theta_of(nets[1])).all()


OPTIMIZERS = {
    "sgd": lambda: mx.optimizer.SGD(learning_rate=0.1),
    "sgd with momentum and decay": lambda: mx.optimizer.SGD(
        learning_rate=0.05, momentum=0.9, wd=0.01
    ),
    "nag": lambda: mx.optimizer.NAG(learning_rate=0.05, momentum=0.9),
    "adam": lambda: mx.optimizer.Adam(learning_rate=0.02),
    "lamb": lambda: mx.optimizer.LAMB(learning_rate=0.02),
    "scheduled": lambda: mx.optimizer.SGD(
        learning_rate=0.1, lr_scheduler=mx.lr_scheduler.FactorScheduler(5, 0.5, base_lr=0.1)
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("net_name", ["mlp", "tied", "batch normalisation"])
def test_mxnets_optimizers_are_those_of_its_trainer(name, net_name):
    if net_name == "tied":
        first = nn.Dense(4, in_units=4, activation="tanh")
        net = nn.HybridSequential()
        net.add(first, nn.Dense(4, in_units=4, params=first.params), nn.Dense(3, in_units=4))
        net.initialize(mx.init.Xavier())
    else:
        net = make()
        if net_name == "batch normalisation":
            net.add(normalisation())
    twin = clone(net)
    fit(net, optimizer=OPTIMIZERS[name](), seed=2)
    trainer = gluon.Trainer(twin.collect_params(), OPTIMIZERS[name](), kvstore=None)
    for epoch in (1, 2, 3):
        order = onp.random.default_rng([2, epoch]).permutation(N)
        for start in range(0, N, 8):
            rows = order[start : start + 8]
            with autograd.record():
                objective = softmax(twin(np.array(X[rows])), np.array(Y[rows], dtype="int32"))
            objective.backward()
            trainer.step(len(rows))
    mine, theirs = theta_of(net), theta_of(twin)
    assert onp.linalg.norm(mine - theirs) < 1e-5 * onp.linalg.norm(theirs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_object_may_be_used_again(name):
    optimizer = OPTIMIZERS[name]()
    nets = [make(), make()]
    for net in nets:
        fit(net, optimizer=optimizer)
    assert (theta_of(nets[0]) == theta_of(nets[1])).all()
    assert optimizer.num_update == 0


def test_learning_rate_multipliers_are_kept():
    net = make()
    before = net[0].weight.data().asnumpy()
    net[0].weight.lr_mult = 0.0
    fit(net, optimizer=mx.optimizer.SGD(learning_rate=0.1))
    assert (net[0].weight.data().asnumpy() == before).all()
    assert float(abs(net[0].bias.data()).sum()) > 0


def test_a_trainer_may_be_used_before_and_after():
    net = make()
    trainer = gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})

    def step():
        with autograd.record():
            objective = softmax(net(np.array(X)), np.array(Y, dtype="int32"))
        objective.backward()
        trainer.step(N)

    thetas = [theta_of(net)]
    for work in (step, lambda: fit(net, epochs=1), step):
        work()
        thetas.append(theta_of(net))
        assert not (thetas[-1] == thetas[-2]).all()


# The penalty.


@pytest.mark.parametrize("penalty", [losses.l2_penalty(0.3), losses.l1_penalty(0.05)])
@pytest.mark.parametrize("optimizer", [optim.sgd(1.0), mx.optimizer.SGD(learning_rate=1.0)])
@pytest.mark.parametrize("traceable", [True, False])
def test_the_penalty_is_part_of_the_objective_for_weights_alone(penalty, optimizer, traceable):
    net = make(dtype="float64")
    if not traceable:
        net[0].register_forward_hook(lambda *_: None)
    vector = ParameterVector(net)
    # Also the biases, and nothing near 0, where the L1 penalty has a kink.
    vector.theta = onp.random.default_rng(0).choice([-1, 1], len(vector)) * onp.linspace(
        0.3, 0.9, len(vector)
    )
    start, x = vector.theta.asnumpy(), X.astype("float64")
    weights = vector.weight_mask

    def objective(theta):
        vector.theta = theta
        value = float(softmax(net(np.array(x, dtype="float64")), np.array(Y, dtype="int32")).mean())
        return value + penalty.value(theta[weights])

    numeric = onp.array(
        [(objective(start + e) - objective(start - e)) / 2e-6 for e in 1e-6 * onp.eye(len(start))]
    )
    vector.theta = start
    history = fit(net, (x, Y), penalty=penalty, optimizer=optimizer, batch_size=N, epochs=1)
    step = vector.theta.asnumpy() - start
    onp.testing.assert_allclose(step, -numeric, rtol=1e-6, atol=1e-8)
    # The loss that is reported is the loss, without the penalty.
    assert history[0]["train_loss"] == pytest.approx(
        objective(start) - penalty.value(start[weights]), rel=1e-9
    )


class Pull:
    """A penalty whose gradient is not zero at zero."""

    def gradient(self, theta):
        return theta + 1


@pytest.mark.parametrize("penalty", [losses.l2_penalty(1.0), Pull()])
@pytest.mark.parametrize("optimizer", [optim.sgd(0.1), mx.optimizer.SGD(learning_rate=0.1)])
def test_biases_and_scales_of_normalisation_are_not_penalised(penalty, optimizer):
    net = nn.HybridSequential()
    net.add(nn.Dense(3, in_units=4), nn.BatchNorm(in_channels=3))
    net.initialize(mx.init.One())
    zeros = onp.zeros_like(X)

    def nothing(outputs, labels):  # no gradient at all
        return 0 * outputs.sum(axis=1)

    vector = ParameterVector(net)
    before = vector.theta.asnumpy()
    fit(net, (zeros, Y), loss=nothing, penalty=penalty, optimizer=optimizer, batch_size=N, epochs=1)
    after = vector.theta.asnumpy()
    weights = vector.weight_mask
    assert (after[~weights] == before[~weights]).all()
    expected = before[weights] - 0.1 * penalty.gradient(before[weights])
    onp.testing.assert_allclose(after[weights], expected, rtol=1e-6)


def test_weight_decay_over_an_epoch_is_the_power_of_its_factor():
    # Nielsen's example: η .5, λ 5, n 50,000, one epoch of 5,000 steps shrinks weights to .7788.
    net = nn.Dense(1, in_units=1, use_bias=False)
    net.initialize(mx.init.One())
    x = onp.zeros((5000, 1), "float32")
    training.fit(net, (x, x), loss=losses.squared_error, optimizer=optim.sgd(0.5), batch_size=1,
                 epochs=1, penalty=losses.l2_penalty(5 / 50_000))  # fmt: skip
    assert float(net.weight.data()) == pytest.approx(0.7788, abs=1e-4)


# How it ends.


def scripted(values, **settings):
    """Run early stopping on a column with given values; return the history, net and stopper."""
    stopper = EarlyStopping("score", **{"smaller_is_better": True, **settings})

    class Script(Callback):
        def __init__(self):
            self.thetas = []

        def on_validation(self, run, row):
            row["score"] = values[run.epoch - 1]
            self.thetas.append(run.vector.theta.asnumpy())

    script, net = Script(), make()
    history = fit(net, epochs=len(values), callbacks=[script, stopper])
    return history, theta_of(net), script.thetas, stopper


def test_early_stopping_waits_and_puts_back_the_best():
    history, theta, thetas, stopper = scripted([5.0, 3.0, 4.0, 3.5, 3.1, 1.0], patience=3)
    assert len(history) == 5
    assert (stopper.best, stopper.best_epoch) == (3.0, 2)
    assert (theta == thetas[1]).all()
    assert history.stopped == "score has not improved on 3 for 3 epochs"


def test_early_stopping_goes_on_while_it_improves():
    history, theta, thetas, stopper = scripted([5.0, 4.0, 4.5, 3.0, 3.5, 2.0], patience=2)
    assert len(history) == 6
    assert history.stopped == ""
    assert stopper.best_epoch == 6
    assert (theta == thetas[-1]).all()


def test_early_stopping_restores_the_best_even_when_the_epochs_run_out():
    history, theta, thetas, _ = scripted([5.0, 1.0, 4.0], patience=10)
    assert len(history) == 3
    assert (theta == thetas[1]).all()


def test_early_stopping_may_leave_the_last():
    history, theta, thetas, _ = scripted([1.0, 2.0, 3.0], patience=1, restore_best=False)
    assert len(history) == 2
    assert (theta == thetas[1]).all()


def test_early_stopping_wants_more_than_a_little():
    _, _, _, stopper = scripted([5.0, 4.95, 4.9, 4.0], patience=9, smallest_improvement=0.5)
    assert stopper.best_epoch == 4
    history, *_ = scripted([5.0, 4.9, 4.8, 4.7], patience=2, smallest_improvement=0.5)
    assert len(history) == 3


def test_early_stopping_knows_that_accuracies_should_rise():
    assert not EarlyStopping("val_accuracy").smaller_is_better
    assert EarlyStopping("val_loss").smaller_is_better
    _, _, _, stopper = scripted([0.5, 0.9, 0.7], patience=9, smaller_is_better=False)
    assert (stopper.best, stopper.best_epoch) == (0.9, 2)


def test_early_stopping_puts_back_the_running_statistics_too():
    net = make()
    net.add(normalisation())
    kept = {}

    class Keep(Callback):
        def on_epoch_end(self, run, row):
            kept[run.epoch] = run.vector.snapshot()["state"]

        def on_validation(self, run, row):
            row["score"] = float(run.epoch)

    fit(net, epochs=3, callbacks=[Keep(), EarlyStopping("score", smaller_is_better=True)])
    for name, array in ParameterVector(net).state.items():
        assert (array.asnumpy() == kept[1][name]).all()
        assert not (kept[1][name] == kept[3][name]).all()


def test_an_early_stopping_may_be_used_again():
    stopper = EarlyStopping("val_loss", patience=2)
    rows = [len(fit(make(), validation=HELD_OUT, epochs=40, callbacks=[stopper])) for _ in "ab"]
    assert rows[0] == rows[1] < 40


def test_a_callback_may_stop_in_the_middle_of_an_epoch():
    class Enough(Callback):
        def on_step_end(self, run):
            if run.step == 10:
                run.stop("enough")

    history = fit(make(), callbacks=[Enough()])
    assert history.stopped == "enough"
    assert history["step"].tolist() == [7, 10]


@pytest.mark.parametrize("activation", ["tanh", "relu", None])
@pytest.mark.parametrize("optimizer", [lambda rate: optim.sgd(rate),
                                       lambda rate: mx.optimizer.SGD(learning_rate=rate)],
                         ids=["nnbook", "mxnet"])  # fmt: skip
def test_divergence_stops_with_the_place_and_puts_theta_back(activation, optimizer):
    net = layers.mlp(4, [6], 1, activation=activation, seed=1)
    kept = []

    class Keep(Callback):
        def on_epoch_end(self, run, row):
            kept.append(run.vector.theta.asnumpy())
            if run.epoch == 2:
                run.vector.theta = onp.full(len(run.vector), 1e20, "float32")
                kept[-1] = run.vector.theta.asnumpy()

    with pytest.raises(
        DivergedError, match=r"not finite at epoch 3, step \d+, learning rate 0\.5"
    ) as e:
        fit(net, (X, X[:, :1]), loss=losses.squared_error, optimizer=optimizer(0.5), epochs=9,
            callbacks=[Keep()], shuffle=False)  # fmt: skip
    assert e.value.epoch == 3
    assert 15 <= e.value.step <= 21
    assert e.value.learning_rate == 0.5
    assert e.value.history["epoch"].tolist() == [1, 2]
    assert (theta_of(net) == kept[1]).all()


RULES = {
    "sgd": optim.sgd,
    "momentum": optim.momentum,
    "nesterov": optim.nesterov,
    "adagrad": optim.adagrad,
    "rmsprop": optim.rmsprop,
    "adam": optim.adam,
    "adamw": optim.adamw,
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("scale", [1e8, 1e16])
def test_every_rule_diverges_with_the_error_and_without_warnings(name, scale):
    net = layers.mlp(4, [6], 1, activation=None, seed=1)
    before = theta_of(net)
    x = (X * scale).astype("float32")
    with pytest.raises(DivergedError, match="epoch 1"):
        fit(net, (x, x[:, :1]), loss=losses.squared_error, optimizer=RULES[name](1e12), epochs=9,
            batch_size=1)  # fmt: skip
    assert (theta_of(net) == before).all()


def test_divergence_by_a_rate_that_is_too_large():
    net = layers.mlp(4, [], 1, seed=1)
    before = theta_of(net)
    schedule = schedules.step_decay(100.0, factor=0.5, every=4)
    with pytest.raises(DivergedError, match="Try a smaller rate") as e:
        fit(net, (X, X[:, :1]), loss=losses.squared_error, optimizer=optim.sgd(schedule),
            batch_size=1, epochs=5)  # fmt: skip
    assert e.value.epoch == 1
    assert e.value.learning_rate == schedule(e.value.step - 1)
    assert len(e.value.history) == 0
    assert (theta_of(net) == before).all()
    assert onp.isfinite(fit(net, (X, X[:, :1]), loss=losses.squared_error)["train_loss"]).all()


def test_a_nan_that_relu_hides_is_found_all_the_same():
    net = layers.mlp(4, [6], 3, activation="relu", seed=1)

    class Break(Callback):
        def on_epoch_start(self, run):
            if run.epoch == 2:
                weight = run.net[0].weight
                weight.set_data(weight.data() * onp.nan)

    with pytest.raises(DivergedError, match="epoch 2"):
        fit(net, callbacks=[Break()])


def test_an_interrupted_run_leaves_the_network_usable():
    class Interrupt(Callback):
        def on_step_end(self, run):
            if run.step == 3:
                raise KeyboardInterrupt

    net = make()
    before = theta_of(net)
    with pytest.raises(KeyboardInterrupt):
        fit(net, callbacks=[Interrupt()])
    assert not (theta_of(net) == before).all()
    assert onp.isfinite(fit(net)["train_loss"]).all()


def test_a_rate_for_every_weight():
    net = make()
    vector = ParameterVector(net)
    rates = onp.full(len(vector), 0.1)
    rates[vector.slices["0.weight"]] = 1e-12
    before = net[0].weight.data().asnumpy().copy(), net[2].weight.data().asnumpy().copy()
    fit(net, optimizer=optim.sgd(rates))
    onp.testing.assert_allclose(net[0].weight.data().asnumpy(), before[0], atol=1e-8)
    assert onp.abs(net[2].weight.data().asnumpy() - before[1]).max() > 1e-3


@pytest.mark.parametrize("callback", [EarlyStopping, training.ReduceOnPlateau])
def test_a_metric_of_which_nobody_knows_the_direction_must_have_one(callback):
    with pytest.raises(ValueError, match="monitor is 'val_g_mean', and nobody knows whether less"):
        callback("val_g_mean")
    callback("val_g_mean", smaller_is_better=False)


def of_differences(outputs, targets):
    return abs(outputs - targets).sum(axis=1)


def test_a_loss_that_mixes_examples_is_refused_with_the_way_out():
    x, y = RNG.normal(size=(40, 3)), RNG.normal(size=40)
    settings = {"loss": of_differences, "optimizer": optim.sgd(0.1), "epochs": 1}
    net = layers.mlp(3, [4], 1, seed=0)
    way = r"targets of shape \(n,\) make \(n, n\); expected .* y.reshape\(-1, 1\)"
    with pytest.raises(ValueError, match=way):
        training.fit(net, (x, y), progress=False, **settings)
    with pytest.raises(ValueError, match=way):
        training.evaluate(net, (x, y), of_differences)
    with pytest.raises(ValueError, match=way):
        training.fit(net, (x, y), sample_weight=abs(y), progress=False, **settings)
    history = training.fit(net, (x, y.reshape(-1, 1)), progress=False, **settings)
    assert history.path == "graph"  # abs can be traced


def test_outputs_are_refused_to_examples_that_the_network_does_not_take():
    net = layers.mlp(3, [4], 1, seed=0)
    with pytest.raises(ValueError, match=r"the network does not take examples of shape \(5,\)"):
        training.example_outputs(net, onp.zeros((2, 5)))
    words = mx.gluon.nn.HybridSequential()
    words.add(mx.gluon.nn.Embedding(8, 2), mx.gluon.nn.Dense(1))
    words.initialize()
    with pytest.raises(ValueError, match="x has 1 values that are no rows of the embedding, the f"):
        training.example_outputs(words, [[1, 9]])


def test_what_keeps_a_recurrent_network_from_a_graph_is_said():
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.rnn.GRU(3, layout="NTC"), mx.gluon.nn.Dense(1))
    net.initialize()
    x, y = RNG.normal(size=(20, 4, 2)), RNG.normal(size=(20, 1))
    history = training.fit(
        net, (x, y), loss=losses.squared_error, optimizer=optim.sgd(0.1), epochs=1, progress=False
    )
    assert (history.path, history.reason) == (
        "recorded", "MXNet does not trace Gluon's recurrent layers"
    )  # fmt: skip
