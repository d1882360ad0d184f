"""The long study of the regularization chapter: what every regularizer buys, each tuned alike.

Run by ``make run-long``; ``python long_bought.py "MNIST, 50,000"`` runs one column more and keeps
the others of bought.json while the code that made them is as it was. For each column and row:

- tuning: five values of the row's one knob, judged by validation error on TUNING_SEED;
- repetitions: the best value, on seeds that tuning has not seen. A seed draws the training,
  validation and test images, the initial weights, the order and all other luck.

The first row tunes the learning rate, which the others take over. Some rows have nothing to tune:
they are the arms of claim C058. All rows of a column make the same number of updates, but for the
small minibatch, which sees as many examples.
"""

from __future__ import annotations

import functools
import json
import math
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = HERE / "bought.json"
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402

from nnbook import data, layers, losses, optim, schedules, training  # noqa: E402
from nnbook.parameters import ParameterVector  # noqa: E402

# Column: data set, training images, updates, seeds. More of them is more of this table.
COLUMNS = {
    "MNIST, 1,000": ("mnist", 1_000, 400, range(5800, 5810)),
    "Fashion, 1,000": ("fashion", 1_000, 400, range(5820, 5830)),
    "MNIST, 5,000": ("mnist", 5_000, 800, range(5840, 5845)),
}
LATER = {"MNIST, 50,000": ("mnist", 50_000, 4_000, range(5860, 5865))}
TUNING_SEED, VALIDATION, TEST, REAL = 90, 1_000, 5_000, 25_000
BATCH_SIZE, UNITS, MOMENTUM = 50, 100, 0.9

SIMARD = {"alpha": 34.0, "sigma": 4.0}
RATES = (0.02, 0.04, 0.08, 0.16, 0.32)
DECAYS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
SHARES = (0.25, 0.5, 0.75, 1.0, 1.5)


def deformed(share):
    """All deformations, at a share of their usual strength."""
    return {
        "shift": share,
        "rotation": 15 * share,
        "scale": 0.15 * share,
        "alpha": SIMARD["alpha"] * share,
        "sigma": SIMARD["sigma"],
    }


# Row: the five values of its knob, and what a value means.
ROWS = {
    "plain": (RATES, lambda v: {"rate": v}),
    "L2": (DECAYS, lambda v: {"l2": v}),
    "L1, proximal": ((3e-5, 1e-4, 3e-4, 1e-3, 3e-3), lambda v: {"l1": v}),
    "early stopping": (RATES, lambda v: {"rate": v, "stop": True}),
    "dropout": ((0.1, 0.2, 0.3, 0.5, 0.7), lambda v: {"dropout": v}),
    "dropout, max-norm": ((0.7, 1.0, 1.5, 2.0, 3.0), lambda v: {"dropout": 0.5, "limit": v}),
    "label smoothing": ((0.02, 0.05, 0.1, 0.2, 0.4), lambda v: {"smoothing": v}),
    "mixup": ((0.1, 0.2, 0.4, 1.0, 2.0), lambda v: {"mixup": v}),
    "made-up images": (SHARES, lambda v: {"deform": deformed(v)}),
    "four times wider, L2": (DECAYS, lambda v: {"units": 4 * UNITS, "l2": v}),
    "minibatches of 10": (tuple(r / 4 for r in RATES), lambda v: {"rate": v, "batch_size": 10}),
    "all together": (
        SHARES,
        lambda v: {
            "units": 4 * UNITS,
            "deform": deformed(v),
            "dropout": 0.3 * v,
            "smoothing": 0.05,
        },
    ),
}
# The further arms of C058, with nothing to tune.
ARMS = {
    "±1 pixel, fivefold set": {"fivefold": True},
    "rotation ±15°": {"deform": {"rotation": 15.0}},
    "elastic (34, 4)": {"deform": SIMARD},
    "flips": {"flips": True},
    "25,000 real images": {"real": True},
}


@functools.lru_cache(maxsize=1)
def pool(name):
    """All images of a set, 28 × 28 numbers in [0, 1], and their labels."""
    parts = data.load_mnist() if name == "mnist" else data.load_small_fashion_mnist()
    return np.concatenate(parts[::2]), np.concatenate(parts[1::2])


def draw(name, n, seed):
    """The training, validation and test images of a seed, no image twice: pairs (x, y)."""
    x, y = pool(name)
    rows = np.random.default_rng([seed, 0]).permutation(len(x))
    test, val, train = np.split(rows[: TEST + VALIDATION + n], [TEST, TEST + VALIDATION])
    return [(x[part], y[part]) for part in (train, val, test)]


def halved(images):
    """14 × 14 pixels, each the mean of four."""
    return images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196)


def fivefold(x, y):
    """The images, and each moved by a pixel up, down, left and right: Nielsen's chapter 6."""
    pictures = x.reshape(-1, 28, 28)
    moved = [pictures]
    for axis in (1, 2):
        for step in (-1, 1):
            new = np.roll(pictures, step, axis)
            edge = [slice(None)] * 3
            edge[axis] = 0 if step == 1 else -1
            new[tuple(edge)] = 0
            moved.append(new)
    return np.concatenate(moved).reshape(-1, 784), np.tile(y, 5)


def flipped(x, rng):
    """Mirror every image at random, left to right and top to bottom."""
    pictures, (across, down) = x.reshape(-1, 28, 28), rng.random((2, len(x))) < 0.5
    pictures = np.where(across[:, None, None], pictures[:, :, ::-1], pictures)
    return np.where(down[:, None, None], pictures[:, ::-1], pictures).reshape(-1, 784)


def epochs_of(recipe, x, y, batch_size, seed):
    """The minibatches of one epoch after the other, their images made anew: what `fit` takes."""
    rng = np.random.default_rng([seed, 1])
    deform = data.Deformation(**recipe["deform"]) if "deform" in recipe else None
    mix = data.mixup(recipe["mixup"]) if "mixup" in recipe else None
    y = data.smooth_labels(y, 10, smoothing=0) if mix else y

    def of_some(images):
        images = flipped(images, rng) if recipe.get("flips") else images
        return halved(deform(images, rng) if deform else images)

    def epoch():
        small = np.concatenate([of_some(x[k : k + 5_000]) for k in range(0, len(x), 5_000)])
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            yield mix(small[rows], y[rows], rng) if mix else (small[rows], y[rows])

    return epoch


def network(recipe, seed):
    """196 inputs, one layer of ReLU, ten outputs; with dropout if asked."""
    net = layers.mlp(196, [recipe.get("units", UNITS)], 10, activation="relu", seed=seed)
    if drop := recipe.get("dropout"):
        net = layers.with_dropout(net, hidden=min(drop, 0.8), inputs=0.4 * min(drop, 0.5))
    return net


def rule_of(recipe, net, steps):
    """Momentum, its rate falling along a cosine, and what is built around it."""
    rate = recipe["rate"]
    rate = rate if recipe.get("stop") else schedules.cosine(rate, steps)
    rule = optim.momentum(rate, momentum=MOMENTUM)
    if strength := recipe.get("l1"):
        rule = optim.proximal(rule, losses.l1_penalty(strength))
    if limit := recipe.get("limit"):
        shapes = ParameterVector(net).shapes
        last = [name for name, shape in shapes.items() if len(shape) == 2][-1]
        rule = optim.max_norm(rule, limit, optim.unit_numbers(shapes, lambda name: name != last))
    return rule


def train(recipe, sets, updates, seed):
    """Train one network; return its errors (%), the updates it made and its processor time (s)."""
    (x, y), (x_val, y_val), (x_test, y_test) = sets
    if recipe.get("fivefold"):
        x, y = fivefold(x, y)
    batch_size = recipe.get("batch_size", BATCH_SIZE)
    steps = updates * BATCH_SIZE // batch_size
    net = network(recipe, seed)
    small, val = (halved(x), y), (halved(x_val), y_val)
    if {"mixup", "deform", "flips"} & set(recipe):
        small = epochs_of(recipe, x, y, batch_size, seed)
    smoothing, l2 = recipe.get("smoothing"), recipe.get("l2")
    stop = recipe.get("stop")
    began = time.process_time()
    training.fit(
        net,
        small,
        val if stop else None,
        loss=losses.smoothed_cross_entropy(smoothing)
        if smoothing
        else losses.softmax_cross_entropy,
        optimizer=rule_of(recipe, net, steps),
        penalty=losses.l2_penalty(l2) if l2 else None,
        batch_size=batch_size,
        epochs=math.ceil(steps * batch_size / len(x)),
        callbacks=[training.EarlyStopping("val_accuracy", patience=10_000)] if stop else [],
        seed=seed,
        progress=False,
    )
    seconds = time.process_time() - began
    return {
        "val_error": error(net, val),
        "test_error": error(net, (halved(x_test), y_test)),
        "updates": steps,
        "seconds": seconds,
    }


def error(net, part):
    """In per cent."""
    return 100 * (1 - training.evaluate(net, part, losses.softmax_cross_entropy)["accuracy"])


def attempt(recipe, name, n, updates, seed):
    """`train` on the images of a seed; a run that diverges errs as guessing does."""
    sets = draw(name, REAL if recipe.get("real") else n, seed)
    try:
        return train(recipe, sets, updates, seed)
    except training.DivergedError:
        return {"val_error": 90.0, "test_error": 90.0, "updates": updates, "seconds": 0.0}


def column(name, n, updates, seeds):
    """Tune and repeat every row of a column."""
    found, rate = {}, None
    further = {arm: ((None,), lambda v, r=recipe: r) for arm, recipe in ARMS.items()}
    rows = {**ROWS, **(further if (name, n) == ("mnist", 1_000) else {})}
    for row, (values, recipe_of) in rows.items():
        recipes = [{"rate": rate, **recipe_of(value)} for value in values]
        tuned = []
        if len(recipes) > 1:
            tuned = [attempt(r, name, n, updates, TUNING_SEED)["val_error"] for r in recipes]
        best = int(np.argmin(tuned)) if tuned else 0
        rate = recipes[best]["rate"] if row == "plain" else rate
        runs = [attempt(recipes[best], name, n, updates, seed) for seed in seeds]
        found[row] = {
            "values": values,
            "chosen": values[best],
            "tuning": np.round(tuned, 2).tolist(),
            "test_error": [round(run["test_error"], 2) for run in runs],
            "val_error": [round(run["val_error"], 2) for run in runs],
            "updates": runs[0]["updates"],
            "seconds": round(float(np.mean([run["seconds"] for run in runs])), 3),
        }
        print(
            name, n, row, values[best], found[row]["tuning"], found[row]["test_error"], flush=True
        )
    return {"rate": rate, "images": n, "seeds": list(seeds), "rows": found}


def kept():
    """The columns that are there and were made by the code that is here."""
    if not FILE.exists() or studies.stale(FILE):
        return {}
    return json.loads(FILE.read_text(encoding="utf-8"))["data"]["columns"]


def main(wanted):
    """Run some columns, or all, and write the data file."""
    began = time.perf_counter()
    known = {**COLUMNS, **LATER}
    if unknown := set(wanted) - set(known):
        raise SystemExit(f"no such column: {sorted(unknown)}; expected some of {list(known)}")
    made = {name: column(*known[name]) for name in wanted or COLUMNS}
    columns = {**(kept() if wanted else {}), **made}
    columns = {name: columns[name] for name in known if name in columns}
    seeds = [TUNING_SEED, *(seed for c in columns.values() for seed in c["seeds"])]
    studies.save(FILE, seeds=seeds, began=began, columns=columns)


if __name__ == "__main__":
    main(sys.argv[1:])
