from nnbook.gluon.loss_names import named as named
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
from nnbook.gluon.margins import (
    binary_hinge as binary_hinge,
)
from nnbook.gluon.margins import (
    crammer_singer_hinge as crammer_singer_hinge,
)
from nnbook.gluon.margins import (
    squared_hinge as squared_hinge,
)
from nnbook.gluon.smoothing import smoothed_cross_entropy as smoothed_cross_entropy
from nnbook.losses.penalties import (
    activity_penalty as activity_penalty,
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
