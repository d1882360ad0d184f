"""Averages of probabilities, logits and votes, and the weights of a mixture."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from nnbook import ensemble
from nnbook.runtime import np as mxnp

RNG = np.random.default_rng(5)
LOGITS = RNG.normal(scale=2, size=(4, 30, 3))
WEIGHTS = np.array([1.0, 0.0, 2.0, 5.0])
CLASSIFY = [ensemble.average_probabilities, ensemble.average_logits, ensemble.vote]


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


def nll(weights, probabilities, labels):
    mixed = np.tensordot(weights, probabilities, 1)
    return -np.log(mixed[np.arange(len(labels)), labels]).mean()


def sharpened(members=5, n=400, spread=1.0, seed=0):
    """Members around a truth from which labels are drawn, some better than others."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(scale=2, size=(n, 4))
    noise = rng.normal(size=(members, n, 4)) * np.linspace(0.5, 2, members)[:, None, None]
    labels = (softmax(truth).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return softmax(truth + spread * noise), labels


# ------------------------------------------------------------------------------ averages


def test_probabilities_are_averaged():
    expected = sum(w / 8 * softmax(z) for w, z in zip(WEIGHTS, LOGITS, strict=True))
    found = ensemble.average_probabilities(LOGITS, WEIGHTS)
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    uniform = ensemble.average_probabilities(LOGITS)
    np.testing.assert_allclose(uniform, softmax(LOGITS).mean(axis=0), rtol=1e-14)


def test_logits_make_a_geometric_mean():
    product = np.prod(softmax(LOGITS) ** (WEIGHTS / 8)[:, None, None], axis=0)
    expected = product / product.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ensemble.average_logits(LOGITS, WEIGHTS), expected, rtol=1e-13)


def test_the_geometric_mean_is_better_than_its_members_by_their_divergence_from_it():
    labels = RNG.integers(0, 3, 30)
    mean = ensemble.average_logits(LOGITS)
    members = softmax(LOGITS)
    rows = np.arange(30)
    divergence = (mean * np.log(mean / members)).sum(axis=2).mean(axis=0)  # KL(mean ‖ member)
    gap = -np.log(members[:, rows, labels]).mean(axis=0) + np.log(mean[rows, labels])
    np.testing.assert_allclose(gap, divergence, atol=1e-13)


def test_votes_are_counted():
    outputs = [[[3, 1, 0]], [[0, 1, 2]], [[2, 1, 0]], [[0, 0, 0]]]
    np.testing.assert_array_equal(ensemble.vote(outputs), [[0.75, 0, 0.25]])  # a tie: the first
    np.testing.assert_array_equal(ensemble.vote(outputs, [1, 3, 0, 0]), [[0.25, 0, 0.75]])


def test_outputs_are_averaged_as_they_are():
    outputs = RNG.normal(size=(3, 5, 2, 2))
    np.testing.assert_allclose(ensemble.average_outputs(outputs), outputs.mean(axis=0))
    np.testing.assert_allclose(ensemble.average_outputs(outputs[..., 0, 0], [0, 1, 0])[4],
                               outputs[1, 4, 0, 0])  # fmt: skip


@pytest.mark.parametrize("combine", CLASSIFY)
@settings(max_examples=30, deadline=None)
@given(
    outputs=arrays(float, (3, 4, 5), elements=st.floats(-800, 800)),
    weights=arrays(float, 3, elements=st.floats(0.01, 1)),
)
def test_what_comes_out_is_a_distribution(combine, outputs, weights):
    found = combine(outputs, weights)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    # Neither the size of the weights nor the members' order counts.
    np.testing.assert_allclose(combine(outputs[::-1], 7 * weights[::-1]), found, atol=1e-9)


@pytest.mark.parametrize("combine", CLASSIFY)
def test_members_that_agree_are_one_member(combine):
    one = combine(LOGITS[:1])
    np.testing.assert_allclose(combine(np.repeat(LOGITS[:1], 3, axis=0)), one, rtol=1e-14)


@pytest.mark.parametrize("combine", [*CLASSIFY, ensemble.average_outputs])
def test_arrays_of_any_kind_are_taken_and_left_alone(combine):
    single = LOGITS.astype("float32")
    before = single.copy()
    found = combine(mxnp.array(single, dtype="float32"))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, combine(single))
    np.testing.assert_array_equal(single, before)


def test_logarithms_of_probabilities_are_logits():
    probabilities = softmax(LOGITS)
    found = ensemble.average_probabilities(np.log(probabilities))
    np.testing.assert_allclose(found, probabilities.mean(axis=0), rtol=1e-13)


# ------------------------------------------------------------------------------- weights


@pytest.mark.parametrize("seed", range(3))
def test_weights_are_those_of_a_general_optimiser(seed):
    probabilities, labels = sharpened(seed=seed)
    weights = ensemble.mixture_weights(probabilities, labels, tolerance=1e-9)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-15)
    reference = minimize(
        nll,
        np.full(5, 0.2),
        (probabilities, labels),
        method="SLSQP",
        bounds=[(0, 1)] * 5,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-13},
    )
    np.testing.assert_allclose(weights, reference.x, atol=2e-4)
    assert nll(weights, probabilities, labels) <= reference.fun + 1e-9


def test_every_iteration_makes_the_labels_likelier():
    probabilities, labels = sharpened(spread=0.3)
    found = [nll(np.full(5, 0.2), probabilities, labels)]
    for iterations in range(1, 40):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            weights = ensemble.mixture_weights(probabilities, labels, 1e-15, iterations)
        found.append(nll(weights, probabilities, labels))
    assert (np.diff(found) < 0).all()


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
def test_the_tolerance_is_kept(tolerance):
    probabilities, labels = sharpened()
    best = nll(ensemble.mixture_weights(probabilities, labels, 1e-12), probabilities, labels)
    found = nll(ensemble.mixture_weights(probabilities, labels, tolerance), probabilities, labels)
    assert best <= found <= best + tolerance


def test_the_share_of_each_expert_is_found():
    # Each label is certain to one member alone: its weight is the share of such labels.
    labels = np.zeros(10, dtype=int)
    expert = np.repeat([0, 1, 2], [5, 3, 2])
    right = np.eye(3)[:, expert]
    probabilities = np.stack([right, 1 - right], axis=2)
    found = ensemble.mixture_weights(probabilities, labels, tolerance=1e-12)
    np.testing.assert_allclose(found, [0.5, 0.3, 0.2], atol=1e-9)


def test_too_few_iterations_are_said():
    probabilities, labels = sharpened()
    with pytest.warns(RuntimeWarning, match="after 3 iterations .* more than the tolerance 1e-09"):
        ensemble.mixture_weights(probabilities, labels, 1e-9, 3)


# ----------------------------------------------------------------------------- bad input

P = softmax(LOGITS)
Y = np.zeros(30, dtype=int)
BROKEN = LOGITS.copy()
BROKEN[2, 7, 1] = np.nan


@pytest.mark.parametrize("combine", CLASSIFY)
@pytest.mark.parametrize(
    ("outputs", "weights", "message"),
    [
        (LOGITS[0], None, r"the shape \(30, 3\); expected \(members, examples, classes\)"),
        (LOGITS[..., :1], None, "at least two classes"),
        (LOGITS[:0], None, r"\(0, 30, 3\)"),
        (BROKEN, None, "outputs of member 2 are not all finite"),
        (LOGITS, [1, 1], r"weights have the shape \(2,\); expected \(4,\)"),
        (LOGITS, [1, 1, 1, -1], "at least 0"),
        (LOGITS, [0, 0, 0, 0], "not all 0"),
        (LOGITS, [1, 1, 1, np.inf], "finite"),
    ],
)
def test_wrong_outputs_and_weights(combine, outputs, weights, message):
    with pytest.raises(ValueError, match=message):
        combine(outputs, weights)


@pytest.mark.parametrize(
    ("probabilities", "labels", "settings", "message"),
    [
        (LOGITS, Y, {}, "probabilities reach .*apply_temperature"),
        (P / 2, Y, {}, r"sums to 0\.5; expected 1"),
        (P, Y + 3, {}, r"labels out of range, the first, 3, at \[0\]"),
        (P, Y[:-1], {}, "29 labels for 30 examples"),
        ([[[1.0, 0.0], [1.0, 0.0]]], [0, 1], {}, "no member gives label 1 any probability"),
        (P, Y, {"tolerance": 0}, "tolerance is 0"),
        (P, Y, {"iterations": 0}, "iterations is 0"),
    ],
)
def test_wrong_input_for_weights(probabilities, labels, settings, message):
    with pytest.raises(ValueError, match=message):
        ensemble.mixture_weights(probabilities, labels, **settings)
