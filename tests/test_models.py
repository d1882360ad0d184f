"""`predict`, `predict_proba`, `save` and `load`: what comes after training."""

import math
import subprocess
import sys

import numpy as onp
import pytest

from nnbook import data, ensemble, layers, losses, models, optim, training
from nnbook.gluon.architecture import build, describe
from nnbook.gluon.parameters import ParameterVector, named_parameters
from nnbook.models.meaning import Meaning
from nnbook.runtime import mx, np
from nnbook.training import CheckpointError

nn, rnn = mx.gluon.nn, mx.gluon.rnn
RNG = onp.random.default_rng(16)
FLAT = RNG.normal(size=(7, 6)).astype("float32")
STEPS = RNG.normal(size=(7, 5, 6)).astype("float32")
IMAGES = RNG.normal(size=(7, 3, 8, 8)).astype("float32")
IDS = RNG.integers(0, 20, (7, 9))


def chain(*blocks):
    net = nn.HybridSequential()
    net.add(*blocks)
    return net


NETS = {
    "mlp": (lambda: layers.mlp(6, [5, 4], 3, "scaled_tanh", dropout=0.2, seed=1), FLAT),
    "linear": (lambda: layers.mlp(6, [], 1, seed=1), FLAT),
    "float64": (lambda: layers.mlp(6, [5], 3, dtype="float64", seed=1), FLAT),
    "nested": (lambda: chain(chain(nn.Dense(4, "tanh"), nn.LayerNorm()), nn.Dense(2)), FLAT),
    "eager": (lambda: eager(), FLAT),
    "no bias": (lambda: chain(nn.Dense(4, use_bias=False), nn.Dense(2, flatten=False)), FLAT),
    "units": (
        lambda: chain(
            *(nn.LeakyReLU(0.2), nn.PReLU(), nn.ELU(0.5), nn.SELU(), nn.GELU(), nn.Swish(0.7)),
            *(layers.Identity(), layers.ScaledTanh(1.5, 0.5, 0.01), layers.Maxout(4, 3)),
            layers.RBF(3, 4),
        ),
        FLAT,
    ),
    "images": (
        lambda: chain(
            nn.Conv2D(4, (3, 2), strides=(1, 2), padding=1, activation="relu"),
            nn.BatchNorm(momentum=0.8, epsilon=1e-3),
            nn.MaxPool2D(2, ceil_mode=True),
            nn.Conv2D(4, 1, use_bias=False, groups=2),
            nn.AvgPool2D(2, 1, count_include_pad=False),
            nn.BatchNorm(scale=False, center=False),
            nn.Flatten(),
            nn.Dense(2),
        ),
        IMAGES,
    ),
    "global pools": (lambda: chain(nn.Conv2D(4, 3), nn.GlobalAvgPool2D(), nn.Dense(2)), IMAGES),
    "tokens": (lambda: chain(nn.Embedding(20, 4), layers.MeanOfSteps(), nn.Dense(2)), IDS),
    "lstm": (
        lambda: chain(rnn.LSTM(4, 2, "NTC", bidirectional=True), layers.LastStep(), nn.Dense(2)),
        STEPS,
    ),
    "gru": (lambda: chain(rnn.GRU(4, layout="NTC"), layers.LastStep(), nn.Dense(1)), STEPS),
    "rnn": (
        lambda: chain(rnn.RNN(4, 1, "tanh", "NTC", input_size=6), layers.LastStep(), nn.Dense(1)),
        STEPS,
    ),
}


def eager():
    net = nn.Sequential()
    net.add(nn.Dense(3, activation="sigmoid"), nn.Dropout(0.5), nn.Dense(2))
    return net


def initialised(make, x):
    """A network with values, running statistics among them, that no initialiser gives."""
    net = make()
    if any(p._data is None for p in named_parameters(net).values()):
        net.initialize()
    training.example_outputs(net, x)
    for parameter in named_parameters(net).values():
        values = RNG.uniform(0.1, 1, parameter.shape)
        parameter.set_data(np.array(values, dtype=parameter.dtype))
    return net


def assert_same_values(a, b):
    mine, theirs = named_parameters(a), named_parameters(b)
    assert mine.keys() == theirs.keys()
    for name, parameter in mine.items():
        onp.testing.assert_array_equal(parameter.data().asnumpy(), theirs[name].data().asnumpy())
        assert onp.dtype(parameter.dtype) == onp.dtype(theirs[name].dtype)
        assert parameter.grad_req == theirs[name].grad_req


class Own(mx.gluon.HybridBlock):
    """A network of somebody's own class."""

    def __init__(self, units=4):
        super().__init__()
        self.hidden, self.out = nn.Dense(units), nn.Dense(2)

    def hybrid_forward(self, F, x):
        return self.out(F.np.tanh(self.hidden(x)))


# ------------------------------------------------------------------------------ architecture


@pytest.mark.parametrize(("make", "x"), NETS.values(), ids=NETS)
def test_a_network_comes_back_whole(make, x, tmp_path):
    net = initialised(make, x)
    expected = training.example_outputs(net, x)
    models.save(tmp_path / "net.nnbook", net)
    found = models.load(tmp_path / "net.nnbook")
    assert_same_values(found.net, net)
    assert repr(found.net) == repr(net)
    onp.testing.assert_array_equal(found.outputs(x), expected)
    assert describe(found.net) == describe(net)


def test_a_hybridised_network_comes_back_whole(tmp_path):
    net = initialised(*NETS["images"])
    net.hybridize()
    expected = training.example_outputs(net, IMAGES)
    models.save(tmp_path / "net", net)
    found = models.load(tmp_path / "net")
    assert_same_values(found.net, net)
    onp.testing.assert_allclose(found.outputs(IMAGES), expected, rtol=1e-5)


def test_a_network_that_was_loaded_trains_on_like_the_one_that_was_saved(tmp_path):
    x, y = RNG.normal(size=(40, 6)), RNG.integers(0, 3, 40)
    settings = {"loss": losses.softmax_cross_entropy, "optimizer": optim.sgd(0.1), "epochs": 2}
    net = layers.mlp(6, [5], 3, dropout=0.3, seed=0)
    training.fit(net, (x, y), progress=False, **settings)
    models.save(tmp_path / "net", net)
    twin = models.load(tmp_path / "net").net
    for one in (net, twin):
        training.fit(one, (x, y), progress=False, seed=3, **settings)
    assert_same_values(twin, net)


def test_frozen_parameters_stay_frozen(tmp_path):
    net = layers.mlp(6, [5], 3, seed=0)
    net[0].weight.grad_req = "null"
    models.save(tmp_path / "net", net)
    found = models.load(tmp_path / "net").net
    assert list(ParameterVector(found).slices) == ["0.bias", "2.weight", "2.bias"]


def test_a_network_of_ones_own_class_needs_one_beside_the_file(tmp_path):
    net = initialised(Own, FLAT)
    models.save(tmp_path / "own", net, loss="softmax_cross_entropy")
    with pytest.raises(TypeError, match=r"class Own\); expected .*load\(path, net=…\)"):
        models.load(tmp_path / "own")
    fresh = Own()
    fresh.initialize()  # its shapes are deferred
    found = models.load(tmp_path / "own", fresh)
    assert found.net is fresh
    assert_same_values(fresh, net)
    onp.testing.assert_array_equal(
        found.predict(FLAT), models.predict(net, FLAT, losses.softmax_cross_entropy)
    )


def test_a_wrong_network_is_refused_and_left_alone(tmp_path):
    models.save(tmp_path / "net", layers.mlp(6, [5], 3, seed=0))
    for other, message in [
        (layers.mlp(6, [4], 3, seed=1), r"'0.weight' is float32 of shape \(4, 6\), the file has"),
        (layers.mlp(6, [5, 5], 3, seed=1), "'4.bias' is only in the network"),
        (layers.mlp(6, [], 3, seed=1), "'2.bias' is only in the file"),
        (layers.mlp(6, [5], 3, dtype="float64", seed=1), "is float64 of shape"),
    ]:
        before = ParameterVector(other).theta.asnumpy()
        with pytest.raises(ValueError, match=message):
            models.load(tmp_path / "net", other)
        onp.testing.assert_array_equal(ParameterVector(other).theta.asnumpy(), before)


def test_a_shared_parameter_is_code(tmp_path):
    first = nn.Dense(6, in_units=6)
    net = chain(first, nn.Dense(6, in_units=6, params=first.params))
    net.initialize()
    models.save(tmp_path / "tied", net)
    with pytest.raises(TypeError, match="two of its layers share a parameter"):
        models.load(tmp_path / "tied")


def test_a_layer_of_a_later_edition_is_named():
    with pytest.raises(ValueError, match="layer 'Attention'"):
        build({"layer": "Attention", "arguments": {}})


# ------------------------------------------------------------------------------ files


def test_another_process_reads_the_file(tmp_path):
    x, _ = data.moons(60, rng=0)
    steps = [data.Standardize().fit(x), data.PCAWhiten().fit(data.Standardize().fit_transform(x))]
    net = layers.mlp(2, [6], 2, seed=0)
    models.save(
        tmp_path / "m.nnbook",
        net,
        loss=losses.softmax_cross_entropy,
        preprocessing=steps,
        classes=["up", "down"],
    )
    onp.save(tmp_path / "x.npy", x)
    program = (
        "import sys, numpy as np; from nnbook import models\n"
        "m = models.load(sys.argv[1] + '/m.nnbook'); x = np.load(sys.argv[1] + '/x.npy')\n"
        "np.savez(sys.argv[1] + '/out.npz', p=models.predict_proba(m, x), c=models.predict(m, x))"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    model = models.Model(net, losses.softmax_cross_entropy, steps, classes=["up", "down"])
    with onp.load(tmp_path / "out.npz") as found:
        onp.testing.assert_allclose(found["p"], model.predict_proba(x), rtol=1e-6)
        onp.testing.assert_array_equal(found["c"], model.predict(x))
    assert set(model.predict(x)) <= {"up", "down"}


@pytest.mark.parametrize(
    "step",
    [
        data.Standardize(),
        data.Standardize(scale=False),
        data.PCAWhiten(n_components=3, epsilon=0.1),
        data.PCAWhiten(whiten=False),
        data.ZCAWhiten(epsilon=0.01),
    ],
    ids=["standardize", "centre", "pca", "pca_not_white", "zca"],
)
def test_preprocessing_comes_back_to_the_bit(step, tmp_path):
    x = RNG.normal(size=(50, 6)) @ RNG.normal(size=(6, 6))
    step.fit(x)
    width = step.transform(x).shape[1]
    models.save(tmp_path / "m", layers.mlp(width, [], 2), preprocessing=step)
    (found,) = models.load(tmp_path / "m").preprocessing
    onp.testing.assert_array_equal(found.transform(x), step.transform(x))
    back = step.transform(x)
    onp.testing.assert_array_equal(found.inverse_transform(back), step.inverse_transform(back))
    onp.testing.assert_array_equal(  # it may go on learning
        found.partial_fit(x).transform(x), step.partial_fit(x).transform(x)
    )


def test_targets_come_back_in_their_units(tmp_path):
    x, y = RNG.normal(size=(80, 3)), 1000 + 50 * RNG.normal(size=(80, 1))
    scale = data.Standardize().fit(y)
    net = layers.mlp(3, [4], 1, seed=0)
    models.save(tmp_path / "m", net, loss="squared_error", target_preprocessing=scale)
    found = models.load(tmp_path / "m").predict(x)
    raw = training.example_outputs(net, x)
    assert found.shape == (80,)
    onp.testing.assert_allclose(found, (raw * scale.scale_ + scale.mean_)[:, 0], rtol=1e-6)


def test_a_file_that_is_no_model(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(CheckpointError, match="cannot read"):
        models.load(path)
    path.write_bytes(b"\x80\x04K\x01.")  # a pickle
    with pytest.raises(CheckpointError, match="is not an nnbook checkpoint"):
        models.load(path)
    ensemble.Ensemble([layers.mlp(3, [], 2)]).save(path)
    with pytest.raises(CheckpointError, match="holds an ensemble; read it with"):
        models.load(path)
    x, y = data.moons(20, rng=0)
    training.fit(
        layers.mlp(2, [], 2),
        (x, y),
        loss=losses.softmax_cross_entropy,
        optimizer=optim.sgd(0.1),
        epochs=1,
        callbacks=[training.Checkpoint(tmp_path / "run")],
        progress=False,
    )
    with pytest.raises(CheckpointError, match="holds a checkpoint of a training run"):
        models.load(tmp_path / "run")


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.999])
def test_a_damaged_file_is_refused(cut, tmp_path):
    path = tmp_path / "m"
    models.save(path, layers.mlp(3, [4], 2))
    content = bytearray(path.read_bytes())
    content[int(cut * len(content))] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match=r"damaged|truncated|not an nnbook checkpoint"):
        models.load(path)


def test_a_later_format_is_refused(tmp_path):
    from nnbook.training.checkpoint import load_tree, save_tree

    models.save(tmp_path / "m", layers.mlp(3, [], 2))
    save_tree(tmp_path / "m", load_tree(tmp_path / "m") | {"format": 99, "nnbook": "9.0"})
    with pytest.raises(CheckpointError, match=r"nnbook 9\.0 in format 99.*install a newer one"):
        models.load(tmp_path / "m")


class Doubling:
    """A step that is code."""

    def transform(self, x):
        return 2 * x

    def inverse_transform(self, x):
        return x / 2


def test_what_cannot_be_saved_leaves_what_was_there(tmp_path):
    path = tmp_path / "m"
    models.save(path, layers.mlp(3, [], 2, seed=0))
    before = path.read_bytes()
    for call, error, message in [
        (lambda: models.save(path, nn.Dense(2)), ValueError, "'weight' has no values yet"),
        (lambda: models.save(path, 3), TypeError, "net is a int"),
        (
            lambda: models.save(path, layers.mlp(3, [], 2), preprocessing=Doubling()),
            TypeError,
            "preprocessing has a Doubling; a file can hold Standardize, PCAWhiten",
        ),
        (
            lambda: models.save(path, layers.mlp(3, [], 2), preprocessing=data.Standardize()),
            RuntimeError,
            "has not been fitted",
        ),
        (
            lambda: models.save(path, models.Model(layers.mlp(3, [], 2)), classes=["a", "b"]),
            TypeError,
            "give none beside it",
        ),
        (lambda: models.save(tmp_path, layers.mlp(3, [], 2)), CheckpointError, "is a folder"),
        (
            lambda: models.save(tmp_path / "no" / "m", layers.mlp(3, [], 2)),
            CheckpointError,
            "exist",
        ),
    ]:
        with pytest.raises(error, match=message):
            call()
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["m"]


# ------------------------------------------------------------------------------ predictions


def constant(outputs):
    """A network that gives every example the same outputs."""
    net = nn.HybridSequential()
    net.add(nn.Dense(len(outputs), in_units=2, weight_initializer="zeros"))
    net.initialize()
    net[0].bias.set_data(np.array(outputs))
    return net


TWO = onp.zeros((3, 2))


def test_softmax():
    net = constant(onp.log([0.2, 0.7, 0.1]))
    for loss in (losses.softmax_cross_entropy, mx.gluon.loss.SoftmaxCrossEntropyLoss()):
        assert models.predict(net, TWO, loss).tolist() == [1, 1, 1]
        onp.testing.assert_allclose(
            models.predict_proba(net, TWO, loss), [[0.2, 0.7, 0.1]] * 3, rtol=1e-6
        )


def test_one_sigmoid():
    net = constant([onp.log(4.0)])
    for loss in (losses.sigmoid_cross_entropy, mx.gluon.loss.SigmoidBCELoss()):
        assert models.predict(net, TWO, loss).tolist() == [1, 1, 1]
        onp.testing.assert_allclose(models.predict_proba(net, TWO, loss), [[0.2, 0.8]] * 3)
    model = models.Model(net, losses.sigmoid_cross_entropy, classes=["no", "yes"])
    assert model.predict(TWO).tolist() == ["yes"] * 3
    assert models.predict(constant([-0.1]), TWO, losses.sigmoid_cross_entropy).tolist() == [0] * 3


def test_probabilities_are_taken_as_they_are():
    loss = losses.binary_cross_entropy
    assert models.predict(constant([0.4]), TWO, loss).tolist() == [0, 0, 0]
    onp.testing.assert_allclose(models.predict_proba(constant([0.4]), TWO, loss), [[0.6, 0.4]] * 3)


def test_several_sigmoids_decide_each_by_itself():
    net = constant([1.0, -1.0, 2.0])
    assert models.predict(net, TWO, losses.sigmoid_cross_entropy).tolist() == [[1, 0, 1]] * 3
    sigma = 1 / (1 + onp.exp([-1.0, 1.0, -2.0]))
    found = models.predict_proba(net, TWO, losses.sigmoid_cross_entropy)
    onp.testing.assert_allclose(found, [sigma] * 3, rtol=1e-6)


def test_margins_are_no_probabilities():
    assert models.predict(constant([1.0, 3.0]), TWO, losses.hinge).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="makes no probabilities"):
        models.predict_proba(constant([1.0, 3.0]), TWO, losses.hinge)


def test_a_loss_of_ones_own_says_what_it_takes():
    def loss(outputs, targets):
        return ((outputs - targets) ** 2).sum(axis=1)

    assert models.predict(constant([1.5, 3.0]), TWO, loss).tolist() == [[1.5, 3.0]] * 3
    loss.targets = "labels"
    assert models.predict(constant([1.5, 3.0]), TWO, loss).tolist() == [1, 1, 1]
    loss.targets = "signs"
    assert models.predict(constant([-1.5]), TWO, loss).tolist() == [-1, -1, -1]


def test_names_of_signs():
    model = models.Model(
        constant([-1.5]), None, meaning=Meaning("signs"), classes=["fraud", "honest"]
    )
    assert model.predict(TWO).tolist() == ["fraud"] * 3


def test_outputs_that_are_not_finite_are_said():
    with pytest.warns(RuntimeWarning, match="3 of 3 examples are not finite"):
        models.predict(constant([math.nan, 1.0]), TWO, losses.softmax_cross_entropy)


def test_regression():
    assert models.predict(constant([1.5]), TWO, losses.squared_error).tolist() == [1.5] * 3
    assert models.predict(constant([1.0, 2.0]), TWO, "squared_error").shape == (3, 2)


def test_any_table_will_do():
    pandas = pytest.importorskip("pandas")
    net = layers.mlp(2, [3], 2, seed=0)
    x = RNG.normal(size=(5, 2)).astype("float32")
    expected = models.predict(net, x, losses.softmax_cross_entropy)
    for other in (x.tolist(), pandas.DataFrame(x, columns=["a", "b"]), np.array(x)):
        assert models.predict(net, other, "softmax_cross_entropy").tolist() == expected.tolist()


def test_wrong_input():
    net = layers.mlp(2, [3], 2, seed=0)
    model = models.Model(net, "softmax_cross_entropy", classes=["a", "b", "c"])
    for call, error, message in [
        (lambda: models.predict(net, TWO), ValueError, "expected the loss that it was trained"),
        (lambda: models.predict(net, TWO, "softmax"), ValueError, "loss is 'softmax'; expected"),
        (lambda: models.predict(3, TWO, losses.hinge), TypeError, "net is a int"),
        (lambda: model.predict(TWO), ValueError, "3 names, and the network tells 2 classes"),
        (lambda: models.predict(model, TWO, "squared_error"), ValueError, "of another kind"),
        (lambda: models.Model(net, classes=["a", "a"]), ValueError, "no two alike"),
        (lambda: models.Model(net, preprocessing=[3]), TypeError, "preprocessing has a int"),
        (lambda: models.Model(net, target_preprocessing=3), TypeError, "inverse_transform"),
    ]:
        with pytest.raises(error, match=message):
            call()


class Words(mx.gluon.HybridBlock):
    def __init__(self, size):
        super().__init__()
        self.embedding = mx.gluon.nn.Embedding(size, 2)
        self.last = mx.gluon.nn.Dense(2)

    def hybrid_forward(self, F, x):
        return self.last(self.embedding(x))


def test_a_network_of_ones_own_may_be_made_from_the_notes(tmp_path):
    net = Words(3)
    net.initialize()
    outputs = net(np.array([[0, 1], [2, 2]]))
    models.save(tmp_path / "words", net, loss="softmax_cross_entropy", notes={"words": list("abc")})

    def build(notes):
        made = Words(len(notes["words"]))
        made.initialize()
        return made

    model = models.load(tmp_path / "words", net=build)
    assert (model.outputs([[0, 1], [2, 2]]) == outputs.asnumpy()).all()
    with pytest.raises(TypeError, match="or a function of the file's notes that makes one"):
        models.load(tmp_path / "words")


def test_what_a_model_cannot_use_is_refused():
    net = layers.mlp(3, [4], 2, seed=0)
    with pytest.raises(TypeError, match="preprocessing has a function; expected what has a method"):
        models.Model(net, losses.softmax_cross_entropy, preprocessing=lambda x: x / 255)
    with pytest.raises(ValueError, match="classes are given, and the loss says nothing of classes"):
        models.Model(net, losses.squared_error, classes=["no", "yes"])
