"""Sparse coding: codes by iterative thresholding, and a dictionary that learns."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nnbook._arguments import check_flag, check_positive, check_whole
from nnbook._arrays import as_generator, as_numpy
from nnbook.losses.penalties import l1_prox
from nnbook.pretraining.base import LayerObjective, Start, as_inputs

__all__ = ["Codes", "SparseCoding", "SparseCodingObjective", "ista"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Codes:
    """What `ista` found.

    Attributes
    ----------
    values : numpy.ndarray, shape (n, atoms)
        The codes.
    losses : numpy.ndarray, shape (iterations + 1,)
        The mean over the examples of what is minimised, before the first iteration and after each.
    residual : float
        The largest entry of z − S(z − ∇/L, penalty/L), times L: 0 at the minimum, and in units of
        the gradient.
    iterations : int
        How many were made.
    converged : bool
        Whether the residual is within its tolerance.
    """

    values: Array = field(repr=False)
    losses: Array = field(repr=False)
    residual: float
    iterations: int
    converged: bool


def ista(
    x: Any,
    atoms: Any,
    penalty: float,
    *,
    iterations: int = 500,
    tolerance: float = 1e-6,
    accelerate: bool = False,
    nonnegative: bool = False,
    start: Any = None,
) -> Codes:
    """Minimise ½‖x − Dᵀz‖² + penalty · ‖z‖₁ over codes z by iterative soft thresholding.

    A step goes down the gradient of the square and shrinks every entry towards 0:
    z ← S(z + D(x − Dᵀz)/L, penalty/L), with S(z, s) = sign(z) max(abs z − s, 0) and L the largest
    eigenvalue of D Dᵀ. The loss never rises. Accelerated (FISTA), it may, and arrives in far fewer
    steps.

    Parameters
    ----------
    x : array, shape (n, features)
        Examples.
    atoms : array, shape (atoms, features)
        D, an atom a row.
    penalty : float
        > 0. Where it is at least the largest entry of D x in size, z = 0.
    iterations : int
        At most.
    tolerance : float
        Of the residual, > 0.
    accelerate : bool
        Whether with Nesterov's momentum.
    nonnegative : bool
        Whether z ≥ 0 is asked for; then one step from z = 0 is a layer of ReLUs.
    start : array, shape (n, atoms), optional
        Where to start; 0 by default.

    Returns
    -------
    Codes

    Raises
    ------
    TypeError, ValueError
        No finite matrices, shapes that do not fit, or numbers out of range.

    References
    ----------
    Daubechies, Defrise and De Mol (2004), An iterative thresholding algorithm for linear inverse
    problems with a sparsity constraint; Beck and Teboulle (2009), A fast iterative
    shrinkage-thresholding algorithm; Gregor and LeCun (2010), Learning fast approximations of
    sparse coding.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import pretraining
    >>> pretraining.ista(np.array([[3.0, -0.5]]), np.eye(2), 1.0).values.tolist()
    [[2.0, 0.0]]
    """
    x, atoms = as_inputs(x), as_inputs(atoms, "atoms")
    penalty, tolerance = check_positive(penalty, "penalty"), check_positive(tolerance, "tolerance")
    iterations = check_whole(iterations, "iterations")
    accelerate = check_flag(accelerate, "accelerate")
    nonnegative = check_flag(nonnegative, "nonnegative")
    if atoms.shape[1] != x.shape[1]:
        raise ValueError(
            f"atoms has shape {atoms.shape}; expected ({len(atoms)}, {x.shape[1]}), an atom a row, "
            "with as many entries as x has features"
        )
    z = np.zeros((len(x), len(atoms)), dtype=x.dtype) if start is None else as_numpy(start, "start")
    if z.shape != (len(x), len(atoms)):
        raise ValueError(f"start has shape {z.shape}; expected ({len(x)}, {len(atoms)})")
    steepest = float(np.linalg.norm(atoms, 2)) ** 2
    if not steepest:
        raise ValueError("every atom is 0; expected at least one that is not")

    def step(z: Array) -> Array:
        moved = z + (x - z @ atoms) @ atoms.T / steepest
        if nonnegative:
            return np.maximum(moved - penalty / steepest, 0)
        return l1_prox(moved, penalty / steepest)

    def residual(z: Array) -> float:
        return float(abs(step(z) - z).max()) * steepest

    losses, ahead, pace = [_loss(x, atoms, penalty, z)], z, 1.0
    while len(losses) <= iterations:
        new = step(ahead)
        near = abs(new - ahead).max() * steepest <= tolerance
        faster = (1 + math.sqrt(1 + 4 * pace**2)) / 2 if accelerate else 1.0
        ahead = new + (pace - 1) / faster * (new - z)
        z, pace = new, faster
        losses.append(_loss(x, atoms, penalty, z))
        if near and residual(z) <= tolerance:
            break
    left = residual(z)
    return Codes(z, np.array(losses), left, len(losses) - 1, left <= tolerance)


def _loss(x: Array, atoms: Array, penalty: float, z: Array) -> float:
    apart = x - z @ atoms
    return float((0.5 * (apart**2).sum(axis=1) + penalty * abs(z).sum(axis=1)).mean())


@dataclass(frozen=True)
class SparseCoding:
    """How a dictionary learns: the mean over examples of min_z ½‖x − Dᵀz‖² + penalty · ‖z‖₁.

    Atoms have length 1, since otherwise codes shrink while atoms grow: θ holds vectors of any
    length, and D their directions. The gradient in D is that of the square at the best codes,
    −z(x − Dᵀz)ᵀ: how z itself changes with D does not enter, since z is at a minimum.

    Parameters
    ----------
    penalty : float
        > 0.
    iterations, tolerance, accelerate, nonnegative
        As for `ista`, by which the codes are found. The gradient is as exact as they are.

    References
    ----------
    Olshausen and Field (1996), Emergence of simple-cell receptive field properties by learning a
    sparse code for natural images.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import optim, pretraining, training
    >>> x = np.kron(np.eye(4), np.ones((5, 1)))
    >>> layer = pretraining.SparseCoding(0.1).objective(x, units=4, rng=1)
    >>> history = training.fit(layer, optimizer=optim.adam(0.05), batch_size=20, epochs=200)
    >>> layer.dictionary.shape, bool(history[-1]["train_loss"] < 0.1)
    ((4, 4), True)
    """

    penalty: float
    iterations: int = 500
    tolerance: float = 1e-4
    accelerate: bool = True
    nonnegative: bool = False

    def __post_init__(self) -> None:
        for name in ("penalty", "tolerance"):
            object.__setattr__(self, name, check_positive(getattr(self, name), name))
        for name in ("accelerate", "nonnegative"):
            object.__setattr__(self, name, check_flag(getattr(self, name), name))
        object.__setattr__(self, "iterations", check_whole(self.iterations, "iterations"))

    def objective(
        self,
        x: Any,
        units: int,
        *,
        activation: Any = None,
        start: Start | None = None,
        rng: Any = 0,
    ) -> SparseCodingObjective:
        """Return what `nnbook.training.fit` minimises.

        Parameters
        ----------
        x : array, shape (n, features)
            Examples.
        units : int
            Atoms; more than features make an over-complete dictionary.
        activation, start : None
            Codes are found by a minimisation: there is no activation, and no layer to start from.
        rng : int or numpy.random.Generator
            Of the first atoms, random directions.

        Returns
        -------
        SparseCodingObjective
        """
        if activation is not None or start is not None:
            raise TypeError(
                "sparse codes are found by a minimisation, not by a dense layer; expected neither "
                "activation nor start. AutoEncoder(sparsity=…) learns a layer with sparse codes"
            )
        return SparseCodingObjective(self, x, units, rng)


class SparseCodingObjective(LayerObjective):
    """A dictionary on data; `SparseCoding.objective` makes it.

    Attributes
    ----------
    recipe : SparseCoding
        What it was made by.
    dictionary : numpy.ndarray, shape (units, features)
        D, an atom of length 1 a row.
    x, draws, size, slices, shapes, examples, theta
        As of `LayerObjective`. There is one parameter, "atoms" (units, features).
    """

    def __init__(self, recipe: SparseCoding, x: Any, units: int, rng: Any):
        units, values, generator = check_whole(units, "units"), as_inputs(x), as_generator(rng)
        super().__init__(values, {"atoms": (units, values.shape[1])}, generator)
        self.recipe = recipe
        self._put(atoms=_unit(generator.normal(size=(units, values.shape[1])))[0])

    @property
    def dictionary(self) -> Array:
        """D, an atom of length 1 a row, shape (units, features)."""
        return _unit(self.part("atoms"))[0]

    def encode(self, x: Any = None) -> Array:
        """Return the codes of the examples, or of others, shape (n, units)."""
        return self._codes(self._inputs(x), self.dictionary)

    def reconstruct(self, x: Any = None) -> Array:
        """Return Dᵀz for the examples, or for others, shape (n, features)."""
        return self.encode(x) @ self.dictionary

    def _codes(self, x: Array, atoms: Array) -> Array:
        recipe = self.recipe
        return ista(
            x,
            atoms,
            recipe.penalty,
            iterations=recipe.iterations,
            tolerance=recipe.tolerance,
            accelerate=recipe.accelerate,
            nonnegative=recipe.nonnegative,
        ).values

    def _evaluate(
        self, x: Array, rng: np.random.Generator, slopes: bool = True
    ) -> tuple[float, Array]:
        atoms, lengths = _unit(self.part("atoms"))
        z = self._codes(x, atoms)
        slope = -z.T @ (x - z @ atoms) / len(x)
        # Through the direction of a vector: what points along it changes nothing.
        slope = (slope - (slope * atoms).sum(axis=1, keepdims=True) * atoms) / lengths
        return _loss(x, atoms, self.recipe.penalty, z), self._flat(atoms=slope)

    def __repr__(self) -> str:
        units, features = self.shapes["atoms"]
        sizes = f"{units} atoms of {features}"
        return f"SparseCodingObjective({sizes}, {self.recipe!r}, {self.examples} examples)"


def _unit(vectors: Array) -> tuple[Array, Array]:
    """Return vectors divided by their lengths, and the lengths as a column."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths, lengths
