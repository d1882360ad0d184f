"""Train many models at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as onp

from nnbook._arguments import check_whole
from nnbook.data.inputs import is_stream
from nnbook.gluon.deferred import complete
from nnbook.gluon.examples import Examples, in_numpy_mode
from nnbook.gluon.feeding import brought
from nnbook.gluon.loss_names import named
from nnbook.gluon.parameters import ParameterVector
from nnbook.gluon.randomness import preserved_generator
from nnbook.gluon.runtime import as_device
from nnbook.gluon.sources import start_network
from nnbook.gluon.stack import NotStackable, Stack
from nnbook.gluon.stacked import MemberVector, StackSource
from nnbook.population.members import Member, members_of
from nnbook.population.workers import as_workers, share_out
from nnbook.training import Callback, EarlyStopping, History
from nnbook.training.loop import train as train_runs
from nnbook.training.run import Run

__all__ = ["fit_population"]

# Bytes of θ of a stack: a larger one leaves the cache, and is slower than two of half its size.
_STACK = 3_000_000
# From this batch size on, members with orders of their own are trained faster one by one.
_SMALL_BATCH = 50


@in_numpy_mode
def fit_population(
    nets: Sequence[Any],
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None = None,
    *,
    loss: Callable[[Any, Any], Any] | str,
    optimizer: Any,
    batch_size: int = 32,
    epochs: int = 10,
    seeds: Sequence[int] | None = None,
    penalty: Any = None,
    early_stopping: EarlyStopping | None = None,
    callbacks: Callable[[int], Sequence[Callback]] | Sequence[Sequence[Callback]] | None = None,
    device: Any = None,
    shuffle: bool = True,
    order: Any = None,
    progress: bool = True,
    memory: float | None = None,
    workers: Any = None,
    class_weight: Any = None,
    sample_weight: Any = None,
) -> list[History]:
    """Train many networks of one architecture in one run; each as `fit` would train it alone.

    Parameters
    ----------
    nets : sequence of mxnet.gluon.Block, length K
        Initialised networks, changed in place. Those that `nnbook.layers.mlp` makes are put side by
        side into stacks; others are trained one by one. They may differ in their initial weights.
    train, validation : tuple of array
        ``(x, y)``, as for `fit`.
    loss : callable or str
        ``loss(outputs, targets)``, one value per example, or the name of one of `nnbook.losses`.
    optimizer : rule, name, or sequence of K of them
        Of `nnbook.optim`, or composed; names as for `fit`. The numbers of one rule may be arrays of
        K, one for each member; a sequence gives every member a rule, and a schedule, of its own.
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
    callbacks : callable or sequence of K sequences, optional
        ``callbacks(k)``, or ``callbacks[k]``: the callbacks of member k.
    device : str or mxnet.Context, optional
        Where to train, as for `fit`; stacks need a CPU.
    shuffle : bool
        As for `fit`.
    order : callable or sequence of K callables, optional
        As for `fit`, for all members or one each.
    progress : bool
        Show a progress bar where somebody is there to look.
    memory : float, optional
        Bytes that a stack may take; a larger population is split. By default half of what is free.
    workers : int, Workers or client of a Dask cluster, optional
        Who shares the members out among them. By default one for each core if the number of
        threads has not been chosen by you (``OMP_NUM_THREADS``): threads, or where batches are
        small, the run is long and no code of yours is in it, processes; `Workers` decides that
        for them. A cluster gets the stacks as tasks. A member's result does not depend on it.
    class_weight, sample_weight : optional
        As for `fit`, for all members.

    Returns
    -------
    list of History, length K
        As from `fit`; ``seconds`` is the run's time divided by the number of members of its stack.
        A member that diverges does not stop the others: its history ends with the epoch before,
        has the status "diverged", and its network holds the parameters of then. ``path`` says
        whether a member was trained in a stack, and ``reason`` why not, or why not by processes.

    Raises
    ------
    ValueError, TypeError
        As for `fit`; also arrays of another length than K.
    WorkerError
        A process was killed while it trained; the message names its members.

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
    batch_size, epochs = check_whole(batch_size, "batch_size"), check_whole(epochs, "epochs")
    nets = list(nets)
    if not nets:
        raise ValueError("nets is empty; expected at least one network")
    if is_stream(train):
        raise TypeError(
            f"train is a {type(train).__name__}; expected a pair (x, y) of arrays. A stream of "
            "minibatches trains one network, by nnbook.training.fit"
        )
    train, validation, loss = brought(
        train,
        validation,
        named(loss),
        epochs=epochs,
        class_weight=class_weight,
        sample_weight=sample_weight,
    )
    for net in nets:
        complete(net, train[0])
    members = members_of(
        nets,
        loss=loss,
        optimizer=optimizer,
        batch_size=batch_size,
        epochs=epochs,
        seeds=seeds,
        penalty=penalty,
        early_stopping=early_stopping,
        callbacks=callbacks,
        shuffle=shuffle,
        order=order,
    )
    device = None if device is None else as_device(device)
    workers = as_workers(workers)
    apart = bool(_why_apart(members, device))
    parts = [[m] for m in members] if apart else _parts(members, batch_size, memory)
    with preserved_generator():
        found = share_out(_train_part, parts, (train, validation), device, workers, progress)
    histories: dict[int, History] = {}
    for part, mine in zip(parts, found, strict=True):
        histories |= {m.index: history for m, history in zip(part, mine, strict=True)}
    return [histories[k] for k in range(len(nets))]


def _train_part(members: list[Member], train: Any, validation: Any, device: Any) -> list[History]:
    """Train some members in a stack if that can be done and pays, else one after the other."""
    reason = _why_apart(members, device)
    if not reason:
        try:
            return _train_stack(members, train, validation)
        except NotStackable as error:
            reason = str(error)
    found = []
    for member in members:
        run, source = start_network(
            member.net, train, validation, member.plan, member.callbacks, device
        )
        run.history.reason = f"alone: {reason}"
        found += train_runs([run], source)
    return found


def _why_apart(members: list[Member], device: Any) -> str:
    """Say why some members are trained one by one; "" where a stack is faster.

    Members that share no minibatch share no product either: what a stack saves them is the cost of
    starting a step, and that only counts while the minibatch is small.
    """
    if device is not None and device.device_type != "cpu":
        return f"a stack needs the CPU, and this is {device}"
    try:
        Stack([members[0].net])
    except NotStackable as error:
        return str(error)
    shared = len({(m.plan.seed, m.plan.order) for m in members}) < len(members)
    if not shared and members[0].plan.batch_size >= _SMALL_BATCH:
        return f"a member with an order of its own is faster so at {_SMALL_BATCH} examples or more"
    return "it is the only one of its stack" if len(members) == 1 else ""


def _train_stack(members: list[Member], train: Any, validation: Any) -> list[History]:
    nets = [member.net for member in members]
    stack, loss = Stack(nets), members[0].plan.loss
    examples = Examples(nets[0], train, loss, name="train")
    held_out = None
    if validation is not None:
        held_out = Examples(nets[0], validation, loss, name="validation")
    like = ParameterVector(nets[0])
    runs = [
        Run(
            m.net,
            MemberVector(stack, k, like),
            m.plan,
            m.callbacks,
            examples,
            held_out,
            count=len(examples),
        )
        for k, m in enumerate(members)
    ]
    source = StackSource(stack, runs, examples, loss)
    for run in runs:
        run.history.path = source.path
    return train_runs(runs, source)


def _parts(members: list[Member], batch_size: int, memory: float | None) -> list[list[Member]]:
    """Split the members into stacks that fit into memory, and θ into the cache.

    How many workers there are plays no part: the last bits of a member's numbers depend on who is
    beside it in its stack.
    """
    if memory is None:
        known = "SC_AVPHYS_PAGES" in os.sysconf_names  # not on macOS
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") if known else 4e9
        memory = 0.5 * free
    arrays = [p for p in members[0].net.collect_params().values() if p._data is not None]
    parameters = sum(int(onp.prod(p.shape)) for p in arrays)
    units = sum(p.shape[0] for p in arrays)
    # θ, ∇L, two buffers, scratch, a copy of the best; activations and their gradients.
    each = 8 * (6 * parameters + 4 * max(batch_size, 1000) * units)
    itemsize = onp.dtype(arrays[0].dtype).itemsize if arrays else 4
    most = max(1, int(min(memory // max(1, each), _STACK // max(1, itemsize * parameters))))
    # Neighbours in a stack share a wide first layer if they share their minibatches.
    keys: dict[Any, int] = {}
    for member in members:
        keys.setdefault((member.plan.seed, member.plan.order), len(keys))
    ordered = sorted(members, key=lambda m: (m.plan.seed, keys[m.plan.seed, m.plan.order], m.index))
    # Many small stacks would keep more cores busy, but the numbers printed in the book were made by
    # stacks of this size, and their last bits hang on it. A smaller `memory` gives smaller ones.
    return [ordered[start : start + most] for start in range(0, len(ordered), most)]
