"""Checks before training: gradients, the first loss, the data, the rule, and a rehearsal.

Each check works on a copy of the network and returns a frozen result: ``passed``, ``findings`` with
what is wrong and what to do, and the numbers behind them. `preflight` runs them all.
"""

from nnbook._lazy import attach

__all__, __getattr__, __dir__ = attach(__name__)
