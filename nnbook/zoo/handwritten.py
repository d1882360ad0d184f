"""Operations whose derivatives are written by hand, right and wrong."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook import layers
from nnbook.gluon.runtime import mx, np, npx

__all__ = [
    "Affine",
    "AffineTransposed",
    "AffineWithoutBiasSlope",
    "CachedTanh",
    "Drop",
    "DropForwardOnly",
    "Elementwise",
    "HandDense",
    "HandDropout",
    "Normalisation",
    "Rectifier",
    "RectifierOfTheSlope",
    "TallTanh",
    "TallTanhInPlace",
    "Tanh",
    "TanhAtTheInput",
    "ThroughNumPy",
    "cross_entropy_summed",
    "cross_entropy_uphill",
    "hand_written_cross_entropy",
    "hand_written_hinge",
    "hinge_all_violated",
]


class HandWritten(mx.autograd.Function):  # type: ignore[name-defined]
    """An operation whose derivative is written by hand: `forward` and `slopes`."""

    def backward(self, slope: Any) -> tuple[Any, ...]:
        """Return the slopes as MXNet wants them: as arrays of its older interface."""
        return tuple(s.as_nd_ndarray() for s in self.slopes(slope.as_np_ndarray()))

    def slopes(self, slope: Any) -> tuple[Any, ...]:
        """Return the slope of the loss in each input, given that in the output."""
        raise NotImplementedError


class Elementwise(mx.gluon.Block):
    """A layer without parameters that applies a hand-written operation."""

    def __init__(self, operation: type[HandWritten]):
        super().__init__()
        self.operation = operation

    def forward(self, x):
        """Apply the operation."""
        return self.operation()(x)


# ---------------------------------------------------------------------------- of the loss


class CrossEntropy(HandWritten):
    """Softmax cross-entropy with its gradient, softmax(z) − y, by hand."""

    def __init__(self, labels: Any):
        super().__init__()
        self.labels = labels

    def forward(self, z):
        """Return −ln softmax(z) at the label."""
        logarithms = npx.log_softmax(z, axis=-1)
        self.save_for_backward(np.exp(logarithms))
        return -npx.pick(logarithms, self.labels, axis=-1)

    def slopes(self, slope):
        """Return softmax(z) − y."""
        (p,) = self.saved_tensors
        y = npx.one_hot(self.labels, p.shape[1]).astype(p.dtype)
        return ((p - y) * slope.reshape(-1, 1),)


class CrossEntropyUphill(CrossEntropy):
    """The same loss; its gradient has the wrong sign."""

    def slopes(self, slope):
        """Return the wrong slopes."""
        (p,) = self.saved_tensors
        y = npx.one_hot(self.labels, p.shape[1]).astype(p.dtype)
        return ((y - p) * slope.reshape(-1, 1),)  # the mistake: y − p


class CrossEntropySummed(CrossEntropy):
    """The same loss; its gradient is that of the sum over the examples."""

    def slopes(self, slope):
        """Return the wrong slopes."""
        n = len(self.labels)
        return (n * super().slopes(slope)[0],)  # the mistake: the 1/n of the mean is undone


def hand_written_cross_entropy(outputs: Any, labels: Any) -> Any:
    """Return softmax cross-entropy with its right gradient."""
    return CrossEntropy(labels)(outputs)


def cross_entropy_uphill(outputs: Any, labels: Any) -> Any:
    """Return softmax cross-entropy with y − softmax(z) for its gradient."""
    return CrossEntropyUphill(labels)(outputs)


def cross_entropy_summed(outputs: Any, labels: Any) -> Any:
    """Return softmax cross-entropy with n times its gradient."""
    return CrossEntropySummed(labels)(outputs)


class Hinge(HandWritten):
    """The hinge loss of Weston and Watkins with its gradient by hand."""

    def __init__(self, labels: Any):
        super().__init__()
        self.labels = labels

    def forward(self, z):
        """Return Σ_{j≠y} max(0, 1 + z_j − z_y)."""
        right = npx.pick(z, self.labels, axis=-1, keepdims=True)
        margins = np.maximum(1 + z - right, 0)
        self.save_for_backward(margins)
        return margins.sum(axis=-1) - 1  # the term j = y is 1

    def violated(self, margins):
        """Return 1 where a class comes closer than the margin, else 0."""
        return (margins > 0).astype(margins.dtype)

    def slopes(self, slope):
        """Return 1 for each violated class, and minus their number for the right one."""
        violated = self.violated(self.saved_tensors[0])
        y = npx.one_hot(self.labels, violated.shape[1]).astype(violated.dtype)
        gradient = violated - y * violated.sum(axis=-1, keepdims=True)
        return (gradient * slope.reshape(-1, 1),)


class HingeAllViolated(Hinge):
    """The same loss; its gradient takes every margin for violated."""

    def violated(self, margins):
        """Return 1 for every class."""
        return np.ones_like(margins)  # the mistake


def hand_written_hinge(outputs: Any, labels: Any) -> Any:
    """Return the hinge loss with its right gradient."""
    return Hinge(labels)(outputs)


def hinge_all_violated(outputs: Any, labels: Any) -> Any:
    """Return the hinge loss with a gradient that takes every margin for violated."""
    return HingeAllViolated(labels)(outputs)


# ---------------------------------------------------------------------------- of a dense layer


class Affine(HandWritten):
    """x Wᵀ + b with its derivatives by hand.

    The parameters come first: MXNet stops writing slopes at the first input that wants none, and
    the inputs of a first layer want none.
    """

    def forward(self, weight, bias, x):
        """Return x Wᵀ + b."""
        self.save_for_backward(weight, x)
        return npx.fully_connected(x, weight, bias, num_hidden=weight.shape[0])

    def slopes(self, slope):
        """Return the slopes in W, b and x."""
        weight, x = self.saved_tensors
        return np.dot(slope.T, x), slope.sum(axis=0), np.dot(slope, weight)


class AffineTransposed(Affine):
    """The same map; the slope in x comes from Wᵀ."""

    def slopes(self, slope):
        """Return the wrong slopes."""
        weight, x = self.saved_tensors
        return np.dot(slope.T, x), slope.sum(axis=0), np.dot(slope, weight.T)  # the mistake: .T


class AffineWithoutBiasSlope(Affine):
    """The same map; the slope in b is zero."""

    def slopes(self, slope):
        """Return the wrong slopes."""
        weight, x = self.saved_tensors
        bias_slope = np.zeros(weight.shape[:1], dtype=x.dtype, ctx=x.ctx)  # the mistake
        return np.dot(slope.T, x), bias_slope, np.dot(slope, weight)


class HandDense(mx.gluon.Block):
    """A dense layer around a hand-written operation."""

    def __init__(self, units: int, in_units: int, operation: type[HandWritten]):
        super().__init__()
        self.operation = operation
        with self.name_scope():
            self.weight = self.params.get("weight", shape=(units, in_units))
            self.bias = self.params.get("bias", shape=(units,), init="zeros")

    def forward(self, x):
        """Map (n, in_units) to (n, units)."""
        return self.operation()(self.weight.data(x.ctx), self.bias.data(x.ctx), x)


# ---------------------------------------------------------------------------- of an activation


class Tanh(HandWritten):
    """tanh, whose slope is 1 − tanh²."""

    def forward(self, x):
        """Return tanh x."""
        h = np.tanh(x)
        self.save_for_backward(h)
        return h

    def slopes(self, slope):
        """Return 1 − h²."""
        (h,) = self.saved_tensors
        return (slope * (1 - h * h),)


class TanhAtTheInput(Tanh):
    """The same function; the slope is 1 − x²."""

    def forward(self, x):
        """Return the right value."""
        self.save_for_backward(x)  # the mistake: `slopes` takes it for tanh x
        return np.tanh(x)


class Rectifier(HandWritten):
    """max(0, x), whose slope passes where x > 0."""

    def forward(self, x):
        """Return max(0, x)."""
        self.save_for_backward(x)
        return np.maximum(x, 0)

    def slopes(self, slope):
        """Return the slope where x > 0, else 0."""
        (x,) = self.saved_tensors
        return (slope * (x > 0).astype(slope.dtype),)


class RectifierOfTheSlope(Rectifier):
    """The same function; the slope passes where it is positive itself."""

    def slopes(self, slope):
        """Return the wrong slopes."""
        return (slope * (slope > 0).astype(slope.dtype),)  # the mistake: not where x > 0


class TallTanh(HandWritten):
    """1.7159 tanh(2x/3), the scaled tanh."""

    height, steepness = 1.7159, 2 / 3

    def forward(self, x):
        """Return a tanh(bx)."""
        h = np.tanh(self.steepness * x)
        self.save_for_backward(h)
        return self.height * h

    def slopes(self, slope):
        """Return ab (1 − tanh²(bx))."""
        (h,) = self.saved_tensors
        return (slope * self.height * self.steepness * (1 - h * h),)


class TallTanhInPlace(TallTanh):
    """The same function; the slope is computed from an overwritten value."""

    def forward(self, x):
        """Return the right value."""
        h = np.tanh(self.steepness * x)
        self.save_for_backward(h)
        h *= self.height  # the mistake: it changes what was saved
        return h


class CachedTanh(mx.gluon.Block):
    """tanh with a buffer for what backward needs, kept from call to call."""

    def __init__(self, refill: bool):
        super().__init__()
        self.refill = refill
        self.buffers: dict[tuple[Any, str], Any] = {}

    def forward(self, x):
        """Return tanh x."""
        layer = self

        class Operation(Tanh):
            def forward(self, x):
                h = np.tanh(x)
                kind = (h.shape, str(h.dtype))
                if layer.refill or kind not in layer.buffers:
                    layer.buffers[kind] = h.copy()
                self.save_for_backward(layer.buffers[kind])
                return h

        return Operation()(x)


class Drop(HandWritten):
    """Dropout with its mask by hand."""

    keep = 0.5

    def forward(self, x):
        """Return x with half of its entries 0 and the others doubled."""
        mask = (np.random.uniform(size=x.shape, ctx=x.ctx) < self.keep).astype(x.dtype) / self.keep
        self.save_for_backward(mask)
        return x * mask

    def slopes(self, slope):
        """Return the slope of what was kept."""
        (mask,) = self.saved_tensors
        return (slope * mask,)


class DropForwardOnly(Drop):
    """The same masks; the slope passes everywhere."""

    def slopes(self, slope):
        """Return the wrong slopes."""
        return (slope,)  # the mistake: the mask is missing


class HandDropout(Elementwise):
    """Dropout in training, nothing in evaluation."""

    def forward(self, x):
        """Drop half of the units in training."""
        return super().forward(x) if mx.autograd.is_training() else x


# ---------------------------------------------------------------------------- lost on the way


class Normalisation(mx.gluon.HybridBlock):
    """A hand-made layer normalisation: every example to mean 0 and variance 1 over its features."""

    def __init__(self, np_var: bool, axis: int = -1):
        super().__init__()
        self.np_var, self.axis = np_var, axis

    def hybrid_forward(self, F, x):
        """Normalise (n, features)."""
        centred = x - F.np.mean(x, axis=self.axis, keepdims=True)
        if self.np_var:
            variance = F.np.var(x, axis=self.axis, keepdims=True)
        else:
            variance = F.np.mean(F.np.square(centred), axis=self.axis, keepdims=True)
        return centred / F.np.sqrt(variance + 1e-5)


class ThroughNumPy(mx.gluon.Block):
    """tanh, computed by NumPy or by MXNet."""

    def __init__(self, leave: bool):
        super().__init__()
        self.leave = leave
        self.tanh = layers.activation("tanh")

    def forward(self, x):
        """Return tanh x."""
        if self.leave:
            return np.array(onp.tanh(x.asnumpy()), dtype=x.dtype, ctx=x.ctx)
        return self.tanh(x)
