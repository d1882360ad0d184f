"""Lessons can be read in twenty minutes: what a page of the second edition asks of its reader."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

CHAPTERS = Path(__file__).resolve().parents[1] / "chapters"
# Efficient backprop, optimizers, hyperparameters, debugging and ensembles are of the first edition.
SECOND = ("gradient_descent", "regularization", "second_order", "search", "pretraining")
LESSONS = [
    path
    for chapter in SECOND
    for path in sorted((CHAPTERS / chapter).glob("*.ipynb"))
    if not path.stem.startswith("lab_")
]
NOT_PROSE = re.compile(r"(?s:\$\$.*?\$\$|<!--.*?-->)|^(```|:{3,}).*$|^:[\w-]+:.*$", re.M)
WORD = re.compile(r"\S*[^\W\d_]\S*")


def words(notebook: nbformat.NotebookNode) -> int:
    """Count the words of the text, formulas on lines of their own and directives left out."""
    cells = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return sum(len(WORD.findall(NOT_PROSE.sub(" ", source))) for source in cells)


def visible_lines(notebook: nbformat.NotebookNode) -> int:
    """Count the lines of code that are not folded away."""
    shown = (
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code" and "hide-input" not in cell.metadata.get("tags", ())
    )
    return sum(1 for source in shown for line in source.splitlines() if line.strip())


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_lesson_is_short(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert words(notebook) <= 2000
    assert visible_lines(notebook) <= 150


def test_what_is_counted() -> None:
    text = "# A *title*\n\n```{note}\n:class: dropdown\nTwo words, $x$ 3.\n```\n\n$$\na b c\n$$\n"
    code = nbformat.v4.new_code_cell("a = 1\n\nb = 2")
    hidden = nbformat.v4.new_code_cell("c = 3", metadata={"tags": ["hide-input"]})
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text), code, hidden])
    assert words(page) == 5  # A, *title*, Two, words, $x$
    assert visible_lines(page) == 2
