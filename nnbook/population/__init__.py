"""Many models trained in one run: what makes seeds and error bars affordable.

A step of a small network is too small to keep a processor busy. `fit_population` puts many networks
of one architecture side by side into one graph: their first layers become one wide product, their
later layers a batch of products, and each keeps its own θ, learning rate, loss and history.
"""

from nnbook._lazy import attach

__all__, __getattr__, __dir__ = attach(__name__)
