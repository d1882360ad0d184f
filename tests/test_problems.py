"""Problems to descend on, against FACTS of mathematics: minima, Hessians, rates, trajectories."""

from __future__ import annotations

import math

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnbook import optim, problems

PROBLEMS = {
    "quadratic": problems.quadratic([1, 10]),
    "turned": problems.quadratic([0.5, 3], angle=0.7),
    "five": problems.quadratic([5, 4, 3, 2, 1]),
    "one": problems.quadratic([2.0]),
    "double well": problems.double_well(),
    "tilted": problems.double_well(0.35),
    "rosenbrock": problems.rosenbrock(),
}


def numeric_gradient(value, theta, h=1e-6):
    axes = onp.eye(len(theta))
    return onp.array([(value(theta + h * e) - value(theta - h * e)) / (2 * h) for e in axes])


@pytest.mark.parametrize("name", PROBLEMS)
def test_gradients_are_those_of_the_values(name):
    problem = PROBLEMS[name]
    rng = onp.random.default_rng(3)
    for theta in problem.minimum + rng.normal(size=(10, len(problem.start))):
        numeric = numeric_gradient(problem.value, theta)
        onp.testing.assert_allclose(problem.gradient(theta), numeric, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_minimum_is_one_with_the_stated_eigenvalues(name):
    problem = PROBLEMS[name]
    onp.testing.assert_allclose(problem.gradient(problem.minimum), 0, atol=1e-12)
    axes = onp.eye(len(problem.start))
    hessian = onp.array(
        [
            (problem.gradient(problem.minimum + 1e-6 * e) - problem.gradient(
                problem.minimum - 1e-6 * e)) / 2e-6
            for e in axes
        ]
    )  # fmt: skip
    eigenvalues = onp.linalg.eigvalsh(hessian)
    onp.testing.assert_allclose(problem.eigenvalues, eigenvalues, rtol=1e-6)
    assert problem.condition_number == pytest.approx(eigenvalues[-1] / eigenvalues[0], rel=1e-6)
    around = problem.minimum + 0.3 * onp.random.default_rng(0).normal(size=(50, len(axes)))
    assert (problem.value(around) > problem.value(problem.minimum)).all()


@pytest.mark.parametrize("name", PROBLEMS)
def test_many_points_at_once_are_points_one_by_one(name):
    problem = PROBLEMS[name]
    points = onp.random.default_rng(1).normal(size=(6, len(problem.start)))
    values, gradients = problem.value(points), problem.gradient(points)
    assert values.shape == (6,)
    assert gradients.shape == points.shape
    for point, value, gradient in zip(points, values, gradients, strict=True):
        assert problem.value(point) == pytest.approx(value, rel=1e-14)
        onp.testing.assert_allclose(problem.gradient(point), gradient, rtol=1e-13)


def test_rosenbrock_has_its_known_numbers():
    problem = problems.rosenbrock()
    assert problem.value(problem.start) == pytest.approx(24.2, rel=1e-14)
    onp.testing.assert_allclose(problem.gradient(problem.start), [-215.6, -88], rtol=1e-13)
    assert problem.value(onp.ones(2)) == 0
    onp.testing.assert_allclose(problem.eigenvalues, [0.399361, 1001.60064], rtol=1e-6)
    assert problem.condition_number == pytest.approx(2508.01, rel=1e-5)


def test_gradient_descent_on_the_quadratic_of_facts():
    problem = problems.quadratic([1, 10])
    assert problem.start.tolist() == [10, 1]
    path = optim.trajectory(optim.sgd(2 / 11), problem.gradient, problem.start, 2)
    onp.testing.assert_allclose(path[1], [8.181818, -0.818182], rtol=1e-6)
    onp.testing.assert_allclose(path[2], [6.694215, 0.669421], rtol=1e-6)


def rate_of(path, last=20):
    sizes = onp.linalg.norm(path, axis=1)
    return (sizes[-1] / sizes[-1 - last]) ** (1 / last)


@pytest.mark.parametrize(
    ("learning_rate", "expected"), [(1 / 100, 0.990), (2 / 101, 99 / 101)], ids=["1/λ", "best"]
)
def test_gradient_descent_converges_at_the_rate_of_theory(learning_rate, expected):
    problem = problems.quadratic([1, 100], angle=0.4)
    path = optim.trajectory(optim.sgd(learning_rate), problem.gradient, problem.start, 400)
    assert rate_of(path) == pytest.approx(expected, rel=1e-6)


def test_heavy_ball_converges_at_the_rate_of_theory():
    small, large = 1.0, 10.0
    kappa = large / small
    eta = 4 / (math.sqrt(large) + math.sqrt(small)) ** 2
    mu = ((math.sqrt(kappa) - 1) / (math.sqrt(kappa) + 1)) ** 2
    problem = problems.quadratic([small, large])
    rule = optim.momentum(eta, momentum=mu)
    path = optim.trajectory(rule, problem.gradient, problem.start, 300)
    # A double root: the error is k·ρᵏ, so the measured rate nears ρ = .519494 from above.
    assert rate_of(path, 100) == pytest.approx(0.519494, rel=0.01)


@given(
    eigenvalues=st.lists(st.floats(0.1, 10), min_size=2, max_size=2),
    angle=st.floats(-3, 3),
    share=st.floats(0.05, 1.1),
)
@settings(max_examples=30, deadline=None)
def test_it_converges_if_and_only_if_the_rate_is_below_two_over_the_largest(
    eigenvalues, angle, share
):
    if abs(share - 1) < 0.02:
        return
    problem = problems.quadratic(eigenvalues, angle=angle)
    path = optim.trajectory(
        optim.sgd(share * 2 / max(eigenvalues)), problem.gradient, problem.start, 500
    )
    values = problem.value(path)
    assert (values[-1] < values[0]) == (share < 1)
    if share < 1:  # the loss never rises
        assert (onp.diff(values) <= 1e-12 * values[0]).all()


@pytest.mark.parametrize("tilt", [0.05, 0.2, 0.38])
def test_the_double_well_has_a_shallow_basin_right_and_a_deep_one_left(tilt):
    well = problems.double_well(tilt)
    left, right = well.minimum, well.start
    assert left < 0 < right
    onp.testing.assert_allclose(well.gradient(right), 0, atol=1e-12)
    assert 3 * right[0] ** 2 - 1 > 0  # a minimum, not the barrier
    assert well.value(left) < well.value(right)
    grid = onp.linspace(-2, 2, 4001)[:, None]
    assert well.value(grid).min() >= well.value(left) - 1e-12


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: problems.quadratic([1, -2]), r"eigenvalues are \[1, -2\]; expected positive"),
        (lambda: problems.quadratic([]), r"eigenvalues are \[\]; expected positive"),
        (lambda: problems.quadratic([[1, 2]]), r"eigenvalues are \[\[1, 2\]\]; expected"),
        (lambda: problems.quadratic([1, float("nan")]), r"eigenvalues are .*nan.*; expected"),
        (lambda: problems.quadratic([1, float("inf")]), r"eigenvalues are .*inf.*; expected"),
        (lambda: problems.quadratic([1, 2, 3], angle=0.1), "angle needs two eigenvalues; got 3"),
        (lambda: problems.double_well(0.5), r"tilt is 0\.5; expected it in \(0, 0\.385\)"),
        (lambda: problems.double_well(0), r"tilt is 0; expected it in \(0, 0\.385\)"),
        (lambda: problems.double_well(float("nan")), r"tilt is nan; expected it in \(0, 0\.385\)"),
    ],
)
def test_bad_problems_are_refused(work, message):
    with pytest.raises(ValueError, match=message):
        work()
