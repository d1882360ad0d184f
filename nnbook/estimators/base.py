"""What the two estimators share: settings, a network for the data, training, and pickles."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as onp

from nnbook import layers, losses, optim
from nnbook._arguments import check_flag, check_number, check_whole
from nnbook._optional import require
from nnbook.data import Standardize
from nnbook.data._kept import transformer_from
from nnbook.models import Model
from nnbook.models.files import model_from, model_tree
from nnbook.models.meaning import Meaning
from nnbook.training import EarlyStopping, fit

if TYPE_CHECKING:  # as the class that it is
    from sklearn.base import BaseEstimator
else:
    BaseEstimator = require("sklearn.base", extra="estimators").BaseEstimator
model_selection = require("sklearn.model_selection", extra="estimators")
utils = require("sklearn.utils", extra="estimators")
validation = require("sklearn.utils.validation", extra="estimators")

__all__ = ["NetEstimator", "numbers_of", "weights_of"]

_LARGEST_SEED = 2**31 - 1


class NetEstimator(BaseEstimator):
    """What the two estimators share; see `NetClassifier` and `NetRegressor`."""

    # What a subclass sets in its __init__, where scikit-learn looks for the parameters.
    units: Any
    activation: Any
    build: Callable[..., Any] | None
    loss: Any
    optimizer: Any
    learning_rate: Any
    batch_size: int
    epochs: int
    dropout: float
    dtype: str
    l2: float
    clip_norm: float | None
    standardize: bool
    early_stopping: bool
    patience: int
    validation_fraction: float
    random_state: Any
    device: Any
    progress: bool

    n_features_in_: int
    model_: Model

    def outputs(self, X: Any) -> onp.ndarray:
        """Return what the network gives, before softmax or sigmoid.

        Parameters
        ----------
        X : array, shape (n, features)
            Examples.

        Returns
        -------
        numpy.ndarray, shape (n, k)
        """
        validation.check_is_fitted(self)
        return self.model_.outputs(numbers_of(self, X, reset=False))

    def _train(
        self,
        x: onp.ndarray,
        y: onp.ndarray,
        weights: onp.ndarray | None,
        n_out: int,
        meaning: Meaning,
        strata: Any = None,
        **model: Any,
    ) -> None:
        """Build and train a network; `model_` has it then with all that belongs to it."""
        seed = int(utils.check_random_state(self.random_state).randint(_LARGEST_SEED))
        settings = self._settings(seed)
        steps = [standardized(x, weights)] if check_flag(self.standardize, "standardize") else []
        for step in steps:
            x = step.transform(x)
        net = self._network(x.shape[1], n_out, seed)
        kept, held = onp.arange(len(x)), None
        if check_flag(self.early_stopping, "early_stopping"):
            part = check_number(self.validation_fraction, "validation_fraction", above=0, below=1)
            classes = 1 if strata is None else len(onp.unique(strata))
            kept, rows = model_selection.train_test_split(
                kept,
                test_size=max(round(part * len(x)), classes),  # one of each class, at least
                random_state=seed,
                stratify=strata,
            )
            held = (x[rows], y[rows]) if weights is None else (x[rows], y[rows], weights[rows])
        if weights is not None:
            settings["sample_weight"] = normalised(weights[kept])
        self.history_ = fit(net, (x[kept], y[kept]), held, **settings)
        self.model_ = Model(net, None, steps, meaning=meaning, **model)
        self._seed = seed

    def _settings(self, seed: int) -> dict[str, Any]:
        """Return what `fit` gets."""
        optimizer = self.optimizer
        if self.learning_rate is not None:
            if not isinstance(optimizer, str):
                raise ValueError(
                    f"learning_rate is {self.learning_rate!r} beside the optimizer {optimizer!r}, "
                    "which has a rate; expected the optimizer's name, or no learning_rate"
                )
            optimizer = (optimizer, self.learning_rate)
        patience = EarlyStopping(patience=self.patience)  # checks it
        l2 = check_number(self.l2, "l2", least=0)
        return {
            "loss": losses.named(self.loss),
            "optimizer": optim.named(optimizer),
            "batch_size": self.batch_size,
            "epochs": self.epochs,
            "penalty": losses.l2_penalty(l2) if l2 else None,
            "seed": seed,
            "device": self.device,
            "callbacks": [patience] if self.early_stopping else [],
            "clip_norm": self.clip_norm,
            "progress": self.progress,
        }

    def _network(self, n_in: int, n_out: int, seed: int) -> Any:
        if self.build is not None:
            return self.build(n_in, n_out, seed)
        units = [self.units] if isinstance(self.units, (int, onp.integer)) else list(self.units)
        hidden = [check_whole(one, "units") for one in units]
        return layers.mlp(
            n_in,
            hidden,
            n_out,
            self.activation,
            dropout=self.dropout,
            dtype=self.dtype,
            seed=seed,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle holds: the network as numbers, since MXNet's arrays are none."""
        state = super().__getstate__()
        return {**state, "model_": model_tree(self.model_)} if "model_" in state else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        tree = state.get("model_")
        super().__setstate__(state)
        if tree is not None:
            net = None
            if tree["architecture"] is None:
                net = self._network(self.n_features_in_, self._n_out(), self._seed)
            self.model_ = model_from(tree, net, name="the pickle")

    def _n_out(self) -> int:
        """Return the outputs of the network that was trained."""
        raise NotImplementedError


def numbers_of(estimator: Any, X: Any, *, reset: bool) -> onp.ndarray:
    """Return examples as a matrix of floats; the first time, remember its columns."""
    return validation.validate_data(estimator, X, reset=reset, dtype=(onp.float64, onp.float32))


def weights_of(sample_weight: Any, X: onp.ndarray) -> onp.ndarray | None:
    """Return one weight for each example, or None."""
    if sample_weight is None:
        return None
    weights = validation._check_sample_weight(sample_weight, X, dtype=onp.float64)
    if weights.min() < 0 or weights.sum() == 0:
        raise ValueError(
            f"sample_weight reaches from {weights.min():g} to {weights.max():g}; expected numbers "
            "of at least 0, not all 0"
        )
    return weights


def normalised(weights: onp.ndarray) -> onp.ndarray:
    """Return weights of mean 1: then the rate means what it means without them."""
    return weights / weights.mean()


def standardized(x: onp.ndarray, weights: onp.ndarray | None) -> Any:
    """Return `Standardize` fitted to examples, each of which counts by its weight."""
    if weights is None:
        return Standardize().fit(x)
    x, weights = x[weights > 0].astype(float), weights[weights > 0]
    low, high = x.min(axis=0), x.max(axis=0)
    # The mean of equal numbers need not be that number.
    mean = onp.where(low == high, low, onp.average(x, axis=0, weights=weights))
    squares = weights @ (x - mean) ** 2
    moments = {"n": weights.sum(), "mean": mean, "squares": squares, "low": low, "high": high}
    return transformer_from({"step": "Standardize", "arguments": {}, "moments": moments})
