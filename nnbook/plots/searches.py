"""Draw searches: trials, hyperparameters side by side, the best of k, importances."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as onp

from nnbook._optional import require
from nnbook.plots.style import PALETTE, SERIES, add_legend, as_numbers, in_style, next_style

__all__ = ["plot_best_of", "plot_importance", "plot_parallel", "plot_trials"]


@in_style
def plot_trials(
    x: Any,
    values: Any,
    label: str | None = None,
    *,
    log: bool = False,
    xlabel: str = "hyperparameter",
    ylabel: str = "value",
    ax: Any = None,
) -> Any:
    """Draw the value of every trial against one hyperparameter.

    Parameters
    ----------
    x : array, shape (trials,)
        The hyperparameter: numbers (NaN where a trial has none of it, and is not drawn), or choices
        of any kind, drawn side by side.
    values : array, shape (trials,)
        What came out; a trial with NaN failed, and is marked at the top.
    label : str, optional
        Name of the trials in the legend.
    log : bool
        A logarithmic axis for the hyperparameter.
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
        Shapes that do not fit, no values, or numbers ≤ 0 for a logarithmic axis.
    """
    values = as_numbers("values", values, 1)
    across, names = _positions(x)
    if len(across) != len(values):
        raise ValueError(f"x has {len(across)} trials, values has {len(values)}")
    if log and (names or onp.nanmin(across) <= 0):
        raise ValueError("a logarithmic axis needs numbers above 0")
    style = next_style(ax) | {"linestyle": "none"}
    failed = ~onp.isfinite(values)
    spread = _zigzag(across) if names else 0
    ax.plot(across + spread, values, label=label, gid=SERIES, **style, markersize=5, alpha=0.65)
    if failed.any():
        ax.plot(
            (across + spread)[failed],
            onp.full(failed.sum(), 0.98),
            transform=ax.get_xaxis_transform(),
            color=style["color"],
            marker="x",
            linestyle="none",
            label="failed" if label is None else f"{label}, failed",
        )
    if log:
        ax.set_xscale("log")
    if names:
        ax.set_xticks(range(len(names)), names)
        ax.set_xlim(-0.5, len(names) - 0.5)
    ax.set(xlabel=ax.get_xlabel() or xlabel, ylabel=ax.get_ylabel() or ylabel)
    add_legend(ax)
    return ax


def _positions(values: Any) -> tuple[onp.ndarray, list[str]]:
    """Return numbers as they are, and choices as 0, 1, … with their names."""
    items = values.tolist() if hasattr(values, "tolist") else list(values)
    if not any(isinstance(item, (bool, str, tuple, type(None))) for item in items):
        return as_numbers("x", items, 1), []
    names = list(dict.fromkeys(map(str, items)))
    return onp.array([float(names.index(str(item))) for item in items]), names


def _zigzag(positions: onp.ndarray) -> onp.ndarray:
    """Keep trials of one choice apart; no random numbers: the same data give the same figure."""
    return 0.08 * (onp.arange(len(positions)) % 5 - 2)


@in_style
def plot_parallel(
    columns: Mapping[str, Any],
    values: Any,
    *,
    log: Collection[str] = (),
    smaller_is_better: bool = True,
    label: str = "value",
    best: int = 5,
    ax: Any = None,
) -> Any:
    """Draw every trial as a line through parallel axes, one for each hyperparameter.

    The trials are coloured by the rank of their value; the best ones are drawn last and thick.

    Parameters
    ----------
    columns : mapping of str to array, shape (trials,)
        Numbers or choices; a line is interrupted where its trial has none.
    values : array, shape (trials,)
        What came out; trials with NaN are dotted and grey.
    log : collection of str
        Columns with a logarithmic axis.
    smaller_is_better : bool
        Whether the best value is the smallest.
    label : str
        What the values are, beside the bar of colours.
    best : int
        How many lines are thick.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Fewer than two columns, shapes that do not fit, or no finite value.
    """
    values = as_numbers("values", values, 1)
    if len(columns) < 2 or not onp.isfinite(values).any():
        raise ValueError(
            f"got {len(columns)} columns and {onp.isfinite(values).sum()} finite values; expected "
            "at least two columns and one value"
        )
    heights = []
    for place, (name, column) in enumerate(columns.items()):
        height, ticks = _axis(name, column, name in log)
        if len(height) != len(values):
            raise ValueError(f"{name} has {len(height)} trials, values has {len(values)}")
        heights.append(height)
        ax.axvline(place, color="#888888", linewidth=1, zorder=1)
        for at, text in ticks:
            ax.annotate(
                text,
                (place, at),
                xytext=(4, 0),
                textcoords="offset points",
                fontsize=12,
                va="center",
                zorder=9,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.5},
            )
    _draw_lines(ax, onp.array(heights).T, values, smaller_is_better, best, label)
    ax.set_xticks(range(len(columns)), [name.replace("_", "\n") for name in columns])
    ax.set(xlim=(-0.1, len(columns) - 0.6), ylim=(-0.05, 1.05), yticks=[])
    ax.set_xlabel("hyperparameter")
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    return ax


def _axis(name: str, column: Any, log: bool) -> tuple[onp.ndarray, list[tuple[float, str]]]:
    """Return heights in [0, 1] and what is written at which height."""
    positions, names = _positions(column)
    if names:
        scale = max(1, len(names) - 1)
        return positions / scale, [(k / scale, text) for k, text in enumerate(names)]
    low, high = onp.nanmin(positions), onp.nanmax(positions)
    if log and low <= 0:
        raise ValueError(
            f"{name} reaches down to {low:g}; a logarithmic axis needs numbers above 0"
        )
    if low == high:
        return positions * 0 + 0.5, [(0.5, f"{low:.3g}")]
    heights = onp.log(positions / low) / onp.log(high / low) if log else positions - low
    heights = heights if log else heights / (high - low)
    return heights, [(0, f"{low:.3g}"), (1, f"{high:.3g}")]


def _draw_lines(
    ax: Any,
    heights: onp.ndarray,
    values: onp.ndarray,
    smaller_is_better: bool,
    best: int,
    label: str,
) -> None:
    """Draw the worst first, so that the best lie on top."""
    mpl = require("matplotlib", extra="plots")
    ScalarMappable = require("matplotlib.cm", extra="plots").ScalarMappable
    Normalize = require("matplotlib.colors", extra="plots").Normalize

    colours = mpl.colormaps["cividis_r" if smaller_is_better else "cividis"]
    order = onp.argsort(-values if smaller_is_better else values, kind="stable")
    order = onp.concatenate(
        [order[~onp.isfinite(values[order])], order[onp.isfinite(values[order])]]
    )
    finite = int(onp.isfinite(values).sum())
    across = onp.arange(heights.shape[1])
    for place, trial in enumerate(order):
        rank = place - (len(order) - finite)  # the worst finite one is 0
        if rank < 0:
            style: dict[str, Any] = {"color": "#999999", "linestyle": ":", "linewidth": 0.8}
        else:
            part = rank / max(1, finite - 1)
            style = {"color": colours(1 - part if smaller_is_better else part), "linestyle": "-"}
            style |= {"linewidth": 2.6, "zorder": 4} if rank >= finite - best else {}
            style = {"linewidth": 0.9, "alpha": 0.8} | style
        ax.plot(across, heights[trial], gid=SERIES, **style)
    # Ranks colour the lines, so the bar names the values at some of them.
    bar = ax.figure.colorbar(ScalarMappable(Normalize(0, 1), colours), ax=ax, pad=0.02)
    levels = onp.linspace(0, 1, 5)
    shown = onp.quantile(values[onp.isfinite(values)], levels)
    bar.set_ticks(levels, labels=[f"{value:.3g}" for value in shown])
    bar.set_label(label)


@in_style
def plot_best_of(
    trials: Any,
    expected: Any,
    low: Any = None,
    high: Any = None,
    label: str | None = None,
    *,
    xlabel: str = "trials",
    ylabel: str = "best value",
    ax: Any = None,
) -> Any:
    """Draw the best value against the number of trials.

    Call it once for each search, on the same `ax`.

    Parameters
    ----------
    trials : array, shape (n,)
        How many trials.
    expected : array, shape (n,)
        The best value expected of them.
    low, high : array, shape (n,), optional
        A band around it.
    label : str, optional
        Name of the search in the legend.
    xlabel, ylabel : str
        What the axes show; labels that are there already stay.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Shapes that do not fit, or one end of a band without the other.
    """
    trials, expected = as_numbers("trials", trials, 1), as_numbers("expected", expected, 1)
    if (low is None) != (high is None):
        raise ValueError("a band needs both low and high")
    rows = [expected] + ([] if low is None else [as_numbers("low", low, 1)])
    rows += [] if high is None else [as_numbers("high", high, 1)]
    if any(len(row) != len(trials) for row in rows):
        raise ValueError(f"trials has {len(trials)} points; expected the others to have as many")
    style = next_style(ax)
    marked = onp.unique(onp.geomspace(1, len(trials), 9).astype(int) - 1).tolist()
    ax.plot(trials, expected, label=label, gid=SERIES, markevery=marked, **style)
    if low is not None:
        ax.fill_between(trials, rows[1], rows[2], color=style["color"], alpha=0.2, linewidth=0)
    ax.set_xscale("log")
    ax.set(xlabel=ax.get_xlabel() or xlabel, ylabel=ax.get_ylabel() or ylabel)
    add_legend(ax)
    return ax


@in_style
def plot_importance(
    names: Sequence[str],
    share: Any,
    low: Any,
    high: Any,
    label: str | None = None,
    *,
    xlabel: str = "share of the variance explained (%)",
    ax: Any = None,
) -> Any:
    """Draw the importance of hyperparameters below each other, with intervals.

    Call it once for each data set, on the same `ax`; names that are there keep their row.

    Parameters
    ----------
    names : sequence of str
        The hyperparameters, from top to bottom.
    share, low, high : array, shape (n,)
        The parts of 1, and their intervals.
    label : str, optional
        Name of the series in the legend.
    xlabel : str
        What the axis shows.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Shapes that do not fit, or other names than those drawn before.
    """
    share, low, high = (
        as_numbers(name, value, 1)
        for name, value in (("share", share), ("low", low), ("high", high))
    )
    if not len(names) == len(share) == len(low) == len(high):
        raise ValueError(f"there are {len(names)} names; expected as many shares and intervals")
    drawn = sum(artist.get_gid() == SERIES for artist in ax.lines)
    rows = [text.get_text() for text in ax.get_yticklabels()] if drawn else list(names)
    if sorted(rows) != sorted(names):
        raise ValueError(f"the names are {list(names)}; drawn before were {rows}")
    places = onp.array([rows.index(name) for name in names]) + 0.22 * drawn
    style = next_style(ax) | {"linestyle": "none"}
    ax.plot(100 * share, places, label=label, gid=SERIES, **style)
    ax.hlines(places, 100 * low, 100 * high, color=style["color"], linewidth=2.2)
    if not drawn:
        ax.set_yticks(range(len(rows)), rows)
        ax.axvline(0, color=PALETTE[-1], linewidth=0.8)
    ax.set(ylim=(len(rows) - 0.3, -0.5), xlabel=xlabel)
    ax.grid(axis="y", visible=False)
    add_legend(ax)
    return ax
