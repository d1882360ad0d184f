"""A copy of a network to try things on, so that the caller's stays as it is."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as onp

from nnbook.gluon.examples import Examples
from nnbook.gluon.parameters import ParameterVector, blocks_of, clone, named_parameters
from nnbook.gluon.runtime import mx, np

nn = mx.gluon.nn

__all__ = ["Twin", "batch_for", "copy_of", "preserved_luck"]

Pair = tuple[Any, Any]


def copy_of(net: Any, dropout: bool = True) -> Any:
    """Return a copy of a network without its forward hooks, which belong to somebody.

    Parameters
    ----------
    net : mxnet.gluon.Block
        The network.
    dropout : bool
        Whether Gluon's dropout layers go on dropping.
    """
    for name, parameter in named_parameters(net).items():
        if parameter._data is None:
            raise ValueError(_why_not_ready(name, parameter))
    twin = clone(net)
    for block in blocks_of(twin):
        block._forward_hooks.clear()
        if not dropout:
            if isinstance(block, nn.Dropout):
                block._rate = 0.0
            elif isinstance(block, mx.gluon.rnn.rnn_layer._RNNLayer):
                block._dropout = 0.0
    return twin


def _why_not_ready(name: str, parameter: Any) -> str:
    if not parameter._deferred_init:
        return f"parameter {name!r} is not initialised; call net.initialize() first"
    # Every copy would draw initial weights of its own.
    return (
        f"parameter {name!r} has the deferred shape {parameter.shape}; expected known shapes. "
        "Run one batch through the network first, or give in_units"
    )


class Twin:
    """A copy of a network, with the loss of some examples as a function of its θ.

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
        self._flat = self.vector.theta.as_nd_ndarray()
        if before is not None:
            with self.vector.preserved():
                self.losses(x=self.like_x(before), training=True).wait_to_read()
        self.random = self.varies(training=True)

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

    def loss(self, training: bool = True) -> float:
        """Return the mean loss, every time with the same luck."""
        if self.random:
            reseed(self.seed)
        return float(self.losses(training=training).mean())

    def gradient(self) -> onp.ndarray:
        """Return the gradient of the mean loss by automatic differentiation, shape (P,)."""
        if self.random:
            reseed(self.seed)
        self.vector.grad[...] = 0
        with mx.autograd.record():
            objective = self._loss(self.net(self.x), self.y).mean()
        objective.backward()
        return self.vector.grad.asnumpy().astype("float64")

    def output_slopes(self) -> tuple[onp.ndarray, onp.ndarray, onp.ndarray]:
        """Return outputs, the loss of each example (or the one), and the slopes in the outputs."""
        outputs = self.outputs().detach()
        outputs.attach_grad()
        with mx.autograd.record(train_mode=False):
            losses = self._loss(outputs, self.y)
        losses.backward()
        return outputs.asnumpy(), losses.asnumpy(), outputs.grad.asnumpy()

    def along(self, coordinate: int) -> Callable[[float], float]:
        """Return the loss as a function of the distance along a coordinate of θ."""
        part = self._flat[coordinate : coordinate + 1]
        start = float(part.asscalar())

        def function(distance: float) -> float:
            part[:] = start + distance
            try:
                return self.loss()
            finally:
                part[:] = start

        return function

    def along_direction(self, direction: onp.ndarray) -> Callable[[float], float]:
        """Return the loss as a function of the distance along a direction, shape (P,)."""
        start = self.vector.theta.asnumpy()

        def function(distance: float) -> float:
            self.vector.theta = start + distance * direction.astype(start.dtype)
            try:
                return self.loss()
            finally:
                self.vector.theta = start

        return function


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


def batch_for(x: Any, y: Any, size: int, seed: int) -> tuple[Any, Any]:
    """Draw some examples, without repetition, as NumPy arrays."""
    x, y = _numpy(x), _numpy(y)
    if len(x) <= size:
        return x, y
    rows = onp.random.default_rng(seed).choice(len(x), size=size, replace=False)
    return x[rows], y[rows]


def _numpy(array: Any) -> onp.ndarray:
    return array.asnumpy() if hasattr(array, "asnumpy") else onp.asarray(array)
