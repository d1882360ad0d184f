"""What a search has recorded: in memory, or in a file that a kill at any moment leaves whole.

The file has one line of JSON for each trial, below one that says which search it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable
from typing import Any

from nnbook._arguments import check_file
from nnbook.search.trials import Trial

__all__ = ["Log"]

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
    """The trials of one search. With a path each is on the disk when `add` returns.

    One process at a time holds the file; the system releases it, however that process ends. A last
    line that was half written is cut off.

    Parameters
    ----------
    path : path, optional
        The file; created if there is none. Without one the log is kept in memory.
    identity : dict
        What makes it the same search, in JSON's terms. Its ``trials`` may grow.

    Attributes
    ----------
    trials : list of Trial
        In the order in which they were recorded.
    asked : dict of int to dict
        The configuration of each number: of the trials, and of those being evaluated.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, NotADirectoryError
        The file's folder does not exist, or the path is no file's.
    ValueError
        The file holds something else or another search, or is damaged.
    RuntimeError
        Another process is writing to it.
    """

    def __init__(self, path: str | os.PathLike[str] | None, identity: dict[str, Any]):
        self.trials: list[Trial] = []
        self.asked: dict[int, dict[str, Any]] = {}
        self._file: int | None = None
        if path is None:
            return
        self.path = check_file(path, "search")
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(self.path, flags, 0o644)
        try:
            self._take()
            before, identity = self._read(), json.loads(json.dumps(identity))
            if wrong := [] if before is None else _differences(before, identity):
                raise ValueError(
                    f"{self.path} holds another search: {'; '.join(wrong)}. Give another path, or "
                    "search as before"
                )
            if before != identity:
                self._write([{_SEARCH: identity}])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def add(self, trials: Iterable[Trial]) -> None:
        """Record trials: all of them or, killed in between, the first ones.

        Raises
        ------
        OSError
            The disk refuses. What was recorded before is still there.
        """
        trials = list(trials)
        if self._file is not None and trials:
            self._write([vars(trial) for trial in trials])
        self.trials += trials

    def _take(self) -> None:
        assert self._file is not None
        try:
            _lock(self._file)
        except (BlockingIOError, PermissionError):
            raise RuntimeError(
                f"{self.path} is in use by another search; wait until it has ended, or give "
                "another path"
            ) from None

    def _read(self) -> dict[str, Any] | None:
        """Read what is there; return which search it is."""
        assert self._file is not None
        content, identity = self.path.read_bytes(), None
        # What is no log must stay as it is.
        if not content.startswith(_START[: len(content)]):
            raise ValueError(f"{self.path} is not the file of a search; give another path")
        whole, newline, half = content.rpartition(b"\n")
        for number, line in enumerate(whole.split(b"\n") if newline else [], start=1):
            try:
                record = json.loads(line)
                if _SEARCH in record:
                    identity = record[_SEARCH]
                else:
                    self.trials.append(Trial(**{**record, "configuration": _as_asked(record)}))
            except (KeyError, TypeError, ValueError):
                raise ValueError(
                    f"{self.path} is damaged in line {number}. Delete that line and all after it "
                    "to keep what was recorded before, or give another path"
                ) from None
        self.asked = {trial.trial: trial.configuration for trial in self.trials}
        self._size = len(whole) + len(newline)
        if half:
            os.ftruncate(self._file, self._size)
        return identity

    def _write(self, records: list[dict[str, Any]]) -> None:
        """Append lines in one go, and wait until they are on the disk."""
        assert self._file is not None
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


def _as_asked(record: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration with tuples, which JSON has as lists."""

    def restored(value: Any) -> Any:
        return tuple(map(restored, value)) if isinstance(value, list) else value

    return {name: restored(value) for name, value in record["configuration"].items()}


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Say in what two searches differ; more trials are welcome."""
    found = []
    for name in {**before, **now}:
        old, new = before.get(name, "not there"), now.get(name, "not there")
        if isinstance(old, dict) and isinstance(new, dict):
            inner = _differences(old, new)
            if not inner and list(old) != list(new):
                inner = [f"the dimensions were {list(old)}, are {list(new)}"]
            found += inner
        elif name == "trials" and isinstance(old, int) and isinstance(new, int):
            if new < old:
                found.append(f"trials was {old}, is {new}, and only more can be added")
        elif old != new:
            found.append(f"{name} was {old}, is {new}")
    return found
