# Everything that the book needs is made from here, on any Python from 3.10 to 3.14:
# `make` alone lists what there is. To choose the interpreter: make book PYTHON=/path/to/python

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON_CANDIDATES := python3 python3.13 python3.12 python3.11 python3.14 python3.10 python
WORKERS ?= 2
PORT ?= 8000
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-input

# Sets the shell's variable `found` to the first Python of a list that fits, or says what to do.
FITS := import ctypes, ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))
define FIND_PYTHON
found=; \
for candidate in $(or $(PYTHON),$(PYTHON_CANDIDATES)); do \
  if $$candidate -c '$(FITS)' 2>/dev/null; then found=$$candidate; break; fi; \
done; \
if [ -z "$$found" ]; then \
  echo "nnbook needs a Python from 3.10 to 3.14 with its venv module. None was found among:" \
    "$(or $(PYTHON),$(PYTHON_CANDIDATES))." >&2; \
  echo "Install one (Debian: apt-get install python3 python3-venv), or name it:" \
    "make $(or $(MAKECMDGOALS),book) PYTHON=/path/to/python3.13" >&2; \
  exit 1; \
fi
endef

BOOK := $(BIN)/jupyter-book build . -W -n --keep-going -q
PYTEST := $(BIN)/python -m pytest
# One report for the unit tests, the site's and the notebooks'; a file or notebook stays together.
ALL_TESTS := --nbval tests chapters -n $(WORKERS) --dist loadscope
NOTEBOOKS ?=
LAB_OPTIONS ?=
# A long study is a script beside its chapter; it writes the data file that the chapter reads.
LONG_STUDIES ?= $(sort $(wildcard chapters/long_*.py chapters/*/long_*.py))
BENCHMARKS ?= $(sort $(wildcard benchmarks/bench_*.py))
# What tests the core, where there is no MXNet.
CORE := arguments claims core data_sets distributed ensemble_diversity experiments explore explore_grid objective \
  optional plots plots_grids plots_monitors pretraining problems quadmath schedules search_plots search_results \
  search_space tape
CORE_TESTS ?= $(wildcard $(CORE:%=tests/test_%.py))
CORE_TOOLS := hypothesis ipywidgets packaging pytest pytest-xdist pyyaml scikit-learn

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env book test lab serve run run-long lint format lock bench clean
.PHONY: test-oldest test-versions test-core frameworks reseed

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The lock is complete, so pip need not look for dependencies: it would find that MXNet asks for an
# older NumPy than it can work with. The copy of the lock is written last: an environment without it
# was not finished, and one with another copy is out of date. Both are made anew.
env: $(VENV)/.project-stamp ## the virtual environment, from requirements.lock

$(VENV)/.lock: requirements.lock
	@if cmp -s requirements.lock $@; then touch $@; exit 0; fi; \
	if [ "$$(uname -s) $$(uname -m)" = "Darwin arm64" ]; then \
	  echo "There is no MXNet wheel for Apple silicon: use the Dockerfile (see README.md)." >&2; \
	  exit 1; \
	fi; \
	$(FIND_PYTHON); \
	if [ "$$(uname -s)" = Linux ] \
	  && ! $$found -c 'import ctypes; ctypes.CDLL("libgomp.so.1")' 2>/dev/null; then \
	  echo "MXNet needs libgomp.so.1, the GNU OpenMP library, and this machine does not have it." >&2; \
	  echo "Run: apt-get install libgomp1  or your system's equivalent." >&2; \
	  exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$found --version) from requirements.lock"; \
	rm -rf $(VENV) && $$found -m venv $(VENV) \
	  && $(BIN)/python $(PIP_INSTALL) --no-deps --require-hashes -r requirements.lock \
	  && cp requirements.lock $@

$(VENV)/.project-stamp: $(VENV)/.lock pyproject.toml
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable . && touch $@

book: env ## build the site into _build/html
	$(BOOK)

test: env lint book ## run every test: the package, the site, the notebooks
	$(PYTEST) $(ALL_TESTS)

lint: env ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: env ## put the code into its style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lab: env ## open a copy of the chapters, _lab, in JupyterLab (LAB_OPTIONS=... for jupyter lab)
	$(BIN)/python tools/lab.py $(LAB_OPTIONS)

serve: book ## serve the built site on this machine
	@echo "The book is at http://localhost:$(PORT)/ until you press Ctrl-C."
	@$(BIN)/python -m http.server $(PORT) --bind localhost --directory _build/html

run: env ## execute the notebooks in place (NOTEBOOKS=... for some of them)
	$(BIN)/python tools/notebooks.py $(NOTEBOOKS)

run-long: env ## recompute the long studies into their data files
	@for study in $(LONG_STUDIES); do \
	  echo "$$study"; $(BIN)/python $$study || exit 1; \
	done
	@$(if $(LONG_STUDIES),,echo "No chapter has a long study.")

reseed: env ## run every notebook with other seeds, and say which verdicts change
	$(BIN)/python tools/reseed.py --workers $(WORKERS) $(NOTEBOOKS)

# The tools that resolve versions get an environment of their own.
.venv-uv/.stamp: $(VENV)/.lock
	@rm -rf .venv-uv && $(BIN)/python -m venv .venv-uv \
	  && .venv-uv/bin/python $(PIP_INSTALL) uv && touch $@

# The printed numbers were made on NumPy 1, so it stays where it has wheels. The versions for
# Python 3.13 and later are the first with wheels for all of those.
LOCK_CONSTRAINTS := \
  'numpy<2; python_version < "3.13"' \
  'numpy>=2.3.2; python_version >= "3.13"' \
  'scikit-learn>=1.8; python_version >= "3.13"' \
  'contourpy>=1.3.3; python_version >= "3.13"'

lock: .venv-uv/.stamp ## resolve pyproject.toml into requirements.lock
	@printf '%s\n' $(LOCK_CONSTRAINTS) > .venv-uv/constraints.txt
	@echo 'mxnet==1.9.1' > .venv-uv/mxnet.txt # the extra leaves it out on Python 3.13 and later
	.venv-uv/bin/uv pip compile pyproject.toml .venv-uv/mxnet.txt -c .venv-uv/constraints.txt \
	  --quiet --upgrade --universal --fork-strategy fewest --python-version 3.10 \
	  --no-python-downloads --extra all --extra test --generate-hashes \
	  --no-header --no-emit-index-url -o requirements.lock

# The dependencies of the package in their oldest versions allowed, the test tools as usual.
PYENV_310 := $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.10.*/bin/python)
.venv-oldest/.stamp: pyproject.toml .venv-uv/.stamp
	@oldest=; \
	for candidate in $(or $(PYTHON),python3.10 $(PYTHON_CANDIDATES) $(PYENV_310)); do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' 2>/dev/null; then \
	    oldest=$$candidate; break; \
	  fi; \
	done; \
	if [ -z "$$oldest" ]; then \
	  echo "make test-oldest needs Python 3.10: make test-oldest PYTHON=/path/to/python3.10" >&2; \
	  exit 1; \
	fi; \
	rm -rf .venv-oldest && $$oldest -m venv .venv-oldest \
	  && .venv-uv/bin/uv pip compile pyproject.toml --quiet --resolution lowest-direct \
	    --python .venv-oldest/bin/python --extra cpu --extra plots --extra search \
	    -o .venv-oldest/oldest.txt \
	  && .venv-uv/bin/uv pip install --quiet --python .venv-oldest/bin/python \
	    -c .venv-oldest/oldest.txt --editable '.[cpu,test]' \
	  && touch $@

test-oldest: .venv-oldest/.stamp ## the tests on Python 3.10 with the oldest versions allowed
	.venv-oldest/bin/python -m pytest tests --ignore tests/site -n $(WORKERS) --dist loadscope

test-versions: env ## the unit tests on every Python from 3.10 to 3.14 that is found
	$(BIN)/python tools/versions.py --workers $(WORKERS)

# The core without MXNet, on NumPy 2.
.venv-core/.stamp: pyproject.toml
	@$(FIND_PYTHON); \
	echo "Making .venv-core with $$($$found --version)"; \
	rm -rf .venv-core && $$found -m venv .venv-core \
	  && .venv-core/bin/python $(PIP_INSTALL) --editable '.[plots,search]' 'numpy>=2' $(CORE_TOOLS) \
	  && touch $@

test-core: .venv-core/.stamp ## the tests of what needs no MXNet, without it and with NumPy 2
	.venv-core/bin/python -m pytest $(CORE_TESTS) -n $(WORKERS) --dist loadscope

# PyTorch, JAX and scikit-learn, which the book is measured against, live apart from it.
.venv-bench/.stamp: benchmarks/requirements.txt | $(VENV)/.lock
	@rm -rf .venv-bench && $(BIN)/python -m venv .venv-bench \
	  && .venv-bench/bin/python $(PIP_INSTALL) -r benchmarks/requirements.txt && touch $@

frameworks: .venv-bench/.stamp ## the examples with PyTorch and JAX, and what they print
	.venv-bench/bin/python -m pytest --noconftest -p no:cacheprovider tests/test_with_frameworks.py

bench: env .venv-bench/.stamp ## run the benchmarks; they are not tests
	@for benchmark in $(BENCHMARKS); do \
	  echo "$$benchmark"; $(BIN)/python $$benchmark || exit 1; \
	done

clean: ## remove what was built, the environments included
	rm -rf _build dist .venv-* $(VENV)
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .jupyter_cache
