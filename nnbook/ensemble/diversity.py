"""Why averaging helps: how much members disagree, and exactly what that is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook.ensemble.borders import checked_labels, checked_logits, checked_weights, finite, stacked

__all__ = ["Ambiguity", "ambiguity", "disagreement", "jensen_gap"]


@dataclass(frozen=True)
class Ambiguity:
    """The squared error of an average, taken apart: ensemble = mean − ambiguity.

    Attributes
    ----------
    ensemble_error : float
        Mean over the examples of ‖f̄ − y‖², in squared units of the targets.
    mean_error : float
        The members' own squared errors ‖f_m − y‖², averaged with their weights.
    mean_ambiguity : float
        The members' squared distances ‖f_m − f̄‖² from the average, averaged alike.
    """

    ensemble_error: float
    mean_error: float
    mean_ambiguity: float


def ambiguity(outputs: Any, targets: Any, weights: Any = None) -> Ambiguity:
    """Take the squared error of the averaged outputs apart.

    With f̄ = Σ_m w_m f_m, for every example and every target y,

        ‖f̄ − y‖² = Σ_m w_m ‖f_m − y‖² − Σ_m w_m ‖f_m − f̄‖².

    The average is better than its members are in the mean, by as much as they differ.

    Parameters
    ----------
    outputs : array, shape (M, n) or (M, n, k)
        What the members give.
    targets : array, shape (n,) or (n, k)
        y, in the same units.
    weights : array, shape (M,), optional
        w, at least 0; divided by their sum. By default all the same.

    Returns
    -------
    Ambiguity
        Means over the examples, each computed on its own.

    Raises
    ------
    ValueError
        Shapes that do not fit, numbers that are not finite, negative weights.

    References
    ----------
    Krogh and Vedelsby (1995), Neural network ensembles, cross validation, and active learning.

    Examples
    --------
    >>> from nnbook import ensemble
    >>> ensemble.ambiguity([[1.0, 2.0], [3.0, 0.0]], [2.0, 2.0])
    Ambiguity(ensemble_error=0.5, mean_error=1.5, mean_ambiguity=1.0)
    """
    outputs = stacked(outputs)
    targets = finite(targets, "targets")
    if targets.shape != outputs.shape[1:]:
        raise ValueError(
            f"targets have the shape {targets.shape}; expected {outputs.shape[1:]}, that of each "
            "member's outputs"
        )
    weights = checked_weights(weights, len(outputs))
    mean = onp.tensordot(weights, outputs, 1)
    return Ambiguity(
        ensemble_error=float(_squared(mean - targets)),
        mean_error=float(weights @ [_squared(member - targets) for member in outputs]),
        mean_ambiguity=float(weights @ [_squared(member - mean) for member in outputs]),
    )


def _squared(difference: onp.ndarray) -> float:
    """Return the squared length of an example's difference, averaged over the examples."""
    return float((difference**2).sum() / len(difference))


def jensen_gap(outputs: Any, labels: Any, weights: Any = None) -> onp.ndarray:
    """Compute what averaging probabilities saves of the cross-entropy, for every example.

    The logarithm is concave, so for every label y

        Σ_m w_m (−ln p_m(y)) − (−ln Σ_m w_m p_m(y)) ≥ 0,

    with equality where all members give the label the same probability.

    Parameters
    ----------
    outputs : array, shape (M, n, C)
        The members' logits, or the logarithms of their probabilities.
    labels : array of int, shape (n,)
        The classes.
    weights : array, shape (M,), optional
        w, at least 0; divided by their sum. By default all the same.

    Returns
    -------
    numpy.ndarray, shape (n,)
        In nats; at least 0 but for rounding.

    Raises
    ------
    ValueError
        Shapes that do not fit, numbers that are not finite, labels out of range, negative weights.

    References
    ----------
    Jensen (1906), Sur les fonctions convexes et les inégalités entre les valeurs moyennes.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import ensemble
    >>> outputs = np.log([[[0.8, 0.2]], [[0.2, 0.8]]])
    >>> ensemble.jensen_gap(outputs, [0])  # ln 0.5 − (ln 0.8 + ln 0.2) / 2
    array([0.22314355])
    """
    from scipy.special import log_softmax, logsumexp

    outputs = checked_logits(outputs, "outputs", 3)
    labels = checked_labels(labels, outputs.shape)
    weights = checked_weights(weights, len(outputs))
    logarithms = log_softmax(outputs, axis=-1)[:, onp.arange(len(labels)), labels]
    return logsumexp(logarithms, axis=0, b=weights[:, None]) - weights @ logarithms


def disagreement(outputs: Any) -> onp.ndarray:
    """Count on which share of the examples two members predict different classes.

    Parameters
    ----------
    outputs : array, shape (M, n, C)
        The members' logits or probabilities.

    Returns
    -------
    numpy.ndarray, shape (M, M)
        Symmetric, with zeros on the diagonal.

    Raises
    ------
    ValueError
        Outputs of another shape, or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import ensemble
    >>> outputs = np.array([[[2, 1], [0, 1]], [[0, 3], [0, 1]]])  # two members, two examples
    >>> ensemble.disagreement(outputs)
    array([[0. , 0.5],
           [0.5, 0. ]])
    """
    predicted = checked_logits(outputs, "outputs", 3).argmax(axis=-1)
    return (predicted[:, None] != predicted[None]).mean(axis=-1)
