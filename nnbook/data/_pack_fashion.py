"""Rebuild the package's part of Fashion-MNIST: ``python -m nnbook.data._pack_fashion``.

Takes the four official files from where `nnbook.data.load_fashion_mnist` finds them, keeps the
first `PART_N_TRAINING` training examples and all test examples, and prints the sizes and sums that
`nnbook.data.fashion` expects.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as onp

from nnbook.data._pack_mnist import pack
from nnbook.data.fashion import PART_FOLDER, PART_N_TRAINING, official_content


def idx(values: onp.ndarray) -> bytes:
    """Return unsigned bytes as IDX content; the inverse of `nnbook.data.parse_idx`.

    Parameters
    ----------
    values : numpy.ndarray of uint8
        Of any shape.

    Returns
    -------
    bytes
    """
    header = bytes([0, 0, 8, values.ndim])
    return header + b"".join(size.to_bytes(4, "big") for size in values.shape) + values.tobytes()


def pack_fashion(target: Path = PART_FOLDER) -> None:
    """Compress the part of Fashion-MNIST that the package ships into `target`."""
    target.mkdir(exist_ok=True)
    for name, values in official_content().items():
        kept = values[:PART_N_TRAINING] if name.startswith("train") else values
        content = idx(kept)
        pack(content, target / f"{name}.xz")
        print(f'    "{name}": Content(\n        {len(content):_},', end=" ")
        print(f'"{hashlib.sha256(content).hexdigest()}"\n    ),')


if __name__ == "__main__":
    pack_fashion()
