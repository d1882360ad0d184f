"""Ten pages and the search, held to axe-core: nothing critical or serious, light or dark."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Watched

PAGES = (
    "chapters/intro.html",
    "chapters/gradient_descent/index.html",
    "chapters/gradient_descent/lab_descent.html",
    "chapters/optimizers/index.html",
    "chapters/optimizers/comparison.html",
    "chapters/debugging/checklist.html",
    "chapters/verdicts.html",
    "chapters/glossary.html",
    "chapters/bibliography.html",
    "chapters/api/schedules.html",
    "search.html?q=gradient",
)
# The last one is an experimental rule: what is shown on a control is part of its name.
OPTIONS = {
    "resultTypes": ["violations"],
    "rules": {"label-content-name-mismatch": {"enabled": True}},
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_serious_barrier(scheme: str, width: int, browser: Any, server: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    watched = Watched(
        browser, server, color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    found = []
    for address in PAGES:
        page = watched.open(address)
        results = axe.run(page, options=OPTIONS).response
        assert "violations" in results
        found += [
            f"{address}: {rule['id']}: {node['html'][:150]}: {node.get('failureSummary', '')}"
            for rule in results["violations"]
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]
    watched.close()
    assert found == []


def test_a_barrier_would_be_found(browser: Any, server: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    watched = Watched(browser, server)
    page = watched.open("chapters/glossary.html")
    page.evaluate(
        """document.querySelector("article").insertAdjacentHTML("afterbegin",
        "<p style='color:#aaa;background:#fff'>pale</p><details><summary></summary></details>")"""
    )
    rules = {rule["id"] for rule in axe.run(page, options=OPTIONS).response["violations"]}
    watched.close()
    assert {"color-contrast", "summary-name"} <= rules
