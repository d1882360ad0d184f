"""The learning-rate range test: one short run in which the rate rises until training breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_number, check_positive, check_whole
from nnbook._types import Loss, Network
from nnbook.gluon.copies import clone
from nnbook.gluon.deferred import complete
from nnbook.gluon.examples import in_numpy_mode
from nnbook.optim import Optimizer
from nnbook.optim.names import named as named_rule
from nnbook.training.callbacks import Callback
from nnbook.training.fitting import fit
from nnbook.training.run import DivergedError

__all__ = ["RangeTest", "range_test"]

# The test ends where the smoothed loss is this many times its smallest value so far, …
_BROKEN = 4.0
# … and suggests the rate of its smallest value divided by this.
_MARGIN = 10.0
# Options of `fit` that change what a step is.
_OF_STEPS = {
    *("class_weight", "sample_weight", "augment"),
    *("clip_norm", "clip_value", "shuffle", "order"),
}


@dataclass(frozen=True, eq=False)
class RangeTest:
    """What a range test saw.

    Attributes
    ----------
    learning_rates : numpy.ndarray, shape (steps,)
        The rate of each step, from low to high; the test may have ended before the highest.
    losses : numpy.ndarray, shape (steps,)
        The minibatch's loss before the step.
    smoothed : numpy.ndarray, shape (steps,)
        Their running average.
    """

    learning_rates: onp.ndarray
    losses: onp.ndarray
    smoothed: onp.ndarray

    @property
    def lowest(self) -> float:
        """The rate at which the smoothed loss is smallest: about the largest that still learns."""
        return float(self.learning_rates[self.smoothed.argmin()])

    @property
    def suggestion(self) -> float:
        """A tenth of `lowest`: a rate to train with."""
        return self.lowest / _MARGIN


@in_numpy_mode
def range_test(
    net: Network,
    train: tuple[Any, Any],
    *,
    loss: Loss,
    optimizer: Optimizer | str | tuple[str, float],
    low: float = 1e-4,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int = 32,
    smoothing: float = 0.9,
    seed: int = 0,
    penalty: Any = None,
    **options: Any,
) -> RangeTest:
    r"""Train a copy of a network while the rate rises exponentially, and watch the loss.

    Step t of T has the rate

    .. math::
        η_t = η_{low} \left(η_{high} / η_{low}\right)^{t / (T - 1)}.

    At first nothing happens, then the loss falls, then it grows without bound. The test ends there:
    when the smoothed loss is four times its smallest value (a negative loss: has risen from there
    by three times its size), or not finite.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialised network; a copy is trained, and the network itself is not changed.
    train : tuple of array
        ``(x, y)``, as for `fit`.
    loss : callable or str
        ``loss(outputs, targets)``, one value per example, or the name of one of `nnbook.losses`.
    optimizer : Optimizer, str or tuple
        A rule of `nnbook.optim`, composed or not, or its name, as for `fit`; its learning rate is
        not used.
    low, high : float
        The rates of the first and the last step, 0 < low < high.
    steps : int
        How many, at least 10.
    batch_size : int
        Of the minibatches: that of the training to come.
    smoothing : float
        The decay of the running average, in [0, 1).
    seed : int
        Decides the order of the examples.
    penalty : object, optional
        As for `fit`.
    **options
        What else changes the steps of the training to come, as for `fit`: class_weight,
        sample_weight, augment, clip_norm, clip_value, shuffle, order.

    Returns
    -------
    RangeTest

    Raises
    ------
    ValueError, TypeError
        Numbers out of range, no rule of `nnbook.optim`, or bad data, as for `fit`.
    DivergedError
        The loss is not finite at the first step, before any rate was tried.

    References
    ----------
    Smith (2017), Cyclical learning rates for training neural networks.

    Examples
    --------
    >>> from nnbook import data, layers, losses, optim, training
    >>> net = layers.mlp(64, [32], 10, activation="tanh", seed=0)
    >>> found = training.range_test(net, data.load_digits_8x8(), optimizer=optim.sgd(0.1),
    ...                             loss=losses.softmax_cross_entropy)
    >>> 0.05 < found.suggestion < 0.5 and len(found.losses) < 100  # beyond, the loss grew
    True
    """
    if unknown := sorted(set(options) - _OF_STEPS):
        raise TypeError(f"range_test takes no {', '.join(unknown)}; expected {sorted(_OF_STEPS)}")
    given = named_rule(optimizer)
    _check(given, low, high, steps, smoothing)
    batch_size = check_whole(batch_size, "batch_size")
    rates = low * (high / low) ** (onp.arange(steps) / (steps - 1))
    rule = given.with_numbers(lambda step: float(rates[min(step, steps - 1)]))
    recorder = _Recorder(steps, smoothing)
    if isinstance(train, (tuple, list)) and len(train) == 2:  # `fit` refuses anything else
        complete(net, train[0])
    try:
        fit(
            clone(net),
            train,
            loss=loss,
            optimizer=rule,
            batch_size=batch_size,
            epochs=steps,  # enough even if an epoch is one step; the recorder ends the run
            seed=seed,
            callbacks=[recorder],
            progress=False,
            penalty=penalty,
            **options,
        )
    except DivergedError:
        if not recorder.losses:
            raise
    seen = len(recorder.losses)
    return RangeTest(rates[:seen], onp.array(recorder.losses), onp.array(recorder.smoothed))


class _Recorder(Callback):
    """Keep the losses; stop after the last step, or when training has broken."""

    def __init__(self, steps: int, smoothing: float):
        self.steps, self.smoothing = steps, smoothing
        self.losses: list[float] = []
        self.smoothed: list[float] = []
        self._average = 0.0

    def on_step_end(self, run: Any) -> None:
        self.losses.append(run.loss)
        self._average = self.smoothing * self._average + (1 - self.smoothing) * run.loss
        # Divided by the weights so far: the average starts at 0, which is no loss.
        self.smoothed.append(self._average / (1 - self.smoothing ** len(self.losses)))
        if len(self.losses) == self.steps:
            run.stop("the last step of the range test")
        elif self.smoothed[-1] > self._limit():
            run.stop("the loss grows")

    def _limit(self) -> float:
        """Return the loss at which training has broken."""
        lowest = min(self.smoothed)
        if lowest >= 0:
            return _BROKEN * lowest
        # A loss that may be negative has no zero to compare with, but a size to begin with.
        return lowest + (_BROKEN - 1) * max(-lowest, abs(self.smoothed[0]))


def _check(optimizer: Any, low: float, high: float, steps: int, smoothing: float) -> None:
    if getattr(optimizer, "learning_rate", None) is None or not hasattr(optimizer, "with_numbers"):
        raise TypeError(
            f"optimizer is {optimizer!r}; expected a rule of nnbook.optim with a learning rate, "
            "such as optim.momentum(0.1) or optim.chain(optim.clip(1), optim.adam(0.001))"
        )
    if not check_positive(low, "low") < check_positive(high, "high"):
        raise ValueError(f"low is {low!r} and high {high!r}; expected low < high")
    check_whole(steps, "steps", least=10)
    check_number(smoothing, "smoothing", least=0, below=1)
