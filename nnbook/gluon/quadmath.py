"""Stand in for the system's libquadmath, which MXNet's wheel asks for and calls nothing of.

The x86-64 wheel brings a Fortran library that is linked against ``libquadmath.so.0``, and not
that library itself; few systems have it unless somebody compiles Fortran there. SciPy's wheels have
it under a name of their own. A copy of theirs in memory that bears the ordinary name satisfies the
loader.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path

__all__ = ["stand_in"]

NAME = "libquadmath.so.0"


def stand_in(folders: list[Path] | None = None, name: str = NAME) -> Path | None:
    """Load a wheel's libquadmath under the name that MXNet asks for, where the system has none.

    Parameters
    ----------
    folders : list of Path, optional
        Where to look; by default the folders of libraries of SciPy's and NumPy's wheels.
    name : str
        The name, of at most the length of the wheel's.

    Returns
    -------
    Path or None
        The library that stands in. None where none is needed, or none is to be had: MXNet then
        says itself what it misses.
    """
    if sys.platform != "linux" or _loads(name):
        return None
    for folder in _wheels() if folders is None else folders:
        for path in sorted(folder.glob("libquadmath-*.so*")):
            if _load_as(path, name):
                return path
    return None


def _wheels() -> list[Path]:
    found = map(importlib.util.find_spec, ("scipy", "numpy"))
    homes = [Path(spec.origin).parent for spec in found if spec and spec.origin]
    return [home.with_name(f"{home.name}.libs") for home in homes]


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _load_as(path: Path, name: str) -> bool:
    """Load a copy of a library whose name for the loader, its file's name, is another."""
    own = path.name.encode() + b"\0"
    alias = name.encode() + b"\0"
    content = path.read_bytes()
    if content.count(own) != 1 or len(alias) > len(own):
        return False
    copy = os.memfd_create(name)
    try:
        with open(copy, "wb", closefd=False) as file:
            file.write(content.replace(own, alias.ljust(len(own), b"\0")))
        # By its own name too: the loader knows an earlier library of this path, and says yes.
        return _loads(f"/proc/self/fd/{copy}") and _loads(name)
    finally:
        os.close(copy)
