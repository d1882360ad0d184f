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
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "Identity",
    "LeCunNormal",
    "LeCunUniform",
    "Maxout",
    "ScaledTanh",
    "WeightInitializer",
    "activation",
    "fans",
    "gain",
    "mlp",
    "recommended_targets",
]
