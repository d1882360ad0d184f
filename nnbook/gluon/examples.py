"""Examples checked against a network and a loss, on its device, ready for training."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as onp

from nnbook.data import check_examples, check_labels
from nnbook.gluon.losses import hinge, softmax_cross_entropy
from nnbook.gluon.parameters import named_parameters
from nnbook.gluon.runtime import mx, np

__all__ = ["Examples", "Rows", "draw_rows", "home", "number_of", "place"]

Rows = onp.ndarray | slice  # of a minibatch: indices, or a stretch of the data


def number_of(rows: Rows) -> int:
    """Return how many examples some rows are."""
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def draw_rows(source: onp.ndarray, rows: Rows, target: onp.ndarray) -> None:
    """Copy some rows of one array into another of that size."""
    if isinstance(rows, slice):
        target[...] = source[rows]
    else:
        source.take(rows, axis=0, out=target, mode="clip")


class Examples:
    """A data set that a network and a loss accept.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialised network; two examples are run through it, so deferred shapes become known.
    data : tuple of array
        ``(x, y)``: examples (n, …), integer labels (n,) or targets (n, k).
    loss : callable
        ``loss(outputs, targets)``, one value per example.
    name : str
        What messages call the data.

    Raises
    ------
    TypeError, ValueError
        Not a pair; NaN, wrong lengths, an empty set; labels out of range; a network or loss that
        does not take the data.
    """

    def __init__(self, net: Any, data: tuple[Any, Any], loss: Callable[..., Any], name: str):
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise TypeError(f"{name} is a {type(data).__name__}; expected a pair (x, y) of arrays")
        self.net, self.loss = net, loss
        x, y = data
        check_examples(x, y, name=name)
        device, dtype = home(net)
        self.x = place(x, dtype, device)
        self.labelled = _is_integer(y)
        self.y = place(y, "int32" if self.labelled else dtype, device)
        n_outputs = self._probe(name)
        self.classifies = self.y.ndim == 1 and n_outputs > 1 and (self.labelled or _of_labels(loss))
        if self.classifies:
            check_labels(y, n_outputs, name=name)

    def _probe(self, name: str) -> int:
        """Run two examples through network and loss; return the number of outputs of each."""
        x, y = self.x[:2], self.y[:2]
        try:
            outputs = self.net(x)
            outputs.wait_to_read()
        except Exception as error:
            raise ValueError(
                f"the network does not take {name}'s examples of shape {tuple(x.shape[1:])}: "
                f"{_first_line(error)}"
            ) from error
        try:
            losses = self.loss(outputs, y)
            losses.wait_to_read()
        except Exception as error:
            raise ValueError(
                f"the loss does not take outputs of shape {tuple(outputs.shape)} with targets of "
                f"shape {tuple(y.shape)}: {_first_line(error)}"
            ) from error
        if losses.ndim > 1 or losses.shape[:1] not in ((), (1,), (len(x),)):
            raise ValueError(
                f"the loss returned shape {tuple(losses.shape)} for {len(x)} examples; expected "
                "one value per example, or one"
            )
        return int(outputs.shape[1]) if outputs.ndim == 2 else 0

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def batch(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return the examples and targets of some rows, on the device.

        Parameters
        ----------
        rows : numpy.ndarray of int or slice
            Which.

        Returns
        -------
        x, y : mxnet.numpy.ndarray
        """
        if isinstance(rows, slice):
            return self.x[rows], self.y[rows]
        chosen = np.array(rows, dtype="int32", ctx=self.x.ctx)
        return np.take(self.x, chosen, axis=0), np.take(self.y, chosen, axis=0)

    def evaluate(self, batch_size: int = 1000) -> dict[str, float]:
        """Return the mean loss and, for class labels, the accuracy.

        Parameters
        ----------
        batch_size : int
            How many examples at once.

        Returns
        -------
        dict
            ``{"loss": …, "accuracy": …}``.
        """
        loss, correct = 0.0, 0
        for start in range(0, len(self), batch_size):
            x, y = self.x[start : start + batch_size], self.y[start : start + batch_size]
            outputs = self.net(x)
            loss += float(self.loss(outputs, y).mean()) * len(x)
            if self.classifies:
                correct += int((outputs.argmax(axis=1).astype(y.dtype) == y).sum())
        result = {"loss": loss / len(self)}
        if self.classifies:
            result["accuracy"] = correct / len(self)
        return result

    def losses(self, batch_size: int = 1000) -> onp.ndarray:
        """Return the loss of every example, shape (n,)."""
        parts = []
        for start in range(0, len(self), batch_size):
            rows = slice(start, start + batch_size)
            parts.append(self.loss(self.net(self.x[rows]), self.y[rows]).asnumpy())
        return onp.concatenate(parts)

    def fingerprint(self) -> str:
        """Return a checksum of the data."""
        x, y = self.x.asnumpy(), self.y.asnumpy()
        return f"{x.shape} {zlib.crc32(x.tobytes()):08x} {zlib.crc32(y.tobytes()):08x}"


def home(net: Any) -> tuple[mx.Context, str]:
    """Return the device and dtype of a network's parameters."""
    for parameter in named_parameters(net).values():
        if parameter._data is not None or parameter._deferred_init:
            return parameter.list_ctx()[0], onp.dtype(parameter.dtype).name
        raise ValueError(
            f"parameter {parameter.name!r} is not initialised; call net.initialize() first"
        )
    raise ValueError("the network has no parameters")


def place(array: Any, dtype: str, device: mx.Context) -> np.ndarray:
    """Bring an array to a device and dtype; what is already there is not copied."""
    if isinstance(array, mx.nd.NDArray):  # of either interface
        return array.as_np_ndarray().astype(dtype, copy=False).as_in_ctx(device)
    return np.array(array, dtype=dtype, ctx=device)


def _is_integer(array: Any) -> bool:
    return onp.issubdtype(onp.dtype(array.dtype), onp.integer)


def _of_labels(loss: Any) -> bool:
    """Tell whether a loss takes class numbers, which may then come as floating-point numbers."""
    if isinstance(loss, mx.gluon.loss.SoftmaxCrossEntropyLoss):
        return loss._sparse_label
    return loss in (softmax_cross_entropy, hinge)


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    # MXNet puts a C++ stack trace first; the message itself comes last.
    return lines[-1].strip() if lines else type(error).__name__
