"""Minibatches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as onp

from nnbook._arguments import check_flag, check_whole
from nnbook._arrays import (
    Array,
    Rng,
    as_generator,
    common_length,
    take_rows,
)

__all__ = ["minibatches"]


def minibatches(
    data: int | Array | Sequence[Array],
    batch_size: int,
    *,
    rng: Rng | None = None,
    shuffle: bool = True,
    drop_last: bool = False,
) -> Iterator[Any]:
    """Divide an epoch into minibatches: every example once, in a new order.

    Parameters
    ----------
    data : int, array, or tuple (or list) of arrays
        The number of examples, or the arrays themselves (NumPy or MXNet, one length).
    batch_size : int
        Examples per minibatch. The last minibatch has what is left; more than there are
        examples gives one minibatch of all.
    rng : int or numpy.random.Generator
        Gives the order; needed to shuffle. Keep **one generator** over all epochs: the same seed
        again gives the same order again.
    shuffle : bool
        False keeps the examples in their order.
    drop_last : bool
        Leave out a last minibatch that is smaller than the others.

    Returns
    -------
    iterator
        Of index arrays (int64, shape (batch_size,)) if `data` is a number, of arrays if it is an
        array, of tuples of arrays if it is a tuple; arrays are copies, on their device.

    Raises
    ------
    TypeError, ValueError
        At the call: if there are no examples, the arrays' lengths differ, `batch_size` is not an
        integer of at least 1, or `shuffle` is wanted without `rng`.

    Examples
    --------
    >>> rng = numpy.random.default_rng(0)
    >>> for epoch in range(2):
    ...     print([rows.tolist() for rows in minibatches(5, 2, rng=rng)])
    [[2, 4], [3, 0], [1]]
    [[4, 1], [2, 0], [3]]
    """
    data = tuple(data) if isinstance(data, list) else data
    n = _length(data)
    batch_size = check_whole(batch_size, "batch_size")
    check_flag(drop_last, "drop_last")
    order = onp.arange(n)
    if check_flag(shuffle, "shuffle"):
        if rng is None:
            raise TypeError(
                "rng is None, but the examples are to be shuffled: pass rng=generator with one "
                "numpy.random.default_rng(seed) for all epochs, or shuffle=False."
            )
        order = as_generator(rng).permutation(n)
    end = n - n % batch_size if drop_last else n
    if end == 0:
        raise ValueError(
            f"drop_last leaves nothing of {n} examples with the batch_size {batch_size}; expected "
            f"a batch_size of at most {n}, or drop_last=False."
        )
    return _draw(data, [order[i : i + batch_size] for i in range(0, end, batch_size)])


def _draw(data: Any, batches: list[onp.ndarray]) -> Iterator[Any]:
    for rows in batches:
        if isinstance(data, (int, onp.integer)):
            yield rows
        elif isinstance(data, tuple):
            yield tuple(take_rows(array, rows) for array in data)
        else:
            yield take_rows(data, rows)


def _length(data: Any) -> int:
    if isinstance(data, (int, float, onp.number)):
        return check_whole(data, "The number of examples")
    return common_length(data if isinstance(data, tuple) else (data,))
