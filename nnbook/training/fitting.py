"""`fit`: train a network, or any objective, by minibatch gradient descent."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as onp

from nnbook._arguments import check_flag, check_list, check_seed, check_whole
from nnbook._types import Loss, Network, Rule
from nnbook.data.inputs import is_stream
from nnbook.objective import Objective
from nnbook.optim.names import clipped
from nnbook.optim.names import named as named_rule
from nnbook.training.callbacks import Callback, Progress
from nnbook.training.history import History
from nnbook.training.loop import train as train_runs
from nnbook.training.metrics import Metrics, metrics_of
from nnbook.training.run import DivergedError, Plan, Run, permuted
from nnbook.training.sources import ObjectiveSource, ObjectiveVector

__all__ = ["GrowthWarning", "fit", "given_callbacks"]

Order = Callable[[int, int, Any], Any]
Metric = str | Callable[[Any, Any], Any]

_GROWTH = 1e6  # times its first value, or times 1: no loss that is learnt from gets there


class GrowthWarning(UserWarning):
    """The loss has grown beyond all use, and is a finite number still."""


def fit(
    net: Network | Objective,
    train: Any = None,
    validation: Any = None,
    *,
    loss: Loss | None = None,
    optimizer: Rule | str | tuple[str, Any],
    batch_size: int = 32,
    epochs: int = 10,
    seed: int = 0,
    device: Any = None,
    callbacks: Iterable[Callback] | None = (),
    progress: bool = True,
    penalty: Any = None,
    shuffle: bool = True,
    order: Order | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    sample_weight: Any = None,
    metrics: Metric | Sequence[Metric] | Mapping[str, Metric] | None = (),
    augment: Callable[[Any, Any], Any] | None = None,
    clip_norm: float | None = None,
    clip_value: float | None = None,
) -> History:
    """Train a network by minibatch gradient descent on the mean of a loss.

    Parameters
    ----------
    net : mxnet.gluon.Block or Objective
        An initialised network, hybridised or not, or an `nnbook.objective.Objective`, which has its
        data and its loss inside; it is changed in place.
    train : tuple of array, or iterable of minibatches
        ``(x, y)``: examples, shape (n, …), and labels (n,) or targets (n, k); arrays of NumPy or
        MXNet, tables, lists, tensors. Or minibatches ``(x, y)``, or ``(x, y, weights)``: a Gluon or
        PyTorch DataLoader, a list, a generator for one epoch, a function that makes a generator for
        each. An epoch is one pass; `batch_size`, `shuffle` and `order` have no say in it.
    validation : tuple of array, or iterable of minibatches, optional
        ``(x, y)``, or ``(x, y, weights)``, to evaluate after each epoch. With an objective: another
        objective, whose loss at the same θ is measured, or a function of θ that returns a dict of
        numbers.
    loss : callable or str
        ``loss(outputs, targets)``, one value per example: from `nnbook.losses`, or its name there,
        or one of Gluon's that works with arrays of NumPy's kind (`SoftmaxCrossEntropyLoss`,
        `SigmoidBinaryCrossEntropyLoss`, `L1Loss`, `L2Loss`).
    optimizer : Optimizer, Rule, str, tuple or mxnet.optimizer.Optimizer
        A rule of `nnbook.optim` or one composed of them, the name of one (``"adam"``, at the rate
        of `nnbook.optim.DEFAULT_RATES`; ``("adam", 0.01)`` at another), or, for a network, one of
        MXNet's.
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
    class_weight : "balanced" or dict, optional
        ``{label: weight}``, 1 where a class is missing; "balanced" is n / (C n_c), as in
        scikit-learn. See `nnbook.data.example_weights`.
    sample_weight : array, shape (n,), optional
        One weight for each example; both kinds multiply.
    metrics : str, callable, sequence or dict
        What else to measure on the validation data after each epoch, in the column
        ``val_<name>``: "accuracy", "balanced_accuracy", "f1", "auc", "rmse", "mae", "r2", or any
        function ``metric(y, outputs)`` of NumPy arrays that gives a number, under its own name or
        that of a dict. It gets all targets, shape (n, …), and what the network gives for them,
        shape (n, outputs): logits, if its loss takes logits.
    augment : callable, optional
        ``augment(x, rng) -> x``: the inputs of each minibatch of training as they are trained on, a
        NumPy array in the network's dtype. The generator is made of seed, epoch and step, so that a
        run is reproducible and can be resumed.
    clip_norm, clip_value : float, optional
        The largest length of the gradient, and the largest magnitude of its entries:
        `nnbook.optim.clip` and `nnbook.optim.clip_values` before the rule.

    Returns
    -------
    History
        A row an epoch: ``epoch``, ``step``, ``seconds`` (of training, without the evaluation),
        ``train_loss`` (the mean of the minibatch losses, each before its update), and with
        validation data ``val_loss`` and, for class labels, ``val_accuracy``: where targets are
        whole numbers and there is one output a class, or a single one, and the targets are the two
        classes of its loss (0 and 1 for `nnbook.losses.sigmoid_cross_entropy`). ``status`` says how
        it ended, ``path`` and ``reason`` which way was taken and why not a faster one.

    Raises
    ------
    ValueError, TypeError
        Bad data, targets that are not what the loss takes, sizes below 1…, before any work is
        done; the network is where it was.
    DivergedError
        The loss or θ is no longer finite; the network holds the last finite epoch's parameters.

    Warns
    -----
    GrowthWarning
        The loss has ended at more than a million times its first value.

    Notes
    -----
    With weights w, what is minimised is the mean of w_i l_i over a minibatch of B, (1/B) Σ w_i l_i,
    and ``train_loss`` is the mean of that. Weights are taken as they are: where their mean is not
    1, steps are that much longer ("balanced" has the mean 1). Validation is unweighted unless it
    has weights of its own. Then loss and accuracy are weighted means, Σ w_i l_i / Σ w_i: as if
    example i stood there w_i times.

    On the CPU, a network of hybrid blocks and its loss are traced once into a graph; what their
    Python code reads then (the value of a coefficient, say) stays as it was. A network with a
    forward hook, with a block that is not hybrid, or whose graph computes something else than its
    code, is recorded at every step instead, which for a small network takes up to ten times as
    long; so is a loss whose code does not work on symbols. Those have operators, `abs`, and methods
    such as `sum`; no indexing by arrays and no `.shape`. A loss that needs more is a class derived
    from `mxnet.gluon.loss.Loss`, with ``hybrid_forward(self, F, outputs, targets)`` and
    ``F.np.where``, ``F.np.exp``, ``F.npx.pick`` and so on, which are of arrays or symbols as it
    wants. The history says ``path == "recorded"`` and the reason.

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
    from nnbook.gluon.loss_names import named as named_loss

    batch_size, epochs = check_whole(batch_size, "batch_size"), check_whole(epochs, "epochs")
    seed, shuffle = check_seed(seed), check_flag(shuffle, "shuffle")
    order, called = _order(order, shuffle, train), given_callbacks(callbacks, progress)
    loss, rule = named_loss(loss), clipped(named_rule(optimizer), clip_norm, clip_value)
    measured = metrics_of(metrics)
    called += [_Growth(), *([Metrics(measured)] if measured else [])]
    beside = {
        "class_weight": class_weight,
        "sample_weight": sample_weight,
        "augment": augment,
    }
    if isinstance(net, Objective):
        given = [name for name, value in beside.items() if value is not None]
        _refuse_beside_objective(train, loss, device, [*given, *(["metrics"] if measured else [])])
        plan = Plan(epochs, batch_size, seed, order, rule, penalty)
        return _fit_objective(net, validation, plan, called)
    if train is None or loss is None:
        raise TypeError("expected fit(net, (x, y), loss=…, optimizer=…), or an objective")
    from nnbook.gluon.feeding import brought  # they need MXNet
    from nnbook.gluon.sources import train_network

    train, validation, loss = brought(train, validation, loss, epochs=epochs, **beside)
    plan = Plan(epochs, batch_size, seed, order, rule, penalty, loss)
    return checked(train_network(net, train, validation, plan, called, device))


def streamed(n: int, epoch: int, rng: onp.random.Generator) -> onp.ndarray:
    """Stand for the order of a stream, which nobody here decides."""
    raise RuntimeError("a stream has an order of its own")


def _order(order: Any, shuffle: bool, train: Any) -> Order | None:
    """Return the order of an epoch."""
    if order is None:
        return streamed if is_stream(train) else permuted if shuffle else None
    if isinstance(order, type):
        raise TypeError(
            f"order is the class {order.__name__} itself; expected an order made of it, such as "
            f"{order.__name__}(labels)"
        )
    if not callable(order):
        raise TypeError(f"order is {order!r}; expected a function order(n, epoch, rng) -> indices")
    if is_stream(train):
        raise ValueError(
            "order is given, and train is a stream of minibatches, which has its own; expected "
            "train=(x, y) beside order"
        )
    return order


def _refuse_beside_objective(train: Any, loss: Any, device: Any, names: list[str]) -> None:
    if train is not None or loss is not None or device is not None or names:
        raise TypeError(
            "an objective has its data, its loss and its device inside; expected none of train, "
            f"loss and device beside it{''.join(f', and no {name}' for name in names)}"
        )


def _fit_objective(
    objective: Objective, validation: Any, plan: Plan, callbacks: list[Callback]
) -> History:
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


class _Growth(Callback):
    """Say so where a run ends with a loss beyond all use."""

    order = 150  # after a checkpoint has been resumed

    def on_fit_start(self, run: Run) -> None:
        """Listen for the first loss."""
        self._first = float(run.history[0]["train_loss"]) if len(run.history) else None
        run.listen(self._hear)

    def _hear(self, losses: onp.ndarray) -> None:
        self._first = float(losses[0]) if self._first is None else self._first

    def on_fit_end(self, run: Run) -> None:
        """Compare the last epoch's loss with it."""
        last = float(run.history[-1]["train_loss"]) if len(run.history) else 0.0
        first = 0.0 if self._first is None else abs(self._first)
        if last > _GROWTH * max(1.0, first):
            warnings.warn(
                f"the training loss has grown from {self._first:.3g} to {last:.3g}: training has "
                "diverged, though every number is finite. Try a smaller rate, or check the inputs' "
                "scale and the initial weights",
                GrowthWarning,
                stacklevel=6,
            )
