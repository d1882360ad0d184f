"""The largest eigenvalue from single examples, as training goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nnbook._arguments import check_number, check_positive, check_whole
from nnbook._arrays import as_generator

__all__ = ["OnlineEigenvalue", "online_largest"]


@dataclass(frozen=True, eq=False)
class OnlineEigenvalue:
    """An estimate of the largest eigenvalue.

    Attributes
    ----------
    value : float
        The mean of ‖Ψ‖ over the last quarter of the steps.
    spread : float
        Its standard deviation there: how noisy the estimate is, not how far it is off.
    vector : numpy.ndarray, shape (P,)
        Ψ / ‖Ψ‖ at the end.
    norms : numpy.ndarray, shape (steps,)
        ‖Ψ‖ after every step.
    """

    value: float
    spread: float
    vector: np.ndarray = field(repr=False)
    norms: np.ndarray = field(repr=False)

    @property
    def learning_rate(self) -> float:
        """1 / λmax, the rate that it suggests for gradient descent with the whole batch."""
        return 1 / self.value


def online_largest(
    objective: Any,
    steps: int = 100,
    *,
    batch_size: int = 1,
    gamma: float = 0.05,
    alpha: float = 0.01,
    rng: Any = 0,
) -> OnlineEigenvalue:
    """Estimate λmax from a few examples: Ψ ← (1 − γ) Ψ + γ (∇L_p(θ + α Ψ/‖Ψ‖) − ∇L_p(θ)) / α.

    It is power iteration with a running average in the place of the sum over the examples, for two
    gradients of a minibatch a step. ‖Ψ‖ is biased upwards by the noise, since a length is; θ stays
    where it is. The rate 1/λmax holds for the whole batch: one example at a time may need ten times
    less.

    Parameters
    ----------
    objective : Objective
        With examples to choose rows from, or without: then every step uses the whole.
    steps : int
        How many minibatches.
    batch_size : int
        Examples in each.
    gamma : float
        γ in (0, 1], the weight of a new minibatch; in the first steps it is 1/t where that is
        more, so that the start is soon forgotten.
    alpha : float
        α > 0, how far the difference reaches.
    rng : int or numpy.random.Generator
        Of the start and the order of the examples.

    Returns
    -------
    OnlineEigenvalue

    References
    ----------
    LeCun, Simard and Pearlmutter (1993), Automatic learning rate maximization by on-line
    estimation of the Hessian's eigenvectors; LeCun, Bottou, Orr and Müller (1998), Efficient
    BackProp, section 9.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import curvature, objective
    >>> h = np.array([1.0, 7.0, 2.0])
    >>> bowl = objective.from_function(lambda t: (h * t * t).sum() / 2, lambda t: h * t, np.ones(3))
    >>> round(curvature.online_largest(bowl, steps=200).value, 3)
    7.0
    """
    steps, batch_size = check_whole(steps, "steps"), check_whole(batch_size, "batch_size")
    gamma = check_number(gamma, "gamma", above=0, most=1)
    alpha, rng = check_positive(alpha, "alpha"), as_generator(rng)
    before = np.array(objective.theta)
    psi = rng.normal(size=objective.size)
    psi /= np.linalg.norm(psi)
    norms = np.zeros(steps)
    rows = _minibatches(objective.examples, batch_size, rng)
    try:
        for t in range(steps):
            chosen = next(rows)
            move = (alpha / np.linalg.norm(psi)) * psi
            objective.theta = (before + move).astype(before.dtype)
            ahead = np.array(objective.gradient(*chosen), dtype=float)
            objective.theta = before
            here = np.asarray(objective.gradient(*chosen), dtype=float)
            weight = max(gamma, 1 / (t + 1))
            psi = (1 - weight) * psi + weight * (ahead - here) / alpha
            norms[t] = np.linalg.norm(psi)
            if not norms[t]:
                raise ValueError(
                    f"the gradient did not change over a distance of alpha = {alpha:g}: no "
                    "curvature there; take a larger alpha, or look for units that are dead"
                )
    finally:
        objective.theta = before
    last = norms[-max(1, steps // 4) :]
    return OnlineEigenvalue(float(last.mean()), float(last.std()), psi / norms[-1], norms)


def _minibatches(examples: int | None, batch_size: int, rng: np.random.Generator) -> Any:
    """Yield the arguments of a gradient: rows without replacement, pass after pass."""
    while True:
        if examples is None or batch_size >= examples:
            yield ()
            continue
        order = rng.permutation(examples)
        for start in range(0, examples - batch_size + 1, batch_size):
            yield (order[start : start + batch_size],)
