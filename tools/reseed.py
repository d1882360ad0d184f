"""Run the book with other seeds and say which verdicts change: ``python tools/reseed.py``.

Every notebook is executed in a copy of ``chapters/`` with ``NNBOOK_RESEED`` set, which moves all
seeds that come from ``claims.seeds``; nothing in ``chapters/`` is touched but ``reseed.json``, from
which the status page says how many verdicts replicate. With notebooks named, the result is only
printed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import datetime
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from notebooks import CHAPTERS, KERNEL_SETTINGS, find, machine, versions

from nnbook.claims import MIME_TYPE, Decision

RESEED = CHAPTERS / "reseed.json"
EXECUTE = "from nbclient.cli import main; main()"
BESIDE = ("tools",)  # what the scripts of long studies import

Record = dict[str, Any]


def records_of(notebook: Record) -> dict[str, Record]:
    """Return the verdicts in a notebook's outputs, by claim."""
    found = [
        output["data"][MIME_TYPE]
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if MIME_TYPE in output.get("data", {})
    ]
    return {record["claim"]: record for record in found}


def errors_of(notebook: Record) -> list[str]:
    """Return the errors in a notebook's outputs, in a line each."""
    return [
        f"cell {number}: {output['ename']}: {output['evalue'].splitlines()[0][:200]}"
        if output["evalue"]
        else f"cell {number}: {output['ename']}"
        for number, cell in enumerate(notebook["cells"])
        for output in cell.get("outputs", [])
        if output["output_type"] == "error"
    ]


def execute(path: Path, seeds: int, timeout: int) -> tuple[dict[str, Record], list[str]]:
    """Execute a copy of a notebook in place; return its verdicts and its errors.

    A cell that fails does not stop the cells after it, whose verdicts may stand on their own.
    """
    settings = {"NNBOOK_RESEED": str(seeds)}
    command = [sys.executable, "-c", EXECUTE, str(path), "--inplace", "--allow-errors"]
    done = subprocess.run(
        [*command, f"--timeout={timeout}"],
        env=os.environ | KERNEL_SETTINGS | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["the kernel died"]
        return {}, [said[-1][:200]]
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return records_of(notebook), errors_of(notebook)


def primary(record: Record) -> Decision:
    """Return the decision that gave a record its headline."""
    known = {field.name for field in dataclasses.fields(Decision)}
    given = record["decisions"][0].items()
    return Decision(**{k: math.nan if v is None else v for k, v in given if k in known})


def near_a_border(decision: Decision) -> bool:
    """Say whether a border lies in a decision's interval or within half its width of it."""
    if decision.kind not in ("interval", "share", "panel"):
        return False
    _, low, high = decision.advantage
    share = decision.kind != "interval"
    borders = (0.0,) if share else (-1.0, 1.0) if decision.direction == "equal" else (0.0, 1.0)
    reach = (high - low) / 2
    return any(low - reach <= border <= high + reach for border in borders)


def changes(before: dict[str, Record], after: dict[str, Record], seeds: int) -> list[Record]:
    """Return the claims whose headline or primary decision is another one, and how near it was."""
    found = []
    for claim in sorted(set(before) & set(after)):
        old, new = before[claim], after[claim]
        was, now = primary(old), primary(new)
        if (old["verdict"], was.outcome) != (new["verdict"], now.outcome):
            found.append(
                {
                    "claim": claim,
                    "set": seeds,
                    "before": old["verdict"],
                    "after": new["verdict"],
                    "flipped": was.outcome != now.outcome,
                    "number_before": was.number,
                    "number_after": now.number,
                    "near": near_a_border(was),
                }
            )
    return found


def reseed(paths: list[Path], sets: list[int], *, workers: int, timeout: int) -> Record:
    """Execute notebooks with other seeds and compare their verdicts with the committed ones.

    Parameters
    ----------
    paths : list of Path
        Notebooks below a folder ``chapters``.
    sets : list of int
        Each moves all seeds.
    workers : int
        Notebooks at a time.
    timeout : int
        Seconds that a cell may take.

    Returns
    -------
    dict
        ``sets`` (for each the verdicts reached again, the headlines that changed, the primary
        decisions that flipped, the verdicts not reached), ``changes``, ``errors``, and where and
        when.
    """
    before = [records_of(json.loads(p.read_text(encoding="utf-8"))) for p in paths]
    jobs = [(seeds, path, old) for seeds in sets for path, old in zip(paths, before, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        copies = {seeds: _copied(paths, Path(folder, str(seeds))) for seeds in sets}
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            runs = [pool.submit(execute, copies[s][path], s, timeout) for s, path, _ in jobs]
            for (seeds, path, _), run in zip(jobs, runs, strict=True):
                after, wrong = run.result()
                print(
                    f"{path}, seeds {seeds}: {len(after)} verdicts", *wrong, sep="\n  ", flush=True
                )
    result: Record = {"sets": {}, "changes": [], "errors": []}
    for (seeds, path, old), run in zip(jobs, runs, strict=True):
        after, wrong = run.result()
        changed = changes(old, after, seeds)
        result["changes"] += changed
        result["errors"] += [{"page": _name(path), "set": seeds, "error": w} for w in wrong]
        total = result["sets"].setdefault(
            str(seeds), dict.fromkeys(("verdicts", "headlines", "flips", "missing"), 0)
        )
        total["verdicts"] += len(set(old) & set(after))
        total["missing"] += len(set(old) - set(after))
        total["headlines"] += sum(c["before"] != c["after"] for c in changed)
        total["flips"] += sum(c["flipped"] for c in changed)
    result["date"] = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    return result | {"machine": machine(), "versions": versions()}


def _chapters(path: Path) -> Path:
    return next(p for p in path.resolve().parents if p.name == "chapters")


def _name(path: Path) -> str:
    return path.resolve().relative_to(_chapters(path)).with_suffix("").as_posix()


def _copied(paths: list[Path], folder: Path) -> dict[Path, Path]:
    """Copy the chapters, and what their scripts import, to a folder; return the notebooks there."""
    chapters = _chapters(paths[0])
    shutil.copytree(chapters, folder / "chapters")
    for name in BESIDE:
        if (chapters.parent / name).is_dir():
            shutil.copytree(chapters.parent / name, folder / name)
    return {p: folder / "chapters" / p.resolve().relative_to(chapters) for p in paths}


def report(result: Record) -> str:
    """Return the result as a table in text."""
    lines = []
    for seeds, total in result["sets"].items():
        share = 1 - total["headlines"] / total["verdicts"] if total["verdicts"] else math.nan
        lines.append(
            f"seeds {seeds}: {total['verdicts']} verdicts reached again, {total['missing']} not; "
            f"{total['headlines']} headlines changed ({100 * share:.1f} % replicate), "
            f"{total['flips']} primary decisions flipped"
        )
    for c in result["changes"]:
        near = "near a border" if c["near"] else "far from any border"
        lines.append(
            f"  {c['claim']}, seeds {c['set']}: {c['before']} ({c['number_before']}) → "
            f"{c['after']} ({c['number_after']}), {near}"
        )
    lines += [f"  {e['page']}, seeds {e['set']}: {e['error']}" for e in result["errors"]]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the notebooks named, or all of them; 1 if a page does not run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of chapters/")
    parser.add_argument(
        "--sets", nargs="+", type=int, default=[1, 2], help="NNBOOK_RESEED's values"
    )
    parser.add_argument("--workers", type=int, default=2, help="notebooks at a time")
    parser.add_argument("--timeout", type=int, default=900, help="seconds a cell may take")
    options = parser.parse_args(arguments)
    result = reseed(
        options.notebooks or find(), options.sets, workers=options.workers, timeout=options.timeout
    )
    print(report(result))
    if not options.notebooks:
        RESEED.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if result["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
