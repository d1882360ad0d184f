"""How the error of a difference depends on its step."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_whole
from nnbook.checks.calls import batch_for, either_order, refuse_beside_an_objective
from nnbook.checks.differences import difference, relative_error
from nnbook.checks.measuring import chosen_entries, lines_through, some_rows
from nnbook.objective import Objective, not_an_objective

__all__ = ["StepSweep", "sweep_h"]


@dataclass(frozen=True, repr=False)
class StepSweep:
    """The errors of differences for each of several steps.

    Attributes
    ----------
    h : numpy.ndarray, shape (k,)
        The steps.
    centred, forward : numpy.ndarray, shape (k, entries)
        Relative errors of the two quotients, against automatic differentiation.
    dtype : str
        What was computed in.
    """

    h: onp.ndarray
    centred: onp.ndarray
    forward: onp.ndarray
    dtype: str

    @property
    def best_h(self) -> float:
        """The step at which the median error of the centred quotient is least."""
        return float(self.h[onp.median(self.centred, axis=1).argmin()])

    def __repr__(self) -> str:
        error = float(onp.median(self.centred, axis=1).min())
        return (
            f"StepSweep({len(self.h)} steps, {self.centred.shape[1]} entries, {self.dtype}; the "
            f"centred quotient is best at h = {self.best_h:.1e}: median relative error {error:.1e})"
        )


@either_order
def sweep_h(
    net: Any,
    data: Any = None,
    h: Sequence[float] | None = None,
    *,
    loss: Any = None,
    per_parameter: int = 4,
    examples: int = 6,
    seed: int = 0,
    dtype: str = "float64",
) -> StepSweep:
    """Measure the error of difference quotients for many steps: plotted, it is V-shaped.

    To the right of the best step the neglected terms of the series prevail, to the left rounding.
    Entries whose gradient is 0 are left out.

    Parameters
    ----------
    net, data, loss
        As for `check_gradients`: a network with data and loss, or an objective alone. Nothing is
        changed.
    h : sequence of float, optional
        The steps, > 0; by default two each power of ten from 1e-12 to 0.1.
    per_parameter, examples, seed
        As for `check_gradients`.
    dtype : str
        "float64" or "float32": of a network's loss by differences. The gradient to compare with is
        always computed in float64. An objective has the dtype of its θ.

    Returns
    -------
    StepSweep

    Raises
    ------
    ValueError, TypeError
        A step that is not positive, or bad data, as for `nnbook.training.fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import checks, layers, losses
    >>> x, y = np.random.default_rng(0).normal(size=(6, 4)), np.array([0, 1, 2, 0, 1, 2])
    >>> net = layers.mlp(4, [5], 3, "tanh", seed=0)
    >>> sweep = checks.sweep_h(net, (x, y), [1e-8, 1e-5, 1e-2],
    ...                        loss=losses.softmax_cross_entropy)
    >>> sweep.best_h
    1e-05
    """
    check_whole(per_parameter, "per_parameter")
    check_whole(examples, "examples")
    steps = onp.logspace(-12, -1, 23) if h is None else onp.asarray(h, dtype=float).reshape(-1)
    if not (len(steps) and (steps > 0).all() and onp.isfinite(steps).all()):
        raise ValueError(f"h is {h!r}; expected positive steps, such as [1e-7, 1e-5, 1e-3]")
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype is {dtype!r}; expected 'float64' or 'float32'")
    if isinstance(net, Objective):
        refuse_beside_an_objective(data=data, loss=loss, dtype=dtype)
        rows = some_rows(net, examples, seed)
        slope = onp.asarray(net.gradient(rows), dtype=float)
        return _sweep(net, slope, steps, per_parameter, seed, rows)
    if data is None or loss is None:
        raise TypeError("expected sweep_h(net, (x, y), loss=…), or an objective alone")
    if "mxnet" not in sys.modules:  # then this is no Gluon network
        raise TypeError(not_an_objective(net))
    from nnbook.gluon.twins import Twin, preserved_luck  # they need MXNet

    with preserved_luck():
        chosen = batch_for(data, examples, seed)
        exact = Twin(net, loss, *chosen, dtype="float64", seed=seed)
        twin = exact if dtype == "float64" else Twin(net, loss, *chosen, dtype=dtype, seed=seed)
        return _sweep(twin, exact.gradient(), steps, per_parameter, seed)


def _sweep(
    objective: Objective,
    gradient: onp.ndarray,
    steps: onp.ndarray,
    per_parameter: int,
    seed: int,
    rows: Any = None,
) -> StepSweep:
    """Hold difference quotients of many widths against a gradient."""
    rng = onp.random.default_rng(seed)
    entries = [
        part.start + k
        for part in objective.slices.values()
        for k in chosen_entries(gradient[part], per_parameter, rng)
    ]
    entries = [k for k in entries if gradient[k]]
    if not entries:
        raise ValueError("every gradient that was looked at is 0; expected some that are not")
    with lines_through(objective, rows) as line:
        quotients = [
            [[difference(line.along(k), 0.0, step, centred) for k in entries] for step in steps]
            for centred in (True, False)
        ]
        dtype = line.start.dtype.name
    centred, forward = (relative_error(gradient[entries], q) for q in quotients)
    return StepSweep(steps, centred, forward, dtype)
