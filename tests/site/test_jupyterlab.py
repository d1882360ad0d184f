"""A figure with sliders in JupyterLab: not trusted, trusted and reopened, run again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tools import notebooks

SOURCE = """\
from matplotlib.figure import Figure
from nnbook.explore import explore

def draw(rate):
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1], [1, 1 - rate])
    return figure

explore(draw, alt="a line", caption="A line.", rate=[0.1, 0.5])"""
GRID = """\
from nnbook import optim
from nnbook.explore import explore_grid

explore_grid(**optim.unit_tests(optim.sgd(0.1), seeds=2).grid(), alt="outcomes")"""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[tuple[str, Path, Any]]:
    """A JupyterLab of its own, with a notebook as `make run` would commit it."""
    home = tmp_path_factory.mktemp("lab")
    notebook = home / "figure.ipynb"
    for path, source in ((notebook, SOURCE), (home / "grid.ipynb", GRID)):
        cells = [nbformat.v4.new_code_cell(source)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    settings = {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": str(ROOT),
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    notebooks.execute([notebook, home / "grid.ipynb"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        f"--ServerApp.root_dir={home}",
        "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=",
    ]
    command = [sys.executable, "-m", "jupyter", "lab", *options]
    with (home / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=home, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}/lab"
    try:
        _wait_for(address, server)
        yield f"{address}/tree/figure.ipynb?reset", notebook, browser
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:  # it waits for a kernel that does not answer
            server.kill()
            server.wait(20)
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(150):
        assert server.poll() is None, "JupyterLab ended before it answered"
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail("JupyterLab did not answer in 30 seconds")


def _open(lab: tuple[str, Path, Any]) -> Any:
    address, _, browser = lab
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(address)
    page.wait_for_selector(".jp-Notebook .jp-OutputArea-output img", timeout=30_000)
    return page


def test_a_figure_in_jupyterlab(lab: tuple[str, Path, Any]) -> None:
    output = ".jp-Notebook .jp-OutputArea-output"

    page = _open(lab)  # not trusted: the first frame shows, and nothing that does not work
    assert page.locator(f"{output} img").bounding_box()["width"] > 100
    assert page.locator(f"{output} img").get_attribute("alt") == "a line (rate 0.1)"
    assert page.locator(f"{output} input[type=range]").count() == 0
    assert "model not found" not in page.locator(output).inner_text()
    page.context.close()

    command = [sys.executable, "-m", "jupyter", "trust", str(lab[1])]
    subprocess.run(command, check=True, capture_output=True)
    page = _open(lab)  # trusted: the sliders of the page work without a kernel
    page.get_by_label("rate").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(f"{output} img").get_attribute("alt") == "a line (rate 0.5)"
    assert page.locator(f"{output} output").inner_text() == "0.5"

    page.wait_for_selector("[data-status=idle]", timeout=60_000)
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(f"{output} .widget-html img", timeout=60_000)  # run: the live form
    image = page.locator(f"{output} .widget-html img")
    before = image.get_attribute("src")
    page.locator(f"{output} .noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f"{output} .widget-html img[alt='a line (rate 0.5)']")
    assert image.get_attribute("src") != before
    assert page.locator(f"{output} .widget-readout").inner_text() == "0.5"
    page.context.close()


def test_a_grid_in_jupyterlab(lab: tuple[str, Path, Any]) -> None:
    address, notebook, browser = lab
    grid = notebook.with_name("grid.ipynb")
    output = ".jp-Notebook .jp-OutputArea-output"

    def opened() -> Any:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(address.replace("figure.ipynb", "grid.ipynb"))
        page.wait_for_selector(f"{output} table", timeout=30_000)
        return page

    page = opened()  # not trusted: the table shows, and nothing that does not work
    assert page.locator(f"{output} tbody td").count() == 60
    assert page.locator(f"{output} tbody td").first.inner_text() == "✓"
    assert page.locator(f"{output} button").count() == 0
    page.context.close()

    command = [sys.executable, "-m", "jupyter", "trust", str(grid)]
    subprocess.run(command, check=True, capture_output=True)
    page = opened()  # trusted: the same as on the page
    page.get_by_role("button", name="line, none").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(f"{output} output").inner_text().startswith("line, additive: good")
    assert page.locator(f"{output} svg polyline").count() == 2
    page.context.close()
