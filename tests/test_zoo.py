"""The zoo: every bug runs and differs from its correct twin; every correct net learns."""

import functools
import re

import numpy as np
import pytest

from nnbook import losses, zoo
from nnbook.parameters import ParameterVector, clone
from nnbook.runtime import mx
from nnbook.training import DivergedError, evaluate, fit
from nnbook.zoo.handwritten import (
    Affine,
    Drop,
    Rectifier,
    TallTanh,
    Tanh,
    hand_written_cross_entropy,
    hand_written_hinge,
)

every_bug = pytest.mark.parametrize("bug", [*zoo.BUGS, *zoo.LATER_BUGS], ids=lambda bug: bug.name)
every_net = pytest.mark.parametrize("net", zoo.CORRECT, ids=lambda net: net.name)
DETECTORS = {
    "check_data",
    "check_gradients",
    "check_initial_loss",
    "check_regularization",
    "overfit_tiny_subset",
    "ActivationHistogram",
    "DeadUnits",
    "Gap",
    "GradientHistogram",
    "GradientNorm",
    "UpdateRatio",
}


def run(case):
    return fit(
        case.net, case.data, case.validation, loss=case.loss, progress=False, **case.fit_options
    )


def first_minibatch(case, device=None, train_mode=True):
    """The loss of the first minibatch, and its gradient in every parameter."""
    x, y = (mx.np.array(part[:32], dtype=part.dtype, ctx=device) for part in case.data)
    theta = ParameterVector(case.net)
    mx.random.seed(0)
    with mx.autograd.record(train_mode=train_mode):
        loss = case.loss(case.net(x.astype(theta.theta.dtype)), y).mean()
    loss.backward()
    return float(loss), theta.grad.asnumpy().copy()


@functools.lru_cache(maxsize=2)
def outcome(bug, mistaken):
    """What a run shows: the training losses, and the validation loss in the end."""
    case = bug.build() if mistaken else bug.correct()
    history = run(case)
    return history["train_loss"], evaluate(case.net, case.validation, case.loss)["loss"]


def apart(first, second):
    """The relative distance of two numbers or arrays."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    scale = max(np.linalg.norm(first), np.linalg.norm(second))
    return np.linalg.norm(first - second) / scale


# --------------------------------------------------------------------------------- the bugs


def test_the_zoo_is_large_and_every_name_is_its_own():
    assert len(zoo.BUGS) >= 26
    assert len(zoo.CORRECT) >= 24
    names = [each.name for each in (*zoo.BUGS, *zoo.CORRECT)]
    assert len(set(names)) == len(names)
    titles = [each.title for each in (*zoo.BUGS, *zoo.CORRECT)]
    assert len(set(titles)) == len(titles)


@every_bug
def test_a_bug_is_described(bug):
    assert re.fullmatch(r"[a-z][a-z0-9_]+", bug.name)
    for sentence in (bug.mistake, bug.symptom):
        assert sentence.endswith(".")
    assert set(bug.caught_by) <= DETECTORS
    assert bug.missed_by in DETECTORS - set(bug.caught_by)
    assert zoo.bug(bug.name) is bug


@every_bug
def test_a_bug_differs_from_its_correct_twin(bug):
    if bug.differs in ("loss", "gradient"):
        (bad, bad_slope), (good, slope) = map(first_minibatch, (bug.build(), bug.correct()))
        assert np.isfinite(good)
        if bug.differs == "gradient":
            assert np.isfinite(bad)
            assert apart(bad_slope, slope) > 0.05
        elif np.isfinite(bad):
            assert apart(bad, good) > 0.02
    if bug.raises is not None:
        with pytest.raises(bug.raises):
            run(bug.build())
        assert np.isfinite(run(bug.correct())["train_loss"]).all()
        return
    (bad_losses, bad), (good_losses, good) = outcome(bug, True), outcome(bug, False)
    assert np.isfinite(bad_losses).all()
    # Whatever the mistake, the correct twin learns.
    assert good_losses[-1] < 0.6 * good_losses[0]
    if bug.differs == "trajectory":
        shared = min(len(bad_losses), len(good_losses))
        assert apart(bad_losses[:shared], good_losses[:shared]) > 0.005
    if bug.differs == "validation":
        assert apart(bad, good) > 0.1


# Other initial weights, not another derivative.
OTHER_WEIGHTS = {"dead_relus", "tiny_weights"}


@pytest.mark.parametrize(
    "name", [b.name for b in zoo.BUGS if b.differs == "gradient" and b.name not in OTHER_WEIGHTS]
)
def test_a_wrong_gradient_is_of_the_same_loss(name):
    bug = zoo.bug(name)
    (bad, _), (good, _) = map(first_minibatch, (bug.build(), bug.correct()))
    assert bad == pytest.approx(good, rel=1e-5)


def test_the_mistakes_that_a_first_look_cannot_see():
    for name in ("hinge_gradient", "stale_activations"):
        bug = zoo.bug(name)
        (_, bad), (_, good) = map(first_minibatch, (bug.build(), bug.correct()))
        assert apart(bad, good) < 1e-5, name


def test_the_numbers_that_the_symptoms_give():
    assert first_minibatch(zoo.bug("loss_averaged_over_classes").build())[0] == pytest.approx(
        0.1 * first_minibatch(zoo.bug("loss_averaged_over_classes").correct())[0], rel=1e-5
    )
    # Softmax of [1, 0, …, 0] gives the right class e/(e + 9) at the most.
    floor = np.log((np.e + 9) / np.e)
    assert floor == pytest.approx(1.46, abs=0.005)
    losses_, _ = outcome(zoo.bug("softmax_twice"), True)
    assert losses_[-1] > floor
    case = zoo.bug("softmax_over_examples").build()
    case.net[-1].weight.set_data(0 * case.net[-1].weight.data())
    assert first_minibatch(case)[0] == pytest.approx(np.log(32), rel=1e-5)
    case = zoo.bug("targets_broadcast").build()
    run(case)
    x, y = case.validation
    outputs = case.net(mx.np.array(x, dtype="float32")).asnumpy()
    assert outputs.std() < 0.25 * y.std()
    case = zoo.bug("product_of_probabilities").build()
    exact = losses.softmax_cross_entropy(
        clone(case.net, "float64")(mx.np.array(case.data[0][:64], dtype="float64")),
        case.data[1][:64],
    )
    assert np.isfinite(exact.asnumpy()).all()
    case = zoo.bug("dead_relus").build()
    hidden = case.net[1](case.net[0](mx.np.array(case.data[0])))
    assert float(hidden.max()) == 0
    case = zoo.bug("frozen_layer").build()
    before = case.net[0].weight.data().asnumpy().copy()
    run(case)
    np.testing.assert_array_equal(case.net[0].weight.data().asnumpy(), before)
    biased = zoo.bug("bias_without_gradient").build()
    run(biased)
    assert float(abs(biased.net[0].bias.data()).max()) == 0
    case = zoo.bug("hinge_sign").build()
    run(case)
    assert evaluate(case.net, case.validation, case.loss)["accuracy"] < 0.05
    case = zoo.bug("features_chosen_on_all_data").build()
    run(case)
    assert evaluate(case.net, case.validation, case.loss)["accuracy"] > 0.7


def test_what_raises_says_so():
    assert {bug.name for bug in zoo.BUGS if bug.raises} == {
        "product_of_probabilities",
        "rate_diverges",
        "tanh_slope_at_the_input",
    }
    assert all(bug.raises in (None, DivergedError) for bug in zoo.BUGS)


def test_an_unknown_bug():
    with pytest.raises(KeyError, match=r"no bug 'off_by_two'; expected one of gradient_sign"):
        zoo.bug("off_by_two")


def test_the_same_seed_gives_the_same_case():
    first, again, other = (zoo.bug("gradient_sign").build(seed) for seed in (1, 1, 2))
    assert first.net is not again.net
    one, two, three = (first_minibatch(case)[1] for case in (first, again, other))
    np.testing.assert_array_equal(one, two)
    assert apart(one, three) > 0.1


# ----------------------------------------------------------------- what is said to be correct


def slope_error(function, *inputs):
    """How far hand-written slopes are from central differences, relative, in float64."""
    arrays = [mx.np.array(values, dtype="float64") for values in inputs]
    weight = mx.np.array(np.random.default_rng(9).normal(size=function(*arrays).shape), "float64")
    for array in arrays:
        array.attach_grad()
    with mx.autograd.record():
        total = (weight * function(*arrays)).sum()
    total.backward()
    worst, h = 0.0, 1e-5
    for array in arrays:
        numeric = np.empty(array.size)
        base = array.asnumpy()
        for i in range(array.size):
            values = []
            for sign in (1, -1):
                moved = base.reshape(-1).copy()
                moved[i] += sign * h
                array[...] = mx.np.array(moved.reshape(base.shape), dtype="float64")
                values.append(float((weight * function(*arrays)).sum()))
            numeric[i] = (values[0] - values[1]) / (2 * h)
        array[...] = mx.np.array(base, dtype="float64")
        worst = max(worst, apart(array.grad.asnumpy().reshape(-1), numeric))
    return worst


def test_the_correct_derivatives_by_central_differences():
    rng = np.random.default_rng(0)
    z, labels = rng.normal(size=(4, 5)), mx.np.array([0, 3, 1, 4], dtype="int32")
    assert slope_error(lambda z: hand_written_cross_entropy(z, labels), z) < 1e-8
    assert slope_error(lambda z: hand_written_hinge(z, labels), z) < 1e-8
    for operation in (Tanh, Rectifier, TallTanh):
        assert slope_error(lambda x, operation=operation: operation()(x), z) < 1e-8
    assert slope_error(lambda w, b, x: Affine()(w, b, x), rng.normal(size=(3, 5)), [1, 2, 3], z) < (
        1e-8
    )

    def dropped(x):
        mx.random.seed(3)
        return Drop()(x)

    assert slope_error(dropped, z) < 1e-8


@every_net
def test_a_correct_net_learns(net):
    case = net.build()
    before = evaluate(case.net, case.validation, case.loss)
    history = run(case)
    after = evaluate(case.net, case.validation, case.loss)
    assert history["train_loss"][-1] < 0.5 * history["train_loss"][0]
    assert after["loss"] < 0.5 * before["loss"]
    if "accuracy" in after:
        assert after["accuracy"] > 0.75


# --------------------------------------------------------------------------- other ways to run


@pytest.mark.parametrize("each", [*zoo.BUGS, *zoo.CORRECT], ids=lambda each: each.name)
def test_another_device_and_a_copy_in_double_precision(each):
    case = each.build(device="cpu(1)")
    devices = {p.list_ctx()[0] for p in case.net.collect_params().values()}
    assert devices == {mx.cpu(1)}
    loss, slope = first_minibatch(case, mx.cpu(1), train_mode=False)
    # A check works on a copy in float64, so every case must survive that.
    twin = clone(case.net, "float64")
    x, y = (mx.np.array(part[:32], dtype=part.dtype, ctx=mx.cpu(1)) for part in case.data)
    if y.dtype != np.int32:
        y = y.astype("float64")
    with mx.autograd.record(train_mode=False):
        exact = case.loss(twin(x.astype("float64")), y).mean()
    exact.backward()
    assert exact.dtype == np.float64
    if np.isfinite(loss) and each.name != "dropout_left_on":
        assert loss == pytest.approx(float(exact), rel=1e-3, abs=1e-6)
        assert np.isfinite(slope).all()
