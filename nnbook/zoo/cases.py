"""What a case of the zoo is, and the pieces that cases are made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as onp

from nnbook import data, layers, losses, optim
from nnbook.gluon.runtime import as_device, mx, np

nn = mx.gluon.nn

__all__ = [
    "Bug",
    "Case",
    "CorrectNet",
    "chain",
    "digits",
    "digits_case",
    "digits_net",
    "planted",
    "sound",
]

Pair = tuple[Any, Any]


@dataclass(frozen=True)
class Case:
    """A network, a loss, data and the options of a training run: all that `fit` takes.

    ``training.fit(case.net, case.data, case.validation, loss=case.loss, **case.fit_options)`` runs
    it. The network is trained in place, so build the case anew for another run.

    Attributes
    ----------
    net : mxnet.gluon.Block
        Initialised, every shape known.
    loss : callable
        ``loss(outputs, targets)``, one value per example, or one.
    data, validation : tuple of numpy.ndarray
        ``(x, y)``.
    fit_options : dict
        Keyword arguments of `nnbook.training.fit`.
    """

    net: Any
    loss: Callable[[Any, Any], Any]
    data: Pair
    validation: Pair
    fit_options: Mapping[str, Any]


@dataclass(frozen=True)
class Bug:
    """A planted mistake, what one sees of it, and who should notice.

    Attributes
    ----------
    name, title : str
        A Python name, and a few words.
    mistake, symptom : str
        What was written wrongly; what one sees.
    caught_by : tuple of str
        Checks and monitors that should notice; empty where none looks in the right place. It was
        predicted before there were any; what does catch each bug is in the tests of the checks.
    missed_by : str
        One that plausibly does not notice.
    differs : str
        Where the case measurably departs from its correct twin: "loss" (of the first minibatch),
        "gradient" (of the first minibatch), "trajectory" (the training losses of a run) or
        "validation" (the validation loss that the run ends with).
    raises : type of Exception or None
        What `fit` raises, if it does.
    """

    name: str
    title: str
    mistake: str
    symptom: str
    caught_by: tuple[str, ...]
    missed_by: str
    differs: str
    raises: type[Exception] | None = None
    _case: Callable[[int, Any, bool], Case] = field(kw_only=True, repr=False)

    def build(self, seed: int = 0, device: Any = None) -> Case:
        """Return the case with the mistake in it.

        Parameters
        ----------
        seed : int
            Of the data, the initial weights and the run.
        device : str or mxnet.Context, optional
            Where the network lives; by default MXNet's current device.

        Returns
        -------
        Case
            A new one on every call, the same numbers for the same seed.
        """
        return self._case(seed, device, True)

    def correct(self, seed: int = 0, device: Any = None) -> Case:
        """Return the same case without the mistake; parameters as for `build`."""
        return self._case(seed, device, False)


@dataclass(frozen=True)
class CorrectNet:
    """A network of some kind without a mistake: no check may find fault with it.

    Attributes
    ----------
    name, title : str
        A Python name, and a few words.
    """

    name: str
    title: str
    _case: Callable[[int, Any], Case] = field(kw_only=True, repr=False)

    def build(self, seed: int = 0, device: Any = None) -> Case:
        """Return the case; parameters and value as for `Bug.build`."""
        return self._case(seed, device)


def planted(**description: Any) -> Callable[[Callable[[int, Any, bool], Case]], Bug]:
    """Make a bug of a function ``(seed, device, mistaken) -> Case``, named like the function."""

    def record(case: Callable[[int, Any, bool], Case]) -> Bug:
        return Bug(name=case.__name__, _case=case, **description)

    return record


def sound(title: str) -> Callable[[Callable[[int, Any], Case]], CorrectNet]:
    """Make a correct net of a function ``(seed, device) -> Case``, named like the function."""

    def record(case: Callable[[int, Any], Case]) -> CorrectNet:
        return CorrectNet(name=case.__name__, title=title, _case=case)

    return record


@functools.lru_cache(maxsize=1)
def _every_digit() -> Pair:
    return data.load_digits_8x8()


def digits(seed: int, n_train: int = 600, n_validation: int = 300) -> tuple[Pair, Pair]:
    """Draw training and validation digits, (n, 64) in [0, 1], with the labels 0 … 9."""
    x, y = _every_digit()
    x, _, y, _ = data.train_test_split(x, y, test_size=len(x) - n_train - n_validation, rng=seed)
    return (x[:n_train], y[:n_train]), (x[n_train:], y[n_train:])


def digits_net(seed: int, device: Any = None, activation: str = "tanh", **options: Any) -> Any:
    """Build the net that most cases train: 64-32-10."""
    return layers.mlp(64, [32], 10, activation, device=device, seed=seed, **options)


def digits_case(
    seed: int,
    device: Any = None,
    *,
    net: Any = None,
    loss: Callable[[Any, Any], Any] = losses.softmax_cross_entropy,
    train: Pair | None = None,
    validation: Pair | None = None,
    **fit_options: Any,
) -> Case:
    """Put a case on the digits together; whatever is not given is as it should be."""
    usual_train, usual_validation = digits(seed)
    options = {"optimizer": optim.momentum(0.1), "batch_size": 32, "epochs": 5, "seed": seed}
    return Case(
        net=digits_net(seed, device) if net is None else net,
        loss=loss,
        data=usual_train if train is None else train,
        validation=usual_validation if validation is None else validation,
        fit_options={**options, **fit_options},
    )


def chain(
    *blocks: mx.gluon.Block,
    example: onp.ndarray,
    seed: int,
    device: Any = None,
    initializer: Any = None,
) -> Any:
    """Chain blocks, initialise them from the seed and make every shape known by an example."""
    hybrid = all(isinstance(block, mx.gluon.HybridBlock) for block in blocks)
    net = nn.HybridSequential() if hybrid else nn.Sequential()
    net.add(*blocks)
    context = mx.current_context() if device is None else as_device(device)
    rule = layers.LeCunNormal() if initializer is None else initializer
    net.initialize(rule.seeded(seed), ctx=context)
    net(np.array(example[:2], dtype="float32", ctx=context))
    return net
