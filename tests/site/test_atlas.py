"""The atlas of verdicts in a real browser: filters, deep links, and a table without the script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT, Watched

ATLAS = "chapters/verdicts.html"
CLAIMS = yaml.safe_load((ROOT / "chapters" / "claims.yml").read_text(encoding="utf-8"))
VISIBLE = "() => [...document.querySelectorAll('.nnbook-atlas tbody tr[id]:not([hidden])')].length"
# Contrast of the texts in the table with what is behind them, as WCAG 2 has it.
CONTRAST = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const found = rgb(getComputedStyle(e).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const low = [];
  const inside = ".nnbook-atlas, .nnbook-counts, .nnbook-filters, .nnbook-verdict";
  for (const e of document.querySelectorAll(inside.replace(/[^,]+/g, (s) => `${s} *, ${s}`))) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    if (e.closest("mjx-container") || !e.getClientRects().length) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) low.push(`${ratio.toFixed(2)} ${e.outerHTML.slice(0, 90)}`);
  }
  return low;
}"""


def opened(browser: Any, site: Path, address: str = ATLAS, **context: Any) -> Watched:
    """Open the atlas from the disk."""
    context.setdefault("viewport", {"width": 1280, "height": 900})
    watched = Watched(browser, site.as_uri() + "/", **context)
    watched.page.goto(watched.home + address)
    return watched


def test_the_filters_choose_rows(browser: Any, site: Path) -> None:
    watched = opened(browser, site)
    page = watched.page
    total = page.evaluate(VISIBLE)
    assert total == len(CLAIMS)
    for name in ("chapter", "source", "headline"):
        options = page.locator(f"select[name={name}] option").all()
        values = [option.get_attribute("value") for option in options]
        assert values[0] == ""
        found = []
        for value in values[1:]:
            page.select_option(f"select[name={name}]", value)
            found.append(page.evaluate(VISIBLE))
            assert page.locator(f".nnbook-atlas tr.{value}").count() == found[-1] > 0
            assert page.locator(".nnbook-shown").inner_text() == f"{found[-1]} of {total} claims"
            bodies = page.locator(".nnbook-atlas tbody:not([hidden])").count()
            assert bodies == 1 or name != "chapter"
        assert sum(found) == total or name == "source"  # a claim may have several sources
        page.click("form.nnbook-filters button[type=reset]")
        page.wait_for_function(f"({VISIBLE})() === {total}")
    page.fill("input[name=words]", CLAIMS[0]["id"])
    assert page.locator(f"tr#{CLAIMS[0]['id']}").is_visible()
    assert page.evaluate(VISIBLE) < 10
    page.fill("input[name=words]", "no such words anywhere")
    assert page.evaluate(VISIBLE) == 0
    watched.close()
    assert watched.problems == []


def test_an_address_opens_at_a_row_or_with_a_filter(browser: Any, site: Path) -> None:
    first, other = CLAIMS[30]["id"], CLAIMS[60]["id"]
    watched = opened(browser, site, f"{ATLAS}#{first}")
    page = watched.page
    place = f"document.querySelector('#{first}').getBoundingClientRect().top"
    assert 0 <= page.evaluate(place) < 300
    assert page.locator(f"tr#{first}:target").count() == 1
    page.fill("input[name=words]", "no such words anywhere")
    page.evaluate(f"location.hash = '#{other}'")
    page.wait_for_selector(f"tr#{other}:not([hidden])")
    value = page.locator("select[name=headline] option").nth(1).get_attribute("value")
    page.goto(f"{watched.home}{ATLAS}?headline={value}")
    assert page.evaluate(VISIBLE) == page.locator(f".nnbook-atlas tr.{value}").count() > 0
    watched.close()
    assert watched.problems == []


def test_without_the_script_it_is_a_table(browser: Any, site: Path) -> None:
    watched = opened(browser, site, java_script_enabled=False)
    page = watched.page
    rows = page.locator(".nnbook-atlas tbody tr[id]")
    assert rows.count() == len(CLAIMS)
    assert not page.locator("form.nnbook-filters").is_visible()
    assert rows.first.is_visible()
    assert page.locator(".nnbook-atlas thead th[scope=col]").count() == 4
    assert page.locator(".nnbook-atlas tbody th[scope=row]").count() == rows.count()
    watched.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_compact_and_readable(browser: Any, site: Path, scheme: str) -> None:
    watched = opened(browser, site, color_scheme=scheme)
    page = watched.page
    height = page.evaluate("document.querySelector('.bd-article').scrollHeight")
    rows = page.locator("tr[id]").count()
    assert height < 1000 + 110 * rows  # in pixels: it was 420 a claim in the first edition
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CONTRAST) == []
    labels = "[...document.querySelectorAll('.nnbook-filters select, .nnbook-filters input')]"
    assert page.evaluate(f"{labels}.every(e => e.labels.length === 1)")
    watched.close()
