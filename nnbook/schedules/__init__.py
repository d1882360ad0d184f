"""Learning-rate schedules: pure functions of the step, which is counted from 0.

A schedule is a frozen dataclass that is called with a step and returns the rate; called with an
array of steps it returns an array, which is how it is drawn. It remembers nothing, so a run that is
resumed at step t has the rate of step t. Wherever nnbook takes a rate it takes a schedule, and any
other function ``step -> rate`` too.
"""

from nnbook.schedules.base import Schedule
from nnbook.schedules.composed import joined, warmup
from nnbook.schedules.decay import (
    bengio_decay,
    constant,
    cosine,
    exponential_decay,
    inverse_time_decay,
    one_cycle,
    step_decay,
)
from nnbook.schedules.plateau import PlateauState, on_plateau
from nnbook.schedules.restarts import cosine_restarts

__all__ = [
    "PlateauState",
    "Schedule",
    "bengio_decay",
    "constant",
    "cosine",
    "cosine_restarts",
    "exponential_decay",
    "inverse_time_decay",
    "joined",
    "on_plateau",
    "one_cycle",
    "step_decay",
    "warmup",
]
