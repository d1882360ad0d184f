"""The unit tests of stochastic optimisation: landscapes, noise, outcomes, rules of all kinds."""

import math
import time

import numpy as onp
import pytest

from nnbook import optim
from nnbook.optim import shapes as landscapes
from nnbook.optim import testing, trials
from nnbook.runtime import mx

SHAPES = {shape.name: shape for shape in landscapes.SHAPES}
TESTS = optim.unit_tests({"sgd": optim.sgd(0.1), "adam": optim.adam(0.1)})


def cell(tests, rule, shape, noise="none", change="stationary"):
    """Return the index of one test."""
    return (
        tests.rules.index(rule),
        tests.shapes.index(shape),
        tests.noises.index(noise),
        tests.changes.index(change),
    )


@pytest.mark.parametrize("name", SHAPES)
def test_gradients_are_those_of_the_values(name):
    shape = SHAPES[name]
    points = onp.random.default_rng(0).normal(size=(50, 2))
    for axis in range(2):
        h = onp.zeros(2)
        h[axis] = 1e-6
        slope = (shape.value(points + h) - shape.value(points - h)) / 2e-6
        onp.testing.assert_allclose(shape.gradient(points)[:, axis], slope, rtol=1e-6, atol=1e-7)
    if shape.dimensions == 1:
        assert (shape.gradient(points)[:, 1] == 0).all()


@pytest.mark.parametrize("name", SHAPES)
def test_every_start_lies_above_the_floor_on_a_slope(name):
    shape = SHAPES[name]
    start = onp.array(shape.start)
    assert shape.value(start) > shape.floor
    step = -1e-4 * shape.gradient(start)
    assert shape.value(start + step) < shape.value(start)


def test_plain_descent_on_the_bowl_is_the_closed_form():
    steps, rate = 100, 0.05
    tests = optim.unit_tests(optim.sgd(rate), steps=steps, seeds=2)
    index = cell(tests, tests.rules[0], "quadratic")
    losses = 1.03**2 / 2 * (1 - rate) ** (2 * onp.arange(steps + 1))
    # The reference reaches the minimum in one step, at rate 1.
    assert tests.reference_rates[index[1:]] == 1
    expected = 1 - losses[-20:].mean() / losses[0]
    onp.testing.assert_allclose(tests.progress[index], expected, rtol=1e-12)
    onp.testing.assert_allclose(
        tests.trajectories[index][1], 1 - losses[tests.steps] / losses[0], rtol=1e-12, atol=1e-15
    )


def test_adam_on_a_slope_moves_its_rate_a_step():
    tests = optim.unit_tests(optim.adam(0.02), steps=100, seeds=1)
    index = cell(tests, tests.rules[0], "line")
    done = 0.02 * onp.arange(81, 101).mean() / (4 - landscapes.START)
    assert tests.progress[index][0] == pytest.approx(done, rel=1e-6)
    assert testing.STATUSES[tests.status[index]] == "slow"


def test_the_reference_is_the_best_rate_of_gradient_descent():
    rate = float(TESTS.reference_rates[cell(TESTS, "sgd", "valley", "additive")[1:]])
    again = optim.unit_tests(optim.sgd(rate))
    index = cell(again, again.rules[0], "valley", "additive")
    assert again.score[index] == pytest.approx(1, rel=1e-12)
    onp.testing.assert_allclose(again.trajectories[index][1], again.reference[index[1:]])
    for other in trials.REFERENCE_RATES:
        worse = optim.unit_tests(optim.sgd(other))
        assert worse.score[index] <= 1 + 1e-12


def test_what_is_known_of_the_rules_comes_out():
    # Outliers throw plain descent away; a rule that divides by the size of gradients shrugs.
    assert not TESTS.passed[cell(TESTS, "sgd", "quadratic", "Cauchy")]
    assert TESTS.passed[cell(TESTS, "adam", "quadratic", "Cauchy")]
    # A slope ten times as steep is a rate ten times as high.
    assert not TESTS.passed[cell(TESTS, "sgd", "valley", "none", "scale")]
    assert TESTS.passed[cell(TESTS, "adam", "valley", "none", "scale")]
    wild = optim.unit_tests(optim.sgd(3.0))
    assert testing.STATUSES[wild.status[cell(wild, wild.rules[0], "quadratic")]] == "diverged"
    timid = optim.unit_tests(optim.sgd(1e-4))
    assert testing.STATUSES[timid.status[cell(timid, timid.rules[0], "abs")]] == "stuck"


def test_the_outcomes_follow_their_definitions():
    progress = onp.array(
        [[-2, -2, 5, 5], [0, 0, 5, 0], [0, 0, 5, 5], [0.05, 0.3, 0.3, 0.3], [0.05, 0.9, 0.9, 3]]
    )
    empty = onp.zeros(1)
    tests = optim.UnitTests(
        ("r",), tuple("abcde"), ("n",), ("c",), progress[None, :, None, None], *[empty] * 4
    )
    words = [testing.STATUSES[k] for k in tests.status.ravel()]
    assert words == ["diverged", "stuck", "unreliable", "slow", "good"]
    assert tests.passed.ravel().tolist() == [False, False, False, True, True]


def test_a_seed_decides_everything():
    again = optim.unit_tests({"sgd": optim.sgd(0.1), "adam": optim.adam(0.1)})
    assert (again.progress == TESTS.progress).all()
    assert (again.trajectories == TESTS.trajectories).all()
    other = optim.unit_tests(optim.sgd(0.1), seed=1)
    still = [TESTS.noises.index(name) for name in ("none",)]
    noisy = [TESTS.noises.index(name) for name in ("additive", "Cauchy")]
    assert (other.progress[0][:, still] == TESTS.progress[0][:, still]).all()
    assert (other.progress[0][:, noisy] != TESTS.progress[0][:, noisy]).mean() > 0.5


def test_a_rule_that_is_not_elementwise_takes_every_run_by_itself():
    def clipped(g, buffers, theta, rate, t):
        return -rate * g / max(1.0, float(onp.linalg.norm(g))), ()

    rule = optim.Optimizer("clipped", 0.1, {}, 0, clipped)
    tests = optim.unit_tests(rule, steps=20, seeds=2)
    # In one dimension it is a step of at most the rate, which can be written elementwise.
    alike = optim.Optimizer(
        "alike", 0.1, {}, 0, lambda g, b, theta, rate, t: (-rate * onp.clip(g, -1, 1), ())
    )
    other = optim.unit_tests(alike, steps=20, seeds=2)
    flat = [shape.dimensions == 1 for shape in landscapes.SHAPES]
    onp.testing.assert_allclose(tests.progress[:, flat], other.progress[:, flat], rtol=1e-12)
    assert not onp.allclose(tests.progress[:, -3:], other.progress[:, -3:])


def test_one_by_one_is_the_same_for_an_elementwise_rule():
    rule = optim.adam(0.1)
    together = optim.unit_tests(rule, steps=20, seeds=1)
    alone = optim.unit_tests(rule, steps=20, seeds=1, elementwise=False)
    onp.testing.assert_allclose(alone.progress, together.progress, rtol=1e-12)


def test_mxnets_optimizers_are_tried_as_they_are():
    tests = optim.unit_tests(
        {
            "momentum": optim.momentum(0.125, 0.875),
            "mxnet": mx.optimizer.SGD(learning_rate=0.125, momentum=0.875),
        }
    )
    assert tests.rules == ("momentum", "mxnet")
    assert (tests.status[0] == tests.status[1]).all()


def test_the_grid_finds_the_division_by_zero_in_mxnets_adamax():
    # It has no eps: 0/0 for a weight whose first gradient is zero, as under mask-out.
    tests = optim.unit_tests(mx.optimizer.Adamax(learning_rate=0.1))
    masked = tests.noises.index("mask-out")
    assert {testing.STATUSES[k] for k in tests.status[0, :, masked].ravel()} == {"diverged"}
    assert tests.passed[0, :, tests.noises.index("none"), 0].all()


def test_it_costs_little():
    optim.unit_tests(optim.sgd(0.1))
    started = time.process_time()
    optim.unit_tests(optim.adamw(0.1))
    assert time.process_time() - started < 1.5


def test_a_schedule_works_and_names_tell_rules_apart():
    tests = optim.unit_tests([optim.sgd(0.1), optim.sgd(lambda step: 0.1)], steps=20, seeds=1)
    assert tests.rules[0] == "sgd(0.1)"
    assert (tests.progress[0] == tests.progress[1]).all()


def test_the_tables():
    text = TESTS.table()
    assert text.splitlines()[0].split() == ["passed", "of", "25", *TESTS.shapes, "all"]
    counts = TESTS.passed.sum(axis=(2, 3))
    assert text.splitlines()[2].split()[:4] == ["adam", *map(str, counts[1, :3])]
    assert str(TESTS) == text
    one = TESTS.table("adam").splitlines()
    assert one[0].split() == ["adam", *TESTS.noises]
    assert one[1].split()[1] == "".join(testing.SYMBOLS[k] for k in TESTS.status[1, 0, 0])
    assert "– stuck" in one[-1]
    markup = TESTS._repr_html_()
    assert markup.count("<tr>") == 3
    assert f"<td>{counts[1, 0]}</td>" in markup
    with pytest.raises(ValueError, match="rule is 'lion'; expected one of sgd, adam"):
        TESTS.table("lion")


@pytest.mark.parametrize(
    ("rules", "options", "error", "words"),
    [
        (3, {}, TypeError, "rules is 3; expected a rule"),
        ([math.sqrt], {}, TypeError, "expected one such as nnbook.optim.sgd"),
        ({}, {}, ValueError, "there is no rule"),
        ([optim.sgd(0.1)] * 2, {}, ValueError, "repeats a name"),
        (optim.sgd(onp.ones(3)), {}, ValueError, r"learning_rate of .* has shape \(3,\)"),
        (optim.momentum(0.1, onp.ones(2) / 2), {}, ValueError, "momentum of .* has shape"),
        (optim.sgd(0.1), {"steps": 5}, ValueError, "steps is 5; expected .* at least 20"),
        (optim.sgd(0.1), {"seeds": 0}, ValueError, "seeds is 0; expected .* at least 1"),
        (optim.sgd(0.1), {"seed": -1}, ValueError, "seed is -1; expected .* at least 0"),
        (optim.sgd(0.1), {"seeds": 2.5}, TypeError, "seeds is 2.5; expected a whole number"),
    ],
)
def test_bad_input_is_named(rules, options, error, words):
    with pytest.raises(error, match=words):
        optim.unit_tests(rules, **options)
