# Two commands matter: `make run` talks, `make test` proves. Everything lives in .venv; nothing else is touched.
# Works with GNU make 3.81, which macOS ships.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
LOCK_TOOLS := build/lock-tools
AUDIT_TOOLS := build/audit-tools
ADVISORIES := https://api.osv.dev/
COMPILE = $(LOCK_TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	$(if $(UPGRADE),--upgrade)
NPM_LOCK = npm $(if $(UPGRADE),update,install) --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts \
	--no-audit --no-fund --silent

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help setup run test conformance bench bench-overlap torture lock audit clean tools moved

# One step of `make test`: its name is printed before it runs, and again when it fails.
step = @echo "== $(1)"; $(2) || { echo "make test: the step '$(1)' failed" >&2; exit 1; }

# Node prints five lines for each test that passes: they are shown when one does not.
PAGE_TESTS = { out=$$(node --test tests/web/static/*.test.mjs tests/conformance/*.test.mjs 2>&1) || { echo "$$out"; false; }; } && \
	echo "$$out" | grep -E "(tests|pass) [0-9]+$$"

# Scripts in .venv name their own place, so a folder that was moved or copied installs itself again.
PLACE := $(shell cat $(STAMPS)/place 2>/dev/null)
ifneq ($(PLACE),$(CURDIR))
$(STAMPS)/venv: moved
endif

help: ## this list
	@echo "usage: make TARGET [PYTHON=python3.12]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F '|' '{ printf "%-15s %s\n", $$1, $$2 }'

setup: $(STAMPS)/project ## install into .venv, so that .venv/bin/omni-duplex runs

run: setup ## serve on http://127.0.0.1:9060; flags go into ARGS="--port 9070"
	@exec $(BIN)/omni-duplex serve $(ARGS)

test: setup $(STAMPS)/dev tools ## every check there is, stopping at the first that fails
	$(call step,format,$(BIN)/ruff format --quiet --check .)
	$(call step,lint,$(BIN)/ruff check --quiet .)
	$(call step,types,$(BIN)/mypy)
	$(call step,imports,$(BIN)/lint-imports)
	$(call step,page modules,$(PAGE_TESTS))
	$(call step,tests,$(BIN)/python -m pytest -n auto --dist loadfile)

conformance: setup $(STAMPS)/dev $(LOCK_TOOLS)/bin/uv ## talk to a live server with the realtime clients people have; ARGS=--write keeps the table
	@$(BIN)/python -m conformance $(ARGS)

bench: setup $(STAMPS)/dev ## measure what docs/ and the README promise; QUICK=1 takes two minutes, ARGS=--write keeps the table
	@$(BIN)/python -m bench $(ARGS)

bench-overlap: setup $(STAMPS)/dev ## speak over answers in every way; needs espeak-ng and sox, takes twenty minutes
	@met=0; for part in overlap echo; do $(BIN)/python -m bench.$$part || met=1; done; exit $$met

torture: setup $(STAMPS)/dev ## random calls under random faults, then a million broken messages; QUICK=1, ARGS="--seed 7 --only 3"
	@$(BIN)/python -m bench.torture $(ARGS)
	@test -n "$(ARGS)" || $(BIN)/python -m bench.torture.fuzz

lock: $(LOCK_TOOLS)/bin/uv ## write all lock files, those of conformance/ too; UPGRADE=1 takes the newest versions
	@$(COMPILE) --extra build --extra dev --extra aec pyproject.toml -o requirements/dev.lock
	@$(COMPILE) --extra build -c requirements/dev.lock pyproject.toml -o requirements/run.lock
	@for wanted in conformance/locks/*.in; do $(COMPILE) "$$wanted" -o "$${wanted%.in}.lock" || exit 1; done
	@for wanted in conformance/locks/*/package.json; do $(NPM_LOCK) --prefix "$${wanted%/package.json}" || exit 1; done

audit: ## ask whether a locked Python package has a known weakness; IF_REACHABLE=1 is content when nobody can be asked
	@curl --silent --show-error --max-time 15 --output /dev/null $(ADVISORIES) || { \
		echo "make audit: nothing was checked, because $(ADVISORIES) cannot be reached." >&2; \
		exit $(if $(IF_REACHABLE),0,1); }; \
	test -x $(AUDIT_TOOLS)/bin/pip-audit || { $(PYTHON) -m venv --clear $(AUDIT_TOOLS) && \
		$(AUDIT_TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --no-input pip-audit; } && \
	$(AUDIT_TOOLS)/bin/pip-audit --vulnerability-service osv --disable-pip --require-hashes --progress-spinner off \
		$(foreach lock,$(wildcard requirements/*.lock),--requirement $(lock))

clean: ## remove .venv, caches and everything else that was made here
	@rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis test-results
	@rm -rf *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(LOCK_TOOLS)/bin/uv:
	@$(PYTHON) -m venv --clear $(LOCK_TOOLS) && \
		$(LOCK_TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --no-input uv

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "omni-duplex needs Python 3.11 or newer, and '$(PYTHON)' is not: name another with make PYTHON=python3.12." >&2; \
		exit 1; }
	@echo "Creating $(VENV)"
	@{ test ! -e $(STAMPS)/place && $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; } || \
		$(PYTHON) -m venv --clear $(VENV) || { \
		echo "$(VENV) could not be made: on Debian and Ubuntu install the package python3-venv first." >&2; \
		exit 1; }
	@rm -rf $(STAMPS) && mkdir -p $(STAMPS)
	@printf '%s' '$(CURDIR)' > $(STAMPS)/place
	@touch $@

$(STAMPS)/run: $(STAMPS)/venv requirements/run.lock
	@echo "Installing the packages of requirements/run.lock"
	@$(INSTALL) --require-hashes -r requirements/run.lock
	@touch $@

$(STAMPS)/project: $(STAMPS)/run pyproject.toml
	@echo "Installing omni-duplex"
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(STAMPS)/dev: $(STAMPS)/run requirements/dev.lock
	@echo "Installing the packages of requirements/dev.lock"
	@$(INSTALL) --require-hashes -r requirements/dev.lock
	@touch $@

# What pip cannot bring: node for the page's modules, a real browser for the page, curl for the README's lines. Nothing
# is skipped for want of them.
tools:
	@missing=; \
	command -v node >/dev/null 2>&1 || missing="nodejs"; \
	command -v curl >/dev/null 2>&1 || missing="$$missing curl"; \
	found=; \
	for name in chromium chromium-browser google-chrome google-chrome-stable \
		"/Applications/Chromium.app/Contents/MacOS/Chromium" \
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do \
		command -v "$$name" >/dev/null 2>&1 && { found=yes; break; }; \
	done; \
	test -n "$$found" || missing="$$missing chromium"; \
	test -z "$$missing" && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
		echo "Installing with apt-get, which may take minutes: $$missing"; \
		apt-get update -qq >/dev/null && \
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null && exit 0; \
		echo "apt-get could not install what the tests need: $$missing." >&2; exit 1; \
	fi; \
	echo "The tests need Node.js 18 or newer, Chromium (or Google Chrome) and curl; install what is missing: $$missing." >&2; \
	exit 1
	@node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' || { \
		echo "The tests need Node.js 18 or newer, and 'node' is $$(node --version)." >&2; exit 1; }
