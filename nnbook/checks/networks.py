"""What is checked of a Gluon network beside its gradient as an objective."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as onp

from nnbook import optim
from nnbook.checks.calls import batch_for
from nnbook.checks.judging import CHECK, check_objective
from nnbook.checks.results import GradientCheck
from nnbook.findings import Finding
from nnbook.gluon.parameters import blocks_of, named_parameters
from nnbook.gluon.runtime import mx
from nnbook.gluon.twins import Twin, copy_of, make_twin, preserved_luck, unsteady
from nnbook.training import DivergedError, fit

__all__ = ["check_network"]

# How far the network's own gradient may be from the one in float64, relative to its length.
_OWN_PRECISION = 0.02
_WRONG_IN_FLOAT64 = "there MXNet's gradients are wrong where recurrent layers are stacked in one"


def check_network(
    net: Any,
    data: Any,
    loss: Any,
    examples: int,
    burn_in: int,
    dtype: str,
    measuring: dict[str, Any],
) -> GradientCheck:
    """Check the gradient of a network on a copy, and what only a network can have wrong.

    Parameters
    ----------
    net, data, loss, examples, burn_in, dtype
        As for `nnbook.checks.check_gradients`.
    measuring : dict
        What `nnbook.checks.judging.check_objective` is given beside the copy.
    """
    seed = measuring["seed"]
    dtype, why_not = _trustworthy(net, dtype)
    with preserved_luck():
        twin, findings = _prepared(net, data, loss, examples, burn_in, dtype, seed)
        findings = _frozen_findings(net) + findings + unsteady(twin, CHECK)
        own, lost = _own_precision(net, data, loss, twin, examples, burn_in, seed)
        result = check_objective(twin, None, **measuring)
    findings += result.findings or lost
    return replace(
        result,
        findings=tuple(dict.fromkeys(findings)),
        frozen=_frozen(net),
        own_precision=own,
        note=why_not or twin.why_not,
    )


def _trustworthy(net: Any, dtype: str) -> tuple[str, str]:
    """Return the dtype to check a network in, and why that is not float64.

    Of ``rnn.LSTM(…, num_layers=2)`` and its like MXNet computes the gradient in float32 by one
    library and in float64 by code of its own, which is right for the last layer only. That is no
    mistake of a network that is trained in float32.
    """
    own = str(onp.dtype(next(iter(named_parameters(net).values())).dtype))
    stacked = any(
        isinstance(block, mx.gluon.rnn.rnn_layer._RNNLayer) and block._num_layers > 1
        for block in blocks_of(net)
    )
    if dtype == "float64" and stacked and own == "float32":
        return own, _WRONG_IN_FLOAT64
    return dtype, ""


def _prepared(
    net: Any, data: Any, loss: Any, examples: int, burn_in: int, dtype: str, seed: int
) -> tuple[Twin, list[Finding]]:
    """Return the copy to work on, after its burn-in, with other examples run through it."""
    findings: list[Finding] = []
    if burn_in:
        net, findings = _burnt_in(net, data, loss, burn_in, seed)
    chosen = batch_for(data, examples, seed)
    others = batch_for(data, len(chosen[0]), seed + 1)[0][::-1]
    return make_twin(net, loss, *chosen, dtype=dtype, seed=seed, before=others), findings


def _burnt_in(net: Any, data: Any, loss: Any, steps: int, seed: int) -> tuple[Any, list[Finding]]:
    """Train a copy for some steps; keep it as it was if that fails."""
    twin, size = copy_of(net), min(32, len(data[0]))

    def order(n: int, epoch: int, rng: onp.random.Generator) -> onp.ndarray:
        return rng.integers(0, n, size=steps * size)

    options: dict[str, Any] = {"optimizer": optim.adam(0.01), "batch_size": size, "epochs": 1}
    try:
        fit(twin, data, loss=loss, order=order, seed=seed, progress=False, **options)
    except DivergedError:
        message = f"{steps} steps of Adam at the rate 0.01 make the loss infinite"
        advice = "look at the gradients before the burn-in, and at the scale of inputs and weights"
        return copy_of(net), [Finding(CHECK, "error", message, advice)]
    return twin, []


def _frozen(net: Any) -> tuple[str, ...]:
    """Name the parameters that could learn and are not let."""
    return tuple(
        name
        for name, p in named_parameters(net).items()
        if p.grad_req == "null" and p._differentiable and not isinstance(p, mx.gluon.Constant)
    )


def _frozen_findings(net: Any) -> list[Finding]:
    names = _frozen(net)
    if not names:
        return []
    message = f"the gradient is turned off for {', '.join(names)}"
    advice = "if these should learn: net.collect_params().setattr('grad_req', 'write')"
    return [Finding(CHECK, "warning", message, advice)]


def _own_precision(
    net: Any, data: Any, loss: Any, exact: Twin, examples: int, burn_in: int, seed: int
) -> tuple[float, list[Finding]]:
    """Compare the gradient in the network's own dtype with that in float64."""
    if burn_in or exact.random or exact.dtype != "float64":  # random masks would be others
        return float("nan"), []
    own = Twin(net, loss, *batch_for(data, examples, seed), seed=seed)
    if own.dtype == "float64":
        return float("nan"), []
    first, second = own.gradient(), exact.gradient()
    if not onp.isfinite(second).all():
        return float("nan"), []
    length = float(onp.linalg.norm(second))
    apart = float(onp.linalg.norm(first - second)) / length if length else 0.0
    if apart <= _OWN_PRECISION:
        return apart, []
    message = f"the gradient in {own.dtype} is off by {apart:.1%} of the one in float64"
    advice = (
        "look for products of many small numbers, exp of large ones and differences of nearly "
        "equal ones; work with logarithms, or scale the loss"
    )
    return apart, [Finding(CHECK, "error", message, advice)]
