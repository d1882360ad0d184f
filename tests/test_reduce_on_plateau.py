"""`training.ReduceOnPlateau`: the rate falls when it should, for any rule, and resumes."""

import numpy as onp
import pytest

from nnbook import data, layers, losses, optim, schedules, training
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx

X, Y = data.two_gaussians(n=60, rng=0, dtype="float32")
Y = Y.reshape(-1, 1)


class Rates(training.Callback):
    """Note the rate at the end of every epoch."""

    def __init__(self):
        self.seen = []

    def on_epoch_end(self, run, row):
        self.seen.append(run.learning_rate)


def fit(optimizer, callbacks, epochs=6, device=None, hybridize=False):
    net = layers.mlp(2, [3], 1, seed=0)
    if hybridize:
        net.hybridize()
    history = training.fit(
        net,
        (X, Y),
        validation=(X, Y),
        loss=losses.squared_error,
        optimizer=optimizer,
        batch_size=10,
        epochs=epochs,
        callbacks=callbacks,
        progress=False,
        device=device,
    )
    return ParameterVector(net).theta.asnumpy().copy(), history


# No loss improves by 10, so there is a cut after every epoch but the first.
def impatient(**options):
    return training.ReduceOnPlateau(factor=0.5, patience=1, smallest_change=10.0, **options)


def scheduled(update):
    return 0.25 if update < 12 else 0.125


@pytest.mark.parametrize(
    "rule", [optim.momentum(0.25), mx.optimizer.Adam(learning_rate=0.25)], ids=["rule", "mxnet"]
)
def test_the_rate_is_cut_after_every_epoch_without_an_improvement(rule):
    reduce, rates = impatient(), Rates()
    fit(rule, [rates, reduce], epochs=4)
    assert rates.seen == [0.25, 0.25, 0.125, 0.0625]
    assert reduce.cuts == [2, 3, 4]
    assert reduce.scale == 0.125


@pytest.mark.parametrize("kind", ["rule", "mxnet"])
def test_a_schedule_goes_on_below_the_cuts(kind):
    class Scheduler(mx.lr_scheduler.LRScheduler):
        def __call__(self, update):
            return scheduled(update)

    rule = (
        optim.sgd(scheduled)
        if kind == "rule"
        else mx.optimizer.SGD(learning_rate=0.25, lr_scheduler=Scheduler())
    )
    rates = Rates()
    fit(rule, [rates, impatient()], epochs=4)
    # Epochs end after 6, 12, 18 and 24 steps; the cut after an epoch comes with the next.
    assert rates.seen == [0.25, 0.125, 0.0625, 0.03125]


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("device", [mx.cpu(), mx.cpu(1)], ids=str)
def test_it_is_the_run_with_those_rates(device, hybridize):
    theta, _ = fit(optim.sgd(0.2), [impatient()], epochs=3, device=device, hybridize=hybridize)
    # 6 steps an epoch; the first cut comes after the second epoch.
    rates = schedules.joined([0.2, 0.1], [12])
    expected, _ = fit(optim.sgd(rates), [], epochs=3, device=device, hybridize=hybridize)
    onp.testing.assert_allclose(theta, expected, rtol=1e-5)
    other, _ = fit(optim.sgd(0.2), [], epochs=3)
    assert onp.abs(theta - other).max() > 1e-3


def test_before_a_cut_nothing_changes():
    patient, _ = fit(optim.adam(0.05), [training.ReduceOnPlateau(patience=50)])
    alone, _ = fit(optim.adam(0.05), [])
    assert (patient == alone).all()


def test_patience_minimum_and_accuracy():
    reduce = training.ReduceOnPlateau("val_accuracy", factor=0.5, patience=2, minimum=0.3)
    assert not reduce.rule.smaller_is_better
    rows = [{"val_accuracy": v} for v in (0.5, 0.6, 0.6, 0.6, 0.7, 0.1, 0.1, 0.1, 0.1)]
    run = type("Run", (), {"epoch": 0})()
    scales = []
    for run.epoch, row in enumerate(rows, 1):
        reduce.on_epoch_end(run, row)
        scales.append(reduce.scale)
    assert scales == [1, 1, 1, 0.5, 0.5, 0.5, 0.3, 0.3, 0.3]
    assert reduce.cuts == [4, 7]


@pytest.mark.parametrize("optimizer", [optim.momentum(0.1), mx.optimizer.Adam(learning_rate=0.05)])
def test_a_resumed_run_is_the_same_bit_for_bit(optimizer, tmp_path):
    path = tmp_path / "run.checkpoint"
    whole = impatient()
    expected, _ = fit(optimizer, [whole], epochs=6)
    fit(optimizer, [impatient(), training.Checkpoint(path)], epochs=3)
    resumed = impatient()
    theta, history = fit(optimizer, [resumed, training.Checkpoint(path)], epochs=6)
    assert (theta == expected).all()
    assert len(history) == 6
    assert resumed.cuts == whole.cuts == [2, 3, 4, 5, 6]
    assert resumed.state() == whole.state()


def test_a_callback_serves_a_second_run():
    reduce = impatient()
    first, _ = fit(optim.sgd(0.1), [reduce])
    second, _ = fit(optim.sgd(0.1), [reduce])
    assert (first == second).all()


def test_the_optimizer_given_keeps_its_rate():
    optimizer = mx.optimizer.SGD(learning_rate=0.1)
    fit(optimizer, [impatient()])
    assert optimizer.lr == 0.1


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="factor is 1; expected a number"):
        training.ReduceOnPlateau(factor=1)
    with pytest.raises(ValueError, match="patience is 0"):
        training.ReduceOnPlateau(patience=0)
    with pytest.raises(KeyError, match="ReduceOnPlateau watches 'f1', but fit recorded epoch"):
        fit(optim.sgd(0.1), [training.ReduceOnPlateau("f1")])
