"""What a search has recorded: in memory, or in a file that a kill at any moment leaves whole.

The file has one line of JSON for each trial, below one that says which search it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nnbook._arguments import check_file
from nnbook.search.trials import Trial

__all__ = ["FileLog", "Log", "read"]

_SEARCH = "nnbook.search"
_START = f'{{"{_SEARCH}":'.encode()

if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        # What is locked cannot be read either, so lock a byte that is never there.
        os.lseek(file, 2**30, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Log:
    """The trials of one search, in memory.

    Attributes
    ----------
    trials : list of Trial
        In the order in which they were first recorded; of one that was paused the latest record.
    records : list of Trial
        Every record, in its order.
    memory : dict
        What a search that learns keeps while it runs; it is in no file.
    """

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.records: list[Trial] = []
        self.memory: dict[str, Any] = {}
        self._places: dict[tuple[int, int], int] = {}

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is to be released."""

    def add(self, trials: Iterable[Trial]) -> None:
        """Record trials: all of them or, killed in between, the first ones."""
        for one in trials:
            place = self._places.setdefault((one.trial, one.seed), len(self.trials))
            self.trials[place : place + 1] = [one]
            self.records.append(one)


class FileLog(Log):
    """A log in a file: a trial is on the disk when `add` returns.

    One process at a time holds the file, and the system releases it, however that process ends. A
    last line that was half written is cut off.

    Parameters
    ----------
    path : path
        The file; created if there is none.
    identity : dict
        What makes it the same search, in JSON's terms. Its ``trials`` may grow.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, NotADirectoryError
        The file's folder does not exist, or the path is no file's.
    ValueError
        The file holds something else or another search, or is damaged.
    RuntimeError
        Another process is writing to it.
    OSError
        The disk refuses (`add`, too). What was recorded before is still there.
    """

    def __init__(self, path: str | os.PathLike[str], identity: dict[str, Any]):
        super().__init__()
        self.path, self._size = check_file(path, "search"), 0
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(self.path, flags, 0o644)
        try:
            self._take()
            before, identity = self._read(), json.loads(json.dumps(identity))
            if before != identity:
                _check_same(self.path, before or identity, identity)
                self._write([{_SEARCH: identity}])
        except BaseException:
            os.close(self._file)
            raise

    def __exit__(self, *error: object) -> None:
        """Release the file."""
        os.close(self._file)

    def add(self, trials: Iterable[Trial]) -> None:
        """Record trials: all of them or, killed in between, the first ones."""
        trials = list(trials)
        self._write([vars(trial) for trial in trials])
        super().add(trials)

    def _take(self) -> None:
        try:
            _lock(self._file)
        except (BlockingIOError, PermissionError):
            raise RuntimeError(
                f"{self.path} is in use by another search; wait until it has ended, or give "
                "another path"
            ) from None

    def _read(self) -> dict[str, Any] | None:
        """Read what is there; return which search it is."""
        identity, trials, self._size = read(self.path)
        super().add(trials)
        if self.path.stat().st_size > self._size:
            os.ftruncate(self._file, self._size)
        return identity

    def _write(self, records: list[dict[str, Any]]) -> None:
        """Append lines in one go, and wait until they are on the disk."""
        lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise OSError(
                error.errno,
                f"cannot write {self.path}: {error.strerror}. What was recorded before is still "
                "there: make room and run the search again",
            ) from error
        self._size += len(lines)


def read(path: Path) -> tuple[dict[str, Any] | None, list[Trial], int]:
    """Read the file of a search, also while it is written to: its whole lines.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict or None, list of Trial, int
        Which search it is, every record, and how many bytes they take.

    Raises
    ------
    ValueError
        It is no such file, or is damaged.
    """
    content, identity = path.read_bytes(), None
    # What is no log must stay as it is.
    if not content.startswith(_START[: len(content)]):
        raise ValueError(f"{path} is not the file of a search; give another path")
    whole, trials = content[: content.rfind(b"\n") + 1], []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            record = json.loads(line)
            if _SEARCH in record:
                identity = record[_SEARCH]
            else:
                record["configuration"] = _with_tuples(record["configuration"])
                trials.append(Trial(**record))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError(
                f"{path} is damaged in line {number}. Delete that line and all after it "
                "to keep what was recorded before, or give another path"
            ) from None
    return identity, trials, len(whole)


def _with_tuples(value: Any) -> Any:
    """Return what JSON read with tuples, which it has as lists."""
    if isinstance(value, dict):
        return {name: _with_tuples(one) for name, one in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _check_same(path: Any, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Compare two searches; more trials are welcome."""
    wrong = []
    for name in {**before, **now}:
        was, is_now = before.get(name, "not there"), now.get(name, "not there")
        more = name == "trials" and "not there" not in (was, is_now) and was < is_now
        if was != is_now and not more:
            wrong.append(f"{name} was {was}, is {is_now}")
    if wrong:
        raise ValueError(
            f"{path} holds another search: {'; '.join(wrong)}. Give another path, or search as "
            "before (only more trials can be added)"
        )
