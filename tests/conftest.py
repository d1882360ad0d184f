"""Settings of the unit tests: warnings are errors, every test starts from the same seed."""

from __future__ import annotations

import pytest


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
    from nnbook.runtime import seed_everything

    seed_everything(20240229)
