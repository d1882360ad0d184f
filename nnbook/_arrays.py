"""NumPy and MXNet arrays at the border of the package, and random generators."""

from __future__ import annotations

import sys
from typing import Any

import numpy as onp

from nnbook._arguments import check_seed

#: A NumPy array, an ``mxnet.numpy`` array or a legacy MXNet one.
Array = Any
#: What functions take as their source of randomness.
Rng = int | onp.random.Generator


def is_mxnet(array: Any) -> bool:
    """Tell whether something is an MXNet array, of either interface, without importing MXNet."""
    mxnet = sys.modules.get("mxnet")
    return mxnet is not None and isinstance(array, mxnet.nd.NDArray)


def check_array(array: Any, name: str = "x") -> None:
    """Refuse what is no dense array of NumPy or MXNet, and name what makes one of it.

    Raises
    ------
    TypeError
        Something else, a sparse array, or a masked one, whose mask MXNet cannot honour.
    """
    kind, own = type(array).__name__, _last(name)
    if isinstance(array, onp.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, and its mask would be lost; expected a plain one. Leave "
            f"out what is masked, or give it a value with {own}.filled(value)."
        )
    if is_mxnet(array):
        if array.stype != "default":
            raise TypeError(
                f"{name} is a sparse {kind}; expected a dense array. Convert it with "
                f"{own}.tostype('default')."
            )
    elif not isinstance(array, onp.ndarray):
        # scipy.sparse, without importing it
        sparse = hasattr(array, "toarray") and hasattr(array, "nnz")
        way = f"{own}.toarray()" if sparse else "numpy.asarray(...)"
        raise TypeError(
            f"{name} is a {kind}, expected a NumPy or MXNet array. Convert it with {way}."
        )


def _last(name: str) -> str:
    """Return what an array called "train x" is called in code."""
    word = name.split()[-1]
    return word if word.isidentifier() else "x"


def to_numpy(array: Array, name: str = "x") -> onp.ndarray:
    """Return `array` as a plain NumPy array, sharing memory if it is NumPy's; waits for MXNet.

    Raises
    ------
    TypeError
        If it is neither a NumPy nor an MXNet array, is masked or sparse, or does not hold real
        numbers.
    """
    check_array(array, name)
    array = array.asnumpy() if is_mxnet(array) else onp.asarray(array)
    if array.dtype.kind not in "fiub":
        own = _last(name)
        if array.dtype.kind in "SU" or (array.dtype.kind == "O" and array.ndim == 1):
            way = (
                f"Names of classes become numbers with numpy.unique({own}, return_inverse=True)[1]"
            )
        else:
            way = f"Convert it, for example with {own}.astype('float32')"
        raise TypeError(f"{name} has the dtype {array.dtype}, expected real numbers. {way}.")
    return array


def label_array(labels: Any, name: str) -> onp.ndarray:
    """Return class labels, numbers or names, as a plain NumPy array."""
    if isinstance(labels, onp.ndarray) and labels.dtype.kind in "SU":
        check_array(labels, name)
        return onp.asarray(labels)
    return to_numpy(labels, name)


def as_numpy(values: Any, name: str = "x") -> onp.ndarray:
    """Return an array, or what NumPy makes one of (a list of numbers), as a NumPy array.

    Raises
    ------
    TypeError
        As `to_numpy`.
    """
    if isinstance(values, onp.ndarray) or is_mxnet(values) or hasattr(values, "toarray"):
        return to_numpy(values, name)
    return to_numpy(onp.asarray(values), name)


def like(result: onp.ndarray, original: Array) -> Array:
    """Return `result` as the kind of array that `original` is, on its device."""
    if not is_mxnet(original):
        return result
    np = sys.modules["mxnet"].np
    array = np.array(result, dtype=result.dtype, ctx=original.ctx)
    return array if isinstance(original, np.ndarray) else array.as_nd_ndarray()


def same_values(a: Any, b: Any) -> bool:
    """Tell whether two things are equal, arrays in them by their values."""
    if hasattr(a, "shape") or hasattr(b, "shape"):
        return onp.array_equal(as_numpy(a), as_numpy(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_values(a[key], b[key]) for key in a)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(same_values, a, b))
    return bool(a == b)


def float_dtype(array: onp.ndarray) -> onp.dtype:
    """Return the dtype of `array` if it is a floating one, else float32."""
    return array.dtype if array.dtype.kind == "f" else onp.dtype("float32")


def take_rows(array: Array, rows: onp.ndarray) -> Array:
    """Return the rows of a NumPy or MXNet array, on its device."""
    if not is_mxnet(array):
        return onp.take(array, rows, axis=0)
    np = sys.modules["mxnet"].np
    index = np.array(rows, dtype="int64", ctx=array.ctx)
    # np.take is several times faster than indexing
    taken = np.take(array.as_np_ndarray(), index, axis=0, mode="clip")
    return taken if isinstance(array, np.ndarray) else taken.as_nd_ndarray()


def common_length(arrays: tuple[Array, ...]) -> int:
    """Return the number of examples of all `arrays`; raise if it differs or is 0."""
    for number, array in enumerate(arrays):
        check_array(array, f"array {number}")
        if not array.shape:
            raise TypeError(f"array {number} is one number, {array!r}; expected examples")
    lengths = [array.shape[0] for array in arrays]
    if len(set(lengths)) != 1:
        raise ValueError(
            f"The arrays have {lengths} examples; expected at least one array, and as many "
            "examples in each. Check that all were split and filtered alike."
        )
    if lengths[0] == 0:
        raise ValueError(
            "The set is empty: 0 examples, expected at least 1. Check how the data were split or "
            "filtered."
        )
    return lengths[0]


def check_finite(x: onp.ndarray, name: str) -> None:
    """Raise ValueError, with its place, if `x` has a NaN or an infinity."""
    if x.dtype.kind != "f":
        return
    # One pass: NaN and infinity survive in a sum, and in BLAS's sum of squares, which is faster.
    flat = x.reshape(-1) if x.dtype.char in "fd" and x.flags.c_contiguous else None
    with onp.errstate(over="ignore", invalid="ignore"):
        if onp.isfinite(x.sum() if flat is None else onp.dot(flat, flat)):
            return
    bad = ~onp.isfinite(x)
    count = int(bad.sum())
    if count:  # else the sum overflowed
        place = tuple(int(i) for i in onp.unravel_index(int(bad.argmax()), x.shape))
        raise ValueError(
            f"{name} has {count:,} values that are NaN or infinite, the first, {x[place]}, at "
            f"{list(place)}; expected finite numbers. Remove those examples, or replace the values "
            "(numpy.nan_to_num)."
        )


def as_generator(rng: Rng) -> onp.random.Generator:
    """Return a NumPy generator: `rng` itself, or one seeded with the integer `rng`.

    Raises
    ------
    TypeError, ValueError
        If `rng` is neither, or a negative seed.
    """
    if isinstance(rng, onp.random.Generator):
        return rng
    try:
        return onp.random.default_rng(check_seed(rng, "rng"))
    except TypeError:
        raise TypeError(
            f"rng is {rng!r}, expected a seed (a whole number of at least 0) or a "
            "numpy.random.Generator, for example numpy.random.default_rng(0)."
        ) from None
