"""Update rules with second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as onp

from nnbook._arguments import check_number, check_positive, check_whole
from nnbook._arrays import as_numpy, like
from nnbook.optim.base import Optimizer, State
from nnbook.optim.rules import sgd
from nnbook.optim.transforms import Rule

__all__ = ["sdlm"]


@dataclass(frozen=True)
class sdlm(Rule):
    """Stochastic diagonal Levenberg–Marquardt: θᵢ ← θᵢ − ε / (⟨hᵢ⟩ + μ) gᵢ.

    Every weight has a rate of its own, from a running average of its second derivative:
    ⟨h⟩ ← (1 − γ) ⟨h⟩ + γ h, new every so many steps. It is diagonal, so correlations between
    weights are not seen; μ keeps the rate finite where the curvature is small.

    Parameters
    ----------
    learning_rate : float or callable
        ε > 0, or a schedule.
    curvature : callable
        ``curvature(theta, t) -> (P,)``: the diagonal at a θ (NumPy's), on a sample of the
        examples; positive, as ``nnbook.curvature.diagonal(…, positive=True)`` is. It is asked at
        the steps t = 0, `every`, 2 `every`, …; negative entries count as 0.
    mu : float
        μ > 0.
    every : int
        Steps between estimates; LeCun et al. estimate before each pass.
    gamma : float
        γ in (0, 1]; the first estimate counts fully. 1 forgets all before.

    References
    ----------
    Becker and LeCun (1989), Improving the convergence of back-propagation learning with second
    order methods; LeCun, Bottou, Orr and Müller (1998), Efficient BackProp, section 8.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import optim
    >>> h = np.array([1.0, 100.0])  # of the bowl Σ hᵢ θᵢ² / 2
    >>> rule = optim.sdlm(0.5, lambda theta, t: h, mu=1e-9)
    >>> optim.trajectory(rule, lambda theta: h * theta, [1.0, 1.0], 2).round(6)
    array([[1.  , 1.  ],
           [0.5 , 0.5 ],
           [0.25, 0.25]])
    """

    learning_rate: Any = None
    curvature: Callable[[Any, int], Any] = None  # type: ignore[assignment]
    mu: float = 0.02
    every: int = 100
    gamma: float = 1.0

    def __post_init__(self) -> None:
        sgd(self.learning_rate)  # says what is wrong with a rate
        if not callable(self.curvature):
            raise TypeError(
                f"curvature is {self.curvature!r}; expected a function of theta and the step"
            )
        check_positive(self.mu, "mu")
        check_whole(self.every, "every")
        check_number(self.gamma, "gamma", above=0, most=1)

    def init(self, theta: Any) -> State:
        """Return step 0 and a diagonal of zeros."""
        return State(0, (onp.zeros_like(theta),))

    def update(self, gradient: Any, state: State, theta: Any) -> tuple[Any, State]:
        """Return −ε / (⟨h⟩ + μ) g."""
        t, (average,) = state.step, state.buffers
        if t % self.every == 0:
            average = self._renewed(average, theta, t)
        return -self.rate(t) * gradient / (average + self.mu), State(t + 1, (average,))

    def _renewed(self, average: Any, theta: Any, t: int) -> Any:
        values = as_numpy(theta, "theta")
        found = onp.maximum(onp.asarray(self.curvature(values.copy(), t)), 0.0)
        if found.shape != values.shape or not onp.isfinite(found).all():
            raise ValueError(
                f"curvature gave shape {found.shape}; expected finite numbers of shape "
                f"{values.shape}, one for each entry of theta"
            )
        if t:
            found = (1 - self.gamma) * as_numpy(average, "average") + self.gamma * found
        return like(found.astype(values.dtype), theta)

    def rate(self, step: int) -> Any:
        """Return ε of a step."""
        return self._sgd().rate(step)

    def _sgd(self) -> Optimizer:
        return sgd(self.learning_rate)

    def scaled(self, factor: float) -> sdlm:
        """Return the same rule with its rate times a factor."""
        return replace(self, learning_rate=self._sgd().scaled(factor).learning_rate)
