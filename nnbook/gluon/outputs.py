"""What a network gives for many examples."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook.gluon.examples import home, place
from nnbook.gluon.parameters import named_parameters
from nnbook.gluon.runtime import device_of, mx
from nnbook.training.loop import check_sizes

__all__ = ["example_outputs"]


def example_outputs(net: Any, x: Any, batch_size: int = 1000) -> onp.ndarray:
    """Run examples through a network, minibatch by minibatch, as it is used after training.

    Dropout is off, and batch normalisation uses its running statistics, whatever the caller
    records. Nothing of the network changes.

    Parameters
    ----------
    net : mxnet.gluon.Block or callable
        An initialised network, on any device; or any function of a NumPy array of examples that
        gives an array with a row for each.
    x : array, shape (n, …)
        Examples, NumPy or MXNet.
    batch_size : int
        How many at once.

    Returns
    -------
    numpy.ndarray, shape (n, …)
        The outputs, in the network's dtype.

    Raises
    ------
    TypeError, ValueError
        `net` cannot be called; no examples; outputs that are no array with a row for each example.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import layers, training
    >>> net = layers.mlp(3, [4], 2, dropout=0.5)
    >>> training.example_outputs(net, np.zeros((5, 3))).shape
    (5, 2)
    """
    check_sizes(batch_size=batch_size)
    if not callable(net):
        raise TypeError(f"net is a {type(net).__name__}; expected a network or a function")
    if not isinstance(x, (onp.ndarray, mx.nd.NDArray)):
        raise TypeError(f"x is a {type(x).__name__}; expected a NumPy or MXNet array of examples")
    if x.ndim == 0 or x.shape[0] == 0:
        raise ValueError(f"x has the shape {tuple(x.shape)}; expected at least one example")
    if isinstance(net, mx.gluon.Block):
        if named_parameters(net):
            device, dtype = home(net)
        else:
            device, dtype = device_of(net), "float32"
        x = place(x, dtype, device)
    elif isinstance(x, mx.nd.NDArray):
        x = x.asnumpy()
    parts = []
    with mx.autograd.pause(train_mode=False):
        for start in range(0, x.shape[0], batch_size):
            rows = x[start : start + batch_size]
            parts.append(_as_rows(net(rows), len(rows)))
    return onp.concatenate(parts)


def _as_rows(outputs: Any, n: int) -> onp.ndarray:
    """Bring what a network gave to NumPy; there must be a row for each example."""
    if isinstance(outputs, mx.nd.NDArray):
        outputs = outputs.asnumpy()
    if not isinstance(outputs, onp.ndarray) or outputs.shape[:1] != (n,):
        found = getattr(outputs, "shape", None)
        raise ValueError(
            f"the network gave a {type(outputs).__name__}"
            f"{'' if found is None else f' of shape {found}'} for {n} examples; expected an array "
            "with a row for each. Wrap it in a function that returns one"
        )
    return outputs
