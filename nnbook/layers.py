"""Layers: activation functions, units, initial weights and `mlp`.

Everything is a Gluon HybridBlock that works eagerly, hybridised and on symbols, or an MXNet
initialiser.
"""

from nnbook.gluon.layers.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    LeCunNormal,
    LeCunUniform,
    WeightInitializer,
    fans,
    gain,
)
from nnbook.gluon.layers.networks import mlp
from nnbook.gluon.layers.noise import (
    Dropout,
    GaussianNoise,
    NoisyDense,
    sample_outputs,
    with_dropout,
)
from nnbook.gluon.layers.sequences import LastStep, MeanOfSteps
from nnbook.gluon.layers.sparsity import ActivityPenalty
from nnbook.gluon.layers.units import (
    RBF,
    Identity,
    Maxout,
    ScaledTanh,
    activation,
    recommended_targets,
)

__all__ = [
    "RBF",
    "ActivityPenalty",
    "Constant",
    "Dropout",
    "GaussianNoise",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "Identity",
    "LastStep",
    "LeCunNormal",
    "LeCunUniform",
    "Maxout",
    "MeanOfSteps",
    "NoisyDense",
    "ScaledTanh",
    "WeightInitializer",
    "activation",
    "fans",
    "gain",
    "mlp",
    "recommended_targets",
    "sample_outputs",
    "with_dropout",
]
