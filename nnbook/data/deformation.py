"""Deformed images at the speed of training: shift, rotation, scale, shear and elastic fields.

A `Deformation` draws, for every image, where each pixel comes from, and `resample` fetches it. Of
its three ways, which agree, MXNet's sampler is the one for training: some 30 µs an image of 28 × 28
in all, on one core.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_choice, check_number, check_seed, check_whole
from nnbook._arrays import Array, Rng, as_generator, as_numpy
from nnbook.data.resampling import WAYS, image_shape, resample

__all__ = ["Deformation", "rms_displacement"]

_AFFINE = 6  # numbers that an image's affine map takes


@dataclass(frozen=True)
class Deformation:
    """Random deformations: called on images and a source of randomness, it returns new images.

    Every number is a range: an image's shift is uniform in [−shift, shift], and so on. Pixel p of
    the result is the image at M⁻¹(p − c − t) + c + α (G U Gᵀ)(p), interpolated linearly, with c the
    centre, t the shift, M the rotation, shear and scales, U uniform in [−1, 1], independent for
    each pixel, direction and image, and G the smoothing by a Gaussian of the width σ. Outside the
    image is background (0), and outside the field U is 0 too, so that the rim moves less than the
    middle and strokes stay inside.

    It is what ``fit(..., augment=...)`` takes: a function of a minibatch and a generator.

    Parameters
    ----------
    shift : float
        In pixels, ≥ 0; down and across are drawn apart.
    rotation : float
        In degrees, ≥ 0.
    scale : float
        In [0, 1): height and width are each multiplied by 1 + s, s uniform in [−scale, scale].
    shear : float
        Columns moved per row, ≥ 0: the tangent of the slant.
    alpha, sigma : float
        Strength α ≥ 0 and width σ > 0 of the elastic field, in pixels. Neither says anything
        without the other: see `rms_displacement`.
    way : str
        "mxnet", "numpy" or "scipy", as for `resample`; "auto" is MXNet's sampler where MXNet is
        loaded, as it is in `fit`, and NumPy elsewhere.

    Raises
    ------
    ValueError, TypeError
        A number outside its range.

    References
    ----------
    Simard, Steinkraus and Platt (2003), Best practices for convolutional neural networks applied
    to visual document analysis; Cireşan, Meier, Gambardella and Schmidhuber (2010), Deep, big,
    simple neural nets for handwritten digit recognition.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import data
    >>> x = np.zeros((2, 784), dtype="float32"); x[:, 300:500] = 1
    >>> deform = data.Deformation(shift=1, rotation=15, scale=0.15, alpha=34, sigma=4)
    >>> deform(x, 0).shape
    (2, 784)
    >>> both = deform.of_epoch(x, epoch=3, seed=7)
    >>> np.allclose(deform.of_epoch(x[1:], epoch=3, seed=7, rows=[1]), both[1:], atol=1e-5)
    True
    """

    shift: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    alpha: float = 0.0
    sigma: float = 4.0
    way: str = "auto"

    def __post_init__(self) -> None:
        for name in ("shift", "rotation", "shear", "alpha"):
            object.__setattr__(self, name, check_number(getattr(self, name), name, least=0))
        object.__setattr__(self, "scale", check_number(self.scale, "scale", least=0, below=1))
        object.__setattr__(self, "sigma", check_number(self.sigma, "sigma", above=0))
        check_choice(self.way, "way", WAYS)

    def __call__(self, x: Array, rng: Rng) -> Array:
        """Return the images, each deformed anew.

        Parameters
        ----------
        x : NumPy or MXNet array, shape (n, height, width) or (n, side²)
        rng : int or numpy.random.Generator
            The seed, or the generator to draw from.

        Returns
        -------
        Array of the kind and shape of `x`, on its device; of its dtype if that is a floating one,
        else float32.

        Raises
        ------
        TypeError, ValueError
            `x` does not hold images, or `rng` is no source of randomness.
        """
        generator = as_generator(rng)
        n, height, width = image_shape(x)
        affine, noise = self._empty(n, height, width)
        generator.random(out=affine)
        if noise is not None:
            generator.random(out=noise, dtype=onp.float32)
        return resample(x, self.places(affine, noise, (height, width)), self.way)

    def of_epoch(self, x: Array, epoch: int, seed: int = 0, rows: Any = None) -> Array:
        """Return the images as an epoch sees them: luck belongs to seed, epoch and example alone.

        So it does not depend on the order, on the minibatches, or on who else is in them, up to the
        rounding of float32.

        Parameters
        ----------
        x : NumPy or MXNet array, shape (n, height, width) or (n, side²)
        epoch : int
            Which, at least 0.
        seed : int
            Of the whole run.
        rows : sequence of int, optional
            Which examples of the set these are, shape (n,); by default the first n.

        Returns
        -------
        Array like `x`, as by ``__call__``.

        Raises
        ------
        TypeError, ValueError
            Bad images, or rows that are not n whole numbers of at least 0.
        """
        n, height, width = image_shape(x)
        epoch, seed = check_whole(epoch, "epoch", least=0), check_seed(seed)
        examples = _examples(range(n) if rows is None else rows, n)
        affine, noise = self._empty(n, height, width)
        # An example's numbers lie at its own place of one long sequence, which Philox can go to: it
        # counts in blocks of four numbers of 64 bits, or eight of 32.
        bits = onp.random.Philox(key=onp.random.SeedSequence([seed, epoch]).generate_state(2, "u8"))
        generator, start = onp.random.Generator(bits), bits.state
        block = _AFFINE + height * width
        for i, example in enumerate(examples):
            start["state"]["counter"][0] = example * block
            bits.state = start
            generator.random(out=affine[i])
            if noise is not None:
                generator.random(out=noise[i], dtype=onp.float32)
        return resample(x, self.places(affine, noise, (height, width)), self.way)

    def places(
        self, affine: onp.ndarray, noise: onp.ndarray | None, size: tuple[int, int]
    ) -> onp.ndarray:
        """Return where every pixel comes from: a pure function of what was drawn.

        Parameters
        ----------
        affine : numpy.ndarray, shape (n, 6)
            In [0, 1): for the two shifts, rotation, the two scales and shear.
        noise : numpy.ndarray, shape (n, 2, height, width), or None
            In [0, 1): for the elastic field. The result has its dtype, float64 without.
        size : tuple of int
            Height and width.

        Returns
        -------
        numpy.ndarray, shape (n, 2, height, width)
            Rows, then columns, in pixels.
        """
        dtype = onp.dtype("float64") if noise is None else noise.dtype
        maps = self._maps(2 * affine - 1, size).astype(dtype)
        places = (maps.reshape(-1, 3) @ _pixels(size, dtype)).reshape(len(affine), 2, *size)
        if noise is not None:
            places += _smoothed(noise, self.alpha, self.sigma)
        return places

    def _maps(self, drawn: onp.ndarray, size: tuple[int, int]) -> onp.ndarray:
        """Return the maps from (row, column, 1) of a result to the image, shape (n, 2, 3)."""
        down, right = self.shift * drawn[:, 0], self.shift * drawn[:, 1]
        angle = onp.radians(self.rotation) * drawn[:, 2]
        cos, sin = onp.cos(angle), onp.sin(angle)
        taller, wider = 1 + self.scale * drawn[:, 3], 1 + self.scale * drawn[:, 4]
        slant = self.shear * drawn[:, 5]
        maps = onp.empty((len(drawn), 2, 3))
        # Turned back (rows count downwards), then not slanted, then not scaled.
        maps[:, 0, 0], maps[:, 0, 1] = cos / taller, sin / taller
        maps[:, 1, 0], maps[:, 1, 1] = (-sin - slant * cos) / wider, (cos - slant * sin) / wider
        middle = onp.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
        start = middle + onp.stack([down, right], axis=1)
        maps[:, :, 2] = middle - (maps[:, :, :2] @ start[:, :, None])[:, :, 0]
        return maps

    def _empty(self, n: int, height: int, width: int) -> tuple[onp.ndarray, onp.ndarray | None]:
        noise = onp.empty((n, 2, height, width), dtype="float32") if self.alpha else None
        return onp.empty((n, _AFFINE)), noise


def rms_displacement(alpha: float, sigma: float) -> float:
    """Return how far an elastic field moves a pixel, per axis: α / (2σ √(3π)).

    The root of the mean square over fields, in pixels, away from the rim: the variance ⅓ of a
    uniform number in [−1, 1], times the sum of the squares of a Gaussian's weights, 1/(4πσ²).
    α without σ means nothing: Simard's 34 with 4 are 1.38 pixels, 8 with 4 a third.

    Parameters
    ----------
    alpha, sigma : float
        As for `Deformation`. The formula is for σ of a pixel or more.

    Raises
    ------
    ValueError, TypeError
        α is negative or σ not positive.

    Examples
    --------
    >>> from nnbook import data
    >>> round(data.rms_displacement(34, 4), 2)
    1.38
    """
    alpha, sigma = check_number(alpha, "alpha", least=0), check_number(sigma, "sigma", above=0)
    return alpha / (2 * sigma * math.sqrt(3 * math.pi))


@functools.lru_cache(maxsize=16)
def _kernel(size: int, sigma: float, dtype: str) -> onp.ndarray:
    """Return G, the smoothing as a matrix: outside there is nothing."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(onp.eye(size), sigma, axis=0, mode="constant").astype(dtype)


@functools.lru_cache(maxsize=16)
def _pixels(size: tuple[int, int], dtype: onp.dtype) -> onp.ndarray:
    """Return (row, column, 1) of every pixel, shape (3, height · width)."""
    rows, columns = onp.mgrid[: size[0], : size[1]]
    return onp.stack([rows.ravel(), columns.ravel(), onp.ones(rows.size)]).astype(dtype)


def _smoothed(noise: onp.ndarray, alpha: float, sigma: float) -> onp.ndarray:
    """Return α G U Gᵀ of every field, with U = 2 · noise − 1."""
    *_, height, width = noise.shape
    across = 2 * alpha * _kernel(width, sigma, noise.dtype.name)
    down = _kernel(height, sigma, noise.dtype.name)
    # One product for all rows of all fields, then one for each field.
    field = ((noise - 0.5).reshape(-1, width) @ across.T).reshape(noise.shape)
    return onp.matmul(down, field)


def _examples(rows: Any, n: int) -> list[int]:
    """Return the numbers of n examples."""
    found = as_numpy(rows, "rows")
    if found.shape != (n,) or found.dtype.kind not in "iu" or found.min() < 0:
        raise ValueError(
            f"rows are {found.dtype} of shape {found.shape}; expected {n} whole numbers of at "
            "least 0, one for each image"
        )
    return found.tolist()
