"""Losses, one value for each example, and penalties on the weights.

A loss is a function ``loss(outputs, targets)`` that returns shape (n,); the objective of training
is the mean of these values. The same function works inside ``autograd.record()``, inside a hybrid
block and on symbols, in float32 and float64. Its gradients come from MXNet and are exact.

Arrays are checked by shape at every call. Values are checked only where that costs nothing: labels
given as NumPy arrays. MXNet clips labels out of range silently, so check others once, at the
border, as `nnbook.training.fit` does: it asks the loss. ``loss.targets`` says what it takes,
"labels", "probabilities", "signs" or "real" numbers; ``loss.chance_value(outputs)`` what it is when
an example's outputs are all equal; ``loss.threshold`` above what a single output says class 1. A
loss of your own may say so too.

In float32, MXNet's ``log_softmax`` and softplus are fast approximations. They are off by up to
1e-5, so that the loss of a confident example may be a little below 0, and gradients by about 1e-6;
and ``log_softmax`` hides a NaN in a row whose other outputs are numbers. In float64 they are exact.

Penalties act on weights alone and are added to the mean loss.
"""

from nnbook._lazy import attach

__all__, __getattr__, __dir__ = attach(__name__)
