"""The long study of stopping: curves of networks that are trained past every reason to stop.

Run by ``make run-long``. Writes curves.json, which the lesson and the laboratory on stopping read;
the laboratory recomputes a sample. Every stopping rule is a function of a recorded curve, so these
runs, made once, compare all rules on the same networks.

For each seed 1,000 images to train on, 1,000 to choose with and 2,000 to judge by are drawn afresh,
and networks 196-30-10 with different weight decay are trained on the same minibatches. They stand
side by side in one product of matrices, written out in NumPy: for networks as small as these that
is five times as fast as the general `nnbook.population.fit_population`; the laboratory holds the
lines to `nnbook.training.fit`.
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

from nnbook import claims, data  # noqa: E402

SEEDS = claims.seeds("C053a")  # those of all claims that the curves decide
TRAIN, VALIDATION, TEST = 1000, 1000, 2000
FEW = 100  # a validation set as small as this is part of the large one
BATCH_SIZE, RATE, UNITS = 10, 0.5, 30
EPOCHS = 200
# Weight decay in the units of Nielsen (2015), λ/(2n) Σ w² over the weights, and the standard
# deviation of the first weights: 1/√inputs, or 1 as in the run behind his figures.
DECAYS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
MEMBERS = [*((decay, "scaled") for decay in DECAYS), (0.0, "unit")]
# Curves are whole numbers in the file; these are their units: nats of cost, per cents of error.
MEASURES = {
    "val_cost": 1e-4,
    "val_error": 0.1,
    "few_error": 1,
    "test_cost": 1e-3,
    "test_error": 0.05,
}


def load():
    """The images that all seeds draw from: 50,000, each 28 × 28, and their labels."""
    images = data.load_mnist()
    return images.x_train, images.y_train


def draw(pool, seed):
    """Images of one seed, averaged to 14 × 14: (training, validation and test) in this order."""
    pixels, labels = pool
    rows = np.random.default_rng(seed).permutation(len(pixels))[: TRAIN + VALIDATION + TEST]
    small = pixels[rows].reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196)
    return small.astype("float32"), labels[rows]


def start(seed, members):
    """First weights of all members, from the same random numbers."""
    rng = np.random.default_rng([seed, 1])
    normal = rng.normal(size=(196, UNITS)), rng.normal(size=(UNITS, 10))
    scales = [(1 / 14, UNITS**-0.5) if kind == "scaled" else (1.0, 1.0) for _, kind in members]
    first = np.concatenate([s[0] * normal[0] for s in scales], axis=1).astype("float32")
    last = np.stack([s[1] * normal[1] for s in scales]).astype("float32")
    k = len(members)
    return first, np.zeros(k * UNITS, "float32"), last, np.zeros((k, 1, 10), "float32")


def logistic(z):
    """1 / (1 + exp(−z))."""
    return 1 / (1 + np.exp(-z))


def forward(parts, x):
    """Hidden activations (n, members · units) and outputs before the sigmoid, (members, n, 10)."""
    first, a, last, b = parts
    h = logistic(x @ first + a)
    return h, h.reshape(len(x), len(last), UNITS).swapaxes(0, 1) @ last + b


def epoch(parts, x, targets, order, keep):
    """One epoch of plain descent, in place; `keep` is 1 − ηλ/n of every member."""
    first, a, last, b = parts
    keep_first, keep_last = np.repeat(keep, UNITS), keep[:, None, None]
    for k in range(0, len(order), BATCH_SIZE):
        rows = order[k : k + BATCH_SIZE]
        inputs = x[rows]
        h, z = forward(parts, inputs)
        delta = (logistic(z) - targets[rows]) * np.float32(RATE / len(rows))
        back = (delta @ last.swapaxes(1, 2)).swapaxes(0, 1).reshape(h.shape) * h * (1 - h)
        last *= keep_last
        last -= h.reshape(len(rows), len(last), UNITS).transpose(1, 2, 0) @ delta
        b -= delta.sum(axis=1, keepdims=True)
        first *= keep_first
        first -= inputs.T @ back
        a -= back.sum(axis=0)


def measured(parts, x, y, targets):
    """What MEASURES names, of every member; cost is without the decay."""
    z = forward(parts, x)[1]
    cost = (np.logaddexp(0, z) - z * targets).sum(axis=2)
    wrong = 100.0 * (z.argmax(axis=2) != y)
    validation, few, test = slice(0, VALIDATION), slice(0, FEW), slice(VALIDATION, None)
    chosen = (cost, validation), (wrong, validation), (wrong, few), (cost, test), (wrong, test)
    return np.stack([values[:, part].mean(axis=1) for values, part in chosen])


def record(pool, seed, epochs=EPOCHS, members=MEMBERS):
    """The curves of one seed: float64, shape (measures, members, epochs)."""
    x, y = draw(pool, seed)
    targets = np.eye(10, dtype="float32")[y]
    keep = np.array([1 - RATE * decay / TRAIN for decay, _ in members], dtype="float32")
    parts, rng = start(seed, members), np.random.default_rng([seed, 2])
    found = []
    for _ in range(epochs):
        epoch(parts, x[:TRAIN], targets[:TRAIN], rng.permutation(TRAIN), keep)
        found.append(measured(parts, x[TRAIN:], y[TRAIN:], targets[TRAIN:]))
    return np.stack(found, axis=2)


def packed(found):
    """Curves as text, one line for a member: whole numbers in the units of MEASURES."""
    return {
        name: [" ".join(str(round(v / unit)) for v in curve) for curve in curves.tolist()]
        for (name, unit), curves in zip(MEASURES.items(), found, strict=True)
    }


def unpacked(texts):
    """The curves of `packed`, shape (measures, members, epochs)."""
    units = np.array(list(MEASURES.values()))[:, None, None]
    return units * np.array([[line.split() for line in texts[name]] for name in MEASURES], float)


def main():
    """Record the curves of every seed and write them."""
    began, pool, curves = time.perf_counter(), load(), []
    for seed in SEEDS:
        curves.append(packed(record(pool, seed)))
        print(f"{(time.perf_counter() - began) / 60:5.1f} min  seed {seed}", flush=True)
    studies.save(HERE / "curves.json", seeds=SEEDS, began=began, members=MEMBERS, curves=curves)


if __name__ == "__main__":
    main()
