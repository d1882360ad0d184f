"""Time what monitors add to a training run, each alone and all together.

A 784-100-10 network at batch size 32, one epoch of MNIST images by default. In every round the bare
run and the watched runs take turns, each round in another order. In CPU time of the process: the
fastest watched run against the fastest bare one, which other programs on the machine disturb least,
and the median over the rounds of the ratio to the bare run of the same round.
"""

import argparse
import statistics
import time

import numpy as np

from nnbook import data, layers, losses, monitors, optim, training

ARMS = {
    "UpdateRatio": lambda: [monitors.UpdateRatio()],
    "GradientNorm": lambda: [monitors.GradientNorm()],
    "GradientHistogram": lambda: [monitors.GradientHistogram()],
    "ActivationHistogram": lambda: [monitors.ActivationHistogram()],
    "DeadUnits": lambda: [monitors.DeadUnits()],
    "LossWiggle": lambda: [monitors.LossWiggle()],
    "Gap": lambda: [monitors.Gap()],
    "all together": monitors.watch,
}


def seconds(examples, watching, epochs):
    """Return the CPU seconds of a run."""
    net = layers.mlp(784, [100], 10, "tanh", seed=0)
    started = time.process_time()
    training.fit(
        net,
        examples,
        loss=losses.softmax_cross_entropy,
        optimizer=optim.momentum(0.05),
        batch_size=32,
        epochs=epochs,
        callbacks=watching,
        progress=False,
    )
    return time.process_time() - started


def measure(examples, rounds, epochs):
    """Return the CPU seconds of every run: {arm: [seconds in each round]}."""
    makers = {"bare": list, "bare again": list, **ARMS}
    rng = np.random.default_rng(0)
    spent = {name: [] for name in makers}
    for turn in range(rounds + 1):  # the first warms up
        for name in rng.permutation(list(makers)):
            used = seconds(examples, makers[name](), epochs)
            if turn:
                spent[name].append(used)
    return spent


def main():
    """Print a line for each arm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--epochs", type=int, default=1)
    given = parser.parse_args()
    x, y, *_ = data.load_mnist()
    spent = measure((x[: given.examples], y[: given.examples]), given.rounds, given.epochs)
    bare = spent.pop("bare")
    step = min(bare) / (given.epochs * -(-given.examples // 32))
    print(f"{given.examples} examples, {given.epochs} epochs, {given.rounds} rounds")
    print(f"the fastest bare run took {1e6 * step:.0f} µs a step")
    print("  overhead              fastest   median   (quartiles)")
    for name, used in spent.items():
        ratios = [one / other for one, other in zip(used, bare, strict=True)]
        low, middle, high = (value - 1 for value in statistics.quantiles(ratios, n=4))
        fastest = min(used) / min(bare) - 1
        print(f"  {name:<20} {fastest:+8.1%} {middle:+8.1%}   ({low:+.1%} to {high:+.1%})")


if __name__ == "__main__":
    main()
