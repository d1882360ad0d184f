"""The long study of false alarms: healthy problems of all kinds before every check and monitor.

Run by ``make run-long``. Writes alarms.json, which the page reads beside alarms_before.json: the
same, of the checks and monitors of the first edition. Every problem of two lists goes through
`checks.preflight` at its defaults, and through its training run under `monitors.watch`; a finding
of either is a false alarm. The thresholds were looked at on the first list; the second was written
before they were changed, and not run until they were fixed.

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
from scipy import stats  # noqa: E402

from nnbook import checks, layers, monitors, optim, training  # noqa: E402
from nnbook.runtime import np as mxnp  # noqa: E402

SEEDS = range(1)
LISTS = ("first", "second")
EDITIONS = {"first edition": "alarms_before.json", "now": "alarms.json"}
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


def results_of(file):
    """The results that a data file holds, by list."""
    return json.loads((HERE / file).read_text(encoding="utf-8"))["data"]["results"]


def counts(results):
    """Numbers by kind, of the first seed: problems, spoken of by checks, monitors, either; errors.

    A problem counts whose network learns something that holds for the validation data too.
    """
    table = {}
    for problem in results.values():
        lines, (constant, lowest, *_) = (problem["seeds"][0][key] for key in ("said", "losses"))
        if lowest < 0.95 * constant:
            checked = any(source[0].islower() for source, *_ in lines)
            watched = any(source[0].isupper() for source, *_ in lines)
            wrong = any(severity == "e" for _, severity, _ in lines)
            row = table.setdefault(problem["kind"], np.zeros(5, int))
            row += 1, checked, watched, checked or watched, wrong
    return table


def interval(times, of):
    """The exact interval of Clopper and Pearson for a share, 95 %."""
    found = stats.binomtest(int(times), int(of)).proportion_ci(method="exact")
    return f"{times} ({found.low:.0%} to {found.high:.0%})"


def noticed(results):
    """How many shuffled sets of labels `check_data` notices, and of how many."""
    power = [each["shuffled"] for problem in results.values() for each in problem["seeds"]]
    power = [found for found in power if found is not None]
    return sum(power), len(power)


def rows():
    """The table of false alarms, before and after, as rows of words."""
    table = [("list", "edition", "problems", "by a check", "by a monitor", "by either", "errors")]
    for name in LISTS:
        for edition, file in EDITIONS.items():
            total = sum(counts(results_of(file)[name]).values())
            shares = (interval(some, total[0]) for some in total[1:4])
            table.append((name, edition, str(total[0]), *shares, str(total[4])))
    return table


def problems_of(name):
    """The problems of a list; those of the first need scikit-learn, which the page does without."""
    if name == "second":
        from healthy_second import SECOND

        return SECOND
    from healthy_first import FIRST

    return FIRST


def main():
    """Run the study and write its data file."""
    began = time.perf_counter()
    results = {name: look_at(problems_of(name), began) for name in LISTS}
    studies.save(HERE / "alarms.json", seeds=SEEDS, began=began, results=results)


if __name__ == "__main__":
    main()
    for row in rows():
        print("  ".join(f"{cell:<18}" for cell in row))
