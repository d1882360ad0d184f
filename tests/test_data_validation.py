"""check_examples and check_labels: what is accepted, and what each refusal says."""

import time

import numpy as onp
import pytest

from nnbook import data
from nnbook.runtime import mx, np

X = onp.ones((4, 3), dtype="float32")
Y = onp.array([0, 1, 2, 1], dtype="int32")


def with_value(array, value, *place):
    copy = array.astype("float64") if isinstance(value, float) else array.copy()
    copy[place] = value
    return copy


@pytest.mark.parametrize(
    ("x", "y", "n_classes"),
    [
        (X, None, None),
        (X, Y, 3),
        (X, Y.astype("float32"), 3),  # whole numbers, as Gluon takes them
        (X, Y.astype("uint8"), 3),
        (X, Y / 7, None),  # targets
        (X, X, None),
        (X.astype("uint8"), Y, 10),
        (onp.ones((2, 1, 28, 28)), onp.zeros(2), 1),
        (onp.full((2, 2), 3e38, dtype="float32"), None, None),  # the sum overflows; all is finite
        (onp.full((2, 2), 60_000, dtype="float16"), None, None),
        (np.array(X, ctx=mx.cpu(1)), np.array(Y, dtype="int32", ctx=mx.cpu(1)), 3),
        (np.array(X).as_nd_ndarray(), None, None),
    ],
)
def test_accepted(x, y, n_classes):
    assert data.check_examples(x, y, n_classes) is None


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1.0]], TypeError, r"train x is a list, expected a NumPy or MXNet array.*asarray"),
        (None, TypeError, "train x is a NoneType, expected"),
        (X.astype(object), TypeError, r"dtype object, expected real numbers.*astype\('float32'\)"),
        (X.astype(str), TypeError, "dtype <U32, expected real numbers"),
        (X.astype(complex), TypeError, "dtype complex128, expected real"),
        (onp.ones(4), ValueError, r"shape \(4,\), expected \(n, features\).*reshape\(-1, 1\)"),
        (onp.array(1.0), ValueError, r"shape \(\), expected"),
        (onp.ones((0, 3)), ValueError, r"train x is empty: its shape is \(0, 3\)"),
        (onp.ones((4, 0)), ValueError, r"train x is empty: its shape is \(4, 0\)"),
        (with_value(X, onp.nan, 2, 1), ValueError, r"1 values .* nan, at \[2, 1\].*Remove"),
        (with_value(X, onp.inf, 3, 0), ValueError, r"1 values .* inf, at \[3, 0\].*finite"),
        (with_value(X, -onp.inf, 0, 2), ValueError, r"-inf, at \[0, 2\]"),
        (onp.array([[onp.inf, -onp.inf]]), ValueError, "2 values that are NaN or infinite"),
        (np.array(with_value(X, onp.nan, 1, 1)), ValueError, r"nan, at \[1, 1\]"),
    ],
)
def test_refused_inputs(x, error, message):
    with pytest.raises(error, match=message):
        data.check_examples(x)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (Y.tolist(), TypeError, "train y is a list, expected a NumPy or MXNet array"),
        (Y.astype(str), TypeError, "train y has the dtype <U11, expected real numbers"),
        (Y[:3], ValueError, r"x has 4 examples but train y has the shape \(3,\); expected 4"),
        (onp.array(1), ValueError, r"train y has the shape \(\); expected 4"),
        (
            with_value(Y, -1, 2),
            ValueError,
            r"1 labels out of range, the first, -1, at \[2\].*−1 ma",
        ),
        (with_value(Y, -5, 0), ValueError, r"-5, at \[0\]; expected .* 0 … 2. Remove or recode"),
        (with_value(Y, 3, 1), ValueError, r"1 labels out of range, the first, 3, at \[1\].*0 … 2"),
        (Y + 1, ValueError, r"the first, 3, at \[2\].*count from 1: use y - 1, or 4 classes"),
        (with_value(Y, 0.5, 1), ValueError, r"value 0.5 at \[1\]; .*squared_error"),
        (with_value(Y, onp.nan, 3), ValueError, r"train y has 1 values that are NaN.*\[3\]"),
        (with_value(Y, onp.inf, 3), ValueError, "train y has 1 values that are NaN or infinite"),
        (onp.eye(3)[Y], ValueError, r"shape \(4, 3\), .* shape \(n,\)\. One-hot .*argmax"),
        (Y[:, None], ValueError, r"shape \(4, 1\), .*Flatten a column with y.reshape\(-1\)"),
        (np.array(Y - 1, dtype="int32"), ValueError, r"the first, -1, at \[0\]"),
    ],
)
def test_refused_labels(y, error, message):
    with pytest.raises(error, match=message):
        data.check_examples(X, y, n_classes=3)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (onp.full((4, 1), onp.nan), "validation y has 4 values that are NaN"),
        (onp.zeros((4, 0)), r"validation y is empty: its shape is \(4, 0\)"),
        (onp.zeros((5, 1)), r"validation y has the shape \(5, 1\); expected 4"),
    ],
)
def test_refused_targets(y, message):
    with pytest.raises(ValueError, match=message):
        data.check_examples(X, y, name="validation")


def test_labels_alone():
    data.check_labels(Y, 3)
    with pytest.raises(ValueError, match=r"test y is empty; expected class labels"):
        data.check_labels(Y[:0], 3, name="test")
    with pytest.raises(ValueError, match="n_classes is 0; expected a whole number of at least 1"):
        data.check_labels(Y, 0)
    with pytest.raises(TypeError, match=r"n_classes is 2\.5; expected a whole number"):
        data.check_examples(X, Y, 2.5)


def test_one_pass_is_cheap():
    x, y = onp.ones((50_000, 784), dtype="float32"), onp.zeros(50_000, dtype="int32")
    seconds = []
    for _ in range(3):
        start = time.thread_time()
        data.check_examples(x, y, 10)
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.06
