"""What the evaluation of one trial may keep: a checkpoint after each epoch, and who may write it.

A trial has a folder, with files such as ``epoch=003 val_loss=2.2568.checkpoint``: whoever looks
into it knows how far the trial is. An evaluation that was killed goes on from the last of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnbook._arguments import check_number, check_text, check_whole
from nnbook.search.trials import Stopped, Trial
from nnbook.training.callbacks import Callback
from nnbook.training.checkpoint import Checkpoint, CheckpointError, load_tree, save_tree
from nnbook.training.identity import identity_of

if TYPE_CHECKING:
    from nnbook.training.run import Run

__all__ = [
    "Fenced",
    "Job",
    "ask_to_stop",
    "checkpoints",
    "folder_of",
    "home",
    "this_job",
    "trials_folder",
    "wants_stop",
    "working_on",
]

_OWNER, _STOP = "owner", "stop"
_NAME = re.compile(r"epoch=(\d+) (\w+)=(\S+)\.checkpoint$")


class Fenced(RuntimeError):
    """Another process has taken this trial over; what this one would save counts no more."""


def trials_folder(path: str | os.PathLike[str]) -> Path:
    """Return where the trials of a search keep their checkpoints: beside its file."""
    path = Path(path).expanduser().absolute()
    return path.with_name(path.name + ".trials")


@contextlib.contextmanager
def home(path: str | os.PathLike[str] | None) -> Iterator[Path]:
    """Yield that folder; of a search without a file, one that is gone when it has ended."""
    if path is not None:
        yield trials_folder(path)
    else:
        with tempfile.TemporaryDirectory(prefix="nnbook-") as folder:
            yield Path(folder)


def folder_of(folder: Path, trial: int, seed: int) -> Path:
    """Return the folder of one trial."""
    return folder / f"trial={trial:04d} seed={seed}"


def checkpoints(folder: Path) -> list[tuple[int, str, float, Path]]:
    """Return what a trial has saved: epochs, measure, its value and file, from the first on."""
    with contextlib.suppress(FileNotFoundError):
        names = [(match, name) for name in os.listdir(folder) if (match := _NAME.match(name))]
        return sorted((int(m[1]), m[2], float(m[3]), folder / name) for m, name in names)
    return []


@dataclass(frozen=True)
class Job:
    """The evaluation of one trial, as the function that is evaluated sees it (`this_job`).

    Attributes
    ----------
    trial, seed : int
        Which.
    folder : Path
        Where its checkpoints are. With several machines all of them must see it.
    token : str
        Tells this attempt from others at the same trial.
    """

    trial: int
    seed: int
    folder: Path
    token: str = field(default_factory=lambda: f"{time.time():.6f} {uuid.uuid4().hex}")

    @classmethod
    def of(cls, trial: Trial, folder: Path) -> Job:
        """Return the job of a trial whose search keeps its checkpoints in a folder."""
        return cls(trial.trial, trial.seed, folder_of(folder, trial.trial, trial.seed))

    def save(self, epoch: int, state: dict[str, Any], **score: float) -> Path:
        """Save what is needed to go on from here, in a file that is named by how far it is.

        Parameters
        ----------
        epoch : int
            How many epochs have ended.
        state : dict
            Numbers, strings, lists, dicts and NumPy arrays, as `nnbook.training.save_tree` takes
            them.
        **score : float
            One measure for the file's name: ``val_loss=0.31``.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        Stopped
            Somebody wants this trial to end. The checkpoint is there all the same.
        Fenced
            Another process evaluates this trial by now.
        TypeError, ValueError
            No whole number of epochs, not one measure; a state that would not come back the same.
        nnbook.training.CheckpointError
            The disk refuses.
        """
        epoch = check_whole(epoch, "epoch", least=0)
        if len(score) != 1:
            raise TypeError(f"got {len(score)} measures; expected one, such as val_loss=0.31")
        ((name, value),) = score.items()
        self._claim()
        file = self.folder / f"epoch={epoch:03d} {name}={float(value):.6g}.checkpoint"
        save_tree(file, {"epoch": epoch, "state": state})
        self._check_owner()  # it may have changed hands while this was written
        if (self.folder / _STOP).exists():
            raise Stopped(f"stopped by hand after epoch {epoch}, {name} {float(value):.6g}")
        return file

    def load(self) -> tuple[int, dict[str, Any]] | None:
        """Return the last checkpoint that can be read, or None.

        Returns
        -------
        tuple of int and dict, or None
            How many epochs had ended, and the state.

        Raises
        ------
        Fenced
            Another process evaluates this trial by now.
        """
        self._claim()
        for *_, file in reversed(checkpoints(self.folder)):
            with contextlib.suppress(CheckpointError):
                saved = load_tree(file)
                return saved["epoch"], saved["state"]
        return None

    def checkpoint(self, monitor: str = "val_loss") -> Callback:
        """Return a callback of `nnbook.training.fit` that saves after each epoch and goes on.

        Parameters
        ----------
        monitor : str
            The column of the history that the files are named by.

        Returns
        -------
        nnbook.training.Callback
        """
        return _JobCheckpoint(self, check_text(monitor, "monitor"))

    def _claim(self) -> None:
        """Take the trial, unless somebody who began later has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        owner = self._owner()
        if owner and owner != self.token and _began(owner) > _began(self.token):
            raise Fenced(f"another process has taken over trial {self.trial}, seed {self.seed}")
        if owner != self.token:
            temporary = self.folder / f"{_OWNER}.{self.token.split()[1]}"
            temporary.write_text(self.token, encoding="utf-8")
            os.replace(temporary, self.folder / _OWNER)

    def _check_owner(self) -> None:
        if self._owner() != self.token:
            raise Fenced(f"another process has taken over trial {self.trial}, seed {self.seed}")

    def _owner(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / _OWNER).read_text(encoding="utf-8")
        return ""


def _began(token: str) -> float:
    return check_number(float(token.split()[0]), "the time of a token")


def ask_to_stop(folder: Path, trial: int) -> list[int]:
    """Ask that a trial end at its next checkpoint; return the seeds that it has folders of."""
    asked = []
    for one in sorted(folder.glob(f"trial={trial:04d} seed=*")):
        (one / _STOP).touch()
        asked.append(int(one.name.rpartition("=")[2]))
    return asked


def wants_stop(folder: Path, trial: Trial) -> bool:
    """Tell whether somebody has asked that a trial end."""
    return (folder_of(folder, trial.trial, trial.seed) / _STOP).exists()


class _JobCheckpoint(Checkpoint):
    """A checkpoint for each epoch, in the folder of a trial."""

    def __init__(self, job: Job, monitor: str):
        super().__init__(job.folder / "epoch")
        self.job, self.monitor = job, monitor

    def on_fit_start(self, run: Run) -> None:
        """Go on from the last checkpoint, if there is one."""
        self.job._claim()
        super().on_fit_start(run)

    def _read(self) -> dict[str, Any] | None:
        saved = self.job.load()
        return None if saved is None else saved[1]

    def on_epoch_end(self, run: Run, row: dict[str, Any]) -> None:
        """Save."""
        if self.monitor not in row:
            raise KeyError(f"fit recorded {', '.join(row)}; expected {self.monitor!r} among them")
        state = {"identity": identity_of(run), "run": run.state()}
        self.job.save(run.epoch, state, **{self.monitor: float(row[self.monitor])})


_JOB: ContextVar[Job | None] = ContextVar("nnbook_search_job", default=None)


@contextlib.contextmanager
def working_on(job: Job | None) -> Iterator[None]:
    """Let `this_job` return a job."""
    before = _JOB.set(job)
    try:
        yield
    finally:
        _JOB.reset(before)


def this_job() -> Job:
    """Return the job that is being done: what the evaluated function keeps checkpoints by.

    Returns
    -------
    Job

    Raises
    ------
    LookupError
        No search evaluates a single trial here.

    Examples
    --------
    >>> from nnbook import search
    >>> def evaluate(configuration, seed):
    ...     job = search.this_job()
    ...     epoch, state = job.load() or (0, {"x": 0.0})
    ...     for epoch in range(epoch + 1, 4):
    ...         state["x"] += configuration["rate"] * (1 - state["x"])
    ...         job.save(epoch, state, val_loss=(1 - state["x"]) ** 2)
    ...     return {"value": (1 - state["x"]) ** 2, "files": len(list(job.folder.glob("epoch=*")))}
    >>> space = search.Space(rate=search.linear(0.1, 0.5))
    >>> search.GridSearch(space, points=2).run(evaluate)
    Results(2 of 2 rows: 2 complete; best value 0.01562 at rate=0.5)
    trial  seed  rate    value  files  state
        0     0   0.1   0.5314      3  complete
        1     0   0.5  0.01562      3  complete
    """
    job = _JOB.get()
    if job is None:
        raise LookupError(
            "no search evaluates a single trial here; call this_job in a function that "
            "Search.run evaluates"
        )
    return job
