"""Orders in which the examples of an epoch are presented: for ``fit(..., order=...)``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as onp

from nnbook._arguments import check_number
from nnbook._arrays import Array, label_array, to_numpy

__all__ = ["class_balanced", "error_weighted", "shuffled"]

# A loss in float32 may miss zero by this.
_ROUNDING = 1e-5

#: ``order(n, epoch, rng)`` gives the indices of an epoch; `epoch` counts from 1.
Order = Callable[[int, int, onp.random.Generator], onp.ndarray]


@dataclass(frozen=True)
class shuffled:
    """Present every example once, in a new random order each epoch; what `fit` does by itself.

    It is an order: called as ``order(n, epoch, rng)``, it returns indices, int64 of shape (n,).

    Examples
    --------
    >>> shuffled()(4, 1, numpy.random.default_rng(0))
    array([2, 0, 1, 3])
    """

    def __call__(self, n: int, epoch: int, rng: onp.random.Generator) -> onp.ndarray:
        """Return the indices of an epoch."""
        return rng.permutation(n)


@dataclass(frozen=True, eq=False)
class class_balanced:
    """Present every example once, the classes taking turns.

    Each class is shuffled and spread evenly over the epoch: example j of the n_c of class c gets
    the place ``(j + u_c) / n_c``, with u_c uniform in [0, 1), and the places are sorted. Classes of
    one size take strict turns, so that successive examples never share a class; a class with twice
    as many examples has twice as many turns.

    It is an order: called as ``order(n, epoch, rng)``, it returns indices, int64 of shape (n,), and
    raises ValueError if `n` is not the number of labels.

    Parameters
    ----------
    labels : array of int or of str, shape (n,)
        The class of each example.

    Raises
    ------
    TypeError, ValueError
        If `labels` is not one whole number or name per example.

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), Efficient BackProp, section 4.2: successive examples
    should rarely be of one class.

    Examples
    --------
    >>> labels = numpy.array([0, 0, 0, 1, 1, 1])
    >>> labels[class_balanced(labels)(6, 1, numpy.random.default_rng(0))]
    array([0, 1, 0, 1, 0, 1])
    """

    labels: Array = field(repr=False)

    def __post_init__(self) -> None:
        classes = label_array(self.labels, "labels")
        if classes.ndim != 1 or classes.dtype.kind == "f" or not len(classes):
            raise ValueError(
                f"labels has the shape {classes.shape} and dtype {classes.dtype}; expected one "
                "whole number per example, shape (n,)."
            )
        object.__setattr__(self, "labels", classes)
        members = [onp.flatnonzero(classes == c) for c in onp.unique(classes)]
        object.__setattr__(self, "_members", members)

    def __call__(self, n: int, epoch: int, rng: onp.random.Generator) -> onp.ndarray:
        """Return the indices of an epoch."""
        _check_number(n, len(self.labels), "labels")
        members: list[onp.ndarray] = self._members  # type: ignore[attr-defined]
        rows = onp.concatenate([rng.permutation(one) for one in members])
        places = onp.concatenate(
            [(onp.arange(len(one)) + rng.random()) / len(one) for one in members]
        )
        return rows[onp.argsort(places, kind="stable")]


@dataclass(frozen=True)
class error_weighted:
    """Present examples with a large error more often.

    Each epoch draws n examples with replacement, example i with the probability
    ``(1 − s) eᵢᵖ / Σⱼ eⱼᵖ + s / n``: e its error, p the `power`, s the `uniform_share`.

    It is an order: called as ``order(n, epoch, rng)``, it returns indices, int64 of shape (n,). It
    raises ValueError if the errors are not n finite numbers ≥ 0. Where all are zero, all examples
    are drawn alike.

    Parameters
    ----------
    errors : callable
        ``errors()`` gives one number ≥ 0 per example, shape (n,); called before every epoch, so
        ``lambda: training.example_losses(net, (x, y), loss)`` follows the network.
    power : float
        p ≥ 0; 0 draws all examples alike.
    uniform_share : float
        s in [0, 1]: the share drawn from all examples alike.

    Raises
    ------
    TypeError, ValueError
        If `errors` cannot be called, or a number is out of its range.

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), Efficient BackProp, section 4.2, which also warns of
    outliers: an example with a wrong label has a large error for ever.

    Examples
    --------
    >>> order = error_weighted(lambda: numpy.array([0.0, 1.0, 3.0]))
    >>> numpy.bincount(order(3, 1, numpy.random.default_rng(0)), minlength=3)
    array([0, 1, 2])
    """

    errors: Callable[[], Any]
    power: float = 1.0
    uniform_share: float = 0.0

    def __post_init__(self) -> None:
        if not callable(self.errors):
            raise TypeError(
                f"errors is a {type(self.errors).__name__}; expected a function without arguments "
                "that gives one error per example, since errors change while the network learns."
            )
        object.__setattr__(self, "power", check_number(self.power, "power", least=0))
        share = check_number(self.uniform_share, "uniform_share", least=0, most=1)
        object.__setattr__(self, "uniform_share", share)

    def __call__(self, n: int, epoch: int, rng: onp.random.Generator) -> onp.ndarray:
        """Return the indices of an epoch."""
        weights = onp.asarray(to_numpy(self.errors(), "errors()"), dtype="float64")
        _check_number(n, len(weights) if weights.ndim == 1 else -1, "errors()")
        weights = onp.where((weights < 0) & (weights > -_ROUNDING), 0.0, weights)
        if not (onp.isfinite(weights).all() and (weights >= 0).all()):
            bad = int(onp.flatnonzero(~(onp.isfinite(weights) & (weights >= 0)))[0])
            raise ValueError(f"errors()[{bad}] is {weights[bad]}; expected finite numbers ≥ 0.")
        # Relative to the largest, so that no power overflows.
        weights = (weights / weights.max()) ** self.power if weights.max() > 0 else weights + 1.0
        share = (1 - self.uniform_share) * weights / weights.sum() + self.uniform_share / n
        return rng.choice(n, size=n, p=share / share.sum())


def _check_number(n: int, given: int, name: str) -> None:
    if given != n:
        found = f"{given} of them" if given >= 0 else "no row of them"
        raise ValueError(f"There are {n} examples, but {name} gives {found}; expected one each.")
