"""What a training run measured, one row an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as onp

from nnbook._arguments import as_scalar

__all__ = ["History"]


class History(Sequence[dict[str, Any]]):
    """Rows of measurements, one an epoch, readable by row and by column.

    Parameters
    ----------
    rows : iterable of dict, optional
        The rows to start with.

    Attributes
    ----------
    stopped : str
        Why training ended before its last epoch; empty if it did not.
    status : str
        "running", "finished" (all epochs), "stopped" (by a callback), "diverged" or "interrupted".
    path : str
        Which way was taken: "graph" (bound to memory), "recorded", "stack" or "objective".
    reason : str
        Why not a faster one; empty if it is the fastest.

    Examples
    --------
    >>> from nnbook.training import History
    >>> history = History([{"epoch": 1, "val_loss": 0.5}, {"epoch": 2, "val_loss": 0.25}])
    >>> history[-1]["val_loss"], history["val_loss"]
    (0.25, array([0.5 , 0.25]))
    """

    def __init__(self, rows: Iterable[dict[str, Any]] = ()):
        self._rows: list[dict[str, Any]] = []
        for row in rows:
            self.append(row)
        self.stopped, self.status = "", "finished"
        self.path, self.reason = "", ""

    def append(self, row: dict[str, Any]) -> None:
        """Add a row at the end; arrays without axes in it become Python's numbers."""
        self._rows.append({name: as_scalar(value) for name, value in row.items()})

    def load(self, rows: Iterable[dict[str, Any]], stopped: str, status: str) -> None:
        """Take over the rows of an earlier part of this run, and whether a callback stopped it."""
        self._rows = []
        for row in rows:
            self.append(row)
        self.stopped, self.status = stopped, "stopped" if status == "stopped" else "running"

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in the order in which they first appeared."""
        return list(dict.fromkeys(name for row in self._rows for name in row))

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: slice) -> History: ...
    @overload
    def __getitem__(self, key: str) -> onp.ndarray: ...
    def __getitem__(self, key):
        """Return a row (int), a part (slice) or a column (str; NaN where a row lacks it)."""
        if isinstance(key, str):
            if self._rows and key not in self.columns:
                raise KeyError(f"{key!r} was not recorded; there are {', '.join(self.columns)}")
            return onp.array([row.get(key, onp.nan) for row in self._rows])
        if isinstance(key, slice):
            return History(self._rows[key])
        return self._rows[key]

    def __len__(self) -> int:
        return len(self._rows)

    def best(self, column: str, smaller_is_better: bool = True) -> dict[str, Any]:
        """Return the row in which `column` is best.

        Parameters
        ----------
        column : str
            The name of a column.
        smaller_is_better : bool
            Whether best means smallest.

        Returns
        -------
        dict
            The first such row.

        Raises
        ------
        KeyError
            There is no such column.
        ValueError
            The history is empty, or the column has no number.
        """
        if not self._rows:
            raise ValueError("the history is empty: no epoch has been finished")
        values = self[column].astype(float)
        if onp.isnan(values).all():
            raise ValueError(f"{column} is NaN in all {len(self)} epochs; there is no best one")
        return self[int(onp.nanargmin(values) if smaller_is_better else onp.nanargmax(values))]

    def __repr__(self) -> str:
        if not self._rows:
            return "History(no epochs)"
        last = ", ".join(
            f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in self[-1].items()
        )
        slow = f"; recorded, not a graph: {self.reason}" if self.path == "recorded" else ""
        return f"History({len(self)} epochs; last: {last}{slow})"
