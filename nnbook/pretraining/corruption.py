"""Spoilt inputs, and the best linear way back from them in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from nnbook._arguments import check_choice, check_number
from nnbook._arrays import as_generator, as_numpy
from nnbook.pretraining.base import as_inputs

__all__ = ["NOISES", "check_amount", "corrupt", "linear_denoiser"]

Array = np.ndarray

#: Kinds of corruption, by what Vincent et al. (2010) call them.
NOISES = ("mask", "gaussian", "salt_and_pepper")


def check_amount(amount: Any, noise: str, name: str = "corruption") -> float:
    """Return how much is corrupted: a probability, or a standard deviation where it is Gaussian.

    Raises
    ------
    TypeError, ValueError
        No number, or one out of range; no such noise.
    """
    check_choice(noise, "noise", NOISES)
    return check_number(amount, name, least=0, most=None if noise == "gaussian" else 1)


def corrupt(x: Any, amount: float, noise: str = "mask", rng: Any = 0) -> Array:
    """Return spoilt copies of examples; each entry is spoilt by itself.

    Parameters
    ----------
    x : array, shape (n, features)
        Examples; they are not changed.
    amount : float
        The probability ν that an entry is spoilt, or σ of Gaussian noise.
    noise : str
        "mask" makes entries 0, "salt_and_pepper" 0 or 1 with equal chances, "gaussian" adds
        N(0, σ²) to every entry.
    rng : int or numpy.random.Generator
        Of the noise.

    Returns
    -------
    numpy.ndarray, shape (n, features)

    References
    ----------
    Vincent, Larochelle, Bengio and Manzagol (2008), Extracting and composing robust features with
    denoising autoencoders; Vincent, Larochelle, Lajoie, Bengio and Manzagol (2010), Stacked
    denoising autoencoders.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import pretraining
    >>> float(pretraining.corrupt(np.ones((100, 100)), 0.3, rng=0).mean().round(2))
    0.7
    """
    amount = check_amount(amount, noise, "amount")
    return spoil(as_inputs(x), amount, noise, as_generator(rng))


def spoil(x: Array, amount: float, noise: str, rng: np.random.Generator) -> Array:
    """Return `corrupt` of what has been checked."""
    if not amount:
        return x
    if noise == "gaussian":
        return x + x.dtype.type(amount) * rng.standard_normal(x.shape, dtype=x.dtype)
    luck = rng.random(x.shape, dtype=x.dtype)
    if noise == "mask":
        return x * (luck >= amount)
    # Below ν/2 pepper, from there to ν salt.
    return np.where(luck < amount, (luck >= amount / 2).astype(x.dtype), x)


def linear_denoiser(x: Any, corruption: Any, noise: str = "mask") -> Array:
    """Return the matrix W that minimises E‖x − W x̃‖² over examples and their corruptions.

    Nothing is drawn. With S the mean of x xᵀ and q_i = 1 − ν_i the probability that entry i is
    kept, masking has W = P Q⁻¹ with P_ij = S_ij q_j, Q_ij = S_ij q_i q_j and Q_ii = S_ii q_i;
    Gaussian noise has W = S (S + σ²I)⁻¹, ridge regression of x on itself. Where an entry is always
    0, the solution of least norm is taken.

    Parameters
    ----------
    x : array, shape (n, features)
        Examples. A constant feature 1, which is never spoilt, stands for a bias.
    corruption : float or array, shape (features,)
        ν, or σ; an array has one for each feature.
    noise : str
        "mask" or "gaussian".

    Returns
    -------
    numpy.ndarray, shape (features, features)

    Raises
    ------
    TypeError, ValueError
        Amounts out of range or of another shape; another noise.

    References
    ----------
    Chen, Xu, Weinberger and Sha (2012), Marginalized denoising autoencoders for domain adaptation.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import pretraining
    >>> pretraining.linear_denoiser(np.array([[3.0, 0.0], [0.0, 1.0]]), 0.5).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    >>> pretraining.linear_denoiser(np.array([[1.0, 1.0]]), 0.5).round(4).tolist()
    [[0.6667, 0.6667], [0.6667, 0.6667]]
    """
    x = as_inputs(x).astype("float64")
    check_choice(noise, "noise", ("mask", "gaussian"))
    given = as_numpy(corruption, "corruption").astype("float64")
    if given.shape not in ((), (x.shape[1],)):
        raise ValueError(
            f"corruption has shape {given.shape}; expected one number or one for each of the "
            f"{x.shape[1]} features"
        )
    for one in given.ravel():
        check_amount(one, noise)
    amounts = np.broadcast_to(given, x.shape[1])
    S = x.T @ x / len(x)
    if noise == "gaussian":
        P, Q = S, S + np.diag(amounts**2)
    else:
        kept = 1 - amounts
        P, Q = S * kept, S * np.outer(kept, kept)
        np.fill_diagonal(Q, S.diagonal() * kept)
    return np.linalg.lstsq(Q, P.T, rcond=None)[0].T  # Q is symmetric
