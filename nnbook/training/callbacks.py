"""Hooks into `fit`, and the callbacks that come with the book."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from nnbook._arguments import as_scalar, check_number, check_text, check_whole
from nnbook.schedules import PlateauState, on_plateau

if TYPE_CHECKING:
    from nnbook.training.run import Run

#: Names of columns that end in one of these are better the smaller, or the larger, they are.
SMALLER_IS_BETTER = ("loss", "error", "rmse", "mse", "mae")
LARGER_IS_BETTER = ("accuracy", "auc", "f1", "r2", "precision", "recall", "_score")

__all__ = ["Callback", "EarlyStopping", "Progress", "ReduceOnPlateau"]


class Callback:
    """Hooks that `fit` calls; a subclass overrides those it needs.

    Every hook gets the `Run`: its `net`, `vector` (θ and ∇L), `examples`, `optimizer`, `history`,
    `epoch`, `step`, `observe(every, before, after)`, `stop(reason)` and what else it says.
    Callbacks are called in the order given, but for their `order`: a lower one comes first.

    A callback with a memory returns it from `state` and takes it back in `load_state`, so that
    checkpoints can resume it. What belongs to a run in progress is named in `of_run`, and is left
    out where a callback is copied or pickled.
    """

    of_run: ClassVar[tuple[str, ...]] = ()
    _given: dict[str, Any]
    order: ClassVar[int] = 0

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self.of_run}

    def settings(self) -> dict[str, Any]:
        """Return what decides the result of a run with this callback: how it was made.

        By default what it was made with; a checkpoint tells runs apart by it.
        """
        return dict(self._given)

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        """Remember how the callback was made."""
        made = super().__new__(cls)
        made._given = {"arguments": arguments, **options}
        return made

    def on_fit_start(self, run: Run) -> None:
        """Before the first step."""

    def on_epoch_start(self, run: Run) -> None:
        """Before each epoch; `run.epoch` counts from 1."""

    def on_step_end(self, run: Run) -> None:
        """After each step; `run.step` counts from 1, `run.loss` is the loss before it.

        To look at θ and ∇L, or at every n-th step, call `run.observe` in `on_fit_start`.
        """

    def on_validation(self, run: Run, row: dict[str, Any]) -> None:
        """After each epoch's measurements, before the row is recorded: it may add columns."""

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        """After each epoch, with the row just recorded."""

    def on_fit_end(self, run: Run) -> None:
        """After the last step, also when training stopped early (not after an exception)."""

    def on_fit_exit(self, run: Run) -> None:
        """Clean up: training has ended, by an exception or otherwise."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep: numbers, strings, lists, dicts, NumPy arrays."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""


def overrides(callback: Callback, hook: str) -> bool:
    """Tell whether a callback overrides a hook."""
    return getattr(type(callback), hook) is not getattr(Callback, hook)


class EarlyStopping(Callback):
    """Stop when a quantity has not improved for some epochs, and put back the best θ.

    Parameters
    ----------
    monitor : str
        A column of the history.
    patience : int
        Epochs without a new best before training stops.
    smallest_improvement : float
        How much better counts as a new best.
    smaller_is_better : bool, optional
        By default the name decides: true if it ends in ``loss``, ``error``, ``rmse``, ``mse`` or
        ``mae``, false if in ``accuracy``, ``auc``, ``f1``, ``r2``, ``precision``, ``recall`` or
        ``_score``, as scikit-learn's functions are called. A metric of another name needs it.
    restore_best : bool
        Put θ (and the running statistics) of the best epoch back at the end.

    Attributes
    ----------
    best, best_epoch : float, int
        The best value and its epoch.

    Raises
    ------
    ValueError, TypeError
        Patience below 1, or a smallest improvement that is negative or no finite number; a metric
        of which nobody knows whether less is better.
    KeyError
        At the first epoch: there is no such column.

    References
    ----------
    Prechelt (1998), Early stopping – but when?
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 10,
        smallest_improvement: float = 0.0,
        smaller_is_better: bool | None = None,
        restore_best: bool = True,
    ):
        self.monitor = check_text(monitor, "monitor")
        self.patience = check_whole(patience, "patience")
        self.smallest_improvement = check_number(
            smallest_improvement, "smallest_improvement", least=0
        )
        self.smaller_is_better = _smaller_is_better(monitor, smaller_is_better)
        self.restore_best = restore_best
        self._forget()

    def _forget(self) -> None:
        self.best = float("inf") if self.smaller_is_better else float("-inf")
        self.best_epoch = 0
        self._snapshot: dict[str, Any] | None = None

    def on_fit_start(self, run: Run) -> None:
        """Forget an earlier run."""
        self._forget()

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        """Compare with the best so far."""
        value = _watched(self, row)
        gain = self.best - value
        if not self.smaller_is_better:
            gain = -gain
        if gain > self.smallest_improvement:
            self.best, self.best_epoch = value, run.epoch
            if self.restore_best:
                self._snapshot = run.vector.snapshot()
        elif run.epoch - self.best_epoch >= self.patience:
            run.stop(
                f"{self.monitor} has not improved on {self.best:.6g} for {self.patience} epochs"
            )

    def on_fit_end(self, run: Run) -> None:
        """Put back the best θ."""
        if self._snapshot is not None:
            run.vector.restore(self._snapshot)

    def state(self) -> dict[str, Any]:
        """Return the best value, its epoch and its θ."""
        return {"best": self.best, "best_epoch": self.best_epoch, "snapshot": self._snapshot}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self._snapshot = state["snapshot"]


class ReduceOnPlateau(Callback):
    """Cut the rate when a quantity has stopped improving.

    The rule's own rate (a number, a schedule, or that of one of MXNet's optimizers) is multiplied
    by what `nnbook.schedules.on_plateau` says after each epoch.

    Parameters
    ----------
    monitor : str
        A column of the history.
    factor : float
        What the rate is multiplied by at a cut, in (0, 1).
    patience : int
        Epochs without an improvement that bring a cut, at least 1.
    smallest_change : float
        An improvement is better than the best by more than this.
    minimum : float
        All cuts together do not multiply the rate by less than this.
    smaller_is_better : bool, optional
        By default the name decides: true if it ends in ``loss``, ``error``, ``rmse``, ``mse`` or
        ``mae``, false if in ``accuracy``, ``auc``, ``f1``, ``r2``, ``precision``, ``recall`` or
        ``_score``, as scikit-learn's functions are called. A metric of another name needs it.

    Attributes
    ----------
    scale : float
        What the rate is multiplied by now.
    cuts : list of int
        The epochs after which it was cut.

    Raises
    ------
    ValueError, TypeError
        A value outside its range; a metric of which nobody knows whether less is better.
    KeyError
        At the first epoch: there is no such column.

    Examples
    --------
    >>> from nnbook import data, layers, losses, optim, training
    >>> x, y = data.two_gaussians(rng=0)
    >>> net = layers.mlp(2, [], 1, seed=0)
    >>> reduce = training.ReduceOnPlateau("train_loss", factor=0.5, patience=1)
    >>> history = training.fit(net, (x, y.reshape(-1, 1)), loss=losses.squared_error,
    ...                        optimizer=optim.sgd(0.3), batch_size=10, epochs=20,
    ...                        callbacks=[reduce])
    >>> reduce.scale == 0.5 ** len(reduce.cuts)
    True
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        smallest_change: float = 0.0,
        minimum: float = 0.0,
        smaller_is_better: bool | None = None,
    ):
        self.monitor = check_text(monitor, "monitor")
        self.rule = on_plateau(
            1.0,
            factor,
            patience,
            smallest_change,
            minimum,
            _smaller_is_better(monitor, smaller_is_better),
        )
        self._forget()

    def _forget(self) -> None:
        self._now, self.cuts = self.rule.init(), list[int]()

    @property
    def scale(self) -> float:
        """What the rate is multiplied by now."""
        return self._now.rate

    def on_fit_start(self, run: Run) -> None:
        """Forget an earlier run."""
        self._forget()

    def on_epoch_start(self, run: Run) -> None:
        """Set the rate: after each cut, and after a checkpoint was resumed."""
        run.scale_rate(self.scale)

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        """Take the epoch into account."""
        before, self._now = self.scale, self.rule.update(self._now, _watched(self, row))
        if self.scale < before:
            self.cuts.append(run.epoch)

    def state(self) -> dict[str, Any]:
        """Return the scale, the best value, the epochs since then and the cuts."""
        return {**self._now._asdict(), "cuts": self.cuts}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self._now = PlateauState(state["rate"], state["best"], state["bad"])
        self.cuts = list(state["cuts"])


def _smaller_is_better(monitor: str, given: bool | None) -> bool:
    if given is not None:
        return given
    if not monitor.endswith(SMALLER_IS_BETTER + LARGER_IS_BETTER):
        raise ValueError(
            f"monitor is {monitor!r}, and nobody knows whether less of it is better; say so: "
            "smaller_is_better=True, or False"
        )
    return monitor.endswith(SMALLER_IS_BETTER)


def _watched(callback: Any, row: dict[str, Any]) -> Any:
    """Return the quantity that a callback watches, a number."""
    if callback.monitor not in row:
        raise KeyError(
            f"{type(callback).__name__} watches {callback.monitor!r}, but fit recorded "
            f"{', '.join(row)}; give fit validation data, or another monitor"
        )
    value = as_scalar(row[callback.monitor])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{type(callback).__name__} watches {callback.monitor!r}, which is {value!r}; expected "
            "a number"
        )
    return value


class Progress(Callback):
    """A progress bar over epochs, with the last row's numbers.

    It shows in a terminal and in a live notebook, once training has taken a second, and nowhere
    else: logs, tests, captured output and the committed outputs of the book stay clean.
    ``NNBOOK_PROGRESS=0`` turns it off everywhere.
    """

    of_run = ("_bar",)
    order = 200  # it shows what the others have measured
    delay = 1.0  # seconds until it shows
    interval = 0.5  # seconds between two changes: Jupyter stops what writes too often
    _bar: Any = None

    @staticmethod
    def wanted() -> bool:
        """Tell whether somebody is there to look, and tqdm to draw."""
        if os.environ.get("NNBOOK_PROGRESS") == "0" or importlib.util.find_spec("tqdm") is None:
            return False
        if "ipykernel" not in sys.modules:
            return sys.stderr.isatty()
        return sys.stderr.isatty() or _in_live_notebook()

    @classmethod
    def bar(cls, total: int, unit: str, initial: int = 0) -> Any:
        """Return a bar of tqdm that shows late, changes seldom and leaves nothing behind."""
        from tqdm.auto import tqdm

        return tqdm(
            total=total,
            initial=initial,
            unit=unit,
            leave=False,
            delay=cls.delay,
            mininterval=cls.interval,
        )

    def on_fit_start(self, run: Run) -> None:
        """Open the bar."""
        if self.wanted():
            self._bar = self.bar(run.epochs, "epoch", initial=run.epoch)

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        """Move the bar on."""
        if self._bar is not None:
            shown = {k: f"{v:.4g}" for k, v in row.items() if isinstance(v, float)}
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update()

    def on_fit_exit(self, run: Run) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _in_live_notebook() -> bool:
    """Tell whether a cell is running whose output a person watches.

    A front end that can be asked for input has one. The tools that execute a notebook say that they
    cannot, and a cell that captures its output has replaced the kernel's stream.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    kernel = getattr(shell, "kernel", None)
    return (
        getattr(kernel, "_allow_stdin", False)
        and type(sys.stderr).__module__ == "ipykernel.iostream"
        and importlib.util.find_spec("ipywidgets") is not None
    )
