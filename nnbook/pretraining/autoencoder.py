"""Auto-encoders: plain, denoising, contractive, sparse, tied or not, with gradients by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from nnbook._arguments import check_choice, check_flag, check_number, check_whole
from nnbook._arrays import as_generator
from nnbook.curvature.functions import LOSSES, Activation, as_activation
from nnbook.losses.penalties import activity_penalty
from nnbook.pretraining.base import LayerObjective, Start, as_inputs, check_start
from nnbook.pretraining.corruption import check_amount, spoil

__all__ = ["AutoEncoder", "AutoEncoderObjective"]

Array = np.ndarray

_LOSSES = {
    "cross_entropy": LOSSES["sigmoid_cross_entropy"],
    "squared_error": LOSSES["squared_error"],
}


@dataclass(frozen=True)
class AutoEncoder:
    """How an auto-encoder learns: a code h = f(W x̃ + b) from which x̂ = g(V h + c) gives x back.

    The loss of an example is the error of the reconstruction and two penalties:

        loss(x̂, x) + contraction · ‖∂h/∂x̃‖²_F + sparsity · ‖h‖₁

    with ‖∂h/∂x̃‖²_F = Σ_j f′(z_j)² Σ_i W_ji², and x̃ the corrupted input. The target is x itself,
    and noise is drawn afresh at every training step.

    Parameters
    ----------
    corruption : float
        ν, the probability that an entry is spoilt, or σ of Gaussian noise; 0 is none.
    contraction : float
        λ ≥ 0. With untied weights W can shrink while V grows, which contracts nothing that
        matters.
    sparsity : float or nnbook.losses.activity_penalty
        Of the codes: a strength ≥ 0 of ‖h‖₁, or another penalty,
        ``activity_penalty("kl", 0.1, target=0.05)`` for instance.
    tied : bool
        Whether V is Wᵀ.
    noise : str
        As in `corrupt`: "mask", "gaussian", "salt_and_pepper".
    loss : str, optional
        "cross_entropy", Σ_i −x_i ln x̂_i − (1 − x_i) ln(1 − x̂_i), for inputs in [0, 1], with g the
        logistic function; "squared_error", ½‖x̂ − x‖², with g the identity. By default the first
        where all inputs lie in [0, 1], the second elsewhere.

    Raises
    ------
    TypeError, ValueError
        Numbers out of range, or no such noise or loss.

    References
    ----------
    Vincent et al. (2008, 2010) for corruption; Rifai, Vincent, Muller, Glorot and Bengio (2011),
    Contractive auto-encoders: explicit invariance during feature extraction, for contraction.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import optim, pretraining, training
    >>> x = np.random.default_rng(0).integers(0, 2, (200, 1)) * np.ones(8)
    >>> layer = pretraining.AutoEncoder(corruption=0.3).objective(x, units=4)
    >>> history = training.fit(layer, optimizer=optim.sgd(0.5), batch_size=20, epochs=20)
    >>> layer.encode(x).shape, bool(abs(layer.reconstruct(x) - x).max() < 0.1)
    ((200, 4), True)
    """

    corruption: float = 0.0
    contraction: float = 0.0
    sparsity: Any = 0.0
    tied: bool = True
    noise: str = "mask"
    loss: str | None = None

    def __post_init__(self) -> None:
        amount = check_amount(self.corruption, self.noise)
        object.__setattr__(self, "corruption", amount)
        contraction = check_number(self.contraction, "contraction", least=0)
        object.__setattr__(self, "contraction", contraction)
        if not isinstance(self.sparsity, activity_penalty):
            object.__setattr__(self, "sparsity", check_number(self.sparsity, "sparsity", least=0))
        object.__setattr__(self, "tied", check_flag(self.tied, "tied"))
        check_choice(self.loss, "loss", (None, *_LOSSES))

    @property
    def activity(self) -> activity_penalty:
        """The penalty on the codes."""
        own = isinstance(self.sparsity, activity_penalty)
        return self.sparsity if own else activity_penalty("l1", self.sparsity)

    def objective(
        self,
        x: Any,
        units: int,
        *,
        activation: str | Activation = "sigmoid",
        start: Start | None = None,
        rng: Any = 0,
    ) -> AutoEncoderObjective:
        """Return what `nnbook.training.fit` minimises.

        Parameters
        ----------
        x : array, shape (n, inputs)
            Inputs, in float32 or float64: that is what it computes in.
        units : int
            Entries of the code.
        activation : str or Activation
            f: "sigmoid", "tanh", "relu", "identity", …, as for `nnbook.curvature.DenseObjective`.
        start : tuple of array, optional
            Initial ``(W, b)``, shapes (units, inputs) and (units,). By default W is uniform in
            ±√(6 / (inputs + units)), four times that for the logistic function, and b is 0. V is
            drawn alike; c is 0.
        rng : int or numpy.random.Generator
            Of the initial weights and the noise.

        Returns
        -------
        AutoEncoderObjective

        Raises
        ------
        TypeError, ValueError
            Inputs that are no finite matrix, or not in [0, 1] for "cross_entropy".
        """
        return AutoEncoderObjective(self, x, units, activation, start, rng)


class AutoEncoderObjective(LayerObjective):
    """An auto-encoder on data; `AutoEncoder.objective` makes it.

    Attributes
    ----------
    recipe : AutoEncoder
        What it was made by.
    activation : Activation
        f.
    loss_name : str
        "cross_entropy" or "squared_error".
    x, draws, size, slices, shapes, examples, theta
        As of `LayerObjective`. The parameters are "weight" (units, inputs), "bias" (units,),
        untied "output_weight" (inputs, units), and "output_bias" (inputs,).
    """

    def __init__(
        self,
        recipe: AutoEncoder,
        x: Any,
        units: int,
        activation: str | Activation,
        start: Start | None,
        rng: Any,
    ):
        units, values = check_whole(units, "units"), as_inputs(x)
        self.recipe, self.activation = recipe, as_activation(activation)
        bounded = values.min() >= 0 and values.max() <= 1
        self.loss_name = recipe.loss or ("cross_entropy" if bounded else "squared_error")
        if self.loss_name == "cross_entropy" and not bounded:
            raise ValueError(
                f"x reaches from {values.min():g} to {values.max():g}; expected numbers in [0, 1] "
                "for loss='cross_entropy'. Rescale them, or take loss='squared_error'"
            )
        inputs = values.shape[1]
        given, generator = check_start(start, units, inputs), as_generator(rng)
        shapes: dict[str, tuple[int, ...]] = {"weight": (units, inputs), "bias": (units,)}
        shapes |= {} if recipe.tied else {"output_weight": (inputs, units)}
        super().__init__(values, {**shapes, "output_bias": (inputs,)}, generator)
        reach = math.sqrt(6 / (inputs + units)) * (4 if self.activation.name == "sigmoid" else 1)
        weight = generator.uniform(-reach, reach, (units, inputs))
        self._put(weight=weight)
        if given is not None:
            self._put(weight=given[0], bias=given[1])
        if not recipe.tied:
            self._put(output_weight=generator.uniform(-reach, reach, (inputs, units)))

    def encode(self, x: Any = None) -> Array:
        """Return the codes f(W x + b) of the inputs, or of others, uncorrupted; (n, units)."""
        return self.activation.values(self._sums(self._inputs(x)))[0]

    def encoder(self) -> tuple[Array, Array]:
        """Return W (units, inputs) and b (units,)."""
        return self.part("weight"), self.part("bias")

    def decode(self, codes: Any) -> Array:
        """Return the reconstructions g(V h + c) of codes (n, units), shape (n, inputs)."""
        outputs = np.asarray(codes) @ self._decoder().T + self.part("output_bias")
        return expit(outputs) if self.loss_name == "cross_entropy" else outputs

    def reconstruct(self, x: Any = None) -> Array:
        """Return the reconstructions of the inputs, or of others, uncorrupted."""
        return self.decode(self.encode(x))

    def jacobian(self, x: Any = None) -> Array:
        """Return ∂h/∂x at the inputs, or at others, shape (n, units, inputs)."""
        slopes = self.activation.values(self._sums(self._inputs(x)))[1]
        return slopes[:, :, None] * self.part("weight")

    def terms(self, rows: Any = None) -> dict[str, float]:
        """Return the loss of some rows, at this draw, in its parts: error and penalties."""
        x = self._rows(rows)
        return self._terms(x, *self._forward(x, self._generator()))

    def _sums(self, x: Array) -> Array:
        return x @ self.part("weight").T + self.part("bias")

    def _decoder(self) -> Array:
        return self.part("weight").T if self.recipe.tied else self.part("output_weight")

    def _forward(self, x: Array, rng: np.random.Generator) -> tuple[Array, Any, Array]:
        """Return what the encoder sees, (f, f′, f″) of its sums, and the decoder's sums."""
        seen = spoil(x, self.recipe.corruption, self.recipe.noise, rng)
        hidden = self.activation.values(self._sums(seen))
        return seen, hidden, hidden[0] @ self._decoder().T + self.part("output_bias")

    def _terms(self, x: Array, seen: Array, hidden: Any, outputs: Array) -> dict[str, float]:
        codes, slope, _ = hidden
        found = {"reconstruction": float(_LOSSES[self.loss_name].value(outputs, x).mean())}
        if self.recipe.contraction:
            contracted = (slope**2) @ _squared_lengths(self.part("weight"))
            found["contraction"] = self.recipe.contraction * float(contracted.mean())
        if self.recipe.activity.strength:
            found["sparsity"] = self.recipe.activity.value(codes)
        return found

    def _evaluate(
        self, x: Array, rng: np.random.Generator, slopes: bool = True
    ) -> tuple[float, Array]:
        seen, hidden, outputs = self._forward(x, rng)
        loss = sum(self._terms(x, seen, hidden, outputs).values())
        return loss, self._backward(x, seen, hidden, outputs) if slopes else self.theta

    def _backward(self, x: Array, seen: Array, hidden: Any, outputs: Array) -> Array:
        (codes, slope, bend), n = hidden, len(x)
        recipe, weight = self.recipe, self.part("weight")
        delta = _LOSSES[self.loss_name].gradient(outputs, x) / n
        above = delta @ self._decoder()
        if recipe.activity.strength:
            above += recipe.activity.gradient(codes)
        below = above * slope
        if recipe.contraction:
            # Of f′(z)² ‖w‖²: through z, and through w itself.
            doubled = 2 * recipe.contraction / n
            below += doubled * slope * bend * _squared_lengths(weight)
        encoder = below.T @ seen
        if recipe.contraction:
            encoder += doubled * (slope**2).sum(axis=0)[:, None] * weight
        parts = {"bias": below.sum(axis=0), "output_bias": delta.sum(axis=0)}
        if recipe.tied:
            encoder += codes.T @ delta
        else:
            parts["output_weight"] = delta.T @ codes
        return self._flat(weight=encoder, **parts)

    def __repr__(self) -> str:
        units, inputs = self.shapes["weight"]
        sizes = f"{inputs}-{units}-{inputs} {self.activation.name}"
        return f"AutoEncoderObjective({sizes}, {self.recipe!r}, {self.examples} examples)"


def _squared_lengths(weight: Array) -> Array:
    """Return ‖w‖² of each row."""
    return np.einsum("ij,ij->i", weight, weight)
