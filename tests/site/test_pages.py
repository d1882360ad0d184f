"""Every page of the site in a real browser: over http in light mode, from file:// in dark mode."""

from __future__ import annotations

import html.parser
import json
import re
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from .conftest import Watched

# What sticks out of the viewport, unless it lies in something that scrolls or is cut off.
STICKING_OUT = """() => [...document.querySelectorAll(".bd-article *, .bd-article")].filter(e => {
  const box = e.getBoundingClientRect();
  if (box.width === 0 || (box.right <= innerWidth + 1 && box.left >= -1)) return false;
  for (let p = e.parentElement; p && !p.matches(".bd-article"); p = p.parentElement)
    if (getComputedStyle(p).overflowX !== "visible") return false;
  return !e.closest("mjx-assistive-mml");
}).map(e => e.outerHTML.slice(0, 80))"""
WITHOUT_ALT = """() => [...document.images].filter(e => !(e.getAttribute("alt") || "").trim())
  .map(e => e.outerHTML.slice(0, 120))"""
UNTYPESET = """() => [...document.querySelectorAll(".math")]
  .filter(e => !e.querySelector("mjx-container") || e.querySelector("mjx-merror"))
  .map(e => e.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize(("origin", "scheme"), [("http", "light"), ("file", "dark")])
def test_every_page_is_complete_and_fits(
    origin: str, scheme: str, browser: Any, site: Path, server: str, pages: list[str]
) -> None:
    home = server if origin == "http" else site.as_uri() + "/"
    watched = Watched(browser, home, color_scheme=scheme, viewport={"width": 1280, "height": 900})
    for address in pages:
        page = watched.open(address)
        assert page.evaluate("document.documentElement.dataset.theme") == scheme, address
        assert page.evaluate(WITHOUT_ALT) == [], address
        assert page.evaluate(UNTYPESET) == [], address
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{address} is {wide} pixels wide at {width}"
            assert page.evaluate(STICKING_OUT) == [], f"{address} at {width}"
        page.set_viewport_size({"width": 1280, "height": 900})
    watched.close()
    assert watched.problems == []


def test_dark_mode_is_dark_and_figures_stand_on_a_light_card(
    browser: Any, server: str, site: Path, pages: list[str]
) -> None:
    watched = Watched(browser, server, color_scheme="dark")
    for address in (p for p in pages if 'class="cell_output' in (site / p).read_text()):
        page = watched.open(address)
        light = "e => getComputedStyle(e).backgroundColor.match(/[0-9.]+/g).map(Number)"
        assert max(page.locator("body").evaluate(light)[:3]) < 60
        for image in page.locator("div.cell_output img").all():
            assert min(image.evaluate(light)[:3]) > 200, address
    watched.close()


@pytest.mark.parametrize("origin", ["http", "file"])
def test_search_finds_pages(origin: str, browser: Any, site: Path, server: str) -> None:
    watched = Watched(browser, server if origin == "http" else site.as_uri() + "/")
    page = watched.open("search.html?q=gradient")
    page.wait_for_selector("#search-results ul.search li a")
    assert page.locator("#search-results ul.search li a").count() >= 3
    page.locator("#search-results ul.search li a").first.click()
    page.wait_for_selector("article h1")
    watched.close()
    assert watched.problems == []


def test_a_page_leads_to_the_next(browser: Any, server: str) -> None:
    watched = Watched(browser, server)
    watched.page.goto(server)
    page = watched.page
    page.wait_for_url("**/chapters/intro.html")
    page.locator("a.right-next").click()
    page.wait_for_selector("a.left-prev")
    watched.close()
    assert watched.problems == []


class Links(html.parser.HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        given = dict(attributes)
        self.anchors |= {given[key] or "" for key in ("id", "name") if key in given}
        if tag in ("a", "link", "img", "script"):
            target = given.get("href") if tag in ("a", "link") else given.get("src")
            self.links += [target] if target else []


def test_every_internal_link_resolves(site: Path, pages: list[str]) -> None:
    parsed = {page: Links((site / page).read_text(encoding="utf-8")) for page in pages}
    broken = []
    for page, found in parsed.items():
        for link in found.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            file = (site / page).parent / urllib.parse.unquote(parts.path) if parts.path else None
            target = file.resolve().relative_to(site).as_posix() if file else page
            fragment = urllib.parse.unquote(parts.fragment)
            if not (site / target).is_file() or (
                fragment and target in parsed and fragment not in parsed[target].anchors | {"top"}
            ):
                broken.append(f"{page}: {link}")
    assert broken == []


def test_anchors_are_unique(site: Path, pages: list[str]) -> None:
    class Ids(html.parser.HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.ids: list[str] = []

        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            self.ids += [v for k, v in attributes if k == "id" and v and v.startswith("explore-")]

    for page in pages:
        parser = Ids()
        parser.feed((site / page).read_text(encoding="utf-8"))
        assert len(parser.ids) == len(set(parser.ids)), page


def test_notebooks_can_be_downloaded(site: Path) -> None:
    root = site.parents[1]
    notebooks = [
        p
        for p in (root / "chapters").rglob("*.ipynb")
        if (site / p.relative_to(root)).with_suffix(".html").exists()
    ]
    for notebook in notebooks:
        name = notebook.relative_to(root).as_posix()
        source = (site / name).with_suffix(".html").read_text(encoding="utf-8")
        assert f"_sources/{name}" in source
        offered, ours = (
            json.loads(path.read_text(encoding="utf-8"))
            for path in (site / "_sources" / name, notebook)
        )
        first = offered["cells"].pop(0)
        assert "pip install" in "".join(first["source"])
        for cell in ours["cells"]:
            for output in cell.get("outputs", []):
                html_output = "".join(output.get("data", {}).get("text/html", ""))
                if "data:image" in html_output:  # the pictures of a figure with sliders
                    assert output["data"].pop("text/html")
                    assert output["data"]["text/plain"]
        assert offered == ours


def test_the_site_is_small_and_carries_no_thebe(site: Path, pages: list[str]) -> None:
    size = sum(f.stat().st_size for f in site.rglob("*") if f.is_file())
    assert size < 150e6
    assert (site / "_static" / "mathjax" / "startup.js").is_file()
    for page in pages:
        text = re.sub(r"data:[a-z/+-]+;base64,[^\"')]+", "", (site / page).read_text("utf-8"))
        assert "thebe" not in text.lower(), page


@pytest.mark.parametrize("address", ["intro", "optimizers/index", "hyperparameters/search"])
def test_a_first_visit_without_its_figures_is_under_a_megabyte_and_a_half(
    address: str, browser: Any, server: str, site: Path
) -> None:
    watched = Watched(browser, server)
    got: list[Any] = []
    watched.page.on("response", lambda response: got.append(response))
    watched.open(f"chapters/{address}.html")
    watched.page.wait_for_load_state("networkidle")
    sizes = {r.url: len(r.body()) for r in got if "/_images/" not in r.url}
    text = (site / "chapters" / f"{address}.html").read_text(encoding="utf-8")
    figures = sum(map(len, re.findall(r"data:(?:image|application/octet-stream)[^\"')]+", text)))
    watched.close()
    assert sum(sizes.values()) - figures < 1.5e6, sorted(sizes.items(), key=lambda s: -s[1])[:5]
    assert not [url for url in sizes if "all.min.js" in url]


def test_every_icon_is_there(browser: Any, server: str) -> None:
    watched = Watched(browser, server, viewport={"width": 1280, "height": 900})
    page = watched.open("chapters/gradient_descent/index.html")
    icons = page.locator("i[class*='fa-'], span[class*='fa-']").all()
    assert len(icons) > 10
    mark = "e => getComputedStyle(e, '::before').content"
    assert {icon.evaluate(mark) for icon in icons} & {"none", "normal", '""'} == set()
    loaded = "document.fonts.ready.then(all => [...all].filter(f => f.status == 'loaded'))"
    families = page.evaluate(f"{loaded}.then(all => all.map(f => f.family))")
    assert any("Font Awesome 6 Free" in family for family in families)
    watched.close()
    assert watched.problems == []


def test_code_of_88_characters_is_visible_and_what_is_wider_scrolls_or_wraps(
    browser: Any, server: str
) -> None:
    watched = Watched(browser, server, viewport={"width": 1280, "height": 900})
    page = watched.open("chapters/gradient_descent/index.html")
    code = page.locator("article .cell_input pre").first
    room = """e => {
      const [style, probe] = [getComputedStyle(e), e.appendChild(document.createElement("span"))];
      probe.textContent = "x".repeat(88);
      const width = probe.getBoundingClientRect().width;
      probe.remove();
      return e.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight) - width;
    }"""
    assert code.evaluate(room) >= 0
    hint = code.evaluate("e => getComputedStyle(e).backgroundImage")
    assert (
        hint.count("linear-gradient") == 4
    )  # shadows at the edges, covered where nothing is hidden
    page.set_viewport_size({"width": 390, "height": 900})
    for block in page.locator("article .cell_input pre").all():
        assert block.evaluate("e => e.scrollWidth <= e.clientWidth")
    watched.close()


@pytest.mark.parametrize(
    "address", ["optimizers/index", "verdicts", "gradient_descent/lab_descent"]
)
def test_on_paper_nothing_is_cut_off(address: str, browser: Any, server: str) -> None:
    # An A4 sheet less Chromium's margins, in CSS pixels.
    watched = Watched(browser, server, viewport={"width": 718, "height": 1000})
    page = watched.open(f"chapters/{address}.html")
    page.emulate_media(media="print")
    for block in page.locator("article pre").all():
        if block.is_visible():
            assert block.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    rows = page.locator("table.nnbook-verdicts tbody tr, table.nnbook-atlas tbody tr[id]")
    for row in rows.all()[:5]:
        assert row.evaluate("e => getComputedStyle(e).display") == "table-row"
    watched.close()


def test_a_dark_page_is_printed_light(browser: Any, server: str) -> None:
    watched = Watched(browser, server, color_scheme="dark")
    page = watched.open("chapters/glossary.html")
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "dark"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(theme) == "light"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(theme) == "dark"
    watched.close()


def test_a_slider_keeps_its_length(browser: Any, server: str) -> None:
    watched = Watched(browser, server, viewport={"width": 390, "height": 900})
    page = watched.open("chapters/gradient_descent/index.html")
    slider = page.locator(".nnbook-sliders input[type=range]").first
    lengths = set()
    for position in range(int(slider.get_attribute("max")) + 1):
        slider.evaluate("(e, v) => { e.value = v; e.dispatchEvent(new Event('input')) }", position)
        lengths.add(round(slider.bounding_box()["width"]))
    watched.close()
    assert len(lengths) == 1
    assert lengths.pop() > 100
