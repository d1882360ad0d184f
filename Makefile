# Everything that the book needs is made from here, on Python 3.10, 3.11 or 3.12:
# `make` alone lists what there is. To choose the interpreter: make book PYTHON=/path/to/python

VENV ?= .venv
BIN := $(VENV)/bin
PYTHON_CANDIDATES := python3.11 python3.12 python3.10 python3 python
WORKERS ?= 2
PORT ?= 8000
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-input

BOOK := $(BIN)/jupyter-book build . -W -n --keep-going
PYTEST := $(BIN)/python -m pytest
# One report for the unit tests, the site's and the notebooks'; a file or notebook stays together.
ALL_TESTS := --nbval tests chapters -n $(WORKERS) --dist loadscope
NOTEBOOKS ?=
# A long study is a script beside its chapter; it writes the data file that the chapter reads.
LONG_STUDIES ?= $(sort $(wildcard chapters/long_*.py chapters/*/long_*.py))
BENCHMARKS ?= $(sort $(wildcard benchmarks/bench_*.py))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env book test lab serve run run-long lint format lock bench test-oldest clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The copy of the lock is written last: an environment without it was not finished, and one with
# another copy is out of date. Both are made anew.
env: $(VENV)/.project-stamp ## the virtual environment, from requirements.lock

$(VENV)/.lock: requirements.lock
	@if cmp -s requirements.lock $@; then touch $@; exit 0; fi; \
	if [ "$$(uname -s) $$(uname -m)" = "Darwin arm64" ]; then \
	  echo "There is no MXNet wheel for Apple silicon: use the Dockerfile (see README.md)." >&2; \
	  exit 1; \
	fi; \
	found=; \
	for candidate in $(or $(PYTHON),$(PYTHON_CANDIDATES)); do \
	  if $$candidate -c 'import ensurepip, sys, venv; \
	sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then \
	    found=$$candidate; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "nnbook needs Python 3.10, 3.11 or 3.12 with its venv module. None was found among:" \
	    "$(or $(PYTHON),$(PYTHON_CANDIDATES))." >&2; \
	  echo "Install one (Debian: apt-get install python3 python3-venv), or name it:" \
	    "make $(or $(MAKECMDGOALS),book) PYTHON=/path/to/python3.11" >&2; \
	  exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$found --version) from requirements.lock"; \
	rm -rf $(VENV) && $$found -m venv $(VENV) \
	  && $(BIN)/python $(PIP_INSTALL) --require-hashes -r requirements.lock \
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

lab: env ## open the chapters in JupyterLab
	$(BIN)/jupyter lab --notebook-dir chapters

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

# The tools that resolve versions get an environment of their own.
.venv-uv/.stamp: $(VENV)/.lock
	@rm -rf .venv-uv && $(BIN)/python -m venv .venv-uv \
	  && .venv-uv/bin/python $(PIP_INSTALL) uv && touch $@

lock: .venv-uv/.stamp ## resolve pyproject.toml into requirements.lock
	.venv-uv/bin/uv pip compile pyproject.toml --quiet --upgrade --universal \
	  --fork-strategy fewest --python-version 3.10 --extra cpu --extra test --generate-hashes \
	  --no-header --no-emit-index-url -o requirements.lock

# The dependencies of the package in their oldest versions allowed, the test tools as usual.
.venv-oldest/.stamp: pyproject.toml .venv-uv/.stamp
	@oldest=; \
	for candidate in $(or $(PYTHON),python3.10 $(PYTHON_CANDIDATES)); do \
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
	    --python .venv-oldest/bin/python --extra cpu -o .venv-oldest/oldest.txt \
	  && .venv-uv/bin/uv pip install --quiet --python .venv-oldest/bin/python \
	    -c .venv-oldest/oldest.txt --editable '.[cpu,test]' \
	  && touch $@

test-oldest: .venv-oldest/.stamp ## the tests on Python 3.10 with the oldest versions allowed
	.venv-oldest/bin/python -m pytest tests --ignore tests/site -n $(WORKERS) --dist loadscope

# PyTorch, JAX and scikit-learn, which the book is measured against, live apart from it.
.venv-bench/.stamp: benchmarks/requirements.txt | $(VENV)/.lock
	@rm -rf .venv-bench && $(BIN)/python -m venv .venv-bench \
	  && .venv-bench/bin/python $(PIP_INSTALL) -r benchmarks/requirements.txt && touch $@

bench: env .venv-bench/.stamp ## run the benchmarks; they are not tests
	@for benchmark in $(BENCHMARKS); do \
	  echo "$$benchmark"; $(BIN)/python $$benchmark || exit 1; \
	done

clean: ## remove what was built, the environments included
	rm -rf _build dist .venv-uv .venv-oldest .venv-bench $(VENV)
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .jupyter_cache
