"""Ways to train a restricted Boltzmann machine: contrastive divergence, persistent, and exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_expit

from nnbook._arguments import check_whole
from nnbook._arrays import as_generator
from nnbook.pretraining.base import LayerObjective, Start, check_start
from nnbook.pretraining.boltzmann import RBM, as_probabilities, every_state

__all__ = ["CD", "PCD", "Exact", "RBMObjective"]

Array = np.ndarray

_MOST = 22  # visible and hidden units for which every pair of states fits into memory


class Model(NamedTuple):
    """What an estimator says of the model's part of the gradient.

    Attributes
    ----------
    log_partition : float
        ln Z, or in its place minus the mean free energy of the particles: its gradient is
        `statistics`, the particles held where they are.
    statistics : numpy.ndarray, shape (P,)
        The means of h vᵀ, h and v, laid out like θ.
    particles : numpy.ndarray or None
        Where the chains have got to.
    """

    log_partition: float
    statistics: Array
    particles: Array | None


class Estimator:
    """What `CD`, `PCD` and `Exact` have in common: an objective for training, and one gradient."""

    def objective(
        self,
        x: Any,
        units: int,
        *,
        activation: Any = "sigmoid",
        start: Start | None = None,
        rng: Any = 0,
    ) -> RBMObjective:
        """Return what `nnbook.training.fit` minimises.

        Parameters
        ----------
        x : array, shape (n, visible)
            Examples: bits, or probabilities, which then stand for them.
        units : int
            Hidden units.
        activation : str
            "sigmoid", which p(h = 1 | v) is; there is no other.
        start : tuple of array, optional
            Initial ``(W, c)``; by default those of `RBM.initial`, as b always is.
        rng : int or numpy.random.Generator
            Of the initial weights and of the samples.

        Returns
        -------
        RBMObjective
        """
        name = getattr(activation, "name", activation)
        if name != "sigmoid":
            raise ValueError(
                f"activation is {name!r}; expected 'sigmoid', the probability of a hidden unit "
                "given the visible ones. AutoEncoder() learns layers of other activations"
            )
        return RBMObjective(self, x, units, start, rng)

    def gradient(self, rbm: RBM, x: Any, rng: Any = 0) -> Array:
        """Estimate the gradient of the mean log-likelihood in θ, shape (P,).

        Parameters
        ----------
        rbm : RBM
            The model.
        x : array, shape (n, visible)
            Examples.
        rng : int or numpy.random.Generator
            Of the samples.
        """
        x, rng = as_probabilities(x, rbm.visible), as_generator(rng)
        return rbm.statistics(x) - self._model(rbm, x, self._begin(rbm, rng), rng).statistics

    def _begin(self, rbm: RBM, rng: np.random.Generator) -> Array | None:
        """Return the first particles of chains that go on from step to step."""
        return None

    def _model(
        self, rbm: RBM, x: Array, particles: Array | None, rng: np.random.Generator
    ) -> Model:
        """Return the model's part of the gradient for a minibatch."""
        raise NotImplementedError


@dataclass(frozen=True)
class CD(Estimator):
    """Contrastive divergence: chains of k steps that begin at the examples, anew each time.

    The gradient is the mean of h vᵀ (and of h, of v) over the examples minus that over the ends of
    the chains. States are sampled on the way, and h enters by its probability at the ends. It is
    biased towards machines whose chains do not leave the data, whatever they do elsewhere, and is
    not the gradient of any function.

    Parameters
    ----------
    k : int
        Steps of Gibbs sampling, ≥ 1.

    References
    ----------
    Hinton (2002), Training products of experts by minimizing contrastive divergence;
    Carreira-Perpiñán and Hinton (2005), On contrastive divergence learning, on the bias; Hinton
    (2012), A practical guide to training restricted Boltzmann machines, section 3, on when to
    sample.

    Examples
    --------
    >>> from nnbook import optim, pretraining, training
    >>> x = pretraining.bars_and_stripes(3)
    >>> layer = pretraining.CD(1).objective(x, units=6)
    >>> before = layer.rbm.log_probability(x).mean()
    >>> history = training.fit(layer, optimizer=optim.momentum(0.1), batch_size=14, epochs=300)
    >>> bool(layer.rbm.log_probability(x).mean() > before + 1)
    True
    """

    k: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_whole(self.k, "k"))

    def _model(
        self, rbm: RBM, x: Array, particles: Array | None, rng: np.random.Generator
    ) -> Model:
        """Return the statistics of chains that begin at the examples."""
        return _of_particles(rbm, x, self.k, rng)

    def expected(self, rbm: RBM, x: Any) -> Array:
        """Return the mean of `gradient` over all samples, exactly, for a small machine.

        Parameters
        ----------
        rbm : RBM
            At most 22 units, visible and hidden together.
        x : array, shape (n, visible)
            Examples.

        Returns
        -------
        numpy.ndarray, shape (P,)
            Beside `RBM.gradient` it shows the bias, free of noise.
        """
        x = as_probabilities(x, rbm.visible)
        if rbm.visible + rbm.hidden > _MOST:
            raise ValueError(
                f"the machine has {rbm.visible} visible and {rbm.hidden} hidden units; expected at "
                f"most {_MOST} together, since every pair of states is summed over. "
                "CD.gradient, averaged over seeds, estimates it"
            )
        v, h = (np.concatenate([*every_state(n)]) for n in (rbm.visible, rbm.hidden))
        up, down = _transition(rbm._up(v), h), _transition(h @ rbm.weights + rbm.visible_bias, v)
        hidden = _transition(rbm._up(x), h).mean(axis=0)
        for _ in range(self.k - 1):
            hidden = hidden @ down @ up
        return rbm.statistics(x) - rbm.statistics(v, hidden @ down)


@dataclass(frozen=True)
class PCD(Estimator):
    """Persistent contrastive divergence: chains that go on from where they were at the last step.

    They follow the model as it changes, if it changes slowly: rates are some ten times smaller than
    for CD, or decay. At a rate that is too high the likelihood falls while examples are
    reconstructed better and better.

    Parameters
    ----------
    k : int
        Steps of Gibbs sampling at each training step, ≥ 1.
    chains : int
        How many.

    References
    ----------
    Tieleman (2008), Training restricted Boltzmann machines using approximations to the likelihood
    gradient.
    """

    k: int = 1
    chains: int = 100

    def __post_init__(self) -> None:
        for name in ("k", "chains"):
            object.__setattr__(self, name, check_whole(getattr(self, name), name))

    def _begin(self, rbm: RBM, rng: np.random.Generator) -> Array:
        """Return chains whose units are drawn by their biases."""
        return rbm.sample(self.chains, 0, rng=rng)

    def _model(
        self, rbm: RBM, x: Array, particles: Array | None, rng: np.random.Generator
    ) -> Model:
        """Return the statistics of the chains, some steps on."""
        assert particles is not None
        return _of_particles(rbm, particles, self.k, rng)


@dataclass(frozen=True)
class Exact(Estimator):
    """The likelihood's own gradient, for machines with at most 25 units in the smaller layer."""

    def _model(
        self, rbm: RBM, x: Array, particles: Array | None, rng: np.random.Generator
    ) -> Model:
        """Return ln Z and the model's expectations."""
        return Model(rbm.log_partition(), rbm.expectations(), None)


def _of_particles(rbm: RBM, v: Array, k: int, rng: np.random.Generator) -> Model:
    for _ in range(k):
        v = rbm.gibbs(v, rng)[1]
    return Model(-float(rbm.free_energy(v).mean()), rbm.statistics(v), v)


def _transition(sums: Array, states: Array) -> Array:
    """Return p(state | …) of binary units for each row of their logits, shape (rows, states)."""
    return np.exp(log_expit(sums) @ states.T + log_expit(-sums) @ (1 - states).T)


class RBMObjective(LayerObjective):
    """A restricted Boltzmann machine on data; `CD.objective`, `PCD.objective` make it.

    `loss` is what the gradient is that of: with `Exact` the mean of −ln p(v), with the others the
    mean free energy of the examples minus that of the particles, held where they are. That
    difference hovers around 0 and says nothing of progress: ``validation=layer.watch(x)`` does.

    Attributes
    ----------
    estimator : CD, PCD or Exact
        What it was made by.
    rbm : RBM
        The machine at this θ.
    particles : numpy.ndarray or None
        The chains of `PCD`.
    x, draws, size, slices, shapes, examples, theta
        As of `LayerObjective`. The parameters are "weight" (hidden, visible), "hidden_bias" and
        "visible_bias".
    """

    def __init__(self, estimator: Estimator, x: Any, units: int, start: Start | None, rng: Any):
        values, generator = as_probabilities(x), as_generator(rng)
        first = RBM.initial(values, units, rng=generator)
        shapes = {
            "weight": first.weights.shape,
            "hidden_bias": first.hidden_bias.shape,
            "visible_bias": first.visible_bias.shape,
        }
        super().__init__(values, shapes, generator)
        self.estimator = estimator
        self._put(weight=first.weights, visible_bias=first.visible_bias)
        given = check_start(start, first.hidden, first.visible)
        if given is not None:
            self._put(weight=given[0], hidden_bias=given[1])
        self.particles = estimator._begin(self.rbm, generator)

    @property
    def rbm(self) -> RBM:
        """The machine at this θ; it stays as it is when θ changes."""
        hidden, visible = self.shapes["weight"]
        return RBM.from_theta(self.theta, hidden, visible)

    def encode(self, x: Any = None) -> Array:
        """Return p(h = 1 | v) of the examples, or of others, shape (n, units)."""
        return self.rbm.hidden_probabilities(self._inputs(x))

    def encoder(self) -> tuple[Array, Array]:
        """Return W (units, inputs) and c (units,)."""
        return self.part("weight"), self.part("hidden_bias")

    def loss_and_gradient(self, rows: Any = None) -> tuple[float, Array]:
        """Return both, let the chains of `PCD` go on, and go on to the next draw."""
        x, rbm = self._rows(rows), self.rbm
        model = self.estimator._model(rbm, x, self.particles, self._generator())
        if self.particles is not None:
            self.particles = model.particles
        self.draws += 1
        return self._both(x, rbm, model)

    def watch(self, x: Any = None) -> Callable[[Array], dict[str, float]]:
        """Return a function of θ for ``fit(…, validation=…)``: what is worth watching on examples.

        Parameters
        ----------
        x : array, shape (n, visible), optional
            Examples; by default those that it learns from.

        Returns
        -------
        callable
            It gives "reconstruction", the cross-entropy of examples and their mean-field
            reconstructions, and "free_energy", the mean of F, which on training and on held-out
            examples should stay alike; and for a machine with at most 12 units in the smaller layer
            "log_likelihood", the mean of ln p.
        """
        values = self._inputs(x)
        hidden, visible = self.shapes["weight"]

        def measure(theta: Array) -> dict[str, float]:
            rbm = RBM.from_theta(theta, hidden, visible)
            sums = rbm.hidden_probabilities(values) @ rbm.weights + rbm.visible_bias
            error = np.logaddexp(0, sums) - values * sums
            free = float(rbm.free_energy(values).mean())
            found = {"reconstruction": float(error.sum(axis=1).mean()), "free_energy": free}
            if min(hidden, visible) <= 12:
                found["log_likelihood"] = -free - rbm.log_partition()
            return found

        return measure

    def _evaluate(
        self, x: Array, rng: np.random.Generator, slopes: bool = True
    ) -> tuple[float, Array]:
        rbm = self.rbm
        return self._both(x, rbm, self.estimator._model(rbm, x, self.particles, rng))

    def _both(self, x: Array, rbm: RBM, model: Model) -> tuple[float, Array]:
        loss = float(rbm.free_energy(x).mean()) + model.log_partition
        return loss, (model.statistics - rbm.statistics(x)).astype(x.dtype, copy=False)

    def __repr__(self) -> str:
        return f"RBMObjective({self.rbm!r}, {self.estimator!r}, {self.examples} examples)"
