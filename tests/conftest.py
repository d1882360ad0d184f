"""Settings of the unit tests: warnings are errors, every test starts from the same seed."""

from __future__ import annotations

import importlib.util
import os
import random
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

HAS_MXNET = importlib.util.find_spec("mxnet") is not None


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "gpu: needs a GPU on which MXNet can compute")
    config.addinivalue_line("filterwarnings", "error")
    # MXNet 1.9.1 uses aliases that NumPy and Python have deprecated since.
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning:mxnet")
    # The oldest matplotlib allowed uses names that pyparsing has deprecated since.
    config.addinivalue_line("filterwarnings", r"ignore:'\w+'.*deprecated.*use:DeprecationWarning")


@pytest.fixture(autouse=True)
def _same_seed() -> None:
    """Make a test's random numbers independent of the tests before it."""
    random.seed(20240229)
    np.random.seed(20240229)  # noqa: NPY002 - what some still follow
    if HAS_MXNET:  # the core is tested without it
        from nnbook.runtime import seed_everything

        seed_everything(20240229)


@pytest.fixture(autouse=True)
def _same_style() -> None:
    """Undo what a test before, or a page that it executed, has left behind in matplotlib."""
    if "matplotlib" in sys.modules:
        import matplotlib as mpl

        mpl.rcdefaults()
    if "matplotlib.pyplot" in sys.modules:
        import matplotlib.pyplot as plt

        plt.close("all")


@pytest.fixture
def no_hang() -> Iterator[None]:
    """End the interpreter rather than wait for ever: for tests of processes."""
    watch = threading.Timer(240, lambda: os._exit(99))
    watch.daemon = True
    watch.start()
    yield
    watch.cancel()
