"""Gradients against differences of the loss, for any objective."""

from __future__ import annotations

import sys
from typing import Any

import numpy as onp

from nnbook._arguments import check_whole
from nnbook.checks.calls import either_order, refuse_beside_an_objective
from nnbook.checks.judging import check_objective
from nnbook.checks.measuring import some_rows
from nnbook.checks.results import GradientCheck
from nnbook.objective import Objective, not_an_objective

__all__ = ["check_gradients"]

CHECK = "check_gradients"


@either_order
def check_gradients(
    net: Any,
    data: Any = None,
    *,
    loss: Any = None,
    penalty: Any = None,
    h: float | None = None,
    per_parameter: int = 8,
    examples: int = 6,
    burn_in: int = 0,
    seed: int = 0,
    dtype: str = "float64",
) -> GradientCheck:
    """Compare the gradient of the mean loss with centred differences.

    Some entries of every parameter are checked, half of them drawn among those whose gradient is
    not zero.

    A Gluon network is checked on a copy in float64. What is random in training (dropout,
    augmentation inside the network) is drawn alike every time, and before, other examples go
    through the network, so that values kept from them show. Any other model is checked as an
    `nnbook.objective.Objective`: ``check_gradients(objective)``.

    Parameters
    ----------
    net : mxnet.gluon.Block or Objective
        An initialised network, hybridised or not, or an objective, which has its data and its loss
        inside. It is not changed, even if the check raises.
    data : tuple of array
        ``(x, y)``: examples, shape (n, ...), and labels or targets. Not with an objective.
    loss : callable or str
        ``loss(outputs, targets)`` or a name, as for `nnbook.training.fit`. Not with an objective.
    penalty : object, optional
        With ``value`` and ``gradient``, such as `nnbook.losses.l2_penalty(0.001)`. It is checked
        apart, as "penalty": added to the loss it could hide errors there.
    h : float, optional
        The step; by default the cube root of three times the measured rounding error of the loss,
        relative to the loss: about 1e-5.
    per_parameter : int
        How many entries of each parameter.
    examples : int
        How many of the examples: few, since each brings kinks of its own.
    burn_in : int
        Steps of training of the copy beforehand: some mistakes do not show at the first weights.
        Not with an objective.
    seed : int
        Decides which examples and entries, the burn-in and the luck of every evaluation.
    dtype : str
        "float64", or "float32" to see why not. An objective has the dtype of its θ.

    Returns
    -------
    GradientCheck
        ``.passed``, ``.worst_relative_error``, ``.kinks``, ``.parameters``, ``.verdict``.

    Raises
    ------
    ValueError, TypeError
        Bad data, as for `nnbook.training.fit`, a network without trainable parameters, or numbers
        out of range.

    Notes
    -----
    An alarm is a relative error above 1e-4 together with a difference above 1e-8 and above what
    rounding explains. A kink (of ReLU, hinge or max) within h makes the difference quotient wrong,
    not the gradient. It shows in the slopes to the left and to the right, which remain apart as h
    shrinks; then a smaller h decides, or the entry is left out and counted in ``kinks``.

    A loss or layer that works in float32 only is checked in float32, where rounding hides errors
    below about 1e-3.

    ``check_gradients(net, loss, x, y)``, the order of the first edition, is understood too.

    References
    ----------
    Stanford CS231n, Neural Networks 3: gradient checks.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import checks, layers, losses
    >>> x, y = np.random.default_rng(0).normal(size=(6, 4)), np.array([0, 1, 2, 0, 1, 2])
    >>> net = layers.mlp(4, [5], 3, "tanh", seed=0)
    >>> result = checks.check_gradients(net, (x, y), loss=losses.softmax_cross_entropy)
    >>> result.passed, result.verdict
    (True, 'happy')
    """
    _check_arguments(h, per_parameter, examples, burn_in, dtype)
    if isinstance(net, Objective):
        refuse_beside_an_objective(data=data, loss=loss, burn_in=burn_in or None, dtype=dtype)
        rows = some_rows(net, examples, seed)
        return check_objective(net, rows, penalty, h, per_parameter, seed)
    if data is None or loss is None:
        raise TypeError("expected check_gradients(net, (x, y), loss=…), or an objective alone")
    if "mxnet" not in sys.modules:  # then this is no Gluon network
        raise TypeError(not_an_objective(net))
    from nnbook.checks.networks import check_network  # it needs MXNet

    measuring = {"penalty": penalty, "h": h, "per_parameter": per_parameter, "seed": seed}
    return check_network(net, data, loss, examples, burn_in, dtype, measuring)


def _check_arguments(
    h: float | None, per_parameter: int, examples: int, burn_in: int, dtype: str
) -> None:
    check_whole(per_parameter, "per_parameter")
    check_whole(examples, "examples")
    check_whole(burn_in, "burn_in", least=0)
    if h is not None and not (onp.isfinite(h) and h > 0):
        raise ValueError(f"h is {h!r}; expected a positive number, such as 1e-5, or None")
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype is {dtype!r}; expected 'float64' or 'float32'")
