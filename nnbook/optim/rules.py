"""The update rules of the field, each a few lines next to its equation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as onp

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

    def rule(g, buffers, theta, rate, t):
        return -rate * g, ()

    return Optimizer("sgd", _rate(learning_rate), {}, 0, rule)


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
    mu = _fraction("momentum", momentum, closed=True)

    def rule(g, buffers, theta, rate, t):
        v = mu * buffers[0] - rate * g
        return v, (v,)

    return Optimizer("momentum", _rate(learning_rate), {"momentum": mu}, 1, rule)


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
    mu = _fraction("momentum", momentum, closed=True)

    def rule(g, buffers, theta, rate, t):
        v = mu * buffers[0] - rate * g
        return -mu * buffers[0] + (1 + mu) * v, (v,)

    return Optimizer("nesterov", _rate(learning_rate), {"momentum": mu}, 1, rule)


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
    eps = _not_negative("eps", eps)

    def rule(g, buffers, theta, rate, t):
        s = buffers[0] + g * g
        return -rate * g / (s**0.5 + eps), (s,)

    return Optimizer("adagrad", _rate(learning_rate), {"eps": eps}, 1, rule)


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
    rho, eps = _fraction("decay", decay), _not_negative("eps", eps)

    def rule(g, buffers, theta, rate, t):
        s = rho * buffers[0] + (1 - rho) * g * g
        return -rate * g / (s**0.5 + eps), (s,)

    return Optimizer("rmsprop", _rate(learning_rate), {"decay": rho, "eps": eps}, 1, rule)


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
    return _adam("adam", learning_rate, beta1, beta2, eps, weight_decay=None)


def adamw(
    learning_rate: Rate,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> Optimizer:
    """Adam with decoupled weight decay: the step of `adam` minus η w θ.

    Parameters
    ----------
    learning_rate : float, array or callable
        η > 0, a schedule, or an array that broadcasts against θ.
    beta1, beta2 : float
        β₁, β₂ in [0, 1).
    eps : float
        Keeps the quotient finite; outside the root.
    weight_decay : float
        w ≥ 0; all of θ shrinks by the factor 1 − η w a step, biases too.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError, TypeError
        A rate that is not positive, a β outside [0, 1), a negative eps or weight decay.

    References
    ----------
    Loshchilov and Hutter (2019), Decoupled weight decay regularization.
    """
    decay = _not_negative("weight_decay", weight_decay)
    return _adam("adamw", learning_rate, beta1, beta2, eps, weight_decay=decay)


def _adam(name, learning_rate, beta1, beta2, eps, weight_decay):
    b1, b2 = _fraction("beta1", beta1), _fraction("beta2", beta2)
    eps = _not_negative("eps", eps)

    def rule(g, buffers, theta, rate, t):
        m = b1 * buffers[0] + (1 - b1) * g
        s = b2 * buffers[1] + (1 - b2) * g * g
        m_hat, s_hat = m / (1 - b1 ** (t + 1)), s / (1 - b2 ** (t + 1))
        step = -rate * m_hat / (s_hat**0.5 + eps)
        if weight_decay is not None:
            step = step - rate * weight_decay * theta
        return step, (m, s)

    numbers = {"beta1": b1, "beta2": b2, "eps": eps}
    if weight_decay is not None:
        numbers["weight_decay"] = weight_decay
    return Optimizer(name, _rate(learning_rate), numbers, 2, rule)


def _rate(value: Rate) -> Rate:
    """Check a learning rate: it must be known to be positive before any work is done."""
    if callable(value):
        return value
    message = (
        f"learning_rate is {value!r}; expected a positive number, an array of them, "
        "or a schedule (a function of the step)"
    )
    value = _number_or_array(value, message)
    if not _every(value, lambda v: (v > 0) & (v < onp.inf)):
        raise ValueError(f"learning_rate is {value!r}; expected positive and finite numbers")
    return value


def _fraction(name: str, value: Any, closed: bool = False) -> Any:
    # μ = 1 is allowed: a ball without friction is an experiment of the book.
    message = f"{name} is {value!r}; expected it in [0, 1{']' if closed else ')'}"
    value = _number_or_array(value, message)
    if not _every(value, lambda v: (v >= 0) & ((v <= 1) if closed else (v < 1))):
        raise ValueError(message)
    return value


def _not_negative(name: str, value: Any) -> Any:
    message = f"{name} is {value!r}; expected a number ≥ 0"
    value = _number_or_array(value, message)
    if not _every(value, lambda v: (v >= 0) & (v < onp.inf)):
        raise ValueError(message)
    return value


def _number_or_array(value: Any, message: str) -> Any:
    """Return a float, or an array as it is (a list becomes a NumPy array)."""
    if isinstance(value, (list, tuple)):
        value = onp.asarray(value, dtype=float)
    if getattr(value, "shape", ()):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(message) from None


def _every(value: Any, condition: Callable[[Any], Any]) -> bool:
    array = value.asnumpy() if hasattr(value, "asnumpy") else onp.asarray(value)
    return bool(onp.all(condition(array)))
