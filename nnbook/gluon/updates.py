"""Updates of a network's θ: in host memory, on a device, or by one of MXNet's own optimizers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as onp

from nnbook import optim
from nnbook.gluon.parameters import ParameterVector, host_view
from nnbook.gluon.runtime import mx, np
from nnbook.optim.transforms import is_rule
from nnbook.training.updates import RuleUpdate, check_penalty

__all__ = ["DeviceUpdate", "TrainerUpdate", "make_update"]


class DeviceUpdate(RuleUpdate):
    """Updates by a pure rule on MXNet's arrays, wherever they are."""

    def array(self, values: Any) -> Any:
        """Bring values to the kind, dtype and device of θ."""
        return np.array(values, dtype=self.theta.dtype, ctx=self.theta.ctx)

    def _empty(self) -> Any:
        return None

    def __call__(self) -> None:
        """Take one step."""
        if self.penalty is not None:
            self.grad += self.penalty.gradient(self.theta * self._mask) * self._mask
        step, self._state = self.rule.update(self.grad, self._state, self.theta)
        self.theta += step


class TrainerUpdate:
    """Updates by one of MXNet's own optimizers, parameter by parameter as `gluon.Trainer` does."""

    random = True  # some draw noise

    def __init__(self, optimizer: Any, vector: ParameterVector, penalty: Any):
        check_penalty(penalty)
        self.vector, self.penalty = vector, penalty
        # Its counters and its schedule change with every step: the caller's own stay as they are.
        self.optimizer = optimizer = copy.deepcopy(optimizer)
        self._own_rate = optimizer.lr, optimizer.lr_scheduler
        self._mask = None
        if penalty is not None:
            like = vector.theta
            self._mask = np.array(vector.weight_mask, dtype=like.dtype, ctx=like.ctx)
        self._parameters = list(vector.parameters.values())
        optimizer.param_dict = dict(enumerate(self._parameters))  # for lr_mult and wd_mult
        self._updater = mx.optimizer.get_updater(optimizer)
        for index, parameter in enumerate(self._parameters):
            weight = parameter.data().as_nd_ndarray()
            self._updater.states[index] = optimizer.create_state_multi_precision(index, weight)
            self._updater.states_synced[index] = True

    def __call__(self) -> None:
        """Take one step."""
        if self.penalty is not None:
            theta, grad = self.vector.theta, self.vector.grad
            grad += self.penalty.gradient(theta * self._mask) * self._mask
        indices = list(range(len(self._parameters)))
        grads = [p.grad() for p in self._parameters]
        self._updater(indices, grads, [p.data() for p in self._parameters])

    def rate_of(self, step: int) -> Any:
        """Return the rate of the next step: MXNet's schedulers do not look back."""
        return self.optimizer.learning_rate

    def scale_rate(self, factor: float) -> None:
        """Multiply the optimizer's own rate."""
        rate, scheduler = self._own_rate
        self.optimizer.lr = rate * factor
        if scheduler is not None:
            self.optimizer.lr_scheduler = lambda step: scheduler(step) * factor

    def state(self) -> dict[str, Any]:
        """Return the counters and every array of the optimizer's state."""
        states = [self._updater.states[i] for i in range(len(self._parameters))]
        counts = self.optimizer._index_update_count
        return {
            "counts": [int(counts.get(i, 0)) for i in range(len(states))],
            "num_update": int(self.optimizer.num_update),
            "arrays": [_tree_map(lambda array: array.asnumpy(), state) for state in states],
            "numbers": [_numbers(thing) for thing in self._counting()],
        }

    def _counting(self) -> list[Any]:
        """Return what counts or multiplies in Python as it goes."""
        return [self.optimizer, *([self._own_rate[1]] if self._own_rate[1] is not None else [])]

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        for thing, numbers in zip(self._counting(), state["numbers"], strict=True):
            vars(thing).update(numbers)
        self.optimizer.num_update = state["num_update"]
        self.optimizer._index_update_count.update(dict(enumerate(state["counts"])))
        for index, arrays in enumerate(state["arrays"]):
            _tree_assign(self._updater.states[index], arrays)


def make_update(vector: ParameterVector, optimizer: Any, penalty: Any) -> Any:
    """Choose the way of updating that fits.

    Parameters
    ----------
    vector : ParameterVector
        The network's parameters. Gluon's multipliers of theirs are honoured.
    optimizer : Optimizer, Rule or mxnet.optimizer.Optimizer
        A rule of `nnbook.optim` or alike, or one of MXNet's.
    penalty : object or None
        With ``gradient(theta)``; acts on weights, not on biases.

    Raises
    ------
    TypeError
        `optimizer` is neither, or `penalty` is no penalty.
    """
    if isinstance(optimizer, mx.optimizer.Optimizer):
        return TrainerUpdate(optimizer, vector, penalty)
    if not is_rule(optimizer):
        raise TypeError(
            f"optimizer is {optimizer!r}; expected a rule such as nnbook.optim.momentum(0.1) "
            "or an mxnet.optimizer.Optimizer"
        )
    factors = _rate_factors(vector)
    rule = optimizer if factors is None else optim.chain(optimizer, optim.scale(factors))
    if vector.theta.ctx.device_type != "cpu":
        return DeviceUpdate(rule, vector.theta, vector.grad, vector, penalty)
    return RuleUpdate(rule, host_view(vector.theta), host_view(vector.grad), vector, penalty)


def _rate_factors(vector: ParameterVector) -> onp.ndarray | None:
    """Return Gluon's ``lr_mult`` of every entry of θ, or None where all are 1."""
    factors = {name: float(p.lr_mult) for name, p in vector.parameters.items()}
    if set(factors.values()) == {1.0}:
        return None
    found = onp.ones(len(vector), dtype=vector.theta.dtype)
    for name, part in vector.slices.items():
        found[part] = factors[name]
    return found


def _numbers(thing: Any) -> dict[str, Any]:
    """Return the attributes of an object that are numbers."""
    every = vars(thing).items() if hasattr(thing, "__dict__") else ()
    return {name: value for name, value in every if isinstance(value, (int, float))}


def _tree_map(function: Any, tree: Any) -> Any:
    if tree is None:
        return None
    if isinstance(tree, (tuple, list)):
        return [_tree_map(function, item) for item in tree]
    return function(tree)


def _tree_assign(target: Any, values: Any) -> None:
    if values is None:
        return
    if isinstance(target, (tuple, list)):
        for item, value in zip(target, values, strict=True):
            _tree_assign(item, value)
    else:
        target[:] = values
