"""The long study of one model for many: averages of the weights, distillation, calibration.

Run by ``make run-long``. Writes one_model.json, which the page reads; the page recomputes a sample
of it. For each data set:

- averages: AVERAGED of the weights beside AVERAGE_SEEDS runs of 784-64-10, at a constant rate and
  at one that falls as a cosine; both rates tuned for the last weights, on validation data;
- teachers: for each of SEEDS an ensemble of MEMBERS networks 784-64-10;
- students: 784-16-10, on labels, on one network of the ensemble, on the ensemble, and on the
  ensemble at a high temperature with and without the factor T². Rates are tuned for every arm,
  temperature and weight of the labels for both kinds of teacher, with TUNING_SEEDS;
- one student more, 784-64-10, of the ensemble; it begins as the first member of the ensemble did;
- calibration of four of these models, before and after temperature scaling.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402

from nnbook import data, ensemble, layers, losses, optim, schedules, training  # noqa: E402

EPOCHS, BATCH_SIZE = 20, 100
TEACHER_UNITS, STUDENT_UNITS, MEMBERS = 64, 16, 8
SEEDS, AVERAGE_SEEDS, TUNING_SEEDS = range(8), range(16), (100, 101)
RATES = [0.01, 0.02, 0.04, 0.08, 0.16]  # widened by factors of 2 until the best lies inside
TEMPERATURES, HARD_WEIGHTS = [1, 2, 4, 8, 16, 32], [0.0, 0.1, 0.3, 0.6]
LARGE_TEMPERATURES = [1, 2, 4, 8]  # of the student with as many units as a member of the teacher
HIGH = {"temperature": 20.0, "hard_weight": 0.1}
DECAYS = [0.8, 0.9, 0.97, 0.99, 0.995, 0.998, 0.999]
CHANCE = 90.0  # the error in per cent of a run that diverged


def load(name):
    """10,000 examples for training, 2,000 for validation and the complete test set."""
    if name == "fashion":
        return data.load_small_fashion_mnist()
    full = data.load_mnist()
    return full._replace(
        x_train=full.x_train[:10_000], y_train=full.y_train[:10_000],
        x_val=full.x_val[:2_000], y_val=full.y_val[:2_000],
    )  # fmt: skip


def annealed(rate, n=10_000, epochs=EPOCHS):
    """A rate that falls to 0 over the run, as half a cosine."""
    return schedules.cosine(rate, steps=epochs * -(-n // BATCH_SIZE))


def train(units, train_pair, rate, seed, loss=losses.softmax_cross_entropy, callbacks=(), **other):
    """Train a network 784-units-10 by momentum descent; return it and its history."""
    net = layers.mlp(784, [units], 10, activation="relu", seed=seed)
    history = training.fit(
        net, train_pair, loss=loss, optimizer=optim.momentum(rate, momentum=0.9),
        batch_size=BATCH_SIZE, epochs=EPOCHS, seed=seed, callbacks=list(callbacks), progress=False,
        **other,
    )  # fmt: skip
    return net, history


def error(net, x, y):
    """The share of wrong predictions, in per cent."""
    return 100 * float((training.example_outputs(net, x).argmax(axis=1) != y).mean())


def tune(trial, rates=RATES):
    """Return the rate with the least mean of `trial(rate, seed)`, and the means by rate."""
    found = {}

    def measure(rate):
        values = []
        for seed in TUNING_SEEDS:
            try:
                values.append(trial(rate, seed))
            except training.DivergedError:
                values.append(CHANCE)
        found[rate] = float(np.mean(values))

    for rate in rates:
        measure(rate)
    while (best := min(found, key=found.get)) in (ends := (min(found), max(found))):
        measure(round(best / 2 if best == ends[0] else best * 2, 6))
    return best, {str(rate): round(found[rate], 3) for rate in sorted(found)}


# ---------------------------------------------------------------- averages of the weights


def averages_beside(validation=None):
    """What runs beside a training run: EMA with and without warm-up, and the mean of the tail."""
    beside = {f"{decay}": ensemble.EMA(decay, warmup=False) for decay in DECAYS}
    beside["0.995 warm-up"] = ensemble.EMA(0.995, validation=validation)
    beside["0.999 warm-up"] = ensemble.EMA(0.999)
    beside["tail"] = ensemble.PolyakAverage(0.5)
    return beside


def averages(images, schedule, rate, seed):
    """Test errors of the last weights and of every average, and the validation error by epoch."""
    validation = images[2:4]
    beside = averages_beside(validation)
    net, history = train(
        TEACHER_UNITS, images[:2], schedule(rate), seed,
        callbacks=beside.values(), validation=validation,
    )  # fmt: skip
    nets = {"last": net} | {name: average.averaged(net) for name, average in beside.items()}
    by_epoch = [100 * (1 - np.array(history[f"{p}val_accuracy"])) for p in ("", "ema_")]
    return {name: error(one, *images[4:]) for name, one in nets.items()}, by_epoch


def study_averages(images):
    """Both schedules, each at its best rate for the last weights."""
    found = {}
    for name, schedule in (("constant", schedules.constant), ("cosine", annealed)):

        def trial(rate, seed, schedule=schedule):
            net, _ = train(TEACHER_UNITS, images[:2], schedule(rate), seed)
            return error(net, *images[2:4])

        rate, tuning = tune(trial)
        runs = [averages(images, schedule, rate, seed) for seed in AVERAGE_SEEDS]
        found[name] = {
            "rate": rate,
            "tuning": tuning,
            "test_error": {key: [round(e[key], 2) for e, _ in runs] for key in runs[0][0]},
            "val_error_by_epoch": {
                key: np.mean([curves[k] for _, curves in runs], axis=0).round(3).tolist()
                for k, key in enumerate(("last", "average"))
            },
        }
    return found


# ---------------------------------------------------------------- teachers and students


def teacher(images, rate, seed):
    """An ensemble of networks that differ in their seeds, of which no two seeds here share one."""
    return ensemble.from_seeds(
        lambda s: layers.mlp(784, [TEACHER_UNITS], 10, activation="relu", seed=s),
        [1000 * (seed + 1) + k for k in range(MEMBERS)],
        images[:2], loss=losses.softmax_cross_entropy,
        optimizer=optim.momentum(annealed(rate), momentum=0.9),
        batch_size=BATCH_SIZE, epochs=EPOCHS, progress=False,
    )  # fmt: skip


def without_factor(temperature, hard_weight):
    """The mixed loss as it would be without T²."""
    soft = ensemble.distillation_loss(temperature, 0.0)
    hard = ensemble.distillation_loss(temperature, 1.0)

    def loss(outputs, targets):
        pure = soft(outputs, targets) / temperature**2
        return (1 - hard_weight) * pure + hard_weight * hard(outputs, targets)

    return loss


def student(images, targets, rate, seed, loss, units=STUDENT_UNITS):
    """Train a student on labels or on soft targets."""
    net, _ = train(units, (images.x_train, targets), annealed(rate), seed, loss)
    return net


def tune_student(images, targets, loss):
    """Tune a student's rate; `targets` by seed."""

    def trial(rate, seed):
        return error(student(images, targets[seed], rate, seed, loss), *images[2:4])

    return tune(trial)


def tune_distillation(images, targets):
    """Tune T at α = 0.1, then α at that T, each value with a rate of its own."""
    tables = {"temperature": {}, "hard_weight": {}}
    best = {}

    def measure(table, key, temperature, hard_weight):
        loss = ensemble.distillation_loss(temperature, hard_weight)
        rate, tuning = tune_student(images, targets, loss)
        value = tuning[str(rate)]
        tables[table][str(key)] = {"rate": rate, "val_error": value}
        if not best or value < best["val_error"]:
            best.update(
                temperature=temperature, hard_weight=hard_weight, rate=rate, val_error=value
            )

    for temperature in TEMPERATURES:
        measure("temperature", temperature, temperature, 0.1)
    temperature = best["temperature"]
    for hard_weight in HARD_WEIGHTS:
        if hard_weight != 0.1:
            measure("hard_weight", hard_weight, temperature, hard_weight)
    return {key: best[key] for key in ("temperature", "hard_weight", "rate")}, tables


def study_large_student(images, targets):
    """A student as large as a member of the teacher; `targets` by seed."""
    table = {}

    def train_one(rate, seed, loss):
        return student(images, targets[seed], rate, 1000 * (seed + 1), loss, TEACHER_UNITS)

    for temperature in LARGE_TEMPERATURES:
        loss = ensemble.distillation_loss(temperature, 0.1)
        rate, tuning = tune(
            lambda rate, seed, loss=loss: error(train_one(rate, seed, loss), *images[2:4])
        )
        table[str(temperature)] = {"rate": rate, "val_error": tuning[str(rate)]}
    temperature = min(LARGE_TEMPERATURES, key=lambda t: table[str(t)]["val_error"])
    loss, rate = ensemble.distillation_loss(temperature, 0.1), table[str(temperature)]["rate"]
    errors = [error(train_one(rate, seed, loss), *images[4:]) for seed in SEEDS]
    return {
        "setting": {"temperature": temperature, "hard_weight": 0.1, "rate": rate},
        "tuning": table,
        "test_error": np.round(errors, 2).tolist(),
    }


def logits_of(model, x):
    """A network's outputs; of an ensemble, the logarithm of its probabilities."""
    return ensemble.soft_targets(model, x)[:, :10].astype(float)


def scores(logits, labels, temperature):
    """The three scores and the bins of a reliability diagram."""
    p = ensemble.apply_temperature(logits, temperature)
    bins = ensemble.reliability(p, labels)
    found = {
        "nll": ensemble.negative_log_likelihood(p, labels),
        "brier": ensemble.brier_score(p, labels),
        "ece": bins.expected_calibration_error,
    }
    return found, bins


def calibration(images, models):
    """Scores before and after temperature scaling, a list by seed, and the pooled bins."""
    found = {"temperature": [], "before": {}, "after": {}, "bins": {}}
    pooled = {when: np.zeros((3, 15)) for when in ("before", "after")}
    for model in models:
        validation, test = (logits_of(model, x) for x in (images.x_val, images.x_test))
        fitted = ensemble.fit_temperature(validation, images.y_val)
        found["temperature"].append(round(fitted, 4))
        for when, temperature in (("before", 1.0), ("after", fitted)):
            values, bins = scores(test, images.y_test, temperature)
            for key, value in values.items():
                found[when].setdefault(key, []).append(round(value, 5))
            sums = np.nan_to_num([bins.confidence, bins.accuracy]) * bins.count
            pooled[when] += np.vstack([bins.count, sums])
    for when, (count, *sums) in pooled.items():
        share = np.where(count > 0, sums / np.maximum(count, 1), 0)
        found["bins"][when] = {
            "count": count.astype(int).tolist(),
            "confidence": share[0].round(4).tolist(),
            "accuracy": share[1].round(4).tolist(),
        }
    return found


def study_distillation(images, teacher_rate):
    """Teachers, students and their calibration on one data set."""
    every = [*TUNING_SEEDS, *SEEDS]
    teachers = {seed: teacher(images, teacher_rate, seed) for seed in every}
    targets = {
        "labels": dict.fromkeys(every, images.y_train),
        "one": {s: ensemble.soft_targets(t.members[0], *images[:2]) for s, t in teachers.items()},
        "many": {s: ensemble.soft_targets(t, *images[:2]) for s, t in teachers.items()},
    }
    arms, tables, settings = {}, {}, {}
    rate, tables["labels"] = tune_student(images, targets["labels"], losses.softmax_cross_entropy)
    settings["labels"] = {"rate": rate}
    arms["labels"] = "labels", losses.softmax_cross_entropy
    for kind in ("one", "many"):
        found, tables[kind] = tune_distillation(images, targets[kind])
        settings[kind] = found
        arms[kind] = (
            kind,
            ensemble.distillation_loss(found["temperature"], found["hard_weight"]),
        )
    arms["high"] = "many", ensemble.distillation_loss(**HIGH)
    arms["high, no factor"] = "many", without_factor(**HIGH)
    for name in ("high", "high, no factor"):
        rate, tables[name] = tune_student(images, targets["many"], arms[name][1])
        settings[name] = HIGH | {"rate": rate}

    students = {
        name: [student(images, targets[kind][s], settings[name]["rate"], s, loss) for s in SEEDS]
        for name, (kind, loss) in arms.items()
    }
    singles = [teachers[s].members[0] for s in SEEDS]
    many = [teachers[s] for s in SEEDS]
    errors = {name: [error(net, *images[4:]) for net in nets] for name, nets in students.items()}
    errors["one network"] = [error(net, *images[4:]) for net in singles]
    errors["ensemble"] = [
        100 * float((t.predict(images.x_test) != images.y_test).mean()) for t in many
    ]
    return {
        "teacher_rate": teacher_rate,
        "settings": settings,
        "tuning": tables,
        "test_error": {name: np.round(values, 2).tolist() for name, values in errors.items()},
        "large_student": study_large_student(images, targets["many"]),
        "calibration": {
            "one network": calibration(images, singles),
            "ensemble": calibration(images, many),
            "student on labels": calibration(images, students["labels"]),
            "student of the ensemble": calibration(images, students["many"]),
        },
    }


def main():
    """Run the study and write its data file."""
    began, found = time.perf_counter(), {}
    for name in ("mnist", "fashion"):
        images = load(name)
        found[name] = {"averages": study_averages(images)}
        print(f"{time.process_time() / 60:5.1f} min of CPU  {name} averages", flush=True)
        rate = found[name]["averages"]["cosine"]["rate"]
        found[name]["distillation"] = study_distillation(images, rate)
        errors = found[name]["distillation"]["test_error"]
        means = {key: round(float(np.mean(values)), 2) for key, values in errors.items()}
        print(f"{time.process_time() / 60:5.1f} min of CPU  {name} distillation", means, flush=True)
    studies.save(
        HERE / "one_model.json",
        seeds=[*AVERAGE_SEEDS, *TUNING_SEEDS],
        began=began,
        results=found,
    )


if __name__ == "__main__":
    main()
