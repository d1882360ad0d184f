"""Test problems of Moré, Garbow and Hillstrom: sums of squares with known minima.

Each is a list of residuals, so that it serves `nnbook.solvers.least_squares`, and as their sum of
squares with its gradient `nnbook.solvers.minimize`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

__all__ = ["CLASSICS", "Classic"]

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Classic:
    """A sum of squares, Σ rᵢ(x)².

    Attributes
    ----------
    name : str
    residuals, jacobian : callable
        r(x), shape (m,), and ∂r/∂x, shape (m, P).
    start : numpy.ndarray, shape (P,)
        The customary start.
    minima : tuple of float
        The least value, first, and those of other minima where runs are known to end.
    """

    name: str
    residuals: Callable[[Array], Array] = field(repr=False)
    jacobian: Callable[[Array], Array] = field(repr=False)
    start: Array = field(repr=False)
    minima: tuple[float, ...]

    def value(self, x: Array) -> float:
        """Return Σ r²."""
        r = self.residuals(np.asarray(x, dtype=float))
        return float(r @ r)

    def gradient(self, x: Array) -> Array:
        """Return 2 Jᵀr, shape (P,)."""
        x = np.asarray(x, dtype=float)
        return 2 * self.jacobian(x).T @ self.residuals(x)

    def hessian(self, x: Array) -> Array:
        """Return the Hessian, shape (P, P), by complex steps of the gradient: exact to rounding."""
        x = np.asarray(x, dtype=float)
        columns = []
        for k in range(len(x)):
            z = x.astype(complex)
            z[k] += 1e-20j
            columns.append(np.imag(2 * self.jacobian(z).T @ self.residuals(z)) / 1e-20)
        H = np.stack(columns, axis=1)
        return (H + H.T) / 2


def _rosenbrock(x: Array) -> tuple[Array, Array]:
    r = np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
    return r, np.array([[-20 * x[0], 10], [-1, 0]])


def _freudenstein_roth(x: Array) -> tuple[Array, Array]:
    a, b = x
    r = [-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b]
    return np.array(r), np.array([[1, 10 * b - 3 * b * b - 2], [1, 3 * b * b + 2 * b - 14]])


def _powell_badly_scaled(x: Array) -> tuple[Array, Array]:
    e = np.exp(-x)
    r = np.array([1e4 * x[0] * x[1] - 1, e[0] + e[1] - 1.0001])
    return r, np.array([[1e4 * x[1], 1e4 * x[0]], [-e[0], -e[1]]])


def _brown_badly_scaled(x: Array) -> tuple[Array, Array]:
    r = np.array([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])
    return r, np.array([[1, 0], [0, 1], [x[1], x[0]]])


def _beale(x: Array) -> tuple[Array, Array]:
    a, b = x
    y = np.array([1.5, 2.25, 2.625])
    k = np.arange(1, 4)
    return y - a * (1 - b**k), np.stack([b**k - 1, a * k * b ** (k - 1)], axis=1)


def _jennrich_sampson(x: Array) -> tuple[Array, Array]:
    k = np.arange(1.0, 11)
    e = np.exp(k[:, None] * x)
    return 2 + 2 * k - e.sum(axis=1), -k[:, None] * e


def _helical_valley(x: Array) -> tuple[Array, Array]:
    a, b, c = x
    square = a * a + b * b
    angle = np.arctan(b / a) / (2 * np.pi) + (0.5 if np.real(a) < 0 else 0.0)
    radius = np.sqrt(square)
    turn = 100 / (2 * np.pi * square)
    J = [[turn * b, -turn * a, 10], [10 * a / radius, 10 * b / radius, 0], [0, 0, 1]]
    return np.array([10 * (c - 10 * angle), 10 * (radius - 1), c]), np.array(J)


_BARD = np.array(
    [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]
)


def _bard(x: Array) -> tuple[Array, Array]:
    u = np.arange(1.0, 16)
    v = 16 - u
    w = np.minimum(u, v)
    below = v * x[1] + w * x[2]
    J = np.stack([-np.ones(15), u * v / below**2, u * w / below**2], axis=1)
    return _BARD - (x[0] + u / below), J


_OSBORNE = np.array([0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235,
                     0.0246])  # fmt: skip
_KOWALIK = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def _kowalik_osborne(x: Array) -> tuple[Array, Array]:
    u = _KOWALIK
    above, below = u * (u + x[1]), u * (u + x[2]) + x[3]
    J = [-above / below, -x[0] * u / below, x[0] * above * u / below**2, x[0] * above / below**2]
    return _OSBORNE - x[0] * above / below, np.stack(J, axis=1)


_MEYER = np.array([34780.0, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147,
                   4427, 3820, 3307, 2872])  # fmt: skip


def _meyer(x: Array) -> tuple[Array, Array]:
    t = 45 + 5 * np.arange(1.0, 17)
    e = np.exp(x[1] / (t + x[2]))
    J = [e, x[0] * e / (t + x[2]), -x[0] * e * x[1] / (t + x[2]) ** 2]
    return x[0] * e - _MEYER, np.stack(J, axis=1)


def _powell_singular(x: Array) -> tuple[Array, Array]:
    a, b, c, d = x
    five, ten = np.sqrt(5.0), np.sqrt(10.0)
    r = [a + 10 * b, five * (c - d), (b - 2 * c) ** 2, ten * (a - d) ** 2]
    p, q = 2 * (b - 2 * c), 2 * ten * (a - d)
    return np.array(r), np.array(
        [[1, 10, 0, 0], [0, 0, five, -five], [0, p, -2 * p, 0], [q, 0, 0, -q]]
    )


def _wood(x: Array) -> tuple[Array, Array]:
    a, b, c, d = x
    p, q, s = np.sqrt(90.0), np.sqrt(10.0), 1 / np.sqrt(10.0)
    r = [10 * (b - a * a), 1 - a, p * (d - c * c), 1 - c, q * (b + d - 2), s * (b - d)]
    J = [
        [-20 * a, 10, 0, 0],
        [-1, 0, 0, 0],
        [0, 0, -2 * p * c, p],
        [0, 0, -1, 0],
        [0, q, 0, q],
        [0, s, 0, -s],
    ]
    return np.array(r), np.array(J)


def _brown_dennis(x: Array) -> tuple[Array, Array]:
    t = np.arange(1.0, 21) / 5
    first, second = x[0] + t * x[1] - np.exp(t), x[2] + x[3] * np.sin(t) - np.cos(t)
    J = [2 * first, 2 * first * t, 2 * second, 2 * second * np.sin(t)]
    return first**2 + second**2, np.stack(J, axis=1)


def _box(x: Array) -> tuple[Array, Array]:
    t = np.arange(1.0, 11) / 10
    fixed = np.exp(-t) - np.exp(-10 * t)
    e, g = np.exp(-t * x[0]), np.exp(-t * x[1])
    return e - g - x[2] * fixed, np.stack([-t * e, t * g, -fixed], axis=1)


def _biggs(x: Array) -> tuple[Array, Array]:
    t = np.arange(1.0, 14) / 10
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    e = np.exp(-t[:, None] * x[[0, 1, 4]])
    r = x[2] * e[:, 0] - x[3] * e[:, 1] + x[5] * e[:, 2] - y
    J = [-t * x[2] * e[:, 0], t * x[3] * e[:, 1], e[:, 0], -e[:, 1], -t * x[5] * e[:, 2], e[:, 2]]
    return r, np.stack(J, axis=1)


def _variably_dimensioned(x: Array) -> tuple[Array, Array]:
    n = len(x)
    k = np.arange(1.0, n + 1)
    total = k @ (x - 1)
    J = np.vstack([np.eye(n), k, 2 * total * k])
    return np.concatenate([x - 1, [total, total**2]]), J


def _trigonometric(x: Array) -> tuple[Array, Array]:
    n = len(x)
    k = np.arange(1.0, n + 1)
    r = n - np.cos(x).sum() + k * (1 - np.cos(x)) - np.sin(x)
    return r, np.sin(x)[None, :] + np.diag(k * np.sin(x) - np.cos(x))


def _make(
    name: str, function: Callable[[Array], tuple[Array, Array]], start: list[float], *minima: float
) -> Classic:
    return Classic(
        name,
        lambda x: function(x)[0],
        lambda x: function(x)[1],
        np.array(start, dtype=float),
        minima,
    )


#: By name. The values of the minima are those of the paper, or closed forms.
#:
#: References
#: ----------
#: Moré, Garbow and Hillstrom (1981), Testing unconstrained optimization software.
CLASSICS = {
    classic.name: classic
    for classic in (
        _make("Rosenbrock", _rosenbrock, [-1.2, 1], 0.0),
        _make("Freudenstein and Roth", _freudenstein_roth, [0.5, -2], 0.0, 48.984253679240013),
        _make("Powell badly scaled", _powell_badly_scaled, [0, 1], 0.0),
        _make("Brown badly scaled", _brown_badly_scaled, [1, 1], 0.0),
        _make("Beale", _beale, [1, 1], 0.0),
        _make("Jennrich and Sampson", _jennrich_sampson, [0.3, 0.4], 124.36218235561489),
        _make("helical valley", _helical_valley, [-1, 0, 0], 0.0),
        _make("Bard", _bard, [1, 1, 1], 8.214877306578961e-3, 17.428693333333),
        _make("Kowalik and Osborne", _kowalik_osborne, [0.25, 0.39, 0.415, 0.39],
              3.0750560384924e-4, 1.0273428986e-3),
        _make("Meyer", _meyer, [0.02, 4000, 250], 87.945855170395),
        _make("Powell singular", _powell_singular, [3, -1, 0, 1], 0.0),
        _make("Wood", _wood, [-3, -1, -3, -1], 0.0),
        _make("Brown and Dennis", _brown_dennis, [25, 5, -5, -1], 85822.201626356344),
        _make("Box", _box, [0, 10, 20], 0.0, 0.07558874),
        _make("Biggs", _biggs, [1, 2, 1, 1, 1, 1], 0.0, 5.65565e-3, 0.30636677262479485),
        _make("variably dimensioned", _variably_dimensioned, [1 - k / 10 for k in range(1, 11)],
              0.0),
        _make("trigonometric", _trigonometric, [0.1] * 10, 0.0, 2.795056121876e-5),
    )
}  # fmt: skip
