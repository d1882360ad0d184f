from nnbook.checks.differences import difference as difference
from nnbook.checks.differences import relative_error as relative_error
from nnbook.checks.examples import check_data as check_data
from nnbook.checks.flight import preflight as preflight
from nnbook.checks.gradients import check_gradients as check_gradients
from nnbook.checks.independence import check_independence as check_independence
from nnbook.checks.initial import check_initial_loss as check_initial_loss
from nnbook.checks.outcomes import CheckResult as CheckResult
from nnbook.checks.outcomes import Report as Report
from nnbook.checks.overfitting import overfit_tiny_subset as overfit_tiny_subset
from nnbook.checks.regularization import check_regularization as check_regularization
from nnbook.checks.rehearsal import rehearse as rehearse
from nnbook.checks.results import (
    Coordinate as Coordinate,
)
from nnbook.checks.results import (
    GradientCheck as GradientCheck,
)
from nnbook.checks.results import (
    ParameterCheck as ParameterCheck,
)
from nnbook.checks.rules import check_optimizer as check_optimizer
from nnbook.checks.sweep import StepSweep as StepSweep
from nnbook.checks.sweep import sweep_h as sweep_h
