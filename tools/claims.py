"""Keep the book's claims: ``python tools/claims.py freeze|revise|clarify|table``.

``freeze C020`` writes the hash of a claim's protocol into ``claims.yml``, before its seeds are run.
``revise C020 --reason "…"`` takes new seeds, notes reason, date and old seeds, and freezes what the
protocol says now. ``clarify C020 --reason "…"`` freezes a better wording of what was run; quantity,
direction, δ and seeds must be those that were committed. ``table`` prints, in Markdown, every claim
whose headline is another one than in the first edition. The file is changed in the lines that
matter; comments and layout stay.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from nnbook.claims import protocols

ROOT = Path(__file__).resolve().parent.parent
CLAIMS = ROOT / "chapters" / "claims.yml"

# What a clarification may not touch: what is asked, against which border, and of which seeds.
DECISIVE = ("quantity", "direction", "delta", "seeds")

Entry = dict[str, Any]


def load(text: str) -> dict[str, Entry]:
    """Return the claims of a ``claims.yml`` by id."""
    return {entry["id"]: entry for entry in yaml.safe_load(text) or ()}


def freeze(text: str, names: list[str]) -> str:
    """Return the text of ``claims.yml`` with the hashes of some claims' protocols.

    Parameters
    ----------
    text : str
        As it is.
    names : list of str
        Ids; none for every claim that has a protocol and is not frozen.

    Returns
    -------
    str

    Raises
    ------
    SystemExit
        No such claim, no protocol, a protocol with something missing, or one that was frozen and is
        another now.
    """
    entries = load(text)
    names = names or [n for n, e in entries.items() if "protocol" in e and "frozen" not in e]
    for name in names:
        entry = _entry(entries, name)
        found = protocols.protocol_hash(entry)
        if entry.get("frozen", found) != found:
            raise SystemExit(
                f"{name} is frozen as {entry['frozen']}, and its protocol is another one now. Put "
                f'it back, or: python tools/claims.py revise {name} --reason "…"'
            )
        text = _with_line(text, name, "frozen", found)
    return _checked(text, entries, names, {"frozen"})


def revise(text: str, name: str, reason: str, seeds: str, *, before: str, date: str) -> str:
    """Return the text of ``claims.yml`` with a revision of a claim, frozen anew.

    Parameters
    ----------
    text : str
        As it is, with the protocol as it shall be but for the seeds.
    name : str
        The claim's id.
    reason : str
        Why its protocol is changed after its verdict was seen.
    seeds, before : str
        The new seeds, such as ``"2816 to 2831"``, and those of the verdict.
    date : str
        In ISO form.

    Returns
    -------
    str

    Raises
    ------
    SystemExit
        No such claim, nothing frozen, no reason, or seeds that a run has used.
    """
    entries = load(text)
    entry = _entry(entries, name)
    if "frozen" not in entry:
        raise SystemExit(f"{name} is not frozen: change its protocol, then freeze it")
    if not reason.strip():
        raise SystemExit("a revision needs a reason: --reason '…'")
    revisions = list(entry.get("revisions", ()))
    used = [before, *(revision["seeds_before"] for revision in revisions)]
    taken = sorted(set(_numbers(seeds)) & {n for text in used for n in _numbers(text)})
    if _numbers(before) and not _numbers(seeds):
        raise SystemExit(f"the seeds are {seeds!r}; expected a range such as '2816 to 2831'")
    if taken:
        raise SystemExit(f"{seeds} has seeds that a run of {name} has used: {taken[:5]}")
    day = datetime.date.fromisoformat(date)
    revisions.append({"date": day, "reason": reason.strip(), "seeds_before": before})
    if _numbers(seeds):
        text = _replaced(text, name, r"^    seeds:.*$", f"    seeds: {seeds}")
    text = _with_block(text, name, "revisions", revisions)
    text = _with_line(text, name, "frozen", protocols.protocol_hash(load(text)[name]))
    return _checked(text, entries, [name], {"frozen", "protocol", "revisions"})


def clarify(
    text: str, names: list[str], reason: str, *, before: dict[str, Entry], date: str
) -> str:
    """Return the text of ``claims.yml`` with protocols in other words, frozen anew.

    Parameters
    ----------
    text : str
        As it is, with the protocols as they shall read: they say more exactly what was run.
    names : list of str
        The claims' ids.
    reason : str
        What could not be repeated from the old words.
    before : dict
        The claims with the old words by id, as they were committed.
    date : str
        In ISO form.

    Returns
    -------
    str
        With reason, date and the hash of the old words under ``clarified``.

    Raises
    ------
    SystemExit
        No such claim, nothing frozen or nothing changed, no reason, or a change of the quantity,
        the direction, δ or the seeds, which is a revision.
    """
    if not reason.strip():
        raise SystemExit("a clarification needs a reason: --reason '…'")
    entries, day = load(text), datetime.date.fromisoformat(date)
    for name in names:
        entry = _entry(entries, name)
        old, new = before.get(name, {}), entry["protocol"]
        if "frozen" not in entry or old.get("frozen") != entry["frozen"]:
            raise SystemExit(f"{name} is not frozen as it was committed: freeze or revise, commit")
        if changed := [key for key in DECISIVE if old["protocol"].get(key) != new[key]]:
            raise SystemExit(
                f"{name} changes its {', '.join(changed)}, which decide: that is a revision. Put "
                f'them back, or: python tools/claims.py revise {name} --reason "…"'
            )
        found = protocols.protocol_hash(entry)
        if found == entry["frozen"]:
            raise SystemExit(f"the protocol of {name} says what it said; change its words first")
        note = {"date": day, "reason": reason.strip(), "frozen_before": entry["frozen"]}
        text = _with_block(text, name, "clarified", [*entry.get("clarified", ()), note])
        text = _with_line(text, name, "frozen", found)
    return _checked(text, entries, names, {"frozen", "clarified"})


def table(entries: dict[str, Entry]) -> str:
    """Return, in Markdown, the claims whose headline is another one than in the first edition.

    Parameters
    ----------
    entries : dict
        The claims by id.

    Returns
    -------
    str
        With the headline of today as a badge.
    """
    lines = ["| Claim | What it says | First edition | Now |", "|---|---|---|---|"]
    for name, entry in entries.items():
        if entry.get("was", entry["expected"]) != entry["expected"]:
            words = " ".join(entry["statement"].split()).replace("|", "\\|")
            lines.append(f"| {name} | {words} | {entry['was']} | {{verdict}}`{name}` |")
    return "\n".join(lines)


def fresh(seeds: str, used: list[str]) -> str:
    """Return as many seeds that follow all that were used, none of them for exploration."""
    old = _numbers(seeds)
    if not old:
        return seeds
    first = max([protocols.FIRST, *(n + 1 for text in [seeds, *used] for n in _numbers(text))])
    return f"{first} to {first + len(old) - 1}"


def _numbers(seeds: Any) -> range:
    return protocols.stated_seeds(seeds) or range(0)


def _entry(entries: dict[str, Entry], name: str) -> Entry:
    if name not in entries:
        raise SystemExit(f"there is no claim {name} in claims.yml")
    missing = [f for f in protocols.FIELDS if f not in entries[name].get("protocol", {})]
    if missing:
        raise SystemExit(f"the protocol of {name} lacks {', '.join(missing)}")
    return entries[name]


def _span(text: str, name: str) -> tuple[int, int]:
    """Return where a claim's lines begin and end, without the blank ones and comments after it."""
    begin = re.search(rf"^- id: {name}$", text, re.MULTILINE)
    if begin is None:
        raise SystemExit(f"expected a line '- id: {name}' in claims.yml")
    following = re.compile(r"^(?:- |#)", re.MULTILINE).search(text, begin.end())
    end = following.start() if following else len(text)
    return begin.start(), begin.start() + len(text[begin.start() : end].rstrip()) + 1


def _replaced(text: str, name: str, pattern: str, line: str) -> str:
    begin, end = _span(text, name)
    block, n = re.subn(pattern, lambda _: line, text[begin:end], count=1, flags=re.MULTILINE)
    if not n:
        raise SystemExit(f"expected one line {pattern} in the entry of {name}")
    return text[:begin] + block + text[end:]


def _with_line(text: str, name: str, key: str, value: str) -> str:
    return _with_text(text, name, key, f"  {key}: {yaml.safe_dump(value).splitlines()[0]}\n")


def _with_block(text: str, name: str, key: str, value: Any) -> str:
    dumped = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=94)
    return _with_text(text, name, key, "".join(f"  {x}\n" for x in dumped.splitlines()))


def _with_text(text: str, name: str, key: str, new: str) -> str:
    """Put a key's lines into a claim: in the place of the old ones, or at the end."""
    begin, end = _span(text, name)
    block = text[begin:end] if text[begin:end].endswith("\n") else text[begin:end] + "\n"
    old = re.search(rf"^  {key}:.*\n(?:   .*\n|  - .*\n)*", block, re.MULTILINE)
    block = block[: old.start()] + new + block[old.end() :] if old else block + new
    return text[:begin] + block + text[end:]


def _checked(text: str, before: dict[str, Entry], names: list[str], keys: set[str]) -> str:
    """Return a text that was edited, if it says what it said but for some keys of some claims."""
    after = load(text)
    for name, entry in before.items():
        free = keys if name in names else set()
        kept = {k: v for k, v in entry.items() if k not in free}
        if kept != {k: v for k, v in after.get(name, {}).items() if k not in free}:
            raise SystemExit(f"could not edit the entry of {name}; put its lines in the usual form")
    return text


def _committed() -> dict[str, Entry]:
    """Return the claims as they were committed, or none where that cannot be known."""
    command = ["git", "show", "HEAD:chapters/claims.yml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return load(done.stdout) if done.returncode == 0 else {}


def _new_seeds(entry: Entry, given: str | None) -> tuple[str, str]:
    """Return a revision's new seeds, which may stand in the protocol already, and the old ones."""
    now = str(entry["protocol"]["seeds"])
    before = str(_committed().get(entry["id"], {}).get("protocol", {}).get("seeds", now))
    if before != now:
        return now, before
    used = [revision["seeds_before"] for revision in entry.get("revisions", ())]
    proposed = fresh(now, used)
    if given is None and proposed != now:
        if not sys.stdin.isatty():
            raise SystemExit(f"a revision needs new seeds: --seeds '{proposed}'")
        given = input(f"The seeds were {now}. New seeds [{proposed}]: ").strip()
    return given or proposed, now


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = Path(os.environ.get("NNBOOK_CLAIMS") or CLAIMS)  # as where a page reads its claims
    parser.add_argument("--file", type=Path, default=usual, help="another claims.yml")
    commands = parser.add_subparsers(dest="command", required=True)
    freezing = commands.add_parser("freeze", help="write the hash of a protocol")
    freezing.add_argument("ids", nargs="*", help="default: all that are not frozen")
    revising = commands.add_parser("revise", help="change the protocol of a decided claim")
    revising.add_argument("id")
    revising.add_argument("--reason", required=True, help="why, for the readers")
    revising.add_argument("--seeds", help="that no run has used, such as '2816 to 2831'")
    clarifying = commands.add_parser("clarify", help="say better what was run")
    clarifying.add_argument("ids", nargs="+")
    clarifying.add_argument("--reason", required=True, help="what could not be repeated")
    commands.add_parser("table", help="claims whose headline has changed, in Markdown")
    options = parser.parse_args(arguments)
    text = options.file.read_text(encoding="utf-8")
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    if options.command == "table":
        print(table(load(text)))
        return 0
    if options.command == "freeze":
        text = freeze(text, options.ids)
    elif options.command == "clarify":
        text = clarify(text, options.ids, options.reason, before=_committed(), date=today)
    else:
        entry = _entry(load(text), options.id)
        seeds, before = _new_seeds(entry, options.seeds)
        text = revise(text, options.id, options.reason, seeds, before=before, date=today)
    options.file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
