"""What all that learns a layer without labels has in common: inputs, θ, and luck of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from nnbook._arrays import as_numpy, check_finite
from nnbook.data.inputs import as_array
from nnbook.objective import slices_of

__all__ = ["LayerObjective", "Recipe", "as_inputs", "check_start"]

Array = np.ndarray
Start = tuple[Any, Any]


class Recipe(Protocol):
    """How a layer learns from its inputs: `AutoEncoder`, `CD`, `PCD`, `Exact`, `SparseCoding`."""

    def objective(
        self, x: Any, units: int, *, activation: Any = ..., start: Start | None = None, rng: Any = 0
    ) -> LayerObjective:
        """Return what `nnbook.training.fit` minimises for a layer of so many units."""


class LayerObjective:
    """An `nnbook.objective.Objective` in NumPy that learns one layer from inputs alone.

    It computes in the dtype of the inputs, float32 or float64. What it draws (masks, samples)
    depends on its seed and on the number of training steps taken: `loss` and `gradient` leave that
    as it is, so that both speak of one draw and can be checked against each other;
    `loss_and_gradient`, which `nnbook.training.fit` calls, goes on to the next. (A checkpoint does
    not know of draws: a run that is resumed from one takes others.)

    Attributes
    ----------
    x : numpy.ndarray, shape (n, inputs)
        The inputs.
    draws : int
        How many training steps have been taken.
    size, slices, shapes, examples, theta
        As `nnbook.objective.Objective` says.
    """

    def __init__(self, x: Array, shapes: Mapping[str, tuple[int, ...]], rng: np.random.Generator):
        self.x, self.draws = x, 0
        self.shapes, self.slices = dict(shapes), slices_of(shapes)
        self._theta = np.zeros(sum(map(math.prod, self.shapes.values())), dtype=x.dtype)
        self._seed = int(rng.integers(2**63))

    @property
    def size(self) -> int:
        """P, the number of entries of θ."""
        return len(self._theta)

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(self.x)

    @property
    def theta(self) -> Array:
        """θ, shape (P,), read only. Assigning copies the values."""
        view = self._theta.view()
        view.flags.writeable = False
        return view

    @theta.setter
    def theta(self, values: Any) -> None:
        values = as_numpy(values, "theta")
        if values.shape != (self.size,):
            raise ValueError(f"theta has shape {values.shape}; expected ({self.size},)")
        # A new array: views of the old one, such as a model made of it, keep their values.
        self._theta = values.astype(self._theta.dtype, copy=True)

    def identity(self) -> list[Any]:
        """Return what tells this objective from others: how it learns, from what, and its luck."""
        return [type(self).__name__, repr(self), self.shapes, self._seed, self.x]

    def part(self, name: str) -> Array:
        """Return a parameter in its own shape, read only; a later θ does not change it."""
        return self.theta[self.slices[name]].reshape(self.shapes[name])

    def loss(self, rows: Any = None) -> float:
        """Return the mean loss of some rows, by default of all."""
        return self._evaluate(self._rows(rows), self._generator(), slopes=False)[0]

    def gradient(self, rows: Any = None) -> Array:
        """Return its gradient, shape (P,)."""
        return self._evaluate(self._rows(rows), self._generator())[1]

    def loss_and_gradient(self, rows: Any = None) -> tuple[float, Array]:
        """Return both, and go on to the next draw: a step of training."""
        found = self._evaluate(self._rows(rows), self._generator())
        self.draws += 1
        return found

    def encode(self, x: Any = None) -> Array:
        """Return the codes of the inputs, or of others, shape (n, units)."""
        raise NotImplementedError

    def encoder(self) -> tuple[Array, Array]:
        """Return weight (units, inputs) and bias (units,) of the layer that was learned.

        Raises
        ------
        TypeError
            The codes are no affine map followed by an activation.
        """
        raise TypeError(
            f"the codes of {type(self).__name__} are not those of a dense layer; expected a recipe "
            "with an encoder, such as AutoEncoder() or CD()"
        )

    def _evaluate(
        self, x: Array, rng: np.random.Generator, slopes: bool = True
    ) -> tuple[float, Array]:
        """Return the mean loss, and its gradient if asked for, of some inputs at one draw."""
        raise NotImplementedError

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng([self._seed, self.draws])

    def _rows(self, rows: Any) -> Array:
        return self.x if rows is None else self.x[rows]

    def _inputs(self, x: Any) -> Array:
        """Return other inputs in this objective's dtype, or its own."""
        if x is None:
            return self.x
        values = as_inputs(x)
        if values.shape[1] != self.x.shape[1]:
            raise ValueError(
                f"x has {values.shape[1]} features; expected {self.x.shape[1]}, as learned from"
            )
        return values.astype(self.x.dtype, copy=False)

    def _put(self, **parts: Any) -> None:
        """Set parameters by name."""
        for name, values in parts.items():
            self._theta[self.slices[name]] = np.asarray(values).ravel()

    def _flat(self, **slopes: Array) -> Array:
        """Return slopes by name as one vector laid out like θ."""
        found = np.empty_like(self._theta)
        for name, part in self.slices.items():
            found[part] = slopes[name].ravel()
        return found


def as_inputs(x: Any, name: str = "x") -> Array:
    """Return examples as a finite matrix of float32, if they are that, or of float64.

    Parameters
    ----------
    x : array, shape (n, …)
        What has more than two axes is flattened.
    name : str
        What messages call it.

    Returns
    -------
    numpy.ndarray, shape (n, features)

    Raises
    ------
    TypeError, ValueError
        No real numbers, no example, or a NaN.
    """
    values = as_numpy(as_array(x, name), name)
    if values.ndim < 2 or not values.size:
        raise ValueError(
            f"{name} has shape {values.shape}; expected (n, features) with at least one of each. "
            f"One example is {name}[None]"
        )
    check_finite(values, name)
    dtype = "float32" if values.dtype == np.float32 else "float64"
    return values.reshape(len(values), -1).astype(dtype, copy=False)


def check_start(start: Start | None, units: int, inputs: int) -> tuple[Array, Array] | None:
    """Return initial weights (units, inputs) and biases (units,) as arrays, or None.

    Raises
    ------
    TypeError, ValueError
        No pair of arrays, or other shapes.
    """
    if start is None:
        return None
    if not isinstance(start, (tuple, list)) or len(start) != 2:
        raise TypeError(f"start is {start!r}; expected a pair (weight, bias)")
    weight, bias = as_numpy(start[0], "start's weight"), as_numpy(start[1], "start's bias")
    if weight.shape != (units, inputs) or bias.shape != (units,):
        raise ValueError(
            f"start has the shapes {weight.shape} and {bias.shape}; expected ({units}, {inputs}) "
            f"and ({units},)"
        )
    return weight, bias
