"""Notebooks' outputs are compared by their numbers; see the root conftest.py."""

from __future__ import annotations

import base64
import copy
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as onp
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from conftest import Printed, comparable, tolerance_of, unrun_cells
from tools import notebooks

ROOT = Path(__file__).resolve().parents[1]
v4 = nbformat.v4


@pytest.mark.parametrize(
    ("committed", "printed"),
    [
        ("0.5", "0.505"),
        ("loss 1e-05", "loss 1.01e-05"),
        ("x=-0.3", "x=-0.301"),
        ("−0.3", "−0.301"),
        ("12.5%", "12.6%"),
        ("1,234.5", "1,240.0"),
        ("3.2s", "3.25s"),
        (".5", ".505"),
        ("took 0.5.", "took 0.505."),
        ("[0.1, 0.3]", "[0.1, 0.302]"),
        ("0.1±0.0200", "0.1±0.0201"),
        ("0.1-0.2", "0.1-0.202"),
        ("0.0", "-0.0"),
        ("0.0", "1e-17"),
        ("0.00", "0.000"),
        ("[ 9.99 1.0]", "[10.01 1.0]"),
        ("<td>0.5</td>", "<td>0.505</td>"),
        ("nan inf -inf", "nan inf -inf"),
        ("seed 3 of 1,000", "seed 3 of 1,000"),
        ("1.00e+00", "1.01e+00"),
        ("a  0.5", "a 0.5"),
    ],
)
def test_these_agree(committed: str, printed: str) -> None:
    assert Printed(committed) == Printed(printed)
    assert not Printed(committed).__ne__(Printed(printed))
    assert hash(Printed(committed)) == hash(Printed(printed))


@pytest.mark.parametrize(
    ("committed", "printed"),
    [
        ("0.5", "0.55"),
        ("0.5", "0.45"),
        ("1e-05", "1.1e-05"),
        ("1e-05", "1e-06"),
        ("-0.3", "0.3"),
        ("−0.3", "0.3"),
        ("12.5%", "13.75%"),
        ("12.5%", "12.5"),
        ("1,000", "1,001"),
        ("12 epochs", "13 epochs"),
        ("100000", "100001"),
        ("0.0", "0.01"),
        ("0.0", "0"),
        ("1.5", "2"),
        ("nan", "0.1"),
        ("inf", "-inf"),
        ("0.5 0.6", "0.5"),
        ("0.5", "0.5 0.6"),
        ("", "0.5"),
        ("1.9.1", "1.9.2"),
        ("C001", "C002"),
        ("float32", "float64"),
        ("loss 0.5", "cost 0.5"),
        ("0.1-0.2", "0.1-0.22"),
        ("[0.1, 0.3]", "[0.1, 0.33]"),
        ("<td>0.5</td>", "<td>0.55</td>"),
        ("2.0×", "2.2×"),
        ("0.50/0.60", "0.55/0.60"),
        ("in 5.", "in 6."),
        ("True", "False"),
    ],
)
def test_these_differ(committed: str, printed: str) -> None:
    assert Printed(committed) != Printed(printed)
    assert not Printed(committed).__eq__(Printed(printed))


numbers = st.floats(1e-12, 1e12) | st.floats(-1e12, -1e-12)
forms = st.sampled_from(["{:.3e}", "{:.6e}", "{!r}", "loss {:.4e} after 3 epochs", "({:.4e},"])


def test_rounding_errors_agree_and_others_do_not() -> None:
    assert Printed("error 2e-16") == Printed("error 9e-16")
    assert Printed("error 2e-10") != Printed("error 9e-10")
    assert Printed("error 2e-16") != Printed("error 2e-10")


def test_of_a_decision_effects_are_compared_and_what_follows_from_them_is_not() -> None:
    decision = {"outcome": "confirmed", "effect": 0.5, "low": 0.4, "p_value": 1e-7, "arms": {}}
    record = {"claim": "C001", "decisions": [decision]}
    implied = {"p_value": 3e-8, "arms": {"a": [1.5]}, "seeds_needed": 8}
    assert comparable(record, 0.02) == comparable(
        {**record, "decisions": [{**decision, **implied}]}, 0.02
    )
    for change in ({"effect": 0.55}, {"low": 0.3}, {"outcome": "open"}):
        other = {**record, "decisions": [{**decision, **change}]}
        assert comparable(record, 0.02) != comparable(other, 0.02)


@settings(max_examples=200, deadline=None)
@given(numbers, forms, st.sampled_from([0.9, 1.1]))
def test_ten_percent_is_always_noticed(number: float, form: str, factor: float) -> None:
    assume(abs(number) > 1e-10)  # what is smaller is a rounding error
    committed, printed = form.format(number), form.format(number * factor)
    assert Printed(committed, 0.05) != Printed(printed, 0.05)


@settings(max_examples=200, deadline=None)
@given(numbers, forms, st.floats(0.985, 1.015))
def test_less_than_the_tolerance_is_not(number: float, form: str, factor: float) -> None:
    committed, printed = form.format(number), form.format(number * factor)
    assert Printed(committed) == Printed(printed)
    assert hash(Printed(committed)) == hash(Printed(printed))


def test_a_cell_may_state_its_tolerance() -> None:
    assert tolerance_of(v4.new_code_cell()) == 0.02
    stated = v4.new_code_cell(metadata={"nnbook": {"tolerance": 0.05}})
    assert tolerance_of(stated) == 0.05
    assert comparable("0.5", 0.05) == comparable("0.52", 0.05)
    assert comparable("0.5", 0.02) != comparable("0.52", 0.02)


@pytest.mark.parametrize("stated", [0.06, 0, -0.01, "much"])
def test_a_tolerance_out_of_range_is_refused(stated: Any) -> None:
    cell = v4.new_code_cell(metadata={"nnbook": {"tolerance": stated}})
    with pytest.raises(ValueError, match=r"expected a number above 0 and at most 0\.05"):
        tolerance_of(cell)


def test_records_are_compared_by_their_numbers() -> None:
    record = {"claim": "C001", "verdict": "confirmed", "effect": 0.5, "n": 8}
    same = {**record, "effect": 0.501}
    assert comparable(record, 0.02) == comparable(dict(reversed(same.items())), 0.02)
    for change in ({"effect": 0.55}, {"n": 9}, {"verdict": "refuted"}, {"low": 0.1}):
        assert comparable(record, 0.02) != comparable(record | change, 0.02)


def test_figures_are_compared_by_their_data_and_not_by_their_pixels() -> None:
    figure = '<img src="data:image/webp;base64,{}" alt="{}"><script>[{}]</script>'
    committed = comparable(figure.format("AAAA1e5b", "a line", "0.5, 1.0"), 0.02)
    assert committed == comparable(figure.format("BBBBBB==", "a line", "0.501, 1.0"), 0.02)
    assert committed != comparable(figure.format("AAAA1e5b", "a line", "0.55, 1.0"), 0.02)
    assert committed != comparable(figure.format("AAAA1e5b", "a dot", "0.5, 1.0"), 0.02)


def test_only_lines_with_a_time_are_masked_and_only_where_tagged() -> None:
    committed, printed = "loss 0.5\ntook 2.31 s, 1.5 times", "loss 0.5\ntook 9.87 s, 3.4 times"
    assert comparable(committed, 0.02) != comparable(printed, 0.02)
    assert comparable(committed, 0.02, timing=True) == comparable(printed, 0.02, timing=True)
    worse = printed.replace("loss 0.5", "loss 0.55")
    assert comparable(committed, 0.02, timing=True) != comparable(worse, 0.02, timing=True)
    for unit in ("ms", "µs", "min", "h"):
        one, two = (comparable(f"took {x} {unit}", 0.02, timing=True) for x in (1.5, 7.25))
        assert one == two
    one, two = (comparable(f"took {x}", 0.02, timing=True) for x in (1.5, 7.25))
    assert one != two


def test_cells_that_were_never_run_are_found() -> None:
    run = v4.new_code_cell("x = 1", execution_count=1)
    empty, unrun = v4.new_code_cell(" "), v4.new_code_cell("print(1)")
    assert unrun_cells(v4.new_notebook(cells=[v4.new_markdown_cell("a"), run, empty, unrun])) == [2]


def _notebook(**changes: Any) -> Any:
    """A notebook with every kind of output, as it would be committed."""
    source = (
        "from IPython.display import HTML, display\n"
        "print('loss', 0.25, 'after', 3)\n"
        "display({'application/vnd.nnbook.verdict+json': {'effect': 0.5}, 'text/plain': 'C001'},"
        " raw=True)\n"
        "HTML('<b>0.125</b>')"
    )
    bundle = {"application/vnd.nnbook.verdict+json": {"effect": 0.5}, "text/plain": "C001"}
    html = {
        "text/html": "<b>0.125</b>",
        "text/plain": "<IPython.core.display.HTML object>",
    }
    outputs = [
        v4.new_output("stream", name="stdout", text="loss 0.25 after 3\n"),
        v4.new_output("display_data", data=bundle),
        v4.new_output("execute_result", data=html, execution_count=1),
    ]
    cell = v4.new_code_cell(source, execution_count=1, outputs=outputs)
    quiet = v4.new_code_cell("x = 1", execution_count=2)
    for name, value in changes.items():
        setattr(cell, name, value)
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return v4.new_notebook(cells=[cell, quiet], metadata=metadata)


def test_nbval_uses_the_comparison(tmp_path: Path) -> None:
    """One real run of nbval over notebooks that are right and wrong in different ways."""
    text = nbformat.writes(_notebook())
    cases = {
        "right": text,
        "close": text.replace("loss 0.25 ", "loss 0.252 "),
        "printed": text.replace("loss 0.25 ", "loss 0.275 "),
        "integer": text.replace("after 3\\n", "after 4\\n"),
        "record": text.replace('"effect": 0.5', '"effect": 0.55'),
        "html": text.replace('"<b>0.125</b>"', '"<b>0.1375</b>"'),
        "emptied": nbformat.writes(_notebook(outputs=[])),
        "cleared": nbformat.writes(_notebook(outputs=[], execution_count=None)),
        "lax": nbformat.writes(_notebook(metadata={"nnbook": {"tolerance": 0.2}})),
    }
    for name, content in cases.items():
        assert name in ("right", "lax") or content != text
        (tmp_path / f"{name}.ipynb").write_text(content, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "-p",
        "conftest",
        "-p",
        "no:cacheprovider",
    ]
    command += ["-q", "-rA", "--continue-on-collection-errors", "--rootdir", ".", "."]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JUPYTER_PLATFORM_DIRS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    out = done.stdout
    passed = {name for name in cases if f"PASSED {name}.ipynb::Cell 0" in out}
    failed = {name for name in cases if f"FAILED {name}.ipynb::Cell 0" in out}
    refused = {name for name in cases if f"ERROR {name}.ipynb" in out}
    assert passed == {"right", "close"}, out[-3000:]
    assert failed == {"printed", "integer", "record", "html", "emptied"}, out[-3000:]
    assert refused == {"cleared", "lax"}, out[-3000:]
    assert "cleared.ipynb: code cells [0] were never run" in out
    assert "lax.ipynb: cell 0: nnbook.tolerance is 0.2" in out


def test_execution_leaves_no_noise(tmp_path: Path) -> None:
    notebook = _notebook(outputs=[], execution_count=None)
    both = {"text/html": "<b>3</b>", notebooks.WIDGET_VIEW: {"model_id": "3"}}
    notebook.cells[1].source = f"display({both!r}, raw=True)"
    notebook.metadata["widgets"] = {"state": {}}
    path = tmp_path / "chapters" / "a" / "index.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)
    status = tmp_path / "chapters" / "status.json"
    notebooks.execute([path], status=status)
    made = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in made.cells] == [1, 2]
    assert made.cells[0].outputs[0].text == "loss 0.25 after 3\n"
    assert dict(made.cells[1].outputs[0].data) == {"text/html": "<b>3</b>"}
    assert set(made.metadata) == {"kernelspec", "language_info"}
    assert all("execution" not in cell.metadata for cell in made.cells)
    assert '"a/index"' in status.read_text()
    assert '"seconds"' in status.read_text()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import sys; print('careful', file=sys.stderr)", "cell 0 wrote to stderr: careful"),
        ("import ipywidgets; ipywidgets.IntSlider(3)", "cell 0 shows a widget that needs a kernel"),
    ],
)
def test_outputs_that_have_no_place_on_a_page_are_refused(
    source: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.ipynb"
    nbformat.write(_notebook(source=source), path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match=words):
        notebooks.execute([path])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "path", notebooks.find(), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_committed_notebooks_are_clean(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert notebooks.problems(notebook) == []
    assert notebooks.clean(copy.deepcopy(notebook)) == notebook
    assert unrun_cells(notebook) == []


def in_base64(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    return base64.encodebytes(buffer.getvalue()).decode()


def pixels(png: str) -> onp.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    return onp.asarray(image.convert("RGBA"), dtype="int16")


def test_a_figure_takes_less_room_and_looks_the_same() -> None:
    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    axes.plot(onp.sin(onp.arange(50)), "o-", label="a line")
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white")
    png = base64.encodebytes(buffer.getvalue()).decode()
    small = notebooks.smaller(png)
    assert len(small) < 0.6 * len(png)
    assert onp.quantile(abs(pixels(small) - pixels(png)), 0.999) <= 12
    assert notebooks.smaller(small) == small


@pytest.mark.parametrize("kind", ["photograph", "transparent"])
def test_a_figure_that_a_palette_would_change_is_kept(kind: str) -> None:
    levels = onp.random.default_rng(0).integers(0, 256, (90, 120, 4), dtype=onp.uint8)
    levels[..., 3] = 255 if kind == "photograph" else 100
    if kind == "transparent":
        levels[..., :3] = 0
    png = in_base64(Image.fromarray(levels))
    assert notebooks.smaller(png) == png
