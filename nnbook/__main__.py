"""Commands: ``python -m nnbook doctor`` says what works here and what does not, ``search`` how a
search stands.

The core needs NumPy and SciPy. What else is missing is a note that names the extra which brings it.
The doctor imports MXNet, and everything that needs it, only inside its checks: it is there to
explain why that fails.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from nnbook import __version__
from nnbook.gluon import devices as _devices
from nnbook.gluon import install as _install

__all__ = ["Finding", "main"]

MARKS = {"ok": "ok    ", "note": "note  ", "broken": "BROKEN"}
# What can be installed besides: the extra that brings it, and what it is for.
OPTIONAL_PACKAGES = {
    "matplotlib": ("plots", "for nnbook.plots and explore"),
    "optuna": ("search", "for searches that learn from their trials"),
    "tqdm": ("search", "for progress bars"),
    "distributed": ("cluster", "for searches on several processes or machines"),
    "ipywidgets": ("notebook", "for sliders in a notebook"),
    "jupyterlab": ("notebook", "for the chapters as notebooks"),
    "jupyter-book": ("book", "for building the site"),
}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes
    ----------
    state : str
        ``ok``, ``note`` (works without it) or ``broken`` (needed, and does not work).
    topic : str
        What was looked at.
    text : str
        What was found, with the way out when it is broken.
    """

    state: str
    topic: str
    text: str


def examine(speed: bool = True) -> Iterator[Finding]:
    """Yield the findings one by one, each check guarded against the failure of those before.

    Parameters
    ----------
    speed : bool
        Whether to measure the speed, which takes two seconds.
    """
    yield Finding("ok", "nnbook", __version__)
    yield from _guarded("python", _check_python)
    yield from _guarded("packages", _check_packages)
    yield from _guarded("data", _check_data)
    yield from _guarded("mxnet", _check_mxnet)
    works = "nnbook.gluon.runtime" in sys.modules
    yield from _guarded("devices", _check_devices if works else _check_driver)
    if works:
        yield from _guarded("threads", _check_threads)
        if speed:
            yield from _guarded("speed", _measure_speed)


def _guarded(topic: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield a check's findings; an exception is a finding too."""
    try:
        yield from check()
    except ImportError as error:
        yield Finding("broken", topic, str(error))
    except Exception as error:
        yield Finding("broken", topic, f"{type(error).__name__}: {error}")


def _check_python() -> Iterator[Finding]:
    _install.check_python()
    where = f"{platform.system()} {platform.machine()}, {sys.executable}"
    yield Finding("ok", "python", f"{platform.python_version()} (3.10 to 3.14 work) on {where}")


def _check_packages() -> Iterator[Finding]:
    yield from _guarded("numpy", _check_numpy)
    yield from _guarded("scipy", _check_scipy)
    for name, (extra, purpose) in OPTIONAL_PACKAGES.items():
        version = _install.installed_version(name)
        way_out = f'not installed, {purpose}. Run: python -m pip install "nnbook[{extra}]"'
        yield Finding("ok" if version else "note", name, version or way_out)


def _check_numpy() -> Iterator[Finding]:
    _install.check_numpy()
    yield Finding("ok", "numpy", f"{_install.installed_version('numpy')} (1.23.5 to 2.x work)")


def _check_scipy() -> Iterator[Finding]:
    version = _install.installed_version("scipy")
    way_out = "not installed. Run: python -m pip install scipy"
    yield Finding("ok" if version else "broken", "scipy", version or way_out)


def _check_mxnet() -> Iterator[Finding]:
    if not _install.mxnet_wheels() and importlib.util.find_spec("mxnet") is None:
        text = "not installed, for training Gluon networks; all else works without"
        yield Finding("note", "mxnet", f"{text}. {_install._how_to_install()}")
        return
    start = time.perf_counter()
    from nnbook.gluon import runtime

    seconds = time.perf_counter() - start
    cuda = runtime.mx.runtime.Features().is_enabled("CUDA")
    built = "CUDA build, which nnbook was not tested with" if cuda else "CPU build"
    wheel = ", ".join(_install.mxnet_wheels()) or "no known wheel"
    took = f", imported in {seconds:.1f} s" if seconds > 0.1 else ""
    yield Finding("ok", "mxnet", f"{runtime.mx.__version__} ({built}, {wheel}){took}")


def _check_devices() -> Iterator[Finding]:
    from nnbook.gluon import runtime

    for device in runtime.devices():
        about = f"{device.description}: " if device.description else ""
        if device.usable:
            yield Finding("ok", device.name, f"{about}usable, {device.reason}")
        else:
            yield Finding("note", device.name, f"{about}not usable, {device.reason}")


def _check_driver() -> Iterator[Finding]:
    """Describe the GPUs without MXNet, which could not be imported."""
    driver = _devices.query_driver()
    for gpu in driver.gpus:
        major, minor = gpu.capability
        about = f"{gpu.name}, compute capability {major}.{minor}: not tried without MXNet"
        yield Finding("note", f"gpu({gpu.index})", about)
    if not driver.gpus:
        yield Finding("note", "gpu", f"no GPU here: {driver.reason}")


def _check_threads() -> Iterator[Finding]:
    from nnbook.gluon import runtime

    facts = runtime.environment()
    settings = [f"{name}={value}" for name, value in facts["threads"].items() if value is not None]
    yield Finding("ok", "threads", f"{', '.join(settings)} on {facts['cores']} cores")


def _check_data() -> Iterator[Finding]:
    from nnbook import data

    data.verify_mnist()
    yield Finding("ok", "data", "MNIST: 4 files, every SHA-256 as published")


def _measure_speed() -> Iterator[Finding]:
    from nnbook.gluon import runtime

    for device in runtime.devices():
        if device.usable:
            milliseconds, gigaflops = measure(runtime.as_device(device.name))
            yield Finding(
                "ok",
                f"speed {device.name}",
                f"{milliseconds:.3f} ms per training step of a 784-100-10 net at batch size 32, "
                f"{gigaflops:.0f} GFLOP/s in a 1024 × 1024 matrix product (float32)",
            )


def measure(device: Any, seconds: float = 1.0) -> tuple[float, float]:
    """Measure the speed of one device.

    Parameters
    ----------
    device : mxnet.Context
        Where to compute.
    seconds : float
        How long each of the two measurements lasts.

    Returns
    -------
    milliseconds : float
        Time of a training step (forward, backward, momentum update) of a 784-100-10 sigmoid net,
        batch size 32, mean over the run.
    gigaflops : float
        10⁹ floating-point operations per second in a product of two 1024 × 1024 matrices,
        2 · 1024³ operations each.
    """
    from nnbook.gluon.runtime import mx, np, npx

    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(100, activation="sigmoid"), mx.gluon.nn.Dense(10))
    net.initialize(ctx=device)
    net.hybridize(static_alloc=True, static_shape=True)
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    trainer = mx.gluon.Trainer(
        net.collect_params(), "sgd", {"learning_rate": 0.01, "momentum": 0.9}
    )
    images = np.ones((32, 784), ctx=device) * 0.5
    labels = np.zeros((32,), ctx=device)
    matrix = np.ones((1024, 1024), ctx=device)

    def step() -> None:
        with mx.autograd.record():
            value = loss(net(images), labels)
        value.backward()
        trainer.step(32)

    def multiply() -> None:
        npx.fully_connected(matrix, matrix, no_bias=True, num_hidden=1024)

    step_seconds = _seconds_per_call(step, seconds, 50)
    product_seconds = _seconds_per_call(multiply, seconds, 2)
    return 1e3 * step_seconds, 2 * 1024**3 / product_seconds / 1e9


def _seconds_per_call(function: Callable[[], None], seconds: float, block: int) -> float:
    """Return the mean time of a call, waiting for the results after every block of calls."""
    from nnbook.gluon.runtime import npx

    for _ in range(block):
        function()
    npx.waitall()
    calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        for _ in range(block):
            function()
        npx.waitall()  # nothing has run until it has been waited for
        calls += block
    return elapsed / calls


def doctor(speed: bool = True) -> int:
    """Print the findings and return the exit status: 1 when something needed is broken.

    Parameters
    ----------
    speed : bool
        Whether to measure the speed, which takes two seconds.
    """
    broken, mxnet = 0, True
    for finding in examine(speed):
        print(f"{MARKS[finding.state]}  {finding.topic:<13} {finding.text}", flush=True)
        broken += finding.state == "broken"
        mxnet &= (finding.state, finding.topic) != ("note", "mxnet")
    if broken:
        print(f"\n{broken} broken: see above for the way out.")
    elif mxnet:
        print("\nEverything that nnbook needs works here.")
    else:
        print("\nThe core of nnbook works here. Training Gluon networks needs MXNet: see above.")
    return 1 if broken else 0


def show_search(path: str, stop: list[int]) -> int:
    """Print how a search stands, and ask it to stop trials; return the exit status.

    Parameters
    ----------
    path : str
        The file of the search.
    stop : list of int
        Numbers of trials.
    """
    from nnbook import search

    try:
        for trial in stop:
            seeds = ", ".join(map(str, search.stop_trial(path, trial)))
            print(f"trial {trial} stops at its next checkpoint (seed {seeds})")
        print(search.inspect(path))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : list of str, optional
        The words after ``python -m nnbook``; by default those of the command line.

    Returns
    -------
    int
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="nnbook", description="A textbook that runs.")
    parser.add_argument("--version", action="version", version=f"nnbook {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    check = commands.add_parser("doctor", help="say what works on this machine and what does not")
    check.add_argument("--no-speed", action="store_true", help="skip the two-second measurement")
    show = commands.add_parser("search", help="show how a search stands: table, curves, warnings")
    show.add_argument("file", help="what Search.run was given as its path")
    show.add_argument(
        "--stop", type=int, action="append", default=[], metavar="TRIAL", help="stop a trial"
    )
    chosen = parser.parse_args(arguments)
    if chosen.command == "search":
        return show_search(chosen.file, chosen.stop)
    return doctor(speed=not chosen.no_speed)


if __name__ == "__main__":
    sys.exit(main())
