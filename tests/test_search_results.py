"""Tables of results, borders, the best of k, importances."""

import itertools
import json
import math

import numpy as np
import pytest

from nnbook import search
from nnbook.search import categorical, integer, linear, log

SPACE = search.Space(
    rate=log(0.001, 10),
    rule=categorical(["sgd", "momentum"]),
    momentum=linear(0, 1, when={"rule": "momentum"}),
    units=integer(1, 64, log=True),
    layers=integer(1, 3, when={"rule": "sgd"}),
)


def loss(configuration, seed):
    if configuration["rate"] > 5:
        return math.nan
    measure = {"steps": 10 + seed, "quick": configuration["units"] < 8}
    return {"value": abs(math.log10(configuration["rate"])) + 0.1 * seed, **measure}


@pytest.fixture(scope="module")
def results():
    return search.RandomSearch(SPACE, trials=40, seed=1, seeds=2).run(loss)


# -------------------------------------------------------------------------------- tables


def test_columns_and_their_kinds(results):
    assert list(results.columns) == [
        "trial", "seed", "rate", "rule", "momentum", "units", "layers",
        "value", "steps", "quick", "state", "error", "seconds",
    ]  # fmt: skip
    kinds = {name: results[name].dtype.kind for name in results.columns}
    assert kinds["trial"] == kinds["seed"] == kinds["units"] == "i"
    assert kinds["rate"] == kinds["momentum"] == kinds["layers"] == kinds["value"] == "f"
    assert kinds["rule"] == kinds["state"] == kinds["quick"] == "O"
    left_out = np.isnan(results["momentum"])
    assert (left_out == (results["rule"] == "sgd")).all()
    assert (left_out == ~np.isnan(results["layers"])).all()


def test_a_table_cannot_be_written_to(results):
    with pytest.raises(ValueError, match="read-only"):
        results["value"][0] = 0
    with pytest.raises(AttributeError):
        results.space = None


def test_rows_and_parts(results):
    assert len(results) == 80
    assert len(list(results)) == 80
    row = results[3]
    assert (row["trial"], row["seed"], type(row["units"])) == (1, 1, int)
    np.testing.assert_equal(results[-1], results[79])
    np.testing.assert_equal(results[2:4][1], row)
    assert len(results[results["seed"] == 0]) == 40
    assert [r["trial"] for r in results[[5, 1]]] == [2, 0]
    with pytest.raises(KeyError, match="no column 'loss'; there are trial, seed"):
        results["loss"]


def test_a_configuration_has_what_was_asked_for(results):
    asked = search.RandomSearch(SPACE, trials=40, seed=1).configurations
    assert [results.configuration(2 * k) for k in range(40)] == asked
    layers = [c["layers"] for c in asked if "layers" in c]
    assert all(type(n) is int for n in layers)


def test_sorted_and_best(results):
    values = results.sorted["value"]
    complete = len(results.complete)
    assert 0 < complete < 80
    assert (np.diff(values[:complete]) >= 0).all()
    assert np.isnan(values[complete:]).all()
    assert results.best_row["value"] == np.nanmin(results["value"])
    alone = results[results["seed"] == 1]
    np.testing.assert_equal(alone.best, alone.best_row)


def test_the_best_is_a_configuration_and_not_a_lucky_seed():
    luck = {(0.0, 0): -9.0, (0.0, 1): 13.0}

    def evaluate(configuration, seed):
        if configuration["x"] == 0.75 and seed == 1:
            raise FloatingPointError("it diverges half of the time")
        return luck.get((configuration["x"], seed), abs(configuration["x"] - 0.75) + 0.5 * seed)

    found = search.GridSearch(search.Space(x=linear(0, 1)), points=5, seeds=2).run(evaluate)
    assert (found.best_row["x"], found.best_row["value"]) == (0, -9)
    assert (found.best["x"], found.best["value"], found.best["seeds"]) == (0.5, 0.5, 2)
    assert "best value 0.5 at x=0.5, the mean of 2 seeds" in repr(found)
    stopped = found[:5]  # the third configuration has one seed so far
    assert stopped.best["x"] == 0.25
    assert (found[:1].best["x"], found[:1].best["seed"]) == (0, 0)
    unlucky = found[[6, 7]]
    with pytest.raises(ValueError, match="no configuration has a value for each of its seeds"):
        _ = unlucky.best
    assert "best value 0 at x=0.75" in repr(unlucky)
    assert search.borders(found) == []  # the lucky one lies at an end, the best does not


def test_tables_put_together_keep_their_configurations_apart():
    space = search.Space(x=linear(0, 1))
    parts = [search.RandomSearch(space, trials=3, seed=s, seeds=[s]) for s in range(2)]
    rows = [row for part in parts for row in part.run(lambda c, seed: c["x"])]
    table = search.Results.from_rows(rows, space, smaller_is_better=True, planned=6)
    assert table["trial"].tolist() == [0, 1, 2, 0, 1, 2]
    assert len(table.over_seeds()) == 6
    assert table.best == table.best_row


@pytest.mark.parametrize(
    ("choices", "when"),
    [
        ([None, 16, 64], None),
        ([None, 0.1, 0.5], None),
        ([16, 64], {"use": "yes"}),
        ([None, 16], {"use": "yes"}),
        ([1, 0.5], None),
        ([True, 1, 0.5], {"use": "yes"}),
        ([(10,), (10, 20), None], None),
        ([2**60 + 1, 3], {"use": "yes"}),
    ],
)
def test_values_come_back_as_they_were_asked(choices, when, tmp_path):
    space = search.Space(use=categorical(["yes", "no"]), c=categorical(choices, when=when))
    seen = []
    grid = search.GridSearch(space)
    grid.run(lambda c, seed: seen.append(c) or float(len(seen)), path=tmp_path / "study")
    found = grid.run(lambda c, seed: pytest.fail("it ran"), path=tmp_path / "study")
    back = [found.configuration(k) for k in range(len(found))]
    assert list(map(repr, back)) == list(map(repr, seen)) == list(map(repr, space.grid()))
    best = {name: found.best[name] for name in space}
    assert repr(best) == repr(seen[0])
    with_choice = [k for k, c in enumerate(seen) if "c" in c]
    assert [repr(found[k]["c"]) for k in with_choice] == [repr(seen[k]["c"]) for k in with_choice]


def test_children_of_none_and_of_numbers_do_not_vanish():
    space = search.Space(
        clip=categorical([None, 1.0]),
        soft=linear(0, 1, when={"clip": None}),
        units=integer(1, 3, when={"clip": 1.0}),
        deep=linear(0, 1, when={"units": [2, 3]}),
    )
    found = search.GridSearch(space, points=3).run(lambda c, seed: 1.0)
    asked = space.grid(3)
    assert sum("soft" in c for c in asked) == 3
    assert sum("deep" in c for c in asked) == 6
    assert list(map(repr, map(found.configuration, range(len(found))))) == list(map(repr, asked))
    params = [trial.params for trial in found.to_study().trials]
    assert list(map(repr, params)) == list(map(repr, asked))


def test_over_seeds(results):
    means = results.over_seeds()
    assert len(means) == 40
    assert means["trial"].tolist() == list(range(40))
    assert set(means["seeds"]) == {2}
    assert "seed" not in means.columns
    first, second = results["value"][0::2], results["value"][1::2]
    np.testing.assert_allclose(means["value"], (first + second) / 2)
    np.testing.assert_allclose(means["value_std"], np.abs(first - second) / math.sqrt(2))
    complete = means["state"] == "complete"
    np.testing.assert_allclose(means["steps"][complete], 10.5)
    np.testing.assert_array_equal(means["rule"], results["rule"][::2])
    assert means.best["value"] == np.nanmin(means["value"])
    assert means.configuration(7) == results.configuration(14)


def test_one_failed_seed_spoils_the_mean():
    table = search.GridSearch(search.Space(x=linear(0, 1)), points=2, seeds=3).run(
        lambda c, seed: 1 / (c["x"] * (seed - 1) + 1), catch=ZeroDivisionError
    )
    means = table.over_seeds()
    assert means["state"].tolist() == ["complete", "failed"]
    assert means["error"][1].startswith("ZeroDivisionError")
    assert np.isnan(means["value"]).tolist() == [False, True]


def test_to_dict_is_json(results):
    back = json.loads(json.dumps(results.to_dict()))
    assert list(back) == list(results.columns)
    np.testing.assert_array_equal(np.array(back["value"]), results["value"])
    assert back["rule"] == results["rule"].tolist()


def test_to_dataframe(results):
    pandas = pytest.importorskip("pandas")
    frame = results.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["value"].min() == results.best_row["value"]


def test_to_study(results):
    import optuna

    study = results.to_study()
    assert study.best_value == results.best_row["value"]
    assert [trial.params for trial in study.trials] == [
        results.configuration(k) for k in range(len(results))
    ]
    failed = study.get_trials(states=[optuna.trial.TrialState.FAIL])
    assert len(failed) == len(results) - len(results.complete)
    reward = search.GridSearch(search.Space(x=linear(0, 1)), points=3, smaller_is_better=False)
    assert reward.run(lambda c, seed: c["x"]).to_study().best_params == {"x": 1}


def test_what_is_shown(results):
    lines = repr(results).splitlines()
    assert lines[0].startswith("Results(80 of 80 rows: ")
    assert "best value" in lines[0]
    assert len(lines) == 1 + 1 + 13
    assert lines[1].split()[:3] == ["trial", "seed", "rate"]
    assert not any("seconds" in line for line in lines)  # differs from run to run
    assert max(map(len, lines[1:])) < 160


def test_the_html_is_escaped():
    space = search.Space(rule=categorical(["<b>", "a&b"]))
    html = search.GridSearch(space).run(lambda c, seed: 1.0)._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert html.count("<tr>") == 3
    assert "a&amp;b" in html


def test_an_empty_table_is_shown():
    empty = search.Results.from_rows([], SPACE, smaller_is_better=True, planned=3)
    assert repr(empty).startswith("Results(0 of 3 rows: nothing yet)")


# ------------------------------------------------------------------------------- borders


def run_grid(best, points=5, space=None):
    space = space or search.Space(rate=log(0.01, 1), rule=categorical(["a"]))
    return search.GridSearch(space, points=points).run(
        lambda c, seed: abs(math.log10(c["rate"]) - math.log10(best))
    )


def test_a_best_value_at_an_end_is_found_and_the_way_out_said():
    (border,) = search.borders(run_grid(30))
    assert (border.name, border.lower, border.value, border.end) == ("rate", False, 1, 1)
    assert str(border) == (
        "the best rate, 1, lies at the upper end of its range: widen rate above 1"
    )
    (border,) = search.borders(run_grid(1e-5))
    assert "widen rate below 0.01" in str(border)
    assert search.borders(run_grid(0.1)) == []


def test_the_end_has_a_width_on_its_scale():
    space = search.Space(rate=log(0.001, 10))
    results = search.RandomSearch(space, trials=200).run(lambda c, seed: -c["rate"])
    assert results.best["rate"] < 10
    assert [b.name for b in search.borders(results)] == ["rate"]
    inside = search.RandomSearch(space, trials=200).run(lambda c, seed: abs(c["rate"] - 0.002))
    assert search.borders(inside) == []  # close to 0.001, but not in the logarithm
    assert len(search.borders(inside, share=0.1)) == 1


def test_more_than_half_of_the_best_must_agree():
    values = {0.01: 0.0, 0.1: 0.1, 1.0: 0.2}
    results = search.GridSearch(search.Space(rate=log(0.01, 1)), points=3).run(
        lambda c, seed: values[c["rate"]]
    )
    assert len(search.borders(results, top=1)) == 1
    assert search.borders(results, top=2) == []


def test_conditions_and_limits():
    space = search.Space(
        rule=categorical(["sgd", "momentum"]),
        momentum=linear(0, 0.9, when={"rule": "momentum"}, limits=(0, 1)),
    )

    def run(best, rule):
        return search.GridSearch(space, points=10).run(
            lambda c, seed: abs(c.get("momentum", 0) - best) + (c["rule"] != rule)
        )

    assert search.borders(run(0.9, "sgd")) == []  # the best has no momentum
    assert search.borders(run(0, "momentum")) == []  # and cannot have less
    (border,) = search.borders(run(0.9, "momentum"))
    assert search.widen(space, [border])["momentum"] == linear(
        0, 1, when={"rule": "momentum"}, limits=(0, 1)
    )


def test_widening_until_the_best_lies_inside_ends():
    space, best = search.Space(rate=log(1e-4, 1e-3), units=integer(1, 4, log=True)), (0.3, 60)
    rounds = 0
    while True:
        results = search.GridSearch(space, points=6).run(
            lambda c, seed: abs(math.log(c["rate"] / best[0])) + abs(math.log(c["units"] / best[1]))
        )
        found = search.borders(results)
        if not found:
            break
        space = search.widen(space, found, by=1)
        rounds += 1
    assert 2 <= rounds < 8
    assert space["rate"].low == 1e-4
    assert space["rate"].high > 0.3
    assert space["units"].high > 60


def test_widened_ranges_are_round_and_whole():
    space = search.Space(
        a=log(0.01, 1), b=integer(1, 8, log=True), c=linear(-1, 1), d=integer(1, 5)
    )
    ends = [search.Border(n, lower, 0, 0) for n in space for lower in (True, False)]
    wide = search.widen(space, ends[::2])
    assert [(d.low, d.high) for d in wide.values()] == [(0.001, 1), (1, 8), (-2, 1), (-1, 5)]
    wide = search.widen(space, ends[1::2], by=1)
    assert [(d.low, d.high) for d in wide.values()] == [(0.01, 100), (1, 64), (-1, 3), (1, 9)]


def test_wrong_borders():
    with pytest.raises(ValueError, match=r"share is 0\.5"):
        search.borders(run_grid(1), share=0.5)
    with pytest.raises(ValueError, match="top is 0"):
        search.borders(run_grid(1), top=0)
    with pytest.raises(ValueError, match="by is 0"):
        search.widen(SPACE, [], by=0)


# ---------------------------------------------------------------------------- the best of k


def test_the_best_of_k_is_the_mean_over_all_subsets():
    values = np.random.default_rng(0).normal(size=7)
    for smaller, best in ((True, min), (False, max)):
        found = search.best_of(values, smaller_is_better=smaller)
        expected = [
            np.mean([best(subset) for subset in itertools.combinations(values, k)])
            for k in range(1, 8)
        ]
        np.testing.assert_allclose(found.expected, expected, rtol=1e-10)
        assert found.trials.tolist() == list(range(1, 8))


def test_the_best_of_k_is_unbiased():
    # The smallest of k uniform numbers is 1 / (k + 1) on average.
    rng = np.random.default_rng(1)
    estimates = np.array([search.best_of(rng.random(20)).expected for _ in range(2000)])
    error = estimates.std(axis=0) / math.sqrt(2000)
    expected = 1 / (np.arange(1, 21) + 1)
    assert (np.abs(estimates.mean(axis=0) - expected) < 4 * error).all()


def test_the_band_is_the_bootstrap():
    rng = np.random.default_rng(2)
    values = rng.normal(size=30)
    found = search.best_of(values, confidence=0.8)
    for k in (1, 3, 12, 30):
        best = rng.choice(values, size=(20_000, k)).min(axis=1)
        low, high = np.quantile(best, [0.1, 0.9], method="inverted_cdf")
        order = np.sort(values)
        for exact, sampled in ((found.low[k - 1], low), (found.high[k - 1], high)):
            assert abs(np.searchsorted(order, exact) - np.searchsorted(order, sampled)) <= 1
    assert (found.low <= found.high).all()


def test_the_band_turns_over_with_the_values():
    values = np.random.default_rng(3).normal(size=15)
    small, large = search.best_of(values), search.best_of(-values, smaller_is_better=False)
    np.testing.assert_allclose(large.expected, -small.expected)
    np.testing.assert_array_equal(large.low, -small.high)
    np.testing.assert_array_equal(large.high, -small.low)


def test_many_trials_and_failed_ones():
    values = np.random.default_rng(4).random(1000)
    found = search.best_of(values)
    assert np.isfinite(found.expected).all()
    assert found.expected[-1] == pytest.approx(values.min())
    np.testing.assert_allclose(
        search.best_of([1.0, math.nan, 3.0]).expected, search.best_of([1.0, 3.0, 3.0]).expected
    )
    with pytest.raises(ValueError, match="0 finite numbers"):
        search.best_of([math.nan])


def test_a_table_knows_which_is_better():
    table = search.GridSearch(search.Space(x=linear(0, 1)), points=3, smaller_is_better=False)
    assert search.best_of(table.run(lambda c, seed: c["x"])).expected[-1] == 1


# ------------------------------------------------------------------------------ importance


CUBE = search.Space(
    x=linear(0, 1), y=log(0.01, 1), z=integer(1, 9), kind=categorical(["a", "b", "c"])
)


def wave(noise):
    def value(c, seed):
        rng = np.random.default_rng(int(1e9 * c["x"]))
        shift = {"a": 0, "b": 1, "c": 2}[c["kind"]]
        return 3 * c["x"] + math.log10(c["y"]) + shift + noise * rng.normal()

    return value


def test_shares_are_those_of_an_additive_function():
    # Variances: 9 / 12, 4 / 12, 0, 2 / 3, and the noise's 1 / 4: together 2.
    results = search.RandomSearch(CUBE, trials=2000).run(wave(0.5))
    found = search.importance(results, ranks=False, resamples=100)
    shares = dict(zip(found.names, found.share, strict=True))
    assert found.names == ["x", "kind", "y", "z"]
    for name, expected in (("x", 3 / 8), ("y", 1 / 6), ("z", 0), ("kind", 1 / 3)):
        assert shares[name] == pytest.approx(expected, abs=0.03)
    assert (found.low <= found.share).all()
    assert (found.share <= found.high).all()


def test_what_does_nothing_has_no_share_on_average():
    space = search.Space(x=linear(0, 1), kind=categorical(["a", "b", "c"]))
    shares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        results = search.RandomSearch(space, trials=40, seed=seed).run(
            lambda c, s, rng=rng: rng.normal()
        )
        found = search.importance(results, resamples=2)
        shares.append(found.share)
    assert abs(np.mean(shares)) < 3 * np.std(shares) / math.sqrt(60)


def test_the_interval_covers():
    hits = []
    for seed in range(60):
        results = search.RandomSearch(CUBE, trials=100, seed=seed).run(wave(0.5))
        found = search.importance(results, ranks=False, resamples=200)
        k = found.names.index("kind")
        hits.append(found.low[k] < 1 / 3 < found.high[k])
    assert 0.85 < np.mean(hits) <= 1


def test_failed_trials_count_as_the_worst_rank():
    space = search.Space(rate=log(0.01, 1), other=linear(0, 1))
    results = search.RandomSearch(space, trials=120).run(
        lambda c, seed: math.nan if c["rate"] > 0.1 else 1 + c["other"] / 100
    )
    found = search.importance(results)
    assert found.names[0] == "rate"
    assert found.share[0] > 0.5
    assert search.importance(results, ranks=False).names[0] == "other"


def test_a_conditional_one_is_judged_where_it_is():
    space = search.Space(
        rule=categorical(["sgd", "momentum"]), momentum=linear(0, 1, when={"rule": "momentum"})
    )
    results = search.RandomSearch(space, trials=400).run(
        lambda c, seed: c.get("momentum", 0) + 10 * (c["rule"] == "sgd")
    )
    found = search.importance(results, ranks=False)
    assert set(found.names) == {"momentum", "rule"}
    assert found.share.min() > 0.95


def test_importance_is_shown_and_repeatable():
    results = search.RandomSearch(CUBE, trials=50).run(wave(0.5))
    first, second = search.importance(results), search.importance(results)
    assert repr(first) == repr(second)
    assert len(repr(first).splitlines()) == 4
    assert repr(first).splitlines()[0].split()[0] == first.names[0]


def test_optunas_importance_needs_nothing_more():
    import optuna

    results = search.RandomSearch(CUBE, trials=100).run(wave(0.1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *args, **kwargs: None)  # experimental before 5.0
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(results.to_study(), evaluator=evaluator)
    assert set(found) == set(CUBE)
    assert next(iter(found)) in ("x", "kind")


@pytest.mark.parametrize(
    ("change", "message"),
    [({"bins": 1}, "bins is 1"), ({"confidence": 1}, "confidence is 1")],
)
def test_wrong_importance(change, message):
    results = search.RandomSearch(CUBE, trials=20).run(wave(0.5))
    with pytest.raises(ValueError, match=message):
        search.importance(results, **change)
    with pytest.raises(ValueError, match="there are 9 trials"):
        search.importance(results[:9])
    flat = search.RandomSearch(CUBE, trials=20).run(lambda c, seed: 1.0)
    with pytest.raises(ValueError, match="all values are equal"):
        search.importance(flat)
