"""A network as a regressor of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as onp

from nnbook import losses
from nnbook._arguments import check_flag
from nnbook._optional import require
from nnbook.estimators.base import (
    NetEstimator,
    numbers_of,
    standardized,
    validation,
    weights_of,
)
from nnbook.models.meaning import Meaning

if TYPE_CHECKING:
    from sklearn.base import RegressorMixin
else:
    RegressorMixin = require("sklearn.base", extra="estimators").RegressorMixin

__all__ = ["NetRegressor"]


class NetRegressor(RegressorMixin, NetEstimator):
    """A network that predicts numbers, as an estimator of scikit-learn.

    Parameters
    ----------
    units : int or sequence of int
        Units of each hidden layer of `nnbook.layers.mlp`; empty for a linear model.
    activation : str or None
        Of the hidden layers: "relu", "tanh", "sigmoid"… (`nnbook.layers.activation`).
    build : callable, optional
        ``build(n_in, n_out, seed)`` returns an initialised network, instead of `units`,
        `activation`, `dropout` and `dtype`: any Gluon network that takes (n, n_in).
    loss : str or callable
        "squared_error", or your own, ``loss(outputs, targets)`` with one value per example.
    optimizer : str, Optimizer or mxnet.optimizer.Optimizer
        A name of `nnbook.optim` ("adam", "momentum", "sgd"…), or a rule.
    learning_rate : float, optional
        Of an optimizer that is a name; by default its own (`nnbook.optim.DEFAULT_RATES`).
    batch_size, epochs : int
        As for `nnbook.training.fit`.
    dropout : float
        Probability in [0, 1) that a hidden unit is left out in training.
    dtype : str
        "float64", in which predictions do not depend on what else is predicted with them; "float32"
        is up to twice as fast for large networks, and rounds to 1e-7.
    l2 : float
        Strength of `nnbook.losses.l2_penalty`.
    clip_norm : float, optional
        The largest length of a gradient.
    standardize : bool
        Give every feature the mean 0 and the standard deviation 1, as in the training data.
    standardize_targets : bool
        Train on targets of mean 0 and standard deviation 1; predictions are in the units of y. Set
        it to False for a loss that needs targets as they are, as Poisson's does.
    early_stopping : bool
        Hold out `validation_fraction` of the examples; stop when their loss has not improved for
        `patience` epochs, and keep the best epoch's network.
    patience : int
        See `early_stopping`.
    validation_fraction : float
        See `early_stopping`.
    random_state : int, RandomState or None
        Decides initial weights, order, dropout and what is held out.
    device : str or mxnet.Context, optional
        Where to train.
    progress : bool
        Show a progress bar where somebody is there to look.

    Attributes
    ----------
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : numpy.ndarray of str
        Their names, where X was a DataFrame with such.
    history_ : nnbook.training.History
        Of the training.
    model_ : nnbook.models.Model
        The network with its preprocessing: `nnbook.models.save` takes it.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import cross_val_score
    >>> from nnbook.estimators import NetRegressor
    >>> x, y = load_diabetes(return_X_y=True)
    >>> net = NetRegressor([16], epochs=20, learning_rate=0.01, l2=0.1, random_state=0)
    >>> bool(cross_val_score(net, x, y, cv=3).mean() > 0.4)
    True
    """

    def __init__(
        self,
        units: int | Sequence[int] = (100,),
        activation: str | None = "relu",
        *,
        build: Callable[[int, int, int], Any] | None = None,
        loss: str | Callable[[Any, Any], Any] = "squared_error",
        optimizer: Any = "adam",
        learning_rate: float | None = None,
        batch_size: int = 32,
        epochs: int = 100,
        dropout: float = 0.0,
        dtype: str = "float64",
        l2: float = 0.0,
        clip_norm: float | None = None,
        standardize: bool = True,
        standardize_targets: bool = True,
        early_stopping: bool = False,
        patience: int = 10,
        validation_fraction: float = 0.1,
        random_state: Any = None,
        device: Any = None,
        progress: bool = False,
    ):
        self.units = units
        self.activation = activation
        self.build = build
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.dropout = dropout
        self.dtype = dtype
        self.l2 = l2
        self.clip_norm = clip_norm
        self.standardize = standardize
        self.standardize_targets = standardize_targets
        self.early_stopping = early_stopping
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.progress = progress

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn wants to know: several targets are fine."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetRegressor:
        """Train a new network.

        Parameters
        ----------
        X : array, shape (n, features)
            Examples.
        y : array, shape (n,) or (n, k)
            Targets.
        sample_weight : array, shape (n,), optional
            How much each example counts, at least 0.

        Returns
        -------
        NetRegressor
            Itself.

        Raises
        ------
        ValueError, TypeError
            Data that scikit-learn refuses; settings that do not fit.
        DivergedError
            Training has diverged.
        """
        X, y = validation.validate_data(
            self, X, y, dtype=(onp.float64, onp.float32), multi_output=True, y_numeric=True
        )
        weights = weights_of(sample_weight, X)
        self._flat = y.ndim == 1
        y = y.reshape(len(y), -1).astype(float)
        self.n_outputs_ = y.shape[1]
        scale = None
        if check_flag(self.standardize_targets, "standardize_targets"):
            scale = standardized(y, weights)
            y = scale.transform(y)
        if Meaning.of(losses.named(self.loss)).classifies:
            raise ValueError(
                f"loss is {self.loss!r}, which takes classes; expected one of real numbers, such "
                "as squared_error"
            )
        self._train(X, y, weights, self.n_outputs_, Meaning(), target_preprocessing=scale)
        return self

    def _n_out(self) -> int:
        return self.n_outputs_

    def predict(self, X: Any) -> onp.ndarray:
        """Return the prediction for every example, in the units of the targets.

        Parameters
        ----------
        X : array, shape (n, features)
            Examples.

        Returns
        -------
        numpy.ndarray, shape (n,) or (n, k)
            As y was in `fit`.
        """
        validation.check_is_fitted(self)
        found = self.model_.predict(numbers_of(self, X, reset=False)).astype(float)
        return found.reshape(-1) if self._flat else found.reshape(len(found), -1)
