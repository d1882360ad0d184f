"""Check the gradient of a Gluon network of your own before you train it.

The network normalises its hidden units over the minibatch. It is written twice. One of the two
takes the variance from np.var, whose gradient is zero in MXNet: it runs, and it trains, though on
a wrong gradient. The check says so, and where.
"""

import numpy

from nnbook import checks, losses
from nnbook.runtime import mx, np, seed_everything  # or import nnbook, and after it mxnet


class Normalise(mx.gluon.nn.HybridBlock):
    """Mean 0 and variance 1 for every unit over the minibatch."""

    def __init__(self, variance):
        super().__init__()
        self.variance = variance

    def forward(self, x):
        """Return the normalised units."""
        return (x - x.mean(axis=0)) / np.sqrt(self.variance(x) + 1e-5)


seed_everything(0)
x, y = numpy.random.default_rng(0).normal(size=(20, 4)), numpy.arange(20) % 3
for title, variance in {
    "mean of squares": lambda x: ((x - x.mean(axis=0)) ** 2).mean(axis=0),
    "np.var": lambda x: np.var(x, axis=0),
}.items():
    dense, last = mx.gluon.nn.Dense(5, in_units=4), mx.gluon.nn.Dense(3, in_units=5)
    net = mx.gluon.nn.HybridSequential()
    net.add(dense, Normalise(variance), mx.gluon.nn.Activation("tanh"), last)
    net.initialize()
    print(title)
    print(checks.check_gradients(net, losses.softmax_cross_entropy, x, y), "\n")
