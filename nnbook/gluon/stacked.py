"""A stack of networks as a source of the training loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook.gluon.bound import BoundStack
from nnbook.gluon.examples import Examples, number_of
from nnbook.gluon.parameters import host_view
from nnbook.gluon.stack import Stack
from nnbook.optim import Optimizer
from nnbook.training.run import Rows, Run
from nnbook.training.updates import RuleUpdate

__all__ = ["MemberVector", "StackSource"]

# Numbers of a block in an update: θ, ∇L, two buffers and scratch of it fit into a core's cache.
_BLOCK = 50_000


class MemberVector:
    """The parameters of one member of a stack as callbacks see those of a network."""

    fixed: dict[str, Any] = {}  # noqa: RUF012 - a stack has no running statistics
    state: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, stack: Stack, member: int, like: Any):
        self._stack, self._member = stack, member
        self.slices, self.shapes = like.slices, like.shapes
        self.weight_mask, self.fingerprint = like.weight_mask, like.fingerprint
        self._size = len(like)

    def __len__(self) -> int:
        return self._size

    def _gathered(self, flat: onp.ndarray) -> onp.ndarray:
        return onp.concatenate([part[self._member] for part in self._stack.per_member(flat)])

    @property
    def theta(self) -> onp.ndarray:
        """θ, shape (P,), as a copy."""
        return self._gathered(self._stack.theta)

    @property
    def grad(self) -> onp.ndarray:
        """∇L(θ), shape (P,), as a copy."""
        return self._gathered(self._stack.grad)

    def memory(self) -> tuple[onp.ndarray, onp.ndarray]:
        """Return θ and ∇L as copies: a member's numbers are not side by side."""
        return self.theta, self.grad

    def put(self, flat: onp.ndarray, values: onp.ndarray) -> None:
        """Write a vector laid out like θ into this member's part of a stack's."""
        start = 0
        for part in self._stack.per_member(flat):
            part[self._member] = values[start : start + part.shape[1]]
            start += part.shape[1]

    def snapshot(self) -> dict[str, Any]:
        """Copy θ."""
        return {"theta": self.theta, "state": {}}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Put back what `snapshot` copied."""
        self.put(self._stack.theta, onp.asarray(snapshot["theta"]))


@dataclass
class _Block:
    """One parameter of some neighbouring members, shape (members, size), and its update.

    Parameters of all members together are too large for the processor's cache, and an update passes
    over them several times; so it goes block by block.
    """

    members: slice
    theta: onp.ndarray
    grad: onp.ndarray
    buffers: tuple[onp.ndarray, ...]
    scratch: onp.ndarray
    numbers: dict[str, Any]
    is_weight: bool


class _MemberRule:
    """The rule of one member, for its run: the rate, and what the rule remembers."""

    def __init__(self, source: StackSource, k: int, rule: Optimizer):
        self._source, self._k, self.rule, self.factor = source, k, rule, 1.0

    def rate_of(self, step: int) -> Any:
        """Return the rate of a step, counted from 1."""
        return self.rule.rate(step - 1) * self.factor

    def scale_rate(self, factor: float) -> None:
        """Multiply the rule's own rate."""
        self.factor = factor
        self._source.rates_vary = True

    def _buffers(self) -> list[list[onp.ndarray]]:
        """Return the member's rows of every buffer, one list a buffer, in the order of θ."""
        rows = []
        for block in self._source.blocks:
            if block.members.start <= self._k < block.members.stop:
                rows.append([b[self._k - block.members.start] for b in block.buffers])
        return [list(column) for column in zip(*rows, strict=True)]

    def state(self) -> dict[str, Any]:
        """Return the rule's memory, as that of a network trained alone."""
        return {"leaves": [self._source.steps, *map(onp.concatenate, self._buffers())]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self._source.steps, *buffers = state["leaves"]
        for rows, values in zip(self._buffers(), buffers, strict=True):
            start = 0
            for row in rows:
                row[...] = values[start : start + len(row)]
                start += len(row)


class StackSource:
    """A stack in training: one graph for all gradients, one update for all of a kind.

    Members whose rule is one of `nnbook.optim` alike but for numbers are updated together, in
    blocks; the update of any other rule or penalty gets the member's whole θ, as alone.
    """

    overflow = "ignore"  # of one member; the others go on
    path, reason = "stack", ""

    def __init__(
        self,
        stack: Stack,
        runs: Sequence[Run],
        examples: Examples,
        loss: Any,
    ):
        self.stack, self.runs, self.loss = stack, runs, loss
        self.examples, self.held_out, self.steps = examples, runs[0].held_out, 0
        keys = [(run.seed, run.plan.order) for run in runs]
        starts = [k for k in range(len(runs)) if k == 0 or keys[k] != keys[k - 1]]
        self._leaders = [runs[k] for k in starts]
        self.groups = [b - a for a, b in zip(starts, [*starts[1:], len(runs)], strict=True)]
        self._bound: dict[Any, BoundStack] = {}
        self._bind(self.groups, min(2, len(examples)), examples)  # what cannot be bound shows now
        self.blocks = list(self._blocks()) if _alike(runs) else []
        self.rates_vary = any(callable(run.optimizer.learning_rate) for run in runs)
        self._apart: list[tuple[MemberVector, RuleUpdate, onp.ndarray, onp.ndarray]] = []
        for k, run in enumerate(runs):
            if self.blocks:
                run.rule = _MemberRule(self, k, run.optimizer)
            else:
                theta, grad = run.vector.memory()
                run.rule = RuleUpdate(run.optimizer, theta, grad, run.vector, run.plan.penalty)
                self._apart.append((run.vector, run.rule, theta, grad))
        self._rates = self._rates_now()

    def _blocks(self) -> Iterator[_Block]:
        rule, count = self.runs[0].optimizer, len(self.runs)
        arrays = zip(
            self.stack.per_member(self.stack.theta),
            self.stack.per_member(self.stack.grad),
            self.stack.is_weight(),
            strict=True,
        )
        shared = onp.empty(0)  # one after the other uses it
        for theta, grad, is_weight in arrays:
            rows = min(count, max(1, _BLOCK // theta.shape[1]))
            if rows * theta.shape[1] > shared.size:
                shared = onp.empty(rows * theta.shape[1], dtype=theta.dtype)
            for first in range(0, count, rows):
                part = slice(first, min(first + rows, count))
                rules = [run.optimizer for run in self.runs[part]]
                rules = [r.for_weights(float(is_weight)) for r in rules]
                numbers = {
                    name: self._column([r.hyperparameters[name] for r in rules])
                    for name in rule.hyperparameters
                }
                buffers = tuple(onp.zeros_like(theta[part]) for _ in range(rule.buffers))
                scratch = shared[: theta[part].size].reshape(theta[part].shape)
                yield _Block(part, theta[part], grad[part], buffers, scratch, numbers, is_weight)

    def _column(self, values: list[float]) -> Any:
        """Return a number, or where the members' differ a column of them."""
        return values[0] if len(set(values)) == 1 else onp.array(values)[:, None]

    # ---------------------------------------------------------------------------- the loop's

    def begin_epoch(self, epoch: int) -> None:
        """Nothing in a stack is random."""

    def batches(self, epoch: int) -> Iterator[tuple[Rows, ...]]:
        """Yield the rows of each step, one entry for each group that shares them."""
        return zip(*(run.batches(epoch) for run in self._leaders), strict=True)

    def gradient(self, rows: tuple[Rows, ...]) -> onp.ndarray:
        """Fill ∇L; return every member's mean loss."""
        return self._bind(self.groups, number_of(rows[0]), self.examples).run(rows)

    def update(self) -> None:
        """Change θ."""
        for vector, rule, theta, grad in self._apart:
            theta[...], grad[...] = vector.memory()
            rule()
            vector.put(self.stack.theta, theta)
        if self.rates_vary:
            self._rates = self._rates_now()
        for block in self.blocks:
            if block.is_weight:
                self._penalise(block)
            rates = self._rates[block.members]
            rate = float(rates[0]) if len(set(rates)) == 1 else self._column(rates)
            self.runs[0].optimizer.kernel(
                block.theta,
                block.grad,
                block.buffers,
                block.scratch,
                rate,
                self.steps,
                **block.numbers,
            )
        self.steps += 1

    def _rates_now(self) -> list[float]:
        return [run.rule.rate_of(self.steps + 1) for run in self.runs] if self.blocks else []

    def _penalise(self, block: _Block) -> None:
        for row, run in enumerate(self.runs[block.members]):
            if run.plan.penalty is not None:
                block.grad[row] += run.plan.penalty.gradient(block.theta[row])

    def memory(self, k: int) -> tuple[onp.ndarray, onp.ndarray]:
        """Return copies of θ and ∇L of a member."""
        return self.runs[k].vector.memory()

    def finite(self) -> onp.ndarray:
        """Tell for each member whether its parameters, and what its rule remembers, are finite."""
        total = onp.zeros(len(self.runs))
        for part in self.stack.per_member(self.stack.theta):
            total += part.sum(axis=1)
        for block in self.blocks:
            for buffer in block.buffers:  # an average of g² that overflows makes steps 0
                total[block.members] += buffer.sum(axis=1)
        return onp.isfinite(total)

    def evaluate(self, batch_size: int = 1000) -> list[dict[str, float]]:
        """Return loss and accuracy of every member on the validation data."""
        count, examples = len(self.runs), self.held_out
        if examples is None:
            return [{}] * count
        loss, correct = onp.zeros(count), onp.zeros(count)
        for start in range(0, len(examples), batch_size):
            rows = slice(start, min(start + batch_size, len(examples)))
            bound = self._bind([count], number_of(rows), examples)  # all see the same examples
            loss += bound.run([rows], train=False) * number_of(rows)
            if examples.classifies:
                labels = host_view(examples.y)[rows]
                correct += examples.count_right(bound.outputs, labels, members=count)
        found = [{"loss": float(value) / len(examples)} for value in loss]
        if examples.classifies:
            for row, right in zip(found, correct, strict=True):
                row["accuracy"] = float(right) / examples.targets
        return found

    def finish(self, k: int) -> None:
        """Put a member's parameters into its network; what it computes from now on is not used."""
        self.stack.push(k)
        for block in self.blocks:  # zero computes faster than NaN
            if block.members.start <= k < block.members.stop:
                for array in (block.theta, *block.buffers):
                    array[k - block.members.start] = 0

    def close(self) -> None:
        """Let go of the graphs."""
        self._bound.clear()

    def _bind(self, groups: list[int], size: int, examples: Examples) -> BoundStack:
        key = (tuple(groups), size, id(examples))
        if key not in self._bound:
            self._bound[key] = BoundStack(self.stack, groups, size, examples, self.loss)
        return self._bound[key]


def _alike(runs: Sequence[Run]) -> bool:
    """Tell whether one kernel can update all members, entry by entry."""
    first = runs[0].optimizer
    return all(
        isinstance(run.optimizer, Optimizer)
        and run.optimizer.kernel is not None
        and run.optimizer.kernel is first.kernel
        and run.optimizer.hyperparameters.keys() == first.hyperparameters.keys()
        and not getattr(run.optimizer.learning_rate, "shape", ())
        and (run.plan.penalty is None or getattr(run.plan.penalty, "entry_by_entry", False))
        for run in runs
    )
