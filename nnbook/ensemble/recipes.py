"""Where members come from: seeds, a search, checkpoints, snapshots."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import is_dataclass, replace
from typing import Any

from nnbook._arguments import check_seed, check_whole
from nnbook._arrays import to_numpy
from nnbook.ensemble.base import clone_with
from nnbook.ensemble.members import Ensemble
from nnbook.ensemble.snapshots import Snapshots
from nnbook.gluon.targets import targets_of
from nnbook.losses import named
from nnbook.population import fit_population
from nnbook.training import CheckpointError
from nnbook.training.checkpoint import load_tree

__all__ = ["from_checkpoints", "from_search", "from_seeds", "from_snapshots"]


def from_seeds(
    build: Callable[[int], Any],
    seeds: Sequence[int],
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None = None,
    *,
    combine: str | None = None,
    **options: Any,
) -> Ensemble:
    """Train one network for each seed, all in one population, and make them an ensemble.

    A seed decides the initial weights (by `build`) and the order of the examples. For the
    histories, call `nnbook.population.fit_population` and give `Ensemble` the networks.

    Parameters
    ----------
    build : callable
        ``build(seed)`` returns a new initialised network.
    seeds : sequence of int
        One for each member, all different.
    train, validation : tuple of array
        ``(x, y)``, as for `nnbook.training.fit`.
    combine : str, optional
        As for `Ensemble`. By default the loss decides: outputs are averaged where it compares them
        with real numbers, as `nnbook.losses.squared_error` does, and probabilities otherwise.
    **options
        Of `nnbook.population.fit_population`: loss, optimizer, batch_size, epochs, penalty,
        early_stopping (which needs validation data), progress, memory.

    Returns
    -------
    Ensemble
        In the order of the seeds.

    Raises
    ------
    ValueError, TypeError
        No seeds, or equal ones; `build` returned the same network twice; as for `fit_population`.
    FloatingPointError
        Every member diverged.

    Warns
    -----
    RuntimeWarning
        A member diverged and is left out.

    Examples
    --------
    >>> from nnbook import data, ensemble, layers, losses, optim
    >>> x, y = data.moons(rng=0)
    >>> five = ensemble.from_seeds(lambda seed: layers.mlp(2, [8], 2, seed=seed), range(5), (x, y),
    ...                            loss=losses.softmax_cross_entropy, optimizer=optim.adam(0.01),
    ...                            batch_size=20, epochs=2)
    >>> five
    Ensemble(5 members, combine='probabilities')
    """
    seeds = [check_seed(seed, "a seed") for seed in seeds]
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds are {seeds}; expected at least one, all different")
    nets = [build(seed) for seed in seeds]
    if len({id(net) for net in nets}) < len(nets):
        raise ValueError("build returned the same network twice; expected a new one each time")
    combine = _combine_for(options.get("loss")) if combine is None else combine
    Ensemble(nets, combine)  # what it refuses must show before the training
    histories = fit_population(nets, train, validation, seeds=seeds, **options)
    pairs = zip(seeds, histories, strict=True)
    lost = {seed: history.stopped for seed, history in pairs if history.status == "diverged"}
    return _ensemble_of(dict(zip(seeds, nets, strict=True)), lost, "seed", combine)


def from_search(
    results: Any, trainer: Any, top: int = 5, *, combine: str | None = None
) -> Ensemble:
    """Make an ensemble of the best rows of a search, by training them again.

    A search keeps no networks. Each row is trained once more with its own seed: in populations made
    up otherwise, it comes out as it did then up to rounding.

    Parameters
    ----------
    results : nnbook.search.Results
        Of a search with `trainer`; a row is a configuration and a seed.
    trainer : nnbook.search.TrainPopulation
        Builds and trains them. With ``early_stopping`` each keeps its best epoch, otherwise its
        last.
    top : int
        How many of the best rows. Two of one configuration differ by their seed.
    combine : str, optional
        As for `from_seeds`.

    Returns
    -------
    Ensemble
        The best first.

    Raises
    ------
    TypeError
        `results` or `trainer` is something else.
    ValueError
        `top` is below 1, or there are not so many complete rows.
    FloatingPointError
        Every member diverged.

    Warns
    -----
    RuntimeWarning
        A member could not be trained this time and is left out.
    """
    # Only what is used is asked for: nnbook.search is on the same floor.
    if not hasattr(results, "configuration"):
        raise TypeError(f"results is a {type(results).__name__}; expected nnbook.search.Results")
    trains = is_dataclass(trainer) and callable(trainer) and hasattr(trainer, "build")
    if not trains:
        raise TypeError(
            f"trainer is a {type(trainer).__name__}; expected the nnbook.search.TrainPopulation of "
            "the search"
        )
    top = check_whole(top, "top")
    best = results.complete.sorted
    if len(best) < top:
        raise ValueError(
            f"top is {top}, but {len(best)} of {len(results)} trials are complete; search more, or "
            "take fewer"
        )
    if "seed" not in best.columns:
        raise ValueError("results have no seeds; give the search's own, not those over_seeds()")
    configurations = [best.configuration(k) for k in range(top)]
    seeds = [int(seed) for seed in best["seed"][:top]]
    nets: dict[int, Any] = {}

    def build(configuration: dict[str, Any], seed: int) -> Any:
        # The trainer hands on the very dict; what fails in a stack is built a second time.
        place = next(k for k, given in enumerate(configurations) if given is configuration)
        nets[place] = trainer.build(configuration, seed)
        return nets[place]

    combine = _combine_for(trainer.loss) if combine is None else combine
    outcomes = replace(trainer, build=build)(configurations, seeds)
    lost = {k: str(found) for k, found in enumerate(outcomes) if isinstance(found, Exception)}
    return _ensemble_of({k: nets.get(k) for k in range(top)}, lost, "place", combine)


def from_checkpoints(
    net: Any, checkpoints: Iterable[Any], *, combine: str = "probabilities"
) -> Ensemble:
    """Make an ensemble of parameters that were kept, in copies of one network.

    Parameters
    ----------
    net : mxnet.gluon.Block
        Of their architecture; it is not changed.
    checkpoints : iterable of path or array or dict
        Each a file that `nnbook.training.Checkpoint` wrote (the file beside it with the suffix
        ``.previous`` is one too), θ of shape (P,), or what `ParameterVector.snapshot` returned.
        Where there is θ alone, running statistics are those of `net`: see `refresh_statistics`.
    combine : str
        As for `Ensemble`.

    Returns
    -------
    Ensemble
        In the order given.

    Raises
    ------
    CheckpointError
        A file is missing, truncated, damaged or no checkpoint of a run.
    TypeError, ValueError
        No checkpoints, something that is none, or one that does not fit the network.
    """
    if isinstance(checkpoints, (str, os.PathLike, dict)):
        raise TypeError(f"checkpoints is one {type(checkpoints).__name__}; expected a list of them")
    kept = [_parameters(checkpoint) for checkpoint in checkpoints]
    return Ensemble([clone_with(net, *found) for found in kept], combine)


def from_snapshots(
    net: Any, snapshots: Snapshots, *, combine: str = "probabilities", last: int | None = None
) -> Ensemble:
    """Make an ensemble of the snapshots of one run, in copies of its network.

    Parameters
    ----------
    net : mxnet.gluon.Block
        The network that was trained; it is not changed.
    snapshots : Snapshots
        The callback that took them.
    combine : str
        As for `Ensemble`.
    last : int, optional
        Take so many of the latest, which are the better ones; by default all.

    Returns
    -------
    Ensemble
        Oldest first.

    Raises
    ------
    ValueError
        There are no snapshots, or fewer than `last`; another architecture.

    References
    ----------
    Huang et al. (2017), Snapshot ensembles: train 1, get M for free.
    """
    members = snapshots.members(net)
    if last is not None:
        last = check_whole(last, "last")
        if last > len(members):
            raise ValueError(f"last is {last}, but there are {len(members)} snapshots")
        members = members[-last:]
    return Ensemble(members, combine)


def _combine_for(loss: Any) -> str:
    """Return what to average of networks that were trained with a loss."""
    return "outputs" if targets_of(named(loss)).kind == "real" else "probabilities"


def _ensemble_of(nets: dict[int, Any], lost: dict[int, str], what: str, combine: str) -> Ensemble:
    """Leave out the members that were lost, and say so."""
    if len(lost) == len(nets):
        raise FloatingPointError(
            f"none of the {len(nets)} members could be trained (the first: "
            f"{next(iter(lost.values()))}); try a smaller rate"
        )
    for key, reason in lost.items():
        warnings.warn(
            f"the member of {what} {key} is left out: {reason}", RuntimeWarning, stacklevel=3
        )
    return Ensemble([net for key, net in nets.items() if key not in lost], combine)


def _parameters(checkpoint: Any) -> tuple[dict[str, Any], str]:
    """Return the snapshot behind a checkpoint, and its layout where that is known."""
    if isinstance(checkpoint, dict):
        return checkpoint, ""
    if isinstance(checkpoint, (str, os.PathLike)):
        tree = load_tree(checkpoint)
        try:
            return tree["run"]["parameters"], tree["identity"]["network"]["shown"]
        except KeyError:
            raise CheckpointError(
                f"{checkpoint} holds no training run; read it with what wrote it"
            ) from None
    if not hasattr(checkpoint, "shape"):
        raise TypeError(
            f"a checkpoint is a {type(checkpoint).__name__}; expected a path, θ or a snapshot"
        )
    return {"theta": to_numpy(checkpoint, "a checkpoint"), "state": {}}, ""
