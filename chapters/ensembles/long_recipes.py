"""The long study of the ensembles chapter: recipes for an ensemble, all at the same cost.

Run by ``make run-long``. Writes recipes.json, which the page reads; the page recomputes a sample of
it. Every recipe trains for PARTS parts of EPOCHS epochs each, as PARTS short runs or as one long
one, on two data sets and for each of GROUPS groups of seeds:

- inits: short runs from other initial weights, in other orders of the examples;
- same_init: short runs from one set of initial weights, in other orders;
- same_order: short runs from other initial weights, in one order (one population, one stream);
- search: short runs with random settings, of which the TOP with the least validation error count;
- checkpoints: one long run at a constant rate, θ at the end of each part;
- snapshots: one long run whose rate falls to 0 along a cosine in each part, θ at the end of each;
- ema: one long run at a constant rate, the exponential moving average of θ;
- single: one long run whose rate falls to 0 once, the network at its end;
- wide: one short run of one network with PARTS times as many hidden units.

The rates are tuned, for each of them, by validation error on a grid that all share and with seeds
of their own; the number of latest members of checkpoints and snapshots is tuned with the rate.
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
from nnbook.population import fit_population  # noqa: E402

HIDDEN, BATCH_SIZE, EPOCHS, PARTS = 64, 100, 10, 8
STEPS = EPOCHS * 100  # of a part, on 10,000 images
GROUPS = range(8)
TUNING_SEEDS = (1000, 1001)
RATES = [0.02, 0.04, 0.08, 0.16, 0.32]  # widened by factors of 2 where the best is on the border
LATEST = (2, 4, 8)
TOP, SEARCHED_RATES, SEARCHED_DECAYS = 4, (0.01, 0.64), (1e-6, 1e-2)
SHORT = ("inits", "same_init", "same_order")


def load(name):
    """10,000 examples for training, 2,000 for validation and the complete test set."""
    if name == "fashion":
        return data.load_small_fashion_mnist()
    full = data.load_mnist()
    return full._replace(
        x_train=full.x_train[:10_000], y_train=full.y_train[:10_000],
        x_val=full.x_val[:2_000], y_val=full.y_val[:2_000],
    )  # fmt: skip


def build(seed, hidden=HIDDEN):
    """A network of one hidden layer."""
    return layers.mlp(784, [hidden], 10, "relu", initializer=layers.HeNormal(), seed=seed)


# ---------------------------------------------------------------------------------- training


def train_short(images, rate, inits, orders):
    """Train networks for one part, the rate falling to 0 along half a cosine."""
    nets = [build(seed) for seed in inits]
    fit_population(
        nets, images[:2], loss=losses.softmax_cross_entropy,
        optimizer=optim.momentum(schedules.cosine(rate, STEPS)), batch_size=BATCH_SIZE,
        epochs=EPOCHS, seeds=list(orders), progress=False,
    )  # fmt: skip
    return nets


def train_one(images, schedule, seed, parts=PARTS, hidden=HIDDEN, callbacks=(), penalty=None):
    """Train one network by itself."""
    net = build(seed, hidden)
    training.fit(
        net, images[:2], loss=losses.softmax_cross_entropy, optimizer=optim.momentum(schedule),
        batch_size=BATCH_SIZE, epochs=parts * EPOCHS, seed=seed, callbacks=list(callbacks),
        penalty=penalty, progress=False,
    )  # fmt: skip
    return net


def train_long(images, kind, rate, seed):
    """Train for the whole budget in one run; return its members, oldest first, and its average."""
    snapshots, ema = ensemble.Snapshots(EPOCHS), ensemble.EMA(0.995)
    if kind == "single":
        return [train_one(images, schedules.cosine(rate, PARTS * STEPS), seed)], None
    if kind == "wide":
        schedule = schedules.cosine(rate, STEPS)
        return [train_one(images, schedule, seed, parts=1, hidden=PARTS * HIDDEN)], None
    if kind == "snapshots":
        schedule = schedules.cosine_restarts(rate, STEPS)
        net = train_one(images, schedule, seed, callbacks=[snapshots])
        return snapshots.members(net), None
    net = train_one(images, rate, seed, callbacks=[snapshots, ema])
    return snapshots.members(net), ema.averaged(net)


def seeds_of(arm, group):
    """The seeds of the initial weights and of the order of examples of a group's members."""
    own = [PARTS * group + member for member in range(PARTS)]
    same = [PARTS * group] * PARTS
    return {"inits": (own, own), "same_init": (same, own), "same_order": (own, same)}[arm]


def settings_of(group):
    """The random rates and decays of a group's search."""
    rng = np.random.default_rng(group)
    log_uniform = [
        10 ** rng.uniform(*np.log10(r), PARTS) for r in (SEARCHED_RATES, SEARCHED_DECAYS)
    ]
    return list(zip(*log_uniform, strict=True))


def train_search(images, group):
    """Train a group's random settings, best validation error first."""
    nets = [
        train_one(
            images, schedules.cosine(rate, STEPS), PARTS * group + member, parts=1,
            penalty=losses.l2_penalty(decay),
        )
        for member, (rate, decay) in enumerate(settings_of(group))
    ]  # fmt: skip
    found = [error(probabilities([net], images[2])[0], images[3]) for net in nets]
    return [nets[k] for k in np.argsort(found, kind="stable")]


# ---------------------------------------------------------------------------------- measures


def outputs(nets, x):
    """Logits, shape (members, examples, classes)."""
    return ensemble.Ensemble(nets).outputs(x)


def probabilities(nets, x):
    """What each member says, shape (members, examples, classes)."""
    return np.stack([ensemble.average_probabilities(z[None]) for z in outputs(nets, x)])


def error(combined, labels):
    """In per cent."""
    return 100 * float((combined.argmax(axis=1) != labels).mean())


def scores(combined, labels):
    """The error in per cent, and the negative log-likelihood in nats."""
    return error(combined, labels), ensemble.negative_log_likelihood(combined, labels)


def against_members(p, labels, alike):
    """Error and likelihood of 1, 2, … members: of all runs of neighbours, or of the latest."""
    rows = []
    for size in range(1, len(p) + 1):
        starts = range(len(p)) if alike else [len(p) - size]
        chosen = [np.arange(start, start + size) % len(p) for start in starts]
        rows.append(np.mean([scores(p[which].mean(axis=0), labels) for which in chosen], axis=0))
    return np.transpose(rows)


def measure(nets, images, alike, used=None):
    """All that is kept of one group; `used` says how many of the latest members count."""
    z, labels = outputs(nets, images[4]), images[5]
    p = np.stack([ensemble.average_probabilities(member[None]) for member in z])
    used = len(nets) if used is None else used
    final = p[-used:].mean(axis=0)
    errors, likelihoods = against_members(p, labels, alike)
    found = {
        "test_error": error(final, labels),
        "nll": ensemble.negative_log_likelihood(final, labels),
        "val_error": error(probabilities(nets[-used:], images[2]).mean(axis=0), images[3]),
        "member_errors": [error(member, labels) for member in p],
        "member_nll": float(np.mean([scores(member, labels)[1] for member in p])),
        "error_of": list(errors),
        "nll_of": list(likelihoods),
    }
    if len(nets) > 1:
        logits, weights = ensemble.average_logits(z), _fitted(nets, images)
        weighted = np.tensordot(weights, p, 1)
        found |= {
            "logits": scores(logits, labels),
            "votes_error": error(ensemble.vote(z), labels),
            "weighted": scores(weighted, labels),
            "weights": list(weights),
            "disagreement": ensemble.disagreement(z).tolist(),
        }
    return found


def _fitted(nets, images):
    return ensemble.mixture_weights(probabilities(nets, images[2]), images[3])


# ---------------------------------------------------------------------------------- the study


def tune(trial):
    """Call `trial(rate)`, a dict of validation errors, until no best rate is on the border."""
    tried = {rate: trial(rate) for rate in RATES}
    while True:
        rates = sorted(tried)
        best = {name: min(rates, key=lambda rate: tried[rate][name]) for name in tried[rates[0]]}
        if rates[0] in best.values():
            tried[rates[0] / 2] = trial(rates[0] / 2)
        elif rates[-1] in best.values():
            tried[2 * rates[-1]] = trial(2 * rates[-1])
        else:
            return best, {name: {r: tried[r][name] for r in rates} for name in best}


def trial_of(images, kind):
    """A function of the rate: the mean validation error over the tuning seeds."""

    def judge(nets):
        return error(probabilities(nets, images[2]).mean(axis=0), images[3])

    def trial(rate):
        if kind == "short":
            seeds = range(TUNING_SEEDS[0], TUNING_SEEDS[0] + PARTS)
            nets = train_short(images, rate, seeds, [TUNING_SEEDS[0]] * PARTS)
            return {"inits": float(np.mean([judge([net]) for net in nets]))}
        runs = [train_long(images, kind, rate, seed) for seed in TUNING_SEEDS]
        if len(runs[0][0]) == 1:
            return {kind: float(np.mean([judge(nets) for nets, _ in runs]))}
        name = "checkpoints" if kind == "constant" else kind
        of = {size: np.mean([judge(nets[-size:]) for nets, _ in runs]) for size in LATEST}
        latest = min(LATEST, key=of.get)
        found = {name: float(of[latest])}
        sizes[name, rate] = latest
        if kind == "constant":
            found["ema"] = float(np.mean([judge([average]) for _, average in runs]))
        return found

    sizes = {}
    return trial, sizes


def study(images, say):
    """Tune and run every recipe on one data set."""
    chosen, tuning, latest = {}, {}, {}
    for kind in ("short", "constant", "snapshots", "single", "wide"):
        trial, sizes = trial_of(images, kind)
        best, tried = tune(trial)
        chosen |= best
        tuning |= tried
        latest |= {name: sizes[name, best[name]] for name in best if (name, best[name]) in sizes}
        say("tuned", kind, best, tried)

    found = {arm: [] for arm in (*SHORT, "search")}
    seeds = {(arm, group): seeds_of(arm, group) for arm in SHORT for group in GROUPS}
    inits = [seed for pair in seeds.values() for seed in pair[0]]
    orders = [seed for pair in seeds.values() for seed in pair[1]]
    nets = train_short(images, chosen["inits"], inits, orders)
    for k, (arm, _) in enumerate(seeds):
        found[arm].append(measure(nets[PARTS * k : PARTS * (k + 1)], images, alike=True))
    say("short")
    for group in GROUPS:
        ranked = train_search(images, group)[::-1]  # the best ones last, as the latest elsewhere
        found["search"].append(measure(ranked, images, alike=False, used=TOP))
    say("search")
    for arm in ("checkpoints", "ema", "snapshots", "single", "wide"):
        kind = "constant" if arm in ("checkpoints", "ema") else arm
        found[arm] = []
        for group in GROUPS:
            members, average = train_long(images, kind, chosen[arm], PARTS * group)
            members = [average] if arm == "ema" else members
            found[arm].append(measure(members, images, alike=False, used=latest.get(arm)))
        say(arm)
    return {
        "rates": chosen,
        "latest": latest,
        "tuning": {arm: list(tried.items()) for arm, tried in tuning.items()},
        "arms": {arm: gathered(groups) for arm, groups in found.items()},
    }


def gathered(groups):
    """Turn the groups' dicts into one of lists; of the disagreements keep one matrix whole."""
    arm = {key: [group[key] for group in groups] for key in groups[0]}
    if "disagreement" in arm:
        every = arm.pop("disagreement")
        arm["disagreement"] = [np.mean(m, where=~np.eye(len(m), dtype=bool)) for m in every]
        arm["matrix"] = every[0]
    return rounded(arm)


def rounded(found):
    """Round every number to five digits."""
    if isinstance(found, dict):
        return {key: rounded(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [rounded(value) for value in found]
    return float(f"{found:.5g}")


def main():
    """Run the study and write its data file."""
    began = time.perf_counter()

    def say(*what):
        print(f"{(time.perf_counter() - began) / 60:5.1f} min", *what, flush=True)

    results = {}
    for name in ("mnist", "fashion"):
        say(name)
        results[name] = study(load(name), say)
    studies.save(
        HERE / "recipes.json",
        seeds=[*range(PARTS * len(GROUPS)), *range(TUNING_SEEDS[0], TUNING_SEEDS[0] + PARTS)],
        began=began,
        results=results,
    )


if __name__ == "__main__":
    main()
