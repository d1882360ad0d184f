"""Searches that are killed at random moments: FILE, LOG, KILLS, SEED, one or many at a time."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time

from nnbook import search

SPACE = search.Space(
    rate=search.log(1e-4, 1),
    rule=search.categorical(["sgd", "momentum"]),
    momentum=search.linear(0, 1, when={"rule": "momentum"}),
    layers=search.categorical([(10,), (10, 10)]),
)
SEARCH = search.RandomSearch(SPACE, trials=60, seed=5, seeds=2)


def evaluate(configuration, seed):
    """A known function, which fails, or has no value, for some configurations."""
    if configuration["rate"] > 0.5:
        raise ValueError("the rate is too large")
    value = configuration["rate"] + configuration.get("momentum", 0.5) + seed
    return {"value": value if configuration["rate"] < 0.1 else float("nan"), "twice": 2 * value}


def run(file, log=None, many=False, pause=0.0):
    """Run the search; log every evaluation that starts, and let it take a while."""

    def logged(configuration, seed):
        if log is not None:
            with open(log, "a") as lines:
                lines.write(json.dumps(["start", configuration["rate"], seed]) + "\n")
        time.sleep(pause)
        return evaluate(configuration, seed)

    def one_or_exception(configuration, seed):
        try:
            return logged(configuration, seed)
        except ValueError as error:
            return error

    if many:
        together = lambda cs, seeds: [one_or_exception(*one) for one in zip(cs, seeds, strict=True)]  # noqa: E731
        return SEARCH.run(evaluate_many=together, batch=3, catch=ValueError, path=file)
    return SEARCH.run(logged, catch=ValueError, path=file)


def recorded(file):
    """The rate and seed of every trial that the file has a result of; whole lines only."""
    if not os.path.exists(file):
        return []
    with open(file, "rb") as content:
        lines = [json.loads(line) for line in content.read().split(b"\n")[:-1]]
    return [[line["configuration"]["rate"], line["seed"]] for line in lines[1:]]


if __name__ == "__main__":
    file, log, kills, seed, many = *sys.argv[1:3], *map(int, sys.argv[3:])
    rng = random.Random(seed)
    import nnbook.search.searches  # noqa: F401  (importing takes longer than the search)

    # Importing once and forking is what lets a test afford this many kills.
    for kill in range(kills):
        size = os.path.getsize(log) if os.path.exists(log) else 0
        child = os.fork()
        if child == 0:
            run(file, log, bool(many), pause=0.005)
            os._exit(0)
        # On a busy machine a search may be slow to start; one kill in three comes before it does.
        while kill % 3 and (os.path.getsize(log) if os.path.exists(log) else 0) == size:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break  # there was nothing left to evaluate
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        with open(log, "a") as lines:
            lines.write(json.dumps(["killed", killed, recorded(file)]) + "\n")
