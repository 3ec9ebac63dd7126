# `make` lists the targets. Each one that needs an environment makes it: .venv, from requirements.lock.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-long check format soak crashes model mutate bench page site picture dist audit lock clean

PYTHON ?=
PYTEST_ARGS ?= -n 2 --dist worksteal
RUNS ?=
JOBS ?= 1
MUTANTS ?=
MODEL ?=
CRASHES ?=

BIN := .venv/bin
PACKAGES := packages/kube-emulator packages/coagent-lab
# Tests start many processes of ours, which do not keep what they compile where PYTHONDONTWRITEBYTECODE is set.
COMPILED := $(BIN)/python -m compileall -q src packages
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

demo: .venv/.stamp ## Two agents, one cluster, one canary; then several agents in one git repository
	@$(BIN)/coagent demo canary
	@$(BIN)/coagent demo repo

test: .venv/.stamp ## Run the tests (PYTEST_ARGS="-n 2 --dist worksteal" by default)
	@$(COMPILED)
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

test-long: .venv/.stamp ## Run the tests that show more of the same, such as further orders of real sessions
	@$(COMPILED)
	@$(BIN)/python -m pytest -m long $(PYTEST_ARGS)

check: .venv/.stamp ## Check format, lint, types and layers
	@failed=; \
	$(BIN)/python -m mypy --no-error-summary --strict src packages & types=$$!; \
	$(BIN)/python -m ruff format --quiet --check --output-format concise src packages tests || failed="$$failed format"; \
	$(BIN)/python -m ruff check --quiet --output-format concise src packages tests || failed="$$failed lint"; \
	layers=$$($(BIN)/lint-imports --no-logo 2>&1) || { printf '%s\n' "$$layers"; failed="$$failed layers"; }; \
	wait $$types || failed="$$failed types"; \
	if [ -n "$$failed" ]; then echo "check: failed:$$failed"; exit 1; fi; \
	echo "check: format, lint, types and layers are right"

format: .venv/.stamp ## Format the code and sort its imports
	@$(BIN)/python -m ruff format --quiet src packages tests
	@$(BIN)/python -m ruff check --quiet --fix src packages tests

soak: .venv/.stamp ## Simulate many random runs (RUNS=2000 by default, in JOBS=1 processes)
	@$(BIN)/python -m coagent_lab.sim --kind mixed --runs $(or $(RUNS),2000) --jobs $(JOBS)
	@$(BIN)/python tests/systems/sql/against_plain.py --engine sqlite --runs $(or $(RUNS),2000)
	@$(BIN)/python tests/systems/sql/against_plain.py --engine postgres --runs $(or $(RUNS),2000)

crashes: .venv/.stamp ## Kill and stop real processes at random points (RUNS=300 by default; CRASHES="--help")
	@$(COMPILED)
	@$(BIN)/python tests/crashes/crashes.py --runs $(or $(RUNS),300) $(CRASHES)

model: .venv/.stamp ## Explore every situation that the rules allow in small cases (minutes; MODEL="--json", "--list", a case)
	@PYTHONPATH=tests/model:tests/rules $(BIN)/python tests/model/check_model.py $(MODEL)

mutate: .venv/.stamp .mutation/.stamp ## Change the rules a line at a time, and see that their tests notice (some 20 minutes)
	@rm -rf mutants
	@PYTHONPATH=.mutation $(BIN)/python -m mutmut run --max-children 2 $(MUTANTS) | tail -c 200
	@PYTHONPATH=.mutation $(BIN)/python tests/mutation/survivors.py

bench: .venv/.stamp ## Measure the overhead of a call, and compare the protocols (a few minutes)
	@$(BIN)/coagent bench overhead
	@$(BIN)/coagent bench contended

page: page/node_modules/.stamp ## Build the page of `coagent ui` (needs Node 20.19 or newer), and test what it reckons
	@cd page && npm run --silent test && npm run --silent build
	@cp page/dist/index.html src/coagent/ui/page.html
	@echo "src/coagent/ui/page.html: $$(wc -c < src/coagent/ui/page.html) bytes"

page/node_modules/.stamp: page/package.json page/package-lock.json
	@cd page && npm ci --silent --no-audit --no-fund
	@touch $@

# The time that the files in them bear is that of the last commit, so that who builds it again gets the same bytes.
dist: .venv/.stamp .audit/.stamp ## Build wheels and source packages of all packages into dist, with a bill of materials (CycloneDX)
	@rm -rf dist
	@export SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)}; \
	for package in . $(PACKAGES); do \
	    said=$$(cd "$$package" && $(CURDIR)/$(BIN)/python -m hatchling build -d $(CURDIR)/dist 2>&1) || { \
	        printf '%s\n' "$$said" >&2; exit 1; }; \
	done
	@PYTHONPATH=.audit $(BIN)/python tests/packages/bill_of_materials.py dist/coagent-mtpo.cdx.json
	@cd dist && sha256sum *

audit: .venv/.stamp .audit/.stamp ## Ask for known weaknesses of all packages in requirements.lock (needs an advisory service)
	@PYTHONPATH=.audit $(BIN)/python -m pip_audit --strict --disable-pip --require-hashes --progress-spinner off \
	    -r requirements.lock || { \
	    echo "audit: failed: a weakness is named above, or the advisory service did not answer for a package." >&2; \
	    exit 1; }

lock: .venv/.stamp ## Pin the newest allowed versions of all dependencies in requirements.lock
	@CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --generate-hashes --strip-extras \
	    --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
	    --extra claude-agent-sdk --extra kubernetes --extra langchain --extra llm --extra mcp \
	    --extra openai-agents --extra otel --extra sql --extra toolsmith --extra watch --extra dev --extra docs \
	    -o requirements.lock pyproject.toml packages/kube-emulator/pyproject.toml

site: .venv/.stamp ## Build the site of the documents into build/site; a broken link or a page too many fails
	@$(BIN)/python tests/docs/site_pages.py

# As the README shows it: the log of `coagent demo repo`, in the page, looked at by a browser.
picture: .venv/.stamp ## Draw docs/page.png anew, the picture of the page (needs Chromium)
	@place=$$(mktemp -d) && cd "$$place" && \
	mv "$$($(CURDIR)/$(BIN)/coagent demo repo --keep | sed -n 's/^Kept: //p')/mtpo.log" repo.log && \
	$(CURDIR)/$(BIN)/coagent ui repo.log --export page.html > export.txt && \
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,720 \
	    --virtual-time-budget=4000 --screenshot=page.png "file://$$place/page.html" 2> browser.txt && \
	cp page.png $(CURDIR)/docs/page.png && echo "docs/page.png: $$(wc -c < page.png) bytes"

clean: ## Remove the environment, caches and built files
	@rm -rf .venv page/node_modules page/dist .audit .mutation mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .cache build dist
	@find src packages tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.stamp: requirements.lock pyproject.toml $(PACKAGES:=/pyproject.toml)
	@found=; \
	for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python; do \
	    if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        found=$$python; break; \
	    fi; \
	done; \
	if [ -z "$$found" ]; then \
	    echo "CoAgent needs Python 3.11 or newer, and none was found." >&2; \
	    echo "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	    if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	        echo "$$found cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; \
	        exit 1; \
	    fi; \
	    rm -rf .venv; \
	    "$$found" -m venv .venv || exit 1; \
	fi; \
	echo "setting up .venv (once, about a minute) …" >&2; \
	if ! $(PIP) install --no-compile -r requirements.lock; then \
	    echo "The packages of requirements.lock could not be installed. Is the package index reachable?" >&2; \
	    exit 1; \
	fi; \
	$(PIP) install --no-deps --no-build-isolation --editable . $(PACKAGES:%=--editable %) || exit 1; \
	$(BIN)/python -m compileall -qq -j 0 .venv/lib; \
	touch .venv/.stamp

# Beside .venv, not in it: what they bring along would change what the product finds there (formats of jsonschema).
.audit/.stamp: .venv/.stamp
	@$(PIP) install --upgrade --target .audit cyclonedx-bom==7.5.0 pip-audit==2.10.1
	@touch .audit/.stamp

# Beside .venv, not in it: nothing else needs it, and it brings a terminal interface along.
.mutation/.stamp: .venv/.stamp
	@$(PIP) install --upgrade --target .mutation mutmut==3.8.1
	@touch .mutation/.stamp
