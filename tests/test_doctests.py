"""The examples in the docstrings are executed."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy
import pytest

import nnbook

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(nnbook.__path__, "nnbook.")
    if not module.name.endswith(("__main__", "_pack_mnist", "_pack_fashion"))
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of(name):
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(
        module,
        extraglobs={"numpy": numpy},
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {
        name: sum(len(test.examples) for test in finder.find(importlib.import_module(name)))
        for name in MODULES
    }
    assert found["nnbook.tape"] > 0
    assert sum(found.values()) > 20
