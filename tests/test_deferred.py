"""Networks whose shapes are deferred: whoever gets data first completes them, as Gluon would."""

import numpy as onp
import pytest

from nnbook import checks, ensemble, losses, monitors, optim, population, training
from nnbook.gluon.deferred import complete
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx, np

nn = mx.gluon.nn
CE = losses.softmax_cross_entropy
X = onp.random.default_rng(0).normal(size=(60, 5)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")
DATA = (X, Y)
FIT = {"loss": CE, "optimizer": optim.sgd(0.1), "epochs": 1, "progress": False}


def deferred(seed=3):
    net = nn.HybridSequential()
    net.add(nn.Dense(6, activation="tanh"), nn.Dropout(0.3), nn.BatchNorm(), nn.Dense(2))
    mx.random.seed(seed)
    net.initialize()
    return net


def values(net):
    return [parameter.data().asnumpy() for parameter in net.collect_params().values()]


def as_gluon_would():
    net = deferred()
    net(np.array(X[:2]))
    return values(net)


READERS = {
    "evaluate": lambda net: training.evaluate(net, DATA, CE),
    "example_losses": lambda net: training.example_losses(net, DATA, CE),
    "example_outputs": lambda net: training.example_outputs(net, X),
    "range_test": lambda net: training.range_test(net, DATA, loss=CE, optimizer=optim.sgd(0.1)),
    "layer_outputs": lambda net: monitors.layer_outputs(net, X),
    "ensemble": lambda net: ensemble.Ensemble([net]).predict(X),
    "check_gradients": lambda net: checks.check_gradients(net, DATA, loss=CE),
    "check_gradients, old order": lambda net: checks.check_gradients(net, CE, X, Y),
    "sweep_h": lambda net: checks.sweep_h(net, DATA, [1e-5], loss=CE),
    "check_initial_loss": lambda net: checks.check_initial_loss(net, DATA, loss=CE),
    "check_independence": lambda net: checks.check_independence(net, DATA, loss=CE),
    "check_regularization": lambda net: checks.check_regularization(
        net, DATA, losses.l2_penalty(0.1), loss=CE
    ),
    "overfit_tiny_subset": lambda net: checks.overfit_tiny_subset(net, DATA, loss=CE),
    "rehearse": lambda net: checks.rehearse(net, DATA, loss=CE, optimizer=optim.sgd(0.1)),
    "preflight": lambda net: checks.preflight(
        net, DATA, loss=CE, optimizer=optim.sgd(0.1), verbose=False
    ),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
def test_a_reader_completes_the_network_and_changes_nothing_else(read):
    net = deferred()
    read(net)
    for found, expected in zip(values(net), as_gluon_would(), strict=True):
        assert (found == expected).all()


@pytest.mark.parametrize("recording", [False, True])
def test_completing_draws_what_gluon_would_draw_whatever_is_recorded(recording):
    net = deferred()
    if recording:
        with mx.autograd.record():
            complete(net, X)
    else:
        complete(net, X)
    for found, expected in zip(values(net), as_gluon_would(), strict=True):
        assert (found == expected).all()  # the running statistics too: nothing was trained


def test_training_starts_from_the_weights_that_gluon_would_draw():
    known = deferred()
    complete(known, X)
    unknown = deferred()
    histories = [training.fit(net, DATA, seed=1, **FIT) for net in (unknown, known)]
    assert histories[0][-1]["train_loss"] == histories[1][-1]["train_loss"]
    for one, other in zip(values(known), values(unknown), strict=True):
        assert (one == other).all()


def test_populations_monitors_and_devices_take_deferred_shapes():
    population.fit_population(
        [deferred(1), deferred(2)], DATA, batch_size=10, seeds=[0, 1], **_without_progress()
    )
    training.fit(deferred(), DATA, callbacks=monitors.watch(), **FIT)
    net = deferred()
    training.fit(net, DATA, device="cpu(1)", **FIT)
    assert next(iter(net.collect_params().values())).list_ctx() == [mx.cpu(1)]


def _without_progress():
    return {key: value for key, value in FIT.items() if key != "progress"}


def test_only_a_bare_vector_says_that_shapes_are_unknown():
    with pytest.raises(ValueError, match="deferred shape"):
        ParameterVector(deferred())


def test_examples_that_do_not_fit_and_networks_that_are_not_initialised():
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3), nn.Dense(2))
    net.initialize()
    with pytest.raises(ValueError, match=r"does not take examples of shape \(5,\)"):
        checks.check_gradients(net, DATA, loss=CE)
    with pytest.raises(ValueError, match=r"call net.initialize\(\) first"):
        checks.check_gradients(nn.Dense(2), DATA, loss=CE)
