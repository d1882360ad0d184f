"""A penalty on what a layer gives, inside the network."""

from __future__ import annotations

from typing import Any

from nnbook.gluon.runtime import mx

__all__ = ["ActivityPenalty"]


class ActivityPenalty(mx.gluon.HybridBlock):
    """Let activations through, and add the slope of a penalty on them to the gradient.

    Put behind an activation, it has training minimise the mean loss plus the penalty of these
    activations, also through all the layers before. Like the penalty on weights of `fit`, it is not
    part of the loss that is recorded: its value is ``penalty.value(h)``.

    Parameters
    ----------
    penalty : nnbook.losses.activity_penalty
        Or alike, with ``per_example(np, h)``. Such as
        ``losses.activity_penalty("kl", 0.1, target=0.05)``.

    Raises
    ------
    TypeError
        `penalty` is something else.

    Examples
    --------
    >>> from nnbook import layers, losses
    >>> from nnbook.runtime import mx, np
    >>> layer = layers.ActivityPenalty(losses.activity_penalty("l1", 0.1))
    >>> h = np.array([[1.0, -2.0]]); h.attach_grad()
    >>> with mx.autograd.record():
    ...     loss = (0 * layer(h)).sum()
    >>> loss.backward()
    >>> loss.item(), h.grad.asnumpy().round(3).tolist()
    (0.0, [[0.10000000149011612, -0.10000000149011612]])
    """

    def __init__(self, penalty: Any, **kwargs: Any):
        if not hasattr(penalty, "per_example"):
            raise TypeError(
                f"penalty is {penalty!r}; expected losses.activity_penalty(…), or another with "
                "per_example(np, h)"
            )
        super().__init__(**kwargs)
        self.penalty = penalty

    def hybrid_forward(self, F, h):
        """Return h."""
        # MXNet's MakeLoss puts its own slope in the place of the one that comes from above; its
        # value is multiplied by 0, so that the outputs stay as they are.
        slope = F.MakeLoss(self.penalty.per_example(F.np, h).as_nd_ndarray()).as_np_ndarray()
        return h + 0 * F.np.sum(slope)

    def __repr__(self) -> str:
        return f"ActivityPenalty({self.penalty!r})"
