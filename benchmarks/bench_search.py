"""Measure the search: what workers cost, long files, and what is found beside Optuna's own.

``--cost``: the time per trial of two workers, above that of the function, which does nothing.
``--file``: a file of 10,000 trials: the time to resume, to ask and to tell.
``--found``: the median distance to the minimum of Branin's function and Hartmann's of six
dimensions, and a halving where short runs are noisy, for nnbook's searches and for Optuna's with
the same sampler and budget.
``--speed``: two workers against one, with trials that compute for some seconds, taking turns; the
machine must be quiet. Without an option all but the last.
"""

import argparse
import importlib.util
import math
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from nnbook import search
from nnbook.search.journal import FileLog
from nnbook.search.trials import Trial

SQUARE = search.Space(x=search.linear(-5, 10), y=search.linear(0, 15))
SIX = search.Space(**{f"x{k}": search.linear(0, 1) for k in range(6)})
ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def branin(c, seed=0):
    """Minimum 0.397887."""
    valley = c["y"] - 5.1 / (4 * math.pi**2) * c["x"] ** 2 + 5 / math.pi * c["x"] - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(c["x"]) + 10


def hartmann(c, seed=0):
    """Minimum −3.32237."""
    x = np.array([c[f"x{k}"] for k in range(6)])
    return -float(ALPHA @ np.exp(-(A * (x - P) ** 2).sum(axis=1)))


def nothing(c, seed):
    """Take no time."""
    return c["x"]


def fidelity(c, seed=0):
    """Branin's function with a noise that fades as the epochs grow."""
    return branin(c) + 20 * math.sin(1e4 * (c["x"] + c["y"])) / c["epochs"]


PROBLEMS = {
    "Branin": (SQUARE, branin, 0.397887, 100),
    "Hartmann-6": (SIX, hartmann, -3.32237, 150),
}
STEPS = (1, 3, 9, 27)


def cost(trials=300, rounds=5):
    """Print the time per trial of searches on two workers."""
    with search.cluster(2) as client:
        plan = search.RandomSearch(SQUARE, trials=trials)
        plan.run(nothing, workers=client)
        each = []
        for _ in range(rounds):
            began = time.perf_counter()
            plan.run(nothing, workers=client)
            each.append(1e3 * (time.perf_counter() - began) / trials)
    print(f"scheduling, two workers: {statistics.median(each):.1f} ms a trial ({min(each):.1f} ms)")


def file(trials=10_000, further=20):
    """Print how long it takes to resume a long file, and to ask and to tell."""
    plans = {"random": search.RandomSearch(SQUARE, trials)}
    plans["tpe"] = search.AdaptiveSearch(SQUARE, trials)
    for name, plan in plans.items():
        with tempfile.TemporaryDirectory() as folder:
            path, chance = Path(folder) / "study", search.RandomSearch(SQUARE, trials)
            with FileLog(path, plan.identity()) as log:
                every = [chance.configuration(k) for k in range(trials)]
                log.add(Trial(k, 0, c, branin(c), "complete") for k, c in enumerate(every))
            began = time.perf_counter()
            plan.run(branin, path=path)
            resume = time.perf_counter() - began
            longer = type(plan)(SQUARE, trials + further)
            began, times = time.perf_counter(), []
            longer.run(lambda c, s, times=times: times.append(time.perf_counter()) or 0, path=path)
            turns = np.diff(times)
        print(
            f"{name}, {trials} trials in the file: resumed in {resume:.2f} s, "
            f"{1e3 * np.median(turns):.2f} ms to tell one and ask the next"
        )


def by_optuna(space, function, sampler, trials, pruner=None):
    """Return the values of Optuna's own search, and the epochs it spent."""
    import optuna

    spent = []

    def objective(trial):
        configuration = space.suggest(trial)
        if pruner is None:
            return function(configuration)
        for step in STEPS:
            value = function({**configuration, "epochs": step})
            trial.report(value, step)
            if trial.should_prune():
                break
        spent.append(step)
        if step < STEPS[-1]:
            raise optuna.TrialPruned
        return value

    study = optuna.create_study(sampler=sampler, pruner=pruner)
    study.optimize(objective, n_trials=trials)
    return study.best_value, sum(spent)


def found(repeats=20):
    """Print the median distance to the minimum, of nnbook's searches and of Optuna's."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    if importlib.util.find_spec("torch") is not None:
        samplers["gp"] = optuna.samplers.GPSampler
    for name, (space, function, minimum, trials) in PROBLEMS.items():
        for kind, sampler in samplers.items():
            ours, theirs = [], []
            for seed in range(5 if kind == "gp" else repeats):
                if kind == "random":
                    plan = search.RandomSearch(space, trials, seed=seed)
                else:
                    plan = search.AdaptiveSearch(space, trials, kind, seed=seed)
                ours.append(plan.run(function, progress=False).best["value"] - minimum)
                theirs.append(by_optuna(space, function, sampler(seed=seed), trials)[0] - minimum)
            table(f"{name}, {trials} trials, {kind}", ours, theirs)
    halving(repeats)


def halving(repeats):
    """Print the same for successive halving, with the epochs that both spend."""
    import optuna

    ours, theirs, budgets = [], [], []
    for seed in range(repeats):
        plan = search.SuccessiveHalving(SQUARE, trials=81, most=27, seed=seed)
        result = plan.run(fidelity, progress=False)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
        value, spent = by_optuna(
            SQUARE, fidelity, optuna.samplers.RandomSampler(seed=seed), 81, pruner
        )
        ours.append(result.best["value"] - 0.397887)
        theirs.append(value - 0.397887)
        budgets.append((result["epochs"].sum(), spent))
    table("noisy Branin, halving of 81", ours, theirs)
    mine, others = np.mean(budgets, axis=0)
    print(f"{'':34} epochs: nnbook {mine:.0f}, Optuna {others:.0f}")


def table(what, ours, theirs):
    """Print a line of medians and quartiles."""

    def text(values):
        low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
        return f"{middle:.4f} ({low:.4f} to {high:.4f})"

    print(f"{what:34} nnbook {text(ours)}  Optuna {text(theirs)}", flush=True)


def busy(c, seed):
    """Compute for some seconds of one core."""
    x = np.full((300, 300), c["x"] / 10)
    for _ in range(1500):
        x = np.tanh(x @ x)
    return float(x.sum())


def speed(trials=8, rounds=3):
    """Print how much faster two workers are than one, taking turns."""
    plan, gains = search.RandomSearch(SQUARE, trials), []
    with search.cluster(1) as one, search.cluster(2) as two:
        for client in (one, two):
            search.RandomSearch(SQUARE, 2).run(busy, workers=client)
        for _ in range(rounds):
            seconds = []
            for client in (one, two):
                began = time.perf_counter()
                plan.run(busy, workers=client)
                seconds.append(time.perf_counter() - began)
            gains.append(seconds[0] / seconds[1])
            print(f"one {seconds[0]:.1f} s, two {seconds[1]:.1f} s: {gains[-1]:.2f} times")
    print(f"two workers: {statistics.median(gains):.2f} times one, of {seconds[0] / trials:.1f} s")


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"cost": cost, "file": file, "found": found, "speed": speed}
    for name in parts:
        parser.add_argument(f"--{name}", action="store_true")
    chosen = vars(parser.parse_args())
    for name, part in parts.items():
        if chosen[name] or (not any(chosen.values()) and name != "speed"):
            part()


if __name__ == "__main__":
    main()
