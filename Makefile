# `make help` lists the targets. Each prepares .venv by itself; all they need is a Python 3.11 or later (PYTHON=… picks one).

SHELL := /bin/sh
VENV  := .venv
BIN   := $(VENV)/bin
JOBS  ?= 5
# Python's own monitoring, from 3.12 on, costs a tenth of the tests' time; the tracer before it nearly doubles that.
CORE   = $(shell $(BIN)/python -c 'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")')
export LOGS ?=
PAGE_PORT ?= 9880
ARGS  ?=

CODE  := agent tests benchmarks etc/demo

.DEFAULT_GOAL := help
.PHONY: help run test test-parts lint unit docs pictures man wheel-test deb bench soak fmt lock sbom audit clean venv venv-dev

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: venv ## Follow LOGS='/var/log/shop/*.log'; without LOGS a small demo service writes logs beside the agent
	@exec $(BIN)/python etc/demo/run.py --sidelog '$(CURDIR)/$(BIN)/sidelog' --logs "$$LOGS" --port $(PAGE_PORT)

test: lint unit ## Everything that must hold: lint, formatting, types, import rules, tests, coverage

test-parts: venv ## Bring the real programs and libraries that tests run beside the agent (etc/test-parts.txt)
	@etc/test-parts.sh

lint: venv-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: venv-dev
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m compileall -q agent tests # else each program that a test starts takes 0.4 s to compile what it imports, where PYTHONDONTWRITEBYTECODE is set
	COVERAGE_CORE=$(CORE) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m 'not soak' --cov --cov-report=term --cov-report=xml:build/coverage.xml $(ARGS)

docs: venv-dev man ## Write docs/reference.md, the manual pages, the tables of docs/api.md and docs/formats.md from code and cases
	$(BIN)/python -m tests.formats_page
	$(BIN)/python -m tests.api_page
	$(BIN)/python -m tests.reference_page

pictures: venv-dev ## Make the pictures of docs/web.md, docs/img, with Debian's chromium (`make test-parts` brings it)
	$(BIN)/python -m pytest -q tests/http/test_pictures.py --pictures

man: venv-dev ## Write the manual pages of the commands, docs/man, from their help
	$(BIN)/python -m tests.manual_pages

wheel-test: venv-dev ## Build the wheel, install it alone into an empty environment and run the tests against it
	PYTHON=$(BIN)/python etc/wheel-test.sh $(ARGS)

deb: venv ## Build dist/sidelog_VERSION_ARCH.deb for this Debian, with its libraries in it
	@etc/deb.sh

bench: venv ## The benchmark table of docs/benchmarks.md (ARGS='--quick': a minute, small sizes)
	$(BIN)/python -m benchmarks $(ARGS)

soak: venv-dev ## The long tests, fuzzing, every crash, and an hour of mixed load: nothing lost, nothing grows (ARGS='--duration 10m')
	-@$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris # without it the next line fuzzes at random
	-@etc/test-parts.sh # without them their tests are left out, and named at the end
	$(BIN)/python -m pytest -n $(JOBS) -m soak
	$(BIN)/python -m tests.fuzz_parse --seconds 60
	$(BIN)/python -m tests.crash --all --parallel $(JOBS)
	$(BIN)/python -m benchmarks.soak $(ARGS)

fmt: venv-dev ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

lock: ## Resolve the newest dependencies into requirements.txt (with hashes) and requirements-dev.txt
	@etc/lock.sh

sbom: venv-dev ## Write build/sbom.cdx.json (CycloneDX) and docs/licences.md of what is installed
	$(BIN)/python etc/sbom.py build/sbom.cdx.json --licences docs/licences.md

audit: venv-dev ## Known weaknesses in the locked dependencies (asks pip-audit's service; offline with ADVISORIES=DIR)
	@$(BIN)/python etc/audit.py $(if $(ADVISORIES),--advisories '$(ADVISORIES)')

clean: ## Remove the environment and everything that was generated
	rm -rf $(VENV) build dist demo-logs .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

venv:
	@etc/venv.sh $(VENV) run

venv-dev:
	@etc/venv.sh $(VENV) dev
