"""Checkpoints: runs that were killed, files that were damaged, disks that are full."""

from __future__ import annotations

import builtins
import errno
import os
import random
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnbook import layers, losses, optim, training
from nnbook.parameters import ParameterVector
from nnbook.training import Callback, Checkpoint, CheckpointError, CheckpointWarning
from nnbook.training.checkpoint import load_tree, previous_of, save_tree
from tests import checkpointed_run

ROOT = Path(__file__).parents[1]
RNG = onp.random.default_rng(0)
X = RNG.normal(size=(40, 4)).astype("float32")
Y = RNG.integers(0, 3, 40).astype("int32")


class Killed(BaseException):
    """Ends a run at once, as a signal does."""


class KillAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, run):
        if run.step == self.step:
            raise Killed


def fit(file=None, *, epochs=6, callbacks=(), checkpoint=None, net=None, **settings):
    """Train a small net with dropout; return θ and the history."""
    net = net or layers.mlp(4, [6], 3, activation="tanh", dropout=0.2, seed=1)
    saver = checkpoint or (Checkpoint(file) if file else None)
    defaults = {"loss": losses.softmax_cross_entropy, "optimizer": optim.adam(0.01),
                "batch_size": 8, "seed": 2, "train": (X, Y)}  # fmt: skip
    history = training.fit(
        net, epochs=epochs, callbacks=[*callbacks, *([saver] if saver else [])],
        **{**defaults, **settings},
    )  # fmt: skip
    return ParameterVector(net).theta.asnumpy(), history


def killed_after(file, epoch, **settings):
    """Leave the checkpoints of a run that was killed in the middle of the next epoch."""
    with pytest.raises(Killed):
        fit(file, callbacks=[KillAt(5 * epoch + 3)], **settings)
    assert load_tree(file)["run"]["epoch"] == epoch


# Killed by SIGKILL, in a process of its own.


class Chain(threading.Thread):
    """Starts runs of one kind and kills them, resuming each, until there were enough kills."""

    def __init__(self, kind, folder, seed, kills, expected):
        super().__init__()
        self.kind, self.folder, self.kills, self.expected = kind, folder, kills, expected
        self.random, self.done, self.problems, self.epochs = random.Random(seed), 0, [], []

    def run(self):
        try:
            while self.done < self.kills:
                self.one_file(self.folder / f"{self.name}-{self.done}")
        except Exception as error:  # shown by the test
            self.problems.append(repr(error))

    def one_file(self, file):
        """Kill and resume until the run ends, or let it end after the last kill."""
        result = file.with_name(file.name + ".npz")
        while not result.exists():
            process = self.launch(file, result)
            with process:
                first = process.stdout.readline()
                if first != "started\n":
                    self.problems.append(process.communicate()[1])
                    self.done = self.kills
                    return
                try:
                    patience = None if self.done == self.kills else self.random.uniform(0, 0.5)
                    _, log = process.communicate(timeout=patience)
                    if process.returncode:
                        self.problems.append(log)
                        self.done = self.kills
                        return
                except subprocess.TimeoutExpired:
                    process.kill()
                    self.done += process.wait() != 0
                    self.epochs.append(process.communicate()[0].split()[-1:])
        found, expected = onp.load(result), self.expected
        if not (found["theta"] == expected[0]).all():
            self.problems.append("another θ")
        if not (found["val_loss"] == expected[1]["val_loss"]).all():
            self.problems.append("another history")
        if found["best"] != expected[2].best_epoch:
            self.problems.append("another best epoch")

    def launch(self, file, result):
        command = [sys.executable, "-m", "tests.checkpointed_run", self.kind, file, result]
        return subprocess.Popen(
            command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )


@pytest.mark.parametrize(("kind", "kills"), [("momentum", 20), ("adam", 4)])
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(kind, kills, tmp_path):
    expected = checkpointed_run.run(kind, None)
    assert 0 < expected[2].best_epoch < checkpointed_run.EPOCHS  # there is something to restore
    chains = [Chain(kind, tmp_path, seed, kills // 2, expected) for seed in (1, 2)]
    for chain in chains:
        chain.start()
    for chain in chains:
        chain.join()
    assert [problem for chain in chains for problem in chain.problems] == []
    assert sum(chain.done for chain in chains) == kills
    # Kills in different places, not all before the first epoch.
    assert len({tuple(epoch) for chain in chains for epoch in chain.epochs}) > kills // 8


# Killed at a chosen moment.


@pytest.mark.parametrize("step", [1, 5, 6, 17, 29])
def test_a_run_killed_after_any_step_ends_as_one_that_was_not(step, tmp_path):
    expected, table = fit()
    file = tmp_path / "run"
    with pytest.raises(Killed):
        fit(file, callbacks=[KillAt(step)])
    assert file.exists() == (step > 5)
    theta, history = fit(file)
    assert (theta == expected).all()
    for column in ("epoch", "step", "train_loss"):
        assert history[column].tolist() == table[column].tolist()
    again, history = fit(file)  # there is nothing left to do
    assert (again == expected).all()
    assert len(history) == 6


@pytest.mark.parametrize("call", [1, 2, 3, 4])
@pytest.mark.parametrize("after", [False, True])
def test_a_run_killed_while_it_saves_ends_as_one_that_was_not(call, after, tmp_path, monkeypatch):
    """Every save fsyncs and renames twice (the first: once); die around the call-th of those."""
    expected, _ = fit()
    calls = []

    def dying(function):
        def wrapped(*arguments):
            calls.append(1)
            if len(calls) == 6 + call and not after:
                raise Killed
            result = function(*arguments)
            if len(calls) == 6 + call:
                raise Killed
            return result

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying(os.replace))
        patch.setattr(os, "fsync", dying(os.fsync))
        with pytest.raises(Killed):
            fit(tmp_path / "run")
    theta, _ = fit(tmp_path / "run")
    assert (theta == expected).all()


def test_a_finished_run_can_be_extended(tmp_path):
    expected, table = fit(epochs=9)
    fit(tmp_path / "run", epochs=4)
    theta, history = fit(tmp_path / "run", epochs=9)
    assert (theta == expected).all()
    assert history["train_loss"].tolist() == table["train_loss"].tolist()


def test_checkpoints_every_few_epochs_and_at_the_end(tmp_path):
    saved = []

    class Look(training.Progress):  # the last of the callbacks
        def on_epoch_end(self, run, row):
            if file.exists():
                saved.append(load_tree(file)["run"]["epoch"])

    file = tmp_path / "run"
    fit(epochs=8, checkpoint=Checkpoint(file, every=3), callbacks=[Look()])
    assert saved == [3, 3, 3, 6, 6, 8]
    assert load_tree(previous_of(file))["run"]["epoch"] == 6
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run.previous"]


def test_a_stopped_run_stays_stopped(tmp_path):
    class Stop(Callback):
        def on_epoch_end(self, run, row):
            if run.epoch == 2:
                run.stop("enough")

    theta, _ = fit(tmp_path / "run", callbacks=[Stop()])
    again, history = fit(tmp_path / "run")
    assert (theta == again).all()
    assert len(history) == 2
    assert history.stopped == "enough"


def test_starting_over(tmp_path):
    fit(tmp_path / "run", seed=7)
    theta, history = fit(checkpoint=Checkpoint(tmp_path / "run", resume=False))
    assert (theta == fit()[0]).all()
    assert len(history) == 6
    resumed, _ = fit(tmp_path / "run")
    assert (resumed == theta).all()


def test_a_run_resumes_in_a_net_with_other_values_and_on_another_device(tmp_path):
    expected, _ = fit()
    killed_after(tmp_path / "run", 3)
    net = layers.mlp(4, [6], 3, activation="tanh", dropout=0.2, seed=99)
    net.hybridize()
    theta, _ = fit(tmp_path / "run", net=net, device="cpu(1)")
    assert (theta == expected).all()
    assert ParameterVector(net).theta.ctx.device_id == 1


def test_callbacks_without_a_memory_may_come_and_go(tmp_path):
    def stopping():
        return training.EarlyStopping(
            "epoch", patience=20, smaller_is_better=True
        )  # the first is the best

    patient = stopping()
    expected, _ = fit(callbacks=[patient])
    assert patient.best_epoch == 1
    with pytest.raises(Killed):
        fit(tmp_path / "run", callbacks=[Callback(), KillAt(18), stopping()])
    patient = stopping()
    theta, _ = fit(tmp_path / "run", callbacks=[patient])
    assert patient.best_epoch == 1
    assert (theta == expected).all()


class Counter(Callback):
    """Counts epochs, and remembers."""

    def __init__(self):
        self.seen = onp.zeros(3)

    def on_epoch_end(self, run, row):
        self.seen[run.epoch % 3] += 1

    def state(self):
        return {"seen": self.seen, "nested": [{"a": (1, None, True, "x", 1.5)}]}

    def load_state(self, state):
        self.seen = state["seen"]
        assert state["nested"] == [{"a": (1, None, True, "x", 1.5)}]


def test_callbacks_of_ones_own_are_resumed(tmp_path):
    with pytest.raises(Killed):
        fit(tmp_path / "run", callbacks=[Counter(), KillAt(18)])
    counter = Counter()
    fit(tmp_path / "run", callbacks=[counter])
    assert counter.seen.tolist() == [2, 2, 2]


# Damaged files.


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES = {
    "a flipped bit in the middle": (lambda c: flipped(c, len(c) // 2), "damaged.*SHA-256"),
    "a flipped bit at the end": (lambda c: flipped(c, len(c) - 1), "damaged.*SHA-256"),
    "a flipped bit in the hash": (lambda c: flipped(c, 30), "damaged"),
    "half of it": (lambda c: c[: len(c) // 2], r"truncated: \d+ bytes of \d+"),
    "one byte less": (lambda c: c[:-1], r"truncated: \d+ bytes of \d+"),
    "one byte more": (lambda c: c + b"\0", r"truncated: \d+ bytes of \d+|damaged"),
    "the first line": (lambda c: c[:20], "damaged: its header cannot be read"),
    "nothing": (lambda c: b"", "is not an nnbook checkpoint"),
    "zeros": (lambda c: bytes(len(c)), "is not an nnbook checkpoint"),
    "text": (lambda c: b"epoch 3\n", "is not an nnbook checkpoint"),
    "no UTF-8": (lambda c: c[:20] + b"\xff\xfe 12\n" + c[-100:], "header cannot be read"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_for_the_previous_one(name, tmp_path):
    damage, message = DAMAGES[name]
    expected, _ = fit()
    file = tmp_path / "run"
    killed_after(file, 3)
    bad = damage(file.read_bytes())
    file.write_bytes(bad)
    previous = previous_of(file).read_bytes()

    class Look(Callback):
        def on_epoch_start(self, run):
            if run.epoch == 3:
                # The good one is not given up before there is a new one.
                assert previous_of(file).read_bytes() == previous
                raise Killed

    warning = rf"run.* {message}.*; resuming from .*run\.previous"
    with pytest.warns(CheckpointWarning, match=warning), pytest.raises(Killed):
        fit(file, callbacks=[Look()])
    theta, history = fit(file)
    assert (theta == expected).all()
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert (tmp_path / "run.damaged").read_bytes() == bad
    assert load_tree(file)["run"]["epoch"] == 6
    assert load_tree(previous_of(file))["run"]["epoch"] == 5


def test_a_missing_checkpoint_with_a_previous_one_is_no_damage(tmp_path):
    expected, _ = fit()
    killed_after(tmp_path / "run", 3)
    (tmp_path / "run").unlink()
    theta, _ = fit(tmp_path / "run")
    assert (theta == expected).all()


def test_a_damaged_previous_one_does_not_matter(tmp_path):
    expected, _ = fit()
    killed_after(tmp_path / "run", 3)
    previous_of(tmp_path / "run").write_bytes(b"")
    theta, _ = fit(tmp_path / "run")
    assert (theta == expected).all()


def untouched(net):
    return ParameterVector(net).theta.asnumpy()


def test_with_both_damaged_the_run_does_not_start(tmp_path):
    killed_after(tmp_path / "run", 3)
    for file in (tmp_path / "run", previous_of(tmp_path / "run")):
        file.write_bytes(file.read_bytes()[:-5])
    net = layers.mlp(4, [6], 3, activation="tanh", dropout=0.2, seed=1)
    before = untouched(net)
    message = r"run is truncated.*; .*run\.previous is truncated.*Delete the file to start over"
    with pytest.raises(CheckpointError, match=message):
        fit(tmp_path / "run", net=net)
    assert (untouched(net) == before).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run.previous"]
    assert len(fit(checkpoint=Checkpoint(tmp_path / "run", resume=False))[1]) == 6


# Another run's file.

OTHERS = {
    "seed": ({"seed": 3}, "seed was 2, is 3"),
    "batch size": ({"batch_size": 9}, "batch_size was 8, is 9"),
    "rule": ({"optimizer": optim.adam(0.02)}, r"optimizer was adam\(0.01.*, is adam\(0.02"),
    "penalty": (
        {"penalty": losses.l2_penalty(0.1)},
        r"penalty was None, is l2_penalty\(strength=0.1\)",
    ),
    "data": ({"train": (X + 1, Y)}, r"data was \(40, 4\) \w+ \w+, is \(40, 4\)"),
    "labels": ({"train": (X, 2 - Y)}, "data was"),
    "shuffling": ({"shuffle": False}, "order was permuted, is None"),
    "loss": ({"loss": losses.hinge}, "loss was softmax_cross_entropy, is hinge"),
    "network": (
        {"net": layers.mlp(4, [7], 3, activation="tanh", dropout=0.2)},
        r"network was \w{16}, is \w{16}",
    ),
    "callbacks": (
        {"callbacks": [training.EarlyStopping("train_loss")]},
        r"callbacks was \[\], is \['EarlyStopping'\]",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_runs_checkpoint_is_refused(name, tmp_path):
    settings, message = OTHERS[name]
    killed_after(tmp_path / "run", 3)
    content = (tmp_path / "run").read_bytes()
    net = settings.get("net") or layers.mlp(4, [6], 3, activation="tanh", dropout=0.2, seed=1)
    before = untouched(net)
    full = rf"run was saved by another run \({message}.*resume=False to start over"
    with pytest.raises(CheckpointError, match=full):
        fit(tmp_path / "run", **{**settings, "net": net})
    assert (untouched(net) == before).all()
    assert (tmp_path / "run").read_bytes() == content


def test_every_difference_is_named(tmp_path):
    killed_after(tmp_path / "run", 3)
    with pytest.raises(CheckpointError, match=r"seed was 2, is 9; batch_size was 8, is 4"):
        fit(tmp_path / "run", seed=9, batch_size=4)


def test_a_schedule_without_a_name_is_the_same_in_the_next_process(tmp_path):
    """The repr of a lambda has an address, which differs from process to process."""

    class Order:
        def __call__(self, n, epoch, rng):
            return rng.permutation(n)

    def settings():
        return {"optimizer": optim.sgd(lambda step: 0.1 / (step + 1)), "order": Order()}

    first = settings()  # kept, so that the second gets another address
    expected, _ = fit(**first)
    killed_after(tmp_path / "run", 3, **first)
    second = settings()
    assert repr(first["optimizer"]) != repr(second["optimizer"])
    theta, _ = fit(tmp_path / "run", **second)
    assert (theta == expected).all()


# Disks.


def test_a_folder_that_is_not_there(tmp_path):
    net = layers.mlp(4, [6], 3, seed=1)
    before = untouched(net)
    with pytest.raises(CheckpointError, match=r"the folder '.*nowhere' .* does not exist; create"):
        fit(tmp_path / "nowhere" / "run", net=net)
    assert (untouched(net) == before).all()


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    net = layers.mlp(4, [6], 3, seed=1)
    before = untouched(net)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(CheckpointError, match=r"the folder .* cannot be written to; change"):
        fit(tmp_path / "run", net=net)
    assert (untouched(net) == before).all()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CheckpointError, match="cannot be written to"):
            fit(tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)


class Full:
    """A disk on which a call fails."""

    def __init__(self, monkeypatch, name):
        self.fails, real = False, getattr(os, name)

        def call(*arguments):
            if self.fails:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments)

        monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_full_disk_leaves_what_was_saved_before(name, tmp_path, monkeypatch):
    expected, _ = fit()
    file, disk = tmp_path / "run", Full(monkeypatch, name)
    killed_after(file, 3)
    before = file.read_bytes()
    disk.fails = True
    message = r"cannot write .*run: .*No space left on device.* saved before is still there"
    with pytest.raises(CheckpointError, match=message) as error:
        fit(file)
    assert isinstance(error.value.__cause__, OSError)
    assert file.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run", "run.previous"]
    disk.fails = False
    theta, _ = fit(file)
    assert (theta == expected).all()


def test_a_disk_that_fills_up_while_it_is_written_to(tmp_path, monkeypatch):
    file = tmp_path / "run"
    save_tree(file, {"a": 1})
    before = file.read_bytes()

    class Short:
        def __init__(self, real):
            self.real = real

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.real.close()

        def write(self, content):
            self.real.write(content[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    real = builtins.open
    monkeypatch.setattr(builtins, "open", lambda *a, **k: Short(real(*a, **k)))
    with pytest.raises(CheckpointError, match="No space left on device"):
        save_tree(file, {"a": 2})
    monkeypatch.undo()
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert load_tree(file) == {"a": 1}


# The format.

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False), st.text()
)
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(tree=st.dictionaries(st.text(max_size=5), trees, max_size=4))
@settings(max_examples=40, deadline=None)
def test_a_tree_is_read_as_it_was_written(tree, tmp_path_factory):
    if "$array" in repr(tree):
        return
    file = tmp_path_factory.mktemp("tree") / "file"
    save_tree(file, tree)
    assert load_tree(file) == tree


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_arrays_are_read_as_they_were_written(dtype, shape, tmp_path):
    array = onp.array(5 * onp.random.default_rng(0).normal(size=shape), dtype=dtype)
    tree = {"a": [{"b": array}, (array.T, 1)], "c": onp.float32(0.1), "d": onp.int64(3)}
    save_tree(tmp_path / "file", tree)
    read = load_tree(tmp_path / "file")
    for found, expected in [(read["a"][0]["b"], array), (read["a"][1][0], array.T)]:
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert (found == expected).all()
    assert read["c"] == float(onp.float32(0.1))
    assert read["d"] == 3


def test_special_numbers_survive(tmp_path):
    values = onp.array([onp.nan, onp.inf, -onp.inf, -0.0, 5e-324])
    save_tree(tmp_path / "file", {"a": values, "b": float("inf"), "c": 0.1 + 0.2})
    read = load_tree(tmp_path / "file")
    assert read["a"].tobytes() == values.tobytes()
    assert read["b"] == float("inf")
    assert read["c"] == 0.1 + 0.2


def test_the_previous_file_is_kept(tmp_path):
    for value in range(3):
        save_tree(tmp_path / "file", {"a": value})
    assert load_tree(tmp_path / "file") == {"a": 2}
    assert load_tree(tmp_path / "file.previous") == {"a": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "file.previous"]


@pytest.mark.parametrize("make", [lambda p: p, lambda p: p / "none"], ids=["a folder", "missing"])
def test_what_is_no_file_cannot_be_read(make, tmp_path):
    with pytest.raises(CheckpointError, match=f"cannot read {re.escape(str(make(tmp_path)))}"):
        load_tree(make(tmp_path))


def test_a_checkpoint_every_zero_epochs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="every is 0; expected a whole number of at least 1"):
        Checkpoint(tmp_path / "run", every=0)
