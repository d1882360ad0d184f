"""The training loop in twenty lines: to read before the engine, and to hold it to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["train_plainly"]


def train_plainly(
    theta: np.ndarray,
    loss: Callable[[np.ndarray, np.ndarray], float],
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray],
    rule: Any,
    n: int,
    batch_size: int = 32,
    epochs: int = 10,
    seed: int = 0,
) -> tuple[np.ndarray, list[float]]:
    """Train by minibatch gradient descent, with nothing but what that means.

    Parameters
    ----------
    theta : numpy.ndarray, shape (P,)
        θ to start from; it is not changed.
    loss, gradient : callable
        ``loss(theta, rows)`` and ``gradient(theta, rows)``: mean loss and ∇L of some examples.
    rule : Optimizer
        Of `nnbook.optim`.
    n, batch_size, epochs, seed : int
        How many examples there are, and as for `nnbook.training.fit`.

    Returns
    -------
    theta : numpy.ndarray, shape (P,)
        θ after the last step.
    losses : list of float
        The mean loss of each epoch, every example's before the step that it took part in.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import optim
    >>> from nnbook.training import train_plainly
    >>> x = np.array([1.0, 2.0, 3.0, 4.0])
    >>> theta, losses = train_plainly(
    ...     np.zeros(1), lambda theta, rows: ((theta - x[rows]) ** 2).mean() / 2,
    ...     lambda theta, rows: (theta - x[rows]).mean(keepdims=True),
    ...     optim.sgd(0.5), n=4, batch_size=4, epochs=20)
    >>> round(float(theta[0]), 4)
    2.5
    """
    state, losses = rule.init(theta), []
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng([seed, epoch]).permutation(n)
        total = 0.0
        for start in range(0, n, batch_size):
            rows = order[start : start + batch_size]
            total += len(rows) * loss(theta, rows)
            step, state = rule.update(gradient(theta, rows), state, theta)
            theta = theta + step
        losses.append(total / n)
    return theta, losses
