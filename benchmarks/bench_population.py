"""Time a step of a population in nnbook and in JAX, taking turns in one sitting.

``make bench`` runs it. 784-100-10 networks, on all cores: JAX as `vmap` over the members in one
`lax.scan` over the steps of an epoch, nnbook as `fit_population` with the workers that it takes by
default in a long run, and with one. The seconds of a step of one member go to
``chapters/populations.json``, and as a table to ``chapters/populations.csv``, which the book shows.
"""

import csv
import datetime
import json
import os
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]
from bench_steps import CHAPTERS, PEERS_PYTHON, Worker, peers  # noqa: E402
from notebooks import machine, versions  # noqa: E402

ROUNDS = 5
LONGEST = 35  # seconds for a case: on a busy machine it has fewer rounds, at least two
PAUSE = 0.3
# (members, batch size): steps an epoch
CASES = {(32, 10): 120, (32, 100): 30, (256, 10): 15}
EPOCHS = 2  # of a turn
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
JAX, MANY, ONE = "JAX, vmap in a scan", f"nnbook, {CORES} workers", "nnbook, 1 worker"
LIBRARIES = {MANY: "population", ONE: "population", JAX: "jax_population"}


def kind(batch_size):
    """Return the workers that `fit_population` takes by default in a long run."""
    return "processes" if batch_size < 50 else "threads"


def measure():
    """Return the seconds of every round: {(members, batch size, order): {library: [...]}}."""
    pythons = {
        "population": sys.executable,
        "jax_population": str(PEERS_PYTHON),
    }
    processes = {name: Worker(pythons[name], name, None) for name in pythons}
    found = {}
    try:
        for (members, batch_size), steps in CASES.items():
            how = {
                MANY: {"workers": CORES, "kind": kind(batch_size)},
                ONE: {"workers": 1, "kind": "threads"},
                JAX: {},
            }
            for shared in (True, False):
                rounds = {name: [] for name in LIBRARIES}
                started = time.monotonic()
                for turn in range(ROUNDS + 1):  # the first is a warm-up
                    if turn > 2 and time.monotonic() - started > LONGEST:
                        break
                    for name, library in LIBRARIES.items():
                        time.sleep(PAUSE)
                        seconds = processes[library].ask(
                            batch_size=batch_size,
                            steps=steps,
                            epochs=EPOCHS,
                            members=members,
                            shared=shared,
                            **how[name],
                        )
                        if turn:
                            rounds[name].append(seconds)
                case = members, batch_size, "one order" if shared else "own orders"
                found[case] = rounds
                report(case, rounds)
    finally:
        for process in processes.values():
            process.close()
    return found


def report(case, rounds):
    """Print one case: medians, spreads, and the ratio of nnbook with all workers to each."""
    print("{} members, batch size {}, {}".format(*case))
    for name, values in rounds.items():
        ratio = statistics.median(a / b for a, b in zip(rounds[MANY], values, strict=True))
        print(
            f"  {name:<20} {1e6 * statistics.median(values):7.1f} µs "
            f"({1e6 * min(values):.1f} to {1e6 * max(values):.1f})"
            f"   {MANY} / this = {ratio:.2f}",
            flush=True,
        )


def write_table(cases):
    """Write medians and spreads, and the ratio of nnbook to JAX, as a table of text."""
    heads = ("Members", "Batch size", "Order", *LIBRARIES, f"{MANY} / JAX")
    with (CHAPTERS / "populations.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        for case in cases:
            rounds = case["seconds_per_step_and_member"]
            ratio = statistics.median(a / b for a, b in zip(rounds[MANY], rounds[JAX], strict=True))
            texts = [
                f"{1e6 * statistics.median(rounds[name]):.0f} "
                f"({1e6 * min(rounds[name]):.0f} to {1e6 * max(rounds[name]):.0f})"
                for name in LIBRARIES
            ]
            row = (case["members"], case["batch_size"], case["order"], *texts, f"{ratio:.2f}")
            writer.writerow(row)


def main():
    if not PEERS_PYTHON.exists():
        sys.exit("The peers are not installed: run `make bench`.")
    record = {
        "machine": machine(),
        "versions": versions() | peers(),
        "date": datetime.date.today().isoformat(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "cases": [
            {
                "members": members,
                "batch_size": batch_size,
                "order": order,
                "seconds_per_step_and_member": rounds,
            }
            for (members, batch_size, order), rounds in measure().items()
        ],
    }
    text = json.dumps(record, indent=1, sort_keys=True)
    (CHAPTERS / "populations.json").write_text(text + "\n", encoding="utf-8")
    write_table(record["cases"])


if __name__ == "__main__":
    main()
