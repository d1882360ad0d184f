"""Losses, one value for each example."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as onp

from nnbook._arrays import as_numpy
from nnbook.gluon.runtime import mx
from nnbook.gluon.targets import check_range, check_rows

__all__ = [
    "binary_cross_entropy",
    "hinge",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
]


_Loss = TypeVar("_Loss", bound=Callable[..., Any])


def _takes(
    targets: str,
    chance_value: Callable[[int], float] | None = None,
    threshold: float | None = None,
) -> Callable[[_Loss], _Loss]:
    """Note on a loss what it takes, and what it is when all outputs are equal.

    Whoever has the loss can ask: ``loss.targets``, a kind of `nnbook.gluon.targets.Targets`;
    ``loss.chance_value(outputs)``, for so many outputs of an example; ``loss.threshold``, above
    which a single output says class 1.
    """

    def note(loss: _Loss) -> _Loss:
        vars(loss).update(targets=targets, chance_value=chance_value, threshold=threshold)
        return loss

    return note


@_takes("real")
def squared_error(outputs: Any, targets: Any) -> Any:
    """Half the squared distance between outputs and targets: ½ Σ_k (a_k − y_k)².

    The sum runs over the outputs of an example. Its gradient is a − y.

    Parameters
    ----------
    outputs : array or symbol, shape (n, k), (n,) or (n, ...)
        a, in the units of the targets.
    targets : array or symbol
        y, as many values as outputs.

    Returns
    -------
    array or symbol, shape (n,)

    Raises
    ------
    ValueError, TypeError
        Shapes that do not fit, no examples, or outputs that are not floating-point numbers.
    """
    F, outputs, targets = _values(outputs, targets)
    return 0.5 * _row_sums(F, F.np.square(outputs - targets))


@_takes("labels", chance_value=math.log)
def softmax_cross_entropy(outputs: Any, labels: Any, probabilities: bool | None = None) -> Any:
    """Negative log-likelihood of the labels under softmax: −Σ_j y_j ln softmax(z)_j.

    At chance it is ln C. Its gradient with respect to z is softmax(z) − y.

    Parameters
    ----------
    outputs : array or symbol, shape (n, C)
        z, before softmax, for C ≥ 2 classes.
    labels : array or symbol, shape (n,) or (n, C)
        Class numbers 0 ... C − 1, or a row of probabilities for each example.
    probabilities : bool, optional
        Whether labels are rows of probabilities. By default the shape of an array decides;
        symbols have none and are taken for class numbers.

    Returns
    -------
    array or symbol, shape (n,)
        In nats.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not fit, no examples, NumPy labels that are no class numbers, or rows that
        are not probabilities.

    References
    ----------
    Bridle (1990), Probabilistic interpretation of feedforward classification network outputs.
    """
    if probabilities is None:
        probabilities = not _is_symbol(outputs) and len(labels.shape) == 2
    if probabilities:
        F, outputs, labels = _values(outputs, labels, rows=True)
        return -F.np.sum(labels * F.npx.log_softmax(outputs, axis=-1), axis=-1)
    F, outputs, labels = _classes(outputs, labels)
    return -F.npx.pick(F.npx.log_softmax(outputs, axis=-1), labels, axis=-1)


@_takes("probabilities", chance_value=lambda outputs: outputs * math.log(2), threshold=0.0)
def sigmoid_cross_entropy(outputs: Any, targets: Any) -> Any:
    """Cross-entropy of independent sigmoids: −Σ_k [y ln σ(z) + (1 − y) ln(1 − σ(z))].

    It is computed from z without overflow, as Σ y·softplus(−z) + (1 − y)·softplus(z). At chance
    (z = 0) it is C ln 2. Its gradient with respect to z is σ(z) − y.

    Parameters
    ----------
    outputs : array or symbol, shape (n, C), (n,) or (n, ...)
        z, before the sigmoid.
    targets : array or symbol
        y in [0, 1], as many values as outputs.

    Returns
    -------
    array or symbol, shape (n,)
        In nats, summed over the outputs of an example.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not fit, no examples, NumPy targets outside [0, 1].
    """
    if isinstance(targets, onp.ndarray):
        check_range(targets, "targets")
    F, outputs, targets = _values(outputs, targets)
    wrong_if_one = F.npx.activation(-outputs, act_type="softrelu")
    wrong_if_zero = F.npx.activation(outputs, act_type="softrelu")
    return _row_sums(F, targets * wrong_if_one + (1 - targets) * wrong_if_zero)


@_takes("probabilities", threshold=0.5)
def binary_cross_entropy(probabilities: Any, targets: Any) -> Any:
    """Cross-entropy of probabilities: −Σ_k [y ln a + (1 − y) ln(1 − a)].

    The textbook's formula, for outputs that went through a sigmoid already. It reads its values in
    order to check them, so it works on arrays only and waits for them; to train, use
    `sigmoid_cross_entropy`, which also cannot run into ln 0.

    Parameters
    ----------
    probabilities : array, shape (n, C), (n,) or (n, ...)
        a, each in (0, 1).
    targets : array
        y in [0, 1], as many values.

    Returns
    -------
    array, shape (n,)
        In nats.

    Raises
    ------
    ValueError, TypeError
        A probability outside (0, 1), a target outside [0, 1], shapes that do not fit, symbols.
    """
    if _is_symbol(probabilities, targets):
        raise TypeError(
            "binary_cross_entropy checks values, and symbols have none; use sigmoid_cross_entropy "
            "on the values before the sigmoid"
        )
    F, a, y = _values(probabilities, targets)
    check_range(y.asnumpy(), "targets")
    values = a.asnumpy()
    outside = values[~((values > 0) & (values < 1))]
    if outside.size:
        raise ValueError(
            f"a probability is {outside[0]:g}; cross-entropy needs values in (0, 1). Use "
            "sigmoid_cross_entropy on the values before the sigmoid, which cannot leave that range"
        )
    return -_row_sums(F, y * F.np.log(a) + (1 - y) * F.np.log1p(-a))


@_takes("labels", chance_value=lambda outputs: outputs - 1.0)
def hinge(outputs: Any, labels: Any) -> Any:
    """Multi-class hinge loss of Weston and Watkins: Σ_{j≠y} max(0, 1 + z_j − z_y).

    It is 0 when the right output leads every other by at least 1, and C − 1 when all are equal.

    Parameters
    ----------
    outputs : array or symbol, shape (n, C)
        z, for C ≥ 2 classes.
    labels : array or symbol, shape (n,)
        Class numbers 0 ... C − 1.

    Returns
    -------
    array or symbol, shape (n,)

    Raises
    ------
    ValueError, TypeError
        Shapes that do not fit, no examples, or NumPy labels that are no class numbers.

    References
    ----------
    Weston and Watkins (1999), Support vector machines for multi-class pattern recognition.
    """
    F, outputs, labels = _classes(outputs, labels)
    right = F.npx.pick(outputs, labels, axis=-1, keepdims=True)
    # The term j = y is exactly 1, with gradient 0, so that no value falls below 0.
    # `maximum` keeps NaN; float32 relu would make it 0.
    return F.np.sum(F.np.maximum(1 + (outputs - right), 0), axis=-1) - 1


def _is_symbol(*arrays: Any) -> bool:
    """Tell symbols from arrays; refuse a mixture."""
    symbols = [isinstance(array, mx.sym.Symbol) for array in arrays]
    if any(symbols) and not all(symbols):
        raise TypeError("outputs and targets are a symbol and an array; expected two of a kind")
    return symbols[0]


def _row_sums(F: Any, values: Any) -> Any:
    """Sum over everything but the examples."""
    return F.np.sum(F.npx.batch_flatten(values), axis=-1)


def _array(values: Any, like: Any = None) -> Any:
    """Return an MXNet array, on the device (and of the dtype) of another where one is given."""
    if isinstance(values, mx.nd.NDArray):
        array = values if isinstance(values, mx.np.ndarray) else values.as_np_ndarray()
        return array if like is None else array.as_in_ctx(like.ctx)
    values = as_numpy(values, "an array")
    return mx.np.array(values, dtype=values.dtype, ctx=None if like is None else like.ctx)


def _outputs(outputs: Any) -> Any:
    """Return outputs as an MXNet array; refuse what no loss can use."""
    outputs = _array(outputs)
    if outputs.dtype not in (onp.float32, onp.float64):
        raise TypeError(f"outputs have dtype {outputs.dtype}; expected float32 or float64")
    if outputs.ndim == 0 or outputs.size == 0:
        raise ValueError(f"outputs have shape {outputs.shape}; expected at least one example")
    return outputs


def _values(outputs: Any, targets: Any, rows: bool = False) -> tuple[Any, Any, Any]:
    """Return the namespace to compute in, the outputs, and targets of their shape and dtype."""
    if _is_symbol(outputs, targets):
        return mx.sym, outputs, mx.sym.npx.reshape_like(targets, outputs)
    if rows and isinstance(targets, onp.ndarray):
        check_rows(targets, "labels")
    outputs = _outputs(outputs)
    targets = _array(targets, like=outputs)
    if targets.shape != outputs.shape:
        same = targets.size == outputs.size and targets.shape[:1] == outputs.shape[:1]
        if not same or rows:
            raise ValueError(
                f"targets have shape {targets.shape}, outputs {outputs.shape}; expected a target "
                "for each output (class numbers become rows by numpy.eye(classes)[labels])"
            )
        targets = targets.reshape(outputs.shape)
    if targets.dtype != outputs.dtype:
        targets = targets.astype(outputs.dtype)
    return mx, outputs, targets


def _classes(outputs: Any, labels: Any) -> tuple[Any, Any, Any]:
    """Return the namespace to compute in, the outputs, and labels that are class numbers."""
    if _is_symbol(outputs, labels):
        return mx.sym, outputs, labels
    outputs = _outputs(outputs)
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        raise ValueError(
            f"outputs have shape {outputs.shape}; expected (n, C) with C of at least 2 (a single "
            "output goes with sigmoid_cross_entropy)"
        )
    if labels.shape != outputs.shape[:1]:
        raise ValueError(
            f"labels have shape {labels.shape}, outputs {outputs.shape}; expected one class "
            "number for each example"
        )
    if isinstance(labels, onp.ndarray):
        classes = outputs.shape[1]
        wrong = labels[~((labels >= 0) & (labels < classes) & (labels == onp.floor(labels)))]
        if wrong.size:
            raise ValueError(
                f"a label is {wrong[0]}; expected whole numbers from 0 to {classes - 1}, one class "
                "for each output"
            )
    return mx, outputs, _array(labels, like=outputs)
