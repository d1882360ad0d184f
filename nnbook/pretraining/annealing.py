"""The partition function of machines too large to sum over, by annealed importance sampling."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit, logsumexp

from nnbook._arguments import check_number, check_whole
from nnbook._arrays import as_generator, as_numpy
from nnbook.pretraining.boltzmann import RBM, as_probabilities, drawn

__all__ = ["PartitionEstimate", "estimate_log_partition"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class PartitionEstimate:
    """An estimate of ln Z.

    Attributes
    ----------
    log_partition : float
        ln Ẑ, the logarithm of the mean of the chains' weights. E Ẑ = Z, so E ln Ẑ ≤ ln Z: it is too
        low on average, and a likelihood made with it too high.
    stderr : float
        Its standard error, that of the mean weight divided by the mean weight.
    bias : float
        −stderr² / 2, the first term of E ln Ẑ − ln Z. It is not taken off.
    effective : float
        How many chains share the weight, (Σ w)² / Σ w²; at a handful, `stderr` itself is too small,
        and more temperatures help more than more chains do.
    log_weights : numpy.ndarray, shape (chains,)
        ln of each chain's own unbiased estimate of Z.
    """

    log_partition: float
    stderr: float
    bias: float
    effective: float
    log_weights: Array = field(repr=False)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return a confidence interval of ln Z: the estimate ± the normal's quantile · `stderr`.

        Parameters
        ----------
        level : float
            In (0, 1).

        Returns
        -------
        tuple of float
        """
        level = check_number(level, "level", above=0, below=1)
        half = float(stats.norm.ppf(0.5 + level / 2)) * self.stderr
        return self.log_partition - half, self.log_partition + half


def estimate_log_partition(
    rbm: RBM,
    *,
    temperatures: Any = 1000,
    chains: int = 100,
    x: Any = None,
    rng: Any = 0,
) -> PartitionEstimate:
    """Estimate ln Z by annealed importance sampling.

    Chains go from a base of independent units, whose Z₀ = 2^H Π_i (1 + exp a_i) is known, through
    p_β(v) ∝ exp((1 − β) aᵀv + β bᵀv) Π_j (1 + exp(β (c_j + W_j v))) to the machine at β = 1, a step
    of Gibbs sampling at each β. Every chain's product of ratios p_β′(v) / p_β(v) has the mean
    Z / Z₀.

    Parameters
    ----------
    rbm : RBM
        The machine.
    temperatures : int or array
        How many steps of equal length β makes from 0 to 1; or the values of β themselves,
        increasing, from 0 to 1.
    chains : int
        How many, ≥ 2.
    x : array, shape (n, visible), optional
        Training examples: a is then chosen so that the base has their means. By default a is 0, a
        poorer start.
    rng : int or numpy.random.Generator
        Of the chains.

    Returns
    -------
    PartitionEstimate

    References
    ----------
    Neal (2001), Annealed importance sampling; Salakhutdinov and Murray (2008), On the quantitative
    analysis of deep belief networks.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import pretraining
    >>> draw = np.random.default_rng(0)
    >>> rbm = pretraining.RBM(draw.normal(size=(5, 8)), np.zeros(5), np.zeros(8))
    >>> found = pretraining.estimate_log_partition(rbm, chains=200)
    >>> low, high = found.interval(0.99)
    >>> low < rbm.log_partition() < high
    True
    """
    if not isinstance(rbm, RBM):
        raise TypeError(f"rbm is a {type(rbm).__name__}; expected an RBM, such as layer.rbm")
    betas, chains = _betas(temperatures), check_whole(chains, "chains", least=2)
    base = np.zeros(rbm.visible)
    if x is not None:
        base = RBM.initial(as_probabilities(x, rbm.visible), 1).visible_bias.astype("float64")
    W, c, b = (part.astype("float64") for part in (rbm.weights, rbm.hidden_bias, rbm.visible_bias))
    rng = as_generator(rng)
    v = drawn(np.tile(expit(base), (chains, 1)), rng)
    weights = np.full(chains, rbm.hidden * np.log(2) + np.logaddexp(0, base).sum())
    for before, beta in itertools.pairwise(betas):
        sums, tilt = v @ W.T + c, v @ (b - base)
        weights += (beta - before) * tilt
        weights += (np.logaddexp(0, beta * sums) - np.logaddexp(0, before * sums)).sum(axis=1)
        if beta < 1:
            h = drawn(expit(beta * sums), rng)
            v = drawn(expit(beta * (h @ W + b) + (1 - beta) * base), rng)
    return _summary(weights)


def _betas(temperatures: Any) -> Array:
    if np.ndim(temperatures) == 0:
        return np.linspace(0, 1, check_whole(temperatures, "temperatures") + 1)
    betas = as_numpy(temperatures, "temperatures").astype("float64")
    if betas.ndim != 1 or len(betas) < 2 or betas[0] != 0 or betas[-1] != 1:
        raise ValueError(
            f"temperatures are {temperatures!r}; expected values of β from 0 to 1, both included"
        )
    if (np.diff(betas) <= 0).any():
        raise ValueError("temperatures do not increase; expected values of β from 0 up to 1")
    return betas


def _summary(weights: Array) -> PartitionEstimate:
    chains = len(weights)
    log_mean = float(logsumexp(weights) - np.log(chains))
    relative = np.exp(weights - log_mean)  # of mean 1
    stderr = float(relative.std(ddof=1) / np.sqrt(chains))
    effective = float(chains**2 / (relative**2).sum())
    return PartitionEstimate(log_mean, stderr, -(stderr**2) / 2, effective, weights)
