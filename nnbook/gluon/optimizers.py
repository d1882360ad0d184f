"""MXNet's own optimizers as update rules, so that both kinds can be tried side by side."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook.optim.base import Optimizer, State

__all__ = ["from_mxnet"]


@dataclass(frozen=True, repr=False, eq=False)
class MXNetRule(Optimizer):
    """An update rule computed by one of MXNet's optimizers.

    Its state is the optimizer itself, which counts its steps, and what `create_state` made.
    """

    def init(self, theta: Any) -> State:
        """Return the state before the first step."""
        optimizer = copy.deepcopy(self.hyperparameters["optimizer"])
        memory = optimizer.create_state(0, _to_mxnet(theta))
        # Some optimizers make float32 buffers for weights of any dtype.
        return State(0, (optimizer, _each(memory, lambda a: a.astype(theta.dtype))))

    def __repr__(self) -> str:
        return self.name


def from_mxnet(optimizer: Any) -> Optimizer:
    """Make an update rule of one of MXNet's optimizers.

    For trying it on problems, as `trajectory` and `unit_tests` do: `nnbook.training.fit` takes
    MXNet's optimizers as they are. The rule computes in the dtype of θ, and the optimizer given
    stays as it is. Each call copies the optimizer's memory, so it is slow for large θ.

    Parameters
    ----------
    optimizer : mxnet.optimizer.Optimizer
        With its rate, decay and scheduler. It is applied to the whole of θ as one parameter.

    Returns
    -------
    Optimizer

    Raises
    ------
    TypeError
        What is no optimizer of MXNet.

    Notes
    -----
    MXNet 1.9.1 differs from the papers, and from the rules here, in where eps stands. Its Adam
    folds the bias correction into the rate, which makes its eps one of eps / √(1 − β₂ᵗ) here; its
    AdaGrad and RMSProp add eps under the root. Its momentum and Nesterov's are the same iteration
    as here as long as the rate does not change: NAG multiplies the whole velocity by the present
    rate.

    Examples
    --------
    >>> from nnbook import optim
    >>> from nnbook.runtime import mx
    >>> rule = optim.from_mxnet(mx.optimizer.SGD(learning_rate=0.1, momentum=0.9))
    >>> optim.trajectory(rule, lambda theta: theta, [1.0], 3)[:, 0].round(6)
    array([1.   , 0.9  , 0.72 , 0.486])
    """
    from nnbook.gluon.runtime import mx

    if not isinstance(optimizer, mx.optimizer.Optimizer):
        raise TypeError(f"optimizer is {optimizer!r}; expected one of mxnet.optimizer")

    rate = float(optimizer.learning_rate)
    name = f"mxnet {type(optimizer).__name__}({rate:g})"
    return MXNetRule(name, rate, {"optimizer": optimizer}, 2, _step)


def _step(g: Any, buffers: Any, theta: Any, rate: Any, t: int) -> Any:
    optimizer = copy.deepcopy(buffers[0])
    memory = _each(buffers[1], lambda a: a.copy())
    weight = _to_mxnet(theta)
    optimizer.update(0, weight, _to_mxnet(g), memory)
    after = weight.as_np_ndarray()
    step = (after.asnumpy() if isinstance(theta, onp.ndarray) else after) - theta
    return step, (optimizer, memory)


def _to_mxnet(array: Any) -> Any:
    """Return a copy as MXNet's legacy array, which its optimizers want."""
    from nnbook.gluon.runtime import mx

    if isinstance(array, onp.ndarray):
        return mx.nd.array(array, dtype=array.dtype)
    return array.copy().as_nd_ndarray()


def _each(tree: Any, function: Any) -> Any:
    if tree is None:
        return None
    if isinstance(tree, (tuple, list)):
        return type(tree)(_each(item, function) for item in tree)
    return function(tree)
