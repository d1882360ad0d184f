"""Rules by their names, each with a rate to begin with."""

from __future__ import annotations

from typing import Any

from nnbook.optim import rules
from nnbook.optim.transforms import chain, clip, clip_values, is_rule

__all__ = ["DEFAULT_RATES", "clipped", "named"]

#: The rate of a rule that is given by its name alone: what its paper or, where that names none,
#: Keras and PyTorch begin with. It is a start, and no substitute for a search.
DEFAULT_RATES = {
    "sgd": 0.01,
    "momentum": 0.01,
    "nesterov": 0.01,
    "adagrad": 0.01,
    "rmsprop": 0.001,
    "adam": 0.001,
    "adamw": 0.001,
}


def named(optimizer: Any) -> Any:
    """Return the rule of a name, its other numbers being the rule's defaults.

    Parameters
    ----------
    optimizer : str, tuple or rule
        A name, with the rate of `DEFAULT_RATES`; a pair ``(name, learning_rate)``; anything else
        comes back as it is.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError, TypeError
        No such name; a rate that is none.

    Examples
    --------
    >>> from nnbook import optim
    >>> optim.named("adam")
    adam(0.001, beta1=0.9, beta2=0.999, eps=1e-08)
    >>> optim.named(("momentum", 0.1))
    momentum(0.1, momentum=0.9)
    """
    pair = isinstance(optimizer, tuple) and len(optimizer) == 2 and isinstance(optimizer[0], str)
    if not (pair or isinstance(optimizer, str)):
        return optimizer
    name = optimizer[0] if pair else optimizer
    if name not in DEFAULT_RATES:
        raise ValueError(
            f"optimizer is {name!r}; expected one of {', '.join(map(repr, DEFAULT_RATES))}, a pair "
            "of one and its rate, or a rule such as nnbook.optim.momentum(0.1)"
        )
    return getattr(rules, name)(optimizer[1] if pair else DEFAULT_RATES[name])


def clipped(optimizer: Any, norm: float | None = None, value: float | None = None) -> Any:
    """Return a rule that gets clipped gradients.

    Parameters
    ----------
    optimizer : rule
        The rule.
    norm : float, optional
        The largest length of the whole gradient, as of `clip`.
    value : float, optional
        The largest magnitude of an entry, as of `clip_values`; it comes first.

    Returns
    -------
    rule
        ``chain(clip_values(value), clip(norm), optimizer)``, or the rule itself where neither is
        given.

    Raises
    ------
    TypeError, ValueError
        Numbers that are not positive; one of MXNet's optimizers.
    """
    before: list[Any] = [] if value is None else [clip_values(value)]
    before += [] if norm is None else [clip(norm)]
    if not before:
        return optimizer
    if not is_rule(optimizer):
        raise TypeError(
            f"optimizer is {optimizer!r}; clip_norm and clip_value expect a rule of nnbook.optim. "
            "MXNet's own optimizers limit entries by their clip_gradient"
        )
    return chain(*before, optimizer)
