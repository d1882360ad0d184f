"""Let a package import its modules when somebody asks for what is in them.

A package's names stand in the stub beside its ``__init__.py``, as ordinary imports: type checkers
and editors read them there, and so does `attach`. What needs MXNet is then imported by whoever uses
it, and the rest works without (Scientific Python's SPEC 1).
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["attach"]


def attach(package: str) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Return the ``__all__``, ``__getattr__`` and ``__dir__`` of a package with a stub.

    Parameters
    ----------
    package : str
        The package's ``__name__``. Each line of its stub is ``from module import name as name``.

    Returns
    -------
    tuple
        For ``__all__, __getattr__, __dir__ = attach(__name__)``.
    """
    module = sys.modules[package]
    home: dict[str, tuple[str, str]] = {}
    stub = Path(str(module.__file__)).with_suffix(".pyi")
    for line in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(line, ast.ImportFrom):
            home |= {
                alias.asname or alias.name: (str(line.module), alias.name) for alias in line.names
            }

    def __getattr__(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        where, original = home[name]
        value = getattr(importlib.import_module(where), original)
        setattr(module, name, value)  # asked for once
        return value

    return sorted(home), __getattr__, lambda: sorted({*vars(module), *home})
