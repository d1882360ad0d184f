"""The long study of stacks: pretraining against good starts, unlabelled images, greedy choices.

Run by ``make run-long``; with names of parts as arguments only these are run anew. Parts:

- logistic, relu: test errors of deep networks with 100 labels, by how they were started, all after
  equally many gradient steps;
- labelled: the same for rectifiers where every image has its label;
- digits, mnist: what images without labels add to few labels, tuned on a small validation set;
- layers: hyperparameters of a stack chosen layer by layer, and jointly at the same cost.
"""

from __future__ import annotations

import functools
import itertools
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = HERE / "stack.json"
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402

from nnbook import data, layers, losses, optim, pretraining, schedules, search, training  # noqa: E402
from nnbook.population import fit_population  # noqa: E402

DEEP = [64] * 5
PRE_STEPS, FINE_STEPS, BATCH = 300, 600, 50
TRIALS, TUNING_SEEDS = 5, (90, 91)
SEEDS = {
    "logistic": range(15400, 15410),
    "relu": range(15420, 15430),
    "labelled": range(15460, 15492),
    "digits": range(15800, 15810),
    "mnist": range(15820, 15830),
    "layers": range(14400, 14412),
}


# ------------------------------------------------------------------------------ images


@functools.lru_cache(maxsize=1)
def mnist():
    """MNIST in 14 × 14 pixels between 0 and 1: images and labels for training, and for the test."""
    x, y, _, _, x_test, y_test = data.load_mnist()

    def halved(images):
        return images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196)

    return halved(x), y, halved(x_test), y_test


@functools.lru_cache(maxsize=1)
def digits():
    """The digits of 8 × 8 pixels between 0 and 1, and their labels."""
    x, y = data.load_digits_8x8()
    return (x / 16).astype(np.float32), y


def spread(labels, rng, each):
    """Rows in random order, the first of them so many of every class."""
    rows = rng.permutation(len(labels))
    chosen = np.concatenate([rows[labels[rows] == c][:each] for c in range(10)])
    chosen = rng.permutation(chosen)
    return chosen, rows[~np.isin(rows, chosen)]


def shuffled(x, rng):
    """Every image with its pixels in an order of its own."""
    return rng.permuted(x, axis=1)


def mixed(x, rng):
    """Noise with the right values at every pixel: each pixel from an image of its own."""
    return rng.permuted(x, axis=0)


# ------------------------------------------------------------------------------ networks


def start(sizes, kind, rng):
    """Random weights and biases of every layer; those of the last are 0."""
    found = []
    for m, n in itertools.pairwise(sizes):
        reach = {
            "1/√m": m**-0.5,
            "4 × Glorot": 4 * (6 / (m + n)) ** 0.5,
            "He": (6 / m) ** 0.5,
        }[kind]
        found.append((rng.uniform(-reach, reach, (n, m)), np.zeros(n)))
    found[-1] = (0 * found[-1][0], found[-1][1])
    return found


def network(weights, activation):
    """A network of the package with these weights and biases."""
    sizes = [weights[0][0].shape[1], *(W.shape[0] for W, _ in weights)]
    net = layers.mlp(sizes[0], sizes[1:-1], sizes[-1], activation, seed=0)
    values = [value for pair in weights for value in pair]
    for parameter, value in zip(net.collect_params().values(), values, strict=True):
        parameter.set_data(np.asarray(value, dtype=np.float32))
    return net


def weights_of(net):
    """Weights and biases of every layer."""
    values = [p.data().asnumpy() for p in net.collect_params().values()]
    return list(zip(values[::2], values[1::2], strict=True))


def forward(weights, x, activation):
    """The outputs of a network, in NumPy."""
    with np.errstate(over="ignore", invalid="ignore"):  # of what diverged
        for W, b in weights[:-1]:
            z = x @ W.T + b
            x = np.maximum(z, 0) if activation == "relu" else 1 / (1 + np.exp(-z))
        return x @ weights[-1][0].T + weights[-1][1]


def error(weights, x, y, activation):
    """Errors in per cent."""
    return 100 * float((forward(weights, x, activation).argmax(axis=1) != y).mean())


def trained(starts, activation, train, rates, steps, seed, batch=20):
    """Networks with these starts and rates after so many steps; momentum, rates fall to 0."""
    nets = [network(weights, activation) for weights in starts]
    epochs = -(-steps * batch // len(train[0]))
    fit_population(
        nets,
        train,
        loss=losses.softmax_cross_entropy,
        optimizer=[optim.momentum(schedules.cosine(rate, steps=steps)) for rate in rates],
        batch_size=batch,
        epochs=epochs,
        seeds=[seed] * len(nets),
        progress=False,
        workers=1,
    )
    return [weights_of(net) for net in nets]


def stack(x, hidden, activation, pre, corruption, seed, steps=PRE_STEPS):
    """Layers of denoising auto-encoders, one on the codes of the other: their weights."""
    found = pretraining.train_stack(
        x,
        hidden,
        pretraining.AutoEncoder(corruption=corruption),
        optimizer=optim.adam(pre),
        activation=activation,
        batch_size=BATCH,
        epochs=max(1, round(steps * BATCH / len(x))),
        seed=seed,
    )
    return [layer.encoder() for layer in found.layers]


def greedy(train, hidden, activation, pre, seed):
    """Layers trained one after the other with labels, each below an output layer of its own."""
    codes, found, rng = train[0], [], np.random.default_rng([seed, 5])
    kind = "He" if activation == "relu" else "4 × Glorot"
    for units in hidden:
        begin = start([codes.shape[1], units, 10], kind, rng)
        (W, b), _ = trained([begin], activation, (codes, train[1]), [pre], PRE_STEPS, seed)[0]
        found.append((W, b))
        z = codes @ W.T + b
        codes = np.maximum(z, 0) if activation == "relu" else 1 / (1 + np.exp(-z))
    return found


# ------------------------------------------------------------------------------ starts

RANDOM = {"logistic": ("1/√m", "4 × Glorot"), "relu": ("1/√m", "He")}


def sets(seed, each, unlabelled=5_000):
    """Images for pretraining, labelled ones among them, validation and test."""
    x, y, x_test, y_test = mnist()
    rng = np.random.default_rng(seed)
    known, other = spread(y, rng, each)
    every = np.concatenate([known, other])[:unlabelled]
    judged, test = other[-1_000:], rng.permutation(10_000)[:5_000]
    return x[every], (x[known], y[known]), (x[judged], y[judged]), (x_test[test], y_test[test])


def settings(arm, activation):
    """As many settings for every arm: of the rate alone, or of what pretraining has too."""
    high = 1.0 if activation == "logistic" else 0.3
    if arm in ("1/√m", "4 × Glorot", "He"):
        return [{"fine": rate} for rate in np.geomspace(high / 100, high, TRIALS).tolist()]
    space = {"fine": search.log(high / 100, high)}
    if arm == "supervised":
        space["pre"] = search.log(high / 100, high)
    else:
        space |= {"pre": search.log(3e-4, 1e-2), "corruption": search.linear(0, 0.5)}
    return search.RandomSearch(search.Space(**space), trials=TRIALS, seed=1).configurations


def begun(arm, setting, unlabelled, train, activation, seed):
    """The hidden layers that an arm starts with."""
    function = "relu" if activation == "relu" else "sigmoid"
    if arm == "supervised":
        return greedy(train, DEEP, function, setting["pre"], seed)
    x = shuffled(unlabelled, np.random.default_rng([seed, 7])) if arm == "shuffled" else unlabelled
    return stack(x, DEEP, function, setting["pre"], setting["corruption"], seed)


def ends(arm, tried, activation, drawn, seed):
    """Networks of an arm, one for each setting, trained to the end."""
    unlabelled, train = drawn[:2]
    function = "relu" if activation == "relu" else "sigmoid"
    rng, steps = np.random.default_rng([seed, 3]), FINE_STEPS
    sizes = [unlabelled.shape[1], *DEEP, 10]
    if arm in RANDOM[activation]:
        starts, steps = [start(sizes, arm, rng)] * len(tried), steps + len(DEEP) * PRE_STEPS
    else:
        top = start(sizes, "1/√m", rng)[-1:]
        starts = [begun(arm, one, unlabelled, train, activation, seed) + top for one in tried]
    rates = [one["fine"] for one in tried]
    return trained(starts, function, train, rates, steps, seed), function


def contest(name, activation, each, arms, unlabelled=5_000):
    """Tune every arm on two seeds, then run what was chosen."""
    found = {}
    for arm in arms:
        tried, scores = settings(arm, activation), []
        for seed in TUNING_SEEDS:
            drawn = sets(seed, each, unlabelled)
            nets, function = ends(arm, tried, activation, drawn, seed)
            scores.append([error(net, *drawn[2], function) for net in nets])
        mean = np.mean(scores, axis=0)
        found[arm] = {"chosen": tried[int(mean.argmin())], "tuning": mean.round(2).tolist()}
        print(name, arm, found[arm], flush=True)
    for arm in arms:
        found[arm]["errors"] = []
        for seed in SEEDS[name]:
            drawn = sets(seed, each, unlabelled)
            (net,), function = ends(arm, [found[arm]["chosen"]], activation, drawn, seed)
            found[arm]["errors"].append(round(error(net, *drawn[3], function), 3))
        print(name, arm, found[arm]["errors"], flush=True)
    return found


# ------------------------------------------------------------------------------ few labels

FEW = {  # labels a class, validation images, images in all, hidden units
    "digits": (5, 25, 1_550, 64),
    "mnist": (10, 50, 5_050, 128),
}
FEW_ARMS = ("alone", "labelled", "all", "noise", "PCA labelled", "PCA", "self-training")


def few_sets(name, seed):
    """All images, labelled ones, a small validation set, and a test set."""
    each, judged, count, _ = FEW[name]
    rng = np.random.default_rng(seed)
    x, y = digits() if name == "digits" else mnist()[:2]
    known, other = spread(y, rng, each)
    every = np.concatenate([known, other])[:count]
    val = other[:judged]
    if name == "digits":
        test = x[other[count - len(known) :]], y[other[count - len(known) :]]
    else:
        rows = rng.permutation(10_000)[:5_000]
        test = mnist()[2][rows], mnist()[3][rows]
    return x[every], (x[known], y[known]), (x[val], y[val]), test


def judge(weights, x, y):
    """Validation error, and as a tie-breaker the loss."""
    z = forward(weights, x, "sigmoid")
    z = z - z.max(axis=1, keepdims=True)
    loss = (np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]).mean()
    return 100 * float((z.argmax(axis=1) != y).mean()) + 1e-3 * min(float(loss), 100)


def components(x, count):
    """Mean and principal directions, scaled so that scores have a variance of at most 1."""
    mean = x.mean(axis=0)
    _, s, V = np.linalg.svd(x - mean, full_matrices=False)
    return mean, V[:count].T / (s[0] / len(x) ** 0.5)


def few_arm(arm, images, train, val, units, seed):
    """Six settings of an arm: networks over inputs, and what makes the inputs of images."""
    rng = np.random.default_rng([seed, 3])
    sizes, steps = [images.shape[1], units, 10], FINE_STEPS
    good = start(sizes, "4 × Glorot", rng)
    if arm in ("labelled", "all", "noise"):
        x = {"labelled": train[0], "all": images, "noise": mixed(images, rng)}[arm]
        begin = [stack(x, [units], "sigmoid", 3e-3, c, seed, FINE_STEPS) for c in (0.2, 0.4, 0.6)]
        starts, rates = [b + good[-1:] for b in begin for _ in range(2)], [0.1, 0.5] * 3
        return trained(starts, "sigmoid", train, rates, steps, seed)
    if arm == "alone":
        rates = np.geomspace(0.01, 1, 6).tolist()
        return trained([good] * 6, "sigmoid", train, rates, 2 * steps, seed)
    if arm == "self-training":
        teachers = few_arm("alone", images, train, val, units, seed)
        teacher = teachers[int(np.argmin([judge(net, *val) for net in teachers]))]
        z = forward(teacher, images, "sigmoid")
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p, found = p / p.sum(axis=1, keepdims=True), []
        for sure in (0.5, 0.8, 0.95):
            rows = np.flatnonzero(p.max(axis=1) >= sure)
            more = (
                np.concatenate([train[0], images[rows]]),
                np.concatenate([train[1], p[rows].argmax(axis=1).astype(train[1].dtype)]),
            )
            found += trained([good] * 2, "sigmoid", more, [0.05, 0.3], 2 * steps, seed)
        return found
    found = []
    for count in (10, 20, 40):
        mean, basis = components(train[0] if arm == "PCA labelled" else images, count)
        codes = (train[0] - mean) @ basis, train[1]
        top = [(np.zeros((10, basis.shape[1])), np.zeros(10))]
        for ((W, b),) in trained([top] * 2, "sigmoid", codes, [0.1, 1.0], steps, seed):
            found.append([(W @ basis.T, b - mean @ basis @ W.T)])
    return found


def few(name):
    """Test errors of every arm, each repetition tuned on its own small validation set."""
    found = {arm: [] for arm in FEW_ARMS}
    for seed in SEEDS[name]:
        images, train, val, test = few_sets(name, seed)
        for arm in FEW_ARMS:
            nets = few_arm(arm, images, train, val, FEW[name][3], seed)
            best = int(np.argmin([judge(net, *val) for net in nets]))
            found[arm].append(round(error(nets[best], *test, "sigmoid"), 3))
        print(name, seed, {arm: found[arm][-1] for arm in FEW_ARMS}, flush=True)
    return found


# ------------------------------------------------------------------------------ layer by layer

KNOBS = {"rate": search.log(1e-4, 1e-1), "corruption": search.linear(0, 0.8)}
STACKS, LAYER_STEPS, LABELS = 8, 320, 30


def readout(codes, y, rows):
    """A linear classifier on codes by least squares with a small decay."""
    h = np.c_[codes, np.ones(len(codes))].astype(float)
    A = h[rows].T @ h[rows] / len(rows) + 1e-3 * np.eye(h.shape[1])
    return np.linalg.solve(A, h[rows].T @ (2 * np.eye(10)[y[rows]] - 1) / len(rows))


class Layered:
    """One repetition: images, and layers on them that are judged by a linear classifier."""

    def __init__(self, seed):
        x, y, x_test, y_test = mnist()
        rng = np.random.default_rng(seed)
        known, other = spread(y, rng, LABELS)
        val, test = other[-300:], rng.permutation(10_000)[:5_000]
        every = np.concatenate([known, other])[:2_000]
        self.seed, self.x = seed, [x[every], x[val], x_test[test]]
        self.y = [y[every], y[val], y_test[test]]
        self.known = np.arange(len(known))

    def layer(self, codes, knobs, draw):
        """Train a layer on codes of all three sets; return its codes and two errors."""
        made = pretraining.AutoEncoder(corruption=knobs["corruption"])
        try:
            found = pretraining.train_stack(
                codes[0],
                [64],
                made,
                optimizer=optim.adam(knobs["rate"]),
                batch_size=BATCH,
                epochs=LAYER_STEPS * BATCH // len(codes[0]),
                seed=draw,
            )
        except training.DivergedError:
            return None
        return [found.layers[0].encode(part) for part in codes]

    def errors(self, codes):
        """Validation and test error in per cent of a linear classifier on codes."""
        if codes is None:
            return 90.0, 90.0
        W = readout(codes[0], self.y[0], self.known)
        return tuple(
            100 * float(((np.c_[c, np.ones(len(c))] @ W).argmax(axis=1) != y).mean())
            for c, y in zip(codes[1:], self.y[1:], strict=True)
        )


def layered(seed):
    """Test errors of what each search finds; a search trains 2 · STACKS layers."""
    work = Layered(seed)
    space = search.Space(**KNOBS)
    low = search.RandomSearch(space, trials=STACKS, seed=seed).configurations
    high = search.RandomSearch(space, trials=STACKS, seed=seed + 50_000).configurations
    first = [work.layer(work.x, knobs, k) for k, knobs in enumerate(low)]
    scores = [work.errors(codes) for codes in first]
    order = np.argsort([val for val, _ in scores], kind="stable")

    def best(below):
        """The test error of the second layer that validation chooses, on these first layers."""
        tried = []
        for codes, knobs in below:
            above = None if codes is None else work.layer(codes, knobs, seed % 1000)
            tried.append(work.errors(above))
        return tried, round(min(tried, key=lambda pair: pair[0])[1], 3)

    joint, of_joint = best(list(zip(first, high, strict=True)))
    top, of_top = best([(first[order[0]], knobs) for knobs in high])
    _, of_two = best(
        [(first[order[0]], k) for k in high[: STACKS // 2]]
        + [(first[order[1]], k) for k in high[STACKS // 2 :]]
    )
    found = {"joint": of_joint, "greedy": of_top, "greedy, two kept": of_two}
    found["first layer"] = round(scores[order[0]][1], 3)
    found["all joint"] = np.round(joint, 2).tolist()
    found["all greedy"] = np.round(top, 2).tolist()
    return found


def searches():
    """Every repetition of both searches."""
    found = []
    for seed in SEEDS["layers"]:
        found.append(layered(seed))
        print("layers", seed, list(found[-1].items())[:4], flush=True)
    return found


# ------------------------------------------------------------------------------ all

PARTS = {
    "logistic": lambda: contest(
        "logistic", "logistic", 10, ("1/√m", "4 × Glorot", "stack", "supervised", "shuffled")
    ),
    "relu": lambda: contest("relu", "relu", 10, ("He", "stack", "shuffled")),
    "labelled": lambda: contest("labelled", "relu", 200, ("He", "stack"), 2_000),
    "digits": lambda: few("digits"),
    "mnist": lambda: few("mnist"),
    "layers": searches,
}


def main(names):
    """Run all parts, or those named, and write the data file; others stay as they were."""
    began = time.perf_counter()
    parts = {name: PARTS[name]() for name in names or PARTS}
    old = json.loads(FILE.read_text("utf-8")) if names and FILE.exists() else {}
    seeds = [*TUNING_SEEDS, *(seed for some in SEEDS.values() for seed in some)]
    minutes = round((time.perf_counter() - began) / 60, 1) + old.get("minutes", 0)
    studies.save(FILE, seeds=seeds, began=began, **{**old.get("data", {}), **parts})
    record = json.loads(FILE.read_text("utf-8"))
    for file, hashes in old.get("code", {}).items():
        record["code"][file] = {**hashes, **record["code"].get(file, {})}
    record["minutes"] = round(minutes, 1)
    FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
