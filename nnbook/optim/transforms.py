"""Update rules made of others: one after the other, clipped, masked, scaled.

Whatever has ``init(theta) -> state`` and ``update(gradient, state, theta) -> (step, state)`` is a
rule, and a transform of gradients is one too: it returns the changed gradient for what comes after
it. Nothing is changed in place, and a state may have any shape: numbers, arrays, tuples of them.

>>> import numpy as np
>>> from nnbook import optim
>>> rule = optim.chain(optim.clip(1.0), optim.sgd(0.1))
>>> theta = np.array([3.0, 4.0])
>>> step, state = rule.update(theta, rule.init(theta), theta)
>>> step
array([-0.06, -0.08])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_positive
from nnbook.optim.base import State

__all__ = [
    "Rule",
    "add_decay",
    "chain",
    "clip",
    "clip_values",
    "leaves",
    "mask",
    "rebuilt",
    "scale",
]


class Rule:
    """What all rules share. A rule that has no rate of its own says so by ``learning_rate = None``.

    A rule or transform of your own derives from it, or has `init` and `update` alone.

    Attributes
    ----------
    learning_rate : float, array, callable or None
        η, where the rule has one.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import optim
    >>> class Softly(optim.Rule):
    ...     def update(self, gradient, state, theta):
    ...         return gradient / (1 + abs(gradient)), state
    >>> rule, theta = optim.chain(Softly(), optim.sgd(0.1)), np.array([1.0, -3.0])
    >>> rule.update(theta, rule.init(theta), theta)[0]
    array([-0.05 ,  0.075])
    """

    learning_rate: Any = None

    def init(self, theta: Any) -> Any:
        """Return the state before the first step."""
        return ()

    def update(self, gradient: Any, state: Any, theta: Any) -> tuple[Any, Any]:
        """Return the step, or the changed gradient, and the next state; nothing is changed."""
        raise NotImplementedError

    def apply(self, gradient: Any, state: Any, theta: Any, scratch: Any) -> Any:
        """Take one step in place; return the next state."""
        step, state = self.update(gradient, state, theta)
        theta += step
        return state

    def rate(self, step: int) -> Any:
        """Return the learning rate of a step; 1 for a rule without."""
        return 1.0

    def scaled(self, factor: float) -> Any:
        """Return the same rule with its rate times a factor."""
        return self

    def for_weights(self, mask: Any) -> Any:
        """Return the same rule for a network whose weights, and not its biases, are masked True."""
        return self


@dataclass(frozen=True)
class chain(Rule):
    """Rules one after the other: the step of each is the gradient of the next.

    Parameters
    ----------
    *rules : rule
        Transforms such as `clip`, then a rule that makes steps, then what changes steps. At most
        one has a learning rate.

    Raises
    ------
    TypeError
        Something that has no ``init`` and ``update``.
    ValueError
        No rule, or two with a learning rate: the second would descend along steps.

    Examples
    --------
    >>> from nnbook import optim
    >>> optim.chain(optim.clip(1.0), optim.adam(0.01))
    chain(clip(norm=1.0), adam(0.01, beta1=0.9, beta2=0.999, eps=1e-08))
    """

    rules: tuple[Any, ...]

    def __init__(self, *rules: Any):
        rules = tuple(complete_rule(rule) for rule in rules)
        rated = [rule for rule in rules if rule.learning_rate is not None]
        if not rules or len(rated) > 1:
            raise ValueError(
                f"chain of {list(rules)}; expected rules of which at most one has a learning rate"
            )
        object.__setattr__(self, "rules", rules)

    @property
    def learning_rate(self) -> Any:  # type: ignore[override]
        """η of the one rule that has a rate."""
        rates = (rule.learning_rate for rule in self.rules)
        return next((rate for rate in rates if rate is not None), None)

    def init(self, theta: Any) -> State:
        """Return every rule's state, and the number of steps."""
        return State(0, tuple(rule.init(theta) for rule in self.rules))

    def update(self, gradient: Any, state: State, theta: Any) -> tuple[Any, State]:
        """Pass the gradient through every rule."""
        states = []
        for rule, own in zip(self.rules, state.buffers, strict=True):
            gradient, own = rule.update(gradient, own, theta)
            states.append(own)
        return gradient, State(state.step + 1, tuple(states))

    def apply(self, gradient: Any, state: State, theta: Any, scratch: Any) -> State:
        """Take one step in place, the last rule by its kernel; return the next state."""
        *first, last = self.rules
        *before, own = state.buffers
        states = []
        for rule, mine in zip(first, before, strict=True):
            gradient, mine = rule.update(gradient, mine, theta)
            states.append(mine)
        states.append(last.apply(gradient, own, theta, scratch))
        return State(state.step + 1, tuple(states))

    def rate(self, step: int) -> Any:
        """Return the learning rate of a step."""
        rated = [rule for rule in self.rules if rule.learning_rate is not None]
        return rated[0].rate(step) if rated else 1.0

    def scaled(self, factor: float) -> chain:
        """Return the same chain with its rate times a factor."""
        return chain(*(rule.scaled(factor) for rule in self.rules))

    def with_numbers(self, learning_rate: Any, **hyperparameters: Any) -> chain:
        """Return the same chain with another rate, and other numbers of the rule that has one."""
        return chain(
            *(
                rule
                if rule.learning_rate is None
                else rule.with_numbers(learning_rate, **hyperparameters)
                for rule in self.rules
            )
        )

    def for_weights(self, mask: Any) -> chain:
        """Return the same chain for a network whose weights are masked True."""
        return chain(*(rule.for_weights(mask) for rule in self.rules))

    def __repr__(self) -> str:
        return f"chain({', '.join(map(repr, self.rules))})"


@dataclass(frozen=True)
class clip(Rule):
    """Shorten a gradient that is longer than a norm: g · min(1, c / ‖g‖).

    ``fit(..., clip_norm=c)`` puts it before the rule.

    Parameters
    ----------
    norm : float
        c > 0, the largest length of the whole gradient.

    References
    ----------
    Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks.
    """

    norm: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "norm", check_positive(self.norm, "norm"))

    def update(self, gradient: Any, state: Any, theta: Any) -> tuple[Any, Any]:
        """Return the gradient, shortened where it is too long; else the very array."""
        length = _length(gradient)
        return gradient * (self.norm / length) if length > self.norm else gradient, state


@dataclass(frozen=True)
class clip_values(Rule):
    """Limit every entry of a gradient: g between −c and c.

    ``fit(..., clip_value=c)`` puts it before the rule.

    Parameters
    ----------
    limit : float
        c > 0.
    """

    limit: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "limit", check_positive(self.limit, "limit"))

    def update(self, gradient: Any, state: Any, theta: Any) -> tuple[Any, Any]:
        """Return the gradient with its entries limited."""
        return gradient.clip(-self.limit, self.limit), state


@dataclass(frozen=True)
class scale(Rule):
    """Multiply a gradient, or a step: by a number, or by one for each entry of θ.

    Parameters
    ----------
    factor : float or array
        What it is multiplied by; an array broadcasts against θ.
    """

    factor: Any

    def update(self, gradient: Any, state: Any, theta: Any) -> tuple[Any, Any]:
        """Return the gradient, multiplied."""
        return gradient * _as(self.factor, theta), state


@dataclass(frozen=True)
class mask(Rule):
    """A rule for a part of θ; the rest stays as it is.

    Parameters
    ----------
    rule : rule
        What moves the part.
    where : array of bool
        Which entries of θ move; it broadcasts against θ.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import optim
    >>> rule = optim.mask(optim.sgd(0.1), np.array([True, False]))
    >>> theta = np.array([1.0, 1.0])
    >>> theta + rule.update(theta, rule.init(theta), theta)[0]
    array([0.9, 1. ])
    """

    rule: Any
    where: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", complete_rule(self.rule))

    @property
    def learning_rate(self) -> Any:  # type: ignore[override]
        """η of the rule."""
        return self.rule.learning_rate

    def init(self, theta: Any) -> Any:
        """Return the rule's state."""
        return self.rule.init(theta)

    def update(self, gradient: Any, state: Any, theta: Any) -> tuple[Any, Any]:
        """Return the rule's step where the mask lets it."""
        where = _as(onp.asarray(self.where, dtype=float), theta)
        step, state = self.rule.update(gradient * where, state, theta)
        return step * where, state

    def rate(self, step: int) -> Any:
        """Return the learning rate of a step."""
        return self.rule.rate(step)

    def scaled(self, factor: float) -> mask:
        """Return the same with the rule's rate times a factor."""
        return mask(self.rule.scaled(factor), self.where)

    def with_numbers(self, learning_rate: Any, **hyperparameters: Any) -> mask:
        """Return the same with another rate of the rule."""
        return mask(self.rule.with_numbers(learning_rate, **hyperparameters), self.where)


@dataclass(frozen=True)
class add_decay(Rule):
    """Weight decay as a part of the gradient: g + w θ, the gradient of ½ w ‖θ‖² beside the loss.

    After a rule it is decoupled: ``chain(adam(η), add_decay(-η * w))`` is AdamW with a constant
    rate.

    Parameters
    ----------
    weight_decay : float
        w.
    where : array of bool, optional
        Which entries of θ decay; by default all.
    """

    weight_decay: float
    where: Any = None

    def update(self, gradient: Any, state: Any, theta: Any) -> tuple[Any, Any]:
        """Return the gradient with the decay added."""
        pull = self.weight_decay * theta
        if self.where is not None:
            pull = pull * _as(onp.asarray(self.where, dtype=float), theta)
        return gradient + pull, state


def _length(gradient: Any) -> float:
    """Return ‖g‖; of NumPy's arrays in one pass that allocates nothing."""
    if not isinstance(gradient, onp.ndarray):
        return float((gradient * gradient).sum()) ** 0.5
    flat = gradient.reshape(-1)
    square = float(onp.einsum("i,i->", flat, flat))
    if square == float("inf"):  # in float32, already that of a length of 2e19
        flat = flat.astype("float64")
        square = float(onp.einsum("i,i->", flat, flat))
    return square**0.5


@dataclass(frozen=True)
class _Own(Rule):
    """A rule or transform that has `init` and `update` and not the rest, with the rest.

    Its rate, if it has one, is its own affair.
    """

    rule: Any

    def init(self, theta: Any) -> Any:
        return self.rule.init(theta)

    def update(self, gradient: Any, state: Any, theta: Any) -> tuple[Any, Any]:
        return self.rule.update(gradient, state, theta)

    def __repr__(self) -> str:
        return repr(self.rule)


def is_rule(thing: Any) -> bool:
    """Tell whether something has what a rule needs: `init` and `update`."""
    return hasattr(thing, "init") and hasattr(thing, "update")


def complete_rule(rule: Any) -> Any:
    """Return a rule with all that `Rule` has; raise TypeError for what is none."""
    if not is_rule(rule):
        raise TypeError(f"{rule!r} is no update rule; expected init(theta) and update(g, state, θ)")
    rest = ("learning_rate", "apply", "rate", "scaled", "for_weights")
    return rule if all(hasattr(rule, name) for name in rest) else _Own(rule)


def _as(factor: Any, theta: Any) -> Any:
    """Bring a number or an array to the kind, dtype and device of θ."""
    if not getattr(factor, "shape", ()):
        return float(factor)
    if isinstance(theta, onp.ndarray):
        return onp.asarray(factor, dtype=theta.dtype)
    found = onp.zeros_like(theta)  # MXNet's, on its device
    found[...] = factor
    return found


def leaves(state: Any) -> list[Any]:
    """Return the numbers and arrays of a state, depth first."""
    if isinstance(state, (tuple, list)):
        return [leaf for part in state for leaf in leaves(part)]
    return [] if state is None else [state]


def rebuilt(state: Any, values: list[Any]) -> Any:
    """Return a state shaped like another, of other numbers and arrays; it uses up `values`."""
    if isinstance(state, (tuple, list)):
        parts = [rebuilt(part, values) for part in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    return None if state is None else values.pop(0)
