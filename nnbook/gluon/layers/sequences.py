"""What stands between the steps of a sequence and one prediction for it."""

from __future__ import annotations

from nnbook.gluon.runtime import mx

__all__ = ["LastStep", "MeanOfSteps"]


class LastStep(mx.gluon.HybridBlock):
    """The last step of every sequence: what a recurrent layer knows at its end.

    It maps (n, steps, k), the outputs of ``mxnet.gluon.rnn.LSTM(…, layout="NTC")``, to (n, k).
    """

    def hybrid_forward(self, F, x):
        """Return x[:, -1]."""
        return x[:, -1]


class MeanOfSteps(mx.gluon.HybridBlock):
    """The mean over the steps of every sequence: a text as the mean of its words' vectors.

    It maps (n, steps, k), the outputs of ``mxnet.gluon.nn.Embedding``, to (n, k).
    """

    def hybrid_forward(self, F, x):
        """Return the mean over axis 1."""
        return F.np.mean(x, axis=1)
