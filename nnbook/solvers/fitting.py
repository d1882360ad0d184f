"""Least squares: Gauss–Newton and Levenberg–Marquardt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnbook._arguments import check_choice, check_flag, check_positive
from nnbook.solvers.functions import Counts, checked_start
from nnbook.solvers.residuals import Model, Place, Residuals, square
from nnbook.solvers.results import Ended, Progress, Solution, Stop, solution_of
from nnbook.solvers.searches import Armijo, Fixed
from nnbook.solvers.trust import TrustRegion
from nnbook.solvers.walk import Walk

__all__ = ["Damping", "GaussNewton", "LevenbergMarquardt", "least_squares"]

Array = np.ndarray
_STOP = Stop(gradient=1e-10, step=1e-15, iterations=2000)
# Where Σr² is level to its last digit, x is known to about the root of that.
_FLAT = 1e-6


@dataclass(frozen=True)
class Damping:
    """Adapt μ of Levenberg–Marquardt by the gain ratio: Nielsen's rule.

    A step with ρ > 0 is taken, and μ ← μ max(⅓, 1 − (2ρ − 1)³); another is not, and μ grows by 2,
    then by 4, 8, …

    Parameters
    ----------
    initial : float
        μ at the start, times the largest squared length of a column of J D⁻¹.

    References
    ----------
    Nielsen (1999), Damping parameter in Marquardt's method; Madsen, Nielsen and Tingleff (2004).
    """

    initial: float = 1e-3

    def __post_init__(self) -> None:
        check_positive(self.initial, "initial")


@dataclass(frozen=True)
class GaussNewton:
    """The step to the minimum of ‖J s + r‖²: Newton's method with JᵀJ for the Hessian.

    By singular values, not by JᵀJ, whose condition is that of J squared. Where J is singular it
    takes the shortest step.
    """

    scaling: str = "none"

    @property
    def search(self) -> Fixed:
        """The whole step."""
        return Fixed(1.0)


@dataclass(frozen=True)
class LevenbergMarquardt:
    """The step to the minimum of ‖J s + r‖² + μ ‖D s‖²: between Gauss–Newton and straight down.

    Parameters
    ----------
    scaling : str
        D. "none": the unit matrix, Levenberg's; it depends on the units of the parameters. "max":
        the largest length that each column of J has had (Moré); "current": the length that it has
        now (Marquardt). No choice wins always.
    geodesic : bool
        Whether to bend each step by half the acceleration along it, for one evaluation more.

    References
    ----------
    Levenberg (1944); Marquardt (1963); Moré (1978), The Levenberg–Marquardt algorithm:
    implementation and theory; Transtrum and Sethna (2012), for "geodesic".
    """

    scaling: str = "max"
    geodesic: bool = False

    def __post_init__(self) -> None:
        check_choice(self.scaling, "scaling", ("none", "max", "current"))
        check_flag(self.geodesic, "geodesic")

    @property
    def search(self) -> TrustRegion:
        """A radius that begins at ‖D x‖."""
        return TrustRegion()


def least_squares(
    residuals: Callable[[Any], Any],
    start: Any,
    *,
    jacobian: Callable[[Any], Any] | None = None,
    descent: Any = None,
    search: Any = None,
    stop: Stop | None = None,
    callback: Callable[[Progress], Any] | None = None,
    keep_path: bool = False,
) -> Solution:
    """Minimise a sum of squares, Σ rᵢ(x)².

    Parameters
    ----------
    residuals : callable
        ``residuals(x)``, shape (m,).
    start : array, shape (P,)
        Where to begin.
    jacobian : callable, optional
        ``jacobian(x)``, shape (m, P); by default centred differences, 2P evaluations each.
    descent : descent, optional
        `LevenbergMarquardt`, by default with the scaling "max", or `GaussNewton`.
    search : search, optional
        For Levenberg–Marquardt `TrustRegion`, the default, or `Damping`; for Gauss–Newton `Fixed`,
        the default, or `Armijo`.
    stop : Stop, optional
        When to stop; by default ``Stop(gradient=1e-10, step=1e-15, iterations=2000)``, as close
        as rounding lets it.
    callback : callable, optional
        It is given a `Progress` after every iteration, and stops all by returning True.
    keep_path : bool
        Whether the solution is to have every x.

    Returns
    -------
    Solution
        Its value is the sum of the squares. A note says if the Jacobian is singular there: then
        some parameters are not determined, or the residuals have stopped to depend on them.

    Raises
    ------
    TypeError, ValueError
        Arguments of another kind; residuals at the start that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import solvers
    >>> t = np.arange(5.0)
    >>> fit = solvers.least_squares(lambda b: 3 * np.exp(-0.5 * t) - b[0] * np.exp(-b[1] * t),
    ...                             [1.0, 0.1])
    >>> fit.x.round(6).tolist(), fit.converged
    ([3.0, 0.5], True)
    """
    for name, function in (("residuals", residuals), ("jacobian", jacobian)):
        if not callable(function) and not (name == "jacobian" and function is None):
            raise TypeError(f"{name} is {function!r}; expected a function of x")
    descent = LevenbergMarquardt() if descent is None else descent
    steps_of = _kind(descent, search := descent_search(descent, search))
    stop = _STOP if stop is None else stop
    if not isinstance(stop, Stop):
        raise TypeError(f"stop is {stop!r}; expected a Stop, such as Stop(gradient=1e-6)")
    x, counts = checked_start(start), Counts(stop)
    function = Residuals(residuals, jacobian, counts)
    r = function(x)
    if not np.isfinite(r).all() or not r.size:
        raise ValueError(f"the residuals at the start are {r}; expected finite numbers")
    first, path = function.place(x, r), check_flag(keep_path, "keep_path")
    run = Walk(first, counts, stop, callback, path, at_rest="step")
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            reason = steps_of(run, function, descent, search)
    except Ended as ended:
        reason = ended.reason
    if reason == "search" and _largest_cosine(run.best) <= _FLAT:
        reason = "gradient"  # level to rounding, where J is too close to singular for the offset
    return solution_of(run.best, reason, counts, run.steps, run.path, _notes(run.best))


def descent_search(descent: Any, search: Any) -> Any:
    """Return the search that was asked for, or the descent's own."""
    return descent.search if search is None and hasattr(descent, "search") else search


def _kind(descent: Any, search: Any) -> Any:
    """Return the loop for a descent and a search, or say what goes together."""
    if isinstance(descent, LevenbergMarquardt) and isinstance(search, (Damping, TrustRegion)):
        return _damped
    if isinstance(descent, GaussNewton) and isinstance(search, (Fixed, Armijo)):
        return _undamped
    raise TypeError(
        f"descent is {descent!r} with the search {search!r}; expected LevenbergMarquardt() with "
        "Damping() or TrustRegion(), or GaussNewton() with Fixed() or Armijo()"
    )


def _largest_cosine(place: Place) -> float:
    """Return the largest cosine of the angle between the residuals and a column of J."""
    sizes = np.linalg.norm(place.J, axis=0) * np.linalg.norm(place.r)
    return float((abs(place.J.T @ place.r) / np.where(sizes > 0, sizes, 1.0)).max())


def _notes(best: Place) -> tuple[str, ...]:
    sizes = np.linalg.norm(best.J, axis=0)
    if not np.isfinite(sizes).all() or not best.r.any():
        return ()
    s = np.linalg.svd(best.J / np.where(sizes > 0, sizes, 1.0), compute_uv=False)
    reach = sizes * abs(best.x)  # what a parameter's whole size does to the residuals
    if s[-1] < 1e-12 * s[0] or reach.min() < 1e-12 * reach.max():
        return ("the Jacobian is singular there: not every parameter is determined",)
    return ()


def _undamped(run: Walk, function: Residuals, descent: GaussNewton, search: Any) -> str:
    """Go the whole way to the minimum of the linear model, or back from there."""
    reason = run.note(run.point, 0.0)
    while reason is None:
        place = run.point
        s = Model(place, np.ones(len(place.x))).step(0.0)
        t, r = 1.0, function(place.x + s)
        slope = 2 * float(place.r @ (place.J @ s))
        if isinstance(search, Armijo):
            trials = 0
            while not square(r) <= place.value + search.decrease * t * slope:
                if trials == search.trials or abs(t * slope) <= 1e-16 * place.value:
                    return "step" if abs(slope) <= 1e-12 * place.value else "search"
                t, trials = 0.5 * t, trials + 1
                r = function(place.x + t * s)
        else:
            t = search.step
            r = r if t == 1.0 else function(place.x + t * s)
        if not np.isfinite(r).all():
            return "diverged"
        reason = run.note(function.place(place.x + t * s, r), t)
    return reason


def _damped(run: Walk, function: Residuals, descent: LevenbergMarquardt, search: Any) -> str:
    """Step, compare with what the model promised, and adapt μ or the radius."""
    place = run.point
    scale = _scale(descent, place.J, None)
    state: _Damped | _Trusted = (
        _Damped(search, place, scale)
        if isinstance(search, Damping)
        else _Trusted(search, place, scale)
    )
    reason, model = run.note(place, state.size), None
    while reason is None:
        place = run.point
        model = model or Model(place, scale)
        mu = state.mu(model)
        s = model.step(mu)
        if descent.geodesic:
            s = _bent(function, place, model, mu, s)
        expected = model.fall(mu)
        x = place.x + s
        r = function(x)
        fell = place.value - square(r)
        gain = fell / expected if expected > 0 and np.isfinite(fell) else -np.inf
        small = float(np.linalg.norm(s)) <= 1e-15 * float(np.linalg.norm(x))
        if gain > 0:
            after = function.place(x, r)
            if not np.isfinite(after.J).all():
                gain, after = -np.inf, place
        else:
            after = place
        state.adapt(model, mu, s, gain)
        if after is not place:
            scale, model = _scale(descent, after.J, scale), None
            reason = run.note(after, state.size)
        elif small or expected <= 1e-15 * place.value:
            return _ending(place)
        else:
            reason = run.note(place, state.size)
    return reason


def _ending(place: Place) -> str:
    """Say what it means that a damped step no longer gains more than the rounding of the value.

    It is a minimum if the undamped step is small too, or gains as little. Else the damping is to
    blame: D has grown so large, or J so flat, that no step is left to take.
    """
    model = Model(place, _scale(LevenbergMarquardt("current"), place.J, None))
    small = abs(model.step(0.0)) <= 1e-6 * abs(place.x) + 1e-12
    return "step" if small.all() or model.fall(0.0) <= 1e-10 * place.value else "search"


def _scale(descent: LevenbergMarquardt, J: Array, before: Array | None) -> Array:
    """Return the diagonal of D."""
    if descent.scaling == "none":
        return np.ones(J.shape[1])
    sizes = np.linalg.norm(J, axis=0)
    if before is None:
        return np.where(sizes > 0, sizes, 1.0)
    if descent.scaling == "max":
        return np.maximum(sizes, before)
    return np.where(sizes > 0, sizes, before)


class _Damped:
    """μ by the gain ratio."""

    def __init__(self, search: Damping, place: Place, scale: Array):
        self.size = search.initial * float((np.linalg.norm(place.J / scale, axis=0) ** 2).max())
        self._growth = 2.0

    def mu(self, model: Model) -> float:
        return self.size

    def adapt(self, model: Model, mu: float, s: Array, gain: float) -> None:
        if gain > 0:
            self.size *= max(1 / 3, 1 - (2 * min(gain, 2.0) - 1) ** 3)
            self._growth = 2.0
        else:
            self.size, self._growth = self.size * self._growth, 2 * self._growth


class _Trusted:
    """μ by a radius."""

    def __init__(self, search: TrustRegion, place: Place, scale: Array):
        self.search = search
        length = float(np.linalg.norm(scale * place.x))
        self.size = search.radius * (length if length > 0 else 1.0)

    def mu(self, model: Model) -> float:
        return model.within(self.size)

    def adapt(self, model: Model, mu: float, s: Array, gain: float) -> None:
        length = float(np.linalg.norm(model.scale * s))
        # Unlike `minimize`, the radius may follow the step: Moré's rule.
        if gain > 0.75 or (mu == 0 and gain > 0.25):
            self.size = max(self.size, 2 * length) if mu else 2 * length
        elif not gain >= 0.25:
            self.size = (0.25 if gain > 0 else 0.1 if gain == -np.inf else 0.25) * length


def _bent(function: Residuals, place: Place, model: Model, mu: float, s: Array) -> Array:
    """Add half the acceleration along a step, if that is short beside it."""
    h = 0.1
    with np.errstate(over="ignore", invalid="ignore"):
        ahead = function(place.x + h * s)
        second = 2 / h * ((ahead - place.r) / h - place.J @ s)
    if not np.isfinite(second).all():
        return s
    bend = model.step(mu, model.U.T @ second)
    sizes = model.scale
    short = float(np.linalg.norm(sizes * bend)) <= 0.75 * float(np.linalg.norm(sizes * s))
    return s + 0.5 * bend if short else s
