"""The update rules of the field, each a few lines next to its equation."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import replace
from functools import partial, update_wrapper
from typing import Any

import numpy as onp

from nnbook._arguments import as_scalar, check_flag, check_positive
from nnbook._arrays import as_numpy
from nnbook.optim import kernels
from nnbook.optim.base import Optimizer, Rate

__all__ = ["adagrad", "adam", "adamw", "momentum", "nesterov", "rmsprop", "sgd"]


def sgd(learning_rate: Rate) -> Optimizer:
    """Gradient descent, stochastic or not: θ ← θ − η g.

    Parameters
    ----------
    learning_rate : float, array or callable
        η > 0, a schedule, or an array that broadcasts against θ.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError, TypeError
        A rate that is not a positive number, array or callable.

    References
    ----------
    Robbins and Monro (1951), A stochastic approximation method.

    Examples
    --------
    >>> import numpy
    >>> from nnbook import optim
    >>> theta, rule = numpy.array([1.0]), optim.sgd(0.1)
    >>> step, state = rule.update(theta, rule.init(theta), theta)
    >>> theta + step
    array([0.9])
    """

    return _rule("sgd", learning_rate, {}, 0, _sgd)


def _sgd(g, buffers, theta, rate, t):
    return -rate * g, ()


def momentum(learning_rate: Rate, momentum: float = 0.9) -> Optimizer:
    """Heavy-ball momentum: v ← μ v − η g, θ ← θ + v.

    Parameters
    ----------
    learning_rate : float, array or callable
        η > 0, a schedule, or an array that broadcasts against θ.
    momentum : float
        μ in [0, 1]; the share of the velocity that is kept.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError, TypeError
        A rate that is not positive, or μ outside [0, 1].

    References
    ----------
    Polyak (1964), Some methods of speeding up the convergence of iteration methods.
    """
    given = {"momentum": _fraction("momentum", momentum, closed=True)}
    return _rule("momentum", learning_rate, given, 1, _momentum)


def _momentum(g, buffers, theta, rate, t, *, momentum):
    v = momentum * buffers[0] - rate * g
    return v, (v,)


def nesterov(learning_rate: Rate, momentum: float = 0.9) -> Optimizer:
    """Nesterov's momentum, θ being the look-ahead point: θ ← θ − μ v + (1 + μ) v′.

    With v′ = μ v − η g(θ). The classical form takes the gradient at x + μ v; written for
    θ = x + μ v it is the same iteration and needs the gradient only where θ is.

    Parameters
    ----------
    learning_rate : float, array or callable
        η > 0, a schedule, or an array that broadcasts against θ.
    momentum : float
        μ in [0, 1].

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError, TypeError
        A rate that is not positive, or μ outside [0, 1].

    References
    ----------
    Nesterov (1983); Sutskever, Martens, Dahl and Hinton (2013), On the importance of
    initialization and momentum in deep learning.
    """
    given = {"momentum": _fraction("momentum", momentum, closed=True)}
    return _rule("nesterov", learning_rate, given, 1, _nesterov)


def _nesterov(g, buffers, theta, rate, t, *, momentum):
    v = momentum * buffers[0] - rate * g
    return -momentum * buffers[0] + (1 + momentum) * v, (v,)


def adagrad(learning_rate: Rate, eps: float = 1e-8) -> Optimizer:
    """Adagrad: s ← s + g², θ ← θ − η g / (√s + eps).

    Parameters
    ----------
    learning_rate : float, array or callable
        η > 0, a schedule, or an array that broadcasts against θ.
    eps : float
        Keeps the quotient finite; outside the root.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError, TypeError
        A rate that is not positive, or a negative eps.

    References
    ----------
    Duchi, Hazan and Singer (2011), Adaptive subgradient methods.
    """
    return _rule("adagrad", learning_rate, {"eps": _not_negative("eps", eps)}, 1, _adagrad)


def _adagrad(g, buffers, theta, rate, t, *, eps):
    s = buffers[0] + g * g
    return -rate * g / (s**0.5 + eps), (s,)


def rmsprop(learning_rate: Rate, decay: float = 0.9, eps: float = 1e-8) -> Optimizer:
    """RMSprop: s ← ρ s + (1 − ρ) g², θ ← θ − η g / (√s + eps).

    Parameters
    ----------
    learning_rate : float, array or callable
        η > 0, a schedule, or an array that broadcasts against θ.
    decay : float
        ρ in [0, 1).
    eps : float
        Keeps the quotient finite; outside the root.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError, TypeError
        A rate that is not positive, a decay outside [0, 1), or a negative eps.

    References
    ----------
    Tieleman and Hinton (2012), Lecture 6.5: rmsprop.
    """
    given = {"decay": _fraction("decay", decay), "eps": _not_negative("eps", eps)}
    return _rule("rmsprop", learning_rate, given, 1, _rmsprop)


def _rmsprop(g, buffers, theta, rate, t, *, decay, eps):
    s = decay * buffers[0] + (1 - decay) * g * g
    return -rate * g / (s**0.5 + eps), (s,)


def adam(
    learning_rate: Rate, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8
) -> Optimizer:
    """Adam: averages m of g and s of g², corrected for their start at zero.

    m ← β₁ m + (1 − β₁) g,  s ← β₂ s + (1 − β₂) g²,
    θ ← θ − η m̂ / (√ŝ + eps) with m̂ = m / (1 − β₁ᵗ), ŝ = s / (1 − β₂ᵗ), t = 1, 2, …

    Parameters
    ----------
    learning_rate : float, array or callable
        η > 0, a schedule, or an array that broadcasts against θ.
    beta1, beta2 : float
        β₁, β₂ in [0, 1).
    eps : float
        Keeps the quotient finite; outside the root. MXNet's own Adam folds the correction into
        the rate, which amounts to another eps.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError, TypeError
        A rate that is not positive, a β outside [0, 1), or a negative eps.

    References
    ----------
    Kingma and Ba (2015), Adam: a method for stochastic optimization.
    """
    return _rule("adam", learning_rate, _adam_numbers(beta1, beta2, eps), 2, _adam)


def adamw(
    learning_rate: Rate,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    base_rate: float | None = None,
    decay_biases: bool = True,
) -> Optimizer:
    """Adam with decoupled weight decay: the step of `adam` minus η w θ.

    Two readings are in use. In PyTorch, and here by default, the decay is multiplied by the rate η.
    In the paper's algorithm it is multiplied by the schedule's factor alone, η/α, where α is the
    rate without the schedule: give α as `base_rate`.

    Parameters
    ----------
    learning_rate : float, array or callable
        η > 0, a schedule, or an array that broadcasts against θ.
    beta1, beta2 : float
        β₁, β₂ in [0, 1).
    eps : float
        Keeps the quotient finite; outside the root.
    weight_decay : float
        w ≥ 0. θ shrinks by the factor 1 − η w a step, or 1 − (η/α) w with a `base_rate`.
    base_rate : float, optional
        α > 0, the rate that the schedule multiplies.
    decay_biases : bool
        Whether parameters with one axis decay too, as in PyTorch. Without a network, the rule does
        not know which they are, and all of θ decays.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError, TypeError
        A rate that is not positive, a β outside [0, 1), a negative eps or weight decay.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import optim
    >>> theta, none = np.array([1.0]), np.array([0.0])
    >>> for rule in (optim.adamw(0.1, weight_decay=0.5),
    ...              optim.adamw(0.1, weight_decay=0.5, base_rate=0.1)):
    ...     print(theta + rule.update(none, rule.init(theta), theta)[0])
    [0.95]
    [0.5]

    References
    ----------
    Loshchilov and Hutter (2019), Decoupled weight decay regularization.
    """
    given = _adam_numbers(beta1, beta2, eps)
    given["weight_decay"] = _not_negative("weight_decay", weight_decay)
    if base_rate is not None:
        given["weight_decay"] /= check_positive(base_rate, "base_rate")
    rule = _rule("adamw", learning_rate, given, 2, _adam)
    return rule if check_flag(decay_biases, "decay_biases") else replace(rule, decays="weights")


def _adam_numbers(beta1, beta2, eps):
    b1, b2 = _fraction("beta1", beta1), _fraction("beta2", beta2)
    return {"beta1": b1, "beta2": b2, "eps": _not_negative("eps", eps)}


def _adam(g, buffers, theta, rate, t, *, beta1, beta2, eps, weight_decay=None):
    m = beta1 * buffers[0] + (1 - beta1) * g
    s = beta2 * buffers[1] + (1 - beta2) * g * g
    m_hat, s_hat = m / (1 - beta1 ** (t + 1)), s / (1 - beta2 ** (t + 1))
    step = -rate * m_hat / (s_hat**0.5 + eps)
    if weight_decay is not None:
        step = step - rate * weight_decay * theta
    return step, (m, s)


def _rule(
    name: str, learning_rate: Rate, numbers: dict[str, Any], buffers: int, function: Any
) -> Optimizer:
    # A partial can be pickled, which a function within a function cannot; wrapped, it shows the
    # source of the function.
    rule = update_wrapper(partial(function, **numbers), function)
    kernel = getattr(kernels, function.__name__.removeprefix("_"))
    return Optimizer(name, _rate(learning_rate), numbers, buffers, rule, kernel)


def _rate(value: Rate) -> Rate:
    """Check a learning rate: it must be known to be positive before any work is done."""
    if callable(value):
        return value
    message = (
        f"learning_rate is {value!r}; expected positive and finite numbers: one, an array of "
        "them, or a schedule (a function of the step)"
    )
    return _checked(value, message, lambda v: (v > 0) & (v < onp.inf))


def _fraction(name: str, value: Any, closed: bool = False) -> Any:
    # μ = 1 is allowed: a ball without friction is an experiment of the book.
    message = f"{name} is {value!r}; expected it in [0, 1{']' if closed else ')'}"
    return _checked(value, message, lambda v: (v >= 0) & ((v <= 1) if closed else (v < 1)))


def _not_negative(name: str, value: Any) -> Any:
    message = f"{name} is {value!r}; expected a finite number ≥ 0"
    return _checked(value, message, lambda v: (v >= 0) & (v < onp.inf))


def _checked(value: Any, message: str, condition: Callable[[Any], Any]) -> Any:
    """Return a float, or an array as it is (a list becomes a NumPy array)."""
    if isinstance(value, (list, tuple)):
        value = as_numpy(value, "a list of numbers").astype(float)
    if not getattr(value, "shape", ()):
        value = as_scalar(value)
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(message)
        value = float(value)
    if not condition(as_numpy(value)).all():
        raise ValueError(message)
    return value
