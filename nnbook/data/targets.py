"""Targets: labels as the numbers that the outputs of a network should reach, and back."""

from __future__ import annotations

import numpy as onp

from nnbook._arguments import check_choice, check_number
from nnbook._arrays import Array, like, to_numpy
from nnbook.data.validation import check_labels

__all__ = ["decode_targets", "encode_targets"]


def encode_targets(
    labels: Array,
    n_classes: int,
    *,
    low: float = -1.0,
    high: float = 1.0,
    dtype: str = "float32",
) -> Array:
    """Turn class labels into one target per output: `high` for the class, `low` for the others.

    Parameters
    ----------
    labels : NumPy or MXNet array, shape (n,)
        The whole numbers 0 … n_classes − 1.
    n_classes : int
        The number of classes, and of outputs.
    low, high : float
        The two targets, low < high: ±1 for `ScaledTanh`, 0 and 1 for one-hot rows; what suits
        another activation function says `nnbook.layers.recommended_targets`.
    dtype : str
        "float32" or "float64".

    Returns
    -------
    array, shape (n, n_classes)
        Of the kind of `labels`, on their device.

    Raises
    ------
    TypeError, ValueError
        If a label is not an integer in range, or low < high does not hold.

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), Efficient BackProp.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import data
    >>> data.encode_targets(np.array([2, 0]), 3)
    array([[-1., -1.,  1.],
           [ 1., -1., -1.]], dtype=float32)
    """
    if not check_number(low, "low") < check_number(high, "high"):
        raise ValueError(f"low is {low!r} and high is {high!r}; expected low < high")
    check_choice(dtype, "dtype", ("float32", "float64"))
    check_labels(labels, n_classes, name="given")
    classes = to_numpy(labels).astype("int64")
    targets = onp.full((len(classes), n_classes), low, dtype=dtype)
    targets[onp.arange(len(classes)), classes] = high
    return like(targets, labels)


def decode_targets(outputs: Array) -> Array:
    """Turn targets, or the outputs of a network, back into class labels: the largest decides.

    Parameters
    ----------
    outputs : NumPy or MXNet array, shape (n, n_classes)
        One column for each class.

    Returns
    -------
    array, shape (n,)
        int32 labels 0 … n_classes − 1; of a tie the first.

    Raises
    ------
    TypeError, ValueError
        If `outputs` is no array of two or more columns, or holds NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import data
    >>> data.decode_targets(np.array([[-0.9, 0.1, 0.3], [0.2, -1.0, -1.0]]))
    array([2, 0], dtype=int32)
    """
    values = to_numpy(outputs, "outputs")
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(
            f"outputs have shape {values.shape}; expected (n, n_classes) with at least 2 classes. "
            "The class of a single output is the sign of its distance to the middle."
        )
    if onp.isnan(values).any():
        row = int(onp.isnan(values).any(axis=1).argmax())
        raise ValueError(
            f"the outputs of example {row} hold NaN; expected numbers. A run that diverged leaves "
            "such outputs: lower its learning rate."
        )
    return like(values.argmax(axis=1).astype("int32"), outputs)
