"""Do inputs and labels belong together? The nearest neighbour knows."""

from __future__ import annotations

from typing import Any

import numpy as onp

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
    """Predict labels by the nearest training example, and judge how well that works.

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
    if not findings:
        findings = _at_random(check, inside, x, y)
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


def _linear_accuracy(x: onp.ndarray, y: onp.ndarray) -> float:
    """Return how often a linear map of one half of the examples predicts the labels of the other.

    It is fitted by least squares with a small penalty, in its dual form: as large as the half.
    """
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    targets = onp.eye(int(y.max()) + 1)[y] - onp.bincount(y) / len(y)
    half, right = len(y) // 2, 0
    for fit, test in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
        kernel = z[fit] @ z[fit].T
        kernel += 0.1 * max(onp.trace(kernel) / len(kernel), 1e-12) * onp.eye(len(kernel))
        predicted = z[test] @ (z[fit].T @ onp.linalg.solve(kernel, targets[fit]))
        right += int((predicted.argmax(axis=1) == y[test]).sum())
    return right / len(y)


def _at_random(check: str, inside: float, x: onp.ndarray, y: onp.ndarray) -> list[Finding]:
    """Judge whether inputs say anything about labels: by neighbours, or else by a linear map."""
    y = onp.unique(y, return_inverse=True)[1]
    shares = onp.bincount(y) / len(y)
    by_chance, largest = float((shares**2).sum()), float(shares.max())
    if len(y) < 100 or inside > by_chance + 4 * (by_chance * (1 - by_chance) / len(y)) ** 0.5:
        return []
    if _linear_accuracy(x, y) > largest + 3 * (largest * (1 - largest) / len(y)) ** 0.5:
        return []
    message = (
        f"an example's nearest neighbour has the same label in {inside:.0%} of the cases, which is "
        f"no more than by chance, and a linear map predicts no better: are labels and inputs "
        "related at all?"
    )
    advice = (
        "look at some examples with their labels: were both permuted, reshaped and repeated alike?"
    )
    return [Finding(check, "warning", message, advice)]
