"""Train one network with its gradient shared among processes, of this machine or of several.

On this machine there is nothing to start: python data_parallel.py. On several, start Dask's
scheduler on one, and workers wherever nnbook is installed; this program gets the address:

    dask scheduler --host 127.0.0.1 --dashboard-address 127.0.0.1:8787
    dask worker tcp://127.0.0.1:8786 --host 127.0.0.2 --nthreads 1 --dashboard-address 127.0.0.1:0
    python data_parallel.py tcp://127.0.0.1:8786

Whoever reaches a port of Dask can run programs there, so addresses of other machines must be
encrypted ("tls://…"). Kill a worker, and run this again: it goes on from its last checkpoint.
"""

import sys

import numpy as np

from nnbook import data, distributed, layers, losses, optim, training
from nnbook.parameters import ParameterVector

WORKERS = sys.argv[1] if len(sys.argv) > 1 else 2  # an address, or how many processes

train, validation = data.spirals(300, rng=0), data.spirals(300, rng=1)
net = layers.mlp(2, [32, 32], 3, "tanh", seed=0)
history = distributed.fit(
    net,
    train,
    validation,
    workers=WORKERS,
    loss=losses.softmax_cross_entropy,
    optimizer=optim.adam(0.05),
    batch_size=150,
    epochs=30,
    callbacks=[training.Checkpoint("data_parallel.checkpoint")],
)
last = history[-1]
print(history.reason)
print(f"epoch {last['epoch']}: loss {last['train_loss']:.4f}, error {1 - last['val_accuracy']:.1%}")
print(f"length of the weights {np.linalg.norm(ParameterVector(net).theta.asnumpy()):.5f}")
