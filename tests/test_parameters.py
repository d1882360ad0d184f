"""θ as one vector: shared memory, lost views, copies."""

from __future__ import annotations

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnbook import layers
from nnbook.parameters import LostViewError, ParameterVector, clone, host_view, named_parameters
from nnbook.runtime import mx, np

nn = mx.gluon.nn
autograd = mx.autograd
X = onp.random.default_rng(0).normal(size=(6, 3)).astype("float32")


def normalised(dtype="float32", ctx=None):
    """A net with batch normalisation, whose running statistics are not those of the start."""
    net = nn.HybridSequential()
    net.add(nn.Dense(4, in_units=3), nn.BatchNorm(in_channels=4), nn.Dense(2, in_units=4))
    net.initialize(mx.init.Xavier(), ctx=ctx or mx.cpu())
    if dtype != "float32":
        net.cast(dtype)
    with autograd.record():
        net(np.array(X, dtype=dtype, ctx=ctx))
    return net


def tied():
    """A net whose two inner layers share their parameters."""
    net = nn.HybridSequential()
    first = nn.Dense(3, in_units=3, activation="tanh")
    net.add(first, nn.Dense(3, in_units=3, activation="tanh", params=first.params))
    net.add(nn.Dense(2, in_units=3))
    net.initialize(mx.init.Normal(0.5))
    return net


def used_hybridised(dtype="float32"):
    net = layers.mlp(3, [4], 2, activation="tanh", dtype=dtype, seed=1)
    net.hybridize(static_alloc=True, static_shape=True)
    net(np.array(X, dtype=dtype))
    net(np.array(X, dtype=dtype))
    return net


def dtype_of(net):
    return onp.dtype(next(iter(net.collect_params().values())).dtype).name


def outputs(net, dtype="float32"):
    return net(np.array(X, dtype=dtype)).asnumpy()


def gradient(net, dtype="float32"):
    x = np.array(X, dtype=dtype)
    with autograd.record():
        loss = (net(x) ** 2).sum()
    loss.backward()
    return loss


NETS = {
    "plain": lambda: layers.mlp(3, [4], 2, seed=0),
    "float64": lambda: layers.mlp(3, [4], 2, dtype="float64", seed=0),
    "hybridised": used_hybridised,
    "batch normalisation": normalised,
    "tied": tied,
}


@pytest.mark.parametrize("name", NETS)
def test_theta_and_the_network_share_memory_both_ways(name):
    net = NETS[name]()
    dtype = dtype_of(net)
    before, values = outputs(net, dtype), {}
    for key, parameter in named_parameters(net).items():
        values[key] = parameter.data().asnumpy()
    vector = ParameterVector(net)
    assert (outputs(net, dtype) == before).all()
    for key, part in vector.slices.items():
        assert (vector.theta[part].asnumpy() == values[key].ravel()).all()
        assert vector.shapes[key] == values[key].shape
    vector.theta[...] = 0.1 * np.arange(len(vector), dtype=dtype)
    for key, part in vector.slices.items():
        expected = onp.asarray(0.1 * onp.arange(part.start, part.stop), dtype)
        found = vector.parameters[key].data().asnumpy().ravel()
        onp.testing.assert_allclose(found, expected, rtol=1e-6)
    assert not (outputs(net, dtype) == before).all()
    name, parameter = next(iter(vector.parameters.items()))
    parameter.set_data(np.full(parameter.shape, 7, dtype=dtype))
    assert (vector.theta[vector.slices[name]].asnumpy() == 7).all()


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("hybridise", [False, True])
def test_backward_fills_the_gradient(name, hybridise):
    net = NETS[name]()
    dtype = dtype_of(net)
    reference = clone(net)
    if hybridise:
        net.hybridize()
    vector = ParameterVector(net)
    gradient(reference, dtype)
    gradient(net, dtype)
    for key, parameter in named_parameters(reference).items():
        if parameter.grad_req != "null":
            mine = vector.grad[vector.slices[key]].asnumpy()
            expected = parameter.grad().asnumpy().ravel()
            onp.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-6)
    assert float(abs(vector.grad).sum()) > 0


def test_the_slices_tile_theta_and_name_the_parameters_by_their_place():
    vector = ParameterVector(layers.mlp(3, [4, 5], 2))
    assert list(vector.slices) == [f"{i}.{kind}" for i in (0, 2, 4) for kind in ("weight", "bias")]
    edges = [0, *(part.stop for part in vector.slices.values())]
    assert [part.start for part in vector.slices.values()] == edges[:-1]
    assert len(vector) == edges[-1] == 3 * 4 + 4 + 4 * 5 + 5 + 5 * 2 + 2
    assert repr(vector) == f"ParameterVector({edges[-1]} parameters in 6 arrays)"
    weights = vector.weight_mask
    assert weights.sum() == 3 * 4 + 4 * 5 + 5 * 2
    assert not weights[vector.slices["2.bias"]].any()
    assert weights[vector.slices["2.weight"]].all()


def test_tied_parameters_count_once():
    vector = ParameterVector(tied())
    assert len(vector) == (3 * 3 + 3) + (3 * 2 + 2)


def test_running_statistics_are_kept_apart():
    net = normalised()
    vector = ParameterVector(net)
    assert set(vector.state) == {"1.running_mean", "1.running_var"}
    assert set(vector.slices) == {
        "0.weight", "0.bias", "1.gamma", "1.beta", "2.weight", "2.bias",
    }  # fmt: skip
    assert not vector.weight_mask[vector.slices["1.gamma"]].any()


def test_frozen_parameters_are_state():
    net = layers.mlp(3, [4], 2)
    net[0].weight.grad_req = "null"
    vector = ParameterVector(net)
    assert set(vector.state) == {"0.weight"}
    assert len(vector) == 4 + 8 + 2


def test_the_views_survive_what_does_not_replace_the_arrays(tmp_path):
    net = normalised()
    vector = ParameterVector(net)
    theta = vector.theta
    file = str(tmp_path / "net.params")
    net.save_parameters(file)
    net.hybridize()
    gradient(net)
    net.load_parameters(file)
    net[0].weight.set_data(np.ones((4, 3)))
    net.collect_params().zero_grad()
    trainer = mx.gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.1})
    gradient(net)
    before = theta.asnumpy()
    trainer.step(6)
    net.hybridize(active=False)
    assert vector.theta is theta
    assert (onp.abs(theta.asnumpy() - before) > 0).mean() > 0.8
    part = theta[vector.slices["0.weight"]].asnumpy()
    assert (part == net[0].weight.data().asnumpy().ravel()).all()


LOSSES = {
    "cast": (lambda net: net.cast("float64"), r"cast.*now float64 on cpu\(0\)"),
    "initialize": (
        lambda net: net.initialize(mx.init.One(), force_reinit=True),
        r"initialize\(force_reinit=True\)",
    ),
    "reset_ctx": (
        lambda net: net.collect_params().reset_ctx(mx.cpu(1)),
        r"reset_ctx.*now float32 on cpu\(1\)",
    ),
    "grad_req null": (
        lambda net: setattr(net[2].weight, "grad_req", "null"),
        "'2.weight'.* its grad_req was changed to 'null'",
    ),
    "grad_req add": (lambda net: setattr(net[2].weight, "grad_req", "add"), "change of grad_req"),
    "another vector of a part": (
        lambda net: ParameterVector(net[0]),
        r"'0\.weight'.*a ParameterVector of a part of the network",
    ),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("hybridised", [False, True])
def test_a_lost_view_is_noticed_and_named_and_mended(name, hybridised):
    lose, message = LOSSES[name]
    net = used_hybridised() if hybridised else layers.mlp(3, [4], 2, seed=0)
    vector = ParameterVector(net)
    lose(net)
    for access in ("theta", "grad"):
        with pytest.raises(LostViewError, match=r"parameter '\d.weight' .*rebind\(\)"):
            getattr(vector, access)
    with pytest.raises(LostViewError, match=message):
        vector.snapshot()
    with pytest.raises(LostViewError, match=message):
        vector.theta = onp.zeros(len(vector))
    values = {n: p.data().asnumpy() for n, p in named_parameters(net).items()}
    assert vector.rebind() is vector
    for key, part in vector.slices.items():
        assert (vector.theta[part].asnumpy() == values[key].ravel()).all()
    vector.theta[...] = 0.25
    assert (vector.parameters["2.bias"].data().asnumpy() == 0.25).all()
    if name == "reset_ctx":
        assert vector.theta.ctx == vector.grad.ctx == mx.cpu(1)
        assert (net(np.array(X, ctx=mx.cpu(1))).ctx) == mx.cpu(1)
    elif name == "cast":
        assert vector.theta.dtype == vector.grad.dtype == onp.float64
        gradient(net, "float64")
        assert float(abs(vector.grad).sum()) > 0
    else:
        gradient(net)
        assert float(abs(vector.grad).sum()) > 0
    if name == "grad_req null":
        assert set(vector.state) == {"2.weight"}


def test_reinitialisation_without_shapes_is_named_too():
    net = nn.HybridSequential()
    net.add(nn.Dense(2))
    net.initialize()
    net(np.array(X))
    vector = ParameterVector(net)
    net[0].weight._shape = (2, 0)  # as a network built anew has it
    net.initialize(force_reinit=True)
    with pytest.raises(LostViewError, match=r"'0\.weight' .*re-initialised with deferred shapes"):
        vector.theta  # noqa: B018
    with pytest.raises(ValueError, match=r"'0\.weight' has the deferred shape \(2, (0|-1)\)"):
        vector.rebind()


def test_two_vectors_of_one_network_share():
    net = layers.mlp(3, [4], 2)
    first, second = ParameterVector(net), ParameterVector(net)
    assert first.theta is second.theta
    assert first.grad is second.grad
    second.theta[...] = 2.0
    assert (first.theta.asnumpy() == 2).all()
    net.cast("float64")
    third = ParameterVector(net)
    assert third.theta.dtype == onp.float64
    with pytest.raises(LostViewError):
        first.theta  # noqa: B018
    assert first.rebind().theta is third.theta


def test_assigning_theta_copies_the_values():
    net = layers.mlp(3, [4], 2)
    vector = ParameterVector(net)
    for values in (onp.full(len(vector), 0.5), np.full((len(vector),), 0.25, dtype="float64")):
        vector.theta = values
        assert (net[0].weight.data().asnumpy() == float(values[0])).all()
        assert vector.theta is not values
        assert vector.theta.dtype == onp.float32
    theta = vector.theta
    theta += 1.0
    vector.theta += 1.0
    assert (net[2].bias.data().asnumpy() == 2.25).all()
    assert vector.theta is theta


@pytest.mark.parametrize("error", [None, KeyError, KeyboardInterrupt])
def test_preserved_puts_theta_and_the_running_statistics_back(error):
    net = normalised()
    vector = ParameterVector(net)
    before, predicted = vector.snapshot(), outputs(net)
    arrays = dict(vector.state)
    try:
        with vector.preserved() as inside:
            assert inside is vector
            vector.theta[...] = 3.0
            gradient(net)  # moves the running statistics
            assert not (vector.state["1.running_mean"].asnumpy()
                        == before["state"]["1.running_mean"]).all()  # fmt: skip
            if error:
                raise error("stop")
    except (KeyError, KeyboardInterrupt):
        assert error is not None
    assert (vector.theta.asnumpy() == before["theta"]).all()
    assert (outputs(net) == predicted).all()
    for key, array in vector.state.items():
        assert array is arrays[key]
        assert (array.asnumpy() == before["state"][key]).all()


def test_a_snapshot_does_not_follow_the_network():
    net = normalised()
    vector = ParameterVector(net)
    taken = vector.snapshot()
    kept = taken["theta"].copy()
    vector.theta[...] = 9
    assert (taken["theta"] == kept).all()
    assert isinstance(taken["theta"], onp.ndarray)
    vector.restore(taken)
    assert (vector.theta.asnumpy() == kept).all()
    other = ParameterVector(layers.mlp(3, [5], 2))
    with pytest.raises(ValueError, match=r"theta has shape \(\d+,\); expected \(32,\)"):
        other.restore(taken)


def test_the_fingerprint_tells_whether_a_theta_fits():
    net = layers.mlp(3, [4], 2)
    print_of = ParameterVector(net).fingerprint()
    assert ParameterVector(layers.mlp(3, [4], 2)).fingerprint() == print_of
    assert ParameterVector(layers.mlp(3, [5], 2)).fingerprint() != print_of
    assert ParameterVector(layers.mlp(3, [4], 2, dtype="float64")).fingerprint() != print_of
    reordered = ParameterVector(layers.mlp(4, [3], 2)).fingerprint()
    assert reordered != print_of


def test_a_vector_on_another_device_stays_there():
    net = normalised(ctx=mx.cpu(1))
    net.hybridize()
    vector = ParameterVector(net)
    vector.theta = onp.ones(len(vector))
    with vector.preserved():
        vector.theta[...] = 2
    arrays = [vector.theta, vector.grad, *vector.state.values(), net[0].weight.data()]
    assert {array.ctx for array in arrays} == {mx.cpu(1)}
    assert vector.view(vector.theta, "0.weight").ctx == mx.cpu(1)
    assert clone(net)(np.array(X, ctx=mx.cpu(1))).ctx == mx.cpu(1)


@given(
    shape=st.lists(st.integers(1, 4), min_size=0, max_size=4),
    dtype=st.sampled_from(["float32", "float64", "int32"]),
)
@settings(max_examples=25, deadline=None)
def test_a_host_view_is_the_memory_itself(shape, dtype):
    array = np.zeros(tuple(shape), dtype=dtype)
    view = host_view(array)
    assert view.shape == array.shape
    assert view.dtype == array.dtype
    view += 3
    assert (array.asnumpy() == 3).all()
    array[() if not shape else ...] = 5
    array.wait_to_read()
    assert (view == 5).all()


def test_a_host_view_of_a_part_starts_at_the_part():
    vector = ParameterVector(layers.mlp(3, [4], 2))
    vector.theta = onp.arange(len(vector), dtype="float32")
    part = host_view(vector.view(vector.theta, "2.weight"))
    assert part.shape == (2, 4)
    assert part.ravel().tolist() == list(range(16, 24))


CLONED = {**NETS, "float64 hybridised": lambda: used_hybridised("float64")}


@pytest.mark.parametrize("name", CLONED)
@pytest.mark.parametrize("viewed", [False, True])
def test_a_clone_is_the_same_network_in_memory_of_its_own(name, viewed):
    net = CLONED[name]()
    dtype = dtype_of(net)
    if viewed:
        vector = ParameterVector(net)
        gradient(net, dtype)  # gradients and graphs to be left behind
    before = outputs(net, dtype)
    twin = clone(net)
    assert (outputs(twin, dtype) == before).all()
    assert list(named_parameters(twin)) == list(named_parameters(net))
    for mine, theirs in zip(
        named_parameters(twin).values(), named_parameters(net).values(), strict=True
    ):
        assert mine is not theirs
        assert mine.grad_req == theirs.grad_req
        assert mine.data().ctx == theirs.data().ctx
    other = ParameterVector(twin)
    other.theta[...] = 1.0
    gradient(twin, dtype)
    assert not (outputs(twin, dtype) == before).all()
    assert (outputs(net, dtype) == before).all()
    if viewed:
        assert vector.theta is not other.theta
    gradient(net, dtype)
    before = outputs(net, dtype)
    twin.initialize(mx.init.Zero(), force_reinit=True)
    twin.collect_params().reset_ctx(mx.cpu(1))
    assert (outputs(net, dtype) == before).all()
    assert net.collect_params()[next(iter(net.collect_params()))].list_ctx() == [mx.cpu(0)]


def test_a_clone_keeps_hybridisation_hooks_and_ties():
    net = tied()
    net.hybridize()
    calls = []
    net.register_forward_hook(lambda block, inputs, result: calls.append(1))
    outputs(net)
    twin = clone(net)
    assert twin._active
    outputs(twin)
    assert len(calls) == 2
    assert twin[0].weight is twin[1].weight
    assert twin[0].weight is not net[0].weight
    assert len(ParameterVector(twin)) == 20


def test_a_clone_copies_the_running_statistics():
    net = normalised()
    kept = ParameterVector(net).snapshot()["state"]
    twin = clone(net)
    gradient(twin)
    for key, array in ParameterVector(net).state.items():
        assert (array.asnumpy() == kept[key]).all()
        assert not (ParameterVector(twin).state[key].asnumpy() == kept[key]).all()


@pytest.mark.parametrize("name", ["plain", "hybridised", "tied"])
def test_a_clone_in_float64_has_the_same_values(name):
    net = NETS[name]()
    twin = clone(net, dtype="float64")
    assert (ParameterVector(twin).theta.asnumpy() == ParameterVector(net).theta.asnumpy()).all()
    assert ParameterVector(twin).theta.dtype == onp.float64
    onp.testing.assert_allclose(outputs(twin, "float64"), outputs(net), rtol=1e-5, atol=1e-6)
    assert outputs(net).dtype == onp.float32


def test_a_fitted_network_is_cloned_and_trained_on_alone():
    from nnbook import losses, optim, training

    x, y = X, (X[:, 0] > 0).astype("int32")
    net = normalised()
    settings = {"loss": losses.softmax_cross_entropy, "optimizer": optim.momentum(0.1),
                "batch_size": 3, "epochs": 2}  # fmt: skip
    training.fit(net, (x, y), **settings)
    twin = clone(net)
    before = ParameterVector(net).snapshot()
    training.fit(twin, (x, y), **settings)
    after = ParameterVector(net).snapshot()
    assert (before["theta"] == after["theta"]).all()
    assert (before["state"]["1.running_mean"] == after["state"]["1.running_mean"]).all()
    training.fit(net, (x, y), **settings)
    assert (ParameterVector(net).theta.asnumpy() == ParameterVector(twin).theta.asnumpy()).all()


def test_a_network_that_is_not_initialised_can_be_cloned():
    net = nn.Dense(2)
    twin = clone(net)
    net.initialize()
    assert net(np.array(X)).shape == (6, 2)
    with pytest.raises(RuntimeError, match="has not been initialized"):
        twin(np.array(X))
    deferred = nn.Dense(2)
    deferred.initialize(mx.init.One())
    twin = clone(deferred)
    onp.testing.assert_allclose(outputs(twin), X.sum(axis=1, keepdims=True) * [1, 1], rtol=1e-5)
    assert deferred.weight.shape in ((2, 0), (2, -1))


@pytest.mark.parametrize("hybridise", [False, True])
@pytest.mark.parametrize("device", [mx.cpu(0), mx.cpu(1)])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Conv1D(16, 3, in_channels=16), (4, 16, 8)),
        (lambda: nn.Conv2D(16, 3, in_channels=1), (4, 1, 8, 8)),
        (lambda: nn.Conv2D(16, 3, in_channels=16, groups=16), (4, 16, 8, 8)),
        (lambda: nn.Conv3D(16, 3, in_channels=16), (2, 16, 5, 5, 5)),
        (lambda: nn.Dense(1024, in_units=1024), (32, 1024)),
    ],
    ids=["conv1d", "conv2d", "grouped", "conv3d", "dense"],
)
def test_inference_leaves_theta_as_it_is(make, shape, device, hybridise):
    """oneDNN reorders the weights of a convolution in place, if it may."""
    net = make()
    net.initialize(ctx=device)
    if hybridise:
        net.hybridize()
    x = np.array(onp.random.default_rng(0).normal(size=shape), dtype="float32", ctx=device)
    expected = net(x).asnumpy()
    vector = ParameterVector(net)
    before = vector.theta.asnumpy().copy()
    for _ in range(3):
        onp.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    with autograd.record():
        loss = (net(x) ** 2).mean()
    loss.backward()
    assert onp.isfinite(vector.grad.asnumpy()).all()
    assert abs(vector.grad.asnumpy()).max() > 0
    net(x).wait_to_read()
    onp.testing.assert_array_equal(vector.theta.asnumpy(), before)


def test_a_transposed_convolution_is_refused_in_float32_only():
    net = nn.HybridSequential()
    net.add(nn.Conv2DTranspose(4, 3, in_channels=2))
    net.initialize()
    with pytest.raises(NotImplementedError, match=r"transposed convolution in float32.*float64"):
        ParameterVector(net)
    net.cast("float64")
    vector = ParameterVector(net)
    x = np.array(onp.random.default_rng(0).normal(size=(2, 2, 4, 4)), dtype="float64")
    before = vector.theta.asnumpy().copy()
    net(x).wait_to_read()
    with autograd.record():
        loss = (net(x) ** 2).mean()
    loss.backward()
    assert abs(vector.grad.asnumpy()).max() > 0
    onp.testing.assert_array_equal(vector.theta.asnumpy(), before)
