"""The long study of auto-encoders: noise and contraction, beside weight decay and fewer units.

Run by ``make run-long``. Two parts:

- arms: filters and features learned without anything, at 30 % corruption, with a contraction, with
  weight decay, and with fewer units, every arm tuned by as many trials;
- sweep: the Jacobian of the codes against the error of the reconstruction, for several strengths of
  the contraction and of weight decay, at the rate chosen for the contraction.
"""

from __future__ import annotations

import functools
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = HERE / "autoencoders.json"
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402

from nnbook import data, losses, optim, pretraining, training  # noqa: E402

SIZE, EXAMPLES, LABELLED, HELD_OUT = 14, 2_000, 1_000, 2_000
EPOCHS, BATCH, UNITS = 30, 20, 200
RIDGES = (1.0, 10.0, 100.0, 1000.0)
TUNING_SEEDS = (90, 91)
ARM_SEEDS, SWEEP_SEEDS = range(15500, 15510), range(15600, 15610)
RATES = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0)
# By arm: what every trial trains with; six trials each.
ARMS = {
    "plain": [{"rate": rate} for rate in RATES],
    "noise": [{"rate": rate, "corruption": 0.3} for rate in RATES],
    "contraction": [
        {"rate": rate, "contraction": c} for c in (0.03, 0.1, 0.3) for rate in (0.12, 0.5)
    ],
    "decay": [{"rate": rate, "decay": d} for d in (0.003, 0.01, 0.03) for rate in (0.12, 0.5)],
    "fewer": [{"rate": rate, "units": u} for u in (50, 100, 150) for rate in (0.12, 0.5)],
}
# Strengths of the sweep.
SWEEP = {"contraction": (0.0, 0.1, 0.3), "decay": (0.003, 0.01, 0.03)}


@functools.lru_cache(maxsize=1)
def images():
    """MNIST's training images in 14 × 14 pixels between 0 and 1, and their labels."""
    x, y = data.load_mnist()[:2]
    return x.reshape(-1, SIZE, 2, SIZE, 2).mean(axis=(2, 4)).reshape(len(x), -1), y


def drawn(seed):
    """A seed's images to learn from, for choosing and for the test, each with labels."""
    x, y = images()
    rows = np.random.default_rng([seed, 0]).permutation(len(x))[: EXAMPLES + 2 * HELD_OUT]
    return [(x[part], y[part]) for part in np.split(rows, (EXAMPLES, EXAMPLES + HELD_OUT))]


def trained(seed, *, rate, corruption=0.0, contraction=0.0, decay=0.0, units=UNITS, epochs=EPOCHS):
    """An auto-encoder with tied weights and logistic units, trained by SGD, and its history."""
    recipe = pretraining.AutoEncoder(corruption=corruption, contraction=contraction)
    net = recipe.objective(drawn(seed)[0][0], units, rng=np.random.default_rng([seed, 1]))
    history = training.fit(
        net,
        optimizer=optim.sgd(rate),
        batch_size=BATCH,
        epochs=epochs,
        seed=seed,
        penalty=losses.l2_penalty(decay) if decay else None,
        progress=False,
    )
    return net, history


def probe_errors(net, sets):
    """Errors of a linear classifier on the codes, for choosing and for the test.

    Least squares on ±1 with 1,000 labels; its ridge is the one that errs least on the second set.
    """
    codes = [net.encode(x[:LABELLED] if k == 0 else x) for k, (x, _) in enumerate(sets)]
    mean, scale = codes[0].mean(axis=0), codes[0].std(axis=0).mean() + 1e-12
    A, V, T = (np.c_[(h - mean) / scale, np.ones(len(h))].astype(float) for h in codes)
    y, y_val, y_test = sets[0][1][:LABELLED], sets[1][1], sets[2][1]
    moments, right, found = A.T @ A, A.T @ (2 * np.eye(10)[y] - 1), []
    for ridge in RIDGES:
        W = np.linalg.solve(moments + ridge * np.eye(len(moments)), right)
        errors = [
            ((one @ W).argmax(axis=1) != labels).mean() for one, labels in ((V, y_val), (T, y_test))
        ]
        found.append(tuple(float(error) for error in errors))
    return min(found)


def jacobian_norm(net, x):
    """The root of the mean of ‖∂h/∂x‖²_F over examples, in closed form."""
    h = net.encode(x)
    return float(np.sqrt((((h * (1 - h)) ** 2) @ (net.part("weight") ** 2).sum(axis=1)).mean()))


def reconstruction_loss(net, x):
    """The cross-entropy of the reconstructions, in nats an image."""
    p = np.clip(net.reconstruct(x), 1e-6, 1 - 1e-6)
    return float(-(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1).mean())


def measured(seed, **setting):
    """All numbers of one run."""
    net, _ = trained(seed, **setting)
    sets = drawn(seed)
    chosen, test = probe_errors(net, sets)
    return {
        "participation": float(np.median(pretraining.participation_ratio(net.part("weight")))),
        "choosing_error": chosen,
        "error": test,
        "reconstruction": reconstruction_loss(net, sets[2][0]),
        "jacobian": jacobian_norm(net, sets[2][0]),
    }


def raw_error(seed):
    """The test error of the same linear classifier on the pixels."""

    class Pixels:
        encode = staticmethod(lambda x: x)

    return probe_errors(Pixels, drawn(seed))[1]


def tuned(arm):
    """An arm's trials, their scores, its choice, and its runs on the seeds that decide."""
    settings = ARMS[arm]
    trials = [[measured(seed, **one) for seed in TUNING_SEEDS] for one in settings]
    scores = [float(np.mean([run["choosing_error"] for run in runs])) for runs in trials]
    chosen = settings[int(np.argmin(scores))]
    runs = [measured(seed, **chosen) for seed in ARM_SEEDS]
    print(arm, chosen, [round(score, 4) for score in scores], flush=True)
    return {"trials": trials, "scores": scores, "chosen": chosen, "runs": runs}


def swept(rate):
    """By penalty and strength, one run a seed."""
    return {
        name: {
            str(one): [measured(seed, rate=rate, **{name: one}) for seed in SWEEP_SEEDS]
            for one in strengths
        }
        for name, strengths in SWEEP.items()
    }


def main():
    """Run all and write the data file."""
    began = time.perf_counter()
    arms = {arm: tuned(arm) for arm in ARMS}
    raw = [raw_error(seed) for seed in ARM_SEEDS]
    sweep = swept(arms["contraction"]["chosen"]["rate"])
    seeds = [*TUNING_SEEDS, *ARM_SEEDS, *SWEEP_SEEDS]
    studies.save(FILE, seeds=seeds, began=began, arms=arms, raw=raw, sweep=sweep)


if __name__ == "__main__":
    main()
