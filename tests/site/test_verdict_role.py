"""The role and the boxes in a small book of their own, as pages and as plain text."""

from __future__ import annotations

import io
import json
from pathlib import Path

import nbformat
import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from nnbook import claims
from nnbook.claims import protocols

ROOT = Path(__file__).resolve().parents[2]

CONF = """
extensions = ["myst_nb", "sphinxcontrib.bibtex", "nnbook_tables", "nnbook_verdicts", "nnbook_atlas"]
bibtex_bibfiles = ["chapters/r.bib"]
nb_execution_mode = "off"
suppress_warnings = ["mystnb.unknown_mime_type", "myst-nb.lexer"]
root_doc = "chapters/intro"
"""
PAGES = {
    "chapters/intro.md": "# Intro\n\nAn {verdict}`C1`, and {verdict}`C2`.\n\n```{toctree}\n"
    "waves/index\nwaves/lab\nverdicts\nb\n```\n",
    "chapters/waves/index.md": "# Waves\n\nCentre: {verdict}`C1`.\n",
    "chapters/verdicts.md": "# Verdicts\n\n```{nnbook-atlas}\n```\n",
    "chapters/b.md": "# B\n\n```{bibliography}\n```\n",
    "chapters/r.bib": "@book{lecun, author={LeCun, Yann and Bottou, Leon and Orr, G. B.},"
    " title={T}, year=1998, publisher={P}}\n",
    "_toc.yml": "root: chapters/intro\nchapters:\n- file: chapters/waves/index\n",
}
CLAIM = (
    "- id: {name}\n  chapter: {chapter}\n  statement: Centring $x$ helps.\n  source: L\n"
    "  cite: lecun\n  was: partly\n  expected: confirmed\n  do: Subtract the *mean*.\n"
)


@pytest.fixture
def book(tmp_path, monkeypatch):
    """The sources: C1 is decided on the page waves/lab, C2 belongs to no finished chapter."""
    monkeypatch.syspath_prepend(str(ROOT / "_ext"))
    entries = CLAIM.format(name="C1", chapter="waves") + CLAIM.format(name="C2", chapter="later")
    files = PAGES | {"conf.py": CONF, "chapters/claims.yml": entries}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("NNBOOK_CLAIMS", str(tmp_path / "chapters" / "claims.yml"))
    protocols._read.cache_clear()
    write_lab(tmp_path, [3.1, 3.2, 3.3])
    return tmp_path


def write_lab(folder, values):
    found = claims.decide(values, quantity="gain", smallest_effect=1.0)
    data = json.loads(json.dumps(claims.verdict("C1", found)._repr_mimebundle_()))
    output = nbformat.v4.new_output("execute_result", data=data, execution_count=1)
    cell = nbformat.v4.new_code_cell("1", outputs=[output], execution_count=1)
    cells = [nbformat.v4.new_markdown_cell("# Lab"), cell]
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells), folder / "chapters" / "waves" / "lab.ipynb"
    )


def build(folder, builder):
    """Build, and return the output's folder and the warnings."""
    warnings = io.StringIO()
    out = folder / "_build" / builder
    with patch_docutils(str(folder)), docutils_namespace():
        app = Sphinx(
            folder, folder, out, folder / "_build" / "doctrees", builder,
            status=None, warning=warnings,
        )  # fmt: skip
        app.build()
    return out, warnings.getvalue()


def test_a_badge_leads_to_the_box_and_the_box_to_the_atlas(book):
    out, warnings = build(book, "html")
    assert "WARNING" not in warnings, warnings
    intro = (out / "chapters" / "intro.html").read_text(encoding="utf-8")
    assert 'href="waves/lab.html#verdict-C1"' in intro
    assert 'class="nnbook-badge nnbook-confirmed' in intro
    assert "confirmed: 3.2<" in intro
    assert "not yet tested" in intro
    lab = (out / "chapters" / "waves" / "lab.html").read_text(encoding="utf-8")
    assert 'href="../verdicts.html#C1"' in lab
    assert 'href="#verdict-C1"' in lab
    atlas = (out / "chapters" / "verdicts.html").read_text(encoding="utf-8")
    assert 'href="waves/lab.html#verdict-C1"' in atlas
    assert '<option value="nnbook-by-lecun">LeCun et al. (1998)</option>' in atlas
    assert '<option value="nnbook-in-waves">Waves</option>' in atlas
    assert '<option value="nnbook-confirmed">confirmed (1)</option>' in atlas
    assert "gain: 3.2 (95 % interval 2.95 to 3.45; 3 seeds; δ 1)" in atlas
    assert "Subtract the <em>mean</em>." in atlas
    assert atlas.count("<svg") == 2  # the scale, and the strip of C1


def test_elsewhere_a_badge_is_plain_text(book):
    out, _ = build(book, "text")
    intro = (out / "chapters" / "intro.txt").read_text(encoding="utf-8")
    assert "An confirmed: 3.2, and not yet tested." in intro
    atlas = (out / "chapters" / "verdicts.txt").read_text(encoding="utf-8")
    assert "confirmed: 3.2" in atlas
    assert "3 seeds" in atlas
    assert "svg" not in atlas


def test_a_new_verdict_reaches_the_pages_that_show_it(book):
    build(book, "html")
    write_lab(book, [5.1, 5.2, 5.3])
    out, _ = build(book, "html")
    for name in ("intro", "waves/index", "verdicts"):
        page = (out / "chapters" / f"{name}.html").read_text(encoding="utf-8")
        assert "confirmed: 5.2<" in page


def test_what_is_wrong_is_a_warning_at_its_place(book):
    intro = book / "chapters" / "intro.md"
    intro.write_text(intro.read_text(encoding="utf-8") + "\n{verdict}`C77`\n", encoding="utf-8")
    lab = book / "chapters" / "waves" / "lab.ipynb"
    notebook = nbformat.read(lab, as_version=4)
    notebook.cells[1].outputs = []
    nbformat.write(notebook, lab)
    _, warnings = build(book, "html")
    assert "intro.md:12: WARNING: there is no claim C77" in warnings
    assert "intro.md:3: WARNING: C1 has no verdict, and its chapter waves is finished" in warnings
    assert "C2" not in warnings
