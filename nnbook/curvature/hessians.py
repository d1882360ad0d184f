"""The Hessian and the Gauss–Newton matrix of a model as operators, and their diagonals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnbook._arguments import check_choice, check_positive
from nnbook.curvature.dense import DenseObjective, Passes
from nnbook.curvature.operators import Operator, as_operator
from nnbook.objective import not_an_objective

__all__ = ["GaussNewton", "Hessian", "diagonal", "gradient_difference"]

Array = np.ndarray


class Hessian(Operator):
    """The Hessian of a mean loss at the θ that the model has now, by its products.

    Data and θ are fixed when it is made, and a network is taken as it is in use, with dropout off:
    later changes of the model do not reach it.

    Parameters
    ----------
    model : Objective, DenseObjective or mxnet.gluon.Block
        Whose loss.
    loss : callable, optional
        With a network: of `nnbook.losses`, or any other.
    data : tuple of array, optional
        With a network: ``(x, y)``.
    method : str
        "r": Pearlmutter's R-operator, exact, for dense layers with elementwise activations and the
        losses of this book. "difference": (∇L(θ + εv) − ∇L(θ − εv)) / 2ε with gradients in
        float64, for every model. "auto": "r" where it can be.
    rows : array of int or slice, optional
        Which examples, with an objective.
    step : float, optional
        ε for "difference"; as in `gradient_difference`.

    Attributes
    ----------
    method : str
        "r" or "difference".
    reason : str
        Why not "r", where "auto" did not take it.
    theta : numpy.ndarray, shape (P,)
        Where.

    Raises
    ------
    ValueError
        `method` is "r" and the model does not allow it.

    References
    ----------
    Pearlmutter (1994), Fast exact multiplication by the Hessian.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import curvature, objective
    >>> saddle = objective.from_function(
    ...     lambda t: t[0] * t[1], lambda t: t[::-1], np.array([1.0, 2.0]))
    >>> curvature.Hessian(saddle).dense().round(8)
    array([[0., 1.],
           [1., 0.]])
    """

    def __init__(
        self,
        model: Any,
        loss: Any = None,
        data: Any = None,
        *,
        method: str = "auto",
        rows: Any = None,
        step: float | None = None,
    ):
        check_choice(method, "method", ("auto", "r", "difference"))
        model, self.reason = _objective(model, loss, data, method)
        self.size, self.theta = model.size, np.array(model.theta)
        exact = isinstance(model, DenseObjective) and method != "difference"
        if method == "r" and not exact:
            raise ValueError(f"method is 'r', but {self.reason}; take method='difference'")
        self.method = "r" if exact else "difference"
        self._product: Callable[[Array], Array]
        if exact:
            self._product = _RProduct(model, rows)
        else:
            gradient = _fixed_gradient(model, rows)
            self._product = gradient_difference(gradient, self.theta, step=step).matvec

    def matvec(self, v: Array) -> Array:
        """Return H v, shape (P,)."""
        return self._product(np.asarray(v))

    def __repr__(self) -> str:
        return f"Hessian(size={self.size}, method={self.method!r})"


class GaussNewton(Operator):
    """The Gauss–Newton matrix JᵀGJ of a mean loss: J of the outputs, G the loss's own Hessian.

    It is the Hessian without what the curvature of the *network* adds, Σ ∂L/∂uₖ ∇²uₖ: the same
    where the outputs are linear in θ, close where the residuals are small, and positive
    semi-definite for convex losses.

    Parameters
    ----------
    model, loss, data, rows
        As for `Hessian`; dense layers with elementwise activations and a loss of this book. For
        anything else, `GaussNewton.of` takes the Jacobian.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import curvature
    >>> curvature.GaussNewton.of(np.array([[1.0, 2.0], [0.0, 1.0]])).dense()
    array([[1., 2.],
           [2., 5.]])
    """

    def __init__(self, model: Any, loss: Any = None, data: Any = None, *, rows: Any = None):
        model, reason = _objective(model, loss, data, "r")
        if not isinstance(model, DenseObjective):
            raise ValueError(
                f"no Gauss–Newton matrix: {reason}. GaussNewton.of(jacobian) makes one of the "
                "derivatives of the outputs"
            )
        self.size, self.theta = model.size, np.array(model.theta)
        self._product: Callable[[Array], Array] = _RProduct(model, rows, gauss_newton=True)

    @classmethod
    def of(cls, jacobian: Any, weights: Any = None) -> GaussNewton:
        """Return JᵀGJ of a Jacobian.

        Parameters
        ----------
        jacobian : array, shape (m, P)
            J, the derivatives of residuals or outputs.
        weights : array, shape (m,) or (m, m), optional
            G, or its diagonal; by default 1.

        Returns
        -------
        GaussNewton
        """
        jacobian = np.array(jacobian, dtype=float)
        if jacobian.ndim != 2:
            raise ValueError(f"jacobian has shape {jacobian.shape}; expected (m, P)")
        G = 1.0 if weights is None else np.array(weights, dtype=float)
        matrix = np.ndim(G) == 2
        self = cls.__new__(cls)
        self.size, self.theta = jacobian.shape[1], np.zeros(0)

        def product(v: Array) -> Array:
            Jv = jacobian @ v
            return jacobian.T @ (G @ Jv if matrix else G * Jv)

        self._product = product
        return self

    def matvec(self, v: Array) -> Array:
        """Return JᵀGJ v, shape (P,)."""
        return self._product(np.asarray(v, dtype=float))


class _RProduct:
    """H v, or JᵀGJ v, by the R-operator; the passes that do not depend on v are kept."""

    def __init__(self, model: DenseObjective, rows: Any, gauss_newton: bool = False):
        self.layers, self.size, self.kind = model.layers, model.size, model.kind
        self.passes: Passes = model.passes(rows)
        self.gauss_newton = gauss_newton

    def __call__(self, v: Array) -> Array:
        v = np.asarray(v, dtype=float)
        p, found = self.passes, np.zeros(self.size)
        R_z, R_a = self._forward(v)
        R_e = self.kind.curve(p.a[-1], p.y, R_a[-1]) / len(p.y)
        for k in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[k]
            R_delta = R_e * p.slope[k]
            if not self.gauss_newton:
                R_delta += p.e[k] * p.bend[k] * R_z[k]
            product = R_delta.T @ p.a[k]
            if not self.gauss_newton and k:
                product += p.delta[k].T @ R_a[k]
            found[layer.weight] = product.ravel()
            if layer.bias is not None:
                found[layer.bias] = R_delta.sum(axis=0)
            if k:
                R_e = R_delta @ p.weights[k]
                if not self.gauss_newton:
                    R_e += p.delta[k] @ v[layer.weight].reshape(layer.units, layer.inputs)
        return found

    def _forward(self, v: Array) -> tuple[list[Array], list[Array]]:
        """Return the derivatives of z and a along v, layer by layer."""
        p = self.passes
        R_z: list[Array] = []
        R_a: list[Array] = [np.zeros(0)]  # the inputs do not depend on θ
        for k, layer in enumerate(self.layers):
            change = p.a[k] @ v[layer.weight].reshape(layer.units, layer.inputs).T
            if layer.bias is not None:
                change += v[layer.bias]
            if k:
                change += R_a[k] @ p.weights[k].T
            R_z.append(change)
            R_a.append(p.slope[k] * change)
        return R_z, R_a


class _Difference(Operator):
    """H v by a difference of gradients."""

    def __init__(
        self, gradient: Callable[[Array], Array], theta: Array, step: float, centred: bool
    ):
        self.gradient, self.theta, self.size = gradient, theta, len(theta)
        self.step, self.centred = step, centred
        self.base = None if centred else np.array(gradient(theta), dtype=float)

    def matvec(self, v: Array) -> Array:
        v = np.asarray(v, dtype=float)
        length = float(np.linalg.norm(v))
        if length == 0:
            return np.zeros(self.size)
        move = v * (self.step / length)
        ahead = np.asarray(self.gradient(self.theta + move), dtype=float)
        if self.centred:
            behind = np.asarray(self.gradient(self.theta - move), dtype=float)
            return (ahead - behind) * (length / (2 * self.step))
        return (ahead - self.base) * (length / self.step)


def gradient_difference(
    gradient: Callable[[Array], Any],
    theta: Any,
    *,
    step: float | None = None,
    centred: bool = True,
) -> Operator:
    """Return the Hessian of a function as an operator, by differences of its gradient.

    The centred quotient is wrong by O(ε²), the forward one, at half the price, by O(ε); rounding
    adds about 1e-16/ε to both. ε is measured along v / ‖v‖, so that the length of v does not
    matter.

    Parameters
    ----------
    gradient : callable
        ``gradient(theta)``, shape (P,).
    theta : array, shape (P,)
        Where.
    step : float, optional
        ε; by default 1e-5 (1 + ‖θ‖/√P), with 3e-8 for forward quotients; for a θ in float32
        1e-2 and 1e-3.
    centred : bool
        Which quotient.

    Returns
    -------
    Operator

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import curvature, problems
    >>> H = curvature.gradient_difference(problems.rosenbrock().gradient, [1.0, 1.0])
    >>> (H @ np.array([1.0, 0.0])).round(4)
    array([ 802., -400.])
    """
    if not callable(gradient):
        raise TypeError(f"gradient is {gradient!r}; expected a function of theta")
    theta = np.array(theta)
    if theta.ndim != 1 or not theta.size:
        raise ValueError(f"theta has shape {theta.shape}; expected one vector")
    single = theta.dtype == np.float32
    if step is None:
        unit = 1 + float(np.linalg.norm(theta)) / np.sqrt(len(theta))
        step = unit * ((1e-2 if single else 1e-5) if centred else (1e-3 if single else 3e-8))
    step = check_positive(step, "step")
    return _Difference(gradient, theta.astype(float), step, centred)


def diagonal(
    model: Any,
    loss: Any = None,
    data: Any = None,
    *,
    rows: Any = None,
    positive: bool = False,
) -> Array:
    """Return the diagonal of the Hessian by back-propagation, as LeCun et al. approximate it.

    ∂²L/∂z² = f′² ∂²L/∂a² + f″ ∂L/∂a and ∂²L/∂aⱼ² ≈ Σₖ Wₖⱼ² ∂²L/∂zₖ²: what couples the units of a
    layer is left out. Exact for one hidden layer and an elementwise loss, whatever the activation;
    else not, in a deep linear network neither.

    Parameters
    ----------
    model, loss, data, rows
        As for `GaussNewton`. An operator gives its exact diagonal, by P products.
    positive : bool
        Whether to leave out f″, as stochastic diagonal Levenberg–Marquardt wants: then no entry is
        negative.

    Returns
    -------
    numpy.ndarray, shape (P,)

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), Efficient BackProp, section 7.

    Examples
    --------
    >>> from nnbook import curvature
    >>> curvature.diagonal(curvature.Matrix([[2.0, 1.0], [1.0, 3.0]]))
    array([2., 3.])
    """
    if loss is None and hasattr(model, "matvec"):
        operator = as_operator(model)
        found, unit = np.zeros(operator.size), np.zeros(operator.size, dtype=operator.dtype)
        for i in range(operator.size):
            unit[i] = 1.0
            found[i] = operator.matvec(unit)[i]
            unit[i] = 0.0
        return found
    model, reason = _objective(model, loss, data, "r")
    if not isinstance(model, DenseObjective):
        raise ValueError(
            f"no diagonal by back-propagation: {reason}. diagonal(Hessian(…)) computes it by one "
            "product an entry"
        )
    return _propagated(model, model.passes(rows), positive)


def _propagated(model: DenseObjective, p: Passes, positive: bool) -> Array:
    found = np.zeros(model.size)
    curve = model.kind.diagonal(p.a[-1], p.y) / len(p.y)
    for k in range(len(model.layers) - 1, -1, -1):
        layer = model.layers[k]
        curve = curve * p.slope[k] ** 2
        if not positive:
            curve += p.bend[k] * p.e[k]
        found[layer.weight] = (curve.T @ p.a[k] ** 2).ravel()
        if layer.bias is not None:
            found[layer.bias] = curve.sum(axis=0)
        curve = curve @ p.weights[k] ** 2
    return found


def _objective(model: Any, loss: Any, data: Any, method: str) -> tuple[Any, str]:
    """Return an objective, dense if `method` wants it and the model is, and else why it is not."""
    if hasattr(model, "collect_params"):  # a Gluon network
        from nnbook.gluon.curvature import objective_of

        return objective_of(model, loss, data, dense=method != "difference")
    if not (hasattr(model, "gradient") and hasattr(model, "theta")):
        raise TypeError(not_an_objective(model))
    if loss is not None or data is not None:
        raise TypeError("loss and data go with a network; an objective has its own")
    if isinstance(model, DenseObjective):
        return model, ""
    return model, f"a {type(model).__name__} tells no more than its gradient"


def _fixed_gradient(model: Any, rows: Any) -> Callable[[Array], Array]:
    """Return the gradient of an objective as a function; the objective gets its θ back."""
    dtype = model.theta.dtype

    def gradient(theta: Array) -> Array:
        before = np.array(model.theta)
        try:
            model.theta = theta.astype(dtype)
            slope = model.gradient() if rows is None else model.gradient(rows)
            return np.array(slope, dtype=float)
        finally:
            model.theta = before

    return gradient
