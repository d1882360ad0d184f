"""The local Sphinx extensions: verdicts, launch buttons, alternative texts."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from docutils import nodes

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "_ext"))

import nnbook_schedules  # noqa: E402
import nnbook_site  # noqa: E402
import nnbook_verdicts as verdicts  # noqa: E402

CLAIMS = [
    {"id": "C1", "chapter": "waves", "expected": "confirmed"},
    {"id": "C2", "chapter": "waves", "expected": "refuted"},
    {"id": "C3", "chapter": "later", "expected": "confirmed"},
]
GOOD = [{"claim": "C1", "verdict": "confirmed"}, {"claim": "C2", "verdict": "refuted"}]


def test_records_that_agree_are_no_problem() -> None:
    assert verdicts.problems(CLAIMS, {"chapters/waves/index": GOOD}) == []
    assert verdicts.problems(CLAIMS, {}) == []  # no chapter is finished


def test_a_missing_record_is_a_problem() -> None:
    (problem,) = verdicts.problems(CLAIMS, {"chapters/waves": GOOD[:1]})
    assert "C2 has no verdict" in problem


def test_another_verdict_is_a_problem() -> None:
    records = {"chapters/waves/index": [GOOD[0], {"claim": "C2", "verdict": "confirmed"}]}
    (problem,) = verdicts.problems(CLAIMS, records)
    assert "C2 came out confirmed, expected refuted" in problem


def test_an_unknown_or_repeated_claim_is_a_problem() -> None:
    records = {
        "chapters/waves/index": [*GOOD, {"claim": "C9", "verdict": "confirmed"}],
        "chapters/waves/more": [GOOD[0]],
    }
    words = " / ".join(verdicts.problems(CLAIMS, records))
    assert "C9, which is not in" in words
    assert "C1 has 2 verdicts" in words


def test_records_are_read_from_a_notebooks_outputs(tmp_path: Path) -> None:
    outputs = [{"data": {verdicts.MIME_TYPE: GOOD[0], "text/plain": "C1"}}, {"text": "hello"}]
    notebook = {"cells": [{"cell_type": "markdown"}, {"outputs": outputs}]}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(notebook))
    assert verdicts.read_records(path) == [GOOD[0]]


def test_every_decision_says_what_it_rests_on() -> None:
    seeds = {"effect": 2.03456, "low": 1.8, "high": 2.2, "n": 8, "unit": "epochs"}
    common = {"outcome": "confirmed", "threshold": 1.0}
    decision = {"statement": "online is faster", "kind": "interval"} | common | seeds
    (words,) = verdicts.evidence({"decisions": [decision]})
    assert words.startswith("confirmed · online is faster: 2.03 epochs (95 % interval 1.8 to 2.2")
    assert verdicts.evidence({}) == []


def test_the_claims_of_the_book_are_well_formed() -> None:
    claims = yaml.safe_load((ROOT / "chapters" / "claims.yml").read_text(encoding="utf-8"))
    names = [claim["id"] for claim in claims]
    assert names == sorted(set(names))
    allowed = {"confirmed", "refuted", "inconclusive", "partly", "obsolete"}
    for claim in claims:
        assert set(claim) == {"id", "chapter", "statement", "source", "cite", "expected"}
        assert claim["expected"] in allowed
        assert len(claim["statement"].split()) > 5


def test_every_claim_of_the_book_stands_on_the_verdicts_page(site: Path) -> None:
    page = (site / "chapters" / "verdicts.html").read_text(encoding="utf-8")
    for claim in yaml.safe_load((ROOT / "chapters" / "claims.yml").read_text(encoding="utf-8")):
        assert f"<strong>{claim['id']}</strong>" in page


def _options(monkeypatch: pytest.MonkeyPatch, url: str | None) -> dict[str, Any]:
    monkeypatch.delenv(nnbook_site.REPOSITORY_VARIABLE, raising=False)
    if url:
        monkeypatch.setenv(nnbook_site.REPOSITORY_VARIABLE, url)
    config = SimpleNamespace(html_theme_options={"repository_url": ""})
    nnbook_site.set_repository(None, config)
    return config.html_theme_options


def test_launch_buttons_need_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "binderhub_url" not in _options(monkeypatch, None)["launch_buttons"]
    options = _options(monkeypatch, "https://github.com/someone/book/")
    assert options["launch_buttons"]["binderhub_url"]
    assert options["repository_url"] == "https://github.com/someone/book"


def test_an_image_without_alt_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(nnbook_site.logger, "warning", lambda text, **_: said.append(text))
    tree = nodes.Element("", nodes.image(uri="a.png", alt="a curve"), nodes.image(uri="b.png"))
    nnbook_site.warn_about_alt(None, tree)
    assert len(said) == 1
    assert "mystnb.image.alt" in said[0]


def test_every_schedule_is_plotted() -> None:
    from nnbook import schedules

    helpers = {"PlateauState", "Schedule"}
    plots = nnbook_schedules.examples()
    assert set(plots) == set(schedules.__all__) - helpers
    markup = nnbook_schedules.drawing("cosine", *plots["cosine"])
    points = re.search(r'<polyline points="([^"]*)"', markup).group(1).split()
    heights = [(110 - float(point.split(",")[1])) / 900 for point in points]
    expected = schedules.cosine(0.1, 100)(np.arange(100))
    np.testing.assert_allclose(heights, expected, atol=1e-4)
    assert 'href="#nnbook.schedules.cosine"' in markup
    assert "0.1 at step 0, 0.05 at step 50" in markup
    for name, (call, rates) in plots.items():
        assert call.startswith(f"{name}(0.1") or name in ("warmup", "joined")
        assert rates.shape == (100,)
        assert 0 <= rates.min() <= rates.max() <= 0.1 + 1e-12


def test_the_plateau_is_cut_after_its_patience() -> None:
    _, rates = nnbook_schedules.examples()["on_plateau"]
    assert (np.flatnonzero(np.diff(rates)) + 1).tolist() == [30, 40, 70, 80, 90]
