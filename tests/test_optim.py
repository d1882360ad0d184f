"""The update rules against exact trajectories and an implementation written from the papers."""

from __future__ import annotations

import functools
import math

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnbook import optim, schedules
from nnbook.runtime import mx, np

# On f = x²/2 from x = 1, learning rate 0.1; momentum, Nesterov and RMSprop with 0.9.
TRAJECTORIES = {
    "sgd": (optim.sgd(0.1), [0.9, 0.81, 0.729]),
    "momentum": (optim.momentum(0.1, momentum=0.9), [0.9, 0.72, 0.486]),
    "nesterov": (optim.nesterov(0.1, momentum=0.9), [0.81, 0.5751, 0.327321]),
    "adagrad": (optim.adagrad(0.1), [0.9000000010, 0.8331035283, 0.7804561831]),
    "rmsprop": (optim.rmsprop(0.1, decay=0.9), [0.6837722440, 0.4988706201, 0.3691805674]),
    "adam": (optim.adam(0.1), [0.9000000010, 0.8004122297, 0.7015862745]),
}
# Every factory with hyperparameters that differ from the defaults, as keyword arguments.
RULES = {
    "sgd": {},
    "momentum": {"momentum": 0.83},
    "nesterov": {"momentum": 0.83},
    "adagrad": {"eps": 1e-6},
    "rmsprop": {"decay": 0.87, "eps": 1e-6},
    "adam": {"beta1": 0.85, "beta2": 0.97, "eps": 1e-6},
    "adamw": {"beta1": 0.85, "beta2": 0.97, "eps": 1e-6, "weight_decay": 0.03},
}
PER_WEIGHT = onp.array([0.3, 0.01, 0.05, 0.2, 0.11])
RATES = {
    "number": 0.07,
    "schedule": schedules.inverse_time_decay(0.1, 0.01),
    "function": lambda step: 0.1 / onp.sqrt(step + 1.0),  # returns a NumPy scalar
    "array": PER_WEIGHT,
}


class Scalar:
    """One weight's rule, step by step from the papers, on Python floats."""

    def __init__(self, name, **numbers):
        self.name, self.n, self.t = name, numbers, 0
        self.velocity = self.position = self.first = self.second = 0.0

    def step(self, theta, g, rate):
        self.t += 1
        return getattr(self, self.name)(theta, g, rate)

    def sgd(self, theta, g, rate):
        return theta - rate * g

    def momentum(self, theta, g, rate):
        self.velocity = self.n["momentum"] * self.velocity - rate * g
        return theta + self.velocity

    def nesterov(self, theta, g, rate):
        # Sutskever et al. (2013): the gradient is taken at x + μv, which is what θ is.
        mu = self.n["momentum"]
        x = theta - mu * self.velocity
        self.velocity = mu * self.velocity - rate * g
        x = x + self.velocity
        return x + mu * self.velocity

    def adagrad(self, theta, g, rate):
        self.second += g**2
        return theta - rate / (math.sqrt(self.second) + self.n["eps"]) * g

    def rmsprop(self, theta, g, rate):
        self.second = self.n["decay"] * self.second + (1 - self.n["decay"]) * g**2
        return theta - rate / (math.sqrt(self.second) + self.n["eps"]) * g

    def adam(self, theta, g, rate):
        b1, b2 = self.n["beta1"], self.n["beta2"]
        self.first = b1 * self.first + (1 - b1) * g
        self.second = b2 * self.second + (1 - b2) * g**2
        unbiased_first = self.first / (1 - b1**self.t)
        unbiased_second = self.second / (1 - b2**self.t)
        return theta - rate * unbiased_first / (math.sqrt(unbiased_second) + self.n["eps"])

    def adamw(self, theta, g, rate):
        decayed = theta - rate * self.n["weight_decay"] * theta
        return self.adam(theta, g, rate) - theta + decayed


@functools.cache
def reference(name, rate):
    """Run the scalar rule on every weight of its own through the random steps."""
    rate, (theta, gradients) = RATES[rate], random_steps()
    weights = [float(v) for v in theta]
    rules = [Scalar(name, **RULES[name]) for _ in weights]
    for step, gradient in enumerate(gradients):
        eta = rate(step) if callable(rate) else rate
        etas = [float(e) for e in onp.broadcast_to(eta, len(weights))]
        weights = [
            r.step(w, float(g), e)
            for r, w, g, e in zip(rules, weights, gradient, etas, strict=True)
        ]
    return onp.array(weights)


def random_steps(steps=1000, size=5):
    rng = onp.random.default_rng(7)
    return rng.normal(size=size), rng.normal(size=(steps, size)) * 10 ** rng.uniform(-3, 1, size)


def make(name, rate):
    return getattr(optim, name)(rate, **RULES[name])


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_the_exact_trajectories(name):
    rule, expected = TRAJECTORIES[name]
    path = optim.trajectory(rule, lambda theta: theta, [1.0], 3)
    assert path.shape == (4, 1)
    assert path[0, 0] == 1
    onp.testing.assert_allclose(path[1:, 0], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_the_exact_trajectories_on_mxnet_arrays(name):
    rule, expected = TRAJECTORIES[name]
    theta = np.ones((1,), dtype="float64")
    state, seen = rule.init(theta), []
    for _ in expected:
        step, state = rule.update(theta, state, theta)
        theta = theta + step
        seen.append(float(theta))
    onp.testing.assert_allclose(seen, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", ["numpy", "mxnet"])
def test_a_thousand_random_steps_agree_with_the_papers(name, rate, kind):
    start, gradients = random_steps()
    expected = reference(name, rate)
    wrap = onp.array if kind == "numpy" else lambda a: np.array(a, dtype="float64")
    eta = RATES[rate]
    rule = make(name, wrap(eta) if isinstance(eta, onp.ndarray) else eta)
    theta = wrap(start)
    state = rule.init(theta)
    for gradient in gradients:
        step, state = rule.update(wrap(gradient), state, theta)
        theta = theta + step
    assert state.step == 1000
    assert isinstance(theta, onp.ndarray if kind == "numpy" else np.ndarray)
    assert theta.dtype == onp.float64
    result = theta if kind == "numpy" else theta.asnumpy()
    onp.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
def test_the_kernels_in_place_do_what_the_rules_do(name, rate, dtype, tolerance):
    start, gradients = random_steps()
    start, gradients = start.astype(dtype), gradients.astype(dtype)
    eta = RATES[rate]
    rule = make(name, eta.astype(dtype) if isinstance(eta, onp.ndarray) else eta)
    pure, state = start.copy(), rule.init(start)
    quick, memory = start.copy(), rule.init(start)
    scratch = onp.empty_like(start)
    for gradient in gradients:
        step, state = rule.update(gradient, state, pure)
        pure = pure + step
        kept = gradient.copy()
        memory = rule.apply(gradient, memory, quick, scratch)
        assert (gradient == kept).all()
    assert memory.step == state.step == 1000
    assert quick.dtype == pure.dtype == dtype
    scale = onp.abs(pure).max()
    onp.testing.assert_allclose(quick, pure, rtol=tolerance, atol=tolerance * scale)
    for mine, theirs in zip(memory.buffers, state.buffers, strict=True):
        onp.testing.assert_allclose(mine, theirs, rtol=10 * tolerance, atol=tolerance)


HYPERPARAMETERS = [(rule, key) for rule, numbers in RULES.items() for key in numbers]


@pytest.mark.parametrize(("name", "key"), HYPERPARAMETERS)
@pytest.mark.parametrize("kind", ["numpy", "mxnet", "in place"])
def test_a_hyperparameter_for_every_weight_is_a_rule_for_every_weight(name, key, kind):
    values = onp.linspace(0.5, 1.0, 4) * RULES[name][key]
    gradients = onp.random.default_rng(0).normal(size=(30, 4))
    expected = []
    for k, value in enumerate(values):
        rule = getattr(optim, name)(0.1, **{**RULES[name], key: value})
        theta = onp.ones(1)
        state = rule.init(theta)
        for gradient in gradients[:, k : k + 1]:
            step, state = rule.update(gradient, state, theta)
            theta = theta + step
        expected.append(theta[0])
    wrap = (lambda a: np.array(a, dtype="float64")) if kind == "mxnet" else onp.array
    rule = getattr(optim, name)(0.1, **{**RULES[name], key: wrap(values)})
    theta = wrap(onp.ones(4))
    state, scratch = rule.init(theta), onp.empty(4)
    for gradient in gradients:
        if kind == "in place":
            state = rule.apply(gradient, state, theta, scratch)
        else:
            step, state = rule.update(wrap(gradient), state, theta)
            theta = theta + step
    result = theta.asnumpy() if kind == "mxnet" else theta
    onp.testing.assert_allclose(result, expected, rtol=1e-12)
    assert f"{key}=array(" in repr(rule)


@pytest.mark.parametrize("name", RULES)
def test_the_kernels_allocate_no_memory_for_theta_or_its_buffers(name):
    theta = onp.ones(3)
    rule = make(name, 0.1)
    state = rule.init(theta)
    after = rule.apply(onp.ones(3), state, theta, onp.empty(3))
    assert not (theta == 1).all()
    for mine, theirs in zip(after.buffers, state.buffers, strict=True):
        assert mine is theirs
        assert (mine != 0).all()


def test_a_rule_of_ones_own_runs_in_place_too():
    def rule(g, buffers, theta, rate, t):
        return -rate * onp.sign(g), ()

    # The name is that of a kernel, the arithmetic is not.
    mine = optim.Optimizer("sgd", 0.5, {}, 0, rule)
    theta = onp.array([1.0, 2.0])
    state = mine.apply(onp.array([3.0, -4.0]), mine.init(theta), theta, onp.empty_like(theta))
    assert theta.tolist() == [0.5, 2.5]
    assert state.step == 1


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("wrap", [onp.array, np.array], ids=["numpy", "mxnet"])
def test_a_rule_changes_nothing_of_its_caller(name, wrap):
    rule = make(name, 0.1)
    theta, gradient = wrap([1.0, -2.0]), wrap([0.5, 0.25])
    _, state = rule.update(gradient, rule.init(theta), theta)  # buffers that are not zero
    held = [a.copy() for a in (theta, gradient, *state.buffers)]
    before = state
    first, after = rule.update(gradient, state, theta)
    again, _ = rule.update(gradient, state, theta)
    assert state == before
    assert (state.step, after.step) == (1, 2)
    for array, copy in zip((theta, gradient, *state.buffers), held, strict=True):
        assert (array == copy).all()
    assert (first == again).all()


@pytest.mark.parametrize("name", RULES)
def test_a_rule_stays_on_the_device_of_theta(name):
    theta = np.ones((3,), ctx=mx.cpu(1))
    rule = make(name, 0.1)
    step, state = rule.update(theta, rule.init(theta), theta)
    assert step.ctx == mx.cpu(1)
    assert all(buffer.ctx == mx.cpu(1) for buffer in state.buffers)
    assert step.dtype == onp.float32


@given(
    gradient=st.lists(st.floats(-1e3, 1e3).filter(lambda v: abs(v) > 1e-3), min_size=1, max_size=5),
    scale=st.floats(1e-3, 1e6),
)
@settings(max_examples=40, deadline=None)
def test_adams_first_step_is_the_sign_at_any_scale_of_the_loss(gradient, scale):
    g = onp.array(gradient) * scale
    rule = optim.adam(0.1, eps=1e-8)
    step, _ = rule.update(g, rule.init(g), g)
    onp.testing.assert_allclose(step, -0.1 * g / (onp.abs(g) + 1e-8), rtol=1e-12)
    exact = optim.adam(0.1, eps=0)
    step, _ = exact.update(g, exact.init(g), g)
    onp.testing.assert_allclose(step, -0.1 * onp.sign(g), rtol=1e-12)


def test_the_first_steps_as_eps_vanishes():
    g = onp.array([4.0])
    for rule, size in [
        (optim.adam(0.1, eps=0), 0.1),
        (optim.rmsprop(0.1, decay=0.9, eps=0), 0.1 / math.sqrt(1 - 0.9)),
        (optim.adagrad(0.1, eps=0), 0.1),
    ]:
        step, _ = rule.update(g, rule.init(g), g)
        assert step[0] == pytest.approx(-size, rel=1e-12), rule


def test_adagrads_step_falls_with_the_root_of_the_step_number():
    rule, g = optim.adagrad(0.5, eps=0), onp.array([3.0])
    state = rule.init(g)
    for t in range(1, 30):
        step, state = rule.update(g, state, g)
        assert step[0] == pytest.approx(-0.5 / math.sqrt(t), rel=1e-12)


def test_adams_corrected_averages_are_exact_under_a_constant_gradient():
    rule, g = optim.adam(0.1, eps=0), onp.array([-7.0])
    state = rule.init(g)
    for t in range(1, 50):
        step, state = rule.update(g, state, g)
        mean, square = state.buffers
        assert mean[0] / (1 - 0.9**t) == pytest.approx(-7, rel=1e-12)
        assert square[0] / (1 - 0.999**t) == pytest.approx(49, rel=1e-12)
        assert step[0] == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize("factory", [optim.momentum, optim.nesterov])
def test_the_velocity_tends_to_its_limit_under_a_constant_gradient(factory):
    rule, g = factory(0.1, momentum=0.9), onp.array([2.0])
    state = rule.init(g)
    for _ in range(600):
        step, state = rule.update(g, state, g)
    assert state.buffers[0][0] == pytest.approx(-0.1 * 2 / (1 - 0.9), rel=1e-12)
    assert step[0] == pytest.approx(-0.1 * 2 / (1 - 0.9), rel=1e-12)


def test_both_forms_of_nesterov_agree_to_rounding():
    curvature, mu, eta = onp.array([1.0, 0.3, 5.0]), 0.9, 0.1
    x, v = onp.array([1.0, -2.0, 0.5]), onp.zeros(3)
    rule, theta = optim.nesterov(eta, momentum=mu), x.copy()
    state = rule.init(theta)
    for _ in range(200):
        v = mu * v - eta * curvature * (x + mu * v)  # the classical form
        x = x + v
        step, state = rule.update(curvature * theta, state, theta)
        theta = theta + step
        assert onp.abs(theta - (x + mu * v)).max() < 1e-14


def test_adamw_shrinks_theta_apart_from_the_gradient():
    theta, g = onp.array([10.0, -4.0]), onp.zeros(2)
    rule = optim.adamw(0.1, weight_decay=0.5)
    step, _ = rule.update(g, rule.init(theta), theta)
    onp.testing.assert_allclose(theta + step, 0.95 * theta, rtol=1e-15)
    plain, decayed = optim.adam(0.1), optim.adamw(0.1, weight_decay=0.0)
    a, _ = plain.update(theta, plain.init(theta), theta)
    b, _ = decayed.update(theta, decayed.init(theta), theta)
    assert (a == b).all()


def test_many_models_with_a_rate_each_are_many_runs():
    rates = onp.array([[0.01], [0.1], [0.3]])
    start = onp.ones((3, 2))
    together = optim.trajectory(optim.momentum(rates), lambda theta: theta, start, 20)
    for row, rate in enumerate(rates[:, 0]):
        alone = optim.trajectory(optim.momentum(rate), lambda theta: theta, start[row], 20)
        onp.testing.assert_allclose(together[:, row], alone, rtol=1e-15)


def test_a_schedule_is_asked_for_every_step_from_zero():
    asked = []

    def schedule(step):
        asked.append(step)
        return 1.0 / (step + 1)

    path = optim.trajectory(optim.sgd(schedule), lambda theta: onp.ones_like(theta), [0.0], 3)
    assert asked == [0, 1, 2]
    onp.testing.assert_allclose(path[:, 0], [0, -1, -1.5, -1.5 - 1 / 3], rtol=1e-15)


def test_a_diverging_trajectory_goes_to_infinity_without_a_warning():
    path = optim.trajectory(optim.sgd(3.0), lambda theta: theta**3, [10.0], 20)
    assert not onp.isfinite(path[-1]).all()
    assert optim.trajectory(optim.sgd(0.1), lambda theta: theta, [2.0], 0).tolist() == [[2.0]]


def test_a_rule_shows_its_numbers():
    assert repr(optim.adam(0.05)) == "adam(0.05, beta1=0.9, beta2=0.999, eps=1e-08)"
    assert repr(optim.sgd(1)) == "sgd(1.0)"
