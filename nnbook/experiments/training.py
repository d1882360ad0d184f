"""Train networks on a task for every knob and seed: those that are alike in one population."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook import losses
from nnbook._arguments import check_choice, check_positive, check_whole
from nnbook.data import ImageSet
from nnbook.experiments.named import call, check_knobs, names_of
from nnbook.experiments.runs import AtLeast, first_below
from nnbook.experiments.tasks import Task
from nnbook.population import fit_population
from nnbook.training import EarlyStopping, History, evaluate, example_outputs
from nnbook.training.run import permuted

__all__ = ["TrainOnTask"]

_OWN = ("batch_size", "epochs", "loss")  # knobs that stand for the trainer's own settings


@dataclass(frozen=True, eq=False)
class TrainOnTask:
    """A `run_many` for an `Experiment`: train a network on a task for every knob and seed.

    For one seed all arms have the same training, validation and test examples, the same seed of
    the initial weights and the same order of the examples. Networks of one seed and architecture
    are trained in one population.

    Every function gets the knobs that it names. It may also name ``seed``, ``task``, ``sets`` (the
    six arrays), ``batch_size``, ``epochs`` and ``steps``, the number of updates of the whole run. A
    knob called "batch_size", "epochs" or "loss" takes the place of that setting.

    Parameters
    ----------
    task : Task
        What the networks learn.
    build : callable
        ``build(seed, …)`` returns an initialised network.
    optimizer : callable
        ``optimizer(learning_rate, …)`` returns a rule of `nnbook.optim`; ``optim.sgd`` is one.
    batch_size, epochs : int
        As for `nnbook.training.fit`.
    loss : callable, optional
        One value per example; by default the task's.
    penalty, order, callbacks : callable, optional
        Return a penalty of `nnbook.losses`, an order of `nnbook.data`, a list of callbacks.
    prepare : callable, optional
        ``prepare(sets, …)`` returns six arrays in their place: for arms that differ in their data.
    measure : callable, optional
        ``measure(history, net, sets, …)`` returns a dict of further measures.
    epoch : str
        "best": the θ with the least validation loss is put back; "last": as it is at the end.
    target : float, optional
        A training loss; when it is reached is measured.
    workers : optional
        As for `nnbook.population.fit_population`.

    Returns
    -------
    list of dict
        The measures "val_loss", "val_error", "test_loss", "test_error" (see `Task.error`),
        "train_loss", "epoch" (the one that counts), "steps", "gradient_evaluations", "seconds",
        and with a target "epochs_to_target" and "steps_to_target", `AtLeast` the budget where it
        is not reached. A run that diverged says so, and has the errors and losses of guessing.

    Raises
    ------
    TypeError
        A knob that no function names.

    Examples
    --------
    >>> from nnbook import layers, optim, search
    >>> from nnbook.experiments import Arm, Experiment, TrainOnTask, task
    >>> def build(seed, task, activation):
    ...     return layers.mlp(task.features, [16], task.outputs, activation=activation, seed=seed)
    >>> trainer = TrainOnTask(task("moons"), build, optim.sgd, batch_size=20, epochs=5)
    >>> rate = search.log(0.01, 10)
    >>> arms = [Arm(name, activation=name, learning_rate=rate) for name in ("tanh", "sigmoid")]
    >>> outcome = Experiment(arms, run_many=trainer, metric="test_error", choose_by="val_loss",
    ...                      trials=4, tuning_seeds=1).run(seeds=range(2))
    >>> sorted(outcome.values()), outcome.compare(smallest_effect=0.01).unit
    (['sigmoid', 'tanh'], '')
    """

    task: Task
    build: Callable[..., Any]
    optimizer: Callable[..., Any]
    batch_size: int = 20
    epochs: int = 10
    loss: Callable[[Any, Any], Any] | None = None
    penalty: Callable[..., Any] | None = None
    order: Callable[..., Any] | None = None
    callbacks: Callable[..., Any] | None = None
    prepare: Callable[..., Any] | None = None
    measure: Callable[..., Any] | None = None
    epoch: str = "best"
    target: float | None = None
    workers: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.task, Task):
            raise TypeError(f"task is {self.task!r}; expected a nnbook.experiments.Task")
        check_whole(self.batch_size, "batch_size")
        check_whole(self.epochs, "epochs")
        check_choice(self.epoch, "epoch", ("best", "last"))
        if self.target is not None:
            check_positive(self.target, "target")

    @property
    def covers(self) -> str:
        """What a seed decides, in words."""
        drawn = "training, validation and test examples, initial weights and order"
        finite = "; the examples of two seeds overlap, and an interval speaks of that finite set"
        return drawn + finite * self.task.finite

    @property
    def _functions(self) -> list[Callable[..., Any] | None]:
        own = [self.build, self.optimizer, self.penalty, self.order, self.callbacks]
        return [*own, self.prepare, self.measure]

    def check(self, knobs: Iterable[str]) -> None:
        """Refuse a knob that no function names.

        Parameters
        ----------
        knobs : iterable of str
            Those of an arm.

        Raises
        ------
        TypeError
            There is such a knob.
        """
        check_knobs(set(knobs).difference(_OWN), self._functions)

    def __call__(self, configurations: Sequence[dict[str, Any]], seeds: Sequence[int]) -> list[Any]:
        """Train; return the measures of each configuration and seed."""
        for names in {frozenset(knobs) for knobs in configurations}:
            self.check(names)
        groups: dict[Any, list[int]] = {}
        for k, (knobs, seed) in enumerate(zip(configurations, seeds, strict=True)):
            groups.setdefault((seed, self._of_data(knobs)), []).append(k)
        found: dict[int, Any] = {}
        for (seed, _), members in groups.items():
            sets = self._sets(configurations[members[0]], seed)
            runs = [_Member(self, configurations[k], seed, sets) for k in members]
            found |= dict(zip(members, _train(runs), strict=True))
        return [found[k] for k in range(len(seeds))]

    def _of_data(self, knobs: dict[str, Any]) -> tuple[Any, ...]:
        """The knobs on which the data depend; of objects, which they are."""
        if self.prepare is None:
            return ()
        named, open_ended = names_of(self.prepare)
        mine = sorted(name for name in knobs if open_ended or name in named)
        plain = str, int, float, bool
        return tuple((n, knobs[n] if isinstance(knobs[n], plain) else id(knobs[n])) for n in mine)

    def _sets(self, knobs: dict[str, Any], seed: int) -> ImageSet:
        sets = self.task.draw(seed)
        if self.prepare is None:
            return sets
        available = {**knobs, "seed": seed, "task": self.task, "sets": sets}
        return ImageSet(*call(self.prepare, available))


class _Member:
    """One network, with what it needs to be trained."""

    def __init__(self, trainer: TrainOnTask, knobs: dict[str, Any], seed: int, sets: ImageSet):
        self.trainer, self.seed, self.sets = trainer, seed, sets
        self.batch_size = check_whole(knobs.get("batch_size", trainer.batch_size), "batch_size")
        self.epochs = check_whole(knobs.get("epochs", trainer.epochs), "epochs")
        self.loss = knobs.get("loss", trainer.loss) or getattr(losses, trainer.task.loss)
        self.steps_an_epoch = math.ceil(len(sets.x_train) / self.batch_size)
        self.available = {
            **knobs,
            "seed": seed,
            "task": trainer.task,
            "sets": sets,
            "batch_size": self.batch_size,
            "epochs": self.epochs,
            "steps": self.epochs * self.steps_an_epoch,
        }
        self.net = self._made(trainer.build)
        self.rule = self._made(trainer.optimizer)
        self.penalty = self._made(trainer.penalty)
        self.order = self._made(trainer.order)
        self.callbacks = list(self._made(trainer.callbacks) or ())

    def _made(self, function: Callable[..., Any] | None) -> Any:
        return None if function is None else call(function, self.available)

    @property
    def kind(self) -> tuple[Any, ...]:
        """What networks of one population have in common."""
        shapes = [parameter.shape for parameter in self.net.collect_params().values()]
        return (repr(self.net), *shapes, self.batch_size, self.epochs, id(self.loss))

    def measured(self, history: History) -> dict[str, Any]:
        """What came of it, once it is trained."""
        task = self.trainer.task
        known = {"steps": len(history) * self.steps_an_epoch, "seconds": _seconds(history)}
        known["gradient_evaluations"] = len(history) * len(self.sets.x_train)
        if history.status == "diverged" or not onp.isfinite(history["val_loss"]).any():
            guess = {"val": (task.chance_loss, task.chance_error)}
            guess["test"] = guess["val"]
            return {**known, **_pairs(guess), **self._to_target(History()), "diverged": True}
        last = len(history) - 1
        best = int(onp.nanargmin(history["val_loss"]))
        chosen = history[best if self.trainer.epoch == "best" else last]
        parts = {
            "val": (self.sets.x_val, self.sets.y_val),
            "test": (self.sets.x_test, self.sets.y_test),
        }
        found = {name: self._loss_and_error(*part) for name, part in parts.items()}
        names = {name: chosen[name] for name in ("train_loss", "epoch")}
        more = self.trainer.measure
        given = {**self.available, "history": history, "net": self.net}
        further = {} if more is None else dict(call(more, given))
        return {**known, **_pairs(found), **names, **self._to_target(history), **further}

    def _loss_and_error(self, x: Any, y: Any) -> tuple[float, float]:
        loss = evaluate(self.net, (x, y), self.loss)["loss"]
        return loss, self.trainer.task.error(example_outputs(self.net, x), y)

    def _to_target(self, history: History) -> dict[str, float]:
        if self.trainer.target is None:
            return {}
        curve: Any = history["train_loss"] if len(history) else []
        epochs = first_below(curve, self.trainer.target, budget=self.epochs)
        steps = float(epochs) * self.steps_an_epoch
        kind = AtLeast if isinstance(epochs, AtLeast) else float
        return {"epochs_to_target": epochs, "steps_to_target": kind(steps)}


def _train(members: list[_Member]) -> list[dict[str, Any]]:
    """Train networks on the same data; return the measures of each."""
    groups: dict[Any, list[int]] = {}
    for k, member in enumerate(members):
        groups.setdefault(member.kind, []).append(k)
    found: dict[int, dict[str, Any]] = {}
    for numbers in groups.values():
        mine = [members[k] for k in numbers]
        first = mine[0]
        best = first.trainer.epoch == "best"
        histories = fit_population(
            [member.net for member in mine],
            (first.sets.x_train, first.sets.y_train),
            (first.sets.x_val, first.sets.y_val),
            loss=first.loss,
            optimizer=[member.rule for member in mine],
            batch_size=first.batch_size,
            epochs=first.epochs,
            seeds=[member.seed for member in mine],
            penalty=[member.penalty for member in mine],
            early_stopping=EarlyStopping("val_loss", patience=first.epochs) if best else None,
            callbacks=[member.callbacks for member in mine],
            order=[member.order or permuted for member in mine],
            progress=False,
            workers=first.trainer.workers,
        )
        results = [one.measured(history) for one, history in zip(mine, histories, strict=True)]
        found |= dict(zip(numbers, results, strict=True))
    return [found[k] for k in range(len(members))]


def _pairs(found: dict[str, tuple[float, float]]) -> dict[str, float]:
    return {
        f"{part}_{name}": value
        for part, pair in found.items()
        for name, value in zip(("loss", "error"), pair, strict=True)
    }


def _seconds(history: History) -> float:
    return float(history[-1]["seconds"]) if len(history) else 0.0
