"""How smooth the images of a first layer's weights are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as onp

from nnbook._arrays import as_numpy

__all__ = ["smoothness"]


def smoothness(weights: Any, shape: Sequence[int], where: Any = None) -> onp.ndarray:
    """Score how smooth the weights of each unit are, seen as an image.

    The score is 1 − C with Geary's C: the mean squared difference of neighbouring pixels, in
    units of what two pixels drawn at random would differ by.

    .. math:: S = 1 - \\frac{\\langle (w_i - w_j)^2 \\rangle_{\\text{neighbours}}}{2 \\sigma^2}

    Parameters
    ----------
    weights : array, shape (units, …)
        One row for each unit, NumPy or MXNet, such as ``net[0].weight.data()``.
    shape : sequence of int
        The image's: ``(rows, columns)``; axes before these two are channels.
    where : array of bool, shape (rows, columns), optional
        The pixels that count. Weights of pixels that are always empty keep their initial noise.

    Returns
    -------
    numpy.ndarray, shape (units,)
        0 on average for white noise, near 1 for a smooth image, negative for a chequerboard; 1 for
        a constant one.

    Raises
    ------
    ValueError
        Shapes that do not fit, or fewer than two neighbouring pixels.

    References
    ----------
    Geary (1954), The contiguity ratio and statistical mapping.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import monitors
    >>> rows, columns = np.mgrid[:8, :8]
    >>> images = np.stack([rows + columns, (rows + columns) % 2])
    >>> monitors.smoothness(images, (8, 8)).round(2)
    array([ 0.95, -0.97])
    """
    values = as_numpy(weights, "weights").astype(float)
    shape = tuple(int(size) for size in shape)
    if len(shape) < 2 or values.ndim < 2 or values[0].size != int(onp.prod(shape)):
        raise ValueError(
            f"weights has shape {values.shape}; expected (units, …) with images of shape {shape}"
        )
    images = values.reshape(len(values), -1, *shape[-2:])
    inside = onp.ones(shape[-2:], dtype=bool) if where is None else onp.asarray(where, dtype=bool)
    if inside.shape != shape[-2:]:
        raise ValueError(f"where has shape {inside.shape}; expected {shape[-2:]}")
    down, right = inside[1:] & inside[:-1], inside[:, 1:] & inside[:, :-1]
    if not (down.any() or right.any()):
        raise ValueError(f"an image of shape {shape} has no neighbouring pixels; expected some")
    vertical = onp.diff(images, axis=2)[:, :, down]
    horizontal = onp.diff(images, axis=3)[:, :, right]
    between = onp.concatenate([vertical, horizontal], axis=2) ** 2
    # Channels differ in their means, which says nothing about smoothness.
    variance = images[:, :, inside].var(axis=2, ddof=1).mean(axis=1)
    ratio = between.mean(axis=(1, 2)) / onp.where(variance > 0, 2 * variance, 1)
    return 1 - ratio
