"""What a network gives for many examples: outputs, losses, loss and accuracy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp

from nnbook._arguments import check_sizes
from nnbook._arrays import check_array, is_mxnet, to_numpy
from nnbook._types import Loss
from nnbook.data.inputs import as_array, as_pair
from nnbook.gluon.embeddings import check_ids
from nnbook.gluon.examples import Examples, home, in_numpy_mode, outputs_of, place
from nnbook.gluon.feeding import weighed
from nnbook.gluon.loss_names import named
from nnbook.gluon.parameters import named_parameters
from nnbook.gluon.runtime import device_of, mx
from nnbook.gluon.weighting import Weighted
from nnbook.training.metrics import metrics_of, of_examples

__all__ = ["evaluate", "example_losses", "example_outputs"]


@in_numpy_mode
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
        Examples: NumPy's, MXNet's, a table, a list.
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
    x = as_array(x)
    check_array(x)
    if x.ndim == 0 or x.shape[0] == 0:
        raise ValueError(f"x has the shape {tuple(x.shape)}; expected at least one example")
    if isinstance(net, mx.gluon.Block):
        own = home(net) if named_parameters(net) else (device_of(net), "float32")
        x = place(x, own[1], own[0])
    else:
        x = to_numpy(x)
    is_network, parts = isinstance(net, mx.gluon.Block), []
    with mx.autograd.pause(train_mode=False):
        for start in range(0, x.shape[0], batch_size):
            rows = x[start : start + batch_size]
            outputs = outputs_of(net, rows, "examples") if is_network else net(rows)
            parts.append(_as_rows(outputs, len(rows)))
    if is_network:  # once it is known to take such examples
        check_ids(net, x, "x")
    return onp.concatenate(parts)


def _as_rows(outputs: Any, n: int) -> onp.ndarray:
    """Bring what a network gave to NumPy; there must be a row for each example."""
    if is_mxnet(outputs):
        outputs = outputs.asnumpy()
    if not isinstance(outputs, onp.ndarray) or outputs.shape[:1] != (n,):
        found = getattr(outputs, "shape", None)
        raise ValueError(
            f"the network gave a {type(outputs).__name__}"
            f"{'' if found is None else f' of shape {found}'} for {n} examples; expected an array "
            "with a row for each. Wrap it in a function that returns one"
        )
    return outputs


@in_numpy_mode
def evaluate(
    net: Any,
    data: tuple[Any, Any],
    loss: Loss,
    batch_size: int = 1000,
    *,
    sample_weight: Any = None,
    metrics: Any = (),
) -> dict[str, float]:
    """Compute the mean loss, for class labels the accuracy, and other metrics.

    The network is run as after training, with dropout off, whatever the caller records.

    Parameters
    ----------
    net : mxnet.gluon.Block or nnbook.ensemble.Ensemble
        An initialised network; it is not changed. Or an ensemble, scored by its own ``evaluate``.
    data : tuple of array
        ``(x, y)``; arrays of NumPy or MXNet, tables, lists.
    loss : callable or str
        ``loss(outputs, targets)``, one value per example, or the name of one of `nnbook.losses`.
    batch_size : int
        How many examples at once.
    sample_weight : array, shape (n,), optional
        Loss and accuracy become weighted means, Σ w_i l_i / Σ w_i: as if example i stood there w_i
        times. Metrics stay as they are.
    metrics : str, callable, sequence or dict
        What else to measure, as for `fit`.

    Returns
    -------
    dict
        ``{"loss": …, "accuracy": …}``, accuracy as a fraction, then the metrics by name.

    Raises
    ------
    ValueError, TypeError
        Bad data, as for `fit`.
    """
    check_sizes(batch_size=batch_size)
    if hasattr(net, "evaluate") and not isinstance(net, mx.gluon.Block):
        if sample_weight is not None or metrics_of(metrics):
            raise TypeError(
                f"net is {net!r}, which has no weights or metrics; expected neither beside it"
            )
        return net.evaluate(data, batch_size, named(loss))
    each, measured = named(loss), metrics_of(metrics)
    if sample_weight is not None:
        each = Weighted(each, as_pair(data, "data")[1])
        data = weighed(data, sample_weight, each, "data")
    examples = Examples(net, data, each, name="data")
    examples.metrics = of_examples(measured, examples)
    return examples.evaluate(batch_size)


@in_numpy_mode
def example_losses(
    net: Any, data: tuple[Any, Any], loss: Callable[[Any, Any], Any] | str, batch_size: int = 1000
) -> onp.ndarray:
    """Compute the loss of every example.

    Parameters
    ----------
    net, data, loss, batch_size
        As for `evaluate`.

    Returns
    -------
    numpy.ndarray, shape (n,)
        In the network's dtype; `evaluate` gives their mean.

    Raises
    ------
    ValueError, TypeError
        Bad data, as for `fit`.
    """
    check_sizes(batch_size=batch_size)
    return Examples(net, data, named(loss), name="data").losses(batch_size)
