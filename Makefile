# The only entry points of this repository. Each bootstraps what it needs, once, and shows what it is doing.

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/cloister
UV    := $(CACHE)/uv-$(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' .ci/uv.txt)/bin/uv
PY    := .venv/bin/python

IMAGE       ?= cloister:dev
BASE        ?= docker.io/library/python:3.12-slim
CONTAINER   ?= docker
PYTEST_ARGS ?=

# An old or missing Python is an error that says so, not a surprise download.
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-down test lint generate bench bench-operator bench-datapath bench-storage bench-masking image

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

demo: .venv/.synced ## An embedded control plane, the operator and an example on this machine
	$(PY) -m tests.demo up

demo-down: .venv/.synced ## Stop what `make demo` started
	$(PY) -m tests.demo down

test: .venv/.synced ## Everything that needs no kubelet; PYTEST_ARGS="-k name -x" narrows it
	$(PY) -m tests.cluster build
	$(PY) -m pytest $(PYTEST_ARGS)

lint: .venv/.synced .venv-audit/.synced ## Style, types, layers, stale generated files, manifest scanners
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy operator tests
	.venv/bin/lint-imports
	$(PY) -m tests.generate --check
	$(PY) -m tests.scan

generate: .venv/.synced ## Rewrite crds/, manifests/, the chart's copies and docs/reference from the code
	$(PY) -m tests.generate

bench: bench-operator bench-datapath bench-storage bench-masking ## All benchmarks
bench-operator: .venv/.synced ## How many deployments one operator carries, and how fast
	$(PY) -m tests.bench operator

bench-datapath: .venv/.synced ## What the gate and the auditor cost, beside a bare Envoy and LiteLLM
	$(PY) -m tests.bench datapath --plot docs/datapath.svg

bench-storage: .venv/.synced ## What the way to a store costs, beside rclone alone and the plain disk
	$(PY) -m tests.cluster build rclone
	$(PY) -m tests.bench storage

bench-masking: .venv/.synced ## How well values are found, beside Microsoft Presidio
	$(PY) -m tests.bench masking

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
