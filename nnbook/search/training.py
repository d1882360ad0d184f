"""Evaluate configurations by training a network for each: a population at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as onp

from nnbook._arguments import check_choice
from nnbook.population import fit_population
from nnbook.training import EarlyStopping, History

__all__ = ["TrainPopulation"]


@dataclass(frozen=True, eq=False)
class TrainPopulation:
    """Train one network for each configuration and seed; those that are alike in one population.

    Alike are networks of one architecture with one batch size and number of epochs. Rules, rates,
    schedules, penalties and seeds may differ.

    Parameters
    ----------
    build : callable
        ``build(configuration, seed)`` returns an initialised network.
    optimizer : callable
        ``optimizer(configuration)`` returns a rule of `nnbook.optim`.
    train, validation : tuple of array
        ``(x, y)``, as for `nnbook.training.fit`.
    loss : callable
        One value per example.
    batch_size, epochs : int or callable
        A number, or a function of the configuration.
    penalty : callable, optional
        ``penalty(configuration)`` returns a penalty of `nnbook.losses`, or None.
    early_stopping : EarlyStopping, optional
        For every network by itself.
    value : str
        What the search minimises: "val_loss", or "val_error", the part misclassified.
    epoch : str
        "best": as it was in the network's best epoch; "last": at its end.

    Raises
    ------
    ValueError
        Another `value` or `epoch`.

    Examples
    --------
    >>> from nnbook import data, layers, losses, optim, search
    >>> (x, y), (x_val, y_val) = data.moons(rng=0), data.moons(rng=1)
    >>> trainer = search.TrainPopulation(
    ...     build=lambda c, seed: layers.mlp(2, [c["hidden"]], 2, seed=seed),
    ...     optimizer=lambda c: optim.sgd(c["learning_rate"]),
    ...     train=(x, y), validation=(x_val, y_val), loss=losses.softmax_cross_entropy, epochs=3)
    >>> space = search.Space(learning_rate=search.log(0.001, 1), hidden=search.integer(2, 8))
    >>> found = search.GridSearch(space, points=3, seeds=2).run(evaluate_many=trainer)
    >>> len(found), [name for name in found.columns if name.startswith("val_")]
    (18, ['val_loss', 'val_accuracy'])
    """

    build: Callable[[dict[str, Any], int], Any]
    optimizer: Callable[[dict[str, Any]], Any]
    train: tuple[Any, Any]
    validation: tuple[Any, Any]
    loss: Callable[[Any, Any], Any]
    batch_size: int | Callable[[dict[str, Any]], int] = 32
    epochs: int | Callable[[dict[str, Any]], int] = 10
    penalty: Callable[[dict[str, Any]], Any] | None = None
    early_stopping: EarlyStopping | None = None
    value: str = "val_loss"
    epoch: str = "best"

    evaluates_many: ClassVar[bool] = True  # `Search.run` takes it as evaluate, too

    def __post_init__(self) -> None:
        check_choice(self.value, "value", ("val_loss", "val_error"))
        check_choice(self.epoch, "epoch", ("best", "last"))

    def __call__(self, configurations: Sequence[dict[str, Any]], seeds: Sequence[int]) -> list[Any]:
        """Train; return a result, or the exception, for each configuration and seed."""
        results: list[Any] = [None] * len(seeds)
        groups: dict[Any, dict[int, tuple[Any, Any, Any]]] = {}
        for k, (configuration, seed) in enumerate(zip(configurations, seeds, strict=True)):
            try:
                kind, model = self._model(configuration, seed)
            except Exception as error:  # this configuration's fault, and not the others'
                results[k] = error
            else:
                groups.setdefault(kind, {})[k] = model
        for (*_, batch_size, epochs), models in groups.items():
            own = [seeds[k] for k in models]
            try:
                found = self._train(list(models.values()), own, batch_size, epochs)
            except Exception as error:
                # A stack that failed may have changed its networks: build each anew, to find which.
                again = [([configurations[k]], [seeds[k]]) for k in models]
                found = [error] if len(models) == 1 else [self(*one)[0] for one in again]
            for k, result in zip(models, found, strict=True):
                results[k] = result
        return results

    def _model(self, configuration: dict[str, Any], seed: int) -> tuple[Any, Any]:
        """Return what networks of one population have in common; network, rule and penalty."""

        def of(setting: Any) -> Any:
            return setting(configuration) if callable(setting) else setting

        net, rule = self.build(configuration, seed), self.optimizer(configuration)
        shapes = [parameter.shape for parameter in net.collect_params().values()]
        kind = (repr(net), *shapes, of(self.batch_size), of(self.epochs))
        return kind, (net, rule, of(self.penalty))

    def _train(self, models: Any, seeds: list[int], batch_size: int, epochs: int) -> list[Any]:
        nets, rules, penalties = map(list, zip(*models, strict=True))
        histories = fit_population(
            nets,
            self.train,
            self.validation,
            loss=self.loss,
            optimizer=rules,
            batch_size=batch_size,
            epochs=epochs,
            seeds=seeds,
            penalty=penalties,
            early_stopping=self.early_stopping,
            progress=False,
        )
        return [self._result(history) for history in histories]

    def _result(self, history: History) -> Any:
        if history.status == "diverged":
            return FloatingPointError(history.stopped)
        lost = ~onp.isfinite(history["val_loss"])  # its error is that of NaN: no epoch to choose
        if lost.all():
            return FloatingPointError("the validation loss is not finite after any epoch")
        values = history["val_loss"] if self.value == "val_loss" else 1 - history["val_accuracy"]
        chosen = -1 if self.epoch == "last" else int(onp.where(lost, onp.inf, values).argmin())
        row = history[chosen]
        names = "val_loss", "val_accuracy", "train_loss", "epoch"
        measures = {name: row[name] for name in names if name in row}
        value = onp.nan if lost[chosen] else float(values[chosen])
        return {"value": value, **measures, "seconds": history[-1]["seconds"]}
