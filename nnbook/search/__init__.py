"""Search for hyperparameters: spaces, searches, workers, and what their results say.

A `Space` names what is varied and on which scale. A search says which configurations are tried:

- blind: `GridSearch`, `RandomSearch`, `SobolSearch` (random points that keep apart);
- by what came out: `CoordinateSearch` (one dimension at a time), `CoarseToFine`, `AdaptiveSearch`
  (a model chooses: TPE, a Gaussian process or any other sampler of Optuna);
- by short runs first: `SuccessiveHalving`, `Hyperband`, an `AdaptiveSearch` with steps.

Its `run` evaluates a function of your own, whatever it computes, for one configuration after the
other, or whole populations of networks at a time (`TrainPopulation`), and returns `Results`, a
table. With a path it survives being killed at any moment, and `inspect` looks at it from outside.
With workers (processes of this machine, or a cluster of Dask anywhere) it survives their being
killed, too: an evaluation goes on from its last checkpoint (`this_job`). A search of your own is a
`Search` with an `ask`, which sees what came out so far.

`best_of`, `importance` and `borders` say how far to believe the winner; `nested` what the search is
worth where there is too little data to put some away.

Optuna is needed by `AdaptiveSearch` alone, and Dask by workers. Where Optuna is installed,
`Space.suggest` and `Space.to_optuna` let its samplers choose, and `Results.to_study` hands it the
trials for its importances and pictures.
"""

from nnbook._lazy import attach

__all__, __getattr__, __dir__ = attach(__name__)
