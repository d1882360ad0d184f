"""Several models as one: train or collect them, combine them, find out why it helps, keep them.

An `Ensemble` runs its members, Gluon networks or any functions, and averages their probabilities,
logits, votes or outputs. What it does is a pure function of the stacked outputs, shape (members,
examples, classes), that a reader can call too: `average_probabilities`, `disagreement`,
`jensen_gap`… Calibration works on the probabilities of any model. Members come from several seeds,
from a search, from checkpoints or from the `Snapshots` of one run; `EMA` and `PolyakAverage`
average θ itself, and `distill` teaches one network what an ensemble knows.
"""

from nnbook._lazy import attach

__all__, __getattr__, __dir__ = attach(__name__)
