"""A training run in progress, and how it can fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nnbook.gluon.parameters import ParameterVector
from nnbook.training.callbacks import Callback, overrides
from nnbook.training.history import History
from nnbook.training.steps import Step

__all__ = ["DivergedError", "Run"]


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


class Run:
    """A training run in progress, as callbacks see it.

    Attributes
    ----------
    net : mxnet.gluon.Block
    vector : ParameterVector
        θ and ∇L(θ).
    history : History
        The epochs so far.
    epoch, step : int
        The epoch and the step now, counted from 1; 0 before the first.
    epochs : int
        The last epoch.
    random : bool
        Whether the network may draw random numbers in training.
    loss : float
        The minibatch loss of the last step, when a callback overrides `on_step_end`.
    """

    def __init__(
        self,
        net: Any,
        vector: ParameterVector,
        stepper: Step,
        callbacks: Sequence[Callback],
        epochs: int,
        random: bool,
        settings: dict[str, Any],
        fingerprint: Callable[[], str],
    ):
        self.net, self.vector, self.stepper = net, vector, stepper
        self.callbacks, self.epochs = list(callbacks), epochs
        self.random = random
        self.seed = settings["seed"]
        self._settings, self._fingerprint = settings, fingerprint
        self.history = History()
        self.epoch = self.step = 0
        self.seconds = 0.0
        self.loss = float("nan")

    def stop(self, reason: str) -> None:
        """End training after the present step or epoch.

        Parameters
        ----------
        reason : str
            Recorded in `history.stopped`.
        """
        self.history.stopped = reason

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of every callback."""
        for callback in self.callbacks:
            getattr(callback, hook)(self, *arguments)

    def identity(self) -> dict[str, Any]:
        """Return what makes this run the same run: network, data, rule, seed, batch size."""
        return {
            **self._settings,
            "network": self.vector.fingerprint(),
            "data": self._fingerprint(),
            "callbacks": [type(callback).__name__ for callback in self._stateful()],
        }

    def state(self) -> dict[str, Any]:
        """Return everything that a checkpoint must keep."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "history": list(self.history),
            "stopped": self.history.stopped,
            "parameters": self.vector.snapshot(),
            "optimizer": self.stepper.state(),
            "callbacks": [callback.state() for callback in self._stateful()],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.history = History(state["history"])
        self.history.stopped = state["stopped"]
        self.vector.restore(state["parameters"])
        self.stepper.load_state(state["optimizer"])
        for callback, saved in zip(self._stateful(), state["callbacks"], strict=True):
            callback.load_state(saved)

    def _stateful(self) -> list[Callback]:
        return [callback for callback in self.callbacks if overrides(callback, "state")]
