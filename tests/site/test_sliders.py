"""Figures with sliders, by mouse, touch and keyboard, and without JavaScript."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from nnbook.explore import explore

from .conftest import Watched


def draw(rate: float, steps: int) -> Any:
    """A curve that depends on both sliders."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, steps], [0, rate])
    return figure


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mpl.use("agg")
    made = tmp_path_factory.mktemp("figure")
    figure = explore(
        draw, alt="a line", caption="A line.", rate=[0.1, 0.2, 0.3], steps=[1, 2, 3, 4]
    )
    words = "<!doctype html><meta name=viewport content='width=device-width'><title>x</title>"
    (made / "page.html").write_text(words + figure.to_html(), encoding="utf-8")
    return made


@pytest.fixture(params=["plain", "touch"])
def watched(request: pytest.FixtureRequest, browser: Any, folder: Path) -> Iterator[Watched]:
    touch = request.param == "touch"
    page = Watched(
        browser, folder.as_uri(), has_touch=touch, viewport={"width": 390, "height": 800}
    )
    page.open("/page.html")
    yield page
    page.close()
    assert page.problems == []


def state(page: Any) -> tuple[list[str], str, str]:
    """What the outputs, the alternative text and the image are."""
    image = page.locator("figure img")
    return (
        page.locator("output").all_inner_texts(),
        image.get_attribute("alt"),
        image.get_attribute("src"),
    )


def test_keys_move_the_sliders(watched: Watched) -> None:
    page = watched.page
    first = state(page)
    assert first[:2] == (["0.1", "1"], "a line (rate 0.1, steps 1)")
    page.get_by_label("rate").focus()
    page.keyboard.press("ArrowRight")
    second = state(page)
    assert second[:2] == (["0.2", "1"], "a line (rate 0.2, steps 1)")
    assert second[2] != first[2]
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    assert state(page)[:2] == (["0.2", "4"], "a line (rate 0.2, steps 4)")
    page.keyboard.press("Home")
    assert state(page) == second
    page.get_by_label("rate").focus()
    page.keyboard.press("Home")
    assert state(page) == first
    slider = page.get_by_role("slider", name="rate")
    assert slider.get_attribute("aria-valuetext") == "0.1"
    assert page.locator("output").first.get_attribute("aria-live") == "polite"


def test_a_pointer_moves_the_sliders(watched: Watched) -> None:
    page = watched.page
    first = state(page)
    box = page.get_by_label("steps").bounding_box()
    x, y = box["x"] + box["width"] - 4, box["y"] + box["height"] / 2
    if page.evaluate("navigator.maxTouchPoints") > 0:
        page.touchscreen.tap(x, y)
    else:
        page.mouse.move(box["x"] + 6, y)
        page.mouse.down()
        page.mouse.move(x, y, steps=6)
        page.mouse.up()
    moved = state(page)
    assert moved[0] == ["0.1", "4"]
    assert moved[2] != first[2]


def test_without_javascript_the_first_frame_shows(browser: Any, folder: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{folder.as_uri()}/page.html")
    assert page.locator("figure img").bounding_box()["width"] > 100
    assert page.locator("figure img").get_attribute("alt") == "a line (rate 0.1, steps 1)"
    assert page.locator("input").count() == 0
    context.close()


def test_every_slider_of_the_site_works(
    browser: Any, server: str, site: Path, pages: list[str]
) -> None:
    watched = Watched(browser, server)
    for address in (p for p in pages if "nnbook-explore" in (site / p).read_text(encoding="utf-8")):
        page = watched.open(address)
        for figure in page.locator("figure.nnbook-explore").all():
            for slider in figure.get_by_role("slider").all():
                before = figure.locator("img").get_attribute("src")
                alt = figure.locator("img").get_attribute("alt")
                value = slider.get_attribute("aria-valuetext")
                slider.focus()
                page.keyboard.press("ArrowRight")
                if slider.get_attribute("aria-valuetext") == value:
                    page.keyboard.press("ArrowLeft")
                assert slider.get_attribute("aria-valuetext") != value, address
                assert figure.locator("img").get_attribute("src") != before, address
                assert figure.locator("img").get_attribute("alt") != alt, address
    watched.close()
    assert watched.problems == []
