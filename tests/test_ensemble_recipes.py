"""Members from seeds, a search, checkpoints and snapshots."""

from dataclasses import replace

import numpy as onp
import pytest

from nnbook import data, layers, losses, optim, search, training
from nnbook.ensemble.members import Ensemble
from nnbook.ensemble.recipes import from_checkpoints, from_search, from_seeds, from_snapshots
from nnbook.ensemble.snapshots import Snapshots
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx

X, Y = data.moons(n=60, noise=0.2, rng=0)
X, Y = X.astype("float32"), Y.astype("int32")
SETTINGS = {"loss": losses.softmax_cross_entropy, "batch_size": 10, "progress": False}


def build(seed, device=None):
    return layers.mlp(2, [6], 2, activation="tanh", seed=seed, device=device)


def theta_of(net):
    return ParameterVector(net).theta.asnumpy().copy()


# ---------------------------------------------------------------------- seeds


@pytest.mark.parametrize("device", [mx.cpu(), mx.cpu(1)], ids=str)
def test_members_of_seeds_are_trained_as_fit_trains_each(device):
    seeds = [3, 1, 8]
    settings = SETTINGS | {"optimizer": optim.adam(0.01), "epochs": 3}
    found = from_seeds(lambda s: build(s, device), seeds, (X, Y), combine="logits", **settings)
    assert isinstance(found, Ensemble)
    assert found.combine == "logits"
    for member, seed in zip(found.members, seeds, strict=True):
        alone = build(seed)
        training.fit(alone, (X, Y), seed=seed, **settings)
        onp.testing.assert_allclose(theta_of(member), theta_of(alone), atol=1e-5)
    assert found(X).shape == (60, 2)


def test_members_that_stop_early_keep_their_best():
    options = SETTINGS | {"optimizer": optim.adam(0.05), "epochs": 8}
    stopping = training.EarlyStopping(patience=1)
    found = from_seeds(build, [0, 1], (X, Y), (X[:9], Y[:9]), early_stopping=stopping, **options)
    plain = from_seeds(build, [0, 1], (X, Y), **options)
    scores = [
        [training.evaluate(m, (X[:9], Y[:9]), SETTINGS["loss"])["loss"] for m in e.members]
        for e in (found, plain)
    ]
    assert sum(scores[0]) < sum(scores[1])


def test_a_member_that_diverges_is_left_out_with_a_warning():
    targets = onp.eye(2, dtype="float32")[Y]
    options = SETTINGS | {"loss": losses.squared_error, "epochs": 3, "combine": "outputs"}

    def linear(seed):
        return layers.mlp(2, [], 2, seed=seed)

    rates = optim.sgd(onp.array([0.1, 1e30, 0.1]))
    with pytest.warns(RuntimeWarning, match="the member of seed 5 is left out: the loss is not"):
        found = from_seeds(linear, [4, 5, 6], (X, targets), optimizer=rates, **options)
    assert len(found) == 2
    assert onp.isfinite(found(X)).all()
    with pytest.raises(FloatingPointError, match="none of the 2 members"):
        from_seeds(linear, [0, 1], (X, targets), optimizer=optim.sgd(1e30), **options)


def test_bad_seeds():
    options = SETTINGS | {"optimizer": optim.sgd(0.1)}
    with pytest.raises(ValueError, match=r"seeds are \[1, 1\]; expected .*all different"):
        from_seeds(build, [1, 1], (X, Y), **options)
    with pytest.raises(ValueError, match=r"seeds are \[\]"):
        from_seeds(build, [], (X, Y), **options)
    one = build(0)
    before = theta_of(one)
    with pytest.raises(ValueError, match="returned the same network twice"):
        from_seeds(lambda seed: one, [0, 1], (X, Y), **options)
    with pytest.raises(ValueError, match="combine is 'median'"):
        from_seeds(lambda seed: one, [0], (X, Y), combine="median", **options)
    assert (theta_of(one) == before).all()


# ---------------------------------------------------------------------- search


def trainer(**options):
    return search.TrainPopulation(
        build=lambda c, seed: layers.mlp(2, [c["hidden"]], 2, seed=seed),
        optimizer=lambda c: optim.adam(c["learning_rate"]),
        train=(X[:40], Y[:40]), validation=(X[40:], Y[40:]),
        loss=losses.softmax_cross_entropy, batch_size=10, epochs=3,
        **{"epoch": "last"} | options,
    )  # fmt: skip


SPACE = search.Space(learning_rate=search.log(1e-4, 0.1), hidden=search.categorical([3, 6]))


def test_the_best_of_a_search_are_trained_again():
    found = search.GridSearch(SPACE, points=3, seeds=2).run(evaluate_many=trainer())
    best = found.complete.sorted
    chosen = from_search(found, trainer(), top=4)
    assert len(chosen) == 4
    for k, member in enumerate(chosen.members):
        again = training.evaluate(member, (X[40:], Y[40:]), losses.softmax_cross_entropy)
        assert again["loss"] == pytest.approx(best[k]["val_loss"], rel=1e-4)
        assert member[0].weight.shape[0] == best[k]["hidden"]


def test_bad_searches():
    found = search.GridSearch(SPACE, points=2).run(lambda c, seed: c["learning_rate"])
    with pytest.raises(ValueError, match="top is 9, but 4 of 4 trials are complete"):
        from_search(found, trainer(), top=9)
    with pytest.raises(ValueError, match="top is 0"):
        from_search(found, trainer(), top=0)
    with pytest.raises(TypeError, match="results is a list; expected nnbook"):
        from_search([], trainer())
    with pytest.raises(TypeError, match="trainer is a function; expected the nnbook"):
        from_search(found, build)
    with pytest.raises(ValueError, match="no seeds"):
        from_search(found.over_seeds(), trainer(), top=2)


def test_a_member_that_cannot_be_trained_again_is_left_out():
    found = search.GridSearch(SPACE, points=2).run(lambda c, seed: -c["learning_rate"])

    def fails(configuration, seed):
        if configuration["hidden"] == 3:
            raise RuntimeError("no such network")
        return layers.mlp(2, [6], 2, seed=seed)

    with pytest.warns(RuntimeWarning, match="left out: no such network"):
        chosen = from_search(found, replace(trainer(), build=fails), top=2)
    assert len(chosen) == 1


# ---------------------------------------------------------------------- checkpoints


def checkpointed(path, seed, epochs=2):
    net = build(seed)
    options = SETTINGS | {"optimizer": optim.sgd(0.1), "epochs": epochs}
    training.fit(net, (X, Y), callbacks=[training.Checkpoint(path)], **options)
    return theta_of(net)


def test_members_of_checkpoint_files(tmp_path):
    paths = [tmp_path / f"{seed}.checkpoint" for seed in (0, 1)]
    thetas = [checkpointed(path, seed) for seed, path in enumerate(paths)]
    before = tmp_path / "1.checkpoint.previous"
    net = build(7)
    net.hybridize()
    mine = theta_of(net)
    found = from_checkpoints(net, [*paths, str(before), thetas[0], mx.np.array(thetas[1])])
    members = [theta_of(member) for member in found.members]
    for member, theta in zip(members, [*thetas, None, *thetas], strict=True):
        assert theta is None or (member == theta).all()
    assert not (members[2] == members[1]).all()  # an epoch earlier
    assert (theta_of(net) == mine).all()
    assert all(member._active for member in found.members)


def test_running_statistics_come_with_a_checkpoint(tmp_path):
    def normalised():
        net = mx.gluon.nn.HybridSequential()
        net.add(mx.gluon.nn.Dense(2, in_units=2), mx.gluon.nn.BatchNorm(in_channels=2))
        net.initialize()
        return net

    net, path = normalised(), tmp_path / "run.checkpoint"
    options = SETTINGS | {"optimizer": optim.sgd(0.1), "epochs": 2}
    training.fit(net, (X, Y), callbacks=[training.Checkpoint(path)], **options)
    kept = ParameterVector(net).snapshot()
    for found in (from_checkpoints(normalised(), [path]), from_checkpoints(normalised(), [kept])):
        mean = found.members[0][1].running_mean.data().asnumpy()
        assert (mean == kept["state"]["1.running_mean"]).all()
        assert onp.abs(mean).max() > 0


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "run.checkpoint"
    checkpointed(path, 0)
    content = path.read_bytes()
    damaged, short, other = (tmp_path / name for name in ("damaged", "short", "other"))
    damaged.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    short.write_bytes(content[:-100])
    training.checkpoint.save_tree(other, {"something": 1})
    for file, message in (
        (damaged, "does not match its SHA-256"),
        (short, "is truncated"),
        (other, "holds no training run"),
        (tmp_path / "missing", "cannot read"),
    ):
        with pytest.raises(training.CheckpointError, match=message):
            from_checkpoints(build(0), [path, file])


def test_checkpoints_that_do_not_fit(tmp_path):
    path = tmp_path / "run.checkpoint"
    checkpointed(path, 0)
    with pytest.raises(ValueError, match="another architecture"):
        from_checkpoints(layers.mlp(2, [7], 2), [path])
    with pytest.raises(ValueError, match="another architecture"):
        from_checkpoints(build(0), [onp.zeros(3)])
    with pytest.raises(TypeError, match="expected a list of them"):
        from_checkpoints(build(0), path)
    with pytest.raises(TypeError, match="a checkpoint is a int; expected"):
        from_checkpoints(build(0), [3])
    with pytest.raises(ValueError, match="members is empty"):
        from_checkpoints(build(0), [])


# ---------------------------------------------------------------------- snapshots


def test_members_of_snapshots():
    net, snapshots = build(0), Snapshots(1)
    options = SETTINGS | {"optimizer": optim.sgd(0.1), "epochs": 4}
    training.fit(net, (X, Y), callbacks=[snapshots], **options)
    every, late = from_snapshots(net, snapshots), from_snapshots(net, snapshots, last=2)
    assert [len(every), len(late)] == [4, 2]
    kept = [snapshot["theta"] for snapshot in snapshots.snapshots]
    for member, theta in zip([*every.members, *late.members], kept + kept[2:], strict=True):
        assert (theta_of(member) == theta).all()
    with pytest.raises(ValueError, match="last is 5, but there are 4 snapshots"):
        from_snapshots(net, snapshots, last=5)
    with pytest.raises(ValueError, match="no snapshot was taken yet"):
        from_snapshots(net, Snapshots(1))


# ---------------------------------------------------------------------------- what the loss says


@pytest.mark.parametrize(
    ("loss", "outputs", "combine"),
    [
        (losses.squared_error, 1, "outputs"),
        ("squared_error", 1, "outputs"),
        (losses.softmax_cross_entropy, 2, "probabilities"),
        (losses.sigmoid_cross_entropy, 1, "probabilities"),
    ],
)
def test_the_loss_says_what_is_averaged(loss, outputs, combine):
    x = onp.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    y = (x[:, 0] > 0).astype(int)
    found = from_seeds(
        lambda seed: layers.mlp(3, [4], outputs, "tanh", seed=seed),
        range(2),
        (x, y),
        loss=loss,
        optimizer=optim.adam(0.05),
        batch_size=40,
        epochs=40,
        progress=False,
    )
    assert found.combine == combine
    if combine == "outputs":
        assert found.evaluate((x, y))["loss"] < 0.1
    else:
        assert found.evaluate((x, y))["accuracy"] > 0.9
