"""Successive halving and Hyperband: who goes on, at what cost, and after a kill."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nnbook import search
from nnbook.search.halving import Bracket

SPACE = search.Space(x=search.linear(0, 1), rate=search.log(0.01, 1))


def noisy(configuration, seed):
    """Short runs say little: a fixed noise, which fades."""
    if configuration["x"] > 0.95:
        raise FloatingPointError("diverged")
    wobble = math.sin(1000 * configuration["x"] + seed) / configuration["epochs"]
    return abs(configuration["x"] - 0.3) + 0.3 * wobble


def by_hand(plan, bracket):
    """The bracket in plain loops: {trial: (epochs, values after each step)}."""
    numbers = list(range(bracket.first, bracket.first + bracket.sizes[0]))
    found = {number: [] for number in numbers}
    for k, step in enumerate(bracket.steps):
        value = {}
        for number in numbers:
            values = []
            for seed in plan.seeds:
                configuration = {**plan.configuration(number), "epochs": step}
                try:
                    values.append(noisy(configuration, seed))
                except FloatingPointError:
                    values.append(math.inf)
            value[number] = math.fsum(values) / len(values)
            found[number].append(value[number])
        if k + 1 < len(bracket.steps):
            numbers = sorted(numbers, key=lambda n: (value[n], n))[: bracket.sizes[k + 1]]
    return found


PLANS = [
    search.SuccessiveHalving(SPACE, trials=27, most=27, seed=1),
    search.SuccessiveHalving(SPACE, trials=10, most=8, least=2, factor=2, seeds=3),
    search.Hyperband(SPACE, most=9, seeds=2),
]


@pytest.mark.parametrize("plan", PLANS, ids=repr)
def test_what_goes_on_is_what_plain_loops_keep(plan):
    found = plan.run(noisy, progress=False)
    table = found.over_seeds() if len(plan.seeds) > 1 else found
    for bracket in plan.brackets:
        expected = by_hand(plan, bracket)
        for row in table:
            if row["trial"] not in expected:
                continue
            values = [v for v in expected[row["trial"]] if math.isfinite(v)]
            for step, value in zip(bracket.steps, values, strict=False):
                assert row[f"value_at_{step}"] == pytest.approx(value)
            whole = len(values) == len(bracket.steps)
            assert (row["state"] == "complete") == whole
            if row["state"] == "stopped":
                assert row["epochs"] == bracket.steps[len(values) - 1]
                assert row["error"] == f"stopped after epochs={row['epochs']:.0f}"
    assert found.best["epochs"] == plan.most


def test_the_brackets_are_those_of_the_paper():
    # n = ⌈(s_max + 1) ηˢ / (s + 1)⌉ configurations begin with R η⁻ˢ.
    plan = search.Hyperband(SPACE, most=81)
    assert [b.sizes[0] for b in plan.brackets] == [
        math.ceil(5 * 3**s / (s + 1)) for s in (4, 3, 2, 1, 0)
    ]
    assert [b.steps for b in plan.brackets][:2] == [(1, 3, 9, 27, 81), (3, 9, 27, 81)]
    assert plan.brackets[0] == Bracket(0, (81, 27, 9, 3, 1), (1, 3, 9, 27, 81))
    assert plan.size == sum(b.sizes[0] for b in plan.brackets)


@pytest.mark.parametrize(("most", "least", "steps"), [(27, 1, (1, 3, 9, 27)), (20, 2, (2, 6, 20))])
def test_steps_end_with_the_most(most, least, steps):
    plan = search.SuccessiveHalving(SPACE, trials=9, most=most, least=least)
    assert plan.brackets[0].steps == steps


class Killed(BaseException):
    pass


@pytest.mark.parametrize("plan", PLANS[1:], ids=repr)
def test_a_search_that_is_killed_goes_on_the_same_and_repeats_nothing(plan, tmp_path):
    calls = []

    def counted(configuration, seed, after=None):
        calls.append((configuration["x"], configuration["epochs"], seed))
        if after is not None and len(calls) == after:
            raise Killed
        return noisy(configuration, seed)

    whole = plan.run(counted)
    every = sorted(calls)
    for after in range(2, len(every), 7):
        calls.clear()
        path = tmp_path / f"{after}"
        with pytest.raises(Killed):
            plan.run(lambda c, s, after=after: counted(c, s, after), path=path)
        calls.pop()  # what was being evaluated
        found = plan.run(counted, path=path)
        assert sorted(calls) == every
        for name in whole.columns:
            if name != "seconds":
                np.testing.assert_array_equal(found[name], whole[name], err_msg=name)


def test_a_step_is_a_batch_and_checkpoints_save_the_epochs_before(tmp_path):
    trained = []

    def train(configuration, seed):
        job = search.this_job()
        epoch, state = job.load() or (0, {"x": 1.0})
        while epoch < configuration["epochs"]:
            epoch += 1
            trained.append(epoch)
            state["x"] *= 1 - 0.1 * configuration["rate"]
            job.save(epoch, state, val_loss=state["x"])
        return state["x"]

    plan = search.SuccessiveHalving(SPACE, trials=9, most=9)
    found = plan.run(train, path=tmp_path / "study")
    assert len(trained) == 6 * 1 + 2 * 3 + 1 * 9
    assert found.best["rate"] == found["rate"].max()
    sizes = []

    def together(configurations, seeds):
        sizes.append({c["epochs"] for c in configurations})
        return [(1 - 0.1 * c["rate"]) ** c["epochs"] for c in configurations]

    np.testing.assert_allclose(plan.run(evaluate_many=together)["value"], found["value"])
    assert sizes == [{1}, {3}, {9}]


def test_larger_may_be_better():
    plan = search.SuccessiveHalving(SPACE, trials=9, most=9, smaller_is_better=False)
    found = plan.run(lambda c, seed: c["x"])
    assert found.best["x"] == found["x"].max()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: search.SuccessiveHalving(SPACE, 0, 9), ValueError, "trials is 0"),
        (lambda: search.SuccessiveHalving(SPACE, 9, 9, least=10), ValueError, "least is 10"),
        (lambda: search.Hyperband(SPACE, 9, factor=1), ValueError, "factor is 1"),
        (lambda: search.Hyperband(SPACE, 9, budget="x"), ValueError, "budget is 'x'"),
        (lambda: search.Hyperband(SPACE, 9, budget="value"), ValueError, "budget is 'value'"),
        (lambda: search.Hyperband({}, 9), TypeError, "expected a nnbook.search.Space"),
    ],
)
def test_wrong_searches(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_study_of_optuna_knows_who_was_stopped():
    optuna = pytest.importorskip("optuna")
    study = PLANS[0].run(noisy).to_study()
    states = [trial.state for trial in study.trials]
    assert states.count(optuna.trial.TrialState.COMPLETE) == 1
    pruned = next(t for t in study.trials if t.state == optuna.trial.TrialState.PRUNED)
    assert list(pruned.intermediate_values) == [1]
