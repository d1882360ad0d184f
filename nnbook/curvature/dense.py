"""A network of dense layers in NumPy, with exact products of its Hessian: the R-operator.

Forward, a layer computes z = a W' + b and a = f(z), with W' for Wᵀ. Pearlmutter's operator R takes
the derivative of every quantity of the forward and the backward pass along a direction v of θ, and
leaves R{∇L} = H v, at about the cost of one gradient and without H.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nnbook._arguments import check_choice, check_whole
from nnbook._arrays import as_generator, as_numpy
from nnbook.curvature.functions import LOSSES, Activation, Loss, as_activation
from nnbook.objective import slices_of

__all__ = ["DenseObjective", "Layer", "Passes"]

Array = np.ndarray


class Layer(NamedTuple):
    """Where a dense layer's parameters are in θ, and its activation.

    Attributes
    ----------
    weight : slice
        The part of θ with W, shape (units, inputs).
    bias : slice or None
        The part with b, shape (units,).
    inputs, units : int
        Sizes.
    activation : Activation
        f.
    """

    weight: slice
    bias: slice | None
    inputs: int
    units: int
    activation: Activation


class Passes(NamedTuple):
    """What a forward and a backward pass leave behind, for products that reuse it.

    Attributes
    ----------
    weights : list of numpy.ndarray
        W of each layer.
    a : list of numpy.ndarray
        The inputs of each layer, and at the end the outputs.
    slope, bend : list of numpy.ndarray
        f′(z) and f″(z) of each layer.
    e, delta : list of numpy.ndarray
        ∂L/∂a and ∂L/∂z of each layer.
    y : numpy.ndarray
        The targets.
    """

    weights: list[Array]
    a: list[Array]
    slope: list[Array]
    bend: list[Array]
    e: list[Array]
    delta: list[Array]
    y: Array


class DenseObjective:
    """A network of dense layers with a loss on data: an `Objective` in NumPy, float64.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, hidden units of each layer, outputs.
    data : tuple of array
        ``(x, y)``: examples (n, inputs), and labels (n,) or targets (n, outputs).
    loss : str
        A name of `nnbook.losses`: "squared_error", "softmax_cross_entropy",
        "sigmoid_cross_entropy", "hinge", "binary_cross_entropy" (of probabilities).
    activation : str or Activation
        Of the hidden layers: "identity", "sigmoid", "tanh", "scaled_tanh", "relu", "softplus",
        "softsign".
    output : str or Activation
        Of the last layer; "identity" for losses that take linear outputs.
    bias : bool
        Whether layers have biases.
    theta : array, shape (P,), optional
        The parameters; by default weights from N(0, 1/inputs) and biases 0.
    rng : int or numpy.random.Generator
        Of the initial weights.

    Attributes
    ----------
    size, slices, shapes, examples, theta
        As `nnbook.objective.Objective` says. The layout of θ is that of `nnbook.layers.mlp`.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import curvature
    >>> x, y = np.eye(3), np.array([0, 1, 1])
    >>> net = curvature.DenseObjective([3, 4, 2], (x, y), "softmax_cross_entropy", rng=0)
    >>> H = curvature.Hessian(net)
    >>> H, H.method
    (Hessian(size=26, method='r'), 'r')
    """

    def __init__(
        self,
        sizes: Sequence[int],
        data: tuple[Any, Any],
        loss: str,
        *,
        activation: str | Activation = "tanh",
        output: str | Activation = "identity",
        bias: bool = True,
        theta: Any = None,
        rng: Any = 0,
    ):
        sizes = [check_whole(size, "a size") for size in sizes]
        if len(sizes) < 2:
            raise ValueError(f"sizes is {sizes}; expected at least inputs and outputs")
        hidden, last = as_activation(activation), as_activation(output)
        shapes: dict[str, tuple[int, ...]] = {}
        for k, (inputs, units) in enumerate(itertools.pairwise(sizes)):
            shapes[f"{2 * k}.weight"] = (units, inputs)
            if bias:
                shapes[f"{2 * k}.bias"] = (units,)
        functions = [hidden] * (len(sizes) - 2) + [last]
        check_choice(loss, "loss", tuple(LOSSES))
        self._set_up(shapes, functions, LOSSES[loss], *_checked(data, sizes, LOSSES[loss]))
        self._theta = np.zeros(self.size)
        generator = as_generator(rng)
        for layer in self.layers:
            scale = layer.inputs**-0.5
            self._theta[layer.weight] = generator.normal(size=layer.inputs * layer.units) * scale
        if theta is not None:
            self.theta = theta

    def _set_up(
        self, shapes: Any, functions: Sequence[Activation], loss: Loss, x: Array, y: Array
    ) -> None:
        self.shapes, self.slices = dict(shapes), slices_of(shapes)
        self.x, self.y, self.kind = x, y, loss
        layers: list[Layer] = []
        for name, shape in self.shapes.items():
            if len(shape) == 2:
                activation = functions[len(layers)]
                layers.append(Layer(self.slices[name], None, shape[1], shape[0], activation))
            else:
                layers[-1] = layers[-1]._replace(bias=self.slices[name])
        self.layers = tuple(layers)

    @classmethod
    def of_parts(
        cls,
        shapes: Any,
        functions: Sequence[Activation],
        loss: str,
        data: tuple[Any, Any],
        theta: Any,
    ) -> DenseObjective:
        """Make one of the shapes of the parameters, in the order of θ, and the activations."""
        self = cls.__new__(cls)
        weights = [shape for shape in shapes.values() if len(shape) == 2]
        sizes = [weights[0][1], *(shape[0] for shape in weights)]
        self._set_up(shapes, functions, LOSSES[loss], *_checked(data, sizes, LOSSES[loss]))
        self._theta = np.zeros(self.size)
        self.theta = theta
        return self

    @property
    def size(self) -> int:
        """P, the number of entries of θ."""
        return sum(part.stop - part.start for part in self.slices.values())

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
        values = as_numpy(values, "theta").astype("float64")
        if values.shape != (self.size,):
            raise ValueError(f"theta has shape {values.shape}; expected ({self.size},)")
        self._theta = values

    def outputs(self, x: Any = None) -> Array:
        """Return the outputs for the examples, or for others, shape (n, outputs)."""
        a = self.x if x is None else np.asarray(x, dtype=float)
        for layer in self.layers:
            a = layer.activation.values(self._sum(layer, a))[0]
        return a

    def loss(self, rows: Any = None) -> float:
        """Return the mean loss of some rows, by default of all."""
        x, y = self._rows(rows)
        return float(self.kind.value(self.outputs(x), y).mean())

    def gradient(self, rows: Any = None) -> Array:
        """Return its gradient by back-propagation, shape (P,)."""
        passes = self.passes(rows)
        found = np.zeros(self.size)
        for layer, a, delta in zip(self.layers, passes.a, passes.delta, strict=False):
            found[layer.weight] = (delta.T @ a).ravel()
            if layer.bias is not None:
                found[layer.bias] = delta.sum(axis=0)
        return found

    def passes(self, rows: Any = None) -> Passes:
        """Run forward and backward, and keep everything."""
        x, y = self._rows(rows)
        a, slope, bend = [x], [], []
        for layer in self.layers:
            value, first, second = layer.activation.values(self._sum(layer, a[-1]))
            a.append(value)
            slope.append(first)
            bend.append(second)
        weights = [self._weight(layer) for layer in self.layers]
        e = [self.kind.gradient(a[-1], y) / len(x)]
        delta = [e[0] * slope[-1]]
        for k in range(len(self.layers) - 1, 0, -1):
            e.insert(0, delta[0] @ weights[k])
            delta.insert(0, e[0] * slope[k - 1])
        return Passes(weights, a, slope, bend, e, delta, y)

    def jacobian(self, rows: Any = None) -> Array:
        """Return the derivatives of the outputs in θ, shape (n, outputs, P); for small networks."""
        passes = self.passes(rows)
        n, outputs = passes.a[-1].shape
        found = np.zeros((n, outputs, self.size))
        for j in range(outputs):
            delta = np.zeros((n, outputs))
            delta[:, j] = passes.slope[-1][:, j]
            for k in range(len(self.layers) - 1, -1, -1):
                layer = self.layers[k]
                outer = delta[:, :, None] * passes.a[k][:, None, :]
                found[:, j, layer.weight] = outer.reshape(n, -1)
                if layer.bias is not None:
                    found[:, j, layer.bias] = delta
                if k:
                    delta = (delta @ passes.weights[k]) * passes.slope[k - 1]
        return found

    def _rows(self, rows: Any) -> tuple[Array, Array]:
        return (self.x, self.y) if rows is None else (self.x[rows], self.y[rows])

    def _weight(self, layer: Layer) -> Array:
        return self._theta[layer.weight].reshape(layer.units, layer.inputs)

    def _sum(self, layer: Layer, a: Array) -> Array:
        z = a @ self._weight(layer).T
        return z if layer.bias is None else z + self._theta[layer.bias]

    def __repr__(self) -> str:
        sizes = "-".join(map(str, [self.layers[0].inputs, *(one.units for one in self.layers)]))
        return f"DenseObjective({sizes}, {self.kind.name}, {self.examples} examples)"


def _checked(data: tuple[Any, Any], sizes: Sequence[int], loss: Loss) -> tuple[Array, Array]:
    """Return examples and targets as matrices in float64, labels as rows of 0 and 1."""
    x = as_numpy(data[0], "x").astype("float64")
    x = x.reshape(len(x), -1)
    y = as_numpy(data[1], "y")
    if x.shape[1] != sizes[0] or len(y) != len(x) or not len(x):
        raise ValueError(
            f"x has shape {x.shape} and y {y.shape}; expected (n, {sizes[0]}) and as many targets"
        )
    if loss.labels and y.ndim == 1:
        if ((y < 0) | (y >= sizes[-1]) | (y != np.floor(y))).any():
            raise ValueError(f"y has labels that are not among 0 … {sizes[-1] - 1}")
        return x, np.eye(sizes[-1])[y.astype(int)]
    y = y.astype("float64").reshape(len(y), -1)
    if y.shape[1] != sizes[-1]:
        raise ValueError(f"y has {y.shape[1]} targets an example; expected {sizes[-1]}")
    return x, y
