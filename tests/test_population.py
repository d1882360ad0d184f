"""Populations: every member is the model that would have been trained alone."""

import numpy as np
import pytest

from nnbook import data, layers, losses, optim, training
from nnbook.parameters import ParameterVector
from nnbook.population import NotStackable, Stack, fit_population
from nnbook.runtime import mx

K = 6


@pytest.fixture(scope="module")
def digits():
    """The 8×8 digits, in two parts."""
    x, y = data.load_digits_8x8()
    rows = np.random.default_rng(0).permutation(len(x))
    x, y = x[rows], y[rows]
    return (x[:500], y[:500]), (x[500:700], y[500:700])


def nets(activation="tanh", hidden=(20,), count=K, **options):
    return [
        layers.mlp(64, list(hidden), 10, activation=activation, seed=s, **options)
        for s in range(count)
    ]


def theta(net):
    return ParameterVector(net).theta.asnumpy()


def distance(a, b):
    return np.linalg.norm(theta(a) - theta(b)) / np.linalg.norm(theta(b))


RULES = {
    "sgd": (lambda r: optim.sgd(r), 0.1),
    "momentum": (lambda r: optim.momentum(r, momentum=0.9), 0.02),
    "nesterov": (lambda r: optim.nesterov(r, momentum=0.8), 0.02),
    "adagrad": (lambda r: optim.adagrad(r), 0.02),
    "rmsprop": (lambda r: optim.rmsprop(r), 0.001),
    "adam": (lambda r: optim.adam(r), 0.002),
    "adamw": (lambda r: optim.adamw(r, weight_decay=0.1), 0.002),
}


@pytest.mark.parametrize("name", RULES)
def test_every_member_equals_the_model_trained_alone(name, digits):
    make, rate = RULES[name]
    rates = rate * np.array([0.5, 1.0, 2.0] * 2)
    seeds = [0, 0, 0, 5, 5, 7]  # two groups that share minibatches, and a member of its own
    stacked, alone = nets(), nets()
    options = {"loss": losses.softmax_cross_entropy, "batch_size": 10, "epochs": 4}  # 200 steps
    train, validation = digits
    histories = fit_population(
        stacked, train, validation, optimizer=make(rates), seeds=seeds, **options
    )
    for k in range(K):
        history = training.fit(
            alone[k], train, validation, optimizer=make(rates[k]), seed=seeds[k], **options
        )
        assert distance(stacked[k], alone[k]) < 1e-4
        assert histories[k].columns == history.columns
        for column in ("train_loss", "val_loss", "val_accuracy"):
            np.testing.assert_allclose(histories[k][column], history[column], rtol=1e-3)


@pytest.mark.parametrize("activation", ["sigmoid", "scaled_tanh", "relu", "identity"])
def test_deep_members_with_own_orders_penalties_and_momenta(activation, digits):
    train, _ = digits
    momenta = np.array([0.0, 0.5, 0.9] * 2)
    penalties = [losses.l2_penalty(0.01 * k) for k in range(K)]
    penalties[2], penalties[3] = None, losses.l1_penalty(0.001)
    stacked, alone = nets(activation, (16, 12)), nets(activation, (16, 12))
    options = {"loss": losses.softmax_cross_entropy, "batch_size": 32, "epochs": 3}
    fit_population(
        stacked,
        train,
        optimizer=optim.momentum(0.02, momentum=momenta),
        penalty=penalties,
        **options,
    )
    for k in range(K):
        rule = optim.momentum(0.02, momentum=momenta[k])
        training.fit(alone[k], train, optimizer=rule, seed=k, penalty=penalties[k], **options)
        assert distance(stacked[k], alone[k]) < 1e-4


def test_float64_members_agree_to_rounding(digits):
    (x, y), _ = digits
    train = x.astype("float64"), y
    stacked, alone = nets(dtype="float64"), nets(dtype="float64")
    options = {
        "loss": losses.softmax_cross_entropy,
        "optimizer": optim.adam(0.001),
        "batch_size": 20,
        "epochs": 2,
    }
    fit_population(stacked, train, seeds=[3] * K, **options)
    for k in range(K):
        training.fit(alone[k], train, seed=3, **options)
        assert distance(stacked[k], alone[k]) < 1e-11


def test_regression_targets_and_a_schedule():
    x, y = data.two_gaussians()
    train = x, y.reshape(-1, 1)
    make = lambda: [layers.mlp(2, [4], 1, activation="tanh", seed=s) for s in range(3)]  # noqa: E731
    stacked, alone = make(), make()
    options = {
        "loss": losses.squared_error,
        "optimizer": optim.sgd(lambda step: 0.1 / (1 + 0.01 * step)),
        "batch_size": 10,
        "epochs": 5,
    }
    histories = fit_population(stacked, train, train, **options)
    for k in range(3):
        training.fit(alone[k], train, seed=k, **options)
        assert distance(stacked[k], alone[k]) < 1e-5
        assert "val_accuracy" not in histories[k].columns


def test_members_with_dropout_have_the_masks_of_their_seeds(digits):
    train, _ = digits

    def trained(seeds):
        nets = [layers.mlp(64, [20], 10, seed=0, dropout=0.5) for _ in seeds]
        options = {"loss": losses.softmax_cross_entropy, "optimizer": optim.sgd(0.1), "epochs": 1}
        fit_population(nets, train, seeds=seeds, **options)
        return nets

    one, other = trained([0, 1])
    assert distance(one, other) > 1e-3
    for net in trained([0, 0]):
        assert np.array_equal(theta(net), theta(one))


def test_members_stop_early_by_themselves_and_keep_their_best(digits):
    train, validation = digits
    rates = np.array([0.02, 0.1, 0.3])
    stacked, alone = nets(count=3), nets(count=3)
    options = {"loss": losses.softmax_cross_entropy, "batch_size": 10, "epochs": 40}
    stopping = training.EarlyStopping(patience=1)
    histories = fit_population(
        stacked, train, validation, optimizer=optim.sgd(rates), early_stopping=stopping, **options
    )
    lengths = []
    for k in range(3):
        history = training.fit(
            alone[k],
            train,
            validation,
            optimizer=optim.sgd(rates[k]),
            seed=k,
            callbacks=[training.EarlyStopping(patience=1)],
            **options,
        )
        lengths.append(len(history))
        assert len(histories[k]) == len(history)
        assert bool(histories[k].stopped) == bool(history.stopped)
        measured = training.evaluate(stacked[k], validation, losses.softmax_cross_entropy)
        assert measured["loss"] == pytest.approx(min(histories[k]["val_loss"]), rel=1e-3)
    assert len(set(lengths)) > 1  # else this shows nothing


def test_a_member_that_diverges_leaves_the_others_alone():
    x, y = data.two_gaussians()
    train = x, y.reshape(-1, 1)
    make = lambda: [layers.mlp(2, [], 1, seed=s) for s in range(3)]  # noqa: E731
    stacked, alone = make(), make()
    options = {"loss": losses.squared_error, "batch_size": 10, "epochs": 30}
    histories = fit_population(stacked, train, optimizer=optim.sgd([0.1, 50.0, 0.2]), **options)
    assert "not finite" in histories[1].stopped
    assert len(histories[1]) < 30
    assert np.isfinite(theta(stacked[1])).all()
    for k, rate in ((0, 0.1), (2, 0.2)):
        assert len(histories[k]) == 30
        training.fit(alone[k], train, optimizer=optim.sgd(rate), seed=k, **options)
        assert distance(stacked[k], alone[k]) < 1e-5


def test_different_seeds_see_different_orders_and_equal_seeds_the_same(digits):
    train, _ = digits
    twins = [layers.mlp(64, [8], 10, seed=0) for _ in range(3)]
    fit_population(
        twins,
        train,
        loss=losses.softmax_cross_entropy,
        optimizer=optim.sgd(0.1),
        epochs=1,
        seeds=[0, 0, 1],
    )
    assert distance(twins[0], twins[1]) < 1e-6
    assert distance(twins[0], twins[2]) > 1e-3


def test_a_population_too_large_for_memory_is_split(digits):
    train, validation = digits
    whole, split = nets(), nets()
    options = {
        "loss": losses.softmax_cross_entropy,
        "optimizer": optim.sgd(np.linspace(0.05, 0.3, K)),
        "epochs": 2,
        "seeds": [0, 1, 0, 1, 0, 1],
    }
    one = fit_population(whole, train, validation, **options)
    parts = fit_population(split, train, validation, memory=1.0, **options)  # one member at a time
    for k in range(K):
        assert distance(whole[k], split[k]) < 1e-5
        np.testing.assert_allclose(one[k]["val_loss"], parts[k]["val_loss"], rtol=1e-4)


def test_networks_that_cannot_be_stacked_are_trained_one_by_one():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 1, 6, 6)).astype("float32")
    y = rng.integers(0, 3, 60).astype("int32")

    def convolution():
        nn = mx.gluon.nn
        net = nn.HybridSequential()
        net.add(nn.Conv2D(2, 3, in_channels=1), nn.Flatten(), nn.Dense(3, in_units=32))
        net.initialize(mx.init.Constant(0.1))
        return net

    options = {"loss": losses.softmax_cross_entropy, "batch_size": 12, "epochs": 2}
    both, alone = [convolution(), convolution()], convolution()
    with pytest.raises(NotStackable, match="the first layer is not Dense"):
        Stack(both)
    histories = fit_population(both, (x, y), optimizer=optim.sgd([0.1, 0.3]), **options)
    training.fit(alone, (x, y), optimizer=optim.sgd(0.3), seed=1, **options)
    assert len(histories) == 2
    assert np.array_equal(theta(both[1]), theta(alone))


def test_a_stack_on_another_device_leaves_its_arrays_there(digits):
    train, validation = digits
    here = [layers.mlp(64, [8], 10, seed=s, device="cpu(1)") for s in range(2)]
    for net in here:
        net.hybridize()
    fit_population(
        here,
        train,
        validation,
        loss=losses.softmax_cross_entropy,
        optimizer=optim.sgd(0.1),
        epochs=1,
    )
    for net in here:
        assert ParameterVector(net).theta.ctx == mx.cpu(1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"seeds": [0, 1]}, ValueError, "seeds has 2 entries for 3 networks"),
        ({"penalty": [None]}, ValueError, "penalty has 1 entries for 3 networks"),
        (
            {"optimizer": optim.sgd(np.array([0.1, 0.2]))},
            ValueError,
            r"learning_rate has shape \(2,\); expected one number, or 3",
        ),
        (
            {"optimizer": optim.momentum(0.1, momentum=np.array([0.5, 0.9]))},
            ValueError,
            r"momentum has shape \(2,\)",
        ),
        ({"optimizer": "sdg"}, ValueError, "optimizer is 'sdg'; expected one of"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"early_stopping": True}, TypeError, "early_stopping is True; expected None or an Early"),
        ({"callbacks": [[], ["loss"], []]}, TypeError, r"callbacks\[1\] has 'loss'; expected each"),
    ],
)
def test_bad_input_is_refused_before_anything_changes(options, error, message, digits):
    members = nets(count=3)
    before = [theta(net) for net in members]
    given = {"loss": losses.softmax_cross_entropy, "optimizer": optim.sgd(0.1), "epochs": 1}
    with pytest.raises(error, match=message):
        fit_population(members, digits[0], **(given | options))
    assert all(np.array_equal(a, theta(net)) for a, net in zip(before, members, strict=True))


def test_an_empty_population_is_refused(digits):
    with pytest.raises(ValueError, match="nets is empty"):
        fit_population(
            [], digits[0], loss=losses.softmax_cross_entropy, optimizer=optim.sgd(0.1), epochs=1
        )


def test_labels_out_of_range_are_refused(digits):
    (x, y), _ = digits
    wrong = y.copy()
    wrong[3] = 10
    with pytest.raises(ValueError, match="10"):
        fit_population(
            nets(count=2),
            (x, wrong),
            loss=losses.softmax_cross_entropy,
            optimizer=optim.sgd(0.1),
            epochs=1,
        )
