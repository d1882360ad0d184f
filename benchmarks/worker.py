"""One library in a process of its own: trains when it is told to, and says how long it took.

``python worker.py LIBRARY`` reads one JSON object a line (``{"batch_size": 10, "steps": 2000}``)
and answers with ``{"seconds_per_step": ...}``. The process lives through the whole benchmark, so
that the libraries take turns in one sitting and none is measured cold. A population is asked for
with ``"members"``, ``"shared"`` (one order of the examples for all) and, of nnbook, ``"workers"``
and ``"kind"``; its answer is the seconds of a step of one member.

The task is the same for all: 784-100-10, logistic units, softmax cross-entropy, momentum 0.9,
float32, minibatches drawn in a new order every epoch, the training loss of every epoch kept.
"""

import json
import os
import sys
import time

import numpy as np

N, N_IN, N_HIDDEN, N_OUT = 20_000, 784, 100, 10
LEARNING_RATE, MOMENTUM = 0.1, 0.9


def examples(n=N):
    """Numbers with the sparsity of MNIST: what they are does not change how long a step takes."""
    rng = np.random.default_rng(0)
    x = rng.random((n, N_IN), dtype=np.float32) * (rng.random((n, N_IN)) < 0.2)
    return x.astype(np.float32), rng.integers(0, N_OUT, n).astype(np.int32)


def nnbook(x, y):
    """`nnbook.training.fit`, timed from its first hook to its last."""
    from nnbook import layers, losses, optim, training

    class Clock(training.Callback):
        def on_fit_start(self, run):
            self.started = time.perf_counter()

        def on_fit_end(self, run):
            self.seconds = time.perf_counter() - self.started

    net = layers.mlp(N_IN, [N_HIDDEN], N_OUT, activation="sigmoid", seed=0)

    def run(batch_size, epochs, n):
        clock = Clock()
        history = training.fit(
            net,
            (x[:n], y[:n]),
            loss=losses.softmax_cross_entropy,
            optimizer=optim.momentum(LEARNING_RATE, momentum=MOMENTUM),
            batch_size=batch_size,
            epochs=epochs,
            callbacks=[clock],
            progress=False,
        )
        return clock.seconds, history[-1]["step"]

    return run


def gluon(x, y):
    """Plain MXNet: a hybridised net, `gluon.Trainer`, batches by `take`."""
    np.bool = bool  # what MXNet 1.9.1 still reads
    import warnings

    warnings.simplefilter("ignore")
    import mxnet as mx

    mx.npx.set_np()
    mnp, nn = mx.np, mx.gluon.nn
    net = nn.HybridSequential()
    net.add(nn.Dense(N_HIDDEN, activation="sigmoid"), nn.Dense(N_OUT))
    net.initialize()
    net.hybridize(static_alloc=True, static_shape=True)
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    loss.hybridize(static_alloc=True, static_shape=True)
    trainer = mx.gluon.Trainer(
        net.collect_params(), "sgd", {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM}
    )
    x, y = mnp.array(x, dtype="float32"), mnp.array(y, dtype="int32")
    rng = np.random.default_rng(0)

    def run(batch_size, epochs, n):
        started, steps = time.perf_counter(), 0
        for _ in range(epochs):
            order = mnp.array(rng.permutation(n), dtype="int32")
            total = 0.0
            for start in range(0, n, batch_size):
                rows = order[start : start + batch_size]
                with mx.autograd.record():
                    value = loss(net(mnp.take(x, rows, axis=0)), mnp.take(y, rows, axis=0))
                value.backward()
                trainer.step(len(rows))
                total = total + value.mean()
                steps += 1
                if steps % 100 == 0:
                    mx.nd.waitall()
            float(total)
        return time.perf_counter() - started, steps

    return run


def torch(x, y):
    """PyTorch, eager, on one thread or two, whichever is faster."""
    import torch as t

    net = t.nn.Sequential(t.nn.Linear(N_IN, N_HIDDEN), t.nn.Sigmoid(), t.nn.Linear(N_HIDDEN, N_OUT))
    rule = t.optim.SGD(net.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    loss = t.nn.CrossEntropyLoss()
    x, y = t.from_numpy(x), t.from_numpy(y).long()

    def epochs_of(batch_size, epochs, n):
        started, steps = time.perf_counter(), 0
        for _ in range(epochs):
            order, total = t.randperm(n), t.zeros(())
            for start in range(0, n, batch_size):
                rows = order[start : start + batch_size]
                rule.zero_grad()
                value = loss(net(x[rows]), y[rows])
                value.backward()
                rule.step()
                total += value.detach()
                steps += 1
            float(total)
        return time.perf_counter() - started, steps

    def run(batch_size, epochs, n):
        found = []
        for threads in (1, 2):
            t.set_num_threads(threads)
            epochs_of(batch_size, 1, min(n, 20 * batch_size))
            found.append(epochs_of(batch_size, max(1, epochs // 2), n))
        return min(found, key=lambda pair: pair[0] / pair[1])

    return run


def jax_parts(x, y):
    """JAX's parameters, velocities and data, and a step that draws its batch."""
    import jax as j
    import jax.numpy as jnp

    key = j.random.split(j.random.PRNGKey(0))
    parameters = {
        "w1": j.random.normal(key[0], (N_IN, N_HIDDEN)) / N_IN**0.5,
        "b1": jnp.zeros(N_HIDDEN),
        "w2": j.random.normal(key[1], (N_HIDDEN, N_OUT)) / N_HIDDEN**0.5,
        "b2": jnp.zeros(N_OUT),
    }
    state = [parameters, j.tree.map(jnp.zeros_like, parameters)]

    def loss(p, inputs, labels):
        z = j.nn.sigmoid(inputs @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
        chosen = jnp.take_along_axis(j.nn.log_softmax(z), labels[:, None], axis=1)
        return -chosen.mean()

    def step(p, v, inputs, labels, rows):
        value, g = j.value_and_grad(loss)(p, inputs[rows], labels[rows])
        v = j.tree.map(lambda a, b: MOMENTUM * a - LEARNING_RATE * b, v, g)
        return j.tree.map(jnp.add, p, v), v, value

    return state, jnp.asarray(x), jnp.asarray(y), step


def jax(x, y):
    """JAX: the whole step, the draw of the batch included, in one compiled function."""
    import jax as j

    state, x, y, step = jax_parts(x, y)
    step = j.jit(step, donate_argnums=(0, 1))
    rng = np.random.default_rng(0)

    def run(batch_size, epochs, n):
        p, v = state
        p, v, value = step(p, v, x, y, np.arange(batch_size))
        value.block_until_ready()
        started, steps = time.perf_counter(), 0
        for _ in range(epochs):
            order, values = rng.permutation(n).astype(np.int32), []
            for start in range(0, n, batch_size):
                p, v, value = step(p, v, x, y, order[start : start + batch_size])
                values.append(value)
                steps += 1
            float(sum(values[-1:]))
        value.block_until_ready()
        state[:] = p, v
        return time.perf_counter() - started, steps

    return run


def jax_scan(x, y):
    """JAX: a whole epoch in one compiled function, a scan over its steps."""
    import jax as j

    state, x, y, step = jax_parts(x, y)
    rng = np.random.default_rng(0)

    def epoch(p, v, inputs, labels, order):
        def one(carry, rows):
            p, v, value = step(*carry, inputs, labels, rows)
            return (p, v), value

        (p, v), values = j.lax.scan(one, (p, v), order)
        return p, v, values.mean()

    epoch = j.jit(epoch, donate_argnums=(0, 1))

    def run(batch_size, epochs, n):
        def order():
            return rng.permutation(n).astype(np.int32).reshape(-1, batch_size)

        p, v, value = epoch(*state, x, y, order())  # compiles
        value.block_until_ready()
        started = time.perf_counter()
        for _ in range(epochs):
            p, v, value = epoch(p, v, x, y, order())
            float(value)
        state[:] = p, v
        return time.perf_counter() - started, epochs * (n // batch_size)

    return run


def population(x, y):
    """`nnbook.population.fit_population`: what further epochs of a whole call cost."""
    from nnbook import layers, losses, optim
    from nnbook.population import Workers, fit_population

    def run(batch_size, epochs, n, members, shared, workers=None, kind=None):
        def call(epochs):
            nets = [
                layers.mlp(N_IN, [N_HIDDEN], N_OUT, activation="sigmoid", seed=seed)
                for seed in range(members)
            ]
            started = time.perf_counter()
            fit_population(
                nets,
                (x[:n], y[:n]),
                loss=losses.softmax_cross_entropy,
                optimizer=optim.momentum(LEARNING_RATE, momentum=MOMENTUM),
                batch_size=batch_size,
                epochs=epochs,
                seeds=[0] * members if shared else None,
                workers=Workers(workers, kind),
                progress=False,
            )
            return time.perf_counter() - started

        short = call(1)  # sending, binding and the like are in both
        return call(1 + epochs) - short, members * epochs * (n // batch_size)

    return run


def jax_population(x, y):
    """JAX: `vmap` over the members in a scan over the steps of an epoch, on both cores."""
    import jax as j
    import jax.numpy as jnp

    (parameters, _), x, y, step = jax_parts(x, y)

    def epoch(p, v, inputs, labels, order, shared):
        each = j.vmap(step, in_axes=(0, 0, None, None, None if shared else 0))

        def one(carry, rows):
            p, v, value = each(*carry, inputs, labels, rows)
            return (p, v), value

        (p, v), values = j.lax.scan(one, (p, v), order)
        return p, v, values.mean(axis=0)

    epoch = j.jit(epoch, donate_argnums=(0, 1), static_argnames="shared")
    states, rng = {}, np.random.default_rng(0)

    def run(batch_size, epochs, n, members, shared):
        size = n - n % batch_size

        def draw():
            orders = [rng.permutation(n)[:size] for _ in range(1 if shared else members)]
            rows = np.stack(orders).astype(np.int32).reshape(len(orders), -1, batch_size)
            return rows[0] if shared else rows.transpose(1, 0, 2)

        if members not in states:
            p = j.tree.map(lambda a: jnp.stack([a] * members), parameters)
            states.clear()
            states[members] = p, j.tree.map(jnp.zeros_like, p)
        p, v = states.pop(members)
        p, v, value = epoch(p, v, x[:n], y[:n], draw(), shared)
        value.block_until_ready()  # compiled, if the shape is new
        inputs, labels = x[:n], y[:n]
        started = time.perf_counter()
        for _ in range(epochs):
            p, v, value = epoch(p, v, inputs, labels, draw(), shared)
            value.block_until_ready()
        states[members] = p, v
        return time.perf_counter() - started, members * epochs * (n // batch_size)

    return run


def sklearn(x, y):
    """scikit-learn's MLPClassifier; its fit shuffles and keeps the loss of every epoch."""
    import warnings

    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")

    def run(batch_size, epochs, n):
        model = MLPClassifier(
            (N_HIDDEN,),
            activation="logistic",
            solver="sgd",
            alpha=0.0,
            batch_size=batch_size,
            learning_rate_init=LEARNING_RATE,
            momentum=MOMENTUM,
            nesterovs_momentum=False,
            max_iter=epochs,
            n_iter_no_change=epochs + 1,
        )
        started = time.perf_counter()
        model.fit(x[:n], y[:n])
        return time.perf_counter() - started, epochs * -(-n // batch_size)

    return run


LIBRARIES = {
    f.__name__: f
    for f in (nnbook, gluon, torch, jax, jax_scan, sklearn, population, jax_population)
}


def main(name):
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w")  # what libraries print must not mix with the answers
    os.dup2(2, 1)
    run = LIBRARIES[name](*examples())
    for line in sys.stdin:
        request = json.loads(line)
        batch_size, steps = request.pop("batch_size"), request.pop("steps")
        n = min(N, batch_size * steps)
        n -= n % batch_size
        epochs = request.pop("epochs", max(1, round(steps * batch_size / n)))
        seconds, taken = run(batch_size, epochs, n, **request)
        answers.write(json.dumps({"seconds_per_step": seconds / taken}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
