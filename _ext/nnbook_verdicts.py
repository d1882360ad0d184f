"""Sphinx extension: the tables of verdicts, run times and benchmarks, from what was recorded.

``{nnbook-verdicts}`` lists every claim, ``{nnbook-verdicts} gradient_descent`` those of one
chapter, ``{nnbook-status}`` the run times, ``{nnbook-benchmarks}`` and ``{nnbook-scaling}`` the
time of a training step. A claim of a finished chapter (one with a notebook in the table of
contents) that has no record, or another verdict than expected, is a warning, and so fails the build
under ``-W``.
"""

from __future__ import annotations

import json
import statistics
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

MIME_TYPE = "application/vnd.nnbook.verdict+json"
CLAIMS = "chapters/claims.yml"
STATUS = "chapters/status.json"
BENCHMARKS = "chapters/benchmarks.json"
SCALING = "chapters/scaling.json"
PENDING = "not yet tested"

Record = dict[str, Any]


class verdict_cell(nodes.General, nodes.Element):
    """Where a claim's verdict or effect goes, once every notebook has been read."""


def load_claims(env: BuildEnvironment) -> list[Record]:
    """Return the claims of the book."""
    return yaml.safe_load(Path(env.srcdir, CLAIMS).read_text(encoding="utf-8")) or []


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


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget the records of a page that changed."""
    records_of(env).pop(docname, None)


def merge(app: Sphinx, env: BuildEnvironment, docnames: Iterable[str], other: Any) -> None:
    """Take over the records that a parallel process read."""
    records_of(env).update({k: v for k, v in records_of(other).items() if k in docnames})


def outdated_tables(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Write the pages with tables again: a notebook may have changed."""
    return sorted(getattr(env, "nnbook_tables", set()) & env.found_docs)


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn where the claims and the records do not agree."""
    for problem in problems(load_claims(env), records_of(env)):
        logger.warning("%s", problem, type="nnbook", subtype="claims")


def problems(claims: list[Record], records: dict[str, list[Record]]) -> list[str]:
    """Return what is wrong between the claims and the verdicts recorded, in words."""
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
    return wrong


def evidence(record: Record) -> list[str]:
    """Return how each part of a verdict came out, and what that rests on."""
    from nnbook.claims import Decision

    decisions = [Decision(**decision) for decision in record.get("decisions", [])]
    return [f"{each.outcome} · {each.statement}: {each.evidence}" for each in decisions]


class VerdictTable(SphinxDirective):
    """The claims of a chapter, or of all, with their verdicts."""

    optional_arguments = 1
    heads = ("Claim", "Statement and source", "Verdict", "Effect")
    widths = (8, 42, 12, 38)

    def run(self) -> list[nodes.Node]:
        """Build the table; its verdicts are filled in later."""
        self.env.note_dependency(CLAIMS)
        if not hasattr(self.env, "nnbook_tables"):
            self.env.nnbook_tables = set()
        self.env.nnbook_tables.add(self.env.docname)
        chosen = self.arguments[0] if self.arguments else None
        claims = [c for c in load_claims(self.env) if chosen in (None, c["chapter"])]
        if not claims:
            return [self.state.document.reporter.error(f"no claim of a chapter named {chosen!r}")]
        rows = []
        for claim in claims:
            name = claim["id"]
            cite = claim["cite"].replace(" ", "")
            words = f"{claim['statement'].strip()} {{cite}}`{cite}`"
            rows.append(
                [
                    [nodes.paragraph("", "", nodes.strong(text=name))],
                    self._parse(words),
                    [verdict_cell(claim=name, part="verdict")],
                    [verdict_cell(claim=name, part="effect")],
                ]
            )
        return [_table(self.heads, self.widths, rows, "nnbook-verdicts")]

    def _parse(self, text: str) -> list[nodes.Node]:
        holder = nodes.Element()
        self.state.nested_parse([text], self.content_offset, holder)
        return holder.children


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Fill in the verdicts, each linked to the place where it was reached."""
    found = {
        record["claim"]: (place, record)
        for place, recorded in records_of(app.env).items()
        for record in recorded
    }
    for cell in list(doctree.findall(verdict_cell)):
        place, record = found.get(cell["claim"], (None, {}))
        if cell["part"] == "effect":
            cell.replace_self([nodes.paragraph(text=text) for text in evidence(record)])
        elif place is None:
            cell.replace_self(nodes.paragraph(text=PENDING))
        else:
            uri = f"#verdict-{cell['claim']}"
            if place != docname:
                uri = app.builder.get_relative_uri(docname, place) + uri
            link = nodes.reference("", record["verdict"], internal=True, refuri=uri)
            classes = ["nnbook-badge", f"nnbook-{record['verdict']}"]
            cell.replace_self(nodes.paragraph("", "", link, classes=classes))


class StatusTable(SphinxDirective):
    """The run time of every notebook, and the machines and versions behind the outputs."""

    def run(self) -> list[nodes.Node]:
        """Build the two tables."""
        self.env.note_dependency(STATUS)
        path = Path(self.env.srcdir, STATUS)
        status = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if not status:
            return [nodes.paragraph(text="No notebook has been executed yet.")]
        times, settings = [], {}
        for name, record in sorted(status.items()):
            label = ", ".join(f"{k} {v}" for k, v in record["versions"].items())
            number = settings.setdefault((record["machine"], label), len(settings) + 1)
            times.append([name, f"{record['seconds']:.1f} s", record["date"], str(number)])
        places = [[str(number), *setting] for setting, number in settings.items()]
        heads = ("Notebook", "Run time", "Executed on", "Setting")
        return [
            _table(heads, (50, 16, 20, 14), _texts(times)),
            _table(("Setting", "Machine", "Versions"), (10, 40, 50), _texts(places)),
        ]


class BenchmarkTable(SphinxDirective):
    """The time of a training step in nnbook and its peers, as `make bench` measured it."""

    def run(self) -> list[nodes.Node]:
        """Build the table: medians in milliseconds, their spread, and nnbook's share of each."""
        record = _measured(self.env, BENCHMARKS)
        rows = []
        for size, rounds in sorted(record["seconds_per_step"].items(), key=lambda r: int(r[0])):
            for name, values in rounds.items():
                median, low, high = (1e3 * f(values) for f in (statistics.median, min, max))
                share = statistics.median(
                    a / b for a, b in zip(rounds["nnbook"], values, strict=True)
                )
                rows.append([size, name, f"{median:.3f} ({low:.3f} to {high:.3f})", f"{share:.2f}"])
        heads = ("Batch size", "Library", "ms a step: median (range)", "nnbook / library")
        return [_table(heads, (14, 26, 38, 22), _texts(rows)), _setting(record)]


class ScalingTable(SphinxDirective):
    """How the time of a step grows, one quantity at a time, as `make bench` measured it."""

    def run(self) -> list[nodes.Node]:
        """Build a row for every quantity, and the share of the machine's matrix product rate."""
        record = _measured(self.env, SCALING)
        rows = [
            [name, ", ".join(f"{k}: {1e3 * v:.3f}" for k, v in values.items())]
            for name, values in record["seconds_per_step"].items()
        ]
        share = ", ".join(f"{k}: {v:.0%}" for k, v in record["share_of_ceiling"].items())
        words = f"share of one thread's {record['gflops']:.0f} GFLOP/s, by batch size"
        heads = ("Quantity", "ms a step")
        return [_table(heads, (30, 70), _texts([*rows, [words, share]])), _setting(record)]


def _measured(env: BuildEnvironment, path: str) -> Record:
    env.note_dependency(path)
    return json.loads(Path(env.srcdir, path).read_text(encoding="utf-8"))


def _setting(record: Record) -> nodes.paragraph:
    versions = ", ".join(f"{k} {v}" for k, v in sorted(record["versions"].items()))
    return nodes.paragraph(text=f"Measured on {record['date']}: {record['machine']}; {versions}.")


def _texts(rows: list[list[str]]) -> list[list[list[nodes.Node]]]:
    return [[[nodes.paragraph(text=text)] for text in row] for row in rows]


def _table(
    heads: Iterable[str],
    widths: Iterable[int],
    rows: list[list[list[nodes.Node]]],
    *classes: str,
) -> nodes.table:
    widths = tuple(widths)
    group = nodes.tgroup("", *[nodes.colspec(colwidth=w) for w in widths], cols=len(widths))
    group += nodes.thead("", _row([[nodes.paragraph(text=head)] for head in heads]))
    group += nodes.tbody("", *[_row(row) for row in rows])
    return nodes.table("", group, classes=list(classes))


def _row(cells: list[list[nodes.Node]]) -> nodes.row:
    return nodes.row("", *[nodes.entry("", *content) for content in cells])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_node(verdict_cell)
    app.add_directive("nnbook-verdicts", VerdictTable)
    app.add_directive("nnbook-status", StatusTable)
    app.add_directive("nnbook-benchmarks", BenchmarkTable)
    app.add_directive("nnbook-scaling", ScalingTable)
    app.connect("doctree-read", collect)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("env-updated", outdated_tables)
    app.connect("env-check-consistency", check)
    app.connect("doctree-resolved", resolve)
    return {
        "version": "1",
        "env_version": zlib.crc32(Path(__file__).read_bytes()),  # read all anew after a change here
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
