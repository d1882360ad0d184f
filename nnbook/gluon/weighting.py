"""A loss in which examples have weights: they travel beside the targets, in one array.

So whoever takes a minibatch's targets takes its weights, every path of the engine among them: what
is bound, recorded, stacked, shared out over threads or sent to another process stays as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook._arrays import to_numpy
from nnbook.gluon.runtime import mx

__all__ = ["Weighted"]


class Weighted:
    """Each example's loss times its weight: ``w_i · loss(outputs_i, targets_i)``.

    Its targets are rows: those of the loss, flattened, and the weight behind them.

    Parameters
    ----------
    loss : callable
        ``loss(outputs, targets)``, one value per example.
    y : array
        Targets as the loss takes them: their shape and kind.

    Attributes
    ----------
    chance_value, threshold : object
        As of the loss.
    """

    def __init__(self, loss: Any, y: Any):
        if not callable(loss):
            raise TypeError(f"loss is {loss!r}; expected a function loss(outputs, targets)")
        self.loss, self.shape = loss, tuple(y.shape[1:])
        self.whole = onp.dtype(y.dtype).kind in "iub"
        self.columns = int(onp.prod(self.shape, dtype=int))
        for name in ("chance_value", "threshold"):
            if hasattr(loss, name):
                setattr(self, name, getattr(loss, name))

    def __repr__(self) -> str:
        return f"Weighted({self.loss!r})"

    def pack(self, y: Any, weights: Any = None) -> onp.ndarray:
        """Return targets and weights as one array of floats, shape (n, columns + 1).

        Parameters
        ----------
        y : array
            Targets; packed ones come back as they are.
        weights : array, shape (n,), optional
            By default 1 each.
        """
        y = to_numpy(y, "y")
        if weights is None and self.is_packed(y):
            return y
        if tuple(y.shape[1:]) != self.shape:
            raise ValueError(
                f"targets have the shape {tuple(y.shape[1:])} for each example; expected "
                f"{self.shape}, as those to train on"
            )
        weights = onp.ones(len(y)) if weights is None else onp.asarray(weights, dtype="float64")
        return onp.column_stack([y.reshape(len(y), -1).astype("float64"), weights])

    def is_packed(self, y: Any) -> bool:
        """Tell whether targets have their weights beside them."""
        return tuple(y.shape[1:]) == (self.columns + 1,)

    def split(self, packed: onp.ndarray) -> tuple[onp.ndarray, onp.ndarray]:
        """Return the targets, shaped as the loss takes them, and the weights, shape (n,)."""
        y = packed[:, :-1].reshape(len(packed), *self.shape)
        return (y.astype("int64") if self.whole else y), packed[:, -1]

    def __call__(self, outputs: Any, packed: Any) -> Any:
        """Return the weighted losses, shape (n,)."""
        symbolic = isinstance(packed, mx.sym.Symbol)
        F, flat = (mx.sym if symbolic else mx.nd), packed.as_nd_ndarray()
        y = F.slice_axis(flat, axis=1, begin=0, end=self.columns)
        if not self.shape:
            y = F.sum(y, axis=1)  # of one column; a reshape might mix examples
        elif len(self.shape) > 1:
            y = F.reshape(y, shape=(-1, *self.shape))
        y = F.cast(y, "int32") if self.whole else y
        weights = F.sum(F.slice_axis(flat, axis=1, begin=-1, end=None), axis=1).as_np_ndarray()
        losses = self.loss(outputs, y.as_np_ndarray())
        if not symbolic and losses.shape != weights.shape:
            raise ValueError(
                f"it returned shape {tuple(losses.shape)}; weights need one value for each of the "
                f"{weights.shape[0]} examples"
            )
        return losses * weights
