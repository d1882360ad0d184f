"""`Snapshots`: a copy at the end of every cycle, resumed, checked against the schedule."""

import numpy as onp
import pytest

from nnbook import data, layers, losses, optim, schedules, training
from nnbook.ensemble.snapshots import Snapshots
from nnbook.parameters import ParameterVector
from nnbook.runtime import mx

nn = mx.gluon.nn
X, Y = data.moons(n=50, rng=0)
X, Y = X.astype("float32"), Y.astype("int32")
RATE = schedules.cosine_restarts(0.3, cycle=2 * 5)  # two epochs of five steps


def normalised(device=None):
    mx.random.seed(0)
    net = nn.HybridSequential()
    net.add(nn.Dense(6, in_units=2), nn.BatchNorm(in_channels=6), nn.Activation("tanh"))
    net.add(nn.Dense(2, in_units=6))
    net.initialize(mx.init.Uniform(0.5), ctx=device or mx.cpu())
    return net


def fit(net, callbacks, optimizer=None, epochs=6, **options):
    return training.fit(
        net, (X, Y), loss=losses.softmax_cross_entropy, optimizer=optimizer or optim.sgd(RATE),
        batch_size=10, epochs=epochs, callbacks=callbacks, progress=False, **options,
    )  # fmt: skip


class Epochs(training.Callback):
    def __init__(self):
        self.seen = []

    def on_epoch_end(self, run, row):
        self.seen.append((run.vector.snapshot(), run.learning_rate))


def equal(first, second):
    return (first["theta"] == second["theta"]).all() and all(
        (values == second["state"][name]).all() for name, values in first["state"].items()
    )


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("device", [mx.cpu(), mx.cpu(1)], ids=str)
def test_there_is_a_member_for_the_end_of_each_cycle(device, hybridize):
    net, snapshots, every_epoch = normalised(device), Snapshots(2), Epochs()
    if hybridize:
        net.hybridize()
    fit(net, [snapshots, every_epoch])
    assert snapshots.epochs == [2, 4, 6]
    assert len(snapshots) == 3
    # The next step would be the first of a cycle, at the full rate.
    assert [rate for _, rate in every_epoch.seen[1::2]] == [0.3] * 3
    members = snapshots.members(net)
    for member, (expected, _) in zip(members, every_epoch.seen[1::2], strict=True):
        assert equal(ParameterVector(member).snapshot(), expected)
        assert member(mx.np.array(X, ctx=device)).ctx == device
        assert member._active is hybridize
    assert equal(ParameterVector(net).snapshot(), every_epoch.seen[-1][0])
    assert not equal(*(ParameterVector(member).snapshot() for member in members[:2]))
    ParameterVector(members[2]).theta[...] = 0
    assert equal(ParameterVector(net).snapshot(), every_epoch.seen[-1][0])


def test_the_last_steps_of_a_cycle_move_little():
    net, every_step = layers.mlp(2, [8], 2, seed=0), []

    class Steps(training.Callback):
        def on_step_end(self, run):
            every_step.append(run.vector.theta.asnumpy().copy())

    fit(net, [Snapshots(2), Steps()])
    lengths = onp.linalg.norm(onp.diff(every_step, axis=0), axis=1)
    assert lengths[[8, 18]].max() < 0.2 * lengths[[9, 19]].min()  # before and after a restart


@pytest.mark.parametrize("rule", ["sgd", "mxnet"])
def test_a_resumed_run_has_the_same_snapshots_bit_for_bit(rule, tmp_path):
    def optimizer():
        return optim.sgd(RATE) if rule == "sgd" else mx.optimizer.Adam(0.01)

    path, whole, resumed = tmp_path / "run.checkpoint", Snapshots(2), Snapshots(2)
    fit(normalised(), [whole], optimizer())
    fit(normalised(), [Snapshots(2), training.Checkpoint(path)], optimizer(), epochs=4)
    net = normalised()
    fit(net, [resumed, training.Checkpoint(path)], optimizer(), epochs=6)
    assert resumed.epochs == whole.epochs == [2, 4, 6]
    for mine, theirs in zip(resumed.snapshots, whole.snapshots, strict=True):
        assert equal(mine, theirs)
    assert len(resumed.members(net)) == 3


def test_snapshots_serve_a_second_run():
    snapshots = Snapshots(3)
    for _ in range(2):
        fit(layers.mlp(2, [3], 2, seed=0), [snapshots], optim.sgd(0.1))
    assert snapshots.epochs == [3, 6]


def test_an_order_of_ones_own_decides_the_steps_itself():
    snapshots = Snapshots(2)
    half = schedules.cosine_restarts(0.3, cycle=2 * 3)
    fit(normalised(), [snapshots], optim.sgd(half), order=lambda n, epoch, rng: rng.permutation(25))
    assert len(snapshots) == 3


@pytest.mark.parametrize(
    ("every", "rate", "message"),
    [
        (4, RATE, "every is 4 epochs, and 6 epochs are no multiple.*Train for 8"),
        (3, RATE, "not those of 3 epochs of 5 steps; expected cycle=15, growth=1"),
        (2, schedules.cosine_restarts(0.3, 10, growth=2), "expected cycle=10, growth=1"),
    ],
)
def test_cycles_that_do_not_fit_stop_the_run_before_it_starts(every, rate, message):
    net = layers.mlp(2, [3], 2, seed=0)
    before = ParameterVector(net).theta.asnumpy().copy()
    with pytest.raises(ValueError, match=message):
        fit(net, [Snapshots(every)], optim.sgd(rate))
    assert (ParameterVector(net).theta.asnumpy() == before).all()


def test_bad_input():
    with pytest.raises(ValueError, match="every is 0"):
        Snapshots(0)
    with pytest.raises(ValueError, match="no snapshot was taken yet"):
        Snapshots(2).members(normalised())
    snapshots = Snapshots(2)
    fit(normalised(), [snapshots])
    with pytest.raises(ValueError, match="another architecture"):
        snapshots.members(layers.mlp(2, [6], 2))
