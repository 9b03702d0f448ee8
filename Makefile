# Needs Python >= 3.11, make and a C library; everything else is installed into .venv.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := libs/contracts libs/chassis libs/client services/gateway services/registry services/scheduler \
           services/worker-agent deploy/stack
PROJECTS := pyproject.toml $(addsuffix /pyproject.toml,$(MEMBERS))
STAMP := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest
WEB := services/gateway/web
# The newest of what the web application is built from decides whether it is built again.
WEB_SOURCES := docs/openapi.json $(shell find $(WEB) \( -name node_modules -o -name tests \) -prune -o -type f \
                 ! -name schema.d.ts ! -name elements.d.ts -print)
WEB_BUILT := services/gateway/src/spaces_gateway/web/.built
# Quick ones first, then those that take longest.
SUITE := tests/architecture tests/contracts tests/unit tests/acceptance tests/integration/gateway tests/security \
         $(filter-out tests/integration/gateway,$(sort $(wildcard tests/integration/[a-z]*))) tests/faults \
         tests/conformance tests/bench tests/model tests/migrations
AT_ONCE ?= 2
BROWSER := tests/web
SEED ?= 1
FAULTS ?= 1000
CUTS ?= 50
DEATHS ?= 120
SCHEDULES ?= 100000

.PHONY: help venv up down demo demo-check test test-unit faults deaths alarms power-cut model conformance \
        bench shapes soak security profile mutants check fmt verify generate pins \
        web web-dev web-test screenshots

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 14

venv: $(STAMP) ## install everything at its pinned version into .venv

$(STAMP): constraints.txt $(PROJECTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; say which with make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) cannot make a virtual environment (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@awk '/^uv==/ {on=1} on {print} on && !/\\$$/ {exit}' constraints.txt > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --offline \
	  $(addprefix -e ./,$(MEMBERS))
	@touch $@

web: $(WEB_BUILT) ## build the web application into the gateway's package

$(WEB)/node_modules/.installed: $(WEB)/package-lock.json $(WEB)/.npmrc | $(STAMP)
	@$(WEB)/with-node npm ci --loglevel=error
	@touch $@

$(WEB_BUILT): $(WEB)/node_modules/.installed $(WEB_SOURCES)
	@$(WEB)/with-node npm run --silent types
	@$(WEB)/with-node npm run --silent build -- --logLevel warn
	@touch $@

web-dev: $(WEB)/node_modules/.installed $(STAMP) ## the web application as you change it, before a stack that runs
	@$(WEB)/with-node npm run --silent types
	@eval "$$($(BIN)/spaces-stack env)" && exec $(WEB)/with-node npm run --silent dev

web-test: $(WEB_BUILT) ## the web application: types, lint, its own tests, and a real browser
	@$(WEB)/with-node npm run --silent check
	@$(WEB)/with-node npm run --silent test
	$(PYTEST) $(BROWSER)

screenshots: $(STAMP) $(WEB_BUILT) ## the pictures of docs/web.md, from a demo that is started for them: all, or SCREENS="space admin-system"
	$(BIN)/python -m tests.web.screenshots $(SCREENS)

up: $(STAMP) $(WEB_BUILT) ## start everything and stay until Ctrl-C
	@$(BIN)/spaces-stack up

down: $(STAMP) ## stop what make up or make demo started
	@$(BIN)/spaces-stack down

demo: $(STAMP) $(WEB_BUILT) ## make up with three spaces served by real models, one request through each
	@$(BIN)/spaces-stack demo

demo-check: $(STAMP) $(WEB_BUILT) ## the demo without a person: prints one JSON line a space, stops everything
	@$(BIN)/spaces-stack demo --check

test: $(STAMP) $(WEB_BUILT) ## the whole suite, each part in a process of its own, AT_ONCE=2 of them
	@$(BIN)/python -m tests.support.suite --at-once $(AT_ONCE) $(SUITE)
	@$(MAKE) --no-print-directory web-test

test-unit: $(STAMP) ## what needs no server
	$(PYTEST) tests/unit tests/contracts tests/architecture

faults: $(STAMP) ## the fault campaign, in rounds that add up: FAULTS=1000 SEED=1, or QUICK=1 for the suite's rounds
ifdef QUICK
	$(PYTEST) tests/faults -m faults
else
	$(BIN)/python -m tests.faults.campaign --faults $(FAULTS) --seed $(SEED)
endif

deaths: $(STAMP) ## how soon dead, frozen and cut-off workers are noticed and replaced: DEATHS=120
	$(BIN)/python -m tests.faults.deaths --workers $(DEATHS)

alarms: $(STAMP) ## load with pauses of up to 2 s, in which nobody may be taken for dead: MINUTES=30
	$(BIN)/python -m tests.faults.alarms --minutes $(or $(MINUTES),30)

power-cut: $(STAMP) ## power cuts under load, with a control run that must lose: CUTS=50 SEED=1; needs root
	$(BIN)/python -m tests.faults.power_cut --cuts $(CUTS) --seed $(SEED)

model: $(STAMP) ## the core against its model: SCHEDULES=100000 random schedules, 2000 of them on PostgreSQL as well
	$(BIN)/python -m tests.model --schedules $(SCHEDULES) --sql 2000 --seed $(SEED)

conformance: $(STAMP) ## RFC 6455 on both sockets and the agent; LONG=1 with all cases and 100,000 broken connections
	$(PYTEST) tests/conformance/websocket $(if $(LONG),--long)

bench: $(STAMP) ## the product and what people would pick instead, in one run: all parts, or QUICK=1 in 3 minutes
	$(BIN)/python -m tests.bench $(if $(QUICK),--quick)

shapes: $(STAMP) ## whether 100,000 idle spaces, 10,000 idle sockets or 1,000,000 stored requests cost anything; storms of sockets
	$(BIN)/python -m tests.bench.shapes

soak: $(STAMP) ## steady load and the memory of every process: MINUTES=60 after a warm-up
	$(BIN)/python -m tests.bench.soak --minutes $(or $(MINUTES),60)

security: $(STAMP) ## every operation and command with every credential, attacks, hostile files, revocations, generated calls
	$(BIN)/python -m tests.security $(CAMPAIGNS)

profile: $(STAMP) ## flame graphs of gateway, scheduler and agent under load, in build/reports
	$(BIN)/python -m tests.bench.profile

mutants: $(STAMP) ## mutation testing of the pure modules; at least 80 % must be killed
	$(BIN)/python -m tests.mutation.run $(if $(SAMPLE),--sample $(SAMPLE))

check: $(STAMP) ## format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(STAMP) ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

verify: $(STAMP) ## the pages made from code are fresh
	$(BIN)/python -m tests.support.pages verify

generate: $(STAMP) ## write the pages made from code
	$(BIN)/python -m tests.support.pages write

pins: $(STAMP) ## write constraints.txt (hashes, no addresses) after a change of dependencies; UPGRADE=1 takes the newest
	$(BIN)/uv lock --quiet $(if $(UPGRADE),--upgrade)
	$(BIN)/uv export --quiet --frozen --all-packages --all-extras --all-groups --no-emit-workspace --no-header \
	  --no-annotate --format requirements.txt --output-file constraints.txt
