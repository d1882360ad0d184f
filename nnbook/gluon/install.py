"""Import MXNet on a NumPy and a Python younger than it, or say exactly what to do.

Only the standard library is imported here until the checks have passed, so that every failure ends
in a message with the way out.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
import warnings
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from types import ModuleType
from typing import Any

from nnbook.gluon import quadmath

CPU_WHEEL = "mxnet"
GPU_WHEELS = tuple(
    f"mxnet-cu{version}" for version in (100, 101, 102, 110, 112, 113, 114, 115, 116, 117)
)
# Its wheel asks for NumPy 1, which has no wheels for these Pythons; with nnbook NumPy 2 does.
_APART = " --no-deps" if sys.version_info >= (3, 13) else ""
INSTALL_CPU = f'python -m pip install{_APART} "mxnet==1.9.1"'
INSTALL_GPU = 'python -m pip install "nnbook[gpu]"'

# What libmxnet.so of the CUDA 11 wheels links against, each after the libraries it needs itself.
CUDA_LIBRARIES = (
    "libcudart.so.11.0",
    "libnvToolsExt.so.1",
    "libnvrtc-builtins.so.11.8",
    "libnvrtc.so.11.2",
    "libcublasLt.so.11",
    "libcublas.so.11",
    "libcufft.so.10",
    "libcurand.so.10",
    "libcusparse.so.11",
    "libcusolver.so.11",
    "libnccl.so.2",
    "libcudnn.so.8",
)


def check_python(version: tuple[int, ...] | None = None) -> None:
    """Raise ImportError unless Python is 3.10 to 3.14."""
    found = tuple(sys.version_info[:3]) if version is None else version
    if not (3, 10) <= found[:2] <= (3, 14):
        raise ImportError(
            f"nnbook needs Python 3.10 to 3.14, and this is Python "
            f"{'.'.join(map(str, found))} ({sys.executable}). MXNet 1.9.1 is not known to work on "
            "others. Make an environment with one of those, for example: "
            "python3.11 -m venv .venv"
        )


def check_numpy(version: str | None = None) -> None:
    """Raise ImportError unless NumPy is at least 1.23.5 and older than 3."""
    found = installed_version("numpy") if version is None else version
    way_out = 'python -m pip install "numpy>=1.23.5,<3"'
    if found is None:
        raise ImportError(f"nnbook needs NumPy, and it is not installed. Run: {way_out}")
    digits = [int(part) if part.isdigit() else 0 for part in found.split(".")[:3]]
    if not (1, 23, 5) <= tuple(digits) < (3,):
        raise ImportError(
            f"nnbook needs NumPy 1.23.5 to 2.x, and this is NumPy {found}, with which MXNet 1.9.1 "
            f"does not work. Run: {way_out}  and restart Python."
        )


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def mxnet_wheels() -> tuple[str, ...]:
    """Return the names of the installed distributions that provide the module ``mxnet``."""
    return tuple(name for name in (CPU_WHEEL, *GPU_WHEELS) if installed_version(name))


def check_wheels(wheels: tuple[str, ...] | None = None, importable: bool | None = None) -> None:
    """Raise ImportError when no MXNet wheel is installed, or more than one."""
    if wheels is None:
        wheels = mxnet_wheels()
    if len(wheels) > 1:
        raise ImportError(
            f"Several MXNet wheels are installed: {', '.join(wheels)}. They overwrite each other's "
            f"files, so keep one. Run: python -m pip uninstall -y {' '.join(wheels)}  and then "
            f"{INSTALL_CPU}  or, for an NVIDIA GPU, {INSTALL_GPU}"
        )
    if importable is None:
        importable = importlib.util.find_spec("mxnet") is not None
    if not wheels and not importable:
        raise ImportError(f"nnbook needs MXNet, and it is not installed. {_how_to_install()}")


def _how_to_install(system: str | None = None, machine: str | None = None) -> str:
    """Return the command that installs MXNet here, or what to do where there is no wheel."""
    system = system or platform.system()
    machine = machine or platform.machine()
    if system == "Windows" or (system == "Darwin" and machine == "arm64"):
        return (
            f"There is no MXNet wheel for {system} on {machine}: use the Dockerfile of the nnbook "
            "repository" + (", or WSL." if system == "Windows" else ".")
        )
    return f'Run: {INSTALL_CPU}  (the extra "nnbook[cpu]") or, for an NVIDIA GPU, {INSTALL_GPU}'


def prepare() -> None:
    """Get ready for an import of MXNet: called by the finder, before MXNet is loaded.

    Raises
    ------
    ImportError
        When Python, NumPy or the installed wheels do not fit; the message has the way out.
    """
    check_python()
    check_numpy()
    check_wheels()
    forget_failed_import()
    cuda_build = any(wheel in GPU_WHEELS for wheel in mxnet_wheels())
    if choose_threads(cuda_build):
        threads_may_vary.append(True)
    quadmath.stand_in()
    if cuda_build:
        preload_cuda()


def execute(loader: Any, module: ModuleType) -> None:
    """Execute a module of MXNet, whose imports of NumPy give it NumPy as it knew it."""
    outermost = module.__name__ == "mxnet"
    if outermost and not hasattr(module, "__version__"):  # else it is reloaded
        prepare()
    from nnbook.gluon import old_numpy  # only now: there may be no NumPy to view

    module.__dict__["__builtins__"] = old_numpy.builtins(module.__name__)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _run(loader, module)
        except Exception as error:
            if not outermost:
                raise
            raise ImportError(explain(error)) from error
    if outermost:
        with silenced():
            module.nd.waitall()  # starts the engine, which prints its name if it is not the default


# Methods that NumPy's arrays have lost, module by module: text of the source, and what it is now.
_REWRITTEN = {"mxnet.recordio": (".tostring()", ".tobytes()")}


def _run(loader: Any, module: ModuleType) -> None:
    if module.__name__ not in _REWRITTEN:
        loader.exec_module(module)
        return
    old, new = _REWRITTEN[module.__name__]
    source = loader.get_source(module.__name__).replace(old, new)
    exec(compile(source, loader.get_filename(module.__name__), "exec"), module.__dict__)


def import_mxnet() -> ModuleType:
    """Import MXNet, leaving NumPy and the warning filters as they were.

    Returns
    -------
    module
        ``mxnet``, with its NumPy interface imported.

    Raises
    ------
    ImportError
        When Python, NumPy or the installed wheels do not fit; the message has the way out.
    """
    check_python()
    check_numpy()
    check_wheels()  # here too: a missing MXNet never gets as far as being loaded
    mxnet = importlib.import_module("mxnet")
    _adopt()
    return mxnet


def _adopt() -> None:
    """Give text as MXNet writes it to an MXNet that was imported before nnbook.

    That succeeds where NumPy still has the old names, or somebody gave them back to it.
    """
    from nnbook.gluon import old_numpy

    for name in old_numpy.WRITES_TEXT & sys.modules.keys():
        vars(sys.modules[name]).setdefault("str", old_numpy.text)


threads_may_vary: list[bool] = []  # filled when the number of threads is not the user's choice


def choose_threads(cuda_build: bool, environ: MutableMapping[str, str] = os.environ) -> bool:
    """Set the variables that MXNet reads when it is imported, but none that is set already.

    ``OMP_NUM_THREADS=1``: more threads make small nets slower. ``MXNET_ENGINE_TYPE=NaiveEngine``
    on one thread of a CPU build: the default engine hands every small operation to another thread;
    without it steps are faster, errors surface where they happen, and a clock means something.
    Together with more OpenMP threads that engine hangs in a forked process, so there the default
    one stays. ``MXNET_SUBGRAPH_VERBOSE=0``: else every traced net prints a line.

    `nnbook.runtime.thread_count` divides large work among threads of Python, if the number is not
    the user's.

    Parameters
    ----------
    cuda_build : bool
        Whether a CUDA build is about to be imported.
    environ : mapping
        The environment variables, changed in place.

    Returns
    -------
    bool
        Whether the number of threads was left to nnbook.
    """
    ours = not {"MXNET_OMP_MAX_THREADS", "OMP_NUM_THREADS"} & environ.keys()
    if ours:
        environ["OMP_NUM_THREADS"] = "1"
    environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")
    threads = environ.get("MXNET_OMP_MAX_THREADS", "1"), environ.get("OMP_NUM_THREADS")
    if not cuda_build and threads == ("1", "1"):
        environ.setdefault("MXNET_ENGINE_TYPE", "NaiveEngine")
    return ours


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Drop what C++ code writes to the standard error stream, past Python."""
    try:
        kept = os.dup(2)
    except OSError:  # closed, as in a daemon: nothing to drop
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def forget_failed_import() -> None:
    """Remove what an earlier ``import mxnet``, before nnbook, left behind when it failed.

    The package itself is gone from `sys.modules` then, but its submodules are not, and without
    this the second import would stop at the first of them.
    """
    for name in [name for name in sys.modules if name.startswith("mxnet.")]:
        del sys.modules[name]


def preload_cuda(folders: list[Path] | None = None) -> list[str]:
    """Load the CUDA 11 libraries of the ``nvidia-*-cu11`` wheels, so that MXNet finds them.

    Parameters
    ----------
    folders : list of Path, optional
        Where to look; by default the folders of the installed wheels.

    Returns
    -------
    list of str
        The libraries that were loaded, in order. What no wheel has is left to the system's loader.
    """
    if folders is None:
        spec = importlib.util.find_spec("nvidia")
        roots = (spec.submodule_search_locations or ()) if spec else ()
        folders = [folder for root in roots for folder in sorted(Path(root).glob("*/lib"))]
    loaded = []
    for library in CUDA_LIBRARIES:
        path = next((f / library for f in folders if (f / library).is_file()), None)
        if path is not None:
            try:
                ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
            except OSError as error:
                raise ImportError(
                    f"The CUDA library {path} could not be loaded: {error}. "
                    f"Run: {INSTALL_GPU} --force-reinstall"
                ) from error
            loaded.append(library)
    return loaded


def explain(error: BaseException) -> str:
    """Return what to do about an exception that ``import mxnet`` raised."""
    text = f"{type(error).__name__}: {error}"
    if "libcuda.so" in text:
        wheels = " ".join(mxnet_wheels())
        return (
            f"The GPU build of MXNet cannot be imported on this machine: no GPU here, or no NVIDIA "
            f"driver ({error}). Install the driver (in a container: start it with --gpus all), or "
            f"run: python -m pip uninstall -y {wheels}  and then {INSTALL_CPU}"
        )
    if "libgomp" in text or "libquadmath" in text:
        return (
            f"MXNet misses a library of the system ({error}). "
            "Run: apt-get install libgomp1  or your system's equivalent."
        )
    if any(library in text for library in ("libarmpl", "libamath", "libastring")):
        return (
            f"The aarch64 wheel of MXNet misses the Arm Performance Libraries ({error}). Use the "
            "Dockerfile of the nnbook repository, which shows what can stand in for them."
        )
    if isinstance(error, OSError) and ".so" in text:
        return (
            f"MXNet misses a library ({error}). A GPU build needs the CUDA 11 libraries; "
            f"run: {INSTALL_GPU}"
        )
    return (
        f"MXNet cannot be imported ({text}). If it was imported before nnbook, restart Python and "
        "import nnbook first; otherwise reinstall it: python -m pip install --force-reinstall "
        "--no-deps mxnet==1.9.1"
    )
