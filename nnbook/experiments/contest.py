"""An experiment: arms, how they are run, how they are tuned, and on which seeds they meet."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as onp

from nnbook._arguments import check_flag, check_number, check_seed, check_text, check_whole
from nnbook.experiments.arms import Arm, check_arms
from nnbook.experiments.outcome import Outcome
from nnbook.experiments.runs import RunMany, one_by_one, run_all
from nnbook.experiments.tuning import Choice, Plan, tune

__all__ = ["Experiment"]

_UNKNOWN = "whatever `run` makes of it"


@dataclass(frozen=True, init=False, eq=False)
class Experiment:
    """Tune arms alike, then compare them on fresh seeds.

    Every arm gets the same number of trials on the tuning seeds. A single range is tried on a grid,
    even on its scale; several together by random draws, the same for arms with the same ranges.
    Where the best value of an arm lies on the border of its range, a third as many trials are made
    beyond it, and the other arms get as many more within theirs. A setting that diverges on a
    tuning seed is chosen only where every setting does; of equal ones the most central is taken.

    Parameters
    ----------
    arms : sequence of Arm
        What is compared.
    run : callable
        ``run(seed, **knobs)`` returns a number, or a dict of measures. Divergence is a
        FloatingPointError (`nnbook.training.DivergedError` is one), a measure that is not finite,
        or ``"diverged": True``; a value cut off by the budget is an `AtLeast`. The measures
        "steps", "gradient_evaluations" and "seconds" are added up as the cost.
    run_many : callable
        Instead: ``run_many(configurations, seeds)`` returns such results for many at once, as a
        `TrainOnTask` does.
    metric : str
        The measure that is compared; a plain number is called "value".
    choose_by : str, optional
        The measure by which a setting is chosen, such as "val_loss"; by default `metric`.
    smaller_is_better : bool
        The direction of both.
    trials : int
        Settings for each arm, at least 3.
    tuning_seeds : int or sequence of int
        How many seeds to tune on, or which. A number of them is derived from the deciding seeds:
        other ones are tuned on others.
    worst : float or mapping of str to float, optional
        What a run that diverged counts as, at least: one number, or one for each measure. By
        default the worst that any run of the comparison gave.
    widenings : int
        How often ranges may be widened.
    retune : bool
        Tune anew for every deciding seed, on tuning seeds of its own: the unit is then the search.
    covers : str, optional
        What a seed decides, in words; a `TrainOnTask` says so itself.

    Raises
    ------
    TypeError, ValueError
        Neither `run` nor `run_many`, or both; arms of the same name, or with knobs that what is
        run does not take; a number out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import search
    >>> from nnbook.experiments import Arm, Experiment
    >>> def run(seed, learning_rate, momentum):
    ...     luck = np.random.default_rng(seed).normal(scale=0.1)
    ...     return np.log10(learning_rate / (1 - momentum) / 0.3) ** 2 + luck - momentum
    >>> rate = search.log(0.001, 1)
    >>> arms = [Arm("plain", momentum=0.0, learning_rate=rate),
    ...         Arm("momentum", momentum=0.9, learning_rate=rate)]
    >>> outcome = Experiment(arms, run).run(seeds=range(8))
    >>> outcome.setting("plain")["learning_rate"], outcome.setting("momentum")["learning_rate"]
    (0.316227766017, 0.0316227766017)
    >>> result = outcome.compare(smallest_effect=0.1)
    >>> result.better("momentum", than="plain").outcome
    'confirmed'
    """

    arms: tuple[Arm, ...]
    many: RunMany
    metric: str
    plan: Plan
    tuning_seeds: int | tuple[int, ...]
    worst: Mapping[str, float]
    retune: bool
    covers: str

    def __init__(
        self,
        arms: Sequence[Arm],
        run: Callable[..., Any] | None = None,
        *,
        run_many: RunMany | None = None,
        metric: str = "value",
        choose_by: str | None = None,
        smaller_is_better: bool = True,
        trials: int = 7,
        tuning_seeds: int | Sequence[int] = 3,
        worst: float | Mapping[str, float] | None = None,
        widenings: int = 4,
        retune: bool = False,
        covers: str = "",
    ):
        if (run is None) == (run_many is None):
            raise TypeError("expected either run or run_many")
        metric = check_text(metric, "metric")
        choose_by = metric if choose_by is None else check_text(choose_by, "choose_by")
        needed = tuple(dict.fromkeys((metric, choose_by)))
        plan = Plan(
            choose_by,
            needed,
            check_flag(smaller_is_better, "smaller_is_better"),
            check_whole(trials, "trials", least=3),
            check_whole(widenings, "widenings", least=0),
        )
        values = {
            "arms": check_arms(arms),
            "many": one_by_one(run) if run_many is None else run_many,  # type: ignore[arg-type]
            "metric": metric,
            "plan": plan,
            "tuning_seeds": _check_tuning(tuning_seeds, check_flag(retune, "retune")),
            "worst": _check_worst(worst, needed),
            "retune": retune,
            "covers": covers or getattr(run_many or run, "covers", "") or _UNKNOWN,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        for arm in self.arms:
            _check_knobs(arm, run, run_many)

    def tune(self, seeds: Sequence[int]) -> dict[str, Choice]:
        """Tune every arm, and decide nothing.

        Parameters
        ----------
        seeds : sequence of int
            To tune on.

        Returns
        -------
        dict of str to Choice
            By the arm's name.

        Raises
        ------
        FloatingPointError
            Every run of an arm diverged.
        """
        return tune(self.arms, self.many, self.plan, check_seeds(seeds, "seeds"))

    def run(self, seeds: Sequence[int]) -> Outcome:
        """Tune the arms, then run what was chosen on the seeds that decide.

        Parameters
        ----------
        seeds : sequence of int
            Those that decide, such as ``claims.seeds("C020")``; every arm runs on each.

        Returns
        -------
        Outcome

        Raises
        ------
        ValueError
            A seed that both tunes and decides.
        FloatingPointError
            Every run of an arm diverged while it was tuned; or every run of the comparison, and
            `worst` does not say what that counts as.
        """
        deciding = check_seeds(seeds, "seeds")
        tuning = self._tuning_seeds(deciding)
        tuned = {group: self.tune(group) for group in dict.fromkeys(tuning)}
        choices = {arm.name: tuple(tuned[group][arm.name] for group in tuning) for arm in self.arms}
        pairs = [(name, k) for name in choices for k in range(len(deciding))]
        runs = run_all(
            self.many,
            [choices[name][k].setting for name, k in pairs],
            [deciding[k] for _, k in pairs],
            self.plan.needed,
        )
        length = len(deciding)
        return Outcome(
            self.metric,
            self.plan.smaller_is_better,
            deciding,
            choices if self.retune else {name: one[:1] for name, one in choices.items()},
            {name: tuple(runs[k * length : (k + 1) * length]) for k, name in enumerate(choices)},
            self.worst,
            self.covers,
            tuning[0] if not self.retune else (),
        )

    def _tuning_seeds(self, deciding: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The seeds on which the arms are tuned for each deciding seed; none of them decides."""
        if not isinstance(self.tuning_seeds, tuple):
            count = self.tuning_seeds
            words = [(seed,) for seed in deciding] if self.retune else [deciding] * len(deciding)
            return [_derived(one, count, deciding) for one in words]
        if both := sorted(set(self.tuning_seeds) & set(deciding)):
            raise ValueError(
                f"the seeds {', '.join(map(str, both))} both tune and decide: a setting would be "
                "judged by the luck that chose it. Take other tuning_seeds, or say how many"
            )
        return [self.tuning_seeds] * len(deciding)


def _check_knobs(arm: Arm, run: Any, run_many: Any) -> None:
    """See that an arm's knobs fit what is run, before the first arm has been tuned for an hour."""
    names = [*arm.fixed, *(arm.space or ())]
    check = getattr(run_many, "check", None)
    if check is not None:
        check(names)
    if run is not None:
        try:
            inspect.signature(run).bind(0, **dict.fromkeys(names))
        except TypeError as error:
            raise TypeError(f"the arm {arm.name!r} and run(seed, …) do not fit: {error}") from None


def check_seeds(seeds: Any, name: str) -> tuple[int, ...]:
    """Return seeds, at least one, and none of them twice."""
    try:
        found = tuple(check_seed(seed, f"one of the {name}") for seed in seeds)
    except TypeError as error:
        if hasattr(seeds, "__iter__"):
            raise
        raise TypeError(f"{name} is {seeds!r}; expected some seeds, such as range(8)") from error
    if not found or len(set(found)) < len(found):
        raise ValueError(f"{name} is {seeds!r}; expected at least one, and none twice")
    return found


def _derived(words: tuple[int, ...], count: int, taken: tuple[int, ...]) -> tuple[int, ...]:
    """Seeds that depend on others and are none of them; from 2²⁰ on, so that none looks chosen."""
    state = onp.random.SeedSequence(words).generate_state(count + len(taken) + 99)
    drawn = dict.fromkeys(int(2**20 + one % (2**31 - 2**20)) for one in state)
    return tuple([seed for seed in drawn if seed not in taken][:count])


def _check_tuning(given: Any, retune: bool) -> int | tuple[int, ...]:
    if not hasattr(given, "__iter__"):
        return check_whole(given, "tuning_seeds")
    if retune:
        raise ValueError(
            f"tuning_seeds is {given!r}, and every repetition tunes on seeds of its own; say how "
            "many, such as tuning_seeds=3"
        )
    return check_seeds(given, "tuning_seeds")


def _check_worst(worst: Any, needed: tuple[str, ...]) -> dict[str, float]:
    given = worst if isinstance(worst, Mapping) else dict.fromkeys(needed, worst)
    return {k: check_number(v, f"worst {k}") for k, v in given.items() if v is not None}
