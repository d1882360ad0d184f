"""The long study of searches: many real trials, whole and short.

Run by ``make run-long``. Five parts, all with networks 49-32-10 on images of 7 × 7 pixels:

- table: 240 random settings for each repetition, their validation errors after some epochs;
- rounds: coarse to fine, each round longer than the one before, and each as long;
- six: a grid, random and Sobol points, and one hyperparameter at a time, with six to tune;
- valley: all combinations of a rate and a momentum, and of a rate and a weight decay;
- transfer: the learning rate of ten digits, looked for with two digits, or with fewer images.

A repetition has images, initial weights and an order of its own.
"""

from __future__ import annotations

import functools
import sys
import time
from itertools import product
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = HERE / "budgets.json"
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402

from nnbook import data, layers, losses, optim, schedules, search  # noqa: E402
from nnbook.population import fit_population  # noqa: E402

SPACE = search.Space(
    learning_rate=search.log(1e-6, 10),
    weight_decay=search.log(1e-6, 1),
    initial_scale=search.log(0.1, 10),
    one_minus_momentum=search.log(0.01, 1),
)
SIX = search.Space(
    learning_rate=search.log(1e-3, 10),
    weight_decay=search.log(1e-6, 1e-1),
    initial_scale=search.log(0.1, 10),
    output_scale=search.log(0.1, 10),
    one_minus_momentum=search.log(0.01, 1),
    rate_fall=search.log(0.01, 1),
)
PLAIN = {
    "learning_rate": 0.1,
    "weight_decay": 0.0,
    "initial_scale": 1.0,
    "output_scale": 1.0,
    "one_minus_momentum": 1.0,
    "rate_fall": 1.0,
}
STEPS = 1, 5, 20  # epochs of a short, a longer and a whole trial
LOOKS = 1, 2, 3, 5, 8, 12, 20  # the epochs after which a table has the validation errors
TRIALS = 240  # settings in a table
ROUND, FULL_ROUND = 12, 5  # trials in a round of coarse to fine: short rounds, whole rounds
SEARCHES = 3  # in rounds, for each repetition
SIX_TRIALS, SIX_EPOCHS = 64, 8
RATES = np.geomspace(0.003, 3, 13)
MOMENTA, DECAYS = 1 - np.geomspace(0.03, 1, 6), np.geomspace(1e-4, 3e-2, 6)
TRANSFER_RATES, TRANSFER_EPOCHS = np.geomspace(0.01, 30, 15), 15
SEARCH_SEEDS, SIX_SEEDS = range(13300, 13320), range(13400, 13432)
VALLEY_SEEDS, TRANSFER_SEEDS = range(13200, 13216), range(14300, 14316)


# ------------------------------------------------------------------------------ problems


def shrunk(x):
    """28 × 28 pixels to 7 × 7: means of blocks of four by four."""
    return np.asarray(x).reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49)


@functools.lru_cache(maxsize=2)
def pool(name):
    """All images of a set in 7 × 7 pixels, and their labels."""
    if name == "fashion":
        s = data.load_small_fashion_mnist()
        parts = (s.x_train, s.y_train), (s.x_val, s.y_val), (s.x_test, s.y_test)
        return shrunk(np.concatenate([x for x, _ in parts])), np.concatenate([y for _, y in parts])
    x, y = data.load_mnist()[:2]
    return shrunk(x), np.asarray(y)


@functools.lru_cache(maxsize=2)
def sets(seed, name="fashion", sizes=(800, 500, 3000)):
    """Images for training, validation and test, drawn by a seed, standardised by the first."""
    x, y = pool(name)
    rows = np.split(
        np.random.default_rng([seed, 7]).permutation(len(x))[: sum(sizes)], np.cumsum(sizes)[:-1]
    )
    scaler = data.Standardize().fit(x[rows[0]])
    return [(scaler.transform(x[r]).astype("float32"), y[r]) for r in rows]


def build(setting, seed, outputs=10):
    """A network with initial weights of a seed, each layer's multiplied by its scale."""
    net = layers.mlp(49, [32], outputs, "tanh", seed=seed)
    first, _, second, _ = net.collect_params().values()
    first.set_data(first.data() * setting["initial_scale"])
    second.set_data(second.data() * setting["output_scale"])
    return net


def error_of(net, x, y):
    """The part of the images that a network gets wrong."""
    v, a, w, b = (p.data().asnumpy() for p in net.collect_params().values())
    return float(((np.tanh(x @ v.T + a) @ w.T + b).argmax(axis=1) != y).mean())


def curve(history, epochs, column="val_accuracy"):
    """A column of a history, epoch by epoch, as an error; after a divergence, that of chance."""
    found = np.full(epochs, 0.9 if column == "val_accuracy" else np.inf)
    values = np.asarray(history[column], dtype=float)
    values = 1 - values if column == "val_accuracy" else values
    found[: len(values)] = np.where(np.isfinite(history["val_loss"]), values, found[: len(values)])
    return found


def trained(settings, seed, epochs):
    """Train each setting; validation errors by epoch, shape (settings, epochs), and test errors."""
    train, validation, (x, y) = sets(seed)
    full = [PLAIN | one for one in settings]
    nets = [build(one, seed) for one in full]
    rate, slow = (
        np.array([c[name] for c in full]) for name in ("learning_rate", "one_minus_momentum")
    )
    if any("rate_fall" in one for one in settings):  # a schedule for each member
        rule = [
            optim.momentum(
                schedules.exponential_decay(
                    c["learning_rate"], -np.log(c["rate_fall"]) / (16 * epochs)
                ),
                momentum=1 - c["one_minus_momentum"],
            )
            for c in full
        ]
    else:
        rule = optim.momentum(rate, momentum=1 - slow)
    histories = fit_population(
        nets,
        train,
        validation,
        loss=losses.softmax_cross_entropy,
        optimizer=rule,
        penalty=[losses.l2_penalty(c["weight_decay"]) for c in full],
        batch_size=50,
        epochs=epochs,
        seeds=[seed] * len(nets),
        progress=False,
    )
    errors = np.array([curve(h, epochs) for h in histories])
    test = [
        0.9 if h.stopped else error_of(net, x, y) for net, h in zip(nets, histories, strict=True)
    ]
    return errors, np.array(test)


class Trainer:
    """What a search calls: trains settings with their epochs on the images of a repetition."""

    evaluates_many = True

    def __init__(self, seed, epochs=None):
        self.seed, self.epochs = seed, epochs

    def __call__(self, settings, seeds):
        """Validation error at the end, test error beside it."""
        epochs = self.epochs or settings[0]["epochs"]
        plain = [{k: v for k, v in one.items() if k != "epochs"} for one in settings]
        errors, test = trained(plain, self.seed, epochs)
        return [
            {"value": float(e), "test_error": float(t)}
            for e, t in zip(errors[:, -1], test, strict=True)
        ]


def winner(rows):
    """The test error of the first of the settings with the smallest validation error."""
    best = min(rows, key=lambda row: row["value"])
    return round(float(best["test_error"]), 5)


# ------------------------------------------------------------------------------ the parts


def one_table(seed, trials=TRIALS):
    """Random settings, those of a `RandomSearch` with this seed, trained in full."""
    settings = search.RandomSearch(SPACE, trials=trials, seed=seed).configurations
    errors, test = trained(settings, seed, STEPS[-1])
    looks = errors[:, np.array(LOOKS) - 1]
    return {"validation": looks.round(4).tolist(), "test": test.round(5).tolist()}


def in_rounds(seed, again):
    """Coarse to fine: the winner's test error with rounds of 1, 5 and 20 epochs, and of 20 each."""
    own = 10 * seed + again
    short = search.CoarseToFine(SPACE, trials=ROUND, steps=STEPS, seed=own)
    whole = search.CoarseToFine(SPACE, trials=FULL_ROUND, seed=own)
    found = short.run(evaluate_many=Trainer(seed), progress=False)
    return {
        "short": winner(found[found["epochs"] == STEPS[-1]]),
        "whole": winner(whole.run(evaluate_many=Trainer(seed, STEPS[-1]), progress=False)),
    }


def one_search_in_rounds(seed):
    """Three searches of each kind on the images of one repetition."""
    return [in_rounds(seed, again) for again in range(SEARCHES)]


def moved_grid(seed):
    """Two values of each hyperparameter, half a range apart, moved at random; in any order."""
    rng = np.random.default_rng([seed, 3])
    low = rng.random(len(SIX)) / 2
    corners = np.array(list(product((0, 0.5), repeat=len(SIX))))
    return [SIX.at(corner) for corner in rng.permutation(low + corners)]


def one_of_six(seed):
    """The winners' test errors: four ways to spend 64 trials; one at a time needs 61."""
    train, seeds = Trainer(seed, SIX_EPOCHS), [seed] * SIX_TRIALS
    plans = {
        "random": search.RandomSearch(SIX, trials=SIX_TRIALS, seed=seed),
        "Sobol": search.SobolSearch(SIX, trials=SIX_TRIALS, seed=seed),
        "one at a time": search.CoordinateSearch(SIX, points=5, rounds=2),
    }
    found = {"grid": winner(train(moved_grid(seed), seeds))}
    for name, plan in plans.items():
        found[name] = winner(plan.run(evaluate_many=train, progress=False))
    return found


def one_valley(seed):
    """Validation and test errors for each rate, with each momentum and with each weight decay."""
    pairs = {"momentum": MOMENTA, "decay": DECAYS}
    settings = [
        {
            "learning_rate": r,
            **({"one_minus_momentum": 1 - v} if name == "momentum" else {"weight_decay": v}),
        }
        for name, values in pairs.items()
        for r, v in product(RATES, values)
    ]
    errors, test = trained(settings, seed, SIX_EPOCHS)
    table = np.stack([errors[:, -1], test]).reshape(2, 2, len(RATES), -1)
    return {name: table[:, k].round(5).tolist() for k, name in enumerate(pairs)}


def by_rate(train, validation, seed, outputs, epochs):
    """Train with every rate; validation losses by epoch, and the networks."""
    nets = [build(PLAIN, seed, outputs) for _ in TRANSFER_RATES]
    histories = fit_population(
        nets,
        train,
        validation,
        loss=losses.softmax_cross_entropy,
        optimizer=optim.sgd(TRANSFER_RATES),
        batch_size=50,
        epochs=epochs,
        seeds=[seed] * len(nets),
        progress=False,
    )
    return np.array([curve(h, epochs, "val_loss") for h in histories]), nets


def one_transfer(seed):
    """The rate that each small problem chooses, and all rates' errors on ten digits."""
    train, validation, (x, y) = sets(seed, "mnist", (2000, 1000, 4000))
    two = [(a[b < 2], b[b < 2]) for a, b in (train, validation)]
    few = len(two[0][0])
    small = {
        "0 and 1": (*two, 2),
        "as many images": ((train[0][:few], train[1][:few]), validation, 10),
        "a tenth": ((train[0][:200], train[1][:200]), validation, 10),
    }
    whole, nets = by_rate(train, validation, seed, 10, TRANSFER_EPOCHS)
    found = {
        "test": [round(error_of(net, x, y), 5) for net in nets],
        "ten digits": int(whole[:, -1].argmin()),
    }
    for name, (part, judge, outputs) in small.items():
        steps = TRANSFER_EPOCHS * 2000 // len(part[0])  # epochs with as many steps
        loss, _ = by_rate(part, judge, seed, outputs, steps)
        found[name] = int(loss[:, TRANSFER_EPOCHS - 1].argmin())
        found[f"{name}, as many steps"] = int(loss[:, -1].argmin())
    return found


def repeated(one, seeds):
    """A part for each of its seeds."""
    found = []
    for seed in seeds:
        found.append(one(seed))
        print(one.__name__, seed, flush=True)
    return found


STUDY = {
    "table": (one_table, SEARCH_SEEDS),
    "rounds": (one_search_in_rounds, SEARCH_SEEDS),
    "six": (one_of_six, SIX_SEEDS),
    "valley": (one_valley, VALLEY_SEEDS),
    "transfer": (one_transfer, TRANSFER_SEEDS),
}


def main():
    """Run all and write the data file."""
    began = time.perf_counter()
    parts = {name: repeated(one, seeds) for name, (one, seeds) in STUDY.items()}
    seeds = [*VALLEY_SEEDS, *SEARCH_SEEDS, *SIX_SEEDS, *TRANSFER_SEEDS]
    studies.save(FILE, seeds=seeds, began=began, **parts)


if __name__ == "__main__":
    main()
