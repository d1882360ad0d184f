"""The data before training: scales, odd values, labels, and what two sets have in common."""

from __future__ import annotations

from typing import Any

import numpy as onp
from scipy import stats

from nnbook.checks.calls import Pair, batch_for
from nnbook.checks.neighbours import labels_of, neighbour_findings
from nnbook.checks.outcomes import CheckResult
from nnbook.data import check_examples
from nnbook.findings import Finding

__all__ = ["check_data"]

CHECK = "check_data"
_EVERYTHING = 2**62
_BY_CHANCE = 1e-3  # less likely than this, a number of shared examples is no accident


def check_data(
    data: Pair, validation: Pair | None = None, *, shuffle: bool = True, seed: int = 0
) -> CheckResult:
    """Look at the data as they go into training: most mistakes are made before.

    Inputs: their scale, values that stand for missing ones, values that stand out. Targets: their
    scale, classes that are missing or rare, sorted labels in a run without shuffling. Both sets:
    examples that they share, features in other units, and whether labels and inputs are related at
    all, in the validation set as well as in the training set itself.

    The last is a permutation test (`nnbook.checks.relation`): of labels that were shuffled at least
    99 % are spoken of. That is paid for with data whose relation is too weak, or of another kind,
    to be told from chance in 600 examples: a warning there is a false alarm. Fewer than 100
    examples, or 20 outside of the largest class, are not judged. The API page has the counts.

    Parameters
    ----------
    data, validation : tuple of array
        ``(x, y)``, as for `nnbook.training.fit`; NumPy or MXNet. They are not changed.
    shuffle : bool
        Whether training will draw a new order each epoch.
    seed : int
        Decides which examples the search for neighbours takes, of large sets.

    Returns
    -------
    CheckResult
        Measured: ``scale`` (the root of the mean square of the inputs), ``constant_features``,
        ``shared`` (validation examples that are in the training data too), and, for labels, the
        accuracy of the nearest neighbour, and ``chance_of_relation``: the share of shuffled labels
        that look as related to the inputs as these do.

    Raises
    ------
    TypeError, ValueError
        No pair of arrays, NaN or infinities, empty or unequal sets.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import checks
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> y = (x[:, 0] > 0).astype("int32")
    >>> checks.check_data((x[:150], y[:150]), (x[150:], y[150:])).passed
    True
    >>> checks.check_data((x, y), (x[150:], y[150:])).measured["shared"]
    50
    """
    x, y = _checked(data, "train")
    findings = [*_inputs(x), *_targets(y), *_classes(y, "training")]
    findings += [] if shuffle else _order(y)
    flat = x.reshape(len(x), -1)
    measured: dict[str, Any] = {
        "scale": _scale(x),
        "constant_features": int((flat == flat[0]).all(axis=0).sum()),
    }
    held_out = None
    if validation is not None:
        held_out = _checked(validation, "validation")
        if held_out[0].shape[1:] != x.shape[1:]:
            raise ValueError(
                f"validation examples have the shape {held_out[0].shape[1:]}, those for training "
                f"{x.shape[1:]}; expected the same"
            )
        measured["shared"], repeated = _shared(x, held_out[0])
        findings += _leak(measured["shared"], repeated, len(x), len(held_out[0]))
        findings += _other_units(x, held_out[0]) + _new_classes(y, held_out[1])
    found, accuracies = neighbour_findings(CHECK, (x, y), held_out, seed)
    return CheckResult(CHECK, (*findings, *found), {**measured, **accuracies})


def _checked(data: Pair, name: str) -> tuple[onp.ndarray, onp.ndarray]:
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(f"{name} is a {type(data).__name__}; expected a pair (x, y) of arrays")
    check_examples(*data, name=name)
    return batch_for(data, _EVERYTHING, 0)


def _finding(severity: str, message: str, advice: str) -> Finding:
    return Finding(CHECK, severity, message, advice)


# -------------------------------------------------------------------------------------- inputs


def _scale(values: onp.ndarray) -> float:
    return float(onp.sqrt(onp.mean(values.astype("float64") ** 2)))


def _inputs(x: onp.ndarray) -> list[Finding]:
    if onp.issubdtype(x.dtype, onp.integer) and x.max() < 10_000:
        return []  # numbers of words, categories and the like
    stand_in = _stand_in(x)
    if stand_in is not None:
        share = float((x == stand_in).mean())
        message = (
            f"the value {stand_in:g} makes up {share:.1%} of the inputs and is far from all others"
        )
        return [_finding("error", message, "replace codes for missing values before training")]
    scale = _scale(x)
    if scale == 0:
        return [_finding("error", "all inputs are 0", "check how the data were read")]
    if not 1e-3 <= scale <= 10:
        message = f"the inputs are of the order of {scale:.3g}; initial weights are meant for 1"
        return [
            _finding("warning", message, "divide by the largest value, or use data.Standardize")
        ]
    return []


def _stand_in(x: onp.ndarray) -> float | None:
    """Return a number that occurs again and again, at least 10 times as far out as any other."""
    sizes = abs(x)
    largest = sizes.max()
    extreme = sizes == largest
    count = int(extreme.sum())
    if count < 3 or count > 0.5 * x.size:
        return None
    rest = float(sizes[~extreme].max())
    value = x[extreme]
    return float(value[0]) if largest > 10 * max(rest, 1.0) and (value == value[0]).all() else None


# ------------------------------------------------------------------------------------- targets


def _targets(y: onp.ndarray) -> list[Finding]:
    if labels_of(y) is not None or not onp.issubdtype(y.dtype, onp.floating):
        return []
    spread = float(y.astype("float64").std())
    if spread == 0:
        return [_finding("warning", "all targets are the same", "there is nothing to learn")]
    if 1e-3 <= spread <= 1e3:
        return []
    message = f"the targets vary by {spread:.3g}; the loss and the rate are meant for about 1"
    return [_finding("warning", message, "change their unit, or standardise them")]


def _classes(y: onp.ndarray, name: str) -> list[Finding]:
    labels = labels_of(y)
    if labels is None or labels.min() < 0:
        return []
    counts = onp.bincount(labels)
    missing = onp.flatnonzero(counts == 0)
    if len(missing) and len(counts) <= 0.2 * len(labels):
        message = f"no example of class {', '.join(map(str, missing[:5]))} is in the {name} data"
        return [_finding("warning", message, "check how the data were split, and how labels count")]
    present = counts[counts > 0]
    if len(present) < 2:
        return [_finding("warning", f"the {name} data have one class only", "check the split")]
    if present.min() < 0.02 * present.max():
        rarest = int(onp.where(counts > 0, counts, counts.max()).argmin())
        message = f"class {rarest} has {present.min()} examples, the largest {present.max()}"
        advice = "a net can ignore it: draw by data.class_balanced, and look at each class's error"
        return [_finding("note", message, advice)]  # so is the world; nothing need be wrong
    return []


def _order(y: onp.ndarray) -> list[Finding]:
    labels = labels_of(y)
    if labels is None or len(onp.unique(labels)) < 2:
        return []
    share = float((labels[1:] == labels[:-1]).mean())
    by_chance = float(((onp.bincount(labels - labels.min()) / len(labels)) ** 2).sum())
    error = (by_chance * (1 - by_chance) / len(labels)) ** 0.5
    if share < by_chance + max(0.3 * (1 - by_chance), 6 * error):
        return []
    message = f"labels come in runs ({share:.0%} follow one of their own) and are not shuffled"
    return [_finding("error", message, "shuffle: minibatches must be samples of all classes")]


# ----------------------------------------------------------------------------------- both sets


def _rows(x: onp.ndarray) -> list[bytes]:
    return [row.tobytes() for row in onp.ascontiguousarray(x.reshape(len(x), -1))]


def _shared(x: onp.ndarray, held_out: onp.ndarray) -> tuple[int, int]:
    """Count validation examples that occur in training, and those of training that come again."""
    rows = _rows(x)
    known = set(rows)
    shared = sum(row in known for row in _rows(held_out.astype(x.dtype)))
    return shared, len(rows) - len(known)


def _leak(shared: int, repeated: int, n: int, m: int) -> list[Finding]:
    """Judge whether more examples are shared than repeat within training.

    Where a set has equal examples and is split at random, a pair of them falls into both parts m
    times for every n/2 times that it falls into training. What that explains is a note.
    """
    if not shared:
        return []
    p = stats.binom.sf(shared - 1, shared + repeated, m / (m + n / 2))
    beyond = p < _BY_CHANCE
    if repeated and not beyond:
        return []
    message = f"{shared} of {m} validation examples are in the training data too"
    advice = "split before anything else, and remove duplicates first"
    return [_finding("error" if beyond else "note", message, advice)]


def _other_units(x: onp.ndarray, held_out: onp.ndarray) -> list[Finding]:
    """Find features that are measured otherwise in the validation set."""
    if onp.issubdtype(x.dtype, onp.integer):
        return []
    first, second = (part.reshape(len(part), -1).astype("float64") for part in (x, held_out))
    reach = abs(first).max()
    beyond = (abs(second) > 100 * reach).any(axis=0)
    if reach > 0 and beyond.any():
        message = (
            f"{int(beyond.sum())} features reach {abs(second).max():.3g} in validation, "
            f"{reach:.3g} is the most in training"
        )
        advice = "do not divide features that are constant in training by their tiny deviation"
        return [_finding("error", message, advice)]
    spread, other = first.std(axis=0), second.std(axis=0)
    varied = spread > 1e-3 * max(spread.max(), 1e-300)
    if not varied.any() or min(len(first), len(second)) < 20:
        return []
    ratio = float(onp.median(other[varied] / spread[varied]))
    shift = (second.mean(axis=0) - first.mean(axis=0))[varied] / spread[varied]
    moved = float(onp.median(abs(shift)))
    if 0.5 <= ratio <= 2 and moved <= 0.5:
        return []
    message = (
        f"features vary {ratio:.2g} times as much in validation as in training, and their means "
        f"are {moved:.2g} standard deviations apart"
    )
    return [_finding("error", message, "transform both sets by what was fitted to training alone")]


def _new_classes(y: onp.ndarray, held_out: onp.ndarray) -> list[Finding]:
    first, second = labels_of(y), labels_of(held_out)
    if first is None or second is None:
        return []
    new = sorted(set(second.tolist()) - set(first.tolist()))
    if not new:
        return []
    message = f"class {', '.join(map(str, new[:5]))} occurs in validation, never in training"
    return [_finding("warning", message, "check the split and how labels count, from 0 or from 1")]
