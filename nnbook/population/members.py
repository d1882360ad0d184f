"""What the members of a population have for themselves: rule, penalty, seed."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook import optim
from nnbook.optim import Optimizer

__all__ = ["Member", "stacked_rule"]


class Member:
    """What one member has for itself: its rule, its penalty, its seed."""

    def __init__(self, k: int, of: int, optimizer: Optimizer, penalty: Any, seeds: Any):
        self.index = k
        self.rule = (
            optimizer if not isinstance(optimizer, Optimizer) else _rule_of(optimizer, k, of)
        )
        self.penalty = penalty
        if isinstance(penalty, (list, tuple)):
            self.penalty = _entry("penalty", penalty, k, of)
        self.seed = k if seeds is None else int(_entry("seeds", seeds, k, of))


def _entry(name: str, values: Any, k: int, of: int) -> Any:
    if len(values) != of:
        raise ValueError(f"{name} has {len(values)} entries for {of} networks; expected one each")
    return values[k]


def _of_member(name: str, value: Any, k: int, of: int) -> Any:
    """Return member k's part of a number or an array of K."""
    if getattr(value, "shape", ()) == ():
        return value
    if value.shape != (of,):
        raise ValueError(f"{name} has shape {value.shape}; expected one number, or {of}")
    return float(value[k])


def _rule_of(optimizer: Optimizer, k: int, of: int) -> Optimizer:
    """Return the rule of member k."""
    rate = _of_member("learning_rate", optimizer.learning_rate, k, of)
    numbers = {
        name: _of_member(name, value, k, of) for name, value in optimizer.hyperparameters.items()
    }
    return getattr(optim, optimizer.name)(rate, **numbers)


def stacked_rule(rules: list[Optimizer]) -> Optimizer:
    """Return one rule whose numbers reach each member, shape (K, 1) where they differ."""
    rates = [rule.learning_rate for rule in rules]
    rate = rates[0] if callable(rates[0]) else _column(rates)
    numbers = {
        name: _column([rule.hyperparameters[name] for rule in rules])
        for name in rules[0].hyperparameters
    }
    return getattr(optim, rules[0].name)(rate, **numbers)


def _column(values: list[float]) -> Any:
    return values[0] if len(set(values)) == 1 else onp.array(values)[:, None]
