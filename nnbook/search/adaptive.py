"""A search that learns from its trials, by one of Optuna's samplers and pruners."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnbook._arguments import check_choice, check_seed, check_whole
from nnbook._optional import require
from nnbook.search.journal import Log
from nnbook.search.searches import _check
from nnbook.search.space import Space
from nnbook.search.steps import Stepped
from nnbook.search.trials import Trial

if TYPE_CHECKING:
    from nnbook.search.advisor import Advisor

__all__ = ["AdaptiveSearch"]

SAMPLERS = ("tpe", "gp")
PRUNERS = ("halving", "hyperband", "median")


@dataclass(frozen=True)
class AdaptiveSearch(Stepped):
    """Each configuration is chosen by what came out of those before it: Bayesian optimisation.

    A model of the value, rough at first, says where it may be small; the next trial goes there. The
    model is Optuna's: ``"tpe"`` compares the density of the good trials with that of the others;
    ``"gp"``, a Gaussian process, draws a smooth surface through the values, and needs PyTorch. A
    configuration that fails counts as the worst so far, so that the sampler keeps away from it.

    With steps the evaluation is cut into parts. After each, a pruner compares the trial with others
    at the same step, and may end it. A trial that is ended has no value; one that keeps
    checkpoints (`this_job`) pays for further epochs only.

    Parameters
    ----------
    space : Space
        What is varied.
    trials : int
        How many configurations. A search with more trials goes on where one with fewer ended.
    sampler : str, callable or optuna.samplers.BaseSampler
        "tpe", "gp", or what returns one of Optuna's samplers when called with ``seed=…``: its
        class, say. A sampler itself will do too; then a resumed search may go on otherwise.
    seed : int
        Decides what the samplers draw, by the number of the trial.
    seeds : int or sequence of int
        How many (0, 1, …), or which. The sampler is told the mean over them.
    smaller_is_better : bool
        Whether the best value is the smallest.
    at_once : int, optional
        How many configurations are chosen together, when all before them have ended: then the
        result does not depend on the workers. By default each is chosen by what is there.
    steps : sequence of int
        The budget of each step, such as 1, 3, 9 and 27 epochs.
    pruner : str or optuna.pruners.BasePruner
        With steps: "halving", "hyperband", "median" or one of Optuna's.
    budget : str
        What the budget is called: ``configuration["epochs"]``, all epochs from the first.

    Raises
    ------
    TypeError, ValueError
        No space, a number out of range, another sampler, steps that do not rise.
    ModuleNotFoundError
        Optuna is not installed; or PyTorch, which "gp" needs.

    References
    ----------
    Bergstra et al. (2011), Algorithms for hyper-parameter optimization (TPE).
    Akiba et al. (2019), Optuna: a next-generation hyperparameter optimization framework.

    Examples
    --------
    >>> from nnbook import search
    >>> space = search.Space(x=search.linear(-5, 10), y=search.linear(0, 15))
    >>> def bowl(configuration, seed):
    ...     return (configuration["x"] - 2) ** 2 + (configuration["y"] - 9) ** 2
    >>> learned = search.AdaptiveSearch(space, trials=60).run(bowl)
    >>> bool(learned["value"][30:].mean() < 0.5 * learned["value"][:30].mean())
    True
    """

    space: Space
    trials: int
    sampler: Any = "tpe"
    seed: int = 0
    seeds: int | Sequence[int] = 1  # type: ignore[assignment]
    smaller_is_better: bool = True
    at_once: int | None = None
    steps: Sequence[int] = ()
    pruner: Any = "halving"
    budget: str = "epochs"

    def __post_init__(self) -> None:
        _check(self)
        self._check_budget()
        check_whole(self.trials, "trials")
        check_seed(self.seed)
        if self.at_once is not None:
            check_whole(self.at_once, "at_once")
        if isinstance(self.sampler, str):
            check_choice(self.sampler, "sampler", SAMPLERS)
        elif not callable(self.sampler) and not hasattr(self.sampler, "sample_relative"):
            raise TypeError(
                f"sampler is {self.sampler!r}; expected one of {SAMPLERS}, a sampler of Optuna, or "
                "what returns one when called with seed=…"
            )
        if isinstance(self.pruner, str):
            check_choice(self.pruner, "pruner", PRUNERS)
        steps = tuple(check_whole(step, "a step") for step in self.steps)
        if any(b <= a for a, b in itertools.pairwise(steps)):
            raise ValueError(f"steps is {self.steps!r}; expected numbers that rise")
        object.__setattr__(self, "steps", steps)
        require("optuna", extra="search")
        if self.sampler == "gp":
            require("torch", extra="gp")

    @property
    def size(self) -> int:
        """How many configurations there are."""
        return self.trials

    def steps_of(self, trial: int) -> tuple[int, ...]:
        """Return the steps, which are the same for every trial."""
        return self.steps  # type: ignore[return-value]

    def waits_for(self, trial: int) -> int:
        """Return how many trials must have ended: all before those chosen together."""
        return 0 if self.at_once is None else trial // self.at_once * self.at_once

    def ask(self, trial: int, log: Log) -> dict[str, Any]:
        """Let the sampler choose, by what came of the trials that it waits for."""
        advisor = self._advisor(log)
        advisor.learn(log, None if self.at_once is None else self.waits_for(trial))
        return advisor.ask(trial)

    def further(self, log: Log, out: set[tuple[int, int]]) -> tuple[list[Trial], list[Trial]]:
        """Return the paused trials that go on, and those that the pruner ends."""
        if not self.steps:
            return [], []
        longer: list[Trial] = []
        stopped: list[Trial] = []
        advisor = self._advisor(log)
        advisor.learn(log)
        paused: dict[int, list[Trial]] = {}
        for one in log.trials:
            if one.state == "paused" and (one.trial, one.seed) not in out:
                paused.setdefault(one.trial, []).append(one)
        for number, rows in paused.items():
            reached = {one.measures[self.budget] for one in rows}
            if len(rows) < len(self.seeds) or len(reached) > 1:  # type: ignore[arg-type]
                # Its seeds have not all come to the same step: those behind go on.
                last = max(one.measures[self.budget] for one in log.trials if one.trial == number)
                longer += [self.longer(one) for one in rows if one.measures[self.budget] < last]
            elif advisor.prunes(number):
                stopped += [self.ended_early(one) for one in rows]
            else:
                longer += [self.longer(one) for one in rows]
        return longer, stopped

    def _advisor(self, log: Log) -> Advisor:
        from nnbook.search.advisor import Advisor

        if "advisor" not in log.memory:
            log.memory["advisor"] = Advisor(self)
        return log.memory["advisor"]

    def identity(self) -> dict[str, Any]:
        """Return what makes this the same search when it is resumed."""
        own: dict[str, Any] = {"sampler": _name(self.sampler), "seed": self.seed}
        own |= {"at once": self.at_once, "trials": self.trials}
        if self.steps:
            own |= {"steps": [self.budget, *self.steps], "pruner": _name(self.pruner)}
        return {**super().identity(), **own}


def _name(thing: Any) -> str:
    """Return a text for a sampler or pruner, the same in another process."""
    if isinstance(thing, str):
        return thing
    kind = thing if isinstance(thing, type) else type(thing)
    return f"{kind.__module__}.{kind.__qualname__}"
