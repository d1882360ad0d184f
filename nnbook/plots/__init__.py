"""Draw plain data: every function takes `ax=None` and returns the Axes.

A new figure gets the book's style (`use_style`): text that can be read when the figure is shown 390
pixels wide, and series that differ in colour, line and marker, so that they survive colour
blindness and a grey print. Given an `ax`, a function leaves the style to its owner. Nothing of
nnbook is imported here; matplotlib is imported when something is drawn.
"""

from nnbook.plots.ensembles import plot_disagreement, plot_reliability
from nnbook.plots.grids import plot_grid_of_tests
from nnbook.plots.landscapes import plot_contours, plot_spectrum
from nnbook.plots.monitors import (
    plot_dead_units,
    plot_filters,
    plot_gap,
    plot_histogram_history,
    plot_ridges,
    plot_update_ratios,
)
from nnbook.plots.runs import (
    plot_comparison,
    plot_history,
    plot_range_test,
    plot_schedule,
    plot_seeds,
)
from nnbook.plots.searches import plot_best_of, plot_importance, plot_parallel, plot_trials
from nnbook.plots.style import PALETTE, use_style

__all__ = [
    "PALETTE",
    "plot_best_of",
    "plot_comparison",
    "plot_contours",
    "plot_dead_units",
    "plot_disagreement",
    "plot_filters",
    "plot_gap",
    "plot_grid_of_tests",
    "plot_histogram_history",
    "plot_history",
    "plot_importance",
    "plot_parallel",
    "plot_range_test",
    "plot_reliability",
    "plot_ridges",
    "plot_schedule",
    "plot_seeds",
    "plot_spectrum",
    "plot_trials",
    "plot_update_ratios",
    "use_style",
]
