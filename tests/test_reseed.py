"""`make reseed`: a page run again with other seeds, and what is said of its verdicts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
import pytest

from nnbook import claims

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import reseed  # noqa: E402

# C1 depends on its seeds, C2 does not, and C3 is lost to an error with any other seeds.
CELLS = [
    "import os\nfrom nnbook import claims\nseeds = claims.seeds(range(8))",
    "moved = seeds[0] > 0\nclaims.verdict('C1', claims.decide(\n"
    "    [(-3.0 if moved else 3.0) + 0.1 * (s % 4) for s in seeds], quantity='q',\n"
    "    smallest_effect=2.0))",
    "claims.verdict('C2', claims.holds('h', 1e-12, tolerance=1e-9))",
    "[0.0] * 8\nx = [0.0][seeds[0]]",
    "claims.verdict('C3', claims.holds('h', x, tolerance=1e-9))",
    "assert os.path.exists('data.json')",
]


@pytest.fixture
def page(tmp_path):
    """A book of one page, executed with its own seeds."""
    folder = tmp_path / "chapters" / "waves"
    folder.mkdir(parents=True)
    entries = "".join(f"- {{id: C{k}, statement: s, source: L}}\n" for k in (1, 2, 3))
    (tmp_path / "chapters" / "claims.yml").write_text(entries)
    (folder / "data.json").write_text("{}")
    path = folder / "index.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    nbformat.write(notebook, path)
    found, wrong = reseed.execute(path, 0, 60)
    assert wrong == []
    assert [record["verdict"] for record in found.values()] == ["confirmed", "derived", "derived"]
    return path


def test_a_page_is_run_with_other_seeds_and_left_as_it_was(page, capsys):
    before = {p: p.read_bytes() for p in page.parents[1].rglob("*") if p.is_file()}
    result = reseed.reseed([page], [1], workers=2, timeout=60)
    assert {p: p.read_bytes() for p in page.parents[1].rglob("*") if p.is_file()} == before
    assert result["sets"] == {"1": {"verdicts": 2, "headlines": 1, "flips": 1, "missing": 1}}
    (change,) = result["changes"]
    assert (change["claim"], change["before"], change["after"]) == ("C1", "confirmed", "reversed")
    assert (change["number_before"], change["number_after"]) == ("3.15", "-2.85")
    assert not change["near"]  # from 3.05 to 3.25, and δ is 2
    assert [e["page"] for e in result["errors"]] == ["waves/index"] * 2
    assert "cell 3: IndexError" in result["errors"][0]["error"]
    words = reseed.report(result)
    assert (
        "seeds 1: 2 verdicts reached again, 1 not; 1 headlines changed (50.0 % replicate)" in words
    )
    assert "C1, seeds 1: confirmed (3.15) → reversed (-2.85), far from any border" in words
    assert json.loads(json.dumps(result)) == result
    assert "waves/index.ipynb, seeds 1: 2 verdicts" in capsys.readouterr().out


def test_a_notebook_that_cannot_be_run_is_an_error(tmp_path):
    path = tmp_path / "chapters" / "index.ipynb"
    path.parent.mkdir()
    path.write_text("{}")
    found, (wrong,) = reseed.execute(path, 1, 60)
    assert found == {}
    assert wrong


def decided(low, high, **settings):
    """A decision with a given interval: two values are as far apart as their t-interval asks."""
    from scipy import stats

    half = (high - low) / 2 / stats.t.ppf(0.975, 1)
    middle = (low + high) / 2
    return claims.decide([middle - half, middle + half], quantity="q", **settings)


@pytest.mark.parametrize(
    ("low", "high", "direction", "near"),
    [
        (1.4, 2.4, "greater", True),  # δ = 1 is 0.4 below, half the width is 0.5
        (1.6, 2.6, "greater", False),
        (-1.6, -0.6, "greater", False),
        (-1.4, -0.4, "greater", True),
        (0.2, 1.4, "greater", True),
        (-0.2, 0.2, "equal", False),
        (-0.2, 0.8, "equal", True),
        (1.6, 2.6, "equal", False),
    ],
)
def test_what_is_near_a_border(low, high, direction, near):
    decision = decided(low, high, smallest_effect=1.0, direction=direction)
    assert reseed.near_a_border(decision) is near


def test_a_share_has_one_border_and_mathematics_none():
    share = {"statement": "s", "quantity": "q", "at_least": 0.5}
    assert reseed.near_a_border(claims.share(found=9, of=12, **share))
    assert not reseed.near_a_border(claims.share(found=40, of=40, **share))
    assert not reseed.near_a_border(claims.holds("h", 1e-10, tolerance=1e-9))
