"""What may be varied: named dimensions with their ranges, scales and conditions."""

from __future__ import annotations

import importlib
import keyword
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as onp

from nnbook._arguments import as_scalar
from nnbook._optional import require
from nnbook.search.dimensions import Dimension, same_value

__all__ = ["RESERVED", "Space"]

# Columns that a table of results has beside the hyperparameters.
RESERVED = ("trial", "seed", "value", "state", "error", "seconds")


class Space(Mapping[str, Dimension]):
    """Named dimensions; one point of it is a configuration, a dict of name and value.

    A conditional dimension is left out of a configuration in which it means nothing.

    Parameters
    ----------
    **dimensions : Dimension
        Made by `log`, `linear`, `integer` and `categorical`. A condition names dimensions that come
        before.

    Raises
    ------
    TypeError
        What is not a dimension.
    ValueError
        No dimension, a name that the table of results needs, or a condition that can never hold.

    Examples
    --------
    >>> from nnbook import search
    >>> space = search.Space(learning_rate=search.log(0.001, 1),
    ...                      rule=search.categorical(["sgd", "momentum"]),
    ...                      momentum=search.linear(0.5, 1, when={"rule": "momentum"}))
    >>> space
    Space(
        learning_rate=log(0.001, 1.0),
        rule=categorical(['sgd', 'momentum']),
        momentum=linear(0.5, 1.0, when={'rule': ['momentum']}),
    )
    >>> for configuration in space.grid(2)[:3]:
    ...     print(configuration)
    {'learning_rate': 0.001, 'rule': 'sgd'}
    {'learning_rate': 0.001, 'rule': 'momentum', 'momentum': 0.5}
    {'learning_rate': 0.001, 'rule': 'momentum', 'momentum': 1.0}
    """

    def __init__(self, **dimensions: Dimension):
        if not dimensions:
            raise ValueError("the space has no dimension; expected at least one")
        for name, dimension in dimensions.items():
            if not isinstance(dimension, Dimension):
                raise TypeError(
                    f"{name} is {dimension!r}; expected log(...), linear(...), integer(...) or "
                    "categorical(...)"
                )
            if name in RESERVED or keyword.iskeyword(name):
                raise ValueError(
                    f"a dimension is called {name!r}, which has another meaning in the table of "
                    "results; choose another name"
                )
        self._dimensions = dict(dimensions)
        for place, name in enumerate(self):
            self._check_condition(name, list(self)[:place])

    def _check_condition(self, name: str, earlier: list[str]) -> None:
        for parent, values in self[name].when.items():
            if parent not in earlier:
                raise ValueError(
                    f"{name} depends on {parent!r}, which is no dimension before it; there are "
                    f"{', '.join(earlier) or 'none'}"
                )
            if never := [value for value in values if value not in self[parent]]:
                raise ValueError(
                    f"{name} depends on {parent} being {never[0]!r}, which it never is: "
                    f"{self[parent]!r}"
                )

    def __getitem__(self, name: str) -> Dimension:
        return self._dimensions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and list(self.items()) == list(other.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        lines = "".join(f"    {name}={dimension!r},\n" for name, dimension in self.items())
        return f"Space(\n{lines})"

    def replace(self, **dimensions: Dimension) -> Space:
        """Return the space with other dimensions in the place of those of the same name.

        Parameters
        ----------
        **dimensions : Dimension
            The new ones; a new name goes to the end.

        Returns
        -------
        Space
        """
        return Space(**{**self._dimensions, **dimensions})

    def is_active(self, name: str, configuration: Mapping[str, Any]) -> bool:
        """Tell whether a dimension means something, given the values of those before it.

        Parameters
        ----------
        name : str
            The dimension.
        configuration : mapping
            The values so far.

        Returns
        -------
        bool
        """
        return all(
            parent in configuration
            and any(same_value(configuration[parent], value) for value in values)
            for parent, values in self[name].when.items()
        )

    def sample(self, rng: onp.random.Generator) -> dict[str, Any]:
        """Draw one configuration, every dimension uniformly on its scale.

        Each dimension takes one number from `rng`, whether it is active or not; so a dimension that
        is added at the end changes none of the others.

        Parameters
        ----------
        rng : numpy.random.Generator
            The source of randomness.

        Returns
        -------
        dict
        """
        return self.at(rng.random(len(self)))

    def at(self, units: Iterable[float]) -> dict[str, Any]:
        """Return the configuration at a point of the unit cube.

        Parameters
        ----------
        units : iterable of float
            A number in [0, 1] for each dimension, whether it is active or not.

        Returns
        -------
        dict

        Examples
        --------
        >>> from nnbook import search
        >>> search.Space(rate=search.log(0.01, 1), width=search.integer(1, 9)).at([0.5, 0.5])
        {'rate': 0.1, 'width': 5}
        """
        configuration: dict[str, Any] = {}
        for (name, dimension), u in zip(self.items(), units, strict=True):
            if self.is_active(name, configuration):
                configuration[name] = dimension.at(float(u))
        return configuration

    def grid(
        self, points: int | Mapping[str, int | Sequence[Any]] | None = None
    ) -> list[dict[str, Any]]:
        """Combine all values of all dimensions; the last dimension changes fastest.

        Parameters
        ----------
        points : int, or mapping of names to int or sequence, optional
            How many values of each dimension, from end to end, evenly spaced on its scale; or the
            values themselves. A categorical dimension has all its choices where nothing is said.

        Returns
        -------
        list of dict
            kᵈ configurations for k values of each of d dimensions; fewer where a condition leaves
            one out, or where a range has fewer integers.

        Raises
        ------
        ValueError
            A dimension without a number of points, an unknown name, or a value out of range.
        """
        values = {name: self._values(name, points) for name in self}
        if isinstance(points, Mapping) and (unknown := set(points) - set(self)):
            raise ValueError(
                f"points names {sorted(unknown)}; the dimensions are {', '.join(self)}"
            )
        configurations: list[dict[str, Any]] = [{}]
        for name in self:
            configurations = [
                {**c, name: value} if self.is_active(name, c) else c
                for c in configurations
                for value in (values[name] if self.is_active(name, c) else [None])
            ]
        return configurations

    def _values(self, name: str, points: Any) -> list[Any]:
        wanted = points.get(name) if isinstance(points, Mapping) else points
        dimension = self[name]
        if dimension.choices and not isinstance(wanted, (list, tuple, onp.ndarray)):
            return list(dimension.choices)
        if wanted is None:
            raise ValueError(f"how many values of {name}? Give points={{{name!r}: 5, …}}")
        if not isinstance(wanted, Iterable):
            return dimension.points(wanted)
        found = [as_scalar(value) for value in wanted]
        wrong = [value for value in found if value not in dimension]
        if wrong or not found:
            raise ValueError(
                f"points has {wrong or 'no value'} for {name}; expected values of {dimension!r}"
            )
        return [dimension.restored(value) for value in found]

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Let a trial of Optuna choose a configuration.

        Parameters
        ----------
        trial : optuna.trial.Trial
            As `optuna.study.Study.ask` returns it, or as an objective of Optuna gets it.

        Returns
        -------
        dict
        """
        return _adapter().suggest(self, trial)

    def to_optuna(self) -> dict[str, Any]:
        """Return the distribution of Optuna for every dimension; it knows no conditions.

        Returns
        -------
        dict of str to optuna.distributions.BaseDistribution
        """
        return _adapter().distributions(self)

    distributions = to_optuna  # its name in the first edition

    def units(self, name: str, values: Any) -> onp.ndarray:
        """Return where values lie in the range of an ordered dimension, on its scale.

        Parameters
        ----------
        name : str
            The dimension.
        values : array of float, shape (n,)
            NaN where it is left out.

        Returns
        -------
        numpy.ndarray, shape (n,)
            0 at the lower end, 1 at the upper one.

        Raises
        ------
        ValueError
            The dimension has no order.
        """
        one = self[name]
        if one.choices:
            raise ValueError(f"{name} has no order: {one!r}")
        values = onp.asarray(values, dtype=float)
        if one.low == one.high:
            return onp.where(onp.isnan(values), onp.nan, 0.5)
        if one.log:
            return onp.log(values / one.low) / math.log(one.high / one.low)
        return (values - one.low) / (one.high - one.low)


def _adapter() -> Any:
    require("optuna", extra="search")
    return importlib.import_module("nnbook.search.with_optuna")
