"""Verdicts: the interval, the rules, the record that they leave, and how often they err."""

from __future__ import annotations

import json
import math

import numpy as onp
import pytest
from scipy import stats

from nnbook import claims
from nnbook.claims import compare, count, holds, interval, verdict

MIME_TYPE = "application/vnd.nnbook.verdict+json"
CONFIRMED, REFUTED, INCONCLUSIVE = "confirmed", "refuted", "inconclusive"


@pytest.fixture(autouse=True)
def _own_claims(tmp_path, monkeypatch):
    file = tmp_path / "claims.yml"
    file.write_text(
        "- {id: C020, chapter: efficient_backprop, source: 'LeCun et al. (1998)',\n"
        "   statement: 'Centring <speeds> learning & helps.', expected: confirmed}\n"
        "- {id: C021, chapter: efficient_backprop, source: L, statement: Other., expected: partly}"
    )
    monkeypatch.setenv("NNBOOK_CLAIMS", str(file))
    claims.load_claims.cache_clear()
    yield
    claims.load_claims.cache_clear()


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
    counts = {CONFIRMED: 0, REFUTED: 0, INCONCLUSIVE: 0}
    for _ in range(1000):
        seeds = rng.normal(size=8) * 5  # what a seed does to both arms
        a, b = seeds + rng.normal(size=8), seeds + rng.normal(size=8)
        result = compare(a=a, b=b, smaller_is_better=True, smallest_effect=0)
        counts[result.better("a", than="b").outcome] += 1
    assert 0.01 < counts[CONFIRMED] / 1000 < 0.04
    assert 0.01 < counts[REFUTED] / 1000 < 0.04


def test_an_effect_that_is_there_is_found_by_pairing():
    rng = onp.random.default_rng(2)
    seeds = rng.normal(size=8) * 50
    a, b = seeds + rng.normal(size=8) * 0.1, seeds + 1 + rng.normal(size=8) * 0.1
    result = compare(a=a, b=b, smaller_is_better=True, smallest_effect=0.5)
    decision = result.better("a", than="b")
    assert decision.outcome == CONFIRMED
    assert decision.effect == pytest.approx((b - a).mean())
    assert (decision.low, decision.high) == pytest.approx(interval(b - a)[1:])
    assert result.better("b", than="a").outcome == REFUTED


@pytest.mark.parametrize(
    ("advantage", "smallest", "outcome"),
    [
        ([2.0, 2.1, 1.9], 1.0, CONFIRMED),  # beyond the smallest effect
        ([2.0, 2.1, 1.9], 1.9, INCONCLUSIVE),  # the interval reaches below it
        ([0.5, 0.6, 0.4], 1.0, INCONCLUSIVE),  # real, but not worth having
        ([0.5, 0.6, 0.4], 0.0, CONFIRMED),
        ([1.0, -1.0, 0.5], 0.0, INCONCLUSIVE),
        ([-0.5, -0.6, -0.4], 1.0, REFUTED),  # beyond zero the other way
        ([-0.5, 0.6, -1.4], 0.0, INCONCLUSIVE),
        ([0.0, 0.0, 0.0], 0.0, INCONCLUSIVE),  # exactly no effect is not beyond zero
        ([1.0, 1.0, 1.0], 1.0, INCONCLUSIVE),  # nor exactly the smallest
        ([-1.0, -1.0], 0.0, REFUTED),
    ],
)
def test_better(advantage, smallest, outcome):
    assert arms(advantage, smallest).better("new", than="old").outcome == outcome


def test_larger_may_be_better():
    result = compare(
        a=[0.9, 0.91, 0.92], b=[0.8, 0.82, 0.81], smaller_is_better=False, smallest_effect=0.05
    )
    assert result.better("a", than="b").outcome == CONFIRMED
    assert result.better("b", than="a").outcome == REFUTED
    assert result.better("a", than="b").effect == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("advantage", "smallest", "outcome"),
    [
        ([0.1, -0.1, 0.05, -0.05], 1.0, CONFIRMED),
        ([0.1, -0.1, 0.05, -0.05], 0.01, INCONCLUSIVE),
        ([2.0, 2.1, 1.9], 1.0, REFUTED),
        ([-2.0, -2.1, -1.9], 1.0, REFUTED),
        ([0.9, 1.1, 1.0], 1.0, INCONCLUSIVE),
        ([0.0, 0.0], 0.0, INCONCLUSIVE),  # a tolerance of zero can show nothing
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
    assert decision.effect == pytest.approx(16 ** (1 / 4))
    assert (decision.low, decision.high) == pytest.approx(tuple(onp.exp(interval(logs)[1:])))
    assert decision.outcome == CONFIRMED
    assert decision.unit == "×"
    assert decision.threshold == 1.2
    assert result.better("slow", than="fast").outcome == REFUTED
    tough = compare(slow=slow, fast=fast, smaller_is_better=True, smallest_effect=1.8, ratio=True)
    assert tough.better("fast", than="slow").outcome == INCONCLUSIVE
    close = compare(
        a=[1.0, 2.0, 3.0], b=[1.01, 1.99, 3.0], smaller_is_better=True, smallest_effect=1.1,
        ratio=True,
    )  # fmt: skip
    assert close.equal("a", "b").outcome == CONFIRMED
    assert "×" in decision.evidence
    assert "4 seeds" in decision.evidence


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(0.0, CONFIRMED), (1e-10, CONFIRMED), (2e-10, REFUTED), (-2e-10, REFUTED),
     (math.nan, REFUTED), (math.inf, REFUTED)],
)  # fmt: skip
def test_an_identity_is_decided_by_its_tolerance(error, outcome):
    decision = holds("tape equals hand gradient", error, tolerance=1e-10)
    assert decision.outcome == outcome
    assert decision.n == 0


@pytest.mark.parametrize(
    ("found", "expected", "outcome"),
    [(0, 0, CONFIRMED), (1, 0, REFUTED), (20, 20, CONFIRMED), (19, 20, REFUTED)],
)
def test_a_guarantee_is_decided_by_counting(found, expected, outcome):
    decision = count("runs whose loss rose", found, of=20, expected=expected)
    assert decision.outcome == outcome
    assert decision.evidence == f"{found} of 20, expected {expected}"
    record = verdict("C020", decision).record()
    assert (record["effect"], record["n"]) == (found, 20)


def some(*outcomes):
    made = {
        CONFIRMED: holds("first", 0, tolerance=1),
        REFUTED: holds("second", 2, tolerance=1),
        INCONCLUSIVE: arms([1.0, -1.0, 0.5]).better("new", than="old"),
    }
    return [made[outcome] for outcome in outcomes]


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([CONFIRMED], CONFIRMED),
        ([REFUTED], REFUTED),
        ([INCONCLUSIVE], INCONCLUSIVE),
        ([CONFIRMED, CONFIRMED], CONFIRMED),
        ([REFUTED, REFUTED], REFUTED),
        ([CONFIRMED, REFUTED], "partly"),
        ([REFUTED, CONFIRMED], "partly"),
        ([CONFIRMED, INCONCLUSIVE], "partly"),
        ([INCONCLUSIVE, REFUTED], INCONCLUSIVE),
    ],
)
def test_decisions_make_a_verdict(outcomes, expected):
    result = verdict("C020", *some(*outcomes))
    assert result.verdict == expected
    assert [d.outcome for d in result.decisions] == outcomes


def test_obsolete_needs_that_it_held_then_and_does_not_now():
    assert verdict("C021", *some(CONFIRMED, REFUTED), obsolete=True).verdict == "obsolete"
    for wrong in ([REFUTED, CONFIRMED], [CONFIRMED], [CONFIRMED, INCONCLUSIVE]):
        with pytest.raises(ValueError, match=r"C021 is called obsolete, but its decisions are"):
            verdict("C021", *some(*wrong), obsolete=True)


def test_the_record_in_the_notebook():
    result = compare(
        raw=[12, 15, 11], centred=[5, 6, 5], smaller_is_better=True, smallest_effect=1,
        unit="epochs",
    )  # fmt: skip
    shown = verdict("C020", result.better("centred", than="raw"))._repr_mimebundle_()
    assert set(shown) == {"text/plain", "text/html", MIME_TYPE}
    record = json.loads(json.dumps(shown[MIME_TYPE], allow_nan=False))
    assert set(record) == {
        "claim", "verdict", "statement", "source", "effect", "low", "high", "n", "unit",
        "decisions",
    }  # fmt: skip
    assert (record["claim"], record["verdict"]) == ("C020", CONFIRMED)
    assert record["statement"] == "Centring <speeds> learning & helps."
    assert record["source"] == "LeCun et al. (1998)"
    assert (record["n"], record["unit"]) == (3, "epochs")
    mean, low, high = interval([7, 9, 6])
    assert (record["effect"], record["low"], record["high"]) == pytest.approx((mean, low, high))
    assert record["decisions"][0]["threshold"] == 1
    lines = shown["text/plain"].splitlines()
    assert lines[0] == "C020 confirmed: Centring <speeds> learning & helps."
    assert "centred better than raw: 7.33 epochs (95 % interval" in lines[1]
    assert "3 seeds" in lines[1]
    assert "Centring &lt;speeds&gt; learning &amp; helps." in shown["text/html"]
    assert "<speeds>" not in shown["text/html"]
    assert 'id="verdict-C020"' in shown["text/html"]


@pytest.mark.parametrize("error", [math.nan, math.inf])
def test_the_record_of_a_violated_identity_is_valid_json(error):
    shown = verdict("C020", holds("identity", error, tolerance=1e-6))._repr_mimebundle_()
    record = json.loads(json.dumps(shown[MIME_TYPE], allow_nan=False))
    assert record["verdict"] == REFUTED
    assert record["effect"] is None


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


def test_outside_the_book_any_claim_may_be_tested(tmp_path, monkeypatch):
    monkeypatch.delenv("NNBOOK_CLAIMS")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "claims.yml").unlink()
    claims.load_claims.cache_clear()
    result = verdict("X1", holds("mine", 0, tolerance=1))
    assert (result.verdict, result.statement) == (CONFIRMED, "")


def test_the_books_claims_are_found_from_a_chapter(monkeypatch):
    monkeypatch.delenv("NNBOOK_CLAIMS")
    from pathlib import Path

    monkeypatch.chdir(Path(__file__).parents[1] / "chapters" / "api")
    (Path.cwd().parent / "claims.yml").stat()
    known = claims.load_claims()
    assert {"C001", "C018"} <= set(known)
    allowed = {CONFIRMED, REFUTED, INCONCLUSIVE, "partly", "obsolete"}
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
        (lambda: pair().equal("a", "d"), KeyError, "no arm 'd'; there are a, b"),
        (lambda: holds("x", 0, tolerance=0), ValueError, "tolerance is 0; expected a positive"),
        (lambda: holds("x", 0, tolerance=math.nan), ValueError, "tolerance is nan; expected"),
        (lambda: holds("x", 0, tolerance=math.inf), ValueError, "tolerance is inf; expected"),
        (lambda: count("x", 5, of=4), ValueError, "found is 5; expected 0 to 4"),
        (lambda: count("x", 0, of=4, expected=-1), ValueError, "expected is -1; expected 0 to 4"),
        (lambda: verdict("C020"), ValueError, "C020 has no decision; give at least one"),
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
