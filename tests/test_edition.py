"""What a public edition needs: the CI file, the forms, the citation, links, and the examples."""

import ast
import importlib
import os
import re
import statistics
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from scipy import stats

import nnbook

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
GITHUB = ROOT / ".github"
FORMS = sorted(
    path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"
)
# Those with another framework are run where it is: tests/test_with_frameworks.py.
EXAMPLES = sorted(
    path for path in (ROOT / "examples").glob("*.py") if not path.stem.startswith("with_")
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


# -------------------------------------------------------------------- continuous integration


@pytest.fixture(scope="module")
def workflow():
    return load(GITHUB / "workflows" / "test.yml")


def steps_of(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_matrix_is_the_pythons_of_the_package(workflow):
    named = [c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if re.search(r"3\.\d+$", c)]
    assert named[-1] == "3.14"
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == named


def test_the_matrix_decides_with_which_python_the_tests_run(workflow):
    steps = workflow["jobs"]["test"]["steps"]
    (setup,) = [step for step in steps if step.get("uses", "").startswith("actions/setup-python@")]
    assert setup["with"]["python-version"] == "${{ matrix.python }}"
    (run,) = [step for step in steps if "run" in step]
    assert run["env"]["PYTHON"] == "python${{ matrix.python }}"
    assert "$(or $(PYTHON)," in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_command_of_the_workflow_exists(workflow):
    commands = [step["run"] for step in steps_of(workflow) if "run" in step]
    assert sorted(commands) == [".ci/run", "make book", "make test-core"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert {"book", "test-core"} <= TARGETS


def test_every_action_is_pinned_and_no_step_does_nothing(workflow):
    for step in steps_of(workflow):
        assert ("run" in step) != ("uses" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@(v\d+(\.\d+)*|[0-9a-f]{40})", step["uses"])


def test_only_publishing_may_write_and_only_from_main(workflow):
    events = workflow[True]  # the key `on`, as YAML 1.1 reads it
    assert set(events) == {"push", "pull_request", "workflow_dispatch"}
    assert workflow["permissions"] == {"contents": "read"}
    may = {
        name: job["permissions"] for name, job in workflow["jobs"].items() if job.get("permissions")
    }
    assert may == {"publish": {"pages": "write", "id-token": "write"}}
    publish = workflow["jobs"]["publish"]
    assert "github.ref == 'refs/heads/main'" in publish["if"]
    assert set(publish["needs"]) == set(workflow["jobs"]) - {"publish"}
    for step in steps_of(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_no_run_is_superfluous_or_endless(workflow):
    assert "github.ref" in workflow["concurrency"]["group"]
    assert all(0 < job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())


def test_the_book_that_is_uploaded_is_the_one_that_is_built(workflow):
    steps = workflow["jobs"]["book"]["steps"]
    uploads = [step for step in steps if "/upload-" in step.get("uses", "")]
    assert len(uploads) == 2
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"build the site into {step['with']['path']}" in makefile for step in uploads)
    (build,) = [step for step in steps if "run" in step]
    site = (ROOT / "_ext" / "nnbook_site.py").read_text(encoding="utf-8")
    names = set(build["env"]) - {"PYTHON"}
    assert names
    assert all(f'"{name}"' in site for name in names)


# --------------------------------------------------------------------------------- the forms


def test_there_is_a_form_for_each_kind_of_report():
    assert {path.stem for path in FORMS} == {
        "a_verdict_did_not_reproduce",
        "bug",
        "mistake_in_the_book",
    }
    assert load(GITHUB / "ISSUE_TEMPLATE" / "config.yml") == {"blank_issues_enabled": True}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_an_issue_form_must_have(path):
    form = load(path)
    assert set(form) == {"name", "description", "title", "labels", "body"}
    assert all(isinstance(form[key], str) and form[key].strip() for key in ("name", "description"))
    ids, labels = [], []
    for element in form["body"]:
        attributes = element["attributes"]
        if element["type"] == "markdown":
            assert set(element) == {"type", "attributes"}
            assert attributes["value"].strip()
            continue
        assert element["type"] in {"input", "textarea", "dropdown"}
        assert set(element) <= {"type", "id", "attributes", "validations"}
        assert re.fullmatch(r"[a-z_-]+", element["id"])
        allowed = {"label", "description", "placeholder", "render", "options"}
        assert set(attributes) <= allowed
        if element["type"] == "dropdown":
            options = attributes["options"]
            assert len(set(options)) == len(options) >= 2
            assert all(isinstance(option, str) for option in options)
        ids.append(element["id"])
        labels.append(attributes["label"])
    assert len(set(ids)) == len(ids)
    assert len(set(labels)) == len(labels)
    assert any(e.get("validations", {}).get("required") is True for e in form["body"])


def test_what_the_forms_ask_for_exists():
    paths = [*FORMS, GITHUB / "pull_request_template.md", ROOT / "chapters" / "errata.md"]
    written = set()
    for path in paths:
        text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = re.sub(r"\{\w+(:\w)?\}`[^`]+`", "", text)  # references
        written |= set(re.findall(r"`([^`]+)`", text))
    commands = {w for w in written if " " in w}
    assert commands == {"python -m nnbook doctor", "make test", "make run"}
    assert {"test", "run"} <= TARGETS
    assert {w for w in written if w.endswith(".md")} == {"CHANGELOG.md", "CONTRIBUTING.md"}
    claims = {claim["id"] for claim in load(ROOT / "chapters" / "claims.yml")}
    named = {
        c for p in paths for c in re.findall(r"\bC\d{3}[a-z]?\b", p.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= claims


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_relative_links_lead_somewhere_and_pictures_have_a_text(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"(!?)\[([^\]]*)\]\(([^)#\s]+)[^)]*\)", text)
    wrong = [t for _, _, t in links if not t.startswith("http") and not (ROOT / t).exists()]
    assert not wrong
    assert [target for bang, alt, target in links if bang and len(alt) < 20] == []


def test_the_readme_counts_the_chapters_and_the_verdicts():
    claims = load(ROOT / "chapters" / "claims.yml")
    words = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    found = re.search(r"has (\w+) chapters \((.+?)\) and (\d+) verdicts", words)
    number, named, verdicts = found.groups()
    chapters = {claim["chapter"] for claim in claims}
    assert (
        len(chapters)
        == len(named.split(","))
        == {"nine": 9, "ten": 10, "eleven": 11, "twelve": 12}[number]
    )
    assert int(verdicts) == len(claims)


def test_the_picture_is_small():
    content = (GITHUB / "readme.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert width <= 1200
    assert height <= 1000
    assert len(content) < 200_000


# ------------------------------------------------------------------------------ the citation

# The keys of the schema of the Citation File Format 1.2.0.
CFF_REQUIRED = {"cff-version", "message", "title", "authors"}
CFF_KEYS = CFF_REQUIRED | {
    "abstract", "commit", "contact", "date-released", "doi", "identifiers", "keywords", "license",
    "license-url", "preferred-citation", "references", "repository", "repository-artifact",
    "repository-code", "type", "url", "version",
}  # fmt: skip


def test_the_citation_is_one():
    citation = load(ROOT / "CITATION.cff")
    assert CFF_REQUIRED <= set(citation) <= CFF_KEYS
    assert citation["type"] == "software"
    for key in ("cff-version", "message", "title", "abstract", "version"):
        assert isinstance(citation[key], str), f"{key} needs quotes"
    assert citation["version"] == nnbook.__version__
    assert citation["license"] in PROJECT["license"].split(" AND ")
    assert all(set(author) == {"name"} for author in citation["authors"])
    assert len(set(citation["keywords"])) == len(citation["keywords"]) > 0


def test_the_date_of_the_citation_is_that_of_the_release():
    citation = load(ROOT / "CITATION.cff")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.search(rf"^## \[{re.escape(nnbook.__version__)}\] - (\S+)$", changelog, re.M)
    dated = str(citation["date-released"]) if "date-released" in citation else None
    assert dated == (released[1] if released else None)


# ------------------------------------------------------------------------------ the examples


def run(name, folder):
    """Run an example as its reader would; isolated, so that only what is installed is found."""
    done = subprocess.run(
        [sys.executable, "-I", str(ROOT / "examples" / f"{name}.py")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def decimals(line):
    return [float(number) for number in re.findall(r"\d+\.\d+(?:e[-+]\d+)?", line)]


def test_an_isolated_run_finds_the_installed_package_and_nothing_beside_it(tmp_path):
    (tmp_path / "nnbook.py").write_text("raise ImportError('of the working folder')\n")
    code = "import sys, nnbook; print(nnbook.__version__, '' in sys.path)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == (f"{nnbook.__version__} False\n", "")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_uses_only_what_is_public(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    used = set()
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "nnbook":
            modules |= {alias.name: f"nnbook.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("nnbook."):
            used |= {(node.module, alias.name) for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_") or node.attr == "__init__"
            if isinstance(node.value, ast.Name) and node.value.id in modules:
                used.add((modules[node.value.id], node.attr))
    assert used
    for module, name in used:
        found = importlib.import_module(module)
        given = {"mx", "np", "npx"} if module == "nnbook.runtime" else set()
        assert name in given | set(found.__all__), f"{module}.{name}"


def test_the_check_of_gradients_finds_the_planted_mistake_and_no_other(tmp_path):
    right, mistaken = run("check_my_gradients", tmp_path).split("np.var\n")
    assert right.startswith("mean of squares\ncheck_gradients: passed, happy")
    assert "error" not in right.replace("relative error", "")
    assert mistaken.startswith("check_gradients: not passed, wrong")
    assert re.findall(r"the gradient is wrong in ([^:]+):", mistaken) == ["0.weight"]
    assert list(tmp_path.iterdir()) == []


def test_runs_of_a_table_are_compared_outside_the_book(tmp_path):
    lines = run("compare_runs", tmp_path).splitlines()
    assert lines[0] == "momentum beats Adam by 0.1 confirmed"
    adam = [5.61, 5.80, 5.72, 5.55, 5.93, 5.66, 5.70, 5.84]
    momentum = [5.48, 5.55, 5.61, 5.30, 5.52, 5.49, 5.38, 5.66]
    test = stats.ttest_rel(momentum, adam)
    ends = test.confidence_interval(0.95)
    by_scipy = [statistics.mean(momentum) - statistics.mean(adam), ends.low, ends.high]
    assert decimals(lines[1])[:3] == pytest.approx([-number for number in by_scipy], abs=6e-4)
    assert lines[3] == "momentum beats Adam by 0.5 refuted: too small to matter"
    assert "the check works open" in lines
    assert "7 of 8 (a share of 0.875, 95 % interval 0.473 to 0.997" in lines[-2]
    assert list(tmp_path.iterdir()) == []


def test_the_search_goes_on_where_it_was(tmp_path):
    first = run("search", tmp_path).splitlines()
    assert first[0] == "24 networks trained now, 24 results on disk; the best three:"
    assert [path.name for path in tmp_path.iterdir()] == ["search.journal"]
    errors = [decimals(line)[0] for line in first[1:]]
    assert len(errors) == 3
    assert errors == sorted(errors)
    assert errors[0] < 10  # in per cent; guessing among three arms has 67
    journal = tmp_path / "search.journal"
    half = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(half[: len(half) // 2]))  # as if it had been stopped there
    again = run("search", tmp_path).splitlines()
    trained = int(again[0].split()[0])
    assert 0 < trained < 24
    assert again[0].endswith("24 results on disk; the best three:")
    assert again[1:] == first[1:]


def test_the_shared_gradient_trains_and_leaves_a_checkpoint(tmp_path):
    reason, last, length = run("data_parallel", tmp_path).splitlines()
    assert reason.endswith("gradients of 2 processes")
    loss, error = decimals(last)
    assert last.startswith("epoch 30: loss")
    assert loss < 0.5
    assert error < 20  # in per cent; guessing among three arms has 67
    assert decimals(length)[0] > 1
    assert any(path.name == "data_parallel.checkpoint" for path in tmp_path.iterdir())


def test_the_schedule_helps_in_the_example(tmp_path):
    lines = run("schedule", tmp_path).splitlines()
    constant, cosine, warmed, quarters, valley = map(decimals, lines)
    assert [len(constant), len(cosine), len(warmed)] == [4, 4, 4]
    assert max(sum(cosine), sum(warmed)) < sum(constant)
    assert quarters == [0.854, 0.5, 0.146]
    assert valley[-1] < 0.1
    assert list(tmp_path.iterdir()) == []


def test_the_ensemble_is_better_than_its_members(tmp_path):
    lines = run("ensemble", tmp_path).splitlines()
    sizes = [int(line.split()[0]) for line in lines[:4]]
    assert sizes == [1, 2, 4, 8]
    scores = [decimals(line) for line in lines[:4]]
    losses = [loss for _, loss, _ in scores]
    assert losses == sorted(losses, reverse=True)
    _, best_alone = decimals(lines[4])
    assert scores[3][0] > best_alone
    assert 5 < decimals(lines[5])[0] < 30
    assert lines[6].endswith("the same answers: True")
    assert [path.name for path in tmp_path.iterdir()] == ["ensemble.params"]


def test_every_example_is_run_by_a_test():
    text = Path(__file__).read_text(encoding="utf-8")
    assert {path.stem for path in EXAMPLES} == set(re.findall(r'\brun\("(\w+)"', text))
