"""Sphinx extension: verdicts, from the records that the notebooks leave in their outputs.

The role ``{verdict}`C028` `` is a badge with headline and number that links to the laboratory's
box; ``{nnbook-verdicts} gradient_descent`` lists a chapter's claims (all of them are in the atlas,
`nnbook_atlas`). Every box gets a permalink and a link to its row there. What is wrong between
``claims.yml`` and the records is a warning, and so fails the build under ``-W``: a claim of a
finished chapter (one with a notebook in the table of contents) without a record, another headline
than expected, a primary decision that is not the protocol's.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from nnbook_tables import table, table_row
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

logger = logging.getLogger(__name__)

MIME_TYPE = "application/vnd.nnbook.verdict+json"
CLAIMS = "chapters/claims.yml"
PENDING = "not yet tested"
BOX = re.compile(r'<div class="nnbook-verdict[^"]*" id="verdict-(\w+)">')

Record = dict[str, Any]
Found = dict[str, tuple[str, Record]]


class verdict_cell(nodes.General, nodes.Element):
    """Where a claim's evidence goes, once every notebook has been read."""


class verdict_badge(nodes.Inline, nodes.TextElement):
    """Where a badge goes, likewise."""


def load_claims(env: BuildEnvironment) -> list[Record]:
    """Return the claims of the book."""
    from nnbook.claims import load_claims as read

    return list(read(str(Path(env.srcdir, CLAIMS))).values())


def read_records(path: Path) -> list[Record]:
    """Return the verdicts recorded in a notebook's outputs."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [
        output["data"][MIME_TYPE]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if MIME_TYPE in output.get("data", {})
    ]


def records_of(env: BuildEnvironment) -> dict[str, list[Record]]:
    """Return the records by document name."""
    if not hasattr(env, "nnbook_verdicts"):
        env.nnbook_verdicts = {}
    return env.nnbook_verdicts


def shown_on(env: BuildEnvironment) -> set[str]:
    """Return the pages that show what other pages have recorded."""
    if not hasattr(env, "nnbook_tables"):
        env.nnbook_tables = set()
    return env.nnbook_tables


def found_verdicts(env: BuildEnvironment) -> Found:
    """Return page and record of every verdict, by claim."""
    return {
        record["claim"]: (place, record)
        for place, recorded in records_of(env).items()
        for record in recorded
    }


def chapter_of(docname: str) -> str | None:
    """Return the chapter a page belongs to: chapters/<chapter> or chapters/<chapter>/<page>."""
    parts = docname.split("/")
    return parts[1] if parts[0] == "chapters" and len(parts) > 1 else None


def collect(app: Sphinx, doctree: nodes.document) -> None:
    """Note the records of the notebook that was just read."""
    env = app.env
    path = Path(env.doc2path(env.docname))
    if path.suffix == ".ipynb":
        records_of(env)[env.docname] = read_records(path)
        if records_of(env)[env.docname]:
            shown_on(env).add(env.docname)  # its boxes link to the atlas


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget the records of a page that changed."""
    records_of(env).pop(docname, None)
    shown_on(env).discard(docname)


def merge(app: Sphinx, env: BuildEnvironment, docnames: Iterable[str], other: Any) -> None:
    """Take over what a parallel process read."""
    records_of(env).update({k: v for k, v in records_of(other).items() if k in docnames})
    shown_on(env).update(shown_on(other) & set(docnames))
    if hasattr(other, "nnbook_atlas"):
        env.nnbook_atlas = other.nnbook_atlas


def outdated_tables(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Write the pages with verdicts again: a notebook may have changed."""
    return sorted(shown_on(env) & env.found_docs)


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn where the claims and the records do not agree."""
    for problem in problems(load_claims(env), records_of(env)):
        logger.warning("%s", problem, type="nnbook", subtype="claims")


def problems(claims: list[Record], records: dict[str, list[Record]]) -> list[str]:
    """Return what is wrong between the claims and the verdicts recorded, in words."""
    from nnbook.claims import protocols

    found: dict[str, list[tuple[str, Record]]] = {}
    for docname, recorded in records.items():
        for record in recorded:
            found.setdefault(record["claim"], []).append((docname, record))
    wrong = []
    for claim, places in found.items():
        if claim not in {c["id"] for c in claims}:
            wrong.append(f"{places[0][0]} records a verdict on {claim}, which is not in {CLAIMS}")
        if len(places) > 1:
            wrong.append(f"{claim} has {len(places)} verdicts: {sorted(p for p, _ in places)}")
    finished = {chapter_of(docname) for docname in records}
    for claim in claims:
        if claim["chapter"] not in finished:
            continue
        name, expected = claim["id"], claim["expected"]
        if name not in found:
            wrong.append(f"{name} has no verdict, and its chapter {claim['chapter']} is finished")
        for docname, record in found.get(name, []):
            if record["verdict"] != expected:
                outcome = f"{name} came out {record['verdict']}"
                wrong.append(f"{docname}: {outcome}, expected {expected} ({CLAIMS})")
            if "protocol" in claim:
                wrong += [f"{docname}: {words}" for words in protocols.problems(claim, record)]
    return wrong


def decisions_of(record: Record) -> list[Any]:
    """Return a record's decisions, the primary first."""
    from nnbook.claims import Decision

    known = {field.name for field in dataclasses.fields(Decision)}
    found = []
    for decision in record.get("decisions", []):
        given = {k: math.nan if v is None else v for k, v in decision.items() if k in known}
        found.append(Decision(**given))
    return found


def headline_class(headline: str) -> str:
    """Return how a headline is called in the style sheet."""
    from nnbook.claims.verdicts import CLASSES

    return f"nnbook-{CLASSES.get(headline, headline)}"


def decisive(record: Record) -> list[Any]:
    """Return the decisions that gave the headline: one, or then and now."""
    return decisions_of(record)[: 2 if record.get("verdict") == "then, not now" else 1]


def evidence(record: Record) -> list[str]:
    """Return what decided a claim: the quantity, its number and interval."""
    return [f"{d.quantity}: {d.evidence}" for d in decisive(record)]


def badge_text(record: Record) -> str:
    """Return what a badge says: ``confirmed: 0.42×``."""
    numbers = [decision.number for decision in decisive(record)]
    return f"{record['verdict']}: {', now '.join(numbers)}" if numbers else record["verdict"]


def address(app: Sphinx, claim: str, place: str, docname: str) -> str:
    """Return the address of a verdict's box, seen from a page."""
    uri = f"#verdict-{claim}"
    return uri if place == docname else app.builder.get_relative_uri(docname, place) + uri


def badge(app: Sphinx, claim: str, found: Found, docname: str) -> nodes.Node:
    """Return a claim's badge: headline and number, linked to the box."""
    place, record = found.get(claim, ("", {}))
    if not record:
        return nodes.inline(text=PENDING, classes=["nnbook-badge", "nnbook-pending"])
    text = badge_text(record)
    if app.builder.format != "html":
        return nodes.Text(text)
    uri = address(app, claim, place, docname)
    link = nodes.reference("", "", nodes.inline(text=text), internal=True, refuri=uri)
    link["reftitle"] = f"{claim}: {record['statement']}" if record.get("statement") else claim
    link["classes"] = ["nnbook-badge", headline_class(record["verdict"])]
    return link


class VerdictRole(SphinxRole):
    """A claim's verdict as a badge in a sentence."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Leave a place for the badge; an unknown claim is a warning."""
        self.env.note_dependency(CLAIMS)
        if self.text not in {claim["id"] for claim in load_claims(self.env)}:
            words = f"there is no claim {self.text} in {CLAIMS}"
            logger.warning(words, location=self.get_location(), type="nnbook", subtype="claims")
        shown_on(self.env).add(self.env.docname)
        return [verdict_badge(claim=self.text, location=self.get_location())], []


class VerdictTable(SphinxDirective):
    """The claims of a chapter with their verdicts."""

    required_arguments = 1
    heads = ("Claim", "What is claimed, and by whom", "Verdict")
    widths = (10, 50, 40)

    def run(self) -> list[nodes.Node]:
        """Build the table; its verdicts are filled in later."""
        self.env.note_dependency(CLAIMS)
        shown_on(self.env).add(self.env.docname)
        chosen = self.arguments[0]
        claims = [c for c in load_claims(self.env) if c["chapter"] == chosen]
        if not claims:
            return [self.state.document.reporter.error(f"no claim of a chapter named {chosen!r}")]
        rows = []
        for claim in claims:
            name = claim["id"]
            cells = [
                [nodes.paragraph("", "", nodes.strong(text=name))],
                parse(self, f"{claim['statement'].strip()} {citation(claim)}"),
                [nodes.paragraph("", "", verdict_badge(claim=name)), verdict_cell(claim=name)],
            ]
            rows.append(cells)
        classes = ("nnbook-verdicts", "nnbook-chapter-verdicts")
        return [table(self.heads, self.widths, rows, *classes)]


class ChangedTable(SphinxDirective):
    """The claims whose headline is another one than in the first edition, and why."""

    heads = ("Claim", "What is claimed", "First edition", "Now", "Why")
    widths = (8, 36, 12, 18, 26)

    def run(self) -> list[nodes.Node]:
        """Build the table; its badges are filled in later."""
        self.env.note_dependency(CLAIMS)
        shown_on(self.env).add(self.env.docname)
        rows = [
            [
                [nodes.paragraph(text=claim["id"])],
                parse(self, claim["statement"].strip()),
                [nodes.paragraph(text=claim["was"])],
                [nodes.paragraph("", "", verdict_badge(claim=claim["id"]))],
                [nodes.paragraph(text=why_changed(claim))],
            ]
            for claim in load_claims(self.env)
            if claim.get("was", claim["expected"]) != claim["expected"]
        ]
        return [table(self.heads, self.widths, rows, "nnbook-verdicts", "nnbook-changed")]


def why_changed(claim: Record) -> str:
    """Return why a claim's headline is not that of the first edition."""
    reasons = [revision["reason"].strip() for revision in claim.get("revisions", ())]
    if reasons:
        return f"Revised: {reasons[-1]}"
    if claim["expected"] == "derived":
        return "It is mathematics, which no experiment confirms."
    if claim["was"] == "partly":
        return "One quantity decides, in place of a sum of parts."
    if claim["was"] == "inconclusive" and claim["expected"] == "too small to matter":
        return "A precise null is a result."
    return "Another quantity decides: the one that the source speaks of."


def citation(claim: Record) -> str:
    """Return the citation of a claim's sources, in MyST."""
    cite = claim["cite"].replace(" ", "")
    return f"{{cite}}`{cite}`"


def parse(directive: SphinxDirective, text: str) -> list[nodes.Node]:
    """Return what a text in MyST becomes."""
    holder = nodes.Element()
    directive.state.nested_parse([text], directive.content_offset, holder)
    return holder.children


def row_of(cells: list[list[nodes.Node]], **attributes: Any) -> nodes.row:
    """Return a row with attributes."""
    row = table_row(cells)
    row.update_all_atts(attributes)
    return row


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Fill in the verdicts, each linked to the place where it was reached."""
    found = found_verdicts(app.env)
    finished = {chapter_of(place) for place in records_of(app.env)}
    chapters = {claim["id"]: claim["chapter"] for claim in load_claims(app.env)}
    for cell in list(doctree.findall(verdict_cell)):
        _, record = found.get(cell["claim"], ("", {}))
        cell.replace_self([nodes.paragraph(text=text) for text in evidence(record)])
    for place in list(doctree.findall(verdict_badge)):
        claim = place["claim"]
        if claim not in found and chapters.get(claim) in finished and "location" in place:
            words = f"{claim} has no verdict, and its chapter {chapters[claim]} is finished"
            logger.warning(words, location=place["location"], type="nnbook", subtype="claims")
        place.replace_self(badge(app, claim, found, docname))
    if app.builder.format == "html":
        link_boxes(app, doctree, docname)


def link_boxes(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Give every box of a page a permalink, and a link to its row of the atlas."""
    atlas = getattr(app.env, "nnbook_atlas", None)
    known = {claim["id"] for claim in load_claims(app.env)}

    def links(box: re.Match[str]) -> str:
        claim = box[1]
        here = f'<a href="#verdict-{claim}" aria-label="Link to this verdict">#</a>'
        row = ""
        if atlas is not None and claim in known:
            uri = f"{app.builder.get_relative_uri(docname, atlas)}#{claim}"
            row = f'<a href="{uri}" title="{claim} among all verdicts">atlas</a> '
        return f'{box[0]}<span class="nnbook-links">{row}{here}</span>'

    for raw in list(doctree.findall(nodes.raw)):
        if "html" in raw.get("format", "") and BOX.search(raw.astext()):
            text = BOX.sub(links, raw.astext())
            raw.replace_self(nodes.raw(raw.rawsource, text, format="html"))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_node(verdict_cell)
    app.add_node(verdict_badge)
    app.add_role("verdict", VerdictRole())
    app.add_directive("nnbook-verdicts", VerdictTable)
    app.add_directive("nnbook-changed", ChangedTable)
    app.connect("doctree-read", collect)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("env-updated", outdated_tables)
    app.connect("env-check-consistency", check)
    app.connect("doctree-resolved", resolve)
    return {
        "version": "2",
        "env_version": zlib.crc32(Path(__file__).read_bytes()),  # read all anew after a change here
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
