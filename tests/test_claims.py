"""Verdicts: the interval, the rules, the record that they leave, and how often they err."""

from __future__ import annotations

import json
import math

import numpy as onp
import pytest
from scipy import stats

from nnbook import claims
from nnbook.claims import (
    compare,
    count,
    decide,
    holds,
    interval,
    panel,
    protocols,
    share,
    verdict,
)

MIME_TYPE = "application/vnd.nnbook.verdict+json"
CONFIRMED, TOO_SMALL, REVERSED = "confirmed", "too small to matter", "reversed"
OPEN, DERIVED = "open", "derived"


@pytest.fixture(autouse=True)
def _own_claims(tmp_path, monkeypatch):
    file = tmp_path / "claims.yml"
    file.write_text(
        "- {id: C020, chapter: efficient_backprop, source: 'LeCun et al. (1998)',\n"
        "   statement: 'Centring <speeds> learning & helps.', expected: confirmed}\n"
        "- {id: C021, chapter: efficient_backprop, source: L, statement: Other., expected: open,\n"
        "   protocol: {seeds: 2100 to 2107}}"
    )
    monkeypatch.setenv("NNBOOK_CLAIMS", str(file))


def arms(advantage, smallest_effect=0.0, **settings):
    """Compare two arms whose difference, seed by seed, is given: `new` is better by it."""
    advantage = onp.asarray(advantage, dtype=float)
    base = onp.linspace(5, 9, len(advantage))  # differs between seeds: pairing removes it
    return compare(
        old=base + advantage, new=base, smaller_is_better=True,
        smallest_effect=smallest_effect, **settings,
    )  # fmt: skip


def test_the_interval_by_hand():
    # Mean 3, standard deviation √2.5, standard error √.5, t(4, .975) = 2.776445.
    mean, low, high = interval([1, 2, 3, 4, 5])
    assert mean == 3
    assert (low, high) == pytest.approx((3 - 1.963243, 3 + 1.963243), abs=1e-6)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("n", [2, 5, 30])
def test_the_interval_is_that_of_scipy(confidence, n):
    values = onp.random.default_rng(n).lognormal(size=n)
    mean, low, high = interval(values, confidence)
    expected = stats.t.interval(confidence, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert mean == pytest.approx(values.mean(), rel=1e-14)
    assert (low, high) == pytest.approx(expected, rel=1e-12)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = onp.random.default_rng(0)
    samples = rng.normal(10, 3, size=(1000, 6))
    covered = [low <= 10 <= high for _, low, high in map(interval, samples)]
    assert 0.93 < onp.mean(covered) < 0.97


def test_without_an_effect_few_claims_are_confirmed():
    rng = onp.random.default_rng(1)
    counts = {CONFIRMED: 0, REVERSED: 0, OPEN: 0}
    for _ in range(1000):
        seeds = rng.normal(size=8) * 5  # what a seed does to both arms
        a, b = seeds + rng.normal(size=8), seeds + rng.normal(size=8)
        result = compare(a=a, b=b, smaller_is_better=True, smallest_effect=0)
        counts[result.better("a", than="b").outcome] += 1
    assert 0.01 < counts[CONFIRMED] / 1000 < 0.04
    assert 0.01 < counts[REVERSED] / 1000 < 0.04


def test_an_effect_that_is_there_is_found_by_pairing():
    rng = onp.random.default_rng(2)
    seeds = rng.normal(size=8) * 50
    a, b = seeds + rng.normal(size=8) * 0.1, seeds + 1 + rng.normal(size=8) * 0.1
    result = compare(a=a, b=b, smaller_is_better=True, smallest_effect=0.5)
    decision = result.better("a", than="b")
    assert decision.outcome == CONFIRMED
    assert decision.effect == pytest.approx((a - b).mean())  # the quantity has its own sign
    assert (decision.low, decision.high) == pytest.approx(interval(a - b)[1:])
    assert decision.quantity == "a − b"
    assert result.better("b", than="a").outcome == REVERSED


@pytest.mark.parametrize(
    ("advantage", "smallest", "outcome"),
    [
        ([2.0, 2.1, 1.9], 1.0, CONFIRMED),  # beyond the smallest effect
        ([2.0, 2.1, 1.9], 1.9, OPEN),  # the interval reaches below it
        ([0.5, 0.6, 0.4], 1.0, TOO_SMALL),  # real, but not worth having
        ([0.1, -0.1, 0.05], 1.0, TOO_SMALL),  # a precise null
        ([0.5, 0.6, 0.4], 0.0, CONFIRMED),
        ([1.0, -1.0, 0.5], 0.0, OPEN),
        ([1.0, -1.0, 0.5], 1.0, OPEN),  # reaches below zero and beyond the smallest
        ([-0.5, -0.6, -0.4], 1.0, REVERSED),  # beyond zero the other way
        ([-0.5, 0.6, -1.4], 0.0, OPEN),
        ([0.0, 0.0, 0.0], 0.0, OPEN),  # exactly no effect is not beyond zero
        ([1.0, 1.0, 1.0], 1.0, OPEN),  # nor exactly the smallest
        ([-1.0, -1.0], 0.0, REVERSED),
    ],
)
def test_better(advantage, smallest, outcome):
    assert arms(advantage, smallest).better("new", than="old").outcome == outcome


def test_larger_may_be_better():
    result = compare(
        a=[0.9, 0.91, 0.92], b=[0.8, 0.82, 0.81], smaller_is_better=False, smallest_effect=0.05
    )
    assert result.better("a", than="b").outcome == CONFIRMED
    assert result.better("b", than="a").outcome == REVERSED
    assert result.better("a", than="b").effect == pytest.approx(0.1)
    assert result.better("b", than="a").effect == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("advantage", "smallest", "outcome"),
    [
        ([0.1, -0.1, 0.05, -0.05], 1.0, CONFIRMED),
        ([0.1, -0.1, 0.05, -0.05], 0.01, OPEN),
        ([2.0, 2.1, 1.9], 1.0, REVERSED),
        ([-2.0, -2.1, -1.9], 1.0, REVERSED),
        ([0.9, 1.1, 1.0], 1.0, OPEN),
    ],
)
def test_equal(advantage, smallest, outcome):
    assert arms(advantage, smallest).equal("new", "old").outcome == outcome


def test_ratios_are_compared_by_their_geometric_mean():
    slow, fast = [10.0, 40.0, 20.0, 80.0], [5.0, 16.0, 10.0, 50.0]  # 2, 2.5, 2, 1.6
    result = compare(
        slow=slow, fast=fast, smaller_is_better=True, smallest_effect=1.2, ratio=True, unit="s"
    )
    decision = result.better("fast", than="slow")
    logs = onp.log([2, 2.5, 2, 1.6])
    assert decision.effect == pytest.approx(16 ** (-1 / 4))
    _, low, high = interval(logs)
    assert (decision.low, decision.high) == pytest.approx((onp.exp(-high), onp.exp(-low)))
    assert decision.quantity == "fast / slow"
    assert decision.outcome == CONFIRMED
    assert decision.unit == "×"
    assert decision.threshold == 1.2
    assert result.better("slow", than="fast").outcome == REVERSED
    tough = compare(slow=slow, fast=fast, smaller_is_better=True, smallest_effect=1.8, ratio=True)
    assert tough.better("fast", than="slow").outcome == OPEN
    vast = compare(slow=slow, fast=fast, smaller_is_better=True, smallest_effect=5, ratio=True)
    assert vast.better("fast", than="slow").outcome == TOO_SMALL
    close = compare(
        a=[1.0, 2.0, 3.0], b=[1.01, 1.99, 3.0], smaller_is_better=True, smallest_effect=1.1,
        ratio=True,
    )  # fmt: skip
    assert close.equal("a", "b").outcome == CONFIRMED
    assert "×" in decision.evidence
    assert "4 seeds" in decision.evidence


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(0.0, DERIVED), (1e-10, DERIVED), (2e-10, REVERSED), (-2e-10, REVERSED),
     (math.nan, REVERSED), (math.inf, REVERSED)],
)  # fmt: skip
def test_an_identity_is_decided_by_its_tolerance(error, outcome):
    decision = holds("tape equals hand gradient", error, tolerance=1e-10)
    assert decision.outcome == outcome
    assert decision.n == 0
    if math.isfinite(error) and error:
        assert f"error {abs(error):.0e}" in decision.evidence  # what was found, not the bound


@pytest.mark.parametrize(
    ("found", "expected", "outcome"),
    [(0, 0, DERIVED), (1, 0, REVERSED), (20, 20, DERIVED), (19, 20, REVERSED)],
)
def test_an_enumeration_is_decided_by_counting(found, expected, outcome):
    decision = count("subsets", found, of=20, expected=expected, exhaustive=True)
    assert decision.outcome == outcome
    assert decision.evidence == f"{found} of 20, expected {expected}"
    assert verdict("C020", decision).verdict == outcome


def test_a_sample_counted_as_if_it_were_all_cannot_decide_a_claim():
    counted = count("alarms", 0, of=96)
    with pytest.raises(ValueError, match=r"primary decision of C020 counts 0 of 96.*claims\.share"):
        verdict("C020", counted)
    beside = verdict("C020", holds("x", 0, tolerance=1), counted)
    assert beside.verdict == DERIVED


@pytest.mark.parametrize(
    ("found", "of", "border", "outcome"),
    [
        (12, 12, {"at_least": 0.7}, CONFIRMED),  # [0.735, 1]
        (12, 12, {"at_least": 0.8}, OPEN),  # twelve cases cannot show it
        (2, 20, {"at_least": 0.5}, REVERSED),
        (0, 500, {"at_most": 0.01}, CONFIRMED),
        (0, 96, {"at_most": 0.01}, OPEN),
        (30, 96, {"at_most": 0.1}, REVERSED),
    ],
)
def test_a_share_is_decided_by_its_exact_interval(found, of, border, outcome):
    decision = share("alarms", found, of=of, quantity="alarms", **border)
    assert decision.outcome == outcome
    exact = stats.binomtest(found, of).proportion_ci(0.95, "exact")
    assert (decision.low, decision.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert (decision.p_value < 0.05) == (outcome != OPEN)
    assert decision.evidence.startswith(f"{found} of {of} (a share of {found / of:.3g}")


def test_a_panel_counts_the_tasks_that_confirm():
    good = arms([2.0, 2.1, 1.9], 1.0).better("new", than="old")
    null = arms([0.1, -0.1, 0.0], 1.0).better("new", than="old")
    wide = panel({f"task {k}": good for k in range(8)}, statement="usually")
    assert (wide.outcome, wide.number) == (CONFIRMED, "8 of 8")
    mixed = panel({"a": good, "b": null, "c": good, "d": null}, statement="usually")
    assert mixed.outcome == OPEN
    assert mixed.arms["b"] == pytest.approx((null.effect, null.low, null.high))
    none = panel({f"task {k}": null for k in range(8)}, statement="usually")
    assert none.outcome == REVERSED


def test_the_printed_number_is_the_quantity_named():
    slopes = [-1.03, -1.02, -1.04, -1.03]
    found = decide(slopes, quantity="slope", null=-1, direction="equal", smallest_effect=0.1)
    assert found.outcome == CONFIRMED
    assert found.effect == pytest.approx(onp.mean(slopes))
    assert found.evidence.startswith("-1.03 (95 % interval -1.04 to -1.02; 4 seeds; δ 0.1)")
    assert found.arms == {"slope": tuple(slopes)}
    ratio = decide([2.0, 2.5, 1.6], quantity="B = 64 / B = 4", ratio=True, smallest_effect=1.2)
    assert ratio.evidence.startswith("2×")


def some(*outcomes):
    made = {
        CONFIRMED: arms([2.0, 2.1, 1.9], 1.0).better("new", than="old"),
        TOO_SMALL: arms([0.1, -0.1, 0.0], 1.0).better("new", than="old"),
        REVERSED: arms([-2.0, -2.1, -1.9], 1.0).better("new", than="old"),
        OPEN: arms([1.0, -1.0, 0.5]).better("new", than="old"),
        DERIVED: holds("first", 0, tolerance=1),
    }
    return [made[outcome] for outcome in outcomes]


@pytest.mark.parametrize("headline", [CONFIRMED, TOO_SMALL, REVERSED, OPEN, DERIVED])
@pytest.mark.parametrize("other", [CONFIRMED, REVERSED, DERIVED])
def test_the_first_decision_alone_gives_the_headline(headline, other):
    result = verdict("C020", *some(headline, other, other))
    assert result.verdict == headline
    assert result.primary.outcome == headline
    assert "arms" in result.record()["decisions"][0]
    assert "arms" not in result.record()["decisions"][1]


@pytest.mark.parametrize(
    ("outcomes", "headline"),
    [
        ([CONFIRMED, REVERSED], "then, not now"),
        ([CONFIRMED, TOO_SMALL], "then, not now"),
        ([CONFIRMED, CONFIRMED], CONFIRMED),
        ([CONFIRMED, OPEN], OPEN),
        ([REVERSED, REVERSED], REVERSED),
        ([OPEN, TOO_SMALL], TOO_SMALL),
    ],
)
def test_then_not_now_needs_that_it_held_then_and_is_refuted_now(outcomes, headline):
    result = verdict("C021", *some(*outcomes), then_not_now=True)
    assert result.verdict == headline
    if headline != "then, not now":
        assert result.primary.outcome == headline


def test_refutations_say_that_they_are():
    assert str(verdict("C020", *some(TOO_SMALL))).startswith("C020 refuted: too small to matter")
    assert str(verdict("C020", *some(REVERSED))).startswith("C020 refuted: reversed")
    assert str(verdict("C020", *some(OPEN))).startswith("C020 open")


def test_an_open_question_says_how_many_seeds_would_settle_it():
    found = decide([0.3, 0.1, 0.25, -0.05, 0.2, 0.15], quantity="gap", smallest_effect=0.1)
    assert found.outcome == OPEN
    mean, deviation = 0.158333, 0.124164
    n = found.seeds_needed
    for seeds, settled in ((n, True), (n - 1, False)):
        half = (stats.t.ppf(0.975, seeds - 1) + stats.t.ppf(0.8, seeds - 1)) * deviation
        assert (half / seeds**0.5 < mean - 0.1) == settled
    assert "seeds would settle it" in str(verdict("C020", found))


def shares_of_headlines(truth, n, direction="greater", repetitions=4000):
    """Simulate n paired differences of mean `truth` and unit deviation; δ is 1."""
    rng = onp.random.default_rng([n, int(10 * truth)])
    samples = rng.normal(truth, 1, size=(repetitions, n))
    half = stats.t.ppf(0.975, n - 1) * samples.std(axis=1, ddof=1) / n**0.5
    low, high = samples.mean(axis=1) - half, samples.mean(axis=1) + half
    found = [
        decide(row, quantity="d", smallest_effect=1, direction=direction).outcome
        for row in samples[:150]
    ]
    # The decision is the rule of the table; the rest of the samples take the rule itself.
    rule = onp.select([low > 1, high < 0, high < 1], [CONFIRMED, REVERSED, TOO_SMALL], OPEN)
    assert found == rule[:150].tolist()
    return {name: (rule == name).mean() for name in (CONFIRMED, TOO_SMALL, REVERSED, OPEN)}


@pytest.mark.parametrize("n", [8, 16, 32])
def test_headlines_come_as_often_as_theory_says(n):
    def power(shift):
        """Return the chance that the interval lies beyond a border `shift` below the truth."""
        return stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, shift * n**0.5)

    none, just, twice = (shares_of_headlines(truth, n) for truth in (0, 1, 2))
    assert none[CONFIRMED] <= 0.025  # the border is δ, further than zero
    assert none[REVERSED] == pytest.approx(0.025, abs=0.008)
    assert none[TOO_SMALL] + none[REVERSED] == pytest.approx(power(1), abs=0.03)
    assert just[CONFIRMED] == pytest.approx(0.025, abs=0.008)
    assert just[TOO_SMALL] + just[REVERSED] == pytest.approx(0.025, abs=0.008)
    assert twice[CONFIRMED] == pytest.approx(power(1), abs=0.03)
    assert twice[TOO_SMALL] + twice[REVERSED] <= 0.003


@pytest.mark.parametrize("n", [8, 16, 32])
def test_what_is_detectable_is_confirmed_four_times_in_five(n):
    truth = claims.detectable(1.0, n, smallest_effect=1.0)
    confirmed = shares_of_headlines(truth, n)[CONFIRMED]
    assert confirmed == pytest.approx(0.8, abs=0.04)


def test_false_discoveries_are_those_of_scipy():
    p = onp.random.default_rng(3).random(200) ** 3
    if hasattr(stats, "false_discovery_control"):  # SciPy 1.11 and later
        expected = stats.false_discovery_control(p) <= 0.05
        assert (claims.false_discoveries(p) == expected).all()
    assert claims.false_discoveries([0.04, 0.04]).all()
    assert not claims.false_discoveries([0.04, 0.2]).any()
    assert claims.false_discoveries([]).shape == (0,)


def test_the_p_value_is_below_5_percent_exactly_where_the_interval_excludes_the_border():
    rng = onp.random.default_rng(4)
    for _ in range(300):
        values = rng.normal(rng.choice([-1, 0, 0.5, 1, 2]), 0.5, size=6)
        for direction in ("greater", "smaller", "equal"):
            found = decide(values, quantity="d", smallest_effect=1, direction=direction)
            assert (found.p_value < 0.05) == (found.outcome != OPEN)


def test_the_advantage_is_the_effect_in_units_of_the_smallest():
    found = decide([2.0, 2.2, 1.8], quantity="d", smallest_effect=2, direction="smaller")
    assert found.advantage[0] == pytest.approx(-1)
    assert found.advantage[1] < found.advantage[0] < found.advantage[2]
    ratio = decide(
        [0.5, 0.5, 0.51], quantity="r", smallest_effect=2, direction="smaller", ratio=True
    )
    assert ratio.advantage[0] == pytest.approx(1, abs=0.02)


def test_seeds_of_a_claim_are_its_own_and_never_explored(monkeypatch):
    assert claims.seeds("C021") == list(range(2100, 2108))  # its protocol's
    mine, yours = claims.seeds("mine", 16), claims.seeds("yours", 16)
    assert len(set(mine)) == 16
    assert not set(mine) & set(yours)
    assert min(mine + yours) >= 100
    assert claims.seeds(range(3)) == [0, 1, 2]
    monkeypatch.setenv("NNBOOK_RESEED", "2")
    assert claims.seeds("C021") == list(range(2_002_100, 2_002_108))
    assert claims.seeds(range(3)) == [2_000_000, 2_000_001, 2_000_002]


PROTOCOL = {
    "quantity": "d", "arms": "a, b", "direction": "greater", "delta": 1.0, "settings": "none",
    "seeds": "100 to 107", "tuning": "none", "refuted_by": "no difference",
}  # fmt: skip


def frozen(**changes):
    entry = {"id": "C020", "protocol": {**PROTOCOL}}
    entry["frozen"] = protocols.protocol_hash(entry)
    entry["protocol"].update(changes)
    return entry


@pytest.mark.parametrize(
    "changes", [{"delta": 0.5}, {"seeds": "100 to 115"}, {"quantity": "e"}, {"tuning": "much"}]
)
def test_a_changed_protocol_of_a_decided_claim_names_the_revision(changes):
    assert protocols.problems(frozen()) == []
    (problem,) = protocols.problems(frozen(**changes))
    assert "C020: its protocol is not the one that was frozen" in problem
    assert "tools/claims.py revise C020" in problem


def test_a_revision_needs_new_seeds():
    entry = frozen()
    entry["revisions"] = [{"date": "2026-11-30", "reason": "r", "seeds_before": "104 to 111"}]
    (problem,) = protocols.problems(entry)
    assert "kept old seeds" in problem
    entry["revisions"][0]["seeds_before"] = "0 to 7"
    assert protocols.problems(entry) == []


def test_a_page_that_decides_by_something_else_is_noticed():
    found = decide(onp.full(8, 3.0), quantity="d", smallest_effect=1)
    record = verdict("C020", found).record()
    assert protocols.problems(frozen(), record) == []
    for name, value in (("quantity", "e"), ("threshold", 2.0), ("direction", "equal"), ("n", 9)):
        decisions = [{**record["decisions"][0], name: value}]
        (problem,) = protocols.problems(frozen(), {"decisions": decisions})
        assert "a decided claim changes by a revision" in problem
    lacking = frozen()
    del lacking["protocol"]["tuning"]
    assert any("lacks tuning" in words for words in protocols.problems(lacking))
    assert "has no protocol" in protocols.problems({"id": "C021"})[0]


def test_the_record_in_the_notebook():
    result = compare(
        raw=[12, 15, 11], centred=[5, 6, 5], smaller_is_better=True, smallest_effect=1,
        unit="epochs", quantity="time <to> 5 %", covers="initial weights",
    )  # fmt: skip
    extra = holds("sums agree", 1e-12, tolerance=1e-9)
    shown = verdict("C020", result.better("centred", than="raw"), extra)._repr_mimebundle_()
    assert set(shown) == {"text/plain", "text/html", MIME_TYPE}
    record = json.loads(json.dumps(shown[MIME_TYPE], allow_nan=False))
    assert set(record) == {"claim", "verdict", "statement", "source", "revised", "decisions"}
    assert (record["claim"], record["verdict"]) == ("C020", CONFIRMED)
    assert record["statement"] == "Centring <speeds> learning & helps."
    assert record["source"] == "LeCun et al. (1998)"
    primary = record["decisions"][0]
    assert (primary["n"], primary["unit"], primary["threshold"]) == (3, "epochs", 1)
    mean, low, high = interval([-7, -9, -6])
    assert (primary["effect"], primary["low"], primary["high"]) == pytest.approx((mean, low, high))
    # The number can be recomputed from what the record keeps.
    centred, raw = (onp.array(primary["arms"][name]) for name in ("centred", "raw"))
    assert interval(centred - raw) == pytest.approx((mean, low, high))
    lines = shown["text/plain"].splitlines()
    assert lines[0] == "C020 confirmed: Centring <speeds> learning & helps."
    assert "decided by time <to> 5 %, centred − raw: -7.33 epochs (95 % interval" in lines[1]
    assert "3 seeds; δ 1 epochs" in lines[1]
    assert "the interval covers initial weights" in lines[2]
    assert "also measured: sums agree: error 1e-12" in lines[3]
    assert "Centring &lt;speeds&gt; learning &amp; helps." in shown["text/html"]
    assert "<speeds>" not in shown["text/html"]
    assert "<to>" not in shown["text/html"]
    assert 'id="verdict-C020"' in shown["text/html"]


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_the_record_of_a_violated_identity_is_valid_json(error):
    shown = verdict("C020", holds("identity", error, tolerance=1e-6))._repr_mimebundle_()
    record = json.loads(json.dumps(shown[MIME_TYPE], allow_nan=False))
    assert record["verdict"] == REVERSED
    assert record["decisions"][0]["effect"] is None


def test_a_comparison_prints_every_arm_with_its_interval():
    text = str(compare(raw=[1, 2, 3], new=[2, 3, 4], smaller_is_better=True, smallest_effect=0))
    mean, low, high = interval([1, 2, 3])
    assert text.splitlines()[0].split()[:2] == ["raw", f"{mean:.4g}"]
    assert f"[{low:.4g}, {high:.4g}]" in text
    assert "n=3" in text


def test_comparing_changes_nothing_of_the_callers():
    values = onp.array([3.0, 1.0, 2.0])
    result = compare(a=values, b=values + 1, smaller_is_better=True, smallest_effect=0)
    result.better("a", than="b")
    assert values.tolist() == [3.0, 1.0, 2.0]


def test_a_protocol_is_shown_as_it_stands():
    assert claims.protocol("C021").data.splitlines() == [
        "**C021.** Other. *(L)*",
        "",
        "| protocol | |",
        "|---|---|",
        "| seeds | 2100 to 2107 |",
    ]
    with pytest.raises(KeyError, match="C999"):
        claims.protocol("C999")


def test_outside_the_book_any_claim_may_be_tested(tmp_path, monkeypatch):
    monkeypatch.delenv("NNBOOK_CLAIMS")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "claims.yml").unlink()
    result = verdict("X1", holds("mine", 0, tolerance=1))
    assert (result.verdict, result.statement) == (DERIVED, "")


def test_the_books_claims_are_found_from_a_chapter(monkeypatch):
    monkeypatch.delenv("NNBOOK_CLAIMS")
    from pathlib import Path

    monkeypatch.chdir(Path(__file__).parents[1] / "chapters" / "api")
    (Path.cwd().parent / "claims.yml").stat()
    known = claims.load_claims()
    assert {"C001a", "C019"} <= set(known)
    allowed = {CONFIRMED, TOO_SMALL, REVERSED, OPEN, DERIVED, "then, not now"}
    for entry in known.values():
        assert entry["expected"] in allowed | {None}
        assert entry["statement"]
        assert entry["source"]
        assert entry["chapter"]


def pair(**changes):
    settings = {"a": [1, 2, 3], "b": [2, 3, 5], "smaller_is_better": True, "smallest_effect": 0}
    return compare(**{**settings, **changes})


@pytest.mark.parametrize(
    ("work", "error", "message"),
    [
        (lambda: interval([1.0]), ValueError, "got 1 value; expected at least 2"),
        (lambda: interval([1, 2], 95), ValueError, r"confidence is 95; expected it in \(0, 1\)"),
        (lambda: interval([[1, 2]]), ValueError, r"shape \(1, 2\); expected one value per seed"),
        (lambda: pair(a=[1, 2, math.nan]), ValueError, "arm 'a' has a value that is not finite"),
        (lambda: pair(a=[1, 2]), ValueError, r"'a': 2, 'b': 3.* expected the same seeds in each"),
        (lambda: pair(a=[1], b=[2]), ValueError, "got 1 seed; expected at least 2"),
        (lambda: pair(smallest_effect=-1), ValueError, "smallest_effect is -1; expected at least"),
        (lambda: pair(smallest_effect=math.nan), ValueError, "smallest_effect is nan; expected"),
        (lambda: pair(smallest_effect=math.inf), ValueError, "smallest_effect is inf; expected"),
        (lambda: pair(ratio=True), ValueError, "smallest_effect is 0; expected at least 1"),
        (
            lambda: pair(a=[0, 1, 2], ratio=True, smallest_effect=1),
            ValueError,
            "a ratio needs positive numbers",
        ),
        (
            lambda: compare(a=[1, 2], smaller_is_better=True, smallest_effect=0),
            ValueError,
            r"got the arms \['a'\]; expected at least two",
        ),
        (lambda: pair().better("c", than="a"), KeyError, "no arm 'c'; there are a, b"),
        (lambda: pair(smallest_effect=1).equal("a", "d"), KeyError, "no arm 'd'; there are a, b"),
        (lambda: holds("x", 0, tolerance=0), ValueError, "tolerance is 0; expected a positive"),
        (lambda: holds("x", 0, tolerance=math.nan), ValueError, "tolerance is nan; expected"),
        (lambda: holds("x", 0, tolerance=math.inf), ValueError, "tolerance is inf; expected"),
        (lambda: count("x", 5, of=4), ValueError, "found is 5; expected 0 to 4"),
        (lambda: count("x", 0, of=4, expected=-1), ValueError, "expected is -1; expected 0 to 4"),
        (lambda: verdict("C020"), ValueError, "C020 has 0 decisions; give at least 1"),
        (
            lambda: verdict("C020", holds("x", 0, tolerance=1), then_not_now=True),
            ValueError,
            "C020 has 1 decisions; give at least 2",
        ),
        (lambda: pair().equal("a", "b"), ValueError, "0.* for an equality, which no interval"),
        (
            lambda: decide([1, 2], quantity="d", smallest_effect=0, direction="up"),
            ValueError,
            "direction is 'up'; expected one of greater, smaller, equal",
        ),
        (
            lambda: share("x", 1, of=2, quantity="q"),
            ValueError,
            "give one of at_least and at_most",
        ),
        (
            lambda: share("x", 3, of=2, quantity="q", at_least=0.5),
            ValueError,
            "found is 3 of 2; expected 0 to 2",
        ),
        (
            lambda: share("x", 1, of=2, quantity="q", at_least=1.5),
            ValueError,
            r"border is 1\.5; expected a share",
        ),
        (lambda: panel({}, statement="x"), ValueError, "at least two tasks"),
        (lambda: claims.seeds("unknown"), ValueError, "'unknown' has no protocol with seeds"),
        (lambda: claims.seeds("C021", 9), ValueError, "n is 9, but the protocol of C021 has 8"),
        (
            lambda: claims.false_discoveries([1.5]),
            ValueError,
            r"expected numbers in \[0, 1\]",
        ),
        (
            lambda: verdict("C999", holds("x", 0, tolerance=1)),
            KeyError,
            r"no claim 'C999' in claims\.yml; add it there first",
        ),
    ],
)  # fmt: skip
def test_bad_comparisons_are_refused(work, error, message):
    with pytest.raises(error, match=message):
        work()
