"""Trials that note what they do. As a program a search: FILE, NOTES, WORKERS, PAUSE."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from functools import partial

import numpy as np

from nnbook import search

SPACE = search.Space(rate=search.log(1e-3, 1), start=search.linear(0, 1))
SEARCH = search.RandomSearch(SPACE, trials=8, seed=5)
EPOCHS = 5


def note(notes, *words):
    """Add a line to the notes, which many processes write."""
    with open(notes, "a") as lines:
        lines.write(" ".join(map(str, words)) + "\n")


def noted(notes):
    """Return the notes: trial, epoch and process."""
    if not os.path.exists(notes):
        return []
    with open(notes) as lines:
        return [tuple(map(int, line.split())) for line in lines]


def bowl(configuration, seed):
    """Have a minimum at 0.3."""
    return {"value": (configuration["x"] - 0.3) ** 2 + 0.1 * seed, "double": 2.0}


def with_epochs(configuration, seed):
    """Have a minimum at 0.3, and some noise that fades with the epochs."""
    return (configuration["x"] - 0.3) ** 2 + 0.1 * math.cos(seed) / configuration["epochs"]


def train(configuration, seed, notes=None, pause=0.0, act=None):
    """A stand-in for training, with a checkpoint after each epoch."""
    job = search.this_job()
    epoch, state = job.load() or (0, {"x": configuration["start"]})
    if act is None:
        _limit_files()  # a worker may have had `fills_the_disk` before
    while epoch < EPOCHS:
        epoch += 1
        if notes is not None:
            note(notes, job.trial, epoch, os.getpid())
        if act is not None:
            act(job, epoch)
        time.sleep(pause)
        state["x"] += configuration["rate"] * math.sin(3 * state["x"] + epoch)
        job.save(epoch, state, val_loss=state["x"] ** 2)
    return {"value": state["x"] ** 2, "x": state["x"]}


def kills_itself(job, epoch):
    """End the worker, whichever has trial 3."""
    if job.trial == 3:
        os.kill(os.getpid(), signal.SIGKILL)


def hangs(job, epoch):
    """Never come back, in two ways."""
    if job.trial == 2:
        time.sleep(3600)
    if job.trial == 5 and epoch == 3:
        os.kill(os.getpid(), signal.SIGSTOP)


def fills_the_disk(job, epoch):
    """Let the system refuse to write for trial 2."""
    _limit_files(100 if job.trial == 2 else None)


def _limit_files(size=None):
    """Let this process write no file beyond a size, in bytes."""
    import resource

    limit = resource.RLIM_INFINITY if size is None else size
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def eats_memory(job, epoch):
    """Take 1.2 GB for trial 1."""
    if job.trial == 1:
        kept = [np.ones(20_000_000 // 8) for _ in range(60)]  # 1.2 GB
        time.sleep(20)
        del kept


def never_ends(job, epoch):
    """Never come back, after a checkpoint."""
    if job.trial == 6 and epoch == 2:
        time.sleep(3600)


def descendants(pid=None):
    """Return the processes that another one, or this, has started, and theirs.

    Not what is no Python and its descendants: the browser of the site's tests, which may run in
    this process as well, starts and ends processes of its own when it likes.
    """
    import psutil  # not on workers, which import this

    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "python" in child.name():
                found += [child, *child.children(recursive=True)]
    return found


def main(file, notes, workers, pause):
    """Run the search with a file."""
    SEARCH.run(partial(train, notes=notes, pause=pause), path=file, workers=workers, progress=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
