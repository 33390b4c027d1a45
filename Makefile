# Two commands are enough on a fresh machine: `make search` does the main job, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# 2.13.0 is the version everything was tested with; pip takes a CPU build of it where it finds one
TORCH ?= torch==2.13.0
BUDGET_MS ?= 30

.PHONY: setup search test test-all check format

setup: $(VENV)/.done

$(VENV)/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q "$(TORCH)"
	$(BIN)/python -m pip install -q -e ".[dev]"
	touch $@

search: setup
	$(BIN)/python -m nas.search --budget-ms $(BUDGET_MS) --resume

test: setup
	$(BIN)/python -m pytest

test-all: setup
	$(BIN)/python -m pytest -m "slow or not slow"

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
