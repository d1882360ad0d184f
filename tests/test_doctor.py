"""`python -m nnbook doctor`: what it says, and its exit status, also where nothing works."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as onp
import pytest

from nnbook import __main__ as commands
from nnbook import __version__
from nnbook.data import _mnist
from nnbook.gluon import devices as _devices


def run_doctor(*options, path=None):
    environment = dict(os.environ)
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, "-m", "nnbook", "doctor", *options]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=120, check=False
    )


def pretend_installed(folder, name, version):
    """Make a distribution's metadata that is found before the real one."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")


def line_of(output, topic):
    return next(line for line in output.splitlines() if line[8:].startswith(topic))


def test_here_everything_works():
    done = run_doctor("--no-speed")
    assert (done.returncode, done.stderr) == (0, "")
    assert "BROKEN" not in done.stdout
    assert line_of(done.stdout, "nnbook").endswith(__version__)
    assert line_of(done.stdout, "python").split()[2:7] == [
        platform.python_version(), "(3.10", "to", "3.14", "work)",
    ]  # fmt: skip
    assert line_of(done.stdout, "numpy").endswith(f"{onp.__version__} (1.23.5 to 2.x work)")
    assert "1.9.1 (C" in line_of(done.stdout, "mxnet")
    assert "usable, always there" in line_of(done.stdout, "cpu(0)")
    assert "OMP_NUM_THREADS=" in line_of(done.stdout, "threads")
    assert "every SHA-256 as published" in line_of(done.stdout, "data")
    assert line_of(done.stdout, "gpu")


@pytest.mark.parametrize("version", ["1.22.4", "3.0.0"])
def test_a_numpy_that_does_not_fit_is_reported(version, tmp_path):
    pretend_installed(tmp_path, "numpy", version)
    done = run_doctor(path=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    for topic in ("numpy", "mxnet"):
        line = line_of(done.stdout, topic)
        assert line.startswith("BROKEN")
        assert f"this is NumPy {version}" in line
        assert "python -m pip install" in line
    assert done.stdout.rstrip().endswith("2 broken: see above for the way out.")


def without(*names):
    """Run the doctor where some distributions and the modules of their names are missing."""
    code = f"""
import importlib.metadata, importlib.util, sys
version, find_spec = importlib.metadata.version, importlib.util.find_spec
def no_version(name):
    if name in {names}:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
def no_spec(name, package=None):
    return None if name in {names} else find_spec(name, package)
importlib.metadata.version, importlib.util.find_spec = no_version, no_spec
for name in {names}:
    sys.modules[name] = None
from nnbook.__main__ import main
raise SystemExit(main(["doctor"]))
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_without_mxnet_the_core_works():
    done = without("mxnet")
    assert (done.returncode, done.stderr) == (0, "")
    line = line_of(done.stdout, "mxnet")
    assert line.startswith("note")
    assert "not installed, for training Gluon networks; all else works without" in line
    assert "mxnet==1.9.1" in line
    assert "every SHA-256 as published" in line_of(done.stdout, "data")
    assert line_of(done.stdout, "gpu"), "without MXNet the driver is asked all the same"
    assert "speed" not in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("The core of nnbook works here.")


def test_without_scipy_nothing_is_said_to_work():
    done = without("scipy")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    line = line_of(done.stdout, "scipy")
    assert line.startswith("BROKEN")
    assert "pip install scipy" in line


def test_two_wheels_are_reported(tmp_path):
    pretend_installed(tmp_path, "mxnet-cu117", "1.9.1")
    pretend_installed(tmp_path, "mxnet", "1.9.1")
    done = run_doctor(path=tmp_path)
    assert done.returncode == 1
    assert "pip uninstall -y mxnet mxnet-cu117" in line_of(done.stdout, "mxnet")


def test_an_mxnet_that_cannot_be_imported_is_reported(tmp_path):
    (tmp_path / "mxnet.py").write_text("raise OSError('libgomp.so.1: cannot open shared object')")
    done = run_doctor(path=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "apt-get install libgomp1" in line_of(done.stdout, "mxnet")
    assert line_of(done.stdout, "gpu"), "without MXNet the driver is asked all the same"


def test_what_needs_mxnet_raises_where_it_cannot_work_and_the_rest_does_not(tmp_path):
    pretend_installed(tmp_path, "numpy", "3.0.0")
    code = "import nnbook; from nnbook import schedules; from nnbook.runtime import mx"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert "ImportError: nnbook needs NumPy 1.23.5 to 2.x, and this is NumPy 3.0.0" in done.stderr


@pytest.fixture
def damaged_mnist(tmp_path, monkeypatch):
    """A copy of the data in which the smallest file has lost its end."""
    folder = shutil.copytree(_mnist.FOLDER, tmp_path / "mnist")
    name = "t10k-labels-idx1-ubyte.xz"
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    monkeypatch.setattr(_mnist, "FOLDER", folder)
    return folder / name


def test_damaged_data_are_reported(damaged_mnist, capsys):
    assert commands.main(["doctor", "--no-speed"]) == 1
    line = line_of(capsys.readouterr().out, "data")
    assert line.startswith("BROKEN")
    assert str(damaged_mnist) in line


@pytest.mark.parametrize(
    ("name", "extra"), [(n, e) for n, (e, _) in commands.OPTIONAL_PACKAGES.items()]
)
def test_a_missing_extra_is_no_failure(name, extra, monkeypatch, capsys):
    found = commands._install.installed_version
    monkeypatch.setattr(
        commands._install, "installed_version", lambda n: None if n == name else found(n)
    )
    assert commands.main(["doctor", "--no-speed"]) == 0
    line = line_of(capsys.readouterr().out, name)
    assert line.startswith("note")
    assert line.endswith(f'python -m pip install "nnbook[{extra}]"')


def test_the_extras_that_it_names_bring_what_is_missing():
    root = Path(__file__).resolve().parents[1]
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    for name, (extra, _) in commands.OPTIONAL_PACKAGES.items():
        (found,) = re.findall(rf"^{extra} = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
        assert f'"{name}' in found


def test_an_unusable_gpu_is_no_failure(monkeypatch, capsys):
    devices = (
        _devices.Device("cpu(0)", "a processor", True, "always there"),
        _devices.Device("gpu(0)", "NVIDIA H200", False, "no code for it"),
    )
    monkeypatch.setattr("nnbook.gluon.runtime.devices", lambda: devices)
    assert commands.main(["doctor", "--no-speed"]) == 0
    line = line_of(capsys.readouterr().out, "gpu(0)")
    assert line.startswith("note")
    assert line.endswith("NVIDIA H200: not usable, no code for it")


def test_without_mxnet_the_gpus_are_listed_untried(monkeypatch):
    driver = _devices.Driver((_devices.Gpu(0, "NVIDIA A100", (8, 0)),))
    monkeypatch.setattr(_devices, "query_driver", lambda: driver)
    (finding,) = commands._check_driver()
    assert (finding.state, finding.topic) == ("note", "gpu(0)")
    assert "NVIDIA A100, compute capability 8.0: not tried" in finding.text


@pytest.mark.parametrize("index", [0, 1])
def test_speed_is_measured(index):
    mx = pytest.importorskip("nnbook.runtime", exc_type=ImportError).mx
    milliseconds, gigaflops = commands.measure(mx.cpu(index), seconds=0.1)
    assert 0.01 < milliseconds < 1000
    assert 0.1 < gigaflops < 1e5


def test_the_speed_figure_is_printed(monkeypatch):
    monkeypatch.setattr(commands, "measure", lambda device: (1.5, 42.4))
    findings = list(commands._measure_speed())
    assert findings[0].topic == "speed cpu(0)"
    assert findings[0].text.startswith("1.500 ms per training step of a 784-100-10 net")
    assert "42 GFLOP/s" in findings[0].text


def test_a_check_that_raises_is_a_finding():
    def check():
        yield commands.Finding("ok", "first", "works")
        raise RuntimeError("lost")

    findings = list(commands._guarded("second", check))
    assert findings == [
        commands.Finding("ok", "first", "works"),
        commands.Finding("broken", "second", "RuntimeError: lost"),
    ]


@pytest.mark.parametrize("arguments", [[], ["nurse"], ["doctor", "--fast"]])
def test_unknown_commands(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        commands.main(arguments)
    assert "usage: nnbook" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        commands.main(["--version"])
    assert capsys.readouterr().out == f"nnbook {__version__}\n"
