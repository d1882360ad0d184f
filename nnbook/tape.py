"""Reverse-mode automatic differentiation on one page.

Every operation on a `Variable` notes on its result which variables it came from and the local
derivative with respect to each. `backward` walks the notes from the result to the inputs and
multiplies along the way: the chain rule, each edge of the graph used once. The book's experiments
differentiate with MXNet; this page shows what it does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["Variable"]


class Variable:
    """A number that remembers how it was computed.

    Parameters
    ----------
    value : float
        The number.
    parents : iterable of (Variable, float)
        What it was computed from, each with the local derivative ∂value/∂parent.

    Attributes
    ----------
    value : float
    gradient : float
        ∂result/∂self, after ``result.backward()``.

    References
    ----------
    Baydin, Pearlmutter, Radul and Siskind (2018), Automatic differentiation in machine learning:
    a survey. The form follows Karpathy's micrograd.

    Examples
    --------
    >>> from nnbook.tape import Variable
    >>> x, w = Variable(2.0), Variable(-0.5)
    >>> y = (w * x).tanh() + x
    >>> y.backward()
    >>> round(w.gradient, 6), round(x.gradient, 6)
    (0.839949, 0.790013)
    """

    def __init__(self, value: float, parents: Iterable[tuple[Variable, float]] = ()):
        self.value = float(value)
        self.gradient = 0.0
        self._parents = tuple(parents)

    def __add__(self, other: Variable | float) -> Variable:
        other = _variable(other)
        return Variable(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other: Variable | float) -> Variable:
        other = _variable(other)
        return Variable(self.value * other.value, [(self, other.value), (other, self.value)])

    def __pow__(self, exponent: float) -> Variable:
        # x⁰ is 1 everywhere, so that its slope is 0 at x = 0 too.
        slope = exponent * self.value ** (exponent - 1) if exponent else 0.0
        return Variable(self.value**exponent, [(self, slope)])

    def tanh(self) -> Variable:
        """Return the hyperbolic tangent; its derivative is 1 − tanh²."""
        t = math.tanh(self.value)
        return Variable(t, [(self, 1 - t * t)])

    def exp(self) -> Variable:
        """Return the exponential, its own derivative."""
        e = math.exp(self.value)
        return Variable(e, [(self, e)])

    def log(self) -> Variable:
        """Return the natural logarithm; its derivative is 1 / value."""
        return Variable(math.log(self.value), [(self, 1 / self.value)])

    def backward(self) -> None:
        """Fill `gradient` in every variable that this one was computed from."""
        order = _by_dependence(self)
        for variable in order:
            variable.gradient = 0.0
        self.gradient = 1.0
        for variable in reversed(order):  # each one only after everything it flows into
            for parent, slope in variable._parents:
                parent.gradient += slope * variable.gradient

    def __neg__(self) -> Variable:
        return self * -1.0

    def __sub__(self, other: Variable | float) -> Variable:
        return self + (-_variable(other))

    def __truediv__(self, other: Variable | float) -> Variable:
        return self * _variable(other) ** -1.0

    def __rsub__(self, other: float) -> Variable:
        return _variable(other) - self

    def __rtruediv__(self, other: float) -> Variable:
        return _variable(other) / self

    __radd__ = __add__
    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"Variable({self.value:g}, gradient={self.gradient:g})"


def _variable(value: Variable | float) -> Variable:
    return value if isinstance(value, Variable) else Variable(value)


def _by_dependence(result: Variable) -> list[Variable]:
    """Every variable behind `result`, parents before children, without recursion."""
    order: list[Variable] = []
    seen: set[int] = set()
    stack: list[tuple[Variable, bool]] = [(result, False)]
    while stack:
        variable, finished = stack.pop()
        if finished:
            order.append(variable)
        elif id(variable) not in seen:
            seen.add(id(variable))
            stack.append((variable, True))
            stack.extend((parent, False) for parent, _ in variable._parents)
    return order
