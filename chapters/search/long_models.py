"""The long study of models: a Gaussian process and TPE beside random search, 20 trials each.

Run by ``make run-long``. Three parts:

- networks: a small ConvNet's four knobs, in well-chosen intervals and in intervals three decades
  too wide; 96 searches of each kind, all of one kind in step, so that they train together;
- functions: six smooth test functions;
- optimum: how near the learning searches come to the minimum of two of them, given more trials.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILE = HERE / "models.json"
sys.path.insert(0, str(HERE.parents[1] / "tools"))

import studies  # noqa: E402

if __name__ == "__main__":
    studies.pin()

import numpy as np  # noqa: E402
from scipy.linalg import solve_triangular  # noqa: E402
from scipy.optimize import minimize  # noqa: E402
from scipy.spatial.distance import cdist  # noqa: E402
from scipy.special import ndtr  # noqa: E402

from nnbook import data, search  # noqa: E402
from nnbook.search.journal import Log  # noqa: E402
from nnbook.search.trials import Trial  # noqa: E402

TRIALS, FIRST, AT_MOST = 20, 5, 10
NETWORK_SEEDS, FUNCTION_SEEDS, OPTIMUM_SEEDS = (
    range(14200, 14296),
    range(14200, 14224),
    range(14200, 14208),
)

# ------------------------------------------------------------------------------ a search by a GP


def kernel(A, B, lengths):
    """Matérn's, twice differentiable: what is near in units of the lengths is alike."""
    r = 5**0.5 * cdist(A / lengths, B / lengths)
    return (1 + r + r**2 / 3) * np.exp(-r)


def factor(U, theta):
    """Cholesky factor of the covariance, the noise on its diagonal."""
    return np.linalg.cholesky(kernel(U, U, np.exp(theta[:-1])) + np.exp(theta[-1]) * np.eye(len(U)))


def unlikely(theta, U, y):
    """Minus the logarithm of the likelihood, its scale at the best, and a mild prior on lengths."""
    L = factor(U, theta)
    a = solve_triangular(L, y, lower=True, check_finite=False)
    prior = 0.5 * ((theta[:-1] - np.log(0.5)) ** 2).sum()
    return 0.5 * len(y) * np.log(a @ a / len(y) + 1e-6) + np.log(np.diag(L)).sum() + prior


def propose(U, y, rng):
    """Where the expected improvement is largest among random points, many of them near the best."""
    n, d = U.shape
    y = (y - y.mean()) / max(y.std(), 1e-9)
    start = np.array([-1.0] * d + [-4.0])
    bounds = [(np.log(0.05), np.log(5))] * d + [(np.log(1e-6), np.log(0.3))]
    fitted = minimize(
        unlikely, start, (U, y), method="L-BFGS-B", bounds=bounds, options={"maxiter": 15}
    )
    L = factor(U, fitted.x)
    near = [U[y.argmin()] + s * rng.normal(size=(200, d)) for s in (0.2, 0.05, 0.01)]
    V = np.clip(np.vstack([rng.random((1000, d)), *near]), 0, 1)
    a = solve_triangular(L, y, lower=True)
    B = solve_triangular(L, kernel(U, V, np.exp(fitted.x[:-1])), lower=True)
    scale = (a @ a / n + 1e-6) ** 0.5
    sd = scale * np.sqrt(np.maximum(1 - (B**2).sum(axis=0), 1e-12))
    z = (y.min() - a @ B) / sd
    return V[(sd * (z * ndtr(z) + np.exp(-(z**2) / 2) / (2 * np.pi) ** 0.5)).argmax()]


@dataclass(frozen=True)
class GPSearch(search.Search):
    """A search of one's own: it starts like RandomSearch, then asks the Gaussian process.

    At random are the first five, and further ones while fewer than five values differ, up to ten.
    """

    space: search.Space
    trials: int = TRIALS
    seed: int = 0
    seeds: tuple = (0,)
    smaller_is_better: bool = True

    @property
    def size(self):
        """How many configurations there are."""
        return self.trials

    def waits_for(self, trial):
        """Each trial is chosen by all before it."""
        return trial

    def identity(self):
        """What makes this the same search when it is resumed."""
        return {**super().identity(), "seed": self.seed, "trials": self.trials}

    def ask(self, trial, log):
        """Choose by what came out; a trial that failed counts as the worst."""
        rng = np.random.default_rng([self.seed, trial])
        rows = sorted(log.trials, key=lambda one: one.trial)
        if trial < FIRST or (trial < AT_MOST and len({one.value for one in rows}) < FIRST):
            return self.space.sample(rng)
        U = [self.space.units(k, [one.configuration[k] for one in rows]) for k in self.space]
        y = np.array([one.value for one in rows])
        return self.space.at(propose(np.transpose(U), np.nan_to_num(y, nan=np.nanmax(y)), rng))


KINDS = {
    "random": search.RandomSearch,
    "Sobol": search.SobolSearch,
    "TPE": search.AdaptiveSearch,
    "GP": GPSearch,
}


def in_step(plans, evaluate_many):
    """Run searches side by side, the trials of one number together; value and measure of each."""
    logs = [Log() for _ in plans]
    for trial in range(plans[0].size):
        asked = [plan.ask(trial, log) for plan, log in zip(plans, logs, strict=True)]
        for log, one, (value, test) in zip(logs, asked, evaluate_many(asked), strict=True):
            log.add([Trial(trial, 0, one, float(value), "complete", measures={"test": test})])
    return np.array([[(one.value, one.measures["test"]) for one in log.trials] for log in logs])


# ------------------------------------------------------------------------------ networks

TRAIN, VALIDATION, TEST, EPOCHS, BATCH, FILTERS = 300, 300, 800, 4, 20, 8
CHOSEN = search.Space(
    rate=search.log(0.01, 1),
    friction=search.log(0.1, 1),  # 1 − momentum
    decay=search.log(1e-6, 0.01),
    scale=search.log(0.3, 3),  # of the initial weights, 1 is He's
)
HALF = 10**1.5
TOO_WIDE = search.Space(
    rate=search.log(0.01 / HALF, HALF),
    friction=search.log(1e-4, 1),  # it cannot exceed 1
    decay=search.log(1e-6 / HALF, 0.01 * HALF),
    scale=search.log(0.3 / HALF, 3 * HALF),
)
INTERVALS = {"chosen": CHOSEN, "too wide": TOO_WIDE}


def patches():
    """The 3 × 3 patches of each digit, those of one 2 × 2 pool side by side; and the labels."""
    pixels, labels = data.load_digits_8x8()
    pixels = (pixels - pixels.mean()) / pixels.std()
    found = np.lib.stride_tricks.sliding_window_view(pixels.reshape(-1, 8, 8), (3, 3), axis=(1, 2))
    found = found.reshape(-1, 3, 2, 3, 2, 9).transpose(0, 1, 3, 2, 4, 5)
    return found.reshape(-1, 9, 4, 9).astype(np.float32), labels


PATCHES, LABELS = patches()


def forward(x, K, W):
    """Convolve, pool by the maximum, ReLU, dense; which was the maximum, hidden units, log p."""
    z = (x.reshape(len(K), -1, 9) @ K).reshape(len(K), -1, 4, FILTERS)
    top = z.argmax(axis=2)[:, :, None]
    h = np.maximum(np.take_along_axis(z, top, axis=2), 0).reshape(len(K), -1, 9 * FILTERS)
    h = np.concatenate([h, np.ones_like(h[:, :, :1])], axis=2)
    logits = h @ W
    logits -= logits.max(axis=2, keepdims=True)
    return top, h, logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))


def gradients(x, y, K, W):
    """Those of the mean cross-entropy, by the filters and by the dense layer."""
    top, h, log_p = forward(x, K, W)
    delta = (np.exp(log_p) - np.eye(10, dtype=np.float32)[y]) / y.shape[1]
    back = (delta @ W[:, :-1].transpose(0, 2, 1)) * (h[:, :, :-1] > 0)
    spread = np.zeros((len(K), y.shape[1] * 9, 4, FILTERS), np.float32)
    np.put_along_axis(spread, top, back.reshape(top.shape), axis=2)
    spread = spread.reshape(len(K), -1, FILTERS)
    return x.reshape(len(K), -1, 9).transpose(0, 2, 1) @ spread, h.transpose(0, 2, 1) @ delta


def convnets(configurations, seeds):
    """Train one ConvNet for each configuration, together; validation loss and test error.

    A network that diverges, or is worse than a constant guess, has the loss of that guess.
    """
    named = {
        name: np.array([[[one[name]]] for one in configurations], np.float32) for name in CHOSEN
    }
    rngs = [np.random.default_rng(seed) for seed in seeds]
    size = TRAIN + VALIDATION + TEST
    rows = np.array([rng.permutation(len(LABELS))[:size] for rng in rngs])
    theta = [
        np.array([rng.normal(size=(9, FILTERS)) for rng in rngs], np.float32) * (2 / 9) ** 0.5,
        np.array([rng.normal(size=(9 * FILTERS + 1, 10)) for rng in rngs], np.float32) / 6,
    ]
    theta = [named["scale"] * part for part in theta]
    theta[1][:, -1] = 0
    speed = [np.zeros_like(part) for part in theta]
    with np.errstate(all="ignore"):
        for _ in range(EPOCHS):
            order = np.array([rng.permutation(TRAIN) for rng in rngs])
            for part in np.split(order, TRAIN // BATCH, axis=1):
                taken = np.take_along_axis(rows, part, axis=1)
                found = gradients(PATCHES[taken], LABELS[taken], *theta)
                for p, v, g in zip(theta, speed, found, strict=True):
                    v *= 1 - named["friction"]
                    v -= named["rate"] * (g + named["decay"] * p)
                    p += v
        held, test = rows[:, TRAIN : TRAIN + VALIDATION], rows[:, TRAIN + VALIDATION :]
        log_p = forward(PATCHES[held], *theta)[-1]
        loss = -np.take_along_axis(log_p, LABELS[held][..., None], axis=2).mean(axis=(1, 2))
        guess = forward(PATCHES[test], *theta)[-1].argmax(axis=2)
    good = loss < np.log(10)  # false for NaN
    errors = np.where(good, (guess != LABELS[test]).mean(axis=1), 0.9)
    losses = np.where(good, loss, np.log(10))
    return list(zip(losses.tolist(), errors.tolist(), strict=True))


def of_networks(space, kind, trials, seeds):
    """Searches of one kind, a seed each: best loss after each trial, the winner's test error."""
    plans = [KINDS[kind](space, trials, seed=seed) for seed in seeds]
    found = in_step(plans, lambda asked: convnets(asked, seeds))
    best = np.minimum.accumulate(found[:, :, 0], axis=1)
    winner = found[np.arange(len(seeds)), found[:, :, 0].argmin(axis=1), 1]
    return {"best": best.round(5).tolist(), "test error (%)": (100 * winner).round(3).tolist()}


def networks():
    """By interval and kind; random search has twice the trials, too."""
    kinds = [*[(kind, kind, TRIALS) for kind in KINDS], ("random, 40", "random", 2 * TRIALS)]
    return {
        interval: {
            name: of_networks(space, kind, trials, NETWORK_SEEDS) for name, kind, trials in kinds
        }
        for interval, space in INTERVALS.items()
    }


# ------------------------------------------------------------------------------ functions


def branin(x, y):
    """Three minima, equally low."""
    bowl = (y - 5.1 * x**2 / (4 * np.pi**2) + 5 * x / np.pi - 6) ** 2
    return bowl + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x) + 10


def beale(x, y):
    """A plateau with a narrow valley."""
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def hartmann(**x):
    """Four Gaussian holes in six dimensions."""
    A = np.array(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
    )
    P = np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )
    distance = (A * (np.array(list(x.values())) - P / 10_000) ** 2).sum(axis=1)
    return float(-np.array([1, 1.2, 3, 3.2]) @ np.exp(-distance))


def square(low, high):
    """A square, as a space."""
    return search.Space(x=search.linear(low, high), y=search.linear(low, high))


FUNCTIONS = {  # the function, where it is searched, its least value
    "Branin": (branin, search.Space(x=search.linear(-5, 10), y=search.linear(0, 15)), 0.39788736),
    "Himmelblau": (lambda x, y: (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2, square(-5, 5), 0.0),
    "Beale": (beale, square(-4.5, 4.5), 0.0),
    "Matyas": (lambda x, y: 0.26 * (x**2 + y**2) - 0.48 * x * y, square(-10, 10), 0.0),
    "Rosenbrock": (lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2, square(-2, 2), 0.0),
    "Hartmann-6": (
        hartmann,
        search.Space(**{f"x{k}": search.linear(0, 1) for k in range(6)}),
        -3.32236801,
    ),
}


def above(name, kind, trials, seeds):
    """How far above the least value a search of each seed has come, after each trial."""
    function, space, least = FUNCTIONS[name]
    plans = [KINDS[kind](space, trials, seed=seed) for seed in seeds]
    found = in_step(plans, lambda asked: [(function(**one), 0.0) for one in asked])[:, :, 0]
    return (np.minimum.accumulate(found, axis=1) - least).clip(1e-9)


def optunas(name, sampler, seeds):
    """The same at the end of 20 trials by a study of Optuna's own."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    function, space, least = FUNCTIONS[name]
    found = []
    for seed in seeds:
        study = optuna.create_study(sampler=sampler(seed))
        study.optimize(lambda trial: function(**space.suggest(trial)), n_trials=TRIALS)
        found.append(max(study.best_value - least, 1e-9))
    return found


def functions():
    """By function and kind: after 20 trials; and by Optuna's own searches."""
    import optuna

    samplers = {
        "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
        "TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
    }
    ours = {
        name: {kind: above(name, kind, TRIALS, FUNCTION_SEEDS)[:, -1].tolist() for kind in KINDS}
        for name in FUNCTIONS
    }
    theirs = {
        name: {kind: optunas(name, sampler, FUNCTION_SEEDS) for kind, sampler in samplers.items()}
        for name in FUNCTIONS
    }
    return {"ours": ours, "Optuna's": theirs}


BUDGETS = {("Branin", "TPE"): 200, ("Branin", "GP"): 40, ("Hartmann-6", "TPE"): 300}
BUDGETS[("Hartmann-6", "GP")] = 100


def optimum():
    """How far above the least value, given so many trials."""
    return [
        {"function": f, "kind": kind, "trials": trials}
        | {"above": above(f, kind, trials, OPTIMUM_SEEDS)[:, -1].tolist()}
        for (f, kind), trials in BUDGETS.items()
    ]


# ------------------------------------------------------------------------------ all

STUDY = {"networks": networks, "functions": functions, "optimum": optimum}


def main():
    """Run all and write the data file."""
    began = time.perf_counter()
    parts = {name: part() for name, part in STUDY.items()}
    seeds = [*NETWORK_SEEDS, *FUNCTION_SEEDS, *OPTIMUM_SEEDS]
    studies.save(FILE, seeds=seeds, began=began, **parts)


if __name__ == "__main__":
    main()
