"""Sphinx extension: what makes the site complete without any other host.

It takes out thebe (whose script loads from elsewhere and raises an error on every page even when it
is off), shows launch buttons when ``NNBOOK_REPOSITORY_URL`` is set, warns about images without
alternative text, and gives the theme's controls the names that a screen reader needs.
"""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

logger = logging.getLogger(__name__)

REPOSITORY_VARIABLE = "NNBOOK_REPOSITORY_URL"
BINDER = "https://mybinder.org"
# What has no name of its own, or another than it shows, where somebody listens to the page or
# speaks to it: the buttons that unfold the menu, the search, the buttons that show hidden code.
UNFOLD = re.compile(
    r"(?P<link><a class=\"[^\"]*\" href=\"[^\"]*\">(?P<title>(?:(?!</a>).)*)</a>"
    r"<details[^>]*><summary)>",
    re.DOTALL,
)
# A box to tick, named by the bold words after it.
BOX = re.compile(
    r'<input class="task-list-item-checkbox" disabled="disabled" type="checkbox">'
    r"(?P<title>\s*<strong>(?:(?!</strong>).)*</strong>)?",
    re.DOTALL,
)
TAG = re.compile(r"<[^>]+>")
RENAMED = (
    (re.compile(r'(<button class="btn search-button-field[^>]*?) aria-label="Search"'), r"\1"),
    (re.compile(r'(<summary) aria-label="Toggle hidden content"'), r"\1"),
    (
        re.compile(r'(<div class="bd-sidebar-primary[^"]*")>'),
        r'\1 role="region" aria-label="Book">',
    ),
    (re.compile(r'(<div) role="list" (class="citation-list")'), r"\1 \2"),
    (re.compile(r'(<div class="citation"[^>]*) role="doc-biblioentry"'), r"\1"),
)
REDIRECT = re.compile(r'<meta http-equiv="Refresh" content="0; url=([^"]+)" />$')
INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<link rel="icon" href="_static/favicon.svg">
<meta http-equiv="Refresh" content="0; url={first}">
</head><body><p><a href="{first}">{title}</a></p></body></html>
"""


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


def name_controls(app: Sphinx, error: Exception | None) -> None:
    """Give the controls of every page their names."""
    if error is not None or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        named = accessible(text)
        if named != text:
            page.write_text(named, encoding="utf-8")


def accessible(text: str) -> str:
    """Return a page whose controls can be told apart by their names, and whose boxes be ticked."""

    def words(markup: str) -> str:
        return html.escape(html.unescape(TAG.sub("", markup)).strip(), quote=True)

    def name(found: re.Match[str]) -> str:
        return f'{found["link"]} aria-label="Pages of {words(found["title"])}">'

    def box(found: re.Match[str]) -> str:
        label = words(found["title"] or "") or "Done"
        kept = 'class="task-list-item-checkbox" type="checkbox" autocomplete="off"'
        return f'<input {kept} aria-label="{label}">{found["title"] or ""}'

    text = BOX.sub(box, UNFOLD.sub(name, text))
    for pattern, replacement in RENAMED:
        text = pattern.sub(replacement, text)
    return text


def write_index(app: Sphinx, error: Exception | None) -> None:
    """Make index.html, which only leads to the first page, a whole page with an icon and a link."""
    page = Path(app.outdir) / "index.html"
    if error is not None or not page.exists():
        return
    found = REDIRECT.match(page.read_text(encoding="utf-8").strip())
    if found:
        title, first = html.escape(app.config.html_title), found[1]
        page.write_text(INDEX.format(title=title, first=first), encoding="utf-8")


def name_the_way_back(app: Sphinx, error: Exception | None) -> None:
    """After a build that failed, name the notebooks that playing may have changed, and the remedy.

    A notebook that was run and saved has warnings in its outputs, or verdicts on other seeds.
    """
    if error is None and app.statuscode == 0:
        return
    if changed := changed_notebooks(Path(app.srcdir)):
        names = "\n  ".join(changed)
        print(
            f"\nThese notebooks are not as they are in the repository:\n  {names}\n"
            "If you only played with them, `git restore chapters` brings them back. "
            "`make lab` opens a copy, which the book does not read.",
            file=sys.stderr,
        )


def changed_notebooks(root: Path) -> list[str]:
    """Return the notebooks that differ from those committed; none where there is no repository."""
    command = ["git", "diff", "--name-only", "--relative", "HEAD", "--", "chapters/*.ipynb"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except OSError:  # no git
        return []
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


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
    app.connect("build-finished", write_index, priority=900)  # after it has been written
    app.connect("build-finished", name_controls)
    app.connect("build-finished", name_the_way_back)
    app.connect("build-finished", stamp, priority=999)  # the last of all
    return {
        "version": "1",
        "env_version": zlib.crc32(Path(__file__).read_bytes()),  # read all anew after a change here
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
