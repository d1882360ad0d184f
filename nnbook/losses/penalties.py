"""Penalties on weights and on activations, and the proximal step of one."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_choice, check_number
from nnbook._arrays import is_mxnet

__all__ = ["activity_penalty", "l1_penalty", "l1_prox", "l2_penalty"]


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

    def prox(self, theta: Any, rate: Any) -> Any:
        """Return argmin_w of the penalty of w + Σ (w − θ)² / (2 · rate): θ / (1 + rate · strength).

        Parameters
        ----------
        theta : array
            NumPy or MXNet; it is not changed.
        rate : float or array
            η ≥ 0, for all weights or for each.
        """
        return theta / (1 + rate * self.strength)


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

    def prox(self, theta: Any, rate: Any) -> Any:
        """Return argmin_w of the penalty of w + Σ (w − θ)² / (2 · rate): `l1_prox`.

        Parameters
        ----------
        theta : array
            NumPy or MXNet; it is not changed.
        rate : float or array
            η ≥ 0, for all weights or for each.
        """
        return l1_prox(theta, rate * self.strength)


def l1_prox(theta: Any, threshold: Any) -> Any:
    """Soft threshold: sign(θ) · max(abs(θ) − s, 0), the proximal step of Σ s abs(θ).

    After a gradient step with learning rate η on the loss alone, s = η · strength takes the L1
    penalty into account; `nnbook.optim.proximal` does so in training.

    Parameters
    ----------
    theta : array
        NumPy or MXNet, of any shape; it is not changed.
    threshold : float or array
        s ≥ 0; an array has one for each weight, and the kind and shape of `theta`.

    Returns
    -------
    array
        Like `theta`; weights of size s or less are exactly 0.

    Raises
    ------
    ValueError, TypeError
        A threshold that is negative, not finite, or no number.

    References
    ----------
    Beck and Teboulle (2009), A fast iterative shrinkage-thresholding algorithm.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import losses
    >>> losses.l1_prox(np.array([-3.0, -1.0, 2.0]), np.array([1.0, 1.0, 0.5]))
    array([-2. ,  0. ,  1.5])
    """
    if not getattr(threshold, "shape", ()):
        threshold = check_number(threshold, "threshold", least=0)
    F = _namespace(theta)
    # What is cut off: a weight within the threshold less itself is exactly 0.
    return theta - F.maximum(F.minimum(theta, threshold), -threshold)


_KINDS = ("l1", "l2", "log", "kl")
_RIM = 1e-6  # from 0 and 1: ln 0 is not to be met


@dataclass(frozen=True)
class activity_penalty:
    """Penalty on activations h, shape (n, units): strength · p(h), to be added to the mean loss.

    - "l1": mean over examples of Σ abs(h), which favours exact zeros of rectified units;
    - "l2": mean over examples of ½ Σ h²;
    - "log": mean over examples of Σ ln(1 + h²), the prior of Student's t;
    - "kl": Σ_j ρ ln(ρ/r_j) + (1 − ρ) ln((1 − ρ)/(1 − r_j)) with r_j the mean of unit j over the
      examples: units in [0, 1] should be on with the frequency ρ.

    On activations, none of them is a prior on parameters, and a decoder with larger weights can
    make up for smaller codes: bound its weights (`nnbook.optim.max_norm`). In a network it is the
    layer `nnbook.layers.ActivityPenalty`.

    Parameters
    ----------
    kind : str
        "l1", "l2", "log" or "kl".
    strength : float
        ≥ 0.
    target : float
        ρ in (0, 1), for "kl".

    Raises
    ------
    ValueError, TypeError
        An unknown kind or a number outside its range.

    References
    ----------
    Olshausen and Field (1996), Emergence of simple-cell receptive field properties by learning a
    sparse code for natural images; Ng (2011), Sparse autoencoder.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import losses
    >>> losses.activity_penalty("l1", 0.5).value(np.array([[1.0, -2.0], [0.0, 1.0]]))
    1.0
    """

    kind: str
    strength: float
    target: float = 0.05

    def __post_init__(self) -> None:
        check_choice(self.kind, "kind", _KINDS)
        object.__setattr__(self, "strength", check_number(self.strength, "strength", least=0))
        object.__setattr__(self, "target", check_number(self.target, "target", above=0, below=1))

    def per_example(self, np: Any, h: Any) -> Any:
        """Return numbers whose sum is the penalty, with NumPy's, MXNet's or its symbols' names.

        Parameters
        ----------
        np : module
            What computes: it has `abs`, `mean` and so on.
        h : array or symbol, shape (n, units)
        """
        if self.kind == "l1":
            return self.strength * np.mean(np.abs(h), axis=0)
        if self.kind == "l2":
            return 0.5 * self.strength * np.mean(np.square(h), axis=0)
        if self.kind == "log":
            return self.strength * np.mean(np.log(1 + np.square(h)), axis=0)
        on = np.maximum(np.minimum(np.mean(h, axis=0), 1 - _RIM), _RIM)
        rho = self.target
        entropy = rho * math.log(rho) + (1 - rho) * math.log(1 - rho)
        return self.strength * (entropy - rho * np.log(on) - (1 - rho) * np.log(1 - on))

    def value(self, h: Any) -> float:
        """Return the penalty of activations, NumPy or MXNet, shape (n, units)."""
        return float(self.per_example(_namespace(h), h).sum())

    def gradient(self, h: Any) -> Any:
        """Return its gradient, an array like `h`."""
        F, share = _namespace(h), self.strength / h.shape[0]
        if self.kind == "l1":
            return share * F.sign(h)
        if self.kind == "l2":
            return share * h
        if self.kind == "log":
            return share * 2 * h / (1 + h * h)
        mean = h.mean(axis=0)
        on = F.maximum(F.minimum(mean, 1 - _RIM), _RIM)
        slope = (1 - self.target) / (1 - on) - self.target / on
        return share * (h * 0 + slope * (mean == on))


def _namespace(array: Any) -> Any:
    """Return the module that computes with an array: `mxnet.numpy` or NumPy."""
    return sys.modules["mxnet"].np if is_mxnet(array) else onp
