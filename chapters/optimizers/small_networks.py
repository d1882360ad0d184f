"""Many small networks on one task in plain NumPy, each with a rule and with numbers of its own.

A ``run_many`` for `nnbook.experiments.Experiment`, which two pages of this chapter use. A knob
`make` returns a rule of `nnbook.optim` from the other knobs, which arrive as columns, one row for
each network; so one rule moves all networks that share it.
"""

from __future__ import annotations

import numpy as np

from nnbook.experiments import first_below


def shrunk(x):
    """Images of 28 × 28 pixels brought to 7 × 7; anything else as it is."""
    return x.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49) if x.shape[1] == 784 else x


class SmallNetworks:
    """Train networks with one hidden layer of tanh units on what a task draws for each seed.

    The training loss is looked at every `every` steps. Measures: losses and errors at the end, the
    training loss after half of the steps, the median of its last ten values, and with a target the
    steps until it falls below that.
    """

    def __init__(self, task, *, hidden=16, steps=300, batch_size=20, every=10, target=None):
        self.task, self.hidden, self.steps, self.batch_size = task, hidden, steps, batch_size
        self.every, self.target = every, target
        drawn = " (drawn from a finite set: those of two seeds overlap)" if task.finite else ""
        self.covers = f"training and test examples{drawn}, initial weights and order"

    def __call__(self, configurations, seeds):
        """One dict of measures for each configuration and seed."""
        return [self._measures(*one) for one in self._all(configurations, seeds)]

    def curves(self, configurations, seeds):
        """The training loss after every `every` steps, shape (members, steps // every)."""
        return np.array([curve for curve, _ in self._all(configurations, seeds)])

    def _all(self, configurations, seeds):
        groups = {}
        for k, knobs in enumerate(configurations):
            groups.setdefault(knobs["make"], []).append(k)
        found = [None] * len(seeds)
        for make, members in groups.items():
            names = [name for name in configurations[members[0]] if name != "make"]
            columns = {n: np.array([[configurations[k][n]] for k in members]) for n in names}
            with np.errstate(all="ignore"):  # a rate that is too high diverges
                results = self._train(make(**columns), np.array([seeds[k] for k in members]))
            for k, result in zip(members, results, strict=True):
                found[k] = result
        return found

    def _train(self, rule, seeds):
        every, which = np.unique(seeds, return_inverse=True)
        sets = [self.task.draw(int(seed)) for seed in every]
        part = {
            name: (
                np.stack([shrunk(getattr(s, f"x_{name}")) for s in sets]).astype("float32"),
                np.stack([getattr(s, f"y_{name}") for s in sets]),
            )
            for name in ("train", "val", "test")
        }
        x, y = part["train"]
        theta = np.stack([self._start(int(seed), x.shape[2]) for seed in every])[which]
        n, orders, state, curve = x.shape[1], None, rule.init(theta), []
        per_epoch = n // self.batch_size
        for step in range(self.steps):
            epoch, k = divmod(step, per_epoch)
            if k == 0:
                orders = [np.random.default_rng([int(s), epoch]).permutation(n) for s in every]
            rows = [order[k * self.batch_size : (k + 1) * self.batch_size] for order in orders]
            xs = np.stack([x[j, r] for j, r in enumerate(rows)])[which]
            ys = np.stack([y[j, r] for j, r in enumerate(rows)])[which]
            move, state = rule.update(self._gradient(theta, xs, ys), state, theta)
            theta = (theta + move).astype("float32")
            if (step + 1) % self.every == 0:
                curve.append(self._loss_and_error(theta, x, y, which)[0])
        ends = {name: self._loss_and_error(theta, *pair, which) for name, pair in part.items()}
        each = [
            {n: (loss[k], error[k]) for n, (loss, error) in ends.items()} for k in range(len(theta))
        ]
        return list(zip(np.array(curve).T, each, strict=True))

    def _measures(self, curve, ends):
        found = {"half_loss": curve[len(curve) // 2 - 1], "late_loss": np.median(curve[-10:])}
        for name, (loss, error) in ends.items():
            found |= {f"{name}_loss": loss, f"{name}_error": error}
        if self.target is not None:
            reached = first_below(curve, self.target)
            found["steps_to_target"] = type(reached)(self.every * reached)
        return found

    def _start(self, seed, features):
        """Glorot's uniform weights, biases of 0."""
        rng, parts = np.random.default_rng([seed, 1]), []
        for rows, columns in ((features, self.hidden), (self.hidden, self.task.outputs)):
            limit = np.sqrt(6 / (rows + columns))
            parts += [rng.uniform(-limit, limit, rows * columns), np.zeros(columns)]
        return np.concatenate(parts).astype("float32")

    def _layers(self, theta, features):
        h, o, m = self.hidden, self.task.outputs, len(theta)
        shapes = (features, h), (1, h), (h, o), (1, o)
        ends = np.cumsum([rows * columns for rows, columns in shapes])[:-1]
        return [
            part.reshape(m, *shape)
            for part, shape in zip(np.split(theta, ends, axis=1), shapes, strict=True)
        ]

    def _outputs(self, theta, x):
        w, b, v, c = self._layers(theta, x.shape[2])
        hidden = np.tanh(x @ w + b)
        return hidden, hidden @ v + c, v

    def _slope(self, outputs, y):
        """The loss of each example, and its derivative by the outputs."""
        if not self.task.classifies:
            return 0.5 * ((outputs - y) ** 2).sum(axis=2), outputs - y
        shifted = outputs - outputs.max(axis=2, keepdims=True)
        p = np.exp(shifted)
        total = p.sum(axis=2, keepdims=True)
        hot = y[..., None] == np.arange(outputs.shape[2])
        return (np.log(total[..., 0]) - (shifted * hot).sum(axis=2)), p / total - hot

    def _gradient(self, theta, x, y):
        hidden, outputs, v = self._outputs(theta, x)
        delta = self._slope(outputs, y)[1] / x.shape[1]
        back = (delta @ v.swapaxes(1, 2)) * (1 - hidden**2)
        parts = (
            x.swapaxes(1, 2) @ back,
            back.sum(axis=1),
            hidden.swapaxes(1, 2) @ delta,
            delta.sum(axis=1),
        )
        return np.concatenate([part.reshape(len(theta), -1) for part in parts], axis=1)

    def _loss_and_error(self, theta, x, y, which):
        """Of every member, on the examples of its seed."""
        loss, error = np.empty(len(theta)), np.empty(len(theta))
        for j in range(len(x)):
            mine = np.flatnonzero(which == j)
            outputs = self._outputs(theta[mine], x[j][None])[1]
            loss[mine] = self._slope(outputs, y[j][None])[0].mean(axis=1)
            error[mine] = [self.task.error(one, y[j]) for one in outputs]
        return loss, error
