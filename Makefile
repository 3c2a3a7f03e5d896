# Each target sets up what it needs in .venv, once; a second call starts at once.
#   make run ARGS="policy=linucb horizon=100"     make test PYTEST_ARGS="-k lattice"

PYTHON ?= python3
JOBS ?= 2
ARGS ?=
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile
PIP := $(BIN)/python -m pip install -qq --no-input --disable-pip-version-check --progress-bar off
DEV_STAMP := $(VENV)/.installed-dev
CORE_STAMP := $(VENV)/.installed-core

.DEFAULT_GOAL := help
.PHONY: run test check clean help

help:
	@echo "make run     the vetting run; ARGS=\"experiment=benchmark\" is passed on"
	@echo "make test    the whole test suite: doctests, lint and types included"
	@echo "make check   what should pass before a commit: format, lint, types, quick tests"
	@echo "make clean   remove .venv, caches and outputs"

run: $(CORE_STAMP)
	@$(BIN)/python -m experiments.run $(ARGS)

test: $(DEV_STAMP)
	@$(PYTEST) $(PYTEST_ARGS)

check: $(DEV_STAMP)
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(PYTEST) -m "not slow" $(PYTEST_ARGS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Guardband needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1 || true)." \
	       "Name another: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(CORE_STAMP): requirements/core.txt pyproject.toml | $(BIN)/python
	@echo "Installing pinned packages into $(VENV) (once, about a minute)"
	@$(PIP) --require-hashes -r requirements/core.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# The development pins hold the core pins, so they serve `make run` too.
$(DEV_STAMP): requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "Installing pinned packages and test tools into $(VENV) (once, about a minute)"
	@$(PIP) --require-hashes -r requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $(CORE_STAMP) $@

clean:
	rm -rf $(VENV) outputs multirun .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
