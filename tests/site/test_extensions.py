"""The local Sphinx extensions: verdicts, launch buttons, alternative texts, style sheets, names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from docutils import nodes
from pybtex.database import Entry, Person
from sphinx import addnodes

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "_ext"))

import nnbook_assets as assets  # noqa: E402
import nnbook_atlas as atlas  # noqa: E402
import nnbook_bibliography as bibliography  # noqa: E402
import nnbook_reference as reference  # noqa: E402
import nnbook_schedules  # noqa: E402
import nnbook_search as search  # noqa: E402
import nnbook_site  # noqa: E402
import nnbook_tables as tables  # noqa: E402
import nnbook_verdicts as verdicts  # noqa: E402

from nnbook.claims import protocols  # noqa: E402

CLAIMS = [
    {"id": "C1", "chapter": "waves", "expected": "confirmed"},
    {"id": "C2", "chapter": "waves", "expected": "reversed"},
    {"id": "C3", "chapter": "later", "expected": "confirmed"},
]
GOOD = [{"claim": "C1", "verdict": "confirmed"}, {"claim": "C2", "verdict": "reversed"}]


def test_records_that_agree_are_no_problem() -> None:
    assert verdicts.problems(CLAIMS, {"chapters/waves/index": GOOD}) == []
    assert verdicts.problems(CLAIMS, {}) == []  # no chapter is finished


def test_a_missing_record_is_a_problem() -> None:
    (problem,) = verdicts.problems(CLAIMS, {"chapters/waves": GOOD[:1]})
    assert "C2 has no verdict" in problem


def test_another_verdict_is_a_problem() -> None:
    records = {"chapters/waves/index": [GOOD[0], {"claim": "C2", "verdict": "confirmed"}]}
    (problem,) = verdicts.problems(CLAIMS, records)
    assert "C2 came out confirmed, expected reversed" in problem


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


def decision(**changes: Any) -> dict[str, Any]:
    """One primary decision as a notebook records it: the arm needs 0.42 of the other's epochs."""
    found = {
        "statement": "online is faster",
        "outcome": "confirmed",
        "quantity": "epochs, online / batch",
        "effect": 0.42,
        "low": 0.38,
        "high": 0.46,
        "threshold": 1.2,
        "n": 8,
        "unit": "×",
        "kind": "interval",
        "direction": "smaller",
        "null": 1.0,
        "ratio": True,
        "p_value": 0.001,
    }
    return found | changes


def record(name: str = "C1", headline: str = "confirmed", **changes: Any) -> dict[str, Any]:
    return {"claim": name, "verdict": headline, "decisions": [decision(**changes)]}


def test_a_verdict_says_what_it_rests_on() -> None:
    (words,) = verdicts.evidence(record())
    assert words.startswith("epochs, online / batch: 0.42× (95 % interval 0.38 to 0.46×; 8 seeds")
    assert verdicts.evidence({}) == []
    both = {"verdict": "then, not now", "decisions": [decision(), decision(quantity="now")]}
    assert len(verdicts.evidence(both)) == 2


def test_a_badge_has_headline_and_number() -> None:
    assert verdicts.badge_text(record()) == "confirmed: 0.42×"
    share = record(headline="open", kind="share", effect=7.0, n=12, unit="")
    assert verdicts.badge_text(share) == "open: 7 of 12"
    both = {"verdict": "then, not now", "decisions": [decision(), decision(effect=1.1)]}
    assert verdicts.badge_text(both) == "then, not now: 0.42×, now 1.1×"
    assert verdicts.badge_text({"claim": "C1", "verdict": "open"}) == "open"


PROTOCOL = {
    "quantity": "epochs, online / batch", "arms": "online; batch", "direction": "smaller",
    "delta": 1.2, "settings": "none", "seeds": "100 to 107", "tuning": "none", "refuted_by": "more",
}  # fmt: skip


def with_protocol() -> dict[str, Any]:
    claim = {**CLAIMS[0], "protocol": PROTOCOL}
    return {**claim, "frozen": protocols.protocol_hash(claim)}


def test_a_primary_decision_is_the_protocols() -> None:
    claim = with_protocol()
    assert verdicts.problems([claim], {"chapters/waves": [record()]}) == []
    for changes in ({"quantity": "errors"}, {"direction": "greater"}, {"threshold": 1.1}, {"n": 7}):
        (problem,) = verdicts.problems([claim], {"chapters/waves": [record(**changes)]})
        assert "the page decides by" in problem, changes
    edited = {**claim, "protocol": {**PROTOCOL, "delta": 1.1}}
    (problem,) = verdicts.problems([edited], {"chapters/waves": [record(threshold=1.1)]})
    assert "tools/claims.py revise C1" in problem


def test_the_claims_of_the_book_are_well_formed() -> None:
    claims = yaml.safe_load((ROOT / "chapters" / "claims.yml").read_text(encoding="utf-8"))
    names = [claim["id"] for claim in claims]
    assert names == sorted(set(names))
    earlier = {"confirmed", "refuted", "inconclusive", "partly", "obsolete"}
    needed = {
        "id",
        "chapter",
        "statement",
        "source",
        "cite",
        "expected",
        "protocol",
        "do",
        "frozen",
    }
    optional = {"was", "revisions", "clarified"}
    for claim in claims:
        assert needed <= set(claim) <= needed | optional, claim["id"]
        assert len(claim["statement"].split()) > 3
        assert claim["expected"] in atlas.HEADLINES
        assert claim.get("was", "confirmed") in earlier
        assert "\n" not in claim["do"].strip()
        assert protocols.problems(claim) == []


def test_every_claim_of_the_book_stands_on_the_verdicts_page(site: Path) -> None:
    page = (site / "chapters" / "verdicts.html").read_text(encoding="utf-8")
    for claim in yaml.safe_load((ROOT / "chapters" / "claims.yml").read_text(encoding="utf-8")):
        assert f'id="{claim["id"]}"' in page


def test_every_box_has_a_permalink_and_leads_to_its_row(site: Path) -> None:
    boxes = 0
    for path in (site / "chapters").rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        for name in re.findall(r'<div class="nnbook-verdict[^"]*" id="verdict-(\w+)">', page):
            boxes += 1
            assert f'<a href="#verdict-{name}"' in page, path
            assert re.search(rf'href="[./]*verdicts.html#{name}"', page), path
    assert boxes > 0


# ------------------------------------------------------------------------------ the atlas


def strip_of(**changes: Any) -> str:
    return atlas.strip(verdicts.decisions_of(record(**changes))[0])


def test_the_strip_shows_effect_and_interval_in_units_of_delta() -> None:
    drawn = strip_of(effect=1.2**-2, low=1.2**-3, high=1.2**-1)
    places = [float(x) for x in re.findall(r'x[12]="([\d.]+)"', drawn)]
    zero, delta = atlas.position(0), atlas.position(1)
    assert places == [zero, zero, delta, delta, atlas.position(1), atlas.position(3)]
    assert f'cx="{atlas.position(2)}"' in drawn
    assert "Advantage 2, interval 1 to 3, in units of δ" in drawn
    assert "<path" not in drawn


def test_what_lies_beyond_the_strip_is_an_arrow() -> None:
    assert strip_of(low=1e-9).count("<path") == 1
    assert strip_of(low=1e-9, high=1e9).count("<path") == 2
    assert atlas.position(1e6) == atlas.position(atlas.MOST) < atlas.WIDTH
    assert atlas.position(-1e6) == atlas.position(atlas.LEAST) > 0


def test_an_equality_has_two_borders_a_share_one_and_mathematics_no_strip() -> None:
    assert strip_of(direction="equal").count('class="delta"') == 2
    share = {"kind": "share", "effect": 11.0, "n": 12, "low": 0.6, "high": 0.99, "threshold": 0.5}
    drawn = strip_of(**share, ratio=False, direction="greater", null=0.5)
    assert 'class="delta"' not in drawn
    assert drawn.count('class="zero"') == 1
    assert strip_of(kind="identity") == strip_of(kind="count") == ""


def test_headlines_are_counted_and_split_claims_count_once_for_the_first_edition() -> None:
    claims = [
        {"id": "C1a", "was": "partly"},
        {"id": "C1b", "was": "partly"},
        {"id": "C2", "was": "confirmed"},
        {"id": "C3"},
    ]
    pairs = {"C1a": "confirmed", "C1b": "open", "C2": "confirmed", "C3": "reversed"}
    found = {name: ("page", record(name, headline)) for name, headline in pairs.items()}
    heads, rows = atlas.counts(claims, found)
    assert tuple(heads) == atlas.HEADLINES
    assert rows == [
        ["now", "2", "0", "1", "1", "0", "0"],
        ["first edition: partly (1)", "1", "", "", "1", "", ""],
        ["first edition: confirmed (1)", "1", "", "", "", "", ""],
        [atlas.NEW, "", "", "1", "", "", ""],
    ]
    del found["C3"]
    assert atlas.counts(claims, found)[0][-1] == "pending"


def test_the_survivors_of_many_decisions_are_counted() -> None:
    # 0.001 ≤ 0.05/4 survives; 0.04 > 0.05·2/4 does not, though it is settled by itself.
    p_values = [0.001, 0.04, 1.0, 1.0]
    found = {f"C{k}": ("page", record(f"C{k}", p_value=p)) for k, p in enumerate(p_values)}
    found["C9"] = ("page", record("C9", "derived", kind="identity", p_value=0.0))
    words = atlas.multiplicity(found)
    assert "5 primary decisions: 1 " in words
    assert "4 rest on an interval. Of these 2 are settled, and 1 survive " in words
    assert "0 rest on an interval" in atlas.multiplicity({})


def test_the_replication_is_summed_up() -> None:
    total = {"verdicts": 100, "headlines": 2, "flips": 1, "missing": 0}
    result = {"sets": {"1": total, "2": total}, "changes": [{"near": True}, {"near": False}]}
    words = tables.replication(result)
    assert "2 other sets of seeds 200 verdicts" in words
    assert "4 headlines changed, so that 98.0 % replicate, and 2 primary" in words
    assert "Of the changes 1 had a border" in words


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


CSS = """
.a, .b:hover { color: red } .c .d{color:blue}
p{margin:0}
@media print { .c{x:y} .a::before{content:"\\f078"} }
@media screen { .c{x:y} }
.a:not(.c){x:y} .bs-tooltip-top{x:y}
"""


def test_a_style_sheet_keeps_the_rules_whose_classes_occur() -> None:
    kept = assets.prune(CSS, {"a", "d"})
    assert ".a{ color: red }" in kept
    assert ".b:hover" not in kept
    assert ".c .d" not in kept
    assert "p{margin:0}" in kept
    assert "@media print" in kept
    assert "@media screen" not in kept
    assert ".a::before{content:" in kept
    assert ".a:not(.c)" in kept
    assert ".bs-tooltip-top" in kept  # made by a script, of pieces
    assert assets.prune(kept, {"a", "d"}) == kept


def test_icons_are_found_as_escapes_and_as_characters(tmp_path: Path) -> None:
    (tmp_path / "one.css").write_text('.a:before{content:"\\f078"} :root{--b:"\uf0c9"; --c:"x"}')
    assert assets.icons_used(tmp_path) == {0xF078, 0xF0C9}


def test_controls_get_the_names_that_they_show() -> None:
    page = (
        '<li><a class="reference internal" href="x.html">Noise &amp; <code>y</code></a>'
        '<details><summary><span role="presentation"></span></summary></details></li>'
        '<button class="btn search-button-field x" title="Search" aria-label="Search" a="b">'
        '<details class="hide"><summary aria-label="Toggle hidden content"><span>Show'
    )
    named = nnbook_site.accessible(page)
    assert '<summary aria-label="Pages of Noise &amp; y">' in named
    assert '<button class="btn search-button-field x" title="Search" a="b">' in named
    assert "<summary><span>Show" in named
    assert nnbook_site.accessible(named) == named


def test_notebooks_that_were_played_with_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def git(*arguments: str) -> None:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)

    app = SimpleNamespace(srcdir=str(tmp_path), statuscode=1)
    nnbook_site.name_the_way_back(app, None)
    assert capsys.readouterr().err == ""  # no repository
    page = tmp_path / "chapters" / "waves" / "index.ipynb"
    page.parent.mkdir(parents=True)
    page.write_text("{}")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "First")
    assert nnbook_site.changed_notebooks(tmp_path) == []
    page.write_text('{"played": 1}')
    nnbook_site.name_the_way_back(app, None)
    said = capsys.readouterr().err
    assert "chapters/waves/index.ipynb" in said
    assert "`git restore chapters`" in said
    app.statuscode = 0
    nnbook_site.name_the_way_back(app, None)
    assert capsys.readouterr().err == ""


def work(*names: str, year: str | None = "1998") -> Entry:
    fields = {"title": "A title"} | ({"year": year} if year else {})
    entry = Entry("misc", fields, persons={"author": [Person(name) for name in names]})
    entry.key = names[0] if names else "x"
    return entry


def test_works_are_called_as_the_text_cites_them() -> None:
    two = work("Bell, Anthony", "{LeCun}, Yann")
    works = [work("LeCun, Yann", "b, B", "c, C"), two, two, work("Raffel, C", year=None), work()]
    labels = list(bibliography.AuthorYear().format_labels(works))
    assert labels == [
        "LeCun et al., 1998",
        "Bell and LeCun, 1998a",
        "Bell and LeCun, 1998b",
        "Raffel, no date",
        "A title, 1998",
    ]


def test_a_work_in_a_docstring_is_found(tmp_path: Path) -> None:
    (tmp_path / "nnbook").mkdir()
    (tmp_path / "nnbook" / "one.py").write_text('"""Kingma and Ba\n(2015), Adam. Bell, 2001."""')
    works = [work("Kingma, D", year="2015"), work("Bell, A"), work("Nobody, N", year="2015")]
    env = SimpleNamespace(srcdir=tmp_path)
    assert bibliography.in_docstrings(env, works) == {"Kingma, D"}


def documented(name: str, words: str) -> addnodes.desc:
    signature = addnodes.desc_signature("", name, ids=[f"nnbook.waves.{name}"])
    content = addnodes.desc_content("", nodes.paragraph("", "", nodes.Text(words)))
    content += nodes.doctest_block("", ">>> waves.spring_tide(3)")
    return addnodes.desc("", signature, content, objtype="function")


def page_of_reference() -> nodes.document:
    from docutils.utils import new_document

    tree = new_document("api")
    section = nodes.section("", nodes.title("", "waves"), ids=["waves"])
    section += nodes.paragraph("", "All about waves.")
    section += [documented("high", "How high."), documented("long", "How long.")]
    tree += section
    return tree


def test_a_page_of_the_reference_begins_with_a_table_of_its_entries() -> None:
    tree = page_of_reference()
    app = SimpleNamespace(env=SimpleNamespace(docname="chapters/api/waves"))
    reference.summarise(app, tree)
    section = tree.children[0]
    assert [type(child).__name__ for child in section.children[1:4]] == [
        "paragraph",
        "table",
        "desc",
    ]
    links = list(section.children[2].findall(nodes.reference))
    assert [link["refid"] for link in links] == ["nnbook.waves.high", "nnbook.waves.long"]
    assert "How high." in section.children[2].astext()
    elsewhere = page_of_reference()
    reference.summarise(SimpleNamespace(env=SimpleNamespace(docname="chapters/waves")), elsewhere)
    assert not list(elsewhere.findall(nodes.table))


def test_sections_and_entries_are_found_each_by_its_own_words() -> None:
    entries = search.entries_of(page_of_reference())
    assert entries == [
        ["waves", "waves", "All about waves.", ""],
        ["nnbook.waves.high", "waves.high", "How high.", "waves spring_tide"],
        ["nnbook.waves.long", "waves.long", "How long.", "waves spring_tide"],
    ]


def test_what_a_cell_prints_is_not_searched_but_for_its_verdict() -> None:
    box = '<div class="nnbook-verdict nnbook-open" id="x">Open &amp; shut</div>'
    output = nodes.container("", nodes.literal_block("", "0.123 0.456"), classes=["cell_output"])
    output += nodes.raw("", box, format="html")
    section = nodes.section("", nodes.title("", "t"), output, ids=["t"])
    assert search.contents(section) == ("Open & shut", "")


def test_a_formula_is_searched_without_its_commands() -> None:
    formula = nodes.math("", r"\theta_{t} - \mathrm{rate}")
    assert search.plain(nodes.paragraph("", "", formula)) == "theta_t - rate"
