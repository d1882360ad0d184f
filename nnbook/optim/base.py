"""What an update rule is, and how to follow one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as onp

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


@dataclass(frozen=True)
class Optimizer:
    """An update rule: a name, its hyperparameters and the function that computes a step.

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
        ``rule(gradient, buffers, theta, learning_rate, step) -> (step, buffers)``.
    """

    name: str
    learning_rate: Rate
    hyperparameters: dict[str, Any]
    buffers: int
    rule: Callable[..., tuple[Any, tuple[Any, ...]]] = field(repr=False)

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

    def rate(self, step: int) -> Any:
        """Return the learning rate of a step (counted from 0)."""
        return self.learning_rate(step) if callable(self.learning_rate) else self.learning_rate

    def __repr__(self) -> str:
        numbers = "".join(
            f", {k}={v:g}" if isinstance(v, float) else f", {k}={v!r}"
            for k, v in self.hyperparameters.items()
        )
        return f"{self.name}({self.learning_rate!r}{numbers})"


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
    if steps < 0:
        raise ValueError(f"steps is {steps}; expected at least 0")
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
