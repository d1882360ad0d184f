"""What is done to θ after a rule's step: proximal steps, decoupled decay, projections.

Each is a rule around another, so it goes wherever a rule goes:

>>> from nnbook import losses, optim
>>> sparse = optim.proximal(optim.sgd(0.1), losses.l1_penalty(0.1))
>>> bounded = optim.max_norm(optim.momentum(0.1), 3.0, units=[0, 0, 1, 1, -1, -1])

In `nnbook.training.fit` they act on weights and not on biases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as onp

from nnbook._arguments import check_number, check_positive
from nnbook._arrays import as_numpy
from nnbook.optim.transforms import Rule, _as, complete_rule

__all__ = ["decoupled_decay", "max_norm", "proximal", "unit_numbers"]


@dataclass(frozen=True)
class _After(Rule):
    """A rule, and something done to θ after its step."""

    rule: Any

    def _settled(self, theta: Any, state: Any, step: int) -> tuple[Any, Any]:
        """Return θ and the rule's memory as they shall be, from those after its step."""
        raise NotImplementedError

    @property
    def learning_rate(self) -> Any:  # type: ignore[override]
        """η of the rule."""
        return self.rule.learning_rate

    def init(self, theta: Any) -> Any:
        """Return the number of steps, and the rule's state."""
        return (0, self.rule.init(theta))

    def update(self, gradient: Any, state: Any, theta: Any) -> tuple[Any, Any]:
        """Return the whole way of θ, and the next state."""
        t, own = state
        step, own = self.rule.update(gradient, own, theta)
        settled, own = self._settled(theta + step, own, t)
        return settled - theta, (t + 1, own)

    def apply(self, gradient: Any, state: Any, theta: Any, scratch: Any) -> Any:
        """Take one step in place; a weight that is brought to 0 is 0 exactly."""
        t, own = state
        own = self.rule.apply(gradient, own, theta, scratch)
        theta[...], own = self._settled(theta, own, t)
        return (t + 1, own)

    def rate(self, step: int) -> Any:
        """Return the learning rate of a step."""
        return self.rule.rate(step)

    def scaled(self, factor: float) -> Any:
        """Return the same with the rule's rate times a factor."""
        return replace(self, rule=self.rule.scaled(factor))

    def with_numbers(self, learning_rate: Any, **hyperparameters: Any) -> Any:
        """Return the same with another rate of the rule."""
        return replace(self, rule=self.rule.with_numbers(learning_rate, **hyperparameters))


@dataclass(frozen=True)
class proximal(_After):
    """A rule on the loss alone, then the proximal step of a penalty with the rule's own rate.

    θ′ = θ + step, then θ = argmin_w penalty(w) + Σ_i (w_i − θ′_i)² / (2 η_i). For L1 that is the
    soft threshold η_i · strength, which leaves weights at exactly 0 where a step along sign(θ)
    chatters around it; for L2 it is θ′ / (1 + η_i · strength), decay that no rate makes unstable.

    η_i is η_t for rules that have one step size for all weights. Adam, RMSprop and Adagrad divide
    each weight's step by the root of its averaged square, so each weight has its own
    η_i = η_t / (√ŝ_i + eps), read from the rule's memory after the step. With momentum, the
    velocity becomes the way that θ really went, thresholded: `momentum` is then the inertial method
    iPiano, `nesterov` FISTA with a constant momentum. A velocity left as it was would carry
    1/(1 − μ) of each gradient against the threshold of one step, and so weaken the penalty by
    1 − μ.

    Do not give `fit` the penalty too: it would be counted twice.

    Parameters
    ----------
    rule : Optimizer
        Of `nnbook.optim`; in a chain, what comes before it is clipped and so on:
        ``chain(clip(1.0), proximal(sgd(0.1), penalty))``.
    penalty : object
        With ``prox(theta, rate)``: `nnbook.losses.l1_penalty` or `nnbook.losses.l2_penalty`, its
        strength in units of the mean loss.
    where : array of bool, optional
        Which entries of θ; by default the weights in `fit`, and all of θ elsewhere.

    Raises
    ------
    TypeError
        No rule, or a penalty without a known proximal step.
    ValueError
        A chain: the step sizes of its weights are not known.

    References
    ----------
    Beck and Teboulle (2009), A fast iterative shrinkage-thresholding algorithm; Duchi, Hazan and
    Singer (2011), Adaptive subgradient methods; Ochs, Chen, Brox and Pock (2014), iPiano: inertial
    proximal algorithm for nonconvex optimization.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import losses, optim
    >>> rule = optim.proximal(optim.sgd(0.1), losses.l1_penalty(0.1))
    >>> float(optim.trajectory(rule, lambda w: w - 0.05, [1.0], 60)[-1, 0])
    0.0
    """

    penalty: Any
    where: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", complete_rule(self.rule))
        if not hasattr(self.penalty, "prox"):
            raise TypeError(
                f"penalty is {self.penalty!r}; expected one with prox(theta, rate), such as "
                "losses.l1_penalty(0.001)"
            )
        if not hasattr(self.rule, "hyperparameters"):
            raise ValueError(
                f"rule is {self.rule!r}; expected a single rule such as optim.sgd(0.1), whose step "
                "size for each weight is known. Put transforms around: "
                "chain(clip(1.0), proximal(sgd(0.1), penalty))"
            )

    def for_weights(self, mask: Any) -> proximal:
        """Return the same for a network whose weights are masked True."""
        where = mask if self.where is None else self.where
        return replace(self, rule=self.rule.for_weights(mask), where=where)

    def _settled(self, theta: Any, state: Any, step: int) -> tuple[Any, Any]:
        rate = self.rule.rate(step) * _step_sizes(self.rule, state)
        if self.where is not None:  # a rate of 0 leaves a weight as it is
            rate = rate * _mask_like(self.where, theta)
        if self.rule.name not in ("momentum", "nesterov"):
            return self.penalty.prox(theta, rate), state
        (velocity,) = state.buffers
        # Nesterov's θ looks ahead, by μ times the velocity, of where the iteration is.
        ahead = self.rule.hyperparameters["momentum"] if self.rule.name == "nesterov" else 0.0
        start = theta - (1 + ahead) * velocity
        arrived = self.penalty.prox(start + velocity, rate)
        velocity = arrived - start
        return arrived + ahead * velocity, state._replace(buffers=(velocity,))


def _step_sizes(rule: Any, state: Any) -> Any:
    """Return what a rule multiplies η with for each weight: after the step, from its memory."""
    numbers, t = rule.hyperparameters, state.step
    if rule.name in ("adam", "adamw"):
        squares = state.buffers[1] / (1 - numbers["beta2"] ** t)
    elif rule.name in ("rmsprop", "adagrad"):
        squares = state.buffers[0]
    else:
        return 1.0
    return 1 / (squares**0.5 + numbers["eps"])


@dataclass(frozen=True)
class decoupled_decay(_After):
    """Weight decay beside any rule: θ ← θ + step − η_t w θ, apart from the gradient.

    With `sgd` it is the same as L2 in the gradient of strength w; with momentum it differs only in
    when the decay acts, since a velocity carries 1/(1 − μ) of each gradient, and with Adam
    altogether, since there the penalty's gradient is divided by the averages that it is part of.
    `adamw` is ``decoupled_decay(adam(η), w)``.

    Parameters
    ----------
    rule : rule
        What makes the step.
    weight_decay : float
        w ≥ 0, relative to the rate, which may be a schedule.
    where : array of bool, optional
        Which entries of θ; by default the weights in `fit`, and all of θ elsewhere.

    Raises
    ------
    TypeError, ValueError
        No rule, or a decay that is negative or no number.

    References
    ----------
    Loshchilov and Hutter (2019), Decoupled weight decay regularization.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import optim
    >>> rule, theta = optim.decoupled_decay(optim.momentum(0.1), 0.5), np.array([1.0])
    >>> theta + rule.update(np.zeros(1), rule.init(theta), theta)[0]
    array([0.95])
    """

    weight_decay: float
    where: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", complete_rule(self.rule))
        decay = check_number(self.weight_decay, "weight_decay", least=0)
        object.__setattr__(self, "weight_decay", decay)

    def for_weights(self, mask: Any) -> decoupled_decay:
        """Return the same for a network whose weights are masked True."""
        where = mask if self.where is None else self.where
        return replace(self, rule=self.rule.for_weights(mask), where=where)

    def update(self, gradient: Any, state: Any, theta: Any) -> tuple[Any, Any]:
        """Return the rule's step with the decay of the θ before it."""
        t, own = state
        step, own = self.rule.update(gradient, own, theta)
        return step - self._share(theta, t) * theta, (t + 1, own)

    def apply(self, gradient: Any, state: Any, theta: Any, scratch: Any) -> Any:
        """Take one step in place."""
        t, own = state
        pull = self._share(theta, t) * theta
        own = self.rule.apply(gradient, own, theta, scratch)
        theta -= pull
        return (t + 1, own)

    def _share(self, theta: Any, step: int) -> Any:
        share = self.rule.rate(step) * self.weight_decay
        if self.where is None:
            return share
        return share * _mask_like(self.where, theta)


@dataclass(frozen=True)
class max_norm(_After):
    """A rule, then a bound on the length of every unit's incoming weights.

    w ← w · min(1, c / ‖w‖) for the vector w of all weights into a unit, biases apart.

    Parameters
    ----------
    rule : rule
        What makes the step.
    limit : float
        c > 0.
    units : array of int, shape (P,)
        Which unit each entry of θ goes into, −1 for those that are left alone: `unit_numbers`.

    Raises
    ------
    TypeError, ValueError
        No rule, a limit that is not positive, or units that are no whole numbers.

    References
    ----------
    Srebro, Rennie and Jaakkola (2005), Maximum-margin matrix factorization; with dropout:
    Srivastava et al. (2014).

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import optim
    >>> rule, theta = optim.max_norm(optim.sgd(0.1), 1.0, [0, 0, -1]), np.array([3.0, 4.0, 5.0])
    >>> theta + rule.update(np.zeros(3), rule.init(theta), theta)[0]
    array([0.6, 0.8, 5. ])
    """

    limit: float
    units: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", complete_rule(self.rule))
        object.__setattr__(self, "limit", check_positive(self.limit, "limit"))
        units = as_numpy(self.units, "units")
        if units.dtype.kind not in "iu" or units.ndim != 1 or not units.size or units.min() < -1:
            raise ValueError(
                f"units are {units.dtype} of shape {units.shape}; expected a whole number of at "
                "least −1 for each entry of θ, as optim.unit_numbers(shapes) gives them"
            )
        object.__setattr__(self, "units", units)

    def for_weights(self, mask: Any) -> max_norm:
        """Return the same for a network whose weights are masked True."""
        return replace(self, rule=self.rule.for_weights(mask))

    def _settled(self, theta: Any, state: Any, step: int) -> tuple[Any, Any]:
        return theta * _as(self._factors(as_numpy(theta)), theta), state

    def _factors(self, theta: onp.ndarray) -> onp.ndarray:
        """Return what each entry is multiplied by."""
        if theta.shape != self.units.shape:
            raise ValueError(
                f"θ has shape {theta.shape}, units {self.units.shape}; expected a number for each "
                "entry of θ"
            )
        # The first place is that of the entries that are left alone.
        squares = onp.bincount(self.units + 1, weights=theta.astype("float64") ** 2)
        squares[0] = 0
        lengths = onp.sqrt(squares)
        return onp.minimum(1, self.limit / onp.maximum(lengths, self.limit))[self.units + 1]


def _mask_like(where: Any, theta: Any) -> Any:
    """Return a mask as numbers of the kind of θ; `fit` gives it so already."""
    if type(where) is type(theta) and where.dtype == theta.dtype:
        return where
    return _as(as_numpy(where, "where").astype(float), theta)


def unit_numbers(
    shapes: Mapping[str, Sequence[int]], only: Callable[[str], bool] | None = None
) -> onp.ndarray:
    """Return which unit each entry of θ goes into, for `max_norm`.

    Parameters
    ----------
    shapes : mapping of str to tuple
        The parameters in their order, as ``ParameterVector(net).shapes``. The first axis of a
        weight counts the units, as in Gluon; parameters with one axis are left alone.
    only : callable, optional
        Of a name: whether that parameter is bounded. Output layers are often not.

    Returns
    -------
    numpy.ndarray of int, shape (P,)
        Units of all layers, counted on; −1 for what is left alone.

    Examples
    --------
    >>> from nnbook import optim
    >>> optim.unit_numbers({"weight": (2, 3), "bias": (2,)})
    array([ 0,  0,  0,  1,  1,  1, -1, -1])
    """
    parts, first = [], 0
    for name, shape in shapes.items():
        size = int(onp.prod(shape))
        if len(shape) < 2 or (only is not None and not only(name)):
            parts.append(onp.full(size, -1))
            continue
        parts.append(onp.repeat(onp.arange(first, first + shape[0]), size // shape[0]))
        first += shape[0]
    return onp.concatenate(parts)
