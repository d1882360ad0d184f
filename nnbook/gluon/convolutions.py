"""Convolutions whose weights are a part of θ.

oneDNN puts the weights of a float32 convolution into an order of its own at the first inference,
in their own memory. Where that memory is a view, this fails, and leaves numbers that are none; from
the second call on it does so in silence.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import numpy as onp

from nnbook.gluon.runtime import mx

_Conv = mx.gluon.nn.conv_layers._Conv
is_np_array = mx.util.is_np_array


def keep_weights() -> None:
    """Let Gluon's convolutions work on a copy of their weights."""
    original = _Conv.hybrid_forward
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def hybrid_forward(self: Any, F: Any, x: Any, weight: Any, bias: Any = None) -> Any:
        if is_np_array() and self._op_name == "convolution":
            weight = F.np.copy(weight)
        return original(self, F, x, weight, bias)

    _Conv.hybrid_forward = hybrid_forward


def refuse_transposed(blocks: Iterable[Any]) -> None:
    """Raise NotImplementedError for a float32 transposed convolution.

    Its backward pass crashes on a copy, and its forward pass fails on a view.
    """
    for block in blocks:
        if isinstance(block, _Conv) and block._op_name == "deconvolution":
            if onp.dtype(block.weight.dtype) == onp.float64:
                continue  # not oneDNN's
            raise NotImplementedError(
                f"{block.name} is a transposed convolution in float32, which MXNet 1.9.1 cannot "
                "compute on a part of θ; expected other layers. Cast the network "
                "(net.cast('float64')), or use nn.Conv2D after an upsampling"
            )
