"""Examples of a minibatch must not know of one another."""

from __future__ import annotations

from typing import Any

import numpy as onp

from nnbook.checks.calls import batch_for, either_order
from nnbook.checks.outcomes import CheckResult
from nnbook.findings import Finding
from nnbook.gluon.twins import make_twin, preserved_luck

__all__ = ["check_independence"]

CHECK = "check_independence"


@either_order
def check_independence(
    net: Any, data: Any, *, loss: Any, examples: int = 8, seed: int = 0
) -> CheckResult:
    """Compare a minibatch with its examples one by one: outputs, and mean loss, must be the same.

    Outside training, the answer for an example does not depend on the examples beside it, and the
    mean loss of a minibatch is the mean of the losses of its examples alone. A wrong axis, a
    broadcast of (n,) against (n, 1), a sum instead of a mean and statistics of the minibatch all
    break this.

    Parameters
    ----------
    net, data, loss
        As for `check_gradients`; nothing is changed.
    examples : int
        How many of the examples, at least 2.
    seed : int
        Decides which.

    Returns
    -------
    CheckResult
        Measured: ``outputs`` (how far outputs of one example alone are from those in company,
        relative to their size), ``loss`` (of the minibatch), ``mean_alone``.

    Raises
    ------
    ValueError, TypeError
        Bad data, as for `nnbook.training.fit`, or fewer than two examples.

    Examples
    --------
    >>> import numpy as np
    >>> from nnbook import checks, layers, losses
    >>> x, y = np.random.default_rng(0).normal(size=(9, 4)), np.arange(9).reshape(9, 1) / 9
    >>> net = layers.mlp(4, [5], 1, "tanh", seed=0)
    >>> checks.check_independence(net, (x, y), loss=losses.squared_error).passed
    True
    >>> def with_company(outputs, targets):
    ...     return ((outputs - outputs.mean() - targets) ** 2).sum(axis=1)
    >>> checks.check_independence(net, (x, y), loss=with_company).passed
    False
    """
    x, y = data
    if examples < 2 or len(x) < 2:
        raise ValueError(f"{min(examples, len(x))} example; expected at least 2 to compare")
    x, y = batch_for((x, y), examples, seed)
    with preserved_luck():
        twin = make_twin(net, loss, x, y, seed=seed)
        if twin.varies(training=False):
            return CheckResult(CHECK, (), {"random": True})  # nothing can be compared
        together = twin.outputs().asnumpy()
        one_by_one = [slice(i, i + 1) for i in range(len(x))]
        alone = onp.concatenate([twin.outputs(twin.x[i]).asnumpy() for i in one_by_one])
        mean = float(twin.losses().mean())
        separate = [float(twin.losses(twin.x[i], twin.y[i]).mean()) for i in one_by_one]
    tolerance = 1e-6 if twin.dtype == "float64" else 1e-3
    scale = float(abs(together).max()) or 1.0
    if alone.shape != together.shape:
        apart = float("inf")
    else:
        apart = float(abs(alone - together).max()) / scale
    mean_alone = float(onp.mean(separate))
    findings = []
    if not apart <= tolerance:
        findings.append(_coupled(apart))
    elif not abs(mean - mean_alone) <= tolerance * max(abs(mean), abs(mean_alone), 1e-30):
        findings.append(_loss_coupled(mean, mean_alone, len(x)))
    return CheckResult(
        CHECK, tuple(findings), {"outputs": apart, "loss": mean, "mean_alone": mean_alone}
    )


def _coupled(apart: float) -> Finding:
    message = f"outputs change by {apart:.1%} when an example is alone, outside training"
    advice = (
        "look for means, softmax, reshape or normalisation along axis 0, the examples; batch "
        "normalisation must use its running statistics there"
    )
    return Finding(CHECK, "error", message, advice)


def _loss_coupled(mean: float, mean_alone: float, n: int) -> Finding:
    message = f"the loss of {n} examples is {mean:.4g}, the mean of their losses {mean_alone:.4g}"
    if mean_alone and abs(mean / mean_alone / n - 1) < 1e-3:
        advice = "the loss is summed over the minibatch: return one value for each example"
    else:
        advice = (
            "look in the loss for a wrong axis and for shapes that broadcast, (n,) against (n, 1)"
        )
    return Finding(CHECK, "error", message, advice)
