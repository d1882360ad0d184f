"""The long study of the intervals: how often do they contain what they are intervals of?

Run by ``make run-long``. Writes coverage.json and, for the page on reading this book, coverage.csv.
The experiments of some claims are repeated hundreds of times. The mean of all repetitions is the
reference; then as many repetitions as a page has make an interval, again and again.

- disjoint: the repetitions are cut into groups, none of which shares one with another;
- resampled: 10,000 groups drawn from the repetitions, with replacement.

On MNIST the experiment also runs within finite sets, as the book's 1,797 digits are one, and on
fixed splits. There an interval is asked whether it contains the mean over *all* images.
"""

from __future__ import annotations

import csv
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tools"), str(HERE / "optimizers")]

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402
from long_repeats import heavy, small_tasks, target_of  # noqa: E402
from scipy import stats  # noqa: E402
from small_networks import SmallNetworks  # noqa: E402

from nnbook import claims, data, experiments, optim, problems, search  # noqa: E402

REPETITIONS, RESAMPLES, SETS, IMAGES = 480, 10_000, 30, 1797
FIRST = 300_000  # seeds from here on, which no claim has
TUNING_SEEDS = range(80, 83)


def slopes(seeds):
    """Return C001b's quantity: the slope of log variance on log B, without replacement."""
    sizes, found = np.array([1, 2, 4, 8, 16, 32, 64]), []
    for seed in seeds:
        x, y = data.two_gaussians(rng=seed, dtype="float64")
        gradients, rng, variances = -y[:, None] * x, np.random.default_rng(seed), []
        for size in sizes:
            rows = np.argsort(rng.random((4000, len(x))), axis=1)[:, :size]
            variances.append(gradients[rows].mean(axis=1).var(axis=0).sum())
        found.append(np.polyfit(np.log(sizes), np.log(variances), 1)[0])
    return np.array(found)


def escapes(seed, online, rate, runs=100, steps=2000):
    """Return the share of runs of C007 that end in the deep basin."""
    well, rng = problems.double_well(), np.random.default_rng(seed)
    barrier = np.sort(np.roots([1, 0, -1, 0.2]).real)[1]
    offsets = rng.normal(size=1000)
    offsets = (offsets - offsets.mean()) / offsets.std()
    theta = rng.uniform(barrier + 0.05, 2 * well.start[0] - barrier, size=(runs, 1))
    for _ in range(steps):
        noise = offsets[rng.integers(0, 1000, (runs, 1))] if online else 0.0
        theta = theta - rate * (well.gradient(theta) + noise)
    return float((np.isfinite(theta) & (theta < barrier)).mean())


def escaped(seeds):
    """Return C007's quantity: the share that escapes, online − full batch."""
    with np.errstate(all="ignore"):
        return np.array([escapes(s, True, 0.1) - escapes(s, False, 1.0) for s in seeds])


def excess_losses(seeds, rate, hold=1.0, budget=20_000, d=10):
    """Return the excess loss of one arm of C011a: a rate held, then lowered as 1/t."""
    sets = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(1000, d)) * np.sqrt(np.geomspace(1 / 20, 1, d))
        y = x @ rng.normal(size=d) + rng.normal(size=1000)
        rows = rng.integers(0, 1000, budget)
        sets.append((x, y, rows, x.T @ x / 1000, np.linalg.lstsq(x, y, rcond=None)[0]))
    x, y, rows, hessian, solution = (np.stack(part) for part in zip(*sets, strict=True))
    theta, each = np.zeros((len(sets), d)), np.arange(len(sets))
    for t in range(budget):
        one = x[each, rows[:, t]]
        error = (one * theta).sum(axis=1) - y[each, rows[:, t]]
        lowered = min(1.0, hold * budget / max(t, 1)) if hold < 1 else 1.0
        theta = theta - rate * lowered * error[:, None] * one
    away = theta - solution
    return 0.5 * np.einsum("sd,sde,se->s", away, hessian, away)


def annealed(seeds):
    """Return C011a's quantity, as a logarithm: excess loss, lowered / constant."""
    lowered, constant = excess_losses(seeds, 0.032, 0.0156), excess_losses(seeds, 0.00231)
    return np.log(lowered / constant)


@dataclass(frozen=True)
class OneSplit:
    """A task of which every seed gets the same training, validation and test examples."""

    task: Any
    split: int

    def __getattr__(self, name):
        return getattr(self.task, name)

    def draw(self, seed):
        """Return the split, whatever the seed."""
        return self.task.draw(self.split)


def momentum_contest(task):
    """Return the target of C076 and the two arms, each at its best of nine rates."""
    target = target_of(task)
    rate = search.log(0.05, 12.8)
    arms = [
        experiments.Arm(f"{mu}", make=heavy, momentum=mu, effective_rate=rate) for mu in (0.9, 0.0)
    ]
    run = SmallNetworks(task, every=15, target=target)
    found = experiments.Experiment(arms, run_many=run, metric="steps_to_target", trials=9).tune(
        TUNING_SEEDS
    )
    return target, [dict(choice.setting) for choice in found.values()]


def momentum_gain(task, target, arms, seeds, at_a_time=48):
    """Return C076's quantity, as a logarithm, and the difference of the test errors, in points."""
    steps, errors = [], []
    for arm in arms:
        found = []
        for k in range(0, len(seeds), at_a_time):
            part = list(seeds[k : k + at_a_time])
            found += SmallNetworks(task, every=15, target=target)([arm] * len(part), part)
        steps.append([float(one["steps_to_target"]) for one in found])
        errors.append([100 * one["test_error"] for one in found])
    return np.log(np.divide(*steps)), np.subtract(*errors)


def within_sets(task, target, arms):
    """Return the quantities by set: drawn anew within finite sets of MNIST, and on one split."""
    x, y = task.pool()
    order = np.random.default_rng(FIRST).permutation(len(x))
    drawn, fixed = [], []
    for k in range(SETS):
        rows = order[k * IMAGES : (k + 1) * IMAGES]
        part = replace(task, pool=lambda rows=rows: (x[rows], y[rows]))
        seeds = range(FIRST + 1000 * (k + 1), FIRST + 1000 * (k + 1) + 12)
        drawn.append(momentum_gain(part, target, arms, seeds))
        fixed.append(momentum_gain(OneSplit(part, seeds[0]), target, arms, seeds))
    return np.swapaxes(drawn, 0, 1), np.swapaxes(fixed, 0, 1)


def without_root(learning_rate, eps=1e-8):
    """Return Adagrad without the root."""

    def rule(g, buffers, theta, rate, t):
        s = buffers[0] + g * g
        return -rate * g / (s + eps), (s,)

    return optim.Optimizer("adagrad without the root", learning_rate, {"eps": eps}, 1, rule)


def without_the_root(seeds, at_a_time=48):
    """Return C083's quantity, as a logarithm: training loss without the root / with it."""
    digits = experiments.task("digits", n_train=600, n_val=40, n_test=40)
    run = SmallNetworks(digits, hidden=32, steps=600, every=60)
    rate = search.log(1e-4, 10)
    makes = without_root, optim.adagrad
    arms = [experiments.Arm(f"{k}", make=make, learning_rate=rate) for k, make in enumerate(makes)]
    found = experiments.Experiment(arms, run_many=run, metric="train_loss", trials=9).tune(
        TUNING_SEEDS
    )
    losses = []
    for choice in found.values():
        parts = [list(seeds[k : k + at_a_time]) for k in range(0, len(seeds), at_a_time)]
        runs = [one for part in parts for one in run([dict(choice.setting)] * len(part), part)]
        losses.append([one["train_loss"] for one in runs])
    return np.log(np.divide(*losses))


def contained(groups, reference):
    """Return how many of the groups' intervals contain the reference."""
    found = [claims.interval(group) for group in groups]
    return sum(low <= reference <= high for _, low, high in found)


def resampled(values, n):
    """Return the part of intervals from n values, drawn with replacement, that hold the mean."""
    drawn = np.random.default_rng(0).choice(values, (RESAMPLES, n))
    half = stats.t.ppf(0.975, n - 1) * drawn.std(axis=1, ddof=1) / n**0.5
    return float((np.abs(drawn.mean(axis=1) - values.mean()) <= half).mean())


def row(claim, words, values, n, reference=None):
    """Return a row of the table from values, one a repetition; groups of n stand together."""
    values = np.round(np.asarray(values, dtype=float), 6)
    whole = values[: len(values) // n * n].reshape(-1, n)
    mean = float(values.mean() if reference is None else reference)
    found = contained(whole, mean)
    low, high = claims.share_interval(found, len(whole))
    share = None if reference is not None else round(resampled(values, n), 4)
    return {
        "claim": claim, "words": words, "n": n, "reference": round(mean, 6), "found": found,
        "of": len(whole), "low": round(low, 4), "high": round(high, 4), "resampled": share,
        "values": values.tolist(),
    }  # fmt: skip


def write_table(rows, path):
    """Write the rows for the page."""
    head = ["Claim", "Quantity, and what a repetition draws", "n", "Repetitions"]
    head += ["Intervals with the mean", "Share (95 % interval)", "Resampled"]
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(head)
        for r in rows:
            share = f"{100 * r['found'] / r['of']:.0f} % ({100 * r['low']:.0f} to "
            share += f"{100 * r['high']:.0f} %)"
            again = "–" if r["resampled"] is None else f"{100 * r['resampled']:.1f} %"
            counts = [r["n"], len(r["values"]), f"{r['found']} of {r['of']}"]
            out.writerow([r["claim"], r["words"], *counts, share, again])


def main():
    """Run the study and write its files."""
    began, seeds = time.perf_counter(), range(FIRST, FIRST + REPETITIONS)

    def done(what):
        print(f"{(time.perf_counter() - began) / 60:5.1f} min, {what}", flush=True)

    rows = [row("C001b", "slope of log variance; data drawn anew", slopes(seeds), 8)]
    rows.append(row("C007", "share that escapes; data and starts drawn anew", escaped(seeds), 8))
    done("C001b and C007")
    found = np.concatenate([annealed(seeds[k : k + 96]) for k in range(0, len(seeds), 96)])
    rows.append(row("C011a", "excess loss; data drawn anew", found, 16))
    done("C011a")
    tasks = {task.name: task for task in small_tasks()}
    for name, words in (("teacher", "drawn anew"), ("digits", "drawn from the 1,797")):
        contest = momentum_contest(tasks[name])
        gain = momentum_gain(tasks[name], *contest, seeds)[0]
        rows.append(row("C076", f"steps on {name}; examples {words}", gain, 12))
        done(name)
    words = "training loss on digits; examples drawn from the 1,797"
    rows.append(row("C083", words, without_the_root(seeds), 16))
    done("C083")
    mnist = replace(tasks["mnist"], n_test=597)
    contest = momentum_contest(mnist)
    anew = momentum_gain(mnist, *contest, seeds)
    drawn, fixed = within_sets(mnist, *contest)
    done("mnist")
    for k, quantity in enumerate(("steps", "test error")):
        mean, against = anew[k].mean(), ", against the mean of all"
        part = f"{quantity} on MNIST; images drawn from"
        rows += [
            row("C076", f"{part} all", anew[k], 12),
            row("C076", f"{part} a set of 1,797{against}", drawn[k].ravel(), 12, mean),
            row(
                "C076",
                f"{quantity} on MNIST; always one split{against}",
                fixed[k].ravel(),
                12,
                mean,
            ),
        ]
    write_table(rows, HERE / "coverage.csv")
    studies.save(
        HERE / "coverage.json",
        seeds=seeds,
        began=began,
        cpu_minutes=round(time.process_time() / 60, 1),
        rows=rows,
    )


if __name__ == "__main__":
    main()
