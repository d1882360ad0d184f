"""Sphinx extension: the site carries no script, font or style sheet that it does not use.

MathJax comes as the parts that typeset TeX, without its menu; Font Awesome as the icons that the
pages show, in one small font instead of a script of 1.5 MB; of the theme's style sheets the rules
stay whose classes occur somewhere in the site. In code, names and punctuation, which have the
colour of the text, need no element each. A first visit loads a third of what it would.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import tinycss2
from fontTools import subset, ttLib
from sphinx.application import Sphinx

# Each is loaded by `startup.js` as soon as a page has a formula; the fonts when a glyph is shown.
MATHJAX_PARTS = (
    "startup.js",
    "core.js",
    "input/tex.js",
    "input/tex/extensions",
    "output/chtml.js",
    "output/chtml/fonts",
    "a11y/assistive-mml.js",
)
AWESOME = "vendor/fontawesome/*"
AWESOME_SCRIPT = re.compile(r'<script src="[^"]*/fontawesome/[^"]*"></script>\n?')
FONT_PRELOAD = re.compile(r'<link rel="preload" as="font"[^>]*>')
UNCOLOURED = re.compile(r'<span class="[npw]">([^<]*)</span>')  # see pygments.css
FONT_SOURCE = re.compile(r"url\((?P<path>[^)]*)\.woff2\) format\(\"woff2\"\),url\([^)]*\)[^,;}]*")
ICON = re.compile(r"\\(f[0-9a-f]{3})\b|([\uf000-\uf8ff])")
CLASS_ATTRIBUTE = re.compile(r'\bclass="([^"]*)"')
WORD = re.compile(r"-?[A-Za-z_][\w-]*")
# Bootstrap's script puts these together from pieces.
COMPOSED = ("bs-tooltip", "tooltip", "dropdown", "collaps")
OWN = "nnbook"


def copy_mathjax(app: Sphinx) -> None:
    """Copy the MathJax files that are used into the site."""
    package = importlib.util.find_spec("sphinx-mathjax-offline")
    if package is None or package.origin is None:
        raise RuntimeError("sphinx-mathjax-offline is not installed: run `make book`")
    source = Path(package.origin).parent / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    shutil.rmtree(target, ignore_errors=True)
    for part in MATHJAX_PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part)
        else:
            shutil.copy2(source / part, target / part)


def words_used(outdir: Path) -> set[str]:
    """Return every class of the pages, and every word of the scripts, which may set classes."""
    words: set[str] = set()
    for page in outdir.rglob("*.html"):
        for classes in CLASS_ATTRIBUTE.findall(page.read_text(encoding="utf-8")):
            words.update(classes.split())
    for script in (outdir / "_static").rglob("*.js"):
        if not {"mathjax", "fontawesome"} & set(script.parts):
            words.update(WORD.findall(script.read_text(encoding="utf-8")))
    return words


def prune(css: str, words: set[str]) -> str:
    """Return a style sheet without the rules whose classes occur nowhere."""
    rules = tinycss2.parse_stylesheet(css, skip_comments=False, skip_whitespace=True)
    return "".join(_pruned(rules, words))


def _pruned(rules: list[Any], words: set[str]) -> Iterator[str]:
    for rule in rules:
        if rule.type == "qualified-rule":
            kept = [s for s in _selectors(rule.prelude) if _may_match(s, words)]
            if kept:
                selectors = ",".join(tinycss2.serialize(s).strip() for s in kept)
                yield f"{selectors}{{{tinycss2.serialize(rule.content)}}}\n"
        elif rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports"):
            inner = tinycss2.parse_rule_list(rule.content, skip_whitespace=True)
            if body := "".join(_pruned(inner, words)):
                yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{body}}}\n"
        else:
            yield rule.serialize() + "\n"


def _selectors(prelude: list[Any]) -> list[list[Any]]:
    found: list[list[Any]] = [[]]
    for token in prelude:
        if token == ",":
            found.append([])
        else:
            found[-1].append(token)
    return found


def _may_match(selector: list[Any], words: set[str]) -> bool:
    """Tell whether the classes of a selector occur; what stands in :not() or :is() is not asked."""
    classes = [
        after.value
        for before, after in pairwise(selector)
        if before == "." and after.type == "ident"
    ]
    return all(name in words or name.startswith(COMPOSED) for name in classes)


def icons_used(static: Path) -> set[int]:
    """Return the code points of the icons that the style sheets name."""
    text = "".join(css.read_text(encoding="utf-8") for css in static.rglob("*.css"))
    return {
        int(escaped, 16) if escaped else ord(literal) for escaped, literal in ICON.findall(text)
    }


def thin_icons(awesome: Path, icons: set[int]) -> None:
    """Replace Font Awesome's fonts by some with these icons only, and its script by nothing."""
    shutil.rmtree(awesome / "js", ignore_errors=True)
    for font in (awesome / "webfonts").glob("*.ttf"):
        with ttLib.TTFont(font) as glyphs:
            subsetter = subset.Subsetter(subset.Options(desubroutinize=True))
            subsetter.populate(unicodes=icons)
            subsetter.subset(glyphs)
            glyphs.flavor = "woff"
            glyphs.save(font.with_suffix(".woff"))
        font.unlink()
        font.with_suffix(".woff2").unlink(missing_ok=True)
    for sheet in (awesome / "css").glob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        text = FONT_SOURCE.sub(r'url(\g<path>.woff) format("woff")', text)
        sheet.write_text(text, encoding="utf-8")


def thin(app: Sphinx, error: Exception | None) -> None:
    """Leave in the site what its pages use."""
    if error is not None or app.builder.format != "html":
        return
    copy_mathjax(app)
    outdir = Path(app.outdir)
    static = outdir / "_static"
    for page in outdir.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        # A font that is preloaded from file:// fails, with an error in the console.
        without = AWESOME_SCRIPT.sub("", FONT_PRELOAD.sub("", text))
        without = UNCOLOURED.sub(r"\1", without)
        if without != text:
            page.write_text(without, encoding="utf-8")
    words = words_used(outdir)
    for sheet in static.rglob("*.css"):
        if not sheet.name.startswith(OWN):
            sheet.write_text(prune(sheet.read_text(encoding="utf-8"), words), encoding="utf-8")
    icons = icons_used(static)
    for awesome in static.glob(AWESOME):
        thin_icons(awesome, icons)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("build-finished", thin, priority=800)  # after everything has been copied
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
