"""Settings of the whole test run, and the comparison of notebooks' outputs by their numbers.

`pytest --nbval` runs a notebook and compares what it prints with what is committed. Here, numbers
are compared as numbers and everything else text for text:

* an integer must be the same;
* a decimal (it has a point followed by a digit, or an exponent) must agree within 2 %, or within
  what its cell states in its metadata, ``"nnbook": {"tolerance": 0.05}``, at most 5 %;
* a decimal that is zero agrees only with what is below 1e-9 in size; two below 1e-11 are rounding
  errors, and agree;
* of a verdict's record, what follows from other numbers in it (p-values and the like) and the
  seeds' own numbers are not compared, but every effect and interval is;
* nan, inf, versions (1.9.1) and digits inside words (C006, float32) are text;
* pictures and packed curves are not compared, but the data plotted in a figure with sliders and
  the outcomes and scores of a grid are;
* in a cell tagged ``nnbook-timing``, lines with a time in them (2.3 s, 40 ms) are compared
  without their numbers; nothing else is ignored.

A code cell that was never run fails the collection of its notebook.
"""

from __future__ import annotations

import json
import os
import re
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from tools.notebooks import KERNEL_SETTINGS, PINS

os.environ.update(PINS)  # before any kernel starts and before numpy and mxnet are imported

DEFAULT_TOLERANCE = 0.02
LARGEST_TOLERANCE = 0.05
ZERO = 1e-9
ROUNDING = 1e-11
# Of a decision: what the rest implies, or magnifies. A p-value turns 1 % into a factor.
IMPLIED = ("arms", "detectable", "p_value", "seeds_needed")
TIMING_TAG = "nnbook-timing"

_NUMBER = re.compile(
    r"""(?<![\w.\#])               # not inside a word, a version or a colour
    (?:(?<=[^\w)\]])[-+−]|^[-+−])? # a sign, unless it stands between two numbers
    (?:\d{1,3}(?:,\d{3})+(?!\d)|\d+|(?=\.\d))
    (?:\.\d+)?
    (?:[eE][-+]?\d+)?
    (?!\.?\d|\w*\.\d)              # not the beginning of a version
    """,
    re.VERBOSE | re.MULTILINE,
)
# Images, and curves packed into bytes.
_PICTURE = re.compile(r"data:(?:image/[\w.+-]+|application/octet-stream);base64,[A-Za-z0-9+/=]+")
_TIME = re.compile(r"\d\s*(?:ns|[µμu]s|ms|s|min|h)\b|\d\s*(?:examples|steps|updates)/s\b")
_BLANKS = re.compile(r"[ \t]+")


class Printed(str):
    """Printed text that equals another when its words are the same and its numbers are close."""

    tolerance: float = DEFAULT_TOLERANCE

    def __new__(cls, text: str, tolerance: float = DEFAULT_TOLERANCE) -> Printed:
        """Take the text, and the relative tolerance of the decimals in it."""
        self = super().__new__(cls, text)
        self.tolerance = tolerance
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, str):
            return NotImplemented
        if str.__eq__(self, other):
            return True
        mine, theirs = _parts(self), _parts(other)
        return all(
            a is not None and b is not None and _same(a, b, self.tolerance)
            for a, b in zip_longest(mine, theirs)
        )

    def __ne__(self, other: object) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        # Equal texts have equal words; their numbers may differ.
        return hash(tuple(part for part in _parts(self) if not _NUMBER.fullmatch(part)))


def _parts(text: str) -> list[str]:
    """Split into words, number, words, number, …, without the blanks that only align columns."""
    parts, end = [], 0
    for match in _NUMBER.finditer(text):
        parts += [_BLANKS.sub(" ", text[end : match.start()]).strip(" "), match.group()]
        end = match.end()
    return [*parts, _BLANKS.sub(" ", text[end:]).strip(" ")]


def _same(a: str, b: str, tolerance: float) -> bool:
    if a == b:
        return True
    if not (_NUMBER.fullmatch(a) and _NUMBER.fullmatch(b)):
        return False
    if not (_is_decimal(a) and _is_decimal(b)):
        return False
    x, y = _value(a), _value(b)
    if x == 0 or y == 0:
        return max(abs(x), abs(y)) < ZERO
    if max(abs(x), abs(y)) < ROUNDING:
        return True
    return abs(x - y) <= tolerance * max(abs(x), abs(y))


def _is_decimal(number: str) -> bool:
    return "." in number or "e" in number.lower()


def _value(number: str) -> float:
    return float(number.replace(",", "").replace("−", "-"))


def tolerance_of(cell: Any) -> float:
    """Return the tolerance of a notebook's cell; ValueError if it states one beyond 5 %."""
    stated = cell.metadata.get("nnbook", {}).get("tolerance", DEFAULT_TOLERANCE)
    if not isinstance(stated, int | float) or not 0 < stated <= LARGEST_TOLERANCE:
        raise ValueError(
            f"nnbook.tolerance is {stated!r}, expected a number above 0 and at most "
            f"{LARGEST_TOLERANCE}: print fewer or more stable numbers instead"
        )
    return float(stated)


def comparable(output: Any, tolerance: float, *, timing: bool = False) -> Any:
    """Return one output of a cell in the form in which it is compared."""
    if isinstance(output, dict) and "decisions" in output:
        kept = [
            {k: v for k, v in decision.items() if k not in IMPLIED}
            for decision in output["decisions"]
        ]
        output = {**output, "decisions": kept}
    if isinstance(output, dict | list):
        output = json.dumps(output, indent=1, sort_keys=True, ensure_ascii=False)
    if not isinstance(output, str):
        return output
    text = _PICTURE.sub("data:image", output)
    if timing:
        lines = text.split("\n")
        text = "\n".join(_NUMBER.sub("#", x) if _TIME.search(x) else x for x in lines)
    return Printed(text, tolerance)


def unrun_cells(notebook: Any) -> list[int]:
    """Return the numbers of the code cells that were never run, counted as nbval counts them."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [n for n, c in enumerate(code) if c.source.strip() and c.execution_count is None]


def _install() -> None:
    """Teach nbval the comparison above."""
    from nbval.plugin import IPyNbCell, IPyNbFile

    plain_sanitize, plain_collect = IPyNbCell.sanitize, IPyNbFile.collect
    plain_setup = IPyNbFile.setup

    def setup(self: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:  # the kernel inherits them, other tests do not
            for name, value in KERNEL_SETTINGS.items():
                patch.setenv(name, value)
            plain_setup(self)

    def sanitize(self: Any, text: Any) -> Any:
        timing = TIMING_TAG in self.cell.metadata.get("tags", [])
        return comparable(plain_sanitize(self, text), tolerance_of(self.cell), timing=timing)

    def collect(self: Any) -> list[Any]:
        items = list(plain_collect(self))
        self.skip_compare += ("image/svg+xml", "application/pdf")
        name = Path(self.path).name
        if unrun := unrun_cells(self.nb):
            raise self.CollectError(
                f"{name}: code cells {unrun} were never run; execute the notebook with "
                f"`make run` and commit its outputs"
            )
        for number, cell in enumerate(self.nb.cells):
            try:
                tolerance_of(cell)
            except ValueError as error:
                raise self.CollectError(f"{name}: cell {number}: {error}") from None
        return items

    IPyNbCell.sanitize = sanitize
    IPyNbFile.collect = collect
    IPyNbFile.setup = setup


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Install the comparison where nbval is there."""
    if config.pluginmanager.hasplugin("nbval"):
        _install()
