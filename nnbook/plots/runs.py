"""Draw training runs, seeds, arms and schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as onp

from nnbook.plots.style import SERIES, add_legend, as_numbers, in_style, mean_interval, next_style

__all__ = ["plot_comparison", "plot_history", "plot_range_test", "plot_schedule", "plot_seeds"]


@in_style
def plot_history(
    history: Any,
    column: str | Sequence[str] = ("train_loss", "val_loss"),
    *,
    x: str = "epoch",
    label: str | None = None,
    ax: Any = None,
) -> Any:
    """Draw columns of a training history against epochs.

    Parameters
    ----------
    history : History or mapping
        What gives a column of n numbers as ``history[name]``.
    column : str or sequence of str
        What to draw.
    x : str
        The column on the horizontal axis; where there is none of that name, 1 ... n.
    label : str, optional
        In the legend, instead of (or, with several columns, before) the column's name.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    KeyError
        There is no such column.
    ValueError
        A column is empty.
    """
    columns = [column] if isinstance(column, str) else list(column)
    for name in columns:
        values = as_numbers(f"column {name!r}", history[name], 1)
        try:
            across = onp.asarray(history[x], dtype=float)
        except KeyError:
            across = onp.arange(1, len(values) + 1)
        title = name.replace("_", " ")
        if label is not None:
            title = label if len(columns) == 1 else f"{label}, {title}"
        # Markers on at most about ten points; without them a short dashed line looks solid.
        every = max(1, len(values) // 10)
        ax.plot(across, values, markevery=every, label=title, gid=SERIES, **next_style(ax))
    ax.set_xlabel(x.replace("_", " "))
    kinds = {name.split("_")[-1] for name in columns}  # "loss" of train_loss and val_loss
    ax.set_ylabel(kinds.pop() if len(kinds) == 1 else "value")
    add_legend(ax)
    return ax


@in_style
def plot_seeds(
    x: Any,
    values: Any,
    label: str | None = None,
    *,
    band: bool = True,
    xlabel: str = "epoch",
    ylabel: str = "value",
    ax: Any = None,
) -> Any:
    """Draw one curve for each seed, their mean and its 95 % interval.

    Call it once for each arm, on the same `ax`: every arm gets a style of its own.

    Parameters
    ----------
    x : array, shape (points,)
        Horizontal positions.
    values : array, shape (seeds, points)
        One row for each seed.
    label : str, optional
        Name of the arm in the legend.
    band : bool
        Draw the pointwise interval of the mean (Student's t; from two seeds on).
    xlabel, ylabel : str
        What the axes show, with units; labels that are there already stay.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Shapes that do not fit, or no values.
    """
    x, values = as_numbers("x", x, 1), as_numbers("values", values, 2)
    if values.shape[1] != len(x):
        raise ValueError(
            f"values has shape {values.shape}, x has {len(x)} points; expected (seeds, {len(x)})"
        )
    style = next_style(ax)
    for row in values:
        ax.plot(x, row, color=style["color"], linestyle="-", linewidth=0.7, alpha=0.35)
    mean, half = mean_interval(values)
    ax.plot(
        x, mean, label=label, gid=SERIES, markevery=max(1, len(x) // 10), **style, linewidth=2.2
    )
    if band and len(values) > 1:
        ax.fill_between(x, mean - half, mean + half, color=style["color"], alpha=0.2, linewidth=0)
    ax.set(xlabel=ax.get_xlabel() or xlabel, ylabel=ax.get_ylabel() or ylabel)
    add_legend(ax)
    return ax


@in_style
def plot_schedule(schedules: Any, steps: int, *, ax: Any = None) -> Any:
    """Draw learning rates against the step.

    Parameters
    ----------
    schedules : callable, sequence of callable, or mapping of names to callables
        Functions ``step -> rate``; without names they are labelled by their kind, and numbered
        where there are several of a kind.
    steps : int
        How many steps to show, from 0 on (at most 500 of them are evaluated).
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Fewer than one step, or no schedule.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; expected at least 1")
    if callable(schedules):
        schedules = [schedules]
    if not isinstance(schedules, Mapping):
        schedules = _named(schedules)
    if not schedules:
        raise ValueError("there is no schedule to draw; expected at least one")
    shown = onp.unique(onp.linspace(0, steps - 1, min(steps, 500)).astype(int))
    for name, schedule in schedules.items():
        rates = [float(schedule(int(step))) for step in shown]
        style = next_style(ax) | {"marker": None}
        ax.plot(shown, rates, label=name, gid=SERIES, **style)
    ax.set(xlabel="step", ylabel="learning rate", ylim=(0, None))
    add_legend(ax)
    return ax


@in_style
def plot_range_test(found: Any, label: str | None = None, *, ax: Any = None) -> Any:
    """Draw a range test: the loss while the rate rises, and the rate that it suggests.

    Call it once for each test, on the same `ax`: every test gets a style of its own.

    Parameters
    ----------
    found : nnbook.training.RangeTest
        What has ``learning_rates``, ``losses``, ``smoothed``, ``lowest`` and ``suggestion``.
    label : str, optional
        Name of the test in the legend.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Minibatch losses as points, their running average as a line, its lowest point marked, and a
        dotted line at the suggestion.

    Raises
    ------
    ValueError
        Fewer than two steps, or arrays that differ in length.

    Examples
    --------
    >>> from nnbook import data, layers, losses, optim, plots, training
    >>> net = layers.mlp(64, [32], 10, activation="tanh", seed=0)
    >>> found = training.range_test(net, data.load_digits_8x8(), optimizer=optim.sgd(0.1),
    ...                             loss=losses.softmax_cross_entropy)
    >>> ax = plots.plot_range_test(found)
    >>> ax.get_xlabel(), ax.get_xscale()
    ('learning rate', 'log')
    """
    rates, values, smoothed = (
        as_numbers(name, getattr(found, name), 1)
        for name in ("learning_rates", "losses", "smoothed")
    )
    if not len(rates) == len(values) == len(smoothed) > 1:
        raise ValueError(
            f"the test has {len(rates)} rates, {len(values)} losses and {len(smoothed)} averages; "
            "expected two or more, as many of each"
        )
    style = next_style(ax) | {"marker": None}
    colour, tested = style["color"], "the loss" if label is None else label
    ax.plot(rates, values, ".", color=colour, markersize=3, alpha=0.4)
    ax.plot(rates, smoothed, label=f"{tested}, averaged", gid=SERIES, **style)
    ax.plot(found.lowest, smoothed.min(), "v", color=colour, markersize=9)
    ax.axvline(
        found.suggestion,
        color=colour,
        linestyle=":",
        label=f"suggestion {found.suggestion:.2g}",
    )
    # The last losses may be many times those that matter.
    shown = smoothed[onp.isfinite(smoothed)]
    first = len(ax.lines) == 4  # what is drawn for one test
    before = (0.0, 0.0) if first else ax.get_ylim()
    ax.set_ylim(min(before[0], 1.1 * shown.min()), max(before[1], 1.1 * shown.max()))
    ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
    add_legend(ax)
    return ax


def _named(functions: Sequence[Any]) -> dict[str, Any]:
    """Name functions by their kind; their `repr` would be wider than the figure."""
    named: dict[str, Any] = {}
    for function in functions:
        kind = getattr(function, "__name__", type(function).__name__).replace("_", " ")
        taken = sum(name == kind or name.startswith(f"{kind} (") for name in named)
        named[f"{kind} ({taken + 1})" if taken else kind] = function
    return named


@in_style
def plot_comparison(arms: Mapping[str, Any], *, xlabel: str = "value", ax: Any = None) -> Any:
    """Draw arms of an experiment below each other: a dot per seed, the mean, its 95 % interval.

    Parameters
    ----------
    arms : mapping of str to array, shape (seeds,)
        The values of each arm; numbers of seeds may differ. An arm with one seed has no interval.
    xlabel : str
        What was measured, with its unit.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        No arm, or an arm without values.
    """
    if not arms:
        raise ValueError("there is no arm to draw; expected at least one")
    data = {name: as_numbers(f"arm {name!r}", values, 1) for name, values in arms.items()}
    for row, values in enumerate(data.values()):
        style = next_style(ax) | {"linestyle": "none"}
        # A fixed zigzag instead of random jitter: the same data give the same figure.
        offsets = 0.09 * (onp.arange(len(values)) % 3 - 1) - 0.12
        ax.plot(values, row + offsets, gid=SERIES, **style, markersize=5, alpha=0.55)
        mean, half = mean_interval(values)
        ax.errorbar(mean, row + 0.18, xerr=half, **style, capsize=4, elinewidth=2.2)
    ax.set_yticks(range(len(data)), list(data))
    ax.set(ylim=(len(data) - 0.5, -0.5), xlabel=xlabel)
    ax.grid(axis="y", visible=False)
    return ax
