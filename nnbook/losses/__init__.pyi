from nnbook.gluon.losses import (
    binary_cross_entropy as binary_cross_entropy,
)
from nnbook.gluon.losses import (
    hinge as hinge,
)
from nnbook.gluon.losses import (
    sigmoid_cross_entropy as sigmoid_cross_entropy,
)
from nnbook.gluon.losses import (
    softmax_cross_entropy as softmax_cross_entropy,
)
from nnbook.gluon.losses import (
    squared_error as squared_error,
)
from nnbook.losses.penalties import (
    l1_penalty as l1_penalty,
)
from nnbook.losses.penalties import (
    l1_prox as l1_prox,
)
from nnbook.losses.penalties import (
    l2_penalty as l2_penalty,
)
