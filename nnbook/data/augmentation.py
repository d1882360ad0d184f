"""Augmentation: new images of the same classes, by moving the pixels of those there are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as onp

from nnbook._arguments import check_number
from nnbook._arrays import (
    Array,
    Rng,
    as_generator,
    as_numpy,
    check_finite,
    float_dtype,
    like,
    to_numpy,
)
from nnbook.data.resampling import by_scipy, image_shape

__all__ = ["elastic_deform", "rotate", "shift"]

_CHUNK = 1000  # images whose coordinates are held at a time


def elastic_deform(x: Array, *, alpha: float = 34.0, sigma: float = 4.0, rng: Rng) -> Array:
    """Deform images elastically, each by a random smooth field of displacements.

    Every pixel (r, c) of the result is the image at ``(r + α u, c + α v)``, interpolated linearly:
    u and v are uniform in [−1, 1], independent for each pixel and image, then smoothed by a
    Gaussian of the width σ. Outside the image is background (0). Labels stay as they are.

    Parameters
    ----------
    x : NumPy or MXNet array, shape (n, height, width) or (n, side²)
    alpha : float
        Strength. With σ = 4 pixels, α = 34 moves pixels by about 1.4 (standard deviation).
    sigma : float
        Width of the smoothing, in pixels: small is rough, large moves the image as a whole.
    rng : int or numpy.random.Generator
        The seed, or the generator to draw from. A new deformation in each epoch needs one
        generator kept over the epochs.

    Returns
    -------
    Array of the kind and shape of `x`, on its device; of its dtype if that is a floating one, else
    float32.

    Raises
    ------
    TypeError, ValueError
        If `x` does not hold images of finite numbers, or a parameter is not of this kind.

    References
    ----------
    Simard, Steinkraus and Platt (2003), Best practices for convolutional neural networks applied
    to visual document analysis.
    """
    from scipy.ndimage import gaussian_filter

    alpha, sigma = check_number(alpha, "alpha", least=0), check_number(sigma, "sigma", least=0)
    generator = as_generator(rng)
    images = _images(x)
    _, height, width = images.shape

    def displaced(part: slice) -> tuple[onp.ndarray, onp.ndarray]:
        fields = generator.uniform(-1, 1, (len(images[part]), 2, height, width))
        fields = alpha * gaussian_filter(fields, (0, 0, sigma, sigma), mode="constant")
        rows, columns = onp.mgrid[:height, :width]
        return rows + fields[:, 0], columns + fields[:, 1]

    return _resample(x, images, displaced)


def shift(x: Array, rows: float | onp.ndarray = 0.0, columns: float | onp.ndarray = 0.0) -> Array:
    """Shift images down by `rows` and to the right by `columns`, interpolated linearly.

    Parameters
    ----------
    x : NumPy or MXNet array, shape (n, height, width) or (n, side²)
    rows, columns : float or numpy.ndarray of shape (n,)
        In pixels, for all images or for each. What comes in from outside is background (0).

    Returns
    -------
    Array of the kind and shape of `x`, on its device; of its dtype if that is a floating one, else
    float32.

    Raises
    ------
    TypeError, ValueError
        If `x` does not hold images of finite numbers, or the shifts are not of this kind.
    """
    images = _images(x)
    n, height, width = images.shape
    down, right = _per_image(rows, n, "rows"), _per_image(columns, n, "columns")

    def shifted(part: slice) -> tuple[onp.ndarray, onp.ndarray]:
        r, c = onp.mgrid[:height, :width]
        return r - down[part, None, None], c - right[part, None, None]

    return _resample(x, images, shifted)


def rotate(x: Array, degrees: float | onp.ndarray) -> Array:
    """Rotate images counterclockwise about their centre, interpolated linearly.

    Parameters
    ----------
    x : NumPy or MXNet array, shape (n, height, width) or (n, side²)
    degrees : float or numpy.ndarray of shape (n,)
        Angle, for all images or for each. What comes in from outside is background (0).

    Returns
    -------
    Array of the kind and shape of `x`, on its device; of its dtype if that is a floating one, else
    float32.

    Raises
    ------
    TypeError, ValueError
        If `x` does not hold images of finite numbers, or the angles are not of this kind.
    """
    images = _images(x)
    n, height, width = images.shape
    angle = onp.radians(_per_image(degrees, n, "degrees"))

    def rotated(part: slice) -> tuple[onp.ndarray, onp.ndarray]:
        middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
        r, c = onp.mgrid[:height, :width]
        r, c = r - middle_row, c - middle_column
        cosine, sine = onp.cos(angle[part, None, None]), onp.sin(angle[part, None, None])
        # Where each pixel comes from: turned back; rows count downwards.
        return middle_row + cosine * r + sine * c, middle_column - sine * r + cosine * c

    return _resample(x, images, rotated)


def _images(x: Array) -> onp.ndarray:
    """Return `x` as images, shape (n, height, width)."""
    values = to_numpy(x, "x")
    shape = image_shape(values, least=1)
    check_finite(values, "x")
    return values.reshape(shape)


def _per_image(value: float | onp.ndarray, n: int, name: str) -> onp.ndarray:
    values = as_numpy(value, name).astype("float64")
    if values.shape not in ((), (n,)) or not onp.isfinite(values).all():
        raise ValueError(
            f"{name} is {value!r}, expected one finite number, or one for each of the {n} images."
        )
    return onp.broadcast_to(values, (n,))


def _resample(
    x: Array,
    images: onp.ndarray,
    places: Callable[[slice], tuple[onp.ndarray, onp.ndarray]],
) -> Array:
    """Return the images at the fractional rows and columns that `places` gives for a slice."""
    result = onp.empty(images.shape, dtype=float_dtype(images))
    for start in range(0, len(images), _CHUNK):
        part = slice(start, start + _CHUNK)
        result[part] = by_scipy(images[part].astype("float64"), onp.stack(places(part), axis=1))
    return like(result.reshape(x.shape), x)
