"""Curves to fit: sets of NIST's Statistical Reference Datasets, with certified parameters.

Each has two starts, one far and one near; a program should find every parameter in at least six
digits from both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

__all__ = ["CURVES", "Curve", "digits"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve with data and certified parameters.

    Attributes
    ----------
    name : str
    formula : str
    model : callable
        ``model(b, x) -> y``, also of complex b.
    x, y : numpy.ndarray, shape (n,)
    starts : tuple of two numpy.ndarray, shape (P,)
    certified : numpy.ndarray, shape (P,)
    rss : float
        The certified residual sum of squares.
    """

    name: str
    formula: str
    model: Callable[[Array, Array], Array] = field(repr=False)
    x: Array = field(repr=False)
    y: Array = field(repr=False)
    starts: tuple[Array, Array] = field(repr=False)
    certified: Array
    rss: float

    def residuals(self, b: Array) -> Array:
        """Return model − y, shape (n,)."""
        return self.model(np.asarray(b), self.x) - self.y

    def jacobian(self, b: Array) -> Array:
        """Return the derivatives in b, shape (n, P), by complex steps: exact to rounding."""
        b = np.asarray(b, dtype=float)
        columns = []
        for k in range(len(b)):
            h = 1e-30 * (abs(b[k]) or 1.0)
            z = b.astype(complex)
            z[k] += 1j * h
            columns.append(np.imag(self.model(z, self.x)) / h)
        return np.stack(columns, axis=1)


def digits(found: Array, certified: Array) -> float:
    """Return the least number of correct digits of some parameters: −log₁₀ of the relative error.

    Parameters
    ----------
    found, certified : array, shape (P,)

    Returns
    -------
    float
        From 0 to 11, as many as NIST certifies; 0 where a parameter is no number.

    Examples
    --------
    >>> from nnbook.solvers import curves
    >>> round(curves.digits([1.0001, 2.0], [1.0, 2.0]), 6)
    4.0
    """
    found, certified = np.asarray(found, dtype=float), np.asarray(certified, dtype=float)
    if not np.isfinite(found).all():
        return 0.0
    with np.errstate(divide="ignore"):
        right = -np.log10(abs(found - certified) / abs(certified))
    return float(np.clip(right, 0, 11).min())


def _curve(name, formula, model, x, y, starts, certified, rss):  # type: ignore[no-untyped-def]
    first, second = (np.array(start, dtype=float) for start in starts)
    data = np.array(x, dtype=float), np.array(y, dtype=float)
    return Curve(name, formula, model, *data, (first, second), np.array(certified), rss)


#: By name: Misra1a, Rat42, BoxBOD and MGH10, from easy to hard. US government data, public domain.
CURVES = {
    curve.name: curve
    for curve in (
        _curve(
            "Misra1a",
            "b1 (1 − exp(−b2 x))",
            lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
            [77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1,
             689.1, 760.0],
            [10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40,
             75.47, 81.78],
            ((500, 1e-4), (250, 5e-4)),
            (238.94212918, 5.5015643181e-4),
            0.12455138894,
        ),
        _curve(
            "Rat42",
            "b1 / (1 + exp(b2 − b3 x))",
            lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)),
            [9, 14, 21, 28, 42, 57, 63, 70, 79],
            [8.930, 10.800, 18.590, 22.330, 39.350, 56.110, 61.730, 64.620, 67.080],
            ((100, 1, 0.1), (75, 2.5, 0.07)),
            (72.462237576, 2.6180768402, 0.067359200066),
            8.0565229338,
        ),
        _curve(
            "BoxBOD",
            "b1 (1 − exp(−b2 x))",
            lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
            [1, 2, 3, 5, 7, 10],
            [109, 149, 149, 191, 213, 224],
            ((1, 1), (100, 0.75)),
            (213.80940889, 0.54723748542),
            1168.0088766,
        ),
        _curve(
            "MGH10",
            "b1 exp(b2 / (x + b3))",
            lambda b, x: b[0] * np.exp(b[1] / (x + b[2])),
            range(50, 126, 5),
            [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427,
             3820, 3307, 2872],
            ((2, 4e5, 25000), (0.02, 4000, 250)),
            (0.0056096364710, 6181.3463463, 345.22363462),
            87.945855171,
        ),
    )
}  # fmt: skip
