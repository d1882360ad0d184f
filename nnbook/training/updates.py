"""From a gradient to a new θ: the penalty, then the rule, and what the rule remembers."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook.optim.transforms import complete_rule, leaves, rebuilt

__all__ = ["RuleUpdate", "check_penalty", "check_rate"]


class RuleUpdate:
    """Updates by a rule of `nnbook.optim`, in NumPy's memory.

    Parameters
    ----------
    rule : Optimizer or Rule
        With ``init``, ``update`` and ``apply``.
    theta, grad : numpy.ndarray, shape (P,)
        θ, changed by every call, and ∇L.
    vector : object
        The parameters, for the shapes of what a penalty acts on.
    penalty : object or None
        With ``gradient(theta)``; it acts on weights, not on biases.
    """

    random = False  # a rule is a pure function

    def __init__(self, rule: Any, theta: Any, grad: Any, vector: Any, penalty: Any):
        check_penalty(penalty)
        self.theta, self.grad, self.penalty = theta, grad, penalty
        rule = complete_rule(rule).for_weights(self.array(vector.weight_mask))
        self._own = self.rule = check_rate(rule, len(vector), self.array)
        self._mask = None if penalty is None else self.array(vector.weight_mask)
        self._scratch = self._empty()
        self._state = rule.init(theta)

    def array(self, values: Any) -> Any:
        """Bring values to the kind, dtype and device of θ."""
        return onp.array(values, dtype=self.theta.dtype)

    def _empty(self) -> Any:
        return onp.empty_like(self.theta)

    def __call__(self) -> None:
        """Take one step."""
        if self.penalty is not None:
            self.grad += self.penalty.gradient(self.theta * self._mask) * self._mask
        self._state = self.rule.apply(self.grad, self._state, self.theta, self._scratch)

    def rate_of(self, step: int) -> Any:
        """Return the rate of a step, counted from 1."""
        return self.rule.rate(step - 1)

    def scale_rate(self, factor: float) -> None:
        """Multiply the rule's own rate, number or schedule, from now on; 1 gives it back."""
        self.rule = self._own.scaled(factor) if factor != 1 else self._own

    def buffers(self) -> list[Any]:
        """Return the arrays that the rule remembers."""
        return [leaf for leaf in leaves(self._state) if getattr(leaf, "shape", ())]

    def state(self) -> dict[str, Any]:
        """Return the rule's memory as numbers and NumPy arrays."""
        return {"leaves": [_to_numpy(leaf) for leaf in leaves(self._state)]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        values = [self.array(v) if getattr(v, "shape", ()) else v for v in state["leaves"]]
        self._state = rebuilt(self._state, values)


def check_rate(rule: Any, size: int, array: Any) -> Any:
    """Return a rule whose rates, if it has one for each parameter, are laid out like θ."""
    rate: Any = getattr(rule, "learning_rate", None)
    if not getattr(rate, "shape", ()):
        return rule
    if rate.shape not in ((1,), (size,)):
        raise ValueError(
            f"learning_rate has shape {rate.shape}; expected a number, or one rate for each of the "
            f"{size} parameters, as laid out in ParameterVector.slices"
        )
    return rule.with_numbers(array(onp.broadcast_to(_to_numpy(rate), (size,))))


def check_penalty(penalty: Any) -> None:
    """Raise TypeError for what is no penalty."""
    if penalty is not None and not hasattr(penalty, "gradient"):
        raise TypeError(
            f"penalty is {penalty!r}; expected an object such as nnbook.losses.l2_penalty(0.001)"
        )


def _to_numpy(value: Any) -> Any:
    if hasattr(value, "asnumpy"):
        return value.asnumpy()
    return value.copy() if isinstance(value, onp.ndarray) else value
