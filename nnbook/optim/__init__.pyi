from nnbook.gluon.optimizers import from_mxnet as from_mxnet
from nnbook.optim.base import Optimizer as Optimizer
from nnbook.optim.base import State as State
from nnbook.optim.base import trajectory as trajectory
from nnbook.optim.rules import (
    adagrad as adagrad,
)
from nnbook.optim.rules import (
    adam as adam,
)
from nnbook.optim.rules import (
    adamw as adamw,
)
from nnbook.optim.rules import (
    momentum as momentum,
)
from nnbook.optim.rules import (
    nesterov as nesterov,
)
from nnbook.optim.rules import (
    rmsprop as rmsprop,
)
from nnbook.optim.rules import (
    sgd as sgd,
)
from nnbook.optim.testing import UnitTests as UnitTests
from nnbook.optim.testing import unit_tests as unit_tests
from nnbook.optim.transforms import (
    Rule as Rule,
)
from nnbook.optim.transforms import (
    add_decay as add_decay,
)
from nnbook.optim.transforms import (
    chain as chain,
)
from nnbook.optim.transforms import (
    clip as clip,
)
from nnbook.optim.transforms import (
    clip_values as clip_values,
)
from nnbook.optim.transforms import (
    mask as mask,
)
from nnbook.optim.transforms import (
    scale as scale,
)
