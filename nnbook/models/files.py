"""One file for a model: numbers, names and its architecture, and no code."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as onp

import nnbook
from nnbook._types import Loss, Network
from nnbook.data._kept import transformer_from, transformer_tree
from nnbook.gluon.architecture import (
    NoDescriptionError,
    build,
    describe,
    put_values,
    values_of,
)
from nnbook.gluon.examples import in_numpy_mode
from nnbook.gluon.parameters import named_parameters
from nnbook.gluon.runtime import as_device, mx
from nnbook.models.meaning import Meaning
from nnbook.models.model import Model
from nnbook.training import CheckpointError
from nnbook.training.checkpoint import load_tree, save_tree

__all__ = ["load", "model_from", "model_tree", "save"]

_KIND = "nnbook model"
_FORMAT = 1
_OTHERS = {
    "members": "an ensemble; read it with nnbook.ensemble.Ensemble.load",
    "run": "a checkpoint of a training run; give it to fit, callbacks=[Checkpoint(path)]",
}


def save(
    path: str | os.PathLike[str],
    net: Network | Model,
    *,
    loss: Loss | None = None,
    preprocessing: Any = (),
    target_preprocessing: Any = None,
    classes: Any = None,
    notes: dict[str, Any] | None = None,
) -> None:
    """Save a trained network, with what its use needs, to one file.

    The file has the parameters and running statistics, bit for bit; the architecture, where it is
    a Sequential or HybridSequential of Gluon's layers and those of `nnbook.layers`, as
    `nnbook.layers.mlp` makes one; what the loss says of the outputs; preprocessing and classes. It
    is written atomically, with its size and SHA-256; what was at `path` moves to `path` +
    ``.previous``.

    Parameters
    ----------
    path : path
        Where; ``.nnbook`` is a fitting suffix.
    net : mxnet.gluon.Block or Model
        A network with the settings below, or a model, which has them already.
    loss, preprocessing, target_preprocessing, classes, notes
        As for `Model`; the steps of preprocessing must be those of `nnbook.data`.

    Raises
    ------
    TypeError
        No network; a step of preprocessing that is code; notes of another kind; settings beside a
        model.
    ValueError
        A parameter has no value yet.
    RuntimeError
        A step of preprocessing is not fitted.
    CheckpointError
        The path is a folder, or in none; the disk refuses. What was there is untouched.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from nnbook import layers, losses, models
    >>> net = layers.mlp(3, [8], 2, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "first.nnbook"
    ...     models.save(path, net, loss=losses.softmax_cross_entropy, classes=["no", "yes"])
    ...     model = models.load(path)
    >>> model.predict([[1.0, 2.0, 3.0]]).shape, model.classes.tolist()
    ((1,), ['no', 'yes'])
    """
    if isinstance(net, Model):
        given = (loss, preprocessing or None, target_preprocessing, classes, notes)
        if any(one is not None for one in given):
            raise TypeError(
                "net is a Model, which has its loss, preprocessing…; give none beside it"
            )
        model = net
    else:
        model = Model(net, loss, preprocessing, target_preprocessing, classes, notes)
    save_tree(path, model_tree(model))


@in_numpy_mode
def load(
    path: str | os.PathLike[str],
    net: Network | Callable[[dict[str, Any]], Network] | None = None,
    *,
    device: Any = None,
) -> Model:
    """Load what `save` wrote. Nothing in the file can run code.

    Parameters
    ----------
    path : path
        The file.
    net : mxnet.gluon.Block or callable, optional
        A network of the architecture that was saved, which gets the file's values. It is needed
        where the architecture is code: a class of your own. Or a function ``net(notes)`` that makes
        it, where its sizes follow from the file's notes, such as a vocabulary.
    device : str or mxnet.Context, optional
        Where a network that is made here is to live; by default the CPU.

    Returns
    -------
    Model
        With the network's outputs, bit for bit, of the day when it was saved, on a machine of the
        same kind.

    Raises
    ------
    CheckpointError
        The file is missing, truncated, damaged, of a later edition, or something else.
    TypeError, ValueError
        The architecture is code and `net` is missing; `net` is of another architecture or dtype,
        and is not changed.
    """
    tree = load_tree(path)
    if tree.get("kind") != _KIND:
        what = next((text for key, text in _OTHERS.items() if key in tree), "something else")
        raise CheckpointError(f"{path} holds {what}; expected a file that nnbook.models.save wrote")
    if tree["format"] > _FORMAT:
        raise CheckpointError(
            f"{path} was written by nnbook {tree['nnbook']} in format {tree['format']}, and this "
            f"is nnbook {nnbook.__version__}, which reads format {_FORMAT}; install a newer one"
        )
    return model_from(tree, net, device=device, name=str(path))


def model_tree(model: Model) -> dict[str, Any]:
    """Return a model in terms of dicts, lists, numbers, strings and arrays."""
    values = values_of(model.net)
    try:
        architecture, code = describe(model.net), ""
    except NoDescriptionError as error:
        architecture, code = None, f"{type(model.net).__name__}: {error}"
    back = model.target_preprocessing
    return {
        "kind": _KIND,
        "format": _FORMAT,
        "nnbook": nnbook.__version__,
        "architecture": architecture,
        "code": code,
        "values": values,
        "frozen": [name for name, p in named_parameters(model.net).items() if p.grad_req == "null"],
        "meaning": None if model.meaning is None else asdict(model.meaning),
        "preprocessing": [transformer_tree(step) for step in model.preprocessing],
        "target_preprocessing": None if back is None else transformer_tree(back),
        "classes": model.classes,
        "notes": model.notes,
    }


@in_numpy_mode
def model_from(tree: dict[str, Any], net: Any = None, device: Any = None, name: str = "") -> Model:
    """Return the model that `model_tree` described, in a new network or in the one given."""
    values: dict[str, onp.ndarray] = tree["values"]
    if callable(net) and not isinstance(net, mx.gluon.Block):
        net = net(tree["notes"] or {})
    if net is None and tree["architecture"] is None:
        raise TypeError(
            f"{name} has the parameters of a network whose architecture is code "
            f"({tree['code']}); expected such a network beside it, load(path, net=…), or a "
            "function of the file's notes that makes one"
        )
    if net is None:
        net = build(tree["architecture"])
        kinds = {array.dtype.name for array in values.values()}
        if len(kinds) == 1:
            net.cast(*kinds)  # a layer may remember its dtype, beside those of its parameters
        for place, parameter in named_parameters(net).items():
            parameter.cast(values[place].dtype.name)
        put_values(net, values, as_device(device or "cpu"))
    else:
        put_values(net, values)
    for place, parameter in named_parameters(net).items():
        if place in tree["frozen"]:
            parameter.grad_req = "null"
    back = tree["target_preprocessing"]
    return Model(
        net,
        preprocessing=[transformer_from(step) for step in tree["preprocessing"]],
        target_preprocessing=None if back is None else transformer_from(back),
        classes=tree["classes"],
        notes=tree["notes"],
        meaning=None if tree["meaning"] is None else Meaning(**tree["meaning"]),
    )
