"""What a user's type checker sees of the package, in a program outside the repository."""

import os
import re
import subprocess
import sys

import pytest

pytest.importorskip("mypy")

#: A comment says what mypy must find in its line: the type revealed, or the kind of error.
PROGRAM = """
from nnbook import data, ensemble, layers, losses, models, optim, schedules, training
from nnbook.estimators import NetClassifier

x, y = data.moons(rng=0)
net = layers.mlp(2, [8], 2)
history = training.fit(net, (x, y), loss=losses.softmax_cross_entropy, optimizer=optim.sgd(0.1))
rate = schedules.cosine(0.1, 100)
training.fit(net, (x, y), loss="softmax_cross_entropy", optimizer=optim.adam(rate))
training.fit(net, (x, y), loss="softmax_cross_entropy", optimizer=("adam", 0.1))
rule = optim.chain(optim.clip(1.0), optim.momentum(0.1))
training.fit(net, (x, y), loss=losses.hinge, optimizer=rule)
reveal_type(history)  # nnbook.training.history.History
reveal_type(history["val_loss"])  # numpy.ndarray
reveal_type(optim.sgd(0.1))  # nnbook.optim.base.Optimizer
reveal_type(models.load("path").predict(x))  # numpy.ndarray
reveal_type(ensemble.Ensemble([net]).evaluate((x, y)))  # dict[str, float]
reveal_type(NetClassifier([3]).fit(x, y))  # nnbook.estimators.classifier.NetClassifier
training.fit(net, (x, y), los=losses.hinge, optimizer=rule)  # [call-arg]
training.fit(net, (x, y), loss=3, optimizer=rule)  # [arg-type]
training.fit(net, (x, y), loss="hinge", optimizer=0.1)  # [arg-type]
training.fit(3, (x, y), loss="hinge", optimizer=rule)  # [arg-type]
models.save("path", 3)  # [arg-type]
models.predict(net, x, 3)  # [arg-type]
layers.mlp(2, 8, 2)  # [arg-type]
optim.sgd(learning_rat=0.1)  # [call-arg]
losses.sofmax  # [attr-defined]
"""


def found_by_mypy(program, folder):
    """The messages of mypy by line."""
    path = folder / "program.py"
    path.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", str(folder / "cache"), path.name],
        cwd=folder,
        env=os.environ | {"MYPYPATH": ""},
        capture_output=True,
        text=True,
    )
    found = {}
    for line in done.stdout.splitlines():
        if match := re.match(r"program\.py:(\d+): (error|note): (.*)", line):
            found.setdefault(int(match[1]), []).append(match[3])
        elif not line.startswith("Found"):
            raise AssertionError(line)  # an error of mypy's, or in the package itself
    return found


def test_types_reach_a_users_program(tmp_path):
    found = found_by_mypy(PROGRAM, tmp_path)
    for number, line in enumerate(PROGRAM.splitlines(), 1):
        _, _, expected = line.partition("  # ")
        messages = " ".join(found.get(number, []))
        assert expected in messages if expected else not messages, (line, messages)
