"""The API pages name every public module and every public name; the index lists them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import nnbook

# `nnbook.gluon` is the room behind `nnbook.runtime`, `nnbook.layers` and others.
MODULES = sorted(
    m.name for m in pkgutil.iter_modules(nnbook.__path__) if m.name[0] != "_" and m.name != "gluon"
)


def test_every_module_has_a_page(site: Path) -> None:
    pages = {p.stem for p in (site / "chapters" / "api").glob("*.html")} - {"index"}
    assert pages == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_is_documented(name: str, site: Path) -> None:
    module = importlib.import_module(f"nnbook.{name}")
    page = (site / "chapters" / "api" / f"{name}.html").read_text(encoding="utf-8")
    index = (site / "genindex.html").read_text(encoding="utf-8")
    assert module.__doc__
    assert module.__all__, f"nnbook.{name} names nothing public in __all__"
    for public in module.__all__:
        thing = getattr(module, public)
        if not (inspect.isclass(thing) or inspect.isroutine(thing)):
            continue
        assert (thing.__doc__ or "").strip(), f"nnbook.{name}.{public} has no docstring"
        anchor = f'id="nnbook.{name}.{public}"'
        assert anchor in page, f"nnbook.{name}.{public} is missing on its page"
        assert f"nnbook.{name}.{public}" in index
