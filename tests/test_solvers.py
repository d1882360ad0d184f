"""Solvers against closed forms, certified values and SciPy."""

from __future__ import annotations

import pickle
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize

from nnbook import curvature, objective, problems, solvers
from nnbook.curvature import DenseObjective
from nnbook.solvers import (
    BFGS,
    LBFGS,
    Armijo,
    ConjugateGradients,
    DampedNewton,
    Damping,
    Fixed,
    GaussNewton,
    LevenbergMarquardt,
    Newton,
    NewtonCG,
    Steepest,
    Stop,
    TrustRegion,
    Wolfe,
)
from nnbook.solvers.classics import CLASSICS
from nnbook.solvers.curves import CURVES, digits

EXACT = Wolfe(curvature=1e-10)


def rosenbrock_hessian(x):
    return [[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200]]


def quadratic(values, start=None):
    values = np.array(values, dtype=float)
    return {
        "f": lambda x: 0.5 * values @ (x * x),
        "gradient": lambda x: values * x,
        "start": np.ones(len(values)) if start is None else start,
    }


# ------------------------------------------------------------------------------ closed forms


def test_newton_on_rosenbrock():
    found = solvers.minimize(
        problems.rosenbrock(), hessian=rosenbrock_hessian, descent=Newton(), keep_path=True
    )
    expected = [24.2, 4.731884, 1411.845, 0.0559655, 0.313189, 1.85e-11, 3.4e-20]
    np.testing.assert_allclose(found.history.value[:6], expected[:6], rtol=3e-3)
    assert found.history.value[1] == pytest.approx(4.731884, abs=5e-7)
    assert found.history.value[6] < 1e-18
    np.testing.assert_allclose(found.x, 1, atol=1e-9)


def test_gauss_newton_on_rosenbrock():
    classic = CLASSICS["Rosenbrock"]
    found = solvers.least_squares(
        classic.residuals, classic.start, jacobian=classic.jacobian, descent=GaussNewton(),
        keep_path=True,
    )  # fmt: skip
    np.testing.assert_allclose(found.path[1], [1, -3.84], rtol=1e-12)
    assert found.history.value[1] == pytest.approx(2342.56, rel=1e-12)
    np.testing.assert_allclose(found.path[2], [1, 1], rtol=1e-14)


def test_gradient_descent_on_a_quadratic():
    found = solvers.minimize(
        **quadratic([1, 10], [10.0, 1.0]), descent=Steepest(), search=Fixed(2 / 11),
        stop=Stop(iterations=2), keep_path=True,
    )  # fmt: skip
    np.testing.assert_allclose(found.path[1], [8.181818, -0.818182], atol=5e-7)
    np.testing.assert_allclose(found.path[2], [6.694215, 0.669421], atol=5e-7)


def test_exact_steepest_descent_falls_by_a_constant_ratio():
    found = solvers.minimize(
        **quadratic([1, 10], [10.0, 1.0]), descent=Steepest(), search=EXACT,
        stop=Stop(iterations=20),
    )  # fmt: skip
    ratios = found.history.value[1:] / found.history.value[:-1]
    np.testing.assert_allclose(ratios, 0.669421, atol=1e-6)


SPECTRUM = [1, 1, 1, 4, 4, 9, 9, 25]


@pytest.mark.parametrize("beta", ["FR", "PR", "PR+"])
def test_conjugate_gradients_take_a_step_an_eigenvalue(beta):
    found = solvers.minimize(
        **quadratic(SPECTRUM, np.linspace(1, 2, 8)), descent=ConjugateGradients(beta),
        search=EXACT, stop=Stop(gradient=1e-9),
    )  # fmt: skip
    assert found.iterations == 4


@pytest.mark.parametrize("memory", [1, 2, 5])
def test_lbfgs_with_an_exact_search_is_the_same_for_every_memory(memory):
    def run(descent):
        return solvers.minimize(
            **quadratic(SPECTRUM, np.linspace(1, 2, 8)), descent=descent, search=EXACT,
            stop=Stop(gradient=1e-9), keep_path=True,
        )  # fmt: skip

    found, other = run(LBFGS(memory)), run(ConjugateGradients("FR"))
    assert found.iterations == 4
    np.testing.assert_allclose(found.path, other.path, atol=1e-8)
    np.testing.assert_allclose(run(BFGS()).path, other.path, atol=1e-8)


def test_newton_takes_one_step_and_does_not_care_about_units():
    A = np.array([[3.0, 1.0], [1.0, 2.0]])
    found = solvers.minimize(
        lambda x: 0.5 * x @ A @ x, [5.0, -3.0], gradient=lambda x: A @ x, hessian=lambda x: A,
        descent=Newton(),
    )  # fmt: skip
    assert found.iterations == 1
    assert found.hessians == 1
    # x = Tz: the iterates of Newton are those of x, those of steepest descent are not.
    T = np.array([[2.0, 1.0], [-1.0, 30.0]])
    rosenbrock = problems.rosenbrock()

    def paths(descent, **options):
        plain = solvers.minimize(
            rosenbrock, hessian=rosenbrock_hessian, descent=descent, keep_path=True, **options
        )
        turned = solvers.minimize(
            lambda z: rosenbrock.value(T @ z), np.linalg.solve(T, rosenbrock.start),
            gradient=lambda z: T.T @ rosenbrock.gradient(T @ z),
            hessian=lambda z: T.T @ np.array(rosenbrock_hessian(T @ z)) @ T,
            descent=descent, keep_path=True, **options,
        )  # fmt: skip
        return plain.path[:6], turned.path[:6] @ T.T

    first, second = paths(Newton())
    np.testing.assert_allclose(first, second, atol=1e-10, rtol=1e-10)
    first, second = paths(Steepest(), search=Armijo(), stop=Stop(iterations=5))
    assert abs(first - second).max() > 0.01


def test_newton_diverges_on_the_square_root_from_beyond_one():
    def run(start, **options):
        return solvers.minimize(
            lambda x: float(np.sqrt(1 + x[0] ** 2)), [start],
            gradient=lambda x: x / np.sqrt(1 + x**2), hessian=lambda x: [(1 + x**2) ** -1.5],
            keep_path=True, **options,
        )  # fmt: skip

    near = run(0.9, descent=Newton())
    assert near.path[1, 0] == pytest.approx(-0.729, abs=1e-12)
    assert near.converged
    far = run(1.1, descent=Newton())
    assert not far.converged
    assert far.reason in ("diverged", "iterations")
    np.testing.assert_allclose(far.path[1:4, 0], -(far.path[:3, 0] ** 3), rtol=1e-9)
    assert far.x[0] == 1.1  # the best that it saw
    for cure in ({"descent": DampedNewton()}, {"descent": Newton(), "search": TrustRegion()}):
        assert run(5.0, **cure).converged


def saddle(descent, **options):
    return solvers.minimize(
        lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4, [1.0, 0.1],
        gradient=lambda x: [2 * x[0], -2 * x[1] + 4 * x[1] ** 3],
        hessian=lambda x: [[2, 0], [0, -2 + 12 * x[1] ** 2]], descent=descent, **options,
    )  # fmt: skip


def test_newton_goes_to_the_saddle_and_the_others_do_not():
    np.testing.assert_allclose(saddle(Newton()).x, 0, atol=1e-9)
    for descent, options in (
        (DampedNewton("absolute"), {}),
        (DampedNewton("shift"), {}),
        (NewtonCG(), {}),
        (NewtonCG(), {"search": TrustRegion()}),
        (Newton(), {"search": TrustRegion()}),
        (LBFGS(), {}),
        (BFGS(), {}),
        (ConjugateGradients(), {}),
    ):
        found = saddle(descent, **options)
        assert found.converged, descent
        assert abs(found.x[1]) == pytest.approx(np.sqrt(0.5), abs=1e-6), descent


def test_a_trust_region_leaves_a_maximum_in_the_hard_case():
    found = solvers.minimize(
        lambda x: np.cos(x[0]) + x[1] ** 2, [0.0, 0.5],
        gradient=lambda x: [-np.sin(x[0]), 2 * x[1]],
        hessian=lambda x: [[-np.cos(x[0]), 0], [0, 2]], descent=Newton(), search=TrustRegion(),
    )  # fmt: skip
    assert found.value == pytest.approx(-1)


def test_the_step_of_a_trust_region_is_the_best_within_it():
    from nnbook.solvers.trust import exact_step

    rng = np.random.default_rng(0)
    for _ in range(20):
        B = rng.normal(size=(3, 3))
        B, g, radius = B + B.T, rng.normal(size=3), rng.uniform(0.1, 2)
        s = exact_step(g, B, radius)
        assert np.linalg.norm(s) <= radius * (1 + 1e-9)
        model = g @ s + 0.5 * s @ B @ s
        others = rng.normal(size=(5000, 3))
        others *= (
            radius * rng.random((5000, 1)) ** (1 / 3) / np.linalg.norm(others, axis=1)[:, None]
        )
        least = (others @ g + 0.5 * np.einsum("ni,ij,nj->n", others, B, others)).min()
        assert model <= least + 1e-12


# ------------------------------------------------------------------------------ searches


def test_wolfe_meets_both_conditions():
    rng = np.random.default_rng(0)
    for seed in range(40):
        c = rng.normal(size=5)

        def phi(t, c=c):
            return 0.05 * t**2 + c[0] * np.sin(c[1] * t) + c[2] * np.cos(c[3] * t) - abs(c[4]) * t

        def slope(t, c=c):
            part = c[0] * c[1] * np.cos(c[1] * t) - c[2] * c[3] * np.sin(c[3] * t)
            return 0.1 * t + part - abs(c[4])

        if slope(0.0) >= 0:
            continue
        for first in (1e-4, 1.0, 100.0):
            function = solvers.functions.Scalar(
                lambda x: phi(x[0]), lambda x: np.array([slope(x[0])]), None,
                solvers.functions.Counts(Stop()),
            )  # fmt: skip
            line = solvers.searches.Line(function, function.point(np.zeros(1)), np.ones(1))
            for c2 in (0.9, 0.1):
                t = Wolfe(curvature=c2)(line, first)
                assert phi(t) <= phi(0.0) + 1e-4 * t * slope(0.0) + 1e-12, (seed, first)
                assert abs(slope(t)) <= c2 * abs(slope(0.0)), (seed, first)


@pytest.mark.parametrize("search", [Armijo(), Wolfe()])
def test_searches_turn_back_where_the_function_is_not_finite(search):
    found = solvers.minimize(
        lambda x: float(x[0] - np.log(x[0])), [9.0], gradient=lambda x: 1 - 1 / x,
        descent=Steepest(), search=search, stop=Stop(gradient=1e-6),
    )  # fmt: skip
    assert found.x[0] == pytest.approx(1, abs=1e-5)


def test_wolfe_goes_on_below_the_rounding_of_the_value():
    # f is 1e6 and more, so that values tell nothing below √1e-10 = 1e-5.
    found = solvers.minimize(
        lambda x: 1e6 + 0.5 * (x - 3) @ (x - 3), np.zeros(4), gradient=lambda x: x - 3,
        descent=ConjugateGradients(), stop=Stop(gradient=1e-12),
    )  # fmt: skip
    assert found.converged


# ------------------------------------------------------------------------------ curve fitting

SETTINGS = {
    "Gauss–Newton": (GaussNewton(), Fixed()),
    "Gauss–Newton, Armijo": (GaussNewton(), Armijo()),
    **{
        f"LM {scaling}, {name}": (LevenbergMarquardt(scaling), search)
        for scaling in ("none", "max", "current")
        for name, search in (("damping", Damping()), ("radius 1", TrustRegion()))
    },
    "LM max, radius 100": (LevenbergMarquardt("max"), TrustRegion(100.0)),
}


@pytest.fixture(scope="module")
def fits():
    found = {}
    for name, curve in CURVES.items():
        for setting, (descent, search) in SETTINGS.items():
            for k, start in enumerate(curve.starts):
                with warnings.catch_warnings():
                    warnings.simplefilter("error")
                    one = solvers.least_squares(
                        curve.residuals, start, jacobian=curve.jacobian, descent=descent,
                        search=search,
                    )  # fmt: skip
                found[name, setting, k + 1] = one, digits(one.x, curve.certified)
    return found


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_the_data_are_nists(curve):
    r = curve.residuals(curve.certified)
    assert r @ r == pytest.approx(curve.rss, rel=1e-9)
    for start in curve.starts:
        numeric = optimize.approx_fprime(start, curve.residuals, 1e-8 * abs(start))
        np.testing.assert_allclose(
            curve.jacobian(start), numeric, rtol=1e-4, atol=1e-4 * abs(numeric).max()
        )


@pytest.mark.parametrize("start", [1, 2])
@pytest.mark.parametrize("name", CURVES)
def test_certified_parameters_in_six_digits(fits, name, start):
    solution, right = fits[name, "LM max, radius 1", start]
    assert right >= 6
    assert solution.converged
    assert solution.value == pytest.approx(CURVES[name].rss, rel=1e-9)


def test_which_settings_fail_where(fits):
    failed = {key for key, (_, right) in fits.items() if right < 6}
    # Gauss–Newton: overshoots into a plain, or out of all numbers.
    assert ("BoxBOD", "Gauss–Newton", 1) in failed
    assert ("Rat42", "Gauss–Newton", 1) in failed
    assert ("MGH10", "Gauss–Newton", 1) in failed
    # Moré's scaling fails on BoxBOD where no scaling passes, and the other way round on MGH10.
    assert ("BoxBOD", "LM max, damping", 1) in failed
    assert ("BoxBOD", "LM max, radius 100", 1) in failed
    assert ("BoxBOD", "LM none, damping", 1) not in failed
    assert ("MGH10", "LM none, radius 1", 1) in failed
    assert ("MGH10", "LM max, radius 1", 1) not in failed
    # Near the solution every setting finds it.
    assert {start for *_, start in failed} == {1}


def test_differences_serve_for_a_jacobian():
    curve = CURVES["Rat42"]
    found = solvers.least_squares(curve.residuals, curve.starts[0])
    assert digits(found.x, curve.certified) >= 6
    assert found.gradients == 0
    assert found.evaluations > 2 * 3 * found.iterations


def test_a_false_minimum_is_noted():
    curve = CURVES["BoxBOD"]
    found = solvers.least_squares(
        curve.residuals, curve.starts[0], jacobian=curve.jacobian, search=Damping()
    )
    assert found.value == pytest.approx(9771.5, abs=0.1)
    assert not found.converged
    assert "singular" in found.message


def test_levenberg_marquardt_survives_a_singular_jacobian():
    classic = CLASSICS["Powell singular"]
    found = solvers.least_squares(classic.residuals, classic.start, jacobian=classic.jacobian)
    assert found.value < 1e-20
    double = solvers.least_squares(lambda b: [b[0] + b[1] - 3, b[0] + b[1] - 3], [1.0, 0.0])
    np.testing.assert_allclose(double.x, [2, 1], atol=1e-6)
    assert "singular" in double.message or double.value < 1e-20


# ------------------------------------------------------------------------------ the classics


@pytest.mark.parametrize("classic", CLASSICS.values(), ids=CLASSICS)
def test_derivatives_of_the_classics(classic):
    rng = np.random.default_rng(0)
    x = classic.start + 0.1 * rng.normal(size=len(classic.start))
    for k in range(len(x)):
        h = 1e-6 * max(1.0, abs(x[k]))
        e = h * (np.arange(len(x)) == k)
        numeric = (classic.residuals(x + e) - classic.residuals(x - e)) / (2 * h)
        scale = max(1.0, abs(numeric).max(), 1e-3 * abs(classic.residuals(x)).max())
        np.testing.assert_allclose(classic.jacobian(x)[:, k], numeric, atol=1e-6 * scale)
        numeric = (classic.gradient(x + e) - classic.gradient(x - e)) / (2 * h)
        scale = max(1.0, abs(numeric).max(), 1e-3 * abs(classic.gradient(x)).max())
        np.testing.assert_allclose(classic.hessian(x)[:, k], numeric, atol=1e-5 * scale)


@pytest.mark.parametrize("classic", CLASSICS.values(), ids=CLASSICS)
def test_least_squares_on_the_classics(classic):
    found = solvers.least_squares(classic.residuals, classic.start, jacobian=classic.jacobian)
    near = [abs(found.value - m) <= 1e-6 * m + 1e-9 for m in classic.minima]
    assert any(near), found.value
    assert found.converged


def test_known_minima():
    found = {
        name: solvers.least_squares(c.residuals, c.start, jacobian=c.jacobian)
        for name, c in CLASSICS.items()
    }
    np.testing.assert_allclose(found["Freudenstein and Roth"].x, [11.412779, -0.896805], atol=5e-7)
    assert found["Freudenstein and Roth"].value == pytest.approx(48.984254, abs=5e-7)
    np.testing.assert_allclose(
        found["Powell badly scaled"].x, [1.09815933e-5, 9.10614674], rtol=1e-6
    )
    np.testing.assert_allclose(found["Jennrich and Sampson"].x, 0.257825, atol=5e-7)
    assert found["Jennrich and Sampson"].value == pytest.approx(124.362182, abs=5e-7)
    assert found["Brown and Dennis"].value == pytest.approx(85822.2016, abs=5e-5)
    np.testing.assert_allclose(found["helical valley"].x, [1, 0, 0], atol=1e-9)


PEERS = {"cg": "CG", "bfgs": "BFGS", "lbfgs": "L-BFGS-B", "newton_cg": "Newton-CG"}
PEERS |= {"newton": "trust-exact"}


def scipys(classic, method):
    options = {"gtol": 1e-6, "maxiter": 1000}
    if method == "L-BFGS-B":
        options |= {"ftol": 0, "maxfun": 10_000}
    if method == "Newton-CG":
        options = {"xtol": 1e-8, "maxiter": 1000}
    hessian = classic.hessian if method in ("Newton-CG", "trust-exact") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optimize.minimize(
            classic.value, classic.start, jac=classic.gradient, hess=hessian, method=method,
            options=options,
        )  # fmt: skip


@pytest.mark.parametrize("descent", PEERS)
def test_no_more_evaluations_than_scipy_and_a_half(descent):
    """Where SciPy says success and both end in the same minimum, to the same gradient.

    The way through a badly scaled valley is a matter of the last bit, and so of the processor and
    SciPy's version: a problem that takes longer is tried from nine starts nearby, by the median.
    One may take longer even so: L-BFGS on Powell's badly scaled function takes twice what
    SciPy 1.18 takes, and no longer than SciPy 1.15.
    """
    ratios, over = [], {}
    for name, classic in CLASSICS.items():
        if (ratio := beside_scipy(classic, descent)) is None:
            continue
        ratios.append(ratio)
        if ratio > 1.5:
            noise = np.random.default_rng(0).normal(size=(9, len(classic.start)))
            near = [replace(classic, start=classic.start * (1 + 1e-7 * e)) for e in noise]
            found = [beside_scipy(one, descent) for one in near]
            over[name] = np.median([ratio for ratio in found if ratio is not None])
    assert len(ratios) >= 11
    assert np.median(ratios) <= 1.1
    assert sum(ratio > 1.5 for ratio in over.values()) <= 1, over


def beside_scipy(classic, descent):
    """Return our evaluations by SciPy's; None where the two do not end alike."""
    theirs = scipys(classic, PEERS[descent])
    reached = abs(classic.gradient(theirs.x)).max()
    if not theirs.success:
        return None
    ours = solvers.minimize(
        classic, hessian=classic.hessian, descent=descent,
        search=TrustRegion() if descent == "newton" else None,
        stop=Stop(gradient=max(1e-6, reached), evaluations=1500),
    )  # fmt: skip
    if abs(ours.value - theirs.fun) > 1e-6 * max(1, abs(theirs.fun)):
        return None
    return max(ours.evaluations / theirs.nfev, ours.gradients / theirs.njev)


@pytest.mark.parametrize("descent", PEERS)
def test_minimising_the_classics(descent):
    """Most of them by each; badly scaled ones need least squares or BFGS."""
    reached = 0
    for classic in CLASSICS.values():
        found = solvers.minimize(
            classic, hessian=classic.hessian, descent=descent,
            search=TrustRegion() if descent == "newton" else None,
            stop=Stop(gradient=1e-6, evaluations=700),
        )  # fmt: skip
        reached += any(abs(found.value - m) <= 1e-6 * m + 1e-6 for m in classic.minima)
    assert reached >= 13


# ------------------------------------------------------------------------------ a network


@pytest.fixture(scope="module")
def digits_data():
    sklearn = pytest.importorskip("sklearn.datasets")
    found = sklearn.load_digits()
    return found.data / 16, found.target


class Ridge:
    """Softmax regression with a little weight decay, so that there is one optimum."""

    def __init__(self, data):
        self.net = DenseObjective([64, 10], data, "softmax_cross_entropy", theta=np.zeros(650))

    def value(self, theta):
        self.net.theta = theta
        return self.net.loss() + 0.5e-3 * theta @ theta

    def gradient(self, theta):
        self.net.theta = theta
        return self.net.gradient() + 1e-3 * theta

    def hessian(self, theta):
        self.net.theta = theta
        return curvature.Hessian(self.net).damped(1e-3)


def test_lbfgs_finds_scipys_optimum_of_softmax_regression(digits_data):
    ridge = Ridge(digits_data)
    ours = solvers.minimize(
        ridge.value, np.zeros(650), gradient=ridge.gradient, descent=LBFGS(),
        stop=Stop(gradient=1e-7),
    )  # fmt: skip
    theirs = optimize.minimize(
        ridge.value, np.zeros(650), jac=ridge.gradient, method="L-BFGS-B",
        options={"ftol": 0, "gtol": 1e-7, "maxiter": 5000, "maxfun": 10_000},
    )  # fmt: skip
    assert ours.converged
    assert abs(ours.value - theirs.fun) < 1e-8
    np.testing.assert_allclose(ours.x, theirs.x, atol=2e-4)
    assert ours.evaluations <= 1.5 * theirs.nfev


def test_hessian_free_counts_products(digits_data):
    ridge = Ridge(digits_data)
    options = {"gradient": ridge.gradient, "descent": NewtonCG(), "stop": Stop(gradient=1e-7)}
    exact = solvers.minimize(ridge.value, np.zeros(650), hessian=ridge.hessian, **options)
    assert exact.converged
    assert exact.products > exact.iterations
    assert exact.gradients == exact.evaluations == exact.iterations + 1
    differences = solvers.minimize(ridge.value, np.zeros(650), **options)
    assert differences.value == pytest.approx(exact.value, abs=1e-9)
    assert differences.gradients == differences.evaluations + 2 * differences.products


def test_an_objective_is_moved_to_the_solution():
    bowl = objective.from_function(
        lambda t: float(((t - 2) ** 2).sum()), lambda t: 2 * (t - 2), np.zeros(3)
    )
    found = solvers.minimize(bowl)
    np.testing.assert_allclose(bowl.theta, 2)
    np.testing.assert_allclose(found.x, 2)


@pytest.mark.parametrize("solver", ["minimize", "sfo"])
def test_an_objective_gets_its_theta_back_when_something_raises(solver):
    def interrupted(progress):
        if progress.iteration == 2:
            raise KeyboardInterrupt

    model = objective.from_function(
        lambda t, rows=None: float((t**4).sum()), lambda t, rows=None: 4 * t**3, np.ones(3)
    )
    function = model if solver == "minimize" else (model, [None, None])
    with pytest.raises(KeyboardInterrupt):
        getattr(solvers, solver)(function, start=2 * np.ones(3), callback=interrupted)
    np.testing.assert_array_equal(model.theta, np.ones(3))


# ------------------------------------------------------------------------------ sfo


def test_sfo_finds_the_minimum_of_a_sum():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 5))
    y = x @ rng.normal(size=(5, 1)) + 0.1 * rng.normal(size=(600, 1))
    net = DenseObjective([5, 1], (x, y), "squared_error", theta=np.zeros(6))
    batches = np.split(np.arange(600), 12)
    exact = np.linalg.lstsq(np.hstack([x, np.ones((600, 1))]), y, rcond=None)[0].ravel()
    found = solvers.sfo((net, batches), passes=15, curvature=10.0)
    np.testing.assert_allclose(found.x, exact, atol=1e-5)
    np.testing.assert_array_equal(net.theta, found.x)
    assert found.evaluations <= 15 * 12 + 1


def test_sfo_falls_faster_than_gradient_descent_on_a_network(digits_data):
    x, y = digits_data

    def start():
        return DenseObjective([64, 8, 10], (x[:500], y[:500]), "softmax_cross_entropy", rng=0)

    net = start()
    batches = [np.arange(k, 500, 10) for k in range(10)]
    first = net.loss()
    found = solvers.sfo((net, batches), passes=10, memory=5, curvature=100.0)
    assert np.isfinite(found.value)
    ours = net.loss()
    other = solvers.minimize(start(), descent=Steepest(), search=Armijo(), stop=Stop(iterations=10))
    assert ours < 0.5 * other.value < first


def test_sfo_does_not_leap_away(digits_data):
    x, y = digits_data
    net = DenseObjective([64, 8, 10], (x[:500], y[:500]), "softmax_cross_entropy", rng=0)
    solvers.sfo((net, [np.arange(k, 500, 5) for k in range(5)]), passes=40, curvature=10.0)
    assert net.loss() < 0.05  # without going back, and without a longest step: 2.6e4


def test_sfo_turns_back_where_a_function_is_not_finite():
    def log(x):
        return (x[0] - np.log(x[0]), np.array([1 - 1 / x[0]])) if x[0] > 0 else (np.inf, x)

    found = solvers.sfo([log, log, log], [0.1], passes=60, curvature=1.0)
    assert found.x[0] == pytest.approx(1, abs=1e-4)


# ------------------------------------------------------------------------------ limits, reasons


def test_reasons():
    def run(stop, **options):
        return solvers.minimize(problems.rosenbrock(), descent="bfgs", stop=stop, **options)

    assert run(Stop()).reason == "gradient"
    assert run(Stop(iterations=3)).iterations == 3
    assert run(Stop(iterations=3)).reason == "iterations"
    assert run(Stop(evaluations=7)).evaluations == 7
    assert run(Stop(evaluations=7)).reason == "evaluations"
    target = run(Stop(target=0.1))
    assert target.reason == "target"
    assert target.value <= 0.1
    assert run(Stop(value=0.5)).reason == "value"
    assert run(Stop(step=0.5)).reason == "step"
    assert run(Stop(iterations=0)).iterations == 0
    falling = solvers.minimize(
        lambda x: -x[0], [0.0], gradient=lambda x: [-1.0], descent=Steepest(),
        stop=Stop(iterations=10),
    )  # fmt: skip
    assert not falling.converged
    wrong = solvers.minimize(lambda x: x @ x, [1.0], gradient=lambda x: -x)
    assert wrong.reason == "search"
    assert "no step" in wrong.message


def test_time_limit_holds_inside_a_search():
    def slow(x):
        time.sleep(0.02)
        return float(x @ x)

    began = time.perf_counter()
    found = solvers.minimize(
        lambda x: slow(x) + np.cos(9 * x[0]), [3.0],
        gradient=lambda x: 2 * x - 9 * np.sin(9 * x[0]), stop=Stop(seconds=0.1, gradient=0.0),
    )  # fmt: skip
    assert time.perf_counter() - began < 1.0
    assert found.reason == "time"
    assert not found.converged


def test_callbacks_see_every_iteration_and_can_stop():
    seen = []

    def callback(progress):
        seen.append(progress)
        progress.x[:] = 0  # a copy: nothing happens
        return len(seen) == 5

    found = solvers.minimize(problems.rosenbrock(), callback=callback)
    assert found.reason == "callback"
    assert [one.iteration for one in seen] == [0, 1, 2, 3, 4]
    assert seen[-1].evaluations == found.evaluations
    np.testing.assert_array_equal(found.history.value, [one.value for one in seen])


def test_counts_are_calls():
    calls = {"value": 0, "gradient": 0}
    rosenbrock = problems.rosenbrock()

    def value(x):
        calls["value"] += 1
        return rosenbrock.value(x)

    def gradient(x):
        calls["gradient"] += 1
        return rosenbrock.gradient(x)

    for descent in ("steepest", "cg", "bfgs", "lbfgs", "newton_cg", "damped_newton"):
        calls.update(value=0, gradient=0)
        found = solvers.minimize(
            value, rosenbrock.start, gradient=gradient, descent=descent, stop=Stop(iterations=30)
        )
        assert (found.evaluations, found.gradients) == (calls["value"], calls["gradient"]), descent
        assert found.value == rosenbrock.value(found.x)


def test_the_callers_start_stays():
    start = np.array([-1.2, 1.0])
    rosenbrock = problems.rosenbrock()

    def in_place(x):
        value = rosenbrock.value(x)
        x[:] = 0
        return value

    found = solvers.minimize(in_place, start, gradient=rosenbrock.gradient, descent="bfgs")
    assert start.tolist() == [-1.2, 1.0]
    np.testing.assert_allclose(found.x, 1, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: solvers.minimize(3), TypeError, "f is 3"),
        (lambda: solvers.minimize(abs, [1.0]), TypeError, "gradient is None"),
        (lambda: solvers.minimize(abs, gradient=abs), TypeError, "start is None"),
        (lambda: rosen(start=[[1.0]]), ValueError, r"shape \(1, 1\)"),
        (lambda: rosen(start=[np.nan, 1.0]), ValueError, "finite"),
        (lambda: rosen(descent="x"), ValueError, "expected one of steepest"),
        (lambda: rosen(descent=BFGS), TypeError, r"BFGS\(\)"),
        (lambda: rosen(search=3), TypeError, "search is 3"),
        (lambda: rosen(search=TrustRegion()), ValueError, "LBFGS has no model"),
        (lambda: rosen(stop=1e-6), TypeError, "Stop"),
        (lambda: Stop(gradient=-1), ValueError, "gradient is -1"),
        (lambda: Stop(seconds=0), ValueError, "seconds is 0"),
        (lambda: Wolfe(curvature=2), ValueError, "curvature is 2"),
        (lambda: ConjugateGradients("HS"), ValueError, "beta is 'HS'"),
        (lambda: LBFGS(0), ValueError, "memory is 0"),
        (lambda: Fixed(0), ValueError, "step is 0"),
        (lambda: LevenbergMarquardt("x"), ValueError, "scaling is 'x'"),
        (lambda: solvers.least_squares(3, [1.0]), TypeError, "residuals is 3"),
        (lambda: fit(search=Wolfe()), TypeError, "Damping"),
        (lambda: fit(descent=BFGS()), TypeError, "LevenbergMarquardt"),
        (lambda: fit(jacobian=lambda x: np.ones((2, 2))), ValueError, r"expected \(1, 1\)"),
        (lambda: solvers.least_squares(lambda x: np.ones((1, 1)), [1.0]), ValueError, "vector"),
        (lambda: solvers.least_squares(lambda x: x / 0, [1.0]), ValueError, "finite"),
        (lambda: solvers.sfo([], [1.0]), TypeError, "several"),
        (lambda: solvers.sfo([abs]), TypeError, "start is None"),
    ],
)  # fmt: skip
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def rosen(**options):
    return solvers.minimize(problems.rosenbrock(), **options)


def fit(**options):
    return solvers.least_squares(lambda x: x - 1, [3.0], **options)


def test_solutions_travel():
    found = solvers.minimize(problems.rosenbrock(), keep_path=True)
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.path, found.path)
    assert again.message == found.message
    with pytest.raises(AttributeError):
        found.x = 1
    descents = (BFGS(), LBFGS(3), ConjugateGradients("FR"), NewtonCG(), DampedNewton("shift"))
    for one in (*descents, Wolfe(), Armijo(), TrustRegion(), Damping(), Stop(seconds=3)):
        assert pickle.loads(pickle.dumps(one)) == one
