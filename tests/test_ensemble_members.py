"""`Ensemble`: any models, run without changing them, combined, weighted, saved and loaded."""

import numpy as onp
import pytest

from nnbook import data, ensemble, layers, losses, optim, population, training
from nnbook.ensemble import Ensemble
from nnbook.gluon.parameters import ParameterVector, named_parameters
from nnbook.runtime import mx, np
from nnbook.training import CheckpointError

nn = mx.gluon.nn
RNG = onp.random.default_rng(3)
X = RNG.normal(size=(23, 8)).astype("float32")
Y = RNG.integers(0, 3, 23)


def images(k, device=None):
    """A network of images with batch normalisation, of four-by-two pixels."""
    mx.random.seed(k)
    net = nn.HybridSequential()
    net.add(
        nn.HybridLambda(lambda F, x: F.np.reshape(x, (-1, 1, 4, 2))),
        nn.Conv2D(3, 2, in_channels=1),
        nn.BatchNorm(in_channels=3),
        nn.Dense(3, in_units=9),
    )
    net.initialize(mx.init.Normal(0.5), ctx=device)
    return net


def mlp(k, **settings):
    return layers.mlp(8, [5], 3, dropout=0.5, seed=k, **settings)


def shallow(k):
    return layers.mlp(8, [], 3, seed=k)


def hybridised(k, static=False):
    net = mlp(k)
    net.hybridize(static_alloc=static, static_shape=static)
    return net


KINDS = {
    "mlp": mlp,
    "convolution": images,
    "hybridised": hybridised,
    "static": lambda k: hybridised(k, static=True),
    "float64": lambda k: mlp(k, dtype="float64"),
    "another device": lambda k: mlp(k, device="cpu(1)"),
    "hybrid convolution elsewhere": lambda k: elsewhere(k),
    "eager": lambda k: eager(k),
}


def elsewhere(k):
    net = images(k, mx.cpu(1))
    net.hybridize()
    return net


def eager(k):
    net = nn.Sequential()
    net.add(mlp(k))
    return net


every_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())


def values(net):
    return {name: p.data().asnumpy() for name, p in named_parameters(net).items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        onp.testing.assert_array_equal(a[name], b[name])


def stirred(net):
    """Give a network values, running statistics among them, that no initialiser gives."""
    for parameter in named_parameters(net).values():
        shape, dtype = parameter.shape, parameter.dtype
        fresh = RNG.uniform(0.1, 1, shape)
        parameter.set_data(np.array(fresh, dtype=dtype))
    return net


def predict_proba(x):
    return x[:, :3] / 10


# ---------------------------------------------------------------------------- what it gives


@every_kind
def test_a_member_gives_what_its_network_gives(make):
    nets = [stirred(make(k)) for k in range(2)]
    before = [values(net) for net in nets]
    found = Ensemble(nets).outputs(X, batch_size=5)
    assert found.shape == (2, 23, 3)
    for k, net in enumerate(nets):
        parameter = next(iter(named_parameters(net).values()))
        whole = net(np.array(X, dtype=parameter.dtype, ctx=parameter.list_ctx()[0]))
        onp.testing.assert_allclose(found[k], whole.asnumpy(), rtol=1e-5, atol=1e-6)
        assert_same(values(net), before[k])


@pytest.mark.parametrize("make", [mlp, images, hybridised])
def test_recording_changes_nothing(make):
    both = Ensemble([make(0), make(1)])
    expected, before = both.outputs(X), values(both.members[0])
    with mx.autograd.record():  # dropout would be on, and running statistics would move
        assert mx.autograd.is_training()
        found = both.outputs(X)
    onp.testing.assert_array_equal(found, expected)
    assert_same(values(both.members[0]), before)


def test_members_of_every_kind_together():
    nets = [make(0) for make in KINDS.values()]
    mixed = Ensemble([*nets, lambda x: onp.asarray(x[:, :3]), lambda x: np.array(x[:, :3])])
    found = mixed(X, batch_size=4)
    outputs = mixed.outputs(X)
    expected = ensemble.average_probabilities(outputs)
    onp.testing.assert_allclose(found, expected, rtol=1e-5)
    onp.testing.assert_array_equal(outputs[-1], X[:, :3])
    onp.testing.assert_array_equal(outputs[-2], X[:, :3])


def test_examples_may_be_of_any_kind():
    both = Ensemble([mlp(0), lambda x: x[:, :3]])
    expected = both(X)
    onp.testing.assert_array_equal(both(np.array(X, ctx=mx.cpu(1))), expected)
    onp.testing.assert_array_equal(both(X.astype("float64")), expected)


@pytest.mark.parametrize(
    ("combine", "function"),
    [
        ("probabilities", ensemble.average_probabilities),
        ("logits", ensemble.average_logits),
        ("votes", ensemble.vote),
        ("outputs", ensemble.average_outputs),
    ],
)
def test_it_combines_as_it_says(combine, function):
    many = Ensemble([mlp(k) for k in range(3)], combine, weights=[1, 2, 3])
    onp.testing.assert_allclose(many.weights, [1 / 6, 1 / 3, 1 / 2])
    expected = function(many.outputs(X), [1, 2, 3])
    onp.testing.assert_array_equal(many(X), expected)
    if combine != "outputs":
        onp.testing.assert_array_equal(many.predict(X), expected.argmax(axis=1))


def test_it_is_scored_by_its_combined_probabilities():
    many = Ensemble([mlp(k) for k in range(3)])
    probabilities = many(X)
    assert many.evaluate((X, Y), batch_size=7) == pytest.approx(
        {
            "loss": ensemble.negative_log_likelihood(probabilities, Y),
            "accuracy": (probabilities.argmax(axis=1) == Y).mean(),
            "brier": ensemble.brier_score(probabilities, Y),
            "calibration_error": ensemble.expected_calibration_error(probabilities, Y),
        },
        rel=1e-5,
    )


def test_one_member_scores_as_its_network():
    net = mlp(0)
    alone = Ensemble([net]).evaluate((X, Y))
    expected = training.evaluate(net, (X, Y), losses.softmax_cross_entropy)
    assert alone["accuracy"] == expected["accuracy"]
    assert alone["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_regression():
    nets = [layers.mlp(8, [5], 1, seed=k) for k in range(3)]
    targets = X[:, :1]
    mean = Ensemble(nets, "outputs")
    apart = ensemble.ambiguity(mean.outputs(X), targets)
    assert mean.evaluate((X, targets)) == pytest.approx({"loss": 0.5 * apart.ensemble_error})
    alone = [training.evaluate(net, (X, targets), losses.squared_error)["loss"] for net in nets]
    assert onp.mean(alone) == pytest.approx(0.5 * apart.mean_error, rel=1e-5)
    onp.testing.assert_array_equal(mean.predict(X), mean(X)[:, 0])
    with pytest.raises(ValueError, match=r"targets have the shape \(23, 8\); expected \(23, 1\)"):
        mean.evaluate((X, X))


def test_a_population_is_an_ensemble_and_averaging_it_helps():
    x, y = data.moons(300, noise=0.3, rng=0)
    nets = [layers.mlp(2, [16], 2, activation="tanh", seed=k) for k in range(4)]
    population.fit_population(
        nets, (x[:150], y[:150]), loss=losses.softmax_cross_entropy, optimizer=optim.momentum(0.2),
        batch_size=10, epochs=20, seeds=range(4), progress=False,
    )  # fmt: skip
    held_out = x[150:], y[150:]
    together = Ensemble(nets)
    alone = [together[k].evaluate(held_out)["loss"] for k in range(4)]
    gap = ensemble.jensen_gap(together.outputs(held_out[0]), held_out[1])
    loss = together.evaluate(held_out)["loss"]
    assert loss == pytest.approx(onp.mean(alone) - gap.mean(), abs=1e-12)
    assert loss < onp.mean(alone)


# ------------------------------------------------------------------------ parts and weights


def test_parts_of_it_are_ensembles():
    nets = [mlp(k) for k in range(4)]
    many = Ensemble(nets, "logits", [1, 2, 3, 4])
    assert len(many) == 4
    assert many[1].members == (nets[1],)
    assert many[-1].members == (nets[3],)
    assert many[:2].members == tuple(nets[:2])
    onp.testing.assert_allclose(many[:2].weights, [1 / 3, 2 / 3])
    chosen = many[[0, 3]]
    assert (chosen.members, chosen.combine) == ((nets[0], nets[3]), "logits")
    onp.testing.assert_allclose(chosen.weights, [0.2, 0.8])
    assert [len(part) for part in many] == [1, 1, 1, 1]
    with pytest.raises(IndexError):
        many[4]
    with pytest.raises(ValueError, match="members is empty"):
        many[2:2]


def test_repr():
    many = Ensemble([predict_proba] * 2)
    assert repr(many) == "Ensemble(2 members, combine='probabilities')"
    assert repr(many[0]) == "Ensemble(1 member, combine='probabilities')"
    weighted = Ensemble([predict_proba] * 2, "votes", [1, 3])
    assert repr(weighted) == "Ensemble(2 members, combine='votes', weights=[0.25, 0.75])"


def test_it_cannot_be_changed():
    weights = onp.ones(2)
    many = Ensemble([mlp(0), mlp(1)], weights=weights)
    with pytest.raises(AttributeError):
        many.combine = "votes"
    with pytest.raises(ValueError, match="read-only"):
        many.weights[0] = 1
    weights[0] = 5
    onp.testing.assert_array_equal(many.weights, [0.5, 0.5])


def test_weights_are_fitted_on_validation_data():
    good = onp.eye(3)[Y]
    x = onp.concatenate([good, RNG.normal(size=(23, 5))], axis=1)
    many = Ensemble([lambda x: x[:, :3] * 0.8, lambda x: x[:, 3:6], lambda x: x[:, 5:]])
    fitted = many.fit_weights((x, Y))
    assert fitted.members == many.members
    assert fitted.weights[0] > 0.6
    assert fitted.evaluate((x, Y))["loss"] < many.evaluate((x, Y))["loss"]
    onp.testing.assert_array_equal(many.weights, [1 / 3] * 3)
    with pytest.raises(ValueError, match=r"averages votes; .*combine='probabilities'"):
        Ensemble(many.members, "votes").fit_weights((x, Y))


# -------------------------------------------------------------------------------- files


@every_kind
def test_what_is_loaded_is_what_was_saved(make, tmp_path):
    many = Ensemble([stirred(make(k)) for k in range(2)], "logits", [1, 2])
    many.save(tmp_path / "file")
    nets = []

    def build(k):
        nets.append(make(k + 10))
        return nets[-1]

    loaded = Ensemble.load(tmp_path / "file", build)
    assert loaded.members == tuple(nets)
    assert loaded.combine == "logits"
    onp.testing.assert_array_equal(loaded.weights, many.weights)
    for mine, theirs in zip(loaded.members, many.members, strict=True):
        assert_same(values(mine), values(theirs))
    onp.testing.assert_array_equal(loaded.outputs(X), many.outputs(X))


def test_a_network_seen_as_a_vector_keeps_its_vector(tmp_path):
    Ensemble([stirred(mlp(0))]).save(tmp_path / "file")
    net = mlp(1)
    vector = ParameterVector(net)
    loaded = Ensemble.load(tmp_path / "file", lambda k: net)
    assert loaded.members == (net,)
    onp.testing.assert_array_equal(vector.view(vector.theta, "0.weight").asnumpy(),
                                   values(net)["0.weight"])  # fmt: skip


def test_a_file_that_was_there_is_kept(tmp_path):
    first, second = Ensemble([mlp(0)]), Ensemble([mlp(1)])
    first.save(tmp_path / "file")
    second.save(tmp_path / "file")
    before = Ensemble.load(tmp_path / "file.previous", mlp)
    assert_same(values(before.members[0]), values(first.members[0]))


@pytest.mark.parametrize("keep", [0.3, 0.99])
def test_a_truncated_file_is_noticed(keep, tmp_path):
    path = tmp_path / "file"
    Ensemble([mlp(0), mlp(1)]).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(CheckpointError, match=r"file is truncated: \d+ bytes of"):
        Ensemble.load(path, mlp)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_flipped_bit_is_noticed(place, tmp_path):
    path = tmp_path / "file"
    Ensemble([mlp(0), mlp(1)]).save(path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="file is damaged"):
        Ensemble.load(path, mlp)


def test_a_file_of_something_else(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(CheckpointError, match="cannot read"):
        Ensemble.load(path, mlp)
    training.fit(
        mlp(0), (X, Y), loss=losses.softmax_cross_entropy, optimizer=optim.sgd(0.1), epochs=1,
        callbacks=[training.Checkpoint(path)], progress=False,
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="file holds no ensemble"):
        Ensemble.load(path, mlp)


def wider(k):
    return layers.mlp(8, [6], 3, dropout=0.5, seed=k)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (
            wider,
            ValueError,
            r"member 1: parameter '0.weight' is float32 of shape \(6, 8\), the file has .*\(5, 8\)",
        ),
        (shallow, ValueError, "member 1: parameter '3.bias' is only in the file"),
        (lambda k: mlp(k, dtype="float64"), ValueError, "is float64 .* the file has float32"),
        (lambda k: predict_proba, TypeError, "expected a Gluon Block"),
    ],
)
def test_another_architecture_is_refused_and_no_network_changed(wrong, error, message, tmp_path):
    Ensemble([mlp(0), mlp(1)]).save(tmp_path / "file")
    built = [mlp(7), wrong(8)]
    before = [values(net) for net in built if isinstance(net, mx.gluon.Block)]
    with pytest.raises(error, match=message):
        Ensemble.load(tmp_path / "file", lambda k: built[k])
    for net, old in zip(built, before, strict=False):
        assert_same(values(net), old)


def test_networks_without_values_get_them_from_a_file_and_give_none(tmp_path):
    whole = nn_dense()
    Ensemble([whole]).save(tmp_path / "file")
    for deferred in (nn.Dense(3), nn.Dense(3, in_units=8)):
        with pytest.raises(ValueError, match="member 0: parameter 'weight' has no values yet"):
            Ensemble([deferred]).save(tmp_path / "other")
        (loaded,) = Ensemble.load(tmp_path / "file", lambda k, net=deferred: net).members
        assert_same(values(loaded), values(whole))
    assert not (tmp_path / "other").exists()


def nn_dense():
    net = nn.Dense(3, in_units=8)
    net.initialize()
    return net


def test_one_network_cannot_be_two_members(tmp_path):
    Ensemble([mlp(0), mlp(1)]).save(tmp_path / "file")
    net = mlp(2)
    before = values(net)
    with pytest.raises(ValueError, match="build returned the same network twice"):
        Ensemble.load(tmp_path / "file", lambda k: net)
    assert_same(values(net), before)


def test_functions_cannot_be_saved(tmp_path):
    with pytest.raises(TypeError, match="member 1 is a function; only Gluon networks"):
        Ensemble([mlp(0), predict_proba]).save(tmp_path / "file")
    assert not (tmp_path / "file").exists()


# ----------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([],), ValueError, "members is empty"),
        ((predict_proba,), TypeError, "members is one function"),
        ((["net"],), TypeError, "member 0 is a str"),
        (([predict_proba], "mean"), ValueError, "combine is 'mean'; expected one of"),
        (([predict_proba] * 2, "votes", [1.0]), ValueError, r"weights have the shape \(1,\)"),
        (([predict_proba] * 2, "votes", [1, -1]), ValueError, "at least 0"),
        (([predict_proba] * 2, "votes", [0, 0]), ValueError, "not all 0"),
    ],
)
def test_wrong_ensembles(arguments, error, message):
    with pytest.raises(error, match=message):
        Ensemble(*arguments)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda e: e(X[:0]), ValueError, r"\(0, 8\); expected at least one example"),
        (lambda e: e(X, batch_size=0), ValueError, "batch_size is 0"),
        (lambda e: e.evaluate((X, Y + 1)), ValueError, "labels out of range"),
        (lambda e: e.evaluate((X, Y[:5])), ValueError, "5 labels for 23 examples"),
        (lambda e: e.evaluate(X), TypeError, "data is a ndarray; expected a pair"),
        (lambda e: e.fit_weights((X, Y - 1)), ValueError, "labels out of range"),
        (lambda e: Ensemble([mlp(0), lambda x: x])(X), ValueError, r"member 1 .* \(8,\), member 0"),
        (lambda e: Ensemble([lambda x: x[:, 0]])(X), ValueError, r"shape \(1, 23\)"),
        (lambda e: Ensemble([lambda x: x[0]])(X), ValueError, r"of shape \(8,\) for 1 examples"),
        (lambda e: Ensemble([lambda x: [x]])(X), ValueError, "the network gave a list for 1"),
        (lambda e: Ensemble([nn.Dense(3)])(X), ValueError, "not initialised"),
        (lambda e: training.example_outputs(3, X), TypeError, "net is a int"),
    ],
)
def test_wrong_input(call, error, message):
    with pytest.raises(error, match=message):
        call(Ensemble([mlp(0), mlp(1)]))


def test_a_member_that_diverged_is_named():
    nets = [mlp(k, activation="tanh") for k in range(3)]
    nets[2][0].bias.set_data(np.full(5, onp.nan))
    with pytest.raises(ValueError, match=r"outputs of member 2 are not all finite.*diverged"):
        Ensemble(nets)(X)


def test_a_network_without_parameters_is_a_member_too():
    flat = nn.HybridLambda(lambda F, x: F.npx.activation(x, act_type="tanh"))
    onp.testing.assert_allclose(training.example_outputs(flat, X), onp.tanh(X), atol=1e-6)


# ---------------------------------------------------------------------------- one output


def single(k):
    return layers.mlp(8, [5], 1, seed=k)


@pytest.mark.parametrize("combine", ["probabilities", "logits", "votes"])
@pytest.mark.parametrize("shape", [(23,), (23, 1)])
def test_single_sigmoids_are_two_classes(combine, shape):
    nets, y = [single(k) for k in range(3)], (Y > 0).astype(int)
    many = Ensemble(nets, combine, weights=[1, 1, 2])
    z = many.outputs(X)
    assert z.shape == (3, 23, 1)
    yes = 1 / (1 + onp.exp(-z[:, :, 0].astype(float)))
    expected = {
        "probabilities": onp.average(yes, axis=0, weights=[1, 1, 2]),
        "votes": onp.average(yes > 0.5, axis=0, weights=[1, 1, 2]),
        "logits": 1 / (1 + onp.exp(-onp.average(z[:, :, 0], axis=0, weights=[1, 1, 2]))),
    }[combine]
    onp.testing.assert_allclose(many(X), onp.stack([1 - expected, expected], axis=1), rtol=1e-6)
    assert many.predict(X).tolist() == (expected > 0.5).astype(int).tolist()
    found = many.evaluate((X, y.reshape(shape)))
    assert found["accuracy"] == ((expected > 0.5) == y).mean()
    if combine == "probabilities":
        likelihood = onp.where(y == 1, expected, 1 - expected)
        assert found["loss"] == pytest.approx(-onp.log(likelihood).mean(), rel=1e-6)


def test_the_weights_of_single_sigmoids():
    nets, y = [single(k) for k in range(3)], (Y > 0).astype(int)
    fitted = Ensemble(nets).fit_weights((X, y))
    assert fitted.evaluate((X, y))["loss"] <= Ensemble(nets).evaluate((X, y))["loss"] + 1e-9


def test_targets_of_a_regression_are_no_classes():
    with pytest.raises(ValueError, match=r"value 0\.5, .*make it with combine='outputs'"):
        Ensemble([single(0)]).evaluate((X, onp.full(23, 0.5)))


def test_training_evaluates_an_ensemble():
    classes = Ensemble([mlp(k) for k in range(2)])
    found = training.evaluate(classes, (X, Y), "softmax_cross_entropy")
    assert found == classes.evaluate((X, Y))
    one = training.evaluate(Ensemble([mlp(0)]), (X, Y), losses.softmax_cross_entropy)
    alone = training.evaluate(mlp(0), (X, Y), losses.softmax_cross_entropy)
    assert one["loss"] == pytest.approx(alone["loss"], rel=1e-5)
    assert one["accuracy"] == alone["accuracy"]
    y = RNG.normal(size=(23, 1))
    numbers = Ensemble([single(0)], "outputs")
    assert training.evaluate(numbers, (X, y), losses.squared_error)["loss"] == pytest.approx(
        training.evaluate(single(0), (X, y), losses.squared_error)["loss"], rel=1e-5
    )
    with pytest.raises(ValueError, match="loss is squared_error, and the ensemble averages prob"):
        training.evaluate(classes, (X, Y), losses.squared_error)
    with pytest.raises(TypeError, match="expected neither beside it"):
        training.evaluate(classes, (X, Y), losses.softmax_cross_entropy, metrics="f1")
