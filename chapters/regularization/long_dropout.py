"""The long study of dropout: what it gains, and what else would have gained it.

Run by ``make run-long``. Writes dropout.json, which the laboratory on dropout reads; it recomputes
a sample. For each seed 1,000 images to train on, 1,000 to choose with and 4,000 to judge by are
drawn afresh and halved to 14 × 14. Networks 196-256-10 of ReLUs learn by momentum 0.9 from
minibatches of 50, with a rate that falls to 0 in a straight line, so that the last epoch is a
plateau; all arms of a seed share first weights and order. Each arm is tuned by the same number of
trials. The lines are NumPy's, which for networks as small as these is three times as fast as the
general `nnbook.training.fit`; masks are drawn for every example anew, or for every minibatch.
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

from nnbook import claims, data, experiments, search  # noqa: E402

TRAIN, VALIDATION, TEST = 1000, 1000, 4000
BATCH_SIZE, MOMENTUM, EPOCHS = 50, 0.9, 60
TRIALS, TUNING_SEEDS = 5, 2
MEASURES = "test_error", "val_error", "test_loss"


def load():
    """The images that all seeds draw from, 14 × 14, and their labels."""
    images = data.load_mnist()
    x = np.concatenate([images.x_train, images.x_val]).reshape(-1, 14, 2, 14, 2)
    return x.mean(axis=(2, 4)).reshape(-1, 196), np.concatenate([images.y_train, images.y_val])


def draw(pool, seed):
    """The images of one seed and their labels: training, validation and test in this order."""
    x, y = pool
    rows = np.random.default_rng(seed).permutation(len(x))[: TRAIN + VALIDATION + TEST]
    return x[rows], y[rows]


def start(seed, units):
    """First weights, by He's rule, of layers 196, *units, 10; biases 0."""
    rng, sizes = np.random.default_rng([seed, 1]), (196, *units, 10)
    pairs = zip(sizes, sizes[1:], strict=False)  # noqa: RUF007
    return [
        part
        for m, n in pairs
        for part in (
            rng.normal(scale=(2 / m) ** 0.5, size=(m, n)).astype("float32"),
            np.zeros(n, "float32"),
        )
    ]


def outputs(parts, x):
    """The sums before the softmax, without noise."""
    for W, b in zip(parts[:-2:2], parts[1:-2:2], strict=True):
        x = np.maximum(x @ W + b, 0)
    return x @ parts[-2] + parts[-1]


def probabilities(z):
    """The softmax along the last axis."""
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def mask(rng, shape, rate, one_mask):
    """0 with the probability `rate`, else 1 / (1 − rate)."""
    shape = (1, shape[1]) if one_mask else shape
    return (rng.random(shape, dtype="float32") >= rate) * np.float32(1 / (1 - rate))


def gradient(parts, x, targets, rng, hidden, inputs, one_mask):
    """∇L of a minibatch under fresh masks, and the penalty's share left out."""
    if inputs:
        x = x * mask(rng, x.shape, inputs, one_mask)
    kept, gates = [x], []
    for W, b in zip(parts[:-2:2], parts[1:-2:2], strict=True):
        h = kept[-1] @ W
        h += b
        np.maximum(h, 0, out=h)
        if hidden:
            gates.append(mask(rng, h.shape, hidden, one_mask))
            h *= gates[-1]
        kept.append(h)
    delta = (probabilities(kept[-1] @ parts[-2] + parts[-1]) - targets) / np.float32(len(x))
    found = []
    for k in range(len(kept) - 1, -1, -1):
        found[:0] = kept[k].T @ delta, delta.sum(axis=0)
        if k:
            delta = delta @ parts[2 * k].T
            delta *= kept[k] > 0
            if hidden:
                delta *= gates[k - 1]
    return found


def shrink(W, limit):
    """Scale the weights into a unit (a column) down to the length `limit`, if longer."""
    length = np.sqrt(np.einsum("ij,ij->j", W, W))
    W *= np.minimum(1, limit / np.maximum(length, 1e-12))


def train(x, y, seed, *, rate, units=(256,), hidden=0.0, inputs=0.0, one_mask=False, decay=0.0,
          limit=0.0, epochs=EPOCHS):  # fmt: skip
    """Train one network on the rows (x, y) and return its parts."""
    parts, targets = start(seed, units), np.eye(10, dtype="float32")[y]
    order, rng = np.random.default_rng([seed, 2]), np.random.default_rng([seed, 3])
    velocity = [np.zeros_like(part) for part in parts]
    steps, t = epochs * (len(x) // BATCH_SIZE), 0
    for _ in range(epochs):
        for rows in order.permutation(len(x)).reshape(-1, BATCH_SIZE):
            now = np.float32(rate * (1 - t / steps))
            t += 1
            g = gradient(parts, x[rows], targets[rows], rng, hidden, inputs, one_mask)
            for k, (part, v, slope) in enumerate(zip(parts, velocity, g, strict=True)):
                v *= np.float32(MOMENTUM)
                slope *= now
                v -= slope
                if decay and k % 2 == 0:
                    v -= np.float32(now * decay) * part
                part += v
                if limit and k % 2 == 0 and k < len(parts) - 2:
                    shrink(part, limit)
    return parts


def measured(parts, x, y):
    """What MEASURES names: errors in per cent, loss in nats."""
    z = outputs(parts, x[TRAIN:])
    wrong = 100.0 * (z.argmax(axis=1) != y[TRAIN:])
    chosen = np.take_along_axis(probabilities(z), y[TRAIN:, None], axis=1)[:, 0]
    loss = -np.log(np.maximum(chosen, 1e-30))[VALIDATION:].mean()
    found = wrong[VALIDATION:].mean(), wrong[:VALIDATION].mean(), loss
    return dict(zip(MEASURES, map(float, found), strict=True))


# What the plain rate is tuned over, and, at the rate chosen, decay and max-norm.
RATE, DECAY, LIMIT = search.log(0.0125, 0.2), search.log(3e-4, 0.03), search.log(0.5, 8)
DROPOUT = {"hidden": 0.5, "one_mask": True}
FIRST = {
    "none": {},
    "a mask a minibatch": DROPOUT,
    "a mask an example": {"hidden": 0.5},
    "inputs too": {"hidden": 0.5, "inputs": 0.2},
    "none, 128 units": {"units": (128,)},
    "none, 32 units": {"units": (32,)},
    "a mask a minibatch, 32 units": {**DROPOUT, "units": (32,)},
}
SECOND = {
    "L2": ("none", {"decay": DECAY}),
    "max-norm": ("a mask a minibatch", {**DROPOUT, "limit": LIMIT}),
}
LONGER = {
    "none, 3 × the epochs": "none",
    "a mask a minibatch, 3 × the epochs": "a mask a minibatch",
}
LONGER_SEEDS = 4


def contest(pool, arms, seeds):
    """Tune each arm by the validation error, then run all of them on `seeds`."""

    def run(seed, **knobs):
        x, y = draw(pool, seed)
        return measured(train(x[:TRAIN], y[:TRAIN], seed, **knobs), x, y)

    arms = [experiments.Arm(name, **knobs) for name, knobs in arms.items()]
    return experiments.Experiment(
        arms, run, metric="test_error", choose_by="val_error", trials=TRIALS,
        tuning_seeds=TUNING_SEEDS,
    ).run(seeds)  # fmt: skip


def told(outcome):
    """What the data file keeps of an outcome, by arm."""
    return {
        name: {
            "setting": outcome.setting(name),
            **{m: np.round(outcome.values(m)[name], 4).tolist() for m in MEASURES},
        }
        for name in outcome.values()
    }


def main():
    """Run the study and write its data file."""
    began, pool, seeds = time.perf_counter(), load(), claims.seeds("C056a")
    first = contest(pool, {name: {**knobs, "rate": RATE} for name, knobs in FIRST.items()}, seeds)
    print(first, first.tuning, f"{(time.perf_counter() - began) / 60:5.1f} min", flush=True)
    rate = {name: first.setting(name)["rate"] for name in FIRST}
    arms = {name: {**knobs, "rate": rate[like]} for name, (like, knobs) in SECOND.items()}
    for name, like in LONGER.items():
        arms[name] = {**FIRST[like], "rate": rate[like], "epochs": 3 * EPOCHS}
    second = contest(pool, {name: arms[name] for name in SECOND}, seeds)
    third = contest(pool, {name: arms[name] for name in LONGER}, list(seeds)[:LONGER_SEEDS])
    print(second, second.tuning, third, flush=True)
    notes = [note for outcome in (first, second) for note in outcome.reservations]
    results = {**told(first), **told(second), **told(third)}
    studies.save(HERE / "dropout.json", seeds=seeds, began=began, notes=notes, results=results)


if __name__ == "__main__":
    main()
