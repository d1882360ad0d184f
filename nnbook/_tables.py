"""Tables as text and in HTML."""

from __future__ import annotations

import html
from collections.abc import Collection, Iterable, Sequence

__all__ = ["html_table", "text_table"]


def text_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[int] = (0,)
) -> str:
    """Return a table in aligned columns.

    Parameters
    ----------
    header : sequence of str
        The names of the columns.
    rows : iterable of sequence of str
        As many cells each.
    left : collection of int
        The columns to align at the left; the others, which hold numbers, at the right.

    Returns
    -------
    str
        Without blanks at the ends of the lines.

    Examples
    --------
    >>> print(text_table(("name", "value"), [("a", "1.5"), ("long", "20")]))
    name  value
    a       1.5
    long     20
    """
    every = [tuple(header), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    lines = []
    for row in every:
        cells = zip(row, widths, strict=True)
        aligned = (c.ljust(w) if k in left else c.rjust(w) for k, (c, w) in enumerate(cells))
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def html_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str = "",
    heads: bool = False,
) -> str:
    """Return a table in HTML; every text is escaped.

    Parameters
    ----------
    header : sequence of str
        The names of the columns.
    rows : iterable of sequence of str
        As many cells each.
    caption : str
        What the table is.
    heads : bool
        Whether the first cell of each row is its name.

    Returns
    -------
    str
    """

    def row_of(cells: Sequence[str], kinds: Sequence[str]) -> str:
        inner = (
            f"<{kind}>{html.escape(cell)}</{kind.split()[0]}>"
            for cell, kind in zip(cells, kinds, strict=True)
        )
        return f"<tr>{''.join(inner)}</tr>"

    column, first = ("th scope='col'", "th scope='row'") if heads else ("th", "td")
    head = row_of(header, [column] * len(header))
    body = "".join(row_of(row, [first, *["td"] * (len(row) - 1)]) for row in rows)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead>{head}</thead><tbody>{body}</tbody></table>"
