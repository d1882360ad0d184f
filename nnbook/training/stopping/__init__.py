"""When to stop: rules as pure functions of a recorded curve, and the callback that runs one.

A rule looks at a curve, one value an epoch, and says where training would have ended and which
epoch's parameters it would have kept. So one long run compares all rules, paired and for nothing:

>>> from nnbook.training import stopping
>>> cost = [3.0, 2.0, 1.5, 1.6, 1.4, 1.5, 1.6, 1.7, 1.8]
>>> stopping.patience(1)(cost)
Stopped(stopped_at=4, best_at=3, kept=1.5, seen=4)
>>> stopping.patience(3)(cost)
Stopped(stopped_at=8, best_at=5, kept=1.4, seen=8)

Epochs count from 1. A rule that looks at the first epochs of a curve never depends on what comes
later, so the callback `StopBy`, which asks after every epoch, ends where the rule ends on the whole
curve.
"""

from nnbook.training.stopping.base import Rule, Stopped
from nnbook.training.stopping.callback import StopBy
from nnbook.training.stopping.prechelt import (
    generalization_loss,
    progress_quotient,
    successive_rises,
)
from nnbook.training.stopping.waiting import growing_patience, patience

__all__ = [
    "Rule",
    "StopBy",
    "Stopped",
    "generalization_loss",
    "growing_patience",
    "patience",
    "progress_quotient",
    "successive_rises",
]
