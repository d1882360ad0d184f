"""The committed verdicts: what a page prints is what its record says, and its arms imply.

For every record in the notebooks' outputs: the number printed by the box is the quantity named,
recomputed from the arms of the record's primary decision, and so is its interval.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as onp
import pytest
from scipy import stats

from nnbook import claims

ROOT = Path(__file__).resolve().parents[1]
PRECISION = 1e-4  # arms are recorded with six digits


def outputs():
    """Every output with a verdict: the name of its page and claim, and its forms."""
    for path in sorted((ROOT / "chapters").rglob("*.ipynb")):
        if ".ipynb_checkpoints" in path.parts:
            continue
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                record = data.get(claims.MIME_TYPE)
                if record and "revised" in record:  # not one of the first edition
                    page = path.relative_to(ROOT / "chapters").with_suffix("").as_posix()
                    yield pytest.param(data, id=f"{page}-{record['claim']}")


def decisive(record):
    """The decisions that gave the headline."""
    return record["decisions"][: 2 if record["verdict"] == "then, not now" else 1]


def quantities(decision):
    """The quantity for each seed, recomputed from the arms, in every way that they can be read.

    One arm is the quantity itself. Two are a difference or a quotient, in the order that the name
    of the quantity says, if it does ("…, centred / raw").
    """
    arms = {name: onp.array(values) for name, values in decision["arms"].items()}
    name = decision["quantity"]
    if name in arms:
        return [arms[name]]
    if len(arms) == 1:
        return list(arms.values())
    if len(arms) != 2:
        return []
    sign = "/" if decision["ratio"] else "−"
    pairs = [tuple(arms), tuple(arms)[::-1]]
    named = [(a, b) for a, b in pairs if name.endswith(f"{a} {sign} {b}")]
    return [
        arms[a] / arms[b] if decision["ratio"] else arms[a] - arms[b] for a, b in named or pairs
    ]


def interval(values, ratio):
    """Mean and 95 % interval by SciPy, for a quotient of the logarithms."""
    values = onp.log(values) if ratio else values
    mean, error = values.mean(), stats.sem(values)
    found = (mean, mean, mean)
    if error > 0:
        found = (mean, *stats.t.interval(0.95, len(values) - 1, loc=mean, scale=error))
    return onp.exp(found) if ratio else onp.array(found)


def disagreement(decision):
    """Say what of a decision its own evidence does not give, or return None."""
    stated = [decision[key] for key in ("effect", "low", "high")]
    if decision["kind"] in ("share", "panel"):
        test = stats.binomtest(int(decision["effect"]), decision["n"])
        exact = test.proportion_ci(0.95, method="exact")
        found = [(decision["effect"], exact.low, exact.high)]
    elif decision["kind"] == "interval":
        found = [interval(values, decision["ratio"]) for values in quantities(decision)]
    else:
        return None
    if not found:
        arms = list(decision["arms"])
        return (
            f"{decision['quantity']!r} cannot be recomputed from the arms {arms}: "
            "record one number per seed under the name of the quantity, or two arms"
        )
    scale = max(abs(v) for v in stated) + abs(stated[2] - stated[1])
    if any(onp.allclose(stated, f, rtol=0, atol=PRECISION * scale) for f in found):
        return None
    return f"{decision['quantity']!r} is stated as {stated}, and its arms give {found}"


def printed(text, quantity):
    """The numbers that stand behind the name of a quantity in a printed verdict, in order."""
    # a quantity may hold anything; the number that follows may have a sign and an exponent
    number = r": (?:error )?([-−]?[\d.]+(?:e[-+]?\d+)?)"
    return [float(x.replace("−", "-")) for x in re.findall(re.escape(quantity) + number, text)]


@pytest.mark.parametrize("data", list(outputs()))
def test_a_number_printed_is_the_quantity_recomputed_from_the_arms(data):
    record = data[claims.MIME_TYPE]
    for number, decision in enumerate(decisive(record)):
        assert (wrong := disagreement(decision)) is None, wrong
        quantity = decision["quantity"]
        place = sum(d["quantity"] == quantity for d in record["decisions"][:number])
        for form in ("text/plain", "text/html"):
            text = html.unescape("".join(data[form]))
            found = printed(text, quantity)
            assert len(found) > place, f"{quantity!r} with a number does not stand in: {text}"
            digits = 0.5 if decision["kind"] == "identity" else 0.006  # one digit, or three
            assert found[place] == pytest.approx(decision["effect"], rel=digits, abs=0)
            assert f"{record['claim']} " in text
            assert record["verdict"] in text


# ------------------------------------------------------------------ that the test would notice

RNG = onp.random.default_rng(0)
RAW = RNG.lognormal(3, 0.3, size=8)
RATIO = claims.compare(
    raw=RAW, centred=RAW * RNG.lognormal(-0.8, 0.1, size=8), smaller_is_better=True,
    smallest_effect=1.2, ratio=True, quantity="epochs to a loss of 0.1",
)  # fmt: skip
DECISIONS = {
    "ratio": RATIO.better("centred", than="raw"),
    "difference": claims.compare(
        a=RNG.normal(5, 1, size=8), b=RNG.normal(6, 1, size=8), smaller_is_better=False,
        smallest_effect=0.1, unit="points",
    ).better("b", than="a"),
    "values": claims.decide(
        RNG.normal(-1, 0.02, size=8), quantity="slope", null=-1, direction="equal",
        smallest_effect=0.05,
    ),
    "share": claims.share("caught", 11, of=12, quantity="kinds caught", at_least=0.5),
    "identity": claims.holds("g = 0", 3e-13, tolerance=1e-9, quantity="gradient's error"),
}  # fmt: skip


def bundle(decision):
    """What a notebook keeps of a verdict, after a save, which sorts the keys."""
    data = claims.Verdict("C020", decision.outcome, "s", "L", (decision,))._repr_mimebundle_()
    return json.loads(json.dumps(data, sort_keys=True))


@pytest.mark.parametrize("name", DECISIONS)
def test_the_test_accepts_what_the_package_prints(name):
    test_a_number_printed_is_the_quantity_recomputed_from_the_arms(bundle(DECISIONS[name]))


@pytest.mark.parametrize("key", ["effect", "low", "high"])
@pytest.mark.parametrize("name", ["ratio", "difference", "values", "share"])
def test_another_number_is_noticed(name, key):
    data = bundle(DECISIONS[name])
    (decision,) = data[claims.MIME_TYPE]["decisions"]
    assert disagreement(decision) is None
    decision[key] += 1.0 if name == "share" else 0.01 * abs(decision[key])
    with pytest.raises((AssertionError, ValueError)):
        test_a_number_printed_is_the_quantity_recomputed_from_the_arms(data)


def test_a_quotient_upside_down_and_another_sign_are_noticed():
    for name in ("ratio", "difference"):
        (decision,) = bundle(DECISIONS[name])[claims.MIME_TYPE]["decisions"]
        a, b = decision["arms"]
        arms = {a: decision["arms"][b], b: decision["arms"][a]}
        assert "its arms give" in disagreement(decision | {"arms": arms})


def test_a_box_that_prints_something_else_is_noticed():
    data = bundle(DECISIONS["ratio"])
    number = DECISIONS["ratio"].number
    data["text/html"] = data["text/html"].replace(number, "0.9×")
    with pytest.raises(AssertionError):
        test_a_number_printed_is_the_quantity_recomputed_from_the_arms(data)


def test_arms_that_do_not_give_the_quantity_are_named():
    (decision,) = bundle(DECISIONS["values"])[claims.MIME_TYPE]["decisions"]
    arms = {name: [1.0] * 8 for name in "abc"}
    assert "cannot be recomputed from the arms ['a', 'b', 'c']" in disagreement(
        decision | {"arms": arms}
    )
