"""Sphinx extension: run times, benchmarks and the replication, as tables from what was recorded.

``{nnbook-status}`` lists the run times, ``{nnbook-benchmarks}`` and ``{nnbook-scaling}`` the time
of a training step, ``{nnbook-reseed}`` what changed when the book was run with other seeds.
"""

from __future__ import annotations

import json
import statistics
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

STATUS = "chapters/status.json"
BENCHMARKS = "chapters/benchmarks.json"
SCALING = "chapters/scaling.json"
RESEED = "chapters/reseed.json"

Record = dict[str, Any]


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
            table(heads, (50, 16, 20, 14), texts(times)),
            table(("Setting", "Machine", "Versions"), (10, 40, 50), texts(places)),
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
        return [table(heads, (14, 26, 38, 22), texts(rows)), _setting(record)]


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
        return [table(heads, (30, 70), texts([*rows, [words, share]])), _setting(record)]


def _measured(env: BuildEnvironment, path: str) -> Record:
    env.note_dependency(path)
    return json.loads(Path(env.srcdir, path).read_text(encoding="utf-8"))


def _setting(record: Record) -> nodes.paragraph:
    versions = ", ".join(f"{k} {v}" for k, v in sorted(record["versions"].items()))
    return nodes.paragraph(text=f"Measured on {record['date']}: {record['machine']}; {versions}.")


class ReseedTable(SphinxDirective):
    """What changed when the book was run with other seeds, as `make reseed` found it."""

    def run(self) -> list[nodes.Node]:
        """Say how many headlines were reached again, and list those that were not."""
        self.env.note_dependency(RESEED)
        path = Path(self.env.srcdir, RESEED)
        if not path.exists():
            return [nodes.paragraph(text="The book has not been run with other seeds yet.")]
        record = json.loads(path.read_text(encoding="utf-8"))
        parts: list[nodes.Node] = [nodes.paragraph(text=replication(record))]
        rows = [
            [
                change["claim"],
                str(change["set"]),
                f"{change['before']}: {change['number_before']}",
                f"{change['after']}: {change['number_after']}",
                "yes" if change["near"] else "no",
            ]
            for change in record["changes"]
        ]
        if rows:
            heads = ("Claim", "Seeds", "On the page", "With other seeds", "Near a border")
            parts.append(table(heads, (10, 10, 32, 32, 16), texts(rows), "nnbook-reseed"))
        if record["errors"]:
            failed = [[e["page"], str(e["set"]), e["error"]] for e in record["errors"]]
            heads = ("Page that does not run", "Seeds", "Error")
            parts.append(table(heads, (34, 10, 56), texts(failed)))
        return [*parts, _setting(record)]


def replication(record: Record) -> str:
    """Return in words how many headlines and primary decisions came out again."""
    verdicts, headlines, flips = (
        sum(found[key] for found in record["sets"].values())
        for key in ("verdicts", "headlines", "flips")
    )
    sets = len(record["sets"])
    near = sum(1 for change in record["changes"] if change["near"])
    share = 1 - headlines / verdicts if verdicts else 0.0
    return (
        f"With {sets} other {'set' if sets == 1 else 'sets'} of seeds {verdicts} verdicts were "
        f"reached again: {headlines} headlines changed, so that {100 * share:.1f} % replicate, "
        f"and {flips} primary decisions flipped. Of the changes {near} had a border within half "
        "the width of their interval."
    )


def texts(rows: list[list[str]]) -> list[list[list[nodes.Node]]]:
    """Return the cells of a table from their texts."""
    return [[[nodes.paragraph(text=text)] for text in row] for row in rows]


def table(
    heads: Iterable[str],
    widths: Iterable[int],
    rows: list[list[list[nodes.Node]]],
    *classes: str,
) -> nodes.table:
    """Return a table with a head."""
    return grouped(heads, widths, [[table_row(row) for row in rows]], *classes)


def grouped(
    heads: Iterable[str],
    widths: Iterable[int],
    groups: list[list[nodes.row]],
    *classes: str,
    stub: bool = False,
) -> nodes.table:
    """Return a table with a body for every group of rows; `stub`: the first column are heads."""
    specs = [nodes.colspec(colwidth=width) for width in widths]
    if stub:
        specs[0]["stub"] = 1
    group = nodes.tgroup("", *specs, cols=len(specs))
    group += nodes.thead("", table_row([[nodes.paragraph(text=head)] for head in heads]))
    group += [nodes.tbody("", *rows) for rows in groups]
    return nodes.table("", group, classes=list(classes))


def table_row(cells: list[list[nodes.Node]]) -> nodes.row:
    """Return a row of a table."""
    return nodes.row("", *[nodes.entry("", *content) for content in cells])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_directive("nnbook-status", StatusTable)
    app.add_directive("nnbook-benchmarks", BenchmarkTable)
    app.add_directive("nnbook-scaling", ScalingTable)
    app.add_directive("nnbook-reseed", ReseedTable)
    return {
        "version": "1",
        "env_version": zlib.crc32(Path(__file__).read_bytes()),  # read all anew after a change here
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
