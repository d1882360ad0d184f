"""Searches that learn: Optuna's samplers and pruners, asked in one place, resumed the same."""

from __future__ import annotations

import contextlib
import importlib.util
import math
from functools import partial

import numpy as np
import pytest

from nnbook import search
from nnbook.search import categorical, linear, log
from tests.tables import same

optuna = pytest.importorskip("optuna")

SPACE = search.Space(
    rate=log(1e-4, 1),
    rule=categorical(["sgd", "momentum"]),
    momentum=linear(0, 1, when={"rule": "momentum"}),
    layers=categorical([(10,), (10, 10)]),
)
BRANIN = search.Space(x=linear(-5, 10), y=linear(0, 15))


def valley(configuration, seed):
    if configuration["rate"] > 0.5:
        raise FloatingPointError("diverged")
    far = abs(math.log10(configuration["rate"]) + 2) + 0.1 * seed
    return far + abs(configuration.get("momentum", 0.2) - 0.9)


def branin(configuration, seed):
    x, y = configuration["x"], configuration["y"]
    hollow = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return hollow + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def steps(configuration, seed):
    return valley(configuration, seed) + 1 / configuration["epochs"]


class Killed(BaseException):
    pass


PLANS = {
    "tpe": search.AdaptiveSearch(SPACE, trials=16, seeds=2),
    "at once": search.AdaptiveSearch(SPACE, trials=16, at_once=3),
    "random": search.AdaptiveSearch(SPACE, trials=12, sampler=optuna.samplers.RandomSampler),
    "largest": search.AdaptiveSearch(SPACE, trials=14, smaller_is_better=False),
    "halving": search.AdaptiveSearch(SPACE, trials=14, steps=(1, 3, 9)),
    "median": search.AdaptiveSearch(SPACE, trials=14, steps=(1, 3), pruner="median", seeds=2),
    "hyperband": search.AdaptiveSearch(SPACE, trials=14, steps=(1, 3, 9), pruner="hyperband"),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_search_that_is_killed_goes_on_the_same(name, tmp_path):
    plan = PLANS[name]
    function = steps if plan.steps else valley
    whole = plan.run(function)
    assert same(plan.run(function), whole)
    for after in (2, 9, 13, 17):
        calls = []

        def stopped(configuration, seed, calls=calls, after=after):
            calls.append(1)
            if len(calls) == after:
                raise Killed
            return function(configuration, seed)

        path = tmp_path / f"{after}"
        with contextlib.suppress(Killed):  # the last comes after its end
            plan.run(stopped, path=path)
        assert same(plan.run(function, path=path), whole)


def test_more_trials_continue(tmp_path):
    search.AdaptiveSearch(SPACE, trials=5).run(valley, path=tmp_path / "study")
    more = search.AdaptiveSearch(SPACE, trials=20).run(valley, path=tmp_path / "study")
    assert same(more, search.AdaptiveSearch(SPACE, trials=20).run(valley))


def test_the_seed_decides():
    one, again, other = (search.AdaptiveSearch(SPACE, 12, seed=s).run(valley) for s in (1, 1, 2))
    assert same(one, again)
    assert (one["rate"] != other["rate"]).all()


def test_branin_to_its_optimum():
    found = search.AdaptiveSearch(BRANIN, trials=150, seed=0).run(branin)
    assert found.best["value"] < 0.397887 + 0.05
    minima = [(-math.pi, 12.275), (math.pi, 2.275), (9.42478, 2.475)]
    assert min(math.dist((found.best["x"], found.best["y"]), m) for m in minima) < 0.2
    chance = search.RandomSearch(BRANIN, trials=150, seed=0).run(branin)
    assert np.median(found["value"][50:]) < 0.5 * np.median(chance["value"][50:])


def test_the_sampler_keeps_away_from_what_fails():
    def narrow(configuration, seed):
        if configuration["x"] > 0:
            raise FloatingPointError("diverged")
        return branin(configuration, seed)

    found = search.AdaptiveSearch(BRANIN, trials=60, seed=1).run(narrow)
    failed = found["state"] == "failed"
    assert failed[:10].mean() > 0.4  # two thirds of the space
    assert failed[30:].mean() < 0.2


@pytest.mark.parametrize(
    "sampler",
    [
        optuna.samplers.TPESampler,
        partial(optuna.samplers.TPESampler, n_startup_trials=3),
        optuna.samplers.QMCSampler,
        optuna.samplers.RandomSampler(seed=3),
    ],
    ids=["class", "partial", "qmc", "sampler"],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_any_sampler_of_optuna(sampler):
    found = search.AdaptiveSearch(BRANIN, trials=12, sampler=sampler).run(branin)
    assert len(set(found["x"])) == 12


def test_tpe_is_optunas_tpe():
    """With one random number generator for all trials both find the same."""
    ours = search.AdaptiveSearch(BRANIN, 25, sampler=optuna.samplers.TPESampler(seed=7)).run(branin)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=7))
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.optimize(lambda trial: branin(BRANIN.suggest(trial), 0), n_trials=25)
    optuna.logging.set_verbosity(verbosity)
    assert ours["value"].tolist() == [trial.value for trial in study.trials]


def test_a_pruner_saves_most_of_the_budget():
    found = search.AdaptiveSearch(SPACE, trials=40, steps=(1, 3, 9, 27), seed=2).run(steps)
    spent = found["epochs"].sum()
    assert spent < 0.5 * 40 * 27
    assert found.best["epochs"] == 27
    stopped = found[found["state"] == "stopped"]
    assert np.isnan(stopped["value"]).all()
    assert np.isfinite(stopped["value_at_1"]).all()
    best = found.complete["value_at_1"].min()
    assert best <= np.nanmin(found["value_at_1"]) + 1e-12  # who leads after a step goes on


def test_gp_needs_torch():
    if importlib.util.find_spec("torch") is not None:
        found = search.AdaptiveSearch(BRANIN, trials=14, sampler="gp").run(branin)
        assert len(found.complete) == 14
        return
    with pytest.raises(ModuleNotFoundError, match=r'torch is not installed.*"nnbook\[gp\]"'):
        search.AdaptiveSearch(BRANIN, trials=14, sampler="gp")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"trials": 0}, ValueError, "trials is 0"),
        ({"sampler": "cma"}, ValueError, "sampler is 'cma'; expected one of 'tpe', 'gp'"),
        ({"sampler": 3}, TypeError, "sampler is 3; expected one of"),
        ({"pruner": "none"}, ValueError, "pruner is 'none'"),
        ({"steps": (3, 1)}, ValueError, "expected numbers that rise"),
        ({"at_once": 0}, ValueError, "at_once is 0"),
        ({"budget": "rate"}, ValueError, "budget is 'rate'"),
    ],
)
def test_wrong_searches(options, error, message):
    with pytest.raises(error, match=message):
        search.AdaptiveSearch(SPACE, **{"trials": 5, **options})


def test_what_it_tries_is_not_known_beforehand():
    with pytest.raises(TypeError, match="depends on what came out"):
        _ = search.AdaptiveSearch(SPACE, trials=5).configurations
