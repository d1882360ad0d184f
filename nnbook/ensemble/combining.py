"""Combine the outputs of several models into one prediction.

`outputs` are logits (what a network gives before softmax) of M members for n examples and C
classes, shape (M, n, C). Members that give probabilities p take part with ln p, since softmax(ln p)
is p. Everything is computed in float64.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as onp

from nnbook._arguments import check_positive, check_whole
from nnbook.ensemble.borders import (
    checked_labels,
    checked_logits,
    checked_probabilities,
    checked_weights,
    stacked,
)

__all__ = [
    "average_logits",
    "average_outputs",
    "average_probabilities",
    "mixture_weights",
    "vote",
]


def average_probabilities(outputs: Any, weights: Any = None) -> onp.ndarray:
    """Average the members' probabilities: p̄ = Σ_m w_m softmax(z_m).

    The mixture of the members: its cross-entropy is at most the mean of theirs (Jensen's
    inequality, see `jensen_gap`).

    Parameters
    ----------
    outputs : array, shape (M, n, C)
        The members' logits.
    weights : array, shape (M,), optional
        w, at least 0; divided by their sum. By default all the same.

    Returns
    -------
    numpy.ndarray, shape (n, C)
        Probabilities.

    Raises
    ------
    ValueError
        Outputs or weights of another shape, or not finite; negative weights.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import ensemble
    >>> outputs = np.log([[[0.9, 0.1]], [[0.4, 0.6]]])  # two members, one example
    >>> ensemble.average_probabilities(outputs).round(2)
    array([[0.65, 0.35]])
    """
    from scipy.special import softmax

    outputs = checked_logits(outputs, "outputs", 3)
    return onp.tensordot(checked_weights(weights, len(outputs)), softmax(outputs, axis=-1), 1)


def average_logits(outputs: Any, weights: Any = None) -> onp.ndarray:
    """Average the members' logits: softmax(Σ_m w_m z_m), proportional to Π_m p_m^(w_m).

    The renormalised geometric mean of the members' probabilities. One member that gives a class
    almost no probability vetoes it, which makes the average sharper than that of probabilities.

    Parameters
    ----------
    outputs, weights
        As for `average_probabilities`.

    Returns
    -------
    numpy.ndarray, shape (n, C)
        Probabilities.

    Raises
    ------
    ValueError
        As for `average_probabilities`.

    References
    ----------
    Hinton (2002), Training products of experts by minimizing contrastive divergence.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import ensemble
    >>> outputs = np.log([[[0.9, 0.1]], [[0.4, 0.6]]])
    >>> ensemble.average_logits(outputs).round(2)
    array([[0.71, 0.29]])
    """
    from scipy.special import softmax

    outputs = checked_logits(outputs, "outputs", 3)
    mean = onp.tensordot(checked_weights(weights, len(outputs)), outputs, 1)
    return softmax(mean, axis=-1)


def vote(outputs: Any, weights: Any = None) -> onp.ndarray:
    """Let every member vote for its most probable class; return the shares of the votes.

    Of equal outputs of one member the first has its vote.

    Parameters
    ----------
    outputs, weights
        As for `average_probabilities`.

    Returns
    -------
    numpy.ndarray, shape (n, C)
        Shares: the weights of those who voted for each class. A class without a vote gets 0, so a
        likelihood of votes may be infinite.

    Raises
    ------
    ValueError
        As for `average_probabilities`.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import ensemble
    >>> outputs = np.log([[[0.9, 0.1]], [[0.4, 0.6]], [[0.7, 0.3]], [[0.8, 0.2]]])
    >>> ensemble.vote(outputs)
    array([[0.75, 0.25]])
    """
    outputs = checked_logits(outputs, "outputs", 3)
    votes = outputs.argmax(axis=-1)[..., None] == onp.arange(outputs.shape[-1])
    return onp.tensordot(checked_weights(weights, len(outputs)), votes, 1)


def average_outputs(outputs: Any, weights: Any = None) -> onp.ndarray:
    """Average the members' outputs as they are, f̄ = Σ_m w_m f_m: for regression.

    Parameters
    ----------
    outputs : array, shape (M, n, …)
        What the members give, of any shape.
    weights : array, shape (M,), optional
        As for `average_probabilities`.

    Returns
    -------
    numpy.ndarray, shape (n, …)
        In the units of the outputs.

    Raises
    ------
    ValueError
        As for `average_probabilities`.
    """
    outputs = stacked(outputs)
    return onp.tensordot(checked_weights(weights, len(outputs)), outputs, 1)


def mixture_weights(
    probabilities: Any, labels: Any, tolerance: float = 1e-5, iterations: int = 10_000
) -> onp.ndarray:
    """Find the weights whose average of probabilities fits the labels best.

    Minimises L(w) = −(1/n) Σ_i ln Σ_m w_m p_mi over weights of at least 0 and sum 1, where p_mi is
    member m's probability of example i's label. L is convex. Expectation maximisation repeats

        w_m ← w_m g_m,   g_m = (1/n) Σ_i p_mi / Σ_k w_k p_ki,

    which never raises L, from equal weights. Since L is convex, L(w) − min L ≤ max_m g_m − 1: the
    iteration stops when this bound is within the tolerance, and so is the result.

    Parameters
    ----------
    probabilities : array, shape (M, n, C)
        The members' probabilities of validation examples, which no member was trained on.
    labels : array of int, shape (n,)
        Their classes.
    tolerance : float
        How far, in nats, the negative log-likelihood may be from the smallest there is.
    iterations : int
        At most so many.

    Returns
    -------
    numpy.ndarray, shape (M,)
        w.

    Raises
    ------
    ValueError
        Rows that are no probabilities, labels out of range, a label to which no member gives any
        probability, or a tolerance that is not above 0.

    Warns
    -----
    RuntimeWarning
        The iterations were not enough for the tolerance.

    References
    ----------
    Dempster, Laird and Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import ensemble
    >>> informed = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> ensemble.mixture_weights([informed, 1 - informed], [0, 1]).round(3)
    array([1., 0.])
    """
    tolerance = check_positive(tolerance, "tolerance")
    iterations = check_whole(iterations, "iterations")
    probabilities = checked_probabilities(probabilities, 3)
    labels = checked_labels(labels, probabilities.shape)
    likelihood = probabilities[:, onp.arange(len(labels)), labels]
    if (hopeless := likelihood.max(axis=0) == 0).any():
        raise ValueError(
            f"no member gives label {hopeless.argmax()} any probability; the likelihood is 0 for "
            "all weights. Mix in a member that gives every class some"
        )
    weights = checked_weights(None, len(likelihood))
    for _ in range(iterations):
        growth = (likelihood / (weights @ likelihood)).mean(axis=1)
        if growth.max() - 1 <= tolerance:
            return weights
        weights = weights * growth
        weights /= weights.sum()  # 1 but for rounding
    warnings.warn(
        f"after {iterations} iterations the likelihood may be {growth.max() - 1:.2g} nats from its "
        f"best, more than the tolerance {tolerance:g}",
        RuntimeWarning,
        stacklevel=2,
    )
    return weights
