"""Scores, reliability and temperature scaling."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")
import matplotlib.pyplot as plt
from hypothesis import given, settings
from hypothesis import strategies as st

from nnbook import ensemble, plots
from nnbook.runtime import np as mxnp


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)


def drawn(probabilities, rng):
    """Labels drawn from rows of probabilities."""
    return (probabilities.cumsum(axis=1) < rng.random((len(probabilities), 1))).sum(axis=1)


RNG = np.random.default_rng(8)
LOGITS = RNG.normal(scale=2, size=(20_000, 4))
P = softmax(LOGITS)
Y = drawn(P, RNG)  # what P says is true


# -------------------------------------------------------------------------------- scores


def test_scores_of_chance_and_of_certainty():
    chance, labels = np.full((6, 4), 0.25), np.array([0, 1, 2, 3, 0, 1])
    assert ensemble.negative_log_likelihood(chance, labels) == pytest.approx(np.log(4), rel=1e-15)
    assert ensemble.brier_score(chance, labels) == 0.75
    certain = np.eye(4)[labels]
    assert ensemble.negative_log_likelihood(certain, labels) == 0
    assert ensemble.brier_score(certain, labels) == 0
    assert ensemble.negative_log_likelihood(certain, (labels + 1) % 4) == np.inf
    assert ensemble.brier_score(certain, (labels + 1) % 4) == 2


@pytest.mark.parametrize("score", [ensemble.negative_log_likelihood, ensemble.brier_score])
def test_scores_are_proper(score):
    # Whoever says what they believe is expected to score best.
    assert score(P, Y) < min(score(softmax(t * LOGITS), Y) for t in (0.7, 0.9, 1.1, 1.4))


def test_arrays_of_any_kind_are_taken():
    single = P[:50].astype("float32")
    arguments = mxnp.array(single, dtype="float32"), mxnp.array(Y[:50], dtype="int32")
    for score in (ensemble.negative_log_likelihood, ensemble.brier_score):
        assert score(*arguments) == score(single, Y[:50]) == pytest.approx(score(P[:50], Y[:50]))


# --------------------------------------------------------------------------- reliability


def two_classes(confidence, accuracy, n=1000):
    """n predictions of class 0 with one confidence, and a share of them right."""
    labels = (np.arange(n) >= round(accuracy * n)).astype(int)
    return np.tile([confidence, 1 - confidence], (n, 1)), labels


@pytest.mark.parametrize(("confidence", "accuracy"), [(0.9, 0.9), (0.9, 0.7), (0.55, 1.0)])
def test_the_error_is_how_far_confidence_is_from_accuracy(confidence, accuracy):
    found = ensemble.reliability(*two_classes(confidence, accuracy))
    expected = pytest.approx(abs(confidence - accuracy), abs=1e-12)
    assert found.expected_calibration_error == expected
    assert found.maximum_calibration_error == expected


def test_bins_weigh_as_many_as_are_in_them():
    parts = [two_classes(0.95, 0.85, 300), two_classes(0.65, 0.7, 100)]
    probabilities, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    found = ensemble.reliability(probabilities, labels, bins=10)
    np.testing.assert_array_equal(found.count, [0] * 6 + [100, 0, 0, 300])
    np.testing.assert_allclose(found.confidence[[6, 9]], [0.65, 0.95])
    np.testing.assert_allclose(found.accuracy[[6, 9]], [0.7, 0.85])
    assert np.isnan(found.accuracy[:6]).all()
    assert found.expected_calibration_error == pytest.approx(0.75 * 0.1 + 0.25 * 0.05, abs=1e-12)
    assert found.maximum_calibration_error == pytest.approx(0.1, abs=1e-12)
    assert ensemble.expected_calibration_error(probabilities, labels, 10) == (
        found.expected_calibration_error
    )
    assert repr(found) == (
        "Reliability(400 examples in 10 bins, expected calibration error 0.0875)"
    )


def test_what_is_true_is_calibrated_and_what_is_sharpened_is_not():
    assert ensemble.expected_calibration_error(P, Y) < 0.012
    sharper = softmax(2 * LOGITS)
    found = ensemble.reliability(sharper, Y)
    # The true probability of what is predicted is known: P's largest.
    known = sharper.max(axis=1).mean() - P.max(axis=1).mean()
    assert found.expected_calibration_error == pytest.approx(known, rel=0.05)


def test_certainty_is_in_the_last_bin_and_an_edge_in_the_bin_below():
    found = ensemble.reliability([[1.0, 0.0], [0.5, 0.5], [0.75, 0.25]], [0, 0, 0], bins=4)
    np.testing.assert_array_equal(found.count, [0, 1, 1, 1])
    np.testing.assert_array_equal(found.edges, [0, 0.25, 0.5, 0.75, 1])


@settings(max_examples=30, deadline=None)
@given(bins=st.integers(1, 40), n=st.integers(1, 60), seed=st.integers(0, 10**6))
def test_bins_keep_every_example_and_the_means(bins, n, seed):
    rng = np.random.default_rng(seed)
    probabilities, labels = rng.dirichlet([1, 1, 1], n), rng.integers(0, 3, n)
    found = ensemble.reliability(probabilities, labels, bins)
    assert found.count.sum() == n
    some = found.count > 0
    assert (found.confidence[some] > found.edges[:-1][some] - 1e-15).all()
    assert (found.confidence[some] < found.edges[1:][some] + 1e-15).all()
    total = (found.count * np.nan_to_num(found.accuracy)).sum()
    assert total == pytest.approx((probabilities.argmax(axis=1) == labels).sum())
    whole = abs(probabilities.max(axis=1).mean() - total / n)
    expected, largest = found.expected_calibration_error, found.maximum_calibration_error
    assert whole - 1e-12 <= expected <= largest + 1e-12


# --------------------------------------------------------------------------- temperature


def test_a_temperature_of_one_is_softmax():
    np.testing.assert_allclose(ensemble.apply_temperature(LOGITS, 1), P, rtol=1e-13)
    cold, hot = (ensemble.apply_temperature(LOGITS, t) for t in (1e-4, 1e6))
    np.testing.assert_array_equal(cold.argmax(axis=1), LOGITS.argmax(axis=1))
    assert cold.max(axis=1).min() > 0.5
    np.testing.assert_allclose(hot, 0.25, atol=1e-5)


@pytest.mark.parametrize("scale", [0.2, 1.0, 30.0])
def test_a_known_temperature_is_found(scale):
    found = ensemble.fit_temperature(scale * LOGITS, Y)
    assert found == pytest.approx(scale, rel=0.03)  # as far as the labels can tell
    # It scales with the logits exactly, and does not see what softmax does not see.
    assert found == pytest.approx(scale * ensemble.fit_temperature(LOGITS, Y), rel=1e-11)
    moved = scale * (LOGITS + RNG.normal(size=(len(Y), 1)))
    assert ensemble.fit_temperature(moved, Y) == pytest.approx(found, rel=1e-9)


def test_the_closed_form_of_one_bin():
    # All predictions alike: the likeliest probability is the accuracy, so z / T = ln(a / (1 − a)).
    logits, labels = np.tile([3.0, 0.0], (100, 1)), (np.arange(100) >= 80).astype(int)
    temperature = ensemble.fit_temperature(logits, labels)
    assert temperature == pytest.approx(3 / np.log(4), rel=1e-13)
    np.testing.assert_allclose(ensemble.apply_temperature(logits, temperature)[:, 0], 0.8)


def test_no_other_temperature_is_likelier():
    logits, labels = 3 * LOGITS[:300], Y[:300]
    best = ensemble.fit_temperature(logits, labels)

    def loss(temperature):
        scaled = ensemble.apply_temperature(logits, temperature)
        return ensemble.negative_log_likelihood(scaled, labels)

    for other in best * np.array([0.3, 0.97, 0.999, 1.001, 1.03, 4]):
        assert loss(best) < loss(other)


def test_an_average_of_probabilities_is_scaled_by_its_logarithm():
    members = np.stack([LOGITS + RNG.normal(size=LOGITS.shape) for _ in range(3)])
    averaged = ensemble.average_probabilities(members)
    temperature = ensemble.fit_temperature(np.log(averaged), Y)
    scaled = ensemble.apply_temperature(np.log(averaged), temperature)
    np.testing.assert_array_equal(scaled.argmax(axis=1), averaged.argmax(axis=1))
    before, after = (ensemble.negative_log_likelihood(p, Y) for p in (averaged, scaled))
    assert after < before


# -------------------------------------------------------------------------------- plots


@pytest.fixture
def _figures():
    yield
    plt.close("all")


@pytest.mark.usefixtures("_figures")
def test_reliability_is_drawn_without_its_empty_bins():
    found = ensemble.reliability(P, Y)
    ax = plots.plot_reliability(found.confidence, found.accuracy, found.count, "true")
    diagonal, line = ax.lines
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    some = found.count > 0
    assert not some.all()
    np.testing.assert_array_equal(line.get_xdata(), found.confidence[some])
    np.testing.assert_array_equal(line.get_ydata(), found.accuracy[some])
    (points,) = ax.collections
    assert np.argsort(points.get_sizes()).tolist() == np.argsort(found.count[some]).tolist()
    plots.plot_reliability([0.5], [0.4], [3], "other", ax=ax)
    assert len(ax.lines) == 3  # one diagonal
    assert ax.lines[1].get_linestyle() != ax.lines[2].get_linestyle()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["true", "other"]


@pytest.mark.usefixtures("_figures")
def test_disagreement_is_drawn_without_its_diagonal():
    matrix = np.array([[0, 0.1, 0.25], [0.1, 0, 0.5], [0.25, 0.5, 0]])
    ax = plots.plot_disagreement(matrix, ["a", "b", "snapshot 3"])
    shown = ax.images[0].get_array()
    np.testing.assert_array_equal(np.diag(shown.mask), True)
    np.testing.assert_array_equal(shown.filled(0), 100 * matrix)
    texts = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}
    assert texts[0, 1] == "10"
    assert texts[2, 1] == "50"
    assert len(texts) == 6
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "snapshot 3"]
    assert not plots.plot_disagreement(np.zeros((12, 12))).texts  # too many to read


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.plot_reliability([1, 1], [1], [1]), "confidence has 2 bins, accuracy 1"),
        (lambda: plots.plot_reliability([1], [1], [0]), "every bin is empty"),
        (lambda: plots.plot_disagreement([[0, 1]]), r"matrix has shape \(1, 2\)"),
        (lambda: plots.plot_disagreement([[0]]), r"matrix has shape \(1, 1\)"),
        (lambda: plots.plot_disagreement(np.eye(2), ["a"]), "1 names for 2 members"),
    ],
)
def test_wrong_input_for_plots(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
    assert plt.get_fignums() == []


# ----------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ensemble.brier_score(P[0], Y[:1]), r"\(4,\); expected \(examples, classes\)"),
        (lambda: ensemble.brier_score(LOGITS, Y), "probabilities reach -"),
        (lambda: ensemble.brier_score(P * 0.9, Y), "sums to 0.9"),
        (lambda: ensemble.negative_log_likelihood(P, Y + 1), "labels out of range"),
        (lambda: ensemble.negative_log_likelihood(P[:3], [0, 1, 0.5]), "has the value 0.5"),
        (lambda: ensemble.negative_log_likelihood(P[:3] * np.nan, [0, 1, 2]), "not all finite"),
        (lambda: ensemble.reliability(P, Y, bins=0), "bins is 0"),
        (lambda: ensemble.apply_temperature(LOGITS, 0), "temperature is 0"),
        (lambda: ensemble.apply_temperature(LOGITS, np.nan), "temperature is nan"),
        (lambda: ensemble.apply_temperature(LOGITS[None], 1), r"logits have the shape \(1, "),
        (lambda: ensemble.apply_temperature([[0, -np.inf]], 1), "logits are not all finite"),
        (lambda: ensemble.fit_temperature(LOGITS, LOGITS.argmax(axis=1)), "the largest logit"),
        (lambda: ensemble.fit_temperature(LOGITS, LOGITS.argmin(axis=1)), "belong together"),
        (lambda: ensemble.fit_temperature(np.ones((2, 2)), [0, 1]), "the largest logit"),
    ],
)
def test_wrong_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
