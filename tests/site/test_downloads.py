"""What a page offers runs elsewhere: the chapter's archive and the package's wheel, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
# Quick ones; among them are some that read a study and its module, and some with verdicts.
NOTEBOOKS = (
    "gradient_descent/noise",
    "gradient_descent/batches",
    "hyperparameters/search",
    "regularization/lab_stopping",
    "second_order/lab_newton",
)
MIME_TYPE = "application/vnd.nnbook.verdict+json"
RUN = """
import sys, nbformat, nnbook
from nbclient import NotebookClient
assert nnbook.__file__.startswith(sys.argv[2]), nnbook.__file__
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture(scope="module")
def package(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the site offers, unpacked as pip would."""
    (wheel,) = (site / "downloads").glob("nnbook-*.whl")
    folder = tmp_path_factory.mktemp("package")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_downloaded_notebook_runs_elsewhere(
    name: str, site: Path, package: Path, tmp_path: Path
) -> None:
    chapter, _, page = name.partition("/")
    with zipfile.ZipFile(site / "downloads" / f"{chapter}.zip") as archive:
        archive.extractall(tmp_path)
    path = tmp_path / chapter / f"{page}.ipynb"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NNBOOK_")}
    environment |= {"PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        environment[proxy] = "http://127.0.0.1:9"  # nothing is fetched
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path), str(package)],
        cwd=path.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    notebook = nbformat.read(path, as_version=4)
    records = [
        output["data"][MIME_TYPE]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if MIME_TYPE in output.get("data", {})
    ]
    assert all(record["statement"] for record in records)
    errors = [o for c in notebook.cells for o in c.get("outputs", []) if o.get("name") == "stderr"]
    assert errors == []


def test_every_notebook_names_its_archive_and_one_line_of_installation(site: Path) -> None:
    for path in (ROOT / "chapters").glob("*/*.ipynb"):
        page = (site / path.relative_to(ROOT)).with_suffix(".html")
        if not page.exists():
            continue  # not in the table of contents
        text = page.read_text(encoding="utf-8")
        chapter = path.parent.name
        assert f"downloads/{chapter}.zip" in text
        assert "pip install &quot;nnbook-" in text
        with zipfile.ZipFile(site / "downloads" / f"{chapter}.zip") as archive:
            names = set(archive.namelist())
            assert f"{chapter}/{path.name}" in names
            assert {f"{chapter}/claims.yml", f"{chapter}/README.txt"} <= names
            beside = {p for p in path.parent.iterdir() if p.suffix in (".json", ".py")}
            assert {f"{chapter}/{p.name}" for p in beside} <= names
            offered = json.loads(archive.read(f"{chapter}/{path.name}"))
        assert "pip install" in "".join(offered["cells"][0]["source"])
