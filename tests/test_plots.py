import subprocess
import sys
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from scipy import stats

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.colors import to_hex, to_rgb

from nnbook import plots

X = np.arange(1, 31)
HISTORY = {"epoch": X, "train_loss": 1 / X, "val_loss": 1 / X + 0.1}
SEEDS = np.random.default_rng(0).normal(size=(6, 30)) + X
ARMS = {"raw": [9.0, 11.0, 10.0], "centred": [7.0, 6.0]}


def bowl(theta):
    return theta[..., 0] ** 2 + 10 * theta[..., 1] ** 2


TRIALS = {
    "rate": np.geomspace(1e-4, 1, 12),
    "rule": np.array(["sgd", "momentum", None] * 4, dtype=object),
    "momentum": np.array([np.nan, 0.9, 0.5] * 4),
    "loss": np.array([0.3, np.nan, 0.1] * 4) + np.arange(12),
}
PATH = np.array([[-1.8 * 0.8**k, 1.5 * (-0.7) ** k] for k in range(20)])

RANGE = SimpleNamespace(
    learning_rates=np.geomspace(1e-4, 1, 30),
    losses=np.r_[2.3 - X[:25] / 20, 3, 9, 80, 1e5, np.inf],
    smoothed=np.r_[2.3 - X[:25] / 20, 1.5, 2, 3, 4, 5],
    lowest=0.2,
    suggestion=0.02,
)

EVERY = {
    "history": lambda **kw: plots.plot_history(HISTORY, **kw),
    "seeds": lambda **kw: plots.plot_seeds(X, SEEDS, "arm", **kw),
    "contours": lambda **kw: plots.plot_contours(bowl, {"sgd": PATH}, **kw),
    "spectrum": lambda **kw: plots.plot_spectrum([3.0, -1.0, 0.01, 0.0], "Hessian", **kw),
    "range test": lambda **kw: plots.plot_range_test(RANGE, "B = 32", **kw),
    "schedule": lambda **kw: plots.plot_schedule(lambda t: 0.1 / (1 + t), 100, **kw),
    "comparison": lambda **kw: plots.plot_comparison(ARMS, xlabel="epochs", **kw),
    "trials": lambda **kw: plots.plot_trials(TRIALS["rate"], TRIALS["loss"], log=True, **kw),
    "parallel": lambda **kw: plots.plot_parallel(TRIALS, TRIALS["loss"], log=["rate"], **kw),
    "best of": lambda **kw: plots.plot_best_of(X, 1 / X, 0.5 / X, 2 / X, "random", **kw),
    "reliability": lambda **kw: plots.plot_reliability(
        [0.3, 0.6, 0.9], [0.2, 0.5, 0.7], [9, 5, 50], "one model", **kw
    ),
    "disagreement": lambda **kw: plots.plot_disagreement([[0, 0.1], [0.1, 0]], **kw),
    "importance": lambda **kw: plots.plot_importance(
        ["learning_rate", "units"], [0.6, 0.1], [0.5, -0.1], [0.7, 0.2], "MNIST", **kw
    ),
}
every_plot = pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY.keys())


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def labelled(ax):
    """The lines that carry a label, by label."""
    return {line.get_label(): line for line in ax.lines if line.get_label()[0] != "_"}


# ---------------------------------------------------------------- what every plot does


@every_plot
def test_draws_on_the_axes_it_is_given_and_changes_no_setting(draw):
    before = dict(matplotlib.rcParams)
    _, ax = plt.subplots()
    assert draw(ax=ax) is ax
    assert ax.has_data()
    assert plt.get_fignums() == [1]
    assert dict(matplotlib.rcParams) == before


@every_plot
def test_makes_a_readable_figure_when_given_none(draw):
    before = dict(matplotlib.rcParams)
    ax = draw()
    assert dict(matplotlib.rcParams) == before
    width = ax.figure.get_size_inches()[0]
    assert width == 6
    assert ax.get_xlabel()
    texts = [ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels(), *ax.get_yticklabels()]
    texts += ax.get_legend().get_texts() if ax.get_legend() else []
    # A point is 390 / (72 · 6) pixels when the figure is shown 390 pixels wide.
    assert min(t.get_fontsize() for t in texts) * 390 / (72 * width) > 10
    ax.figure.canvas.draw()
    drawn, whole = ax.get_tightbbox(), ax.figure.bbox
    assert -1 <= drawn.x0 < drawn.x1 <= whole.width + 1
    assert -1 <= drawn.y0 < drawn.y1 <= whole.height + 1
    assert ax.get_window_extent().width > 0.6 * whole.width


def test_importing_plots_imports_neither_matplotlib_nor_the_rest_of_the_book():
    code = (
        "import sys, nnbook; before = set(sys.modules); import nnbook.plots; "
        "new = set(sys.modules) - before; "
        "print(sorted(m for m in new if m.split('.')[0] in ('matplotlib', 'scipy') or "
        "(m.startswith('nnbook') and not m.startswith(('nnbook.plots', 'nnbook._')))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- style


def luminance(colour):
    """Relative luminance (WCAG 2)."""
    channels = np.array(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_a_cell_that_ends_with_the_style_shows_nothing(capsys):
    from IPython.core.formatters import IPythonDisplayFormatter

    assert IPythonDisplayFormatter()(plots.use_style()) is True  # it has taken care of it
    assert capsys.readouterr().out == ""


def test_use_style_is_undone():
    before = dict(matplotlib.rcParams)
    with plots.use_style():
        assert matplotlib.rcParams["figure.figsize"] == [6.0, 4.0]
        assert matplotlib.rcParams["font.size"] >= 11
    assert dict(matplotlib.rcParams) == before


def test_colours_differ_and_show_on_white():
    assert len(set(plots.PALETTE)) == len(plots.PALETTE) == 7
    for colour in plots.PALETTE:
        assert 1.05 / (luminance(colour) + 0.05) > 2.2


def test_series_differ_in_line_and_marker_too():
    _, ax = plt.subplots()
    for k in range(7):
        plots.plot_seeds(X, SEEDS + k, f"arm {k}", ax=ax)
    lines = labelled(ax).values()
    assert [to_hex(line.get_color()).upper() for line in lines] == list(plots.PALETTE)
    assert len({line.get_marker() for line in lines}) == 7
    assert len({str(line._dash_pattern) for line in lines}) == 7


# ---------------------------------------------------------------- what each plot shows


def test_history_draws_the_columns():
    lines = labelled(plots.plot_history(HISTORY))
    assert list(lines) == ["train loss", "val loss"]
    np.testing.assert_array_equal(lines["val loss"].get_xydata(), np.c_[X, 1 / X + 0.1])


def test_history_counts_epochs_where_there_is_no_such_column():
    ax = plots.plot_history({"val_accuracy": [0.5, 0.75]}, "val_accuracy", label="tanh")
    assert labelled(ax)["tanh"].get_xydata().tolist() == [[1, 0.5], [2, 0.75]]
    assert ax.get_ylabel() == "accuracy"


def test_seeds_shows_every_seed_the_mean_and_students_interval():
    ax = plots.plot_seeds(X, SEEDS, "arm")
    mean = labelled(ax)["arm"].get_ydata()
    np.testing.assert_allclose(mean, SEEDS.mean(axis=0))
    thin = [line.get_ydata() for line in ax.lines if line is not labelled(ax)["arm"]]
    np.testing.assert_array_equal(thin, SEEDS)
    low, high = stats.t.interval(0.95, 5, SEEDS[:, 7].mean(), stats.sem(SEEDS[:, 7]))
    vertices = ax.collections[0].get_paths()[0].vertices
    at = vertices[vertices[:, 0] == X[7], 1]
    assert [at.min(), at.max()] == pytest.approx([low, high])


def test_one_seed_has_no_interval():
    ax = plots.plot_seeds(X, SEEDS[:1])
    assert not ax.collections
    assert not plots.plot_seeds(X, SEEDS, band=False).collections


def contours(ax):
    """The points of each contour, lowest first (matplotlib 3.7 has a collection for each)."""
    paths = [path.vertices for collection in ax.collections for path in collection.get_paths()]
    return [points for points in paths if len(points)]


def test_contours_show_the_path_and_the_levels():
    ax = plots.plot_contours(bowl, PATH, levels=[1.0, 4.0], x_range=(-3, 3))
    assert ax.get_xlim() == (-3, 3)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), PATH)
    points = np.concatenate(contours(ax))
    heights = bowl(points)
    assert np.minimum(abs(heights - 1), abs(heights - 4)).max() < 0.01


def test_logarithmic_contours_reach_into_the_valley():
    def valley(theta):
        x, y = theta[..., 0], theta[..., 1]
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2

    heights = [
        np.median(valley(points)) for points in contours(plots.plot_contours(valley, log=True))
    ]
    assert 18 <= len(heights) <= 20
    assert heights[0] < 1
    # Four decades in 19 equal factors, up to the error of linear interpolation on the grid.
    np.testing.assert_allclose(np.diff(np.log10(heights))[5:], 4 / 19, rtol=0.1)


def test_spectrum_sorts_by_size_and_marks_negative_values():
    ax = plots.plot_spectrum([0.01, 3.0, 0.0, -1.0], "Hessian")
    lines = labelled(ax)
    assert lines["Hessian"].get_xydata().tolist() == [[1, 3.0], [3, 0.01]]
    assert lines["Hessian, negative"].get_xydata().tolist() == [[2, 1.0]]
    assert lines["Hessian, negative"].get_fillstyle() == "none"
    assert ax.get_yscale() == "log"


def test_schedule_calls_the_function_and_names_it():
    def halving(step):
        assert isinstance(step, int)
        return 0.5**step

    ax = plots.plot_schedule([halving, halving], 3)
    lines = labelled(ax)
    assert list(lines) == ["halving", "halving (2)"]
    assert lines["halving"].get_xydata().tolist() == [[0, 1], [1, 0.5], [2, 0.25]]
    long = plots.plot_schedule({"constant": lambda t: 0.1}, 10**6)
    steps = labelled(long)["constant"].get_xdata()
    assert len(steps) == 500
    assert steps[[0, -1]].tolist() == [0, 10**6 - 1]


def test_comparison_shows_every_value_and_the_interval():
    ax = plots.plot_comparison(ARMS, xlabel="epochs")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["raw", "centred"]
    dots = [line.get_xdata().tolist() for line in ax.lines if line.get_gid()]
    assert dots == list(ARMS.values())
    for row, values in enumerate(ARMS.values()):
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
        bar = ax.containers[row][2][0].get_segments()[0][:, 0]
        assert bar.tolist() == pytest.approx([low, high])
    assert ax.yaxis_inverted()


def test_an_arm_with_one_seed_is_drawn_without_interval():
    ax = plots.plot_comparison({"only": [3.0]})
    ax.figure.canvas.draw()
    assert ax.lines[0].get_xdata().tolist() == [3.0]


def test_nothing_of_the_callers_is_changed():
    values, path = SEEDS.copy(), PATH.copy()
    plots.plot_seeds(X, values)
    plots.plot_contours(bowl, path)
    np.testing.assert_array_equal(values, SEEDS)
    np.testing.assert_array_equal(path, PATH)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: plots.plot_history({"a": []}, "a"), ValueError, r"column 'a' has shape \(0,\)"),
        (lambda: plots.plot_history({"a": [1]}, "b"), KeyError, "b"),
        (lambda: plots.plot_seeds(X, SEEDS[0]), ValueError, r"values has shape \(30,\).*2 dim"),
        (lambda: plots.plot_seeds(X[:5], SEEDS), ValueError, r"\(6, 30\), x has 5 points"),
        (lambda: plots.plot_contours(bowl, PATH.T), ValueError, r"\(2, 20\); expected \(steps, 2"),
        (lambda: plots.plot_contours(bowl, x_range=(1, 1)), ValueError, r"x_range is \(1, 1\)"),
        (lambda: plots.plot_contours(lambda t: 1.0), ValueError, r"to \(\); .*theta\[\.\.\., 0\]"),
        (lambda: plots.plot_spectrum([]), ValueError, r"eigenvalues has shape \(0,\)"),
        (lambda: plots.plot_spectrum([0.0, 0.0]), ValueError, "all 2 eigenvalues are 0"),
        (lambda: plots.plot_schedule(lambda t: 1.0, 0), ValueError, "steps is 0"),
        (lambda: plots.plot_schedule([], 5), ValueError, "no schedule to draw"),
        (lambda: plots.plot_comparison({}), ValueError, "no arm to draw"),
        (lambda: plots.plot_comparison({"a": 3.0}), ValueError, r"arm 'a' has shape \(\)"),
    ],
)
def test_bad_input_leaves_no_figure(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
    assert plt.get_fignums() == []


# ---------------------------------------------------------------- range test


def test_a_range_test_shows_where_the_loss_is_lowest_and_what_is_suggested():
    ax = plots.plot_range_test(RANGE)
    lines = labelled(ax)
    np.testing.assert_array_equal(lines["the loss, averaged"].get_ydata(), RANGE.smoothed)
    assert lines["suggestion 0.02"].get_xdata()[0] == 0.02
    assert ax.get_xscale() == "log"
    assert ax.get_ylim() == (0, 1.1 * 5)  # not 1e5
    plots.plot_range_test(RANGE, "again", ax=ax)
    assert labelled(ax)["again, averaged"].get_color() != lines["the loss, averaged"].get_color()
    assert ax.get_ylim() == (0, 1.1 * 5)
    short = SimpleNamespace(**vars(RANGE) | {"losses": [1.0]})
    with pytest.raises(ValueError, match="30 rates, 1 losses and 30 averages"):
        plots.plot_range_test(short)
