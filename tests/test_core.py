"""The core works without MXNet, imports nothing heavy, and says how to get what is missing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nnbook"
CORE = [
    *("claims", "curvature", "data", "distributed", "explore", "findings", "objective", "optim"),
    *("plots", "pretraining", "problems", "schedules", "search", "solvers", "tape"),
]
# What a package that is core in part has for everybody.
PARTS = {
    "checks": ["check_gradients", "check_optimizer", "difference", "relative_error", "sweep_h"],
    "ensemble": ["average_probabilities", "brier_score", "disagreement", "fit_temperature", "vote"],
    "experiments": ["Arm", "AtLeast", "Experiment", "Outcome", "first_below", "panel", "task"],
    "losses": ["activity_penalty", "l1_penalty", "l1_prox", "l2_penalty"],
    "monitors": ["GradientNorm", "LossWiggle", "UpdateRatio", "report", "smoothness"],
    "training": [
        "Callback",
        "Checkpoint",
        "EarlyStopping",
        "History",
        "StopBy",
        "fit",
        "train_plainly",
    ],
}
WITHOUT = """
import sys
import nnbook
from nnbook.gluon import install
install.mxnet_wheels = lambda: ()
for name in {refused!r}:
    sys.modules[name] = None
"""


def run(program, refused=("mxnet",)):
    program = WITHOUT.format(refused=tuple(refused)) + program
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )


def test_import_nnbook_is_cheap():
    program = (
        "import time, numpy, sys; start = time.perf_counter(); import nnbook;"
        "print(1000 * (time.perf_counter() - start));"
        "print(sorted({'mxnet', 'matplotlib', 'scipy', 'optuna'} & set(sys.modules)))"
    )
    found = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        milliseconds, loaded = done.stdout.splitlines()
        assert loaded == "[]"
        found.append(float(milliseconds))
    assert min(found) < 60


@pytest.mark.parametrize("name", CORE)
def test_a_core_module_imports_without_mxnet(name):
    done = run(f"from nnbook import {name}; [getattr({name}, n) for n in dir({name}) if n[0] != '_'"
               f" and n != 'from_mxnet' and n != 'TrainPopulation']")  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", PARTS)
def test_the_core_part_of_a_package_imports_without_mxnet(package):
    done = run(f"from nnbook.{package} import {', '.join(PARTS[package])}")
    assert done.returncode == 0, done.stderr


def test_the_core_imports_without_any_extra():
    names = ", ".join(CORE)
    done = run(f"from nnbook import {names}", ["mxnet", "matplotlib", "optuna", "tqdm", "yaml"])
    assert done.returncode == 0, done.stderr


TOUCHES = [
    "from nnbook import layers",
    "from nnbook.training import evaluate",
    "from nnbook import training; training.fit(object(), (1, 2), loss=print, optimizer=None)",
    "import nnbook; nnbook.parameters",
    "from nnbook.losses import softmax_cross_entropy",
    "from nnbook import optim; optim.from_mxnet(object())",
]


@pytest.mark.parametrize("touch", TOUCHES)
def test_what_needs_mxnet_says_how_to_install_it(touch):
    done = run(touch)
    assert done.returncode == 1
    assert "mxnet==1.9.1" in done.stderr.splitlines()[-1], done.stderr


def test_core_training_checking_and_comparing_without_mxnet():
    done = run(
        "import numpy as np\n"
        "from nnbook import checks, claims, objective, optim, schedules, training\n"
        "x = np.random.default_rng(0).normal(size=(50, 3)); y = x @ [1.0, -2.0, 0.5]\n"
        "model = objective.from_function(\n"
        "    lambda t, rows: ((x[rows] @ t - y[rows]) ** 2).mean(),\n"
        "    lambda t, rows: 2 * x[rows].T @ (x[rows] @ t - y[rows]) / len(y[rows]),\n"
        "    np.zeros(3), examples=50)\n"
        "assert checks.check_gradients(model).passed\n"
        "rule = optim.chain(optim.clip(5.0), optim.momentum(schedules.cosine(0.05, 100)))\n"
        "history = training.fit(model, optimizer=rule, batch_size=10, epochs=20, progress=False)\n"
        "assert history[-1]['train_loss'] < 1e-3, history\n"
        "result = claims.compare(a=[1, 2, 3.5], b=[2, 3, 4.4], smaller_is_better=True,\n"
        "                        smallest_effect=0.1)\n"
        "print(result.better('a', than='b').outcome)\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_mxnet_is_imported_in_its_room_only():
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.partition(".")[0] == "mxnet" for name in names):
                found.append(path.relative_to(PACKAGE).as_posix())
    assert set(found) <= {"gluon/runtime.py"}  # for type checkers
