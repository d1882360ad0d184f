"""`nnbook.explore`: frames, sizes, identifiers, descriptions, errors and the live form."""

from __future__ import annotations

import base64
import itertools
import json
import re
from typing import Any

import matplotlib as mpl
import numpy as onp
import pytest
from matplotlib.figure import Figure

from nnbook import _frames as frames
from nnbook import explore as module
from nnbook.explore import explore

mpl.use("agg")


def draw(rate: float, steps: int = 1) -> Any:
    """Draw a straight line."""
    figure = Figure(figsize=(2, 1.5))
    axes = figure.subplots()
    axes.plot([0, steps], [1, 1 - rate])
    axes.set_xlabel("step")
    return axes


def summaries(markup: str) -> Any:
    """Return the plotted data that the markup carries."""
    return json.loads(re.search(r'class="nnbook-plotted">(.*?)</script>', markup).group(1))


def test_frames_are_the_product_of_the_values_in_order() -> None:
    figure = explore(draw, alt="a line", rate=[0.1, 0.5], steps=[1, 2, 3])
    expected = [{"rate": r, "steps": s} for r, s in itertools.product([0.1, 0.5], [1, 2, 3])]
    assert [frame.choice for frame in figure.frames] == expected
    assert len({frame.image for frame in figure.frames}) == 6


def test_the_initial_choice_is_the_frame_in_the_image() -> None:
    figure = explore(draw, alt="a line", initial={"steps": 2}, rate=[0.1, 0.5], steps=[1, 2, 3])
    assert figure.start == 1
    assert f'<img src="{figure.frames[1].image}"' in figure.to_html()
    assert '"start": [0, 1]' in figure.to_html()


def test_an_image_is_in_the_page_once() -> None:
    figure = explore(draw, alt="a line", rate=[0.1, 0.5])
    for frame in figure.frames:
        assert figure.to_html().count(frame.image) == 1


def test_the_page_loads_nothing() -> None:
    markup = explore(draw, alt="a line", rate=[0.1, 0.5]).to_html()
    for word in ("http", "import", "@import", "url("):
        assert word not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", markup)


def test_two_runs_give_the_same_markup() -> None:
    first, second = (explore(draw, alt="a line", rate=[0.1, 0.5]) for _ in range(2))
    assert first.to_html() == second.to_html()
    assert first.identifier == second.identifier


def test_different_figures_have_different_identifiers() -> None:
    one = explore(draw, alt="a line", caption="One.", rate=[0.1, 0.5])
    two = explore(draw, alt="a line", caption="Two.", rate=[0.1, 0.5])
    three = explore(draw, alt="a line", caption="One.", rate=[0.1, 0.6])
    assert len({one.identifier, two.identifier, three.identifier}) == 3


def test_alt_names_the_values() -> None:
    added = explore(draw, alt="a line", rate=[0.1, 0.5], steps=[1, 2])
    assert added.frames[3].alt == "a line (rate 0.5, steps 2)"
    named = explore(draw, alt="a line at {rate}", rate=[0.1, 0.5], steps=[1, 2])
    assert named.frames[3].alt == "a line at 0.5 (steps 2)"
    own = explore(draw, alt=lambda rate: f"falls by {rate}", rate=[0.1, 0.5])
    assert own.frames[1].alt == "falls by 0.5"


def test_words_cannot_break_the_markup() -> None:
    figure = explore(draw, alt='a "line" </script>', caption="<b>&</b>", rate=[0.1, 0.5])
    markup = figure.to_html()
    assert markup.count("</script>") == 2
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in markup
    assert "&quot;line&quot;" in markup


def test_the_plotted_data_are_recorded() -> None:
    markup = explore(draw, alt="a line", rate=[0.1, 0.5]).to_html()
    first, second = summaries(markup)
    assert first[0]["series"] == [{"x": [0, 1.0, 0, 1.0], "y": [1.0, 0.9, 0.9, 1.0], "n": 2}]
    assert second[0]["series"][0]["y"] == [1.0, 0.5, 0.5, 1.0]
    assert first[0]["x"] == "step"


def test_points_bars_and_images_are_recorded() -> None:
    def many(k: int) -> Figure:
        figure = Figure(figsize=(3, 1))
        left, middle, right = figure.subplots(1, 3)
        left.scatter([1, 2], [k, 4])
        middle.bar([0, 1], [k, 5])
        right.imshow(onp.array([[0.0, k], [3.0, 4.0]]))
        return figure

    left, middle, right = summaries(explore(many, alt="three", k=[1, 2]).to_html())[1]
    assert left["series"][0]["y"] == [2.0, 4.0, 2.0, 4.0]
    assert [bar["y"][0] for bar in middle["series"]] == [2.0, 5.0]
    assert right["images"] == [[0, 4.0, 0, 4.0]]


def test_areas_contours_and_words_are_recorded() -> None:
    def many(k: int) -> Figure:
        figure = Figure(figsize=(2, 1))
        left, right = figure.subplots(1, 2)
        left.fill_between([0, 1], [0, 0], [k, 5])
        left.text(0, 0, f"best {k}")
        right.contour(onp.array([[0.0, 1.0], [1.0, 2.0]]) * k, levels=[0.5])
        return figure

    left, right = summaries(explore(many, alt="two", k=[1, 2]).to_html())[1]
    assert left["series"][0]["y"][3] == 5.0
    assert left["texts"] == ["best 2"]
    assert right["series"][0]["x"][3] == 0.25


def test_an_axis_in_seconds_is_not_recorded() -> None:
    def timed(k: int) -> Any:
        axes = draw(0.1 * k)
        axes.set_xlabel("time (s)")
        return axes

    series = summaries(explore(timed, alt="a race", k=[1, 2]).to_html())[0][0]["series"][0]
    assert series["x"] == "time"
    assert series["y"] == [1.0, 0.9, 0.9, 1.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0, 1e-9, 2.0], [3.0, 2.0, 0, 3.0]),
        ([float("nan"), 2.0], [2.0, 2.0, 2.0, 2.0]),
        ([float("inf")], []),
        ([], []),
        ([0.0, 0.0], [0, 0, 0, 0]),
        ([1.23456, -1.23456], [1.235, -1.235, -1.235, 1.235]),
    ],
)
def test_summaries_leave_out_what_is_noise(values: list[float], expected: list[Any]) -> None:
    assert frames.summary(values) == expected


def test_the_smallest_kind_of_image_is_chosen() -> None:
    figure = explore(draw, alt="a line", rate=[0.1, 0.5])
    kinds = {frame.image.partition(";")[0] for frame in figure.frames}
    assert len(kinds) == 1
    size = len(base64.b64decode(figure.frames[0].image.partition("base64,")[2]))
    drawn = draw(0.1).figure
    assert size == min(len(frames.encode(drawn, kind)) for kind in frames.kinds())


def test_figures_are_closed() -> None:
    import matplotlib.pyplot as plt

    def open_figure(k: int) -> Any:
        _, axes = plt.subplots(figsize=(1, 1))
        return axes

    explore(open_figure, alt="empty", k=[1, 2])
    assert plt.get_fignums() == []


def test_outside_a_kernel_there_is_no_widget() -> None:
    bundle = explore(draw, alt="a line", rate=[0.1, 0.5])._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == "Figure with sliders (rate: 0.1, 0.5). a line (rate 0.1)"


def test_in_a_kernel_both_forms_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_in_kernel", lambda: True)
    bundle = explore(draw, alt="a line", rate=[0.1, 0.5])._repr_mimebundle_()
    assert "text/html" in bundle
    assert "model_id" in bundle["application/vnd.jupyter.widget-view+json"]


def test_the_live_form_draws_anew() -> None:
    drawn: list[float] = []

    def noted(rate: float) -> Any:
        drawn.append(rate)
        return draw(rate)

    figure = explore(noted, alt="a line", rate=[0.1, 0.5])
    drawn.clear()
    image, slider = figure.to_widget().children[:2]
    before = image.value
    slider.value = 0.5
    assert drawn == [0.1, 0.5]
    assert image.value.startswith('<img src="data:image/png;base64,')
    assert image.value.partition("alt=")[0] != before.partition("alt=")[0]
    assert 'alt="a line (rate 0.5)"' in image.value


def test_the_live_form_has_a_caption_that_wraps() -> None:
    figure = explore(draw, alt="a line", caption="a < b", rate=[0.1, 0.5])
    caption = figure.to_widget().children[-1]
    assert type(caption).__name__ == "HTML"  # a Label cuts at the cell's edge
    assert "a &lt; b" in caption.value


GOOD: dict[str, Any] = {"draw": draw, "alt": "a line", "rate": [0.1, 0.5]}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"draw": 3}, TypeError, "draw is 3, expected a function"),
        ({"draw": lambda rate: None}, TypeError, "returned None, expected a figure"),
        ({"alt": " "}, ValueError, "expected text that says what is to be seen"),
        ({"alt": "at {eta}"}, ValueError, r"alt names \['eta'\], expected only \['rate'\]"),
        ({"rate": "slow"}, TypeError, "rate is 'slow', expected the slider's values"),
        ({"rate": 3}, TypeError, "rate is 3, expected the slider's values"),
        ({"rate": [1]}, ValueError, r"rate has 1 value\(s\), expected two or more"),
        ({"rate": [1, 1]}, ValueError, "expected values that differ"),
        ({"rate": list(range(31))}, ValueError, "31 = 31 frames, expected at most 30"),
        (
            {"rate": list(range(6)), "steps": list(range(6))},
            ValueError,
            "6 × 6 = 36 frames, expected at most 30",
        ),
        ({"initial": {"rate": 7}}, ValueError, "initial has rate=7, expected one of"),
        ({"initial": {"eta": 0.1}}, ValueError, "initial names 'eta', expected one of"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        explore(**(GOOD | change))


def test_a_figure_needs_a_slider() -> None:
    with pytest.raises(ValueError, match="no slider"):
        explore(draw, alt="a line")


def test_frames_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"measures \(2.0, 1.0\) inches, expected \(1.0, 1.0\)"):
        explore(lambda k: Figure(figsize=(k, 1)), alt="empty", k=[1, 2])


def test_a_figure_that_is_too_large_is_refused() -> None:
    noise = onp.random.default_rng(0).random((2, 400, 400, 3))

    def noisy(k: int) -> Figure:
        figure = Figure(figsize=(6, 6))
        figure.add_axes((0, 0, 1, 1)).imshow(noise[k], interpolation="nearest")
        return figure

    with pytest.raises(ValueError, match=r"takes \d+ kB on the page, expected at most 800 kB"):
        explore(noisy, alt="noise", k=[0, 1])
