"""A training run with checkpoints, in a process that tests can kill: KIND, FILE, RESULT."""

from __future__ import annotations

import os
import sys

import numpy as onp

from nnbook import layers, losses, optim, schedules, training
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx

EPOCHS = 40


def run(kind, file, epochs=EPOCHS, callbacks=(), **settings):
    """Train; return θ, the history and the early stopping."""
    rng = onp.random.default_rng(0)
    x = rng.normal(size=(600, 8)).astype("float32")
    y = (x[:, 0] * x[:, 1] > 0).astype("int32")
    noisy = rng.normal(size=(60, 8)).astype("float32"), rng.integers(0, 2, 60).astype("int32")
    net = layers.mlp(8, [16], 2, activation="tanh", dropout=0.3, seed=1)
    stopping = training.EarlyStopping("val_loss", patience=EPOCHS)
    optimizer = {
        "momentum": lambda: optim.momentum(schedules.inverse_time_decay(0.1, 0.001)),
        "adam": lambda: mx.optimizer.Adam(learning_rate=0.01),
    }[kind]()
    defaults = {"batch_size": 10, "seed": 4, "validation": noisy, "optimizer": optimizer}
    history = training.fit(
        net, (x, y), loss=losses.softmax_cross_entropy, epochs=epochs,
        callbacks=[*callbacks, stopping, *([training.Checkpoint(file)] if file else [])],
        **{**defaults, **settings},
    )  # fmt: skip
    return ParameterVector(net).theta.asnumpy(), history, stopping


class Tell(training.Callback):
    """Says where it is, so that the test can tell how far a killed process came."""

    def on_fit_start(self, run):
        print("started", flush=True)

    def on_epoch_end(self, run, row):
        print(run.epoch, flush=True)


if __name__ == "__main__":
    kind, file, result = sys.argv[1:]
    theta, history, stopping = run(kind, file, callbacks=[Tell()])
    whole = result + ".part.npz"  # a kill may come while the file is being written
    onp.savez(whole, theta=theta, val_loss=history["val_loss"], best=stopping.best_epoch)
    os.replace(whole, result)
