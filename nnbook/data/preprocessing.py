"""Preprocessing that is fitted on the training data and applied to all.

Shift, decorrelate, equalise: in this order (LeCun et al., 1998). Statistics are gathered in float64
over chunks of the data, so that they may also arrive in parts (`partial_fit`).
"""

from __future__ import annotations

import numpy as onp

from nnbook._arguments import check_flag, check_number, check_whole
from nnbook.data._transformer import Transformer

__all__ = ["PCAWhiten", "Standardize", "ZCAWhiten"]


class Standardize(Transformer):
    """Give every feature the mean 0 and the standard deviation 1.

    ``z = (x − mean)/σ``, with σ² the mean squared deviation over the training data (divided by n).
    A constant feature becomes 0, and comes back exactly.

    Parameters
    ----------
    scale : bool
        False only subtracts the mean.
    sequences : bool
        Examples have the shape (n, steps, features), and every step counts as an example: a feature
        has the same mean and σ at all steps.

    Attributes
    ----------
    mean_ : numpy.ndarray, shape (features,), float64
    var_ : numpy.ndarray, shape (features,), float64
        Variance over the training data.
    scale_ : numpy.ndarray, shape (features,), float64
        What is divided by: √var, and 1 for constant features or with ``scale=False``.
    n_seen_ : int
        Examples learned from.

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), Efficient BackProp.

    Examples
    --------
    >>> Standardize().fit_transform(numpy.array([[1.0, 7.0], [3.0, 7.0]]))
    array([[-1.,  0.],
           [ 1.,  0.]])
    >>> Standardize(sequences=True).fit_transform(numpy.array([[[1.0], [3.0]]])).shape
    (1, 2, 1)
    """

    _full = False

    def __init__(self, scale: bool = True, sequences: bool = False) -> None:
        super().__init__()
        self.scale, self.sequences = scale, check_flag(sequences, "sequences")

    @property
    def var_(self) -> onp.ndarray:
        """Variance of each feature over the training data, float64, shape (features,)."""
        moments = self._fitted()
        return moments.squares / moments.n

    @property
    def scale_(self) -> onp.ndarray:
        """What each feature is divided by, float64, shape (features,)."""
        deviation = onp.sqrt(self.var_)
        return onp.where((deviation > 0) & self.scale, deviation, 1.0)

    def _forward(self) -> tuple[onp.ndarray, onp.ndarray, onp.ndarray]:
        return -self.mean_, 1 / self.scale_, onp.zeros_like(self.mean_)

    def _backward(self) -> tuple[onp.ndarray, onp.ndarray, onp.ndarray]:
        return onp.zeros_like(self.mean_), self.scale_, self.mean_


class PCAWhiten(Transformer):
    """Rotate to the principal axes and give each the variance 1.

    With the covariance ``C = V diag(λ) Vᵀ`` of the training data (divided by n − 1),
    ``z = (x − mean) V / √(λ + ε)``. Directions in which the training data hardly vary
    (λ ≤ 1e-12 · λ_max) are dropped: z has only the others, and `inverse_transform` returns the
    projection of x on them, which is x itself for the training data.

    Parameters
    ----------
    n_components : int, optional
        Keep at most so many directions, those of largest variance.
    epsilon : float
        Added to every variance; keeps the noise of weak directions from being blown up.
    whiten : bool
        False only rotates (decorrelates): the variances stay λ, and `epsilon` has no effect.

    Attributes
    ----------
    mean_ : numpy.ndarray, shape (features,), float64
    eigenvalues_ : numpy.ndarray, shape (kept,), float64
        Variances λ along the kept directions, largest first.
    components_ : numpy.ndarray, shape (kept, features), float64
        The directions as rows, the largest entry of each positive.
    n_components_ : int
        Directions kept.
    n_seen_ : int
        Examples learned from.

    References
    ----------
    LeCun, Bottou, Orr and Müller (1998), Efficient BackProp: decorrelation (Karhunen–Loève).
    """

    _full = True
    _tolerance = 1e-12

    def __init__(
        self, n_components: int | None = None, epsilon: float = 0.0, whiten: bool = True
    ) -> None:
        super().__init__()
        self.n_components = (
            None if n_components is None else check_whole(n_components, "n_components")
        )
        self.epsilon = check_number(epsilon, "epsilon", least=0)
        self.whiten = whiten
        self._spectrum: tuple[onp.ndarray, onp.ndarray] | None = None

    @property
    def eigenvalues_(self) -> onp.ndarray:
        """Variances along the kept directions, largest first, float64, shape (kept,)."""
        return self._decomposed()[0]

    @property
    def components_(self) -> onp.ndarray:
        """The kept directions as rows, float64, shape (kept, features)."""
        return self._decomposed()[1]

    @property
    def n_components_(self) -> int:
        """Number of directions kept."""
        return len(self.eigenvalues_)

    def _update(self) -> None:
        self._spectrum = None

    def _complete(self) -> None:
        self._decomposed()

    def _check_width(self, width: int) -> None:
        if self.n_components is not None and self.n_components > width:
            raise ValueError(
                f"n_components is {self.n_components}, expected at most {width}, the number of "
                "features. Choose fewer."
            )

    def _decomposed(self) -> tuple[onp.ndarray, onp.ndarray]:
        """Return eigenvalues and directions; computed when first asked for, not per part."""
        if self._spectrum is None:
            moments = self._fitted()
            if (moments.low == moments.high).all():
                raise ValueError(
                    f"The {moments.n} training examples are all equal; expected at least two that "
                    "differ. Fit on more data."
                )
            values, vectors = onp.linalg.eigh(moments.squares / (moments.n - 1))
            values, rows = values[::-1], vectors.T[::-1]
            kept = int((values > self._tolerance * values[0]).sum())
            kept = min(kept, self.n_components or kept)
            values, rows = values[:kept].copy(), rows[:kept]
            largest = rows[onp.arange(kept), onp.abs(rows).argmax(axis=1)]
            self._spectrum = values, rows * onp.sign(largest)[:, None]
        return self._spectrum

    def _deviations(self) -> onp.ndarray:
        if not self.whiten:
            return onp.ones(self.n_components_)
        return onp.sqrt(self.eigenvalues_ + self.epsilon)

    def _forward(self) -> tuple[onp.ndarray, onp.ndarray, onp.ndarray]:
        matrix = self.components_.T / self._deviations()
        return -self.mean_, matrix, onp.zeros(self.n_components_)

    def _backward(self) -> tuple[onp.ndarray, onp.ndarray, onp.ndarray]:
        matrix = self._deviations()[:, None] * self.components_
        return onp.zeros(self.n_components_), matrix, self.mean_


class ZCAWhiten(PCAWhiten):
    """Whiten and rotate back: the whitened data that are closest to the original ones.

    ``z = (x − mean) V diag(1/√(λ + ε)) Vᵀ``, so a whitened image still looks like an image.
    Directions in which the training data hardly vary (λ ≤ 1e-12 · λ_max) are 0 in z, and
    `inverse_transform` returns the projection of x on the others, which is x itself for the
    training data.

    Parameters
    ----------
    n_components : int, optional
        Keep at most so many directions, those of largest variance.
    epsilon : float
        Added to every variance; keeps the noise of weak directions from being blown up.

    Attributes
    ----------
    mean_, eigenvalues_, components_, n_components_, n_seen_
        As of `PCAWhiten`.

    References
    ----------
    Bell and Sejnowski (1997), The "independent components" of natural scenes are edge filters.
    """

    def __init__(self, n_components: int | None = None, epsilon: float = 0.0) -> None:
        super().__init__(n_components, epsilon)

    def _forward(self) -> tuple[onp.ndarray, onp.ndarray, onp.ndarray]:
        matrix = (self.components_.T / self._deviations()) @ self.components_
        return -self.mean_, matrix, onp.zeros_like(self.mean_)

    def _backward(self) -> tuple[onp.ndarray, onp.ndarray, onp.ndarray]:
        matrix = (self.components_.T * self._deviations()) @ self.components_
        return onp.zeros_like(self.mean_), matrix, self.mean_
