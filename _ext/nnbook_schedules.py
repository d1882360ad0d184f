"""Sphinx extension: ``{nnbook-schedules}`` plots every schedule of `nnbook.schedules`.

The rates are computed when the page is built and drawn as inline SVG in the colour of the text, so
that they read in light and in dark.
"""

from __future__ import annotations

import html
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from nnbook import schedules

STEPS = 100
# A validation loss that falls, stalls, falls again after a cut and stalls for good.
LOSSES = np.interp(np.arange(STEPS), [0, 20, 40, 60, STEPS], [1.0, 0.5, 0.5, 0.3, 0.3])


def examples() -> dict[str, tuple[str, np.ndarray]]:
    """Return, for every schedule, the call and its rate at 100 steps."""
    calls = {
        "constant": "constant(0.1)",
        "step_decay": "step_decay(0.1, factor=0.5, every=20)",
        "exponential_decay": "exponential_decay(0.1, 0.03)",
        "inverse_time_decay": "inverse_time_decay(0.1, 0.1)",
        "bengio_decay": "bengio_decay(0.1, 30)",
        "cosine": "cosine(0.1, 100)",
        "cosine_restarts": "cosine_restarts(0.1, 34)",
        "warmup": "warmup(cosine(0.1, 100), 20)",
        "one_cycle": "one_cycle(0.1, 100)",
        "joined": "joined([cosine(0.1, 50), cosine(0.05, 50)], [50])",
        "on_plateau": "on_plateau(0.1, factor=0.5, patience=10)",
    }
    found = {}
    for name, call in calls.items():
        schedule = eval(call, vars(schedules).copy())
        values = schedule.rates(LOSSES) if name == "on_plateau" else schedule(np.arange(STEPS))
        found[name] = call, values
    return found


def drawing(name: str, call: str, rates: np.ndarray) -> str:
    """Return one schedule as a figure: an SVG with axes, and the call as its caption."""
    points = " ".join(
        f"{30 + 200 * step / (STEPS - 1):.1f},{110 - 900 * rate:.1f}"
        for step, rate in enumerate(rates)
    )
    words = (
        f"The rate of {name}: {rates[0]:.3g} at step 0, {rates[STEPS // 2]:.3g} at step "
        f"{STEPS // 2}, {rates[-1]:.3g} at step {STEPS - 1}."
    )
    return (
        f'<figure><svg viewBox="0 0 240 140" role="img" aria-label="{html.escape(words)}" '
        'fill="currentColor" font-size="11">'
        '<path d="M30 10V110H230" fill="none" stroke="currentColor" opacity=".5"/>'
        '<text x="26" y="24" text-anchor="end">0.1</text>'
        '<text x="26" y="114" text-anchor="end">0</text>'
        '<text x="30" y="125">0</text>'
        f'<text x="230" y="125" text-anchor="end">{STEPS}</text>'
        '<text x="130" y="136" text-anchor="middle">step</text>'
        f'<polyline points="{points}" fill="none" stroke="#2c8fd6" stroke-width="2.5"/></svg>'
        f'<figcaption><a href="#nnbook.schedules.{name}"><code>{html.escape(call)}</code></a>'
        "</figcaption></figure>"
    )


class SchedulePlots(SphinxDirective):
    """Plot every schedule of the package."""

    def run(self) -> list[nodes.Node]:
        """Build the drawings, side by side where there is room."""
        self.env.note_dependency("nnbook/schedules/decay.py")
        self.env.note_dependency("nnbook/schedules/composed.py")
        self.env.note_dependency("nnbook/schedules/plateau.py")
        figures = "".join(drawing(name, *plot) for name, plot in examples().items())
        return [nodes.raw("", f'<div class="nnbook-schedules">{figures}</div>', format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_directive("nnbook-schedules", SchedulePlots)
    return {
        "version": "1",
        "env_version": zlib.crc32(Path(__file__).read_bytes()),
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
