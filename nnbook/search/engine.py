"""The workers of a search: processes of this machine, or a cluster of Dask somewhere else.

Dask's scheduler executes what it is sent, so an open port is a shell: what nnbook starts listens on
the loopback interface alone, and an address elsewhere must be one with TLS.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from nnbook._arguments import check_whole
from nnbook._optional import require

__all__ = ["cluster", "connected"]

_START = "import sys; sys.path[:] = {path!r}; from nnbook.search import engine; "
_START += "engine.serve({workers!r}, {memory!r}, {silence!r})"
_GRACE = 5.0  # seconds that a cluster has to end by itself


@contextlib.contextmanager
def cluster(
    workers: int = 2, *, memory_limit: str | None = None, silence: str = "60s"
) -> Iterator[Any]:
    """Start workers on this machine; yield Dask's client for `Search.run`, and end them.

    For several searches, which then start at once, and for `nnbook.population.fit_population`,
    which takes the client as its workers, too. Scheduler and workers listen on 127.0.0.1 only; but
    whoever is logged in to this machine can reach them, so on one that is shared with people whom
    you do not trust set up a cluster with TLS.

    Parameters
    ----------
    workers : int
        How many processes, each with one thread.
    memory_limit : str, optional
        The most memory of each, such as ``"2GB"``; who needs more is ended. By default its share of
        the machine's.
    silence : str
        How long a worker may say nothing before its trial goes to another, such as ``"60s"``.

    Yields
    ------
    distributed.Client
        Connected to them.

    Raises
    ------
    ModuleNotFoundError
        Dask is not installed; the extra ``cluster`` brings it.
    TypeError, ValueError
        No whole number of workers of at least 1.
    RuntimeError
        They do not start.

    Examples
    --------
    >>> from nnbook import search
    >>> space = search.Space(x=search.linear(0, 1))
    >>> with search.cluster(workers=1) as client:
    ...     found = search.RandomSearch(space, 4).run(lambda c, seed: c["x"], workers=client)
    >>> len(found.complete)
    4
    """
    workers = check_whole(workers, "workers")
    distributed = require("distributed", extra="cluster")
    start = _START.format(
        path=sys.path, workers=workers, memory=memory_limit or "auto", silence=silence
    )
    with subprocess.Popen(
        [sys.executable, "-c", start],
        stdin=subprocess.PIPE,  # its end tells the cluster that this process is gone
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches this process alone, which ends the cluster
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError(
                    f"the workers did not start (code {process.wait()}); what they wrote is above"
                )
            with distributed.Client(address, set_as_default=False) as client:
                yield client
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(_GRACE + 2)
            except subprocess.TimeoutExpired:
                process.kill()  # the workers see that, and end


def serve(workers: int, memory: str, silence: str) -> None:
    """Run a cluster until the standard input ends: what the process behind `cluster` does.

    It has a process of its own so that a script needs no ``if __name__ == "__main__"``, and so that
    the search does not share its interpreter with the scheduler.
    """
    import logging
    import tempfile

    import dask
    from distributed import LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    settings = {
        "distributed.scheduler.worker-ttl": silence,
        "distributed.scheduler.worker-saturation": 1.0,  # a trial waits for any worker, not for one
        "distributed.logging.distributed": "critical",
    }
    with dask.config.set(settings), tempfile.TemporaryDirectory(prefix="nnbook-") as folder:
        with LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=memory,
            local_directory=folder,
            silence_logs=logging.CRITICAL,
        ) as started:
            print(started.scheduler_address, flush=True)
            threading.Thread(target=_revive, args=[started], daemon=True).start()
            while sys.stdin.read(1024):
                pass
            threading.Timer(_GRACE, os._exit, [1]).start()  # a worker that hangs ends with us
        sys.stdin.close()
    os._exit(0)


def _revive(started: Any) -> None:
    """Replace what does not come back: Dask gives up a worker that dies while it starts."""
    many, missing = len(started.workers), dict[Any, int]()
    while True:
        time.sleep(1.0)
        for name, nanny in list(started.workers.items()):
            missing[name] = 0 if nanny.is_alive() else missing.get(name, 0) + 1
            if missing[name] >= 3:  # seconds; a worker that starts again is alive at once
                missing[name] = 0
                started.workers.pop(name, None)
                with contextlib.suppress(Exception):
                    started.sync(nanny.close)
        started.scale(many)


@contextlib.contextmanager
def connected(workers: Any) -> Iterator[Any]:
    """Yield the client that `Search.run` was given, or one for what it was given.

    Parameters
    ----------
    workers : int, str or distributed.Client
        A number of processes, an address, or a client.

    Raises
    ------
    TypeError, ValueError
        Nothing of the kind; an address at which anybody could send programs.
    """
    if hasattr(workers, "submit") and hasattr(workers, "scheduler"):
        yield workers
    elif isinstance(workers, str):
        check_address(workers)
        distributed = require("distributed", extra="cluster")
        with distributed.Client(workers, set_as_default=False) as client:
            yield client
    elif isinstance(workers, bool) or not hasattr(workers, "__index__"):
        raise TypeError(
            f"workers is {workers!r}; expected a whole number, an address such as "
            "'tls://host:8786', or the client of a Dask cluster"
        )
    else:
        with cluster(workers) as client:
            yield client


def check_address(address: str) -> None:
    """Refuse an address at which programs would travel, and be taken, without encryption.

    Raises
    ------
    ValueError
        No address, or one off the loopback interface without TLS.
    """
    parts = urlsplit(address)
    if not parts.hostname or parts.scheme not in ("tcp", "tls"):
        raise ValueError(f"workers is {address!r}; expected an address such as 'tls://host:8786'")
    if parts.scheme == "tcp" and not _is_loopback(parts.hostname):
        raise ValueError(
            f"workers is {address!r}: whoever reaches that port can run programs there, and "
            "whoever listens reads all. Start scheduler and workers with TLS (dask scheduler "
            "--protocol tls --tls-ca-file … --tls-cert … --tls-key …), name the same files in "
            f"Dask's configuration, and give 'tls://{parts.netloc}'. On a private network of "
            "yours, give a client: workers=distributed.Client(…)"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
