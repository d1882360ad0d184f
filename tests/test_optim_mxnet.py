"""The rules of the book and MXNet 1.9.1's own: where they are the same, and where they differ.

Three things differ, and each is shown to be all that differs:

* MXNet's kernels take their numbers in float32. With a rate of 0.1 they compute with
  0.100000001490…, and 1 − 0.999 is wrong in the fifth digit. Here most numbers are exact in
  float32, and then SGD, momentum, Nesterov, AdaGrad and RMSProp agree to rounding.
* Adam folds its bias correction into the rate: the rate is rounded to float32 at every step, and
  its eps is one of eps / √(1 − β₂ᵗ) in the paper's form.
* AdaGrad and RMSProp add eps under the root: with eps = 0 they are the paper's.
"""

import math

import numpy as onp
import pytest

from nnbook import optim
from nnbook.runtime import mx, np

M = mx.optimizer
RNG = onp.random.default_rng(7)
START = RNG.normal(size=5)
GRADIENTS = RNG.normal(size=(1000, 5)) * 10 ** RNG.uniform(-3, 1, 5)
RATE, MOMENTUM, DECAY, BETA1, BETA2 = 0.125, 0.875, 0.875, 0.875, 0.96875  # exact in float32


def end_of(rule, start=START):
    theta, state = start.copy(), rule.init(start)
    for gradient in GRADIENTS:
        step, state = rule.update(gradient, state, theta)
        theta = theta + step
    assert state.step == 1000
    return theta


def difference(mine, theirs):
    a, b = end_of(mine), end_of(optim.from_mxnet(theirs))
    return onp.abs(a - b).max() / onp.abs(a).max()


SAME = {
    "sgd": (optim.sgd(RATE), M.SGD(learning_rate=RATE)),
    "momentum": (optim.momentum(RATE, MOMENTUM), M.SGD(learning_rate=RATE, momentum=MOMENTUM)),
    "nesterov": (optim.nesterov(RATE, MOMENTUM), M.NAG(learning_rate=RATE, momentum=MOMENTUM)),
    "adagrad": (optim.adagrad(RATE, eps=0), M.AdaGrad(learning_rate=RATE, eps=0)),
    "rmsprop": (
        optim.rmsprop(RATE, DECAY, eps=0),
        M.RMSProp(learning_rate=RATE, gamma1=DECAY, epsilon=0),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_without_eps_and_with_exact_numbers_they_are_the_same(name):
    assert difference(*SAME[name]) < 1e-13


def test_adams_differ_by_the_rounding_of_its_rate():
    mine = optim.adam(RATE, BETA1, BETA2, eps=0)
    theirs = M.Adam(learning_rate=RATE, beta1=BETA1, beta2=BETA2, epsilon=0)
    assert 1e-12 < difference(mine, theirs) < 1e-7


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (optim.momentum(0.1, 0.9), M.SGD(learning_rate=0.1, momentum=0.9)),
        (optim.nesterov(0.1, 0.9), M.NAG(learning_rate=0.1, momentum=0.9)),
        (optim.rmsprop(0.1, 0.9, eps=0), M.RMSProp(learning_rate=0.1, epsilon=0)),
        (optim.adam(0.1, eps=0), M.Adam(learning_rate=0.1, epsilon=0)),
    ],
    ids=["momentum", "nesterov", "rmsprop", "adam"],
)
def test_ordinary_numbers_are_rounded_to_float32_by_mxnet(mine, theirs):
    assert 1e-9 < difference(mine, theirs) < 1e-5


def test_adams_eps_shrinks_with_the_bias_correction():
    eps = 2.0**-7  # large, so that its place is seen

    def rule(g, buffers, theta, rate, t):
        mean = BETA1 * buffers[0] + (1 - BETA1) * g
        square = BETA2 * buffers[1] + (1 - BETA2) * g * g
        correction = math.sqrt(1 - BETA2 ** (t + 1))
        root = onp.sqrt(square) / correction + eps / correction
        return -rate * mean / (1 - BETA1 ** (t + 1)) / root, (mean, square)

    theirs = M.Adam(learning_rate=RATE, beta1=BETA1, beta2=BETA2, epsilon=eps)
    assert difference(optim.Optimizer("folded", RATE, {}, 2, rule), theirs) < 1e-7
    assert difference(optim.adam(RATE, BETA1, BETA2, eps), theirs) > 1e-4


@pytest.mark.parametrize("name", ["adagrad", "rmsprop"])
def test_eps_stands_under_the_root(name):
    eps = 2.0**-7

    def rule(g, buffers, theta, rate, t):
        keep, new = (1, 1) if name == "adagrad" else (DECAY, 1 - DECAY)
        square = keep * buffers[0] + new * g * g
        return -rate * g / onp.sqrt(square + eps), (square,)

    mine, theirs = {
        "adagrad": (optim.adagrad(RATE, eps), M.AdaGrad(learning_rate=RATE, eps=eps)),
        "rmsprop": (
            optim.rmsprop(RATE, DECAY, eps),
            M.RMSProp(learning_rate=RATE, gamma1=DECAY, epsilon=eps),
        ),
    }[name]
    assert difference(optim.Optimizer("under", RATE, {}, 1, rule), theirs) < 1e-13
    assert difference(mine, theirs) > 1e-4


def test_adamw_is_mxnets_kernel_with_its_rate_corrected():
    """MXNet has no AdamW class, but a kernel: it decays by eta · wd and corrects no bias."""
    decay = 2.0**-6
    theta, mean, square = (mx.nd.array(a, dtype="float64") for a in (START, START * 0, START * 0))
    for t, gradient in enumerate(GRADIENTS, 1):
        mx.nd.contrib.adamw_update(
            theta,
            mx.nd.array(gradient, dtype="float64"),
            mean,
            square,
            mx.nd.ones((1,)),  # what the gradient is multiplied by: always float32
            out=theta,
            lr=RATE * math.sqrt(1 - BETA2**t) / (1 - BETA1**t),
            eta=1.0,
            wd=RATE * decay,
            beta1=BETA1,
            beta2=BETA2,
            epsilon=0.0,
        )
    mine = end_of(optim.adamw(RATE, BETA1, BETA2, eps=0, weight_decay=decay))
    onp.testing.assert_allclose(mine, theta.asnumpy(), rtol=0, atol=1e-6 * onp.abs(mine).max())


@pytest.mark.parametrize("device", [mx.cpu(), mx.cpu(1)], ids=str)
def test_the_adapter_is_pure_and_stays_on_the_device(device):
    optimizer = M.Nadam(learning_rate=0.1)  # which counts in an attribute of its own
    rule = optim.from_mxnet(optimizer)
    theta = np.array([1.0, -2.0], ctx=device)
    gradient = np.array([0.5, 0.25], ctx=device)
    _, state = rule.update(gradient, rule.init(theta), theta)
    first, after = rule.update(gradient, state, theta)
    again, _ = rule.update(gradient, state, theta)
    assert (first == again).all()
    assert first.ctx == device
    assert first.dtype == onp.float32
    assert (state.step, after.step) == (1, 2)
    assert theta.tolist() == [1.0, -2.0]
    assert optimizer.num_update == 0
    assert repr(rule) == "mxnet Nadam(0.1)"


def test_the_adapter_follows_a_scheduler():
    scheduler = mx.lr_scheduler.FactorScheduler(step=2, factor=0.5, base_lr=1.0)
    rule = optim.from_mxnet(M.SGD(learning_rate=1.0, lr_scheduler=scheduler))
    path = optim.trajectory(rule, onp.ones_like, [0.0], 6)
    assert (-onp.diff(path[:, 0])).tolist() == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_the_adapter_refuses_what_is_no_optimizer_of_mxnet():
    with pytest.raises(TypeError, match=r"optimizer is sgd\(0\.1\); expected one of mxnet"):
        optim.from_mxnet(optim.sgd(0.1))
