# The only entry points of this repository. Each bootstraps what it needs, once, and shows what it is doing.

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cloister
UV    := $(CACHE)/uv-$(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' .ci/uv.txt)/bin/uv
PY    := .venv/bin/python

IMAGE       ?= cloister:dev
BASE        ?= docker.io/library/python:3.12-slim
CONTAINER   ?= docker
PYTEST_ARGS ?=
# Where `make cluster` and `make e2e` go: a node of our own; CLUSTER=kind; CLUSTER=current, with REGISTRY= for images.
export CLUSTER REGISTRY
# Tests wait more than they compute. WORKERS=0 runs them in one process, for a debugger.
WORKERS     ?= 3

# Where an image forbids it, each of the many programs that tests start would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=

# A clean clone needs no half minute for types that did not change: what is kept is keyed by version and by content.
export MYPY_CACHE_DIR := $(CACHE)/mypy

# An old or missing Python is an error that says so, not a surprise download.
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-down demo-node demo-node-down cluster cluster-down build test e2e lint generate bench bench-operator bench-datapath bench-storage bench-masking bench-detection bench-behaviour train-detection image

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

demo: .venv/.synced ## An embedded control plane, the operator and an example on this machine
	$(PY) -m tests.demo up

demo-down: .venv/.synced ## Stop what `make demo` started
	$(PY) -m tests.demo down

build: .venv/.synced ## Programs and images that tests need and that take long, from source, once
	$(PY) -m tests.cluster build --all
	$(PY) -m tests.cluster.node images gate store tiny-llm-server

test: .venv/.synced ## Everything that needs no kubelet; PYTEST_ARGS="-k name -x" narrows it
	$(PY) -m tests.cluster build
	$(PY) -m pytest -n $(WORKERS) --dist loadgroup $(PYTEST_ARGS)

e2e: .venv/.synced ## The whole life of a model on a real node, as root; PYTEST_ARGS="-k name -x" narrows it
	$(PY) -m tests.cluster.node images
	$(PY) -m pytest tests/e2e -m e2e $(PYTEST_ARGS)

demo-node: .venv/.synced ## The same on a real node, as root: a model's whole life, left running
	$(PY) -m tests.demo node-up

demo-node-down: .venv/.synced ## Stop what `make demo-node` started
	$(PY) -m tests.demo node-down

cluster: .venv/.synced ## A real node with Cilium and cert-manager on this machine, as root
	$(PY) -m tests.cluster.node up

cluster-down: .venv/.synced ## Stop what `make cluster` started
	$(PY) -m tests.cluster.node down

lint: .venv/.synced .venv-audit/.synced ## Style, types, layers, stale generated files, manifest scanners
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy operator tests
	.venv/bin/lint-imports
	$(PY) -m tests.generate --check
	$(PY) -m tests.scan

generate: .venv/.synced ## Rewrite crds/, manifests/, the chart's copies and docs/reference from the code
	$(PY) -m tests.generate

bench: bench-operator bench-datapath bench-storage bench-masking bench-detection bench-behaviour ## All benchmarks
bench-operator: .venv/.synced ## How many deployments one operator carries, and how fast
	$(PY) -m tests.bench operator

bench-datapath: .venv/.synced ## What the gate and the auditor cost, beside a bare Envoy and LiteLLM
	$(PY) -m tests.bench datapath --plot docs/datapath.svg

bench-storage: .venv/.synced ## What the way to a store costs, beside rclone alone and the plain disk
	$(PY) -m tests.cluster build rclone
	$(PY) -m tests.bench storage

bench-masking: .venv/.synced ## How well values are found, beside Microsoft Presidio, detect-secrets and gitleaks
	$(PY) -m tests.bench masking

bench-detection: .venv/.synced ## How well prompt injection is found, on sources that nothing was tuned on
	$(PY) -m tests.bench detection

bench-behaviour: .venv/.synced ## How often ordinary weeks raise an alert, and how soon misuse and drift are told
	$(PY) -m tests.bench behaviour

train-detection: .venv/.synced ## Learn the classifier of prompt injection anew, from the training split
	$(PY) -m tests.bench detection --train

image: ## Build the one image; IMAGE=, BASE= and CONTAINER=podman override
	$(CONTAINER) build --file operator/Dockerfile --build-arg BASE=$(BASE) --tag $(IMAGE) .

# The version is in the path: a new pin is a new target.
$(UV):
	@.ci/bootstrap-uv $@

# The stamp is what makes the second run instant.
.venv/.synced: uv.lock pyproject.toml | $(UV)
	$(UV) sync --frozen
	@touch $@

# The scanner's own environment: its pins would hold everything else back.
.venv-audit/.synced: uv.lock | $(UV)
	UV_PROJECT_ENVIRONMENT=.venv-audit $(UV) sync --frozen --only-group audit
	@touch $@
