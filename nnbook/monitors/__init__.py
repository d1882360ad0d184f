"""Watch a training run: how far the weights move, what the layers give, where the loss goes.

Monitors are callbacks of `fit`. They read, and change nothing: neither θ, nor a random number, nor
the result, bit for bit. Afterwards each has its ``records`` (frozen, in bounded memory, resumed by
`training.Checkpoint`), a column of them as ``monitor["ratio"]``, all of them as ``table()``, and
its ``findings()``.

The cost of each is one of three: "free" uses what the epoch has anyway; "cheap" reads θ or ∇L every
n steps, in between steps run as fast as ever; "forward" runs a few examples through the network
between epochs. No monitor adds hooks to the network that stay, so `fit` keeps its traced graph. At
their default schedules all of them together cost less than a tenth of the training time of a
784-100-10 network at batch size 32 with 10,000 examples an epoch; ``benchmarks/bench_monitors.py``
measures it. With few examples an epoch, give those that run the network a larger `every`.

>>> from nnbook import data, layers, losses, monitors, optim, training
>>> x, y = data.moons(200, rng=0)
>>> watching = monitors.watch()
>>> _ = training.fit(layers.mlp(2, [8], 2, "relu", seed=0), (x, y), (x, y), epochs=5,
...                  loss=losses.softmax_cross_entropy, optimizer=optim.sgd(0.1),
...                  callbacks=watching)
>>> monitors.report(watching)
nothing found
"""

from nnbook._lazy import attach

__all__, __getattr__, __dir__ = attach(__name__)
