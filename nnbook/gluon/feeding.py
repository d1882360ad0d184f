"""What `fit` is given as examples, and those that are made minibatch by minibatch.

A stream's minibatch, or an augmented one, is written into one piece of memory, of which the engine
takes rows as it takes them of a whole data set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as onp

from nnbook._arrays import to_numpy
from nnbook.data.inputs import Feed, as_pair, gathered, is_stream, refuse_spent
from nnbook.data.validation import check_examples
from nnbook.data.weights import example_weights
from nnbook.gluon.embeddings import check_values, entrance_of
from nnbook.gluon.examples import Examples, Rows, home, place
from nnbook.gluon.parameters import host_view
from nnbook.gluon.runtime import mx, np
from nnbook.gluon.weighting import Weighted
from nnbook.training.identity import describe

__all__ = ["FedExamples", "brought", "examples_of", "weighed"]


def brought(
    train: Any,
    validation: Any,
    loss: Any,
    *,
    epochs: int,
    class_weight: Any = None,
    sample_weight: Any = None,
    augment: Callable[[Any, Any], Any] | None = None,
) -> tuple[Any, Any, Any]:
    """Bring what `fit` was given to what a run takes.

    Parameters
    ----------
    train, validation, loss, epochs, class_weight, sample_weight, augment
        As for `nnbook.training.fit`.

    Returns
    -------
    train : tuple of array, or Feed
        For `examples_of`.
    validation : tuple of array or None
        ``(x, y)``.
    loss : callable
        A `Weighted` one, and targets with their weights beside them, where anything has weights.

    Raises
    ------
    TypeError, ValueError
        What is none of what `fit` takes.
    """
    held_out, held_out_weights = _validation(validation)
    if is_stream(train):
        refuse_spent(train, epochs)
        if sample_weight is not None or (isinstance(class_weight, str)):
            raise ValueError(
                "train is a stream of minibatches, so nobody knows how many examples of what there "
                "are; expected their weights in it, as minibatches (x, y, weights), or "
                "class_weight as a dict"
            )
        found: Any = Feed(train, augment, class_weight)
        _, y, weights = found.first
    else:
        x, y = as_pair(train, "train")
        weights = example_weights(y, class_weight, sample_weight)
        found = x, y
    if not (weights is None and class_weight is None and held_out_weights is None):
        loss = Weighted(loss, y)
        if isinstance(found, tuple):
            found = x, loss.pack(y, weights)
    if held_out_weights is not None:
        held_out = weighed(held_out, held_out_weights, loss, "validation")
    if augment is not None and isinstance(found, tuple):
        found = Feed(found, augment)
    return found, held_out, loss


def _validation(validation: Any) -> tuple[Any, Any]:
    """Return a pair, or None, and its weights, or None."""
    if validation is not None and is_stream(validation):
        validation = gathered(validation, "validation")
    if isinstance(validation, (tuple, list)) and len(validation) == 3:
        return validation[:2], validation[2]
    return validation, None


def weighed(data: Any, weights: Any, loss: Weighted, name: str) -> tuple[Any, Any]:
    """Return examples to evaluate, their weights beside their targets: their mean becomes 1."""
    x, y = as_pair(data, name)
    found = example_weights(y, sample_weight=weights, name=name)
    assert found is not None
    return x, loss.pack(y, found / found.mean())


def examples_of(net: Any, train: Any, loss: Any, batch_size: int) -> Examples:
    """Return the examples to train on, of a pair or a `Feed`."""
    if isinstance(train, Feed):
        return FedExamples(net, train, loss, batch_size)
    return Examples(net, train, loss, name="train")


class FedExamples(Examples):
    """Examples of which each minibatch is made when it is its turn.

    As a data set they are the first minibatch of a stream, or all examples as they are without
    augmentation.

    Parameters
    ----------
    net, loss
        As for `Examples`.
    feed : Feed
        Where minibatches come from.
    batch_size : int
        The largest minibatch, of what is no stream.
    """

    def __init__(self, net: Any, feed: Feed, loss: Any, batch_size: int):
        self._feed = feed
        x, y, weights = feed.first
        super().__init__(net, (x, self._packed(y, weights, loss)), loss, name="train")
        on_host = self.x.ctx.device_type == "cpu"
        self._host = [host_view(a) if on_host else a.asnumpy() for a in (self.x, self.y)]
        rows = slice(0, len(self) if feed.streamed else min(batch_size, len(self)))
        first = feed.augmented(self._host[0][rows].copy(), 0, 1, 1)
        self._memory = _Memory(self._placed(first), self.y[rows])

    def _packed(self, y: Any, weights: Any, loss: Any) -> Any:
        if not isinstance(loss, Weighted):
            if weights is not None:
                raise ValueError("a minibatch has weights, the first had none; expected all alike")
            return y
        weights = example_weights(y, self._feed.class_weight, weights, whole=False)
        return y if loss.is_packed(y) and weights is None else loss.pack(y, weights)

    def _placed(self, x: onp.ndarray) -> np.ndarray:
        device, dtype = home(self.net)
        return place(x, dtype, device, "what augment returned")

    def _few(self) -> tuple[np.ndarray, np.ndarray]:
        """Return two examples as they are trained on."""
        x = self._feed.augmented(self.x[:2].asnumpy(), 0, 1, 1)
        return self._placed(x), self.y[:2]

    @property
    def memory(self) -> Any:
        """What holds the minibatch whose turn it is."""
        return self._memory

    def fed(self, rows: Iterator[Rows], seed: int, epoch: int) -> Iterator[Rows]:
        """Yield the rows of each minibatch of an epoch once they are in memory."""
        if not self._feed.streamed:
            for step, part in enumerate(rows, 1):
                x, y = (array[part] for array in self._host)
                x = x.copy() if isinstance(part, slice) else x
                yield self._memory.fill(self._feed.augmented(x, seed, epoch, step), y)
            return
        for step, (x, y, weights) in enumerate(self._feed.passed(), 1):
            values, targets = self._checked(x, y, f"train's minibatch {step} of epoch {epoch}")
            values = self._feed.augmented(values.astype(self.x.dtype), seed, epoch, step)
            yield self._memory.fill(values, self._packed(targets, weights, self.loss))

    def _checked(self, x: Any, y: Any, name: str) -> tuple[onp.ndarray, onp.ndarray]:
        """Refuse a minibatch that the network or the loss would take for something else."""
        x, y = to_numpy(x, f"{name} x"), to_numpy(y, f"{name} y")
        check_examples(x, y, name=name)
        self._targets.check(y, (len(y), *self._shape[1:]), name)
        entrance = entrance_of(self.net)
        if isinstance(entrance, mx.gluon.nn.Embedding):
            check_values(x, entrance, f"{name} x")
        return x, y

    def identity(self) -> str:
        """Return what tells these data from others: of a stream, the kind of its minibatches."""
        found = self.fingerprint()
        if self._feed.streamed:
            kinds = [f"{a.shape[1:]} {onp.dtype(a.dtype).name}" for a in (self.x, self.y)]
            found = f"minibatches of {', '.join(kinds)}, {describe(self._feed.class_weight)}"
        if self._feed.augment is not None:
            found += f", augmented by {describe(self._feed.augment)}"
        return found


class _Memory:
    """The memory of one minibatch."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self.x, self.y = x.copy(), y.copy()  # never the caller's own
        self._views = None
        if x.ctx.device_type == "cpu":
            self._views = host_view(self.x), host_view(self.y)

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def batch(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return the examples and targets of some rows, on the device."""
        return self.x[rows], self.y[rows]

    def fill(self, *parts: onp.ndarray) -> slice:
        """Write a minibatch; return its rows."""
        size = len(parts[0])
        for values, array, name in zip(parts, (self.x, self.y), "xy", strict=True):
            if size > len(self) or values.shape[1:] != tuple(array.shape[1:]):
                raise ValueError(
                    f"a minibatch has {name} of shape {values.shape}; the first had "
                    f"{tuple(array.shape)}, expected this shape and no more examples. Give the "
                    "largest first, and pad sequences to one length"
                )
            kinds = onp.dtype(array.dtype).kind, values.dtype.kind
            if kinds == ("i", "f") and (values != onp.floor(values)).any():
                raise ValueError(
                    f"a minibatch has {name} with fractions, and the first had whole numbers; "
                    "expected floating-point numbers in all"
                )
        for k, values in enumerate(parts):
            if self._views is not None:
                self._views[k][:size] = values
            else:
                array = (self.x, self.y)[k]
                array[:size] = np.array(values, dtype=array.dtype, ctx=array.ctx)
        return slice(0, size)
