"""Distillation: the loss and its gradient against references, targets, and what students learn."""

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnbook import data, layers, losses, optim, training
from nnbook.ensemble.distillation import (
    LabelledValidation,
    distill,
    distillation_loss,
    soft_targets,
)
from nnbook.ensemble.members import Ensemble
from nnbook.parameters import ParameterVector
from nnbook.population import fit_population
from nnbook.runtime import mx

X, Y = data.moons(n=60, noise=0.2, rng=0)
X, Y = X.astype("float32"), Y.astype("int32")


def softmax(z):
    shifted = onp.exp(z - z.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def reference(z, v, y, temperature, hard_weight):
    """The loss and its gradient in NumPy, from their definitions."""
    p, q, hard = softmax(v / temperature), softmax(z / temperature), softmax(z)
    soft_loss = -(p * onp.log(q)).sum(axis=1) * temperature**2
    hard_loss = -(y * onp.log(hard)).sum(axis=1)
    slope = (1 - hard_weight) * temperature * (q - p)
    slope = slope + hard_weight * (hard * y.sum(axis=1, keepdims=True) - y)
    return (1 - hard_weight) * soft_loss + hard_weight * hard_loss, slope


def value_and_gradient(loss, z, targets):
    z, targets = mx.np.array(z, dtype="float64"), mx.np.array(targets, dtype="float64")
    z.attach_grad()
    with mx.autograd.record():
        values = loss(z, targets)
    values.backward()
    return values.asnumpy(), z.grad.asnumpy()


def examples(seed=0, n=6, classes=5):
    """Zero-mean outputs of a student and a teacher, and labels."""
    rng = onp.random.default_rng(seed)
    z, v = rng.normal(scale=3, size=(2, n, classes))
    y = onp.eye(classes)[rng.integers(0, classes, n)]
    return z - z.mean(1, keepdims=True), v - v.mean(1, keepdims=True), y


def theta_of(net):
    return ParameterVector(net).theta.asnumpy().copy()


# ---------------------------------------------------------------------- the loss


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    temperature=st.floats(0.3, 50),
    hard_weight=st.sampled_from([0, 0.1, 0.5, 1]),
)
def test_loss_and_gradient_against_their_definitions(seed, temperature, hard_weight):
    z, v, y = examples(seed)
    y[0] = 0  # an example without a label
    loss = distillation_loss(temperature, hard_weight)
    values, slope = value_and_gradient(loss, z, onp.c_[v, y])
    expected, expected_slope = reference(z, v, y, temperature, hard_weight)
    onp.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9)
    onp.testing.assert_allclose(slope, expected_slope, rtol=1e-7, atol=1e-9)


def test_at_high_temperature_the_soft_gradient_matches_logits():
    z, v, y = examples()
    errors = []
    for temperature in (10.0, 100.0, 1e4):
        _, slope = value_and_gradient(distillation_loss(temperature, 0), z, onp.c_[v, y])
        limit = (z - v) / z.shape[1]
        errors.append(onp.linalg.norm(slope - limit) / onp.linalg.norm(limit))
    assert errors[2] < 1e-3
    # The rest falls as 1/T.
    assert errors[1] / errors[0] == pytest.approx(0.1, rel=0.3)
    assert errors[2] / errors[1] == pytest.approx(0.01, rel=0.1)


def test_without_the_factor_the_soft_gradient_falls_as_one_over_t_squared():
    z, v, y = examples(1)
    temperatures = onp.array([30.0, 300.0, 3000.0])
    sizes, bare = [], []
    for temperature in temperatures:
        _, slope = value_and_gradient(distillation_loss(temperature, 0), z, onp.c_[v, y])
        sizes.append(onp.linalg.norm(slope))
        bare.append(onp.linalg.norm(slope / temperature**2))
        limit = (z - v) / (z.shape[1] * temperature**2)
    onp.testing.assert_allclose(bare[-1], onp.linalg.norm(limit), rtol=2e-3)
    exponents = onp.diff(onp.log(bare)) / onp.diff(onp.log(temperatures))
    onp.testing.assert_allclose(exponents, -2, atol=0.03)
    assert max(sizes) / min(sizes) < 1.1  # what T² is there for


def test_at_temperature_one_a_sure_teacher_is_a_label():
    z, _, y = examples(2)
    targets = onp.c_[1e3 * y, y]
    for hard_weight in (0, 0.4, 1):
        values = distillation_loss(1, hard_weight)(z, targets).asnumpy()
        expected = losses.softmax_cross_entropy(z, y).asnumpy()
        onp.testing.assert_allclose(values, expected, rtol=1e-10)


def test_the_loss_is_least_where_the_student_agrees():
    _, v, y = examples(3)
    _, slope = value_and_gradient(distillation_loss(3.0, 0), v + 7, onp.c_[v, y])
    onp.testing.assert_allclose(slope, 0, atol=1e-12)


def test_the_graph_does_what_the_record_does():
    class Plain(mx.gluon.Block):  # cannot be traced
        def __init__(self):
            super().__init__()
            self.inner = layers.mlp(2, [4], 2, seed=0)
            self.register_child(self.inner)

        def forward(self, x):
            return self.inner(x)

    targets = soft_targets(layers.mlp(2, [9], 2, seed=5), X, Y)
    traced, recorded = layers.mlp(2, [4], 2, seed=0), Plain()
    for net in (traced, recorded):
        training.fit(
            net, (X, targets), loss=distillation_loss(4.0, 0.3), optimizer=optim.momentum(0.05),
            batch_size=10, epochs=3, progress=False,
        )  # fmt: skip
    onp.testing.assert_allclose(theta_of(traced), theta_of(recorded), atol=1e-5)


# ---------------------------------------------------------------------- targets


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("device", [mx.cpu(), mx.cpu(1)], ids=str)
def test_targets_of_a_network(device, hybridize):
    net = layers.mlp(2, [4], 3, dropout=0.5, seed=0, device=device)
    if hybridize:
        net.hybridize()
    before = theta_of(net)
    labels = Y.copy()
    labels[::2] = -1
    targets = soft_targets(net, mx.np.array(X), mx.np.array(labels, dtype="int32"), batch_size=7)
    assert targets.shape == (60, 6)
    assert targets.dtype == onp.float32
    logits = net(mx.np.array(X, ctx=device)).asnumpy()  # with dropout off
    onp.testing.assert_allclose(softmax(targets[:, :3]), softmax(logits), atol=1e-6)
    onp.testing.assert_allclose(targets[:, :3].mean(axis=1), 0, atol=1e-6)
    assert (targets[::2, 3:] == 0).all()
    assert (targets[1::2, 3:] == onp.eye(3)[Y[1::2]]).all()
    assert (theta_of(net) == before).all()


@pytest.mark.parametrize("combine", ["probabilities", "logits"])
def test_targets_of_an_ensemble_are_its_probabilities(combine):
    members = [layers.mlp(2, [4], 2, seed=seed) for seed in range(3)]
    both = Ensemble(members, combine)
    targets = soft_targets(both, X)
    onp.testing.assert_allclose(softmax(targets[:, :2]), both(X), atol=1e-6)
    assert (targets[:, 2:] == 0).all()


def test_a_class_without_a_vote_and_one_of_probability_zero():
    sure = Ensemble([lambda x: onp.tile([500.0, 0.0], (len(x), 1))], "votes")
    targets = soft_targets(sure, X)
    assert onp.isfinite(targets).all()
    onp.testing.assert_allclose(softmax(targets[:, :2])[0], [1, 0], atol=1e-30)


# ---------------------------------------------------------------------- students


def student(seed=1, device=None, outputs=2):
    return layers.mlp(2, [5], outputs, activation="tanh", seed=seed, device=device)


def teacher(device=None):
    net = layers.mlp(2, [40], 2, activation="tanh", seed=0, device=device)
    training.fit(
        net, (X, Y), loss=losses.softmax_cross_entropy, optimizer=optim.adam(0.02),
        batch_size=10, epochs=15, progress=False,
    )  # fmt: skip
    return net


OPTIONS = {"optimizer": optim.adam(0.02), "batch_size": 10, "epochs": 4, "progress": False}


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("device", [mx.cpu(), mx.cpu(1)], ids=str)
def test_the_student_becomes_like_its_teacher_without_any_label(device, hybridize):
    big, small = teacher(device), student(device=device)
    if hybridize:
        big.hybridize()
        small.hybridize()
    known = softmax(training.example_outputs(big, X))
    before, theta = softmax(training.example_outputs(small, X)), theta_of(big)
    options = OPTIONS | {"epochs": 25}
    history = distill(small, big, (X, None), (X, Y), hard_weight=0, **options)
    after = softmax(training.example_outputs(small, X))
    assert onp.abs(after - known).mean() < 0.2 * onp.abs(before - known).mean()
    assert history["train_loss"][-1] < history["train_loss"][0]
    assert (theta_of(big) == theta).all()


def test_validation_is_on_the_real_labels():
    small = student()
    history = distill(small, teacher(), (X, Y), (X[:30], Y[:30]), **OPTIONS)
    found = training.evaluate(small, (X[:30], Y[:30]), losses.softmax_cross_entropy)
    assert history[-1]["val_loss"] == pytest.approx(found["loss"], rel=1e-6)
    assert history[-1]["val_accuracy"] == found["accuracy"]
    assert list(history[0]) == [
        "epoch",
        "step",
        "seconds",
        "train_loss",
        "val_loss",
        "val_accuracy",
    ]


def test_callbacks_see_the_validation():
    stopping = training.EarlyStopping("val_accuracy", patience=1)
    history = distill(
        student(), teacher(), (X, Y), (X, Y), callbacks=[stopping], **OPTIONS | {"epochs": 60}
    )
    assert len(history) < 60
    assert "val_accuracy has not improved" in history.stopped


def test_distilling_is_fit_on_soft_targets():
    big, nets = teacher(), [student(), student()]
    distill(nets[0], big, (X, Y), temperature=2.0, hard_weight=0.3, seed=4, **OPTIONS)
    loss = distillation_loss(2.0, 0.3)
    training.fit(nets[1], (X, soft_targets(big, X, Y)), loss=loss, seed=4, **OPTIONS)
    assert (theta_of(nets[0]) == theta_of(nets[1])).all()
    plain = student()
    training.fit(plain, (X, Y), loss=losses.softmax_cross_entropy, seed=4, **OPTIONS)
    only_labels = student()
    distill(only_labels, big, (X, Y), hard_weight=1, seed=4, **OPTIONS)
    onp.testing.assert_allclose(theta_of(only_labels), theta_of(plain), atol=1e-5)
    assert onp.abs(theta_of(nets[0]) - theta_of(plain)).max() > 1e-3


def test_a_population_of_students():
    targets = soft_targets(teacher(), X, Y)
    nets, seeds = [student(s) for s in (1, 2, 3)], [1, 2, 3]
    fit_population(nets, (X, targets), loss=distillation_loss(), seeds=seeds, **OPTIONS)
    for net, seed in zip(nets, seeds, strict=True):
        alone = student(seed)
        training.fit(alone, (X, targets), loss=distillation_loss(), seed=seed, **OPTIONS)
        onp.testing.assert_allclose(theta_of(net), theta_of(alone), atol=1e-5)


def test_the_teacher_runs_once():
    calls = []

    def slow(x):
        calls.append(len(x))
        return onp.c_[x[:, 0], -x[:, 0]]

    distill(student(), slow, (X, Y), **OPTIONS)
    assert sum(calls) == len(X)


def test_a_checkpoint_of_another_temperature_is_refused(tmp_path):
    def run(temperature):
        saved = [training.Checkpoint(tmp_path / "run")]
        return distill(
            student(), lambda x: x, (X, Y), temperature=temperature, callbacks=saved, **OPTIONS
        )

    assert len(run(4.0)) == len(run(4.0)) == 4
    with pytest.raises(
        training.CheckpointError, match=r"loss was distillation_loss\(temperature=4"
    ):
        run(5.0)


# ---------------------------------------------------------------------- bad input


def regression():
    return Ensemble([lambda x: x], "outputs")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: distillation_loss(0), ValueError, "temperature is 0; expected a finite"),
        (lambda: distillation_loss(-2), ValueError, "temperature is -2"),
        (lambda: distillation_loss(onp.inf), ValueError, "temperature is inf"),
        (lambda: distillation_loss(onp.nan), ValueError, "temperature is nan"),
        (lambda: distillation_loss("hot"), TypeError, "temperature is 'hot'"),
        (lambda: distillation_loss(4, 1.1), ValueError, r"hard_weight is 1\.1; .*\[0, 1\]"),
        (lambda: distillation_loss(4, -0.1), ValueError, r"hard_weight is -0\.1"),
        (lambda: distillation_loss()(X, X), ValueError, r"expected .*\(n, 2C\) targets"),
        (lambda: soft_targets(3, X), TypeError, "net is a int"),
        (lambda: soft_targets(lambda x: x[:, 0], X), ValueError, r"outputs of shape \(60,\)"),
        (lambda: soft_targets(lambda x: x * onp.nan, X), ValueError, "not finite"),
        (lambda: soft_targets(regression(), X), ValueError, "averages outputs"),
        (lambda: soft_targets(lambda x: x, X, Y[:9]), ValueError, r"y has the shape \(9,\)"),
        (lambda: soft_targets(lambda x: x, X, Y + 1), ValueError, "out of range"),
        (lambda: soft_targets(lambda x: x, X, Y - 2), ValueError, "out of range"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"train": (X, None)}, ValueError, "there are no labels, but hard_weight is 0.1"),
        ({"train": X}, TypeError, "train is a ndarray; expected a pair"),
        ({"loss": losses.hinge}, TypeError, "distill has its own loss"),
        ({"temperature": 0}, ValueError, "temperature is 0"),
        ({"student": student(outputs=3)}, ValueError, r"expected \(n, C\) outputs and \(n, 2C\)"),
        ({"validation": (X, Y + 1)}, ValueError, "validation y has .*labels out of range"),
        ({"callbacks": training.EarlyStopping()}, TypeError, "expected a list of them"),
    ],
)
def test_a_bad_distillation_stops_before_any_work(change, error, message):
    arguments = {"student": student(), "teacher": lambda x: x, "train": (X, Y)} | change
    before = theta_of(arguments["student"])
    with pytest.raises(error, match=message):
        distill(**arguments, **OPTIONS)
    assert (theta_of(arguments["student"]) == before).all()


def test_labelled_validation_in_a_fit_of_ones_own():
    net, targets = student(), soft_targets(lambda x: x, X)
    loss, held_out = distillation_loss(hard_weight=0), LabelledValidation((X, Y))
    history = training.fit(net, (X, targets), loss=loss, callbacks=[held_out], **OPTIONS)
    assert 0 <= history[-1]["val_accuracy"] <= 1
