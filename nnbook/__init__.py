"""nnbook: a textbook that runs, about training neural networks in practice.

Importing it is cheap and needs NumPy and SciPy alone: schedules, update rules, checks and claims,
and whatever else works on arrays or on an `nnbook.objective.Objective`. What trains Gluon networks
imports Apache MXNet when it is first used; `import nnbook` makes MXNet work on today's Python and
NumPy, whoever imports it afterwards (see `nnbook.runtime`). Where that is impossible an ImportError
says what to do.
"""

import importlib
from types import ModuleType

from nnbook.gluon import finder as _finder

__version__ = "0.1.0"

_finder.install()


def __getattr__(name: str) -> ModuleType:
    """Import a module of the package when it is asked for as an attribute: ``nnbook.optim``."""
    if name.startswith("_"):
        raise AttributeError(f"module 'nnbook' has no attribute {name!r}")
    try:
        return importlib.import_module(f"nnbook.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"nnbook.{name}":
            raise
        raise AttributeError(f"module 'nnbook' has no attribute {name!r}") from None
