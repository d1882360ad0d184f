"""Losses by their names."""

from __future__ import annotations

from typing import Any

__all__ = ["named"]

_NAMES = (
    "softmax_cross_entropy",
    "sigmoid_cross_entropy",
    "binary_cross_entropy",
    "squared_error",
    "hinge",
)


def named(loss: Any) -> Any:
    """Return the loss of a name.

    Parameters
    ----------
    loss : str or callable
        The name of a loss of this module; anything else comes back as it is.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        No such name.

    Examples
    --------
    >>> from nnbook import losses
    >>> losses.named("squared_error") is losses.squared_error
    True
    """
    if not isinstance(loss, str):
        return loss
    if loss not in _NAMES:
        raise ValueError(
            f"loss is {loss!r}; expected one of {', '.join(map(repr, _NAMES))}, or a function "
            "loss(outputs, targets)"
        )
    from nnbook.gluon import losses  # it needs MXNet

    return getattr(losses, loss)
