"""Curvature and solvers on Gluon networks, and the rule with second derivatives."""

from __future__ import annotations

import pickle
import time

import numpy as onp
import pytest

from nnbook import curvature, layers, losses, optim, solvers, training
from nnbook.gluon.curvature import NetworkObjective, dense_objective, objective_of
from nnbook.runtime import mx, np

nn = mx.gluon.nn
RNG = onp.random.default_rng(0)
X = RNG.normal(size=(30, 6)).astype("float32")
LABELS = RNG.integers(0, 4, 30)
REAL = RNG.uniform(0.1, 0.9, size=(30, 4)).astype("float32")
TARGETS = {
    "softmax_cross_entropy": LABELS,
    "squared_error": REAL,
    "sigmoid_cross_entropy": REAL,
    "hinge": LABELS,
}


def relative(found, true):
    return onp.linalg.norm(found - true) / onp.linalg.norm(true)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "scaled_tanh", "softplus", "relu", None])
@pytest.mark.parametrize("loss", TARGETS)
def test_both_methods_agree_on_a_network(activation, loss):
    net = layers.mlp(6, [5, 7], 4, activation, seed=1, dropout=0.3)
    data = X, TARGETS[loss]
    exact = curvature.Hessian(net, getattr(losses, loss), data)
    other = curvature.Hessian(net, getattr(losses, loss), data, method="difference")
    assert (exact.method, other.method) == ("r", "difference")
    v = RNG.normal(size=exact.size)
    assert relative(other @ v, exact @ v) < 1e-8


@pytest.mark.parametrize("loss", TARGETS)
def test_the_dense_objective_is_the_network(loss):
    net = layers.mlp(6, [5], 4, "tanh", seed=1)
    ours = dense_objective(net, getattr(losses, loss), (X, TARGETS[loss]))
    theirs = NetworkObjective(net, getattr(losses, loss), (X, TARGETS[loss]), batch_size=7)
    assert ours.slices == theirs.slices
    onp.testing.assert_array_equal(ours.theta, theirs.theta)
    for rows in (None, slice(3, 11), onp.array([1, 1, 5])):
        assert ours.loss(rows) == pytest.approx(theirs.loss(rows), rel=1e-12)
        onp.testing.assert_allclose(ours.gradient(rows), theirs.gradient(rows), atol=1e-14)


def test_activations_inside_dense_layers_and_nested_networks():
    net = nn.HybridSequential()
    inner = nn.HybridSequential()
    inner.add(nn.Dense(5, activation="sigmoid", in_units=6), nn.Dropout(0.5))
    net.add(nn.Flatten(), inner, nn.Dense(4, in_units=5, use_bias=False))
    net.initialize(mx.init.Xavier())
    H = curvature.Hessian(net, losses.softmax_cross_entropy, (X, LABELS))
    assert H.method == "r"
    D = curvature.Hessian(net, losses.softmax_cross_entropy, (X, LABELS), method="difference")
    assert relative(D @ onp.ones(H.size), H @ onp.ones(H.size)) < 1e-8


def with_batch_norm():
    net = nn.HybridSequential()
    net.add(nn.Dense(5, in_units=6), nn.BatchNorm(in_channels=5), nn.Dense(4, in_units=5))
    net.initialize(mx.init.Xavier())
    return net


def test_any_other_network_goes_by_differences_and_says_why():
    net = with_batch_norm()
    H = curvature.Hessian(net, losses.softmax_cross_entropy, (X, LABELS))
    assert H.method == "difference"
    assert "BatchNorm" in H.reason
    found = curvature.check_operator(H)
    assert found.passed
    assert found.asymmetry < 1e-8
    with pytest.raises(ValueError, match="method='difference'"):
        curvature.Hessian(net, losses.softmax_cross_entropy, (X, LABELS), method="r")
    with pytest.raises(ValueError, match="BatchNorm"):
        curvature.GaussNewton(net, losses.softmax_cross_entropy, (X, LABELS))

    def own(outputs, targets):
        return losses.softmax_cross_entropy(outputs, targets)

    plain = layers.mlp(6, [5], 4, seed=0)
    assert "none of nnbook.losses" in curvature.Hessian(plain, own, (X, LABELS)).reason


def test_tied_and_frozen_weights_go_by_differences():
    first = nn.Dense(6, in_units=6)
    net = nn.HybridSequential()
    net.add(first, nn.Activation("tanh"), nn.Dense(6, in_units=6, params=first.params))
    net.initialize(mx.init.Xavier())
    y = RNG.normal(size=(30, 6)).astype("float32")
    assert "share" in curvature.Hessian(net, losses.squared_error, (X, y)).reason
    frozen = layers.mlp(6, [5], 4, seed=0)
    frozen[0].weight.grad_req = "null"
    assert "grad_req" in curvature.Hessian(frozen, losses.squared_error, (X, REAL)).reason


def test_the_network_and_its_gradient_stay():
    net = layers.mlp(6, [5], 4, "tanh", seed=1)
    before = [p.data().asnumpy().copy() for p in net.collect_params().values()]
    for method in ("r", "difference"):
        H = curvature.Hessian(net, losses.softmax_cross_entropy, (X, LABELS), method=method)
        first = H @ onp.ones(H.size)
        after = [p.data().asnumpy() for p in net.collect_params().values()]
        assert all((a == b).all() for a, b in zip(before, after, strict=True))
        # Later training does not reach it.
        copy = layers.mlp(6, [5], 4, "tanh", seed=1)
        later = curvature.Hessian(copy, losses.softmax_cross_entropy, (X, LABELS), method=method)
        copy[0].weight.data()[...] = 0
        onp.testing.assert_array_equal(later @ onp.ones(H.size), first)


@pytest.mark.parametrize("hybrid", [False, True])
def test_on_another_device(hybrid):
    net = layers.mlp(6, [5], 4, "tanh", device=mx.cpu(1), seed=1)
    home = layers.mlp(6, [5], 4, "tanh", seed=1)
    if hybrid:
        net.hybridize()
        net(np.array(X, ctx=mx.cpu(1)))
    v = onp.ones(59)
    for method in ("r", "difference"):
        found = curvature.Hessian(net, losses.softmax_cross_entropy, (X, LABELS), method=method)
        exact = curvature.Hessian(home, losses.softmax_cross_entropy, (X, LABELS))
        assert relative(found @ v, exact @ v) < 1e-8
    assert net[0].weight.data().ctx == mx.cpu(1)


def test_wrong_arguments():
    net = layers.mlp(6, [5], 4, seed=0)
    with pytest.raises(TypeError, match="loss and data"):
        curvature.Hessian(net)
    with pytest.raises(ValueError, match="does not take"):
        curvature.Hessian(net, losses.softmax_cross_entropy, (X[:, :3], LABELS))


def test_a_product_costs_no_more_than_two_gradients_and_a_half():
    net = layers.mlp(784, [100], 10, "sigmoid", seed=0)
    data = RNG.normal(size=(1000, 784)).astype("float32"), RNG.integers(0, 10, 1000)
    H = curvature.Hessian(net, losses.softmax_cross_entropy, data, method="r")
    model = dense_objective(net, losses.softmax_cross_entropy, data)
    v = RNG.normal(size=H.size)

    def seconds(function):
        best = onp.inf
        for _ in range(7):
            began = time.perf_counter()
            function()
            best = min(best, time.perf_counter() - began)
        return best

    # The gradient of the same code, and that of MXNet in float64.
    assert seconds(lambda: H @ v) < 2.5 * seconds(model.gradient)
    theirs, _ = objective_of(net, losses.softmax_cross_entropy, data, dense=False)
    assert seconds(lambda: H @ v) < 2.5 * seconds(theirs.gradient)


def test_solving_for_a_network():
    model, reason = objective_of(layers.mlp(6, [5], 4, "tanh", seed=1), losses.squared_error,
                                 (X, REAL))  # fmt: skip
    assert not reason
    other = NetworkObjective(layers.mlp(6, [5], 4, "tanh", seed=1), losses.squared_error, (X, REAL))
    stop = solvers.Stop(iterations=15)
    first, second = solvers.minimize(model, stop=stop), solvers.minimize(other, stop=stop)
    assert first.value == pytest.approx(second.value, rel=1e-6)
    assert first.value < 0.5 * first.history.value[0]
    onp.testing.assert_allclose(other.theta, second.x)


# ------------------------------------------------------------------------------ sdlm

BOWL = onp.array([1.0, 100.0, 0.01])


def bowl_curvature(theta, t):
    return BOWL


def test_sdlm_is_its_equation():
    rule = optim.sdlm(0.5, bowl_curvature, mu=0.02)
    path = optim.trajectory(rule, lambda theta: BOWL * theta, onp.ones(3), 5)
    factor = 1 - 0.5 * BOWL / (BOWL + 0.02)
    onp.testing.assert_allclose(path, factor ** onp.arange(6)[:, None], rtol=1e-12)


def test_sdlm_averages_and_asks_every_so_often():
    asked = []

    def drifting(theta, t):
        asked.append(t)
        return onp.full(2, 1.0 + t)

    rule = optim.sdlm(0.1, drifting, mu=1e-9, every=3, gamma=0.25)
    theta, state = onp.ones(2), rule.init(onp.ones(2))
    for _ in range(7):
        _, state = rule.update(theta, state, theta)
    assert asked == [0, 3, 6]
    onp.testing.assert_allclose(state.buffers[0], 0.75 * (0.75 * 1 + 0.25 * 4) + 0.25 * 7)


def test_sdlm_takes_mxnet_arrays_and_schedules():
    rule = optim.sdlm(lambda step: 0.5 / (step + 1), bowl_curvature)
    theta = np.array(onp.ones(3), dtype="float64")
    step, state = rule.update(theta, rule.init(theta), theta)
    assert isinstance(step, np.ndarray)
    onp.testing.assert_allclose(step.asnumpy(), -0.5 / (BOWL + 0.02))
    step, _ = rule.update(theta, state, theta)
    onp.testing.assert_allclose(step.asnumpy(), -0.25 / (BOWL + 0.02))
    assert rule.scaled(2.0).rate(0) == 1.0
    assert pickle.loads(pickle.dumps(optim.sdlm(0.1, bowl_curvature))).mu == 0.02


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optim.sdlm(-0.1, bowl_curvature), ValueError, "learning_rate"),
        (lambda: optim.sdlm(0.1, 3), TypeError, "curvature is 3"),
        (lambda: optim.sdlm(0.1, bowl_curvature, mu=0), ValueError, "mu is 0"),
        (lambda: optim.sdlm(0.1, bowl_curvature, every=0), ValueError, "every is 0"),
        (lambda: optim.sdlm(0.1, bowl_curvature, gamma=2), ValueError, "gamma is 2"),
        (lambda: optim.trajectory(optim.sdlm(0.1, bowl_curvature), abs, [1.0], 1), ValueError,
         "shape"),
    ],
)  # fmt: skip
def test_wrong_arguments_of_sdlm(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_sdlm_trains_a_network():
    net = layers.mlp(6, [8], 4, "tanh", seed=1)
    model = dense_objective(net, losses.softmax_cross_entropy, (X, LABELS))

    def diagonal(theta, t):
        model.theta = theta
        return curvature.diagonal(model, positive=True)

    rule = optim.sdlm(0.1, diagonal, mu=0.1, every=10)
    history = training.fit(net, (X, LABELS), loss=losses.softmax_cross_entropy, optimizer=rule,
                           batch_size=10, epochs=20, progress=False)  # fmt: skip
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
