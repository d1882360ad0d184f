"""`fit` with the gradient of every minibatch shared among members of a group."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from nnbook._arguments import check_flag, check_number, check_seed, check_whole
from nnbook._arrays import to_numpy
from nnbook._types import Loss, Network, Rule
from nnbook.data.inputs import is_stream
from nnbook.distributed.members import (
    Job,
    MemberError,
    Processes,
    of_network,
    of_objective,
)
from nnbook.objective import Objective
from nnbook.optim.names import clipped
from nnbook.optim.names import named as named_rule
from nnbook.training.callbacks import Callback
from nnbook.training.checkpoint import Checkpoint, CheckpointError, load_tree
from nnbook.training.fitting import _Growth, _order, checked, given_callbacks
from nnbook.training.history import History
from nnbook.training.loop import train as train_runs
from nnbook.training.metrics import Metrics, metrics_of
from nnbook.training.run import Plan, Rows, Run
from nnbook.training.sources import ObjectiveSource, ObjectiveVector

__all__ = ["fit"]

Metric = str | Callable[[Any, Any], Any]


def fit(
    net: Network | Objective,
    train: Any = None,
    validation: Any = None,
    *,
    workers: Any = 2,
    patience: float = 10.0,
    loss: Loss | None = None,
    optimizer: Rule | str | tuple[str, Any],
    batch_size: int = 32,
    epochs: int = 10,
    seed: int = 0,
    callbacks: Iterable[Callback] | None = (),
    progress: bool = True,
    penalty: Any = None,
    shuffle: bool = True,
    order: Callable[[int, int, Any], Any] | None = None,
    class_weight: Mapping[Any, float] | str | None = None,
    sample_weight: Any = None,
    metrics: Metric | Sequence[Metric] | Mapping[str, Metric] | None = (),
    clip_norm: float | None = None,
    clip_value: float | None = None,
) -> History:
    r"""Train as `nnbook.training.fit` does, several processes computing each gradient.

    Member k of K gets the rows :math:`M_k` of every minibatch M, and returns the gradient of their
    mean loss; the step is taken, here, with

    .. math::  \nabla L_M(\theta) = \sum_k \frac{|M_k|}{|M|} \nabla L_{M_k}(\theta),

    which is what one process computes, but for the order in which it adds up.

    Parameters
    ----------
    net, train, validation
        As for `nnbook.training.fit`: a network on the CPU with arrays ``(x, y)``, or an objective
        with examples, which must survive being pickled.
    workers : int, str or distributed.Client
        How many processes to start on this machine, each with one thread; they end with the call.
        Or the address of a Dask cluster, or a client of one: each of its workers is a member, on
        whichever machine. Members need nnbook in the same version.
    patience : float
        Seconds that a member may take for a step before it counts as hanging. Set it to several
        times what a step takes.
    loss, optimizer, batch_size, epochs, seed, callbacks, progress, penalty, shuffle, order
        As for `nnbook.training.fit`. Callbacks, rule and penalty are called here, not in members.
    class_weight, sample_weight, metrics, clip_norm, clip_value
        Likewise.

    Returns
    -------
    History
        As of `nnbook.training.fit`; its `reason` says who computed the gradients.

    Raises
    ------
    MemberError
        A member has died, or has not answered within `patience`. The message names it and the last
        checkpoint; the other processes have been ended. `nnbook.training.Checkpoint` among the
        callbacks resumes the run where it was, and with as many members as before bit for bit.
    RuntimeError
        Nothing answers at the address of a cluster, or it has no worker.
    TypeError, ValueError
        As for `nnbook.training.fit`; also a stream of minibatches, a network on a GPU or with batch
        normalisation (whose step depends on who else is in the minibatch), code of ``__main__`` in
        a network or its loss, an address that is neither on this machine nor encrypted.

    Notes
    -----
    What is communicated at a step is θ to and ∇L from every member, 2 K P numbers. On one machine
    they lie in shared memory. On several it takes the time of the slowest link, and Dask's
    milliseconds: it pays where computing a member's part of the gradient takes longer. On one, for
    a network, look first whether threads do: `nnbook.training.fit` divides large steps among them
    (`nnbook.runtime.thread_count`), and they need neither time to start nor copies of the data.

    Dropout draws masks of its own in each member, so that its step is another one than that of one
    process, and depends on how many members there are.

    Examples
    --------
    >>> from nnbook import data, distributed, layers, losses, optim, training
    >>> x, y = data.two_gaussians(rng=0)
    >>> def trained(fit, **settings):
    ...     net = layers.mlp(2, [4], 1, seed=0)
    ...     history = fit(net, (x, y.reshape(-1, 1)), loss=losses.squared_error, batch_size=20,
    ...                   optimizer=optim.momentum(0.1), epochs=3, **settings)
    ...     return history[-1]["train_loss"]
    >>> alone, shared = trained(training.fit), trained(distributed.fit, workers=2)
    >>> abs(alone / shared - 1) < 1e-6
    True
    """
    patience = check_number(patience, "patience", above=0, most=1e6)
    batch_size, epochs = check_whole(batch_size, "batch_size"), check_whole(epochs, "epochs")
    seed, shuffle = check_seed(seed), check_flag(shuffle, "shuffle")
    group = _group_of(workers)
    if train is not None and is_stream(train):
        raise TypeError(
            f"train is a {type(train).__name__}; expected a pair (x, y) of arrays: every member "
            "must find its rows by their numbers. nnbook.training.fit takes streams"
        )
    order, called = _order(order, shuffle, train), given_callbacks(callbacks, progress)
    rule, measured = clipped(named_rule(optimizer), clip_norm, clip_value), metrics_of(metrics)
    called += [_Growth(), *([Metrics(measured)] if measured else [])]
    weights = {"class_weight": class_weight, "sample_weight": sample_weight}
    if isinstance(net, Objective):
        _refuse(train=train, loss=loss, metrics=measured or None, **weights)
        plan = Plan(epochs, batch_size, seed, order, rule, penalty)
        return _trained(*_objective(net, validation, plan, called), group, patience)
    if train is None or loss is None:
        raise TypeError("expected fit(net, (x, y), loss=…, optimizer=…), or an objective")
    from nnbook.gluon.feeding import brought  # they need MXNet
    from nnbook.gluon.loss_names import named
    from nnbook.gluon.randomness import preserved_generator
    from nnbook.gluon.runtime import use_numpy_mode

    use_numpy_mode()
    train, validation, loss = brought(train, validation, named(loss), epochs=epochs, **weights)
    plan = Plan(epochs, batch_size, seed, order, rule, penalty, loss)
    with preserved_generator():
        return _trained(*_network(net, train, validation, plan, called), group, patience)


def _trained(
    run: Run, source: Any, pack: Callable[[], bytes], group: Callable[[Job], Any], patience: float
) -> History:
    with _started(group, run, pack, patience) as team:
        reasons = run.history.reason, f"gradients of {team.name}"
        run.history.reason = "; ".join(filter(None, reasons))
        train_runs([run], _Shared(source, run, team))
    return checked(run)


def _refuse(**beside: Any) -> None:
    given = [name for name, value in beside.items() if value is not None]
    if given:
        raise TypeError(
            f"an objective has its data and its loss inside; expected no {', '.join(given)} "
            "beside it"
        )


def _objective(
    objective: Objective, validation: Any, plan: Plan, callbacks: list[Callback]
) -> tuple[Run, Any, Callable[[], bytes]]:
    """Return a run, its source, and what packs the objective for the members."""
    if objective.examples is None:
        raise ValueError(
            "the objective has no examples to share among members (examples is None); expected "
            "one of rows, such as nnbook.objective.from_function(…, examples=n)"
        )
    vector = ObjectiveVector(objective)
    run = Run(objective, vector, plan, callbacks, count=objective.examples)
    source = ObjectiveSource(objective, vector, validation)
    source.start(run, plan.penalty)
    run.history.path, run.history.reason = source.path, source.reason
    return run, source, lambda: _packed(objective)


def _packed(objective: Objective) -> bytes:
    try:
        import cloudpickle as pickler  # takes functions of __main__ and lambdas along
    except ModuleNotFoundError:
        pickler = pickle
    try:
        return bytes(pickler.dumps((of_objective, (objective,))))
    except Exception as error:  # whatever its own code raises when it is pickled
        raise TypeError(
            f"the objective cannot be sent to another process ({type(error).__name__}: {error}); "
            "expected functions of a module and arrays. With the extra 'cluster' installed, "
            "functions of a script and lambdas go, too"
        ) from error


def _network(
    net: Any, train: Any, validation: Any, plan: Plan, callbacks: list[Callback]
) -> tuple[Run, Any, Callable[[], bytes]]:
    """Return a run, its source, and what packs network and data for the members."""
    from nnbook.gluon.examples import home
    from nnbook.gluon.parameters import blocks_of
    from nnbook.gluon.runtime import mx
    from nnbook.gluon.sources import start_network
    from nnbook.population.members import Member
    from nnbook.population.parcels import NotPortable, packed

    where, _ = home(net)
    if where.device_type != "cpu":
        raise ValueError(f"the network is on {where}; expected the CPU: members compute there")
    if any(isinstance(block, mx.gluon.nn.BatchNorm) for block in blocks_of(net)):
        raise ValueError(
            "the network has batch normalisation: each member would normalise by the statistics "
            "of its own part, which is another step. Expected a network without, or "
            "nnbook.training.fit"
        )
    run, source = start_network(net, train, validation, plan, callbacks, None)
    bare = Plan(1, plan.batch_size, plan.seed, None, None, None, plan.loss)
    try:
        parcel = packed([Member(0, net, bare, ())], of_network, False)
    except NotPortable as error:
        raise TypeError(
            f"the network, or its loss, cannot be sent to another process: {error}. Expected code "
            "of a module that can be imported there"
        ) from error

    def pack() -> bytes:
        arrays = to_numpy(train[0], "x"), to_numpy(train[1], "y")
        return pickle.dumps((of_network, (parcel.content, arrays)), protocol=5)

    return run, source, pack


def _group_of(workers: Any) -> Callable[[Job], Any]:
    """Return what starts a group, of what `fit` was given as workers."""
    if isinstance(workers, str) or hasattr(workers, "scheduler_info"):
        from nnbook.distributed.machines import connected

        return connected(workers)
    if isinstance(workers, bool) or not hasattr(workers, "__index__"):
        raise TypeError(
            f"workers is {workers!r}; expected a whole number, an address such as "
            "'tls://host:8786', or the client of a Dask cluster"
        )
    count = check_whole(workers, "workers")
    return lambda job: Processes(count, job)


@contextmanager
def _started(
    group: Callable[[Job], Any], run: Run, pack: Callable[[], bytes], patience: float
) -> Iterator[Any]:
    """Yield a group that is ready, and end it."""
    longest = min(run.batch_size, 4 * (run.count or 1))  # an order may repeat examples
    dtype = str(run.vector.theta.dtype)
    team = group(Job(pack(), len(run.vector), dtype, longest, patience))
    try:
        yield team
    finally:
        team.close()


class _Shared:
    """A source of the training loop that has its gradients computed by a group."""

    def __init__(self, source: Any, run: Run, team: Any):
        self._source, self._run, self._team = source, run, team
        self._epoch = self._step = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def begin_epoch(self, epoch: int) -> None:
        """Note the epoch, which decides what members draw."""
        self._epoch, self._step = epoch, self._run.step
        self._source.begin_epoch(epoch)

    def gradient(self, rows: tuple[Rows, ...]) -> float:
        """Fill ∇L; return the mean loss."""
        self._step += 1
        theta, grad = self._source.memory(0)
        try:
            return float(self._team.gradient(theta, self._epoch, rows[0], grad))
        except MemberError as error:
            where = f"at step {self._step} of epoch {self._epoch}"
            message = f"{error}, {where}. {self._way_out()}"
            raise MemberError(message, error.member) from error.__cause__

    def _way_out(self) -> str:
        """Say what there is to go on from."""
        ended = "The other members have been ended. "
        for callback in self._run.callbacks:
            if isinstance(callback, Checkpoint) and callback.path.exists():
                try:
                    epoch = load_tree(callback.path)["run"]["epoch"]
                except (CheckpointError, KeyError):
                    continue
                return (
                    f"{ended}The last checkpoint is {callback.path}, of epoch {epoch}: call again "
                    "to go on from there"
                )
        return (
            f"{ended}There is no checkpoint: give nnbook.training.Checkpoint(path) among the "
            "callbacks, and a run can go on"
        )
