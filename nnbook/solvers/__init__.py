"""Solvers: a direction times a step, for functions of a vector and for sums of squares.

`minimize` takes a *descent*, which says where to go (`Steepest`, `ConjugateGradients`, `BFGS`,
`LBFGS`, `Newton`, `DampedNewton`, `NewtonCG`), and a *search*, which says how far (`Fixed`,
`Armijo`, `Wolfe`, `TrustRegion`). `least_squares` takes `GaussNewton` or `LevenbergMarquardt`. Both
return a `Solution` that says why it ended, with values, gradients and products counted apart. `sfo`
minimises a sum of functions, one at a time. `curves` and `classics` are problems with known
answers.

>>> from nnbook import problems, solvers
>>> found = solvers.minimize(problems.rosenbrock(), descent=solvers.BFGS())
>>> found.converged, found.message
(True, 'the gradient is within its tolerance')
"""

from nnbook.solvers import classics, curves
from nnbook.solvers.descents import BFGS, LBFGS, ConjugateGradients, Descent, Steepest
from nnbook.solvers.fitting import Damping, GaussNewton, LevenbergMarquardt, least_squares
from nnbook.solvers.functions import Point
from nnbook.solvers.minimizing import minimize
from nnbook.solvers.newton import DampedNewton, Newton, NewtonCG
from nnbook.solvers.results import History, Progress, Solution, Stop
from nnbook.solvers.searches import Armijo, Fixed, Wolfe
from nnbook.solvers.sfo import sfo
from nnbook.solvers.trust import TrustRegion

__all__ = [
    "BFGS",
    "LBFGS",
    "Armijo",
    "ConjugateGradients",
    "DampedNewton",
    "Damping",
    "Descent",
    "Fixed",
    "GaussNewton",
    "History",
    "LevenbergMarquardt",
    "Newton",
    "NewtonCG",
    "Point",
    "Progress",
    "Solution",
    "Steepest",
    "Stop",
    "TrustRegion",
    "Wolfe",
    "classics",
    "curves",
    "least_squares",
    "minimize",
    "sfo",
]
