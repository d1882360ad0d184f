"""Draw what monitors saw: update ratios, histograms, dead units, the gap, first-layer images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as onp

from nnbook.plots.style import PALETTE, SERIES, add_legend, as_numbers, in_style, next_style

__all__ = [
    "plot_dead_units",
    "plot_filters",
    "plot_gap",
    "plot_histogram_history",
    "plot_ridges",
    "plot_update_ratios",
]


@in_style
def plot_update_ratios(
    steps: Any, ratios: Mapping[str, Any], *, rule: float | None = 1e-3, ax: Any = None
) -> Any:
    """Draw how far parameters move in a step, relative to their size, on a logarithmic axis.

    Parameters
    ----------
    steps : array, shape (n,)
        When.
    ratios : mapping of str to array, shape (n,)
        ‖update‖ / ‖weights‖ of each parameter; zeros and infinities leave gaps.
    rule : float or None
        Where to draw a line for comparison.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        No parameter, or shapes that do not fit.
    """
    _lines(
        steps,
        ratios,
        lambda values: onp.where((values > 0) & (values < onp.inf), values, onp.nan),
        ax,
    )
    if rule is not None:
        ax.axhline(rule, color="black", linewidth=1)
        ax.annotate(
            f"{rule:g}",
            (1, rule),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
        )
    ax.set(xlabel="step", ylabel="‖update‖ / ‖weights‖", yscale="log")
    return ax


@in_style
def plot_dead_units(epochs: Any, shares: Mapping[str, Any], *, ax: Any = None) -> Any:
    """Draw the share of dead (or saturated) units of each layer.

    Parameters
    ----------
    epochs : array, shape (n,)
        When.
    shares : mapping of str to array, shape (n,)
        Fractions from 0 to 1 of each layer; NaN leaves gaps.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        No layer, or shapes that do not fit.
    """
    _lines(epochs, shares, lambda values: 100 * values, ax)
    ax.set(xlabel="epoch", ylabel="units (%)", ylim=(-4, 104))
    return ax


def _lines(x: Any, series: Mapping[str, Any], shown: Any, ax: Any) -> None:
    if not series:
        raise ValueError("there is no series to draw; expected at least one")
    x = as_numbers("the horizontal axis", x, 1)
    for name, values in series.items():
        values = as_numbers(f"{name!r}", values, 1)
        if len(values) != len(x):
            raise ValueError(f"{name!r} has {len(values)} values; expected {len(x)}")
        every = max(1, len(x) // 10)
        ax.plot(x, shown(values), label=name, gid=SERIES, markevery=every, **next_style(ax))
    add_legend(ax)


@in_style
def plot_gap(epochs: Any, train: Any, validation: Any, *, log: bool = False, ax: Any = None) -> Any:
    """Draw training and validation loss, and shade where validation is the worse of them.

    Parameters
    ----------
    epochs : array, shape (n,)
        When.
    train, validation : array, shape (n,)
        The losses.
    log : bool
        Use a logarithmic axis.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """
    _lines(epochs, {"training": train, "validation": validation}, onp.asarray, ax)
    style = {"color": "0.5", "alpha": 0.35, "linewidth": 0, "interpolate": True}
    train, validation = onp.asarray(train, dtype=float), onp.asarray(validation, dtype=float)
    ax.fill_between(epochs, train, validation, where=validation >= train, label="gap", **style)
    ax.set(xlabel="epoch", ylabel="loss")
    if log:
        ax.set_yscale("log")
    add_legend(ax)
    return ax


@in_style
def plot_ridges(
    histograms: Mapping[str, tuple[Any, Any]],
    *,
    log: bool = False,
    xlabel: str = "value",
    ax: Any = None,
) -> Any:
    """Draw histograms above each other, the first on top: layers of a network, or epochs.

    Parameters
    ----------
    histograms : mapping of str to (counts, edges)
        Counts (bins,) and the edges (bins + 1,) of their bins. Each is drawn to the same height,
        as a density.
    log : bool
        Use a logarithmic axis for the values; densities are then per factor.
    xlabel : str
        What the values are.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        No histogram, or shapes that do not fit.
    """
    if not histograms:
        raise ValueError("there is no histogram to draw; expected at least one")
    lowest = len(histograms) - 1
    for row, (name, (counts, edges)) in enumerate(histograms.items()):
        counts, edges = _checked(name, counts, edges)
        density = counts / onp.diff(onp.log(edges) if log else edges)
        heights = 0.9 * density / max(density.max(), 1e-300)
        base = lowest - row
        colour = PALETTE[row % len(PALETTE)]
        ax.stairs(base + heights, edges, baseline=base, fill=True, color=colour, alpha=0.45)
        ax.stairs(base + heights, edges, baseline=base, color=colour, linewidth=1.3)
    ax.set_yticks(range(lowest, -1, -1), list(histograms))
    ax.set(xlabel=xlabel, ylim=(-0.1, lowest + 1.05))
    if log:
        ax.set_xscale("log")
    ax.tick_params(axis="y", length=0)
    return ax


@in_style
def plot_histogram_history(
    times: Any,
    counts: Any,
    edges: Any,
    *,
    log: bool = False,
    xlabel: str = "epoch",
    ylabel: str = "value",
    ax: Any = None,
) -> Any:
    """Draw how a histogram changes with time: a column for each time, dark where values are many.

    Parameters
    ----------
    times : array, shape (n,)
        When; the columns are of equal width.
    counts : array, shape (n, bins)
        The histograms.
    edges : array, shape (bins + 1,) or (n, bins + 1)
        Edges of the bins, the same for all or each histogram's own.
    log : bool
        Use a logarithmic axis for the values.
    xlabel, ylabel : str
        What the axes show.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """
    times, counts = as_numbers("times", times, 1), as_numbers("counts", counts, 2)
    edges = onp.broadcast_to(onp.asarray(edges, float), (len(counts), counts.shape[1] + 1))
    if len(times) != len(counts):
        raise ValueError(f"counts has {len(counts)} rows; expected {len(times)}, one for each time")
    scale = onp.log10 if log else onp.asarray
    own = scale(edges)
    common = onp.linspace(own.min(), own.max(), 2 * counts.shape[1] + 1)
    shares = onp.empty((len(common) - 1, len(counts)))
    for i, (row, its) in enumerate(zip(counts, own, strict=True)):
        below = onp.concatenate([[0.0], onp.cumsum(row)]) / max(row.sum(), 1)
        shares[:, i] = onp.diff(onp.interp(common, its, below))
    shares /= onp.maximum(shares.max(axis=0), 1e-300)  # each column to the same darkness
    values = 10**common if log else common
    columns = onp.arange(len(times) + 1) - 0.5
    # A root: a few outliers must be seen beside the many.
    ax.pcolormesh(columns, values, shares**0.5, cmap="Greys", rasterized=True)
    shown = onp.unique(onp.linspace(0, len(times) - 1, min(len(times), 6)).astype(int))
    ax.set_xticks(shown, [f"{times[i]:g}" for i in shown])
    filled = onp.flatnonzero(shares.max(axis=1))
    if filled.size:
        ax.set_ylim(values[filled[0]], values[filled[-1] + 1])
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if log:
        ax.set_yscale("log")
    ax.grid(False)
    return ax


def _checked(name: str, counts: Any, edges: Any) -> tuple[onp.ndarray, onp.ndarray]:
    counts, edges = as_numbers(f"{name!r}", counts, 1), onp.asarray(edges, dtype=float)
    if edges.shape != (len(counts) + 1,):
        raise ValueError(
            f"{name!r} has {len(counts)} counts and edges of shape {edges.shape}; expected "
            f"({len(counts) + 1},)"
        )
    return counts, edges


@in_style
def plot_filters(
    weights: Any,
    shape: Sequence[int],
    *,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    ax: Any = None,
) -> Any:
    """Draw the weights of each unit of a first layer as an image, side by side.

    Parameters
    ----------
    weights : array, shape (units, rows · columns)
        One row for each unit.
    shape : sequence of int
        ``(rows, columns)`` of an image.
    titles : sequence of str, optional
        A short text above each image.
    columns : int, optional
        How many images stand in a row; by default about as many as below each other.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        All images have one grey scale, symmetric about 0: white is the largest weight, black the
        most negative.

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """
    weights = as_numbers("weights", weights, 2)
    rows, across = (int(size) for size in shape)
    if weights.shape[1] != rows * across:
        raise ValueError(f"weights has shape {weights.shape}; expected (units, {rows * across})")
    if titles is not None and len(titles) != len(weights):
        raise ValueError(f"there are {len(titles)} titles; expected {len(weights)}")
    columns = min(len(weights), columns or int(onp.ceil(len(weights) ** 0.5)))
    lines = -(-len(weights) // columns)
    gap = max(1, rows // 12)
    above = gap if titles is None else gap + max(2, rows // 4)
    canvas = onp.full((lines * (rows + above), columns * (across + gap)), onp.nan)
    for i, image in enumerate(weights.reshape(-1, rows, across)):
        top, left = (i // columns) * (rows + above) + above, (i % columns) * (across + gap)
        canvas[top : top + rows, left : left + across] = image
        if titles is not None:
            ax.text(left + across / 2, top - 1, titles[i], ha="center", va="bottom", fontsize=11)
    largest = float(onp.abs(weights).max()) or 1.0
    ax.imshow(canvas, cmap="gray", vmin=-largest, vmax=largest, interpolation="nearest")
    ax.axis("off")
    return ax
