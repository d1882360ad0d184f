"""Compare every update rule with PyTorch's own over 1,000 random steps in float64.

``make bench`` runs it, in the benchmarks' environment, which has PyTorch but not MXNet: the rules
need NumPy and SciPy alone. It prints the largest difference of θ for each rule, relative to the
largest θ, and fails where that is more than rounding:

* SGD, momentum, AdaGrad, RMSprop, Adam and AdamW stand in PyTorch as they do here, with eps outside
  the root; they agree to rounding. PyTorch multiplies the whole velocity by the rate,
  v ← μ v + g, θ ← θ − η v: the same iteration as long as the rate does not change.
* Nesterov: PyTorch's θ is the look-ahead point too, and its first velocity is the gradient itself,
  which is what v ← μ · 0 + g gives. The same iteration.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np

try:
    import torch
except ModuleNotFoundError:  # this is the book's environment
    torch = None

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from nnbook.optim import rules  # noqa: E402

PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
STEPS, SIZE, TOLERANCE = 1000, 5, 1e-12


def pairs():
    """Return name: (the rule here, PyTorch's as a function of its parameters)."""
    t = torch.optim
    return {
        "sgd": (rules.sgd(0.07), lambda p: t.SGD(p, lr=0.07)),
        "momentum": (rules.momentum(0.07, 0.83), lambda p: t.SGD(p, lr=0.07, momentum=0.83)),
        "nesterov": (
            rules.nesterov(0.07, 0.83),
            lambda p: t.SGD(p, lr=0.07, momentum=0.83, nesterov=True),
        ),
        "adagrad": (rules.adagrad(0.07, eps=1e-6), lambda p: t.Adagrad(p, lr=0.07, eps=1e-6)),
        "rmsprop": (
            rules.rmsprop(0.07, decay=0.87, eps=1e-6),
            lambda p: t.RMSprop(p, lr=0.07, alpha=0.87, eps=1e-6),
        ),
        "adam": (
            rules.adam(0.07, 0.85, 0.97, eps=1e-6),
            lambda p: t.Adam(p, lr=0.07, betas=(0.85, 0.97), eps=1e-6),
        ),
        "adamw": (
            rules.adamw(0.07, 0.85, 0.97, eps=1e-6, weight_decay=0.03),
            lambda p: t.AdamW(p, lr=0.07, betas=(0.85, 0.97), eps=1e-6, weight_decay=0.03),
        ),
    }


def difference(rule, theirs, start, gradients):
    """Return the largest difference along the way, relative to the largest θ."""
    theta, state = start.copy(), rule.init(start)
    parameter = torch.nn.Parameter(torch.tensor(start))
    optimizer = theirs([parameter])
    worst = largest = 0.0
    for gradient in gradients:
        step, state = rule.update(gradient, state, theta)
        theta = theta + step
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        worst = max(worst, np.abs(theta - parameter.detach().numpy()).max())
        largest = max(largest, np.abs(theta).max())
    return worst / largest


def main():
    if torch is None:
        if not PEERS_PYTHON.exists():
            sys.exit("The peers are not installed: run `make bench`.")
        sys.exit(subprocess.call([str(PEERS_PYTHON), __file__]))
    rng = np.random.default_rng(7)
    start = rng.normal(size=SIZE)
    gradients = rng.normal(size=(STEPS, SIZE)) * 10 ** rng.uniform(-3, 1, SIZE)
    print(f"PyTorch {torch.__version__}, NumPy {np.__version__}, {STEPS} random steps, float64")
    wrong = []
    for name, (rule, theirs) in pairs().items():
        found = difference(rule, theirs, start, gradients)
        print(f"{name:<10} {found:.1e}")
        if not found < TOLERANCE:
            wrong.append(name)
    if wrong:
        sys.exit(f"more than {TOLERANCE:g}: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
