"""Units: activation functions and layers that Gluon lacks.

Each is a HybridBlock that runs eagerly, hybridised and on symbols. They are built from
``FullyConnected`` and ``npx.activation``, which are many times faster than ``np.dot`` and
``np.tanh``. Beware: MXNet's float32 ``activation('relu')`` turns NaN into 0, so a net of rectified
units can hide a weight that is no number; watch the loss and the sums before the activation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as onp

from nnbook._arguments import check_whole
from nnbook.gluon.layers.initializers import Constant
from nnbook.gluon.runtime import mx

nn = mx.gluon.nn

__all__ = ["RBF", "Identity", "Maxout", "ScaledTanh", "activation", "recommended_targets"]


class Identity(mx.gluon.HybridBlock):
    """The linear unit: f(x) = x."""

    def hybrid_forward(self, F, x):
        """Return x."""
        return x


class ScaledTanh(mx.gluon.HybridBlock):
    """A symmetric sigmoid with f(±1) ≈ ±1: f(x) = a tanh(bx) + twist · x.

    With inputs of variance 1 its outputs have a variance near 1, and targets of ±1 lie where the
    second derivative is largest, not at the asymptotes.

    Parameters
    ----------
    a, b : float
        Height and slope, > 0.
    twist : float
        Slope of an added linear term, ≥ 0, against flat spots; 0.01 is typical.

    Raises
    ------
    ValueError
        A value that is not finite or not in its range.

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), Efficient BackProp.
    """

    def __init__(self, a: float = 1.7159, b: float = 2 / 3, twist: float = 0.0, **kwargs: Any):
        for name, value in (("a", a), ("b", b)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value!r}; expected a finite number > 0")
        if not (math.isfinite(twist) and twist >= 0):
            raise ValueError(f"twist is {twist!r}; expected a finite number >= 0")
        super().__init__(**kwargs)
        self.a, self.b, self.twist = float(a), float(b), float(twist)

    def hybrid_forward(self, F, x):
        """Return f(x), elementwise."""
        bent = self.a * F.npx.activation(self.b * x, act_type="tanh")
        return bent + self.twist * x if self.twist else bent

    def __repr__(self) -> str:
        return f"ScaledTanh(a={self.a:g}, b={self.b:g}, twist={self.twist:g})"


_GLUON_NAMES = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "relu", "softplus": "softrelu"}
_ACTIVATIONS = (*_GLUON_NAMES, "scaled_tanh", "identity")


def activation(name: str | None) -> Any:
    """Return a block that applies an activation function elementwise.

    Parameters
    ----------
    name : str or None
        "sigmoid" 1/(1 + e^(−x)), "tanh", "scaled_tanh" 1.7159 tanh(2x/3), "relu" max(0, x),
        "softplus" ln(1 + e^x), "identity" or None x.

    Returns
    -------
    mxnet.gluon.HybridBlock

    Raises
    ------
    ValueError
        An unknown name.
    """
    if name is None or name == "identity":
        return Identity()
    if name == "scaled_tanh":
        return ScaledTanh()
    if name not in _GLUON_NAMES:
        raise ValueError(f"activation is {name!r}; expected one of {', '.join(_ACTIVATIONS)}")
    return nn.Activation(_GLUON_NAMES[name])


def recommended_targets(activation: str | ScaledTanh) -> tuple[float, float]:
    """Return the two targets that suit an output unit: f where its curvature f″ is largest in size.

    There the unit is about to leave its linear part, and still passes a good part of the gradient.
    For every f(x) = a tanh(bx) that is where tanh(bx) = ±1/√3, so the targets are 1/√3 = 57.7 % of
    the way from the middle to the asymptotes: ±0.577 for tanh, 0.211 and 0.789 for the logistic
    sigmoid, ±0.991 for 1.7159 tanh(2x/3), whose constants were chosen for the round ±1.

    Parameters
    ----------
    activation : str or ScaledTanh
        "tanh", "sigmoid", "scaled_tanh", or a block with other constants.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        A function without such points: only the sigmoid ones bend towards two asymptotes.

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), Efficient BackProp.

    Examples
    --------
    >>> from nnbook import layers
    >>> [round(target, 3) for target in layers.recommended_targets("sigmoid")]
    [0.211, 0.789]
    """
    bend = 1 / math.sqrt(3)  # tanh″ = −2 tanh (1 − tanh²) is extreme where 3 tanh² = 1
    if activation == "sigmoid":
        return (1 - bend) / 2, (1 + bend) / 2
    block = {"tanh": ScaledTanh(1, 1), "scaled_tanh": ScaledTanh()}.get(activation, activation)
    if not isinstance(block, ScaledTanh):
        raise ValueError(
            f"activation is {activation!r}; expected 'sigmoid', 'tanh', 'scaled_tanh' or a "
            "ScaledTanh: functions with two asymptotes. Linear outputs can reach any target"
        )
    high = block.a * bend + block.twist * math.atanh(bend) / block.b
    return -high, high


class Maxout(mx.gluon.HybridBlock):
    """Units that learn their activation function: h_i = max over k of (w_ik · x + b_ik).

    Parameters
    ----------
    units : int
        Number of outputs.
    pieces : int
        Linear pieces per unit, at least 2.
    in_units : int
        Number of inputs; 0 to take it from the first batch.
    dtype : str
        "float32" or "float64".

    Raises
    ------
    ValueError, TypeError
        A size that is not a whole number in its range.

    Notes
    -----
    Each piece is a Dense layer of its own. Where two pieces are equal, one of them gets the whole
    gradient (MXNet's ``np.max`` would give it to both, twice the slope).

    References
    ----------
    Goodfellow et al. (2013), Maxout networks.
    """

    def __init__(
        self, units: int, pieces: int = 2, in_units: int = 0, dtype: str = "float32", **kwargs: Any
    ):
        units, pieces = check_whole(units, "units"), check_whole(pieces, "pieces")
        if pieces < 2:
            raise ValueError(f"pieces is {pieces}; expected at least 2 (1 is a linear layer)")
        in_units = in_units and check_whole(in_units, "in_units")
        super().__init__(**kwargs)
        with self.name_scope():
            for _ in range(pieces):
                self.register_child(nn.Dense(units, in_units=in_units, dtype=dtype))

    def hybrid_forward(self, F, x):
        """Map (n, in_units) to (n, units)."""
        first, *others = self._children.values()
        largest = first(x)
        for piece in others:
            largest = F.np.maximum(largest, piece(x))
        return largest


class RBF(mx.gluon.HybridBlock):
    """Gaussian units, each active around its centre: h_i = exp(−‖x − c_i‖² / (2σ_i²)).

    Centres and widths are learned, the widths as ln σ so that they stay positive.

    Parameters
    ----------
    units : int
        Number of units.
    in_units : int
        Number of inputs.
    centres : array, optional
        Initial centres, shape (units, in_units); by default drawn from N(0, 1), which suits
        standardised inputs.
    width : float or array, optional
        Initial σ > 0, one or `units` of them; by default √in_units.
    dtype : str
        "float32" or "float64".

    Raises
    ------
    ValueError, TypeError
        A size below 1, centres of another shape or not finite, a width that is not positive.

    Notes
    -----
    ‖x − c‖² is computed as ‖x‖² − 2x·c + ‖c‖², one matrix product; its rounding error is that of
    ‖x‖², so keep the inputs centred, above all in float32.

    References
    ----------
    Broomhead and Lowe (1988), Multivariable functional interpolation and adaptive networks.
    """

    def __init__(
        self,
        units: int,
        in_units: int,
        centres: Any = None,
        width: Any = None,
        dtype: str = "float32",
        **kwargs: Any,
    ):
        shape = (check_whole(units, "units"), check_whole(in_units, "in_units"))
        if centres is not None and tuple(onp.shape(centres)) != shape:
            raise ValueError(f"centres have shape {onp.shape(centres)}; expected {shape}")
        widths = onp.array(math.sqrt(in_units) if width is None else width, dtype=float)
        if widths.shape not in ((), shape[:1]):
            raise ValueError(f"width has shape {widths.shape}; expected () or {shape[:1]}")
        if not (onp.isfinite(widths).all() and (widths > 0).all()):
            raise ValueError(f"width is {width!r}; expected finite numbers > 0")
        super().__init__(**kwargs)
        self._units = shape[0]
        initial = _StandardNormal() if centres is None else Constant(centres)
        with self.name_scope():
            self.centres = self.params.get("centres", shape=shape, init=initial, dtype=dtype)
            self.log_width = self.params.get(
                "log_width", shape=shape[:1], init=Constant(onp.log(widths)), dtype=dtype
            )

    @classmethod
    def from_examples(cls, x: Any, units: int, seed: int = 0, **kwargs: Any) -> RBF:
        """Build a layer whose centres are examples drawn without replacement.

        The common width is d/√(2 · units), with d the largest distance between two centres
        (Haykin 2009): not too peaked, not too flat.

        Parameters
        ----------
        x : array, shape (n, in_units)
            Examples, NumPy or MXNet.
        units : int
            Number of centres, from 2 to n.
        seed : int
            Of the draw.
        **kwargs
            Passed on, such as `dtype`.

        Returns
        -------
        RBF
            Not yet initialised; ``initialize()`` puts the centres in place.

        Raises
        ------
        ValueError
            `x` is not a matrix, too few examples, or all the centres are the same point.
        """
        x = onp.asarray(x.asnumpy() if hasattr(x, "asnumpy") else x, dtype=float)
        if x.ndim != 2:
            raise ValueError(f"x has shape {x.shape}; expected (n, in_units)")
        if not 2 <= check_whole(units, "units") <= len(x):
            raise ValueError(f"units is {units}; expected 2 to {len(x)}, the number of examples")
        rows = onp.random.default_rng(seed).choice(len(x), units, replace=False)
        centres = x[rows]
        distance = max(onp.linalg.norm(centres - centre, axis=1).max() for centre in centres)
        if distance == 0:
            raise ValueError("all the centres drawn are the same point; expected distinct examples")
        return cls(units, x.shape[1], centres, distance / math.sqrt(2 * units), **kwargs)

    def hybrid_forward(self, F, x, centres, log_width):
        """Map (n, in_units) to (n, units)."""
        products = F.npx.fully_connected(
            x, centres, None, num_hidden=self._units, no_bias=True, flatten=False
        )
        squared = (
            F.np.sum(F.np.square(x), axis=-1, keepdims=True)
            - 2 * products
            + F.np.sum(F.np.square(centres), axis=-1)
        )
        # Rounding can bring a distance just below 0; `maximum` keeps NaN, unlike relu.
        return F.np.exp(-0.5 * F.np.maximum(squared, 0) * F.np.exp(-2 * log_width))


class _StandardNormal(Constant):
    """Values from N(0, 1), whatever the shape."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def sample(self, shape, rng):
        return rng.normal(size=shape)
