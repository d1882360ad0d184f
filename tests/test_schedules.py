import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnbook import objective, optim, schedules, training

DECAYS = [
    schedules.constant(0.1),
    schedules.step_decay(0.1, factor=0.5, every=7),
    schedules.exponential_decay(0.1, 0.03),
    schedules.inverse_time_decay(0.1, 0.03),
    schedules.bengio_decay(0.1, 20),
    schedules.cosine(0.1, 50, final=0.01),
]
OTHERS = [
    schedules.cosine_restarts(0.1, 12, final=0.01, growth=2),
    schedules.cosine_restarts(0.1, 9),
    schedules.warmup(schedules.cosine(0.1, 50), 10),
    schedules.one_cycle(0.1, 50),
    schedules.joined([0.1, schedules.cosine(0.1, 20), lambda t: 0.01 / (1 + t)], [10, 30]),
]


def test_cosine_at_the_quarters():
    rate = schedules.cosine(1.0, 100)
    np.testing.assert_allclose(
        rate(np.array([0, 25, 50, 75, 100])), [1, 0.853553, 0.5, 0.146447, 0], atol=5e-7
    )
    assert rate(250) == 0.0


def test_bengio_is_constant_until_tau_and_half_at_twice_tau():
    rate = schedules.bengio_decay(0.3, 40)
    assert rate(0) == rate(17) == rate(40) == pytest.approx(0.3, rel=1e-15)
    assert rate(80) == pytest.approx(0.15, rel=1e-15)
    assert rate(41) < 0.3


def test_decays_against_their_formulas():
    for t in (0, 1, 6, 7, 30, 400):
        assert DECAYS[0](t) == 0.1
        assert DECAYS[1](t) == pytest.approx(0.1 * 0.5 ** math.floor(t / 7), rel=1e-14)
        assert DECAYS[2](t) == pytest.approx(0.1 * math.exp(-0.03 * t), rel=1e-14)
        assert DECAYS[3](t) == pytest.approx(0.1 / (1 + 0.03 * t), rel=1e-14)


def test_half_lives():
    assert schedules.exponential_decay(1.0, math.log(2) / 90)(90) == pytest.approx(0.5, rel=1e-14)
    assert schedules.inverse_time_decay(1.0, 1 / 90)(90) == pytest.approx(0.5, rel=1e-14)


def test_warmup_rises_linearly_and_then_leaves_the_schedule_alone():
    inner = schedules.step_decay(0.8, factor=0.5, every=6)
    rate = schedules.warmup(inner, 4)
    np.testing.assert_allclose([rate(t) for t in range(4)], [0.2, 0.4, 0.6, 0.8])
    assert [rate(t) for t in range(4, 20)] == [inner(t) for t in range(4, 20)]
    assert schedules.warmup(0.5, 2)(0) == 0.25


def test_one_cycle_peaks_where_it_says():
    rate = schedules.one_cycle(0.4, 100, rise=0.25, initial_ratio=0.1, final_ratio=0.01)
    values = rate(np.arange(101))
    assert values.argmax() == 25
    np.testing.assert_allclose([rate(0), rate(25), rate(100), rate(900)], [0.04, 0.4, 0.004, 0.004])
    assert (np.diff(values[:26]) > 0).all()
    assert (np.diff(values[25:]) < 0).all()


def test_joined_restarts_the_clock_of_each_part():
    rate = schedules.joined([schedules.cosine(1.0, 10)] * 3, [10, 20])
    one = schedules.cosine(1.0, 10)
    assert [rate(t) for t in (0, 5, 9, 10, 15, 20, 29)] == [one(t) for t in (0, 5, 9, 0, 5, 0, 9)]
    assert schedules.joined([0.1, 0.01], [5])(np.array([4, 5])).tolist() == [0.1, 0.01]


@pytest.mark.parametrize("growth", [1, 2, 3])
def test_cosine_restarts_is_one_cosine_after_another(growth):
    rate = schedules.cosine_restarts(0.4, cycle=7, final=0.02, growth=growth)
    lengths = [7 * growth**i for i in range(5)]
    parts = [schedules.cosine(0.4, length, final=0.02) for length in lengths]
    whole = schedules.joined(parts, np.cumsum(lengths)[:-1].tolist())
    steps = np.arange(sum(lengths))
    np.testing.assert_allclose(rate(steps), whole(steps), rtol=1e-12)
    restarts = np.flatnonzero(rate(steps) == 0.4)
    assert restarts.tolist() == [0, *np.cumsum(lengths)[:-1]]


def test_cosine_restarts_at_every_restart_of_a_long_run():
    # Each is a sum of powers of three, where floating-point logarithms go wrong.
    rate = schedules.cosine_restarts(1.0, cycle=1, growth=3)
    starts = np.array([(3**i - 1) // 2 for i in range(1, 30)])
    assert (rate(starts) == 1.0).all()
    assert (rate(starts[2:] - 1) < 0.05).all()
    assert schedules.cosine_restarts(1.0, cycle=10)(10**12) == 1.0


@pytest.mark.parametrize("rate", DECAYS + OTHERS)
def test_arrays_agree_with_single_steps_which_are_floats(rate):
    steps = np.arange(80).reshape(8, 10)
    values = rate(steps)
    assert values.shape == (8, 10)
    singles = [rate(int(t)) for t in steps.ravel()]
    assert {type(value) for value in singles} == {float}
    np.testing.assert_array_equal(values.ravel(), singles)
    assert steps.ravel().tolist() == list(range(80))  # the caller's array is as it was


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from(DECAYS),
    step=st.integers(0, 10**7),
    later=st.integers(1, 10**6),
)
def test_decays_never_rise_and_stay_within_bounds(rate, step, later):
    assert 0 <= rate(step + later) <= rate(step) <= 0.1 * (1 + 1e-15)


def test_a_schedule_is_a_value():
    rate = schedules.step_decay(0.1, factor=0.5, every=1000)
    assert repr(rate) == "step_decay(initial=0.1, factor=0.5, every=1000)"
    assert rate == schedules.step_decay(0.1, every=1000)
    assert hash(rate) == hash(schedules.step_decay(0.1, every=1000))
    assert eval(repr(rate), vars(schedules)) == rate
    with pytest.raises(AttributeError):
        rate.initial = 1.0


def test_plateau_cuts_after_patience_and_not_before():
    rule = schedules.on_plateau(1.0, factor=0.5, patience=2, minimum=0.2)
    rates = rule.rates([5, 4, 4, 4.1, 3.9, 4, 4, 4, 4, 4, 4])
    assert rates.tolist() == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]


def test_plateau_is_pure_and_knows_accuracies_margins_and_nan():
    rule = schedules.on_plateau(1.0, factor=0.1, patience=1, smaller_is_better=False)
    state = rule.update(rule.init(), 0.5)
    assert state == (1.0, 0.5, 0)
    assert rule.update(state, 0.6).rate == 1.0
    assert rule.update(state, 0.4).rate == pytest.approx(0.1)
    assert rule.update(state, math.nan) == (pytest.approx(0.1), 0.5, 0)
    assert state == (1.0, 0.5, 0)
    margin = schedules.on_plateau(1.0, factor=0.5, patience=1, smallest_change=0.1)
    assert margin.rates([1.0, 0.95, 0.8]).tolist() == [1.0, 0.5, 0.5]


def test_plateau_drives_a_training_run_through_a_callback():
    class Follow(training.Callback):
        def __init__(self, rule):
            self.rule, self.now = rule, rule.init()

        def __call__(self, step):
            return self.now.rate

        def on_epoch_end(self, run, row):
            self.now = self.rule.update(self.now, 1.0)  # never an improvement after the first

    follow = Follow(schedules.on_plateau(0.1, factor=0.5, patience=1))
    start = np.array([1.0, -3.0])
    bowl = objective.from_function(lambda theta: theta @ theta, lambda theta: 2 * theta, start)
    training.fit(bowl, optimizer=optim.sgd(follow), epochs=3, callbacks=[follow], progress=False)
    assert follow.now.rate == pytest.approx(0.025)
    # Three steps at rates .1, .1 and .05: θ − η · 2θ.
    np.testing.assert_allclose(bowl.theta, 0.8 * 0.8 * 0.9 * start, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: schedules.constant(-0.1), ValueError, r"initial is -0\.1; .* > 0"),
        (lambda: schedules.constant(0), ValueError, r"initial is 0; "),
        (
            lambda: schedules.constant("fast"),
            TypeError,
            "initial is 'fast'; expected a finite number > 0",
        ),
        (lambda: schedules.constant(True), TypeError, "initial is True"),
        (lambda: schedules.constant(math.nan), ValueError, "initial is nan"),
        (lambda: schedules.step_decay(0.1, factor=1.5), ValueError, r"factor is 1\.5; .*\(0, 1\]"),
        (lambda: schedules.step_decay(0.1, every=0), ValueError, "every is 0; .* at least 1"),
        (lambda: schedules.step_decay(0.1, every=2.5), TypeError, r"every is 2\.5; .*whole number"),
        (lambda: schedules.exponential_decay(0.1, -1), ValueError, "rate is -1; .* ≥ 0"),
        (lambda: schedules.inverse_time_decay(0.1, math.inf), ValueError, "rate is inf"),
        (lambda: schedules.bengio_decay(0.1, -3), ValueError, "constant_steps is -3"),
        (lambda: schedules.cosine(0.1, 10, final=0.2), ValueError, r"final is 0\.2, above"),
        (lambda: schedules.cosine_restarts(0.1, 0), ValueError, "cycle is 0; .*at least 1"),
        (lambda: schedules.cosine_restarts(0, 9), ValueError, "initial is 0"),
        (lambda: schedules.cosine_restarts(0.1, 9, 0.2), ValueError, r"final is 0\.2, above"),
        (lambda: schedules.cosine_restarts(0.1, 9, growth=1.5), TypeError, r"growth is 1\.5"),
        (lambda: schedules.warmup(0.1, 0), ValueError, "steps is 0"),
        (lambda: schedules.warmup("slow", 5), TypeError, "schedule is 'slow'"),
        (lambda: schedules.one_cycle(0.1, 10, rise=1), ValueError, "rise is 1; .*less"),
        (lambda: schedules.one_cycle(0.1, 10, final_ratio=2), ValueError, "final_ratio is 2"),
        (lambda: schedules.joined([], []), ValueError, "0 schedules and 0 boundaries"),
        (lambda: schedules.joined([0.1, 0.2], []), ValueError, "2 schedules and 0 boundaries"),
        (lambda: schedules.joined([1, 1, 1], [9, 5]), ValueError, r"\[9, 5\]; expected rising"),
        (lambda: schedules.joined([1, 1], [0]), ValueError, r"\[0\]; expected rising"),
        (
            lambda: schedules.on_plateau(0.1, factor=1),
            ValueError,
            r"factor is 1; expected .* in \(0, 1\)",
        ),
        (lambda: schedules.on_plateau(0.1, patience=0), ValueError, "patience is 0"),
        (lambda: schedules.on_plateau(0.1, minimum=1), ValueError, "minimum is 1, above"),
        (lambda: schedules.cosine(0.1, 10)(-1), ValueError, "step is -1; .*at least 0"),
        (lambda: schedules.constant(0.1)(np.array([3, -2])), ValueError, "step is -2"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
