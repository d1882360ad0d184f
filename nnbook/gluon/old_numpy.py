"""NumPy as MXNet 1.9.1 knew it: a view with the names that have gone since.

MXNet's modules are executed with an ``__import__`` of their own, which gives them this view
wherever they import NumPy. NumPy itself, and everybody else, is left alone.
"""

from __future__ import annotations

import builtins as _builtins
from types import ModuleType
from typing import Any

import numpy

__all__ = ["builtins", "view"]


def view() -> ModuleType:
    """Return the view, made once."""
    if not _VIEW.__dict__.get("bool_"):
        _VIEW.__dict__.update({k: v for k, v in vars(numpy).items() if k not in _OLD})
        _VIEW.__dict__.update(_OLD)
    return _VIEW


_VIEW = ModuleType("numpy", numpy.__doc__)
_OLD: dict[str, Any] = {"bool": bool, "int": int, "float": float, "object": object}


def builtins() -> dict[str, Any]:
    """Return the builtins."""
    return {**vars(_builtins), "__import__": _import}


def _import(name: str, *rest: Any, **options: Any) -> Any:
    module = _builtins.__import__(name, *rest, **options)
    return view() if module is numpy else module
