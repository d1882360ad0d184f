"""Targets between classes: softened labels, and mixtures of examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_flag, check_number, check_positive, check_whole
from nnbook._arrays import Array, Rng, as_generator, float_dtype, like, to_numpy

__all__ = ["mixup", "smooth_labels"]


def smooth_labels(labels: Array, classes: int, smoothing: float = 0.1) -> onp.ndarray:
    """Return labels as rows of probabilities: 1 − ε + ε/C for the label, ε/C for the others.

    Parameters
    ----------
    labels : array of int, shape (n,)
        Class numbers 0 ... C − 1.
    classes : int
        C ≥ 2.
    smoothing : float
        ε in [0, 1); 0 gives rows of a single 1.

    Returns
    -------
    numpy.ndarray of float32, shape (n, C)
        As `nnbook.losses.softmax_cross_entropy` takes them; the loss
        `nnbook.losses.smoothed_cross_entropy` does the same with the labels themselves.

    Raises
    ------
    ValueError, TypeError
        Labels that are no class numbers, or a number outside its range.

    References
    ----------
    Szegedy et al. (2016), Rethinking the Inception architecture for computer vision.

    Examples
    --------
    >>> from nnbook import data
    >>> data.smooth_labels(numpy.array([1]), classes=2, smoothing=0.5)
    array([[0.25, 0.75]], dtype=float32)
    """
    classes = check_whole(classes, "classes", least=2)
    smoothing = check_number(smoothing, "smoothing", least=0, below=1)
    numbers = to_numpy(labels, "labels")
    wrong = numbers[~((numbers >= 0) & (numbers < classes) & (numbers == onp.floor(numbers)))]
    if numbers.ndim != 1 or wrong.size:
        found = f"a label {wrong.flat[0]}" if wrong.size else f"the shape {numbers.shape}"
        raise ValueError(
            f"labels have {found}; expected whole numbers from 0 to {classes - 1}, shape (n,)"
        )
    rows = onp.full((len(numbers), classes), smoothing / classes, dtype="float32")
    rows[onp.arange(len(numbers)), numbers.astype(int)] += 1 - smoothing
    return rows


@dataclass(frozen=True)
class mixup:
    """Mixtures of pairs of examples and of their targets: λ x_i + (1 − λ) x_j, likewise y.

    j is i's partner in a random permutation of the minibatch, and λ from Beta(α, α). It is called
    as ``mix(x, y, rng)`` and returns both; `nnbook.data.prepared` does so for every minibatch.

    Parameters
    ----------
    alpha : float
        α > 0: small leaves most pairs nearly unmixed, 1 draws λ uniformly.
    one_share : bool
        Whether a minibatch has one λ, as in the paper's code, or every pair its own.

    Raises
    ------
    ValueError, TypeError
        α that is not positive; called, targets that are class numbers, of which there is no half.

    References
    ----------
    Zhang, Cisse, Dauphin and Lopez-Paz (2018), mixup: beyond empirical risk minimization.

    Examples
    --------
    >>> from nnbook import data
    >>> x, y = numpy.eye(3), data.smooth_labels(numpy.array([0, 1, 2]), 3, smoothing=0)
    >>> mixed, targets = data.mixup(1.0)(x, y, 0)
    >>> bool(numpy.allclose(mixed, targets))
    True
    """

    alpha: float = 0.2
    one_share: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", check_positive(self.alpha, "alpha"))
        check_flag(self.one_share, "one_share")

    def __call__(self, x: Array, y: Array, rng: Rng) -> tuple[Any, Any]:
        """Return mixed examples and targets.

        Parameters
        ----------
        x : array, shape (n, …)
            NumPy or MXNet.
        y : array of float, shape (n, …)
            Targets of which there are mixtures: rows of probabilities, numbers.
        rng : int or numpy.random.Generator
            The seed, or the generator to draw from.
        """
        generator = as_generator(rng)
        inputs, targets = to_numpy(x, "x"), to_numpy(y, "y")
        if targets.dtype.kind != "f" or len(targets) != len(inputs):
            raise ValueError(
                f"y is {targets.dtype} of shape {targets.shape}, for {len(inputs)} examples; "
                "expected targets of which there are mixtures, one for each: for class numbers "
                "data.smooth_labels(y, classes, smoothing=0)"
            )
        partner = generator.permutation(len(inputs))
        share = generator.beta(self.alpha, self.alpha, 1 if self.one_share else len(inputs))

        def mixed(values: onp.ndarray, original: Array) -> Array:
            weight = share.reshape(-1, *[1] * (values.ndim - 1))
            found = weight * values + (1 - weight) * values[partner]
            return like(found.astype(float_dtype(values)), original)

        return mixed(inputs, x), mixed(targets, y)
