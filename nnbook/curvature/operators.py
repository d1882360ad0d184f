"""Symmetric matrices that are known by their products alone: ``operator @ v``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnbook._arguments import check_number, check_whole
from nnbook._arrays import as_generator

__all__ = [
    "Blocks",
    "Diagonal",
    "Function",
    "Matrix",
    "Operator",
    "OperatorCheck",
    "as_operator",
    "check_operator",
]


class Operator:
    """A symmetric P × P matrix A that is known by its products A v.

    What derives from it defines `size` and `matvec`. Sums, multiples, damping and blocks are lazy:
    they hold their parts, change nothing in them and multiply when they are asked to.

    Attributes
    ----------
    size : int
        P.
    dtype : numpy.dtype
        Of the products.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import curvature
    >>> A = curvature.Matrix([[2.0, 1.0], [1.0, 3.0]])
    >>> A @ np.array([1.0, 0.0])
    array([2., 1.])
    >>> (A + 0.5 * A).damped(10.0).dense()
    array([[13. ,  1.5],
           [ 1.5, 14.5]])
    """

    size: int
    dtype: np.dtype = np.dtype("float64")

    def matvec(self, v: np.ndarray) -> np.ndarray:
        """Return A v, shape (P,)."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int]:
        """(P, P)."""
        return self.size, self.size

    def __matmul__(self, other: Any) -> np.ndarray:
        other = np.asarray(other)
        if other.ndim not in (1, 2) or other.shape[0] != self.size:
            raise ValueError(
                f"the operator has size {self.size}, and is multiplied by an array of shape "
                f"{other.shape}; expected ({self.size},) or ({self.size}, k)"
            )
        if other.ndim == 1:
            return self.matvec(other)
        columns = [self.matvec(column) for column in other.T]
        return np.stack(columns, axis=1) if columns else np.zeros(other.shape, self.dtype)

    def __add__(self, other: Any) -> Operator:
        other = as_operator(other)
        if other.size != self.size:
            raise ValueError(f"operators of sizes {self.size} and {other.size} have no sum")
        return _Sum(((1.0, self), (1.0, other)))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Operator:
        return self + (-1.0) * as_operator(other)

    def __neg__(self) -> Operator:
        return -1.0 * self

    def __mul__(self, factor: Any) -> Operator:
        return _Sum(((check_number(factor, "the factor of an operator"), self),))

    __rmul__ = __mul__

    def damped(self, mu: Any) -> Operator:
        """Return A + μI, or A + diag(μ) for an array of P numbers."""
        mu = np.asarray(mu, dtype=float)
        return self + Diagonal(np.broadcast_to(mu, (self.size,)))

    def block(self, where: Any) -> Operator:
        """Return the principal submatrix of some entries of θ: a slice, indices or a mask."""
        return _Block(self, np.arange(self.size)[where])

    def deflated(self, vectors: Any) -> Operator:
        """Return (I − QQᵀ) A (I − QQᵀ): without what orthonormal columns Q, (P, k), span."""
        return _Deflated(self, np.asarray(vectors, dtype=float).reshape(self.size, -1))

    def dense(self) -> np.ndarray:
        """Return A as an array, by P products; for small P."""
        return self @ np.eye(self.size, dtype=self.dtype)

    def to_scipy(self) -> Any:
        """Return a ``scipy.sparse.linalg.LinearOperator``: for SciPy's eigsh, cg, minres."""
        from scipy.sparse.linalg import LinearOperator

        def matvec(v: np.ndarray) -> np.ndarray:
            return self.matvec(np.asarray(v).reshape(-1))

        return LinearOperator(self.shape, matvec=matvec, rmatvec=matvec, dtype=self.dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


class Matrix(Operator):
    """A symmetric array as an operator: for tests, and for what is small.

    Parameters
    ----------
    array : array, shape (P, P)
        Symmetric, to 1e-8 of its largest entry.

    Raises
    ------
    ValueError
        Not square, not symmetric, or not finite.
    """

    def __init__(self, array: Any):
        array = np.array(array, dtype=float)
        if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
            raise ValueError(f"array has shape {array.shape}; expected a square one, (P, P)")
        if not np.isfinite(array).all():
            raise ValueError("array has entries that are NaN or infinite; expected finite numbers")
        apart = float(abs(array - array.T).max())
        if apart > 1e-8 * float(abs(array).max()):
            raise ValueError(
                f"array differs from its transpose by {apart:g}; expected a symmetric one. Take "
                "(A + A.T) / 2"
            )
        self.array, self.size = array, len(array)

    def matvec(self, v: np.ndarray) -> np.ndarray:
        """Return A v, shape (P,)."""
        return self.array @ v


class Diagonal(Operator):
    """A diagonal matrix.

    Parameters
    ----------
    values : array, shape (P,)
        The diagonal.
    """

    def __init__(self, values: Any):
        self.values = np.array(values, dtype=float)
        if self.values.ndim != 1 or not self.values.size:
            raise ValueError(f"values have shape {self.values.shape}; expected one vector")
        self.size = len(self.values)

    def matvec(self, v: np.ndarray) -> np.ndarray:
        """Return A v, shape (P,)."""
        return self.values * v


class Function(Operator):
    """An operator of a function that multiplies: of PyTorch, of JAX, of anybody.

    Parameters
    ----------
    matvec : callable
        ``matvec(v)``, of a NumPy vector (P,); what it returns becomes NumPy's.
    size : int
        P.
    dtype : str or numpy.dtype
        What `matvec` is given: "float64" or "float32".

    Examples
    --------
    >>> from nnbook import curvature
    >>> A = curvature.Function(lambda v: 2 * v, 3)
    >>> curvature.trace(A, samples=2, rng=0).estimate
    6.0
    """

    def __init__(self, matvec: Callable[[np.ndarray], Any], size: int, dtype: Any = "float64"):
        if not callable(matvec):
            raise TypeError(f"matvec is {matvec!r}; expected a function of a vector")
        self.function, self.size = matvec, check_whole(size, "size")
        self.dtype = np.dtype(dtype)

    def matvec(self, v: np.ndarray) -> np.ndarray:
        """Return A v, shape (P,)."""
        product = np.asarray(self.function(np.asarray(v, dtype=self.dtype)))
        if product.shape != (self.size,):
            raise ValueError(
                f"matvec returned shape {product.shape}; expected ({self.size},), as of the vector"
            )
        return product


class Blocks(Operator):
    """Operators along the diagonal, zeros elsewhere: one a layer, say.

    Parameters
    ----------
    operators : sequence of operator
        In order; their sizes add up to P.
    """

    def __init__(self, operators: Sequence[Any]):
        self.operators = tuple(as_operator(one) for one in operators)
        if not self.operators:
            raise ValueError("operators is empty; expected at least one")
        self.ends = np.cumsum([one.size for one in self.operators])
        self.size = int(self.ends[-1])

    def matvec(self, v: np.ndarray) -> np.ndarray:
        """Return A v, shape (P,)."""
        parts = np.split(np.asarray(v), self.ends[:-1])
        return np.concatenate([a.matvec(b) for a, b in zip(self.operators, parts, strict=True)])


class _Sum(Operator):
    """Σ cᵢ Aᵢ."""

    def __init__(self, parts: tuple[tuple[float, Operator], ...]):
        self.parts, self.size = parts, parts[0][1].size
        self.dtype = np.result_type(*(part.dtype for _, part in parts))

    def matvec(self, v: np.ndarray) -> np.ndarray:
        return sum(factor * part.matvec(v) for factor, part in self.parts)  # type: ignore[return-value]


class _Block(Operator):
    """A principal submatrix."""

    def __init__(self, operator: Operator, rows: np.ndarray):
        self.operator, self.rows, self.size = operator, rows, len(rows)
        self.dtype = operator.dtype

    def matvec(self, v: np.ndarray) -> np.ndarray:
        wide = np.zeros(self.operator.size, dtype=self.dtype)
        wide[self.rows] = v
        return self.operator.matvec(wide)[self.rows]


class _Deflated(Operator):
    """(I − QQᵀ) A (I − QQᵀ)."""

    def __init__(self, operator: Operator, basis: np.ndarray):
        self.operator, self.basis, self.size = operator, basis, operator.size
        self.dtype = operator.dtype

    def matvec(self, v: np.ndarray) -> np.ndarray:
        return self._outside(self.operator.matvec(self._outside(v)))

    def _outside(self, v: np.ndarray) -> np.ndarray:
        return v - self.basis @ (self.basis.T @ v)


def as_operator(thing: Any) -> Operator:
    """Return an operator of what can multiply a vector.

    Parameters
    ----------
    thing : operator, array, SciPy LinearOperator or sparse matrix
        Or anything with ``matvec`` (or ``@``) and ``size`` or a square ``shape``.

    Returns
    -------
    Operator

    Raises
    ------
    TypeError
        It cannot multiply.
    ValueError
        It is not square.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse.linalg import aslinearoperator
    >>> from nnbook import curvature
    >>> curvature.as_operator(aslinearoperator(np.eye(3)))
    Function(size=3)
    """
    if isinstance(thing, Operator):
        return thing
    if isinstance(thing, (np.ndarray, list, tuple)):
        return Matrix(thing)
    shape, size = getattr(thing, "shape", None), getattr(thing, "size", None)
    product = getattr(thing, "matvec", None)
    if not callable(product) and hasattr(thing, "__matmul__"):
        product = thing.__matmul__  # SciPy's sparse matrices
    if not callable(product) or (shape is None and size is None):
        raise TypeError(
            f"operator is a {type(thing).__name__}; expected something with size and matvec(v). "
            "nnbook.curvature.Function(matvec, size) makes one of a function"
        )
    if shape is not None and (len(shape) != 2 or shape[0] != shape[1]):
        raise ValueError(f"operator has shape {tuple(shape)}; expected a square one, (P, P)")
    count = int(size if shape is None else shape[0])  # type: ignore[arg-type]
    dtype = np.dtype(getattr(thing, "dtype", None) or "float64")
    return Function(product, count, dtype if dtype.kind == "f" else "float64")


@dataclass(frozen=True)
class OperatorCheck:
    """What `check_operator` found.

    Attributes
    ----------
    asymmetry : float
        The largest relative difference of uᵀ(A v) and vᵀ(A u): for products by differences, an
        estimate of their error that costs nothing else.
    repetition : float
        The largest relative difference of two products of the same vector: 0 unless something is
        random, such as a new minibatch in each product.
    nonlinearity : float
        The largest relative difference of A(u + v) and A u + A v.
    tolerance : float
        What was allowed.
    """

    asymmetry: float
    repetition: float
    nonlinearity: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the operator is symmetric, linear and the same every time."""
        return max(self.asymmetry, self.repetition, self.nonlinearity) <= self.tolerance


def check_operator(
    operator: Any, probes: int = 3, tolerance: float = 1e-6, rng: Any = 0
) -> OperatorCheck:
    """Find out whether products are symmetric, linear and repeatable.

    Parameters
    ----------
    operator : operator
        Whatever `as_operator` takes.
    probes : int
        How many pairs of random vectors; each costs five products.
    tolerance : float
        Relative; the error of the products is what is reasonable.
    rng : int or numpy.random.Generator
        Of the vectors.

    Returns
    -------
    OperatorCheck

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import curvature
    >>> twisted = curvature.Function(lambda v: np.array([v[1], -v[0]]), 2)
    >>> curvature.check_operator(twisted).passed
    False
    """
    operator, rng = as_operator(operator), as_generator(rng)
    check_number(tolerance, "tolerance", least=0)
    found = np.zeros(3)
    for _ in range(check_whole(probes, "probes")):
        u, v = rng.normal(size=(2, operator.size))
        first, second, again = operator @ u, operator @ v, operator @ u
        scale = max(float(np.linalg.norm(first) * np.linalg.norm(v)), 1e-300)
        size = max(float(np.linalg.norm(first) + np.linalg.norm(second)), 1e-300)
        apart = float(np.linalg.norm(operator @ (u + v) - first - second))
        now = [
            abs(float(v @ first - u @ second)) / scale,
            float(np.linalg.norm(first - again)) / size,
            apart / size,
        ]
        found = np.maximum(found, now)
    asymmetry, repetition, nonlinearity = map(float, found)
    return OperatorCheck(asymmetry, repetition, nonlinearity, tolerance)
