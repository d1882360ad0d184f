"""NumPy and MXNet arrays at the border of the package, and random generators."""

from __future__ import annotations

import sys
from typing import Any

import numpy as onp

#: A NumPy array, an ``mxnet.numpy`` array or a legacy MXNet one.
Array = Any
#: What functions take as their source of randomness.
Rng = int | onp.random.Generator


def is_mxnet(array: Any) -> bool:
    """Tell whether something is an MXNet array, of either interface, without importing MXNet."""
    mxnet = sys.modules.get("mxnet")
    return mxnet is not None and isinstance(array, mxnet.nd.NDArray)


def to_numpy(array: Array, name: str = "x") -> onp.ndarray:
    """Return `array` as a NumPy array: itself if it is one, else a copy; waits for MXNet.

    Raises
    ------
    TypeError
        If it is neither a NumPy nor an MXNet array, or does not hold real numbers.
    """
    if is_mxnet(array):
        array = array.asnumpy()
    if not isinstance(array, onp.ndarray):
        raise TypeError(
            f"{name} is a {type(array).__name__}, expected a NumPy or MXNet array. Convert it, "
            "for example with numpy.asarray(...)."
        )
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} has the dtype {array.dtype}, expected real numbers. Convert it, for example "
            f"with {name}.astype('float32')."
        )
    return array


def like(result: onp.ndarray, original: Array) -> Array:
    """Return `result` as the kind of array that `original` is, on its device."""
    if not is_mxnet(original):
        return result
    np = sys.modules["mxnet"].np
    array = np.array(result, dtype=result.dtype, ctx=original.ctx)
    return array if isinstance(original, np.ndarray) else array.as_nd_ndarray()


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
    for array in arrays:
        if not (isinstance(array, onp.ndarray) or is_mxnet(array)) or not array.shape:
            raise TypeError(
                f"Expected NumPy or MXNet arrays of examples, found {array!r} of the type "
                f"{type(array).__name__}. Convert it, for example with numpy.asarray(...)."
            )
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
    with onp.errstate(over="ignore", invalid="ignore"):
        if onp.isfinite(x.sum()):  # one fast pass: NaN and infinity survive in a sum
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
    if isinstance(rng, (int, onp.integer)) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"rng is {rng}; a seed is an integer of at least 0.")
        return onp.random.default_rng(int(rng))
    raise TypeError(
        f"rng is {rng!r}, expected a seed (an integer of at least 0) or a numpy.random.Generator, "
        "for example numpy.random.default_rng(0)."
    )


def check_count(value: object, name: str, least: int = 1) -> int:
    """Return `value` as an int if it is an integer of at least `least`, else raise."""
    if isinstance(value, bool) or not isinstance(value, (int, onp.integer)):
        raise TypeError(f"{name} is {value!r}, expected an integer of at least {least}.")
    if value < least:
        raise ValueError(f"{name} is {value}, expected an integer of at least {least}.")
    return int(value)


def check_at_least_zero(value: float, name: str) -> float:
    """Return `value` if it is a finite number of at least 0, else raise ValueError."""
    if not isinstance(value, (int, float, onp.integer, onp.floating)) or not 0 <= value < onp.inf:
        raise ValueError(f"{name} is {value!r}, expected a finite number of at least 0.")
    return float(value)
