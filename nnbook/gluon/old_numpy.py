"""NumPy as MXNet 1.9.1 knew it: a view with the names that have gone since.

MXNet's modules are executed with builtins of their own. Their ``__import__`` gives them the view
wherever they import NumPy; NumPy itself, and everybody else, is left alone.

NumPy 2 also writes its scalars in another way inside a tuple or a list, ``(np.int64(5),)``, and
MXNet hands parameters over to its library as text. In the few modules where values become text,
`str` writes them as before, ``(5,)``.
"""

from __future__ import annotations

import builtins as _builtins
import functools
import re
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy

__all__ = ["WRITES_TEXT", "builtins", "text", "view"]

#: Where MXNet turns the parameters of operators, symbols, iterators and servers into text; on
#: NumPy 1 there is nothing to mend.
WRITES_TEXT = frozenset(
    f"mxnet.{name}"
    for name in ("_ctypes.ndarray", "_ctypes.symbol", "symbol.symbol", "io.io", "kvstore.base")
    if int(numpy.__version__.partition(".")[0]) >= 2
)


# ------------------------------------------------------------------------------------- the names


def _in1d(ar1: Any, ar2: Any, assume_unique: bool = False, invert: bool = False) -> Any:
    return numpy.isin(numpy.ravel(ar1), ar2, assume_unique=assume_unique, invert=invert)


def _msort(a: Any) -> Any:
    return numpy.sort(a, axis=0)


def _gone(name: str) -> Callable[..., Any]:
    """Return what NumPy 1.20 put in the place of each function of finance."""

    def function(*args: Any, **options: Any) -> Any:
        raise RuntimeError(f"NumPy has no {name} since 1.20; the package numpy-financial has it")

    return function


# What this NumPy still has itself wins over these.
_DROPPED: dict[str, Any] = {
    **dict.fromkeys(("NAN", "NaN"), numpy.nan),
    **dict.fromkeys(("Inf", "Infinity", "PINF", "infty"), numpy.inf),
    "NINF": -numpy.inf,
    "PZERO": 0.0,
    "NZERO": -0.0,
    "float_": numpy.float64,
    "complex_": numpy.complex128,
    "string_": numpy.bytes_,
    "unicode_": numpy.str_,
    "alltrue": numpy.all,
    "sometrue": numpy.any,
    "product": numpy.prod,
    "cumproduct": numpy.cumprod,
    "round_": numpy.around,
    "row_stack": numpy.vstack,
    "trapz": getattr(numpy, "trapezoid", None),
    "in1d": _in1d,
    "msort": _msort,
    "compat": SimpleNamespace(basestring=str, unicode=str, long=int),
    **{name: _gone(name) for name in ("mirr", "npv", "pmt", "ppmt", "pv", "rate")},
}
# These were Python's types, whatever NumPy, or somebody who mends it by hand, calls so today.
_PYTHON_TYPES = {"bool": bool, "int": int, "float": float, "object": object}

_VIEW = ModuleType("numpy")
_VIEW.__dict__.update(_DROPPED | vars(numpy) | _PYTHON_TYPES)
# What NumPy loads when it is asked for, or got later.
_VIEW.__dict__["__getattr__"] = functools.partial(getattr, numpy)


def view() -> ModuleType:
    """Return the module that MXNet sees in the place of NumPy."""
    return _VIEW


# -------------------------------------------------------------------------------------- the text


_MANY = (tuple, list)


def _plain(value: Any) -> Any:
    """Return `value` with Python's numbers in the place of NumPy's scalars."""
    if type(value) in _MANY:
        return type(value)(map(_plain, value))
    if isinstance(value, numpy.floating):
        return float(str(value))  # 0.1, where float32's item() has all the digits of a double
    return value.item() if isinstance(value, numpy.generic) else value


class _Text(type):
    """The kind of `text`: calling it makes a string, and every string is an instance of it."""

    def __call__(cls, value: Any = "", *encoding: Any) -> str:
        written = str(value, *encoding) if encoding else str(value)
        return str(_plain(value)) if type(value) in _MANY and "np." in written else written

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, str)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, str)


class text(str, metaclass=_Text):
    """`str`, but writing NumPy's scalars in tuples and lists as NumPy 1 did.

    Examples
    --------
    >>> import numpy
    >>> text((numpy.int64(5), None, [numpy.float32(0.1)]))
    '(5, None, [0.1])'
    >>> isinstance("a", text)
    True
    """


# ---------------------------------------------------------------------------------- the builtins


def _version(written: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", written)))


# All that MXNet wants of distutils, which left Python in 3.12, is to compare NumPy's version.
_DISTUTILS_VERSION = SimpleNamespace(LooseVersion=_version, StrictVersion=_version)


def _import(
    name: str, space: Any = None, local: Any = None, names: Any = (), level: int = 0
) -> Any:
    if level == 0 and name == "numpy":
        return _VIEW
    if level == 0 and name == "distutils.version":
        return _DISTUTILS_VERSION
    module = _builtins.__import__(name, space, local, names, level)
    return _VIEW if module is numpy else module  # what `import numpy.linalg` returns, too


_BUILTINS = {**vars(_builtins), "__import__": _import}
_WITH_TEXT = {**_BUILTINS, "str": text}


def builtins(name: str) -> dict[str, Any]:
    """Return the builtins of the module `name` of MXNet."""
    return _WITH_TEXT if name in WRITES_TEXT else _BUILTINS
