"""Restricted Boltzmann machines: energy, conditionals, samples, and what is exact in small ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp

from nnbook._arguments import check_number, check_whole
from nnbook._arrays import as_generator, as_numpy
from nnbook.pretraining.base import as_inputs

__all__ = ["RBM", "as_probabilities", "bars_and_stripes", "every_state"]

Array = np.ndarray

MOST = 25  # units of the smaller layer whose states are summed over: 2²⁵ take a minute
_CHUNK = 12  # 2¹² states at a time


@dataclass(frozen=True, eq=False)
class RBM:
    """A restricted Boltzmann machine of binary units: p(v, h) = exp(−E(v, h)) / Z.

    The energy is E(v, h) = −bᵀv − cᵀh − hᵀWv. Units of one layer are independent given the other,
    and Z = Σ_v Σ_h exp(−E(v, h)) is a sum over the states of the smaller layer alone, since the
    other layer's factorises: exact up to 25 units, and `estimate_log_partition` beyond.

    Parameters
    ----------
    weights : array, shape (hidden, visible)
        W, as a dense layer and scikit-learn's BernoulliRBM have it.
    hidden_bias : array, shape (hidden,)
        c.
    visible_bias : array, shape (visible,)
        b.

    Attributes
    ----------
    hidden, visible : int
        Units of each layer.
    theta : numpy.ndarray, shape (P,)
        W, c and b as one vector, in this order.

    Raises
    ------
    TypeError, ValueError
        No real numbers, or shapes that do not fit.

    References
    ----------
    Smolensky (1986), Information processing in dynamical systems: foundations of harmony theory;
    Hinton (2002), Training products of experts by minimizing contrastive divergence; Hinton (2012),
    A practical guide to training restricted Boltzmann machines.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import pretraining
    >>> rbm = pretraining.RBM(np.zeros((3, 2)), np.zeros(3), np.log([1.0, 3.0]))
    >>> rbm.visible_probabilities(np.zeros((1, 3))).round(6).tolist()
    [[0.5, 0.75]]
    >>> bool(np.isclose(rbm.log_partition(), np.log(2**3 * 2 * 4)))
    True
    """

    weights: Array
    hidden_bias: Array
    visible_bias: Array

    def __post_init__(self) -> None:
        weights = as_numpy(self.weights, "weights")
        dtype = "float32" if weights.dtype == np.float32 else "float64"
        if weights.ndim != 2 or not weights.size:
            raise ValueError(f"weights has shape {weights.shape}; expected (hidden, visible)")
        object.__setattr__(self, "weights", weights.astype(dtype, copy=False))
        for name, units in zip(("hidden_bias", "visible_bias"), weights.shape, strict=True):
            bias = as_numpy(getattr(self, name), name)
            if bias.shape != (units,):
                raise ValueError(
                    f"{name} has shape {bias.shape}; expected ({units},) beside weights of shape "
                    f"{weights.shape}"
                )
            object.__setattr__(self, name, bias.astype(dtype, copy=False))

    @classmethod
    def initial(cls, x: Any, hidden: int, *, scale: float = 0.01, rng: Any = 0) -> RBM:
        """Return one to begin with: W from N(0, scale²), c = 0, b = ln(p / (1 − p)).

        Parameters
        ----------
        x : array, shape (n, visible)
            Training examples, bits or probabilities; p_i is the mean of entry i, as if one example
            more had it and one more had not.
        hidden : int
            Hidden units.
        scale : float
            σ of the weights, > 0.
        rng : int or numpy.random.Generator
            Of the weights.

        Returns
        -------
        RBM

        References
        ----------
        Hinton (2012), A practical guide, section 8.
        """
        x, hidden = as_probabilities(x), check_whole(hidden, "hidden")
        scale = check_number(scale, "scale", above=0)
        p = (x.sum(axis=0) + 1) / (len(x) + 2)
        weights = as_generator(rng).normal(0, scale, (hidden, x.shape[1])).astype(x.dtype)
        return cls(weights, np.zeros(hidden), np.log(p) - np.log1p(-p))

    @classmethod
    def from_theta(cls, theta: Any, hidden: int, visible: int) -> RBM:
        """Return one of a vector that holds W, c and b; the arrays are views of it."""
        theta, size = as_numpy(theta, "theta"), hidden * visible
        if theta.shape != (size + hidden + visible,):
            raise ValueError(
                f"theta has shape {theta.shape}; expected ({size + hidden + visible},) for "
                f"{visible} visible and {hidden} hidden units"
            )
        weights = theta[:size].reshape(hidden, visible)
        return cls(weights, theta[size : size + hidden], theta[size + hidden :])

    @property
    def hidden(self) -> int:
        """Hidden units."""
        return self.weights.shape[0]

    @property
    def visible(self) -> int:
        """Visible units."""
        return self.weights.shape[1]

    @property
    def theta(self) -> Array:
        """W, c and b as one vector."""
        return np.concatenate([self.weights.ravel(), self.hidden_bias, self.visible_bias])

    # ------------------------------------------------------------------ energy and conditionals

    def energy(self, v: Any, h: Any) -> Array:
        """Return E(v, h) = −bᵀv − cᵀh − hᵀWv of states (n, visible) and (n, hidden), shape (n,)."""
        v, h = np.asarray(v), np.asarray(h)
        return -v @ self.visible_bias - h @ self.hidden_bias - ((h @ self.weights) * v).sum(axis=-1)

    def free_energy(self, v: Any) -> Array:
        """Return F(v) = −ln Σ_h exp(−E(v, h)) = −bᵀv − Σ_j ln(1 + exp(c_j + W_j v)), shape (n,)."""
        v = np.asarray(v)
        return -v @ self.visible_bias - np.logaddexp(0, self._up(v)).sum(axis=-1)

    def hidden_probabilities(self, v: Any) -> Array:
        """Return p(h_j = 1 | v), shape (n, hidden)."""
        return expit(self._up(np.asarray(v)))

    def visible_probabilities(self, h: Any) -> Array:
        """Return p(v_i = 1 | h), shape (n, visible)."""
        return expit(np.asarray(h) @ self.weights + self.visible_bias)

    def _up(self, v: Array) -> Array:
        return v @ self.weights.T + self.hidden_bias

    def gibbs(self, v: Any, rng: Any) -> tuple[Array, Array]:
        """Draw h given v, then v given h: one step of the chain whose law ends at p(v).

        Parameters
        ----------
        v : array, shape (n, visible)
            States, one chain each.
        rng : int or numpy.random.Generator
            Of the states.

        Returns
        -------
        h : numpy.ndarray, shape (n, hidden)
        v : numpy.ndarray, shape (n, visible)
        """
        rng = as_generator(rng)
        h = drawn(self.hidden_probabilities(v), rng)
        return h, drawn(self.visible_probabilities(h), rng)

    def sample(self, count: int, steps: int = 1000, *, start: Any = None, rng: Any = 0) -> Array:
        """Return visible states after some steps of Gibbs sampling.

        Parameters
        ----------
        count : int
            How many chains; independent of one another.
        steps : int
            Steps of each. Whether they are enough, nobody knows without more: chains of a
            well-trained machine change mode rarely.
        start : array, shape (count, visible), optional
            Where the chains begin; by default every unit by its own bias.
        rng : int or numpy.random.Generator
            Of the states.

        Returns
        -------
        numpy.ndarray, shape (count, visible)
        """
        count, steps = check_whole(count, "count"), check_whole(steps, "steps", least=0)
        rng = as_generator(rng)
        v = self._by_bias(count, rng) if start is None else as_inputs(start, "start")
        if v.shape != (count, self.visible):
            raise ValueError(
                f"start has shape {v.shape}; expected ({count}, {self.visible}), a state a chain"
            )
        for _ in range(steps):
            v = self.gibbs(v, rng)[1]
        return v

    def _by_bias(self, count: int, rng: np.random.Generator) -> Array:
        return drawn(np.tile(expit(self.visible_bias), (count, 1)), rng)

    # ------------------------------------------------------------------ what is exact

    def log_partition(self) -> float:
        """Return ln Z, the sum over the states of the smaller layer, of at most 25 units.

        Raises
        ------
        ValueError
            Both layers are larger.
        """
        return float(logsumexp([logsumexp(weights) for _, weights, _ in self._summed()]))

    def log_probability(self, v: Any, log_partition: float | None = None) -> Array:
        """Return ln p(v) = −F(v) − ln Z of states (n, visible), shape (n,).

        Parameters
        ----------
        v : array, shape (n, visible)
            Bits.
        log_partition : float, optional
            ln Z, if it is known or estimated; by default the exact one.
        """
        return -self.free_energy(v) - (
            self.log_partition() if log_partition is None else log_partition
        )

    def statistics(self, v: Any, shares: Any = None) -> Array:
        """Return the means of h vᵀ, h and v over states, with h by its probability given v.

        Parameters
        ----------
        v : array, shape (n, visible)
            States.
        shares : array, shape (n,), optional
            Their weights, of sum 1; by default all alike.

        Returns
        -------
        numpy.ndarray, shape (P,)
            Laid out like θ. On data, minus those of the model, it is the gradient of the mean
            log-likelihood.
        """
        v = np.asarray(v)
        h = self.hidden_probabilities(v)
        weighted = h / len(v) if shares is None else h * np.asarray(shares)[:, None]
        mean = v.mean(axis=0) if shares is None else np.asarray(shares) @ v
        return np.concatenate([(weighted.T @ v).ravel(), weighted.sum(axis=0), mean])

    def expectations(self) -> Array:
        """Return the means of h vᵀ, h and v under the model, exactly, laid out like θ.

        Raises
        ------
        ValueError
            Both layers have more than 25 units.
        """
        both: Any = 0.0
        own: Any = 0.0
        other: Any = 0.0
        log_partition = self.log_partition()
        for states, weights, given in self._summed():
            shared = states * np.exp(weights - log_partition)[:, None]
            both = both + shared.T @ given
            own = own + shared.sum(axis=0)
            other = other + np.exp(weights - log_partition) @ given
        if self.hidden <= self.visible:
            return np.concatenate([np.ravel(both), own, other])
        return np.concatenate([np.transpose(both).ravel(), other, own])

    def gradient(self, x: Any) -> Array:
        """Return the exact gradient of the mean of ln p over examples in θ, shape (P,)."""
        return self.statistics(as_probabilities(x, self.visible)) - self.expectations()

    def _summed(self) -> Iterator[tuple[Array, Array, Array]]:
        """Yield states of the smaller layer, ln of their weights in Z, the other layer's means."""
        if self.hidden <= self.visible:
            weights, own, other = self.weights, self.hidden_bias, self.visible_bias
        else:
            weights, own, other = self.weights.T, self.visible_bias, self.hidden_bias
        if len(own) > MOST:
            raise ValueError(
                f"the layers have {self.visible} and {self.hidden} units; expected at most {MOST} "
                "in the smaller one for an exact sum. pretraining.estimate_log_partition goes "
                "beyond"
            )
        for states in every_state(len(own)):
            sums = states @ weights.astype("float64") + other
            yield states, states @ own + np.logaddexp(0, sums).sum(axis=1), expit(sums)

    def __repr__(self) -> str:
        return f"RBM({self.visible} visible, {self.hidden} hidden)"


def drawn(probabilities: Array, rng: np.random.Generator) -> Array:
    """Return bits, 1 with these probabilities, in their dtype."""
    luck = rng.random(probabilities.shape, dtype=probabilities.dtype)
    return (luck < probabilities).astype(probabilities.dtype)


def every_state(units: int) -> Iterator[Array]:
    """Yield all 2ⁿ states of n binary units, some thousand rows at a time."""
    size = min(units, _CHUNK)
    low = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    for k in range(2 ** (units - size)):
        high = np.broadcast_to((k >> np.arange(units - size)) & 1, (len(low), units - size))
        yield np.hstack([low, high]).astype("float64")


def as_probabilities(x: Any, visible: int | None = None) -> Array:
    """Return examples as a matrix of numbers in [0, 1], of so many columns.

    Raises
    ------
    TypeError, ValueError
        As `as_inputs`; numbers elsewhere; another number of columns.
    """
    x = as_inputs(x)
    if x.min() < 0 or x.max() > 1:
        raise ValueError(
            f"x reaches from {x.min():g} to {x.max():g}; expected bits, or probabilities in "
            "[0, 1]. Binarise or rescale it"
        )
    if visible is not None and x.shape[1] != visible:
        raise ValueError(f"x has {x.shape[1]} features; expected {visible}, one a visible unit")
    return x


def bars_and_stripes(size: int = 3) -> Array:
    """Return all images whose rows are each black or white, or whose columns are.

    Parameters
    ----------
    size : int
        Rows and columns, ≥ 2.

    Returns
    -------
    numpy.ndarray, shape (2^(size + 1) − 2, size²)
        Bits. A model that knows them gives each the same ln p, −ln(2^(size + 1) − 2) at best.

    Examples
    --------
    >>> from nnbook import pretraining
    >>> pretraining.bars_and_stripes(3).shape
    (14, 9)
    """
    size = check_whole(size, "size", least=2, most=12)
    lines = ((np.arange(2**size)[:, None] >> np.arange(size)) & 1).astype("float64")
    bars = np.repeat(lines, size, axis=1)
    stripes = np.tile(lines[1:-1], (1, size))  # all black and all white are bars already
    return np.concatenate([bars, stripes])
