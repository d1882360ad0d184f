"""Numbers beside the loss, of targets and outputs: by name, or any function."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as onp

from nnbook._arguments import as_scalar
from nnbook.training.callbacks import Callback

if TYPE_CHECKING:
    from nnbook.training.run import Run

__all__ = ["Metrics", "metrics_of", "of_examples"]

Metric = Callable[[onp.ndarray, onp.ndarray], Any]


def metrics_of(metrics: Any) -> dict[str, str | Metric]:
    """Return metrics by the names of their columns.

    Parameters
    ----------
    metrics : str, callable, sequence or dict
        Names, functions ``metric(y, outputs)``, or both; a function goes by its own name, or by
        that which a dict gives it. The names are "accuracy", "balanced_accuracy" (the mean over
        classes of the part of a class that is found), "f1" (of class 1 among two), "auc" (the area
        under the ROC curve, of two classes), "rmse", "mae" and "r2".

    Returns
    -------
    dict

    Raises
    ------
    TypeError, ValueError
        Something else, an unknown name, one name twice.
    """
    if metrics is None:
        return {}
    if isinstance(metrics, Mapping):
        pairs = list(metrics.items())
    else:
        given = [metrics] if isinstance(metrics, str) or callable(metrics) else list(metrics)
        pairs = [(m if isinstance(m, str) else getattr(m, "__name__", repr(m)), m) for m in given]
    found: dict[str, str | Metric] = {}
    for name, metric in pairs:
        if not isinstance(name, str) or not (isinstance(metric, str) or callable(metric)):
            raise TypeError(
                f"metrics has {metric!r}; expected names, or functions metric(y, outputs)"
            )
        if isinstance(metric, str) and metric not in _NAMED:
            raise ValueError(
                f"metrics has {metric!r}; expected one of {', '.join(map(repr, _NAMED))}, or a "
                "function metric(y, outputs)"
            )
        if name in found or name == "loss":
            raise ValueError(f"metrics has {name!r} twice; expected each name once, and no 'loss'")
        found[name] = metric
    return found


def of_examples(metrics: Mapping[str, str | Metric], examples: Any) -> dict[str, Metric]:
    """Return metrics as functions ``metric(y, outputs) -> float`` for some examples.

    Parameters
    ----------
    metrics : dict
        As `metrics_of` returns them.
    examples : Examples
        What they are for: which class an output chooses depends on their loss.
    """
    found: dict[str, Metric] = {}
    for name, metric in metrics.items():
        if metric == "accuracy" and examples.classifies and name == "accuracy":
            continue  # it is measured anyway
        found[name] = _Checked(name, metric, examples.decided)
    return found


class _Checked:
    """A metric that gives a number, or says why not."""

    def __init__(self, name: str, metric: str | Metric, decided: Callable[[Any], onp.ndarray]):
        self.name, self.metric, self.decided = name, metric, decided

    def __call__(self, y: onp.ndarray, outputs: onp.ndarray) -> float:
        if isinstance(self.metric, str):
            function, of_classes = _NAMED[self.metric]
            if of_classes:
                outputs = self.decided(outputs)
                y = onp.where(y < 0, 0, y)  # of two classes, −1 is the other
            return float(function(y, outputs))
        value = as_scalar(self.metric(y, outputs))
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise TypeError(f"the metric {self.name} returned {value!r}; expected a number")
        return float(value)


class Metrics(Callback):
    """Have the validation data measured by further metrics, in the pass that gives the loss."""

    order = -100

    def __init__(self, metrics: Mapping[str, str | Metric]):
        self.metrics = dict(metrics)

    def on_fit_start(self, run: Run) -> None:
        """Measure once: a metric that cannot be computed shows before any work."""
        if run.held_out is None:
            raise ValueError(
                f"metrics has {', '.join(map(repr, self.metrics))} and there is no validation data "
                "to measure; expected validation=(x, y) beside metrics"
            )
        run.held_out.metrics = of_examples(self.metrics, run.held_out)
        run.held_out.evaluate()


# ----------------------------------------------------------------------------------- by name


def _accuracy(y: onp.ndarray, classes: onp.ndarray) -> float:
    return float((y.reshape(-1) == classes.reshape(-1)).mean())


def _balanced_accuracy(y: onp.ndarray, classes: onp.ndarray) -> float:
    y, classes = y.reshape(-1), classes.reshape(-1)
    return float(onp.mean([(classes[y == c] == c).mean() for c in onp.unique(y)]))


def _f1(y: onp.ndarray, classes: onp.ndarray) -> float:
    y, classes = _two_classes(y, "f1").reshape(-1), classes.reshape(-1) == 1
    both = int((y & classes).sum())
    return 2 * both / (int(y.sum()) + int(classes.sum())) if both else 0.0


def _auc(y: onp.ndarray, outputs: onp.ndarray) -> float:
    """The part of the pairs of a 1 and a 0 that the outputs order rightly, ties counting half."""
    from scipy.stats import rankdata

    ones = _two_classes(y, "auc").reshape(-1)
    scores = outputs.reshape(len(ones), -1)
    if scores.shape[1] > 2 or ones.all() or not ones.any():
        raise ValueError(
            f"auc has {scores.shape[1]} outputs and {int(ones.sum())} of {len(ones)} examples in "
            "class 1; expected one output or two, and examples of both classes"
        )
    score = scores[:, -1] - scores[:, 0] if scores.shape[1] == 2 else scores[:, 0]
    n_ones = int(ones.sum())
    above = rankdata(score)[ones].sum() - n_ones * (n_ones + 1) / 2
    return float(above / (n_ones * (len(ones) - n_ones)))


def _two_classes(y: onp.ndarray, name: str) -> onp.ndarray:
    """Tell which targets are class 1 of two."""
    if not onp.isin(y, (-1, 0, 1)).all():
        raise ValueError(
            f"{name} needs two classes, 0 and 1 or −1 and 1; y has {onp.unique(y)[:5]}"
        )
    return y > 0


def _differences(y: onp.ndarray, outputs: onp.ndarray) -> onp.ndarray:
    if y.size != outputs.size:
        raise ValueError(f"y has shape {y.shape}, the outputs {outputs.shape}; expected one each")
    return outputs.astype("float64").reshape(y.shape) - y


def _rmse(y: onp.ndarray, outputs: onp.ndarray) -> float:
    return float((_differences(y, outputs) ** 2).mean() ** 0.5)


def _mae(y: onp.ndarray, outputs: onp.ndarray) -> float:
    return float(abs(_differences(y, outputs)).mean())


def _r2(y: onp.ndarray, outputs: onp.ndarray) -> float:
    """1 − Σ(y − a)² / Σ(y − ȳ)², the mean over targets of several."""
    wrong = (_differences(y, outputs) ** 2).reshape(len(y), -1).sum(axis=0)
    spread = ((y - y.mean(axis=0)) ** 2).astype("float64").reshape(len(y), -1).sum(axis=0)
    with onp.errstate(divide="ignore", invalid="ignore"):
        return float((1 - wrong / spread).mean())


# The function, and whether it takes the classes that the outputs choose.
_NAMED: dict[str, tuple[Callable[[Any, Any], float], bool]] = {
    "accuracy": (_accuracy, True),
    "balanced_accuracy": (_balanced_accuracy, True),
    "f1": (_f1, True),
    "auc": (_auc, False),
    "rmse": (_rmse, False),
    "mae": (_mae, False),
    "r2": (_r2, False),
}
