"""Train many models at once."""

from __future__ import annotations

import copy
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as onp

from nnbook.gluon.bound import BoundStack
from nnbook.gluon.examples import Examples, number_of
from nnbook.gluon.parameters import host_view
from nnbook.gluon.runtime import mx, threads
from nnbook.gluon.stack import NotStackable, Stack
from nnbook.optim import Optimizer, State
from nnbook.population.members import Member, stacked_rule
from nnbook.training import DivergedError, EarlyStopping, History, Progress, fit
from nnbook.training.kernels import update_in_place
from nnbook.training.loop import batches_of, check_sizes

__all__ = ["fit_population"]

# Bytes of θ of a stack: a larger one leaves the cache, and is slower than two of half its size.
_STACK = 3_000_000
_SMALL_BATCH = 50
# Numbers of a block in an update: θ, ∇L, two buffers and scratch of it fit into a core's cache.
_BLOCK = 50_000


def fit_population(
    nets: Sequence[Any],
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None = None,
    *,
    loss: Callable[[Any, Any], Any],
    optimizer: Optimizer,
    batch_size: int = 32,
    epochs: int = 10,
    seeds: Sequence[int] | None = None,
    penalty: Any = None,
    early_stopping: EarlyStopping | None = None,
    progress: bool = True,
    memory: float | None = None,
) -> list[History]:
    """Train many networks of one architecture in one run; each as `fit` would train it alone.

    Parameters
    ----------
    nets : sequence of mxnet.gluon.nn.HybridSequential, length K
        Initialised networks as `nnbook.layers.mlp` makes them, changed in place. They may differ in
        their initial weights. Networks that cannot be stacked are trained one after the other.
    train, validation : tuple of array
        ``(x, y)``, as for `fit`.
    loss : callable
        ``loss(outputs, targets)``, one value per example.
    optimizer : Optimizer
        A rule of `nnbook.optim`. Its learning rate may be a number, a schedule or an array of K
        rates; every other hyperparameter a number or an array of K.
    batch_size, epochs : int
        As for `fit`.
    seeds : sequence of int, length K, optional
        Decides the order of the examples for each member, as the seed of `fit` does. Members with
        equal seeds share their minibatches, which is faster, and what a paired comparison of arms
        needs. By default every member has its own: 0, 1, 2, …
    penalty : object or sequence of K objects, optional
        `nnbook.losses.l2_penalty(...)` or alike, for all members or one each.
    early_stopping : EarlyStopping, optional
        Its settings, applied to each member by itself: a member that stops keeps its best θ, and
        the run ends when all have stopped.
    progress : bool
        Show a progress bar where somebody is there to look.
    memory : float, optional
        Bytes that a stack may take; a larger population is split. By default half of what is free.

    Returns
    -------
    list of History, length K
        As from `fit`; ``seconds`` is the run's time divided by the number of members. A member that
        diverges does not stop the others: its history ends with the epoch before, says so in
        ``stopped``, and its network holds the parameters of then.

    Raises
    ------
    ValueError, TypeError
        As for `fit`; also arrays of another length than K.

    Examples
    --------
    >>> from nnbook import data, layers, losses, optim
    >>> from nnbook.population import fit_population
    >>> x, y = data.two_gaussians()
    >>> nets = [layers.mlp(2, [3], 1, seed=s) for s in range(4)]
    >>> histories = fit_population(nets, (x, y.reshape(-1, 1)), loss=losses.squared_error,
    ...                            optimizer=optim.sgd([0.1, 0.1, 0.3, 0.3]), batch_size=10,
    ...                            epochs=2, seeds=[0, 1, 0, 1])
    >>> len(histories), len(histories[0])
    (4, 2)
    """
    check_sizes(batch_size=batch_size, epochs=epochs)
    nets = list(nets)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer is {optimizer!r}; expected a rule of nnbook.optim")
    members = [Member(k, len(nets), optimizer, penalty, seeds) for k in range(len(nets))]
    # Members with equal seeds must be neighbours in the stack: they share a wide first layer.
    order = sorted(range(len(nets)), key=lambda k: (members[k].seed, k))
    settings: dict[str, Any] = {
        "loss": loss,
        "batch_size": batch_size,
        "epochs": epochs,
        "early_stopping": early_stopping,
        "progress": progress,
    }
    histories: dict[int, History] = {}
    for part in _parts(nets, order, batch_size, memory):
        chosen, chosen_nets = [members[k] for k in part], [nets[k] for k in part]
        try:
            if not _pays(chosen, batch_size):
                raise NotStackable("each by itself is faster")
            found = _Run(Stack(chosen_nets), chosen, train, validation, **settings).train()
        except NotStackable:
            found = [
                _alone(net, member, train, validation, **settings)
                for net, member in zip(chosen_nets, chosen, strict=True)
            ]
        histories.update(zip(part, found, strict=True))
    return [histories[k] for k in range(len(nets))]


def _pays(members: list[Member], batch_size: int) -> bool:
    """Tell whether a stack is faster than one model after the other.

    Members that share no minibatch share no product either: what a stack saves them is the cost of
    starting a step, and that only counts while the minibatch is small.
    """
    shared = len({member.seed for member in members}) < len(members)
    return len(members) > 1 and (shared or batch_size < _SMALL_BATCH)


@dataclass
class _Array:
    """One parameter of some neighbouring members, shape (members, size), and its update.

    Parameters of all members together are too large for the processor's cache, and an update passes
    over them several times; so it goes block by block.
    """

    first: int
    rule: Optimizer
    theta: onp.ndarray
    grad: onp.ndarray
    state: State
    scratch: onp.ndarray
    is_weight: bool


class _Run:
    """One stack in training."""

    def __init__(
        self,
        stack: Stack,
        members: list[Member],
        train: Any,
        validation: Any,
        *,
        loss: Any,
        batch_size: int,
        epochs: int,
        early_stopping: EarlyStopping | None,
        progress: bool,
    ):
        self.stack, self.members, self.epochs = stack, members, epochs
        self.batch_size = batch_size
        self.examples = Examples(stack.nets[0], train, loss, name="train")
        self.held_out = None
        if validation is not None:
            self.held_out = Examples(stack.nets[0], validation, loss, name="validation")
        seeds = [member.seed for member in members]
        self.seeds = list(dict.fromkeys(seeds))
        self.groups = [seeds.count(seed) for seed in self.seeds]
        self.loss = loss
        self._bound: dict[Any, BoundStack] = {}
        self.histories = [History() for _ in members]
        self.stoppers = [copy.deepcopy(early_stopping) for _ in members]
        self.progress = Progress() if progress else None
        self.best: list[Any] = [None] * len(members)
        self.seconds, self.step, self.epoch = 0.0, 0, 0
        self.arrays = [
            block
            for theta, grad, is_weight in zip(
                stack.per_member(stack.theta),
                stack.per_member(stack.grad),
                stack.is_weight(),
                strict=True,
            )
            for block in self._blocks(theta, grad, is_weight)
        ]
        self._bind(self.groups, 2, self.examples)  # what cannot be bound must show now

    def _blocks(self, theta: onp.ndarray, grad: onp.ndarray, is_weight: bool) -> Iterator[_Array]:
        rows = max(1, _BLOCK // theta.shape[1])
        for first in range(0, len(self.members), rows):
            part = slice(first, first + rows)
            rule = stacked_rule([member.rule for member in self.members[part]])
            scratch = onp.empty_like(theta[part])
            state = rule.init(theta[part])
            yield _Array(first, rule, theta[part], grad[part], state, scratch, is_weight)

    def train(self) -> list[History]:
        """Train all members; put their parameters back into their networks."""
        for k, stopper in enumerate(self.stoppers):
            if stopper is not None:
                stopper.on_fit_start(self._as_run(k))
        if self.progress is not None:
            self.progress.on_fit_start(self)  # type: ignore[arg-type]
        try:
            with threads(self.stack.theta.size * self.batch_size):
                while self.epoch < self.epochs and any(not h.stopped for h in self.histories):
                    self._one_epoch()
        finally:
            if self.progress is not None:
                self.progress.close()
        for k, best in enumerate(self.best):
            self.stack.push(k, best)
        return self.histories

    def _one_epoch(self) -> None:
        self.epoch += 1
        before = [self.stack.member_theta(k) for k in range(len(self.members))]
        mx.random.seed(zlib.crc32(f"{self.seeds} {self.epoch}".encode()))
        started = time.perf_counter()
        with onp.errstate(over="ignore", invalid="ignore"):
            losses = self._steps()
        self.seconds += time.perf_counter() - started
        measured = {} if self.held_out is None else self._evaluate(self.held_out)
        rows = []
        for k, history in enumerate(self.histories):
            row = {
                "epoch": self.epoch,
                "step": self.step,
                "seconds": self.seconds / len(self.members),
                "train_loss": float(losses[k]),
            }
            rows.append(row | {f"val_{name}": float(v[k]) for name, v in measured.items()})
            if not history.stopped:
                self._settle(k, rows[k], before[k])
        if self.progress is not None:
            self.progress.on_epoch_end(self, {"train_loss": float(onp.median(losses))})  # type: ignore[arg-type]

    def _settle(self, k: int, row: dict[str, Any], before: list[onp.ndarray]) -> None:
        """Record one member's epoch, or that it diverged."""
        history = self.histories[k]
        finite = all(onp.isfinite(part).all() for part in self.stack.member_theta(k))
        if not (finite and onp.isfinite(row["train_loss"])):
            history.stopped = f"the loss is not finite in epoch {self.epoch}"
            self.best[k] = before
            for array in self.arrays:  # zero computes faster than NaN
                place = k - array.first
                if 0 <= place < len(array.theta):
                    for values in (array.theta, *array.state.buffers):
                        values[place] = 0
            return
        history.append(row)
        stopper = self.stoppers[k]
        if stopper is not None:
            stopper.on_epoch_end(self._as_run(k), row)
            if history.stopped or self.epoch == self.epochs:
                stopper.on_fit_end(self._as_run(k))
                if self.best[k] is None:
                    self.best[k] = self.stack.member_theta(k)

    def _as_run(self, k: int) -> Any:
        """Show one member to a callback as if it were a run of its own."""

        def keep(theta: Any) -> None:
            self.best[k] = theta

        vector = SimpleNamespace(snapshot=lambda: self.stack.member_theta(k), restore=keep)
        return SimpleNamespace(
            epoch=self.epoch,
            vector=vector,
            stop=lambda reason: setattr(self.histories[k], "stopped", reason),
        )

    def _steps(self) -> onp.ndarray:
        """Take the steps of one epoch; return every member's mean loss."""
        n, size = len(self.examples), self.batch_size
        orders = [batches_of(n, size, seed, self.epoch) for seed in self.seeds]
        total = onp.zeros(len(self.members))
        for rows in zip(*orders, strict=True):
            bound = self._bind(self.groups, number_of(rows[0]), self.examples)
            total += bound.run(rows) * number_of(rows[0])
            self._penalise()
            for array in self.arrays:
                array.state = update_in_place(
                    array.rule, array.theta, array.grad, array.state, array.scratch
                )
            self.step += 1
        return total / n

    def _penalise(self) -> None:
        for array in self.arrays:
            if not array.is_weight:
                continue
            for row, member in enumerate(self.members[array.first : array.first + len(array.grad)]):
                if member.penalty is not None:
                    array.grad[row] += member.penalty.gradient(array.theta[row])

    def _evaluate(self, examples: Examples, batch_size: int = 1000) -> dict[str, onp.ndarray]:
        members = [len(self.members)]  # all see the same examples
        loss = onp.zeros(len(self.members))
        correct = onp.zeros(len(self.members))
        for start in range(0, len(examples), batch_size):
            rows = slice(start, min(start + batch_size, len(examples)))
            bound = self._bind(members, number_of(rows), examples)
            loss += bound.run([rows], train=False) * number_of(rows)
            if examples.classifies:
                labels = host_view(examples.y)[rows]
                guess = bound.outputs.reshape(len(self.members), len(labels), -1).argmax(axis=2)
                correct += (guess == labels).sum(axis=1)
        result = {"loss": loss / len(examples)}
        if examples.classifies:
            result["accuracy"] = correct / len(examples)
        return result

    def _bind(self, groups: list[int], size: int, examples: Examples) -> BoundStack:
        key = (tuple(groups), size, id(examples))
        if key not in self._bound:
            self._bound[key] = BoundStack(self.stack, groups, size, examples, self.loss)
        return self._bound[key]


def _alone(
    net: Any,
    member: Member,
    train: Any,
    validation: Any,
    *,
    early_stopping: EarlyStopping | None,
    **settings: Any,
) -> History:
    """Train one member by itself."""
    callbacks = [] if early_stopping is None else [copy.deepcopy(early_stopping)]
    try:
        return fit(
            net,
            train,
            validation,
            optimizer=member.rule,
            seed=member.seed,
            penalty=member.penalty,
            callbacks=callbacks,
            **settings,
        )
    except DivergedError as error:
        error.history.stopped = f"the loss is not finite in epoch {error.epoch}"
        return error.history


def _parts(
    nets: list[Any], order: list[int], batch_size: int, memory: float | None
) -> list[list[int]]:
    """Split the members into stacks that fit into memory, and θ into the cache."""
    if memory is None:
        known = "SC_AVPHYS_PAGES" in os.sysconf_names  # not on macOS
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") if known else 4e9
        memory = 0.5 * free
    if not nets:
        raise ValueError("nets is empty; expected at least one network")
    arrays = [p for p in nets[0].collect_params().values() if p._data is not None]
    parameters = sum(int(onp.prod(p.shape)) for p in arrays)
    units = sum(p.shape[0] for p in arrays)
    # θ, ∇L, two buffers, scratch, a copy of the best; activations and their gradients.
    each = 8 * (6 * parameters + 4 * max(batch_size, 1000) * units)
    itemsize = onp.dtype(arrays[0].dtype).itemsize if arrays else 4
    size = max(1, int(min(memory // max(1, each), _STACK // max(1, itemsize * parameters))))
    return [order[start : start + size] for start in range(0, len(order), size)]
