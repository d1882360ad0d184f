"""The API pages name every public module and every public name; the index lists them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import nnbook

# `nnbook.gluon` is the room behind `nnbook.runtime`, `nnbook.layers` and others.
MODULES = sorted(
    m.name for m in pkgutil.iter_modules(nnbook.__path__) if m.name[0] != "_" and m.name != "gluon"
)

TOPICS = {"regularization"}  # a page that tells where things live which several modules hold


def test_every_module_has_a_page(site: Path) -> None:
    pages = {p.stem for p in (site / "chapters" / "api").glob("*.html")} - {"index"}
    assert pages == set(MODULES) | TOPICS


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


def test_every_page_begins_with_a_summary_of_entries_with_one_anchor_each(site: Path) -> None:
    for page in (site / "chapters" / "api").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        anchors = re.findall(r'<dt class="sig[^"]*"[^>]* id="([^"]+)"', text)
        assert len(anchors) == len(set(anchors)), page.name
        top = [a for a in anchors if a.count(".") == 2]
        if len(top) < 2:
            continue
        summary = re.search(r'<table class="nnbook-summary.*?</table>', text, re.DOTALL)
        assert summary, page.name
        assert text.index("nnbook-summary") < text.index('<dt class="sig')
        assert re.findall(r'<a class="reference internal" href="#(nnbook[^"]+)"><code', summary[0])
        linked = set(re.findall(r'href="#([^"]+)"', summary[0]))
        assert set(top) <= linked, page.name


def test_no_list_of_attributes_is_malformed(site: Path) -> None:
    # "x_val, x_test : array" is two names of one type, not "x_test (x_val,)" of none.
    malformed = re.compile(r"\b(?!shape\b)\w+ \((?:\w+, )*\w+,\) –")
    assert malformed.search("x_test (x_train, x_val,) – Pixels")
    several = 0
    for page in (site / "chapters" / "api").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert malformed.findall(re.sub(r"<[^>]+>", "", text)) == [], page.name
        several += len(re.findall(r"<strong>\w+, \w+", text))
    assert several > 10
