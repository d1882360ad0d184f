"""Images whose pixels come from fractional places of others, fetched in three ways that agree."""

from __future__ import annotations

import math
import sys

import numpy as onp

from nnbook._arguments import check_choice
from nnbook._arrays import (
    Array,
    check_array,
    check_finite,
    float_dtype,
    is_mxnet,
    like,
    to_numpy,
)

__all__ = ["WAYS", "by_scipy", "image_shape", "resample"]

WAYS = ("auto", "mxnet", "numpy", "scipy")


def resample(x: Array, places: onp.ndarray, way: str = "auto") -> Array:
    """Return images whose pixels come from fractional places of others, interpolated linearly.

    Parameters
    ----------
    x : NumPy or MXNet array, shape (n, height, width) or (n, side²)
    places : numpy.ndarray, shape (n, 2, height, width)
        The row and the column of the image that each pixel is; outside is background (0).
    way : str
        "mxnet": its bilinear sampler, float32, on the device of `x`; "numpy": a gather in float64;
        "scipy": ``map_coordinates`` in float64; "auto": MXNet's where MXNet is loaded.

    Returns
    -------
    Array of the kind and shape of `x`, on its device; of its dtype if that is a floating one, else
    float32.

    Raises
    ------
    TypeError, ValueError
        Bad images, places of another shape, or an unknown way.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import data
    >>> x = np.array([[[0.0, 1.0], [2.0, 3.0]]])
    >>> places = np.array([[[[0.5, 0.0], [1.0, 5.0]], [[0.5, 1.0], [0.5, 0.0]]]])
    >>> data.resample(x, places, "numpy")
    array([[[1.5, 1. ],
            [2.5, 0. ]]])
    """
    way = check_choice(way, "way", WAYS)
    n, height, width = image_shape(x)
    if places.shape != (n, 2, height, width):
        raise ValueError(
            f"places have shape {places.shape}; expected (n, 2, height, width) = "
            f"{(n, 2, height, width)}"
        )
    if way == "mxnet" or (way == "auto" and sys.modules.get("mxnet") is not None):
        return _by_mxnet(x, places)
    images = to_numpy(x, "x").reshape(n, height, width)
    check_finite(images, "x")
    found = (by_scipy if way == "scipy" else _by_numpy)(images.astype("float64"), places)
    return like(found.astype(float_dtype(images)).reshape(x.shape), x)


def image_shape(x: Array, least: int = 2) -> tuple[int, int, int]:
    """Return the number, height and width of images; raise for what is none, or too small."""
    shape = tuple(getattr(x, "shape", ()))
    side = math.isqrt(shape[1]) if len(shape) == 2 else 0
    found = (shape[0], side, side) if len(shape) == 2 and side**2 == shape[1] else shape
    if len(found) != 3 or min(found[1:]) < least or found[0] < 1:
        check_array(x, "x")  # says of what is no array that it is none
        size = f" of at least {least} × {least} pixels" if least > 1 else ""
        raise ValueError(
            f"x has the shape {shape}, expected images{size}: (n, height, width), or (n, side²) "
            "such as (n, 784), with n of at least 1. Reshape it."
        )
    return found[0], found[1], found[2]


def _by_mxnet(x: Array, places: onp.ndarray) -> Array:
    """Fetch with MXNet's sampler, which counts places from −1 to 1, columns first."""
    from nnbook.gluon.parameters import mxnet_view
    from nnbook.gluon.runtime import mx

    n, _, height, width = places.shape
    device = x.ctx if is_mxnet(x) else mx.cpu()
    scale = onp.array([2 / (width - 1), 2 / (height - 1)], dtype="float32")
    grid = onp.multiply(places[:, ::-1], scale[:, None, None], dtype="float32", casting="same_kind")
    grid -= 1
    images = x if is_mxnet(x) else mxnet_view(to_numpy(x, "x"), "float32").as_in_ctx(device)
    images = images.as_nd_ndarray().astype("float32", copy=False)
    found = mx.nd.BilinearSampler(
        images.reshape((n, 1, height, width)),
        mxnet_view(grid, "float32").as_in_ctx(device).as_nd_ndarray(),
    )
    if is_mxnet(x):
        dtype = float_dtype(onp.empty(0, dtype=x.dtype))
        found = found.reshape(x.shape).astype(dtype, copy=False)
        return found.as_np_ndarray() if isinstance(x, mx.np.ndarray) else found
    return found.asnumpy().reshape(x.shape).astype(float_dtype(x), copy=False)


def _by_numpy(images: onp.ndarray, places: onp.ndarray) -> onp.ndarray:
    """Fetch the four neighbours of every place; a rim of zeros stands for all that is outside."""
    n, height, width = images.shape
    padded = onp.pad(images, ((0, 0), (1, 2), (1, 2)))
    rows = onp.clip(places[:, 0].astype(float), -1, height) + 1
    columns = onp.clip(places[:, 1].astype(float), -1, width) + 1
    top, left = onp.floor(rows).astype(int), onp.floor(columns).astype(int)
    down, right = rows - top, columns - left
    line = width + 3
    first = (onp.arange(n)[:, None, None] * (height + 3) + top) * line + left
    flat = padded.reshape(-1)
    upper = flat[first] * (1 - right) + flat[first + 1] * right
    lower = flat[first + line] * (1 - right) + flat[first + line + 1] * right
    return upper * (1 - down) + lower * down


def by_scipy(images: onp.ndarray, places: onp.ndarray) -> onp.ndarray:
    """Fetch with SciPy's spline of order 1."""
    from scipy.ndimage import map_coordinates

    index = onp.broadcast_to(onp.arange(len(images))[:, None, None], images.shape)
    # "grid-constant" also interpolates between the rim and the background; with "constant" a place
    # that rounding puts 1e-16 outside would be background.
    where = [index, places[:, 0].astype(float), places[:, 1].astype(float)]
    return map_coordinates(images, where, order=1, mode="grid-constant")
