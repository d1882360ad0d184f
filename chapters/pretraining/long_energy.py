"""The long study of small Boltzmann machines: four ways to teach them, and the exact likelihood.

Run by ``make run-long``. Two parts:

- contest: CD-1, CD-10, PCD and the exact gradient on bars and stripes and on the digits, each at
  its own tuned rate;
- ladder: CD-1 on bars and stripes at seven constant rates, with likelihood and reconstruction
  error.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = HERE / "energy.json"
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402

from nnbook import data, experiments, optim, pretraining, schedules, search, training  # noqa: E402

ARMS = {
    "CD-1": pretraining.CD(1),
    "CD-10": pretraining.CD(10),
    "PCD": pretraining.PCD(1, chains=100),
    "exact": pretraining.Exact(),
}
UNITS, STEPS = 6, 2_000  # the steps are those on bars and stripes
LEFT_OUT, BATCH, EPOCHS = 597, 100, 90  # of the digits
SEEDS = {"bars and stripes": range(15700, 15720), "digits": range(15720, 15740)}
LADDER, LADDER_TUNING = range(15740, 15756), range(90, 93)
RATES = np.geomspace(0.1, 6, 7).round(4).tolist()


def images(task, seed):
    """Training images and those that decide, black pixels as 1."""
    if task == "bars and stripes":
        x = pretraining.bars_and_stripes(3)
        return x, x
    x = (data.load_digits_8x8()[0] > 0.5).astype(float)
    x = x[np.random.default_rng(seed).permutation(len(x))]
    return x[LEFT_OUT:], x[:LEFT_OUT]


def taught(task, seed, arm, rate, constant=False):
    """A machine, and what can be said of it on the images that decide."""
    x, deciding = images(task, seed)
    layer = ARMS[arm].objective(x, UNITS, rng=seed)
    batch, epochs = (len(x), STEPS) if task == "bars and stripes" else (BATCH, EPOCHS)
    falling = schedules.cosine(rate, epochs * (len(x) // batch))
    rule = optim.momentum(rate if constant else falling, momentum=0.0)
    training.fit(layer, optimizer=rule, batch_size=batch, epochs=epochs, seed=seed)
    found = layer.watch(deciding)(layer.theta)
    return layer.rbm, {"nats": -found["log_likelihood"], "reconstruction": found["reconstruction"]}


def contest(task):
    """Tune every arm, run it on the seeds that decide; return numbers and the choices."""
    outcome = experiments.Experiment(
        [experiments.Arm(arm, arm=arm, learning_rate=search.log(0.1, 6)) for arm in ARMS],
        run=lambda seed, arm, learning_rate: taught(task, seed, arm, learning_rate)[1],
        metric="nats",
        trials=7,
        tuning_seeds=3,
    ).run(SEEDS[task])
    print(outcome, flush=True)
    return {
        "seeds": list(SEEDS[task]),
        "rates": {arm: outcome.setting(arm)["learning_rate"] for arm in ARMS},
        "tuning": str(outcome.tuning),
        "reservations": list(outcome.reservations),
        "diverged": outcome.diverged,
        "nats": {arm: values.tolist() for arm, values in outcome.values("nats").items()},
        "reconstruction": {
            arm: values.tolist() for arm, values in outcome.values("reconstruction").items()
        },
    }


def ladder(seeds):
    """Both measures of CD-1 on bars and stripes at every constant rate, a row a seed."""
    rows = [[taught("bars and stripes", s, "CD-1", r, True)[1] for r in RATES] for s in seeds]
    names = ("nats", "reconstruction")
    return {name: [[one[name] for one in row] for row in rows] for name in names}


def main():
    """Run both parts and write the data file."""
    began = time.perf_counter()
    contests = {task: contest(task) for task in SEEDS}
    steps = {
        "rates": RATES,
        "seeds": list(LADDER),
        "deciding": ladder(LADDER),
        "tuning": ladder(LADDER_TUNING),
    }
    seeds = [*LADDER_TUNING, *LADDER, *(seed for some in SEEDS.values() for seed in some)]
    studies.save(FILE, seeds=seeds, began=began, contest=contests, ladder=steps)


if __name__ == "__main__":
    main()
