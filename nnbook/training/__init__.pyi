from nnbook.gluon.outputs import evaluate as evaluate
from nnbook.gluon.outputs import example_losses as example_losses
from nnbook.gluon.outputs import example_outputs as example_outputs
from nnbook.gluon.ranges import RangeTest as RangeTest
from nnbook.gluon.ranges import range_test as range_test
from nnbook.training.callbacks import (
    Callback as Callback,
)
from nnbook.training.callbacks import (
    EarlyStopping as EarlyStopping,
)
from nnbook.training.callbacks import (
    Progress as Progress,
)
from nnbook.training.callbacks import (
    ReduceOnPlateau as ReduceOnPlateau,
)
from nnbook.training.checkpoint import (
    Checkpoint as Checkpoint,
)
from nnbook.training.checkpoint import (
    CheckpointError as CheckpointError,
)
from nnbook.training.checkpoint import (
    CheckpointWarning as CheckpointWarning,
)
from nnbook.training.fitting import GrowthWarning as GrowthWarning
from nnbook.training.fitting import fit as fit
from nnbook.training.history import History as History
from nnbook.training.reference import train_plainly as train_plainly
from nnbook.training.run import DivergedError as DivergedError
from nnbook.training.run import Run as Run
from nnbook.training.stopping import StopBy as StopBy
