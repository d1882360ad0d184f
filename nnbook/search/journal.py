"""The file of a search: Optuna's journal, written so that a kill at any moment loses nothing.

Only imported when a search starts, since it imports Optuna.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from nnbook._arguments import check_file

__all__ = ["Journal"]

_START = b'{"op_code"'  # how every line of Optuna's journal begins


class Journal(BaseJournalBackend):
    """A journal in one file that one process at a time writes to.

    Optuna's own file backend writes and synchronises every number by itself, leaves a lock behind
    when it is killed, and goes on writing after half a line. Here what belongs together is written
    in one go, the system releases the lock, and half a line is cut off.

    Parameters
    ----------
    path : path
        The file; created if there is none.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, NotADirectoryError
        Its folder does not exist, or the path is no file's.
    ValueError
        It holds something else, or is damaged.
    RuntimeError
        Another process is writing to it.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = check_file(path, "search")
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RuntimeError(
                    f"{self.path} is in use by another search; wait until it has ended, or give "
                    "another path"
                ) from None
            self._read()
        except BaseException:
            os.close(self._file)
            raise
        self._unwritten = b""

    def _read(self) -> None:
        whole, newline, half = self.path.read_bytes().rpartition(b"\n")
        # What is no journal must stay as it is.
        if not (whole or half).startswith(_START[: len(whole or half)]):
            raise ValueError(f"{self.path} is not the file of a search; give another path")
        self._logs: list[dict[str, Any]] = []
        for number, line in enumerate(whole.split(b"\n") if newline else [], start=1):
            try:
                self._logs.append(json.loads(line))
            except ValueError:
                raise ValueError(
                    f"{self.path} is damaged in line {number}. Delete that line and all after it "
                    "to keep what was recorded before, or give another path"
                ) from None
        self._size = len(whole) + len(newline)
        if half:
            os.ftruncate(self._file, self._size)

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Return the records from a number on."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Take records, to be written by the next `flush`."""
        for log in logs:
            line = json.dumps(log, separators=(",", ":"))
            self._logs.append(json.loads(line))
            self._unwritten += line.encode() + b"\n"

    def flush(self) -> None:
        """Write what has come since the last time, and wait until it is on the disk.

        Raises
        ------
        OSError
            The disk refuses. What was recorded before is still there.
        """
        rest = memoryview(self._unwritten)
        try:
            os.ftruncate(self._file, self._size)  # should an interrupt have left a part
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
        self._size += len(self._unwritten)
        self._unwritten = b""

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)
