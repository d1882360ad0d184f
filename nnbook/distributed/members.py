"""Members of a group that shares a gradient, and the group that is the processes of one machine.

A process is started by `subprocess`: a script needs no ``if __name__ == "__main__"``. θ and the
gradients lie in memory that all share, and a pipe to each process says when they are ready, so
nothing listens on any port. The memory has no name: nothing of it is left when its users are gone.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import pickle
import select
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from itertools import pairwise
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as onp

from nnbook.training.loop import number_of
from nnbook.training.run import Rows

__all__ = ["START", "Job", "Member", "MemberError", "Processes", "Told", "of_network", "shares"]

START = 120.0  # seconds in which a member must have started: MXNet's import and a copy of the data
_GRACE = 1.0  # seconds in which a process may end by itself
_CODE = "import sys; sys.path[:] = {path!r}; from nnbook.distributed import members; "
_CODE += "members.serve({pipe}, {content}, {memory}, {rank}, {layout!r})"


class MemberError(RuntimeError):
    """A member of a group has died, hangs, or cannot compute; the others have been ended.

    Attributes
    ----------
    member : int
        Which, counted from 0.
    """

    def __init__(self, message: str, member: int):
        self.member = member
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.member), vars(self)


class Told(NamedTuple):
    """What an exception says, and where it was raised: what goes to another process."""

    line: str
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> Told:
        """Return what is to be told of an exception."""
        trace = "".join(traceback.format_exception(error))
        return cls(f"{type(error).__name__}: {error}", trace)

    def failure(self, who: str, member: int) -> MemberError:
        """Return the error of a member that has told this; its cause says where."""
        failure = MemberError(f"{who} cannot go on: {self.line}", member)
        failure.__cause__ = _InMember(self.trace)
        return failure


class _InMember(Exception):
    """Where in a member an exception was raised."""

    def __str__(self) -> str:
        return f"in a member:\n\n{self.args[0]}"


class Job(NamedTuple):
    """What a group is to do.

    Attributes
    ----------
    content : bytes
        The model and its data, for `Member`.
    size : int
        P, the number of entries of θ.
    dtype : str
        Of θ.
    longest : int
        The largest number of examples of a minibatch.
    patience : float
        Seconds that a member has for a step.
    """

    content: bytes
    size: int
    dtype: str
    longest: int
    patience: float


class Member:
    """What computes the gradient of a part of every minibatch, wherever it is.

    Parameters
    ----------
    content : bytes
        A function and its arguments, pickled, which returns a `nnbook.training.loop.Source`, and
        what is to be called when θ has been changed in its memory.
    rank : int
        Which member this is, counted from 0: what is drawn at random differs from one to the next.
    """

    def __init__(self, content: Any, rank: int):
        make, arguments = pickle.loads(content)
        self._source, self._changed = make(*arguments, rank)
        self._theta, self._grad = self._source.memory(0)
        self._epoch = 0

    def gradient(self, theta: onp.ndarray, epoch: int, rows: Rows) -> tuple[float, onp.ndarray]:
        """Return the mean loss of some rows, and its gradient, in memory that is used again."""
        if epoch != self._epoch:
            self._source.begin_epoch(epoch)
            self._epoch = epoch
        self._theta[...] = theta
        self._changed()
        loss = self._source.gradient((rows,))
        loss = loss.asnumpy() if hasattr(loss, "asnumpy") else loss
        return float(onp.asarray(loss).reshape(-1)[0]), self._grad


def of_objective(objective: Any, rank: int) -> tuple[Any, Callable[[], None]]:
    """Make of an objective what a `Member` needs."""
    from nnbook.training.sources import ObjectiveSource, ObjectiveVector

    vector = ObjectiveVector(objective)
    return ObjectiveSource(objective, vector, None), vector.publish


def of_network(
    parcel: bytes, data: tuple[onp.ndarray, onp.ndarray], rank: int
) -> tuple[Any, Callable[[], None]]:
    """Make of a network, packed by `nnbook.population.parcels`, what a `Member` needs."""
    from dataclasses import replace

    from nnbook import optim
    from nnbook.gluon.copies import clone
    from nnbook.gluon.runtime import use_numpy_mode
    from nnbook.gluon.sources import start_network

    use_numpy_mode()
    *_, (member,) = pickle.loads(parcel)
    plan = replace(member.plan, optimizer=optim.sgd(1.0), seed=member.plan.seed + 1_000_003 * rank)
    # A copy has the gradients' memory, which a pickle leaves out.
    _, source = start_network(clone(member.net), data, None, plan, (), None)
    return source, _nothing


def _nothing() -> None:
    """A network reads θ where it is."""


def shares(rows: Rows, count: int) -> list[tuple[int, int]]:
    """Return where each member's part of a minibatch begins and ends; nearly equal parts.

    Examples
    --------
    >>> shares(slice(100, 107), 3)
    [(0, 2), (2, 4), (4, 7)]
    """
    n = number_of(rows)
    bounds = [n * k // count for k in range(count + 1)]
    return list(pairwise(bounds))


def part_of(rows: Rows, begin: int, end: int) -> Rows:
    """Return a part of some rows."""
    if isinstance(rows, slice):
        return slice(rows.start + begin, rows.start + end)
    return rows[begin:end]


# ------------------------------------------------------------------------ the processes, from here


class _Board:
    """The memory that all processes of a group share.

    Attributes
    ----------
    rows : numpy.ndarray of int64
        The examples of the minibatch.
    theta : numpy.ndarray, shape (P,)
        θ.
    grads : numpy.ndarray, shape (count, P)
        ∇L of each member's part, times its share of the minibatch.
    """

    def __init__(self, handle: int, longest: int, size: int, count: int, dtype: str):
        start, width = 8 * longest, size * onp.dtype(dtype).itemsize
        total = start + (count + 1) * width
        if os.fstat(handle).st_size < total:
            os.ftruncate(handle, total)
        memory = mmap.mmap(handle, total)
        self.rows = onp.frombuffer(memory, onp.int64, longest)
        self.theta = onp.frombuffer(memory, dtype, size, start)
        self.grads = onp.frombuffer(memory, dtype, count * size, start + width).reshape(count, size)


def _nameless() -> int:
    """Return a handle of memory, or of a file, that has no name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("nnbook")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class _Process:
    """One process, and this end of the pipe to it."""

    def __init__(self, rank: int, content: int, memory: int, layout: tuple[Any, ...]):
        self.pipe, theirs = Pipe()
        code = _CODE.format(
            path=sys.path,
            pipe=theirs.fileno(),
            content=content,
            memory=memory,
            rank=rank,
            layout=layout,
        )
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,  # its end tells the process that this one is gone
            env=os.environ | one,
            pass_fds=[theirs.fileno(), content, memory],
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others
        )
        theirs.close()
        self._poll = select.poll()
        self._poll.register(self.pipe.fileno(), select.POLLIN)

    def answer(self, until: float) -> Any:
        """Return what the process says.

        Raises
        ------
        TimeoutError, EOFError, OSError
            Nothing until then; it has ended.
        """
        if not self._poll.poll(max(0, round(1000 * (until - time.monotonic())))):
            raise TimeoutError
        return self.pipe.recv()

    def end(self, until: float) -> None:
        """Wait for the process to end by itself; then end it, even one that has been stopped."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, until - time.monotonic()))
        self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


class Processes:
    """Processes of this machine that compute parts of a gradient.

    Parameters
    ----------
    count : int
        How many, each with one thread.
    job : Job
        What they are to do.

    Raises
    ------
    MemberError
        One does not start.
    """

    def __init__(self, count: int, job: Job):
        self.name = f"{count} process{'es' if count > 1 else ''}"
        self.patience, self._processes = job.patience, list[_Process]()
        layout = (job.longest, job.size, count, job.dtype)
        content, memory = _nameless(), _nameless()
        try:
            with open(content, "wb", closefd=False) as file:
                file.write(job.content)
            self._board = _Board(memory, *layout)
            for rank in range(count):
                self._processes.append(_Process(rank, content, memory, layout))
            until = time.monotonic() + START
            for rank in range(count):
                self._hear(rank, until, "to start", START)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(content)
            os.close(memory)

    def gradient(self, theta: onp.ndarray, epoch: int, rows: Rows, out: onp.ndarray) -> float:
        """Write the gradient of the mean loss of some rows to `out`; return that loss.

        Raises
        ------
        MemberError
            A process has died, does not answer, or cannot compute.
        """
        board, busy = self._board, []
        board.theta[...] = theta
        on_board = not isinstance(rows, slice) and len(rows) <= len(board.rows)
        if on_board:
            board.rows[: len(rows)] = rows
        for rank, (begin, end) in enumerate(shares(rows, len(self._processes))):
            if begin < end:
                weight = (end - begin) / number_of(rows)
                busy.append((rank, weight))
                part = None if on_board else part_of(rows, begin, end)
                with contextlib.suppress(OSError):  # that it is gone is noticed below
                    self._processes[rank].pipe.send((epoch, part, begin, end, weight))
        until = time.monotonic() + self.patience
        loss = sum(
            weight * self._hear(rank, until, "for a step", self.patience) for rank, weight in busy
        )
        out[...] = board.grads[busy[0][0]]
        for rank, _ in busy[1:]:
            out += board.grads[rank]
        return loss

    def _hear(self, rank: int, until: float, what: str, limit: float) -> float:
        process = self._processes[rank].process
        who = f"member {rank} (process {process.pid})"
        try:
            answer = self._processes[rank].answer(until)
        except TimeoutError:
            why = f"has not answered within the {limit:g} s that it has {what}"
            why += " (give more patience, if steps take long)" if limit == self.patience else ""
        except (EOFError, OSError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(3)
            code = process.returncode
            why = f"was ended by signal {-code}" if code and code < 0 else f"ended with code {code}"
            why += " (9 may mean that memory ran out)" if code == -9 else ""
        else:
            if isinstance(answer, Told):
                raise answer.failure(who, rank)
            return float(answer)
        raise MemberError(f"{who} {why}", rank)

    def close(self) -> None:
        """End all processes."""
        processes, self._processes = self._processes, []
        for process in processes:
            process.pipe.close()  # who waits for a step ends now
        until = time.monotonic() + _GRACE
        for process in processes:
            process.end(until)


def serve(pipe: int, content: int, memory: int, rank: int, layout: tuple[Any, ...]) -> None:
    """Compute what is asked for through a pipe until it closes: all that a process does."""
    os.environ["NNBOOK_PROGRESS"] = "0"
    threading.Thread(target=_watch_parent, daemon=True).start()
    connection, board = Connection(pipe), _Board(memory, *layout)
    asked: Any = None  # at first to start
    answer: Any
    with contextlib.suppress(EOFError, OSError):  # the other end of the pipe is closed
        while True:
            try:
                if asked is None:
                    with mmap.mmap(content, 0, access=mmap.ACCESS_READ) as packed:
                        member = Member(packed, rank)
                    answer = 0.0
                else:
                    epoch, part, begin, end, weight = asked
                    rows = board.rows[begin:end] if part is None else part
                    answer, slope = member.gradient(board.theta, epoch, rows)
                    onp.multiply(slope, weight, out=board.grads[rank])
            except Exception as error:
                answer = Told.of(error)
            connection.send(answer)
            asked = connection.recv()
    sys.stdout.flush()
    os._exit(0)


def _watch_parent() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1024):
            pass
    os._exit(1)
