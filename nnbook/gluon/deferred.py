"""Networks whose shapes are deferred, as Gluon's usual ``nn.Dense(10)`` leaves them."""

from __future__ import annotations

from typing import Any

from nnbook.gluon.examples import home, place
from nnbook.gluon.parameters import named_parameters
from nnbook.gluon.runtime import mx

__all__ = ["complete"]


def complete(net: Any, x: Any) -> None:
    """Let a network learn its shapes, and draw its initial weights, from the first examples.

    Gluon does so at the first forward pass, and draws in the order of the layers, whatever the
    examples: a network completed here has the weights that it would have had. One whose shapes
    are known is left alone.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialised network; it is changed where shapes are deferred.
    x : array, shape (n, …)
        Examples, NumPy or MXNet.

    Raises
    ------
    ValueError
        The network is not initialised, or does not take the examples.
    """
    if not any(parameter._deferred_init for parameter in named_parameters(net).values()):
        return
    device, dtype = home(net)
    try:
        with mx.autograd.pause(train_mode=False):
            net(place(x[:2], dtype, device)).wait_to_read()
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ValueError(
            f"the network does not take examples of shape {tuple(x.shape[1:])}, from which it "
            f"should learn its own: {lines[-1] if lines else type(error).__name__}"
        ) from error
