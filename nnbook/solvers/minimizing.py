"""Minimise a function: a descent times a search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nnbook._arguments import check_flag
from nnbook.solvers.descents import BFGS, LBFGS, ConjugateGradients, Steepest
from nnbook.solvers.functions import Counts, Point, Scalar, checked_start, mover
from nnbook.solvers.newton import DampedNewton, Newton, NewtonCG
from nnbook.solvers.results import CONVERGED, Ended, Progress, Solution, Stop, solution_of
from nnbook.solvers.searches import Line, first_step
from nnbook.solvers.trust import TrustRegion, model_fall
from nnbook.solvers.walk import Walk

__all__ = ["minimize"]

_NAMES = {
    "steepest": Steepest,
    "cg": ConjugateGradients,
    "bfgs": BFGS,
    "lbfgs": LBFGS,
    "newton": Newton,
    "damped_newton": DampedNewton,
    "newton_cg": NewtonCG,
}


def minimize(
    f: Any,
    start: Any = None,
    *,
    gradient: Callable[[Any], Any] | None = None,
    hessian: Callable[[Any], Any] | None = None,
    descent: Any = "lbfgs",
    search: Any = None,
    stop: Stop | None = None,
    callback: Callable[[Progress], Any] | None = None,
    keep_path: bool = False,
) -> Solution:
    """Minimise a function of a vector.

    Parameters
    ----------
    f : callable, Objective or Problem
        ``f(x) -> number``; or an `nnbook.objective.Objective`, whose θ is moved to the solution;
        or something with ``value``, ``gradient`` and ``start``, as `nnbook.problems` has.
    start : array, shape (P,), optional
        Where to begin; not needed for an objective or a problem.
    gradient : callable
        ``gradient(x)``, shape (P,); with a callable f.
    hessian : callable, optional
        ``hessian(x)``: an array (P, P) or an operator of `nnbook.curvature`; for the Newtons. By
        default products are differences of gradients, and counted as the gradients they cost too.
    descent : descent or str
        Which direction: `Steepest`, `ConjugateGradients`, `BFGS`, `LBFGS`, `Newton`,
        `DampedNewton`, `NewtonCG`, or their names in small letters ("cg", "newton_cg").
    search : search, optional
        How far: `Wolfe`, `Armijo`, `Fixed`, `TrustRegion` (with the Newtons); by default the one
        that suits the descent.
    stop : Stop, optional
        When to stop.
    callback : callable, optional
        It is given a `Progress` after every iteration, and stops all by returning True.
    keep_path : bool
        Whether the solution is to have every x.

    Returns
    -------
    Solution

    Raises
    ------
    TypeError, ValueError
        Arguments of another kind; a value or gradient at the start that is not finite.

    Examples
    --------
    >>> from nnbook import problems, solvers
    >>> found = solvers.minimize(problems.rosenbrock(), descent="bfgs")
    >>> found.x.round(6), found.reason
    (array([1., 1.]), 'gradient')
    """
    f, gradient, x, finish = _functions(f, gradient, start)
    descent, stop = _descent(descent), _stop(stop)
    search = descent.search if search is None else search
    trusting = isinstance(search, TrustRegion)
    if trusting and not hasattr(descent, "model_step"):
        raise ValueError(
            f"{type(descent).__name__} has no model for a TrustRegion; expected Newton, "
            "DampedNewton or NewtonCG, or another search: Wolfe, Armijo, Fixed"
        )
    if not trusting and not callable(search):
        raise TypeError(f"search is {search!r}; expected Wolfe(), Armijo(), Fixed() or TrustRegion")
    function = Scalar(f, gradient, hessian, Counts(stop))
    first, path = _first(function, x), check_flag(keep_path, "keep_path")
    run = Walk(first, function.counts, stop, callback, path)
    try:
        # What overflows on a trial becomes infinite, and searches turn back.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            reason = (_trusting if trusting else _searching)(run, function, descent, search)
    except Ended as ended:
        reason = ended.reason
    except BaseException:  # an objective gets back the θ that it had
        finish(None)
        raise
    # Where a tolerance was met; Newton may have met it at a saddle, above what it saw before.
    end = run.point if reason in CONVERGED else run.best
    finish(end.x)
    return solution_of(end, reason, function.counts, run.steps, run.path)


def _searching(run: Walk, function: Scalar, descent: Any, search: Any) -> str:
    """Go along directions."""
    state, before = descent.init(run.point), None
    reason = run.note(run.point, 0.0)
    while reason is None:
        point = run.point
        d, state = descent.direction(function, point, state)
        line = Line(function, point, d)
        free = not hasattr(search, "decrease")  # a fixed step goes up as well
        step = None
        if np.isfinite(d).all() and (free or line.slope < 0):
            step = search(line, first_step(descent, len(run.steps) - 1, line, before))
        if step is None and not free and state is not None:
            # What the descent has learned does not help: forget it, and go straight down.
            state = descent.init(point)
            line = Line(function, point, -point.gradient)
            step = search(line, first_step(Steepest(), 0, line, None))
        if step is None:
            return "diverged" if not np.isfinite(d).all() else "search"
        after = line.point(step)
        if np.array_equal(after.x, point.x):  # the step is lost in rounding
            return "search"
        state = descent.learn(point, after, state)
        before = point.value
        reason = run.note(after, step)
    return reason


def _trusting(run: Walk, function: Scalar, descent: Any, search: TrustRegion) -> str:
    """Go to the minimum of a model, within a radius."""
    radius = search.radius
    reason = run.note(run.point, radius)
    while reason is None:
        point = run.point
        s, B = descent.model_step(function, point, radius)
        expected = model_fall(point.gradient, B, s)
        value = function.value(point.x + s)
        length = float(np.linalg.norm(s))
        level = abs(point.value - value) <= 1e-14 * abs(point.value)
        gain = 1.0 if level and expected <= 1e-13 * abs(point.value) else 0.0
        if not gain and expected > 0:
            gain = (point.value - value) / expected
        after = point
        if gain > search.accept:
            x = point.x + s
            after = Point(x, value, function.gradient(x))
        elif length <= 1e-15 * max(1.0, float(np.linalg.norm(point.x))):
            return "search"
        radius = search.adapted(radius, length, gain)
        reason = run.note(after, radius)
    return reason


def _functions(f: Any, gradient: Any, start: Any) -> tuple[Any, Any, np.ndarray, Any]:
    """Return value, gradient, start and what to do with the solution, or None if there is none."""

    def nothing(x: np.ndarray | None) -> None: ...

    if hasattr(f, "theta") and hasattr(f, "loss"):
        if gradient is not None:
            raise TypeError("gradient goes with a function; an objective has its own")
        model, move = f, mover(f)

        def value_at(x: np.ndarray) -> float:
            move(x)
            return model.loss()

        def gradient_at(x: np.ndarray) -> np.ndarray:
            move(x)
            return model.gradient()

        return value_at, gradient_at, checked_start(f.theta if start is None else start), move
    if hasattr(f, "value") and hasattr(f, "gradient"):
        first = f.start if start is None else start
        return f.value, f.gradient, checked_start(first), nothing
    if not callable(f):
        raise TypeError(f"f is {f!r}; expected a function, an Objective or a Problem")
    if not callable(gradient):
        raise TypeError(
            f"gradient is {gradient!r}; expected a function of x. Without one, "
            "nnbook.checks.difference shows how to make it of differences"
        )
    if start is None:
        raise TypeError("start is None; expected a vector to begin from")
    return f, gradient, checked_start(start), nothing


def _first(function: Scalar, x: np.ndarray) -> Point:
    try:
        point = function.point(x)
    except Ended as ended:  # no time at all
        raise ValueError(f"the limit of {ended.reason} leaves nothing to do") from ended
    if not (np.isfinite(point.value) and np.isfinite(point.gradient).all()):
        raise ValueError(
            f"f is {point.value} at the start, its gradient {point.gradient}; expected finite "
            "numbers. Start elsewhere"
        )
    return point


def _descent(descent: Any) -> Any:
    if isinstance(descent, str):
        if descent not in _NAMES:
            raise ValueError(f"descent is {descent!r}; expected one of {', '.join(_NAMES)}")
        return _NAMES[descent]()
    if isinstance(descent, type) or not hasattr(descent, "direction"):
        raise TypeError(f"descent is {descent!r}; expected a descent such as BFGS(), or its name")
    return descent


def _stop(stop: Any) -> Stop:
    if stop is not None and not isinstance(stop, Stop):
        raise TypeError(f"stop is {stop!r}; expected a Stop, such as Stop(gradient=1e-6)")
    return Stop() if stop is None else stop
