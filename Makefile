# Every target sets up what it needs: a .venv of its own, and nothing outside of this folder.
# Another Python: make test PYTHON=python3.13

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CODE := streamflow operators state examples bench tests

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(READY) ## a year of flights through a topology with two workers, live, then checked (about two minutes)
	@$(BIN)/python -m examples.flights.demo

.PHONY: test
test: $(READY) ## all tests, two at a time (N=auto or another number; ARGS="-k window" for some of them)
	@$(BIN)/python -m pytest -n $(or $(N),2) --dist loadfile $(ARGS)

.PHONY: lint
lint: $(READY) ## ruff, mypy --strict and basedpyright
	@echo "ruff check";          $(BIN)/ruff check --quiet $(CODE)
	@echo "ruff format --check"; $(BIN)/ruff format --quiet --check $(CODE) || { echo "$(BIN)/ruff format puts these in order"; exit 1; }
	@echo "mypy --strict";       $(BIN)/mypy --no-error-summary
	@echo "basedpyright";        $(BIN)/basedpyright

.PHONY: bench
bench: $(READY) ## the benchmark, compared with the last recorded run (ARGS="--record" keeps it, "--help" tells more)
	@$(BIN)/python -m bench $(ARGS)

.PHONY: kill-kafka
kill-kafka: $(READY) ## KILLS=100 kills of workers and BROKER_KILLS=20 of brokers in a Kafka cluster of three
	@STREAMFLOW_KILLS=$(or $(KILLS),100) STREAMFLOW_BROKER_KILLS=$(or $(BROKER_KILLS),20) $(BIN)/python -m pytest -s -n0 tests/kafka/test_kill.py

.PHONY: kafka
kafka: $(READY) ## a Kafka broker to play with, on port 9092 (PORT=...), until Ctrl-C
	@$(BIN)/python -m tests.kafka.broker $(or $(PORT),9092)

.PHONY: simulate
simulate: $(READY) ## SEEDS=20000 runs of whole workers in simulated time, with faults at every step
	@$(BIN)/python -m tests.simulation $(or $(SEEDS),20000)

.PHONY: mutants
mutants: $(READY) ## break the protocol on purpose, one rule at a time: each must be noticed
	@$(BIN)/python -m tests.simulation.mutants

.PHONY: clean
clean: ## remove .venv, caches and what the demo left
	@rm -rf $(VENV) .cache .streamflow build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Done anew when pyproject.toml changes. The stamp is written last, so an interrupted install is begun again.
$(READY): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not here; install it ('apt-get install python3 python3-venv') or name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) -V); streamflow needs 3.11 or newer ('apt-get install python3.11-venv'): make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv; bring it with 'apt-get install python3-venv'"; exit 1; }
	@printf 'setting up .venv (once, a minute or two):'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -e '.[dev]' \
	  | awk '/^Collecting/ {split($$2, name, /[<>=!~;\[(]/); printf " %s", name[1]; fflush()} END {print ""}'
	@touch $@
