"""What an update rule is, and how to follow one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial, update_wrapper
from typing import Any, NamedTuple

import numpy as onp

from nnbook._arguments import as_scalar, check_number, check_whole
from nnbook._arrays import same_values

__all__ = ["Optimizer", "State", "trajectory"]

Rate = Any  # a float, an array, or Callable[[int], float]


class State(NamedTuple):
    """What a rule remembers between steps.

    Attributes
    ----------
    step : int
        Steps taken so far, t.
    buffers : tuple of array
        Arrays shaped like θ: velocities, averages of gradients.
    """

    step: int
    buffers: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Optimizer:
    """An update rule: a name, its hyperparameters and the function that computes a step.

    Two rules are equal if they have the same function and the same numbers.

    Parameters
    ----------
    name : str
        The rule's name.
    learning_rate : float, array or callable
        η, or a schedule ``step -> η``, or an array that broadcasts against θ.
    hyperparameters : dict
        The rule's other numbers, as shown by `repr`.
    buffers : int
        How many arrays shaped like θ the rule remembers.
    rule : callable
        ``rule(gradient, buffers, theta, learning_rate, step) -> (step, buffers)``; a
        ``functools.partial`` of a module's function with the hyperparameters can be pickled.
    kernel : callable, optional
        The same in place, for the inner loop of training: ``kernel(theta, gradient, buffers,
        scratch, learning_rate, step, **hyperparameters)`` on NumPy's memory.
    decays : str
        What the hyperparameter ``weight_decay`` acts on: "all" of θ, or "weights" only, once
        `for_weights` has said which they are.
    """

    name: str
    learning_rate: Rate
    hyperparameters: dict[str, Any]
    buffers: int
    rule: Callable[..., tuple[Any, tuple[Any, ...]]] = field(repr=False)
    kernel: Callable[..., None] | None = field(default=None, repr=False)
    decays: str = field(default="all", repr=False)

    def init(self, theta: Any) -> State:
        """Return the state before the first step.

        Parameters
        ----------
        theta : array
            The parameters, NumPy or MXNet, of any shape.

        Returns
        -------
        State
            Step 0, every buffer zero.
        """
        return State(0, tuple(onp.zeros_like(theta) for _ in range(self.buffers)))

    def update(self, gradient: Any, state: State, theta: Any) -> tuple[Any, State]:
        """Compute one step; nothing is changed in place.

        Parameters
        ----------
        gradient : array
            ∇L(θ), shaped like θ.
        state : State
            What `init` or the previous `update` returned.
        theta : array
            θ.

        Returns
        -------
        step : array
            What to add to θ.
        state : State
            For the next call.

        Raises
        ------
        ValueError
            The gradient is not shaped like θ.
        """
        if gradient.shape != theta.shape:
            raise ValueError(
                f"gradient has shape {gradient.shape}, theta {theta.shape}; expected the same"
            )
        rate = self.rate(state.step)
        step, buffers = self.rule(gradient, state.buffers, theta, rate, state.step)
        return step, State(state.step + 1, buffers)

    def apply(self, gradient: Any, state: State, theta: Any, scratch: Any) -> State:
        """Take one step in place: θ and the buffers are changed.

        Parameters
        ----------
        gradient, state, theta
            As for `update`; NumPy's.
        scratch : numpy.ndarray
            Shaped like θ; it is overwritten.

        Returns
        -------
        State
            For the next call.
        """
        if self.kernel is None:
            step, state = self.update(gradient, state, theta)
            theta += step
            return state
        t, numbers = state.step, self.hyperparameters
        self.kernel(theta, gradient, state.buffers, scratch, self.rate(t), t, **numbers)
        return State(t + 1, state.buffers)

    def for_weights(self, mask: Any) -> Optimizer:
        """Return the same rule for a network whose weights, and not its biases, are masked True."""
        if self.decays == "all" or "weight_decay" not in self.hyperparameters:
            return self
        decay = self.hyperparameters["weight_decay"] * mask
        return replace(self.with_numbers(self.learning_rate, weight_decay=decay), decays="all")

    def scaled(self, factor: float) -> Optimizer:
        """Return the same rule with its rate, number or schedule, times a factor."""
        rate = self.learning_rate
        scaled = _Scaled(rate, factor) if callable(rate) else rate * factor
        return replace(self, learning_rate=scaled)

    def rate(self, step: int) -> Any:
        """Return the learning rate of a step (counted from 0): a float, or an array.

        Raises
        ------
        TypeError, ValueError
            What a schedule gave is no finite number of at least 0.
        """
        if not callable(self.learning_rate):
            return as_scalar(self.learning_rate)
        rate = self.learning_rate(step)
        if getattr(rate, "shape", ()):
            return rate
        return check_number(rate, f"the schedule's rate at step {step}", least=0)

    def with_numbers(self, learning_rate: Rate, **hyperparameters: Any) -> Optimizer:
        """Return the same rule with another rate and other hyperparameters.

        Parameters
        ----------
        learning_rate : float, array or callable
            In the place of the rule's own.
        **hyperparameters : float or array
            Those that change.

        Returns
        -------
        Optimizer

        Raises
        ------
        TypeError
            The rule has no such hyperparameter, or its function does not take it.
        """
        if unknown := hyperparameters.keys() - self.hyperparameters.keys():
            known = ", ".join(self.hyperparameters) or "none"
            raise TypeError(f"{self.name} has no {', '.join(sorted(unknown))}; it has {known}")
        rule, numbers = self.rule, {**self.hyperparameters, **hyperparameters}
        if not same_values(numbers, self.hyperparameters):
            if not isinstance(rule, partial) or not rule.keywords.keys() >= hyperparameters.keys():
                raise TypeError(
                    f"the function of {self.name} does not take its hyperparameters; make it a "
                    "functools.partial of one that does, with them as keywords"
                )
            numbers_of = {**rule.keywords, **hyperparameters}
            rule = update_wrapper(partial(rule.func, *rule.args, **numbers_of), rule.func)
        return replace(self, learning_rate=learning_rate, hyperparameters=numbers, rule=rule)

    def _key(self) -> tuple[Any, ...]:
        rule = self.rule
        parts = (rule.func, rule.args, rule.keywords) if isinstance(rule, partial) else (rule,)
        return self.name, self.learning_rate, self.hyperparameters, self.buffers, parts

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Optimizer):
            return NotImplemented
        return same_values(self._key(), other._key())

    def __hash__(self) -> int:
        # Arrays cannot be hashed; equal rules agree in these.
        return hash((self.name, self.buffers, *self.hyperparameters))

    def __repr__(self) -> str:
        numbers = "".join(
            f", {k}={v:g}" if isinstance(v, float) else f", {k}={v!r}"
            for k, v in self.hyperparameters.items()
        )
        return f"{self.name}({self.learning_rate!r}{numbers})"


@dataclass(frozen=True)
class _Scaled:
    """A schedule times a factor."""

    schedule: Callable[[int], Any]
    factor: float

    def __call__(self, step: int) -> Any:
        return self.schedule(step) * self.factor


def trajectory(
    optimizer: Optimizer, gradient: Callable[[Any], Any], theta: Any, steps: int
) -> onp.ndarray:
    """Follow a rule from a starting point.

    Parameters
    ----------
    optimizer : Optimizer
        The rule.
    gradient : callable
        ``gradient(theta)``, shaped like θ; it may draw noise.
    theta : array-like
        The start, of any shape: one point, or many at once.
    steps : int
        How many steps, ≥ 0.

    Returns
    -------
    numpy.ndarray, shape (steps + 1, *theta.shape)
        Every θ, the start first. A diverging run goes on to infinity without a warning.

    Examples
    --------
    >>> from nnbook import optim
    >>> optim.trajectory(optim.sgd(0.1), lambda theta: theta, [1.0], 3)[:, 0]
    array([1.   , 0.9  , 0.81 , 0.729])
    """
    steps = check_whole(steps, "steps", least=0)
    theta = onp.array(theta, dtype=float)
    path = onp.empty((steps + 1, *theta.shape))
    path[0] = theta
    state = optimizer.init(theta)
    with onp.errstate(over="ignore", invalid="ignore"):
        for k in range(steps):
            step, state = optimizer.update(gradient(theta), state, theta)
            theta = theta + step
            path[k + 1] = theta
    return path
