"""What a loss wants to be compared with, and whether some targets are that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arrays import to_numpy
from nnbook.data.validation import check_classes
from nnbook.gluon.runtime import mx
from nnbook.gluon.weighting import Weighted

__all__ = ["Targets", "check_range", "check_rows", "check_signs", "targets_of"]

_ROUNDING = 1e-3  # how far a row of probabilities may be from the sum 1
_HINT = (
    " If the loss does not take y for class labels, give it targets as floating-point numbers, or "
    "say so: loss.targets = 'real'."
)


@dataclass(frozen=True)
class Targets:
    """What a loss takes as its targets.

    Attributes
    ----------
    kind : str
        "labels": class numbers, or rows of probabilities of the outputs' shape; "rows": those
        alone; "probabilities": each by itself in [0, 1]; "signs": −1 or 1; "real": any numbers;
        empty: nobody knows.
    axis : int
        Of the outputs, the one that counts the classes.
    threshold : float or None
        Above which a single output says class 1, where it can.
    """

    kind: str = ""
    axis: int = -1
    threshold: float | None = None

    def check(self, y: onp.ndarray, shape: tuple[int, ...], name: str) -> None:
        """Refuse targets that the loss would take for something that they are not.

        Parameters
        ----------
        y : numpy.ndarray
            The targets as they were given, finite.
        shape : tuple of int
            The outputs' shape.
        name : str
            What messages call the data.

        Raises
        ------
        ValueError
            With the first offending value.
        """
        if self.kind == "rows" or (self.kind == "labels" and y.shape[1:] == shape[1:]):
            check_rows(y, f"{name} y", self.axis)
        elif self.kind == "probabilities":
            way = "recode −1/+1 as 0/1 by (y + 1) / 2, and 1/2 by y - 1"
            check_range(y, f"{name} y", way)
        elif self.kind == "signs":
            check_signs(y, f"{name} y has the value")
        elif self.kind == "labels" or self.is_labels(y, shape):
            check_classes(y, shape[self.axis], name, "" if self.kind else _HINT)

    def is_labels(self, y: Any, shape: tuple[int, ...]) -> bool:
        """Tell whether targets are class numbers, one for each row of outputs."""
        if not shape or shape[self.axis] < 2 or self.kind not in ("", "labels"):
            return False
        axis = self.axis % len(shape)
        fits = tuple(y.shape[1:]) == shape[1:axis] + shape[axis + 1 :]
        return fits and (self.kind == "labels" or onp.dtype(y.dtype).kind in "iu")

    def are_classes(self, y: Any, shape: tuple[int, ...]) -> bool:
        """Tell whether targets are classes that the outputs choose from: then there is an accuracy.

        They are labels; or where a single output decides between two classes, whole numbers, or
        0 and 1 (or −1 and 1, if the loss takes those) of any kind.
        """
        one = len(shape) > 0 and shape[1:] == (1,) * (len(shape) - 1)
        if self.threshold is not None and one and y.size == y.shape[0]:
            return onp.dtype(y.dtype).kind in "iu" or self._are_two(to_numpy(y))
        return self.is_labels(y, shape)

    def _are_two(self, y: onp.ndarray) -> bool:
        """Tell whether targets are 1 and what stands for the other class, alone."""
        low = -1 if self.kind == "signs" else 0
        return bool(((y == 1) | (y == low)).all())


def targets_of(loss: Any) -> Targets:
    """Return what a loss takes: it says so itself, or is one of Gluon's."""
    loss = loss.loss if isinstance(loss, Weighted) else loss
    given = getattr(loss, "targets", None)
    if isinstance(given, str):
        return Targets(given, threshold=getattr(loss, "threshold", None))
    gluon = mx.gluon.loss
    if isinstance(loss, gluon.SoftmaxCrossEntropyLoss):
        return Targets("labels" if loss._sparse_label else "rows", loss._axis)
    if isinstance(loss, gluon.SigmoidBinaryCrossEntropyLoss):
        return Targets("probabilities", threshold=0.5 if loss._from_sigmoid else 0.0)
    return Targets()


def check_range(values: onp.ndarray, name: str, way_out: str = "") -> None:
    """Refuse values outside [0, 1], and NaN."""
    wrong = values[~((values >= 0) & (values <= 1))]
    if wrong.size:
        way_out = f"; {way_out}" if way_out else ""
        raise ValueError(f"a value of {name} is {wrong.flat[0]:g}; expected all in [0, 1]{way_out}")


def check_rows(values: onp.ndarray, name: str, axis: int = -1) -> None:
    """Refuse rows that are not probabilities of sum 1."""
    check_range(values, name)
    sums = values.sum(axis=axis, dtype=float)
    worst = sums.flat[onp.abs(sums - 1).argmax()] if sums.size else 1
    if abs(worst - 1) > _ROUNDING:
        raise ValueError(f"a row of {name} sums to {worst:g}; expected probabilities, sum 1")


def check_signs(values: onp.ndarray, what: str) -> None:
    """Refuse values that are neither −1 nor 1; `what` begins the message, "a target is"."""
    wrong = values[(values != 1) & (values != -1)]
    if wrong.size:
        raise ValueError(
            f"{what} {wrong.flat[0]:g}; the loss expects −1 or 1 (0/1 becomes them by 2 * y - 1)"
        )
