"""Make MXNet ready whenever somebody imports it: a finder at the head of the import path.

`nnbook` installs it. It looks at nothing but the name ``mxnet`` and costs nothing until then.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["install"]


class _Finder(MetaPathFinder):
    """Finds ``mxnet`` and its modules as others do, and has them loaded with what they miss."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find a module of MXNet; nothing is prepared until it is loaded."""
        if name != "mxnet" and not name.startswith("mxnet."):
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader(Loader):
    """Executes a module of MXNet with a view of NumPy that has the names it asks for."""

    def __init__(self, loader: Any):
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        from nnbook.gluon import install

        install.execute(self._loader, module)


def install() -> None:
    """Put the finder on the import path, once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
