"""Running searches: results, failures, batches, files, kills."""

import contextlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from nnbook import search
from nnbook.search import categorical, linear, log
from nnbook.training import DivergedError, History
from tests import killed_search
from tests.tables import same

SPACE = killed_search.SPACE


def bowl(configuration, seed):
    return {"value": (configuration["x"] - 0.3) ** 2 + 0.1 * seed, "double": 2.0}


LINE = search.Space(x=linear(0, 1))


# ------------------------------------------------------------------------- grid and random


def test_a_grid_evaluates_every_configuration_with_every_seed():
    seen = []
    grid = search.GridSearch(search.Space(x=linear(0, 1), y=linear(0, 1)), points=3, seeds=[4, 7])
    results = grid.run(lambda c, seed: seen.append((c["x"], c["y"], seed)) or 1.0)
    assert len(seen) == len(set(seen)) == len(results) == 3**2 * 2
    assert results["trial"].tolist() == sorted(2 * list(range(9)))
    assert results["seed"].tolist() == 9 * [4, 7]


def test_a_number_of_seeds():
    assert search.RandomSearch(LINE, trials=2, seeds=3).seeds == (0, 1, 2)


def test_59_trials_hit_the_best_five_percent_with_95_percent():
    found = [
        min(c["x"] for c in search.RandomSearch(LINE, trials=59, seed=s).configurations) < 0.05
        for s in range(400)
    ]
    chance = 1 - 0.95**59
    assert chance > 0.95 > 1 - 0.95**58
    assert round(1 - 0.95**60, 3) == 0.954
    assert abs(np.mean(found) - chance) < 3 * math.sqrt(chance * (1 - chance) / 400)


def test_random_search_has_more_distinct_values_than_a_grid():
    space = search.Space(x=linear(0, 1), y=linear(0, 1))
    grid, chance = search.GridSearch(space, points=3), search.RandomSearch(space, trials=9)
    assert len({c["x"] for c in grid.configurations}) == 3
    assert len({c["x"] for c in chance.configurations}) == 9


def test_a_configuration_depends_on_the_seed_and_its_number_alone():
    few = search.RandomSearch(SPACE, trials=3, seed=1)
    many = search.RandomSearch(SPACE, trials=30, seed=1, seeds=4)
    other = search.RandomSearch(SPACE, trials=30, seed=2)
    assert few.configurations == many.configurations[:3]
    assert all(a != b for a, b in zip(many.configurations, other.configurations, strict=True))
    ran = few.run(lambda c, seed: 0.0)
    assert [ran.configuration(k) for k in range(3)] == few.configurations


def test_the_best_may_be_the_largest():
    grid = search.GridSearch(LINE, points=5, smaller_is_better=False)
    results = grid.run(lambda c, seed: c["x"])
    assert results.best["x"] == 1
    assert results.sorted["x"].tolist() == [1, 0.75, 0.5, 0.25, 0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: search.RandomSearch(LINE, trials=0), ValueError, "trials is 0"),
        (lambda: search.RandomSearch(LINE, trials=1.5), TypeError, "trials is 1.5"),
        (lambda: search.RandomSearch(LINE, trials=1, seed=-1), ValueError, "seed is -1"),
        (lambda: search.RandomSearch({}, trials=1), TypeError, "expected a nnbook.search.Space"),
        (lambda: search.GridSearch(LINE), ValueError, "how many values of x"),
        (lambda: search.GridSearch(LINE, points=2, seeds=[1, 1]), ValueError, "none twice"),
        (lambda: search.GridSearch(LINE, points=2, seeds=[]), ValueError, "at least one"),
        (lambda: search.GridSearch(LINE, points=2, seeds=0), ValueError, "seeds is 0"),
        (lambda: search.GridSearch(LINE, points=2).run(), TypeError, "either"),
        (
            lambda: search.GridSearch(LINE, points=2).run(bowl, evaluate_many=bowl),
            TypeError,
            "either evaluate or evaluate_many",
        ),
        (lambda: search.GridSearch(LINE, points=2).run(bowl, batch=0), ValueError, "batch is 0"),
        (lambda: search.GridSearch(LINE, points=2).run(bowl, catch="all"), TypeError, "catch is"),
    ],
)
def test_wrong_searches(make, error, message):
    with pytest.raises(error, match=message):
        make()


# -------------------------------------------------------------------------------- failures


def test_what_fails_is_recorded_and_the_search_goes_on():
    def evaluate(configuration, seed):
        if configuration["x"] == 0.25:
            raise DivergedError(2, 30, 0.5, History())  # a FloatingPointError
        return {0.5: math.nan, 0.75: math.inf}.get(configuration["x"], {"value": 1.0, "depth": 3})

    results = search.GridSearch(LINE, points=5).run(evaluate)
    assert results["state"].tolist() == ["complete", "failed", "nan", "nan", "complete"]
    assert results["error"][1].startswith("DivergedError: the loss is not finite at epoch 2")
    assert results["error"][3] == "the value is inf"
    assert np.isfinite(results["value"]).tolist() == [True, False, False, False, True]
    np.testing.assert_array_equal(results["depth"], [3, np.nan, np.nan, np.nan, 3])
    assert (results["seconds"] >= 0).all()
    assert len(results.complete) == 2


def test_a_search_without_any_result_says_so(tmp_path):
    def evaluate(configuration, seed):
        return configuration["mass"]

    with pytest.warns(RuntimeWarning, match=r"none of the 3 trials is complete .*KeyError: 'mass'"):
        results = search.GridSearch(LINE, points=3).run(evaluate, catch=KeyError)
    with pytest.raises(ValueError, match="none of the 3 trials is complete"):
        _ = results.best
    with pytest.warns(RuntimeWarning, match="delete .*study before you try again"):
        search.GridSearch(LINE, points=3).run(evaluate, catch=KeyError, path=tmp_path / "study")


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (None, TypeError, "returned None as its value"),
        ("0.5", TypeError, "returned '0.5' as its value"),
        (True, TypeError, "returned True as its value"),
        (np.zeros(2), TypeError, "an array as value"),
        ({"loss": 1.0}, ValueError, "returned 'loss'; expected 'value'"),
        ({"value": 1.0, "x": 2.0}, ValueError, r"measured \['x'\], which the table has already"),
        ({"value": 1.0, "curve": [1.0]}, TypeError, "as curve; expected a number"),
    ],
)
def test_what_no_table_can_hold_ends_the_search(returned, error, message):
    with pytest.raises(error, match=message):
        search.GridSearch(LINE, points=3).run(lambda c, seed: returned)


def test_numbers_of_numpy_and_mxnet_are_numbers():
    from nnbook.runtime import mx
    from nnbook.runtime import np as mxnp

    returned = iter([np.float32(0.5), np.array(0.25), mxnp.array([0.125], ctx=mx.cpu(1))])
    results = search.GridSearch(LINE, points=3).run(lambda c, seed: {"value": next(returned)})
    assert results["value"].tolist() == [0.5, 0.25, 0.125]


@pytest.mark.parametrize("path", [None, "study"])
def test_a_mistake_ends_the_search_and_burns_nothing(path, tmp_path):
    path = path and tmp_path / path
    calls = []

    def evaluate(configuration, seed):
        calls.append(configuration["x"])
        if len(calls) == 3:
            raise NameError("name 'los' is not defined")
        return bowl(configuration, seed)

    grid = search.GridSearch(LINE, points=5)
    with pytest.raises(NameError, match="los") as stopped:
        grid.run(evaluate, path=path)
    assert stopped.value.results["x"].tolist() == [0, 0.25]
    assert same(grid.run(evaluate, path=path), grid.run(bowl))  # the same function, mended
    assert calls == [0, 0.25, 0.5, *([0.5, 0.75, 1] if path else [0, 0.25, 0.5, 0.75, 1])]


def test_nothing_need_be_caught(tmp_path):
    def evaluate(configuration, seed):
        raise FloatingPointError

    with pytest.raises(FloatingPointError):
        search.GridSearch(LINE, points=2).run(evaluate, catch=())


def test_a_mistake_in_one_of_a_batch_loses_none_of_the_others(tmp_path):
    asked = []

    def together(configurations, seeds):
        asked.append([c["x"] for c in configurations])
        wrong = {0.25: NameError("los"), 0.75: "no number"} if len(asked) == 1 else {}
        return [wrong.get(c["x"], 1.0) for c in configurations]

    grid = search.GridSearch(LINE, points=5)
    with pytest.raises(NameError, match="los"):
        grid.run(evaluate_many=together, path=tmp_path / "study")
    found = grid.run(evaluate_many=together, path=tmp_path / "study")
    assert asked == [[0, 0.25, 0.5, 0.75, 1], [0.25, 0.75]]
    assert found["x"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert set(found["value"]) == {1.0}


# --------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_batches_give_the_same_table(batch):
    sizes = []

    def together(configurations, seeds):
        sizes.append(len(seeds))
        return [bowl(*one) for one in zip(configurations, seeds, strict=True)]

    grid = search.GridSearch(LINE, points=5, seeds=2)
    assert same(grid.run(evaluate_many=together, batch=batch), grid.run(bowl))
    assert sum(sizes) == 10
    assert max(sizes) == min(batch, 10)


def test_a_batch_that_raises_is_evaluated_one_by_one():
    def together(configurations, seeds):
        return [1 / c["x"] for c in configurations]

    results = search.GridSearch(LINE, points=3).run(evaluate_many=together, catch=ArithmeticError)
    assert results["state"].tolist() == ["failed", "complete", "complete"]
    assert results["value"].tolist()[1:] == [2, 1]
    assert results["error"][0].startswith("ZeroDivisionError")


def test_an_exception_may_be_a_result():
    def together(configurations, seeds):
        return [0.5, ValueError("no"), {"value": 0.1}]

    results = search.GridSearch(LINE, points=3).run(evaluate_many=together, catch=ValueError)
    assert results["error"].tolist() == ["", "ValueError: no", ""]


def test_a_batch_must_have_a_result_for_each():
    with pytest.raises(ValueError, match="returned 1 results for 3 configurations"):
        search.GridSearch(LINE, points=3).run(evaluate_many=lambda c, s: [1.0])


# ----------------------------------------------------------------------------------- files


def test_a_finished_search_is_read_and_not_run_again(tmp_path):
    calls = []
    runs = search.RandomSearch(SPACE, trials=6, seeds=2)

    def evaluate(configuration, seed):
        calls.append(seed)
        return killed_search.evaluate(configuration, seed)

    first = runs.run(evaluate, path=tmp_path / "study")
    assert len(calls) == 12
    second = runs.run(evaluate, path=tmp_path / "study")
    assert len(calls) == 12
    assert same(first, second, but=())
    assert same(first, runs.run(evaluate))


def test_more_trials_continue(tmp_path):
    def trials(n):
        return search.RandomSearch(SPACE, trials=n, seed=3)

    trials(4).run(killed_search.evaluate, path=tmp_path / "study")
    calls = []
    more = trials(9).run(lambda c, s: calls.append(c) or 0.0, path=tmp_path / "study")
    assert calls == trials(9).configurations[4:]
    assert len(more) == 9
    with pytest.raises(ValueError, match=r"trials was 9, is 4.*only more trials can be added"):
        trials(4).run(killed_search.evaluate, path=tmp_path / "study")


SEARCH = search.RandomSearch(SPACE, trials=2, seed=3)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (search.RandomSearch(SPACE, trials=2, seed=4), "seed was 3, is 4"),
        (search.RandomSearch(SPACE, trials=2, seed=3, seeds=2), r"seeds was \[0\], is \[0, 1\]"),
        (
            search.RandomSearch(SPACE, trials=2, seed=3, smaller_is_better=False),
            "smaller_is_better was True, is False",
        ),
        (
            search.RandomSearch(SPACE.replace(rate=log(1e-4, 2)), trials=2, seed=3),
            r"rate was log\(0.0001, 1.0\), is log\(0.0001, 2.0\)",
        ),
        (
            search.RandomSearch(SPACE.replace(size=linear(0, 1)), trials=2, seed=3),
            "size was not there, is linear",
        ),
        (
            search.RandomSearch(
                search.Space(**{n: SPACE[n] for n in ["layers", "rate", "rule", "momentum"]}),
                trials=2,
                seed=3,
            ),
            "dimensions was .*, is ",
        ),
        (
            search.GridSearch(SPACE, points=2),
            "search was RandomSearch, is GridSearch",
        ),
    ],
)
def test_another_search_is_refused_before_any_work(other, message, tmp_path):
    SEARCH.run(killed_search.evaluate, path=tmp_path / "study")
    content = (tmp_path / "study").read_bytes()
    with pytest.raises(ValueError, match=message):
        other.run(lambda c, seed: pytest.fail("it ran"), path=tmp_path / "study")
    assert (tmp_path / "study").read_bytes() == content
    SEARCH.run(lambda c, seed: pytest.fail("it ran"), path=tmp_path / "study")


def test_other_points_are_refused(tmp_path):
    search.GridSearch(LINE, points=2).run(bowl, path=tmp_path / "study")
    with pytest.raises(ValueError, match=r"points was .*\[0.0, 1.0\].*is .*\[0.0, 0.5, 1.0\]"):
        search.GridSearch(LINE, points=3).run(bowl, path=tmp_path / "study")
    with pytest.raises(ValueError, match="trials was not there, is 3"):
        search.RandomSearch(LINE, trials=3).run(bowl, path=tmp_path / "study")


def test_what_is_no_search_is_left_alone(tmp_path):
    file = tmp_path / "notes.txt"
    for text in (b"my notes", b"my\nnotes", b'{"op": 1}\n'):
        file.write_bytes(text)
        with pytest.raises(ValueError, match="not the file of a search"):
            SEARCH.run(bowl, path=file)
        assert file.read_bytes() == text
    with pytest.raises(FileNotFoundError, match=r"'.*nowhere' of the search does not exist"):
        SEARCH.run(bowl, path=tmp_path / "nowhere" / "study")


def test_damage_inside_the_file_is_said(tmp_path):
    file = tmp_path / "study"
    SEARCH.run(killed_search.evaluate, path=file)
    lines = file.read_bytes().split(b"\n")
    for damaged in (lines[1][:-3], b"7", b"{}", b'{"trial": 1, "configuration": []}'):
        file.write_bytes(b"\n".join([lines[0], damaged, *lines[2:]]))
        content = file.read_bytes()
        with pytest.raises(ValueError, match="damaged in line 2"):
            SEARCH.run(killed_search.evaluate, path=file)
        assert file.read_bytes() == content


def test_two_searches_do_not_share_a_file(tmp_path):
    def evaluate(configuration, seed):
        with pytest.raises(RuntimeError, match="in use by another search"):
            SEARCH.run(killed_search.evaluate, path=tmp_path / "study")
        return 1.0

    assert len(SEARCH.run(evaluate, path=tmp_path / "study").complete) == 2


def test_two_processes_do_not_share_a_file_and_a_kill_releases_it(tmp_path):
    file, log = tmp_path / "study", tmp_path / "log"
    code = (
        f"from tests import killed_search; killed_search.run({str(file)!r}, {str(log)!r}, pause=9)"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with subprocess.Popen([sys.executable, "-c", code], cwd=root) as other:
        while not log.exists():
            assert other.poll() is None
            time.sleep(0.01)
        with pytest.raises(RuntimeError, match="in use by another search"):
            killed_search.run(file)
        other.kill()
    assert same(killed_search.run(file), killed_search.run(None))


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    file = tmp_path / "study"
    runs = search.GridSearch(LINE, points=5)

    def run(path, room=None):
        left, write = [room], os.write

        def limited(handle, content):
            if left[0] is not None:
                content = content[: left[0]]
                left[0] -= len(content)
                if not content:
                    raise OSError(28, "No space left on device")
            return write(handle, content)

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", limited)
            return runs.run(bowl, path=path)

    expected = run(tmp_path / "whole")
    size = (tmp_path / "whole").stat().st_size
    with pytest.raises(OSError, match=r"cannot write .*No space left.*still there"):
        run(file, room=size // 2)
    before = len(file.read_text().splitlines()) - 1
    assert before >= 1
    calls = []
    assert same(runs.run(lambda c, s: calls.append(c) or bowl(c, s), path=file), expected)
    assert len(calls) == 5 - before


def test_the_lock_of_windows(monkeypatch, tmp_path):
    import fcntl

    locked = []

    def locking(file, mode, count):
        locked.append((os.lseek(file, 0, os.SEEK_CUR), mode, count))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setitem(
        sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK="now")
    )
    monkeypatch.setattr(sys, "platform", "win32")
    source = importlib.util.find_spec("nnbook.search.journal")
    there = importlib.util.module_from_spec(source)
    source.loader.exec_module(there)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("nnbook.search.searches.FileLog", there.FileLog)
    first = SEARCH.run(killed_search.evaluate, path=tmp_path / "study")
    assert locked == [(2**30, "now", 1)]  # one byte, far behind the end
    assert same(first, SEARCH.run(bowl, path=tmp_path / "study"), but=())


def test_the_file_is_lines_of_json(tmp_path):
    results = killed_search.run(tmp_path / "study")
    first, *trials = map(json.loads, (tmp_path / "study").read_text().splitlines())
    assert first["nnbook.search"]["dimension rate"] == "log(0.0001, 1.0)"
    assert [line["value"] for line in trials if line["state"] == "complete"] == (
        results.complete["value"].tolist()
    )
    assert len(trials) == len(results) == 120


# ------------------------------------------------------------------------ interrupts, kills


@pytest.mark.parametrize("path", [None, "study"])
def test_an_interrupt_loses_nothing(path, tmp_path):
    path = path and tmp_path / path
    calls = []

    def evaluate(configuration, seed):
        calls.append(configuration["x"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return bowl(configuration, seed)

    grid = search.GridSearch(LINE, points=5)
    with pytest.raises(KeyboardInterrupt) as stopped:
        grid.run(evaluate, path=path)
    assert stopped.value.results["x"].tolist() == [0, 0.25]
    assert repr(stopped.value.results).startswith("Results(2 of 5 rows: 2 complete")
    if path:
        assert same(grid.run(evaluate, path=path), grid.run(bowl))
        assert calls == [0, 0.25, 0.5, 0.5, 0.75, 1]


@pytest.mark.parametrize("many", [False, True])
def test_a_search_killed_at_random_moments_loses_nothing_and_runs_nothing_twice(many, tmp_path):
    file, log = tmp_path / "study", tmp_path / "log"
    command = [sys.executable, "-m", "tests.killed_search", file, log, "6", "1", str(int(many))]
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run([*map(str, command)], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in log.read_text().splitlines()]
    kills = [k for k, event in enumerate(events) if event[0] == "killed" and event[1]]
    recorded = [event[2] for event in events if event[0] == "killed"]
    assert len(kills) >= 5
    assert len({len(trials) for trials in recorded}) >= 3  # the kills came at different places
    killed_search.run(file, log, many)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    for k in kills:  # what had a result at a kill never started again
        ended = {tuple(trial) for trial in events[k][2]}
        assert not ended & {tuple(event[1:]) for event in events[k:] if event[0] == "start"}
    every = [tuple(trial) for trial in killed_search.recorded(file)]
    assert len(every) == len(set(every)) == 120  # each trial ended exactly once
    assert same(killed_search.run(file), killed_search.run(None))


def test_a_file_cut_anywhere_is_continued(tmp_path):
    runs = search.RandomSearch(
        search.Space(x=linear(0, 1), rule=categorical(["a", "b"])), trials=3, seed=2
    )
    expected = runs.run(bowl, path=tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    ends = [k + 1 for k, byte in enumerate(content) if byte == 10]
    cuts = {0, 1, 5, *ends, *(end - 1 for end in ends), *range(7, len(content), 97)}
    for cut in sorted(cuts):
        file = tmp_path / "cut"
        file.write_bytes(content[:cut])
        whole = file.read_bytes().rpartition(b"\n")[0]
        had = range(len(whole.splitlines()[1:]))
        calls = []
        assert same(
            runs.run(lambda c, s, calls=calls: calls.append(c["x"]) or bowl(c, s), path=file),
            expected,
        )
        assert calls == [x for k, x in enumerate(expected["x"]) if k not in had], cut


def test_a_bar_shows_how_far_the_search_is_and_goes_when_it_ends(monkeypatch, tmp_path):
    bars = []

    class Bar(contextlib.AbstractContextManager):
        def __init__(self, **settings):
            self.seen = [settings["total"], settings["initial"]]
            bars.append(self)

        def update(self, count):
            self.seen.append(count)

        def __exit__(self, *error):
            self.seen.append("gone")

    def breaks(configurations, seeds):
        if configurations[0]["x"] >= 0.5:
            raise NameError("los")
        return [1.0] * len(seeds)

    monkeypatch.setattr("nnbook.training.Progress.wanted", lambda: True)
    monkeypatch.setattr("tqdm.auto.tqdm", Bar)
    grid = search.GridSearch(LINE, points=5)
    with pytest.raises(NameError):
        grid.run(evaluate_many=breaks, batch=2, path=tmp_path / "study")
    grid.run(bowl, path=tmp_path / "study")
    grid.run(bowl, path=tmp_path / "study", progress=False)
    assert [bar.seen for bar in bars] == [[5, 0, 2, "gone"], [5, 2, 1, 1, 1, "gone"]]


def test_searching_needs_neither_optuna_nor_mxnet(tmp_path):
    code = (
        "import sys; sys.modules['optuna'] = sys.modules['mxnet'] = None\n"
        "from nnbook import search\n"
        "space = search.Space(x=search.linear(0, 1))\n"
        "found = search.RandomSearch(space, trials=20).run(lambda c, seed: c['x'], path='study')\n"
        "print(len(found), len(open('study').readlines()), 'pandas' in sys.modules)\n"
        "found.to_study()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.strip() == "20 21 False", done.stderr
    assert 'pip install "nnbook[search]"' in done.stderr.splitlines()[-1]


# ----------------------------------------------------------------------- searches that learn


class Climb(search.Search):
    """Asks Optuna's sampler, which is told what came out so far."""

    space, seeds, smaller_is_better, size = SPACE, (0, 1), True, 30

    def ask(self, trial, log):
        import optuna

        sampler = optuna.samplers.TPESampler(seed=trial, n_startup_trials=4)
        study = optuna.create_study(sampler=sampler)
        for one in self._table(log).over_seeds().to_study().trials:
            study.add_trial(one)
        return self.space.suggest(study.ask())


def test_a_search_may_learn_from_what_came_out_and_resumes_the_same(tmp_path):
    def evaluate(configuration, seed):
        return abs(math.log10(configuration["rate"]) + 1) + 0.01 * seed

    calls = []

    def stopped(configuration, seed):
        calls.append(configuration)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return evaluate(configuration, seed)

    whole = Climb().run(evaluate)
    with pytest.raises(KeyboardInterrupt):
        Climb().run(stopped, path=tmp_path / "study")
    assert same(Climb().run(evaluate, path=tmp_path / "study"), whole)
    assert len({repr(whole.configuration(k)) for k in range(60)}) == 30  # asked once for two seeds
    blind = (3**2 + 1**2) / 2 / 4  # what a random search has on average, |u − 3| for u in [0, 4]
    assert whole["value"][30:].mean() < 0.7 * blind
