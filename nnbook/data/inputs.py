"""What users bring as data, as arrays: tables, lists and tensors; minibatches from a stream."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as onp

from nnbook._arguments import check_pair
from nnbook._arrays import Array, check_array, is_mxnet, to_numpy

__all__ = ["Feed", "as_array", "as_pair", "gathered", "is_stream", "refuse_spent"]

Minibatch = tuple[Array, Array, Any]  # inputs, targets, and weights or None


def as_array(values: Any, name: str = "x") -> Array:
    """Return what can stand for an array as one.

    Parameters
    ----------
    values : array, DataFrame, Series, list or tensor
        NumPy's and MXNet's arrays come back as they are, PyTorch's tensors in host memory.
    name : str
        What messages call it.

    Returns
    -------
    array
        A table's rows are the examples, its columns the features: float64, or whole numbers where
        all columns are; a missing value is NaN.

    Raises
    ------
    TypeError
        A table has columns that are no numbers; something is neither.
    ValueError
        A list has rows of several lengths.

    Examples
    --------
    >>> as_array([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    if isinstance(values, onp.ndarray) or is_mxnet(values) or hasattr(values, "toarray"):
        return values
    if hasattr(values, "detach"):  # PyTorch's
        return values.detach().cpu().numpy()
    if hasattr(values, "to_numpy"):
        return _of_table(values, name)
    if isinstance(values, (list, tuple)):
        try:
            return onp.asarray([as_array(one) if hasattr(one, "shape") else one for one in values])
        except (ValueError, Warning) as error:  # NumPy before 1.24 only warns
            raise ValueError(
                f"{name} is a list whose rows differ in length; expected rows of one length. Pad "
                "the shorter ones"
            ) from error
    if hasattr(values, "__array__"):
        return onp.asarray(values)
    check_array(values, name)  # refuses it
    raise AssertionError


def _of_table(table: Any, name: str) -> onp.ndarray:
    """Bring a DataFrame or a Series to NumPy: what is missing becomes NaN, to be refused later."""
    columns: Any = getattr(table, "dtypes", getattr(table, "dtype", None))
    kinds = dict(columns.items()) if hasattr(columns, "items") else {name: columns}
    odd = [column for column, dtype in kinds.items() if getattr(dtype, "kind", "f") not in "fiub"]
    if odd and hasattr(table, "columns"):
        raise TypeError(
            f"{name} has the columns {', '.join(map(repr, odd))}, which are no numbers; expected "
            "numbers alone. Drop them, or encode categories (pandas.get_dummies)"
        )
    if odd:
        return table.to_numpy()  # the names of classes, say: refused where numbers are needed
    whole = all(getattr(dtype, "kind", "f") in "iub" for dtype in kinds.values())
    if whole and not (hasattr(table, "isna") and bool(onp.any(table.isna()))):
        return table.to_numpy(dtype="int64")
    return table.to_numpy(dtype="float64", na_value=onp.nan)


def as_pair(data: Any, name: str) -> tuple[Array, Array]:
    """Return the two of a pair ``(x, y)`` as arrays.

    Raises
    ------
    TypeError, ValueError
        No pair, or what `as_array` refuses.
    """
    x, y = check_pair(data, name)
    return as_array(x, f"{name} x"), as_array(y, f"{name} y")


def is_stream(data: Any) -> bool:
    """Tell whether data come as minibatches: an iterable of them, or a function that makes one."""
    if isinstance(data, (tuple, list)):
        return bool(data) and all(map(_is_minibatch, data))
    whole = isinstance(data, (str, dict)) or hasattr(data, "shape")
    return not whole and (isinstance(data, Iterable) or callable(data))


def _is_minibatch(thing: Any) -> bool:
    # The rows of a list (x, y) of lists have no arrays in them.
    pair = isinstance(thing, (tuple, list)) and len(thing) in (2, 3)
    return pair and all(getattr(part, "shape", ()) for part in thing)


def refuse_spent(data: Any, epochs: int) -> None:
    """Refuse what can be passed through once where more is asked for.

    Raises
    ------
    ValueError
        With the way out.
    """
    if epochs > 1 and isinstance(data, Iterator):
        raise ValueError(
            f"train is a {type(data).__name__}, which can be passed through once, and epochs is "
            f"{epochs}; expected what starts anew for every epoch. Give the function that makes it "
            "(train=make_batches, not make_batches()), a list, or a DataLoader"
        )


class Feed:
    """Training examples that are made minibatch by minibatch.

    Parameters
    ----------
    data : tuple of array, or stream
        ``(x, y)``, or minibatches ``(x, y)`` or ``(x, y, weights)``: an iterable of them, or a
        function that returns one.
    augment : callable, optional
        ``augment(x, rng) -> x``, for the inputs of each minibatch.
    class_weight : dict, optional
        Weights of the classes in a stream.

    Attributes
    ----------
    streamed : bool
        Whether the data come as minibatches.
    first : tuple
        The first minibatch of a stream, ``(x, y, weights or None)``; else all of the data.

    Raises
    ------
    TypeError, ValueError
        The first minibatch is none; `augment` is no function.
    """

    def __init__(
        self,
        data: Any,
        augment: Callable[[Any, onp.random.Generator], Any] | None = None,
        class_weight: Mapping[Any, float] | None = None,
    ):
        if augment is not None and not callable(augment):
            raise TypeError(f"augment is {augment!r}; expected a function augment(x, rng)")
        self.data, self.augment, self.class_weight = data, augment, class_weight
        self.streamed = is_stream(data)
        self._begun: Iterator[Minibatch] | None = None
        if self.streamed:
            begun = self._opened()
            self.first = next(begun)
            self._begun = itertools.chain([self.first], begun)
        else:
            self.first = (*data, None)

    def _opened(self) -> Iterator[Minibatch]:
        """Yield the minibatches of one pass, as arrays."""
        number = 0
        for number, batch in enumerate(self.data() if callable(self.data) else self.data, 1):
            yield _parts(batch, f"train's minibatch {number}")
        if not number:
            raise ValueError(
                "train gave no minibatch; expected at least one in every epoch. What can be passed "
                "through once only must be made anew: give the function that makes it"
            )

    def passed(self) -> Iterator[Minibatch]:
        """Yield the minibatches of the next epoch of a stream."""
        begun, self._begun = self._begun, None
        return self._opened() if begun is None else begun

    def augmented(self, x: onp.ndarray, seed: int, epoch: int, step: int) -> onp.ndarray:
        """Return the inputs of a minibatch as they are trained on; step counts from 1."""
        if self.augment is None:
            return x
        # A seed sequence does not tell [s, e] from [s, e, 0].
        found = self.augment(x, onp.random.default_rng([seed, epoch, step]))
        found = to_numpy(as_array(found, "what augment returned"), "what augment returned")
        if found.shape[:1] != x.shape[:1]:
            raise ValueError(
                f"augment returned shape {found.shape} for inputs of shape {x.shape}; expected "
                f"{len(x)} examples"
            )
        return found


def _parts(batch: Any, name: str) -> Minibatch:
    """Return a minibatch's inputs, targets and weights, if it has them, as arrays."""
    if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
        raise TypeError(
            f"{name} is a {type(batch).__name__}; expected a pair (x, y) of arrays, or (x, y, "
            "weights)"
        )
    named = zip(batch, "xyw", strict=False)
    x, y, *rest = (as_array(part, f"{name} {letter}") for part, letter in named)
    return x, y, rest[0] if rest else None


def gathered(data: Any, name: str) -> tuple[Any, ...]:
    """Return all minibatches of a stream as one ``(x, y)`` or ``(x, y, weights)``.

    Raises
    ------
    TypeError, ValueError
        There is no minibatch; one is none, or lacks weights that others have.
    """
    batches = [_parts(batch, name) for batch in (data() if callable(data) else data)]
    if not batches:
        raise ValueError(f"{name} gave no minibatch; expected at least one")
    columns = list(zip(*batches, strict=True))
    if columns[2].count(None) not in (0, len(batches)):
        raise ValueError(
            f"of {name}, some minibatches have weights, others none; expected all alike"
        )
    if columns[2][0] is None:
        columns.pop()
    return tuple(onp.concatenate([to_numpy(part, name) for part in column]) for column in columns)
