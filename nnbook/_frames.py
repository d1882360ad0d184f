"""The frames of a figure with sliders: drawn, encoded as `data:` addresses, summarised."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as onp

from nnbook._optional import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 144
# An axis in seconds shows the machine, not the mathematics: its numbers are not recorded.
_TIME_LABEL = re.compile(r"[(\[](?:s|ms|µs|min)[)\]]|\bseconds?\b", re.IGNORECASE)


def draw_figure(draw: Callable[..., Any], choice: Mapping[str, Any]) -> Figure:
    """Call the reader's function and return its figure."""
    Figure = require("matplotlib.figure", extra="plots").Figure

    drawn = draw(**choice)
    candidate = onp.ravel(drawn)[0] if isinstance(drawn, onp.ndarray | list | tuple) else drawn
    figure = candidate if isinstance(candidate, Figure) else getattr(candidate, "figure", None)
    if not isinstance(figure, Figure):
        raise TypeError(f"draw(**{dict(choice)}) returned {drawn!r}, expected a figure or its Axes")
    return figure


def close(figure: Figure) -> None:
    """Close a figure, else the inline backend would show it a second time."""
    plt = require("matplotlib.pyplot", extra="plots")

    plt.close(figure)


def data_address(figure: Figure, kind: str) -> str:
    """Return the figure as an image in a `data:` address."""
    mime = "image/svg+xml" if kind == "svg" else f"image/{kind}"
    return f"data:{mime};base64,{base64.b64encode(encode(figure, kind)).decode()}"


def img(address: str, alt: str) -> str:
    """Return an img element that reads well on a dark page too."""
    style = "max-width:100%;height:auto;background:#fff;border-radius:6px"
    return f'<img src="{address}" alt="{html.escape(alt, quote=True)}" style="{style}">'


def script_json(data: Any) -> str:
    """Return JSON that may stand inside a script element."""
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")


def kinds() -> list[str]:
    """Return the kinds of image that can be made here."""
    from PIL import features

    return ["png", "svg", *(["webp"] if features.check("webp") else [])]


def encode(figure: Figure, kind: str) -> bytes:
    """Return the figure as the bytes of an image."""
    mpl = require("matplotlib", extra="plots")

    buffer = io.BytesIO()
    if kind == "svg":
        with mpl.rc_context({"svg.hashsalt": "nnbook"}):  # the same file in every run
            figure.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None})
        return buffer.getvalue()
    figure.savefig(buffer, format="png", dpi=_DPI, facecolor="white")
    if kind == "webp":
        from PIL import Image

        png, buffer = buffer, io.BytesIO()
        Image.open(png).convert("RGB").save(buffer, format="webp", lossless=True, method=4)
    return buffer.getvalue()


def plotted(figure: Figure) -> list[dict[str, Any]]:
    """Summarise what each Axes shows, so that two runs can be compared without their pixels."""
    Rectangle = require("matplotlib.patches", extra="plots").Rectangle

    summaries = []
    for axes in figure.axes:
        labels = {"title": axes.get_title(), "x": axes.get_xlabel(), "y": axes.get_ylabel()}
        xy = [line.get_xydata() for line in axes.lines]
        xy += [_points(collection) for collection in axes.collections]
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        xy += [onp.array([[bar.get_x(), bar.get_height()]]) for bar in bars]
        series: list[dict[str, Any]] = [
            {name: summary(data[:, column]) for column, name in enumerate("xy")} | {"n": len(data)}
            for data in map(onp.atleast_2d, xy)
            if data.size
        ]
        for name in "xy":
            if _TIME_LABEL.search(labels[name]):
                series = [s | {name: "time"} for s in series]
        images = [summary(onp.ravel(onp.asarray(image.get_array()))) for image in axes.images]
        texts = [text.get_text() for text in axes.texts]
        summaries.append(labels | {"series": series, "images": images, "texts": texts})
    return summaries


def _points(collection: Any) -> Any:
    """Where the points of a scatter plot are, or the corners of areas and contours."""
    PathCollection = require("matplotlib.collections", extra="plots").PathCollection

    if isinstance(collection, PathCollection):
        return onp.ma.filled(collection.get_offsets(), onp.nan)
    corners = [path.vertices for path in collection.get_paths() if len(path.vertices)]
    return onp.concatenate(corners) if corners else onp.empty((0, 2))


def summary(data: Any) -> list[Any]:
    """First, last, smallest and largest value; what is negligible beside the largest becomes 0."""
    values = onp.asarray(data, dtype=float)
    finite = values[onp.isfinite(values)]
    if not finite.size:
        return []
    scale = float(onp.abs(finite).max())
    chosen = (finite[0], finite[-1], finite.min(), finite.max())
    return [0 if abs(v) <= 1e-4 * scale else float(f"{v:.4g}") for v in chosen]
