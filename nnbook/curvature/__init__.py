"""Curvature: the Hessian of a model and what is to be known of it, without the matrix.

An *operator* has a `size`, a `dtype` and products ``operator @ v``; `Hessian`, `GaussNewton`,
`Diagonal`, `Matrix` are operators, and so are sums, multiples, damped ones and blocks of them, a
product in PyTorch or JAX (`Function`) and a LinearOperator of SciPy (`as_operator`). The algorithms
ask for products alone: `power_iteration` and `lanczos` find eigenvalues, `trace` and
`spectral_density` estimate the trace and the whole spectrum, with error bars; `online_largest`
estimates λmax from single examples and `diagonal` propagates the diagonal back through a network.

>>> import numpy as np
>>> from nnbook import curvature
>>> x, y = np.eye(3), np.array([0, 1, 1])
>>> net = curvature.DenseObjective([3, 4, 2], (x, y), "softmax_cross_entropy", rng=0)
>>> H = curvature.Hessian(net)
>>> curvature.lanczos(H, 2).converged
True
"""

from nnbook.curvature.dense import DenseObjective
from nnbook.curvature.eigen import Eigenpairs, Tridiagonal, lanczos, power_iteration
from nnbook.curvature.functions import Activation, scaled_tanh
from nnbook.curvature.hessians import GaussNewton, Hessian, diagonal, gradient_difference
from nnbook.curvature.online import OnlineEigenvalue, online_largest
from nnbook.curvature.operators import (
    Blocks,
    Diagonal,
    Function,
    Matrix,
    Operator,
    OperatorCheck,
    as_operator,
    check_operator,
)
from nnbook.curvature.spectrum import Density, Estimate, Trace, spectral_density, trace

__all__ = [
    "Activation",
    "Blocks",
    "DenseObjective",
    "Density",
    "Diagonal",
    "Eigenpairs",
    "Estimate",
    "Function",
    "GaussNewton",
    "Hessian",
    "Matrix",
    "OnlineEigenvalue",
    "Operator",
    "OperatorCheck",
    "Trace",
    "Tridiagonal",
    "as_operator",
    "check_operator",
    "diagonal",
    "gradient_difference",
    "lanczos",
    "online_largest",
    "power_iteration",
    "scaled_tanh",
    "spectral_density",
    "trace",
]
