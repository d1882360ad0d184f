"""The healthy problems of the study of false alarms: what they are, and what the checks say."""

import sys
from pathlib import Path

import numpy as np
import pytest

from nnbook import checks

pytest.importorskip("sklearn")  # the first list is made by its generators
FOLDER = Path(__file__).resolve().parents[1] / "chapters" / "debugging"
sys.path.insert(0, str(FOLDER))

import long_alarms  # noqa: E402

PROBLEMS = [p for name in long_alarms.LISTS for p in long_alarms.problems_of(name)]


def test_there_are_many_of_all_kinds_and_none_twice():
    names = [problem.name for problem in PROBLEMS]
    assert len(names) == len(set(names)) >= 90
    for name in long_alarms.LISTS:
        problems = long_alarms.problems_of(name)
        assert len({problem.kind for problem in problems}) == 9
        for file in long_alarms.EDITIONS.values():
            assert list(long_alarms.results_of(file)[name]) == [p.name for p in problems]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_the_data_of_a_healthy_problem_are_not_accused(problem):
    case = problem.build(0)
    result = checks.check_data(case.data, case.validation)
    assert result.passed, result
    first = checks.check_initial_loss(case.net, case.data, loss=case.loss, examples=32)
    assert first.passed, first


def test_few_alarms_are_left_and_shuffled_labels_are_noticed():
    now, before = (
        {name: sum(long_alarms.counts(results[name]).values()) for name in long_alarms.LISTS}
        for results in map(long_alarms.results_of, ("alarms.json", "alarms_before.json"))
    )
    for name in long_alarms.LISTS:
        problems, by_checks, _, by_either, errors = now[name]
        assert problems == before[name][0] == len(long_alarms.problems_of(name))
        assert by_checks <= 0.05 * problems
        assert by_either < 0.5 * before[name][3]
        assert errors == 0
    noticed = [long_alarms.noticed(r) for r in long_alarms.results_of("alarms.json").values()]
    assert np.divide(*np.sum(noticed, axis=0)) > 0.95


def test_a_case_counts_if_its_network_learns_and_once_for_each_watcher():
    said = [["check_data", "w", "…"], ["Gap", "e", "…"], ["Gap", "w", "…"]]
    seeds = [{"said": said, "losses": [1.0, 0.5, 0.6, 0.4], "shuffled": True}]
    learnt = {"kind": "tables", "seeds": seeds}
    failed = {"kind": "tables", "seeds": [{**seeds[0], "losses": [1.0, 0.99, 1.0, 0.4]}]}
    assert long_alarms.counts({"a": learnt, "b": failed})["tables"].tolist() == [1, 1, 1, 1, 1]
    assert long_alarms.noticed({"a": learnt, "b": failed}) == (2, 2)
    assert long_alarms.interval(0, 37) == "0 (0% to 9%)"
