"""What the members of a population have for themselves: rule, penalty, order, callbacks, seed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_list, check_seed
from nnbook.optim import Optimizer, named
from nnbook.optim.transforms import complete_rule, is_rule
from nnbook.training.callbacks import Callback, EarlyStopping
from nnbook.training.run import Plan, permuted

__all__ = ["Member", "members_of"]


@dataclass(frozen=True)
class Member:
    """One member: its number, its network, its plan and its callbacks."""

    index: int
    net: Any
    plan: Plan
    callbacks: tuple[Callback, ...]


def members_of(
    nets: Sequence[Any],
    *,
    loss: Any,
    optimizer: Any,
    batch_size: int,
    epochs: int,
    seeds: Sequence[int] | None,
    penalty: Any,
    early_stopping: EarlyStopping | None,
    callbacks: Callable[[int], Sequence[Callback]] | Sequence[Sequence[Callback]] | None,
    shuffle: bool,
    order: Any,
) -> list[Member]:
    """Give every member what it has for itself; arguments as for `fit_population`."""
    count = len(nets)
    rules = _rules(optimizer, count)
    penalties = _each("penalty", penalty, count)
    orders = _each("order", order if order is not None else (permuted if shuffle else None), count)
    seeds = range(count) if seeds is None else seeds
    if len(seeds) != count:
        raise _uneven("seeds", seeds, count)
    called = _callbacks(callbacks, count)
    if not isinstance(early_stopping, (EarlyStopping, type(None))):
        raise TypeError(
            f"early_stopping is {early_stopping!r}; expected None or an EarlyStopping, such as "
            "training.EarlyStopping('val_loss', patience=10)"
        )
    found = []
    for k, net in enumerate(nets):
        stopping = () if early_stopping is None else (copy.deepcopy(early_stopping),)
        seed = check_seed(seeds[k], f"seeds[{k}]")
        plan = Plan(epochs, batch_size, seed, orders[k], rules[k], penalties[k], loss)
        found.append(Member(k, net, plan, (*called[k], *stopping)))
    return found


def _each(name: str, value: Any, count: int) -> list[Any]:
    """Return one thing for each member, of one for all or a sequence of them."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise _uneven(name, value, count)
    return list(value)


def _uneven(name: str, values: Any, count: int) -> ValueError:
    return ValueError(f"{name} has {len(values)} entries for {count} networks; expected one each")


def _rules(optimizer: Any, count: int) -> list[Any]:
    """Return each member's rule: its own, or its part of one whose numbers are arrays."""
    rules = [named(rule) for rule in _each("optimizer", _one_rule(optimizer), count)]
    for rule in rules:
        if not is_rule(rule):
            raise TypeError(f"optimizer is {rule!r}; expected a rule of nnbook.optim, or a list")
    return [_rule_of(complete_rule(rule), k, count) for k, rule in enumerate(rules)]


def _one_rule(optimizer: Any) -> Any:
    """Return a rule of a pair ``("adam", 0.01)``, which is no sequence of rules."""
    pair = isinstance(optimizer, tuple) and len(optimizer) == 2 and isinstance(optimizer[0], str)
    return named(optimizer) if pair and not isinstance(optimizer[1], str) else optimizer


def _rule_of(rule: Any, k: int, count: int) -> Any:
    """Return member k's rule, where the numbers of one rule are arrays with an entry for each."""
    numbers = getattr(rule, "hyperparameters", {})
    given = {"learning_rate": getattr(rule, "learning_rate", None), **numbers}
    if not isinstance(rule, Optimizer) or not any(_is_array(value) for value in given.values()):
        return rule
    own = {name: _of_member(name, value, k, count) for name, value in given.items()}
    return rule.with_numbers(own.pop("learning_rate"), **own)


def _is_array(value: Any) -> bool:
    return bool(getattr(value, "shape", ()))


def _of_member(name: str, value: Any, k: int, count: int) -> Any:
    if not _is_array(value):
        return value
    if value.shape != (count,):
        raise ValueError(f"{name} has shape {value.shape}; expected one number, or {count}")
    return float(onp.asarray(value)[k])


def _callbacks(callbacks: Any, count: int) -> list[tuple[Callback, ...]]:
    """Return each member's callbacks."""
    if callbacks is None:
        return [()] * count
    if callable(callbacks):
        callbacks = [callbacks(k) for k in range(count)]
    lists = list(callbacks)
    if any(isinstance(thing, Callback) for thing in lists):
        raise TypeError(
            "callbacks has callbacks in it; expected a list of them for each member, or a function "
            "k -> list: every member needs callbacks of its own"
        )
    if len(lists) != count:
        raise _uneven("callbacks", lists, count)
    return [tuple(check_list(mine, f"callbacks[{k}]", Callback)) for k, mine in enumerate(lists)]
