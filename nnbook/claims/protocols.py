"""Protocols: what a claim's primary decision is, fixed and hashed before its seeds are run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from nnbook._arguments import check_whole
from nnbook._optional import require

__all__ = ["load_claims", "problems", "protocol_hash", "seeds", "stated_seeds"]

FIELDS = ("quantity", "arms", "direction", "delta", "settings", "seeds", "tuning", "refuted_by")
RESEED = "NNBOOK_RESEED"
#: Seeds below this are for exploration.
FIRST = 100
_APART = 1_000_000  # between the book's own seeds and each further set
_RANGE = re.compile(r"(\d+) to (\d+)")

Entry = dict[str, Any]


@lru_cache(maxsize=4)
def _read(file: Path, changed: float) -> dict[str, Entry]:
    yaml = require("yaml", extra="notebook")
    entries: Iterable[Entry] = yaml.safe_load(file.read_text(encoding="utf-8")) or ()
    return {entry["id"]: entry for entry in entries}


def load_claims(path: str | None = None) -> dict[str, Entry]:
    """Read the claims of the book, or of a project that keeps its own.

    Parameters
    ----------
    path : str, optional
        A ``claims.yml``; by default the file that the environment variable ``NNBOOK_CLAIMS``
        names, or the one in the working folder or above it, if there is one.

    Returns
    -------
    dict
        By id: ``statement``, ``source``, ``chapter``, ``protocol``, ``expected`` and so on. Empty
        where there is no such file.
    """
    file = Path(path) if path else _find_claims(Path.cwd())
    return {} if file is None else _read(file, file.stat().st_mtime)


def _find_claims(folder: Path) -> Path | None:
    places = [os.environ.get("NNBOOK_CLAIMS", "")]
    for parent in (folder, *folder.parents):
        places += [str(parent / "claims.yml"), str(parent / "chapters" / "claims.yml")]
    return next((Path(place) for place in places if place and Path(place).is_file()), None)


def protocol(claim: str) -> Any:
    """Return what was fixed for a claim before its seeds were run, as a table to show.

    Parameters
    ----------
    claim : str
        The id of a claim in ``claims.yml``, such as "C020".

    Returns
    -------
    IPython.display.Markdown
        Its statement, its source, and each field of its protocol.

    Raises
    ------
    KeyError
        There is no such claim.
    """
    display = require("IPython.display", extra="notebook")
    entry = load_claims()[claim]
    rows = [f"| {key.replace('_', ' ')} | {value} |" for key, value in entry["protocol"].items()]
    head = f"**{claim}.** {entry['statement']} *({entry['source']})*"
    return display.Markdown("\n".join([head, "", "| protocol | |", "|---|---|", *rows]))


def seeds(claim: str | Iterable[int], n: int | None = None) -> list[int]:
    """Return the seeds that decide a claim: its own, never those that were explored.

    Seeds 0 to 99 are for exploration. A claim with a protocol has the seeds that stand in it; any
    other name gets n seeds of its own, which depend on the name alone. When the environment
    variable ``NNBOOK_RESEED`` is a number k > 0, all of them are moved by k million: the whole
    book, or a page, runs again with other luck.

    Parameters
    ----------
    claim : str or iterable of int
        A claim's id, a name, or seeds that several claims share.
    n : int, optional
        How many; needed for a name without a protocol.

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
        A name without a protocol and no number, or a number that contradicts the protocol.

    Examples
    --------
    >>> from nnbook import claims
    >>> mine = claims.seeds("momentum against plain descent", 8)
    >>> len(mine), min(mine) >= 100, mine == claims.seeds("momentum against plain descent", 8)
    (8, True, True)
    """
    shift = _APART * int(os.environ.get(RESEED, "0"))
    if not isinstance(claim, str):
        return [shift + int(seed) for seed in claim]
    stated = stated_seeds(load_claims().get(claim, {}).get("protocol", {}).get("seeds"))
    if stated and n is not None and n != len(stated):
        raise ValueError(f"n is {n}, but the protocol of {claim} has {len(stated)} seeds")
    if not stated:
        if n is None:
            raise ValueError(f"{claim!r} has no protocol with seeds; say how many: seeds(…, n)")
        n = check_whole(n, "n")
        start = FIRST + 1000 * (zlib.crc32(claim.encode()) % 900)
        stated = range(start, start + n)
    return [shift + seed for seed in stated]


def stated_seeds(text: Any) -> range | None:
    """Return the seeds that a protocol states, as in "2800 to 2815".

    Parameters
    ----------
    text : str or None
        What stands in it.

    Returns
    -------
    range or None
        None where it states none.
    """
    found = _RANGE.match(str(text or ""))
    return range(int(found[1]), int(found[2]) + 1) if found else None


def protocol_hash(entry: Entry) -> str:
    """Return what a claim's protocol is frozen by.

    Parameters
    ----------
    entry : dict
        A claim with its ``protocol``.

    Returns
    -------
    str
        Twelve hexadecimal digits of the SHA-256 of the protocol and the id. Spaces do not matter.
    """
    protocol = {k: " ".join(str(v).split()) for k, v in sorted(entry["protocol"].items())}
    text = json.dumps([entry["id"], protocol], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def problems(entry: Entry, record: dict[str, Any] | None = None) -> list[str]:
    """Return what is wrong with a claim's protocol, or between it and the verdict recorded.

    Parameters
    ----------
    entry : dict
        A claim of ``claims.yml``.
    record : dict, optional
        What its notebook left: `Verdict.record`.

    Returns
    -------
    list of str
    """
    name, protocol = entry["id"], entry.get("protocol")
    if not protocol:
        return [
            f"{name} has no protocol: write it down, then `python tools/claims.py freeze {name}`"
        ]
    wrong = [f"{name}: its protocol lacks {key}" for key in FIELDS if key not in protocol]
    if entry.get("frozen") != protocol_hash(entry):
        wrong.append(
            f"{name}: its protocol is not the one that was frozen ({entry.get('frozen')}). A "
            "decided claim changes by a revision, with a reason, a date and new seeds: see "
            f"'Revising a claim' in CONTRIBUTING, and `python tools/claims.py revise {name}`"
        )
    for revision in entry.get("revisions", ()):
        old, new = stated_seeds(revision.get("seeds_before")), stated_seeds(protocol.get("seeds"))
        if old and new and set(old) & set(new):
            wrong.append(f"{name}: the revision of {revision.get('date')} kept old seeds")
    if record and not wrong:
        wrong = _disagreements(name, protocol, record["decisions"][0])
    return wrong


def _disagreements(name: str, protocol: Entry, primary: dict[str, Any]) -> list[str]:
    derived = primary["kind"] in ("identity", "count")
    pairs = {
        "quantity": (primary["quantity"], " ".join(protocol["quantity"].split())),
        "direction": ("derived" if derived else primary["direction"], protocol["direction"]),
        "δ": (primary["threshold"], protocol["delta"]),
    }
    stated = stated_seeds(protocol["seeds"])
    if stated and primary["kind"] == "interval":
        pairs["number of seeds"] = (primary["n"], len(stated))
    return [
        f"{name}: the page decides by the {what} {page!r}, its protocol by {yml!r}; a decided "
        "claim changes by a revision (CONTRIBUTING, 'Revising a claim')"
        for what, (page, yml) in pairs.items()
        if page != yml
    ]
