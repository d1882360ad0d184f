"""Processes that train parts of a population: started once, kept, and ended with the program.

They are started by `subprocess`, not by `multiprocessing`: a script needs no
``if __name__ == "__main__"``, and the pipe to each of them says at once which one has ended. They
are never forked: a fork takes locks of the parent's threads along.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import Any

import numpy as onp

from nnbook._arrays import to_numpy
from nnbook.gluon import install
from nnbook.population.parcels import Parcel, packed_error, run_parcel, unpacked_error

__all__ = ["WorkerError", "end_processes", "in_processes", "warm"]

_GRACE = 3.0  # seconds in which a worker may call clean-up hooks before it is killed
_START = "import sys; sys.path[:] = {path!r}; from nnbook.population import processes; "
_START += "processes.serve({handle})"


class WorkerError(RuntimeError):
    """A worker has ended before its part of the population was trained.

    Attributes
    ----------
    members : list of int
        The members that it was training.
    """

    def __init__(self, message: str, members: Sequence[int] = ()):
        self.members = list(members)
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.members), vars(self)


class _Worker:
    """One process, and the parent's end of the pipe to it."""

    def __init__(self) -> None:
        self.pipe, theirs = Pipe()
        self.born = time.time()
        environment = dict(os.environ)
        if install.threads_may_vary:  # then it is nnbook that has set it, as it will there
            environment.pop("OMP_NUM_THREADS", None)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START.format(path=sys.path, handle=theirs.fileno())],
            stdin=subprocess.PIPE,  # its end tells the worker that the parent is gone
            env=environment,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C reaches the parent alone, which ends the workers
        )
        theirs.close()
        self.known: set[str] = set()
        self.part = -1  # the number of the parcel that it has

    def send(self, data: dict[str, onp.ndarray], parcel: Parcel, number: int) -> None:
        """Give it a parcel, and the arrays that it has not got; it drops what is not in `data`."""
        missing = [key for key in data if key not in self.known]
        layout = {key: (data[key].dtype.str, data[key].shape) for key in missing}
        self.part = number
        self.pipe.send((list(data), layout, os.getcwd(), sys.path))
        for key in missing:
            self.pipe.send_bytes(_bytes_of(data[key]))
        self.pipe.send_bytes(parcel.content)
        self.known = set(data)

    def let_go(self) -> None:
        """Close the parent's ends: the worker notices and ends."""
        self.pipe.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


class _Pool:
    def __init__(self) -> None:
        self.workers: list[_Worker] = []
        self.lock = threading.Lock()

    def grow(self, count: int, newest: float) -> list[_Worker]:
        """Return that many living workers, that know code as new as `newest`."""
        if any(
            worker.process.poll() is not None or worker.born < newest for worker in self.workers
        ):
            self.end()
        while len(self.workers) < count:
            self.workers.append(_Worker())
        return self.workers[:count]

    def end(self) -> None:
        """End all workers: with their clean-up hooks, or after a while without."""
        workers, self.workers = self.workers, []
        try:
            for worker in workers:
                worker.process.terminate()
                worker.let_go()
            until = time.monotonic() + _GRACE
            for worker in workers:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    worker.process.wait(max(0.0, until - time.monotonic()))
        finally:
            for worker in workers:
                worker.process.kill()
                worker.process.wait()

    def forget(self) -> None:
        """In a forked child: they are the parent's, and must see when the parent ends."""
        for worker in self.workers:
            worker.let_go()
        self.workers, self.lock = [], threading.Lock()


_POOL = _Pool()
atexit.register(_POOL.end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL.forget)


def end_processes() -> None:
    """End the processes that `nnbook.population.fit_population` keeps for the next call.

    Each keeps its copy of the data and some 200 MB. They end by themselves with the program.

    Examples
    --------
    >>> from nnbook.population import end_processes
    >>> end_processes()
    """
    with _POOL.lock:
        _POOL.end()


def warm(count: int) -> bool:
    """Tell whether that many processes are there already."""
    return sum(worker.process.poll() is None for worker in _POOL.workers) >= count


def in_processes(
    parcels: Sequence[Parcel], data: Sequence[Any], count: int, done: Callable[[int], None]
) -> list[bytes]:
    """Have parcels run by processes; return what each gave back.

    Parameters
    ----------
    parcels : sequence of Parcel
        Parts of a population, packed.
    data : sequence of array
        What `run_parcel` gets beside a parcel; a worker gets it once, and keeps it.
    count : int
        How many processes.
    done : callable
        Called with the number of a parcel that has come back.

    Raises
    ------
    WorkerError
        A process has ended before its time.
    """
    arrays = [onp.ascontiguousarray(to_numpy(array)) for array in data]
    order = [_key(values) for values in arrays]
    named = dict(zip(order, arrays, strict=True))
    with _POOL.lock:
        try:
            return _shared_out([p.with_data(order) for p in parcels], named, count, done)
        except BaseException:
            _POOL.end()  # some are busy, and nobody waits for what they do
            raise


def _key(values: onp.ndarray) -> str:
    content = hashlib.blake2b(_bytes_of(values), digest_size=16).hexdigest()
    return f"{values.dtype.str} {values.shape} {content}"


def _bytes_of(values: onp.ndarray) -> Any:
    return values.reshape(-1).view(onp.uint8).data


def _shared_out(
    parcels: Sequence[Parcel],
    data: dict[str, onp.ndarray],
    count: int,
    done: Callable[[int], None],
) -> list[bytes]:
    found: dict[int, bytes] = {}
    waiting = iter(range(len(parcels)))
    newest = max(parcel.newest for parcel in parcels)
    idle = _POOL.grow(min(count, len(parcels)), newest)
    busy: dict[Any, _Worker] = {}
    while len(found) < len(parcels):
        for worker, number in zip(idle, waiting, strict=False):
            with _noticing(worker, parcels[number]):
                worker.send(data, parcels[number], number)
            busy[worker.pipe] = worker
        idle = []
        for pipe in wait(list(busy)):
            worker = busy.pop(pipe)
            with _noticing(worker, parcels[worker.part]):
                failed, content = worker.pipe.recv(), worker.pipe.recv_bytes()
            if failed:
                raise unpacked_error(content)
            found[worker.part] = content
            done(worker.part)
            idle.append(worker)
    return [found[number] for number in range(len(parcels))]


@contextlib.contextmanager
def _noticing(worker: _Worker, parcel: Parcel) -> Iterator[None]:
    """Say who has ended, and what is lost, where a pipe breaks."""
    try:
        yield
    except (EOFError, OSError) as error:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(_GRACE)
        code = worker.process.returncode
        how = f"was ended by signal {-code}" if code and code < 0 else f"ended with code {code}"
        raise WorkerError(
            f"process {worker.process.pid}, which was training the members "
            f"{', '.join(map(str, parcel.members))}, {how}. (Signal 9 may mean that memory ran "
            "out.) The other processes have been stopped, and no network has been changed. Call "
            'again, with fewer workers, or with Workers(kind="threads")',
            parcel.members,
        ) from error


# -------------------------------------------------------------------------------- in the worker


class _Ended(BaseException):
    """The parent wants no more of this worker."""


class _Doing:
    """What this process does: "waiting", "training" or "ending"."""

    now = "waiting"


def serve(handle: int) -> None:
    """Train what comes through a pipe until it closes: what a worker does all its life."""
    from multiprocessing.connection import Connection

    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_watch_parent, daemon=True).start()
    os.environ["NNBOOK_PROGRESS"] = "0"  # the parent draws
    pipe, data = Connection(handle), dict[str, onp.ndarray]()
    with contextlib.suppress(EOFError, OSError, _Ended):
        while True:
            keys, layout, folder, sys.path[:] = pipe.recv()
            os.chdir(folder)
            for key in data.keys() - set(keys):
                del data[key]
            for key, (dtype, shape) in layout.items():
                data[key] = onp.frombuffer(pipe.recv_bytes(), dtype=dtype).reshape(shape)
            content = pipe.recv_bytes()
            try:
                _Doing.now = "training"
                answer, failed = run_parcel(content, data), False
            except _Ended:
                raise
            except BaseException as error:
                answer, failed = packed_error(error), True
            _Doing.now = "waiting"
            sys.stdout.flush()
            pipe.send(failed)
            pipe.send_bytes(answer)


def _end(signum: int, frame: Any) -> None:
    if _Doing.now == "waiting":
        os._exit(0)
    if _Doing.now == "training":  # clean-up hooks are called; they are not disturbed again
        _Doing.now = "ending"
        raise _Ended


def _watch_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)
