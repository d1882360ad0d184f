"""A training run in progress, as callbacks see it, and how it can fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_text
from nnbook.training.callbacks import Callback, overrides
from nnbook.training.history import History

__all__ = ["DivergedError", "Observation", "Plan", "Run", "Seen"]

Rows = Any  # of a minibatch: indices, a slice, or None for a loss that has no examples


class DivergedError(FloatingPointError):
    """The loss or θ is no longer finite.

    Attributes
    ----------
    epoch, step : int
        Where, counted from 1.
    learning_rate : float
        The rate then.
    history : History
        The epochs before. The network holds the θ with which the last of them ended.
    """

    def __init__(self, epoch: int, step: int, learning_rate: float, history: History):
        self.epoch, self.step, self.learning_rate = epoch, step, learning_rate
        self.history = history
        super().__init__(
            f"the loss is not finite at epoch {epoch}, step {step}, learning rate "
            f"{learning_rate:g}. The network holds its parameters from before that epoch. Try a "
            "smaller rate, or check the inputs' scale and the initial weights"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is made anew from its message alone.
        made_of = (self.epoch, self.step, self.learning_rate, self.history)
        return type(self), made_of, vars(self)


@dataclass(frozen=True)
class Seen:
    """A step as those who observe it see it.

    Attributes
    ----------
    epoch, step : int
        Which, counted from 1.
    loss : float
        The minibatch's mean loss, before the step.
    theta, grad : numpy.ndarray, shape (P,)
        θ and ∇L: the run's own memory where it lies on the CPU, and not to be kept or changed.
    """

    epoch: int
    step: int
    loss: float
    theta: onp.ndarray
    grad: onp.ndarray


@dataclass(eq=False)
class Observation:
    """Somebody who looks at every n-th step; `Run.observe` makes it.

    Attributes
    ----------
    every : int
        Steps between two looks, the first at the first step. It may be changed during the run.
    before, after : callable or None
        ``before(seen)`` once the gradient is known and θ has not moved; ``after(seen)`` once it
        has.
    """

    every: int
    before: Callable[[Seen], None] | None = None
    after: Callable[[Seen], None] | None = None


@dataclass(frozen=True)
class Plan:
    """What a run was asked to do: facts that stay as they are.

    Attributes
    ----------
    epochs, batch_size, seed : int
        As `nnbook.training.fit` was given them.
    order : callable or None
        ``order(n, epoch, rng)``, a permutation by default; None for the order of the data.
    optimizer, penalty, loss : object
        As `fit` was given them.
    """

    epochs: int
    batch_size: int
    seed: int
    order: Callable[[int, int, Any], Any] | None
    optimizer: Any
    penalty: Any = None
    loss: Any = None


class Run:
    """A training run in progress, as callbacks see it.

    Attributes
    ----------
    net : mxnet.gluon.Block or Objective
        What is trained.
    vector : object
        Its parameters: `theta` and `grad`, `slices`, `shapes`, `snapshot()`, `restore(…)`.
    examples : object or None
        The training examples, `x`, `y` and their number by `len`; None for an objective.
    held_out : object or None
        The validation examples, alike.
    optimizer, penalty, loss_function : object
        As `fit` was given them.
    batch_size, seed, epochs : int
        Likewise; `epochs` is the last epoch.
    steps_per_epoch : int or None
        None where an order of the caller's own decides it.
    history : History
        The epochs so far.
    epoch, step : int
        The epoch and the step now, counted from 1; 0 before the first.
    seconds : float
        Time spent in steps so far.
    loss : float
        The minibatch loss of the last step that somebody observed.
    random : bool
        Whether the network may draw random numbers in training.
    shared : dict
        What one callback has computed and another can use.
    """

    def __init__(
        self,
        net: Any,
        vector: Any,
        plan: Plan,
        callbacks: Sequence[Callback],
        examples: Any = None,
        held_out: Any = None,
        count: int | None = None,
        random: bool = False,
    ):
        self.net, self.vector, self.plan = net, vector, plan
        # Stable: callbacks of one order are called as they were given.
        self.callbacks = sorted(callbacks, key=lambda callback: callback.order)
        self.examples, self.held_out, self.random = examples, held_out, random
        self.count = count  # of examples; None for a loss that has none
        self.history = History()
        self.epoch = self.step = 0
        self.seconds, self.loss = 0.0, float("nan")
        self.shared: dict[str, Any] = {}
        self.observations: list[Observation] = []
        self.listeners: list[Callable[[onp.ndarray], None]] = []
        self.rule: Any = None  # what takes the steps; a source sets it

    @property
    def epochs(self) -> int:
        """The last epoch."""
        return self.plan.epochs

    @property
    def batch_size(self) -> int:
        """B, as `fit` was given it."""
        return self.plan.batch_size

    @property
    def seed(self) -> int:
        """The seed, as `fit` was given it."""
        return self.plan.seed

    @property
    def optimizer(self) -> Any:
        """The rule, as `fit` was given it."""
        return self.plan.optimizer

    @property
    def loss_function(self) -> Any:
        """The loss, as `fit` was given it."""
        return self.plan.loss

    @property
    def steps_per_epoch(self) -> int | None:
        """How many steps an epoch takes; None where an order of the caller's own decides it."""
        if self.count is None:
            return 1
        if self.plan.order not in (None, permuted):
            return None
        return -(-self.count // self.plan.batch_size)

    @property
    def goes_on(self) -> bool:
        """Whether there is another epoch to train."""
        return self.epoch < self.epochs and self.history.status == "running"

    @property
    def learning_rate(self) -> float:
        """The rate of the next step, the largest where parameters have rates of their own."""
        return self.rate_of(self.step + 1)

    def rate_of(self, step: int) -> float:
        """Return the rate of a step, counted from 1."""
        rate = self.rule.rate_of(step)
        return float(rate.max()) if hasattr(rate, "shape") else float(rate)

    def scale_rate(self, factor: float) -> None:
        """Multiply the rule's own rate, number or schedule, from now on; 1 gives it back."""
        self.rule.scale_rate(factor)

    def stop(self, reason: str) -> None:
        """End training after the present step or epoch.

        Parameters
        ----------
        reason : str
            Recorded in `history.stopped`.

        Raises
        ------
        TypeError, ValueError
            No text, or an empty one.
        """
        self.history.stopped, self.history.status = check_text(reason, "reason"), "stopped"

    def observe(
        self,
        every: int,
        before: Callable[[Seen], None] | None = None,
        after: Callable[[Seen], None] | None = None,
    ) -> Observation:
        """Look at every n-th step; steps at which nobody looks cost what they cost without.

        Parameters
        ----------
        every : int
            Steps between two looks, the first at the first step.
        before, after : callable, optional
            ``before(seen)`` with the gradient, before the update; ``after(seen)`` after it.

        Returns
        -------
        Observation
            Its `every` may be changed later.
        """
        observation = Observation(every, before, after)
        self.observations.append(observation)
        return observation

    def listen(self, listener: Callable[[onp.ndarray], None]) -> None:
        """Have the minibatch losses of an epoch handed over, some hundred at a time."""
        self.listeners.append(listener)

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of every callback, in order."""
        for callback in self.callbacks:
            getattr(callback, hook)(self, *arguments)

    def batches(self, epoch: int) -> Iterator[Rows]:
        """Yield the rows of each minibatch of an epoch; None once where there are no examples."""
        if self.count is None:
            return iter((None,))
        return batches_of(self.count, self.batch_size, self.seed, epoch, self.plan.order)

    def state(self) -> dict[str, Any]:
        """Return everything that a checkpoint must keep."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "history": list(self.history),
            "stopped": self.history.stopped,
            "status": self.history.status,
            "parameters": self.vector.snapshot(),
            "optimizer": self.rule.state(),
            "callbacks": [callback.state() for callback in self.stateful()],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.history.load(state["history"], state["stopped"], state["status"])
        self.vector.restore(state["parameters"])
        self.rule.load_state(state["optimizer"])
        for callback, saved in zip(self.stateful(), state["callbacks"], strict=True):
            callback.load_state(saved)

    def stateful(self) -> list[Callback]:
        """Return the callbacks with a memory, in order."""
        return [callback for callback in self.callbacks if overrides(callback, "state")]


def permuted(n: int, epoch: int, rng: onp.random.Generator) -> onp.ndarray:
    """Return every example once, in a new order each epoch: what `fit` does by default."""
    return rng.permutation(n)


def batches_of(
    n: int,
    batch_size: int,
    seed: int,
    epoch: int,
    order: Callable[[int, int, Any], Any] | None = permuted,
) -> Iterator[Rows]:
    """Yield the rows of each minibatch of an epoch: they depend on the seed and the epoch alone.

    Parameters
    ----------
    n, batch_size, seed, epoch : int
        The number of examples, B, the seed of `fit`, and the epoch, counted from 1.
    order : callable or None
        As in `Plan`.

    Yields
    ------
    numpy.ndarray of int, or slice
        The last may be fewer.
    """
    indices = None
    # The mean over the full batch does not depend on the order.
    if order is not None and not (order is permuted and batch_size >= n):
        indices = _checked_order(order(n, epoch, onp.random.default_rng([seed, epoch])), n)
    for start in range(0, n if indices is None else len(indices), batch_size):
        if indices is None:
            yield slice(start, min(start + batch_size, n))
        else:
            yield indices[start : start + batch_size]


def _checked_order(indices: Any, n: int) -> onp.ndarray:
    indices = onp.asarray(indices)
    if indices.ndim != 1 or indices.size == 0 or not onp.issubdtype(indices.dtype, onp.integer):
        raise ValueError(
            f"order returned {indices.dtype} of shape {indices.shape}; expected whole numbers "
            "in one axis"
        )
    if indices.min() < 0 or indices.max() >= n:
        raise ValueError(
            f"order returned indices from {indices.min()} to {indices.max()}; expected 0 to {n - 1}"
        )
    return indices
