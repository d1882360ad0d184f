"""A grid of outcomes whose curves show when a cell is hovered, focused or clicked.

The grid is a plain table, so it shows without JavaScript, in a notebook that is not trusted and on
paper. A few lines of script turn its cells into buttons and draw the curves of one of them as SVG.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as onp

from nnbook._frames import script_json

__all__ = ["OutcomeGrid", "explore_grid"]

MAX_BYTES = 800_000
# From light to dark as outcomes get better: it reads the same in grey.
COLOURS = ("#ffffff", "#f7dcc8", "#ecb955", "#4b9ccb", "#004a75")
INKS = ("#a11212", "#000", "#000", "#000", "#fff")


@dataclass(frozen=True)
class OutcomeGrid:
    """A grid to play with; made by `explore_grid`, displayed by Jupyter.

    Parameters
    ----------
    table : str
        The first panel as HTML.
    data : dict
        What the script draws from.
    alt : str
        What is to be seen.
    caption : str or None
        The caption, plain text.
    identifier : str
        The `id` of the figure on its page, the same in every run.
    """

    table: str = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    alt: str
    caption: str | None
    identifier: str

    def to_html(self) -> str:
        """Return the figure as self-contained HTML.

        Returns
        -------
        str
            A `<figure>` element with its table, its caption and its script.
        """
        caption = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        words, symbols = self.data["words"], self.data["symbols"]
        legend = " ".join(
            f'<span><b style="{_paint(k)}">{html.escape(symbol)}</b> {html.escape(word)}</span>'
            for k, (symbol, word) in enumerate(zip(symbols, words, strict=True))
        )
        choices = [f"{panel['name']}: {panel['options'][0]}" for panel in self.data["panels"]]
        return _TEMPLATE.substitute(
            id=self.identifier,
            choices=html.escape("; ".join(choices)),
            table=self.table,
            legend=legend,
            caption=caption,
            data=script_json(self.data),
            colours=json.dumps([_paint(k) for k in range(len(words))]),
        )

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.to_html()}

    def __str__(self) -> str:
        choices = "; ".join(
            f"{panel['name']}: {', '.join(panel['options'])}" for panel in self.data["panels"]
        )
        return f"Grid of outcomes ({choices}). {self.alt}"


def explore_grid(
    status: Any,
    curves: Any,
    x: Any,
    *,
    rows: tuple[str, Sequence[str]],
    columns: tuple[str, Sequence[str]],
    panels: Mapping[str, Sequence[str]],
    words: Sequence[str],
    symbols: Sequence[str],
    alt: str,
    caption: str | None = None,
    score: Any = None,
    reference: Any = None,
    xlabel: str = "step",
    ylabel: str = "value",
    ylim: tuple[float, float] | None = None,
    key: str = "",
) -> OutcomeGrid:
    """Make a grid of outcomes that shows the curves of the cell under the pointer or the focus.

    Parameters
    ----------
    status : array of int, shape (*panels, rows, columns)
        The number of each cell's outcome in `words`, from 0, the worst.
    curves : array, shape (*panels, rows, columns, 3, points)
        Lower edge, middle and upper edge of a band.
    x : array, shape (points,)
        Horizontal positions of the curves.
    rows, columns : tuple of str and sequence of str
        What the rows (columns) are, and their names.
    panels : mapping of str to sequence of str
        What else is varied, one list to choose from for each; the first of each shows first.
    words, symbols : sequence of str
        Up to five outcomes, worst first, and a sign for each.
    alt : str
        What is to be seen.
    caption : str, optional
        The caption, plain text.
    score : array, shape (*panels, rows, columns), optional
        A number to show with the outcome.
    reference : array, shape (*panels, rows, columns, points), optional
        A dashed curve; an axis of panels may have length 1.
    xlabel, ylabel : str
        Labels of the curves' axes.
    ylim : tuple of float, optional
        Curves are cut off beyond; by default nothing is.
    key : str
        What line, band and dashes are, shown below the curves.

    Returns
    -------
    OutcomeGrid
        What Jupyter displays when it is the last line of a cell.

    Raises
    ------
    ValueError
        Shapes that do not fit, an outcome without a word, no alternative text, or more than
        800 kB.
    """
    status, curves, x = onp.asarray(status), onp.asarray(curves, float), onp.asarray(x, float)
    shape = (*(len(v) for v in panels.values()), len(rows[1]), len(columns[1]))
    _check(status, curves, x, shape, words, symbols, alt)
    if ylim is None:
        ylim = (float(curves.min()), float(curves.max()))
    data: dict[str, Any] = {
        "panels": [{"name": k, "options": list(map(str, v))} for k, v in panels.items()],
        "rows": list(rows[1]),
        "columns": list(columns[1]),
        "words": list(words),
        "symbols": list(symbols),
        "labels": [xlabel, ylabel],
        "key": key,
        "x": [float(v) for v in x],
        "ylim": ylim,
        # One string of digits a panel, one number a cell: these are what two runs are compared by.
        "status": ["".join(map(str, p.ravel())) for p in status.reshape(-1, *shape[-2:])],
        "curves": _packed(curves, ylim),
    }
    if score is not None:
        values = onp.clip(onp.broadcast_to(score, shape), -1e3, 1e3).ravel()
        data["score"] = [float(f"{v:.3g}") if abs(v) > 1e-6 else 0 for v in values]
    if reference is not None:
        reference = onp.asarray(reference, float)
        if reference.ndim != len(shape) + 1 or reference.shape[-3:] != (*shape[-2:], len(x)):
            raise ValueError(f"reference has shape {reference.shape}; expected {(*shape, len(x))}")
        data["reference"] = _packed(reference, ylim)
        data["repeats"] = [n == 1 for n in reference.shape[:-3]]
    first = status.reshape(-1, *shape[-2:])[0]
    table = _table(first, rows, columns, words, symbols, alt)
    digest = hashlib.sha256("\n".join([alt, caption or "", table]).encode()).hexdigest()
    made = OutcomeGrid(table, data, alt, caption, f"explore-{digest[:10]}")
    size = len(made.to_html().encode())
    if size > MAX_BYTES:
        raise ValueError(
            f"the grid takes {size / 1000:.0f} kB on the page, expected at most "
            f"{MAX_BYTES / 1000:.0f} kB: use fewer points ({len(x)} now) or fewer panels"
        )
    return made


def _check(
    status: Any, curves: Any, x: Any, shape: tuple, words: Any, symbols: Any, alt: str
) -> None:
    if not (isinstance(alt, str) and alt.strip()):
        raise ValueError(f"alt is {alt!r}, expected text that says what is to be seen")
    if not (len(words) == len(symbols) <= len(COLOURS)):
        raise ValueError(
            f"{len(words)} words and {len(symbols)} symbols; expected as many, at most "
            f"{len(COLOURS)}"
        )
    for name, array, expected in (
        ("x", x, (x.size,)),
        ("status", status, shape),
        ("curves", curves, (*shape, 3, x.size)),
    ):
        if array.shape != expected or not array.size:
            raise ValueError(f"{name} has shape {array.shape}; expected {expected}, not empty")
    if (
        not onp.issubdtype(status.dtype, onp.integer)
        or not ((status >= 0) & (status < len(words))).all()
    ):
        raise ValueError(f"status has {onp.unique(status)}; expected 0 to {len(words) - 1}")
    if not onp.isfinite(curves).all():
        raise ValueError("curves has values that are not finite; replace them by large ones")


def _packed(values: onp.ndarray, ylim: tuple[float, float]) -> str:
    """Return values as one byte each, 0 and 255 being the limits."""
    low, high = ylim
    scaled = (values.clip(low, high) - low) / max(high - low, 1e-12) * 255
    coded = base64.b64encode(scaled.round().astype(onp.uint8).tobytes()).decode()
    return f"data:application/octet-stream;base64,{coded}"


def _paint(outcome: int) -> str:
    return f"background:{COLOURS[outcome]};color:{INKS[outcome]}"


def _table(status: onp.ndarray, rows: Any, columns: Any, words: Any, symbols: Any, alt: str) -> str:
    heads = "".join(f'<th scope="col"><span>{html.escape(n)}</span></th>' for n in columns[1])
    corner = f"{html.escape(rows[0])} / {html.escape(columns[0])}"
    body = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th>'
        + "".join(
            f'<td style="{_paint(k)}" title="{html.escape(words[k])}">'
            f"{html.escape(symbols[k])}</td>"
            for k in map(int, row)
        )
        + "</tr>\n"
        for name, row in zip(rows[1], status, strict=True)
    )
    label = html.escape(alt, quote=True)
    return (
        f'<table aria-label="{label}"><thead><tr><td>{corner}</td>{heads}</tr></thead>\n'
        f"<tbody>{body}</tbody></table>"
    )


# Cells become buttons by the script alone: without it, nothing looks as if it could be pressed.
_TEMPLATE = string.Template(
    """\
<figure class="nnbook-explore nnbook-grid" id="$id" style="margin:1em 0">
<style>
.nnbook-grid-body { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; align-items: flex-start; }
.nnbook-grid table { flex: 1 1 16rem; min-width: 0; max-width: 30rem; margin: 0; width: auto;
  border-collapse: separate; border-spacing: 2px; border: 0; table-layout: fixed; }
.nnbook-grid table tr, .nnbook-grid table th, .nnbook-grid thead td { background: none;
  border: 0; padding: 0 .3rem; color: inherit; font-size: .85rem; text-align: left;
  vertical-align: bottom; }
.nnbook-grid thead td { width: 6.2rem; }
.nnbook-grid thead th { text-align: center; }
.nnbook-grid thead th span { writing-mode: vertical-rl; transform: rotate(180deg);
  font-weight: 400; }
.nnbook-grid tbody th { font-weight: 400; vertical-align: middle; white-space: nowrap; }
.nnbook-grid table tbody td { padding: 0; text-align: center; border: 1px solid #8888;
  border-radius: 3px; font-weight: 700; height: 1.6rem; vertical-align: middle; }
.nnbook-grid td button { all: unset; box-sizing: border-box; display: block; width: 100%;
  min-height: 1.6rem; line-height: 1.6rem; text-align: center; cursor: pointer; color: inherit; }
.nnbook-grid td button[aria-current] { box-shadow: 0 0 0 2px currentColor inset; }
.nnbook-grid td button:focus-visible { outline: 3px solid #e69f00; outline-offset: 1px; }
.nnbook-grid-choices label { display: inline-flex; gap: .4em; align-items: center;
  margin: 0 1.2em .6em 0; max-width: 100%; }
.nnbook-grid-choices select { font: inherit; min-height: 1.8rem; min-width: 0; }
.nnbook-grid-curve { flex: 1 1 16rem; max-width: 28rem; min-width: 0; }
.nnbook-grid-curve svg { width: 100%; height: auto; overflow: visible; }
.nnbook-grid-curve output { display: block; min-height: 1.6em; font-weight: 600; }
.nnbook-grid-legend span { margin-right: 1em; white-space: nowrap; font-size: .85rem; }
.nnbook-grid-legend b { display: inline-block; width: 1.5em; text-align: center;
  border: 1px solid #8888; border-radius: 3px; }
</style>
<div class="nnbook-grid-choices">$choices</div>
<div class="nnbook-grid-body">
$table
<div class="nnbook-grid-curve"></div>
</div>
<p class="nnbook-grid-legend" style="margin:.5em 0">$legend</p>
$caption
<script type="application/json" class="nnbook-plotted">$data</script>
<script>
(() => {
  const here = document.currentScript;
  const figure = (here && here.closest("figure")) || document.getElementById("$id");
  const data = JSON.parse(figure.querySelector(".nnbook-plotted").textContent);
  const paint = $colours;
  const bytes = (packed) => packed &&
    Uint8Array.from(atob(packed.split(",")[1]), (letter) => letter.charCodeAt(0));
  const curves = bytes(data.curves), reference = bytes(data.reference);
  const rows = data.rows.length, columns = data.columns.length, points = data.x.length;
  const add = (parent, tag, properties) =>
    parent.appendChild(Object.assign(document.createElement(tag), properties));
  const choices = figure.querySelector(".nnbook-grid-choices");
  const panel = figure.querySelector(".nnbook-grid-curve");
  choices.replaceChildren();
  panel.replaceChildren();
  const selects = data.panels.map((choice) => {
    const select = add(add(choices, "label", {textContent: choice.name + " "}), "select",
      {onchange: () => { relabel(); show(); }});
    select.setAttribute("aria-label", choice.name);
    choice.options.forEach((text, i) => add(select, "option", {textContent: text, value: i}));
    return select;
  });
  const output = add(panel, "output", {});
  output.setAttribute("aria-live", "polite");
  const picture = add(panel, "div", {});
  add(panel, "small", {textContent: data.key});
  const cells = [...figure.querySelectorAll("tbody td")];
  const buttons = cells.map((cell, i) => {
    cell.replaceChildren();
    cell.removeAttribute("title");
    const button = add(cell, "button", {type: "button", tabIndex: i ? -1 : 0,
      onclick: () => show(i), onfocus: () => show(i), onpointerenter: () => show(i)});
    button.dataset.lmSuppressShortcuts = "true";  // in JupyterLab the arrow keys are the grid's
    return button;
  });
  let current = 0;
  const number = (skip) => selects.reduce((n, select, i) => skip && skip[i] ? n :
    n * data.panels[i].options.length + Number(select.value), 0);
  const relabel = () => buttons.forEach((button, i) => {
    const outcome = data.status[number()][i];
    button.textContent = data.symbols[outcome];
    button.setAttribute("aria-label", name(i) + ": " + data.words[outcome]);
    cells[i].style.cssText = paint[outcome];
  });
  const name = (i) => data.rows[Math.floor(i / columns)] + ", " + data.columns[i % columns];
  const [low, high] = data.ylim, last = data.x[points - 1];
  const across = (value) => 34 + 280 * (value - data.x[0]) / (last - data.x[0]);
  const up = (value) => 160 - 150 * (value - low) / (high - low);
  const line = (values, start) => data.x.map((value, k) =>
    across(value).toFixed(1) + "," + (160 - 150 * values[start + k] / 255).toFixed(1));
  const ticks = [];
  const step = 10 ** Math.floor(Math.log10((high - low) / 2)) || 1;
  for (let v = Math.ceil(low / step) * step; v <= high + 1e-9 && ticks.length < 9; v += step)
    ticks.push(Number(v.toPrecision(6)));
  const text = (x, y, anchor, words) => '<text x="' + x + '" y="' + y + '" text-anchor="' +
    anchor + '">' + String(words).replace(/[&<]/g, "") + "</text>";
  const draw = (i) => {
    const start = (number() * rows * columns + i) * 3 * points;
    const [lower, middle, upper] = [0, 1, 2].map((k) => line(curves, start + k * points));
    const dashed = reference &&
      line(reference, (number(data.repeats) * rows * columns + i) * points);
    picture.innerHTML = '<svg viewBox="0 -10 320 210" aria-hidden="true" font-size="11" ' +
      'fill="currentColor">' + ticks.map((v) => '<path d="M34 ' + up(v) + 'H314" ' +
      'stroke="currentColor" opacity=".25"/>' + text(29, up(v) + 4, "end", v)).join("") +
      text(34, 175, "middle", data.x[0]) + text(314, 175, "middle", last) +
      text(174, 192, "middle", data.labels[0]) + text(0, 2, "start", data.labels[1]) +
      '<polygon fill="#2c8fd6" opacity=".3" points="' + lower.concat(upper.reverse()).join(" ") +
      '"/>' + (dashed ? '<polyline fill="none" stroke="currentColor" stroke-width="1.5" ' +
      'stroke-dasharray="5 4" points="' + dashed.join(" ") + '"/>' : "") +
      '<polyline fill="none" stroke="#2c8fd6" stroke-width="2.5" points="' + middle.join(" ") +
      '"/></svg>';
  };
  const show = (i = current) => {
    buttons[current].removeAttribute("aria-current");
    buttons[current].tabIndex = -1;
    current = i;
    buttons[i].setAttribute("aria-current", "true");
    buttons[i].tabIndex = 0;
    const cell = number() * rows * columns + i;
    const outcome = data.words[data.status[number()][i]];
    const score = data.score ? " (" + data.labels[1] + " " + data.score[cell] + ")" : "";
    const words = name(i) + ": " + outcome + score;
    draw(i);
    if (output.value !== words) output.value = words;
  };
  const moves = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns};
  figure.querySelector("tbody").addEventListener("keydown", (event) => {
    const column = current % columns;
    let next = current + (moves[event.key] || 0);
    if (event.key === "Home") next = current - column;
    else if (event.key === "End") next = current - column + columns - 1;
    else if (!(event.key in moves)) return;
    event.preventDefault();
    const wraps = Math.abs(moves[event.key]) === 1 &&
      Math.floor(next / columns) !== Math.floor(current / columns);
    if (!wraps && next >= 0 && next < buttons.length) buttons[next].focus();
  });
  relabel();
  show();
})();
</script>
</figure>
"""
)
