"""Put a recommendation to the test: compare arms seed by seed, and record a verdict.

A claim is data: ``chapters/claims.yml`` holds what it says and where it comes from. An experiment
gives one number per seed and arm; `compare` pairs them by seed; `verdict` decides, prints one line
and leaves a machine-readable record in the notebook's output, from which the verdicts page is
built.

How it is decided. Let d be the mean advantage over the seeds, with its 95 % interval, and δ the
smallest effect worth having, fixed before the run:

- **confirmed**: the whole interval lies beyond δ;
- **refuted**: the whole interval lies beyond zero the other way (or, for `equal`, beyond δ);
- **inconclusive**: otherwise.
"""

from nnbook.claims.decisions import Comparison, Decision, compare, count, holds, interval
from nnbook.claims.verdicts import MIME_TYPE, Verdict, load_claims, verdict

__all__ = [
    "MIME_TYPE",
    "Comparison",
    "Decision",
    "Verdict",
    "compare",
    "count",
    "holds",
    "interval",
    "load_claims",
    "verdict",
]
