"""A model's loss as a function of one vector θ: the seam between models and what is done with them.

Checks, curvature, solvers and the training loop know of a model only what an `Objective` tells: how
large θ is and which part of it belongs to which parameter, the loss L(θ) of some examples, and its
gradient ∇L(θ). A Gluon network becomes one by itself. For any other model, `from_function` makes
one of two functions:

>>> import numpy as np
>>> from nnbook import checks, objective
>>> x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 5.0])
>>> line = objective.from_function(
...     lambda theta, rows: ((theta[0] * x[rows] + theta[1] - y[rows]) ** 2).mean(),
...     lambda theta, rows: 2 * np.array([
...         ((theta[0] * x[rows] + theta[1] - y[rows]) * x[rows]).mean(),
...         (theta[0] * x[rows] + theta[1] - y[rows]).mean()]),
...     theta=np.array([1.0, 0.5]), shapes={"slope": (1,), "intercept": (1,)}, examples=3)
>>> line.loss(), line.loss([0])
(0.9166666666666666, 0.25)
>>> checks.check_gradients(line).verdict
'happy'
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from nnbook._arguments import check_whole

__all__ = ["FunctionObjective", "Objective", "from_function", "slices_of", "weight_mask"]

Shapes = Mapping[str, tuple[int, ...]]
Function = Callable[..., Any]


@runtime_checkable
class Objective(Protocol):
    """The mean loss of some examples, and its gradient, as functions of one vector θ.

    Any object with these attributes is one; it need not derive from this class.

    Attributes
    ----------
    size : int
        P, the number of entries of θ.
    slices : mapping of str to slice
        The part of θ that belongs to each parameter, in order and without gaps.
    shapes : mapping of str to tuple of int
        The shape of each parameter.
    examples : int or None
        How many examples there are to choose rows from; None where L is one whole.
    theta : numpy.ndarray, shape (P,)
        θ, in float64 or float32. It is read only; assigning a vector changes the model.
    """

    @property
    def size(self) -> int:
        """P, the number of entries of θ."""

    @property
    def slices(self) -> Mapping[str, slice]:
        """The part of θ that belongs to each parameter."""

    @property
    def shapes(self) -> Shapes:
        """The shape of each parameter."""

    @property
    def examples(self) -> int | None:
        """How many examples there are to choose rows from."""

    theta: np.ndarray

    def loss(self, rows: Any = None) -> float:
        """Return L(θ), the mean over the examples of some rows, or over all of them."""

    def gradient(self, rows: Any = None) -> np.ndarray:
        """Return ∇L(θ), shape (P,), over the same examples; nothing of the model changes."""


class FunctionObjective:
    """An `Objective` of two functions; `from_function` makes it.

    Attributes
    ----------
    size, slices, shapes, examples
        As `Objective` says.
    """

    def __init__(
        self,
        loss: Function,
        gradient: Function,
        theta: np.ndarray,
        shapes: Shapes,
        examples: int | None,
    ):
        self._loss, self._gradient = loss, gradient
        self._theta = theta
        self.shapes, self.examples = dict(shapes), examples
        self.slices = slices_of(shapes)

    @property
    def size(self) -> int:
        """P, the number of entries of θ."""
        return len(self._theta)

    @property
    def theta(self) -> np.ndarray:
        """θ, shape (P,), a view that is read only. Assigning copies the values."""
        view = self._theta.view()
        view.flags.writeable = False
        return view

    @theta.setter
    def theta(self, values: Any) -> None:
        values = _vector(values, "theta", self._theta.shape)
        # A new array: who kept the old one, to come back to it, keeps its values.
        self._theta = values.astype(self._theta.dtype, copy=True)

    def identity(self) -> list[Any]:
        """Return what tells this objective from others: its functions and its layout."""
        return [self._loss, self._gradient, self.shapes, self.examples]

    def loss(self, rows: Any = None) -> float:
        """Return L(θ) of some rows, by default of all."""
        value = self._loss(*self._arguments(rows))
        if math.prod(getattr(value, "shape", ())) != 1 or isinstance(value, (tuple, list, dict)):
            what = f"shape {value.shape}" if hasattr(value, "shape") else type(value).__name__
            raise ValueError(
                f"loss returned {what}; expected one number, the mean over the examples"
            )
        # PyTorch warns of float(tensor) where the tensor has a gradient.
        return float(value.item() if hasattr(value, "item") else value)

    def gradient(self, rows: Any = None) -> np.ndarray:
        """Return ∇L(θ) of some rows, by default of all, shape (P,)."""
        slope = self._gradient(*self._arguments(rows))
        return _vector(slope, "gradient", self._theta.shape)

    def _arguments(self, rows: Any) -> tuple[Any, ...]:
        if self.examples is not None:
            return self._theta.copy(), slice(None) if rows is None else rows
        if rows is not None:
            raise ValueError(
                f"rows is {rows!r}, but this objective has no examples to choose from. Make it "
                "with from_function(…, examples=n) and functions of theta and rows"
            )
        return (self._theta.copy(),)  # a function that works in place would change the model

    def __repr__(self) -> str:
        of = "" if self.examples is None else f", {self.examples} examples"
        return f"FunctionObjective({self.size} parameters in {len(self.shapes)} arrays{of})"


def from_function(
    loss: Function,
    gradient: Function,
    theta: Any,
    *,
    shapes: Shapes | None = None,
    examples: int | None = None,
) -> FunctionObjective:
    """Make an `Objective` of a loss and its gradient, whoever computes them.

    Parameters
    ----------
    loss : callable
        ``loss(theta) -> number``, or ``loss(theta, rows)`` where `examples` is given: the mean loss
        of these rows, indices or a slice.
    gradient : callable
        ``gradient(theta)`` or ``gradient(theta, rows)``: ∇L, an array of shape (P,).
    theta : array, shape (P,)
        Where to start, in float64 or float32; it is copied.
    shapes : mapping of str to tuple of int, optional
        The shapes of the parameters, in the order in which θ holds them; by default one, "theta".
    examples : int, optional
        How many examples there are, n.

    Returns
    -------
    FunctionObjective

    Raises
    ------
    TypeError
        `loss` or `gradient` is no function, or `theta` holds no floating-point numbers.
    ValueError
        `theta` is empty or not one vector, or `shapes` do not fit it; later, when the gradient is
        asked for, if it has another shape than θ.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import objective
    >>> bowl = objective.from_function(lambda t: (t @ t) / 2, lambda t: t, np.array([3.0, 4.0]))
    >>> bowl.loss(), bowl.gradient()
    (12.5, array([3., 4.]))
    >>> bowl.theta = np.array([0.0, 1.0])
    >>> bowl.loss()
    0.5
    """
    for name, function in (("loss", loss), ("gradient", gradient)):
        if not callable(function):
            raise TypeError(f"{name} is a {type(function).__name__}; expected a function of theta")
    try:
        theta = np.asarray(theta).copy()
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"theta is a {type(theta).__name__} ({error}); {_FLAT}") from error
    if theta.dtype == object:
        raise TypeError(f"theta holds objects; {_FLAT}")
    if theta.dtype not in (np.float64, np.float32):
        raise TypeError(f"theta has the dtype {theta.dtype}; expected float64 or float32")
    if theta.ndim != 1 or not len(theta):
        raise ValueError(
            f"theta has shape {theta.shape}; expected one vector with at least one entry. Flatten "
            "it, and give the shapes of its parts as shapes={name: shape, …}"
        )
    shapes = {"theta": theta.shape} if shapes is None else shapes
    if not isinstance(shapes, Mapping):
        raise TypeError(
            f"shapes is a {type(shapes).__name__}; expected a mapping from name to shape"
        )
    for name, shape in shapes.items():
        if not isinstance(name, str):
            raise TypeError(f"shapes has the name {name!r}; expected a text, such as 'weight'")
        if not isinstance(shape, (tuple, list)) or any(
            not isinstance(n, (int, np.integer)) or n < 0 for n in shape
        ):
            raise TypeError(f"shapes[{name!r}] is {shape!r}; expected a shape, such as (3, 2)")
    shapes = {name: tuple(shape) for name, shape in shapes.items()}
    total = sum(math.prod(shape) for shape in shapes.values())
    if total != len(theta):
        raise ValueError(
            f"shapes hold {total} numbers and theta {len(theta)}; expected as many. They are "
            f"{dict(shapes)}"
        )
    if examples is not None:
        examples = check_whole(examples, "examples")
    return FunctionObjective(loss, gradient, theta, shapes, examples)


_FLAT = (
    "expected one NumPy vector in float64 or float32. In PyTorch: "
    "parameters_to_vector(model.parameters()).detach().numpy(); in JAX: ravel_pytree(params)[0]"
)


def _vector(values: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return what a framework gave as a real vector of this shape, or say what is wrong."""
    join = "Flatten and join the parts: numpy.concatenate([part.ravel() for part in parts])"
    try:
        vector = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{name} is a {type(values).__name__} that NumPy makes no array of ({error}); expected "
            f"one vector of shape {shape}, in float64 or float32. {join}"
        ) from error
    if vector.shape != shape:
        raise ValueError(
            f"{name} has shape {vector.shape}; expected one vector of shape {shape}. {join}"
        )
    if vector.dtype.kind not in "fiu" or vector.dtype == np.float16:
        raise TypeError(f"{name} has the dtype {vector.dtype}; expected float64 or float32")
    return vector


def not_an_objective(thing: Any) -> str:
    """Return what to say of something that is neither a Gluon network nor an objective."""
    names = ("size", "slices", "shapes", "examples", "theta", "loss", "gradient")
    missing = [name for name in names if not hasattr(thing, name)]
    lacks = f" It lacks {', '.join(missing)}." if len(missing) < 5 else ""
    return (
        f"net is a {type(thing).__name__}; expected a Gluon network or an Objective.{lacks} "
        "nnbook.objective.from_function makes one of a model of any framework"
    )


def slices_of(shapes: Shapes) -> dict[str, slice]:
    """Return the part of θ that belongs to each parameter, one after the other.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The shapes of the parameters, in order.

    Returns
    -------
    dict of str to slice

    Examples
    --------
    >>> from nnbook import objective
    >>> objective.slices_of({"weight": (2, 3), "bias": (2,)})
    {'weight': slice(0, 6, None), 'bias': slice(6, 8, None)}
    """
    slices, start = {}, 0
    for name, shape in shapes.items():
        slices[name] = slice(start, start + math.prod(shape))
        start = slices[name].stop
    return slices


def weight_mask(shapes: Shapes) -> np.ndarray:
    """Return which entries of θ are weights: those of parameters with two axes or more.

    Biases and the scales of normalisation layers have one axis; penalties leave them alone. Where
    no parameter has two axes, θ is one vector of weights.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The shapes of the parameters, in order.

    Returns
    -------
    numpy.ndarray of bool, shape (P,)

    Examples
    --------
    >>> from nnbook import objective
    >>> objective.weight_mask({"weight": (1, 2), "bias": (1,)})
    array([ True,  True, False])
    """
    parts = [np.full(math.prod(shape), len(shape) >= 2) for shape in shapes.values()]
    mask = np.concatenate(parts)
    return mask if mask.any() else ~mask
