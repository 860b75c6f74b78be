# `make help` lists what there is. Each target is a few calls; the work is in the scripts they name.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
WITH_ENV = environment="$$($(MAKE) -s env)"; eval "$$environment"
define WITH_CHOSEN
chosen=
if [ -n "$${PULUMI_BACKEND_URL:-}" ]; then # a state that was chosen stays chosen, with its key, login and engine
	chosen="$$(export -p | grep -E '^declare -x (PULUMI_(BACKEND_URL|CONFIG_PASSPHRASE(_FILE)?|HOME)|DOCKER_HOST)=')"
fi
$(WITH_ENV)
eval "$$chosen"
endef

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: dev
dev: ## Set up everything: toolchain, platform, release 1.0.0, the dev stack. Safe to run again
	@$(PYTHON) platform/local check # at once what it would say after the installation
	$(PYTHON) airgap/install
	platform/local up
	$(WITH_ENV)
	for stack in vendor-storage dev-storage release dev; do
		pulumi stack --stack "$$stack" >/dev/null 2>&1 || pulumi stack init "$$stack" --no-select
		.venv/bin/python -m commands.recover "$$stack"
	done
	.venv/bin/python commands/summary.py dev

.PHONY: env
env: ## Print the shell variables that make plain `pulumi` work, for eval
	@$(PYTHON) airgap/environment
	platform/local env

# Lanes of `make test`, side by side: one alone leaves the processors idle while it waits. An emulated host takes a processor
# for itself, so it is beside those without environments: it and they end each other's health checks. `cluster` is
# alone: no request may fail there. `aside`: whatever is in no lane.
ROUNDS = "stacks backups aside" "hosts checks" "cluster"
LANES = $(subst ",,$(ROUNDS))
stacks = conformance images integration storage
backups = backup
checks = airgap azure platform static unit
aside = $(filter-out $(LANES) $(stacks) $(backups) $(checks) __pycache__,$(notdir $(patsubst %/,%,$(wildcard tests/*/))))

.PHONY: test
test: ## Run every test and check, from nothing
	@$(PYTHON) airgap/install --dev
	failed=0
	for round in $(ROUNDS); do
		$(MAKE) --keep-going --jobs $$(printf 'test-%s ' $$round) || failed=1
	done
	[ "$$failed" = 0 ] && exit
	grep --no-filename -E '^(FAILED|ERROR) ' $(patsubst %,.stele/tests/%.log,$(LANES)) | cut -c-500 # thousands of lines later
	exit 1

# Each line has its lane's name before it, and is shown when it is complete. Who interrupts sees what was cut off.
# The files in .stele/tests keep the lines of one lane together. The summary's reasons are cut off at COLUMNS.
.PHONY: $(addprefix test-,$(LANES))
$(addprefix test-,$(LANES)): test-%:
	@unset MAKEFLAGS
	eval "$$($(PYTHON) airgap/environment)"
	mkdir -p .stele/tests
	COLUMNS=300 .venv/bin/python -u -m pytest -p no:cacheprovider --durations=30 --durations-min=10 $(addprefix tests/,$(or $($*),$*)) 2>&1 |
		(trap '' INT; exec tee .stele/tests/$*.log) | (trap '' INT; exec sed --unbuffered -E 's/={99,}/=====/g; s/ {9,}(\[ *[0-9]+%\])$$/  \1/; s/^/$*: /')

.PHONY: test-fast
test-fast: ## Run the tests that need no engine
	@$(PYTHON) airgap/install --dev
	eval "$$($(PYTHON) airgap/environment)"
	.venv/bin/python -m pytest tests/unit tests/conformance -m 'not engine'

.PHONY: bench
bench: ## Measure upgrades under load; writes bench/results.md
	@$(PYTHON) airgap/install --dev
	platform/local up
	$(WITH_ENV)
	.venv/bin/python -m bench.run

.PHONY: doctor
doctor: ## Say what is installed, what is wrong, and how to mend it
	@failed=0
	$(PYTHON) airgap/doctor || failed=1
	platform/local doctor || failed=1
	exit "$$failed"

.PHONY: down
down: ## Stop what `make dev` started; data survives unless DATA=delete
	@platform/local stop $(if $(filter delete,$(DATA)),--delete-data)

.PHONY: backup
backup: ## Back up a stack now and verify it: make backup STACK=dev
	@$(WITH_CHOSEN)
	.venv/bin/python -m commands.backup $(or $(STACK),$(error make backup needs a stack: make backup STACK=dev))

.PHONY: drill
drill: ## Lose the dev stack, bring it back on another engine from WORM alone: make drill TIMES=10 MOVE=yes COMPARE=yes
	@$(WITH_ENV)
	.venv/bin/python -m commands.drill --times "$(or $(TIMES),1)" $(if $(MOVE),--move) $(if $(COMPARE),--compare)

.PHONY: lock
lock: ## Refresh every lock file: Python and Debian packages, and Java libraries if Maven is there
	@$(PYTHON) airgap/install --dev
	for name in requirements requirements-dev; do
		.venv/bin/uv pip compile --quiet --upgrade --generate-hashes --python-version 3.11 --no-header \
			--no-emit-index-url --no-emit-find-links "$$name.in" --output-file "$$name.lock"
	done
	runtimes/base/lock --all
	$(PYTHON) packer/lynis.py
	if command -v mvn >/dev/null; then runtimes/jvm/lock; else echo "make lock: no mvn here: libraries.lock of jvm stays as it is"; fi

.PHONY: recover
recover: ## Mend a stack after a killed `pulumi up`: make recover STACK=dev
	@$(WITH_CHOSEN)
	.venv/bin/python -m commands.recover \
		$(if $(CANCELLED),$(if $(filter yes,$(CANCELLED)),--cancelled,$(error CANCELLED=$(CANCELLED): allowed is yes))) \
		$(if $(UP),$(if $(filter no,$(UP)),--no-up,$(error UP=$(UP): allowed is no))) \
		$(or $(STACK),$(error make recover needs a stack: make recover STACK=dev))
