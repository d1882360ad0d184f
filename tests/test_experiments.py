"""Fair comparisons: equal budgets, interior optima, seeds apart, pairs, and the panel of tasks."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest

from nnbook import experiments, search
from nnbook.experiments import Arm, AtLeast, Experiment, first_below
from nnbook.experiments.named import call, check_knobs

RATE = search.log(0.001, 1)


def bowl(seed, learning_rate, best=0.03, height=0.0, noise=0.0):
    """A loss whose best rate is known; what a seed brings is shared by all arms."""
    luck = np.random.default_rng(seed).normal()
    return height + np.log10(learning_rate / best) ** 2 + noise * luck


def arms(**settings):
    return [Arm(name, learning_rate=RATE, **more) for name, more in settings.items()]


# ------------------------------------------------------------------ arms and numbers


def test_an_arm_tunes_what_is_a_range_and_keeps_the_rest():
    arm = Arm("raw", inputs="raw", learning_rate=RATE, units=search.categorical([4, 8]))
    assert list(arm.space) == ["learning_rate", "units"]
    assert arm.fixed == {"inputs": "raw"}
    assert Arm("plain").space is None
    assert repr(Arm("a", momentum=0.9)) == "Arm('a', momentum=0.9)"


def test_arms_are_checked():
    with pytest.raises(TypeError, match="the arm's name is 3"):
        Arm(3)
    with pytest.raises(ValueError, match="no name twice"):
        Experiment([Arm("a"), Arm("a")], bowl)
    with pytest.raises(ValueError, match="at least one"):
        Experiment([], bowl)
    with pytest.raises(TypeError, match=r"the arm 'b' and run.* unexpected .* 'momentum'"):
        Experiment([*arms(a={}), Arm("b", learning_rate=RATE, momentum=0.9)], bowl)
    with pytest.raises(TypeError, match="either run or run_many"):
        Experiment([Arm("a")])


def test_first_below_interpolates_on_a_logarithmic_scale():
    assert first_below([1.0, 0.1, 0.01], 10**-1.5) == 2.5
    assert first_below([0.1, 0.01], 0.5) == 1  # after the first epoch already
    assert first_below([np.nan, 0.1], 0.5) == 2
    never = first_below([1.0, np.nan], 0.5, budget=60)
    assert (never, repr(never)) == (60, "≥ 60")
    assert isinstance(first_below([], 0.5, budget=3), AtLeast)
    with pytest.raises(ValueError, match="target is 0"):
        first_below([1.0], 0)
    again = pickle.loads(pickle.dumps(never))
    assert isinstance(again, AtLeast)
    assert again == 60


# ------------------------------------------------------------------ tuning


def test_the_best_setting_lies_between_its_neighbours():
    found = Experiment(arms(a={}), bowl).tune([1, 2])["a"]
    assert found.setting == {"learning_rate": 0.0316227766017}
    (low, below), (high, above) = found.neighbours["learning_rate"]
    assert low < 0.0316 < high
    assert found.score < min(below, above)
    assert (found.settings, found.widened, found.reservations) == (7, (), ())
    assert found.cost.runs == 14


def test_a_best_value_on_the_border_widens_its_range_and_every_arm_gets_as_many_trials():
    settings = {"inside": {"best": 0.03}, "above": {"best": 30.0}, "below": {"best": 3e-5}}
    found = Experiment(arms(**settings), bowl).tune([1])
    assert found["inside"].widened == ()
    assert found["above"].widened[-1].startswith("learning_rate to ")
    for name, one in settings.items():
        assert abs(np.log10(found[name].setting["learning_rate"] / one["best"])) < 0.3
        assert found[name].reservations == ()
        below, above = found[name].neighbours["learning_rate"]
        assert below is not None
        assert above is not None
    assert len({one.settings for one in found.values()}) == 1
    grid = found["above"].trials["learning_rate"][:7]
    beyond = np.sort(found["above"].trials["learning_rate"][7:10])
    assert np.allclose(np.diff(np.log10([*grid, *beyond])), 0.5)  # at the same distances


def test_widening_ends_and_is_said():
    found = Experiment(arms(a={"best": 1e9}), bowl, widenings=2).tune([1])["a"]
    assert len(found.widened) == 2
    assert "upper end of its range" in found.reservations[0]
    limited = Arm("a", best=1e9, learning_rate=search.log(0.001, 1, limits=(0.001, 2)))
    found = Experiment([limited], bowl).tune([1])["a"]
    assert found.setting["learning_rate"] == 2
    assert found.reservations == ()  # it is where its author said that it ends


def test_budgets_are_equal_whatever_an_arm_tunes():
    def run(seed, learning_rate, momentum=0.0, units=4):
        return bowl(seed, learning_rate / (1 - momentum)) + abs(units - 8)

    given = [
        Arm("one", learning_rate=RATE),
        Arm("two", learning_rate=RATE, momentum=search.linear(0, 0.99, limits=(0, 0.99))),
        Arm("whole", learning_rate=0.03, units=search.integer(2, 64, log=True)),
        Arm("nothing", learning_rate=0.03),
    ]
    outcome = Experiment(given, run, trials=9).run(range(2))
    settings = {arm: one.settings for arm, (one,) in outcome.choices.items()}
    assert settings["nothing"] == 0
    assert settings["one"] == settings["two"] == settings["whole"] >= 9
    assert outcome.reservations[-1] == "not tuned beside arms that are: nothing"
    few = Arm("few", learning_rate=search.categorical([0.01, 0.03, 0.1]))
    assert Experiment([few], bowl).tune([1])["few"].settings == 3


def test_arms_with_the_same_ranges_get_the_same_random_settings():
    def run(seed, a, b, arm):
        return (a - 0.5) ** 2 + (b - 0.5) ** 2

    space = {"a": search.linear(0, 1, limits=(0, 1)), "b": search.linear(0, 1, limits=(0, 1))}
    found = Experiment([Arm("x", arm=0, **space), Arm("y", arm=1, **space)], run).tune([3])
    assert found["x"].trials["a"].tolist() == found["y"].trials["a"].tolist()
    other = Experiment([Arm("x", arm=0, **space)], run).tune([4])
    assert found["x"].trials["a"].tolist() != other["x"].trials["a"].tolist()


def test_ties_go_to_the_middle():
    flat = Experiment(arms(a={}), lambda seed, learning_rate: 1.0).tune([1])["a"]
    assert flat.setting["learning_rate"] == pytest.approx(10**-1.5)
    assert "all settings score the same" in flat.reservations[0]

    def plateau(seed, learning_rate):
        return 0.0 if learning_rate > 0.09 else 1.0

    found = Experiment(arms(a={}), plateau).tune([1])["a"]
    assert found.setting["learning_rate"] == pytest.approx(0.1)


def test_larger_may_be_better():
    def run(seed, learning_rate):
        return -bowl(seed, learning_rate)

    found = Experiment(arms(a={}), run, smaller_is_better=False).tune([1])["a"]
    assert found.setting["learning_rate"] == pytest.approx(10**-1.5)


# ------------------------------------------------------------------ divergence and censoring


def cliff(seed, learning_rate, edge=0.3, way="raise"):
    """The faster the better, up to an edge."""
    if learning_rate > edge * (1 + 0.5 * (seed % 2)):
        if way == "raise":
            raise FloatingPointError("diverged")
        return {"nan": np.nan, "inf": np.inf, "dict": {"value": -9.0, "diverged": True}}[way]
    return 1 / learning_rate


@pytest.mark.parametrize("way", ["raise", "nan", "inf", "dict"])
def test_a_setting_that_diverges_is_not_chosen(way):
    found = Experiment(arms(a={"way": way}), cliff).tune([2, 3])["a"]
    assert found.setting["learning_rate"] == pytest.approx(0.1)
    assert found.trials["diverged"].tolist().count(True) == 3  # 0.316 of one seed, 1 of both
    assert np.isfinite(found.score)


def test_where_every_setting_diverges_on_a_seed_the_rest_decides_and_it_is_said():
    def run(seed, learning_rate):
        if seed == 7:
            raise FloatingPointError
        return bowl(seed, learning_rate)

    found = Experiment(arms(a={}), run).tune([6, 7])["a"]
    assert found.setting["learning_rate"] == pytest.approx(10**-1.5)
    assert "of the 2 tuning runs of the best setting, 1 diverged" in found.reservations[0]


def test_an_arm_that_always_diverges_is_an_error():
    with pytest.raises(FloatingPointError, match=r"all 21 runs of the arm 'a' diverged"):
        Experiment(arms(a={"edge": 1e-9}), cliff).tune([1, 2, 3])


def test_a_deciding_run_that_diverges_counts_as_the_worst():
    def run(seed, shift):
        if seed == 2 and shift:
            raise FloatingPointError
        return float(seed) + shift

    given = [Arm("a", shift=0.0), Arm("b", shift=10.0)]
    outcome = Experiment(given, run).run(range(4))
    assert outcome.values()["b"].tolist() == [10, 11, 13, 13]
    assert outcome.diverged == {"a": 0, "b": 1}
    assert "b: 1 of 4 runs diverged; they count as the worst." in str(outcome)
    given_worst = Experiment(given, run, worst=90.0).run(range(4))
    assert given_worst.values()["b"].tolist() == [10, 11, 90, 13]
    other = Experiment(given, run, smaller_is_better=False).run(range(4))
    assert other.values()["b"][2] == 0


def test_runs_that_all_diverge_need_a_worst_value():
    lost = [Arm("a"), Arm("b")]
    with pytest.raises(FloatingPointError, match=r"worst=\{'value': …\}"):
        Experiment(lost, lambda seed: np.nan).run(range(3)).values()
    found = Experiment(lost, lambda seed: np.nan, worst=1.0).run(range(3)).values()
    assert found["a"].tolist() == [1, 1, 1]


def test_what_is_cut_off_counts_as_the_budget_and_is_counted():
    def run(seed, slow):
        return AtLeast(60) if slow and seed % 2 else 20.0 + slow + seed

    outcome = Experiment([Arm("slow", slow=30), Arm("fast", slow=0)], run).run(range(4))
    assert outcome.values()["slow"].tolist() == [50, 60, 52, 60]
    assert outcome.censored == {"slow": 2, "fast": 0}
    assert "slow: 2 of 4 runs did not get there" in str(outcome)

    def never(seed, learning_rate):
        return AtLeast(60)

    found = Experiment(arms(a={}), never).tune([1])["a"]
    assert len(found.reservations) == 2
    assert "cut off at the budget" in found.reservations[1]


def test_a_mistake_in_a_run_is_not_divergence():
    with pytest.raises(ZeroDivisionError):
        Experiment(arms(a={}), lambda seed, learning_rate: 1 / 0).run(range(3))
    with pytest.raises(ValueError, match="expected 'test_error' among them"):
        Experiment([Arm("a")], lambda seed: {"loss": 1.0}, metric="test_error").run(range(2))
    with pytest.raises(TypeError, match="expected a number"):
        Experiment([Arm("a")], lambda seed: {"value": "low"}).run(range(2))
    with pytest.raises(ValueError, match="0 results for 2"):
        Experiment([Arm("a")], run_many=lambda configurations, seeds: []).run(range(2))


# ------------------------------------------------------------------ seeds and pairs


def test_a_seed_that_tunes_does_not_decide():
    with pytest.raises(ValueError, match=r"the seeds 3, 4 both tune and decide"):
        Experiment(arms(a={}), bowl, tuning_seeds=[3, 4, 90]).run(range(8))
    with pytest.raises(ValueError, match="say how many"):
        Experiment(arms(a={}), bowl, tuning_seeds=[90], retune=True)
    with pytest.raises(ValueError, match="none twice"):
        Experiment(arms(a={}), bowl).run([1, 1])
    with pytest.raises(TypeError, match=r"such as range\(8\)"):
        Experiment(arms(a={}), bowl).run(8)


def used_seeds(**settings):
    asked = []

    def run(seed, learning_rate):
        asked.append(seed)
        return bowl(seed, learning_rate)

    outcome = Experiment(arms(a={}), run, **settings).run(range(4))
    return outcome, asked


def test_tuning_seeds_follow_from_the_deciding_ones():
    outcome, asked = used_seeds(tuning_seeds=2)
    assert asked[-4:] == [0, 1, 2, 3]
    assert set(asked[:-4]) == set(outcome.tuning_seeds)
    assert not set(outcome.tuning_seeds) & {0, 1, 2, 3}
    assert used_seeds(tuning_seeds=2)[1] == asked
    assert "was done once, on 2 other seeds: its luck is in no interval" in outcome.covers
    assert outcome.covered.endswith("; the tuning was done once, and its luck is in no interval")


def test_each_repetition_may_tune_anew():
    outcome, asked = used_seeds(tuning_seeds=2, retune=True)
    assert len(outcome.choices["a"]) == 4
    assert len(set(asked[:-4])) == 8
    assert outcome.covers.endswith("and the tuning.")
    assert outcome.covered.endswith("and the tuning")
    assert outcome.cost["a"].runs == 4 * 14 + 4
    assert len(outcome.tuning.rows) == 4
    with pytest.raises(ValueError, match="tuned anew"):
        outcome.setting("a")


def test_arms_are_paired_by_seed():
    outcome = Experiment(arms(a={"noise": 5.0}, b={"noise": 5.0, "height": 0.2}), bowl).run(
        range(9)
    )
    a, b = outcome.values().values()
    assert np.ptp(a) > 1
    assert np.allclose(b - a, 0.2)
    decision = outcome.compare(smallest_effect=0.1, unit="nats").better("a", than="b")
    assert (decision.outcome, decision.n) == ("confirmed", 9)
    assert decision.covers == outcome.covered
    assert [row["seed"] for row in outcome.rows] == [*range(9)] * 2


def test_many_may_be_run_at_once():
    calls = []

    def many(configurations, seeds):
        calls.append(len(seeds))
        return [bowl(seed, **knobs) for knobs, seed in zip(configurations, seeds, strict=True)]

    given = arms(a={}, b={"best": 0.1})
    together = Experiment(given, run_many=many, tuning_seeds=2).run(range(5))
    alone = Experiment(given, bowl, tuning_seeds=2).run(range(5))
    assert calls == [14, 14, 10]
    assert all((together.values()[arm] == alone.values()[arm]).all() for arm in ("a", "b"))


def test_one_that_diverges_among_many_spoils_none_of_the_others():
    def many(configurations, seeds):
        return [cliff(seed, **knobs) for knobs, seed in zip(configurations, seeds, strict=True)]

    found = Experiment(arms(a={}), run_many=many).tune([2, 3])["a"]
    assert found.setting["learning_rate"] == pytest.approx(0.1)
    assert found.trials["diverged"].tolist().count(True) == 3


def test_other_measures_and_what_chooses():
    def run(seed, learning_rate):
        return {"val": bowl(seed, learning_rate), "test": bowl(seed, learning_rate, best=0.3),
                "steps": 5, "seconds": 0.5}  # fmt: skip

    outcome = Experiment(arms(a={}), run, metric="test", choose_by="val").run(range(2))
    assert outcome.setting("a")["learning_rate"] == pytest.approx(10**-1.5)
    assert outcome.values("val")["a"][0] < 0.01 < outcome.values()["a"][0]
    cost = outcome.cost["a"]
    assert (cost.runs, cost.steps, cost.seconds) == (23, 115, 11.5)
    with pytest.raises(KeyError, match="there are seconds, steps, test, val"):
        outcome.values("accuracy")
    with pytest.raises(KeyError, match="there is no arm 'b'"):
        outcome.setting("b")


def test_an_outcome_prints_and_travels():
    outcome = Experiment(arms(tanh={}, relu={"best": 0.1}), bowl).run(range(3))
    text = str(outcome)
    head = text.splitlines()[0].split()
    assert head == ["arm", "setting", "value", "95", "%", "interval", "trials", "runs"]
    assert "learning_rate=0.03162" in text
    assert "<table>" in outcome._repr_html_()
    assert str(outcome.tuning).splitlines()[1].startswith("tanh  learning_rate")
    assert str(pickle.loads(pickle.dumps(outcome))) == text
    assert "one seed" in str(Experiment([Arm("a", learning_rate=0.1)], bowl).run([0]))


def outcomes(effect, count=100):
    """How often each decision comes out, where arm b is better by an effect; σ = 1, δ = 1."""

    def run(seed, learning_rate, gain):
        rng = np.random.default_rng([seed, int(gain != 0.0)])
        shared = np.random.default_rng(seed).normal(scale=9)
        return shared + np.log10(learning_rate / 0.03) ** 2 - max(gain, 0) + rng.normal(0, 0.5**0.5)

    experiment = Experiment(arms(a={"gain": 0.0}, b={"gain": effect or -1}), run, trials=3,
                            tuning_seeds=2)  # fmt: skip
    found = Counter()
    for repetition in range(count):
        outcome = experiment.run(range(16 * repetition, 16 * repetition + 16))
        found[outcome.compare(smallest_effect=1.0).better("b", than="a").outcome] += 1
    return found


def test_a_planted_effect_is_found_and_a_planted_null_is_small_or_open():
    effect = outcomes(2.0)
    assert effect["confirmed"] >= 90  # power 0.96 or so
    null = outcomes(0.0)
    assert null["confirmed"] == 0
    assert null["reversed"] <= 8  # 2.5 % by chance
    assert null["too small to matter"] >= 85


# ------------------------------------------------------------------ the panel


def nearest_mean_error(task, seed):
    """The error of the simplest learner: the nearest class mean, or a line by least squares."""
    x, y, _, _, x_test, y_test = task.draw(seed)
    if task.classifies:
        means = np.stack([x[y == k].mean(axis=0) for k in range(task.outputs)])
        return task.error(-((x_test[:, None] - means) ** 2).sum(axis=2), y_test)
    with_bias = [np.c_[part, np.ones(len(part))] for part in (x, x_test)]
    return task.error(with_bias[1] @ np.linalg.lstsq(with_bias[0], y, rcond=None)[0], y_test)


@pytest.mark.parametrize("task", experiments.panel(), ids=lambda task: task.name)
def test_a_task_of_the_panel(task):
    first, again, other = task.draw(3), task.draw(3), task.draw(4)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.x_train, other.x_train)
    sizes = task.n_train, task.n_val, task.n_test
    for part, size in zip(("train", "val", "test"), sizes, strict=True):
        x, y = getattr(first, f"x_{part}"), getattr(first, f"y_{part}")
        assert (x.shape, x.dtype) == ((size, task.features), np.float32)
        assert y.shape == ((size,) if task.classifies else (size, 1))
    rows = [{row.tobytes() for row in x} for x in (first.x_train, first.x_val, first.x_test)]
    assert not rows[0] & rows[1] | rows[0] & rows[2] | rows[1] & rows[2]
    # Preprocessed by the training part alone: there the numbers are exact.
    assert np.abs(first.x_train.mean(axis=0, dtype=float)).max() < 1e-5
    assert first.x_train.std(dtype=float) == pytest.approx(1, abs=1e-4)
    assert np.abs(first.x_test.mean(axis=0, dtype=float)).max() > 1e-3
    assert nearest_mean_error(task, 3) < 0.85 * task.chance_error
    if task.classifies:
        share = np.bincount(np.concatenate(first[1::2])).max() / sum(sizes)
        assert 1 - share == pytest.approx(task.chance_error, abs=0.06)


def test_the_parts_of_a_seed_stay_with_other_training_sizes():
    for name in ("wine", "teacher"):
        few, many = (experiments.task(name, n_train=n).draw(0) for n in (20, 90))
        assert (few.y_test == many.y_test).all()
        assert (few.y_val == many.y_val).all()


def test_tasks_are_checked():
    with pytest.raises(ValueError, match="expected one of 'mnist'"):
        experiments.task("cifar")
    with pytest.raises(TypeError, match="got 'train'"):
        experiments.task("wine", train=5)
    with pytest.raises(ValueError, match="asked for 1,088 examples and has 178"):
        experiments.task("wine", n_train=1000).draw(0)
    with pytest.raises(ValueError, match="n_val is 0"):
        experiments.task("wine", n_val=0)
    assert len(experiments.panel()) >= 8
    assert [one.n_test for one in experiments.panel("moons", "sine", n_test=9)] == [9, 9]


def test_the_best_errors_are_those_of_the_one_who_knows():
    moons = experiments.task("moons", n_test=8_000)
    x, y = moons.generate(8_000, np.random.default_rng(0))
    t = (np.arange(400) + 0.5) / 400 * np.pi
    arc = np.stack([np.cos(t), np.sin(t)], axis=1)

    def density(points):
        return np.exp(-((x[:, None] - points) ** 2).sum(axis=2) / (2 * 0.3**2)).sum(axis=1)

    chunks = np.stack([density(arc), density([1, 0.5] - arc)], axis=1)
    assert moons.error(chunks, y) == pytest.approx(moons.best_error, abs=0.01)

    sine = experiments.task("sine")
    x, y = sine.generate(8_000, np.random.default_rng(0))
    centred = y - y.mean()
    assert sine.error(np.sin(2 * np.pi * x) - y.mean(), centred) == pytest.approx(
        sine.best_error, abs=0.01
    )


# ------------------------------------------------------------------ knobs by name


def test_calls_by_name():
    assert call(lambda a, b=2: (a, b), {"a": 1, "c": 3}) == (1, 2)
    assert call(lambda **others: others, {"a": 1}) == {"a": 1}
    with pytest.raises(TypeError, match="missing a required argument: 'b'; there are a"):
        call(lambda a, b: 0, {"a": 1})
    check_knobs(["a"], [lambda **others: 0])
