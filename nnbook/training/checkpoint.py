"""Checkpoints: atomic, hashed, resumed bit for bit, the previous one kept."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as onp

from nnbook._arguments import check_file, check_flag, check_whole
from nnbook.training.callbacks import Callback
from nnbook.training.identity import IdentityError, differences, identity_of

if TYPE_CHECKING:
    from nnbook.training.run import Run

__all__ = ["Checkpoint", "CheckpointError", "CheckpointWarning", "load_tree", "save_tree"]

_MAGIC = b"nnbook checkpoint 1\n"
_ARRAY, _TUPLE = "$array", "$tuple"  # keys that stand for what JSON has not
_MAY = (
    "a checkpoint holds dicts with strings as keys, lists, tuples, numbers, strings, None and "
    "NumPy arrays"
)


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written, read, or does not belong to this run."""


class CheckpointWarning(UserWarning):
    """A damaged checkpoint was passed over for the previous one."""


class Checkpoint(Callback):
    """Save a run after an epoch, and go on from there when `fit` is called again.

    A run killed at any moment resumes from its last whole epoch and ends with the same θ, bit for
    bit, as one that was never stopped: the order of the examples and the dropout masks depend only
    on the seed and the epoch.

    Parameters
    ----------
    path : str or Path
        The file. The checkpoint before it is kept beside it with the suffix ``.previous``.
    every : int
        Epochs between checkpoints; the last epoch is always saved.
    resume : bool
        Whether a file that exists is resumed. ``False`` starts over.

    Raises
    ------
    TypeError, ValueError
        `every` is no whole number of at least 1. When `fit` starts: a callback's state, or an
        optimizer's, holds what would not be the same when it is loaded.
    CheckpointError
        When `fit` starts: the path is a folder, or in none; the file belongs to another run (other
        data, seed, rule, network…), or neither it nor the previous one can be read. When it saves:
        the disk refuses. What was saved before is untouched.

    Warns
    -----
    CheckpointWarning
        The file is damaged and the previous one is used; the damaged one is kept with the suffix
        ``.damaged``.
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 1, resume: bool = True):
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"path is {path!r}; expected a path")
        self.path = Path(path).expanduser()
        self.every = check_whole(every, "every")
        self.resume = check_flag(resume, "resume")

    order = 100  # it saves what the callbacks before it have in memory

    def on_fit_start(self, run: Run) -> None:
        """Resume, if there is something to resume."""
        try:
            check_file(self.path, "checkpoint")
        except OSError as error:
            raise CheckpointError(str(error)) from error
        if not os.access(self.path.parent, os.W_OK):
            raise CheckpointError(
                f"the folder {str(self.path.parent)!r} of the checkpoint cannot be written to; "
                "change its permissions, or give another path"
            )
        _check_savable(run)
        try:
            mine = identity_of(run)
        except IdentityError as error:
            raise CheckpointError(str(error)) from error
        saved = self._read() if self.resume else None
        if saved is None:
            return
        what = differences(mine, saved["identity"])
        if what:
            raise CheckpointError(
                f"{self.path} was saved by another run ({what}). "
                "Give another path, or resume=False to start over"
            )
        run.load_state(saved["run"])

    def _read(self) -> dict[str, Any] | None:
        previous = previous_of(self.path)
        found = [path for path in (self.path, previous) if path.exists()]
        problems = []
        for path in found:
            try:
                saved = load_tree(path)
            except CheckpointError as error:
                problems.append(str(error))
                continue
            if problems:
                warnings.warn(
                    f"{problems[0]}; resuming from {path}", CheckpointWarning, stacklevel=2
                )
                # Left in place, it would be moved over the good one at the next save.
                os.replace(self.path, self.path.with_name(self.path.name + ".damaged"))
            return saved
        if problems:
            raise CheckpointError(
                "; ".join(problems) + ". Delete the file to start over, or give another path"
            )
        return None

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        """Save, if it is time."""
        if run.epoch % self.every == 0 or run.epoch == run.epochs or run.history.stopped:
            save_tree(self.path, {"identity": identity_of(run), "run": run.state()})


def _check_savable(run: Run) -> None:
    """Raise before any work what saving would raise."""
    try:
        state = run.state()
    except Exception:  # a callback may have nothing to save before its first epoch
        return
    _without_arrays(state, {})


def previous_of(path: Path) -> Path:
    """Return where the checkpoint before `path` is kept."""
    return path.with_name(path.name + ".previous")


def save_tree(path: str | os.PathLike[str], tree: dict[str, Any]) -> None:
    """Write dicts, lists, numbers, strings and NumPy arrays to one file, atomically.

    The file carries its size and SHA-256; what was at `path` moves to `path` + ``.previous``.

    Parameters
    ----------
    path : path
        Where.
    tree : dict
        What; keys are strings. NumPy's numbers are loaded as Python's.

    Raises
    ------
    TypeError, ValueError
        The tree holds what would not be the same when it is loaded: a set, a key that is no string,
        an array of objects…
    CheckpointError
        The path is a folder, or in none; the disk refuses. What was there before is untouched.
    """
    try:
        path = check_file(path, "checkpoint")
    except OSError as error:
        raise CheckpointError(str(error)) from error
    arrays: dict[str, onp.ndarray] = {}
    text = json.dumps(_without_arrays(tree, arrays)).encode()
    buffer = io.BytesIO()
    onp.savez(buffer, tree=onp.frombuffer(text, dtype=onp.uint8), **arrays)  # type: ignore[arg-type]
    payload = buffer.getvalue()
    header = f"{hashlib.sha256(payload).hexdigest()} {len(payload)}\n".encode()
    temporary = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(temporary, "wb") as file:
            file.write(_MAGIC + header + payload)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            os.replace(path, previous_of(path))
        os.replace(temporary, path)
    except BaseException as error:  # an interrupt too must not leave half a file
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise CheckpointError(
            f"cannot write {path}: {error}. What was saved before is still there"
        ) from error


def load_tree(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `save_tree` wrote, after checking its size and hash.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    dict
        The tree. Nothing in a file can run code: there is no pickle in it.

    Raises
    ------
    CheckpointError
        The file is missing, no checkpoint, truncated or damaged.
    """
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error}") from error
    if not content.startswith(_MAGIC):
        raise CheckpointError(f"{path} is not an nnbook checkpoint")
    header, _, payload = content[len(_MAGIC) :].partition(b"\n")
    try:
        digest, size = header.decode().split()
        expected = int(size)
    except ValueError:
        raise CheckpointError(f"{path} is damaged: its header cannot be read") from None
    if len(payload) != expected:
        raise CheckpointError(f"{path} is truncated: {len(payload)} bytes of {expected}")
    if hashlib.sha256(payload).hexdigest() != digest:
        raise CheckpointError(f"{path} is damaged: its content does not match its SHA-256")
    with onp.load(io.BytesIO(payload), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "tree"}
        tree = json.loads(stored["tree"].tobytes())
    return _with_arrays(tree, arrays)


def _without_arrays(tree: Any, arrays: dict[str, onp.ndarray], place: str = "") -> Any:
    """Replace every array by a reference, so that the rest is JSON; refuse what would change."""
    if type(tree) is onp.ndarray and not tree.dtype.hasobject:
        name = f"array{len(arrays)}"
        arrays[name] = tree
        return {_ARRAY: name}
    if isinstance(tree, onp.generic):
        tree = tree.item()
    if isinstance(tree, dict):
        for key in tree:
            if not isinstance(key, str):
                raise TypeError(f"{place or 'the tree'} has the key {key!r}; {_MAY}")
        if len(tree) == 1 and next(iter(tree)) in (_ARRAY, _TUPLE):
            raise ValueError(f"{place or 'the tree'} has only the key {next(iter(tree))!r}; {_MAY}")
        return {key: _without_arrays(v, arrays, f"{place}[{key!r}]") for key, v in tree.items()}
    if type(tree) in (list, tuple):
        items = [_without_arrays(v, arrays, f"{place}[{k}]") for k, v in enumerate(tree)]
        return {_TUPLE: items} if isinstance(tree, tuple) else items
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    raise TypeError(f"{place or 'the tree'} is {tree!r}, a {type(tree).__name__}; {_MAY}")


def _with_arrays(tree: Any, arrays: dict[str, onp.ndarray]) -> Any:
    if isinstance(tree, dict):
        if tree.keys() == {_ARRAY}:
            return arrays[tree[_ARRAY]]
        if tree.keys() == {_TUPLE}:
            return tuple(_with_arrays(tree[_TUPLE], arrays))
        return {key: _with_arrays(value, arrays) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_with_arrays(value, arrays) for value in tree]
    return tree
