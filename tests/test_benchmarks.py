"""The benchmarks are no tests; but they must still run after the package has changed."""

import csv
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Return a function that imports a benchmark by its name."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_every_benchmark_imports_in_the_books_environment():
    names = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
    assert "bench_scaling" in names
    done = subprocess.run(
        [sys.executable, "-c", f"import {', '.join(names)}"],
        cwd=BENCHMARKS,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_worker_knows_every_library_that_is_asked_for(benchmark):
    worker = benchmark("worker")
    steps, population = benchmark("bench_steps"), benchmark("bench_population")
    asked = {library for _, library, _ in steps.LIBRARIES.values()}
    asked |= set(population.LIBRARIES.values())
    assert asked == set(worker.LIBRARIES)


def test_a_worker_times_the_steps_that_it_was_asked_for(benchmark):
    worker = benchmark("worker")
    seconds, steps = worker.LIBRARIES["nnbook"](*worker.examples(30))(10, 2, 30)
    assert seconds > 0
    assert steps == 6


@pytest.mark.parametrize("shared", [True, False])
def test_a_worker_times_the_steps_of_every_member(benchmark, shared):
    worker = benchmark("worker")
    run = worker.LIBRARIES["population"](*worker.examples(30))
    _, steps = run(10, 2, 30, members=3, shared=shared, workers=1, kind="threads")
    assert steps == 3 * 2 * 3


def test_the_parts_of_a_step_are_those_of_the_engine(benchmark, monkeypatch):
    scaling = benchmark("bench_scaling")
    monkeypatch.setattr(scaling, "ROUNDS", 1)
    monkeypatch.setattr(scaling, "data", lambda: scaling.examples(200))
    parts = scaling.parts_of_a_step(100)
    assert len(parts) == 5
    assert parts["forward"] > 0
    assert parts["update θ"] > 0


def test_the_table_of_populations_has_a_row_for_each_case(benchmark, monkeypatch, tmp_path):
    population = benchmark("bench_population")
    monkeypatch.setattr(population, "CHAPTERS", tmp_path)
    rounds = {name: [2e-4, 1e-4] for name in population.LIBRARIES}
    rounds[population.JAX] = [4e-4, 4e-4]
    case = {
        "members": 32,
        "batch_size": 10,
        "order": "one order",
        "seconds_per_step_and_member": rounds,
    }
    population.write_table([case])
    text = (tmp_path / "populations.csv").read_text(encoding="utf-8")
    heads, row = csv.reader(text.splitlines())
    assert len(heads) == len(row) == 7
    assert row[:4] == ["32", "10", "one order", "150 (100 to 200)"]
    assert float(row[-1]) == pytest.approx(np.median([0.5, 0.25]), abs=0.01)
