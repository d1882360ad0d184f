"""Whose turn it is to draw: what nnbook seeds of MXNet, and how it is given back."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nnbook.gluon.runtime import mx, np

__all__ = ["epoch_seed", "preserved_generator"]


def epoch_seed(seed: Any, epoch: int) -> int:
    """Return the seed of what is random in an epoch."""
    return zlib.crc32(f"{seed} {epoch}".encode())


@contextmanager
def preserved_generator() -> Iterator[None]:
    """Let MXNet's generator go on after the block as if nothing had been seeded inside.

    It cannot be read. So it goes on from a number that it drew before, which still depends on the
    seed that was set before, and no two runs after each other start alike.
    """
    following = int(np.random.randint(0, 2**31 - 1, size=(1,), dtype="int32").item())
    try:
        yield
    finally:
        mx.random.seed(following)
