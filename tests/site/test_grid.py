"""A grid of outcomes, by pointer, touch and keyboard, in light and dark, without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nnbook import optim
from nnbook.explore import explore_grid
from nnbook.optim.testing import STATUSES, SYMBOLS

from .conftest import Watched

TESTS = optim.unit_tests({"sgd": optim.sgd(0.1), "adam": optim.adam(0.1)})
WORDS = TESTS.status.transpose(0, 3, 1, 2)  # rule, change, shape, noise


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("grid")
    figure = explore_grid(**TESTS.grid(), alt="outcomes", caption="Outcomes.")
    words = (
        "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>x</title><style>@media (prefers-color-scheme: dark) "
        "{ body { background: #121212; color: #ced6dd } }</style>"
    )
    (made / "page.html").write_text(words + figure.to_html(), encoding="utf-8")
    return made


@pytest.fixture(params=["light", "dark", "touch"])
def watched(request: pytest.FixtureRequest, browser: Any, folder: Path) -> Iterator[Watched]:
    page = Watched(
        browser,
        folder.as_uri(),
        viewport={"width": 390, "height": 900},
        has_touch=request.param == "touch",
        color_scheme="dark" if request.param == "dark" else "light",
    )
    page.open("/page.html")
    yield page
    page.close()
    assert page.problems == []


def shown(page: Any) -> str:
    """What is said of the cell that is shown."""
    return page.locator("output").inner_text().partition(" (")[0]


def said(rule: str, change: str, shape: str, noise: str) -> str:
    """What should be said."""
    index = TESTS.rules.index(rule), TESTS.changes.index(change)
    status = WORDS[index][TESTS.shapes.index(shape), TESTS.noises.index(noise)]
    return f"{shape}, {noise}: {STATUSES[status]}"


def curve(page: Any) -> str:
    return page.locator("svg polyline").last.get_attribute("points")


def test_keys_move_through_the_grid(watched: Watched) -> None:
    page = watched.page
    page.get_by_role("combobox", name="change").focus()
    page.keyboard.press("Tab")  # one stop for the whole grid
    assert shown(page) == said("sgd", "stationary", "line", "none")
    first = curve(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    assert shown(page) == said("sgd", "stationary", "abs", "Cauchy")
    assert curve(page) != first
    page.keyboard.press("ArrowRight")  # stays at the edge
    assert shown(page) == said("sgd", "stationary", "abs", "Cauchy")
    page.keyboard.press("Home")
    assert shown(page) == said("sgd", "stationary", "abs", "none")
    focused = page.locator("button:focus")
    assert focused.get_attribute("aria-label") == said("sgd", "stationary", "abs", "none")
    assert page.locator("button[tabindex='0']").count() == 1
    page.keyboard.press("Tab")
    assert page.locator("button:focus").count() == 0


def test_a_choice_shows_another_panel(watched: Watched) -> None:
    page = watched.page
    page.get_by_role("combobox", name="rule").select_option(label="adam")
    page.get_by_role("combobox", name="change").select_option(label="sign")
    labels = [b.get_attribute("aria-label") for b in page.get_by_role("button").all()]
    expected = [
        said("adam", "sign", shape, noise) for shape in TESTS.shapes for noise in TESTS.noises
    ]
    assert labels == expected
    symbols = [SYMBOLS[k] for k in WORDS[1, TESTS.changes.index("sign")].ravel()]
    assert page.locator("tbody td").all_inner_texts() == symbols


def test_a_pointer_shows_a_cell(watched: Watched) -> None:
    page = watched.page
    before = curve(page)
    button = page.get_by_role("button", name="valley, Cauchy")
    if page.evaluate("navigator.maxTouchPoints") > 0:
        button.tap()
    else:
        button.hover()
    assert shown(page) == said("sgd", "stationary", "valley", "Cauchy")
    assert curve(page) != before
    box = button.bounding_box()
    assert box["width"] >= 24
    assert box["height"] >= 24
    assert page.locator("[aria-current]").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_curve_is_that_of_the_cell(watched: Watched) -> None:
    page = watched.page
    page.get_by_role("button", name="quadratic, additive").focus()
    points = [tuple(map(float, p.split(","))) for p in curve(page).split()]
    low, high = -1.0, 2.0
    trajectory = TESTS.trajectories[
        0, TESTS.shapes.index("quadratic"), TESTS.noises.index("additive"), 0, 1
    ]
    heights = [low + (160 - y) / 150 * (high - low) for _, y in points]
    assert heights == pytest.approx(trajectory.clip(low, high).tolist(), abs=0.01)
    assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_text_and_cells_can_be_read(watched: Watched) -> None:
    """WCAG's contrast ratio of 4.5, for the signs in the cells."""
    ratios = watched.page.evaluate(
        """() => [...document.querySelectorAll("tbody td")].map(cell => {
          const style = getComputedStyle(cell);
          const light = (text) => text.match(/[0-9.]+/g).slice(0, 3).map(v => v / 255)
            .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
            .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
          const [a, b] = [light(style.color), light(style.backgroundColor)].sort((x, y) => y - x);
          return (a + .05) / (b + .05);
        })"""
    )
    assert len(ratios) == 60
    assert min(ratios) >= 4.5


def test_without_javascript_the_grid_shows(browser: Any, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{folder.as_uri()}/page.html")
    cells = page.locator("tbody td")
    assert cells.all_inner_texts() == [SYMBOLS[k] for k in WORDS[0, 0].ravel()]
    assert cells.first.get_attribute("title") == STATUSES[WORDS[0, 0, 0, 0]]
    assert "rule: sgd; change: stationary" in page.locator("figure").inner_text()
    assert page.locator("button, select").count() == 0
    context.close()
