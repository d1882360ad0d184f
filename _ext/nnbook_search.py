"""Sphinx extension: a search of the book's sections, with excerpts, that works from file:// too.

Sphinx's own index knows pages, and its script fetches the excerpts, which a browser refuses from
``file://``. Here every section and every entry of the reference is a result of its own; what is
searched is written into one script beside `nnbook-search.js`, which looks through it. The spellings
of British and American English are one there, and words that mean the same find each other.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config

# What readers call a thing, and what the book calls it: a query with one finds the others.
SYNONYMS = (
    ("learning rate finder", "lr finder", "learning rate range test", "range test"),
    ("learning rate", "step size", "lr"),
    ("learning rate schedule", "schedule", "annealing", "rate decay"),
    ("stochastic gradient descent", "sgd"),
    ("batch norm", "batch normalization", "batchnorm"),
    ("minibatch", "mini batch", "batch size"),
    ("weight decay", "l2 regularization", "l2 penalty"),
    ("early stopping", "patience"),
    ("gradient check", "numerical gradient", "finite difference", "check gradients"),
    ("hyperparameter search", "hyperparameter tuning", "random search", "grid search"),
    ("neural network", "neural net", "multilayer perceptron", "mlp"),
    ("weight averaging", "polyak averaging", "swa"),
    ("initialization", "initial weight", "xavier", "glorot"),
    ("preprocessing", "standardize", "feature scaling", "whitening"),
    ("vanishing gradient", "exploding gradient", "saturation"),
    ("activation function", "activation", "nonlinearity", "sigmoid"),
    ("save model", "load model", "checkpoint"),
    ("dead relu", "dead unit", "dying relu"),
    ("ensemble", "bagging", "many networks", "model averaging"),
    ("error bar", "confidence interval"),
    ("seed", "random state", "reproducibility"),
    ("nan", "not a number", "divergence"),
)
INDEX = "nnbook-search-index.js"
SCRIPT = "nnbook-search.js"
KEPT = "nnbook-search.json"
OLD_SCRIPTS = re.compile(
    r'\s*<script src="(?:_static/searchtools\.js|_static/language_data\.js|searchindex\.js)">'
    r"</script>"
)
NEW_SCRIPTS = (
    f'\n  <script defer src="_static/{INDEX}"></script>'
    f'\n  <script defer src="_static/{SCRIPT}"></script>'
)
# What is not prose: a page's scripts, the tables of numbers that a cell prints, menus.
SKIPPED = (nodes.raw, nodes.comment, nodes.image, nodes.target, nodes.substitution_definition)
SKIPPED += (addnodes.toctree, addnodes.index, addnodes.desc_signature, nodes.system_message)
BOX = re.compile(r'<div class="nnbook-verdict.*?</div>', re.DOTALL)
LINKS = re.compile(r'<span class="nnbook-links">.*?</span>', re.DOTALL)
TAG = re.compile(r"<[^>]+>")
COMMAND = re.compile(r"\\(?:mathrm|mathbf|text|operatorname|left|right|,|;|!|quad)\s*|[{}\\]")
BLANKS = re.compile(r"\s+")

NAME = re.compile(r"[A-Za-z_]\w{2,}")

Entry = list[str]  # anchor, heading, text, names in the code


def entries_of(doctree: nodes.document) -> list[Entry]:
    """Return what can be found on a page: one entry for each section and each name documented."""
    found: list[Entry] = []
    for section in doctree.findall(nodes.section):
        title = section.next_node(nodes.title)
        if title is not None and section["ids"]:
            found.append([section["ids"][0], plain(title), *contents(section)])
    for entry in doctree.findall(addnodes.desc):
        signature = entry.next_node(addnodes.desc_signature)
        if signature is not None and signature["ids"]:
            name = signature["ids"][0].removeprefix("nnbook.")
            found.append([signature["ids"][0], name, *contents(entry)])
    return found


def contents(part: nodes.Element) -> tuple[str, str]:
    """Return a section's prose and the names in its code, without what has an entry of its own."""
    prose: list[str] = []
    code: list[str] = []

    def visit(node: nodes.Node) -> None:
        if isinstance(node, SKIPPED) or is_output(node):
            prose.extend(boxes(node))
        elif isinstance(node, nodes.math_block):
            prose.append(plain(node))
        elif isinstance(node, nodes.FixedTextElement):
            code.extend(NAME.findall(node.astext()))
        elif isinstance(node, nodes.TextElement):
            prose.append(plain(node))
        else:
            for child in node.children:
                if not isinstance(child, nodes.section | addnodes.desc | nodes.title):
                    visit(child)

    for child in part.children:
        if not isinstance(child, nodes.section | addnodes.desc | nodes.title):
            visit(child)
    return tidy(" ".join(prose)), " ".join(dict.fromkeys(code))


def is_output(node: nodes.Node) -> bool:
    """Tell whether a node is what a cell printed."""
    return isinstance(node, nodes.Element) and "cell_output" in node.get("classes", ())


def boxes(node: nodes.Node) -> Iterator[str]:
    """Yield the words of the verdict boxes in it."""
    for raw in node.findall(nodes.raw):
        for box in BOX.findall(raw.astext()):
            yield html.unescape(TAG.sub(" ", LINKS.sub("", box)))


def plain(node: nodes.Element) -> str:
    """Return a paragraph's text; a formula without its commands."""
    parts = []
    for leaf in node.findall(nodes.Text):
        if isinstance(leaf.parent, nodes.math | nodes.math_block):
            parts.append(COMMAND.sub("", str(leaf)))
        else:
            parts.append(str(leaf))
    return tidy("".join(parts))


def tidy(text: str) -> str:
    """Return a text with single blanks."""
    return BLANKS.sub(" ", text).strip()


def leave_to_search_page(app: Sphinx, config: Config) -> None:
    """Take the search's script from the other pages: Jupyter Book loads all of `_static`."""
    config.html_js_files[:] = [one for one in config.html_js_files if SCRIPT not in one]


def note(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Keep what can be found on the page that is about to be written."""
    if app.builder.format == "html":
        kept = app.__dict__.setdefault("nnbook_search", {})
        kept[docname] = [app.env.titles[docname].astext(), entries_of(doctree)]


def write_index(app: Sphinx, error: Exception | None) -> None:
    """Write the script with all that is searched, and let the search page load it."""
    if error is not None or app.builder.format != "html":
        return
    memory = Path(app.doctreedir, KEPT)  # of the pages that were not written this time
    pages = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else {}
    pages |= app.__dict__.get("nnbook_search", {})
    pages = {name: page for name, page in sorted(pages.items()) if name in app.env.all_docs}
    memory.write_text(json.dumps(pages), encoding="utf-8")
    data = {
        "synonyms": SYNONYMS,
        "pages": [[app.builder.get_target_uri(name), *page] for name, page in pages.items()],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    target = Path(app.outdir, "_static", INDEX)
    target.write_text(f"window.nnbookSearchIndex = {text};\n", encoding="utf-8")
    page = Path(app.outdir, "search.html")
    text = page.read_text(encoding="utf-8")
    if INDEX not in text:
        page.write_text(OLD_SCRIPTS.sub("", text).replace("</head>", f"{NEW_SCRIPTS}\n</head>", 1))
    Path(app.outdir, "searchindex.js").unlink(missing_ok=True)


def forget_the_other_index(app: Sphinx) -> None:
    """Keep Sphinx from reading its own index again, which `searchindex.js` no longer holds."""
    app.builder.load_indexer = lambda docnames: None  # type: ignore[attr-defined]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("builder-inited", forget_the_other_index)
    app.connect("config-inited", leave_to_search_page)
    app.connect("doctree-resolved", note, priority=900)  # after verdicts and citations
    app.connect("build-finished", write_index)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": False}
