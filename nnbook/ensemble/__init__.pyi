from nnbook.ensemble.averages import (
    EMA as EMA,
)
from nnbook.ensemble.averages import (
    Average as Average,
)
from nnbook.ensemble.averages import (
    PolyakAverage as PolyakAverage,
)
from nnbook.ensemble.averages import (
    refresh_statistics as refresh_statistics,
)
from nnbook.ensemble.calibration import (
    Reliability as Reliability,
)
from nnbook.ensemble.calibration import (
    apply_temperature as apply_temperature,
)
from nnbook.ensemble.calibration import (
    brier_score as brier_score,
)
from nnbook.ensemble.calibration import (
    expected_calibration_error as expected_calibration_error,
)
from nnbook.ensemble.calibration import (
    fit_temperature as fit_temperature,
)
from nnbook.ensemble.calibration import (
    negative_log_likelihood as negative_log_likelihood,
)
from nnbook.ensemble.calibration import (
    reliability as reliability,
)
from nnbook.ensemble.combining import (
    average_logits as average_logits,
)
from nnbook.ensemble.combining import (
    average_outputs as average_outputs,
)
from nnbook.ensemble.combining import (
    average_probabilities as average_probabilities,
)
from nnbook.ensemble.combining import (
    mixture_weights as mixture_weights,
)
from nnbook.ensemble.combining import (
    vote as vote,
)
from nnbook.ensemble.distillation import (
    LabelledValidation as LabelledValidation,
)
from nnbook.ensemble.distillation import (
    distill as distill,
)
from nnbook.ensemble.distillation import (
    distillation_loss as distillation_loss,
)
from nnbook.ensemble.distillation import (
    soft_targets as soft_targets,
)
from nnbook.ensemble.diversity import (
    Ambiguity as Ambiguity,
)
from nnbook.ensemble.diversity import (
    ambiguity as ambiguity,
)
from nnbook.ensemble.diversity import (
    disagreement as disagreement,
)
from nnbook.ensemble.diversity import (
    jensen_gap as jensen_gap,
)
from nnbook.ensemble.members import Ensemble as Ensemble
from nnbook.ensemble.recipes import (
    from_checkpoints as from_checkpoints,
)
from nnbook.ensemble.recipes import (
    from_search as from_search,
)
from nnbook.ensemble.recipes import (
    from_seeds as from_seeds,
)
from nnbook.ensemble.recipes import (
    from_snapshots as from_snapshots,
)
from nnbook.ensemble.snapshots import Snapshots as Snapshots
