"""Time whole training steps in nnbook and its peers, taking turns in one sitting.

``make bench`` runs it. Every library lives in a process of its own (see worker.py); they are asked
in turn, several times, and the medians are compared. The numbers go to ``chapters/benchmarks.json``
and ``chapters/benchmarks.svg``, which the status page shows.
"""

import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))
from notebooks import machine, versions  # noqa: E402

CHAPTERS = HERE.parent / "chapters"
PEERS_PYTHON = HERE.parent / ".venv-bench" / "bin" / "python"
BATCHES = {10: 2000, 32: 1000, 100: 600, 1000: 100}  # batch size: steps a turn
ROUNDS = 7
PAUSE = 0.3
# name: (which environment, library in worker.py, the threads that it is told to use)
LIBRARIES = {
    "nnbook": (sys.executable, "nnbook", None),  # as it comes
    "nnbook, 1 thread": (sys.executable, "nnbook", "1"),
    "Gluon + Trainer": (sys.executable, "gluon", "1"),
    "PyTorch": (str(PEERS_PYTHON), "torch", None),
    "JAX, a call a step": (str(PEERS_PYTHON), "jax", None),
    "JAX, an epoch in one scan": (str(PEERS_PYTHON), "jax_scan", None),
    "scikit-learn": (str(PEERS_PYTHON), "sklearn", None),
}


class Worker:
    """A library in a process of its own."""

    def __init__(self, python, library, threads):
        environment = dict(os.environ)
        if threads is not None:
            environment["OMP_NUM_THREADS"] = threads
        self.process = subprocess.Popen(
            [python, str(HERE / "worker.py"), library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, **request):
        """Return the seconds of a step."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.process.args[-1]} ended with {self.process.wait()}")
        return json.loads(answer)["seconds_per_step"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=30)


def measure():
    """Return the seconds of every round: {batch size: {library: [seconds, ...]}}."""
    workers = {name: Worker(*how) for name, how in LIBRARIES.items()}
    found = {}
    try:
        for batch_size, steps in BATCHES.items():
            rounds = {name: [] for name in workers}
            for turn in range(ROUNDS + 1):  # the first is a warm-up
                for name, worker in workers.items():
                    time.sleep(PAUSE)  # idle threads of the one before may still be spinning
                    seconds = worker.ask(batch_size=batch_size, steps=steps)
                    if turn:
                        rounds[name].append(seconds)
            found[batch_size] = rounds
            report(batch_size, found[batch_size])
    finally:
        for worker in workers.values():
            worker.close()
    return found


def report(batch_size, rounds):
    """Print one batch size: medians, spreads, and the ratio of nnbook to each peer."""
    print(f"batch size {batch_size}")
    for name, values in rounds.items():
        median = statistics.median(values)
        ratio = statistics.median(a / b for a, b in zip(rounds["nnbook"], values, strict=True))
        print(
            f"  {name:<26} {1e3 * median:7.3f} ms "
            f"({1e3 * min(values):.3f} to {1e3 * max(values):.3f})   nnbook / this = {ratio:.2f}"
        )


def draw(found):
    """Draw the medians, with the spread of the rounds."""
    import matplotlib.pyplot as plt

    from nnbook import plots

    with plots.use_style():
        figure, ax = plt.subplots(figsize=(6, 4))
        for name, marker in zip(LIBRARIES, "oPsD^vX", strict=True):
            rounds = [[1e3 * v for v in found[size][name]] for size in found]
            middle = [statistics.median(values) for values in rounds]
            spread = [
                [m - min(v) for m, v in zip(middle, rounds, strict=True)],
                [max(v) - m for m, v in zip(middle, rounds, strict=True)],
            ]
            ax.errorbar(list(found), middle, yerr=spread, marker=marker, capsize=3, label=name)
        ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel="time of a step (ms)")
        ax.set_xticks(list(found), list(found))
        ax.legend(fontsize=10)
        figure.savefig(CHAPTERS / "benchmarks.svg", metadata={"Date": None})


def main():
    if not PEERS_PYTHON.exists():
        sys.exit("The peers are not installed: run `make bench`.")
    found = measure()
    record = {
        "machine": machine(),
        "versions": versions() | peers(),
        "date": datetime.date.today().isoformat(),
        "rounds": ROUNDS,
        "seconds_per_step": {str(size): rounds for size, rounds in found.items()},
    }
    text = json.dumps(record, indent=1, sort_keys=True)
    (CHAPTERS / "benchmarks.json").write_text(text + "\n", encoding="utf-8")
    draw(found)


def peers():
    """Return the versions of the peers."""
    code = (
        "import json; from importlib.metadata import version as v; "
        "print(json.dumps({p: v(p) for p in ('torch', 'jax', 'scikit-learn')}))"
    )
    return json.loads(subprocess.check_output([str(PEERS_PYTHON), "-c", code], text=True))


if __name__ == "__main__":
    main()
