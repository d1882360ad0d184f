"""Rules made of others, and weight decay in its readings."""

import pickle

import numpy as np
import pytest

from nnbook import layers, losses, optim, schedules
from nnbook.optim.transforms import leaves, rebuilt
from nnbook.parameters import ParameterVector
from nnbook.population import fit_population
from nnbook.training import fit

THETA = np.array([3.0, 4.0])


def first_step(rule, gradient=THETA, theta=THETA):
    return rule.update(gradient, rule.init(theta), theta)[0]


def test_a_chain_passes_the_gradient_through():
    rule = optim.chain(optim.clip(1.0), optim.sgd(0.5))
    np.testing.assert_allclose(first_step(rule), [-0.3, -0.4])
    np.testing.assert_allclose(first_step(rule, THETA / 100), -THETA / 200)
    np.testing.assert_array_equal(first_step(rule, 0 * THETA), [0, 0])
    np.testing.assert_allclose(
        first_step(optim.chain(optim.clip_values(3.5), optim.sgd(1.0))), [-3.0, -3.5]
    )
    np.testing.assert_allclose(
        first_step(optim.chain(optim.sgd(1.0), optim.scale(0.1))), -THETA / 10
    )


def test_a_chain_is_its_rule_where_the_others_do_nothing():
    rng = np.random.default_rng(0)
    plain, chained = (
        optim.adam(0.1),
        optim.chain(optim.clip(1e9), optim.adam(0.1), optim.scale(1.0)),
    )
    theta, other = np.ones(4), np.ones(4)
    state, memory = plain.init(theta), chained.init(other)
    for _ in range(50):
        gradient = rng.normal(size=4)
        step, state = plain.update(gradient, state, theta)
        theta = theta + step
        step, memory = chained.update(gradient, memory, other)
        other = other + step
    np.testing.assert_array_equal(theta, other)
    assert memory.step == 50


def test_the_rate_of_a_chain_is_that_of_its_rule():
    rate = schedules.step_decay(0.4, factor=0.5, every=2)
    rule = optim.chain(optim.clip(1.0), optim.momentum(rate))
    assert [rule.rate(k) for k in range(4)] == [0.4, 0.4, 0.2, 0.2]
    assert rule.learning_rate is rate
    assert rule.scaled(0.5).rate(2) == pytest.approx(0.1)
    assert optim.chain(optim.clip(1.0)).learning_rate is None


def test_a_masked_rule_moves_and_remembers_a_part_only():
    rule = optim.mask(optim.momentum(0.1, momentum=0.9), np.array([True, False]))
    theta, state = THETA.copy(), rule.init(THETA)
    for _ in range(3):
        step, state = rule.update(theta, state, theta)
        theta = theta + step
    assert theta[1] == 4.0
    assert theta[0] < 2.2
    assert state.buffers[0][1] == 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.chain(), ValueError, "at most one has a learning rate"),
        (lambda: optim.chain(optim.sgd(1.0), optim.sgd(1.0)), ValueError, "at most one"),
        (lambda: optim.chain(3), TypeError, "3 is no update rule"),
        (lambda: optim.mask(None, [True]), TypeError, "no update rule"),
        (lambda: optim.clip(0), ValueError, "norm is 0"),
        (lambda: optim.clip_values("a"), TypeError, "limit is 'a'"),
    ],
)
def test_what_cannot_be_composed_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_composed_rules_pickle_and_show_themselves():
    rule = optim.chain(optim.clip(1.0), optim.mask(optim.adam(0.1), np.array([True, False])))
    again = pickle.loads(pickle.dumps(rule))
    np.testing.assert_array_equal(first_step(again), first_step(rule))
    assert repr(optim.chain(optim.clip(2.0), optim.sgd(0.1))) == "chain(clip(norm=2.0), sgd(0.1))"


def test_states_of_any_shape_are_taken_apart_and_put_together():
    state = optim.chain(optim.clip(1.0), optim.adam(0.1)).init(THETA)
    values = leaves(state)
    assert [np.shape(v) for v in values] == [(), (), (2,), (2,)]
    again = rebuilt(state, [np.add(v, 1) for v in values])
    assert type(again) is type(state)
    assert [float(np.sum(v)) for v in leaves(again)] == [1.0, 1.0, 2.0, 2.0]


# ------------------------------------------------------------------------------ weight decay


def test_decay_beside_the_loss_is_the_penalty():
    coupled = optim.chain(optim.add_decay(0.3), optim.momentum(0.1))
    penalty = losses.l2_penalty(0.3)
    plain = optim.momentum(0.1)
    gradient = np.array([0.5, -0.5])
    np.testing.assert_allclose(
        first_step(coupled, gradient), first_step(plain, gradient + penalty.gradient(THETA))
    )


def test_two_readings_of_decoupled_decay_under_a_schedule():
    rate = schedules.step_decay(0.2, factor=0.5, every=1)
    torch = optim.adamw(rate, weight_decay=0.1)
    paper = optim.adamw(rate, weight_decay=0.1, base_rate=0.2)
    adam = optim.adam(rate)
    theta, gradient = THETA.copy(), np.array([0.1, -0.2])
    states = [rule.init(theta) for rule in (torch, paper, adam)]
    for t in range(3):
        steps = []
        for k, rule in enumerate((torch, paper, adam)):
            step, states[k] = rule.update(gradient, states[k], theta)
            steps.append(step)
        eta = rate(t)
        np.testing.assert_allclose(steps[0] - steps[2], -eta * 0.1 * theta, rtol=1e-10)
        np.testing.assert_allclose(steps[1] - steps[2], -(eta / 0.2) * 0.1 * theta, rtol=1e-10)


@pytest.mark.parametrize("stacked", [False, True])
def test_biases_are_left_alone_where_it_is_said(stacked):
    x, y = np.zeros((8, 2), dtype="float32"), np.zeros((8, 1), dtype="float32")

    def lengths(**options):
        nets = [layers.mlp(2, [3], 1, None, seed=k) for k in range(2)]
        vectors = [ParameterVector(net) for net in nets]
        for vector in vectors:
            vector.theta = np.ones(len(vector), dtype="float32")
        rule = optim.adamw(0.01, weight_decay=5.0, **options)
        settings = {"loss": zero_loss, "optimizer": rule, "epochs": 1, "batch_size": 8}
        if stacked:
            fit_population(nets, (x, y), seeds=[0, 0], progress=False, **settings)
        else:
            for net in nets:
                fit(net, (x, y), progress=False, **settings)
        vector = vectors[0]
        theta = vector.theta.asnumpy()
        return theta[vector.weight_mask], theta[~vector.weight_mask]

    weights, biases = lengths()
    np.testing.assert_allclose(weights, 0.95, rtol=1e-6)
    np.testing.assert_allclose(biases, 0.95, rtol=1e-6)
    weights, biases = lengths(decay_biases=False)
    np.testing.assert_allclose(weights, 0.95, rtol=1e-6)
    np.testing.assert_array_equal(biases, 1.0)


def zero_loss(outputs, targets):
    """Have no slope at all."""
    return 0 * (outputs - targets).sum(axis=1)


class Softly:
    """A transform of somebody's own: `init` and `update`, no more."""

    def init(self, theta):
        return 0

    def update(self, gradient, state, theta):
        return gradient / (1 + abs(gradient)), state + 1


class Descent:
    """A rule of somebody's own."""

    def init(self, theta):
        return ()

    def update(self, gradient, state, theta):
        return -0.1 * gradient, state


def test_a_rule_of_ones_own_needs_init_and_update_only():
    x = np.random.default_rng(0).normal(size=(30, 2)).astype("float32")
    data = x, (x[:, 0] > 0).astype(int)

    def loss_of(optimizer, how=fit):
        net = layers.mlp(2, [3], 2, seed=0)
        given = {"loss": losses.softmax_cross_entropy, "epochs": 3, "progress": False}
        if how is fit:
            return fit(net, data, optimizer=optimizer, **given)[-1]["train_loss"]
        return fit_population([net], data, optimizer=[optimizer], **given)[0][-1]["train_loss"]

    assert loss_of(Descent()) == loss_of(optim.sgd(0.1))
    assert loss_of(Descent(), fit_population) == pytest.approx(loss_of(optim.sgd(0.1)), rel=1e-5)
    softly = loss_of(optim.chain(Softly(), optim.momentum(0.1)))
    assert softly != loss_of(optim.momentum(0.1))
    assert loss_of(optim.mask(Descent(), 1.0)) == loss_of(Descent())
    assert loss_of(optim.decoupled_decay(optim.chain(Softly(), optim.sgd(0.1)), 0.0)) > 0
    assert "Softly" in repr(optim.chain(Softly(), optim.sgd(0.1)))
