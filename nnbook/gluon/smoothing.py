"""Cross-entropy with softened labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from nnbook._arguments import check_number
from nnbook.gluon.losses import _classes

__all__ = ["smoothed_cross_entropy"]


@dataclass(frozen=True)
class smoothed_cross_entropy:
    """Cross-entropy under softmax, the label having the share 1 − ε + ε/C and the others ε/C.

    (1 − ε) (−ln p_y) + ε/C Σ_j (−ln p_j). It is called as a loss, ``loss(outputs, labels)``, with
    class numbers, and returns nats, shape (n,). At chance it is ln C, whatever ε; its least value
    is the entropy of the softened label and not 0, so losses of different ε are not to be compared:
    validate by `softmax_cross_entropy`, or by the error.

    Parameters
    ----------
    smoothing : float
        ε in [0, 1).

    Raises
    ------
    ValueError, TypeError
        ε is outside its range; called, as `softmax_cross_entropy`.

    References
    ----------
    Szegedy, Vanhoucke, Ioffe, Shlens and Wojna (2016), Rethinking the Inception architecture for
    computer vision.

    Examples
    --------
    >>> from nnbook import losses
    >>> from nnbook.runtime import np
    >>> loss = losses.smoothed_cross_entropy(0.1)
    >>> round(loss(np.zeros((1, 10)), np.array([3])).item(), 4)
    2.3026
    """

    smoothing: float = 0.1
    targets: ClassVar[str] = "labels"
    threshold: ClassVar[None] = None

    def __post_init__(self) -> None:
        smoothing = check_number(self.smoothing, "smoothing", least=0, below=1)
        object.__setattr__(self, "smoothing", smoothing)

    def chance_value(self, outputs: int) -> float:
        """Return the loss where all outputs of an example are equal."""
        return math.log(outputs)

    def __call__(self, outputs: Any, labels: Any) -> Any:
        """Return the loss of every example, shape (n,)."""
        F, outputs, labels = _classes(outputs, labels)
        logarithms = F.npx.log_softmax(outputs, axis=-1)
        right = F.npx.pick(logarithms, labels, axis=-1)
        every = F.np.mean(logarithms, axis=-1)
        return -(1 - self.smoothing) * right - self.smoothing * every
