"""The long study of the debugging chapter: the whole zoo before every check and monitor.

Run by ``make run-long``. Writes zoo.json, which the page reads; the page recomputes a sample of it.
Every planted bug, every correct net and the correct twin of every bug goes through
`checks.preflight`, and through a whole training run under `monitors.watch`. What each of them said
is one letter for each seed.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

from nnbook import checks, monitors, training, zoo  # noqa: E402

SEEDS = range(8)
CHECKS = (
    "check_data",
    "check_initial_loss",
    "check_independence",
    "check_gradients",
    "check_regularization",
    "overfit_tiny_subset",
    "check_optimizer",
    "rehearse",
)
MONITORS = tuple(type(monitor).__name__ for monitor in monitors.watch())
# From the mildest to the worst; a check that could not be finished has judged nothing.
NOTHING, UNFINISHED, NOTE, WARNING, ERROR = LETTERS = ".xnwe"


def letter(findings):
    """The worst of some findings."""
    found = [NOTHING]
    for finding in findings:
        stopped = "it stopped with" in finding.message
        found.append(UNFINISHED if stopped else finding.severity[0])
    return max(found, key=LETTERS.index)


def before_training(case):
    """What each check says of a case, and whether a slope of a gradient check is an alarm."""
    report = checks.preflight(
        case.net, case.loss, case.data, case.validation, verbose=False, **case.fit_options
    )
    said = {name: [] for name in CHECKS}
    alarms = 0
    for result in report.results:
        said[result.check.split()[0]].extend(result.findings)  # gradients are checked twice
        alarms += sum(slope.alarm for slope in getattr(result, "coordinates", ()))
    return {name: letter(findings) for name, findings in said.items()}, alarms


def during_training(case):
    """What each monitor says of a training run."""
    watching, options = monitors.watch(), dict(case.fit_options)
    callbacks = [*options.pop("callbacks", ()), *watching]
    with contextlib.suppress(training.DivergedError):  # that too is for the monitors to see
        training.fit(
            case.net, case.data, case.validation, loss=case.loss, callbacks=callbacks,
            progress=False, **options,
        )  # fmt: skip
    return {type(monitor).__name__: letter(monitor.findings()) for monitor in watching}


def look(build, seed):
    """What all of them say of what `build` makes of a seed."""
    said, alarms = before_training(build(seed))
    return {**said, **during_training(build(seed))}, alarms


def look_at(build):
    """A letter for each seed from each watcher, and how many slopes were alarms."""
    seen = [look(build, seed) for seed in SEEDS]
    said = {name: "".join(words[name] for words, _ in seen) for name in (*CHECKS, *MONITORS)}
    return {"said": said, "alarms": sum(alarms for _, alarms in seen)}


def main():
    """Run the study and write its data file."""
    began = time.perf_counter()
    plan = {
        "bugs": {bug.name: bug.build for bug in zoo.BUGS},
        "twins": {bug.name: bug.correct for bug in zoo.BUGS},
        "nets": {net.name: net.build for net in zoo.CORRECT},
    }
    results = {}
    for kind, builds in plan.items():
        results[kind] = {}
        for name, build in builds.items():
            results[kind][name] = look_at(build)
            loud = {w: said for w, said in results[kind][name]["said"].items() if set(said) - {"."}}
            print(f"{(time.perf_counter() - began) / 60:5.1f} min  {kind} {name}", loud, flush=True)
    studies.save(
        HERE / "zoo.json",
        seeds=SEEDS,
        began=began,
        results=results,
    )


if __name__ == "__main__":
    main()
