"""Orders of presentation: what they promise, and that `fit` takes them."""

from __future__ import annotations

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from nnbook import data, layers, losses, optim, training
from nnbook.runtime import mx


def rng(seed=0):
    return onp.random.default_rng(seed)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 99))
def test_every_example_once(labels, seed):
    for order in (data.shuffled(), data.class_balanced(onp.array(labels))):
        indices = order(len(labels), 1, rng(seed))
        assert sorted(indices) == list(range(len(labels)))


def test_classes_of_one_size_take_strict_turns():
    labels = rng().permutation(onp.repeat(onp.arange(7), 11))
    turns = labels[data.class_balanced(labels)(77, 1, rng(3))]
    assert (turns[1:] != turns[:-1]).all()
    assert (turns.reshape(11, 7) == turns[:7]).all()


def test_a_class_twice_as_large_has_twice_as_many_turns_in_every_part():
    labels = onp.repeat([0, 1], [200, 100])
    turns = labels[data.class_balanced(labels)(300, 1, rng(5))]
    for part in turns.reshape(10, 30):
        assert abs((part == 0).sum() - 20) <= 1


def test_turns_differ_between_epochs_and_repeat_with_the_seed():
    labels = onp.arange(50) % 5
    order = data.class_balanced(labels)
    assert (order(50, 1, rng(1)) == order(50, 1, rng(1))).all()
    assert (order(50, 1, rng(1)) != order(50, 1, rng(2))).any()


def test_examples_are_drawn_in_proportion_to_their_errors():
    errors = onp.array([0.0, 1.0, 2.0, 5.0])
    for power, share, expected in (
        (1.0, 0.0, errors / 8),
        (2.0, 0.0, errors**2 / 30),
        (0.0, 0.0, onp.full(4, 0.25)),
        (1.0, 0.5, 0.5 * errors / 8 + 0.125),
    ):
        order = data.error_weighted(lambda: errors, power, share)
        generator = rng(7)
        drawn = onp.concatenate([order(4, 1, generator) for _ in range(2000)])
        found = onp.bincount(drawn, minlength=4)
        kept = expected > 0
        assert found[~kept].sum() == 0
        assert stats.chisquare(found[kept], 8000 * expected[kept]).pvalue > 1e-3


def test_no_error_at_all_draws_all_alike_and_huge_ones_do_not_overflow():
    generator = rng(1)
    zero = data.error_weighted(lambda: onp.zeros(3))
    drawn = onp.bincount(onp.concatenate([zero(3, 1, generator) for _ in range(1000)]))
    assert stats.chisquare(drawn).pvalue > 1e-3
    rounded = data.error_weighted(lambda: onp.array([-2e-7, 1.0]))
    assert set(rounded(2, 1, rng(0))) == {1}
    huge = data.error_weighted(lambda: onp.array([1e300, 1e300]), power=3)
    assert set(huge(2, 1, rng(0))) <= {0, 1}


@pytest.mark.parametrize("device", [mx.cpu(0), mx.cpu(1)])
@pytest.mark.parametrize("hybridize", [False, True])
def test_fit_follows_the_errors_of_the_network(device, hybridize):
    x, y = data.two_gaussians(rng=0)
    labels = (y > 0).astype("int32")
    net = layers.mlp(2, [4], 2, seed=0, device=device)
    if hybridize:
        net.hybridize()
    seen = []

    def errors():
        seen.append(training.example_losses(net, (x, labels), losses.softmax_cross_entropy))
        return seen[-1]

    history = training.fit(
        net,
        (x, labels),
        loss=losses.softmax_cross_entropy,
        optimizer=optim.sgd(0.5),
        batch_size=10,
        epochs=3,
        order=data.error_weighted(errors),
        progress=False,
        device=device,
    )
    assert len(seen) == 3
    assert seen[0].mean() > seen[-1].mean()
    final = training.evaluate(net, (x, labels), losses.softmax_cross_entropy)["loss"]
    own = training.example_losses(net, (x, labels), losses.softmax_cross_entropy, batch_size=7)
    assert own.shape == (len(x),)
    assert own.mean() == pytest.approx(final, rel=1e-5)
    assert history[-1]["train_loss"] < history[0]["train_loss"]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: data.class_balanced(onp.zeros((3, 2), int)), ValueError, r"shape \(3, 2\)"),
        (lambda: data.class_balanced(onp.zeros(3)), ValueError, "dtype float64; expected one who"),
        (lambda: data.class_balanced(onp.zeros(0, int)), ValueError, "expected one whole number"),
        (
            lambda: data.class_balanced(onp.zeros(3, int))(4, 1, rng()),
            ValueError,
            "There are 4 examples, but labels gives 3 of them",
        ),
        (lambda: data.error_weighted(onp.ones(3)), TypeError, "expected a function without arg"),
        (lambda: data.error_weighted(lambda: [1], power=-1), ValueError, "power is -1"),
        (lambda: data.error_weighted(lambda: [1], uniform_share=2), ValueError, "uniform_share is"),
        (
            lambda: data.error_weighted(lambda: onp.ones(2))(3, 1, rng()),
            ValueError,
            r"There are 3 examples, but errors\(\) gives 2",
        ),
        (
            lambda: data.error_weighted(lambda: onp.array([1, -2.0]))(2, 1, rng()),
            ValueError,
            r"errors\(\)\[1\] is -2.0; expected finite",
        ),
        (
            lambda: data.error_weighted(lambda: onp.array([onp.nan, 1]))(2, 1, rng()),
            ValueError,
            r"errors\(\)\[0\] is nan",
        ),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()
