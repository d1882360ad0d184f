"""Share the gradient of one run among processes, of this machine or of several.

`fit` trains as `nnbook.training.fit` does, with the same data, order, rule, callbacks, checkpoints
and history. Only the gradient of a minibatch comes from several *members*: each gets a part of the
minibatch and θ, and gives back the gradient of its part; their mean, weighted by the sizes of the
parts, is the gradient of the whole, so the step is the same to rounding. Members keep nothing
between steps but their copy of the data. So a run that has lost one goes on from its checkpoint,
with as many members as there are then, and a checkpoint of the one `fit` is good for the other.
"""

from nnbook.distributed.fitting import fit
from nnbook.distributed.members import MemberError

__all__ = ["MemberError", "fit"]
