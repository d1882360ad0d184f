"""Stopping rules, on a published curve, against the words they come from, and within `fit`."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnbook import objective, optim, training
from nnbook.training import stopping

NIELSEN = Path(__file__).resolve().parents[1] / "chapters/regularization/nielsen_overfitting.json"
CURVES = st.lists(st.integers(1, 9), min_size=1, max_size=16)
RULES = [
    stopping.patience(2),
    stopping.patience(3, smallest_improvement=1, ties_count=False),
    stopping.patience(2, smaller_is_better=False),
    stopping.growing_patience(4, iterations=9, increase=1.5),
    stopping.generalization_loss(30),
    stopping.progress_quotient(0.2, strip=2),
    stopping.successive_rises(2, strip=2),
]


# ------------------------------------------------------------------ Nielsen's curve


@pytest.fixture(scope="module")
def nielsen():
    found = json.loads(NIELSEN.read_text(encoding="utf-8"))
    assert "Michael Nielsen" in found["licence"]
    return {
        "cost": found["test_cost"],
        "accuracy": [count / 1e4 for count in found["test_accuracy"]],
        "error": [1 - count / 1e4 for count in found["test_accuracy"]],
    }


def test_what_is_told_of_the_curve(nielsen):
    cost, accuracy = np.array(nielsen["cost"]), np.array(nielsen["accuracy"])
    assert len(cost) == len(accuracy) == 400
    assert cost.argmin() == 14  # counted from 0, as there
    assert cost.min() == pytest.approx(1.2028, abs=5e-5)
    assert cost[-1] == pytest.approx(1.773, abs=5e-4)
    assert (accuracy[14], accuracy.max(), accuracy[-1]) == (0.8046, 0.8227, 0.8223)
    assert accuracy.argmax() + 1 == 375


ROWS = {
    "no better cost in 10 epochs": (stopping.patience(10), "cost", 25, 15, 0.8046),
    "no better accuracy in 10": (
        stopping.patience(10, smaller_is_better=False),
        *("accuracy", 51, 41, 0.8170),
    ),
    "no better accuracy in 50": (
        stopping.patience(50, smaller_is_better=False),
        *("accuracy", 91, 41, 0.8170),
    ),
    "growing patience, 1,000": (stopping.growing_patience(100, 1000), "error", 64, 41, 0.8170),
    "growing patience, 5,000": (stopping.growing_patience(100, 5000), "error", 64, 41, 0.8170),
    "GL 5": (stopping.generalization_loss(5), "cost", 6, 5, 0.7433),
    "UP 3, strips of 5": (stopping.successive_rises(3, 5), "cost", 55, 15, 0.8046),
}


@pytest.mark.parametrize("name", ROWS)
def test_where_each_rule_ends_on_it(nielsen, name):
    rule, watched, stopped_at, best_at, accuracy = ROWS[name]
    result = rule(nielsen[watched])
    assert (result.stopped_at, result.best_at, result.seen) == (stopped_at, best_at, stopped_at)
    assert result.kept == nielsen[watched][best_at - 1]
    assert result.value_of(nielsen["accuracy"]) == accuracy


# ------------------------------------------------------------------ against other words


@given(CURVES, st.integers(1, 6))
def test_patience_that_ties_do_not_use_up_is_the_loop_it_comes_from(curve, bad_epochs):
    best, seen, stopped = float("inf"), [], None
    for epoch, loss in enumerate(curve, 1):
        seen.append(loss)
        if loss < best:
            best = loss
        elif len(seen) >= bad_epochs and (np.array(seen)[-bad_epochs:] > best).all():
            stopped = epoch
            break
    found = stopping.patience(bad_epochs, ties_count=False)(curve)
    assert found.stopped_at == stopped
    assert found.kept == best


@given(CURVES, st.integers(1, 5), st.integers(0, 12), st.sampled_from([1.0, 1.5, 2.0]))
def test_growing_patience_is_the_loop_over_minibatches(curve, batches, more, increase):
    patience, threshold = batches + more, 0.8
    allowed, best, best_at, stopped = patience, float("inf"), 0, None
    for epoch, value in enumerate(curve, 1):
        for minibatch in range(batches):
            iteration = (epoch - 1) * batches + minibatch
            if minibatch == batches - 1 and value < best:
                if value < best * threshold:
                    allowed = max(allowed, iteration * increase)
                best, best_at = value, epoch
            if allowed <= iteration:
                stopped = epoch
                break
        if stopped:
            break
    found = stopping.growing_patience(batches, patience, increase, threshold)(curve)
    assert (found.stopped_at, found.best_at) == (stopped, best_at)


@given(CURVES, st.integers(1, 4), st.integers(1, 4))
def test_successive_rises_is_its_recursion(curve, strips, k):
    def stops(s, t):  # UP_s stops after epoch t
        if t < 2 * k or t % k:
            return False
        rises = curve[t - 1] > curve[t - k - 1]
        return rises and (s == 1 or stops(s - 1, t - k))

    expected = next((t for t in range(1, len(curve) + 1) if stops(strips, t)), None)
    assert stopping.successive_rises(strips, k)(curve).stopped_at == expected


def test_the_progress_quotient_worked_out_by_hand():
    curve, losses = [2.0, 1.0, 1.02, 1.05, 1.1, 1.2], [4.0, 2.0, 1.5, 1.0, 0.99, 0.98]
    # Ends of strips: GL 0, 5, 20 %; P 1000 (3/2 − 1) = 500, 1000 (1.25/1 − 1) = 250 and
    # 1000 (.985/.98 − 1) = 5.102: quotients 0, .02, 3.92.
    for alpha, stopped in ((0.019, 4), (0.021, 6), (3.91, 6), (3.93, None)):
        found = stopping.progress_quotient(alpha, strip=2)(curve, losses)
        assert found.stopped_at == stopped
        assert found.best_at == 2


def test_a_strip_without_progress_ends_at_any_loss_and_at_none():
    rule = stopping.progress_quotient(100.0, strip=2)
    assert rule([1.0, 1.1], [1.0, 1.0]).stopped_at == 2
    assert rule([1.1, 1.0], [1.0, 1.0]).stopped_at is None


@pytest.mark.parametrize("rule", RULES, ids=repr)
@given(curve=CURVES)
def test_what_comes_later_changes_nothing(rule, curve):
    whole = rule(curve, curve)
    end = whole.stopped_at or len(curve)
    for k in range(1, len(curve) + 1):
        part = rule(curve[:k], curve[:k])
        assert part.stopped_at == (whole.stopped_at if k >= end else None)
    assert rule(curve[:end], curve[:end]) == whole
    assert whole.kept == curve[whole.best_at - 1]
    assert whole.best_at <= end == whole.seen


def test_results_and_rules_can_be_sent():
    for rule in RULES:
        result = rule([3.0, 2.0, 4.0], [3.0, 2.0, 4.0])
        assert pickle.loads(pickle.dumps((rule, result))) == (rule, result)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: stopping.patience(0), "epochs is 0"),
        (lambda: stopping.patience(1.5), "epochs is 1.5"),
        (lambda: stopping.patience(1, ties_count="no"), "ties_count is 'no'"),
        (lambda: stopping.growing_patience(10, 5), "iterations is 5; .* at least 10"),
        (lambda: stopping.generalization_loss(0), "alpha is 0"),
        (lambda: stopping.patience()([]), "expected one number an epoch"),
        (lambda: stopping.patience()(3.0), "expected one number an epoch"),
        (lambda: stopping.patience()([1.0, float("nan")]), "nan at epoch 2"),
        (lambda: stopping.generalization_loss()([1.0, 0.0]), "expected numbers > 0"),
        (lambda: stopping.growing_patience(1)([1.0, -2.0]), "none below 0"),
        (lambda: stopping.progress_quotient()([1.0]), "looks at the progress"),
        (lambda: stopping.progress_quotient()([1.0, 2.0], [1.0]), "training has 1 epochs"),
        (lambda: stopping.patience(1)([1.0, 2.0, 0.5]).value_of([]), "one number an epoch"),
        (lambda: stopping.patience(2)([2.0, 1.0]).value_of([1.0]), "epoch 2 is kept"),
        (lambda: stopping.StopBy(10), "rule is 10"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()


# ------------------------------------------------------------------ in training


def rising():
    """Return a loss whose validation curve falls and rises, and that validation."""
    loss = objective.from_function(
        lambda theta: float(0.5 * (theta**2).sum()), lambda theta: theta, np.ones(2)
    )
    return loss, lambda theta: {"loss": float((theta[0] - 0.5) ** 2 + 0.1)}


@pytest.mark.parametrize(
    "rule", [r for r in RULES if r.smaller_is_better], ids=lambda r: type(r).__name__
)
def test_the_callback_ends_where_the_rule_ends(rule):
    loss, validation = rising()
    free = training.fit(
        loss, validation=validation, optimizer=optim.sgd(0.1), epochs=40, progress=False
    )
    whole = rule(free["val_loss"], free["train_loss"])
    loss, validation = rising()
    stop = stopping.StopBy(rule)
    history = training.fit(
        *(loss, None, validation), optimizer=optim.sgd(0.1), epochs=40, callbacks=[stop],
        progress=False,
    )  # fmt: skip
    assert stop.result == whole
    assert len(history) == whole.seen < 40
    assert history.status == "stopped"
    assert loss.theta == pytest.approx(np.full(2, 0.9**whole.best_at))


def test_without_restoring_the_last_parameters_stay():
    loss, validation = rising()
    stop = training.StopBy(stopping.patience(3), restore_best=False)
    history = training.fit(
        *(loss, None, validation), optimizer=optim.sgd(0.1), epochs=40, callbacks=[stop],
        progress=False,
    )  # fmt: skip
    assert loss.theta == pytest.approx(np.full(2, 0.9 ** len(history)))


def test_it_does_what_early_stopping_does():
    found = []
    for stop in (training.EarlyStopping(patience=4), stopping.StopBy(stopping.patience(4))):
        loss, validation = rising()
        history = training.fit(
            *(loss, None, validation), optimizer=optim.sgd(0.1), epochs=40, callbacks=[stop],
            progress=False,
        )  # fmt: skip
        found.append((len(history), *loss.theta))
    assert found[0] == found[1]


def test_a_run_that_was_interrupted_goes_on_to_the_same_end(tmp_path):
    def start(epochs):
        loss, validation = rising()
        stop = stopping.StopBy(stopping.patience(4))
        history = training.fit(
            *(loss, None, validation), optimizer=optim.sgd(0.1), epochs=epochs, progress=False,
            callbacks=[stop, training.Checkpoint(tmp_path / "run", resume=True)],
        )  # fmt: skip
        return stop.result, len(history), tuple(loss.theta)

    start(8)
    result, epochs, theta = start(40)
    assert (result.stopped_at, epochs) == (result.best_at + 4, result.best_at + 4)
    assert theta == pytest.approx((0.9**result.best_at,) * 2)


def test_a_column_that_is_not_there():
    loss, _ = rising()
    with pytest.raises(KeyError, match="StopBy watches 'val_loss'"):
        training.fit(
            loss, optimizer=optim.sgd(0.1), epochs=2, progress=False,
            callbacks=[stopping.StopBy(stopping.patience(1))],
        )  # fmt: skip
