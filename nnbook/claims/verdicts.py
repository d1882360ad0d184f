"""Record: the verdict on a claim, which a page shows and the tests re-check."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass, field
from typing import Any

from nnbook.claims.decisions import _INF, CONFIRMED, Decision
from nnbook.claims.protocols import load_claims

__all__ = ["MIME_TYPE", "Verdict", "verdict"]

MIME_TYPE = "application/vnd.nnbook.verdict+json"
THEN_NOT_NOW = "then, not now"
# How a headline is called in style sheets.
CLASSES = {
    "confirmed": "confirmed",
    "too small to matter": "small",
    "reversed": "reversed",
    "open": "open",
    "derived": "derived",
    THEN_NOT_NOW: "then",
}


@dataclass(frozen=True)
class Verdict:
    """A claim's verdict: its headline, what decided it, and what else was measured.

    Attributes
    ----------
    claim : str
        Its id.
    verdict : str
        The headline: the outcome of the primary decision, or ``"then, not now"``.
    statement, source : str
        What is claimed, and by whom.
    decisions : tuple of Decision
        The primary first (two where a claim held then and not now); the others decide nothing.
    revised : bool
        Whether the protocol was changed after a verdict had been seen.
    """

    claim: str
    verdict: str
    statement: str
    source: str
    decisions: tuple[Decision, ...] = field(default=())
    revised: bool = False

    @property
    def primary(self) -> Decision:
        """The decision that alone gives the headline."""
        return self.decisions[0]

    @property
    def decisive(self) -> tuple[Decision, ...]:
        """The decisions that gave the headline: one, or then and now."""
        return self.decisions[: 2 if self.verdict == THEN_NOT_NOW else 1]

    @property
    def label(self) -> str:
        """The headline as a page shows it."""
        headline = self.verdict if self.verdict == THEN_NOT_NOW else self.primary.label
        return f"{headline} (revised)" if self.revised else headline

    def record(self) -> dict[str, Any]:
        """Return the machine-readable record that is left in the notebook's output."""
        # JSON knows no NaN and no infinity: an error that is not finite becomes null.
        decisions = [
            {k: None if v in (_INF, -_INF) or v != v else v for k, v in asdict(decision).items()}
            for decision in self.decisions
        ]
        for secondary in decisions[len(self.decisive) :]:
            del secondary["arms"]  # what decides nothing needs no evidence that can be recomputed
        return {
            "claim": self.claim,
            "verdict": self.verdict,
            "statement": self.statement,
            "source": self.source,
            "revised": self.revised,
            "decisions": decisions,
        }

    def _lines(self) -> tuple[list[str], list[str]]:
        """Return what decided, and what else was measured."""
        first = [f"{d.quantity}: {d.evidence}{_outlook(d)}" for d in self.decisive]
        if len(first) == 2:
            first = [f"{when}: {line}" for when, line in zip(("then", "now"), first, strict=True)]
        return first, [f"{d.statement}: {d.evidence}" for d in self.decisions[len(first) :]]

    def __str__(self) -> str:
        first, rest = self._lines()
        about = f": {self.statement}" if self.statement else ""
        lines = [f"{self.claim} {self.label}{about}"]
        lines += [f"  decided by {line}" for line in first]
        covers = self.primary.covers
        lines += [f"  the interval covers {covers}"] if covers else []
        return "\n".join(lines + [f"  also measured: {line}" for line in rest])

    def _html(self) -> str:
        first, rest = (list(map(html.escape, part)) for part in self._lines())
        covers = html.escape(self.primary.covers)
        parts = [
            f'<div class="nnbook-verdict nnbook-{CLASSES[self.verdict]}" id="verdict-{self.claim}">'
            f"<p><strong>{self.claim} · {self.label}</strong> {html.escape(self.statement)}</p>",
            *(f'<p class="nnbook-decided">Decided by {line}.</p>' for line in first),
        ]
        if covers:
            parts.append(f'<p class="nnbook-covers">The interval covers {covers}.</p>')
        if rest:
            parts.append("<details><summary>Also measured; decides nothing</summary><ul>")
            parts += [f"<li>{line}</li>" for line in rest]
            parts.append("</ul></details>")
        return "".join([*parts, "</div>"])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"text/plain": str(self), "text/html": self._html(), MIME_TYPE: self.record()}


def _outlook(decision: Decision) -> str:
    """Return what would settle an open question."""
    if decision.outcome != "open" or decision.kind != "interval":
        return ""
    return (
        f"; about {_rounded(decision.seeds_needed)} seeds would settle it, and {decision.n} would "
        f"have confirmed {decision.detectable:.3g}"
    )


def _rounded(n: int) -> str:
    """Return a number of seeds to one digit, which is all that such an estimate has."""
    if n >= 10_000:
        return "10,000 or more"
    size = 10 ** (len(str(n)) - 1)
    return str(-(-n // size) * size)


def verdict(claim: str, *decisions: Decision, then_not_now: bool = False) -> Verdict:
    """Print a claim's verdict and leave its record in the notebook.

    Parameters
    ----------
    claim : str
        Its id in ``claims.yml``, such as ``"C020"``.
    *decisions : Decision
        The primary decision, which alone gives the headline, then what else was measured.
    then_not_now : bool
        Both of the first two decide: that the claim held under the conditions of its time, and
        whether it holds today. The headline is ``"then, not now"`` if the first is confirmed and
        the second refuted; otherwise it is that of the second.

    Returns
    -------
    Verdict
        Shown by a notebook as one line and its evidence.

    Raises
    ------
    KeyError
        The claim is unknown, where there is a ``claims.yml``.
    ValueError
        No decision (or fewer than two, for then and now), or a primary decision that counts a
        sample as if it were all cases.
    """
    needed = 2 if then_not_now else 1
    if len(decisions) < needed:
        raise ValueError(f"{claim} has {len(decisions)} decisions; give at least {needed}")
    for decision in decisions[:needed]:
        if decision.kind == "count" and decision.outcome == CONFIRMED:
            raise ValueError(
                f"the primary decision of {claim} counts {decision.number} cases. If they are a "
                "sample, use claims.share, which has an interval; if they are all there are, say "
                "exhaustive=True"
            )
    outcome = decisions[0].outcome
    if then_not_now:
        then, now = decisions[0], decisions[1]
        held = then.outcome == CONFIRMED and now.label.startswith("refuted")
        outcome = THEN_NOT_NOW if held else now.outcome
        decisions = decisions if held else (now, then, *decisions[2:])
    known = load_claims()
    if known and claim not in known:
        raise KeyError(f"there is no claim {claim!r} in claims.yml; add it there first")
    about = known.get(claim, {})
    return Verdict(
        claim,
        outcome,
        about.get("statement", ""),
        about.get("source", ""),
        tuple(decisions),
        bool(about.get("revisions")),
    )
