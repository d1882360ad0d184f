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


class Lab:
    """A JupyterLab of its own, on a folder."""

    def __init__(self, home: Path):
        self.home = home
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}/lab"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = [
            "--no-browser",
            "--allow-root",
            "--ip=127.0.0.1",
            f"--port={self.address.split(':')[-1].removesuffix('/lab')}",
            f"--ServerApp.root_dir={self.home}",
            "--ServerApp.port_retries=0",
            "--IdentityProvider.token=",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.news_url=",
            "--LabApp.extension_manager=readonly",  # the other one asks a package index
        ]
        command = [sys.executable, "-m", "jupyter", "lab", *options]
        with (self.home / "log").open("a") as log:
            self.server = subprocess.Popen(command, cwd=self.home, stdout=log, stderr=log)
        for _ in range(300):
            assert self.server.poll() is None, "JupyterLab ended before it answered"
            try:
                urllib.request.urlopen(self.address, timeout=2).close()
                return
            except OSError:
                time.sleep(0.2)
        pytest.fail("JupyterLab did not answer in a minute")

    def stop(self) -> None:
        """Stop the server; its kernels end with it."""
        self.server.terminate()
        try:
            self.server.wait(10)
        except subprocess.TimeoutExpired:  # it waits for a kernel that does not answer
            self.server.kill()
            self.server.wait(10)

    def open(self, browser: Any, name: str, shown: str) -> Any:
        """Open a notebook in a new window; wait for an output, and for the kernel.

        The page calls a kernel idle before it is connected. What is run then is lost, and a page
        that is closed then can leave JupyterLab waiting for ever.
        """
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(f"{self.address}/tree/{name}?reset")
        page.wait_for_selector(f"{OUTPUT} {shown}", timeout=60_000)
        page.wait_for_function(CONNECTED, timeout=60_000)
        return page


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab with two notebooks as `make run` would commit them."""
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
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        notebooks.execute(list(paths))
        server = Lab(home)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def trust(notebook: Path) -> None:
    """Sign a notebook, so that JupyterLab shows all of its outputs."""
    command = [sys.executable, "-m", "jupyter", "trust", str(notebook)]
    subprocess.run(command, check=True, capture_output=True)


def run_all(lab: Lab, browser: Any, page: Any, shown: str) -> Any:
    """Run all cells until something shows; once more with a new server if nothing does.

    Now and then a kernel of JupyterLab never answers, and nothing in the notebook can change that.
    """
    from playwright.sync_api import TimeoutError

    run = "window.jupyterapp.commands.execute('notebook:run-all-cells')"
    page.evaluate(run)
    try:
        page.wait_for_selector(shown, timeout=60_000)
    except TimeoutError:
        page.context.close()
        lab.stop()
        lab.start()
        page = lab.open(browser, "figure.ipynb", "img")
        page.evaluate(run)
        page.wait_for_selector(shown, timeout=60_000)
    return page


def test_a_figure_in_jupyterlab(lab: Lab, browser: Any) -> None:
    page = lab.open(browser, "figure.ipynb", "img")  # not trusted: the first frame, and no more
    assert page.locator(f"{OUTPUT} img").bounding_box()["width"] > 100
    assert page.locator(f"{OUTPUT} img").get_attribute("alt") == "a line (rate 0.1)"
    assert page.locator(f"{OUTPUT} input[type=range]").count() == 0
    assert "model not found" not in page.locator(OUTPUT).inner_text()
    page.context.close()

    trust(lab.home / "figure.ipynb")
    page = lab.open(browser, "figure.ipynb", "img")  # trusted: the page's sliders, without a kernel
    page.get_by_label("rate").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(f"{OUTPUT} img").get_attribute("alt") == "a line (rate 0.5)"
    assert page.locator(f"{OUTPUT} output").inner_text() == "0.5"

    page = run_all(lab, browser, page, f"{OUTPUT} .widget-html img")  # run: the live form
    image = page.locator(f"{OUTPUT} .widget-html img")
    before = image.get_attribute("src")
    page.locator(f"{OUTPUT} .noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f"{OUTPUT} .widget-html img[alt='a line (rate 0.5)']")
    assert image.get_attribute("src") != before
    assert page.locator(f"{OUTPUT} .widget-readout").inner_text() == "0.5"
    page.context.close()


def test_a_grid_in_jupyterlab(lab: Lab, browser: Any) -> None:
    page = lab.open(browser, "grid.ipynb", "table")  # not trusted: the table, and no more
    assert page.locator(f"{OUTPUT} tbody td").count() == 60
    assert page.locator(f"{OUTPUT} tbody td").first.inner_text() == "✓"
    assert page.locator(f"{OUTPUT} button").count() == 0
    page.context.close()

    trust(lab.home / "grid.ipynb")
    page = lab.open(browser, "grid.ipynb", "table")  # trusted: the same as on the page
    page.get_by_role("button", name="line, none").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(f"{OUTPUT} output").inner_text().startswith("line, additive: good")
    assert page.locator(f"{OUTPUT} svg polyline").count() == 2
    page.context.close()
