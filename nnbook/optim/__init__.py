"""Update rules as pairs of pure functions on θ.

A rule is `init(theta) -> state` and `update(gradient, state, theta) -> (step, state)`; the new
parameters are ``theta + step``. Nothing is changed in place, so a rule can be read next to its
equation, tried on a parabola, and used on the parameter vector of any network. θ may be a NumPy or
an MXNet array of any shape.

A learning rate is a number, a schedule (a function of the step, counted from 0), or an array that
broadcasts against θ (one rate per weight, or one per model).
"""

from nnbook._lazy import attach

__all__, __getattr__, __dir__ = attach(__name__)
