"""Mistakes in losses: the gradient is right, but of the wrong function."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook import data, layers, losses, optim
from nnbook.gluon.runtime import mx
from nnbook.training import DivergedError
from nnbook.zoo.cases import Bug, Case, digits, digits_case, digits_net, planted

__all__ = ["LOSS_BUGS"]


def _namespace(array: Any) -> Any:
    """Return where to compute: MXNet's arrays, or its symbols while `fit` traces."""
    return mx.sym if isinstance(array, mx.sym.Symbol) else mx


def sum_of_cross_entropies(outputs: Any, labels: Any) -> Any:
    return losses.softmax_cross_entropy(outputs, labels).sum()  # the mistake: .sum()


@planted(
    title="A sum instead of a mean",
    mistake="The loss is summed over the minibatch, with a learning rate meant for the mean.",
    symptom="The loss is tens of times what chance gives, and jumps; it depends on batch_size.",
    caught_by=("check_initial_loss", "UpdateRatio", "GradientNorm"),
    missed_by="check_gradients",
    differs="loss",
)
def loss_summed(seed: int, device: Any, mistaken: bool) -> Case:
    loss = sum_of_cross_entropies if mistaken else losses.softmax_cross_entropy
    return digits_case(seed, device, loss=loss)


def cross_entropy_averaged_over_classes(outputs: Any, labels: Any) -> Any:
    F = _namespace(outputs)
    y = F.npx.one_hot(labels, 10)
    return -(y * F.npx.log_softmax(outputs, axis=-1)).mean(axis=-1)  # the mistake: .mean


@planted(
    title="A mean over the classes too",
    mistake="The product of one-hot labels and log-probabilities is averaged over the classes.",
    symptom="The loss starts at ln(10)/10 = 0.23; all gradients are a tenth, learning is slow.",
    caught_by=("check_initial_loss", "UpdateRatio"),
    missed_by="check_gradients",
    differs="loss",
)
def loss_averaged_over_classes(seed: int, device: Any, mistaken: bool) -> Case:
    loss = cross_entropy_averaged_over_classes if mistaken else losses.softmax_cross_entropy
    return digits_case(seed, device, loss=loss)


def softmax_before_cross_entropy(outputs: Any, labels: Any) -> Any:
    probabilities = _namespace(outputs).npx.softmax(outputs, axis=-1)
    return losses.softmax_cross_entropy(probabilities, labels)  # the mistake: it wants outputs


@planted(
    title="Softmax twice",
    mistake="The outputs go through softmax, and again through the softmax of the loss.",
    symptom="The loss cannot fall below 1.46 with 10 classes; accuracy is good, only slow to come.",
    caught_by=("overfit_tiny_subset",),
    missed_by="check_gradients",
    differs="loss",
)
def softmax_twice(seed: int, device: Any, mistaken: bool) -> Case:
    loss = softmax_before_cross_entropy if mistaken else losses.softmax_cross_entropy
    return digits_case(seed, device, loss=loss)


def cross_entropy_over_examples(outputs: Any, labels: Any) -> Any:
    F = _namespace(outputs)
    return -F.npx.pick(F.npx.log_softmax(outputs, axis=0), labels, axis=-1)  # the mistake: axis=0


@planted(
    title="Softmax over the wrong axis",
    mistake="Softmax runs over the examples of the minibatch, not over the classes.",
    symptom="The loss starts at the logarithm of the batch size, and cannot reach 0; accuracy can.",
    caught_by=("check_initial_loss", "overfit_tiny_subset"),
    missed_by="check_gradients",
    differs="loss",
)
def softmax_over_examples(seed: int, device: Any, mistaken: bool) -> Case:
    loss = cross_entropy_over_examples if mistaken else losses.softmax_cross_entropy
    return digits_case(seed, device, loss=loss)


def squared_error_broadcast(outputs: Any, targets: Any) -> Any:
    # The mistake: (n,) − (n, 1) is (n, n), every output against every target.
    return 0.5 * _namespace(outputs).np.square(outputs.reshape(-1) - targets).mean(axis=0)


@planted(
    title="Outputs (n,), targets (n, 1)",
    mistake="The difference of a row and a column broadcasts to a matrix of all pairs.",
    symptom="The loss settles at the variance of the targets: the net predicts their mean.",
    caught_by=("overfit_tiny_subset",),
    missed_by="check_gradients",
    differs="trajectory",
)
def targets_broadcast(seed: int, device: Any, mistaken: bool) -> Case:
    x, y = data.sines(300, noise=0.1, rng=seed)
    x, y = (4 * x - 2).astype("float32"), y.reshape(-1, 1)
    net = layers.mlp(1, [32], 1, "tanh", device=device, seed=seed)
    loss = squared_error_broadcast if mistaken else losses.squared_error
    options = {"optimizer": optim.momentum(0.05), "batch_size": 25, "epochs": 30, "seed": seed}
    return Case(net, loss, (x[:200], y[:200]), (x[200:], y[200:]), options)


def cross_entropy_clipped(outputs: Any, labels: Any) -> Any:
    F = _namespace(outputs)
    probabilities = F.npx.pick(F.npx.softmax(outputs, axis=-1), labels, axis=-1)
    return -F.np.log(F.np.clip(probabilities, 1e-7, 1.0))  # the mistake: flat below 1e-7


@planted(
    title="The logarithm of a clipped probability",
    mistake="The probability is clipped at 1e-7 to avoid ln 0, which cuts off its gradient.",
    symptom="Examples that are badly wrong at the start stay so: their gradient is exactly 0.",
    caught_by=("check_initial_loss", "overfit_tiny_subset"),
    missed_by="check_gradients",
    differs="loss",
)
def log_of_clipped_probability(seed: int, device: Any, mistaken: bool) -> Case:
    net = digits_net(seed, device)
    output = net[-1].weight
    output.set_data(20 * output.data())  # scores of ±20, as a net trained before may have
    loss = cross_entropy_clipped if mistaken else losses.softmax_cross_entropy
    return digits_case(seed, device, net=net, loss=loss, epochs=10)


def likelihood_of_the_batch(outputs: Any, labels: Any) -> Any:
    F = _namespace(outputs)
    probabilities = F.npx.pick(F.npx.softmax(outputs, axis=-1), labels, axis=-1)
    return -F.np.log(F.np.prod(probabilities)) / 64  # the mistake: the product underflows


@planted(
    title="The likelihood underflows",
    mistake="The logarithm is taken of the product of 64 probabilities, not the sum of theirs.",
    symptom="0.1 to the power 64 is 0 in float32: the loss is infinite at the first step.",
    caught_by=("check_initial_loss",),
    missed_by="check_gradients",
    differs="loss",
    raises=DivergedError,
)
def product_of_probabilities(seed: int, device: Any, mistaken: bool) -> Case:
    loss = likelihood_of_the_batch if mistaken else losses.softmax_cross_entropy
    train, validation = digits(seed, n_train=640)
    return digits_case(seed, device, loss=loss, train=train, validation=validation, batch_size=64)


def hinge_turned_round(outputs: Any, labels: Any) -> Any:
    F = _namespace(outputs)
    right = F.npx.pick(outputs, labels, axis=-1, keepdims=True)
    return F.np.sum(F.np.maximum(1 + right - outputs, 0), axis=-1) - 1  # the mistake: the signs


@planted(
    title="A margin the wrong way round",
    mistake="The hinge loss asks the right class to score less than each of the others.",
    symptom="The loss starts right, at C − 1, and falls well; accuracy falls with it, to 0.",
    caught_by=("overfit_tiny_subset", "Gap"),
    missed_by="check_gradients",
    differs="loss",
)
def hinge_sign(seed: int, device: Any, mistaken: bool) -> Case:
    loss = hinge_turned_round if mistaken else losses.hinge
    return digits_case(seed, device, loss=loss, optimizer=optim.momentum(0.01))


def cross_entropy_of_the_first(outputs: Any, labels: Any) -> Any:
    # The mistake: [:, 0] was meant for labels of shape (n, 1); of one-hot rows it is class 0.
    return losses.sigmoid_cross_entropy(outputs[:, :1], labels[:, :1])


@planted(
    title="Only the first output counts",
    mistake="A slice left from a problem with one output keeps only the first of ten.",
    symptom="The loss starts near ln 2, a tenth of 10 ln 2, and falls to 0; nine outputs idle.",
    caught_by=("check_initial_loss", "UpdateRatio"),
    missed_by="check_gradients",
    differs="loss",
)
def first_output_only(seed: int, device: Any, mistaken: bool) -> Case:
    (x, y), (x_val, y_val) = digits(seed)
    rows = onp.eye(10, dtype="float32")
    loss = cross_entropy_of_the_first if mistaken else losses.sigmoid_cross_entropy
    train, validation = (x, rows[y]), (x_val, rows[y_val])
    return digits_case(seed, device, loss=loss, train=train, validation=validation)


LOSS_BUGS: tuple[Bug, ...] = (
    loss_summed,
    loss_averaged_over_classes,
    softmax_twice,
    softmax_over_examples,
    targets_broadcast,
    log_of_clipped_probability,
    product_of_probabilities,
    hinge_sign,
    first_output_only,
)
