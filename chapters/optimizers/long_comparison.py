"""The long study of the optimizers chapter: every rule tuned alike, on two data sets.

Run by ``make run-long``. Writes comparison.json, which the page reads; the page recomputes a
sample of it. Three parts for each rule and data set, all with the network, the minibatches and the
number of epochs below:

- search: TRIALS random settings, one seed, judged on validation data;
- winner: the best setting, on SEEDS that the search has not seen, judged on test data;
- sweep: RATES with everything else at the rule's defaults, on SWEEP_SEEDS.
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
from nnbook.population import fit_population  # noqa: E402

EPOCHS, BATCH_SIZE = 5, 100
TRIALS, SEARCH_SEED = 40, 100
SEEDS = range(8)
SWEEP_SEEDS = range(200, 208)
RATES = [float(f"{10**k:.4g}") for k in np.arange(-5, 1.01, 0.5)]
CHANCE = {"val_loss": 2.303, "val_error": 90.0}  # what a run that diverged is worth

# The learning rate has the same range for every rule; what else there is, its usual one.
RULES = {
    "sgd": {},
    "momentum": {"momentum": "kept"},
    "nesterov": {"momentum": "kept"},
    "adagrad": {},
    "rmsprop": {"decay": "averaged"},
    "adam": {"beta1": "kept", "beta2": "averaged"},
    "adamw": {"beta1": "kept", "beta2": "averaged", "weight_decay": "decay"},
}
RANGES = {
    "kept": lambda rng: 1 - 10 ** rng.uniform(-2.3, -0.3),  # 0.5 to 0.995
    "averaged": lambda rng: 1 - 10 ** rng.uniform(-3.3, -1),  # 0.9 to 0.9995
    "decay": lambda rng: 10 ** rng.uniform(-5, 0),
}


def load(name):
    """10,000 examples for training, 2,000 for validation and the complete test set."""
    if name == "fashion":
        return data.load_small_fashion_mnist()
    full = data.load_mnist()
    return full._replace(
        x_train=full.x_train[:10_000], y_train=full.y_train[:10_000],
        x_val=full.x_val[:2_000], y_val=full.y_val[:2_000],
    )  # fmt: skip


def settings_of(rule, trials=TRIALS):
    """Random settings; the rates are the same for every rule."""
    rates = 10 ** np.random.default_rng(0).uniform(-5, 1, trials)
    rng = np.random.default_rng(1)
    others = {name: [RANGES[kind](rng) for _ in rates] for name, kind in RULES[rule].items()}
    return [
        {"learning_rate": float(rate)} | {name: float(v[k]) for name, v in others.items()}
        for k, rate in enumerate(rates)
    ]


def train(images, rule, settings, seeds):
    """Train one network for each setting and seed; return nets and histories."""
    nets = [layers.mlp(784, [100], 10, activation="relu", seed=seed) for seed in seeds]
    columns = {name: np.array([s[name] for s in settings]) for name in settings[0]}
    histories = fit_population(
        nets, images[:2], images[2:4], loss=losses.softmax_cross_entropy,
        optimizer=getattr(optim, rule)(**columns), batch_size=BATCH_SIZE, epochs=EPOCHS,
        seeds=list(seeds), progress=False,
    )  # fmt: skip
    return nets, histories


def outcome(history):
    """The validation loss and error (%) of the last epoch."""
    if history.stopped or not len(history):
        return dict(CHANCE)
    last = history[-1]
    found = {"val_loss": last["val_loss"], "val_error": 100 * (1 - last["val_accuracy"])}
    return found if np.isfinite(found["val_loss"]) else dict(CHANCE)


def test_error(net, images):
    """In per cent."""
    return 100 * (1 - training.evaluate(net, images[4:], losses.softmax_cross_entropy)["accuracy"])


def study(images, rule):
    """Search, winner and sweep of one rule on one data set."""
    tried = settings_of(rule)
    _, histories = train(images, rule, tried, [SEARCH_SEED] * len(tried))
    trials = [outcome(history) for history in histories]
    best = tried[int(np.argmin([trial["val_error"] for trial in trials]))]

    nets, histories = train(images, rule, [best] * len(SEEDS), SEEDS)
    winner = {
        "setting": best,
        "test_error": [round(test_error(net, images), 2) for net in nets],
        "val_error": [round(outcome(history)["val_error"], 2) for history in histories],
    }
    pairs = [(rate, seed) for seed in SWEEP_SEEDS for rate in RATES]
    _, histories = train(
        images, rule, [{"learning_rate": rate} for rate, _ in pairs], [s for _, s in pairs]
    )
    losses_ = [outcome(history)["val_loss"] for history in histories]
    sweep = np.array(losses_).reshape(len(SWEEP_SEEDS), len(RATES))
    return {
        "search": {key: [round(trial[key], 4) for trial in trials] for key in CHANCE},
        "winner": winner,
        "sweep": sweep.round(4).tolist(),
    }


def main():
    """Run the study and write its data file."""
    began = time.perf_counter()
    found = {}
    for name in ("mnist", "fashion"):
        images = load(name)
        for rule in RULES:
            found.setdefault(name, {})[rule] = study(images, rule)
            winner = found[name][rule]["winner"]
            print(f"{(time.perf_counter() - began) / 60:5.1f} min  {name} {rule}", winner)
    studies.save(
        HERE / "comparison.json",
        seeds=[SEARCH_SEED, *SEEDS, *SWEEP_SEEDS],
        began=began,
        rates=RATES,
        results=found,
    )


if __name__ == "__main__":
    main()
