"""Minibatches prepared by a worker while the one before is trained on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as onp

from nnbook._arguments import check_flag, check_seed, check_whole
from nnbook._arrays import Array, common_length, take_rows

__all__ = ["ahead", "prepared"]

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


def ahead(
    function: Callable[[_Given], _Made], items: Iterable[_Given], depth: int = 1
) -> Iterator[_Made]:
    """Yield function(item) of every item, in order, computed by a thread while they are used.

    It pays where the function leaves Python, as NumPy's and MXNet's do for large arrays. An
    exception of the function or of the items is raised where its result would have come.

    Parameters
    ----------
    function : callable
        Of one item; called in the worker, one item after the other.
    items : iterable
        Taken in the caller's thread, `depth` ahead.
    depth : int
        How many results may wait.

    Yields
    ------
    object
        What the function returned.

    Examples
    --------
    >>> from nnbook import data
    >>> list(data.ahead(lambda k: k * k, range(4)))
    [0, 1, 4, 9]
    """
    depth = check_whole(depth, "depth")
    waiting: deque[Any] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="nnbook") as worker:
        try:
            for item in items:
                waiting.append(worker.submit(function, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()


class prepared:
    """Minibatches of one epoch after the other, changed on the way: what ``fit(train=…)`` takes.

    Each call returns an iterator over the minibatches of the next epoch. Everything random in epoch
    e is decided by the seed and e: the order, and for a `Deformation` each example's own luck,
    whatever minibatch it is in. The same numbers come with and without the worker.

    Parameters
    ----------
    x, y : array
        Examples, shape (n, …), and their targets, NumPy or MXNet.
    batch_size : int
        B.
    augment : Deformation or callable, optional
        ``augment(x, rng) -> x``.
    mix : callable, optional
        ``mix(x, y, rng) -> (x, y)`` after it, such as `mixup`.
    seed : int
        Of everything.
    worker : bool
        Whether a thread prepares the next minibatch.

    Attributes
    ----------
    epoch : int
        How many epochs have begun. Set it to go on with a run that was resumed.

    Raises
    ------
    ValueError, TypeError
        Bad arrays, a batch size below 1, or something that cannot be called.

    Examples
    --------
    >>> from nnbook import data
    >>> x, y = numpy.zeros((5, 4, 4)), numpy.arange(5)
    >>> batches = data.prepared(x, y, 2, augment=data.Deformation(shift=1))
    >>> [len(labels) for images, labels in batches()], batches.epoch
    ([2, 2, 1], 1)
    """

    def __init__(
        self,
        x: Array,
        y: Array,
        batch_size: int = 32,
        *,
        augment: Any = None,
        mix: Callable[[Array, Array, Any], tuple[Array, Array]] | None = None,
        seed: int = 0,
        worker: bool = True,
    ):
        self.count = common_length((x, y))
        for name, function in (("augment", augment), ("mix", mix)):
            if function is not None and not callable(function):
                raise TypeError(f"{name} is {function!r}; expected a function")
        self.x, self.y, self.augment, self.mix = x, y, augment, mix
        self.batch_size, self.seed = check_whole(batch_size, "batch_size"), check_seed(seed)
        self.worker, self.epoch = check_flag(worker, "worker"), 0

    def __len__(self) -> int:
        """Return how many minibatches an epoch has."""
        return -(-self.count // self.batch_size)

    def __call__(self) -> Iterator[tuple[Array, Array]]:
        """Begin the next epoch; return its minibatches."""
        self.epoch += 1
        return self.of_epoch(self.epoch)

    def of_epoch(self, epoch: int) -> Iterator[tuple[Array, Array]]:
        """Return the minibatches of one epoch, which count from 1.

        Parameters
        ----------
        epoch : int
            Which.
        """
        order = onp.random.default_rng([self.seed, epoch]).permutation(self.count)
        parts = [
            (epoch, step, order[start : start + self.batch_size])
            for step, start in enumerate(range(0, self.count, self.batch_size), 1)
        ]
        return ahead(self._make, parts) if self.worker else map(self._make, parts)

    def _make(self, part: tuple[int, int, onp.ndarray]) -> tuple[Array, Array]:
        epoch, step, rows = part
        x, y = take_rows(self.x, rows), take_rows(self.y, rows)
        # A seed sequence does not tell [s, e] from [s, e, 0]; steps count from 1.
        rng = onp.random.default_rng([self.seed, epoch, step])
        if hasattr(self.augment, "of_epoch"):
            x = self.augment.of_epoch(x, epoch, self.seed, rows)
        elif self.augment is not None:
            x = self.augment(x, rng)
        return (x, y) if self.mix is None else self.mix(x, y, rng)
