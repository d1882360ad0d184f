"""Draw loss surfaces and their curvature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as onp

from nnbook.plots.style import SERIES, add_legend, as_numbers, in_style, next_style

__all__ = ["plot_contours", "plot_spectrum"]


@in_style
def plot_contours(
    function: Callable[[onp.ndarray], Any],
    trajectory: Any = None,
    *,
    x_range: tuple[float, float] = (-2.0, 2.0),
    y_range: tuple[float, float] = (-2.0, 2.0),
    levels: Any = 20,
    log: bool = False,
    points: int = 120,
    ax: Any = None,
) -> Any:
    """Draw the contours of a function of two variables, and paths through them.

    Parameters
    ----------
    function : callable
        f(θ) for points of shape (rows, columns, 2), such as the `value` of a problem, or
        ``lambda theta: theta[..., 0] ** 2 + 10 * theta[..., 1] ** 2``.
    trajectory : array, shape (steps, 2), or mapping of names to such arrays, optional
        Paths to draw; the start is hollow.
    x_range, y_range : tuple of float
        What part of the plane to draw.
    levels : int or sequence of float
        How many contours, or their values.
    log : bool
        Space the contours evenly in ln(f − min f) instead of in f, for narrow valleys.
    points : int
        Grid points along each axis.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        An empty range, a path that is no list of points, a function that is not elementwise.
    """
    for name, (low, high) in (("x_range", x_range), ("y_range", y_range)):
        if not low < high:
            raise ValueError(f"{name} is ({low}, {high}); expected two rising numbers")
    paths = {} if trajectory is None else trajectory
    if not isinstance(paths, Mapping):
        paths = {None: paths}
    paths = {name: _path(path) for name, path in paths.items()}
    grid = onp.array(onp.meshgrid(onp.linspace(*x_range, points), onp.linspace(*y_range, points)))
    theta = onp.moveaxis(grid, 0, -1)
    heights = onp.asarray(function(theta), dtype=float)
    if heights.shape != grid.shape[1:]:
        raise ValueError(
            f"function maps shape {theta.shape} to {heights.shape}; expected {grid.shape[1:]}: "
            "write it with theta[..., 0] and theta[..., 1]"
        )
    if log and isinstance(levels, int):
        spread = onp.ptp(heights)
        levels = heights.min() + spread * onp.logspace(-4, 0, levels)
    ax.contour(*grid, heights, levels=levels, cmap="cividis", linewidths=0.9, alpha=0.8)
    for name, path in paths.items():
        style = next_style(ax) | {"markersize": 4, "linewidth": 1.5}
        every = max(1, len(path) // 40)
        ax.plot(*path.T, label=name, gid=SERIES, markevery=every, **style)
        ax.plot(*path[0], marker="o", markersize=9, fillstyle="none", color=style["color"])
    ax.set(xlim=x_range, ylim=y_range, xlabel="θ₁", ylabel="θ₂")
    ax.grid(False)
    add_legend(ax)
    return ax


def _path(path: Any) -> onp.ndarray:
    path = as_numbers("trajectory", path, 2)
    if path.shape[1] != 2:
        raise ValueError(f"trajectory has shape {path.shape}; expected (steps, 2)")
    return path


@in_style
def plot_spectrum(eigenvalues: Any, label: str | None = None, *, ax: Any = None) -> Any:
    """Draw eigenvalues by size, largest first, on a logarithmic scale; negative ones are hollow.

    Parameters
    ----------
    eigenvalues : array, shape (n,)
        Real, in any order; zeros cannot be shown and are left out.
    label : str, optional
        In the legend.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        No eigenvalues, or none but zeros.
    """
    sizes = as_numbers("eigenvalues", eigenvalues, 1)
    sizes = sizes[onp.argsort(-onp.abs(sizes))]
    rank = onp.arange(1, len(sizes) + 1)
    if not sizes.any():
        raise ValueError(f"all {len(sizes)} eigenvalues are 0; expected one that is not")
    style = next_style(ax) | {"linestyle": "none", "markersize": 5}
    positive, negative = sizes > 0, sizes < 0
    ax.plot(rank[positive], sizes[positive], label=label, gid=SERIES, **style)
    if negative.any():
        name = "negative" if label is None else f"{label}, negative"
        ax.plot(rank[negative], -sizes[negative], label=name, fillstyle="none", **style)
    ax.set(yscale="log", xlabel="rank", ylabel="size of the eigenvalue")
    add_legend(ax)
    return ax
