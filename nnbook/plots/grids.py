"""Draw grids of outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as onp

from nnbook._optional import require
from nnbook.plots.style import in_style

__all__ = ["plot_grid_of_tests"]

# From light to dark as outcomes get better: it reads the same in grey.
_COLOURS = ("#ffffff", "#f7dcc8", "#ecb955", "#4b9ccb", "#004a75")
_MARKS = ("x", "_", "$?$", "$\\sim$", "")
_WORDS = ("✗ diverged", "– stuck", "? unreliable", "~ slow", "good")


@in_style
def plot_grid_of_tests(
    status: Any,
    rows: Sequence[str],
    columns: Sequence[str],
    groups: Sequence[str] | None = None,
    *,
    words: Sequence[str] = _WORDS,
    ax: Any = None,
) -> Any:
    """Draw which tests were passed: a cell for each, its colour and its sign say how.

    Parameters
    ----------
    status : array of int, shape (rows, columns) or (rows, groups, columns)
        Outcomes from 0, the worst, to 4.
    rows, columns : sequence of str
        Names; with groups, every group has these columns.
    groups : sequence of str, optional
        Names of blocks of columns, side by side; short ones.
    words : sequence of str, length 5
        What the outcomes are called in the legend, worst first.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        Shapes that do not fit, or an outcome out of range.
    """
    PatchCollection = require("matplotlib.collections", extra="plots").PatchCollection
    patches = require("matplotlib.patches", extra="plots")
    Patch, Rectangle = patches.Patch, patches.Rectangle

    status = onp.asarray(status)
    expected = (len(rows), *([] if groups is None else [len(groups)]), len(columns))
    if status.shape != expected or not status.size:
        raise ValueError(f"status has shape {status.shape}; expected {expected}, not empty")
    if not onp.isin(status, range(len(_COLOURS))).all():
        raise ValueError(f"status has {onp.unique(status)}; expected 0 to {len(_COLOURS) - 1}")
    status = status.reshape(len(rows), -1, len(columns))
    # Half a column's gap between groups; every cell is a square of a mesh.
    left = onp.add.outer(onp.arange(status.shape[1]) * (len(columns) + 0.5), range(len(columns)))
    for k, colour in enumerate(_COLOURS):
        row, group, column = onp.nonzero(status == k)
        x, y = left[group, column] + 0.5, row + 0.5
        boxes = [Rectangle((a - 0.45, b - 0.45), 0.9, 0.9) for a, b in zip(x, y, strict=True)]
        if not boxes:
            continue
        ax.add_collection(PatchCollection(boxes, facecolor=colour, edgecolor="0.5", linewidth=0.5))
        if _MARKS[k]:
            ax.scatter(x, y, s=28, marker=_MARKS[k], color="black", linewidths=0.8, zorder=3)
    ax.set(xlim=(-0.2, left.max() + 1.2), ylim=(len(rows) + 0.1, -0.1))
    ax.set_yticks(onp.arange(len(rows)) + 0.5, rows)
    ax.set_xticks(left.ravel() + 0.5, list(columns) * status.shape[1], rotation=90)
    if groups is not None:
        for name, start in zip(groups, left[:, 0], strict=True):
            ax.text(start, -0.3, name, ha="left", va="bottom")
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    named = zip(_COLOURS, words, strict=True)
    shown = [Patch(facecolor=colour, edgecolor="0.5", label=word) for colour, word in named]
    above = 1.02 if groups is None else 1.1
    ax.legend(handles=shown, loc="lower center", bbox_to_anchor=(0.45, above), ncol=3)
    return ax
