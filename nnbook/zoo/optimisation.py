"""Mistakes in optimisation: rates, update rules, penalties, callbacks and the order of examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook import layers, losses, optim, schedules
from nnbook.optim import Optimizer
from nnbook.training import Callback, DivergedError, EarlyStopping, Run
from nnbook.zoo.cases import Bug, Case, digits_case, planted

__all__ = ["OPTIMISATION_BUGS"]


def _linear_case(seed: int, device: Any, **options: Any) -> Case:
    """Put a linear regression together, whose targets have a mean of 10."""
    rng = onp.random.default_rng(seed)
    x = rng.normal(size=(400, 3)).astype("float32")
    y = (x @ [[1.0], [-2.0], [0.5]] + 10 + 0.1 * rng.normal(size=(400, 1))).astype("float32")
    net = layers.mlp(3, [], 1, device=device, seed=seed)
    options = {"optimizer": optim.sgd(0.05), "batch_size": 32, "epochs": 8, "seed": seed, **options}
    return Case(net, losses.squared_error, (x[:300], y[:300]), (x[300:], y[300:]), options)


# ---------------------------------------------------------------------------- the rate


@planted(
    title="A rate that diverges",
    mistake="The learning rate is beyond 2 over the largest eigenvalue of the Hessian.",
    symptom="The loss grows by a factor every step until it is no longer a number.",
    caught_by=("UpdateRatio", "overfit_tiny_subset", "GradientNorm"),
    missed_by="check_gradients",
    differs="trajectory",
    raises=DivergedError,
)
def rate_diverges(seed: int, device: Any, mistaken: bool) -> Case:
    return _linear_case(seed, device, optimizer=optim.sgd(3.0 if mistaken else 0.05))


@planted(
    title="A rate too high",
    mistake="The learning rate is a hundred times too high.",
    symptom="The loss jumps to far above chance and wanders there; units saturate at once.",
    caught_by=("UpdateRatio", "ActivationHistogram", "overfit_tiny_subset"),
    missed_by="check_gradients",
    differs="trajectory",
)
def rate_too_high(seed: int, device: Any, mistaken: bool) -> Case:
    return digits_case(seed, device, optimizer=optim.momentum(10.0 if mistaken else 0.1))


@planted(
    title="A rate too low",
    mistake="The learning rate is ten thousand times too low.",
    symptom="The loss falls, but in a straight and nearly level line.",
    caught_by=("UpdateRatio", "overfit_tiny_subset"),
    missed_by="check_gradients",
    differs="trajectory",
)
def rate_too_low(seed: int, device: Any, mistaken: bool) -> Case:
    return digits_case(seed, device, optimizer=optim.momentum(1e-5 if mistaken else 0.1))


@planted(
    title="A schedule that counts steps",
    mistake="The rate was to be halved every epoch; the schedule counts steps and halves it each.",
    symptom="The loss falls for a few steps of the first epoch and then stands still.",
    caught_by=("UpdateRatio",),
    missed_by="check_gradients",
    differs="trajectory",
)
def schedule_counts_steps(seed: int, device: Any, mistaken: bool) -> Case:
    steps_per_epoch = 19  # 600 examples in minibatches of 32
    every = 1 if mistaken else steps_per_epoch
    rate = schedules.step_decay(0.1, every=every, factor=0.5)
    return digits_case(seed, device, optimizer=optim.momentum(rate))


# ---------------------------------------------------------------------------- the rule


def _heavy_ball(name: str, keep: float, pull: float) -> Optimizer:
    """Make a momentum rule of one's own: v ← keep · v − pull · η g, θ ← θ + v."""

    def rule(g, buffers, theta, rate, t):
        v = keep * buffers[0] - pull * rate * g
        return v, (v,)

    return Optimizer(name, 0.1, {"keep": keep, "pull": pull}, 1, rule)


@planted(
    title="Uphill",
    mistake="The rule adds η g to θ instead of subtracting it.",
    symptom="The loss rises from the first step on although every gradient is right.",
    caught_by=("overfit_tiny_subset", "GradientNorm"),
    missed_by="check_gradients",
    differs="trajectory",
)
def step_uphill(seed: int, device: Any, mistaken: bool) -> Case:
    rule = _heavy_ball("heavy_ball", 0.9, -1.0 if mistaken else 1.0)
    return digits_case(seed, device, optimizer=rule)


@planted(
    title="The sign of momentum",
    mistake="The velocity is kept with a minus: v ← −μ v − η g.",
    symptom="No jumps, only slow: the step is η/(1 + μ) where it should come to η/(1 − μ).",
    caught_by=("UpdateRatio",),
    missed_by="check_gradients",
    differs="trajectory",
)
def momentum_sign(seed: int, device: Any, mistaken: bool) -> Case:
    rule = _heavy_ball("heavy_ball", -0.9 if mistaken else 0.9, 0.1)
    return digits_case(seed, device, optimizer=rule)


@planted(
    title="Gradients never zeroed",
    mistake="Gradients add up from step to step, since nothing sets them to 0 in between.",
    symptom="Steps grow with time: the loss falls, then swings more and more widely.",
    caught_by=("UpdateRatio", "overfit_tiny_subset"),
    missed_by="check_gradients",
    differs="trajectory",
)
def gradients_never_zeroed(seed: int, device: Any, mistaken: bool) -> Case:
    rule = _heavy_ball("sgd_of_my_own", 1.0 if mistaken else 0.0, 5.0)
    return digits_case(seed, device, optimizer=rule)


def _delayed_sgd(rate: float, delay: int) -> Optimizer:
    """Make a rule that steps along the gradient of `delay` steps ago."""

    def rule(g, buffers, theta, rate, t):
        queue = (*buffers, g.copy())
        return -rate * queue[0], queue[1:]

    return Optimizer("sgd_of_my_own", rate, {"delay": delay}, delay, rule)


@planted(
    title="The gradient of the minibatch before",
    mistake="The step is taken before the backward pass, with the gradient of the last minibatch.",
    symptom="At a rate that suits the right code the loss climbs; at a small one all seems well.",
    caught_by=("overfit_tiny_subset", "GradientNorm"),
    missed_by="check_gradients",
    differs="trajectory",
)
def stale_gradient(seed: int, device: Any, mistaken: bool) -> Case:
    return digits_case(seed, device, optimizer=_delayed_sgd(1.0, delay=1 if mistaken else 0))


def _clipped_sgd(rate: float, largest: float) -> Optimizer:
    """Make a rule that shortens the gradient to a norm of at most `largest`."""

    def rule(g, buffers, theta, rate, t):
        norm = float((g * g).sum()) ** 0.5
        return -rate * min(1.0, largest / max(norm, 1e-12)) * g, ()

    return Optimizer("clipped_sgd", rate, {"largest": largest}, 0, rule)


@planted(
    title="Clipped to nearly nothing",
    mistake="The gradient's norm is clipped at 0.001; its usual size here is about 1.",
    symptom="Every step has the same tiny length: the loss falls in a straight, level line.",
    caught_by=("UpdateRatio", "overfit_tiny_subset"),
    missed_by="GradientNorm",
    differs="trajectory",
)
def clipped_to_nothing(seed: int, device: Any, mistaken: bool) -> Case:
    return digits_case(seed, device, optimizer=_clipped_sgd(0.5, 1e-3 if mistaken else 5.0))


def _rounded_sgd(rate: float, dtype: str) -> Optimizer:
    """Make a rule that keeps θ in a dtype."""

    def rule(g, buffers, theta, rate, t):
        before = theta.astype(dtype)
        after = (theta - rate * g).astype(dtype)
        return (after.astype(theta.dtype) - before.astype(theta.dtype)), ()

    return Optimizer("rounded_sgd", rate, {"dtype": dtype}, 0, rule)


@planted(
    title="Steps lost in half precision",
    mistake="The weights are kept in float16, where a step below θ/2048 rounds to none.",
    symptom="The loss falls for a while and then stands still, as if at a minimum.",
    caught_by=("UpdateRatio",),
    missed_by="check_gradients",
    differs="trajectory",
)
def half_precision(seed: int, device: Any, mistaken: bool) -> Case:
    rule = _rounded_sgd(0.005, "float16" if mistaken else "float32")
    return _linear_case(seed, device, optimizer=rule, batch_size=8, epochs=25)


# ---------------------------------------------------------------------------- the penalty


@dataclass(frozen=True)
class l2_with_gradient_factor:
    """½ λ Σ θ², and a factor times its gradient λ θ."""

    strength: float
    factor: float

    def value(self, theta: Any) -> float:
        """Return ½ λ Σ θ²."""
        return 0.5 * self.strength * float((theta * theta).sum())

    def gradient(self, theta: Any) -> Any:
        """Return the gradient, times the factor."""
        return self.factor * self.strength * theta


@planted(
    title="A factor 2 in the penalty",
    mistake="The penalty is ½ λ Σ θ², its gradient was written 2 λ θ.",
    symptom="Nothing to see: the net is regularised twice as strongly as the loss says.",
    caught_by=("check_regularization",),
    missed_by="check_gradients",
    differs="trajectory",
)
def penalty_factor_two(seed: int, device: Any, mistaken: bool) -> Case:
    penalty = l2_with_gradient_factor(0.02, 2.0 if mistaken else 1.0)
    return digits_case(seed, device, penalty=penalty)


@planted(
    title="The sign of the penalty",
    mistake="The gradient of the penalty is subtracted, not added.",
    symptom="Weights grow without end; the training loss is fine until it overflows.",
    caught_by=("check_regularization",),
    missed_by="check_gradients",
    differs="trajectory",
)
def penalty_sign(seed: int, device: Any, mistaken: bool) -> Case:
    penalty = l2_with_gradient_factor(0.02, -1.0 if mistaken else 1.0)
    return digits_case(seed, device, penalty=penalty)


@planted(
    title="A penalty that dominates",
    mistake="The strength 2 was copied from a text whose loss is a sum, not a mean.",
    symptom="The loss returns to ln 10: all weights shrink to 0, whatever the data say.",
    caught_by=("check_regularization", "GradientNorm"),
    missed_by="overfit_tiny_subset",
    differs="trajectory",
)
def penalty_dominates(seed: int, device: Any, mistaken: bool) -> Case:
    penalty = losses.l2_penalty(2.0 if mistaken else 0.001)
    return digits_case(seed, device, penalty=penalty, optimizer=optim.sgd(0.1))


def _decaying_sgd(rate: float, decay: float) -> Optimizer:
    """Make a rule that shrinks all of θ at every step."""

    def rule(g, buffers, theta, rate, t):
        return -rate * (g + decay * theta), ()

    return Optimizer("decaying_sgd", rate, {"decay": decay}, 0, rule)


@planted(
    title="Biases decay too",
    mistake="The update rule lets all of θ decay, biases included.",
    symptom="Predictions lie below the targets by decay/(1 + decay) of their mean.",
    caught_by=("check_regularization",),
    missed_by="check_gradients",
    differs="trajectory",
)
def biases_decay(seed: int, device: Any, mistaken: bool) -> Case:
    if mistaken:
        return _linear_case(seed, device, optimizer=_decaying_sgd(0.05, 0.1))
    return _linear_case(seed, device, penalty=losses.l2_penalty(0.1))


# ---------------------------------------------------------------------------- callbacks, order


class StartOver(Callback):
    """Put the initial θ back at the start of every epoch, as a net built inside the loop does."""

    def on_fit_start(self, run: Run) -> None:
        """Keep the initial θ."""
        self._initial = run.vector.snapshot()

    def on_epoch_start(self, run: Run) -> None:
        """Put it back."""
        run.vector.restore(self._initial)


@planted(
    title="A new net every epoch",
    mistake="The line that initialises the net stands inside the loop over epochs.",
    symptom="Every epoch ends where the first did: the curve is level but for noise.",
    caught_by=(),
    missed_by="check_gradients",
    differs="trajectory",
)
def started_over(seed: int, device: Any, mistaken: bool) -> Case:
    return digits_case(seed, device, callbacks=[StartOver()] if mistaken else [])


@planted(
    title="Early stopping the wrong way round",
    mistake="The validation loss is watched as if larger were better.",
    symptom="Training stops after a few epochs, and the weights of the worst epoch are put back.",
    caught_by=(),
    missed_by="check_gradients",
    differs="validation",
)
def stopped_at_the_worst(seed: int, device: Any, mistaken: bool) -> Case:
    stopping = EarlyStopping("val_loss", patience=3, smaller_is_better=not mistaken)
    return digits_case(seed, device, callbacks=[stopping], epochs=10)


def the_same_minibatch(n: int, epoch: int, rng: onp.random.Generator) -> onp.ndarray:
    """Return the first 32 examples again and again."""
    return onp.arange(n) % 32


@planted(
    title="Always the first minibatch",
    mistake="The iterator over minibatches is made anew at every step and asked for its first.",
    symptom="The training loss falls to 0 within an epoch; validation soon gets worse.",
    caught_by=("Gap",),
    missed_by="overfit_tiny_subset",
    differs="validation",
)
def one_minibatch(seed: int, device: Any, mistaken: bool) -> Case:
    return digits_case(seed, device, order=the_same_minibatch if mistaken else None)


OPTIMISATION_BUGS: tuple[Bug, ...] = (
    rate_diverges,
    rate_too_high,
    rate_too_low,
    schedule_counts_steps,
    step_uphill,
    momentum_sign,
    gradients_never_zeroed,
    stale_gradient,
    clipped_to_nothing,
    half_precision,
    penalty_factor_two,
    penalty_sign,
    penalty_dominates,
    biases_decay,
    started_over,
    stopped_at_the_worst,
    one_minibatch,
)
