"""Standardize, PCAWhiten, ZCAWhiten."""

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from nnbook import data
from nnbook.data._kept import transformer_from, transformer_tree
from nnbook.runtime import mx, np

ALL = [data.Standardize, data.PCAWhiten, data.ZCAWhiten]


def correlated(n=300, width=6, seed=0):
    rng = onp.random.default_rng(seed)
    return rng.standard_normal((n, width)) @ rng.standard_normal((width, width)) + 5


def constant_and_dependent(n=50):
    """Columns: a, b, a + b, 0.1 (whose float64 mean is not 0.1), 0."""
    a, b = onp.random.default_rng(1).standard_normal((2, n))
    return onp.stack([a, b, a + b, onp.full(n, 0.1), onp.zeros(n)], axis=1)


def matrices(dtype="float64"):
    width = 64 if dtype == "float64" else 32
    return arrays(
        dtype,
        st.tuples(st.integers(2, 12), st.integers(1, 4)),
        elements=st.floats(-1000, 1000, width=width),
    )


# ----------------------------------------------------------------------- against scikit-learn


def test_standardize_equals_scikit_learn():
    x = correlated()
    ours, theirs = data.Standardize().fit(x), StandardScaler().fit(x)
    assert ours.transform(x) == pytest.approx(theirs.transform(x), abs=1e-10)
    assert ours.mean_ == pytest.approx(theirs.mean_, rel=1e-12)
    assert ours.var_ == pytest.approx(theirs.var_, rel=1e-12)
    assert ours.n_seen_ == 300


@pytest.mark.parametrize("n_components", [None, 2])
@pytest.mark.parametrize("whiten", [True, False])
def test_pca_equals_scikit_learn(n_components, whiten):
    x = correlated()
    ours = data.PCAWhiten(n_components, whiten=whiten).fit(x)
    theirs = PCA(n_components, whiten=whiten, svd_solver="full").fit(x)
    sign = onp.sign((ours.components_ * theirs.components_).sum(axis=1))
    assert ours.transform(x) == pytest.approx(theirs.transform(x) * sign, abs=1e-6)
    assert ours.eigenvalues_ == pytest.approx(theirs.explained_variance_, rel=1e-9)
    z = ours.transform(x)
    assert ours.inverse_transform(z) == pytest.approx(theirs.inverse_transform(z * sign), abs=1e-6)


def test_digits_equal_scikit_learn():
    """Real data: three pixels are constant, and variances differ by a factor of a million."""
    x = data.load_digits_8x8()[0].astype("float64")
    assert data.Standardize().fit_transform(x) == pytest.approx(
        StandardScaler().fit_transform(x), abs=1e-6
    )
    ours = data.PCAWhiten().fit(x)
    assert ours.n_components_ == 61
    theirs = PCA(61, whiten=True, svd_solver="full").fit(x)
    sign = onp.sign((ours.components_ * theirs.components_).sum(axis=1))
    assert ours.eigenvalues_ == pytest.approx(theirs.explained_variance_, rel=1e-6)
    assert ours.transform(x) == pytest.approx(theirs.transform(x) * sign, abs=1e-6)
    back = theirs.inverse_transform(theirs.transform(x))
    assert ours.inverse_transform(ours.transform(x)) == pytest.approx(back, abs=1e-6)


def test_zca_is_the_symmetric_root():
    x = correlated()
    white = data.ZCAWhiten().fit(x)
    covariance = onp.cov(x, rowvar=False)
    matrix = white.transform(x[0] + onp.eye(6)) - white.transform(x[:1])
    assert matrix == pytest.approx(matrix.T, abs=1e-10)
    assert matrix @ covariance @ matrix == pytest.approx(onp.eye(6), abs=1e-8)


# ------------------------------------------------------------------------------- properties


@settings(max_examples=40, deadline=None)
@given(matrices())
def test_standardize_inverts(x):
    step = data.Standardize().fit(x)
    assert step.inverse_transform(step.transform(x)) == pytest.approx(x, rel=1e-9, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(matrices("float32"))
def test_standardized_float32_has_mean_0_and_deviation_0_or_1(x):
    z = data.Standardize().fit_transform(x)
    assert z.dtype == "float32"
    assert onp.isfinite(z).all()
    varies = x.min(axis=0) < x.max(axis=0)
    assert (z[:, ~varies] == 0).all()  # exactly
    normal = onp.ptp(x.astype("float64"), axis=0) > 1e-30  # below, float32 has no room to show it
    assert z[:, normal].mean(axis=0, dtype="float64") == pytest.approx(0, abs=1e-5)
    assert z[:, normal].std(axis=0, dtype="float64") == pytest.approx(1, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 8), st.sampled_from([data.PCAWhiten, data.ZCAWhiten]))
def test_whitened_covariance_is_the_identity_and_inverts(seed, width, kind):
    x = correlated(60, width, seed)
    white = kind()
    z = white.fit_transform(x)
    assert onp.cov(z, rowvar=False) == pytest.approx(onp.eye(width), abs=1e-5)
    assert white.inverse_transform(z) == pytest.approx(x, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(matrices(), st.lists(st.integers(1, 11), max_size=3))
def test_parts_give_what_the_whole_gives(x, cuts):
    parts = [part for part in onp.split(x, sorted(c for c in cuts if c < len(x))) if len(part)]
    whole, streamed = data.Standardize().fit(x), data.Standardize()
    for part in parts:
        assert streamed.partial_fit(part) is streamed
    assert streamed.n_seen_ == len(x)
    assert streamed.mean_ == pytest.approx(whole.mean_, rel=1e-12, abs=1e-9)
    assert streamed.var_ == pytest.approx(whole.var_, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", [data.PCAWhiten, data.ZCAWhiten])
def test_covariance_in_parts(kind):
    x = correlated(9000) * [1, 10, 100, 1, 1, 1] + 1000  # more than one chunk, far from 0
    streamed = kind()
    for part in onp.split(x, [1, 17, 5000]):
        streamed.partial_fit(part)
        if streamed.n_seen_ > 1:
            assert streamed.eigenvalues_[0] > 0  # looked at in between, and up to date afterwards
    exact = onp.linalg.eigvalsh(onp.cov(x, rowvar=False))[::-1]
    assert streamed.eigenvalues_ == pytest.approx(exact, rel=1e-9)
    assert streamed.transform(x) == pytest.approx(kind().fit(x).transform(x), abs=1e-6)


@pytest.mark.parametrize("kind", ALL)
def test_one_example_at_a_time(kind):
    x = constant_and_dependent() + 100
    streamed = kind()
    for row in x:
        streamed.partial_fit(row[None])
    assert streamed.n_seen_ == len(x)
    assert streamed.transform(x) == pytest.approx(kind().fit(x).transform(x), abs=1e-6)


def test_after_one_example():
    x = correlated()
    step = data.Standardize().partial_fit(x[:1])
    assert step.transform(x[:1]).tolist() == [[0] * 6]
    assert step.inverse_transform(step.transform(x)) == pytest.approx(x)
    white = data.PCAWhiten().partial_fit(x[:1])
    with pytest.raises(ValueError, match="1 training examples are all equal"):
        white.transform(x)
    assert white.partial_fit(x[1:]).eigenvalues_ == pytest.approx(
        data.PCAWhiten().fit(x).eigenvalues_
    )


# ---------------------------------------------------------------------------- degenerate data


def test_constant_feature_becomes_zero_and_comes_back():
    x = constant_and_dependent()
    step = data.Standardize()
    z = step.fit_transform(x)
    assert (z[:, 3:] == 0).all()
    assert (step.inverse_transform(z)[:, 3:] == [0.1, 0]).all()
    assert (step.scale_[3:] == 1).all()
    z = step.transform(x + 2)
    assert z[:, 3] == pytest.approx(2)


@pytest.mark.parametrize("kind", [data.PCAWhiten, data.ZCAWhiten])
def test_flat_directions_are_dropped(kind):
    x = constant_and_dependent()
    white = kind().fit(x)
    z = white.transform(x)
    assert white.n_components_ == 2
    assert white.eigenvalues_.shape == (2,)
    assert white.components_.shape == (2, 5)
    assert z.shape[1] == (2 if kind is data.PCAWhiten else 5)
    assert onp.isfinite(z).all()
    assert onp.linalg.eigvalsh(onp.cov(z, rowvar=False))[-2:] == pytest.approx(1, abs=1e-8)
    assert white.inverse_transform(z) == pytest.approx(x, abs=1e-9)
    if kind is data.ZCAWhiten:
        assert z[:, 3:] == pytest.approx(0, abs=1e-9)


def test_fewer_examples_than_features():
    x = correlated(4, 6)
    white = data.PCAWhiten().fit(x)
    assert white.n_components_ == 3
    assert white.inverse_transform(white.transform(x)) == pytest.approx(x, abs=1e-8)


def test_n_components_and_epsilon():
    x = correlated()
    full, two = data.PCAWhiten().fit(x), data.PCAWhiten(2, epsilon=0.5).fit(x)
    assert two.components_ == pytest.approx(full.components_[:2])
    assert (two.components_[onp.arange(2), abs(two.components_).argmax(axis=1)] > 0).all()
    expected = full.eigenvalues_[:2] / (full.eigenvalues_[:2] + 0.5)
    assert onp.var(two.transform(x), axis=0, ddof=1) == pytest.approx(expected)
    zca = data.ZCAWhiten(n_components=2).fit(x)
    assert onp.linalg.matrix_rank(zca.transform(x)) == 2


def test_decorrelate_only():
    x = correlated()
    z = data.PCAWhiten(whiten=False).fit_transform(x)
    covariance = onp.cov(z, rowvar=False)
    assert covariance == pytest.approx(onp.diag(onp.diag(covariance)), abs=1e-9)
    assert onp.trace(covariance) == pytest.approx(onp.trace(onp.cov(x, rowvar=False)))


def test_centre_only():
    x = correlated()
    assert data.Standardize(scale=False).fit_transform(x) == pytest.approx(x - x.mean(axis=0))


def test_fit_forgets():
    x = correlated()
    step = data.Standardize().fit(x * 7).fit(x)
    assert step.n_seen_ == len(x)
    assert step.mean_ == pytest.approx(x.mean(axis=0))
    white = data.PCAWhiten().fit(x * 7).fit(x)
    assert white.eigenvalues_ == pytest.approx(data.PCAWhiten().fit(x).eigenvalues_)


# --------------------------------------------------------------------------- kinds of arrays


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mxnet_arrays_stay_on_their_device(kind, dtype):
    x = correlated().astype(dtype)
    device = mx.cpu(1)
    on_device = np.array(x, dtype=dtype, ctx=device)
    step = kind().fit(on_device)
    z = step.transform(on_device)
    back = step.inverse_transform(z)
    for result in (z, back):
        assert isinstance(result, np.ndarray)
        assert result.ctx == device
        assert result.dtype == dtype
    expected = kind().fit(x).transform(x)
    assert expected.dtype == dtype
    assert z.asnumpy() == pytest.approx(expected, abs=1e-6)
    assert back.asnumpy() == pytest.approx(x, abs=1e-4)
    legacy = step.transform(on_device.as_nd_ndarray())
    assert type(legacy) is mx.nd.NDArray
    assert legacy.ctx == device


@pytest.mark.parametrize("kind", ALL)
def test_nothing_of_the_callers_changes(kind):
    x = correlated()
    kept = x.copy()
    x.flags.writeable = False
    step = kind().fit(x)
    step.inverse_transform(step.transform(x))
    assert (x == kept).all()


def test_integers_become_float32():
    x = onp.array([[0, 255], [255, 0]], dtype="uint8")
    z = data.Standardize().fit_transform(x)
    assert z.dtype == "float32"
    assert z.tolist() == [[-1, 1], [1, -1]]


# ---------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1.0, 2.0], [3.0]], ValueError, "x is a list whose rows differ in length"),
        ({"a": 1}, TypeError, "x is a dict, expected a NumPy or MXNet array"),
        (onp.array([["a", "b"]]), TypeError, "x has the dtype <U1, expected real numbers"),
        (onp.ones((2, 2), complex), TypeError, "dtype complex128, expected real"),
        (onp.ones(3), ValueError, r"shape \(3,\), expected \(n, features\)"),
        (onp.ones((3, 2, 2)), ValueError, r"shape \(3, 2, 2\).*Flatten images"),
        (onp.ones((0, 2)), ValueError, r"shape \(0, 2\), expected .* at least one"),
        (onp.ones((2, 0)), ValueError, r"shape \(2, 0\), expected .* at least one"),
        (onp.array([[1, 2], [3, onp.nan]]), ValueError, r"1 values that are NaN .* nan, at \[1, 1"),
        (onp.array([[-onp.inf, 2], [3, 4]]), ValueError, r"-inf, at \[0, 0\].*Remove"),
        (onp.array([[1e200, 2], [3, 4]]), ValueError, "beyond ±1e140.*Divide"),
    ],
)
def test_fit_refuses(kind, x, error, message):
    step = kind()
    with pytest.raises(error, match=message):
        step.fit(x)
    with pytest.raises(RuntimeError, match="has not been fitted"):
        step.transform(onp.ones((2, 2)))


@pytest.mark.parametrize("kind", ALL)
def test_not_fitted(kind):
    for use in (kind().transform, kind().inverse_transform):
        with pytest.raises(RuntimeError, match=rf"{kind.__name__} has not been fitted.*\.fit\("):
            use(onp.ones((2, 2)))
    with pytest.raises(RuntimeError, match="has not been fitted"):
        kind().mean_  # noqa: B018


@pytest.mark.parametrize("kind", ALL)
def test_wrong_width_and_nan_after_fit(kind):
    step = kind().fit(correlated(width=3))
    for use in (step.transform, step.inverse_transform, step.partial_fit):
        with pytest.raises(ValueError, match="x has 4 features, expected 3, as many as were fitte"):
            use(onp.ones((2, 4)))
        with pytest.raises(ValueError, match="NaN"):
            use(onp.full((2, 3), onp.nan))
    assert step.n_seen_ == 300  # nothing of the refused parts was learned


@pytest.mark.parametrize("kind", [data.PCAWhiten, data.ZCAWhiten])
def test_nothing_varies(kind):
    with pytest.raises(ValueError, match="5 training examples are all equal"):
        kind().fit(onp.full((5, 2), 0.1))
    with pytest.raises(ValueError, match="1 training examples are all equal; expected at least"):
        kind().fit(onp.ones((1, 2)))


def test_refused_fit_keeps_what_was_learned():
    x = correlated(width=2)
    white = data.PCAWhiten().fit(x)
    with pytest.raises(ValueError, match="all equal"):
        white.fit(onp.ones((3, 2)))
    assert white.transform(x) == pytest.approx(data.PCAWhiten().fit(x).transform(x))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"n_components": 0},
            ValueError,
            "n_components is 0; expected a whole number of at least 1",
        ),
        ({"n_components": 0.9}, TypeError, "n_components is 0.9; expected a whole number"),
        ({"epsilon": -1.0}, ValueError, "epsilon is -1.0; expected a finite number"),
        ({"epsilon": "small"}, TypeError, "epsilon is 'small'; expected a finite number"),
    ],
)
@pytest.mark.parametrize("kind", [data.PCAWhiten, data.ZCAWhiten])
def test_bad_parameters(kind, arguments, error, message):
    with pytest.raises(error, match=message):
        kind(**arguments)


def test_more_components_than_features():
    with pytest.raises(ValueError, match="n_components is 7, expected at most 6"):
        data.PCAWhiten(7).fit(correlated())


def test_sequences_are_standardized_by_feature(tmp_path):
    x = onp.random.default_rng(0).normal(5.0, 2.0, (30, 7, 3)) * [1.0, 10.0, 100.0]
    step = data.Standardize(sequences=True).fit(x)
    flat = data.Standardize().fit(x.reshape(-1, 3))
    onp.testing.assert_allclose(step.mean_, flat.mean_)
    z = step.transform(np.array(x, dtype="float64"))
    assert isinstance(z, np.ndarray)
    assert z.shape == x.shape
    onp.testing.assert_allclose(z.asnumpy().mean(axis=(0, 1)), 0, atol=1e-12)
    onp.testing.assert_allclose(step.inverse_transform(step.transform(x)), x)
    again = transformer_from(transformer_tree(step))
    onp.testing.assert_array_equal(again.transform(x), step.transform(x))
    with pytest.raises(ValueError, match=r"expected \(n, steps, features\)"):
        step.transform(x[0])
    with pytest.raises(ValueError, match="sequences=True"):
        data.Standardize().fit(x)


def test_tables_and_lists_are_split_and_standardized():
    pandas = pytest.importorskip("pandas")
    x = onp.random.default_rng(0).normal(size=(20, 2))
    frame = pandas.DataFrame(x, columns=["a", "b"])
    parts = data.train_test_split(frame, list(range(20)), test_size=5, rng=1)
    expected = data.train_test_split(x, onp.arange(20), test_size=5, rng=1)
    for part, one in zip(parts, expected, strict=True):
        onp.testing.assert_array_equal(part, one)
    scaled = data.Standardize().fit_transform(frame)
    onp.testing.assert_array_equal(scaled, data.Standardize().fit_transform(x))
