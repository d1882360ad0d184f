"""How far probabilities can be trusted: proper scores, reliability, temperature scaling.

An ensemble's averaged probabilities p̄ can be scaled too: ln p̄ are their logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_positive, check_whole
from nnbook.ensemble.borders import checked_labels, checked_logits, checked_probabilities

__all__ = [
    "Reliability",
    "apply_temperature",
    "brier_score",
    "expected_calibration_error",
    "fit_temperature",
    "negative_log_likelihood",
    "reliability",
]


def negative_log_likelihood(probabilities: Any, labels: Any) -> float:
    """Compute the mean negative log-likelihood of the labels, −(1/n) Σ_i ln p_i(y_i).

    Parameters
    ----------
    probabilities : array, shape (n, C)
        A row for each example.
    labels : array of int, shape (n,)
        The classes.

    Returns
    -------
    float
        In nats; infinite where a label has the probability 0, as it may have after a vote.

    Raises
    ------
    ValueError
        Rows that are no probabilities, or labels out of range.

    Examples
    --------
    >>> from nnbook import ensemble
    >>> round(ensemble.negative_log_likelihood([[0.5, 0.5], [0.2, 0.8]], [0, 1]), 4)
    0.4581
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities.shape)
    with onp.errstate(divide="ignore"):
        return float(-onp.log(probabilities[onp.arange(len(labels)), labels]).mean())


def brier_score(probabilities: Any, labels: Any) -> float:
    """Compute the Brier score (1/n) Σ_i Σ_c (p_i(c) − [c = y_i])², summed over all classes.

    Parameters
    ----------
    probabilities : array, shape (n, C)
        A row for each example.
    labels : array of int, shape (n,)
        The classes.

    Returns
    -------
    float
        From 0 (certain and right) to 2 (certain and wrong).

    Raises
    ------
    ValueError
        Rows that are no probabilities, or labels out of range.

    References
    ----------
    Brier (1950), Verification of forecasts expressed in terms of probability.

    Examples
    --------
    >>> from nnbook import ensemble
    >>> round(ensemble.brier_score([[0.5, 0.5], [0.2, 0.8]], [0, 1]), 4)
    0.29
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities.shape)
    hit = labels[:, None] == onp.arange(probabilities.shape[1])
    return float(((probabilities - hit) ** 2).sum(axis=1).mean())


@dataclass(frozen=True, eq=False)
class Reliability:
    """Confidence beside accuracy, in bins of equal width.

    Attributes
    ----------
    edges : numpy.ndarray, shape (bins + 1,)
        From 0 to 1. A confidence on an edge is in the bin below it.
    confidence, accuracy : numpy.ndarray, shape (bins,)
        The mean confidence, and the share of right predictions, in each bin; NaN in an empty one.
    count : numpy.ndarray of int, shape (bins,)
        The examples in each bin.
    """

    edges: onp.ndarray
    confidence: onp.ndarray
    accuracy: onp.ndarray
    count: onp.ndarray

    @property
    def gap(self) -> onp.ndarray:
        """The distance between accuracy and confidence in every bin, 0 in an empty one."""
        return onp.nan_to_num(onp.abs(self.accuracy - self.confidence))

    @property
    def expected_calibration_error(self) -> float:
        """Σ_b (n_b / n) abs(accuracy_b − confidence_b)."""
        return float(self.count @ self.gap / self.count.sum())

    @property
    def maximum_calibration_error(self) -> float:
        """max_b abs(accuracy_b − confidence_b), however few examples are in the bin."""
        return float(self.gap.max())

    def __repr__(self) -> str:
        return (
            f"Reliability({self.count.sum():,} examples in {len(self.count)} bins, expected "
            f"calibration error {self.expected_calibration_error:.4f})"
        )


def reliability(probabilities: Any, labels: Any, bins: int = 15) -> Reliability:
    """Compare confidence, the probability of the predicted class, with accuracy.

    Parameters
    ----------
    probabilities : array, shape (n, C)
        A row for each example.
    labels : array of int, shape (n,)
        The classes.
    bins : int
        Into how many parts of equal width confidences from 0 to 1 are sorted.

    Returns
    -------
    Reliability

    Raises
    ------
    ValueError
        Rows that are no probabilities, labels out of range, or fewer bins than one.

    Notes
    -----
    With few examples in a bin its accuracy is off by luck alone, and the distance has no sign: the
    expected calibration error of a perfectly calibrated model is above 0.

    References
    ----------
    DeGroot and Fienberg (1983), The comparison and evaluation of forecasters. Naeini, Cooper and
    Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning.

    Examples
    --------
    >>> from nnbook import ensemble
    >>> ensemble.reliability([[0.7, 0.3], [0.3, 0.7], [0.7, 0.3], [0.7, 0.3]], [0, 1, 0, 1])
    Reliability(4 examples in 15 bins, expected calibration error 0.0500)
    """
    probabilities = checked_probabilities(probabilities)
    labels = checked_labels(labels, probabilities.shape)
    bins = check_whole(bins, "bins")
    right = probabilities.argmax(axis=1) == labels
    confidence = probabilities.max(axis=1).clip(max=1)  # float32 may round up
    edges = onp.linspace(0, 1, bins + 1)
    place = onp.digitize(confidence, edges[1:-1], right=True)
    count = onp.bincount(place, minlength=bins)
    some = onp.where(count > 0, count, onp.nan)
    return Reliability(
        edges=edges,
        confidence=onp.bincount(place, weights=confidence, minlength=bins) / some,
        accuracy=onp.bincount(place, weights=right, minlength=bins) / some,
        count=count,
    )


def expected_calibration_error(probabilities: Any, labels: Any, bins: int = 15) -> float:
    """Compute the mean distance between confidence and accuracy, over bins of confidence.

    Parameters
    ----------
    probabilities, labels, bins
        As for `reliability`.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        As for `reliability`.
    """
    return reliability(probabilities, labels, bins).expected_calibration_error


def apply_temperature(logits: Any, temperature: float) -> onp.ndarray:
    """Divide logits by a temperature and take the softmax: softmax(z / T).

    Parameters
    ----------
    logits : array, shape (n, C)
        z, or the logarithms of probabilities.
    temperature : float
        T > 0. Above 1 it makes probabilities flatter, below 1 sharper; the order of the classes,
        and with it the accuracy, stays.

    Returns
    -------
    numpy.ndarray, shape (n, C)
        Probabilities, float64.

    Raises
    ------
    ValueError
        T is not above 0, or the logits are not finite or of another shape.

    Examples
    --------
    >>> from nnbook import ensemble
    >>> ensemble.apply_temperature([[2.0, 0.0]], 1.0).round(3)
    array([[0.881, 0.119]])
    >>> ensemble.apply_temperature([[2.0, 0.0]], 4.0).round(3)
    array([[0.622, 0.378]])
    """
    from scipy.special import softmax

    temperature = check_positive(temperature, "temperature")
    return softmax(checked_logits(logits) / temperature, axis=1)


def fit_temperature(logits: Any, labels: Any) -> float:
    """Find the temperature under which the labels are most likely.

    The negative log-likelihood of softmax(β z) is convex in β = 1/T; its slope

        (1/n) Σ_i (Σ_c p_i(c) z_i(c) − z_i(y_i)),   p_i = softmax(β z_i),

    has one zero, which is found to rounding.

    Parameters
    ----------
    logits : array, shape (n, C)
        z of validation examples, which the model was not trained on.
    labels : array of int, shape (n,)
        Their classes.

    Returns
    -------
    float
        T: above 1 for a model that is too confident.

    Raises
    ------
    ValueError
        Logits not finite or of another shape, labels out of range; or no temperature is best:
        every label has the largest logit (T → 0), or the labels' logits are no larger than others
        in the mean (T → ∞).

    References
    ----------
    Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks.

    Examples
    --------
    >>> from nnbook import ensemble
    >>> logits = [[2.0, 0.0]] * 4  # right three times of four, which is probable at a logit of ln 3
    >>> round(ensemble.fit_temperature(logits, [0, 0, 0, 1]), 4)  # 2 / ln 3
    1.8205
    """
    from scipy.optimize import brentq
    from scipy.special import softmax

    logits = checked_logits(logits)
    labels = checked_labels(labels, logits.shape)
    logits = logits - logits[onp.arange(len(labels)), labels][:, None]  # that of the label is 0

    def slope(beta: float) -> float:
        return float((softmax(beta * logits, axis=1) * logits).sum(axis=1).mean())

    if logits.max() == 0:
        raise ValueError(
            "every label has the largest logit: the smaller the temperature, the likelier are the "
            "labels. Use more validation examples, until some are wrong"
        )
    if slope(0) >= 0:
        raise ValueError(
            "the labels' logits are not larger than others in the mean: no temperature is too "
            "high. Check that labels and logits belong together"
        )
    above = 1.0
    while slope(above) <= 0:
        above *= 2
    return 1 / float(brentq(slope, 0, above, xtol=1e-300, rtol=1e-14))
