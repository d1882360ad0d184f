"""The group that is the workers of a Dask cluster: of several machines.

Dask starts them (``dask worker``, `dask-jobqueue`, …), carries what is sent, encrypts it, and
restarts those that die. nnbook opens no port.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as onp

from nnbook._optional import require
from nnbook.distributed.members import (
    START,
    Job,
    Member,
    MemberError,
    Told,
    part_of,
    shares,
)
from nnbook.search.engine import check_address
from nnbook.training.loop import number_of
from nnbook.training.run import Rows

__all__ = ["Machines", "connected"]

_CONNECT = 5.0  # seconds in which a scheduler must answer, and have a worker
_LOOK = 0.5  # seconds between two looks at who is still there


def connected(workers: Any) -> Callable[[Job], Machines]:
    """Return what makes a group of the workers of a cluster.

    Parameters
    ----------
    workers : str or distributed.Client
        An address, or a client.

    Raises
    ------
    ValueError
        An address at which anybody could send programs.
    """
    if isinstance(workers, str):
        check_address(workers)
    distributed = require("distributed", extra="cluster")

    def start(job: Job) -> Machines:
        if not isinstance(workers, str):
            return Machines(workers, job)
        try:
            client = distributed.Client(
                workers, timeout=_CONNECT, set_as_default=False, direct_to_workers=True
            )
        except OSError as error:
            raise RuntimeError(
                f"nothing answers at {workers} as Dask's scheduler does; expected one that was "
                "started before, by: dask scheduler"
            ) from error
        return Machines(client, job, own=True)

    return start


class _There:
    """A member, on a worker; Dask calls it an actor."""

    def __init__(self, content: bytes, rank: int):
        self.member = Member(content, rank)

    def gradient(
        self, theta: onp.ndarray, epoch: int, rows: Rows, weight: float
    ) -> tuple[float, onp.ndarray] | Told:
        """Return the loss and the gradient of a part, by its share, or what went wrong."""
        if (runtime := sys.modules.get("nnbook.gluon.runtime")) is not None:
            runtime.use_numpy_mode()  # it belongs to a thread
        try:
            loss, slope = self.member.gradient(theta, epoch, rows)
        except Exception as error:
            return Told.of(error)
        return loss, onp.multiply(slope, weight, dtype=slope.dtype)


class Machines:
    """Workers of a Dask cluster that compute parts of a gradient, each a member.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    job : Job
        What they are to do.
    own : bool
        Whether the client is to be closed at the end.

    Raises
    ------
    RuntimeError
        There is no worker.
    MemberError
        One does not start.
    """

    def __init__(self, client: Any, job: Job, own: bool = False):
        self.patience, self._client, self._own = job.patience, client, own
        self._futures, self._asks = list[Any](), list[Any]()
        try:
            with contextlib.suppress(Exception):  # said below
                client.wait_for_workers(1, timeout=_CONNECT)
            self._places = sorted(client.nthreads())
            if not self._places:
                raise RuntimeError(
                    "the cluster has no worker; start some, by: dask worker "
                    f"{client.scheduler.address}"
                )
            self.name = f"{len(self._places)} workers of {client.scheduler.address}"
            self._start(job.content)
        except BaseException:
            self.close()
            raise

    def _start(self, content: bytes) -> None:
        data = self._client.scatter(content, broadcast=True, hash=False)
        for rank, place in enumerate(self._places):
            future = self._client.submit(
                _There,
                data,
                rank,
                actor=True,
                pure=False,
                workers=[place],
                allow_other_workers=False,
            )
            self._futures.append(future)
        until = time.monotonic() + START
        with self._client.as_current():  # an actor finds its client when it is first looked at
            for rank, future in enumerate(self._futures):
                actor = self._wait(
                    future, rank, until, f"within the {START:g} s that it has to start"
                )
                self._asks.append(actor.gradient)

    def gradient(self, theta: onp.ndarray, epoch: int, rows: Rows, out: onp.ndarray) -> float:
        """Write the gradient of the mean loss of some rows to `out`; return that loss.

        Raises
        ------
        MemberError
            A worker has died, does not answer, or cannot compute.
        """
        asked = []
        for rank, (begin, end) in enumerate(shares(rows, len(self._asks))):
            if begin < end:
                weight = (end - begin) / number_of(rows)
                part = part_of(rows, begin, end)
                asked.append((rank, weight, self._asks[rank](theta, epoch, part, weight)))
        until = time.monotonic() + self.patience
        total = 0.0
        out[...] = 0
        for rank, weight, future in asked:
            limit = f"within the {self.patience:g} s (patience) that it has for a step"
            answer = self._wait(future, rank, until, limit)
            if isinstance(answer, Told):
                raise answer.failure(self._who(rank), rank)
            loss, slope = answer
            total += weight * loss
            out += slope
        return total

    def _wait(self, future: Any, rank: int, until: float, limit: str) -> Any:
        """Return a result, or say what has become of the worker that was to give it."""
        while True:
            try:
                return future.result(timeout=_LOOK)
            except (TimeoutError, asyncio.TimeoutError):  # one and the same from Python 3.11 on
                if not self._is_there(rank):
                    raise self._dead(rank) from None
                if time.monotonic() > until:
                    message = f"{self._who(rank)} has not answered {limit}; if it hangs, restart it"
                    raise MemberError(message, rank) from None
            except Exception as error:
                # Dask may know that a connection broke before it knows that a worker has died.
                if not self._is_there(rank) or isinstance(error, OSError):
                    raise self._dead(rank) from error
                raise Told.of(error).failure(self._who(rank), rank) from error

    def _is_there(self, rank: int) -> bool:
        try:
            return self._places[rank] in self._client.nthreads()
        except Exception as error:
            raise MemberError(
                f"the scheduler of {self._who(rank)} does not answer ({error})", rank
            ) from error

    def _dead(self, rank: int) -> MemberError:
        return MemberError(f"{self._who(rank)} has died, or has left the cluster", rank)

    def _who(self, rank: int) -> str:
        return f"member {rank} (worker {self._places[rank]})"

    def close(self) -> None:
        """Let go of the members; the cluster stays."""
        futures, self._futures, self._asks = self._futures, [], []
        if self._client.status == "running":
            with contextlib.suppress(Exception):
                self._client.cancel(futures, force=True)
        del futures
        if self._own:
            with contextlib.suppress(Exception):
                self._client.close(timeout=2)
