"""The long study of choosing: nested or flat cross-validation, one fold or five.

Run by ``make run-long``. Two parts, both with networks:

- nested: on fifty examples of three small sets, what flat cross-validation says of the winner,
  what nested cross-validation says, and what the winner is worth on the other examples;
- folds: the test error of the configuration that one validation fold chooses, and of the one that
  five folds choose, on six tasks, as the number of examples grows.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = HERE / "choosing.json"
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402

from nnbook import experiments, layers, losses, optim, search  # noqa: E402
from nnbook.gluon.runtime import np as mxnp  # noqa: E402
from nnbook.population import fit_population  # noqa: E402

HIDDEN, BATCH, TRIALS, FOLDS = 16, 20, 20, 5
SPACE = search.Space(learning_rate=search.log(0.003, 1), weight_decay=search.log(1e-4, 0.3))
SMALL, SMALL_TEST = 50, {"wine": 100, "cancer": 400, "digits": 1500}
NESTED_SEEDS = range(14720, 14732)
TASKS = ("digits", "fashion", "mnist", "moons", "signals", "teacher")
SIZES = (50, 200, 1000)
LARGE, LARGE_TASKS = 4000, ("fashion", "signals")
EPOCHS = {50: 40, 200: 20, 1000: 8, 4000: 4}  # by the number of examples
FOLD_SEEDS = range(14800, 14810)

# ------------------------------------------------------------------------------ networks


def trained(configurations, x, y, outputs, seed, epochs):
    """One network for each configuration, trained side by side on the same minibatches."""
    nets = [
        layers.mlp(x.shape[1], [HIDDEN], outputs, activation="tanh", seed=seed)
        for _ in configurations
    ]
    rates = np.array([c["learning_rate"] for c in configurations])
    fit_population(
        nets,
        (x, y),
        loss=losses.softmax_cross_entropy,
        optimizer=optim.momentum(rates, momentum=0.9),
        penalty=[losses.l2_penalty(c["weight_decay"]) for c in configurations],
        batch_size=BATCH,
        epochs=epochs,
        seeds=[seed] * len(nets),
        progress=False,
    )
    return nets


def judged(nets, x, y):
    """Error (per cent) and loss (nats) of each network; of one that diverged those of guessing."""
    z = np.array([net(mxnp.array(x)).asnumpy() for net in nets]).astype(float)
    z[~np.isfinite(z).all(axis=(1, 2))] = 0
    z -= z.max(axis=-1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    loss = -log_p[:, np.arange(len(y)), y].mean(axis=-1)
    return 100 * (z.argmax(axis=-1) != y).mean(axis=-1), loss


def crossed(configurations, x, y, outputs, folds, seed, epochs, test):
    """Validation errors and losses and test errors, shape (folds, configurations) each."""
    found = []
    for rows, judges in folds:
        nets = trained(configurations, x[rows], y[rows], outputs, seed, epochs)
        found.append([*judged(nets, x[judges], y[judges]), judged(nets, *test)[0]])
    return np.array(found).swapaxes(0, 1)


def drawn(name, n, n_test, seed):
    """Examples to learn from and to test on, images in 14 × 14 pixels; outputs, configurations."""
    task = experiments.task(name, n_train=n, n_val=1, n_test=n_test)
    x, y, _, _, x_test, y_test = task.draw(seed)
    if x.shape[1] == 784:
        x, x_test = (z.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) for z in (x, x_test))
        x, x_test = x.reshape(n, 196), x_test.reshape(n_test, 196)
    configurations = search.RandomSearch(SPACE, trials=TRIALS, seed=seed).configurations
    return x, y, (x_test, y_test), task.outputs, configurations


# ------------------------------------------------------------------------------ nested or flat


def nested_of(name, seed):
    """Errors (per cent) that both ways state, and what is true on examples of the same source."""
    x, y, test, outputs, configurations = drawn(name, SMALL, SMALL_TEST[name], seed)
    outer = search.folds(SMALL, FOLDS, seed)
    more = outputs, outer, seed, EPOCHS[SMALL], test
    flat, _, fold_test = crossed(configurations, x, y, *more)
    winners = []
    for j, (rows, _) in enumerate(outer):
        inner = search.folds(len(rows), FOLDS, seed + j + 1)
        few = x[rows[::8]], y[rows[::8]]  # nobody asks for a test here
        errors, _, _ = crossed(
            configurations, x[rows], y[rows], outputs, inner, seed, EPOCHS[SMALL], few
        )
        winners.append(errors.mean(axis=0).argmin())
    means, folds = flat.mean(axis=0), np.arange(FOLDS)
    nets = trained(configurations, x, y, outputs, seed, EPOCHS[SMALL])
    true, _ = judged(nets, *test)
    return {
        "flat": means.min(),
        "flat, true of four fifths": fold_test[:, means.argmin()].mean(),
        "flat, true of all": true[means.argmin()],
        "nested": flat[folds, winners].mean(),
        "nested, true of four fifths": fold_test[folds, winners].mean(),
        "any": means.mean(),
        "any, true of four fifths": fold_test.mean(),
    }


# ------------------------------------------------------------------------------ one fold or five


def chosen(errors, losses):
    """The configuration with the fewest errors; of several the one with the lowest loss."""
    return np.lexsort((losses, np.round(errors, 9)))[0]


def choices_of(name, n, seed):
    """Test errors (per cent) of what each way of choosing chooses, trained on all n examples."""
    n_test = 750 if name == "digits" else 2000
    x, y, test, outputs, configurations = drawn(name, n, n_test, seed)
    folds = search.folds(n, FOLDS, seed)
    errors, losses, fold_test = crossed(configurations, x, y, outputs, folds, seed, EPOCHS[n], test)
    true, _ = judged(trained(configurations, x, y, outputs, seed, EPOCHS[n]), *test)
    mean, mean_loss = errors.mean(axis=0), losses.mean(axis=0)
    five = chosen(mean, mean_loss)
    ones = [chosen(e, z) for e, z in zip(errors, losses, strict=True)]
    fifths = np.arange(TRIALS).reshape(FOLDS, -1)  # what five folds can try at the price of one
    return {
        "one": true[ones].mean(),
        "five": true[five],
        "one, by loss": true[losses.argmin(axis=1)].mean(),
        "five, by loss": true[mean_loss.argmin()],
        "one, not trained again": fold_test[np.arange(FOLDS), ones].mean(),
        "five, a fifth of the trials": np.mean(
            [true[part[chosen(mean[part], mean_loss[part])]] for part in fifths]
        ),
        "best": true.min(),
        "any": true.mean(),
        "spread of one fold": errors[:, five].std(ddof=1),
    }


# ------------------------------------------------------------------------------ all


def columns(rows):
    """A list of dicts as a dict of lists, rounded."""
    return {key: [round(float(row[key]), 4) for row in rows] for key in rows[0]}


def nested():
    """By set: one number a seed."""
    return {name: columns([nested_of(name, s) for s in NESTED_SEEDS]) for name in SMALL_TEST}


def folds():
    """By task and number of examples: one number a seed."""
    sizes = {name: SIZES + (LARGE,) * (name in LARGE_TASKS) for name in TASKS}
    return {
        name: {str(n): columns([choices_of(name, n, s) for s in FOLD_SEEDS]) for n in sizes[name]}
        for name in TASKS
    }


STUDY = {"nested": nested, "folds": folds}


def main():
    """Run all and write the data file."""
    began = time.perf_counter()
    parts = {name: part() for name, part in STUDY.items()}
    studies.save(FILE, seeds=[*NESTED_SEEDS, *FOLD_SEEDS], began=began, **parts)


if __name__ == "__main__":
    main()
