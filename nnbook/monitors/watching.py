"""All monitors at once: make one of every kind, and collect what they found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nnbook.findings import Findings
from nnbook.monitors.base import Monitor
from nnbook.monitors.epochs import Gap, LossWiggle
from nnbook.monitors.steps import GradientHistogram, GradientNorm, UpdateRatio

__all__ = ["report", "watch"]


def watch(probe: Any = 100) -> list[Monitor]:
    """Make one monitor of every kind, at their default schedules.

    Parameters
    ----------
    probe : int or array
        What `ActivationHistogram` and `DeadUnits` run through the network; by default 100 of the
        training examples.

    Returns
    -------
    list of Monitor
        For the `callbacks` of `fit`.
    """
    # Here, because these two look inside a Gluon network, and `report` serves any objective.
    from nnbook.monitors.activations import ActivationHistogram, DeadUnits

    return [
        UpdateRatio(),
        GradientNorm(),
        GradientHistogram(),
        ActivationHistogram(probe),
        DeadUnits(probe),
        LossWiggle(),
        Gap(),
    ]


def report(watching: Iterable[Any]) -> Findings:
    """Collect what monitors found, the worst first.

    Parameters
    ----------
    watching : iterable of Monitor
        Other callbacks among them are passed over.

    Returns
    -------
    Findings
        Shows itself as text, and in a notebook as a table.

    Raises
    ------
    TypeError
        One monitor instead of a list of them.
    """
    if isinstance(watching, Monitor):
        raise TypeError(f"watching is one {type(watching).__name__}; expected a list of monitors")
    return Findings(f for m in watching if isinstance(m, Monitor) for f in m.findings())
