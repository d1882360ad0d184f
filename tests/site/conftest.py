"""Fixtures: the built site, a server for it on this machine, and a real Chromium."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
SOURCES = ("chapters", "nnbook", "_ext", "_static", "_config.yml", "_toc.yml", "genindex.md")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
]


def _newest(path: Path) -> float:
    files = path.rglob("*") if path.is_dir() else [path]
    kinds = {".py", ".md", ".ipynb", ".yml", ".json", ".bib", ".css", ".js"}
    return max((f.stat().st_mtime for f in files if f.suffix in kinds), default=0.0)


@pytest.fixture(scope="session")
def site() -> Path:
    """The site's folder; built first if it is absent or older than its sources."""
    mark = HTML / ".built"
    HTML.parent.mkdir(exist_ok=True)
    with (HTML.parent / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one build, however many test processes
        newest = max(_newest(ROOT / name) for name in SOURCES)
        if not mark.exists() or mark.stat().st_mtime < newest:
            command = [str(Path(sys.executable).with_name("jupyter-book")), "build", ".", "-W"]
            command += ["-n", "--keep-going"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return HTML


@pytest.fixture(scope="session")
def pages(site: Path) -> list[str]:
    """The addresses of all pages, relative to the site (index.html only leads to the first)."""
    found = sorted(p.relative_to(site).as_posix() for p in site.rglob("*.html"))
    return [page for page in found if not page.startswith("_") and page != "index.html"]


@pytest.fixture(scope="session")
def server(site: Path) -> Iterator[str]:
    """The address of the site on this machine."""
    with serving(site) as address:
        yield address


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A real Chromium; without one the test is skipped, or fails where one is required."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        reason = f"no browser: none of {', '.join(names)} is installed"
        if os.environ.get("NNBOOK_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{reason}, and NNBOOK_REQUIRE_BROWSER=1 requires one")
        pytest.skip(reason)
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


class Watched:
    """A browser page that notes every error, failed request and request to another host."""

    def __init__(self, browser: Any, home: str, **context: Any) -> None:
        self.home = home
        self.problems: list[str] = []
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.problems.append(f"page error: {error}"))
        self.page.on("request", self._request)
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text[:300]}")

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.home, "data:", "blob:", "about:")):
            self.problems.append(f"foreign request: {request.url[:200]}")

    def _failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # which is what leaving a page early does
            self.problems.append(f"failed: {request.url[:200]}")

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self.problems.append(f"status {response.status}: {response.url[:200]}")

    def open(self, address: str) -> Any:
        """Go to a page of the site and wait until its mathematics is typeset."""
        self.page.goto(self.home + address)
        self.page.evaluate("window.MathJax && MathJax.startup && MathJax.startup.promise")
        return self.page

    def close(self) -> None:
        """Close the page and its context."""
        self.context.close()
