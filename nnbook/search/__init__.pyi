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
