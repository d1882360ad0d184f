"""Kill workers and masters of a search at random moments: WORKERS, MASTERS, SEED.

The table must be that of one process to the bit, no epoch may be trained twice but those in
progress, no trial told twice, and no process may be left. Not a test: it takes some minutes.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np

from nnbook import search
from nnbook.search import journal
from tests.searched_by_workers import EPOCHS, SPACE, descendants, noted, train

PLAN = search.RandomSearch(SPACE, trials=24, seed=9)
PAUSE = 0.15


def check(found, expected, path, notes, kills):
    """Compare, count, and say what was found."""
    for name in expected.columns:
        if name != "seconds":
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    begun = [(trial, epoch) for trial, epoch, _ in noted(notes)]
    assert len(set(begun)) == PLAN.size * EPOCHS
    assert len(begun) <= PLAN.size * EPOCHS + kills, (len(begun), kills)
    told = [one.trial for one in journal.read(path)[1]]
    assert sorted(told) == list(range(PLAN.size))
    return f"{len(begun)} epochs begun for {PLAN.size * EPOCHS}, table equal to the bit"


def kill_workers(kills, rng, folder, expected):
    """Kill a worker that trains, again and again, in searches with a living master."""
    done = 0
    while done < kills:
        path, notes, over = folder / f"w{done}", folder / f"w{done}.notes", threading.Event()
        here = []

        def storm(notes=notes, over=over, here=here, before=done):
            while not over.is_set() and before + len(here) < kills:
                time.sleep(rng.uniform(0.3, 1.5))
                if noted(notes) and not over.is_set():
                    try:
                        os.kill(noted(notes)[-1][2], signal.SIGKILL)
                        here.append(1)
                    except ProcessLookupError:
                        pass

        thread = threading.Thread(target=storm)
        thread.start()
        function = partial(train, notes=notes, pause=PAUSE)
        found = PLAN.run(function, workers=2, path=path, progress=False)
        over.set()
        thread.join()
        done += len(here)
        text = check(found, expected, path, notes, len(here))
        print(f"workers: {len(here)} kills, {text}", flush=True)


def kill_masters(kills, rng, folder, expected):
    """Kill the master, again and again, and go on with the same file."""
    done = 0
    while done < kills:
        path, notes, here = folder / f"m{done}", folder / f"m{done}.notes", 0
        while True:
            before = len(noted(notes))
            with subprocess.Popen(
                [sys.executable, "-m", "tests.storm_of_kills", "--path", path, "--notes", notes]
            ) as master:
                while len(noted(notes)) == before and master.poll() is None:
                    time.sleep(0.01)
                time.sleep(rng.uniform(0, 3))
                family = descendants(master.pid) if master.poll() is None else []
                finished = master.poll() is not None
                if not finished:
                    master.kill()
                    here += 1
            end = time.monotonic() + 15
            while any(one.is_running() and one.status() != "zombie" for one in family):
                assert time.monotonic() < end, family
                time.sleep(0.05)
            if finished or done + here >= kills:
                break
        found = PLAN.run(partial(train, notes=notes), path=path, progress=False)
        done += here
        # Each kill may interrupt an epoch on both workers.
        text = check(found, expected, path, notes, 2 * here)
        print(f"masters: {here} kills, {text}", flush=True)


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--masters", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--path")
    parser.add_argument("--notes")
    chosen = parser.parse_args()
    if chosen.path:  # a master that is to be killed
        function = partial(train, notes=chosen.notes, pause=PAUSE)
        PLAN.run(function, workers=2, path=chosen.path, progress=False)
        return
    rng, expected, before = random.Random(chosen.seed), PLAN.run(train), len(descendants())
    with tempfile.TemporaryDirectory() as folder:
        kill_workers(chosen.workers, rng, Path(folder), expected)
        kill_masters(chosen.masters, rng, Path(folder), expected)
    time.sleep(1)
    assert len(descendants()) == before
    print("no process left")


if __name__ == "__main__":
    main()
