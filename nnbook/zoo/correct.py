"""Nets without a mistake: dense ones, and every loss, penalty and way of running them."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook import data, layers, losses, optim, schedules
from nnbook.gluon.runtime import mx, npx
from nnbook.zoo.cases import Case, CorrectNet, digits, digits_case, digits_net, sound
from nnbook.zoo.correct_layers import LAYER_NETS

SoftmaxCrossEntropyLoss = mx.gluon.loss.SoftmaxCrossEntropyLoss

__all__ = ["CORRECT"]


@sound("Softmax regression")
def softmax_regression(seed: int, device: Any) -> Case:
    return digits_case(seed, device, net=layers.mlp(64, [], 10, device=device, seed=seed))


@sound("One hidden layer of logistic units")
def logistic_units(seed: int, device: Any) -> Case:
    net = digits_net(seed, device, "sigmoid", initializer=layers.LeCunNormal(gain="sigmoid"))
    return digits_case(seed, device, net=net)


@sound("One hidden layer of tanh units")
def tanh_units(seed: int, device: Any) -> Case:
    return digits_case(seed, device)


@sound("One hidden layer of scaled tanh units")
def scaled_tanh_units(seed: int, device: Any) -> Case:
    return digits_case(seed, device, net=digits_net(seed, device, "scaled_tanh"))


@sound("One hidden layer of rectified units")
def rectified_units(seed: int, device: Any) -> Case:
    return digits_case(seed, device, net=digits_net(seed, device, "relu"))


@sound("One hidden layer of softplus units")
def softplus_units(seed: int, device: Any) -> Case:
    net = digits_net(seed, device, "softplus")
    return digits_case(seed, device, net=net, optimizer=optim.momentum(0.03))


@sound("Five hidden layers of rectified units with He's weights")
def deep_rectified(seed: int, device: Any) -> Case:
    net = layers.mlp(64, [32] * 5, 10, "relu", device=device, seed=seed)
    return digits_case(seed, device, net=net, optimizer=optim.momentum(0.03), epochs=10)


@sound("Linear regression")
def linear_regression(seed: int, device: Any) -> Case:
    rng = onp.random.default_rng(seed)
    x = rng.normal(size=(400, 5)).astype("float32")
    y = (x @ rng.normal(size=(5, 2)) + 0.1 * rng.normal(size=(400, 2))).astype("float32")
    net = layers.mlp(5, [], 2, device=device, seed=seed)
    options = {"optimizer": optim.sgd(0.1), "batch_size": 20, "epochs": 5, "seed": seed}
    return Case(net, losses.squared_error, (x[:300], y[:300]), (x[300:], y[300:]), options)


@sound("Regression of a sine")
def sine_regression(seed: int, device: Any) -> Case:
    x, y = data.sines(300, noise=0.1, rng=seed)
    x = 4 * x - 2
    net = layers.mlp(1, [32], 1, "tanh", device=device, seed=seed)
    options = {"optimizer": optim.momentum(0.05), "batch_size": 25, "epochs": 30, "seed": seed}
    loss = losses.squared_error
    return Case(net, loss, (x[:200], y[:200]), (x[200:], y[200:]), options)


@sound("The hinge loss of Weston and Watkins")
def hinge_loss(seed: int, device: Any) -> Case:
    return digits_case(seed, device, loss=losses.hinge, optimizer=optim.momentum(0.02))


@sound("Several labels at once, with sigmoid cross-entropy")
def several_labels(seed: int, device: Any) -> Case:
    (x, y), (x_val, y_val) = digits(seed)
    # Even? Above four? A multiple of three?
    answers = onp.array([[k % 2 == 0, k > 4, k % 3 == 0] for k in range(10)], dtype="float32")
    net = layers.mlp(64, [32], 3, "tanh", device=device, seed=seed)
    train, validation = (x, answers[y]), (x_val, answers[y_val])
    loss = losses.sigmoid_cross_entropy
    return digits_case(seed, device, net=net, loss=loss, train=train, validation=validation)


@sound("Two classes, one output")
def one_output(seed: int, device: Any) -> Case:
    x, y = data.moons(400, rng=seed)
    y = y.astype("float32").reshape(-1, 1)
    net = layers.mlp(2, [32], 1, "tanh", device=device, seed=seed)
    options = {"optimizer": optim.momentum(0.2), "batch_size": 20, "epochs": 20, "seed": seed}
    loss = losses.sigmoid_cross_entropy
    return Case(net, loss, (x[:300], y[:300]), (x[300:], y[300:]), options)


@sound("Rows of probabilities as targets")
def smoothed_labels(seed: int, device: Any) -> Case:
    rows = (0.9 * onp.eye(10) + 0.01).astype("float32")
    (x, y), (x_val, y_val) = digits(seed)
    return digits_case(
        seed,
        device,
        loss=cross_entropy_of_rows,
        train=(x, rows[y]),
        validation=(x_val, rows[y_val]),
    )


def cross_entropy_of_rows(outputs: Any, rows: Any) -> Any:
    return losses.softmax_cross_entropy(outputs, rows, probabilities=True)


@sound("A loss of Gluon")
def gluon_loss(seed: int, device: Any) -> Case:
    return digits_case(seed, device, loss=SoftmaxCrossEntropyLoss())


@sound("An auto-encoder")
def autoencoder(seed: int, device: Any) -> Case:
    (x, _), (x_val, _) = digits(seed)
    mean = x.mean(axis=0)
    x, x_val = x - mean, x_val - mean
    net = layers.mlp(64, [16], 64, "tanh", device=device, seed=seed)
    return digits_case(
        seed,
        device,
        net=net,
        loss=losses.squared_error,
        train=(x, x),
        validation=(x_val, x_val),
        optimizer=optim.momentum(0.03),
        epochs=10,
    )


@sound("In double precision")
def double_precision(seed: int, device: Any) -> Case:
    return digits_case(seed, device, net=digits_net(seed, device, dtype="float64"))


@sound("Hybridised")
def hybridised(seed: int, device: Any) -> Case:
    net = digits_net(seed, device)
    net.hybridize()
    return digits_case(seed, device, net=net)


class Plain(mx.gluon.Block):
    """A net that is no hybrid block: Python decides at every call."""

    def __init__(self, body: Any):
        super().__init__()
        self.body = body

    def forward(self, x):
        """Return the outputs, from the examples as they are or with their axes flattened."""
        if len(x.shape) > 2:
            x = npx.batch_flatten(x)
        return self.body(x)


@sound("Not hybridisable")
def not_hybrid(seed: int, device: Any) -> Case:
    return digits_case(seed, device, net=Plain(digits_net(seed, device)))


@sound("With a forward hook")
def forward_hook(seed: int, device: Any) -> Case:
    net = digits_net(seed, device)
    net[1].register_forward_hook(look)
    return digits_case(seed, device, net=net)


def look(block: Any, inputs: Any, output: Any) -> None:
    """Look at a layer's output, and leave it as it is."""
    assert output.shape[1] == 32


@sound("Dropout")
def dropout(seed: int, device: Any) -> Case:
    net = layers.mlp(64, [64], 10, "relu", dropout=0.3, device=device, seed=seed)
    return digits_case(seed, device, net=net)


@sound("An l2 penalty")
def l2_penalty(seed: int, device: Any) -> Case:
    return digits_case(seed, device, penalty=losses.l2_penalty(0.005))


@sound("An l1 penalty")
def l1_penalty(seed: int, device: Any) -> Case:
    return digits_case(seed, device, penalty=losses.l1_penalty(0.001))


@sound("Adam with a schedule")
def adam_with_schedule(seed: int, device: Any) -> Case:
    rate = schedules.one_cycle(0.02, steps=95)
    return digits_case(seed, device, optimizer=optim.adam(rate))


@sound("One of MXNet's optimisers")
def mxnet_optimizer(seed: int, device: Any) -> Case:
    rule = mx.optimizer.create("nag", learning_rate=0.05, momentum=0.9)
    return digits_case(seed, device, optimizer=rule)


@sound("Standardised inputs")
def standardised(seed: int, device: Any) -> Case:
    (x, y), (x_val, y_val) = digits(seed)
    rule = data.Standardize().fit(x)
    train, validation = (rule.transform(x), y), (rule.transform(x_val), y_val)
    return digits_case(seed, device, train=train, validation=validation)


@sound("Unbalanced classes")
def unbalanced_classes(seed: int, device: Any) -> Case:
    (x, y), (x_val, y_val) = digits(seed)
    keep = (y != 3) | (onp.arange(len(y)) % 4 == 0)
    return digits_case(seed, device, train=(x[keep], y[keep]), validation=(x_val, y_val))


#: Every correct net.
CORRECT: tuple[CorrectNet, ...] = (
    softmax_regression,
    logistic_units,
    tanh_units,
    scaled_tanh_units,
    rectified_units,
    softplus_units,
    deep_rectified,
    linear_regression,
    sine_regression,
    hinge_loss,
    several_labels,
    one_output,
    smoothed_labels,
    gluon_loss,
    autoencoder,
    double_precision,
    hybridised,
    not_hybrid,
    forward_hook,
    dropout,
    l2_penalty,
    l1_penalty,
    adam_with_schedule,
    mxnet_optimizer,
    standardised,
    unbalanced_classes,
    *LAYER_NETS,
)
