"""Threads, processes and clusters that share a population: the same bits, and clear ends."""

from __future__ import annotations

import concurrent.futures
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as onp
import pytest

from nnbook import data, layers, losses, optim, schedules, training
from nnbook.losses import softmax_cross_entropy
from nnbook.parameters import ParameterVector
from nnbook.population import WorkerError, Workers, end_processes, fit_population
from nnbook.population import processes as pool
from nnbook.population import workers as sharing
from nnbook.runtime import mx

X, Y = data.moons(60, rng=0)
DATA = (X.astype("float32"), Y)
FIT = {"loss": softmax_cross_entropy, "batch_size": 10, "epochs": 3, "progress": False}
RULE = optim.momentum(0.05)
PROCESSES, THREADS = Workers(2, kind="processes"), Workers(2, kind="threads")
pytestmark = pytest.mark.usefixtures("no_hang")
FEW = 400_000.0  # bytes that hold some members


@pytest.fixture(scope="module", autouse=True)
def nobody_left():
    yield
    end_processes()


def pids():
    return [worker.process.pid for worker in pool._POOL.workers]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(which, within=15.0):
    until = time.monotonic() + within
    while time.monotonic() < until and any(map(alive, which)):
        time.sleep(0.05)
    return not any(map(alive, which))


def mlps(count=6, hidden=8, **options):
    return [layers.mlp(2, [hidden], 2, "tanh", seed=k, **options) for k in range(count)]


def thetas(nets):
    return [ParameterVector(net).theta.asnumpy() for net in nets]


def equal(a, b):
    return all((one == other).all() for one, other in zip(a, b, strict=True))


# ------------------------------------------------------------------------------------ the same bits


def trained(workers, make=mlps, train=DATA, validation=DATA, **options):
    nets = make()
    found = fit_population(nets, train, validation, workers=workers, **{**FIT, **options})
    return thetas(nets), [[list(h), h.status, h.path, h.stopped] for h in found], found


def without_time(rows):
    return [[[{**row, "seconds": 0} for row in history], *rest] for history, *rest in rows]


CASES = {
    "one order": {"seeds": [0] * 6, "optimizer": RULE, "memory": FEW},
    "own orders": {"optimizer": RULE, "memory": FEW},
    "own orders, large batches": {"optimizer": RULE, "batch_size": 50},
    "mixed": {"optimizer": RULE, "seeds": [0, 0, 1, 1, 1, 2], "batch_size": 50, "memory": FEW},
    "rates, a schedule, penalties": {
        "optimizer": [optim.adam(schedules.step_decay(0.1 / (k + 1), 0.5, 5)) for k in range(6)],
        "penalty": [losses.l2_penalty(0.01)] * 3 + [None] * 3,
        "memory": FEW,
    },
    "dropout": {"optimizer": RULE, "make": lambda: mlps(dropout=0.5)},
    "one diverges": {"optimizer": optim.sgd([0.1, 1e30, 0.1, 0.1, 0.1, 0.1]), "memory": FEW},
}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES.keys())
def test_members_are_equal_to_the_bit_whoever_trains_them(options):
    expected, rows, _ = trained(1, **options)
    for workers in (2, 3, THREADS, PROCESSES, Workers(1, kind="processes")):
        found, others, _ = trained(workers, **options)
        assert equal(found, expected)
        assert without_time(others) == without_time(rows)


def test_wide_first_layers_do_not_depend_on_the_number_of_workers():
    rng = onp.random.default_rng(0)
    train = rng.normal(size=(200, 300)).astype("float32"), rng.integers(0, 3, 200)

    def make():
        return [layers.mlp(300, [100], 3, seed=k) for k in range(12)]

    options = {"optimizer": RULE, "seeds": [0] * 12, "batch_size": 32, "epochs": 2}
    expected, _, _ = trained(1, make, train, None, **options)
    for workers in (2, 3, 5, PROCESSES):
        assert equal(trained(workers, make, train, None, **options)[0], expected)


def convolutions():
    nn = mx.gluon.nn
    nets = []
    for _ in range(3):
        net = nn.HybridSequential()
        net.add(nn.Conv2D(3, 3, in_channels=1), nn.BatchNorm(in_channels=3), nn.Flatten())
        net.add(nn.Dense(3, in_units=48))
        net.initialize(mx.init.Constant(0.1))
        net.hybridize()
        net(mx.np.ones((2, 1, 6, 6)))  # compiled: what pickle alone refuses
        nets.append(net)
    return nets


def test_compiled_networks_travel_and_running_statistics_come_back():
    rng = onp.random.default_rng(0)
    train = rng.normal(size=(60, 1, 6, 6)).astype("float32"), rng.integers(0, 3, 60)
    nets, expected = convolutions(), convolutions()
    options = {**FIT, "optimizer": optim.sgd([0.1, 0.2, 0.3])}
    fit_population(expected, train, workers=1, **options)
    views = [ParameterVector(net) for net in nets]
    found = fit_population(nets, train, workers=PROCESSES, **options)
    for net, other, view in zip(nets, expected, views, strict=True):
        for mine, theirs in zip(
            net.collect_params().values(), other.collect_params().values(), strict=True
        ):
            assert (mine.data().asnumpy() == theirs.data().asnumpy()).all()
        view.check()  # arrays that somebody shares stay where they are
        x = mx.np.array(train[0][:4])
        assert (net(x).asnumpy() == other(x).asnumpy()).all()
    assert "in threads" not in found[0].reason


def test_processes_are_kept_and_know_the_data_that_they_have():
    end_processes()
    fit_population(mlps(), DATA, optimizer=RULE, memory=FEW, workers=PROCESSES, **FIT)
    first, known = pids(), [set(worker.known) for worker in pool._POOL.workers]
    fit_population(mlps(), DATA, optimizer=RULE, memory=FEW, workers=PROCESSES, **FIT)
    assert pids() == first
    assert [worker.known for worker in pool._POOL.workers] == known
    other = (DATA[0] * 2, DATA[1])  # the old examples are dropped
    fit_population(mlps(), other, optimizer=RULE, memory=FEW, workers=PROCESSES, **FIT)
    assert pids() == first
    assert all(len(worker.known) == 2 for worker in pool._POOL.workers)
    end_processes()
    assert gone(first)


# ------------------------------------------------------------------------------------- callbacks


class Recorder(training.Callback):
    """Keeps what it sees, and the network."""

    def __init__(self, fail_at=None):
        self.fail_at, self.seen, self.pid = fail_at, [], None

    def on_fit_start(self, run):
        self.net, self.pid = run.net, os.getpid()

    def on_epoch_end(self, run, row):
        self.seen.append(row["train_loss"])
        if run.epoch == self.fail_at:
            raise LookupError(f"epoch {run.epoch}")


class Killer(training.Callback):
    """Ends the process that it is in."""

    def __init__(self, parent):
        self.parent = parent

    def on_epoch_end(self, run, row):
        if run.epoch == 2 and os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)


class Slow(training.Callback):
    """Takes ten minutes, and says when it has begun and when it was cleaned up."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name

    def on_fit_start(self, run):
        Path(self.folder, f"{self.name}.begun").write_text(str(os.getpid()))

    def on_epoch_end(self, run, row):
        for _ in range(60_000):
            time.sleep(0.01)

    def on_fit_exit(self, run):
        Path(self.folder, f"{self.name}.exit").write_text("")


def test_callbacks_come_back_into_the_callers_objects():
    nets, callbacks = mlps(), [[Recorder(), training.EarlyStopping("val_loss")] for _ in range(6)]
    found = fit_population(
        nets, DATA, DATA, optimizer=RULE, callbacks=callbacks, workers=PROCESSES, **FIT
    )
    for net, history, (recorder, stopping) in zip(nets, found, callbacks, strict=True):
        assert recorder.seen == list(history["train_loss"])
        assert recorder.pid != os.getpid()
        assert recorder.net is net
        assert stopping.best == min(history["val_loss"])


def test_an_exception_in_a_process_arrives_as_itself():
    nets = mlps()
    before = thetas(nets)
    callbacks = [[Recorder(fail_at=2 if k == 3 else None)] for k in range(6)]
    with pytest.raises(LookupError, match="epoch 2") as error:
        fit_population(nets, DATA, optimizer=RULE, callbacks=callbacks, workers=PROCESSES, **FIT)
    assert "on_epoch_end" in str(error.value.__cause__)
    assert equal(thetas(nets), before)
    assert not pids()
    fit_population(nets, DATA, optimizer=RULE, workers=PROCESSES, **FIT)


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        ({"callbacks": lambda k: [type("Local", (Recorder,), {})()]}, "Local"),
        ({"order": lambda n, epoch, rng: rng.permutation(n)}, "lambda"),
        ({"callbacks": [[]] * 4 + [[training.EarlyStopping("train_loss")]] * 2}, "shared"),
    ],
    ids=["a callback", "an order", "one callback of several"],
)
def test_what_cannot_travel_is_trained_in_threads_and_the_reason_is_told(thing, reason):
    found = fit_population(mlps(), DATA, optimizer=RULE, workers=PROCESSES, **thing, **FIT)
    assert all("in threads: " in h.reason and reason in h.reason for h in found)


def test_a_forward_hook_stays_in_this_process():
    nets, calls = mlps(2), []
    nets[0][0].register_forward_hook(lambda *things: calls.append(1))
    found = fit_population(nets, DATA, optimizer=RULE, workers=PROCESSES, **FIT)
    assert "forward hook" in found[0].reason
    assert len(calls) > 10


# ------------------------------------------------------------------------------- the own choice


def test_processes_are_chosen_for_long_runs_of_small_batches_only(monkeypatch):
    asked = []
    monkeypatch.setattr(sharing, "in_processes", lambda *a: asked.append(a) or pytest.skip("x"))

    def chosen(workers=None, **options):
        asked.clear()
        settings = {**FIT, "epochs": 1, "optimizer": RULE, "memory": FEW, **options}
        try:
            fit_population(mlps(), DATA, workers=workers, **settings)
        except pytest.skip.Exception:
            return True
        return False

    monkeypatch.setattr(sharing, "cores", lambda: 2)
    monkeypatch.setattr(sharing, "warm", lambda count: False)
    assert not chosen()
    monkeypatch.setattr(sharing, "_step_of", lambda member: 10.0)  # seconds
    assert chosen()
    assert chosen(workers=2)
    assert not chosen(workers=1)
    assert not chosen(batch_size=100)
    assert not chosen(workers=THREADS)
    assert not chosen(callbacks=lambda k: [Recorder()])  # of this module
    monkeypatch.setattr(sharing, "_step_of", lambda member: 0.05)
    assert not chosen()
    monkeypatch.setattr(sharing, "warm", lambda count: True)
    assert chosen()


def test_wrong_workers_are_refused_before_any_work():
    for wrong, error in (("2", TypeError), (True, TypeError), (0, ValueError), (1.5, TypeError)):
        with pytest.raises(error):
            fit_population(mlps(), DATA, optimizer=RULE, workers=wrong, **FIT)
    with pytest.raises(ValueError, match="'threads', 'processes'"):
        Workers(2, kind="fork")
    with pytest.raises(ValueError, match="count is 0"):
        Workers(0)
    end_processes()
    bad = DATA[0].copy()
    bad[3] = onp.nan
    with pytest.raises(ValueError, match="NaN"):
        fit_population(mlps(), (bad, Y), optimizer=RULE, workers=PROCESSES, **FIT)
    assert not pids()


def test_the_bar_moves_as_members_finish(monkeypatch):
    moves = []

    class Bar:
        def __init__(self, total, **options):
            moves.append(total)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            moves.append("closed")

        def update(self, count):
            moves.append(count)

    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    monkeypatch.setattr(training.Progress, "wanted", staticmethod(lambda: True))
    for workers in (1, THREADS, PROCESSES):
        moves.clear()
        options = {**FIT, "progress": True, "batch_size": 50}
        fit_population(mlps(), DATA, optimizer=RULE, workers=workers, **options)
        assert moves == [6, 1, 1, 1, 1, 1, 1, "closed"]


class Client:
    """What a cluster's client looks like."""

    def __init__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(2)
        self.scattered, self.tasks, self.lost = 0, 0, False

    def scatter(self, arrays, broadcast):
        self.scattered += 1
        return list(arrays)

    def submit(self, function, *arguments, pure):
        self.tasks += 1
        if self.lost:
            return self.pool.submit(self._lose)
        function = pickle.loads(pickle.dumps(function))
        return self.pool.submit(function, *arguments)

    @staticmethod
    def _lose():
        raise type("KilledWorker", (Exception,), {})("four times")


def test_a_clusters_client_gets_the_parts_as_tasks():
    expected, _, _ = trained(1, optimizer=RULE, batch_size=50)
    client = Client()
    found, _, _ = trained(client, optimizer=RULE, batch_size=50)
    assert equal(found, expected)
    assert (client.scattered, client.tasks) == (1, 6)
    client.lost = True
    with pytest.raises(WorkerError, match="four times") as error:
        trained(client, optimizer=RULE, batch_size=50)
    assert error.value.members == [0]


# ---------------------------------------------------------------------------------- bad endings


def test_a_killed_process_names_its_members_and_leaves_nobody():
    nets = mlps()
    before = thetas(nets)
    options = {**FIT, "batch_size": 50, "optimizer": RULE, "workers": PROCESSES}
    fit_population(nets, DATA, **options)
    old, before = pids(), thetas(nets)
    callbacks = [[Killer(os.getpid())] if k == 4 else [] for k in range(6)]
    with pytest.raises(WorkerError, match=r"members 4, was ended by signal 9") as error:
        fit_population(nets, DATA, callbacks=callbacks, **options)
    assert error.value.members == [4]
    copied = pickle.loads(pickle.dumps(error.value))
    assert (str(copied), copied.members) == (str(error.value), [4])
    assert equal(thetas(nets), before)
    assert gone(old)
    fit_population(nets, DATA, **options)  # by new ones
    assert not set(pids()) & set(old)


def test_a_process_killed_while_idle_is_replaced():
    options = {**FIT, "batch_size": 50, "optimizer": RULE, "workers": PROCESSES}
    fit_population(mlps(), DATA, **options)
    victim = pids()[0]
    os.kill(victim, signal.SIGKILL)
    pool._POOL.workers[0].process.wait(15)
    fit_population(mlps(), DATA, **options)
    assert victim not in pids()


# What is started in the background may have been told to ignore Ctrl-C.
PROGRAM = """
import signal; signal.signal(signal.SIGINT, signal.default_int_handler)
import sys; sys.path.insert(0, {tests!r})
from test_population_workers import *
fit_population(mlps(4), DATA, optimizer=RULE, workers={workers}, callbacks=lambda k:
               [Slow({folder!r}, k)], **{{**FIT, "batch_size": 50}})
"""


def start(folder, workers, count):
    """Start a program whose workers are in the middle of training; return it and their pids."""
    text = PROGRAM.format(tests=str(Path(__file__).parent), folder=str(folder), workers=workers)
    program = subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while len(list(folder.glob("*.begun"))) < count:
        assert program.poll() is None, program.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(0.3)
    return program, [int(path.read_text()) for path in folder.glob("*.begun")]


@pytest.mark.parametrize("workers", ["PROCESSES", "THREADS", "1"])
def test_ctrl_c_ends_workers_promptly_and_cleans_up(tmp_path, workers):
    program, busy = start(tmp_path, workers, 1 if workers == "1" else 2)
    begin = time.monotonic()
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=30)
    assert time.monotonic() - begin < 10
    assert "KeyboardInterrupt" in errors
    assert gone(busy)
    begun = {path.stem for path in tmp_path.glob("*.begun")}
    assert {path.stem for path in tmp_path.glob("*.exit")} == begun


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    program, busy = start(tmp_path, "PROCESSES", 2)
    program.kill()
    program.communicate(timeout=30)
    assert gone(busy)


FORKED = """
import os, sys; sys.path.insert(0, {tests!r})
from test_population_workers import *
options = {{**FIT, "batch_size": {batch}, "optimizer": RULE, "memory": FEW}}
fit_population(mlps(), DATA, workers={workers}, **options)
expected = thetas(nets := mlps())
child = os.fork()
if not child:
    nets = mlps()
    fit_population(nets, DATA, workers={workers}, **options)
    end_processes()
    os._exit(0 if all(onp.isfinite(t).all() for t in thetas(nets)) else 3)
code = os.waitpid(child, 0)[1]
fit_population(mlps(), DATA, workers={workers}, **options)
sys.exit(os.waitstatus_to_exitcode(code))
"""


@pytest.mark.parametrize(("workers", "batch"), [("THREADS", 10), ("PROCESSES", 50), ("1", 50)])
def test_a_forked_child_of_a_parent_that_has_trained_trains(workers, batch):
    text = FORKED.format(tests=str(Path(__file__).parent), workers=workers, batch=batch)
    done = subprocess.run(
        [sys.executable, "-c", text], timeout=120, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_script_needs_no_guard_and_leaves_nobody(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from nnbook import data, layers, losses, optim\n"
        "from nnbook.population import Workers, fit_population, processes\n"
        "x, y = data.moons(60, rng=0)\n"
        "nets = [layers.mlp(2, [8], 2, seed=k) for k in range(4)]\n"
        "fit_population(nets, (x, y), loss=losses.softmax_cross_entropy, batch_size=50,\n"
        "               optimizer=optim.sgd(0.1), workers=Workers(2, kind='processes'))\n"
        "print(*[w.process.pid for w in processes._POOL.workers])\n"
    )
    done = subprocess.run(
        [sys.executable, script], timeout=120, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = list(map(int, done.stdout.split()))
    assert len(found) == 2
    assert gone(found, within=1)
