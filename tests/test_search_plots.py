"""Pictures of searches; what every plot does is tested in test_plots."""

import matplotlib
import numpy as np
import pytest

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.colors import to_rgb

from nnbook import plots, search
from tests.test_plots import TRIALS


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


# -------------------------------------------------------------------------------- trials


def test_every_trial_is_drawn_and_failed_ones_are_marked():
    ax = plots.plot_trials(TRIALS["rate"], TRIALS["loss"], log=True, xlabel="rate")
    points, crosses = ax.lines
    np.testing.assert_array_equal(points.get_xdata(), TRIALS["rate"])
    np.testing.assert_array_equal(points.get_ydata(), TRIALS["loss"])
    assert points.get_linestyle() == "None"
    failed = np.isnan(TRIALS["loss"])
    np.testing.assert_array_equal(crosses.get_xdata(), TRIALS["rate"][failed])
    assert crosses.get_label() == "failed"
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    assert ax.get_xlabel() == "rate"


def test_choices_are_drawn_side_by_side():
    ax = plots.plot_trials(TRIALS["rule"], TRIALS["loss"])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["sgd", "momentum", "None"]
    places = np.round(ax.lines[0].get_xdata())
    np.testing.assert_array_equal(places, [0, 1, 2] * 4)


@pytest.mark.parametrize("choices", [[(3,), (4,), (3,)], [True, False, True], ["1", "2", "1"]])
def test_what_is_no_number_is_a_choice(choices):
    ax = plots.plot_trials(choices, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(np.round(ax.lines[0].get_xdata()), [0, 1, 0])


def test_two_searches_share_an_axes():
    ax = plots.plot_trials([1.0, 2.0], [1.0, 2.0], "grid")
    plots.plot_trials([1.0, 2.0], [1.0, np.nan], "random", ax=ax)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["grid", "random", "random, failed"]
    assert ax.lines[0].get_marker() != ax.lines[1].get_marker()


# ------------------------------------------------------------------------------- parallel


def heights(ax):
    return [line.get_ydata() for line in ax.lines if line.get_gid() == "nnbook-series"]


def test_parallel_lines_have_their_heights():
    columns = {"rate": [0.01, 0.1, 1], "units": [10, 20, 40], "rule": ["a", "b", "a"]}
    ax = plots.plot_parallel(columns, [3.0, 2.0, 1.0], log=["rate"])
    # The worst is drawn first.
    np.testing.assert_allclose(heights(ax), [[0, 0, 0], [0.5, 1 / 3, 1], [1, 1, 0]], atol=1e-12)
    best = ax.lines[-1]
    assert best.get_linewidth() > 2
    written = [text.get_text() for text in ax.texts]
    assert written == ["0.01", "1", "10", "40", "a", "b"]


def test_the_best_line_lies_on_top_whichever_is_better():
    columns = {"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 2.0]}
    for smaller, order in ((True, [2, 1, 0]), (False, [0, 1, 2])):
        ax = plots.plot_parallel(columns, [1.0, 2.0, 3.0], smaller_is_better=smaller, best=1)
        assert [line[0] for line in heights(ax)] == [k / 2 for k in order]
        widths = [line.get_linewidth() for line in ax.lines if line.get_gid()]
        assert widths[2] > widths[1] == widths[0]


def test_colours_of_lines_are_those_of_the_bar():
    columns = {"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 2.0]}
    for smaller in (True, False):
        ax = plots.plot_parallel(columns, [10.0, 20.0, 40.0], smaller_is_better=smaller)
        (bar,) = [other for other in ax.figure.axes if other is not ax]
        assert [t.get_text() for t in bar.get_yticklabels()] == ["10", "15", "20", "30", "40"]
        colours = bar.collections[-1].cmap
        lines = {line.get_ydata()[0]: line.get_color() for line in ax.lines if line.get_gid()}
        for height, level in ((0, 0.0), (0.5, 0.5), (1, 1.0)):
            assert to_rgb(lines[height]) == pytest.approx(to_rgb(colours(level)), abs=0.02)


def test_failed_trials_and_missing_numbers():
    ax = plots.plot_parallel({"x": [0.0, 1.0], "y": [np.nan, 3.0]}, [np.nan, 1.0])
    failed, fine = (line for line in ax.lines if line.get_gid())
    assert failed.get_linestyle() == ":"
    np.testing.assert_array_equal(failed.get_ydata(), [0, np.nan])
    np.testing.assert_array_equal(fine.get_ydata(), [1, 0.5])


# ----------------------------------------------------------------- best of k, importance


def test_best_of_is_drawn_with_its_band():
    found = search.best_of(np.random.default_rng(0).random(40))
    ax = plots.plot_best_of(found.trials, found.expected, found.low, found.high, "random")
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), found.expected)
    (band,) = ax.collections
    inside = band.get_paths()[0].get_extents()
    assert (inside.y0, inside.y1) == (found.low.min(), found.high.max())
    assert ax.get_xscale() == "log"
    plots.plot_best_of(found.trials, found.expected, label="grid", ax=ax)
    assert len(ax.collections) == 1


def test_importances_of_two_data_sets_share_their_rows():
    ax = plots.plot_importance(["a", "b"], [0.5, 0.1], [0.4, 0], [0.6, 0.2], "MNIST")
    plots.plot_importance(["b", "a"], [0.3, 0.2], [0.1, 0.1], [0.4, 0.3], "Fashion", ax=ax)
    first, second = (line for line in ax.lines if line.get_gid())
    np.testing.assert_allclose(first.get_xdata(), [50, 10])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
    np.testing.assert_array_equal(np.floor(second.get_ydata()), [1, 0])
    low, high = ax.collections[0].get_segments()[0][:, 0]
    assert (low, high) == pytest.approx((40, 60))
    with pytest.raises(ValueError, match=r"the names are \['c', 'a'\]"):
        plots.plot_importance(["c", "a"], [0.3, 0.2], [0.1, 0.1], [0.4, 0.3], ax=ax)


# ------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.plot_trials([1, 2], [1.0]), "x has 2 trials, values has 1"),
        (lambda: plots.plot_trials([0, 1], [1, 2], log=True), "needs numbers above 0"),
        (lambda: plots.plot_trials(["a", "b"], [1, 2], log=True), "needs numbers above 0"),
        (lambda: plots.plot_trials([], []), "at least one value"),
        (lambda: plots.plot_parallel({"x": [1, 2]}, [1, 2]), "got 1 columns"),
        (lambda: plots.plot_parallel({"x": [1], "y": [1]}, [np.nan]), "0 finite values"),
        (lambda: plots.plot_parallel({"x": [1, 2], "y": [1]}, [1, 2]), "y has 1 trials"),
        (lambda: plots.plot_parallel({"x": [0, 1], "y": [1, 2]}, [1, 2], log="x"), "down to 0"),
        (lambda: plots.plot_best_of([1, 2], [1, 2], low=[1, 2]), "both low and high"),
        (lambda: plots.plot_best_of([1, 2], [1]), "trials has 2 points"),
        (lambda: plots.plot_importance(["a"], [1, 2], [1, 2], [1, 2]), "there are 1 names"),
    ],
)
def test_wrong_input(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
    assert plt.get_fignums() == []
