"""Pretraining of Gluon networks: what it changes, what it leaves, and that training goes on."""

from __future__ import annotations

import numpy as onp
import pytest

from nnbook import data, layers, losses, optim, pretraining, training
from nnbook.gluon.runtime import mx, np
from nnbook.parameters import ParameterVector
from nnbook.pretraining import CD, AutoEncoder, SparseCoding

X, Y = data.load_digits_8x8()
X, Y = X[:200].astype("float32"), Y[:200]
OPTIONS = {"optimizer": optim.sgd(0.1), "epochs": 2}
SETTINGS = {"loss": losses.softmax_cross_entropy, "optimizer": optim.momentum(0.1)}


def net_of(activation="sigmoid", hidden=(24, 16), **options):
    return layers.mlp(64, list(hidden), 10, activation, seed=0, **options)


def theta_of(net):
    return ParameterVector(net).theta.asnumpy().copy()


def hidden_outputs(net, blocks):
    a = np.array(X, dtype=net[0].weight.dtype, ctx=net[0].weight.data().ctx)
    for k in range(blocks):
        a = net[k](a)
    return a.asnumpy()


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu", "scaled_tanh"])
def test_the_networks_layers_are_the_stacks(activation):
    net = net_of(activation)
    before = theta_of(net)
    found = pretraining.pretrain(net, X, AutoEncoder(corruption=0.2), **OPTIONS)
    first, second = found.stack.layers
    onp.testing.assert_allclose(hidden_outputs(found.net, 2), first.encode(X), atol=1e-5)
    onp.testing.assert_allclose(hidden_outputs(found.net, 4), second.encode(second.x), atol=1e-5)
    assert onp.array_equal(second.x, first.encode(X))  # stored codes
    assert first.theta.dtype == onp.float32
    assert onp.array_equal(theta_of(net), before)
    after = theta_of(found.net)
    assert not onp.array_equal(after, before)
    assert not found.net(np.array(X)).asnumpy().any()  # the new output layer is 0


def test_training_goes_on_from_there():
    found = pretraining.pretrain(net_of(), X, AutoEncoder(corruption=0.2), **OPTIONS)
    history = training.fit(found.net, (X, Y), (X, Y), **SETTINGS, epochs=60, progress=False)
    assert history.path == "graph"
    assert history[-1]["val_accuracy"] > 0.9
    assert history[0]["train_loss"] > history[-1]["train_loss"]
    assert not onp.array_equal(hidden_outputs(found.net, 2), found.stack.layers[0].encode(X))


def test_pretraining_begins_with_the_networks_weights():
    net = net_of()
    still = {"optimizer": optim.sgd(1e-12), "epochs": 1}
    found = pretraining.pretrain(net, X, AutoEncoder(), **still, output="keep")
    onp.testing.assert_allclose(theta_of(found.net), theta_of(net), atol=1e-9)


def test_a_recipe_for_each_layer_and_upper_layers_left_alone():
    net = net_of(hidden=(24, 16, 12))
    recipes = [AutoEncoder(corruption=0.1), CD(1)]
    found = pretraining.pretrain(net, X, recipes, **OPTIONS, output="keep")
    before, after = ParameterVector(net), ParameterVector(found.net)
    changed = {
        name
        for name, part in before.slices.items()
        if not onp.array_equal(before.theta.asnumpy()[part], after.theta.asnumpy()[part])
    }
    assert changed == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert [type(layer).__name__ for layer in found.stack.layers] == [
        "AutoEncoderObjective",
        "RBMObjective",
    ]


def test_the_stack_is_that_of_train_stack():
    net = net_of()
    vector = ParameterVector(net)
    parts = [vector.view(vector.theta, name).asnumpy() for name in vector.slices]
    stack = pretraining.train_stack(
        X, [24, 16], AutoEncoder(), starts=[(parts[0], parts[1]), (parts[2], parts[3])], **OPTIONS
    )
    found = pretraining.pretrain(net, X, AutoEncoder(), **OPTIONS)
    assert onp.array_equal(found.stack.encode(X), stack.encode(X))


def test_a_seed_decides_and_mxnets_generator_goes_on():
    def run(seed):
        return theta_of(
            pretraining.pretrain(net_of(), X, AutoEncoder(corruption=0.3), seed=seed, **OPTIONS).net
        )

    first = run(0)
    assert onp.array_equal(first, run(0))
    assert not onp.array_equal(first, run(1))
    net = net_of()
    mx.random.seed(5)
    undisturbed = np.random.uniform(size=3).asnumpy()
    mx.random.seed(5)
    pretraining.pretrain(net, X, AutoEncoder(corruption=0.3), **OPTIONS)
    assert onp.array_equal(np.random.uniform(size=3).asnumpy(), undisturbed)


@pytest.mark.parametrize("hybrid", [False, True])
def test_on_another_device_and_hybridised(hybrid):
    usual = pretraining.pretrain(net_of(), X, AutoEncoder(), **OPTIONS)
    net = net_of(device="cpu(1)")
    if hybrid:
        net.hybridize()
        net(np.array(X, ctx=mx.cpu(1)))
    found = pretraining.pretrain(net, X, AutoEncoder(), **OPTIONS)
    assert found.net[0].weight.data().ctx == mx.cpu(1)
    assert onp.array_equal(theta_of(found.net), theta_of(usual.net))
    outputs = found.net(np.array(X, ctx=mx.cpu(1)))
    assert outputs.ctx == mx.cpu(1)


def test_arrays_of_mxnet_float64_dropout_and_deferred_shapes():
    found = pretraining.pretrain(net_of(dtype="float64"), np.array(X), AutoEncoder(), **OPTIONS)
    assert found.stack.layers[0].theta.dtype == onp.float64
    assert found.net[0].weight.data().dtype == onp.float64
    dropping = net_of(dropout=0.5)
    found = pretraining.pretrain(dropping, X, AutoEncoder(), **OPTIONS)
    assert [type(block).__name__ for block in found.net] == [type(b).__name__ for b in dropping]
    deferred = mx.gluon.nn.HybridSequential()
    deferred.add(mx.gluon.nn.Dense(8, activation="sigmoid"), mx.gluon.nn.Dense(10))
    deferred.initialize()
    found = pretraining.pretrain(deferred, X, AutoEncoder(), **OPTIONS)
    onp.testing.assert_allclose(
        hidden_outputs(found.net, 1), found.stack.layers[0].encode(X), atol=1e-5
    )


def bare(*blocks):
    net = mx.gluon.nn.HybridSequential()
    net.add(*blocks)
    net.initialize()
    return net


nn = mx.gluon.nn
REFUSED = [
    (lambda: (net_of(), [CD()] * 3), {}, ValueError, "3 recipes and 2 hidden layers"),
    (lambda: (net_of(), []), {}, ValueError, "0 recipes and 2 hidden layers"),
    (lambda: (layers.mlp(64, [], 10), CD()), {}, ValueError, "0 hidden layers"),
    (lambda: (net_of("relu"), CD()), {}, ValueError, "expected 'sigmoid'"),
    (lambda: (net_of(), SparseCoding(0.1)), {}, TypeError, "AutoEncoder\\(sparsity=…\\)"),
    (lambda: (net_of(), AutoEncoder()), {"output": "ones"}, ValueError, "output is 'ones'"),
    (lambda: (net_of(), "dae"), {}, TypeError, "recipes has 'dae'"),
    (lambda: (3, AutoEncoder()), {}, TypeError, "net is a int; expected a Gluon Block"),
    (
        lambda: (bare(nn.Dense(8, in_units=64, use_bias=False), nn.Dense(3, in_units=8)), CD()),
        {},
        ValueError,
        "without a bias",
    ),
    (
        lambda: (bare(nn.Dense(8, in_units=64), nn.BatchNorm(in_channels=8), nn.Dense(3)), CD()),
        {},
        ValueError,
        "not a chain of dense layers",
    ),
    (lambda: (layers.mlp(7, [3], 2), AutoEncoder()), {}, ValueError, "64"),
]


@pytest.mark.parametrize(
    ("make", "options", "kind", "words"), REFUSED, ids=[words for *_, words in REFUSED]
)
def test_refused(make, options, kind, words):
    net, recipe = make()
    with pytest.raises(kind, match=words):
        pretraining.pretrain(net, X, recipe, **OPTIONS, **options)
