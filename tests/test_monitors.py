"""Monitors: they see what is there, change nothing, and find planted bugs without false alarms."""

import dataclasses
import functools
import json
from pathlib import Path

import numpy as np
import pytest

from nnbook import data, layers, losses, monitors, optim, schedules, training, zoo
from nnbook.findings import Finding, Findings
from nnbook.monitors import (
    GRADIENT_EDGES,
    ActivationHistogram,
    DeadUnits,
    Gap,
    GradientHistogram,
    GradientNorm,
    LossWiggle,
    UpdateRatio,
)
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx

CAUGHT = Path(__file__).with_name("zoo_caught_by_monitors.json")
RULES = {
    "momentum": lambda: optim.momentum(0.05),
    "of MXNet": lambda: mx.optimizer.create("sgd", learning_rate=0.05),
}


@functools.lru_cache(maxsize=1)
def digits():
    x, y = data.load_digits_8x8()
    return (x[:300], y[:300]), (x[300:500], y[300:500])


def train(net, watching, optimizer=None, **options):
    settings = {"batch_size": 30, "epochs": 3, "seed": 5, "progress": False, **options}
    return training.fit(
        net,
        *digits(),
        loss=losses.softmax_cross_entropy,
        optimizer=optimizer or optim.momentum(0.05),
        callbacks=watching,
        **settings,
    )


def net_of(activation="tanh", hidden=(16,), **options):
    return layers.mlp(64, list(hidden), 10, activation, seed=1, **options)


# ------------------------------------------------------------------------- nothing is changed


NETS = {
    "traced": lambda device: net_of(device=device),
    "hybridised": lambda device: hybridised(net_of(device=device)),
    "recorded": lambda device: zoo.correct.Plain(net_of(device=device)),
    "with dropout": lambda device: net_of("relu", dropout=0.3, device=device),
    "with batch normalisation": lambda device: normalised(device),
}


def hybridised(net):
    net.hybridize(static_alloc=True)
    return net


def normalised(device):
    from mxnet.gluon import nn

    blocks = nn.BatchNorm(in_channels=64), nn.Dense(12, activation="relu"), nn.Dense(10)
    return zoo.cases.chain(*blocks, example=digits()[0][0], seed=1, device=device)


@pytest.mark.parametrize("device", ["cpu(0)", "cpu(1)"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", NETS)
def test_training_is_the_same_bit_for_bit(kind, rule, device):
    results = []
    often = [UpdateRatio(every=1), GradientNorm(every=3), GradientHistogram(every=2)]
    for watching in ([], [*often, *monitors.watch()[3:]]):
        mx.random.seed(3)
        net = NETS[kind](device)
        history = train(net, watching, RULES[rule]())
        after = mx.np.random.uniform(size=4).asnumpy()
        vector = ParameterVector(net)
        state = {name: array.asnumpy() for name, array in vector.state.items()}
        results.append((history, vector.theta.asnumpy(), state, after))
    (bare, theta, state, after), (watched, same, same_state, same_after) = results
    np.testing.assert_array_equal(theta, same)
    np.testing.assert_array_equal(after, same_after)
    for name, array in state.items():
        np.testing.assert_array_equal(array, same_state[name])
    for column in ("train_loss", "val_loss", "val_accuracy"):
        np.testing.assert_array_equal(bare[column], watched[column])
    assert not any(block._forward_hooks for block in net._children.values())


def test_a_hybridised_network_keeps_its_graph():
    net = hybridised(net_of())
    x = mx.np.array(digits()[0][0][:4], dtype="float32")
    before = net(x)
    compiled = net._cached_op
    outputs = monitors.layer_outputs(net, x)
    assert net._active
    assert net._cached_op is compiled
    assert [layer.name for layer in outputs] == ["0", "1", "2"]
    np.testing.assert_array_equal(outputs[-1].values, before.asnumpy())

    def fail(*_):
        raise RuntimeError("on purpose")

    # A hook of one's own is called too; after its error everything is as before.
    with net[1].register_forward_hook(fail), pytest.raises(RuntimeError, match="on purpose"):
        monitors.layer_outputs(net, x)
    assert net._active
    assert not any(block._forward_hooks for block in net)


# ------------------------------------------------------------------------------ what they see


@pytest.mark.parametrize("rule", RULES)
def test_update_ratios_are_those_of_the_steps(rule):
    ratio, size = UpdateRatio(every=1), GradientNorm(every=1)
    net = net_of()
    seen = []

    class Look(training.Callback):
        def on_fit_start(self, run):
            self.before = run.vector.theta.asnumpy().copy()

        def on_step_end(self, run):
            theta = run.vector.theta.asnumpy().copy()
            grad = np.linalg.norm(run.vector.grad.asnumpy().astype(float))
            parts = run.vector.slices.values()
            norms = [
                (np.linalg.norm(self.before[p]), np.linalg.norm((theta - self.before)[p]))
                for p in parts
            ]
            seen.append((run.loss, grad, np.linalg.norm(theta), *np.ravel(norms)))
            self.before = theta

    train(net, [Look(), ratio, size], RULES[rule](), epochs=1)
    seen = np.array(seen)
    assert ratio.names == ("0.weight", "0.bias", "2.weight", "2.bias")
    np.testing.assert_array_equal(ratio["step"], np.arange(1, 11))
    np.testing.assert_array_equal(size["epoch"], 1)
    columns = [size["loss"], size["gradient"], size["theta"]]
    np.testing.assert_allclose(np.array(columns).T, seen[:, :3], rtol=1e-5)
    np.testing.assert_allclose(ratio["weights"], seen[:, 3::2], rtol=1e-5)
    np.testing.assert_allclose(ratio["updates"], seen[:, 4::2], rtol=1e-5)
    assert np.isinf(ratio["ratio"][0, 1])  # a bias starts at 0
    np.testing.assert_allclose(
        ratio["ratio"][1:], ratio["updates"][1:] / ratio["weights"][1:], rtol=1e-6
    )


def test_gradient_histograms_count_every_entry_of_small_matrices():
    monitor = GradientHistogram(every=1)
    slopes = []

    class Look(training.Callback):
        def on_step_end(self, run):
            slopes.append({n: run.vector.grad.asnumpy()[s] for n, s in run.vector.slices.items()})

    train(net_of(), [Look(), monitor], epochs=1)
    assert monitor.names == ("0.weight", "2.weight")
    for record, slope in zip(monitor.records, slopes, strict=True):
        for i, name in enumerate(monitor.names):
            size = np.abs(slope[name].astype(float))
            expected, _ = np.histogram(np.clip(size[size > 0], 1e-12, 1e4), GRADIENT_EDGES)
            assert np.abs(record.counts[i] - expected).sum() <= 4  # at an edge, by rounding
            assert record.counts[i].sum() == (size > 0).sum()
            assert record.zeros[i] == pytest.approx((size == 0).mean())
            assert record.rms[i] == pytest.approx(np.sqrt((size**2).mean()), rel=1e-4)


def test_norms_survive_float32():
    for scale in (1e-25, 1.0, 1e25):
        values = np.full(4, scale, dtype="float32")
        assert monitors.base.norm(values) == pytest.approx(2 * scale, rel=1e-6)


def test_activations_of_a_network_worked_out_by_hand():
    net = layers.mlp(2, [3], 1, "tanh")
    net[0].weight.set_data(mx.np.array([[0.0, 0], [1, 0], [9, 9]]))
    net[0].bias.set_data(mx.np.array([0.5, 0, 9]))
    x = np.array([[0.0, 0], [1, 0], [0, 1], [-1, 0]])
    first, hidden, last = monitors.layer_outputs(net, x)
    sums = x @ np.array([[0.0, 0], [1, 0], [9, 9]]).T + [0.5, 0, 9]
    np.testing.assert_allclose(first.values, sums, rtol=1e-6)
    np.testing.assert_allclose(hidden.values, np.tanh(sums), rtol=1e-5)
    np.testing.assert_array_equal(hidden.flat, 1 - np.tanh(sums) ** 2 < 0.05)
    assert (hidden.kind, hidden.half, last.values.shape) == ("tanh", 1.0, (4, 1))
    assert not first.flat.any()


def test_dead_and_saturated_units_are_counted():
    net = layers.mlp(64, [4], 10, "relu", seed=0)
    net[0].bias.set_data(mx.np.array([-99.0, 0, 0, -99]))
    dead = DeadUnits()
    train(net, [dead], optim.sgd(1e-9), epochs=1)
    assert dead.names == ("0", "1", "2")
    np.testing.assert_array_equal(dead["silent"][:, 1], 0.5)
    np.testing.assert_array_equal(dead["constant"][:, [0, 2]], 0)
    net = layers.mlp(64, [4], 10, "sigmoid", seed=0)
    net[0].bias.set_data(mx.np.array([99.0, 0, 0, 0]))
    dead = DeadUnits(probe=digits()[0][0][:50])
    train(net, [dead], optim.sgd(1e-9), epochs=1)
    assert dead["saturated"][-1, 1] == 0.25
    assert np.isnan(dead["saturated"][-1, 0])
    assert dead["silent"][-1, 1] == 0


@pytest.mark.parametrize("name", ["convolution", "recurrent", "embedding", "shared_layer"])
def test_other_layers_are_seen(name):
    (correct,) = [net for net in zoo.CORRECT if net.name == name]
    case = correct.build(device="cpu(1)")
    names = {
        "convolution": {"0": 6, "1": 10},  # channels, not pixels
        "recurrent": {"0.layer": 24, "1": 10},
        "embedding": {"0": 4, "1": 16, "2": 2},
        "shared_layer": {"0": 32, "1": 32, "1 (use 2)": 32, "3": 10},
    }[name]
    found = monitors.layer_outputs(case.net, case.data[0][:7])
    assert {layer.name: layer.values.shape[1] for layer in found} == names


def test_the_wiggle_is_the_noise_without_the_trend():
    monitor = LossWiggle()
    history = train(net_of(), [monitor], epochs=2, shuffle=False)
    assert monitor["mean"] == pytest.approx(history["train_loss"])
    every = []

    class Look(training.Callback):
        def on_step_end(self, run):
            every.append(run.loss)

    train(net_of(), [Look()], epochs=1, shuffle=False)
    (first, _) = monitor.records
    assert first.spread == pytest.approx(np.std(every), rel=1e-5)
    assert first.wiggle == pytest.approx(np.sqrt(np.mean(np.diff(every) ** 2) / 2), rel=1e-5)
    assert first.first == pytest.approx(np.mean(every[:5]), rel=1e-5)
    assert first.last == pytest.approx(np.mean(every[-5:]), rel=1e-5)
    assert first.wiggle < first.spread


def test_the_gap_is_that_of_the_history():
    gap = Gap()
    history = train(net_of(), [gap])
    np.testing.assert_array_equal(gap["train"], history["train_loss"])
    np.testing.assert_array_equal(gap["validation"], history["val_loss"])
    np.testing.assert_array_equal(gap["accuracy"], history["val_accuracy"])
    assert gap.chance == pytest.approx(0.1)


# ----------------------------------------------------------------- records, memory and resuming


def test_records_are_frozen_and_readable_as_columns():
    watching = monitors.watch()
    train(net_of(), watching)
    for monitor in watching:
        record = monitor.records[-1]
        with pytest.raises(dataclasses.FrozenInstanceError):
            record.epoch = 9
        for field in dataclasses.fields(record):
            value = getattr(record, field.name)
            if isinstance(value, np.ndarray):
                with pytest.raises(ValueError, match="read-only"):
                    value[...] = 0
            assert monitor[field.name].shape[0] == len(monitor)
        table = monitor.table()
        assert len({len(column) for column in table.values()}) == 1
        assert type(monitor).__name__ in repr(monitor)
        assert monitor.cost in ("free", "cheap", "forward")
    table = watching[0].table()
    assert list(table) == [
        "name", "epoch", "step", "loss", "weights", "updates", "ratio", "lost",
    ]  # fmt: skip
    assert list(table["name"][:5]) == ["0.weight", "0.bias", "2.weight", "2.bias", "0.weight"]
    with pytest.raises(KeyError, match="'rate' was not recorded; there are epoch, step"):
        watching[0]["rate"]


def test_memory_is_bounded():
    steps, epochs = GradientNorm(every=1, limit=8), DeadUnits(limit=4)
    free = LossWiggle(limit=4)
    train(net_of(), [steps, epochs, free], epochs=9)
    assert [len(monitor) for monitor in (steps, epochs, free)] == [6, 4, 3]
    np.testing.assert_array_equal(steps["step"], [1, 17, 33, 49, 65, 81])
    np.testing.assert_array_equal(epochs["epoch"], [0, 4, 8, 9])
    np.testing.assert_array_equal(free["epoch"], [1, 5, 9])


def test_a_resumed_run_has_the_same_records(tmp_path):
    class Killed(Exception):
        pass

    class Kill(training.Callback):
        def on_epoch_start(self, run):
            if run.epoch == 3:
                raise Killed

    whole, parts = monitors.watch(), monitors.watch()
    train(net_of(), [*whole, training.Checkpoint(tmp_path / "whole")], epochs=4)
    path = tmp_path / "parts"
    with pytest.raises(Killed):
        train(net_of(), [*parts, Kill(), training.Checkpoint(path)], epochs=4)
    parts = monitors.watch()
    train(net_of(), [*parts, training.Checkpoint(path)], epochs=4)
    for one, other in zip(whole, parts, strict=True):
        assert one.names == other.names
        assert one.every == other.every
        for field in dataclasses.fields(one.record_type):
            np.testing.assert_array_equal(one[field.name], other[field.name])
        assert one.findings() == other.findings()


def test_a_second_run_starts_anew():
    monitor = GradientNorm()
    train(net_of(), [monitor])
    first = monitor.records
    train(net_of(), [monitor])
    assert monitor.records == first


# -------------------------------------------------------------------------------- the findings


def sources(findings, severity="error"):
    return {finding.source for finding in findings if finding.severity == severity}


# Correct twins of bugs that are none of the correct nets.
TWINS = (
    "bias_without_gradient",
    "dropout_not_rescaled",
    "gradients_never_zeroed",
    "half_precision",
    "hinge_gradient",
    "log_of_clipped_probability",
    "missing_activation",
    "penalty_dominates",
    "validation_in_training",
    "vanishing_gradients",
)


@functools.lru_cache(maxsize=1)
def found_in_the_zoo():
    """What the monitors find: {kind: {name: {severity: sources}}}."""
    found = {"bugs": {}, "twins": {}, "nets": {}}
    cases = [("bugs", bug.name, bug.build) for bug in zoo.BUGS]
    cases += [("nets", net.name, net.build) for net in zoo.CORRECT]
    cases += [("twins", name, zoo.bug(name).correct) for name in TWINS]
    for kind, name, build in cases:
        case, watching = build(), monitors.watch()
        options = dict(case.fit_options)
        callbacks = [*options.pop("callbacks", []), *watching]
        try:
            training.fit(
                case.net,
                case.data,
                case.validation,
                loss=case.loss,
                callbacks=callbacks,
                progress=False,
                **options,
            )
        except training.DivergedError:
            assert zoo.bug(name).raises is training.DivergedError
        report = monitors.report(watching)
        found[kind][name] = {s: sources(report, s) for s in ("error", "warning")}
    return found


def test_no_false_alarm_on_a_correct_net():
    found = found_in_the_zoo()
    assert len(found["nets"]) >= 41
    alarms = {n: f["error"] for k in ("nets", "twins") for n, f in found[k].items() if f["error"]}
    assert alarms == {}
    warned = {name for name, each in found["nets"].items() if each["warning"]}
    assert len(warned) <= 2, warned


def test_every_bug_is_caught_that_was_caught_before():
    # What is committed held for three seeds and two sets of machine instructions.
    expected = json.loads(CAUGHT.read_text(encoding="utf-8"))
    assert expected.keys() == {bug.name for bug in zoo.BUGS}
    worse, rank = {}, ["", "warning", "error"]
    for name, severities in found_in_the_zoo()["bugs"].items():
        now = "error" if severities["error"] else "warning" if severities["warning"] else ""
        lost = set(expected[name]["by"]) - severities["error"] - severities["warning"]
        if rank.index(now) < rank.index(expected[name]["severity"]) or lost:
            worse[name] = (now, expected[name], lost)
    assert worse == {}


def test_what_is_caught_and_what_is_not():
    expected = json.loads(CAUGHT.read_text(encoding="utf-8"))
    severities = [entry["severity"] for entry in expected.values()]
    assert (severities.count("error"), severities.count("warning")) == (24, 22)
    missed = {name for name, entry in expected.items() if not entry["severity"]}
    # Only three of them are for nobody but a monitor to find, and nobody is said to find those.
    unseen = {"features_chosen_on_all_data", "normalised_over_examples", "shared_by_accident"}
    checks = ("check_", "overfit_")
    assert unseen == {
        n for n in missed if not any(w.startswith(checks) for w in zoo.bug(n).caught_by)
    }


def test_each_threshold_by_a_run_that_crosses_it():
    watching = monitors.watch()
    net = net_of()
    net[0].collect_params().setattr("grad_req", "null")
    train(net, watching)
    (finding,) = watching[0].findings()
    assert finding.severity == "warning"
    assert "0.weight, 0.bias cannot move" in finding.message
    rate = UpdateRatio(every=1)
    train(net_of(), [rate], schedules_of(1e-9))
    assert any("steps are at most" in finding.message for finding in rate.findings())
    train(net_of(), [rate], optim.sgd(300.0))
    assert {f.severity for f in rate.findings()} & {"error", "warning"}
    size = GradientNorm(every=1)
    train(net_of("relu"), [size], optim.sgd(1e6))
    assert any("the gradient has grown" in finding.message for finding in size.findings())
    size = GradientNorm()
    case = zoo.bug("product_of_probabilities").build()
    watching = [size, *watching]
    with pytest.raises(training.DivergedError):
        training.fit(case.net, case.data, loss=case.loss, callbacks=watching, **case.fit_options)
    assert sources(monitors.report(watching)) == {"GradientNorm", "GradientHistogram", "LossWiggle"}


def affine(net):
    """What `ActivationHistogram` says of layers that do together what one could."""
    monitor = ActivationHistogram()
    train(net, [monitor], optim.sgd(0.01), epochs=1)
    return [f for f in monitor.findings() if "one affine map" in f.message]


class Beside(mx.gluon.HybridBlock):
    """A linear and a rectified way from the input to the outputs."""

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.deep = layers.mlp(64, [16], 10, "relu", seed=0)
            self.wide = layers.mlp(64, [], 10, seed=1)

    def hybrid_forward(self, F, x):
        return self.deep(x) + self.wide(x)


def test_layers_without_activations_between_them_are_one_map():
    for net in (net_of(None), hybridised(net_of(None, (16, 12)))):
        (finding,) = affine(net)
        assert finding.severity == "warning"
    assert "3 layers with weights" in finding.message
    for device in ("cpu(0)", "cpu(1)"):
        assert affine(net_of(None, device=device))
    # One layer is linear because it is meant to be, and a narrow layer holds something back.
    for net in (net_of(None, ()), net_of(None, (4,)), Beside()):
        assert affine(net) == []
    for activation in ("relu", "tanh", "sigmoid"):
        assert affine(net_of(activation)) == []


def test_dead_units_and_token_ids_are_no_affine_map():
    net = net_of("relu")
    net[0].bias.set_data(mx.np.full(16, -99.0))
    assert affine(net) == []
    tokens = mx.np.array([[1, 2], [3, 4]], dtype="int32")
    embedding = mx.gluon.nn.Embedding(5, 3)
    embedding.initialize()
    assert not monitors.layers.is_affine(embedding, tokens)


def schedules_of(rate):
    return optim.sgd(schedules.constant(rate))


FALLING = [2.0, 1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015]


@pytest.mark.parametrize(
    ("train_losses", "validation", "accuracy", "said"),
    [
        (FALLING, [2.0, 1.0, 0.6, 0.4, 0.3, 0.2, 0.15, 0.14], 0.9, ""),  # many times almost nothing
        (FALLING, [2.0, 1.8, 1.6, 1.5, 1.4, 1.4, 1.4, 1.4], 0.5, "times the training loss"),
        (FALLING, [2.0, 1.6, 1.2, 1.0, 1.0, 1.0, 1.2, 1.3], 0.5, "has risen since epoch 4"),
        (FALLING, [2.0, 1.6, 1.2, 1.0, 1.0, 1.0, 1.02, 1.05], 0.9, "times the training loss"),
        ([1.0, 0.9, 0.85], [1.0, 0.95, 1.01], 0.5, ""),  # by no more than chance
        ([1.0, 0.9, 0.85], [1.0, 0.95, 1.05], 0.5, "has risen since epoch 2"),
        ([1.0, 0.9, 0.85], [1.0, 0.95, 0.9], 0.11, "accuracy is 11.0%"),
        ([1.0, 0.9, 0.85], [1.0, 0.95, 0.9], 0.25, ""),
        ([1.0, 0.9, 0.85], [1.0, 0.95, 0.9], 0.01, "accuracy is 1.0%"),
    ],
)
def test_what_a_gap_says(train_losses, validation, accuracy, said):
    gap = Gap()
    gap.chance, gap._examples = 0.1, 200
    for epoch, losses_ in enumerate(zip(train_losses, validation, strict=True), 1):
        gap._keep(monitors.epochs.Gaps(epoch, epoch, *losses_, accuracy))
    found = [f for f in gap.findings() if f.severity != "note"]
    assert [said in f.message for f in found] == [True] * bool(said), found
    if accuracy == 0.01:
        assert found[0].severity == "error"


def test_few_examples_are_no_proof_that_nothing_was_learnt():
    gap = Gap()
    gap.chance = 0.5
    for gap._examples, expected in ((20, 0), (2000, 1)):
        gap._records = [monitors.epochs.Gaps(k, k, 1 / k, 1 / k, 0.5) for k in (1, 2)]
        assert len(gap.findings()) == expected


def test_a_loss_that_fell_and_stayed_is_not_accused():
    def said(mean):
        wiggle = LossWiggle()
        for epoch, value in enumerate(mean, 1):
            wiggle._keep(monitors.epochs.Wiggles(epoch, epoch, value, 0.1, 0.1, value, value))
        return len(wiggle.findings())

    assert said([1.0, 0.95, 0.93, 0.93, 0.93]) == 0  # what is left is noise
    assert said([1.0, 0.98, 0.96, 0.94, 0.92]) == 1  # it still falls, and slowly
    assert said([1.0, 0.99, 0.99, 0.99, 0.99]) == 1  # it never fell


def test_a_gradient_may_grow_while_the_loss_falls():
    def said(losses_, lengths):
        size = GradientNorm()
        for step, (value, length) in enumerate(zip(losses_, lengths, strict=True), 1):
            size._keep(monitors.steps.Sizes(1, step, value, length, 1.0))
        return [f.severity for f in size.findings()]

    assert said([1, 0.9, 0.5], [0.01, 0.1, 0.9]) == []
    assert said([1, 2.5, 0.5], [0.01, 0.9, 0.1]) == ["warning"]
    assert said([1, 0.9, 0.5], [1e-5, 0.1, 0.9]) == ["error"]


def test_without_validation_data_the_gap_says_so():
    gap = Gap()
    assert gap.findings() == ()
    (train_data, _) = digits()
    training.fit(
        net_of(),
        train_data,
        loss=losses.softmax_cross_entropy,
        optimizer=optim.sgd(0.1),
        epochs=1,
        callbacks=[gap],
        progress=False,
    )
    (finding,) = gap.findings()
    assert (finding.severity, len(gap)) == ("note", 0)


# ------------------------------------------------------------------------ findings and reports


def test_findings_are_sorted_and_readable():
    some = [
        Finding("Gap", "note", "a <small> gap"),
        Finding("UpdateRatio", "error", "0.weight never moved " * 6, "look " * 30),
        Finding("DeadUnits", "warning", "60 % dead", "lower the rate"),
    ]
    found = Findings(some)
    assert [f.severity for f in found] == ["error", "warning", "note"]
    assert (len(found), found[0].source, len(found.errors), len(found.warnings)) == (
        (3, "UpdateRatio", 1, 1)
    )
    assert max(map(len, repr(found).splitlines())) <= 98
    assert "→ lower the rate" in repr(found)
    page = found._repr_html_()
    assert "a &lt;small&gt; gap" in page
    assert page.count("<tr>") == 4
    assert repr(Findings()) == "nothing found"
    assert "nothing found" in Findings()._repr_html_()
    assert str(some[0]) == "note: Gap: a <small> gap"
    with pytest.raises(ValueError, match="severity is 'bad'; expected one of"):
        Finding("Gap", "bad", "…", "…")


def test_a_report_passes_over_other_callbacks():
    watching = [GradientNorm(), training.EarlyStopping(patience=3)]
    train(net_of(), watching)
    assert len(monitors.report(watching)) == 0
    with pytest.raises(TypeError, match="watching is one GradientNorm; expected a list"):
        monitors.report(watching[0])


# --------------------------------------------------------------------------------- smoothness


def test_smoothness_of_noise_of_ramps_and_of_a_chequerboard():
    rng = np.random.default_rng(0)
    noise = monitors.smoothness(rng.normal(size=(400, 64)), (8, 8))
    assert abs(noise.mean()) < 4 * noise.std() / 20
    rows, columns = np.mgrid[:8, :8]
    ramp, board = rows + 2.0 * columns, (-1.0) ** (rows + columns)
    score = monitors.smoothness(np.stack([ramp, board, np.ones((8, 8))]), (8, 8))
    assert score[0] > 0.9
    assert score[1] == pytest.approx(1 - 4 / (2 * 64 / 63), rel=1e-12)
    assert score[2] == 1
    # Neither scale nor offset counts; MXNet arrays and channels will do.
    again = monitors.smoothness(mx.np.array(np.stack([-3 * ramp + 7, board])), (8, 8))
    np.testing.assert_allclose(again, score[:2], rtol=1e-5)
    both = monitors.smoothness(np.stack([ramp, ramp + 50])[None], (2, 8, 8))
    assert both[0] == pytest.approx(score[0])
    # Pixels that do not count.
    noisy = np.where(rows < 4, ramp, rng.normal(size=(8, 8)) * 50)[None]
    assert monitors.smoothness(noisy, (8, 8), where=rows < 4)[0] > 0.8
    assert monitors.smoothness(noisy, (8, 8))[0] < 0.5


# ----------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: UpdateRatio(every=0), "every is 0; expected a whole number of at least 1"),
        (lambda: Gap(limit=1), "limit is 1; expected a whole number of at least 2"),
        (lambda: DeadUnits(probe=1), "probe is 1; expected a whole number of at least 2"),
        (lambda: ActivationHistogram(probe=np.ones((1, 64))), "examples in probe is 1; expected"),
        (
            lambda: train(net_of(), [DeadUnits(probe=np.ones((5, 3)))]),
            r"probe has examples of shape \(3,\); expected \(64,\)",
        ),
        (lambda: monitors.smoothness(np.ones((2, 60)), (8, 8)), r"shape \(2, 60\); expected"),
        (lambda: monitors.smoothness(np.ones((2, 1)), (1, 1)), "no neighbouring pixels"),
        (
            lambda: monitors.smoothness(np.ones((2, 4)), (2, 2), where=np.ones((3, 3))),
            r"where has shape \(3, 3\); expected \(2, 2\)",
        ),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_no_network():
    with pytest.raises(TypeError, match="net is a int; expected a Gluon Block"):
        monitors.layer_outputs(3, np.ones((2, 2)))
