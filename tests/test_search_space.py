"""Dimensions and spaces: what they are made of, how they are sampled, grids, widening."""

import math

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nnbook import search
from nnbook.search import categorical, integer, linear, log

RULES = ["sgd", "momentum", "nesterov"]
SPACE = search.Space(
    rate=log(1e-4, 1),
    rule=categorical(RULES),
    momentum=linear(0.5, 1, when={"rule": ["momentum", "nesterov"]}),
    units=integer(8, 512, log=True),
    layers=integer(1, 3),
    widths=categorical([(10,), (10, 20)]),
)


def samples(space, n=4000, seed=0):
    return [space.sample(np.random.default_rng([seed, k])) for k in range(n)]


# ----------------------------------------------------------------------- distributions


def test_log_is_uniform_in_the_logarithm():
    space = search.Space(rate=log(1e-4, 1))
    rates = np.log10([c["rate"] for c in samples(space)])
    assert stats.kstest(rates, stats.uniform(-4, 4).cdf).pvalue > 0.01
    assert stats.kstest(10**rates, stats.uniform(0, 1).cdf).pvalue < 1e-10


def test_linear_is_uniform():
    space = search.Space(dropout=linear(-1, 3))
    values = [c["dropout"] for c in samples(space)]
    assert stats.kstest(values, stats.uniform(-1, 4).cdf).pvalue > 0.01


def test_every_integer_is_as_likely():
    space = search.Space(layers=integer(1, 4))
    counts = np.bincount([c["layers"] for c in samples(space)], minlength=6)
    assert counts[[0, 5]].sum() == 0
    assert stats.chisquare(counts[1:5]).pvalue > 0.01


def test_integers_are_uniform_in_the_logarithm_as_optuna_has_them():
    space = search.Space(units=integer(1, 8, log=True))
    counts = np.bincount([c["units"] for c in samples(space)])[1:]
    edges = np.log(np.arange(0.5, 9))
    expected = np.diff(edges) / (edges[-1] - edges[0])
    assert stats.chisquare(counts, 4000 * expected).pvalue > 0.01


def test_choices_are_as_likely():
    counts = np.unique([c["rule"] for c in samples(SPACE)], return_counts=True)[1]
    assert stats.chisquare(counts).pvalue > 0.01


def test_samples_are_in_the_space_and_conditions_hold():
    for configuration in samples(SPACE, 200):
        assert ("momentum" in configuration) == (configuration["rule"] != "sgd")
        for name, value in configuration.items():
            assert value in SPACE[name]
        assert type(configuration["units"]) is int


def test_a_dimension_at_the_end_changes_none_before():
    more = search.Space(**SPACE, extra=linear(0, 1))
    for k in range(20):
        before = SPACE.sample(np.random.default_rng(k))
        after = more.sample(np.random.default_rng(k))
        del after["extra"]
        assert after == before


@settings(max_examples=50, deadline=None)
@given(st.floats(0, 1))
def test_every_part_of_the_range_gives_a_value_in_it(u):
    for dimension in SPACE.values():
        assert dimension.at(u) in dimension


def test_units_undo_the_scale():
    rates = [1e-4, 0.01, 1, math.nan]
    np.testing.assert_allclose(SPACE.units("rate", rates), [0, 0.5, 1, np.nan], atol=1e-12)
    np.testing.assert_allclose(SPACE.units("layers", [1, 2, 3]), [0, 0.5, 1])
    with pytest.raises(ValueError, match="rule has no order"):
        SPACE.units("rule", [0])


# --------------------------------------------------------------------------------- grids


@pytest.mark.parametrize(("k", "d"), [(1, 3), (2, 4), (5, 2), (3, 3)])
def test_a_grid_of_k_points_in_d_dimensions_has_k_to_the_d(k, d):
    space = search.Space(**{f"x{j}": linear(0, 1) for j in range(d)})
    grid = space.grid(k)
    assert len(grid) == len({tuple(c.values()) for c in grid}) == k**d


def test_a_grid_reaches_from_end_to_end_on_its_scale():
    grid = search.Space(rate=log(0.001, 10)).grid(5)
    assert [c["rate"] for c in grid] == [0.001, 0.01, 0.1, 1.0, 10.0]
    grid = search.Space(dropout=linear(0, 0.5), layers=integer(1, 2)).grid(3)
    assert [c["dropout"] for c in grid[::2]] == [0, 0.25, 0.5]
    assert [c["layers"] for c in grid[:2]] == [1, 2]  # there is none between


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1e-9, 1e9),
    st.floats(1.0000001, 1e6),
    st.sampled_from([log, linear]),
    st.integers(2, 7),
)
def test_the_ends_are_in_the_grid_as_they_were_given(low, factor, kind, count):
    high = low * factor
    points = kind(low, high).points(count)
    assert (points[0], points[-1]) == (low, high)
    assert all(low <= point <= high for point in points)


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1e-9, 1e9),
    st.floats(1.0000001, 1e3),
    st.sampled_from([log, linear]),
    st.floats(1e-3, 2),
)
def test_widening_moves_one_end_outwards_and_no_other(low, factor, kind, by):
    one = kind(low, low * factor)
    assert one.widened(True, by).high == one.high
    assert one.widened(False, by).low == one.low
    assert one.widened(True, by).low < one.low
    assert one.widened(False, by).high > one.high


def test_given_points_are_values_of_their_dimension():
    space = search.Space(
        rate=log(0.1, 10), units=integer(1, 9), rule=categorical([1, 2.5]), plain=linear(0, 1)
    )
    grid = space.grid({"rate": [1], "units": [np.int64(3), 4.0], "rule": [1.0], "plain": [0]})
    assert [repr(tuple(c.values())) for c in grid] == ["(1.0, 3, 1, 0.0)", "(1.0, 4, 1, 0.0)"]
    with pytest.raises(ValueError, match=r"points has \[True\] for plain"):
        space.grid({"rate": [1], "units": 1, "plain": [True]})


def test_one_point_lies_in_the_middle():
    assert search.Space(rate=log(0.01, 1), layers=integer(1, 3)).grid(1) == [
        {"rate": pytest.approx(0.1), "layers": 2}
    ]


def test_a_condition_leaves_configurations_out_of_the_grid():
    space = search.Space(rule=categorical(RULES), momentum=SPACE["momentum"])
    grid = space.grid(4)
    assert len(grid) == 1 + 4 + 4
    assert grid[0] == {"rule": "sgd"}


def test_points_may_be_given_one_by_one():
    grid = SPACE.grid(
        {"rate": [0.1, 0.3], "rule": ["sgd"], "momentum": 2, "units": [8], "layers": 1}
    )
    assert len(grid) == 2 * 1 * 1 * 1 * 2
    assert {c["rate"] for c in grid} == {0.1, 0.3}


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (None, "how many values of rate"),
        ({"rate": 3}, "how many values of momentum"),
        (0, "number of points is 0; expected a whole"),
        ({"rate": [2.0]}, r"points has \[2.0\] for rate"),
        ({"rate": []}, "points has no value for rate"),
        (dict.fromkeys(["rate", "momentum", "units", "layers", "mass"], 2), r"names \['mass'\]"),
    ],
)
def test_wrong_points(points, message):
    with pytest.raises(ValueError, match=message):
        SPACE.grid(points)


# ------------------------------------------------------------------------------ in Optuna


def test_optuna_samples_the_same_distributions():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    found = [SPACE.suggest(study.ask()) for _ in range(300)]
    for configuration in found:
        assert ("momentum" in configuration) == (configuration["rule"] != "sgd")
        assert all(value in SPACE[name] for name, value in configuration.items())
    rates = np.log10([c["rate"] for c in found])
    assert stats.kstest(rates, stats.uniform(-4, 4).cdf).pvalue > 0.01
    assert {c["widths"] for c in found} == {(10,), (10, 20)}


def test_optuna_chooses_what_it_is_offered():
    space = search.Space(a=categorical([True, 1, None, (1,)]), b=categorical(["(1,)", (1,)]))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = [space.suggest(study.ask(space.to_optuna())) for _ in range(60)]
    for name, choices in (("a", {"True", "1", "None", "(1,)"}), ("b", {"'(1,)'", "(1,)"})):
        assert {repr(configuration[name]) for configuration in found} == choices


def test_distributions():
    found = SPACE.to_optuna()
    assert found["rate"] == optuna.distributions.FloatDistribution(1e-4, 1, log=True)
    assert found["momentum"] == optuna.distributions.FloatDistribution(0.5, 1)
    assert found["units"] == optuna.distributions.IntDistribution(8, 512, log=True)
    assert found["rule"] == optuna.distributions.CategoricalDistribution(RULES)


# ---------------------------------------------------------------------------- what is shown


def test_a_space_is_written_as_it_is_made():
    assert eval(repr(SPACE), {**vars(search)}) == SPACE
    limited = search.Space(dropout=linear(0, 0.5, limits=(0, 1)), size=integer(1, 9, log=True))
    assert eval(repr(limited), {**vars(search)}) == limited


def test_spaces_are_equal_when_their_dimensions_are():
    assert search.Space(**SPACE) == SPACE
    assert SPACE.replace(rate=log(1e-4, 0.5)) != SPACE
    first, *others = SPACE
    assert search.Space(**{n: SPACE[n] for n in [*others, first]}) != SPACE


# ------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: log(0, 1), ValueError, "low is 0; a logarithmic range starts above 0"),
        (lambda: log(-1, 1), ValueError, "low is -1"),
        (lambda: log(1, 0.1), ValueError, r"1 to 0.1; expected low < high"),
        (lambda: linear(0, math.nan), ValueError, "high end is nan; expected a finite"),
        (lambda: linear(0, math.inf), ValueError, "high end is inf; expected a finite"),
        (lambda: linear("0", 1), TypeError, "low end is '0'; expected a finite"),
        (lambda: linear(False, 1), TypeError, "low end is False; expected a"),
        (lambda: linear(0, 2, limits=(0, 1)), ValueError, "beyond its limits"),
        (lambda: integer(1.0, 3), TypeError, "expected whole numbers"),
        (lambda: integer(0, 3, log=True), ValueError, "starts at 1 or above"),
        (lambda: integer(3, 3), ValueError, "low < high"),
        (lambda: categorical([]), ValueError, "choices is empty"),
        (lambda: categorical("sgd"), TypeError, "expected a list"),
        (lambda: categorical(["a", "b", "a"]), ValueError, "'a' twice"),
        (lambda: categorical([len]), TypeError, "choose by name"),
        (lambda: categorical([0.1, math.nan]), ValueError, "NaN stands for"),
        (lambda: linear(0, 1, when="rule"), TypeError, "expected a dict"),
        (lambda: search.Space(), ValueError, "no dimension"),
        (lambda: search.Space(rate=0.1), TypeError, "rate is 0.1; expected log"),
        (lambda: search.Space(value=linear(0, 1)), ValueError, "called 'value'"),
        (lambda: search.Space(x=linear(0, 1, when={"y": 1})), ValueError, "no dimension before"),
        (
            lambda: search.Space(x=linear(0, 1, when={"y": 1}), y=integer(0, 1)),
            ValueError,
            "x depends on 'y'",
        ),
        (
            lambda: search.Space(rule=categorical(RULES), x=linear(0, 1, when={"rule": "adam"})),
            ValueError,
            "being 'adam', which it never is",
        ),
    ],
)
def test_wrong_dimensions(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_true_is_not_one():
    both = categorical([True, 1])
    assert [type(choice) for choice in both.choices] == [bool, int]
    space = search.Space(a=both, b=linear(0, 1, when={"a": True}))
    assert [("b" in c) for c in space.grid(1)] == [True, False]
