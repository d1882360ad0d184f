"""The long study of losses and output units: squared error against the likelihood's own loss.

Run by ``make run-long``. Writes losses.json, from which the page on the model takes the verdicts on
C034b and C047, and of which it recomputes a sample. The two losses end so close together that
hundreds of seeds are needed to say whether they are half a point apart. Each seed tunes each arm
anew: of four rates it takes the one with the least validation error, with the weights of the best
epoch, and is judged by the test error.
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

from nnbook import data, layers, losses, optim, training  # noqa: E402
from nnbook.claims.protocols import load_claims, stated_seeds  # noqa: E402
from nnbook.population import fit_population  # noqa: E402
from nnbook.runtime import mx  # noqa: E402
from nnbook.runtime import np as mxnp  # noqa: E402

EPOCHS, BATCH_SIZE, AT_A_TIME = 15, 20, 80


def one_hot(outputs, labels):
    """Return targets of 0 and 1, in whatever form the outputs have."""
    F = mx.sym if isinstance(outputs, mx.sym.Symbol) else mx
    return F.npx.one_hot(labels, 10)


def squared(outputs, labels):
    """Return the squared error of outputs against targets of 0 and 1."""
    return losses.squared_error(outputs, one_hot(outputs, labels))


def softmax_and_squared(outputs, labels):
    """Return the squared error of the softmax of the outputs."""
    F = mx.sym if isinstance(outputs, mx.sym.Symbol) else mx
    return squared(F.npx.softmax(outputs, axis=-1), labels)


def sigmoid_and_cross_entropy(outputs, labels):
    """Return the cross-entropy of ten logistic outputs, from the sums before the sigmoid."""
    return losses.sigmoid_cross_entropy(outputs, one_hot(outputs, labels))


def network(seed, unit=None):
    """Return 64-32-10 with tanh units, and with a unit of their own for the outputs."""
    net = layers.mlp(64, [32], 10, activation="tanh", seed=seed)
    if unit is not None:
        net.add(layers.activation(unit))
    return net


ARMS = {  # claim, output unit of the network, loss, rates
    "logistic, cross-entropy": ("C047", None, sigmoid_and_cross_entropy, [0.4, 0.8, 1.6, 3.2]),
    "logistic, squared": ("C047", "sigmoid", squared, [2.0, 4.0, 8.0, 16.0]),
    "softmax, log-likelihood": ("C034b", None, losses.softmax_cross_entropy, [0.1, 0.2, 0.4, 0.8]),
    "softmax, squared": ("C034b", None, softmax_and_squared, [0.2, 0.4, 0.8, 1.6]),
}


def load():
    """Return the digits in three parts, 900, 300 and 597, standardised by the first."""
    x, y = data.load_digits_8x8()
    order = np.random.default_rng(0).permutation(len(x))
    x, y = data.Standardize().fit(x[order][:900]).transform(x[order]), y[order]
    return [(x[rows], y[rows]) for rows in (slice(900), slice(900, 1200), slice(1200, None))]


def tuned_by_each(arm, sets, seeds):
    """Train an arm at each of its rates; return each seed's chosen rate and test error in %."""
    _, unit, loss, rates = ARMS[arm]
    members = [(seed, rate) for seed in seeds for rate in rates]
    nets = [network(seed, unit) for seed, _ in members]
    histories = fit_population(
        nets,
        sets[0],
        sets[1],
        loss=loss,
        optimizer=optim.sgd([rate for _, rate in members]),
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        seeds=[seed for seed, _ in members],
        early_stopping=training.EarlyStopping("val_accuracy", patience=EPOCHS),
        progress=False,
    )
    right = [0.0 if h.stopped else max(h["val_accuracy"]) for h in histories]
    best = np.reshape(right, (len(seeds), len(rates))).argmax(axis=1)
    x, y = sets[2]
    chosen = [nets[k * len(rates) + b] for k, b in enumerate(best)]
    wrong = [np.mean(net(mxnp.array(x)).asnumpy().argmax(axis=1) != y) for net in chosen]
    return [rates[b] for b in best], [round(100 * float(w), 6) for w in wrong]


def main():
    """Run the study and write its data file."""
    began = time.perf_counter()
    sets, arms, used = load(), {}, set()
    for arm, (claim, *_) in ARMS.items():
        seeds = stated_seeds(load_claims()[claim]["protocol"]["seeds"])
        used |= set(seeds)
        found = arms.setdefault(arm, {"seeds": list(seeds), "rate": [], "test_error": []})
        for k in range(0, len(seeds), AT_A_TIME):
            rate, error = tuned_by_each(arm, sets, seeds[k : k + AT_A_TIME])
            found["rate"] += rate
            found["test_error"] += error
        minutes = (time.perf_counter() - began) / 60
        print(f"{minutes:5.1f} min {arm}: {np.mean(found['test_error']):.2f} %", flush=True)
    studies.save(
        HERE / "losses.json",
        seeds=sorted(used),
        began=began,
        cpu_minutes=round(time.process_time() / 60, 1),
        arms=arms,
    )


if __name__ == "__main__":
    main()
