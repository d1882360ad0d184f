"""Sphinx extension: the bibliography in the style of the citations, each work with who cites it.

Works stand under author and year, as the text names them. Below each are the pages that cite it;
one that no page cites is looked for in the docstrings, by its first author and year, and a work
that is nowhere is reported.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pybtex.plugin import register_plugin
from pybtex.richtext import Text
from pybtex.style.formatting.plain import Style as Plain
from pybtex.style.labels import BaseLabelStyle
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

logger = logging.getLogger(__name__)

STYLE = "author_year_list"
UNDATED = "no date"
NOT_A_NAME = re.compile(r"[^\w'’. -]")


class AuthorYear(BaseLabelStyle):
    """A label as the text cites: LeCun et al., 1998; two of one year get a and b."""

    def format_labels(self, sorted_entries: list[Any]) -> Iterator[str]:
        """Yield the label of every entry."""
        plain = [label(entry) for entry in sorted_entries]
        counts, seen = Counter(plain), Counter[str]()
        for text in plain:
            letter = chr(ord("a") + seen[text]) if counts[text] > 1 else ""
            seen[text] += 1
            yield text + letter


class ByAuthorAndYear(Plain):
    """The entries of the plain style, under author and year."""

    default_label_style = AuthorYear
    default_sorting_style = "author_year_title"


def family(person: Any) -> str:
    """Return a family name as it is printed."""
    names = " ".join([*person.prelast_names, *person.last_names])
    return NOT_A_NAME.sub("", str(Text.from_latex(names)))


def label(entry: Any) -> str:
    """Return authors and year of an entry, in short."""
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    names = [family(person) for person in people]
    if len(names) > 2:
        who = f"{names[0]} et al."
    else:
        who = " and ".join(names) or str(Text.from_latex(entry.fields.get("title", entry.key)))
    return f"{who}, {entry.fields.get('year', UNDATED)}"


def bibliography_pages(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Write the bibliography again: another page may cite more, or less."""
    return sorted({key.docname for key in env.get_domain("cite").bibliographies})


def cited_from(env: BuildEnvironment) -> dict[str, dict[str, str]]:
    """Return by work the pages that cite it, in the order of the book, and the first place."""
    order = {name: place for place, name in enumerate(env.collect_relations())}
    found: dict[str, dict[str, str]] = {}
    references = env.get_domain("cite").citation_refs
    for reference in sorted(references, key=lambda r: (order.get(r.docname, len(order)), r.line)):
        for target in reference.targets:
            pages = found.setdefault(target.key, {})
            pages.setdefault(reference.docname, reference.citation_ref_id)
    return found


def in_docstrings(env: BuildEnvironment, works: list[Any]) -> set[str]:
    """Return those of the works that the package names by first author and year."""
    sources = sorted(Path(env.srcdir, "nnbook").rglob("*.py"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    found = set()
    for work in works:
        people = work.persons.get("author") or work.persons.get("editor") or []
        year = work.fields.get("year", UNDATED)
        name = re.escape(family(people[0])) if people else ""
        if name and re.search(rf"\b{name}\b[^\n]*(?:\n[^\n]*)?\b{year}\b", text):
            found.add(work.key)
    return found


def add_references(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Say below each work of the bibliography which pages cite it."""
    domain = app.env.get_domain("cite")
    keys = {c.citation_id: c.key for c in domain.citations if c.bibliography_key.docname == docname}
    if not keys:
        return
    found = cited_from(app.env)
    named = in_docstrings(app.env, list(domain.bibdata.data.entries.values()))
    for entry in doctree.findall(nodes.citation):
        key = next((keys[anchor] for anchor in entry["ids"] if anchor in keys), None)
        if key is None:
            continue
        entry["backrefs"] = []  # those of its own page, which are among the others
        line = nodes.paragraph(classes=["nnbook-cited"])
        links = [place_link(app, docname, page, at) for page, at in found.get(key, {}).items()]
        if links:
            line += nodes.Text("Cited in ")
            for number, link in enumerate(links):
                line += [nodes.Text(", ")] * bool(number) + [link]
        else:
            words = "Named in the package's docstrings" if key in named else "Not cited yet"
            line += nodes.Text(words)
        entry += line


def place_link(app: Sphinx, docname: str, page: str, anchor: str) -> nodes.reference:
    """Return a link to the first place on a page where a work is cited."""
    uri = app.builder.get_relative_uri(docname, page) + f"#{anchor}"
    return nodes.reference("", app.env.titles[page].astext(), refuri=uri, internal=True)


def unused(env: BuildEnvironment) -> list[str]:
    """Return the keys of the works that neither a page nor a docstring names."""
    works = env.get_domain("cite").bibdata.data.entries
    cited = cited_from(env)
    left = [work for key, work in works.items() if key not in cited]
    return sorted({work.key for work in left} - in_docstrings(env, left))


def report(app: Sphinx, env: BuildEnvironment) -> None:
    """Say which works are in the list for nothing."""
    for key in unused(env):
        logger.info("bibliography: %s is cited nowhere", key)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    register_plugin("pybtex.style.formatting", STYLE, ByAuthorAndYear)
    app.connect("env-updated", bibliography_pages)
    app.connect("env-check-consistency", report)
    app.connect("doctree-resolved", add_references)
    return {
        "version": "1",
        "env_version": zlib.crc32(Path(__file__).read_bytes()),
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
