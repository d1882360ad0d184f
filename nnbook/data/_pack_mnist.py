"""Rebuild the package's MNIST files: ``python -m nnbook.data._pack_mnist FOLDER``.

FOLDER holds the authors' four IDX files, as they are or with the suffix ``.gz``. Of what the
standard library can decode, these settings of LZMA are the smallest that were found: 9.2 MB
(gzip 11.3 MB, bz2 9.8 MB). Transposed images, differences between neighbouring pixels, rows
padded to 32, and the pixels of all images side by side were all larger (tried on the test images).
"""

from __future__ import annotations

import gzip
import lzma
import sys
from pathlib import Path

from nnbook.data._mnist import FILES, FOLDER
from nnbook.data.idx import verify

FILTERS = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "lc": 4,  # the context of a pixel is the upper half of the one before it,
        "lp": 0,  # whatever its
        "pb": 0,  # position
        "nice_len": 273,
        "depth": 1000,
    }
]


def pack_mnist(source: Path, target: Path = FOLDER) -> None:
    """Compress the four IDX files of the folder `source` into `target`.

    Raises
    ------
    FileNotFoundError
        If `source` lacks a file.
    ValueError
        If a file is not the authors' (by its SHA-256).
    """
    for name, expected in FILES.items():
        plain, zipped = source / name, source / f"{name}.gz"
        content = plain.read_bytes() if plain.exists() else gzip.decompress(zipped.read_bytes())
        verify(content, expected, name, "Get the original file again.")
        pack(content, target / f"{name}.xz")


def pack(content: bytes, path: Path) -> None:
    """Compress `content` into the file `path`, and say what that gave."""
    packed = lzma.compress(content, check=lzma.CHECK_CRC32, filters=FILTERS)
    path.write_bytes(packed)
    print(f"{path.name}: {len(content):,} -> {len(packed):,} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m nnbook.data._pack_mnist FOLDER")
    pack_mnist(Path(sys.argv[1]))
