"""The IDX file format, and the image sets of 28 × 28 pixels that are stored in it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as onp

__all__ = ["ImageSet", "parse_idx"]

N_VALIDATION = 10_000  # the last examples of the authors' training files


class ImageSet(NamedTuple):
    """The six arrays of an image set; unpacks like a plain tuple.

    Attributes
    ----------
    x_train, x_val, x_test : numpy.ndarray
        Pixels from 0 (background) to 1, float32, shape (n, 784), row by row.
    y_train, y_val, y_test : numpy.ndarray
        Class labels 0 … 9, int32, shape (n,).
    """

    x_train: onp.ndarray
    y_train: onp.ndarray
    x_val: onp.ndarray
    y_val: onp.ndarray
    x_test: onp.ndarray
    y_test: onp.ndarray


class Content(NamedTuple):
    """What the uncompressed content of a file must be: its size in bytes and its SHA-256."""

    size: int
    sha256: str


def parse_idx(content: bytes, name: str = "IDX content") -> onp.ndarray:
    """Parse IDX content that holds unsigned bytes.

    Parameters
    ----------
    content : bytes
        Two zero bytes, the type code 8 (unsigned byte), the number of axes, one big-endian
        32-bit size for each axis, then the values.
    name : str
        Named in errors.

    Returns
    -------
    numpy.ndarray
        uint8, read-only, of the shape that the header states; shares the memory of `content`.

    Raises
    ------
    TypeError
        If `content` is no bytes.
    ValueError
        If the header is not of this kind, or the number of values is not the one it states.
    """
    if not isinstance(content, (bytes, bytearray, memoryview)):
        raise TypeError(f"{name} is a {type(content).__name__}; expected bytes, as of a file")
    if content[:2] == b"\x1f\x8b":
        raise ValueError(
            f"{name} is compressed; expected the uncompressed bytes. Take gzip.decompress(content)."
        )
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(
            f"{name} starts with the bytes {content[:4].hex(' ') or '(none)'}; IDX content of "
            "unsigned bytes starts with 00 00 08. It is another file, or damaged: get it again."
        )
    header = 4 + 4 * content[3]
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, header, 4))
    if len(content) < header or len(content) != header + math.prod(shape):
        raise ValueError(
            f"{name} has {len(content):,} bytes, but its header of {header} bytes states the sizes "
            f"{shape}, that is {header + math.prod(shape):,} bytes in all. It is damaged: get it "
            "again."
        )
    return onp.frombuffer(content, dtype=onp.uint8, offset=header).reshape(shape)


def verify(content: bytes, expected: Content, name: str, way_out: str) -> bytes:
    """Return `content` if its size and SHA-256 are the expected ones, else raise ValueError."""
    found = Content(len(content), hashlib.sha256(content).hexdigest())
    if found != expected:
        raise ValueError(
            f"{name} is truncated or damaged: its uncompressed content has {found.size:,} bytes "
            f"with the SHA-256 {found.sha256}, expected {expected.size:,} bytes with the SHA-256 "
            f"{expected.sha256}. {way_out}"
        )
    return content


def load_image_set(
    files: Mapping[str, Content], read: Callable[[str], bytes], n_validation: int = N_VALIDATION
) -> ImageSet:
    """Read, verified by `read`, the four files named in `files` and split them.

    The files are read in threads: decompression and hashing release the interpreter lock. Getting
    200 MB of memory from the system can take as long as converting into it, so it is touched here
    while the threads still work.
    """
    with ThreadPoolExecutor(max_workers=len(files)) as pool:
        contents = {name: pool.submit(read, name) for name in files}
        memory = {name: onp.full(files[name].size, 0, dtype="float32") for name in files}
        x, y, x_test, y_test = (
            _convert(parse_idx(content.result(), name), memory.pop(name))
            for name, content in contents.items()
        )
    n = len(x) - n_validation
    return ImageSet(x[:n], y[:n], x[n:], y[n:], x_test, y_test)


def _convert(values: onp.ndarray, memory: onp.ndarray) -> onp.ndarray:
    """Return labels as int32, and images as rows of pixels in [0, 1], placed in `memory`."""
    if values.ndim == 1:
        return values.astype("int32")
    pixels = memory[: values.size].reshape(len(values), -1)
    return onp.divide(values.reshape(len(values), -1), onp.float32(255), out=pixels)
