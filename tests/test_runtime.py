"""What `import nnbook` does and leaves alone, the devices and why they are usable, the seeds."""

import json
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from types import SimpleNamespace

import numpy as onp
import pytest

import nnbook
from nnbook.gluon import devices as _devices
from nnbook.gluon import install as _install
from nnbook.gluon import runtime
from nnbook.gluon.devices import Device, Driver, Gpu
from nnbook.runtime import mx, np, npx

AMPERE = Gpu(0, "NVIDIA A100", (8, 0))
HOPPER = Gpu(0, "NVIDIA H200", (9, 0))
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MXNET_OMP_MAX_THREADS", "MXNET_ENGINE_TYPE")


METHODS = sorted({"fork", "spawn", "forkserver"} & set(multiprocessing.get_all_start_methods()))


def run_python(code, *options, environment=()):
    """Run a program in a fresh interpreter in which no thread variable is set."""
    clean = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=clean | dict(environment),
        timeout=120,
        check=False,
    )


def in_front(folder):
    """Return an import path with a folder in front of those that are set already."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


# ---------------------------------------------------------------------------------- the import


def test_import_imports_no_mxnet_and_prints_nothing():
    done = run_python(
        "import os, sys, warnings\n"
        "filters, environ = list(warnings.filters), dict(os.environ)\n"
        "import nnbook, nnbook\n"
        "heavy = {'mxnet', 'numpy', 'scipy', 'matplotlib', 'optuna', 'IPython'}\n"
        "assert not heavy & set(sys.modules)\n"
        "assert (filters, environ) == (warnings.filters, dict(os.environ))\n"
        "import numpy\n"
        "filters = list(warnings.filters)\n"
        "from nnbook.runtime import np\n"
        "assert float(np.ones((2, 2)).sum()) == 4\n"
        "assert filters == warnings.filters, warnings.filters\n",
        "-W",
        "error",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_takes_no_time():
    program = (
        "import time, numpy\n"
        "start = time.perf_counter()\n"
        "import nnbook\n"
        "print(time.perf_counter() - start)\n"
    )
    assert min(float(run_python(program).stdout) for _ in range(3)) < 0.06


def test_import_of_the_package_loads_no_heavy_module():
    done = run_python(
        "import sys, nnbook\n"
        "from nnbook import data, layers, losses, optim, training\n"
        "loaded = {'matplotlib', 'optuna', 'dask', 'IPython', 'ipywidgets'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    assert done.returncode == 0, done.stderr


def test_asking_where_mxnet_is_does_nothing_else():
    done = run_python(
        "import nnbook, importlib.util, os, sys\n"
        "environ = dict(os.environ)\n"
        "spec = importlib.util.find_spec('mxnet')\n"
        "assert spec.origin.endswith('__init__.py') and spec.submodule_search_locations\n"
        "assert not {'mxnet', 'numpy'} & set(sys.modules)\n"
        "assert environ == dict(os.environ)\n"
        "assert importlib.util.find_spec('mxnets') is None\n",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_anybody_can_import_mxnet_and_it_looks_as_usual(tmp_path):
    done = run_python(
        "import nnbook, numpy, warnings\n"
        "filters = list(warnings.filters)\n"
        "import mxnet as mx, mxnet.test_utils, mxnet.gluon.contrib.estimator, mxnet.rnn\n"
        "import importlib, inspect, pickle, importlib.resources\n"
        "assert filters == warnings.filters\n"
        "assert type(mx.__loader__) is type(mx.metric.__spec__.loader) is type(pickle.__loader__)\n"
        "assert inspect.getsource(mx.gluon.Block).startswith('class Block')\n"
        "assert inspect.getsource(mx.recordio.pack).startswith('def pack')\n"
        "assert importlib.resources.files('mxnet').joinpath('metric.py').is_file()\n"
        "assert pickle.loads(pickle.dumps(mx.gluon.nn.Dense)) is mx.gluon.nn.Dense\n"
        "array = pickle.loads(pickle.dumps(mx.np.ones((2,))))\n"
        "assert array.tolist() == [1, 1]\n"
        "before = mx.nd\n"
        "assert importlib.reload(mx) is mx and mx.nd is before\n"
        "importlib.reload(mx.metric)\n"
        "import nnbook.runtime; assert nnbook.runtime.mx is mx\n",
        "-W",
        "error",
        environment={"PYTHONPYCACHEPREFIX": str(tmp_path)},  # compiled anew, with its warnings
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_of_mxnet_in_threads():
    done = run_python(
        "import nnbook\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def work(n):\n"
        "    import mxnet as mx\n"
        "    with mx.util.np_shape(True):\n"
        "        return mx.nd.ones((n, 2)).asnumpy().sum()\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    print(*pool.map(work, range(1, 9)))\n"
    )
    assert done.stdout == "2.0 4.0 6.0 8.0 10.0 12.0 14.0 16.0\n", done.stderr


# By name: what joblib adds to multiprocessing's own depends on who has imported it.
@pytest.mark.parametrize("method", METHODS)
def test_import_of_mxnet_in_processes(method, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import nnbook, multiprocessing, numpy\n"
        "def work(size):\n"
        "    import mxnet as mx\n"
        "    return mx.nd.ones((size, numpy.int64(2)))\n"
        "if __name__ == '__main__':\n"
        f"    with multiprocessing.get_context({method!r}).Pool(2) as pool:\n"
        "        print([a.shape for a in pool.map(work, list(numpy.arange(1, 4)))])\n"
    )
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout == "[(1, 2), (2, 2), (3, 2)]\n", done.stderr


def test_failed_import_of_mxnet_before_nnbook_is_repaired():
    done = run_python(
        "import numpy\n"
        "class Refused(Exception): pass\n"
        "import sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'mxnet.gluon': raise Refused(name)\n"
        "finder = Finder(); sys.meta_path.insert(0, finder)\n"
        "try:\n"
        "    import mxnet\n"
        "except (Refused, AttributeError, OSError):\n"
        "    pass\n"
        "else:\n"
        "    raise SystemExit('it did not fail')\n"
        "sys.meta_path.remove(finder)\n"
        "assert any(name.startswith('mxnet.') for name in sys.modules)\n"
        "from nnbook.runtime import mx, np, npx\n"
        "net = mx.gluon.nn.HybridSequential()\n"
        "net.add(mx.gluon.nn.Dense(3, activation='tanh'), mx.gluon.nn.Dense(1))\n"
        "net.initialize(mx.init.Constant(0.5)); net.hybridize()\n"
        "x = np.ones((2, 4))\n"
        "trainer = mx.gluon.Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})\n"
        "with mx.autograd.record():\n"
        "    loss = net(x).sum()\n"
        "loss.backward(); trainer.step(1)\n"
        "before = 2 * 3 * 0.5 * numpy.tanh(4 * 0.5)\n"
        "assert abs(float(loss) - before) < 1e-5, float(loss)\n"
        "assert float(net(x).sum()) < before\n"
        "assert float(numpy.mean(np.arange(4.0))) == 1.5\n"
        "class Double(mx.autograd.Function):\n"
        "    def forward(self, v): return v * 2\n"
        "    def backward(self, g): return g * 2\n"
        "w = np.ones((2,)); w.attach_grad()\n"
        "with mx.autograd.record():\n"
        "    y = Double()(w).sum()\n"
        "y.backward(); assert w.grad.tolist() == [2, 2]\n"
    )
    assert done.returncode == 0, done.stderr


def test_plain_import_of_mxnet_fails_here_so_that_the_repair_is_needed():
    done = run_python(
        "try:\n    import mxnet\n"
        "except (AttributeError, ImportError, OSError):\n    print('failed')\n"
        "import nnbook\nfrom nnbook.runtime import np\nprint(float(np.ones(3).sum()))\n"
    )
    assert done.returncode == 0, done.stderr
    old = onp.lib.NumpyVersion(onp.__version__) < "1.24.0"  # it still has numpy.bool
    assert done.stdout == ("3.0\n" if old else "failed\n3.0\n")


def test_names_that_somebody_gave_back_to_numpy_do_not_mislead():
    done = run_python(
        "import numpy\n"
        "numpy.bool = numpy.bool_; numpy.int = numpy.int32; numpy.float = numpy.float32\n"
        "from nnbook.runtime import mx, np\n"
        "assert mx.np.bool is bool and np.ones(2)[True].shape == (1, 2)\n"
        "assert numpy.bool is numpy.bool_ and numpy.int is numpy.int32\n"
    )
    assert done.returncode == 0, done.stderr


def test_an_mxnet_that_was_imported_before_nnbook_is_adopted():
    done = run_python(
        "import sys, types, numpy, warnings\n"
        "from nnbook.gluon import old_numpy, quadmath\n"
        "quadmath.stand_in()\n"
        "finder = sys.meta_path.pop(0)\n"
        "for name, value in vars(old_numpy.view()).items():\n"
        "    if name not in vars(numpy): setattr(numpy, name, value)\n"
        "if sys.version_info >= (3, 12):\n"
        "    sys.modules['distutils'] = types.ModuleType('distutils')\n"
        "    version = sys.modules['distutils.version'] = types.ModuleType('distutils.version')\n"
        "    vars(version).update(vars(old_numpy._DISTUTILS_VERSION))\n"
        "import mxnet\n"
        "sys.meta_path.insert(0, finder)\n"
        "assert mxnet.metric.__builtins__ is vars(__builtins__)\n"
        "from nnbook.runtime import mx, np\n"
        "assert mx is mxnet\n"
        "assert np.ones((numpy.int64(2), 3)).shape == mx.nd.ones((numpy.int64(2), 3)).shape\n"
    )
    assert done.returncode == 0, done.stderr


def test_a_missing_library_names_the_command_and_can_be_installed_afterwards():
    done = run_python(
        "import ctypes, nnbook\n"
        "load = ctypes.CDLL\n"
        "def refuse(name, *rest, **options):\n"
        "    if 'mxnet' in str(name): raise OSError('libgomp.so.1: cannot open it')\n"
        "    return load(name, *rest, **options)\n"
        "ctypes.CDLL = refuse\n"
        "for _ in range(2):\n"
        "    try:\n        import mxnet\n"
        "    except ImportError as error:\n        print(error)\n"
        "ctypes.CDLL = load\n"
        "import mxnet\nprint(mxnet.nd.ones(2).sum().asscalar())\n"
    )
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first == second
    assert "apt-get install libgomp1" in first
    assert third == "2.0"


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 15, 0), (2, 7, 18), (4, 0, 0)])
def test_wrong_python(version):
    text = ".".join(map(str, version))
    with pytest.raises(ImportError, match=rf"3.10 to 3.14, and this is Python {text}.*venv"):
        _install.check_python(version)


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 11, 7), (3, 12, 9), (3, 13, 0), (3, 14, 8)])
def test_right_python(version):
    assert _install.check_python(version) is None


@pytest.mark.parametrize("version", ["1.23.4", "1.22.0", "3.0.0rc1", "3.1.0"])
def test_wrong_numpy(version):
    with pytest.raises(ImportError) as caught:
        _install.check_numpy(version)
    assert f"NumPy {version}" in str(caught.value)
    assert 'pip install "numpy>=1.23.5,<3"' in str(caught.value)


@pytest.mark.parametrize("version", ["1.23.5", "1.24.0", "1.26.4", "1.26.0rc1", "2.0.0", "2.5.5"])
def test_right_numpy(version):
    _install.check_numpy(version)


def test_missing_numpy(monkeypatch):
    monkeypatch.setattr(_install, "installed_version", lambda name: None)
    with pytest.raises(ImportError, match=r"not installed. Run: python -m pip install \"numpy"):
        _install.check_numpy()


def test_no_wheel_names_the_command():
    with pytest.raises(ImportError) as caught:
        _install.check_wheels((), importable=False)
    assert _install.INSTALL_CPU in str(caught.value)
    assert "nnbook[gpu]" in str(caught.value)
    _install.check_wheels((), importable=True)  # built by hand, or from conda


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [
        ("Windows", "AMD64", "Dockerfile of the nnbook repository, or WSL"),
        ("Darwin", "arm64", "Dockerfile"),
        ("Darwin", "x86_64", "pip install"),
        ("Linux", "aarch64", "pip install"),
    ],
)
def test_where_there_is_no_wheel_the_way_out_is_another(system, machine, expected):
    text = _install._how_to_install(system, machine)
    assert expected in text
    assert ("pip install" in text) == (expected == "pip install")


def test_two_wheels_name_the_commands():
    with pytest.raises(ImportError) as caught:
        _install.check_wheels(("mxnet", "mxnet-cu117"))
    assert "python -m pip uninstall -y mxnet mxnet-cu117" in str(caught.value)
    assert _install.INSTALL_CPU in str(caught.value)


@pytest.mark.parametrize("program", ["import nnbook.runtime", "import nnbook, mxnet"])
def test_both_wheels_installed_stop_the_import(program, tmp_path):
    for name in ("mxnet_cu117", "mxnet_cu102"):
        folder = tmp_path / f"{name}-1.9.1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name.replace('_', '-')}\nVersion: 1.9.1\n")
    done = run_python(program, environment={"PYTHONPATH": in_front(tmp_path)})
    assert done.returncode == 1
    assert "ImportError: Several MXNet wheels are installed" in done.stderr
    assert "mxnet-cu102" in done.stderr
    assert "mxnet-cu117" in done.stderr


@pytest.mark.parametrize("program", ["import nnbook.runtime", "import nnbook, mxnet"])
def test_a_numpy_of_the_future_stops_the_import(program, tmp_path):
    folder = tmp_path / "numpy-3.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Name: numpy\nVersion: 3.1.0\n")
    done = run_python(program, environment={"PYTHONPATH": in_front(tmp_path)})
    assert done.returncode == 1
    assert "this is NumPy 3.1.0" in done.stderr


@pytest.mark.parametrize("program", ["import nnbook.runtime", "from nnbook.layers import Dense"])
def test_without_mxnet_the_message_has_the_command(program):
    done = run_python(
        "import nnbook\n"
        "from nnbook.gluon import install\n"
        "install.mxnet_wheels = lambda: ()\n"
        "find = install.importlib.util.find_spec\n"
        "install.importlib.util.find_spec = lambda name: None if name == 'mxnet' else find(name)\n"
        + program
    )
    assert done.returncode == 1
    assert "nnbook needs MXNet, and it is not installed" in done.stderr
    assert _install.INSTALL_CPU in done.stderr


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError("libcuda.so.1: cannot open shared object file"), "no NVIDIA driver"),
        (OSError("libgomp.so.1: cannot open shared object file"), "apt-get install libgomp1"),
        (OSError("libarmpl_lp64_mp.so: cannot open"), "Dockerfile"),
        (OSError("libcudnn.so.8: cannot open shared object file"), "nnbook[gpu]"),
        (AttributeError("partially initialized module"), "restart Python and import nnbook first"),
    ],
)
def test_every_failure_of_the_import_has_a_way_out(error, expected):
    text = _install.explain(error)
    assert expected in text
    assert str(error) in text


# ----------------------------------------------------------------------------------- threads


def test_thread_settings_are_made_only_where_there_are_none():
    environ = {}
    assert _install.choose_threads(False, environ)
    assert environ == {
        "OMP_NUM_THREADS": "1",
        "MXNET_ENGINE_TYPE": "NaiveEngine",
        "MXNET_SUBGRAPH_VERBOSE": "0",
    }
    for chosen in (
        {"OMP_NUM_THREADS": "2"},
        {"MXNET_OMP_MAX_THREADS": "2"},
        {"MXNET_ENGINE_TYPE": "ThreadedEngine"},
        {"OMP_NUM_THREADS": "2", "MXNET_ENGINE_TYPE": "NaiveEngine"},
    ):
        environ = dict(chosen)
        _install.choose_threads(False, environ)
        assert chosen.items() <= environ.items()
    # The engine without threads is never combined with more OpenMP threads: fork would hang.
    for name in ("OMP_NUM_THREADS", "MXNET_OMP_MAX_THREADS"):
        environ = {name: "2"}
        _install.choose_threads(False, environ)
        assert "MXNET_ENGINE_TYPE" not in environ
    environ = {}
    _install.choose_threads(True, environ)
    assert "MXNET_ENGINE_TYPE" not in environ


COUNT_THREADS = """
import os
os.sched_getaffinity = lambda process: {0, 1, 2}
from nnbook import runtime
print(*(runtime.thread_count(work) for work in (1e3, 7e6, 1.7e7, 1e12)))
"""


def test_large_work_is_divided_unless_the_user_forbids():
    assert run_python(COUNT_THREADS).stdout == "1 1 2 3\n"
    for name in ("OMP_NUM_THREADS", "MXNET_OMP_MAX_THREADS"):
        assert run_python(COUNT_THREADS, environment={name: "1"}).stdout == "1 1 1 1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="asks GNU's OpenMP, which Linux wheels link")
def test_openmp_keeps_to_one_thread():
    done = run_python(
        "import nnbook, mxnet, ctypes\nprint(ctypes.CDLL('libgomp.so.1').omp_get_max_threads())\n"
    )
    assert done.stdout == "1\n", done.stderr


def test_a_setting_of_the_user_survives_the_import():
    code = (
        "import os, nnbook.runtime\nprint(*(os.environ.get(n) for n in "
        + repr(THREAD_VARIABLES)
        + "))"
    )
    assert run_python(code).stdout == "1 None NaiveEngine\n"
    assert run_python(code, environment={"OMP_NUM_THREADS": "2"}).stdout == "2 None None\n"


@pytest.mark.parametrize("engine", ["NaiveEngine", "ThreadedEngine"])
def test_the_engine_does_not_announce_itself(engine):
    done = run_python(
        "from nnbook.runtime import np; print(float(np.ones(2).sum()))",
        environment={"MXNET_ENGINE_TYPE": engine},
    )
    assert (done.stdout, done.stderr) == ("2.0\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_can_compute():
    done = run_python(
        "import os, signal, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from nnbook.runtime import mx, np\n"
        "net = mx.gluon.nn.Dense(100); net.initialize(); net.hybridize()\n"
        "x = np.ones((1000, 784))\n"
        "float(net(x).sum())\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    signal.alarm(30)\n"
        "    float(net(x).sum()); os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert done.stdout == "7\n", done.stderr


def test_numpy_mode_in_new_threads():
    def compute(initialise):
        if initialise:
            runtime.use_numpy_mode()
        layer = mx.gluon.nn.Dense(2, in_units=2, weight_initializer=mx.init.Constant(1))
        layer.initialize()
        return float(layer(np.ones((3, 2))).sum())

    outcome = {}

    def without():
        try:
            outcome["without"] = compute(False)
        except Exception as error:
            outcome["error"] = error

    thread = threading.Thread(target=without)
    thread.start()
    thread.join()
    assert "error" in outcome, "Dense now works in a thread without use_numpy_mode"
    with ThreadPoolExecutor(2, initializer=runtime.use_numpy_mode) as pool:
        assert list(pool.map(compute, [False, False, False])) == [12.0, 12.0, 12.0]
    assert npx.is_np_array()


def test_threads_compute_the_same_at_the_same_time():
    x = onp.random.default_rng(0).normal(size=(64, 32)).astype("float32")

    def compute(scale):
        w = np.array(x.T * scale)
        w.attach_grad()
        for _ in range(50):
            with mx.autograd.record():
                y = (np.dot(np.array(x), w) ** 2).mean()
            y.backward()
        return w.grad.asnumpy()

    with ThreadPoolExecutor(4, initializer=runtime.use_numpy_mode) as pool:
        found = list(pool.map(compute, range(8)))
    for scale, gradient in enumerate(found):
        onp.testing.assert_array_equal(gradient, compute(scale))


# ----------------------------------------------------------------------------------- devices


def judge(cuda_build=True, wheel="mxnet-cu117", gpus=(AMPERE,), failure="", reason=""):
    tried = []

    def trial(index):
        tried.append(index)
        return failure

    driver = Driver(tuple(gpus), reason)
    devices = _devices.survey(cuda_build, wheel, driver, trial, "a processor")
    assert devices[0] == Device("cpu(0)", "a processor", True, "always there")
    return devices[1], tried


def test_a_gpu_is_usable_only_after_a_trial():
    gpu, tried = judge()
    assert (gpu.name, gpu.usable, tried) == ("gpu(0)", True, [0])
    assert gpu.description == "NVIDIA A100, compute capability 8.0"
    gpu, tried = judge(failure="wrong result")
    assert (gpu.usable, gpu.reason, tried) == (False, "wrong result", [0])


def test_a_gpu_with_the_cpu_build():
    gpu, tried = judge(cuda_build=False, wheel="mxnet")
    assert not gpu.usable
    assert "CPU build" in gpu.reason
    assert 'pip install "nnbook[gpu]"' in gpu.reason
    assert tried == []


def test_a_gpu_without_code_in_the_wheel_is_not_tried():
    gpu, tried = judge(gpus=[HOPPER])
    assert not gpu.usable
    assert "mxnet-cu117 has no code for compute capability 9.0" in gpu.reason
    assert "5.0, 6.0, 7.0, 8.0, 8.6" in gpu.reason
    assert tried == []


def test_no_gpu():
    gpu, tried = judge(gpus=[], reason="no NVIDIA driver")
    assert (gpu.name, gpu.usable, tried) == ("gpu", False, [])
    assert gpu.reason == "no GPU here: no NVIDIA driver"


@pytest.mark.parametrize(
    ("wheel", "runs", "runs_not"),
    [
        ("mxnet-cu117", [(5, 0), (5, 2), (6, 1), (7, 5), (8, 0), (8, 6), (8, 9)], [(3, 7), (9, 0)]),
        ("mxnet-cu112", [(5, 3), (8, 6), (8, 9)], [(9, 0), (10, 0), (12, 0)]),
        ("mxnet-cu110", [(8, 0), (8, 6)], [(3, 5), (9, 0)]),
        ("mxnet-cu102", [(5, 0), (7, 5)], [(8, 0), (8, 6), (9, 0)]),
    ],
)
def test_capabilities(wheel, runs, runs_not):
    compiled = _devices.compiled_for(wheel)
    assert all(_devices.runs_on(capability, compiled) for capability in runs)
    assert not any(_devices.runs_on(capability, compiled) for capability in runs_not)


def test_a_build_of_unknown_origin_is_tried():
    assert _devices.compiled_for(None) == _devices.compiled_for("mxnet") == ()
    gpu, tried = judge(wheel=None, gpus=[HOPPER])
    assert gpu.usable
    assert tried == [0]


def fake_libcuda(gpus, init=0):
    """Answer like libcuda for GPUs given as (name, (major, minor))."""

    def count(pointer):
        pointer._obj.value = len(gpus)
        return 0

    def get(pointer, index):
        pointer._obj.value = index
        return 0

    def name(buffer, size, handle):
        buffer.value = gpus[handle.value][0].encode()
        return 0

    def attribute(pointer, number, handle):
        pointer._obj.value = gpus[handle.value][1][{75: 0, 76: 1}[number]]
        return 0

    return SimpleNamespace(
        cuInit=lambda flags: init,
        cuDeviceGetCount=count,
        cuDeviceGet=get,
        cuDeviceGetName=name,
        cuDeviceGetAttribute=attribute,
    )


def test_libcuda_is_asked_for_names_and_capabilities():
    answer = _devices.ask_libcuda(fake_libcuda([("Ampere", (8, 6)), ("Pascal", (6, 1))]))
    assert answer == {
        "gpus": [
            {"index": 0, "name": "Ampere", "capability": [8, 6]},
            {"index": 1, "name": "Pascal", "capability": [6, 1]},
        ],
        "reason": "",
    }
    assert "sees no GPU" in _devices.ask_libcuda(fake_libcuda([]))["reason"]
    assert "error 100 (it sees no GPU)" in _devices.ask_libcuda(fake_libcuda([], 100))["reason"]
    assert "error 803" in _devices.ask_libcuda(fake_libcuda([], 803))["reason"]


def test_the_driver_is_asked_in_a_process_of_its_own():
    answer = {"gpus": [{"index": 0, "name": "A100", "capability": [8, 0]}], "reason": ""}
    command = [sys.executable, "-c", f"print({json.dumps(answer)!r})"]
    assert _devices.query_driver(command) == Driver((Gpu(0, "A100", (8, 0)),), "")
    slow = [sys.executable, "-c", "import time; time.sleep(30)"]
    assert "did not answer within 0.2 s" in _devices.query_driver(slow, timeout=0.2).reason
    crash = [sys.executable, "-c", "import os; os.abort()"]
    assert "could not be asked" in _devices.query_driver(crash).reason
    assert "could not be asked" in _devices.query_driver([sys.executable, "-c", ""]).reason
    assert "could not be asked" in _devices.query_driver(["/no/such/program"]).reason


def test_the_trial_runs_in_a_process_of_its_own():
    assert _devices.try_gpu(0, "import nnbook; assert {index} == 0") == ""
    assert "failed: ValueError: lost" in _devices.try_gpu(0, "raise ValueError('lost')")
    assert "failed: exit status -6" in _devices.try_gpu(0, "import os; os.abort()")
    assert "within 0.2 s" in _devices.try_gpu(0, "import time; time.sleep(9)", timeout=0.2)


@pytest.fixture
def fresh_device_cache():
    runtime.devices.cache_clear()
    runtime._warn_once.cache_clear()
    yield
    runtime.devices.cache_clear()
    runtime._warn_once.cache_clear()


def test_the_trial_really_fails_without_a_gpu():
    if any(device.usable for device in runtime.devices()[1:]):
        pytest.skip("there is a usable GPU here")
    assert "failed: " in _devices.try_gpu(0)


def test_best_device_falls_back_with_one_warning(fresh_device_cache, monkeypatch):
    monkeypatch.setattr(_devices, "query_driver", lambda: Driver((), "no driver"))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert runtime.best_device() == mx.cpu()
        assert runtime.best_device() == mx.cpu()
    assert [(warning.category, warning.filename) for warning in seen] == [
        (RuntimeWarning, __file__)
    ]
    assert str(seen[0].message) == "computing on the CPU (gpu: no GPU here: no driver)"


def test_best_device_takes_the_first_gpu_that_computes(fresh_device_cache, monkeypatch):
    driver = Driver((HOPPER, Gpu(1, "NVIDIA A100", (8, 0))))
    monkeypatch.setattr(_devices, "query_driver", lambda: driver)
    monkeypatch.setattr(_devices, "try_gpu", lambda index: "")
    monkeypatch.setattr(_install, "mxnet_wheels", lambda: ("mxnet-cu117",))
    monkeypatch.setattr(
        mx.runtime, "Features", lambda: SimpleNamespace(is_enabled=lambda name: name == "CUDA")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert runtime.best_device() == mx.gpu(1)
    assert runtime.as_device("gpu(1)") == mx.gpu(1)
    with pytest.raises(ValueError, match=r"gpu\(0\) is not usable \(gpu\(0\): mxnet-cu117 has no"):
        runtime.as_device("gpu")


def test_device_is_frozen():
    with pytest.raises(FrozenInstanceError):
        runtime.devices()[0].usable = False


def test_as_device():
    assert runtime.as_device("cpu") == mx.cpu(0)
    assert runtime.as_device(" cpu(1) ") == mx.cpu(1)
    assert runtime.as_device(mx.cpu(2)) == mx.cpu(2)
    assert runtime.as_device() == mx.cpu(0)
    with mx.cpu(1):
        assert runtime.as_device(None) == mx.cpu(1)


@pytest.mark.parametrize("name", ["cuda:0", "tpu", "cpu(-1)", "cpu1", "", "gpu(0", "CPU"])
def test_unknown_device(name):
    with pytest.raises(ValueError, match=r"unknown device.*give 'cpu', 'cpu\(1\)'"):
        runtime.as_device(name)


@pytest.mark.parametrize("device", [0, 1.5, onp.zeros(2), ["cpu"]])
def test_device_of_a_wrong_type(device):
    with pytest.raises(TypeError, match="a device is a string such as 'cpu'"):
        runtime.as_device(device)


@pytest.mark.parametrize("device", ["gpu(7)", mx.gpu(7)])
def test_gpu_that_is_not_there(device):
    with pytest.raises(ValueError, match=r"gpu\(7\) is not usable \(gpu.*Use 'cpu'"):
        runtime.as_device(device)


def test_device_of():
    assert runtime.device_of(np.ones(2, ctx=mx.cpu(1))) == mx.cpu(1)
    assert runtime.device_of(mx.nd.ones((2,), ctx=mx.cpu(1))) == mx.cpu(1)
    assert runtime.device_of(onp.ones(2)) == mx.cpu(0)
    net = mx.gluon.nn.Dense(2, in_units=3)
    with pytest.raises(ValueError, match=r"call net.initialize\(\)"):
        runtime.device_of(net)
    net.initialize(ctx=mx.cpu(1))
    net.hybridize()
    assert runtime.device_of(net) == mx.cpu(1)
    deferred = mx.gluon.nn.Dense(2)
    deferred.initialize(ctx=mx.cpu(1))
    assert runtime.device_of(deferred) == mx.cpu(1)
    net.initialize(ctx=[mx.cpu(0), mx.cpu(1)], force_reinit=True)
    with pytest.raises(ValueError, match=r"several devices: \['cpu\(0\)', 'cpu\(1\)'\]"):
        runtime.device_of(net)
    assert runtime.device_of(mx.gluon.nn.HybridSequential()) == mx.cpu(0)
    with pytest.raises(TypeError, match="got list"):
        runtime.device_of([1.0])


@pytest.fixture(scope="module")
def gpu():
    for device in runtime.devices():
        if device.usable and device.name.startswith("gpu"):
            return runtime.as_device(device.name)
    reasons = "; ".join(device.reason for device in runtime.devices()[1:])
    pytest.skip(f"no usable GPU: {reasons}")


@pytest.mark.gpu
def test_best_device_is_the_gpu(gpu):
    assert runtime.best_device() == gpu


@pytest.mark.gpu
def test_a_net_computes_the_same_on_the_gpu(gpu):
    x = onp.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    outputs = []
    for device in (mx.cpu(), gpu):
        net = mx.gluon.nn.Dense(4, in_units=5, weight_initializer=mx.init.Constant(0.3))
        net.initialize(ctx=device)
        net.hybridize()
        output = net(np.array(x, ctx=device))
        assert runtime.device_of(output) == runtime.device_of(net) == device
        outputs.append(output.asnumpy())
    onp.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5)


# ------------------------------------------------------------------------------- seeds, facts


def draw():
    return (
        random.random(),
        float(onp.random.rand()),  # noqa: NPY002
        float(np.random.uniform()),
        float(np.random.normal(ctx=mx.cpu(1))),
    )


def test_seed_everything():
    runtime.seed_everything(3)
    first = draw()
    assert draw() != first
    runtime.seed_everything(onp.int64(3))
    assert draw() == first
    runtime.seed_everything(4)
    other = draw()
    assert all(a != b for a, b in zip(first, other, strict=True))
    runtime.seed_everything(2**32 - 1)


def test_seed_agrees_with_the_published_generator():
    # MXNet's CPU generator is the Mersenne Twister, as NumPy's global one is.
    runtime.seed_everything(0)
    assert float(onp.random.rand()) == pytest.approx(0.5488135039273248)  # noqa: NPY002
    assert random.random() == pytest.approx(0.8444218515250481)


@pytest.mark.parametrize("seed", [-1, 2**32, 10**20])
def test_seed_out_of_range(seed):
    with pytest.raises(ValueError, match=rf"from 0 to 2\*\*32 - 1.*{seed}"):
        runtime.seed_everything(seed)


@pytest.mark.parametrize("seed", [1.0, "1", None, True, onp.float32(1)])
def test_seed_of_a_wrong_type(seed):
    with pytest.raises(TypeError, match="the seed must be an integer, and it is"):
        runtime.seed_everything(seed)


def test_environment_is_plain_data():
    facts = runtime.environment()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["nnbook"] == nnbook.__version__
    assert facts["packages"]["numpy"] == onp.__version__
    assert facts["packages"]["mxnet"] == "1.9.1"
    assert facts["devices"]["cpu(0)"] == "usable: always there"
    assert facts["cores"] >= 1
    assert facts["processor"]
    assert facts["threads"]["OMP_NUM_THREADS"] == os.environ.get("OMP_NUM_THREADS")


# ------------------------------------------------------------------------------- CUDA preload


def test_preload_takes_what_is_there_in_the_order_needed(tmp_path, monkeypatch):
    for folder, names in {
        "cublas": ["libcublas.so.11", "libcublasLt.so.11"],
        "cudnn": ["libcudnn.so.8"],
        "cuda_runtime": ["libcudart.so.11.0"],
    }.items():
        lib = tmp_path / "nvidia" / folder / "lib"
        lib.mkdir(parents=True)
        for name in names:
            (lib / name).touch()
    loaded = []
    monkeypatch.setattr(
        _install.ctypes, "CDLL", lambda path, mode: loaded.append((path.rpartition("/")[2], mode))
    )
    expected = ["libcudart.so.11.0", "libcublasLt.so.11", "libcublas.so.11", "libcudnn.so.8"]
    assert _install.preload_cuda(sorted(tmp_path.glob("nvidia/*/lib"))) == expected
    assert [name for name, _ in loaded] == expected
    assert {mode for _, mode in loaded} == {_install.ctypes.RTLD_GLOBAL}


def test_preload_of_a_broken_library(tmp_path):
    (tmp_path / "libcudart.so.11.0").write_bytes(b"not a library")
    with pytest.raises(ImportError, match=r"libcudart.so.11.0 could not be loaded.*nnbook\[gpu\]"):
        _install.preload_cuda([tmp_path])


def test_newer_pythons_are_told_to_install_mxnet_without_its_dependencies():
    command = 'python -m pip install{} "mxnet==1.9.1"'
    apart = " --no-deps" if sys.version_info >= (3, 13) else ""
    assert command.format(apart) == _install.INSTALL_CPU
