"""Bad input: an error before any work, with the value, what was expected and the way out."""

from __future__ import annotations

import numpy as onp
import pytest

from nnbook import data, layers, losses, optim, runtime, schedules, training
from nnbook.parameters import ParameterVector, clone
from nnbook.runtime import mx, np

gluon, nn = mx.gluon, mx.gluon.nn
X = onp.random.default_rng(0).normal(size=(10, 4)).astype("float32")
Y = (onp.arange(10) % 3).astype("int32")
softmax = gluon.loss.SoftmaxCrossEntropyLoss()


def with_value(array, value, *place):
    copy = array.copy()
    copy[place] = value
    return copy


def labels(value):
    return with_value(Y, value, 4)


def fit(net, train=(X, Y), **settings):
    defaults = {"loss": losses.softmax_cross_entropy, "optimizer": optim.sgd(0.1), "epochs": 2,
                "batch_size": 5}  # fmt: skip
    return training.fit(net, train, **{**defaults, **settings})


def two_outputs():
    class Two(gluon.Block):
        def __init__(self):
            super().__init__()
            self.dense = nn.Dense(3, in_units=4)

        def forward(self, x):
            return self.dense(x), self.dense(x)

    net = Two()
    net.initialize()
    return net


def mixed(net):
    net[0].cast("float64")
    return net


def on_two_devices(net):
    net.collect_params().reset_ctx([mx.cpu(0), mx.cpu(1)])
    return net


def all_frozen():
    net = layers.mlp(4, [], 3)
    net.collect_params().setattr("grad_req", "null")
    return net


NAN, INF = float("nan"), float("inf")
# Each: what is done with a net, the error, and what its message must say.
FIT = {
    # Sizes and settings.
    "no epochs": (
        lambda net: fit(net, epochs=0), ValueError, "epochs is 0; expected .* at least 1"
    ),
    "half an epoch": (
        lambda net: fit(net, epochs=1.5), TypeError, r"epochs is 1\.5; expected a wh"
    ),
    "batches of none": (
        lambda net: fit(net, batch_size=0), ValueError, "batch_size is 0; expected"
    ),
    "batches of -1": (
        lambda net: fit(net, batch_size=-1), ValueError, "batch_size is -1; expected"
    ),
    "batches of True": (
        lambda net: fit(net, batch_size=True), TypeError, "batch_size is True; exp"
    ),
    "a negative seed": (
        lambda net: fit(net, seed=-1), ValueError, "seed is -1; expected .* least 0"
    ),
    "a seed in words": (
        lambda net: fit(net, seed="one"), TypeError, "seed is 'one'; expected a wh"
    ),
    "an unknown device": (
        lambda net: fit(net, device="tpu"),
        ValueError,
        r"unknown device 'tpu': give 'cpu', 'cpu\(1\)'",
    ),
    "a device that is a number": (
        lambda net: fit(net, device=1), TypeError, "a device is .* it is 1"
    ),
    # Labels.
    "a label too large": (
        lambda net: fit(net, (X, labels(3))),
        ValueError,
        r"train y has 1 labels out of range, the first, 3, at \[4\]; expected .* 0 … 2.*Remove or",
    ),
    "a label -1": (
        lambda net: fit(net, (X, labels(-1))),
        ValueError,
        r"the first, -1, at \[4\]; .* Where −1 marks unlabelled examples, remove them",
    ),
    "labels from 1": (
        lambda net: fit(net, (X, Y + 1)),
        ValueError,
        r"3 labels out of range, the first, 3, at \[2\].*seem to count from 1: use y - 1",
    ),
    "an MXNet label too large": (
        lambda net: fit(net, (np.array(X), np.array(labels(7), dtype="int32"))),
        ValueError,
        r"1 labels out of range, the first, 7, at \[4\]",
    ),
    "a float label too large": (
        lambda net: fit(net, (X, labels(7).astype("float32"))),
        ValueError,
        r"1 labels out of range, the first, 7\.0, at \[4\]",
    ),
    "a float label too large for Gluon": (
        lambda net: fit(net, (X, labels(7).astype("float32")), loss=softmax),
        ValueError,
        r"1 labels out of range, the first, 7\.0, at \[4\]",
    ),
    "a label between classes": (
        lambda net: fit(net, (X, Y + 0.5), loss=losses.hinge),
        ValueError,
        r"train y has the value 0\.5 at \[0\]; expected class labels.*use a regression loss",
    ),
    "a validation label too large": (
        lambda net: fit(net, validation=(X, labels(5))),
        ValueError,
        r"validation y has 1 labels out of range, the first, 5, at \[4\]",
    ),
    "a column of labels": (
        lambda net: fit(net, (X, Y[:, None])),
        ValueError,
        r"outputs of shape \(2, 3\) with targets of shape \(2, 1\)",
    ),
    "one-hot labels for the hinge": (
        lambda net: fit(net, (X, onp.eye(3, dtype="float32")[Y]), loss=losses.hinge),
        ValueError,
        r"labels have shape \(2, 3\).*expected one class number for each example",
    ),
    # Data.
    "NaN": (
        lambda net: fit(net, (with_value(X, NAN, 3, 1), Y)),
        ValueError,
        r"train x has 1 values that are NaN or infinite, the first, nan, at \[3, 1\].*nan_to_num",
    ),
    "infinity": (
        lambda net: fit(net, (with_value(X, INF, 3, 1), Y)),
        ValueError,
        r"the first, inf, at \[3, 1\]; expected finite",
    ),
    "NaN in an MXNet array": (
        lambda net: fit(net, (np.array(with_value(X, NAN, 3, 1)), Y)),
        ValueError,
        r"train x has 1 values .* nan, at \[3, 1\]",
    ),
    "NaN in the validation set": (
        lambda net: fit(net, validation=(with_value(X, NAN, 0, 0), Y)),
        ValueError,
        r"validation x has 1 values .* at \[0, 0\]",
    ),
    "NaN in the targets": (
        lambda net: fit(net, (X, with_value(X[:, :3], NAN, 2, 2)), loss=losses.squared_error),
        ValueError,
        r"train y has 1 values .* nan, at \[2, 2\]",
    ),
    "one axis": (
        lambda net: fit(net, (X[:, 0], Y)),
        ValueError,
        r"train x has the shape \(10,\), expected \(n, features\).* use x\.reshape\(-1, 1\)",
    ),
    "lengths that differ": (
        lambda net: fit(net, (X[:9], Y)),
        ValueError,
        r"train x has 9 examples but train y has the shape \(10,\); expected 9 .*split",
    ),
    "nothing to train on": (
        lambda net: fit(net, (X[:0], Y[:0])),
        ValueError,
        r"train x is empty: its shape is \(0, 4\).* check how the data were split",
    ),
    "an empty validation set": (
        lambda net: fit(net, validation=(X[:0], Y[:0])),
        ValueError,
        r"validation x is empty: its shape is \(0, 4\)",
    ),
    "a set": (
        lambda net: fit(net, ({1.0, 2.0}, Y)),
        TypeError,
        r"train x is a set, expected a NumPy or MXNet array\. Convert it",
    ),
    "a list of rows that differ": (
        lambda net: fit(net, ([*X.tolist()[1:], [1.0]], Y)),
        ValueError,
        r"train x is a list whose rows differ in length",
    ),
    "strings": (lambda net: fit(net, (X.astype(str), Y)), TypeError, "train x has the dtype <U"),
    "complex numbers": (
        lambda net: fit(net, (X.astype(complex), Y)),
        TypeError,
        "train x has the dtype complex128, expected real numbers",
    ),
    "no pair": (
        lambda net: fit(net, X),
        TypeError,
        r"train is a ndarray; expected a pair \(x, y\) of arrays",
    ),
    "a triple": (lambda net: fit(net, (X, Y, Y)), TypeError, r"expected a pair \(x, y\) of arrays"),
    "features that do not fit": (
        lambda net: fit(net, (X[:, :3], Y)),
        ValueError,
        r"the network does not take train's examples of shape \(3,\): .*5,4",
    ),
    "targets that do not fit": (
        lambda net: fit(net, (X, X), loss=losses.squared_error),
        ValueError,
        r"the loss does not take outputs of shape \(2, 3\) with targets of shape \(2, 4\)",
    ),
    # Rules, losses, penalties, callbacks, orders.
    "a rule of no name": (
        lambda net: fit(net, optimizer="Adam"),
        ValueError,
        r"optimizer is 'Adam'; expected one of 'sgd'.* or a rule such as nnbook\.optim\.momentum",
    ),
    "a rule not called": (
        lambda net: fit(net, optimizer=optim.adam),
        TypeError,
        r"optimizer is <function adam .*; expected a rule such as",
    ),
    "a trainer": (
        lambda net: fit(net, optimizer=gluon.Trainer(net.collect_params(), "sgd")),
        TypeError,
        r"optimizer is <mxnet\.gluon\.trainer\.Trainer .*; expected a rule",
    ),
    "rates that do not fit": (
        lambda net: fit(net, optimizer=optim.sgd(onp.ones(3))),
        ValueError,
        r"learning_rate has shape \(3,\); expected .* each of the 43 parameters",
    ),
    "a loss of no name": (
        lambda net: fit(net, loss="softmax"),
        ValueError,
        r"loss is 'softmax'; expected one of .* or a function loss\(outputs, targets\)",
    ),
    "a loss that is a number": (
        lambda net: fit(net, loss=3),
        TypeError,
        r"loss is 3; expected a function loss\(outputs, targets\)",
    ),
    "a loss of many values": (
        lambda net: fit(net, loss=lambda outputs, y: outputs),
        ValueError,
        r"the loss returned shape \(2, 3\) for 2 examples; expected one value per example",
    ),
    "a loss that fails": (
        lambda net: fit(net, loss=lambda outputs, y: 1 / 0),
        ValueError,
        r"the loss does not take .* targets of shape \(2,\): division by zero",
    ),
    "a penalty that is a number": (
        lambda net: fit(net, penalty=0.1),
        TypeError,
        r"penalty is 0\.1; expected an object such as nnbook\.losses\.l2_penalty",
    ),
    "a callback outside a list": (
        lambda net: fit(net, callbacks=training.EarlyStopping()),
        TypeError,
        "callbacks is one EarlyStopping; expected a list",
    ),
    "a callback not made": (
        lambda net: fit(net, callbacks=[training.EarlyStopping]),
        TypeError,
        r"callbacks has <class .*EarlyStopping'>; expected each to be a Callback",
    ),
    "a function as a callback": (
        lambda net: fit(net, callbacks=[print]),
        TypeError,
        r"callbacks has <built-in function print>; expected",
    ),
    "an order beyond the data": (
        lambda net: fit(net, order=lambda n, epoch, rng: [0, n]),
        ValueError,
        "order returned indices from 0 to 10; expected 0 to 9",
    ),
    "an order with negative numbers": (
        lambda net: fit(net, order=lambda n, epoch, rng: [-1, 0]),
        ValueError,
        "order returned indices from -1 to 0; expected 0 to 9",
    ),
    "an order of fractions": (
        lambda net: fit(net, order=lambda n, epoch, rng: [0.5]),
        ValueError,
        r"order returned float64 of shape \(1,\); expected whole numbers in one axis",
    ),
    "an empty order": (
        lambda net: fit(net, order=lambda n, epoch, rng: onp.zeros(0, int)),
        ValueError,
        r"order returned int64 of shape \(0,\); expected whole numbers",
    ),
    # Evaluation.
    "a label too large to evaluate": (
        lambda net: training.evaluate(net, (X, labels(9)), softmax),
        ValueError,
        r"data y has 1 labels out of range, the first, 9, at \[4\]",
    ),
    "nothing to evaluate": (
        lambda net: training.evaluate(net, (X[:0], Y[:0]), softmax),
        ValueError,
        "data x is empty",
    ),
    "evaluating in batches of none": (
        lambda net: training.evaluate(net, (X, Y), softmax, batch_size=0),
        ValueError,
        "batch_size is 0; expected",
    ),
    # θ.
    "a θ of another length": (
        lambda net: setattr(ParameterVector(net), "theta", onp.zeros(3)),
        ValueError,
        r"theta has shape \(3,\); expected \(43,\)",
    ),
    "a θ that is a list": (
        lambda net: setattr(ParameterVector(net), "theta", [0.0] * 43),
        TypeError,
        "theta is set to a list; expected a NumPy or MXNet array",
    ),
    "another net's snapshot": (
        lambda net: ParameterVector(net).restore({"theta": onp.zeros(7), "state": {}}),
        ValueError,
        r"theta has shape \(7,\); expected \(43,\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIT)
def test_it_is_refused_and_the_network_is_as_it_was(name):
    work, error, message = FIT[name]
    net = layers.mlp(4, [5], 3, activation="tanh", seed=0)
    before = ParameterVector(net).theta.asnumpy()
    device, hybrid = runtime.device_of(net), net._active
    with pytest.raises(error, match=f"(?s){message}"):
        work(net)
    assert (ParameterVector(net).theta.asnumpy() == before).all()
    assert (runtime.device_of(net), net._active) == (device, hybrid)
    assert len(fit(net)) == 2  # and it can be trained


NETS = {
    "a string": ("net", TypeError, "net is a str; expected a Gluon Block"),
    "not initialised": (
        nn.Dense(3, in_units=4),
        ValueError,
        r"parameter '\w+' is not initialised; call net\.initialize\(\)",
    ),
    "of no parameters": (nn.Activation("relu"), ValueError, "the network has no parameters"),
    "all frozen": (all_frozen(), ValueError, "no trainable parameter: every grad_req is 'null'"),
    "of two dtypes": (
        mixed(layers.mlp(4, [5], 3)),
        (TypeError, ValueError),
        r"dtypes \['float32', 'float64'\]; expected one\. Cast|does not take",
    ),
    "on two devices": (
        on_two_devices(layers.mlp(4, [5], 3)),
        ValueError,
        r"lives on \[cpu\(0\), cpu\(1\)\]; expected one device\. Call net\.reset_ctx",
    ),
    "of two outputs": (
        two_outputs(),
        ValueError,
        "the network does not take train's examples|the loss does not take",
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_a_network_that_cannot_be_trained(name):
    net, error, message = NETS[name]
    with pytest.raises(error, match=message):
        fit(net)


@pytest.mark.parametrize(
    ("net", "error", "message"),
    [
        ("net", TypeError, "it got str"),
        (nn.Dense(3, in_units=4), ValueError, r"not initialised: call net\.initialize\(\)"),
    ],
)
def test_a_network_that_cannot_be_moved(net, error, message):
    with pytest.raises(error, match=message):
        fit(net, device="cpu(1)")


def test_a_gpu_that_is_not_there():
    if any(d.usable and d.name == "gpu(7)" for d in runtime.devices()):
        pytest.skip("there are eight GPUs")
    net = layers.mlp(4, [5], 3)
    with pytest.raises(ValueError, match=r"gpu\(7\) is not usable .*Use 'cpu' or best_device"):
        fit(net, device="gpu(7)")
    assert runtime.device_of(net) == mx.cpu()


def test_a_column_that_nobody_records_stops_after_one_epoch():
    for monitor, message in [
        ("val_loss", "EarlyStopping watches 'val_loss', but fit recorded epoch, step, seconds, "
                     "train_loss; give fit validation data"),
        ("f1", "EarlyStopping watches 'f1'"),
    ]:  # fmt: skip
        with pytest.raises(KeyError, match=message):
            fit(layers.mlp(4, [5], 3), callbacks=[training.EarlyStopping(monitor)])


BORDER = {
    # Vectors and copies.
    "a vector of a number": (lambda: ParameterVector(3), TypeError, "net is a int; expected a Glu"),
    "a vector of deferred shapes": (
        lambda: ParameterVector(initialised(nn.Dense(3))),
        ValueError,
        r"'weight' has the deferred shape \(3, -1\); .* Run one batch .* or give in_units",
    ),
    "a clone of a list": (lambda: clone([1]), TypeError, "net is a list; expected a Gluon Block"),
    # Rules.
    "a rate of zero": (
        lambda: optim.sgd(0), ValueError, "learning_rate is 0; expected positive"
    ),
    "a negative rate": (lambda: optim.adam(-0.1), ValueError, r"learning_rate is -0\.1; expected"),
    "a rate NaN": (lambda: optim.sgd(NAN), ValueError, "learning_rate is nan; expected positive"),
    "an infinite rate": (lambda: optim.sgd(INF), ValueError, "learning_rate is inf; expected"),
    "a rate in words": (lambda: optim.sgd("fast"), TypeError, "learning_rate is 'fast'; expected"),
    "a dict of rates": (
        lambda: optim.sgd({"w": 0.1}), TypeError, r"learning_rate is {'w': 0\.1}; exp"
    ),
    "no rate": (lambda: optim.sgd(None), TypeError, "learning_rate is None; expected positive"),
    "a rate of zero among others": (
        lambda: optim.sgd(onp.array([0.1, 0.0])),
        ValueError,
        r"learning_rate is array\(\[0\.1, 0\. \]\); expected positive",
    ),
    "momentum above 1": (
        lambda: optim.momentum(0.1, 1.5), ValueError, r"momentum is 1\.5; expected it in \[0, 1\]"
    ),
    "momentum below 0": (
        lambda: optim.nesterov(0.1, -0.1), ValueError, r"momentum is -0\.1; expected it in \[0, 1\]"
    ),
    "a decay of 1": (
        lambda: optim.rmsprop(0.1, decay=1), ValueError, r"decay is 1; expected it in \[0, 1\)"
    ),
    "β₁ of 1": (
        lambda: optim.adam(0.1, beta1=1.0), ValueError, r"beta1 is 1\.0; expected it in \["
    ),
    "β₂ NaN": (lambda: optim.adam(0.1, beta2=NAN), ValueError, r"beta2 is nan; expected it in \["),
    "a negative eps": (
        lambda: optim.adagrad(0.1, eps=-1), ValueError, "eps is -1; expected a fini"
    ),
    "a negative decay of weights": (
        lambda: optim.adamw(0.1, weight_decay=-0.1), ValueError, r"weight_decay is -0\.1; expected"
    ),
    "a gradient of another shape": (
        lambda: optim.sgd(0.1).update(onp.ones(3), optim.sgd(0.1).init(onp.ones(2)), onp.ones(2)),
        ValueError,
        r"gradient has shape \(3,\), theta \(2,\); expected the same",
    ),
    "fewer steps than none": (
        lambda: optim.trajectory(optim.sgd(0.1), lambda theta: theta, [1.0], -1),
        ValueError,
        "steps is -1; expected a whole number of at least 0",
    ),
    # Callbacks.
    "no patience": (
        lambda: training.EarlyStopping(patience=0), ValueError, "patience is 0; expected a whole"
    ),
    "a negative improvement": (
        lambda: training.EarlyStopping(smallest_improvement=-1),
        ValueError,
        "smallest_improvement is -1; expected a finite number ≥ 0",
    ),
    # Layers, losses, schedules, data.
    "a layer of no units": (
        lambda: layers.mlp(4, [0], 3), ValueError, "hidden layer's size is 0; expected a whole numb"
    ),
    "a number of layers": (
        lambda: layers.mlp(4, 5, 3), TypeError, r"hidden is 5; expected a list of sizes.*\[5\]"
    ),
    "an unknown activation": (
        lambda: layers.mlp(4, [5], 3, activation="step"), ValueError,
        "activation is 'step'; expected one of sigmoid",
    ),
    "dropout of everything": (
        lambda: layers.mlp(4, [5], 3, dropout=1.0), ValueError, r"dropout is 1\.0; expected a prob"
    ),
    "an unknown dtype": (
        lambda: layers.mlp(4, [5], 3, dtype="float16"), ValueError, "dtype is 'float16'; expected"
    ),
    "a negative penalty": (
        lambda: losses.l2_penalty(-1), ValueError, "strength is -1; expected a finite number ≥ 0"
    ),
    "a schedule of negative rates": (
        lambda: schedules.step_decay(-0.1, factor=0.5, every=10), ValueError, r"is -0\.1; expected"
    ),
    "a step before the first": (
        lambda: schedules.constant(0.1)(-1), ValueError, "step is -1; expected at least 0"
    ),
    "whitening before fitting": (
        lambda: data.PCAWhiten().transform(X), Exception, "(?i)fit"
    ),
    "a split that leaves nothing": (
        lambda: data.train_test_split(X, test_size=10), ValueError,
        "test_size 10 takes 10 of 10 examples and leaves none",
    ),
    "minibatches without a generator": (
        lambda: data.minibatches(10, 3), TypeError, r"rng is None.*pass rng=generator"
    ),
    "a class count of none": (
        lambda: data.check_labels(Y, 0), ValueError, "n_classes is 0; expected a whole number of"
    ),
    # The runtime.
    "a seed that is too large": (
        lambda: runtime.seed_everything(2**32),
        ValueError, r"from 0 to 2\*\*32 - 1.* it is 4294967296"
    ),
    "the device of a string": (
        lambda: runtime.device_of("cpu"),
        TypeError, "wants an array or a Gluon block, and it got str"
    ),
}  # fmt: skip


def initialised(block):
    block.initialize()
    return block


@pytest.mark.parametrize("name", BORDER)
def test_it_is_refused(name):
    work, error, message = BORDER[name]
    with pytest.raises(error, match=message):
        work()


def test_there_are_at_least_forty_cases():
    assert len(FIT) + len(NETS) + len(BORDER) >= 40
