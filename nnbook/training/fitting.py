"""`fit`: train a network, or any objective, by minibatch gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from nnbook._arguments import check_flag, check_list, check_seed, check_whole
from nnbook.objective import Objective
from nnbook.training.callbacks import Callback, Progress
from nnbook.training.history import History
from nnbook.training.loop import train as train_runs
from nnbook.training.run import DivergedError, Plan, Run, permuted
from nnbook.training.sources import ObjectiveSource, ObjectiveVector

__all__ = ["fit", "given_callbacks"]

Order = Callable[[int, int, Any], Any]


def fit(
    net: Any,
    train: tuple[Any, Any] | None = None,
    validation: Any = None,
    *,
    loss: Callable[[Any, Any], Any] | None = None,
    optimizer: Any,
    batch_size: int = 32,
    epochs: int = 10,
    seed: int = 0,
    device: Any = None,
    callbacks: Iterable[Callback] | None = (),
    progress: bool = True,
    penalty: Any = None,
    shuffle: bool = True,
    order: Order | None = None,
) -> History:
    """Train a network by minibatch gradient descent on the mean of a loss.

    Parameters
    ----------
    net : mxnet.gluon.Block or Objective
        An initialised network, hybridised or not, or an `nnbook.objective.Objective`, which has its
        data and its loss inside; it is changed in place.
    train : tuple of array
        ``(x, y)``: examples, shape (n, …), and labels (n,) or targets (n, k). NumPy or MXNet.
    validation : tuple of array, optional
        ``(x, y)`` to evaluate after each epoch. With an objective: another objective, whose loss at
        the same θ is measured, or a function of θ that returns a dict of numbers.
    loss : callable
        ``loss(outputs, targets)``, one value per example: from `nnbook.losses`, or a Gluon loss.
    optimizer : Optimizer, Rule or mxnet.optimizer.Optimizer
        A rule of `nnbook.optim` or one composed of them, or, for a network, one of MXNet's.
    batch_size : int
        B. At n or more it is full-batch gradient descent.
    epochs : int
        How many times every example is used.
    seed : int
        Decides the order of the examples and the dropout masks, and nothing else.
    device : str or mxnet.Context, optional
        Where to train; the network is moved there. By default where the network is.
    callbacks : iterable of Callback
        Called in the order given, but for those that say otherwise by their ``order``.
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
        validation data ``val_loss`` and, for class labels, ``val_accuracy``: where targets are
        whole numbers, and one output a class, or a single one (of a loss that says where it
        decides) for two. ``status`` says how it ended, ``path`` and ``reason`` which way was taken
        and why not a faster one.

    Raises
    ------
    ValueError, TypeError
        Bad data, targets that are not what the loss takes, sizes below 1…, before any work is
        done; the network is where it was.
    DivergedError
        The loss or θ is no longer finite; the network holds the last finite epoch's parameters.

    Notes
    -----
    On the CPU, a network of hybrid blocks and its loss are traced once into a graph; what their
    Python code reads then (the value of a coefficient, say) stays as it was. A network with a
    forward hook, with a block that is not hybrid, or whose graph computes something else than its
    code, is recorded at every step instead.

    Whatever is random in training is drawn from the seed; MXNet's generator goes on afterwards as
    if `fit` had drawn one number from it.

    Examples
    --------
    >>> from nnbook import data, layers, losses, optim, training
    >>> x, y = data.two_gaussians(rng=0)
    >>> net = layers.mlp(2, [], 1, seed=0)
    >>> history = training.fit(net, (x, y.reshape(-1, 1)), loss=losses.squared_error,
    ...                        optimizer=optim.sgd(0.1), batch_size=10, epochs=5)
    >>> len(history), history.status
    (5, 'finished')
    """
    batch_size, epochs = check_whole(batch_size, "batch_size"), check_whole(epochs, "epochs")
    seed, shuffle = check_seed(seed), check_flag(shuffle, "shuffle")
    order = order if order is not None else (permuted if shuffle else None)
    plan = Plan(epochs, batch_size, seed, order, optimizer, penalty, loss)
    called = given_callbacks(callbacks, progress)
    if isinstance(net, Objective):
        return _fit_objective(net, train, validation, plan, called, device)
    if train is None or loss is None:
        raise TypeError("expected fit(net, (x, y), loss=…, optimizer=…), or an objective")
    from nnbook.gluon.sources import train_network  # it needs MXNet

    return checked(train_network(net, train, validation, plan, called, device))


def _fit_objective(
    objective: Objective,
    train: Any,
    validation: Any,
    plan: Plan,
    callbacks: list[Callback],
    device: Any,
) -> History:
    if train is not None or plan.loss is not None or device is not None:
        raise TypeError(
            "an objective has its data, its loss and its device inside; expected none of train, "
            "loss and device beside it"
        )
    vector = ObjectiveVector(objective)
    run = Run(objective, vector, plan, callbacks, count=objective.examples)
    source = ObjectiveSource(objective, vector, validation)
    source.start(run, plan.penalty)
    run.history.path, run.history.reason = source.path, source.reason
    train_runs([run], source)
    return checked(run)


def checked(run: Run) -> History:
    """Return a run's history, or raise DivergedError."""
    if run.history.status == "diverged":
        raise DivergedError(run.epoch, run.step, run.rate_of(run.step), run.history)
    return run.history


def given_callbacks(callbacks: Iterable[Callback] | None, progress: bool) -> list[Callback]:
    """Return the callbacks as a list, with a bar if there is none."""
    given: list[Callback] = check_list(callbacks, "callbacks", Callback)
    if len({id(callback) for callback in given}) < len(given):
        raise ValueError(f"callbacks has one twice in {given}; expected each once")
    if progress and not any(isinstance(c, Progress) for c in given):
        given.append(Progress())
    return given
