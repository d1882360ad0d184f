"""Target coding: labels to targets and back, and the targets that suit an activation function."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from nnbook import data, layers, losses, optim, training
from nnbook.runtime import mx

ELSEWHERE = mx.cpu(1)


def logistic(x):
    return 1 / (1 + np.exp(-x))


# ---------------------------------------------------------------- encode and decode


def test_encoding_is_scikit_learns_label_binarizer():
    from sklearn.preprocessing import LabelBinarizer

    labels = np.random.default_rng(0).integers(0, 7, 50)
    peer = LabelBinarizer(neg_label=-2, pos_label=3).fit(np.arange(7))
    coded = data.encode_targets(labels, 7, low=-2.0, high=3.0)
    assert coded.dtype == "float32"
    assert (coded == peer.transform(labels)).all()
    assert (data.decode_targets(coded) == peer.inverse_transform(coded)).all()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=20),
    st.floats(-10, 10),
    st.floats(0.01, 10),
    st.sampled_from(["float32", "float64"]),
)
def test_decoding_undoes_encoding(labels, low, gap, dtype):
    labels = np.array(labels)
    coded = data.encode_targets(labels, 5, low=low, high=low + gap, dtype=dtype)
    assert coded.shape == (len(labels), 5)
    assert coded.dtype == dtype
    back = data.decode_targets(coded)
    assert back.dtype == "int32"
    assert (back == labels).all()


def test_arrays_keep_their_kind_and_device_and_labels_stay_as_they_were():
    labels = mx.np.array([2, 0, 1], dtype="int32", ctx=ELSEWHERE)
    coded = data.encode_targets(labels, 3)
    back = data.decode_targets(coded)
    assert coded.ctx == back.ctx == ELSEWHERE
    assert isinstance(coded, mx.np.ndarray)
    assert coded.asnumpy().tolist() == [[-1, -1, 1], [1, -1, -1], [-1, 1, -1]]
    assert labels.asnumpy().tolist() == back.asnumpy().tolist() == [2, 0, 1]


def test_a_hybridised_net_learns_coded_targets_on_another_device():
    x, y = data.two_gaussians(rng=0)
    labels = (y > 0).astype("int32")
    net = layers.mlp(2, [], 2, device=ELSEWHERE, seed=0)
    net.add(layers.ScaledTanh())
    net.hybridize()
    targets = data.encode_targets(labels, 2)
    training.fit(net, (x, targets), loss=losses.squared_error, optimizer=optim.sgd(0.5), epochs=20)
    outputs = net(mx.np.array(x, ctx=ELSEWHERE))
    assert (data.decode_targets(outputs).asnumpy() == labels).mean() > 0.95


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (np.array([0, 3]), {}, r"1 labels out of range, the first, 3, at \[1\]"),
        (np.array([0.5, 1.0]), {}, r"the value 0.5 at \[0\]; expected class labels"),
        (np.array([[0, 1]]), {}, r"shape \(1, 2\), expected class labels"),
        (np.array([0, 1]), {"low": 1.0, "high": 1.0}, "low is 1.0 and high is 1.0; expected"),
        (np.array([0, 1]), {"high": float("nan")}, "high is nan; expected a finite"),
        (np.array([0, 1]), {"dtype": "int32"}, "dtype is 'int32'; expected one of 'float32', "),
    ],
)
def test_what_cannot_be_encoded_is_refused(labels, options, message):
    with pytest.raises(ValueError, match=message):
        data.encode_targets(labels, 3, **options)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (np.zeros(3), r"outputs have shape \(3,\); expected \(n, n_classes\)"),
        (np.zeros((3, 1)), r"shape \(3, 1\).*the sign of its distance to the middle"),
        (np.array([[0.0, 1.0], [np.nan, 0.0]]), "outputs of example 1 hold NaN.*learning rate"),
    ],
)
def test_what_cannot_be_decoded_is_refused(outputs, message):
    with pytest.raises(ValueError, match=message):
        data.decode_targets(outputs)


# ---------------------------------------------------------------- recommended targets


@pytest.mark.parametrize(
    ("activation", "low", "high"),
    [("tanh", -0.577, 0.577), ("sigmoid", 0.211, 0.789), ("scaled_tanh", -0.991, 0.991)],
)
def test_recommended_targets_are_the_published_ones(activation, low, high):
    assert layers.recommended_targets(activation) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("tanh", np.tanh),
        ("sigmoid", logistic),
        ("scaled_tanh", lambda x: 1.7159 * np.tanh(2 * x / 3)),
        (layers.ScaledTanh(2.5, 0.4), lambda x: 2.5 * np.tanh(0.4 * x)),
        (layers.ScaledTanh(1, 1, twist=0.1), lambda x: np.tanh(x) + 0.1 * x),
    ],
)
def test_the_curvature_is_largest_at_the_recommended_targets(activation, function):
    h = 1e-3

    def flatness(x):
        return -abs(function(x + h) - 2 * function(x) + function(x - h)) / h**2

    found = minimize_scalar(flatness, bounds=(0.1, 4), method="bounded", options={"xatol": 1e-8})
    expected = sorted([function(found.x), function(-found.x)])
    # The maximum is flat: rounding moves its place by far more than its value.
    assert layers.recommended_targets(activation) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("activation", ["relu", "identity", None, layers.Identity()])
def test_functions_without_two_asymptotes_have_no_recommended_targets(activation):
    with pytest.raises(ValueError, match="functions with two asymptotes"):
        layers.recommended_targets(activation)
