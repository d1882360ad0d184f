"""The data files of long studies were made by the code that is here."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

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
    assert script.relative_to(ROOT).as_posix() in record["code"]["paths"]
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


def test_saved_and_stale(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "ROOT", tmp_path)
    (tmp_path / "pkg").mkdir()
    module = tmp_path / "pkg" / "module.py"
    module.write_text(SOURCE)
    path = tmp_path / "study.json"
    studies.save(path, ["pkg"], range(3), time.perf_counter(), errors=[0.1, 0.2])
    record = json.loads(path.read_text())
    assert record["seeds"] == [0, 1, 2]
    assert record["data"] == {"errors": [0.1, 0.2]}
    assert studies.stale(path) is None
    module.write_text(SOURCE.replace("# why", "# why not"))
    assert studies.stale(path) is None
    module.write_text(SOURCE.replace("0.1", "0.3"))
    assert "run make run-long" in studies.stale(path)


def test_code_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.py is not in the repository"):
        studies.code_hash(["nowhere.py"])
