"""The long study of the survey's MNIST example: its network and recipe, rebuilt with eight seeds.

Run by ``make run-long``. Writes survey.json, which the page on search reads; the page recomputes a
sample of it. The survey prints neither its learning rate nor its λ. So, in two parts:

- search: a grid of rates and penalties, one seed, SEARCH_EPOCHS, the accuracy on validation data;
- runs: the best of the grid, with SEEDS, once with the images in their order, as in the survey, and
  once shuffled. Every run has all EPOCHS and is measured after each, so that rules for when to stop
  and which weights to take can be applied afterwards.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402

from nnbook import data, layers, losses, optim, training  # noqa: E402
from nnbook.runtime import np as mxnp  # noqa: E402

BATCH_SIZE, HIDDEN = 100, 100
RATES = [0.25, 0.5, 1.0, 2.0, 4.0]  # for the mean loss of a minibatch; the survey has the sum
STRENGTHS = [1e-5, 3e-5, 1e-4, 3e-4]  # ½ · strength · Σw² beside the mean loss
SEARCH_EPOCHS, SEARCH_SEED = 20, 100
EPOCHS, SEEDS = 60, range(8)
COLUMNS = ["train_loss", "val_loss", "val_accuracy", "test_accuracy", "squares"]


class Measure(training.Callback):
    """Accuracies and Σw² after every epoch."""

    def __init__(self, images):
        self.images = images

    def on_validation(self, run, row):
        """Add them to the row of the history."""
        row["val_accuracy"] = accuracy(run.net, self.images.x_val, self.images.y_val)
        row["test_accuracy"] = accuracy(run.net, self.images.x_test, self.images.y_test)
        weights = [p.data() for name, p in run.net.collect_params().items() if "weight" in name]
        row["squares"] = sum(float((w * w).sum()) for w in weights)


def accuracy(net, x, y):
    """Return the part of the examples whose largest output is the right one."""
    return float((net(mxnp.array(x)).asnumpy().argmax(axis=1) == y).mean())


def train(images, rate, strength, seed, epochs, *, shuffle=False):
    """Train the survey's network; return its history."""
    one_hot = np.eye(10, dtype="float32")
    net = layers.mlp(784, [HIDDEN], 10, "sigmoid", initializer="lecun_normal", seed=seed)
    return training.fit(
        net,
        (images.x_train, one_hot[images.y_train]),
        (images.x_val, one_hot[images.y_val]),
        loss=losses.sigmoid_cross_entropy,
        optimizer=optim.sgd(rate),
        batch_size=BATCH_SIZE,
        epochs=epochs,
        seed=seed,
        shuffle=shuffle,
        penalty=losses.l2_penalty(strength),
        callbacks=[Measure(images)],
        progress=False,
    )


def main():
    """Run the study and write its data file."""
    began = time.perf_counter()
    images = data.load_mnist()
    grid = []
    for rate, strength in itertools.product(RATES, STRENGTHS):
        last = train(images, rate, strength, SEARCH_SEED, SEARCH_EPOCHS)[-1]
        grid.append({"rate": rate, "strength": strength, "val_accuracy": last["val_accuracy"]})
        print(f"{(time.perf_counter() - began) / 60:5.1f} min", grid[-1], flush=True)
    best = max(grid, key=lambda row: row["val_accuracy"])
    runs = {}
    for name, shuffle in (("in order", False), ("shuffled", True)):
        runs[name] = {column: [] for column in COLUMNS}
        for seed in SEEDS:
            found = train(images, best["rate"], best["strength"], seed, EPOCHS, shuffle=shuffle)
            for column in COLUMNS:
                runs[name][column].append([float(f"{v:.6g}") for v in found[column]])
            minutes = (time.perf_counter() - began) / 60
            print(f"{minutes:5.1f} min", name, seed, found["test_accuracy"][-1], flush=True)
    studies.save(
        HERE / "survey.json",
        seeds=[SEARCH_SEED, *SEEDS],
        began=began,
        cpu_minutes=round(time.process_time() / 60, 1),
        grid=grid,
        best={key: best[key] for key in ("rate", "strength")},
        runs=runs,
    )


if __name__ == "__main__":
    main()
