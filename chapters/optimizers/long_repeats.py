"""The long study that repeats two contests of rules with more seeds than a page has time for.

Run by ``make run-long``. Writes repeats.json, from which the pages take the verdicts on C079b and
C086a, and of which they recompute a sample. Both had intervals that touched a threshold. Two parts:

- searches: every seed is a search of its own for plain descent and for Adam, on two data sets;
- panel: steps to a target with Nesterov's and with ordinary momentum, on ten tasks.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "tools"), str(HERE)]

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402
from small_networks import SmallNetworks  # noqa: E402

from nnbook import experiments, optim, search  # noqa: E402
from nnbook.claims.protocols import load_claims, stated_seeds  # noqa: E402

SETS = ("mnist", "fashion")
SEARCHES_AT_A_TIME = 16
TARGET_SEEDS, TUNING_SEEDS = range(80, 83), range(70, 80)
RATE = search.log(0.05, 12.8)


def plain(learning_rate):
    """Return plain descent."""
    return optim.sgd(learning_rate)


def heavy(effective_rate, momentum):
    """Return ordinary momentum of an effective rate."""
    return optim.momentum(effective_rate * (1 - momentum), momentum=momentum)


def looking_ahead(effective_rate, momentum):
    """Return Nesterov's momentum of an effective rate."""
    return optim.nesterov(effective_rate * (1 - momentum), momentum=momentum)


SEARCHED = [
    experiments.Arm("plain", make=plain, learning_rate=search.log(0.01, 3)),
    experiments.Arm("Adam", make=optim.adam, learning_rate=search.log(1e-4, 0.03)),
]
PANEL = [
    experiments.Arm("Nesterov", make=looking_ahead, momentum=0.9, effective_rate=RATE),
    experiments.Arm("ordinary", make=heavy, momentum=0.9, effective_rate=RATE),
]


def searches(name, seeds):
    """Return the test error of each rule after the search of each seed."""
    task = experiments.task(name, n_train=1000, n_val=500, n_test=2000)
    contest = experiments.Experiment(
        SEARCHED,
        run_many=SmallNetworks(task, every=50),
        metric="test_error",
        choose_by="val_loss",
        trials=9,
        tuning_seeds=1,
        retune=True,
    )
    found = contest.run(seeds).values()
    return {arm: [round(float(v), 6) for v in values] for arm, values in found.items()}


def small_tasks():
    """Return the ten tasks, with at most 400 examples for training."""
    panel = experiments.panel()
    return [replace(t, n_train=min(t.n_train, 400), n_val=40, n_test=40) for t in panel]


def target_of(task):
    """Return 1.1 times the loss that plain descent, at its best rate, has after half of a run."""
    arm = experiments.Arm("none", make=heavy, momentum=0.0, effective_rate=RATE)
    alone = experiments.Experiment(
        [arm], run_many=SmallNetworks(task, every=15), metric="half_loss", trials=9
    ).tune(TARGET_SEEDS)
    return max(1.1 * alone["none"].score, 0.01 * task.chance_loss)


def steps_to(task, target, seeds):
    """Return the rates that ten tuning seeds chose, and the steps of each arm by seed."""
    outcome = experiments.Experiment(
        PANEL,
        run_many=SmallNetworks(task, every=15, target=target),
        metric="steps_to_target",
        trials=9,
        tuning_seeds=TUNING_SEEDS,
    ).run(seeds)
    rates = {arm.name: outcome.setting(arm.name)["effective_rate"] for arm in PANEL}
    steps = {arm: [round(float(v), 4) for v in v_] for arm, v_ in outcome.values().items()}
    return {"target": target, "rate": rates, "steps": steps, "censored": outcome.censored}


def stated(claim):
    """Return the seeds of a claim's protocol."""
    return list(stated_seeds(load_claims()[claim]["protocol"]["seeds"]))


def main():
    """Run the study and write its data file."""
    began = time.perf_counter()
    many, few = stated("C086a"), stated("C079b")
    found, panel = {name: {arm.name: [] for arm in SEARCHED} for name in SETS}, {}
    for name in SETS:
        for k in range(0, len(many), SEARCHES_AT_A_TIME):
            part = searches(name, many[k : k + SEARCHES_AT_A_TIME])
            for arm, values in part.items():
                found[name][arm] += values
        means = {arm: f"{100 * np.mean(values):.2f} %" for arm, values in found[name].items()}
        print(f"{(time.perf_counter() - began) / 60:5.1f} min", name, means, flush=True)
    for task in small_tasks():
        panel[task.name] = steps_to(task, target_of(task), few)
        print(f"{(time.perf_counter() - began) / 60:5.1f} min", task.name, flush=True)
    studies.save(
        HERE / "repeats.json",
        seeds=sorted({*many, *few}),
        began=began,
        cpu_minutes=round(time.process_time() / 60, 1),
        searches={"seeds": many, "test_error": found},
        panel={"seeds": few, "tasks": panel},
    )


if __name__ == "__main__":
    main()
