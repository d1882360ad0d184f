from nnbook.gluon.optimizers import from_mxnet as from_mxnet
from nnbook.optim.afterwards import (
    decoupled_decay as decoupled_decay,
)
from nnbook.optim.afterwards import (
    max_norm as max_norm,
)
from nnbook.optim.afterwards import (
    proximal as proximal,
)
from nnbook.optim.afterwards import (
    unit_numbers as unit_numbers,
)
from nnbook.optim.base import Optimizer as Optimizer
from nnbook.optim.base import State as State
from nnbook.optim.base import trajectory as trajectory
from nnbook.optim.names import DEFAULT_RATES as DEFAULT_RATES
from nnbook.optim.names import clipped as clipped
from nnbook.optim.names import named as named
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
from nnbook.optim.second_order import sdlm as sdlm
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
