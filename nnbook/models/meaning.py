"""What the outputs of a network mean, as its loss has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook.gluon.targets import targets_of

__all__ = ["Meaning"]


@dataclass(frozen=True)
class Meaning:
    """How outputs become classes and probabilities.

    Attributes
    ----------
    kind : str
        What the loss compares outputs with, as in `nnbook.gluon.targets.Targets`.
    axis : int
        The axis of the outputs that counts the classes.
    threshold : float
        Above which an output says yes, where each decides by itself.
    link : str
        What makes probabilities of outputs: "softmax", "sigmoid", "identity", or "" for nothing.
    """

    kind: str = "real"
    axis: int = -1
    threshold: float = 0.0
    link: str = ""

    @classmethod
    def of(cls, loss: Any) -> Meaning:
        """Return what outputs mean to a loss; one that says nothing has real outputs."""
        targets = targets_of(loss)
        axis, threshold = targets.axis, targets.threshold or 0.0
        if targets.kind in ("labels", "rows"):
            # Margins, as hinge losses compare them, are no logarithms of probabilities.
            link = "" if "hinge" in getattr(loss, "__name__", "") else "softmax"
        elif targets.kind == "probabilities":
            link = "identity" if threshold == 0.5 else "sigmoid"
        else:
            link = ""
        return cls(targets.kind or "real", axis, threshold, link)

    @property
    def classifies(self) -> bool:
        """Whether outputs stand for classes."""
        return self.kind != "real"

    def decide(self, outputs: onp.ndarray) -> onp.ndarray:
        """Return class numbers, shape (n, …); −1 and 1 for signs."""
        if self.kind in ("labels", "rows"):
            return outputs.argmax(axis=self.axis)
        above = (_single(outputs) > self.threshold).astype(int)
        return 2 * above - 1 if self.kind == "signs" else above

    def probabilities(self, outputs: onp.ndarray) -> onp.ndarray:
        """Return probabilities, of both classes where a single output decides between two."""
        from scipy.special import expit, softmax

        if not self.link:
            raise ValueError(
                "the loss makes no probabilities of outputs; expected a network trained with "
                "softmax_cross_entropy or sigmoid_cross_entropy. Its classes are given by predict"
            )
        if self.link == "softmax":
            return softmax(outputs.astype(float), axis=self.axis)
        yes = _single(outputs).astype(float)
        yes = expit(yes) if self.link == "sigmoid" else yes
        return onp.stack([1 - yes, yes], axis=1) if yes.ndim == 1 else yes


def _single(outputs: onp.ndarray) -> onp.ndarray:
    """Return outputs, shape (n, k), or (n,) where there is one for each example."""
    return outputs.reshape(-1) if outputs.size == len(outputs) else outputs
