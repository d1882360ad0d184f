from nnbook.gluon.stack import NotStackable as NotStackable
from nnbook.gluon.stack import Stack as Stack
from nnbook.population.processes import WorkerError as WorkerError
from nnbook.population.processes import end_processes as end_processes
from nnbook.population.training import fit_population as fit_population
from nnbook.population.workers import Workers as Workers
