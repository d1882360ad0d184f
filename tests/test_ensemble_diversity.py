"""Two identities of averages, and how often members disagree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nnbook import ensemble

values = st.floats(-100, 100)
shares = arrays(float, 4, elements=st.floats(0.01, 1))


# ----------------------------------------------------------------------------- ambiguity


@settings(max_examples=30, deadline=None)
@given(
    outputs=arrays(float, (4, 6, 3), elements=values),
    targets=arrays(float, (6, 3), elements=values),
    weights=shares,
)
def test_the_error_of_the_mean_is_the_mean_error_less_the_ambiguity(outputs, targets, weights):
    found = ensemble.ambiguity(outputs, targets, weights)
    assert found.mean_ambiguity >= 0
    difference = found.mean_error - found.mean_ambiguity
    assert found.ensemble_error == pytest.approx(difference, rel=1e-12, abs=1e-11)


def test_each_term_is_what_it_says():
    rng = np.random.default_rng(0)
    outputs, targets = rng.normal(size=(3, 20)), rng.normal(size=20)
    weights = np.array([0.2, 0.5, 0.3])
    mean = weights @ outputs
    found = ensemble.ambiguity(outputs, targets, weights)
    assert found.ensemble_error == pytest.approx(((mean - targets) ** 2).mean(), rel=1e-14)
    expected = weights @ ((outputs - targets) ** 2).mean(axis=1)
    assert found.mean_error == pytest.approx(expected, rel=1e-14)
    expected = weights @ ((outputs - mean) ** 2).mean(axis=1)
    assert found.mean_ambiguity == pytest.approx(expected, rel=1e-14)
    assert found.ensemble_error == pytest.approx(found.mean_error - found.mean_ambiguity, abs=1e-12)


def test_independent_errors_average_away():
    outputs = np.random.default_rng(1).normal(size=(16, 20_000))  # variance 1 about the target
    found = ensemble.ambiguity(outputs, np.zeros(20_000))
    assert found.mean_error == pytest.approx(1, rel=0.02)
    assert found.ensemble_error == pytest.approx(1 / 16, rel=0.05)


# -------------------------------------------------------------------------------- Jensen


@settings(max_examples=30, deadline=None)
@given(
    outputs=arrays(float, (4, 6, 3), elements=values),
    labels=arrays(int, 6, elements=st.integers(0, 2)),
    weights=shares,
)
def test_averaging_probabilities_never_costs(outputs, labels, weights):
    gap = ensemble.jensen_gap(outputs, labels, weights)
    assert gap.shape == (6,)
    assert gap.min() >= -1e-12


def test_the_gap_is_the_difference_of_the_cross_entropies():
    rng = np.random.default_rng(2)
    outputs, labels = rng.normal(size=(5, 40, 3)), rng.integers(0, 3, 40)
    weights = rng.random(5)
    alone = [
        ensemble.negative_log_likelihood(ensemble.average_probabilities(member[None]), labels)
        for member in outputs
    ]
    together = ensemble.negative_log_likelihood(
        ensemble.average_probabilities(outputs, weights), labels
    )
    expected = weights @ alone / weights.sum() - together
    assert ensemble.jensen_gap(outputs, labels, weights).mean() == pytest.approx(
        expected, abs=1e-14
    )
    assert expected > 0.01


def test_there_is_no_gap_between_equals_nor_without_weight():
    outputs = np.random.default_rng(3).normal(size=(3, 10, 4))
    labels = np.arange(10) % 4
    same = np.repeat(outputs[:1], 3, axis=0)
    np.testing.assert_allclose(ensemble.jensen_gap(same, labels), 0, atol=1e-14)
    np.testing.assert_allclose(ensemble.jensen_gap(outputs, labels, [0, 1, 0]), 0, atol=1e-14)


def test_a_confident_member_that_is_wrong_overflows_nothing():
    gap = ensemble.jensen_gap([[[0.0, 5000.0]], [[0.0, 0.0]]], [0])
    # −(−5000 − ln 2)/2 + ln(1/4)
    np.testing.assert_allclose(gap, [2500 + np.log(2) / 2 - np.log(4)], rtol=1e-14)


# -------------------------------------------------------------------------- disagreement


def test_disagreement_is_counted_in_pairs():
    predicted = np.array([[0, 1, 2, 0], [0, 1, 1, 1], [2, 2, 2, 0]])
    found = ensemble.disagreement(np.eye(3)[predicted])
    np.testing.assert_array_equal(found, [[0, 0.5, 0.5], [0.5, 0, 1], [0.5, 1, 0]])


# ----------------------------------------------------------------------------- bad input

LOGITS = np.random.default_rng(4).normal(size=(3, 5, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ensemble.ambiguity(LOGITS, np.zeros(5)), r"targets have the shape \(5,\)"),
        (lambda: ensemble.ambiguity([1.0, 2.0], 1.0), r"outputs have the shape \(2,\)"),
        (lambda: ensemble.ambiguity([[1.0], [np.inf]], [1.0]), "member 1 are not all finite"),
        (lambda: ensemble.ambiguity([[1.0], [2.0]], [np.nan]), "targets .* not all finite"),
        (lambda: ensemble.ambiguity([[1.0], [2.0]], [1.0], [1]), r"weights have the shape \(1,\)"),
        (lambda: ensemble.jensen_gap(LOGITS, [0, 1, 0, 1, 2]), "label.*out of range"),
        (lambda: ensemble.jensen_gap(LOGITS, [0, 1, 0, 1]), "4 labels for 5 examples"),
        (lambda: ensemble.jensen_gap(LOGITS, [0, 1, 0, 1, 1], [1, -1, 1]), "at least 0"),
        (lambda: ensemble.disagreement(LOGITS[0]), r"outputs have the shape \(5, 2\)"),
    ],
)
def test_wrong_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
