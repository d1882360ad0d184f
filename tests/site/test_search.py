"""The search: what readers look for opens at its section, over http and from file://."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import Watched

# What a reader types, and where one of the first three results has to lead.
WANTED = {
    "learning rate finder": "chapters/hyperparameters/index.html#how-does-a-learning-rate-range",
    "range test": "chapters/hyperparameters/index.html#how-does-a-learning-rate-range",
    "gradient check": "nnbook.checks.check_gradients",
    "early stopping": "EarlyStopping",
    "dead relu": "dead_units",
    "adam": "chapters/api/optim.html#nnbook.optim.adam",
    "momentum": "chapters/optimizers/index.html",
    "random search": "chapters/hyperparameters/search.html",
    "bagging": "chapters/ensembles",
    "weight initialisation": "chapters/efficient_backprop",
    "what batch size": "the-batch-size-how-many-examples-at-a-time",
    "overfitting": "a-gap-is-overfitting",
    "load_mnist": "chapters/api/data.html#nnbook.data.load_mnist",
}
# Two spellings of one word.
PAIRS = (
    ("optimiser", "optimizer"),
    ("normalisation", "normalization"),
    ("initialise", "initialize"),
    ("regularisation", "regularization"),
    ("centred", "centered"),
)


@pytest.fixture(scope="module", params=["http", "file"])
def page(request: Any, browser: Any, site: Path, server: str) -> Any:
    home = server if request.param == "http" else site.as_uri() + "/"
    watched = Watched(browser, home)
    opened = watched.open("search.html")
    yield opened
    watched.close()
    assert watched.problems == []


def addresses(page: Any, query: str) -> list[str]:
    return [address for address, _ in page.evaluate("q => nnbookSearch(q)", query)]


@pytest.mark.parametrize("query", WANTED)
def test_what_readers_look_for_is_among_the_first(query: str, page: Any) -> None:
    best = addresses(page, query)[:3]
    assert any(WANTED[query] in address for address in best), best


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_spellings_find_the_same(one: str, other: str, page: Any) -> None:
    assert addresses(page, one)
    assert addresses(page, one) == addresses(page, other)


def test_what_is_not_in_the_book_is_not_found(page: Any) -> None:
    assert addresses(page, "zzyzx") == []


def test_a_result_has_an_excerpt_and_opens_at_its_section(page: Any) -> None:
    page.goto(page.url.split("?")[0] + "?q=learning+rate+finder")
    first = page.locator("#search-results ul.search li").first
    first.wait_for()
    marked = first.locator("p.context mark").all_inner_texts()
    assert {"range", "test"} <= {word.lower() for word in marked}
    assert 60 < len(first.locator("p.context").inner_text()) < 400
    first.locator("a").click()
    page.wait_for_selector("article h1")
    anchor = page.url.partition("#")[2]
    top = page.locator(f"[id='{anchor}']").bounding_box()["y"]
    assert -5 < top < 200
    page.go_back()


def test_typing_searches_at_once(page: Any) -> None:
    page.wait_for_selector("#search-results")
    box = page.locator(".bd-search-container input[name=q], #search-input").last
    box.fill("zzyzx")
    assert "Nothing about" in page.locator("#search-results").inner_text()
    box.fill("momentum")
    assert page.locator("#search-results li").count() > 3
