"""The programs of the how-to page run by themselves, outside the repository, from their text."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

PAGE = Path(__file__).resolve().parents[1] / "chapters" / "how_to.ipynb"
CELLS = nbformat.read(PAGE, as_version=4).cells
PROGRAMS = [cell for cell in CELLS if "program" in cell.metadata.get("tags", [])]

#: What each saves, and what it prints: numbers with the least or the largest that will do.
EXPECTED = {
    "diabetes.nnbook": [("mean absolute error (.*);", None, 55)],
    "rare.nnbook": [("balanced accuracy (.*);", 0.7, None)],
    "digits.nnbook": [("(.*)% of the test images", 93, None)],
    "reviews.nnbook": [("(.*)% of the reviews", 95, None)],
    "chirps.nnbook": [("; (.*)% of the test sequences", 90, None)],
    "quantile.nnbook": [("; (.*)% of the test targets", 82, 97)],
    "residual.nnbook": [("graph; (.*)% of the test images", 93, None)],
    "five.nnbook": [("errs on (.*)% to", None, 6), ("the five (.*)%", None, 5)],
    "cancer.nnbook": [("accuracy (.*) by cross", 0.94, None)],
}
#: How another program reads what is no network of the book's and Gluon's layers.
READ = {
    "residual.nnbook": (
        "from nnbook import models\n"
        "try:\n    models.load('residual.nnbook')\nexcept Exception as error:\n    print(error)",
        "net=",  # the way out
    ),
    "five.nnbook": (
        "from nnbook import ensemble, layers\n"
        "build = lambda seed: layers.mlp(64, [32], 10, 'relu', seed=seed)\n"
        "print(ensemble.Ensemble.load('five.nnbook', build))",
        "Ensemble(5 members",
    ),
}
FAST = {"quantile.nnbook": "path: graph"}  # as the page says of its loss


def run(program, folder):
    (folder / "program.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "program.py"],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_has_the_programs_that_are_expected():
    saved = [re.search(r'"(\w+\.nnbook)"', cell.source)[1] for cell in PROGRAMS]
    assert saved == list(EXPECTED)


@pytest.mark.parametrize("number", range(len(EXPECTED)), ids=EXPECTED)
def test_a_program_is_complete_and_another_reads_what_it_saved(number, tmp_path):
    name, expected = list(EXPECTED.items())[number]
    printed = run(PROGRAMS[number].source, tmp_path)
    for pattern, least, most in expected:
        value = float(re.search(pattern, printed)[1])
        assert least is None or value >= least, printed
        assert most is None or value <= most, printed
    assert FAST.get(name, "") in printed
    # Without the program that made it.
    later = tmp_path / "later"
    later.mkdir()
    (tmp_path / name).rename(later / name)
    how, shown = READ.get(
        name, (f"from nnbook import models\nprint(models.load({name!r}))", "Model(")
    )
    assert shown in run(how, later)


def test_a_program_trains_a_network_that_the_file_describes():
    for cell in PROGRAMS:
        assert re.search(r"(models|five)\.save\(", cell.source)
    assert sum(".load(" in cell.source for cell in PROGRAMS) == 8


def test_lines_fit_the_page():
    lines = [line for cell in CELLS if cell.cell_type == "code" for line in cell.source.split("\n")]
    assert max(map(len, lines)) <= 88
