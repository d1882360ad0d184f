"""The fast way of training against the plain one: recorded gradients and pure rules."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as onp
import pytest

from nnbook import layers, losses, optim, schedules, training
from nnbook.gluon.examples import Examples
from nnbook.gluon.gradients import AutogradGradient, BoundGradient, make_gradient
from nnbook.gluon.updates import DeviceUpdate, make_update
from nnbook.parameters import ParameterVector, clone
from nnbook.runtime import mx, np, npx, seed_everything
from nnbook.training.updates import RuleUpdate

gluon, nn = mx.gluon, mx.gluon.nn
N, STEPS, BATCH = 60, 200, 8
RNG = onp.random.default_rng(0)
X = RNG.normal(size=(N, 6)).astype("float32")
LABELS = RNG.integers(0, 3, N).astype("int32")
TARGETS = RNG.normal(size=(N, 3)).astype("float32")
BITS = (TARGETS > 0).astype("float32")
SHARES = onp.exp(TARGETS) / onp.exp(TARGETS).sum(axis=1, keepdims=True)
IMAGES = RNG.normal(size=(N, 2, 6, 6)).astype("float32")
TOKENS = RNG.integers(0, 9, (N, 5)).astype("float32")
softmax = gluon.loss.SoftmaxCrossEntropyLoss()


class Unused(gluon.HybridBlock):
    """Has a layer that its output does not depend on."""

    def __init__(self):
        super().__init__()
        self.used, self.idle = nn.Dense(3, in_units=6), nn.Dense(4, in_units=6)

    def hybrid_forward(self, F, x):
        return self.used(x)


class Imperative(gluon.Block):
    """Python code that no tracing can follow."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(3, in_units=6)

    def forward(self, x):
        return self.dense(x) * (2.0 if float(x.sum()) > 0 else 1.0)


class Overridden(gluon.HybridBlock):
    """A hybrid block with a forward of its own, on arrays only."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(3, in_units=6)

    def forward(self, x):
        return self.dense(np.concatenate([x[:, :3], np.square(x[:, 3:])], axis=1))


class Asking(gluon.HybridBlock):
    """Asks in Python whether it is being trained."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(3, in_units=6)

    def hybrid_forward(self, F, x):
        return self.dense(x) * (2 if mx.autograd.is_training() else 1)


def stack(*blocks, init=None):
    net = nn.HybridSequential()
    net.add(*blocks)
    net.initialize(init or mx.init.Xavier())
    return net


def tied():
    first = nn.Dense(6, in_units=6, activation="tanh")
    second = nn.Dense(6, in_units=6, activation="tanh", params=first.params)
    return stack(first, second, nn.Dense(3, in_units=6))


def convolution():
    return stack(
        nn.Conv2D(4, 3, in_channels=2, activation="relu"), nn.MaxPool2D(), nn.Flatten(),
        nn.Dense(3, in_units=16),
    )  # fmt: skip


def normalised():
    return stack(
        nn.Dense(8, in_units=6), nn.BatchNorm(in_channels=8), nn.Activation("tanh"),
        nn.Dense(3, in_units=8), nn.BatchNorm(in_channels=3, scale=False),
    )  # fmt: skip


def frozen():
    net = layers.mlp(6, [5], 3, activation="tanh")
    net[0].weight.grad_req = "null"
    return net


def accumulating():
    net = layers.mlp(6, [5], 3, activation="tanh")
    net.collect_params().setattr("grad_req", "add")
    return net


def hybridised():
    net = layers.mlp(6, [5], 3, activation="tanh")
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def embedded():
    return stack(nn.Embedding(9, 4), nn.Dense(3, in_units=20))


def initialised(block):
    block.initialize(mx.init.Xavier())
    return block


NETS = {
    **{
        str(name): (lambda name=name: layers.mlp(6, [7, 5], 3, activation=name), X)
        for name in ("sigmoid", "tanh", "scaled_tanh", "relu", "softplus", None)
    },
    "linear": (lambda: layers.mlp(6, [], 3), X),
    "maxout": (lambda: stack(layers.Maxout(5, 3, in_units=6), nn.Dense(3, in_units=5)), X),
    "rbf": (lambda: stack(layers.RBF(5, 6), nn.Dense(3, in_units=5)), X),
    "batch normalisation": (normalised, X),
    "convolution": (convolution, IMAGES),
    "unused": (lambda: initialised(Unused()), X),
    "asking": (lambda: initialised(Asking()), X),
    "tied": (tied, X),
    "frozen": (frozen, X),
    "accumulating": (accumulating, X),
    "hybridised": (hybridised, X),
    "embedding": (embedded, TOKENS),
}
LOSSES = {
    "gluon softmax": (softmax, LABELS),
    "gluon soft labels": (gluon.loss.SoftmaxCrossEntropyLoss(sparse_label=False), SHARES),
    "gluon l2": (gluon.loss.L2Loss(), TARGETS),
    "gluon l1": (gluon.loss.L1Loss(), TARGETS),
    "gluon sigmoid": (gluon.loss.SigmoidBCELoss(), BITS),
    "squared error": (losses.squared_error, TARGETS),
    "softmax": (losses.softmax_cross_entropy, LABELS),
    "softmax of probabilities": (losses.softmax_cross_entropy, SHARES),
    "sigmoid": (losses.sigmoid_cross_entropy, BITS),
    "hinge": (losses.hinge, LABELS),
}
RULES = {
    "sgd": lambda: optim.sgd(0.1),
    "sgd, scheduled": lambda: optim.sgd(schedules.inverse_time_decay(0.2, 0.05)),
    "momentum": lambda: optim.momentum(0.02, momentum=0.9),
    "nesterov": lambda: optim.nesterov(0.02, momentum=0.9),
    "adagrad": lambda: optim.adagrad(0.05),
    "rmsprop": lambda: optim.rmsprop(0.003, decay=0.9),
    "adam": lambda: optim.adam(0.01),
    "adamw": lambda: optim.adamw(0.01, weight_decay=0.1),
}


def minibatches():
    """The rows of every step, in the sizes that an epoch has: whole ones and a smaller last."""
    rng, rows = onp.random.default_rng(5), []
    while len(rows) < STEPS:
        order = rng.permutation(N)
        rows += [order[i : i + BATCH] for i in range(0, N, BATCH)]
    return [*rows[: STEPS - 1], slice(3, 11)]


def distance(a, b):
    return onp.linalg.norm(a - b) / onp.linalg.norm(b)


def both_ways(net, x, y, loss, rule, penalty=None, steps=STEPS):
    """Train two copies on the same minibatches; return what is left of each."""
    results = []
    for quick in (True, False):
        twin = clone(net)
        vector = ParameterVector(twin)
        examples = Examples(twin, (x, y), loss, name="train")
        if quick:
            source = make_gradient(twin, vector, loss, examples)
            assert type(source) is BoundGradient
            update = make_update(vector, rule, penalty)
            assert type(update) is RuleUpdate
        else:
            source = AutogradGradient(twin, vector, loss, examples, "to compare with")
            update = DeviceUpdate(rule, vector.theta, vector.grad, vector, penalty)
        measured = []
        for rows in minibatches()[:steps]:
            measured.append(float(source(rows)))
            update()
        state = {name: array.asnumpy() for name, array in vector.state.items()}
        results.append((vector.theta.asnumpy(), onp.array(measured), state))
    return results


def agree(net, x, y, loss, rule, dtype, penalty=None, steps=STEPS):
    if dtype == "float64":
        net = clone(net, dtype="float64")
        x, y = x.astype("float64"), y if y.dtype == "int32" else y.astype("float64")
    start = ParameterVector(clone(net)).theta.asnumpy()
    quick, plain = both_ways(net, x, y, loss, rule, penalty, steps)
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    assert quick[0].dtype == plain[0].dtype == dtype
    assert distance(start, plain[0]) > 0.01  # it has learned something
    assert distance(quick[0], plain[0]) < tolerance
    assert distance(quick[1], plain[1]) < tolerance
    assert quick[2].keys() == plain[2].keys()
    for name, array in quick[2].items():
        if onp.abs(plain[2][name]).sum():
            assert distance(array, plain[2][name]) < tolerance
        assert onp.isfinite(array).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_every_rule(name, dtype):
    net = layers.mlp(6, [5], 3, activation="tanh", seed=1)
    agree(net, X, LABELS, softmax, RULES[name](), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETS)
def test_every_net(name, dtype):
    make, x = NETS[name]
    steps = STEPS if dtype == "float32" else 50
    agree(make(), x, LABELS, softmax, optim.momentum(0.02), dtype, steps=steps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "softmax of probabilities"])
def test_every_loss(name, dtype):
    loss, y = LOSSES[name]
    net = layers.mlp(6, [5], 3, activation="tanh", seed=1)
    agree(net, X, y, loss, optim.momentum(0.02), dtype, steps=50)


class Pull:
    """A penalty whose gradient is not zero at zero."""

    def gradient(self, theta):
        return 0.01 * (theta + 1)


@pytest.mark.parametrize("penalty", [losses.l2_penalty(0.1), losses.l1_penalty(0.01), Pull()])
@pytest.mark.parametrize("name", ["tanh", "unused", "batch normalisation"])
def test_every_penalty(penalty, name):
    make, x = NETS[name]
    agree(make(), x, LABELS, softmax, optim.momentum(0.02), "float64", penalty, steps=50)


def test_rates_of_ones_own_for_every_weight():
    net = layers.mlp(6, [5], 3, activation="tanh", seed=1)
    rates = onp.random.default_rng(1).uniform(0.01, 0.1, 6 * 5 + 5 + 5 * 3 + 3)
    agree(net, X, LABELS, softmax, optim.momentum(rates), "float64", steps=50)


@pytest.mark.parametrize("name", LOSSES)
def test_fit_descends_on_the_gradient_of_the_loss_it_was_given(name):
    """The first full-batch step against central differences of the loss itself."""
    loss, y = LOSSES[name]
    net = layers.mlp(6, [4], 3, activation="tanh", dtype="float64", seed=1)
    x = X.astype("float64")
    vector = ParameterVector(net)
    start = vector.theta.asnumpy()
    direction = onp.random.default_rng(2).normal(size=len(vector))

    def objective(theta):
        vector.theta = theta
        return float(losses_of(loss, net, x, y).mean())

    slope = (objective(start + 1e-6 * direction) - objective(start - 1e-6 * direction)) / 2e-6
    vector.theta = start
    training.fit(net, (x, y), loss=loss, optimizer=optim.sgd(0.5), batch_size=N, epochs=1)
    step = vector.theta.asnumpy() - start
    assert step @ direction == pytest.approx(-0.5 * slope, rel=1e-6)


def losses_of(loss, net, x, y):
    y = np.array(y, dtype="int32" if y.dtype == "int32" else "float64")
    return loss(net(np.array(x, dtype="float64")), y)


@pytest.mark.parametrize("hybridise", [False, True])
def test_dropout_runs_and_is_reproducible(hybridise):
    thetas = []
    for seed in (0, 0, 1):
        net = layers.mlp(6, [20], 3, activation="relu", dropout=0.5, seed=3)
        if hybridise:
            net.hybridize()
        seed_everything(int(onp.random.default_rng(len(thetas)).integers(1000)))
        history = training.fit(
            net, (X, LABELS), loss=softmax, optimizer=optim.sgd(0.1), batch_size=N, epochs=3,
            seed=seed,
        )  # fmt: skip
        thetas.append(ParameterVector(net).theta.asnumpy())
        assert onp.isfinite(history["train_loss"]).all()
    assert (thetas[0] == thetas[1]).all()
    # Full batches: nothing but the masks depends on the seed.
    assert not (thetas[0] == thetas[2]).all()


def test_dropout_drops_as_often_as_it_should():
    class Ones(gluon.HybridBlock):
        def hybrid_forward(self, F, x):
            return F.npx.dropout(F.np.ones_like(x), p=0.25)

    net = nn.HybridSequential()
    net.add(Ones(), nn.Dense(1, in_units=500, use_bias=False))
    net.initialize(mx.init.Zero())
    x, y = onp.zeros((40, 500), "float32"), onp.ones((40, 1), "float32")
    training.fit(net, (x, y), loss=gluon.loss.L2Loss(), optimizer=optim.sgd(1.0), batch_size=40,
                 epochs=1)  # fmt: skip
    # From w = 0 towards 1 the first step is the mean mask, whose values are 0 and 4/3.
    mean = net[1].weight.data().asnumpy().ravel()
    assert mean.mean() == pytest.approx(1, abs=0.02)
    assert mean.var() == pytest.approx((4 / 3) ** 2 * 0.25 * 0.75 / 40, rel=0.3)


def hooked():
    net = layers.mlp(6, [5], 3, activation="tanh", seed=0)
    net.calls = []
    net[0].register_forward_hook(lambda block, inputs, output: net.calls.append(1))
    return net


def pre_hooked():
    net = layers.mlp(6, [5], 3, activation="tanh", seed=0)
    net.calls = []
    net[2].register_forward_pre_hook(lambda block, inputs: net.calls.append(1))
    return net


def on_arrays(outputs, labels):
    """A loss in terms of NumPy-like functions, which do not take symbols."""
    chosen = np.log(npx.softmax(outputs))
    return -(chosen * npx.one_hot(labels, 3)).sum(axis=1)


def looking(outputs, labels):
    assert outputs.asnumpy().ndim == 2
    return softmax(outputs, labels)


UNTRACEABLE = {
    "plain block": (lambda: initialised(Imperative()), softmax),
    "own forward": (lambda: initialised(Overridden()), softmax),
    "forward hook": (hooked, softmax),
    "forward pre-hook": (pre_hooked, softmax),
    "loss on arrays": (lambda: layers.mlp(6, [5], 3, activation="tanh"), on_arrays),
    "loss that looks": (lambda: layers.mlp(6, [5], 3, activation="tanh"), looking),
}


@pytest.mark.parametrize("name", UNTRACEABLE)
def test_what_cannot_be_traced_falls_back_and_trains(name):
    make, loss = UNTRACEABLE[name]
    net = make()
    vector = ParameterVector(net)
    examples = Examples(net, (X, LABELS), loss, name="train")
    assert type(make_gradient(net, vector, loss, examples)) is AutogradGradient
    calls = getattr(net, "calls", None)
    before = len(calls) if calls is not None else 0
    twin = clone(net)
    history = training.fit(
        net, (X, LABELS), loss=loss, optimizer=optim.momentum(0.1), batch_size=20, epochs=30
    )
    assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]
    if calls is not None:
        assert len(calls) - before >= 90  # every step was seen
    # The same by hand.
    theirs = ParameterVector(twin)
    rule = optim.momentum(0.1)
    state = rule.init(theirs.theta)
    for epoch in range(1, 31):
        order = onp.random.default_rng([0, epoch]).permutation(N)
        for start in range(0, N, 20):
            rows = order[start : start + 20]
            x, y = np.array(X[rows]), np.array(LABELS[rows], dtype="int32")
            with mx.autograd.record():
                objective = loss(twin(x), y).mean()
            objective.backward()
            step, state = rule.update(theirs.grad, state, theirs.theta)
            theirs.theta += step
    assert distance(vector.theta.asnumpy(), theirs.theta.asnumpy()) < 1e-5


def test_an_unused_weight_under_a_penalty_decays_geometrically():
    net = initialised(Unused())
    idle = net.idle.weight.data().asnumpy().copy()
    training.fit(net, (X, LABELS), loss=softmax, optimizer=optim.sgd(0.1), batch_size=N, epochs=20,
                 penalty=losses.l2_penalty(0.5))  # fmt: skip
    expected = idle * (1 - 0.1 * 0.5) ** 20
    onp.testing.assert_allclose(net.idle.weight.data().asnumpy(), expected, rtol=1e-5)


def test_gradients_left_by_others_do_not_move_unused_parameters():
    net = initialised(Unused())
    with mx.autograd.record():
        objective = net.idle(np.array(X)).sum()
    objective.backward()
    assert float(abs(net.idle.weight.grad()).sum()) > 0
    before = net.idle.weight.data().asnumpy().copy()
    training.fit(net, (X, LABELS), loss=softmax, optimizer=optim.sgd(0.1), epochs=2)
    assert (net.idle.weight.data().asnumpy() == before).all()


def test_the_gradient_is_left_where_callbacks_look_for_it():
    net = layers.mlp(6, [5], 3, activation="tanh", seed=1)

    class Look(training.Callback):
        def on_step_end(self, run):
            self.grad = run.vector.grad.asnumpy()
            self.theta = run.vector.theta.asnumpy()

    look = Look()
    start = ParameterVector(net).theta.asnumpy()
    training.fit(net, (X, LABELS), loss=softmax, optimizer=optim.sgd(0.1), batch_size=N, epochs=1,
                 callbacks=[look])  # fmt: skip
    onp.testing.assert_allclose(look.theta, start - 0.1 * look.grad, rtol=1e-5, atol=1e-7)


def test_parameters_changed_from_outside_are_what_the_next_step_uses():
    net = layers.mlp(6, [], 3, seed=1)

    class Reset(training.Callback):
        def on_epoch_end(self, run, row):
            run.vector.theta = onp.zeros(len(run.vector))
            self.row = row

    reset = Reset()
    history = training.fit(net, (X, LABELS), loss=softmax, optimizer=optim.sgd(0.1), batch_size=N,
                           epochs=3, callbacks=[reset])  # fmt: skip
    assert history[1]["train_loss"] == pytest.approx(onp.log(3), rel=1e-5)
    assert history[2]["train_loss"] == pytest.approx(onp.log(3), rel=1e-5)
    assert (ParameterVector(net).theta.asnumpy() == 0).all()


def resident():
    gc.collect()
    mx.nd.waitall()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def grown(fit, times, first=1):
    for _ in range(first):  # what is allocated once
        fit()
    before = resident()
    for _ in range(times):
        fit()
    return resident() - before


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize(
    ("make", "epochs"),
    [(lambda: layers.mlp(6, [5], 3, seed=0), 200), (lambda: initialised(Overridden()), 15)],
    ids=["traced, 20,000 steps", "recorded, 1,500 steps"],
)
def test_memory_stays_flat(make, epochs):
    net = make()
    x, y = onp.tile(X, (2, 1))[:100], onp.tile(LABELS, 2)[:100]

    def fit():
        training.fit(net, (x, y), loss=softmax, optimizer=optim.sgd(1e-3), batch_size=5,
                     epochs=epochs)  # fmt: skip

    assert grown(fit, times=5) < 10  # MB


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_stays_flat_when_every_minibatch_has_another_size():
    net = layers.mlp(6, [50], 3, seed=0)
    sizes = iter(onp.random.default_rng(0).integers(1, 120, 1000).tolist())

    def order(n, epoch, rng):
        return rng.integers(0, n, next(sizes))

    def fit():
        training.fit(net, (X, LABELS), loss=softmax, optimizer=optim.sgd(1e-3), batch_size=200,
                     epochs=100, order=order)  # fmt: skip

    assert grown(fit, times=3, first=4) < 10  # MB
