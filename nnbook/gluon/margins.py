"""Margin losses: what support vector machines minimise."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook.gluon.losses import _classes, _row_sums, _takes, _values
from nnbook.gluon.targets import check_signs

__all__ = ["binary_hinge", "crammer_singer_hinge", "squared_hinge"]


@_takes("signs", threshold=0.0)
def binary_hinge(outputs: Any, targets: Any) -> Any:
    """Hinge loss of two classes: Σ_k max(0, 1 − y_k z_k), y = ±1.

    With weight decay, and linear z, it is the support vector machine.

    Parameters
    ----------
    outputs : array or symbol, shape (n, C), (n,) or (n, ...)
        z.
    targets : array or symbol
        y, −1 or 1, as many as outputs.

    Returns
    -------
    array or symbol, shape (n,)

    Raises
    ------
    ValueError, TypeError
        Shapes that do not fit, no examples, or NumPy targets that are neither −1 nor 1.

    References
    ----------
    Cortes and Vapnik (1995), Support-vector networks.
    """
    if isinstance(targets, onp.ndarray):
        check_signs(targets, "a target is")
    F, z, y = _values(outputs, targets)
    return _row_sums(F, F.np.maximum(1 - y * z, 0))


@_takes("labels", chance_value=float)
def squared_hinge(outputs: Any, labels: Any) -> Any:
    """Squared hinge loss, every class against the rest: Σ_k max(0, 1 − t_k z_k)², t_k = ±1.

    t_k is 1 for the right class and −1 for the others. It has a slope that is continuous, and is C
    where all outputs are 0.

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
    Tang (2013), Deep learning using linear support vector machines.
    """
    F, z, labels = _classes(outputs, labels)
    right = F.npx.pick(z, labels, axis=-1)
    others = F.np.sum(F.np.square(F.np.maximum(1 + z, 0)), axis=-1)
    # The right class was counted among the others.
    wrongly = F.np.square(F.np.maximum(1 + right, 0))
    return others - wrongly + F.np.square(F.np.maximum(1 - right, 0))


@_takes("labels", chance_value=lambda outputs: 1.0)
def crammer_singer_hinge(outputs: Any, labels: Any) -> Any:
    """Multi-class hinge loss of Crammer and Singer: max(0, 1 + max_{j≠y} z_j − z_y).

    Only the strongest rival counts; it is 0 when the right output leads it by at least 1, and 1
    when all are equal.

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
    Crammer and Singer (2001), On the algorithmic implementation of multiclass kernel-based vector
    machines.
    """
    F, z, labels = _classes(outputs, labels)
    right = F.npx.pick(z, labels, axis=-1, keepdims=True)
    lead = F.np.maximum(1 + (z - right), 0)
    number = F.npx.arange_like(z, axis=-1).astype("int32")
    own = F.np.equal(number, F.np.expand_dims(labels.astype("int32"), -1))
    rivals = F.np.where(own, -F.np.ones_like(lead), lead)
    # Not `max`, whose gradient goes to all of several equal ones.
    return F.npx.pick(lead, F.np.argmax(rivals, axis=-1), axis=-1)
