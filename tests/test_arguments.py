"""The checks of arguments, and tables: one place each, for the whole package."""

from __future__ import annotations

import html
import inspect
from pathlib import Path

import numpy as onp
import pytest

import nnbook
from nnbook import _arguments
from nnbook._arguments import (
    as_scalar,
    check_choice,
    check_file,
    check_flag,
    check_list,
    check_number,
    check_pair,
    check_seed,
    check_sizes,
    check_text,
    check_whole,
)
from nnbook._arrays import as_numpy, check_array, label_array, same_values, to_numpy
from nnbook._tables import html_table, text_table

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [3, onp.int64(3), onp.uint8(3), onp.array(3)])
def test_whole_numbers_become_pythons(value):
    found = check_whole(value, "n")
    assert found == 3
    assert type(found) is int


@pytest.mark.parametrize("value", [0.25, onp.float32(0.25), onp.float64(0.25), onp.array(0.25)])
def test_numbers_become_pythons(value):
    found = check_number(value, "rate", least=0)
    assert found == 0.25
    assert type(found) is float
    assert (onp.ones(2, "float32") * found).dtype == "float32"


WRONG_KINDS = [True, onp.bool_(True), "1", None, [1], 1j, onp.ones(2)]


@pytest.mark.parametrize("value", WRONG_KINDS, ids=repr)
@pytest.mark.parametrize("check", [check_whole, check_number, check_seed])
def test_a_wrong_kind_is_a_type_error(check, value):
    with pytest.raises(TypeError, match=r"n is .*; expected a"):
        check(value, "n")


@pytest.mark.parametrize("value", [1.5, 2.0, onp.float64(2), NAN])
def test_a_fraction_is_no_whole_number(value):
    with pytest.raises(TypeError, match=r"n is .*; expected a whole number of at least 1"):
        check_whole(value, "n")
    with pytest.raises(TypeError, match="epochs is"):
        check_sizes(batch_size=3, epochs=value)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: check_whole(0, "n"), "n is 0; expected a whole number of at least 1"),
        (lambda: check_whole(-1, "n", 0), "n is -1; expected a whole number of at least 0"),
        (lambda: check_whole(9, "n", 2, 8), "n is 9; expected a whole number from 2 to 8"),
        (lambda: check_seed(-1), "seed is -1; expected a whole number of at least 0"),
        (lambda: check_number(NAN, "x"), "x is nan; expected a finite number"),
        (lambda: check_number(INF, "x", least=0), "x is inf; expected a finite number ≥ 0"),
        (lambda: check_number(0, "x", above=0), "x is 0; expected a finite number > 0"),
        (lambda: check_number(1, "x", least=0, below=1), r"x is 1; expected a number in \[0, 1\)"),
        (lambda: check_number(0, "x", above=0, most=1), r"x is 0; expected a number in \(0, 1\]"),
        (lambda: check_number(2, "x", below=2), "x is 2; expected a finite number < 2"),
        (lambda: check_number(3, "x", most=2), "x is 3; expected a finite number ≤ 2"),
        (lambda: check_choice("c", "kind", ("a", "b")), "kind is 'c'; expected one of 'a', 'b'"),
        (lambda: check_text(" ", "reason"), "reason is ' '; expected a text that says something"),
    ],
)
def test_a_wrong_value_is_a_value_error(check, message):
    with pytest.raises(ValueError, match=message):
        check()


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: check_flag("no", "shuffle"), "shuffle is 'no'; expected True or False"),
        (lambda: check_flag(1, "shuffle"), "shuffle is 1; expected True or False"),
        (lambda: check_text(None, "reason"), "reason is None; expected a text"),
        (lambda: check_pair((1, 2, 3), "train"), "train is a tuple of 3; expected a pair"),
        (lambda: check_pair("xy", "train"), "train is a str; expected a pair"),
        (lambda: check_list(3, "seeds", int), "seeds is one int; expected a list"),
        (lambda: check_list(3, "names", str), "names is 3; expected a list of str"),
        (lambda: check_list([3], "names", str), "names has 3; expected each to be a str"),
        (lambda: check_file(3, "search"), "path is 3; expected a path"),
    ],
)
def test_other_wrong_kinds(check, message):
    with pytest.raises(TypeError, match=message):
        check()


def test_what_passes_comes_back():
    assert check_choice("a", "kind", ("a", "b")) == "a"
    assert check_flag(onp.bool_(False), "flag") is False
    assert check_pair([1, 2], "train") == (1, 2)
    assert check_list(None, "names", str) == []
    assert check_list(("a",), "names", str) == ["a"]
    assert as_scalar(onp.array([1])) == onp.array([1])
    assert as_scalar("text") == "text"


def test_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_file("~/here", "search") == tmp_path / "here"
    (tmp_path / "file").write_text("")
    assert check_file(tmp_path / "file", "search") == tmp_path / "file"
    for path, error, message in [
        (tmp_path, IsADirectoryError, "is a folder; expected the name of a file, such as"),
        (tmp_path / "no" / "x", FileNotFoundError, "the folder '.*no' of the search does not exis"),
        (tmp_path / "file" / "x", NotADirectoryError, "is a file; expected the folder that"),
    ]:
        with pytest.raises(error, match=message):
            check_file(path, "search")


def test_nobody_checks_whole_numbers_by_hand():
    """What `_arguments` does is done there: a copy would have other exceptions and words."""
    root = Path(inspect.getfile(nnbook)).parent
    mine = ["data", "ensemble", "losses", "monitors", "optim", "population", "schedules", "search"]
    copies = [
        str(path)
        for folder in [*mine, "training"]
        for path in (root / folder).rglob("*.py")
        if "isinstance(value, bool) or not isinstance(value, (int, onp.integer))"
        in path.read_text(encoding="utf-8")
    ]
    assert not copies
    assert {"check_whole", "check_number"} <= set(_arguments.__all__)


# ------------------------------------------------------------------ arrays

MASKED = onp.ma.masked_array([1.0, 2.0], mask=[False, True])


class Sparse:
    """What scipy.sparse's arrays have in common."""

    nnz = 2

    def toarray(self):
        return onp.eye(2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (MASKED, r"train x is a masked array, .* x\.filled\(value\)"),
        (Sparse(), r"train x is a Sparse, expected .* with x\.toarray\(\)"),
        ([1.0], r"train x is a list, expected .* numpy\.asarray"),
        (onp.array(["a"]), r"dtype <U1, expected real numbers\. .* numpy\.unique\(x, return_inv"),
        (onp.array(["a", None]), r"dtype object, .* numpy\.unique\(x"),
        (onp.ones(2, complex), r"dtype complex128, .* x\.astype\('float32'\)"),
        (onp.array(Sparse()), r"dtype object, .* x\.astype\('float32'\)"),
    ],
    ids=["masked", "sparse", "list", "text", "objects", "complex", "an array of a sparse one"],
)
def test_what_is_no_array_of_numbers_is_refused(value, message):
    with pytest.raises(TypeError, match=message):
        to_numpy(value, "train x")


def test_other_subclasses_become_plain_arrays(tmp_path):
    onp.save(tmp_path / "x.npy", onp.eye(2))
    for array in (onp.eye(2).view(onp.matrix), onp.load(tmp_path / "x.npy", mmap_mode="r")):
        found = to_numpy(array)
        assert type(found) is onp.ndarray
        assert onp.shares_memory(found, array)


def test_lists_where_they_are_welcome():
    assert as_numpy([[1, 2], [3, 4]]).shape == (2, 2)
    assert as_numpy(3.0).shape == ()
    for value in (MASKED, Sparse(), ["a", "b"], [1.0, None]):
        with pytest.raises(TypeError):
            as_numpy(value)
    assert label_array(onp.array(["b", "a"]), "labels").tolist() == ["b", "a"]
    with pytest.raises(TypeError, match="masked"):
        label_array(onp.ma.masked_array(["a"]), "labels")


def test_mxnet_arrays():
    pytest.importorskip("mxnet")
    from nnbook.runtime import mx, np

    assert check_array(np.zeros(2)) is None
    assert to_numpy(mx.nd.ones(2)).tolist() == [1, 1]
    sparse = mx.nd.sparse.csr_matrix(onp.eye(2, dtype="float32"))
    with pytest.raises(TypeError, match=r"x is a sparse CSRNDArray; .* x\.tostype\('default'\)"):
        check_array(sparse)


def test_same_values():
    a = {"rate": onp.ones(2), "rest": (1, [2.0])}
    assert same_values(a, {"rate": onp.ones(2), "rest": (1, [2.0])})
    assert not same_values(a, {"rate": onp.zeros(2), "rest": (1, [2.0])})
    assert not same_values(a, {"rate": onp.ones(3), "rest": (1, [2.0])})
    assert not same_values(1.0, onp.ones(2))
    assert not same_values({"a": 1}, {"b": 1})


# ------------------------------------------------------------------ tables


def test_text_table():
    rows = [("a", "1.5", "ok"), ("long", "20", "")]
    assert text_table(("name", "value", "note"), rows, left=(0, 2)) == (
        "name  value  note\na       1.5  ok\nlong     20"
    )
    assert text_table(("only", "head"), []) == "only  head"


def test_html_table():
    nasty = "<b>&'\""
    table = html_table(("name", nasty), [("a", nasty)], caption=nasty, heads=True)
    assert table.count(html.escape(nasty)) == 3
    assert nasty not in table
    assert "<th scope='row'>a</th>" in table
    assert "<th scope='col'>name</th>" in table
    plain = html_table(("name",), [("a",)])
    assert plain == (
        "<table><thead><tr><th>name</th></tr></thead><tbody><tr><td>a</td></tr></tbody></table>"
    )
