"""Update rules as pairs of pure functions on θ.

A rule is `init(theta) -> state` and `update(gradient, state, theta) -> (step, state)`; the new
parameters are ``theta + step``. Nothing is changed in place, so a rule can be read next to its
equation, tried on a parabola, and used on the parameter vector of any network. θ may be a NumPy or
an MXNet array of any shape.

A learning rate is a number, a schedule (a function of the step, counted from 0), or an array that
broadcasts against θ (one rate per weight, or one per model).
"""

from nnbook.optim.base import Optimizer, State, trajectory
from nnbook.optim.mxnet_rules import from_mxnet
from nnbook.optim.rules import adagrad, adam, adamw, momentum, nesterov, rmsprop, sgd
from nnbook.optim.testing import UnitTests, unit_tests

__all__ = [
    "Optimizer",
    "State",
    "UnitTests",
    "adagrad",
    "adam",
    "adamw",
    "from_mxnet",
    "momentum",
    "nesterov",
    "rmsprop",
    "sgd",
    "trajectory",
    "unit_tests",
]
