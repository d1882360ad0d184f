"""Long studies: a data file that knows which code, seeds and machine it was made with.

A script ``chapters/<chapter>/long_<study>.py`` starts with `pin` and ends with `save`; the page
reads the JSON file beside it, and `tests/test_studies.py` fails when the code has changed since.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import re
import time
import tokenize
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def pin() -> None:
    """Set, before MXNet is imported, what the kernels of the notebooks are started with."""
    from notebooks import KERNEL_SETTINGS

    os.environ.update(KERNEL_SETTINGS)


def code_hash(paths: Iterable[str]) -> str:
    """Return the SHA-256 of what some Python files do, whatever their comments and docstrings say.

    Parameters
    ----------
    paths : iterable of str
        Files, or folders for all the Python files in them, relative to the repository.

    Returns
    -------
    str
        The same on every version of Python.
    """
    files: set[Path] = set()
    for path in paths:
        found = ROOT / path
        if not found.exists():
            raise FileNotFoundError(f"{path} is not in the repository; expected a file or folder.")
        files.update(found.rglob("*.py") if found.is_dir() else [found])
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.relative_to(ROOT).as_posix().encode())
        digest.update(bare(file.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


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


def save(path: Path, code: Iterable[str], seeds: Iterable[int], began: float, **data: Any) -> None:
    """Write a study's data file.

    Parameters
    ----------
    path : Path
        The JSON file.
    code : iterable of str
        What decides the numbers: the script itself and the parts of the package it stands on.
    seeds : iterable of int
        All seeds used.
    began : float
        ``time.perf_counter()`` at the start.
    **data
        What JSON can hold.
    """
    from nnbook import runtime

    environment = runtime.environment()
    paths = sorted(code)
    record = {
        "code": {"paths": paths, "sha256": code_hash(paths)},
        "seeds": list(seeds),
        "machine": {key: environment[key] for key in ("python", "platform", "processor", "cores")},
        "packages": {name: environment["packages"].get(name) for name in ("mxnet", "numpy")},
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "data": data,
    }
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def stale(path: Path) -> str | None:
    """Say why a study's data file is out of date, or return None."""
    record = json.loads(path.read_text(encoding="utf-8"))
    if code_hash(record["code"]["paths"]) == record["code"]["sha256"]:
        return None
    return (
        f"{path.name} was made by other code than {', '.join(record['code']['paths'])} as they are "
        "now: run make run-long, and the notebook that reads it."
    )
