# The verbs of this project; every one is idempotent. PYTHON chooses the interpreter of a new environment.
PYTHON ?= python3
BIN := .venv/bin
ROUNDS ?= 100
KIND ?= store
ONLY ?=
FLAGS ?=

.PHONY: help setup demo test check fmt gen bench soak native

help:
	@echo "make setup            install what is missing: Debian packages (as root) and .venv"
	@echo "make demo             from bare machine to an answering Pod, on three nodes (as root)"
	@echo "make test             all tests: unit, component, node, end to end (under 15 minutes)"
	@echo "make check            format, lint, types, rows, budgets, generated files"
	@echo "make fmt              format and mend what lint can mend"
	@echo "make gen              generate api/types, api/schema, api/facts"
	@echo "make bench ONLY=name  benchmarks: ratios against a floor measured in the same run"
	@echo "make soak KIND=store|etcd|kubelet|pod_worker|controllers|api ROUNDS=n FLAGS='--jobs 2'"

setup:
	@PYTHON=$(PYTHON) tools/setup.sh

demo: setup
	@$(BIN)/pybernetes demo

NO_MACHINE = tests/unit tests/suites tests/component tests/fuzz
NODES = tests/node/kubelet tests/node/kubelet_soak $(wildcard tests/node/test_*.py)
OTHERS = tests/node/conformance tests/e2e/test_external_etcd.py tests/examples tests/clients
LOGS = .venv/nodes.log .venv/others.log

# What needs a machine waits more than it works: three parts of it side by side, as long as each other.
test: setup
	@$(BIN)/pytest -n 2 --dist loadfile $(NO_MACHINE)
	@$(BIN)/pytest $(NODES) >.venv/nodes.log 2>&1 & nodes=$$!; \
	$(BIN)/pytest $(OTHERS) >.venv/others.log 2>&1 & others=$$!; \
	$(BIN)/pytest tests/e2e --ignore tests/e2e/test_external_etcd.py; ended=$$?; \
	wait $$nodes || ended=1; wait $$others || ended=1; cat $(LOGS); exit $$ended

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tools.budgets
	@$(BIN)/python -m tools.gen --check
	@$(BIN)/python -m tools.reference --check --strict

fmt: setup
	@$(BIN)/ruff check --fix-only -q .
	@$(BIN)/ruff format .

gen: setup
	@$(BIN)/python -m tools.gen
	@$(BIN)/python -m tools.reference
	@$(BIN)/ruff format -q src/pybernetes/api/types src/pybernetes/api/schema src/pybernetes/api/facts

bench: setup
	@$(BIN)/python -m bench $(ONLY)

soak: setup
	@$(BIN)/python -m tools.soak.$(KIND) --rounds $(ROUNDS) $(FLAGS)
