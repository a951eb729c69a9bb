# Everything installs into .venv/; each target does all the set-up that it needs.
PYTHON ?= python3
ENVIRONMENTS := .venv/envs/base/.installed .venv/envs/sb3/.installed
PLATFORM := .venv/.installed-demo
DEVELOPER := .venv/.installed-dev
BIN := .venv/bin
# `make up` explores the demo where there is one, and an empty platform otherwise.
EXPLORED := $(if $(wildcard .demo/summary.json),.demo,.platform)
# Tests wait for processes more than they compute, but each brings a platform of its own: four at once are enough.
WORKERS ?= $(shell n=$$(nproc); [ $$n -lt 4 ] && echo $$n || echo 4)
export PYTHON

.PHONY: install help demo test lint up down bench soak constraints reference clean
help: ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | column -t -s '	'

install: $(PLATFORM) $(ENVIRONMENTS) ## Install the platform and its workload environments into .venv

demo: $(PLATFORM) $(ENVIRONMENTS) ## Sensitive data in, a signed agent that answers out: the main job, in ./.demo
	@RINGFENCE_HOME=$(CURDIR)/.demo $(BIN)/ringfence quickstart

test: $(DEVELOPER) $(ENVIRONMENTS) ## Run the whole test suite
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

lint: $(DEVELOPER) ## ruff, mypy --strict, and the import rules
	@$(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

up: $(PLATFORM) $(ENVIRONMENTS) ## Start the platform to explore it; prints its URL and how to log in
	@RINGFENCE_HOME=$(CURDIR)/$(EXPLORED) $(BIN)/ringfence up

down: $(PLATFORM) ## Stop what `make up` or `make demo` left running
	@for home in .demo .platform; do [ -d $$home ] && RINGFENCE_HOME=$(CURDIR)/$$home $(BIN)/ringfence down || true; done

bench: $(DEVELOPER) $(ENVIRONMENTS) ## Measure every claim against its peer (one: make bench ONLY=channel)
	@$(BIN)/python -m bench $(ONLY)

soak: $(DEVELOPER) $(ENVIRONMENTS) ## The kill and fuzz suites, many times over
	@RINGFENCE_SOAK=1 $(BIN)/python -m pytest -m soak

constraints: $(DEVELOPER) $(ENVIRONMENTS) ## Pin what is installed now in constraints.txt
	@$(BIN)/python tools/constraints.py

reference: $(DEVELOPER) ## Write docs/reference from the code
	@$(BIN)/python -m tools.reference

clean: down ## Stop the platform and remove its folders
	@rm -rf .demo .platform

.venv/.installed-system: tools/setup.sh
	@tools/setup.sh system && mkdir -p .venv && touch $@

$(PLATFORM): pyproject.toml constraints.txt .venv/.installed-system
	@tools/setup.sh platform demo && touch $@

$(DEVELOPER): pyproject.toml constraints.txt .venv/.installed-system
	@tools/setup.sh platform demo,dev && touch $@ $(PLATFORM)

.venv/envs/%/.installed: environments/%.txt environments/base.txt constraints.txt .venv/.installed-system | $(PLATFORM)
	@tools/setup.sh environment $* && touch $@
