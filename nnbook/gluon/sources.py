"""A Gluon network as a source of the training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as onp

from nnbook.gluon.examples import Examples, in_numpy_mode
from nnbook.gluon.feeding import examples_of
from nnbook.gluon.gradients import make_gradient
from nnbook.gluon.parameters import ParameterVector
from nnbook.gluon.randomness import epoch_seed, preserved_generator
from nnbook.gluon.runtime import as_device, device_of, mx
from nnbook.gluon.updates import make_update
from nnbook.training.loop import train as train_runs
from nnbook.training.run import Plan, Rows, Run
from nnbook.training.updates import RuleUpdate

__all__ = ["NetworkSource", "start_network", "train_network"]


class NetworkSource:
    """One network in training."""

    overflow = "raise"

    def __init__(self, run: Run, gradient: Any):
        self.run = run
        self._gradient, self._vector = gradient, run.vector
        self.update: Callable[[], None] = run.rule
        self._on_host = run.vector.theta.ctx.device_type == "cpu"
        # Where only NumPy changes θ there is nothing to wait for, and the memory stays the same.
        rule = run.rule
        self._memory = (rule.theta, rule.grad) if type(rule) is RuleUpdate else None

    def begin_epoch(self, epoch: int) -> None:
        """Seed MXNet's generator, which cannot be saved, if the network may draw from it."""
        if self.run.random:
            mx.random.seed(epoch_seed(self.run.seed, epoch))

    def batches(self, epoch: int) -> Iterator[tuple[Rows, ...]]:
        """Yield the rows of each step."""
        run = self.run
        return zip(run.examples.fed(run.batches(epoch), run.seed, epoch))

    def gradient(self, rows: tuple[Rows, ...]) -> Any:
        """Fill ∇L; return the mean loss, on a device perhaps not yet computed."""
        loss = self._gradient(rows[0])
        if self._on_host and not isinstance(loss, float):
            self._vector.wait()  # NumPy is about to touch the memory
        return loss

    def memory(self, k: int) -> tuple[onp.ndarray, onp.ndarray]:
        """Return θ and ∇L: on the CPU their own memory."""
        return self._memory or self._vector.memory()

    def finite(self) -> bool:
        """Tell whether θ is finite."""
        return bool(onp.isfinite(float(self._vector.theta.sum())))

    def evaluate(self) -> list[dict[str, float]]:
        """Return loss and accuracy on the validation data."""
        held_out = self.run.held_out
        return [{} if held_out is None else held_out.evaluate()]

    def finish(self, k: int) -> None:
        """The network has its parameters already."""

    def close(self) -> None:
        """End the threads of the gradient."""
        self._gradient.close()


def start_network(
    net: Any,
    train: Any,
    validation: Any,
    plan: Plan,
    callbacks: Sequence[Any],
    device: Any,
) -> tuple[Run, NetworkSource]:
    """Check data, network and rule, and make of them what the loop trains.

    Parameters
    ----------
    net, train, validation, device
        As for `nnbook.training.fit`.
    plan : Plan
        What was asked for.
    callbacks : sequence of Callback
        In the order given.
    """
    with _moved(net, device):
        examples = examples_of(net, train, plan.loss, plan.batch_size)
        held_out = None
        if validation is not None:
            held_out = Examples(net, validation, plan.loss, name="validation")
        vector = ParameterVector(net)
        update = make_update(vector, plan.optimizer, plan.penalty)
        gradient = make_gradient(net, vector, plan.loss, examples.memory)
    run = Run(
        net,
        vector,
        plan,
        callbacks,
        examples,
        held_out,
        count=len(examples),
        random=gradient.random or update.random,
    )
    run.rule = update
    run.history.path, run.history.reason = gradient.path, gradient.reason
    return run, NetworkSource(run, gradient)


@in_numpy_mode
def train_network(
    net: Any,
    train: Any,
    validation: Any,
    plan: Plan,
    callbacks: Sequence[Any],
    device: Any,
) -> Run:
    """Train a network; arguments as for `start_network`. MXNet's generator is given back."""
    with preserved_generator():
        run, source = start_network(net, train, validation, plan, callbacks, device)
        train_runs([run], source)
    return run


@contextmanager
def _moved(net: Any, device: Any) -> Iterator[None]:
    """Move a network for good; after an exception in the block, move it back."""
    if device is None:
        yield
        return
    before = device_of(net)  # says what is wrong with a network that cannot be moved
    net.collect_params().reset_ctx(as_device(device))
    try:
        yield
    except BaseException:
        net.collect_params().reset_ctx(before)
        raise
