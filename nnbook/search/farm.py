"""The loop of a search on workers: the master asks and tells, the workers evaluate.

Workers hold nothing but checkpoints. One that dies takes its trial to another, which goes on from
the last checkpoint; a trial that kills them one after the other is given up, and so is one that
takes too long. Only imported when somebody asks for it, since it imports Dask.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import time
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nnbook._optional import require
from nnbook.search.agenda import Agenda
from nnbook.search.engine import connected
from nnbook.search.jobs import checkpoints, folder_of, wants_stop
from nnbook.search.trials import Trial

distributed = require("distributed", extra="cluster")
import cloudpickle  # noqa: E402

from nnbook.search.worker import Evaluator, work  # noqa: E402

__all__ = ["run_on"]

_TICK = 0.5  # seconds between two looks at clocks and at wishes to stop
_GRACE = 10.0  # seconds in which a trial may stop by itself before its worker is ended
_LONELY = 30.0  # seconds without a worker after which somebody should know


def run_on(
    workers: Any,
    agenda: Agenda,
    many: Any,
    catch: tuple[type[Exception], ...],
    batch: int,
    folder: Path,
    time_limit: float | None,
    shown: Callable[[], None],
) -> None:
    """Evaluate all that an agenda has.

    Parameters
    ----------
    workers : int, str or distributed.Client
        See `nnbook.search.engine.connected`.
    agenda : Agenda
        What is to be evaluated, and where results go.
    many, catch, folder
        See `nnbook.search.evaluation.evaluate`.
    batch : int
        At most how many trials a worker gets at once.
    time_limit : float, optional
        Seconds that a trial may take.
    shown : callable
        Called when trials have ended.

    Raises
    ------
    RuntimeError
        The cluster is gone.
    Exception
        What an evaluation raised.
    """
    with connected(workers) as client, _Farm(client, agenda, folder, time_limit) as farm:
        farm.teach(many, catch, agenda.search.space, folder)
        farm.run(batch, shown)


@dataclass
class _Parcel:
    """Some trials that are with a worker."""

    trials: list[Trial]
    future: Any = None
    began: float = 0.0  # when it was last begun, 0 before
    starts: int = 0  # how often it was begun
    deaths: int = 0  # how many workers died that had it
    saved: int = 0  # how far its checkpoints were when the last of them died
    worker: str = ""  # where
    pid: int = 0  # the worker's process there
    asked: float = 0.0  # when somebody wanted it to stop


@dataclass
class _Farm:
    client: Any
    agenda: Agenda
    folder: Path
    time_limit: float | None
    name: str = field(default_factory=lambda: f"nnbook-{uuid.uuid4().hex}")

    def __enter__(self) -> _Farm:
        self.out: dict[str, _Parcel] = {}
        self._news: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._workers, self._looked, self._alone = 0, 0.0, 0.0
        # What workers say comes by way of the scheduler: a result is not lost with its worker.
        self.client.subscribe_topic(self.name, lambda event: self._news.put(event[1]))
        return self

    def __exit__(self, *error: Any) -> None:
        """Take back what is still out; a cluster that is gone has forgotten it."""
        with contextlib.suppress(Exception):
            self.client.unsubscribe_topic(self.name)
        if self.client.status == "running":
            with contextlib.suppress(Exception):
                self.client.cancel([one.future for one in self.out.values()], force=True)
                self.client.unregister_worker_plugin(self.name)

    def teach(self, many: Any, catch: Any, space: Any, folder: Path) -> None:
        """Give all workers, also those to come, what they evaluate."""
        self.client.register_plugin(Evaluator.of(many, catch, space, folder), name=self.name)

    def run(self, batch: int, shown: Callable[[], None]) -> None:
        """Ask, have evaluated, record, until there is nothing left."""
        while True:
            self._look()
            self._hand_out(batch)
            if not self.out and self._workers:
                return
            with contextlib.suppress(queue.Empty):
                self._hear(self._news.get(timeout=_TICK))
                shown()

    def _hand_out(self, batch: int) -> None:
        """Hand out trials: to each worker one, and one more that waits."""
        while len(self.out) <= self._workers and self._workers:
            size = batch
            if batch > 1:  # share out what is left
                left = self.agenda.total - len(self.agenda.ended) - len(self.agenda.out)
                size = min(batch, max(1, -(-left // (self._workers - len(self.out) + 1))))
            trials = self.agenda.take(size)
            if not trials:
                return
            self._submit(_Parcel(trials))

    def _submit(self, parcel: _Parcel) -> None:
        key = f"{self.name}-{uuid.uuid4().hex}"
        self.out[key] = parcel
        parcel.future = self.client.submit(work, self.name, key, parcel.trials, key=key, pure=False)
        parcel.future.add_done_callback(
            lambda future: self._news.put({"key": key, "future": future})
        )

    def _hear(self, news: dict[str, Any]) -> None:
        """Take note of what a worker, or Dask, has said; of what is not out any more nothing."""
        parcel = self.out.get(news["key"])
        if parcel is None:
            return
        if "begun" in news:  # Dask adds the worker to it
            parcel.worker, parcel.pid = news["worker"], news["pid"]
            parcel.began = time.monotonic()
            parcel.starts += 1
        elif "ended" in news:
            self._take_back(news["key"], *cloudpickle.loads(news["ended"]))
        elif news["future"].status == "error":
            self._lost(news["key"], news["future"].exception())
        elif news["future"].status in ("cancelled", "lost"):
            raise self._gone()

    def _take_back(self, key: str, ended: list[Trial], error: Exception | None = None) -> None:
        """Record what came out, and let go of it: what is held may be computed again."""
        self.out.pop(key).future.release()
        self.agenda.add(ended)
        if error is not None:
            raise error

    def _lost(self, key: str, error: Any) -> None:
        """Give a trial up that has killed workers, or hand it out again if it was another."""
        if not isinstance(error, distributed.KilledWorker):
            raise error
        parcel = self.out[key]
        parcel.deaths += error.allowed_failures + 1
        saved = [
            epoch
            for one in parcel.trials
            for epoch, *_ in checkpoints(folder_of(self.folder, one.trial, one.seed))
        ]
        if parcel.starts < 2 or max(saved, default=0) > parcel.saved:
            # It has waited behind the culprit and shared its fate, or it does get on.
            parcel.saved = max(saved, default=0)
            del self.out[key]
            self._submit(parcel)
        else:
            self._take_back(key, self._failed(parcel, f"it killed {parcel.deaths} workers"))

    def _failed(self, parcel: _Parcel, reason: str, state: str = "failed") -> list[Trial]:
        alone = len(parcel.trials) == 1
        reason += "" if alone else f" (together with {len(parcel.trials) - 1} others)"
        return [replace(one, state=state, error=reason) for one in parcel.trials]

    def _gone(self) -> RuntimeError:
        done = f"{len(self.agenda.ended)} of {self.agenda.total} results"
        return RuntimeError(
            f"the cluster is gone: its scheduler does not answer. {done} are recorded, and nothing "
            "is lost that has a path: start the cluster and run the search again"
        )

    # ------------------------------------------------------------------ clocks, wishes, workers

    def _look(self) -> None:
        """Now and then: count the workers, end what takes too long or is not wanted any more."""
        now = time.monotonic()
        if now < self._looked + _TICK:
            return
        self._looked = now
        self._count(now)
        for key, parcel in list(self.out.items()):
            if not parcel.began:
                continue
            if not parcel.asked and any(wants_stop(self.folder, one) for one in parcel.trials):
                parcel.asked = now
            limit = None if self.time_limit is None else self.time_limit * len(parcel.trials)
            if limit is not None and now > parcel.began + limit:
                self._end(key, f"it took longer than the time limit of {limit:g} s", "failed")
            elif parcel.asked and now > parcel.asked + _GRACE:
                self._end(key, "stopped by hand", "stopped")

    def _end(self, key: str, reason: str, state: str) -> None:
        """End the worker that evaluates a trial; Python cannot end a thread."""
        parcel = self.out.pop(key)
        parcel.future.cancel()
        try:
            self.client.restart_workers([parcel.worker], timeout=30, raise_for_error=False)
        except (TimeoutError, KeyError):
            # Dask does not see the worker any more, and would never end one that is stopped. Of a
            # process of this machine that is gone, its nanny starts another.
            if "//127.0.0.1:" in parcel.worker:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(parcel.pid, signal.SIGKILL)
        self.agenda.add(self._failed(parcel, reason, state))

    def _count(self, now: float) -> None:
        if self.client.status not in ("running", "connecting"):
            raise self._gone()
        try:
            self._workers = sum(self.client.nthreads().values())
        except (OSError, TimeoutError, ValueError) as error:
            raise self._gone() from error
        if self._workers:
            self._alone = 0.0
        elif not self._alone:
            self._alone = now
        elif now > self._alone + _LONELY:
            self._alone = float("inf")
            warnings.warn("the cluster has no worker; the search waits", RuntimeWarning, 2)
