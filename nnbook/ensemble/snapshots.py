"""Snapshots: several members from one run, one at the end of each cycle of its rate."""

from __future__ import annotations

from typing import Any

from nnbook._arguments import check_whole
from nnbook.ensemble.base import clone_with
from nnbook.schedules import cosine_restarts
from nnbook.training import Callback, Run

__all__ = ["Snapshots"]


class Snapshots(Callback):
    """Copy θ and the running statistics after every cycle of so many epochs.

    Meant for a rate that falls to 0 in each cycle and starts again, such as
    ``schedules.cosine_restarts(rate, cycle)`` with ``cycle = every * ceil(n / batch_size)`` steps:
    each cycle ends near a minimum, and the next leaves it for another. Where the rule has such a
    schedule, its cycle is checked. Checkpoints save and resume the copies.

    Parameters
    ----------
    every : int
        Epochs of a cycle; the run's epochs must be a multiple.

    Attributes
    ----------
    snapshots : list of dict
        As `ParameterVector.snapshot` returns them, oldest first.
    epochs : list of int
        After which they were taken.

    Raises
    ------
    ValueError
        `every` is below 1; when `fit` starts, it does not divide the epochs, or the schedule has
        cycles of another length.

    References
    ----------
    Huang et al. (2017), Snapshot ensembles: train 1, get M for free.

    Examples
    --------
    >>> from nnbook import data, ensemble, layers, losses, optim, schedules, training
    >>> x, y = data.two_gaussians(rng=0)  # 100 examples: 10 steps an epoch
    >>> net, snapshots = layers.mlp(2, [3], 1, seed=0), ensemble.Snapshots(every=2)
    >>> rate = schedules.cosine_restarts(0.1, cycle=2 * 10)
    >>> history = training.fit(net, (x, y.reshape(-1, 1)), loss=losses.squared_error,
    ...                        optimizer=optim.sgd(rate), batch_size=10, epochs=6,
    ...                        callbacks=[snapshots])
    >>> snapshots.epochs, len(snapshots.members(net))
    ([2, 4, 6], 3)
    """

    def __init__(self, every: int):
        self.every = check_whole(every, "every")
        self._forget()

    def _forget(self) -> None:
        self.snapshots: list[dict[str, Any]] = []
        self.epochs: list[int] = []
        self._layout = ""

    def __len__(self) -> int:
        return len(self.snapshots)

    def on_fit_start(self, run: Run) -> None:
        """Forget an earlier run; check the epochs and the schedule."""
        self._forget()
        self._layout = run.vector.fingerprint()
        if run.epochs % self.every:
            raise ValueError(
                f"every is {self.every} epochs, and {run.epochs} epochs are no multiple of it; the "
                f"last cycle would not end. Train for {-(-run.epochs // self.every) * self.every}"
            )
        schedule = getattr(run.optimizer, "learning_rate", None)
        steps = run.steps_per_epoch
        if not isinstance(schedule, cosine_restarts) or steps is None:
            return
        if schedule.growth != 1 or schedule.cycle != self.every * steps:
            raise ValueError(
                f"the cycles of {schedule} are not those of {self.every} epochs of {steps} steps; "
                f"expected cycle={self.every * steps}, growth=1"
            )

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        """Copy, if a cycle ends."""
        if run.epoch % self.every == 0:
            self.snapshots.append(run.vector.snapshot())
            self.epochs.append(run.epoch)

    def members(self, net: Any) -> list[Any]:
        """Return a copy of the network for each snapshot.

        Parameters
        ----------
        net : mxnet.gluon.Block
            The network that was trained, or one of its architecture; it is not changed.

        Returns
        -------
        list of mxnet.gluon.Block
            Oldest first.

        Raises
        ------
        ValueError
            No snapshot was taken yet, or the network has another architecture or dtype.
        """
        if not self.snapshots:
            raise ValueError("no snapshot was taken yet; give Snapshots to fit in callbacks")
        return [clone_with(net, snapshot, self._layout) for snapshot in self.snapshots]

    def state(self) -> dict[str, Any]:
        """Return the snapshots and their epochs."""
        return {"snapshots": self.snapshots, "epochs": self.epochs}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.snapshots, self.epochs = list(state["snapshots"]), list(state["epochs"])
