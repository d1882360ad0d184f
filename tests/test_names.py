"""Losses and rules by their names; clipping as an argument of `fit`."""

from __future__ import annotations

import numpy as onp
import pytest

from nnbook import layers, losses, optim, population, training
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx

RNG = onp.random.default_rng(5)
X = RNG.normal(size=(40, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def make(seed=1):
    return layers.mlp(4, [6], 2, activation="tanh", seed=seed)


def theta_of(net):
    return ParameterVector(net).theta.asnumpy()


def fit(net, **settings):
    defaults = {"loss": losses.softmax_cross_entropy, "optimizer": optim.sgd(0.1), "epochs": 3}
    return training.fit(net, (X, Y), **{**defaults, "batch_size": 8, **settings})


@pytest.mark.parametrize("name", optim.DEFAULT_RATES)
def test_a_rule_by_name_is_the_rule(name):
    function, rate = getattr(optim, name), optim.DEFAULT_RATES[name]
    assert optim.named(name) == function(rate)
    assert optim.named((name, 0.3)) == function(0.3)
    by_name, itself = make(), make()
    fit(by_name, optimizer=name, loss="softmax_cross_entropy")
    fit(itself, optimizer=function(rate))
    assert (theta_of(by_name) == theta_of(itself)).all()


def test_every_rule_and_every_loss_has_its_name():
    from nnbook.gluon.loss_names import _NAMES
    from nnbook.optim import rules

    assert set(optim.DEFAULT_RATES) == set(rules.__all__)
    assert all(losses.named(name) is getattr(losses, name) for name in _NAMES)
    found = {name for name in losses.__all__ if hasattr(getattr(losses, name), "targets")}
    assert set(_NAMES) <= found


def test_a_population_takes_names_too():
    nets, alone = [make(k) for k in range(2)], make(1)
    population.fit_population(
        nets, (X, Y), loss="softmax_cross_entropy", optimizer=["adam", ("sgd", 0.1)],
        seeds=[0, 0], epochs=2, batch_size=8)  # fmt: skip
    fit(alone, epochs=2)
    onp.testing.assert_allclose(theta_of(nets[1]), theta_of(alone), rtol=1e-5)


@pytest.mark.parametrize("path", ["graph", "recorded"])
def test_clipping_is_the_chain(path):
    def own(outputs, y):
        assert y.shape
        return losses.softmax_cross_entropy(outputs, y)

    loss = losses.softmax_cross_entropy if path == "graph" else own
    rule = optim.chain(optim.clip_values(0.05), optim.clip(0.1), optim.momentum(0.5))
    by_argument, by_rule = make(), make()
    history = fit(
        by_argument, loss=loss, optimizer=("momentum", 0.5), clip_norm=0.1, clip_value=0.05
    )
    fit(by_rule, loss=loss, optimizer=rule)
    assert history.path == path
    assert (theta_of(by_argument) == theta_of(by_rule)).all()


def test_no_step_is_longer_than_rate_times_norm():
    lengths = []

    class Look(training.Callback):
        def on_fit_start(self, run):
            run.observe(1, self.before, self.after)

        def before(self, seen):
            self.theta, self.norm = seen.theta.copy(), float(onp.linalg.norm(seen.grad))

        def after(self, seen):
            step = float(onp.linalg.norm(seen.theta - self.theta))
            lengths.append((step, self.norm, float(onp.linalg.norm(seen.grad))))

    fit(make(), optimizer=optim.sgd(0.5), clip_norm=0.1, callbacks=[Look()])
    for step, norm, after in lengths:
        assert step == pytest.approx(0.5 * min(norm, 0.1), rel=1e-3)
        assert after == norm  # ∇L stays what it is
    assert any(norm > 0.1 for _, norm, _ in lengths)


def test_a_clip_that_never_acts_changes_no_bit():
    for rule in (optim.sgd(0.1), optim.adam(0.01), optim.nesterov(0.1)):
        plain, clipped = make(), make()
        fit(plain, optimizer=rule)
        fit(clipped, optimizer=rule, clip_norm=1e6)
        assert (theta_of(plain) == theta_of(clipped)).all()


@pytest.mark.parametrize("rule", [optim.sgd(0.1), optim.momentum(0.1), optim.adam(0.1)])
def test_in_place_a_clipped_rule_is_the_pure_one(rule):
    rule = optim.chain(optim.clip_values(1.5), optim.clip(3.0), rule)
    theta = RNG.normal(size=50)
    pure, in_place, scratch = theta.copy(), theta.copy(), onp.empty(50)
    state, own = rule.init(theta), rule.init(theta)
    for _ in range(200):
        g = RNG.normal(size=50) * RNG.choice([0.1, 1.0, 10.0])
        kept = g.copy()
        step, state = rule.update(g, state, pure)
        pure = pure + step
        own = rule.apply(g, own, in_place, scratch)
        assert (g == kept).all()
    onp.testing.assert_allclose(in_place, pure, rtol=1e-12, atol=1e-12)


def test_a_gradient_beyond_float32s_squares_is_clipped():
    g = onp.array([3e30, -4e30], dtype="float32")
    found, _ = optim.clip(1.0).update(g, (), g)
    onp.testing.assert_allclose(found, [0.6, -0.8], rtol=1e-6)
    same, _ = optim.clip(10.0).update(onp.array([3.0, 4.0]), (), None)
    assert same.tolist() == [3, 4]


BAD = {
    "an unknown rule": ({"optimizer": "lion"}, ValueError, "is 'lion'; expected one of 'sgd', "),
    "a rate that is none": ({"optimizer": ("adam", -1)}, ValueError, "learning_rate"),
    "an unknown loss": ({"loss": "mse"}, ValueError, "is 'mse'; expected one of 'softmax_cross_e"),
    "a norm of 0": ({"clip_norm": 0}, ValueError, "norm is 0; expected"),
    "a negative limit": ({"clip_value": -1.0}, ValueError, "limit is -1.0; expected"),
    "one of MXNet's": (
        {"optimizer": mx.optimizer.SGD(), "clip_norm": 1.0}, TypeError, "expect a rule of"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_none_is_refused(name):
    settings, error, message = BAD[name]
    net = make()
    before = theta_of(net)
    with pytest.raises(error, match=message):
        fit(net, **settings)
    assert (theta_of(net) == before).all()


def test_an_objective_takes_names_and_clipping():
    from nnbook import objective

    one = objective.from_function(lambda t: t @ t, lambda t: 2 * t, onp.array([30.0, 40.0]))
    training.fit(one, optimizer=("sgd", 0.5), clip_norm=1.0, epochs=10)
    onp.testing.assert_allclose(one.theta, [27.0, 36.0])
