"""tools/claims.py: freezing and revising protocols in a file that keeps its comments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from nnbook.claims import protocols

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "tools" / "claims.py"
sys.path.insert(0, str(TOOL.parent))

import claims as tool  # noqa: E402

PROTOCOL = """\
  protocol:
    quantity: >-
      epochs to a loss of 0.1,
      centred / raw
    arms: raw; centred
    direction: smaller
    delta: 1.2
    settings: small
    seeds: {seeds}
    tuning: none
    refuted_by: as many epochs
"""
TEXT = (
    "# What the book claims.\n\n- id: C001\n  chapter: waves\n  statement: >-\n    One thing\n"
    "    | only.\n  was: partly\n  expected: confirmed\n"
    + PROTOCOL.format(seeds="0 to 7 (first edition)")
    + "  do: Centre. # always\n\n# The second.\n- id: C002\n  statement: Another.\n"
    "  expected: derived\n  was: derived\n" + PROTOCOL.format(seeds="none")
)


def entries(text):
    return {entry["id"]: entry for entry in yaml.safe_load(text)}


def test_freezing_writes_one_line():
    text = tool.freeze(TEXT, ["C001"])
    (line,) = set(text.splitlines()) - set(TEXT.splitlines())
    assert line.strip().startswith("frozen: ")
    assert text.replace(line + "\n", "") == TEXT
    found = entries(text)["C001"]
    assert found["frozen"] == protocols.protocol_hash(found)
    assert protocols.problems(found) == []
    assert tool.freeze(text, ["C001"]) == text  # once more changes nothing


def test_freezing_without_names_takes_all_that_are_not():
    found = entries(tool.freeze(TEXT, []))
    assert all(protocols.problems(entry) == [] for entry in found.values())


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("C009", "x", "x", "there is no claim C009"),
        ("C001", "    tuning: none\n", "", "the protocol of C001 lacks tuning"),
        ("C001", "delta: 1.2", "delta: 1.1", "frozen as .* tools/claims.py revise C001"),
    ],
)
def test_freezing_refuses(name, old, new, message):
    text = tool.freeze(TEXT, ["C001"]).replace(old, new, 1)
    with pytest.raises(SystemExit, match=message):
        tool.freeze(text, [name])


def revised(text, seeds, before="0 to 7 (first edition)", name="C001", reason="an arm: unfair"):
    return tool.revise(text, name, reason, seeds, before=before, date="2026-11-30")


def test_a_revision_takes_new_seeds_and_keeps_the_old_ones():
    changed = tool.freeze(TEXT, ["C001"]).replace("delta: 1.2", "delta: 1.1", 1)
    text = revised(changed, "100 to 107")
    found = entries(text)["C001"]
    assert found["protocol"]["seeds"] == "100 to 107"
    (revision,) = found["revisions"]
    assert revision["seeds_before"] == "0 to 7 (first edition)"
    assert (str(revision["date"]), revision["reason"]) == ("2026-11-30", "an arm: unfair")
    assert protocols.problems(found) == []
    again = revised(text, "108 to 115", before="100 to 107", reason="é" * 200)
    assert [r["seeds_before"] for r in entries(again)["C001"]["revisions"]] == [
        "0 to 7 (first edition)",
        "100 to 107",
    ]
    assert protocols.problems(entries(again)["C001"]) == []
    assert again.count("revisions:") == again.count("frozen:") == 1
    assert "# always" in again
    assert again[again.index("\n# The second.") :] == TEXT[TEXT.index("\n# The second.") :]


@pytest.mark.parametrize(
    ("seeds", "reason", "message"),
    [
        ("4 to 11", "r", r"has used: \[4, 5, 6, 7\]"),
        ("many", "r", "expected a range"),
        ("100 to 107", " ", "needs a reason"),
    ],
)
def test_a_revision_refuses(seeds, reason, message):
    with pytest.raises(SystemExit, match=message):
        revised(tool.freeze(TEXT, ["C001"]), seeds, reason=reason)


def test_seeds_of_an_earlier_revision_are_used_up_and_what_is_not_frozen_is_not_revised():
    text = revised(tool.freeze(TEXT, ["C001"]), "100 to 107")
    with pytest.raises(SystemExit, match="has used"):
        revised(text, "0 to 7", before="100 to 107")
    with pytest.raises(SystemExit, match="C002 is not frozen"):
        revised(text, "none", before="none", name="C002")


def test_mathematics_is_revised_without_seeds():
    text = revised(tool.freeze(TEXT, []), "none", before="none", name="C002")
    assert protocols.problems(entries(text)["C002"]) == []


def clarified(text, before, name="C001", reason="the loss was not named"):
    return tool.clarify(text, [name], reason, before=entries(before), date="2026-11-30")


def test_a_clarification_keeps_what_decides_and_notes_the_old_words():
    before = tool.freeze(TEXT, ["C001"])
    worded = before.replace("settings: small", "settings: small; cross-entropy", 1)
    assert protocols.problems(entries(worded)["C001"]) != []
    text = clarified(worded, before)
    found = entries(text)["C001"]
    assert protocols.problems(found) == []
    assert "revisions" not in found  # the verdict does not say "revised"
    (note,) = found["clarified"]
    assert note["frozen_before"] == entries(before)["C001"]["frozen"] != found["frozen"]
    assert (str(note["date"]), note["reason"]) == ("2026-11-30", "the loss was not named")
    again = clarified(text.replace("tuning: none", "tuning: none at all", 1), text)
    assert len(entries(again)["C001"]["clarified"]) == 2
    assert protocols.problems(entries(again)["C001"]) == []
    assert again[again.index("\n# The second.") :] == TEXT[TEXT.index("\n# The second.") :]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("centred / raw", "centred / whitened", "C001 changes its quantity, .* revise C001"),
        ("direction: smaller", "direction: greater", "changes its direction"),
        ("delta: 1.2", "delta: 1.1", "changes its delta"),
        ("seeds: 0 to 7 (first edition)", "seeds: 0 to 6", "changes its seeds"),
        ("settings: small", "settings:  small", "says what it said"),
    ],
)
def test_a_clarification_refuses_what_decides(old, new, message):
    before = tool.freeze(TEXT, ["C001"])
    with pytest.raises(SystemExit, match=message):
        clarified(before.replace(old, new, 1), before)


def test_a_clarification_needs_a_reason_and_an_entry_that_was_committed():
    before = tool.freeze(TEXT, ["C001"])
    worded = before.replace("settings: small", "settings: tiny", 1)
    with pytest.raises(SystemExit, match="needs a reason"):
        clarified(worded, before, reason=" ")
    with pytest.raises(SystemExit, match="not frozen as it was committed"):
        clarified(tool.freeze(worded.replace(entries(before)["C001"]["frozen"], ""), []), before)
    with pytest.raises(SystemExit, match="not frozen as it was committed"):
        clarified(TEXT, TEXT)


def test_fresh_seeds_are_none_that_were_used_or_explored():
    assert tool.fresh("0 to 7 (first edition)", []) == "100 to 107"
    assert tool.fresh("100 to 115", ["0 to 7"]) == "116 to 131"
    assert tool.fresh("100 to 107", ["300 to 307"]) == "308 to 315"
    assert tool.fresh("none", []) == "none"


def test_the_table_has_what_changed_and_nothing_else():
    lines = tool.table(entries(TEXT)).splitlines()
    assert lines[2:] == ["| C001 | One thing \\| only. | partly | {verdict}`C001` |"]


def test_the_command_edits_the_file(tmp_path):
    file = tmp_path / "claims.yml"
    file.write_text(TEXT, encoding="utf-8")

    def run(*arguments):
        command = [sys.executable, str(TOOL), "--file", str(file), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )

    assert run("freeze", "C001").returncode == 0
    assert "frozen" in entries(file.read_text(encoding="utf-8"))["C001"]
    before = file.read_bytes()
    refused = run("revise", "C001", "--reason", "r")
    assert refused.returncode == 1
    assert "a revision needs new seeds: --seeds '" in refused.stderr
    assert file.read_bytes() == before
    assert run("revise", "C001", "--reason", "r", "--seeds", "100 to 107").returncode == 0
    assert entries(file.read_text(encoding="utf-8"))["C001"]["protocol"]["seeds"] == "100 to 107"
    assert "{verdict}`C001`" in run("table").stdout


def test_it_works_on_the_file_that_the_pages_read(tmp_path, monkeypatch):
    """A page under construction has its claims in a file of its own, named by the environment."""
    book = tool.CLAIMS.read_bytes()
    mine = tmp_path / "mine.yml"
    mine.write_text(TEXT, encoding="utf-8")
    monkeypatch.setenv("NNBOOK_CLAIMS", str(mine))
    tool.main(["freeze", "C001"])
    assert "frozen" in entries(mine.read_text(encoding="utf-8"))["C001"]
    assert tool.CLAIMS.read_bytes() == book
