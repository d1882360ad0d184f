"""Run the unit tests on every Python that the project supports: ``python tools/versions.py``.

Each Python that is found, on the path or among pyenv's, gets an environment of its own,
``.venv-3.x``, from the lock. A table at the end says how it went; one that is not on this machine
is no failure.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


def candidates(version: str) -> list[Path]:
    """Return where a Python of this version could be: on the path, among pyenv's, this one."""
    found = [shutil.which(f"python{version}"), shutil.which("python3"), sys.executable]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [Path(path) for path in found if path] + [
        folder / "bin" / "python" for folder in sorted(pyenv.glob(f"{version}.*"), reverse=True)
    ]


def find(version: str, paths: Iterable[Path]) -> Path | None:
    """Return the first of some interpreters that runs, is of this version and can make a venv."""
    code = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    for path in paths:
        try:
            done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
        except OSError:
            continue
        if done.returncode == 0 and done.stdout.strip() == version:
            return path
    return None


def run(version: str, python: Path, workers: int) -> tuple[bool, str]:
    """Make the environment, run the tests in it, and return whether they passed, and the counts."""
    folder = f".venv-{version}"
    make = ["make", "--no-print-directory", "env", f"VENV={folder}", f"PYTHON={python}"]
    # A make that runs this must not hand its own options down.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    if subprocess.run(make, cwd=ROOT, env=environment, check=False).returncode:
        return False, "no environment"
    report = ROOT / folder / "report.xml"
    report.unlink(missing_ok=True)
    tests = ["tests", "--ignore", "tests/site", "-n", str(workers), "--dist", "loadscope"]
    command = [f"{folder}/bin/python", "-m", "pytest", *tests, f"--junitxml={report}"]
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    numpy = f"{folder}/bin/python", "-c", "import numpy; print(numpy.__version__)"
    version = subprocess.run(numpy, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return status == 0, f"NumPy {version.strip()}: {counts(report)}"


def counts(report: Path) -> str:
    """Return what a JUnit report says, in one line."""
    if not report.is_file():
        return "pytest did not finish"
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    number = {
        name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")
    }
    wrong = number["failures"] + number["errors"]
    passed = number["tests"] - wrong - number["skipped"]
    seconds = float(suite.get("time", "0"))
    return f"{passed} passed, {wrong} failed, {number['skipped']} skipped in {seconds:.0f} s"


def main() -> int:
    """Run everything and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="processes of pytest")
    parser.add_argument("versions", nargs="*", default=VERSIONS, help="by default all")
    chosen = parser.parse_args()
    rows, good = [], True
    for version in chosen.versions:
        python = find(version, candidates(version))
        if python is None:
            rows.append((version, "not on this machine"))
            continue
        passed, text = run(version, python, chosen.workers)
        good &= passed
        rows.append((version, text))
    print("\nPython  unit tests")
    for version, text in rows:
        print(f"{version:<6}  {text}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
