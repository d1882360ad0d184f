"""A few examples must be learnt by heart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp

from nnbook import optim
from nnbook._arguments import check_sizes
from nnbook.checks.calls import batch_for, either_order, judged_here
from nnbook.checks.outcomes import CheckResult
from nnbook.findings import Finding
from nnbook.gluon.twins import copy_of, preserved_luck
from nnbook.training import Callback, DivergedError, evaluate, fit

__all__ = ["overfit_tiny_subset"]

CHECK = "overfit_tiny_subset"
_CHUNK = 20  # steps to an epoch of `fit`, which costs something for itself


class _Enough(Callback):
    """Stop as soon as the loss is low enough, or far too high to come back."""

    def __init__(self, target: float, hopeless: float):
        self.target, self.hopeless = target, hopeless

    def on_epoch_end(self, run: Any, row: dict[str, Any]) -> None:
        if row["train_loss"] < self.target:
            run.stop("learnt by heart")
        elif row["train_loss"] > self.hopeless:
            run.stop("the loss only rises")


@either_order
def overfit_tiny_subset(
    net: Any,
    data: Any,
    n: int = 20,
    *,
    loss: Any,
    steps: int = 400,
    optimizer: Any = None,
    floor: float | None = None,
    threshold: float = 0.05,
    seed: int = 0,
) -> CheckResult:
    """Train a copy on a few examples, without regularisation, until it knows them by heart.

    No penalty, and Gluon's dropout layers are off. A network that cannot do this has a mistake; one
    that can may have others, such as features without meaning.

    Parameters
    ----------
    net, data, loss
        As for `check_gradients`; nothing is changed.
    n : int
        How many examples.
    steps : int
        How many steps, each with all of them.
    optimizer : Optimizer, optional
        By default Adam at the rate 0.01, and if that fails at 0.002 and 0.05.
    floor : float, optional
        The lowest loss that there is; by default 0, and for targets that are rows of probabilities
        their entropy.
    threshold : float
        The loss above the floor must fall to this part of what it is without learning.
    seed : int
        Decides which examples.

    Returns
    -------
    CheckResult
        Measured: ``first`` and ``loss`` (at the start and at the end), ``without_learning`` (the
        lower of the first loss and that of outputs 0), ``floor``, ``steps``.

    Raises
    ------
    ValueError, TypeError
        Bad data, as for `nnbook.training.fit`, or numbers out of range.

    References
    ----------
    Stanford CS231n, Neural Networks 3: sanity checks.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import checks, layers, losses
    >>> x, y = np.random.default_rng(0).normal(size=(20, 9)), np.arange(20) % 3
    >>> net = layers.mlp(9, [20], 3, "tanh", seed=0)
    >>> checks.overfit_tiny_subset(net, (x, y), loss=losses.softmax_cross_entropy).passed
    True
    """
    check_sizes(n=n, steps=steps)
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is {threshold!r}; expected a part in (0, 1)")
    data = batch_for(data, n, seed)
    floor = _entropy(data[1]) if floor is None else floor
    rules = [optim.adam(rate) for rate in (0.01, 0.002, 0.05)] if optimizer is None else [optimizer]
    with preserved_luck():
        first, plain = _without_learning(net, loss, data)
        target = floor + threshold * max(min(first, plain) - floor, 0.0)
        known = first == floor
        best, taken = first if known else float("inf"), 0
        for rule in () if known else rules:
            last, taken = _train(net, loss, data, rule, steps, (target, 10 * abs(first)), seed)
            best = min(best, last)
            if best < target:
                break
    measured = {"first": first, "loss": best, "without_learning": min(first, plain)}
    measured |= {"floor": floor, "steps": taken}
    if best < target or known:
        return CheckResult(CHECK, (), measured)
    message = (
        f"{len(data[0])} examples are not learnt by heart in {steps} steps: the loss goes from "
        f"{first:.4g} to {best:.4g}, and should get below {target:.4g}"
    )
    advice = (
        "no point in more data before this works: check the gradients, what the loss applies to "
        "the outputs, dead units, the capacity, and whether equal inputs have different targets"
    )
    return CheckResult(CHECK, (Finding(CHECK, "error", message, advice),), measured)


def _without_learning(net: Any, loss: Any, data: tuple[Any, Any]) -> tuple[float, float]:
    """Return the first loss, and that of outputs which are all 0."""
    twin = copy_of(net, dropout=False)
    first = evaluate(twin, data, loss)["loss"]
    plain = evaluate(twin, data, lambda outputs, y: loss(0 * outputs, y))["loss"]
    return first, plain if plain == plain else first


def _train(
    net: Any,
    loss: Any,
    data: Any,
    rule: Any,
    steps: int,
    bounds: tuple[float, float],
    seed: int,
) -> tuple[float, int]:
    """Train a copy; return its best loss, and after how many steps."""
    twin, enough, chunk = copy_of(net, dropout=False), _Enough(*bounds), min(_CHUNK, steps)
    options: dict[str, Any] = {"batch_size": len(data[0]), "epochs": -(-steps // chunk)}
    options |= {"order": repeated(chunk), "seed": seed, "progress": False}
    try:
        with judged_here():
            history = fit(twin, data, loss=loss, optimizer=rule, callbacks=[enough], **options)
    except DivergedError as error:
        history = error.history
    if not len(history):
        return float("inf"), 0
    return float(history["train_loss"].min()), history[-1]["step"]


def repeated(times: int) -> Callable[[int, int, Any], onp.ndarray]:
    """Return an order that goes through all examples some times, which makes longer epochs."""
    return lambda n, epoch, rng: onp.tile(onp.arange(n), times)


def _entropy(y: Any) -> float:
    """Return the mean entropy of rows of probabilities; 0 of any other targets."""
    if y.ndim != 2 or y.shape[1] < 2 or not onp.issubdtype(y.dtype, onp.floating):
        return 0.0
    if (y < 0).any() or (abs(y.sum(axis=1) - 1) > 1e-3).any():
        return 0.0
    return float(-(y * onp.log(onp.where(y > 0, y, 1))).sum(axis=1).mean())
