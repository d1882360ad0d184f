"""All checks in one call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nnbook.checks.calls import Pair, either_order
from nnbook.checks.examples import check_data
from nnbook.checks.gradients import check_gradients
from nnbook.checks.independence import check_independence
from nnbook.checks.initial import check_initial_loss
from nnbook.checks.outcomes import CheckResult, Report
from nnbook.checks.overfitting import overfit_tiny_subset
from nnbook.checks.regularization import check_regularization
from nnbook.checks.rehearsal import rehearse
from nnbook.checks.rules import check_optimizer
from nnbook.findings import Finding
from nnbook.gluon.examples import Examples
from nnbook.gluon.twins import copy_of

__all__ = ["preflight"]


@either_order
def preflight(
    net: Any,
    data: Pair,
    validation: Pair | None = None,
    *,
    loss: Any,
    burn_in: int = 20,
    verbose: bool = True,
    **fit_options: Any,
) -> Report:
    """Run every check before training; print what is wrong and what to do about it.

    Parameters
    ----------
    net : mxnet.gluon.Block
        An initialised network. Nothing is changed: all work is done on copies.
    data, validation : tuple of array
        ``(x, y)``, as for `nnbook.training.fit`.
    loss : callable or str
        ``loss(outputs, targets)``, or the name of one of `nnbook.losses`.
    burn_in : int
        Gradients are checked at the initial weights and, if they are right, again after so many
        steps of training.
    verbose : bool
        Print the report.
    **fit_options
        What `nnbook.training.fit` will be given: optimizer, batch_size, epochs, penalty, seed,
        order, callbacks. They serve the rehearsal, a short run by `fit` itself; batch_size,
        epochs, seed, shuffle, order and penalty the checks before it, too. Without an optimizer
        the rule is not tried and nothing is rehearsed.

    Returns
    -------
    Report
        ``.passed``; ``.findings``, errors first; ``["check_gradients"]`` and so on for the result
        of a check.

    Raises
    ------
    TypeError, ValueError
        Bad data, as for `nnbook.training.fit`.

    Examples
    --------
    >>> from nnbook import checks, data, layers, losses, optim
    >>> x, y = data.moons(300, rng=0)
    >>> net = layers.mlp(2, [20], 2, "tanh", seed=0)
    >>> report = checks.preflight(net, (x[:200], y[:200]), (x[200:], y[200:]),
    ...                           loss=losses.softmax_cross_entropy, optimizer=optim.momentum(0.1))
    preflight: passed
    ok    check_data
    ok    check_initial_loss
    ok    check_independence
    ok    check_gradients
    ok    check_gradients after 20 steps
    ok    check_regularization
    ok    overfit_tiny_subset
    ok    check_optimizer
    ok    rehearse
    >>> report.passed
    True
    """
    options = {"batch_size": 32, "epochs": 10, "seed": 0, **fit_options}
    optimizer, seed = options.pop("optimizer", None), options["seed"]
    trial = copy_of(net)
    Examples(trial, data, loss, name="train")  # says what is wrong with the data, before any work
    if validation is not None:
        Examples(trial, validation, loss, name="validation")
    shuffled = options.get("shuffle", True) or options.get("order") is not None
    common: dict[str, Any] = {"loss": loss, "seed": seed}
    again = f"check_gradients after {burn_in} steps"
    plan: list[tuple[str, Callable[[], Any]]] = [
        ("check_data", lambda: check_data(data, validation, shuffle=shuffled, seed=seed)),
        (
            "check_initial_loss",
            lambda: check_initial_loss(
                net, data, examples=min(options["batch_size"], 1000), **common
            ),
        ),
        ("check_independence", lambda: check_independence(net, data, **common)),
        ("check_gradients", lambda: check_gradients(net, data, **common)),
        (
            again,
            lambda: check_gradients(net, data, burn_in=burn_in, **common),
        ),
        (
            "check_regularization",
            lambda: check_regularization(
                net, data, options.get("penalty"), optimizer=optimizer, **common
            ),
        ),
        ("overfit_tiny_subset", lambda: overfit_tiny_subset(net, data, **common)),
    ]
    if optimizer is not None:
        planned = options["epochs"] * -(-len(data[0]) // options["batch_size"])
        run = {**options, "optimizer": optimizer}
        plan += [
            ("check_optimizer", lambda: check_optimizer(optimizer, steps=planned)),
            ("rehearse", lambda: rehearse(net, data, validation, loss=loss, **run)),
        ]
    results: list[Any] = []
    for name, check in plan:
        if name != again or not _is_wrong(results[-1]):
            results.append(_attempt(name, check))
    report = Report(tuple(results))
    if verbose:
        print(report)
    return report


def _is_wrong(result: Any) -> bool:
    """Tell whether there is an error, so that looking again would find it again."""
    return any(finding.severity == "error" for finding in result.findings)


def _attempt(name: str, check: Callable[[], Any]) -> Any:
    """Run a check; one that cannot be finished is a finding too."""
    try:
        result = check()
    except Exception as error:  # of the caller's network, loss, rule or callbacks
        lines = [line for line in str(error).splitlines() if line.strip()]
        message = f"it stopped with {type(error).__name__}: {lines[-1].strip() if lines else ''}"
        finding = Finding(name, "error", message, "run this check by itself to see the traceback")
        return CheckResult(name, (finding,))
    return _named(result, name)


def _named(result: Any, name: str) -> Any:
    """Return a result under the name that the report uses."""
    return result if result.check == name else replace(result, check=name)
