"""Where the time of a training step goes, and how it grows.

``make bench`` runs it. One quantity varies at a time: batch size, width, depth, number of examples,
population size; the machine's own rate of a matrix product is the ceiling. The numbers go to
``chapters/scaling.json`` and ``chapters/scaling.svg``, which the book shows.
"""

import datetime
import functools
import itertools
import json
import statistics
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]
from notebooks import machine, versions  # noqa: E402
from worker import examples  # noqa: E402

from nnbook import layers, losses, optim, training  # noqa: E402
from nnbook.gluon import gradients  # noqa: E402
from nnbook.gluon.examples import Examples, draw_rows  # noqa: E402
from nnbook.parameters import ParameterVector  # noqa: E402
from nnbook.population import fit_population  # noqa: E402
from nnbook.runtime import mx  # noqa: E402
from nnbook.runtime import np as mxnp  # noqa: E402

CHAPTERS = HERE.parent / "chapters"
ROUNDS = 5
RULE = optim.momentum(0.1, momentum=0.9)


@functools.cache
def data():
    """Return the examples, made once and not when this module is imported."""
    return examples(50_000)


def first(n):
    """Return the first n examples."""
    x, y = data()
    return x[:n], y[:n]


def median_time(function, repeats):
    """Return the median over rounds of the seconds of one call."""
    found = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        for _ in range(repeats):
            function()
        found.append((time.perf_counter() - started) / repeats)
    return statistics.median(found[1:])


def step_time(batch_size=32, hidden=(100,), n=10_000, steps=300):
    """Return the median seconds of a step of `fit`."""
    found = []
    for _ in range(ROUNDS):
        net = layers.mlp(784, list(hidden), 10, seed=0)
        size = min(n, batch_size * steps)
        history = training.fit(
            net,
            first(size),
            loss=losses.softmax_cross_entropy,
            optimizer=RULE,
            batch_size=batch_size,
            epochs=max(1, steps * batch_size // size),
            progress=False,
        )
        found.append(history[-1]["seconds"] / history[-1]["step"])
    return statistics.median(found)


def population_time(members, batch_size, shared):
    """Return the median seconds of a step, per member."""
    found = []
    for _ in range(3):
        nets = [layers.mlp(784, [100], 10, seed=s) for s in range(members)]
        size = 100 * batch_size
        histories = fit_population(
            nets,
            first(size),
            loss=losses.softmax_cross_entropy,
            optimizer=RULE,
            batch_size=batch_size,
            epochs=2,
            seeds=[0] * members if shared else None,
            progress=False,
        )
        total = sum(history[-1]["seconds"] for history in histories)
        found.append(total / members / histories[0][-1]["step"])
    return statistics.median(found)


def parts_of_a_step(batch_size):
    """Return the seconds of each part of a step of a 784-100-10 network, on one thread."""
    net = layers.mlp(784, [100], 10, seed=0)
    known = Examples(net, first(10_000), losses.softmax_cross_entropy, "train")
    vector = ParameterVector(net)
    part = gradients.BoundGradient(net, vector, losses.softmax_cross_entropy, known)._part
    bound = part.bind(batch_size)
    rows = np.random.default_rng(0).permutation(len(known))[:batch_size]
    theta, slope = (a.copy() for a in (vector.theta.asnumpy(), vector.grad.asnumpy()))
    state, scratch = RULE.init(theta), np.empty_like(theta)

    def draw():
        for source, target in zip(part._host, bound.inputs, strict=True):
            draw_rows(source, rows, target)

    draw()
    repeats = max(20, 5000 // batch_size)
    forward = median_time(lambda: bound._executor.forward(is_train=True)[0].wait_to_read(), repeats)
    both = median_time(bound.run, repeats)
    update = median_time(lambda: RULE.apply(slope, state, theta, scratch), repeats)
    parts = {
        "draw the minibatch": median_time(draw, repeats),
        "forward": forward,
        "backward": max(both - forward, 0.0),
        "update θ": update,
    }
    with mock.patch.object(gradients, "thread_count", return_value=1):
        whole = step_time(batch_size)
    return parts | {"loop, loss and history": max(whole - sum(parts.values()), 0.0)}


def matrix_product_rate(n=1000):
    """Return the machine's rate of a float32 matrix product, in GFLOP/s, on one thread."""
    a = mxnp.random.uniform(size=(n, n))
    weight = mxnp.random.uniform(size=(n, n))

    def product():
        mx.nd.FullyConnected(
            a.as_nd_ndarray(), weight.as_nd_ndarray(), num_hidden=n, no_bias=True
        ).wait_to_read()

    return 2e-9 * n**3 / median_time(product, 5)


def flops(batch_size, hidden):
    """Return the multiplications and additions of a step: forward, and twice that backward."""
    sizes = [784, *hidden, 10]
    weights = sum(a * b for a, b in itertools.pairwise(sizes))
    first = sizes[0] * sizes[1]  # nobody asks for the gradient of the inputs
    return 2 * batch_size * (3 * weights - first)


def main():
    ceiling = matrix_product_rate()
    print(f"matrix product: {ceiling:.0f} GFLOP/s on one thread")
    series = {
        "batch size": {b: step_time(batch_size=b) for b in (1, 10, 32, 100, 320, 1000)},
        "hidden units": {h: step_time(hidden=(h,)) for h in (10, 32, 100, 320, 1000)},
        "hidden layers": {d: step_time(hidden=(100,) * d) for d in (1, 2, 4, 8)},
        "examples": {n: step_time(n=n) for n in (1000, 10_000, 50_000)},
        "population, shared order": {k: population_time(k, 10, True) for k in (1, 4, 8, 32)},
        "population, own orders": {k: population_time(k, 10, False) for k in (1, 4, 8, 32)},
    }
    for name, values in series.items():
        row = ", ".join(f"{k}: {1e3 * v:.3f} ms" for k, v in values.items())
        print(f"{name}: {row}")
    parts = {str(b): parts_of_a_step(b) for b in (10, 100, 1000)}
    for size, part in parts.items():
        row = ", ".join(f"{k} {1e3 * v:.3f} ms" for k, v in part.items())
        print(f"batch size {size}: {row}")
    share = {
        b: 1e-9 * flops(b, (100,)) / seconds / ceiling
        for b, seconds in series["batch size"].items()
    }
    record = {
        "machine": machine(),
        "versions": versions(),
        "date": datetime.date.today().isoformat(),
        "gflops": ceiling,
        "share_of_ceiling": {str(b): v for b, v in share.items()},
        "seconds_per_step": {n: {str(k): v for k, v in s.items()} for n, s in series.items()},
        "parts": parts,
    }
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (CHAPTERS / "scaling.json").write_text(text + "\n", encoding="utf-8")
    draw(parts)


def draw(parts):
    """Draw the parts of a step as stacked shares."""
    import matplotlib.pyplot as plt

    from nnbook import plots

    with plots.use_style():
        figure, ax = plt.subplots(figsize=(6, 3.8))
        left = np.zeros(len(parts))
        names = list(next(iter(parts.values())))
        hatches = ["", "//", "..", "xx", "\\\\"]
        totals = [sum(part.values()) for part in parts.values()]
        for name, color, hatch in zip(names, plots.PALETTE, hatches, strict=False):
            width = [
                100 * part[name] / total for part, total in zip(parts.values(), totals, strict=True)
            ]
            labels = [f"B = {b}\n{1e3 * t:.2f} ms" for b, t in zip(parts, totals, strict=True)]
            ax.barh(
                labels, width, left=left, color=color, hatch=hatch, edgecolor="white", label=name
            )
            left += width
        ax.set(xlabel="share of the time of a step (%)", xlim=(0, 100))
        ax.invert_yaxis()
        ax.grid(visible=False)
        figure.legend(loc="outside upper center", ncols=2, fontsize=10)
        figure.savefig(CHAPTERS / "scaling.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
