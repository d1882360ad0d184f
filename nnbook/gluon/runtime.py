"""Make Apache MXNet usable: import it, seed it, choose a device. `nnbook.runtime` is its name."""

from __future__ import annotations

import functools
import numbers
import os
import platform
import random
import re
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as onp

from nnbook.gluon import devices as _devices
from nnbook.gluon import install as _install
from nnbook.gluon.devices import Device

if TYPE_CHECKING:  # its classes serve as types
    import mxnet as mx
else:
    mx = _install.import_mxnet()
np = mx.np
npx = mx.npx
npx.set_np()

__all__ = [
    "Device",
    "as_device",
    "best_device",
    "device_of",
    "devices",
    "environment",
    "seed_everything",
    "thread_count",
    "use_numpy_mode",
]


def use_numpy_mode() -> None:
    """Switch MXNet to its NumPy interface in the calling thread.

    The switch belongs to a thread, and in a new thread it is off: a ``Dense`` layer raises there.
    Call this first, or pass it as a pool's initializer:
    ``ThreadPoolExecutor(4, initializer=nnbook.runtime.use_numpy_mode)``.
    """
    npx.set_np()


# A thread with less than this many parameters times examples of a step costs more than it saves.
_WORTH_A_THREAD = 8_000_000


def thread_count(work: float) -> int:
    """Return into how many parts, one a thread, `nnbook.training.fit` divides a step.

    They are threads of Python, each with graphs of its own, and they wait without spinning. OpenMP,
    which MXNet would use, keeps its idle threads spinning: beside another program that costs a
    factor of 4 to 25 in time, and a process forked afterwards hangs.

    Parameters
    ----------
    work : float
        The number of parameters times the number of examples of a step.

    Returns
    -------
    int
        1 for small steps, and where the number of threads is the user's choice
        (``OMP_NUM_THREADS``); at most the number of cores that this process may use.
    """
    return max(1, min(cores(), int(work // _WORTH_A_THREAD)))


def cores() -> int:
    """Return how many threads nnbook may use: one for each core that this process may use.

    1 where the number of threads is the user's choice (``OMP_NUM_THREADS``).
    """
    if not _install.threads_may_vary:
        return 1
    has_affinity = hasattr(os, "sched_getaffinity")
    return len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1


def seed_everything(seed: int) -> None:
    """Seed Python's `random`, NumPy's global generator and MXNet on every device.

    Parameters
    ----------
    seed : int
        From 0 to 2³² − 1.

    Raises
    ------
    TypeError
        When the seed is no integer.
    ValueError
        When it is out of range.
    """
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise TypeError(f"the seed must be an integer, and it is {seed!r}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"the seed must be from 0 to 2**32 - 1 = 4294967295, and it is {seed}")
    random.seed(int(seed))
    onp.random.seed(int(seed))  # noqa: NPY002 - what DataLoader and others still follow
    mx.random.seed(int(seed))


@functools.cache
def devices() -> tuple[Device, ...]:
    """List the devices and why each is or is not usable.

    Every GPU that this build of MXNet has code for is tried by a small computation in a process
    of its own. The answer is computed once per process.

    Returns
    -------
    tuple of Device
        The CPU first, then every GPU, or one entry named ``gpu`` that says why there is none.
    """
    return _devices.survey(
        cuda_build=mx.runtime.Features().is_enabled("CUDA"),
        wheel=next(iter(_install.mxnet_wheels()), None),
        driver=_devices.query_driver(),
        trial=_devices.try_gpu,
        processor=_processor(),
    )


def best_device() -> Any:
    """Return the first GPU that really computes, else the CPU.

    The first time in a process that the CPU is chosen, a warning names the reason.

    Returns
    -------
    mxnet.Context
        As in ``gpu(0)`` or ``cpu(0)``.
    """
    for device in devices():
        if device.usable and device.name.startswith("gpu"):
            return mx.gpu(int(device.name[4:-1]))
    _warn_once("; ".join(f"{d.name}: {d.reason}" for d in devices() if not d.usable))
    return mx.cpu()


@functools.cache
def _warn_once(reason: str) -> None:
    warnings.warn(f"computing on the CPU ({reason})", RuntimeWarning, stacklevel=3)


def as_device(device: Any = None) -> Any:
    """Return the device that a name stands for.

    Parameters
    ----------
    device : str, mxnet.Context or None
        ``"cpu"``, ``"cpu(1)"``, ``"gpu"``, ``"gpu(0)"``; a Context is returned as it is; None is
        the current one (``cpu(0)``, or that of the enclosing ``with`` block).

    Returns
    -------
    mxnet.Context
        The device.

    Raises
    ------
    TypeError
        When it is of another type.
    ValueError
        When the name is unknown or the GPU is not usable; the message has the reason.
    """
    if device is None:
        return mx.context.current_context()
    if isinstance(device, str):
        match = re.fullmatch(r"(cpu|gpu)(?:\((\d+)\))?", device.strip())
        if match is None:
            raise ValueError(
                f"unknown device {device!r}: give 'cpu', 'cpu(1)', 'gpu', 'gpu(0)' "
                "or an mxnet Context"
            )
        device = mx.Context(match[1], int(match[2] or 0))
    if not isinstance(device, mx.Context):
        raise TypeError(
            f"a device is a string such as 'cpu' or 'gpu(0)', an mxnet Context or None, "
            f"and it is {device!r}"
        )
    if device.device_type == "gpu" and not any(
        known.usable for known in devices() if known.name == str(device)
    ):
        reasons = "; ".join(f"{known.name}: {known.reason}" for known in devices()[1:])
        raise ValueError(f"{device} is not usable ({reasons}). Use 'cpu' or best_device().")
    return device


def device_of(array_or_net: Any) -> Any:
    """Return the device that holds an array or a net's parameters.

    Parameters
    ----------
    array_or_net : array or mxnet.gluon.Block
        An MXNet array, a NumPy array (always on the CPU), or a net with initialised parameters.

    Returns
    -------
    mxnet.Context
        The device. A net without parameters is on the current one.

    Raises
    ------
    TypeError
        When it is neither array nor net.
    ValueError
        When the net is not initialised, or lies on several devices.
    """
    if isinstance(array_or_net, mx.nd.NDArray):  # mx.np arrays are a subclass
        return array_or_net.ctx
    if isinstance(array_or_net, onp.ndarray):
        return mx.cpu()
    if not isinstance(array_or_net, mx.gluon.Block):
        raise TypeError(
            f"device_of wants an array or a Gluon block, and it got {type(array_or_net).__name__}"
        )
    try:
        found = {ctx for p in array_or_net.collect_params().values() for ctx in p.list_ctx()}
    except RuntimeError as error:
        raise ValueError(f"the net is not initialised: call net.initialize() ({error})") from error
    if len(found) > 1:
        raise ValueError(
            f"the net lies on several devices: {sorted(map(str, found))}; move it to one with "
            "net.reset_ctx"
        )
    return found.pop() if found else mx.context.current_context()


def environment() -> dict[str, Any]:
    """Describe the versions, the machine, the threads and the devices.

    Returns
    -------
    dict
        Strings, numbers and dicts of them, ready for JSON: ``nnbook``, ``python``, ``platform``,
        ``processor``, ``cores``, ``packages`` (name to version, or None), ``mxnet_wheel``,
        ``threads`` (variable to value, or None), ``devices`` (name to reason).
    """
    packages = ("numpy", "scipy", "matplotlib", "mxnet", "jupyter-book", "ipywidgets")
    versions = {name: _install.installed_version(name) for name in packages}
    return {
        "nnbook": sys.modules["nnbook"].__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "packages": versions | {"mxnet": mx.__version__},
        "mxnet_wheel": next(iter(_install.mxnet_wheels()), None),
        "threads": {
            name: os.environ.get(name)
            for name in ("OMP_NUM_THREADS", "MXNET_OMP_MAX_THREADS", "MXNET_ENGINE_TYPE")
        },
        "devices": {
            device.name: ("usable: " if device.usable else "not usable: ") + device.reason
            for device in devices()
        },
    }


def _processor() -> str:
    """Return the processor's name."""
    if sys.platform == "linux":
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.lower().startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
