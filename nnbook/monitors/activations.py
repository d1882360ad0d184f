"""Monitors of layers' outputs: a few examples run through the network now and then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as onp

from nnbook._arguments import check_whole
from nnbook._arrays import as_numpy
from nnbook.findings import Finding
from nnbook.gluon.runtime import np
from nnbook.monitors.base import EpochMonitor, Record, listed
from nnbook.monitors.layers import LayerOutput, is_affine, layer_outputs
from nnbook.training.run import Run

__all__ = ["ActivationHistogram", "Activations", "DeadUnits", "Units"]

_BINS = 40
_NO_RESPONSE, _ALIKE, _FADED = 1e-3, 1e-6, 1e-2
_MOST_EXAMPLES = 0.95


class ProbeMonitor(EpochMonitor):
    """A monitor that runs some examples through the network, between epochs.

    Parameters
    ----------
    probe : int or array, shape (n, …)
        The examples, NumPy or MXNet; or how many of the training examples, evenly spaced.
    every : int
        Epochs between two looks; the first is before training, and the last epoch is always seen.
    limit : int
        Most records kept.

    Raises
    ------
    ValueError
        `probe` below 2 examples; when `fit` starts, one of another shape than the examples.
    """

    of_run = ("_x",)
    cost: ClassVar[str] = "forward"
    first_epoch: ClassVar[int] = 0

    def __init__(self, probe: Any = 100, every: int = 1, limit: int = 512):
        if getattr(probe, "shape", ()) or isinstance(probe, (list, tuple)):
            self.probe: Any = as_numpy(probe, "probe")
            check_whole(len(self.probe), "the number of examples in probe", least=2)
        else:
            self.probe = check_whole(probe, "probe", least=2)
        super().__init__(every, limit)

    def forget(self) -> None:
        """Drop everything that was seen."""
        super().forget()
        self.kinds: tuple[str, ...] = ()

    def on_fit_start(self, run: Run) -> None:
        """Take the examples, and look at the initial network."""
        super().on_fit_start(run)
        examples = run.examples
        if isinstance(self.probe, int):
            count = min(self.probe, len(examples))
            shared = run.shared
            if f"probe {count}" not in shared:
                rows = onp.linspace(0, len(examples) - 1, count).astype(int)
                shared[f"probe {count}"] = examples.batch(rows)[0]
            self._x = shared[f"probe {count}"]
        else:
            shapes = tuple(self.probe.shape[1:]), tuple(examples.x.shape[1:])
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"probe has examples of shape {shapes[0]}; expected {shapes[1]}, as the "
                    "training examples have"
                )
            self._x = np.array(self.probe, dtype=examples.x.dtype, ctx=examples.x.ctx)
        self.look(run, {})

    def look(self, run: Run, row: dict[str, Any]) -> None:
        """Run the examples through the network."""
        shared, now = run.shared, (run.epoch, run.step, id(self._x))
        if shared.get("now") != now:
            shared["now"], shared["outputs"] = now, layer_outputs(run.net, self._x)
        outputs = self._layers(shared["outputs"])
        self.names = tuple(layer.name for layer in outputs)
        self.kinds = tuple(layer.kind for layer in outputs)
        with onp.errstate(all="ignore"):
            columns = zip(*(self._measure(layer) for layer in outputs), strict=True)
            self._keep(self.record_type(run.epoch, run.step, *map(onp.array, columns)))

    def _layers(self, outputs: list[LayerOutput]) -> list[LayerOutput]:
        return outputs

    def _measure(self, layer: LayerOutput) -> tuple[Any, ...]:
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return the records and what kinds of layers they are of."""
        return {**super().state(), "kinds": list(self.kinds)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        super().load_state(state)
        self.kinds = tuple(state["kinds"])


@dataclass(frozen=True)
class Activations(Record):
    """What `ActivationHistogram` saw at one time.

    Attributes
    ----------
    mean, deviation : numpy.ndarray, shape (layers,)
        Over examples and units.
    across : numpy.ndarray, shape (layers,)
        The standard deviation of a unit over the examples, averaged over the units.
    between : numpy.ndarray, shape (layers,)
        The standard deviation over the units for one example, averaged over the examples; NaN for
        a single unit.
    saturated : numpy.ndarray, shape (layers,)
        Share of the outputs whose slope is under a twentieth of its largest; NaN for layers without
        asymptotes.
    counts : numpy.ndarray of int, shape (layers, 40)
    edges : numpy.ndarray, shape (layers, 41)
        The histogram, between the smallest and the largest output.
    """

    mean: onp.ndarray
    deviation: onp.ndarray
    across: onp.ndarray
    between: onp.ndarray
    saturated: onp.ndarray
    counts: onp.ndarray
    edges: onp.ndarray


class ActivationHistogram(ProbeMonitor):
    """The distribution of every layer's outputs, the input's first.

    Cost: "forward"; a forward pass of the probe before training and after each epoch. Hybridised
    networks are run by their Python code for it (see `layer_outputs`).

    Parameters
    ----------
    probe : int or array, shape (n, …)
        The examples, NumPy or MXNet; or how many of the training examples, evenly spaced.
    every : int
        Epochs between two looks; the first is before training, and the last epoch is always seen.
    limit : int
        Most records kept.

    Attributes
    ----------
    names, kinds : tuple of str
        The layers, as `LayerOutput` has them; "input" is the first.

    Raises
    ------
    ValueError
        `probe` below 2 examples; when `fit` starts, one of another shape than the examples.

    Notes
    -----
    Thresholds of `findings`:

    - error: an output that is no finite number; before training, a layer whose units are copies
      of each other (`between` below a millionth of their root mean square), or more than nine
      tenths of a layer saturated; outputs of the network that are the same for all examples after
      it (`across` below a thousandth of their root mean square);
    - warning: more than half of a layer saturated, before or after training; before training, a
      hidden layer without asymptotes whose deviation is below a hundredth, or above a hundred
      times, that of the input (taken as 1 where it is larger); several layers with weights, none of
      them so narrow that it holds something back, which together are one affine map of the input.
    """

    record_type: ClassVar[type[Record]] = Activations

    def forget(self) -> None:
        """Drop everything that was seen."""
        super().forget()
        self._in_vain = 0  # layers with weights that do what one could

    def on_fit_start(self, run: Run) -> None:
        """Take the examples, and look at the initial network."""
        self._input: Any = None
        super().on_fit_start(run)
        deep = sum(len(shape) > 1 for shape in run.vector.shapes.values())
        sizes = [layer.values.size for layer in self._layers(run.shared["outputs"])]
        narrow = min(sizes[1:-1], default=0) < min(sizes[0], sizes[-1])
        self._in_vain = deep if deep > 1 and not narrow and is_affine(run.net, self._x) else 0

    def _layers(self, outputs: list[LayerOutput]) -> list[LayerOutput]:
        x = self._x.asnumpy()
        return [LayerOutput("input", "input", x.reshape(len(x), -1)), *outputs]

    def _measure(self, layer: LayerOutput) -> tuple[Any, ...]:
        if layer.kind == "input":  # always the same, and often the largest
            self._input = self._input or self._numbers(layer)
            return self._input
        return self._numbers(layer)

    def _numbers(self, layer: LayerOutput) -> tuple[Any, ...]:
        values = layer.values.astype("float64")
        between = values.std(axis=1).mean() if values.shape[1] > 1 else onp.nan
        saturated = layer.flat.mean() if onp.isfinite(layer.half) else onp.nan
        counts, edges = _histogram(values)
        across = values.std(axis=0).mean()
        return values.mean(), values.std(), across, between, saturated, counts, edges

    def findings(self) -> tuple[Finding, ...]:
        """Return what is conspicuous; the thresholds are in the class's notes."""
        if not self._records:
            return ()
        last = self._records[-1]
        bad = [n for n, mean in zip(self.names, last.mean, strict=True) if not onp.isfinite(mean)]
        if bad:
            message = f"outputs of {listed(bad)} are not finite"
            return (self._find("error", message, "a smaller rate; look at the first such layer"),)
        found = [*self._of_saturation(), *self._of_size(), *self._of_copies()]
        return (*found, *self._of_depth(), *self._of_response())

    def _of_saturation(self) -> list[Finding]:
        found = []
        for i, name in enumerate(self.names):
            start, end = self._records[0].saturated[i], self._records[-1].saturated[i]
            if max(start, end) > 0.5:
                when = (
                    "before training" if start > 0.5 else f"after epoch {self._records[-1].epoch}"
                )
                severity = "error" if start > 0.9 else "warning"
                message = f"{start if start > 0.5 else end:.0%} of layer {name} is saturated {when}"
                advice = "scale the inputs, start with smaller weights, lower the rate"
                found.append(self._find(severity, message, advice))
        return found

    def _of_size(self) -> list[Finding]:
        first = self._records[0].deviation
        usual = min(first[0], 1.0)
        found = []
        for i, name in enumerate(self.names[1:-1], 1):
            if onp.isfinite(self._records[0].saturated[i]) or usual == 0:
                continue
            if not _FADED < first[i] / usual < 1 / _FADED and first[i] > 0:
                message = f"before training, layer {name} has the deviation {first[i]:.1g}"
                advice = "draw the weights with variance 1/inputs (2/inputs for rectified units)"
                found.append(self._find("warning", f"{message}, the input {first[0]:.1g}", advice))
        return found[:1]  # the layers after the first follow from it

    def _of_copies(self) -> list[Finding]:
        # Before training: later, rounding errors that grow can tell copies apart.
        first = self._records[0]
        size = onp.sqrt(first.mean**2 + first.deviation**2)
        copies = (first.deviation > 0) & (first.between < _ALIKE * size)
        names = [name for name, alike in zip(self.names[1:], copies[1:], strict=True) if alike]
        if not names:
            return []
        message = f"before training, all the units of layer {listed(names)} compute the same"
        advice = "start from weights that differ: draw them at random"
        return [self._find("error", message, advice)]

    def _of_depth(self) -> list[Finding]:
        if not self._in_vain:
            return []
        message = f"the network is one affine map: {self._in_vain} layers with weights do what one"
        advice = "put an activation after every hidden layer; for a linear model take one layer"
        return [self._find("warning", f"{message} could", advice)]

    def _of_response(self) -> list[Finding]:
        last = self._records[-1]
        size = (last.mean[-1] ** 2 + last.deviation[-1] ** 2) ** 0.5
        if not (last.epoch and last.across[-1] < _NO_RESPONSE * size):
            return []
        message = "the network's outputs are the same for all examples"
        advice = "look for dead or saturated layers, and for a penalty or a rate too high"
        return [self._find("error", message, advice)]


def _histogram(values: onp.ndarray) -> tuple[onp.ndarray, onp.ndarray]:
    """Do as `numpy.histogram` does, in a third of its time; leave out what is not finite."""
    low, high = values.min(), values.max()
    if not onp.isfinite(high - low):
        return onp.histogram(values[onp.isfinite(values)], _BINS)
    if low == high:
        low, high = low - 0.5, high + 0.5
    place = ((values - low) * (_BINS / (high - low))).astype(int)
    counts = onp.bincount(onp.minimum(place, _BINS - 1).ravel(), minlength=_BINS)
    return counts, onp.linspace(low, high, _BINS + 1)


@dataclass(frozen=True)
class Units(Record):
    """What `DeadUnits` saw at one time.

    Attributes
    ----------
    silent, constant, saturated : numpy.ndarray, shape (layers,)
        Share of the units whose output is 0 for every example; the same for every example (the
        silent ones among them); saturated for 95 % of them (NaN for layers without asymptotes).
    """

    silent: onp.ndarray
    constant: onp.ndarray
    saturated: onp.ndarray


class DeadUnits(ProbeMonitor):
    """Units that do the same whatever the example: never active, or always saturated.

    Cost: "forward"; a forward pass of the probe before training and after each epoch. Hybridised
    networks are run by their Python code for it (see `layer_outputs`).

    Parameters
    ----------
    probe : int or array, shape (n, …)
        The examples, NumPy or MXNet; or how many of the training examples, evenly spaced. A unit
        that only an example outside of them would wake up counts as dead.
    every : int
        Epochs between two looks; the first is before training, and the last epoch is always seen.
    limit : int
        Most records kept.

    Attributes
    ----------
    names, kinds : tuple of str
        The layers, as `LayerOutput` has them.

    Raises
    ------
    ValueError
        `probe` below 2 examples; when `fit` starts, one of another shape than the examples.

    Notes
    -----
    Thresholds of `findings`, at the last look:

    - error: every unit of a layer is constant; any output of the network is, after training;
    - warning: more than half of a layer's units are constant, or saturated.
    """

    record_type: ClassVar[type[Record]] = Units

    def _measure(self, layer: LayerOutput) -> tuple[Any, ...]:
        values = layer.values
        saturated = onp.nan
        if onp.isfinite(layer.half):
            saturated = (layer.flat.mean(axis=0) >= _MOST_EXAMPLES).mean()
        constant = (values == values[0]).all(axis=0)
        return (constant & (values[0] == 0)).mean(), constant.mean(), saturated

    def findings(self) -> tuple[Finding, ...]:
        """Return what is conspicuous; the thresholds are in the class's notes."""
        if not self._records:
            return ()
        last, found = self._records[-1], []
        advice = "lower the rate, start with other weights and biases of 0, scale the inputs"
        for i, name in enumerate(self.names[:-1]):
            share, what = last.constant[i], "dead: the same for all examples"
            if last.saturated[i] > max(share, 0.5):
                share, what = last.saturated[i], "saturated for nearly all examples"
            if share > 0.5:
                message = f"{share:.0%} of the units of layer {name} are {what}"
                severity = "error" if last.constant[i] == 1 else "warning"
                found.append(self._find(severity, message, advice))
        if last.constant[-1] and last.epoch:
            message = f"{last.constant[-1]:.0%} of the outputs are the same for all examples"
            advice = "is there an activation on the outputs? Is a layer below dead?"
            found.append(self._find("error", message, advice))
        return tuple(found)
