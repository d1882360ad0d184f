"""Use nnbook with a JAX model: check its gradient, train it, compare arms, calibrate it."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.tree_util import keystr, tree_leaves_with_path

from nnbook import checks, claims, data, ensemble, objective, optim, schedules

jax.config.update("jax_enable_x64", True)  # in float32 rounding hides small mistakes
EPOCHS, BATCH, SEEDS = 20, 20, range(100, 108)  # fresh: the arms were chosen on others


def objective_of(model, params, loss, x, y):
    """Make an Objective of a model, the pytree of its parameters, and data."""
    start, unravel = ravel_pytree(params)
    value = jax.jit(lambda theta, x, y: loss(model(unravel(theta), x), y))
    gradient = jax.jit(jax.grad(value))
    leaves = tree_leaves_with_path(params)
    return objective.from_function(
        lambda theta, rows: value(theta, x[rows], y[rows]),
        lambda theta, rows: gradient(theta, x[rows], y[rows]),
        start,
        shapes={keystr(path, simple=True, separator="."): leaf.shape for path, leaf in leaves},
        examples=len(x),
    )


def cross_entropy(z, y):
    """Return the mean cross-entropy of logits z and labels y."""
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1).mean()


@jax.custom_vjp
def my_cross_entropy(z, y):
    """Return the same, with a backward pass written by hand."""
    return cross_entropy(z, y)


def _backward(residuals, slope):
    z, y = residuals
    return slope * (jax.nn.softmax(z) - jax.nn.one_hot(y, z.shape[1])), None  # and the mean?


my_cross_entropy.defvjp(lambda z, y: (cross_entropy(z, y), (z, y)), _backward)


def model(params, x):
    """Return the logits of two dense layers with tanh between them."""
    hidden = jnp.tanh(x @ params["hidden"]["weight"] + params["hidden"]["bias"])
    return hidden @ params["out"]["weight"] + params["out"]["bias"]


def initial(seed):
    """Return untrained parameters."""
    rng = np.random.default_rng(seed)
    return {
        "hidden": {"weight": jnp.array(rng.normal(size=(784, 30)) / 28), "bias": jnp.zeros(30)},
        "out": {"weight": jnp.array(rng.normal(size=(30, 10)) / 30**0.5), "bias": jnp.zeros(10)},
    }


def train(rule, seed):
    """Train with a rule of nnbook; return the parameters."""
    start, unravel = ravel_pytree(initial(seed))
    rng, theta, state = np.random.default_rng(seed), np.asarray(start), rule.init(start)
    for _ in range(EPOCHS):
        for rows in data.minibatches(len(x), BATCH, rng=rng):
            problem.theta = theta
            step, state = rule.update(problem.gradient(rows), state, theta)
            theta = theta + step
    return unravel(theta)


images, labels, x_val, y_val, x_test, y_test = data.load_small_fashion_mnist()
x, y = images[:500].astype("float64"), labels[:500]

for loss in (cross_entropy, my_cross_entropy):
    print(loss.__name__)
    print(checks.check_gradients(objective_of(model, initial(0), loss, x, y)), "\n")
problem = objective_of(model, initial(0), cross_entropy, x, y)
with jax.enable_x64(False):
    rounded = checks.check_gradients(objective_of(model, initial(0), cross_entropy, x, y))
print(f"{rounded.dtype}: the worst relative error is {rounded.worst_relative_error:.0e}\n")

steps = EPOCHS * len(x) // BATCH
rules = {
    "momentum": optim.momentum(schedules.cosine(0.05, steps), momentum=0.9),
    "adam": optim.adam(schedules.cosine(0.002, steps)),
}
trained = {name: [train(rule, seed) for seed in SEEDS] for name, rule in rules.items()}
errors = {
    name: [100 * (model(p, x_test).argmax(axis=1) != y_test).mean() for p in arm]
    for name, arm in trained.items()
}
result = claims.compare(**errors, smaller_is_better=True, smallest_effect=1.0, unit="%")
decision = result.equal("adam", to="momentum")
print(result, f"{decision.statement}: {decision.outcome}, {decision.evidence}\n", sep="\n")

params = trained["momentum"][0]
temperature = ensemble.fit_temperature(model(params, x_val), y_val)
for t in (1.0, temperature):
    probabilities = ensemble.apply_temperature(model(params, x_test), t)
    print(f"temperature {t:.2f}:", ensemble.reliability(probabilities, y_test))
