"""Sphinx extension: a table of its entries at the top of every page of the reference."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from docutils import nodes
from nnbook_tables import table
from sphinx import addnodes
from sphinx.application import Sphinx

PAGES = "chapters/api/"
KINDS = {"class": "class", "exception": "exception", "data": "data", "function": ""}


def summarise(app: Sphinx, doctree: nodes.document) -> None:
    """Put the table before the first entry of a page that has several."""
    if not app.env.docname.startswith(PAGES):
        return
    entries = [entry for entry in doctree.findall(addnodes.desc) if not inside_another(entry)]
    if len(entries) < 2:
        return
    rows = [[name_of(entry), [nodes.paragraph("", "", *first_line(entry))]] for entry in entries]
    before = entries[0]
    place = before.parent.index(before)
    while place and isinstance(before.parent[place - 1], addnodes.index):
        place -= 1
    heads = ("Name", "What it is")
    before.parent.insert(place, table(heads, (32, 68), rows, "nnbook-summary"))


def inside_another(entry: addnodes.desc) -> bool:
    """Tell whether an entry belongs to another, as a method does to its class."""
    node = entry.parent
    while node is not None and not isinstance(node, addnodes.desc):
        node = node.parent
    return node is not None


def name_of(entry: addnodes.desc) -> list[nodes.Node]:
    """Return the name of an entry, linked to it, and its kind where it is no function."""
    signature = entry.next_node(addnodes.desc_signature)
    anchor = signature["ids"][0] if signature["ids"] else signature["fullname"]
    name = nodes.literal(text=anchor.rpartition(".")[2])
    link = nodes.reference("", "", name, refid=anchor, internal=True)
    kind = KINDS.get(entry["objtype"], entry["objtype"])
    return [nodes.paragraph("", "", link, *([nodes.Text(f" {kind}")] if kind else []))]


def first_line(entry: addnodes.desc) -> list[nodes.Node]:
    """Return the first line of an entry's text."""
    content = entry.next_node(addnodes.desc_content)
    for child in content.children if content is not None else ():
        if isinstance(child, nodes.paragraph):
            return [part.deepcopy() for part in child.children]
    return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("doctree-read", summarise)
    return {
        "version": "1",
        "env_version": zlib.crc32(Path(__file__).read_bytes()),
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
