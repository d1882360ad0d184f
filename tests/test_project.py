"""The project holds together: floors, sizes, docstrings, locks, licences, builds, commands."""

import ast
import importlib
import importlib.metadata
import inspect
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import nnbook
from tools import versions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nnbook"
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = CONFIGURATION["project"]

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")

# A module imports only from floors below its own, or from its own folder.
FLOORS = {
    0: {"_arguments", "_lazy", "_optional", "_tables", "_types"},
    1: {"_arrays", "_frames"},
    2: {"schedules", "plots", "problems", "tape", "findings", "_grid", "objective"},
    3: {"data", "optim"},
    4: {"training", "curvature"},
    5: {"gluon"},
    6: {"runtime", "parameters", "layers", "losses"},
    7: {"solvers", "checks", "models", "monitors", "population"},
    8: {"search", "ensemble", "estimators", "pretraining", "zoo"},
    9: {"claims", "distributed", "experiments", "explore", "__main__"},
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}
SOURCES = sorted(PACKAGE.rglob("*.py"))
STUBS = sorted(PACKAGE.rglob("*.pyi"))
MODULES = sorted({path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in SOURCES})
PUBLIC = [name for name in MODULES if not name.startswith("_") and name != "gluon"]


def tracked_files():
    """The project's text files: those that git tracks, or would track if they were added."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git repository here")
    return [ROOT / name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


# ------------------------------------------------------------------------------ the package


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
    """The modules of nnbook that a file imports when it is imported, by their full names.

    What a function imports is left out: that is where the core meets MXNet's arrays.
    """
    known = {module_name(source) for source in SOURCES}
    found = set()

    def visit(node):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                visit(other)
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.update({inner if inner in known else node.module} & known)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return found - {module_name(path)}


def test_every_module_has_a_floor():
    assert set(MODULES) - {"__init__"} <= set(FLOOR_OF)


def test_imports_go_only_downwards():
    wrong = []
    for path in SOURCES:
        top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if top == "__init__":
            continue
        for imported in imports_of(path) - {"nnbook"}:
            other = imported.split(".")[1]
            if other != top and FLOOR_OF[other] >= FLOOR_OF[top]:
                wrong.append(f"{module_name(path)} imports {imported}")
    assert not wrong


def test_there_is_no_import_cycle():
    graph = {module_name(path): imports_of(path) - {"nnbook"} for path in SOURCES}
    graph.pop("nnbook")
    done, path = set(), []

    def visit(name):
        assert name not in path, " → ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        # A module of a folder runs the folder's __init__ first; that one's imports of its own
        # modules are no cycle.
        for other in sorted(graph[name]):
            visit(other)
        path.pop()
        done.add(name)

    for name in graph:
        visit(name)


def test_the_floors_are_really_read():
    assert "nnbook.data.idx" in imports_of(PACKAGE / "data" / "_mnist.py")
    assert "nnbook.gluon.install" in imports_of(PACKAGE / "__main__.py")
    assert "nnbook.gluon.devices" in imports_of(PACKAGE / "gluon" / "runtime.py")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_is_too_long(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_has_a_docstring(name):
    module = importlib.import_module(f"nnbook.{name}")
    assert module.__doc__
    missing = []
    for public in module.__all__:
        thing = getattr(module, public)
        if not (inspect.isclass(thing) or inspect.isroutine(thing)):
            continue
        if not inspect.getdoc(thing):
            missing.append(public)
        if inspect.isclass(thing):
            for member, value in vars(thing).items():
                code = inspect.isroutine(value) or isinstance(value, (property, classmethod))
                if code and not member.startswith("_") and not inspect.getdoc(value):
                    missing.append(f"{public}.{member}")
    assert not missing


@pytest.mark.parametrize("name", PUBLIC)
def test_every_module_is_in_the_api_reference(name):
    text = (ROOT / "chapters" / "api" / f"{name}.md").read_text(encoding="utf-8")
    assert re.search(rf"automodule:: nnbook\.{name}\n\s+:members:", text)
    assert f"chapters/api/{name}\n" in (ROOT / "_toc.yml").read_text(encoding="utf-8")
    index = (ROOT / "chapters" / "api" / "index.md").read_text(encoding="utf-8")
    assert f"`nnbook.{name}`" in index


# ------------------------------------------------------------------------------ requirements


def extra(name):
    """The requirements of an extra, with those of the extras that it names."""
    requirements = []
    for text in PROJECT["optional-dependencies"][name]:
        requirement = Requirement(text)
        if requirement.name == PROJECT["name"]:
            for other in sorted(requirement.extras):
                requirements += extra(other)
        else:
            requirements.append(text)
    return requirements


def locked():
    """From name to (version, marker) of every line of the lock."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    found = {}
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix("\\").strip())
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            found.setdefault(requirement.name, []).append((pin.version, requirement.marker))
    return found


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_lock_satisfies_pyproject(python, machine):
    environment = environment_of(python, machine)
    lock = locked()
    wanted = PROJECT["dependencies"] + extra("all") + extra("test") + ["mxnet==1.9.1"]
    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        pins = pins_of(lock, requirement.name, environment)
        assert len(pins) == 1, f"{text}: the lock has {pins}. Run: make lock"
        assert requirement.specifier.contains(pins[0]), f"{text}: the lock has {pins[0]}"


def environment_of(python, machine="x86_64"):
    """What the markers of requirements see on some Linux."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "platform_machine": machine,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


def pins_of(lock, name, environment):
    return [
        version
        for version, marker in lock.get(name.lower(), [])
        if marker is None or marker.evaluate(environment)
    ]


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_keeps_numpy_1_where_it_has_wheels(python):
    (numpy,) = pins_of(locked(), "numpy", environment_of(python))
    assert (numpy == "1.26.4") is (python in ("3.10", "3.11", "3.12"))


def test_the_lock_is_complete_and_agrees_with_itself():
    # It is installed without its dependencies being looked at: MXNet's would be found wanting.
    lock = locked()
    missing = []
    for name, pins in lock.items():
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another Python or system
        if found.version not in [version for version, _ in pins]:
            pytest.skip(f"{name} {found.version} is installed here, and the lock has {pins}")
        for text in found.requires or ():
            requirement = Requirement(text)
            environment = {"extra": ""}
            if requirement.marker and not requirement.marker.evaluate(environment):
                continue
            found_pins = [
                version
                for version, marker in lock.get(canonicalize_name(requirement.name), [])
                if marker is None or marker.evaluate(environment)
            ]
            fits = [v for v in found_pins if requirement.specifier.contains(v, prereleases=True)]
            if not fits and (name, requirement.name) != ("mxnet", "numpy"):
                missing.append(f"{name} needs {text}: {found_pins}")
    assert not missing


@pytest.mark.parametrize("name", ["cpu", "gpu"])
@pytest.mark.parametrize("python", PYTHONS)
def test_an_extra_never_makes_pip_compile_numpy(name, python):
    # MXNet's wheels ask for NumPy 1, which has no wheels for Python 3.13 and later.
    environment = environment_of(python)
    requirements = [Requirement(text) for text in PROJECT["optional-dependencies"][name]]
    names = {r.name for r in requirements if not r.marker or r.marker.evaluate(environment)}
    wheel = {"cpu": "mxnet", "gpu": "mxnet-cu117"}[name]
    if python in ("3.10", "3.11", "3.12"):
        assert wheel in names
    else:
        assert wheel not in names
        assert {"graphviz", "requests"} <= names
    assert "tqdm" in names


def test_the_core_needs_numpy_and_scipy_alone():
    assert [Requirement(text).name for text in PROJECT["dependencies"]] == ["numpy", "scipy"]


def test_what_uv_is_told_of_mxnet_is_what_the_makefile_locks():
    (told,) = CONFIGURATION["tool"]["uv"]["dependency-metadata"]
    wanted = f"{told['name']}=={told['version']}"
    assert f"echo '{wanted}'" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert wanted in extra("cpu")[0]
    asked = {Requirement(text).name: Requirement(text).specifier for text in told["requires-dist"]}
    for text in PROJECT["optional-dependencies"]["cpu"] + PROJECT["dependencies"]:
        requirement = Requirement(text)
        if requirement.name in asked:
            assert requirement.specifier == asked.pop(requirement.name)
    assert not asked


def test_every_line_of_the_lock_has_a_hash():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[A-Za-z])", text)
    assert len(blocks) > 50
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []


def test_environment_yml_is_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    python = Requirement(conda[0].replace("=", "=="))
    assert python.name == "python"
    (pin,) = python.specifier
    # With pip alone MXNet comes with all that it needs only where NumPy 1 has wheels.
    assert pin.version in ("3.10", "3.11", "3.12")
    expected = PROJECT["dependencies"] + extra("all")
    assert pip["pip"] == [*dict.fromkeys(expected), "-e ."]


def test_pythons_agree_everywhere():
    assert PROJECT["requires-python"] == ">=3.10,<3.15"
    named = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if re.search(r"3\.\d+$", c)]
    assert named == [*PYTHONS]
    assert versions.VERSIONS == PYTHONS
    for name in ("README.md", "chapters/intro.md"):
        words = " ".join((ROOT / name).read_text(encoding="utf-8").split())
        assert "any Python from 3.10 to 3.14" in words
    assert "python_version" not in CONFIGURATION["tool"]["mypy"]
    assert CONFIGURATION["tool"]["ruff"]["target-version"] == "py310"


def test_the_gpu_extra_has_every_library_that_is_preloaded():
    names = [Requirement(text).name for text in extra("gpu")]
    assert names[0] == "mxnet-cu117"
    libraries = [name for name in names if name.startswith("nvidia-")]
    assert len(libraries) == len(set(libraries)) == 10
    comment = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "Not tested on a GPU" in comment
    assert not {"mxnet"} & set(names)


# ----------------------------------------------------------------------------- what is said


def test_no_address_of_a_registry_or_a_machine():
    hosts = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com"]
    hosts += ["deb." + "debian.org", "pytorch" + ".org/whl", "conda." + "anaconda.org"]
    options = ["(?<!emit-)index" + "-url", "--find" + "-links", "trusted" + "-host"]
    folders = ["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/"]
    pattern = re.compile("|".join([*map(re.escape, hosts), *options, *map(re.escape, folders)]))
    wrong = []
    for path in tracked_files():
        if path.suffix in (".xz", ".gz", ".png"):
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if match := pattern.search(line):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert not wrong


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert nnbook.__version__ == PROJECT["version"] == str(citation["version"])
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": PROJECT["authors"][0]["name"]}]


def test_changelog():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0] == "# Changelog"
    releases = [line for line in lines if line.startswith("## ")]
    assert releases[0] == "## [Unreleased]"
    for release in releases[1:]:
        assert re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", release), release
    sections = {line for line in lines if line.startswith("### ")}
    allowed = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
    assert sections <= {f"### {name}" for name in allowed}
    assert sections


def test_licences():
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert licence.startswith("BSD 3-Clause License\n\nCopyright (c) 2026, The nnbook authors\n")
    text = (ROOT / "chapters" / "LICENSE").read_text(encoding="utf-8")
    assert "CC BY 4.0" in text
    data = (PACKAGE / "data" / "mnist" / "LICENSE").read_text(encoding="utf-8")
    assert "Yann LeCun" in data
    assert "Corinna Cortes" in data
    assert re.search(r"CC BY-SA 3\.0|Attribution-Share ?Alike 3\.0", data, re.IGNORECASE)
    clothes = (PACKAGE / "data" / "fashion_mnist" / "LICENSE").read_text(encoding="utf-8")
    assert "MIT License" in clothes
    assert "Zalando SE" in clothes


# -------------------------------------------------------------------------------- the builds


@pytest.fixture(scope="module")
def builds(tmp_path_factory):
    """The wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    return wheel, sdist


DATA = [
    f"nnbook/data/{folder}/{name}"
    for folder in ("fashion_mnist", "mnist")
    for name in (
        "LICENSE",
        "train-images-idx3-ubyte.xz",
        "train-labels-idx1-ubyte.xz",
        "t10k-images-idx3-ubyte.xz",
        "t10k-labels-idx1-ubyte.xz",
    )
]


def test_the_wheel_has_data_and_licences_and_works(builds, tmp_path):
    wheel, _ = builds
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path)
    assert set(DATA) <= names
    assert {path.relative_to(ROOT).as_posix() for path in [*SOURCES, *STUBS]} <= names
    assert "nnbook/py.typed" in names
    info = f"nnbook-{nnbook.__version__}.dist-info"
    for licence in PROJECT["license-files"]:
        assert f"{info}/licenses/{licence}" in names
        expected = (ROOT / licence).read_bytes()
        assert (tmp_path / info / "licenses" / licence).read_bytes() == expected
    assert {name.split("/")[0] for name in names} == {"nnbook", info}
    code = (
        "import nnbook; from nnbook import data; data.verify_mnist(); "
        "data.load_small_fashion_mnist(); print(nnbook.__file__); "
        "import importlib.metadata; print(importlib.metadata.version('nnbook'))"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    expected = f"{tmp_path / 'nnbook' / '__init__.py'}\n{nnbook.__version__}\n"
    assert (done.stdout, done.stderr) == (expected, "")


def test_the_sdist_has_everything_that_the_commands_need(builds):
    _, sdist = builds
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = {"Makefile", "pyproject.toml", "requirements.lock", "environment.yml", "conftest.py"}
    needed |= {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "Dockerfile"}
    needed |= {
        f"examples/{name}.py"
        for name in ("check_my_gradients", "compare_runs", "ensemble", "schedule", "search")
    }
    needed |= {"_config.yml", "_toc.yml", "LICENSE", "chapters/LICENSE", "tests/test_project.py"}
    needed |= {"nnbook/py.typed"} | {path.relative_to(ROOT).as_posix() for path in STUBS}
    assert needed | set(DATA) <= names
    assert not {name for name in names if "__pycache__" in name or name.startswith(".venv")}


# ------------------------------------------------------------------------------- the commands


def make(*arguments):
    if shutil.which("make") is None:
        pytest.skip("no make here")
    # A make that runs this test must not hand its own options down.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_every_command_that_is_written_about_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"book", "test", "lab", "serve", "run", "run-long", "lock", "bench"} <= targets
    assert {"test-oldest", "clean", "lint", "format", "help"} <= targets
    assert {"test-versions", "test-core"} <= targets
    for name in ("README.md", "CONTRIBUTING.md", ".ci/run"):
        text = (ROOT / name).read_text(encoding="utf-8")
        written = set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", text, re.MULTILINE))
        assert {a or b for a, b in written} <= targets


def test_make_alone_lists_the_commands():
    done = make()
    assert done.returncode == 0
    assert done.stdout.startswith("make help")
    assert "make test-versions" in done.stdout


def test_a_wrong_python_gets_a_message_with_the_way_out(tmp_path):
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make("book", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}")
    assert done.returncode != 0
    assert "nnbook needs a Python from 3.10 to 3.14" in done.stderr
    assert "make book PYTHON=/path/to/python3.13" in done.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the library has another name")
def test_a_missing_libgomp_is_said_before_anything_is_installed(tmp_path):
    python = tmp_path / "python"
    # It fits, and cannot load the library.
    python.write_text('#!/bin/sh\ncase "$2" in *libgomp*) exit 1;; *) exit 0;; esac\n')
    python.chmod(0o755)
    done = make("env", f"VENV={tmp_path / 'venv'}", f"PYTHON={python}")
    assert done.returncode != 0
    assert "libgomp.so.1" in done.stderr
    assert "apt-get install libgomp1" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_every_version_is_looked_for_and_only_its_own_interpreter_taken(tmp_path):
    def interpreter(name, version):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho {version}\n")
        path.chmod(0o755)
        return path

    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    old, fits = interpreter("old", "3.9"), interpreter("fits", "3.13")
    places = [tmp_path / "nowhere", broken, old, fits, interpreter("second", "3.13")]
    assert versions.find("3.13", places) == fits
    assert versions.find("3.14", places) is None
    own = ".".join(map(str, sys.version_info[:2]))
    assert versions.find(own, versions.candidates(own)) is not None


def test_the_counts_of_a_run_are_read_from_its_report(tmp_path):
    report = tmp_path / "report.xml"
    assert versions.counts(report) == "pytest did not finish"
    report.write_text(
        '<testsuites><testsuite errors="1" failures="2" skipped="3" tests="10" time="61.4"/>'
        "</testsuites>"
    )
    assert versions.counts(report) == "4 passed, 3 failed, 3 skipped in 61 s"


def test_continuous_integration_runs_the_command_of_the_readme():
    path = ROOT / ".ci" / "run"
    assert os.access(path, os.X_OK)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "export NNBOOK_REQUIRE_BROWSER=1" in text
    assert text.rstrip().endswith("\nmake test")
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")
    subprocess.run(["bash", "-n", str(path)], check=True)
