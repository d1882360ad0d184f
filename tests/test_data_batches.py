"""Minibatches, splits and augmentation."""

import math

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnbook import data
from nnbook.runtime import mx, np

# -------------------------------------------------------------------------------- minibatches


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 250), st.booleans(), st.integers(0, 99))
def test_every_example_once_per_epoch(n, batch_size, shuffle, seed):
    batches = list(data.minibatches(n, batch_size, rng=seed, shuffle=shuffle))
    rows = onp.concatenate(batches)
    assert sorted(rows.tolist()) == list(range(n))
    assert len(batches) == math.ceil(n / batch_size)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    if not shuffle:
        assert rows.tolist() == list(range(n))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 100), st.integers(1, 100))
def test_drop_last(n, batch_size):
    if batch_size > n:
        with pytest.raises(ValueError, match=f"leaves nothing of {n} examples"):
            data.minibatches(n, batch_size, rng=0, drop_last=True)
        return
    batches = list(data.minibatches(n, batch_size, rng=0, drop_last=True))
    assert [len(batch) for batch in batches] == [batch_size] * (n // batch_size)


def test_one_generator_gives_a_new_order_each_epoch():
    rng = onp.random.default_rng(3)
    first, second = (onp.concatenate(list(data.minibatches(50, 8, rng=rng))) for _ in range(2))
    assert (first != second).any()
    again = onp.concatenate(list(data.minibatches(50, 8, rng=3)))
    assert (first == again).all()


def test_orders_are_uniform():
    rng = onp.random.default_rng(0)
    firsts = [next(data.minibatches(4, 1, rng=rng))[0] for _ in range(2000)]
    assert onp.bincount(firsts) == pytest.approx(500, abs=100)


def test_batches_of_arrays():
    x, y = onp.arange(20.0).reshape(10, 2), onp.arange(10)
    for xb, yb in data.minibatches((x, y), 4, rng=0):
        assert (xb[:, 0] == 2 * yb).all()
    parts = list(data.minibatches(x, 4, shuffle=False))
    assert [part.shape for part in parts] == [(4, 2), (4, 2), (2, 2)]
    parts[0][:] = -1  # a copy
    assert x[0, 0] == 0


def test_batches_of_mxnet_arrays_stay_on_their_device():
    x = np.array(onp.arange(20.0).reshape(10, 2), dtype="float32", ctx=mx.cpu(1))
    y = np.array(onp.arange(10), dtype="int32", ctx=mx.cpu(1))
    seen = []
    for xb, yb in data.minibatches((x, y), 3, rng=0):
        assert xb.ctx == yb.ctx == mx.cpu(1)
        assert (xb.dtype, yb.dtype) == ("float32", "int32")
        assert (xb.asnumpy()[:, 0] == 2 * yb.asnumpy()).all()
        seen += yb.asnumpy().tolist()
    assert sorted(seen) == list(range(10))
    legacy = next(data.minibatches(x.as_nd_ndarray(), 3, rng=0))
    assert type(legacy) is mx.nd.NDArray
    assert legacy.ctx == mx.cpu(1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 1), ValueError, "number of examples is 0; expected a whole number of at least 1"),
        ((-3, 1), ValueError, "number of examples is -3"),
        ((True, 1), TypeError, "number of examples is True"),
        ((10, 0), ValueError, "batch_size is 0; expected a whole number of at least 1"),
        ((10, -2), ValueError, "batch_size is -2; expected a whole number of at least 1"),
        ((10, 2.0), TypeError, "batch_size is 2.0; expected a whole number"),
        ((onp.zeros((0, 3)), 2), ValueError, "set is empty: 0 examples"),
        (((onp.zeros(3), onp.zeros(4)), 2), ValueError, r"arrays have \[3, 4\] examples"),
        (((), 2), ValueError, r"arrays have \[\] examples; expected at least one array"),
        (([1, 2], 2), TypeError, "array 0 is a int, expected a NumPy or MXNet"),
        ((onp.float64(3), 2), TypeError, "number of examples is 3.0; expected a whole"),
        ((None, 2), TypeError, "array 0 is a NoneType, expected a NumPy"),
    ],
)
def test_minibatches_refuse_at_the_call(arguments, error, message):
    with pytest.raises(error, match=message):
        data.minibatches(*arguments, rng=0)


def test_shuffling_needs_a_generator():
    with pytest.raises(TypeError, match=r"rng is None.*pass rng=generator.*or shuffle=False"):
        data.minibatches(10, 2)


# -------------------------------------------------------------------------------------- splits


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 80), st.floats(0.01, 0.99), st.integers(0, 99))
def test_split_is_a_partition(n, test_size, seed):
    x = onp.arange(n)
    if math.ceil(round(test_size * n, 9)) >= n:
        with pytest.raises(ValueError, match="leaves none for training"):
            data.train_test_split(x, test_size=test_size)
        return
    train, test = data.train_test_split(x, test_size=test_size, rng=seed)
    assert sorted([*train, *test]) == x.tolist()
    assert abs(len(test) - test_size * n) < 1
    again, _ = data.train_test_split(x, test_size=test_size, rng=seed)
    assert (train == again).all()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(2, 20), min_size=1, max_size=4),
    st.floats(0.3, 0.7),
    st.integers(0, 99),
)
def test_stratified_split_keeps_the_shares(members, test_size, seed):
    labels = onp.random.default_rng(seed).permutation(onp.repeat(onp.arange(len(members)), members))
    n, n_test = len(labels), math.ceil(round(test_size * len(labels), 9))
    if min(n_test, n - n_test) < len(members):
        with pytest.raises(ValueError, match=r"cannot hold|leaves none"):
            data.train_test_split(labels, test_size=test_size, stratify=labels)
        return
    train, test = data.train_test_split(
        onp.arange(n), test_size=test_size, stratify=labels, rng=seed
    )
    assert sorted([*train, *test]) == list(range(n))
    assert len(test) == n_test
    got = onp.bincount(labels[test], minlength=len(members))
    assert (abs(got - onp.array(members) * n_test / n) < 1).all()


def test_split_of_several_arrays():
    x, y = onp.arange(40.0).reshape(20, 2), onp.arange(20)
    x_train, x_test, y_train, y_test = data.train_test_split(x, y, test_size=5, rng=1)
    assert (len(x_train), len(x_test)) == (15, 5)
    assert (x_train[:, 0] == 2 * y_train).all()
    assert (x_test[:, 0] == 2 * y_test).all()
    assert y_train.tolist() != sorted(y_train)  # shuffled
    assert len(data.train_test_split(x, test_size=0.1)[1]) == 2
    assert len(data.train_test_split(onp.arange(30), test_size=0.1)[1]) == 3


def test_split_of_mxnet_arrays_stays_on_their_device():
    x = np.array(onp.arange(12.0), dtype="float32", ctx=mx.cpu(1))
    y = np.array([0, 1] * 6, dtype="int32", ctx=mx.cpu(1))
    parts = data.train_test_split(x, y, test_size=4, stratify=y, rng=0)
    assert all(part.ctx == mx.cpu(1) for part in parts)
    assert [part.dtype for part in parts] == ["float32", "float32", "int32", "int32"]
    assert sorted(parts[3].asnumpy().tolist()) == [0, 0, 1, 1]


TEN = onp.arange(10)


@pytest.mark.parametrize(
    ("arrays", "arguments", "error", "message"),
    [
        ((TEN,), {"test_size": 0.0}, ValueError, "test_size is 0.0, expected a fraction"),
        ((TEN,), {"test_size": 1.0}, ValueError, "test_size is 1.0, expected a fraction"),
        ((TEN,), {"test_size": -0.2}, ValueError, "test_size is -0.2"),
        ((TEN,), {"test_size": float("nan")}, ValueError, "test_size is nan"),
        (
            (TEN,),
            {"test_size": 0},
            ValueError,
            "test_size is 0; expected a whole number of at least",
        ),
        ((TEN,), {"test_size": 10}, ValueError, "takes 10 of 10 examples and leaves none"),
        ((TEN,), {"test_size": "half"}, TypeError, "test_size is 'half'"),
        ((TEN, TEN[:9]), {}, ValueError, r"arrays have \[10, 9\] examples"),
        ((TEN[:0],), {}, ValueError, "set is empty"),
        ((TEN[:1],), {}, ValueError, "takes 1 of 1 examples"),
        (([1, 2], [[1], [2, 3]]), {}, ValueError, "array 1 is a list whose rows differ in length"),
        ((TEN,), {"rng": None}, TypeError, "rng is None, expected a seed"),
        ((TEN,), {"stratify": TEN[:5]}, ValueError, r"stratify has the shape \(5,\), expected"),
        ((TEN,), {"stratify": TEN}, ValueError, "class 0 has 1 example, expected at least 2"),
        ((TEN,), {"stratify": TEN // 2, "test_size": 3}, ValueError, "3 examples cannot hold 5"),
        ((TEN,), {"stratify": [0, 1] * 5}, TypeError, "stratify is a list"),
    ],
)
def test_split_refuses(arrays, arguments, error, message):
    with pytest.raises(error, match=message):
        data.train_test_split(*arrays, **arguments)


# -------------------------------------------------------------------------------- augmentation


def blob(n=3, side=15):
    """Return images of a Gaussian spot in the middle."""
    r, c = onp.mgrid[:side, :side] - (side - 1) / 2
    return onp.repeat(onp.exp(-(r**2 + c**2) / 12)[None], n, axis=0).astype("float32")


def test_no_deformation_is_the_identity():
    x = onp.random.default_rng(0).random((4, 784)).astype("float32")
    assert (data.elastic_deform(x, alpha=0, rng=0) == x).all()
    assert (data.shift(x) == x).all()
    assert data.rotate(x, 0.0) == pytest.approx(x)


def test_elastic_deformation():
    x = onp.concatenate([blob(3, 28)] * 2)
    y = data.elastic_deform(x, rng=1)
    assert y.shape == x.shape
    assert y.dtype == x.dtype
    assert (y == data.elastic_deform(x, rng=1)).all()
    assert (y != data.elastic_deform(x, rng=2)).any()
    assert (y[0] != y[1]).any()  # each image has its own field
    assert y.min() >= 0
    assert y.max() <= x.max() + 1e-6  # linear interpolation invents no values
    generator = onp.random.default_rng(1)
    assert (data.elastic_deform(x, rng=generator) == y).all()
    assert (data.elastic_deform(x, rng=generator) != y).any()


def test_size_of_the_elastic_displacements():
    # A ramp shows the displacement itself; far from the rim, theory: α/√3 / (2σ√π).
    ramp = onp.broadcast_to(onp.arange(61.0) + 100, (40, 61, 61))
    moved = data.elastic_deform(ramp, alpha=34, sigma=4, rng=0) - ramp
    deviation = moved[:, 20:41, 20:41].std()
    assert deviation == pytest.approx(34 / 3**0.5 / (2 * 4 * onp.pi**0.5), rel=0.1)


def test_flat_images_are_deformed_like_square_ones():
    x = blob(5, 28)
    flat = data.elastic_deform(x.reshape(5, 784), rng=0)
    assert flat.shape == (5, 784)
    assert (flat.reshape(5, 28, 28) == data.elastic_deform(x, rng=0)).all()


def test_shift():
    x = onp.zeros((2, 5, 5))
    x[:, 2, 2] = 1
    y = data.shift(x, rows=1, columns=onp.array([-1, 0.5]))
    assert y[0, 3, 1] == 1
    assert y[0].sum() == 1
    assert y[1, 3, 2] == pytest.approx(0.5)
    assert y[1, 3, 3] == pytest.approx(0.5)
    assert (data.shift(x, rows=3) == 0).all()  # moved out; background comes in


def test_rotate():
    x = onp.random.default_rng(0).random((3, 7, 7))
    assert data.rotate(x, 90) == pytest.approx(onp.rot90(x, axes=(1, 2)), abs=1e-9)
    each = data.rotate(x, onp.array([0, 180, -90]))
    assert each[1] == pytest.approx(onp.rot90(x[1], 2), abs=1e-9)
    assert each[2] == pytest.approx(onp.rot90(x[2], -1), abs=1e-9)
    assert data.rotate(blob(), 37.0) == pytest.approx(blob(), abs=0.06)  # a round spot stays


@pytest.mark.parametrize(
    "move",
    [
        lambda x: data.elastic_deform(x, rng=0),
        lambda x: data.shift(x, 1, 2),
        lambda x: data.rotate(x, 10.0),
    ],
)
def test_augmented_mxnet_arrays_stay_on_their_device(move):
    x = blob()
    on_device = np.array(x, dtype="float32", ctx=mx.cpu(1))
    y = move(on_device)
    assert isinstance(y, np.ndarray)
    assert (y.ctx, y.dtype) == (mx.cpu(1), "float32")
    assert (y.asnumpy() == move(x)).all()
    assert (on_device.asnumpy() == x).all()
    x.flags.writeable = False
    assert move((x * 255).astype("uint8")).dtype == "float32"


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (onp.zeros((2, 783)), ValueError, r"shape \(2, 783\), expected images"),
        (onp.zeros(784), ValueError, r"shape \(784,\), expected images"),
        (onp.zeros((0, 784)), ValueError, r"shape \(0, 784\).*n of at least 1"),
        (onp.zeros((1, 2, 3, 4)), ValueError, r"shape \(1, 2, 3, 4\)"),
        (onp.full((1, 4), onp.nan), ValueError, "4 values that are NaN"),
        ([[0, 0]], TypeError, "x is a list"),
    ],
)
def test_augmentation_refuses_images(x, error, message):
    for move in (lambda x: data.elastic_deform(x, rng=0), data.shift):
        with pytest.raises(error, match=message):
            move(x)


@pytest.mark.parametrize(
    ("move", "error", "message"),
    [
        (lambda x: data.elastic_deform(x, alpha=-1, rng=0), ValueError, "alpha is -1; expected"),
        (lambda x: data.elastic_deform(x, sigma=onp.inf, rng=0), ValueError, "sigma is inf"),
        (lambda x: data.elastic_deform(x, rng=None), TypeError, "rng is None, expected a seed"),
        (lambda x: data.shift(x, rows=onp.nan), ValueError, "rows is nan, expected one finite"),
        (lambda x: data.shift(x, columns=onp.ones(2)), ValueError, "each of the 3 images"),
        (lambda x: data.rotate(x, onp.ones(4)), ValueError, r"degrees is .* of the 3 images"),
    ],
)
def test_augmentation_refuses_parameters(move, error, message):
    with pytest.raises(error, match=message):
        move(blob())
