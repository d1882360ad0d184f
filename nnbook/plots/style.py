"""The look of the book's figures, and what all drawing functions share."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import numpy as onp

from nnbook._optional import require

__all__ = ["PALETTE", "use_style"]

# Okabe and Ito (2008), without their yellow, which is too pale for lines on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SERIES = "nnbook-series"  # marks the artist that carries a series' style, one for each


class _Undo(contextlib.ExitStack):
    """What takes the style back; at the end of a notebook's cell there is nothing to show of it."""

    def _ipython_display_(self) -> None: ...


def use_style() -> Any:
    """Set matplotlib to the book's style, for good or for a block.

    Returns
    -------
    context manager
        ``use_style()`` alone sets the style; ``with use_style(): ...`` restores what was set
        before at the end of the block.

    References
    ----------
    Okabe and Ito (2008), Color universal design.
    """
    mpl = require("matplotlib", extra="plots")
    from cycler import cycler

    before = dict.copy(mpl.rcParams)
    mpl.rcParams.update(
        {
            "figure.figsize": (6.0, 4.0),
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "axes.facecolor": "white",
            "axes.grid": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=PALETTE) + cycler(linestyle=_LINES),
            "font.size": 13,
            "axes.titlesize": 14,
            "axes.labelsize": 13,
            "xtick.labelsize": 12,
            "ytick.labelsize": 12,
            "legend.fontsize": 12,
            "legend.frameon": True,
            "legend.framealpha": 0.85,
            "grid.color": "#dddddd",
            "grid.linewidth": 0.6,
            "lines.linewidth": 2.0,
            "lines.markersize": 6,
            "image.cmap": "cividis",
        }
    )
    undo = _Undo()
    undo.callback(dict.update, mpl.rcParams, before)
    return undo


def in_style(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Give a drawing function a new figure in the book's style when it gets no Axes."""

    @functools.wraps(draw)
    def drawn(*args: Any, ax: Any = None, **kwargs: Any) -> Any:
        if ax is not None:
            return draw(*args, ax=ax, **kwargs)
        plt = require("matplotlib.pyplot", extra="plots")

        with use_style():
            figure, ax = plt.subplots()
            try:
                return draw(*args, ax=ax, **kwargs)
            except BaseException:
                plt.close(figure)  # no empty figure beside the error
                raise

    return drawn


def next_style(ax: Any) -> dict[str, Any]:
    """Return colour, line and marker of the next series of an Axes."""
    drawn = sum(artist.get_gid() == SERIES for artist in ax.lines)
    colour, line, marker = (
        choices[drawn % len(choices)] for choices in (PALETTE, _LINES, _MARKERS)
    )
    return {"color": colour, "linestyle": line, "marker": marker}


def as_numbers(name: str, values: Any, dimensions: int) -> onp.ndarray:
    """Return values as a float array; refuse an empty one or another number of dimensions."""
    array = onp.asarray(values, dtype=float)
    if array.ndim != dimensions or array.size == 0:
        raise ValueError(
            f"{name} has shape {array.shape}; expected {dimensions} dimension"
            f"{'s' if dimensions > 1 else ''} and at least one value"
        )
    return array


def mean_interval(values: onp.ndarray) -> tuple[onp.ndarray, onp.ndarray]:
    """Return mean and half width of the 95 % interval over the first axis (Student's t)."""
    n = len(values)
    mean = values.mean(axis=0)
    if n < 2:
        return mean, onp.full_like(mean, onp.nan)
    from scipy import stats

    return mean, stats.t.ppf(0.975, n - 1) * values.std(axis=0, ddof=1) / n**0.5


def add_legend(ax: Any) -> None:
    if ax.get_legend_handles_labels()[0]:
        ax.legend()
