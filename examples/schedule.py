"""A schedule in `fit`, and the same rule with a schedule on plain NumPy arrays."""

import numpy as np

from nnbook import data, layers, losses, optim, schedules, training

STEPS = 40 * 400 // 20  # 40 epochs of 400 examples in minibatches of 20
train, validation = data.moons(400, noise=0.25, rng=0), data.moons(2000, noise=0.25, rng=1)
rates = {
    "constant": 0.3,
    "cosine": schedules.cosine(0.3, STEPS),
    "warm-up and cosine": schedules.warmup(schedules.cosine(0.3, STEPS), 40),
}
for name, rate in rates.items():
    losses_at_the_end = []
    for seed in range(4):
        net = layers.mlp(2, [32], 2, activation="tanh", seed=seed)
        rule = optim.momentum(rate, momentum=0.9)
        settings = {"loss": losses.softmax_cross_entropy, "optimizer": rule, "batch_size": 20}
        history = training.fit(net, train, validation, epochs=40, seed=seed, **settings)
        losses_at_the_end.append(history[-1]["val_loss"])
    print(f"{name:19} validation loss of four seeds:", np.round(losses_at_the_end, 3))

# A schedule is a function of the step, and takes arrays of steps; a rule is two pure functions.
print("a cosine at its quarters:", schedules.cosine(1, STEPS)(STEPS * np.arange(5) / 4).round(3))
curvature, theta = np.array([1.0, 30.0]), np.array([1.0, 1.0])
rule = optim.momentum(schedules.cosine(0.05, 100), momentum=0.9)
state = rule.init(theta)
for _ in range(100):
    step, state = rule.update(curvature * theta, state, theta)
    theta = theta + step
print(f"a valley on NumPy: 1.414 from the minimum at first, {np.hypot(*theta):.1e} after 100 steps")
