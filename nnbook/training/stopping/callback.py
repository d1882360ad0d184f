"""The callback that runs a stopping rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nnbook._arguments import check_flag, check_text
from nnbook.training.callbacks import Callback, _watched
from nnbook.training.stopping.base import Rule, Stopped

if TYPE_CHECKING:
    from nnbook.training.run import Run

__all__ = ["StopBy"]


class StopBy(Callback):
    """Stop training by a rule of this module, and put back the parameters that the rule keeps.

    Parameters
    ----------
    rule : Rule
        Such as ``patience(10)``.
    monitor : str
        The column of the history that the rule looks at.
    restore_best : bool
        Whether θ (and the running statistics) of the epoch that is kept are put back at the end.

    Attributes
    ----------
    result : Stopped or None
        What the rule said of the run; None before the first epoch.

    Raises
    ------
    TypeError
        `rule` is no rule.
    KeyError
        At the first epoch: there is no such column.

    Examples
    --------
    >>> from nnbook import data, layers, losses, optim, training
    >>> from nnbook.training import stopping
    >>> x, y = data.two_gaussians(rng=0)
    >>> stop = stopping.StopBy(stopping.patience(2), "train_loss")
    >>> history = training.fit(layers.mlp(2, [], 1, seed=0), (x, y.reshape(-1, 1)),
    ...                        loss=losses.squared_error, optimizer=optim.sgd(0.3),
    ...                        batch_size=10, epochs=50, callbacks=[stop])
    >>> stop.result == stopping.patience(2)(history["train_loss"])
    True
    """

    def __init__(self, rule: Rule, monitor: str = "val_loss", restore_best: bool = True):
        if not isinstance(rule, Rule):
            raise TypeError(f"rule is {rule!r}; expected one such as stopping.patience(10)")
        self.rule, self.monitor = rule, check_text(monitor, "monitor")
        self.restore_best = check_flag(restore_best, "restore_best")
        self._forget()

    def _forget(self) -> None:
        self.result: Stopped | None = None
        self._watched: list[float] = []
        self._training: list[float] = []
        self._snapshot: dict[str, Any] | None = None

    def on_fit_start(self, run: Run) -> None:
        """Forget an earlier run."""
        self._forget()

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        """Ask the rule."""
        self._watched.append(float(_watched(self, row)))
        self._training.append(float(row["train_loss"]))
        before, self.result = self.result, self.rule(self._watched, self._training)
        if self.restore_best and (before is None or self.result.best_at != before.best_at):
            self._snapshot = run.vector.snapshot()
        if self.result.stopped_at is not None:
            run.stop(f"{self.rule!r} on {self.monitor} keeps epoch {self.result.best_at}")

    def on_fit_end(self, run: Run) -> None:
        """Put back the θ that the rule keeps."""
        if self._snapshot is not None:
            run.vector.restore(self._snapshot)

    def state(self) -> dict[str, Any]:
        """Return the curves so far and the θ that is kept."""
        return {
            "watched": list(self._watched),
            "training": list(self._training),
            "snapshot": self._snapshot,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self._watched, self._training = list(state["watched"]), list(state["training"])
        self._snapshot = state["snapshot"]
        self.result = self.rule(self._watched, self._training) if self._watched else None
