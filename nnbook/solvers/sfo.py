"""A sum of functions, one at a time: the Sum-of-Functions Optimizer in small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from nnbook._arguments import check_positive, check_whole
from nnbook._arrays import as_generator
from nnbook.solvers.functions import Counts, Point, checked_start, mover
from nnbook.solvers.results import Ended, Progress, Solution, Stop, solution_of
from nnbook.solvers.walk import Walk

__all__ = ["sfo"]

Array = np.ndarray
# Of a model's curvatures, the smallest may be this share of the largest.
_RANGE = 1e-8
# No step is longer than so many times the mean of those before.
_LONGEST = 10.0


class _Model:
    """What is known of one function: a quadratic about the place where it was looked at last.

    Its Hessian is βI + U diag(w) Uᵀ, built by BFGS from the last m pairs of steps and changes of
    the gradient; β is the smallest curvature among the pairs.
    """

    def __init__(self, size: int, memory: int, curvature: float):
        self.memory, self.beta = memory, curvature
        self.pairs: list[tuple[Array, Array]] = []
        self.U, self.w = np.zeros((size, 0)), np.zeros(0)
        self.x = self.gradient = np.zeros(0)
        self.value = np.inf

    def look(self, x: Array, value: float, gradient: Array, fallback: float) -> None:
        """Take in a value and a gradient at x."""
        if len(self.x):
            s, y = x - self.x, gradient - self.gradient
            sizes = float(np.linalg.norm(s) * np.linalg.norm(y))
            if sizes > 1e-300 and abs(float(s @ y)) > 1e-12 * sizes:
                self.pairs = [*self.pairs, (s, y)][-self.memory :]
        else:
            self.beta = fallback
        self.x, self.value, self.gradient = x, value, gradient
        if self.pairs:
            self._learn()

    def times(self, v: Array) -> Array:
        """Return the Hessian of the model times v."""
        return self.beta * v + self.U @ (self.w * (self.U.T @ v))

    def at(self, x: Array) -> float:
        """Return what the model says of a place."""
        d = x - self.x
        return self.value + float(d @ self.gradient) + 0.5 * float(d @ self.times(d))

    def _learn(self) -> None:
        S, Y = (np.stack(part, axis=1) for part in zip(*self.pairs, strict=True))
        Q = np.linalg.qr(np.hstack([S, Y]))[0]
        S, Y = Q.T @ S, Q.T @ Y  # everything happens in the span of the pairs
        curvatures = np.linalg.svd(Y @ np.linalg.pinv(S), compute_uv=False)[: S.shape[1]]
        largest = float(curvatures[0])
        self.beta = max(float(curvatures[-1]), largest * _RANGE)
        H = self.beta * np.eye(len(Q.T))
        for s, y in zip(S.T, Y.T, strict=True):
            Hs, sy = H @ s, float(s @ y)
            if sy > 0:  # a pair of negative curvature would make H indefinite
                H = H + np.outer(y, y) / sy - np.outer(Hs, Hs) / float(s @ Hs)
        values, vectors = np.linalg.eigh((H + H.T) / 2)
        typical = float(np.median(values[values > 0])) if (values > 0).any() else largest
        values = np.where(values > _RANGE * abs(values).max(), values, typical)
        self.U, self.w = Q @ vectors, values - self.beta


def sfo(
    functions: Any,
    start: Any = None,
    *,
    passes: int = 10,
    memory: int = 10,
    first: int = 2,
    curvature: float = 1e5,
    stop: Stop | None = None,
    callback: Callable[[Progress], Any] | None = None,
    rng: Any = 0,
) -> Solution:
    """Minimise the mean of N functions by looking at one a step: SFO, without its subspace.

    Every function has a quadratic model of its own, about where it was looked at last. A step goes
    to the minimum of the sum of the models, θ = (Σ Hᵢ)⁻¹ Σ (Hᵢ θᵢ − ∇fᵢ), and looks at the
    function whose model is the most out of date there, by the distance (θ − θᵢ)ᵀ H (θ − θᵢ). So a
    quasi-Newton method is to be had from minibatches: each pair (s, y) is of one function. It
    begins with a few functions and takes in the next when the active ones have little left to say.
    Where a function turns out worse than the models promised, it goes back, looks there, and takes
    half the step the next time.

    It needs float64, N × 4 memory × P numbers, and functions that are the same every time: with
    dropout, masks must stay as they are.

    Parameters
    ----------
    functions : sequence of callables, or (Objective, sequence of rows)
        ``f(x) -> (value, gradient)`` each; or an objective and the rows of each minibatch, N of
        them, about √n / 10 for n examples, rather 25 or more.
    start : array, shape (P,), optional
        Where to begin; by default the objective's θ, which is moved to the solution.
    passes : int
        Steps / N.
    memory : int
        Pairs of each function.
    first : int
        How many functions are active at first.
    curvature : float
        Of the first models: large, so that the first steps are short.
    stop : Stop, optional
        Limits, of values too (`evaluations`); `gradient` is held against the mean of the gradients
        that the models remember.
    callback : callable, optional
        As for `minimize`, after every step.
    rng : int or numpy.random.Generator
        Of the order of the functions.

    Returns
    -------
    Solution
        Its value is the mean of the last values of the functions, each where it was looked at.

    References
    ----------
    Sohl-Dickstein, Poole and Ganguli (2014), Fast large-scale optimization by unifying stochastic
    gradient and quasi-Newton methods.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import solvers
    >>> bowls = [lambda x, c=c: (((x - c) ** 2).sum(), 2 * (x - c)) for c in (0.0, 1.0, 5.0)]
    >>> solvers.sfo(bowls, [9.0], passes=20, curvature=10.0).x.round(6)
    array([2.])
    """
    functions, x, finish = _functions(functions, start)
    N, rng = len(functions), as_generator(rng)
    steps = check_whole(passes, "passes") * N
    check_positive(curvature, "curvature")
    stop = Stop(iterations=steps) if stop is None else stop
    if not isinstance(stop, Stop):
        raise TypeError(f"stop is {stop!r}; expected a Stop, such as Stop(evaluations=1000)")
    stop = replace(stop, iterations=min(steps, stop.iterations))
    memory, counts = check_whole(memory, "memory"), Counts(stop)
    models = [_Model(len(x), memory, curvature) for _ in range(N)]
    order = rng.permutation(N)
    active = list(order[: check_whole(first, "first", most=N)])
    waiting = list(order[len(active) :])
    run = _Sum(functions, models, active, waiting, counts)
    walk = Walk(Point(x, np.inf, np.zeros_like(x)), counts, stop, callback)
    try:
        reason = _loop(run, walk, x, curvature)
    except Ended as ended:
        reason = ended.reason
    except BaseException:  # an objective gets back the θ that it had
        finish(None)
        raise
    finish(walk.point.x)
    return solution_of(walk.point, reason, counts, walk.steps, None)


class _Sum:
    """The functions, their models, and which of them take part.

    Side by side the U of all models are one matrix; its Gram matrix UᵀU is kept, and a look renews
    the rows and columns of one model only. So a step costs P × 2 memory × 2 memory N.
    """

    def __init__(
        self, functions: Any, models: list[_Model], active: list, waiting: list, counts: Counts
    ):
        self.functions, self.models, self.counts = functions, models, counts
        self.active, self.waiting = active, waiting
        P, width = len(models[0].U), 2 * models[0].memory
        self.U, self.w = np.zeros((P, width * len(models))), np.zeros(width * len(models))
        self.gram = np.zeros(2 * self.w.shape)

    def look(self, k: int, x: Array, fallback: float, promised: float) -> bool:
        """Look at a function at x; return whether it is about what the models promised.

        It is not where it is no number, nor where it has risen, and lies further above its model
        than all the others were to gain.
        """
        self.counts.check()
        self.counts.evaluations += 1
        self.counts.gradients += 1
        value, gradient = self.functions[k](x.copy())
        gradient = np.array(gradient, dtype=float)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return False
        model, first = self.models[k], k * 2 * self.models[k].memory
        kept = True
        if len(model.x) and value > model.value:
            said = model.at(x)
            kept = value - said <= promised - (model.value - said)
        model.look(x, float(value), gradient, fallback)
        own = slice(first, first + len(model.w))
        self.U[:, own], self.w[own] = model.U, model.w
        model.U = self.U[:, own]
        self.gram[own] = model.U.T @ self.U
        self.gram[:, own] = self.gram[own].T
        return kept

    def seen(self) -> list[_Model]:
        """Return the models that have been looked at."""
        return [self.models[k] for k in self.active if len(self.models[k].x)]

    def step(self, x: Array) -> tuple[Array, float]:
        """Return the way from x to the minimum of the sum of the models, and its fall."""
        seen = self.seen()
        beta = sum(model.beta for model in seen)
        down = -np.sum([model.gradient + model.times(x - model.x) for model in seen], axis=0)
        # (βI + U W Uᵀ)⁻¹ by the identity of Woodbury
        inner = beta * np.eye(len(self.w)) + self.w[:, None] * self.gram
        inside = np.linalg.solve(inner, self.w * (self.U.T @ down))
        d = (down - self.U @ inside) / beta
        return d, 0.5 * float(d @ down)

    def stale(self, x: Array) -> int:
        """Return the active function that knows the least of x."""
        for k in self.active:
            if not len(self.models[k].x):
                return k
        beta = sum(self.models[k].beta for k in self.active)
        gaps = x - np.stack([self.models[k].x for k in self.active])
        distances = beta * (gaps**2).sum(axis=1) + (gaps @ self.U) ** 2 @ self.w
        return self.active[int(np.argmax(distances))]

    def grow(self) -> None:
        """Take in another function once the active gradients are more noise than slope."""
        seen = self.seen()
        if not self.waiting or len(seen) < len(self.active):
            return
        slopes = np.stack([model.gradient for model in seen])
        scatter = float(((slopes - slopes.mean(axis=0)) ** 2).sum()) / max(1, len(seen) - 1)
        if float((slopes.mean(axis=0) ** 2).sum()) < scatter / len(seen):
            self.active.append(self.waiting.pop())

    def mean(self, x: Array) -> Point:
        """Return what the models remember, as a point."""
        seen = self.seen()
        value = float(np.mean([model.value for model in seen]))
        return Point(x, value, np.mean([model.gradient for model in seen], axis=0))


def _loop(run: _Sum, walk: Walk, x: Array, curvature: float) -> str:
    """Look, learn, step."""
    stop, N = walk.stop, len(run.models)
    fallback, before, scale, promised = curvature, x, 1.0, np.inf
    k, step, way = run.active[0], 0.0, 0.0
    while True:
        if run.look(k, x, fallback, promised):
            scale += (1 - scale) / N
        else:  # back, and not that far the next time
            if not run.seen():
                raise ValueError(
                    "a function is not finite at the start; expected finite numbers. Start "
                    "elsewhere"
                )
            x, scale, step = before, scale / 2, 0.0
            if scale < 1e-12:
                return "diverged"
            run.look(k, x, fallback, np.inf)
        point = run.mean(x)
        if walk.tell(point, step):
            return "callback"
        whole = not run.waiting and len(run.seen()) == N
        if whole and point.gradient_norm <= stop.gradient:
            return "gradient"
        if stop.target is not None and whole and point.value <= stop.target:
            return "target"
        if len(walk.steps) > stop.iterations:
            return "iterations"
        run.grow()
        d, fall = run.step(x)
        share, length, made = scale, float(np.linalg.norm(d)), len(walk.steps)
        if made > N and length > 0:  # no step is much longer than those before were
            share = min(scale, _LONGEST * way / made / length)
        before, x, promised = x, x + share * d, share**2 * fall
        step = share * length
        way += step
        fallback = float(np.median([model.beta + max([*model.w, 0.0]) for model in run.seen()]))
        k = run.stale(x)


def _functions(
    functions: Any, start: Any
) -> tuple[Sequence[Any], Array, Callable[[Array | None], None]]:
    """Return functions, start, and what to do with the solution, or None if there is none."""

    def nothing(x: Array | None) -> None: ...

    if isinstance(functions, tuple) and len(functions) == 2 and hasattr(functions[0], "theta"):
        model, batches = functions
        move = mover(model)

        def at(x: Array, rows: Any) -> tuple[float, Array]:
            move(x)
            return model.loss(rows), model.gradient(rows)

        made = [lambda x, rows=rows: at(x, rows) for rows in batches]
        found, first, finish = made, model.theta if start is None else start, move
    else:
        found, first, finish = list(functions), start, nothing
    if not found or not all(map(callable, found)):
        raise TypeError(
            "functions holds no functions; expected f(x) -> (value, gradient), several of them, or "
            "(objective, batches of rows)"
        )
    if first is None:
        raise TypeError("start is None; expected a vector to begin from")
    return found, checked_start(first), finish
