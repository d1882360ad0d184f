"""Which direction to go, with second derivatives: Newton's and what makes it safe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nnbook._arguments import check_choice, check_number, check_positive, check_whole
from nnbook.solvers.descents import Descent
from nnbook.solvers.functions import Point, Scalar
from nnbook.solvers.searches import Fixed, Wolfe
from nnbook.solvers.trust import conjugate_step, exact_step

__all__ = ["DampedNewton", "Newton", "NewtonCG"]

Array = np.ndarray


@dataclass(frozen=True)
class Newton(Descent):
    """Newton's method as it is: d = −H⁻¹ ∇f, a jump to where the quadratic model is flat.

    It has no learning rate and does not care about the units of x; near a minimum digits double a
    step. It does not care either whether the flat place is a minimum, a maximum or a saddle, it
    may diverge from afar, and it solves P equations a step.

    Examples
    --------
    >>> from nnbook import solvers
    >>> saddle = solvers.minimize(
    ...     lambda x: x[0] ** 2 - x[1] ** 2, [1.0, 1.0], gradient=lambda x: [2 * x[0], -2 * x[1]],
    ...     hessian=lambda x: [[2.0, 0.0], [0.0, -2.0]], descent=solvers.Newton())
    >>> saddle.x.tolist(), saddle.reason
    ([0.0, 0.0], 'gradient')
    """

    @property
    def search(self) -> Fixed:
        """The whole step."""
        return Fixed(1.0)

    def direction(self, function: Scalar, point: Point, state: Any) -> tuple[Array, Any]:
        """Return −H⁻¹ ∇f; the shortest solution where H is singular."""
        H = function.hessian(point)
        try:
            return np.linalg.solve(H, -point.gradient), state
        except np.linalg.LinAlgError:
            return np.linalg.lstsq(H, -point.gradient, rcond=None)[0], state

    def model_step(self, function: Scalar, point: Point, radius: float) -> tuple[Array, Any]:
        """Return the best step within a radius, and the model's B."""
        H = function.hessian(point)
        return exact_step(point.gradient, H, radius), H


@dataclass(frozen=True)
class DampedNewton(Newton):
    """Newton's method with a Hessian that is made positive definite, so that it always falls.

    Parameters
    ----------
    mode : str
        "shift": H + τI with the smallest τ that lifts all eigenvalues to the floor. "absolute":
        every eigenvalue becomes its absolute value, and at least the floor.
    floor : float
        Relative to the largest absolute eigenvalue.

    References
    ----------
    Nocedal and Wright (2006), section 3.4; Dauphin et al. (2014), Identifying and attacking the
    saddle point problem, for "absolute".
    """

    mode: str = "absolute"
    floor: float = 1e-12

    def __post_init__(self) -> None:
        check_choice(self.mode, "mode", ("shift", "absolute"))
        check_positive(self.floor, "floor")

    @property
    def search(self) -> Any:
        """Wolfe's."""
        return Wolfe()

    def direction(self, function: Scalar, point: Point, state: Any) -> tuple[Array, Any]:
        """Return −(a positive definite H)⁻¹ ∇f."""
        values, vectors = np.linalg.eigh(function.hessian(point))
        least = self.floor * max(float(abs(values).max()), 1e-300)
        if self.mode == "absolute":
            values = np.maximum(abs(values), least)
        else:
            values = values + max(0.0, least - float(values[0]))
        return -(vectors @ ((vectors.T @ point.gradient) / values)), state


@dataclass(frozen=True)
class NewtonCG(Descent):
    """Newton's step by conjugate gradients on H d = −∇f: products with H, never H. Hessian-free.

    The inner iterations stop at ‖H d + ∇f‖ ≤ min(forcing, √‖∇f‖) ‖∇f‖, early while far from the
    minimum, and at negative curvature.

    Parameters
    ----------
    forcing : float
        In (0, 1).
    inner : int, optional
        Inner iterations at most; by default 2P, at most 250.
    damping : float
        μ ≥ 0: H + μI in the place of H.

    References
    ----------
    Dembo and Steihaug (1983), Truncated-Newton algorithms; Martens (2010), Deep learning via
    Hessian-free optimization; Nocedal and Wright (2006), algorithm 7.1.
    """

    forcing: float = 0.5
    inner: int | None = None
    damping: float = 0.0

    def __post_init__(self) -> None:
        check_number(self.forcing, "forcing", above=0, below=1)
        check_number(self.damping, "damping", least=0)
        if self.inner is not None:
            check_whole(self.inner, "inner")

    def direction(self, function: Scalar, point: Point, state: Any) -> tuple[Array, Any]:
        """Return what conjugate gradients make of H d = −∇f."""
        return self._solve(function, point, None)[0], state

    def model_step(self, function: Scalar, point: Point, radius: float) -> tuple[Array, Any]:
        """Return a good step within a radius (Steihaug), and the model's B."""
        return self._solve(function, point, radius)

    def _solve(self, function: Scalar, point: Point, radius: float | None) -> tuple[Array, Any]:
        g = point.gradient
        size = float(np.linalg.norm(g))
        B = function.operator(point)
        if self.damping:
            B = B.damped(self.damping)
        tolerance = min(self.forcing, np.sqrt(size)) * size
        most = self.inner or min(2 * len(g), 250)
        return conjugate_step(g, B, radius, tolerance, most)[0], B
