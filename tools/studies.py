"""Long studies: a data file that knows which code, seeds and machine it was made with.

A script ``chapters/<chapter>/long_<study>.py`` starts with `pin` and ends with `save`; the page
reads the JSON file beside it, and `tests/test_studies.py` fails when the code has changed since:
every function of the project that the study ran, and the constants beside them. Where a change
leaves the numbers as they are, the pages that recompute a sample of the study can say so:
``python tools/studies.py chapters/<chapter>/<study>.json`` runs them, and if they pass takes the
code as it is now for that of the study.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
import tokenize
from collections.abc import Iterable
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_ran: set[CodeType] = set()


def pin() -> None:
    """Set what the kernels of the notebooks are started with, and note what runs from now on.

    Called before MXNet is imported.
    """
    from notebooks import KERNEL_SETTINGS

    os.environ.update(KERNEL_SETTINGS)
    # A trace function that returns None is called once for each call of a Python function.
    threading.settrace(_note)
    sys.settrace(_note)


def _note(frame: Any, event: str, argument: Any) -> None:
    _ran.add(frame.f_code)


def what_ran() -> dict[str, list[str]]:
    """Return the project's functions that have run since `pin`, by file, and stop noting them."""
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    found: dict[str, set[str]] = {}
    for code in _ran:
        file = Path(code.co_filename)
        if not (file.is_absolute() and file.is_relative_to(ROOT) and file.suffix == ".py"):
            continue
        path = file.relative_to(ROOT)
        if path.parts[0].startswith(".") or file == Path(__file__):  # an environment; this file
            continue
        name = _outermost(file, code.co_firstlineno)
        if name:
            found.setdefault(path.as_posix(), set()).add(name)
    return {path: sorted(found[path]) for path in sorted(found)}


def _outermost(file: Path, line: int) -> str | None:
    """Return the function or method that a line belongs to, or None for a module or a class."""
    for name, node in _parsed(file)[1].items():
        first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        if first <= line <= (node.end_lineno or node.lineno):
            return name
    return None


@functools.cache
def _parsed(file: Path) -> tuple[str, dict[str, Any]]:
    """Return a file's source, and by their names its functions and its classes' methods.

    Read once, since somebody may edit the file while a study runs.
    """
    found: dict[str, Any] = {}

    def visit(body: list[Any], prefix: str) -> None:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found[f"{prefix}{node.name}"] = node
            elif isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.If):
                visit([*node.body, *node.orelse], prefix)

    source = file.read_text(encoding="utf-8")
    visit(ast.parse(source).body, "")
    return source, found


def function_hashes(path: str, names: Iterable[str]) -> dict[str, str]:
    """Return a hash of each function of a file, and of the constants that stand beside them.

    Parameters
    ----------
    path : str
        The file, relative to the repository.
    names : iterable of str
        Functions, and methods as ``"Class.method"``.

    Returns
    -------
    dict of str to str
        "" where a function is no longer there; under "constants" what the file assigns.
    """
    file = ROOT / path
    if not file.exists():
        return dict.fromkeys([*names, "constants"], "")
    source, known = _parsed(file)
    found = {name: _hash(source, [known[name]]) if name in known else "" for name in names}
    assigned = [n for n in ast.parse(source).body if isinstance(n, (ast.Assign, ast.AnnAssign))]
    found["constants"] = _hash(source, [n for n in assigned if "__all__" not in ast.dump(n)])
    return found


def _hash(source: str, nodes: list[Any]) -> str:
    """Return a hash of what some code does: comments, docstrings and layout do not matter."""
    lines, parts = source.splitlines(), []
    for node in nodes:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        parts.append(bare(textwrap.dedent("\n".join(lines[first - 1 : node.end_lineno]))))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def bare(source: str) -> str:
    """Return Python source without docstrings, comments, blank lines and the length of spaces."""
    lines = source.splitlines()
    for token in reversed(list(tokenize.generate_tokens(io.StringIO(source).readline))):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, holders) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            for row in range(text.lineno - 1, text.end_lineno or text.lineno):
                lines[row] = ""
    return "\n".join(re.sub(r"(?<=\S)\s+", " ", line.rstrip()) for line in lines if line.strip())


def save(path: Path, seeds: Iterable[int], began: float, **data: Any) -> None:
    """Write a study's data file.

    Parameters
    ----------
    path : Path
        The JSON file.
    seeds : iterable of int
        All seeds used.
    began : float
        ``time.perf_counter()`` at the start.
    **data
        What JSON can hold.
    """
    from nnbook import runtime

    sys.settrace(None)  # what runs from here on is not the study
    environment = runtime.environment()
    record = {
        "seeds": list(seeds),
        "machine": {key: environment[key] for key in ("python", "platform", "processor", "cores")},
        "packages": {name: environment["packages"].get(name) for name in ("mxnet", "numpy")},
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "data": data,
    }
    _write(path, record)  # hours of work, whatever comes of the hashes
    ran = what_ran()
    _write(path, {"code": {file: function_hashes(file, ran[file]) for file in ran}, **record})


def _write(path: Path, record: dict[str, Any]) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def changed(path: Path) -> list[str]:
    """Return what a study ran that is not here any more as it was: ``"file: function"``."""
    record = json.loads(path.read_text(encoding="utf-8"))
    found = []
    for file, hashes in record["code"].items():
        now = function_hashes(file, [name for name in hashes if name != "constants"])
        found += [f"{file}: {name}" for name in hashes if hashes[name] != now[name]]
    return found


def stale(path: Path) -> str | None:
    """Say why a study's data file is out of date, or return None."""
    different = changed(path)
    if not different:
        return None
    more = f" and {len(different) - 3} more" if len(different) > 3 else ""
    return (
        f"{path.name} was made by other code than is here now ({', '.join(different[:3])}{more}): "
        "run make run-long, and the notebook that reads it; or, if the numbers should be the same, "
        f"python tools/studies.py {path.relative_to(ROOT)}"
    )


def take_over(path: Path) -> None:
    """Take the code as it is now for that of a study, if its pages find the same numbers.

    Raises
    ------
    SystemExit
        A page that reads the file, and recomputes a sample of it, finds other numbers; or a
        function that the study ran is gone, so that nobody knows what runs in its place.
    """
    pages = [p for p in sorted(path.parent.glob("*.ipynb")) if path.name in p.read_text("utf-8")]
    if not pages:
        raise SystemExit(f"no page reads {path.name}, so that nothing recomputes a sample of it")
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", *map(str, pages)]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise SystemExit(f"{path.name} stays as it is: run make run-long")
    record = json.loads(path.read_text(encoding="utf-8"))
    record["code"] = {
        file: function_hashes(file, [name for name in hashes if name != "constants"])
        for file, hashes in record["code"].items()
    }
    gone = [f"{file}: {n}" for file, now in record["code"].items() for n in now if not now[n]]
    if gone:
        raise SystemExit(f"{', '.join(gone[:5])} are gone: run make run-long")
    _write(path, record)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        take_over(Path(argument).resolve())
