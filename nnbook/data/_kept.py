"""Preprocessing as data, and the same preprocessing again: what a file can hold without code."""

from __future__ import annotations

import inspect
from typing import Any

from nnbook.data._transformer import Moments, Transformer
from nnbook.data.preprocessing import PCAWhiten, Standardize, ZCAWhiten

__all__ = ["transformer_from", "transformer_tree"]

_KNOWN = {kind.__name__: kind for kind in (Standardize, PCAWhiten, ZCAWhiten)}
_OF_MOMENTS = ("n", "mean", "squares", "low", "high")


def transformer_tree(transformer: Any) -> dict[str, Any]:
    """Return a fitted step in terms of numbers, strings and arrays.

    Raises
    ------
    TypeError
        No step of `nnbook.data`.
    RuntimeError
        Nothing has been fitted yet.
    """
    name = type(transformer).__name__
    if type(transformer) is not _KNOWN.get(name):
        raise TypeError(
            f"preprocessing has a {name}; a file can hold {', '.join(_KNOWN)} of nnbook.data, and "
            "no code. Save the network without it, and transform the examples yourself"
        )
    moments = transformer._fitted()
    tree: dict[str, Any] = {
        "step": name,
        "arguments": {
            k: getattr(transformer, k) for k in inspect.signature(type(transformer)).parameters
        },
        "moments": {part: getattr(moments, part) for part in _OF_MOMENTS},
    }
    if isinstance(transformer, PCAWhiten):
        # Kept, since another machine may turn axes of equal variance otherwise.
        tree["spectrum"] = transformer._decomposed()
    return tree


def transformer_from(tree: dict[str, Any]) -> Transformer:
    """Return the step that `transformer_tree` described."""
    if tree["step"] not in _KNOWN:
        raise ValueError(f"the file has a step {tree['step']!r}, which this nnbook does not know")
    transformer: Transformer = _KNOWN[tree["step"]](**tree["arguments"])
    kept = tree["moments"]
    moments = Moments(len(kept["mean"]), transformer._full)
    for part in _OF_MOMENTS:
        setattr(moments, part, kept[part])
    transformer._moments = moments
    if isinstance(transformer, PCAWhiten):
        transformer._spectrum = tree["spectrum"]
    return transformer
