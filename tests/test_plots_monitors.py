"""`plots` of what monitors saw: every number is where it belongs, and reads in grey."""

import matplotlib as mpl
import numpy as np
import pytest

from nnbook import plots

mpl.use("agg")


@pytest.fixture(autouse=True)
def _close():
    yield
    mpl.pyplot.close("all")


def test_update_ratios_have_a_logarithmic_axis_and_the_rule():
    steps = np.arange(1, 6)
    ratios = {"0.weight": 1e-2 / steps, "0.bias": [np.inf, 0, 1e-3, 1e-4, 1e-4]}
    ax = plots.plot_update_ratios(steps, ratios)
    assert ax.get_yscale() == "log"
    one, two, rule = ax.lines
    np.testing.assert_allclose(one.get_ydata(), 1e-2 / steps)
    np.testing.assert_array_equal(np.isnan(two.get_ydata()), [True, True, False, False, False])
    assert list(rule.get_ydata()) == [1e-3, 1e-3]
    assert one.get_linestyle() != two.get_linestyle()
    assert len(plots.plot_update_ratios(steps, ratios, rule=None).lines) == 2
    ax.figure.canvas.draw()


def test_dead_units_are_shown_in_per_cent():
    ax = plots.plot_dead_units([0, 1, 2], {"1": [0, 0.25, 0.5], "3": [np.nan, 1, 1]})
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0, 25, 50])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["1", "3"]
    assert ax.get_ylim()[0] < 0 < 100 < ax.get_ylim()[1]


def test_the_gap_is_shaded_where_validation_is_worse():
    ax = plots.plot_gap([1, 2, 3], [3.0, 2, 1], [2.0, 2, 2], log=True)
    assert ax.get_yscale() == "log"
    (shade,) = ax.collections
    (path,) = shade.get_paths()
    assert path.vertices[:, 0].min() == pytest.approx(2)
    assert path.vertices[:, 0].max() == 3


def test_ridges_stand_above_each_other_at_equal_height():
    edges = np.linspace(0, 1, 5)
    ax = plots.plot_ridges({"a": ([1, 2, 3, 4], edges), "b": ([100, 0, 0, 0], edges)})
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    tops = [patch.get_data().values.max() for patch in ax.patches[::2]]
    assert tops == pytest.approx([1.9, 0.9])
    uneven = plots.plot_ridges({"c": ([5, 5], [1, 2, 4])})
    values = uneven.patches[0].get_data().values
    assert values[0] == pytest.approx(2 * values[1])  # a density
    even = plots.plot_ridges({"c": ([5, 5], [1, 2, 4])}, log=True).patches[0].get_data().values
    assert even[0] == pytest.approx(even[1])


def test_a_history_of_histograms_keeps_values_in_their_place():
    edges = np.array([[0.0, 1, 2], [0.0, 4, 8]])
    ax = plots.plot_histogram_history([0, 5], [[7, 0], [0, 3]], edges)
    (mesh,) = ax.collections
    shown = mesh.get_array().reshape(4, 2)  # rows of 2 units each, from 0 to 8
    np.testing.assert_array_equal(shown[:, 0] > 0, [True, False, False, False])
    np.testing.assert_array_equal(shown[:, 1] > 0, [False, False, True, True])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "5"]
    logarithmic = plots.plot_histogram_history([1], [[1, 1]], [1, 10, 100], log=True)
    assert logarithmic.get_yscale() == "log"
    assert logarithmic.get_ylim() == pytest.approx((1, 100))


def test_filters_are_images_side_by_side_on_one_scale():
    weights = np.arange(-12.0, 12).reshape(4, 6)
    ax = plots.plot_filters(weights, (2, 3), titles=list("abcd"))
    (image,) = ax.images
    canvas = np.ma.filled(image.get_array(), np.nan)
    found = canvas[~np.isnan(canvas)]
    assert sorted(found) == sorted(weights.ravel())
    assert image.get_clim() == (-12, 12)
    assert image.cmap.name == "gray"
    assert [text.get_text() for text in ax.texts] == list("abcd")
    row, column = np.argwhere(canvas == -12)[0]
    np.testing.assert_array_equal(
        canvas[row : row + 2, column : column + 3], weights[0].reshape(2, 3)
    )
    assert plots.plot_filters(weights, (2, 3), columns=4).images[0].get_array().shape[1] == 16


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.plot_update_ratios([1], {}), "no series to draw"),
        (lambda: plots.plot_dead_units([1, 2], {"a": [0.5]}), "'a' has 1 values; expected 2"),
        (lambda: plots.plot_gap([1, 2], [1, 2], [1]), "'validation' has 1 values"),
        (lambda: plots.plot_ridges({}), "no histogram to draw"),
        (lambda: plots.plot_ridges({"a": ([1, 2], [0, 1])}), r"expected \(3,\)"),
        (lambda: plots.plot_histogram_history([1, 2], [[1]], [0, 1]), "has 1 rows; expected 2"),
        (lambda: plots.plot_filters(np.ones((2, 5)), (2, 3)), r"expected \(units, 6\)"),
        (lambda: plots.plot_filters(np.ones((2, 6)), (2, 3), titles=["a"]), "1 titles; expected 2"),
    ],
)
def test_bad_input_is_named(draw, words):
    with pytest.raises(ValueError, match=words):
        draw()
