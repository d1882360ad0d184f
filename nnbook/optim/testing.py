"""The unit tests of stochastic optimisation: a rule on every shape, noise and change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as onp

from nnbook._arguments import check_seed, check_whole
from nnbook._tables import html_table, text_table
from nnbook.optim.base import Optimizer
from nnbook.optim.shapes import CHANGES, NOISES, SHAPES
from nnbook.optim.trials import is_elementwise, losses_of, reference_of, start_loss

__all__ = ["UnitTests", "unit_tests"]

Array = onp.ndarray

STATUSES = ("diverged", "stuck", "unreliable", "slow", "good")
SYMBOLS = ("✗", "–", "?", "~", "✓")
ENOUGH, HALF, ALLOWED_FAILURES = 0.1, 0.5, 0.25
POINTS = 21  # of a trajectory that are kept


@dataclass(frozen=True)
class UnitTests:
    """What `unit_tests` found; R rules, K shapes, N noises, C changes, S seeds, P points.

    Parameters
    ----------
    rules, shapes, noises, changes : tuple of str
        The names along the axes.
    progress : numpy.ndarray, shape (R, K, N, C, S)
        (f₀ − f) / (f₀ − f*), with f₀ the expected loss at the start, f its mean over the last fifth
        of the steps and f* that of the best rate of plain gradient descent. 1 is as good as that.
        Where that descends by less than a tenth of what there is, a tenth is what counts.
    steps : numpy.ndarray, shape (P,)
        Where the trajectories are kept.
    trajectories : numpy.ndarray, shape (R, K, N, C, 3, P)
        Progress step by step: the lower quartile, the median and the upper quartile of the seeds.
    reference : numpy.ndarray, shape (K, N, C, P)
        The median of the best plain gradient descent.
    reference_rates : numpy.ndarray, shape (K, N, C)
        Its rate.
    """

    rules: tuple[str, ...]
    shapes: tuple[str, ...]
    noises: tuple[str, ...]
    changes: tuple[str, ...]
    progress: Array = field(repr=False)
    steps: Array = field(repr=False)
    trajectories: Array = field(repr=False)
    reference: Array = field(repr=False)
    reference_rates: Array = field(repr=False)

    @property
    def score(self) -> Array:
        """The median progress, shape (R, K, N, C)."""
        return onp.median(self.progress, axis=-1)

    @property
    def status(self) -> Array:
        """The number of each outcome in `STATUSES`, shape (R, K, N, C)."""
        failed = (self.progress < ENOUGH).mean(axis=-1)
        lost = (self.progress < -1).mean(axis=-1)
        conditions = [
            lost > ALLOWED_FAILURES,
            self.score < ENOUGH,
            failed > ALLOWED_FAILURES,
            self.score < HALF,
        ]
        return onp.select(conditions, range(4), 4)

    @property
    def passed(self) -> Array:
        """Whether a test is passed (slow or good), shape (R, K, N, C)."""
        return self.status >= STATUSES.index("slow")

    def table(self, rule: str | None = None) -> str:
        """Return the grid as text.

        Parameters
        ----------
        rule : str, optional
            Shapes by noises and changes for this rule; by default, if there are several rules,
            the tests that each passes on each shape.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            There is no such rule.
        """
        if rule is None and len(self.rules) > 1:
            head, *rows = self._counts()
            return text_table(head, rows)
        rule = self.rules[0] if rule is None else rule
        if rule not in self.rules:
            raise ValueError(f"rule is {rule!r}; expected one of {', '.join(self.rules)}")
        status = self.status[self.rules.index(rule)]
        rows = [
            [name, *("".join(SYMBOLS[k] for k in cell) for cell in row)]
            for name, row in zip(self.shapes, status, strict=True)
        ]
        legend = ", ".join(f"{s} {word}" for s, word in zip(SYMBOLS, STATUSES, strict=True))
        table = text_table((rule, *self.noises), rows)
        return f"{table}\n{legend}; in a cell: {', '.join(self.changes)}"

    def grid(self) -> dict[str, Any]:
        """Return what `nnbook.explore.explore_grid` draws, as its keyword arguments.

        Returns
        -------
        dict
        """
        return {
            "status": self.status.transpose(0, 3, 1, 2),
            "score": self.score.transpose(0, 3, 1, 2),
            "curves": self.trajectories.transpose(0, 3, 1, 2, 4, 5),
            "reference": self.reference.transpose(2, 0, 1, 3)[None],
            "x": self.steps,
            "panels": {"rule": self.rules, "change": self.changes},
            "rows": ("shape", self.shapes),
            "columns": ("noise", self.noises),
            "words": STATUSES,
            "symbols": SYMBOLS,
            "ylabel": "progress",
            "ylim": (-1.0, 2.0),
            "key": "Line and band: median and quartiles of the seeds. Dashes: the best plain "
            "gradient descent. Progress 0 is the loss at the start, 1 where that descent ends.",
        }

    def _counts(self) -> list[list[str]]:
        counts = self.passed.sum(axis=(2, 3))
        of = len(self.noises) * len(self.changes)
        rows = [[f"passed of {of}", *self.shapes, "all"]]
        for name, row in zip(self.rules, counts, strict=True):
            share = row.sum() / (of * len(row))
            rows.append([name, *(str(n) for n in row), f"{share:.0%}"])
        return rows

    def __str__(self) -> str:
        return self.table()

    def _repr_html_(self) -> str:
        head, *rows = self._counts()
        return html_table(head, rows, heads=True)


def unit_tests(
    rules: Any, *, steps: int = 100, seeds: int = 16, seed: int = 0, elementwise: bool | None = None
) -> UnitTests:
    """Try update rules on every shape, noise and change: one difficulty at a time.

    Every test follows a rule from a fixed start. Shapes, noises and changes are those of Schaul,
    Antonoglou and Silver, on our own scale: slopes of 1 at the start and a minimum, a kink or a
    change of slope one unit away. Each rule is judged with the rate it has, against plain gradient
    descent at the best of 13 rates from 0.001 to 1 for that very test.

    A test is *diverged* if more than a quarter of the seeds end further above the start than the
    best gradient descent ends below it; else *stuck* if the median of the seeds makes less than a
    tenth of its progress; else *unreliable* if more than a quarter of them do; else *slow* below
    half of it; else *good*. Slow and good pass.

    Parameters
    ----------
    rules : Optimizer, mxnet.optimizer.Optimizer, mapping of names to them, or iterable of them
        With numbers or schedules as rates.
    steps : int
        Steps of a run, at least 20.
    seeds : int
        Runs of a test, each with noise of its own; all tests and rules share the noise of a seed.
    seed : int
        Decides all noise.
    elementwise : bool, optional
        Whether a rule treats every weight alone, so that all runs can be steps on one array. By
        default it is tried out; a rule that does not (LAMB, clipping by the norm) takes every run
        by itself, which takes seconds.

    Returns
    -------
    UnitTests

    Raises
    ------
    TypeError
        What is no rule.
    ValueError
        No rule, two of one name, a rate for every weight, too few steps or seeds.

    References
    ----------
    Schaul, Antonoglou and Silver (2014), Unit tests for stochastic optimization.

    Examples
    --------
    >>> from nnbook import optim
    >>> tests = optim.unit_tests([optim.sgd(0.1), optim.adam(0.1)])
    >>> tests.passed.shape
    (2, 12, 5, 5)
    >>> adam = dict(zip(tests.shapes, tests.passed[1, :, 0, 0]))  # no noise, no change
    >>> bool(adam["cliff"]), bool(adam["saddle"])
    (True, True)
    """
    named = _named(rules)
    steps, seeds = check_whole(steps, "steps", 20), check_whole(seeds, "seeds")
    seed = check_seed(seed)
    reference, gain, rates = reference_of(steps, seeds, seed)
    start = start_loss()
    kept = onp.linspace(0, steps, POINTS).round().astype(int)
    progress, trajectories = [], []
    for rule in named.values():
        together = is_elementwise(rule) if elementwise is None else elementwise
        losses = losses_of(rule, steps, seeds, seed, together)
        done = (start - losses) / gain[..., None, :]
        progress.append(done[-(steps // 5) :].mean(axis=0))
        trajectories.append(onp.quantile(done[kept], [0.25, 0.5, 0.75], axis=-2))
    # From (…, noise, change, seed, shape) to (…, shape, noise, change, …).
    return UnitTests(
        tuple(named),
        tuple(shape.name for shape in SHAPES),
        tuple(NOISES),
        tuple(change.name for change in CHANGES),
        onp.array(progress).transpose(0, 4, 1, 2, 3),
        kept,
        onp.array(trajectories).transpose(0, 5, 3, 4, 1, 2),
        reference[kept].transpose(3, 1, 2, 0),
        rates.transpose(2, 0, 1),
    )


def _named(rules: Any) -> dict[str, Optimizer]:
    if isinstance(rules, Optimizer) or hasattr(rules, "create_state"):
        rules = [rules]
    if not isinstance(rules, Mapping):
        if not isinstance(rules, Iterable):
            raise TypeError(f"rules is {rules!r}; expected a rule such as nnbook.optim.sgd(0.1)")
        rules = [_as_rule(r) for r in rules]
        names = [repr(rule) for rule in rules]
        if len(set(names)) < len(names):
            raise ValueError(f"rules repeats a name in {names}; give a mapping of names to rules")
        rules = dict(zip(names, rules, strict=True))
    found = {}
    for name, rule in rules.items():
        rule = _as_rule(rule)
        if not isinstance(rule, Optimizer):
            raise TypeError(f"rule {name} is {rule!r}; expected one such as nnbook.optim.sgd(0.1)")
        numbers = {"learning_rate": rule.learning_rate, **rule.hyperparameters}
        for key, value in numbers.items():
            if getattr(value, "shape", ()):
                raise ValueError(f"{key} of {name} has shape {value.shape}; expected one number")
        found[str(name)] = rule
    if not found:
        raise ValueError("there is no rule; expected at least one")
    return found


def _as_rule(rule: Any) -> Any:
    """Return a rule of ours as it is, and one of MXNet's as a rule."""
    if not hasattr(rule, "create_state"):
        return rule
    from nnbook.gluon.optimizers import from_mxnet

    return from_mxnet(rule)
