"""A network with all that belongs to its use, and predictions."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as onp

from nnbook import losses
from nnbook._arguments import check_whole
from nnbook._types import Loss, Network
from nnbook.data.inputs import as_array
from nnbook.gluon.runtime import mx
from nnbook.models.meaning import Meaning
from nnbook.training import example_outputs

__all__ = ["Model", "as_model", "predict", "predict_proba"]

_NO_LOSS = (
    "nobody knows what the network's outputs mean; expected the loss that it was trained with, "
    "loss=losses.softmax_cross_entropy for example. nnbook.training.example_outputs gives the "
    "outputs themselves"
)


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with what its use needs.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialised network.
    loss : callable or str, optional
        The loss that it was trained with, which says what outputs mean. A loss of your own says it
        by an attribute: ``loss.targets = "labels"`` for one output a class, "probabilities" for a
        sigmoid's. One that says nothing has real outputs.
    preprocessing : transformer or sequence of them
        What was fitted on the training examples, in the order in which it is applied:
        `nnbook.data.Standardize`, `PCAWhiten`, or whatever has a method ``transform``.
    target_preprocessing : transformer, optional
        What was fitted on the targets of a regression, shape (n, k): predictions are transformed
        back.
    classes : sequence of str or int, optional
        The classes' names, in the order of the labels 0, 1, …
    notes : dict, optional
        Whatever else belongs to it, such as a vocabulary: dicts with strings as keys, lists,
        numbers, strings and NumPy arrays.

    Attributes
    ----------
    meaning : nnbook.models.meaning.Meaning or None
        What the loss said.

    Raises
    ------
    TypeError, ValueError
        No network; a step without a method ``transform``; class names that are equal, or beside a
        loss that knows no classes.

    Examples
    --------
    >>> from nnbook import data, layers, losses, models, optim, training
    >>> x, y = data.moons(rng=0)
    >>> standardize = data.Standardize().fit(x)
    >>> net = layers.mlp(2, [16], 2, "tanh", seed=0)
    >>> loss = losses.softmax_cross_entropy
    >>> history = training.fit(net, (standardize.transform(x), y), loss=loss,
    ...                        optimizer=optim.adam(0.05), epochs=20, progress=False)
    >>> model = models.Model(net, loss, standardize, classes=["upper", "lower"])
    >>> bool((model.predict(x) == model.classes[y]).mean() > 0.9), model.predict_proba(x).shape
    (True, (200, 2))
    """

    net: Network
    loss: Loss | None = None
    preprocessing: Any = ()
    target_preprocessing: Any = None
    classes: Any = None
    notes: dict[str, Any] | None = None
    meaning: Meaning | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.net, mx.gluon.Block):
            raise TypeError(f"net is a {type(self.net).__name__}; expected a Gluon network")
        given = self.preprocessing
        alone = hasattr(given, "transform") or callable(given)
        steps = (given,) if alone else tuple(given or ())
        for step in steps:
            if not hasattr(step, "transform"):
                raise TypeError(
                    f"preprocessing has a {type(step).__name__}; expected what has a method "
                    "transform, such as nnbook.data.Standardize"
                )
        back = self.target_preprocessing
        if back is not None and not hasattr(back, "inverse_transform"):
            raise TypeError(
                f"target_preprocessing is a {type(back).__name__}; expected what has a method "
                "inverse_transform, such as nnbook.data.Standardize"
            )
        meaning = self.meaning
        if self.loss is not None:
            meaning = Meaning.of(losses.named(self.loss))
        if self.classes is not None and meaning is not None and not meaning.classifies:
            raise ValueError(
                "classes are given, and the loss says nothing of classes; expected one that does: "
                "loss.targets = 'labels' for one output a class, 'probabilities' for a sigmoid's"
            )
        if self.classes is not None:
            object.__setattr__(self, "classes", _checked_classes(self.classes))
        object.__setattr__(self, "preprocessing", steps)
        object.__setattr__(self, "meaning", meaning)

    def outputs(self, x: Any, batch_size: int = 1000) -> onp.ndarray:
        """Preprocess examples and run them through the network, with dropout off.

        Parameters
        ----------
        x : array, DataFrame or list, shape (n, …)
            Examples, as they were before the preprocessing.
        batch_size : int
            How many at once.

        Returns
        -------
        numpy.ndarray, shape (n, …)
            What the network gives: logits, for example.

        Raises
        ------
        TypeError, ValueError
            No examples, or not of the shape that the network takes.
        """
        batch_size = check_whole(batch_size, "batch_size")
        x = as_array(x)
        for step in self.preprocessing:
            x = step.transform(x)
        return example_outputs(self.net, x, batch_size)

    def predict(self, x: Any, batch_size: int = 1000) -> onp.ndarray:
        """Return a prediction for every example.

        Parameters
        ----------
        x, batch_size
            As for `outputs`.

        Warns
        -----
        RuntimeWarning
            Outputs are NaN or infinite, and what is predicted for these examples means nothing.

        Returns
        -------
        numpy.ndarray
            Classes, shape (n,): their names where there are names, else numbers (−1 and 1 where
            the loss takes signs); 0 or 1 for each of several sigmoids, shape (n, k). For
            regression, shape (n,) for a single output and (n, k) for several.

        Raises
        ------
        ValueError
            The loss is unknown.
        """
        meaning = self._meaning()
        outputs = self.outputs(x, batch_size)
        if bad := int((~onp.isfinite(outputs.reshape(len(outputs), -1))).any(axis=1).sum()):
            warnings.warn(
                f"the outputs of {bad} of {len(outputs)} examples are not finite: what is "
                "predicted for them means nothing. Look at their inputs, or whether training "
                "diverged",
                RuntimeWarning,
                stacklevel=3,
            )
        if not meaning.classifies:
            if self.target_preprocessing is not None:
                # In float64: units may have an origin far away, as years have.
                outputs = self.target_preprocessing.inverse_transform(outputs.astype(float))
            return outputs.reshape(-1) if outputs.size == len(outputs) else outputs
        decided = meaning.decide(outputs)
        if self.classes is None:
            return decided
        return self._named(outputs)[decided.clip(0) if meaning.kind == "signs" else decided]

    def predict_proba(self, x: Any, batch_size: int = 1000) -> onp.ndarray:
        """Return the probability of every class.

        Parameters
        ----------
        x, batch_size
            As for `outputs`.

        Returns
        -------
        numpy.ndarray, shape (n, C)
            A column a class, for a single sigmoid too (1 − σ(z) and σ(z)); of several sigmoids one
            each, and rows do not sum to 1.

        Raises
        ------
        ValueError
            The loss is unknown, or makes no probabilities.
        """
        return self._meaning().probabilities(self.outputs(x, batch_size))

    def _meaning(self) -> Meaning:
        if self.meaning is None:
            raise ValueError(_NO_LOSS)
        return self.meaning

    def _named(self, outputs: onp.ndarray) -> onp.ndarray:
        """Return the classes' names, which must be as many as the outputs tell apart."""
        kind, axis = self._meaning().kind, self._meaning().axis
        count = outputs.shape[axis] if kind in ("labels", "rows") else 2
        if len(self.classes) != count:
            raise ValueError(
                f"classes has {len(self.classes)} names, and the network tells {count} classes "
                "apart; expected a name for each"
            )
        return self.classes


def predict(
    net: Network | Model, x: Any, loss: Loss | None = None, batch_size: int = 1000
) -> onp.ndarray:
    """Return the prediction of a network for every example.

    Parameters
    ----------
    net : mxnet.gluon.Block or Model
        A trained network, or what `load` returned.
    x : array, DataFrame or list, shape (n, …)
        Examples. A network gets them as they are; a model preprocesses them.
    loss : callable or str, optional
        The loss that a network was trained with; a model has its own.
    batch_size : int
        How many at once.

    Returns
    -------
    numpy.ndarray
        Classes, shape (n,), or the outputs of a regression: see `Model.predict`.

    Raises
    ------
    TypeError, ValueError
        Not a network; no loss; examples that it does not take.

    Examples
    --------
    >>> from nnbook import data, layers, losses, models, optim, training
    >>> x, y = data.moons(rng=0)
    >>> net = layers.mlp(2, [8], 2, seed=0)
    >>> history = training.fit(net, (x, y), loss=losses.softmax_cross_entropy, epochs=20,
    ...                        optimizer=optim.adam(0.05), progress=False)
    >>> y_found = models.predict(net, x, losses.softmax_cross_entropy)
    >>> y_found.shape, bool((y_found == y).mean() > 0.7)
    ((200,), True)
    """
    return as_model(net, loss).predict(x, batch_size)


def predict_proba(
    net: Network | Model, x: Any, loss: Loss | None = None, batch_size: int = 1000
) -> onp.ndarray:
    """Return the probability that a network gives every class.

    Parameters
    ----------
    net, x, loss, batch_size
        As for `predict`.

    Returns
    -------
    numpy.ndarray, shape (n, C)
        See `Model.predict_proba`.

    Raises
    ------
    TypeError, ValueError
        As for `predict`; a loss that makes no probabilities.
    """
    return as_model(net, loss).predict_proba(x, batch_size)


def as_model(net: Network | Model, loss: Loss | None = None) -> Model:
    """Return a model as it is, and a network with its loss as one."""
    if not isinstance(net, Model):
        return Model(net, loss)
    if loss is not None and net.meaning is None:
        return replace(net, loss=loss)
    if loss is not None and Meaning.of(losses.named(loss)) != net.meaning:
        raise ValueError(
            f"loss is {loss!r}, and the model was made with a loss of another kind; expected none "
            "beside a model"
        )
    return net


def _checked_classes(classes: Any) -> onp.ndarray:
    found = onp.array(list(classes))  # a copy, of one dtype
    if found.ndim != 1 or len(found) < 2 or len(set(found.tolist())) < len(found):
        raise ValueError(f"classes is {classes!r}; expected two or more names, no two alike")
    return found
