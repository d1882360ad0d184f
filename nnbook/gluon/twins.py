"""A copy of a network to try things on, so that the caller's stays as it is."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as onp

from nnbook.findings import Finding
from nnbook.gluon.copies import clone
from nnbook.gluon.examples import Examples
from nnbook.gluon.parameters import (
    ParameterVector,
    blocks_of,
    check_ready,
    host_view,
    named_parameters,
)
from nnbook.gluon.runtime import mx, np

nn = mx.gluon.nn

__all__ = ["Twin", "copy_of", "make_twin", "preserved_luck", "unsteady"]


def copy_of(net: Any, dropout: bool = True) -> Any:
    """Return a copy of a network without its forward hooks, which belong to somebody.

    Parameters
    ----------
    net : mxnet.gluon.Block
        The network, its shapes known: else every copy would draw initial weights of its own.
    dropout : bool
        Whether Gluon's dropout layers go on dropping.
    """
    check_ready(named_parameters(net))
    twin = clone(net)
    for block in blocks_of(twin):
        block._forward_hooks.clear()
        if not dropout:
            if isinstance(block, nn.Dropout):
                block._rate = 0.0
            elif isinstance(block, mx.gluon.rnn.rnn_layer._RNNLayer):
                block._dropout = 0.0
    return twin


class Twin:
    """A copy of a network, an `Objective` of some examples.

    Parameters
    ----------
    net, loss, x, y
        As for `nnbook.training.fit`.
    dtype : str or None
        Of the copy; None keeps the network's own.
    seed : int
        Of whatever is random in the network: every evaluation draws the same.
    before : array, optional
        Other examples to run through the copy first, as the minibatch before would have.

    Attributes
    ----------
    net : mxnet.gluon.Block
        The copy.
    vector : ParameterVector
        Its θ.
    why_not : str
        Why it is not in float64, if somebody tried.
    random : bool
        Whether two evaluations in training differ unless they are seeded.
    """

    def __init__(
        self,
        net: Any,
        loss: Any,
        x: Any,
        y: Any,
        *,
        dtype: str | None = None,
        seed: int = 0,
        before: Any = None,
    ):
        self.net, self.seed, self.why_not = copy_of(net), seed, ""
        checked = Examples(self.net, (x, y), loss, name="data")  # also makes shapes known
        if dtype is not None and str(checked.x.dtype) != dtype:
            self.net.cast(dtype)
            checked = Examples(self.net, (x, y), loss, name="data")
        self.x, self.y, self.classifies = checked.x, checked.y, checked.classifies
        self._loss = loss
        self.vector = ParameterVector(self.net)
        if before is not None:
            with self.vector.preserved():
                self.losses(x=self.like_x(before), training=True).wait_to_read()
        self.random = self.varies(training=True)

    @property
    def size(self) -> int:
        """P, the number of entries of θ."""
        return len(self.vector)

    @property
    def slices(self) -> dict[str, slice]:
        """The part of θ that belongs to each parameter."""
        return self.vector.slices

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter."""
        return self.vector.shapes

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return len(self.x)

    @property
    def theta(self) -> onp.ndarray:
        """θ, shape (P,), as a copy. Assigning to it changes the copy of the network."""
        return self.vector.theta.asnumpy()

    @theta.setter
    def theta(self, values: onp.ndarray) -> None:
        theta = self.vector.theta
        if theta.ctx.device_type == "cpu":  # a difference quotient needs it twice for each entry
            host_view(theta)[...] = values
        else:
            self.vector.theta = values

    @property
    def dtype(self) -> str:
        """The dtype of the copy."""
        return str(onp.dtype(self.vector.theta.dtype))

    def varies(self, training: bool) -> bool:
        """Tell whether evaluations that are not seeded give different losses."""
        # More than two, since a mask of few units may come twice by chance.
        values = [float(self.losses(training=training).mean()) for _ in range(4)]
        return len({value for value in values if value == value}) > 1

    def like_x(self, values: Any) -> Any:
        """Return examples as an array of the kind of the copy's own."""
        return np.array(onp.ascontiguousarray(values), dtype=self.x.dtype, ctx=self.x.ctx)

    def outputs(self, x: Any = None, training: bool = False) -> Any:
        """Return the outputs for the examples, or for others."""
        with mx.autograd.train_mode() if training else mx.autograd.predict_mode():
            return self.net(self.x if x is None else x)

    def losses(self, x: Any = None, y: Any = None, training: bool = False) -> Any:
        """Return the losses as the loss function gives them: one each, or one."""
        outputs = self.outputs(x, training)
        return self._loss(outputs, self.y if y is None else y)

    def loss(self, rows: Any = None, training: bool = True) -> float:
        """Return the mean loss of some rows, every time with the same luck."""
        if self.random:
            reseed(self.seed)
        return float(self.losses(*self._rows(rows), training=training).mean())

    def gradient(self, rows: Any = None) -> onp.ndarray:
        """Return the gradient of the mean loss by automatic differentiation, shape (P,)."""
        x, y = self._rows(rows)
        if self.random:
            reseed(self.seed)
        self.vector.grad[...] = 0
        with mx.autograd.record():
            objective = self._loss(self.net(x), y).mean()
        objective.backward()
        return self.vector.grad.asnumpy().astype("float64")

    def _rows(self, rows: Any) -> tuple[Any, Any]:
        """Return some of the examples and targets, by default all."""
        return (self.x, self.y) if rows is None else (self.x[rows], self.y[rows])

    def output_slopes(self) -> tuple[onp.ndarray, onp.ndarray, onp.ndarray]:
        """Return outputs, the loss of each example (or the one), and the slopes in the outputs."""
        outputs = self.outputs().detach()
        outputs.attach_grad()
        with mx.autograd.record(train_mode=False):
            losses = self._loss(outputs, self.y)
        losses.backward()
        return outputs.asnumpy(), losses.asnumpy(), outputs.grad.asnumpy()


def make_twin(
    net: Any, loss: Any, x: Any, y: Any, *, dtype: str = "float64", **options: Any
) -> Twin:
    """Return a copy in float64, or in the network's own dtype where float64 does not work."""
    try:
        return Twin(net, loss, x, y, dtype=dtype, **options)
    except Exception as error:
        if dtype != "float64":
            raise
        # Whatever it was, either float64 is at fault, or the next line raises it again.
        twin = Twin(net, loss, x, y, **options)
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        twin.why_not = lines[-1] if lines else type(error).__name__
        return twin


def unsteady(twin: Twin, check: str) -> list[Finding]:
    """Find out whether the network is random in use."""
    if not twin.varies(training=False):
        return []
    message = "two evaluations of the same examples differ, outside training too"
    advice = "look for dropout or noise that does not ask autograd.is_training()"
    return [Finding(check, "error", message, advice)]


def reseed(seed: int) -> None:
    """Seed what a network or an augmentation draws from."""
    mx.random.seed(seed)
    onp.random.seed(seed)  # noqa: NPY002
    random.seed(seed)


@contextmanager
def preserved_luck() -> Iterator[None]:
    """Leave the random generators as if nothing had been drawn, as far as that can be done.

    NumPy's and Python's are put back. MXNet's cannot be read: it goes on from a number that it
    drew before, so that what follows still depends on the seed that was set before.
    """
    numbers, python = onp.random.get_state(), random.getstate()  # noqa: NPY002
    following = int(np.random.randint(0, 2**31 - 1, size=(1,), dtype="int32").item())
    try:
        yield
    finally:
        onp.random.set_state(numbers)  # noqa: NPY002
        random.setstate(python)
        mx.random.seed(following)
