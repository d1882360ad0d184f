"""Make MXNet ready whenever somebody imports it: a finder at the head of the import path.

`nnbook` installs it. It looks at nothing but the name ``mxnet`` and costs nothing until then:
importlib.abc, whose classes are what these are, is not imported, as it takes 20 ms.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["install"]


class _Finder:
    """Finds ``mxnet`` and its modules as others do, and has them loaded with what they miss."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find a module of MXNet; nothing is prepared until it is loaded."""
        if name != "mxnet" and not name.startswith("mxnet."):
            return None
        # Only those behind: another one in front may ask us in its turn.
        place = sys.meta_path.index(self) + 1 if self in sys.meta_path else 0
        for finder in sys.meta_path[place:]:
            find = getattr(finder, "find_spec", None)
            spec = find and find(name, path, target)
            if spec is not None:
                if spec.has_location:  # a file, not a bare folder of that name
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    """Executes a module of MXNet by `nnbook.gluon.install`; all else is done as it was."""

    def __init__(self, loader: Any):
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        from nnbook.gluon import install

        # From here on the module looks like any other, to whoever asks it for its loader.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        install.execute(self._loader, module)


def install() -> None:
    """Put the finder on the import path, once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
