"""Watch a training run: how far the weights move, what the layers give, where the loss goes.

Monitors are callbacks of `fit`. They read, and change nothing: neither θ, nor a random number, nor
the result, bit for bit. Afterwards each has its ``records`` (frozen, in bounded memory, resumed by
`training.Checkpoint`), a column of them as ``monitor["ratio"]``, all of them as ``table()``, and
its ``findings()``.

The cost of each is one of three: "free" uses what the epoch has anyway; "cheap" reads θ or ∇L every
n steps, in between steps run as fast as ever; "forward" runs a few examples through the network
between epochs. No monitor adds hooks to the network that stay, so `fit` keeps its traced graph. At
their default schedules all of them together cost less than a tenth of the training time of a
784-100-10 network at batch size 32 with 10,000 examples an epoch; ``benchmarks/bench_monitors.py``
measures it. With few examples an epoch, give those that run the network a larger `every`.

>>> from nnbook import data, layers, losses, monitors, optim, training
>>> x, y = data.moons(200, rng=0)
>>> watching = monitors.watch()
>>> _ = training.fit(layers.mlp(2, [8], 2, "relu", seed=0), (x, y), (x, y), epochs=5,
...                  loss=losses.softmax_cross_entropy, optimizer=optim.sgd(0.1),
...                  callbacks=watching)
>>> monitors.report(watching)
nothing found
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nnbook.findings import Findings
from nnbook.monitors.activations import ActivationHistogram, Activations, DeadUnits, Units
from nnbook.monitors.base import Monitor, Record
from nnbook.monitors.epochs import Gap, Gaps, LossWiggle, Wiggles
from nnbook.monitors.filters import smoothness
from nnbook.monitors.layers import LayerOutput, layer_outputs
from nnbook.monitors.steps import (
    GRADIENT_EDGES,
    GradientHistogram,
    GradientNorm,
    Gradients,
    Sizes,
    UpdateRatio,
    Updates,
)

__all__ = [
    "GRADIENT_EDGES",
    "ActivationHistogram",
    "Activations",
    "DeadUnits",
    "Gap",
    "Gaps",
    "GradientHistogram",
    "GradientNorm",
    "Gradients",
    "LayerOutput",
    "LossWiggle",
    "Monitor",
    "Record",
    "Sizes",
    "Units",
    "UpdateRatio",
    "Updates",
    "Wiggles",
    "layer_outputs",
    "report",
    "smoothness",
    "watch",
]


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
