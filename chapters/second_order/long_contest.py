"""The long study of who wins: batch or stochastic, with curvature or without.

Run by ``make run-long``. Three parts:

- map: passes and processor time of four methods, each tuned over as many trials, until so much of
  a constant prediction's loss is left, for two tasks and several numbers of examples;
- noise: the training loss after ten passes' worth of gradients, for methods that look at a part of
  the examples at a time, with and without second order;
- cost: the processor time of a step beside that of its gradient, against the number of weights.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = HERE / "contest.json"
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402

from nnbook import curvature, data, solvers  # noqa: E402

LEFT = (0.1, 0.03, 0.01, 0.001)  # parts of the loss of a constant prediction
TRIALS, TUNING_SEEDS = 6, (90, 91)
# Task and examples: passes at most, for stochastic methods and for those on all examples.
MAP = {
    ("images", 100): (60, 120),
    ("images", 1_000): (30, 120),
    ("images", 3_000): (25, 80),
    ("arm", 100): (400, 600),
    ("arm", 1_000): (80, 300),
    ("arm", 3_000): (30, 200),
}
MAP_SEEDS, NOISE_SEEDS = range(10200, 10208), range(10300, 10308)
COST_SEEDS = range(10320, 10324)
PASSES, DIGITS = 10, 1_500


# ------------------------------------------------------------------------------ problems


@functools.lru_cache(maxsize=1)
def images():
    """MNIST's training images in 14 × 14 pixels, centred, and their labels."""
    x, y = data.load_mnist()[:2]
    x = x.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196).astype(float)
    return x - x.mean(axis=0), y


@functools.lru_cache(maxsize=1)
def digits():
    """The digits of 8 × 8 pixels, centred, and their labels."""
    x, y = data.load_digits_8x8()
    return x.astype(float) - x.mean(axis=0), y


def reach(n, rng):
    """Angles of a robot arm with three joints, and where its hand is."""
    angles = rng.uniform(-1.5, 1.5, size=(n, 3))
    turns = np.cumsum(angles, axis=1)
    return angles, np.stack([np.cos(turns).sum(axis=1), np.sin(turns).sum(axis=1)], axis=1)


def problem(task, n, seed):
    """A network with n examples of a seed, and the loss of the best constant prediction."""
    rng, weights = np.random.default_rng([seed, n]), np.random.default_rng([seed, 1])
    if task == "arm":
        x, y = reach(n, rng)
        net = curvature.DenseObjective([3, 20, 2], (x, y), "squared_error", rng=weights)
        return net, 0.5 * y.var(axis=0).sum()
    x, y = images() if task == "images" else digits()
    rows = rng.permutation(len(x))[:n]
    sizes = [196, 20, 10] if task == "images" else [64, 32, 10]
    net = curvature.DenseObjective(sizes, (x[rows], y[rows]), "softmax_cross_entropy", rng=weights)
    return net, np.log(10)


def batches(rng, n, size) -> Iterator[np.ndarray]:
    """Rows of minibatches without replacement, pass after pass."""
    while True:
        order = rng.permutation(n)
        for k in range(n // size):
            yield order[k * size : (k + 1) * size]


# ------------------------------------------------------------------------------ rules


def sgd(rate, decay):
    """Momentum 0.9; the rate falls as 1 / (1 + decay · passes)."""
    velocity = 0.0

    def step(g, passes):
        nonlocal velocity
        velocity = 0.9 * velocity - rate / (1 + decay * passes) * g
        return velocity

    return step


def adam(rate, decay):
    """Adam, with the same fall of its rate."""
    m = v = 0.0
    k = 0

    def step(g, passes):
        nonlocal m, v, k
        k, m, v = k + 1, 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        corrected = m / (1 - 0.9**k) / (np.sqrt(v / (1 - 0.999**k)) + 1e-8)
        return -rate / (1 + decay * passes) * corrected

    return step


# ------------------------------------------------------------------------------ the map


class Watch:
    """When so much of a constant prediction's loss was left: after how many passes and seconds."""

    def __init__(self, scale):
        self.scale = scale
        self.passes, self.seconds = [None] * len(LEFT), [None] * len(LEFT)

    def tell(self, passes, seconds, loss):
        """Note what is reached; return whether all is."""
        for k, left in enumerate(LEFT):
            if self.passes[k] is None and loss < left * self.scale:
                self.passes[k], self.seconds[k] = passes, seconds
        return self.passes[-1] is not None


def stochastic(task, n, seed, rule, limit, rate, size, decay):
    """Train by minibatches; the looks at the whole loss, four a pass, cost nothing."""
    net, scale = problem(task, n, seed)
    size, watch, spent = min(size, n // 5), Watch(scale), 0.0
    rows, theta = batches(np.random.default_rng([seed, 2]), n, size), net.theta.copy()
    step, each = {"SGD": sgd, "Adam": adam}[rule](rate, decay), n // size
    chunk = max(1, each // 4)
    with np.errstate(all="ignore"):
        for done in range(chunk, limit * each + 1, chunk):
            began = time.process_time()
            for k in range(done - chunk, done):
                net.theta = theta
                theta = theta + step(net.gradient(next(rows)), k / each)
            spent += time.process_time() - began
            net.theta = theta
            loss = net.loss()
            if not loss < 100 * scale or watch.tell(done / each, spent, loss):
                break
    return watch


def whole(task, n, seed, rule, limit, c2, other):
    """Train on all examples at once; a pass is an evaluation of value and gradient."""
    net, scale = problem(task, n, seed)
    watch, began = Watch(scale), time.process_time()
    descent = solvers.LBFGS(other) if rule == "L-BFGS" else solvers.ConjugateGradients(other)

    def look(now):
        passes = max(now.evaluations, now.gradients)
        return watch.tell(passes, time.process_time() - began, now.value)

    stop = solvers.Stop(gradient=0, iterations=limit, evaluations=limit)
    solvers.minimize(
        net, descent=descent, search=solvers.Wolfe(curvature=c2), stop=stop, callback=look
    )
    return watch


def spread(low, high):
    """As many values as there are trials, even on a log scale."""
    return np.geomspace(low, high, TRIALS).tolist()


def trials(task, rule):
    """The settings that a method gets: six values of its main knob, the others in turn."""
    if rule in ("L-BFGS", "CG"):
        if rule == "L-BFGS":
            return [{"c2": c2, "other": m} for c2 in (0.5, 0.9) for m in (5, 10, 20)]
        return [{"c2": c2, "other": b} for c2 in (0.1, 0.2, 0.45) for b in ("PR+", "FR")]
    low, high = {
        ("images", "SGD"): (0.03, 1.5),
        ("images", "Adam"): (0.002, 0.1),
        ("arm", "SGD"): (0.02, 0.3),
        ("arm", "Adam"): (0.004, 0.1),
    }[task, rule]
    size, decay = (10, 30, 10, 30), (0.0, 0.0, 0.1, 0.1)
    return [
        {"rate": rate, "size": size[k % 4], "decay": decay[k % 4]}
        for k, rate in enumerate(spread(low, high))
    ]


def chosen(tuned, limit, k):
    """The trial with the fewest passes to the k-th tolerance, on average; never reached is twice
    the limit."""
    costs = [
        np.mean([np.log(2 * limit if run[k] is None else run[k]) for run in runs]) for runs in tuned
    ]
    return int(np.argmin(costs)), float(np.exp(min(costs)))


def cell(task, n):
    """Tune and run every method on a task of a size."""
    found = {}
    for rule in ("SGD", "Adam", "CG", "L-BFGS"):
        limit = MAP[task, n][rule in ("CG", "L-BFGS")]
        train = whole if rule in ("CG", "L-BFGS") else stochastic
        settings = trials(task, rule)
        tuned = [
            [train(task, n, seed, rule, limit, **one).passes for seed in TUNING_SEEDS]
            for one in settings
        ]
        best = [chosen(tuned, limit, k) for k in range(len(LEFT))]
        runs = {
            j: [train(task, n, seed, rule, limit, **settings[j]) for seed in MAP_SEEDS]
            for j in sorted({j for j, _ in best})
        }
        found[rule] = {
            "limit": limit,
            "chosen": [settings[j] for j, _ in best],
            "tuning": [round(cost, 3) for _, cost in best],
            "passes": [[run.passes[k] for run in runs[j]] for k, (j, _) in enumerate(best)],
            "seconds": [[run.seconds[k] for run in runs[j]] for k, (j, _) in enumerate(best)],
        }
        print(task, n, rule, [round(cost, 1) for _, cost in best], flush=True)
    return found


def the_map():
    """Every cell, by task and number of examples."""
    return {task: {n: cell(task, n) for t, n in MAP if t == task} for task in ("images", "arm")}


# ------------------------------------------------------------------------------ noise


def walk(seed, rule, size, rate=None, decay=0.0):
    """A rule on minibatches for ten passes; return the training loss after each pass."""
    net, _ = problem("digits", DIGITS, seed)
    rows, theta = batches(np.random.default_rng([seed, 2]), DIGITS, size), net.theta.copy()
    step, each, losses = rule(rate, decay), DIGITS // size, []
    with np.errstate(all="ignore"):
        for k in range(PASSES * each):
            net.theta = theta
            theta = theta + step(net.gradient(next(rows)), k / each)
            if (k + 1) % each == 0:
                net.theta = theta
                losses.append(net.loss() if np.isfinite(theta).all() else np.inf)
    return losses


def pairs_of_two(rate, decay):
    """L-BFGS that is handed one minibatch after the other: y is of two of them."""
    descent, last, pairs, x = solvers.LBFGS(10), None, None, 0.0

    def step(g, passes):
        nonlocal last, pairs, x
        now = solvers.Point(x + 0 * g, 0.0, g)
        if last is not None:
            pairs = descent.learn(last, now, pairs)
        move = rate / (1 + decay * passes) * descent.direction(None, now, pairs)[0]
        last, x = now, now.x + move
        return move

    return step


def averaged(seed, N, rate):
    """SAG: the sum of the last gradients of N fixed minibatches; the loss after each pass."""
    net, _ = problem("digits", DIGITS, seed)
    rng, parts = np.random.default_rng([seed, 2]), fixed(N)
    theta, kept, losses = net.theta.copy(), {}, []
    with np.errstate(all="ignore"):
        for _ in range(PASSES):
            for k in rng.permutation(N):
                net.theta = theta
                kept[k] = net.gradient(parts[k])
                theta = theta - rate * sum(kept.values()) / len(kept)
            net.theta = theta
            losses.append(net.loss() if np.isfinite(theta).all() else np.inf)
    return losses


def fixed(N):
    """N minibatches that stay as they are."""
    return [np.arange(k, DIGITS, N) for k in range(N)]


def sums(seed, N, first):
    """SFO on N fixed minibatches; the loss after each pass."""
    net, _ = problem("digits", DIGITS, seed)
    probe, places = problem("digits", DIGITS, seed)[0], {}
    solvers.sfo(
        (net, fixed(N)),
        passes=PASSES,
        memory=10,
        curvature=first,
        stop=solvers.Stop(gradient=0, evaluations=PASSES * N),
        rng=seed,
        callback=lambda now: places.update({now.evaluations: now.x}),
    )
    losses = []
    for done in range(1, PASSES + 1):
        probe.theta = places[max(k for k in places if k <= done * N)]
        losses.append(probe.loss())
    return losses


def all_at_once(seed, c2, memory):
    """L-BFGS on all examples; the loss after each pass."""
    net, _ = problem("digits", DIGITS, seed)
    found = solvers.minimize(
        net,
        descent=solvers.LBFGS(memory),
        search=solvers.Wolfe(curvature=c2),
        stop=solvers.Stop(gradient=0, iterations=PASSES, evaluations=PASSES),
    )
    spent = np.maximum(found.history.evaluations, found.history.gradients)
    best = np.minimum.accumulate(found.history.value)
    return [float(best[spent <= k].min()) for k in range(1, PASSES + 1)]


def noise_trials():
    """Method: how it is run, and six settings."""
    rates = spread(0.02, 1.0)
    return {
        "SGD": (
            functools.partial(walk, rule=sgd),
            [{"rate": r, "size": (10, 20, 50)[k % 3]} for k, r in enumerate(rates)],
        ),
        "Adam": (
            functools.partial(walk, rule=adam),
            [{"rate": r, "size": (10, 20, 50)[k % 3]} for k, r in enumerate(spread(0.002, 0.1))],
        ),
        "SAG": (
            averaged,
            [{"rate": r, "N": (10, 30)[k % 2]} for k, r in enumerate(spread(0.1, 4.0))],
        ),
        "L-BFGS, all examples": (
            all_at_once,
            [{"c2": c2, "memory": m} for c2 in (0.3, 0.9) for m in (5, 10, 20)],
        ),
        "L-BFGS, minibatches": (
            functools.partial(walk, rule=pairs_of_two),
            [{"rate": r, "size": (50, 150)[k % 2]} for k, r in enumerate(spread(0.02, 3.0))],
        ),
        "SFO": (
            sums,
            [{"N": N, "first": c} for N in (10, 15) for c in (1.0, 100.0, 1e4)],
        ),
    }


def noise():
    """Tune and run every method; a run that diverged counts as guessing does."""
    found = {}
    for name, (run, settings) in noise_trials().items():

        def ends(seed, run=run, **setting):
            losses = run(seed, **setting)
            return [loss if loss < np.log(10) else float(np.log(10)) for loss in losses]

        tuned = [
            float(np.mean([np.log(ends(seed, **one)[-1]) for seed in TUNING_SEEDS]))
            for one in settings
        ]
        best = int(np.argmin(tuned))
        losses = [ends(seed, **settings[best]) for seed in NOISE_SEEDS]
        found[name] = {
            "settings": settings,
            "chosen": settings[best],
            "tuning": np.exp(tuned).round(6).tolist(),
            "losses": losses,
        }
        print(name, settings[best], np.exp(tuned).round(5).tolist(), flush=True)
    return found


# ------------------------------------------------------------------------------ cost

WIDTHS, ROWS, PARTS = (4, 16, 64), 200, 10


def seconds_of(function, repeats):
    """The median processor time of a call, with nobody looking on; the first call is not timed."""
    function()
    trace, times = sys.gettrace(), []
    sys.settrace(None)
    try:
        for _ in range(repeats):
            began = time.process_time()
            function()
            times.append(time.process_time() - began)
    finally:
        sys.settrace(trace)
    return float(np.median(times))


def cost_of(width, seed):
    """Seconds of a minibatch's gradient, and of what each method adds to it in a step."""
    rng = np.random.default_rng(seed)
    x, y = images()
    rows = rng.permutation(len(x))[: ROWS * PARTS]
    net = curvature.DenseObjective(
        [196, width, 10], (x[rows], y[rows]), "softmax_cross_entropy", rng=rng
    )
    part, theta, g = np.arange(ROWS), net.theta.copy(), net.gradient(np.arange(ROWS))
    found = {"weights": net.size, "gradient": seconds_of(lambda: net.gradient(part), 15)}
    found["whole gradient"] = seconds_of(net.gradient, 5)
    for name, rule in (("SGD", sgd(0.1, 0.0)), ("Adam", adam(0.1, 0.0))):
        found[name] = seconds_of(lambda rule=rule: rule(g, 0.0), 15)
    # The pairs are there, and a step is a direction and a new pair.
    descent, pairs, last = solvers.LBFGS(5), None, solvers.Point(theta, 0.0, g)
    for _ in range(7):
        x_new = last.x + 0.01 * rng.normal(size=net.size)
        now = solvers.Point(x_new, 0.0, last.gradient + (x_new - last.x))
        pairs, last = descent.learn(last, now, pairs), now

    def limited():
        descent.direction(None, last, pairs)
        descent.learn(solvers.Point(theta, 0.0, g), last, pairs)

    found["L-BFGS"] = seconds_of(limited, 15)
    found["SFO"] = steady_sfo(net)
    return found


def steady_sfo(net):
    """Seconds that a step of SFO takes beside its gradient, once every memory is full."""
    parts = [np.arange(k, ROWS * PARTS, PARTS) for k in range(PARTS)]
    times, inside = [], [0.0]

    def counted(x, rows):
        began = time.process_time()
        net.theta = x
        value = net.loss(rows), net.gradient(rows)
        inside[0] += time.process_time() - began
        return value

    def look(now):
        times.append((time.process_time(), inside[0]))

    functions = [lambda x, rows=rows: counted(x, rows) for rows in parts]
    trace = sys.gettrace()
    solvers.sfo(functions, net.theta, passes=2, memory=5, curvature=10.0, callback=look)
    times.clear()
    sys.settrace(None)
    try:
        solvers.sfo(functions, net.theta, passes=8, memory=5, curvature=10.0, callback=look)
    finally:
        sys.settrace(trace)
    clock, gradients = np.array(times).T
    return float(np.median((np.diff(clock) - np.diff(gradients))[-8:]))


def cost():
    """By repetition, for each width."""
    return [[cost_of(width, seed) for width in WIDTHS] for seed in COST_SEEDS]


# ------------------------------------------------------------------------------ all

STUDY = {"map": the_map, "noise": noise, "cost": cost}


def main():
    """Run all and write the data file."""
    began = time.perf_counter()
    parts = {name: part() for name, part in STUDY.items()}
    seeds = [*TUNING_SEEDS, *MAP_SEEDS, *NOISE_SEEDS, *COST_SEEDS]
    studies.save(FILE, seeds=seeds, began=began, **parts)


if __name__ == "__main__":
    main()
