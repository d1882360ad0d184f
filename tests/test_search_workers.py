"""Searches on workers: what comes out is that of one process, whoever is killed meanwhile."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("distributed")

import psutil

from nnbook import search
from nnbook.search import engine, farm, jobs, journal, worker
from tests import searched_by_workers as helper
from tests.searched_by_workers import SEARCH, bowl, descendants, noted, train, with_epochs
from tests.tables import same

ROOT = Path(__file__).resolve().parents[1]
LINE = search.Space(x=search.linear(0, 1))
LIMIT = 90  # seconds for one test


@pytest.fixture(autouse=True)
def _ends_in_time():
    def late(signum, frame):
        pytest.fail(f"this test has taken more than {LIMIT} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module", autouse=True)
def _leaves_no_process():
    before = {process.pid for process in descendants()}
    yield
    gone_by = time.monotonic() + 10
    while left := [one for one in descendants() if one.pid not in before]:
        assert time.monotonic() < gone_by, left
        time.sleep(0.1)


@pytest.fixture(scope="module")
def client():
    with search.cluster(2) as found:
        yield found


def until(true, seconds=30):
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)
    return found


@contextlib.contextmanager
def meanwhile(action):
    """Do something in another thread; what fails there fails the test."""
    failed = []

    def run():
        try:
            action()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert not failed, failed


EXPECTED = SEARCH.run(train)


# -------------------------------------------------------------------------- the same table


@pytest.mark.parametrize(
    ("what", "function"),
    [
        (search.RandomSearch(LINE, trials=12, seed=3, seeds=2), bowl),
        (search.GridSearch(LINE, points=7), bowl),
        (search.SobolSearch(LINE, trials=8), bowl),
        (search.CoordinateSearch(LINE, points=4, rounds=3), bowl),
        (search.CoarseToFine(LINE, trials=5, rounds=3, seeds=2), bowl),
        (search.SuccessiveHalving(LINE, trials=9, most=9, seeds=2), with_epochs),
        (search.Hyperband(LINE, most=9), with_epochs),
    ],
    ids=lambda one: type(one).__name__,
)
def test_workers_find_the_same_to_the_bit(what, function, client):
    assert same(what.run(function, workers=client), what.run(function))


def test_an_adaptive_search_that_asks_at_once_does_not_depend_on_the_workers(client):
    pytest.importorskip("optuna")
    plan = search.AdaptiveSearch(LINE, trials=12, at_once=4)
    assert same(plan.run(bowl, workers=client), plan.run(bowl))
    free = search.AdaptiveSearch(LINE, trials=12, steps=(1, 3, 9), sampler="tpe")
    found = free.run(with_epochs, workers=client)
    assert set(found["state"]) <= {"complete", "stopped"}
    assert len(found) == 12


def test_a_number_of_workers_starts_them_and_ends_them(tmp_path):
    before = len(descendants())
    counts = []
    path = tmp_path / "study"
    with meanwhile(lambda: counts.append(until(lambda: len(descendants()) - before >= 3))):
        found = SEARCH.run(partial(train, pause=0.02), workers=2, path=path)
    assert same(found, EXPECTED)
    until(lambda: len(descendants()) == before, 10)
    assert same(SEARCH.run(lambda c, s: pytest.fail("it ran"), path=path), EXPECTED)


def test_populations_are_shared_out(client):
    sizes = []

    def together(configurations, seeds):
        return [{"value": c["x"], "size": len(seeds)} for c in configurations]

    plan = search.GridSearch(LINE, points=12)
    found = plan.run(evaluate_many=together, workers=client)
    assert found["value"].tolist() == plan.run(evaluate_many=together)["value"].tolist()
    assert 2 <= found["size"].max() <= 6  # not all twelve to one of the two
    assert not sizes


def test_what_an_evaluation_raises_ends_the_search(client, tmp_path):
    def breaks(configuration, seed):
        if configuration["x"] == 0.5:
            raise NameError("name 'los' is not defined")
        return configuration["x"]

    plan = search.GridSearch(LINE, points=5)
    with pytest.raises(NameError, match="los") as stopped:
        plan.run(breaks, workers=client, path=tmp_path / "study")
    assert 0.5 not in stopped.value.results["x"]
    done = plan.run(lambda c, s: c["x"], workers=client, path=tmp_path / "study")
    assert done["value"].tolist() == [0, 0.25, 0.5, 0.75, 1]

    def diverges(configuration, seed):
        raise FloatingPointError("too large")

    with pytest.warns(RuntimeWarning, match="none of the 5 trials is complete"):
        assert set(plan.run(diverges, workers=client)["state"]) == {"failed"}


def test_what_cannot_be_sent_is_said_before_any_work(client):
    lock = threading.Lock()
    with pytest.raises(TypeError, match="cannot be sent to a worker"):
        search.GridSearch(LINE, points=2).run(lambda c, s: lock, workers=client)


# --------------------------------------------------------------------------------- sockets


def test_nothing_listens_on_other_than_loopback(client):
    processes = [psutil.Process(), *descendants()]
    ports = {
        (one.laddr.ip, one.laddr.port)
        for process in processes
        for one in process.net_connections(kind="inet")
        if one.status == psutil.CONN_LISTEN
    }
    addresses = [client.scheduler.address, *client.nthreads()]
    assert {int(address.rpartition(":")[2]) for address in addresses} <= {port for _, port in ports}
    assert {ip for ip, _ in ports} <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(
    "address", ["tcp://10.0.0.7:8786", "tcp://example.org:8786", "tcp://[2001:db8::1]:8786"]
)
def test_a_plain_address_elsewhere_is_refused_with_the_way_out(address):
    with pytest.raises(ValueError, match=r"run programs there.*--protocol tls .*'tls://"):
        search.GridSearch(LINE, points=2).run(bowl, workers=address)


def test_addresses_that_are_taken():
    for address in ("tcp://127.0.0.1:1", "tcp://localhost:1", "tcp://[::1]:1", "tls://10.0.0.7:1"):
        engine.check_address(address)


@pytest.mark.parametrize(
    ("workers", "error", "message"),
    [
        (0, ValueError, "workers is 0"),
        (1.5, TypeError, "workers is 1.5"),
        (True, TypeError, "workers is True"),
        ("host:8786", ValueError, "expected an address such as"),
        ("http://localhost:80", ValueError, "expected an address such as"),
    ],
)
def test_wrong_workers(workers, error, message):
    with pytest.raises(error, match=message):
        search.GridSearch(LINE, points=2).run(bowl, workers=workers)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_cluster_with_tls(tmp_path):
    from distributed import Client
    from distributed.security import Security

    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext"
    command = [*make.split(), "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    files = {"--tls-ca-file": certificate, "--tls-cert": certificate, "--tls-key": key}
    options = [str(word) for pair in files.items() for word in pair]
    where = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    listen = ["--protocol", "tls", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    with contextlib.ExitStack() as stack:

        def start(*words):
            process = stack.enter_context(
                subprocess.Popen([*dask, *words, *options, "--scheduler-file", str(where)], **quiet)
            )
            stack.callback(process.terminate)

        start("scheduler", *listen)
        until(where.exists)
        start("worker", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1")
        secret = Security(
            tls_ca_file=str(certificate),
            tls_client_cert=str(certificate),
            tls_client_key=str(key),
            require_encryption=True,
        )
        import json

        address = json.loads(where.read_text())["address"]
        assert address.startswith("tls://")
        with Client(address, security=secret, set_as_default=False) as found:
            assert same(SEARCH.run(train, workers=found), EXPECTED)
        import dask as library

        names = {
            "distributed.comm.tls.ca-file": str(certificate),
            "distributed.comm.tls.client.cert": str(certificate),
            "distributed.comm.tls.client.key": str(key),
        }
        with library.config.set(names):
            assert same(SEARCH.run(train, workers=address), EXPECTED)


# ----------------------------------------------------------------------------------- kills


def counted(notes, kills):
    """Tell that every epoch was trained, and only those in progress at a kill twice."""
    begun = [(trial, epoch) for trial, epoch, _ in noted(notes)]
    assert set(begun) == {(t, e) for t in range(SEARCH.size) for e in range(1, helper.EPOCHS + 1)}
    assert len(begun) <= len(set(begun)) + kills
    return True


def test_a_worker_killed_in_mid_epoch(client, tmp_path):
    notes = tmp_path / "notes"

    def kill():
        for count in (7, 23):
            pid = until(lambda count=count: len(noted(notes)) >= count and noted(notes)[-1][2])
            os.kill(pid, signal.SIGKILL)

    with meanwhile(kill):
        found = SEARCH.run(partial(train, notes=notes, pause=0.1), workers=client)
    assert same(found, EXPECTED)
    assert counted(notes, kills=2)


def test_a_worker_killed_with_a_finished_result(client, tmp_path, monkeypatch):
    notes, killed = tmp_path / "notes", []
    hear = farm._Farm._hear

    def killed_before(self, news):
        if "ended" in news and not killed:
            killed.append(noted(notes)[-1][2])
            os.kill(killed[0], signal.SIGKILL)
            until(lambda: not psutil.pid_exists(killed[0]))
        return hear(self, news)

    monkeypatch.setattr(farm._Farm, "_hear", killed_before)
    found = SEARCH.run(
        partial(train, notes=notes, pause=0.02), workers=client, path=tmp_path / "study"
    )
    assert killed
    assert same(found, EXPECTED)
    assert counted(notes, kills=1)
    _, records, _ = journal.read(tmp_path / "study")
    assert sorted(one.trial for one in records) == list(range(8))  # each told once


def test_a_trial_that_kills_every_worker_is_given_up(client):
    found = SEARCH.run(partial(train, act=helper.kills_itself), workers=client)
    assert found["state"].tolist() == [*3 * ["complete"], "failed", *4 * ["complete"]]
    # A worker's note that it has started may die with it; the trial is then handed out once more.
    assert found["error"][3] in {"it killed 4 workers", "it killed 8 workers"}
    others = np.arange(8) != 3
    np.testing.assert_array_equal(found["value"][others], EXPECTED["value"][others])


def test_a_trial_that_hangs_is_ended(client):
    found = SEARCH.run(partial(train, act=helper.hangs), workers=client, time_limit=2)
    bad = [2, 5]
    assert [k for k, state in enumerate(found["state"]) if state == "failed"] == bad
    assert {found["error"][k] for k in bad} == {"it took longer than the time limit of 2 s"}
    good = np.setdiff1d(np.arange(8), bad)
    np.testing.assert_array_equal(found["value"][good], EXPECTED["value"][good])


def test_a_time_limit_needs_workers():
    with pytest.raises(ValueError, match="time_limit is 3; it needs workers"):
        SEARCH.run(train, time_limit=3)
    with pytest.raises(ValueError, match="time_limit is 0"):
        SEARCH.run(train, workers=1, time_limit=0)


def test_a_worker_that_comes_back_is_fenced_off(tmp_path):
    notes, stopped = tmp_path / "notes", []

    def cut_off():
        stopped.append(until(lambda: len(noted(notes)) >= 3 and noted(notes)[-1]))
        trial, _, pid = stopped[0]
        os.kill(pid, signal.SIGSTOP)
        try:  # another takes the trial over
            until(lambda: any(t == trial and p != pid for t, _, p in noted(notes)), 60)
        finally:
            with contextlib.suppress(ProcessLookupError):  # its nanny may have ended it
                os.kill(pid, signal.SIGCONT)

    with search.cluster(2, silence="2s") as few, meanwhile(cut_off):
        found = SEARCH.run(partial(train, notes=notes, pause=0.2), workers=few)
    assert same(found, EXPECTED)
    assert counted(notes, kills=2)  # the epoch in progress, and one that was begun on coming back


def test_the_fence(tmp_path):
    trial = SEARCH.first_step(search.trials.Trial(0, 0, {}))
    old, new = jobs.Job.of(trial, tmp_path), jobs.Job.of(trial, tmp_path)
    old.save(1, {"x": 1.0}, val_loss=0.5)
    assert new.load() == (1, {"x": 1.0})
    for refused in (lambda: old.save(2, {"x": 9.0}, val_loss=0.1), old.load):
        with pytest.raises(jobs.Fenced, match="another process has taken over trial 0, seed 0"):
            refused()
    new.save(2, {"x": 2.0}, val_loss=0.25)
    assert new.load() == (2, {"x": 2.0})
    names = [path.name for path in sorted(new.folder.glob("epoch*"))]
    assert names == ["epoch=001 val_loss=0.5.checkpoint", "epoch=002 val_loss=0.25.checkpoint"]


def test_a_scheduler_that_is_killed(tmp_path):
    path, notes = tmp_path / "study", tmp_path / "notes"

    before, children = {one.pid for one in descendants()}, []

    def kill():
        nonlocal children
        until(lambda: len(noted(notes)) >= 12)
        for one in descendants():
            with contextlib.suppress(psutil.NoSuchProcess):  # or a zombie: others come and go
                if one.pid not in before and any("engine.serve" in w for w in one.cmdline()):
                    children = one.children(recursive=True)
                    one.kill()
        until(lambda: not any(child.is_running() for child in children), 15)

    few = search.cluster(1)
    with few as lonely, meanwhile(kill), pytest.raises(RuntimeError, match="the cluster is gone"):
        SEARCH.run(partial(train, notes=notes, pause=0.05), workers=lonely, path=path)
    _, records, _ = journal.read(path)
    assert 1 <= len(records) < 8
    assert same(SEARCH.run(partial(train, notes=notes), path=path), EXPECTED)
    assert counted(notes, kills=1)


def test_a_master_that_is_killed(tmp_path):
    path, notes = tmp_path / "study", tmp_path / "notes"
    command = [sys.executable, "-m", "tests.searched_by_workers", path, notes, "2", "0.1"]
    with subprocess.Popen(list(map(str, command)), cwd=ROOT) as master:
        until(lambda: len(noted(notes)) >= 12, 60)
        family = descendants(master.pid)
        assert len(family) >= 3
        with pytest.raises(RuntimeError, match="in use by another search"):  # a second master
            SEARCH.run(train, path=path, workers=2)
        running = until(lambda: (found := search.inspect(path)).running and found)
        master.kill()
    until(lambda: not any(one.is_running() for one in family), 10)
    assert 1 <= len(running.running) <= 2
    assert "val_loss" in str(running)
    assert same(SEARCH.run(partial(train, notes=notes), path=path), EXPECTED)
    assert counted(notes, kills=2)


# --------------------------------------------------------------------- full disks, full memory


def test_a_full_disk_on_a_worker(client, tmp_path):
    from nnbook.training import CheckpointError

    with pytest.raises(CheckpointError, match=r"cannot write .*epoch=001 .*still there"):
        SEARCH.run(
            partial(train, act=helper.fills_the_disk), workers=client, path=tmp_path / "study"
        )
    assert same(SEARCH.run(train, workers=client, path=tmp_path / "study"), EXPECTED)


def test_a_full_disk_on_the_master(client, tmp_path, monkeypatch):
    left, write = [2000], journal.os.write

    def limited(handle, content):
        if left[0] < len(content):
            raise OSError(28, "No space left on device")
        left[0] -= len(content)
        return write(handle, content)

    def written(self, records, original=journal.FileLog._write):
        with monkeypatch.context() as patch:
            patch.setattr(journal.os, "write", limited)
            original(self, records)

    with monkeypatch.context() as patch:
        patch.setattr(journal.FileLog, "_write", written)
        with pytest.raises(OSError, match=r"cannot write .*No space left.*still there"):
            SEARCH.run(train, workers=client, path=tmp_path / "study")
    assert 1 <= len(journal.read(tmp_path / "study")[1]) < 8
    assert same(SEARCH.run(train, workers=client, path=tmp_path / "study"), EXPECTED)


def test_a_trial_that_needs_too_much_memory(tmp_path):
    with search.cluster(1, memory_limit="600MB") as small:
        found = SEARCH.run(partial(train, act=helper.eats_memory), workers=small)
    assert [k for k, state in enumerate(found["state"]) if state == "failed"] == [1]
    assert found["error"][1] == "it killed 4 workers"


# ------------------------------------------------------------------------------ from outside


def test_trials_are_stopped_by_hand(client, tmp_path, monkeypatch):
    monkeypatch.setattr(farm, "_GRACE", 1.0)
    path, notes = tmp_path / "study", tmp_path / "notes"

    def look_and_stop():
        command = [sys.executable, "-m", "nnbook", "search", str(path)]
        for trial in (1, 6):
            until(lambda trial=trial: (trial, 2) in [one[:2] for one in noted(notes)])
            done = subprocess.run([*command, "--stop", str(trial)], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            assert f"trial {trial} stops at its next checkpoint (seed 0)" in done.stdout
            assert "with checkpoints and without a result" in done.stdout

    with meanwhile(look_and_stop):
        found = SEARCH.run(
            partial(train, notes=notes, pause=1.0, act=helper.never_ends), workers=client, path=path
        )
    assert [k for k, state in enumerate(found["state"]) if state == "stopped"] == [1, 6]
    assert found["error"][1].startswith("stopped by hand after epoch ")
    assert found["error"][6] == "stopped by hand"


# ------------------------------------------------------------------------- without a cluster


def test_searching_on_workers_names_the_extra_without_dask():
    code = (
        "import sys; sys.modules['distributed'] = sys.modules['dask'] = None\n"
        "from nnbook import search\n"
        "search.Hyperband, search.cluster, search.inspect\n"
        "plan = search.RandomSearch(search.Space(x=search.linear(0, 1)), trials=2)\n"
        "print(len(plan.run(lambda c, seed: c['x'])))\n"
        "plan.run(lambda c, seed: c['x'], workers=2)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "2", done.stderr
    assert 'pip install "nnbook[cluster]"' in done.stderr.splitlines()[-1]


def test_a_worker_with_another_version_is_refused():
    other = worker.Evaluator.of(bowl, (), LINE, Path())
    other.setup(None)
    other.versions = ("Python 2.7", "nnbook 0.0")
    with pytest.raises(RuntimeError, match=r"the search Python 2\.7 and nnbook 0\.0; give them"):
        other.setup(None)
