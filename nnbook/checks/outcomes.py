"""What a check found, and how it is shown."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnbook._tables import html_table
from nnbook.findings import Finding, Findings

__all__ = ["CheckResult", "Judged", "Report", "shown"]


class Judged:
    """What has findings, and passes if they are notes at most."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether there is neither an error nor a warning."""
        return all(finding.severity == "note" for finding in self.findings)


@dataclass(frozen=True, repr=False)
class CheckResult(Judged):
    """The outcome of one check.

    Attributes
    ----------
    check : str
        The name of the check.
    findings : tuple of Finding
        What is wrong; empty if the check passed.
    measured : mapping of str
        The numbers that it judged by.
    """

    check: str
    findings: tuple[Finding, ...] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name} {shown(value)}" for name, value in self.measured.items())
        head = f"{self.check}: {'passed' if self.passed else 'not passed'}"
        return "\n".join([f"{head} ({numbers})" if numbers else head, *lines_of(self)])

    def _repr_html_(self) -> str:
        rows = [(name, shown(value)) for name, value in self.measured.items()]
        head = f"<p><b>{html.escape(self.check)}</b>: {verdict_of(self)}</p>"
        return head + (html_table(("measured", ""), rows) if rows else "") + html_of(self)


@dataclass(frozen=True, repr=False)
class Report(Judged):
    """The outcomes of several checks, as `preflight` returns them.

    Attributes
    ----------
    results : tuple
        A `CheckResult` or `GradientCheck` for each check that ran, in order.
    """

    results: tuple[Any, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:  # type: ignore[override]
        """Every finding, errors first; what two checks say in the same words, once."""
        every = [finding for result in self.results for finding in result.findings]
        different = {f.message: f for f in reversed(every)}.values()
        return tuple(Findings(reversed(list(different))))

    def __getitem__(self, check: str) -> Any:
        """Return the result of a check by its name."""
        for result in self.results:
            if result.check == check:
                return result
        known = ", ".join(result.check for result in self.results)
        raise KeyError(f"there is no result of {check!r}; the checks that ran are {known}")

    def __repr__(self) -> str:
        marks = [("ok  " if r.passed else "LOOK") + f"  {r.check}" for r in self.results]
        count = len(self.findings)
        head = f"preflight: {'passed' if not count else f'{count} finding' + 's' * (count > 1)}"
        return "\n".join([head, *marks, *lines_of(self)])

    def _repr_html_(self) -> str:
        rows = [(result.check, verdict_of(result)) for result in self.results]
        return html_table(("check", "outcome"), rows) + html_of(self)


def lines_of(result: Judged) -> list[str]:
    """Return the findings as text, if there are any."""
    return [repr(Findings(result.findings))] if result.findings else []


def html_of(result: Judged) -> str:
    """Return the findings in HTML, if there are any."""
    return Findings(result.findings)._repr_html_() if result.findings else ""


def verdict_of(result: Judged) -> str:
    """Return an outcome in a word or two."""
    return "passed" if result.passed else f"{len(result.findings)} to look at"


def shown(value: Any) -> str:
    """Return a value for a table."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
