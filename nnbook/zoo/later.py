"""Bugs that were planted after the checks had been judged: no study and no verdict counts them."""

from __future__ import annotations

from typing import Any

from nnbook import layers, optim
from nnbook.gluon.runtime import mx, np, npx
from nnbook.zoo.cases import Bug, Case, digits, planted
from nnbook.zoo.handwritten import HandWritten

__all__ = ["LATER_BUGS"]


class Contraction(HandWritten):
    """‖∂h/∂x‖²_F of a logistic code h with weights W: Σ_j h_j²(1 − h_j)² ‖W_j‖² an example."""

    def forward(self, weight: Any, h: Any) -> Any:
        """Return one number for each example, shape (n, 1)."""
        self.save_for_backward(weight, h)
        return np.dot((h * (1 - h)) ** 2, (weight * weight).sum(axis=1, keepdims=True))

    def slopes(self, slope: Any) -> tuple[Any, ...]:
        """Return the slopes in W and h."""
        weight, h = self.saved_tensors
        inner = h * (1 - h)
        of_weight = 2 * (slope * inner**2).sum(axis=0).reshape(-1, 1) * weight
        return of_weight, slope * 2 * inner * (1 - 2 * h) * (weight * weight).sum(axis=1)


class ContractionByFloor(Contraction):
    """The same number; its derivative is that of a floor, since the mean was taken by ``//``."""

    def slopes(self, slope: Any) -> tuple[Any, ...]:
        """Return the wrong slopes."""
        weight, h = self.saved_tensors
        return np.zeros_like(weight), np.zeros_like(h)  # the mistake: d(s // n)/ds is 0


class ContractiveCoder(mx.gluon.Block):
    """A tied auto-encoder that gives reconstructions and, in a last column, its contraction."""

    def __init__(self, inputs: int, units: int, operation: type[HandWritten]):
        super().__init__()
        self.operation = operation
        with self.name_scope():
            self.weight = self.params.get("weight", shape=(units, inputs))
            self.bias = self.params.get("bias", shape=(units,), init="zeros")
            self.output_bias = self.params.get("output_bias", shape=(inputs,), init="zeros")

    def forward(self, x: Any) -> Any:
        """Map (n, inputs) to (n, inputs + 1)."""
        weight, bias, output_bias = (
            p.data(x.ctx) for p in (self.weight, self.bias, self.output_bias)
        )
        h = npx.sigmoid(np.dot(x, weight.T) + bias)
        again = np.dot(h, weight) + output_bias
        return np.concatenate([again, self.operation()(weight, h)], axis=1)


def reconstruction_and_contraction(outputs: Any, x: Any) -> Any:
    """Return ½‖x̂ − x‖² + ‖∂h/∂x‖² for each example."""
    again, contraction = outputs[:, :-1], outputs[:, -1]
    return 0.5 * ((again - x) ** 2).sum(axis=1) + contraction


@planted(
    title="A penalty divided by //",
    mistake="The mean of a contractive penalty is taken by floor division, which is locally flat: "
    "the penalty counts in the loss and has no gradient.",
    symptom="Whatever its strength, features contract no more than without it.",
    caught_by=("check_gradients",),
    missed_by="check_regularization",
    differs="gradient",
)
def contraction_by_floor(seed: int, device: Any, mistaken: bool) -> Case:
    (x, _), (held, _) = digits(seed)
    net = ContractiveCoder(64, 32, ContractionByFloor if mistaken else Contraction)
    net.initialize(layers.GlorotUniform().seeded(seed), ctx=device or mx.current_context())
    options = {"optimizer": optim.momentum(0.01), "batch_size": 32, "epochs": 5, "seed": seed}
    return Case(net, reconstruction_and_contraction, (x, x), (held, held), options)


LATER_BUGS: tuple[Bug, ...] = (contraction_by_floor,)
