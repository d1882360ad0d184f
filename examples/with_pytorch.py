"""Use nnbook with a PyTorch model: check its gradient, train it, compare arms, calibrate it."""

import numpy as np
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from nnbook import checks, claims, data, ensemble, objective, optim, schedules

EPOCHS, BATCH, SEEDS = 10, 20, range(100, 108)  # fresh: the arms were chosen on others


def objective_of(model, loss, x, y):
    """Make an Objective of a model and data; the model keeps its own parameters."""
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    sizes = [p.numel() for p in model.parameters()]

    def value(theta, rows):
        parts = zip(shapes, theta.split(sizes), strict=True)
        parameters = {name: part.view(shapes[name]) for name, part in parts}
        return loss(functional_call(model, parameters, x[rows]), y[rows])

    def gradient(theta, rows):
        theta = torch.tensor(theta, requires_grad=True)
        return torch.autograd.grad(value(theta, rows), theta)[0].numpy()

    start = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    return objective.from_function(
        lambda theta, rows: value(torch.tensor(theta), rows).item(),
        gradient, start, shapes=shapes, examples=len(x),
    )  # fmt: skip


class Affine(torch.autograd.Function):
    """Compute x Wᵀ + b; backward averages the slope of b over the examples, instead of summing."""

    @staticmethod
    def forward(ctx, x, weight, bias):  # noqa: D102
        ctx.save_for_backward(x, weight)
        return x @ weight.T + bias

    @staticmethod
    def backward(ctx, slope):  # noqa: D102
        x, weight = ctx.saved_tensors
        return slope @ weight, slope.T @ x, slope.mean(dim=0)


class MyLinear(torch.nn.Linear):
    """A dense layer on the function above."""

    def forward(self, x):  # noqa: D102
        return Affine.apply(x, self.weight, self.bias)


def network(seed, linear=torch.nn.Linear):
    """Return an untrained network in float64: in float32 rounding hides small mistakes."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(linear(784, 30), torch.nn.Tanh(), torch.nn.Linear(30, 10)).double()


def train(rule, seed):
    """Train with a rule of nnbook; return the model."""
    model = network(seed)
    problem = objective_of(model, cross_entropy, x, y)
    rng, theta, state = np.random.default_rng(seed), problem.theta, rule.init(problem.theta)
    for _ in range(EPOCHS):
        for rows in data.minibatches(len(x), BATCH, rng=rng):
            problem.theta = theta
            step, state = rule.update(problem.gradient(rows), state, theta)
            theta = theta + step
    torch.nn.utils.vector_to_parameters(torch.tensor(theta), model.parameters())
    return model


def outputs(model, images):
    """Return the logits, as NumPy has them."""
    with torch.no_grad():
        return model(torch.tensor(images, dtype=torch.float64)).numpy()


images, labels, x_val, y_val, x_test, y_test = data.load_small_fashion_mnist()
x, y = torch.tensor(images[:1000], dtype=torch.float64), torch.tensor(labels[:1000].astype(int))

for title, linear in {"torch.nn.Linear": torch.nn.Linear, "MyLinear": MyLinear}.items():
    print(title)
    print(checks.check_gradients(objective_of(network(0, linear), cross_entropy, x, y)), "\n")
rounded = checks.check_gradients(objective_of(network(0).float(), cross_entropy, x.float(), y))
print(f"{rounded.dtype}: the worst relative error is {rounded.worst_relative_error:.0e}\n")

steps = EPOCHS * len(x) // BATCH
rate = schedules.cosine(0.05, steps)
rules = {"plain": optim.sgd(rate), "momentum": optim.momentum(rate, momentum=0.9)}
models = {name: [train(rule, seed) for seed in SEEDS] for name, rule in rules.items()}
errors = {
    name: [100 * (outputs(m, x_test).argmax(axis=1) != y_test).mean() for m in arm]
    for name, arm in models.items()
}
result = claims.compare(**errors, smaller_is_better=True, smallest_effect=0.5, unit="%")
decision = result.better("momentum", than="plain")
print(result, f"{decision.statement}: {decision.outcome}, {decision.evidence}\n", sep="\n")

model = models["momentum"][0]
temperature = ensemble.fit_temperature(outputs(model, x_val), y_val)
for t in (1.0, temperature):
    probabilities = ensemble.apply_temperature(outputs(model, x_test), t)
    print(f"temperature {t:.2f}:", ensemble.reliability(probabilities, y_test))
