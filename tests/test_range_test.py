"""`training.range_test`: the rates and losses of one short run, and a rate to train with."""

import numpy as onp
import pytest

from nnbook import data, layers, losses, optim, training
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx

X, Y = data.two_gaussians(n=60, rng=0, dtype="float32")
Y = Y.reshape(-1, 1)
SETTINGS = {"loss": losses.squared_error, "optimizer": optim.sgd(123.0)}


def unit(device=None):
    return layers.mlp(2, [], 1, seed=0, device=device)


def reference(rates, theta):
    """The losses of full-batch descent on ½(w·x + b − y)², in float64."""
    x, y = onp.column_stack([X, onp.ones(len(X))]).astype("float64"), Y[:, 0].astype("float64")
    found = []
    for rate in rates:
        error = x @ theta - y
        found.append((error**2).mean() / 2)
        theta = theta - rate * x.T @ error / len(x)
    return onp.array(found)


@pytest.mark.parametrize("device", [None, mx.cpu(1)])
@pytest.mark.parametrize("hybridize", [False, True])
def test_losses_are_those_of_descent_with_a_rising_rate(device, hybridize):
    net = unit(device)
    if hybridize:
        net.hybridize()
    theta = ParameterVector(net).theta.asnumpy().astype("float64")
    found = training.range_test(net, (X, Y), batch_size=60, low=1e-3, high=10, steps=40, **SETTINGS)
    rates = onp.geomspace(1e-3, 10, 40)[: len(found.losses)]
    onp.testing.assert_allclose(found.learning_rates, rates, rtol=1e-12)
    onp.testing.assert_allclose(found.losses, reference(rates, theta), rtol=2e-4)
    onp.testing.assert_array_equal(ParameterVector(net).theta.asnumpy(), theta.astype("float32"))


def test_smoothed_is_the_weighted_mean_of_the_losses_so_far():
    found = training.range_test(unit(), (X, Y), batch_size=10, smoothing=0.8, **SETTINGS)
    for k in (0, 1, 5, len(found.losses) - 1):
        weights = 0.8 ** onp.arange(k, -1, -1)
        expected = weights @ found.losses[: k + 1] / weights.sum()
        assert found.smoothed[k] == pytest.approx(expected, rel=1e-9)
    assert found.lowest == found.learning_rates[found.smoothed.argmin()]
    assert found.suggestion == pytest.approx(found.lowest / 10)


def test_without_smoothing_the_lowest_loss_is_just_beyond_the_stability_limit():
    # Beyond 2/λmax every step raises the loss, whatever came before; before it none does.
    x = onp.column_stack([X, onp.ones(len(X))]).astype("float64")
    limit = 2 / onp.linalg.eigvalsh(x.T @ x / len(x))[-1]
    found = training.range_test(
        unit(), (X, Y), batch_size=60, low=0.01, high=100, steps=200, smoothing=0.0, **SETTINGS
    )
    falling = onp.diff(found.losses) < 0
    below = found.learning_rates[:-1] < limit
    assert falling[below].all()
    assert limit <= found.lowest < 4 * limit


def test_it_ends_where_the_loss_grows():
    short = training.range_test(unit(), (X, Y), batch_size=10, low=1e-3, high=1e6, **SETTINGS)
    assert len(short.losses) < 100
    assert short.smoothed[-1] > 4 * short.smoothed.min()
    assert onp.isfinite(short.losses).all()
    whole = training.range_test(unit(), (X, Y), low=1e-6, high=1e-3, steps=25, **SETTINGS)
    assert len(whole.losses) == 25  # more than an epoch of two steps


def test_a_loss_that_overflows_in_one_step_ends_it_too():
    found = training.range_test(
        unit(), (X, Y), batch_size=10, low=1.0, high=1e30, steps=10, **SETTINGS
    )
    assert 1 <= len(found.losses) < 10
    assert onp.isfinite(found.losses).all()


def test_the_seed_decides_the_minibatches():
    one, again, other = (
        training.range_test(unit(), (X, Y), batch_size=10, seed=seed, **SETTINGS).losses
        for seed in (0, 0, 1)
    )
    onp.testing.assert_array_equal(one, again)
    assert not onp.array_equal(one[:5], other[:5])


def test_any_rule_and_a_penalty():
    for rule in (optim.momentum(1.0, momentum=0.5), optim.adam(1.0)):
        found = training.range_test(
            unit(), (X, Y), loss=losses.squared_error, optimizer=rule, high=1.0
        )
        assert found.losses[-1] < found.losses[0]
    plain, decayed = (
        training.range_test(unit(), (X, Y), penalty=penalty, low=0.01, high=0.3, **SETTINGS)
        for penalty in (None, losses.l2_penalty(1.0))
    )
    assert decayed.losses[-1] > plain.losses[-1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"low": 0.0}, "low"),
        ({"low": 2.0, "high": 1.0}, "low < high"),
        ({"high": onp.inf}, "high"),
        ({"steps": 9}, "at least 10"),
        ({"smoothing": 1.0}, "smoothing"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_bad_numbers(wrong, message):
    with pytest.raises(ValueError, match=message):
        training.range_test(unit(), (X, Y), **{**SETTINGS, **wrong})


def test_only_rules_of_the_book():
    with pytest.raises(TypeError, match=r"nnbook\.optim"):
        training.range_test(
            unit(), (X, Y), loss=losses.squared_error, optimizer=mx.optimizer.SGD(0.1)
        )


def test_a_loss_that_is_not_finite_at_the_first_step():
    with pytest.raises(training.DivergedError):
        training.range_test(unit(), (X * onp.float32(1e30), Y), batch_size=60, **SETTINGS)


def test_data_that_are_no_numbers_from_the_first_step():
    with pytest.raises(ValueError, match="finite"):
        training.range_test(unit(), (X * onp.nan, Y), **SETTINGS)


def test_steps_are_those_of_the_training_to_come():
    plain = training.range_test(unit(), (X, Y), steps=20, **SETTINGS)
    weights = onp.linspace(0, 2, len(X))
    weighed = training.range_test(unit(), (X, Y), steps=20, sample_weight=weights, **SETTINGS)
    assert len(plain.losses) == len(weighed.losses) == 20
    assert (plain.losses != weighed.losses).any()
    clipped = training.range_test(unit(), (X, Y), steps=60, high=1e3, clip_norm=1e-3, **SETTINGS)
    broken = training.range_test(unit(), (X, Y), steps=60, high=1e3, **SETTINGS)
    assert clipped.learning_rates[-1] > 10 * broken.learning_rates[-1]
    with pytest.raises(TypeError, match="range_test takes no callbacks, epoch; expected"):
        training.range_test(unit(), (X, Y), callbacks=[], epoch=3, **SETTINGS)
