"""Objectives: the seam between models and what is done with them, and checks of any of them."""

import numpy as np
import pytest

from nnbook import checks, losses, objective
from nnbook.objective import Objective, from_function, slices_of, weight_mask

RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 4))
W = RNG.normal(size=(4, 3))
Y = X @ W + 0.1 * RNG.normal(size=(30, 3))
SHAPES = {"weight": (4, 3), "bias": (3,)}


def linear(wrong=1.0, dtype="float64", examples=30):
    """Least squares in NumPy: L = ½ mean |xW + b − y|², its gradient times `wrong` in the bias."""

    def residual(theta, rows):
        return X[rows] @ theta[:12].reshape(4, 3) + theta[12:] - Y[rows]

    def loss(theta, rows=slice(None)):
        return 0.5 * (residual(theta, rows) ** 2).sum(axis=1).mean()

    def gradient(theta, rows=slice(None)):
        error = residual(theta, rows)
        weight = X[rows].T @ error / len(error)
        return np.concatenate([weight.ravel(), wrong * error.mean(axis=0)])

    start = np.random.default_rng(1).normal(size=15).astype(dtype)
    return from_function(loss, gradient, start, shapes=SHAPES, examples=examples)


def test_an_objective_knows_its_layout():
    model = linear()
    assert isinstance(model, Objective)
    assert (model.size, model.examples) == (15, 30)
    assert model.slices == {"weight": slice(0, 12), "bias": slice(12, 15)}
    assert weight_mask(SHAPES).tolist() == [True] * 12 + [False] * 3
    assert weight_mask({"theta": (3,)}).all()
    assert slices_of({}) == {}
    assert "15 parameters" in repr(model)


def test_rows_choose_examples():
    model = linear()
    rows = np.array([3, 7, 9])
    alone = [model.loss([k]) for k in rows]
    assert model.loss(rows) == pytest.approx(np.mean(alone), rel=1e-14)
    slopes = [model.gradient([k]) for k in rows]
    np.testing.assert_allclose(model.gradient(rows), np.mean(slopes, axis=0), rtol=1e-13)
    assert model.loss() == model.loss(slice(None))


def test_theta_is_copied_in_and_old_values_stay():
    values = np.ones(15)
    model = linear()
    before = model.theta
    kept = before.copy()
    model.theta = values
    values[:] = 7
    assert (model.theta == 1).all()
    assert (before == kept).all()


@pytest.mark.parametrize(
    ("change", "error", "piece"),
    [
        ({"loss": 3}, TypeError, "loss is a int"),
        ({"gradient": None}, TypeError, "gradient is a NoneType"),
        ({"theta": np.ones(2, dtype=int)}, TypeError, "float64 or float32"),
        ({"theta": np.ones((2, 2))}, ValueError, "one vector"),
        ({"theta": np.ones(0)}, ValueError, "at least one entry"),
        ({"shapes": {"a": (3,)}}, ValueError, "3 numbers and theta 2"),
        ({"examples": 0}, ValueError, "whole number of at least 1"),
        ({"examples": 1.5}, TypeError, "whole number of at least 1"),
    ],
)
def test_what_is_no_objective_is_refused(change, error, piece):
    arguments = {"loss": np.sum, "gradient": np.ones_like, "theta": np.ones(2)} | change
    with pytest.raises(error, match=piece):
        from_function(**arguments)


def test_mistakes_that_show_later():
    with pytest.raises(ValueError, match="no examples to choose from"):
        from_function(np.sum, np.ones_like, np.ones(2)).loss([0])
    with pytest.raises(ValueError, match=r"shape \(1,\); expected one vector of shape \(2,\)"):
        from_function(np.sum, lambda theta: [1.0], np.ones(2)).gradient()
    with pytest.raises(ValueError, match=r"theta has shape \(3,\)"):
        from_function(np.sum, np.ones_like, np.ones(2)).theta = np.ones(3)


def test_a_right_gradient_passes_and_nothing_is_changed():
    model = linear()
    before = model.theta.copy()
    result = checks.check_gradients(model, penalty=losses.l2_penalty(0.1))
    assert result.passed
    assert result.verdict == "happy"
    assert result.dtype == "float64"
    assert [p.name for p in result.parameters] == ["weight", "bias", "penalty"]
    assert (model.theta == before).all()


@pytest.mark.parametrize("factor", [-1.0, 6.0, 0.0, 1.001])
def test_a_planted_error_is_found_and_named(factor):
    result = checks.check_gradients(linear(wrong=factor))
    assert not result.passed
    (finding,) = result.findings
    assert "wrong in bias" in finding.message
    assert [p.name for p in result.parameters if p.alarms] == ["bias"]


def test_a_forgotten_division_by_the_number_of_examples_is_guessed():
    right = linear()
    summed = from_function(
        lambda theta, rows: _loss_at(right, theta, rows),
        lambda theta, rows: len(rows) * _gradient_at(right, theta, rows),
        right.theta,
        shapes=SHAPES,
        examples=30,
    )
    (finding,) = checks.check_gradients(summed, examples=5).findings
    assert "1/5 is missing" in repr(finding)


def _loss_at(model, theta, rows):
    model.theta = theta
    return model.loss(rows)


def _gradient_at(model, theta, rows):
    model.theta = theta
    return model.gradient(rows)


def test_float32_is_checked_as_float32():
    result = checks.check_gradients(linear(dtype="float32"))
    assert result.dtype == "float32"
    assert result.passed
    assert not checks.check_gradients(linear(wrong=2.0, dtype="float32")).passed


def test_an_objective_that_is_random_cannot_be_checked():
    rng = np.random.default_rng(0)
    noisy = from_function(lambda t: t @ t + rng.normal(), lambda t: 2 * t, np.ones(3))
    (finding,) = checks.check_gradients(noisy).findings
    assert "two evaluations from the same seed differ" in finding.message
    endless = from_function(lambda t: float("nan"), lambda t: 2 * t, np.ones(3))
    (finding,) = checks.check_gradients(endless).findings
    assert "the loss is nan" in finding.message


def test_theta_is_put_back_after_an_exception():
    calls = []

    def loss(theta):
        calls.append(1)
        if len(calls) > 12:
            raise RuntimeError("no more")
        return theta @ theta

    model = from_function(loss, lambda theta: 2 * theta, np.arange(1.0, 4.0))
    with pytest.raises(RuntimeError, match="no more"):
        checks.check_gradients(model)
    assert model.theta.tolist() == [1.0, 2.0, 3.0]


def test_a_loss_of_exactly_zero_has_nothing_to_compare():
    flat = from_function(lambda t: 0.0, lambda t: 0 * t, np.ones(3))
    result = checks.check_gradients(flat)
    assert result.passed
    assert result.worst_relative_error == 0


def test_an_objective_has_its_data_inside():
    for extra in ({"data": (X, Y)}, {"loss": np.sum}, {"burn_in": 3}, {"dtype": "float32"}):
        with pytest.raises(TypeError, match="inside"):
            checks.check_gradients(linear(), **extra)
    with pytest.raises(TypeError, match="data given beside an objective"):
        checks.sweep_h(linear(), [1e-5])
    with pytest.raises(TypeError, match="or an objective alone"):
        checks.check_gradients(object())


def test_the_sweep_of_steps_is_v_shaped():
    sweep = checks.sweep_h(linear(), h=[1e-13, 1e-7, 1e-1])
    median = np.median(sweep.forward, axis=1)
    assert median[1] < median[0]
    assert median[1] < median[2]
    assert sweep.dtype == "float64"
    with pytest.raises(ValueError, match="every gradient that was looked at is 0"):
        checks.sweep_h(from_function(lambda t: 0.0, lambda t: 0 * t, np.ones(3)))


def test_the_module_says_the_truth():
    import doctest

    assert doctest.testmod(objective).failed == 0
