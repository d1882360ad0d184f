"""A best value on the border of its range: found, said, and widened."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as onp

from nnbook._arguments import check_number, check_positive, check_whole
from nnbook.search.results import Results
from nnbook.search.space import Space

__all__ = ["Border", "borders", "widen"]


@dataclass(frozen=True)
class Border:
    """A dimension whose best values lie at one end of its range.

    Attributes
    ----------
    name : str
        The dimension.
    lower : bool
        Whether it is the lower end.
    value : float
        The best row's value.
    end : float
        The end of the range.
    """

    name: str
    lower: bool
    value: float
    end: float

    def __str__(self) -> str:
        end, way = ("lower", "below") if self.lower else ("upper", "above")
        return (
            f"the best {self.name}, {self.value:.4g}, lies at the {end} end of its range: widen "
            f"{self.name} {way} {self.end:.4g}"
        )


def borders(results: Results, *, share: float = 0.05, top: int = 1) -> list[Border]:
    """Find the ordered dimensions whose best values lie at an end of their range.

    Parameters
    ----------
    results : Results
        Of a search.
    share : float
        What counts as the end: this part of the range, on its scale, in (0, 0.5).
    top : int
        How many of the best configurations to look at (of several seeds the means count). More than
        half of those in which the dimension means something must lie at the same end.

    Returns
    -------
    list of Border
        None for an end that lies at the dimension's `limits`.

    Raises
    ------
    ValueError
        No trial is complete, or a number out of range.

    Examples
    --------
    >>> from nnbook import search
    >>> space = search.Space(rate=search.log(0.001, 0.1))
    >>> found = search.GridSearch(space, points=3).run(lambda c, seed: 1 / c["rate"])
    >>> for border in search.borders(found):
    ...     print(border)
    the best rate, 0.1, lies at the upper end of its range: widen rate above 0.1
    >>> search.widen(space, search.borders(found))
    Space(
        rate=log(0.001, 1.0),
    )
    """
    share, top = check_number(share, "share", above=0, below=0.5), check_whole(top, "top")
    if not len(results.complete):
        raise ValueError(f"none of the {len(results)} trials is complete; there is no best")
    best = results._of_configurations().complete.sorted[:top]
    found = []
    for name, dimension in results.space.items():
        if dimension.choices:
            continue
        values = best[name][~onp.isnan(best[name].astype(float))]
        if not len(values):
            continue
        units = results.space.units(name, values)
        for lower, end, limit in (
            (True, dimension.low, dimension.limits[0]),
            (False, dimension.high, dimension.limits[1]),
        ):
            near = units <= share if lower else units >= 1 - share
            if near[0] and 2 * near.sum() > len(near) and end != limit:
                found.append(Border(name, lower, float(values[0]), float(end)))
    return found


def widen(space: Space, borders: Iterable[Border], *, by: float = 0.5) -> Space:
    """Return the space with the ranges widened at these ends.

    Parameters
    ----------
    space : Space
        What was searched.
    borders : iterable of Border
        What `borders` found.
    by : float
        How far, as a part of the range on its scale, > 0: 0.5 makes 0.001 … 0.1 to 0.001 … 1.

    Returns
    -------
    Space
        No range exceeds the `limits` of its dimension.

    Raises
    ------
    ValueError
        `by` is not positive.
    """
    by = check_positive(by, "by")
    for border in borders:
        space = space.replace(**{border.name: space[border.name].widened(border.lower, by)})
    return space
