"""Whatever creates or takes MXNet arrays works on another device, hybridised, and stays there."""

from __future__ import annotations

import numpy as onp
import pytest

from nnbook import data, layers, losses, optim, runtime, training
from nnbook.parameters import ParameterVector, clone
from nnbook.runtime import mx, np

THERE = mx.cpu(1)  # a context of its own: a hybridised block that mixes it with cpu(0) raises
gluon, nn = mx.gluon, mx.gluon.nn
RNG = onp.random.default_rng(0)
X = RNG.normal(size=(12, 4)).astype("float32")
LABELS = RNG.integers(0, 3, 12).astype("int32")
TARGETS = RNG.normal(size=(12, 3)).astype("float32")
BITS = (TARGETS > 0).astype("float32")


def there(array, dtype=None):
    return np.array(array, dtype=dtype or array.dtype, ctx=THERE)


def is_there(array):
    assert isinstance(array, np.ndarray)
    assert array.ctx == THERE
    assert onp.isfinite(array.asnumpy()).all()
    return True


LOSSES = {
    "squared_error": TARGETS,
    "softmax_cross_entropy": LABELS,
    "sigmoid_cross_entropy": BITS,
    "hinge": LABELS,
}


class WithLoss(gluon.HybridBlock):
    """A net and its loss in one graph."""

    def __init__(self, net, loss):
        super().__init__()
        self.net, self.loss = net, loss

    def hybrid_forward(self, F, x, y):
        return self.loss(self.net(x), y)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("hybridise", [False, True])
def test_losses(name, hybridise):
    loss, y = getattr(losses, name), LOSSES[name]
    block = WithLoss(layers.mlp(4, [5], 3, device=THERE, seed=0), loss)
    if hybridise:
        block.hybridize()
    x = there(X)
    x.attach_grad()
    with mx.autograd.record():
        values = block(x, there(y))
    values.backward()
    assert is_there(values)
    assert values.shape == (12,)
    assert is_there(x.grad)
    here = loss(layers.mlp(4, [5], 3, seed=0)(np.array(X)), np.array(y, dtype=y.dtype))
    assert (here.asnumpy() == values.asnumpy()).all()


@pytest.mark.parametrize("penalty", [losses.l1_penalty(0.1), losses.l2_penalty(0.1)])
def test_penalties(penalty):
    assert is_there(penalty.gradient(there(X)))
    assert penalty.value(there(X)) == pytest.approx(penalty.value(X), rel=1e-5)
    assert is_there(losses.l1_prox(there(X), 0.1))


BLOCKS = {
    **{
        str(name): lambda name=name: layers.mlp(4, [5], 3, activation=name, dropout=0.1)
        for name in ("sigmoid", "tanh", "scaled_tanh", "relu", "softplus", None)
    },
    "scaled_tanh with twist": lambda: layers.ScaledTanh(twist=0.01),
    "maxout": lambda: layers.Maxout(3, in_units=4),
    "maxout, deferred": lambda: layers.Maxout(3),
    "rbf": lambda: layers.RBF(3, 4),
    "rbf of examples": lambda: layers.RBF.from_examples(there(X), 3),
}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("hybridise", [False, True])
def test_layers(name, hybridise):
    block = BLOCKS[name]()
    block.initialize(ctx=THERE, force_reinit=True)
    if hybridise:
        block.hybridize()
    x = there(X)
    x.attach_grad()
    with mx.autograd.record():
        outputs = block(x)
    outputs.backward()
    assert is_there(outputs)
    assert is_there(x.grad)
    for parameter in block.collect_params().values():
        assert is_there(parameter.data())
        assert is_there(parameter.grad())


INITIALIZERS = {
    "LeCunNormal": layers.LeCunNormal,
    "LeCunUniform": layers.LeCunUniform,
    "GlorotNormal": layers.GlorotNormal,
    "GlorotUniform": layers.GlorotUniform,
    "HeNormal": layers.HeNormal,
}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initial_weights_are_the_same_on_every_device(name):
    drawn = []
    for device in (mx.cpu(0), THERE):
        runtime.seed_everything(3)
        layer = nn.Dense(3, in_units=4)
        layer.initialize(INITIALIZERS[name](), ctx=device)
        assert layer.weight.data().ctx == device
        drawn.append(layer.weight.data().asnumpy())
    assert (drawn[0] == drawn[1]).all()


@pytest.mark.parametrize("device", ["cpu(1)", mx.cpu(1)])
def test_mlp_is_built_where_it_is_wanted(device):
    for net in (
        layers.mlp(4, [5], 3, device=device, seed=0),
        layers.mlp(4, [5], 3, device=device, initializer=mx.init.Xavier(), dtype="float64"),
    ):
        assert {p.data().ctx for p in net.collect_params().values()} == {THERE}
    with THERE:
        assert runtime.device_of(layers.mlp(4, [5], 3)) == THERE


RULES = {
    "sgd": optim.sgd,
    "momentum": optim.momentum,
    "nesterov": optim.nesterov,
    "adagrad": optim.adagrad,
    "rmsprop": optim.rmsprop,
    "adam": optim.adam,
    "adamw": optim.adamw,
}


@pytest.mark.parametrize("name", RULES)
def test_rules(name):
    theta = there(X[0])
    for rate in (0.1, there(onp.full(4, 0.1, "float32"))):
        rule = RULES[name](rate)
        state = rule.init(theta)
        step, state = rule.update(theta, state, theta)
        step, state = rule.update(theta, state, theta)
        assert is_there(step)
        assert all(is_there(buffer) for buffer in state.buffers)


TRANSFORMERS = [data.Standardize, data.PCAWhiten, data.ZCAWhiten]


@pytest.mark.parametrize("make", TRANSFORMERS)
def test_preprocessing(make):
    transformer = make().fit(there(X))
    z = transformer.transform(there(X))
    assert is_there(z)
    back = transformer.inverse_transform(z)
    assert is_there(back)
    onp.testing.assert_allclose(back.asnumpy(), X, atol=1e-4)


def test_splits_batches_and_augmentation():
    for part in data.train_test_split(there(X), there(LABELS), test_size=4):
        assert part.ctx == THERE
    for x, y in data.minibatches((there(X), there(LABELS)), 5, rng=0):
        assert x.ctx == y.ctx == THERE
    images = there(RNG.uniform(size=(3, 8, 8)).astype("float32"))
    assert is_there(data.elastic_deform(images, rng=0))
    assert is_there(data.shift(images, 1, 1))
    assert is_there(data.rotate(images, 10))


def normalised():
    net = layers.mlp(4, [5], 3, activation="tanh", seed=0, device=THERE)
    net.add(nn.BatchNorm(in_channels=3))
    net[-1].initialize(ctx=THERE)
    return net


@pytest.mark.parametrize("hybridise", [False, True])
@pytest.mark.parametrize("where", [np.array, there], ids=["data here", "data there"])
@pytest.mark.parametrize(
    "optimizer", [optim.adam(0.01), mx.optimizer.Adam(learning_rate=0.01)], ids=["rule", "mxnet"]
)
def test_training(hybridise, where, optimizer, tmp_path):
    net = normalised()
    if hybridise:
        net.hybridize()
    x, y = where(X), where(LABELS).astype("int32")
    seen = []

    class Look(training.Callback):
        def on_step_end(self, run):
            seen.extend([run.vector.theta.ctx, run.vector.grad.ctx])

    history = training.fit(
        net, (x, y), validation=(x, y), loss=losses.softmax_cross_entropy, optimizer=optimizer,
        batch_size=5, epochs=2, penalty=losses.l2_penalty(0.01),
        callbacks=[Look(), training.EarlyStopping(), training.Checkpoint(tmp_path / "run")],
    )  # fmt: skip
    assert set(seen) == {THERE}
    assert onp.isfinite(history["val_loss"]).all()
    result = training.evaluate(net, (x, y), losses.softmax_cross_entropy)
    assert result["loss"] == pytest.approx(history.best("val_loss")["val_loss"], rel=1e-6)
    for parameter in net.collect_params().values():
        assert is_there(parameter.data())
    assert x.ctx == y.ctx == (THERE if where is there else mx.cpu(0))


def test_a_recorded_gradient_stays_there_too():
    net = normalised()
    net[0].register_forward_hook(lambda *_: None)
    training.fit(net, (X, LABELS), loss=gluon.loss.SoftmaxCrossEntropyLoss(), batch_size=5,
                 epochs=2, optimizer=optim.momentum(0.1))  # fmt: skip
    assert is_there(ParameterVector(net).theta)


def test_vectors_and_clones():
    net = normalised()
    net.hybridize()
    net(there(X))
    vector = ParameterVector(net)
    twin = clone(net, dtype="float64")
    assert is_there(twin(there(X, "float64")))
    snapshot = vector.snapshot()
    vector.theta = np.zeros((len(vector),))  # values from elsewhere are brought over
    assert is_there(vector.theta)
    vector.restore(snapshot)
    assert is_there(vector.view(vector.theta, "0.weight"))
    assert all(is_there(array) for array in vector.state.values())


def test_names_of_devices():
    assert runtime.as_device("cpu(1)") == THERE
    assert runtime.as_device(THERE) is THERE
    assert runtime.device_of(there(X)) == THERE
    assert runtime.device_of(normalised()) == THERE
    with THERE:
        assert runtime.as_device(None) == THERE


# On a GPU, where there is one.


@pytest.fixture(scope="module")
def gpu():
    usable = [d for d in runtime.devices() if d.usable and d.name.startswith("gpu")]
    if not usable:
        reasons = "; ".join(f"{d.name}: {d.reason}" for d in runtime.devices() if not d.usable)
        pytest.skip(f"no usable GPU ({reasons})")
    return runtime.best_device()


def trained(device, optimizer, rows=(X, LABELS)):
    net = layers.mlp(4, [5], 3, activation="tanh", seed=0)
    net.hybridize()
    history = training.fit(
        net, rows, validation=rows, loss=losses.softmax_cross_entropy, optimizer=optimizer,
        batch_size=5, epochs=5, device=device,
    )  # fmt: skip
    return ParameterVector(net).theta, history


@pytest.mark.gpu
@pytest.mark.parametrize("name", RULES)
def test_a_gpu_trains_as_the_cpu_does(gpu, name):
    theta, history = trained(gpu, RULES[name](0.01))
    assert theta.ctx == gpu
    expected, table = trained(mx.cpu(), RULES[name](0.01))
    onp.testing.assert_allclose(theta.asnumpy(), expected.asnumpy(), rtol=1e-3, atol=1e-4)
    onp.testing.assert_allclose(history["val_loss"], table["val_loss"], rtol=1e-3)


@pytest.mark.gpu
def test_a_gpu_trains_with_mxnets_optimizers(gpu):
    theta, _ = trained(gpu, mx.optimizer.Adam(learning_rate=0.01))
    assert theta.ctx == gpu


@pytest.mark.gpu
@pytest.mark.parametrize("name", LOSSES)
def test_losses_on_a_gpu(gpu, name):
    y = LOSSES[name]
    values = getattr(losses, name)(np.array(TARGETS, ctx=gpu), np.array(y, dtype=y.dtype, ctx=gpu))
    here = getattr(losses, name)(np.array(TARGETS), np.array(y, dtype=y.dtype))
    assert values.ctx == gpu
    onp.testing.assert_allclose(values.asnumpy(), here.asnumpy(), rtol=1e-4)


@pytest.mark.gpu
def test_a_gpus_memory_is_not_shared_with_numpy(gpu):
    from nnbook.parameters import host_view

    with pytest.raises(ValueError, match="only memory of the CPU can be shared"):
        host_view(np.zeros((2,), ctx=gpu))


@pytest.mark.gpu
def test_a_checkpoint_of_a_gpu_is_resumed(gpu, tmp_path):
    def run(epochs, file):
        net = layers.mlp(4, [5], 3, activation="tanh", dropout=0.3, seed=0)
        callbacks = [training.Checkpoint(file)] if file else []
        training.fit(net, (X, LABELS), loss=losses.softmax_cross_entropy,
                     optimizer=optim.adam(0.01), batch_size=5, epochs=epochs, device=gpu,
                     callbacks=callbacks)  # fmt: skip
        return ParameterVector(net).theta.asnumpy()

    run(2, tmp_path / "run")
    assert (run(5, tmp_path / "run") == run(5, None)).all()
