"""One gradient, shared among processes and machines: the same step, and an end when one is lost."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pickle
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from nnbook import distributed, objective, optim, training

ROOT = Path(__file__).resolve().parents[1]
FIT = {"optimizer": optim.momentum(0.1), "batch_size": 30, "epochs": 50, "progress": False}
pytestmark = pytest.mark.usefixtures("no_hang")
pytest.importorskip("cloudpickle", reason="the objectives here are functions within functions")
proc = pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks at processes in /proc")
mxnet = pytest.mark.skipif(not importlib.util.find_spec("mxnet"), reason="needs MXNet")
dask = pytest.mark.skipif(not importlib.util.find_spec("distributed"), reason="needs Dask")


@pytest.fixture(autouse=True)
def nobody_left():
    yield
    if os.path.isdir("/proc"):
        assert members() == []


def members(parent=None):
    """Return the processes of a group, in their order."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            state, its_parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
            mine = parent is None or int(its_parent) == parent
            if mine and state != "Z" and b"nnbook.distributed import members" in command:
                of_mine = parent is not None or int(its_parent) == os.getpid()
                found += [int(folder.name)] if of_mine else []
    return sorted(found)


def layers_of_numpy(dtype, stumbles=False):
    """A small network as an objective: what a member needs to compute it is NumPy alone."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 6)).astype(dtype), rng.integers(0, 3, 100)
    shapes = {"w": (6, 5), "b": (5,), "v": (5, 3)}

    def both(theta, rows):
        w, b, v = theta[:30].reshape(6, 5), theta[30:35], theta[35:].reshape(5, 3)
        h = np.tanh(x[rows] @ w + b)
        p = np.exp(h @ v)
        p /= p.sum(axis=1, keepdims=True)
        chosen = np.arange(len(p)), y[rows]
        loss = -np.log(p[chosen]).mean()
        p[chosen] -= 1
        p /= len(p)
        back = p @ v.T * (1 - h * h)
        slopes = x[rows].T @ back, back.sum(axis=0), h.T @ p
        if stumbles:
            raise FileNotFoundError("a stone")
        return loss, np.concatenate([slope.ravel() for slope in slopes])

    start = 0.5 * rng.normal(size=50)
    return objective.from_function(
        lambda theta, rows: both(theta, rows)[0],
        lambda theta, rows: both(theta, rows)[1],
        start.astype(dtype),
        shapes=shapes,
        examples=100,
    )


def apart(a, b):
    """How far two vectors are apart, by the length of the second."""
    return np.linalg.norm(np.subtract(a, b, dtype=float)) / np.linalg.norm(np.float64(b))


class At(training.Callback):
    """Do something, once, at a step."""

    def __init__(self, step, do):
        self.step, self.do = step, do

    def on_step_end(self, run):
        """Do it."""
        if run.step == self.step:
            self.do()


class After(training.Callback):
    """Do something, once, as soon as a run is under way for some seconds."""

    def __init__(self, seconds, do):
        self.timer = threading.Timer(seconds, do)
        self.timer.daemon = True

    def on_fit_start(self, run):
        """Start the clock."""
        self.timer.start()

    def on_fit_exit(self, run):
        """Stop it."""
        self.timer.cancel()


# ------------------------------------------------------------------------------- the same steps


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-12), ("float32", 1e-6)])
def test_200_steps_are_the_same_for_any_number_of_processes(dtype, bound):
    alone = layers_of_numpy(dtype)
    by_one = training.fit(alone, **FIT)
    for workers in (1, 2, 4):
        shared = layers_of_numpy(dtype)
        history = distributed.fit(shared, workers=workers, **FIT)
        assert history[-1]["step"] == 200
        assert apart(shared.theta, alone.theta) < bound
        np.testing.assert_allclose(history["train_loss"], by_one["train_loss"], rtol=10 * bound)
        assert f"{workers} process" in history.reason


def test_a_minibatch_smaller_than_the_group_and_every_kind_of_rows():
    for settings in (
        {"batch_size": 3, "epochs": 2},  # the last minibatch has one example
        {"batch_size": 10**9, "epochs": 3},  # all: a slice
        {"shuffle": False, "epochs": 2},
        {"order": lambda n, epoch, rng: rng.integers(0, n, 3 * n), "batch_size": 200},
        {"order": lambda n, epoch, rng: rng.integers(0, n, 9 * n), "batch_size": 10**9},
    ):
        alone, shared = layers_of_numpy("float64"), layers_of_numpy("float64")
        training.fit(alone, **FIT | settings)
        distributed.fit(shared, workers=4, **FIT | settings)
        assert apart(shared.theta, alone.theta) < 1e-12


@mxnet
@pytest.mark.parametrize(
    ("dtype", "bound", "workers"), [("float64", 1e-12, 2), ("float32", 1e-6, 4)]
)
def test_200_steps_of_a_network_are_the_same(dtype, bound, workers):
    from nnbook import data, layers, losses
    from nnbook.parameters import ParameterVector

    (x, y), (x_val, y_val) = data.spirals(100, rng=0), data.spirals(50, rng=1)

    def trained(fit, **settings):
        net = layers.mlp(2, [16], 3, "tanh", seed=3)
        net.cast(dtype)
        history = fit(
            net,
            (x, y),
            (x_val, y_val),
            loss=losses.softmax_cross_entropy,
            penalty=losses.l2_penalty(1e-3),
            class_weight="balanced",
            metrics="balanced_accuracy",
            clip_norm=1.0,
            **FIT,
            **settings,
        )
        return ParameterVector(net).theta.asnumpy(), history

    (alone, one), (shared, many) = trained(training.fit), trained(distributed.fit, workers=workers)
    assert many[-1]["step"] == 200
    assert apart(shared, alone) < bound
    assert many[-1].keys() == one[-1].keys()
    np.testing.assert_allclose(many["val_loss"], one["val_loss"], rtol=1e-4)
    assert (many.path, many.reason) == ("graph", f"gradients of {workers} processes")


@mxnet
def test_dropout_is_drawn_for_each_member_and_again_when_resumed(tmp_path):
    from nnbook import data, layers, losses
    from nnbook.parameters import ParameterVector

    def trained(callback):
        net = layers.mlp(2, [16], 3, "tanh", dropout=0.5, seed=3)
        settings = FIT | {"epochs": 4, "callbacks": [callback]}
        distributed.fit(net, data.spirals(60, rng=0), loss=losses.softmax_cross_entropy, **settings)
        return ParameterVector(net).theta.asnumpy()

    whole = trained(training.Checkpoint(tmp_path / "run", every=2))
    # The checkpoint before the last is of epoch 2.
    resumed = trained(training.Checkpoint(tmp_path / "run.previous", every=2))
    assert np.array_equal(resumed, whole)


# ---------------------------------------------------------------------------- what can go wrong


def lost(tmp_path, do, patience=10.0, after=None, workers=3, **settings):
    """Train, lose a member, and resume; return the error, the seconds it took, and both θ."""
    whole = layers_of_numpy("float64")
    distributed.fit(whole, workers=workers, **FIT | settings)
    saved, seen = training.Checkpoint(tmp_path / "run", every=2), []

    def now():
        seen.append(time.monotonic())
        do()

    broken = layers_of_numpy("float64")
    ending = At(101, now) if after is None else After(after, now)
    try:
        distributed.fit(
            broken, workers=workers, patience=patience, callbacks=[saved, ending], **FIT | settings
        )
        error = None
    except distributed.MemberError as raised:
        error = raised
    took = time.monotonic() - seen[0] if seen else 0.0
    assert members() == []
    again = layers_of_numpy("float64")
    distributed.fit(again, workers=workers, callbacks=[saved], **FIT | settings)
    return error, took, whole.theta, again.theta


@proc
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_a_member_that_dies_or_hangs_ends_the_group(tmp_path, signum):
    victim = []

    def do():
        victim.append(members()[1])
        os.kill(victim[0], signum)

    error, took, whole, resumed = lost(tmp_path, do, patience=1.5)
    assert took < 5
    assert error.member == 1
    what = (
        "was ended by signal 9"
        if signum == signal.SIGKILL
        else "has not answered within the 1.5 s that it has for a step (give more"
    )
    assert f"member 1 (process {victim[0]}) {what}" in str(error)
    # Epoch 26 has the steps 101 to 104; there is a checkpoint after each second epoch.
    assert "at step 102 of epoch 26" in str(error)
    assert f"The last checkpoint is {tmp_path / 'run'}, of epoch 24" in str(error)
    assert np.array_equal(resumed, whole)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.member) == (str(error), 1)


@proc
@pytest.mark.parametrize("seed", range(int(os.environ.get("NNBOOK_KILLS", "3"))))
def test_a_kill_at_a_random_moment_costs_nothing_but_time(tmp_path, seed):
    rng = random.Random(seed)

    def do():
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(members()[rng.randrange(2)], signal.SIGKILL)

    error, took, whole, resumed = lost(tmp_path, do, after=rng.uniform(0, 0.3), workers=2)
    assert took < 15
    assert error is None or "signal 9" in str(error)
    assert np.array_equal(resumed, whole)


@proc
def test_a_checkpoint_is_good_for_other_numbers_of_members(tmp_path):
    saved = training.Checkpoint(tmp_path / "run")
    whole, one, two = (layers_of_numpy("float64") for _ in range(3))
    training.fit(whole, **FIT)
    training.fit(one, callbacks=[saved], **FIT | {"epochs": 20})
    history = distributed.fit(two, workers=2, callbacks=[saved], **FIT)
    assert history[-1]["step"] == 200
    assert apart(two.theta, whole.theta) < 1e-12


def test_without_a_checkpoint_the_error_says_how_to_have_one():
    broken = layers_of_numpy("float64")
    end = At(3, lambda: os.kill(members()[0], signal.SIGKILL))
    with pytest.raises(
        distributed.MemberError, match=r"There is no checkpoint: give nnbook\.train"
    ):
        distributed.fit(broken, callbacks=[end], **FIT)


def test_what_a_member_cannot_compute_is_told():
    with pytest.raises(
        distributed.MemberError, match="cannot go on: FileNotFoundError: a stone"
    ) as e:
        distributed.fit(layers_of_numpy("float64", stumbles=True), **FIT)
    assert "at step 1 of epoch 1. The other members have been ended" in str(e.value)
    assert "in both" in str(e.value.__cause__)  # where it stumbled


def test_a_run_that_diverges_says_so():
    wild = layers_of_numpy("float64")
    with np.errstate(all="ignore"), pytest.raises(training.DivergedError):
        distributed.fit(wild, **FIT | {"optimizer": optim.sgd(1e200)})


PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from nnbook import distributed
from tests.test_distributed import FIT, After, layers_of_numpy
said = After(0.0, lambda: print("training", flush=True))
distributed.fit(layers_of_numpy("float64"), callbacks=[said], **FIT | {{"epochs": 10**6}})
"""


@proc
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_members_end_with_the_program_and_listen_to_nobody(signum):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(root=str(ROOT))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout.readline() == b"training\n"
            theirs = members(process.pid)
            assert len(theirs) == 2
            for pid in (process.pid, *theirs):
                assert not listening(pid)
        finally:
            process.send_signal(signum)
    until = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") for pid in theirs) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in theirs)


def listening(pid):
    """Return the addresses, in hexadecimal, at which a process can be reached."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(handle).removeprefix("socket:[").removesuffix("]"))
    found = []
    for kind in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.append(fields[1].rpartition(":")[0])
    return found


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@dask
def test_a_port_that_refuses():
    begun = time.monotonic()
    with pytest.raises(RuntimeError, match=r"nothing answers at tcp://127.0.0.1:.*dask scheduler"):
        distributed.fit(layers_of_numpy("float64"), workers=f"tcp://127.0.0.1:{free_port()}", **FIT)
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"workers": 0}, ValueError, "workers is 0; expected a whole number"),
        ({"workers": True}, TypeError, "workers is True; expected a whole number, an address"),
        ({"workers": 1.5}, TypeError, "workers is 1.5"),
        ({"patience": 0}, ValueError, "patience is 0"),
        ({"train": iter(())}, TypeError, "expected a pair"),
        ({"metrics": "f1"}, TypeError, "expected no metrics beside it"),
        ({"loss": "squared_error"}, TypeError, "expected no loss beside it"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
    ],
)
def test_what_is_refused_before_any_work(settings, error, message):
    with pytest.raises(error, match=message):
        distributed.fit(layers_of_numpy("float64"), **FIT | settings)


@dask
@pytest.mark.parametrize("address", ["tcp://10.1.2.3:8786", "10.1.2.3:8786", "http://localhost:1"])
def test_an_address_that_is_not_safe_is_refused(address):
    with pytest.raises(
        ValueError, match=r"expected an address|Start scheduler and workers with TLS"
    ):
        distributed.fit(layers_of_numpy("float64"), workers=address, **FIT)


def test_an_objective_that_cannot_be_shared_is_refused():
    whole = objective.from_function(lambda t: t @ t, lambda t: 2 * t, np.ones(3))
    with pytest.raises(ValueError, match="no examples to share among members"):
        distributed.fit(whole, **FIT)
    lock = threading.Lock()
    bound = objective.from_function(
        lambda t, rows: t @ t + bool(lock), lambda t, rows: 2 * t, np.ones(3), examples=4
    )
    with pytest.raises(TypeError, match=r"cannot be sent to another process .*lock"):
        distributed.fit(bound, **FIT)


@mxnet
def test_networks_whose_step_would_be_another_one_are_refused():
    from nnbook import layers
    from nnbook.runtime import mx

    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(3), mx.gluon.nn.BatchNorm(), mx.gluon.nn.Dense(1))
    net.initialize()
    pair = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
    with pytest.raises(ValueError, match="the network has batch normalisation"):
        distributed.fit(net, pair, loss="squared_error", **FIT)
    with pytest.raises(TypeError, match="expected fit"):
        distributed.fit(net, pair, **FIT)
    plain = layers.mlp(2, [], 1)
    with pytest.raises(TypeError, match=r"the network, or its loss, cannot be sent .*lambda"):
        distributed.fit(plain, pair, loss=lambda o, y: ((o - y) ** 2).mean(axis=1), **FIT)
    with pytest.raises(ValueError, match="NaN"):
        distributed.fit(plain, (np.nan * pair[0], pair[1]), loss="squared_error", **FIT)


# -------------------------------------------------------------------------------- many machines


class Machines:
    """A scheduler of Dask, and workers at addresses of their own, as its commands start them."""

    def __init__(self, folder, hosts):
        self.folder, self.port = folder, free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        quiet = ["--dashboard-address", "127.0.0.1:0"]
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", self.port, *quiet
        )
        more = ["--nthreads", 1, "--no-nanny", "--local-directory", folder]
        self.workers = {
            host: self._start("worker", self.address, "--host", host, *more, *quiet)
            for host in hosts
        }

    def _start(self, *arguments):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with open(self.folder / f"{arguments[0]}.log", "a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *map(str, arguments)],
                env=environment,
                stdout=log,
                stderr=log,
            )

    def until_there(self):
        import distributed as engine

        with engine.Client(self.address, timeout=60, set_as_default=False) as client:
            client.wait_for_workers(len(self.workers), timeout=60)

    def close(self):
        for process in (*self.workers.values(), self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def machines(tmp_path):
    there = Machines(tmp_path, ("127.0.0.2", "127.0.0.3"))
    try:
        there.until_there()
        yield there
    finally:
        there.close()


@dask
@proc
@mxnet
def test_the_example_runs_on_one_machine_and_unchanged_on_two(tmp_path, machines):
    for process in (machines.scheduler, *machines.workers.values()):
        assert all(address.endswith("7F") for address in listening(process.pid))  # 127.…
        assert listening(process.pid)

    def run(folder, *arguments):
        folder.mkdir()
        return subprocess.run(
            [sys.executable, str(ROOT / "examples/data_parallel.py"), *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )

    one, two = run(tmp_path / "one"), run(tmp_path / "two", machines.address)
    (here, *first), (there, *second) = one.stdout.splitlines(), two.stdout.splitlines()
    assert first == second
    assert first[0].startswith("epoch 30: loss")
    assert "2 processes" in here
    assert f"2 workers of {machines.address}" in there


@dask
@proc
def test_a_machine_that_is_lost_ends_the_run(tmp_path, machines):
    whole = layers_of_numpy("float64")
    distributed.fit(whole, **FIT | {"epochs": 4})

    def lost(process, signum, message):
        """Lose a machine, the scheduler's or a worker's, and go on without."""
        saved, begun = training.Checkpoint(tmp_path / message[:9], resume=False), []
        settings = FIT | {"epochs": 4, "workers": machines.address, "patience": 2.0}
        clock = At(9, lambda: begun.append(time.monotonic()))
        end = At(9, lambda: process.send_signal(signum))
        with pytest.raises(distributed.MemberError, match=message) as error:
            distributed.fit(layers_of_numpy("float64"), callbacks=[saved, clock, end], **settings)
        assert time.monotonic() - begun[0] < 15
        # Without a scheduler, workers answer for a while.
        assert re.search(f"The last checkpoint is {saved.path}, of epoch [23]", str(error.value))
        saved, resumed = training.Checkpoint(saved.path), layers_of_numpy("float64")
        distributed.fit(resumed, callbacks=[saved], **FIT | {"epochs": 4})
        assert apart(resumed.theta, whole.theta) < 1e-12

    first, second = machines.workers.values()
    address = r"member 0 \(worker tcp://127\.0\.0\.{}:\d+\) {}"
    lost(first, signal.SIGSTOP, address.format(2, "has not answered within the 2 s .patience."))
    first.send_signal(signal.SIGCONT)
    lost(first, signal.SIGKILL, address.format(2, "has died"))
    lost(machines.scheduler, signal.SIGKILL, "scheduler .* does not answer")
    assert second.wait(15) == 0  # Dask's own
