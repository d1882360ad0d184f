"""Low-discrepancy points, one dimension at a time, coarse to fine: held to plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import qmc

from nnbook import search
from nnbook.search import categorical, integer, linear, log
from tests.tables import same

SQUARE = search.Space(x=linear(-1, 1), y=linear(-1, 1))
MIXED = search.Space(
    rate=log(1e-4, 1),
    rule=categorical(["sgd", "momentum"]),
    momentum=linear(0, 1, when={"rule": "momentum"}),
    width=integer(1, 100, log=True),
)


def mixed(configuration, seed):
    if configuration["rate"] > 0.5:
        raise FloatingPointError("too large")
    far = abs(math.log10(configuration["rate"]) + 2) + 0.1 * seed
    return far + abs(configuration.get("momentum", 0.4) - 0.9) + 1 / configuration["width"]


class Killed(BaseException):
    pass


def killed(function, after):
    calls = []

    def run(configuration, seed):
        calls.append(configuration)
        if len(calls) == after:
            raise Killed
        return function(configuration, seed)

    return run


@pytest.mark.parametrize(
    "plan",
    [
        search.SobolSearch(MIXED, trials=11, seeds=2),
        search.CoordinateSearch(MIXED.replace(momentum=linear(0, 1)), points=4, rounds=2),
        search.CoarseToFine(MIXED, trials=6, rounds=3, seeds=2),
    ],
    ids=lambda plan: type(plan).__name__,
)
def test_a_search_that_is_killed_goes_on_the_same(plan, tmp_path):
    whole = plan.run(mixed)
    for after in (1, 5, 12, 17):
        path = tmp_path / f"study-{after}"
        with pytest.raises(Killed):
            plan.run(killed(mixed, after), path=path)
        assert same(plan.run(mixed, path=path), whole)


# ----------------------------------------------------------------------------------- Sobol


def test_sobol_points_are_scipys_and_more_of_them_continue():
    few, many = (search.SobolSearch(SQUARE, trials=n, seed=4) for n in (5, 64))
    assert few.configurations == many.configurations[:5]
    points = np.array([[(c["x"] + 1) / 2, (c["y"] + 1) / 2] for c in many.configurations])
    boxes = {tuple(box) for box in (points * 8).astype(int)}
    assert len(boxes) == 64  # a (0, 6, 2)-net: one in each of the 64 squares
    chance = np.random.default_rng(0).random((64, 2))
    assert qmc.discrepancy(points) < 0.2 * qmc.discrepancy(chance)
    other = search.SobolSearch(SQUARE, trials=5, seed=5)
    assert other.configurations != few.configurations


def test_sobol_samples_any_space():
    for configuration in search.SobolSearch(MIXED, trials=20).configurations:
        assert all(configuration[name] in MIXED[name] for name in configuration)
        assert ("momentum" in configuration) == (configuration["rule"] == "momentum")


# ------------------------------------------------------------------------ along coordinates


def by_hand(function, points, rounds):
    """Coordinate search on [-1, 1]² in plain loops."""
    best = np.zeros(2)
    tried = [best]
    value = function(*best)
    for k in range(rounds):
        for axis in range(2):
            width = 2 * 0.5**k
            low = min(max(best[axis] - width / 2, -1), 1 - width)
            line = []
            for one in np.linspace(low, low + width, points):
                point = best.copy()
                point[axis] = one
                line.append(point)
            tried += line
            values = [function(*point) for point in line]
            if min(values) < value:
                value, best = min(values), line[int(np.argmin(values))]
    return np.array(tried), value


@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_coordinate_search_is_the_plain_loop(angle):
    cos, sin = math.cos(angle), math.sin(angle)

    def valley(x, y):
        u, v = cos * (x - 0.4) + sin * (y - 0.3), -sin * (x - 0.4) + cos * (y - 0.3)
        return u**2 + 100 * v**2

    plan = search.CoordinateSearch(SQUARE, points=5, rounds=4)
    found = plan.run(lambda c, seed: valley(c["x"], c["y"]))
    tried, value = by_hand(valley, 5, 4)
    assert len(found) == plan.size == 1 + 4 * 2 * 5
    np.testing.assert_allclose(np.stack([found["x"], found["y"]], axis=1), tried, atol=1e-12)
    assert found.best["value"] == pytest.approx(value)


def test_coordinate_search_stops_short_in_a_valley_that_lies_across():
    def along(angle):
        cos, sin = math.cos(angle), math.sin(angle)

        def valley(c, seed):
            u, v = cos * (c["x"] - 0.8) + sin * (c["y"] - 0.7), None
            v = -sin * (c["x"] - 0.8) + cos * (c["y"] - 0.7)
            return u**2 + 1000 * v**2

        return search.CoordinateSearch(SQUARE, points=9, rounds=6, shrink=0.6).run(valley)

    assert along(0.0).best["value"] < 1e-3
    assert along(0.7).best["value"] > 100 * along(0.0).best["value"]


def test_coordinate_search_takes_choices_and_whole_numbers():
    space = search.Space(rule=categorical(["a", "b", "c"]), depth=integer(1, 3))
    plan = search.CoordinateSearch(space, points=5, rounds=1, start={"rule": "b", "depth": 1})
    found = plan.run(lambda c, seed: (c["rule"] != "c") + abs(c["depth"] - 3))
    assert list(found["rule"]) == ["b", "a", "b", "c", "c", "c", "c"]
    assert list(found["depth"]) == [1, 1, 1, 1, 1, 2, 3]
    assert found.best["value"] == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: search.CoordinateSearch(MIXED), "momentum has a condition"),
        (lambda: search.CoordinateSearch(SQUARE, points=1), "points is 1"),
        (lambda: search.CoordinateSearch(SQUARE, shrink=0), "shrink is 0"),
        (lambda: search.CoordinateSearch(SQUARE, start={"x": 0.5}), "start is"),
        (lambda: search.CoordinateSearch(SQUARE, start={"x": 0.5, "y": 3}), "start is"),
        (lambda: search.CoarseToFine(SQUARE, trials=1), "trials is 1"),
        (lambda: search.CoarseToFine(SQUARE, trials=4, keep=1), "keep is 1"),
        (lambda: search.CoarseToFine(SQUARE, trials=4, steps=[1, 2]), "expected 3 numbers"),
        (lambda: search.CoarseToFine(SQUARE, trials=4, steps=[3, 2, 1]), "do not fall"),
        (lambda: search.CoarseToFine(SQUARE, trials=4, budget="x"), "has already"),
        (lambda: search.SobolSearch(SQUARE, trials=0), "trials is 0"),
    ],
)
def test_wrong_searches(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# -------------------------------------------------------------------------- coarse to fine


def test_each_round_lies_where_the_best_of_the_last_one_do():
    plan = search.CoarseToFine(MIXED, trials=20, rounds=3, keep=0.25, seed=1)
    found = plan.run(mixed)
    for begin in (20, 40):
        last = found[begin - 20 : begin].sorted[:5]
        now = found[begin : begin + 20]
        units, inside = MIXED.units("rate", last["rate"]), MIXED.units("rate", now["rate"])
        margin = np.ptp(units) / 4
        assert units.min() - margin <= inside.min()
        assert inside.max() <= units.max() + margin
        assert set(now["rule"]) <= set(last["rule"])
    spans = [np.ptp(MIXED.units("rate", found["rate"][k : k + 20])) for k in (0, 20, 40)]
    assert spans[0] > 0.7
    assert spans[2] < 0.5 * spans[0]
    assert found[40:]["value"].mean() < found[:20].complete["value"].mean()


def test_rounds_may_have_budgets():
    def evaluate(configuration, seed):
        return abs(configuration["x"]) + 1 / configuration["epochs"]

    plan = search.CoarseToFine(SQUARE, trials=5, rounds=3, steps=[1, 5, 20])
    found = plan.run(evaluate)
    assert found["epochs"].tolist() == 5 * [1] + 5 * [5] + 5 * [20]
    assert found["state"].tolist() == 10 * ["stopped"] + 5 * ["complete"]
    assert found.best["epochs"] == 20
    np.testing.assert_allclose(found["value_at_5"][5:10], np.abs(found["x"][5:10]) + 0.2)


def test_a_round_without_any_value_narrows_nothing():
    def fails(configuration, seed):
        raise FloatingPointError("always")

    with pytest.warns(RuntimeWarning, match="none of the 20 trials"):
        found = search.CoarseToFine(SQUARE, trials=10, rounds=2).run(fails)
    assert np.ptp(found["x"][10:]) > 1
