"""What public functions take, for type checkers and editors: MXNet has no types of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Loss", "Network", "Rule"]

#: ``loss(outputs, targets)``, one value for each example; or the name of one of `nnbook.losses`.
Loss = Callable[[Any, Any], Any] | str


class Network(Protocol):
    """A Gluon network: whatever derives from ``mxnet.gluon.Block``."""

    def __call__(self, *inputs: Any) -> Any:
        """Return the outputs for some examples."""

    def collect_params(self, select: Any = None) -> Any:
        """Return the parameters by their names."""


class Rule(Protocol):
    """An update rule: what `nnbook.optim` makes, or an object with these two methods."""

    def init(self, theta: Any) -> Any:
        """Return the state before the first step."""

    def update(self, gradient: Any, state: Any, theta: Any) -> tuple[Any, Any]:
        """Return the step and the next state."""
