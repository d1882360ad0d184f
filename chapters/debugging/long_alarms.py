"""The long study of false alarms: healthy problems of all kinds before every check and monitor.

Run by ``make run-long``. Writes alarms.json, which chapters/api/checks.md reports beside
alarms_before.json: the same, of the checks and monitors of the first edition. Every problem of
two lists goes through `checks.preflight` at its defaults, and through its training run under
`monitors.watch`; a finding of either is a false alarm. The thresholds were looked at on the first
list; the second was written before that, and not run until they were fixed.

The same problems with their labels shuffled, in training and validation together, go through
`check_data`: how often it notices is its power, on the same data.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))
sys.path.insert(0, str(HERE))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402
from healthy_first import FIRST  # noqa: E402
from healthy_second import SECOND  # noqa: E402
from scipy import stats  # noqa: E402

from nnbook import checks, layers, monitors, optim, training  # noqa: E402
from nnbook.runtime import np as mxnp  # noqa: E402

SEEDS = range(1)
LISTS = {"first": FIRST, "second": SECOND}
_UNRELATED = "are labels and inputs related"


def said(source, findings):
    """A finding in short: who, how bad, and the first words."""
    return [[source, f.severity[0], f.message[:90]] for f in findings if f.severity != "note"]


def before_training(case):
    """What the checks say of a case."""
    report = checks.preflight(
        case.net, case.data, case.validation, loss=case.loss, verbose=False, **case.fit_options
    )
    return [line for r in report.results for line in said(r.check.split()[0], r.findings)]


def during_training(case):
    """What the monitors say of a training run, and how good the network is that comes of it."""
    watching = monitors.watch()
    with contextlib.suppress(training.DivergedError):
        history = training.fit(
            case.net, case.data, case.validation, loss=case.loss, callbacks=watching,
            progress=False, **case.fit_options,
        )  # fmt: skip
    lines = [line for m in watching for line in said(type(m).__name__, m.findings())]
    losses = history["val_loss"]
    return lines, [float(losses.min()), float(losses[-1]), float(history["train_loss"][-1])]


def without_inputs(case):
    """The validation loss of the best constant, by a fit of the outputs' biases alone."""
    (x, y), (_, y_val) = case.data, case.validation
    outputs = case.net(mxnp.array(x[:1], dtype=x.dtype)).shape[1]
    net = layers.mlp(1, [], outputs, seed=0)
    blank, blank_val = (np.zeros((len(a), 1), "float32") for a in (y, y_val))
    history = training.fit(
        net, (blank, y), (blank_val, y_val), loss=case.loss, optimizer=optim.adam(0.05),
        batch_size=len(y), epochs=150, progress=False,
    )  # fmt: skip
    return float(history["val_loss"].min())


def shuffled(case, seed):
    """Whether `check_data` notices that labels were shuffled; None where there are no labels."""
    (x, y), (x_val, y_val) = case.data, case.validation
    if y.ndim > 1:
        return None
    labels = np.random.default_rng([seed, 5]).permutation(np.concatenate([y, y_val]))
    result = checks.check_data((x, labels[: len(y)]), (x_val, labels[len(y) :]))
    return any(_UNRELATED in f.message for f in result.findings)


def look(problem, seed):
    """All that is said of a problem, for one seed."""
    case = problem.build(seed)
    lines = before_training(case)
    power, constant = shuffled(case, seed), without_inputs(problem.build(seed))
    later, losses = during_training(case)
    return {"said": [*lines, *later], "losses": [constant, *losses], "shuffled": power}


def look_at(problems, began):
    """What is said of each problem of a list, for each seed."""
    found = {}
    for problem in problems:
        seen = [look(problem, seed) for seed in SEEDS]
        found[problem.name] = {"kind": problem.kind, "seeds": seen}
        alarms = sorted({(line[0], line[1]) for each in seen for line in each["said"]})
        minutes = (time.perf_counter() - began) / 60
        print(f"{minutes:5.1f} min  {problem.name}", alarms, flush=True)
    return found


def trusted(each):
    """Whether the network learnt something that holds for the validation data too."""
    constant, lowest = each["losses"][:2]
    return lowest < 0.95 * constant


def counts(results):
    """Problems spoken of, and how many there are, by kind and by severity; the first seed's."""
    table = {}
    for problem in results.values():
        each = problem["seeds"][0]
        if not trusted(each):
            continue
        row = table.setdefault(problem["kind"], np.zeros(4, int))
        checked = {line[1] for line in each["said"] if line[0][0].islower()}
        watched = {line[1] for line in each["said"] if line[0][0].isupper()}
        row += 1, bool(checked), bool(watched), "e" in checked | watched
    return table


def interval(times, of):
    """The exact interval of Clopper and Pearson for a share, 95 %."""
    found = stats.binomtest(int(times), int(of)).proportion_ci(method="exact")
    return found.low, found.high


def show():
    """Print how many problems caused a false alarm, before and after."""
    for file in ("alarms_before.json", "alarms.json"):
        record = json.loads((HERE / file).read_text(encoding="utf-8"))
        for name, results in record["data"]["results"].items():
            table = counts(results)
            total = sum(table.values())
            print(f"{file}, {name} list: problems, spoken of by checks, by monitors, errors")
            for kind, row in {**table, "all": total}.items():
                low, high = interval(row[1], row[0])
                low_m, high_m = interval(row[2], row[0])
                print(
                    f"  {kind:<13} {row[0]:3}   {row[1]:3} ({low:.0%} to {high:.0%})   "
                    f"{row[2]:3} ({low_m:.0%} to {high_m:.0%})   {row[3]:3}"
                )
            power = [e["shuffled"] for p in results.values() for e in p["seeds"]]
            power = [noticed for noticed in power if noticed is not None]
            print(f"  shuffled labels noticed: {sum(power)} of {len(power)}")


def main():
    """Run the study and write its data file."""
    began = time.perf_counter()
    results = {name: look_at(problems, began) for name, problems in LISTS.items()}
    studies.save(HERE / "alarms.json", seeds=SEEDS, began=began, results=results)


if __name__ == "__main__":
    main()
    show()
