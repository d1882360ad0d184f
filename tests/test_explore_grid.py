"""`explore_grid`: the table, the data that the script draws from, sizes, errors."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import numpy as onp
import pytest

from nnbook import optim
from nnbook.explore import explore_grid

RNG = onp.random.default_rng(0)
GOOD: dict[str, Any] = {
    "status": RNG.integers(0, 3, size=(2, 4, 3)),
    "curves": RNG.normal(size=(2, 4, 3, 3, 5)),
    "x": onp.arange(5),
    "rows": ("row", ["a", "b", "c", "<d>"]),
    "columns": ("column", ["x", "y", "z"]),
    "panels": {"rule": ["one", "two"]},
    "words": ["bad", "fair", "good"],
    "symbols": ["✗", "~", "✓"],
    "alt": "what came out",
    "caption": "Outcomes & curves.",
}


def data_of(markup: str) -> Any:
    """Return the data that the markup carries."""
    return json.loads(re.search(r'class="nnbook-plotted">(.*?)</script>', markup).group(1))


def unpacked(packed: str) -> onp.ndarray:
    return onp.frombuffer(base64.b64decode(packed.partition(",")[2]), onp.uint8)


def test_the_table_shows_the_first_panel() -> None:
    markup = explore_grid(**GOOD).to_html()
    cells = re.findall(r'<td style="[^"]*" title="(\w+)">(.)</td>', markup)
    expected = [(GOOD["words"][k], GOOD["symbols"][k]) for k in GOOD["status"][0].ravel()]
    assert cells == expected
    assert re.findall(r'<th scope="row">(.*?)</th>', markup) == ["a", "b", "c", "&lt;d&gt;"]
    assert '<div class="nnbook-grid-choices">rule: one</div>' in markup
    assert 'aria-label="what came out"' in markup
    assert "<figcaption>Outcomes &amp; curves.</figcaption>" in markup


def test_the_script_has_every_panel_and_curve() -> None:
    data = data_of(explore_grid(**GOOD, ylim=(-1.0, 1.0)).to_html())
    assert data["status"] == ["".join(map(str, p.ravel())) for p in GOOD["status"]]
    drawn = unpacked(data["curves"]).reshape(GOOD["curves"].shape) / 255 * 2 - 1
    onp.testing.assert_allclose(drawn, GOOD["curves"].clip(-1, 1), atol=1 / 255 + 1e-12)
    assert data["x"] == [0, 1, 2, 3, 4]
    assert "score" not in data
    assert "reference" not in data


def test_scores_and_a_shared_reference() -> None:
    score = onp.linspace(-1, 1, 24).reshape(2, 4, 3)
    reference = onp.zeros((1, 4, 3, 5))
    data = data_of(explore_grid(**GOOD, score=score, reference=reference).to_html())
    onp.testing.assert_allclose(data["score"], score.ravel(), rtol=5e-3)
    assert data["repeats"] == [True]
    assert len(unpacked(data["reference"])) == 60


def test_the_limits_are_those_of_the_curves() -> None:
    data = data_of(explore_grid(**GOOD).to_html())
    assert data["ylim"] == [GOOD["curves"].min(), GOOD["curves"].max()]
    flat = explore_grid(**(GOOD | {"curves": onp.ones((2, 4, 3, 3, 5))}))
    assert set(unpacked(data_of(flat.to_html())["curves"])) == {0}


def test_two_runs_give_the_same_markup_and_it_loads_nothing() -> None:
    first, second = explore_grid(**GOOD), explore_grid(**GOOD)
    assert first.to_html() == second.to_html()
    assert first.identifier != explore_grid(**(GOOD | {"caption": "Other."})).identifier
    for word in ("http", "import", "url(", "src="):
        assert word not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", first.to_html())


def test_in_jupyter_it_is_html_and_text() -> None:
    bundle = explore_grid(**GOOD)._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == "Grid of outcomes (rule: one, two). what came out"


def test_words_cannot_break_the_markup() -> None:
    markup = explore_grid(**(GOOD | {"alt": 'a "grid" </script>'})).to_html()
    assert markup.count("</script>") == 2


def test_unit_tests_fit_into_a_grid() -> None:
    tests = optim.unit_tests([optim.sgd(0.1), optim.adam(0.1)])
    markup = explore_grid(**tests.grid(), alt="outcomes").to_html()
    data = data_of(markup)
    assert [p["name"] for p in data["panels"]] == ["rule", "change"]
    assert len(data["status"]) == 2 * 5
    assert data["repeats"] == [True, False]
    score = onp.array(data["score"]).reshape(2, 5, 12, 5)
    expected = tests.score.transpose(0, 3, 1, 2).clip(-1000, 1000)
    onp.testing.assert_allclose(score, expected, rtol=5e-3, atol=1e-6)
    assert len(markup) < 100_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"alt": " "}, "expected text that says what is to be seen"),
        ({"symbols": ["a"]}, "3 words and 1 symbols"),
        ({"words": list("abcdef"), "symbols": list("abcdef")}, "at most 5"),
        ({"status": onp.zeros((4, 3), int)}, r"status has shape \(4, 3\); expected \(2, 4, 3\)"),
        ({"status": onp.full((2, 4, 3), 3)}, r"status has \[3\]; expected 0 to 2"),
        ({"status": onp.zeros((2, 4, 3))}, "status has"),
        ({"x": onp.arange(4)}, r"curves has shape .* expected \(2, 4, 3, 3, 4\)"),
        ({"curves": onp.full((2, 4, 3, 3, 5), onp.nan)}, "not finite"),
        ({"reference": onp.zeros((4, 3, 5))}, "reference has shape"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        explore_grid(**(GOOD | change))


def test_a_grid_that_is_too_large_is_refused() -> None:
    points = 12_000
    curves = onp.random.default_rng(0).normal(size=(2, 4, 3, 3, points))
    with pytest.raises(ValueError, match=r"takes \d+ kB on the page, expected at most 800 kB"):
        explore_grid(**(GOOD | {"curves": curves, "x": onp.arange(points)}))
