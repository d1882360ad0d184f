"""Which devices there are, and why each is or is not usable.

Run as a script, this file asks the NVIDIA driver and prints the answer as JSON. That happens in a
process of its own, because a process that has touched the driver can no longer fork safely; the
script therefore imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUERY_SECONDS = 30
TRIAL_SECONDS = 180  # the first CUDA call of a process loads hundreds of megabytes

# The smallest computation that needs the wheel's own kernels, cuBLAS and cuDNN.
TRIAL = """
from nnbook.gluon.runtime import mx, np, npx
x = np.ones((64, 64), ctx=mx.gpu({index}))
total = float(npx.relu(npx.fully_connected(x, x, no_bias=True, num_hidden=64)).sum())
mx.nd.waitall()
raise SystemExit(None if total == 64**3 else f"wrong result: {{total}} instead of {{64**3}}")
"""


@dataclass(frozen=True)
class Device:
    """A device and whether MXNet can compute on it.

    Attributes
    ----------
    name : str
        As in ``cpu(0)`` or ``gpu(0)``; plain ``gpu`` when there is none.
    description : str
        The product's name, if known.
    usable : bool
        Whether MXNet can compute on it.
    reason : str
        Why it is, or is not, usable.
    """

    name: str
    description: str
    usable: bool
    reason: str


@dataclass(frozen=True)
class Gpu:
    """A GPU as the driver describes it: index, name and compute capability (major, minor)."""

    index: int
    name: str
    capability: tuple[int, int]


@dataclass(frozen=True)
class Driver:
    """What the NVIDIA driver answered: its GPUs, or the reason why there are none."""

    gpus: tuple[Gpu, ...] = ()
    reason: str = ""


def compiled_for(wheel: str | None) -> tuple[tuple[int, int], ...]:
    """Return the compute capabilities that a wheel such as ``mxnet-cu117`` has machine code for.

    Read from the wheels with cuobjdump. They hold no PTX, so the driver cannot compile them for
    anything else. An unknown build returns an empty tuple.
    """
    if wheel is None or not wheel.startswith("mxnet-cu"):
        return ()
    version = int(wheel.removeprefix("mxnet-cu"))
    capabilities = [(5, 0), (6, 0), (7, 0)]
    if version >= 110:
        capabilities.append((8, 0))
    if version >= 112:
        capabilities.append((8, 6))
    return tuple(capabilities)


def runs_on(capability: tuple[int, int], compiled: tuple[tuple[int, int], ...]) -> bool:
    """Return whether a GPU runs code compiled for these capabilities.

    Machine code runs on GPUs of the same major capability and the same or a newer minor one.
    """
    return any(capability[0] == major and capability[1] >= minor for major, minor in compiled)


def survey(
    cuda_build: bool,
    wheel: str | None,
    driver: Driver,
    trial: Callable[[int], str],
    processor: str = "",
) -> tuple[Device, ...]:
    """Judge every device.

    Parameters
    ----------
    cuda_build : bool
        Whether the imported MXNet was built with CUDA.
    wheel : str or None
        The installed distribution, as in ``mxnet-cu117``.
    driver : Driver
        What the NVIDIA driver said.
    trial : callable
        Computes on the GPU with the given index; returns an empty string or what went wrong.
    processor : str
        The processor's name.

    Returns
    -------
    tuple of Device
        The CPU first, then every GPU, or one entry that says why there is none.
    """
    devices = [Device("cpu(0)", processor, True, "always there")]
    if not driver.gpus:
        devices.append(Device("gpu", "", False, f"no GPU here: {driver.reason}"))
    for gpu in driver.gpus:
        reason = _refusal(gpu, cuda_build, wheel) or trial(gpu.index)
        major, minor = gpu.capability
        devices.append(
            Device(
                f"gpu({gpu.index})",
                f"{gpu.name}, compute capability {major}.{minor}",
                not reason,
                reason or "a small computation on it gave the right result",
            )
        )
    return tuple(devices)


def _refusal(gpu: Gpu, cuda_build: bool, wheel: str | None) -> str:
    """Return why a GPU cannot work with this build, or an empty string."""
    if not cuda_build:
        return (
            "the installed MXNet is the CPU build (to change: python -m pip uninstall -y mxnet, "
            'then python -m pip install "nnbook[gpu]")'
        )
    compiled = compiled_for(wheel)
    if compiled and not runs_on(gpu.capability, compiled):
        have = ", ".join(f"{major}.{minor}" for major, minor in compiled)
        return (
            f"{wheel} has no code for compute capability "
            f"{gpu.capability[0]}.{gpu.capability[1]}, only for {have} and newer ones of the same "
            "major number"
        )
    return ""


def query_driver(command: list[str] | None = None, timeout: float = QUERY_SECONDS) -> Driver:
    """Ask the NVIDIA driver, in a process of its own, which GPUs there are.

    Parameters
    ----------
    command : list of str, optional
        The command that prints the answer; by default this file.
    timeout : float
        Seconds after which the driver counts as hung.
    """
    command = command or [sys.executable, "-I", str(Path(__file__).resolve())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=True)
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return Driver(reason=f"the NVIDIA driver did not answer within {timeout:g} s")
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        return Driver(reason=f"the NVIDIA driver could not be asked ({error})")
    gpus = tuple(Gpu(g["index"], g["name"], tuple(g["capability"])) for g in answer["gpus"])
    return Driver(gpus, answer["reason"])


def try_gpu(index: int, code: str = TRIAL, timeout: float = TRIAL_SECONDS) -> str:
    """Compute on a GPU in a subprocess, wait for the result and check it.

    Parameters
    ----------
    index : int
        The GPU's number.
    code : str
        The Python program; ``{index}`` is replaced.
    timeout : float
        Seconds after which it counts as failed.

    Returns
    -------
    str
        Empty, or what went wrong.
    """
    paths = [str(Path(__file__).resolve().parent.parent), *filter(None, sys.path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", code.format(index=index)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment
        )
    except subprocess.TimeoutExpired:
        return f"a small computation on it did not end within {timeout:g} s"
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return f"a small computation on it failed: {lines[-1]}"


def ask_libcuda(library: Any = None) -> dict[str, Any]:
    """Ask ``libcuda`` for the number, names and compute capabilities of the GPUs.

    Parameters
    ----------
    library : optional
        The driver's library; by default ``libcuda.so.1`` is loaded.

    Returns
    -------
    dict
        ``gpus``, a list of index, name and capability, and ``reason``, why it is empty.
    """
    if library is None:
        try:
            library = ctypes.CDLL("libcuda.so.1")
        except OSError:
            return {"gpus": [], "reason": "no NVIDIA driver (libcuda.so.1 was not found)"}
    count = ctypes.c_int()
    for call in (lambda: library.cuInit(0), lambda: library.cuDeviceGetCount(ctypes.byref(count))):
        status = call()
        if status:
            known = {100: "it sees no GPU", 803: "its version does not match the kernel's"}
            reason = known.get(status, "see the CUDA driver's error codes")
            return {"gpus": [], "reason": f"the NVIDIA driver reports error {status} ({reason})"}
    if not count.value:
        return {"gpus": [], "reason": "the NVIDIA driver sees no GPU"}
    return {"gpus": [_describe(library, index) for index in range(count.value)], "reason": ""}


def _describe(library: Any, index: int) -> dict[str, Any]:
    """Return the index, name and compute capability of one GPU."""
    handle, value = ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(128)
    library.cuDeviceGet(ctypes.byref(handle), index)
    library.cuDeviceGetName(name, len(name), handle)
    capability = []
    for attribute in (75, 76):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
        library.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle)
        capability.append(value.value)
    return {"index": index, "name": name.value.decode(errors="replace"), "capability": capability}


if __name__ == "__main__":
    print(json.dumps(ask_libcuda()))
