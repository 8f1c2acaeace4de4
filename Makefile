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
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(READY) ## a year of flights through a topology with two workers, live, then checked (about two minutes)
	@$(BIN)/python -m examples.flights.demo

.PHONY: demo-kafka
demo-kafka: $(READY) ## the same on a Kafka broker, started for it (needs Java 17 and Maven)
	@$(BIN)/python -m tests.kafka.broker -- $(BIN)/python -m examples.flights.demo --broker

.PHONY: orders
orders: $(READY) ## 10,000 orders through eight services that are killed meanwhile, then every topic checked (ARGS="--orders 1000")
	@$(BIN)/python -m examples.orders.demo $(ARGS)

.PHONY: shop
shop: $(READY) ## the same services to play with, with a page on port 8080, until Ctrl-C (ARGS="--broker kafka://localhost:9092")
	@$(BIN)/python -m examples.orders.system $(ARGS)

.PHONY: test
test: $(READY) ## all tests, two at a time (N=auto or another number; ARGS="-k window" for some of them)
	@$(BIN)/python -m pytest -n $(or $(N),2) --dist loadfile $(ARGS)

.PHONY: lint
lint: $(READY) ## ruff, mypy --strict and basedpyright
	@echo "ruff check";          $(BIN)/ruff check --quiet $(CODE)
	@echo "ruff format --check"; $(BIN)/ruff format --quiet --check $(CODE) || { echo "$(BIN)/ruff format puts these in order"; exit 1; }
	@echo "mypy --strict";       $(BIN)/mypy --no-error-summary
	@echo "basedpyright";        $(BIN)/basedpyright

.PHONY: docs
docs: $(READY) ## the site of docs/, into docs/site; a link that leads nowhere fails
	@$(BIN)/zensical build --strict --clean --config-file docs/mkdocs.yml 2>&1 | sed 's/\x1b\[[0-9;]*m//g'

.PHONY: bench
bench: $(READY) ## the benchmark, compared with the last recorded run (ARGS="--record" keeps it, "--help" tells more)
	@$(BIN)/python -m bench $(ARGS)

.PHONY: bench-peers
bench-peers: $(READY) ## the same work by Kafka Streams beside it, on a Kafka broker (needs a JDK 17 and Maven; half an hour)
	@$(BIN)/python -m bench.peers $(ARGS)

.PHONY: kill-kafka
kill-kafka: $(READY) ## KILLS=100 kills of workers and BROKER_KILLS=20 of brokers in a Kafka cluster of three
	@STREAMFLOW_KILLS=$(or $(KILLS),100) STREAMFLOW_BROKER_KILLS=$(or $(BROKER_KILLS),20) $(BIN)/python -m pytest -s -n0 tests/kafka/test_kill.py

.PHONY: zombies
zombies: $(READY) ## ZOMBIES=40 workers stopped between the steps of a commit, past their session, on a Kafka broker
	@STREAMFLOW_ZOMBIES=$(or $(ZOMBIES),40) $(BIN)/python -m pytest -s -n0 tests/kafka/test_zombies.py

.PHONY: network
network: $(READY) ## FAULTS=200 cuts, delays, silences and lies between workers and a Kafka broker, at each step of a commit
	@STREAMFLOW_NETWORK_FAULTS=$(or $(FAULTS),200) $(BIN)/python -m pytest -s -n0 tests/kafka/test_network.py

.PHONY: rebalance
rebalance: $(READY) ## 1 to 6 workers and back on a Kafka broker, one joins or leaves every 3 seconds, for SECONDS=180
	@STREAMFLOW_REBALANCE=$(or $(SECONDS),180) $(BIN)/python -m pytest -s -n0 tests/kafka/test_rebalance.py

.PHONY: outage
outage: $(READY) ## the Kafka cluster hangs, then stops, for AWAY=120 seconds: workers wait, say so once and go on
	@STREAMFLOW_OUTAGE=$(or $(AWAY),120) $(BIN)/python -m pytest -s -n0 tests/kafka/test_gone.py

.PHONY: kafka
kafka: $(READY) ## a Kafka broker to play with, on port 9092 (PORT=...), until Ctrl-C
	@$(BIN)/python -m tests.kafka.broker $(or $(PORT),9092)

.PHONY: simulate
simulate: $(READY) ## SEEDS=20000 runs of whole workers in simulated time, with faults at every step
	@$(BIN)/python -m tests.simulation $(or $(SEEDS),20000)

.PHONY: programs
programs: $(READY) ## PROGRAMS=50000 programs made up at random, each compared with the plain definitions of its steps
	@STREAMFLOW_PROGRAMS=$(or $(PROGRAMS),50000) $(BIN)/python -m pytest -q -n0 tests/differential/test_programs.py --hypothesis-show-statistics

.PHONY: reference
reference: $(READY) ## CASES=300 of these programs, compared with Kafka Streams' own test driver (needs a JDK 17 and Maven)
	@$(BIN)/python -m tests.differential.kafka_streams $(or $(CASES),300)

.PHONY: fuzz
fuzz: $(READY) ## REQUESTS=100000 hostile HTTP requests to workers that process meanwhile: no 5xx but 503, no leak (SEED=...)
	@$(BIN)/python -m tests.http.fuzz $(or $(REQUESTS),100000) $(SEED)

.PHONY: routing
routing: $(READY) ## KEYS=1000000 random keys asked of four workers while others come and go: never a wrong answer (SEED=...)
	@$(BIN)/python -m tests.http.routing $(or $(KEYS),1000000) $(SEED)

.PHONY: mutants
mutants: $(READY) ## break the protocol on purpose, one rule at a time: each must be noticed
	@$(BIN)/python -m pytest -q -n0 tests/model -k mistake
	@$(BIN)/python -m tests.simulation.mutants

.PHONY: screenshots
screenshots: $(READY) ## the pictures of the page in the docs, made anew (needs Chromium)
	@$(BIN)/python -m docs.screenshots

.PHONY: clean
clean: ## remove .venv, caches and what the demo left
	@rm -rf $(VENV) .cache docs/.cache docs/site .streamflow build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

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
