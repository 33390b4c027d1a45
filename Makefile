# Two commands are enough on a fresh machine: `make search` does the main job, `make test` passes the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# 2.13.0 is the version everything was tested with; pip takes a CPU build of it where it finds one
TORCH ?= torch==2.13.0
BUDGET_MS ?= 30
PEERS_VENV ?= .venv-peers
# more flags of pytest, such as "-n 2 --dist loadfile" for two processes
PYTEST_FLAGS ?=
DEPLOY_VENVS ?= .venv-deploy

.PHONY: setup search test test-all check format peers deploy-peers

setup: $(VENV)/.done

$(VENV)/.done: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q "$(TORCH)"
	$(BIN)/python -m pip install -q -e ".[dev]"
	touch $@

# the environment of benchmarks/peers: torchvision stays out of the project's own
peers: $(PEERS_VENV)/.done

$(PEERS_VENV)/.done: pyproject.toml benchmarks/peers/requirements.txt benchmarks/peers/requirements-no-deps.txt
	$(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip install -q "$(TORCH)"
	$(PEERS_VENV)/bin/python -m pip install -q -e ".[pretrained]" -r benchmarks/peers/requirements.txt
	$(PEERS_VENV)/bin/python -m pip install -q --no-deps -r benchmarks/peers/requirements-no-deps.txt
	touch $@

# the environments of benchmarks/deploy: older runtimes want older libraries, so each has one of its own
deploy-peers: $(patsubst benchmarks/deploy/requirements-%.txt,$(DEPLOY_VENVS)/%/.done,$(wildcard benchmarks/deploy/requirements-*.txt))

$(DEPLOY_VENVS)/%/.done: benchmarks/deploy/requirements-%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install -q -r $<
	touch $@

search: setup
	$(BIN)/python -m nas.search --budget-ms $(BUDGET_MS) --resume

test: setup
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

test-all: setup
	$(BIN)/python -m pytest $(PYTEST_FLAGS) -m "slow or not slow"

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
