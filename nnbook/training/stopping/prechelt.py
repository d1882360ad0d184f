"""Prechelt's rules: what generalisation has lost, what training still gains, rises in a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as onp

from nnbook._arguments import check_flag, check_positive, check_whole
from nnbook.training.stopping.base import Rule

__all__ = ["generalization_loss", "progress_quotient", "successive_rises"]


@dataclass(frozen=True)
class generalization_loss(Rule):
    """GL: stop when the curve is a given percentage above its lowest value so far.

    GL(t) = 100 (E(t) / min_{s ≤ t} E(s) − 1), and training ends at the first t with GL(t) > α.
    The noise of the first epochs can be enough.

    Parameters
    ----------
    alpha : float
        α > 0, in percent.

    Raises
    ------
    ValueError, TypeError
        α is no finite number above 0; on a curve, a value that is not positive.

    References
    ----------
    Prechelt (1998), Early stopping – but when?

    Examples
    --------
    >>> from nnbook.training import stopping
    >>> stopping.generalization_loss(5)([2.0, 1.0, 1.04, 1.06, 0.9]).stopped_at
    4
    """

    alpha: float = 5.0

    def __post_init__(self) -> None:
        check_positive(self.alpha, "alpha")

    def _stop(self, values: onp.ndarray, training: onp.ndarray | None) -> int | None:
        return _first(_lost(values) > self.alpha)


@dataclass(frozen=True)
class progress_quotient(Rule):
    """PQ: stop when what generalisation loses is large beside what training still gains.

    GL(t) as in `generalization_loss`. The progress over a strip of k epochs is
    P(t) = 1000 (mean of the training loss over the strip / its minimum − 1), and training ends at
    the first end of a strip with GL(t) / P(t) > α.

    Parameters
    ----------
    alpha : float
        α > 0.
    strip : int
        k, in epochs.

    Raises
    ------
    ValueError, TypeError
        A number that is out of its range; on a curve, a value that is not positive, or no training
        curve.

    References
    ----------
    Prechelt (1998), Early stopping – but when?

    Examples
    --------
    >>> from nnbook.training import stopping
    >>> rule = stopping.progress_quotient(0.5, strip=2)
    >>> rule([2.0, 1.0, 1.1, 1.2], training=[2.0, 1.0, 0.99, 0.98]).stopped_at
    4
    """

    alpha: float = 0.5
    strip: int = 5
    needs_training = True

    def __post_init__(self) -> None:
        check_positive(self.alpha, "alpha")
        check_whole(self.strip, "strip")

    def _stop(self, values: onp.ndarray, training: onp.ndarray | None) -> int | None:
        assert training is not None
        _check_positive_curve(training[: len(values)], "training")
        lost = _lost(values)
        for end in range(self.strip, len(values) + 1, self.strip):
            part = training[end - self.strip : end]
            progress = 1000 * (part.mean() / part.min() - 1)
            # A strip in which nothing moved has no progress: any loss is then too much.
            if lost[end - 1] > self.alpha * progress:
                return end
        return None


@dataclass(frozen=True)
class successive_rises(Rule):
    """UP: stop when the curve has risen from strip to strip, so many times in a row.

    It looks at the last epoch of every strip, and ends training when that value was above the one
    of the strip before `strips` times running, whatever the heights.

    Parameters
    ----------
    strips : int
        s: rises in a row.
    strip : int
        k, in epochs.
    smaller_is_better : bool
        False for an accuracy: then it counts falls.

    Raises
    ------
    ValueError, TypeError
        No whole number of at least 1.

    References
    ----------
    Prechelt (1998), Early stopping – but when?

    Examples
    --------
    >>> from nnbook.training import stopping
    >>> stopping.successive_rises(2, strip=1)([3.0, 2.0, 2.1, 2.2, 1.0]).stopped_at
    4
    """

    strips: int = 3
    strip: int = 5
    smaller_is_better: bool = True

    def __post_init__(self) -> None:
        check_whole(self.strips, "strips")
        check_whole(self.strip, "strip")
        check_flag(self.smaller_is_better, "smaller_is_better")

    def _stop(self, values: onp.ndarray, training: onp.ndarray | None) -> int | None:
        ends = values[self.strip - 1 :: self.strip]
        rises = 0
        for k in range(1, len(ends)):
            rises = rises + 1 if ends[k] > ends[k - 1] else 0
            if rises == self.strips:
                return (k + 1) * self.strip
        return None


def _lost(values: onp.ndarray) -> onp.ndarray:
    """Return GL(t) of every epoch, in percent."""
    _check_positive_curve(values, "the curve")
    return 100 * (values / onp.minimum.accumulate(values) - 1)


def _check_positive_curve(values: onp.ndarray, name: str) -> None:
    if (values <= 0).any():
        raise ValueError(
            f"{name} has the value {values[values <= 0][0]:g}; expected numbers > 0, since the "
            "rule divides by them: watch a loss or an error"
        )


def _first(where: onp.ndarray) -> int | None:
    found = onp.flatnonzero(where)
    return int(found[0]) + 1 if found.size else None
