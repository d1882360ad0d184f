"""Mistakes in data: labels, order, scale, and what validation must not see."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook import data, layers, losses, optim
from nnbook.zoo.cases import Bug, Case, Pair, digits, digits_case, digits_net, planted

__all__ = ["DATA_BUGS"]


@planted(
    title="Labels off by one",
    mistake="The training labels count from 1 (10 became 0), those of the validation set from 0.",
    symptom="Training looks perfect; validation accuracy falls to 0 while it does.",
    caught_by=("Gap",),
    missed_by="overfit_tiny_subset",
    differs="validation",
)
def labels_off_by_one(seed: int, device: Any, mistaken: bool) -> Case:
    (x, y), _ = digits(seed)
    return digits_case(seed, device, train=(x, (y + 1) % 10 if mistaken else y))


@planted(
    title="Examples shuffled without their labels",
    mistake="The inputs were permuted, the labels were not.",
    symptom="The loss stays at ln 10, then falls a little as the net learns labels by heart.",
    caught_by=("Gap",),
    missed_by="overfit_tiny_subset",
    differs="validation",
)
def labels_shuffled(seed: int, device: Any, mistaken: bool) -> Case:
    (x, y), _ = digits(seed)
    order = onp.random.default_rng(seed).permutation(len(x))
    return digits_case(seed, device, train=(x[order], y if mistaken else y[order]))


@planted(
    title="Sorted by class, not shuffled",
    mistake="The examples come sorted by class, and the run was told not to shuffle.",
    symptom="The loss is near 0 within a class and jumps at the next; validation is at chance.",
    caught_by=("check_data", "Gap"),
    missed_by="check_gradients",
    differs="validation",
)
def sorted_by_class(seed: int, device: Any, mistaken: bool) -> Case:
    (x, y), _ = digits(seed)
    order = onp.argsort(y, kind="stable")
    return digits_case(seed, device, train=(x[order], y[order]), shuffle=not mistaken)


@planted(
    title="Pixels from 0 to 255",
    mistake="The pixels were not divided by 255.",
    symptom="Every tanh is saturated at the start; the loss begins high and hardly falls.",
    caught_by=("check_data", "ActivationHistogram"),
    missed_by="check_gradients",
    differs="loss",
)
def inputs_not_scaled(seed: int, device: Any, mistaken: bool) -> Case:
    scale = onp.float32(255 if mistaken else 1)
    (x, y), (x_val, y_val) = digits(seed)
    return digits_case(seed, device, train=(scale * x, y), validation=(scale * x_val, y_val))


@planted(
    title="Validation in other units",
    mistake="The training data were standardised, the validation data were not.",
    symptom="Training goes well; validation is far worse from the first epoch on.",
    caught_by=("check_data", "Gap"),
    missed_by="overfit_tiny_subset",
    differs="validation",
)
def validation_not_standardised(seed: int, device: Any, mistaken: bool) -> Case:
    (x, y), (x_val, y_val) = digits(seed)
    rule = data.Standardize().fit(x)
    held_out = x_val if mistaken else rule.transform(x_val)
    return digits_case(seed, device, train=(rule.transform(x), y), validation=(held_out, y_val))


@planted(
    title="Divided by almost nothing",
    mistake="Each pixel is divided by σ + 1e-8, and σ is 0 for pixels always empty in training.",
    symptom="Training goes well; a few validation inputs are of the order 1e7, and so is the loss.",
    caught_by=("check_data", "Gap"),
    missed_by="overfit_tiny_subset",
    differs="validation",
)
def divided_by_almost_nothing(seed: int, device: Any, mistaken: bool) -> Case:
    (x, y), (x_val, y_val) = _without_rare_pixels(seed)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    divisor = deviation + 1e-8 if mistaken else onp.where(deviation > 0, deviation, 1)
    train, validation = (x - mean) / divisor, (x_val - mean) / divisor
    net = digits_net(seed, device, "relu")
    return digits_case(seed, device, net=net, train=(train, y), validation=(validation, y_val))


def _without_rare_pixels(seed: int) -> tuple[Pair, Pair]:
    """Draw digits so that two of their pixels are empty in training, but not in validation."""
    (x, y), (x_val, y_val) = digits(seed)
    share = (onp.concatenate([x, x_val]) > 0).mean(axis=0)
    rare = onp.argsort(onp.where(share > 0, share, 1), kind="stable")[:2]
    x, x_val = x.copy(), x_val.copy()
    x[:, rare] = 0
    x_val[:3, rare] = 1 / 16
    return (x, y), (x_val, y_val)


@planted(
    title="Missing values as −999",
    mistake="Missing pixels are coded −999 in the file, and went in as numbers.",
    symptom="The loss starts high and stays unsteady: a few values dominate every sum.",
    caught_by=("check_data", "ActivationHistogram", "check_initial_loss"),
    missed_by="check_gradients",
    differs="loss",
)
def missing_values_as_numbers(seed: int, device: Any, mistaken: bool) -> Case:
    rng = onp.random.default_rng(seed)
    pairs = []
    for x, y in digits(seed):
        missing = rng.random(x.shape) < 0.02
        pairs.append((onp.where(missing, onp.float32(-999 if mistaken else 0), x), y))
    return digits_case(seed, device, train=pairs[0], validation=pairs[1])


@planted(
    title="Validation data in training",
    mistake="The training set still holds the examples that were set apart for validation.",
    symptom="No gap at all, validation as good as training: too good to be true.",
    caught_by=("check_data",),
    missed_by="Gap",
    differs="validation",
)
def validation_in_training(seed: int, device: Any, mistaken: bool) -> Case:
    (x, y), (x_val, y_val) = digits(seed, n_train=100, n_validation=100)
    if mistaken:
        x, y = onp.concatenate([x, x_val]), onp.concatenate([y, y_val])
    options: dict[str, Any] = {"batch_size": 20, "epochs": 30}
    return digits_case(seed, device, train=(x, y), validation=(x_val, y_val), **options)


@planted(
    title="Features chosen on all the data",
    mistake="The 20 features that go best with the labels were chosen before the split.",
    symptom="Validation far above chance, on features and labels that are pure noise.",
    caught_by=(),
    missed_by="check_data",
    differs="validation",
)
def features_chosen_on_all_data(seed: int, device: Any, mistaken: bool) -> Case:
    rng = onp.random.default_rng(seed)
    x = rng.normal(size=(120, 2000)).astype("float32")
    y = rng.permutation(onp.arange(120) % 2).astype("int32")
    seen = slice(None) if mistaken else slice(60)
    covariance = onp.abs((y[seen] - y[seen].mean()) @ x[seen])
    x = x[:, onp.argsort(-covariance)[:20]]
    net = layers.mlp(20, [8], 2, "tanh", device=device, seed=seed)
    options = {"optimizer": optim.momentum(0.05), "batch_size": 20, "epochs": 10, "seed": seed}
    loss = losses.softmax_cross_entropy
    return Case(net, loss, (x[:60], y[:60]), (x[60:], y[60:]), options)


@planted(
    title="Labels of augmented images in another order",
    mistake="Images and shifted copies were stacked a, b, …, a′, b′, …, labels a, a, b, b, ….",
    symptom="The loss stays near ln 10 although every image and every label is right.",
    caught_by=("Gap",),
    missed_by="overfit_tiny_subset",
    differs="validation",
)
def labels_of_augmented_images(seed: int, device: Any, mistaken: bool) -> Case:
    (x, y), _ = digits(seed)
    shifted = data.shift(x, rows=1)
    labels = onp.repeat(y, 2) if mistaken else onp.tile(y, 2)
    return digits_case(seed, device, train=(onp.concatenate([x, shifted]), labels))


@planted(
    title="Reshaped where transposed was meant",
    mistake="Images stored as (8, 8, n) were reshaped to (n, 64) instead of transposed first.",
    symptom="Every row mixes pixels of 64 images: learnt by heart, at chance in validation.",
    caught_by=("Gap",),
    missed_by="overfit_tiny_subset",
    differs="validation",
)
def reshaped_not_transposed(seed: int, device: Any, mistaken: bool) -> Case:
    (x, y), _ = digits(seed)
    stored = onp.ascontiguousarray(x.reshape(-1, 8, 8).transpose(1, 2, 0))
    rows = stored if mistaken else stored.transpose(2, 0, 1)
    return digits_case(seed, device, train=(rows.reshape(-1, 64), y))


@planted(
    title="Targets in tiny units",
    mistake="The targets came in metres, where nanometres would have been numbers near 1.",
    symptom="The loss falls to a tiny number and looks perfect; the predictions are noise.",
    caught_by=("check_data", "GradientNorm"),
    missed_by="overfit_tiny_subset",
    differs="trajectory",
)
def targets_in_tiny_units(seed: int, device: Any, mistaken: bool) -> Case:
    x, y = data.sines(300, noise=0.1, rng=seed)
    x, y = 4 * x - 2, y * onp.float32(1e-9 if mistaken else 1)
    net = layers.mlp(1, [32], 1, "tanh", device=device, seed=seed)
    options = {"optimizer": optim.momentum(0.05), "batch_size": 25, "epochs": 30, "seed": seed}
    loss = losses.squared_error
    return Case(net, loss, (x[:200], y[:200]), (x[200:], y[200:]), options)


DATA_BUGS: tuple[Bug, ...] = (
    labels_off_by_one,
    labels_shuffled,
    sorted_by_class,
    inputs_not_scaled,
    validation_not_standardised,
    divided_by_almost_nothing,
    missing_values_as_numbers,
    validation_in_training,
    features_chosen_on_all_data,
    labels_of_augmented_images,
    reshaped_not_transposed,
    targets_in_tiny_units,
)
