"""What the preprocessing steps have in common: streamed moments, checks, the border to MXNet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as onp

from nnbook._arrays import (
    Array,
    check_finite,
    float_dtype,
    like,
    to_numpy,
)
from nnbook.data.inputs import as_array

_CHUNK = 4096  # examples that are converted to float64 at a time

_Self = TypeVar("_Self", bound="Transformer")


class Moments:
    """Mean, and variance or covariance, of examples that arrive in parts.

    Two parts are merged exactly (Chan, Golub and LeVeque, 1983): with δ the difference of their
    means, the sums of squares add up to ``S₁ + S₂ + δδᵀ n₁n₂/(n₁+n₂)``.
    """

    def __init__(self, width: int, full: bool) -> None:
        self.n = 0
        self.full = full  # the covariance matrix, or its diagonal only
        self.mean = onp.zeros(width)
        self.squares = onp.zeros((width, width) if full else width)
        self.low = onp.full(width, onp.inf)
        self.high = onp.full(width, -onp.inf)

    def add(self, part: onp.ndarray) -> None:
        """Add the examples `part`, float64, shape (n, width)."""
        n, mean = len(part), part.mean(axis=0)
        centred = part - mean
        difference = mean - self.mean
        weight = self.n * n / (self.n + n)
        if self.full:
            self.squares += centred.T @ centred + weight * onp.outer(difference, difference)
        else:
            self.squares += (centred**2).sum(axis=0) + weight * difference**2
        self.n += n
        self.mean = self.mean + difference * (n / self.n)
        self.low = onp.minimum(self.low, part.min(axis=0))
        self.high = onp.maximum(self.high, part.max(axis=0))
        # The mean of equal numbers need not be that number, and then nothing would be constant.
        constant = self.low == self.high
        self.mean[constant] = self.low[constant]
        self.squares[constant] = 0
        if self.full:
            self.squares[:, constant] = 0


class Transformer:
    """A preprocessing step: subclasses say which affine maps follow from the moments."""

    _full: bool  # whether covariances are needed
    sequences = False  # whether every step of a sequence counts as an example

    def __init__(self) -> None:
        self._moments: Moments | None = None

    def fit(self: _Self, x: Array) -> _Self:
        """Learn from the training data, forgetting what was learned before.

        Parameters
        ----------
        x : array or table, shape (n, features)
            The training data only: validation and test data must not leak into it.

        Returns
        -------
        The object itself.

        Raises
        ------
        TypeError, ValueError
            If `x` is not a matrix of finite real numbers with at least one row and column.
        """
        before, self._moments = self._moments, None
        try:
            self.partial_fit(x)
            self._complete()
        except (TypeError, ValueError):
            self._moments = before
            self._update()
            raise
        return self

    def partial_fit(self: _Self, x: Array) -> _Self:
        """Learn from one more part of the training data, for data that do not fit in memory.

        Parameters
        ----------
        x : array or table, shape (n, features)
            The parts together give what `fit` gives for all at once, to rounding.

        Returns
        -------
        The object itself.

        Raises
        ------
        TypeError, ValueError
            As of `fit`; also if the number of features is not that of the parts before. Nothing
            of a refused part is learned.
        """
        values = self._matrix(x, None if self._moments is None else len(self._moments.mean))
        # Checked before the first chunk is added; within these bounds no square overflows.
        if max(abs(float(values.min())), abs(float(values.max()))) > 1e140:
            raise ValueError(
                "x has values beyond ±1e140, whose squares overflow; expected smaller ones. Divide "
                "it by a constant first."
            )
        self._check_width(values.shape[1])
        if self._moments is None:
            self._moments = Moments(values.shape[1], self._full)
        for rows in _chunks(len(values)):
            self._moments.add(values[rows].astype("float64"))
        self._update()
        return self

    def fit_transform(self, x: Array) -> Array:
        """Fit to `x` and return it transformed; as ``fit(x).transform(x)``.

        Parameters
        ----------
        x : array or table, shape (n, features)

        Returns
        -------
        Array of the kind of `x`, on its device.

        Raises
        ------
        TypeError, ValueError
            As of `fit`.
        """
        return self.fit(x).transform(x)

    def transform(self, x: Array) -> Array:
        """Transform examples.

        Parameters
        ----------
        x : array or table, shape (n, features)

        Returns
        -------
        Array of the kind of `x`, on its device; of its dtype if that is a floating one, else
        float32.

        Raises
        ------
        RuntimeError
            If nothing has been fitted yet.
        TypeError, ValueError
            If `x` is not a matrix of finite real numbers as wide as the training data.
        """
        self._fitted()
        return self._apply(x, *self._forward())

    def inverse_transform(self, x: Array) -> Array:
        """Transform back.

        Parameters
        ----------
        x : NumPy or MXNet array, shape (n, transformed features)

        Returns
        -------
        Array of the kind of `x`, on its device; of its dtype if that is a floating one, else
        float32.

        Raises
        ------
        RuntimeError
            If nothing has been fitted yet.
        TypeError, ValueError
            If `x` is not a matrix of finite real numbers as wide as `transform` returns.
        """
        self._fitted()
        return self._apply(x, *self._backward())

    @property
    def mean_(self) -> onp.ndarray:
        """Mean of each feature, float64, shape (features,)."""
        return self._fitted().mean

    @property
    def n_seen_(self) -> int:
        """Number of examples learned from."""
        return self._fitted().n

    def _update(self) -> None:
        """Forget what was derived from the moments."""

    def _complete(self) -> None:
        """Derive what is to be derived from the moments, now that all data were seen."""

    def _check_width(self, width: int) -> None:
        """Raise ValueError if the parameters do not suit so many features."""

    def _forward(self) -> tuple[onp.ndarray, onp.ndarray, onp.ndarray]:
        raise NotImplementedError

    def _backward(self) -> tuple[onp.ndarray, onp.ndarray, onp.ndarray]:
        raise NotImplementedError

    def _fitted(self) -> Moments:
        if self._moments is None:
            name = type(self).__name__
            raise RuntimeError(
                f"This {name} has not been fitted; expected fit before this. Call "
                f".fit(x_train) first, on the training data."
            )
        return self._moments

    def _matrix(self, x: Array, width: int | None) -> onp.ndarray:
        values = to_numpy(as_array(x), "x")
        if values.ndim != 2 + self.sequences or values.size == 0:
            expected = "(n, steps, features)" if self.sequences else "(n, features)"
            raise ValueError(
                f"x has the shape {values.shape}, expected {expected} with at least one of each. "
                "Flatten images with x.reshape(len(x), -1); for sequences take "
                "Standardize(sequences=True)."
            )
        values = values.reshape(-1, values.shape[-1])
        if width is not None and values.shape[1] != width:
            raise ValueError(
                f"x has {values.shape[1]} features, expected {width}, as many as were fitted. Pass "
                "data of the same features, or fit again."
            )
        check_finite(values, "x")
        return values

    def _apply(
        self, x: Array, before: onp.ndarray, matrix: onp.ndarray, after: onp.ndarray
    ) -> Array:
        """Return ``(x + before) · matrix + after``, in float64, chunk by chunk.

        A matrix of one axis stands for a diagonal.
        """
        values = self._matrix(x, len(matrix))
        result = onp.empty((len(values), matrix.shape[-1]), dtype=float_dtype(values))
        for rows in _chunks(len(values)):
            part = values[rows] + before  # float64, since `before` is
            result[rows] = (part @ matrix if matrix.ndim == 2 else part * matrix) + after
        if self.sequences:
            result = result.reshape(*onp.shape(x)[:2], -1)
        return like(result, x)


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, n, _CHUNK))
