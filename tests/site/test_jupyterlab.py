"""A figure with sliders in JupyterLab: not trusted, trusted and reopened, run again."""

from __future__ import annotations

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
OUTPUT = ".jp-Notebook .jp-OutputArea-output"
CONNECTED = """() => {
  const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.connectionStatus === "connected" && kernel.status === "idle";
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A JupyterLab, its folder and address, with notebooks as `make run` would commit them."""
    home = tmp_path_factory.mktemp("lab")
    paths = home / "figure.ipynb", home / "grid.ipynb"
    for path, source in zip(paths, (SOURCE, GRID), strict=True):
        cells = [nbformat.v4.new_code_cell(source)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    settings = {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONPATH": str(ROOT),
    }
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
        "--LabApp.extension_manager=readonly",  # the other one asks a package index
    ]
    command = [sys.executable, "-m", "jupyter", "lab", *options]
    address = f"http://127.0.0.1:{port}/lab"
    with pytest.MonkeyPatch.context() as patch, (home / "log").open("w") as log:
        for name, value in settings.items():
            patch.setenv(name, value)
        notebooks.execute(list(paths))
        server = subprocess.Popen(command, cwd=home, stdout=log, stderr=log)
        try:
            _wait_for(address, server)
            yield home, address
        finally:
            _stop(server)


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(150):
        assert server.poll() is None, "JupyterLab ended before it answered"
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail("JupyterLab did not answer in 30 seconds")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:  # it waits for a kernel that does not answer
        server.kill()
        server.wait(20)


def _open(browser: Any, address: str, name: str, shown: str) -> Any:
    """Open a notebook in a new window; wait for an output, and for the kernel.

    The page calls a kernel idle before it is connected. What is run then is lost, and a page that
    is closed then can leave JupyterLab waiting for ever.
    """
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(f"{address}/tree/{name}?reset")
    page.wait_for_selector(f"{OUTPUT} {shown}", timeout=60_000)
    page.wait_for_function(CONNECTED, timeout=60_000)
    return page


def _trust(notebook: Path) -> None:
    """Sign a notebook, so that JupyterLab shows all of its outputs."""
    command = [sys.executable, "-m", "jupyter", "trust", str(notebook)]
    subprocess.run(command, check=True, capture_output=True)


def test_a_figure_in_jupyterlab(lab: tuple[Path, str], browser: Any) -> None:
    home, address = lab
    # not trusted: the first frame, and no more
    page = _open(browser, address, "figure.ipynb", "img")
    assert page.locator(f"{OUTPUT} img").bounding_box()["width"] > 100
    assert page.locator(f"{OUTPUT} img").get_attribute("alt") == "a line (rate 0.1)"
    assert page.locator(f"{OUTPUT} input[type=range]").count() == 0
    assert "model not found" not in page.locator(OUTPUT).inner_text()
    page.context.close()

    _trust(home / "figure.ipynb")
    # trusted: the page's sliders, without a kernel
    page = _open(browser, address, "figure.ipynb", "img")
    page.get_by_label("rate").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(f"{OUTPUT} img").get_attribute("alt") == "a line (rate 0.5)"
    assert page.locator(f"{OUTPUT} output").inner_text() == "0.5"

    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(f"{OUTPUT} .widget-html img", timeout=60_000)  # run: the live form
    image = page.locator(f"{OUTPUT} .widget-html img")
    before = image.get_attribute("src")
    page.locator(f"{OUTPUT} .noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f"{OUTPUT} .widget-html img[alt='a line (rate 0.5)']")
    assert image.get_attribute("src") != before
    assert page.locator(f"{OUTPUT} .widget-readout").inner_text() == "0.5"
    page.context.close()


def test_a_grid_in_jupyterlab(lab: tuple[Path, str], browser: Any) -> None:
    home, address = lab
    # not trusted: the table, and no more
    page = _open(browser, address, "grid.ipynb", "table")
    assert page.locator(f"{OUTPUT} tbody td").count() == 60
    assert page.locator(f"{OUTPUT} tbody td").first.inner_text() == "✓"
    assert page.locator(f"{OUTPUT} button").count() == 0
    page.context.close()

    _trust(home / "grid.ipynb")
    # trusted: the same as on the page
    page = _open(browser, address, "grid.ipynb", "table")
    page.get_by_role("button", name="line, none").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(f"{OUTPUT} output").inner_text().startswith("line, additive: good")
    assert page.locator(f"{OUTPUT} svg polyline").count() == 2
    page.context.close()
