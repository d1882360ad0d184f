"""Put a recommendation to the test: compare arms seed by seed, and record a verdict.

A claim has one primary decision, fixed before its seeds are run: a quantity, the direction that is
claimed of it, and δ, the smallest effect worth having. `decide` takes the quantity once per seed,
`compare` the arms that it is a difference or a quotient of, `share` independent cases, `panel` the
tasks of a general claim, `holds` mathematics. `verdict` prints the headline and leaves a
machine-readable record in the notebook's output.

Let d be the mean advantage over the seeds, with its 95 % interval:

- **confirmed**: the whole interval lies beyond δ;
- **too small to matter**: it lies below δ and reaches zero or above: an effect, or none, that
  nobody should act on;
- **reversed**: it lies below zero;
- **open**: anything else, with the number of seeds that would settle it;
- **derived**: mathematics, checked within a tolerance;
- **then, not now**: two decisions.

All of it works outside the book, on anybody's runs, and without a ``claims.yml``.
"""

from nnbook.claims.comparisons import Comparison, compare
from nnbook.claims.counting import count, holds, panel, share
from nnbook.claims.decisions import Decision, decide
from nnbook.claims.intervals import false_discoveries, interval, share_interval
from nnbook.claims.power import detectable, seeds_needed
from nnbook.claims.protocols import load_claims, protocol, seeds
from nnbook.claims.verdicts import MIME_TYPE, Verdict, verdict

__all__ = [
    "MIME_TYPE",
    "Comparison",
    "Decision",
    "Verdict",
    "compare",
    "count",
    "decide",
    "detectable",
    "false_discoveries",
    "holds",
    "interval",
    "load_claims",
    "panel",
    "protocol",
    "seeds",
    "seeds_needed",
    "share",
    "share_interval",
    "verdict",
]
