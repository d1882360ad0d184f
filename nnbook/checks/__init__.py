"""Checks before training: gradients, the first loss, the data, the rule, and a rehearsal.

Each check works on a copy of the network and returns a frozen result: ``passed``, ``findings`` with
what is wrong and what to do, and the numbers behind them. `preflight` runs them all.
"""

from nnbook.checks.differences import difference, relative_error
from nnbook.checks.examples import check_data
from nnbook.checks.gradients import check_gradients
from nnbook.checks.independence import check_independence
from nnbook.checks.initial import check_initial_loss
from nnbook.checks.outcomes import CheckResult, Report
from nnbook.checks.overfitting import overfit_tiny_subset
from nnbook.checks.preflight import preflight
from nnbook.checks.regularization import check_regularization
from nnbook.checks.rehearsal import rehearse
from nnbook.checks.results import Coordinate, GradientCheck, ParameterCheck
from nnbook.checks.rules import check_optimizer
from nnbook.checks.sweep import StepSweep, sweep_h

__all__ = [
    "CheckResult",
    "Coordinate",
    "GradientCheck",
    "ParameterCheck",
    "Report",
    "StepSweep",
    "check_data",
    "check_gradients",
    "check_independence",
    "check_initial_loss",
    "check_optimizer",
    "check_regularization",
    "difference",
    "overfit_tiny_subset",
    "preflight",
    "rehearse",
    "relative_error",
    "sweep_h",
]
