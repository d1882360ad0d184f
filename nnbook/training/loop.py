"""`fit`, `evaluate` and `example_losses`: the loop that every chapter trains with."""

from __future__ import annotations

import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as onp

from nnbook.data.orders import Order
from nnbook.gluon.examples import Examples, Rows, number_of
from nnbook.gluon.gradients import make_gradient
from nnbook.gluon.parameters import ParameterVector
from nnbook.gluon.runtime import as_device, device_of, mx, threads
from nnbook.optim import Optimizer
from nnbook.training.callbacks import Callback, Progress, overrides
from nnbook.training.checkpoint import Checkpoint
from nnbook.training.history import History
from nnbook.training.run import DivergedError, Run
from nnbook.training.steps import make_step

__all__ = ["evaluate", "example_losses", "fit"]

# MXNet's engine takes work without limit; waiting now and then keeps memory flat, and is when a
# loss that is no longer finite is noticed.
SYNCHRONISE_EVERY = 100


def fit(
    net: Any,
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None = None,
    *,
    loss: Callable[[Any, Any], Any],
    optimizer: Optimizer | Any,
    batch_size: int = 32,
    epochs: int = 10,
    seed: int = 0,
    device: Any = None,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
    penalty: Any = None,
    shuffle: bool = True,
    order: Order | None = None,
) -> History:
    """Train a network by minibatch gradient descent on the mean of a loss.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialised network, hybridised or not; it is changed in place.
    train : tuple of array
        ``(x, y)``: examples, shape (n, …), and labels (n,) or targets (n, k). NumPy or MXNet.
    validation : tuple of array, optional
        ``(x, y)`` to evaluate after each epoch.
    loss : callable
        ``loss(outputs, targets)``, one value per example: from `nnbook.losses`, or a Gluon loss.
    optimizer : Optimizer or mxnet.optimizer.Optimizer
        A rule of `nnbook.optim`, or one of MXNet's.
    batch_size : int
        B. At n or more it is full-batch gradient descent.
    epochs : int
        How many times every example is used.
    seed : int
        Decides the order of the examples and the dropout masks, and nothing else.
    device : str or mxnet.Context, optional
        Where to train; the network is moved there. By default where the network is.
    callbacks : iterable of Callback
        Called in order; checkpoints last.
    progress : bool
        Show a progress bar where somebody is there to look.
    penalty : object, optional
        `nnbook.losses.l2_penalty(...)` or alike: its gradient is added, for weights only.
    shuffle : bool
        Draw a new order of the examples each epoch.
    order : callable, optional
        ``order(n, epoch, rng) -> indices``: the order of an epoch, instead of `shuffle`; ready
        ones are `nnbook.data.class_balanced` and `nnbook.data.error_weighted`.

    Returns
    -------
    History
        A row an epoch: ``epoch``, ``step``, ``seconds`` (of training, without the evaluation),
        ``train_loss`` (the mean of the minibatch losses, each before its update), and with
        validation data ``val_loss`` and, for integer labels, ``val_accuracy``.

    Raises
    ------
    ValueError, TypeError
        Bad data, labels out of range, sizes below 1…, before any work is done.
    DivergedError
        The loss or θ is no longer finite; the network holds the last finite epoch's parameters.

    Notes
    -----
    On the CPU, a network of hybrid blocks and its loss are traced once into a graph; what their
    Python code reads then (the value of a coefficient, say) stays as it was. A network with a
    forward hook, or with a block that is not hybrid, is recorded at every step instead.

    Examples
    --------
    >>> from nnbook import data, layers, losses, optim, training
    >>> x, y = data.two_gaussians(rng=0)
    >>> net = layers.mlp(2, [], 1, seed=0)
    >>> history = training.fit(net, (x, y.reshape(-1, 1)), loss=losses.squared_error,
    ...                        optimizer=optim.sgd(0.1), batch_size=10, epochs=5)
    >>> len(history)
    5
    """
    check_sizes(batch_size=batch_size, epochs=epochs)
    if isinstance(seed, bool) or not isinstance(seed, (int, onp.integer)) or seed < 0:
        raise ValueError(f"seed is {seed!r}; expected a whole number of at least 0")
    if device is not None:
        device_of(net)  # says what is wrong with a network that cannot be moved
        net.collect_params().reset_ctx(as_device(device))
    examples = Examples(net, train, loss, name="train")
    held_out = None
    if validation is not None:
        held_out = Examples(net, validation, loss, name="validation")
    vector = ParameterVector(net)
    gradient = make_gradient(net, vector, loss, examples)
    stepper = make_step(vector, gradient, optimizer, penalty)
    settings = {
        "seed": seed,
        "batch_size": batch_size,
        "optimizer": _described(optimizer),
        "penalty": _without_addresses(penalty),
        "loss": getattr(loss, "__name__", type(loss).__name__),
        "shuffle": shuffle if order is None else _without_addresses(order),
    }
    run = Run(
        net,
        vector,
        stepper,
        _ordered(callbacks, progress),
        epochs,
        gradient.random,
        settings,
        fingerprint=lambda: examples.fingerprint(),
    )

    def batches() -> Iterator[Rows]:
        return batches_of(len(examples), batch_size, seed, run.epoch, shuffle, order)

    try:
        run.call("on_fit_start")
        with threads(len(vector) * min(batch_size, len(examples))):
            while run.epoch < run.epochs and not run.history.stopped:
                _one_epoch(run, batches, held_out)
        run.call("on_fit_end")
    finally:
        for callback in run.callbacks:
            if isinstance(callback, Progress):
                callback.close()
    return run.history


def evaluate(
    net: Any, data: tuple[Any, Any], loss: Callable[[Any, Any], Any], batch_size: int = 1000
) -> dict[str, float]:
    """Compute the mean loss and, for integer labels, the accuracy.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialised network; it is not changed.
    data : tuple of array
        ``(x, y)``.
    loss : callable
        ``loss(outputs, targets)``, one value per example.
    batch_size : int
        How many examples at once.

    Returns
    -------
    dict
        ``{"loss": …, "accuracy": …}``; accuracy as a fraction.

    Raises
    ------
    ValueError, TypeError
        Bad data, as for `fit`.
    """
    check_sizes(batch_size=batch_size)
    return Examples(net, data, loss, name="data").evaluate(batch_size)


def example_losses(
    net: Any, data: tuple[Any, Any], loss: Callable[[Any, Any], Any], batch_size: int = 1000
) -> onp.ndarray:
    """Compute the loss of every example.

    Parameters
    ----------
    net, data, loss, batch_size
        As for `evaluate`.

    Returns
    -------
    numpy.ndarray, shape (n,)
        In the network's dtype; `evaluate` gives their mean.

    Raises
    ------
    ValueError, TypeError
        Bad data, as for `fit`.
    """
    check_sizes(batch_size=batch_size)
    return Examples(net, data, loss, name="data").losses(batch_size)


def batches_of(
    n: int,
    batch_size: int,
    seed: int,
    epoch: int,
    shuffle: bool = True,
    order: Order | None = None,
) -> Iterator[Rows]:
    """Yield the rows of each minibatch of an epoch: they depend on the seed and the epoch alone.

    Parameters
    ----------
    n, batch_size, seed, epoch : int
        The number of examples, B, the seed of `fit`, and the epoch, counted from 1.
    shuffle, order
        As for `fit`.

    Yields
    ------
    numpy.ndarray of int, or slice
        The last may be fewer.
    """
    indices = _indices(n, batch_size, seed, epoch, shuffle, order)
    n = n if indices is None else len(indices)
    for start in range(0, n, batch_size):
        rows = slice(start, min(start + batch_size, n))
        yield rows if indices is None else indices[rows]


def _indices(
    n: int, batch_size: int, seed: int, epoch: int, shuffle: bool, order: Order | None
) -> onp.ndarray | None:
    """Return the order of an epoch, or None for the order of the data."""
    if order is None and (not shuffle or batch_size >= n):
        return None  # the mean over the full batch does not depend on the order
    rng = onp.random.default_rng([seed, epoch])
    return rng.permutation(n) if order is None else _checked_order(order(n, epoch, rng), n)


def _one_epoch(run: Run, batches: Callable[[], Iterator[Rows]], held_out: Examples | None) -> None:
    run.epoch += 1
    run.call("on_epoch_start")
    if run.random:
        # Dropout masks come from MXNet's generator, which cannot be saved: reseed it every epoch.
        mx.random.seed(zlib.crc32(f"{run.seed} {run.epoch}".encode()))
    before = run.vector.snapshot()
    try:
        train_loss = _steps(run, batches)
    except DivergedError:
        run.vector.restore(before)
        raise
    row: dict[str, Any] = {"epoch": run.epoch, "step": run.step, "seconds": run.seconds}
    row["train_loss"] = train_loss
    if held_out is not None:
        row.update({f"val_{k}": v for k, v in held_out.evaluate().items()})
    run.call("on_validation", row)
    run.history.append(row)
    run.call("on_epoch_end", row)


def _steps(run: Run, batches: Callable[[], Iterator[Rows]]) -> float:
    """Take the steps of one epoch; return the mean loss over its examples."""
    watched = [c for c in run.callbacks if overrides(c, "on_step_end")]
    pending: list[tuple[Any, int, Any]] = []
    total, count = 0.0, 0
    started = time.perf_counter()
    for rows in batches():
        rate = run.stepper.learning_rate()
        try:
            # NaN is noticed in the loss. An average of g² that overflows is not: steps become 0.
            with onp.errstate(over="raise", invalid="ignore"):
                pending.append((run.stepper(rows), number_of(rows), rate))
        except FloatingPointError as error:
            raise DivergedError(run.epoch, run.step + 1, _scalar(rate), run.history) from error
        run.step += 1
        if len(pending) >= SYNCHRONISE_EVERY or watched:
            total, count = _settle(run, pending, total, count)
        if watched:
            run.seconds += time.perf_counter() - started
            for callback in watched:
                callback.on_step_end(run)
            started = time.perf_counter()
        if run.history.stopped:
            break
    total, count = _settle(run, pending, total, count)
    run.seconds += time.perf_counter() - started
    return total / count


def _settle(run: Run, pending: list, total: float, count: int) -> tuple[float, int]:
    """Wait for the pending steps, check that they are finite, and add up their losses."""
    first = run.step - len(pending) + 1
    for index, (loss, size, rate) in enumerate(pending):
        run.loss = float(loss)
        if not onp.isfinite(run.loss):
            raise DivergedError(run.epoch, first + index, _scalar(rate), run.history)
        total += run.loss * size
        count += size
    if pending:
        # float32 relu turns NaN into 0, so a finite loss does not prove a finite θ.
        if not onp.isfinite(float(run.vector.theta.sum())):
            raise DivergedError(run.epoch, run.step, _scalar(pending[-1][2]), run.history)
        pending.clear()
    return total, count


def _ordered(callbacks: Iterable[Callback], progress: bool) -> list[Callback]:
    """Put checkpoints after the callbacks whose memory they save, and the bar after those."""
    if isinstance(callbacks, Callback):
        raise TypeError(f"callbacks is one {type(callbacks).__name__}; expected a list of them")
    given = list(callbacks)
    for callback in given:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks has {callback!r}; expected nnbook.training.Callback")
    if progress and not any(isinstance(c, Progress) for c in given):
        given.append(Progress())
    return sorted(given, key=lambda c: isinstance(c, Checkpoint) + 2 * isinstance(c, Progress))


def _without_addresses(thing: Any) -> str:
    """Describe a thing alike in every process: a function's repr has its place in memory."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))


def _described(optimizer: Any) -> str:
    if isinstance(optimizer, Optimizer):
        return _without_addresses(optimizer)
    numbers = {k: v for k, v in vars(optimizer).items() if isinstance(v, (int, float, bool))}
    numbers = {k: v for k, v in numbers.items() if k not in ("num_update", "begin_num_update")}
    return f"{type(optimizer).__name__}({numbers})"


def _scalar(rate: Any) -> float:
    return float(rate.max()) if hasattr(rate, "shape") else float(rate)


def check_sizes(**sizes: int) -> None:
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, (int, onp.integer)) or value < 1:
            raise ValueError(f"{name} is {value!r}; expected a whole number of at least 1")


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
