"""Learning without labels, layer by layer: auto-encoders, Boltzmann machines, sparse codes.

A *recipe* says how a layer learns from its inputs: `AutoEncoder` (denoising, contractive, sparse),
`CD`, `PCD` and `Exact` (restricted Boltzmann machines), `SparseCoding`. ``recipe.objective(x,
units)`` is an `nnbook.objective.Objective`, which `nnbook.training.fit` trains by any rule;
`train_stack` trains one on the codes of another, and `pretrain` the hidden layers of a network.
`RBM` is the machine itself, with what can be computed exactly; `estimate_log_partition` goes
beyond. `linear_pieces` counts what depth is good for.

>>> from nnbook import optim, pretraining, training
>>> x = pretraining.bars_and_stripes(3)
>>> layer = pretraining.Exact().objective(x, units=6)
>>> history = training.fit(layer, optimizer=optim.momentum(0.2), batch_size=14, epochs=500)
>>> bool(layer.rbm.log_probability(x).mean() > -3)
True
"""

from nnbook.pretraining.annealing import PartitionEstimate, estimate_log_partition
from nnbook.pretraining.autoencoder import AutoEncoder, AutoEncoderObjective
from nnbook.pretraining.base import LayerObjective
from nnbook.pretraining.boltzmann import RBM, bars_and_stripes
from nnbook.pretraining.corruption import corrupt, linear_denoiser
from nnbook.pretraining.divergence import CD, PCD, Exact, RBMObjective
from nnbook.pretraining.filters import participation_ratio
from nnbook.pretraining.greedy import Pretrained, Stack, pretrain, train_stack
from nnbook.pretraining.pieces import (
    Pieces,
    linear_pieces,
    montufar_bound,
    most_regions,
    tent_network,
)
from nnbook.pretraining.sparse import Codes, SparseCoding, SparseCodingObjective, ista

__all__ = [
    "CD",
    "PCD",
    "RBM",
    "AutoEncoder",
    "AutoEncoderObjective",
    "Codes",
    "Exact",
    "LayerObjective",
    "PartitionEstimate",
    "Pieces",
    "Pretrained",
    "RBMObjective",
    "SparseCoding",
    "SparseCodingObjective",
    "Stack",
    "bars_and_stripes",
    "corrupt",
    "estimate_log_partition",
    "ista",
    "linear_denoiser",
    "linear_pieces",
    "montufar_bound",
    "most_regions",
    "participation_ratio",
    "pretrain",
    "tent_network",
    "train_stack",
]
