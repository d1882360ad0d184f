"""What a gradient check returns: slope by slope, parameter by parameter, and in all."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as onp

from nnbook._tables import html_table, text_table
from nnbook.checks.differences import relative_error
from nnbook.checks.outcomes import Judged, html_of, lines_of, shown
from nnbook.findings import Finding

__all__ = ["Coordinate", "GradientCheck", "ParameterCheck", "by_parameter"]

#: An alarm: relative error above the first *and* difference above the second.
RELATIVE, ABSOLUTE = 1e-4, 1e-8
_BANDS = (("happy", 1e-7), ("fine for a loss with kinks", 1e-4), ("uneasy", 1e-2))
# Below, the digits of a relative error and where it is worst differ from machine to machine.
_ROUNDING = 1e-7
_HEADER = ("parameter", "shape", "checked", "kinks", "worst", "at", "analytic", "numeric")


@dataclass(frozen=True)
class Coordinate:
    """One slope that was checked.

    Attributes
    ----------
    parameter : str
        Its place in the network, such as "0.weight".
    index : tuple of int
        Which entry of the parameter.
    analytic, numeric : float
        By automatic differentiation, and by differences.
    rounding : float
        How far rounding alone may put the numeric slope off.
    faint : float
        A slope below this cannot be measured to the precision that its dtype promises.
    kink : bool
        Whether a kink of the loss lies within reach of the difference.
    judged : bool
        False where a kink is so near that there is no slope to compare with.
    """

    parameter: str
    index: tuple[int, ...]
    analytic: float
    numeric: float
    rounding: float
    faint: float
    kink: bool
    judged: bool

    @property
    def relative_error(self) -> float:
        """abs(a − n) / max(abs(a), abs(n)).

        Where rounding explains the difference, slopes too faint to be measured count as `faint`.
        """
        difference = abs(self.analytic - self.numeric)
        if 0 < difference <= self.rounding:
            return difference / max(abs(self.analytic), abs(self.numeric), self.faint)
        return relative_error(self.analytic, self.numeric)

    @property
    def alarm(self) -> bool:
        """Whether the two disagree: relative error above 1e-4 and difference above 1e-8."""
        return self._disagrees and not abs(self.analytic - self.numeric) <= ABSOLUTE

    @property
    def too_small(self) -> bool:
        """Whether they would disagree, but for a difference below 1e-8."""
        return self._disagrees and not self.alarm

    @property
    def _disagrees(self) -> bool:
        explained = abs(self.analytic - self.numeric) <= self.rounding
        return self.judged and not (self.relative_error <= RELATIVE or explained)


@dataclass(frozen=True)
class ParameterCheck:
    """What was found of one parameter.

    Attributes
    ----------
    name : str
        Its place in the network.
    shape : tuple of int
        Its shape.
    checked, kinks, alarms : int
        Entries checked, those with a kink near by, and those where the slopes disagree.
    worst : Coordinate or None
        The entry with the largest relative error, among those that could be judged.
    """

    name: str
    shape: tuple[int, ...]
    checked: int
    kinks: int
    alarms: int
    worst: Coordinate | None

    @property
    def worst_relative_error(self) -> float:
        """The largest relative error; 0 if no entry could be judged."""
        return self.worst.relative_error if self.worst else 0.0


@dataclass(frozen=True, repr=False)
class GradientCheck(Judged):
    """The outcome of `check_gradients`.

    Attributes
    ----------
    coordinates : tuple of Coordinate
        Every slope that was checked.
    parameters : tuple of ParameterCheck
        The same, parameter by parameter.
    findings : tuple of Finding
        What is wrong.
    h, noise : float
        The step, and the rounding error of the loss that it was chosen by.
    dtype : str
        What was computed in: "float64" unless the network or the loss cannot.
    frozen : tuple of str
        Parameters whose gradient is turned off.
    own_precision : float
        Distance of the gradient in the network's own dtype from the one in float64, relative to
        its length; NaN where it was not measured.
    note : str
        Why it was not computed in float64, if it was not.
    check : str
        The name of the check.
    """

    coordinates: tuple[Coordinate, ...]
    parameters: tuple[ParameterCheck, ...]
    findings: tuple[Finding, ...]
    h: float
    noise: float
    dtype: str
    frozen: tuple[str, ...]
    own_precision: float = float("nan")
    note: str = ""
    check: str = "check_gradients"

    @property
    def kinks(self) -> int:
        """How many entries have a kink near by."""
        return sum(c.kink for c in self.coordinates)

    @property
    def worst_relative_error(self) -> float:
        """The largest relative error of all entries that could be judged."""
        errors = [c.relative_error for c in self.coordinates if c.judged]
        return max(errors, default=0.0, key=lambda error: onp.inf if error != error else error)

    @property
    def verdict(self) -> str:
        """The band of the worst error, in the words of the reference.

        "happy" up to 1e-7, "fine for a loss with kinks" up to 1e-4, "uneasy" up to 1e-2, and
        "wrong" above.
        """
        if not any(c.judged for c in self.coordinates):
            return "not measured"
        for name, limit in _BANDS:
            if self.worst_relative_error <= limit:
                return name
        return "wrong"

    def _rows(self) -> list[tuple[str, ...]]:
        rows = []
        for p in self.parameters:
            row = [p.name, "×".join(map(str, p.shape)), str(p.checked), str(p.kinks)]
            row += ["-" if p.worst is None else _error(p.worst_relative_error)]
            if p.worst is None or p.worst_relative_error < _ROUNDING:
                row += ["", "", ""]
            else:
                row += [", ".join(map(str, p.worst.index))]
                row += [f"{p.worst.analytic:.6g}", f"{p.worst.numeric:.6g}"]
            rows.append(tuple(row))
        return rows

    def _head(self) -> str:
        state = "passed" if self.passed else "not passed"
        return (
            f"{self.check}: {state}, {self.verdict} (worst relative error "
            f"{_error(self.worst_relative_error)}; {len(self.coordinates)} entries, {self.kinks} "
            f"near a kink; h {shown(self.h)}, {self.dtype})"
            + (f"\nnot in float64: {self.note}" if self.note else "")
        )

    def __repr__(self) -> str:
        table = text_table(_HEADER, self._rows())
        return "\n".join([self._head(), table, *lines_of(self)])

    def _repr_html_(self) -> str:
        table = html_table(_HEADER, self._rows())
        return f"<p>{html.escape(self._head())}</p>{table}{html_of(self)}"


def _error(relative: float) -> str:
    """Write a relative error, without digits where they are rounding."""
    return "< 1e-7" if relative < _ROUNDING else f"{relative:.1e}"


def by_parameter(
    coordinates: Iterable[Coordinate], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[ParameterCheck, ...]:
    """Sum up what was found of each parameter."""
    every, found = list(coordinates), []
    for name, shape in shapes.items():
        mine = [c for c in every if c.parameter == name]
        judged = [c for c in mine if c.judged]
        worst = max(judged, key=lambda c: (c.alarm, c.relative_error), default=None)
        counts = len(mine), sum(c.kink for c in mine), sum(c.alarm for c in mine)
        found.append(ParameterCheck(name, shape, *counts, worst))
    return tuple(found)
