"""What a check or a monitor has to say, in one form: who, how bad, what, and what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nnbook._tables import html_table

__all__ = ["SEVERITIES", "Finding", "Findings"]

#: How bad a finding can be, the worst first.
SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that a check or a monitor noticed.

    Parameters
    ----------
    source : str
        The check or monitor, by its public name: ``"check_gradients"``, ``"UpdateRatio"``.
    severity : str
        ``"error"``: something is broken; ``"warning"``: something looks wrong, and may be meant;
        ``"note"``: good to know.
    message : str
        What was seen, with its numbers.
    advice : str
        What to do about it.

    Raises
    ------
    ValueError
        Another severity.

    Examples
    --------
    >>> from nnbook.findings import Finding
    >>> print(Finding("DeadUnits", "error", "all 32 units of layer 1 are dead", "lower the rate"))
    error: DeadUnits: all 32 units of layer 1 are dead
        → lower the rate
    """

    source: str
    severity: str
    message: str
    advice: str = ""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity is {self.severity!r}; expected one of {SEVERITIES}")

    def __str__(self) -> str:
        line = f"{self.severity}: {self.source}: {self.message}"
        return f"{line}\n    → {self.advice}" if self.advice else line


@dataclass(frozen=True, repr=False)
class Findings(Sequence[Finding]):
    """Several findings, the worst first: a sequence that shows itself as text or as a table.

    Parameters
    ----------
    items : iterable of Finding
        In any order; those of one severity keep theirs.

    Examples
    --------
    >>> from nnbook.findings import Finding, Findings
    >>> found = Findings([Finding("Gap", "note", "a small gap"),
    ...                   Finding("UpdateRatio", "error", "0.weight never moved")])
    >>> found[0].source, len(found.errors), bool(Findings(()))
    ('UpdateRatio', 1, False)
    """

    items: tuple[Finding, ...]

    def __init__(self, items: Iterable[Finding] = ()):
        ordered = sorted(items, key=lambda finding: SEVERITIES.index(finding.severity))
        object.__setattr__(self, "items", tuple(ordered))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        return self.items[index]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.items)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Those of severity ``"error"``."""
        return tuple(finding for finding in self.items if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Those of severity ``"warning"``."""
        return tuple(finding for finding in self.items if finding.severity == "warning")

    def __repr__(self) -> str:
        if not self.items:
            return "nothing found"
        lines = []
        for finding in self.items:
            text = f"{finding.severity}: {finding.source}: {finding.message}"
            lines += textwrap.wrap(text, 98, subsequent_indent="    ")
            if finding.advice:
                lines += textwrap.wrap(
                    finding.advice, 98, initial_indent="    → ", subsequent_indent="      "
                )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not self.items:
            return "<p>nothing found</p>"
        return html_table(("", "found by", "what", "what to do"), map(_cells, self.items))


def _cells(finding: Finding) -> tuple[str, str, str, str]:
    return finding.severity, finding.source, finding.message, finding.advice
