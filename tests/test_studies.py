"""The data files of long studies were made by the code that is here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import studies  # noqa: E402

SCRIPTS = sorted((ROOT / "chapters").rglob("long_*.py"))
SOURCE = '''"""What it is for."""
# why
RATE = 0.1  # the rate

def step(theta):
    """Take one step."""
    return theta - RATE * theta
'''


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_study_has_a_data_file_that_is_not_stale(script):
    path = script.with_name(script.stem.removeprefix("long_") + ".json")
    assert path.exists(), f"{script.name} has no {path.name}: run make run-long"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert script.relative_to(ROOT).as_posix() in record["code"]
    assert record["seeds"]
    assert record["machine"]["cores"]
    assert record["data"]
    assert (why := studies.stale(path)) is None, why


def test_comments_docstrings_and_spaces_do_not_matter():
    other = SOURCE.replace("What it is for.", "Other.\n\nMore.").replace("# the rate", "# η")
    other = other.replace("Take one step.", "Take\n    a step.").replace(
        "RATE = 0.1  #", "RATE = 0.1 #"
    )
    assert studies.bare(other) == studies.bare(SOURCE)
    assert studies.bare(SOURCE).splitlines() == [
        "RATE = 0.1", "def step(theta):", " return theta - RATE * theta".replace(" r", "    r", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change", [("0.1", "0.2"), ("- RATE", "+ RATE"), ("return theta", "return 1 * theta")]
)
def test_code_matters(change):
    assert studies.bare(SOURCE.replace(*change)) != studies.bare(SOURCE)


def test_a_hash_sign_in_a_string_stays():
    assert "'# no comment'" in studies.bare("a = '# no comment'  # a comment\n")


STUDY = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tools!r})
import studies
studies.ROOT = Path({root!r})
studies.pin()
sys.path.insert(0, {root!r})
from pkg import module
module.Rule().step(1.0)
studies.save(Path({path!r}), range(3), time.perf_counter(), errors=[0.1, 0.2])
"""
MODULE = '''"""What it is for."""
RATE = 0.1  # the rate

class Rule:
    def step(self, theta):
        """Take one step."""
        return theta - RATE * helper(theta)

    def other(self):
        return 1

def helper(theta):
    return theta

def unused():
    return 2
'''


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study that has been run, and the module that it ran."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    module, path = tmp_path / "pkg" / "module.py", tmp_path / "study.json"
    module.write_text(MODULE)
    values = {"tools": str(ROOT / "tools"), "root": str(tmp_path), "path": str(path)}
    program = STUDY.format(**values)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(studies, "ROOT", tmp_path)
    return path, module


def rewritten(module, *change):
    studies._parsed.cache_clear()
    module.write_text(MODULE.replace(*change))


def test_a_study_notes_the_functions_that_it_ran(study):
    path, _ = study
    record = json.loads(path.read_text())
    assert record["seeds"] == [0, 1, 2]
    assert record["data"] == {"errors": [0.1, 0.2]}
    assert set(record["code"]["pkg/module.py"]) == {"Rule.step", "helper", "constants"}
    assert studies.stale(path) is None


@pytest.mark.parametrize(
    "change",
    [("# the rate", "# η"), ("Take one step.", "Other."), ("return 1", "return 3"),
     ("return 2", "return 4"), ("def unused", "def forgotten")],
)  # fmt: skip
def test_what_a_study_did_not_run_may_change(study, change):
    path, module = study
    rewritten(module, *change)
    assert studies.stale(path) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("return theta\n", "return 2 * theta\n"), "pkg/module.py: helper"),
        (("theta - RATE", "theta + RATE"), "pkg/module.py: Rule.step"),
        (("0.1", "0.2"), "pkg/module.py: constants"),
        (("def helper", "def renamed"), "pkg/module.py: helper"),
    ],
)
def test_what_a_study_ran_may_not(study, change, named):
    path, module = study
    rewritten(module, *change)
    assert named in studies.stale(path)
    assert "run make run-long" in studies.stale(path)


def test_numbers_are_taken_over_only_if_a_page_finds_them_again(study):
    path, module = study
    rewritten(module, "return theta\n", "return 1 * theta\n")
    with pytest.raises(SystemExit, match="no page reads"):
        studies.take_over(path)
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell("'study.json'; print(1 + 1)", execution_count=1)]
    for printed, accepted in (("3\n", False), ("2\n", True)):
        output = nbformat.v4.new_output("stream", name="stdout", text=printed)
        notebook.cells[0].outputs = [output]
        nbformat.write(notebook, path.with_name("page.ipynb"))
        if accepted:
            studies.take_over(path)
            assert studies.stale(path) is None
        else:
            with pytest.raises(SystemExit, match="stays as it is"):
                studies.take_over(path)
            assert studies.stale(path) is not None
