"""What the lesson on the spectrum derives, on data of its own."""

from __future__ import annotations

import numpy as np
import pytest

from nnbook import curvature
from nnbook.curvature import DenseObjective, GaussNewton, Hessian


def softmax_regression(x, classes, **options):
    labels = np.arange(len(x)) % classes
    return DenseObjective([x.shape[1], classes], (x, labels), "softmax_cross_entropy", **options)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_every_eigenvalue_of_softmax_regression_comes_once_less_than_there_are_classes(classes):
    x = np.random.default_rng(0).normal(size=(40, 6)) + 1.0
    zero = softmax_regression(x, classes, bias=False, theta=np.zeros(6 * classes))
    moments = np.linalg.eigvalsh(x.T @ x / 40) / classes
    expected = np.sort(np.append(np.repeat(moments, classes - 1), np.zeros(6)))
    found = np.linalg.eigvalsh(Hessian(zero).dense())
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_at_zero_the_hessian_is_the_product_of_two_factors_that_kfac_assumes():
    x = np.random.default_rng(1).normal(size=(30, 5))
    zero = softmax_regression(x, 4, bias=False, theta=np.zeros(20))
    D, A = np.eye(4) / 4 - 1 / 16, x.T @ x / 30
    np.testing.assert_allclose(Hessian(zero).dense(), np.kron(D, A), atol=1e-14)
    net = softmax_regression(x, 4, bias=False, rng=0)  # elsewhere it is none
    p = np.exp(net.outputs()) / np.exp(net.outputs()).sum(axis=1, keepdims=True)
    D = np.diag(p.mean(axis=0)) - p.T @ p / 30
    assert abs(Hessian(net).dense() - np.kron(D, A)).max() > 1e-3


def test_centred_inputs_leave_the_bias_the_steepest_direction():
    x = 0.3 * np.random.default_rng(2).normal(size=(50, 4))
    x -= x.mean(axis=0)
    zero = softmax_regression(x, 5, theta=np.zeros(25))
    found = curvature.lanczos(Hessian(zero), 5).values
    np.testing.assert_allclose(found[:4], 1 / 5, atol=1e-12)
    assert found[4] < 0.15


@pytest.mark.parametrize(
    ("sizes", "wrong"), [((4, 3, 1, 2), set()), ((4, 1, 3, 2), {0}), ((4, 3, 3, 3, 2), {0, 1})]
)
def test_the_diagonal_is_exact_where_no_two_units_above_are_coupled(sizes, wrong):
    rng = np.random.default_rng(3)
    data = rng.normal(size=(50, 4)), rng.random((50, 2))
    net = DenseObjective(sizes, data, "squared_error", rng=3)
    apart = abs(curvature.diagonal(net) - curvature.diagonal(Hessian(net)))
    found = {k for k, layer in enumerate(net.layers) if apart[layer.weight].max() > 1e-5}
    assert found == wrong
    for k in set(range(len(net.layers))) - wrong:
        assert apart[net.layers[k].weight].max() < 1e-13


def test_the_positive_diagonal_of_a_deep_network_is_not_that_of_gauss_newton():
    rng = np.random.default_rng(4)
    data = rng.normal(size=(50, 4)), rng.integers(0, 3, 50)
    net = DenseObjective((4, 5, 5, 3), data, "softmax_cross_entropy", rng=4)
    found = curvature.diagonal(net, positive=True)
    exact = curvature.diagonal(GaussNewton(net))
    first, last = net.layers[0].weight, net.layers[-1].weight
    np.testing.assert_allclose(found[last], exact[last], atol=1e-13)
    assert np.linalg.norm(found[first] - exact[first]) > 0.1 * np.linalg.norm(exact[first])
