from nnbook.monitors.activations import (
    ActivationHistogram as ActivationHistogram,
)
from nnbook.monitors.activations import (
    Activations as Activations,
)
from nnbook.monitors.activations import (
    DeadUnits as DeadUnits,
)
from nnbook.monitors.activations import (
    Units as Units,
)
from nnbook.monitors.base import Monitor as Monitor
from nnbook.monitors.base import Record as Record
from nnbook.monitors.epochs import (
    Gap as Gap,
)
from nnbook.monitors.epochs import (
    Gaps as Gaps,
)
from nnbook.monitors.epochs import (
    LossWiggle as LossWiggle,
)
from nnbook.monitors.epochs import (
    Wiggles as Wiggles,
)
from nnbook.monitors.filters import smoothness as smoothness
from nnbook.monitors.layers import LayerOutput as LayerOutput
from nnbook.monitors.layers import layer_outputs as layer_outputs
from nnbook.monitors.steps import (
    GRADIENT_EDGES as GRADIENT_EDGES,
)
from nnbook.monitors.steps import (
    GradientHistogram as GradientHistogram,
)
from nnbook.monitors.steps import (
    GradientNorm as GradientNorm,
)
from nnbook.monitors.steps import (
    Gradients as Gradients,
)
from nnbook.monitors.steps import (
    Sizes as Sizes,
)
from nnbook.monitors.steps import (
    UpdateRatio as UpdateRatio,
)
from nnbook.monitors.steps import (
    Updates as Updates,
)
from nnbook.monitors.watching import report as report
from nnbook.monitors.watching import watch as watch
