import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnbook import layers, losses
from nnbook.runtime import mx

ELSEWHERE = mx.cpu(1)


def array(values, dtype="float64", ctx=None):
    return mx.np.array(np.asarray(values), dtype=dtype, ctx=ctx)


def draw(*shape, seed=0):
    return 2 * np.random.default_rng(seed).normal(size=shape)


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(z):
    return (1 + np.tanh(z / 2)) / 2


def squared_reference(z, y):
    return 0.5 * ((z - y) ** 2).sum(axis=1)


def softmax_reference(z, y):
    return -np.log(softmax(z))[np.arange(len(z)), y]


def rows_reference(z, y):
    return -(y * np.log(softmax(z))).sum(axis=1)


def sigmoid_reference(z, y):
    return -(y * np.log(sigmoid(z)) + (1 - y) * np.log(sigmoid(-z))).sum(axis=1)


def hinge_reference(z, y):
    return np.array(
        [
            sum(max(0, 1 + r[j] - r[k]) for j in range(len(r)) if j != k)
            for r, k in zip(z, y, strict=True)
        ]
    )


N, C = 7, 4
LABELS = np.array([0, 1, 2, 3, 3, 0, 2], dtype="int32")
CASES = {
    "squared": (losses.squared_error, squared_reference, draw(N, C, seed=1)),
    "softmax": (losses.softmax_cross_entropy, softmax_reference, LABELS),
    "rows": (losses.softmax_cross_entropy, rows_reference, softmax(draw(N, C, seed=2))),
    "sigmoid": (losses.sigmoid_cross_entropy, sigmoid_reference, sigmoid(draw(N, C, seed=3))),
    "hinge": (losses.hinge, hinge_reference, LABELS),
}
every_case = pytest.mark.parametrize("case", CASES)
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def as_targets(y, dtype, ctx=None):
    return array(y, "int32" if y.dtype == np.int32 else dtype, ctx)


def value_and_gradient(loss, z, y):
    z.attach_grad()
    with mx.autograd.record():
        values = loss(z, y)
    values.backward()
    return values, z.grad


# ---------------------------------------------------------------- values and gradients


@both_dtypes
@every_case
def test_values_against_numpy(case, dtype):
    loss, reference, y = CASES[case]
    z = draw(N, C)
    values = loss(array(z, dtype), as_targets(y, dtype))
    assert values.shape == (N,)
    assert values.dtype == dtype
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(values.asnumpy(), reference(z, y), rtol=tolerance, atol=tolerance)


@every_case
def test_gradients_against_central_differences(case):
    loss, _, y = CASES[case]
    z, y = draw(N, C), as_targets(y, "float64")
    _, exact = value_and_gradient(loss, array(z), y)
    h = 1e-5
    for j in range(C):
        shift = h * np.eye(C)[j]
        numeric = (loss(array(z + shift), y) - loss(array(z - shift), y)).asnumpy() / (2 * h)
        np.testing.assert_allclose(exact.asnumpy()[:, j], numeric, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("case", "gradient"),
    [
        ("squared", lambda z, y: z - y),
        ("softmax", lambda z, y: softmax(z) - np.eye(C)[y]),
        ("rows", lambda z, y: softmax(z) - y),
        ("sigmoid", lambda z, y: sigmoid(z) - y),
    ],
)
def test_the_gradient_is_output_minus_target(case, gradient):
    loss, _, y = CASES[case]
    z = draw(N, C)
    _, exact = value_and_gradient(loss, array(z), as_targets(y, "float64"))
    np.testing.assert_allclose(exact.asnumpy(), gradient(z, y), rtol=1e-12, atol=1e-14)


def test_loss_at_chance():
    z, labels = array(np.zeros((5, 10))), array([0, 3, 9, 5, 5], "int32")
    np.testing.assert_allclose(
        losses.softmax_cross_entropy(z, labels).asnumpy(), 2.302585, atol=5e-7
    )
    np.testing.assert_allclose(losses.hinge(z, labels).asnumpy(), 9, rtol=1e-15)
    rows = array(np.eye(10)[[0, 3, 9, 5, 5]])
    np.testing.assert_allclose(losses.sigmoid_cross_entropy(z, rows).asnumpy(), 6.931472, atol=5e-7)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda z, y: losses.squared_error(1 / (1 + mx.np.exp(-z)), y), 0.20),
        (losses.sigmoid_cross_entropy, 0.012),
    ],
)
def test_a_saturated_neuron_learns_slowly_with_squared_error_only(loss, expected):
    w, b, x, y = array([2.0]), array([2.0]), 1.0, array([0.0])
    w.attach_grad()
    b.attach_grad()
    assert sigmoid(4.0) == pytest.approx(0.98, abs=0.005)
    for _ in range(300):
        with mx.autograd.record():
            value = loss(w * x + b, y)
        value.backward()
        w -= 0.15 * w.grad
        b -= 0.15 * b.grad
    assert sigmoid((w * x + b).item()) == pytest.approx(expected, rel=0.05)


def test_hinge_is_zero_beyond_the_margin():
    z = array([[3.0, 1.9, -5.0], [3.0, 2.5, 0.0]])
    values, gradient = value_and_gradient(losses.hinge, z, array([0, 0], "int32"))
    np.testing.assert_allclose(values.asnumpy(), [0, 0.5], atol=1e-15)
    assert gradient.asnumpy().tolist() == [[0, 0, 0], [-1, 1, 0]]


@both_dtypes
def test_extreme_outputs_stay_finite(dtype):
    z = array([[500.0, -500.0], [-500.0, 500.0]], dtype)
    for loss, y, expected in (
        (losses.softmax_cross_entropy, array([0, 0], "int32"), [0, 1000]),
        (losses.sigmoid_cross_entropy, array([[1, 0], [1, 0]], dtype), [0, 1000]),
        (losses.hinge, array([0, 0], "int32"), [0, 1001]),
    ):
        values, gradient = value_and_gradient(loss, z, y)
        np.testing.assert_allclose(values.asnumpy(), expected, rtol=1e-6, atol=1e-5)
        assert np.abs(gradient.asnumpy()).max() <= 1.00001


def test_sigmoid_cross_entropy_is_precise_for_confident_outputs():
    for target, z in ((1.0, 30.0), (0.0, -30.0)):
        value = losses.sigmoid_cross_entropy(array([[z]]), array([[target]])).item()
        assert value == pytest.approx(math.log1p(math.exp(-30)), rel=1e-10)


@both_dtypes
@every_case
def test_nan_outputs_give_nan(case, dtype):
    loss, _, y = CASES[case]
    z = draw(N, C)
    z[2] = math.nan
    values = loss(array(z, dtype), as_targets(y, dtype)).asnumpy()
    assert np.isnan(values[2])
    assert np.isfinite(np.delete(values, 2)).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(-50, 50))
def test_invariants(seed, shift):
    rng = np.random.default_rng(seed)
    z = rng.normal(scale=3, size=(6, 5))
    y = rng.integers(0, 5, 6)
    order = rng.permutation(5)
    for loss in (losses.softmax_cross_entropy, losses.hinge):
        values = loss(array(z), array(y, "int32")).asnumpy()
        assert (values >= 0).all()
        moved = loss(array(z + shift), array(y, "int32")).asnumpy()
        np.testing.assert_allclose(moved, values, rtol=1e-9, atol=1e-10)
        renamed = loss(array(z[:, order]), array(np.argsort(order)[y], "int32")).asnumpy()
        np.testing.assert_allclose(renamed, values, rtol=1e-9, atol=1e-10)
    rows = losses.softmax_cross_entropy(array(z), array(np.eye(5)[y])).asnumpy()
    labels = losses.softmax_cross_entropy(array(z), array(y, "int32")).asnumpy()
    np.testing.assert_allclose(rows, labels, rtol=1e-12)


# ---------------------------------------------------------------- the ways of calling


@both_dtypes
@every_case
def test_eager_hybridised_and_symbolic_agree_on_another_device(case, dtype):
    loss, _, y = CASES[case]
    how = {"probabilities": True} if case == "rows" else {}
    z, y = array(draw(N, C), dtype, ELSEWHERE), as_targets(y, dtype, ELSEWHERE)
    eager, gradient = value_and_gradient(loss, z, y)

    class Block(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, outputs, targets):
            return loss(outputs, targets, **how)

    block = Block()
    block.hybridize()
    hybrid, hybrid_gradient = value_and_gradient(block, z, y)
    names = mx.sym.var("z").as_np_ndarray(), mx.sym.var("y").as_np_ndarray()
    executor = loss(*names, **how).bind(ELSEWHERE, {"z": z.as_nd_ndarray(), "y": y.as_nd_ndarray()})
    bound = executor.forward()[0]
    for result in (eager, gradient, hybrid, hybrid_gradient, bound):
        assert result.ctx == ELSEWHERE
        assert np.dtype(result.dtype) == dtype
    tolerance = 1e-6 if dtype == "float32" else 1e-13
    for other, one in ((hybrid, eager), (bound, eager), (hybrid_gradient, gradient)):
        np.testing.assert_allclose(other.asnumpy(), one.asnumpy(), rtol=tolerance, atol=tolerance)


def test_symbolic_loss_of_a_net_has_the_gradients_of_the_recorded_one():
    net = layers.mlp(4, [6], C, "tanh", dtype="float64", seed=0)
    x, y = array(draw(N, 4)), array(LABELS, "int32")
    with mx.autograd.record():
        values = losses.softmax_cross_entropy(net(x), y)
    values.backward()
    graph = losses.softmax_cross_entropy(
        net(mx.sym.var("x").as_np_ndarray()), mx.sym.var("y").as_np_ndarray()
    )
    parameters = {p.name: p for p in net.collect_params().values()}
    arguments = {name: p.data().as_nd_ndarray() for name, p in parameters.items()}
    slots = {name: mx.nd.zeros(p.shape, dtype="float64") for name, p in parameters.items()}
    executor = graph.bind(
        mx.cpu(), arguments | {"x": x.as_nd_ndarray(), "y": y.as_nd_ndarray()}, slots
    )
    executor.forward(is_train=True)
    executor.backward(mx.nd.ones(N, dtype="float64"))
    for name, parameter in parameters.items():
        np.testing.assert_allclose(
            slots[name].asnumpy(), parameter.grad().asnumpy(), rtol=1e-12, atol=1e-15
        )


def test_numpy_arrays_and_other_dtypes_of_targets_are_taken():
    z, y = draw(N, C).astype("float32"), draw(N, C, seed=1)
    before = z.copy(), y.copy()
    values = losses.squared_error(z, y)
    assert values.dtype == np.float32
    assert (z == before[0]).all()
    assert (y == before[1]).all()
    np.testing.assert_allclose(values.asnumpy(), squared_reference(z, y), rtol=1e-5)
    z = array(z, ctx=ELSEWHERE)
    assert losses.softmax_cross_entropy(z, LABELS).ctx == ELSEWHERE
    expected = losses.softmax_cross_entropy(z, array(LABELS, "int32", ELSEWHERE)).asnumpy()
    for labels in (LABELS.astype("int64"), LABELS.astype("float64"), array(LABELS, "float32")):
        assert (losses.softmax_cross_entropy(z, labels).asnumpy() == expected).all()
    legacy = losses.squared_error(z.as_nd_ndarray(), y)
    assert isinstance(legacy, mx.np.ndarray)


def test_values_sum_over_outputs_of_any_shape():
    z, y = draw(N, 2, 3), draw(N, 2, 3, seed=1)
    flat = losses.squared_error(array(z.reshape(N, 6)), array(y.reshape(N, 6)))
    assert (losses.squared_error(array(z), array(y)) == flat).all()
    single = losses.squared_error(array(z[:, 0, 0]), array(y[:, 0, 0]))
    np.testing.assert_allclose(single.asnumpy(), (z - y)[:, 0, 0] ** 2 / 2, rtol=1e-14)
    assert (losses.squared_error(array(z[:, 0, :1]), array(y[:, 0, 0])) == single).all()


def test_binary_cross_entropy_of_probabilities_equals_that_of_their_logits():
    z, y = draw(N, C), sigmoid(draw(N, C, seed=3))
    got, gradient = value_and_gradient(losses.binary_cross_entropy, array(sigmoid(z)), array(y))
    np.testing.assert_allclose(got.asnumpy(), sigmoid_reference(z, y), rtol=1e-10)
    a = sigmoid(z)
    np.testing.assert_allclose(gradient.asnumpy(), (a - y) / (a * (1 - a)), rtol=1e-8)


# ---------------------------------------------------------------- penalties


@pytest.mark.parametrize("make", [np.asarray, lambda values: array(values, ctx=ELSEWHERE)])
def test_penalties_against_their_formulas(make):
    theta = draw(3, 5)
    theta[0, 0] = 0.0
    l1, l2 = losses.l1_penalty(0.3), losses.l2_penalty(0.3)
    assert l1.value(make(theta)) == pytest.approx(0.3 * np.abs(theta).sum(), rel=1e-13)
    assert l2.value(make(theta)) == pytest.approx(0.15 * (theta**2).sum(), rel=1e-13)
    assert isinstance(l2.value(make(theta)), float)
    for got, expected in (
        (l1.gradient(make(theta)), 0.3 * np.sign(theta)),
        (l2.gradient(make(theta)), 0.3 * theta),
        (losses.l1_prox(make(theta), 0.5), np.sign(theta) * np.maximum(np.abs(theta) - 0.5, 0)),
    ):
        assert type(got) is type(make(theta))
        if isinstance(got, mx.np.ndarray):
            assert got.ctx == ELSEWHERE
            got = got.asnumpy()
        np.testing.assert_allclose(got, expected, rtol=1e-14)


@pytest.mark.parametrize("penalty", [losses.l1_penalty(0.7), losses.l2_penalty(0.7)])
def test_penalty_gradients_against_central_differences(penalty):
    theta = draw(6)
    for j, exact in enumerate(penalty.gradient(theta)):
        shift = 1e-6 * np.eye(6)[j]
        numeric = (penalty.value(theta + shift) - penalty.value(theta - shift)) / 2e-6
        assert exact == pytest.approx(numeric, rel=1e-8)


def test_weights_decay_over_an_epoch_as_published():
    rate, strength, n = 0.5, 5.0, 50_000
    theta = np.array([1.0, -3.0])
    penalty = losses.l2_penalty(strength / n)  # the source writes λ/(2n) Σ w²
    for _ in range(5000):
        theta = theta - rate * penalty.gradient(theta)
    np.testing.assert_allclose(theta, [0.7788, -3 * 0.7788], rtol=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.floats(-5, 5), st.floats(0, 3))
def test_the_soft_threshold_minimises_what_it_should(w, s):
    def objective(v):
        return 0.5 * (v - w) ** 2 + s * abs(v)

    best = float(losses.l1_prox(np.array(w), s))
    assert (objective(best) <= objective(np.linspace(-6, 6, 1201)) + 1e-12).all()
    assert best == 0 if abs(w) <= s else np.sign(best) == np.sign(w)


def test_a_penalty_is_a_value():
    assert repr(losses.l2_penalty(0.01)) == "l2_penalty(strength=0.01)"
    assert losses.l1_penalty(1.0) == losses.l1_penalty(1.0) != losses.l1_penalty(2.0)
    with pytest.raises(AttributeError):
        losses.l1_penalty(1.0).strength = 2.0


# ---------------------------------------------------------------- bad input

Z = draw(N, C)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: losses.binary_cross_entropy(np.array([[0.5, 1.2]]), np.array([[1.0, 0]])),
            ValueError,
            r"a probability is 1\.2; .* \(0, 1\)\. Use sigmoid_cross_entropy",
        ),
        (
            lambda: losses.binary_cross_entropy(array([[1.0]]), array([[0.0]])),
            ValueError,
            "a probability is 1; ",
        ),
        (
            lambda: losses.binary_cross_entropy(array([[0.5, math.nan]]), array([[0.0, 0]])),
            ValueError,
            "a probability is nan",
        ),
        (
            lambda: losses.binary_cross_entropy(array([[0.5]]), array([[-1.0]])),
            ValueError,
            r"of targets is -1; .* \[0, 1\]",
        ),
        (
            lambda: losses.binary_cross_entropy(mx.sym.var("a"), mx.sym.var("b")),
            TypeError,
            "symbols have none; use sigmoid_cross_entropy",
        ),
        (lambda: losses.squared_error(Z, LABELS), ValueError, r"\(7,\), .*numpy\.eye"),
        (lambda: losses.squared_error(Z, Z[:3]), ValueError, r"\(3, 4\), outputs \(7, 4\)"),
        (
            lambda: losses.squared_error(Z, Z.reshape(4, 7)),
            ValueError,
            r"targets have shape \(4, 7",
        ),
        (lambda: losses.squared_error(Z.astype(int), Z), TypeError, "dtype int64; .*float32"),
        (lambda: losses.squared_error(Z[:0], Z[:0]), ValueError, "at least one example"),
        (lambda: losses.softmax_cross_entropy(Z, LABELS[:3]), ValueError, r"\(3,\), outputs"),
        (
            lambda: losses.softmax_cross_entropy(Z, LABELS + 1),
            ValueError,
            "a label is 4; .* 0 to 3",
        ),
        (lambda: losses.hinge(Z, LABELS - 1), ValueError, "a label is -1"),
        (lambda: losses.hinge(Z, LABELS + 0.5), ValueError, r"a label is 0\.5; .*whole"),
        (lambda: losses.hinge(Z, np.full(N, np.nan)), ValueError, "a label is nan"),
        (lambda: losses.hinge(Z, np.eye(C)[LABELS]), ValueError, r"labels have shape \(7, 4\)"),
        (
            lambda: losses.softmax_cross_entropy(Z[:, :1], LABELS),
            ValueError,
            "at least 2 .*sigmoid_cross_entropy",
        ),
        (lambda: losses.softmax_cross_entropy(Z, np.ones((N, C))), ValueError, "sums to 4"),
        (
            lambda: losses.softmax_cross_entropy(Z, 2 * np.eye(7, C)),
            ValueError,
            "of labels is 2",
        ),
        (lambda: losses.softmax_cross_entropy(Z, np.eye(N)), ValueError, r"\(7, 7\), outputs"),
        (lambda: losses.sigmoid_cross_entropy(Z, Z), ValueError, r"expected all in \[0, 1\]"),
        (lambda: losses.hinge(array(Z), mx.sym.var("y")), TypeError, "a symbol and an array"),
        (lambda: losses.l2_penalty(-1), ValueError, "strength is -1; .* ≥ 0"),
        (lambda: losses.l1_penalty(math.inf), ValueError, "strength is inf"),
        (lambda: losses.l1_penalty("weak"), TypeError, "strength is 'weak'"),
        (lambda: losses.l1_prox(Z, -0.1), ValueError, r"threshold is -0\.1"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
