"""The long study of which hyperparameters matter, and of the scale of dropout.

Run by ``make run-long``. Writes importance.json, which the page on search reads; the page
recomputes a sample of it. Two parts:

- importance: random searches over ten hyperparameters on MNIST and Fashion-MNIST, once in wide
  ranges, as in notes that give 10**uniform(-6, 1) for rates and penalties, and once in the narrower
  ones that somebody would choose after a first search. BLOCKS independent searches of TRIALS each;
- dropout: searches for the probability of dropout, uniform and log-uniform.
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

from nnbook import data, layers, losses, optim, schedules, search, training  # noqa: E402

N_TRAIN, N_VALIDATION, EPOCHS = 2000, 2000, 5
BLOCKS, TRIALS = 8, 40
DROPOUT_SEARCHES, DROPOUT_TRIALS, DROPOUT_EPOCHS = range(12), 8, 20

COMMON = {
    "momentum": search.categorical([0.0, 0.5, 0.9, 0.95]),
    "batch_size": search.categorical([16, 32, 64, 128]),
    "width": search.categorical([25, 50, 100, 200]),
    "depth": search.categorical([1, 2, 3]),
    "activation": search.categorical(["tanh", "relu", "sigmoid"]),
    "initial_scale": search.log(0.25, 4),
}
SPACES = {
    "wide": search.Space(
        learning_rate=search.log(1e-6, 10),
        rate_decay=search.log(0.01, 1),
        weight_decay=search.log(1e-6, 10),
        dropout=search.linear(0, 0.95),
        **COMMON,
    ),
    "narrow": search.Space(
        learning_rate=search.log(0.01, 1),
        rate_decay=search.log(0.01, 1),
        weight_decay=search.log(1e-6, 1e-2),
        dropout=search.linear(0, 0.5),
        **COMMON,
    ),
}
DROPOUT_SPACES = {
    "uniform": search.Space(dropout=search.linear(0, 0.99)),
    "log": search.Space(dropout=search.log(0.001, 0.99)),
}


def load(name):
    """Return a part of MNIST or Fashion-MNIST, with the complete test set."""
    full = data.load_mnist() if name == "mnist" else data.load_small_fashion_mnist()
    return full._replace(
        x_train=full.x_train[:N_TRAIN],
        y_train=full.y_train[:N_TRAIN],
        x_val=full.x_val[:N_VALIDATION],
        y_val=full.y_val[:N_VALIDATION],
    )


def network(c, seed):
    """Build the network of a configuration."""
    return layers.mlp(
        784,
        [c["width"]] * c["depth"],
        10,
        c["activation"],
        initializer=layers.LeCunNormal(c["initial_scale"]),
        dropout=c["dropout"],
        seed=seed,
    )


def rule(c):
    """Return momentum whose rate falls to the part `rate_decay` of its first value."""
    steps = EPOCHS * -(-N_TRAIN // c["batch_size"])
    schedule = schedules.exponential_decay(c["learning_rate"], -np.log(c["rate_decay"]) / steps)
    return optim.momentum(schedule, momentum=c["momentum"])


def trainer(images):
    """Train the network of each configuration; the value is the last epoch's error."""
    return search.TrainPopulation(
        build=network,
        optimizer=rule,
        train=images[:2],
        validation=images[2:4],
        loss=losses.softmax_cross_entropy,
        batch_size=lambda c: c["batch_size"],
        epochs=EPOCHS,
        penalty=lambda c: losses.l2_penalty(c["weight_decay"]),
        value="val_error",
        epoch="last",
    )


def random_search(ranges, block):
    """Return one of the independent searches."""
    return search.RandomSearch(SPACES[ranges], trials=TRIALS, seed=block, seeds=[block])


def dropout_trial(images, c, seed):
    """Train a wide network on few images; return validation and test error."""
    net = layers.mlp(784, [200], 10, "relu", dropout=c["dropout"], seed=seed)
    history = training.fit(
        net,
        (images.x_train[:500], images.y_train[:500]),
        images[2:4],
        loss=losses.softmax_cross_entropy,
        optimizer=optim.momentum(0.03, momentum=0.9),
        batch_size=25,
        epochs=DROPOUT_EPOCHS,
        seed=seed,
        progress=False,
    )
    test = training.evaluate(net, images[4:], losses.softmax_cross_entropy)
    return {
        "value": history[-1]["val_loss"],
        "val_error": 1 - history[-1]["val_accuracy"],
        "test_error": 1 - test["accuracy"],
    }


def columns(results):
    """Return the columns that the page needs, in JSON's terms."""
    kept = [*results.space, "trial", "seed", "value", "val_error", "test_error", "state"]
    found = {name: results[name].tolist() for name in kept if name in results.columns}
    return {name: [tidy(value) for value in values] for name, values in found.items()}


def tidy(value):
    """Shorten a number; NaN, which JSON lacks, becomes None."""
    if isinstance(value, float):
        return None if np.isnan(value) else float(f"{value:.7g}")
    return value


def main():
    """Run the study and write its data file."""
    began = time.perf_counter()
    importance, dropout = {}, {}
    for name in ("mnist", "fashion"):
        images = load(name)
        for ranges in SPACES:
            part = importance.setdefault(name, {}).setdefault(ranges, [])
            for block in range(BLOCKS):
                found = random_search(ranges, block).run(
                    evaluate_many=trainer(images), progress=False
                )
                part.append(columns(found))
                minutes = (time.perf_counter() - began) / 60
                print(f"{minutes:5.1f} min", name, ranges, block, found.best["value"], flush=True)
    images = load("mnist")
    for scale, space in DROPOUT_SPACES.items():
        for seed in DROPOUT_SEARCHES:
            found = search.RandomSearch(space, trials=DROPOUT_TRIALS, seed=seed, seeds=[seed]).run(
                lambda c, s: dropout_trial(images, c, s), progress=False
            )
            dropout.setdefault(scale, []).append(columns(found))
        print(f"{(time.perf_counter() - began) / 60:5.1f} min", scale, flush=True)
    studies.save(
        HERE / "importance.json",
        seeds=range(max(BLOCKS, len(DROPOUT_SEARCHES))),
        began=began,
        cpu_minutes=round(time.process_time() / 60, 1),
        importance=importance,
        dropout=dropout,
    )


if __name__ == "__main__":
    main()
