import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnbook import layers
from nnbook.runtime import mx

NAMES = ["sigmoid", "tanh", "scaled_tanh", "relu", "softplus", "identity"]
FORMULAS = {
    "sigmoid": lambda x: (1 + np.tanh(x / 2)) / 2,
    "tanh": np.tanh,
    "scaled_tanh": lambda x: 1.7159 * np.tanh(2 * x / 3),
    "relu": lambda x: np.maximum(x, 0),
    "softplus": lambda x: np.logaddexp(0, x),
    "identity": lambda x: x,
}
ELSEWHERE = mx.cpu(1)


def array(values, dtype="float64", ctx=None):
    return mx.np.array(np.asarray(values), dtype=dtype, ctx=ctx)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def blocks(dtype="float64"):
    """Every layer and net with 4 inputs, initialised on the second CPU device."""
    made = [layers.mlp(4, [5, 3], 2, name, dtype=dtype, seed=1) for name in NAMES]
    made += [
        layers.RBF(3, 4, dtype=dtype),
        layers.RBF.from_examples(draw(9, 4), 3, dtype=dtype),
        layers.Maxout(3, 3, 4, dtype=dtype),
        layers.ScaledTanh(twist=0.1),
    ]
    for block in made:
        block.initialize(layers.LeCunNormal().seeded(7), ctx=ELSEWHERE, force_reinit=True)
    return made


def gradients(block, x, weights):
    """Return Σ weights · outputs and its gradients, of the inputs first."""
    x.attach_grad()
    with mx.autograd.record():
        total = (block(x) * weights).sum()
    total.backward()
    return [x.grad] + [p.grad(x.ctx) for p in block.collect_params().values()]


# ---------------------------------------------------------------- activation functions


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_activations_against_numpy(name, dtype):
    x = np.linspace(-6, 6, 101)
    block = layers.activation(name)
    got = block(array(x, dtype))
    assert got.dtype == dtype
    np.testing.assert_allclose(got.asnumpy(), FORMULAS[name](x), atol=2e-6, rtol=2e-6)
    if dtype == "float64":
        np.testing.assert_allclose(got.asnumpy(), FORMULAS[name](x), rtol=1e-12, atol=1e-14)


def test_scaled_tanh_has_the_published_numbers():
    f = layers.ScaledTanh()
    assert f(array([1.0])).item() == pytest.approx(0.9999973, abs=5e-8)
    assert f(array([-1.0])).item() == pytest.approx(-0.9999973, abs=5e-8)
    x = array([0.0])
    x.attach_grad()
    with mx.autograd.record():
        y = f(x)
    y.backward()
    assert x.grad.item() == pytest.approx(1.143933, abs=5e-7)
    grid = np.linspace(0.9, 1.1, 2001)
    h = 1e-4
    above, here, below = (f(array(grid + d)).asnumpy() for d in (h, 0, -h))
    curvature = np.abs(above - 2 * here + below) / h**2
    assert grid[curvature.argmax()] == pytest.approx(0.9877, abs=2e-4)
    nodes, masses = np.polynomial.hermite_e.hermegauss(60)
    second_moment = (masses * f(array(nodes)).asnumpy() ** 2).sum() / masses.sum()
    assert math.sqrt(second_moment) == pytest.approx(0.8663, abs=5e-5)


def test_the_twist_adds_a_line():
    x = draw(20)
    got = layers.ScaledTanh(1, 1, twist=0.01)(array(x)).asnumpy()
    np.testing.assert_allclose(got, np.tanh(x) + 0.01 * x, rtol=1e-12)


def test_none_is_the_identity():
    x = array(draw(3, 2))
    assert (layers.activation(None)(x) == x).all()


def test_float32_relu_hides_nan_as_documented_and_ours_do_not():
    x = array([math.nan], "float32")
    assert layers.activation("relu")(x).item() == 0.0
    x = array([[math.nan, 1.0]], "float32")
    for block in (layers.Maxout(2, 2, 2), layers.RBF(2, 2)):
        block.initialize(layers.LeCunNormal())
        assert np.isnan(block(x).asnumpy()).all()


# ---------------------------------------------------------------- units


def test_maxout_against_numpy():
    block = layers.Maxout(3, 4, 5, dtype="float64")
    block.initialize(layers.LeCunNormal().seeded(0))
    x = draw(7, 5)
    pieces = [x @ d.weight.data().asnumpy().T for d in block._children.values()]
    np.testing.assert_allclose(block(array(x)).asnumpy(), np.max(pieces, axis=0), rtol=1e-12)


def test_equal_pieces_of_maxout_share_one_gradient_not_two():
    block = layers.Maxout(1, 3, 2, dtype="float64")
    block.initialize(layers.Constant(0.5))
    x = array([[1.0, 2.0]])
    assert gradients(block, x, 1)[0].asnumpy().tolist() == [[0.5, 0.5]]


def test_rbf_against_numpy():
    centres, widths = draw(3, 4), np.array([0.5, 1.0, 2.0])
    block = layers.RBF(3, 4, centres, widths, dtype="float64")
    block.initialize()
    x = draw(6, 4, seed=1)
    squared = ((x[:, None] - centres) ** 2).sum(axis=2)
    expected = np.exp(-squared / (2 * widths**2))
    np.testing.assert_allclose(block(array(x)).asnumpy(), expected, rtol=1e-11)
    np.testing.assert_allclose(np.diag(block(array(centres)).asnumpy()), 1, rtol=1e-14)


def test_rbf_takes_its_centres_from_the_examples():
    x = draw(50, 3)
    block = layers.RBF.from_examples(x, 8, seed=5, dtype="float64")
    block.initialize()
    centres = block.centres.data().asnumpy()
    assert {tuple(c) for c in centres} <= {tuple(row) for row in x}
    assert len({tuple(c) for c in centres}) == 8
    largest = max(np.linalg.norm(a - b) for a in centres for b in centres)
    np.testing.assert_allclose(np.exp(block.log_width.data().asnumpy()), largest / 4, rtol=1e-12)
    again = layers.RBF.from_examples(mx.np.array(x, dtype="float64"), 8, seed=5, dtype="float64")
    again.initialize()
    assert (again.centres.data() == block.centres.data()).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 50))
def test_rbf_lies_between_0_and_1_in_float32(seed, size):
    block = layers.RBF(4, 6, size * draw(4, 6, seed=seed), width=size)
    block.initialize()
    x = array(size * draw(8, 6, seed=seed + 1), "float32")
    values = block(x).asnumpy()
    assert ((values >= 0) & (values <= 1)).all()
    on_centre = np.diag(block(block.centres.data()).asnumpy())
    assert (on_centre > 0.9999).all()


# ---------------------------------------------------------------- every block, every way


@pytest.mark.parametrize("index", range(10))
def test_gradients_against_central_differences(index):
    block = blocks()[index]
    x = array(draw(5, 4, seed=3), ctx=ELSEWHERE)
    weights = array(draw(*block(x).shape, seed=4), ctx=ELSEWHERE)
    exact = gradients(block, x, weights)
    places = [x] + [p.data(ELSEWHERE) for p in block.collect_params().values()]
    h = 1e-6
    for place, gradient in zip(places, exact, strict=True):
        values = place.asnumpy()
        numeric = np.empty_like(values)
        for at in np.ndindex(values.shape):
            ends = []
            for sign in (1, -1):
                moved = values.copy()
                moved[at] += sign * h
                place[:] = moved
                ends.append((block(x) * weights).sum().item())
            numeric[at] = (ends[0] - ends[1]) / (2 * h)
        place[:] = values
        error = np.linalg.norm(numeric - gradient.asnumpy())
        assert error < 1e-8 * max(1.0, np.linalg.norm(numeric))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("index", range(10))
def test_eager_hybridised_and_symbolic_agree_on_another_device(index, dtype):
    block = blocks(dtype)[index]
    x = array(draw(5, 4), dtype, ELSEWHERE)
    eager = block(x)
    symbol = block(mx.sym.var("data").as_np_ndarray())
    arguments = {p.name: p.data(ELSEWHERE).as_nd_ndarray() for p in block.collect_params().values()}
    executor = symbol.bind(ELSEWHERE, arguments | {"data": x.as_nd_ndarray()})
    bound = executor.forward(is_train=False)[0]
    block.hybridize()
    hybrid = block(x)
    found = gradients(block, x, 1)
    for result in (eager, hybrid, *found):
        assert result.ctx == ELSEWHERE
        assert result.dtype == dtype
    tolerance = 1e-6 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(hybrid.asnumpy(), eager.asnumpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(bound.asnumpy(), eager.asnumpy(), rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- initialisers


def test_fans_of_dense_and_convolution():
    assert layers.fans((100, 784)) == (784, 100)
    assert layers.fans((8, 4, 3, 5)) == (60, 120)


@pytest.mark.parametrize(
    ("rule", "variance"),
    [
        (layers.LeCunNormal(), 1 / 300),
        (layers.LeCunUniform(), 1 / 300),
        (layers.LeCunNormal(gain=2.0), 4 / 300),
        (layers.GlorotNormal(), 2 / 500),
        (layers.GlorotUniform(), 2 / 500),
        (layers.GlorotUniform(gain="sigmoid"), 32 / 500),
        (layers.HeNormal(), 2 / 300),
    ],
)
def test_variance_of_the_weights(rule, variance):
    w = rule.sample((200, 300), np.random.default_rng(0))
    # 60,000 draws: the standard error of a variance is at most √(2/n) = 0.6 %.
    assert w.var() == pytest.approx(variance, rel=0.03)
    assert abs(w.mean()) < 4 * math.sqrt(variance / w.size)


def test_uniform_weights_fill_glorots_interval():
    w = layers.GlorotUniform().sample((200, 300), np.random.default_rng(0))
    limit = math.sqrt(6 / 500)
    assert 0.999 * limit < np.abs(w).max() <= limit
    assert np.histogram(w, 4, (-limit, limit))[0].min() > 0.24 * w.size


@pytest.mark.parametrize("name", ["scaled_tanh", "relu"])
def test_signals_keep_their_size_through_deep_nets(name):
    net = layers.mlp(300, [300] * 5, 300, name, dtype="float64", seed=0)
    nodes, masses = np.polynomial.hermite_e.hermegauss(80)
    signal = array(draw(400, 300))
    second_moment = 1.0  # of a layer's inputs, in theory, for infinitely wide layers
    # At width 300 the mean square of rectified signals varies by √(5/300) from layer to layer.
    tolerance = 0.3 if name == "relu" else 0.08
    for block in net:
        signal = block(signal)
        if isinstance(block, mx.gluon.nn.Dense):
            deviation = math.sqrt(second_moment * (2 if name == "relu" else 1))
            assert signal.asnumpy().std() == pytest.approx(deviation, rel=tolerance)
            outputs = FORMULAS[name](deviation * nodes)
            second_moment = (masses * outputs**2).sum() / masses.sum()
            assert 0.4 < second_moment < 1.1  # it neither vanishes nor explodes


def test_gains():
    assert layers.gain("sigmoid") == 4
    assert layers.gain("tanh") == layers.gain("scaled_tanh") == layers.gain(None) == 1
    assert layers.gain("relu") == pytest.approx(math.sqrt(2))
    for name in ("sigmoid", "tanh", "softplus", "identity"):  # 1/f′(0)
        slope = (FORMULAS[name](1e-5) - FORMULAS[name](-1e-5)) / 2e-5
        assert layers.gain(name) == pytest.approx(1 / slope, rel=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_initialisers_work_in_plain_gluon_nets(dtype):
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(8, 3, in_channels=4), mx.gluon.nn.BatchNorm(in_channels=8))
    net.add(mx.gluon.nn.Dense(40, in_units=2000))
    net.cast(dtype)
    net.initialize(layers.HeNormal(), ctx=ELSEWHERE)
    conv, norm, dense = net._children.values()
    assert dense.weight.data().dtype == dtype
    assert dense.weight.data().ctx == ELSEWHERE
    assert conv.weight.data().asnumpy().std() == pytest.approx(math.sqrt(2 / 36), rel=0.2)
    assert dense.weight.data().asnumpy().std() == pytest.approx(math.sqrt(2 / 2000), rel=0.02)
    assert not conv.bias.data().asnumpy().any()
    assert not dense.bias.data().asnumpy().any()
    assert (norm.gamma.data().asnumpy() == 1).all()


def test_initialisers_follow_mxnets_seed_on_any_device():
    def weights(seed, device):
        mx.random.seed(seed)
        return layers.mlp(6, [5], 3, device=device)[0].weight.data().asnumpy()

    first = weights(3, "cpu(0)")
    assert (first == weights(3, "cpu(1)")).all()
    assert (first != weights(4, "cpu(0)")).all()
    net = layers.mlp(6, [6], 6)
    assert (net[0].weight.data() != net[2].weight.data()).all()


def test_constant_fills_with_a_number_or_an_array():
    rng = np.random.default_rng(0)
    assert (layers.Constant(0.3).sample((2, 3), rng) == 0.3).all()
    values = np.arange(6.0).reshape(2, 3)
    rule = layers.Constant(values)
    values[:] = 9
    assert rule.sample((2, 3), rng).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match=r"value has shape \(2, 3\), the parameter \(3, 2\)"):
        rule.sample((3, 2), rng)


def test_initialisers_can_be_described_and_pickled():
    assert layers.GlorotUniform(gain="sigmoid").dumps() == '["glorotuniform", {"gain": "sigmoid"}]'
    assert layers.HeNormal().dumps() == '["henormal", {}]'
    twin = pickle.loads(pickle.dumps(layers.LeCunNormal().seeded(3)))
    expected = layers.LeCunNormal().seeded(3)
    assert (twin.sample((2, 2), twin._rng) == expected.sample((2, 2), expected._rng)).all()


# ---------------------------------------------------------------- mlp


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_mlp_against_numpy(name, dtype):
    net = layers.mlp(6, [5, 4], 3, name, dtype=dtype, seed=2)
    x = draw(7, 6)
    values = [p.data().asnumpy().astype(float) for p in net.collect_params().values()]
    a = x
    for layer, (w, b) in enumerate(zip(values[::2], values[1::2], strict=True)):
        a = a @ w.T + b
        a = FORMULAS[name](a) if layer < 2 else a
    np.testing.assert_allclose(
        net(array(x, dtype)).asnumpy(), a, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-6
    )


def test_mlp_is_initialised_with_known_shapes_and_zero_biases():
    net = layers.mlp(784, [100, 30], 10)
    shapes = [p.data().shape for p in net.collect_params().values()]
    assert shapes == [(100, 784), (100,), (30, 100), (30,), (10, 30), (10,)]
    assert not any(p.data().asnumpy().any() for p in net.collect_params(".*bias").values())
    assert [type(b).__name__ for b in layers.mlp(2, [3], 1, dropout=0.5)] == [
        "Dense",
        "Activation",
        "Dropout",
        "Dense",
    ]
    assert len(layers.mlp(4, [], 2)) == 1
    assert layers.mlp(4, [3], 2)(mx.np.zeros((5, 2, 2))).shape == (5, 2)


def test_mlp_seed_decides_the_weights_alone():
    def weights(**kwargs):
        net = layers.mlp(6, [5], 3, **kwargs)
        return np.concatenate([p.data().asnumpy().ravel() for p in net.collect_params().values()])

    mx.random.seed(0)
    first = weights(seed=1)
    mx.random.seed(1)
    before = mx.nd.random.uniform(shape=3).asnumpy()
    assert (weights(seed=1) == first).all()
    mx.random.seed(1)
    weights(seed=1)
    assert (mx.nd.random.uniform(shape=3).asnumpy() == before).all()  # nothing was drawn from MXNet
    assert (weights(seed=2) != first).any()
    np.testing.assert_array_equal(weights(seed=1, dtype="float64").astype("float32"), first)


def test_weights_are_not_those_of_data_drawn_from_the_same_seed():
    w = layers.mlp(50, [], 50, seed=0)[0].weight.data().asnumpy()
    x = np.random.default_rng(0).normal(size=(50, 50))
    assert abs(np.corrcoef(w.ravel(), x.ravel())[0, 1]) < 0.1
    own = layers.mlp(50, [], 50, seed=np.random.default_rng(0))[0].weight.data().asnumpy()
    np.testing.assert_allclose(own, x / np.sqrt(50), rtol=1e-6)


def test_mlp_default_initialiser_fits_the_activation():
    for name, variance in (("sigmoid", 1 / 400), ("scaled_tanh", 1 / 400), ("relu", 2 / 400)):
        w = layers.mlp(400, [300], 2, name, seed=0)[0].weight.data().asnumpy()
        assert w.var() == pytest.approx(variance, rel=0.03)
    w = layers.mlp(400, [300], 2, initializer="glorot_uniform", seed=0)[0].weight.data().asnumpy()
    assert np.abs(w).max() == pytest.approx(math.sqrt(6 / 700), rel=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mlp_takes_mxnets_own_initialisers(dtype):
    net = layers.mlp(30, [20], 5, initializer=mx.init.Normal(0.1), dtype=dtype)
    w = net[0].weight.data()
    assert w.dtype == dtype
    assert w.asnumpy().std() == pytest.approx(0.1, rel=0.1)
    assert net(array(draw(2, 30), dtype)).dtype == dtype


def test_dropout_acts_in_training_only_and_keeps_the_mean():
    net = layers.mlp(3, [2000], 1, "relu", dropout=0.5, seed=0)
    hidden = net[:3]
    x = array(draw(1, 3), "float32")
    still = hidden(x).asnumpy()
    assert (hidden(x).asnumpy() == still).all()
    mx.random.seed(0)
    with mx.autograd.train_mode():
        noisy = np.mean([hidden(x).asnumpy() for _ in range(40)], axis=0)
        one = hidden(x).asnumpy()
    alive = still > 0
    assert (one[alive] == 0).mean() == pytest.approx(0.5, abs=0.06)
    assert noisy[alive].sum() == pytest.approx(still[alive].sum(), rel=0.05)


def test_equal_weights_keep_hidden_units_equal():
    net = layers.mlp(4, [3], 2, "tanh", initializer=layers.Constant(0.3), dtype="float64")
    found = gradients(net, array(draw(5, 4)), array(draw(5, 2)))[1].asnumpy()
    assert np.abs(found).max() > 0.01
    np.testing.assert_allclose(found - found[0], 0, atol=1e-15)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.mlp(0, [3], 2), ValueError, "n_in is 0; .* at least 1"),
        (lambda: layers.mlp(4, [3, -1], 2), ValueError, "hidden layer's size is -1"),
        (lambda: layers.mlp(4, [3], 2.5), TypeError, r"n_out is 2\.5; expected a whole number"),
        (lambda: layers.mlp(4, [True], 2), TypeError, "hidden layer's size is True"),
        (lambda: layers.mlp(4, 30, 2), TypeError, r"hidden is 30; .* such as \[30\]"),
        (
            lambda: layers.mlp(4, [3], 2, "swish"),
            ValueError,
            "activation is 'swish'; .*scaled_tanh",
        ),
        (lambda: layers.mlp(4, [3], 2, dropout=1.0), ValueError, r"dropout is 1\.0; .*\[0, 1\)"),
        (lambda: layers.mlp(4, [3], 2, dropout=-0.1), ValueError, r"dropout is -0\.1"),
        (lambda: layers.mlp(4, [3], 2, dtype="float16"), ValueError, "dtype is 'float16'"),
        (lambda: layers.mlp(4, [3], 2, initializer="xavier"), ValueError, "'xavier'.*he_normal"),
        (lambda: layers.mlp(4, [3], 2, initializer=0.1), TypeError, r"initializer is 0\.1"),
        (lambda: layers.mlp(4, [3], 2, device="tpu"), ValueError, "tpu"),
        (
            lambda: layers.mlp(4, [3], 2, initializer=mx.init.Xavier(), seed=1),
            ValueError,
            "seed is 1, but Xavier draws from MXNet's global generator",
        ),
        (lambda: layers.activation("linear"), ValueError, "activation is 'linear'"),
        (lambda: layers.gain("elu"), ValueError, "activation is 'elu'"),
        (lambda: layers.GlorotUniform(gain="elu"), ValueError, "'elu'"),
        (lambda: layers.LeCunNormal(gain=-1), ValueError, "gain is -1; .* > 0"),
        (lambda: layers.Constant(math.nan), ValueError, "value is nan; expected finite"),
        (lambda: layers.fans((5,)), ValueError, r"shape \(5,\)"),
        (lambda: layers.fans((5, 0)), ValueError, r"shape \(5, 0\)"),
        (lambda: layers.ScaledTanh(a=0), ValueError, "a is 0; .* > 0"),
        (lambda: layers.ScaledTanh(twist=-1), ValueError, "twist is -1; .* >= 0"),
        (lambda: layers.Maxout(3, 1), ValueError, "pieces is 1; .*at least 2"),
        (lambda: layers.Maxout(-3), ValueError, "units is -3"),
        (lambda: layers.RBF(3, 0), ValueError, "in_units is 0"),
        (lambda: layers.RBF(3, 2, np.zeros((2, 3))), ValueError, r"\(2, 3\); expected \(3, 2\)"),
        (lambda: layers.RBF(3, 2, width=-1), ValueError, "width is -1; .* > 0"),
        (lambda: layers.RBF(3, 2, width=[1, 1]), ValueError, r"width has shape \(2,\)"),
        (lambda: layers.RBF.from_examples(np.zeros(4), 2), ValueError, r"x has shape \(4,\)"),
        (
            lambda: layers.RBF.from_examples(draw(4, 2), 9),
            ValueError,
            "units is 9; expected 2 to 4",
        ),
        (lambda: layers.RBF.from_examples(np.ones((4, 2)), 2), ValueError, "the same point"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
