"""Several models as one: run them, combine what they give, save and load them together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as onp

from nnbook._arguments import check_choice, check_pair
from nnbook._arrays import as_numpy
from nnbook.ensemble.borders import as_classes, checked_labels, checked_weights, finite
from nnbook.ensemble.calibration import (
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
)
from nnbook.ensemble.combining import (
    average_logits,
    average_outputs,
    average_probabilities,
    mixture_weights,
    vote,
)
from nnbook.gluon.architecture import check_values, put_values, values_of
from nnbook.gluon.runtime import mx
from nnbook.gluon.targets import targets_of
from nnbook.training import CheckpointError, example_outputs
from nnbook.training.checkpoint import load_tree, save_tree

__all__ = ["Ensemble"]

_COMBINE: dict[str, Callable[[Any, Any], onp.ndarray]] = {
    "probabilities": average_probabilities,
    "logits": average_logits,
    "votes": vote,
    "outputs": average_outputs,
}
_KIND = "nnbook ensemble 1"


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Models of the same task that predict together.

    Parameters
    ----------
    members : sequence of callable
        Gluon networks of any kind, each on any device, or functions from NumPy examples (n, …) to
        an array with a row for each. For classes they give logits, shape (n, C), or (n, 1) for two
        classes by one sigmoid; a function that gives probabilities takes part with their logarithm.
    combine : {"probabilities", "logits", "votes", "outputs"}
        What is averaged: softmax(z), or z before the softmax (a geometric mean), or votes for the
        most probable class; or the outputs as they are, for regression. A single logit z counts as
        the two logits (0, z), whose softmax is (1 − σ(z), σ(z)).
    weights : array, shape (M,), optional
        One for each member, at least 0; divided by their sum. By default all the same.

    Attributes
    ----------
    members : tuple of callable
        As given: nothing is copied, and nothing of them is changed.
    weights : numpy.ndarray, shape (M,)
        Of sum 1; read-only.

    Raises
    ------
    TypeError
        A member cannot be called.
    ValueError
        No member, an unknown `combine`, or weights that are negative, all 0 or not M.

    Examples
    --------
    >>> from nnbook import data, ensemble, layers
    >>> x, y = data.two_gaussians(rng=0)
    >>> both = ensemble.Ensemble([layers.mlp(2, [4], 2, seed=seed) for seed in range(2)])
    >>> both
    Ensemble(2 members, combine='probabilities')
    >>> both.outputs(x).shape, both(x).shape, both.predict(x).shape
    ((2, 100, 2), (100, 2), (100,))
    """

    members: Sequence[Callable[[Any], Any]]
    combine: str = "probabilities"
    weights: Any = None

    def __post_init__(self) -> None:
        if callable(self.members):
            raise TypeError(
                f"members is one {type(self.members).__name__}; expected a sequence of them"
            )
        members = tuple(self.members)
        if not members:
            raise ValueError("members is empty; expected at least one network or function")
        for k, member in enumerate(members):
            if not callable(member):
                raise TypeError(
                    f"member {k} is a {type(member).__name__}; expected a network or a function"
                )
        check_choice(self.combine, "combine", list(_COMBINE))
        weights = checked_weights(self.weights, len(members))
        weights.flags.writeable = False
        object.__setattr__(self, "members", members)
        object.__setattr__(self, "weights", weights)

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, which: int | slice | Sequence[int]) -> Ensemble:
        """Return the ensemble of some members, their weights in proportion.

        Where all of them have the weight 0, they have the same.
        """
        chosen = onp.atleast_1d(onp.arange(len(self))[which])
        weights = self.weights[chosen] if self.weights[chosen].any() else None
        return replace(self, members=[self.members[k] for k in chosen], weights=weights)

    def __repr__(self) -> str:
        weights = ""
        if onp.ptp(self.weights) > 0:
            weights = f", weights=[{', '.join(f'{w:.3g}' for w in self.weights)}]"
        plural = "s" if len(self) > 1 else ""
        return f"Ensemble({len(self)} member{plural}, combine={self.combine!r}{weights})"

    def outputs(self, x: Any, batch_size: int = 1000) -> onp.ndarray:
        """Run examples through every member, with dropout off.

        Parameters
        ----------
        x : array, shape (n, …)
            Examples, NumPy or MXNet.
        batch_size : int
            How many at once.

        Returns
        -------
        numpy.ndarray, shape (M, n, …)
            What each gives, before anything is combined: the functions of `nnbook.ensemble` take
            it.

        Raises
        ------
        ValueError
            No examples, or members that give different shapes.
        """
        shapes = [example_outputs(member, x[:1]).shape[1:] for member in self.members]
        for k, shape in enumerate(shapes):
            if shape != shapes[0]:
                raise ValueError(
                    f"member {k} gives each example outputs of shape {shape}, member 0 of shape "
                    f"{shapes[0]}; expected the same of all"
                )
        return onp.stack([example_outputs(member, x, batch_size) for member in self.members])

    def __call__(self, x: Any, batch_size: int = 1000) -> onp.ndarray:
        """Combine what the members give.

        Parameters
        ----------
        x, batch_size
            As for `outputs`.

        Returns
        -------
        numpy.ndarray, shape (n, C)
            Probabilities (of votes, their shares), two of each where members have one sigmoid; for
            regression the mean outputs, shape (n, …).
        """
        outputs = self.outputs(x, batch_size)
        if self.combine != "outputs":
            outputs = as_classes(outputs)
        return _COMBINE[self.combine](outputs, self.weights)

    def predict(self, x: Any, batch_size: int = 1000) -> onp.ndarray:
        """Return a prediction for every example: a class, or for regression the mean output.

        Parameters
        ----------
        x, batch_size
            As for `outputs`.

        Returns
        -------
        numpy.ndarray
            The most probable classes, int, shape (n,); with ``combine="outputs"`` the mean outputs,
            shape (n,) where there is one for each example, else (n, …).
        """
        if self.combine == "outputs":
            outputs = self(x, batch_size)
            return outputs.reshape(-1) if outputs.size == len(outputs) else outputs
        return self(x, batch_size).argmax(axis=1)

    def evaluate(
        self, data: tuple[Any, Any], batch_size: int = 1000, loss: Any = None
    ) -> dict[str, float]:
        """Score the combined prediction.

        Parameters
        ----------
        data : tuple of array
            ``(x, y)``: examples, and class labels, shape (n,), or (n, 1) for one sigmoid; for
            regression, targets.
        batch_size : int
            How many examples at once.
        loss : callable, optional
            The members' loss, which must suit what is averaged; it changes nothing.

        Returns
        -------
        dict
            ``loss`` (the negative log-likelihood in nats), ``accuracy``, ``brier`` and
            ``calibration_error`` (expected, in 15 bins). For regression ``loss`` alone, half the
            squared error as in `nnbook.losses.squared_error`.

        Raises
        ------
        ValueError
            Labels out of range, targets of another shape than the outputs, or a loss of another
            kind: none of classes where outputs are averaged, or of numbers where they are not.
        """
        if loss is not None and (targets_of(loss).kind in ("", "real")) != (
            self.combine == "outputs"
        ):
            raise ValueError(
                f"loss is {getattr(loss, '__name__', loss)}, and the ensemble averages "
                f"{self.combine}; expected the loss of the members"
            )
        x, y = check_pair(data, "data")
        combined = self(x, batch_size)
        if self.combine == "outputs":
            targets = finite(y, "targets")
            if targets.shape == combined.shape[:1] and combined[0].size == 1:
                targets = targets.reshape(combined.shape)  # as the losses do
            if targets.shape != combined.shape:
                raise ValueError(
                    f"targets have the shape {targets.shape}; expected {combined.shape}, that of "
                    "the outputs"
                )
            return {"loss": float(0.5 * ((combined - targets) ** 2).sum() / len(targets))}
        labels = checked_labels(_as_labels(y), combined.shape)
        return {
            "loss": negative_log_likelihood(combined, labels),
            "accuracy": float((combined.argmax(axis=1) == labels).mean()),
            "brier": brier_score(combined, labels),
            "calibration_error": expected_calibration_error(combined, labels),
        }

    def fit_weights(self, validation: tuple[Any, Any], batch_size: int = 1000) -> Ensemble:
        """Find the weights under which validation labels are most likely (`mixture_weights`).

        Parameters
        ----------
        validation : tuple of array
            ``(x, y)`` that no member was trained on.
        batch_size : int
            How many examples at once.

        Returns
        -------
        Ensemble
            Of the same members with other weights.

        Raises
        ------
        ValueError
            The ensemble does not average probabilities, or labels are out of range.
        """
        if self.combine != "probabilities":
            raise ValueError(
                f"the ensemble averages {self.combine}; the weights of a mixture are those of "
                "probabilities. Make it with combine='probabilities'"
            )
        x, y = check_pair(validation, "validation")
        outputs = as_classes(self.outputs(x, batch_size))
        members = [average_probabilities(member[None]) for member in outputs]
        return replace(self, weights=mixture_weights(members, _as_labels(y)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save all members' parameters, the weights and how they combine to one file.

        It is written atomically, with its size and SHA-256; what was at `path` moves to `path` +
        ``.previous``.

        Parameters
        ----------
        path : path
            Where.

        Raises
        ------
        TypeError
            A member is no Gluon network.
        ValueError
            A member's parameters have no values yet.
        CheckpointError
            The disk refuses.
        """
        for k, member in enumerate(self.members):
            if not isinstance(member, mx.gluon.Block):
                raise TypeError(
                    f"member {k} is a {type(member).__name__}; only Gluon networks can be saved, "
                    "since a file can hold parameters but no code"
                )
        tree = {
            "kind": _KIND,
            "combine": self.combine,
            "weights": self.weights,
            "members": [_of_member(k, values_of, member) for k, member in enumerate(self.members)],
        }
        save_tree(path, tree)

    @classmethod
    def load(cls, path: str | os.PathLike[str], build: Callable[[int], Any]) -> Ensemble:
        """Load what `save` wrote into new networks.

        Parameters
        ----------
        path : path
            The file.
        build : callable
            ``build(k)`` returns a network of member k's architecture, a new one for each;
            its values are replaced.

        Returns
        -------
        Ensemble
            With the parameters and running statistics that were saved, bit for bit.

        Raises
        ------
        CheckpointError
            The file is missing, truncated, damaged or no ensemble.
        TypeError, ValueError
            A network is of another architecture or dtype, or built twice; no network is changed.
        """
        tree = load_tree(path)
        if tree.get("kind") != _KIND:
            raise CheckpointError(f"{path} holds no ensemble; read it with what wrote it")
        saved = tree["members"]
        nets = [build(k) for k in range(len(saved))]
        if len({id(net) for net in nets}) < len(nets):
            raise ValueError("build returned the same network twice; expected a new one each time")
        for k, (net, values) in enumerate(zip(nets, saved, strict=True)):
            _of_member(k, check_values, net, values)
        for net, values in zip(nets, saved, strict=True):
            put_values(net, values)
        return cls(nets, tree["combine"], tree["weights"])


def _as_labels(y: Any) -> onp.ndarray:
    """Return class numbers as shape (n,), and name what else an ensemble of outputs can be."""
    labels = as_numpy(y, "labels")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype.kind == "f" and (wrong := labels[labels != onp.floor(labels)]).size:
        raise ValueError(
            f"labels have the value {wrong.flat[0]:g}, and the ensemble averages what belongs to "
            "classes; expected class numbers. For regression make it with combine='outputs'"
        )
    return labels


def _of_member(k: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function; what it refuses is refused of member k."""
    try:
        return function(*arguments)
    except ValueError as error:
        raise ValueError(f"member {k}: {error}") from None
