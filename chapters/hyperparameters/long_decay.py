"""The long study of rates and weight decays, on which recipes for finding both are tried.

Run by ``make run-long``. Writes decay.json: for every seed of C131, which has 200 images of its
own, the validation and the test loss at every pair of six rates and ten strengths. The page on
learning applies the recipes to these tables, and recomputes those of one seed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402

from nnbook import data, layers, losses, optim  # noqa: E402
from nnbook.claims.protocols import load_claims, stated_seeds  # noqa: E402
from nnbook.population import fit_population  # noqa: E402

RATES = [0.025 * 2**k for k in range(6)]
STRENGTHS = [0.0, *(float(f"{10**k:.6g}") for k in np.arange(-4, 0.01, 0.5))]
EPOCHS, BATCH_SIZE, IMAGES, AT_A_TIME = 30, 32, 200, 8


def load():
    """Return small Fashion-MNIST at 7 × 7 pixels, standardised: 1,000, 1,000 and 4,000 images."""
    images = data.load_small_fashion_mnist()
    pairs = [(images[2 * k][:n], images[2 * k + 1][:n]) for k, n in enumerate((1000, 1000, 4000))]
    small = [x.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49) for x, _ in pairs]
    scaler = data.Standardize().fit(small[0])
    return [
        (scaler.transform(x).astype("float32"), y) for x, (_, y) in zip(small, pairs, strict=True)
    ]


def own_images(seed):
    """Return an order that shows 200 of the 1,000 images, others for every seed."""
    rows = np.random.default_rng(seed).permutation(1000)[:IMAGES]
    return lambda n, epoch, rng: rng.permutation(rows)


def loss_of(net, x, y):
    """Return the cross-entropy of a network with one tanh layer, and never more than chance."""
    v, a, w, b = (p.data().asnumpy() for p in net.collect_params().values())
    z = np.tanh(x @ v.T + a) @ w.T + b
    z = np.exp(z - z.max(axis=1, keepdims=True))
    right = z[np.arange(len(y)), y] / z.sum(axis=1)
    return min(-np.log(right + 1e-30).mean(), np.log(10))


def tables(sets, seeds):
    """Return validation and test loss, each of shape (seeds, rates, strengths)."""
    members = [(seed, rate, s) for seed in seeds for rate in RATES for s in STRENGTHS]
    nets = [layers.mlp(49, [32], 10, activation="tanh", seed=seed) for seed, *_ in members]
    histories = fit_population(
        nets,
        sets[0],
        loss=losses.softmax_cross_entropy,
        optimizer=optim.sgd([rate for _, rate, _ in members]),
        penalty=[losses.l2_penalty(s) if s else None for *_, s in members],
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        seeds=[seed for seed, *_ in members],
        order=[own_images(seed) for seed, *_ in members],
        progress=False,
    )
    found = [
        [
            np.log(10) if history.stopped else loss_of(net, *part)
            for net, history in zip(nets, histories, strict=True)
        ]
        for part in sets[1:]
    ]
    return np.reshape(found, (2, len(seeds), len(RATES), len(STRENGTHS)))


def main():
    """Run the study and write its data file."""
    began = time.perf_counter()
    seeds = list(stated_seeds(load_claims()["C131"]["protocol"]["seeds"]))
    sets, parts = load(), []
    for k in range(0, len(seeds), AT_A_TIME):
        parts.append(tables(sets, seeds[k : k + AT_A_TIME]))
        print(f"{(time.perf_counter() - began) / 60:5.1f} min, {k + AT_A_TIME} seeds", flush=True)
    validation, test = np.concatenate(parts, axis=1).round(6).tolist()
    studies.save(
        HERE / "decay.json",
        seeds=seeds,
        began=began,
        cpu_minutes=round(time.process_time() / 60, 1),
        validation_loss=validation,
        test_loss=test,
    )


if __name__ == "__main__":
    main()
