"""Eight networks, trained in one run, as an ensemble: is it better than they are, and how sure?"""

from nnbook import data, ensemble, layers, losses, optim, population

x, y, x_val, y_val, x_test, y_test = data.load_small_fashion_mnist()
x, y, x_test, y_test = x[:2000], y[:2000], x_test[:4000], y_test[:4000]
nets = [layers.mlp(784, [50], 10, activation="relu", seed=seed) for seed in range(8)]
population.fit_population(
    nets,
    (x, y),
    loss=losses.softmax_cross_entropy,
    optimizer=optim.momentum(0.03, momentum=0.9),
    batch_size=50,
    epochs=15,
    seeds=range(8),
    progress=False,
)
together = ensemble.Ensemble(nets)
for size in (1, 2, 4, 8):
    score = together[:size].evaluate((x_test, y_test))
    numbers = [f"{name} {score[name]:.3f}" for name in ("accuracy", "loss", "calibration_error")]
    print(f"{size} members:", ", ".join(numbers))

alone = [together[k : k + 1].evaluate((x_test, y_test))["accuracy"] for k in range(8)]
share = ensemble.disagreement(together.outputs(x_test))
print(f"alone, each of the eight has an accuracy of {min(alone):.3f} to {max(alone):.3f};")
print(f"two of them disagree about {share[share > 0].mean():.1%} of the images")

together.save("ensemble.params")
again = ensemble.Ensemble.load("ensemble.params", lambda k: layers.mlp(784, [50], 10, "relu"))
print(f"loaded: {again}, the same answers: {(again(x_test) == together(x_test)).all()}")
