"""Penalties on the weights, and the proximal step of one."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_number
from nnbook._arrays import is_mxnet

__all__ = ["l1_penalty", "l1_prox", "l2_penalty"]


@dataclass(frozen=True)
class l2_penalty:
    """Weight decay: ½ · strength · Σ θ², with the gradient strength · θ.

    It is added to the mean loss, so it does not depend on the batch size. Texts differ in scale;
    to follow one, take for `strength`

    - λ where the penalty beside the mean loss is ½ λ Σ θ², as here;
    - λ/n where it is λ/(2n) Σ θ², n the number of training examples (Nielsen 2015);
    - 2λ where it is λ Σ θ², without the half;
    - 2λ/B where it is λ Σ θ² beside the sum, not the mean, of the losses of a minibatch of B;
    - 2λ/n where it is λ Σ θ² beside the sum over all n examples, which makes λB/n for a minibatch
      (Bengio 2012).

    Parameters
    ----------
    strength : float
        ≥ 0, in units of loss per squared weight.

    Raises
    ------
    ValueError, TypeError
        A strength that is negative or not a finite number.
    """

    strength: float

    def __post_init__(self) -> None:
        # A float: one of NumPy's would turn a float32 θ into float64.
        object.__setattr__(self, "strength", check_number(self.strength, "strength", least=0))

    def value(self, theta: Any) -> float:
        """Return the penalty of an array of weights, NumPy or MXNet, of any shape."""
        return 0.5 * self.strength * float((theta * theta).sum())

    def gradient(self, theta: Any) -> Any:
        """Return its gradient, an array like `theta`."""
        return self.strength * theta


@dataclass(frozen=True)
class l1_penalty:
    """Penalty that makes weights sparse: strength · Σ abs(θ), with the gradient strength · sign(θ).

    It is added to the mean loss. Descent along this gradient (0 where θ = 0) makes weights chatter
    around 0; `l1_prox` brings them to 0 exactly. Where a text writes λ/n Σ abs(w) for n training
    examples, `strength` is λ/n.

    Parameters
    ----------
    strength : float
        ≥ 0, in units of loss per weight.

    Raises
    ------
    ValueError, TypeError
        A strength that is negative or not a finite number.
    """

    strength: float

    def __post_init__(self) -> None:
        # A float: one of NumPy's would turn a float32 θ into float64.
        object.__setattr__(self, "strength", check_number(self.strength, "strength", least=0))

    def value(self, theta: Any) -> float:
        """Return the penalty of an array of weights, NumPy or MXNet, of any shape."""
        return self.strength * float(abs(theta).sum())

    def gradient(self, theta: Any) -> Any:
        """Return its gradient, an array like `theta`."""
        return self.strength * _namespace(theta).sign(theta)


def l1_prox(theta: Any, threshold: float) -> Any:
    """Soft threshold: sign(θ) · max(abs(θ) − s, 0), the proximal step of s Σ abs(θ).

    After a gradient step with learning rate η on the loss alone, s = η · strength takes the L1
    penalty into account.

    Parameters
    ----------
    theta : array
        NumPy or MXNet, of any shape; it is not changed.
    threshold : float
        s ≥ 0.

    Returns
    -------
    array
        Like `theta`; weights of size s or less are exactly 0.

    Raises
    ------
    ValueError
        A threshold that is negative or not finite.

    References
    ----------
    Beck and Teboulle (2009), A fast iterative shrinkage-thresholding algorithm.
    """
    threshold = check_number(threshold, "threshold", least=0)
    F = _namespace(theta)
    return F.sign(theta) * F.maximum(abs(theta) - threshold, 0)


def _namespace(array: Any) -> Any:
    """Return the module that computes with an array: `mxnet.numpy` or NumPy."""
    return sys.modules["mxnet"].np if is_mxnet(array) else onp
