"""Draw ensembles: how often members disagree, and how far their confidence can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as onp

from nnbook.plots.style import PALETTE, SERIES, add_legend, as_numbers, in_style, next_style

__all__ = ["plot_disagreement", "plot_reliability"]

_MOST_WRITTEN = 10  # members of which every number is written into its cell


@in_style
def plot_reliability(
    confidence: Any, accuracy: Any, count: Any, label: str | None = None, *, ax: Any = None
) -> Any:
    """Draw accuracy against confidence, a point for each bin; its area shows how many are in it.

    Points on the diagonal are calibrated; below it, the model is too confident. Call it once for
    each model, on the same `ax`.

    Parameters
    ----------
    confidence, accuracy : array, shape (bins,)
        Their means in each bin, in [0, 1].
    count : array, shape (bins,)
        The examples in each bin; empty ones are not drawn.
    label : str, optional
        Name of the model in the legend.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Shapes that do not fit, or no example at all.
    """
    confidence, accuracy, count = (
        as_numbers(name, values, 1)
        for name, values in (("confidence", confidence), ("accuracy", accuracy), ("count", count))
    )
    if not len(confidence) == len(accuracy) == len(count):
        raise ValueError(
            f"confidence has {len(confidence)} bins, accuracy {len(accuracy)}, count {len(count)}"
        )
    some = count > 0
    if not some.any():
        raise ValueError("every bin is empty; expected at least one example")
    if not any(artist.get_gid() == SERIES for artist in ax.lines):
        ax.plot([0, 1], [0, 1], color=PALETTE[-1], linewidth=0.8, zorder=1)
        ax.set(xlim=(0, 1), ylim=(0, 1))
        ax.set(xlabel="confidence", ylabel="accuracy (share of right predictions)")
    style = next_style(ax)
    ax.plot(confidence[some], accuracy[some], label=label, gid=SERIES, **style | {"markersize": 4})
    area = 15 + 285 * count[some] / count.max()
    ax.scatter(
        confidence[some],
        accuracy[some],
        s=area,
        color=style["color"],
        marker=style["marker"],
        alpha=0.35,
        linewidths=0,
        clip_on=False,
    )
    add_legend(ax)
    return ax


@in_style
def plot_disagreement(matrix: Any, names: Sequence[str] | None = None, *, ax: Any = None) -> Any:
    """Draw how often two members predict different classes, a cell for each pair.

    Parameters
    ----------
    matrix : array, shape (M, M)
        Shares of the examples. The diagonal is left out. For up to ten members the numbers are
        written into the cells, in per cent.
    names : sequence of str, optional
        What the members are called; by default their numbers from 0.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The matrix is not square, or there are more or fewer names than members.
    """
    matrix = 100 * as_numbers("matrix", matrix, 2)
    members = len(matrix)
    if matrix.shape != (members, members) or members < 2:
        raise ValueError(
            f"matrix has shape {matrix.shape}; expected a square of two members or more"
        )
    names = [str(k) for k in range(members)] if names is None else list(names)
    if len(names) != members:
        raise ValueError(f"there are {len(names)} names for {members} members")
    pairs = onp.ma.masked_where(onp.eye(members, dtype=bool), matrix)
    image = ax.imshow(pairs, vmin=0, vmax=pairs.max() or 1, aspect="auto")
    if members <= _MOST_WRITTEN:
        for (row, column), value in onp.ndenumerate(matrix):
            if row != column:
                dark = value < 0.6 * image.norm.vmax  # cividis goes from dark to light
                text = f"{value:.3g}" if value < 100 else "100"
                colour = "white" if dark else "black"
                ax.text(column, row, text, ha="center", va="center", fontsize=12, color=colour)
    turned = 90 if max(map(len, names)) > 3 else 0
    ax.set_xticks(range(members), names, rotation=turned)
    ax.set_yticks(range(members), names)
    ax.set(xlabel="member", ylabel="member")
    ax.grid(visible=False)
    ax.figure.colorbar(image, ax=ax, label="different predictions (% of examples)")
    return ax
