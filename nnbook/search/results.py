"""The table of a search: one row a trial, one column a hyperparameter or measure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as onp

from nnbook._arguments import as_scalar
from nnbook._optional import require
from nnbook._tables import html_table, text_table
from nnbook.search.space import RESERVED, Space

__all__ = ["Results"]

_SHOWN = 12
_ABOUT_TIME = ("seconds",)  # differs from run to run, so it is not shown


@dataclass(frozen=True, eq=False)
class Results(Sequence[dict[str, Any]]):
    """What came out of a search, readable by row and by column.

    The columns: ``trial`` (the configuration's number), ``seed``, one for each hyperparameter (None
    where it is left out; NaN in a column of numbers), ``value``, the further measures, ``state``
    ("complete", "nan": no finite value, "failed": an exception, "stopped": before its end),
    ``error``, ``seconds``.

    Attributes
    ----------
    rows : tuple of dict
        The rows, with the very values that were asked for.
    names : tuple of str
        The columns' names.
    space : Space
        What was searched.
    smaller_is_better : bool
        Whether the best value is the smallest.
    planned : int
        How many rows the search has when it is finished.

    Examples
    --------
    >>> from nnbook import search
    >>> space = search.Space(x=search.linear(-1, 1))
    >>> found = search.GridSearch(space, points=5).run(lambda c, seed: (c["x"] - 0.4) ** 2)
    >>> found
    Results(5 of 5 rows: 5 complete; best value 0.01 at x=0.5)
    trial  seed     x  value  state
        0     0    -1   1.96  complete
        1     0  -0.5   0.81  complete
        2     0     0   0.16  complete
        3     0   0.5   0.01  complete
        4     0     1   0.36  complete
    >>> found["x"][found["value"] < 0.2], found.best["x"]
    (array([0. , 0.5]), 0.5)
    """

    rows: tuple[dict[str, Any], ...]
    names: tuple[str, ...]
    space: Space
    smaller_is_better: bool = True
    planned: int = 0

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any]],
        space: Space,
        *,
        smaller_is_better: bool,
        planned: int,
    ) -> Results:
        """Make a table of rows.

        Parameters
        ----------
        rows : iterable of mapping
            What is missing in one becomes NaN (in a column of numbers) or None.
        space : Space
            What was searched.
        smaller_is_better : bool
            Whether the best value is the smallest.
        planned : int
            How many rows the whole search has.

        Returns
        -------
        Results
        """
        plain = [{name: as_scalar(value) for name, value in row.items()} for row in rows]
        measured = dict.fromkeys(name for row in plain for name in row)
        inner = [name for name in measured if name not in (*space, *RESERVED)]
        names = (*RESERVED[:2], *space, "value", *inner, *RESERVED[3:])
        kept = tuple({name: row.get(name) for name in names} for row in plain)
        return cls(kept, names, space, smaller_is_better, planned)

    @cached_property
    def columns(self) -> dict[str, onp.ndarray]:
        """The columns as arrays of shape (n,), which cannot be written to."""
        mixed = {n for n, one in self.space.items() if len(set(map(type, one.choices))) > 1}
        return {
            name: _column([row[name] for row in self.rows], name in {*mixed, "state", "error"})
            for name in self.names
        }

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Any:
        """Return a row (int), a column (str), or a part (slice, mask or array of indices)."""
        if isinstance(key, str):
            if key not in self.columns:
                raise KeyError(f"there is no column {key!r}; there are {', '.join(self.columns)}")
            return self.columns[key]
        if isinstance(key, (int, onp.integer)):
            return dict(self.rows[key])
        return replace(self, rows=tuple(self.rows[k] for k in onp.arange(len(self))[key]))

    def configuration(self, row: int) -> dict[str, Any]:
        """Return the hyperparameters of a row, without those left out.

        Parameters
        ----------
        row : int
            Which.

        Returns
        -------
        dict
        """
        return self._configuration(self.rows[row])

    def _configuration(self, values: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self.space:
            if self.space.is_active(name, found):
                found[name] = values[name]
        return found

    @property
    def complete(self) -> Results:
        """The rows with a finite value."""
        return self[self["state"] == "complete"]

    @property
    def sorted(self) -> Results:
        """The rows from the best to the worst; those without a value come last."""
        values = self["value"] if self.smaller_is_better else -self["value"]
        return self[onp.argsort(values, kind="stable")]

    @property
    def best(self) -> dict[str, Any]:
        """The row of the best configuration: the mean over its seeds, as `over_seeds` has it.

        With one seed each it is the row itself. A configuration that has fewer seeds than others,
        because the search was stopped, does not count.
        """
        table = self._of_configurations()
        if len(self.complete) and not len(table.complete):
            raise ValueError(
                "no configuration has a value for each of its seeds; the best single row is "
                "best_row"
            )
        return (table if len(table) else self).best_row

    @property
    def best_row(self) -> dict[str, Any]:
        """The row with the best value: of several seeds the luckiest."""
        if not len(self.complete):
            raise ValueError(
                f"none of the {len(self)} trials is complete{self._first_error()}; there is no best"
            )
        return self.sorted[0]

    def _of_configurations(self) -> Results:
        """One row a configuration: itself or, with several seeds, the mean of those complete."""
        if len(self._groups()) == len(self):
            return self
        means = self.over_seeds().complete
        return means[means["seeds"] == means["seeds"].max()] if len(means) else means

    def _groups(self) -> list[list[int]]:
        """The rows of each configuration; tables put together may share the trials' numbers."""
        groups: dict[Any, list[int]] = {}
        for k, row in enumerate(self.rows):
            groups.setdefault((row["trial"], repr(self._configuration(row))), []).append(k)
        return list(groups.values())

    def _first_error(self) -> str:
        errors = [error for error in self["error"] if error]
        return f" (the first: {errors[0]})" if errors else ""

    def over_seeds(self) -> Results:
        """Return one row a configuration: the means over its seeds.

        Returns
        -------
        Results
            With the further columns ``seeds``, how many there are, and ``value_std``, the standard
            deviation of the value over them. A configuration of which one seed has no value has
            none.
        """
        rows = [self._mean([self.rows[k] for k in group]) for group in self._groups()]
        table = Results.from_rows(
            rows, self.space, smaller_is_better=self.smaller_is_better, planned=len(rows)
        )
        return replace(table, names=tuple(name for name in table.names if name != "seed"))

    def _mean(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        mean = dict(next((row for row in rows if row["state"] != "complete"), rows[0]))
        averaged = set(self.names) - {*self.space, *RESERVED} | {"value", "seconds"}
        columns = {name: _column([row[name] for row in rows], apart=False) for name in averaged}
        mean |= {name: float(one.mean()) for name, one in columns.items() if one.dtype != object}
        spread = float(columns["value"].std(ddof=1)) if len(rows) > 1 else onp.nan
        return {**mean, "seeds": len(rows), "value_std": spread}

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the columns as lists, which JSON can hold.

        Returns
        -------
        dict of str to list
        """
        return {name: column.tolist() for name, column in self.columns.items()}

    def to_dataframe(self) -> Any:
        """Return a `pandas.DataFrame`; pandas must be installed.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas

        return pandas.DataFrame({name: column.copy() for name, column in self.columns.items()})

    def to_study(self) -> Any:
        """Return an Optuna study with these trials, for Optuna's own importances and pictures.

        Returns
        -------
        optuna.study.Study
            In memory; its trials have the same parameters and values.
        """
        require("optuna", extra="search")
        from nnbook.search.with_optuna import study_of

        return study_of(self)

    # ------------------------------------------------------------------ what is shown

    def _summary(self) -> str:
        states = self["state"].tolist()
        counts = ", ".join(
            f"{states.count(state)} {state}"
            for state in ("complete", "nan", "failed", "stopped", "paused")
            if state in states
        )
        text = f"{len(self)} of {self.planned} rows: {counts or 'nothing yet'}"
        if "complete" in states:
            means = self._of_configurations()
            best = (means if len(means.complete) else self).best_row
            names = self._configuration(best).items()
            where = ", ".join(f"{name}={_shown(value)}" for name, value in names)
            text += f"; best value {_shown(best['value'])} at {where}"
            text += f", the mean of {best['seeds']} seeds" if "seeds" in best else ""
        return f"Results({text})"

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        """The head and the rows to show; the middle of a long table is left out."""
        names = [name for name in self.names if name not in _ABOUT_TIME]
        if not any(self["error"]):
            names.remove("error")
        shown = list(range(len(self)))
        if len(self) > _SHOWN:
            shown = [*shown[: _SHOWN // 2], -1, *shown[-_SHOWN // 2 :]]
        rows = [
            ["…"] * len(names) if k < 0 else [_shown(self.rows[k][n]) for n in names] for k in shown
        ]
        return names, rows

    def __repr__(self) -> str:
        names, rows = self._cells()
        left = [k for k, name in enumerate(names) if name in ("state", "error")]
        table = [text_table(names, rows, left)] if rows else []
        return "\n".join([self._summary(), *table])

    def _repr_html_(self) -> str:
        return html_table(*self._cells(), caption=self._summary())


def _column(values: list[Any], apart: bool) -> onp.ndarray:
    """Numbers as numbers where that keeps them exact and apart; anything else as objects.

    So are booleans: one may be missing.
    """
    kinds = {type(value) for value in values} - {type(None)}
    large = any(abs(value) > 2**53 for value in values if type(value) is int)
    if apart or large or not kinds <= {int, float}:
        column = onp.empty(len(values), dtype=object)
        column[:] = values
    elif kinds == {int} and None not in values:
        column = onp.array(values, dtype=onp.int64)
    else:
        column = onp.array([onp.nan if v is None else v for v in values], dtype=float)
    column.setflags(write=False)
    return column


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
