"""Search for hyperparameters: spaces, grid and random search, and what their results say.

A `Space` names what is varied and on which scale. A `GridSearch` or `RandomSearch` describes a
search; its `run` evaluates one configuration after the other, or whole populations of networks at a
time (`TrainPopulation`), and returns `Results`, a table. With a path it survives being killed at
any moment. Underneath, Optuna asks for the trials and is told what came out of them, so that its
file, its studies and its samplers can be used too; it is imported when a search starts.
"""

from nnbook._lazy import attach

__all__, __getattr__, __dir__ = attach(__name__)
