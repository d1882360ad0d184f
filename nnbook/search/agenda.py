"""What a search evaluates next, given what has come out and what is still with somebody."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from nnbook.search.journal import Log
from nnbook.search.trials import Trial
from nnbook.training import Progress

if TYPE_CHECKING:
    from nnbook.search.searches import Search

__all__ = ["Agenda", "bar"]


class Agenda:
    """The order of a search: the same for one process and for many workers.

    Parameters
    ----------
    search : Search
        What is searched.
    log : Log
        What is known. A trial whose seed has a result there is not given out again.
    """

    def __init__(self, search: Search, log: Log):
        self.search, self.log = search, log
        self.ended = {(one.trial, one.seed) for one in log.trials if one.state != "paused"}
        self.out: set[tuple[int, int]] = set()  # with somebody
        self._asked: dict[int, dict[str, Any]] = {t.trial: t.configuration for t in log.trials}
        self._known = {(one.trial, one.seed) for one in log.trials}
        self._waiting: deque[Trial] = deque()
        self._next = self._whole = 0  # the trial to ask for; those before it have ended

    @property
    def total(self) -> int:
        """How many results the search has in the end."""
        return self.search.size * len(self.search.seeds)

    def take(self, count: int) -> list[Trial]:
        """Return up to so many trials that can be evaluated now.

        Parameters
        ----------
        count : int
            At most how many.

        Returns
        -------
        list of Trial
            Empty if all has ended, or if what comes next depends on what is still out.
        """
        part: list[Trial] = []
        while len(part) < count and (self._waiting or self._fill()):
            part.append(self._waiting.popleft())
            self.out.add((part[-1].trial, part[-1].seed))
        return part

    def add(self, trials: Iterable[Trial]) -> None:
        """Record trials that have come back."""
        found = [self.search.settled(one) for one in trials]
        self.log.add(found)
        self.out -= {(one.trial, one.seed) for one in found}
        self._known |= {(one.trial, one.seed) for one in found}
        self.ended |= {(one.trial, one.seed) for one in found if one.state != "paused"}

    def _fill(self) -> bool:
        """Find what can be evaluated: trials that go on first, then new ones."""
        longer, stopped = self.search.further(self.log, self.out)
        if stopped:
            self.add(stopped)
        self._waiting.extend(longer)
        while not self._waiting and self._next < self.search.size:
            if self.search.waits_for(self._next) > self._frontier():
                break
            self._ask(self._next)
            self._next += 1
        return bool(self._waiting)

    def _ask(self, trial: int) -> None:
        seeds = [seed for seed in self.search.seeds if (trial, seed) not in self._known]
        if seeds and trial not in self._asked:
            self._asked[trial] = self.search.ask(trial, self.log)
        for seed in seeds:
            one = Trial(trial, seed, self._asked[trial])
            self._waiting.append(self.search.first_step(one))

    def _frontier(self) -> int:
        """Return how many trials have ended, counted without a gap from the first."""
        while all((self._whole, seed) in self.ended for seed in self.search.seeds):
            self._whole += 1
        return self._whole


@contextlib.contextmanager
def bar(agenda: Agenda, progress: bool) -> Iterator[Callable[[], None]]:
    """Show how far a search is; yield what is called when trials have ended.

    Parameters
    ----------
    agenda : Agenda
        What is done of the search.
    progress : bool
        Whether to show anything, where somebody is there to look.
    """
    if not (progress and Progress.wanted()):
        yield lambda: None
        return
    before = len(agenda.ended)
    with Progress.bar(agenda.total, "trial", initial=before) as shown_bar:

        def shown() -> None:
            nonlocal before
            if len(agenda.ended) > before:
                shown_bar.update(len(agenda.ended) - before)
                before = len(agenda.ended)

        yield shown
