"""Which direction to go: gradients alone, and what the last ones tell of the curvature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnbook._arguments import check_choice, check_flag, check_whole
from nnbook.solvers.functions import Point, Scalar
from nnbook.solvers.searches import Wolfe

__all__ = ["BFGS", "LBFGS", "ConjugateGradients", "Descent", "Steepest"]

Array = np.ndarray
# sᵀy below this share of ‖s‖‖y‖ tells nothing of the curvature but rounding.
_FLAT = 1e-12


class Descent:
    """What all descents share: a direction from a point and a state; nothing is kept in itself.

    A class of your own has `direction`, and if it remembers something, `init` and `learn`.

    Attributes
    ----------
    natural : bool
        Whether a step of 1 is the one to try first: Newton and his relatives.
    cautious : bool
        Whether to try less than 1 where the last step lowered the value by little.
    search : search
        The one that suits it.
    """

    natural = True
    cautious = False

    @property
    def search(self) -> Any:
        """The search that suits it."""
        return Wolfe()

    def init(self, point: Point) -> Any:
        """Return the state before the first step."""
        return None

    def direction(self, function: Scalar, point: Point, state: Any) -> tuple[Array, Any]:
        """Return where to go from a point, shape (P,), and the state."""
        raise NotImplementedError

    def learn(self, before: Point, after: Point, state: Any) -> Any:
        """Return the state after a step."""
        return state


@dataclass(frozen=True)
class Steepest(Descent):
    """Straight down: d = −∇f."""

    natural = False

    def direction(self, function: Scalar, point: Point, state: Any) -> tuple[Array, Any]:
        """Return −∇f."""
        return -point.gradient, state


@dataclass(frozen=True)
class ConjugateGradients(Descent):
    """Conjugate gradients: d ← −g + β d, each direction conjugate to those before.

    With g the new and p the last gradient, β is gᵀg / pᵀp (Fletcher–Reeves, "FR"), gᵀ(g − p) / pᵀp
    (Polak–Ribière, "PR"), or that, if it is not negative ("PR+"). On a quadratic with an exact
    search all three are the same, and P steps are enough.

    Parameters
    ----------
    beta : str
        "FR", "PR" or "PR+".
    restart : int, optional
        Begin anew with −g after so many steps; by default 3P. A direction that does not fall begins
        anew in any case, and so does PR⁺ where β would be negative.

    References
    ----------
    Hestenes and Stiefel (1952); Fletcher and Reeves (1964); Polak and Ribière (1969); Gilbert and
    Nocedal (1992), Global convergence properties of conjugate gradient methods.
    """

    beta: str = "PR+"
    restart: int | None = None
    natural = False

    def __post_init__(self) -> None:
        check_choice(self.beta, "beta", ("FR", "PR", "PR+"))
        if self.restart is not None:
            check_whole(self.restart, "restart")

    @property
    def search(self) -> Wolfe:
        """A search that is nearly exact; FR needs c₂ < ½."""
        return Wolfe(curvature=0.1)

    def direction(self, function: Scalar, point: Point, state: Any) -> tuple[Array, Any]:
        """Return −g + β d."""
        g = point.gradient
        if state is None:
            return -g, (-g, g, 1)
        d, p, count = state
        if count >= (self.restart or 3 * len(g)):
            return -g, (-g, g, 1)
        change = g if self.beta == "FR" else g - p
        beta = float(g @ change) / float(p @ p)
        if self.beta == "PR+":
            beta = max(beta, 0.0)
        new = -g + beta * d
        if not new @ g < 0:
            return -g, (-g, g, 1)
        return new, (new, g, count + 1)


@dataclass(frozen=True)
class BFGS(Descent):
    """Quasi-Newton with a whole matrix: d = −B⁻¹ g, B⁻¹ learned from steps s and changes y of g.

    B⁻¹ ← (I − ρ s yᵀ) B⁻¹ (I − ρ y sᵀ) + ρ s sᵀ with ρ = 1/yᵀs: the matrix nearest to the last one
    that maps y to s. It needs P² numbers.

    Parameters
    ----------
    scaled : bool
        Whether to begin with γI, γ = sᵀy / yᵀy of the first step, and not with I. Where the units
        of x are far from those of f that saves the first searches; elsewhere it costs some.

    References
    ----------
    Broyden; Fletcher; Goldfarb; Shanno (1970).
    """

    scaled: bool = False
    cautious = True

    def __post_init__(self) -> None:
        check_flag(self.scaled, "scaled")

    def direction(self, function: Scalar, point: Point, state: Any) -> tuple[Array, Any]:
        """Return −B⁻¹ g."""
        if state is None:
            return -point.gradient / max(1.0, float(np.linalg.norm(point.gradient))), None
        return -(state @ point.gradient), state

    def learn(self, before: Point, after: Point, state: Any) -> Any:
        """Update B⁻¹, if the step tells something of the curvature."""
        pair = curved_pair(before, after)
        if pair is None:
            return state
        s, y, sy = pair
        if state is None:
            state = np.eye(len(s)) * (sy / float(y @ y) if self.scaled else 1.0)
        By = state @ y
        cross = np.outer(By, s)
        return state + ((sy + float(y @ By)) / sy**2) * np.outer(s, s) - (cross + cross.T) / sy


@dataclass(frozen=True)
class LBFGS(Descent):
    """BFGS that remembers the last m pairs (s, y) instead of a matrix: 2 m P numbers.

    B⁻¹ g is computed by two loops over the pairs, from γI with γ = sᵀy / yᵀy of the last.

    Parameters
    ----------
    memory : int
        m.

    References
    ----------
    Nocedal (1980), Updating quasi-Newton matrices with limited storage; Liu and Nocedal (1989).
    """

    memory: int = 10

    def __post_init__(self) -> None:
        check_whole(self.memory, "memory")

    def direction(self, function: Scalar, point: Point, state: Any) -> tuple[Array, Any]:
        """Return −B⁻¹ g by the two loops."""
        g = point.gradient
        if not state:
            return -g / max(1.0, float(np.linalg.norm(g))), state
        q, shares = g.copy(), []
        for s, y, sy in reversed(state):
            shares.append(float(s @ q) / sy)
            q -= shares[-1] * y
        _, y, sy = state[-1]
        q *= sy / float(y @ y)
        for (s, y, sy), share in zip(state, reversed(shares), strict=True):
            q += (share - float(y @ q) / sy) * s
        return -q, state

    def learn(self, before: Point, after: Point, state: Any) -> Any:
        """Keep the pair, if it tells something of the curvature, and forget the oldest."""
        pair = curved_pair(before, after)
        return state if pair is None else ((state or ()) + (pair,))[-self.memory :]


def curved_pair(before: Point, after: Point) -> tuple[Array, Array, float] | None:
    """Return (s, y, sᵀy) of a step, or None where sᵀy is not positive beyond rounding."""
    s, y = after.x - before.x, after.gradient - before.gradient
    sy = float(s @ y)
    enough = _FLAT * float(np.linalg.norm(s)) * float(np.linalg.norm(y))
    return (s, y, sy) if sy > enough else None
