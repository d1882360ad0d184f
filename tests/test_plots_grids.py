"""`plots.plot_grid_of_tests`: every cell is where it belongs, in a colour that reads in grey."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from nnbook import plots

mpl.use("agg")
ROWS, COLUMNS, GROUPS = ["a", "b", "c"], ["x", "y"], ["one", "two"]


@pytest.fixture(autouse=True)
def _close():
    yield
    mpl.pyplot.close("all")


def boxes(ax):
    """Return (column, row, brightness) of every cell, from what is drawn."""
    found = []
    for collection in ax.collections:
        if collection.__class__.__name__ != "PatchCollection":
            continue
        grey = np.dot(to_rgb(collection.get_facecolor()[0]), [0.299, 0.587, 0.114])
        for path in collection.get_paths():
            x, y = path.vertices[:4].mean(axis=0)
            found.append((round(float(x), 3), round(float(y), 3), round(float(grey), 3)))
    return sorted(found)


def test_cells_lie_in_their_rows_columns_and_groups():
    status = np.arange(12).reshape(3, 2, 2) % 5
    ax = plots.plot_grid_of_tests(status, ROWS, COLUMNS, GROUPS)
    cells = boxes(ax)
    assert [c[:2] for c in cells] == [(x, y) for x in (0.5, 1.5, 3.0, 4.0) for y in (0.5, 1.5, 2.5)]
    brightness = {}
    for (x, y, grey), _ in zip(cells, range(12), strict=True):
        row, place = int(y - 0.5), [0.5, 1.5, 3.0, 4.0].index(x)
        brightness.setdefault(int(status[row, place // 2, place % 2]), set()).add(grey)
    assert all(len(greys) == 1 for greys in brightness.values())
    levels = [brightness[k].pop() for k in range(5)]
    assert (np.diff(levels) < -0.1).all()  # the better, the darker
    assert [t.get_text() for t in ax.get_yticklabels()] == ROWS
    assert [t.get_text() for t in ax.get_xticklabels()] == COLUMNS * 2
    assert [t.get_text() for t in ax.texts] == GROUPS


def test_without_groups_and_on_axes_of_ones_own():
    figure, ax = mpl.pyplot.subplots()
    words = ["v", "w", "x", "y", "z"]
    same = plots.plot_grid_of_tests(np.full((3, 2), 4), ROWS, COLUMNS, words=words, ax=ax)
    assert same is ax
    assert len(boxes(ax)) == 6
    assert [t.get_text() for t in ax.get_legend().get_texts()] == words
    figure.canvas.draw()


@pytest.mark.parametrize(
    ("status", "groups", "words"),
    [
        (np.zeros((2, 2), int), None, r"shape \(2, 2\); expected \(3, 2\)"),
        (np.zeros((3, 2), int), GROUPS, r"expected \(3, 2, 2\)"),
        (np.full((3, 2), 5), None, r"status has \[5\]; expected 0 to 4"),
    ],
)
def test_bad_input_is_named(status, groups, words):
    with pytest.raises(ValueError, match=words):
        plots.plot_grid_of_tests(status, ROWS, COLUMNS, groups)
