"""Examples checked against a network and a loss, on its device, ready for training."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as onp

from nnbook._arrays import check_array, is_mxnet, to_numpy
from nnbook.data import check_examples
from nnbook.data.inputs import as_pair
from nnbook.gluon.embeddings import check_ids
from nnbook.gluon.parameters import mxnet_view, named_parameters
from nnbook.gluon.runtime import mx, np
from nnbook.gluon.targets import targets_of
from nnbook.gluon.weighting import Weighted

__all__ = ["Examples", "Rows", "draw_rows", "home", "in_numpy_mode", "number_of", "place"]

Rows = onp.ndarray | slice  # of a minibatch: indices, or a stretch of the data


_Function = TypeVar("_Function", bound=Callable[..., Any])


def in_numpy_mode(function: _Function) -> _Function:
    """Let a function use MXNet's NumPy interface in any thread; in a new one it is off."""
    return mx.util.use_np(function)


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
        ``loss(outputs, targets)``, one value per example. Of a `Weighted` one, targets may have
        their weights beside them, and else have the weight 1.
    name : str
        What messages call the data.

    Attributes
    ----------
    x, y : mxnet.numpy.ndarray
        On the network's device; y as the loss takes it.
    classifies : bool
        Whether the targets are classes, so that there is an accuracy.
    targets : int
        How many targets there are.
    metrics : dict of str to callable
        What `evaluate` measures besides, ``metric(y, outputs)``.

    Raises
    ------
    TypeError, ValueError
        Not a pair; NaN, wrong lengths, an empty set; targets that are not what the loss takes, such
        as labels out of range; a network or loss that does not take the data.
    """

    def __init__(self, net: Any, data: tuple[Any, Any], loss: Callable[..., Any], name: str):
        if not callable(loss):
            raise TypeError(f"loss is {loss!r}; expected a function loss(outputs, targets)")
        x, y = as_pair(data, name)
        self.net, self.loss = net, loss
        self.metrics: dict[str, Callable[[onp.ndarray, onp.ndarray], float]] = {}
        labels = y
        if isinstance(loss, Weighted):
            y = loss.pack(y)
            labels = loss.split(y)[0]
        check_examples(x, labels, name=name)
        device, dtype = home(net)
        self.x = place(x, dtype, device, f"{name} x")
        self.y = place(y, _dtype_for(y, dtype), device, f"{name} y")
        self._shape, self._targets = self._probe(name), targets_of(loss)
        check_ids(net, x, f"{name} x")
        self._targets.check(to_numpy(labels), self._shape, name)
        self.classifies = self._targets.are_classes(labels, self._shape)
        self.targets = int(labels.size)

    def _probe(self, name: str) -> tuple[int, ...]:
        """Run two examples through network and loss; return the shape of the outputs."""
        x, y = self._few()
        outputs = outputs_of(self.net, x, f"{name}'s examples")
        with mx.autograd.pause(train_mode=False):
            try:
                losses = self.loss(outputs, y)
                losses.wait_to_read()
            except Exception as error:
                shapes = ", ".join(str(tuple(part.shape)) for part in _parts(outputs))
                raise ValueError(
                    f"the loss does not take outputs of shape {shapes} with targets of shape "
                    f"{tuple(y.shape)}: {_first_line(error)}"
                ) from error
        if losses.ndim > 1 or losses.shape[:1] not in ((), (1,), (len(x),)):
            raise ValueError(
                f"the loss returned shape {tuple(losses.shape)} for {len(x)} examples; expected "
                "one value per example, or one"
            )
        shape = tuple(outputs.shape) if hasattr(outputs, "shape") else ()
        if shape == (2, 1) and self._mixes(outputs, y, losses):
            raise ValueError(
                f"the loss of one of {name}'s examples depends on the targets of others: outputs "
                "of shape (n, 1) and targets of shape (n,) make (n, n); expected targets of shape "
                "(n, 1), y.reshape(-1, 1)"
            )
        return shape

    def _mixes(self, outputs: np.ndarray, y: np.ndarray, losses: np.ndarray) -> bool:
        """Tell whether the losses of two examples change when each is alone."""
        labels = self.loss.split(y)[0] if isinstance(self.loss, Weighted) else y
        if labels.ndim > 1 or losses.shape != (2,):
            return False
        rows = (slice(0, 1), slice(1, 2))
        with mx.autograd.pause(train_mode=False):
            alone = [float(self.loss(outputs[row], y[row]).sum()) for row in rows]
        return not onp.allclose(losses.asnumpy(), alone, rtol=1e-3, equal_nan=True)

    def _few(self) -> tuple[np.ndarray, np.ndarray]:
        """Return two examples as they are trained on."""
        return self.x[:2], self.y[:2]

    def __len__(self) -> int:
        return int(self.x.shape[0])

    @property
    def memory(self) -> Any:
        """What the rows of a minibatch are of: with `x`, `y`, `batch` and a length."""
        return self

    def fed(self, rows: Iterator[Rows], seed: int, epoch: int) -> Iterator[Rows]:
        """Yield the rows of each minibatch of an epoch once they are in memory."""
        return rows

    def labels(self) -> onp.ndarray:
        """Return the targets without weights, as NumPy."""
        y = self.y.asnumpy()
        return self.loss.split(y)[0] if isinstance(self.loss, Weighted) else y

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
        """Return the mean loss, for class labels the accuracy, and what `metrics` measure.

        Parameters
        ----------
        batch_size : int
            How many examples at once.

        Returns
        -------
        dict
            ``{"loss": …, "accuracy": …}``; of weights whose mean is 1, both are weighted means.
        """
        loss, correct, kept = 0.0, 0.0, []
        with mx.autograd.pause(train_mode=False):
            for start in range(0, len(self), batch_size):
                x, y = self.x[start : start + batch_size], self.y[start : start + batch_size]
                outputs = self.net(x)
                loss += float(self.loss(outputs, y).mean()) * len(x)
                if self.classifies:
                    correct += float(self.count_right(outputs.asnumpy(), y.asnumpy())[0])
                if self.metrics:
                    kept.append(outputs.asnumpy())
        result = {"loss": loss / len(self)}
        if self.classifies:
            result["accuracy"] = correct / self.targets
        if self.metrics:
            y, every = self.labels(), onp.concatenate(kept)
            result |= {name: metric(y, every) for name, metric in self.metrics.items()}
        return result

    def count_right(self, outputs: onp.ndarray, y: onp.ndarray, members: int = 1) -> onp.ndarray:
        """Count for how many targets the outputs are right, where the targets are classes.

        Parameters
        ----------
        outputs : numpy.ndarray
            Of some examples, by one network or by several, one after the other.
        y : numpy.ndarray, shape (n, …)
            The targets, as in `y`.
        members : int
            How many networks.

        Returns
        -------
        numpy.ndarray, shape (members,)
            Of weighted examples, the sum of the weights of those that are right.
        """
        weights = None
        if isinstance(self.loss, Weighted):
            y, weights = self.loss.split(y)
        outputs = outputs.reshape(members, len(y), *self._shape[1:])
        threshold, axis = self._targets.threshold, self._targets.axis
        if threshold is None:
            right = outputs.argmax(axis=axis if axis < 0 else axis + 1) == y
        else:  # a target that is not class 1 is 0, or −1
            right = (outputs > threshold).reshape(members, *y.shape) == (y > 0)
        if weights is not None:
            return right.reshape(members, len(y), -1).sum(axis=2) @ weights
        return right.reshape(members, -1).sum(axis=1)

    def decided(self, outputs: onp.ndarray) -> onp.ndarray:
        """Return the classes that outputs choose, numbered as the targets are.

        Raises
        ------
        ValueError
            The targets are no classes.
        """
        if not self.classifies:
            raise ValueError(
                "the targets are no classes that the outputs choose from; expected class labels, "
                "or for one output the two classes that the loss takes"
            )
        threshold = self._targets.threshold
        if threshold is None:
            return outputs.argmax(axis=self._targets.axis)
        return onp.where(outputs.reshape(len(outputs), -1)[:, 0] > threshold, 1, 0)

    def losses(self, batch_size: int = 1000) -> onp.ndarray:
        """Return the loss of every example, shape (n,)."""
        parts = []
        with mx.autograd.pause(train_mode=False):
            for start in range(0, len(self), batch_size):
                rows = slice(start, start + batch_size)
                x = self.x[rows]
                parts.append(self.loss(self.net(x), self.y[rows]).asnumpy())
                if parts[-1].shape != (len(x),):
                    raise ValueError(
                        f"the loss returned shape {parts[-1].shape} for {len(x)} examples; "
                        "expected one value for each"
                    )
        return onp.concatenate(parts)

    def identity(self) -> str:
        """Return what tells these data from others."""
        return self.fingerprint()

    def fingerprint(self) -> str:
        """Return a checksum of the data."""
        x, y = self.x.asnumpy(), self.y.asnumpy()
        return f"{x.shape} {zlib.crc32(x.tobytes()):08x} {zlib.crc32(y.tobytes()):08x}"


def outputs_of(net: Any, x: np.ndarray, what: str) -> Any:
    """Run examples through a network as it is used after training, and wait for what it gives.

    Raises
    ------
    ValueError
        It does not take them; the message calls them `what`.
    """
    with mx.autograd.pause(train_mode=False):
        try:
            outputs = net(x)
            for part in _parts(outputs):
                part.wait_to_read()
        except Exception as error:
            raise ValueError(
                f"the network does not take {what} of shape {tuple(x.shape[1:])}: "
                f"{_first_line(error)}"
            ) from error
    return outputs


def home(net: Any) -> tuple[mx.Context, str]:
    """Return the device and dtype of a network's parameters."""
    for parameter in named_parameters(net).values():
        if parameter._data is not None and not isinstance(parameter._data[0], np.ndarray):
            raise ValueError(
                "the network was made without MXNet's NumPy interface, which is off in a new "
                "thread; call nnbook.runtime.use_numpy_mode() there before you make it"
            )
        if parameter._data is not None or parameter._deferred_init:
            return parameter.list_ctx()[0], onp.dtype(parameter.dtype).name
        raise ValueError(
            f"parameter {parameter.name!r} is not initialised; call net.initialize() first"
        )
    raise ValueError("the network has no parameters")


def place(array: Any, dtype: str, device: mx.Context, name: str = "x") -> np.ndarray:
    """Bring an array to a device and dtype; what is already there is shared, not copied.

    Raises
    ------
    TypeError, ValueError
        No dense array; a finite number that the dtype would make infinite.
    """
    check_array(array, name)
    wide, narrow = onp.dtype(array.dtype), onp.dtype(dtype)
    if wide.kind == narrow.kind == "f" and wide.itemsize > narrow.itemsize:
        array = _narrowed(array, narrow, name)
    if is_mxnet(array):  # of either interface
        return array.as_np_ndarray().astype(dtype, copy=False).as_in_ctx(device)
    if device == mx.cpu() and array.size:
        return mxnet_view(array, narrow)
    return np.array(array, dtype=dtype, ctx=device)


def _narrowed(array: Any, dtype: onp.dtype, name: str) -> onp.ndarray:
    """Bring an array to NumPy and a narrower dtype, unless that makes a number infinite."""
    values = to_numpy(array, name)
    with onp.errstate(over="ignore", invalid="ignore"):
        found = values.astype(dtype)
        if onp.isfinite(found.sum()):
            return found
    beyond = values[onp.isinf(found) & onp.isfinite(values)]
    if beyond.size:
        raise ValueError(
            f"{name} reaches {onp.abs(beyond).max():.3g}, beyond the numbers of {dtype} that the "
            "network computes in; divide it by a constant, or cast the network to float64"
        )
    return found


def _dtype_for(y: Any, dtype: str) -> str:
    """Return the dtype for targets: whole numbers stay such where int32 holds them."""
    if onp.dtype(y.dtype).kind not in "iu":
        return dtype
    values, limits = to_numpy(y), onp.iinfo("int32")
    return "int32" if limits.min <= values.min() and values.max() <= limits.max else dtype


def _parts(outputs: Any) -> list[Any]:
    """Return the outputs of a network that may have several."""
    if isinstance(outputs, (tuple, list)):
        return [part for one in outputs for part in _parts(one)]
    return [outputs]


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    # MXNet puts a C++ stack trace first; the message itself comes last.
    return lines[-1].strip() if lines else type(error).__name__
