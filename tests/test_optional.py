"""What an extra brings: imported where it is there, and asked for by name where it is not."""

import sys

import pytest

from nnbook._optional import require


def test_the_module_itself_is_returned():
    assert require("xml.etree.ElementTree", extra="plots") is sys.modules["xml.etree.ElementTree"]


def test_a_missing_one_is_said_with_its_extra():
    match = r"nnbook_has_no_such is not installed.*pip install \"nnbook\[search\]\""
    with pytest.raises(ModuleNotFoundError, match=match) as caught:
        require("nnbook_has_no_such.part", extra="search")
    assert caught.value.name == "nnbook_has_no_such"


def test_what_is_there_and_misses_something_itself_says_so(tmp_path, monkeypatch):
    (tmp_path / "nnbook_half.py").write_text("import nnbook_other_half\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="No module named 'nnbook_other_half'"):
        require("nnbook_half", extra="search")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'json.nothing'"):
        require("json.nothing", extra="search")
