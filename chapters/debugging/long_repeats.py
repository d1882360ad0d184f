"""The long study that repeats three experiments with more seeds than a page has time for.

Run by ``make run-long``. Writes repeats.json, from which the page on watching takes the verdicts on
C122c, C124 and C125b, and of which it recomputes a sample. Their intervals had touched a threshold.

- capacity: networks drawn at random, and the same with four times the units;
- starts: networks of six hidden layers, what their histograms say, and whether they learn;
- images: first-layer networks on digits with right and wrong labels, with and without a penalty.
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

from nnbook import data, layers, losses, monitors, optim, training  # noqa: E402
from nnbook.claims.protocols import load_claims, stated_seeds  # noqa: E402
from nnbook.population import fit_population  # noqa: E402

UNITS = (4, 8, 16, 32)
GAINS = [0.25, 0.5, 1, 2, 4, 8]
DEEP_RATES = [0.01, 0.04, 0.16, 0.64, 2.56]
PENALTIES = [0, 0.001, 0.003, 0.01, 0.03, 0.1]
KINDS = {"right": 0, "30 % wrong": 0.3}  # the part of the labels that is drawn anew
AT_A_TIME = 40


def load():
    """Return 1,200 of the 8×8 digits for training and 597 for validation."""
    x, y = data.load_digits_8x8()
    rows = np.random.default_rng(0).permutation(len(x))
    x, y = x[rows], y[rows]
    return (x[:1200], y[:1200]), (x[1200:], y[1200:])


def errors(nets, part):
    """Return the error of each network, in per cent."""
    found = [training.evaluate(n, part, losses.softmax_cross_entropy)["accuracy"] for n in nets]
    return 100 * (1 - np.array(found))


def drawn_networks(sets, units, seeds, times):
    """Return training and validation error of networks with random rates and penalties."""
    draws = [np.random.default_rng(seed).uniform(size=2) for seed in seeds]
    nets = [layers.mlp(64, [times * units], 10, "tanh", seed=seed) for seed in seeds]
    fit_population(
        nets,
        sets[0],
        loss=losses.softmax_cross_entropy,
        optimizer=optim.momentum(np.array([10 ** (2 * u - 2.5) for u, _ in draws])),
        batch_size=60,
        epochs=20,
        seeds=seeds,
        progress=False,
        penalty=[losses.l2_penalty(10 ** (3.5 * u - 4)) for _, u in draws],
    )
    return np.array([errors(nets, part) for part in sets])


def enlarged(sets, seeds):
    """Return errors before and after: (1 and 4 times the units, training and validation, seeds)."""
    parts = [(units, seeds[k :: len(UNITS)]) for k, units in enumerate(UNITS)]
    return np.array(
        [
            np.concatenate([drawn_networks(sets, *part, times) for part in parts], axis=1)
            for times in (1, 4)
        ]
    )


def deep_net(gain, seed):
    """Return six hidden layers of tanh units, with LeCun's weights times a gain."""
    net = layers.mlp(64, [32] * 6, 10, "tanh", seed=seed)
    for layer in net[::2]:
        layer.weight.set_data(gain * layer.weight.data())
    return net


def deep_losses(pair, members):
    """Return the training loss of the fifth epoch of each (gain, rate, seed); chance at most."""
    histories = fit_population(
        [deep_net(gain, seed) for gain, _, seed in members],
        pair,
        loss=losses.softmax_cross_entropy,
        optimizer=optim.sgd(np.array([rate for _, rate, _ in members])),
        batch_size=40,
        epochs=5,
        seeds=[seed for *_, seed in members],
        progress=False,
    )
    return np.array([2.3 if h.stopped else min(2.3, h[-1]["train_loss"]) for h in histories])


def sweep(pair, tuning_seed, seeds):
    """Return each gain's best rate, chosen on another seed, and the losses there, by gain."""
    tried = deep_losses(pair, [(g, r, tuning_seed) for g in GAINS for r in DEEP_RATES])
    best = tried.reshape(len(GAINS), -1).argmin(axis=1)
    rates = [DEEP_RATES[k] for k in best]
    members = [(g, r, s) for g, r in zip(GAINS, rates, strict=True) for s in seeds]
    return rates, deep_losses(pair, members).reshape(len(GAINS), -1)


def gain_of(seed):
    """Return the gain that a seed draws, between 0.25 and 8."""
    return 0.25 * 32 ** np.random.default_rng(seed).uniform()


def best_losses(pair, seeds):
    """Return for the gain of each seed the loss at the best of five rates."""
    members = [(gain_of(seed), rate, seed) for seed in seeds for rate in DEEP_RATES]
    return deep_losses(pair, members).reshape(len(seeds), -1).min(axis=1)


def two_numbers(pair, net):
    """Return the width of the last hidden layer over that of the first, and the part at ±0.99."""
    found = monitors.layer_outputs(net, pair[0][:100])
    outputs = [layer.values for layer in found if layer.kind == "tanh"]
    beyond = np.mean([np.mean(np.abs(values) > 0.99) for values in outputs])
    return float(outputs[-1].std() / outputs[0].std()), float(beyond)


def mislabelled(labels, share):
    """Return labels of which a share has been drawn anew."""
    rng = np.random.default_rng(0)
    wrong = rng.random(len(labels)) < share
    return np.where(wrong, rng.integers(0, 10, len(labels)), labels).astype(labels.dtype)


def first_layers(images, labels, strengths, seeds, epochs=20):
    """Return networks 784-16-10 trained on 1,000 images, strength by strength, seed by seed."""
    members = [(strength, seed) for strength in strengths for seed in seeds]
    nets = [layers.mlp(784, [16], 10, "tanh", seed=seed) for _, seed in members]
    fit_population(
        nets,
        (images.x_train[:1000], labels),
        loss=losses.softmax_cross_entropy,
        optimizer=optim.sgd(0.2),
        batch_size=50,
        epochs=epochs,
        seeds=[seed for _, seed in members],
        progress=False,
        penalty=[losses.l2_penalty(strength) if strength else None for strength, _ in members],
    )
    return nets


def cure(images, kind, tuning_seeds, seeds):
    """Return the strength that the tuning seeds prefer, and the error without it and with it."""
    labels = mislabelled(images.y_train[:1000], KINDS[kind])
    unseen = images.x_val[:2000], images.y_val[:2000]
    nets = first_layers(images, labels, PENALTIES[1:], tuning_seeds)
    mean = errors(nets, unseen).reshape(len(PENALTIES) - 1, -1).mean(axis=1)
    strength = PENALTIES[1:][int(mean.argmin())]
    return strength, errors(first_layers(images, labels, [0, strength], seeds), unseen)


def stated(claim):
    """Return the seeds of a claim's protocol."""
    return list(stated_seeds(load_claims()[claim]["protocol"]["seeds"]))


def main():
    """Run the study and write its data file."""
    began, sets, images = time.perf_counter(), load(), data.load_mnist()
    drawn, starts, cured = stated("C122c"), stated("C124"), stated("C125b")
    capacity = enlarged(sets, drawn)
    print(f"{(time.perf_counter() - began) / 60:5.1f} min, capacity", flush=True)
    parts = [starts[k : k + AT_A_TIME] for k in range(0, len(starts), AT_A_TIME)]
    loss = np.concatenate([best_losses(sets[0], part) for part in parts])
    numbers = [two_numbers(sets[0], deep_net(gain_of(seed), seed)) for seed in starts]
    best = sweep(sets[0], 100, range(8))[1].mean(axis=1).min()
    print(f"{(time.perf_counter() - began) / 60:5.1f} min, starts", flush=True)
    found = {}
    for kind in KINDS:
        strength, wrong = cure(images, kind, range(100, 108), cured)
        without, penalised = wrong.reshape(2, -1).round(6).tolist()
        found[kind] = {"strength": strength, "none": without, "penalised": penalised}
    print(f"{(time.perf_counter() - began) / 60:5.1f} min, images", flush=True)
    trend, ends = np.transpose(numbers).round(6).tolist()
    studies.save(
        HERE / "repeats.json",
        seeds=sorted({*drawn, *starts, *cured}),
        began=began,
        cpu_minutes=round(time.process_time() / 60, 1),
        capacity={"seeds": drawn, "errors": capacity.round(6).tolist()},
        starts={
            "seeds": starts,
            "gain": [round(gain_of(seed), 6) for seed in starts],
            "loss": loss.round(6).tolist(),
            "best_loss": round(float(best), 6),
            "trend": trend,
            "ends": ends,
        },
        images={"seeds": cured, "kinds": found},
    )


if __name__ == "__main__":
    main()
