"""Small sets, drawn from a seed, on which one effect at a time can be seen."""

from __future__ import annotations

import numpy as onp

from nnbook._arguments import check_number, check_whole
from nnbook._arrays import Rng, as_generator, as_numpy

__all__ = ["load_digits_8x8", "moons", "sines", "spirals", "two_gaussians", "xor"]

Pair = tuple[onp.ndarray, onp.ndarray]


def two_gaussians(
    n: int = 100,
    *,
    centre: tuple[float, float] = (0.4, 0.8),
    sigma: float = 0.19,
    rng: Rng = 0,
    dtype: str = "float32",
) -> Pair:
    """Draw two round clouds in the plane, at ±centre, with the targets ±1.

    With the default values the mean of ``x xᵀ``, the Hessian of a linear model's half mean squared
    error, has the eigenvalues ``|centre|² + σ² ≈ 0.84`` and ``σ² ≈ 0.036``.

    Parameters
    ----------
    n : int
        Examples; half of them in each cloud (of an odd number, one more in the first).
    centre : pair of float
        The middle of the cloud of target +1; the other is opposite.
    sigma : float
        Standard deviation of both coordinates.
    rng : int or numpy.random.Generator
        The seed, or the generator to draw from.
    dtype : str
        "float32" or "float64".

    Returns
    -------
    x : numpy.ndarray, shape (n, 2)
    y : numpy.ndarray, shape (n,)
        +1 or −1, of the same dtype.

    Raises
    ------
    TypeError, ValueError
        If `n`, `sigma`, `centre` or `rng` is not of this kind.

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), Efficient BackProp: the linear network trained on two
    Gaussian clouds.
    """
    n, sigma = check_whole(n, "n"), check_number(sigma, "sigma", least=0)
    middle = as_numpy(centre, "centre").astype("float64")
    if middle.shape != (2,) or not onp.isfinite(middle).all():
        raise ValueError(f"centre is {centre!r}, expected two finite numbers.")
    generator = as_generator(rng)
    y = onp.where(_classes(n, 2, generator) == 0, 1.0, -1.0)
    x = y[:, None] * middle + sigma * generator.standard_normal((n, 2))
    return x.astype(dtype), y.astype(dtype)


def moons(n: int = 200, *, noise: float = 0.1, rng: Rng = 0, dtype: str = "float32") -> Pair:
    """Draw two interleaved half circles: classes that no straight line separates.

    Class 0 lies on ``(cos t, sin t)``, class 1 on ``(1 − cos t, 1/2 − sin t)``, 0 ≤ t ≤ π.

    Parameters
    ----------
    n : int
        Examples; half of them in each class.
    noise : float
        Standard deviation of the noise in both coordinates.
    rng : int or numpy.random.Generator
        The seed, or the generator to draw from.
    dtype : str
        "float32" or "float64".

    Returns
    -------
    x : numpy.ndarray, shape (n, 2)
    y : numpy.ndarray, shape (n,)
        int32 labels 0 and 1.

    Raises
    ------
    TypeError, ValueError
        If `n`, `noise` or `rng` is not of this kind.
    """
    n, noise = check_whole(n, "n"), check_number(noise, "noise", least=0)
    generator = as_generator(rng)
    y = _classes(n, 2, generator)
    t = generator.uniform(0, onp.pi, n)
    x = onp.stack([onp.cos(t), onp.sin(t)], axis=1)
    x = onp.where(y[:, None] == 0, x, [1, 0.5] - x)
    return (x + noise * generator.standard_normal((n, 2))).astype(dtype), y


def spirals(
    n: int = 300,
    *,
    n_classes: int = 3,
    turns: float = 0.75,
    noise: float = 0.02,
    rng: Rng = 0,
    dtype: str = "float32",
) -> Pair:
    """Draw interleaved spiral arms, one for each class, inside the unit circle.

    Arm k is at ``r (cos φ, sin φ)``, ``φ = 2π (turns · r + k/n_classes)``, 0.05 ≤ r ≤ 1.

    Parameters
    ----------
    n : int
        Examples, spread evenly over the classes.
    n_classes : int
        Number of arms.
    turns : float
        Turns of an arm from the centre to the rim.
    noise : float
        Standard deviation of the noise in both coordinates.
    rng : int or numpy.random.Generator
        The seed, or the generator to draw from.
    dtype : str
        "float32" or "float64".

    Returns
    -------
    x : numpy.ndarray, shape (n, 2)
    y : numpy.ndarray, shape (n,)
        int32 labels 0 … n_classes − 1.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not of this kind.
    """
    n, n_classes = check_whole(n, "n"), check_whole(n_classes, "n_classes")
    turns, noise = check_number(turns, "turns", least=0), check_number(noise, "noise", least=0)
    generator = as_generator(rng)
    y = _classes(n, n_classes, generator)
    r = generator.uniform(0.05, 1, n)
    angle = 2 * onp.pi * (turns * r + y / n_classes)
    x = r[:, None] * onp.stack([onp.cos(angle), onp.sin(angle)], axis=1)
    return (x + noise * generator.standard_normal((n, 2))).astype(dtype), y


def xor(n: int = 4, *, noise: float = 0.0, rng: Rng = 0, dtype: str = "float32") -> Pair:
    """Give the exclusive-or problem: the corners (±1, ±1), class 1 where the signs differ.

    Parameters
    ----------
    n : int
        Examples; the four corners in turn: (−1, −1), (−1, 1), (1, −1), (1, 1).
    noise : float
        Standard deviation of the noise in both coordinates.
    rng : int or numpy.random.Generator
        The seed of the noise, or the generator to draw it from.
    dtype : str
        "float32" or "float64".

    Returns
    -------
    x : numpy.ndarray, shape (n, 2)
    y : numpy.ndarray, shape (n,)
        int32 labels 0 and 1.

    Raises
    ------
    TypeError, ValueError
        If `n`, `noise` or `rng` is not of this kind.
    """
    n, noise = check_whole(n, "n"), check_number(noise, "noise", least=0)
    first, second = onp.arange(n) // 2 % 2, onp.arange(n) % 2
    x = onp.stack([2.0 * first - 1, 2.0 * second - 1], axis=1)
    x += noise * as_generator(rng).standard_normal((n, 2))
    return x.astype(dtype), (first ^ second).astype("int32")


def sines(n: int = 25, *, noise: float = 0.3, rng: Rng = 0, dtype: str = "float32") -> Pair:
    """Draw a noisy sine for regression: ``y = sin(2πx) + noise · N(0, 1)``, x uniform in [0, 1].

    Parameters
    ----------
    n : int
        Examples.
    noise : float
        Standard deviation of the noise in y.
    rng : int or numpy.random.Generator
        The seed, or the generator to draw from.
    dtype : str
        "float32" or "float64".

    Returns
    -------
    x : numpy.ndarray, shape (n, 1)
    y : numpy.ndarray, shape (n, 1)
        Targets, of the shape of a net's outputs.

    Raises
    ------
    TypeError, ValueError
        If `n`, `noise` or `rng` is not of this kind.
    """
    n, noise = check_whole(n, "n"), check_number(noise, "noise", least=0)
    generator = as_generator(rng)
    x = generator.uniform(0, 1, (n, 1))
    y = onp.sin(2 * onp.pi * x) + noise * generator.standard_normal((n, 1))
    return x.astype(dtype), y.astype(dtype)


def load_digits_8x8() -> Pair:
    """Load the 1,797 handwritten digits of 8 × 8 pixels that scikit-learn brings along.

    Returns
    -------
    x : numpy.ndarray, shape (1797, 64)
        float32 pixels from 0 (background) to 1, in steps of 1/16.
    y : numpy.ndarray, shape (1797,)
        int32 labels 0 … 9.

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    References
    ----------
    Alpaydin and Kaynak (1998), Optical recognition of handwritten digits, UCI.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "load_digits_8x8 needs scikit-learn, whose files hold the digits: "
            "pip install scikit-learn."
        ) from error
    digits = load_digits()
    return (digits.data / 16).astype("float32"), digits.target.astype("int32")


def _classes(n: int, n_classes: int, generator: onp.random.Generator) -> onp.ndarray:
    """Return n labels in a random order, as many of each class as can be."""
    return generator.permutation(onp.arange(n, dtype="int32") % n_classes)
