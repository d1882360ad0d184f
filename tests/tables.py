"""Comparing the tables of two searches."""

import numpy as np


def same(first, second, but=("seconds",)):
    """Tell whether two tables are equal to the bit."""
    assert list(first.columns) == list(second.columns)
    for name in first.columns:
        if name not in but:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    return True
