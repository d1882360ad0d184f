"""The long study of depth: who learns the fivefold tent map.

Run by ``make run-long``. Networks of rectifiers on [0, 1], shallow and deep, from random starts and
from starts near the exact solution; all networks of one shape train in one stack.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = HERE / "depth.json"
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402

from nnbook import optim, pretraining, schedules  # noqa: E402

FOLDS, BATCH, STEPS = 5, 64, 20_000
TUNING_SEEDS, SEEDS, NEAR_SEEDS = range(90, 94), range(15900, 15920), range(15930, 15950)
RATES = (0.001, 0.003, 0.01)
# Units of the hidden layers.
SHAPES = {"1 × 64": [64], "5 × 2": [2] * 5, "5 × 13": [13] * 5, "5 × 32": [32] * 5}
OFFSETS = (0.003, 0.01, 0.03, 0.1, 0.3)
GRID = np.linspace(0, 1, 2**FOLDS * 32 + 1)


def folded(x):
    """The tent map, FOLDS times."""
    for _ in range(FOLDS):
        x = 1 - abs(1 - 2 * x)
    return x


def random_start(hidden, seed):
    """He's weights; the first layer's kinks lie anywhere in [0, 1], later biases are small."""
    rng, layers = np.random.default_rng(seed), []
    sizes = [1, *hidden, 1]
    for k, (inputs, units) in enumerate(itertools.pairwise(sizes)):
        weight = rng.normal(size=(units, inputs)) * np.sqrt(2 / inputs)
        bias = np.zeros(units)
        if k == 0:
            bias = -weight[:, 0] * rng.uniform(0, 1, units)
        elif k < len(hidden):
            bias = rng.normal(size=units) * 0.1
        layers.append((weight, bias))
    return layers


def near_start(offset, seed):
    """The exact solution, two units a layer, with noise on all its parameters."""
    rng = np.random.default_rng(seed)
    return [
        tuple(part + offset * rng.normal(size=part.shape) for part in layer)
        for layer in pretraining.tent_network(FOLDS)
    ]


def stacked(starts):
    """Parameters of several networks as one array (networks, P), and where each part lies."""
    flat = [np.concatenate([part.ravel() for layer in net for part in layer]) for net in starts]
    places, at = [], 0
    for part in (part for layer in starts[0] for part in layer):
        places.append((slice(at, at + part.size), part.shape))
        at += part.size
    return np.array(flat, dtype="float32"), places


def forward(theta, places, x):
    """The input of every layer, and the outputs, shape (networks, examples, units)."""
    parts = [theta[:, where].reshape(-1, *shape) for where, shape in places]
    values = [np.broadcast_to(x.astype("float32")[:, None], (len(theta), len(x), 1))]
    for k in range(0, len(parts), 2):
        sums = values[-1] @ parts[k].transpose(0, 2, 1) + parts[k + 1][:, None]
        values.append(np.maximum(sums, 0) if k < len(parts) - 2 else sums)
    return parts, values


def gradient(theta, places, x, y):
    """That of each network's mean squared error."""
    parts, values = forward(theta, places, x)
    found = np.empty_like(theta)
    delta = (values[-1] - y.astype("float32")[None, :, None]) * np.float32(2 / len(x))
    for k in reversed(range(0, len(parts), 2)):
        below = values[k // 2]
        found[:, places[k][0]] = (delta.transpose(0, 2, 1) @ below).reshape(len(theta), -1)
        found[:, places[k + 1][0]] = delta.sum(axis=1)
        if k:
            delta = (delta @ parts[k]) * (below > 0)
    return found


def variance_left(theta, places):
    """The mean squared error on the grid, as a part of the variance of the target, by network."""
    y = folded(GRID)
    outputs = forward(theta, places, GRID)[1][-1][:, :, 0]
    return ((outputs - y) ** 2).mean(axis=1) / y.var()


def pieces(theta, places):
    """How many linear pieces each network has on [0, 1]."""
    parts = forward(theta, places, GRID[:1])[0]
    nets = [[part[n] for part in parts] for n in range(len(theta))]
    layers = [list(zip(net[::2], net[1::2], strict=True)) for net in nets]
    return [pretraining.linear_pieces(one, 0.0, 1.0, tolerance=1e-6).count for one in layers]


def trained(starts, rate, steps=STEPS, seed=0):
    """Train a stack by Adam on fresh points, its rate falling as a cosine."""
    theta, places = stacked(starts)
    rng, rule = np.random.default_rng([seed, 7]), optim.adam(schedules.cosine(rate, steps))
    state = rule.init(theta)
    for _ in range(steps):
        x = rng.random(BATCH)
        step, state = rule.update(gradient(theta, places, x, folded(x)), state, theta)
        theta = theta + step.astype("float32")
    return theta, places


def measured(starts, rate):
    """Before and after training: variance left and pieces, by network."""
    before = stacked(starts)
    after = trained(starts, rate)
    return {
        "left": variance_left(*after).astype(float).tolist(),
        "left before": variance_left(*before).astype(float).tolist(),
        "pieces": pieces(*after),
        "pieces before": pieces(*before),
    }


def main():
    """Run all and write the data file."""
    began, shapes, near = time.perf_counter(), {}, {}
    for name, hidden in SHAPES.items():
        tuning = [random_start(hidden, seed) for seed in TUNING_SEEDS]
        scores = [float(variance_left(*trained(tuning, rate)).mean()) for rate in RATES]
        rate = RATES[int(np.argmin(scores))]
        found = measured([random_start(hidden, seed) for seed in SEEDS], rate)
        shapes[name] = {"scores": scores, "rate": rate, **found}
        print(name, rate, np.round(scores, 3), np.sort(found["left"]).round(3), flush=True)
    for offset in OFFSETS:
        near[str(offset)] = measured([near_start(offset, seed) for seed in NEAR_SEEDS], RATES[0])
        print(offset, np.sort(near[str(offset)]["left"]).round(4), flush=True)
    seeds = [*TUNING_SEEDS, *SEEDS, *NEAR_SEEDS]
    studies.save(FILE, seeds=seeds, began=began, shapes=shapes, near=near)


if __name__ == "__main__":
    main()
