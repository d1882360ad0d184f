"""Compare anybody's runs, from the columns of a CSV file: one row per seed, one decision."""

import csv
import io

from nnbook import claims

# Test errors in per cent, as a spreadsheet exports them, and whether a check saw the planted bug.
TABLE = """seed,adam,momentum,caught
0,5.61,5.48,1
1,5.80,5.55,1
2,5.72,5.61,1
3,5.55,5.30,1
4,5.93,5.52,0
5,5.66,5.49,1
6,5.70,5.38,1
7,5.84,5.66,1
"""
rows = list(csv.DictReader(io.StringIO(TABLE)))  # of a file: csv.DictReader(open("runs.csv"))
columns = {name: [float(row[name]) for row in rows] for name in rows[0]}
arms = {name: columns[name] for name in ("adam", "momentum")}
about = {"quantity": "test error", "unit": "points", "covers": "initial weights; one split"}
for smallest in (0.1, 0.5):  # in points; to be fixed before the runs are looked at
    runs = claims.compare(**arms, **about, smaller_is_better=True, smallest_effect=smallest)
    decision = runs.better("momentum", than="adam")
    print(claims.verdict(f"momentum beats Adam by {smallest}", decision))

caught = int(sum(columns["caught"]))  # cases are no seeds: their share has an exact interval
found = claims.share("most bugs are caught", caught, of=8, quantity="bugs caught", at_least=0.5)
print(claims.verdict("the check works", found))
print("fresh seeds for the next study:", claims.seeds("my next study", 4))
