"""Mistakes in networks: initial weights, layers, and what changes between training and use."""

from __future__ import annotations

from typing import Any

from nnbook import data, layers, losses, optim
from nnbook.gluon.runtime import mx
from nnbook.zoo.cases import Bug, Case, chain, digits, digits_case, digits_net, planted
from nnbook.zoo.handwritten import Normalisation

nn = mx.gluon.nn

__all__ = ["NETWORK_BUGS"]


def _digits_chain(*blocks: Any, seed: int, device: Any, **options: Any) -> Any:
    return chain(*blocks, example=digits(seed)[0][0], seed=seed, device=device, **options)


# ---------------------------------------------------------------------------- initial weights


@planted(
    title="All weights alike",
    mistake="Every weight starts at the same constant.",
    symptom="All units of a layer get the same gradient and stay copies of one another.",
    caught_by=("overfit_tiny_subset", "ActivationHistogram"),
    missed_by="check_gradients",
    differs="trajectory",
)
def constant_weights(seed: int, device: Any, mistaken: bool) -> Case:
    initializer = layers.Constant(0.05) if mistaken else layers.LeCunNormal()
    net = digits_net(seed, device, initializer=initializer)
    return digits_case(seed, device, net=net)


@planted(
    title="Dead rectified units",
    mistake="The biases of the ReLU layer start at −5.",
    symptom="No unit is ever active: the outputs do not depend on the input, the loss is ln 10.",
    caught_by=("DeadUnits", "ActivationHistogram", "overfit_tiny_subset"),
    missed_by="check_initial_loss",
    differs="gradient",
)
def dead_relus(seed: int, device: Any, mistaken: bool) -> Case:
    net = digits_net(seed, device, "relu")
    if mistaken:
        net[0].bias.set_data(net[0].bias.data() - 5)
    return digits_case(seed, device, net=net)


@planted(
    title="Saturated logistic units",
    mistake="The weights were drawn with a standard deviation of 5, whatever the number of inputs.",
    symptom="The hidden units are 0 or 1 from the start; the first layer hardly moves.",
    caught_by=("ActivationHistogram", "check_initial_loss", "GradientHistogram"),
    missed_by="check_gradients",
    differs="loss",
)
def saturated_logistic(seed: int, device: Any, mistaken: bool) -> Case:
    net = digits_net(seed, device, "sigmoid")
    if mistaken:
        net[0].weight.set_data(40 * net[0].weight.data())  # 5 instead of 64^(−1/2)
        net[2].weight.set_data(28 * net[2].weight.data())  # 5 instead of 32^(−1/2)
    return digits_case(seed, device, net=net)


@planted(
    title="A deep stack of logistic units",
    mistake="Six hidden layers of logistic units start with weights meant for tanh.",
    symptom="The loss stays at ln 10: the gradient shrinks to a quarter or less at every layer.",
    caught_by=("GradientHistogram", "UpdateRatio", "overfit_tiny_subset"),
    missed_by="check_initial_loss",
    differs="trajectory",
)
def vanishing_gradients(seed: int, device: Any, mistaken: bool) -> Case:
    activation = "sigmoid" if mistaken else "tanh"
    net = layers.mlp(64, [32] * 6, 10, activation, device=device, seed=seed)
    return digits_case(seed, device, net=net, optimizer=optim.momentum(0.02), epochs=10)


@planted(
    title="Weights too small",
    mistake="The standard deviation 0.001 was taken for every layer of a ReLU net.",
    symptom="The outputs are 0 and the loss exactly ln 10 for a long time.",
    caught_by=("ActivationHistogram", "GradientNorm", "UpdateRatio"),
    missed_by="check_initial_loss",
    differs="gradient",
)
def tiny_weights(seed: int, device: Any, mistaken: bool) -> Case:
    net = layers.mlp(64, [32, 32, 32], 10, "relu", device=device, seed=seed)
    for layer in net[::2]:
        fan_in = layer.weight.shape[1]
        if mistaken:
            layer.weight.set_data(0.001 * (fan_in / 2) ** 0.5 * layer.weight.data())
    return digits_case(seed, device, net=net)


# ---------------------------------------------------------------------------- wrong layers


@planted(
    title="An activation left out",
    mistake="The hidden layers have no activation function: the net is linear.",
    symptom="Two spirals stay at the error of a straight line, whatever the width and the rate.",
    caught_by=("overfit_tiny_subset",),
    missed_by="check_gradients",
    differs="trajectory",
)
def missing_activation(seed: int, device: Any, mistaken: bool) -> Case:
    activation = None if mistaken else "tanh"
    net = layers.mlp(2, [32, 32], 2, activation, device=device, seed=seed)
    x, y = data.spirals(450, n_classes=2, rng=seed)
    options = {"optimizer": optim.adam(0.01), "batch_size": 30, "epochs": 20, "seed": seed}
    loss = losses.softmax_cross_entropy
    return Case(net, loss, (x[:300], y[:300]), (x[300:], y[300:]), options)


@planted(
    title="An activation too many",
    mistake="ReLU is applied to the outputs too, before the softmax.",
    symptom="It learns, but some outputs are 0 for every input: those classes are never predicted.",
    caught_by=("DeadUnits", "overfit_tiny_subset"),
    missed_by="check_gradients",
    differs="loss",
)
def relu_on_the_outputs(seed: int, device: Any, mistaken: bool) -> Case:
    outputs = layers.activation("relu" if mistaken else None)
    hidden = nn.Dense(32, in_units=64, activation="relu")
    net = _digits_chain(hidden, nn.Dense(10, in_units=32), outputs, seed=seed, device=device)
    return digits_case(seed, device, net=net)


@planted(
    title="A frozen layer",
    mistake="The first layer's gradients were turned off for a test and never turned on again.",
    symptom="It learns more slowly and ends higher, on 32 random features.",
    caught_by=("UpdateRatio", "check_gradients"),
    missed_by="overfit_tiny_subset",
    differs="trajectory",
)
def frozen_layer(seed: int, device: Any, mistaken: bool) -> Case:
    net = digits_net(seed, device)
    if mistaken:
        net[0].collect_params().setattr("grad_req", "null")
    return digits_case(seed, device, net=net)


@planted(
    title="One layer three times",
    mistake="The hidden layers were made by [layer] * 3, which is the same layer three times.",
    symptom="A third of the parameters; it learns, somewhat worse than three layers would.",
    caught_by=(),
    missed_by="check_gradients",
    differs="trajectory",
)
def shared_by_accident(seed: int, device: Any, mistaken: bool) -> Case:
    if mistaken:
        hidden = [nn.Dense(32, in_units=32, activation="tanh")] * 3
    else:
        hidden = [nn.Dense(32, in_units=32, activation="tanh") for _ in range(3)]
    first, last = nn.Dense(32, in_units=64, activation="tanh"), nn.Dense(10, in_units=32)
    net = _digits_chain(first, *hidden, last, seed=seed, device=device)
    return digits_case(seed, device, net=net)


@planted(
    title="Normalised over the minibatch",
    mistake="A layer normalisation takes its mean and variance over axis 0, the examples.",
    symptom="Curves look good, but an answer depends on the examples beside it; one alone fails.",
    caught_by=(),
    missed_by="check_gradients",
    differs="trajectory",
)
def normalised_over_examples(seed: int, device: Any, mistaken: bool) -> Case:
    layer = Normalisation(np_var=False, axis=0 if mistaken else -1)
    blocks = nn.Dense(32, in_units=64), layer, nn.Activation("tanh"), nn.Dense(10, in_units=32)
    net = _digits_chain(*blocks, seed=seed, device=device)
    return digits_case(seed, device, net=net)


# ---------------------------------------------------------------------------- training and use


class AlwaysDropout(mx.gluon.HybridBlock):
    """Dropout in training and in evaluation."""

    def hybrid_forward(self, F, x):
        """Drop half of the units."""
        return F.npx.dropout(x, p=0.5, mode="always")


@planted(
    title="Dropout left on",
    mistake="Dropout is applied in evaluation too.",
    symptom="Validation is as noisy as training, and no better; two evaluations disagree.",
    caught_by=("check_initial_loss", "check_gradients"),
    missed_by="Gap",
    differs="validation",
)
def dropout_left_on(seed: int, device: Any, mistaken: bool) -> Case:
    drop = AlwaysDropout() if mistaken else nn.Dropout(0.5)
    hidden = nn.Dense(32, in_units=64, activation="tanh")
    net = _digits_chain(hidden, drop, nn.Dense(10, in_units=32), seed=seed, device=device)
    return digits_case(seed, device, net=net)


class UnscaledDropout(mx.gluon.HybridBlock):
    """Dropout that leaves the kept units as they are."""

    def hybrid_forward(self, F, x):
        """Drop 4 of 5 units in training; undo the factor 5 that MXNet gives the others."""
        mask = F.npx.dropout(F.np.ones_like(x), p=0.8)  # 0 or 5 in training, 1 in evaluation
        return x * F.np.minimum(mask, 1)  # the mistake: what is kept should be 5 times as large


@planted(
    title="Dropout without its factor",
    mistake="Kept units are not divided by the probability of keeping, in training or in use.",
    symptom="It learns slowly, and in use the sums are five times those that it was trained with.",
    caught_by=("Gap",),
    missed_by="check_gradients",
    differs="validation",
)
def dropout_not_rescaled(seed: int, device: Any, mistaken: bool) -> Case:
    drop = UnscaledDropout() if mistaken else nn.Dropout(0.8)
    first, second = (nn.Dense(64, in_units=64, activation="tanh") for _ in range(2))
    blocks = first, drop, second, drop, nn.Dense(10, in_units=64)
    net = _digits_chain(*blocks, seed=seed, device=device)
    return digits_case(seed, device, net=net, optimizer=optim.momentum(0.02), epochs=20)


@planted(
    title="Running statistics that never run",
    mistake="Batch normalisation was given momentum=1: its running averages never change.",
    symptom="Training goes well; in use, inputs are normalised by mean 0 and variance 1.",
    caught_by=("Gap",),
    missed_by="check_gradients",
    differs="validation",
)
def batch_statistics_never_updated(seed: int, device: Any, mistaken: bool) -> Case:
    blocks = (
        nn.BatchNorm(in_channels=64, momentum=1.0 if mistaken else 0.9),
        nn.Dense(32, in_units=64, activation="tanh"),
        nn.Dense(10, in_units=32),
    )
    return digits_case(seed, device, net=_digits_chain(*blocks, seed=seed, device=device))


NETWORK_BUGS: tuple[Bug, ...] = (
    constant_weights,
    dead_relus,
    saturated_logistic,
    vanishing_gradients,
    tiny_weights,
    missing_activation,
    relu_on_the_outputs,
    frozen_layer,
    shared_by_accident,
    normalised_over_examples,
    dropout_left_on,
    dropout_not_rescaled,
    batch_statistics_never_updated,
)
