"""The checks by themselves: facts, properties, and that the caller's network stays as it is."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nnbook import checks, data, layers, losses, optim, schedules, zoo
from nnbook.checks.differences import best_step, noise_of, slope_beside
from nnbook.checks.relation import chance_of_relation
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx
from nnbook.training import Callback, Checkpoint, fit
from nnbook.zoo.cases import digits, digits_case, digits_net

RELU = lambda x: np.maximum(x, 0)  # noqa: E731
CE = losses.softmax_cross_entropy


@pytest.fixture(scope="module")
def pair():
    return digits(0)[0]


# ------------------------------------------------------------------------------------ quotients


def test_tanh_at_seven_tenths():
    slope = 1 - np.tanh(0.7) ** 2
    for h, forward, centred in ((1e-3, 3.8e-4, 2.0e-8), (1e-4, 3.8e-5, 2.0e-10)):
        error = abs(checks.difference(np.tanh, 0.7, h, centred=False) - slope)
        assert error == pytest.approx(forward, rel=0.02)
        error = abs(checks.difference(np.tanh, 0.7, h) - slope)
        assert error == pytest.approx(centred, rel=0.03)
    errors = [abs(checks.difference(np.tanh, 0.7, 10.0**-k) - slope) for k in range(1, 13)]
    assert int(np.argmin(errors)) + 1 in (5, 6)


def test_a_rectifier_just_left_of_its_kink():
    assert checks.difference(RELU, -1e-6, 1e-5) == pytest.approx(0.45, rel=1e-12)
    assert checks.difference(RELU, -1e-6, 1e-7) == 0


def test_relative_error_at_two_scales():
    assert checks.relative_error(1.0001, 1.0) < 1e-3
    assert checks.relative_error(1.1e-4, 1e-5) > 0.9  # the same difference of 1e-4
    assert checks.relative_error(0.0, 0.0) == 0
    assert checks.relative_error(0.0, 1e-9) == 1
    assert checks.relative_error(-1.0, 1.0) == 2
    assert math.isnan(checks.relative_error(float("nan"), 1.0))
    np.testing.assert_allclose(checks.relative_error([1, 0, 2], [1, 0, 1]), [0, 0, 0.5])


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(1e-3, 1e3))
@settings(max_examples=50, deadline=None)
def test_relative_error_is_symmetric_and_without_scale(a, n, scale):
    error = checks.relative_error(a, n)
    assert 0 <= error <= 2
    assert checks.relative_error(n, a) == error
    assert checks.relative_error(scale * a, scale * n) == pytest.approx(error, abs=1e-9)


def test_noise_is_measured():
    rng = np.random.default_rng(0)
    noisy = lambda x: math.sin(1 + x) + 1e-8 * rng.normal()  # noqa: E731
    assert 2e-9 < noise_of(noisy, 1e-12) < 5e-8
    assert noise_of(lambda x: math.sin(1 + x), 1e-12) < 5e-16
    assert best_step(1e-16, 1.0) == pytest.approx(6.7e-6, rel=0.01)
    assert best_step(1e-9, 1.0) > 1e-3
    assert best_step(1e-24, 1e-8) == best_step(1e-16, 1.0)  # whatever the unit of the loss
    assert best_step(1e-16, 0.0) == best_step(0.0, 1.0) == 1e-6


def slope(function, at, h=1e-5):
    value = float(function(at))
    return slope_beside(lambda d: float(function(at + d)), value, 0.123, h, 1e-16)


def test_where_a_kink_is():
    """A wrong analytic slope, so that every case is looked at closely."""
    smooth = slope(np.tanh, 0.7)
    assert not smooth.kink
    assert smooth.exact
    assert smooth.value == pytest.approx(1 - np.tanh(0.7) ** 2, rel=1e-7)
    curved = slope(lambda x: 1e4 * x**3, 0.01)  # the quotient's error is h² · 1e4
    assert not curved.kink
    within = slope(lambda x: RELU(x) + np.sin(x), -5e-6)  # between h/10 and h
    assert within.kink
    assert within.exact
    assert within.value == pytest.approx(1, rel=1e-6)
    nearer = slope(lambda x: RELU(x) + np.sin(x), -3e-7)  # between h/100 and h/10
    assert nearer.kink
    assert not nearer.exact
    upon = slope(lambda x: RELU(x) + np.sin(x), 0.0)
    assert upon.kink
    assert not upon.exact
    near = slope(lambda x: RELU(x) + np.sin(x), -3e-8)  # between 0 and h/100
    assert near.kink
    assert not near.exact
    beyond = slope(lambda x: RELU(x) + np.sin(x), -1e-4)
    assert not beyond.kink


def test_a_kink_too_faint_to_place_raises_no_alarm():
    """The jump of the slope shows at h and at h/10, and drowns in rounding at h/100."""
    function = lambda x: 1 + 3e-8 * RELU(x + 1e-9)  # noqa: E731
    found = slope_beside(function, function(0.0), 1e-8, 1e-5, 4e-16)
    assert found.kink
    assert not found.exact


def test_a_kink_does_not_excuse_a_wrong_gradient():
    found = slope(lambda x: RELU(x) + np.sin(x), -5e-6)
    assert abs(found.value - 0.123) > 0.8


def test_the_v_curve(pair):
    net, steps = digits_net(0), np.logspace(-11, -1, 11)
    double = checks.sweep_h(net, CE, *pair, steps)
    single = checks.sweep_h(net, CE, *pair, steps, dtype="float32")
    assert 1e-6 < double.best_h < 1e-3
    assert single.best_h >= 1e-3
    curve = np.median(double.centred, axis=1)
    assert curve[0] > 1e3 * curve.min() < curve[-1]
    assert curve.min() < 1e-8
    # Double precision takes the error from about 1e-2 to 1e-8.
    assert np.median(single.centred, axis=1).min() > 1e4 * curve.min()
    # Order one against order two: a decade in h, one decade of error or two.
    k = list(steps).index(1e-2)
    assert np.median(double.centred, axis=1)[k : k + 2] @ [100, -1] == pytest.approx(0, abs=0.1)
    ratio = np.median(double.forward[k + 1] / double.forward[k])
    assert 7 < ratio < 14
    assert "best at h" in repr(double)


# ------------------------------------------------------------------------------ check_gradients


def test_the_result_can_be_read(pair):
    result = checks.check_gradients(digits_net(0), CE, *pair)
    assert result.passed
    assert result.verdict == "happy"
    assert 0 < result.worst_relative_error <= 1e-7
    assert result.own_precision < 1e-5
    assert result.kinks == 0
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [p.name for p in result.parameters] == names
    assert all(p.checked == 8 for p in result.parameters)
    assert all(c.analytic == pytest.approx(c.numeric, abs=1e-9) for c in result.coordinates)
    assert "0.weight   32×64" in repr(result)
    assert "worst relative error < 1e-7" in repr(result)  # its digits differ between machines
    assert result._repr_html_().count("<tr>") == 5
    with pytest.raises(AttributeError):
        result.h = 1


@pytest.mark.parametrize(
    ("factor", "verdict", "passed"),
    [
        (1 + 1e-9, "happy", True),
        (1 + 1e-5, "fine for a loss with kinks", True),
        (1.001, "uneasy", False),
        (1.1, "wrong", False),
        (-1, "wrong", False),
    ],
)
def test_the_bands(pair, factor, verdict, passed):
    class Off(mx.autograd.Function):
        def forward(self, z):
            return z * 1

        def backward(self, slope):
            return factor * slope

    result = checks.check_gradients(digits_net(0), lambda z, y: CE(Off()(z), y), *pair)
    assert result.verdict == verdict
    assert result.passed == passed
    if factor == -1:
        assert "opposite sign" in result.findings[0].advice
    if factor == 1.1:
        assert "1.1 times" in result.findings[0].advice


class Tripled(mx.autograd.Function):
    def forward(self, z):
        return z * 1

    def backward(self, slope):
        return 3 * slope


def test_slopes_too_small_to_be_judged_are_not_called_right(pair):
    tiny = lambda z, y: 1e-9 * CE(Tripled()(z), y)  # noqa: E731
    result = checks.check_gradients(digits_net(0), tiny, *pair)
    assert not any(c.alarm for c in result.coordinates)
    assert result.verdict == "wrong"
    assert not result.passed
    assert "multiply the loss" in result.findings[0].advice
    right = checks.check_gradients(digits_net(0), lambda z, y: 1e-9 * CE(z, y), *pair)
    assert right.passed, right


def test_the_step_does_not_depend_on_the_unit_of_the_loss(pair):
    steps = [
        checks.check_gradients(digits_net(0), lambda z, y, c=c: c * CE(z, y), *pair).h
        for c in (1e-8, 1.0, 1e8)
    ]
    assert max(steps) < 2 * min(steps)


def test_one_wrong_slope_is_no_pattern(pair):
    class OneOff(mx.autograd.Function):
        def forward(self, z):
            return z * 1

        def backward(self, slope):
            slope = slope.copy()
            slope[0] *= 1.5
            return slope

    class Net(mx.gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.inside = digits_net(0)
            self.offset = mx.gluon.Parameter("offset", shape=(10,), init="zeros")
            self.offset.initialize()

        def forward(self, x):
            return self.inside(x) + OneOff()(self.offset.data())

    result = checks.check_gradients(Net(), CE, *pair, per_parameter=10)
    assert sum(c.alarm for c in result.coordinates) == 1
    assert "times" not in result.findings[0].advice


@pytest.mark.parametrize("h", [1e-5, 1e-4, 1e-3])
def test_many_kinks_raise_no_alarm_at_any_step(h):
    """A thousand examples bring kinks at every distance; then entries are left out instead."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1000, 10)).astype("float32"), rng.integers(0, 5, 1000)
    for seed in range(3):
        net = layers.mlp(10, [20], 5, "relu", seed=seed)
        result = checks.check_gradients(
            net, losses.hinge, x, y.astype("int32"), examples=1000, h=h, seed=seed
        )
        assert result.passed, result
        assert h < 1e-3 or result.kinks > 0


def test_every_parameter_is_checked_the_smallest_too():
    case = zoo.bug("bias_without_gradient").build()
    result = checks.check_gradients(case.net, case.loss, *case.data, per_parameter=2)
    wrong = {p.name: p.alarms for p in result.parameters}
    assert wrong == {"0.weight": 0, "0.bias": 1}


def test_burn_in_shows_what_small_scores_hide():
    case = zoo.bug("hinge_gradient").build()
    assert checks.check_gradients(case.net, case.loss, *case.data).passed
    assert not checks.check_gradients(case.net, case.loss, *case.data, burn_in=20).passed
    right = zoo.bug("hinge_gradient").correct()
    assert checks.check_gradients(right.net, right.loss, *right.data, burn_in=20).passed


def test_kinks_are_counted_apart():
    (case,) = (net.build() for net in zoo.CORRECT if net.name == "average_pooling")
    result = checks.check_gradients(case.net, case.loss, *case.data)
    # Biases are 0, and the margins of the images are empty: sums of exactly 0.
    assert result.passed
    assert {p.name for p in result.parameters if p.kinks} == {"0.bias"}
    # The same weights off the kink.
    case.net[0].bias.set_data(case.net[0].bias.data() + 0.01)
    assert checks.check_gradients(case.net, case.loss, *case.data).kinks == 0


def test_a_wide_step_meets_more_kinks_and_is_forgiven(pair):
    net = layers.mlp(64, [64, 64], 10, "relu", seed=0)
    wide = checks.check_gradients(net, CE, *pair, h=1e-2, per_parameter=40, examples=60)
    assert wide.kinks > 5
    assert wide.passed
    few = checks.check_gradients(net, CE, *pair, h=1e-2, per_parameter=40, examples=2)
    assert few.kinks < wide.kinks


def test_dropout_is_frozen(pair):
    net = layers.mlp(64, [32], 10, "tanh", dropout=0.5, seed=0)
    result = checks.check_gradients(net, CE, *pair, examples=1, per_parameter=16)
    assert result.verdict == "happy"
    # The masks take part: some slopes are 0 because their unit is dropped.
    bias = [c.numeric for c in result.coordinates if c.parameter == "0.bias"]
    assert 0 in bias


def test_what_cannot_be_seeded_is_said(pair):
    rng = np.random.default_rng(0)

    def noisy(z, y):
        return CE(z, y) * (1 + 0.1 * rng.normal())

    result = checks.check_gradients(digits_net(0), noisy, *pair)
    assert not result.passed
    messages = " ".join(finding.message for finding in result.findings)
    assert "outside training too" in messages
    assert "from the same seed differ" in messages
    assert result.coordinates == ()


def test_the_penalty_is_checked_apart(pair):
    right, wrong = losses.l2_penalty(10.0), zoo.bug("penalty_factor_two").build()
    wrong_penalty = wrong.fit_options["penalty"]
    result = checks.check_gradients(digits_net(0), CE, *pair, penalty=right)
    assert result.passed
    assert result.parameters[-1].name == "penalty"
    result = checks.check_gradients(digits_net(0), CE, *pair, penalty=wrong_penalty)
    assert [p.alarms > 0 for p in result.parameters] == [False] * 4 + [True]
    assert checks.check_gradients(digits_net(0), CE, *pair, penalty=losses.l1_penalty(0.01)).passed


def test_a_large_penalty_would_hide_a_wrong_gradient(pair):
    uphill = zoo.bug("gradient_sign").build().loss
    slopes = checks.check_gradients(digits_net(0), uphill, *pair).coordinates
    wrong = [c for c in slopes if c.parameter == "2.weight" and c.alarm]
    assert min(c.relative_error for c in wrong) > 1
    decay = 1e4  # of the penalty, at such a weight
    masked = [checks.relative_error(c.analytic + decay, c.numeric + decay) for c in wrong]
    assert max(masked) < 1e-4


def test_float32_where_float64_does_not_work(pair):
    def single_only(z, y):
        if z.dtype != np.float32:
            raise TypeError("float32 only, please")
        return CE(z, y)

    result = checks.check_gradients(digits_net(0), single_only, *pair)
    assert result.dtype == "float32"
    assert "float32 only, please" in result.note
    assert result.passed
    assert result.verdict != "happy"  # nobody could know
    uphill = zoo.bug("gradient_sign").build().loss
    result = checks.check_gradients(
        digits_net(0), lambda z, y: single_only(z, y) * 0 + uphill(z, y), *pair
    )
    assert result.verdict == "wrong"
    assert not result.passed


def test_float32_inside_a_net_of_float64(pair):
    result = checks.check_gradients(
        digits_net(0), lambda z, y: CE(z.astype("float32"), y).astype("float64"), *pair
    )
    assert result.noise > 1e-10
    assert result.h > 1e-4
    assert result.passed


def test_the_networks_own_precision(pair):
    def product(z, y):
        p = mx.npx.pick(mx.npx.softmax(z, axis=-1), y, axis=-1)
        return -mx.np.log(mx.np.prod(p)) / len(y)

    result = checks.check_gradients(digits_net(0), product, *pair, examples=38)
    assert result.own_precision > 0.02 or not np.isfinite(result.own_precision)
    assert not result.passed
    assert "float32" in result.findings[-1].message


def test_a_frozen_layer_is_named_and_running_statistics_are_not():
    case = zoo.bug("frozen_layer").build()
    result = checks.check_gradients(case.net, case.loss, *case.data)
    assert result.frozen == ("0.weight", "0.bias")
    (case,) = (net.build() for net in zoo.CORRECT if net.name == "batch_normalisation")
    assert checks.check_gradients(case.net, case.loss, *case.data).frozen == ()


def test_stacked_recurrent_layers_are_not_accused_of_what_float64_does_to_them():
    rnn, nn = mx.gluon.rnn, mx.gluon.nn
    x = np.random.default_rng(0).normal(size=(20, 6, 3))
    y = np.arange(20) % 3

    def look(dtype):
        mx.random.seed(0)
        layer = rnn.LSTM(5, num_layers=2, layout="NTC", input_size=3)
        net = zoo.cases.chain(
            zoo.correct_layers.LastStep(layer), nn.Dense(3, in_units=5), example=x, seed=0
        )
        net.cast(dtype)
        return checks.check_gradients(net, (x.astype(dtype), y), loss=CE)

    result = look("float32")
    assert result.passed, result
    assert (result.dtype, result.verdict) == ("float32", "uneasy")
    assert "not in float64: there MXNet's gradients are wrong" in repr(result)
    assert not look("float64").passed  # who trains in float64 has them wrong


def test_a_large_net_is_checked_in_two_seconds():
    x, y, *_ = data.load_mnist()
    net = layers.mlp(784, [100], 10, "sigmoid", seed=0)
    started = time.process_time()
    result = checks.check_gradients(net, CE, x[:100], y[:100])
    assert time.process_time() - started < 2
    assert result.verdict == "happy"


# ----------------------------------------------------------------------------- nothing is changed


def everything(net):
    """All that a network is: values, gradients, kinds of gradients, hooks, blocks."""
    parameters = net.collect_params().values()
    numbers = [p.data().asnumpy().tobytes() for p in parameters]
    numbers += [p.grad().asnumpy().tobytes() for p in parameters if p.grad_req != "null"]
    requests = [p.grad_req for p in parameters]
    return numbers, requests, [list(block._forward_hooks.values()) for block in net]


@pytest.mark.parametrize("name", ["batch_normalisation", "forward_hook", "dropout", "hybridised"])
def test_the_callers_network_is_left_alone(name):
    (case,) = (net.build() for net in zoo.CORRECT if net.name == name)
    vector = ParameterVector(case.net)
    x = mx.np.array(case.data[0][:8], dtype="float32")
    with mx.autograd.record():
        total = case.net(x).sum()
    total.backward()
    before, rule = everything(case.net), case.fit_options["optimizer"]
    described = repr(rule)
    x_before, y_before = case.data[0].copy(), case.data[1].copy()
    checks.preflight(
        case.net, case.loss, case.data, case.validation, verbose=False, **case.fit_options
    )
    assert everything(case.net) == before
    vector.check()
    assert repr(rule) == described
    np.testing.assert_array_equal(case.data[0], x_before)
    np.testing.assert_array_equal(case.data[1], y_before)


def test_also_after_an_exception(pair):
    net, calls = digits_net(0), []
    before = everything(net)

    def breaks(z, y):
        calls.append(1)
        if len(calls) > 12:
            raise RuntimeError("in the middle")
        return CE(z, y)

    with pytest.raises((RuntimeError, ValueError), match="in the middle"):
        checks.check_gradients(net, breaks, *pair)
    assert everything(net) == before


def test_the_callers_hooks_do_not_hear_of_it(pair):
    net, heard = digits_net(0), []
    net[0].register_forward_hook(lambda *_: heard.append(1))
    checks.preflight(net, CE, pair, verbose=False, optimizer=optim.momentum(0.1))
    assert heard == []


def test_luck_goes_on_as_it_was_seeded(pair):
    def numbers(seed, checked):
        mx.random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        if checked:
            checks.check_gradients(layers.mlp(64, [8], 10, dropout=0.5, seed=0), CE, *pair)
        return np.random.rand(), float(mx.np.random.uniform())  # noqa: NPY002

    assert numbers(1, True)[0] == numbers(1, False)[0]
    assert numbers(1, True) == numbers(1, True)
    assert numbers(1, True)[1] != numbers(2, True)[1]


def test_callbacks_are_copied_and_checkpoints_stay_away(pair, tmp_path):
    class Counts(Callback):
        epochs = 0

        def on_epoch_end(self, run, row):
            self.epochs += 1

    counts = Counts()
    callbacks = [counts, Checkpoint(tmp_path / "run")]
    checks.rehearse(digits_net(0), CE, pair, optimizer=optim.momentum(0.1), callbacks=callbacks)
    assert counts.epochs == 0
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------------- other checks


@pytest.mark.parametrize(
    ("loss", "expected"),
    [(CE, 2.302585), (losses.sigmoid_cross_entropy, 6.931472), (losses.hinge, 9)],
)
def test_the_loss_at_chance(pair, loss, expected):
    x, y = pair
    if loss is losses.sigmoid_cross_entropy:
        y = np.eye(10, dtype="float32")[y]
    result = checks.check_initial_loss(digits_net(0), loss, x, y)
    assert result.passed
    assert result.measured["expected"] == pytest.approx(expected, abs=1e-6)
    assert result.measured["equal_outputs"] == pytest.approx(expected, abs=1e-5)
    wrong = checks.check_initial_loss(digits_net(0), loss, x, y, expected=1.0)
    assert "expected is 1" in wrong.findings[0].message
    large = digits_net(0)
    large[-1].weight.set_data(30 * large[-1].weight.data())
    (finding,) = checks.check_initial_loss(large, loss, x, y).findings
    assert finding.severity == "warning"
    assert "outputs spread by" in finding.message


def test_an_output_layer_of_zeros_is_no_mistake(pair):
    net = digits_net(0)
    net[-1].weight.set_data(0 * net[-1].weight.data())
    report = checks.preflight(net, CE, pair, verbose=False, optimizer=optim.momentum(0.1))
    assert report.passed, report


def test_examples_know_nothing_of_each_other(pair):
    result = checks.check_independence(digits_net(0), CE, *pair)
    assert result.passed
    assert result.measured["outputs"] < 1e-12
    summed = checks.check_independence(digits_net(0), lambda z, y: CE(z, y).sum(), *pair)
    assert "summed over the minibatch" in summed.findings[0].advice
    with pytest.raises(ValueError, match="at least 2 to compare"):
        checks.check_independence(digits_net(0), CE, pair[0][:1], pair[1][:1])


def test_more_regularisation_more_loss(pair):
    values = []
    for strength in (0.001, 0.01):
        penalty = losses.l2_penalty(strength)
        result = checks.check_regularization(digits_net(0), CE, *pair, penalty)
        assert result.passed
        values.append(result.measured["penalty"])
    theta = ParameterVector(digits_net(0))
    weights = theta.theta.asnumpy()[theta.weight_mask].astype("float64")
    assert values[0] == pytest.approx(0.0005 * (weights**2).sum(), rel=1e-5)
    assert values[1] == pytest.approx(10 * values[0])
    assert not checks.check_regularization(digits_net(0), CE, *pair, losses.l2_penalty(1)).passed

    class Negative:
        def value(self, theta):
            return -float((theta * theta).sum())

        def gradient(self, theta):
            return -2 * theta

    (finding,) = checks.check_regularization(digits_net(0), CE, *pair, Negative()).findings
    assert "does not raise the loss" in finding.message
    with pytest.raises(TypeError, match=r"penalty is 0\.1; expected an object with value"):
        checks.check_regularization(digits_net(0), CE, *pair, 0.1)


def test_biases_that_decay(pair):
    def found(rule):
        return checks.check_regularization(digits_net(0), CE, *pair, optimizer=rule).findings

    assert not found(optim.adam(0.01))
    assert "0.bias, 2.bias decay" in found(optim.adamw(0.01, weight_decay=0.1))[0].message
    assert found(mx.optimizer.SGD(learning_rate=0.1, wd=0.1))
    assert not found(mx.optimizer.SGD(learning_rate=0.1))


@pytest.mark.parametrize(
    "rule",
    [
        optim.sgd(0.1),
        optim.sgd(1e-6),
        optim.momentum(0.1, momentum=0.99),
        optim.nesterov(0.1),
        optim.adagrad(0.1),
        optim.rmsprop(0.01),
        optim.adam(0.01),
        optim.adam(1.0),
        optim.adamw(0.01),
        optim.sgd(schedules.cosine(0.1, 500)),
        optim.adam(schedules.one_cycle(0.1, 500)),
        mx.optimizer.create("adam"),
        mx.optimizer.create("nag", momentum=0.9),
    ],
    ids=lambda rule: getattr(rule, "name", type(rule).__name__),
)
def test_sound_rules_pass(rule):
    result = checks.check_optimizer(rule, steps=500)
    assert result.passed, result


def test_rules_that_do_not():
    assert not checks.check_optimizer(optim.momentum(0.1, momentum=0.9999), steps=10).passed
    with pytest.raises(TypeError, match=r"optimizer is 0\.1"):
        checks.check_optimizer(0.1)


def test_learning_by_heart(pair):
    result = checks.overfit_tiny_subset(digits_net(0), CE, *pair)
    assert result.passed
    assert result.measured["loss"] < 0.12 < 2 < result.measured["first"]
    drop = layers.mlp(64, [32], 10, "tanh", dropout=0.9, seed=0)
    assert checks.overfit_tiny_subset(drop, CE, *pair).passed  # dropout is off
    (x, y), _ = digits(0)
    contradiction = np.concatenate([x[:10], x[:10]]), np.concatenate([y[:10], (y[:10] + 1) % 10])
    result = checks.overfit_tiny_subset(digits_net(0), CE, *contradiction)
    assert result.measured["loss"] > math.log(2) - 1e-3  # the best there is
    assert not result.passed
    with pytest.raises(ValueError, match="threshold is 2"):
        checks.overfit_tiny_subset(digits_net(0), CE, *pair, threshold=2)
    with pytest.raises(ValueError, match="n is 0"):
        checks.overfit_tiny_subset(digits_net(0), CE, *pair, n=0)


def messages(train, held_out=None, **options):
    return " ".join(f.message for f in checks.check_data(train, held_out, **options).findings)


def test_what_is_seen_in_data():
    (x, y), (x_val, y_val) = digits(0)
    assert messages((x, y), (x_val, y_val), shuffle=False) == ""
    one_class = np.zeros_like(y)
    assert "one class only" in messages((x, one_class))
    rare = np.where(np.arange(len(y)) < 3, 1, 0).astype("int32")
    assert "class 1 has 3 examples" in messages((x, rare))
    assert "no example of class 9" not in messages((x, y))
    gap = np.where(y == 4, 5, y)
    assert "no example of class 4" in messages((x, gap))
    assert "class 4 occurs in validation, never in training" in messages((x, gap), (x_val, y_val))
    assert "of the order of 255" not in messages((x, y))
    assert "all inputs are 0" in messages((0 * x, y))
    assert "all targets are the same" in messages((x, np.ones((len(x), 1))))
    assert "targets vary by" in messages((x, 1e6 * x[:, 20:21]))
    leak = np.concatenate([x_val[:2], x])
    assert "2 of 300 validation examples" in messages(
        (leak, np.append(y_val[:2], y)), (x_val, y_val)
    )
    missing = np.where(np.random.default_rng(0).random(x.shape) < 0.01, 9999, x)
    assert "the value 9999" in messages((missing, y))
    with pytest.raises(ValueError, match="NaN"):
        checks.check_data((np.where(x > 0.9, np.nan, x), y))
    with pytest.raises(TypeError, match="expected a pair"):
        checks.check_data(x)
    with pytest.raises(ValueError, match="expected the same"):
        checks.check_data((x, y), (x_val[:, :5], y_val))


def test_small_whole_numbers_repeat_by_chance():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, size=(600, 4))
    y = (x.sum(axis=1) > 6).astype("int32")
    result = checks.check_data((x[:400], y[:400]), (x[400:], y[400:]))
    assert result.measured["shared"] > 50
    assert result.passed, result


def test_labels_that_a_linear_map_knows_and_neighbours_do_not():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 30)).astype("float32")
    y = (x[:, 0] + rng.normal(size=400) > 0).astype("int32")
    assert messages((x, y)) == ""
    assert "are labels and inputs related at all" in messages((x, rng.permutation(y)))


def rare_class(rng):
    """Draw 3 % of a class that differs from the other in a few features."""
    y = (rng.random(2000) < 0.03).astype("int32")
    x = rng.normal(size=(2000, 15)).astype("float32")
    x[y == 1, :3] += 1.5
    return x, y


def tokens(rng):
    """Draw sequences of twelve tokens, whose worths add up to the label."""
    x = rng.integers(0, 200, size=(1000, 12)).astype("int32")
    return x, (rng.normal(size=200)[x].sum(axis=1) > 0).astype("int32")


def in_order(rng):
    """Draw sequences that hold both token 0 and token 1; which comes first is the label."""
    x = rng.integers(2, 20, size=(800, 10)).astype("int32")
    places = rng.permuted(np.tile(np.arange(10), (800, 1)), axis=1)[:, :2]
    np.put_along_axis(x, places, [[0, 1]], axis=1)
    return x, (places[:, 0] < places[:, 1]).astype("int32")


def inside_a_ball(rng):
    """Draw points; no single direction tells which of them are near the middle."""
    x = rng.normal(size=(600, 8)).astype("float32")
    return x, ((x**2).sum(axis=1) < 7).astype("int32")


@pytest.mark.parametrize("draw", [rare_class, tokens, in_order, inside_a_ball])
def test_related_and_shuffled_labels_are_told_apart(draw):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, y = draw(rng)
        result = checks.check_data((x, y), seed=seed)
        assert result.passed, result
        assert result.measured["chance_of_relation"] < 0.01
        shuffled = checks.check_data((x, rng.permutation(y)), seed=seed)
        assert "related at all" in shuffled.findings[-1].message
        assert shuffled.measured["chance_of_relation"] > 0.01


def test_shuffled_labels_are_taken_for_related_as_often_as_the_level_says():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3))
    found = [chance_of_relation(x, rng.integers(0, 2, size=120), seed) for seed in range(200)]
    # A p-value is uniform: of 200, 2 are below 0.01 on average, and 7 or more once in 200 times.
    assert sum(p <= 0.01 for p in found) < 7
    assert stats.kstest(found, "uniform").pvalue > 1e-3


def test_few_examples_are_not_judged():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 3))
    assert "chance_of_relation" not in checks.check_data((x, np.arange(90) % 2)).measured
    rare = (np.arange(900) < 15).astype("int32")
    result = checks.check_data((rng.normal(size=(900, 3)), rare))
    assert "chance_of_relation" not in result.measured
    assert result.passed
    assert [f.severity for f in result.findings] == ["note"]  # a rare class is no mistake


def test_an_example_that_both_sets_share_by_accident_is_a_note():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    y = (x[:, 0] > 0).astype("int32")
    once = checks.check_data((x[:200], y[:200]), (np.r_[x[:1], x[200:]], np.r_[y[:1], y[200:]]))
    assert [f.severity for f in once.findings] == ["note"]
    assert "1 of 101 validation examples" in once.findings[0].message
    often = checks.check_data((x[:200], y[:200]), (x[150:], y[150:]))
    assert [f.severity for f in often.findings] == ["error"]


# -------------------------------------------------------------------------------------- preflight


def test_preflight_prints_what_is_wrong(pair, capsys):
    case = zoo.bug("gradient_sign").build()
    report = checks.preflight(case.net, case.loss, case.data, case.validation, **case.fit_options)
    printed = capsys.readouterr().out
    assert printed == f"{report!r}\n"
    assert "error: check_gradients: the gradient is wrong in" in printed
    assert "opposite sign" in printed
    assert report["check_gradients"].verdict == "wrong"
    assert "<td>check_gradients</td>" in report._repr_html_()
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities)
    with pytest.raises(KeyError, match="the checks that ran are check_data"):
        report["gradients"]


def test_preflight_without_an_optimizer_and_of_a_loss_that_breaks(pair):
    report = checks.preflight(digits_net(0), CE, pair, verbose=False)
    assert report.passed
    assert "rehearse" not in {result.check for result in report.results}

    def breaks(z, y):
        if len(y) == 1:
            raise ValueError("not for one example")
        return CE(z, y)

    report = checks.preflight(digits_net(0), breaks, pair, verbose=False)
    (finding,) = report.findings
    assert finding.source == "check_independence"
    assert "not for one example" in finding.message


def test_bad_arguments(pair):
    net = digits_net(0)
    for options, message in (
        ({"h": 0.0}, r"h is 0\.0; expected a positive number"),
        ({"per_parameter": 0}, "per_parameter is 0"),
        ({"examples": 0}, "examples is 0"),
        ({"burn_in": -1}, "burn_in is -1"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
    ):
        with pytest.raises(ValueError, match=message):
            checks.check_gradients(net, CE, *pair, **options)
    with pytest.raises(ValueError, match=r"h is \[0\]; expected positive steps"):
        checks.sweep_h(net, CE, *pair, [0])
    with pytest.raises(ValueError, match="h is -1"):
        checks.difference(np.tanh, 0, -1)
    with pytest.raises(ValueError, match="labels out of range"):
        checks.check_gradients(net, CE, pair[0], pair[1] + 5)
    with pytest.raises(ValueError, match="labels out of range"):
        checks.preflight(net, CE, (pair[0], pair[1] + 5))
    with pytest.raises(ValueError, match="not initialised"):
        checks.check_gradients(mx.gluon.nn.Dense(3), CE, *pair)


def test_float64_and_another_device(pair):
    for options in ({"dtype": "float64"}, {"device": "cpu(1)"}):
        net = digits_net(0, **options)
        assert checks.check_gradients(net, CE, *pair, burn_in=5).verdict == "happy"
        assert net[0].weight.list_ctx() == [mx.cpu(1 if "device" in options else 0)]


def test_the_rehearsal_says_what_the_run_then_does():
    case = digits_case(0)
    result = checks.rehearse(case.net, case.loss, case.data, case.validation, **case.fit_options)
    assert result.passed
    history = fit(case.net, case.data, loss=case.loss, progress=False, **case.fit_options)
    assert result.measured["train_first"] == pytest.approx(history["train_loss"][0])
    assert result.measured["train_last"] == pytest.approx(history["train_loss"][-1])


def test_a_loss_that_no_output_moves_is_found():
    x, _ = data.moons(60, rng=0)
    target = x[:, 0].astype("float32")
    net = layers.mlp(2, [8], 1, "tanh", seed=0)

    def deviation(outputs, targets):
        return targets.reshape(-1) - outputs.reshape(-1)

    def meant(outputs, targets):
        d = deviation(outputs, targets)
        return (d > 0).astype("float32") * 0.7 * d - (d <= 0).astype("float32") * 0.3 * d

    def written(outputs, targets):  # MXNet computes a condition times a fraction in whole numbers
        d = deviation(outputs, targets)
        return (d > 0) * 0.7 * d - (d <= 0) * 0.3 * d

    right = checks.check_initial_loss(net, (x, target), loss=meant)
    wrong = checks.check_initial_loss(net, (x, target), loss=written)
    assert right.passed
    assert wrong.measured["loss"] == 0  # the day MXNet computes it, this finding has no example
    assert "the loss of 60 examples depends on no output" in str(wrong)
