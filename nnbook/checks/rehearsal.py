"""A short run on a copy, with the very options that training will be given."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as onp

from nnbook.checks.calls import Pair, batch_for, either_order, judged_here
from nnbook.checks.outcomes import CheckResult
from nnbook.checks.overfitting import repeated
from nnbook.findings import Finding
from nnbook.gluon.parameters import ParameterVector
from nnbook.gluon.runtime import mx, np
from nnbook.gluon.twins import copy_of, preserved_luck
from nnbook.training import Callback, Checkpoint, DivergedError, Progress, evaluate, fit

__all__ = ["rehearse"]

CHECK = "rehearse"
_ALIKE = 1e-2  # units that differ by less, relative to the largest weight, started alike
_CHUNK = 10  # steps on the one minibatch to an epoch of `fit`


class _Watch(Callback):
    """Look whether something puts θ back to where it was at first."""

    def __init__(self) -> None:
        self.put_back = 0

    def on_fit_start(self, run: Any) -> None:
        self._initial = run.vector.theta.asnumpy().copy()

    def on_epoch_start(self, run: Any) -> None:
        if run.epoch > 1 and (run.vector.theta.asnumpy() == self._initial).all():
            self.put_back += 1


@either_order
def rehearse(
    net: Any,
    data: Pair,
    validation: Pair | None = None,
    *,
    loss: Any,
    optimizer: Any,
    examples: int = 600,
    steps: int = 100,
    **fit_options: Any,
) -> CheckResult:
    """Train a copy for a short while as `fit` will be told to, and look for what does not happen.

    Twice: on one minibatch, whose loss must fall well; and on some of the data for a few epochs,
    where every parameter must move, units must not stay copies of one another, running statistics
    must run, all examples must be visited, and what is learnt must not be thrown away.

    Parameters
    ----------
    net, data, validation, loss
        As for `nnbook.training.fit`; nothing is changed.
    optimizer : Optimizer or mxnet.optimizer.Optimizer
        The rule.
    examples : int
        How many of the data.
    steps : int
        How many on the one minibatch.
    **fit_options
        Others of `nnbook.training.fit`. Callbacks are copied and take part; those that write
        checkpoints or show progress do not, nor do sample weights.

    Returns
    -------
    CheckResult
        Measured: ``minibatch_first`` and ``minibatch_last`` (the loss of the minibatch at the start
        and after the steps), ``train_first`` and ``train_last`` (of the first and the last epoch),
        ``visited`` (the part of the data that an order visits).

    Raises
    ------
    ValueError, TypeError
        Bad data or options, as for `nnbook.training.fit`.

    Examples
    --------
    >>> from nnbook import checks, data, layers, losses, optim
    >>> x, y = data.moons(200, rng=0)
    >>> net = layers.mlp(2, [20], 2, "tanh", seed=0)
    >>> rate_too_low = optim.momentum(1e-6)
    >>> loss = losses.softmax_cross_entropy
    >>> checks.rehearse(net, (x, y), loss=loss, optimizer=optim.momentum(0.1)).passed
    True
    >>> checks.rehearse(net, (x, y), loss=loss, optimizer=rate_too_low).passed
    False
    """
    options = {"batch_size": 32, "epochs": 10, "seed": 0, **fit_options, "progress": False}
    options |= {"loss": loss, "optimizer": optimizer}
    options.pop("sample_weight", None)  # of all examples, and it is some that are trained on
    if validation is None:
        options.pop("metrics", None)
    with preserved_luck():
        findings, measured = _one_minibatch(net, data, steps, options)
        visits, visited = _visits(len(data[0]), options)
        more, numbers = _few_epochs(net, data, validation, examples, options)
    measured |= numbers | {"visited": visited}
    return CheckResult(CHECK, (*findings, *visits, *more), measured)


# ---------------------------------------------------------------------------- one minibatch


def _one_minibatch(
    net: Any, data: Pair, steps: int, options: dict[str, Any]
) -> tuple[list[Finding], dict[str, float]]:
    """Train on one minibatch alone: its loss must fall."""
    twin, loss = copy_of(net, dropout=False), options["loss"]
    batch = batch_for(data, options["batch_size"], options["seed"])
    first = evaluate(twin, batch, loss)["loss"]
    own = {k: v for k, v in options.items() if k in ("optimizer", "loss", "seed", "progress")}
    steps = min(steps, _planned(len(data[0]), options))
    own |= {"batch_size": len(batch[0]), "epochs": -(-steps // _CHUNK)}
    own["order"] = repeated(min(_CHUNK, steps))
    try:
        with judged_here():
            history = fit(twin, batch, **own)
    except DivergedError as error:
        message = f"the loss of one minibatch grows beyond all bounds in {error.step} steps"
        advice = "lower the learning rate by factors of 10; if that does not help, check gradients"
        return [Finding(CHECK, "error", message, advice)], {"minibatch_first": first}
    last = float(history["train_loss"][-1])
    measured = {"minibatch_first": first, "minibatch_last": last}
    if not last > 0.6 * first:
        return [], measured
    if last > first:
        message = f"{steps} steps on one minibatch raise its loss from {first:.4g} to {last:.4g}"
        advice = "the rate is far too high, or steps do not lead downhill: check rule and gradients"
        return [Finding(CHECK, "error", message, advice)], measured
    message = f"{steps} steps on one minibatch lower its loss from {first:.4g} to {last:.4g} only"
    advice = "try rates 10 and 100 times as high; look at gradients per layer and initial weights"
    return [Finding(CHECK, "warning", message, advice)], measured


def _planned(n: int, options: dict[str, Any]) -> int:
    """Return how many steps the run will take."""
    return int(options["epochs"]) * -(-n // int(options["batch_size"]))


# ------------------------------------------------------------------------------- few epochs


def _few_epochs(
    net: Any, data: Pair, validation: Pair | None, examples: int, options: dict[str, Any]
) -> tuple[list[Finding], dict[str, float]]:
    """Train on some of the data with every option; look at what came of it."""
    twin, watch = copy_of(net), _Watch()
    train = batch_for(data, examples, options["seed"])
    held_out = None if validation is None else batch_for(validation, examples, options["seed"])
    evaluate(twin, train, options["loss"])  # says what is wrong with the data, makes shapes known
    vector = ParameterVector(twin)
    before = vector.snapshot()
    callbacks = [*_copied(options.get("callbacks", ())), watch]
    few = min(6, options["epochs"])
    own = {**options, "epochs": few, "callbacks": callbacks}
    try:
        with judged_here():
            history = fit(twin, train, held_out, **own)
    except DivergedError as error:
        message = f"training diverges in epoch {error.epoch}, at the rate {error.learning_rate:.3g}"
        advice = (
            "lower the rate; if that does not help, check gradients, inputs and initial weights"
        )
        return [Finding(CHECK, "error", message, advice)], {}
    rows = history["train_loss"]
    if not rows.any():  # every target was met exactly from the start: nothing had to move
        return [], {"train_first": 0.0, "train_last": 0.0}
    findings = _unmoved(vector, before) + _copies(vector) + _thrown_away(watch)
    findings += _in_use(twin, train, options["loss"])
    if held_out is not None:
        findings += _worst_kept(twin, held_out, options["loss"], history)
    findings += _below_chance(twin, train, "training", options["loss"])
    if held_out is not None and not findings:
        findings += _below_chance(twin, held_out, "validation", options["loss"])
    return findings, {"train_first": float(rows[0]), "train_last": float(rows[-1])}


def _copied(callbacks: Iterable[Callback]) -> list[Callback]:
    """Return copies of the callbacks that leave nothing behind."""
    return [copy.deepcopy(c) for c in callbacks if not isinstance(c, (Checkpoint, Progress))]


def _unmoved(vector: ParameterVector, before: dict[str, Any]) -> list[Finding]:
    after, findings = vector.snapshot(), []
    still = [
        name
        for name, part in vector.slices.items()
        if (after["theta"][part] == before["theta"][part]).all()
    ]
    if still:
        message = f"{', '.join(still)} did not change at all"
        advice = "look for dead units above, and for layers that the loss does not depend on"
        findings.append(Finding(CHECK, "error", message, advice))
    running = [
        name
        for name, values in before["state"].items()
        if "running" in name and (after["state"][name] == values).all()
    ]
    if running:
        message = f"{', '.join(running)} did not change in training"
        advice = (
            "running statistics are what batch normalisation uses afterwards: give it a momentum "
            "below 1, such as 0.9, or use_global_stats if they are meant to stay"
        )
        findings.append(Finding(CHECK, "warning", message, advice))
    return findings


def _copies(vector: ParameterVector) -> list[Finding]:
    """Find layers whose units are all the same."""
    same = []
    for name, part in vector.slices.items():
        shape = vector.shapes[name]
        if len(shape) < 2 or shape[0] < 2:
            continue
        rows = vector.theta[part].asnumpy().reshape(shape[0], -1)
        # Rounding sets units apart very slowly.
        if abs(rows - rows[0]).max() <= _ALIKE * abs(rows).max():
            same.append(name)
    if not same:
        return []
    message = f"after some steps all units of {', '.join(same)} are still copies of one another"
    advice = "draw initial weights at random; units that start alike stay alike"
    return [Finding(CHECK, "error", message, advice)]


def _thrown_away(watch: _Watch) -> list[Finding]:
    if not watch.put_back:
        return []
    message = "at the start of a later epoch the parameters are the initial ones again"
    advice = "initialise the network once, outside the loop over epochs"
    return [Finding(CHECK, "error", message, advice)]


def _worst_kept(twin: Any, held_out: Pair, loss: Any, history: Any) -> list[Finding]:
    """Find early stopping that puts a bad epoch back."""
    if not history.stopped or len(history) < 2:
        return []
    kept, best = evaluate(twin, held_out, loss)["loss"], float(history["val_loss"].min())
    worst = float(history["val_loss"].max())
    if kept - best < 0.8 * (worst - best) or kept < 1.1 * best:
        return []
    message = (
        f"training stopped ({history.stopped}) and kept a validation loss of {kept:.4g}; the best "
        f"epoch had {best:.4g}"
    )
    advice = "a loss is better if it is smaller, an accuracy if it is larger: smaller_is_better"
    return [Finding(CHECK, "error", message, advice)]


def _below_chance(twin: Any, data: Pair, name: str, loss: Any) -> list[Finding]:
    """Find a network that has learnt to avoid the right class."""
    y = data[1]
    found = evaluate(twin, data, loss)
    if y.ndim != 1 or not onp.issubdtype(y.dtype, onp.integer):
        return []
    outputs = twin(np.array(data[0][:1], dtype=_dtype(twin), ctx=_device(twin)))
    if outputs.ndim != 2 or outputs.shape[1] < 2:
        return []
    accuracy = found.get("accuracy", _accuracy(twin, data))
    chance = 1 / outputs.shape[1]
    limit = chance - 4 * (chance * (1 - chance) / len(y)) ** 0.5
    if accuracy >= limit:
        return []
    message = (
        f"after some epochs {accuracy:.1%} of the {name} labels are predicted, fewer than the "
        f"{chance:.0%} of guessing"
    )
    advice = "look for a sign in the loss, and for labels that count differently (from 0, from 1)"
    return [Finding(CHECK, "error", message, advice)]


def _accuracy(twin: Any, data: Pair) -> float:
    x = np.array(data[0], dtype=_dtype(twin), ctx=_device(twin))
    return float((twin(x).asnumpy().argmax(axis=1) == data[1]).mean())


def _dtype(net: Any) -> Any:
    return next(iter(net.collect_params().values())).dtype


def _device(net: Any) -> Any:
    return next(iter(net.collect_params().values())).list_ctx()[0]


# --------------------------------------------------------------------------- training and use


def _in_use(twin: Any, data: Pair, loss: Any) -> list[Finding]:
    """Compare the outputs in training, averaged over its luck, with those in use."""
    x = np.array(data[0][:100], dtype=_dtype(twin), ctx=_device(twin))
    vector = ParameterVector(twin)
    with vector.preserved():
        in_use = twin(x).asnumpy().astype("float64")
        with mx.autograd.train_mode():
            runs = [twin(x).asnumpy().astype("float64") for _ in range(2)]
            if (runs[0] != runs[1]).any():
                runs += [twin(x).asnumpy().astype("float64") for _ in range(30)]
    mean = onp.mean(runs, axis=0)
    in_use, mean = in_use - in_use.mean(axis=0), mean - mean.mean(axis=0)
    square = float((in_use * in_use).sum())
    slope = float((in_use * mean).sum()) / square if square else 1.0
    if 1 / 3 <= slope <= 3:
        return []
    message = f"outputs in training are on average {slope:.2g} times those in use"
    advice = (
        "dropout must divide what it keeps by the probability of keeping; batch normalisation must "
        "keep running statistics of what it saw"
    )
    return [Finding(CHECK, "warning", message, advice)]


# ------------------------------------------------------------------------------------- visits


def _visits(n: int, options: dict[str, Any]) -> tuple[list[Finding], float]:
    """Count the examples that an order visits in three epochs."""
    order = options.get("order")
    if order is None:
        return [], 1.0
    seen: set[int] = set()
    for epoch in (1, 2, 3):
        rng = onp.random.default_rng([options["seed"], epoch])
        seen |= set(onp.asarray(order(n, epoch, rng)).tolist())
    visited = len(seen) / n
    if visited >= 0.5:
        return [], visited
    message = f"in three epochs the order visits {len(seen)} of {n} examples"
    advice = "let every epoch go through all minibatches: make the iterator outside the loop"
    return [Finding(CHECK, "warning", message, advice)], visited
