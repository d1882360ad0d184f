"""Averages of θ over the steps of one run: exponential, or uniform over its tail."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook._arguments import check_flag, check_number, check_sizes, check_whole
from nnbook._arrays import check_array
from nnbook.data._transformer import Moments
from nnbook.ensemble.base import Average
from nnbook.gluon.copies import clone
from nnbook.gluon.examples import home, in_numpy_mode, place
from nnbook.gluon.parameters import blocks_of
from nnbook.gluon.runtime import mx
from nnbook.training.run import Run, Seen

__all__ = ["EMA", "Average", "PolyakAverage", "refresh_statistics"]


class EMA(Average):
    """An exponential moving average of θ: θ̄ ← d θ̄ + (1 − d) θ after each step.

    It begins with θ̄ = θ₀, the parameters before the first step. With the warm-up, the decay at the
    (t+1)-th average is d_t = min(decay, (1 + t)/(10 + t)): after n averages the initial parameters
    have the weight n! 9!/(n + 9)!, and θ̄ trails by a tenth of them, until d_t reaches `decay`; from
    there, and without the warm-up from the start, the initial weight falls as decayⁿ.

    Parameters
    ----------
    decay : float
        d in [0, 1). The average goes back over about `every` / (1 − d) steps.
    warmup : bool
        Begin with a small decay, so that the initial parameters are soon forgotten.
    every : int
        Steps between two averages; the first is after the first step.
    validation : tuple of array, optional
        ``(x, y)``: evaluate θ̄ on it after each epoch, into the columns ``{name}_val_loss`` and, for
        class labels, ``{name}_val_accuracy``.
    name : str
        What the columns begin with.

    Attributes
    ----------
    theta : numpy.ndarray, shape (P,)
        θ̄, a copy.
    count : int
        How many averages were taken.

    Raises
    ------
    ValueError, TypeError
        A decay outside [0, 1), `every` below 1.

    Notes
    -----
    It takes three passes over θ in memory of its own. Measured: 0.08 ms a step for the 79,510
    parameters of a 784-100-10 network, a fifth of a step at batch size 32; with ``every=10`` 0.02.
    In float32, 1 − d below 1e-5 gets lost to rounding.

    References
    ----------
    Polyak and Juditsky (1992), Acceleration of stochastic approximation by averaging; Kingma and Ba
    (2015), Adam, section 7.2.

    Examples
    --------
    >>> from nnbook import data, ensemble, layers, losses, optim, training
    >>> x, y = data.two_gaussians(rng=0)
    >>> net, ema = layers.mlp(2, [3], 1, seed=0), ensemble.EMA(0.9)
    >>> history = training.fit(net, (x, y.reshape(-1, 1)), loss=losses.squared_error,
    ...                        optimizer=optim.sgd(0.1), batch_size=10, epochs=2, callbacks=[ema])
    >>> better = ema.averaged(net)
    >>> ema.count, ema.theta.shape
    (20, (13,))
    """

    def __init__(
        self,
        decay: float = 0.995,
        warmup: bool = True,
        every: int = 1,
        validation: tuple[Any, Any] | None = None,
        name: str = "ema",
    ):
        self.decay = check_number(decay, "decay", least=0, below=1)
        self.warmup = check_flag(warmup, "warmup")
        super().__init__(every, validation, name)

    def _first(self, values: onp.ndarray) -> onp.ndarray:
        return values.copy()

    def _add(self, kept: onp.ndarray, values: onp.ndarray, scratch: onp.ndarray) -> None:
        t = self.count
        decay = min(self.decay, (1 + t) / (10 + t)) if self.warmup else self.decay
        # In this form what does not change stays as it is, without rounding.
        onp.subtract(values, kept, out=scratch)
        scratch *= 1 - decay
        kept += scratch


class PolyakAverage(Average):
    """The mean of θ over the tail of a run: θ̄ = (1/k) Σ θ_t over its last k steps.

    Parameters
    ----------
    start : float or int
        Where the tail begins: a float in [0, 1) is a share of the run's epochs (0.5: with the first
        epoch of which no part lies in the first half), an int a number of steps to leave out.
    every : int
        Steps between two of the θ that are averaged, counted from the first step of the run.
    validation : tuple of array, optional
        ``(x, y)``: evaluate θ̄ on it after each epoch, into the columns ``{name}_val_loss`` and, for
        class labels, ``{name}_val_accuracy``; NaN before the tail.
    name : str
        What the columns begin with.

    Attributes
    ----------
    theta : numpy.ndarray, shape (P,)
        θ̄, a copy.
    count : int
        k.

    Raises
    ------
    ValueError, TypeError
        A share outside [0, 1), a negative number of steps, `every` below 1.

    Notes
    -----
    The sum is kept in float64: one pass over θ, measured 0.1 ms a step for 79,510 parameters. A
    share of the epochs moves when a checkpointed run is resumed with more of them; give steps then.

    References
    ----------
    Polyak and Juditsky (1992), Acceleration of stochastic approximation by averaging.

    Examples
    --------
    >>> from nnbook import data, ensemble, layers, losses, optim, training
    >>> x, y = data.two_gaussians(rng=0)
    >>> net, tail = layers.mlp(2, [3], 1, seed=0), ensemble.PolyakAverage(start=0.5)
    >>> history = training.fit(net, (x, y.reshape(-1, 1)), loss=losses.squared_error,
    ...                        optimizer=optim.sgd(0.1), batch_size=10, epochs=4, callbacks=[tail])
    >>> tail.count
    20
    """

    def __init__(
        self,
        start: float = 0.5,
        every: int = 1,
        validation: tuple[Any, Any] | None = None,
        name: str = "polyak",
    ):
        self._share = not isinstance(start, (int, onp.integer))
        self.start = (
            check_number(start, "start", least=0, below=1)
            if self._share
            else check_whole(start, "start", least=0)
        )
        super().__init__(every, validation, name)

    def on_fit_start(self, run: Run) -> None:
        """Forget an earlier run, and look at steps from now on."""
        super().on_fit_start(run)
        self._epochs = run.epochs

    def _first(self, values: onp.ndarray) -> onp.ndarray:
        return onp.zeros(values.shape)

    def _wants(self, seen: Seen) -> bool:
        if self._share:
            return seen.epoch - 1 >= self.start * self._epochs
        return seen.step > self.start

    def _add(self, kept: onp.ndarray, values: onp.ndarray, scratch: onp.ndarray) -> None:
        kept += values

    def _value(self, kept: onp.ndarray) -> onp.ndarray:
        return kept / max(1, self.count)


@in_numpy_mode
def refresh_statistics(net: Any, x: Any, batch_size: int = 1000) -> None:
    """Compute a network's batch-normalisation statistics anew, for the θ that it has now.

    The mean and the variance of what enters each normalisation over all examples, which are run
    through a copy of the network as in training (each minibatch normalised by its own statistics),
    but without dropout, since there is none when the statistics are used. Those of an averaged θ
    are not the average of the statistics, so do this after `Average.averaged`.

    Parameters
    ----------
    net : mxnet.gluon.Block
        Its ``running_mean`` and ``running_var`` are changed, and nothing else. A network without
        batch normalisation stays as it is, and so does a block with ``use_global_stats=True``.
    x : array, shape (n, …)
        Training examples, NumPy or MXNet.
    batch_size : int
        How many at once. The first normalisation's result does not depend on it.

    Raises
    ------
    ValueError
        No examples, or a network that is not initialised.

    References
    ----------
    Izmailov et al. (2018), Averaging weights leads to wider optima and better generalization; Li et
    al. (2019), Understanding the disharmony between dropout and batch normalization by variance
    shift.
    """
    check_sizes(batch_size=batch_size)
    check_array(x)
    if not x.shape or x.shape[0] == 0:
        raise ValueError(f"x has the shape {x.shape}; expected an array of at least one example")
    device, dtype = home(net)
    x = place(x, dtype, device)
    twin = clone(net)
    twin.hybridize(False)  # a compiled graph calls no hooks
    moments: dict[int, _Inputs] = {}
    for index, block in enumerate(blocks_of(twin)):
        block._forward_hooks.clear()
        block._forward_pre_hooks.clear()
        if isinstance(block, mx.gluon.nn.Dropout):
            block._rate = 0.0
        if _normalises(block):
            moments[index] = _Inputs(block._kwargs["axis"])
            block.register_forward_pre_hook(moments[index])
    if not moments:
        return
    with mx.autograd.pause(train_mode=True):
        for start in range(0, x.shape[0], batch_size):
            twin(x[start : start + batch_size]).wait_to_read()
    blocks = blocks_of(net)
    for index, found in moments.items():
        if (seen := found.moments) is not None:
            mean, variance = seen.mean, seen.squares / seen.n
            blocks[index].running_mean.set_data(mx.np.array(mean, dtype=dtype, ctx=device))
            blocks[index].running_var.set_data(mx.np.array(variance, dtype=dtype, ctx=device))


class _Inputs:
    """Collects the moments of a block's inputs along one axis, in float64."""

    def __init__(self, axis: int):
        self.axis = axis
        self.moments: Moments | None = None

    def __call__(self, block: Any, inputs: Any) -> None:
        values = inputs[0].asnumpy().astype(float)
        values = onp.moveaxis(values, self.axis, -1).reshape(-1, values.shape[self.axis])
        if self.moments is None:
            self.moments = Moments(values.shape[1], full=False)
        self.moments.add(values)


def _normalises(block: Any) -> bool:
    """Tell whether a block keeps running statistics of its inputs."""
    kept = hasattr(block, "running_mean") and hasattr(block, "running_var")
    return kept and not block._kwargs.get("use_global_stats", False)
