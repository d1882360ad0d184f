"""Sphinx extension: what a reader needs to run a page at home.

Each page of a chapter offers the chapter as one archive: its notebooks, its studies with their
data, the claims. The package itself, with its data sets, is offered once, as a wheel. A notebook
page, and every notebook that is downloaded, names the one line that installs it.
"""

from __future__ import annotations

import html
import importlib.metadata
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import nbformat
from docutils import nodes
from sphinx.application import Sphinx

FOLDER = "downloads"
CLAIMS = "chapters/claims.yml"
CELL = "installation"  # the identifier of the cell that a downloaded notebook begins with
# What a chapter's studies import from the project's tools.
TOOLS = ("studies.py", "notebooks.py")
KINDS = {".ipynb", ".py", ".json", ".csv", ".npz"}
LONG_AGO = (2020, 1, 1, 0, 0, 0)  # the same files make the same archive
README = """\
One chapter of "nnbook: a textbook that runs".

Install the package, which the site offers beside this archive, in a new environment:

    {install}

With Python 3.13 or 3.14 also: {mxnet}

Then start JupyterLab here, with `jupyter lab`, and open a notebook.
"""
# What pip will not resolve by itself there: MXNet's wheel asks for an older NumPy (see README.md).
MXNET = "pip install --no-deps mxnet==1.9.1"


def wheel_name() -> str:
    """Return the name of the package's wheel."""
    return f"nnbook-{importlib.metadata.version('nnbook')}-py3-none-any.whl"


def installation() -> str:
    """Return the one line that installs what the notebooks run on."""
    return f'pip install "{wheel_name()}[all]"'


def chapter_of(docname: str, root: Path) -> str | None:
    """Return the chapter of a page, where it is one with notebooks, and so with an archive."""
    parts = PurePosixPath(docname).parts
    folder = root.joinpath(*parts[:-1])
    return parts[1] if len(parts) == 3 and any(folder.glob("*.ipynb")) else None


def offer(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Offer the archive in the page's menu, and say below a notebook how to run it."""
    chapter = chapter_of(pagename, Path(app.srcdir))
    if chapter is None or "body" not in context:
        return
    archive = context["pathto"](f"{FOLDER}/{chapter}.zip", 1)
    for group in context.get("header_buttons", ()):
        if group.get("label") == "download-buttons":
            group["buttons"].insert(
                1,
                {
                    "type": "link",
                    "url": archive,
                    "text": ".zip",
                    "icon": "fas fa-file-zipper",
                    "tooltip": "Download the chapter with its data",
                    "label": "download-chapter-button",
                },
            )
    if context.get("sourcename", "").endswith(".ipynb"):
        wheel = context["pathto"](f"{FOLDER}/{wheel_name()}", 1)
        context["body"] += (
            '<aside class="nnbook-run" aria-label="Run this page">'
            "<p><strong>Run this page.</strong> "
            f'Download <a href="{archive}" download>the chapter</a> (its notebooks, studies and '
            f'claims) and <a href="{wheel}" download>the package</a>, and install it:</p>'
            f"<pre>{html.escape(installation())}</pre><p>With Python 3.13 or 3.14 also "
            f"<code>{html.escape(MXNET)}</code>. Then <code>jupyter lab</code> needs no network."
            "</p></aside>"
        )


def thin_notebook(path: Path) -> None:
    """Make a notebook ready to be downloaded.

    The sliders' pictures, half of the site, are taken out: the page itself has them, Jupyter shows
    them only where it trusts a file, and running the notebook makes them anew. All other outputs
    stay, to compare one's own with. The first cell says what to install.
    """
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "data:image" in output.get("data", {}).get("text/html", ""):
                del output["data"]["text/html"]
    if not notebook.cells or notebook.cells[0].get("id") != CELL:
        words = (
            f"*This notebook is a page of* nnbook. *It needs* `{installation()}` *(the wheel is "
            f"offered beside it; with Python 3.13 or 3.14 also* `{MXNET}`*) and, where it reads a "
            "study or prints a verdict's claim, the other files of the chapter's archive.*"
        )
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(words, id=CELL))
    nbformat.write(notebook, path)


def pack(app: Sphinx, chapter: str, notebooks: list[Path]) -> None:
    """Write a chapter's archive: its notebooks as they are offered, and what stands beside them."""
    source = Path(app.srcdir, "chapters", chapter)
    files = {path.name: path.read_bytes() for path in notebooks}
    for path in sorted(source.iterdir()):
        if path.suffix in KINDS - {".ipynb"}:
            files[path.name] = path.read_bytes()
    if any(name.startswith("long_") for name in files):
        files |= {name: Path(app.srcdir, "tools", name).read_bytes() for name in TOOLS}
    files["claims.yml"] = Path(app.srcdir, CLAIMS).read_bytes()
    files["README.txt"] = README.format(install=installation(), mxnet=MXNET).encode()
    target = Path(app.outdir, FOLDER, f"{chapter}.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{chapter}/{name}", LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def build_wheel(app: Sphinx) -> None:
    """Build the package's wheel, unless the one that is there is newer than its sources."""
    target = Path(app.outdir, FOLDER, wheel_name())
    root = Path(app.srcdir)
    sources = [p for p in (root / "nnbook").rglob("*") if "__pycache__" not in p.parts]
    newest = max(path.stat().st_mtime for path in [root / "pyproject.toml", *sources])
    if target.exists() and target.stat().st_mtime > newest:
        return
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target.parent)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode or not target.exists():
        raise RuntimeError(f"the wheel could not be built: {done.stdout}{done.stderr}")


def write_downloads(app: Sphinx, error: Exception | None) -> None:
    """Write what the pages offer."""
    if error is not None or app.builder.format != "html":
        return
    Path(app.outdir, FOLDER).mkdir(exist_ok=True)
    chapters: dict[str, list[Path]] = {}
    for path in sorted(Path(app.outdir, "_sources").rglob("*.ipynb")):
        thin_notebook(path)
        docname = path.relative_to(Path(app.outdir, "_sources")).with_suffix("").as_posix()
        if docname in app.env.all_docs and (chapter := chapter_of(docname, Path(app.srcdir))):
            chapters.setdefault(chapter, []).append(path)
    for chapter, notebooks in chapters.items():
        pack(app, chapter, notebooks)
    build_wheel(app)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("html-page-context", offer, priority=502)  # after the theme has made its buttons
    app.connect("build-finished", write_downloads)
    return {
        "version": "1",
        "env_version": zlib.crc32(Path(__file__).read_bytes()),  # the pages carry what it writes
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
