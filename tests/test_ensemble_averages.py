"""`EMA`, `PolyakAverage` and `refresh_statistics`: closed forms, resuming, statistics."""

import math

import numpy as onp
import pytest

from nnbook import data, layers, losses, optim, training
from nnbook.ensemble.averages import EMA, PolyakAverage, refresh_statistics
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx

nn = mx.gluon.nn
X, Y = data.moons(n=60, rng=0)
X, Y = X.astype("float32"), Y.astype("int32")


def normalised(seed=0, device=None, dtype="float32"):
    """A network with two normalisations and dropout, whose shapes are known."""
    mx.random.seed(seed)
    net = nn.HybridSequential()
    net.add(nn.Dense(6, in_units=2), nn.BatchNorm(in_channels=6), nn.Activation("tanh"))
    net.add(nn.Dropout(0.4), nn.Dense(5, in_units=6), nn.BatchNorm(in_channels=5))
    net.add(nn.Dense(2, in_units=5))
    net.initialize(mx.init.Uniform(0.8), ctx=device or mx.cpu())
    net.cast(dtype)
    return net


def fit(net, callbacks=(), **options):
    defaults = {"optimizer": optim.momentum(0.1), "batch_size": 16, "epochs": 4}
    return training.fit(
        net,
        (X, Y),
        loss=losses.softmax_cross_entropy,
        callbacks=callbacks,
        progress=False,
        **defaults | options,
    )


def theta_of(net):
    return ParameterVector(net).theta.asnumpy().copy()


def linear_run(average, steps):
    """Train where the gradient is the same at every θ; return θ₀ and the step c."""
    net = layers.mlp(3, [], 1, dtype="float64", seed=0)
    start = theta_of(net)
    x, y = onp.array([[1.0, -2.0, 0.5]]), onp.array([[1.0]])
    training.fit(
        net,
        (x, y),
        loss=lambda outputs, targets: (outputs * targets).sum(axis=-1),
        optimizer=optim.sgd(0.01),
        epochs=steps,
        callbacks=[average],
        progress=False,
    )
    return start, -0.01 * onp.array([1.0, -2.0, 0.5, 1.0])


class Trajectory(training.Callback):
    """Keep θ and the running statistics after every step."""

    def __init__(self):
        self.seen = []

    def on_step_end(self, run):
        self.seen.append(run.vector.snapshot())


# ---------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_ema_of_a_straight_path_trails_by_the_closed_form(decay):
    ema, n = EMA(decay, warmup=False), 30
    start, step = linear_run(ema, n)
    lag = decay * (1 - decay**n) / (1 - decay)
    onp.testing.assert_allclose(ema.theta, start + (n - lag) * step, rtol=1e-12)
    assert ema.count == n


def test_during_the_warm_up_the_average_trails_by_a_tenth():
    # d_t = (1 + t)/(10 + t), and lag_{t+1} = d_t (lag_t + 1), is solved by lag_t = t/10.
    ema = EMA(0.9999)
    start, step = linear_run(ema, 40)
    onp.testing.assert_allclose(ema.theta, start + 36 * step, rtol=1e-12)


def test_during_the_warm_up_the_initial_parameters_fade_as_documented():
    ema, kept = EMA(0.9999), onp.ones(1)
    for n in range(1, 30):
        ema._add(kept, onp.zeros(1), onp.empty(1))
        ema.count = n
        expected = math.factorial(n) * math.factorial(9) / math.factorial(n + 9)
        assert kept[0] == pytest.approx(expected, rel=1e-10)


def test_the_warm_up_ends_at_the_decay():
    ema = EMA(0.5)
    start, step = linear_run(ema, 60)
    # From 8 on (9/18), d = 0.5, whose lag is 1.
    onp.testing.assert_allclose(ema.theta, start + 59 * step, rtol=1e-12)


@pytest.mark.parametrize(
    ("begin", "first"), [(0, 1), (7, 8), (0.5, 11), (0.0, 1), (0.52, 12)], ids=str
)
def test_polyak_is_the_mean_of_the_tail(begin, first):
    tail, n = PolyakAverage(begin), 20
    start, step = linear_run(tail, n)
    assert tail.count == n - first + 1
    onp.testing.assert_allclose(tail.theta, start + (first + n) / 2 * step, rtol=1e-12)


@pytest.mark.parametrize("make", [EMA, lambda **o: PolyakAverage(0, **o)], ids=["ema", "polyak"])
def test_every_third_step(make):
    average, every_step = make(every=3), Trajectory()
    fit(layers.mlp(2, [4], 2, seed=0), [average, every_step], epochs=5)
    assert average.count == 7  # of 20 steps: 1, 4, … 19
    if isinstance(average, PolyakAverage):
        mean = onp.mean([s["theta"] for s in every_step.seen[::3]], axis=0, dtype=float)
        onp.testing.assert_allclose(average.theta, mean, atol=1e-7)


def test_averaging_gets_closer_to_the_minimum_of_a_noisy_quadratic():
    rng = onp.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    y = x @ rng.normal(size=(4, 1)) + rng.normal(size=(400, 1))
    design = onp.c_[x, onp.ones(400)]
    best = onp.linalg.lstsq(design, y, rcond=None)[0][:, 0]
    last, averaged = [], []
    for seed in range(4):
        net, tail = layers.mlp(4, [], 1, dtype="float64", seed=seed), PolyakAverage(0.5)
        training.fit(
            net, (x, y), loss=losses.squared_error, optimizer=optim.sgd(0.05), batch_size=1,
            epochs=4, seed=seed, callbacks=[tail], progress=False,
        )  # fmt: skip
        last.append(((theta_of(net) - best) ** 2).sum())
        averaged.append(((tail.theta - best) ** 2).sum())
    assert onp.mean(averaged) < 0.1 * onp.mean(last)


# ---------------------------------------------------------------------- beside training


RULES = {"momentum": lambda: optim.momentum(0.1), "mxnet": lambda: mx.optimizer.Adam(0.01)}


@pytest.mark.parametrize("rule", RULES)
def test_averaging_leaves_training_as_it_was_bit_for_bit(rule):
    nets = [normalised(), normalised()]
    plain = fit(nets[0], optimizer=RULES[rule]())
    averages = [EMA(validation=(X, Y)), PolyakAverage(0.3, validation=(X, Y), every=2)]
    watched = fit(nets[1], averages, optimizer=RULES[rule]())
    first, second = (ParameterVector(net).snapshot() for net in nets)
    assert (first["theta"] == second["theta"]).all()
    for name, values in first["state"].items():
        assert (values == second["state"][name]).all()
    assert plain["train_loss"].tolist() == watched["train_loss"].tolist()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("device", [mx.cpu(), mx.cpu(1)], ids=str)
def test_theta_and_running_statistics_are_averaged_alike(rule, hybridize, device):
    net, every_step = normalised(device=device), Trajectory()
    if hybridize:
        net.hybridize()
    first = ParameterVector(net).snapshot()
    averages = EMA(0.8, warmup=False), PolyakAverage(3)
    fit(net, [*averages, every_step], optimizer=RULES[rule](), epochs=3)
    expected = first
    for seen in every_step.seen:
        expected = _mixed(expected, seen, 0.8)
    tail = every_step.seen[3:]
    mean = {n: onp.mean([s["state"][n] for s in tail], axis=0) for n in first["state"]}
    assert len(mean) == 4
    mean = {"theta": onp.mean([s["theta"] for s in tail], axis=0), "state": mean}
    for average, wanted in zip(averages, (expected, mean), strict=True):
        twin = average.averaged(net)
        found = ParameterVector(twin).snapshot()
        onp.testing.assert_allclose(found["theta"], wanted["theta"], atol=1e-6)
        for name, values in wanted["state"].items():
            onp.testing.assert_allclose(found["state"][name], values, atol=1e-6)
        x = mx.np.array(X, ctx=device)
        assert twin(x).ctx == device
        assert twin._active is hybridize


def _mixed(old, new, decay):
    state = {n: decay * v + (1 - decay) * new["state"][n] for n, v in old["state"].items()}
    return {"theta": decay * old["theta"] + (1 - decay) * new["theta"], "state": state}


def test_a_network_without_a_graph_and_frozen_weights():
    class Plain(mx.gluon.Block):
        def __init__(self):
            super().__init__()
            self.inner = layers.mlp(2, [4], 2, seed=0)
            self.register_child(self.inner)

        def forward(self, x):
            return self.inner(x)

    net, ema = Plain(), EMA(0.5)
    net.inner[0].weight.grad_req = "null"
    frozen = net.inner[0].weight.data().asnumpy().copy()
    fit(net, [ema], epochs=1)
    twin = ema.averaged(net)
    assert ema.theta.shape == (4 + 10,)
    assert (twin.inner[0].weight.data().asnumpy() == frozen).all()
    assert not (twin.inner[2].weight.data().asnumpy() == net.inner[2].weight.data().asnumpy()).all()


def test_the_columns_are_those_of_the_averaged_network():
    net = normalised()
    ema, tail = EMA(0.9, validation=(X, Y)), PolyakAverage(0.5, validation=(X, Y), name="tail")
    history = fit(net, [ema, tail], validation=(X, Y), epochs=4)
    for average, name in ((ema, "ema"), (tail, "tail")):
        found = training.evaluate(average.averaged(net), (X, Y), losses.softmax_cross_entropy)
        assert history[-1][f"{name}_val_loss"] == pytest.approx(found["loss"], rel=1e-6)
        assert history[-1][f"{name}_val_accuracy"] == found["accuracy"]
    assert onp.isnan(history["tail_val_loss"]).tolist() == [True, True, False, False]
    assert history[-1]["ema_val_loss"] != history[-1]["val_loss"]


def test_swapped_puts_back_what_was_there_also_after_an_exception():
    net, ema = normalised(), EMA(0.9)
    fit(net, [ema])
    before = ParameterVector(net).snapshot()

    def interrupted():
        with ema.swapped(net) as inside:
            assert inside is net
            assert (theta_of(net) == ema.theta).all()
            raise KeyError("deliberate")

    with pytest.raises(KeyError, match="deliberate"):
        interrupted()
    after = ParameterVector(net).snapshot()
    assert (before["theta"] == after["theta"]).all()
    assert not (before["theta"] == ema.theta).all()
    for name, values in before["state"].items():
        assert (values == after["state"][name]).all()


def test_the_copy_is_a_copy():
    net, ema = layers.mlp(2, [3], 2, seed=0), EMA()
    fit(net, [ema])
    before, theta = theta_of(net), ema.theta
    twin = ema.averaged(net)
    ParameterVector(twin).theta[...] = 0
    theta[...] = 7
    assert (theta_of(net) == before).all()
    assert (ema.theta != 7).all()


# ---------------------------------------------------------------------- resuming


@pytest.mark.parametrize("rule", RULES)
def test_a_resumed_run_ends_with_the_same_averages_bit_for_bit(rule, tmp_path):
    def averages():
        return EMA(0.95, validation=(X, Y)), PolyakAverage(6)

    def run(epochs, *more):
        net, made = normalised(), averages()
        history = fit(net, [*made, *more], optimizer=RULES[rule](), epochs=epochs)
        return net, made, history

    path = tmp_path / "run.checkpoint"
    whole_net, whole, expected = run(5)
    run(2, training.Checkpoint(path))
    net, resumed, history = run(5, training.Checkpoint(path))
    assert (theta_of(net) == theta_of(whole_net)).all()
    assert history["ema_val_loss"].tolist() == expected["ema_val_loss"].tolist()
    for mine, theirs in zip(resumed, whole, strict=True):
        assert mine.count == theirs.count
        first, second = (ParameterVector(a.averaged(net)).snapshot() for a in (mine, theirs))
        assert (first["theta"] == second["theta"]).all()
        for name, values in first["state"].items():
            assert (values == second["state"][name]).all()


def test_an_average_serves_a_second_run():
    ema = EMA(0.9)
    found = []
    for _ in range(2):
        fit(layers.mlp(2, [3], 2, seed=0), [ema])
        found.append(ema.theta)
    assert (found[0] == found[1]).all()
    assert ema.count == 16


# ---------------------------------------------------------------------- statistics


def reference_statistics(net, x):
    """The statistics of both normalisations over all of x, in NumPy and float64."""

    def values(parameter):
        return parameter.data().asnumpy().astype(float)

    first = x @ values(net[0].weight).T + values(net[0].bias)
    scaled = (first - first.mean(0)) / onp.sqrt(first.var(0) + 1e-5)
    hidden = onp.tanh(scaled * values(net[1].gamma) + values(net[1].beta))
    second = hidden @ values(net[4].weight).T + values(net[4].bias)
    return [(a.mean(0), a.var(0)) for a in (first, second)]


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("device", [mx.cpu(), mx.cpu(1)], ids=str)
def test_refreshed_statistics_are_those_of_the_data(device, hybridize):
    net = normalised(device=device)
    net[1].gamma.set_data(mx.np.array([0.5, 1, 2, 1, 1, 3.0]))
    if hybridize:
        net.hybridize()
        net(mx.np.array(X, ctx=device))
    before = ParameterVector(net).theta.asnumpy().copy()
    assert refresh_statistics(net, X, batch_size=len(X)) is None
    for block, (mean, variance) in zip((net[1], net[5]), reference_statistics(net, X), strict=True):
        onp.testing.assert_allclose(block.running_mean.data().asnumpy(), mean, atol=2e-6)
        onp.testing.assert_allclose(block.running_var.data().asnumpy(), variance, rtol=1e-5)
        assert block.running_mean.data().ctx == device
    assert (theta_of(net) == before).all()
    # What the network does now is what training normalised by, without dropout.
    hidden = net(mx.np.array(X, ctx=device)).asnumpy()
    assert onp.isfinite(hidden).all()


def test_in_float64_and_in_any_batches_of_the_first_normalisation():
    net = normalised(dtype="float64")
    x = X.astype(float) * 3 + 100  # a mean far from 0: sums of squares would cancel
    refresh_statistics(net, x, batch_size=7)
    mean, variance = reference_statistics(net, x)[0]
    onp.testing.assert_allclose(net[1].running_mean.data().asnumpy(), mean, rtol=1e-12)
    onp.testing.assert_allclose(net[1].running_var.data().asnumpy(), variance, rtol=1e-9)


def test_statistics_of_channels():
    net = nn.HybridSequential()
    net.add(nn.BatchNorm(in_channels=3), nn.Conv2D(2, 3, in_channels=3))
    net.initialize()
    x = onp.random.default_rng(0).normal(2, 3, size=(10, 3, 5, 5)).astype("float32")
    refresh_statistics(net, x, batch_size=4)
    found = net[0].running_mean.data().asnumpy(), net[0].running_var.data().asnumpy()
    onp.testing.assert_allclose(found[0], x.mean(axis=(0, 2, 3), dtype=float), rtol=1e-5)
    onp.testing.assert_allclose(found[1], x.var(axis=(0, 2, 3), dtype=float), rtol=1e-5)


def test_refreshing_makes_an_average_better_than_stale_statistics():
    net, tail = normalised(), PolyakAverage(0.5)
    fit(net, [tail], epochs=10)
    twin = tail.averaged(net)
    twin[1].running_mean.set_data(mx.np.ones(6) * 5)  # as good as never computed
    stale = training.evaluate(twin, (X, Y), losses.softmax_cross_entropy)["loss"]
    refresh_statistics(twin, X)
    fresh = training.evaluate(twin, (X, Y), losses.softmax_cross_entropy)["loss"]
    assert fresh < 0.9 * stale


def test_without_normalisation_and_with_global_statistics_nothing_happens():
    refresh_statistics(layers.mlp(2, [3], 2, seed=0), X)
    net = nn.HybridSequential()
    net.add(nn.BatchNorm(in_channels=2, use_global_stats=True), nn.Dense(2, in_units=2))
    net.initialize()
    refresh_statistics(net, X)
    assert (net[0].running_mean.data().asnumpy() == 0).all()


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EMA(1.0), ValueError, r"decay is 1\.0; expected a number in \[0, 1\)"),
        (lambda: EMA(-0.1), ValueError, r"decay is -0\.1"),
        (lambda: EMA(onp.nan), ValueError, "decay is nan"),
        (lambda: EMA("0.9"), TypeError, "decay is '0.9'; expected a number"),
        (lambda: EMA(every=0), ValueError, "every is 0; .*at least 1"),
        (lambda: EMA(every=1.5), TypeError, r"every is 1\.5"),
        (lambda: PolyakAverage(1.0), ValueError, r"start is 1\.0; expected a number"),
        (lambda: PolyakAverage(-3), ValueError, "start is -3"),
        (lambda: PolyakAverage(True), TypeError, "start is True"),
        (lambda: EMA().theta, ValueError, "EMA has averaged no step yet"),
        (lambda: refresh_statistics(normalised(), X[:0]), ValueError, "at least one example"),
        (lambda: refresh_statistics(normalised(), X, 0), ValueError, "batch_size is 0"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_examples_that_do_not_fit_leave_the_statistics_alone():
    net = normalised()
    before = ParameterVector(net).snapshot()["state"]
    with pytest.raises((mx.base.MXNetError, ValueError)):
        refresh_statistics(net, X[:, :1])
    for name, values in ParameterVector(net).snapshot()["state"].items():
        assert (values == before[name]).all()


def test_validation_data_that_do_not_fit_stop_the_run_before_it_starts():
    net = layers.mlp(2, [3], 2, seed=0)
    before = theta_of(net)
    with pytest.raises(ValueError, match="validation y has 60 labels out of range"):
        fit(net, [EMA(validation=(X, Y + 2))])
    assert (theta_of(net) == before).all()


def test_another_architecture_is_refused():
    ema = EMA()
    fit(layers.mlp(2, [3], 2, seed=0), [ema])
    for other in (layers.mlp(2, [4], 2), layers.mlp(2, [3], 2, dtype="float64")):
        before = theta_of(other)
        with pytest.raises(ValueError, match="another architecture or dtype"):
            ema.averaged(other)
        with pytest.raises(ValueError, match="another architecture"), ema.swapped(other):
            pass
        assert (theta_of(other) == before).all()


def test_an_average_of_a_run_that_diverged_is_refused():
    net, ema = layers.mlp(2, [], 1, seed=0), EMA()
    with pytest.raises(training.DivergedError):
        training.fit(
            net, (X, X[:, :1]), loss=losses.squared_error, optimizer=optim.sgd(1e4), epochs=50,
            callbacks=[ema], progress=False,
        )  # fmt: skip
    with pytest.raises(FloatingPointError, match="training has diverged"):
        ema.averaged(net)
