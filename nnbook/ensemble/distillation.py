"""Distillation: a small network learns what a large one, or an ensemble, makes of the examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as onp

from nnbook._arguments import check_list, check_number, check_positive
from nnbook._arrays import as_numpy
from nnbook.data import check_labels
from nnbook.ensemble.members import Ensemble
from nnbook.gluon.examples import Examples
from nnbook.gluon.runtime import mx
from nnbook.losses import softmax_cross_entropy
from nnbook.training import Callback, History, Run, example_outputs, fit

__all__ = ["LabelledValidation", "distill", "distillation_loss", "soft_targets"]


@dataclass(frozen=True)
class distillation_loss:
    """Cross-entropy with a teacher's softened probabilities, mixed with that of the labels.

    (1 − α) T² CE(softmax(v/T), softmax(z/T)) + α CE(y, softmax(z)), one value per example, for the
    student's outputs z, the teacher's logits v, the label's row y, and CE(p, q) = −Σ_j p_j ln q_j.
    The gradient of the soft part is T² · (softmax(z/T) − softmax(v/T))/T: without T² it would fall
    as 1/T². With it, at a high temperature and with logits of zero mean, it is (z − v)/C.

    Parameters
    ----------
    temperature : float
        T > 0.
    hard_weight : float
        α in [0, 1].

    Raises
    ------
    ValueError, TypeError
        A temperature that is not a number above 0, a weight outside [0, 1]; when it is called,
        targets that are not (n, 2C).

    Notes
    -----
    Its targets are those that `soft_targets` makes, shape (n, 2C): v, then y, one-hot. A row of
    zeros for y has no hard part, so that examples without a label can be among the others.

    References
    ----------
    Hinton, Vinyals and Dean (2015), Distilling the knowledge in a neural network.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import ensemble
    >>> loss = ensemble.distillation_loss(temperature=2.0, hard_weight=0.5)
    >>> z = np.log([[0.5, 0.25, 0.25]])
    >>> round(float(loss(z, np.array([[0.0, 0, 0, 1, 0, 0]]))), 4)  # a teacher who knows nothing
    2.5714
    """

    targets: ClassVar[str] = "real"  # logits and rows of labels

    temperature: float = 4.0
    hard_weight: float = 0.1

    def __post_init__(self) -> None:
        temperature = check_positive(self.temperature, "temperature")
        object.__setattr__(self, "temperature", temperature)
        share = check_number(self.hard_weight, "hard_weight", least=0, most=1)
        object.__setattr__(self, "hard_weight", share)

    def __call__(self, outputs: Any, targets: Any) -> Any:
        """Return the loss of every example.

        Parameters
        ----------
        outputs : array or symbol, shape (n, C)
            z, the student's outputs.
        targets : array or symbol, shape (n, 2C)
            From `soft_targets`.

        Returns
        -------
        array or symbol, shape (n,)
            In nats.
        """
        if isinstance(outputs, mx.sym.Symbol):
            namespace = mx.sym
        else:
            namespace, outputs, targets = mx, _array(outputs), _array(targets)
            if targets.ndim != 2 or targets.shape[1] != 2 * outputs.shape[-1]:
                raise ValueError(
                    f"targets have shape {targets.shape}, outputs {outputs.shape}; expected (n, C) "
                    "outputs and (n, 2C) targets, as soft_targets makes them"
                )
        logits, labels = namespace.np.split(targets, 2, axis=-1)
        share, T = self.hard_weight, self.temperature
        parts = []
        if share < 1:
            soft = namespace.npx.softmax(logits / T, axis=-1)
            soft_loss = softmax_cross_entropy(outputs / T, soft, probabilities=True)
            parts.append((1 - share) * T**2 * soft_loss)
        if share > 0:
            parts.append(share * softmax_cross_entropy(outputs, labels, probabilities=True))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def soft_targets(teacher: Any, x: Any, y: Any = None, batch_size: int = 1000) -> onp.ndarray:
    """Run examples through a teacher; return the targets that `distillation_loss` takes.

    They do not depend on the temperature, and serve any number of students, in
    `nnbook.training.fit` or `nnbook.population.fit_population`.

    Parameters
    ----------
    teacher : mxnet.gluon.Block or Ensemble or callable
        A network or function that gives logits (n, C), or an ensemble, whose logits are ln p̄, the
        logarithm of its combined probabilities.
    x : array, shape (n, …)
        Examples, NumPy or MXNet.
    y : array of int, shape (n,), optional
        Labels; −1 marks an example without one. By default there are none.
    batch_size : int
        How many examples at once.

    Returns
    -------
    numpy.ndarray of float32, shape (n, 2C)
        The teacher's logits, of mean 0 in each row, then one-hot labels (zeros where there are
        none).

    Raises
    ------
    ValueError, TypeError
        A teacher that is none, or whose outputs are not finite logits of two classes or more;
        labels out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import ensemble
    >>> teacher = lambda x: np.stack([x[:, 0], -x[:, 0]], axis=1)
    >>> ensemble.soft_targets(teacher, np.array([[1.0], [2.0]]), np.array([0, -1]))
    array([[ 1., -1.,  1.,  0.],
           [ 2., -2.,  0.,  0.]], dtype=float32)
    """
    logits = _logits(teacher, x, batch_size)
    # Softmax does not see a shift, and rounding is least without one.
    logits = logits - logits.mean(axis=1, keepdims=True)
    labels = onp.zeros(logits.shape)
    if y is not None:
        y = as_numpy(y, "y")
        if y.shape != logits.shape[:1]:
            raise ValueError(
                f"y has the shape {y.shape}; expected ({len(logits)},), one label each"
            )
        known = y != -1
        if known.any():
            check_labels(y[known], logits.shape[1])
        labels[onp.flatnonzero(known), y[known].astype(int)] = 1
    return onp.concatenate([logits, labels], axis=1).astype("float32")


class LabelledValidation(Callback):
    """Measure a student on real labels after each epoch: ``val_loss`` and ``val_accuracy``.

    The loss is the cross-entropy with the labels at temperature 1, as for a network trained without
    a teacher. `distill` uses it; give it to `fit` when you call that yourself.

    Parameters
    ----------
    validation : tuple of array
        ``(x, y)``: examples and class labels.

    Raises
    ------
    ValueError, TypeError
        When `fit` starts: data that do not fit the network.
    """

    of_run = ("_examples",)

    def __init__(self, validation: tuple[Any, Any]):
        self.validation = validation

    def on_fit_start(self, run: Run) -> None:
        """Check the data."""
        self._examples = Examples(run.net, self.validation, softmax_cross_entropy, "validation")

    def on_validation(self, run: Run, row: dict[str, Any]) -> None:
        """Measure."""
        row.update({f"val_{key}": value for key, value in self._examples.evaluate().items()})


def distill(
    student: Any,
    teacher: Any,
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None = None,
    *,
    temperature: float = 4.0,
    hard_weight: float = 0.1,
    **options: Any,
) -> History:
    """Train a network on the outputs of another, or of an ensemble.

    The teacher is run once over the examples, with dropout off; the student then trains with
    `distillation_loss`.

    Parameters
    ----------
    student : mxnet.gluon.Block
        An initialised network with C outputs; it is changed in place.
    teacher : mxnet.gluon.Block or Ensemble or callable
        As for `soft_targets`; it is not changed.
    train : tuple of array
        ``(x, y)``. With ``hard_weight=0``, y may be None: any examples will do.
    validation : tuple of array, optional
        ``(x, y)`` with real labels.
    temperature : float
        T > 0: the higher, the more the student sees of the classes that the teacher thinks
        unlikely.
    hard_weight : float
        α in [0, 1], the share of the labels' cross-entropy.
    **options
        Of `nnbook.training.fit`: optimizer, batch_size, epochs, seed, device, callbacks, progress,
        penalty, shuffle, order.

    Returns
    -------
    History
        As from `fit`; ``train_loss`` is the distillation loss, ``val_loss`` and ``val_accuracy``
        are those on the real labels (`LabelledValidation`).

    Raises
    ------
    ValueError, TypeError
        As for `distillation_loss`, `soft_targets` and `fit`; no labels where they have a weight.

    References
    ----------
    Hinton, Vinyals and Dean (2015), Distilling the knowledge in a neural network; Buciluă, Caruana
    and Niculescu-Mizil (2006), Model compression.

    Examples
    --------
    >>> from nnbook import data, ensemble, layers, optim
    >>> x, y = data.moons(rng=0)
    >>> teacher, student = (layers.mlp(2, [h], 2, seed=0) for h in (50, 5))
    >>> history = ensemble.distill(student, teacher, (x, None), validation=(x, y), hard_weight=0,
    ...                            optimizer=optim.adam(0.01), epochs=2)
    >>> history.columns
    ['epoch', 'step', 'seconds', 'train_loss', 'val_loss', 'val_accuracy']
    """
    loss = distillation_loss(temperature, hard_weight)
    if "loss" in options:
        raise TypeError("distill has its own loss; set temperature and hard_weight, or call fit")
    if not isinstance(train, (tuple, list)) or len(train) != 2:
        raise TypeError(
            f"train is a {type(train).__name__}; expected a pair (x, y), or (x, None) without "
            "labels"
        )
    x, y = train
    if y is None and hard_weight > 0:
        raise ValueError(
            f"there are no labels, but hard_weight is {hard_weight}; give labels, or hard_weight=0"
        )
    callbacks = check_list(options.pop("callbacks", ()), "callbacks", Callback)
    if validation is not None:
        callbacks = [LabelledValidation(validation), *callbacks]
    targets = soft_targets(teacher, x, y)
    return fit(student, (x, targets), loss=loss, callbacks=callbacks, **options)


def _logits(teacher: Any, x: Any, batch_size: int) -> onp.ndarray:
    """Return a teacher's logits in float64, shape (n, C)."""
    if isinstance(teacher, Ensemble):
        if teacher.combine == "outputs":
            raise ValueError(
                "the ensemble averages outputs, which are no probabilities; give one with "
                "combine='probabilities', or a function that gives logits"
            )
        # No vote, or a probability below the smallest number, is as good as none.
        combined = teacher(x, batch_size)
        logits = onp.log(onp.maximum(combined, onp.finfo("float32").tiny))
    else:
        logits = example_outputs(teacher, x, batch_size).astype(float)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            f"the teacher gives outputs of shape {logits.shape}; expected logits (n, C) of at "
            "least two classes"
        )
    if not onp.isfinite(logits).all():
        raise ValueError(
            "the teacher gives outputs that are not finite; expected logits (for a probability p, "
            "ln p of at least 1e-38)"
        )
    return logits


def _array(values: Any) -> Any:
    if isinstance(values, mx.nd.NDArray):
        return values if isinstance(values, mx.np.ndarray) else values.as_np_ndarray()
    values = as_numpy(values)
    return mx.np.array(values, dtype=values.dtype)
