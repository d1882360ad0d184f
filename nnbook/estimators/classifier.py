"""A network as a classifier of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as onp

from nnbook import losses
from nnbook._optional import require
from nnbook.estimators.base import NetEstimator, numbers_of, validation, weights_of
from nnbook.models.meaning import Meaning

available_if = require("sklearn.utils.metaestimators", extra="estimators").available_if
multiclass = require("sklearn.utils.multiclass", extra="estimators")
class_weights = require("sklearn.utils.class_weight", extra="estimators")

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin
else:
    ClassifierMixin = require("sklearn.base", extra="estimators").ClassifierMixin

__all__ = ["NetClassifier"]


def _gives_probabilities(estimator: Any) -> bool:
    return bool(Meaning.of(losses.named(estimator.loss)).link)


class NetClassifier(ClassifierMixin, NetEstimator):
    """A network that classifies, as an estimator of scikit-learn.

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
        Of `nnbook.losses`, by name, or your own. One that takes class labels gets an output a
        class; "sigmoid_cross_entropy" and those of signs, which decide between two classes, get a
        single one. Your own says which by its attribute ``targets``.
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
    class_weight : "balanced" or dict, optional
        ``{label: weight}``; "balanced" weighs classes inversely to their frequency.
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
    classes_ : numpy.ndarray, shape (C,)
        The labels seen in `fit`, sorted.
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : numpy.ndarray of str
        Their names, where X was a DataFrame with such.
    history_ : nnbook.training.History
        Of the training.
    model_ : nnbook.models.Model
        The network with its preprocessing and the classes: `nnbook.models.save` takes it. The
        steps of a Pipeline before it are not among them.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from nnbook.estimators import NetClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> net = NetClassifier([16], epochs=40, learning_rate=0.01, random_state=0)
    >>> bool(cross_val_score(net, x, y, cv=3).mean() > 0.9)
    True
    """

    def __init__(
        self,
        units: int | Sequence[int] = (100,),
        activation: str | None = "relu",
        *,
        build: Callable[[int, int, int], Any] | None = None,
        loss: str | Callable[[Any, Any], Any] = "softmax_cross_entropy",
        optimizer: Any = "adam",
        learning_rate: float | None = None,
        batch_size: int = 32,
        epochs: int = 100,
        dropout: float = 0.0,
        dtype: str = "float64",
        l2: float = 0.0,
        clip_norm: float | None = None,
        standardize: bool = True,
        class_weight: str | Mapping[Any, float] | None = None,
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
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device
        self.progress = progress

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> NetClassifier:
        """Train a new network.

        Parameters
        ----------
        X : array, shape (n, features)
            Examples.
        y : array, shape (n,)
            Their classes: numbers or names, two or more.
        sample_weight : array, shape (n,), optional
            How much each example counts, at least 0.

        Returns
        -------
        NetClassifier
            Itself.

        Raises
        ------
        ValueError, TypeError
            Data that scikit-learn refuses; one class alone; settings that do not fit.
        DivergedError
            Training has diverged.
        """
        X, y = validation.validate_data(self, X, y, dtype=(onp.float64, onp.float32))
        multiclass.check_classification_targets(y)
        self.classes_, labels = onp.unique(y, return_inverse=True)
        weights = weights_of(sample_weight, X)
        counted = labels if weights is None else labels[weights > 0]
        if len(onp.unique(counted)) < 2:
            only, where = self.classes_[counted[0]], "" if weights is None else " of any weight"
            raise ValueError(f"y has one class{where}, {only!r}; expected two or more classes")
        if self.class_weight is not None:
            own = class_weights.compute_sample_weight(self.class_weight, y)
            weights = own if weights is None else own * weights
        meaning = self._meaning()
        targets = 2.0 * labels - 1 if meaning.kind == "signs" else labels
        names = {"classes": self.classes_}
        self._train(X, targets, weights, self._n_out(), meaning, strata=labels, **names)
        return self

    def _meaning(self) -> Meaning:
        """Return what outputs mean, once the classes are known."""
        meaning = Meaning.of(losses.named(self.loss))
        if meaning.kind in ("rows", "real"):
            raise ValueError(
                f"loss is {self.loss!r}, which does not say that it takes class labels; expected "
                "one that does. Your own says so by loss.targets = 'labels'"
            )
        if meaning.kind != "labels" and len(self.classes_) > 2:
            raise ValueError(
                f"loss is {self.loss!r}, which decides between two classes, and y has "
                f"{len(self.classes_)} classes; expected softmax_cross_entropy"
            )
        return meaning

    def _n_out(self) -> int:
        return len(self.classes_) if self._meaning().kind == "labels" else 1

    def predict(self, X: Any) -> onp.ndarray:
        """Return the most probable class of every example.

        Parameters
        ----------
        X : array, shape (n, features)
            Examples.

        Returns
        -------
        numpy.ndarray, shape (n,)
            Of the classes seen in `fit`.
        """
        validation.check_is_fitted(self)
        return self.model_.predict(numbers_of(self, X, reset=False))

    @available_if(_gives_probabilities)
    def predict_proba(self, X: Any) -> onp.ndarray:
        """Return the probability of every class.

        Parameters
        ----------
        X : array, shape (n, features)
            Examples.

        Returns
        -------
        numpy.ndarray, shape (n, C)
            Columns in the order of ``classes_``. There is none with a hinge loss.
        """
        validation.check_is_fitted(self)
        return self.model_.predict_proba(numbers_of(self, X, reset=False))
