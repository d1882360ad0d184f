"""Look at a search that runs, or has run: its table, its curves, and what is suspicious in them.

The file is read and not locked, so that the search goes on meanwhile.
"""

from __future__ import annotations

import ast
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as onp

from nnbook._arguments import check_whole
from nnbook._tables import text_table
from nnbook.findings import Finding, Findings
from nnbook.search import dimensions
from nnbook.search.edges import borders
from nnbook.search.jobs import ask_to_stop, checkpoints, trials_folder
from nnbook.search.journal import Log, read
from nnbook.search.results import Results
from nnbook.search.space import Space

__all__ = ["Curve", "Inspection", "inspect", "stop_trial"]

_BARS = "▁▂▃▄▅▆▇█"
_FLAT = 1e-3  # what counts as no change, as a part of the value
_ENOUGH = 10  # trials before borders and spreads say anything
# Of twenty random trials on a slope seldom two fall into the last twentieth of the range, so look
# at more of the best in more of it: this finds four slopes of five, and one irrelevant range of 25.
_OUTER = 0.2  # part of the range, at either end, and of the trials


@dataclass(frozen=True)
class Curve:
    """What a trial's checkpoints say of it.

    Attributes
    ----------
    trial, seed : int
        Which.
    measure : str
        What the files are named by.
    epochs, values : tuple
        Of each checkpoint.
    """

    trial: int
    seed: int
    measure: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]

    def __str__(self) -> str:
        """Draw it in a line."""
        finite = [v for v in self.values if math.isfinite(v)] or [0.0]
        low, span = min(finite), (max(finite) - min(finite)) or 1.0
        bars = "".join(
            _BARS[round(7 * (v - low) / span)] if math.isfinite(v) else "×" for v in self.values
        )
        return f"{self.measure} {self.values[-1]:.4g} after epoch {self.epochs[-1]}  {bars[-40:]}"


@dataclass(frozen=True, eq=False)
class Inspection:
    """How a search stands.

    Attributes
    ----------
    results : Results
        What has a result.
    running : tuple of Curve
        The trials that have checkpoints and no result yet.
    curves : tuple of Curve
        Those of all trials that have checkpoints.
    findings : Findings
        What is suspicious: no value, a best one on the border, values or curves that are flat.
    """

    results: Results
    running: tuple[Curve, ...]
    curves: tuple[Curve, ...]
    findings: Findings

    def __str__(self) -> str:
        """Show the table, what runs, and what is suspicious."""
        rows = [[f"{one.trial}", f"{one.seed}", f"{one}"] for one in self.running]
        parts = [repr(self.results)]
        if rows:
            parts.append(f"{len(rows)} with checkpoints and without a result:")
            parts.append(text_table(["trial", "seed", "so far"], rows, [2]))
        parts.append(str(self.findings) if self.findings else "nothing suspicious")
        return "\n\n".join(parts)


def inspect(path: str | os.PathLike[str]) -> Inspection:
    """Look at a search by its file; ``python -m nnbook search FILE`` prints what comes out.

    Parameters
    ----------
    path : str or Path
        The file that `Search.run` was given.

    Returns
    -------
    Inspection

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it is none of a search.

    Examples
    --------
    >>> import tempfile, os
    >>> from nnbook import search
    >>> space = search.Space(rate=search.log(0.001, 0.1))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "study")
    ...     _ = search.GridSearch(space, points=12).run(lambda c, seed: 1 / c["rate"], path=path)
    ...     found = search.inspect(path)
    >>> print(found.findings)
    warning: borders: the best rate, 0.1, lies at the upper end of its range: widen rate above 0.1
        → search again with search.widen(space, search.borders(results))
    """
    path = Path(path).expanduser()
    identity, records, _ = read(path)
    if identity is None:
        raise ValueError(f"{path} has no search in it yet; look again when it has begun")
    log = Log()
    log.add(records)
    space = space_of(identity)
    planned = identity.get("trials", 0) * len(identity["seeds"])
    trials = sorted(log.trials, key=lambda one: (one.trial, identity["seeds"].index(one.seed)))
    results = Results.from_rows(
        [one.row() for one in trials],
        space,
        smaller_is_better=identity["smaller_is_better"],
        planned=planned or len(trials),
    )
    curves = tuple(_curves(trials_folder(path)))
    ended = {(one.trial, one.seed) for one in log.trials if one.state != "paused"}
    running = tuple(one for one in curves if (one.trial, one.seed) not in ended)
    return Inspection(results, running, curves, Findings(_suspicious(results, curves)))


def stop_trial(path: str | os.PathLike[str], trial: int) -> list[int]:
    """Ask a running search to stop a trial at its next checkpoint.

    On workers one that saves nothing for ten seconds is ended.

    Parameters
    ----------
    path : str or Path
        The file of the search.
    trial : int
        The configuration's number.

    Returns
    -------
    list of int
        The seeds with which it runs.

    Raises
    ------
    ValueError
        This trial has no checkpoint that says it runs.
    """
    folder = trials_folder(path)
    asked = ask_to_stop(folder, check_whole(trial, "trial", least=0))
    if not asked:
        raise ValueError(f"trial {trial} has saved nothing in {folder}; it cannot be stopped")
    return asked


def _curves(folder: Path) -> Iterator[Curve]:
    for one in sorted(folder.glob("trial=* seed=*")):
        saved = checkpoints(one)
        if saved:
            trial, seed = (int(part.partition("=")[2]) for part in one.name.split())
            epochs, names, values, _ = zip(*saved, strict=True)
            yield Curve(trial, seed, names[-1], epochs, values)


def _suspicious(results: Results, curves: tuple[Curve, ...]) -> Iterator[Finding]:
    states = results["state"].tolist()
    bad = sum(state in ("nan", "failed") for state in states)
    if bad:
        severity = "warning" if bad >= 0.2 * len(states) else "note"
        first = next(row for row in results if row["state"] in ("nan", "failed"))
        yield Finding(
            "states",
            severity,
            f"{bad} of {len(states)} trials have no value, the first is trial {first['trial']}: "
            f"{first['error']}",
            "look whether they lie together: a range may reach too far",
        )
    complete = results.complete
    if len(complete) >= _ENOUGH:
        top = int(_OUTER * len(set(complete["trial"].tolist())))
        for border in borders(results, share=_OUTER, top=max(1, top)):
            advice = "search again with search.widen(space, search.borders(results))"
            yield Finding("borders", "warning", str(border), advice)
        spread = float(onp.ptp(complete["value"]))
        if spread <= _FLAT * float(onp.abs(complete["value"]).max()):
            yield Finding(
                "values",
                "warning",
                f"{len(complete)} values lie within {spread:.2g} of each other",
                "is what is varied used at all? If so, vary it more",
            )
    for curve in curves:
        yield from _suspicious_curve(curve)


def _suspicious_curve(curve: Curve) -> Iterator[Finding]:
    which = f"trial {curve.trial}, seed {curve.seed}"
    if not math.isfinite(curve.values[-1]):
        message = f"{which}: {curve.measure} is {curve.values[-1]} after epoch {curve.epochs[-1]}"
        yield Finding("curves", "warning", message, "stop it; a smaller rate may do")
    elif len(curve.values) >= 3:
        first = curve.values[0]
        if max(abs(value - first) for value in curve.values) <= _FLAT * abs(first):
            message = f"{which} does not learn: {curve.measure} is still {curve.values[-1]:.4g}"
            message += f" after epoch {curve.epochs[-1]}"
            yield Finding("curves", "warning", message, "stop it; its rate may be too small")


def space_of(identity: dict[str, Any]) -> Space:
    """Return the space that a file describes, without running what stands in it.

    Parameters
    ----------
    identity : dict
        The first record of the file.

    Returns
    -------
    Space
    """
    return Space(**{n: _dimension(identity[f"dimension {n}"]) for n in identity["dimensions"]})


def _dimension(text: str) -> dimensions.Dimension:
    call = ast.parse(text, mode="eval").body
    kinds = {
        "log": dimensions.log,
        "linear": dimensions.linear,
        "integer": dimensions.integer,
        "categorical": dimensions.categorical,
    }
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(f"the file has {text!r} as a dimension; expected log(…), linear(…), …")
    options = {str(one.arg): _value(one.value) for one in call.keywords}
    return kinds[call.func.id](*map(_value, call.args), **options)  # type: ignore[operator]


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Tuple):
        return tuple(map(_value, node.elts))
    if isinstance(node, ast.Name):  # of limits
        return {"inf": math.inf}[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Name):
        return -math.inf
    return ast.literal_eval(node)
