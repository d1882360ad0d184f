"""Noise in training and none afterwards: dropout, noise on inputs and on weights.

What is drawn follows MXNet's generator, which `fit` seeds anew for each epoch from its own seed: so
masks depend on seed and epoch, and every member of a population has its own. Networks with such
layers are traced into a graph like others.
"""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook._arguments import check_flag, check_number, check_seed, check_whole
from nnbook.gluon.randomness import preserved_generator
from nnbook.gluon.runtime import mx, np

nn = mx.gluon.nn

__all__ = ["Dropout", "GaussianNoise", "NoisyDense", "sample_outputs", "with_dropout"]


class Dropout(mx.gluon.nn.Dropout):
    """Dropout: in training, each unit is 0 with the probability p, and else divided by 1 − p.

    So its expectation is the unit itself, and nothing is to be halved afterwards. The first papers
    did it the other way round: plain zeros in training, weights multiplied by 1 − p at test; the
    two are one network with weights of another scale, and doing both is a common mistake.

    Parameters
    ----------
    rate : float
        p in [0, 1).
    one_mask : bool
        Whether a minibatch shares one mask, as some texts have it; by default every example has
        its own.

    Raises
    ------
    ValueError, TypeError
        A rate outside [0, 1), or no flag.

    References
    ----------
    Hinton, Srivastava, Krizhevsky, Sutskever and Salakhutdinov (2012), Improving neural networks
    by preventing co-adaptation of feature detectors; Srivastava et al. (2014), Dropout: a simple
    way to prevent neural networks from overfitting.

    Examples
    --------
    >>> from nnbook import layers
    >>> from nnbook.runtime import mx, np
    >>> x = np.ones((100, 50))
    >>> with mx.autograd.train_mode():
    ...     kept = layers.Dropout(0.5, one_mask=True)(x).asnumpy()
    >>> bool((kept == kept[0]).all()), sorted(set(kept[0].tolist()))
    (True, [0.0, 2.0])
    """

    def __init__(self, rate: float, one_mask: bool = False, **kwargs: Any):
        rate = check_number(rate, "rate", least=0, below=1)
        super().__init__(rate, axes=(0,) if check_flag(one_mask, "one_mask") else (), **kwargs)


class GaussianNoise(mx.gluon.HybridBlock):
    """Noise added in training: h = x + σ ε, ε from N(0, 1), another for every number.

    Parameters
    ----------
    sd : float
        σ ≥ 0, in the units of x.

    Raises
    ------
    ValueError, TypeError
        σ is negative or no finite number.

    References
    ----------
    Bishop (1995), Training with noise is equivalent to Tikhonov regularization.
    """

    def __init__(self, sd: float, **kwargs: Any):
        self._sd = check_number(sd, "sd", least=0)
        super().__init__(**kwargs)
        with self.name_scope():
            self.gate = nn.Dropout(0.5)

    def hybrid_forward(self, F, x):
        """Return x with noise in training, and x otherwise."""
        return x + self._sd * _noise_like(F, x, self.gate)

    def __repr__(self) -> str:
        return f"GaussianNoise(sd={self._sd:g})"


class NoisyDense(mx.gluon.HybridBlock):
    """A dense layer whose weights are noisy in training; all examples of a minibatch share it.

    The weights used are W + σ ε, with ε from N(0, 1), or W with each number 0 with the probability
    `drop` and else divided by 1 − `drop` (DropConnect), or both. Biases are left alone.

    Parameters
    ----------
    units, in_units : int
        Outputs and inputs.
    sd : float
        σ ≥ 0, in the units of the weights.
    drop : float
        In [0, 1).
    dtype : str
        "float32" or "float64".

    Raises
    ------
    ValueError, TypeError
        A number outside its range.

    References
    ----------
    Murray and Edwards (1994), Enhanced MLP performance and fault tolerance resulting from synaptic
    weight noise during training; Wan et al. (2013), Regularization of neural networks using
    DropConnect.
    """

    def __init__(
        self,
        units: int,
        in_units: int,
        sd: float = 0.0,
        drop: float = 0.0,
        dtype: str = "float32",
        **kwargs: Any,
    ):
        self._units = check_whole(units, "units")
        shape = (self._units, check_whole(in_units, "in_units"))
        self._sd = check_number(sd, "sd", least=0)
        drop = check_number(drop, "drop", least=0, below=1)
        super().__init__(**kwargs)
        with self.name_scope():
            self.weight = self.params.get("weight", shape=shape, dtype=dtype)
            self.bias = self.params.get("bias", shape=shape[:1], dtype=dtype, init="zeros")
            self.gate, self.drop = nn.Dropout(0.5), nn.Dropout(drop)

    def hybrid_forward(self, F, x, weight, bias):
        """Map (n, in_units) to (n, units)."""
        weight = self.drop(weight)
        if self._sd:
            weight = weight + self._sd * _noise_like(F, weight, self.gate)
        return F.npx.fully_connected(x, weight, bias, num_hidden=self._units, flatten=True)


def _noise_like(F: Any, x: Any, gate: Any) -> Any:
    """Return standard normal numbers in training, and zeros otherwise.

    Only dropout knows of itself whether it trains, also within a graph: dropout of ones, less one,
    is a random sign in training and 0 otherwise; a normal number with a random sign is one.
    """
    sign = gate(F.np.ones_like(x)) - 1
    return sign * F.np.random.normal(F.np.zeros_like(x), 1.0)


def with_dropout(net: Any, hidden: float = 0.5, inputs: float = 0.0, one_mask: bool = False) -> Any:
    """Return a network like a chain of layers, on the same parameters, with dropout in it.

    Every Dense layer but the first gets its inputs through a dropout layer, the first one too where
    `inputs` is above 0. Dropout that the chain had is left out. So arms of one seed begin alike:

    >>> from nnbook import layers
    >>> net = layers.with_dropout(layers.mlp(784, [512], 10, seed=0), hidden=0.5, inputs=0.2)
    >>> [type(layer).__name__ for layer in net]
    ['Dropout', 'Dense', 'Activation', 'Dropout', 'Dense']

    Parameters
    ----------
    net : mxnet.gluon.nn.HybridSequential
        As `mlp` makes it; it is not changed, but shares its parameters with the result.
    hidden, inputs : float
        Probability, in [0, 1), that a hidden unit and that an input is left out.
    one_mask : bool
        As for `Dropout`.

    Returns
    -------
    mxnet.gluon.nn.HybridSequential

    Raises
    ------
    TypeError, ValueError
        `net` is no such chain, or a rate outside [0, 1).
    """
    if not isinstance(net, nn.HybridSequential):
        raise TypeError(
            f"net is a {type(net).__name__}; expected a HybridSequential, as layers.mlp makes it"
        )
    rates = (
        check_number(inputs, "inputs", least=0, below=1),
        check_number(hidden, "hidden", least=0, below=1),
    )
    made, seen = nn.HybridSequential(), 0
    with made.name_scope():
        for layer in net:
            if isinstance(layer, nn.Dropout):
                continue
            if isinstance(layer, (nn.Dense, NoisyDense)):
                rate, seen = rates[min(seen, 1)], seen + 1
                if rate:
                    made.add(Dropout(rate, one_mask))
            made.add(layer)
    if not seen:
        raise ValueError(f"net has no Dense layer: {net}; expected a chain of them")
    return made


def sample_outputs(net: Any, x: Any, draws: int = 100, seed: int = 0) -> onp.ndarray:
    """Return a network's outputs with its noise on, many times.

    To average what dropout averages: the mean over draws of the probabilities is the arithmetic
    mean over masks, the mean of their logarithms, normalised, the geometric one. The weights as
    they are, with the noise off, are the approximation that is used in practice.

    Parameters
    ----------
    net : mxnet.gluon.Block
        Initialised; its parameters stay as they are.
    x : array, shape (n, …)
        Examples, NumPy or MXNet.
    draws : int
        How many times.
    seed : int
        Of the noise; MXNet's generator is given back.

    Returns
    -------
    numpy.ndarray, shape (draws, n, outputs)

    Raises
    ------
    ValueError, TypeError
        Draws below 1, or a bad seed.

    References
    ----------
    Gal and Ghahramani (2016), Dropout as a Bayesian approximation.
    """
    from nnbook.gluon.examples import home, place

    draws, seed = check_whole(draws, "draws"), check_seed(seed)
    device, dtype = home(net)
    examples = place(x, dtype, device)
    with preserved_generator(), mx.autograd.pause(train_mode=True):
        mx.random.seed(seed)
        return onp.stack([net(np.array(examples)).asnumpy() for _ in range(draws)])
