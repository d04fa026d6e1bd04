# The front door: `make help` lists the targets. Each installs what is missing and says what it does.
# macOS has GNU make 3.81, bash 3.2 and BSD tools: 3.81 ignores .SHELLFLAGS, so commands are chained by && and pipes set pipefail.
.DEFAULT_GOAL := help
SHELL := bash

PYTHON ?= python3
# The model of the local commands; `make deploy` deploys the model in cdk.json.
MODEL ?= embedded
PORT ?= 9000
# Options of the CDK CLI, such as CDK_ARGS="-c stage=prod".
CDK_ARGS ?=
BENCH_ARGS ?=
# The image of `make sbom`, and the container engine that has it.
IMAGE ?= embeddings
ENGINE ?= $(or $(CDK_DOCKER),docker)
# Options of `make cost`, such as COST_ARGS="--cold 0.02 --speed 1.3" or COST_ARGS="--measured FILE".
COST_ARGS ?=

BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONUNBUFFERED := 1

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- environments -----------------------------------------------------------------------------------------------------

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1); set PYTHON=…" >&2; exit 1; }
	@echo "· making the Python environment .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --upgrade "pip>=26"
	@touch $@

# Runs pip and prints the name of each package as it goes.
PIP_INSTALL = set -o pipefail; $(BIN)/pip install --progress-bar off -r $< | \
	awk '/^(Collecting|Processing) / { sub(".*/", "", $$2); sub("[][<>=!~;].*|-[0-9].*", "", $$2); printf "%s ", $$2; fflush() } END { print "" }'

# Two sets of packages: those of the export and the deployment, and those that the tests add.
.venv/installed: requirements.txt runtime/requirements.txt bulk/requirements.txt constraints.txt client/pyproject.toml | .venv/created
	@echo "· installing requirements.txt (about a minute; torch is the largest part) …"
	@$(PIP_INSTALL)
	@touch $@

.venv/installed-tests: tests/requirements.txt .venv/installed
	@echo "· installing tests/requirements.txt …"
	@$(PIP_INSTALL)
	@touch $@

.PHONY: constraints
constraints: .venv/installed-tests ## Write constraints.txt from the installed versions, after a change of a requirements file
	@set -o pipefail; { echo '# Exact versions of all that requirements.txt and tests/requirements.txt install; written by `make constraints`.' && \
		$(BIN)/pip freeze --exclude pip --exclude-editable | sed 's/+cpu$$//'; } > constraints.txt.new && mv constraints.txt.new constraints.txt

.PHONY: lock
lock: .venv/installed-tests ## Write the .lock files of runtime and bulk, with hashes, from the .txt beside them
	@for name in runtime/requirements runtime/image/compiler bulk/requirements; do \
		$(BIN)/uv pip compile --quiet --no-deps --generate-hashes --universal --python-version 3.11 --only-binary :all: \
			--no-annotate --custom-compile-command "make lock" --output-file $$name.lock $$name.txt \
			|| exit 1; done

.PHONY: base-image
base-image: .venv/installed-tests ## Pin the newest image of the Dockerfile's base, by digest
	@$(BIN)/python -m containers.base_image

.PHONY: audit
audit: .venv/installed-tests ## Look up each pinned version in the advisories of OSV and npm; fails if it cannot ask
	@$(BIN)/pip-audit --strict --disable-pip --no-deps --progress-spinner off --vulnerability-service osv \
		--requirement constraints.txt --requirement runtime/requirements.txt --requirement runtime/image/compiler.txt || \
		{ echo "error: the advisories name versions (the table above), or could not be asked: the audit has not passed" >&2; exit 1; }
	@$(BIN)/npm audit --prefix infra/cli --loglevel error || \
		{ echo "error: npm names versions (above), or could not be asked: the audit has not passed" >&2; exit 1; }

.PHONY: sbom
sbom: .venv/installed-tests ## Write build/sbom.cdx.json: what is in the image IMAGE
	@mkdir -p build && $(BIN)/python -m containers.sbom $(ENGINE) $(IMAGE) > build/sbom.cdx.json.new && \
		mv build/sbom.cdx.json.new build/sbom.cdx.json && echo "· build/sbom.cdx.json lists what is in $(IMAGE)"

CDK := infra/cli/node_modules/.bin/cdk

$(CDK): infra/cli/package-lock.json .venv/installed
	@echo "· installing the CDK CLI …"
	@$(BIN)/npm ci --prefix infra/cli --no-audit --no-fund --loglevel error
	@touch $@

# --- run it locally ---------------------------------------------------------------------------------------------------

.PHONY: demo
demo: .venv/installed ## From nothing to real vectors: build the embedded model, serve it, compare texts in several languages
	@folder="$$($(BIN)/python -m model_export -c model=$(MODEL))" && $(BIN)/python -m examples.demo --model-dir "$$folder"

.PHONY: model
model: .venv/installed ## Export, quantize and verify MODEL (default: embedded) into build/model
	@$(BIN)/python -m model_export -c model=$(MODEL)

.PHONY: serve
serve: .venv/installed ## Serve MODEL on PORT (default: 9000)
	@folder="$$($(BIN)/python -m model_export -c model=$(MODEL))" && \
		$(BIN)/python -m runtime.server --port $(PORT) --model-dir "$$folder"

# --- check it ---------------------------------------------------------------------------------------------------------

.PHONY: lint
lint: .venv/installed-tests ## Check style and formatting
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --check --quiet . && echo "· style is clean"

# A process for each CPU, at most four of them: each takes up to 4 GB. The tests of a file stay together, since they share what they made.
PARALLEL := --numprocesses logical --maxprocesses 4 --dist loadfile

.PHONY: test
test: lint ## Run the quick tests
	@$(BIN)/pytest $(PARALLEL)

.PHONY: test-slow
test-slow: .venv/installed-tests ## Run the slow tests that need no container
	@$(BIN)/pytest -m slow $(PARALLEL)

.PHONY: test-container
test-container: .venv/installed-tests ## Run the image in a container, as Lambda would
	@$(BIN)/python -m tests.support.setup container
	@$(BIN)/pytest -m container

.PHONY: e2e
e2e: .venv/installed-tests ## Deploy to an emulated AWS with the real CDK CLI, call it, remove it
	@$(BIN)/python -m tests.support.setup e2e
	@$(BIN)/pytest -m e2e

# --- measure it -------------------------------------------------------------------------------------------------------

.PHONY: bench
bench: .venv/installed-tests ## Measure speed, cold start and memory beside peers; BENCH_ARGS=--quick for two minutes, "--tei URL" for a TEI
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

.PHONY: cost
cost: .venv/installed ## Compute dollars per million tokens by memory size, from the committed measurements or your function's
	@$(BIN)/python -m benchmarks.cost $(COST_ARGS)

# --- deploy it --------------------------------------------------------------------------------------------------------

.PHONY: synth
synth: $(CDK) ## Synthesize the CloudFormation template for MODEL into cdk.out, offline
	@$(CDK) synth --quiet -c model=$(MODEL) $(CDK_ARGS) && echo "· cdk.out holds the template"

# Without an app: with one, the CLI synthesizes it first, and so exports the model.
.PHONY: bootstrap
bootstrap: $(CDK) ## Prepare your AWS account and region for the CDK, once
	@arguments="$$($(BIN)/python -m infra.preflight --bootstrap $(CDK_ARGS))" && \
		$(CDK) bootstrap $$arguments --app "" $(CDK_ARGS)

.PHONY: preflight
preflight: .venv/installed ## Look for what would stop a deployment: credentials, region, bootstrap, quotas, container engine
	@$(BIN)/python -m infra.preflight $(CDK_ARGS)

.PHONY: diff
diff: $(CDK) ## Show what a deployment would change
	@$(CDK) diff $(CDK_ARGS)

.PHONY: deploy
deploy: $(CDK) preflight ## Deploy to your AWS account as cdk.json says (needs credentials and Docker or podman)
	@$(CDK) deploy $(CDK_ARGS)

.PHONY: destroy
destroy: $(CDK) ## Remove the deployment
	@$(CDK) destroy $(CDK_ARGS)

.PHONY: docs
docs: .venv/installed ## Write docs/configuration.md from the options in the code
	@$(BIN)/python -m configuration.reference

.PHONY: clean
clean: ## Remove everything that make has made, the Python environment too
	rm -rf .venv build cdk.out infra/cli/node_modules
