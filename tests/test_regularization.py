"""Regularizers held to closed forms: decay, proximal steps, bounds, dropout, noise, margins."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnbook import data, layers, losses, objective, optim, population, training
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx
from nnbook.runtime import np as mnp

QUIET = {"progress": False}
DEVICES = [mx.cpu(), mx.cpu(1)]


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def nothing(batches=10):
    """Return an objective without a data gradient, so that only what is added moves θ."""
    return objective.from_function(
        lambda theta, rows: 0.0, lambda theta, rows: 0 * theta, np.ones(2), examples=batches
    )


# ------------------------------------------------------------------ identities of the linear model


@pytest.mark.parametrize(
    ("curvature", "stopped", "ridge"),
    [(1.0, 0.99997, 0.9091), (0.1, 0.63397, 0.5), (0.01, 0.09521, 0.09091)],
)
def test_stopping_early_shrinks_as_ridge_does(curvature, stopped, ridge):
    optimum, rate, steps, strength = 1.0, 0.1, 100, 0.1
    path = optim.trajectory(
        optim.sgd(rate), lambda w: curvature * (w - optimum), np.zeros(1), steps
    )
    assert path[-1, 0] == pytest.approx(1 - (1 - rate * curvature) ** steps, rel=1e-12)
    assert path[-1, 0] == pytest.approx(stopped, abs=5e-6)
    penalty = losses.l2_penalty(strength)
    path = optim.trajectory(
        optim.sgd(rate),
        lambda w: curvature * (w - optimum) + penalty.gradient(w),
        np.zeros(1),
        3000,
    )
    assert path[-1, 0] == pytest.approx(curvature / (curvature + strength), rel=1e-8)
    assert path[-1, 0] == pytest.approx(ridge, abs=5e-5)


def test_bias_falls_and_variance_rises_while_a_linear_model_is_trained():
    h, truth, noise, n, rate, steps = 0.5, 1.0, 1.0, 40, 0.1, 400

    def path_to(optimum):  # of gradient descent from 0 on ½ h (w − optimum)²
        return optim.trajectory(optim.sgd(rate), lambda w: h * (w - optimum), np.zeros(1), steps)

    # The path is linear in the optimum; that of a sample has the variance σ²/(n h).
    answer = path_to(1.0)[:, 0]
    bias = h * (truth - truth * answer) ** 2
    variance = h * answer**2 * noise**2 / (n * h)
    shrink = (1 - rate * h) ** np.arange(steps + 1)
    assert bias == pytest.approx(h * shrink**2 * truth**2, rel=1e-9, abs=1e-15)
    assert variance == pytest.approx(noise**2 / n * (1 - shrink) ** 2, abs=1e-15)
    assert (np.diff(bias) <= 0).all()
    assert (np.diff(variance) >= 0).all()
    total = bias + variance
    assert total.argmin() == 59
    assert total.min() == pytest.approx(0.023810, abs=5e-7)
    assert total[-1] == pytest.approx(0.025, abs=1e-6)


def test_and_so_it_comes_out_on_samples():
    h, n, rate, t, samples = 0.5, 40, 0.1, 59, 4000
    rng = np.random.default_rng(0)
    x = np.sqrt(h) * np.where(np.arange(n) % 2, 1.0, -1.0)  # of the second moment h, exactly
    y = x * 1.0 + rng.normal(size=(samples, n))
    path = optim.trajectory(
        optim.sgd(rate), lambda w: ((w[:, None] * x - y) * x).mean(axis=1), np.zeros(samples), t
    )
    risk = h * (path[-1] - 1.0) ** 2
    assert risk.mean() == pytest.approx(0.023810, abs=4 * risk.std() / np.sqrt(samples))


@pytest.mark.parametrize("batch", [10, 50, 250])
def test_how_a_penalty_is_scaled_decides_whether_the_batch_size_matters(batch):
    total, strength, rate = 1000, 3.0, 0.01

    def after_an_epoch(scale):
        loss = nothing(total)
        training.fit(
            loss, optimizer=optim.sgd(rate), batch_size=batch, epochs=1,
            penalty=losses.l2_penalty(scale), **QUIET,
        )  # fmt: skip
        return loss.theta[0]

    # λ B / T beside the sum: the same decay in an epoch, whatever B.
    beside_the_sum = after_an_epoch(strength * batch / total)
    share = rate * strength * batch / total
    assert beside_the_sum == pytest.approx((1 - share) ** (total / batch), rel=1e-12)
    assert beside_the_sum == pytest.approx(np.exp(-rate * strength), rel=2 * share)
    # λ / T beside the mean: the same objective, and a decay that depends on B.
    beside_the_mean = after_an_epoch(strength / total)
    assert beside_the_mean == pytest.approx(np.exp(-rate * strength / batch), rel=1e-4)


def test_a_strength_per_sum_is_the_same_optimum_for_every_batch_size():
    rng = np.random.default_rng(1)
    x, y, strength = rng.normal(size=(1000, 3)), rng.normal(size=1000), 40.0
    ridge = np.linalg.solve(x.T @ x + strength * np.eye(3), x.T @ y)
    for batch in (10, 50, 250):
        rows = np.arange(1000).reshape(-1, batch)

        def slope(theta, scale):
            """Return the mean over minibatches of the gradient of their sums."""
            data_part = sum(x[r].T @ (x[r] @ theta - y[r]) for r in rows) / len(rows)  # noqa: B023
            return data_part + losses.l2_penalty(scale).gradient(theta)

        assert slope(ridge, strength * batch / 1000) == pytest.approx(np.zeros(3), abs=1e-10)
        assert np.abs(slope(ridge, strength)).max() > 0.1  # λ itself is another optimum


# ------------------------------------------------------------------ L1


def test_sign_steps_rattle_where_the_proximal_step_arrives():
    penalty = losses.l1_penalty(0.1)
    rattling = optim.trajectory(
        optim.sgd(0.1), lambda w: (w - 0.05) + penalty.gradient(w), [1.0], 400
    )[-100:, 0]
    assert -0.005 <= rattling.min() < 0 < rattling.max() <= 0.015
    assert np.ptp(rattling) > 0.005
    sparse = optim.trajectory(
        optim.proximal(optim.sgd(0.1), penalty), lambda w: w - 0.05, [1.0], 60
    )
    assert (sparse[-30:] == 0).all()


def test_an_orthonormal_design_is_soft_thresholded():
    rng = np.random.default_rng(2)
    q = np.linalg.qr(rng.normal(size=(50, 8)))[0]
    y = rng.normal(size=50)
    rule = optim.proximal(optim.sgd(0.5), losses.l1_penalty(0.4))
    path = optim.trajectory(rule, lambda w: q.T @ (q @ w - y), np.zeros(8), 200)
    assert path[-1] == pytest.approx(losses.l1_prox(q.T @ y, 0.4), abs=1e-12)
    assert 0 < (path[-1] == 0).sum() < 8


@pytest.mark.parametrize(
    "rule",
    [optim.sgd(0.05), optim.momentum(0.02, 0.8), optim.nesterov(0.02, 0.8), optim.adam(0.01)],
    ids=lambda rule: rule.name,
)
def test_every_rule_arrives_at_the_lasso(rule):
    rng = np.random.default_rng(3)
    x, y, strength = rng.normal(size=(60, 10)), rng.normal(size=60), 0.12
    theta = optim.trajectory(
        optim.proximal(rule, losses.l1_penalty(strength)),
        lambda w: x.T @ (x @ w - y) / 60,
        rng.normal(size=10),
        6000,
    )[-1]
    slope, tolerance = x.T @ (x @ theta - y) / 60, 1e-5 if rule.name == "adam" else 1e-9
    off = theta == 0
    assert 0 < off.sum() < 10
    assert np.abs(slope[off]).max() <= strength  # the conditions of the minimum
    assert slope[~off] == pytest.approx(-strength * np.sign(theta[~off]), abs=tolerance)


def test_adam_has_a_threshold_for_each_weight():
    theta, g, rate, strength = np.array([0.5, -0.5, 0.004]), np.array([1.0, 4.0, -0.02]), 0.1, 0.3
    rule = optim.proximal(optim.adam(rate), losses.l1_penalty(strength))
    step, state = rule.update(g, rule.init(theta), theta)
    moved = theta - rate * g / (np.abs(g) + 1e-8)  # the first step of Adam
    threshold = rate * strength / (np.abs(g) + 1e-8)
    expected = np.sign(moved) * np.maximum(np.abs(moved) - threshold, 0)
    assert theta + step == pytest.approx(expected, rel=1e-12)
    assert (theta + step)[2] == 0  # .104 is below 1.5
    second = 0.5 * g
    step, _ = rule.update(second, state, theta)
    m, s = 0.9 * 0.1 * g + 0.1 * second, 0.999 * 0.001 * g**2 + 0.001 * second**2
    root = np.sqrt(s / (1 - 0.999**2)) + 1e-8
    moved = theta - rate * m / (1 - 0.9**2) / root
    threshold = rate * strength / root
    expected = np.sign(moved) * np.maximum(np.abs(moved) - threshold, 0)
    assert theta + step == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rule", [optim.rmsprop(0.1), optim.adagrad(0.1)], ids=lambda r: r.name)
def test_so_have_others_that_divide_by_a_root(rule):
    theta, g = np.array([0.5, -0.2]), np.array([2.0, 0.5])
    share = 0.1 if rule.name == "rmsprop" else 1.0
    step, _ = optim.proximal(rule, losses.l1_penalty(0.3)).update(
        g, optim.proximal(rule, losses.l1_penalty(0.3)).init(theta), theta
    )
    root = np.sqrt(share * g**2) + 1e-8
    expected = losses.l1_prox(theta - 0.1 * g / root, 0.1 * 0.3 / root)
    assert theta + step == pytest.approx(expected, rel=1e-12)


def test_the_proximal_step_of_l2_and_a_schedule():
    rule = optim.proximal(optim.sgd(lambda step: 0.1 / (step + 1)), losses.l2_penalty(2.0))
    path = optim.trajectory(rule, lambda w: 0 * w, [1.0], 3)[:, 0]
    assert path == pytest.approx([1, 1 / 1.2, 1 / 1.2 / 1.1, 1 / 1.2 / 1.1 / (1 + 0.2 / 3)])
    steep = optim.proximal(optim.sgd(100.0), losses.l2_penalty(1.0))  # plain decay would explode
    assert 0 <= optim.trajectory(steep, lambda w: 0 * w, [1.0], 9)[-1, 0] < 1e-15


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=5), st.floats(0, 3))
def test_the_soft_threshold_is_the_minimum_that_it_says(values, threshold):
    theta = np.array(values)
    found = losses.l1_prox(theta, threshold)
    grid = np.linspace(-6, 6, 2401)
    for w, t in zip(found, theta, strict=True):
        objective_at = threshold * np.abs(grid) + (grid - t) ** 2 / 2
        assert threshold * abs(w) + (w - t) ** 2 / 2 <= objective_at.min() + 1e-12
    assert (found[np.abs(theta) <= threshold] == 0).all()
    many = losses.l1_prox(theta, np.full(theta.shape, threshold))
    assert (many == found).all()


# ------------------------------------------------------------------ decay apart from the gradient


def test_decoupled_decay_of_adam_is_adamw():
    rng = np.random.default_rng(4)
    slopes = rng.normal(size=(50, 6))
    for schedule in (0.01, lambda step: 0.01 / (1 + step)):
        found = []
        for rule in (
            optim.adamw(schedule, weight_decay=0.3),
            optim.decoupled_decay(optim.adam(schedule), 0.3),
        ):
            steps = iter(slopes)
            found.append(optim.trajectory(rule, lambda w: next(steps), np.ones(6), 50))  # noqa: B023
        assert found[0] == pytest.approx(found[1], rel=1e-13)


def test_with_plain_descent_coupled_and_decoupled_are_one_and_with_adam_they_are_not():
    penalty = losses.l2_penalty(0.3)
    for make, same in ((optim.sgd, True), (optim.adam, False)):
        coupled = optim.trajectory(
            make(0.05), lambda w: w - 2 + penalty.gradient(w), np.ones(3), 40
        )
        apart = optim.trajectory(
            optim.decoupled_decay(make(0.05), 0.3), lambda w: w - 2, np.ones(3), 40
        )
        assert np.allclose(coupled, apart, rtol=1e-12) == same


# ------------------------------------------------------------------ max-norm


@given(
    st.lists(st.floats(-10, 10), min_size=7, max_size=7),
    st.floats(0.1, 5),
)
def test_no_unit_is_longer_than_the_bound(values, limit):
    units = optim.unit_numbers({"weight": (2, 2), "bias": (2,), "last": (1, 1)})
    assert units.tolist() == [0, 0, 1, 1, -1, -1, 2]
    theta = np.array(values)
    rule = optim.max_norm(optim.sgd(0.1), limit, units)
    step, _ = rule.update(np.zeros(7), rule.init(theta), theta)
    after = theta + step
    for part in (slice(0, 2), slice(2, 4), slice(6, 7)):
        length = np.linalg.norm(theta[part])
        assert np.linalg.norm(after[part]) == pytest.approx(min(length, limit), rel=1e-9, abs=1e-9)
        assert after[part] * length == pytest.approx(
            theta[part] * min(length, limit), rel=1e-9, abs=1e-9
        )
    assert (after[4:6] == theta[4:6]).all()
    assert optim.unit_numbers({"a": (2, 1), "b": (1, 2)}, only=lambda name: name == "b").tolist() \
        == [-1, -1, 0, 0]  # fmt: skip


# ------------------------------------------------------------------ within fit


def moons():
    x, y = data.moons(120, rng=0)
    return x.astype("float32"), y


AFTER = {
    "proximal": lambda rule, net: optim.proximal(rule, losses.l1_penalty(0.3)),
    "decay": lambda rule, net: optim.decoupled_decay(rule, 0.1),
    "max-norm": lambda rule, net: optim.max_norm(
        rule, 0.7, optim.unit_numbers(ParameterVector(net).shapes)
    ),
}


@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("name", AFTER)
@pytest.mark.parametrize("base", [optim.momentum(0.1), optim.adam(0.01)], ids=lambda r: r.name)
def test_a_network_is_trained_by_the_pure_rule_on_its_weights(name, base, device):
    x, y = moons()
    net = layers.mlp(2, [6], 2, "tanh", seed=1, device=device)
    twin = layers.mlp(2, [6], 2, "tanh", seed=1, device=device)
    rule = AFTER[name](base, net)
    settings = {"loss": losses.softmax_cross_entropy, "batch_size": 40, "epochs": 3, "seed": 5}
    training.fit(net, (x, y), optimizer=rule, **settings, **QUIET)
    vector = ParameterVector(twin)
    wanted = rule.for_weights(vector.weight_mask)
    theta, state = vector.theta.asnumpy(), None
    state = wanted.init(theta)
    for epoch in (1, 2, 3):
        order = np.random.default_rng([5, epoch]).permutation(120)
        for rows in order.reshape(3, 40):
            vector.theta[...] = mnp.array(theta, dtype="float32", ctx=device)
            with mx.autograd.record():
                loss = losses.softmax_cross_entropy(
                    twin(mnp.array(x[rows], ctx=device)), y[rows]
                ).mean()
            loss.backward()
            step, state = wanted.update(vector.grad.asnumpy(), state, theta)
            theta = theta + step
    found = ParameterVector(net).theta.asnumpy()
    assert found == pytest.approx(theta, rel=1e-3, abs=1e-4)
    weights = vector.weight_mask
    if name == "proximal":
        assert (found[weights] == 0).any()
        assert not (found[~weights] == 0).any()
    if name == "max-norm":
        lengths = np.linalg.norm(net[0].weight.data().asnumpy(), axis=1)
        assert lengths.max() <= 0.7 * (1 + 1e-6)


def test_on_a_device_the_rules_take_its_arrays():
    theta, g = mnp.array([0.5, -0.3, 0.01]), mnp.array([0.1, 0.2, 0.0])
    for rule in (
        optim.proximal(optim.adam(0.1), losses.l1_penalty(0.05), where=[True, True, False]),
        optim.decoupled_decay(optim.momentum(0.1), 0.1, where=np.array([True, False, True])),
        optim.max_norm(optim.sgd(0.1), 0.2, [0, 0, -1]),
    ):
        found, _ = rule.update(g, rule.init(theta), theta)
        pure = theta.asnumpy(), g.asnumpy()
        expected, _ = rule.update(pure[1], rule.init(pure[0]), pure[0])
        assert isinstance(found, mnp.ndarray)
        assert found.asnumpy() == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_rules_after_rules_scale_chain_and_travel():
    rule = optim.proximal(optim.sgd(0.1), losses.l1_penalty(0.5))
    assert rule.scaled(0.5).learning_rate == pytest.approx(0.05)
    assert rule.with_numbers(0.2).learning_rate == 0.2
    chained = optim.chain(optim.clip(1.0), rule)
    assert chained.learning_rate == 0.1
    theta = np.array([3.0, 0.01])
    step, _ = chained.update(np.array([10.0, 0.0]), chained.init(theta), theta)
    assert theta + step == pytest.approx([3 - 0.1 - 0.05, 0.0])
    again = pickle.loads(pickle.dumps(rule))
    assert again.update(theta, again.init(theta), theta)[0] == pytest.approx(
        rule.update(theta, rule.init(theta), theta)[0]
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: optim.proximal(0.1, losses.l1_penalty(1)), "no update rule"),
        (lambda: optim.proximal(optim.sgd(0.1), 0.1), r"penalty is 0.1; .*prox\(theta, rate\)"),
        (
            lambda: optim.proximal(optim.chain(optim.sgd(0.1)), losses.l1_penalty(1)),
            "single rule",
        ),
        (lambda: optim.decoupled_decay(optim.sgd(0.1), -1), "weight_decay is -1"),
        (lambda: optim.max_norm(optim.sgd(0.1), 0, [0]), "limit is 0"),
        (lambda: optim.max_norm(optim.sgd(0.1), 1, [0.5]), "unit_numbers"),
        (
            lambda: optim.max_norm(optim.sgd(0.1), 1, [0]).update(
                np.zeros(2), (0, optim.State(0, ())), np.zeros(2)
            ),
            "θ has shape",
        ),
        (lambda: losses.l1_prox(np.zeros(2), -1), "threshold is -1"),
        (lambda: losses.activity_penalty("l3", 1), "kind is 'l3'"),
        (lambda: losses.activity_penalty("kl", 1, target=0), "target is 0"),
        (lambda: losses.smoothed_cross_entropy(1), "smoothing is 1"),
        (lambda: layers.ActivityPenalty(losses.l1_penalty(1)), "activity_penalty"),
        (lambda: layers.Dropout(1.0), "rate is 1"),
        (lambda: layers.Dropout(0.5, one_mask=2), "one_mask is 2"),
        (lambda: layers.GaussianNoise(-1), "sd is -1"),
        (lambda: layers.NoisyDense(3, 0), "in_units is 0"),
        (lambda: layers.with_dropout(mx.gluon.nn.Dense(1)), "net is a Dense"),
        (lambda: layers.with_dropout(layers.mlp(2, [], 1, seed=0), hidden=1.5), "hidden is 1.5"),
        (lambda: losses.binary_hinge(mnp.zeros(2), np.array([0.0, 1.0])), "a target is 0"),
        (lambda: losses.squared_hinge(mnp.zeros((1, 3)), np.array([3])), "a label is 3"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


# ------------------------------------------------------------------ dropout


def ten_units():
    """Return the activations and weights of the published example: ten units, three classes."""
    a = np.arange(1, 11) / 10
    w = np.sin(np.arange(10)[:, None] + 3 * np.arange(3)[None])
    return a, w


def test_weight_scaling_is_the_geometric_mean_of_all_masks():
    a, w = ten_units()
    net = mx.gluon.nn.HybridSequential()
    dense = mx.gluon.nn.Dense(3, in_units=10, use_bias=False, dtype="float64")
    net.add(layers.Dropout(0.5), dense)
    net.initialize(layers.Constant(w.T))
    scaled = softmax(net(mnp.array(2 * a[None] / 2, dtype="float64")).asnumpy()[0])
    masks = np.array(list(itertools.product([0.0, 2.0], repeat=10)))  # inverted: kept ones doubled
    every = softmax(dense(mnp.array(masks * a, dtype="float64")).asnumpy())
    assert every.shape == (1024, 3)
    geometric = softmax(np.log(every).mean(axis=0))
    arithmetic = every.mean(axis=0)
    assert geometric == pytest.approx(scaled, abs=1e-14)
    # As it was written first: zeros in training, weights halved at test.
    plain = softmax((masks / 2 * a) @ w)
    halved = softmax(a @ w / 2)
    assert softmax(np.log(plain).mean(axis=0)) == pytest.approx(halved, abs=1e-14)
    assert halved == pytest.approx([0.43201577, 0.13181029, 0.43617394], abs=5e-9)
    assert plain.mean(axis=0) == pytest.approx([0.39790065, 0.19757143, 0.40452792], abs=5e-9)
    assert np.abs(arithmetic - geometric).max() > 0.01


def test_a_second_dropped_layer_breaks_the_identity():
    rng = np.random.default_rng(5)
    a, first, last = rng.normal(size=5), rng.normal(size=(5, 5)), rng.normal(size=(5, 3))
    masks = np.array(list(itertools.product([0.0, 2.0], repeat=5)))
    hidden = np.maximum((masks * a) @ first, 0)
    outputs = softmax((hidden[:, None] * masks[None]).reshape(-1, 5) @ last)
    geometric = softmax(np.log(outputs).mean(axis=0))
    scaled = softmax(np.maximum(a @ first, 0) @ last)
    assert np.abs(geometric - scaled).max() > 1e-3


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_masks_keep_the_expectation(rate, device, hybrid):
    x = mnp.ones((4000, 5), ctx=device)
    for one_mask in (False, True):
        layer = layers.Dropout(rate, one_mask)
        if hybrid:
            layer.hybridize()
        assert (layer(x).asnumpy() == 1).all()
        with mx.autograd.train_mode():
            dropped = layer(x).asnumpy()
        assert set(np.unique(dropped).round(5)) <= {0, round(1 / (1 - rate), 5)}
        assert (dropped == dropped[0]).all() == one_mask
        if not one_mask:
            spread = np.sqrt(rate / (1 - rate) / dropped.size)
            assert dropped.mean() == pytest.approx(1, abs=5 * spread)
            assert dropped.var() == pytest.approx(rate / (1 - rate), rel=0.05)


def test_dropout_is_put_into_a_chain_on_the_same_parameters():
    net = layers.mlp(4, [6, 5], 3, "tanh", seed=0, dropout=0.1)
    twin = layers.with_dropout(net, hidden=0.5, inputs=0.2, one_mask=True)
    kinds = [type(block).__name__ for block in twin]
    assert kinds == [*["Dropout", "Dense", "Activation"] * 2, "Dropout", "Dense"]
    assert [twin[k]._rate for k in (0, 3, 6)] == [0.2, 0.5, 0.5]
    x = mnp.random.normal(size=(3, 4))
    assert (twin(x) == net(x)).all()
    net[0].weight.data()[:] = 0
    assert (twin(x) == net(x)).all()
    bare = layers.with_dropout(net, hidden=0.0)
    assert [type(block).__name__ for block in bare].count("Dropout") == 0


NOISY = {
    "dropout": lambda: layers.with_dropout(layers.mlp(2, [8], 2, "tanh", seed=1), inputs=0.1),
    "one mask": lambda: layers.with_dropout(layers.mlp(2, [8], 2, "tanh", seed=1), one_mask=True),
    "noise": lambda: chain(layers.GaussianNoise(0.3), mx.gluon.nn.Dense(2, in_units=2)),
    "weight noise": lambda: chain(layers.NoisyDense(2, 2, sd=0.3, drop=0.2)),
}


def chain(*blocks):
    net = mx.gluon.nn.HybridSequential()
    net.add(*blocks)
    net.initialize(layers.LeCunNormal().seeded(1))
    return net


def trained(net, seed=0, epochs=2, **options):
    history = training.fit(
        net, moons(), loss=losses.softmax_cross_entropy, optimizer=optim.sgd(0.1), batch_size=30,
        epochs=epochs, seed=seed, **QUIET, **options,
    )  # fmt: skip
    return history, ParameterVector(net).theta.asnumpy()


@pytest.mark.parametrize("name", NOISY)
def test_noise_follows_the_seed_and_is_traced(name):
    history, theta = trained(NOISY[name](), seed=3)
    assert history.path == "graph"
    mx.random.seed(99)  # whatever was drawn before
    assert (trained(NOISY[name](), seed=3)[1] == theta).all()
    assert (trained(NOISY[name](), seed=4)[1] != theta).any()


@pytest.mark.parametrize("name", NOISY)
def test_each_epoch_and_each_member_has_its_own_noise(name):
    nets = [NOISY[name](), NOISY[name]()]
    population.fit_population(
        nets, moons(), loss=losses.softmax_cross_entropy, optimizer=optim.sgd(0.1), batch_size=30,
        epochs=2, seeds=[3, 4], **QUIET,
    )  # fmt: skip
    for net, seed in zip(nets, (3, 4), strict=True):
        assert (ParameterVector(net).theta.asnumpy() == trained(NOISY[name](), seed=seed)[1]).all()
    first, second = (
        layers.sample_outputs(NOISY[name](), moons()[0][:5], draws=4, seed=s) for s in (0, 1)
    )
    assert first.shape == (4, 5, 2)
    assert (first[0] != first[1]).any()
    assert (first != second).any()
    assert (first == layers.sample_outputs(NOISY[name](), moons()[0][:5], draws=4, seed=0)).all()


def test_sampling_gives_the_generator_back_and_averages_over_masks():
    a, w = ten_units()
    net = mx.gluon.nn.HybridSequential()
    net.add(layers.Dropout(0.5), mx.gluon.nn.Dense(3, in_units=10, use_bias=False))
    net.initialize(layers.Constant(w.T / 2))  # inverted dropout on halved weights: plain zeros
    mx.random.seed(1)
    expected = mnp.random.uniform(size=(4,)).asnumpy()
    drawn = softmax(layers.sample_outputs(net, np.tile(a, (500, 1)), draws=40, seed=0))
    spread = drawn.reshape(-1, 3).std(axis=0) / np.sqrt(20000)
    found = drawn.reshape(-1, 3).mean(axis=0)
    assert found == pytest.approx([0.39790065, 0.19757143, 0.40452792], abs=5 * spread.max())
    mx.random.seed(1)
    layers.sample_outputs(net, a[None], draws=2, seed=7)
    once = mnp.random.uniform(size=(4,)).asnumpy()
    mx.random.seed(1)
    layers.sample_outputs(net, a[None], draws=3, seed=8)
    assert (mnp.random.uniform(size=(4,)).asnumpy() == once).all()
    assert expected.shape == once.shape


# ------------------------------------------------------------------ noise


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_noise_has_its_moments_in_training_and_is_none_otherwise(device, dtype, hybrid):
    x = mnp.ones((20000, 2), dtype=dtype, ctx=device)
    layer = layers.GaussianNoise(0.5)
    if hybrid:
        layer.hybridize()
    assert (layer(x) == x).all()
    x.attach_grad()
    with mx.autograd.record():
        noisy = layer(x)
    noisy.backward()
    assert noisy.dtype == x.dtype
    assert noisy.ctx == device
    noise = noisy.asnumpy() - 1
    assert noise.mean() == pytest.approx(0, abs=5 * 0.5 / 200)
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    assert (noise**4).mean() / noise.var() ** 2 == pytest.approx(3, rel=0.1)
    assert np.corrcoef(noise.T)[0, 1] == pytest.approx(0, abs=0.05)
    assert (x.grad.asnumpy() == 1).all()


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noisy_weights_are_shared_by_a_minibatch(dtype, hybrid):
    layer = layers.NoisyDense(200, 100, sd=0.5, dtype=dtype)
    layer.initialize(layers.Constant(np.ones((200, 100))))
    if hybrid:
        layer.hybridize()
    x = mnp.array(np.eye(100), dtype=dtype)
    assert (layer(x) == 1).all()
    with mx.autograd.train_mode():
        noise = layer(x).asnumpy() - 1
        twice = layer(mnp.concatenate([x, x], axis=0)).asnumpy()
    assert noise.std() == pytest.approx(0.5, rel=0.03)
    assert twice[:100] == pytest.approx(twice[100:], abs=1e-6)
    dropped = layers.NoisyDense(200, 100, drop=0.3, dtype=dtype)
    dropped.initialize(layers.Constant(np.ones((200, 100))))
    assert (dropped(x) == 1).all()
    with mx.autograd.train_mode():
        found = dropped(x).asnumpy()
    assert (found == 0).mean() == pytest.approx(0.3, abs=0.02)
    assert found.max() == pytest.approx(1 / 0.7, rel=1e-6)


# ------------------------------------------------------------------ activities

KINDS = ["l1", "l2", "log", "kl"]


def activities(h, kind, target):
    """Return the penalty of strength 1 as its formula says."""
    if kind == "kl":
        r = h.mean(axis=0)
        return (target * np.log(target / r) + (1 - target) * np.log((1 - target) / (1 - r))).sum()
    each = {"l1": np.abs(h), "l2": h**2 / 2, "log": np.log(1 + h**2)}[kind]
    return each.sum(axis=1).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_the_penalty_of_activities_and_its_slope(kind):
    h = np.random.default_rng(6).uniform(0.1, 0.9, (5, 4)) * (1 if kind == "kl" else -1)
    penalty = losses.activity_penalty(kind, 0.3, target=0.1)
    assert penalty.value(h) == pytest.approx(0.3 * activities(h, kind, 0.1), rel=1e-12)
    assert penalty.value(mnp.array(h, dtype="float64")) == pytest.approx(penalty.value(h))
    slope, numeric = penalty.gradient(h), np.empty_like(h)
    for index in np.ndindex(h.shape):
        change = np.zeros_like(h)
        change[index] = 1e-6
        numeric[index] = (penalty.value(h + change) - penalty.value(h - change)) / 2e-6
    assert slope == pytest.approx(numeric, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_the_layer_adds_that_slope_through_all_that_comes_before(kind, device, hybrid):
    penalty = losses.activity_penalty(kind, 0.3, target=0.1)
    net = mx.gluon.nn.HybridSequential()
    net.add(
        mx.gluon.nn.Dense(4, in_units=3, dtype="float64"),
        layers.activation("sigmoid"),
        layers.ActivityPenalty(penalty),
        mx.gluon.nn.Dense(2, in_units=4, dtype="float64"),
    )
    net.initialize(layers.LeCunNormal().seeded(2), ctx=device)
    if hybrid:
        net.hybridize()
    x, y = np.random.default_rng(7).normal(size=(6, 3)), np.arange(6) % 2
    inputs = mnp.array(x, dtype="float64", ctx=device)
    with mx.autograd.record():
        net_loss = losses.softmax_cross_entropy(net(inputs), y).mean()
    net_loss.backward()
    found = net[0].weight.grad().asnumpy().copy()

    def whole(weight):
        net[0].weight.data()[:] = mnp.array(weight, dtype="float64", ctx=device)
        h = 1 / (1 + np.exp(-(x @ weight.T + net[0].bias.data().asnumpy())))
        return float(losses.softmax_cross_entropy(net(inputs), y).mean()) + penalty.value(h)

    start = net[0].weight.data().asnumpy()
    for index in [(0, 0), (1, 2), (3, 1)]:
        change = np.zeros_like(start)
        change[index] = 1e-6
        numeric = (whole(start + change) - whole(start - change)) / 2e-6
        assert found[index] == pytest.approx(numeric, rel=1e-5, abs=1e-8)


def test_training_with_the_layer_makes_activities_sparse():
    found = []
    for strength in (0.0, 0.05):
        net = layers.mlp(2, [20], 2, "relu", seed=1)
        penalised = mx.gluon.nn.HybridSequential()
        penalised.add(
            net[0], net[1], layers.ActivityPenalty(losses.activity_penalty("l1", strength)), net[2]
        )
        history, _ = trained(penalised, epochs=60)
        assert history.path == "graph"
        found.append(float((net[1](net[0](mnp.array(moons()[0]))) > 0).mean()))
    assert found[1] < 0.8 * found[0]


# ------------------------------------------------------------------ losses


def test_smoothing_the_loss_is_smoothing_the_labels():
    rng = np.random.default_rng(8)
    z, labels = rng.normal(size=(7, 5)), rng.integers(0, 5, 7)
    outputs = mnp.array(z, dtype="float64")
    for smoothing in (0.0, 0.1, 0.5):
        loss = losses.smoothed_cross_entropy(smoothing)
        rows = data.smooth_labels(labels, 5, smoothing).astype(float)
        expected = -(rows * np.log(softmax(z))).sum(axis=1)
        assert loss(outputs, labels).asnumpy() == pytest.approx(expected, rel=1e-6)
        outputs.attach_grad()
        with mx.autograd.record():
            total = loss(outputs, labels).sum()
        total.backward()
        assert outputs.grad.asnumpy() == pytest.approx(softmax(z) - rows, abs=1e-6)
        assert loss.chance_value(5) == pytest.approx(np.log(5))
    again = pickle.loads(pickle.dumps(loss))
    assert again == loss
    history, _ = trained(layers.mlp(2, [4], 2, seed=0))
    assert history.path == "graph"
    net = layers.mlp(2, [4], 2, seed=0)
    history = training.fit(
        net, moons(), moons(), loss=losses.smoothed_cross_entropy(0.2), optimizer=optim.sgd(0.5),
        epochs=3, **QUIET,
    )  # fmt: skip
    assert history.path == "graph"
    assert 0 <= history[-1]["val_accuracy"] <= 1


def margins(z, labels, name):
    """Return a margin loss, written down with loops."""
    found = []
    for row, y in zip(z, labels, strict=True):
        if name == "squared_hinge":
            signs = np.where(np.arange(len(row)) == y, 1, -1)
            found.append(sum(max(0, 1 - t * v) ** 2 for t, v in zip(signs, row, strict=True)))
        else:
            rival = max(v for j, v in enumerate(row) if j != y)
            found.append(max(0, 1 + rival - row[y]))
    return np.array(found)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("device", DEVICES, ids=str)
@pytest.mark.parametrize("name", ["squared_hinge", "crammer_singer_hinge"])
def test_margins(name, device, dtype):
    rng = np.random.default_rng(9)
    z, labels = rng.normal(size=(60, 4)).astype(dtype), rng.integers(0, 4, 60)
    z[0] = 0  # ties with the right one
    z[1, (labels[1] + 1) % 4] = z[1, (labels[1] + 2) % 4] = 9  # two strongest rivals
    z[2, labels[2]] = 50
    loss = getattr(losses, name)
    outputs = mnp.array(z, dtype=dtype, ctx=device)
    outputs.attach_grad()
    with mx.autograd.record():
        found = loss(outputs, labels)
        total = found.sum()
    total.backward()
    assert found.asnumpy() == pytest.approx(margins(z, labels, name), rel=1e-5, abs=1e-6)
    assert found.asnumpy()[0] == pytest.approx(loss.chance_value(4))
    slope = outputs.grad.asnumpy()
    if name == "crammer_singer_hinge":  # one up, one down, or nothing
        wrong = margins(z, labels, name) > 0
        assert (np.sort(slope[wrong], axis=1) == [-1, 0, 0, 1]).all()
        assert (slope[~wrong] == 0).all()
    if dtype == "float64":
        for index in [(5, 0), (6, 1), (7, 2), (8, 3)]:
            change = np.zeros_like(z)
            change[index] = 1e-6
            numeric = margins(z + change, labels, name) - margins(z - change, labels, name)
            assert slope[index] == pytest.approx(numeric[index[0]] / 2e-6, abs=1e-5)


@pytest.mark.parametrize("name", ["squared_hinge", "crammer_singer_hinge"])
def test_margins_train_a_network_by_the_graph(name):
    x, y = moons()
    net = layers.mlp(2, [20], 2, "tanh", seed=0)
    history = training.fit(
        net, (x, y), (x, y), loss=getattr(losses, name), optimizer=optim.momentum(0.2), epochs=60,
        **QUIET,
    )  # fmt: skip
    assert (history.path, history.reason) == ("graph", "")
    assert history[-1]["val_accuracy"] > 0.95


def test_the_hinge_of_two_classes():
    z, y = np.array([0.3, -2.0, 5.0, 0.0]), np.array([1.0, 1.0, 1.0, -1.0])
    found = losses.binary_hinge(mnp.array(z, dtype="float64"), y).asnumpy()
    assert found == pytest.approx([0.7, 3.0, 0.0, 1.0])
    x, labels = data.two_gaussians(rng=0)
    net = layers.mlp(2, [], 1, seed=0)
    history = training.fit(
        net, (x, (2 * (labels > 0) - 1).reshape(-1, 1)), loss=losses.binary_hinge,
        optimizer=optim.sgd(0.1), epochs=20, penalty=losses.l2_penalty(0.01), **QUIET,
    )  # fmt: skip
    assert history[-1]["train_loss"] < history[0]["train_loss"]
