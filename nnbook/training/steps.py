"""One training step: from the rows of a minibatch to a new θ."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Protocol

import numpy as onp

from nnbook.gluon.examples import Rows
from nnbook.gluon.gradients import GradientSource
from nnbook.gluon.parameters import ParameterVector, host_view
from nnbook.gluon.runtime import mx, np
from nnbook.optim import Optimizer, State
from nnbook.training.kernels import update_in_place

__all__ = ["HostStep", "RuleStep", "Step", "TrainerStep", "make_step"]


class Step(Protocol):
    """What `fit` needs of a step."""

    def __call__(self, rows: Rows) -> Any:
        """Change θ; return the minibatch's mean loss before the change."""
        ...

    def learning_rate(self) -> Any:
        """Return the rate of the next step."""
        ...

    def scale_rate(self, factor: float) -> None:
        """Multiply the rule's own rate, number or schedule, from now on; 1 gives it back."""
        ...

    def state(self) -> dict[str, Any]:
        """Return the rule's memory as numbers and NumPy arrays."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        ...


class RuleStep:
    """A step by a pure rule of `nnbook.optim`, on any device."""

    def __init__(
        self, vector: ParameterVector, gradient: GradientSource, penalty: Any, rule: Optimizer
    ):
        self.vector, self.gradient, self.penalty = vector, gradient, penalty
        self.theta, self.slope = self._memory(vector.theta), self._memory(vector.grad)
        self.rule = rule
        if getattr(rule.learning_rate, "shape", ()):
            rate = _to_numpy(rule.learning_rate)
            if rate.shape not in ((1,), (len(vector),)):
                raise ValueError(
                    f"learning_rate has shape {rate.shape}; expected a number, or one rate for "
                    f"each of the {len(vector)} parameters, as laid out in ParameterVector.slices"
                )
            rate = onp.broadcast_to(rate, (len(vector),))
            self.rule = replace(rule, learning_rate=self._array(rate))
        self._own_rate = self.rule.learning_rate
        self._mask = None if penalty is None else self._array(vector.weight_mask)
        self._state = self.rule.init(self.theta)

    def _memory(self, array: np.ndarray) -> Any:
        return array

    def _array(self, values: Any) -> Any:
        """Bring values to the kind, dtype and device of θ."""
        return np.array(values, dtype=self.vector.theta.dtype, ctx=self.vector.theta.ctx)

    def __call__(self, rows: Rows) -> Any:
        """Take one step."""
        loss = self.gradient(rows)
        self._wait_for(loss)
        _add_penalty(self.penalty, self.theta, self.slope, self._mask)
        self._update()
        return loss

    def _wait_for(self, loss: Any) -> None:
        """MXNet puts its own operations into their order."""

    def _update(self) -> None:
        step, self._state = self.rule.update(self.slope, self._state, self.theta)
        self.theta += step

    def learning_rate(self) -> Any:
        """Return the rate of the next step."""
        return self.rule.rate(self._state.step)

    def scale_rate(self, factor: float) -> None:
        """Multiply the rule's own rate."""
        self.rule = replace(self.rule, learning_rate=_scaled(self._own_rate, factor))

    def state(self) -> dict[str, Any]:
        """Return the step count and the buffers."""
        buffers = [_to_numpy(buffer).copy() for buffer in self._state.buffers]
        return {"step": self._state.step, "buffers": buffers}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        buffers = tuple(self._array(buffer) for buffer in state["buffers"])
        self._state = State(int(state["step"]), buffers)


class HostStep(RuleStep):
    """The same on the CPU: NumPy works on θ's own memory, with nothing allocated.

    NumPy's loops are vectorised and MXNet's update kernels are not: at 80,000 parameters this
    takes a quarter of the time.
    """

    def __init__(
        self, vector: ParameterVector, gradient: GradientSource, penalty: Any, rule: Optimizer
    ):
        super().__init__(vector, gradient, penalty, rule)
        self._scratch = onp.empty_like(self.theta)

    def _memory(self, array: np.ndarray) -> Any:
        return host_view(array)

    def _array(self, values: Any) -> Any:
        return onp.array(values, dtype=self.vector.theta.dtype)

    def _wait_for(self, loss: Any) -> None:
        """MXNet must have finished with the memory before NumPy touches it."""
        if not isinstance(loss, float):  # the gradient may not be computed yet
            self.vector.wait()

    def _update(self) -> None:
        self._state = update_in_place(self.rule, self.theta, self.slope, self._state, self._scratch)


class TrainerStep:
    """A step by one of MXNet's own optimizers, parameter by parameter as `gluon.Trainer` does."""

    def __init__(
        self, vector: ParameterVector, gradient: GradientSource, penalty: Any, optimizer: Any
    ):
        self.vector, self.gradient, self.penalty = vector, gradient, penalty
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

    def __call__(self, rows: Rows) -> Any:
        """Take one step."""
        loss = self.gradient(rows)
        _add_penalty(self.penalty, self.vector.theta, self.vector.grad, self._mask)
        indices = list(range(len(self._parameters)))
        grads = [p.grad() for p in self._parameters]
        self._updater(indices, grads, [p.data() for p in self._parameters])
        return loss

    def learning_rate(self) -> Any:
        """Return the rate of the next step."""
        return self.optimizer.learning_rate

    def scale_rate(self, factor: float) -> None:
        """Multiply the optimizer's own rate."""
        rate, scheduler = self._own_rate
        self.optimizer.lr = _scaled(rate, factor)
        if scheduler is not None:
            self.optimizer.lr_scheduler = _scaled(scheduler, factor)

    def state(self) -> dict[str, Any]:
        """Return the counters and every array of the optimizer's state."""
        states = [self._updater.states[i] for i in range(len(self._parameters))]
        counts = self.optimizer._index_update_count
        return {
            "counts": [int(counts.get(i, 0)) for i in range(len(states))],
            "num_update": int(self.optimizer.num_update),
            "arrays": [_tree_map(lambda array: array.asnumpy(), state) for state in states],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.optimizer.num_update = state["num_update"]
        self.optimizer._index_update_count.update(dict(enumerate(state["counts"])))
        for index, arrays in enumerate(state["arrays"]):
            _tree_assign(self._updater.states[index], arrays)


def make_step(
    vector: ParameterVector, gradient: GradientSource, optimizer: Any, penalty: Any
) -> Step:
    """Choose the way of stepping that fits.

    Parameters
    ----------
    vector : ParameterVector
        The network's parameters.
    gradient : GradientSource
        Fills `vector.grad`.
    optimizer : Optimizer or mxnet.optimizer.Optimizer
        A rule of `nnbook.optim`, or one of MXNet's.
    penalty : object or None
        With ``gradient(theta)``; acts on weights, not on biases.

    Returns
    -------
    Step

    Raises
    ------
    TypeError
        `optimizer` is neither, or `penalty` is no penalty.
    """
    if penalty is not None and not hasattr(penalty, "gradient"):
        raise TypeError(
            f"penalty is {penalty!r}; expected an object such as nnbook.losses.l2_penalty(0.001)"
        )
    if isinstance(optimizer, Optimizer):
        on_host = vector.theta.ctx.device_type == "cpu"
        return (HostStep if on_host else RuleStep)(vector, gradient, penalty, optimizer)
    if isinstance(optimizer, mx.optimizer.Optimizer):
        return TrainerStep(vector, gradient, penalty, optimizer)
    raise TypeError(
        f"optimizer is {optimizer!r}; expected a rule such as nnbook.optim.momentum(0.1) "
        "or an mxnet.optimizer.Optimizer"
    )


def _scaled(rate: Any, factor: float) -> Any:
    """Return a rate, or a function of the step that gives one, times a factor."""
    return (lambda step: rate(step) * factor) if callable(rate) else rate * factor


def _add_penalty(penalty: Any, theta: Any, slope: Any, mask: Any) -> None:
    """Add the penalty's gradient to ∇L in place, for weights only."""
    if penalty is not None:
        slope += penalty.gradient(theta * mask) * mask


def _to_numpy(array: Any) -> onp.ndarray:
    return array if isinstance(array, onp.ndarray) else array.asnumpy()


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
