"""`make lab`: a copy to play with, in which nothing that a reader changed is overwritten."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools import lab


@pytest.fixture
def chapters(tmp_path: Path) -> Path:
    folder = tmp_path / "chapters"
    for name in ("claims.yml", "waves/index.ipynb", "waves/long_study.py", "api/optim.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"first {name}")
    (folder / "waves" / "__pycache__").mkdir()
    (folder / "waves" / "__pycache__" / "x.pyc").write_text("x")
    return folder


def test_the_copy_has_what_the_pages_need_and_is_ignored_by_git(chapters: Path) -> None:
    copy = chapters.parent / "_lab"
    assert lab.copy(chapters, copy) == []
    names = {p.relative_to(copy).as_posix() for p in copy.rglob("*") if p.is_file()}
    needed = {"claims.yml", "waves/index.ipynb", "waves/long_study.py"}
    assert names == needed | {".gitignore", lab.RECORD}
    assert (copy / ".gitignore").read_text() == "*\n"


def test_a_changed_page_stays_and_the_new_one_comes_beside_it(chapters: Path) -> None:
    copy = chapters.parent / "_lab"
    lab.copy(chapters, copy)
    mine, theirs = copy / "waves" / "index.ipynb", chapters / "waves" / "index.ipynb"
    mine.write_text("mine")
    assert lab.copy(chapters, copy) == []  # no new edition, nothing to say
    assert mine.read_text() == "mine"

    theirs.write_text("second")
    (new,) = lab.copy(chapters, copy)
    assert new == copy / "waves" / "index-new.ipynb"
    assert (mine.read_text(), new.read_text()) == ("mine", "second")
    assert lab.copy(chapters, copy) == []  # once is enough

    new.write_text("mine too")
    theirs.write_text("third")
    (newer,) = lab.copy(chapters, copy)
    assert newer == copy / "waves" / "index-new-2.ipynb"
    assert [p.read_text() for p in (mine, new, newer)] == ["mine", "mine too", "third"]


def test_a_page_that_nobody_changed_follows_the_edition(chapters: Path) -> None:
    copy = chapters.parent / "_lab"
    lab.copy(chapters, copy)
    (chapters / "waves" / "index.ipynb").write_text("second")
    assert lab.copy(chapters, copy) == []
    assert (copy / "waves" / "index.ipynb").read_text() == "second"
    (copy / "waves" / "index.ipynb").unlink()
    lab.copy(chapters, copy)  # one that is gone comes back
    assert (copy / "waves" / "index.ipynb").read_text() == "second"


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_options_are_handed_on_and_root_is_allowed(
    user: int, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        started.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(lab, "copy", lambda: [])
    monkeypatch.setattr(lab.os, "geteuid", lambda: user, raising=False)
    monkeypatch.setattr(lab.subprocess, "run", run)
    assert lab.main(["--port=9999", "--no-browser"]) == 3
    (command,) = started
    assert command[-2:] == ["--port=9999", "--no-browser"]
    assert ("--allow-root" in command) is allowed
    assert f"--ServerApp.root_dir={lab.LAB}" in command
