"""Sphinx extension: ``{nnbook-atlas}``, every claim of the book as a row of a forest plot.

A row has what is claimed and by whom, the verdict with its number, a strip of effect and interval,
and what to do. The page is a plain table; ``_static/nnbook-atlas.js`` shows the filters above it.
"""

from __future__ import annotations

import html
import math
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from docutils import nodes
from nnbook_tables import grouped, table, texts
from nnbook_verdicts import (
    CLAIMS,
    Found,
    Record,
    badge,
    citation,
    decisions_of,
    evidence,
    found_verdicts,
    headline_class,
    load_claims,
    parse,
    row_of,
    shown_on,
)
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

HEADLINES = ("confirmed", "too small to matter", "reversed", "open", "derived", "then, not now")
NEW = "new in this edition"
PENDING = "pending"
RATE = 0.05  # of false discoveries

# The strip: advantages in units of δ on a scale that is linear around 0 and logarithmic far out.
WIDTH, HEIGHT = 190, 16
LEAST, MOST = -6.0, 40.0


class atlas_head(nodes.General, nodes.Element):
    """Where counts and filters go, once every notebook has been read."""


class atlas_verdict(nodes.General, nodes.Element):
    """Where badge, strip and number of a claim go, likewise."""


class Atlas(SphinxDirective):
    """Every claim, by chapter, with its verdict."""

    heads = ("Claim", "What is claimed, and by whom", "Verdict", "What to do")
    widths = (8, 39, 33, 20)

    def run(self) -> list[nodes.Node]:
        """Build the table; what depends on the records is filled in later."""
        self.env.note_dependency(CLAIMS)
        self.env.nnbook_atlas = self.env.docname
        shown_on(self.env).add(self.env.docname)
        claims = load_claims(self.env)
        groups = []
        for chapter in chapter_order(self.env, claims):
            title = self._chapter(chapter)
            mine = [claim for claim in claims if claim["chapter"] == chapter]
            groups.append([title, *(self._row(claim) for claim in mine)])
        rows = grouped(
            self.heads, self.widths, groups, "nnbook-verdicts", "nnbook-atlas", stub=True
        )
        return [atlas_head(), rows]

    def _chapter(self, chapter: str) -> nodes.row:
        page = first_page(self.env, chapter)
        words = f"{{doc}}`/{page}`" if page else chapter.replace("_", " ")
        row = row_of([parse(self, words)], classes=["nnbook-chapter"])
        row[0]["morecols"] = len(self.heads) - 1
        return row

    def _row(self, claim: Record) -> nodes.row:
        name = claim["id"]
        link = nodes.reference("", name, internal=True, refuri=f"#{name}")
        mark = [nodes.paragraph(text="revised", classes=["nnbook-revised"])]
        source = parse(self, citation(claim))
        for paragraph in source:
            paragraph["classes"].append("nnbook-source")
        cells = [
            [nodes.paragraph("", "", link), *(mark if claim.get("revisions") else [])],
            [*parse(self, claim["statement"].strip()), *source],
            [atlas_verdict(claim=name)],
            parse(self, claim["do"].strip()) if claim.get("do") else [],
        ]
        classes = [f"nnbook-in-{claim['chapter']}"]
        classes += [f"nnbook-by-{key}" for key in keys_of(claim)]
        return row_of(cells, ids=[name], classes=classes, claim=name)


def keys_of(claim: Record) -> list[str]:
    """Return the keys of a claim's sources."""
    return [key.strip() for key in claim["cite"].split(",")]


def chapter_order(env: BuildEnvironment, claims: list[Record]) -> list[str]:
    """Return the chapters that have claims, in the order of the table of contents."""
    toc = Path(env.srcdir, "_toc.yml").read_text(encoding="utf-8")
    places = re.findall(r"(?:file|root): chapters/(\w+)", toc)
    chapters = dict.fromkeys(claim["chapter"] for claim in claims)
    return sorted(chapters, key=lambda c: places.index(c) if c in places else len(places))


def first_page(env: BuildEnvironment, chapter: str) -> str | None:
    """Return the first page of a chapter, or None while there is none."""
    pages = (f"chapters/{chapter}/index", f"chapters/{chapter}")
    return next((page for page in pages if page in env.found_docs), None)


# --------------------------------------------------------------------------------- the strip


def position(advantage: float) -> float:
    """Return where an advantage in units of δ stands on the strip, in pixels; cut at its ends."""
    low, high = math.asinh(LEAST), math.asinh(MOST)
    share = (math.asinh(min(max(advantage, LEAST), MOST)) - low) / (high - low)
    return round(6 + share * (WIDTH - 12), 1)


def borders(decision: Any) -> list[tuple[float, str]]:
    """Return what is marked on a decision's strip, and how it is called in the style sheet."""
    marks = [(0.0, "zero")]
    if decision.kind == "interval" and decision.threshold > (1.0 if decision.ratio else 0.0):
        marks.append((1.0, "delta"))
        if decision.direction == "equal":
            marks.append((-1.0, "delta"))
    return marks


def strip(decision: Any) -> str:
    """Return effect and interval as a drawing in SVG; none for mathematics."""
    if decision.kind in ("identity", "count"):
        return ""
    effect, low, high = decision.advantage
    if not all(map(math.isfinite, (effect, low, high))):
        return ""
    unit = "δ" if len(borders(decision)) > 1 else "half the interval"
    words = f"Advantage {effect:.2g}, interval {low:.2g} to {high:.2g}, in units of {unit}"
    middle = HEIGHT / 2
    lines = "".join(
        f'<line class="{name}" x1="{position(x)}" x2="{position(x)}" y1="0" y2="{HEIGHT}"/>'
        for x, name in borders(decision)
    )
    left, right = position(low), position(high)
    bar = f'<line class="bar" x1="{left}" x2="{right}" y1="{middle}" y2="{middle}"/>'
    ends = _arrow(left - 5, left) if low < LEAST else ""
    ends += _arrow(right + 5, right) if high > MOST else ""
    dot = f'<circle cx="{position(effect)}" cy="{middle}" r="3.5"/>'
    return (
        f'<svg class="nnbook-strip" role="img" aria-label="{words}" width="{WIDTH}" '
        f'height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"><title>{words}</title>'
        f"{lines}{bar}{ends}{dot}</svg>"
    )


def _arrow(tip: float, base: float) -> str:
    middle = HEIGHT / 2
    return f'<path d="M{tip:.1f} {middle} L{base} {middle - 4} V{middle + 4} Z"/>'


def axis() -> str:
    """Return the scale of the strips, which stands in the table's head."""
    ticks = {-1: "−1", 0: "0", 1: "1", 10: "10"}
    marks = "".join(
        f'<text x="{position(x)}" y="11" text-anchor="middle">{name}</text>'
        f'<line class="zero" x1="{position(x)}" x2="{position(x)}" y1="14" y2="{HEIGHT + 2}"/>'
        for x, name in ticks.items()
    )
    return (
        '<div class="nnbook-axis"><span>advantage in units of δ</span>'
        f'<svg class="nnbook-strip" aria-hidden="true" width="{WIDTH}" height="{HEIGHT + 2}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT + 2}">{marks}</svg></div>'
    )


# --------------------------------------------------------------------------------- the counts


def headline_of(claim: Record, found: Found) -> str:
    """Return a claim's headline, or that it has none yet."""
    return found[claim["id"]][1]["verdict"] if claim["id"] in found else PENDING


def counts(claims: list[Record], found: Found) -> tuple[list[str], list[list[str]]]:
    """Return the headlines, and how many claims have each: all, and by their first edition's.

    A claim of the first edition that was split, such as C005 into C005a and C005b, counts once
    in the number beside the first edition's headline.
    """
    now = Counter(headline_of(claim, found) for claim in claims)
    heads = [*HEADLINES, *sorted(set(now) - set(HEADLINES))]
    heads = [head for head in heads if now[head] or head in HEADLINES]
    rows = [["now", *(str(now[head]) for head in heads)]]
    earlier = {was for claim in claims if (was := claim.get("was"))}
    for was in sorted(earlier, key=lambda w: -sum(c.get("was") == w for c in claims)):
        mine = [claim for claim in claims if claim.get("was") == was]
        n = len({re.sub(r"[a-z]$", "", claim["id"]) for claim in mine})
        of = Counter(headline_of(claim, found) for claim in mine)
        rows.append([f"first edition: {was} ({n})", *(str(of[head] or "") for head in heads)])
    new = Counter(headline_of(claim, found) for claim in claims if not claim.get("was"))
    if earlier and new:
        rows.append([NEW, *(str(new[head] or "") for head in heads)])
    return heads, rows


def multiplicity(found: Found) -> str:
    """Return in words how many primary decisions survive a false-discovery rate of 5 %."""
    from nnbook.claims import false_discoveries

    primaries = [decisions_of(record)[0] for _, record in found.values() if record.get("decisions")]
    tested = [d for d in primaries if d.kind not in ("identity", "count")]
    settled = [d for d in tested if d.p_value < RATE]
    survive = int(sum(false_discoveries([d.p_value for d in tested], rate=RATE))) if tested else 0
    return (
        f"{len(primaries)} primary decisions: {len(primaries) - len(tested)} are mathematics or "
        f"complete enumerations, {len(tested)} rest on an interval. Of these {len(settled)} are "
        f"settled, and {survive} survive when one asks of all together that at most "
        f"{100 * RATE:.0f} % of what survives be false."
    )


# --------------------------------------------------------------------------------- the filters


def source_names(env: BuildEnvironment, claims: list[Record]) -> dict[str, str]:
    """Return how each source is called, by its key, in alphabetical order."""
    entries = env.get_domain("cite").bibdata.data.entries
    names = {}
    for key in dict.fromkeys(key for claim in claims for key in keys_of(claim)):
        people = [" ".join(p.last_names) for p in entries[key].persons.get("author", [])]
        who = " and ".join(people) if len(people) < 3 else f"{people[0]} et al."
        year = entries[key].fields.get("year")
        names[key] = f"{who} ({year})" if year else who or key
    return dict(sorted(names.items(), key=lambda item: item[1].lower()))


def filters(env: BuildEnvironment, claims: list[Record], found: Found) -> str:
    """Return the form above the table; hidden until the script works it."""
    chapters = {}
    for chapter in chapter_order(env, claims):
        page = first_page(env, chapter)
        title = env.titles[page].astext() if page else chapter.replace("_", " ")
        chapters[f"nnbook-in-{chapter}"] = title
    sources = {f"nnbook-by-{key}": name for key, name in source_names(env, claims).items()}
    heads, rows = counts(claims, found)
    headlines = {
        headline_class(head): f"{head} ({n})"
        for head, n in zip(heads, rows[0][1:], strict=True)
        if n != "0"
    }
    choices = {"chapter": chapters, "source": sources, "headline": headlines}
    parts = ['<form class="nnbook-filters" role="search" aria-label="Choose verdicts" hidden>']
    for name, options in choices.items():
        listed = "".join(
            f'<option value="{value}">{html.escape(text)}</option>'
            for value, text in {"": "all", **options}.items()
        )
        parts.append(f'<label>{name.title()} <select name="{name}">{listed}</select></label>')
    parts.append('<label>Search <input type="search" name="words" autocomplete="off"></label>')
    parts.append('<button type="reset">Show all</button>')
    parts.append(f'<p class="nnbook-shown" role="status">{len(claims)} claims</p></form>')
    return "".join(parts)


def count_table(claims: list[Record], found: Found) -> nodes.table:
    """Return the counts; those of today lead to the claims that they count."""
    heads, rows = counts(claims, found)
    cells = texts(rows)
    for column, head in enumerate(heads, start=1):
        if rows[0][column] != "0":
            uri = f"?headline={headline_class(head)}"
            link = nodes.reference("", rows[0][column], internal=True, refuri=uri)
            cells[0][column] = [nodes.paragraph("", "", link)]
    widths = (25, *(75 // len(heads) for _ in heads))
    return table(("Claims", *heads), widths, cells, "nnbook-counts")


# --------------------------------------------------------------------------------- filling in


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Fill in what depends on the records."""
    found = found_verdicts(app.env)
    claims = load_claims(app.env)
    for place in list(doctree.findall(atlas_head)):
        form = nodes.raw("", filters(app.env, claims, found), format="html")
        counted = nodes.paragraph(text=multiplicity(found))
        place.replace_self([count_table(claims, found), counted, form])
    for row in list(doctree.findall(lambda n: isinstance(n, nodes.row) and "claim" in n)):
        row["classes"].append(headline_class(headline_of({"id": row["claim"]}, found)))
    for place in list(doctree.findall(atlas_verdict)):
        place.replace_self(verdict_parts(app, place["claim"], found, docname))


def verdict_parts(app: Sphinx, claim: str, found: Found, docname: str) -> list[nodes.Node]:
    """Return badge, strip and numbers of a claim."""
    parts: list[nodes.Node] = [nodes.paragraph("", "", badge(app, claim, found, docname))]
    record = found.get(claim, ("", {}))[1]
    decisions = decisions_of(record)
    if decisions:
        parts.append(nodes.raw("", strip(decisions[0]), format="html"))
    numbers = [nodes.paragraph(text=text, classes=["nnbook-number"]) for text in evidence(record)]
    return [*parts, *numbers]


def describe(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Say of the atlas's table what its cells are, and put the scale into its head."""
    if pagename != getattr(app.env, "nnbook_atlas", None) or "body" not in context:
        return
    body = re.sub(r'<th class="(head[^"]*)"', r'<th class="\1" scope="col"', context["body"])
    before, name, after = body.partition("nnbook-atlas")
    after = after.replace('class="stub" colspan', 'class="stub" scope="rowgroup" colspan')
    after = after.replace('class="stub">', 'class="stub" scope="row">')
    after = after.replace("<p>Verdict</p>", f"<p>Verdict</p>{axis()}", 1)
    context["body"] = before + name + after


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_node(atlas_head)
    app.add_node(atlas_verdict)
    app.add_directive("nnbook-atlas", Atlas)
    app.connect("doctree-resolved", resolve)
    app.connect("html-page-context", describe)
    return {
        "version": "1",
        "env_version": zlib.crc32(Path(__file__).read_bytes()),  # read all anew after a change here
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
