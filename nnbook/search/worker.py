"""What a worker of a search does: it gets ready once, and evaluates what it is sent."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import platform
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
from distributed import WorkerPlugin, get_worker

import nnbook
from nnbook.search.evaluation import evaluate
from nnbook.search.trials import Trial

__all__ = ["Evaluator", "work"]

# Of glibc's malloc.h. Dask lowers the first, which gives memory back after each step of training
# and asks for it again in the next: a third more time.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class Evaluator(WorkerPlugin):
    """What a worker evaluates, which it gets once, however often it is started anew.

    Attributes
    ----------
    content : bytes
        The function, what it may fail with, the hyperparameters and the folder, pickled.
    versions : tuple of str
        Of Python and nnbook where the search runs.
    """

    def __init__(self, content: bytes):
        self.content, self.versions = content, _versions()

    @classmethod
    def of(cls, many: Any, catch: Any, space: Any, folder: Path) -> Evaluator:
        """Pack what a worker needs.

        Raises
        ------
        TypeError
            The function cannot be sent to another process.
        """
        try:
            return cls(cloudpickle.dumps((many, catch, list(space), folder)))
        except Exception as error:
            raise TypeError(
                f"the function cannot be sent to a worker: {error}. Define it in a module, and "
                "open files and the like inside it"
            ) from error

    def setup(self, worker: Any) -> None:
        """Get a worker ready.

        Raises
        ------
        RuntimeError
            It has another Python or nnbook than the search.
        """
        if self.versions != _versions():
            raise RuntimeError(
                f"a worker has {' and '.join(_versions())}, the search "
                f"{' and '.join(self.versions)}; give them the same environment"
            )
        logging.getLogger("distributed").setLevel(logging.ERROR)
        os.environ["NNBOOK_PROGRESS"] = "0"  # the master draws
        _keep_memory()


def _versions() -> tuple[str, str]:
    return f"Python {'.'.join(platform.python_version_tuple()[:2])}", f"nnbook {nnbook.__version__}"


def _keep_memory() -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_TRIM_THRESHOLD, 128 << 20)
            libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)


@dataclass
class _Opened:
    """What is unpacked here, at the first trial that needs it."""

    lock: Any = field(default_factory=threading.Lock)
    name: str = ""
    parts: Any = None

    def get(self, name: str) -> Any:
        with self.lock:
            if self.name != name:
                plugin: Any = get_worker().plugins[name]
                self.parts = cloudpickle.loads(plugin.content)
                self.name = name
            return self.parts


_OPENED = _Opened()


@dataclass
class _Ended:
    """What takes the trials that have ended here."""

    trials: list[Trial] = field(default_factory=list)

    def add(self, trials: Iterable[Trial]) -> None:
        self.trials += trials


def work(name: str, key: str, trials: list[Trial]) -> None:
    """Evaluate trials on a worker, and tell the master what came out.

    Parameters
    ----------
    name : str
        Of the search's plugin, and of the topic under which the master listens.
    key : str
        Of this piece of work.
    trials : list of Trial
        What to evaluate.
    """
    worker, ended, error = get_worker(), _Ended(), None
    where = {"worker": worker.address, "pid": os.getpid()}
    worker.log_event(name, {"key": key, "begun": True, **where})
    try:
        many, catch, hyperparameters, folder = _OPENED.get(name)
        _numpy_mode()
        evaluate(trials, many, catch, hyperparameters, folder, ended)
    except Exception as raised:
        error = _portable(raised)
    worker.log_event(name, {"key": key, "ended": cloudpickle.dumps((ended.trials, error))})


def _numpy_mode() -> None:
    """Where MXNet is used: its NumPy semantics belong to a thread."""
    if (runtime := sys.modules.get("nnbook.gluon.runtime")) is not None:
        runtime.use_numpy_mode()


def _portable(error: Exception) -> Exception:
    """Return an exception that survives the way back."""
    try:
        cloudpickle.loads(cloudpickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
