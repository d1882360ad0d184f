"""The table of a search: one row a trial, one column a hyperparameter or measure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as onp

from nnbook._optional import require
from nnbook._tables import html_table, text_table
from nnbook.search.space import RESERVED, Space

__all__ = ["Results"]

_SHOWN = 12
_ABOUT_TIME = ("seconds",)  # differs from run to run, so it is not shown


@dataclass(frozen=True, eq=False)
class Results(Sequence[dict[str, Any]]):
    """What came out of a search, readable by row and by column.

    The columns: ``trial`` (the configuration's number), ``seed``, one for each hyperparameter (NaN
    or None where it is left out), ``value``, the further measures, ``state`` ("complete", "nan": no
    finite value, "failed": an exception), ``error``, ``seconds``.

    Attributes
    ----------
    columns : dict of str to numpy.ndarray, shape (n,)
        The columns, which cannot be written to.
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

    columns: dict[str, onp.ndarray]
    space: Space
    smaller_is_better: bool = True
    planned: int = 0

    def __post_init__(self) -> None:
        for column in self.columns.values():
            column.setflags(write=False)

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
        rows = list(rows)
        measured = dict.fromkeys(name for row in rows for name in row)
        inner = [name for name in measured if name not in (*space, *RESERVED)]
        first, last = RESERVED[:2], RESERVED[3:]
        names = [*first, *space, "value", *inner, *last]
        apart = {n for n, one in space.items() if len({type(choice) for choice in one.choices}) > 1}
        apart |= {"state", "error"}
        columns = {n: _column([row.get(n) for row in rows], apart=n in apart) for n in names}
        return cls(columns, space, smaller_is_better, planned)

    def __len__(self) -> int:
        return len(self.columns["value"])

    @overload
    def __getitem__(self, key: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, key: str) -> onp.ndarray: ...
    @overload
    def __getitem__(self, key: Any) -> Any: ...
    def __getitem__(self, key):
        """Return a row (int), a column (str), or a part (slice, mask or array of indices)."""
        if isinstance(key, str):
            if key not in self.columns:
                raise KeyError(f"there is no column {key!r}; there are {', '.join(self.columns)}")
            return self.columns[key]
        if isinstance(key, (int, onp.integer)):
            return {n: self._value(n, column[key]) for n, column in self.columns.items()}
        picked = {n: column[key].copy() for n, column in self.columns.items()}
        return Results(picked, self.space, self.smaller_is_better, self.planned)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[k] for k in range(len(self)))

    def _value(self, name: str, value: Any) -> Any:
        """Return a cell as Python's object; a hyperparameter as it was asked for."""
        value = _of_python(value)
        left_out = value is None or value != value
        return value if left_out or name not in self.space else self.space[name].restored(value)

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
        return self._configuration(self[row])

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

        With one seed each it is the row itself. A configuration that has not yet been evaluated with
        as many seeds as others does not count.
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
        for k, trial in enumerate(self["trial"].tolist()):
            groups.setdefault((trial, repr(self.configuration(k))), []).append(k)
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
        rows = [self._mean(self[rows]) for rows in self._groups()]
        table = Results.from_rows(
            rows, self.space, smaller_is_better=self.smaller_is_better, planned=len(rows)
        )
        columns = {name: column for name, column in table.columns.items() if name != "seed"}
        return replace(table, columns=columns)

    def _mean(self, part: Results) -> dict[str, Any]:
        failed = part[part["state"] != "complete"]
        row = dict(failed[0] if len(failed) else part[0])
        row["seeds"] = len(part)
        del row["seed"]
        for name, column in part.columns.items():
            measured = name not in (*self.space, *RESERVED)
            if (measured or name in ("value", "seconds")) and column.dtype != object:
                row[name] = float(column.mean())
        row["value_std"] = float(part["value"].std(ddof=1)) if len(part) > 1 else onp.nan
        return row

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
            for state in ("complete", "nan", "failed")
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
        names = [name for name in self.columns if name not in _ABOUT_TIME]
        if not any(self["error"]):
            names.remove("error")
        shown = list(range(len(self)))
        if len(self) > _SHOWN:
            shown = [*shown[: _SHOWN // 2], -1, *shown[-_SHOWN // 2 :]]
        rows = [["…"] * len(names) if k < 0 else [_shown(self[n][k]) for n in names] for k in shown]
        return names, rows

    def __repr__(self) -> str:
        names, rows = self._cells()
        left = [k for k, name in enumerate(names) if name in ("state", "error")]
        table = [text_table(names, rows, left)] if rows else []
        return "\n".join([self._summary(), *table])

    def _repr_html_(self) -> str:
        return html_table(*self._cells(), caption=self._summary())


def _column(values: list[Any], *, apart: bool) -> onp.ndarray:
    """Numbers as numbers where that keeps them apart and exact; everything else as objects.

    So are booleans: one may be missing.
    """
    there = [value for value in values if value is not None]
    kinds = {type(value) for value in there}
    exact = all(abs(value) <= 2**53 for value in there if type(value) is int)
    if apart or not exact or not kinds <= {int, float} or (values and not kinds):
        column = onp.empty(len(values), dtype=object)
        column[:] = values
        return column
    if kinds == {int} and None not in values:
        return onp.array(values, dtype=onp.int64)
    return onp.array([onp.nan if value is None else value for value in values], dtype=float)


def _of_python(value: Any) -> Any:
    return value.item() if isinstance(value, onp.generic) else value


def _shown(value: Any) -> str:
    value = _of_python(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
