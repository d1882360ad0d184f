"""Evaluate configurations by training a network for each: a population at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_choice
from nnbook.optim import Optimizer
from nnbook.population import fit_population
from nnbook.training import EarlyStopping, History

__all__ = ["TrainPopulation"]


@dataclass(frozen=True, eq=False)
class TrainPopulation:
    """Train one network for each configuration and seed; those that are alike in one stack.

    Alike are networks of one architecture with one batch size, number of epochs and update rule;
    rates and the rule's other numbers, penalties and seeds may differ. Of a rule whose rate is a
    schedule, only those with an equal schedule are alike. The rest is trained one by one.

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
    optimizer: Callable[[dict[str, Any]], Optimizer]
    train: tuple[Any, Any]
    validation: tuple[Any, Any]
    loss: Callable[[Any, Any], Any]
    batch_size: int | Callable[[dict[str, Any]], int] = 32
    epochs: int | Callable[[dict[str, Any]], int] = 10
    penalty: Callable[[dict[str, Any]], Any] | None = None
    early_stopping: EarlyStopping | None = None
    value: str = "val_loss"
    epoch: str = "best"

    def __post_init__(self) -> None:
        check_choice(self.value, "value", ("val_loss", "val_error"))
        check_choice(self.epoch, "epoch", ("best", "last"))

    def __call__(self, configurations: Sequence[dict[str, Any]], seeds: Sequence[int]) -> list[Any]:
        """Train; return a result, or the exception, for each configuration and seed."""
        results: list[Any] = [None] * len(seeds)
        groups: dict[Any, list[_Model]] = {}
        for k, (configuration, seed) in enumerate(zip(configurations, seeds, strict=True)):
            try:
                model = self._model(k, configuration, seed)
            except Exception as error:  # this configuration's fault, and not the others'
                results[k] = error
            else:
                groups.setdefault(model.kind, []).append(model)
        for models in groups.values():
            for model, result in zip(models, self._train(models), strict=True):
                results[model.index] = result
        return results

    def _model(self, index: int, configuration: dict[str, Any], seed: int) -> _Model:
        def of(setting: Any) -> Any:
            return setting(configuration) if callable(setting) else setting

        return _Model(
            index=index,
            configuration=configuration,
            seed=seed,
            net=self.build(configuration, seed),
            rule=self.optimizer(configuration),
            batch_size=of(self.batch_size),
            epochs=of(self.epochs),
            penalty=of(self.penalty),
        )

    def _train(self, models: list[_Model]) -> list[Any]:
        """Train what is alike; if that raises, one by one, to find which of them does."""
        try:
            histories = fit_population(
                [model.net for model in models],
                self.train,
                self.validation,
                loss=self.loss,
                optimizer=_one_rule([model.rule for model in models]),
                batch_size=models[0].batch_size,
                epochs=models[0].epochs,
                seeds=[model.seed for model in models],
                penalty=[model.penalty for model in models],
                early_stopping=self.early_stopping,
                progress=False,
            )
        except Exception as error:
            if len(models) == 1:
                return [error]
            # A stack that failed may have changed its networks: build them anew.
            return [self([model.configuration], [model.seed])[0] for model in models]
        return [self._result(history) for history in histories]

    def _result(self, history: History) -> Any:
        if not len(history) or "is not finite" in history.stopped:
            return FloatingPointError(history.stopped)
        values = history["val_loss"] if self.value == "val_loss" else 1 - history["val_accuracy"]
        if onp.isnan(values).all():
            return FloatingPointError("the validation loss is NaN after every epoch")
        row = history[-1 if self.epoch == "last" else int(onp.nanargmin(values))]
        found = {"value": row["val_loss"], "val_loss": row["val_loss"]}
        if "val_accuracy" in row:
            found["val_accuracy"] = row["val_accuracy"]
        if self.value == "val_error":
            found["value"] = 1 - row["val_accuracy"]
        seconds = history[-1]["seconds"]
        return {**found, "train_loss": row["train_loss"], "epoch": row["epoch"], "seconds": seconds}


@dataclass(frozen=True, eq=False)
class _Model:
    """One network to be trained."""

    index: int
    configuration: dict[str, Any]
    seed: int
    net: Any
    rule: Optimizer
    batch_size: int
    epochs: int
    penalty: Any

    @property
    def kind(self) -> tuple[Any, ...]:
        """What networks of one stack have in common."""
        rule = self.rule
        numbers = [rule.learning_rate, *rule.hyperparameters.values()]
        fixed = [None if isinstance(value, (int, float)) else repr(value) for value in numbers]
        shapes = [p.shape for p in self.net.collect_params().values()]
        return (
            repr(self.net),
            *shapes,
            rule.name,
            *rule.hyperparameters,
            *fixed,
            self.batch_size,
            self.epochs,
        )


def _one_rule(rules: list[Optimizer]) -> Optimizer:
    """Return the rule whose numbers are arrays, one entry for each network."""

    def together(values: list[Any]) -> Any:
        numbers = all(isinstance(value, (int, float)) for value in values)
        return onp.array(values, dtype=float) if numbers else values[0]

    numbers = {
        name: together([rule.hyperparameters[name] for rule in rules])
        for name in rules[0].hyperparameters
    }
    return rules[0].with_numbers(together([r.learning_rate for r in rules]), **numbers)
