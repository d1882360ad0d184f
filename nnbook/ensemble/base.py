"""What averages and snapshots share: θ̄ kept beside a run, and parameters put into a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as onp

from nnbook._arguments import check_text, check_whole
from nnbook.gluon.copies import clone
from nnbook.gluon.examples import Examples
from nnbook.gluon.parameters import ParameterVector, host_view
from nnbook.training import Callback
from nnbook.training.run import Run, Seen

__all__ = ["Average", "clone_with", "put"]


class Average(Callback):
    """What `EMA` and `PolyakAverage` share: an average θ̄ of a run's θ, kept beside it.

    Training itself is not changed, bit for bit. The running statistics of batch normalisation are
    averaged alike; frozen weights are not. Checkpoints save and resume the average.

    Parameters
    ----------
    every : int
        Steps between two looks; the first is after the first step.
    validation : tuple of array, optional
        ``(x, y)``: evaluate θ̄ on it after each epoch with the run's loss, into the columns
        ``{name}_val_loss`` and, for class labels, ``{name}_val_accuracy``; NaN as long as there is
        no average.
    name : str
        What the columns begin with.

    Attributes
    ----------
    count : int
        How many θ have been averaged.

    Raises
    ------
    ValueError, TypeError
        `every` below 1; when `fit` starts, validation data that do not fit, or another average of
        that name.

    Notes
    -----
    A look reads θ once it is computed. On the CPU training waits for each step anyway; on a GPU it
    then does so because of the average, and copies θ: take a larger `every` there.
    """

    of_run = ("_statistics", "_held_out", "_scratch")

    def __init__(self, every: int, validation: tuple[Any, Any] | None, name: str):
        self.every = check_whole(every, "every")
        self.validation, self.name = validation, check_text(name, "name")
        self._forget()

    def _forget(self) -> None:
        self.count = 0
        self._diverged = False
        self._layout = ""
        self._kept: dict[str, onp.ndarray] = {}  # "" is θ, the others statistics by their name

    # ------------------------------------------------------------------ during a run

    def on_fit_start(self, run: Run) -> None:
        """Forget an earlier run, and look at steps from now on."""
        self._forget()
        writers = [c for c in run.callbacks if isinstance(c, Average) and c.validation is not None]
        same = [c for c in writers if c.name == self.name]
        if self.validation is not None and len(same) > 1:
            raise ValueError(
                f"{len(same)} averages are called {self.name!r} and would write the same columns; "
                "give each a name of its own"
            )
        vector = run.vector
        fixed = vector.fixed.items()
        self._statistics = {n: _reader(p.data()) for n, p in fixed if not p._differentiable}
        self._layout = vector.fingerprint()
        first = {"": vector.theta.asnumpy()} | {n: read() for n, read in self._statistics.items()}
        self._dtypes = {name: values.dtype for name, values in first.items()}
        self._kept = {name: self._first(values) for name, values in first.items()}
        self._scratch = {name: onp.empty_like(kept) for name, kept in self._kept.items()}
        self._held_out = None
        if self.validation is not None:
            self._held_out = Examples(run.net, self.validation, run.loss_function, "validation")
        run.observe(self.every, after=self.after_step)

    def _first(self, values: onp.ndarray) -> onp.ndarray:
        """Return the memory of an average before the first step."""
        raise NotImplementedError

    def _wants(self, seen: Seen) -> bool:
        """Tell whether a step's θ belongs into the average."""
        return True

    def _add(self, kept: onp.ndarray, values: onp.ndarray, scratch: onp.ndarray) -> None:
        """Take values into their average, in place; `count` of them are in it."""
        raise NotImplementedError

    def _value(self, kept: onp.ndarray) -> onp.ndarray:
        """Return the average."""
        return kept

    def after_step(self, seen: Seen) -> None:
        """Average a step that is due."""
        if not onp.isfinite(seen.loss):
            self._diverged = True  # fit notices it later, and puts back θ from before the epoch
        if not self._wants(seen):
            return
        self._add(self._kept[""], seen.theta, self._scratch[""])
        for name, read in self._statistics.items():
            self._add(self._kept[name], read(), self._scratch[name])
        self.count += 1

    def on_validation(self, run: Run, row: dict[str, Any]) -> None:
        """Evaluate the average, if there are data for it."""
        if self._held_out is None:
            return
        names = ["loss", "accuracy"] if self._held_out.classifies else ["loss"]
        measured = dict.fromkeys(names, float("nan"))
        if self.count:
            with self.swapped(run.net):
                measured = self._held_out.evaluate()
        row.update({f"{self.name}_val_{key}": value for key, value in measured.items()})

    # ------------------------------------------------------------------ its result

    @property
    def theta(self) -> onp.ndarray:
        """θ̄, shape (P,), in the dtype of θ: a copy."""
        return self._snapshot()["theta"]

    def _snapshot(self) -> dict[str, Any]:
        """Return θ̄ and the statistics as `ParameterVector.snapshot` returns those of a network."""
        if not self.count:
            raise ValueError(
                f"{type(self).__name__} has averaged no step yet; give it to fit in callbacks, and "
                "let it start before the run ends"
            )
        values = {name: self._value(kept) for name, kept in self._kept.items()}
        if self._diverged or not onp.isfinite(values[""]).all():
            raise FloatingPointError(
                f"training has diverged, and {type(self).__name__} has averaged steps of that "
                "epoch; try a smaller rate"
            )
        values = {n: onp.array(value, dtype=self._dtypes[n]) for n, value in values.items()}
        return {"theta": values.pop(""), "state": values}

    def averaged(self, net: Any) -> Any:
        """Return a copy of a network with θ̄ and the averaged statistics.

        Parameters
        ----------
        net : mxnet.gluon.Block
            The network that was trained, or one of its architecture; it is not changed.

        Returns
        -------
        mxnet.gluon.Block
            Hybridised if `net` is. `refresh_statistics` computes its statistics anew.

        Raises
        ------
        ValueError
            Nothing was averaged yet, or the network has another architecture or dtype.
        FloatingPointError
            Training has diverged.
        """
        return clone_with(net, self._snapshot(), self._layout)

    @contextmanager
    def swapped(self, net: Any) -> Iterator[Any]:
        """Put θ̄ and the averaged statistics into a network for a ``with`` block.

        What the network had comes back at its end, also after an exception.

        Parameters
        ----------
        net : mxnet.gluon.Block
            As for `averaged`.

        Yields
        ------
        mxnet.gluon.Block
            The network itself.

        Raises
        ------
        ValueError, FloatingPointError
            As for `averaged`.
        """
        snapshot = self._snapshot()
        vector = ParameterVector(net)
        with vector.preserved():
            put(vector, snapshot, self._layout)
            yield net

    def state(self) -> dict[str, Any]:
        """Return the average and its count."""
        kept = {name: values.copy() for name, values in self._kept.items()}
        return {"count": self.count, "kept": kept}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.count = state["count"]
        for name, values in state["kept"].items():
            self._kept[name][...] = values


def _reader(array: Any) -> Any:
    """Return a function that gives an array's present values: on the CPU its own memory."""
    if array.ctx.device_type != "cpu":
        return array.asnumpy
    memory = host_view(array)

    def read() -> onp.ndarray:
        array.wait_to_read()
        return memory

    return read


def clone_with(net: Any, snapshot: dict[str, Any], layout: str = "") -> Any:
    """Return a copy of a network with the θ and the statistics of a snapshot.

    Parameters
    ----------
    net : mxnet.gluon.Block
        Not changed.
    snapshot : dict
        As `ParameterVector.snapshot` returns it; what its state lacks the copy has from `net`.
    layout : str, optional
        The fingerprint of the network that the snapshot is of.

    Returns
    -------
    mxnet.gluon.Block

    Raises
    ------
    ValueError
        The snapshot does not fit the network.
    """
    twin = clone(net)
    put(ParameterVector(twin), snapshot, layout)
    return twin


def put(vector: ParameterVector, snapshot: dict[str, Any], layout: str = "") -> None:
    """Put a snapshot into a network after checking that it fits."""
    mine = {name: tuple(array.shape) for name, array in vector.state.items()}
    theirs = {name: onp.shape(array) for name, array in snapshot["state"].items()}
    same = onp.shape(snapshot["theta"]) == (len(vector),) and theirs.items() <= mine.items()
    if not same or layout not in ("", vector.fingerprint()):
        raise ValueError(
            f"the network has {len(vector)} parameters ({vector.theta.dtype}) in "
            f"{', '.join(vector.slices)}; the {onp.size(snapshot['theta'])} values are those of "
            "another architecture or dtype. Give the network that was trained, or one built alike"
        )
    vector.restore({**snapshot, "state": vector.snapshot()["state"] | snapshot["state"]})
