"""Initial weights: the rules that the literature derives from the size of a layer."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as onp

from nnbook.gluon.runtime import mx

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "LeCunNormal",
    "LeCunUniform",
    "WeightInitializer",
    "fans",
    "gain",
]

_GAINS = {
    "identity": 1.0,
    "sigmoid": 4.0,
    "tanh": 1.0,
    "scaled_tanh": 1.0,
    "relu": math.sqrt(2.0),
    "softplus": 2.0,
}


_WEIGHTS = 1  # names the stream of random numbers that initial weights are drawn from


def gain(activation: str | None) -> float:
    """Return the factor by which an activation function wants its weights enlarged.

    It is 1/f′(0), which keeps the signal's size through units that work near the origin: 1 for the
    identity and tanh, 4 for the logistic sigmoid, 2 for softplus. ReLU has √2, because it lets half
    of the variance through. The scaled tanh has 1, because its constants were chosen so that
    weights of standard deviation fan_in^(−1/2) need no factor.

    Parameters
    ----------
    activation : str or None
        A name that `nnbook.layers.activation` knows; None is the identity.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        An unknown name.

    References
    ----------
    LeCun et al. (1998), Efficient BackProp; Glorot and Bengio (2010); Bengio (2012) for the
    sigmoid's 4; He et al. (2015) for ReLU.
    """
    name = "identity" if activation is None else activation
    if name not in _GAINS:
        raise ValueError(f"activation is {activation!r}; expected one of {', '.join(_GAINS)}")
    return _GAINS[name]


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many inputs a unit of a layer has, and how many units one input feeds.

    Parameters
    ----------
    shape : tuple of int
        Of the weights: (out, in) of a dense layer, (out, in, height, width) of a convolution.

    Returns
    -------
    fan_in, fan_out : int
        in · height · width, and out · height · width.

    Raises
    ------
    ValueError
        Fewer than two dimensions, or an unknown or zero size.
    """
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(
            f"weights have shape {tuple(shape)}; expected (out, in) or (out, in, ...), all known"
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


class WeightInitializer(mx.initializer.Initializer):
    """Base of the initialisers: a distribution whose width follows from the shape of the weights.

    They work wherever Gluon takes an initialiser, in float32 and float64, and draw the same numbers
    on every device: MXNet's global generator (`mxnet.random.seed`) only gives the seed of a NumPy
    generator that draws. Biases become 0.
    """

    _rng: onp.random.Generator | None = None

    def sample(self, shape: tuple[int, ...], rng: onp.random.Generator) -> onp.ndarray:
        """Draw weights.

        Parameters
        ----------
        shape : tuple of int
            (out, in) or (out, in, height, width).
        rng : numpy.random.Generator
            Where the random numbers come from.

        Returns
        -------
        numpy.ndarray
            float64, of that shape.
        """
        raise NotImplementedError

    def seeded(self, seed: Any) -> WeightInitializer:
        """Return a copy that draws from its own generator instead of MXNet's.

        Parameters
        ----------
        seed : int or numpy.random.Generator
            A number gives a stream of its own, unlike that of ``default_rng(seed)``: data drawn
            from the same seed would else be the weights once more. A generator is used as it is.

        Returns
        -------
        WeightInitializer
            Each array that it fills continues the same stream.
        """
        twin = copy.copy(self)
        if not isinstance(seed, onp.random.Generator):
            seed = onp.random.SeedSequence(seed, spawn_key=(_WEIGHTS,))
        twin._rng = onp.random.default_rng(seed)
        return twin

    def _init_weight(self, name: str, array: Any) -> None:
        rng = _global_generator() if self._rng is None else self._rng
        array[:] = self.sample(tuple(array.shape), rng).astype(array.dtype)


def _global_generator() -> onp.random.Generator:
    """Return a NumPy generator whose seed is drawn from MXNet's, always that of the CPU."""
    words = mx.nd.random.randint(0, 2**31 - 1, shape=(4,), dtype="int32", ctx=mx.cpu())
    return onp.random.default_rng(words.asnumpy().tolist())


_factor = gain  # the class below has a parameter of that name


class _Scaled(WeightInitializer):
    """Zero-mean weights whose standard deviation is `_deviation(fan_in, fan_out)` times a gain."""

    _uniform = False

    def __init__(self, gain: float | str = 1.0):
        super().__init__(gain=gain)
        self.gain = _factor(gain) if isinstance(gain, str) else gain
        if not (math.isfinite(self.gain) and self.gain > 0):
            raise ValueError(f"gain is {gain!r}; expected a finite number > 0")

    def sample(self, shape, rng):
        deviation = self.gain * self._deviation(*fans(shape))
        if self._uniform:
            limit = math.sqrt(3.0) * deviation  # U(−r, r) has variance r²/3
            return rng.uniform(-limit, limit, shape)
        return rng.normal(0.0, deviation, shape)

    def _deviation(self, fan_in: int, fan_out: int) -> float:
        return fan_in**-0.5


class LeCunNormal(_Scaled):
    """Normal weights with standard deviation gain · fan_in^(−1/2).

    With inputs of mean 0 and variance 1 the sums of the units have variance 1.

    Parameters
    ----------
    gain : float or str
        A factor > 0, or the name of an activation function (see `gain`).

    Raises
    ------
    ValueError
        A gain that is not positive, or an unknown name.

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), Efficient BackProp.
    """


class LeCunUniform(_Scaled):
    """Uniform weights with standard deviation gain · fan_in^(−1/2): U(±gain · √(3/fan_in)).

    Parameters
    ----------
    gain : float or str
        A factor > 0, or the name of an activation function (see `gain`).

    Raises
    ------
    ValueError
        A gain that is not positive, or an unknown name.

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), Efficient BackProp.
    """

    _uniform = True


class GlorotNormal(_Scaled):
    """Normal weights with variance gain² · 2/(fan_in + fan_out).

    A compromise between keeping the size of the signal on its way forward, 1/fan_in, and that of
    the gradient on its way back, 1/fan_out.

    Parameters
    ----------
    gain : float or str
        A factor > 0, or the name of an activation function (see `gain`).

    Raises
    ------
    ValueError
        A gain that is not positive, or an unknown name.

    References
    ----------
    Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward networks.
    """

    def _deviation(self, fan_in, fan_out):
        return math.sqrt(2.0 / (fan_in + fan_out))


class GlorotUniform(GlorotNormal):
    """Uniform weights U(±gain · √(6/(fan_in + fan_out))), of variance gain² · 2/(fan_in + fan_out).

    Parameters
    ----------
    gain : float or str
        A factor > 0, or the name of an activation function (see `gain`): Bengio (2012) recommends
        4 for logistic sigmoids.

    Raises
    ------
    ValueError
        A gain that is not positive, or an unknown name.

    References
    ----------
    Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward networks.
    """

    _uniform = True


class HeNormal(_Scaled):
    """Normal weights with standard deviation √(2/fan_in), for rectified linear units.

    References
    ----------
    He, Zhang, Ren and Sun (2015), Delving deep into rectifiers.
    """

    def __init__(self) -> None:
        super().__init__(gain="relu")
        self._kwargs.clear()


class Constant(WeightInitializer):
    """Weights that are given: one number for all, or an array of the right shape.

    Equal weights leave hidden units equal for ever, so this is for demonstrations, for single
    parameters such as centres, and for tests.

    Parameters
    ----------
    value : float or array
        Finite.

    Raises
    ------
    ValueError
        A value that is not finite; at initialisation, a shape that does not fit.
    """

    def __init__(self, value: Any):
        self.value = onp.array(value, dtype=float)  # a copy: the caller's may change
        super().__init__(value=self.value.tolist())
        if not onp.isfinite(self.value).all():
            raise ValueError(f"value is {value!r}; expected finite numbers")

    def sample(self, shape, rng):  # noqa: D102  (documented in the base class)
        if self.value.ndim and self.value.shape != tuple(shape):
            raise ValueError(
                f"value has shape {self.value.shape}, the parameter {tuple(shape)}; expected the "
                "same, or a single number"
            )
        return onp.broadcast_to(self.value, shape)
