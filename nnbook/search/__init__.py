"""Search for hyperparameters: spaces, grid and random search, and what their results say.

A `Space` names what is varied and on which scale. A `GridSearch` or `RandomSearch` describes a
search; its `run` evaluates one configuration after the other, or whole populations of networks at a
time (`TrainPopulation`), and returns `Results`, a table. With a path it survives being killed at
any moment. A search of your own is a `Search` with an `ask`, which sees what came out so far.

Optuna is not needed. Where it is installed, `Space.suggest` and `Space.to_optuna` let its samplers
choose, and `Results.to_study` hands it the trials for its importances and pictures.
"""

from nnbook._lazy import attach

__all__, __getattr__, __dir__ = attach(__name__)
