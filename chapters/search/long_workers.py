"""The long study of workers: processes of a search are killed at random moments.

Run by ``make run-long``. In every search one process is killed by SIGKILL: a worker that trains, or
the master, whose search is then run again. What must come out is the table of one process that
nobody disturbed, to the bit.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = HERE / "workers.json"
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402

from nnbook import data, search  # noqa: E402

WORKER_SEEDS, MASTER_SEEDS = range(14100, 14130), range(14140, 14160)
TRIALS, EPOCHS, PAUSE = 6, 4, 0.05  # seconds, so that an epoch takes a while
SPACE = search.Space(rate=search.log(0.03, 3), decay=search.log(1e-5, 1e-2))
START = "import sys, cloudpickle; cloudpickle.load(sys.stdin.buffer)()"


def digits(seed):
    """300 digits to train on and 300 others, with targets and labels."""
    pixels, labels = data.load_digits_8x8()
    rows = np.random.default_rng(seed).permutation(len(pixels))
    x = pixels - pixels.mean()
    a, b = rows[:300], rows[300:600]
    return x[a], np.eye(10)[labels[a]], x[b], labels[b]


def epoch_of(theta, x, y, rate, decay, rng):
    """Train a network with 16 hidden ReLU units for an epoch of minibatches of 20."""
    W, V = theta
    for part in np.split(rng.permutation(len(x)), len(x) // 20):
        h = np.maximum(x[part] @ W, 0)
        p = np.exp(h @ V)
        delta = (p / p.sum(axis=1, keepdims=True) - y[part]) / 20
        back = (delta @ V.T) * (h > 0)
        V = V - rate * (h.T @ delta + decay * V)
        W = W - rate * (x[part].T @ back + decay * W)
    return W, V


def loss_of(theta, x, labels):
    """Return the mean cross-entropy."""
    p = np.exp(np.maximum(x @ theta[0], 0) @ theta[1])
    return float(-np.log(p[np.arange(len(x)), labels] / p.sum(axis=1)).mean())


def train(configuration, seed, notes=None, pause=0.0):
    """Train, with a checkpoint after each epoch; go on from the last one. Note what is begun."""
    job = search.this_job()
    x, y, x_held, held = digits(seed)
    rng = np.random.default_rng([seed, 0])
    first = {"W": rng.normal(size=(64, 16)) / 6, "V": rng.normal(size=(16, 10)) / 4}
    done, state = job.load() or (0, first)
    theta = state["W"], state["V"]
    for epoch in range(done + 1, EPOCHS + 1):
        if notes is not None:
            with open(notes, "a", encoding="utf-8") as lines:
                lines.write(f"{job.trial} {epoch} {os.getpid()}\n")
        time.sleep(pause)
        rng = np.random.default_rng([seed, epoch])
        theta = epoch_of(theta, x, y, configuration["rate"], configuration["decay"], rng)
        loss = loss_of(theta, x_held, held)
        job.save(epoch, {"W": theta[0], "V": theta[1]}, val_loss=loss)
    return loss_of(theta, x_held, held)  # it may have been killed after its last epoch


def noted(notes):
    """Return what was begun: trial, epoch and process."""
    if not os.path.exists(notes):
        return []
    lines = Path(notes).read_text(encoding="utf-8").splitlines()
    return [tuple(map(int, line.split())) for line in lines]


def moment(seed):
    """Return when to kill: after so many begun epochs, and a part of another."""
    rng = np.random.default_rng([seed, 2])
    return int(rng.integers(1, TRIALS * EPOCHS - 4)), float(rng.uniform(0, PAUSE))


def wait_for(notes, seed):
    """Wait for that moment; return the process that has begun the last epoch."""
    many, delay = moment(seed)
    end = time.monotonic() + 120
    while len(noted(notes)) < many and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(delay)
    return noted(notes)[-1][2]


def judged(plan, found, notes, in_progress):
    """Compare with the search of one process; count what was begun again."""
    expected = plan.run(train, progress=False)
    same = all(
        np.array_equal(found[name], expected[name])
        for name in expected.columns
        if name != "seconds"
    )
    begun = [(trial, epoch) for trial, epoch, _ in noted(notes)]
    again = len(begun) - len(set(begun))
    complete = len(set(begun)) == TRIALS * EPOCHS
    return {"same": same, "again": again, "kept": same and complete and again <= in_progress}


def worker_killed(seed, client, folder):
    """A search on workers, one of which is killed."""
    plan = search.RandomSearch(SPACE, TRIALS, seed=seed, seeds=[seed])
    notes, path, killed = Path(folder) / f"{seed}.notes", Path(folder) / f"{seed}", []

    def kill():
        process = wait_for(notes, seed)
        os.kill(process, signal.SIGKILL)
        killed.append(process)

    killer = threading.Thread(target=kill)
    killer.start()
    function = functools.partial(train, notes=notes, pause=PAUSE)
    found = plan.run(function, path=path, workers=client, progress=False)
    killer.join()
    return {"killed": len(killed), **judged(plan, found, notes, in_progress=1)}


def master_killed(seed, folder):
    """A search whose master is killed, and which is run again."""
    import cloudpickle
    import psutil

    plan = search.RandomSearch(SPACE, TRIALS, seed=seed, seeds=[seed])
    notes, path = Path(folder) / f"{seed}.notes", Path(folder) / f"{seed}"
    function = functools.partial(train, notes=notes, pause=PAUSE)
    run = functools.partial(plan.run, function, path=path, workers=2, progress=False)
    command = [sys.executable, "-c", START]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=HERE
    ) as master:
        master.stdin.write(cloudpickle.dumps(run))
        master.stdin.close()
        wait_for(notes, seed)
        family = psutil.Process(master.pid).children(recursive=True)
        running = master.poll() is None
        master.kill()
    left = psutil.wait_procs(family, timeout=30)[1]
    found = plan.run(functools.partial(train, notes=notes), path=path, progress=False)
    told = {"killed": int(running), "left": len(left)}
    return told | judged(plan, found, notes, in_progress=2)  # both workers had one


def workers():
    """By seed."""
    with tempfile.TemporaryDirectory() as folder, search.cluster(2) as client:
        return [worker_killed(seed, client, folder) for seed in WORKER_SEEDS]


def masters():
    """By seed."""
    with tempfile.TemporaryDirectory() as folder:
        return [master_killed(seed, folder) for seed in MASTER_SEEDS]


STUDY = {"workers": workers, "masters": masters}


def main():
    """Run all and write the data file."""
    began = time.perf_counter()
    parts = {name: part() for name, part in STUDY.items()}
    studies.save(FILE, seeds=[*WORKER_SEEDS, *MASTER_SEEDS], began=began, **parts)


if __name__ == "__main__":
    main()
