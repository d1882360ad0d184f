"""The examples with PyTorch and JAX print what the page about them shows.

Each runs where its framework is installed, as in the environment of the benchmarks.
"""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import Printed

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
FRAMEWORKS = {"with_pytorch": "torch", "with_jax": "jax"}

RUN = """
import runpy, sys
runpy.run_path(sys.argv[1], run_name="__main__")
if "mxnet" in sys.modules:
    sys.exit("the example imported MXNet")
"""


@pytest.fixture(scope="module", params=FRAMEWORKS)
def printed(request, tmp_path_factory):
    """The name of an example, and what it prints."""
    name, framework = request.param, FRAMEWORKS[request.param]
    if find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(EXAMPLES / f"{name}.py")],
        cwd=tmp_path_factory.mktemp(name),
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return name, done.stdout


def stable(text):
    """Leave out what rounding decides: the step, the error in float32, and which slope is worst."""
    text = re.sub(r"; h [\d.e-]+|(?<=relative error is )[\d.e-]+", "", text)
    text = re.sub(r"^(\S+ .* 8\.3e-01) .*$", r"\1", text, flags=re.M)
    return re.sub(r"at \S+\[[\d, ]+\] it is \S+ by differences \S+", "", " ".join(text.split()))


def test_it_prints_what_the_page_shows(printed):
    name, text = printed
    committed = (EXAMPLES / "output" / f"{name}.txt").read_text(encoding="utf-8")
    way = f"python examples/{name}.py > examples/output/{name}.txt"
    assert Printed(stable(text)) == stable(committed), f"look whether it is right, then {way}"


# Where the planted error is, and how far the slopes are off. Six examples are looked at: in one
# network a bias's slope is averaged over them, in the other the loss's is not.
PLANTED = {
    "with_pytorch": (["0.bias"], 1 / 6),
    "with_jax": (["hidden.bias", "hidden.weight", "out.bias", "out.weight"], 6),
}


def test_the_planted_error_is_found_and_no_other(printed):
    name, text = printed
    right, mistaken = re.split(r"^check_gradients: ", text.split("float32:")[0], flags=re.M)[1:]
    assert right.startswith("passed, happy")
    assert "error: " not in right
    assert mistaken.startswith("not passed, wrong")
    places, ratio = PLANTED[name]
    message = " ".join(mistaken.split())
    assert re.search(r"the gradient is wrong in (.+?): at", message)[1].split(", ") == places
    assert float(re.search(r"every wrong slope is (\S+) times", message)[1]) == pytest.approx(
        ratio, rel=1e-3
    )
    found = re.findall(r"^(\w+\.\w+) .* 8\.3e-01 ", mistaken, flags=re.M)  # 1 − 1/6
    assert found == places


def test_float32_is_ten_thousand_times_less_exact(printed):
    assert float(re.search(r"float32: the worst relative error is (\S+)", printed[1])[1]) > 1e-5


def test_the_comparison_is_decided_by_its_interval(printed):
    name, text = printed
    arms = re.findall(r"^(\w+) +([\d.]+) %  \[([\d.]+), ([\d.]+)\]  n=8$", text, flags=re.M)
    assert all(float(low) < float(mean) < float(high) for _, mean, low, high in arms)
    errors = {arm: float(mean) for arm, mean, _, _ in arms}
    low, high = map(float, re.search(r"interval (\S+) to ([-\d.]+)%; 8 seeds", text).groups())
    if name == "with_pytorch":
        assert errors["momentum"] < errors["plain"] - 0.5
        assert high < -0.5  # errors fall
        assert "momentum better than plain: confirmed" in text
    else:
        assert abs(errors["adam"] - errors["momentum"]) < 1
        assert -1 < low < high < 1
        assert "adam equal to momentum: confirmed" in text


def test_the_temperature_makes_the_confidence_fit(printed):
    found = re.findall(r"^temperature (\S+): .* calibration error (\S+)\)$", printed[1], flags=re.M)
    (one, before), (temperature, after) = [(float(t), float(error)) for t, error in found]
    assert one == 1 < temperature  # both networks are too sure of themselves
    assert after < 0.7 * before
