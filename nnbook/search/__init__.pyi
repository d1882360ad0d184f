from nnbook.search.adaptive import AdaptiveSearch as AdaptiveSearch
from nnbook.search.analysis import (
    BestOf as BestOf,
)
from nnbook.search.analysis import (
    Importance as Importance,
)
from nnbook.search.analysis import (
    best_of as best_of,
)
from nnbook.search.analysis import (
    importance as importance,
)
from nnbook.search.crossvalidation import Nested as Nested
from nnbook.search.crossvalidation import folds as folds
from nnbook.search.crossvalidation import nested as nested
from nnbook.search.dimensions import (
    Dimension as Dimension,
)
from nnbook.search.dimensions import (
    categorical as categorical,
)
from nnbook.search.dimensions import (
    integer as integer,
)
from nnbook.search.dimensions import (
    linear as linear,
)
from nnbook.search.dimensions import (
    log as log,
)
from nnbook.search.edges import Border as Border
from nnbook.search.edges import borders as borders
from nnbook.search.edges import widen as widen
from nnbook.search.engine import cluster as cluster
from nnbook.search.halving import Bracket as Bracket
from nnbook.search.halving import Hyperband as Hyperband
from nnbook.search.halving import SuccessiveHalving as SuccessiveHalving
from nnbook.search.jobs import Job as Job
from nnbook.search.jobs import this_job as this_job
from nnbook.search.refining import CoarseToFine as CoarseToFine
from nnbook.search.refining import CoordinateSearch as CoordinateSearch
from nnbook.search.refining import SobolSearch as SobolSearch
from nnbook.search.results import Results as Results
from nnbook.search.searches import (
    GridSearch as GridSearch,
)
from nnbook.search.searches import (
    RandomSearch as RandomSearch,
)
from nnbook.search.searches import (
    Search as Search,
)
from nnbook.search.space import Space as Space
from nnbook.search.training import TrainPopulation as TrainPopulation
from nnbook.search.trials import Stopped as Stopped
from nnbook.search.watching import Curve as Curve
from nnbook.search.watching import Inspection as Inspection
from nnbook.search.watching import inspect as inspect
from nnbook.search.watching import stop_trial as stop_trial
