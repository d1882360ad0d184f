"""Any objective as a source of the training loop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as onp

from nnbook.objective import Objective, weight_mask
from nnbook.training.run import Rows, Run
from nnbook.training.updates import RuleUpdate

__all__ = ["ObjectiveSource", "ObjectiveVector"]


class ObjectiveVector:
    """The parameters of an objective as callbacks see those of a network.

    Attributes
    ----------
    theta, grad : numpy.ndarray, shape (P,)
        θ and ∇L(θ); the loop works in them and tells the objective of every step.
    """

    fixed: dict[str, Any] = {}  # noqa: RUF012 - an objective keeps nothing beside θ
    state: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, objective: Objective):
        self.objective = objective
        self.slices, self.shapes = dict(objective.slices), dict(objective.shapes)
        self.theta = onp.array(objective.theta)
        self.grad = onp.zeros_like(self.theta)

    @property
    def weight_mask(self) -> onp.ndarray:
        """Which entries of θ are weights, shape (P,)."""
        return weight_mask(self.shapes)

    def __len__(self) -> int:
        return len(self.theta)

    def memory(self) -> tuple[onp.ndarray, onp.ndarray]:
        """Return θ and ∇L themselves."""
        return self.theta, self.grad

    def publish(self) -> None:
        """Give the objective the θ that there is now."""
        self.objective.theta = self.theta

    def snapshot(self) -> dict[str, Any]:
        """Copy θ."""
        return {"theta": self.theta.copy(), "state": {}}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Put back what `snapshot` copied."""
        self.theta[...] = snapshot["theta"]
        self.publish()

    def fingerprint(self) -> str:
        """Return a hash of the layout: names, shapes, dtype."""
        layout = [(n, tuple(s)) for n, s in self.shapes.items()], str(self.theta.dtype)
        return hashlib.sha256(repr(layout).encode()).hexdigest()[:16]


class ObjectiveSource:
    """An objective in training."""

    overflow = "raise"
    path, reason = "objective", ""

    def __init__(self, objective: Objective, vector: ObjectiveVector, validation: Any):
        self.objective, self.vector, self.validation = objective, vector, validation
        together = getattr(objective, "loss_and_gradient", None)
        self._together: Callable[[Rows], Any] = together or self._apart
        self.run: Run | None = None

    def start(self, run: Run, penalty: Any) -> None:
        """Take the run that is to be trained."""
        self.run = run
        run.rule = self.rule = RuleUpdate(
            run.optimizer, *self.vector.memory(), self.vector, penalty
        )

    def _apart(self, rows: Rows) -> Any:
        return self.objective.loss(rows), self.objective.gradient(rows)

    def begin_epoch(self, epoch: int) -> None:
        """An objective draws what it draws by itself."""

    def batches(self, epoch: int) -> Iterator[tuple[Rows, ...]]:
        """Yield the rows of each step."""
        assert self.run is not None
        return zip(self.run.batches(epoch))

    def gradient(self, rows: tuple[Rows, ...]) -> Any:
        """Fill ∇L; return the mean loss."""
        loss, slope = self._together(rows[0])
        self.vector.grad[...] = slope
        return float(loss)

    def update(self) -> None:
        """Change θ, and tell the objective."""
        self.rule()
        self.vector.publish()

    def memory(self, k: int) -> tuple[onp.ndarray, onp.ndarray]:
        """Return θ and ∇L."""
        return self.vector.memory()

    def finite(self) -> bool:
        """Tell whether θ is finite."""
        return bool(onp.isfinite(self.vector.theta.sum()))

    def evaluate(self) -> list[dict[str, float]]:
        """Measure on held-out data: another objective at this θ, or a function of θ."""
        if self.validation is None:
            return [{}]
        if isinstance(self.validation, Objective):
            self.validation.theta = self.vector.theta
            return [{"loss": float(self.validation.loss())}]
        return [dict(self.validation(self.vector.theta.copy()))]

    def finish(self, k: int) -> None:
        """The objective has its θ already."""

    def close(self) -> None:
        """Nothing is kept."""
