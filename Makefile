# Everything runs from .venv, which is made from the hash-pinned requirements.lock by itself.

.DEFAULT_GOAL := help
SHELL := /bin/sh
# Each of the many processes would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# The newest one that can make a virtual environment; else the newest, to say what it lacks.
PYTHON ?= $(shell for needs in 'venv, ensurepip' sys; do \
	for python in python3.14 python3.13 python3.12 python3.11 python3; do \
		command -v $$python >/dev/null 2>&1 && \
		$$python -c "import sys, $$needs; sys.exit(sys.version_info < (3, 11))" 2>/dev/null && \
		echo $$python && exit; done; done)
BIN := .venv/bin
READY := .venv/.ready
# Five minutes for one test: one that hangs is named, and the others go on.
PYTEST := $(BIN)/python -m pytest -m "not long" --timeout 300
# More processes than two cores: most of the tests' time is waiting, for windows, retries and leases.
TESTS := $(PYTEST) -n 4 --ignore tests/faults
# Only two at once: these start and kill processes, which take each other's time.
FAULTS := $(PYTEST) -n 2 tests/faults
# A busy machine may stand still for longer than a test waits. What failed is named, and has one more try
# without company; a fault of ours fails again. Status 1: tests failed. All else is no matter of time.
ONCE_MORE := test $$? = 1 && $(PYTEST) --last-failed --last-failed-no-failures none tests
FAULTS_ELSEWHERE := tests/domain/test_follow_ups.py tests/flows/test_follow_up_schedules.py tests/deploy/test_moving.py
PURE := tests/domain tests/optout tests/providers tests/agents tests/wire
DOCS := $(BIN)/python -m sphinx -W --keep-going -n -q -b html docs .docs

LOOKS := check-types check-documents check-style check-description check-security

.PHONY: help setup up quick test check $(LOOKS) docs faults fuzz audit sbom lock measure pictures coverage sql migration openapi optout bench bench-data bench-big clean

help:  ## what there is to do
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY)  ## the installation alone

up: $(READY)  ## everything in one terminal, with the demo
	@exec $(BIN)/python -m app up

test: $(READY)  ## the tests, on real PostgreSQL and Valkey
	$(TESTS)
	$(FAULTS)

check: $(READY)  ## format, lint, types, import contracts, dead code, security lint, documents, described API, tests
	@$(MAKE) --no-print-directory -j 2 $(LOOKS)
	$(TESTS) || { $(ONCE_MORE); }
	$(FAULTS) || { $(ONCE_MORE); }

# What looks at the code without running it, one beside the other.
check-types:
	$(BIN)/mypy

check-documents:
	$(DOCS)

check-style:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python -m tests.dead_code

check-description:
	$(BIN)/python -m tests.document

check-security:
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml app migrations

quick: $(READY)  ## format, lint, import contracts, types and the tests without a server: a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python -m tests.dead_code
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -m "not long" $(PURE)

docs: $(READY)  ## the documents into .docs/: a broken link, anchor or navigation is an error
	$(DOCS)

faults: $(READY)  ## the whole fault suite, long forms and all: up to half an hour
	$(BIN)/python -m pytest -m "not short and not alone" -n 2 -rP tests/faults $(FAULTS_ELSEWHERE)
	$(BIN)/python -m pytest -m "not short and alone" -rP tests/faults $(FAULTS_ELSEWHERE)

fuzz: $(READY)  ## the API and the webhooks, fuzzed at length: half an hour
	FUZZ_TIMES=20 $(BIN)/python -m pytest tests/fuzz

measure: $(READY)  ## measures of the house: names, rows, files, import circles
	@$(BIN)/python -m tests.house

pictures: $(READY)  ## the browser tests, with pictures of each page in tests/output/
	PICTURES=1 $(BIN)/python -m pytest -q tests/browser

coverage: $(READY)  ## the tests, and which lines of app/ they run (TESTS_IN=tests/domain for some)
	$(BIN)/python -m pytest -q -m "not long" -n 2 --cov --cov-report term:skip-covered $(or $(TESTS_IN),--ignore tests/faults)

sql: $(READY)  ## the generic plan of a named statement (NAME=outbox.CLAIM_TEXTS_SQL)
	@$(BIN)/python -m tests.sql $(NAME)

migration: $(READY)  ## the next migration, from what changed in app/store/schema/ (M="what changes")
	@test -n "$(M)" || { echo 'Say what changes: make migration M="…"' >&2; exit 1; }
	$(BIN)/python -m tests.new_migration "$(M)"

openapi: $(READY)  ## the described API anew into tests/web/openapi.jsonl, after a meant change
	$(BIN)/python -m tests.openapi

optout: $(READY)  ## trains what a lead means from its corpus, and measures it: four minutes (TRY=--folds to tune)
	$(BIN)/python -m tests.optout $(TRY)

bench: $(READY)  ## the benchmarks (ONLY=send for one)
	$(BIN)/python -m tests.bench $(ONLY)

bench-data: $(READY)  ## a million interactions for bench-big (SIZE=100000 for fewer)
	$(BIN)/python -m tests.bench.data $(SIZE)

bench-big: $(READY)  ## list, search and store at that size (ONLY=names for one)
	$(BIN)/python -m tests.bench.big $(ONLY)

OSV := api.osv.dev

audit: $(READY)  ## known vulnerabilities of what requirements.lock pins
	@if $(BIN)/python -c "import socket; socket.create_connection(('$(OSV)', 443), 5)" 2>/dev/null; then \
		$(BIN)/pip-audit --vulnerability-service osv --disable-pip --requirement requirements.lock; \
	else \
		echo "audit skipped: $(OSV), which knows the vulnerabilities, cannot be reached from here"; \
	fi

sbom: $(READY)  ## the packages that requirements.lock pins into sbom.cdx.json (CycloneDX)
	$(BIN)/python -m tests.sbom > sbom.cdx.json

lock: $(READY)  ## renews requirements.lock from pyproject.toml, and Node's tools from tests/document/package.json
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --extra embedded --extra mcp --extra traces --group dev \
		pyproject.toml -o requirements.lock
	$(BIN)/python -m tests.document.renew

clean:  ## removes the installation and the caches, not the data
	rm -rf .venv .docs tests/document/node_modules .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "the venv module is missing: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		-r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
