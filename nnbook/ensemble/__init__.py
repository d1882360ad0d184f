"""Several models as one: train or collect them, combine them, find out why it helps, keep them.

An `Ensemble` runs its members, Gluon networks or any functions, and averages their probabilities,
logits, votes or outputs. What it does is a pure function of the stacked outputs, shape (members,
examples, classes), that a reader can call too: `average_probabilities`, `disagreement`,
`jensen_gap`… Calibration works on the probabilities of any model. Members come from several seeds,
from a search, from checkpoints or from the `Snapshots` of one run; `EMA` and `PolyakAverage`
average θ itself, and `distill` teaches one network what an ensemble knows.
"""

from nnbook.ensemble.averages import EMA, Average, PolyakAverage, refresh_statistics
from nnbook.ensemble.calibration import (
    Reliability,
    apply_temperature,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
)
from nnbook.ensemble.combining import (
    average_logits,
    average_outputs,
    average_probabilities,
    mixture_weights,
    vote,
)
from nnbook.ensemble.distillation import (
    LabelledValidation,
    distill,
    distillation_loss,
    soft_targets,
)
from nnbook.ensemble.diversity import Ambiguity, ambiguity, disagreement, jensen_gap
from nnbook.ensemble.members import Ensemble
from nnbook.ensemble.recipes import from_checkpoints, from_search, from_seeds, from_snapshots
from nnbook.ensemble.snapshots import Snapshots

__all__ = [
    "EMA",
    "Ambiguity",
    "Average",
    "Ensemble",
    "LabelledValidation",
    "PolyakAverage",
    "Reliability",
    "Snapshots",
    "ambiguity",
    "apply_temperature",
    "average_logits",
    "average_outputs",
    "average_probabilities",
    "brier_score",
    "disagreement",
    "distill",
    "distillation_loss",
    "expected_calibration_error",
    "fit_temperature",
    "from_checkpoints",
    "from_search",
    "from_seeds",
    "from_snapshots",
    "jensen_gap",
    "mixture_weights",
    "negative_log_likelihood",
    "refresh_statistics",
    "reliability",
    "soft_targets",
    "vote",
]
