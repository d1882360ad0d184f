"""Import what an extra brings, or say which extra it is."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["require"]


def require(name: str, *, extra: str) -> Any:
    """Import a module that not every installation has.

    Parameters
    ----------
    name : str
        The module, for example ``"matplotlib.pyplot"``.
    extra : str
        The extra of nnbook that brings it.

    Returns
    -------
    module
        The module itself, not the package it is in.

    Raises
    ------
    ModuleNotFoundError
        When it is not installed; the message has the command that installs it.

    Examples
    --------
    >>> require("json", extra="plots").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = name.partition(".")[0]
        if error.name != package:  # it is there, and misses something itself
            raise
        raise ModuleNotFoundError(
            f"{package} is not installed, and the core of nnbook works without it. "
            f'Run: python -m pip install "nnbook[{extra}]"',
            name=package,
        ) from None
