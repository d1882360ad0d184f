"""The training loop: `fit`, `evaluate`, callbacks, history, checkpoints and the range test."""

from nnbook.training.callbacks import Callback, EarlyStopping, Progress, ReduceOnPlateau
from nnbook.training.checkpoint import Checkpoint, CheckpointError, CheckpointWarning
from nnbook.training.history import History
from nnbook.training.loop import evaluate, example_losses, fit
from nnbook.training.outputs import example_outputs
from nnbook.training.range_test import RangeTest, range_test
from nnbook.training.run import DivergedError, Run

__all__ = [
    "Callback",
    "Checkpoint",
    "CheckpointError",
    "CheckpointWarning",
    "DivergedError",
    "EarlyStopping",
    "History",
    "Progress",
    "RangeTest",
    "ReduceOnPlateau",
    "Run",
    "evaluate",
    "example_losses",
    "example_outputs",
    "fit",
    "range_test",
]
