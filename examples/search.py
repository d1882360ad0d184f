"""A random search for rate, width and weight decay that survives being stopped.

Every result is on disk before the next training starts. Stop it with Ctrl-C and run it again: it
goes on where it was, and what has a result is not trained a second time.
"""

from nnbook import data, layers, losses, optim, search

train, validation = data.spirals(300, rng=0), data.spirals(300, rng=1)
trained = 0


def build(configuration, seed):
    """Return an untrained network, and count it."""
    global trained
    trained += 1
    return layers.mlp(2, [configuration["width"]], 3, "tanh", seed=seed)


space = search.Space(
    learning_rate=search.log(0.001, 10),
    width=search.integer(4, 32, log=True),
    weight_decay=search.log(1e-6, 1e-2),
)
trainer = search.TrainPopulation(
    build=build,
    optimizer=lambda c: optim.momentum(c["learning_rate"], momentum=0.9),
    penalty=lambda c: losses.l2_penalty(c["weight_decay"]),
    train=train,
    validation=validation,
    loss=losses.softmax_cross_entropy,
    epochs=20,
    value="val_error",
)
plan = search.RandomSearch(space, trials=24)
results = plan.run(evaluate_many=trainer, batch=8, path="search.journal")
print(f"{trained} networks trained now, {len(results)} results on disk; the best three:")
for k in results["value"].argsort()[:3]:
    print(f"error {results['value'][k]:.1%} with", results.configuration(k))
