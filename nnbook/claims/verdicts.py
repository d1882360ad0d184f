"""Record: turn decisions into a claim's verdict that a page shows and the tests re-check."""

from __future__ import annotations

import html
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from nnbook._optional import require
from nnbook.claims.decisions import _INF, CONFIRMED, INCONCLUSIVE, REFUTED, Decision

__all__ = ["Verdict", "load_claims", "verdict"]

MIME_TYPE = "application/vnd.nnbook.verdict+json"
PARTLY, OBSOLETE = "partly", "obsolete"


@dataclass(frozen=True)
class Verdict:
    """A claim's verdict, as the page shows it and the tests re-check it."""

    claim: str
    verdict: str
    statement: str
    source: str
    decisions: tuple[Decision, ...] = field(default=())

    def record(self) -> dict[str, Any]:
        """Return the machine-readable record that is left in the notebook's output."""
        # JSON knows no NaN and no infinity: an error that is not finite becomes null.
        decisions = [
            {k: None if v in (_INF, -_INF) or v != v else v for k, v in asdict(decision).items()}
            for decision in self.decisions
        ]
        return {
            "claim": self.claim,
            "verdict": self.verdict,
            "statement": self.statement,
            "source": self.source,
            **{key: decisions[0][key] for key in ("effect", "low", "high", "n", "unit")},
            "decisions": decisions,
        }

    def __str__(self) -> str:
        lines = [f"{self.claim} {self.verdict}: {self.statement}"]
        lines += [f"  {d.outcome}: {d.statement}: {d.evidence}" for d in self.decisions]
        return "\n".join(lines)

    def _html(self) -> str:
        rows = "".join(
            f"<li><b>{d.outcome}</b> · {html.escape(d.statement)}: {html.escape(d.evidence)}</li>"
            for d in self.decisions
        )
        return (
            f'<div class="nnbook-verdict nnbook-{self.verdict}" id="verdict-{self.claim}">'
            f"<p><strong>{self.claim} · {self.verdict}</strong> {html.escape(self.statement)}</p>"
            f"<ul>{rows}</ul></div>"
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/plain": str(self), "text/html": self._html(), MIME_TYPE: self.record()}


def verdict(claim: str, *decisions: Decision, obsolete: bool = False) -> Verdict:
    """Print a claim's verdict and leave its record in the notebook.

    Parameters
    ----------
    claim : str
        Its id in ``claims.yml``, such as ``"C020"``.
    *decisions : Decision
        One or more. If they agree, that is the verdict; if some are confirmed and others refuted
        or inconclusive it is ``"partly"``.
    obsolete : bool
        The first decision is that the claim held then, the second that it does not hold now.

    Returns
    -------
    Verdict
        Shown by a notebook as one line and its evidence.

    Raises
    ------
    KeyError
        The claim is unknown.
    ValueError
        No decision; or ``obsolete`` without one confirmed and one refuted.
    """
    if not decisions:
        raise ValueError(f"{claim} has no decision; give at least one")
    outcomes = [decision.outcome for decision in decisions]
    if obsolete:
        if outcomes[:2] != [CONFIRMED, REFUTED]:
            raise ValueError(
                f"{claim} is called obsolete, but its decisions are {outcomes}; expected the first "
                "confirmed (it held then) and the second refuted (it does not hold now)"
            )
        outcome = OBSOLETE
    elif len(set(outcomes)) == 1:
        outcome = outcomes[0]
    else:
        outcome = PARTLY if CONFIRMED in outcomes else INCONCLUSIVE
    known = load_claims()
    if known and claim not in known:
        raise KeyError(f"there is no claim {claim!r} in claims.yml; add it there first")
    about = known.get(claim, {})
    return Verdict(
        claim, outcome, about.get("statement", ""), about.get("source", ""), tuple(decisions)
    )


@lru_cache(maxsize=1)
def load_claims(path: str | None = None) -> dict[str, dict[str, Any]]:
    """Read the claims of the book.

    Parameters
    ----------
    path : str, optional
        A ``claims.yml``; by default the one in the working folder or above it, if there is one.

    Returns
    -------
    dict
        By id: ``statement``, ``source``, ``chapter`` and ``expected``. Empty outside the book.
    """
    file = Path(path) if path else _find_claims(Path.cwd())
    if file is None:
        return {}
    yaml = require("yaml", extra="notebook")

    entries: Iterable[dict[str, Any]] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {entry["id"]: entry for entry in entries}


def _find_claims(folder: Path) -> Path | None:
    places = [os.environ.get("NNBOOK_CLAIMS", "")]
    for parent in (folder, *folder.parents):
        places += [str(parent / "claims.yml"), str(parent / "chapters" / "claims.yml")]
    return next((Path(place) for place in places if place and Path(place).is_file()), None)
