from nnbook.gluon.stack import NotStackable as NotStackable
from nnbook.gluon.stack import Stack as Stack
from nnbook.population.training import fit_population as fit_population
