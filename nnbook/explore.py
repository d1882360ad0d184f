"""Figures with sliders: live in a kernel, precomputed on the page.

One object carries both forms. In a running kernel Jupyter shows ipywidgets sliders that draw the
figure anew; everywhere else (the book's pages, a notebook opened without a kernel) it shows a
`<figure>` whose native sliders choose among frames drawn beforehand. The page needs no kernel,
no library and no other host, and without JavaScript the first frame shows.

`explore_grid` makes a table of outcomes whose curves show when a cell is hovered, focused or
clicked; it is the same on the page and in a kernel.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import math
import numbers
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as onp

from nnbook._frames import (
    close,
    data_address,
    draw_figure,
    encode,
    img,
    kinds,
    plotted,
    script_json,
)
from nnbook._grid import OutcomeGrid, explore_grid
from nnbook._optional import require

__all__ = ["Exploration", "Frame", "OutcomeGrid", "explore", "explore_grid"]

MAX_FRAMES = 30
MAX_BYTES = 800_000


@dataclass(frozen=True)
class Frame:
    """One position of the sliders, drawn.

    Parameters
    ----------
    choice : dict
        The value of every slider.
    alt : str
        What is to be seen, for those who cannot see it.
    image : str
        The drawing as a `data:` address.
    plotted : list
        A summary of the plotted data, one entry per Axes, by which two runs are compared.
    """

    choice: dict[str, Any]
    alt: str
    image: str = field(repr=False)
    plotted: list[dict[str, Any]] = field(repr=False)


@dataclass(frozen=True)
class Exploration:
    """A figure with sliders; made by `explore`, displayed by Jupyter.

    Parameters
    ----------
    draw : callable
        Draws the figure for one choice of the values.
    describe : callable
        Gives the alternative text for one choice of the values.
    caption : str or None
        The caption, plain text.
    values : dict of str to tuple
        The positions of each slider.
    start : int
        The number of the frame shown first.
    frames : tuple of Frame
        All frames; the last slider varies fastest.
    identifier : str
        The `id` of the figure on its page, the same in every run.
    """

    draw: Callable[..., Any] = field(repr=False)
    describe: Callable[..., str] = field(repr=False)
    caption: str | None
    values: dict[str, tuple[Any, ...]]
    start: int
    frames: tuple[Frame, ...]
    identifier: str

    def to_html(self) -> str:
        """Return the figure as self-contained HTML.

        Returns
        -------
        str
            A `<figure>` element with its image, its caption and its script.
        """
        first = self.frames[self.start]
        caption = html.escape(self.caption) if self.caption else ""
        data = {
            "sliders": [
                {"name": _spoken(name), "texts": [_text(v) for v in options]}
                for name, options in self.values.items()
            ],
            "start": self._positions(self.start),
            "alts": [frame.alt for frame in self.frames],
            # The frame shown first is in the page already.
            "images": [None if f is first else f.image for f in self.frames],
        }
        plotted = [frame.plotted for frame in self.frames]
        return _TEMPLATE.substitute(
            id=self.identifier,
            image=img(first.image, first.alt),
            caption=f"<figcaption>{caption}</figcaption>" if caption else "",
            plotted=script_json(plotted),
            data=script_json(data),
        )

    def to_widget(self) -> Any:
        """Return the figure as live ipywidgets, drawn anew whenever a slider moves.

        Returns
        -------
        ipywidgets.VBox
            The sliders, the image and the caption.
        """
        widgets = require("ipywidgets", extra="notebook")

        first = self.frames[self.start]
        sliders = {
            name: widgets.SelectionSlider(
                description=_spoken(name),
                options=[(_text(v), v) for v in options],
                value=first.choice[name],
                style={"description_width": "initial"},
                layout=widgets.Layout(width="100%", max_width="40em"),
            )
            for name, options in self.values.items()
        }
        image = widgets.HTML()  # not widgets.Image, which cannot carry alternative text

        def redraw(_change: object = None) -> None:
            choice = {name: slider.value for name, slider in sliders.items()}
            figure = draw_figure(self.draw, choice)
            image.value = img(data_address(figure, "png"), self.describe(**choice))
            close(figure)

        for slider in sliders.values():
            slider.observe(redraw, names="value")
        redraw()
        caption = [widgets.HTML(html.escape(self.caption))] if self.caption else []
        return widgets.VBox([image, *sliders.values(), *caption])

    def _positions(self, number: int) -> list[int]:
        sizes = [len(options) for options in self.values.values()]
        return [int(i) for i in onp.unravel_index(number, sizes)]

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> dict[str, Any] | tuple[dict[str, Any], dict[str, Any]]:
        bundle: dict[str, Any] = {"text/plain": str(self), "text/html": self.to_html()}
        if _in_kernel():
            widget_bundle = self.to_widget()._repr_mimebundle_()
            view = "application/vnd.jupyter.widget-view+json"
            bundle[view] = widget_bundle[view]
        return bundle

    def __str__(self) -> str:
        sliders = "; ".join(
            f"{_spoken(name)}: {', '.join(_text(v) for v in options)}"
            for name, options in self.values.items()
        )
        return f"Figure with sliders ({sliders}). {self.frames[self.start].alt}"


def explore(
    draw: Callable[..., Any],
    *,
    alt: str | Callable[..., str],
    caption: str | None = None,
    initial: Mapping[str, Any] | None = None,
    **values: Sequence[Any],
) -> Exploration:
    """Make a figure to play with.

    Parameters
    ----------
    draw : callable
        ``draw(**choice)`` draws a new Matplotlib figure for one value of every slider and returns
        it, or its Axes. Every frame must have the same size.
    alt : str or callable
        What is to be seen. Text may name the values, as in ``"descent at rate {learning_rate}"``;
        values it does not name are added at its end. A callable ``alt(**choice)`` returns the
        text of one frame.
    caption : str, optional
        The caption, plain text.
    initial : mapping, optional
        The choice shown first; a slider that it leaves out starts at its first value.
    **values : sequence
        The positions of each slider, in order; the keyword is its name. The product of their
        numbers may be 30 at most.

    Returns
    -------
    Exploration
        What Jupyter displays when it is the last line of a cell.

    Raises
    ------
    TypeError
        If `draw` is not callable, returns no figure, or a slider's values are no sequence.
    ValueError
        If `alt` is empty, a slider has fewer than two values or repeats one, `initial` names what
        is not on a slider, there are more than 30 frames, or the frames exceed 800 kB.
    """
    options, describe = _checked(draw, alt, values)
    choices = [
        dict(zip(options, combination, strict=True))
        for combination in itertools.product(*options.values())
    ]
    start = _start(options, choices, initial)
    frames = _draw_frames(draw, choices, describe)
    words = [
        caption or "",
        describe(**choices[start]),
        repr(options),
        getattr(draw, "__name__", ""),
    ]
    digest = hashlib.sha256("\n".join(words).encode()).hexdigest()
    result = Exploration(draw, describe, caption, options, start, frames, f"explore-{digest[:10]}")
    size = len(result.to_html().encode())
    if size > MAX_BYTES:
        raise ValueError(
            f"the figure takes {size / 1000:.0f} kB on the page, expected at most "
            f"{MAX_BYTES / 1000:.0f} kB: use fewer values ({len(frames)} frames now), a smaller "
            "figure, or fewer points and colours in it"
        )
    return result


def _checked(
    draw: Callable[..., Any], alt: str | Callable[..., str], values: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, tuple[Any, ...]], Callable[..., str]]:
    if not callable(draw):
        raise TypeError(f"draw is {draw!r}, expected a function that returns a figure or its Axes")
    if not callable(alt) and not (isinstance(alt, str) and alt.strip()):
        raise ValueError(f"alt is {alt!r}, expected text that says what is to be seen")
    if not values:
        raise ValueError("no slider: name at least one, as in explore(draw, rate=[0.1, 0.2], ...)")
    options = {}
    for name, given in values.items():
        if isinstance(given, str) or not hasattr(given, "__iter__"):
            raise TypeError(f"{name} is {given!r}, expected the slider's values, such as [1, 2, 3]")
        positions = tuple(v.item() if isinstance(v, onp.generic) else v for v in given)
        if len(positions) < 2:
            raise ValueError(f"{name} has {len(positions)} value(s), expected two or more")
        if len({_text(v) for v in positions}) < len(positions):
            raise ValueError(f"{name} is {list(positions)!r}, expected values that differ")
        options[name] = positions
    frames = math.prod(len(positions) for positions in options.values())
    if frames > MAX_FRAMES:
        sizes = " × ".join(str(len(positions)) for positions in options.values())
        raise ValueError(f"{sizes} = {frames} frames, expected at most {MAX_FRAMES}: use fewer")
    return options, alt if callable(alt) else _describer(alt, tuple(options))


class _Alt(string.Formatter):
    """Fills in numbers as the sliders show them, unless the text says how: "{rate:.2f}"."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return format(value, format_spec) if format_spec else _text(value)


def _describer(alt: str, names: tuple[str, ...]) -> Callable[..., str]:
    named = {part[1] for part in string.Formatter().parse(alt) if part[1] is not None}
    if unknown := named - set(names):
        raise ValueError(f"alt names {sorted(unknown)}, expected only {sorted(names)}")
    unnamed = [name for name in names if name not in named]

    def describe(**choice: Any) -> str:
        text = _Alt().format(alt, **choice)
        values = ", ".join(f"{_spoken(name)} {_text(choice[name])}" for name in unnamed)
        return f"{text} ({values})" if values else text

    return describe


def _start(
    options: Mapping[str, tuple[Any, ...]],
    choices: list[dict[str, Any]],
    initial: Mapping[str, Any] | None,
) -> int:
    first = {name: positions[0] for name, positions in options.items()}
    for name, value in (initial or {}).items():
        if name not in options:
            raise ValueError(f"initial names {name!r}, expected one of {sorted(options)}")
        if value not in options[name]:
            raise ValueError(f"initial has {name}={value!r}, expected one of {options[name]}")
        first[name] = value
    return choices.index(first)


def _draw_frames(
    draw: Callable[..., Any], choices: list[dict[str, Any]], describe: Callable[..., str]
) -> tuple[Frame, ...]:
    frames: list[Frame] = []
    kind, size = "", None
    for choice in choices:
        figure = draw_figure(draw, choice)
        inches = tuple(figure.get_size_inches().tolist())
        if size not in (None, inches):
            close(figure)
            raise ValueError(f"the frame for {choice} measures {inches} inches, expected {size}")
        size = inches
        kind = kind or min(kinds(), key=lambda k: len(encode(figure, k)))
        address = data_address(figure, kind)
        frames.append(Frame(choice, describe(**choice), address, plotted(figure)))
        close(figure)
    return tuple(frames)


def _text(value: Any) -> str:
    fraction = isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral)
    return f"{float(value):.6g}" if fraction else str(value)


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _in_kernel() -> bool:
    import sys

    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if getattr(shell, "kernel", None) is None:
        return False
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        return False
    return True


# The sliders are made by the script: a page without JavaScript, or a notebook that is not
# trusted, shows the first frame and no control that does nothing.
_TEMPLATE = string.Template(
    """\
<figure class="nnbook-explore" id="$id" style="margin:1em 0">
$image
<div class="nnbook-sliders"></div>
$caption
<script type="application/json" class="nnbook-plotted">$plotted</script>
<script>
(() => {
  const data = $data;
  const here = document.currentScript;
  const figure = (here && here.closest("figure")) || document.getElementById("$id");
  const image = figure.querySelector("img");
  const box = figure.querySelector(".nnbook-sliders");
  const first = image.src;
  const add = (parent, tag, properties) =>
    parent.appendChild(Object.assign(document.createElement(tag), properties));
  const show = () => {
    let frame = 0;
    box.querySelectorAll("input").forEach((input, i) => {
      const texts = data.sliders[i].texts;
      const text = texts[input.value];
      frame = frame * texts.length + Number(input.value);
      input.setAttribute("aria-valuetext", text);
      if (input.nextSibling.value !== text) input.nextSibling.value = text;
    });
    image.src = data.images[frame] || first;
    image.alt = data.alts[frame];
  };
  box.replaceChildren();
  data.sliders.forEach((slider, i) => {
    const row = add(box, "div", {style: "display:flex;flex-wrap:wrap;gap:.2em .8em;" +
      "align-items:center;margin:.3em 0"});
    const id = "$id-" + i;
    add(row, "label", {htmlFor: id, textContent: slider.name, style: "min-width:7em"});
    const input = add(row, "input", {type: "range", id, min: 0, max: slider.texts.length - 1,
      step: 1, value: data.start[i], oninput: show,
      style: "flex:1 1 8em;min-width:0;min-height:1.8em"});
    input.dataset.lmSuppressShortcuts = "true";  // in JupyterLab the arrow keys are the slider's
    const output = add(row, "output", {htmlFor: id, style: "min-width:3em"});
    output.setAttribute("aria-live", "polite");
  });
  show();
})();
</script>
</figure>
"""
)
