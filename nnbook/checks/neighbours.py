"""Do inputs and labels belong together? In training, and in validation as in training?"""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook.checks.relation import LEVEL, can_be_judged, chance_of_relation
from nnbook.findings import Finding

__all__ = ["labels_of", "neighbour_findings"]

_MOST = 1000  # examples of each set that are compared


def labels_of(y: onp.ndarray) -> onp.ndarray | None:
    """Return targets as class numbers, if they are labels or one row with one 1 each."""
    if y.ndim == 1 and onp.issubdtype(y.dtype, onp.integer):
        return y.astype("int64")
    if y.ndim != 2 or y.shape[1] < 2 or not onp.isfinite(y).all():
        return None
    if (y < 0).any() or (abs(y.sum(axis=1) - 1) > 1e-3).any():
        return None
    return y.argmax(axis=1)


def neighbour_findings(
    check: str,
    data: tuple[onp.ndarray, onp.ndarray],
    held_out: tuple[onp.ndarray, onp.ndarray] | None,
    seed: int,
) -> tuple[list[Finding], dict[str, Any]]:
    """Judge whether labels go with inputs, by the nearest example and by `chance_of_relation`.

    Parameters
    ----------
    check : str
        Whose findings they are.
    data, held_out : tuple of numpy.ndarray
        ``(x, y)`` for training and for validation.
    seed : int
        Decides which examples of large sets are taken.
    """
    labels = labels_of(data[1])
    if labels is None or len(onp.unique(labels)) < 2:
        return [], {}
    rng = onp.random.default_rng(seed)
    x, y = _some(data[0], labels, rng)
    inside = float((y[_nearest(x, x, itself=False)] == y).mean())
    measured = {"neighbours_in_training": inside}
    findings: list[Finding] = []
    other = None if held_out is None else labels_of(held_out[1])
    if held_out is not None and other is not None:
        x_other, y_other = _some(held_out[0], other, rng)
        outside = float((y[_nearest(x_other, x, itself=True)] == y_other).mean())
        measured["neighbours_in_validation"] = outside
        findings = _apart(check, inside, outside, len(y), len(y_other))
    if not findings and can_be_judged(labels):
        measured["chance_of_relation"] = chance_of_relation(data[0], labels, seed)
        findings = _related(check, measured["chance_of_relation"])
    return findings, measured


def _some(x: onp.ndarray, y: onp.ndarray, rng: Any) -> tuple[onp.ndarray, onp.ndarray]:
    """Draw examples, flattened, in float64, each feature of training in its own units."""
    rows = rng.permutation(len(x))[:_MOST]
    return x[rows].reshape(len(rows), -1).astype("float64"), y[rows]


def _nearest(queries: onp.ndarray, x: onp.ndarray, itself: bool) -> onp.ndarray:
    """Return for each query which of x is nearest, another than itself if asked for."""
    distances = (x**2).sum(axis=1) - 2 * queries @ x.T
    if not itself:
        onp.fill_diagonal(distances, onp.inf)
    return distances.argmin(axis=1)


def _apart(check: str, inside: float, outside: float, n: int, m: int) -> list[Finding]:
    """Judge whether validation labels go with the training data as well as those of training."""
    middle = (inside * n + outside * m) / (n + m)
    error = (middle * (1 - middle) * (1 / n + 1 / m)) ** 0.5
    if inside - outside <= max(5 * error, 0.2):
        return []
    message = (
        f"the nearest training example has the same label for {inside:.0%} of the training data, "
        f"but for {outside:.0%} of the validation data"
    )
    advice = "inputs or labels of the two sets were prepared differently: compare some by eye"
    return [Finding(check, "error", message, advice)]


def _related(check: str, p: float) -> list[Finding]:
    """Judge whether inputs say anything about labels."""
    if p <= LEVEL:
        return []
    message = (
        "examples with the same label are no more alike than by chance: of shuffled labels "
        f"{p:.0%} look at least as related to the inputs (single features, neighbours, a linear "
        "map, squares and products; tokens): are labels and inputs related at all?"
    )
    advice = (
        "look at some examples with their labels: were both permuted, reshaped and repeated alike?"
    )
    return [Finding(check, "warning", message, advice)]
