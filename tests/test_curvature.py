"""Operators, eigenvalues, traces and spectra against matrices that are known; exact Hessians."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import aslinearoperator, eigsh

from nnbook import curvature, objective, problems
from nnbook.curvature import DenseObjective, Diagonal, GaussNewton, Hessian, Matrix

ACTIVATIONS = ["identity", "sigmoid", "tanh", "scaled_tanh", "softplus", "softsign"]
LOSSES = ["squared_error", "softmax_cross_entropy", "sigmoid_cross_entropy"]


def relative(found, true):
    return np.linalg.norm(found - true) / np.linalg.norm(true)


def symmetric(size, seed=0):
    A = np.random.default_rng(seed).normal(size=(size, size))
    return A + A.T


def rotated(values, seed=0):
    Q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values),) * 2))[0]
    return Matrix((Q * values) @ Q.T)


def path_laplacian(n):
    def matvec(v):
        return 2 * v - np.append(v[1:], 0) - np.append(0, v[:-1])

    return curvature.Function(matvec, n), 2 - 2 * np.cos(np.arange(1, n + 1) * np.pi / (n + 1))


def network(sizes=(4, 5, 3), loss="softmax_cross_entropy", n=12, seed=0, **options):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, sizes[0]))
    y = rng.integers(0, sizes[-1], n) if loss in ("softmax_cross_entropy", "hinge") else None
    y = rng.uniform(0.1, 0.9, size=(n, sizes[-1])) if y is None else y
    net = DenseObjective(sizes, (x, y), loss, rng=seed, **options)
    net.theta = net.theta + 0.1 * rng.normal(size=net.size)
    return net


def written_out(net):
    """The Hessian by complex steps through passes written out here: no R-operator."""
    shapes = list(net.shapes.values())
    slices = list(net.slices.values())
    names = [layer.activation.name for layer in net.layers]
    f = {
        "identity": (lambda z: z, np.ones_like),
        "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
        "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
        "scaled_tanh": (
            lambda z: 1.7159 * np.tanh(2 * z / 3),
            lambda z: 1.7159 * 2 / 3 / np.cosh(2 * z / 3) ** 2,
        ),
        "softplus": (lambda z: np.log(1 + np.exp(z)), lambda z: 1 / (1 + np.exp(-z))),
        "softsign": (
            lambda z: z / (1 + np.where(z.real < 0, -z, z)),
            lambda z: (1 + np.where(z.real < 0, -z, z)) ** -2,
        ),
    }

    def gradient(theta):
        weights = [
            (theta[slices[k]].reshape(shapes[k]), theta[slices[k + 1]])
            for k in range(0, len(shapes), 2)
        ]
        a, sums = [net.x.astype(complex)], []
        for (W, b), name in zip(weights, names, strict=True):
            sums.append(a[-1] @ W.T + b)
            a.append(f[name][0](sums[-1]))
        u = a[-1]
        if net.kind.name == "squared_error":
            e = u - net.y
        elif net.kind.name == "sigmoid_cross_entropy":
            e = 1 / (1 + np.exp(-u)) - net.y
        else:
            e = np.exp(u) / np.exp(u).sum(axis=1, keepdims=True) - net.y
        e, parts = e / len(u), []
        for k in range(len(weights) - 1, -1, -1):
            delta = e * f[names[k]][1](sums[k])
            parts = [(delta.T @ a[k]).ravel(), delta.sum(axis=0), *parts]
            e = delta @ weights[k][0]
        return np.concatenate(parts)

    columns = []
    for i in range(net.size):
        theta = net.theta.astype(complex)
        theta[i] += 1e-30j
        columns.append(gradient(theta).imag / 1e-30)
    return np.stack(columns, axis=1)


# ------------------------------------------------------------------------------ operators


def test_sums_multiples_damping_blocks_and_deflation():
    A, B = symmetric(6, 1), symmetric(6, 2)
    v = np.arange(6.0)
    lazy = (2 * Matrix(A) - Matrix(B)).damped(0.5)
    dense = 2 * A - B + 0.5 * np.eye(6)
    np.testing.assert_allclose(lazy @ v, dense @ v)
    np.testing.assert_allclose(lazy.dense(), dense)
    np.testing.assert_allclose((-lazy) @ dense, -dense @ dense)
    np.testing.assert_allclose(lazy.block(slice(1, 4)).dense(), dense[1:4, 1:4])
    mask = np.array([True, False, False, True, True, False])
    np.testing.assert_allclose(lazy.block(mask).dense(), dense[np.ix_(mask, mask)])
    Q = np.linalg.qr(A)[0][:, :2]
    P = np.eye(6) - Q @ Q.T
    np.testing.assert_allclose(lazy.deflated(Q).dense(), P @ dense @ P, atol=1e-12)
    joined = curvature.Blocks([Matrix(A), Diagonal([7.0, 8.0])]).dense()
    np.testing.assert_allclose(joined[:6, :6], A)
    np.testing.assert_allclose(joined[6:, 6:], np.diag([7.0, 8.0]))
    assert not joined[:6, 6:].any()


def test_damping_leaves_the_operator_as_it_was():
    A = Matrix(symmetric(4))
    before = A.dense()
    damped = A.damped(3.0)
    first, second = damped.dense(), damped.dense()
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(A.dense(), before)


def test_to_and_from_scipy():
    A = symmetric(30)
    ours = eigsh(Matrix(A).to_scipy(), k=3, which="LA", return_eigenvectors=False)
    np.testing.assert_allclose(np.sort(ours), np.linalg.eigvalsh(A)[-3:])
    for theirs in (aslinearoperator(A), csr_matrix(A), A):
        found = curvature.lanczos(theirs, 3)
        np.testing.assert_allclose(found.values, np.linalg.eigvalsh(A)[:-4:-1])


def test_any_object_with_size_and_matvec():
    class Theirs:
        size = 3

        def matvec(self, v):
            return 2 * v

    assert curvature.as_operator(Theirs()).dense().tolist() == (2 * np.eye(3)).tolist()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: curvature.as_operator(object()), TypeError, "size and matvec"),
        (lambda: curvature.as_operator(csr_matrix(np.ones((2, 3)))), ValueError, "square"),
        (lambda: Matrix(np.ones((2, 3))), ValueError, "square"),
        (lambda: Matrix([[1.0, 2.0], [0.0, 1.0]]), ValueError, "transpose"),
        (lambda: Matrix([[np.nan]]), ValueError, "finite"),
        (lambda: Matrix(np.eye(2)) @ np.ones(3), ValueError, r"\(3,\)"),
        (lambda: Matrix(np.eye(2)) + Matrix(np.eye(3)), ValueError, "sizes 2 and 3"),
        (lambda: curvature.Function(3, 2), TypeError, "matvec"),
        (lambda: curvature.Function(lambda v: v[:1], 2) @ np.ones(2), ValueError, "shape"),
        (lambda: curvature.trace(np.eye(2), samples=1), ValueError, "samples is 1"),
        (lambda: curvature.trace(np.eye(2), probes="x"), ValueError, "'signs'"),
        (lambda: curvature.lanczos(np.eye(2), 3), ValueError, "count is 3"),
        (lambda: curvature.lanczos(np.eye(2), which="LA"), ValueError, "which"),
        (lambda: curvature.power_iteration(np.eye(2), start=[0.0, 0.0]), ValueError, "start"),
        (lambda: Hessian(object()), TypeError, "Objective"),
        (lambda: GaussNewton(bowl()), ValueError, r"GaussNewton\.of"),
        (lambda: Hessian(bowl(), method="r"), ValueError, "method='difference'"),
        (lambda: Hessian(bowl(), method="x"), ValueError, "'auto'"),
        (lambda: curvature.diagonal(bowl()), ValueError, "one product an entry"),
        (lambda: DenseObjective([3], (0, 0), "hinge"), ValueError, "sizes"),
        (lambda: network().__setattr__("theta", np.ones(2)), ValueError, r"shape \(2,\)"),
    ],
)  # fmt: skip
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def bowl():
    return objective.from_function(lambda t: (t @ t) / 2, lambda t: t, np.ones(3))


def test_a_check_of_operators_sees_what_is_wrong():
    A = symmetric(8)
    assert curvature.check_operator(A).passed
    rng = np.random.default_rng(0)
    noisy = curvature.check_operator(
        curvature.Function(lambda v: A @ v + 1e-3 * rng.normal(size=8), 8)
    )
    assert not noisy.passed
    assert noisy.repetition > 1e-6
    twisted = curvature.check_operator(curvature.Function(lambda v: np.triu(A) @ v, 8))
    assert twisted.asymmetry > 1e-3
    assert twisted.repetition == 0
    bent = curvature.check_operator(curvature.Function(lambda v: v * v, 8))
    assert bent.nonlinearity > 1e-3


# ------------------------------------------------------------------------------ eigenvalues


def test_power_iteration():
    found = curvature.power_iteration(rotated([1.0, -3.0, 9.0, 2.0]), tolerance=1e-9)
    assert found.converged
    assert found.values[0] == pytest.approx(9, abs=1e-9)
    v = found.vectors[:, 0]
    A = rotated([1.0, -3.0, 9.0, 2.0])
    # The residual is that of the pair which is returned.
    assert np.linalg.norm(A @ v - found.values[0] * v) == pytest.approx(
        found.residuals[0], abs=1e-12
    )


def test_power_iteration_finds_the_largest_in_absolute_value_and_its_sign():
    assert curvature.power_iteration(rotated([1.0, -9.0, 3.0])).values[0] == pytest.approx(-9)


def test_power_iteration_says_so_where_it_cannot_converge():
    found = curvature.power_iteration(Diagonal([1.0, -1.0]), max_iterations=50, start=[1.0, 2.0])
    assert not found.converged
    assert found.residuals[0] > 0.1
    assert found.products == 50


@pytest.mark.parametrize("which", ["largest", "smallest", "magnitude"])
def test_lanczos_of_the_path(which):
    A, values = path_laplacian(150)
    found = curvature.lanczos(A, 4, which=which)
    assert found.converged
    wanted = values[:4] if which == "smallest" else values[:-5:-1]
    np.testing.assert_allclose(found.values, wanted, rtol=1e-8, atol=1e-10)
    residuals = np.linalg.norm(A @ found.vectors - found.vectors * found.values, axis=0)
    np.testing.assert_allclose(found.residuals, residuals, atol=1e-12)


def test_lanczos_finds_multiplicities():
    values = np.array([5.0, 5, 5, 4, 4, 3, 2, 1, 1, 0.5])
    found = curvature.lanczos(rotated(values), 6)
    np.testing.assert_allclose(found.values, values[:6], rtol=1e-9)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(6), atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10_000))
def test_lanczos_of_any_matrix(size, seed):
    A = symmetric(size, seed)
    found = curvature.lanczos(A, size)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(A)[::-1], atol=1e-7 * abs(A).sum())


def test_lanczos_says_so_where_it_stopped_too_early():
    A, _ = path_laplacian(400)
    found = curvature.lanczos(A, 3, max_iterations=12)
    assert not found.converged
    assert found.iterations == 12
    true = np.linalg.eigvalsh(A.dense())
    for value, residual in zip(found.values, found.residuals, strict=True):
        assert abs(true - value).min() <= residual + 1e-12


def test_the_basis_stays_orthonormal_where_lanczos_loses_it():
    values = np.concatenate([np.linspace(0, 1, 200), [10.0, 100.0, 1000.0]])
    run = curvature.Tridiagonal(Diagonal(values), np.ones(203)).extend(80)
    np.testing.assert_allclose(run.basis @ run.basis.T, np.eye(80), atol=1e-13)
    ritz = run.ritz()[0]
    assert (ritz > 500).sum() == 1  # no ghost


# ------------------------------------------------------------------------------ trace, spectrum


def spectra():
    rng = np.random.default_rng(5)
    few = np.concatenate([np.zeros(180), np.linspace(0.5, 1.0, 15), [2.0, 3.0, 4.0, 10.0, 30.0]])
    yield "a few large", rotated(few), few
    yield "indefinite", rotated(few := rng.normal(size=60), 1), few
    yield "diagonal", Diagonal(even := np.linspace(0, 1, 200)), even
    A, values = path_laplacian(200)
    yield "path", A, values


SPECTRA = {name: (A, values) for name, A, values in spectra()}
RUNS = 100


@pytest.mark.parametrize("probes", ["signs", "normal"])
@pytest.mark.parametrize("name", SPECTRA)
def test_traces_are_within_their_error_bars(name, probes):
    A, values = SPECTRA[name]
    inside = 0
    for seed in range(RUNS):
        low, high = curvature.trace(A, samples=20, probes=probes, rng=seed).interval()
        inside += low <= values.sum() <= high
    assert inside >= 95


def test_the_standard_error_of_a_trace_is_the_scatter_of_traces():
    A = symmetric(40)
    variance = 2 * ((A**2).sum() - (A.diagonal() ** 2).sum())
    runs = [curvature.trace(A, samples=30, rng=seed) for seed in range(200)]
    scatter = np.std([run.estimate for run in runs])
    assert scatter == pytest.approx(np.sqrt(variance / 30), rel=0.15)
    assert np.mean([run.stderr for run in runs]) == pytest.approx(np.sqrt(variance / 30), rel=0.03)
    normal = curvature.trace(A, samples=2000, probes="normal", rng=0)
    assert normal.stderr == pytest.approx(np.sqrt(2 * (A**2).sum() / 2000), rel=0.1)


def test_signs_give_the_trace_of_a_diagonal_to_rounding():
    found = curvature.trace(Diagonal(np.linspace(0, 1, 1000)), samples=3, rng=0)
    assert found.estimate == pytest.approx(500, abs=1e-9)
    assert 0 < found.stderr < 1e-10


@pytest.mark.parametrize("name", SPECTRA)
def test_spectra_are_within_their_error_bars(name):
    A, values = SPECTRA[name]
    points = np.quantile(values, [0.05, 0.3, 0.6, 0.95]) + 1e-9
    width = 0.15 * values.std()
    share = (values[:, None] <= points).mean(axis=0)
    smooth = stats.norm.pdf(points[:, None], values, width).mean(axis=1)
    inside = np.zeros(3, dtype=int)
    for seed in range(RUNS):
        found = curvature.spectral_density(A, steps=25, probes=5, rng=seed)
        tries = [
            (found.cumulative(points), share),
            (found.smoothed(points, width), smooth),
            (found.moment(2), (values**2).mean()),
        ]
        inside += [((bar.low <= true) & (true <= bar.high)).all() for bar, true in tries]
    assert (inside >= 95).all(), inside


def test_error_bars_are_not_wide_for_nothing():
    A, _ = path_laplacian(300)
    found = curvature.spectral_density(A, steps=60, probes=20, rng=0)
    half = found.cumulative(2.0)
    assert half.high - half.low < 0.1
    # The variance of the path's eigenvalues is 2, to 1/n.
    assert found.moment(1).stderr == pytest.approx(np.sqrt(2 * 2 / (300 * 20)), rel=0.05)
    assert found.products == 60 * 20
    assert len(found.nodes) == 20
    np.testing.assert_allclose([w.sum() for w in found.weights], 1)


def test_the_quadrature_is_exact_for_polynomials():
    A = symmetric(30)
    z = np.random.default_rng(3).normal(size=30)  # what one probe is
    run = curvature.Tridiagonal(A, z).extend(4)
    values, inside = run.ritz()
    for power in range(8):
        exact = z @ np.linalg.matrix_power(A, power) @ z / (z @ z)
        assert (inside[0] ** 2) @ values**power == pytest.approx(exact, rel=1e-9)


# ------------------------------------------------------------------------------ Hessians


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_products_with_the_exact_hessian(activation, loss):
    net = network((4, 5, 4, 3), loss, activation=activation)
    exact = written_out(net)
    np.testing.assert_allclose(exact, exact.T, atol=1e-14)
    v = np.random.default_rng(1).normal(size=net.size)
    assert relative(Hessian(net) @ v, exact @ v) < 1e-9
    assert relative(Hessian(net, method="difference") @ v, exact @ v) < 1e-8
    assert relative(Hessian(net).dense(), exact) < 1e-12


def test_closed_forms():
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(20, 3)), rng.integers(0, 4, 20)
    linear = DenseObjective([3, 1], (x, rng.normal(size=(20, 1))), "squared_error", bias=False)
    np.testing.assert_allclose(Hessian(linear).dense(), x.T @ x / 20, atol=1e-14)
    soft = DenseObjective([3, 4], (x, labels), "softmax_cross_entropy", bias=False)
    z = soft.outputs()
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    exact = sum(
        np.kron(np.diag(q) - np.outer(q, q), np.outer(one, one))
        for q, one in zip(p, x, strict=True)
    )
    np.testing.assert_allclose(Hessian(soft).dense(), exact / 20, atol=1e-14)
    np.testing.assert_allclose(GaussNewton(soft).dense(), exact / 20, atol=1e-14)
    logistic = DenseObjective([3, 1], (x, labels[:, None] / 3), "sigmoid_cross_entropy", bias=False)
    s = 1 / (1 + np.exp(-logistic.outputs()[:, 0]))
    np.testing.assert_allclose(
        Hessian(logistic).dense(), x.T @ (x * (s * (1 - s))[:, None]) / 20, atol=1e-14
    )


def test_two_weights():
    net = DenseObjective([1, 1, 1], ([[1.0]], [[1.0]]), "squared_error", activation="identity",
                         bias=False, theta=[1.0, 1.0])  # fmt: skip
    np.testing.assert_allclose(np.linalg.eigvalsh(Hessian(net).dense()), [0, 2], atol=1e-14)
    net.theta = [0.0, 0.0]
    np.testing.assert_allclose(np.linalg.eigvalsh(Hessian(net).dense()), [-1, 1])
    net.theta = [0.7, -0.4]  # H − GN = (w₁w₂ − 1) [[0, 1], [1, 0]]
    apart = (Hessian(net) - GaussNewton(net)).dense()
    np.testing.assert_allclose(apart, (0.7 * -0.4 - 1) * np.array([[0, 1], [1, 0]]), atol=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_gauss_newton_is_the_jacobian_squared_and_positive(loss):
    net = network(loss=loss)
    J = net.jacobian()
    exact = np.zeros((net.size, net.size))
    for one, u, y in zip(J, net.outputs(), net.y, strict=True):
        G = net.kind.curve(np.tile(u, (3, 1)), np.tile(y, (3, 1)), np.eye(3))
        exact += one.T @ G @ one / len(J)
    found = GaussNewton(net).dense()
    np.testing.assert_allclose(found, exact, atol=1e-13)
    assert np.linalg.eigvalsh(found).min() > -1e-13
    other = GaussNewton.of(J[:, 0], np.full(len(J), 1 / len(J))).dense()
    np.testing.assert_allclose(other, J[:, 0].T @ J[:, 0] / len(J))


def test_the_forward_difference_of_rosenbrock_is_off_by_what_the_algebra_says():
    gradient, v = problems.rosenbrock().gradient, np.array([1.0, 0.0])
    H = np.array([802.0, -400.0])
    for alpha in (0.1, 0.01):
        forward = curvature.gradient_difference(gradient, np.ones(2), step=alpha, centred=False)
        centred = curvature.gradient_difference(gradient, np.ones(2), step=alpha)
        np.testing.assert_allclose(centred @ v - H, [400 * alpha**2, 0], atol=1e-9)
        np.testing.assert_allclose(
            forward @ v - H, [1200 * alpha + 400 * alpha**2, -200 * alpha], rtol=1e-9
        )
        # ε is measured along v / ‖v‖: three times the vector, three times the product.
        np.testing.assert_allclose(forward @ (3 * v), 3 * (forward @ v), rtol=1e-12)


def test_differences_in_float32_ask_for_a_larger_step():
    single = objective.from_function(
        lambda t: float((t**4).sum()), lambda t: 4 * t**3, np.ones(5, dtype=np.float32)
    )
    np.testing.assert_allclose(Hessian(single).dense(), 12 * np.eye(5), atol=2e-2)


def test_a_hessian_is_of_the_moment_and_leaves_the_model():
    net = network()
    theta = np.array(net.theta)
    exact, differences = Hessian(net), Hessian(net, method="difference")
    v = np.ones(net.size)
    before = exact @ v
    assert (net.theta == theta).all()
    differences @ v
    assert (net.theta == theta).all()
    net.theta = 2 * theta
    np.testing.assert_array_equal(exact @ v, before)
    assert relative(differences @ v, before) < 1e-8


def test_rows():
    net = network(n=20)
    some = network(n=20)
    some.x, some.y = net.x[3:9], net.y[3:9]
    v = np.ones(net.size)
    np.testing.assert_allclose(Hessian(net, rows=slice(3, 9)) @ v, Hessian(some) @ v)
    found = Hessian(net, rows=np.arange(3, 9), method="difference") @ v
    assert relative(found, Hessian(some) @ v) < 1e-8


# ------------------------------------------------------------------------------ the diagonal


def worst(net, part=slice(None)):
    exact = Hessian(net).dense().diagonal()
    found = curvature.diagonal(net)
    return abs(found - exact)[part].max() / abs(exact).max()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", ["squared_error", "sigmoid_cross_entropy"])
def test_the_diagonal_is_exact_for_one_hidden_layer_and_an_elementwise_loss(activation, loss):
    assert worst(network((4, 3, 2), loss, activation=activation)) < 1e-13


def test_the_diagonal_is_not_exact_otherwise():
    linear = network((4, 3, 3, 2), "squared_error", activation="identity", n=50)
    assert worst(linear, linear.slices["0.weight"]) > 0.01
    deep = network((4, 3, 3, 2), "squared_error", activation="tanh", n=50)
    assert worst(deep, deep.slices["0.weight"]) > 0.01
    # The last two layers stay exact for the squared error.
    assert worst(deep, slice(deep.slices["2.weight"].start, None)) < 1e-13
    soft = network((4, 3, 3), "softmax_cross_entropy", activation="identity", n=50)
    assert worst(soft, soft.slices["0.weight"]) > 0.001


def test_the_positive_diagonal_is_positive_and_that_of_gauss_newton():
    net = network((4, 3, 2), "squared_error")
    positive = curvature.diagonal(net, positive=True)
    assert (positive >= 0).all()
    np.testing.assert_allclose(positive, GaussNewton(net).dense().diagonal(), atol=1e-14)
    np.testing.assert_allclose(
        curvature.diagonal(Hessian(net)), Hessian(net).dense().diagonal(), atol=1e-15
    )


# ------------------------------------------------------------------------------ online, digits


def test_online_estimate_of_least_squares():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 8)) + 0.5
    y = x @ rng.normal(size=(8, 1))
    net = DenseObjective([8, 1], (x, y), "squared_error", bias=False)
    exact = np.linalg.eigvalsh(Hessian(net).dense())[-1]
    found = curvature.online_largest(net, 300, batch_size=1, gamma=0.03, rng=1)
    assert 0.8 * exact < found.value < 3 * exact  # a length: biased upwards by noise
    whole = curvature.online_largest(net, 400, batch_size=500)
    assert whole.value == pytest.approx(exact, rel=1e-3)
    assert whole.learning_rate == pytest.approx(1 / exact, rel=1e-3)
    assert len(found.norms) == 300


def test_one_example_at_a_time_needs_a_smaller_rate():
    # Isotropic Gaussian inputs: stable iff η < 2 / (d + 2), and growth per step is known.
    rng, d = np.random.default_rng(0), 10
    for rate, growth in ((0.15, 0.97), (0.18, 1.0288)):
        exact = 1 - 2 * rate / 1 + rate**2 * (d + 2)
        assert exact == pytest.approx(growth, abs=5e-5)
        x = rng.normal(size=(400_000, d))
        e = np.zeros(d)
        e[0] = 1.0
        after = e - rate * (x @ e)[:, None] * x
        assert (after**2).sum(axis=1).mean() == pytest.approx(growth, rel=0.01)


def test_the_spectrum_of_softmax_regression_on_digits():
    sklearn = pytest.importorskip("sklearn.datasets")
    x = sklearn.load_digits().data / 16
    y = sklearn.load_digits().target
    zero = DenseObjective([64, 10], (x, y), "softmax_cross_entropy", bias=False,
                          theta=np.zeros(640))  # fmt: skip
    found = curvature.lanczos(Hessian(zero), 10)
    np.testing.assert_allclose(found.values[:9], 1.0455300, atol=5e-8)
    assert found.values[9] == pytest.approx(0.0698833, abs=5e-8)
    centred = DenseObjective([64, 10], (x - x.mean(axis=0), y), "softmax_cross_entropy",
                             bias=False, theta=np.zeros(640))  # fmt: skip
    assert curvature.lanczos(Hessian(centred)).values[0] == pytest.approx(0.0698857, abs=5e-8)
    bias = DenseObjective([64, 10], (x, y), "softmax_cross_entropy", theta=np.zeros(650))
    assert curvature.lanczos(Hessian(bias)).values[0] == pytest.approx(1.1443528, abs=5e-8)


def test_a_dense_objective_is_an_objective():
    net = network()
    assert isinstance(net, objective.Objective)
    numeric = [
        (at(net, k, 1e-6) - at(net, k, -1e-6)) / 2e-6 for k in range(net.size)
    ]  # fmt: skip
    np.testing.assert_allclose(net.gradient(), numeric, atol=1e-8)
    with pytest.raises(ValueError, match="read-only"):
        net.theta[0] = 1.0


def at(net, k, h):
    theta = np.array(net.theta)
    net.theta = theta + h * (np.arange(net.size) == k)
    value = net.loss()
    net.theta = theta
    return value


def test_results_travel():
    A, _ = path_laplacian(20)
    results = [
        curvature.lanczos(symmetric(5), 2),
        curvature.trace(A, 5),
        curvature.spectral_density(A, steps=5, probes=2),
        curvature.online_largest(network(), 5),
        curvature.check_operator(A),
    ]
    for one in results:
        again = pickle.loads(pickle.dumps(one))
        assert type(again) is type(one)
        with pytest.raises(AttributeError):
            one.anything = 1
