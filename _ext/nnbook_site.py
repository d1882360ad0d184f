"""Sphinx extension: what makes the site complete without any other host.

It copies the MathJax files that are used, takes out thebe (whose script loads from elsewhere and
raises an error on every page even when it is off), the font preloads, and the sliders' pictures in
the notebooks to download, shows launch buttons when ``NNBOOK_REPOSITORY_URL`` is set, and warns
about images without alternative text.
"""

from __future__ import annotations

import html
import importlib.util
import os
import re
import shutil
import sys
import zlib
from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

logger = logging.getLogger(__name__)

REPOSITORY_VARIABLE = "NNBOOK_REPOSITORY_URL"
BINDER = "https://mybinder.org"
# The script, its fonts, and the parts it loads when a formula or the reader asks for them.
MATHJAX_PARTS = (
    "tex-chtml.js",
    "output/chtml/fonts/woff-v2",
    "input/tex/extensions",
    "a11y",
    "sre/mathmaps/base.json",
    "sre/mathmaps/en.json",
)
REDIRECT = re.compile(r'<meta http-equiv="Refresh" content="0; url=([^"]+)" />$')
INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<link rel="icon" href="_static/favicon.svg">
<meta http-equiv="Refresh" content="0; url={first}">
</head><body><p><a href="{first}">{title}</a></p></body></html>
"""
FONT_PRELOAD = re.compile(r'<link rel="preload" as="font"[^>]*>')


def remove_thebe(app: Sphinx, config: Config) -> None:
    """Disconnect sphinx-thebe, which Jupyter Book always loads."""
    for listeners in app.events.listeners.values():
        listeners[:] = [x for x in listeners if x.handler.__module__ != "sphinx_thebe"]
    app.registry.css_files[:] = [x for x in app.registry.css_files if "thebe" not in x[0]]


def set_repository(app: Sphinx, config: Config) -> None:
    """Show launch and source buttons when the repository's address is known."""
    url = os.environ.get(REPOSITORY_VARIABLE, "").rstrip("/")
    options = config.html_theme_options
    options["launch_buttons"] = {"notebook_interface": "jupyterlab", "thebe": False}
    if url:
        options["repository_url"] = url
        options["repository_branch"] = os.environ.get("NNBOOK_REPOSITORY_BRANCH", "main")
        options["use_repository_button"] = True
        options["launch_buttons"]["binderhub_url"] = BINDER
    else:
        options.pop("repository_url", None)


def resolve_reexported(
    app: Sphinx, env: BuildEnvironment, node: nodes.Element, content: nodes.Element
) -> nodes.Element | None:
    """Link a type by the name under which the package shows it.

    A signature names `nnbook.training.history.History`; the reference has it as
    `nnbook.training.History`. A name that the package does not show stays text.
    """
    parts = node.get("reftarget", "").split(".")
    if node.get("refdomain") != "py" or parts[0] != "nnbook" or len(parts) != 4:
        return None
    shown = ".".join([*parts[:2], parts[3]])
    domain = env.get_domain("py")
    if shown not in domain.objects:
        return content
    docname, anchor = domain.objects[shown][:2]
    return make_refnode(app.builder, node["refdoc"], docname, anchor, [content], shown)


def warn_about_alt(app: Sphinx, doctree: nodes.document) -> None:
    """Warn about every image that says nothing to those who cannot see it."""
    for image in doctree.findall(nodes.image):
        if not image.get("alt", "").strip():
            logger.warning(
                "an image has no alternative text: set mystnb.image.alt in the cell's metadata, "
                "or :alt: in the directive",
                location=image,
                type="nnbook",
                subtype="alt",
            )


def remove_preloads(app: Sphinx, error: Exception | None) -> None:
    """Take out the theme's font preloads: from file:// they fail, with an error in the console."""
    if error is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        without = FONT_PRELOAD.sub("", text)
        if without != text:
            page.write_text(without, encoding="utf-8")


def write_index(app: Sphinx, error: Exception | None) -> None:
    """Make index.html, which only leads to the first page, a whole page with an icon and a link."""
    page = Path(app.outdir) / "index.html"
    if error is not None or not page.exists():
        return
    found = REDIRECT.match(page.read_text(encoding="utf-8").strip())
    if found:
        title, first = html.escape(app.config.html_title), found[1]
        page.write_text(INDEX.format(title=title, first=first), encoding="utf-8")


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Copy the MathJax files that are used into the site."""
    if error is not None or app.builder.format != "html":
        return
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    if package is None or package.origin is None:
        raise RuntimeError("sphinx-mathjax-offline is not installed: run `make book`")
    source = Path(package.origin).parent / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    for part in MATHJAX_PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            shutil.copy2(source / part, target / part)


def thin_downloads(app: Sphinx, error: Exception | None) -> None:
    """Take the sliders' pictures, half of the site, out of the notebooks that a page offers.

    The page itself has them, and Jupyter shows them only where it trusts a file; running the
    notebook makes them anew. All other outputs stay, to compare one's own with.
    """
    if error is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir, "_sources").rglob("*.ipynb"):
        notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                if "data:image" in output.get("data", {}).get("text/html", ""):
                    del output["data"]["text/html"]
        nbformat.write(notebook, path)


def stamp(app: Sphinx, error: Exception | None) -> None:
    """Leave a mark of a build without warnings; the tests of the site rebuild what is older.

    After a build with warnings what was read is forgotten: else the next build would read only
    what changed, see nothing wrong and pass.
    """
    mark = Path(app.outdir) / ".built"
    if error is None and app.statuscode == 0:
        mark.touch()
    else:
        mark.unlink(missing_ok=True)
        Path(app.doctreedir, "environment.pickle").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    sys.path.insert(0, str(app.srcdir))  # the API pages document the package beside the book
    app.connect("config-inited", remove_thebe)
    app.connect("config-inited", set_repository)
    app.connect("missing-reference", resolve_reexported)
    app.connect("doctree-read", warn_about_alt)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", remove_preloads)
    app.connect("build-finished", write_index, priority=900)  # after it has been written
    app.connect("build-finished", thin_downloads)
    app.connect("build-finished", stamp)
    return {
        "version": "1",
        "env_version": zlib.crc32(Path(__file__).read_bytes()),  # read all anew after a change here
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
