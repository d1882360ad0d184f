"""Mistakes in gradients: backward passes written by hand, and gradients that get lost."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook import losses, optim
from nnbook.gluon.runtime import mx
from nnbook.training import DivergedError
from nnbook.zoo.cases import Bug, Case, chain, digits, digits_case, digits_net, planted
from nnbook.zoo.handwritten import (
    Affine,
    AffineTransposed,
    AffineWithoutBiasSlope,
    CachedTanh,
    Drop,
    DropForwardOnly,
    Elementwise,
    HandDense,
    HandDropout,
    Normalisation,
    Rectifier,
    RectifierOfTheSlope,
    TallTanh,
    TallTanhInPlace,
    Tanh,
    TanhAtTheInput,
    ThroughNumPy,
    cross_entropy_summed,
    cross_entropy_uphill,
    hand_written_cross_entropy,
    hand_written_hinge,
    hinge_all_violated,
)

nn = mx.gluon.nn

__all__ = ["GRADIENT_BUGS"]


def _with(layer: mx.gluon.Block, seed: int, device: Any) -> Any:
    """Build the digits' net with a layer of our own between its two dense layers."""
    blocks = nn.Dense(32, in_units=64), layer, nn.Dense(10, in_units=32)
    return chain(*blocks, example=digits(seed)[0][0], seed=seed, device=device)


@planted(
    title="The sign of the gradient",
    mistake="The gradient of the loss was written as y − softmax(z), not softmax(z) − y.",
    symptom="The loss rises from the first step on, to values far above chance.",
    caught_by=("check_gradients", "overfit_tiny_subset"),
    missed_by="check_initial_loss",
    differs="gradient",
)
def gradient_sign(seed: int, device: Any, mistaken: bool) -> Case:
    loss = cross_entropy_uphill if mistaken else hand_written_cross_entropy
    return digits_case(seed, device, loss=loss)


@planted(
    title="1/n forgotten in the gradient",
    mistake="The loss is a mean over the minibatch; its gradient was derived for the sum.",
    symptom="Every step is as many times too long as the minibatch has examples: the loss jumps.",
    caught_by=("check_gradients", "UpdateRatio", "GradientNorm"),
    missed_by="check_initial_loss",
    differs="gradient",
)
def gradient_of_the_sum(seed: int, device: Any, mistaken: bool) -> Case:
    loss = cross_entropy_summed if mistaken else hand_written_cross_entropy
    return digits_case(seed, device, loss=loss)


@planted(
    title="A hinge that never lets go",
    mistake="The gradient of the hinge loss counts every class as violating its margin.",
    symptom="Right while all scores are near zero: the loss falls, then rises as the scores grow.",
    caught_by=("check_gradients", "UpdateRatio", "GradientNorm"),
    missed_by="check_initial_loss",
    differs="trajectory",
)
def hinge_gradient(seed: int, device: Any, mistaken: bool) -> Case:
    net = digits_net(seed, device)
    output = net[-1].weight
    output.set_data(0.01 * output.data())  # scores near zero, where the mistake cannot be seen
    loss = hinge_all_violated if mistaken else hand_written_hinge
    return digits_case(seed, device, net=net, loss=loss, optimizer=optim.momentum(0.01))


@planted(
    title="A transposition too many",
    mistake="Backward multiplies by Wᵀ where it should by W; the layer is square, so shapes fit.",
    symptom="It learns, only worse: the layers below get a wrong gradient, those above make up.",
    caught_by=("check_gradients",),
    missed_by="overfit_tiny_subset",
    differs="gradient",
)
def wrong_transposition(seed: int, device: Any, mistaken: bool) -> Case:
    operation = AffineTransposed if mistaken else Affine
    net = chain(
        nn.Dense(32, in_units=64, activation="tanh"),
        HandDense(32, 32, operation),
        nn.Activation("tanh"),
        nn.Dense(10, in_units=32),
        example=digits(seed)[0][0],
        seed=seed,
        device=device,
    )
    return digits_case(seed, device, net=net)


@planted(
    title="A bias without gradient",
    mistake="The hand-written backward pass returns zeros for the bias.",
    symptom="The bias stays 0 for ever: predictions are off by a constant, the loss ends high.",
    caught_by=("check_gradients", "UpdateRatio"),
    missed_by="check_initial_loss",
    differs="gradient",
)
def bias_without_gradient(seed: int, device: Any, mistaken: bool) -> Case:
    rng = onp.random.default_rng(seed)
    x = rng.normal(size=(400, 3)).astype("float32")
    y = (x @ [[1.0], [-2.0], [0.5]] + 3 + 0.1 * rng.normal(size=(400, 1))).astype("float32")
    operation = AffineWithoutBiasSlope if mistaken else Affine
    net = chain(HandDense(1, 3, operation), example=x, seed=seed, device=device)
    options = {"optimizer": optim.sgd(0.05), "batch_size": 32, "epochs": 5, "seed": seed}
    return Case(net, losses.squared_error, (x[:300], y[:300]), (x[300:], y[300:]), options)


@planted(
    title="tanh′ at the wrong place",
    mistake="The slope 1 − h² of tanh is computed from its input instead of its output.",
    symptom="Past ±1 the slope turns negative, and ever steeper: in an epoch or two it diverges.",
    caught_by=("check_gradients", "GradientNorm"),
    missed_by="check_initial_loss",
    differs="gradient",
    raises=DivergedError,
)
def tanh_slope_at_the_input(seed: int, device: Any, mistaken: bool) -> Case:
    net = _with(Elementwise(TanhAtTheInput if mistaken else Tanh), seed, device)
    net[0].weight.set_data(2 * net[0].weight.data())  # sums beyond ±1 from the start
    return digits_case(seed, device, net=net)


@planted(
    title="ReLU masks by the slope",
    mistake="The backward pass of ReLU keeps what is positive in the gradient, not in the input.",
    symptom="The sums are only ever pushed down: soon every unit is dead, and the loss is ln 10.",
    caught_by=("check_gradients", "DeadUnits"),
    missed_by="check_initial_loss",
    differs="gradient",
)
def relu_mask_of_the_slope(seed: int, device: Any, mistaken: bool) -> Case:
    net = _with(Elementwise(RectifierOfTheSlope if mistaken else Rectifier), seed, device)
    return digits_case(seed, device, net=net)


@planted(
    title="A saved value overwritten",
    mistake="The output is scaled in place, and so is the copy that backward was to read.",
    symptom="Slopes of active units are too small or negative; the curves look as good as ever.",
    caught_by=("check_gradients",),
    missed_by="check_initial_loss",
    differs="gradient",
)
def in_place_write(seed: int, device: Any, mistaken: bool) -> Case:
    net = _with(Elementwise(TallTanhInPlace if mistaken else TallTanh), seed, device)
    return digits_case(seed, device, net=net)


@planted(
    title="Activations of another minibatch",
    mistake="The buffer of activations is filled when it is made and never again.",
    symptom="The first minibatch of each size is right; all others get the slopes of that one.",
    caught_by=("check_gradients",),
    missed_by="check_initial_loss",
    differs="trajectory",
)
def stale_activations(seed: int, device: Any, mistaken: bool) -> Case:
    # Weights four times as large: slopes then differ from one minibatch to the next.
    net = _with(CachedTanh(refill=not mistaken), seed, device)
    net[0].weight.set_data(4 * net[0].weight.data())
    return digits_case(seed, device, net=net)


@planted(
    title="Dropout that forgets its mask",
    mistake="The backward pass of dropout lets the gradient of dropped units through.",
    symptom="Nothing to see: it trains as well as with the right gradient.",
    caught_by=("check_gradients",),
    missed_by="overfit_tiny_subset",
    differs="gradient",
)
def dropout_gradient(seed: int, device: Any, mistaken: bool) -> Case:
    net = chain(
        nn.Dense(32, in_units=64, activation="tanh"),
        HandDropout(DropForwardOnly if mistaken else Drop),
        nn.Dense(10, in_units=32),
        example=digits(seed)[0][0],
        seed=seed,
        device=device,
    )
    return digits_case(seed, device, net=net)


@planted(
    title="np.var in a normalisation layer",
    mistake="The variance comes from np.var, which has no gradient in MXNet 1.9.1.",
    symptom="Nothing to see: the gradient lacks a term, and it trains as well without.",
    caught_by=("check_gradients",),
    missed_by="overfit_tiny_subset",
    differs="gradient",
)
def np_var_without_gradient(seed: int, device: Any, mistaken: bool) -> Case:
    net = _with(Normalisation(np_var=mistaken), seed, device)
    return digits_case(seed, device, net=net)


@planted(
    title="The gradient stops at NumPy",
    mistake="A layer computes with plain NumPy, outside what autograd records.",
    symptom="Only the layers above it learn; it ends at a loss that random features can reach.",
    caught_by=("check_gradients", "UpdateRatio", "GradientHistogram"),
    missed_by="overfit_tiny_subset",
    differs="gradient",
)
def detached_by_numpy(seed: int, device: Any, mistaken: bool) -> Case:
    return digits_case(seed, device, net=_with(ThroughNumPy(leave=mistaken), seed, device))


GRADIENT_BUGS: tuple[Bug, ...] = (
    gradient_sign,
    gradient_of_the_sum,
    hinge_gradient,
    wrong_transposition,
    bias_without_gradient,
    tanh_slope_at_the_input,
    relu_mask_of_the_slope,
    in_place_write,
    stale_activations,
    dropout_gradient,
    np_var_without_gradient,
    detached_by_numpy,
)
