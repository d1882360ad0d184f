"""Who trains the parts of a population: this thread, several, processes, or a cluster."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import get_ident
from typing import Any

from nnbook._arguments import check_choice, check_whole
from nnbook._arrays import to_numpy
from nnbook.gluon.examples import Examples, home
from nnbook.gluon.parameters import named_parameters
from nnbook.gluon.runtime import cores, use_numpy_mode
from nnbook.population.members import Member
from nnbook.population.parcels import NotPortable, Parcel, packed, run_parcel, unpacked
from nnbook.population.processes import WorkerError, in_processes, warm
from nnbook.training import History, Progress

__all__ = ["Workers", "as_workers", "share_out"]

Part = list[Member]
TrainPart = Callable[[Part, Any, Any, Any], list[History]]

_SMALL_BATCH = 50  # below it threads wait for the interpreter's lock
_START = 2.5  # seconds that processes cost to start
_SEND = 0.2  # and to be given networks and data


@dataclass(frozen=True)
class Workers:
    """How many workers share the members of a population, and of which kind.

    Parameters
    ----------
    count : int, optional
        By default one for each core, and one where ``OMP_NUM_THREADS`` is your choice.
    kind : {"threads", "processes"}, optional
        By default what is faster. Threads share memory and start at once, but take turns between
        the steps' products; processes do not, cost some two seconds to start and a copy of the
        data each, and are kept for the next call (`end_processes` ends them).

    Raises
    ------
    TypeError, ValueError
        No whole number of at least 1; another kind.

    Examples
    --------
    >>> from nnbook.population import Workers
    >>> Workers(2, kind="processes")
    Workers(count=2, kind='processes')
    """

    count: int | None = None
    kind: str | None = None

    def __post_init__(self) -> None:
        if self.count is not None:
            object.__setattr__(self, "count", check_whole(self.count, "count"))
        if self.kind is not None:
            check_choice(self.kind, "kind", ("threads", "processes"))


def as_workers(workers: Any) -> Any:
    """Return what `fit_population` was given as Workers, or a cluster's client as it is.

    Raises
    ------
    TypeError, ValueError
        Nothing of the kind.
    """
    if isinstance(workers, Workers) or (hasattr(workers, "submit") and hasattr(workers, "scatter")):
        return workers
    if workers is not None and (isinstance(workers, bool) or not hasattr(workers, "__index__")):
        raise TypeError(
            f"workers is {workers!r}; expected a whole number, nnbook.population.Workers, or the "
            "client of a Dask cluster"
        )
    return Workers(None if workers is None else check_whole(workers, "workers"))


def share_out(
    train_part: TrainPart,
    parts: Sequence[Part],
    data: tuple[Any, Any],
    device: Any,
    workers: Any,
    progress: bool,
) -> list[list[History]]:
    """Train the parts of a population by workers; what comes of a part does not depend on them.

    Parameters
    ----------
    train_part : callable
        ``train_part(part, train, validation, device)`` returns a history for each member.
    parts : sequence of list of Member
        What is trained together.
    data : tuple
        ``(train, validation)``, as for `fit`.
    device : mxnet.Context or None
        Where to train.
    workers : Workers or client
        From `as_workers`.
    progress : bool
        Show a bar of members where somebody is there to look.
    """
    with _bar(sum(map(len, parts)), progress) as advance:

        def done(number: int) -> None:
            advance(len(parts[number]))

        parcels, reason = _choose(train_part, parts, data, device, workers)
        if parcels:
            return _sent_away(parcels, parts, data, workers, done)

        def one(number: int) -> list[History]:
            use_numpy_mode()
            return train_part(parts[number], *data, device)

        count = min(_count(workers), len(parts))
        if _by_default(workers) and parts[0][0].plan.batch_size < _SMALL_BATCH:
            count = 1  # two would gain a third on a quiet machine, and lose on a busy one
        found = _in_threads(one, len(parts), count, done)
    for history in (history for histories in found for history in histories):
        if reason:
            history.reason = "; ".join(filter(None, (history.reason, f"in threads: {reason}")))
    return found


def _by_default(workers: Any) -> bool:
    """Tell whether the caller has left everything to us."""
    return isinstance(workers, Workers) and workers.count is None and workers.kind is None


def _count(workers: Any) -> int:
    count = workers.count if isinstance(workers, Workers) else None
    return cores() if count is None else count


def _choose(
    train_part: TrainPart, parts: Sequence[Part], data: tuple[Any, Any], device: Any, workers: Any
) -> tuple[list[Parcel], str]:
    """Return parcels for other processes, or none and, where they were wanted, the reason.

    Code of the caller's may read or change what is in this process; it leaves it only if asked to.
    """
    asked = not isinstance(workers, Workers) or workers.kind == "processes"
    if not asked and (workers.kind == "threads" or not _pays(parts, data, workers)):
        return [], ""
    try:
        _check_portable(parts, device)
        parcels = [packed(part, train_part, data[1] is not None) for part in parts]
    except NotPortable as error:
        return [], str(error)
    foreign = sorted({name for parcel in parcels for name in parcel.foreign})
    if foreign and not asked:
        return [], f"processes are left to you where code of {', '.join(foreign)} is used"
    return parcels, ""


def _check_portable(parts: Sequence[Part], device: Any) -> None:
    members = [member for part in parts for member in part]
    for where in (device, home(members[0].net)[0]):
        if where is not None and where.device_type != "cpu":
            raise NotPortable(f"processes would share {where}")
    callbacks = [id(callback) for member in members for callback in member.callbacks]
    if len(set(callbacks)) < len(callbacks):
        raise NotPortable("a callback is shared by several members")


def _pays(parts: Sequence[Part], data: tuple[Any, Any], workers: Workers) -> bool:
    """Tell whether processes would save more time than they cost."""
    members, plan = [m for part in parts for m in part], parts[0][0].plan
    count = min(_count(workers), len(parts))
    if count < 2 or plan.batch_size >= _SMALL_BATCH:
        return False
    steps = plan.epochs * -(-len(data[0][0]) // plan.batch_size)
    seconds = steps * (len(parts) * 1e-4 + sum(_step_of(member) for member in members))
    # Measured on two cores: threads gain 1.3, which is not counted on, and processes 1.8.
    alone = 1.0 if _by_default(workers) else 1 / (1 + 0.3 * (count - 1))
    saved = seconds * (alone - 1 / (1 + 0.8 * (count - 1)))
    return saved > (_SEND if warm(count) else _START)


def _step_of(member: Member) -> float:
    """Estimate the seconds of a member's step: update, and products."""
    arrays = [p for p in named_parameters(member.net).values() if p._data is not None]
    numbers = sum(int(parameter.data().size) for parameter in arrays)
    return numbers * (1e-9 + 6e-11 * member.plan.batch_size)


def _sent_away(
    parcels: list[Parcel],
    parts: Sequence[Part],
    data: tuple[Any, Any],
    workers: Any,
    done: Callable[[int], None],
) -> list[list[History]]:
    """Have parcels run elsewhere; put what comes back into networks and callbacks, at the end."""
    member = parts[0][0]
    for examples, name in zip(data, ("train", "validation"), strict=True):
        if examples is not None:  # what is wrong with them is said here, before any work
            Examples(member.net, examples, member.plan.loss, name=name)
    arrays = [array for pair in data if pair is not None for array in pair]
    if isinstance(workers, Workers):
        results = in_processes(parcels, arrays, _count(workers), done)
    else:
        results = _on_cluster(parcels, arrays, workers, done)
    return [unpacked(content, part) for content, part in zip(results, parts, strict=True)]


def _on_cluster(
    parcels: Sequence[Parcel], arrays: Sequence[Any], client: Any, done: Callable[[int], None]
) -> list[bytes]:
    names = [str(k) for k in range(len(arrays))]
    data = client.scatter([to_numpy(array) for array in arrays], broadcast=True)
    futures = [
        client.submit(_run_on_cluster, parcel.with_data(names).content, *data, pure=False)
        for parcel in parcels
    ]
    found = []
    try:
        for number, (future, parcel) in enumerate(zip(futures, parcels, strict=True)):
            try:
                found.append(future.result())
            except Exception as error:
                if type(error).__name__ != "KilledWorker":
                    raise
                message = f"the cluster lost the members {parcel.members}: {error}"
                raise WorkerError(message, parcel.members) from error
            done(number)
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return found


def _run_on_cluster(content: bytes, *arrays: Any) -> bytes:
    return run_parcel(content, {str(k): array for k, array in enumerate(arrays)})


# --------------------------------------------------------------------------------------- threads


def _in_threads(
    function: Callable[[int], Any], number: int, count: int, done: Callable[[int], None]
) -> list[Any]:
    """Call a function with 0, 1, … in threads; an exception in one ends the others."""
    if count <= 1:
        found = []
        for k in range(number):
            found.append(function(k))
            done(k)
        return found
    idents: set[int] = set()  # of those at work

    def noted(k: int) -> Any:
        idents.add(get_ident())
        try:
            return function(k)
        finally:
            idents.discard(get_ident())

    with ThreadPoolExecutor(count, "nnbook") as pool:
        futures = [pool.submit(noted, k) for k in range(number)]
        for k, future in enumerate(futures):
            future.add_done_callback(lambda _, k=k: done(k))  # type: ignore[misc]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done() and not future.cancelled():
                    future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for ident in list(idents):
                _interrupt(ident)
            raise
    return [future.result() for future in futures]


def _interrupt(ident: int) -> None:
    """Raise KeyboardInterrupt in a thread, between two of its instructions."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(ident), ctypes.py_object(KeyboardInterrupt)
    )


@contextlib.contextmanager
def _bar(total: int, progress: bool) -> Iterator[Callable[[int], Any]]:
    if not (progress and total > 1 and Progress.wanted()):
        yield lambda count: None
        return
    with Progress.bar(total, "member") as bar:
        yield bar.update
