"""Checkpoints of trials, a look at a search from outside, and nested cross-validation."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from nnbook import search
from nnbook.__main__ import main
from nnbook.search import categorical, integer, linear, log
from nnbook.search.jobs import trials_folder
from nnbook.search.watching import space_of

LINE = search.Space(x=linear(0, 1))


# ------------------------------------------------------------------------------ checkpoints


def grow(configuration, seed, epochs=4, stop=None):
    job = search.this_job()
    epoch, state = job.load() or (0, {"theta": np.ones(3)})
    while epoch < epochs:
        epoch += 1
        if stop == (job.trial, epoch):
            raise KeyboardInterrupt
        state["theta"] = state["theta"] * (1 - 0.1 * configuration["x"])
        job.save(epoch, state, val_loss=float(state["theta"][0]))
    return float(state["theta"][0])


def test_a_checkpoint_each_epoch_named_by_its_score(tmp_path):
    plan = search.GridSearch(LINE, points=3)
    with pytest.raises(KeyboardInterrupt):
        plan.run(lambda c, s: grow(c, s, stop=(1, 3)), path=tmp_path / "study")
    folder = trials_folder(tmp_path / "study")
    names = sorted(path.name for path in (folder / "trial=0001 seed=0").glob("epoch*"))
    assert names == ["epoch=001 val_loss=0.95.checkpoint", "epoch=002 val_loss=0.9025.checkpoint"]
    begun = []
    found = plan.run(
        lambda c, s: begun.append(search.this_job().load()) or grow(c, s), path=tmp_path / "study"
    )
    assert [None if one is None else one[0] for one in begun] == [2, None]
    np.testing.assert_array_equal(found["value"], plan.run(grow)["value"])


def test_a_damaged_checkpoint_is_passed_over(tmp_path):
    plan = search.GridSearch(LINE, points=1)
    with pytest.raises(KeyboardInterrupt):
        plan.run(lambda c, s: grow(c, s, stop=(0, 4)), path=tmp_path / "study")
    last = sorted(trials_folder(tmp_path / "study").rglob("epoch=003*"))[0]
    last.write_bytes(last.read_bytes()[:-5])
    found = plan.run(grow, path=tmp_path / "study")
    assert found["value"][0] == plan.run(grow)["value"][0]


def test_a_job_belongs_to_one_evaluation():
    with pytest.raises(LookupError, match="no search evaluates a single trial here"):
        search.this_job()
    plan = search.GridSearch(LINE, points=2)
    with pytest.raises(LookupError):
        plan.run(evaluate_many=lambda cs, seeds: [search.this_job()] * len(seeds))
    folders = []
    plan.run(lambda c, s: folders.append(search.this_job().folder) or grow(c, s))
    assert not any(folder.parent.exists() for folder in folders)  # without a file for a while only


@pytest.mark.parametrize(
    ("save", "error", "message"),
    [
        (lambda job: job.save(1.5, {}, a=1.0), TypeError, "epoch is 1.5"),
        (lambda job: job.save(1, {}), TypeError, "got 0 measures"),
        (lambda job: job.save(1, {}, a=1.0, b=2.0), TypeError, "got 2 measures"),
        (lambda job: job.save(1, {"x": {1, 2}}, a=1.0), TypeError, "set"),
    ],
)
def test_wrong_checkpoints(save, error, message):
    with pytest.raises(error, match=message):
        search.GridSearch(LINE, points=2).run(lambda c, s: save(search.this_job()))


def test_fit_goes_on_from_the_checkpoint_of_a_trial(tmp_path):
    from nnbook import objective, optim, training

    x = np.linspace(-1, 1, 20)
    y = 3 * x

    def loss(theta, rows):
        return float(((theta[0] * x[rows] - y[rows]) ** 2).mean())

    def gradient(theta, rows):
        return np.array([(2 * (theta[0] * x[rows] - y[rows]) * x[rows]).mean()])

    def train(configuration, seed, stop=None):
        line = objective.from_function(loss, gradient, np.zeros(1), examples=20)
        callbacks = [search.this_job().checkpoint("train_loss"), *([stop] if stop else [])]
        history = training.fit(
            line,
            optimizer=optim.sgd(configuration["rate"]),
            batch_size=5,
            epochs=4,
            seed=seed,
            callbacks=callbacks,
            progress=False,
        )
        return {"value": history[-1]["train_loss"], "theta": float(line.theta[0])}

    class Stop(training.Callback):
        order = 300

        def on_epoch_end(self, run, row):
            if run.epoch == 2:
                raise KeyboardInterrupt

    plan = search.GridSearch(search.Space(rate=log(0.01, 0.1)), points=2)
    with pytest.raises(KeyboardInterrupt):
        plan.run(lambda c, s: train(c, s, Stop()), path=tmp_path / "study")
    names = [path.name for path in trials_folder(tmp_path / "study").rglob("epoch*")]
    assert sorted(name.split()[0] for name in names) == ["epoch=001", "epoch=002"]
    found, whole = plan.run(train, path=tmp_path / "study"), plan.run(train)
    assert found["theta"].tolist() == whole["theta"].tolist()


# --------------------------------------------------------------------------------- looking


@pytest.mark.parametrize(
    "space",
    [
        search.Space(
            rate=log(1e-4, 1),
            rule=categorical(["sgd", "momentum", None, True, 1]),
            momentum=linear(0, 1, when={"rule": ["momentum", None]}, limits=(0, 1)),
            layers=categorical([(10,), (10, 10)]),
            width=integer(1, 100, log=True, limits=(1, math.inf)),
            shift=linear(-2.5, -1, limits=(-math.inf, 0)),
            depth=integer(-3, 3),
        )
    ],
)
def test_a_file_says_what_is_searched(space):
    assert space_of(search.RandomSearch(space, trials=2).identity()) == space


def test_a_file_is_no_program():
    identity = {"dimensions": ["x"], "dimension x": "__import__('os').system('true')"}
    with pytest.raises(ValueError, match="expected log"):
        space_of(identity)
    with pytest.raises((KeyError, ValueError)):
        space_of({"dimensions": ["x"], "dimension x": "log(open('x'), 2)"})


def sources(found):
    return [(one.source, one.severity) for one in found.findings]


def test_what_is_suspicious_is_said(tmp_path):
    def run(function, name, space=LINE, trials=20):
        path = tmp_path / name
        search.RandomSearch(space, trials=trials).run(function, path=path)
        return search.inspect(path)

    assert sources(run(lambda c, s: (c["x"] - 0.5) ** 2, "well")) == []
    found = run(lambda c, s: math.nan if c["x"] > 0.5 else (c["x"] - 0.25) ** 2, "nan")
    assert sources(found) == [("states", "warning")]
    assert "trials have no value, the first is trial" in found.findings[0].message
    search.GridSearch(LINE, points=21).run(lambda c, s: c["x"], path=tmp_path / "border")
    found = search.inspect(tmp_path / "border")
    assert sources(found) == [("borders", "warning")]
    assert "widen x below 0" in found.findings[0].message
    found = run(lambda c, s: 2.3026 + 1e-5 * (c["x"] - 0.5) ** 2, "flat")
    assert sources(found) == [("values", "warning")]
    assert "20 values lie within" in found.findings[0].message


def test_a_slope_is_mostly_seen_and_an_idle_range_seldom(tmp_path):
    space, slope, idle = search.Space(x=search.linear(0, 1), y=search.linear(0, 1)), 0, 0
    for seed in range(60):
        path = tmp_path / f"{seed}"
        search.RandomSearch(space, 20, seed=seed).run(lambda c, s: -c["x"], path=path)
        found = search.inspect(path).findings
        slope += any("widen x above 1" in one.message for one in found)
        idle += any("widen y" in one.message for one in found)
    assert slope >= 40
    assert idle <= 10


def test_what_runs_is_seen_while_it_runs(tmp_path):
    path, seen = tmp_path / "study", []

    def train(configuration, seed):
        job = search.this_job()
        for epoch in range(1, 5):
            stuck = 2.302585 if job.trial == 1 else 2.3 / epoch
            job.save(epoch, {}, val_loss=math.nan if job.trial == 2 and epoch == 4 else stuck)
        seen.append(search.inspect(path))
        return stuck

    search.GridSearch(LINE, points=4).run(train, path=path)
    assert [[one.trial for one in found.running] for found in seen] == [[0], [1], [2], [3]]
    assert [len(found.results) for found in seen] == [0, 1, 2, 3]
    text = str(seen[3])
    assert "1 with checkpoints and without a result" in text
    assert "val_loss 0.575 after epoch 4  █▃▂▁" in text
    assert "trial 1, seed 0 does not learn: val_loss is still 2.303 after epoch 4" in text
    assert "trial 2, seed 0: val_loss is nan after epoch 4" in text
    assert "Results(3 of 3 rows" in text


def test_a_trial_is_stopped_from_outside(tmp_path, capsys):
    path = tmp_path / "study"

    def train(configuration, seed):
        job = search.this_job()
        for epoch in range(1, 4):
            if (job.trial, epoch) == (1, 2):
                assert main(["search", str(path), "--stop", "1"]) == 0
            job.save(epoch, {}, val_loss=1.0 / epoch)
        return 1 / 3

    found = search.GridSearch(LINE, points=3).run(train, path=path)
    assert found["state"].tolist() == ["complete", "stopped", "complete"]
    assert found["error"][1] == "stopped by hand after epoch 2, val_loss 0.5"
    assert "trial 1 stops at its next checkpoint (seed 0)" in capsys.readouterr().out
    assert main(["search", str(path), "--stop", "7"]) == 1
    assert "trial 7 has saved nothing" in capsys.readouterr().err


def test_the_command(tmp_path):
    path = tmp_path / "study"
    search.GridSearch(LINE, points=3, seeds=2).run(lambda c, s: c["x"] + s, path=path)
    command = [sys.executable, "-m", "nnbook", "search"]
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Results(6 of 6 rows: 6 complete; best value 0.5 at x=0")
    assert done.stdout.rstrip().endswith("nothing suspicious")
    for name, message in (("nothing", "No such file"), ("notes", "not the file of a search")):
        (tmp_path / "notes").write_text("my notes")
        done = subprocess.run([*command, str(tmp_path / name)], capture_output=True, text=True)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr


# -------------------------------------------------------------------------------- nested


def test_nested_is_the_plain_loops():
    x = np.random.default_rng(1).normal(size=(40, 3))
    y = x @ [1.0, -1.0, 0.5] + 0.3 * np.random.default_rng(2).normal(size=40)

    def ridge(configuration, train, validation):
        a = x[train].T @ x[train] + configuration["penalty"] * np.eye(3)
        w = np.linalg.solve(a, x[train].T @ y[train])
        return float(((x[validation] @ w - y[validation]) ** 2).mean())

    plan = search.GridSearch(search.Space(penalty=log(0.01, 100)), points=5)
    found = search.nested(plan, ridge, 40, outer=4, inner=3, seed=6, progress=False)
    for k, (rows, judges) in enumerate(search.folds(40, 4, seed=6)):
        assert not set(rows) & set(judges)
        score = {}
        for c in plan.configurations:
            parts = [ridge(c, rows[a], rows[b]) for a, b in search.folds(len(rows), 3, 7 + k)]
            score[c["penalty"]] = np.mean(parts)
        best = min(score, key=score.get)
        assert found.configurations[k] == {"penalty": best}
        assert found.inner[k] == pytest.approx(score[best])
        assert found.values[k] == pytest.approx(ridge({"penalty": best}, rows, judges))
    assert found.optimism == pytest.approx((found.values - found.inner).mean())
    assert repr(found).startswith("Nested(value ")


def test_nested_is_honest_where_there_is_nothing_to_learn():
    """Random labels: chance is 1/2, the best of many inner errors is below, the outer is not."""
    inner, outer = [], []
    for repeat in range(10):
        labels = np.random.default_rng(repeat).integers(2, size=(50, 41))

        def error(configuration, train, validation, labels=labels):
            rule, y = labels[:, 1 + configuration["column"]], labels[:, 0]
            flip = (rule[train] != y[train]).mean() > 0.5
            return float(((rule[validation] != y[validation]) != flip).mean())

        plan = search.GridSearch(search.Space(column=integer(0, 39)), points=40)
        found = search.nested(plan, error, 50, seed=repeat, progress=False)
        inner.append(found.inner.mean())
        outer.append(found.value)
    assert np.mean(inner) < 0.4
    assert abs(np.mean(outer) - 0.5) < 3 * np.std(outer, ddof=1) / math.sqrt(10)


def test_folds():
    parts = search.folds(11, 4, seed=1)
    assert sorted(np.concatenate([b for _, b in parts])) == list(range(11))
    assert {len(b) for _, b in parts} == {2, 3}
    assert not np.array_equal(parts[0][1], search.folds(11, 4, seed=2)[0][1])
    for n, k, message in ((1, 2, "n is 1"), (5, 6, "k is 6"), (5, 1, "k is 1")):
        with pytest.raises(ValueError, match=message):
            search.folds(n, k)
    with pytest.raises(TypeError, match="takes no path"):
        search.nested(search.GridSearch(LINE, points=2), lambda *a: 1.0, 10, path="x")
