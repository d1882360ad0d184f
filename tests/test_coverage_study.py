"""The study of the intervals' coverage: its table is what its repetitions say."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as onp
import pytest
from scipy import stats

CHAPTERS = Path(__file__).resolve().parents[1] / "chapters"
ROWS = json.loads((CHAPTERS / "coverage.json").read_text(encoding="utf-8"))["data"]["rows"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['claim']}, {row['words']}")
def test_a_row_is_what_its_repetitions_say(row):
    values, n = onp.array(row["values"]), row["n"]
    groups = values[: len(values) // n * n].reshape(-1, n)
    error = stats.sem(groups, axis=1)
    low, high = stats.t.interval(0.95, n - 1, loc=groups.mean(axis=1), scale=error)
    inside = (low <= row["reference"]) & (row["reference"] <= high)
    assert (int(inside.sum()), len(groups)) == (row["found"], row["of"])
    exact = stats.binomtest(row["found"], row["of"]).proportion_ci(0.95, method="exact")
    assert (row["low"], row["high"]) == pytest.approx((exact.low, exact.high), abs=1e-4)
    if row["resampled"] is not None:  # the reference is then the mean of all repetitions
        assert row["reference"] == pytest.approx(values.mean(), abs=1e-6)
        rng = onp.random.default_rng(1)
        again = rng.choice(values, (4000, n))
        half = stats.t.ppf(0.975, n - 1) * stats.sem(again, axis=1)
        share = (onp.abs(again.mean(axis=1) - values.mean()) <= half).mean()
        assert row["resampled"] == pytest.approx(share, abs=0.02)


def test_the_page_shows_these_rows():
    with (CHAPTERS / "coverage.csv").open(encoding="utf-8", newline="") as file:
        head, *table = csv.reader(file)
    assert len(head) == 7
    assert [line[:5] for line in table] == [
        [r["claim"], r["words"], str(r["n"]), str(len(r["values"])), f"{r['found']} of {r['of']}"]
        for r in ROWS
    ]
    assert "coverage.csv" in (CHAPTERS / "how_to_read.md").read_text(encoding="utf-8")
    assert len({row["claim"] for row in ROWS}) >= 5
    assert all(len(row["values"]) >= 400 for row in ROWS if row["resampled"] is not None)
