"""A network's parameters as one vector θ, and its gradient as one vector ∇L(θ).

The mathematics of training is written for a vector. `ParameterVector` makes that literal for any
Gluon network: `theta` and `grad` are flat arrays that *share memory* with the network's parameters,
so an in-place change of θ changes the network and `backward()` fills the gradient.

A model of any other framework is a vector by `nnbook.objective`.
"""

from nnbook.gluon.copies import clone
from nnbook.gluon.parameters import (
    LostViewError,
    ParameterVector,
    host_view,
    named_parameters,
)

__all__ = ["LostViewError", "ParameterVector", "clone", "host_view", "named_parameters"]
